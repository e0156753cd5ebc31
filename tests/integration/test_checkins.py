"""Checking in, making up, freezing, on the embedded store: what a day brings, and what a repeat is told.

Cases of the field, by their numbers in research/malls.md 3 (races: tests/races/test_checkins_once.py):
    25 yudao, the server's own midnight: test_a_day_begins_at_the_campaigns_cut_off
       yudao, no rewards are a failure: test_a_campaign_without_rewards_counts_days_and_brings_nothing
       likeshop, a run that broke goes on unless a list is looked at: test_a_missed_day_begins_a_new_run
       CRMEB, the seventh day's prize on the eighth: test_a_week_brings_five_a_day_and_fifty_on_the_seventh
       CRMEB, a prize for 30 days that a month of 30 days never brings:
       test_thirty_days_of_april_bring_the_prize_on_the_thirtieth
       CRMEB, "not checked in" whatever was done: test_the_page_says_that_today_is_done, in test_checkin_pages.py
"""

from collections import Counter
from collections.abc import Iterator
from datetime import date

import pytest

from chalicelib.checkins import campaigns, service, standings
from chalicelib.checkins.campaigns import CheckinNotStarted, CheckinOver, CheckinPaused
from chalicelib.checkins.marking import Said
from chalicelib.checkins.models import Campaign, Month
from chalicelib.checkins.service import MakeupsUsedUp, NoMakeups, NothingToMakeUp
from chalicelib.core import due, facts, table
from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.ledger import NotEnough
from chalicelib.points.service import NotEnoughPoints
from infra.local.clients import Store
from tests.checkins import (
    FIRST,
    a_checkin,
    balance,
    broken,
    come,
    coming,
    each,
    gift,
    mend,
    noon,
    someone,
    streak,
    total,
)
from tests.coupons import a_template
from tests.factories import NOW, OWNER, books, caught_up, reacted

pytestmark = pytest.mark.usefixtures("direct")

MAKEUPS = {"points": 20, "per_month": 2, "within_days": 31}
MAKING = campaigns.Making(by=OWNER, now=NOW)


@pytest.fixture
def bob(store: Store) -> str:
    """Somebody who comes."""
    return someone()


@pytest.fixture
def campaign(store: Store) -> Iterator[Campaign]:
    """A daily sign-in; K1 holds when the test is over."""
    made = a_checkin(makeups=MAKEUPS)
    yield made
    assert broken(store.client, made) == []


def history(campaign: Campaign, member_id: str) -> tuple[int, int]:
    """The newest run and the total, as they are read."""
    seen = standings.of(campaign, member_id).history
    return seen.until(max(seen.days)), seen.total


# --- days ---------------------------------------------------------------------------------------------------


def test_a_week_brings_five_a_day_and_fifty_on_the_seventh(campaign: Campaign, bob: str) -> None:
    marks = [come(campaign, bob, day) for day in range(8)]

    assert [mark.gifts["points", ""] for mark in marks] == [5, 5, 5, 5, 5, 5, 55, 5]
    assert [(mark.streak, mark.total, mark.new) for mark in marks] == [(n, n, True) for n in range(1, 9)]
    assert balance(bob) == 90


def test_a_campaign_without_rewards_counts_days_and_brings_nothing(store: Store, bob: str) -> None:
    campaign = a_checkin(rewards=[], cycle=None)

    marks = [come(campaign, bob, day) for day in range(2)]

    assert [(mark.streak, mark.total, dict(mark.gifts)) for mark in marks] == [(1, 1, {}), (2, 2, {})]
    assert balance(bob) == 0


def test_thirty_days_of_april_bring_the_prize_on_the_thirtieth(store: Store, bob: str) -> None:
    campaign = a_checkin(rewards=[total(30, 100)], cycle=None)
    april = (date(2026, 4, 1) - FIRST).days

    brought = [come(campaign, bob, april + day).gifts["points", ""] for day in range(30)]

    assert brought == [0] * 29 + [100]
    assert broken(store.client, campaign) == []


