"""What happens at a scale that no test can pay for: the app's own code in virtual time, under DynamoDB's limits."""


def section(*, quick: bool = False) -> str:
    """The section of docs/performance.md, and its plots; ``quick``: as little as shows that it runs."""
    from bench.scale import telling

    return telling.section(quick=quick)
