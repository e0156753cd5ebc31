"""The section of the calls that nobody meant adds up what every operation and caller noted."""

from tests.fuzz import report


def line(route: str, caller: str, *, wrong: int = 0, **statuses: int) -> dict[str, object]:
    """What is noted of one caller at one operation."""
    answered = {status.removeprefix("s"): count for status, count in statuses.items()}
    return {"route": route, "caller": caller, "phases": {"examples": 1}, "statuses": answered, "wrong": wrong}


def test_operations_calls_failures_and_mismatches_are_counted() -> None:
    lines = [line("GET /a", "member", s200=2, s503=1), line("GET /a", "owner", s200=1, wrong=2)]

    told = report.written([*lines, line("GET /b", "member", s200=1)], seed="seed 7")

    assert "2 operations, 5 calls: 1 answers of 5xx, 2 kinds of mismatch." in told
    assert "| member | 2 | 0 | 0 | 200: 3, 503: 1 |" in told and "seed 7" in told
