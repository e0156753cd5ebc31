"""What is counted for promoters under a crowd: a friend once, and of what was bought as much as is left of it.

A friend who goes and comes back is bound anew each time, and each is a fact of its own, so no marker holds the
second back; what somebody spent rises with an order and falls with what goes back, and both are told in any order.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from chalicelib.commissions import promoters
from chalicelib.commissions.models import Invited, Spent
from chalicelib.core import facts, table
from chalicelib.core.facts import Fact
from chalicelib.core.table import Row, Write
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
from tests.factories import NOW, a_member
from tests.races.arena import STORM, Arena, careless, rounds

pytestmark = pytest.mark.engine
ENOUGH = 15_000


@pytest.fixture(autouse=True)
def shop(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has bought enough is a promoter."""
    alone(monkeypatch)
    some_terms(earned_by_spend_fen=ENOUGH)


def telling(name: str, row: Row, *, rev: int) -> Callable[[], None]:
    """A fact of a row comes, as of a revision of it."""
    fact = Fact(name=name, pk=row.pk, sk=row.sk, rev=rev, owed=False)
    return lambda: facts.dispatch(fact, now=NOW)


def forgetting(kind: type[Row]) -> Callable[[Write], Write]:
    """Rows of this kind are written whatever is there."""
    return lambda write: replace(write, when=None) if isinstance(write.row, kind) else write


# --- friends ------------------------------------------------------------------------------------------------


def the_binding(friend: str) -> Binding:
    row = table.get(Binding, Binding.key(friend))
    assert row is not None
    return row


def test_the_harness_sees_a_friend_counted_twice_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = a_promoter()
    row = the_binding(a_friend_of(alice))
    careless(monkeypatch, forgetting(Invited))

    arena.collide(*[telling("binding.made", row, rev=rev) for rev in (1, 3)]).expect(won=2)

    assert promoters.counts_of(alice)["invitees"] == 2


@rounds(STORM)
def test_friends_who_come_back_however_often_count_once_each(arena: Arena) -> None:
    alice = a_promoter()
    friends = [the_binding(a_friend_of(alice)) for _ in range(3)]

    came = [telling("binding.made", row, rev=rev) for row in friends for rev in (1, 3, 5, 7)]
    outcomes = arena.race(*came, *came)

    outcomes.expect(won=len(came) * 2)
    assert promoters.counts_of(alice)["invitees"] == len(friends) == len(arena.rows("promoter_invitee"))
    assert all(one.old is None for one in arena.images("promoter_invitee")), "each was written once"


# --- what was spent -----------------------------------------------------------------------------------------


def spent(member_id: str) -> int:
    """What is counted as spent by somebody."""
    return promoters.counts_of(member_id)["spend_fen"]


def an_order(member_id: str) -> Order:
    """An order that is completed, of which nobody was told."""
    lines = [line("1", paid_fen=9000), line("2", paid_fen=1000)]
    return completed(paid(bought(member_id, lines), told=False), told=False)


def test_the_harness_sees_an_order_counted_twice_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = a_member(now=LONG_AGO)
    order = an_order(buyer)
    careless(monkeypatch, forgetting(Spent))

    arena.collide(*[telling("order.completed", order, rev=rev) for rev in (5, 6)]).expect(won=2)

    assert spent(buyer) == 20_000


@rounds(STORM)
def test_who_has_bought_enough_is_a_promoter_once_and_each_order_counts_once(arena: Arena) -> None:
    buyer = a_member(now=LONG_AGO)
    made = [an_order(buyer) for _ in range(2)]

    told = [telling("order.completed", order, rev=rev) for order in made for rev in (5, 6, 7)]
    arena.race(*told, *told).expect(won=len(told) * 2)

    assert spent(buyer) == 20_000
    assert promoters.show(buyer).made_by == "spend"
    assert [one.old for one in arena.images("promoter")] == [None]


@rounds(STORM)
def test_what_was_spent_falls_with_what_goes_back_in_any_order_and_never_below_what_is_left(
    arena: Arena,
) -> None:
    buyer = a_member(now=LONG_AGO)
    kept, parted, gone = (an_order(buyer) for _ in range(3))
    telling("order.completed", kept, rev=5)()

    refunds: list[Callable[[], object]] = [
        lambda: partly_refunded(parted, l2=1000, told=False),
        lambda: refunded(gone, told=False),
    ]
    told = [telling("order.completed", order, rev=rev) for order in (parted, gone) for rev in (5, 6)]
    going = [telling("order.refunded", gone, rev=rev) for rev in (7, 8)]
    outcomes = arena.race(*told, *refunds, *going, *told)
    for order in (kept, parted, gone):
        _all_told(order)

    outcomes.expect_won_or("refund_too_much", "order_given_back")
    left = {order.order_id: _left(order) for order in (kept, parted, gone)}
    assert {row["sk"]: row["fen"] for row in arena.rows("promoter_spend")} == left
    # Told "busy", the mall may have given the part back a second time: the orders say what is left.
    assert (left[kept.order_id], left[gone.order_id]) == (10_000, 0)
    assert spent(buyer) == sum(left.values())
    lows = [row.new["spend_fen"] for row in arena.images("promoter_counts") if row.new is not None]
    assert min(lows) >= 0, "no image says that less than nothing was spent"


def _left(order: Order) -> int:
    row = orders.show(order.order_id)
    return (row.refundable_fen or 0) if row.state == "completed" else 0


def _all_told(order: Order) -> None:
    """All facts of an order that there are, with those of its refunds, come once more."""
    row = orders.show(order.order_id)
    for name in ("order.completed", "order.refunding", "order.refunded"):
        telling(name, row, rev=row.rev)()
    for refund in orders.money_of(order.order_id)[1]:
        telling("order.reduced", refund, rev=refund.rev)()
