"""What commissions cost in calls and write units: made, due, settled by the batch, taken back, looked at."""

from collections import Counter
from collections.abc import Callable

import pytest

from bench import settlement
from chalicelib.commissions import promoters, rates, routes, service, terms
from chalicelib.core import table
from chalicelib.core.doors import Session
from chalicelib.core.http import Listing
from chalicelib.members import service as members
from chalicelib.orders import service as orders
from chalicelib.sharing import orders as attributions
from infra.local.clients import Store
from tests.commissions import (
    LATER,
    a_friend_of,
    a_promoter,
    a_rate,
    bought,
    completed,
    paid,
    partly_refunded,
    settled,
    some_terms,
)
from tests.factories import NOW, PROGRAM, a_call, emptied
from tests.harness.counter import Spent, counting, of_the_design
from tests.harness.direct import Direct


@pytest.fixture(autouse=True)
def empty(direct: Direct) -> None:
    """Nothing is in it."""
    emptied()


@pytest.fixture
def alice() -> str:
    """A promoter who earns a tenth, in a process that knows rates and terms."""
    some_terms()
    a_rate(bps=1000)
    alice = a_promoter()
    rates.in_force(at=NOW, now=LATER)
    terms.in_force(now=LATER)
    return alice


def costs(do: Callable[[], object]) -> Spent:
    """What ``do`` asked of the store."""
    with counting(table.client()) as spent:
        do()
    return spent


def test_an_order_s_commission_is_four_reads_and_three_rows(alice: str) -> None:
    order = paid(bought(a_friend_of(alice)), told=False)
    attributions.of_order(order, now=NOW)  # made when the order was
    rates.in_force(at=NOW, now=LATER)
    terms.in_force(now=LATER)
    members.profile(alice, now=LATER)

    spent = costs(lambda: service.follow(order, cause="order.paid", now=LATER))

    # Its commissions, its attribution, the promoter, its lines; the order is checked.
    assert spent.operations == Counter(Query=2, GetItem=2, TransactWriteItems=1)
    assert spent.writes == Counter({"truth": 2 + 2 + 2, "truth/owner": 1})


def test_an_order_that_earns_nothing_is_read_and_nothing_is_written(alice: str) -> None:
    order = paid(bought(a_promoter()), told=False)
    attributions.of_order(order, now=NOW)

    spent = costs(lambda: service.follow(order, cause="order.paid", now=LATER))

    assert (spent.operations, spent.writes) == (Counter(Query=1, GetItem=1), Counter())


def test_a_completed_order_s_commission_is_two_reads_and_two_rows(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))), told=False)

    spent = costs(lambda: service.follow(order, cause="order.completed", now=LATER))

    assert spent.operations == Counter(Query=2, TransactWriteItems=1)
    assert spent.writes == Counter({"truth": 2 + 2, "truth/due": 1})


@pytest.mark.parametrize(("commissions", "promoters_", "batches"), [(6, 3, 3), (99, 1, 2)])
def test_settling_is_the_budget_of_the_table(
    commissions: int, promoters_: int, batches: int, embedded_store: Store
) -> None:
    found = settlement.measured(embedded_store.client, commissions=commissions, promoters=promoters_)

    of_the_design(
        Spent(
            operations=Counter(TransactWriteItems=found["transactions"], BatchGetItem=found["batch reads"]),
            writes=Counter({"truth": found["table units"], "truth/due": found["index units"]}),
        )
    )

    assert (found["settled"], found["failed"], found["fen"]) == (commissions, 0, commissions * 990)
    assert (found["transactions"], found["batch reads"]) == (batches, 2 * batches)
    assert found["table units"] == 2 * commissions + 4 * batches
    # A commission is due no more to be settled, but to be told of; an entry comes into its owner's list, and is due
    # until it is counted.
    assert found["index units"] == 2 * commissions + 2 * batches


def test_what_is_taken_back_is_four_reads_and_seven_rows(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    settled()
    order = partly_refunded(order, l1=900, now=LATER, told=False)

    spent = costs(lambda: service.follow(order, cause="refund", now=LATER))

    # The order is checked; commission, reversal, entry, account, the month, and the promoter's counts.
    assert spent.operations == Counter(Query=2, BatchGetItem=1, GetItem=1, TransactWriteItems=1)
    assert spent.writes["truth"] == 7 * 2


def test_a_fact_told_again_writes_nothing(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    settled()

    spent = costs(lambda: service.follow(orders.show(order.order_id), cause="again", now=LATER))

    assert spent.writes == Counter()


def test_a_list_of_people_costs_the_same_reads_for_one_or_many(alice: str) -> None:
    def people() -> Spent:
        session = Session(member_id=alice, program_id=PROGRAM, visitor="v")
        return costs(lambda: routes.list_invitees(a_call(session=session, now=LATER), Listing()))

    paid(bought(a_friend_of(alice)))
    one = people()
    for _ in range(4):
        paid(bought(a_friend_of(alice)))

    assert people().operations == one.operations
    assert promoters.counts_of(alice)["orders"] == 0
