"""The same link minted at once is one link with one code, and a code serves one link.

Under lost replies the one who minted a link may be told that it was there already: botocore sent the put again
and met its own row. So "new" is told once in fair weather and at most once in any.

A stream has no record of a write that changes nothing, so every caller here lives in a second of its own.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core import ids
from chalicelib.core.table import Row, Write, get
from chalicelib.sharing import service as sharing
from chalicelib.sharing.models import Link
from chalicelib.sharing.schemas import MintLink
from tests.factories import NOW, a_share
from tests.harness.races import Outcomes, race, read_then_write
from tests.races.arena import CROWD, FAIR, STORM, Arena, careless, rounds, unconditionally

pytestmark = pytest.mark.engine

Minted = Sequence[tuple[MintLink, Link]]
ONE_CODE = "AAAAAAAAAA"
_seconds = itertools.count(NOW)


def check_links(arena: Arena, *, wanted: Sequence[MintLink], minted: Minted) -> None:
    """One row for each, written once and never again; everybody got the link they asked for."""
    assert len(arena.images("link")) == len(wanted), "a link was written more than once, or not at all"
    links = {row["code"]: row for row in arena.rows("link")}
    assert len({row["natural_key"] for row in links.values()}) == len(links) == len(wanted)
    for asked, got in minted:
        assert links[got.code]["target_id"] == asked.target.id, "somebody got another's link"
        assert links[got.code]["created_at"] == got.created_at, "somebody holds a link that is not there"


def check_told_new_once(arena: Arena, outcomes: Outcomes) -> None:
    """Who minted it is told so, unless the reply was lost."""
    told = sum(new for _, new in outcomes.winners)
    assert told <= 1, f"{told} callers were told that the link is new"
    assert told == 1 or arena.weather.lost_reply


def minted_by(outcomes: Outcomes, wanted: Sequence[Sequence[MintLink]]) -> list[tuple[MintLink, Link]]:
    """What every caller asked for beside what they got."""
    got = [one if isinstance(one, list) else [one[0]] for one in outcomes.winners]
    return [pair for asked, links in zip(wanted, got, strict=True) for pair in zip(asked, links, strict=True)]


def minting(wanted: Sequence[MintLink], *, sharer_id: str = "mbr_a") -> Callable[[], Any]:
    """One call for one link or for a batch, at a time of its own."""
    now = next(_seconds)
    if len(wanted) == 1:
        return lambda: sharing.mint(sharer_id=sharer_id, wanted=wanted[0], now=now)
    return lambda: sharing.mint_all(sharer_id=sharer_id, wanted=wanted, now=now)


def test_the_harness_sees_a_link_minted_twice_when_the_rule_is_a_read(arena: Arena) -> None:
    asked = a_share()
    code = sharing._row("mbr_a", asked, attempt=0, now=NOW).code

    def read() -> Row | None:
        return get(Link, Link.key(code))

    def write(seen: Row | None) -> tuple[Row, bool]:
        row = sharing._row("mbr_a", asked, attempt=0, now=next(_seconds))
        return seen or unconditionally(row), seen is None

    naive = read_then_write(read, write, parties=8)
    outcomes = race(*[naive] * 8)

    assert len(outcomes.winners) == 8
    with pytest.raises(AssertionError, match="8 callers were told"):
        check_told_new_once(arena, outcomes)
    with pytest.raises(AssertionError, match="more than once"):
        check_links(arena, wanted=[asked], minted=[])


@rounds(FAIR, STORM)
def test_the_same_link_minted_many_times_is_one(arena: Arena) -> None:
    asked = a_share()

    outcomes = arena.race(*[minting([asked]) for _ in range(CROWD)])

    outcomes.expect(won=CROWD)
    check_told_new_once(arena, outcomes)
    check_links(arena, wanted=[asked], minted=minted_by(outcomes, [[asked]] * CROWD))


@rounds(STORM)
def test_batches_that_overlap_each_other_and_single_links_mint_each_once(arena: Arena) -> None:
    shelf = [a_share() for _ in range(100)]
    batches = [shelf[at : at + 50] for at in (0, 25, 50)] + [shelf[70:20:-1]]
    wanted = [*batches * 4, *[[one] for one in shelf[::2]]]

    outcomes = arena.race(*[minting(one) for one in wanted])

    outcomes.expect(won=len(wanted))
    asked_for = [one for one in shelf if any(one in some for some in wanted)]
    check_links(arena, wanted=asked_for, minted=minted_by(outcomes, wanted))


@pytest.fixture
def every_first_code_collides(monkeypatch: pytest.MonkeyPatch) -> None:
    """All links of the brand have the same first code; their second ones differ."""
    real = ids.keyed_code

    def colliding(*parts: str, key: bytes, length: int = 10) -> str:
        return ONE_CODE if parts[-1] == "0" else real(*parts, key=key, length=length)

    monkeypatch.setattr(ids, "keyed_code", colliding)


@rounds(STORM)
@pytest.mark.usefixtures("every_first_code_collides")
def test_two_links_that_collide_on_a_code_are_two_rows(arena: Arena) -> None:
    both, other = [a_share(), a_share()], a_share(channel="qr")
    wanted = [[both[0]], [both[1]]] * (CROWD // 2)

    outcomes = arena.race(*[minting(one) for one in wanted])
    again = race(minting([*both, other]))

    outcomes.expect(won=CROWD)
    again.expect(won=1)
    minted = minted_by(outcomes, wanted) + minted_by(again, [[*both, other]])
    check_links(arena, wanted=[*both, other], minted=minted)
    assert ONE_CODE in {row["code"] for row in arena.rows("link")}


@pytest.mark.usefixtures("every_first_code_collides")
def test_two_links_of_one_batch_that_collide_are_two_rows(arena: Arena) -> None:
    both = [a_share(), a_share()]

    outcomes = race(minting(both))

    outcomes.expect(won=1)
    check_links(arena, wanted=both, minted=minted_by(outcomes, [both]))


def without_new_link_condition(write: Write) -> Write:
    """A link that is put whether its code is taken or not."""
    return replace(write, when=None) if isinstance(write.row, Link) and write.natural else write


@pytest.mark.parametrize("size", [1, 2], ids=["single", "batch"])
def test_a_new_link_without_its_condition_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    careless(monkeypatch, without_new_link_condition)
    wanted = [a_share() for _ in range(size)]

    outcomes = arena.collide(*[minting(wanted) for _ in range(8)])

    with pytest.raises(AssertionError, match="more than once"):
        check_links(arena, wanted=wanted, minted=minted_by(outcomes, [wanted] * 8))


@pytest.mark.usefixtures("every_first_code_collides")
def test_a_code_taken_for_ones_own_without_a_look_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sharing._row

    def believing(*given: Any, **named: Any) -> Link:
        row = real(*given, **named)
        row.natural_key = "anybody's"
        return row

    monkeypatch.setattr(sharing, "_row", believing)
    both = [a_share(), a_share()]

    outcomes = race(*[minting([one]) for one in both])

    with pytest.raises(AssertionError, match="or not at all"):
        check_links(arena, wanted=both, minted=minted_by(outcomes, [[one] for one in both]))
