"""What support's routes answer."""

import msgspec


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a member: what, to which thing, in words and numbers."""

    at: int
    what: str
    subject: str
    details: dict[str, str | int | bool | None]


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a member's story, newest first; ``next`` is the cursor of the page after it, null at the end."""

    member_id: str
    items: list[Happened]
    next: str | None = None
    now: int
