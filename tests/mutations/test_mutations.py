"""A few terms switched off, each met by a test whose course is known; `make mutations` does it with all of them."""

import functools
from collections.abc import Callable

import pytest
from pynamodb.expressions.condition import Condition

from chalicelib.core import due, table
from chalicelib.groupbuys import holding
from chalicelib.groupbuys.models import Group, Part
from chalicelib.orders.models import Order
from infra.local.clients import Store
from tests.factories import emptied
from tests.groupbuys import AFTERWARDS, a_campaign, broken, open_paid_group
from tests.harness.rows import rows
from tests.integration import test_groupbuys as known
from tests.integration import test_groupbuys_meetings as meetings
from tests.model.test_groupbuys import at_first_hand
from tests.mutations import reasons, report, trial
from tests.mutations.terms import Term, _left, leaves, recording, text, without

COURSES: dict[str, Callable[[], None]] = {
    "service._join → service._joining: Group free >= ?": (
        known.test_two_who_join_at_once_for_one_seat_never_share_it
    ),
    "settling._confirming → settling._one_less: Group missing > ?": (
        known.test_two_who_pay_at_once_for_the_last_two_seats_fill_the_group
    ),
    "ending._over → ending._closed: Group missing = ?": (
        meetings.test_a_group_is_ended_while_one_more_pays_who_does_not_fill_it
    ),
    "ending._give_back → ending._stepping_out: Group head_id = ?": (
        meetings.test_an_heir_is_refunded_while_the_head_is
    ),
    "ending._give_back → ending._stepping_out: Group state = open": (
        meetings.test_a_payer_is_refunded_while_the_last_payment_fills_the_group
    ),
    "service._opening → holding.stock_taken: Stock on = ?": (
        known.test_a_pause_holds_in_processes_that_still_remember_the_campaign_as_running
    ),
    "service._opening → holding.part_taken: Part groups < ?": (
        meetings.test_opening_meets_the_member_s_becoming_head_at_the_limit_of_groups
    ),
    "service._joining → holding.part_taken: Part units <= ?": (
        functools.partial(meetings.test_a_buyer_meets_their_own_late_payment_at_the_limit_of_units, True)
    ),
}


@pytest.mark.parametrize("name", COURSES)
def test_who_forgets_a_term_is_told(store: Store, name: str) -> None:
    with at_first_hand():
        with recording() as seen:
            COURSES[name]()
        assert Term.parsed(name) in seen, "no such term any more: was a function renamed?"
        emptied()
        with without({Term.parsed(name)}):
            failed = _failure_of(COURSES[name]) or _broken(store)

    assert failed


def _failure_of(test: Callable[[], None]) -> str | None:
    try:
        test()
    except (Exception, pytest.fail.Exception) as failure:
        return repr(failure)
    return None


def _broken(store: Store) -> list[str]:
    there = rows(store.client, "truth", kind="groupbuy")
    return [line for row in there for line in broken(store, row["campaign_id"])]


def test_the_table_knows_every_term_that_the_meetings_ask_for(store: Store) -> None:
    known = trial.REPORT.read_text()

    with at_first_hand():
        courses = [course for module in trial.MEETINGS for course in trial.asked_by(module)]
        asked = {term for _, terms in courses for term in terms}

    unknown = [
        str(term) for term in sorted(asked) if f"| {term.site} | {term.kind} {term.text} |" not in known
    ]
    assert unknown == [], "run `make mutations`, which makes the table anew"


def test_the_table_has_no_term_without_a_reason() -> None:
    known = trial.REPORT.read_text()

    assert report.NO_REASON not in known and report.NOBODY not in known


def test_every_reason_is_of_a_term_in_the_table() -> None:
    lines = [line.split(" | ") for line in trial.REPORT.read_text().splitlines() if line.startswith("| ")]
    known = {f"{site.removeprefix('| ')}: {condition}" for site, condition, _ in lines}
    name = next(iter(reasons.REASONS))

    assert reasons.stale(known) == []
    assert reasons.stale(known - {name}) == [name]


# --- the tools ----------------------------------------------------------------------------------------------


def test_a_term_is_named_by_who_builds_the_write_and_for_whom(store: Store) -> None:
    with recording() as seen:
        open_paid_group(a_campaign())

    assert {"service._open → service._opening: Group is new"} < {str(term) for term in seen}
    assert all(Term.parsed(str(term)) == term for term in seen)


def test_what_is_asked_of_a_write_besides_is_a_term_of_who_asks_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording() as seen:
        meetings.test_what_the_mall_gives_is_asked_of_it_meanwhile(monkeypatch)

    asked = Term.parsed("orders._confirmed → orders.confirm_given: Refund state = due")
    assert asked in seen
    with without({asked}), at_first_hand(), pytest.raises(pytest.fail.Exception):
        emptied()
        meetings.test_what_the_mall_gives_is_asked_of_it_meanwhile(monkeypatch)


def test_core_is_named_alone_whomever_it_asks_for(store: Store) -> None:
    group = open_paid_group(a_campaign())
    with recording() as seen:
        due.run(job=holding.EXPIRE_JOB, worker="w", now=AFTERWARDS, seconds=30)

    core = {str(term) for term in seen if term.kind in ("Lease", "Row")}
    assert core >= {"due._lease: Lease holder = ?", "facts._settle: Row owed_rev = ?"}, group
    assert {term.site for term in seen if term.kind == "Group"} == {"ending._over → ending._closed"}


def test_nothing_of_it_is_left_when_it_is_over(store: Store) -> None:
    build, also = table.update, table.Write.also
    with recording():
        assert table.update is not build and table.Write.also is not also
    assert table.update is build and table.Write.also is also


WHOLE = (Group.pk.exists() & (Group.free >= 1)) & ((Group.state == "open") | Group.pk.does_not_exist())
LEFT: dict[str, list[str]] = {
    "free >= ?": ["exists", "state = open", "is new"],
    "exists": ["free >= ?", "state = open", "is new"],
    # One of two that would do always holds, so that nothing is asked any more.
    "state = open": ["exists", "free >= ?"],
}


@pytest.mark.parametrize("off", LEFT)
def test_a_comparison_that_is_switched_off_always_holds(off: str) -> None:
    assert [text(leaf) for leaf in leaves(_left(WHOLE, {off}))] == LEFT[off]


def test_when_all_are_switched_off_nothing_is_asked() -> None:
    assert _left(Group.free >= 1, {"free >= ?"}) is None


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        (Order.state.is_in("paid", "completed"), "state in paid or completed"),
        (Part.order_id.does_not_exist(), "no order_id"),
        (Group.missing > 1, "missing > ?"),
    ],
)
def test_a_term_is_the_same_whatever_it_compares_with(condition: Condition, told: str) -> None:
    assert text(condition) == told


JOINING = "service._join → service._joining: Group "


def test_that_a_row_is_there_is_implied_by_what_is_compared_beside_it() -> None:
    there, free = Term.parsed(JOINING + "exists"), Term.parsed(JOINING + "free >= ?")

    assert reasons.implied(there, [there, free])
    assert not reasons.implied(there, [there])
    assert not reasons.implied(free, [there, free])
    # What a missing row has is another than anything.
    assert not reasons.implied(there, [there, Term.parsed(JOINING + "state <> closed")])


def test_what_nobody_notices_needs_a_reason_and_two_that_ask_the_same_are_noticed() -> None:
    there, free = JOINING + "exists", JOINING + "free >= ?"

    assert report.without_reason([there, free], {free: None}) == [free]
    assert report.without_reason([there, free], {free: "the model"}) == []
    assert report.without_reason([], {"a + b": None}) == ["a + b"]
