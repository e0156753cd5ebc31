"""Which turn it is by the campaign's own clocks, how long a run is, and what it earns in whatever order."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.checkins import rules
from chalicelib.checkins.rules import Calendar, History, Terms
from chalicelib.core.errors import Invalid

DAY_S = 86400
zones = st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"})).map(ZoneInfo)
moments = st.integers(min_value=0, max_value=4_102_444_800)
calendars = st.builds(
    Calendar, zone=zones, day_starts_at_minute=st.integers(min_value=0, max_value=1439), weekly=st.booleans()
)
SHANGHAI = Calendar(zone=ZoneInfo("Asia/Shanghai"))
JAN = date(2026, 1, 1)


def at(text: str) -> int:
    """The moment of an ISO time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def nth(n: int) -> date:
    """The day so many days after New Year 2026."""
    return JAN + timedelta(days=n)


def seen(*days: int, frozen: tuple[int, ...] = (), **more: Any) -> History:
    """Days of 2026 by number, 0 is New Year."""
    return History(
        calendar=SHANGHAI, days=frozenset(map(nth, days)), frozen=frozenset(map(nth, frozen)), **more
    )


# --- which turn it is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("moment", "zone", "cut_off", "turn"),
    [
        ("2025-12-31T15:59:59", "Asia/Shanghai", 0, "2025-12-31"),
        ("2025-12-31T16:00:00", "Asia/Shanghai", 0, "2026-01-01"),
        ("2025-12-31T19:59:59", "Asia/Shanghai", 240, "2025-12-31"),
        ("2025-12-31T20:00:00", "Asia/Shanghai", 240, "2026-01-01"),
        ("2028-02-28T16:00:00", "Asia/Shanghai", 0, "2028-02-29"),
        # Half past two does not exist on the day on which clocks go from two to three.
        ("2026-03-08T07:29:59", "America/New_York", 150, "2026-03-07"),
        ("2026-03-08T07:30:00", "America/New_York", 150, "2026-03-08"),
        # Half past one comes twice: the day begins with the first and stays through the second.
        ("2026-11-01T05:29:59", "America/New_York", 90, "2026-10-31"),
        ("2026-11-01T05:30:00", "America/New_York", 90, "2026-11-01"),
        ("2026-11-01T06:15:00", "America/New_York", 90, "2026-11-01"),
        # Samoa had no 30 December 2011.
        ("2011-12-30T09:59:59", "Pacific/Apia", 0, "2011-12-29"),
        ("2011-12-30T10:00:00", "Pacific/Apia", 0, "2011-12-31"),
    ],
)
def test_a_turn_is_that_of_the_campaigns_clocks(moment: str, zone: str, cut_off: int, turn: str) -> None:
    calendar = Calendar(zone=ZoneInfo(zone), day_starts_at_minute=cut_off)

    assert calendar.turn_at(at(moment)) == date.fromisoformat(turn)


@settings(deadline=None)
@given(moments, calendars)
def test_a_turn_holds_its_moments_and_no_other_does(moment: int, calendar: Calendar) -> None:
    turn = calendar.turn_at(moment)

    assert calendar.begins(turn) <= moment < calendar.begins(calendar.after(turn))
    assert calendar.turn_of(turn) == turn


@settings(deadline=None)
@given(moments, calendars, st.integers(min_value=0, max_value=3 * DAY_S))
def test_time_never_goes_back_to_an_earlier_turn(moment: int, calendar: Calendar, later: int) -> None:
    assert calendar.turn_at(moment + later) >= calendar.turn_at(moment)


@settings(deadline=None)
@given(moments, calendars)
def test_the_turn_before_and_the_turn_after_touch(moment: int, calendar: Calendar) -> None:
    turn = calendar.turn_at(moment)

    assert calendar.turn_at(calendar.begins(turn) - 1) == calendar.before(turn)
    assert calendar.turn_at(calendar.begins(calendar.after(turn))) == calendar.after(turn)
    assert calendar.after(calendar.before(turn)) == turn


