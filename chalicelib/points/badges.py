"""The rules of badges: facts of one name are counted for the member who brought them, and so many are a badge.

A fact is counted once, by its reaction's marker, and only while a badge asks for its name: what happened before
there was such a badge is not counted. Somebody who was brought counts when they registered by it, for a visit
alone never earns anything.
"""

from collections.abc import Sequence
from functools import partial

import msgspec

from chalicelib.core import facts, table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Conflict, Invalid, NotFound
from chalicelib.core.table import Row, Write
from chalicelib.operators import service as operators
from chalicelib.points.models import Award, Badge, Counted
from chalicelib.points.schemas import AddBadge, EditBadge

WHO = {
    "binding.made": "promoter_id",
    "checkin.done": "member_id",
    "coupon.claimed": "member_id",
    "coupon.redeemed": "member_id",
    "group.filled": "head_id",
    "group.opened": "head_id",
    "order.completed": "member_id",
    "order.paid": "member_id",
}
"""By fact, the attribute of its row that names the member for whom it counts."""

_badges: Cache[list[Badge]] = Cache()


class BadgeExists(Conflict):
    """There is a badge of this id."""

    code = "badge_exists"
    en = "There is a badge of this id already."
    zh = "该勋章已存在。"
    advice = "Edit it, or choose another id."


def everything(*, now: int) -> list[Badge]:
    """All badges, at most 30 seconds old."""
    return _badges.get("all", now=now, load=lambda: table.query_all(Badge, "BADGES"))


def of(member_id: str) -> tuple[dict[str, int], dict[str, int]]:
    """A member's counts by fact, and the times of their awards by badge."""
    rows = table.query_all(Row, Award.key(member_id, "")[0])
    counts = {row.sk.removeprefix("COUNT#"): row.n for row in rows if isinstance(row, Counted)}
    return counts, {row.badge_id: row.at for row in rows if isinstance(row, Award)}


def awarded(member_id: str, badge_id: str, *, now: int) -> Write:
    """The write that gives a member a badge; having it already, they are refused with `table.Taken`."""
    key = Award.key(member_id, badge_id)
    return table.create(Award(*key, state="awarded", badge_id=badge_id, member_id=member_id, at=now))


def _count(row: Row, now: int, *, fact: str) -> Sequence[Write]:
    wanted = [badge for badge in everything(now=now) if badge.fact == fact and badge.state == "on"]
    member_id = getattr(row, WHO[fact], None)
    if not wanted or not member_id or not _earned(row, fact):
        return ()
    counts, awards = of(member_id)
    n = counts.get(fact, 0)
    seen = Counted.pk.does_not_exist() if fact not in counts else Counted.n == n
    one_more = table.upsert(
        Counted, Counted.key(member_id, fact), Counted.n.set(n + 1), when=seen, refuse=Busy
    )
    reached = [badge for badge in wanted if badge.threshold <= n + 1 and badge.badge_id not in awards]
    return [one_more, *(awarded(member_id, badge.badge_id, now=now) for badge in reached)]


def _earned(row: Row, fact: str) -> bool:
    """Of a binding: it was made by registering, and not by a visit alone or by an operator."""
    return fact != "binding.made" or getattr(row, "cause", None) == "registered"


for name in WHO:
    facts.reaction(name, name="points.badges")(partial(_count, fact=name))


# --- for operators ------------------------------------------------------------------------------------------


def add(given: AddBadge, *, by: Operator, now: int) -> Badge:
    """A new badge; the same again answers with the one that is there.

    Raises:
        BadgeExists: another badge has this id. Invalid: facts of this name are not counted.
    """
    row = _row(given.badge_id, given)
    try:
        table.transact([table.create(row), _audit("badge.added", None, row, by=by, now=now)])
    except table.Taken as first:
        if _told(first.row) != _told(row):
            raise BadgeExists(badge_id=given.badge_id) from first
    _badges.forget("all")
    return row


def edit(badge_id: str, given: EditBadge, *, by: Operator, now: int) -> Badge:
    """The badge told anew; who has it keeps it.

    Raises:
        NotFound: there is none of this id. Invalid: facts of this name are not counted.
    """
    before = table.get(Badge, Badge.key(badge_id))
    if before is None:
        raise NotFound
    row = _row(badge_id, given)
    row.rev = before.rev + 1
    replaced = Write(operation="Put", row=row, when=Badge.rev == before.rev, refuse=Busy)
    table.transact([replaced, _audit("badge.edited", before, row, by=by, now=now)])
    _badges.forget("all")
    return row


def _row(badge_id: str, given: EditBadge) -> Badge:
    if given.fact not in WHO:
        raise Invalid(field="fact", reason="not counted", facts=sorted(WHO))
    told = msgspec.structs.asdict(given)
    return Badge(
        *Badge.key(badge_id),
        badge_id=badge_id,
        state="on" if given.on else "off",
        **{name: told[name] for name in ("title", "image_url", "fact", "threshold")},
    )


def _told(row: Badge) -> dict[str, object]:
    return {name: getattr(row, name) for name in ("title", "image_url", "fact", "threshold", "state")}


def _audit(action: str, before: Badge | None, after: Badge, *, by: Operator, now: int) -> Write:
    return operators.recorded(
        by=by,
        action=action,
        subject=after.badge_id,
        before=before and _told(before),
        after=_told(after),
        now=now,
    )
