"""Whose order it is: a snapshot as of the second the order was made, written once; what commissions go by.

It is computed from the buyer's bindings and their history as of that second, so early, late or again it comes
out the same. A reaction makes it as soon as the order is there; whoever needs it before that makes it then.
Nothing that happens to a binding afterwards touches it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from chalicelib.core import clock, config, facts, table
from chalicelib.core.errors import NotFound
from chalicelib.core.shards import shard_for
from chalicelib.core.table import Row
from chalicelib.sharing import policies, service, stories
from chalicelib.sharing.history import Span
from chalicelib.sharing.models import OrderAttribution as OrderAttribution  # noqa: PLC0414 - others name it
from chalicelib.sharing.models import Policy, Touch
from chalicelib.sharing.stories import Story

CANDIDATES_KEPT = 6
IsPromoter = Callable[[str, int], bool]


class Order(Protocol):
    """What is needed of an order."""

    order_id: Any
    member_id: Any
    created_at: Any
    link: Any


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Somebody whose order it might have been, and by which rule it is or is not."""

    kind: str
    promoter_id: str
    at: int
    outcome: str
    rule: str
    link: str | None = None
    visit_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Won:
    """Whose order it is."""

    promoter_id: str | None
    level_two_id: str | None
    span: Span | None
    self_purchase: bool


_promoters: list[IsPromoter] = []


def promoters(is_promoter: IsPromoter) -> None:
    """Say who is a promoter at a time, ``(member_id, at)``: whose own orders may be their own."""
    _promoters[:] = [is_promoter]


def of_order(order: Order, *, now: int) -> OrderAttribution:
    """Whose order it is, as of when it was made; the same whenever it is asked for."""
    found = find(order.order_id)
    if found is not None:
        return found
    row = _row(order, now=now)
    try:
        table.apply(table.create(row))
    except table.Taken as first:
        assert isinstance(first.row, OrderAttribution)
        return first.row
    return row


def find(order_id: str) -> OrderAttribution | None:
    """The snapshot of an order, if it is made."""
    return table.get(OrderAttribution, OrderAttribution.key(order_id))


def show(order_id: str, *, promoter_id: str) -> OrderAttribution:
    """The snapshot of an order, for its promoters.

    Raises:
        NotFound: there is none, or it is somebody else's order.
    """
    row = find(order_id)
    if row is None or promoter_id not in (row.promoter_id, row.level_two_id):
        raise NotFound
    return row


@facts.errand("order.created", name="sharing.attribute_order")
def attribute(order: Row, now: int) -> None:
    """An order that was made is attributed; it is the order's own key that makes it happen once."""
    of_order(order, now=now)  # type: ignore[arg-type]


def boards_of(days: list[date]) -> list[str]:
    """The partitions of the rank index that hold the snapshots of orders that were made on these days."""
    shards = config.settings().due_shards
    return [f"ATTRIBUTIONS#{day.isoformat()}#{k}" for day in days for k in range(shards)]


def _board(order: Order) -> str:
    day = clock.local_day(order.created_at, zone=config.settings().zone)
    return boards_of([date.fromisoformat(day)])[shard_for(order.order_id, config.settings().due_shards)]


def _row(order: Order, *, now: int) -> OrderAttribution:
    at = order.created_at
    policy, story = policies.in_force_at(at), stories.of(order.member_id)
    won = _won(story, policy, at, now=now)
    candidates = [*_of_bindings(story, won, at, now=now), *_of_visits(story, won, at)]
    candidates += _of_link(order, candidates, now=now)
    candidates.sort(key=lambda one: (one.outcome != "won", -one.at))
    pk, sk = OrderAttribution.key(order.order_id)
    return OrderAttribution(
        pk,
        sk,
        order_id=order.order_id,
        member_id=order.member_id,
        created_at=at,
        promoter_id=won.promoter_id,
        level_two_id=won.level_two_id,
        policy=policy.n,
        binding_policy=won.span.policy if won.span else None,
        bound_at=won.span.at if won.span else None,
        link=won.span.link if won.span else None,
        visit_id=won.span.visit_id if won.span else None,
        self_purchase=won.self_purchase,
        candidates=[_told(one) for one in candidates[:CANDIDATES_KEPT]],
        signals=[],
        made_at=now,
        board=_board(order),
        score=at,
    )


