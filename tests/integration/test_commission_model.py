"""A model of commissions beside the real ones: whatever happens to orders, in whatever order, to the fen the same.

The model knows orders as numbers: what is left of each line, and when. What a promoter has is worked out from that
anew; the real ones got there by facts, late ones too, by settling, and by what was taken back.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.commissions import service
from chalicelib.core import table
from chalicelib.core.clock import DAY
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.sharing import attribution, policies
from chalicelib.sharing.schemas import EditPolicy
from tests.commissions import (
    HOLD_DAYS,
    LONG_AGO,
    a_friend_of,
    a_promoter,
    a_rate,
    alone,
    balance,
    bought,
    broken,
    completed,
    earned,
    line,
    paid,
    partly_refunded,
    refunded,
    settled,
    some_terms,
)
from tests.factories import NOW, OWNER, emptied
from tests.harness.direct import Direct

BPS, UPPER_BPS, UNIT_FEN = 777, 123, 150


@dataclass
class Sold:
    """What the model knows of an order: fen left of its tea and of its three tins."""

    order: Order
    tea: int
    tins: int
    tins_paid: int
    state: str = "pending"
    due_at: int | None = None
    aftersale: bool = False
    settled: bool = False
    gone: bool = False

    def worth(self) -> dict[str, int]:
        """What each level earns by what is left, each line rounded down."""
        if self.gone:
            return {}
        whole = min(3 * UNIT_FEN, self.tins_paid)
        first = self.tea * BPS // 10_000 + whole * self.tins // self.tins_paid
        second = self.tea * UPPER_BPS // 10_000 + self.tins * UPPER_BPS // 10_000
        return {"L1": first, "L2": second}


@dataclass
class Shop:
    """A promoter and who brought them, their customer, and the orders so far."""

    friend: str
    alice: str
    upper: str
    now: int = NOW
    sold: list[Sold] = field(default_factory=list)

    def buys(self, tea: int, tins: int) -> None:
        lines = [line("1", paid_fen=tea), line("2", product_id="tin", paid_fen=tins, quantity=3)]
        order = bought(self.friend, lines, now=self.now)
        self.sold.append(
            Sold(order=paid(order, now=self.now), tea=tea, tins=tins, tins_paid=tins, state="paid")
        )

    def completes(self, at: int) -> None:
        sold = self.sold[at]
        if sold.state == "paid":
            completed(sold.order, now=self.now)
            sold.state, sold.due_at = "completed", self.now + HOLD_DAYS * DAY

    def gives_back(self, at: int, tea: int, tins: int, told: bool) -> None:
        sold = self.sold[at]
        tea, tins = min(tea, sold.tea), min(tins, sold.tins)
        if sold.gone or not tea + tins:
            return
        if (tea, tins) == (sold.tea, sold.tins):
            refunded(sold.order, now=self.now, told=told)
            sold.gone = True
            sold.tea = sold.tins = 0
            return
        parts = {name: fen for name, fen in (("l1", tea), ("l2", tins)) if fen}
        partly_refunded(sold.order, now=self.now, told=told, **parts)
        sold.tea, sold.tins = sold.tea - tea, sold.tins - tins

    def complains(self, at: int, is_open: bool) -> None:
        sold = self.sold[at]
        orders.aftersale(sold.order.order_id, is_open=is_open, at=None)
        sold.aftersale = is_open

    def settles(self) -> None:
        assert not settled(now=self.now).failed
        for sold in self.sold:
            if (
                sold.settled
                or sold.due_at is None
                or sold.due_at > self.now
                or not any(sold.worth().values())
            ):
                continue
            if sold.aftersale:
                sold.due_at = self.now + DAY
            else:
                sold.settled = True

    def check(self) -> None:
        """All late facts have come; both promoters have what the settled orders are worth, to the fen."""
        for sold in self.sold:
            service.follow(orders.show(sold.order.order_id), cause="late", now=self.now)
        assert broken(table.client()) == []
        for who, level in ((self.alice, "L1"), (self.upper, "L2")):
            assert balance(who) == sum(one.worth().get(level, 0) for one in self.sold if one.settled)
        for sold in self.sold:
            worth = {level: fen for level, _, fen in earned(sold.order)}
            assert {level: fen for level, fen in worth.items() if fen} == {
                level: fen for level, fen in sold.worth().items() if fen
            }


FEN = st.integers(100, 30_000)
WHICH = st.integers(0, 3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("buys"), FEN, FEN),
        st.tuples(st.just("completes"), WHICH),
        st.tuples(st.just("completes"), WHICH),
        st.tuples(st.just("gives_back"), WHICH, st.integers(0, 30_000), st.integers(0, 9_000), st.booleans()),
        st.tuples(st.just("complains"), WHICH, st.booleans()),
        st.tuples(st.just("days"), st.integers(3, 9)),
        st.tuples(st.just("settles")),
        st.tuples(st.just("settles")),
    ),
    min_size=3,
    max_size=18,
)


def a_shop() -> Shop:
    """Two levels earn; tins earn a fixed sum each on the first."""
    emptied()
    some_terms()
    policies.make(EditPolicy(mode="first", depth=2), by=OWNER, now=LONG_AGO)
    a_rate(bps=BPS)
    a_rate(unit_fen=UNIT_FEN, product_id="tin")
    a_rate(bps=UPPER_BPS, level="level2")
    upper, alice = a_promoter(), a_promoter()
    attribution.move(alice, promoter_id=upper, reason="test", by=OWNER, now=LONG_AGO)
    return Shop(friend=a_friend_of(alice), alice=alice, upper=upper)


@given(steps=STEPS, begun=st.booleans())
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_promoters_have_what_the_orders_earned_to_the_fen(
    direct: Direct, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[Any, ...]], begun: bool
) -> None:
    alone(monkeypatch)
    shop = a_shop()
    shop.buys(9_999, 3_333)
    first = [("completes", 0), ("days", HOLD_DAYS), ("settles",), ("buys", 5_001, 7_777)] if begun else []
    for name, *told in [*first, *steps]:
        if name == "days":
            shop.now += told[0] * DAY
        elif name in ("buys", "settles") or told[0] < len(shop.sold):
            getattr(shop, name)(*told)
    shop.check()
