"""Another policy over past orders: whose they would have been and what that earns, beside what is; nothing changes.

Every coming of a buyer to a promoter is replayed under the proposed policy, those that bound and those that did
not, with what operators decided. Known are comings of signed-in members, by the hour; of a member who came to
one promoter in more than 96 hours, the newest.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta

import msgspec

from chalicelib.core import clock, config, table
from chalicelib.core.errors import Invalid
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.sharing import history, policies, stories, windows
from chalicelib.sharing import orders as attributed
from chalicelib.sharing.history import Span, Terms
from chalicelib.sharing.models import OrderAttribution
from chalicelib.sharing.schemas import DryRun, DryRunLine, DryRunPromoter, Promoters
from chalicelib.sharing.stories import Story

DAYS_AT_MOST = 31
Whose = tuple[str | None, str | None]
"""Whose an order is on the first level, and on the second."""
Earning = Callable[[Order, Whose, int], Sequence[int]]

_earning: list[Earning] = []


def earning(known: Earning) -> None:
    """The room of commissions says what an order earns those whose it is, level by level."""
    _earning[:] = [known]


class _Replay(msgspec.Struct, frozen=True, kw_only=True):
    """One page's replay: every member's story is read once."""

    terms: Terms
    stories: dict[str, Story] = msgspec.field(default_factory=dict)
    purchases: dict[str, list[int]] = msgspec.field(default_factory=dict)

    def held_at(self, member_id: str, at: int) -> Span | None:
        """Whose customer they would have been."""
        if member_id not in self.stories:
            self.stories[member_id] = stories.of(member_id)
            renews = self.terms.renew_by_purchase
            self.purchases[member_id] = windows.purchases(member_id) if renews else []
        comings, bought = self.stories[member_id].comings(), self.purchases[member_id]
        return history.replayed(comings, bought, terms=self.terms, at=at)


def run(given: DryRun, *, after: table.Raw | None, now: int) -> tuple[list[DryRunLine], table.Raw | None]:
    """One page of the orders asked for, and where the next begins.

    Raises:
        Invalid: neither orders nor a time of at most 31 days, or a policy whose fields do not go together.
    """
    replay = _Replay(terms=policies.proposed(given))
    rows, next_key = _rows(given, after=after, now=now)
    there = {order.order_id: order for order in orders.those([row.order_id for row in rows])}
    return [_line(row, there.get(row.order_id), replay, now=now) for row in rows], next_key


def by_promoter(lines: Sequence[DryRunLine]) -> list[DryRunPromoter]:
    """What everybody earns by these orders, and would have earned, who would have gained most first."""
    was, would = _by_promoter([one.was for one in lines]), _by_promoter([one.would for one in lines])
    earned = [
        DryRunPromoter(promoter_id=who, was_fen=was[who], would_fen=would[who]) for who in {**was, **would}
    ]
    return sorted(earned, key=lambda one: (one.was_fen - one.would_fen, one.promoter_id))


def _by_promoter(told: Sequence[Promoters]) -> Counter[str]:
    earned: Counter[str] = Counter()
    for one in told:
        for who, fen in ((one.promoter_id, one.promoter_fen), (one.level_two_id, one.level_two_fen)):
            if who is not None:
                earned[who] += fen
    return earned


def _rows(
    given: DryRun, *, after: table.Raw | None, now: int
) -> tuple[list[OrderAttribution], table.Raw | None]:
    if given.order_ids is not None:
        return _named(given.order_ids, now=now), None
    if given.from_ is None or given.until is None or not given.from_ <= given.until:
        raise Invalid(field="from", reason="order_ids, or from and until, in this order")
    days = _days(given.from_, given.until)
    boards = attributed.boards_of(days)
    entries, next_key = table.chained("rank", boards, limit=given.limit, newest_first=True, after=after)
    found = table.get_many([(OrderAttribution, (one["pk"], one["sk"])) for one in entries]) if entries else []
    wanted = [row for row in found if row is not None and given.from_ <= row.created_at < given.until]
    return wanted, next_key


def _named(order_ids: list[str], *, now: int) -> list[OrderAttribution]:
    """The snapshots of these orders; of those that have none, as it would be."""
    asked = list(dict.fromkeys(order_ids))
    keys = [(OrderAttribution, OrderAttribution.key(one)) for one in asked]
    made: Mapping[str, OrderAttribution] = {
        row.order_id: row for row in (table.get_many(keys) if keys else []) if row is not None
    }
    others = orders.those([one for one in asked if one not in made])
    return [*made.values(), *(attributed.as_if(order, now=now) for order in others)]


def _days(first_at: int, until: int) -> list[date]:
    zone = config.settings().zone
    first, last = (date.fromisoformat(clock.local_day(at, zone=zone)) for at in (first_at, until))
    count = (last - first).days + 1
    if count > DAYS_AT_MOST:
        raise Invalid(field="until", reason=f"at most {DAYS_AT_MOST} days at once")
    return [last - timedelta(days=n) for n in range(count)]


def _line(row: OrderAttribution, order: Order | None, replay: _Replay, *, now: int) -> DryRunLine:
    is_ = row.promoter_id, row.level_two_id
    would, by = _would(row, replay)
    was = _earned(order, is_, now=now)
    return DryRunLine(
        order_id=row.order_id,
        created_at=row.created_at,
        member_id=row.member_id,
        was=was,
        would=was if would == is_ else _earned(order, would, now=now),
        by=by,
        changed=is_ != would,
    )


def _earned(order: Order | None, whose: Whose, *, now: int) -> Promoters:
    fen: Sequence[int] = (0, 0)
    if order is not None and any(whose) and _earning:
        fen = _earning[0](order, whose, now)
    return Promoters(promoter_id=whose[0], level_two_id=whose[1], promoter_fen=fen[0], level_two_fen=fen[1])


def _would(row: OrderAttribution, replay: _Replay) -> tuple[Whose, str | None]:
    buyer, at, two_levels = row.member_id, row.created_at, replay.terms.depth == 2
    span = replay.held_at(buyer, at)
    if replay.terms.self_purchase and attributed.is_promoter(buyer, at):
        return (buyer, span.promoter_id if span and two_levels else None), "self_purchase"
    if span is None:
        return (None, None), None
    above = replay.held_at(span.promoter_id, at) if two_levels else None
    second = above.promoter_id if above is not None and above.promoter_id != buyer else None
    return (span.promoter_id, second), span.cause