@given(zones, st.integers(min_value=0, max_value=1439), st.integers(min_value=1970, max_value=2030))
@settings(max_examples=15, deadline=None)
def test_who_checks_in_every_day_of_a_year_has_a_run_of_all_of_them(
    zone: ZoneInfo, cut_off: int, year: int
) -> None:
    calendar = Calendar(zone=zone, day_starts_at_minute=cut_off)
    turn, days = calendar.turn_at(at(f"{year}-01-02T00:00:00")), set[date]()
    pressed = 0

    while turn.year <= year:
        days.add(calendar.turn_at(calendar.begins(turn)))
        turn, pressed = calendar.after(turn), pressed + 1

    assert History(calendar=calendar, days=frozenset(days)).until(calendar.before(turn)) == pressed


@settings(deadline=None)
@given(moments, calendars)
def test_the_last_turn_of_the_month_before_is_in_it(moment: int, calendar: Calendar) -> None:
    turn = calendar.turn_at(moment)
    first = rules.first_of(rules.month_of(turn))

    last = calendar.last_of_month_before(first)

    assert last < first <= calendar.after(last)


@settings(deadline=None)
@given(moments, calendars, st.integers(min_value=0, max_value=1439))
def test_a_reminder_comes_within_a_turn_and_a_day_and_shows_its_minute(
    moment: int, calendar: Calendar, minute: int
) -> None:
    found = calendar.at_minute(minute, after=moment)

    assert moment < found <= moment + (9 if calendar.weekly else 3) * DAY_S
    assert calendar.turn_of(day := datetime.fromtimestamp(found, calendar.zone).date()) == day


def test_a_reminder_is_at_the_wall_clocks_time_through_the_summer() -> None:
    calendar = Calendar(zone=ZoneInfo("Europe/Berlin"))

    first = calendar.at_minute(20 * 60, after=at("2026-03-28T12:00:00"))
    second = calendar.at_minute(20 * 60, after=first)

    assert (first, second) == (at("2026-03-28T19:00:00"), at("2026-03-29T18:00:00"))


# --- runs ---------------------------------------------------------------------------------------------------


def test_a_run_goes_back_through_frozen_turns_and_does_not_count_them() -> None:
    history = seen(0, 1, 3, 4, frozen=(2,))

    assert history.until(nth(4)) == 4
    assert seen(0, 1, 3, 4).until(nth(4)) == 2


def test_a_run_goes_on_into_what_was_before_the_time_looked_at() -> None:
    history = seen(0, 1, since=nth(0), carried=40, before=55)

    assert (history.until(nth(1)), history.total) == (42, 57)
    assert seen(1, since=nth(0), carried=40, before=55).until(nth(1)) == 1


def test_a_run_is_alive_until_its_second_day_without() -> None:
    assert (seen(0, 1).streak(nth(1)), seen(0, 1).streak(nth(2)), seen(0, 1).streak(nth(3))) == (2, 2, 0)


@pytest.mark.parametrize(
    ("history", "at_most", "gap"),
    [
        (seen(0, 1), 3, []),
        (seen(0), 3, [1]),
        (seen(), 3, []),
        (seen(0), 0, []),
        (History(calendar=SHANGHAI, days=frozenset({nth(-3)})), 3, [1, 0, -1, -2]),
        (History(calendar=SHANGHAI, days=frozenset({nth(-1)})), 2, [1, 0]),
        (seen(since=nth(0), carried=9), 2, [1, 0]),
        (seen(since=nth(0), carried=0), 2, []),
    ],
)
def test_what_was_missed_since_the_last_run(history: History, at_most: int, gap: list[int]) -> None:
    found = history.missed(nth(2), at_most=at_most)

    assert found == ([nth(n) for n in gap] if len(gap) <= at_most else [])


def weeks() -> History:
    """Three weeks in a row, by their Mondays."""
    calendar = Calendar(zone=ZoneInfo("Asia/Shanghai"), weekly=True)
    return History(
        calendar=calendar, days=frozenset({date(2025, 12, 22), date(2025, 12, 29), date(2026, 1, 5)})
    )


