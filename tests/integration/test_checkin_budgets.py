"""What check-ins cost in calls and write units (design 9): campaign, points rule and levels are remembered.

Design 9 has 2 calls and 6 + 1 units for a check-in with points. The table's six are met; of index units there are
two: the entry in the member's list of points, and checkin.done, which is owed on the month's row.
"""

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from chalicelib.checkins import answers, campaigns, reminders, routes, teams
from chalicelib.checkins.marking import Said
from chalicelib.checkins.models import Campaign
from chalicelib.core import due, facts, table
from infra.local.clients import Store
from tests.checkins import a_challenge, a_checkin, come, coming, each, gift, mend, noon, someone
from tests.factories import NOW, a_call, a_member, called, caught_up
from tests.harness.counter import Spent, counting, item_size, of_the_design
from tests.harness.wire import plain

READ_AND_WRITE = Counter(Query=1, TransactWriteItems=1)
MAKEUPS = {"points": 20, "per_month": 31}


def costs(do: Callable[[], object]) -> Spent:
    """What ``do`` asked of the store."""
    with counting(table.client()) as spent:
        do()
    return spent


def units(truth: int, *, due: int = 0, owner: int = 0) -> Counter[str]:
    """Write units by table and index."""
    told = {"truth": truth, "truth/due": due, "truth/owner": owner}
    return Counter({name: count for name, count in told.items() if count})


@pytest.fixture
def bob(store: Store) -> Iterator[str]:
    """Somebody with points; no row of theirs costs more than the rule says."""
    yield someone(points=1000, freeze_card=1)
    large = {
        item["kind"]["S"]: item_size(item)
        for item in plain(store.client, "Scan", {"TableName": "truth"})["Items"]
        if item_size(item) > 1024
    }
    assert large == {}


@pytest.fixture
def campaign(store: Store) -> Campaign:
    """A daily sign-in."""
    return campaigns.find(a_checkin(makeups=MAKEUPS, freeze_at_most=1).campaign_id, now=NOW)


def spent_on(campaign: Campaign, do: Callable[[], object], *, day: int) -> Spent:
    """What ``do`` costs on a day on which others have come: this process remembers what all of them share."""
    come(campaign, someone(), day)
    return costs(do)


def settled(campaign: Campaign, member_id: str, *days: int) -> None:
    """Somebody came on these days, and what was owed of it has happened."""
    coming(campaign, member_id, *days)
    caught_up(now=noon(max(days)))


def test_a_check_in_with_points_is_two_calls_and_six_units(campaign: Campaign, bob: str) -> None:
    settled(campaign, bob, 0, 1)

    spent = spent_on(campaign, lambda: come(campaign, bob, 2), day=2)
    of_the_design(spent)

    assert (spent.operations, spent.writes) == (READ_AND_WRITE, units(6, due=1, owner=1))


def test_a_whole_months_row_costs_no_more(campaign: Campaign, bob: str) -> None:
    settled(campaign, bob, *range(15, 29))
    for missed in range(15):
        mend(campaign, bob, missed, day=28)

    spent = spent_on(campaign, lambda: come(campaign, bob, 29), day=29)

    assert (spent.operations, spent.writes) == (READ_AND_WRITE, units(6, due=1, owner=1))


def test_the_route_s_answer_costs_nothing_more(campaign: Campaign, bob: str) -> None:
    settled(campaign, bob, 0)

    def press() -> None:
        marked = come(campaign, bob, 1)
        answers.marked(marked, a_call(now=noon(1)))

    assert spent_on(campaign, press, day=1).operations == READ_AND_WRITE


def test_a_check_in_again_is_one_read(campaign: Campaign, bob: str) -> None:
    settled(campaign, bob, 0)

    spent = spent_on(campaign, lambda: come(campaign, bob, 0), day=0)

    assert (spent.operations, spent.writes) == (Counter(Query=1), Counter())


def test_the_first_of_a_month_adds_the_row_that_it_goes_on_from(campaign: Campaign, bob: str) -> None:
    settled(campaign, bob, -2, -1)

    spent = spent_on(campaign, lambda: come(campaign, bob, 0), day=0)

    # The new row's entry in the index of reports is the third index unit, once a month.
    assert (spent.operations, spent.writes) == (READ_AND_WRITE, units(8, due=1, owner=2))


def test_the_very_first_adds_the_member_s_part(campaign: Campaign, bob: str) -> None:
    spent = spent_on(campaign, lambda: come(campaign, bob, 0), day=0)

    assert (spent.operations, spent.writes) == (READ_AND_WRITE, units(8, due=1, owner=2))


