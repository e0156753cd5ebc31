"""A promoter's own people: who came, registered, was bound, ordered, and is settled; of the others, why not.

What sharing knows of them comes first; here their orders are added, and never more of an order than its promoter
may know: of somebody else's that it earned nothing, and by which rule.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from chalicelib.commissions import service
from chalicelib.commissions.models import Brought, Commission
from chalicelib.core import table
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.sharing import invitees as people
from chalicelib.sharing import orders as attributions
from chalicelib.sharing.invitees import Invitee, Step

ORDERS_LOOKED_AT = 20


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who came to a promoter, and how far it went: ``stage`` is the furthest that stands.

    ``orders`` are those of which something is left.
    """

    known: Invitee
    stage: str
    orders: int
    ordered_at: int | None


class OrderStep(msgspec.Struct, frozen=True, kw_only=True):
    """An order of somebody who came to a promoter: what it earns them, or why it does not."""

    at: int
    order_id: str
    what: str
    reason: str | None = None
    commission: Commission | None = None


def of(
    promoter_id: str, *, limit: int, after: str | None, lang: str, now: int
) -> tuple[list[Person], str | None]:
    """A promoter's people, the newest first, in four reads."""
    known, following = people.of(promoter_id, limit=limit, after=after, lang=lang, now=now)
    brought = _brought(promoter_id, known)
    settled = _settled([row for row in brought.values() if row is not None])
    return [_person(promoter_id, one, brought[one.member_id], settled) for one in known], following


def _brought(promoter_id: str, known: Sequence[Invitee]) -> dict[str, Brought | None]:
    ids = [one.member_id for one in known]
    rows = table.get_all([(Brought, Brought.key(promoter_id, one)) for one in ids])
    return dict(zip(ids, rows, strict=True))


def _settled(rows: Sequence[Brought]) -> set[str]:
    """Which of the first and last commissions are settled."""
    wanted = sorted({one for row in rows for one in (row.first_id, row.last_id)})
    found = table.get_all([(Commission, service.key_of(one)) for one in wanted])
    return {row.commission_id for row in found if row is not None and row.state == "settled"}


def _person(promoter_id: str, known: Invitee, brought: Brought | None, settled: set[str]) -> Person:
    if brought is None:
        return Person(known=known, stage=known.state, orders=0, ordered_at=None)
    standing = (brought.orders or 0) - (brought.gone or 0)
    stage = "ordered" if standing > 0 else known.state
    if {brought.first_id, brought.last_id} & settled or _settled_between(
        promoter_id, known, brought, standing
    ):
        stage = "settled"
    return Person(known=known, stage=stage, orders=standing, ordered_at=brought.ordered_at)


def _settled_between(promoter_id: str, known: Invitee, brought: Brought, standing: int) -> bool:
    """Whether another of their latest orders is settled, where neither the first nor the last is: seldom asked."""
    if not standing or (brought.orders or 0) <= len({brought.first_id, brought.last_id}):
        return False
    theirs = orders.of_member(known.member_id, limit=ORDERS_LOOKED_AT, after=None).rows
    rows = table.get_all([(Commission, Commission.key(order.order_id, "L1")) for order in theirs])
    return any(row.state == "settled" and row.promoter_id == promoter_id for row in rows if row is not None)


def timeline(
    promoter_id: str, member_id: str, *, lang: str, now: int
) -> tuple[Person, list[Step], list[OrderStep]]:
    """What happened between a promoter and somebody who came to them, with their latest orders.

    Raises:
        NotFound: they never came, signed in, to this promoter.
    """
    story = people.one(promoter_id, member_id, lang=lang, now=now)
    brought = _brought(promoter_id, [story.invitee])[member_id]
    settled = _settled([brought] if brought is not None else [])
    person = _person(promoter_id, story.invitee, brought, settled)
    theirs = orders.of_member(member_id, limit=ORDERS_LOOKED_AT, after=None).rows
    steps = [step for order in theirs for step in _of_order(promoter_id, order)]
    return person, story.steps, steps


def _of_order(promoter_id: str, order: Order) -> list[OrderStep]:
    """What an order means to this promoter: each commission of theirs, or why there is none; nothing, if it is none
    of theirs."""
    told: dict[str, Any] = {"at": order.created_at, "order_id": order.order_id}
    mine = [row for row in service.of_order(order.order_id) if row.promoter_id == promoter_id]
    if mine:
        return [OrderStep(**told, what="earned", commission=row) for row in mine]
    reason = _why_not(promoter_id, order)
    return [OrderStep(**told, what="not_earned", reason=reason)] if reason is not None else []


def _why_not(promoter_id: str, order: Order) -> str | None:
    found = attributions.find(order.order_id)
    if found is None:
        return None
    if found.promoter_id == promoter_id:
        return _earns_nothing(order)
    return next((one["rule"] for one in found.candidates if one["promoter_id"] == promoter_id), None)


def _earns_nothing(order: Order) -> str:
    if order.state in ("pending", "cancelled"):
        return "not_paid"
    return "refunded" if order.state in service.GIVEN_BACK else "no_rate"