def test_a_repeat_is_told_the_same_and_brings_nothing(campaign: Campaign, bob: str) -> None:
    coming(campaign, bob, 0, 1)
    first = come(campaign, bob, 2)

    again = come(campaign, bob, 2, at=noon(2) + 3600)

    assert (again.new, again.streak, again.total, again.gifts) == (False, 3, 3, first.gifts)
    assert balance(bob) == 15


def test_a_repeat_is_told_the_same_when_the_campaign_was_closed_meanwhile(
    campaign: Campaign, bob: str
) -> None:
    first = come(campaign, bob)
    campaigns.switch(campaign.campaign_id, to="closed", making=MAKING)

    assert come(campaign, bob).gifts == first.gifts
    with pytest.raises(CheckinOver):
        come(campaign, bob, 1)


def test_a_day_begins_at_the_campaigns_cut_off(store: Store, bob: str) -> None:
    campaign = a_checkin(day_starts_at_minute=240)
    midnight = NOW - 10 * 3600

    before, after = (
        come(campaign, bob, at=midnight + 4 * 3600 - 1),
        come(campaign, bob, at=midnight + 4 * 3600),
    )

    assert (before.turn, after.turn) == (date(2025, 12, 31), date(2026, 1, 1))
    assert (before.streak, after.streak) == (1, 2)
    assert broken(store.client, campaign) == []


def test_a_missed_day_begins_a_new_run(campaign: Campaign, bob: str) -> None:
    coming(campaign, bob, 0, 1, 3)

    assert history(campaign, bob) == (1, 3)


def test_a_run_goes_through_months_and_the_year_as_if_they_were_nothing(store: Store, bob: str) -> None:
    campaign = a_checkin(rewards=[streak(33, 600), total(34, 7)], cycle=None)

    brought = [come(campaign, bob, day).gifts["points", ""] for day in range(-33, 2)]

    assert [(at, points) for at, points in enumerate(brought, start=1) if points] == [(33, 600), (34, 7)]
    assert history(campaign, bob) == (35, 35)
    assert books(store.client)["checkin_month"] == 3
    assert broken(store.client, campaign) == []


def test_the_total_is_not_lost_in_months_without_a_day(campaign: Campaign, bob: str) -> None:
    coming(campaign, bob, -40, -39, 0)

    assert come(campaign, bob, 80).total == 4


def test_the_edge_of_a_month_may_be_crossed_backwards(campaign: Campaign, bob: str) -> None:
    """Two servers' clocks: New Year's Day arrives before the Eve."""
    coming(campaign, bob, -3, -2)

    late = [come(campaign, bob, 0), come(campaign, bob, -1)]

    assert [mark.streak for mark in late] == [1, 4]
    assert history(campaign, bob) == (4, 4)


def test_the_first_day_ever_may_be_crossed_backwards(campaign: Campaign, bob: str) -> None:
    coming(campaign, bob, 0, -1)

    assert history(campaign, bob) == (2, 2)


# --- who may ------------------------------------------------------------------------------------------------


def test_nobody_checks_in_before_the_campaign_after_it_or_while_it_is_paused(store: Store, bob: str) -> None:
    later, over, paused = a_checkin(starts_at=NOW + 1), a_checkin(ends_at=NOW), a_checkin()
    campaigns.switch(paused.campaign_id, to="paused", making=MAKING)

    for campaign, refusal in ((later, CheckinNotStarted), (over, CheckinOver), (paused, CheckinPaused)):
        with pytest.raises(refusal):
            come(campaign, bob)
    with pytest.raises(NotFound):
        service.check_in(campaign_id="cmp_none", member_id=bob, said=None, now=NOW)
    assert "checkin_month" not in books(store.client)


