"""HTTP for operators: terms, rates, promoters, commissions that are held, and what settling did."""

import msgspec

from chalicelib.commissions import answers, promoters, rates, runs, service, terms
from chalicelib.commissions.models import Promoter, Rate, RunLine
from chalicelib.commissions.rules import Basis, DistributionTerms, Scope
from chalicelib.commissions.schemas import (
    AssignPromoter,
    CommissionRow,
    CommissionsQuery,
    Day,
    Explanation,
    PromoterDone,
    PromoterRow,
    PromotersQuery,
    RateDone,
    RateList,
    RunAnswer,
    RunLineAnswer,
    SayRate,
    SetTier,
    TermsDone,
    TermsList,
    WithReason,
)
from chalicelib.core import cursors, doors, table
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import Api, Call, Items, Listing, Reply

api = Api(__name__)
_MARKETING = doors.operators("marketing")
_FINANCE = doors.operators("finance")
_READERS = doors.operators("marketing", "finance", "support")


# --- terms and rates ----------------------------------------------------------------------------------------


@api.get("/v1/admin/distribution", door=doors.ANY_OPERATOR)
def list_terms(call: Call) -> TermsList:
    """The versions of the distribution terms, newest first; version 0 is built in."""
    rows = terms.versions(limit=100) or [terms.current(now=call.now)]
    return TermsList(items=[answers.terms_answer(row) for row in rows], now=call.now)


@api.post("/v1/admin/distribution", door=_MARKETING, refuses=[Invalid, Busy])
def make_terms(call: Call, body: DistributionTerms) -> TermsDone:
    """The next version of the terms; what is in force already makes no new one.

    Orders that are made from half a minute later on wait as long as it says; tiers and pages follow it at once.
    """
    row = terms.make(body, by=call.operator, now=call.now)
    return TermsDone(**msgspec.structs.asdict(answers.terms_answer(row)), now=call.now)


@api.get("/v1/admin/rates", door=doors.ANY_OPERATOR, csv=True)
def list_rates(call: Call) -> RateList:
    """All rates as they are, on and off."""
    return RateList(items=[answers.rate_row(row) for row in rates.everything()], now=call.now)


@api.post("/v1/admin/rates", door=_MARKETING, status=201, refuses=[Invalid, rates.TooManyRates, Busy])
def say_rate(call: Call, body: SayRate) -> Reply[RateDone]:
    """A rate for a scope; said again for the same scope, it is the next version of the same rate.

    A shop has at most 1,000, on and off.
    """
    basis, value = _worth(body)
    told = {name: getattr(body, name) for name in Scope.__struct_fields__}
    row, new = rates.say(Scope(**told), basis=basis, value=value, by=call.operator, now=call.now)
    return Reply(_rate(row, call), 201 if new else 200)


def _worth(body: SayRate) -> tuple[Basis, int]:
    if (body.bps is None) == (body.unit_fen is None):
        raise Invalid(field="bps", reason="either bps or unit_fen")
    return ("fen", body.unit_fen) if body.unit_fen is not None else ("bps", body.bps or 0)


@api.get("/v1/admin/rates/{rate_id}/versions", door=doors.ANY_OPERATOR, refuses=[NotFound], csv=True)
def list_versions(call: Call, rate_id: str) -> RateList:
    """What a rate said, newest first."""
    return RateList(items=[answers.rate_version(one) for one in rates.versions(rate_id)], now=call.now)


@api.delete("/v1/admin/rates/{rate_id}", door=_MARKETING, refuses=[NotFound, Busy])
def switch_off(call: Call, rate_id: str) -> RateDone:
    """The rate serves no order that is made from now on."""
    return _rate(rates.switch_off(rate_id, by=call.operator, now=call.now), call)


def _rate(row: Rate, call: Call) -> RateDone:
    return RateDone(**msgspec.structs.asdict(answers.rate_row(row)), now=call.now)


# --- promoters ----------------------------------------------------------------------------------------------


@api.get("/v1/admin/promoters", door=_READERS, refuses=[cursors.CursorInvalid], csv=True)
def list_promoters(call: Call, query: PromotersQuery) -> Items[PromoterRow]:
    """The promoters in a state, the latest first; those who applied, if none is named."""
    where = f"promoters#{query.state}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = promoters.listed(query.state, limit=query.limit, after=after)
    items = [answers.promoter_row(row) for row in page.rows]
    return Items(items=items, next=cursors.seal(page.next_key, where=where, now=call.now), now=call.now)


@api.post(
    "/v1/admin/promoters", door=_MARKETING, status=201, refuses=[NotFound, promoters.PromoterMoved, Busy]
)
def assign(call: Call, body: AssignPromoter) -> Reply[PromoterDone]:
    """Make a member a promoter at once."""
    row, new = promoters.assign(body.member_id, by=call.operator, now=call.now)
    return Reply(_promoter(row, call), 201 if new else 200)


_MOVING = [NotFound, promoters.PromoterMoved, Busy]


@api.post("/v1/admin/promoters/{member_id}/approve", door=_MARKETING, refuses=_MOVING)
def approve(call: Call, member_id: str, body: WithReason) -> PromoterDone:
    """Whoever applied may earn."""
    return _moved(call, member_id, "approve", body)


@api.post("/v1/admin/promoters/{member_id}/refuse", door=_MARKETING, refuses=_MOVING)
def refuse(call: Call, member_id: str, body: WithReason) -> PromoterDone:
    """Whoever applied may not; they may apply again."""
    return _moved(call, member_id, "refuse", body)


