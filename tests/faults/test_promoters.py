"""What is counted for promoters when any storage call fails: a friend once, and what is left of what was spent."""

from collections.abc import Callable, Iterator

import pytest

from chalicelib.commissions import promoters
from chalicelib.core import cache, facts, table
from chalicelib.core.facts import Fact
from chalicelib.core.table import Row
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.sharing.models import Binding
from tests.commissions import (
    LONG_AGO,
    a_friend_of,
    a_promoter,
    alone,
    bought,
    completed,
    line,
    paid,
    partly_refunded,
    refunded,
    some_terms,
)
from tests.factories import NOW, a_member, books, emptied
from tests.harness.direct import Direct
from tests.harness.faults import each_fault


@pytest.fixture(autouse=True)
def client(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> Iterator[Direct]:
    """What the app looks at; nothing of it is remembered."""
    alone(monkeypatch)
    # What an order earns others is tried beside this: here it would double the calls.
    for fact, reactions in list(facts._reactions.items()):
        counting = [one for one in reactions if not one.name.startswith("commissions.follow")]
        monkeypatch.setitem(facts._reactions, fact, counting)
    yield direct
    cache.clear_all()


def told(name: str, row: Row, *, rev: int) -> None:
    """A fact of a row comes, as of a revision of it."""
    facts.dispatch(Fact(name=name, pk=row.pk, sk=row.sk, rev=rev, owed=False), now=NOW)


def test_a_friend_who_came_twice_counts_once(client: Direct) -> None:
    def a_friend() -> Binding:
        emptied()
        some_terms(tiers=[{"name": "a"}, {"name": "b", "invitees": 1}])
        row = table.get(Binding, Binding.key(a_friend_of(a_promoter())))
        assert row is not None
        return row

    def count(row: Binding) -> None:
        for rev in (1, 3):
            told("binding.made", row, rev=rev)

    def check(row: Binding) -> None:
        assert promoters.counts_of(row.promoter_id)["invitees"] == 1
        assert promoters.show(row.promoter_id).tier == 2
        assert books(client)["promoter_invitee"] == 1

    each_fault(count, client=client, setup=a_friend, check=check)


def an_order() -> Order:
    """One of two lines, completed, that makes its buyer a promoter; nobody was told."""
    emptied()
    some_terms(earned_by_spend_fen=9_000)
    lines = [line("1", paid_fen=9000), line("2", paid_fen=1000)]
    return completed(paid(bought(a_member(now=LONG_AGO), lines), told=False), told=False)


def a_counted_one() -> Order:
    order = an_order()
    told("order.completed", order, rev=order.rev)
    return order


def parted() -> Order:
    return partly_refunded(a_counted_one(), l2=400, told=False)


def gone() -> Order:
    return refunded(a_counted_one(), told=False)


def all_told(order: Order) -> None:
    """The facts of an order come, and that it was completed as of two revisions."""
    row = orders.show(order.order_id)
    told("order.completed", row, rev=row.rev)
    told("order.completed", row, rev=row.rev + 1)
    if row.state == "refunded":
        told("order.refunded", row, rev=row.rev)
    for refund in orders.money_of(order.order_id)[1]:
        told("order.reduced", refund, rev=refund.rev)


@pytest.mark.parametrize(("plant", "fen"), [(an_order, 10_000), (parted, 9_600), (gone, 0)])
def test_what_was_spent_is_what_is_left(plant: Callable[[], Order], fen: int, client: Direct) -> None:
    def check(order: Order) -> None:
        assert promoters.counts_of(order.member_id)["spend_fen"] == fen
        assert books(client).only("promoter_spend")["fen"] == fen
        assert promoters.show(order.member_id).made_by == "spend", "who is one by it stays one"

    each_fault(all_told, client=client, setup=plant, check=check)
