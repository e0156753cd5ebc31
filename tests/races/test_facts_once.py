"""A reaction happens once for its fact, however often, late and by how many the stream's records are delivered.

What the counters should be is known from the members and bindings themselves. Two more conditions are tried on
kinds of this file: that the row is still as it was read, and that a debt is settled only if it is this fact's.
"""

import functools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core import config, due, facts, table
from chalicelib.core.clock import HOUR
from chalicelib.core.errors import Busy
from chalicelib.core.facts import Fact, Marker
from chalicelib.core.table import IntAttribute, Row, Write
from chalicelib.members import service as members
from chalicelib.sharing import attribution, visits
from chalicelib.sharing.models import Link
from tests.factories import NOW, PROGRAM, a_link, a_member, a_visit, a_word, an_openid, an_operator
from tests.harness.races import race, read_then_write
from tests.harness.streams import deliveries, event
from tests.races.arena import ROUGH, STORM, Arena, careless, insisting, overtaken, rounds

pytestmark = pytest.mark.engine

Record = dict[str, Any]
SECOND = 1


def what_happened(arena: Arena, links: Sequence[Link], *, newcomers: int, old: int) -> list[Record]:
    """Members who register by these links and older ones who come by them, as the stream tells it."""
    for n in range(newcomers):
        visit = a_visit(link=links[n % len(links)])
        members.find_or_register(
            proofs=[an_openid()],
            program_id=PROGRAM,
            now=NOW,
            came=members.Came(link=visit.link.code, visit_id=visit.visit_id),
            also=functools.partial(attribution.first_binding, visit=visit, now=NOW),
        )
    for n in range(old):
        attribution.bind(a_member(), visit=a_visit(link=links[n % len(links)]), now=NOW)
    return arena.records()


def reacting(batch: list[Record]) -> None:
    """Lambda with one batch: what failed comes again until nothing does."""

    def once() -> None:
        failed = facts.handle_stream(event(left), now=NOW)["batchItemFailures"]
        names = {one["itemIdentifier"] for one in failed}
        left[:] = [record for record in left if record["dynamodb"]["SequenceNumber"] in names]
        if left:
            raise Busy

    left = batch
    insisting(once)()


def dispatchers(records: list[Record], count: int) -> list[Callable[[], None]]:
    """Readers who are each given all records, in an order and with repeats of their own."""

    def read(seed: int) -> None:
        for batch in deliveries(records, dice=random.Random(seed), ordered=False, repeats=0.15):
            reacting(batch)

    return [functools.partial(read, seed) for seed in range(count)]


def workers(count: int, *, at: int) -> list[Callable[[], due.Ran]]:
    """Workers of the job for what the stream did not bring in time."""
    run = functools.partial(due.run, job=facts.JOB, now=at, seconds=30)
    return [insisting(functools.partial(run, worker=a_word("w"))) for _ in range(count)]


def check_each_reaction_once(arena: Arena) -> None:
    """Every link's counts are what members and bindings say; the mall was told of each once; nothing is owed."""
    came = Counter(row["came_link"] for row in arena.rows("member") if "came_link" in row)
    bound = Counter(row["link"] for row in arena.rows("binding"))
    for name, truth in (("bound", bound), ("new_members", came)):
        counted = Counter[str]()
        for row in arena.rows("link_day"):
            counted[row["pk"].removeprefix("LINK#")] += row.get(name, 0)
        assert +counted == truth, f"{name}: {sorted(counted.values())} of {sorted(truth.values())}"
    told = Counter(row["type"] for row in arena.rows("delivery"))
    assert told == {"member.registered": len(arena.rows("member")), "member.bound": sum(bound.values())}
    check_nothing_owed(arena)


def check_nothing_owed(arena: Arena) -> None:
    """No fact waits for a reaction."""
    for kind in ("member", "binding"):
        assert all("due_shard" not in row for row in arena.rows(kind)), "a fact is still owed"


@pytest.fixture(autouse=True)
def _mall(arena: Arena) -> None:
    config.override(mall_webhook_url="http://127.0.0.1:1")


def a_few_links() -> list[Link]:
    """Links of members who were there before."""
    return [a_link(sharer_id=a_member()) for _ in range(3)]


def test_the_harness_sees_a_reaction_twice_when_the_rule_is_a_read(arena: Arena) -> None:
    records = what_happened(arena, a_few_links()[:1], newcomers=1, old=0)
    [fact] = [one for one in map(facts.read, records) if one and one.name == "binding.made"]

    def write(seen: Row | None) -> Row:
        assert seen is None
        [counted] = visits.count_bound(table.get(Row, (fact.pk, fact.sk)) or Row(), NOW)
        return table.apply(counted)

    naive = read_then_write(lambda: table.get(Marker, Marker.key(fact, "naive")), write, parties=8)
    race(*[naive] * 8).expect(won=8)

    with pytest.raises(AssertionError, match=r"bound: \[8\] of \[1\]"):
        check_each_reaction_once(arena)