def test_a_note_is_kept_with_its_day_and_refused_where_none_are_taken(
    store: Store, campaign: Campaign, bob: str
) -> None:
    said = Said(text="ran 5 km")
    with_notes = a_checkin(notes=True)

    come(with_notes, bob, said=said)
    come(with_notes, bob, said=Said(text="something else"))

    note = service.note(with_notes.campaign_id, bob, FIRST)
    assert note is not None and (note.text, note.state) == ("ran 5 km", "visible")
    with pytest.raises(Invalid):
        come(campaign, bob, said=said)
    assert books(store.client)["checkin_note"] == 1


# --- gifts --------------------------------------------------------------------------------------------------


def test_a_day_may_bring_points_growth_and_cards_at_once(store: Store, bob: str) -> None:
    gifts = [gift(5), gift(3, "growth"), gift(1, "makeup_card"), gift(2, "freeze_card")]
    campaign = a_checkin(rewards=[{"by": "each", "give": gifts}, each(2)])

    come(campaign, bob)
    come(campaign, bob)

    kinds = ("points", "growth", "makeup_card", "freeze_card")
    assert [balance(bob, book) for book in kinds] == [7, 3, 1, 2]


# --- making up ----------------------------------------------------------------------------------------------


def test_a_makeup_mends_the_run_and_brings_what_missing_the_day_had_cost(campaign: Campaign) -> None:
    bob = someone(points=100)
    coming(campaign, bob, 0, 1, 2, 4, 5, 6)

    mark = mend(campaign, bob, 3, day=6)

    assert (mark.streak, mark.total, mark.gifts["points", ""]) == (7, 7, 55)
    assert balance(bob) == 100 + 30 - 20 + 55
    assert come(campaign, bob, 7).streak == 8


def test_a_makeup_again_is_told_the_same_and_costs_nothing(campaign: Campaign) -> None:
    bob = someone(points=100)
    coming(campaign, bob, 0, 1, 3, 4, 5)
    first = mend(campaign, bob, 2, day=5)
    have = balance(bob)

    again = mend(campaign, bob, 2, day=5)

    assert (again.new, again.gifts, balance(bob)) == (False, first.gifts, have)


def test_a_day_that_was_not_missed_costs_nothing_to_make_up(campaign: Campaign) -> None:
    bob = someone(points=100)
    coming(campaign, bob, 0, 1)

    assert mend(campaign, bob, 0, day=1).new is False
    assert balance(bob) == 110


def test_a_makeup_in_the_month_before_goes_through_to_this_one(campaign: Campaign) -> None:
    bob = someone(points=100)
    coming(campaign, bob, -4, -3, -2, 0, 1)

    mark = mend(campaign, bob, -1, day=1)

    assert (mark.streak, history(campaign, bob)) == (6, (6, 6))


def test_a_makeup_may_be_in_a_month_that_has_no_row_yet(campaign: Campaign) -> None:
    bob = someone(points=100)
    coming(campaign, bob, -40, 0)

    mend(campaign, bob, -1, day=0)

    assert history(campaign, bob) == (2, 3)


def test_a_makeup_may_be_the_first_there_is_and_tells_nobody(store: Store, campaign: Campaign) -> None:
    bob = someone(points=100)

    mend(campaign, bob, -1, day=0)

    assert history(campaign, bob) == (1, 1)
    assert "state" not in books(store.client).only("checkin_month")


def test_a_month_has_so_many_makeups_and_no_more(campaign: Campaign) -> None:
    bob = someone(points=200)
    come(campaign, bob, 9)
    mend(campaign, bob, 7, day=9)
    mend(campaign, bob, 8, day=9)

    with pytest.raises(MakeupsUsedUp) as refused:
        mend(campaign, bob, 6, day=9)

    assert refused.value.details == {"per_month": 2}
    assert mend(campaign, bob, -1, day=9).new


