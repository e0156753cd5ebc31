"""Two who meet over what every room uses, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from typing import Any

import pytest

from chalicelib.core import config, deliveries, due, estates, facts, ids, ledger, table
from chalicelib.core.clock import MINUTE
from chalicelib.core.deliveries import Delivery
from chalicelib.core.errors import NotFound
from chalicelib.operators import stuck
from chalicelib.uploads.models import Upload
from tests.factories import NOW, OWNER, a_member, a_word
from tests.harness.meetings import before_write
from tests.integration.test_commissions_meetings import entry_of
from tests.integration.test_facts import Log
from tests.points import ALICE, earn

pytestmark = pytest.mark.usefixtures("direct")


@pytest.fixture
def posted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of what the mall was sent."""
    found: list[str] = []
    config.override(mall_webhook_url="http://mall.example")
    monkeypatch.setattr(deliveries, "post", lambda body, *, delivery_id, now: found.append(delivery_id))
    return found


def owed() -> None:
    """The mall is to be told of something."""
    table.transact(deliveries.owe("lamp.lit", cause=["1"], data={}, now=NOW))


def sent() -> None:
    """What it is owed is sent."""
    due.run(job=deliveries.JOB, worker=a_word("w"), now=NOW + MINUTE, seconds=5)


def test_what_the_mall_is_owed_by_two_at_once_is_sent_once(posted: list[str]) -> None:
    def owed_and_sent() -> None:
        owed()
        sent()

    with before_write(1, owed_and_sent), pytest.raises(table.Taken):
        owed()
    sent()

    assert len(posted) == 1


def given_up(row: Delivery) -> Delivery:
    """The mall never took it, and it waits for a person."""
    late = due.handed_over(deliveries.JOB, at=NOW, why="the mall answered 500")
    there = table.apply(table.update(Delivery, (row.pk, row.sk), *late, refuse=AssertionError))
    assert isinstance(there, Delivery)
    return there


def the_delivery() -> Delivery:
    """What the mall is, or was, owed."""
    row = table.get(Delivery, Delivery.key(ids.derived("dlv", "mall", "lamp.lit", "1")))
    assert row is not None
    return row


def cancelled(row: Delivery) -> None:
    """A person says that the mall need not be told."""
    stuck.cancel(stuck_id=stuck.id_of(deliveries.JOB, row), reason="by phone", by=OWNER, now=NOW)


def test_what_a_person_cancels_while_it_is_sent_stays_cancelled(posted: list[str]) -> None:
    owed()

    with before_write(1, lambda: cancelled(given_up(the_delivery()))):
        deliveries.send(entry_of(the_delivery()), NOW)

    assert (the_delivery().state, len(posted)) == ("cancelled", 1)


def test_what_a_person_cancels_while_another_has_it_tried_again_is_not_tried(posted: list[str]) -> None:
    owed()
    row = given_up(the_delivery())
    again = due.retried((row.pk, row.sk), job=deliveries.JOB, now=NOW)

    with before_write(1, lambda: cancelled(row)), pytest.raises(NotFound):
        table.apply(again)

    assert the_delivery().due_shard is None


def an_upload(member_id: str) -> Upload:
    """A picture in a member's list."""
    upload_id = a_word("upl_")
    row = Upload(
        *Upload.key(upload_id),
        upload_id=upload_id,
        member_id=member_id,
        purpose="help",
        content_type="image/png",
        size=1,
        place="row",
        created_at=NOW,
        ends_at=NOW,
        **table.listed(f"{member_id}#uploads", at=NOW, as_=upload_id),
    )
    table.apply(table.create(row))
    return row


def test_a_list_goes_over_while_it_goes_over_and_on_to_a_third() -> None:
    one, other, third = (a_member() for _ in range(3))
    row = an_upload(one)

    def goes_on() -> None:
        estates.list_handed_over("uploads", one, other)
        estates.list_handed_over("uploads", other, third)

    with before_write(1, goes_on):
        estates.list_handed_over("uploads", one, other)

    now_is = table.get(Upload, (row.pk, row.sk))
    assert now_is is not None and (now_is.member_id, now_is.owner) == (third, f"{third}#uploads")


def test_who_reacts_to_a_posting_that_is_reversed_meanwhile_sees_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(facts, "_reactions", {})
    facts.reaction("growth.posted", name="test.sees")(
        lambda row, now: [table.upsert(Log, Log.key("left", row), Log.n.set(row.left))]
    )
    cause = earn(100, book="growth", lasts_months=None)
    what: dict[str, Any] = {"owner": ALICE, "book": "growth", "cause": cause}
    entry = ledger.find(**what)
    assert entry is not None

    def reversed_() -> None:
        table.transact(ledger.reversal(**what, reason="refund", amount=40, now=NOW))

    with before_write(1, reversed_):
        facts.catch_up(entry, now=NOW)

    log = table.get(Log, Log.key("left", entry))
    assert log is not None and log.n == 60
