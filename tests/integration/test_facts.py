"""Facts: each reaction happens exactly once, however the stream behaves, and whatever fails is not forgotten."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from chalicelib.core import config, due, facts, table
from chalicelib.core import deliveries as outgoing
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy
from chalicelib.core.facts import Fact
from chalicelib.core.table import IntAttribute, Row, Write
from chalicelib.operators import stuck
from chalicelib.sessions import service as sessions
from chalicelib.sharing import visits
from infra.local.clients import Store
from infra.local.pump import Pump
from tests.factories import (
    NOW,
    OWNER,
    a_link,
    a_member,
    a_proof,
    an_opening,
    books,
    came_by,
    caught_up,
    only,
)
from tests.harness.counter import counting
from tests.harness.rows import rows, stream_records
from tests.harness.streams import Record, deliveries, event
from tests.harness.wire import plain

SEEDS = (1, 2, 3)
Effect = Callable[[Any, int], Sequence[Write]]
ROOMS = facts._reactions
MALL_SECRET = b"test-mall-secret"


class Lamp(Row, discriminator="test_lamp"):
    """Something with states: ``on`` and ``off``."""

    FACTS = {(None, "on"): "test.lit", ("off", "on"): "test.lit", ("on", "off"): "test.darkened"}
    colour = IntAttribute(null=True)
    seen = IntAttribute(null=True)


class Log(Row, discriminator="test_log"):
    """What a reaction wrote of a lamp."""

    n = IntAttribute(null=True)
    colour = IntAttribute(null=True)

    @staticmethod
    def key(name: str, lamp: Row) -> table.Key:
        """One row for a reaction and a lamp."""
        return f"LOG#{name}", lamp.pk


class Diary(Row, discriminator="test_diary"):
    """Something whose state is a date that moves on; the year's end is more than any other day."""

    FACTS = {facts.ANY_CHANGE: "test.written", ("2026-12-30", "2026-12-31"): "test.year_over"}
    lines = IntAttribute(null=True)


