"""Operators (运营): the people and machines of the merchant, and the trail of what they did.

Promises: a key is shown once and stored hashed; every write of an operator leaves an audit row in the same
transaction; what failed ten times is listed and can be given another chance. Never: a password, a key in a log.
"""
