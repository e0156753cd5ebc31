"""Every job, and both readers of the stream, as a process that is killed after its writes: done once all the same.

A run that nobody kills shows how the table is to look when all has come to rest. Then the worker is killed after a
write; the others come, as they would; and the table must look the same and hold every rule. `make test` kills after
the first write, one in the middle and the last; ``FAULTS=all`` after each. The jobs that call the mall or release
and refund group-buys are killed on DynamoDB Local as well, between those calls: `test_killed_workers`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from chalicelib.core import deliveries, due, facts, ledger, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.members import leaving
from chalicelib.members import service as members
from chalicelib.orders import service as orders
from chalicelib.points import levels
from chalicelib.points.schemas import EditLevels
from chalicelib.reconciling import service as reconciling
from chalicelib.safety import service as safety
from chalicelib.withdrawals import payees
from chalicelib.withdrawals.schemas import TellPayee
from tests.factories import OWNER, a_word
from tests.faults.sweep import Picture, Stage, stage
from tests.faults.test_every_route import CHANGING, differences, holds
from tests.harness.faults import EVERY, PROCESS, note, recording
from tests.harness.killing import killed
from tests.harness.streams import event
from tests.harness.wire import WRITES
from tests.merging import HOME, UNION, sign_in, two_members
from tests.notifications import on_phone, tell
from tests.samples import PAYEE
from tests.world import person, world_wechat

__all__ = ["stage", "world_wechat"]

Scene = Callable[[Stage], None]
LEVELS = [
    {"name": "Leaf", "growth": 0},
    {
        "name": "Tree",
        "growth": 10,
        "yearly_growth": 8,
        "perks": {"gift": {"goods": "makeup_card", "what": {"count": 2}}},
    },
]


def as_it_is(stage: Stage) -> None:
    """The shop has something of this job's already."""


def after(*routes: str) -> Scene:
    """These routes were called, and what they told was reacted to."""

    def scene(stage: Stage) -> None:
        unread(*routes)(stage)
        stage.rest()

    return scene


def told(*routes: str) -> Scene:
    """These routes were called, and the stream has told it; no job has run since."""

    def scene(stage: Stage) -> None:
        for route in routes:
            answer = stage.call(route)
            assert answer.status < 300, answer.content
        while stage.reads():
            pass

    return scene


def unread(*routes: str) -> Scene:
    """These routes were called, and the stream has brought nothing of it."""

    def scene(stage: Stage) -> None:
        for route in routes:
            answer = stage.call(route)
            assert answer.status < 300, answer.content
        stage.read = len(stage.store.records())

    return scene


def a_level(stage: Stage) -> None:
    """Alice has grown into a level that gives something, and nobody has given it yet."""
    levels.edit(msgspec.convert({"levels": LEVELS}, EditLevels), by=OWNER, now=stage.now)
    grown: dict[str, Any] = {"book": "growth", "cause": "grown", "reason": "test", "lasts_months": None}
    table.transact(ledger.posted(owner=stage.world.alice, amount=15, now=stage.now, **grown))
    while stage.reads():
        pass


def a_years_level(stage: Stage) -> None:
    """Alice has grown into a level, and has what it gives."""
    a_level(stage)
    stage.rest()


def two_who_are_one(stage: Stage) -> None:
    """Somebody has proved to be two members."""
    two_members(now=stage.now)
    sign_in(HOME, UNION, now=stage.now)
    stage.rest()


def who_leaves(stage: Stage) -> None:
    """Somebody who has told where their money goes has asked to be erased."""
    frank = person("frank", now=stage.now).member_id
    payees.tell(msgspec.convert(PAYEE, TellPayee), member_id=frank, nonce=b"p" * 12, now=stage.now)
    leaving.ask(frank, forfeit=True, now=stage.now)
    stage.rest()


def who_has_left(stage: Stage) -> None:
    """Somebody is erased, and who they were to the bank is not forgotten yet."""
    who_leaves(stage)
    while any(row["kind"] == "leaving" and "due_at" in row for row in stage.rows()):
        due.run(job=leaving.JOB, worker="before", now=of_job(leaving.JOB, stage), seconds=30)
        stage.reads()


def a_purchase(stage: Stage) -> None:
    """An order of the mall is done, of which Alice has a commission."""
    [commission] = [
        row for row in stage.rows() if row.get("commission_id") == stage.world.names["commission_id"]
    ]
    orders.complete(commission["order_id"], now=stage.now)
    stage.rest()


def a_month(stage: Stage) -> None:
    """Alice's commission is settled in a month that is not over."""
    a_purchase(stage)
    due.run(job="settle", worker="before", now=of_job("settle", stage), seconds=30)
    stage.rest()


def a_message(stage: Stage) -> None:
    """Alice is to be told of a refund, and allows it."""
    answer = stage.call("POST /v1/me/subscriptions")
    assert answer.status < 300, answer.content
    on_phone(stage.world.weixin, taps=100, template_id="tpl")
    tell(stage.world.alice, now=stage.now)


def a_text(stage: Stage) -> None:
    """What Alice wrote waits to be judged."""
    thing = safety.Thing(room="members", ref=stage.world.alice, field="nickname")
    table.apply(
        safety.asked(
            "hello", "text", thing, members.writer(stage.world.alice, "demo", stage.now), now=stage.now
        )
    )


