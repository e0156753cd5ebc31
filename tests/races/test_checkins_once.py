"""One check-in per member, campaign and local date, with one credit, whoever else marks days at that moment (K1).

What a run has earned is checked over all its days together, so a streak that was computed from rows which had
changed meanwhile shows as points too many or too few.

Cases of the field, by their numbers in research/malls.md 3 (the others of 25: tests/integration/test_checkins.py):
    25 yudao, a day that is looked for and then written; lilishop, a day that is unique by the second:
       test_many_check_ins_of_one_day_are_one
       yudao, the server's own midnight: test_many_check_ins_around_the_years_edge_are_two,
       test_many_check_ins_around_a_cut_off_within_a_month_are_two
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from chalicelib.checkins import teams
from chalicelib.checkins.marking import Marked
from chalicelib.checkins.models import Campaign, Month, Team
from chalicelib.core import ledger
from chalicelib.core.ledger import Account
from chalicelib.core.table import Write
from tests.checkins import (
    a_challenge,
    a_checkin,
    balance,
    broken,
    come,
    coming,
    each,
    mend,
    someone,
    streak,
    total,
)
from tests.coupons import a_template
from tests.factories import NOW, alone
from tests.harness.races import Outcomes
from tests.races.arena import CROWD, ROUGH, STORM, TRUTH, Arena, careless, rounds

pytestmark = pytest.mark.engine
MIDNIGHT = NOW - 10 * 3600
"""Where New Year's Eve ends in Shanghai, and with it a day, a month and a year."""
LADDER = [each(5), streak(3, 10), streak(7, 50), total(4, 100)]
MAKEUPS = {"points": 20, "per_month": 1}


@pytest.fixture(autouse=True)
def nobody_reacts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where calls meet before they write, they meet at this room's writes."""
    alone(monkeypatch, "checkins")


def a_ladder(**changes: object) -> Campaign:
    """A campaign in which it matters how long every run is."""
    return a_checkin(rewards=LADDER, makeups=MAKEUPS, **changes)


def coming_at(campaign: Campaign, member_id: str, at: int) -> Callable[[], Marked]:
    """A check-in at a moment."""
    return lambda: come(campaign, member_id, at=at)


def mending(campaign: Campaign, member_id: str, missed: int, *, day: int) -> Callable[[], Marked]:
    """A make-up on a day."""
    return lambda: mend(campaign, member_id, missed, day=day)


def check(arena: Arena, campaign: Campaign) -> None:
    """K1 and L1 hold, in the rows and in the order in which they came about."""
    assert broken(arena.client, campaign, TRUTH) == []
    for change in arena.images("checkin_month"):
        before, after = (set((side or {}).get("days", ())) for side in (change.old, change.new))
        assert before <= after and len(after - before) <= 1, "a day was lost, or two came at once"
    entries = arena.images("entry")
    assert all(change.old is None for change in entries), "something was credited twice under one cause"


def same(outcomes: Outcomes) -> Marked:
    """Everybody was told of the same check-in, and at most one that it is theirs."""
    marks: list[Marked] = outcomes.winners
    assert len({(mark.turn, mark.streak, mark.total, tuple(mark.gifts.items())) for mark in marks}) == 1
    assert sum(mark.new for mark in marks) <= 1
    return marks[0]


def carelessly(write: Write) -> Write:
    """As if the rule were a read: months and accounts are written whatever they are by now."""
    if not isinstance(write.row, Month | Account | ledger.Entry):
        return write
    return replace(write, when=None)


# --- the day's edge -----------------------------------------------------------------------------------------


def test_the_harness_sees_days_credited_twice_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, bob = a_ladder(), someone()
    coming(campaign, bob, 0, 1)
    careless(monkeypatch, carelessly)

    arena.collide(*[lambda: come(campaign, bob, 2)] * 8).expect(won=8)

    assert balance(bob) == 10 + 8 * 15
    with pytest.raises(AssertionError, match="its entries 25"):
        check(arena, campaign)


@rounds(STORM)
def test_many_check_ins_of_one_day_are_one(arena: Arena) -> None:
    campaign, bob = a_ladder(), someone()
    coming(campaign, bob, 0, 1)

    outcomes = arena.race(*[lambda: come(campaign, bob, 2)] * CROWD)

    outcomes.expect(won=CROWD)
    assert (same(outcomes).streak, balance(bob)) == (3, 25)
    check(arena, campaign)


