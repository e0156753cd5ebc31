"""Check-ins, rewards and withdrawals of who became another: one calendar, one list, one count."""

from functools import partial

import pytest

from chalicelib.checkins import marking, noting, reminders, standings, teams
from chalicelib.checkins.models import Campaign, Part
from chalicelib.core import config, facts, table
from chalicelib.core.clock import DAY
from chalicelib.orders import service as orders
from chalicelib.rewards import granting, lists
from chalicelib.rewards.models import First
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals.applying import WithdrawalDayLimit
from infra.local.clients import Store
from tests import checkins, rewards
from tests import withdrawals as payouts
from tests.checkins import a_challenge, a_checkin, balance, come, coming, each, noon, streak
from tests.factories import NOW, OWNER, a_link, reacted
from tests.harness.rows import rows, stream_records
from tests.merging import become_one, looked, two_members

pytestmark = pytest.mark.usefixtures("direct")


def carries(store: Store, campaign: Campaign, member_id: str) -> list[str]:
    """What the months of a member say that their days do not."""
    there = [row for row in rows(store.client, "truth") if row["kind"] == "checkin_month"]
    mine = sorted((row for row in there if row["member_id"] == member_id), key=lambda row: str(row["sk"]))
    return list(checkins._broken_carries(campaign, mine))


def days_of(campaign: Campaign, member_id: str) -> list[int]:
    there = standings._months(campaign, member_id)
    return sorted((day - checkins.FIRST).days for row in there for day in standings.dates(row, row.days))


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ((0, 1), ()),
        ((), (0, 1)),
        ((0, 1, 2), (2, 3)),
        ((0, 2, 4, 33), (1, 3, 30, 31, 32)),
        ((20, 40), (50, 29)),
    ],
)
def test_the_days_of_both_are_the_days_of_one(
    store: Store, mine: tuple[int, ...], theirs: tuple[int, ...]
) -> None:
    two, campaign = two_members(), a_checkin(cycle=None)
    for member_id, days in ((two.one, sorted(mine)), (two.other, sorted(theirs))):
        coming(campaign, member_id, *days)
    points = balance(two.one) + balance(two.other)
    become_one(two, now=noon(55))

    assert days_of(campaign, two.other) == sorted({*mine, *theirs})
    assert (days_of(campaign, two.one), carries(store, campaign, two.other)) == ([], [])
    assert (balance(two.one), balance(two.other)) == (0, points)


def test_a_day_is_credited_no_second_time_and_the_run_goes_on(store: Store) -> None:
    two, campaign = two_members(), a_checkin(rewards=[each(5), streak(4, 50)], cycle=None)
    coming(campaign, two.one, 0, 2)
    come(campaign, two.other, 1)
    become_one(two, now=noon(2))
    before = balance(two.other)

    again = come(campaign, two.other, 2)
    assert (again.new, again.streak, balance(two.other)) == (False, 1, before)
    marked = come(campaign, two.other, 3)
    assert (marked.new, marked.streak, marked.total, balance(two.other)) == (True, 4, 4, before + 55)


def test_it_is_no_new_check_in_to_anybody_who_reacts(store: Store) -> None:
    two, campaign = two_members(), a_checkin()
    come(campaign, two.one, 1)
    come(campaign, two.other, 0)
    reacted(store.client, now=noon(1))
    told = len(stream_records(store.client, "truth"))
    become_one(two, now=noon(1))

    found = [facts.read(one) for one in stream_records(store.client, "truth")[told:]]
    assert {one.name for one in found if one is not None} == {"member.merged"}


def test_a_late_day_of_the_old_name_goes_over_too(store: Store) -> None:
    two, campaign = two_members(), a_checkin()
    come(campaign, two.other, 0)
    become_one(two, now=noon(0))
    come(campaign, two.one, 1)

    looked(now=noon(2))

    assert (days_of(campaign, two.other), days_of(campaign, two.one)) == ([0, 1], [])
    assert table.get(Part, Part.key(campaign.campaign_id, two.one)) is None


def test_notes_and_the_reminder_go_over() -> None:
    two, campaign = two_members(), a_checkin(notes=True)
    said = marking.Said(text="hello")
    come(campaign, two.one, 0, said=said)
    reminders.choose(campaign, two.one, at_minute=600, now=noon(0))
    become_one(two, now=noon(0))

    assert [row.text for row in noting.page(campaign.campaign_id, two.other, limit=9, after=None).rows] == [
        "hello"
    ]
    part = table.get(Part, Part.key(campaign.campaign_id, two.other))
    assert part is not None
    assert (part.remind_at_minute, part.member_id, part.due_at is not None) == (600, two.other, True)


