"""A member's story, told from what the rooms know.

What is listed is what began: orders, links, operators' changes, messages to the mall, newest first, merged from the
member's own lists of the owner index, with what is in partitions of the member's own: coupons and gifts, packs,
check-ins and teams, rewards, badges, and visits, whether they bound or not. What came of an order (its payments,
its group, its refunds) stands with it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chalicelib.checkins import standings, teams
from chalicelib.checkins.giving import FREEZE_CARD, MAKEUP_CARD
from chalicelib.core import table
from chalicelib.coupons import gifts, packs
from chalicelib.coupons import service as coupons
from chalicelib.groupbuys import reading as groups
from chalicelib.members import service as members
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.points import badges, levels
from chalicelib.points import service as points
from chalicelib.rewards import lists as rewards
from chalicelib.sharing import stories
from chalicelib.support.schemas import Happened

_NEVER = 99_999_999_999
_BOOKS = (points.POINTS, levels.GROWTH, MAKEUP_CARD, FREEZE_CARD, "money")


def timeline(
    member_id: str, *, limit: int, before: str | None, now: int
) -> tuple[list[Happened], str | None]:
    """What happened to a member, newest first, by ``limit`` things that began; and what the next page is before.

    Raises:
        NotFound: there is no such member.
    """
    owners = {f"{member_id}#{name}": name for name in _TELL}
    rows, following = table.merged(list(owners), limit=limit, before=before)
    found = _own(member_id, since=_second(following) if following else -1, until=_second(before), now=now)
    for name, tell in _TELL.items():
        found += tell([row for row in reversed(rows) if owners[row.owner] == name])
    # Turned round after it is sorted: of one second, what follows from something else stands above it.
    return sorted(found, key=lambda one: one.at)[::-1], following


def _second(listed_at: str | None) -> int:
    return int(listed_at.partition("#")[0]) if listed_at else _NEVER


# --- what is the member's own -------------------------------------------------------------------------------


def _own(member_id: str, *, since: int, until: int, now: int) -> list[Happened]:
    """What is in no list of the index, as far as it belongs between two pages: after ``since``, until ``until``."""
    member = members.show(member_id)
    details: dict[str, Any] = {"program_id": member.program_id, "link": member.came_link}
    found = [Happened(at=member.registered_at, what="registered", subject=member_id, details=details)]
    if member.merged_into is not None:
        found.append(_of(member.merged_into, "merged_into", member.merged_at or 0))
    found += [*_visits(member_id), *_coupons(member_id, now=now), *_checkins(member_id), *_badges(member_id)]
    found += [*_packs(member_id, since=since, until=until), *_rewards(member_id, since=since, until=until)]
    return [one for one in found if since < one.at <= until]


def _visits(member_id: str) -> list[Happened]:
    """Whose customer the member became by which, and of whom else's they did not."""
    story = stories.of(member_id)
    states = [row.was for row in story.past]
    if story.binding is not None:
        names = ("state", "promoter_id", "link", "policy", "bound_at", "cause")
        states.append({name: getattr(story.binding, name) for name in names})
    bound = [
        _of(was["promoter_id"], was["state"], was["bound_at"], **{name: was[name] for name in _BOUND_BY})
        for was in states
    ]
    # Who only lost the member, without a visit that did not bind, is told by what the binding was before.
    return [
        *bound,
        *(_not_bound(row, "visit_not_bound", row.promoter_id, row.last_at) for row in story.touches if row.n),
    ]


_BOUND_BY = ("link", "policy", "cause")


def _not_bound(row: Any, what: str, subject: str, at: int) -> Happened:
    names = ("reason", "link", "first_at", "last_at")
    return _of(subject, what, at, **{name: getattr(row, name) for name in names})


