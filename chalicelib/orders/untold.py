"""What WeChat Pay's bill has and nobody told of: taken in where it is certain what it was, else left to people.

After a restore that is all that came and went since the time of which the table is. A payment of an order that is
here goes where every payment goes. A refund's number is derived from its cause, so one that gives a whole payment
back is known by it though its row is lost; a part of one is decided again when its cause is, under the same number.
"""

from chalicelib.orders import service, wechatpay
from chalicelib.orders.models import Order
from chalicelib.orders.service import Back

BACK = "taken_in"


def payment(order_id: str, *, now: int) -> None:
    """The order's payment as WeChat has it, whether or not it was begun as far as is known here."""
    order = service.find(order_id)
    if order is None or order.gateway != "wechat":
        return
    paid = wechatpay.came(order, now=now)
    if paid is not None:
        service.pay(order_id, paid, now=now)


def refund(order_id: str, refund_id: str, *, amount_fen: int, now: int) -> None:
    """A refund that WeChat has given: the one that is owed here is confirmed, or the whole order is given back."""
    order = service.find(order_id)
    if order is None:
        return
    known = next((one for one in service.money_of(order_id)[1] if one.refund_id == refund_id), None)
    if known is not None:
        if known.amount_fen == amount_fen:
            service.confirm_refund(known, now=now)
    elif refund_id == _of_whole(order) and amount_fen == order.refundable_fen:
        service.refund(order_id, back=Back(reason=BACK, done=True), now=now)


def _of_whole(order: Order) -> str:
    return service.refund_id_of(order.order_id, order.payment_id or "")
