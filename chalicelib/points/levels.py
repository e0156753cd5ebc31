"""The rules of levels: up at once with growth; once a year a level costs growth, and who has too little goes down.

A level is what the growth reaches, so nothing but the ledger decides it. A change is one transaction with what it
owes: the mall's message, and a gift for each level that is reached for the first time.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from chalicelib.core import deliveries, due, facts, ledger, table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Invalid
from chalicelib.core.money import BPS
from chalicelib.core.table import Row, Write
from chalicelib.operators import service as operators
from chalicelib.points import goods, rules
from chalicelib.points.models import LevelGift, Levels, MemberLevel
from chalicelib.points.schemas import EditLevels

GROWTH = "growth"
YEAR_JOB = "level_year"
GIFT_JOB = "level_gift"
Level = dict[str, Any]

_levels: Cache[list[Level]] = Cache()


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A member's level with its perks, and the next one; None, when there are no levels, or no higher one."""

    number: int
    level: Level | None
    next: Level | None
    growth: int


# --- what the levels are ------------------------------------------------------------------------------------


def everything(*, now: int) -> list[Level]:
    """The levels from the lowest up, at most 30 seconds old; none, if the shop has none."""

    def load() -> list[Level]:
        row = table.get(Levels, Levels.key())
        return list(row.levels) if row is not None else []

    return _levels.get("all", now=now, load=load)


def edit(given: EditLevels, *, by: Operator, now: int) -> list[Level]:
    """The levels told anew; who has a level keeps it until their growth, or their year, says otherwise.

    As they were, nothing changes, and no line is left in the trail.

    Raises:
        Invalid: the thresholds do not rise from 0, or a gift cannot be given.
    """
    levels: list[Level] = [msgspec.to_builtins(level) for level in given.levels]
    _check(levels, now=now)
    before = table.get(Levels, Levels.key())
    if before is not None and before.levels == levels:
        _levels.forget("all")
        return levels
    row = Levels(*Levels.key(), levels=levels, rev=before.rev + 1 if before is not None else 1)
    unchanged = Levels.pk.does_not_exist() if before is None else Levels.rev == before.rev
    audit = operators.recorded(
        by=by,
        action="levels.edited",
        subject="levels",
        before=before and before.levels,
        after=levels,
        now=now,
    )
    table.transact([Write(operation="Put", row=row, when=unchanged, refuse=Busy), audit])
    _levels.forget("all")
    return levels


def _check(levels: list[Level], *, now: int) -> None:
    thresholds = [level["growth"] for level in levels]
    if thresholds != sorted(set(thresholds)) or thresholds[0] != 0:
        raise Invalid(field="levels", reason="growth rises from level to level, and the first needs 0")
    for at, level in enumerate(levels):
        _check_gift(at, level["perks"]["gift"], now=now)


def _check_gift(at: int, gift: dict[str, Any] | None, *, now: int) -> None:
    if gift is None:
        return
    if at == 0:
        raise Invalid(field="levels", reason="the first level is everybody's, and brings no gift")
    goods.check(gift["goods"], gift["what"], now=now)


# --- whose level is which -----------------------------------------------------------------------------------


def standing(member_id: str, *, now: int) -> Standing:
    """A member's level and growth as they are now."""
    keys = [(Row, MemberLevel.key(member_id)), (Row, ledger.Account.key(member_id, GROWTH))]
    row, account = table.get_many(keys)
    levels = everything(now=now)
    number = min(row.level if row is not None else 1, max(1, len(levels)))
    return Standing(
        number=number,
        level=levels[number - 1] if levels else None,
        next=levels[number] if number < len(levels) else None,
        growth=(account.balance or 0) if account is not None else 0,
    )


def points_bps(member_id: str, *, now: int) -> int:
    """What a member's level makes of the points they earn; no read, while no level makes anything of them."""
    levels = everything(now=now)
    if all(level["perks"]["points_bps"] == BPS for level in levels):
        return BPS
    row = table.get(MemberLevel, MemberLevel.key(member_id))
    number = min(row.level if row is not None else 1, len(levels))
    return int(levels[number - 1]["perks"]["points_bps"])


@facts.reaction("growth.posted", name="points.level_up")
def level_up(entry: ledger.Entry, now: int) -> Sequence[Write]:
    """A member who has grown enough goes up at once, over several levels if need be."""
    member_id, _ = ledger.owner_of(entry)
    row = table.get(MemberLevel, MemberLevel.key(member_id))
    growth = ledger.balance(owner=member_id, book=GROWTH)
    reached = rules.level_for(growth, [level["growth"] for level in everything(now=now)])
    if reached <= (row.level if row is not None else 1):
        return ()
    return [*_moved(member_id, row, reached, now=now), *_gifts(member_id, row, reached, now=now)]


