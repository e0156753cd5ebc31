"""Orders (订单): what somebody owes or has paid, here or in the mall, the payments, and the refunds that are owed.

Promises: every payment is confirmed once or given back once, under its own number; a refund is a row until it is
confirmed, and keeps its number; a wrong amount is listed for a person and confirms nothing. What is bought knows
itself: a room registers a `purpose` and is asked where a payment goes and what is in an order; the mall's ordinary
orders are a purpose of their own. Every step is a fact that its row owes. Never: a price (who sells knows it).
"""