def test_weeks_in_a_row_cross_the_year() -> None:
    assert weeks().calendar.turn_of(date(2026, 1, 4)) == date(2025, 12, 29)
    assert weeks().until(date(2026, 1, 5)) == 3


# --- rewards ------------------------------------------------------------------------------------------------


def points(amount: int) -> list[Mapping[str, Any]]:
    """A gift of points."""
    return [{"kind": "points", "amount": amount}]


def each(amount: int) -> dict[str, Any]:
    """So many points for each turn."""
    return {"by": "each", "turns": None, "give": points(amount)}


def streak(turns: int, amount: int) -> dict[str, Any]:
    """So many points at this turn of a run."""
    return {"by": "streak", "turns": turns, "give": points(amount)}


def total(turns: int, amount: int) -> dict[str, Any]:
    """So many points for so many turns in all."""
    return {"by": "total", "turns": turns, "give": points(amount)}


WEEK = Terms(rewards=[each(5), streak(3, 10), streak(7, 50), total(10, 100)], cycle=7)


def bring(terms: Terms, history: History, day: int, **more: Any) -> int:
    """The points that a day brings."""
    return rules.gained(terms, history, nth(day), **more)["points", ""]


def test_the_days_of_a_week_bring_what_is_promised_and_then_it_begins_again() -> None:
    brought, history = [], seen()
    for day in range(17):
        brought.append(bring(WEEK, history, day))
        history = history.marked(nth(day))

    assert brought == [5, 5, 15, 5, 5, 5, 55, 5, 5, 115, 5, 5, 5, 55, 5, 5, 15]


def test_without_a_cycle_a_streak_is_rewarded_once_in_a_run() -> None:
    terms = Terms(rewards=[streak(2, 7)])

    assert [bring(terms, seen(*range(day)), day) for day in range(5)] == [0, 7, 0, 0, 0]


def test_completion_comes_once_with_the_target() -> None:
    terms = Terms(rewards=[{"by": "completion", "turns": None, "give": points(30)}], target=3)

    assert [bring(terms, seen(*range(day)), day) for day in range(5)] == [0, 0, 30, 0, 0]


def test_a_makeup_brings_what_missing_the_day_had_cost() -> None:
    # 1, 2, 3 and 5, 6, 7: with the fourth these are seven in a row, and the second run had its third day already.
    assert bring(WEEK, seen(0, 1, 2, 4, 5, 6), 3) == 5 + 50 - 10


def test_a_makeup_that_mends_nothing_brings_the_day_itself() -> None:
    assert bring(WEEK, seen(4, 5, 6), 0) == 5


def test_a_second_prize_is_not_to_be_had_by_making_up_between_two_whole_weeks() -> None:
    # Seven and seven have had their fifty each; fifteen in a row earn no more than two.
    assert bring(WEEK, seen(*range(7), *range(8, 15), before=20, since=nth(0)), 7) == 5


def test_a_makeup_that_joins_two_rewarded_runs_takes_nothing_from_what_the_total_brings() -> None:
    terms = Terms(rewards=[each(5), streak(3, 50), total(7, 100)], cycle=7)

    # Three and three have had their fifty each, which is more than seven in a row earn.
    assert bring(terms, seen(0, 1, 2, 4, 5, 6), 3) == 100


def test_freezing_keeps_the_run_and_adds_no_day() -> None:
    history = seen(0, 1)

    assert bring(WEEK, history, 3, bridged=[nth(2)]) == 15
    assert history.marked(nth(3), bridged=[nth(2)]).until(nth(3)) == 3


def test_making_up_a_frozen_day_adds_one_day_to_the_run_that_it_is_in() -> None:
    assert bring(WEEK, seen(0, 1, 3, 4, 5, 6, frozen=(2,)), 2) == 55


ladders = st.lists(
    st.builds(each, st.integers(0, 9))
    | st.builds(streak, st.integers(1, 7), st.integers(0, 99))
    | st.builds(total, st.integers(1, 20), st.integers(0, 99)),
    max_size=4,
)


