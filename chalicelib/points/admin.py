"""HTTP for operators: the rule of points, exchanges, levels, badges, and one member's points."""

import msgspec

from chalicelib.core import doors, ledger
from chalicelib.core.books import Unsure
from chalicelib.core.errors import Busy, IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.members import service as members
from chalicelib.points import badges, exchanges, levels, service
from chalicelib.points.answers import admin_exchange
from chalicelib.points.models import Badge, PointsRule
from chalicelib.points.schemas import (
    AddBadge,
    AddExchange,
    AddUnits,
    Adjust,
    AdminExchange,
    AdminExchanges,
    BadgeAnswer,
    BadgeList,
    EditBadge,
    EditExchange,
    EditLevel,
    EditLevels,
    EditPointsRule,
    LevelsAnswer,
    MemberPoints,
    PointsRuleAnswer,
)

api = Api(__name__)
_MARKETING = doors.operators("marketing")
_SUPPORT = doors.operators("support")


# --- the rule -----------------------------------------------------------------------------------------------


@api.get("/v1/admin/points/settings", door=doors.ANY_OPERATOR)
def show_rule(call: Call) -> PointsRuleAnswer:
    """How long points last and what they are worth."""
    return _rule(service.rule(now=call.now), call)


@api.put("/v1/admin/points/settings", door=_MARKETING, refuses=[Busy])
def edit_rule(call: Call, body: EditPointsRule) -> PointsRuleAnswer:
    """Tell the rule anew."""
    return _rule(service.edit_rule(body, by=call.operator, now=call.now), call)


def _rule(row: PointsRule, call: Call) -> PointsRuleAnswer:
    return PointsRuleAnswer(
        lasts_months=row.lasts_months,
        rate_points=row.rate_points,
        rate_fen=row.rate_fen,
        max_share_bps=row.max_share_bps,
        now=call.now,
    )


# --- exchanges ----------------------------------------------------------------------------------------------


@api.get("/v1/admin/points/exchanges", door=doors.ANY_OPERATOR, csv=True)
def list_exchanges(call: Call) -> AdminExchanges:
    """All exchanges with what is left of their stock."""
    items = [admin_exchange(row, now=call.now) for row in exchanges.everything()]
    return AdminExchanges(items=items, now=call.now)


@api.post("/v1/admin/points/exchanges", door=_MARKETING, status=201, refuses=[Invalid, IdempotencyMismatch])
def add_exchange(call: Call, body: AddExchange) -> Reply[AdminExchange]:
    """A new exchange; with an Idempotency-Key a repeat answers with the first."""
    row = exchanges.add(body, by=call.operator, idempotency_key=call.idempotency_key, now=call.now)
    return Reply(admin_exchange(row, now=call.now), 201)


@api.put(
    "/v1/admin/points/exchanges/{exchange_id}",
    door=_MARKETING,
    refuses=[NotFound, Invalid, exchanges.ExchangeOver],
)
def edit_exchange(call: Call, exchange_id: str, body: EditExchange) -> AdminExchange:
    """Tell an exchange anew; its price and goods never change."""
    return admin_exchange(exchanges.edit(exchange_id, body, by=call.operator, now=call.now), now=call.now)


@api.post(
    "/v1/admin/points/exchanges/{exchange_id}/pause",
    door=_MARKETING,
    refuses=[NotFound, exchanges.ExchangeOver],
)
def pause_exchange(call: Call, exchange_id: str) -> AdminExchange:
    """Nothing is exchanged for now."""
    return _switched(call, exchange_id, to="paused")


@api.post(
    "/v1/admin/points/exchanges/{exchange_id}/resume",
    door=_MARKETING,
    refuses=[NotFound, exchanges.ExchangeOver],
)
def resume_exchange(call: Call, exchange_id: str) -> AdminExchange:
    """It can be exchanged again."""
    return _switched(call, exchange_id, to="running")


@api.delete("/v1/admin/points/exchanges/{exchange_id}", door=_MARKETING, refuses=[NotFound])
def close_exchange(call: Call, exchange_id: str) -> AdminExchange:
    """Nothing is exchanged any more; what was, stays."""
    return _switched(call, exchange_id, to="closed")


