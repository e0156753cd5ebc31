"""What people see of a visit and of an attribution: composed here, as signing in answers with a visit too."""

from collections.abc import Mapping
from typing import Any

from chalicelib.core import pictures
from chalicelib.core.http import Call
from chalicelib.members import service as members
from chalicelib.members.rules import masked
from chalicelib.sharing import rules, service, visits
from chalicelib.sharing.models import OrderAttribution
from chalicelib.sharing.schemas import (
    AdminAttribution,
    AttributionAnswer,
    CandidateAnswer,
    Sharer,
    Signal,
    TargetRef,
    VisitAnswer,
)
from chalicelib.uploads import service as uploads


def visit_answer(
    visit: visits.Visit,
    call: Call,
    *,
    wx_scene: int | None,
    counted: bool,
    program_id: str | None,
    bound: bool | None,
) -> VisitAnswer:
    """The page's answer to an opening; strangers see the sharer's name masked."""
    link, known = visit.link, call.caller.session is not None
    return VisitAnswer(
        code=link.code,
        target=TargetRef(kind=link.target_kind, id=link.target_id),
        sharer=person(link.sharer_id, call, open_names=known),
        card=service.card(link, now=call.now, lang=call.lang, open_names=known),
        visit_token=visits.token_for(visit, now=call.now),
        counted=counted,
        arrived_by=rules.arrived(wx_scene),
        bound=bound,
        hand_overs=members.hand_overs(program_id, link=link.code, now=call.now) if program_id else [],
        now=call.now,
    )


def person(member_id: str, call: Call, *, open_names: bool) -> Sharer:
    """Somebody's name and picture; the name masked unless ``open_names``."""
    profile = members.profile(member_id, now=call.now)
    name = profile.nickname if profile else None
    shown = name if name and open_names else masked(name, lang=call.lang)
    avatar = uploads.url_of(profile.avatar, base_url=call.base_url) if profile else None
    return Sharer(nickname=shown, avatar_url=avatar)


def avatar_inside(member_id: str, call: Call) -> str | None:
    """Somebody's picture as itself, where it is an upload of theirs; else where it was brought from."""
    profile = members.profile(member_id, now=call.now)
    if profile is None or profile.avatar is None:
        return None
    content = uploads.content(profile.avatar) if uploads.is_one(profile.avatar) else None
    return pictures.data_uri(content) if content else uploads.url_of(profile.avatar, base_url=call.base_url)


def attribution(row: OrderAttribution, call: Call) -> AttributionAnswer:
    """Whose order it is, as one of its promoters sees it: of the others there were, not who they are."""
    return AttributionAnswer(
        order_id=row.order_id,
        created_at=row.created_at,
        level=1 if row.promoter_id == call.member_id else 2,
        policy=row.policy,
        binding_policy=row.binding_policy,
        bound_at=row.bound_at,
        self_purchase=row.self_purchase,
        candidates=[_candidate(one, viewer_id=call.member_id) for one in row.candidates],
        now=call.now,
    )


def admin_attribution(row: OrderAttribution, *, now: int) -> AdminAttribution:
    """Whose order it is, as operators see it."""
    return AdminAttribution(
        order_id=row.order_id,
        created_at=row.created_at,
        member_id=row.member_id,
        promoter_id=row.promoter_id,
        level_two_id=row.level_two_id,
        policy=row.policy,
        binding_policy=row.binding_policy,
        bound_at=row.bound_at,
        link=row.link,
        visit_id=row.visit_id,
        self_purchase=row.self_purchase,
        candidates=[_candidate(one, viewer_id=None) for one in row.candidates],
        signals=[Signal(**one) for one in row.signals],
        made_at=row.made_at,
        now=now,
    )


def _candidate(told: Mapping[str, Any], *, viewer_id: str | None) -> CandidateAnswer:
    yours = told["promoter_id"] == viewer_id
    seen = yours or viewer_id is None
    return CandidateAnswer(
        kind=told["kind"],
        promoter_id=told["promoter_id"] if seen else None,
        yours=yours,
        at=told["at"],
        outcome=told["outcome"],
        rule=told["rule"],
        link=told.get("link") if seen else None,
    )
