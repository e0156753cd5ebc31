"""Two who meet over one's days, notes or team, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import msgspec
import pytest

from chalicelib.checkins import campaigns, leaving, merging, noting, reminders, standings, teams
from chalicelib.checkins.marking import Said
from chalicelib.checkins.models import Campaign, Note, Part, Team
from chalicelib.checkins.schemas import EditCampaign
from chalicelib.core import due, table
from chalicelib.core.clock import HOUR
from chalicelib.core.errors import Busy
from chalicelib.safety.service import APPROVED, Judged
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
    told,
)
from tests.factories import NOW, OWNER, TODAY, books
from tests.harness.direct import Direct
from tests.harness.meetings import before_write
from tests.merging import HOME, UNION, Two, sign_in, two_members

pytestmark = [pytest.mark.usefixtures("direct"), pytest.mark.alone("checkins")]
MAKING = campaigns.Making(by=OWNER, now=NOW)
PENDING = Judged(state="pending")


@pytest.fixture
def campaign(direct: Direct) -> Iterator[Campaign]:
    """Five points a day, and fifty for five in a row; in the end all have what their days earn."""
    made = a_checkin(rewards=[each(5), streak(5, 50)], cycle=None, notes=True, makeups={"points": 20})
    yield made
    assert broken(direct, made) == []


@pytest.fixture
def challenge(direct: Direct) -> Iterator[Campaign]:
    """Teams of two; in the end each has as many places as nobody took."""
    made = a_challenge(team_size=2)
    yield made
    there = books(direct)
    for team in there.of("checkin_team"):
        mates = [row for row in there.of("checkin_mate") if row["pk"] == team["pk"]]
        assert team["free"] == team["size"] - len(mates)


# --- days ---------------------------------------------------------------------------------------------------


def test_the_first_day_ever_is_checked_in_on_both_sides_of_a_year_at_once(campaign: Campaign) -> None:
    bob = someone()

    with before_write(1, lambda: come(campaign, bob, -1)):
        mark = come(campaign, bob, 0)

    assert (mark.streak, mark.total) == (2, 2)


def test_a_day_is_made_up_while_the_last_of_its_run_is_checked_in(campaign: Campaign) -> None:
    bob = someone(points=20)
    coming(campaign, bob, 0, 1, 3)

    with before_write(1, lambda: mend(campaign, bob, 2, day=4)):
        mark = come(campaign, bob, 4)

    assert (mark.streak, balance(bob)) == (5, 75)


# --- campaigns ----------------------------------------------------------------------------------------------


def switched(campaign: Campaign, to: str = "closed") -> None:
    """An operator switches it."""
    campaigns.switch(campaign.campaign_id, to=to, making=MAKING)


def edited(campaign: Campaign) -> None:
    """An operator calls it something else."""
    campaigns.edit(campaign.campaign_id, msgspec.convert(told(title="Another"), EditCampaign), MAKING)


def test_a_campaign_is_made_by_two_at_once_and_paused_by_then() -> None:
    def made() -> Campaign:
        by = campaigns.Making(by=OWNER, now=NOW, idempotency_key="made")
        return campaigns.make(msgspec.convert(told(), EditCampaign), by)

    with before_write(1, lambda: switched(made(), "paused")):
        again = made()

    assert again.state == campaigns.find(again.campaign_id, now=NOW).state == "paused"


@pytest.mark.parametrize("change", [edited, lambda one: switched(one, "paused")], ids=["edited", "paused"])
def test_what_is_closed_while_another_changes_it_is_as_it_was_closed(
    change: Callable[[Campaign], None],
) -> None:
    made = a_checkin()

    with before_write(1, lambda: switched(made)), pytest.raises(Busy):
        change(made)

    there = campaigns.find(made.campaign_id, now=NOW)
    assert (there.state, there.title) == ("closed", made.title)


# --- teams --------------------------------------------------------------------------------------------------


def founded(campaign: Campaign, member_id: str, title: str = "A", *, pending: bool = False) -> Team:
    """A team of somebody's own."""
    judged = PENDING if pending else APPROVED
    return teams.found(campaign, member_id, title=title, now=NOW, judged=judged)[0]


def joined(campaign: Campaign, team: Team, member_id: str) -> tuple[Team, bool]:
    """Somebody takes a place."""
    return teams.join(campaign, team.team_id, member_id, now=NOW)


def left(campaign: Campaign, team: Team, member_id: str) -> None:
    """Somebody gives their place up."""
    teams.leave(campaign, team.team_id, member_id)


def test_who_founds_two_teams_at_once_has_founded_one(challenge: Campaign, direct: Direct) -> None:
    bob = someone()

    with before_write(1, lambda: founded(challenge, bob, "first")):
        assert founded(challenge, bob, "second").title == "first"

    assert books(direct)["checkin_team"] == 1


