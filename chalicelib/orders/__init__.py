"""Orders (订单): what somebody owes or has paid for one thing, the payments, and the refunds that are owed.

Promises: every payment is confirmed once or given back once, under its own number; a refund is a row until it is
confirmed, and keeps its number; a wrong amount is listed for a person and confirms nothing. What is bought knows
itself: a room registers a `purpose` and is asked where a payment goes. Never: a price (the room that sells knows).
"""
