"""Two who meet over one thing that waits for a person, between one's look and one's write.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from typing import Any

import pytest

from chalicelib.core import config, deliveries, due, facts, table
from chalicelib.core.deliveries import Delivery
from chalicelib.core.errors import IdempotencyMismatch, NotFound
from chalicelib.core.table import Key, Row
from chalicelib.members.models import Member
from chalicelib.operators import service as operators
from chalicelib.operators import stuck
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_member, books
from tests.harness.meetings import before_write

pytestmark = pytest.mark.usefixtures("direct")


def waiting(kind: type[Row], key: Key, job: str) -> Any:
    """A row waits for a person; as the list has it."""
    waits = due.handed_over(job, at=NOW, why="it failed ten times")
    table.apply(table.update(kind, key, *waits, refuse=KeyError))
    (found,) = stuck.listed(limit=9)[0]
    return found


def settled(stuck_id: str) -> None:
    stuck.settle(stuck_id=stuck_id, how=None, reason="by phone", by=OWNER, now=NOW)


def cancelled(stuck_id: str) -> None:
    stuck.cancel(stuck_id=stuck_id, reason="of no use", by=OWNER, now=NOW)


def test_what_one_cancels_while_another_says_that_it_was_told_is_cancelled(store: Store) -> None:
    config.override(mall_webhook_url="http://mall.example/hooks")
    (write,) = deliveries.owe("group.filled", cause=["1"], data={}, now=NOW)
    table.apply(write)
    found = waiting(Delivery, (write.row.pk, write.row.sk), deliveries.JOB)

    with before_write(1, lambda: cancelled(found.id)), pytest.raises(NotFound):
        settled(found.id)

    there = books(store.client)
    assert (there.only("delivery")["state"], there["audit"]) == ("cancelled", 1)


def test_what_one_has_tried_again_while_another_cancels_it_is_tried_again() -> None:
    key = Member.key(a_member())
    found = waiting(Member, key, facts.JOB)

    def try_again() -> None:
        stuck.retry(stuck_id=found.id, by=OWNER, now=NOW)

    with before_write(1, try_again), pytest.raises(NotFound):
        cancelled(found.id)

    row = table.get(Member, key)
    assert row is not None and row.due_shard == due.shard_of(facts.JOB, key[0])


def test_what_two_say_at_once_under_one_key_is_said_once() -> None:
    def say(what: str) -> None:
        (note,) = operators.said_once(what, by=OWNER, idempotency_key="key")
        table.apply(note)

    with before_write(1, lambda: say("the same")), pytest.raises(operators.Repeated):
        say("the same")
    with pytest.raises(IdempotencyMismatch):
        say("another")
