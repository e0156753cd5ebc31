"""Reconciling (对账): balances, counts and stocks are proved from rows and ledger, daily what moved, monthly all.

Promises: a number that does not add up is told, with both numbers; one that only moved meanwhile is not. It never
repairs anything: which of two numbers is wrong is for a person to find.

It stands above all rooms and asks each for its books.
"""
