"""Who came to a promoter and was not bound by it, and why: for the promoter to ask, and for dry runs.

One row for a member and a promoter, written once an hour at most. It is a note and decides nothing: where it
cannot be written, the visit goes on without it.
"""

from typing import Any, Protocol

from chalicelib.core import table
from chalicelib.core.cache import Cache
from chalicelib.core.clock import HOUR
from chalicelib.core.errors import Busy
from chalicelib.core.table import Write
from chalicelib.core.telemetry import logger
from chalicelib.sharing.models import Binding, Touch

HOURS_KEPT = 96
THEIRS = "bound_to_you"
NEVER = frozenset({"self_referral", "would_circle", "chain_too_long", "visit_used", "promoter_gone"})
"""Why not, whatever the policy."""

_noted: Cache[bool] = Cache(for_s=HOUR, size=5000)


class Came(Protocol):
    """Who came, and by what."""

    @property
    def promoter_id(self) -> str: ...
    @property
    def link(self) -> str | None: ...
    @property
    def visit_id(self) -> str | None: ...


class _Noted(Exception):
    """The row is there, and has this hour, or no room for more."""

    def __init__(self, row: Touch) -> None:
        super().__init__()
        self.row = row


def note(member_id: str, *, by: Came, held: Binding | None, reason: str, now: int) -> None:
    """A member came and was not bound by it; to oneself nobody comes, and the visit that bound is no other one."""
    bound_by_it = held is not None and by.visit_id is not None and by.visit_id == held.visit_id
    if by.promoter_id == member_id or bound_by_it:
        return
    key = (member_id, by.promoter_id, now // HOUR)
    if _noted.peek(key, now=now):
        return
    try:
        _write(member_id, by=by, reason=reason, now=now)
    except Busy:
        logger.warning("a visit that did not bind was not noted", member=member_id)
        return
    _noted.put(key, True, now=now)


def _write(member_id: str, *, by: Came, reason: str, now: int) -> None:
    hour = now - now % HOUR
    key = Touch.key(member_id, by.promoter_id)
    new, older = Touch.pk.does_not_exist(), Touch.last_at < hour
    told = [
        *_told(member_id, by.promoter_id, reason=reason, now=now),
        *([Touch.link.set(by.link)] if by.link else []),
        *([Touch.visit_id.set(by.visit_id)] if by.visit_id else []),
    ]
    one_more, afresh = (Touch.hours.add({hour}), Touch.n.add(1)), (Touch.hours.set({hour}), Touch.n.set(1))
    room = new | (older & (Touch.n.does_not_exist() | (Touch.n < HOURS_KEPT)))
    try:
        table.apply(table.upsert(Touch, key, *told, *one_more, when=room, refuse=_Noted))
    except _Noted as noted:
        if noted.row.last_at >= hour:
            return
        _quietly(table.upsert(Touch, key, *told, *afresh, when=older, refuse=_Noted))


def _quietly(write: Write) -> None:
    try:
        table.apply(write)
    except _Noted:
        logger.info("the visit was noted by another")


def left(held: Binding, *, to: str | None, reason: str, now: int) -> list[Write]:
    """The write with which a promoter keeps in their list whom they lose by the transaction it is in."""
    if held.promoter_id == to:
        return []
    key = Touch.key(held.member_id, held.promoter_id)
    actions = _told(held.member_id, held.promoter_id, reason=reason, now=now)
    return [table.upsert(Touch, key, *actions)]


def _told(member_id: str, promoter_id: str, *, reason: str, now: int) -> list[Any]:
    told = [
        Touch.member_id.set(member_id),
        Touch.promoter_id.set(promoter_id),
        Touch.reason.set(reason),
        Touch.last_at.set(now),
        Touch.first_at.set(Touch.first_at | now),
    ]
    if reason == THEIRS:
        return told
    listed = table.listed(f"{promoter_id}#missed", at=now, as_=member_id)
    return [
        *told,
        Touch.owner.set(listed["owner"]),
        Touch.listed_at.set(Touch.listed_at | listed["listed_at"]),
    ]
