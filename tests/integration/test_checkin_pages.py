"""What check-ins' routes answer: pages in one call, repeats, refusals, reminders, teams, operators' campaigns."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from chalicelib.checkins import admin, campaigns, marking, reminders, reporting, routes, teams
from chalicelib.checkins.campaigns import CheckinOver
from chalicelib.checkins.models import Campaign
from chalicelib.checkins.schemas import (
    CampaignAnswer,
    CheckIn,
    EditCampaign,
    FoundTeam,
    MakeUp,
    NoteAnswer,
    ReportQuery,
    SetReminder,
    TurnNote,
)
from chalicelib.core import cursors, due, facts, table
from chalicelib.core.errors import IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.http import Call, Listing
from chalicelib.members import service as members
from chalicelib.sharing import service as sharing
from infra.local.clients import Store
from tests.checkins import a_challenge, a_checkin, balance, coming, mend, noon, someone, told
from tests.factories import NOW, OWNER, a_call, a_member, a_share, books, called
from tests.harness.rows import stream_records
from tests.uploads import sent

pytestmark = pytest.mark.usefixtures("direct")

MAKEUPS = {"points": 20, "per_month": 2}


@pytest.fixture(autouse=True)
def there(store: Store) -> Iterator[None]:
    """An empty store."""
    yield


def called_by(member_id: str, *, day: int = 0) -> Call:
    """A request of a signed-in member on a day."""
    return called(member_id, now=noon(day))


def called_by_an_operator() -> Call:
    """A request of an operator."""
    return a_call(operator=OWNER)


def page(campaign: Campaign, member_id: str, *, day: int = 0) -> CampaignAnswer:
    """A campaign's page as a member sees it."""
    return routes.show_campaign(called_by(member_id, day=day), campaign.campaign_id)


# --- the page -----------------------------------------------------------------------------------------------


def test_the_page_says_all_there_is_to_say_in_one_call() -> None:
    campaign, bob = a_checkin(makeups=MAKEUPS, notes=True), someone(points=100)
    coming(campaign, bob, 0, 1, 2, 4, 5)
    mend(campaign, bob, 3, day=5)

    shown = page(campaign, bob, day=6)

    assert (shown.can_check_in, shown.cannot_check_in_because, shown.poll_after_s) == (True, None, None)
    mine = shown.mine
    assert mine is not None
    assert (mine.done_today, mine.streak, mine.total, mine.completed) == (False, 6, 6, False)
    assert (mine.today, mine.next_turn_at) == ("2026-01-07", noon(7) - 10 * 3600)
    assert (mine.days[0], mine.days[-1], mine.made_up) == ("2026-01-01", "2026-01-06", ["2026-01-04"])
    assert [(one.date, one.streak, one.gifts[0].amount) for one in mine.coming[:2]] == [
        ("2026-01-07", 7, 55),
        ("2026-01-08", 8, 5),
    ]
    assert mine.makeups is not None
    assert (mine.makeups.points, mine.makeups.left) == (20, 1)
    assert mine.makeups.dates[0] == "2025-12-31" and len(mine.makeups.dates) == 25


def test_the_page_says_that_today_is_done() -> None:
    campaign, bob = a_checkin(), someone()
    coming(campaign, bob, 0, 1)

    shown = page(campaign, bob, day=1).mine

    assert shown is not None
    assert (shown.done_today, shown.streak, shown.total) == (True, 2, 2)


def test_a_stranger_sees_the_campaign_and_nobody_in_it() -> None:
    campaign = a_checkin()

    shown = routes.show_campaign(a_call(), campaign.campaign_id)

    assert (shown.mine, shown.team, shown.can_check_in) == (None, None, False)
    assert shown.cannot_check_in_because == "unauthorized"
    assert shown.campaign.rewards[1].give[0].amount == 50


