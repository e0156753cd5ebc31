"""Support (客服台): everything about one person in order, which is what support opens first.

Promises: nothing that was ever begun for a member is missing, also orders that were let go unpaid.

It stands above all rooms, asks their services, and has no rows and no rules of its own.
"""
