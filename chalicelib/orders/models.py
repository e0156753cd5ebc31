"""Order storage.

entity     pk                 sk                   written by                    read by
Order      ORDER#<ord_>       META                 the room that sells, pay      pay, show, the room that sells
Lines      ORDER#<ord_>       LINES                the mall's orders             lines_of
Payment    ORDER#<ord_>       PAYMENT#<payment>    pay (once for a payment)      pay, show
Refund     ORDER#<ord_>       REFUND#<cause>       pay, the room that sells      send_refund, operators
MallName   MALLORDER#<id>     META                 order.created                 look-ups, the mall's events
Bill       BILLS              <YYYY-MM-DD>         plan, the job                 the job, operators
Difference BILL#<YYYY-MM-DD>  <what>#<number>      the job                       the job, operators

due: refund#k from the first moment, gone once confirmed; stuck after ten failures; stuck#twice: the mall
gave by itself what it had been asked for. stuck#mismatch: a payment
of a wrong amount, at once. A payment that was taken: unfinished#k some days after it, to look whether its order was
completed; then gone, or stuck#unfinished. An order's own slot is for what its facts owe, react#k: that the mall
made it, and that it was paid, completed, or given back; a part that went back is told by its refund, before the
gateway is asked, or, when the mall gave it by itself, from its own slot. Bill: bill#k from half past ten of the
next morning in Beijing until it agrees; stuck#bill when it does not for hours.
owner: Order: <mbr_>#orders, newest first; Refund: refunds#<YYYY-MM-DD>, what was confirmed that day.
rank: Order once money came for it: ORDERS#<cmp_>#<k> by its time.
A cause is a payment's number, so that a payment is refunded once.

Order: pending → paid → completed · pending → cancelled → paid (late) · paid | cancelled → refunding → refunded
"""

from pynamodb.attributes import BooleanAttribute, JSONAttribute, UnicodeAttribute, UnicodeSetAttribute

from chalicelib.core.table import IntAttribute, Key, Row


class Order(Row, discriminator="order"):
    """What one member owes or has paid. ``refundable_fen`` is what is paid and in no refund yet; ``over_fen`` what
    is in a refund as it was more than the final price.

    What belongs to a group (``campaign_id`` to ``taken``, ``held_until``) the mall's ordinary orders are without.
    ``taken`` is what goes back to the stock when the order is let go unpaid. ``prepay_id`` is what a phone can pay:
    an order that has one is not let go before that is closed at the gateway; ``prepay_program`` is where it was
    begun. ``opened``: it was made to open a group, wherever its seat is now. After-sales are noted by the mall's
    ids, opened and closed;
    ``aftersale_open`` is of those without an id.
    """

    FACTS = {
        (None, "pending"): "order.created",
        ("pending", "paid"): "order.paid",
        ("cancelled", "paid"): "order.paid",
        ("pending", "cancelled"): "order.cancelled",
        ("paid", "completed"): "order.completed",
        ("paid", "refunding"): "order.refunding",
        ("completed", "refunding"): "order.refunding",
        ("cancelled", "refunding"): "order.refunding",
        ("refunding", "refunded"): "order.refunded",
        ("paid", "refunded"): "order.refunded",
        ("completed", "refunded"): "order.refunded",
    }

    order_id = UnicodeAttribute()
    member_id = UnicodeAttribute()
    purpose = UnicodeAttribute()
    gateway = UnicodeAttribute()
    mall_order_id = UnicodeAttribute(null=True)
    link = UnicodeAttribute(null=True)
    campaign_id = UnicodeAttribute(null=True)
    group_id = UnicodeAttribute(null=True)
    sku_id = UnicodeAttribute(null=True)
    quantity = IntAttribute()
    size = IntAttribute(null=True)
    lifetime_s = IntAttribute(null=True)
    head = BooleanAttribute(null=True)
    opened = BooleanAttribute(null=True)
    taken = JSONAttribute(null=True)
    title = UnicodeAttribute()
    amount_fen = IntAttribute()
    created_at = IntAttribute()
    held_until = IntAttribute(null=True)
    prepay_id = UnicodeAttribute(null=True)
    prepay_program = UnicodeAttribute(null=True)
    prepay_closed = BooleanAttribute(null=True)
    payment_id = UnicodeAttribute(null=True)
    paid_fen = IntAttribute(null=True)
    paid_at = IntAttribute(null=True)
    refundable_fen = IntAttribute(null=True)
    refunded_fen = IntAttribute(null=True)
    over_fen = IntAttribute(null=True)
    completed_at = IntAttribute(null=True)
    shipped_at = IntAttribute(null=True)
    aftersale_open = BooleanAttribute(null=True)
    aftersale_at = IntAttribute(null=True)
    aftersales_opened = UnicodeSetAttribute(null=True)
    aftersales_closed = UnicodeSetAttribute(null=True)

    @property
    def disputed(self) -> bool:
        """Whether any after-sale of it is open."""
        opened, closed = self.aftersales_opened or set(), self.aftersales_closed or set()
        return bool(self.aftersale_open or opened - closed)

    @staticmethod
    def key(order_id: str) -> Key:
        """Where the order of this id is."""
        return f"ORDER#{order_id}", "META"