def test_checking_in_answers_201_the_first_time_and_200_with_the_same_again() -> None:
    campaign, bob = a_checkin(notes=True), someone()
    body = CheckIn(text="ran 5 km")

    first = routes.check_in(called_by(bob), campaign.campaign_id, body)
    again = routes.check_in(called_by(bob), campaign.campaign_id, body)

    assert (first.status, again.status) == (201, 200)
    assert first.body == again.body
    assert (first.body.streak, first.body.given[0].amount, first.body.mine.done_today) == (1, 5, True)
    shown = page(campaign, bob)
    assert (shown.can_check_in, shown.cannot_check_in_because) == (False, "done_today")
    assert shown.note is not None and (shown.note.text, shown.note.state) == ("ran 5 km", "visible")


def test_making_up_answers_201_the_first_time_and_200_with_the_same_again() -> None:
    campaign, bob = a_checkin(makeups=MAKEUPS), someone(points=100)
    coming(campaign, bob, 0, 2)
    call, body = called_by(bob, day=2), MakeUp(date="2026-01-02")

    first = routes.make_up(call, campaign.campaign_id, body)
    again = routes.make_up(call, campaign.campaign_id, body)

    assert (first.status, again.status) == (201, 200)
    assert first.body == again.body
    assert (first.body.streak, balance(bob)) == (3, 100 + 10 + 5 - 20)


