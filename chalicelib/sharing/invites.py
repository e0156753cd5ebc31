"""Invite codes: what a promoter tells and a customer types in, one for a member and for ever."""

from chalicelib.core import config, ids, table
from chalicelib.core.cache import Cache
from chalicelib.core.errors import Busy, NotFound
from chalicelib.sharing.models import Invite

LENGTH = 8
COLLISIONS_AT_MOST = 4

_codes: Cache[str] = Cache(size=5000)


class InviteUnknown(NotFound):
    """Nobody has this invite code."""

    code = "invite_code_unknown"
    en = "There is no such invite code."
    zh = "邀请码不存在。"
    advice = "Let the member type it again."


def code_of(member_id: str, *, now: int) -> str:
    """A member's invite code, made when it is asked for first."""
    return _codes.get(member_id, now=now, load=lambda: _made(member_id, now=now))


def _made(member_id: str, *, now: int) -> str:
    key = config.secret("link_key", now=now).encode()
    for attempt in range(COLLISIONS_AT_MOST):
        code = ids.keyed_code("invite", member_id, str(attempt), key=key, length=LENGTH)
        row = table.get(Invite, Invite.key(code)) or _kept(code, member_id)
        if row.member_id == member_id:
            return code
    raise Busy


def kept(member_id: str, *, now: int) -> Invite | None:
    """A member's invite code, if it was ever made and is theirs still."""
    key = config.secret("link_key", now=now).encode()
    codes = [
        ids.keyed_code("invite", member_id, str(attempt), key=key, length=LENGTH)
        for attempt in range(COLLISIONS_AT_MOST)
    ]
    rows = table.get_many([(Invite, Invite.key(code)) for code in codes])
    return next((row for row in rows if row is not None and row.member_id == member_id), None)


def _kept(code: str, member_id: str) -> Invite:
    row = Invite(*Invite.key(code), member_id=member_id)
    try:
        table.apply(table.create(row))
    except table.Taken as first:
        assert isinstance(first.row, Invite)
        return first.row
    return row


def whose(code: str) -> str:
    """The member whose code this is.

    Raises:
        InviteUnknown: nobody's.
    """
    row = table.get(Invite, Invite.key(code.upper()))
    if row is None:
        raise InviteUnknown
    return row.member_id
