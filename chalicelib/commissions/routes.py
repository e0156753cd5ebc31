"""HTTP for members: becoming a promoter, the rules, what is earned and why; and for everybody, the rules."""

from typing import Any

from chalicelib.commissions import answers, estimating, invitees, months, promoters, service
from chalicelib.commissions.models import Earned
from chalicelib.commissions.schemas import (
    ApplyPromoter,
    CommissionAnswer,
    Estimate,
    Estimated,
    Explanation,
    InviteeAnswer,
    InviteeTimeline,
    MonthAnswer,
    PromoterAnswer,
    Ranked,
    Ranking,
    RankingQuery,
    RulesAnswer,
)
from chalicelib.core import cursors, doors
from chalicelib.core.errors import NotFound
from chalicelib.core.http import Api, Call, Items, Listing, Reply
from chalicelib.sharing import answers as sharing_answers

api = Api(__name__)


# --- promoters ----------------------------------------------------------------------------------------------


@api.get("/v1/promoters/rules", door=doors.PUBLIC)
def show_rules(call: Call) -> RulesAnswer:
    """The rules in force: who binds, how long, what is earned, when it settles, what a refund does."""
    return answers.rules_in_force(call)


@api.post(
    "/v1/promoters",
    door=doors.MEMBER,
    status=201,
    refuses=[promoters.DistributionClosed, promoters.TermsChanged],
)
def apply(call: Call, body: ApplyPromoter) -> Reply[PromoterAnswer]:
    """Become a promoter under this version of the terms, at once or when an operator says so."""
    row, new = promoters.apply(call.member_id, version=body.terms_version, now=call.now)
    return Reply(answers.promoter(row, call), 201 if new else 200)


@api.get("/v1/me/promoter", door=doors.MEMBER, refuses=[NotFound])
def show_mine(call: Call) -> PromoterAnswer:
    """Me as a promoter; who never applied gets not_found."""
    return answers.promoter(promoters.show(call.member_id), call)


@api.get("/v1/me/promoter/months", door=doors.MEMBER, refuses=[cursors.CursorInvalid])
def list_months(call: Call, query: Listing) -> Items[MonthAnswer]:
    """What I had settled month by month, and the bonus of each, newest first."""
    where = f"months#{call.member_id}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = months.of_promoter(call.member_id, limit=query.limit, after=after)
    items = [answers.month(row, lang=call.lang) for row in page.rows]
    return Items(items=items, next=cursors.seal(page.next_key, where=where, now=call.now), now=call.now)


@api.get("/v1/promoters/ranking", door=doors.MEMBER)
def show_ranking(call: Call, query: RankingQuery) -> Ranking:
    """Who had most settled in a month, with masked names, and what I had."""
    month = query.month or months.name_of(call.now)
    mine = months.find(call.member_id, month)
    rows = months.ranking(month, limit=query.limit)
    items = [_ranked(place, row, call) for place, row in enumerate(rows, start=1)]
    return Ranking(
        month=month, items=items, my_settled_fen=(mine.score or 0) if mine is not None else 0, now=call.now
    )


def _ranked(place: int, row: Earned, call: Call) -> Ranked:
    mine = row.member_id == call.member_id
    who = sharing_answers.person(row.member_id, call, open_names=mine)
    return Ranked(place=place, nickname=who.nickname or "", settled_fen=row.score or 0, mine=mine)


@api.get("/v1/me/invitees", door=doors.MEMBER, refuses=[cursors.CursorInvalid])
def list_invitees(call: Call, query: Listing) -> Items[InviteeAnswer]:
    """Who came to me, newest first: opened, registered, bound, ordered, settled, or why not."""
    where = f"invitees#{call.member_id}"
    after: Any = cursors.unseal(query.after, where=where, now=call.now)
    found, more = invitees.of(
        call.member_id, limit=query.limit, after=after and after["before"], lang=call.lang, now=call.now
    )
    items = [answers.invitee(one, lang=call.lang) for one in found]
    following = cursors.seal({"before": more} if more else None, where=where, now=call.now)
    return Items(items=items, next=following, now=call.now)


@api.get("/v1/me/invitees/{member_id}", door=doors.MEMBER, refuses=[NotFound])
def show_invitee(call: Call, member_id: str) -> InviteeTimeline:
    """What happened between me and somebody who came to me, and why it earned me nothing, if it did not."""
    one, steps, orders = invitees.timeline(call.member_id, member_id, lang=call.lang, now=call.now)
    return answers.invitee_timeline(one, steps, orders, call)


# --- commissions --------------------------------------------------------------------------------------------


@api.get("/v1/me/commissions", door=doors.MEMBER, refuses=[cursors.CursorInvalid])
def list_mine(call: Call, query: Listing) -> Items[CommissionAnswer]:
    """What I earned and will earn, newest first."""
    where = f"commissions#{call.member_id}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = service.of_promoter(call.member_id, limit=query.limit, after=after)
    items = [answers.commission(row, call) for row in page.rows]
    return Items(items=items, next=cursors.seal(page.next_key, where=where, now=call.now), now=call.now)


@api.get("/v1/commissions/{commission_id}/explanation", door=doors.MEMBER, refuses=[NotFound])
def explain(call: Call, commission_id: str) -> Explanation:
    """One of my commissions in words and numbers: base, rate and where it came from, rounding, every change.

    Of a group's head as well, who has no part in the order's attribution.
    """
    return answers.explanation(service.show(commission_id, promoter_id=call.member_id), call)


@api.post("/v1/commissions/estimate", door=doors.MEMBER)
def estimate(call: Call, body: Estimate) -> Estimated:
    """What I would earn by these lines, for the 赚¥ label; nothing is promised."""
    return estimating.estimate(body, member_id=call.member_id, now=call.now)