@rounds(STORM)
def test_dispatchers_at_once_let_each_reaction_happen_once(arena: Arena) -> None:
    records = what_happened(arena, a_few_links(), newcomers=4, old=3)

    with arena.hostile():
        outcomes = race(*dispatchers(records, 4), *workers(2, at=NOW + facts.OWED_AFTER_S))

    outcomes.expect(won=6)
    race(*workers(1, at=NOW + 2 * HOUR)).expect(won=1)  # what a storm made the job put off
    check_each_reaction_once(arena)


@rounds(STORM)
def test_what_the_stream_forgot_is_reacted_to_once_by_the_job(arena: Arena) -> None:
    config.override(due_shards=2)
    records = what_happened(arena, a_few_links(), newcomers=5, old=3)

    with arena.hostile():
        race(*workers(8, at=NOW + facts.OWED_AFTER_S)).expect(won=8)
        race(*workers(8, at=NOW + 2 * HOUR)).expect(won=8)
    race(*workers(1, at=NOW + 4 * HOUR)).expect(won=1)

    check_each_reaction_once(arena)
    race(*dispatchers(records, 2)).expect(won=2)  # it had only been slow
    check_each_reaction_once(arena)


# --- a kind that keeps changing while it is reacted to --------------------------------------------------------


class Source(Row, discriminator="race_source"):
    """Something that flips between two states and counts how often."""

    FACTS = {(None, "a"): "race.flipped", ("a", "b"): "race.flipped", ("b", "a"): "race.flipped"}

    n = IntAttribute()
    copied = IntAttribute(null=True)


class Mirror(Row, discriminator="race_mirror"):
    """What the reaction last saw."""

    n = IntAttribute()


def a_source(name: str) -> Source:
    """A source that owes its first fact."""
    return Source(name, "META", state="a", n=0, **facts.owed("race.flipped", pk=name, rev=1, now=NOW))


def flip(name: str) -> None:
    """Over to the other state, which owes the next fact."""
    seen = table.get(Source, (name, "META"))
    assert seen is not None
    state = Source.state.set("b" if seen.state == "a" else "a")
    actions = [state, Source.n.add(1), *facts.owing("race.flipped", pk=name, now=NOW)]
    as_seen = Source.rev == seen.rev
    table.apply(table.update(Source, (name, "META"), *actions, when=as_seen, refuse=Busy))


def mirror(row: Source, now: int) -> Sequence[Write]:
    """Shows the source on a row beside it."""
    return [table.upsert(Mirror, (row.pk, "MIRROR"), Mirror.n.set(row.n))]


def copy(row: Source, now: int) -> Sequence[Write]:
    """Shows the source on its own row."""
    return [table.update(Source, (row.pk, row.sk), Source.copied.set(row.n), refuse=Busy)]


@pytest.fixture(params=[mirror, copy])
def _shown(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(facts._reactions, "race.flipped", [])
    facts.reaction("race.flipped", name=request.param.__name__)(request.param)


def check_shown(arena: Arena) -> None:
    """What the reaction shows of a source is how it is, and never went back."""
    now = {row["pk"]: row["n"] for row in arena.rows("race_source")}
    mirrors = [one.new for one in arena.images("race_mirror") if one.new]
    copies = [one.new for one in arena.images("race_source") if one.new and "copied" in one.new]
    for pk, n in now.items():
        seen = [row["n"] for row in mirrors if row["pk"] == pk]
        seen += [row["copied"] for row in copies if row["pk"] == pk]
        assert seen == sorted(seen), f"{pk} was shown as {seen}"
        assert seen[-1] == n, f"{pk} is shown as {seen[-1]} and is {n}"


@rounds(ROUGH)
@pytest.mark.usefixtures("_shown")
def test_a_reaction_to_a_row_that_keeps_changing_ends_with_what_is_true(arena: Arena) -> None:
    names = [f"SOURCE#{n}" for n in range(4)]
    for name in names:
        table.apply(table.create(a_source(name)))

    def follow(seed: int) -> None:
        for _ in range(2):
            dispatchers(arena.records(), seed + 1)[seed]()

    with arena.hostile():
        flips = [insisting(functools.partial(flip, name)) for name in names for _ in range(3)]
        race(*flips, *[functools.partial(follow, seed) for seed in range(2)]).expect(won=14)
    follow(9)

    check_shown(arena)
    assert all("due_shard" not in row for row in arena.rows("race_source")), "a fact is still owed"


def react_overtaken_by_a_newer_fact(arena: Arena) -> None:
    """Between a reaction's read and its write the row flips once more, and that is reacted to."""
    table.apply(table.create(a_source("SOURCE#0")))
    first, second = (
        Fact(name="race.flipped", pk="SOURCE#0", sk="META", rev=rev, owed=True) for rev in (1, 2)
    )

    def meanwhile() -> None:
        flip("SOURCE#0")
        facts.dispatch(second, now=NOW)

    with overtaken(arena.client, "TransactWriteItems", by=meanwhile):
        facts.dispatch(first, now=NOW)


@pytest.mark.usefixtures("_shown")
def test_a_reaction_that_was_overtaken_reads_again(arena: Arena) -> None:
    react_overtaken_by_a_newer_fact(arena)

    check_shown(arena)
    assert len(arena.rows("marker")) == 2


@pytest.mark.usefixtures("_shown")
def test_a_late_fact_does_not_settle_a_newer_one(arena: Arena) -> None:
    """The reaction that settles is itself a change: it may only empty the slot of its own fact."""
    table.apply(table.create(a_source("SOURCE#0")))
    first = Fact(name="race.flipped", pk="SOURCE#0", sk="META", rev=1, owed=True)
    flip("SOURCE#0")

    facts.dispatch(first, now=NOW)

    [row] = arena.rows("race_source")
    assert row.get("owed_rev") == 2, "the newer fact is not owed any more"


def without(*kinds: type[Row]) -> Callable[[Write], Write]:
    """Rows of these kinds are written whatever is there."""
    return lambda write: replace(write, when=None) if isinstance(write.row, kinds) else write


def test_a_marker_without_its_condition_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    records = what_happened(arena, a_few_links(), newcomers=2, old=1)
    careless(monkeypatch, without(Marker))

    race(*dispatchers(records, 2)).expect(won=2)

    with pytest.raises(AssertionError):
        check_each_reaction_once(arena)


@pytest.mark.usefixtures("_shown")
def test_a_reaction_that_does_not_ask_whether_the_row_is_as_it_was_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "_guarded", lambda row, effects: list(effects))

    react_overtaken_by_a_newer_fact(arena)

    with pytest.raises(AssertionError, match="was shown as"):
        check_shown(arena)


