"""Support (客服台): everything about one person in order, which is what support opens first.

It stands above all rooms, asks their services, and has no rows and no rules of its own.
"""
