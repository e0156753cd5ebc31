"""HTTP for the mini-program: orders and their payment; and, outside prod, the sandbox's page that pays."""

from chalicelib.core import config, doors, ids
from chalicelib.core.errors import Busy, NotFound
from chalicelib.core.http import Api, Call
from chalicelib.orders import gateways, service
from chalicelib.orders.answers import order_answer
from chalicelib.orders.gateways import PaymentUnavailable
from chalicelib.orders.schemas import OrderAnswer, PaymentBegun
from chalicelib.orders.service import Paid, Phone

api = Api(__name__)


@api.get("/v1/orders/{order_id}", door=doors.MEMBER, refuses=[NotFound])
def show(call: Call, order_id: str) -> OrderAnswer:
    """One of my orders."""
    return order_answer(service.show(order_id, member_id=call.member_id), now=call.now)


@api.post(
    "/v1/orders/{order_id}/payments",
    door=doors.MEMBER,
    refuses=[
        NotFound,
        service.OrderOver,
        PaymentUnavailable,
        gateways.PaymentRefused,
        gateways.BegunElsewhere,
        gateways.PayerUnknown,
    ],
)
def begin_payment(call: Call, order_id: str) -> PaymentBegun:
    """What the phone needs to pay this order: by WeChat, `details` is what wx.requestPayment takes."""
    order = service.show(order_id, member_id=call.member_id)
    phone = Phone(program_id=call.program_id, base_url=call.base_url)
    begun = service.begin_payment(order, phone=phone, now=call.now, entropy=ids.entropy(now=call.now))
    return PaymentBegun(
        gateway=order.gateway,
        order_id=order.order_id,
        amount_fen=order.amount_fen,
        pay_url=begun.get("pay_url"),
        details=begun,
        held_until=order.held_until,
        now=call.now,
    )


@api.post(
    "/v1/orders/{order_id}/payments/check",
    door=doors.MEMBER,
    refuses=[NotFound, Busy, PaymentUnavailable],
)
def check_payment(call: Call, order_id: str) -> OrderAnswer:
    """My order after its gateway was asked whether it was paid: for a page that comes back from paying."""
    order = service.show(order_id, member_id=call.member_id)
    return order_answer(service.check_payment(order, now=call.now), now=call.now)


@api.post(
    "/v1/orders/{order_id}/cancel",
    door=doors.MEMBER,
    refuses=[NotFound, service.OrderOver, PaymentUnavailable],
)
def cancel(call: Call, order_id: str) -> OrderAnswer:
    """Let an unpaid order go, with what it holds."""
    order = service.show(order_id, member_id=call.member_id)
    return order_answer(service.cancel(order, now=call.now), now=call.now)


@api.post(
    "/v1/sandbox/orders/{order_id}/payments/{payment_id}",
    door=doors.PUBLIC,
    refuses=[NotFound, service.OrderOver],
)
def pay_in_sandbox(call: Call, order_id: str, payment_id: str) -> OrderAnswer:
    """Pay, as a phone would; only where the gateway is the sandbox, and not what was closed there."""
    order = service.show(order_id)
    if config.settings().payment_gateway != "sandbox" or order.gateway != "sandbox":
        raise NotFound
    if order.prepay_closed and payment_id == order.prepay_id:
        raise service.OrderOver(state=order.state)
    paid = Paid(payment_id=payment_id, amount_fen=order.amount_fen)
    service.pay(order_id, paid, now=call.now)
    return order_answer(service.show(order_id), now=call.now)