def test_who_joins_two_teams_at_once_is_in_the_first(challenge: Campaign) -> None:
    first, second = (founded(challenge, someone()) for _ in range(2))
    bob = someone()

    with before_write(1, lambda: joined(challenge, first, bob)), pytest.raises(teams.InAnotherTeam):
        joined(challenge, second, bob)

    assert teams.find(challenge.campaign_id, second.team_id).free == 1


def test_of_two_who_join_at_once_one_has_the_last_place(challenge: Campaign) -> None:
    team, bob, carol = founded(challenge, someone()), someone(), someone()

    with before_write(1, lambda: joined(challenge, team, bob)), pytest.raises(teams.TeamFull):
        joined(challenge, team, carol)


def test_who_leaves_twice_at_once_frees_one_place(challenge: Campaign) -> None:
    alice, bob = someone(), someone()
    team = founded(challenge, alice)
    joined(challenge, team, bob)

    with before_write(1, lambda: left(challenge, team, bob)):
        left(challenge, team, bob)

    assert teams.find(challenge.campaign_id, team.team_id).free == 1


def test_who_leaves_a_team_while_they_are_erased_frees_one_place(challenge: Campaign) -> None:
    alice, bob = someone(), someone()
    team = founded(challenge, alice)
    joined(challenge, team, bob)

    with before_write(1, lambda: left(challenge, team, bob)):
        leaving.erase(bob, NOW)

    assert teams.find(challenge.campaign_id, team.team_id).free == 1


@pytest.mark.parametrize("founder_leaves", [True, False])
def test_a_team_loses_its_title_with_its_founder_and_with_nobody_else(
    challenge: Campaign, founder_leaves: bool
) -> None:
    alice, bob = someone(), someone()
    team = founded(challenge, alice)
    joined(challenge, team, bob)

    leaving.erase(alice if founder_leaves else bob, NOW)

    shown = teams.find(challenge.campaign_id, team.team_id)
    assert shown.title == (challenge.title if founder_leaves else "A")


# --- what is said -------------------------------------------------------------------------------------------


def noted(campaign: Campaign, member_id: str, text: str, *, state: str = "pending") -> None:
    """Somebody says something with today's check-in."""
    come(campaign, member_id, said=Said(text=text, state=state))


def shown(campaign: Campaign, member_id: str) -> tuple[str | None, str | None]:
    """What was said today, and who may see it."""
    row = table.get(Note, Note.key(campaign.campaign_id, member_id, TODAY))
    assert row is not None
    return row.text, row.state


def decided(ref: str, content: str) -> None:
    """The check of a text says that it may be shown."""
    noting._decided(SimpleNamespace(room="checkins", state="approved", ref=ref, content=content), NOW)


def approved(campaign: Campaign, member_id: str, text: str) -> None:
    """What somebody said today may be shown."""
    decided(f"{campaign.campaign_id}#{member_id}#{TODAY}", text)


def turned(campaign: Campaign, member_id: str, to: str) -> None:
    """An operator hides or shows what was said today."""
    noting.turn(campaign.campaign_id, member_id, TODAY, to=to, reason="rude", making=MAKING)


def test_what_an_operator_has_hidden_stays_so_whatever_its_check_says(campaign: Campaign) -> None:
    bob = someone()
    noted(campaign, bob, "hello")
    turned(campaign, bob, "hidden")

    approved(campaign, bob, "hello")

    assert shown(campaign, bob) == ("hello", "hidden")


@pytest.mark.parametrize(
    ("state", "to"), [("visible", "hidden"), ("pending", "hidden"), ("hidden", "visible")]
)
def test_of_two_operators_who_turn_a_note_at_once_one_has_turned_it(
    campaign: Campaign, direct: Direct, state: str, to: str
) -> None:
    bob = someone()
    noted(campaign, bob, "hello", state=state)

    with before_write(1, lambda: turned(campaign, bob, to)), pytest.raises(Busy):
        turned(campaign, bob, to)
    turned(campaign, bob, to)

    assert len(books(direct).of("audit", action=f"checkin.note_{to}")) == 1


def test_the_title_of_a_team_that_was_left_is_not_that_of_the_next(challenge: Campaign) -> None:
    bob = someone()
    left(challenge, founded(challenge, bob, "first", pending=True), bob)
    second = founded(challenge, bob, "second", pending=True)

    decided(f"team#{challenge.campaign_id}#{bob}", "first")

    team = teams.find(challenge.campaign_id, second.team_id)
    assert (team.title, team.title_pending) == (challenge.title, "second")


# --- reminders ----------------------------------------------------------------------------------------------


