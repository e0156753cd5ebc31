"""The mall's ordinary orders when any call fails: told again, there is one order, and the books add up."""

from dataclasses import dataclass

import pytest

from chalicelib.core import facts, table
from chalicelib.members import service as members
from chalicelib.members.schemas import MemberRef
from infra.local.clients import Store
from tests.factories import NOW, books, emptied
from tests.harness.faults import each_fault
from tests.orders import back, bought, broken, net, paid, tell, the_order

pytestmark = pytest.mark.usefixtures("store")


@dataclass
class World:
    """The mall's number of an order."""

    number: str


@pytest.fixture(autouse=True)
def nobody_reacts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is owed stays owed: the faults of those who react are tried elsewhere."""
    for name in list(facts._reactions):
        quiet = facts._Reaction(name="test.quiet", effect=lambda row, now: (), money=False)
        monkeypatch.setitem(facts._reactions, name, [quiet])


def a_member_of_the_mall() -> World:
    """Nothing but that."""
    emptied()
    members.referred(MemberRef(external_id="alice"), now=NOW)
    return World(number="M1")


def an_order_that_is_paid() -> World:
    emptied()
    return World(number=paid().mall_order_id or "")


def test_an_order_that_is_told_as_paid_is_made_and_paid_once(store: Store) -> None:
    def told(world: World) -> None:
        tell("order.paid", world.number, payment_id="wx_1", **bought())

    def check(world: World) -> None:
        order = the_order(world.number)
        assert (order.state, order.due_ref, broken(order)) == ("paid", "order.paid", [])
        assert books(store.client)["order"] == 1

    each_fault(told, client=table.client(), setup=a_member_of_the_mall, check=check)


def test_a_part_of_a_line_goes_back_once_and_is_owed(store: Store) -> None:
    def told(world: World) -> None:
        back(the_order(world.number), lines=[{"line_id": "1", "amount_fen": 900}])

    def check(world: World) -> None:
        order = the_order(world.number)
        assert (net(order), broken(order)) == ({"1": 5100, "2": 2900}, [])
        assert books(store.client).only("refund")["due_ref"] == "order.reduced"

    each_fault(told, client=table.client(), setup=an_order_that_is_paid, check=check)