@pytest.mark.parametrize(("missed", "day"), [(0, 0), (3, 0), (-60, 0), (0, 40)])
def test_what_was_not_missed_or_is_too_long_ago_cannot_be_made_up(
    campaign: Campaign, missed: int, day: int
) -> None:
    bob = someone(points=200)

    with pytest.raises(NothingToMakeUp) as refused:
        mend(campaign, bob, missed, day=day)

    offered = refused.value.details["dates"]
    assert offered == sorted(offered, reverse=True) and offered
    assert date.fromisoformat(offered[0]) == FIRST.fromordinal(FIRST.toordinal() + day - 1)


def test_who_has_too_few_points_makes_nothing_up(store: Store, campaign: Campaign) -> None:
    bob = someone(points=14)
    come(campaign, bob, 1)

    with pytest.raises(NotEnoughPoints):
        mend(a_checkin(makeups={**MAKEUPS, "points": 30}), bob, 0, day=1)

    assert balance(bob) == 19


def test_a_makeup_may_be_paid_with_a_card_where_they_are_taken(campaign: Campaign) -> None:
    by_card = a_checkin(makeups={"points": 20, "cards": True}, rewards=[])
    bob = someone(points=100, makeup_card=1)
    come(by_card, bob, 1)

    mend(by_card, bob, 0, day=1, pay="card")

    assert (balance(bob), balance(bob, "makeup_card")) == (100, 0)
    with pytest.raises(NotEnough):
        mend(by_card, bob, -1, day=1, pay="card")
    with pytest.raises(NoMakeups):
        mend(campaign, bob, 0, day=1, pay="card")
    with pytest.raises(NoMakeups):
        mend(a_checkin(), bob, 0, day=1)


# --- freezing -----------------------------------------------------------------------------------------------


def test_freeze_cards_bridge_missed_days(store: Store) -> None:
    campaign, bob = a_checkin(freeze_at_most=2), someone(freeze_card=3)
    coming(campaign, bob, 0, 1)

    mark = come(campaign, bob, 4)

    assert (mark.streak, mark.total, [day.day for day in mark.bridged]) == (3, 3, [4, 3])
    assert balance(bob, "freeze_card") == 1
    assert come(campaign, bob, 4).bridged == mark.bridged
    assert broken(store.client, campaign) == []


def test_too_few_cards_or_too_many_missed_days_bridge_nothing(store: Store) -> None:
    campaign, bob = a_checkin(freeze_at_most=2), someone(freeze_card=3)
    carol = someone(freeze_card=1)
    coming(campaign, bob, 0, 4)
    coming(campaign, carol, 0, 3)

    assert (history(campaign, bob), history(campaign, carol)) == ((1, 2), (1, 2))
    assert (balance(bob, "freeze_card"), balance(carol, "freeze_card")) == (3, 1)


def test_freezing_goes_through_the_end_of_a_month(store: Store) -> None:
    campaign, bob = a_checkin(freeze_at_most=3), someone(freeze_card=3)
    coming(campaign, bob, -4, -3)

    assert come(campaign, bob, 1).streak == 3
    assert come(campaign, bob, 2).streak == 4
    assert broken(store.client, campaign) == []


def test_a_frozen_day_may_be_made_up_and_then_counts(store: Store) -> None:
    campaign, bob = a_checkin(freeze_at_most=1, makeups=MAKEUPS), someone(freeze_card=1, points=50)
    coming(campaign, bob, 0, 2)

    assert mend(campaign, bob, 1, day=2).streak == 3
    assert "frozen" not in books(store.client).only("checkin_month")
    assert broken(store.client, campaign) == []


# --- the fact -----------------------------------------------------------------------------------------------


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[service.Happened]:
    """What a room that listens to checkin.done was told."""
    told: list[service.Happened] = []
    monkeypatch.setattr(facts, "_reactions", {})

    @facts.reaction("checkin.done", name="test.heard")
    def hear(row: Month, now: int) -> list[table.Write]:
        told.append(service.happened(row))
        return []

    return told