@settings(deadline=None)
@given(ladders, st.sampled_from([None, 7, 10]), st.permutations(range(12)))
def test_a_whole_run_earns_the_same_in_whatever_order_its_days_are_marked(
    rewards: list[Any], cycle: int | None, order: list[int]
) -> None:
    terms, history, brought = Terms(rewards=rewards, cycle=cycle), seen(), Counter[tuple[str, str]]()

    for day in order:
        brought += rules.gained(terms, history, nth(day))
        history = history.marked(nth(day))

    least = terms.of_run(12) + terms.of_total(12)
    assert brought["points", ""] >= least["points", ""]
    if order == sorted(order):
        assert brought == least


def test_the_edge_of_a_day_brings_the_same_whichever_side_is_first() -> None:
    before = seen(0, 1, 2, 3, 4)
    in_order = bring(WEEK, before, 5), bring(WEEK, before.marked(nth(5)), 6)
    reversed_ = bring(WEEK, before, 6), bring(WEEK, before.marked(nth(6)), 5)

    assert sum(in_order) == sum(reversed_) == 60


def test_what_comes_next_is_shown_with_its_rewards() -> None:
    coming = rules.ahead(WEEK, seen(0, 1), nth(1), turns=2)

    assert coming == [(nth(2), 3, Counter({("points", ""): 15})), (nth(3), 4, Counter({("points", ""): 5}))]
    assert rules.ahead(WEEK, seen(0, 1), nth(2), turns=1)[0][:2] == (nth(2), 3)
    assert rules.ahead(WEEK, seen(0, 1), nth(5), turns=1)[0][:2] == (nth(5), 1)


# --- campaigns ----------------------------------------------------------------------------------------------


def told(**changes: Any) -> SimpleNamespace:
    """A daily campaign as an operator gives it."""
    given: dict[str, Any] = {
        "kind": "daily",
        "timezone": "Asia/Shanghai",
        "starts_at": 1,
        "ends_at": None,
        "every": "day",
        "target": None,
        "team_size": None,
        "cycle": 7,
        "makeups": None,
        "rewards": [],
    }
    return SimpleNamespace(**{**given, **changes})


def one(by: str, turns: int | None, **gift: Any) -> SimpleNamespace:
    """One reward."""
    of = {"kind": "points", "template_id": None, "amount": 1, **gift}
    return SimpleNamespace(by=by, turns=turns, give=[SimpleNamespace(**of)])


def test_a_campaign_that_is_right_is_valid() -> None:
    rules.valid_campaign(told(rewards=[one("each", None), one("streak", 7), one("total", 100)]))
    rules.valid_campaign(told(kind="challenge", target=5, ends_at=2, rewards=[one("completion", None)]))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"ends_at": 1}, "ends_at"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"target": 3}, "kind"),
        ({"every": "week"}, "kind"),
        ({"team_size": 3}, "kind"),
        ({"kind": "challenge", "ends_at": 2}, "target"),
        ({"kind": "challenge", "target": 2}, "target"),
        ({"makeups": SimpleNamespace(points=None, cards=False)}, "makeups"),
        ({"rewards": [one("streak", None)]}, "rewards"),
        ({"rewards": [one("each", 3)]}, "rewards"),
        ({"rewards": [one("streak", 8)]}, "rewards"),
        ({"rewards": [one("completion", None)]}, "rewards"),
        ({"rewards": [one("each", None, kind="coupon")]}, "rewards"),
        ({"rewards": [one("each", None, template_id="ctp_1")]}, "rewards"),
        ({"rewards": [one("each", None, kind="coupon", template_id="ctp_1", amount=2)]}, "rewards"),
        ({"rewards": [one("total", n, kind="coupon", template_id="ctp_1") for n in (1, 2)]}, "rewards"),
        ({"rewards": [one("total", n, kind="coupon", template_id=f"ctp_{n}") for n in range(11)]}, "rewards"),
    ],
)
def test_what_is_wrong_with_a_campaign_is_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(Invalid) as refused:
        rules.valid_campaign(told(**wrong))

    assert refused.value.details["field"] == named
