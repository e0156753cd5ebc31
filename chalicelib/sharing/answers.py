"""What people see of a visit: composed here, as signing in answers with one too."""

from chalicelib.core.http import Call
from chalicelib.members import service as members
from chalicelib.members.rules import masked
from chalicelib.sharing import rules, service, visits
from chalicelib.sharing.schemas import Sharer, TargetRef, VisitAnswer


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
    return Sharer(nickname=shown, avatar_url=profile.avatar_url if profile else None)