@pytest.mark.usefixtures("_shown")
def test_a_debt_settled_without_a_look_whose_it_is_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless(monkeypatch, lambda write: replace(write, when=None) if _settles(write) else write)

    with pytest.raises(AssertionError, match="the newer fact is not owed"):
        test_a_late_fact_does_not_settle_a_newer_one(arena)


def _settles(write: Write) -> bool:
    return type(write.row) is Row and write.operation == "Update"


# --- what was wrong once --------------------------------------------------------------------------------------


def bound_moved_away_and_bound_again(arena: Arena) -> tuple[list[Link], list[Record]]:
    """One member's binding that was made, undone and made anew, and the three records of it."""
    links, member_id, by = a_few_links()[:2], a_member(), an_operator()
    attribution.bind(member_id, visit=a_visit(link=links[0]), now=NOW)
    attribution.move(member_id, promoter_id=None, reason="wrong", by=by, now=NOW + SECOND)
    attribution.bind(member_id, visit=a_visit(link=links[1]), now=NOW + 2 * SECOND)
    changes = arena.records()
    return links, [one for one in changes if one["dynamodb"]["NewImage"]["kind"] == {"S": "binding"}]


def test_a_binding_made_twice_counts_on_each_of_its_links(arena: Arena) -> None:
    links, records = bound_moved_away_and_bound_again(arena)

    failed = facts.handle_stream(event(records), now=NOW)

    days = {row["pk"].removeprefix("LINK#"): row["bound"] for row in arena.rows("link_day")}
    assert failed == {"batchItemFailures": []}
    assert days == {link.code: 1 for link in links}


def test_a_binding_made_twice_is_told_to_the_mall_and_then_owed_no_more(arena: Arena) -> None:
    _, records = bound_moved_away_and_bound_again(arena)

    facts.handle_stream(event(records), now=NOW)
    due.run(job=facts.JOB, worker="w", now=NOW + facts.OWED_AFTER_S + HOUR, seconds=30)

    [binding] = arena.rows("binding")
    assert "due_shard" not in binding


def test_a_binding_moved_before_its_reaction_is_told_and_so_is_the_move(arena: Arena) -> None:
    [first, second], member_id = a_few_links()[:2], a_member()
    attribution.bind(member_id, visit=a_visit(link=first), now=NOW)
    attribution.move(member_id, promoter_id=second.sharer_id, reason="asked", by=an_operator(), now=NOW)

    due.run(job=facts.JOB, worker="w", now=NOW + HOUR, seconds=30)  # the stream forgot it

    assert [row["type"] for row in arena.rows("delivery")].count("member.bound") == 2


def test_the_mall_is_told_of_a_binding_and_then_that_it_was_undone(arena: Arena) -> None:
    member_id = a_member()
    attribution.bind(member_id, visit=a_visit(link=a_few_links()[0]), now=NOW)
    records = arena.records()
    attribution.move(member_id, promoter_id=None, reason="wrong", by=an_operator(), now=NOW + SECOND)

    facts.handle_stream(event(records), now=NOW)

    told = sorted(row["type"] for row in arena.rows("delivery") if row["type"].endswith("bound"))
    assert told == ["member.bound", "member.unbound"]