def a_night(stage: Stage) -> None:
    """The books of tomorrow are to be proved."""
    reconciling.plan(now=stage.now + DAY)


def a_word_to_the_mall(stage: Stage) -> None:
    """The mall is owed a message that the stream has not brought."""
    for write in deliveries.owe("group.filled", cause=["x"], data={"group_id": "grp_x"}, now=stage.now):
        table.apply(write)
    stage.read = len(stage.store.records())


PAYS = "POST /v1/sandbox/orders/{order_id}/payments/{payment_id}"
SCENES: dict[str, Scene] = {
    "activity": told("POST /v1/groups/{group_id}/activity", PAYS),
    "check_content": a_text,
    "checkin_remind": after("PUT /v1/checkins/{campaign_id}/reminder"),
    "close": unread("POST /v1/admin/groupbuys/{campaign_id}/close"),
    "close_month": after("PUT /v1/admin/points/settings", "POST /v1/admin/members/{member_id}/points"),
    "coupon_gifts": as_it_is,
    "coupon_grants": unread("POST /v1/admin/coupons/{template_id}/grants"),
    "coupon_packs": as_it_is,
    "coupons": as_it_is,
    "deliver": a_word_to_the_mall,
    "expire": as_it_is,
    "forget_payee": who_has_left,
    "group_ending": as_it_is,
    "leave": who_leaves,
    "level_gift": a_level,
    "level_year": a_years_level,
    "merge": two_who_are_one,
    "notify": a_message,
    "pay_out": as_it_is,
    "react": unread(PAYS),
    "reconcile": a_night,
    "refund": unread("POST /v1/admin/orders/{order_id}/refund"),
    "release": as_it_is,
    "release_hold": as_it_is,
    "settle": a_purchase,
    "unfinished": as_it_is,
    "volume": a_month,
}


PERHAPS = "'why': 'unknown'"
"""What a message says of itself whose sender was killed: nobody asks WeChat twice, and so nobody knows."""
ELSEWHERE = ("bill", "ship", "transfers")
"""What is due only where WeChat Pay pays, which the shop has not: `test_killed_gateways`."""


def of_job(job: str, stage: Stage) -> int:
    """When what is first due of a job is an hour old."""
    shards = [row for row in stage.rows() if row.get("due_shard", "").rpartition("#")[0] == job]
    return int(min(row["due_at"] for row in shards)) + HOUR


def test_every_job_has_its_kill() -> None:
    assert sorted([*SCENES, *ELSEWHERE]) == due.jobs()


@pytest.mark.parametrize("job", SCENES)
def test_a_killed_job_is_gone_on_with(job: str, stage: Stage) -> None:
    stage.restore()
    SCENES[job](stage)
    there = replace(stage, now=of_job(job, stage), ahead=2 * HOUR)
    there.keep()

    def work(now: int) -> None:
        due.run(job=job, worker=a_word("w"), now=now, seconds=30)

    assert every_kill(there, work) > 0


def all_that_routes_tell(stage: Stage) -> list[dict[str, Any]]:
    """Of every route that can be called after the others, what the stream brings; nobody has reacted."""
    stage.restore()
    for route in CHANGING:
        stage.call(route)
    new = stage.store.records(after=stage.read)
    stage.read += len(new)
    return new


def test_a_killed_reader_is_given_its_batch_again(stage: Stage) -> None:
    batch = all_that_routes_tell(stage)
    there = replace(stage)
    there.keep()

    assert every_kill(there, lambda now: facts.handle_stream(event(batch), now=now)) > 20


def test_a_killed_sender_is_given_its_batch_again(stage: Stage) -> None:
    batch = all_that_routes_tell(stage)
    facts.handle_stream(event(batch), now=stage.now)
    owed = stage.store.records(after=stage.read)
    stage.read += len(owed)
    there = replace(stage)
    there.keep()

    assert every_kill(there, lambda now: deliveries.handle_stream(event(owed), now=now)) > 2


Work = Callable[[int], object]


def every_kill(there: Stage, work: Work) -> int:
    """The work with a kill after its writes; how many it has."""
    there.restore()
    with recording(there.store) as calls:
        work(there.now)
    there.rest()
    clean, writes = there.picture(), sum(call in WRITES for call in calls)
    broken = {n: wrongs for n in chosen(writes) if (wrongs := met(there, work, n, clean))}
    assert broken == {}
    return writes


def chosen(writes: int) -> list[int]:
    """After which of them it is killed."""
    return sorted({1, (writes + 1) // 2, writes} if not EVERY else range(1, writes + 1))


def met(there: Stage, work: Work, n: int, clean: Picture) -> list[str]:
    """What is wrong when it was killed after this write and the next has gone on, when its lease was over."""
    there.restore()
    assert killed(there.store, lambda: work(there.now), after=n), "it made fewer writes"
    note(fault=PROCESS, call=n, came_through=False)
    work(there.now + due.LEASE_S)
    there.rest()
    wrongs = differences(clean, there.picture())
    told = any(PERHAPS in line for line in wrongs)
    return [*([] if told else wrongs), *holds(there)]