@pytest.mark.parametrize("text", ["2026-02-30", "0000-01-01", "2026-13-01"])
def test_a_date_that_is_none_is_named(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        routes.make_up(called_by(someone()), a_checkin(makeups=MAKEUPS).campaign_id, MakeUp(date=text))

    assert refused.value.details["field"] == "date"


def test_the_list_says_how_far_i_am_in_each_and_leaves_out_what_is_over() -> None:
    bob = someone()
    first, second = a_checkin(title="One"), a_checkin(title="Two")
    a_checkin(ends_at=NOW, title="Over")
    coming(first, bob, 0, 1)
    coming(second, bob, -60)

    listed = routes.list_campaigns(called_by(bob, day=1)).items
    mine = {one.campaign.title: msgspec.to_builtins(one.mine) for one in listed}

    assert mine == {
        "One": {"done_today": True, "streak": 2, "total": 2},
        "Two": {"done_today": False, "streak": 0, "total": 1},
    }
    assert {one.mine for one in routes.list_campaigns(a_call()).items} == {None}


def test_a_challenge_of_weeks_counts_weeks() -> None:
    campaign, bob = a_challenge(every="week", target=2), someone()
    coming(campaign, bob, 0, 3, 4)

    shown = page(campaign, bob, day=4).mine

    assert shown is not None
    assert (shown.days, shown.streak, shown.completed) == (["2025-12-29", "2026-01-05"], 2, True)


def test_a_campaign_can_be_shared() -> None:
    campaign = a_challenge()
    team, _ = teams.found(campaign, someone(), title="Larks", now=NOW)

    for kind, target, title in (
        ("checkin", campaign.campaign_id, "Every day"),
        ("checkin_team", f"{campaign.campaign_id}.{team.team_id}", "Larks"),
    ):
        wanted = a_share(kind=kind, target=target)
        link, _new = sharing.mint(sharer_id=a_member(), wanted=wanted, now=NOW)
        assert sharing.describe(link.target_kind, link.target_id, now=NOW).title == title


# --- reminders ----------------------------------------------------------------------------------------------

EIGHT = 20 * 60


def remind(campaign: Campaign, member_id: str, minute: int | None, *, day: int = 0) -> int | None:
    """A member chooses when to be reminded; when that is next."""
    call = called_by(member_id, day=day)
    return routes.set_reminder(call, campaign.campaign_id, SetReminder(at_minute=minute)).next_at


def reminded(store: Store) -> list[str]:
    """The reminders that the stream has told of, by date."""
    found = [facts.read(record) for record in stream_records(store.client, "truth")]
    names = [fact for fact in found if fact and fact.name == "checkin.reminder"]
    parts = {row["pk"]: row["state"] for row in books(store.client).of("checkin_part") if "state" in row}
    return [parts[fact.pk] for fact in names]


def evening(day: int) -> None:
    """The job runs at eight in the evening."""
    ran = due.run(job=reminders.JOB, worker="w", now=noon(day) + 10 * 3600, seconds=5)
    assert ran.failed == 0


def test_who_has_not_come_by_their_time_is_reminded_once(store: Store) -> None:
    campaign, bob, carol = a_checkin(), someone(), someone()
    for member_id in (bob, carol):
        assert remind(campaign, member_id, EIGHT) == noon(0) + 10 * 3600
    coming(campaign, carol, 0)

    evening(0)
    evening(0)

    assert reminded(store) == ["2026-01-01"]
    assert page(campaign, bob).mine.remind_at_minute == EIGHT  # type: ignore[union-attr]
    assert [row["due_at"] for row in books(store.client).of("checkin_part")] == [noon(1) + 10 * 3600] * 2


def test_who_opts_out_is_not_reminded_and_costs_nothing(store: Store) -> None:
    campaign, bob = a_checkin(), someone()
    remind(campaign, bob, EIGHT)
    assert remind(campaign, bob, None) is None
    assert remind(campaign, bob, None) is None

    evening(0)

    assert reminded(store) == []
    assert "due_at" not in books(store.client).only("checkin_part")


def test_another_time_moves_the_reminder_and_the_same_changes_nothing(store: Store) -> None:
    campaign, bob = a_checkin(), someone()
    remind(campaign, bob, EIGHT)
    assert remind(campaign, bob, EIGHT - 60) == noon(0) + 9 * 3600
    rev = books(store.client).only("checkin_part")["rev"]

    remind(campaign, bob, EIGHT - 60)

    assert books(store.client).only("checkin_part")["rev"] == rev


def test_a_campaign_that_is_over_reminds_nobody_any_more(store: Store) -> None:
    campaign, bob = a_checkin(ends_at=NOW + 3600), someone()
    remind(campaign, bob, EIGHT)

    evening(0)

    assert reminded(store) == []
    assert "due_at" not in books(store.client).only("checkin_part")
    with pytest.raises(CheckinOver):
        remind(campaign, bob, EIGHT, day=1)


def test_a_paused_campaign_reminds_nobody_today_and_goes_on_tomorrow(store: Store) -> None:
    campaign, bob = a_checkin(), someone()
    remind(campaign, bob, EIGHT)
    making = campaigns.Making(by=OWNER, now=NOW)
    campaigns.switch(campaign.campaign_id, to="paused", making=making)
    evening(0)
    campaigns.switch(campaign.campaign_id, to="running", making=making)

    evening(1)

    assert reminded(store) == ["2026-01-02"]


# --- teams --------------------------------------------------------------------------------------------------


def found(campaign: Campaign, member_id: str, title: str = "Larks") -> str:
    """The id of a new team."""
    return routes.found_team(called_by(member_id), campaign.campaign_id, FoundTeam(title=title)).body.team_id


def test_a_team_shows_its_progress_together() -> None:
    campaign, bob, carol = a_challenge(notes=True), a_member(), a_member()
    members.edit(member_id=carol, nickname="Carol")
    team_id = found(campaign, bob)
    joined = routes.join_team(called_by(carol), campaign.campaign_id, team_id)
    coming(campaign, carol, 0, 1)
    image = sent(bob, kind="checkin")
    routes.check_in(called_by(bob, day=2), campaign.campaign_id, CheckIn(text="late", image=image))
    coming(campaign, carol, 2)

    shown = page(campaign, bob, day=2).team

    assert joined.status == 201 and shown is not None
    assert (shown.size, shown.free, shown.done_today, shown.total, shown.completed) == (4, 2, 2, 4, 1)
    first, second = shown.mates
    assert (first.mine, first.founder, first.total, second.streak) == (True, True, 1, 3)
    assert second.member.nickname == "Carol" and second.note is None
    assert first.note is not None and first.note.text == "late"
    assert first.note.image_url == f"https://shop.example/v1/uploads/{image}"
    assert page(campaign, bob, day=2).mine.team_id == team_id  # type: ignore[union-attr]


def test_strangers_see_no_notes_and_masked_names() -> None:
    campaign, bob = a_challenge(notes=True), a_member()
    members.edit(member_id=bob, nickname="Bobby")
    team_id = found(campaign, bob)
    routes.check_in(called_by(bob), campaign.campaign_id, CheckIn(text="secret"))

    for call in (a_call(), called_by(someone())):
        shown = routes.show_team(call, campaign.campaign_id, team_id)
        assert (shown.in_it, shown.mates[0].note, shown.mates[0].total) == (False, None, 1)
    assert routes.show_team(a_call(), campaign.campaign_id, team_id).mates[0].member.nickname == "B**"


def test_a_note_that_is_hidden_is_shown_to_nobody_and_the_trail_says_why(store: Store) -> None:
    campaign, bob, carol = a_challenge(notes=True), a_member(), a_member()
    team_id = found(campaign, bob)
    routes.join_team(called_by(carol), campaign.campaign_id, team_id)
    routes.check_in(called_by(bob), campaign.campaign_id, CheckIn(text="buy at my shop"))
    call = a_call(operator=OWNER)

    def turned(state: Any) -> NoteAnswer:
        body = TurnNote(state=state, reason="an advertisement")
        return admin.turn_note(call, campaign.campaign_id, bob, "2026-01-01", body)

    hidden = [turned("hidden") for _ in range(2)]
    listed = admin.list_notes(call, campaign.campaign_id, bob, Listing()).items
    seen = page(campaign, carol).team
    assert listed == hidden[1:] and hidden[0].state == "hidden"
    assert page(campaign, bob).note is None
    assert seen is not None and [mate.note for mate in seen.mates] == [None, None]

    assert (turned("visible").state, page(campaign, bob).note is None) == ("visible", False)
    actions = [row["action"] for row in books(store.client).of("audit", owner=f"{bob}#audit")]
    assert sorted(actions) == ["checkin.note_hidden", "checkin.note_visible"]
    with pytest.raises(NotFound):
        admin.turn_note(
            call, campaign.campaign_id, bob, "2026-01-02", TurnNote(state="hidden", reason="spam")
        )


def test_joining_and_founding_again_are_the_same_and_leaving_frees_the_place() -> None:
    campaign, bob, carol = a_challenge(team_size=2), someone(), someone()
    team_id = found(campaign, bob)

    assert found(campaign, bob, "Another") == team_id
    statuses = [routes.join_team(called_by(carol), campaign.campaign_id, team_id).status for _ in range(2)]
    assert statuses == [201, 200]
    with pytest.raises(teams.TeamFull):
        routes.join_team(called_by(someone()), campaign.campaign_id, team_id)
    with pytest.raises(teams.InAnotherTeam) as refused:
        routes.join_team(called_by(carol), campaign.campaign_id, found(campaign, someone()))
    assert refused.value.details == {"team_id": team_id}

    for _ in range(2):
        routes.leave_team(called_by(carol), campaign.campaign_id, team_id)

    assert routes.show_team(a_call(), campaign.campaign_id, team_id).free == 1
    assert page(campaign, carol).team is None
    assert routes.join_team(called_by(someone()), campaign.campaign_id, team_id).status == 201


def test_a_team_is_of_its_campaign_and_a_daily_sign_in_has_none() -> None:
    campaign, other, bob = a_challenge(), a_challenge(), someone()
    team_id = found(campaign, bob)

    for call in (
        lambda: routes.show_team(a_call(), other.campaign_id, team_id),
        lambda: routes.join_team(called_by(someone()), other.campaign_id, team_id),
        lambda: routes.leave_team(called_by(bob), other.campaign_id, team_id),
        lambda: routes.show_team(a_call(), campaign.campaign_id, "ctm_nobody"),
    ):
        with pytest.raises(NotFound):
            call()
    with pytest.raises(teams.NoTeams):
        found(a_checkin(), bob)


# --- operators ----------------------------------------------------------------------------------------------


def edit(**changes: Any) -> EditCampaign:
    """What an operator says."""
    return msgspec.convert(told(**changes), EditCampaign)


def test_a_campaign_made_again_with_its_key_is_the_first(store: Store) -> None:
    making = campaigns.Making(by=OWNER, now=NOW, idempotency_key="k1")
    first = campaigns.make(edit(), making)

    assert campaigns.make(edit(), making).campaign_id == first.campaign_id
    with pytest.raises(IdempotencyMismatch):
        campaigns.make(edit(title="Other"), making)
    there = books(store.client)
    assert (there["checkin_campaign"], there["audit"]) == (1, 1)


def test_an_edit_changes_what_is_to_come_and_leaves_its_trail(store: Store) -> None:
    call, bob = called_by_an_operator(), someone()
    campaign_id = admin.make(call, edit()).body.campaign_id
    coming(campaigns.find(campaign_id, now=NOW), bob, 0)

    changed = admin.edit(call, campaign_id, edit(title="Each day", rewards=[]))
    admin.edit(call, campaign_id, edit(title="Each day", rewards=[]))

    assert (changed.title, changed.rewards) == ("Each day", [])
    coming(campaigns.find(campaign_id, now=NOW), bob, 1)
    assert balance(bob) == 5
    trail = [row["action"] for row in books(store.client).of("audit")]
    assert sorted(trail) == ["checkin.edited", "checkin.made"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"timezone": "Europe/Berlin"}, "timezone"),
        ({"day_starts_at_minute": 60}, "day_starts_at_minute"),
        ({"starts_at": NOW}, "starts_at"),
        ({"kind": "challenge", "target": 3, "ends_at": NOW * 2}, "kind"),
    ],
)
def test_what_the_days_are_cannot_change(changes: dict[str, Any], field: str) -> None:
    campaign_id = a_checkin().campaign_id

    with pytest.raises(Invalid) as refused:
        admin.edit(called_by_an_operator(), campaign_id, edit(**changes))

    assert refused.value.details["field"] == field