class Lines(Row, discriminator="order_lines"):
    """What is in an ordinary order of the mall; apart from the order, whose every write would pay for it."""

    lines = JSONAttribute()

    @staticmethod
    def key(order_id: str) -> Key:
        """One row for an order."""
        return f"ORDER#{order_id}", "LINES"


class Payment(Row, discriminator="payment"):
    """One payment as the gateway reported it: ``taken``, ``returned`` (there was no use for it) or ``mismatch``."""

    order_id = UnicodeAttribute()
    payment_id = UnicodeAttribute()
    amount_fen = IntAttribute()
    at = IntAttribute()

    @staticmethod
    def key(order_id: str, payment_id: str) -> Key:
        """One row for a payment."""
        return f"ORDER#{order_id}", f"PAYMENT#{payment_id}"


class MallName(Row, discriminator="mall_order"):
    """Which order the mall's own number names, said by the mall after the phone had ordered."""

    order_id = UnicodeAttribute()

    @staticmethod
    def key(mall_order_id: str) -> Key:
        """One row for a number of the mall."""
        return f"MALLORDER#{mall_order_id}", "META"


class Refund(Row, discriminator="refund"):
    """Money owed back: ``due`` → ``sent`` → ``done``. ``whole`` ends the order.

    ``number`` is the mall's own, under which it gave it back unasked. ``lines``: what of a part is of which line of
    the order; ``shared`` if nobody said so and it is in proportion.
    """

    FACTS = {(None, "done"): "refund.done", ("due", "done"): "refund.done", ("sent", "done"): "refund.done"}

    refund_id = UnicodeAttribute()
    order_id = UnicodeAttribute()
    payment_id = UnicodeAttribute()
    amount_fen = IntAttribute()
    reason = UnicodeAttribute()
    whole = BooleanAttribute()
    created_at = IntAttribute()
    done_at = IntAttribute(null=True)
    number = UnicodeAttribute(null=True)
    lines = JSONAttribute(null=True)
    shared = BooleanAttribute(null=True)

    @staticmethod
    def key(order_id: str, cause: str) -> Key:
        """One row for a cause."""
        return f"ORDER#{order_id}", f"REFUND#{cause}"


class Bill(Row, discriminator="bill"):
    """WeChat Pay's bill of a day: ``due`` until it was compared, then ``agrees`` or ``differs``.

    ``payments`` and ``refunds`` are its lines of our orders, ``others`` those of other systems of the merchant;
    ``looks`` is how often it was compared.
    """

    looks = IntAttribute()
    compared_at = IntAttribute(null=True)
    payments = IntAttribute(null=True)
    refunds = IntAttribute(null=True)
    others = IntAttribute(null=True)
    differences = IntAttribute(null=True)

    @staticmethod
    def key(day: str) -> Key:
        """All bills, in the order of their days."""
        return "BILLS", day


class Difference(Row, discriminator="bill_difference"):
    """Where a bill and our books differ, or, since ``gone_at``, did: of one payment or refund, in fen."""

    day = UnicodeAttribute()
    what = UnicodeAttribute()
    number = UnicodeAttribute()
    order_id = UnicodeAttribute()
    theirs_fen = IntAttribute(null=True)
    ours_fen = IntAttribute(null=True)
    seen_at = IntAttribute()
    gone_at = IntAttribute(null=True)

    @staticmethod
    def key(day: str, what: str, number: str) -> Key:
        """Beside the others of its day."""
        return f"BILL#{day}", f"{what}#{number}"
