"""Whose order it is: a snapshot as of the second the order was made, written once; what commissions go by.

It is computed from the buyer's bindings and their history as of that second, so early, late or again it comes
out the same. A reaction makes it as soon as the order is there; whoever needs it before that makes it then.
Nothing that happens to a binding afterwards touches it; a promoter who was merged is called what they are now.
"""

from collections.abc import Callable
from datetime import date
from typing import Any

import msgspec

from chalicelib.core import clock, config, facts, table
from chalicelib.core.errors import Busy, NotFound
from chalicelib.core.table import Write
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.sharing import policies, service, signals, stories
from chalicelib.sharing.history import Span
from chalicelib.sharing.models import OrderAttribution as OrderAttribution  # noqa: PLC0414 - others name it
from chalicelib.sharing.models import Policy, Touch
from chalicelib.sharing.stories import Story

CANDIDATES_KEPT = 6
IsPromoter = Callable[[str, int], bool]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whose order it might have been, and by which rule it is or is not."""

    kind: str
    promoter_id: str
    at: int
    outcome: str
    rule: str
    link: str | None = None
    visit_id: str | None = None


class Won(msgspec.Struct, frozen=True, kw_only=True):
    """Whose order it is."""

    promoter_id: str | None
    level_two_id: str | None
    span: Span | None
    self_purchase: bool


_promoters: list[IsPromoter] = []


def promoters(known: IsPromoter) -> None:
    """The room of promoters says who is one at a time, ``(member_id, at)``: whose own orders may be theirs."""
    _promoters[:] = [known]


def of_order(order: Order, *, now: int) -> OrderAttribution:
    """Whose order it is, as of when it was made; the same whenever it is asked for."""
    found = find(order.order_id)
    if found is not None:
        return found
    row = as_if(order, now=now)
    try:
        table.apply(table.create(row))
    except table.Taken as first:
        assert isinstance(first.row, OrderAttribution)
        return first.row
    return row


def find(order_id: str) -> OrderAttribution | None:
    """The snapshot of an order, if it is made."""
    return table.get(OrderAttribution, OrderAttribution.key(order_id))


def renamed(order_id: str, promoter_id: str, into: str) -> list[Write]:
    """The write by which an order is of whom its promoter was merged into; none where it names them nowhere."""
    row = find(order_id)
    names = ("promoter_id", "level_two_id")
    theirs = [name for name in names if row is not None and getattr(row, name) == promoter_id]
    if row is None or not theirs:
        return []
    actions = [getattr(OrderAttribution, name).set(into) for name in theirs]
    same = OrderAttribution.rev == row.rev
    return [table.update(OrderAttribution, (row.pk, row.sk), *actions, when=same, refuse=Busy)]


def explained(order_id: str, *, now: int) -> OrderAttribution:
    """The snapshot of an order, for operators; where none is made yet, as it would be.

    Raises:
        NotFound: there is no such order.
    """
    return find(order_id) or as_if(orders.show(order_id), now=now)


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
def attribute(order: Order, now: int) -> None:
    """An order that was made is attributed; it is the order's own key that makes it happen once."""
    of_order(order, now=now)


def boards_of(days: list[date]) -> list[str]:
    """The partitions of the rank index that hold the snapshots of orders that were made on these days."""
    return [board for day in days for board in table.boards(f"ATTRIBUTIONS#{day.isoformat()}")]


def _board(order: Order) -> str:
    day = clock.local_day(order.created_at, zone=config.settings().zone)
    return table.board_for(order.order_id, boards_of([date.fromisoformat(day)]))


def as_if(order: Order, *, now: int) -> OrderAttribution:
    """The snapshot that `of_order` would write."""
    at = order.created_at
    policy, story = policies.in_force_at(at), stories.of(order.member_id)
    span = stories.held_at(story, at, now=now)
    above = stories.of(span.promoter_id) if span else None
    won = _won(story.member_id, span, above, policy, at, now=now)
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
        binding_policy=span.policy if span else None,
        bound_at=span.at if span else None,
        link=span.link if span else None,
        visit_id=span.visit_id if span else None,
        self_purchase=won.self_purchase,
        candidates=[_told(one) for one in candidates[:CANDIDATES_KEPT]],
        signals=_signals(won, above, policy, at, buyer=story.member_id, now=now),
        made_at=now,
        board=_board(order),
        score=at,
    )


# --- who wins -----------------------------------------------------------------------------------------------


def is_promoter(member_id: str, at: int) -> bool:
    """Whether a member was a promoter at a time; without a room of promoters nobody is."""
    return any(known(member_id, at) for known in _promoters)


def _won(buyer: str, span: Span | None, above: Story | None, policy: Policy, at: int, *, now: int) -> Won:
    """The promoter whose customer the buyer was; the buyer, where a promoter's own orders are theirs."""
    two_levels = policy.depth == 2
    if policy.self_purchase and is_promoter(buyer, at):
        second = span.promoter_id if span and two_levels else None
        return Won(promoter_id=buyer, level_two_id=second, span=span, self_purchase=True)
    if span is None or above is None:
        return Won(promoter_id=None, level_two_id=None, span=None, self_purchase=False)
    higher = stories.held_at(above, at, now=now) if two_levels else None
    second = higher.promoter_id if higher is not None and higher.promoter_id != buyer else None
    return Won(promoter_id=span.promoter_id, level_two_id=second, span=span, self_purchase=False)


def _signals(
    won: Won, above: Story | None, policy: Policy, at: int, *, buyer: str, now: int
) -> list[dict[str, Any]]:
    """What looks like fraud in it; in an order that earns nobody anything, or its buyer, nothing does."""
    if won.span is None or above is None or won.self_purchase:
        return []
    return signals.of_order(buyer, won.span, above, at, limits=policies.limits(policy), now=now)


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
    return {name: value for name, value in msgspec.structs.asdict(one).items() if value is not None}
