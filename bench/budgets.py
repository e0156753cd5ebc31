"""`python -m bench.budgets`: the operations that design 9 has a budget for, as counted, and why some differ.

The tests that hold them are run, and each tells what it counted.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import page
from tests import proof
from tests.harness.counter import BUDGETS_REPORT

TESTS = Path(__file__).parents[1] / "tests" / "integration"
_LISTED = (
    "the seat and the order are each in a list of the member's, where a phone finds them again: one more"
)
_OWED = "the fact is owed until all who react have: a `due` entry, so that no stream can lose it"
_PAYMENT = (
    "the payment's own row (2) is looked at again some days later and is in its campaign's list, and its fact is "
    "owed until all who react have: three more entries"
)
_HEAD = """Held by `tests/integration/test_*_budgets.py`, each figure exactly; made from what those tests count.
Units written are of rows + of index entries, by AWS's rule; where ours differ from the design's, the last
column has why, and ours are the budget. An operation here is a room's own, without the session, the page of the
answer and the signature of the mall's request: those are in *Calls and units*.

"""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the design's table; ``why`` ours differs, if it does."""

    operation: str
    calls: str
    units: str
    why: str = ""


ROWS: Mapping[str, Row] = {
    "test_a_visit_of_a_link_is_one_call_and_one_unit": Row(
        operation="a visit of a link, link and card remembered", calls="1", units="1"
    ),
    "test_a_visit_of_a_link_that_is_not_remembered_is_two_calls_and_one_unit": Row(
        operation="the same, the link not remembered", calls="2", units="1"
    ),
    "test_a_check_in_with_points_is_two_calls_and_six_units": Row(
        operation="a check-in with points", calls="2", units="6 + 1", why=_OWED
    ),
    "test_opening_a_group_is_one_call": Row(
        operation="opening a group", calls="1", units="10 + 2", why=_LISTED
    ),
    "test_joining_is_two_calls": Row(operation="joining a group", calls="2", units="8 + 2", why=_LISTED),
    "test_joining_as_the_page_showed_it_is_one_call": Row(
        operation="the same, with the price that was seen", calls="1", units="8 + 2", why=_LISTED
    ),
    "test_a_group_that_is_full_costs_no_write_unit_where_the_read_shows_it": Row(
        operation="joining one that is full",
        calls="2",
        units="6 + 0",
        why="the read shows that it is full, nothing is written; the refusal offers what else there is",
    ),
    "test_the_head_s_payment_is_two_calls": Row(
        operation="the head pays", calls="2", units="8 + 3", why=_PAYMENT
    ),
    "test_another_s_payment_is_two_calls": Row(
        operation="another pays", calls="2", units="8 + 3", why=_PAYMENT
    ),
    "test_the_last_payment_is_three_calls_as_the_first_guess_is_not_the_last": Row(
        operation="the last pays",
        calls="3",
        units="14 + 3",
        why=f"the guess that is refused is billed with its payment row (2); {_PAYMENT}; the group owes its "
        "own fact: one more",
    ),
    "test_leaving_costs_what_joining_does": Row(operation="leaving", calls="2", units="8 + 2"),
    "test_a_hold_that_runs_out_is_one_call_as_its_due_entry_says_it_all": Row(
        operation="a hold that runs out", calls="1", units="8 + 2"
    ),
    "test_the_end_of_a_group_is_two_calls[3]": Row(
        operation="the end of a group of 3 payers",
        calls="2",
        units="22 + 5",
        why="the group and each order owe a fact: 1 + n more",
    ),
    "test_a_claim_is_one_call": Row(operation="a coupon is claimed, one each", calls="1", units="4 + 1"),
    "test_the_shop_takes_a_coupon_in_one_write_and_one_read": Row(
        operation="a coupon is redeemed by itself",
        calls="1",
        units="1 + 1",
        why="an operator's write leaves its line in the trail, in the same transaction; the code is read first",
    ),
    "test_an_orders_coupon_is_held_in_three_calls_and_used_in_two": Row(
        operation="a coupon is redeemed with its order",
        calls="1",
        units="4 + 1",
        why="which coupons an order holds is in its row, which is read first",
    ),
    "test_settling_is_the_budget_of_the_table[99-1-2]": Row(
        operation="99 commissions of one promoter are settled",
        calls="2 and reads",
        units="206 + 99",
        why="a commission is due to be told of afterwards, and an entry is in its list: k + 2 a batch more",
    ),
    "test_a_first_login_is_two_calls_and_six_units": Row(
        operation="a first login", calls="2", units="6", why=_OWED
    ),
    "test_a_reaction_with_one_effect_is_two_calls_and_six_units": Row(
        operation="a reaction with one effect", calls="2", units="6"
    ),
}


def counted() -> dict[str, Mapping[str, Any]]:
    """What each of these tests counted, by its name.

    Raises:
        CalledProcessError: one of them failed.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", " or ".join(_names())]
    files = sorted(map(str, TESTS.glob("test_*budgets.py")))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*command, *files], env={**os.environ, BUDGETS_REPORT: folder}, check=True)  # noqa: S603 - ours
        told = list(proof.noted(Path(folder)))
    return {one["test"].rpartition("::")[2]: one for one in told}


def _names() -> list[str]:
    return [name.partition("[")[0] for name in ROWS]


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The design's figures beside ours.

    Raises:
        KeyError: a test has told nothing.
    """
    head = proof.line("operation", "design: calls", "units", "ours: calls", "units", "why")
    ruler = proof.line(*["---"] * 6)
    return head + ruler + "".join(_line(row, found[name]) for name, row in ROWS.items())


def _line(row: Row, one: Mapping[str, Any]) -> str:
    units = f"{one['table']} + {one['index']}"
    return proof.line(row.operation, row.calls, row.units, one["calls"], units, row.why)


def main() -> None:
    """Count, and write the section of docs/performance.md."""
    page.tell("The design's budgets", _HEAD + table(counted()))


if __name__ == "__main__":
    main()
