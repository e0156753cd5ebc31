"""A member's bindings and visits as one story, read in one call: the binding, what it was before, who else they
came to."""

import msgspec

from chalicelib.core import table
from chalicelib.sharing import history, windows
from chalicelib.sharing.history import Coming, Span
from chalicelib.sharing.models import Binding, Past, Touch
from chalicelib.sharing.touches import NEVER


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Whose customer a member is and was, the newest first, and to whom they came besides."""

    member_id: str
    binding: Binding | None
    past: list[Past]
    touches: list[Touch]

    @property
    def spans(self) -> list[Span]:
        """The stretches in which they were somebody's customer, the newest first."""
        now = [_span(self.binding)] if self.binding is not None and self.binding.state == "bound" else []
        return [*now, *(_past_span(row) for row in self.past if row.was["state"] == "bound")]

    def comings(self) -> list[Coming]:
        """All that could have bound them under some policy, and what operators did."""
        made = [_coming(span) for span in self.spans]
        undone = [
            Coming(at=row.changed_at, promoter_id=None, how="operator")
            for row in self.past
            if row.was["state"] == "bound" and _ended_by(row) == "operator"
        ]
        return [*undone, *made, *(one for touch in self.touches for one in _each_hour(touch))]


def of(member_id: str) -> Story:
    """The story of a member, as it is now."""
    rows = table.query_all(Binding, Binding.key(member_id)[0], Binding.sk.startswith("BINDING"))
    past = sorted((row for row in rows if isinstance(row, Past)), key=lambda row: row.sk, reverse=True)
    return Story(
        member_id=member_id,
        binding=next((row for row in rows if isinstance(row, Binding)), None),
        past=past,
        touches=[row for row in rows if isinstance(row, Touch)],
    )


def held_at(story: Story, at: int, *, now: int) -> Span | None:
    """The binding that held in that second, with every purchase counted that renewed it."""
    found = history.held_at(story.spans, at)
    last = story.binding
    if found is not None or last is None or last.state != "bound" or last.bound_at > at:
        return found
    span = _span(windows.caught_up(last, now=now))
    return span if span.holds(at) else None


def _span(row: Binding) -> Span:
    return Span(
        promoter_id=row.promoter_id,
        at=row.bound_at,
        cause=row.cause,
        policy=row.policy,
        link=row.link,
        visit_id=row.visit_id,
        expires_at=row.expires_at,
        places=row.places,
    )


def _past_span(row: Past) -> Span:
    was = row.was
    return Span(
        promoter_id=was["promoter_id"],
        at=was["bound_at"],
        cause=was["cause"],
        policy=was["policy"],
        link=was["link"],
        visit_id=was["visit_id"],
        expires_at=was.get("expires_at"),
        places=was.get("places"),
        until=row.changed_at,
        ended_by=_ended_by(row),
    )


def _ended_by(row: Past) -> str:
    """By what a binding was over; rows from before there were other ways are operators'."""
    return row.ended_by or "operator"


def _coming(span: Span) -> Coming:
    return Coming(
        at=span.at,
        promoter_id=span.promoter_id,
        how=span.cause,  # type: ignore[arg-type]
        link=span.link,
        visit_id=span.visit_id,
    )


def _each_hour(touch: Touch) -> list[Coming]:
    """Each hour in which they came and could have been bound; the hour of the newest is told to the second."""
    if touch.reason in NEVER:
        return []
    hours = sorted(int(hour) for hour in touch.hours or ())
    begins = [max(hour, touch.first_at) for hour in hours]
    return [
        Coming(at=at, promoter_id=touch.promoter_id, how="visit", link=touch.link, visit_id=touch.visit_id)
        for at in begins
    ]