def test_a_campaign_is_paused_resumed_and_closed_for_good(store: Store) -> None:
    call, campaign_id = called_by_an_operator(), a_checkin().campaign_id

    states = [act(call, campaign_id).state for act in (admin.pause, admin.pause, admin.resume, admin.close)]

    assert states == ["paused", "paused", "running", "closed"]
    assert admin.close(call, campaign_id).state == "closed"
    for act in (admin.pause, admin.resume):
        with pytest.raises(CheckinOver):
            act(call, campaign_id)
    with pytest.raises(CheckinOver):
        admin.edit(call, campaign_id, edit(title="Again"))
    assert [one.state for one in admin.list_campaigns(call).items] == ["closed"]
    assert len(books(store.client).of("audit")) == 4


def test_the_report_adds_up_a_month_page_by_page(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "PAGE", 1)
    monkeypatch.setattr(reporting, "PAGES_AT_MOST", 1)
    campaign = a_checkin(makeups=MAKEUPS)
    crowd = [someone(points=20) for _ in range(4)]
    for at, member_id in enumerate(crowd):
        coming(campaign, member_id, -1, *range(at))
    mend(campaign, crowd[1], 1, day=2)
    call, members_seen, days = called_by_an_operator(), 0, dict[str, tuple[int, int]]()

    after: str | None = None
    for _ in range(20):
        query = ReportQuery(month="2026-01", after=after)
        sums = admin.show_report(call, campaign.campaign_id, query)
        members_seen += sums.members
        for one in sums.items:
            had = days.get(one.date, (0, 0))
            days[one.date] = had[0] + one.checked_in, had[1] + one.made_up
        after = sums.next
        if after is None:
            break

    assert members_seen == 3
    assert days == {"2026-01-01": (3, 0), "2026-01-02": (3, 1), "2026-01-03": (1, 0)}
    with pytest.raises(cursors.CursorInvalid):
        admin.show_report(call, campaign.campaign_id, ReportQuery(month="2025-12", after="forged"))


def test_a_months_rows_lie_in_sixteen_partitions_of_their_index() -> None:
    owners = {marking.owner_of("cmp_1", "2026-01", k) for k in range(marking.SHARDS)}

    assert len(owners) == marking.SHARDS == 16
    assert table.owned("cmp_1#2026-01#0", limit=1).rows == []
