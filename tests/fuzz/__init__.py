"""Calls that nobody meant: what schemathesis makes of the contract, sent as each kind of caller.

`make test` sends a few for every operation; `make fuzz` sends many, other ones each time, and writes what came of
them into docs/proof.md.
"""
