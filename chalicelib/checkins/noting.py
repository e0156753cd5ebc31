"""What becomes of what members write: notes and names of teams are checked before others see them; notes are hidden
by operators, with a reason, and shown again.
"""

from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from chalicelib.checkins import campaigns
from chalicelib.checkins.campaigns import Making
from chalicelib.checkins.marking import Said
from chalicelib.checkins.models import Note, Part, Team
from chalicelib.core import facts, table
from chalicelib.core.errors import Busy, NotFound
from chalicelib.core.http import Call
from chalicelib.core.telemetry import logger
from chalicelib.members import service as members
from chalicelib.operators import service as operators
from chalicelib.safety import service as safety

TITLE = "team"
"""What the reference of a team's name begins with; that of a note begins with its campaign."""


class _AsItWas(Exception):
    """It is so already."""


def judged(said: Said, campaign_id: str, call: Call) -> Said:
    """What somebody says with today's check-in, as it may be shown: at once, or once it is checked.

    Raises:
        ContentRefused: it must not be shown. NotFound: there is no such campaign.
    """
    if said.text is None:
        return said
    turn = campaigns.calendar(campaigns.find(campaign_id, now=call.now)).turn_at(call.now)
    ref = "#".join((campaign_id, call.member_id, turn.isoformat()))
    verdict = _verdict(said.text, ref, "text", call)
    state = "pending" if verdict.state == "pending" else "visible"
    return replace(said, state=state, checks=verdict.writes)


def judged_title(title: str, campaign_id: str, call: Call) -> safety.Judged:
    """Whether a member's team may be called that: at once, or once it is checked.

    Raises:
        ContentRefused: it must not be shown.
    """
    return _verdict(title, "#".join((TITLE, campaign_id, call.member_id)), "title", call)


def _verdict(text: str, ref: str, name: str, call: Call) -> safety.Judged:
    def writer() -> safety.Writer:
        return members.writer(call.member_id, call.program_id, call.now)

    thing = safety.Thing(room="checkins", ref=ref, field=name, scene=safety.COMMENT)
    return safety.text(text, thing, writer, now=call.now)


@facts.errand("content.approved", name="checkins.show_note")
@facts.errand("content.rejected", name="checkins.hide_note")
def _decided(check: Any, now: int) -> None:
    """What was pending is shown or not; a note that an operator has hidden meanwhile stays so."""
    if check.room != "checkins" or check.state == "pending":
        return
    first, second, third = check.ref.split("#")
    member_id, change = (third, _titled) if first == TITLE else (second, _shown)
    for name in members.since_then(member_id):
        with suppress(_AsItWas):
            change(check, name)
            return
    logger.info("it was decided about already", ref=check.ref)


def _shown(check: Any, member_id: str) -> None:
    campaign_id, _, day = check.ref.split("#")
    to = "visible" if check.state == "approved" else "hidden"
    pending = (Note.state == "pending") & (Note.text == check.content)
    key = Note.key(campaign_id, member_id, day)
    table.apply(table.update(Note, key, Note.state.set(to), when=pending, refuse=lambda _: _AsItWas()))


def _titled(check: Any, member_id: str) -> None:
    _, campaign_id, _ = check.ref.split("#")
    part = table.get(Part, Part.key(campaign_id, member_id))
    if part is None or part.team_id is None:
        raise _AsItWas
    titled = [Team.title.set(check.content)] if check.state == "approved" else []
    pending = Team.title_pending == check.content
    change = (*titled, Team.title_pending.remove())
    table.apply(
        table.update(Team, Team.key(part.team_id), *change, when=pending, refuse=lambda _: _AsItWas())
    )


def page(campaign_id: str, member_id: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """A member's notes, newest first, the hidden ones too."""
    pk = Note.key(campaign_id, member_id, "")[0]
    return table.query(Note, pk, limit=limit, newest_first=True, after=after)


def turn(campaign_id: str, member_id: str, day: str, *, to: str, reason: str, making: Making) -> Note:
    """A note is ``hidden`` or ``visible`` from now on; so already, nothing changes.

    Raises:
        NotFound: nothing was said that day. Busy: somebody else changed it at the same moment.
    """
    key = Note.key(campaign_id, member_id, day)
    there = table.get(Note, key)
    if there is None:
        raise NotFound
    if there.state == to:
        return there
    change = table.update(Note, key, Note.state.set(to), when=Note.state == there.state, refuse=Busy)
    audit = operators.recorded(
        by=making.by,
        action=f"checkin.note_{to}",
        subject=f"{campaign_id} {day}",
        before={"state": there.state},
        after={"state": to, "reason": reason},
        member_id=member_id,
        now=making.now,
    )
    table.transact([change, audit])
    there.state = to
    return there
