"""The section about towns, of what they noted."""

from typing import Any

from tests.soak import report


def a_town(seed: int, **told: Any) -> dict[str, Any]:
    counted: dict[str, Any] = {"days": 30, "rows": 900, "passes": 12, "drifts": 0, "wrong": []}
    steps = {"steps": {"somebody pays": 4}, "done": {"somebody pays": 3}}
    return {"seed": seed, **counted, **steps, "stuck": {}, "fen": {}, "faults": {}, "disorder": {}, **told}


def test_what_towns_did_is_added_up() -> None:
    two = [a_town(7, faults={"WeChat: busy": 2}, fen={"to the mall": 150}), a_town(8, wrong=["a row"])]

    lines = report.section(two).splitlines()

    assert "| Seeds | 7, 8 |" in lines and "| Simulated days | 60 |" in lines
    assert "| Rules that were broken | 1 |" in lines and "| Paid, yuan: to the mall | 1.50 |" in lines
    assert "| WeChat: busy | 2 |" in lines
    assert "| somebody pays | 8 | 6 |" in lines
