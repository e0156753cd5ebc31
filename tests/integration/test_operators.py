"""Operators: keys are never stored, every change is in the trail, and lists go on where they ended."""

import base64
import json
from typing import Any

import pytest

from chalicelib.core import clock, config, cursors, deliveries, due, table
from chalicelib.core.clock import DAY
from chalicelib.core.cursors import CursorInvalid
from chalicelib.core.doors import Operator
from chalicelib.core.errors import NotFound, Unauthorized
from chalicelib.core.http import Listing
from chalicelib.members.models import Member
from chalicelib.operators import admin, stuck
from chalicelib.operators import service as operators
from chalicelib.operators.models import Audit, OperatorKey
from chalicelib.operators.schemas import AuditQuery
from infra import operators as command
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_call, a_member, books, only
from tests.harness.rows import rows

SECRET = "the-secret-of-olga"
pytestmark = pytest.mark.usefixtures("direct")


# --- keys ---------------------------------------------------------------------------------------------------


def test_a_key_opens_for_its_operator_and_only_its_hash_is_kept(store: Store) -> None:
    added = operators.add(name="Olga", role="support", secret=SECRET, now=NOW)

    found = operators.authenticate(SECRET, NOW)

    assert found == added == Operator(key_id=added.key_id, name="Olga", role="support")
    assert SECRET not in json.dumps(rows(store.client, "truth"))
    assert SECRET not in added.key_id


def test_the_same_secret_added_again_stays_whose_it_was(store: Store) -> None:
    first = operators.add(name="Olga", role="support", secret=SECRET, now=NOW)

    assert operators.add(name="Oscar", role="owner", secret=SECRET, now=NOW + 1) == first
    assert books(store.client) == {"operator_key": 1}


def test_a_key_is_made_at_the_command_line_shown_once_and_switched_off(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["add", "--name", "Olga", "--role", "finance"]) == 0
    secret = capsys.readouterr().out.splitlines()[-1]
    found = operators.authenticate(secret, clock.now())

    assert (found.name, found.role) == ("Olga", "finance")
    assert secret not in json.dumps(rows(store.client, "truth"))
    assert command.main(["off", secret]) == 0
    with pytest.raises(Unauthorized):
        operators.authenticate(secret, clock.now())
    assert command.main(["off", "another"]) == 1
    assert "Not done" in capsys.readouterr().err


@pytest.mark.parametrize("secret", ["", "another", SECRET.upper()])
def test_an_unknown_key_opens_nothing(secret: str) -> None:
    operators.add(name="Olga", role="support", secret=SECRET, now=NOW)

    with pytest.raises(Unauthorized):
        operators.authenticate(secret, NOW)


def test_a_key_switched_off_here_opens_nothing_at_once() -> None:
    operators.add(name="Olga", role="support", secret=SECRET, now=NOW)
    operators.authenticate(SECRET, NOW)

    operators.switch_off(secret=SECRET)

    with pytest.raises(Unauthorized):
        operators.authenticate(SECRET, NOW)
    for secret in (SECRET, "another"):
        with pytest.raises(NotFound):
            operators.switch_off(secret=secret)


def test_a_key_switched_off_elsewhere_opens_nothing_after_thirty_seconds() -> None:
    operators.add(name="Olga", role="support", secret=SECRET, now=NOW)
    operators.authenticate(SECRET, NOW)
    off = OperatorKey.state.set("off")
    table.apply(table.update(OperatorKey, OperatorKey.key(SECRET), off, refuse=NotFound))

    assert operators.authenticate(SECRET, NOW + 29).name == "Olga"
    with pytest.raises(Unauthorized):
        operators.authenticate(SECRET, NOW + 30)


def test_a_key_added_after_it_was_tried_opens_after_thirty_seconds() -> None:
    with pytest.raises(Unauthorized):
        operators.authenticate(SECRET, NOW)
    operators.add(name="Olga", role="support", secret=SECRET, now=NOW)

    assert operators.authenticate(SECRET, NOW + 30).name == "Olga"


