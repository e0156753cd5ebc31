"""What support's routes answer."""

import msgspec


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a member: what, to which thing, in words and numbers."""

    at: int
    what: str
    subject: str
    details: dict[str, str | int | bool | None]


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """A member's story, newest first."""

    member_id: str
    items: list[Happened]
    now: int