@pytest.mark.parametrize("days", [(), (-9, -8), (-3, -2)], ids=["never before", "a run that broke", "a run"])
@rounds(STORM)
def test_many_check_ins_around_the_years_edge_are_two(arena: Arena, days: tuple[int, ...]) -> None:
    campaign, bob = a_ladder(), someone()
    coming(campaign, bob, *days)
    moments = [MIDNIGHT - 1, MIDNIGHT, MIDNIGHT - 2, MIDNIGHT + 1]

    outcomes = arena.race(*[coming_at(campaign, bob, at) for at in moments] * (CROWD // 4))

    outcomes.expect(won=CROWD)
    assert {mark.turn.isoformat() for mark in outcomes.winners} == {"2025-12-31", "2026-01-01"}
    assert come(campaign, bob, 1).streak == 3 + (len(days) if days == (-3, -2) else 0)
    check(arena, campaign)


@rounds(ROUGH)
def test_many_check_ins_around_a_cut_off_within_a_month_are_two(arena: Arena) -> None:
    campaign, bob = a_ladder(day_starts_at_minute=240), someone()
    coming(campaign, bob, 2, 3)
    edge = MIDNIGHT + 4 * 86400 + 4 * 3600 + 86400

    outcomes = arena.race(*[coming_at(campaign, bob, edge - n % 2) for n in range(CROWD)])

    outcomes.expect(won=CROWD)
    assert balance(bob) == 5 + 5 + 15 + 5 + 100
    check(arena, campaign)


# --- make-ups -----------------------------------------------------------------------------------------------


def test_the_harness_sees_a_streak_computed_from_what_had_changed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, bob = a_ladder(), someone(points=100)
    coming(campaign, bob, 0, 1)
    careless(monkeypatch, lambda write: replace(write, when=None) if isinstance(write.row, Month) else write)

    arena.collide(lambda: come(campaign, bob, 3), mending(campaign, bob, 2, day=3)).expect(won=2)

    with pytest.raises(AssertionError, match="was given"):
        check(arena, campaign)


@rounds(STORM)
def test_makeups_against_check_ins_earn_what_the_run_earns(arena: Arena) -> None:
    campaign, bob = a_ladder(), someone(points=100)
    coming(campaign, bob, 0, 1, 2, 4, 5)
    both = [lambda: come(campaign, bob, 6), mending(campaign, bob, 3, day=6)]

    outcomes = arena.race(*both * (CROWD // 2))

    outcomes.expect(won=CROWD)
    assert balance(bob) == 100 - 20 + 7 * 5 + 10 + 50 + 100
    check(arena, campaign)


@rounds(STORM)
def test_a_makeup_of_the_last_month_against_the_first_check_in_of_this_one(arena: Arena) -> None:
    campaign, bob = a_ladder(), someone(points=100)
    coming(campaign, bob, -3, -2)
    both = [lambda: come(campaign, bob, 0), mending(campaign, bob, -1, day=0)]

    outcomes = arena.race(*both * (CROWD // 2))

    outcomes.expect(won=CROWD)
    assert come(campaign, bob, 1).streak == 5
    check(arena, campaign)


def check_one_makeup(arena: Arena, campaign: Campaign, member_id: str) -> None:
    """The month's one make-up was made and paid once."""
    made = [row for row in arena.rows("checkin_month") if row.get("made_up")]
    assert [len(row["made_up"]) for row in made] == [1], "more was made up than the month has"
    check(arena, campaign)


def test_the_harness_sees_the_last_makeup_made_twice_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, bob = a_ladder(), someone(points=200)
    come(campaign, bob, 9)
    careless(monkeypatch, lambda write: replace(write, when=None) if isinstance(write.row, Month) else write)

    arena.collide(*[mending(campaign, bob, missed, day=9) for missed in range(1, 9)]).expect(won=8)

    with pytest.raises(AssertionError, match="more was made up"):
        check_one_makeup(arena, campaign, bob)


@rounds(STORM)
def test_the_last_makeup_of_a_month_is_made_once(arena: Arena) -> None:
    campaign, bob = a_ladder(), someone(points=2000)
    come(campaign, bob, 9)

    outcomes = arena.race(*[mending(campaign, bob, 1 + n % 8, day=9) for n in range(CROWD)])

    outcomes.expect(won=CROWD // 8, makeups_used_up=CROWD - CROWD // 8)
    check_one_makeup(arena, campaign, bob)


@rounds(ROUGH)
def test_points_for_one_makeup_buy_one(arena: Arena) -> None:
    campaign, bob = a_checkin(rewards=[], makeups={"points": 20, "per_month": 31}), someone(points=39)

    outcomes = arena.race(*[mending(campaign, bob, n % 4, day=9) for n in range(CROWD // 2)])

    outcomes.expect(won=CROWD // 8, not_enough_points=CROWD // 2 - CROWD // 8)
    assert balance(bob) == 19
    check(arena, campaign)


# --- freeze cards -------------------------------------------------------------------------------------------


@rounds(STORM)
def test_one_freeze_card_saves_one_run(arena: Arena) -> None:
    first, second = (a_ladder(freeze_at_most=1) for _ in range(2))
    bob = someone(freeze_card=1)
    for campaign in (first, second):
        coming(campaign, bob, 0, 1)

    outcomes = arena.race(*[lambda: come(first, bob, 3), lambda: come(second, bob, 3)] * (CROWD // 2))

    outcomes.expect(won=CROWD)
    assert sorted(come(campaign, bob, 3).streak for campaign in (first, second)) == [1, 3]
    assert balance(bob, "freeze_card") == 0
    check(arena, first)
    check(arena, second)


# --- coupons ------------------------------------------------------------------------------------------------


@rounds(ROUGH)
def test_a_coupon_that_runs_out_among_many_costs_nobody_their_day(arena: Arena) -> None:
    template = a_template(stock=3)
    give = [{"kind": "coupon", "template_id": template.template_id}]
    campaign = a_checkin(rewards=[each(5), {"by": "total", "turns": 1, "give": give}])
    crowd = [someone() for _ in range(CROWD // 2)]

    outcomes = arena.race(*[lambda one=one: come(campaign, one) for one in crowd])

    outcomes.expect(won=CROWD // 2)
    assert len(arena.rows("coupon")) == 3
    assert sum(bool(mark.missed) for mark in outcomes.winners) == CROWD // 2 - 3
    assert {balance(one) for one in crowd} == {5}
    check(arena, campaign)


# --- teams --------------------------------------------------------------------------------------------------


def joining(campaign: Campaign, team_id: str, member_id: str) -> Callable[[], object]:
    """Somebody joins a team."""
    return lambda: teams.join(campaign, team_id, member_id, now=NOW)


def check_team(arena: Arena, size: int) -> None:
    """As many mates as places, each in one team, at every instant."""
    for change in arena.images("checkin_team"):
        assert change.new is None or 0 <= change.new["free"] < size, "a team had more mates than places"
    for row in arena.rows("checkin_team"):
        mates = [mate["member_id"] for mate in arena.rows("checkin_mate", pk=row["pk"])]
        assert len(mates) == size - row["free"], f"{len(mates)} mates have {size - row['free']} places"
        parts = {part["pk"].rpartition("#")[2] for part in arena.rows("checkin_part", team_id=row["team_id"])}
        assert parts == set(mates)


def test_the_harness_sees_a_team_too_large_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = a_challenge()
    team, _ = teams.found(campaign, someone(), title="Larks", now=NOW)
    careless(monkeypatch, lambda write: replace(write, when=None) if isinstance(write.row, Team) else write)

    arena.collide(*[joining(campaign, team.team_id, someone()) for _ in range(8)]).expect(won=8)

    with pytest.raises(AssertionError, match="more mates than places"):
        check_team(arena, 4)


@rounds(ROUGH)
def test_the_last_places_of_a_team_are_taken_once(arena: Arena) -> None:
    campaign = a_challenge()
    team, _ = teams.found(campaign, someone(), title="Larks", now=NOW)

    outcomes = arena.race(*[joining(campaign, team.team_id, someone()) for _ in range(CROWD)])

    outcomes.expect(won=3, team_full=CROWD - 3)
    check_team(arena, 4)


@rounds(STORM)
def test_one_who_founds_joins_and_leaves_everywhere_is_in_one_team_at_most(arena: Arena) -> None:
    campaign, bob = a_challenge(), someone()
    there = [teams.found(campaign, someone(), title="Larks", now=NOW)[0].team_id for _ in range(3)]
    calls = [joining(campaign, team_id, bob) for team_id in there]
    calls += [lambda: teams.leave(campaign, there[0], bob)]
    calls += [lambda: teams.found(campaign, bob, title="Owls", now=NOW)]

    outcomes = arena.race(*calls * (CROWD // 10))

    outcomes.expect_won_or("in_another_team")
    check_team(arena, 4)
