"""A few terms switched off, each met by a test whose course is known; `make mutations` does it with all of them."""

import functools
from collections.abc import Callable, Set

import pytest
from pynamodb.expressions.condition import Condition

from chalicelib.core import config, due, table
from chalicelib.groupbuys import holding
from chalicelib.groupbuys.models import Group, Part
from chalicelib.orders.models import Order
from infra.local.clients import Store
from tests.factories import emptied
from tests.groupbuys import AFTERWARDS, a_campaign, broken, open_paid_group
from tests.harness.meetings import before_write, each_call_meeting_itself
from tests.harness.rows import rows
from tests.integration import test_groupbuys as known
from tests.integration import test_groupbuys_meetings as meetings
from tests.integration import test_ledger, test_points_meetings
from tests.model.test_groupbuys import at_first_hand
from tests.mutations import reasons, report, trial
from tests.mutations.terms import Term, _without, leaves, recording, refusing, text, without
from tests.withdrawals import balance, earn, terms, withdraw

COURSES: dict[str, Callable[[], None]] = {
    "groupbuys.service._join → groupbuys.service._joining: Group free >= ?": (
        known.test_two_who_join_at_once_for_one_seat_never_share_it
    ),
    "groupbuys.settling._confirming → groupbuys.settling._one_less: Group missing > ?": (
        known.test_two_who_pay_at_once_for_the_last_two_seats_fill_the_group
    ),
    "groupbuys.ending._over → groupbuys.ending._closed: Group missing = ?": (
        meetings.test_a_group_is_ended_while_one_more_pays_who_does_not_fill_it
    ),
    "groupbuys.ending._give_back → groupbuys.ending._stepping_out: Group head_id = ?": (
        meetings.test_an_heir_is_refunded_while_the_head_is
    ),
    "groupbuys.ending._give_back → groupbuys.ending._stepping_out: Group state = open": (
        meetings.test_a_payer_is_refunded_while_the_last_payment_fills_the_group
    ),
    "groupbuys.service._opening → groupbuys.holding.stock_taken: Stock on = ?": (
        known.test_a_pause_holds_in_processes_that_still_remember_the_campaign_as_running
    ),
    "groupbuys.service._opening → groupbuys.holding.part_taken: Part groups < ?": (
        meetings.test_opening_meets_the_member_s_becoming_head_at_the_limit_of_groups
    ),
    "groupbuys.service._joining → groupbuys.holding.part_taken: Part units <= ?": (
        functools.partial(meetings.test_a_buyer_meets_their_own_late_payment_at_the_limit_of_units, True)
    ),
    "core.ledger.reversal: Entry left >= ?": (
        test_ledger.test_what_is_reversed_by_two_at_once_is_reversed_once
    ),
    "core.ledger.handed_over: Account rev = ?": (
        test_ledger.test_what_is_posted_while_all_of_an_account_goes_over_goes_over_too
    ),
    "points.exchanges.switch → points.exchanges._turned: ExchangeStock no closed": (
        test_points_meetings.test_what_is_closed_while_another_resumes_it_is_exchanged_no_more
    ),
    "points.exchanges.add_units: ExchangeStock left >= ?": (
        test_points_meetings.test_units_are_taken_out_while_somebody_takes_one
    ),
}


@pytest.mark.parametrize("name", COURSES)
def test_who_forgets_a_term_is_told(store: Store, name: str) -> None:
    with at_first_hand():
        with recording() as seen:
            COURSES[name]()
        assert Term.parsed(name) in seen, "no such term any more: was a function renamed?"
        assert _unknown(seen) == [], "run `make mutations`, which makes the table anew"
        emptied()
        with without({Term.parsed(name)}):
            failed = _failure_of(COURSES[name]) or _broken(store)

    assert failed


def _unknown(seen: Set[Term]) -> list[str]:
    known = report.PAGE.read_text()
    theirs = [term for term in seen if f"\n## {term.room}\n" in known]
    return [str(term) for term in theirs if f"| {term.site} | {term.kind} {term.text} |" not in known]


def _failure_of(test: Callable[[], None]) -> str | None:
    try:
        test()
    except (Exception, pytest.fail.Exception) as failure:
        return repr(failure)
    return None


def _broken(store: Store) -> list[str]:
    there = rows(store.client, "truth", kind="groupbuy")
    return [line for row in there for line in broken(store, row["campaign_id"])]


@pytest.mark.parametrize("room", trial.ROOMS)
def test_who_is_whole_has_no_term_without_a_reason(room: str) -> None:
    (section,) = (one for one in report.PAGE.read_text().split("\n## ") if one.startswith(f"{room}\n"))

    assert [word for word in (report.NO_REASON, report.NOBODY, report.UNTRIED) if word in section] == []


def test_every_reason_is_of_a_term_in_the_table() -> None:
    lines = [line.split(" | ") for line in report.PAGE.read_text().splitlines() if line.startswith("| ")]
    known = {Term.parsed(f"{site.removeprefix('| ')}: {condition}") for site, condition, _ in lines}
    rooms = {term.room for term in known}
    name = next(name for name in reasons.REASONS if Term.parsed(name).room in rooms)

    assert reasons.stale(known, rooms) == []
    assert reasons.stale(known - {Term.parsed(name)}, rooms) == [name]


# --- the tools ----------------------------------------------------------------------------------------------


