"""What a request costs: calls, units and bytes of every route, and the CPU of some beside other ways to serve them.

python -m bench.requests      both tables, and the rows of docs/performance.md that they are
"""
