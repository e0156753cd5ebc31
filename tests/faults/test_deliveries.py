"""Deliveries when any storage call or the HTTP call fails: owed once, confirmed once, known by one webhook-id."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import urllib3

from chalicelib.core import config, deliveries, due, facts, table
from chalicelib.core.deliveries import Delivery
from infra.local.clients import Store
from tests.factories import NOW, a_member, books, emptied, only
from tests.harness.faults import Killed, each_fault
from tests.harness.rows import rows, stream_records
from tests.harness.streams import event

pytestmark = pytest.mark.usefixtures("direct")

HOUR_AND_MORE = 3700


class NotYet(Exception):
    """It is still owed."""


@dataclass
class Mall:
    """The mall's server as urllib3 meets it: takes every message in, or fails before or after that."""

    before: BaseException | None = None
    after: BaseException | None = None
    status: int = 200
    received: list[tuple[str, bytes]] = field(default_factory=list)

    def request(self, method: str, url: str, **given: Any) -> urllib3.HTTPResponse:
        """Stands in for `urllib3.request`."""
        if self.before is not None:
            raise self.before
        self.received.append((given["headers"]["webhook-id"], given["body"]))
        if self.after is not None:
            raise self.after
        return urllib3.HTTPResponse(status=self.status)

    def recovers(self) -> None:
        self.before = self.after = None
        self.status = 200


@dataclass
class World:
    """A mall, a delivery that is owed to it, and the time, which every run moves on."""

    mall: Mall
    now: int = NOW
    runs: int = 0


@pytest.fixture
def mall(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mall]:
    """A mall at the configured address."""
    config.override(mall_webhook_url="http://mall.example/hooks")
    there = Mall()
    monkeypatch.setattr(urllib3, "request", there.request)
    yield there


def owed_to(mall: Mall) -> World:
    emptied()
    mall.received.clear()
    mall.recovers()
    data = {"member_id": "mbr_1"}
    (owing,) = deliveries.owe("member.registered", cause=["mbr_1"], data=data, now=NOW)
    table.apply(owing)
    return World(mall=mall)


def run_the_job(world: World) -> None:
    """The job's next run, long after; a lease that a killed worker holds is over by then."""
    world.now += HOUR_AND_MORE
    world.runs += 1
    due.run(job=deliveries.JOB, worker=f"run-{world.runs}", now=world.now, seconds=30)
    raise_if_owed()


def read_the_stream(world: World) -> None:
    world.now += 1
    deliveries.handle_stream(event(stream_records(table.client(), "truth")), now=world.now)
    raise_if_owed()


def raise_if_owed() -> None:
    if rows(table.client(), "truth", kind="delivery", state="due"):
        raise NotYet


def was_delivered(store: Store, mall: Mall) -> None:
    row = only(store.client, "delivery")
    assert row["state"] == "done" and not {"due_at", "due_shard", "attempts", "last_error"} & row.keys()
    assert set(mall.received) == {(row["pk"], row["body"].encode())}


def test_what_is_owed_is_owed_once(store: Store, mall: Mall) -> None:
    def registered() -> World:
        emptied()
        a_member()
        return World(mall=mall)

    def check(world: World) -> None:
        there = books(store.client)
        assert there == Counter(member=1, identity=1, delivery=1, marker=1)
        assert "due_at" not in there.only("member")

    def react(world: World) -> None:
        world.now += HOUR_AND_MORE
        world.runs += 1
        ran = due.run(job=facts.JOB, worker=f"run-{world.runs}", now=world.now, seconds=30)
        if ran.failed:
            raise NotYet

    each_fault(react, client=table.client(), setup=registered, check=check, may_refuse=(NotYet,))


def test_the_job_delivers_whatever_storage_call_failed(store: Store, mall: Mall) -> None:
    each_fault(
        run_the_job,
        client=table.client(),
        setup=lambda: owed_to(mall),
        check=lambda world: was_delivered(store, mall),
        may_refuse=(NotYet,),
    )


def test_the_stream_delivers_whatever_storage_call_failed_and_the_job_finds_nothing_left(
    store: Store, mall: Mall
) -> None:
    def check(world: World) -> None:
        was_delivered(store, mall)
        sent = len(mall.received)
        run_the_job(world)
        assert len(mall.received) == sent

    each_fault(
        read_the_stream,
        client=table.client(),
        setup=lambda: owed_to(mall),
        check=check,
        may_refuse=(NotYet,),
    )


REFUSED = urllib3.exceptions.NewConnectionError(urllib3.connection.HTTPConnection("mall.example"), "refused")
LOST = urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("mall.example"), "/hooks", "timed out")
HTTP_FAULTS: dict[str, tuple[dict[str, Any], int]] = {
    "refused": ({"before": REFUSED}, 1),
    "reply-lost": ({"after": LOST}, 2),
    "500": ({"status": 500}, 2),
    "moved": ({"status": 302}, 2),
    "killed-before": ({"before": Killed("before")}, 1),
    "killed-after": ({"after": Killed("after")}, 2),
}


@pytest.mark.parametrize("name", HTTP_FAULTS)
@pytest.mark.parametrize("deliver", [run_the_job, read_the_stream])
def test_a_call_of_the_mall_that_failed_is_made_again_under_the_same_id(
    store: Store, mall: Mall, name: str, deliver: Any
) -> None:
    failing, sent = HTTP_FAULTS[name]
    world = owed_to(mall)
    for part, value in failing.items():
        setattr(mall, part, value)

    with pytest.raises((NotYet, Killed)):
        deliver(world)
    mall.recovers()
    run_the_job(world)

    was_delivered(store, mall)
    assert len(mall.received) == sent


def test_a_delivery_that_is_confirmed_is_never_sent_again(store: Store, mall: Mall) -> None:
    world = owed_to(mall)
    records = stream_records(table.client(), "truth")
    run_the_job(world)

    deliveries.handle_stream(event(records), now=world.now)
    row = only(store.client, "delivery")
    entry = due.Entry(
        pk=row["pk"], sk="META", kind="delivery", due_shard="deliver#0", due_at=NOW + 60, due_ref=""
    )
    deliveries.send(entry, world.now)

    assert len(mall.received) == 1
    assert isinstance(table.get(Delivery, Delivery.key(row["pk"])), Delivery)