def _coupons(member_id: str, *, now: int) -> list[Happened]:
    rows, found = coupons.all_of(member_id), []
    for row in rows:
        told = {"template_id": row.template_id, "source": row.source, "state": row.state}
        found.append(_of(row.coupon_id, _GOT.get(row.source, "coupon_got"), row.claimed_at, **told))
        if row.used_at is not None:
            found.append(_of(row.coupon_id, "coupon_used", row.used_at, order=row.order_ref))
    return found + [one for gift in gifts.of(rows, now=now) for one in _gift(gift)]


_GOT = {"pack": "piece_taken", "gift": "gift_accepted"}
"""What getting a coupon is called, by its source."""


def _gift(row: Any) -> list[Happened]:
    """A gift and its end, at the giver's; its code is for friends alone."""
    given = _of(row.coupon_id, "gift_given", row.given_at, state=row.state, taker_id=row.taker_id)
    over = row.ended_at is not None
    return [
        given,
        *([_of(row.coupon_id, f"gift_{row.state}", row.ended_at, taker_id=row.taker_id)] if over else []),
    ]


def _packs(member_id: str, *, since: int, until: int) -> list[Happened]:
    names = ("plan_id", "title", "state", "pieces", "left", "order_id", "sharer_coupon_id", "new_missing")
    return [
        _of(row.pack_id, "pack_opened", row.opened_at, **{name: getattr(row, name) for name in names})
        for row in packs.between(member_id, since=since, until=until)
    ]


def _badges(member_id: str) -> list[Happened]:
    _, awards = badges.of(member_id)
    return [_of(badge_id, "badge_awarded", at) for badge_id, at in awards.items()]


def _checkins(member_id: str) -> list[Happened]:
    """A month of a campaign is one thing, and stands where its last day is; the teams they are in."""
    everywhere = standings.everywhere(member_id)
    months = [
        _of(
            campaign.campaign_id,
            "checked_in",
            standings.last_turn_at(campaign, month),
            title=campaign.title,
            month=month.month,
            **{name: _days(getattr(month, name)) for name in ("days", "made_up", "frozen")},
        )
        for campaign, _, found in everywhere
        for month in found
    ]
    joined = teams.joined(member_id, [part.team_id for _, part, _ in everywhere if part.team_id])
    return months + [
        _of(
            team.team_id,
            "team_joined",
            at,
            campaign_id=team.campaign_id,
            title=team.title,
            founder=team.founder_id == member_id,
        )
        for team, at in joined
    ]


def _days(numbers: Any) -> str | None:
    return ", ".join(str(day) for day in sorted(int(day) for day in numbers)) if numbers else None


def _rewards(member_id: str, *, since: int, until: int) -> list[Happened]:
    names = ("rule_id", "title", "role", "fact", "gifts", "short", "state", "reason")
    return [
        _of(row.grant_id, "reward", row.at, **{name: getattr(row, name) for name in names})
        for row in rewards.between(member_id, since=since, until=until)
    ]


# --- what is listed -----------------------------------------------------------------------------------------


def _orders(rows: Sequence[Order]) -> list[Happened]:
    found = groups.those([order.group_id for order in rows if order.group_id])
    return [one for order in rows for one in _order(order, found.get(order.group_id or ""))]


def _order(order: Order, group: Any) -> list[Happened]:
    made = {
        "group_id": order.group_id,
        "title": order.title,
        "amount_fen": order.amount_fen,
        "state": order.state,
        "head": bool(order.head),
        "mall_order_id": order.mall_order_id,
    }
    opened, over = _group(order, group) if group is not None else ([], [])
    noted = {"shipped": order.shipped_at, "completed": order.completed_at}
    went_on = [_of(order.order_id, what, at) for what, at in noted.items() if at is not None]
    ordered = _of(order.order_id, "ordered", order.created_at, **made)
    paid, back = _money(order.order_id)
    return [*opened, ordered, *paid, *over, *went_on, *back]


def _money(order_id: str) -> tuple[list[Happened], list[Happened]]:
    payments, refunds = orders.money_of(order_id)
    paid = [
        _of(order_id, f"payment_{row.state}", row.at, payment_id=row.payment_id, amount_fen=row.amount_fen)
        for row in payments
    ]
    back = [
        _of(
            order_id,
            f"refund_{row.state}",
            row.done_at or row.created_at,
            refund_id=row.refund_id,
            amount_fen=row.amount_fen,
            reason=row.reason,
        )
        for row in refunds
    ]
    return paid, back


