"""A model of coupons beside the real ones: whatever is done in whatever order, both say the same.

The model is a dictionary; it says what may happen next, and the books are looked at after each step.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from chalicelib.core import cache
from chalicelib.core.clock import DAY
from chalicelib.core.errors import AppError
from chalicelib.coupons import gifts, service, templates, using
from chalicelib.coupons.models import Coupon, Template
from infra.local.clients import Store
from tests.coupons import MAKING, a_template, broken, claim, run_jobs, wanted
from tests.factories import NOW, OWNER, emptied
from tests.groupbuys import buyers

STOCK = 5
LIMIT = 2
MEMBERS = 3


class Coupons(RuleBasedStateMachine):
    """Three members, one template with five units, two for each of them, good for ten days."""

    coupons: Bundle[Coupon] = Bundle("coupons")
    store: Store

    @initialize()
    def begin(self) -> None:
        """Nothing has happened."""
        emptied()
        self.now = NOW
        self.members = buyers(MEMBERS)
        self.template: Template = a_template(
            stock=STOCK,
            stock_shards=2,
            per_member=LIMIT,
            giftable=True,
            claim={"starts_at": NOW, "ends_at": NOW + 5 * DAY},
            validity={"kind": "fixed", "starts_at": NOW, "ends_at": NOW + 10 * DAY},
            remind_before_s=DAY,
        )
        self.states: dict[str, str] = {}
        self.claims: dict[str, int] = dict.fromkeys(self.members, 0)
        self.on = True
        self.orders = 0

    def does(self, call: Any, *, allowed: bool) -> Any:
        """The call goes through if the model says so, and is refused if it does not."""
        try:
            answer = call()
        except AppError as refused:
            assert not allowed, refused.code
            return None
        assert allowed, answer
        return answer

    @rule(target=coupons, who=st.integers(0, MEMBERS - 1))
    def claims_one(self, who: int) -> Any:
        """A member claims."""
        cache.clear_all()
        member_id = self.members[who]
        left = STOCK - sum(self.claims.values())
        may = self.on and self.now < NOW + 5 * DAY and left > 0 and self.claims[member_id] < LIMIT
        coupon = self.does(lambda: claim(self.template, member_id, now=self.now), allowed=may)
        if coupon is None:
            return multiple()
        self.claims[member_id] += 1
        self.states[coupon.coupon_id] = "unused"
        return coupon

    def is_good(self, coupon: Coupon) -> bool:
        """Whether it is unused and its time is not over."""
        return self.states[coupon.coupon_id] == "unused" and self.now < coupon.ends_at

    @rule(coupon=coupons, end=st.sampled_from(["redeem", "release", "return"]))
    def goes_through_an_order(self, coupon: Coupon, end: str) -> None:
        """An order holds it, and then uses it, lets it go, or brings it back."""
        self.orders += 1
        order = f"M-{self.orders}"
        may = self.is_good(coupon)
        self.does(lambda: using.lock(wanted(coupon, order=order), now=self.now), allowed=may)
        self.does(lambda: using.bring_back(order, now=self.now), allowed=False)
        if end == "release":
            self.does(lambda: using.release(order, now=self.now), allowed=may)
            return
        self.does(lambda: using.redeem(order, now=self.now), allowed=may)
        if end == "return":
            self.does(lambda: using.bring_back(order, now=self.now), allowed=may)
        elif may:
            self.states[coupon.coupon_id] = "redeemed"

    @rule(coupon=coupons)
    def is_forgotten_by_its_order(self, coupon: Coupon) -> None:
        """An order holds it and is never heard of again: the lock ends by itself."""
        self.orders += 1
        ask = wanted(coupon, order=f"M-{self.orders}", lock_s=60)
        self.does(lambda: using.lock(ask, now=self.now), allowed=self.is_good(coupon))
        self.passes(60)

    @rule(target=coupons, coupon=coupons, who=st.integers(0, MEMBERS - 1), taken=st.booleans())
    def is_given(self, coupon: Coupon, who: int, taken: bool) -> Any:
        """It is put on its way to a friend, who takes it or does not."""
        may = self.is_good(coupon) and coupon.giftable
        sent = self.does(lambda: gifts.give(coupon.member_id, coupon.coupon_id, now=self.now), allowed=may)
        if sent is None:
            return multiple()
        friend = self.members[who]
        if not taken:
            gifts.take_back(coupon.member_id, coupon.coupon_id, now=self.now)
            return multiple()
        own = friend == coupon.member_id
        new = self.does(lambda: gifts.accept(sent[0].code, friend, now=self.now), allowed=not own)
        if new is None:
            gifts.take_back(coupon.member_id, coupon.coupon_id, now=self.now)
            return multiple()
        self.states[coupon.coupon_id] = "gifted"
        self.states[new.coupon.coupon_id] = "unused"
        return new.coupon

    @rule(coupon=coupons)
    def is_voided(self, coupon: Coupon) -> None:
        """An operator takes it away."""
        may = self.states[coupon.coupon_id] in ("unused", "void")
        call = lambda: using.void(  # noqa: E731 - a call like the others
            coupon.member_id, coupon.coupon_id, reason="x", by=OWNER, now=self.now
        )
        if self.does(call, allowed=may):
            self.states[coupon.coupon_id] = "void"

    @rule()
    def is_switched(self) -> None:
        """The template is switched off, or on."""
        self.on = not self.on
        templates.switch(self.template.template_id, to="on" if self.on else "off", making=MAKING)

    @rule(seconds=st.sampled_from([60, DAY, 4 * DAY]))
    def passes(self, seconds: int) -> None:
        """Time, and the jobs."""
        self.now += seconds
        run_jobs(now=self.now)
        if self.now >= NOW + 10 * DAY:
            unused = [one for one, state in self.states.items() if state == "unused"]
            self.states.update(dict.fromkeys(unused, "expired"))

    @invariant()
    def both_say_the_same(self) -> None:
        """Every coupon is what the model says, and the books add up."""
        if not hasattr(self, "states"):
            return
        there = {one.coupon_id: one.state for who in self.members for one in service.all_of(who)}
        assert there == self.states
        assert broken(self.store, self.template, stock=STOCK) == []


def test_the_model_and_the_coupons_say_the_same(store: Store) -> None:
    Coupons.store = store
    case = Coupons.TestCase
    case.settings = settings(
        max_examples=6,
        stateful_step_count=10,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    case().runTest()


def test_the_model_sees_a_limit_that_is_not_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    Coupons.store = store
    monkeypatch.setattr(service, "_within_limit", lambda template, *, n, today: None)
    state = Coupons()
    state.begin()
    for _ in range(LIMIT):
        state.claims_one(who=0)

    with pytest.raises(AssertionError):
        state.claims_one(who=0)