@due.handles(YEAR_JOB)
def end_year(entry: due.Entry, now: int) -> None:
    """A level's year is over: it costs growth, and what is left says which level it is for the next year."""
    row = table.get(MemberLevel, (entry.pk, entry.sk))
    if row is None or row.due_at is None or row.due_at > now:
        return
    levels = everything(now=now)
    growth = ledger.balance(owner=row.member_id, book=GROWTH)
    cost = rules.year_costs(growth, row.level, levels) if row.level <= len(levels) else 0
    reached = rules.level_for(growth - cost, [level["growth"] for level in levels])
    writes = [
        *_moved(row.member_id, row, reached, now=now),
        *_gifts(row.member_id, row, reached, now=now),
    ]
    if cost:
        cause = f"{YEAR_JOB}#{row.due_at}"
        writes += ledger.posted(
            owner=row.member_id, book=GROWTH, amount=-cost, cause=cause, reason=YEAR_JOB, now=now
        )
    table.transact(writes)


def handed_over(member_id: str, into: str, *, now: int) -> list[Write]:
    """The writes after which another has a merged member's level, if it is the higher one; none when it went over.

    What it brought goes with it: a level that either of them had reached before brings nothing a second time.
    """
    rows = table.get_many([(MemberLevel, MemberLevel.key(one)) for one in (member_id, into)])
    theirs, row = rows
    if theirs is None or theirs.handed_to is not None:
        return []
    key = (theirs.pk, theirs.sk)
    mark = (MemberLevel.handed_to.set(into), *due.emptied())
    handed = table.update(MemberLevel, key, *mark, when=MemberLevel.rev == theirs.rev, refuse=Busy)
    if row is not None and row.level >= theirs.level and row.highest >= theirs.highest:
        return [handed]
    to = max(theirs.level, row.level if row is not None else 1)
    return [handed, *_moved(into, row, to, now=now, highest=theirs.highest)]


def _moved(member_id: str, row: MemberLevel | None, to: int, *, now: int, highest: int = 1) -> list[Write]:
    """The level is ``to`` and its year begins; the mall is told, if it is another than before."""
    key = MemberLevel.key(member_id)
    before, rev = (row.level, row.rev) if row is not None else (1, 0)
    at = now + rules.YEAR_S
    fresh = due.moved(job=YEAR_JOB, pk=key[0], at=at, ref=member_id) if to > 1 else due.emptied()
    actions = (
        MemberLevel.state.set(str(to)),
        MemberLevel.member_id.set(member_id),
        MemberLevel.level.set(to),
        MemberLevel.highest.set(max(to, highest, row.highest if row is not None else 1)),
        MemberLevel.since.set(now),
    )
    seen = MemberLevel.pk.does_not_exist() if row is None else MemberLevel.rev == rev
    change = table.upsert(MemberLevel, key, *actions, *fresh, when=seen, refuse=Busy)
    if to == before:
        return [change]
    levels = everything(now=now)
    name = levels[to - 1]["name"] if to <= len(levels) else ""
    data = {"member_id": member_id, "level": to, "name": name, "before": before, "at": now}
    cause = [member_id, str(rev + 1)]
    return [change, *deliveries.owe("member.level_changed", cause=cause, data=data, now=now)]


def _gifts(member_id: str, row: MemberLevel | None, to: int, *, now: int) -> list[Write]:
    """What is owed for each level that the member reaches for the first time."""
    levels = everything(now=now)
    highest = row.highest if row is not None else 1
    owed = []
    for number in range(highest + 1, to + 1):
        gift = levels[number - 1]["perks"]["gift"]
        if gift is not None:
            pk, sk = LevelGift.key(member_id, number)
            slot = due.slot(job=GIFT_JOB, pk=pk, at=now, ref=str(number))
            given = {"member_id": member_id, "level": number, "state": "due", **gift, **slot}
            owed.append(table.create(LevelGift(pk, sk, **given), refuse=lambda _: Busy()))
    return owed


@due.handles(GIFT_JOB)
def give_level_gift(entry: due.Entry, now: int) -> None:
    """A gift that a level owes is given; what its room refuses waits, and after ten tries operators see it."""
    gift = table.get(LevelGift, (entry.pk, entry.sk))
    if gift is None or gift.state != "due":
        return
    cause = f"level#{gift.level}"
    giving = goods.Giving(member_id=gift.member_id, what=gift.what, cause=cause, now=now)
    given = (LevelGift.state.set("given"), *due.emptied())
    done = table.update(
        LevelGift, (gift.pk, gift.sk), *given, when=LevelGift.state == "due", refuse=_GivenAlready
    )
    try:
        table.transact([done, *goods.given(gift.goods, giving)])
    except (_GivenAlready, table.Taken):
        # Of what another run gave, the gift's room may be the first to know.
        left = table.get(LevelGift, (gift.pk, gift.sk))
        if left is not None and left.state == "due":
            raise


class _GivenAlready(Exception):
    """Another run gave it."""
