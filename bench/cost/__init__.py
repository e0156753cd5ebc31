"""What it costs in money, by AWS's published prices: `python -m bench.cost`."""


def section() -> str:
    """The section of docs/performance.md.

    Raises:
        AssertionError: the table of operations is not as it is counted now.
    """
    from bench.cost import operations, playing, prices, stage, telling
    from bench.cost.monthly import Assumed

    table = operations.read()
    with stage.standing() as there:
        counted, line = playing.played(there), playing.a_line(there)
    differs = operations.differences(table.operations, counted)
    assert not differs, "\n".join([*differs, "count it anew: python -m bench.cost --recount"])
    region = prices.region("us-east-1")
    return telling.section(telling.Told(table=table, region=region, assumed=Assumed(), log_line=line))
