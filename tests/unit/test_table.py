"""Writes that name their own refusals: in which order they are judged, what is sent again, what is never sent."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import botocore.session
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st
from pynamodb.attributes import Attribute, UnicodeAttribute
from pynamodb.indexes import Index

from chalicelib.core import config, table
from chalicelib.core.errors import Busy, Conflict, Gone, NotFound
from chalicelib.core.table import IntAttribute, Row, Write
from infra.local.clients import Store


class Thing(Row, discriminator="test_thing"):
    """A row of these tests."""

    name = UnicodeAttribute(null=True)
    n = IntAttribute(null=True)


class Passing(Row, discriminator="test_passing"):
    """One on the other table."""

    TRAFFIC = True


def kinds(of: type[Row]) -> Iterator[type[Row]]:
    """All there are in the house."""
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


class Script:
    """A client that answers each call with the next line, and the last one for ever after."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers = list(answers)
        self.sent: list[dict[str, Any]] = []

    def send(self, **given: Any) -> dict[str, Any]:
        """Any operation."""
        self.sent.append(given)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            raise answer
        return {"Attributes": {"pk": {"S": "p"}, "sk": {"S": "s"}, "kind": {"S": "test_thing"}}}

    transact_write_items = put_item = update_item = delete_item = send


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def monotonic(self) -> float:
        """As time.monotonic."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """As time.sleep."""
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(table, "time", time)
    return time


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, clock: Time) -> Iterator[Callable[..., Script]]:
    """Let the store answer by a script."""

    def scripted(*answers: Exception | None) -> Script:
        script = Script(*answers)
        monkeypatch.setattr(table, "_client", script)
        return script

    yield scripted
    table.reset()


def cancelled(*codes: str, item: dict[str, Any] | None = None) -> ClientError:
    """A transaction that was refused for these reasons, write by write."""
    old = {"Item": item} if item else {}
    reasons = [{"Code": code, **(old if code == FAILED else {})} for code in codes]
    error = {"Code": "TransactionCanceledException", "Message": "cancelled"}
    return ClientError({"Error": error, "CancellationReasons": reasons}, "TransactWriteItems")


def refused(code: str, item: dict[str, Any] | None = None) -> ClientError:
    """A single call that was refused."""
    response: Any = {"Error": {"Code": code, "Message": code}, **({"Item": item} if item else {})}
    return ClientError(response, "UpdateItem")


OK, FAILED, CONFLICT = "None", "ConditionalCheckFailed", "TransactionConflict"
FIRST: dict[str, Any] = {
    "pk": {"S": "NEW"},
    "sk": {"S": "META"},
    "kind": {"S": "test_thing"},
    "rev": {"N": "3"},
    "v": {"N": "1"},
    "name": {"S": "the first"},
}


def three() -> list[Write]:
    """Two changes and, last, a row whose key is its uniqueness."""
    changed = [
        table.update(Thing, (key, "META"), Thing.n.add(1), refuse=refuse)
        for key, refuse in (("A", NotFound), ("B", Gone))
    ]
    return [*changed, table.create(Thing("NEW", "META"))]


# --- judging a transaction ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reasons", "refusal"),
    [
        ((FAILED, OK, OK), NotFound),
        ((OK, FAILED, OK), Gone),
        ((FAILED, FAILED, OK), NotFound),
        ((FAILED, CONFLICT, OK), NotFound),
        ((OK, OK, FAILED), table.Taken),
        ((FAILED, FAILED, FAILED), table.Taken),
        ((CONFLICT, FAILED, FAILED), table.Taken),
        ((FAILED, CONFLICT, FAILED), table.Taken),
    ],
)
def test_the_own_natural_key_is_judged_first_and_then_the_first_condition(
    reasons: tuple[str, ...], refusal: type[Exception], play: Callable[..., Script]
) -> None:
    script = play(cancelled(*reasons, item=FIRST))

    with pytest.raises(refusal):
        table.transact(three())
    assert len(script.sent) == 1


@pytest.mark.parametrize(
    "reasons",
    [
        (CONFLICT, OK, OK),
        (OK, CONFLICT, OK),
        (OK, OK, CONFLICT),
        (CONFLICT, FAILED, OK),
        ("ProvisionedThroughputExceeded", FAILED, OK),
        (OK, "ThrottlingError", OK),
    ],
)
def test_a_conflict_before_the_first_failed_condition_is_sent_again(
    reasons: tuple[str, ...], play: Callable[..., Script]
) -> None:
    script = play(cancelled(*reasons), None)

    table.transact(three())

    assert len(script.sent) == 2 and script.sent[0] == script.sent[1]


def test_the_refusal_of_a_natural_key_brings_the_first_answer(play: Callable[..., Script]) -> None:
    play(cancelled(OK, OK, FAILED, item=FIRST))

    with pytest.raises(table.Taken) as taken:
        table.transact(three())
    assert taken.value.row.name == "the first" and taken.value.row.rev == 3


@pytest.mark.parametrize(("item", "seen"), [(FIRST, "the first"), (None, "nothing")])
def test_a_refusal_is_read_off_the_row_that_refused(
    item: dict[str, Any] | None, seen: str, play: Callable[..., Script]
) -> None:
    play(cancelled(FAILED, item=item))
    told = table.update(
        Thing,
        ("NEW", "META"),
        Thing.n.add(1),
        refuse=lambda row: Conflict(saw=row.name if row is not None else "nothing"),
    )

    with pytest.raises(Conflict) as refusal:
        table.transact([told])
    assert refusal.value.details == {"saw": seen}


def test_a_refusal_that_is_nobodys_is_an_error(play: Callable[..., Script]) -> None:
    play(cancelled(OK, "ValidationError", OK))

    with pytest.raises(ClientError):
        table.transact(three())


def test_before_it_is_sent_again_a_peek_may_refuse(play: Callable[..., Script]) -> None:
    script = play(cancelled(CONFLICT, OK, OK))

    def peek() -> None:
        raise Gone

    with pytest.raises(Gone):
        table.transact(three(), peek=peek)
    assert len(script.sent) == 1


# --- patience -----------------------------------------------------------------------------------------------


def test_after_fourteen_tries_it_is_busy(
    play: Callable[..., Script], monkeypatch: pytest.MonkeyPatch, clock: Time
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: low)
    script = play(cancelled(CONFLICT, OK, OK))

    with pytest.raises(Busy):
        table.transact(three())
    assert len(script.sent) == 14


def test_pauses_double_to_a_second_and_end_before_five(
    play: Callable[..., Script], monkeypatch: pytest.MonkeyPatch, clock: Time
) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    play(cancelled(CONFLICT, OK, OK))

    with pytest.raises(Busy):
        table.transact(three())
    assert clock.waits == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1, 1, 1]


@pytest.mark.parametrize("code", sorted(table._AGAIN))
def test_a_single_write_is_sent_again_too(code: str, play: Callable[..., Script]) -> None:
    script = play(refused(code), refused(code), None)

    table.apply(three()[0])

    assert len(script.sent) == 3


@pytest.mark.parametrize(
    "unreachable",
    [
        EndpointConnectionError(endpoint_url="x"),
        ConnectTimeoutError(endpoint_url="x"),
        ReadTimeoutError(endpoint_url="x"),
    ],
)
def test_a_store_out_of_reach_is_busy_at_once(unreachable: Exception, play: Callable[..., Script]) -> None:
    script = play(unreachable)

    with pytest.raises(Busy):
        table.apply(three()[0])
    assert len(script.sent) == 1


def test_an_error_of_ours_is_not_sent_again(play: Callable[..., Script]) -> None:
    script = play(refused("ValidationException"))

    with pytest.raises(ClientError):
        table.apply(three()[0])
    assert len(script.sent) == 1


# --- what is never sent -------------------------------------------------------------------------------------


def things(count: int) -> list[Write]:
    """Rows with keys of their own."""
    return [table.create(Thing("MANY", f"{n:03d}")) for n in range(count)]


@pytest.mark.parametrize("count", [0, 101])
def test_a_transaction_takes_one_to_a_hundred_writes(count: int, play: Callable[..., Script]) -> None:
    script = play(None)

    with pytest.raises(ValueError, match=f"1 to 100 writes, not {count}"):
        table.transact(things(count))
    assert script.sent == []


def test_a_hundred_is_not_too_many(store: Store) -> None:
    table.transact(things(100))

    assert len(table.query_all(Thing, "MANY")) == 100


def test_a_key_stands_once_in_a_transaction(play: Callable[..., Script]) -> None:
    script = play(None)
    twice = [
        table.create(Thing("A", "META")),
        table.check(Thing, ("A", "META"), when=Thing.n == 1, refuse=Gone),
    ]

    with pytest.raises(ValueError, match="stands twice"):
        table.transact(twice)
    assert script.sent == []


def test_the_same_key_on_the_other_table_is_another(store: Store) -> None:
    table.transact([table.create(Thing("A", "META")), table.create(Passing("A", "META"))])

    assert isinstance(table.get(Thing, ("A", "META")), Thing)
    assert isinstance(table.get(Passing, ("A", "META")), Passing)


@given(st.floats() | st.booleans() | st.text() | st.decimals() | st.binary())
def test_a_whole_number_is_nothing_else(value: Any) -> None:
    for use in (Thing.n.set, Thing.n.add, lambda wrong: Thing.n == wrong):
        with pytest.raises(TypeError, match="n is a whole number"):
            use(value)


@given(st.integers(min_value=-(10**37), max_value=10**37))
def test_a_whole_number_comes_back_as_it_was(value: int) -> None:
    assert Thing.n.deserialize(Thing.n.serialize(value)) == value


@pytest.mark.parametrize("value", [1.0, True, "1"])
def test_a_row_with_half_a_number_is_never_sent(value: Any, play: Callable[..., Script]) -> None:
    script = play(None)

    with pytest.raises(TypeError, match="n is a whole number"):
        table.apply(table.create(Thing("A", "META", n=value)))
    assert script.sent == []


# --- single writes, on the store ----------------------------------------------------------------------------

KEY = ("THING#1", "META")


def test_a_row_is_created_once(store: Store) -> None:
    table.apply(table.create(Thing(*KEY, name="first")))

    with pytest.raises(table.Taken) as taken:
        table.apply(table.create(Thing(*KEY, name="second")))
    assert taken.value.row.name == "first"
    kept = table.get(Thing, KEY)
    assert kept is not None and (kept.name, kept.rev, kept.v) == ("first", 1, 1)


def test_an_update_counts_the_revision_and_answers_with_the_row_as_it_is(store: Store) -> None:
    table.apply(table.create(Thing(*KEY, n=1)))

    changed = table.apply(table.update(Thing, KEY, Thing.n.add(4), refuse=NotFound))

    assert isinstance(changed, Thing) and (changed.n, changed.rev) == (5, 2)


def test_an_update_makes_no_row(store: Store) -> None:
    with pytest.raises(NotFound):
        table.apply(table.update(Thing, KEY, Thing.n.set(1), refuse=NotFound))
    assert table.get(Thing, KEY) is None


def test_a_condition_of_ones_own_is_added_to_the_others(store: Store) -> None:
    table.apply(table.create(Thing(*KEY, n=1)))
    change = table.update(Thing, KEY, Thing.n.add(1), when=Thing.n >= 1, refuse=Gone).also(Thing.n < 2)

    table.apply(change)
    with pytest.raises(Gone):
        table.apply(change)


def test_an_upsert_begins_a_row_and_goes_on_with_it(store: Store) -> None:
    more = table.upsert(
        Thing, KEY, Thing.n.add(1), when=Thing.pk.does_not_exist() | (Thing.n < 2), refuse=Gone
    )

    begun, again = table.apply(more), table.apply(more)

    assert isinstance(begun, Thing) and isinstance(again, Thing)
    assert [(row.n, row.rev, row.v) for row in (begun, again)] == [(1, 1, 1), (2, 2, 1)]
    with pytest.raises(Gone):
        table.apply(more)


def test_a_deleted_row_is_answered_as_it_was_and_deleted_once(store: Store) -> None:
    table.apply(table.create(Thing(*KEY, name="gone")))

    assert getattr(table.apply(table.delete(Thing, KEY, refuse=NotFound)), "name", "") == "gone"
    with pytest.raises(NotFound):
        table.apply(table.delete(Thing, KEY, refuse=NotFound))


def test_a_refused_transaction_changes_nothing(store: Store) -> None:
    table.apply(table.create(Thing(*KEY, n=1)))
    writes = [
        table.create(Thing("OTHER", "META")),
        table.check(Thing, KEY, when=Thing.n == 2, refuse=Gone),
    ]

    with pytest.raises(Gone):
        table.transact(writes)
    assert table.get(Thing, ("OTHER", "META")) is None


# --- reads --------------------------------------------------------------------------------------------------


def test_many_are_read_in_the_order_asked_for(store: Store) -> None:
    table.transact([table.create(Thing("A", "1", n=1)), table.create(Passing("A", "1"))])

    found = table.get_many(
        [(Thing, ("A", "2")), (Thing, ("A", "1")), (Passing, ("A", "1")), (Thing, ("A", "1"))]
    )

    assert [type(row) for row in found] == [type(None), Thing, Passing, Thing]


def test_a_page_says_where_the_next_begins(store: Store) -> None:
    table.transact(things(5))

    first = table.query(Thing, "MANY", limit=2, newest_first=True)
    second = table.query(Thing, "MANY", limit=5, newest_first=True, after=first.next_key)

    assert [row.sk for row in first.rows] == ["004", "003"]
    assert [row.sk for row in second.rows] == ["002", "001", "000"] and second.next_key is None


def test_a_range_of_a_partition(store: Store) -> None:
    table.transact(things(12))

    assert [row.sk for row in table.query_all(Thing, "MANY", Thing.sk.startswith("01"))] == ["010", "011"]


def test_a_members_list_is_newest_first_and_only_theirs(store: Store) -> None:
    rows = [Thing("T", str(n), owner=owner, listed_at=f"{n:03d}") for n, owner in enumerate(("a", "b", "a"))]
    table.transact([table.create(row) for row in rows])

    assert [row.sk for row in table.owned("a", limit=10).rows] == ["2", "0"]
    assert table.owned("nobody", limit=10).rows == []


def test_a_list_says_what_is_true_now_and_not_what_the_index_remembers(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Thing("T", "kept", owner="a", listed_at="1"), Thing("T", "given away", owner="b", listed_at="2")]
    table.transact([table.create(row) for row in rows])
    late = [{"pk": "T", "sk": sk} for sk in ("given away", "deleted", "kept")]
    monkeypatch.setattr(table, "index", lambda *_, **__: (late, None))

    assert [row.sk for row in table.owned("a", limit=10).rows] == ["kept"]


def test_a_kind_is_known_by_its_name() -> None:
    assert table.kind_named("test_thing") is Thing
    assert table.kind_named("never_heard_of") is None


def test_a_kind_may_say_more_than_attributes() -> None:
    class Named(Thing, discriminator="test_named"):
        LONGEST: ClassVar[int] = 7

        def serialize(self, *given: Any, **more: Any) -> Any:
            return super().serialize(*given, **more)

    assert Named("A", "B", n=1).serialize()["n"] == {"N": "1"}
    assert list(Named.get_attributes()) == list(Thing.get_attributes())


def test_every_kind_is_what_pynamodb_would_have_made_of_it() -> None:
    def as_pynamodb_says(kind: type[Row]) -> list[tuple[str, Any]]:
        return inspect.getmembers(kind, lambda member: isinstance(member, Attribute))

    found = list(kinds(Row))

    assert len(found) > 100
    assert [kind for kind in found if list(kind.get_attributes().items()) != as_pynamodb_says(kind)] == []
    assert [
        kind for kind in found if inspect.getmembers(kind, lambda member: isinstance(member, Index))
    ] == []
    assert {(kind._hash_keyname, kind._range_keyname) for kind in found} == {("pk", "sk")}


# --- the client ---------------------------------------------------------------------------------------------


class Stopped(Exception):
    """A request that was made and not sent."""


def requested(client: Any) -> tuple[str, str]:
    """Where a request goes, and for whom it is signed."""
    sent: list[Any] = []

    def stop(request: Any, **_: Any) -> None:
        sent.append(request)
        raise Stopped

    client.meta.events.register_first("before-send", stop)
    with pytest.raises(Stopped):
        client.get_item(TableName="truth", Key={"pk": {"S": "a"}, "sk": {"S": "b"}})
    signed = sent[0].headers["Authorization"]
    signed = signed.decode() if isinstance(signed, bytes) else signed
    return sent[0].url, signed.partition(",")[0].partition("/")[2]


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "cn-northwest-1", "cn-north-1"])
def test_our_client_asks_the_same_place_in_the_same_name_as_one_as_it_comes(region: str) -> None:
    config.override(region=region)
    as_it_comes = botocore.session.get_session().create_client("dynamodb", region_name=region)

    assert requested(table._new_client()) == requested(as_it_comes)


def test_our_client_has_one_user_agent_and_no_rules_to_follow_for_every_call() -> None:
    ours = table._new_client()

    assert ours.meta.config.user_agent.startswith("liebian")
    assert ours._ruleset_resolver is None
