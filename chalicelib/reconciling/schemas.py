"""What reconciling's routes answer."""

import msgspec


class DriftAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A number that did not add up: what its row says, what it should, and when that was seen first and last.

    ``seen_in`` is the pass that saw it last. ``gone_in`` is the pass that found it in order again, and ``gone_at``
    when; null: it is open.
    """

    book: str
    subject: str
    says: dict[str, int]
    adds_up: dict[str, int]
    first_seen_at: int
    seen_at: int
    seen_in: str
    times: int
    gone_at: int | None
    gone_in: str | None


class PassAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the books: rows read, numbers proved, those that do not add up, those that kept moving.

    ``too_large`` are those that count more rows than a proof reads: nobody says whether they add up.
    """

    name: str
    state: str
    looked: int
    proved: int
    drifts: int
    unjudged: int
    too_large: int
    ended_at: int | None