def chosen(campaign: Campaign, member_id: str, minute: int | None) -> int | None:
    """Somebody chooses when to be reminded; when that is next."""
    return reminders.choose(campaign, member_id, at_minute=minute, now=NOW)


def the_part(campaign: Campaign, member_id: str) -> Part:
    """Somebody's part in a campaign."""
    row = table.get(Part, Part.key(campaign.campaign_id, member_id))
    assert row is not None
    return row


def test_a_time_that_is_chosen_while_somebody_is_reminded_is_the_next(campaign: Campaign) -> None:
    bob = someone()
    at = chosen(campaign, bob, 660) or 0
    row = the_part(campaign, bob)
    entry = due.Entry(pk=row.pk, sk=row.sk, kind="", due_shard=row.due_shard or "", due_at=at, due_ref="")

    with before_write(1, lambda: chosen(campaign, bob, 720)):
        reminders.remind(entry, at)

    assert the_part(campaign, bob).due_at == at + HOUR


def test_who_wants_no_reminder_a_second_time_changes_nothing(campaign: Campaign) -> None:
    bob = someone()
    chosen(campaign, bob, 660), chosen(campaign, bob, None)
    rev = the_part(campaign, bob).rev

    assert chosen(campaign, bob, None) is None

    assert the_part(campaign, bob).rev == rev


# --- who becomes another ------------------------------------------------------------------------------------


@pytest.fixture
def two() -> Two:
    """Two members who have proved to be one; what they have is still where it was."""
    found = two_members()
    assert sign_in(HOME, UNION).member_id == found.other
    return found


@pytest.fixture
def plain(direct: Direct) -> Campaign:
    """A campaign of teams and notes; what both were given for one day they keep."""
    return a_challenge(notes=True, target=20)


def goes_over(two: Two) -> bool:
    """A part of the check-ins goes over; whether there was any."""
    return merging.hand_over(two.one, two.other, NOW)


def gone_over(two: Two) -> None:
    """All of them have."""
    while goes_over(two):
        pass


@pytest.mark.parametrize("whose", ["one", "other"])
@pytest.mark.parametrize("theirs", [(), (0,)], ids=["of their own", "there already"])
def test_a_day_that_is_checked_in_while_days_go_over_is_there(
    plain: Campaign, two: Two, whose: str, theirs: tuple[int, ...]
) -> None:
    come(plain, two.one, 1)
    coming(plain, two.other, *theirs)

    with before_write(1, lambda: come(plain, getattr(two, whose), 2)), pytest.raises(Busy):
        goes_over(two)
    gone_over(two)

    assert len(standings.of(plain, two.other).history.days) == 2 + len(theirs)


@pytest.mark.parametrize("whose", ["one", "other"])
@pytest.mark.parametrize("before", [None, 660], ids=["none before", "another before"])
def test_a_reminder_that_is_chosen_while_days_go_over_is_kept(
    plain: Campaign, two: Two, whose: str, before: int | None
) -> None:
    come(plain, two.one, 0)
    if before is not None:
        chosen(plain, getattr(two, whose), before)

    with before_write(1, lambda: chosen(plain, getattr(two, whose), 720)), pytest.raises(Busy):
        goes_over(two)
    gone_over(two)

    assert the_part(plain, two.other).remind_at_minute == 720


def test_what_is_decided_of_a_note_while_it_goes_over_is_decided(plain: Campaign, two: Two) -> None:
    noted(plain, two.one, "hello")

    with before_write(1, lambda: approved(plain, two.one, "hello")), pytest.raises(Busy):
        goes_over(two)
    gone_over(two)

    assert shown(plain, two.other) == ("hello", "visible")


def test_what_the_other_says_while_a_note_goes_over_is_not_replaced(plain: Campaign, two: Two) -> None:
    noted(plain, two.one, "hello")

    with before_write(1, lambda: noted(plain, two.other, "mine")), pytest.raises(Busy):
        goes_over(two)
    gone_over(two)

    assert shown(plain, two.other) == ("mine", "pending")


def test_what_has_gone_over_already_is_not_replaced_by_what_the_other_says(plain: Campaign, two: Two) -> None:
    noted(plain, two.one, "hello")
    assert goes_over(two)

    with pytest.raises(Busy):
        noted(plain, two.other, "mine")

    assert shown(plain, two.other) == ("hello", "pending")


def test_a_check_is_of_what_was_said_and_of_nothing_else(plain: Campaign, two: Two) -> None:
    for member_id, text in ((two.one, "hello"), (two.other, "mine")):
        noted(plain, member_id, text)
    turned(plain, two.one, "hidden")

    approved(plain, two.one, "hello")

    assert shown(plain, two.other) == ("mine", "pending")
