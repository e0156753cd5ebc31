"""What a member's orders mean for leaving: each must have ended; what was bought stays on the books."""

from typing import Any

from chalicelib.core import estates, table
from chalicelib.core.estates import Obstacle
from chalicelib.orders.models import Order

OPEN = ("pending", "paid", "refunding")
NAMED = 20


@estates.obstructs("orders")
def obstacles(member_id: str, now: int) -> list[Obstacle]:
    """Orders that are not completed, cancelled or given back, or of which an after-sale is open."""
    rows = (row for page in table.owned_pages(f"{member_id}#orders") for row in page.rows)
    found = [row.order_id for row in rows if _is_open(row)]
    return (
        [Obstacle(code="orders_open", details={"n": len(found), "order_ids": found[:NAMED]})] if found else []
    )


def _is_open(row: Order) -> bool:
    return row.state in OPEN or row.disputed


@estates.exports("orders")
def export(member_id: str, now: int) -> dict[str, Any]:
    """The member's orders, and what was paid and given back of each."""
    return {"orders": estates.listed(f"{member_id}#orders", without=("taken", "prepay_id"))}