@pytest.fixture(autouse=True)
def no_other_reactions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reactions are declared by each test."""
    monkeypatch.setattr(facts, "_reactions", {})


def logging(name: str) -> Effect:
    """A reaction that counts itself under ``name``."""
    return lambda lamp, now: [table.upsert(Log, Log.key(name, lamp), Log.n.add(1))]


def failing(lamp: Row, now: int) -> Sequence[Write]:
    raise ValueError("no luck")


def light(name: str, *, owed: bool = True) -> None:
    slot = facts.owed("test.lit", pk=name, rev=1, now=NOW) if owed else {}
    table.apply(table.create(Lamp(name, "META", state="on", **slot)))


def switch(name: str, state: str, *more: Any) -> None:
    table.apply(table.update(Lamp, (name, "META"), Lamp.state.set(state), *more, refuse=lambda _: KeyError()))


def logged(store: Store, name: str) -> dict[str, int]:
    """How often each lamp was reacted to."""
    return {row["sk"]: row["n"] for row in rows(store.client, "truth", pk=f"LOG#{name}")}


def records(store: Store) -> list[Record]:
    return stream_records(store.client, "truth")


def handle(batch: list[Record], *, now: int = NOW) -> list[str]:
    """The sequence numbers that the reader says have failed."""
    answer = facts.handle_stream(event(batch), now=now)
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


# --- exactly once -------------------------------------------------------------------------------------------


def flicker(store: Store) -> list[Record]:
    """Lamps lit, darkened, lit again and painted; the records of all that."""
    for name in ("LAMP#a", "LAMP#b", "LAMP#c"):
        light(name)
        switch(name, "off")
        switch(name, "on", Lamp.colour.set(7))
        switch(name, "on", Lamp.colour.set(8))
    return records(store)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ordered", [True, False])
def test_records_repeated_replayed_and_reordered_make_each_reaction_happen_once(
    store: Store, seed: int, ordered: bool
) -> None:
    facts.reaction("test.lit", name="first")(logging("first"))
    facts.reaction("test.lit", name="second")(logging("second"))
    facts.reaction("test.darkened", name="dark")(logging("dark"))
    there = flicker(store)

    for batch in deliveries(there, dice=random.Random(seed), ordered=ordered, repeats=0.5, largest=5):
        assert handle(batch) == []
    caught_up(now=NOW)

    lamps = ("LAMP#a", "LAMP#b", "LAMP#c")
    assert logged(store, "first") == logged(store, "second") == dict.fromkeys(lamps, 2)
    assert logged(store, "dark") == dict.fromkeys(lamps, 1)
    assert books(store.client) == Counter(test_lamp=3, test_log=9, marker=15)
    assert not [row for row in rows(store.client, "truth", kind="test_lamp") if "due_at" in row]


def test_a_stream_that_is_down_for_longer_than_it_remembers_loses_nothing_that_is_owed(store: Store) -> None:
    facts.reaction("test.lit", name="log")(logging("log"))
    light("LAMP#a")
    light("LAMP#b")

    assert due.run(job=facts.JOB, worker="early", now=NOW + 599, seconds=30) == due.Ran()
    ran = due.run(job=facts.JOB, worker="job", now=NOW + 600, seconds=30)

    assert (ran.handled, ran.failed) == (2, 0)
    assert logged(store, "log") == {"LAMP#a": 1, "LAMP#b": 1}
    assert due.run(job=facts.JOB, worker="later", now=NOW + DAY, seconds=30) == due.Ran()


def test_a_stream_that_comes_back_after_the_job_finds_everything_done(store: Store) -> None:
    facts.reaction("test.lit", name="log")(logging("log"))
    light("LAMP#a")
    caught_up(now=NOW)

    assert handle(records(store)) == []

    assert logged(store, "log") == {"LAMP#a": 1}


def test_a_fact_that_becomes_owed_in_an_update_is_caught_up_with_as_well(store: Store) -> None:
    facts.reaction("test.darkened", name="log")(logging("log"))
    light("LAMP#a", owed=False)
    switch("LAMP#a", "off", *facts.owing("test.darkened", pk="LAMP#a", now=NOW))
    last = records(store)[-1]
    assert facts.read(last) == Fact(name="test.darkened", pk="LAMP#a", sk="META", rev=2, owed=True)

    caught_up(now=NOW)

    assert logged(store, "log") == {"LAMP#a": 1}
    assert "owed_rev" not in only(store.client, "test_lamp")
    assert handle([last]) == [] and logged(store, "log") == {"LAMP#a": 1}


def test_a_row_that_changed_before_the_job_came_is_reacted_to_for_the_fact_that_was_owed(
    store: Store,
) -> None:
    facts.reaction("test.lit", name="log")(logging("log"))
    light("LAMP#a")
    switch("LAMP#a", "on", Lamp.colour.set(7))

    caught_up(now=NOW)
    assert handle(records(store)) == []

    assert logged(store, "log") == {"LAMP#a": 1}
    assert "due_at" not in only(store.client, "test_lamp")


def test_an_old_fact_that_comes_again_does_not_settle_what_is_owed_for_a_newer_one(store: Store) -> None:
    facts.reaction("test.lit", name="log")(logging("log"))
    facts.reaction("test.darkened", name="bad")(failing)
    light("LAMP#a")
    (first,) = records(store)
    handle([first])
    switch("LAMP#a", "off", *facts.owing("test.darkened", pk="LAMP#a", now=NOW + 5))

    assert handle([first, *records(store)]) == []

    lamp = only(store.client, "test_lamp")
    assert (lamp["due_ref"], lamp["due_at"]) == ("test.darkened", NOW + 605)


def test_an_old_fact_that_comes_again_does_not_settle_the_same_one_that_is_owed_anew(store: Store) -> None:
    facts.reaction("test.lit", name="log")(logging("log"))
    light("LAMP#a")
    (first,) = records(store)
    switch("LAMP#a", "off")
    switch("LAMP#a", "on", *facts.owing("test.lit", pk="LAMP#a", now=NOW + 5))

    assert handle([first]) == []

    lamp = only(store.client, "test_lamp")
    assert (lamp.get("owed_rev"), lamp.get("due_at")) == (3, NOW + 605)


def test_a_fact_that_comes_late_leaves_the_row_due_for_what_it_is_due_for_since(store: Store) -> None:
    facts.reaction("test.lit", name="log")(logging("log"))
    light("LAMP#a")
    (first,) = records(store)
    switch("LAMP#a", "on", *due.moved(job="test-lamps", pk="LAMP#a", at=NOW + 5))

    assert handle([first]) == []

    lamp = only(store.client, "test_lamp")
    assert (logged(store, "log"), lamp.get("due_shard")) == ({"LAMP#a": 1}, "test-lamps#0")


# --- states that move on ------------------------------------------------------------------------------------


def called(store: Store) -> list[str | None]:
    """What each change of a diary is called."""
    found = [facts.read(record) for record in records(store)]
    return [fact.name if fact else None for fact in found]


def write(*actions: Any) -> None:
    table.apply(table.update(Diary, ("DIARY#1", "META"), *actions, refuse=lambda _: KeyError()))


def test_every_other_state_is_a_fact_and_every_other_change_is_none(store: Store) -> None:
    table.apply(table.create(Diary("DIARY#1", "META", state="2026-12-29")))
    write(Diary.lines.set(3))
    write(Diary.state.set("2026-12-30"))
    write(Diary.state.set("2026-12-30"), Diary.lines.set(4))
    write(Diary.state.set("2026-12-31"))
    write(Diary.state.set("2026-12-28"))

    assert called(store) == ["test.written", None, "test.written", None, "test.year_over", "test.written"]


def test_a_row_without_a_state_is_no_fact_and_neither_is_one_that_loses_it(store: Store) -> None:
    table.apply(table.create(Diary("DIARY#1", "META", lines=1)))
    write(Diary.state.set("2026-12-29"))
    write(Diary.state.remove())

    assert called(store) == [None, "test.written", None]


def test_each_of_several_states_is_reacted_to_once(store: Store) -> None:
    facts.reaction("test.written", name="log")(logging("log"))
    table.apply(table.create(Diary("DIARY#1", "META", state="2026-01-01")))
    write(Diary.state.set("2026-01-02"), *facts.owing("test.written", pk="DIARY#1", now=NOW))

    there = records(store)
    assert handle([*there, *there]) == []
    caught_up(now=NOW)

    assert logged(store, "log") == {"DIARY#1": 2}
    assert "due_at" not in only(store.client, "test_diary")


# --- markers ------------------------------------------------------------------------------------------------


def test_a_marker_is_left_for_ninety_days_and_one_of_money_for_ever(store: Store) -> None:
    facts.reaction("test.lit", name="news")(logging("news"))
    facts.reaction("test.lit", name="money", money=True)(logging("money"))
    light("LAMP#a")

    caught_up(now=NOW)

    news, money = sorted(rows(store.client, "truth", kind="marker"), key=lambda row: "money" in row["sk"])
    assert (news["sk"], news["ttl"]) == ("META#test.lit#1#news", NOW + facts.OWED_AFTER_S + 90 * DAY)
    assert money["sk"] == "META#test.lit#1#money" and "ttl" not in money


def test_a_reaction_that_owes_nothing_writes_nothing(store: Store) -> None:
    facts.reaction("test.lit", name="calm")(lambda lamp, now: [])
    light("LAMP#a", owed=False)

    with counting(table.client()) as spent:
        assert handle(records(store)) == []

    assert (spent.operations, books(store.client)) == ({"GetItem": 1}, Counter(test_lamp=1))


def test_a_reaction_has_its_name_for_itself() -> None:
    facts.reaction("test.lit", name="log")(logging("log"))

    with pytest.raises(ValueError, match="already has a reaction called log"):
        facts.reaction("test.lit", name="log")(logging("log"))


# --- the row as it is now -----------------------------------------------------------------------------------


def painting_late(name: str) -> Effect:
    """A reaction during whose first run somebody paints the lamp."""
    runs: list[int | None] = []

    def effect(lamp: Lamp, now: int) -> Sequence[Write]:
        runs.append(lamp.colour)
        if len(runs) == 1:
            switch(lamp.pk, "on", Lamp.colour.set(7))
        log = table.upsert(Log, Log.key(name, lamp), Log.n.add(1), Log.colour.set(lamp.colour or 0))
        own = table.update(Lamp, (lamp.pk, lamp.sk), Lamp.seen.add(1), refuse=lambda _: KeyError())
        return [log] if name == "other" else [log, own]

    return effect


@pytest.mark.parametrize("name", ["other", "own"])
def test_a_row_that_changes_between_reading_and_writing_is_read_again(store: Store, name: str) -> None:
    facts.reaction("test.lit", name=name)(painting_late(name))
    light("LAMP#a", owed=False)

    assert handle(records(store)[:1]) == []

    (log,) = rows(store.client, "truth", kind="test_log")
    assert (log["n"], log["colour"]) == (1, 7)
    assert only(store.client, "test_lamp").get("seen") == (1 if name == "own" else None)


def test_a_row_that_never_rests_is_given_up_and_owed_still(store: Store) -> None:
    runs: list[int] = []

    def effect(lamp: Lamp, now: int) -> Sequence[Write]:
        runs.append(now)
        switch(lamp.pk, "on", Lamp.colour.set(len(runs)))
        return logging("log")(lamp, now)

    facts.reaction("test.lit", name="log")(effect)
    light("LAMP#a")

    assert handle(records(store)[:1]) == []

    assert (len(runs), books(store.client)) == (facts.REREADS, Counter(test_lamp=1))
    assert only(store.client, "test_lamp")["due_at"] == NOW + 600


def test_a_row_that_is_gone_is_not_reacted_to(store: Store) -> None:
    facts.reaction("test.lit", name="log")(failing)
    light("LAMP#a", owed=False)
    table.apply(table.delete(Lamp, ("LAMP#a", "META"), refuse=lambda _: KeyError()))

    assert handle(records(store)) == []
    assert books(store.client) == Counter()


# --- what is a fact -----------------------------------------------------------------------------------------


def names(store: Store) -> list[tuple[str, int] | None]:
    found = [facts.read(record) for record in records(store)]
    return [(fact.name, fact.rev) if fact else None for fact in found]


def test_a_change_of_state_is_a_fact_and_any_other_change_is_none(store: Store) -> None:
    light("LAMP#a")
    switch("LAMP#a", "on", Lamp.colour.set(7))
    switch("LAMP#a", "off")
    switch("LAMP#a", "gone")

    assert names(store) == [("test.lit", 1), None, ("test.darkened", 3), None]


def test_a_migration_is_no_fact_for_it_does_not_count_the_revision_on(store: Store) -> None:
    light("LAMP#a")
    row = plain(store.client, "GetItem", {"TableName": "truth", "Key": table._key(("LAMP#a", "META"))})[
        "Item"
    ]
    store.client.put_item(TableName="truth", Item={**row, "state": {"S": "off"}, "v": {"N": "2"}})
    store.client.put_item(TableName="truth", Item={**row, "pk": {"S": "LAMP#b"}, "rev": {"N": "9"}})

    assert names(store) == [("test.lit", 1), None, None]


def test_deletes_and_removals_by_ttl_are_no_facts(store: Store) -> None:
    light("LAMP#a")
    table.apply(table.delete(Lamp, ("LAMP#a", "META"), refuse=lambda _: KeyError()))
    removed = records(store)[-1]
    service = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}

    assert removed["eventName"] == "REMOVE"
    assert facts.read(removed) is facts.read({**removed, "userIdentity": service}) is None


def test_rows_of_a_kind_that_no_room_has_are_passed_over(store: Store) -> None:
    light("LAMP#a")
    (record,) = records(store)
    record["dynamodb"]["NewImage"]["kind"] = {"S": "of_a_later_release"}

    assert facts.read(record) is None
    assert handle([record]) == []


# --- failing ------------------------------------------------------------------------------------------------


def test_a_failing_reaction_to_an_owed_fact_does_not_fail_its_record(store: Store) -> None:
    facts.reaction("test.lit", name="bad")(failing)
    light("LAMP#a")

    assert handle(records(store)) == []
    assert only(store.client, "test_lamp")["due_at"] == NOW + 600


def test_a_failing_reaction_to_a_fact_not_owed_leaves_a_letter_and_fails_no_record(store: Store) -> None:
    facts.reaction("test.lit", name="bad")(
        lambda lamp, now: failing(lamp, now) if lamp.pk == "LAMP#b" else []
    )
    facts.reaction("test.lit", name="log")(logging("log"))
    for name in ("LAMP#a", "LAMP#b", "LAMP#c"):
        light(name, owed=False)

    assert handle(records(store)) == handle(records(store)) == []

    assert logged(store, "log") == {"LAMP#a": 1, "LAMP#b": 1, "LAMP#c": 1}
    letter = only(store.client, "dead_letter")
    assert (letter["pk"], letter["sk"]) == ("LETTER#LAMP#b", "META#test.lit#1")
    assert (letter["due_ref"], letter["due_at"]) == ("test.lit", NOW + 60)


def test_a_dead_letter_is_tried_again_and_goes_when_its_reaction_has_happened(
    store: Store, luckless: list[Effect]
) -> None:
    light("LAMP#a", owed=False)
    handle(records(store))
    assert due.run(job=facts.JOB, worker="one", now=NOW + 60, seconds=30).failed == 1
    luckless.append(logging("luckless"))

    assert due.run(job=facts.JOB, worker="two", now=NOW + 90, seconds=30).handled == 1
    assert due.run(job=facts.JOB, worker="three", now=NOW + DAY, seconds=30) == due.Ran()

    assert logged(store, "luckless") == {"LAMP#a": 1}
    assert rows(store.client, "truth", kind="dead_letter") == []


def test_a_dead_letter_that_always_fails_is_stuck_until_a_person_retries_it(
    store: Store, luckless: list[Effect]
) -> None:
    light("LAMP#a", owed=False)
    handle(records(store))
    now = NOW + 60
    for attempt in range(due.FAILURES):
        assert due.run(job=facts.JOB, worker=f"run-{attempt}", now=now, seconds=30).failed == 1
        now = only(store.client, "dead_letter")["due_at"]
    (waiting,) = stuck.listed(limit=10)[0]
    job, row = waiting.trouble.job, waiting.row
    assert (job, row.due_ref, row.last_error) == ("react", "test.lit", "ValueError: no luck")
    assert waiting.story.details == {"fact": "test.lit", "row": "LAMP#a"}

    luckless.append(logging("luckless"))
    stuck.retry(stuck_id=waiting.id, by=OWNER, now=NOW + 30 * DAY)
    assert due.run(job=facts.JOB, worker="w", now=NOW + 30 * DAY, seconds=30).handled == 1

    assert logged(store, "luckless") == {"LAMP#a": 1}
    assert (stuck.listed(limit=10)[0], rows(store.client, "truth", kind="dead_letter")) == ([], [])


def test_a_letter_that_waits_is_not_written_anew_when_its_record_comes_again(
    store: Store, luckless: list[Effect]
) -> None:
    light("LAMP#a", owed=False)
    handle(records(store))
    assert due.run(job=facts.JOB, worker="one", now=NOW + 60, seconds=30).failed == 1

    handle(records(store)[:1], now=NOW + 70)

    letter = only(store.client, "dead_letter")
    assert (letter.get("attempts"), letter["due_at"]) == (1, NOW + 90)


def busy(*given: Any, **named: Any) -> Any:
    raise Busy


@pytest.mark.parametrize("owed", [True, False])
def test_a_reaction_that_met_too_many_others_waits_for_its_job_and_holds_up_no_record(
    store: Store, owed: bool
) -> None:
    facts.reaction("test.lit", name="busy")(busy)
    light("LAMP#a", owed=owed)

    assert handle(records(store)) == []

    waits = only(store.client, "test_lamp" if owed else "dead_letter")
    assert (waits["due_ref"], waits["due_at"]) == ("test.lit", NOW + (600 if owed else 60))


def test_a_store_out_of_reach_fails_the_record_of_a_fact_that_nothing_else_remembers(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts.reaction("test.lit", name="log")(logging("log"))
    light("LAMP#a", owed=False)
    (record,) = records(store)
    with monkeypatch.context() as down:
        for name in ("get", "transact", "apply"):
            down.setattr(table, name, busy)

        assert handle([record]) == [record["dynamodb"]["SequenceNumber"]]
    assert handle([record]) == [] and logged(store, "log") == {"LAMP#a": 1}


def test_one_failing_reaction_keeps_no_other_from_happening_and_only_it_is_tried_again(store: Store) -> None:
    luck = iter([failing, failing])

    def bad(lamp: Row, now: int) -> Sequence[Write]:
        return next(luck, logging("bad"))(lamp, now)

    facts.reaction("test.lit", name="bad")(bad)
    facts.reaction("test.lit", name="good")(logging("good"))
    light("LAMP#a")

    assert handle(records(store)) == []
    assert due.run(job=facts.JOB, worker="one", now=NOW + 600, seconds=30).failed == 1
    assert (logged(store, "bad"), logged(store, "good")) == ({}, {"LAMP#a": 1})
    assert due.run(job=facts.JOB, worker="two", now=NOW + 630, seconds=30).handled == 1

    assert logged(store, "bad") == logged(store, "good") == {"LAMP#a": 1}
    assert not {"due_at", "attempts", "last_error"} & only(store.client, "test_lamp").keys()


@pytest.fixture
def luckless(store: Store) -> list[Effect]:
    """A reaction that does whatever stands last in this list: fails, until told otherwise."""
    does: list[Effect] = [failing]

    def effect(lamp: Row, now: int) -> Sequence[Write]:
        return does[-1](lamp, now)

    facts.reaction("test.lit", name="luckless")(effect)
    return does


def run_until_stuck(store: Store) -> list[int]:
    """The job at every moment that something is due; answers the pauses between them."""
    pauses, now = [], NOW + facts.OWED_AFTER_S
    for attempt in range(due.FAILURES):
        assert due.run(job=facts.JOB, worker=f"run-{attempt}", now=now, seconds=30).failed == 1
        due_at = only(store.client, "test_lamp")["due_at"]
        pauses.append(due_at - now)
        now = due_at
    return pauses[:-1]


def test_a_reaction_that_always_fails_is_stuck_after_ten_attempts_until_a_person_retries_it(
    store: Store, luckless: list[Effect]
) -> None:
    light("LAMP#a")

    assert run_until_stuck(store) == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    (waiting,) = stuck.listed(limit=10)[0]
    stuck_id, job, row = waiting.id, waiting.trouble.job, waiting.row
    assert (job, row.pk, row.due_ref, row.attempts) == ("react", "LAMP#a", "test.lit", 10)
    assert row.last_error == "ValueError: no luck"
    assert due.run(job=facts.JOB, worker="w", now=NOW + 30 * DAY, seconds=30) == due.Ran()

    luckless.append(logging("luckless"))
    stuck.retry(stuck_id=stuck_id, by=OWNER, now=NOW + 30 * DAY)
    assert due.run(job=facts.JOB, worker="w", now=NOW + 30 * DAY, seconds=30).handled == 1

    assert logged(store, "luckless") == {"LAMP#a": 1}
    assert stuck.listed(limit=10)[0] == []
    assert "due_at" not in only(store.client, "test_lamp")


def test_a_record_that_comes_once_more_frees_what_was_stuck(store: Store, luckless: list[Effect]) -> None:
    light("LAMP#a")
    run_until_stuck(store)
    luckless.append(logging("luckless"))

    assert handle(records(store)[:1]) == []

    assert logged(store, "luckless") == {"LAMP#a": 1}
    assert stuck.listed(limit=10)[0] == []


# --- the whole way, through the stream ----------------------------------------------------------------------


@dataclass
class Mall:
    """The mall's server: takes in what is signed for it, by the clock on its wall, with the answer it is told."""

    now: int = NOW
    status: int = 200
    received: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    port: int = 0
    _server: ThreadingHTTPServer | None = None

    def opens(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler_for(self))
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def closes(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def take(self, headers: dict[str, str], body: bytes) -> int:
        """Verify as the specification's own library does."""
        try:
            message = Webhook(MALL_SECRET).verify(body, headers)
        except WebhookVerificationError as why:
            self.rejected.append(str(why))
            return 401
        if self.status == 200:
            self.received.append((headers["webhook-id"], message))
        return self.status


def handler_for(mall: Mall) -> type[BaseHTTPRequestHandler]:
    """What answers for this mall."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(mall.take({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Keep quiet."""

    return Handler


@pytest.fixture
def mall(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mall]:
    """A mall that is open, with the rooms' own reactions again."""
    monkeypatch.setattr(facts, "_reactions", ROOMS)
    there = Mall()

    class Clock(datetime):
        """What the library takes for the time."""

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(there.now, tz)

    monkeypatch.setattr("standardwebhooks.webhooks.datetime", Clock)
    there.opens()
    config.override(mall_webhook_url=f"http://127.0.0.1:{there.port}/hooks")
    yield there
    there.closes()


@dataclass
class Feed:
    """Both readers of the stream, fed by the pump, and the jobs; all by the mall's clock."""

    mall: Mall
    pump: Pump

    def drain(self) -> None:
        self.pump.drain()

    def deliver(self, *, now: int) -> due.Ran:
        self.mall.now = now
        return due.run(job=outgoing.JOB, worker=f"deliver-{now}", now=now, seconds=30)


@pytest.fixture
def feed(store: Store, mall: Mall) -> Feed:
    """The stream's two readers, from the beginning."""
    pump = Pump(client=store.client, streams=store.streams, table=store.truth)
    pump.add("react", lambda given, context: facts.handle_stream(given, now=mall.now))
    pump.add("deliver", lambda given, context: outgoing.handle_stream(given, now=mall.now))
    return Feed(mall=mall, pump=pump)


def bob_comes_by_a_visit() -> tuple[str, str, str]:
    """The link, its sharer, and Bob who signed in with the token of his visit."""
    alice = a_member()
    link = a_link(sharer_id=alice)
    token = visits.token_for(an_opening(link=link), now=NOW)
    bob = sessions.sign_in(
        proofs=[a_proof("bob")], program_id="demo", came_by=came_by(visit_token=token), now=NOW
    )
    return link.code, alice, bob.member.member_id


def told(mall: Mall, kind: str) -> list[dict[str, Any]]:
    return [message["data"] for _, message in mall.received if message["type"] == kind]


def test_a_sign_in_by_a_visit_is_counted_and_the_mall_is_told_once(
    store: Store, mall: Mall, feed: Feed
) -> None:
    code, alice, bob = bob_comes_by_a_visit()

    feed.drain()
    feed.drain()
    caught_up(now=NOW)
    assert feed.deliver(now=NOW + 3600) == due.Ran()

    day = only(store.client, "link_day")
    assert (day["pk"], day["new_members"], day["bound"]) == (f"LINK#{code}", 1, 1)
    registered = {one["member_id"]: one["link"] for one in told(mall, "member.registered")}
    assert registered == {alice: None, bob: code}
    bound = {
        "member_id": bob,
        "promoter_id": alice,
        "link": code,
        "bound_at": NOW,
        "expires_at": None,
    }
    assert told(mall, "member.bound") == [bound]
    assert len({webhook_id for webhook_id, _ in mall.received}) == len(mall.received) == 3
    assert mall.rejected == []
    assert {row["state"] for row in rows(store.client, "truth", kind="delivery")} == {"done"}
    assert not [row for row in rows(store.client, "truth") if "due_at" in row]


def test_without_a_mall_nothing_is_owed_to_it(store: Store, mall: Mall, feed: Feed) -> None:
    config.override(mall_webhook_url="")
    bob_comes_by_a_visit()

    feed.drain()

    assert (mall.received, rows(store.client, "truth", kind="delivery")) == ([], [])
    assert only(store.client, "link_day")["bound"] == 1


def test_a_mall_that_was_down_gets_what_it_missed(store: Store, mall: Mall, feed: Feed) -> None:
    mall.closes()
    member_id = a_member()
    feed.drain()
    row = only(store.client, "delivery")
    assert (row["attempts"], row["due_at"]) == (1, NOW + 30)
    assert row["last_error"] == "NotDelivered: NewConnectionError"
    assert feed.deliver(now=NOW + 30).failed == 1
    assert feed.deliver(now=NOW + 89) == due.Ran()

    mall.opens()
    assert feed.deliver(now=NOW + 90).handled == 1

    assert [one["member_id"] for one in told(mall, "member.registered")] == [member_id]
    assert mall.rejected == []
    row = only(store.client, "delivery")
    assert row["state"] == "done" and not {"due_at", "attempts", "last_error"} & row.keys()


def test_a_delivery_is_stuck_after_ten_attempts_until_a_person_retries_it(
    store: Store, mall: Mall, feed: Feed
) -> None:
    mall.status = 503
    member_id = a_member()
    feed.drain()
    for attempt in range(1, 10):
        row = only(store.client, "delivery")
        assert row["attempts"] == attempt
        assert feed.deliver(now=row["due_at"]).failed == 1
    now = mall.now
    (waiting,) = stuck.listed(limit=10)[0]
    found = waiting.row
    assert (waiting.trouble.job, found.attempts, found.last_error) == (
        "deliver",
        10,
        "NotDelivered: the mall answered 503",
    )
    assert [one.pk for one in outgoing.owed(limit=10).rows] == [found.pk]
    assert feed.deliver(now=now + 30 * DAY) == due.Ran()

    mall.status = 200
    stuck.retry(stuck_id=waiting.id, by=OWNER, now=now + 30 * DAY)
    assert feed.deliver(now=now + 30 * DAY).handled == 1

    assert told(mall, "member.registered")[0]["member_id"] == member_id
    assert (stuck.listed(limit=10)[0], outgoing.owed(limit=10).rows) == ([], [])
    assert mall.rejected == []


def test_a_message_in_chinese_is_signed_and_sent_again_as_it_was(
    store: Store, mall: Mall, feed: Feed
) -> None:
    table.apply(outgoing.owe("test.said", cause=["1"], data={"text": "您好"}, now=NOW)[0])
    mall.status = 503
    feed.drain()
    mall.status = 200

    assert feed.deliver(now=NOW + 3600).handled == 1

    ((webhook_id, message),) = mall.received
    assert webhook_id == only(store.client, "delivery")["pk"]
    assert message == {"type": "test.said", "timestamp": "2026-01-01T02:00:00Z", "data": {"text": "您好"}}


# --- errands ------------------------------------------------------------------------------------------------


def test_an_errand_sends_its_own_transactions_and_leaves_no_marker(store: Store) -> None:
    def run(lamp: Row, now: int) -> None:
        for name in ("one", "two"):
            log = Log(*Log.key(name, lamp), n=1)
            table.transact([table.create(log, refuse=KeyError), facts.unchanged(lamp)])

    facts.errand("test.lit", name="test.errand")(run)
    light("L1")

    assert handle(records(store)) == []

    assert (logged(store, "one"), logged(store, "two")) == ({"L1": 1}, {"L1": 1})
    assert not books(store.client).of("marker")


def test_an_errand_whose_row_changed_runs_again_with_the_row_as_it_is(store: Store) -> None:
    seen = []

    def run(lamp: Row, now: int) -> None:
        seen.append(lamp.state)
        if lamp.state == "on":
            switch("L1", "off")
        log = Log(*Log.key("end", lamp), n=len(seen))
        table.transact([table.create(log, refuse=KeyError), facts.unchanged(lamp)])

    facts.errand("test.lit", name="test.errand")(run)
    light("L1")

    assert handle(records(store)) == []
    assert (seen, logged(store, "end")) == (["on", "off"], {"L1": 2})


def test_an_errand_that_fails_stays_owed_and_its_name_is_taken(store: Store) -> None:
    def run(lamp: Row, now: int) -> None:
        raise ValueError("no luck")

    facts.errand("test.lit", name="test.errand")(run)
    light("L1")

    handle(records(store))

    assert only(store.client, "test_lamp")["due_ref"] == "test.lit"
    with pytest.raises(ValueError, match="already has"):
        facts.errand("test.lit", name="test.errand")(run)
