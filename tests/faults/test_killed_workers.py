"""Jobs whose process is killed, for real, after each of its writes: the next worker leaves one effect, no litter.

The worker is a forked child on DynamoDB Local, so that nothing of it is left but what it wrote: killed after a read
it is as if killed after the write before. SIGKILL lets no ``finally`` run. It uses its parent's connections, which
is well: the parent waits, and it dies between two calls.
The mall's door is a call like the store's: killed before it, and after it was opened.
"""

import functools
import logging
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3

from chalicelib.core import config, deliveries, due, facts, table
from chalicelib.core.clock import HOUR
from chalicelib.core.due import LEASE_S
from chalicelib.core.facts import OWED_AFTER_S
from chalicelib.groupbuys import ending, holding
from chalicelib.groupbuys.models import Campaign
from chalicelib.orders import service as orders
from tests.factories import NOW, a_word
from tests.faults.test_groupbuys import Mall, a_mall_that_listens
from tests.groupbuys import (
    AFTERWARDS,
    JOBS,
    a_campaign,
    books_of,
    broken,
    broken_images,
    open_paid_group,
    opened,
    react,
    take,
)
from tests.harness.faults import EVERY, PROCESS, note
from tests.harness.wire import WRITES, Call, Params, wrapped
from tests.races.arena import Arena

pytestmark = [pytest.mark.engine, pytest.mark.alone("groupbuys", "orders")]
STEP = 1 if EVERY else 3
"""`make faults` kills after each call, `make test` after each third."""


# --- a worker in a process of its own -----------------------------------------------------------------------


@contextmanager
def counted(client: Any, dies: Callable[[], None]) -> Iterator[None]:
    """After every write to the store, and before and after every call of the mall, ``dies`` may be the end."""

    def layer(below: Call, operation: str, params: Params) -> Params:
        try:
            return below(operation, params)
        finally:
            if operation in WRITES:
                dies()

    real = urllib3.request

    @functools.wraps(real)
    def request(*args: Any, **how: Any) -> Any:
        dies()
        try:
            return real(*args, **how)
        finally:
            dies()

    with wrapped(client, layer), pytest.MonkeyPatch.context() as patch:
        patch.setattr(urllib3, "request", request)
        yield


def works(job: str, *, now: int) -> None:
    """A worker's run of a job."""
    due.run(job=job, worker=a_word("w"), now=now, seconds=30)


def killed(job: str, *, after: int, now: int) -> bool:
    """A worker's process that is killed with its ``after``-th call; false when it came to its end before."""
    child = os.fork()
    if child == 0:
        try:
            _works_until(job, after, now)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    if died:
        note(fault=PROCESS, call=after, came_through=False)
    return died


def _works_until(job: str, after: int, now: int) -> None:
    logging.disable()
    left = iter(range(after, 0, -1))

    def dies() -> None:
        if next(left, 1) == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    with counted(table.client(), dies):
        works(job, now=now)


@dataclass(frozen=True, kw_only=True)
class Play:
    """A job, what it is to do, and how it is when it is done."""

    job: str
    scene: Callable[[], Campaign]
    effect: Callable[[Arena, Campaign, int], None]

    def is_played(self, empty: Arena, *, after: int) -> bool:
        """Killed with that call, followed by another; false when there was no such call any more."""
        arena, campaign, now = empty.anew(), self.scene(), later(after)
        react(arena, now=NOW)
        died = killed(self.job, after=after, now=now)
        assert broken(arena, campaign.campaign_id) == []
        # The lease of who was killed runs out by time alone.
        works(self.job, now=now + LEASE_S)
        self.effect(arena, campaign, now + 2 * LEASE_S)
        return died


def later(after: int) -> int:
    """When this kill is played: no lease of another is left."""
    return AFTERWARDS + after * HOUR


def every_kill(arena: Arena, play: Play) -> int:
    """The play with a kill after each of its calls, or each third; how many there were."""
    after = 1
    while play.is_played(arena, after=after):
        after += STEP
    return after - 1


# --- release, expire, refund --------------------------------------------------------------------------------


def is_over(**wanted: Any) -> Callable[[Arena, Campaign, int], None]:
    """So it is, and when the other jobs have run as well nothing is left behind."""

    def effect(arena: Arena, campaign: Campaign, now: int) -> None:
        books = books_of(arena, campaign.campaign_id)
        found = {
            "orders": Counter(row["state"] for row in books.orders.values()),
            "groups": Counter(row["state"] for row in books.groups.values()),
            "refunds": Counter(row["state"] for row in books.refunds),
            "left": sum(row["left"] for row in books.stock),
        }
        assert {name: found[name] for name in wanted} == wanted
        comes_to_rest(arena, campaign, now)

    return effect


