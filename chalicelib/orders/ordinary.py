"""The mall's ordinary orders: of no campaign of ours, told with their lines, by order.created or order.paid.

The mall's own number is the natural key, so whichever event comes first makes the order and every other finds it.
Prices are the mall's: what order.paid says of the lines counts, should it differ from what was said before.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

import msgspec

from chalicelib.core import facts, table
from chalicelib.core.errors import Busy, Invalid
from chalicelib.core.money import share_within_fen
from chalicelib.core.table import Row, Write
from chalicelib.orders import lines as order_lines
from chalicelib.orders import service
from chalicelib.orders.gateways import Paid
from chalicelib.orders.lines import Line
from chalicelib.orders.models import Lines, Order, Refund
from chalicelib.orders.service import Back

PURPOSE = "mall"
ROUNDS = 20
Sold = Sequence[dict[str, Any]]
"""Lines as their row keeps them."""


class _Moved(Exception):
    """The order is not what it was: look again."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the mall tells it; ``amount_fen`` is the sum of its lines."""

    mall_order_id: str
    member_id: str
    link: str | None
    created_at: int
    amount_fen: int
    lines: Sold


# --- making them --------------------------------------------------------------------------------------------


def made(told: Told, *, now: int) -> Order:
    """The order of this number; made now, or whichever way it was made before."""
    order_id = service.id_for_mall(told.mall_order_id)
    pk, sk = Order.key(order_id)
    order = Order(
        pk,
        sk,
        state="pending",
        order_id=order_id,
        member_id=told.member_id,
        purpose=PURPOSE,
        gateway="mall",
        mall_order_id=told.mall_order_id,
        link=told.link,
        created_at=told.created_at,
        **_goods(told.amount_fen, told.lines),
        **service.listed(told.member_id, order_id, now=told.created_at),
        **facts.owed_if_wanted("order.created", pk=pk, rev=1, now=now),
    )
    kept = Lines(*Lines.key(order_id), lines=list(told.lines))
    try:
        table.transact([table.create(order), table.create(kept, refuse=Busy)])
    except table.Taken as first:
        return cast(Order, first.row)
    return order


def _goods(amount_fen: int, lines: Sold) -> dict[str, Any]:
    """What the order's row says of its lines."""
    first, *more = lines
    title = first.get("title") or first["product_id"]
    return {
        "amount_fen": amount_fen,
        "quantity": sum(line["quantity"] for line in lines),
        "title": f"{title} +{len(more)}" if more else title,
    }


def retold(order: Order, *, amount_fen: int, lines: Sold) -> None:
    """What the payment says of the lines is what was sold; paid already, the order stays as it is.

    Raises:
        Busy: the order kept changing.
    """
    key = Lines.key(order.order_id)
    for _ in range(ROUNDS):
        kept = table.get(Lines, key)
        same = kept is not None and kept.lines == lines and order.amount_fen == amount_fen
        if kept is None or same or order.state not in ("pending", "cancelled"):
            return
        new = Lines(*key, rev=kept.rev + 1, lines=list(lines))
        goods = [getattr(Order, name).set(value) for name, value in _goods(amount_fen, lines).items()]
        unpaid = Order.state.is_in("pending", "cancelled")
        changed = table.update(Order, (order.pk, order.sk), *goods, when=unpaid, refuse=_Moved)
        replaced = Write(operation="Put", row=new, when=Lines.rev == kept.rev, refuse=lambda _: _Moved())
        with suppress(_Moved):
            table.transact([changed, replaced])
        order = service.show(order.order_id)
    raise Busy


# --- what becomes of them -----------------------------------------------------------------------------------


def settle(order: Order, paid: Paid, now: int) -> None:
    """A payment takes the order, also one that was cancelled; a second one goes back.

    Raises:
        service.PaymentKnown: it was dealt with before. Busy: the order kept changing.
    """
    for _ in range(ROUNDS):
        if order.state not in ("pending", "cancelled"):
            if order.payment_id != paid.payment_id:
                service.give_back(order, paid, now=now)
            return
        before = order.state
        order = service.caught_up(order, now=now)
        try:
            table.transact(service.taken(order, paid, before=before, refuse=_Moved, now=now))
            return
        except _Moved:
            order = service.show(order.order_id)
    raise Busy


def release(order: Order, now: int) -> None:
    """An unpaid order is over; paid meanwhile, it stays."""
    try:
        table.apply(service.cancelled(order, refuse=_Moved))
    except _Moved:
        return


def refund(order: Order, back: Back, now: int) -> None:
    """Give a paid order back; given back already, nothing changes.

    Raises:
        Busy: the order kept changing.
    """
    for _ in range(ROUNDS):
        order = service.caught_up(service.show(order.order_id), now=now)
        if order.state not in ("paid", "completed"):
            return
        try:
            table.transact(service.refunding(order, back=back, refuse=_Moved, now=now))
            return
        except _Moved:
            continue
    raise Busy


# --- what is in them ----------------------------------------------------------------------------------------


def rows_of(order: Order) -> tuple[Sold, list[Refund]]:
    """The lines as they were sold, and the order's refunds."""
    rows = table.query_all(Row, order.pk)
    sold: Sold = next((row.lines for row in rows if isinstance(row, Lines)), [])
    return sold, [row for row in rows if isinstance(row, Refund)]


def lines(order: Order) -> list[Line]:
    """What is in an order, with what went back of each line."""
    return order_lines.computed(order, *rows_of(order))


def parted(
    order: Order, refunds: Sequence[Refund], *, amount_fen: int, named: Mapping[str, int] | None
) -> dict[str, int]:
    """How much of a part that goes back is of which line: as ``named``, else in proportion to what is left of each.

    What nobody named before gives way to what is named now.

    Raises:
        Invalid: more is named of a line than is left of it, or there is no such line; or it is too much in all.
    """
    known = lines(order)
    left = {line.line_id: line.net_fen for line in known}
    if amount_fen > sum(left.values()):
        raise Invalid(field="amount_fen", reason="more than is left", left=order.refundable_fen)
    before = order_lines.named_fen(order, refunds, also_shared=False)
    _may_be_named({line.line_id: line.paid_fen - before[line.line_id] for line in known}, named or {})
    back = {line_id: min(fen, left[line_id]) for line_id, fen in (named or {}).items()}
    rest = {line_id: fen - back.get(line_id, 0) for line_id, fen in left.items()}
    more = share_within_fen(amount_fen - sum(back.values()), most=list(rest.values()))
    shares = {line_id: back.get(line_id, 0) + part for line_id, part in zip(rest, more, strict=True)}
    return {line_id: fen for line_id, fen in shares.items() if fen}


def _may_be_named(left: Mapping[str, int], named: Mapping[str, int]) -> None:
    for n, (line_id, fen) in enumerate(named.items()):
        if line_id not in left:
            raise Invalid(field=f"lines[{n}].line_id", reason="there is no such line")
        if fen > left[line_id]:
            why = "more than is left of this line"
            raise Invalid(field=f"lines[{n}].amount_fen", reason=why, left=left[line_id])


service.purpose(PURPOSE, settle=settle, release=release, refund=refund, lines=lines)
