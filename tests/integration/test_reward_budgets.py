"""What a reward costs in calls and write units, and what an uninteresting fact does not."""

from collections import Counter
from collections.abc import Callable

import pytest

from chalicelib.core import facts, table
from chalicelib.core.facts import Fact
from chalicelib.core.table import Row
from chalicelib.members import service as members
from chalicelib.members.models import Member
from chalicelib.points import levels
from chalicelib.points import service as points
from chalicelib.rewards import lists, service
from infra.local.clients import Store
from tests.factories import NOW, a_link, a_member, alone
from tests.harness.counter import Spent, counting
from tests.rewards import a_rule, an_order, comes, refunded


def costs(do: Callable[[], object]) -> Spent:
    """What ``do`` asked of the store."""
    with counting(table.client()) as spent:
        do()
    return spent


@pytest.fixture
def alice(store: Store) -> str:
    """Somebody who shares, whom this process remembers, as it does the settings of points."""
    alice = a_member()
    members.profile(alice, now=NOW)
    points.rule(now=NOW)
    levels.everything(now=NOW)
    return alice


@pytest.fixture
def only_rewards(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else reacts, so that what is counted is this room's."""
    alone(monkeypatch, "rewards")


def brought(row: Row, name: str) -> Callable[[], None]:
    """A reader who is brought this fact."""
    return lambda: facts.dispatch(Fact(name=name, pk=row.pk, sk=row.sk, rev=row.rev, owed=False), now=NOW)


def registered(alice: str) -> Callable[[], None]:
    """A friend of Alice's who has registered, and the fact of it."""
    friend = comes(a_link(sharer_id=alice))
    row = table.get(Member, Member.key(friend))
    assert row is not None
    service.current(now=NOW)
    return brought(row, "member.registered")


@pytest.mark.usefixtures("only_rewards")
def test_a_fact_that_no_rule_asks_for_is_one_read_and_no_write(alice: str) -> None:
    a_rule(on="order.paid")

    spent = costs(registered(alice))

    assert (spent.operations, spent.writes) == (Counter(GetItem=1), Counter())


@pytest.mark.usefixtures("only_rewards")
def test_a_fact_whose_conditions_fail_writes_its_note_alone(alice: str) -> None:
    a_rule(where={"channels": ["moments"]})

    spent = costs(registered(alice))

    assert (spent.operations, spent.writes) == (Counter(GetItem=1, PutItem=1), Counter(traffic=1))


GRANT = 2 + 2 + 2
"""The grant, its entry in the member's list, its part of the purse."""
POSTING = 2 + 2
"""The account and the entry; one index unit for the list of entries."""


@pytest.mark.usefixtures("only_rewards")
def test_points_for_a_friend_are_a_read_a_transaction_and_a_note(alice: str) -> None:
    a_rule()

    spent = costs(registered(alice))

    assert spent.operations == Counter(GetItem=1, TransactWriteItems=1, PutItem=1)
    assert spent.writes == Counter({"truth": GRANT + POSTING, "truth/owner": 1, "traffic": 1})


@pytest.mark.usefixtures("only_rewards")
def test_each_limit_of_a_member_adds_a_row_and_no_call(alice: str) -> None:
    a_rule(limits={"per_member": 5, "per_day": 5, "total": 5})

    spent = costs(registered(alice))

    assert spent.operations == Counter(GetItem=1, TransactWriteItems=1, PutItem=1)
    assert spent.writes["truth"] == GRANT + POSTING + 2 + 2


@pytest.mark.usefixtures("only_rewards")
def test_a_reward_of_an_order_also_asks_whether_the_order_is_as_it_was(alice: str) -> None:
    a_rule(on="order.paid", to="actor")
    order = an_order(alice)
    service.current(now=NOW)

    spent = costs(brought(order, "order.paid"))

    assert spent.operations == Counter(GetItem=1, TransactWriteItems=1, PutItem=1)
    assert spent.writes["truth"] == GRANT + POSTING + 2


@pytest.mark.usefixtures("only_rewards")
def test_a_count_towards_a_tier_is_two_reads_more_and_two_rows(alice: str) -> None:
    a_rule(tiers=[{"at": 2, "give": [{"kind": "points", "amount": 5}]}])

    counted, reached = costs(registered(alice)), costs(registered(alice))

    assert counted.operations == Counter(Query=1, GetItem=2, TransactWriteItems=1, PutItem=1)
    assert (counted.writes["truth"], reached.writes["truth"]) == (4, 4 + GRANT + POSTING)


@pytest.mark.usefixtures("only_rewards")
def test_a_reward_that_is_missed_is_refused_once_and_noted(alice: str) -> None:
    a_rule(limits={"total": 1})
    registered(alice)()

    spent = costs(registered(alice))

    assert spent.operations == Counter(GetItem=1, TransactWriteItems=2, BatchGetItem=1, PutItem=1)
    assert spent.writes["truth"] == GRANT + POSTING + GRANT


@pytest.mark.usefixtures("only_rewards")
def test_taking_back_is_three_reads_and_a_transaction(alice: str) -> None:
    a_rule(on="order.paid", to="actor")
    order = an_order(alice)
    brought(order, "order.paid")()
    over = refunded(order)

    spent = costs(brought(over, "order.refunded"))

    # The order, its grants, the entry that is reversed; its reversal is three rows.
    assert spent.operations == Counter(GetItem=1, Query=1, BatchGetItem=1, TransactWriteItems=1)
    assert spent.writes["truth"] == GRANT + 6


@pytest.mark.usefixtures("only_rewards")
def test_a_fact_brought_again_writes_nothing_but_its_note(alice: str, store: Store) -> None:
    a_rule()
    fact = registered(alice)
    fact()
    before = store.client.scan(TableName="truth")["Items"]

    fact()

    assert store.client.scan(TableName="truth")["Items"] == before


def test_how_far_a_member_is_takes_one_read_for_all_rules(alice: str) -> None:
    for _ in range(3):
        a_rule(limits={"per_member": 3, "per_day": 3})
    offers = lists.offered(now=NOW)

    spent = costs(lambda: lists.standings(alice, offers, now=NOW))

    assert spent.operations == Counter(BatchGetItem=1)


def test_many_rules_are_read_once_in_five_seconds(alice: str) -> None:
    a_rule()
    service.current(now=NOW)

    spent = costs(lambda: [service.in_force("order.paid", at=NOW, now=NOW + 4) for _ in range(50)])

    assert spent.calls == 0