@pytest.mark.parametrize("other", ["none", "same", "another"])
def test_a_place_in_a_team_is_the_others_or_free_again(other: str) -> None:
    two, campaign = two_members(), a_challenge()
    team, _ = teams.found(campaign, two.one, title="A", now=NOW)
    own = team
    if other == "same":
        teams.join(campaign, team.team_id, two.other, now=NOW)
    if other == "another":
        own, _ = teams.found(campaign, two.other, title="B", now=NOW)
    become_one(two)

    there, mates = teams.with_mates(campaign.campaign_id, own.team_id)
    assert ([mate.member_id for mate in mates], there.free, there.founder_id) == ([two.other], 3, two.other)
    left, rest = teams.with_mates(campaign.campaign_id, team.team_id)
    assert (len(rest), left.free) == ((0, 4) if other == "another" else (1, 3))


# --- rewards ------------------------------------------------------------------------------------------------


@pytest.mark.alone("rewards", "sharing")
def test_rewards_are_in_the_others_list_and_count_against_their_limits(store: Store) -> None:
    two = two_members()
    rewards.a_rule(limits={"per_member": 3})
    links = [a_link(sharer_id=member_id) for member_id in (two.one, two.other)]
    react = rewards.Reader(store.client)
    for link in (links[0], links[0], links[1]):
        rewards.comes(link)
    react()
    become_one(two)

    assert (len(rewards.got(two.one)), len(rewards.got(two.other))) == (0, 3)
    assert rewards.points(two.other) == 30
    rewards.comes(a_link(sharer_id=two.other), now=NOW + 60)
    react(now=NOW + 60)
    assert rewards.missed(two.other) == ["per_member"]


@pytest.mark.alone("rewards")
def test_an_order_that_went_over_earns_nothing_a_second_time_and_takes_back_what_it_earned(
    store: Store,
) -> None:
    two = two_members()
    rewards.a_rule(on="order.paid", to="actor")
    order = rewards.an_order(two.one)
    run = partial(granting._react, "order.paid")
    run(order, NOW)
    assert rewards.points(two.one) == 10
    become_one(two)

    table.apply(orders.handed_over(orders.show(order.order_id), two.other))
    run(orders.show(order.order_id), NOW + 60)
    assert rewards.got(two.other) == [("given", 10)]
    granting.take_back(f"order#{order.order_id}", now=NOW + 60)
    looked(now=NOW + DAY)

    assert (rewards.got(two.other), rewards.points(two.other), rewards.points(two.one)) == (
        [("taken_back", 10)],
        0,
        0,
    )


def test_the_first_order_of_either_is_the_first_of_both() -> None:
    two = two_members()
    table.apply(table.create(First(*First.key(two.one), order_id="ord_1")))
    become_one(two)

    there = table.get(First, First.key(two.other))
    assert there is not None and there.order_id == "ord_1"
    assert table.get(First, First.key(two.one)) is None
    assert lists.mine(two.other, limit=9, after=None).rows == []


# --- withdrawals --------------------------------------------------------------------------------------------


def test_what_is_being_taken_out_is_in_the_others_list_and_comes_back_to_them() -> None:
    two = two_members()
    config.override(payout_gateways="sandbox manual mall")
    payouts.terms()
    payouts.earn(1000, owner=two.one)
    row = payouts.withdraw(600, owner=two.one)
    become_one(two)

    assert [one.withdrawal_id for one in withdrawals.of_member(two.other, limit=9, after=None).rows] == [
        row.withdrawal_id
    ]
    assert withdrawals.show(row.withdrawal_id, member_id=two.other).amount_fen == 600
    assert balance(two.other, "money") == 400
    withdrawals.reject(row.withdrawal_id, reason="no", by=OWNER, now=NOW)
    looked(now=NOW + DAY)
    assert (balance(two.one, "money"), balance(two.other, "money")) == (0, 1000)


def test_what_was_taken_out_today_counts_for_the_other() -> None:
    two = two_members()
    config.override(payout_gateways="sandbox manual mall")
    payouts.terms(max_fen=1000, day_max_fen=1000)
    for member_id in (two.one, two.other):
        payouts.earn(2000, owner=member_id)
    payouts.withdraw(900, owner=two.one)
    become_one(two)

    with pytest.raises(WithdrawalDayLimit) as refused:
        payouts.withdraw(200, owner=two.other)
    assert refused.value.details["left_fen"] == 100