def _group(order: Order, group: Any) -> tuple[list[Happened], list[Happened]]:
    """That the member opened the group, and what became of it if they had paid, leading it or not."""
    told = {"order_id": order.order_id, "state": group.state, "head": group.head_id == order.member_id}
    opened = [_of(group.group_id, "opened_group", group.opened_at, **told)] if order.head else []
    over = order.state not in ("pending", "cancelled") and group.ended_at is not None
    return opened, [_of(group.group_id, f"group_{group.state}", group.ended_at, **told)] if over else []


def _links(rows: Sequence[Any]) -> list[Happened]:
    return [
        _of(
            row.code,
            "link_minted",
            row.created_at,
            state=row.state,
            target=f"{row.target_kind}:{row.target_id}",
            channel=row.channel,
            placement=row.placement,
        )
        for row in rows
    ]


def _missed(rows: Sequence[Any]) -> list[Happened]:
    """Who came by the member's links and was not bound to them, and why not, the last time."""
    return [_not_bound(row, "invitee_not_bound", row.member_id, _second(row.listed_at)) for row in rows]


def _changes(rows: Sequence[Any]) -> list[Happened]:
    return [
        _of(
            row.subject,
            row.action,
            row.at,
            by=row.by,
            by_name=row.by_name,
            before=row.before,
            after=row.after,
        )
        for row in rows
    ]


def _messages(rows: Sequence[Any]) -> list[Happened]:
    return [
        _of(
            row.pk,
            "mall_told",
            row.created_at,
            type=row.type,
            state=row.state,
            attempts=row.attempts or 0,
            last_error=row.last_error,
        )
        for row in rows
    ]


def _merges(rows: Sequence[Any]) -> list[Happened]:
    """Who the member also was: what was theirs before is told there."""
    return [_of(row.member_id, "merged", row.merged_at, state=row.state) for row in rows]


def _commissions(rows: Sequence[Any]) -> list[Happened]:
    """What an order earned the member as a promoter, and where it stands; the whole of it is its explanation."""
    names = ("order_id", "level", "state", "amount_fen", "settled_fen", "settled_at")
    return [
        _of(row.commission_id, "earned", row.made_at, **{name: getattr(row, name) for name in names})
        for row in rows
    ]


def _withdrawals(rows: Sequence[Any]) -> list[Happened]:
    """When it was applied for, and where it stands; its bank account is for finance alone."""
    names = (
        "state",
        "amount_fen",
        "fee_fen",
        "tax_fen",
        "net_fen",
        "method",
        "sent_at",
        "ended_at",
        "reason",
    )
    return [
        _of(row.withdrawal_id, "withdrew", row.applied_at, **{name: getattr(row, name) for name in names})
        for row in rows
    ]


def _posted(book: str) -> Callable[[Sequence[Any]], list[Happened]]:
    """How the entries of a member's account are told: ``amount`` below zero was spent, ``state`` is of a hold."""
    return lambda rows: [
        _of(row.cause, f"{book}_posted", row.at, amount=row.amount, reason=row.reason, state=row.state)
        for row in rows
    ]


def _of(subject: str, what: str, at: int, **details: Any) -> Happened:
    plain = {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        for name, value in details.items()
    }
    return Happened(at=at, what=what, subject=subject, details=plain)


_TELL: Mapping[str, Callable[[Sequence[Any]], list[Happened]]] = {
    "orders": _orders,
    "links": _links,
    "missed": _missed,
    "audit": _changes,
    "deliveries": _messages,
    "commissions": _commissions,
    "withdrawals": _withdrawals,
    "merges": _merges,
    **{book: _posted(book) for book in _BOOKS},
}
"""The member's lists in the owner index, and how each is told."""
