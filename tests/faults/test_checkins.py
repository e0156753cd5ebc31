"""Checking in, making up, reminders and teams when any call fails: a day counts once, is credited and paid once."""

import copy
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from moto.dynamodb.models import dynamodb_backends

from chalicelib.checkins import campaigns, reminders, teams
from chalicelib.checkins.marking import Marked, Said
from chalicelib.checkins.models import Campaign
from chalicelib.checkins.schemas import EditCampaign
from chalicelib.core import cache, due, table
from infra.local.clients import Store
from tests.checkins import (
    a_challenge,
    a_checkin,
    broken_in,
    come,
    coming,
    each,
    gift,
    mend,
    noon,
    someone,
    streak,
    told,
)
from tests.factories import NOW, OWNER, Books, caught_up, emptied
from tests.harness.faults import each_fault
from tests.harness.hostile import Hostile
from tests.harness.rows import decoded

pytestmark = pytest.mark.usefixtures("direct")

MAKEUPS = {"points": 20, "per_month": 2}
SAID = Said(text="ran 5 km")


@dataclass
class World:
    """Somebody, where they come, and what they were told."""

    campaign: Campaign
    member_id: str
    marks: list[Marked] = field(default_factory=list)

    @property
    def said(self) -> set[tuple[object, ...]]:
        """Every answer; one, if all say the same."""
        return {(mark.turn, mark.streak, mark.total, *sorted(mark.gifts.items())) for mark in self.marks}


Play = Callable[[World], object]


def once(make: Callable[[], World]) -> Callable[[], World]:
    """A scene made once and set up again for every case, out of the embedded store's own hands."""
    kept: list[tuple[World, dict[str, Any]]] = []

    def setup() -> World:
        emptied()
        if not kept:
            world = make()
            kept.append((world, {one.name: copy.deepcopy(one.items) for one in _stored()}))
        world, items = kept[0]
        for one in _stored():
            one.items.update(copy.deepcopy(items[one.name]))
        cache.clear_all()
        return World(campaign=world.campaign, member_id=world.member_id)

    return setup


def _stored() -> list[Any]:
    return [
        one for by in dynamodb_backends.values() for backend in by.values() for one in backend.tables.values()
    ]


def there() -> Books:
    """All rows, read where the embedded store keeps them: a scan of it takes 50 ms."""
    items = [row.to_json()["Attributes"] for one in _stored() for row in one.all_items()]
    return Books([row for row in map(decoded, items) if row["kind"] != "lease"])


def about_to_come() -> World:
    """A run that a freeze card has saved across the year's end, before the day that brings the most."""
    gifts = [gift(2), gift(3, "growth"), gift(1, "makeup_card")]
    rewards = [each(5), streak(3, 50), {"by": "streak", "turns": 4, "give": gifts}]
    campaign = a_checkin(rewards=rewards, notes=True, makeups=MAKEUPS, freeze_at_most=1)
    bob = someone(points=100, freeze_card=1)
    coming(campaign, bob, -3, -2, 0)
    caught_up(now=noon(0))
    return World(campaign=campaign, member_id=bob)


def about_to_freeze() -> World:
    """A run that a freeze card will save."""
    campaign, bob = a_checkin(freeze_at_most=1), someone(freeze_card=1)
    coming(campaign, bob, -3, -2)
    return World(campaign=campaign, member_id=bob)


def never_there() -> World:
    """Somebody's very first day."""
    campaign, bob = a_checkin(), someone()
    return World(campaign=campaign, member_id=bob)


def coming_on(day: int, *, said: Said | None = None) -> Play:
    """A check-in on a day."""
    return lambda world: world.marks.append(come(world.campaign, world.member_id, day, said=said))


def mending(missed: int, *, day: int) -> Play:
    """A make-up on a day."""
    return lambda world: world.marks.append(mend(world.campaign, world.member_id, missed, day=day))


def fine(world: World, **balances: int) -> Books:
    """K1 and L1 hold, everybody was told the same, and the member has what is said; all the rows there are."""
    found = there()
    assert broken_in(found.rows, world.campaign) == []
    assert len(world.said) == 1
    have = {book: found.of("account", pk=f"ACCOUNT#{world.member_id}#{book}") for book in balances}
    assert {book: sum(row["balance"] for row in rows) for book, rows in have.items()} == balances
    return found


def test_a_check_in_with_gifts_of_every_kind_and_a_note_happens_once(store: Store) -> None:
    def check(world: World) -> None:
        found = fine(world, points=100 + 15 + 50 + 7, growth=3, makeup_card=1, freeze_card=0)
        (january,) = found.of("checkin_month", sk="MONTH#2026-01")
        assert (january["days"], january["carried"], january["before"]) == ({1, 2}, 2, 2)
        assert (january["state"], found["checkin_note"]) == ("2026-01-02", 1)

    each_fault(coming_on(1, said=SAID), client=table.client(), setup=once(about_to_come), check=check)


def test_the_first_check_in_of_all_happens_once(store: Store) -> None:
    def check(world: World) -> None:
        found = fine(world, points=5)
        assert (found.only("checkin_month")["rev"], found.only("checkin_part")["rev"]) == (1, 1)

    each_fault(coming_on(0), client=table.client(), setup=once(never_there), check=check)


def test_a_freeze_card_is_used_once(store: Store) -> None:
    def check(world: World) -> None:
        found = fine(world, points=15, freeze_card=0)
        (december,) = found.of("checkin_month", sk="MONTH#2025-12")
        assert (december["frozen"], world.marks[-1].streak) == ({31}, 3)

    each_fault(coming_on(0), client=table.client(), setup=once(about_to_freeze), check=check)


