"""How often a member may call something, under a crowd: the shared row is never passed."""

from dataclasses import replace
from functools import partial

import pytest

from chalicelib.core import cache, limits
from tests.factories import NOW
from tests.races.arena import FAIR, ROUGH, STORM, Arena, careless, rounds

pytestmark = pytest.mark.engine
A_MINUTE = 30
SHARED = A_MINUTE - A_MINUTE // limits.FREE
CALLS = 48


CALL = partial(limits.admit, "mbr_alice", "POST /v1/links", a_minute=A_MINUTE, now=NOW)


def rows_of(arena: Arena) -> list[int]:
    return [row["n"] for row in arena.rows("member_calls")]


@pytest.fixture(autouse=True)
def _nothing_is_free(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process had counted its own third already: every call goes to the row."""
    cache.clear_all()
    monkeypatch.setattr(limits._counted, "peek", lambda *_, **__: A_MINUTE)


def test_the_harness_sees_more_calls_than_a_limit_when_no_condition_holds(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless(monkeypatch, lambda write: replace(write, when=None))

    arena.collide(*[CALL] * CALLS).expect(won=CALLS)

    assert rows_of(arena) == [CALLS] and CALLS > SHARED


@rounds(FAIR, ROUGH, STORM)
def test_a_member_calls_as_often_as_they_may(arena: Arena) -> None:
    outcomes = arena.race(*[CALL] * CALLS)

    # A call whose reply was lost is counted twice: it is only a little less that they may.
    least = 0 if arena.weather.lost_reply else SHARED
    outcomes.expect_won_or(limits.TooManyCalls.code, least=least, most=SHARED)
    assert rows_of(arena) == [SHARED]
