"""What the pump must keep over every local store; written once, run on the embedded store and on the engine.

A test class inherits `PumpContract` and gives the fixture ``subject``. The stream may hold other tests' records:
readers want only those under this test's ``fresh`` key.
"""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from infra.local import pump
from infra.local.clients import Store
from tests.store_contract import key

Wanted = Callable[[dict[str, Any]], bool]
Write = Callable[..., None]


def names(event: dict[str, Any]) -> list[str]:
    """Which rows an event is about."""
    return [record["dynamodb"]["Keys"]["sk"]["S"] for record in event["Records"]]


class Listener:
    """A handler that remembers every call and fails as it is told."""

    def __init__(self, *, refuses: str = "", raises_on: str = "", times: int = 1000) -> None:
        self.calls: list[list[str]] = []
        self.records: list[dict[str, Any]] = []
        self._refuses = refuses
        self._raises_on = raises_on
        self._times = times

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """Handle a batch as Lambda would bring it."""
        self.calls.append(names(event))
        self.records += event["Records"]
        if self._times and self._raises_on in names(event):
            self._times -= 1
            raise ValueError(self._raises_on)
        if self._times and self._refuses in names(event):
            self._times -= 1
            at = names(event).index(self._refuses)
            number = event["Records"][at]["dynamodb"]["SequenceNumber"]
            return {"batchItemFailures": [{"itemIdentifier": number}]}
        return {"batchItemFailures": []}


class PumpContract:
    """Readers over the stream of a store."""

    @pytest.fixture(autouse=True)
    def no_waiting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Retries at once."""
        monkeypatch.setattr(pump, "LONGEST_WAIT_S", 0)

    @pytest.fixture
    def write(self, subject: Store, fresh: str) -> Write:
        """Put rows under this test's key."""

        def put_rows(*sks: str, **fields: Any) -> None:
            for sk in sks:
                subject.client.put_item(TableName="truth", Item={**key(fresh, sk), **fields})

        return put_rows

    @pytest.fixture
    def mine(self, fresh: str) -> Wanted:
        """Only this test's records."""
        return lambda record: bool(record["dynamodb"]["Keys"]["pk"]["S"] == fresh)

    def test_records_come_in_order_and_once(self, subject: Store, write: Write, mine: Wanted) -> None:
        listener = Listener()
        fed = pump_over(subject)
        fed.add("listener", listener, wanted=mine)
        rows = [f"{n:03}" for n in range(130)]

        write(*rows)
        fed.drain()
        write("LAST")
        fed.drain()

        assert sum(listener.calls, []) == [*rows, "LAST"]
        assert max(len(call) for call in listener.calls) <= pump.BATCH

    def test_two_readers_do_not_know_of_each_other(self, subject: Store, write: Write, mine: Wanted) -> None:
        picky, calm = Listener(refuses="B", times=3), Listener()
        fed = pump_over(subject, start="LATEST")
        fed.add("picky", picky, wanted=mine)
        fed.add("calm", calm, wanted=lambda record: mine(record) and names({"Records": [record]}) != ["A"])

        write("A", "B", "C")
        fed.drain()

        assert calm.calls == [["B", "C"]]
        assert picky.calls == [["A", "B", "C"], *[["B", "C"]] * 3]

    def test_a_partial_failure_is_tried_again_from_the_record_that_failed(
        self, subject: Store, write: Write, mine: Wanted
    ) -> None:
        listener = Listener(refuses="B", times=2)
        fed = pump_over(subject, start="LATEST")
        fed.add("listener", listener, wanted=mine)

        write("A", "B", "C")
        fed.drain()

        assert listener.calls == [["A", "B", "C"], ["B", "C"], ["B", "C"]]

    def test_a_record_that_keeps_failing_is_given_up_and_the_rest_goes_on(
        self, subject: Store, write: Write, mine: Wanted
    ) -> None:
        given_up: list[dict[str, Any]] = []
        listener = Listener(refuses="B")
        fed = pump_over(subject, on_give_up=given_up.append, start="LATEST")
        fed.add("listener", listener, wanted=mine)

        write("A", "B", "C")
        fed.drain()

        assert names({"Records": given_up}) == ["B"]
        assert listener.calls == [["A", "B", "C"], *[["B", "C"]] * pump.RETRIES, ["C"]]

    def test_a_handler_that_raises_loses_only_the_record_it_raises_on(
        self, subject: Store, write: Write, mine: Wanted
    ) -> None:
        given_up: list[dict[str, Any]] = []
        listener = Listener(raises_on="C")
        fed = pump_over(subject, on_give_up=given_up.append, start="LATEST")
        fed.add("listener", listener, wanted=mine)

        write("A", "B", "C", "D")
        fed.drain()

        assert names({"Records": given_up}) == ["C"]
        assert listener.calls.count(["C"]) == pump.RETRIES + 1
        assert ["A", "B"] in listener.calls
        assert listener.calls[-1] == ["D"]

    def test_records_have_the_shape_that_lambda_gives_them(
        self, subject: Store, write: Write, mine: Wanted
    ) -> None:
        listener = Listener()
        fed = pump_over(subject)
        fed.add("listener", listener, wanted=mine)

        write("A", raw={"B": b"\x00\xff"}, many={"BS": [b"\x01"]}, deep={"M": {"l": {"L": [{"B": b"\x02"}]}}})
        fed.drain()

        (record,) = listener.records
        change = record["dynamodb"]
        assert change["NewImage"]["raw"] == {"B": "AP8="}
        assert change["NewImage"]["many"] == {"BS": ["AQ=="]}
        assert change["NewImage"]["deep"] == {"M": {"l": {"L": [{"B": "Ag=="}]}}}
        assert change["StreamViewType"] == "NEW_AND_OLD_IMAGES"
        assert isinstance(change["ApproximateCreationDateTime"], float)
        assert (record["eventSource"], record["awsRegion"]) == ("aws:dynamodb", "us-east-1")
        assert ":table/truth/stream/" in record["eventSourceARN"]
        assert record["eventName"] == "INSERT"
        assert record["eventID"]

    def test_what_a_handler_writes_is_drained_too(self, subject: Store, write: Write, mine: Wanted) -> None:
        seen: list[str] = []

        def react(event: dict[str, Any], context: Any) -> None:
            for name in names(event):
                seen.append(name)
                if len(name) < 4:
                    write(name + "A")

        fed = pump_over(subject)
        fed.add("reactions", react, wanted=mine)
        write("A")

        fed.drain()

        assert seen == ["A", "AA", "AAA", "AAAA"]

    def test_a_pump_from_the_latest_record_sees_only_what_comes(
        self, subject: Store, write: Write, mine: Wanted
    ) -> None:
        listener = Listener()
        write("OLD")
        fed = pump_over(subject, start="LATEST")
        fed.add("listener", listener, wanted=mine)

        write("NEW")
        fed.drain()

        assert listener.calls == [["NEW"]]

    def test_it_runs_until_it_is_stopped(self, subject: Store, write: Write, mine: Wanted) -> None:
        stop, heard = threading.Event(), threading.Event()
        fed = pump_over(subject)
        fed.add("listener", lambda event, context: heard.set(), wanted=mine)
        running = threading.Thread(target=fed.run, args=(stop, 0.01))
        running.start()

        write("A")

        assert heard.wait(10)
        stop.set()
        running.join(10)
        assert not running.is_alive()


def pump_over(store: Store, **how: Any) -> pump.Pump:
    """A pump over the truth table of ``store``."""
    return pump.Pump(client=store.client, streams=store.streams, table=store.truth, **how)
