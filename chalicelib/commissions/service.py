"""The rules of commissions: made, reduced, cancelled, held and clawed back by what becomes of their order.

Everything is one function, `follow`: it looks at the order as it is now and brings its commissions to what that
means. So facts may come late, repeated and in any order, and a commission depends on nothing but the order, its
attribution, and the rates, the terms and the promoter's tier of the time when it was made.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from pynamodb.expressions.update import Action

from chalicelib.commissions import months, promoters, rates, rules, terms
from chalicelib.commissions.models import Brought
from chalicelib.commissions.models import Commission as Commission  # noqa: PLC0414 - other rooms react to it
from chalicelib.commissions.rules import LEVELS, Change, Line, Sold
from chalicelib.core import due, facts, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Conflict, NotFound
from chalicelib.core.table import Key, Row, Write
from chalicelib.groupbuys import reading as groups
from chalicelib.members import service as members
from chalicelib.operators import service as operators
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order, Refund
from chalicelib.rewards import occurrences
from chalicelib.sharing import orders as attributions
from chalicelib.sharing import visits

JOB = "settle"
MONEY = "money"
HELD = "HELD"
ROUNDS = 10
EARNS = ("paid", "completed")
GIVEN_BACK = ("refunding", "refunded")
OVER = ("cancelled", "clawed_back")


class CommissionMoved(Conflict):
    """The commission is in a state in which this cannot be done; ``details.state`` says which."""

    code = "commission_moved"
    en = "This is not possible in this state."
    zh = "佣金当前状态无法这样操作。"
    advice = "Read the commission again and show its state."


class Moved(Exception):
    """The commission, or its order, is not as it was read: look again."""


# --- reading ------------------------------------------------------------------------------------------------


def id_of(order_id: str, level: str) -> str:
    """The id of the commission of an order on a level; it says where its row is."""
    return f"com_{level}{order_id.removeprefix('ord_')}"


def key_of(commission_id: str) -> Key:
    """Where the commission of this id is.

    Raises:
        NotFound: that is no id of a commission.
    """
    rest = commission_id.removeprefix("com_")
    for level in LEVELS:
        if rest.startswith(level):
            return Commission.key(f"ord_{rest.removeprefix(level)}", level)
    raise NotFound


def show(commission_id: str, *, promoter_id: str | None = None) -> Commission:
    """The commission as it is now; of ``promoter_id`` only, when given.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    row = table.get(Commission, key_of(commission_id))
    if row is None or promoter_id not in (None, row.promoter_id):
        raise NotFound
    return row


def of_order(order_id: str) -> list[Commission]:
    """The commissions of an order."""
    return table.query_all(Commission, Commission.key(order_id, "")[0])


