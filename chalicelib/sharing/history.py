"""Whose customer a member is, was at a time, and would have been under another policy: pure.

A binding is a stretch of time: it begins when it is made and is over when it is undone, taken, or its window
ends. A purchase within the window begins the window anew, where the policy says so; as that can only lengthen a
stretch that has not ended, one ``expires_at`` says all: who is asked about an earlier second gets the answer of
that second.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from chalicelib.core.clock import DAY
from chalicelib.sharing.rules import Mode

How = Literal["registered", "visit", "invite_code", "operator"]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy says."""

    mode: Mode
    window_days: int | None = None
    renew_by_purchase: bool = False
    protect_days: int = 0
    depth: int = 1
    self_purchase: bool = False

    def expires_at(self, at: int) -> int | None:
        """When a window that begins at this time is over; None: never."""
        return None if self.window_days is None else at + self.window_days * DAY

    def protected_until(self, at: int) -> int:
        """Until when a binding of this time cannot be taken."""
        return at + self.protect_days * DAY

    def binds(self, how: How) -> bool:
        """Whether it binds somebody who is nobody's customer and came this way."""
        return self.mode != "new_members" or how != "visit"

    def takes(self, under: "Terms") -> bool:
        """Whether a newer visit takes a binding that was made ``under`` these terms, once that is not protected.

        Who was promised a customer for ever keeps them, whatever the policy is now.
        """
        return self.mode == "last" and under.mode == "last"


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch in which a member was a promoter's customer: from ``at`` until it was undone or expired."""

    promoter_id: str
    at: int
    cause: str
    policy: int = 0
    link: str | None = None
    visit_id: str | None = None
    until: int | None = None
    ended_by: str | None = None
    expires_at: int | None = None
    places: Mapping[str, str] | None = None

    def holds(self, at: int) -> bool:
        """Whether the member was this promoter's in that second."""
        undone = self.until is not None and at >= self.until
        return self.at <= at and not undone and not self.expired(at)

    def expired(self, at: int) -> bool:
        """Whether its window was over in that second."""
        return self.expires_at is not None and at >= self.expires_at


def held_at(spans: Iterable[Span], at: int) -> Span | None:
    """The one that held in that second."""
    return next((span for span in spans if span.holds(at)), None)


def renewed(expires_at: int, purchases: Iterable[int], *, terms: Terms) -> int:
    """When a window is over, after all the purchases of its member: each within it begins it anew."""
    if not terms.renew_by_purchase or terms.window_days is None:
        return expires_at
    for at in sorted(purchases):
        if at < expires_at:
            expires_at = max(expires_at, at + terms.window_days * DAY)
    return expires_at


# --- another policy -----------------------------------------------------------------------------------------


class Coming(msgspec.Struct, frozen=True, kw_only=True):
    """A member came to a promoter, or an operator gave them to one; to nobody, when ``promoter_id`` is None."""

    at: int
    promoter_id: str | None
    how: How
    link: str | None = None
    visit_id: str | None = None


def replayed(comings: Iterable[Coming], purchases: Sequence[int], *, terms: Terms, at: int) -> Span | None:
    """Whose customer a member would have been in that second, had these terms been in force from the beginning."""
    held: Span | None = None
    for coming in sorted(comings, key=lambda one: one.at):
        if coming.at <= at:
            held = _after(held, coming, purchases, terms=terms)
    return _alive(held, purchases, terms=terms, at=at)


def _after(held: Span | None, coming: Coming, purchases: Sequence[int], *, terms: Terms) -> Span | None:
    if coming.how == "operator":
        return _span(coming, terms=terms)
    alive = _alive(held, purchases, terms=terms, at=coming.at)
    if alive is None:
        return _span(coming, terms=terms) if terms.binds(coming.how) else None
    newer = alive.promoter_id != coming.promoter_id and coming.at >= terms.protected_until(alive.at)
    return _span(coming, terms=terms) if newer and terms.mode == "last" else alive


def _span(coming: Coming, *, terms: Terms) -> Span | None:
    if coming.promoter_id is None:
        return None
    return Span(
        promoter_id=coming.promoter_id,
        at=coming.at,
        cause=coming.how,
        link=coming.link,
        visit_id=coming.visit_id,
        expires_at=terms.expires_at(coming.at),
    )


def _alive(held: Span | None, purchases: Sequence[int], *, terms: Terms, at: int) -> Span | None:
    if held is None or held.expires_at is None:
        return held
    since = [bought for bought in purchases if held.at <= bought <= at]
    lasts = replace(held, expires_at=renewed(held.expires_at, since, terms=terms))
    return lasts if lasts.holds(at) else None
