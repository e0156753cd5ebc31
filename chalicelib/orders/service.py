"""The rules of orders: the writes that other rooms build their transactions from, payments, and refunds."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.core import clock, config, due, facts, ids, table
from chalicelib.core.clock import DAY
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Conflict, Invalid, NotFound
from chalicelib.core.table import Refusal, Row, Write
from chalicelib.core.telemetry import logger
from chalicelib.operators import service as operators
from chalicelib.orders import gateways
from chalicelib.orders.gateways import Paid as Paid  # noqa: PLC0414 - other rooms name what they are given
from chalicelib.orders.gateways import PaymentUnavailable as PaymentUnavailable  # noqa: PLC0414
from chalicelib.orders.gateways import Phone as Phone  # noqa: PLC0414
from chalicelib.orders.lines import Line as Line  # noqa: PLC0414
from chalicelib.orders.lines import back_fen as back_fen  # noqa: PLC0414
from chalicelib.orders.lines import came_fen as came_fen  # noqa: PLC0414
from chalicelib.orders.models import MallName, Payment
from chalicelib.orders.models import Order as Order  # noqa: PLC0414 - other rooms name what they are given
from chalicelib.orders.models import Refund as Refund  # noqa: PLC0414

REFUND_JOB = "refund"
MISMATCH_JOB = "mismatch"
TWICE_JOB = "twice"
UNFINISHED_JOB = "unfinished"
REDUCED = "order.reduced"
"""The fact that a part of what an order took went back, or is owed back; its reactions are given the refund."""
CONFIRMED_AT_LATEST_S = 7 * DAY


class OrderOver(Conflict):
    """The order is cancelled or refunded, and takes no payment."""

    code = "order_over"
    en = "This order is over."
    zh = "订单已结束。"
    advice = "Show the order's state and what can be bought now."


class MallOrderTaken(Conflict):
    """The mall's number names another order already; ``details.order_id`` says which."""

    code = "mall_order_taken"
    en = "This mall order belongs to another order."
    zh = "该商城订单号已对应另一笔订单。"
    advice = "A bug in the mall: one of its orders is one of ours."


class OrderNamed(Conflict):
    """The order has another number of the mall's; ``details.mall_order_id`` says which."""

    code = "order_named"
    en = "This order has another number in the mall."
    zh = "该订单已绑定另一个商城订单号。"
    advice = "A bug in the mall: one of our orders is one of its."

    @classmethod
    def by(cls, row: Any) -> "OrderNamed":
        """What the row says."""
        return cls(mall_order_id=row and row.mall_order_id)


class PaymentKnown(Exception):
    """This payment was dealt with before."""


class PrepayOpen(Exception):
    """A phone may still pay this order; ``row`` says what was begun."""

    def __init__(self, row: Order) -> None:
        super().__init__(row.order_id)
        self.row = row


class Back(msgspec.Struct, frozen=True, kw_only=True):
    """Why money goes back; ``done``: the mall has given it back already, so nobody is asked for it.

    ``number``: the mall's own number of it. ``lines``: how much of a part is of which line of the order, ``shared``
    if nobody said so.
    """

    reason: str
    done: bool = False
    number: str | None = None
    lines: Mapping[str, int] | None = None
    shared: bool = False


Settle = Callable[[Order, Paid, int], None]
Release = Callable[[Order, int], None]
GiveBack = Callable[[Order, Back, int], None]
Lines = Callable[[Order], list[Line]]
MayShip = Callable[[Order], bool]


class _Purpose(msgspec.Struct, frozen=True, kw_only=True):
    settle: Settle
    release: Release
    refund: GiveBack
    lines: Lines
    may_ship: MayShip


_purposes: dict[str, _Purpose] = {}


def purpose(
    name: str,
    *,
    settle: Settle,
    release: Release,
    refund: GiveBack,
    lines: Lines,
    may_ship: MayShip = lambda order: True,
) -> None:
    """A room that sells: ``settle`` brings a payment to its place, ``release`` lets an unpaid order go, ``refund``
    gives a paid one back, ``lines`` says what is in one, and ``may_ship`` whether a paid one can be sent."""
    _purposes[name] = _Purpose(settle=settle, release=release, refund=refund, lines=lines, may_ship=may_ship)


