"""Money that waits for a person: wrong amounts, refunds that nobody took, paid orders that were never completed.

What a person settles happens by the writes of the automatic path, with the audit row, and only while the row is
still stuck: a refund is confirmed, an accepted payment finds its place, a completed order is completed.
"""

from collections.abc import Sequence
from typing import Any

from chalicelib.core import due, facts, table
from chalicelib.core.clock import DAY
from chalicelib.core.config import settings
from chalicelib.core.errors import Busy
from chalicelib.core.table import Row, Write
from chalicelib.core.telemetry import logger
from chalicelib.operators import stuck
from chalicelib.operators.stuck import ByHand, Moved, Story, Trouble
from chalicelib.orders import service
from chalicelib.orders.models import Order, Payment, Refund
from chalicelib.orders.service import (
    MISMATCH_JOB,
    REFUND_JOB,
    TWICE_JOB,
    UNFINISHED_JOB,
    Back,
    Paid,
    PaymentKnown,
)


def _tell(rows: Sequence[Payment | Refund]) -> list[Story]:
    known = {order.order_id: order for order in service.those([row.order_id for row in rows])}
    return [_story(row, known[row.order_id]) for row in rows]


def _story(row: Payment | Refund, order: Order) -> Story:
    details = {
        "title": order.title,
        "order_state": order.state,
        "owed_fen": order.amount_fen,
        "gateway": order.gateway,
        "mall_order_id": order.mall_order_id,
        "payment_id": row.payment_id,
    }
    if isinstance(row, Refund):
        details |= {"refund_id": row.refund_id, "reason": row.reason, "created_at": row.created_at}
    return Story(
        member_id=order.member_id,
        order_id=order.order_id,
        group_id=order.group_id,
        campaign_id=order.campaign_id,
        amount_fen=row.amount_fen,
        details=details,
    )


def _moved(_: Any) -> Moved:
    return Moved()


# --- wrong amounts ------------------------------------------------------------------------------------------


def refund_mismatch(row: Payment, hand: ByHand) -> None:
    """The amount that came goes back as every refund does, under its payment's number."""
    table.transact([*_given_back(row, hand, back=Back(reason="mismatch")), hand.audit])


def note_returned(row: Payment, hand: ByHand) -> None:
    """Somebody has given the amount back already, past the system."""
    more = Order.refunded_fen.add(row.amount_fen)
    counted = table.update(Order, Order.key(row.order_id), more, refuse=_moved)
    back = Back(reason="mismatch", done=True)
    table.transact([*_given_back(row, hand, back=back), counted, hand.audit])


def _given_back(row: Payment, hand: ByHand, *, back: Back) -> list[Write]:
    order = Order(*Order.key(row.order_id), order_id=row.order_id)
    owed = service.owed_back(
        order,
        row.payment_id,
        amount_fen=row.amount_fen,
        back=back,
        whole=False,
        now=hand.now,
        payment_id=row.payment_id,
    )
    return [stuck.emptied(row, hand, Payment.state.set("returned")), owed.but(refuse=_moved)]


def accept_mismatch(row: Payment, hand: ByHand) -> None:
    """The amount is taken for what the order owes: the payment goes where a right one would have gone.

    Raises:
        Moved: it was dealt with before.
    """
    paid = Paid(payment_id=row.payment_id, amount_fen=row.amount_fen, by_hand=hand)
    try:
        service.place(service.show(row.order_id), paid, now=hand.now)
    except PaymentKnown as known:
        raise Moved from known


stuck.trouble(
    Trouble(
        job=MISMATCH_JOB,
        en="A payment of a wrong amount",
        zh="支付金额与应付不符",
        urgency=0,
        tell=_tell,
        retry=False,
        settle={"refund": refund_mismatch, "returned": note_returned, "accepted": accept_mismatch},
    )
)

# --- refunds ------------------------------------------------------------------------------------------------


def note_paid_back(row: Refund, hand: ByHand) -> None:
    """The money went back by another way, such as the bank: the refund is confirmed."""
    done, refunded = service.confirmed(row, now=hand.now, refuse=_moved)
    decided = done.but(actions=(*done.actions, hand.mark)).also(hand.still)
    table.transact([decided, refunded, hand.audit])


stuck.trouble(
    Trouble(
        job=REFUND_JOB,
        en="A refund that was not given",
        zh="退款未完成",
        urgency=0,
        tell=_tell,
        settle={"paid": note_paid_back},
    )
)

stuck.trouble(
    Trouble(
        job=TWICE_JOB,
        en="A refund that the mall may have given twice",
        zh="商城可能重复退款",
        urgency=0,
        tell=_tell,
        retry=False,
        settle={"seen": stuck.empty},
    )
)

# --- paid orders that were never completed ------------------------------------------------------------------


@due.handles(UNFINISHED_JOB)
def look_at(entry: due.Entry, now: int) -> None:
    """Some days after its payment: an order that is still only paid waits for a person."""
    order_id = entry.pk.removeprefix("ORDER#")
    order = service.show(order_id)
    here = (Row.due_shard == entry.due_shard) & (Row.due_at == entry.due_at)
    waits = order.state == "paid" and order.paid_at is not None
    over = due.emptied()
    if waits:
        over = due.handed_over(UNFINISHED_JOB, at=now, why=f"paid at {order.paid_at}, never completed")
    listed = table.update(Payment, (entry.pk, entry.sk), *over, when=here, refuse=_moved)
    still = table.check(Order, Order.key(order_id), when=Order.state == "paid", refuse=_moved)
    try:
        table.transact([listed, still] if waits else [listed])
    except Moved:
        logger.info("the order went on meanwhile", order=order_id)


def complete(row: Payment, hand: ByHand) -> None:
    """The order is done, though the mall never said so."""
    done = service.completed(service.show(row.order_id), now=hand.now, refuse=_moved)
    table.transact([stuck.emptied(row, hand), done, hand.audit])


@facts.reaction("order.completed", name="orders.unlist_completed")
@facts.reaction("order.refunding", name="orders.unlist_refunding")
@facts.reaction("order.refunded", name="orders.unlist_refunded")
def unlist(order: Order, now: int) -> Sequence[Write]:
    """An order that goes on after all waits for nobody any more."""
    overdue = order.paid_at is not None and now >= order.paid_at + settings().unfinished_days * DAY
    if not overdue or order.payment_id is None:
        return []
    key = Payment.key(order.order_id, order.payment_id)
    waiting = due.stuck_shard(UNFINISHED_JOB)
    payment = table.get(Payment, key)
    if payment is None or payment.due_shard != waiting:
        return []
    return [table.update(Payment, key, *due.emptied(), when=Payment.due_shard == waiting, refuse=Busy)]


stuck.trouble(
    Trouble(
        job=UNFINISHED_JOB,
        en="A paid order that was never completed",
        zh="已支付但长期未完成的订单",
        urgency=2,
        tell=_tell,
        settle={"completed": complete},
        cancel=stuck.empty,
    )
)
