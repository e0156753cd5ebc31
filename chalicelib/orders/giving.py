"""Money that the mall gave back by itself: what it was of, and that it goes back only once.

What is owed here already is confirmed by it, whatever its number; what was asked of the mall before is confirmed
too, and waits for a person, who sees whether the mall has given it twice. A wrong amount is settled as returned.
"""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from chalicelib.core import due, table
from chalicelib.core.errors import Busy, Conflict, Invalid
from chalicelib.core.telemetry import logger
from chalicelib.orders import ordinary, service
from chalicelib.orders.models import Order, Payment, Refund
from chalicelib.orders.service import Back, OrderOver


class PaymentNotKnown(Conflict):
    """The mall gave a payment back of which it has not told yet."""

    code = "payment_not_known"
    en = "This payment has not been reported yet."
    zh = "尚未收到该笔支付的通知。"
    advice = "Send it again, with the same id, after order.paid of this payment was taken."


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What the mall says that it gave back: ``number`` is its own; no amount is all of it.

    ``lines``: how much of it is of which line of an ordinary order, if it says so.
    """

    number: str
    amount_fen: int | None
    payment_id: str | None
    lines: Mapping[str, int] | None = None

    @property
    def back(self) -> Back:
        """Nobody is asked for it."""
        return Back(reason="mall", done=True, number=self.number)


def follow(order: Order, given: Given, *, now: int) -> None:
    """The mall gave money back by itself; told again under its number, nothing changes.

    Raises:
        Invalid: it is another amount than can be, or does not say of which payment. OrderOver, PaymentNotKnown: the
        payment has not been told of. Busy: somebody else was first.
    """
    payments, refunds = service.money_of(order.order_id)
    if any(given.number == row.number for row in refunds):
        return
    payment = _meant(payments, order, given)
    owed = _owed_part(refunds, payment, given)
    if payment.state == "mismatch":
        _returned(order, payment, given, now=now)
    elif owed is not None:
        _confirmed(owed, given, now=now)
    elif payment.payment_id == order.payment_id and order.state in ("paid", "completed"):
        _taken_back(order, refunds, given, now=now)
    else:
        _whole_confirmed(refunds, payment, given, now=now)


def _meant(payments: list[Payment], order: Order, given: Given) -> Payment:
    """The payment that was given back: named, unless the order has had only one."""
    if given.payment_id is None and len(payments) > 1:
        raise Invalid(field="payment_id", reason="this order was paid more than once")
    asked = given.payment_id or order.payment_id or (payments[0].payment_id if payments else None)
    found = next((row for row in payments if row.payment_id == asked), None)
    if found is None and given.payment_id is None:
        raise OrderOver(state=order.state)
    # A right payment may be under way still: without its number a wrong one is told from it by its amount alone.
    unsure = given.payment_id is None and found is not None and found.state == "mismatch"
    if found is None or (unsure and found.amount_fen != given.amount_fen):
        raise PaymentNotKnown(payment_id=given.payment_id)
    return found


def _owed_part(refunds: list[Refund], payment: Payment, given: Given) -> Refund | None:
    """A part of the payment that is owed back in this amount, asked for already or not."""
    parts = (row for row in refunds if not row.whole and row.payment_id == payment.payment_id)
    owed = (row for row in parts if row.state in ("due", "sent"))
    return next((row for row in owed if row.amount_fen == given.amount_fen), None)


def _parts_in(order: Order, refunds: list[Refund], given: Given) -> list[Refund]:
    """The parts that are owed back, or were, and are in what the mall gave, which is all that the order took."""
    mine = (row for row in refunds if not row.whole and row.payment_id == order.payment_id)
    parts = [row for row in mine if row.number is None or row.number.startswith(f"{given.number}#")]
    whole_fen = (order.refundable_fen or 0) + sum(row.amount_fen for row in parts)
    return parts if given.amount_fen == whole_fen else []


def _taken_back(order: Order, refunds: list[Refund], given: Given, *, now: int) -> None:
    """What the order took goes back, all that is left or a part of it."""
    parts = _parts_in(order, refunds, given)
    for owed in (row for row in parts if row.state != "done"):
        _confirmed(owed, replace(given, number=f"{given.number}#{owed.refund_id}"), now=now)
    if given.amount_fen not in (None, order.refundable_fen) and not parts:
        fen, back = given.amount_fen or 0, given.back
        if order.purpose == ordinary.PURPOSE:
            lines = ordinary.parted(order, refunds, amount_fen=fen, named=given.lines)
            back = replace(back, lines=lines, shared=given.lines is None)
        service.told_partly_refunded(order, amount_fen=fen, cause=f"mall#{given.number}", back=back, now=now)
        return
    service.refund(order.order_id, back=given.back, now=now)
    payments, refunds = service.money_of(order.order_id)
    if not any(given.number == row.number for row in refunds):
        # Somebody else gave it back meanwhile, and it was owed as this came.
        payment = next(row for row in payments if row.payment_id == order.payment_id)
        _whole_confirmed(refunds, payment, given, now=now)


def _returned(order: Order, payment: Payment, given: Given, *, now: int) -> None:
    """A wrong amount went back, as when a person says that it did."""
    _all_of(payment.amount_fen, given)
    over = (Payment.state.set("returned"), *due.emptied())
    still = Payment.state == "mismatch"
    more = Order.refunded_fen.add(payment.amount_fen)
    back = Back(reason="mismatch", done=True, number=given.number)
    owed = service.owed_back(
        order,
        payment.payment_id,
        amount_fen=payment.amount_fen,
        back=back,
        whole=False,
        now=now,
        payment_id=payment.payment_id,
    )
    table.transact(
        [
            table.update(Payment, (payment.pk, payment.sk), *over, when=still, refuse=Busy),
            table.update(Order, Order.key(order.order_id), more, refuse=Busy),
            owed.but(refuse=Busy),
        ]
    )


def _whole_confirmed(refunds: list[Refund], payment: Payment, given: Given, *, now: int) -> None:
    """All that is owed of this payment is back; a part of what the mall gave by itself is in that already."""
    owed = next((row for row in refunds if row.sk == Refund.key(row.order_id, payment.payment_id)[1]), None)
    if owed is None:
        raise Busy
    if owed.state == "done" and owed.number is not None and 0 < (given.amount_fen or 0) < owed.amount_fen:
        logger.info("a part was told after the whole", order=owed.order_id, number=given.number)
        return
    _all_of(owed.amount_fen, given)
    _confirmed(owed, given, now=now)


def _confirmed(owed: Refund, given: Given, *, now: int) -> None:
    """What was owed is back; was the mall asked for it before, a person looks at it."""
    if owed.state == "due":
        service.confirm_given(owed, number=given.number, now=now)
    else:
        logger.warning("the mall gave back what it was asked for", order=owed.order_id, number=given.number)
        service.seen_twice(owed, number=given.number, now=now)


def _all_of(amount_fen: int, given: Given) -> None:
    if given.amount_fen not in (None, amount_fen):
        raise Invalid(field="amount_fen", reason="this payment goes back whole", owed=amount_fen)