def test_a_term_is_named_by_who_builds_the_write_and_for_whom(store: Store) -> None:
    with recording() as seen:
        open_paid_group(a_campaign())

    assert {"groupbuys.service._open → groupbuys.service._opening: Group is new"} < {
        str(term) for term in seen
    }
    assert all(Term.parsed(str(term)) == term for term in seen)


def test_what_is_asked_of_a_write_besides_is_a_term_of_who_asks_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with recording() as seen:
        meetings.test_what_the_mall_gives_is_asked_of_it_meanwhile(monkeypatch)

    asked = Term.parsed("orders.giving._confirmed → orders.service.confirm_given: Refund state = due")
    assert asked in seen
    with without({asked}), at_first_hand(), pytest.raises(pytest.fail.Exception):
        emptied()
        meetings.test_what_the_mall_gives_is_asked_of_it_meanwhile(monkeypatch)


def test_core_is_named_alone_whomever_it_asks_for(store: Store) -> None:
    group = open_paid_group(a_campaign())
    with recording() as seen:
        due.run(job=holding.EXPIRE_JOB, worker="w", now=AFTERWARDS, seconds=30)

    core = {str(term) for term in seen if term.kind in ("Lease", "Row")}
    assert core >= {"core.due._lease: Lease holder = ?", "core.facts._settle: Row owed_rev = ?"}, group
    assert {term.site for term in seen if term.kind == "Group"} == {
        "groupbuys.ending._over → groupbuys.ending._closed"
    }


def test_who_meets_themselves_is_refused_what_there_is_once(store: Store) -> None:
    config.override(payout_gateways="sandbox manual mall")
    with at_first_hand(), recording():
        terms(open_at_once=2)
        earn(900_00)
        with refusing() as alone:
            withdraw(200_00, key="alone")
        with refusing() as met, each_call_meeting_itself():
            row = withdraw(200_00, key="met")

    assert (alone, row.state, balance()) == (set(), "applied", (500_00, 400_00))
    assert "withdrawals.applying._applying → withdrawals.service.purse_write: Purse rev = ?" in map(str, met)


def test_there_is_no_meeting_where_nothing_is_written(store: Store) -> None:
    with pytest.raises(AssertionError, match="no such write"), before_write(1, lambda: None):
        balance()


def test_nothing_of_it_is_left_when_it_is_over(store: Store) -> None:
    made, also = table.Write.__init__, table.Write.also
    with recording():
        assert table.Write.__init__ is not made and table.Write.also is not also
    assert table.Write.__init__ is made and table.Write.also is also


WHOLE = (Group.pk.exists() & (Group.free >= 1)) & ((Group.state == "open") | Group.pk.does_not_exist())
LEFT: dict[str, list[str]] = {
    "free >= ?": ["exists", "state = open", "is new"],
    "exists": ["free >= ?", "state = open", "is new"],
    # One of two that would do always holds, so that nothing is asked any more.
    "state = open": ["exists", "free >= ?"],
}


@pytest.mark.parametrize("off", LEFT)
def test_a_comparison_that_is_switched_off_always_holds(off: str) -> None:
    assert [text(leaf) for leaf in leaves(_without(WHOLE, {off}))] == LEFT[off]


def test_when_all_are_switched_off_nothing_is_asked() -> None:
    assert _without(Group.free >= 1, {"free >= ?"}) is None


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


JOINING = "groupbuys.service._join → groupbuys.service._joining: Group "


def test_that_a_row_is_there_is_implied_by_what_is_compared_beside_it() -> None:
    there, free = Term.parsed(JOINING + "exists"), Term.parsed(JOINING + "free >= ?")

    assert reasons.implied(there, [there, free])
    assert not reasons.implied(there, [there])
    assert not reasons.implied(free, [there, free])
    # What a missing row has is another than anything.
    assert not reasons.implied(there, [there, Term.parsed(JOINING + "state <> closed")])
    # Another row of its kind is asked to be new.
    assert not reasons.implied(there, [there, Term.parsed(JOINING + "is new")])


def test_what_nobody_notices_needs_a_reason_or_fellows_with_which_it_is_noticed() -> None:
    there, free = Term.parsed(JOINING + "exists"), Term.parsed(JOINING + "free >= ?")
    by = "tests/model/test_a.py::test_a"

    assert report.without_reason({"a": ([there, free], {str(free): None})}) == [str(free)]
    assert report.without_reason({"a": ([there, free], {str(free): by})}) == []
    assert report.without_reason({"a": ([there, free], {report.name_of({there, free}): by})}) == []
    enough = report.name_of(reasons.together_of_all()[0])
    assert report.without_reason({"a": ([], {enough: None})}) == [enough]


def test_who_noticed_is_counted_by_what_they_are() -> None:
    there, free, ends = (Term.parsed(JOINING + text) for text in ("exists", "free >= ?", "expires_at > ?"))

    told = report.in_short(
        {"groupbuys": ([there, free, ends], {str(free): "tests/races/test_a.py::test_a[1]"})}
    )

    assert "| groupbuys | 3 | 0 | 0 | 0 | 0 | 1 | 0 | 1 | 1 | 0 | 0 |" in told
    assert "Not tried in this run: withdrawals, " in told


def test_a_term_is_of_the_room_whose_function_builds_the_write() -> None:
    assert Term.parsed("groupbuys.ending._over → orders.service.refunding: Order exists").room == "orders"