def test_each_check_in_is_a_fact_and_a_makeup_is_none(
    store: Store, campaign: Campaign, heard: list[service.Happened]
) -> None:
    bob = someone(points=50)
    coming(campaign, bob, -1)
    reacted(store.client, now=noon(-1))
    coming(campaign, bob, 1)
    mend(campaign, bob, 0, day=1)

    heard.clear()
    reacted(store.client, now=noon(1))

    days = [(one.day, one.streak, one.total) for one in heard]
    assert Counter(days) == Counter({("2026-01-02", 1, 3): 1, ("2025-12-31", 1, 1): 1})
    assert not [row for row in books(store.client).of("checkin_month") if "due_at" in row]


def test_a_day_that_is_still_owed_happens_before_the_next_replaces_it(
    store: Store, campaign: Campaign, bob: str, heard: list[service.Happened]
) -> None:
    coming(campaign, bob, 0, 1, 2)

    assert [one.day for one in heard] == ["2026-01-01", "2026-01-02"]
    caught_up(now=noon(2))
    assert [one.day for one in heard][2:] == ["2026-01-03"]


def test_a_reaction_that_fails_costs_nobody_a_day_and_stays_owed(
    store: Store, campaign: Campaign, bob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "_reactions", {})

    @facts.reaction("checkin.done", name="test.fails")
    def fail(row: Month, now: int) -> list[table.Write]:
        raise ValueError("no luck")

    coming(campaign, bob, 0, 1)

    row = books(store.client).only("checkin_month")
    assert (row["days"], row["owed_rev"], row["due_at"]) == ({1, 2}, 1, noon(0) + facts.OWED_AFTER_S)
    assert due.run(job=facts.JOB, worker="w", now=noon(1), seconds=5).failed


def test_rooms_can_ask_for_somebodys_days(campaign: Campaign, bob: str) -> None:
    coming(campaign, bob, 0, 1)

    assert sorted(service.days_of(campaign.campaign_id, bob, now=noon(1)).days) == [FIRST, date(2026, 1, 2)]


# --- coupons as gifts ---------------------------------------------------------------------------------------


def a_coupon_for_two(template_id: str, **changes: object) -> Campaign:
    """A campaign whose second turn of a run brings a coupon."""
    give = [{"kind": "coupon", "template_id": template_id}]
    return a_checkin(rewards=[each(5), {"by": "streak", "turns": 2, "give": give}], cycle=None, **changes)


def test_a_streak_may_bring_a_coupon_once(store: Store, bob: str) -> None:
    template = a_template()
    campaign = a_coupon_for_two(template.template_id)

    coming(campaign, bob, 0, 1, 1, 2)

    coupon = books(store.client).only("coupon")
    assert (coupon["member_id"], coupon["template_id"]) == (bob, template.template_id)


def test_a_coupon_that_is_sold_out_costs_nobody_the_day(store: Store, bob: str) -> None:
    template = a_template(stock=1)
    campaign, carol = a_coupon_for_two(template.template_id), someone()
    coming(campaign, carol, 0, 1)
    come(campaign, bob, 0)

    first, again = come(campaign, bob, 1), come(campaign, bob, 1)

    assert first.gifts == again.gifts == Counter({("points", ""): 5})
    assert first.missed == again.missed == {template.template_id: "coupon_sold_out"}
    assert (first.streak, balance(bob), books(store.client)["coupon"]) == (2, 10, 1)
    assert broken(store.client, campaign) == []


def test_a_coupon_that_is_off_or_not_there_costs_nobody_the_day(store: Store, bob: str) -> None:
    campaign = a_coupon_for_two("ctp_nothing")
    come(campaign, bob, 0)

    assert come(campaign, bob, 1).missed == {"ctp_nothing": "not_found"}
    assert balance(bob) == 10