@api.post("/v1/admin/promoters/{member_id}/suspend", door=_MARKETING, refuses=_MOVING)
def suspend(call: Call, member_id: str, body: WithReason) -> PromoterDone:
    """Nothing new is earned; what was earned before goes on."""
    return _moved(call, member_id, "suspend", body)


@api.post("/v1/admin/promoters/{member_id}/resume", door=_MARKETING, refuses=_MOVING)
def resume(call: Call, member_id: str, body: WithReason) -> PromoterDone:
    """What is ordered from now on is earned again."""
    return _moved(call, member_id, "resume", body)


@api.post("/v1/admin/promoters/{member_id}/tier", door=_MARKETING, refuses=[NotFound, Busy])
def set_tier(call: Call, member_id: str, body: SetTier) -> PromoterDone:
    """Put a promoter on a tier."""
    row = promoters.set_tier(member_id, tier=body.tier, reason=body.reason, by=call.operator, now=call.now)
    return _promoter(row, call)


def _moved(call: Call, member_id: str, step: str, body: WithReason) -> PromoterDone:
    row = promoters.move(member_id, step=step, reason=body.reason, by=call.operator, now=call.now)
    return _promoter(row, call)


def _promoter(row: Promoter, call: Call) -> PromoterDone:
    return PromoterDone(**msgspec.structs.asdict(answers.promoter_row(row)), now=call.now)


# --- commissions --------------------------------------------------------------------------------------------


@api.get("/v1/admin/commissions", door=_READERS, refuses=[cursors.CursorInvalid], csv=True)
def list_commissions(call: Call, query: CommissionsQuery) -> Items[CommissionRow]:
    """A promoter's commissions, newest first."""
    where = f"commissions#{query.promoter_id}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = service.of_promoter(query.promoter_id, limit=query.limit, after=after)
    return _commissions(page, where, call)


@api.get("/v1/admin/commissions/held", door=_READERS, refuses=[cursors.CursorInvalid], csv=True)
def list_held(call: Call, query: Listing) -> Items[CommissionRow]:
    """Those that wait for somebody to look at them, with the evidence, the longest first."""
    after = cursors.unseal(query.after, where="held", now=call.now)
    return _commissions(service.held(limit=query.limit, after=after), "held", call)


def _commissions(page: table.Page, where: str, call: Call) -> Items[CommissionRow]:
    items = [answers.commission_row(row) for row in page.rows]
    return Items(items=items, next=cursors.seal(page.next_key, where=where, now=call.now), now=call.now)


@api.get("/v1/admin/commissions/{commission_id}", door=_READERS, refuses=[NotFound])
def explain(call: Call, commission_id: str) -> Explanation:
    """One commission in words and numbers, as its promoter is told it."""
    return answers.explanation(service.show(commission_id), call)


_DECIDING = [NotFound, service.CommissionMoved, Busy]


@api.post("/v1/admin/commissions/{commission_id}/hold", door=_FINANCE, refuses=_DECIDING)
def hold(call: Call, commission_id: str, body: WithReason) -> Explanation:
    """Keep a commission from settling until somebody has looked at it."""
    row = service.hold(commission_id, reason=body.reason, by=call.operator, now=call.now)
    return answers.explanation(row, call)


@api.post("/v1/admin/commissions/{commission_id}/release", door=_FINANCE, refuses=_DECIDING)
def release(call: Call, commission_id: str, body: WithReason) -> Explanation:
    """Let a held commission go on from where its order is."""
    row = service.release(commission_id, reason=body.reason, by=call.operator, now=call.now)
    return answers.explanation(row, call)


@api.post("/v1/admin/commissions/{commission_id}/refuse", door=_FINANCE, refuses=_DECIDING)
def refuse_commission(call: Call, commission_id: str, body: WithReason) -> Explanation:
    """Refuse a held commission, for good."""
    row = service.refuse(commission_id, reason=body.reason, by=call.operator, now=call.now)
    return answers.explanation(row, call)


# --- settling -----------------------------------------------------------------------------------------------


@api.get("/v1/admin/settlements/{day}", door=_READERS, refuses=[NotFound])
def show_run(call: Call, day: str) -> RunAnswer:
    """What settling did on a day of the brand's calendar."""
    record = runs.record(_day(day))
    return RunAnswer(**msgspec.structs.asdict(record), now=call.now)


@api.get(
    "/v1/admin/settlements/{day}/lines",
    door=_READERS,
    refuses=[NotFound, cursors.CursorInvalid],
    csv=True,
)
def list_lines(call: Call, day: str, query: Listing) -> Items[RunLineAnswer]:
    """The day's statement: what was settled for whom, and what waits or failed, and why."""
    where = f"settlements#{_day(day)}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = runs.statement(day, limit=query.limit, after=after)
    following = cursors.seal(page.next_key, where=where, now=call.now)
    return Items(items=[_line(row) for row in page.rows], next=following, now=call.now)


def _day(day: str) -> str:
    try:
        return msgspec.convert(day, Day)
    except msgspec.ValidationError as no_day:
        raise NotFound from no_day


def _line(row: RunLine) -> RunLineAnswer:
    told = {name: getattr(row, name) for name in RunLineAnswer.__struct_fields__}
    return RunLineAnswer(**told)
