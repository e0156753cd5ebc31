"""What operators' own routes take and answer."""

from typing import Annotated, Any

import msgspec

from chalicelib.core.http import Listing

Why = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


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


class StuckRow(msgspec.Struct, frozen=True, kw_only=True):
    """Work that waits for a person: what it is, whom it is about, what was tried, and what can be done.

    ``settle_as``: the ways in which it is settled by hand.
    """

    id: str
    job: str
    what: str
    kind: str
    ref: str
    member_id: str | None
    order_id: str | None
    group_id: str | None
    campaign_id: str | None
    amount_fen: int | None
    details: dict[str, Any]
    attempts: int
    last_error: str
    since: int
    actions: list[str]
    settle_as: list[str]


class Settle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is settled by hand, and how, where there is more than one way."""

    reason: Why
    how: Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,32}$(?!\n)")] | None = None


class Cancel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is owed no longer."""

    reason: Why


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A person's decision is carried out."""

    id: str
    action: str
    how: str | None
    now: int


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
