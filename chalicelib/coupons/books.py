"""The books of coupons: what a template has issued is its coupons, and what packs hold or gave out."""

from collections.abc import Iterable, Iterator

from chalicelib.core.books import Counter, Tally
from chalicelib.coupons import templates
from chalicelib.coupons.models import Coupon, Pack


def _uses(row: Coupon | Pack) -> Iterable[tuple[str, int]]:
    """A pack stands for all of its pieces, taken or not: which of them are coupons moves without the counter."""
    if isinstance(row, Pack):
        units = row.pieces - row.left if row.state == "over" else row.pieces
    else:
        gone = row.state in ("lapsed", "moved") or row.unit_back
        units = 0 if gone or row.source in ("pack", "gift") else 1
    return [(row.template_id, units)]


def _counters() -> Iterator[Counter]:
    for template in templates.everything():
        shards = list(templates.stock_of(template).values())
        says = {"issued": sum(row.issued for row in shards)}
        if template.limited and all(row.put is not None for row in shards):
            says["taken"] = sum((row.put or 0) - (row.left or 0) for row in shards)
        yield Counter(key=template.template_id, rev=sum(row.rev for row in shards), says=says)


STOCK = Tally(name="coupon_stock", kinds=frozenset({"coupon", "pack"}), uses=_uses, counters=_counters)