def of_promoter(member_id: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """A promoter's commissions, newest first."""
    return table.owned(f"{member_id}#commissions", limit=limit, after=after)


def held(*, limit: int, after: table.Raw | None) -> table.Page:
    """The commissions that wait for an operator, the longest first."""
    entries, next_key = table.index("rank", Row.board == HELD, limit=limit, after=after)
    rows = table.get_many([(Commission, (entry["pk"], entry["sk"])) for entry in entries]) if entries else []
    return table.Page([row for row in rows if row is not None and row.state == "held"], next_key)


def lines_of(row: Commission) -> list[Line]:
    """What the commission is made of."""
    return msgspec.convert(row.lines, list[Line])


def changes_of(row: Commission) -> list[Change]:
    """All that happened to it, the earliest first."""
    return msgspec.convert(row.changes, list[Change])


# --- following the order ------------------------------------------------------------------------------------


class _Look(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it was looked at, why, and when."""

    order: Order
    cause: str
    now: int

    @property
    def unchanged(self) -> Write:
        """The check that it is still so."""
        return facts.unchanged(self.order).but(refuse=lambda _: Moved())

    @property
    def left_fen(self) -> int:
        """What is left of the order."""
        return 0 if self.order.state in GIVEN_BACK else self.order.refundable_fen or 0


def follow(order: Order, *, cause: str, now: int) -> None:
    """Bring the commissions of an order to what the order says; as they are already, nothing is written.

    Raises:
        Busy: order and commissions kept changing.
    """
    seen: Order | None = order
    for _ in range(ROUNDS):
        if seen is None:
            return None
        try:
            return _follow(_Look(order=seen, cause=cause, now=now))
        except Moved:
            seen = orders.find(order.order_id)
    raise Busy


def _follow(look: _Look) -> None:
    rows = of_order(look.order.order_id)
    if not rows:
        made = [write for row in _made(look) for write in _put(row)]
        if made:
            table.transact([look.unchanged, *made])
        return
    left = {line.line_id: line for line in orders.lines_of(look.order)} if look.left_fen else {}
    for row in rows:
        writes = _followed(row, look, left)
        if writes:
            table.transact([look.unchanged, *writes])


def _followed(row: Commission, look: _Look, left: dict[str, orders.Line]) -> list[Write]:
    """What a commission becomes when so much is left of the lines of its order."""
    if row.state in OVER:
        return []
    lines = [_as_left(line, left.get(line.line_id)) for line in lines_of(row)]
    amount_fen = rules.total_fen(lines)
    ripe = row.state == "pending" and look.order.state == "completed" and amount_fen > 0
    if (amount_fen, look.left_fen) == (row.amount_fen, row.order_left_fen) and not ripe:
        return []
    actions: list[Action] = [
        Commission.lines.set(msgspec.to_builtins(lines)),
        Commission.amount_fen.set(amount_fen),
        Commission.order_left_fen.set(look.left_fen),
    ]
    if row.state == "settled":
        return _clawed_back(row, look, lines, actions)
    told = [_less(row, look, amount_fen)] if amount_fen < row.amount_fen else []
    if amount_fen == 0:
        over = [Commission.state.set("cancelled"), *_off_the_lists()]
        return [updated(row, *actions, *over, told=told), *_gone(row)]
    if ripe:
        at = settles_at(look.order, row.hold_days)
        actions += [Commission.state.set("due"), Commission.settles_at.set(at), *settles(row.promoter_id, at)]
        told.append(Change(at=look.now, what="due", cause="order.completed", fen=amount_fen))
    return [updated(row, *actions, told=told)]


def _as_left(line: Line, sold: orders.Line | None) -> Line:
    return rules.with_left(line, sold.net_fen, paid_fen=sold.paid_fen) if sold else rules.with_left(line, 0)


def _less(row: Commission, look: _Look, amount_fen: int) -> Change:
    what = "reduced" if amount_fen else "cancelled"
    return Change(at=look.now, what=what, cause=look.cause, fen=amount_fen)


def _clawed_back(row: Commission, look: _Look, lines: list[Line], actions: list[Action]) -> list[Write]:
    """What went back after it was settled is taken out of the account again, as a debt if it is spent."""
    by_fen = row.amount_fen - rules.total_fen(lines)
    if by_fen <= 0:
        return [updated(row, Commission.order_left_fen.set(look.left_fen))]
    part = f"{row.commission_id}#{(row.clawbacks or 0) + 1}"
    left = rules.total_fen(lines)
    told = Change(at=look.now, what="clawed_back", cause=look.cause, fen=left)
    actions += [Commission.clawbacks.add(1), *(() if left else (Commission.state.set("clawed_back"),))]
    try:
        taken = ledger.reversal(
            owner=row.promoter_id,
            book=MONEY,
            cause=row.settled_cause or "",
            amount=by_fen,
            part=part,
            reason="clawback",
            now=look.now,
            refuse=lambda _: Moved(),
        )
    except ledger.OverReversed as raced:
        raise Moved from raced
    return [updated(row, *actions, told=[told]), *taken, *_uncounted(row, lines, by_fen=by_fen, now=look.now)]


def _uncounted(row: Commission, lines: list[Line], *, by_fen: int, now: int) -> list[Write]:
    """The writes by which what was taken back counts no more, for the tier and for the month."""
    first_level = row.level == "L1"
    base_fen = rules.base_fen(lines_of(row)) - rules.base_fen(lines) if first_level else 0
    gone = 1 if first_level and not rules.total_fen(lines) else 0
    month = months.less(
        row.promoter_id,
        settled_at=row.settled_at or 0,
        amount_fen=by_fen,
        base_fen=base_fen,
        refuse=lambda _: Moved(),
        now=now,
    )
    cause, counts = row.settled_cause or "", {"settled_fen": -by_fen, "orders": -gone}
    promoter = promoters.counted(row.promoter_id, cause=cause, **counts)
    link = counted_link(row)
    uncounted = visits.settled({link: -1}, cause=cause, at=row.settled_at or 0) if gone and link else []
    return [month, promoter, *uncounted, *(_gone(row) if gone else ())]


def counted_link(row: Commission) -> str | None:
    """The link that a settled commission counts for: none, where a promoter bought it or none bound its buyer."""
    return row.link if row.level == "L1" and row.member_id != row.promoter_id else None


def _gone(row: Commission) -> list[Write]:
    """The write that notes that nothing is left of an order of somebody whom the promoter brought."""
    if row.level != "L1":
        return []
    return [table.upsert(Brought, Brought.key(row.promoter_id, row.member_id), Brought.gone.add(1))]


def updated(row: Commission, *actions: Action, told: Sequence[Change] = ()) -> Write:
    """The write that changes a commission, if it is as it was read, and tells why."""
    more = (Commission.changes.set([*row.changes, *msgspec.to_builtins(list(told))]),) if told else ()
    return table.update(
        Commission,
        (row.pk, row.sk),
        *actions,
        *more,
        when=Commission.rev == row.rev,
        refuse=lambda _: Moved(),
    )


def settles(promoter_id: str, at: int) -> list[Action]:
    """A commission is due to be settled: all of one promoter's in one partition, for one worker."""
    return due.moved(job=JOB, pk=promoter_id, at=at, ref=promoter_id)


def settles_at(order: Order, hold_days: int) -> int:
    """When nothing can be said against an order any more."""
    return int(order.completed_at or 0) + hold_days * DAY


def _off_the_lists() -> list[Action]:
    return [*due.emptied(), Row.board.remove(), Row.score.remove()]


# --- making -------------------------------------------------------------------------------------------------


def _made(look: _Look) -> list[Commission]:
    """What a paid order earns, on each level; one of a group-buy when its group is filled."""
    order = look.order
    if order.state not in EARNS:
        return []
    group = _group_of(order)
    if not _filled(group):
        return []
    found = attributions.of_order(order, now=look.now)
    earners = {"L1": found.promoter_id, "L2": found.level_two_id}
    if group is not None and group.head_id != order.member_id:
        earners["H"] = group.head_id
    earning = {level: members.now_called(who, now=look.now) for level, who in earners.items() if who}
    # Who was merged with whom they brought, or who brought them, earns nothing by what they buy themselves.
    others = {n: who for n, who in earning.items() if who != order.member_id or found.self_purchase}
    rows = [_earned(look, found, level, who) for level, who in others.items()]
    return [row for row in rows if row is not None]


def earns(order: Order) -> bool:
    """Whether an order earns somebody something: it is paid, and its group, if it is of one, is filled."""
    return order.state in EARNS and _filled(_group_of(order))


def _group_of(order: Order) -> Any:
    return groups.find(order.group_id) if order.purpose == "group" else None


def _filled(group: Any) -> bool:
    return group is None or group.state == "filled"


def _put(row: Commission) -> list[Write]:
    """The commission; on the first level its buyer is somebody who brought the promoter something."""
    made = table.create(row, refuse=lambda _: Moved())
    if row.level != "L1":
        return [made]
    first = {"first_id": row.commission_id, "ordered_at": row.made_at}
    known = [getattr(Brought, name).set(getattr(Brought, name) | value) for name, value in first.items()]
    counted = (Brought.last_id.set(row.commission_id), Brought.orders.add(1))
    return [made, table.upsert(Brought, Brought.key(row.promoter_id, row.member_id), *known, *counted)]


def _earned(look: _Look, found: Any, level: str, promoter_id: str) -> Commission | None:
    """The commission of one promoter; None when they could not earn, or by no rate."""
    lines = lines_for(promoter_id, look.order, level, new_buyer=occurrences.is_first, now=look.now)
    return _row(look, found, level, promoter_id, lines) if rules.total_fen(lines) else None


def lines_for(
    promoter_id: str, order: Order, level: str, *, new_buyer: Callable[[Order], bool], now: int
) -> list[Line]:
    """What each line of an order earns a promoter on a level; none, if they could not earn when it was made.

    ``new_buyer`` says whether it is its buyer's first: who only asks what would be must note nothing by asking.
    """
    promoter = promoters.active(promoter_id, at=order.created_at)
    if promoter is None:
        return []
    tier = promoters.tier_at(promoter, order.created_at)
    return list(_rated(order, level, tier=tier, new_buyer=lambda: new_buyer(order), now=now))


def _rated(order: Order, level: str, *, tier: int, new_buyer: Callable[[], bool], now: int) -> Iterator[Line]:
    in_force = rates.in_force(at=order.created_at, now=now)
    for line in orders.lines_of(order):
        sold = Sold(
            level=LEVELS[level],
            product_id=line.product_id,
            quantity=line.quantity,
            paid_fen=line.paid_fen,
            category_ids=line.category_ids,
            campaign_id=order.campaign_id or None,
            tier=tier,
            order_fen=orders.came_fen(order),
            new_buyer=new_buyer,
        )
        rate = rules.best(in_force, sold)
        if rate is not None:
            yield rules.line_of(line, rate)


def _row(look: _Look, found: Any, level: str, promoter_id: str, lines: list[Line]) -> Commission:
    order, amount_fen = look.order, rules.total_fen(lines)
    commission_id = id_of(order.order_id, level)
    told = [Change(at=look.now, what="made", cause=look.cause, fen=amount_fen)]
    hold_days = terms.as_of(at=order.created_at, now=look.now).hold_days
    placed: dict[str, Any] = {"state": "pending"}
    evidence = [*(found.signals or ()), *_blocked(promoter_id, now=look.now)]
    if evidence:
        placed = {"state": "held", "evidence": evidence, "board": HELD, "score": look.now}
        told.append(Change(at=look.now, what="held", cause="signals", fen=amount_fen))
    elif order.state == "completed":
        at = settles_at(order, hold_days)
        placed = {
            "state": "due",
            "settles_at": at,
            **due.slot(job=JOB, pk=promoter_id, at=at, ref=promoter_id),
        }
        told.append(Change(at=look.now, what="due", cause="order.completed", fen=amount_fen))
    pk, sk = Commission.key(order.order_id, level)
    return Commission(
        pk,
        sk,
        commission_id=commission_id,
        order_id=order.order_id,
        level=level,
        promoter_id=promoter_id,
        member_id=order.member_id,
        lines=msgspec.to_builtins(lines),
        changes=msgspec.to_builtins(told),
        amount_fen=amount_fen,
        order_left_fen=look.left_fen,
        policy=found.policy,
        hold_days=hold_days,
        link=found.link,
        made_at=look.now,
        **table.listed(f"{promoter_id}#commissions", at=look.now, as_=commission_id),
        **placed,
    )


attributions.promoters(lambda member_id, at: promoters.active(member_id, at=at) is not None)


def _blocked(promoter_id: str, *, now: int) -> list[dict[str, Any]]:
    """A blocked member may be back, so what they would earn is held, not lost."""
    return [] if members.is_active(promoter_id, now=now) else [{"kind": "blocked"}]


# --- facts --------------------------------------------------------------------------------------------------


@facts.errand("order.paid", name="commissions.follow_paid")
def follow_paid(order: Order, now: int) -> None:
    """A paid order earns."""
    follow(order, cause="order.paid", now=now)


@facts.errand("group.filled", name="commissions.follow_filled")
def follow_filled(group: Any, now: int) -> None:
    """The orders of a filled group earn, for who brought them and for its head."""
    if group.state != "filled":
        return
    seats = groups.with_seats(group.group_id)[1]
    for order in orders.those(sorted({seat.order_id for seat in seats})):
        if order.group_id == group.group_id:
            follow(order, cause="group.filled", now=now)


@facts.errand("order.completed", name="commissions.follow_completed")
def follow_completed(order: Order, now: int) -> None:
    """From here the days are counted."""
    follow(order, cause="order.completed", now=now)


@facts.errand("order.refunding", name="commissions.follow_refunding")
def follow_refunding(order: Order, now: int) -> None:
    """The order goes back whole."""
    follow(order, cause="order.refunded", now=now)


@facts.errand("order.refunded", name="commissions.follow_refunded")
def follow_refunded(order: Order, now: int) -> None:
    """The order is back whole."""
    follow(order, cause="order.refunded", now=now)


@facts.errand("order.reduced", name="commissions.follow_reduced")
def follow_reduced(refund: Refund, now: int) -> None:
    """A part of the order went back."""
    order = orders.find(refund.order_id)
    if order is not None:
        follow(order, cause=f"refund {refund.refund_id}", now=now)


# --- operators ----------------------------------------------------------------------------------------------


_Decision = Callable[[Commission, Order], list[Action]]


def hold(commission_id: str, *, reason: str, by: Operator, now: int) -> Commission:
    """An operator holds a commission back; held already, nothing changes.

    Raises:
        NotFound: there is none. CommissionMoved: it is settled or over.
    """

    def actions(row: Commission, order: Order) -> list[Action]:
        if row.state not in ("pending", "due"):
            raise CommissionMoved(state=row.state)
        seen = (Row.board.set(HELD), Row.score.set(now))
        return [*due.emptied(), Commission.state.set("held"), *seen]

    return _decided(commission_id, "held", actions, reason=reason, by=by, now=now)


def release(commission_id: str, *, reason: str, by: Operator, now: int) -> Commission:
    """An operator lets a held commission go on, from where its order is by now.

    Raises:
        NotFound: there is none. CommissionMoved: it is over. A repeat changes nothing.
    """

    def actions(row: Commission, order: Order) -> list[Action]:
        if order.state != "completed":
            return [*_off_the_lists(), Commission.state.set("pending")]
        at = settles_at(order, row.hold_days)
        ripe = (Commission.state.set("due"), Commission.settles_at.set(at), *settles(row.promoter_id, at))
        return [Row.board.remove(), Row.score.remove(), *ripe]

    return _decided(commission_id, "released", actions, reason=reason, by=by, now=now)


def refuse(commission_id: str, *, reason: str, by: Operator, now: int) -> Commission:
    """An operator refuses a held commission, for good.

    Raises:
        NotFound: there is none. CommissionMoved: it is not held; hold it first.
    """

    def actions(row: Commission, order: Order) -> list[Action]:
        return [*_off_the_lists(), Commission.state.set("cancelled"), Commission.amount_fen.set(0)]

    return _decided(commission_id, "refused", actions, reason=reason, by=by, now=now)


def _decided(
    commission_id: str, what: str, actions: _Decision, *, reason: str, by: Operator, now: int
) -> Commission:
    """Decide on a commission as it is, with the audit row, while its order stays as it is."""
    for _ in range(ROUNDS):
        row = show(commission_id)
        if _decided_already(row, what):
            return row
        if what != "held" and row.state != "held":
            raise CommissionMoved(state=row.state)
        order = orders.show(row.order_id)
        fen = 0 if what == "refused" else row.amount_fen
        told = Change(at=now, what=what, cause=reason, fen=fen)
        audit = operators.recorded(
            by=by,
            action=f"commission.{what}",
            subject=commission_id,
            before={"state": row.state, "amount_fen": row.amount_fen},
            after={"reason": reason, "amount_fen": fen},
            now=now,
            member_id=row.promoter_id,
        )
        look = _Look(order=order, cause=what, now=now)
        try:
            gone = _gone(row) if what == "refused" else []
            table.transact([look.unchanged, updated(row, *actions(row, order), told=[told]), audit, *gone])
            return show(commission_id)
        except Moved:
            continue
    raise Busy


def _decided_already(row: Commission, what: str) -> bool:
    """Whether the last word on it was this, and it still stands."""
    if what == "held":
        return row.state == "held"
    last = next((change.what for change in reversed(changes_of(row)) if change.what in _WORDS), None)
    return row.state != "held" and last == what


_WORDS = ("held", "released", "refused")
