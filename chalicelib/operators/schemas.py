"""What operators' own routes take and answer."""

from typing import Annotated, Any

import msgspec

from chalicelib.core.http import Listing


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """The operator behind the key."""

    key_id: str
    name: str
    role: str
    now: int


class AuditQuery(Listing, frozen=True, kw_only=True):
    """Which month of the trail, ``YYYY-MM``; the current one when left out."""

    month: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$(?!\n)")] | None = None


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change by one operator."""

    id: str
    by: str
    by_name: str
    role: str
    action: str
    subject: str
    at: int
    before: Any
    after: Any


class Some(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of a list that has one page."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


class StuckRow(msgspec.Struct, frozen=True, kw_only=True):
    """Work that failed ten times: what it is, why, and the id to retry it by."""

    id: str
    job: str
    kind: str
    ref: str
    attempts: int
    last_error: str
    since: int


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """The work will be tried again at once."""

    id: str
    due_at: int
    now: int


class OwedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A message that the mall has not confirmed yet."""

    id: str
    to: str
    type: str
    created_at: int
    attempts: int
    next_try_at: int
    last_error: str
