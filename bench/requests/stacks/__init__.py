"""Three hot operations as most would write them: the same calls of DynamoDB, by the common libraries.

Each stack is a Lambda handler; it checks a session that is a JWT with PyJWT, reads its input, builds the same
writes with its own library and answers a small JSON. None of them does what the app does besides: no refusals in
two languages, no limits of calls, no facts, nothing owed.
"""