def id_for_mall(mall_order_id: str) -> str:
    """The id of the order that the mall made first: the mall's own number is its natural key."""
    return ids.derived("ord", "mall", mall_order_id)


# --- reading ------------------------------------------------------------------------------------------------


def show(order_id: str, *, member_id: str | None = None) -> Order:
    """The order as it is now; of ``member_id`` only, when given.

    Raises:
        NotFound: there is none, or it is somebody else's.
    """
    order = table.get(Order, Order.key(order_id))
    if order is None or (member_id is not None and order.member_id != member_id):
        raise NotFound
    return order


def find(order_id: str) -> Order | None:
    """The order as it is now, if there is one."""
    return table.get(Order, Order.key(order_id))


def find_for_mall(mall_order_id: str) -> Order | None:
    """The order of this number of the mall's, whether the mall made it first or named it later."""
    order = find(id_for_mall(mall_order_id))
    if order is not None:
        return order
    name = table.get(MallName, MallName.key(mall_order_id))
    return find(name.order_id) if name is not None else None


def those(order_ids: Sequence[str]) -> list[Order]:
    """The orders of these ids as they are now, those that there are."""
    found: list[Order] = []
    for at in range(0, len(order_ids), 100):
        keys = [(Order, Order.key(order_id)) for order_id in order_ids[at : at + 100]]
        found += [row for row in table.get_many(keys) if row is not None]
    return found


