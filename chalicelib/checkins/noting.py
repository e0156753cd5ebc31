"""What operators do about notes: those that nobody should read are hidden, with a reason, and shown again."""

from chalicelib.checkins.campaigns import Making
from chalicelib.checkins.models import Note
from chalicelib.core import table
from chalicelib.core.errors import NotFound
from chalicelib.operators import service as operators


class _AsItWas(Exception):
    """It is so already."""


def page(campaign_id: str, member_id: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """A member's notes, newest first, the hidden ones too."""
    pk = Note.key(campaign_id, member_id, "")[0]
    return table.query(Note, pk, limit=limit, newest_first=True, after=after)


def turn(campaign_id: str, member_id: str, day: str, *, to: str, reason: str, making: Making) -> Note:
    """A note is ``hidden`` or ``visible`` from now on; so already, nothing changes.

    Raises:
        NotFound: nothing was said that day.
    """
    key = Note.key(campaign_id, member_id, day)
    there = table.get(Note, key)
    if there is None:
        raise NotFound
    change = table.update(
        Note, key, Note.state.set(to), when=Note.state == there.state, refuse=lambda _: _AsItWas()
    )
    audit = operators.recorded(
        by=making.by,
        action=f"checkin.note_{to}",
        subject=f"{campaign_id} {day}",
        before={"state": there.state},
        after={"state": to, "reason": reason},
        member_id=member_id,
        now=making.now,
    )
    if there.state != to:
        try:
            table.transact([change, audit])
        except _AsItWas:
            return turn(campaign_id, member_id, day, to=to, reason=reason, making=making)
        there.state = to
    return there