def test_a_makeup_that_changes_two_months_is_made_and_paid_once(store: Store) -> None:
    def check(world: World) -> None:
        found = fine(world, points=100 + 15 + 50 - 20 + 5 + 2, growth=3, makeup_card=1)
        months = {
            row["sk"]: (row["days"], row["carried"], row["before"]) for row in found.of("checkin_month")
        }
        assert months == {"MONTH#2025-12": ({28, 29, 30}, 0, 0), "MONTH#2026-01": ({1}, 3, 3)}

    each_fault(mending(-4, day=0), client=table.client(), setup=once(about_to_come), check=check)


def test_replies_that_botocore_lost_and_sent_for_again_change_nothing_twice(store: Store) -> None:
    world = once(about_to_come)()

    with Hostile(table.client(), dice=random.Random(1), lost_reply=1.0):
        mending(-4, day=0)(world)
        world.marks.clear()
        coming_on(1, said=SAID)(world)

    assert fine(world, growth=3, makeup_card=1)["checkin_note"] == 1


# --- reminders ----------------------------------------------------------------------------------------------


def remind(world: World) -> None:
    reminders.choose(world.campaign, world.member_id, at_minute=20 * 60, now=NOW)


def reminded_tonight() -> World:
    world = never_there()
    remind(world)
    return world


def work(world: World) -> None:
    ran = due.run(job=reminders.JOB, worker="w", now=NOW + 10 * 3600, seconds=30)
    if ran.failed:
        due.run(job=reminders.JOB, worker="w", now=NOW + 10 * 3600 + 60, seconds=30)


def test_a_reminder_is_chosen_once(store: Store) -> None:
    def check(world: World) -> None:
        part = there().only("checkin_part")
        assert (part["remind_at_minute"], part["due_at"]) == (1200, NOW + 10 * 3600)

    each_fault(remind, client=table.client(), setup=once(never_there), check=check)


def test_one_evening_is_one_reminder(store: Store) -> None:
    def check(world: World) -> None:
        part = there().only("checkin_part")
        assert (part["state"], part["due_at"]) == ("2026-01-01", NOW + 34 * 3600)

    each_fault(work, client=table.client(), setup=once(reminded_tonight), check=check)


# --- teams --------------------------------------------------------------------------------------------------


def a_team() -> World:
    campaign = a_challenge()
    teams.found(campaign, "mbr_founder", title="Larks", now=NOW)
    return World(campaign=campaign, member_id=someone())


def in_a_team() -> World:
    world = a_team()
    join(world)
    return world


def found_one(world: World) -> None:
    teams.found(world.campaign, world.member_id, title="Owls", now=NOW)


def join(world: World) -> None:
    team = there().only("checkin_team")
    teams.join(world.campaign, team["team_id"], world.member_id, now=NOW)


def leave(world: World) -> None:
    team = there().only("checkin_team")
    teams.leave(world.campaign, team["team_id"], world.member_id)


def places(world: World) -> tuple[Counter[str], list[int], int]:
    """How many teams and mates, free places, and how many teams the member is in."""
    found = there()
    mine = list(found.of("checkin_part", pk=f"CHECKIN#{world.campaign.campaign_id}#{world.member_id}"))
    counts = Counter({kind: found[kind] for kind in ("checkin_team", "checkin_mate")})
    free = sorted(row["free"] for row in found.of("checkin_team"))
    return counts, free, sum("team_id" in row for row in mine)


def test_a_team_is_founded_joined_and_left_once(store: Store) -> None:
    plays: list[tuple[Play, Callable[[], World], tuple[Counter[str], list[int], int]]] = [
        (found_one, a_team, (Counter(checkin_team=2, checkin_mate=2), [3, 3], 1)),
        (join, a_team, (Counter(checkin_team=1, checkin_mate=2), [2], 1)),
        (leave, in_a_team, (Counter(checkin_team=1, checkin_mate=1), [3], 0)),
    ]

    for play, setup, wanted in plays:

        def check(world: World, wanted: object = wanted) -> None:
            assert places(world) == wanted

        each_fault(play, client=table.client(), setup=once(setup), check=check)


# --- campaigns ----------------------------------------------------------------------------------------------


def nothing_yet() -> None:
    emptied()


def make(_: None) -> None:
    given = msgspec.convert(told(), EditCampaign)
    campaigns.make(given, campaigns.Making(by=OWNER, now=NOW, idempotency_key="k1"))


def edit(world: World) -> None:
    given = msgspec.convert(told(title="Each day"), EditCampaign)
    campaigns.edit(world.campaign.campaign_id, given, campaigns.Making(by=OWNER, now=NOW))


def pause(world: World) -> None:
    campaigns.switch(world.campaign.campaign_id, to="paused", making=campaigns.Making(by=OWNER, now=NOW))


def test_a_campaign_is_made_edited_and_paused_once_with_one_audit_row_each(store: Store) -> None:
    def made(_: None) -> None:
        found = there()
        assert (found["checkin_campaign"], found["audit"]) == (1, 1)

    def changed(title: str, state: str) -> Play:
        def check(world: World) -> None:
            found = there()
            row = found.only("checkin_campaign")
            assert (row["title"], row["state"], row["rev"], found["audit"]) == (title, state, 2, 2)

        return check

    each_fault(make, client=table.client(), setup=nothing_yet, check=made)
    each_fault(edit, client=table.client(), setup=once(never_there), check=changed("Each day", "running"))
    each_fault(pause, client=table.client(), setup=once(never_there), check=changed("Every day", "paused"))
