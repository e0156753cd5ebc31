"""What every room stands on: storage, the HTTP edge, jobs, facts, deliveries, ids, time and money.

Nothing here knows a room. Rooms reach the outside only through these modules.
"""
