"""The lines of an order: what was bought, what was paid for each, and what of it went back."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from chalicelib.core.money import share_fen, share_within_fen
from chalicelib.orders.models import Order, Refund


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing in an order; ``paid_fen`` is what was paid for it, ``refunded_fen`` what of that went back."""

    line_id: str
    product_id: str
    sku_id: str | None
    category_ids: tuple[str, ...]
    quantity: int
    paid_fen: int
    refunded_fen: int
    title: str | None = None

    @property
    def net_fen(self) -> int:
        """What is left of it."""
        return self.paid_fen - self.refunded_fen


def came_fen(order: Order) -> int:
    """What was paid for a paid order: what it owes, unless a person accepted another amount."""
    return int(order.amount_fen if order.paid_fen is None else order.paid_fen)


def back_fen(order: Order) -> int:
    """What of it is in a refund, given already or not."""
    return came_fen(order) - order.refundable_fen if order.refundable_fen is not None else 0


def named_fen(order: Order, refunds: Sequence[Refund], *, also_shared: bool) -> Counter[str]:
    """By line, what refunds of what the order took say that they are of; of those that nobody named too, if so."""
    found: Counter[str] = Counter()
    for refund in refunds:
        if refund.payment_id == order.payment_id and (also_shared or not refund.shared):
            found.update(refund.lines or {})
    return found


def computed(order: Order, sold: Sequence[dict[str, Any]], refunds: Sequence[Refund]) -> list[Line]:
    """The lines as they were sold, with what was paid and what went back; the order's own sums decide."""
    if not sold:
        return []
    paid = [int(line["paid_fen"]) for line in sold]
    if sum(paid) != came_fen(order):
        paid = share_fen(came_fen(order), weights=paid)
    told = named_fen(order, refunds, also_shared=True)
    back = [min(told[line["line_id"]], most) for line, most in zip(sold, paid, strict=True)]
    left = [most - part for most, part in zip(paid, back, strict=True)]
    rest = min(max(back_fen(order) - sum(back), 0), sum(left))
    more = share_within_fen(rest, most=left)
    return [
        Line(
            line_id=line["line_id"],
            product_id=line["product_id"],
            sku_id=line.get("sku_id"),
            category_ids=tuple(line.get("category_ids") or ()),
            quantity=line["quantity"],
            paid_fen=paid[n],
            refunded_fen=back[n] + more[n],
            title=line.get("title"),
        )
        for n, line in enumerate(sold)
    ]
