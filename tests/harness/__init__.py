"""What every room proves its rules with; all of it wraps the one shared client, on any engine.

hostile   a store as unkind as AWS: conflicts, throttles, lost replies, late indexes
counter   calls, and write and read units by AWS's published rule
races     N calls at once and what became of each; the race that a naive version loses
faults    every storage call of an operation failed, lost and killed in turn, then the caller's retry
streams   a table's records, delivered as unkindly as a stream may
direct    the embedded store without HTTP, for tests that make very many calls
rows      the whole table, and every image its stream has seen
wire      how the others wrap the client, and read behind it
"""