def test_an_operator_is_told_who_they_are() -> None:
    me = admin.show_me(a_call(operator=OWNER))

    assert (me.key_id, me.name, me.role) == (OWNER.key_id, OWNER.name, OWNER.role)


# --- the trail ----------------------------------------------------------------------------------------------


def record(subject: str, *, now: int = NOW, before: Any = None, after: Any = None) -> None:
    table.apply(
        operators.recorded(
            by=OWNER, action="thing.done", subject=subject, before=before, after=after, now=now
        )
    )


def listed(**query: Any) -> tuple[list[str], str | None]:
    page = admin.list_audit(a_call(operator=OWNER), AuditQuery(**query))
    return [entry.subject for entry in page.items], page.next


def test_an_entry_says_who_when_what_before_and_after() -> None:
    record("thing-1", before={"price_fen": 1}, after={"price_fen": 2, "name": "茶"})

    (entry,) = admin.list_audit(a_call(operator=OWNER), AuditQuery()).items

    assert (entry.by, entry.by_name, entry.role) == (OWNER.key_id, OWNER.name, OWNER.role)
    assert (entry.action, entry.subject, entry.at) == ("thing.done", "thing-1", NOW)
    assert (entry.before, entry.after) == ({"price_fen": 1}, {"price_fen": 2, "name": "茶"})


def test_the_trail_is_newest_first_month_by_month() -> None:
    for day in (0, 1, 2):
        record(f"january-{day}", now=NOW + day * DAY)
    record("february", now=NOW + 40 * DAY)

    assert listed() == (["january-2", "january-1", "january-0"], None)
    assert listed(month="2026-02") == (["february"], None)
    assert listed(month="2025-12") == ([], None)


def test_a_page_goes_on_where_the_one_before_ended() -> None:
    for number in range(5):
        record(f"thing-{number}", now=NOW + number)

    first, after = listed(limit=2)
    second, after_second = listed(limit=2, after=after)
    third, end = listed(limit=2, after=after_second)

    assert [*first, *second, *third] == [f"thing-{number}" for number in (4, 3, 2, 1, 0)]
    assert end is None


def test_a_cursor_serves_the_list_it_was_given_for_and_no_other() -> None:
    for number in range(3):
        record(f"thing-{number}", now=NOW + number)
    _, after = listed(limit=2)
    assert after is not None

    forged = ("B" if after[0] == "A" else "A") + after[1:]
    for changed in (after[:-1], after + "AA", forged, "nonsense", "é", "=", after.swapcase()):
        with pytest.raises(CursorInvalid):
            listed(limit=2, after=changed)
    with pytest.raises(CursorInvalid):
        listed(limit=2, month="2025-12", after=after)


def test_a_cursor_of_one_reader_is_none_of_anothers() -> None:
    key = {"pk": {"S": "LINK#1"}, "sk": {"S": "META"}}
    sealed = cursors.seal(key, where="links#mbr_1", now=NOW)

    assert cursors.unseal(sealed, where="links#mbr_1", now=NOW + DAY) == key
    with pytest.raises(CursorInvalid):
        cursors.unseal(sealed, where="links#mbr_2", now=NOW)
    assert cursors.unseal(None, where="links#mbr_1", now=NOW) is None
    assert cursors.unseal("", where="links#mbr_1", now=NOW) is None
    assert cursors.seal(None, where="links#mbr_1", now=NOW) is None


def test_an_entry_cannot_be_written_twice_under_its_id(store: Store) -> None:
    write = operators.recorded(by=OWNER, action="a", subject="s", before=None, after=None, now=NOW)
    table.apply(write)

    with pytest.raises(table.Taken):
        table.apply(write)
    assert only(store.client, Audit.__name__.lower())["subject"] == "s"


# --- what is stuck and what is owed -------------------------------------------------------------------------


def owe(cause: str, *, failures: int = 0, now: int = NOW) -> str:
    """A delivery that was tried and failed so often."""
    (write,) = deliveries.owe("test.said", cause=[cause], data={}, now=now)
    table.apply(write)
    for _ in range(failures):
        row: Any = table.get(deliveries.Delivery, (write.row.pk, "META"))
        entry = due.Entry(
            pk=row.pk,
            sk=row.sk,
            kind="delivery",
            due_shard=row.due_shard,
            due_at=row.due_at,
            due_ref=row.due_ref,
        )
        due.postpone(entry, deliveries.NotDelivered("the mall answered 500"), now=row.due_at)
    return write.row.pk


