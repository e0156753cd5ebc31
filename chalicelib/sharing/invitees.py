"""A promoter's own people: who opened, registered and was bound, and of the others why not.

Two lists are one: the bindings that a promoter has, and the members who came to them and were not bound, or are
so no more. What is known of a stranger who opened a link is a count of its funnel, and nobody's name.
"""

import msgspec

from chalicelib.core import table
from chalicelib.core.errors import NotFound
from chalicelib.members import service as members
from chalicelib.members.rules import masked
from chalicelib.sharing import attribution, stories
from chalicelib.sharing.history import Span
from chalicelib.sharing.models import Binding, Touch
from chalicelib.sharing.refusals import SelfReferral

OF_ANOTHER = frozenset(
    {"bound_to_another", "binding_protected", "taken", "moved", "window_over", "bound_to_you"}
)


class Invitee(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who came to a promoter.

    ``state``: ``bound``, ``over`` (the window of their binding) or ``lost``, then with the ``reason``, and
    ``since`` when they are another's, if they are. ``opened_at`` is when they came first, as far as that is
    known.
    """

    member_id: str
    name: str
    state: str
    link: str | None
    opened_at: int | None
    registered_at: int | None
    bound_at: int | None
    expires_at: int | None
    reason: str | None
    since: int | None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened between a member and a promoter; of a loss the ``reason``."""

    at: int
    what: str
    link: str | None = None
    reason: str | None = None


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """An invitee, and what happened, the oldest first."""

    invitee: Invitee
    steps: list[Step]


def of(
    promoter_id: str, *, limit: int, after: str | None, lang: str, now: int
) -> tuple[list[Invitee], str | None]:
    """A promoter's people, the newest first, and what the next page is ``after``.

    Who was lost and is bound by now stands where they were bound; so a page may be shorter than ``limit``.
    """
    owners = (f"{promoter_id}#customers", f"{promoter_id}#missed")
    rows, more = table.merged(owners, limit=limit, before=after)
    people = {member.member_id: member for member in members.those([row.member_id for row in rows])}
    lost = [row.member_id for row in rows if isinstance(row, Touch)]
    held = _bindings(lost)
    found = []
    for row in rows:
        binding = row if isinstance(row, Binding) else held.get(row.member_id)
        if isinstance(row, Touch) and _is_of(binding, promoter_id):
            continue
        touch = row if isinstance(row, Touch) else None
        member = people.get(row.member_id)
        found.append(_invitee(promoter_id, row.member_id, member, binding, touch, lang=lang, now=now))
    return found, more


def one(promoter_id: str, member_id: str, *, lang: str, now: int) -> Timeline:
    """What happened between a promoter and a member who came to them, and why not more.

    Raises:
        NotFound: they never came, signed in, to this promoter.
    """
    story = stories.of(member_id)
    touch = next((one for one in story.touches if one.promoter_id == promoter_id), None)
    spans = [span for span in story.spans if span.promoter_id == promoter_id]
    if touch is None and not spans and promoter_id != member_id:
        raise NotFound
    member = next(iter(members.those([member_id])), None)
    invitee = _invitee(promoter_id, member_id, member, story.binding, touch, lang=lang, now=now)
    steps = [*_of_member(member, invitee), *(step for span in spans for step in _of_span(span, now=now))]
    if touch is not None and touch.hours:
        steps.append(Step(at=touch.last_at, what="not_bound", link=touch.link, reason=touch.reason))
    return Timeline(invitee=invitee, steps=sorted(steps, key=lambda step: step.at))


def _bindings(member_ids: list[str]) -> dict[str, Binding]:
    rows = table.get_all([(Binding, Binding.key(one)) for one in member_ids])
    return {row.member_id: row for row in rows if row is not None}


def _is_of(binding: Binding | None, promoter_id: str) -> bool:
    return binding is not None and binding.state == "bound" and binding.promoter_id == promoter_id


def _invitee(
    promoter_id: str,
    member_id: str,
    member: members.Member | None,
    binding: Binding | None,
    touch: Touch | None,
    *,
    lang: str,
    now: int,
) -> Invitee:
    mine = binding if binding is not None and _is_of(binding, promoter_id) else None
    reason, since = _why_not(promoter_id, member_id, binding, touch, now=now)
    opened = [at for at in (mine and mine.opened_at, touch and touch.first_at) if at]
    return Invitee(
        member_id=member_id,
        name=masked(member.nickname if member else None, lang=lang),
        state="lost" if mine is None else ("over" if reason else "bound"),
        link=(mine.link if mine else None) or (touch.link if touch else None),
        opened_at=min(opened, default=None),
        registered_at=member.registered_at if member else None,
        bound_at=mine.bound_at if mine else None,
        expires_at=mine.expires_at if mine else None,
        reason=reason,
        since=since,
    )


def _why_not(
    promoter_id: str, member_id: str, binding: Binding | None, touch: Touch | None, *, now: int
) -> tuple[str | None, int | None]:
    """Why a member is not this promoter's now, and since when they are another's, if they are."""
    if promoter_id == member_id:
        return SelfReferral.code, None
    held = binding is not None and attribution.holds(binding, now=now)
    if binding is not None and _is_of(binding, promoter_id):
        return (None, None) if held else ("window_over", binding.expires_at)
    reason = touch.reason if touch is not None else "moved"
    return reason, binding.bound_at if binding is not None and held and reason in OF_ANOTHER else None


def _of_member(member: members.Member | None, invitee: Invitee) -> list[Step]:
    opened = [Step(at=invitee.opened_at, what="opened", link=invitee.link)] if invitee.opened_at else []
    return [*opened, Step(at=member.registered_at, what="registered")] if member else opened


def _of_span(span: Span, *, now: int) -> list[Step]:
    steps = [Step(at=span.at, what="bound", link=span.link)]
    if span.until is not None:
        steps.append(Step(at=span.until, what="lost", reason=span.ended_by))
    elif span.expires_at is not None and span.expired(now):
        steps.append(Step(at=span.expires_at, what="lost", reason="window_over"))
    return steps