def of_member(member_id: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """A member's orders, newest first, also those that were let go unpaid."""
    return table.owned(f"{member_id}#orders", limit=limit, after=after)


def of_campaign(campaign_id: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """The orders of a campaign that money came for, newest first in each partition of the list."""
    boards = boards_of(campaign_id)
    entries, next_key = table.chained("rank", boards, limit=limit, newest_first=True, after=after)
    return table.Page(those([entry["pk"].removeprefix("ORDER#") for entry in entries]), next_key)


def money_of(order_id: str) -> tuple[list[Payment], list[Refund]]:
    """The payments and refunds of an order."""
    rows = table.query_all(Row, Order.key(order_id)[0])
    payments = [row for row in rows if isinstance(row, Payment)]
    return payments, [row for row in rows if isinstance(row, Refund)]


def of_turnover(refund: Refund) -> bool:
    """Whether it gives back what an order took; money that came for nothing never was turnover."""
    payment = table.get(Payment, Payment.key(refund.order_id, refund.payment_id))
    return payment is not None and payment.state == "taken"


def paid_on(day: str) -> list[Order]:
    """The orders that took a payment on this day of the brand, by when it was told here.

    They are found by the look that each is due for ``unfinished_days`` after it, so it costs what the day had; a
    day that is longer ago has none any more.

    Raises:
        ValueError: there is no such day.
    """
    settings = config.settings()
    begins = datetime.fromisoformat(day).replace(tzinfo=settings.zone)
    first, last = (int((begins + timedelta(days=n)).timestamp()) - n for n in (0, 1))
    looks = Row.due_at.between(first + settings.unfinished_days * DAY, last + settings.unfinished_days * DAY)
    found: list[str] = []
    for k in range(settings.due_shards):
        after = None
        while True:
            condition = (Row.due_shard == f"{UNFINISHED_JOB}#{k}") & looks
            entries, after = table.index("due", condition, limit=500, after=after)
            found += [entry["pk"].removeprefix("ORDER#") for entry in entries]
            if after is None:
                break
    return those(sorted(found))


def refunded_on(day: str) -> list[Refund]:
    """The refunds that were asked of a gateway, and were confirmed on this day of the brand."""
    return [row for page in table.owned_pages(_of_day(day)) for row in page.rows]


def _of_day(day: str) -> str:
    return f"refunds#{day}"


def lines_of(order: Order) -> list[Line]:
    """What is in an order: for each line what was paid for it, and what of that is in a refund, given or owed."""
    return _purposes[order.purpose].lines(order)


# --- writes for the rooms that sell -------------------------------------------------------------------------


def taken(order: Order, paid: Paid, *, before: str, refuse: Refusal, now: int, **moved: Any) -> list[Write]:
    """A payment is taken: the order was ``before`` (pending or cancelled) and is paid.

    ``moved`` are attributes of the order that a late payment changes, such as its group.
    """
    actions = [
        Order.state.set("paid"),
        Order.payment_id.set(paid.payment_id),
        Order.paid_fen.set(paid.amount_fen),
        Order.paid_at.set(now),
        Order.refundable_fen.set(paid.amount_fen),
        *_on_the_books(order, now=now),
        *(getattr(Order, name).set(value) for name, value in moved.items()),
        *facts.owing_if_wanted("order.paid", pk=order.pk, now=now),
    ]
    # It may have become another's since it was read, and what is taken with it must be theirs.
    was = (Order.state == before) & (Order.member_id == order.member_id)
    return [
        *_payment(order, paid, state="taken", now=now),
        table.update(Order, Order.key(order.order_id), *actions, when=was, refuse=refuse),
    ]


def returned(order: Order, paid: Paid, *, reason: str, refuse: Refusal, now: int) -> list[Write]:
    """A late payment of a cancelled order finds no place: it is owed back, and the order is refunding."""
    gone = table.update(
        Order,
        Order.key(order.order_id),
        Order.state.set("refunding"),
        Order.payment_id.set(paid.payment_id),
        Order.paid_at.set(now),
        Order.refundable_fen.set(0),
        *_on_the_books(order, now=now),
        *facts.owing_if_wanted("order.refunding", pk=order.pk, now=now),
        when=Order.state == "cancelled",
        refuse=refuse,
    )
    return [
        *_payment(order, paid, state="returned", now=now),
        gone,
        owed_back(
            order, paid.payment_id, amount_fen=paid.amount_fen, back=Back(reason=reason), whole=True, now=now
        ),
    ]


def cancelled(order: Order, *, refuse: Refusal, closed: str | None = None) -> Write:
    """An unpaid order is let go, if no phone can pay it any more: ``closed`` is what was begun and closed.

    Raises (when sent):
        PrepayOpen: something was begun; `close` it first.
    """
    unpayable = Order.prepay_id.does_not_exist()
    if closed is not None:
        unpayable |= Order.prepay_id == closed
    write = table.update(
        Order,
        Order.key(order.order_id),
        Order.state.set("cancelled"),
        when=(Order.state == "pending") & unpayable,
        refuse=refuse,
    )

    def why(row: Order | None) -> Exception:
        return PrepayOpen(row) if row is not None and row.state == "pending" else table.refusal(write, row)

    return write.but(refuse=why)


def refunding(order: Order, *, back: Back, refuse: Refusal, now: int) -> list[Write]:
    """A paid order is given back, all of it that is not in a refund yet; what it still owed was `caught_up`."""
    amount_fen = order.refundable_fen or 0
    over = "refunded" if back.done else "refunding"
    actions: list[Action] = [Order.state.set(over), Order.refundable_fen.set(0)]
    if back.done:
        actions.append(Order.refunded_fen.add(amount_fen))
    actions += facts.owing_if_wanted(f"order.{over}", pk=order.pk, now=now)
    paid = Order.state.is_in("paid", "completed") & (Order.refundable_fen == amount_fen)
    nothing_owed = facts.unowed(order)
    gone = table.update(Order, Order.key(order.order_id), *actions, when=paid & nothing_owed, refuse=refuse)
    owed = owed_back(order, order.payment_id or "", amount_fen=amount_fen, back=back, whole=True, now=now)
    # A refund that is there already means what the order's own condition means: somebody else was first.
    return [gone, owed.but(refuse=refuse)]


def reduced(
    order: Order, *, by_fen: int, cause: str, back: Back, refuse: Refusal, now: int, over: bool = False
) -> list[Write]:
    """A part of a paid order is given back, once for its cause; the order stays as it is.

    ``over``: it is what was paid over the final price, and nothing that was bought is given up for it.
    """
    actions = [Order.refundable_fen.add(-by_fen)]
    if over:
        actions.append(Order.over_fen.add(by_fen))
    if back.done:
        actions.append(Order.refunded_fen.add(by_fen))
    enough = Order.state.is_in("paid", "completed") & (Order.refundable_fen >= by_fen)
    less = table.update(Order, Order.key(order.order_id), *actions, when=enough, refuse=refuse)
    return [less, owed_back(order, cause, amount_fen=by_fen, back=back, whole=False, now=now)]


def refund_id_of(order_id: str, cause: str) -> str:
    """The number of what goes back of an order for a cause, which never changes."""
    return ids.derived("rfd", order_id, cause)


def owed_back(
    order: Order,
    cause: str,
    *,
    amount_fen: int,
    back: Back,
    whole: bool,
    now: int,
    payment_id: str | None = None,
) -> Write:
    """The refund row: one for a cause, with a number that never changes, due at once unless it is back.

    It is of the payment that the order took, unless another is named.
    """
    pk, sk = Refund.key(order.order_id, cause)
    row = Refund(
        pk,
        sk,
        state="done" if back.done else "due",
        refund_id=refund_id_of(order.order_id, cause),
        order_id=order.order_id,
        payment_id=payment_id or order.payment_id or cause,
        amount_fen=amount_fen,
        reason=back.reason,
        whole=whole,
        created_at=now,
        done_at=now if back.done else None,
        number=back.number,
        lines=dict(back.lines) if back.lines else None,
        shared=back.shared or None,
        **_due_then(pk, back=back, whole=whole or payment_id is not None, now=now),
    )
    return table.create(row, refuse=lambda _: PaymentKnown())


def _due_then(pk: str, *, back: Back, whole: bool, now: int) -> dict[str, Any]:
    """The gateway is asked at once, and a part told then; a part that is back already is told by its own job."""
    if not back.done:
        return due.slot(job=REFUND_JOB, pk=pk, at=now)
    if whole or not facts.wanted(REDUCED):
        return {}
    return {**due.slot(job=facts.JOB, pk=pk, at=now, ref=REDUCED), "owed_rev": 1}


def caught_up(order: Order, *, now: int) -> Order:
    """The order after all that it still owed has happened, or waits as a letter: its slot may be replaced."""
    if order.owed_rev is None:
        return order
    facts.hand_on(order, now=now)
    return show(order.order_id)


def _payment(order: Order, paid: Paid, *, state: str, now: int) -> list[Write]:
    """The payment's row, once for its number; one that a person accepted is there, and is decided on."""
    pk, sk = Payment.key(order.order_id, paid.payment_id)
    look_at = now + config.settings().unfinished_days * DAY
    waits = state == "taken" and look_at > now
    if paid.by_hand is not None:
        due_then = due.moved(job=UNFINISHED_JOB, pk=pk, at=look_at) if waits else due.emptied()
        decided = (Payment.state.set(state), *due_then, paid.by_hand.mark)
        known = table.update(
            Payment, (pk, sk), *decided, when=paid.by_hand.still, refuse=lambda _: PaymentKnown()
        )
        return [known.but(natural=True), paid.by_hand.audit]
    row = Payment(
        pk,
        sk,
        state=state,
        order_id=order.order_id,
        payment_id=paid.payment_id,
        amount_fen=paid.amount_fen,
        at=now,
        **(due.slot(job=UNFINISHED_JOB, pk=pk, at=look_at) if waits else {}),
    )
    return [table.create(row, refuse=lambda _: PaymentKnown())]


def listed(member_id: str, order_id: str, *, now: int) -> dict[str, Any]:
    """The attributes that put a new order in its member's list, where it stays whatever becomes of it."""
    return table.listed(f"{member_id}#orders", at=now, as_=order_id)


def handed_over(order: Order, into: str) -> Write:
    """The write after which an order is another member's, in their list as well.

    Raises (when sent):
        Busy: the order was changed meanwhile.
    """
    theirs = (Order.member_id.set(into), Order.owner.set(f"{into}#orders"))
    unchanged = Order.rev == order.rev
    return table.update(Order, (order.pk, order.sk), *theirs, when=unchanged, refuse=Busy)


def all_of(member_id: str) -> list[Order]:
    """All orders of a member, as far as the index has them."""
    found: list[Order] = []
    page = of_member(member_id, limit=100, after=None)
    while True:
        found += page.rows
        if page.next_key is None:
            return found
        page = of_member(member_id, limit=100, after=page.next_key)


def boards_of(campaign_id: str) -> list[str]:
    """The partitions of the rank index that hold the orders of a campaign that were paid."""
    return table.boards(f"ORDERS#{campaign_id}")


def _on_the_books(order: Order, *, now: int) -> list[Action]:
    if not order.campaign_id:
        return []
    board = table.board_for(order.order_id, boards_of(order.campaign_id))
    return [Order.board.set(board), Order.score.set(now)]


# --- payments -----------------------------------------------------------------------------------------------


def begin_payment(order: Order, *, phone: Phone, now: int, entropy: bytes) -> dict[str, Any]:
    """What the phone needs to pay an order; asked again, the same.

    Raises:
        OrderOver: it takes no payment any more. What the gateway refuses.
    """
    if order.state != "pending":
        raise OrderOver(state=order.state)
    gateway = gateways.of(order.gateway)
    prepay_id = order.prepay_id or ids.ulid("pay", now=now, entropy=entropy)
    if gateway.begins and order.prepay_id is None:
        try:
            _begin(order, prepay_id, phone)
        except _Begun as begun:
            if begun.row is None:
                raise OrderOver(state=None) from begun
            return begin_payment(begun.row, phone=phone, now=now, entropy=entropy)
    try:
        return gateway.begin(order, payment_id=prepay_id, phone=phone, now=now)
    except gateways.Ended as ended:
        raise OrderOver(state=check_payment(show(order.order_id), now=now).state) from ended


def _begin(order: Order, prepay_id: str, phone: Phone) -> None:
    """Note what is begun, so that it is closed, where it was begun, before the order is let go."""
    first = (Order.state == "pending") & Order.prepay_id.does_not_exist() & (Order.gateway == order.gateway)
    noted = (Order.prepay_id.set(prepay_id), Order.prepay_program.set(phone.program_id))
    table.apply(table.update(Order, Order.key(order.order_id), *noted, when=first, refuse=_Begun))


class _Begun(Exception):
    """A payment was begun before, the mall takes the money, or the order is over; ``row`` says which."""

    def __init__(self, row: Order | None) -> None:
        super().__init__(row.order_id if row else "gone")
        self.row = row


def check_payment(order: Order, *, now: int) -> Order:
    """The order as it is when the gateway was asked: a payment that it has is taken."""
    if order.prepay_id is not None and order.state in ("pending", "cancelled"):
        paid = gateways.of(order.gateway).look_up(order, now=now)
        if paid is not None:
            pay(order.order_id, paid, now=now)
    return show(order.order_id)


def close(order: Order, *, now: int) -> bool:
    """Nobody can pay what was begun of the order any more; false: it was paid before, and that is taken now."""
    paid = gateways.of(order.gateway).close(order, now=now)
    if paid is not None:
        pay(order.order_id, paid, now=now)
    return paid is None


def pay(order_id: str, paid: Paid, *, now: int) -> None:
    """Money has come for an order; it finds its place once, however often and late it is reported.

    A wrong amount is listed as stuck and confirms nothing. A second payment of a paid order goes back.

    Raises:
        NotFound: there is no such order.
    """
    order = show(order_id)
    try:
        if paid.amount_fen != order.amount_fen:
            table.apply(_mismatch(order, paid, now=now))
        else:
            place(order, paid, now=now)
    except PaymentKnown:
        logger.info("payment was reported again", order=order_id, payment=paid.payment_id)


def place(order: Order, paid: Paid, *, now: int) -> None:
    """Bring money that is right, or that a person accepted, to where it belongs.

    Raises:
        PaymentKnown: it was dealt with before.
    """
    if order.state in ("pending", "cancelled"):
        _purposes[order.purpose].settle(order, paid, now)
    elif order.payment_id != paid.payment_id:
        _give_back(order, paid, now=now)


def _give_back(order: Order, paid: Paid, *, now: int) -> None:
    back = owed_back(
        order,
        paid.payment_id,
        amount_fen=paid.amount_fen,
        back=Back(reason="paid_twice"),
        whole=False,
        now=now,
        payment_id=paid.payment_id,
    )
    table.transact([*_payment(order, paid, state="returned", now=now), back])


def give_back(order: Order, paid: Paid, *, now: int) -> None:
    """A payment for which the order has no use, as another one paid it meanwhile, goes back.

    Raises:
        PaymentKnown: it was dealt with before.
    """
    _give_back(order, paid, now=now)


def _mismatch(order: Order, paid: Paid, *, now: int) -> Write:
    row = Payment(
        *Payment.key(order.order_id, paid.payment_id),
        state="mismatch",
        order_id=order.order_id,
        payment_id=paid.payment_id,
        amount_fen=paid.amount_fen,
        at=now,
        attempts=1,
        last_error=f"{paid.amount_fen} fen came, {order.amount_fen} fen are owed",
        due_shard=due.stuck_shard(MISMATCH_JOB),
        due_at=now,
        due_ref=order.order_id,
    )
    return table.create(row, refuse=lambda _: PaymentKnown())


def cancel(order: Order, *, now: int) -> Order:
    """Let an unpaid order go, with all that it holds; gone already, nothing changes.

    Raises:
        OrderOver: it is paid.
    """
    if order.state == "pending":
        _purposes[order.purpose].release(order, now)
    order = show(order.order_id)
    if order.state != "cancelled":
        raise OrderOver(state=order.state)
    return order


# --- refunds ------------------------------------------------------------------------------------------------


@due.handles(REFUND_JOB, sends_money=True)
def send_refund(entry: due.Entry, now: int) -> None:
    """Ask the gateway to give money back, under the number that never changes, until it is confirmed.

    Raises:
        gateways.NotRefunded: the gateway did not take it, or took it on and for a week has not confirmed it; it is
        tried again, and then a person sees it.
    """
    refund = table.get(Refund, (entry.pk, entry.sk))
    if refund is None or refund.state == "done":
        return
    order = show(refund.order_id)
    if refund.state == "due":
        _tell_of_part(order, refund, now=now)
    gateway = gateways.of(order.gateway)
    if gateway.refund(order, refund, now=now):
        confirm_refund(refund, now=now)
        return
    if refund.state == "sent" and now >= refund.created_at + CONFIRMED_AT_LATEST_S:
        raise gateways.NotRefunded("it was taken on, and never confirmed")
    later = due.moved(job=REFUND_JOB, pk=entry.pk, at=now + gateway.confirms_within_s(refund, now=now))
    unmoved = (Refund.due_at == entry.due_at) & (Refund.due_shard == entry.due_shard)
    key = (entry.pk, entry.sk)
    sent = table.update(Refund, key, Refund.state.set("sent"), *later, when=unmoved, refuse=_Done)
    if not _quietly([sent]):
        _asked_in_vain(key, now=now)


def _tell_of_part(order: Order, refund: Refund, *, now: int) -> None:
    """Tell of a part of what the order took, which goes on without it."""
    if not refund.whole and refund.payment_id == order.payment_id:
        facts.tell(facts.Fact(name=REDUCED, pk=refund.pk, sk=refund.sk, rev=1, owed=False), now=now)


def _asked_in_vain(key: table.Key, *, now: int) -> None:
    """The mall was being asked as it gave the money back by itself: it may have given it twice."""
    refund = table.get(Refund, key)
    if refund is not None and refund.state == "done" and refund.number is not None:
        seen_twice(refund, number=refund.number, now=now)


class _Done(Exception):
    """Somebody else was first."""


def confirm_refund(refund: Refund, *, now: int) -> None:
    """The money is back; told again, nothing changes."""
    _quietly(confirmed(refund, now=now, refuse=_Done))


def hand_over_refund(refund: Refund, *, why: str, now: int) -> None:
    """The gateway took it on and could not give it: a person sees to it; told again, nothing changes."""
    open_ = Refund.state.is_in("due", "sent") & (Refund.due_shard != due.stuck_shard(REFUND_JOB))
    waits = due.handed_over(REFUND_JOB, at=now, why=why)
    _quietly([table.update(Refund, (refund.pk, refund.sk), *waits, when=open_, refuse=_Done)])


def confirm_given(refund: Refund, *, number: str, now: int) -> None:
    """The mall gave back by itself what it has not been asked for yet; of a part that is told first.

    Raises:
        Busy: it is asked, or has confirmed it, meanwhile.
    """
    _tell_of_part(show(refund.order_id), refund, now=now)
    done, refunded = confirmed(refund, now=now, refuse=Busy)
    unasked = done.but(actions=(*done.actions, Refund.number.set(number)))
    table.transact([unasked.also(Refund.state == "due"), refunded])


def seen_twice(refund: Refund, *, number: str, now: int) -> None:
    """The mall gave back by itself what it was asked for: it is confirmed, and a person looks at it.

    Raises:
        Busy: it is confirmed meanwhile.
    """
    why = f"{number} was given by the mall itself, {refund.refund_id} was asked of it"
    seen = (Refund.number.set(number), *due.handed_over(TWICE_JOB, at=now, why=why))
    if refund.state == "done":
        is_done = Refund.state == "done"
        table.apply(table.update(Refund, (refund.pk, refund.sk), *seen, when=is_done, refuse=Busy))
        return
    done, refunded = confirmed(refund, now=now, refuse=Busy)
    actions = (Refund.state.set("done"), Refund.done_at.set(now), *seen)
    table.transact([done.but(actions=actions), refunded])


def confirmed(refund: Refund, *, now: int, refuse: Refusal) -> list[Write]:
    """The writes that say of a refund, and its order, that the money is back; what this one owed happens first."""
    if refund.whole:
        caught_up(show(refund.order_id), now=now)
    today = clock.local_day(now, zone=config.settings().zone)
    listed = table.listed(_of_day(today), at=now, as_=refund.refund_id)
    done = table.update(
        Refund,
        (refund.pk, refund.sk),
        Refund.state.set("done"),
        Refund.done_at.set(now),
        *(getattr(Refund, name).set(value) for name, value in listed.items()),
        *due.emptied(),
        when=Refund.state.is_in("due", "sent"),
        refuse=refuse,
    )
    return [done, _refunded(refund, refuse=refuse, now=now)]


def _refunded(refund: Refund, *, refuse: Refusal, now: int) -> Write:
    # A payment that came for nothing never was part of what the order took.
    more = Order.refunded_fen.add(refund.amount_fen)
    key = Order.key(refund.order_id)
    if not refund.whole:
        return table.update(Order, key, more, refuse=refuse)
    over = [more, Order.state.set("refunded"), *facts.owing_if_wanted("order.refunded", pk=key[0], now=now)]
    return table.update(Order, key, *over, when=Order.state == "refunding", refuse=refuse)


def _quietly(writes: Sequence[Write]) -> bool:
    """Whether it was done now, and not by another or before."""
    try:
        table.transact(writes) if len(writes) > 1 else table.apply(writes[0])
    except _Done:
        logger.info("it was done by another", key=writes[0].row.pk)
        return False
    return True


def find_refund(order_id: str, refund_id: str) -> Refund:
    """The refund with this number.

    Raises:
        NotFound: the order has none.
    """
    found = next((row for row in money_of(order_id)[1] if row.refund_id == refund_id), None)
    if found is None:
        raise NotFound
    return found


def refund(order_id: str, *, back: Back, now: int) -> None:
    """Give a paid order back, with what it holds; given back already, nothing changes.

    Raises:
        NotFound: there is no such order. OrderOver: it was never paid.
    """
    order = show(order_id)
    if order.state in ("pending", "cancelled"):
        raise OrderOver(state=order.state)
    if order.state in ("paid", "completed"):
        _purposes[order.purpose].refund(order, back, now)


def refund_for(order_id: str, *, reason: str, by: Operator, now: int) -> None:
    """An operator gives a paid order back.

    Raises:
        NotFound: there is no such order. OrderOver: it was never paid.
    """
    order = show(order_id)
    # Noted first: what breaks off after it is in the trail, and is repeated.
    audit = operators.recorded(
        by=by,
        action="order.refunded",
        subject=order_id,
        before={"state": order.state},
        after={"reason": reason},
        now=now,
        member_id=order.member_id,
    )
    table.apply(audit)
    refund(order_id, back=Back(reason="operator"), now=now)


# --- what the mall says of an order -------------------------------------------------------------------------

_BY_THE_MALL = Back(reason="mall", done=True)


def told_partly_refunded(
    order: Order, *, amount_fen: int, cause: str, now: int, back: Back = _BY_THE_MALL
) -> None:
    """The mall gave a part back by itself; told again under the same cause, nothing changes.

    Raises:
        Invalid: it is more than is left of the order. OrderOver: it is not paid yet, as far as is known here. Busy:
        more went back since it was computed of which lines it is.
    """
    if order.state in ("pending", "cancelled"):
        raise OrderOver(state=order.state)

    def why(row: Order | None) -> Exception:
        left = row.refundable_fen if row is not None else 0
        return (
            Invalid(field="amount_fen", reason="more than is left", left=left)
            if left < amount_fen
            else Busy()
        )

    less, owed = reduced(order, by_fen=amount_fen, cause=cause, back=back, refuse=why, now=now)
    if back.lines:
        less = less.also(Order.refundable_fen == order.refundable_fen)
    try:
        table.transact([owed.but(natural=True), less])
    except PaymentKnown:
        logger.info("refund was reported again", order=order.order_id, cause=cause)


def complete(order_id: str, *, now: int) -> None:
    """The mall says that the order is done: received, or past the time to give it back.

    Raises:
        OrderOver: it is not paid yet, as far as is known here; said again after the payment, it is taken.
    """
    order = show(order_id)
    if order.state in ("pending", "cancelled"):
        raise OrderOver(state=order.state)
    if order.state == "paid":
        _quietly([completed(order, now=now, refuse=_Done)])


def completed(order: Order, *, now: int, refuse: Refusal) -> Write:
    """A paid order is done; what it still owed of its payment happens first."""
    caught_up(order, now=now)
    owing = facts.owing_if_wanted("order.completed", pk=order.pk, now=now)
    actions = (Order.state.set("completed"), Order.completed_at.set(now), *owing)
    return table.update(Order, (order.pk, order.sk), *actions, when=Order.state == "paid", refuse=refuse)


def may_ship(order: Order) -> bool:
    """Whether an order is paid and what it is for can be sent."""
    return order.state in ("paid", "completed") and _purposes[order.purpose].may_ship(order)


def shipped(order_id: str, *, now: int) -> None:
    """The mall has sent the goods."""
    _note(order_id, Order.shipped_at.set(now), when=Order.shipped_at.does_not_exist())


def aftersale(order_id: str, *, is_open: bool, at: int | None, aftersale_id: str | None = None) -> None:
    """An after-sale was opened or closed in the mall; one with an id is closed for good, whatever is told later.

    Of those without an id what happened later counts; without ``at`` too, what is told later.
    """
    if aftersale_id is not None:
        told = Order.aftersales_opened if is_open else Order.aftersales_closed
        _note(order_id, told.add({aftersale_id}), when=~told.contains(aftersale_id))
        return
    if at is None:
        _note(order_id, Order.aftersale_open.set(is_open))
        return
    # Of one second, the closing is the later.
    later = Order.aftersale_at < at if is_open else Order.aftersale_at <= at
    first = Order.aftersale_at.does_not_exist()
    _note(order_id, Order.aftersale_open.set(is_open), Order.aftersale_at.set(at), when=first | later)


def named(order_id: str, *, mall_order_id: str) -> None:
    """The mall says which of its orders this one is: it takes the money from then on, unless it came already.

    Named already, nothing changes. What a phone began to pay elsewhere stays there.

    Raises:
        MallOrderTaken: its number names another order. OrderNamed: the order has another number.
    """
    holder = find_for_mall(mall_order_id)
    if holder is not None:
        return _same(holder.order_id, order_id)
    name = table.create(MallName(*MallName.key(mall_order_id), order_id=order_id))
    named_so, nameless = Order.mall_order_id.set(mall_order_id), Order.mall_order_id.does_not_exist()
    unpaid = nameless & (Order.state == "pending") & Order.prepay_id.does_not_exist()
    key = Order.key(order_id)
    takes_over = table.update(Order, key, named_so, Order.gateway.set("mall"), when=unpaid, refuse=_Done)
    try:
        if not _quietly([name, takes_over]):
            known = table.update(Order, key, named_so, when=nameless, refuse=OrderNamed.by)
            table.transact([name, known])
    except table.Taken as first:
        _same(first.row.order_id, order_id)


def _same(named_id: str, order_id: str) -> None:
    if named_id != order_id:
        raise MallOrderTaken(order_id=named_id)


def _note(order_id: str, *actions: Action, when: Condition | None = None) -> None:
    _quietly([table.update(Order, Order.key(order_id), *actions, when=when, refuse=_Done)])