def comes_to_rest(arena: Arena, campaign: Campaign, now: int) -> None:
    """The other jobs run as well, and nothing is left behind, nor was any rule ever broken."""
    for job in JOBS:
        # By then also what the stream has not brought is due.
        works(job, now=now + OWED_AFTER_S)
    works(facts.JOB, now=now + 2 * OWED_AFTER_S)
    assert broken(arena, campaign.campaign_id, at_rest=True) == []
    assert broken_images(arena, campaign.campaign_id) == []


def a_joiner_and_a_head_who_have_not_paid() -> Campaign:
    campaign = a_campaign(reserve="seat")
    take(open_paid_group(campaign, payers=2))
    opened(campaign)
    return campaign


def test_a_worker_that_is_killed_while_it_releases_holds(arena: Arena) -> None:
    effect = is_over(orders={"paid": 2, "cancelled": 2}, groups={"open": 1, "lapsed": 1}, left=98)
    play = Play(job=holding.RELEASE_JOB, scene=a_joiner_and_a_head_who_have_not_paid, effect=effect)

    assert every_kill(arena, play) >= 4


def two_groups_whose_time_is_over() -> Campaign:
    campaign = a_campaign(reserve="seat", shards=2)
    open_paid_group(campaign, payers=2)
    open_paid_group(campaign)
    return campaign


def test_a_worker_that_is_killed_while_it_ends_groups(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    # So few that the group of one payer ends in one transaction, and that of two piece by piece.
    monkeypatch.setattr(ending, "PAYERS_AT_ONCE", 1)
    monkeypatch.setattr(ending, "PAYERS_A_BATCH", 1)
    effect = is_over(orders={"refunding": 3}, groups={"expired": 2}, refunds={"due": 3}, left=100)
    play = Play(job=holding.EXPIRE_JOB, scene=two_groups_whose_time_is_over, effect=effect)

    assert every_kill(arena, play) >= 12


def a_group_that_was_ended() -> Campaign:
    campaign = a_campaign()
    group = open_paid_group(campaign)
    ending.end(group.group_id, back=ending.EXPIRED, now=NOW)
    return campaign


def test_a_worker_that_is_killed_while_it_sends_a_refund(arena: Arena) -> None:
    effect = is_over(orders={"refunded": 1}, groups={"expired": 1}, refunds={"done": 1}, left=100)
    play = Play(job=orders.REFUND_JOB, scene=a_group_that_was_ended, effect=effect)

    assert every_kill(arena, play) >= 4


# --- where the mall is called -------------------------------------------------------------------------------


@pytest.fixture
def mall(arena: Arena) -> Iterator[Mall]:
    """A mall that listens, in this process."""
    with a_mall_that_listens() as there:
        config.override(mall_webhook_url=there.url)
        yield there


def test_a_worker_that_is_killed_while_it_asks_the_mall_for_a_refund(arena: Arena, mall: Mall) -> None:
    def refunds_of_the_mall() -> Campaign:
        mall.asked.clear()
        campaign = a_campaign(gateway="mall")
        group = open_paid_group(campaign)
        ending.end(group.group_id, back=ending.EXPIRED, now=NOW)
        return campaign

    def asked_under_one_number(arena: Arena, campaign: Campaign, now: int) -> None:
        (refund,) = books_of(arena, campaign.campaign_id).refunds
        assert refund["state"] == "sent"
        assert {number for number, _ in mall.asked} == {refund["refund_id"]}
        assert (len(mall.asked) <= 2, len(set(mall.asked))) == (True, 1)
        orders.confirm_refund(orders.find_refund(refund["order_id"], refund["refund_id"]), now=now)
        comes_to_rest(arena, campaign, now)

    play = Play(job=orders.REFUND_JOB, scene=refunds_of_the_mall, effect=asked_under_one_number)

    assert every_kill(arena, play) >= 5


def test_a_worker_that_is_killed_while_it_delivers(arena: Arena, mall: Mall) -> None:
    after, died = 1 - STEP, True
    while died:
        mall.asked.clear()
        after += STEP
        cause = a_word()
        (owed,) = deliveries.owe("group.filled", cause=[cause], data={"group_id": cause}, now=NOW)
        table.apply(owed)

        died = killed(deliveries.JOB, after=after, now=later(after))
        works(deliveries.JOB, now=later(after) + LEASE_S)

        (row,) = arena.rows("delivery", pk=owed.row.pk)
        assert (row["state"], "due_at" in row) == ("done", False)
        assert (len(mall.asked) in (1, 2), set(mall.asked)) == (True, {(row["pk"], row["body"].encode())})

    assert after > 5
