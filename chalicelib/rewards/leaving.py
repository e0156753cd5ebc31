"""What of a member's rewards they are told; which they had stays on the books of the rules."""

from typing import Any

from chalicelib.core import estates
from chalicelib.core.table import Row


@estates.exports("rewards")
def export(member_id: str, now: int) -> dict[str, Any]:
    """The member's rewards, and how often each rule has counted for them."""
    own = f"REWARDS#{member_id}"
    return {
        "rewards": estates.of_partition(Row, own, Row.sk.startswith("G#")),
        "counts": estates.of_partition(Row, own, Row.sk.startswith("RULE#")),
    }
