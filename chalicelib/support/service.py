"""A member's story, told from what the rooms know."""

from chalicelib.groupbuys import service as groupbuys
from chalicelib.members import service as members
from chalicelib.orders import service as orders
from chalicelib.sharing import attribution
from chalicelib.support.schemas import Happened

GROUPS_AT_MOST = 50


def timeline(member_id: str) -> list[Happened]:
    """Everything about a member, newest first; of their newest fifty groups.

    Raises:
        NotFound: there is no such member.
    """
    member = members.show(member_id)
    found = [
        Happened(
            at=member.registered_at,
            what="registered",
            subject=member_id,
            details={"program_id": member.program_id, "link": member.came_link},
        )
    ]
    found += _bindings(member_id)
    for order_id in groupbuys.orders_of(member_id, limit=GROUPS_AT_MOST):
        found += _order(order_id)
    return sorted(found, key=lambda one: one.at, reverse=True)


def _bindings(member_id: str) -> list[Happened]:
    held, past = attribution.history(member_id)
    states = [row.was for row in past]
    if held is not None:
        names = ("state", "promoter_id", "link", "policy", "bound_at", "cause")
        states.append({name: getattr(held, name) for name in names})
    return [
        Happened(
            at=was["bound_at"],
            what=was["state"],
            subject=was["promoter_id"],
            details={"link": was["link"], "policy": was["policy"], "cause": was["cause"]},
        )
        for was in states
    ]


def _order(order_id: str) -> list[Happened]:
    order = orders.find(order_id)
    if order is None:
        return []
    made = Happened(
        at=order.created_at,
        what="ordered",
        subject=order_id,
        details={
            "group_id": order.group_id,
            "title": order.title,
            "amount_fen": order.amount_fen,
            "state": order.state,
            "head": order.head,
        },
    )
    payments, refunds = orders.money_of(order_id)
    paid = [
        Happened(
            at=row.at,
            what=f"payment_{row.state}",
            subject=order_id,
            details={"payment_id": row.payment_id, "amount_fen": row.amount_fen},
        )
        for row in payments
    ]
    back = [
        Happened(
            at=row.created_at,
            what=f"refund_{row.state}",
            subject=order_id,
            details={"refund_id": row.refund_id, "amount_fen": row.amount_fen, "reason": row.reason},
        )
        for row in refunds
    ]
    return [made, *paid, *back]