def test_growth_and_a_note_add_their_rows(store: Store) -> None:
    gifts = [gift(5), gift(3, "growth")]
    made = a_checkin(rewards=[{"by": "each", "give": gifts}], notes=True)
    bob = someone()
    settled(made, bob, 0)

    spent = spent_on(made, lambda: come(made, bob, 1, said=Said(text="ran 5 km")), day=1)

    # Growth's account and entry are four units, and the entry owes growth.posted; the note is two.
    assert (spent.calls, spent.writes) == (2, units(6 + 4 + 2, due=2, owner=2))


def test_a_day_that_was_missed_adds_a_look_at_the_cards_and_their_posting(
    campaign: Campaign, bob: str
) -> None:
    settled(campaign, bob, 0, 1)

    spent = spent_on(campaign, lambda: come(campaign, bob, 3), day=3)

    assert spent.operations == READ_AND_WRITE + Counter(GetItem=1)
    assert spent.writes == units(6 + 4, due=1, owner=2)


def test_a_makeup_is_two_calls_and_six_units_and_owes_nothing(campaign: Campaign, bob: str) -> None:
    settled(campaign, bob, 0, 2)

    spent = spent_on(campaign, lambda: mend(campaign, bob, 1, day=2), day=2)

    assert (spent.operations, spent.writes) == (READ_AND_WRITE, units(6, owner=1))


def test_what_is_owed_of_a_check_in_costs_two_units_when_nobody_reacts(campaign: Campaign, bob: str) -> None:
    coming(campaign, bob, 0)

    spent = costs(lambda: caught_up(now=noon(0)))

    # The job's lease, taken and given back, is two of these; the stream's reader has none.
    assert spent.writes == units(1 + 2, due=1)


def test_what_is_still_owed_happens_first_and_adds_its_own_calls_and_another_look(
    campaign: Campaign, bob: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "_reactions", {})
    facts.reaction("checkin.done", name="test.nothing")(lambda row, now: [])
    coming(campaign, bob, 0)

    spent = spent_on(campaign, lambda: come(campaign, bob, 1), day=1)

    assert spent.operations == READ_AND_WRITE + Counter(Query=1, GetItem=1, UpdateItem=1)


def test_the_page_is_one_read_and_the_list_is_two(campaign: Campaign) -> None:
    bob = a_member()
    settled(campaign, bob, 0)
    routes.show_campaign(called(bob), campaign.campaign_id)  # which messages a program has is remembered

    assert costs(lambda: routes.show_campaign(called(bob), campaign.campaign_id)).operations == Counter(
        Query=1
    )
    assert costs(lambda: routes.list_campaigns(called(bob))).operations == Counter(Query=1, BatchGetItem=1)


def test_a_team_s_progress_is_two_reads_however_many_they_are(store: Store) -> None:
    made, friends = a_challenge(rewards=[each(5)]), [a_member() for _ in range(4)]
    team, _ = teams.found(made, friends[0], title="Larks", now=NOW)
    for friend in friends:
        teams.join(made, team.team_id, friend, now=NOW)
        coming(made, friend, 0)
    routes.show_team(called(friends[0]), made.campaign_id, team.team_id)  # profiles are remembered

    spent = costs(lambda: routes.show_team(called(friends[0]), made.campaign_id, team.team_id))

    assert spent.operations == Counter(Query=1, BatchGetItem=1)


def test_joining_a_team_is_six_units(store: Store) -> None:
    made, bob = a_challenge(), someone()
    team, _ = teams.found(made, someone(), title="Larks", now=NOW)

    spent = costs(lambda: teams.join(made, team.team_id, bob, now=NOW))

    assert spent.writes == units(6)


def test_a_reminder_costs_those_who_opted_in(campaign: Campaign, bob: str) -> None:
    coming(campaign, someone(), 0)
    idle = costs(lambda: due.run(job=reminders.JOB, worker="w", now=noon(0) + 36000, seconds=5))
    reminders.choose(campaign, bob, at_minute=20 * 60, now=NOW)
    campaigns.find(campaign.campaign_id, now=noon(0) + 36000)
    part = table.query(table.Row, f"CHECKIN#{campaign.campaign_id}#{bob}").rows[0]
    slot = {name: getattr(part, name) for name in ("pk", "sk", "kind", "due_shard", "due_at", "due_ref")}

    spent = costs(lambda: reminders.remind(due.Entry(**{**slot, "kind": "checkin_part"}), noon(0) + 36000))

    assert (idle.operations, idle.writes) == (Counter(Query=1), Counter())
    assert spent.operations == Counter(GetItem=1, Query=1, UpdateItem=1)
    assert spent.writes == units(1, due=2)
