"""What it costs in money, by AWS's published prices: `python -m bench.cost`."""


def section() -> str:
    """The section of docs/performance.md, of what is counted now."""
    from bench.cost import playing, prices, stage, telling
    from bench.cost.monthly import Assumed

    with stage.standing() as there:
        table, line = playing.table(there), playing.a_line(there)
    region = prices.region("us-east-1")
    return telling.section(telling.Told(table=table, region=region, assumed=Assumed(), log_line=line))