# --- who wins -----------------------------------------------------------------------------------------------


def _won(story: Story, policy: Policy, at: int, *, now: int) -> Won:
    """The promoter whose customer the buyer was; the buyer, where a promoter's own orders are theirs."""
    span, two_levels = stories.held_at(story, at, now=now), policy.depth == 2
    buyer = story.member_id
    if policy.self_purchase and any(is_promoter(buyer, at) for is_promoter in _promoters):
        above = span.promoter_id if span and two_levels else None
        return Won(promoter_id=buyer, level_two_id=above, span=span, self_purchase=True)
    if span is None:
        return Won(promoter_id=None, level_two_id=None, span=None, self_purchase=False)
    above = _above(span.promoter_id, buyer, at, now=now) if two_levels else None
    return Won(promoter_id=span.promoter_id, level_two_id=above, span=span, self_purchase=False)


def _above(promoter_id: str, buyer: str, at: int, *, now: int) -> str | None:
    span = stories.held_at(stories.of(promoter_id), at, now=now)
    return span.promoter_id if span is not None and span.promoter_id != buyer else None


# --- who else there was -------------------------------------------------------------------------------------


def _of_bindings(story: Story, won: Won, at: int, *, now: int) -> list[Candidate]:
    found = [_of_span(span, won, at, now=now) for span in story.spans if span.at <= at]
    if won.self_purchase:
        return [
            Candidate(kind="self", promoter_id=story.member_id, at=at, outcome="won", rule="self_purchase"),
            *found,
        ]
    return found


def _of_span(span: Span, won: Won, at: int, *, now: int) -> Candidate:
    holds = won.span is not None and won.span.at == span.at and won.span.promoter_id == span.promoter_id
    wins = holds and not won.self_purchase
    return Candidate(
        kind=span.cause,
        promoter_id=span.promoter_id,
        at=span.at,
        outcome="won" if wins else "lost",
        rule=_rule_of(span, now=now) if wins else _ended_by(span, at, holds=holds),
        link=span.link,
        visit_id=span.visit_id,
    )


def _rule_of(span: Span, *, now: int) -> str:
    """By what a binding wins: an operator's word, or the mode of the policy it was made under."""
    return "operator" if span.cause == "operator" else policies.version(span.policy, now=now).mode


def _ended_by(span: Span, at: int, *, holds: bool) -> str:
    if holds:
        return "self_purchase"
    if span.expired(at):
        return "window_over"
    return span.ended_by or "window_over"


def _of_visits(story: Story, won: Won, at: int) -> list[Candidate]:
    """Visits that bound nobody; those to the promoter who won anyway are no candidates besides."""
    others = [touch for touch in story.touches if touch.promoter_id != won.promoter_id]
    return [_of_touch(touch, at) for touch in others if touch.hours and touch.first_at <= at]


def _of_touch(touch: Touch, at: int) -> Candidate:
    came = [int(hour) for hour in touch.hours or () if hour <= at]
    return Candidate(
        kind="visit",
        promoter_id=touch.promoter_id,
        at=max([touch.first_at, *came]),
        outcome="lost",
        rule=touch.reason,
        link=touch.link,
        visit_id=touch.visit_id,
    )


def _of_link(order: Order, others: list[Candidate], *, now: int) -> list[Candidate]:
    """Whose link led to the order, when they are no candidate otherwise: a link alone binds nobody."""
    if not order.link:
        return []
    try:
        sharer_id = service.find(order.link, now=now).sharer_id
    except NotFound:
        return []
    if any(one.promoter_id == sharer_id for one in others):
        return []
    rule = "own_link" if sharer_id == order.member_id else "link_alone"
    return [
        Candidate(
            kind="order_link",
            promoter_id=sharer_id,
            at=order.created_at,
            outcome="lost",
            rule=rule,
            link=order.link,
        )
    ]


def _told(one: Candidate) -> dict[str, Any]:
    return {name: value for name, value in vars(one).items() if value is not None}