@pytest.fixture
def mall(store: Store) -> None:
    """A mall that is owed messages; nobody sends them here."""
    config.override(mall_webhook_url="http://mall.example/hooks")


@pytest.mark.usefixtures("mall")
def test_operators_see_what_the_mall_has_not_confirmed_the_next_first_and_the_given_up_last() -> None:
    given_up, waiting = owe("1", failures=10), owe("2", failures=1)
    fresh = owe("3", now=NOW - 5000)

    found = admin.list_deliveries(a_call(operator=OWNER), Listing()).items

    assert [one.id for one in found] == [fresh, waiting, given_up]
    assert [one.attempts for one in found] == [0, 1, 10]
    assert found[2].last_error == "NotDelivered: the mall answered 500"
    assert [row.pk for row in deliveries.owed(limit=2).rows] == [fresh, waiting]


@pytest.mark.usefixtures("mall")
def test_all_that_is_owed_is_listed_once_over_every_shard_and_page() -> None:
    config.override(due_shards=4)
    owed = {owe(str(number), failures=10 * (number == 3)) for number in range(8)}
    call, after, found = a_call(operator=OWNER), None, []

    for _ in range(8):
        page = admin.list_deliveries(call, Listing(limit=3, after=after))
        found += [one.id for one in page.items]
        after = page.next
        if after is None:
            break

    assert (len(found), set(found), after) == (8, owed, None)


@pytest.mark.usefixtures("mall")
def test_a_list_of_what_is_stuck_is_no_longer_than_was_asked_for() -> None:
    owe("1", failures=10)
    waits = Member.due_shard.set("stuck#react")
    table.apply(table.update(Member, Member.key(a_member()), waits, Member.due_at.set(NOW), refuse=NotFound))

    first, after = stuck.listed(limit=1)
    second, end = stuck.listed(limit=9, after=after)

    assert ([one.trouble.job for one in first + second], end) == (["deliver", "react"], None)


@pytest.mark.usefixtures("mall")
def test_what_is_stuck_says_what_it_is_and_why_and_takes_its_own_id_back(store: Store) -> None:
    pk = owe("1", failures=10)
    call = a_call(operator=OWNER, now=NOW + DAY)

    (found,) = admin.list_stuck(call, Listing()).items
    retried = admin.retry_stuck(call, found.id)

    assert (found.job, found.kind, found.attempts) == ("deliver", "delivery", 10)
    assert found.last_error == "NotDelivered: the mall answered 500"
    assert (retried.id, retried.due_at) == (found.id, NOW + DAY)
    assert admin.list_stuck(call, Listing()).items == []
    row = only(store.client, "delivery")
    assert (row["pk"], row["due_shard"], row["due_at"]) == (pk, "deliver#0", NOW + DAY)
    with pytest.raises(NotFound):
        admin.retry_stuck(call, found.id)
    assert books(store.client)["audit"] == 1


def an_id(*parts: str) -> str:
    return base64.urlsafe_b64encode("\n".join(parts).encode()).decode().rstrip("=")


@pytest.mark.usefixtures("mall")
def test_what_is_not_stuck_cannot_be_retried(store: Store) -> None:
    pk = owe("1", failures=9)

    for stuck_id in (
        an_id("deliver", pk, "META"),
        an_id("deliver", "dlv_none", "META"),
        an_id("react", pk, "META"),
        an_id("deliver", pk),
        "nonsense",
        "A",
        "_-_-",
    ):
        with pytest.raises(NotFound):
            stuck.retry(stuck_id=stuck_id, by=OWNER, now=NOW)
    assert books(store.client)["audit"] == 0


def test_an_id_without_a_key_in_it_names_nothing() -> None:
    with pytest.raises(NotFound):
        stuck.retry(stuck_id=an_id("deliver", "", ""), by=OWNER, now=NOW)
