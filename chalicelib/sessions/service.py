"""The rules of signing in: find or register the member, and bind them to whoever brought them."""

from collections.abc import Mapping, Sequence

import msgspec

from chalicelib.core.errors import AppError, Gone, Invalid, NotFound, Unauthorized
from chalicelib.members import service as members
from chalicelib.sharing import attribution, signals, visits
from chalicelib.sharing import service as sharing
from chalicelib.sharing.refusals import NotBound
from chalicelib.sharing.visits import Visit


class CameBy(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody came by: the token of an earlier visit, or a link that is being opened now; and where they
    were. ``session_key`` is WeChat's, when it was WeChat who said who they are."""

    link: str | None
    visit_token: str | None
    wx_scene: int | None
    places: Mapping[str, str] = msgspec.field(default_factory=dict)
    session_key: str | None = None


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """What signing in led to."""

    member: members.Member
    new: bool
    visit: Visit | None
    bound: bool
    visit_refused: str | None


class VisitExpired(NotBound):
    """The visit is more than two days ago."""

    code = "visit_expired"
    en = "This visit is too long ago."
    zh = "该访问记录已过期。"
    advice = "Nothing to do; open the link again to be bound."


def sign_in(*, proofs: Sequence[str], program_id: str, came_by: CameBy, now: int) -> SignedIn:
    """Sign in whoever these identities prove, register them if they are new, bind them by the policy.

    Raises:
        Invalid: the visit token is forged. MemberBlocked: the shop blocked them.
    """
    visit, refused = _arrive(came_by, visitor=members.visitor_key(proofs), now=now)
    if visit is None:
        member, new = members.find_or_register(
            proofs=proofs, program_id=program_id, session_key=came_by.session_key, now=now
        )
        signals.seen_on_device(came_by.places, member.member_id, now=now)
        bound = not new and attribution.binding(member.member_id, now=now) is not None
        return SignedIn(member=member, new=new, visit=None, bound=bound, visit_refused=_code(refused))
    member, new = _register(proofs, program_id, visit, came_by, now=now)
    signals.seen_on_device(came_by.places, member.member_id, now=now)
    # Only the call that registered the member by this visit has bound them in the same transaction.
    registered_by_it = new and member.came_visit == visit.visit_id
    refused = None if registered_by_it else _bind_later(member, visit, came_by, now=now)
    return SignedIn(member=member, new=new, visit=visit, bound=refused is None, visit_refused=_code(refused))


def _arrive(came_by: CameBy, *, visitor: str, now: int) -> tuple[Visit | None, AppError | None]:
    """The visit, or why there is none; somebody whose link is over still signs in."""
    try:
        if came_by.visit_token is not None:
            visit = visits.from_token(came_by.visit_token, now=now)
            return visit, (None if visit else VisitExpired())
        if came_by.link is not None:
            link = sharing.find_open(came_by.link, now=now)
            return visits.record(link=link, visitor=visitor, wx_scene=came_by.wx_scene, now=now), None
    except Unauthorized as forged:
        raise Invalid(field="visit_token", reason="not a token of ours") from forged
    except (NotFound, Gone) as over:
        return None, over
    return None, None


def _register(
    proofs: Sequence[str], program_id: str, visit: Visit, came_by: CameBy, *, now: int
) -> tuple[members.Member, bool]:
    came = members.Came(link=visit.link.code, visit_id=visit.visit_id)
    try:
        return members.find_or_register(
            proofs=proofs,
            program_id=program_id,
            now=now,
            came=came,
            session_key=came_by.session_key,
            also=lambda member_id: attribution.first_binding(
                member_id, visit=visit, places=came_by.places, now=now
            ),
        )
    except NotBound:
        return members.find_or_register(
            proofs=proofs, program_id=program_id, session_key=came_by.session_key, now=now
        )


def _bind_later(member: members.Member, visit: Visit, came_by: CameBy, *, now: int) -> AppError | None:
    try:
        attribution.bind(member.member_id, visit=visit, places=came_by.places, now=now)
    except NotBound as not_bound:
        held = attribution.binding(member.member_id, now=now)
        return None if held is not None else not_bound
    return None


def _code(refused: AppError | None) -> str | None:
    return refused.code if refused else None