@api.post("/v1/admin/points/exchanges/{exchange_id}/stock", door=_MARKETING, refuses=[NotFound, Invalid])
def add_units(call: Call, exchange_id: str, body: AddUnits) -> AdminExchange:
    """Change what is left to exchange."""
    row = exchanges.add_units(
        exchange_id,
        units=body.units,
        by=call.operator,
        idempotency_key=call.idempotency_key,
        now=call.now,
    )
    return admin_exchange(row, now=call.now)


def _switched(call: Call, exchange_id: str, *, to: str) -> AdminExchange:
    return admin_exchange(exchanges.switch(exchange_id, to=to, by=call.operator, now=call.now), now=call.now)


# --- levels and badges --------------------------------------------------------------------------------------


@api.get("/v1/admin/levels", door=doors.ANY_OPERATOR)
def show_levels(call: Call) -> LevelsAnswer:
    """All levels from the lowest up."""
    return _levels(levels.everything(now=call.now), call)


@api.put("/v1/admin/levels", door=_MARKETING, refuses=[Invalid, Busy])
def edit_levels(call: Call, body: EditLevels) -> LevelsAnswer:
    """Tell all levels anew."""
    return _levels(levels.edit(body, by=call.operator, now=call.now), call)


def _levels(rows: list[levels.Level], call: Call) -> LevelsAnswer:
    return LevelsAnswer(levels=msgspec.convert(rows, list[EditLevel]), now=call.now)


@api.get("/v1/admin/badges", door=doors.ANY_OPERATOR, csv=True)
def list_badges(call: Call) -> BadgeList:
    """All badges."""
    items = [_badge(row, call) for row in badges.everything(now=call.now)]
    return BadgeList(items=items, now=call.now)


@api.post("/v1/admin/badges", door=_MARKETING, status=201, refuses=[Invalid, badges.BadgeExists])
def add_badge(call: Call, body: AddBadge) -> BadgeAnswer:
    """A new badge."""
    return _badge(badges.add(body, by=call.operator, now=call.now), call)


@api.put("/v1/admin/badges/{badge_id}", door=_MARKETING, refuses=[NotFound, Invalid, Busy])
def edit_badge(call: Call, badge_id: str, body: EditBadge) -> BadgeAnswer:
    """Tell a badge anew."""
    return _badge(badges.edit(badge_id, body, by=call.operator, now=call.now), call)


def _badge(row: Badge, call: Call) -> BadgeAnswer:
    return BadgeAnswer(
        badge_id=row.badge_id,
        title=row.title,
        image_url=row.image_url,
        fact=row.fact,
        threshold=row.threshold,
        on=row.state == "on",
        now=call.now,
    )


# --- one member ---------------------------------------------------------------------------------------------


@api.get(
    "/v1/admin/members/{member_id}/points", door=doors.operators("support", "finance"), refuses=[NotFound]
)
def show_points(call: Call, member_id: str) -> MemberPoints:
    """A member's points, beside what their entries add up to."""
    return _points(member_id, call)


@api.post(
    "/v1/admin/members/{member_id}/points",
    door=_SUPPORT,
    refuses=[NotFound, Invalid, service.NotEnoughPoints, IdempotencyMismatch],
)
def adjust(call: Call, member_id: str, body: Adjust) -> MemberPoints:
    """Give or take points or growth for a reason; with an Idempotency-Key, once."""
    service.adjust(member_id, body, by=call.operator, idempotency_key=call.idempotency_key, now=call.now)
    return _points(member_id, call)


def _points(member_id: str, call: Call) -> MemberPoints:
    members.show(member_id)
    try:
        drift = ledger.drift(owner=member_id, book=service.POINTS)
    except Unsure as moving:
        raise Busy from moving
    level = levels.standing(member_id, now=call.now)
    return MemberPoints(
        member_id=member_id,
        balance=drift.balance,
        posted=drift.posted,
        frozen=drift.frozen,
        debt=max(0, -drift.balance),
        growth=level.growth,
        level=level.number,
        now=call.now,
    )
