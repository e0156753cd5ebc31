"""Coupons against a wallet on paper: whatever is done in whatever order, by two at once, on an unkind store.

Claims, codes, batches and packs share one stock; coupons go through orders, to friends, over the counter and away;
locks, gifts, packs and coupons end by their jobs. After every step the table says what the paper says.

    make soak                          more examples, other ones each time: SOAK_EXAMPLES=5000 SOAK_SEED=7
"""

import copy
import os
import random
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chalicelib.core import cache, config, due, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import AppError, Busy
from chalicelib.coupons import codes, gifts, grants, packs, service, templates, using
from chalicelib.coupons.models import Coupon, Template
from chalicelib.coupons.schemas import GrantPart, MakeCodes
from infra.local.clients import Store
from tests.coupons import JOBS, MAKING, a_plan, a_template, broken, claim, wanted
from tests.factories import NOW, OWNER, emptied
from tests.groupbuys import naively, registered
from tests.harness.hostile import Hostile
from tests.harness.rows import rows
from tests.model.test_groupbuys import ODDS, SEED, Chance, at_first_hand, meanwhile, played, replaced
from tests.model.wallet import (
    CLAIM_END,
    CODES,
    CODES_END,
    END,
    LIMIT,
    PACKS_END,
    PIECES,
    STOCK,
    USES,
    Wallet,
)

EXAMPLES = int(os.environ.get("SOAK_EXAMPLES", "40"))
STEPS = int(os.environ.get("SOAK_STEPS", "25"))
PEOPLE = ("mbr_ann", "mbr_bob", "mbr_cid")
NEWCOMERS = 3
LATE_S = 5
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Whim:
    """What is done next, before it is known what there is to do it to: numbers that are counted round."""

    what: str
    who: int = 0
    at: int = 0
    more: int = 0


@dataclass(frozen=True, kw_only=True)
class Act:
    """One call, whether the paper allows it, and what the paper then says."""

    call: Callable[[], Any]
    may: Callable[[Wallet], bool]
    then: Callable[[Wallet, Any], None]


ACTS = (
    *("claims", "claims", "uses_a_code", "opens_a_pack", "takes_a_piece", "takes_a_piece", "takes_a_piece"),
    *("holds", "holds", "holds", "holds_anew", "redeems", "redeems", "lets_go", "brings_back"),
    *("shows_in_the_shop", "takes_away", "gives", "gives", "accepts", "accepts", "keeps"),
)
TURNS = ("comes_by_a_batch", "switches", "registers", "waits", "waits")


def whims(*what: str) -> st.SearchStrategy[Whim]:
    """Any of these, by anybody, to anything."""
    return st.builds(
        Whim,
        what=st.sampled_from(what),
        who=st.integers(0, len(PEOPLE) + NEWCOMERS - 1),
        at=st.integers(0, 7),
        more=st.integers(0, 5),
    )


Told = tuple[Act, Any]


class Coupons(RuleBasedStateMachine):
    """Some members, one template of which each may claim two, and the store in some mood."""

    @initialize(dice=st.integers(0, 2**16))
    def begins(self, dice: int) -> None:
        """Nothing has happened, on an empty store."""
        emptied()
        self.worn, self.passed, self.said = ExitStack(), 0, 0
        self.worn.enter_context(replaced(secrets, "token_bytes", Chance()))
        self.paper = Wallet(people=dict.fromkeys(registered(PEOPLE), NOW))
        self.template = _template()
        self.plan = a_plan(self.template, own=self.template, after_new=1, pieces=PIECES, ends_at=PACKS_END)
        given = MakeCodes(batch="b", count=CODES, uses=USES, ends_at=CODES_END)
        row = codes.make(self.template.template_id, given, MAKING)
        self.printed = codes.letters(self.template.template_id, row, now=NOW)
        self.paper.codes = dict.fromkeys(self.printed, USES)
        self.hostile = Hostile(
            table.client(),
            dice=random.Random(dice),
            index_delay=LATE_S,
            clock=lambda: self.paper.now + self.passed,
        )
        self.worn.enter_context(self.hostile)

    def teardown(self) -> None:
        """The store is kind again."""
        if hasattr(self, "worn"):
            self.worn.close()

    @rule(whim=whims(*ACTS, *TURNS))
    def somebody(self, whim: Whim) -> None:
        """One step of somebody's, or a turn that things take."""
        act = getattr(self, whim.what)(whim)
        if act is not None:
            told = self._answer(act)
            assert self._fits(self.paper, (act, told)), told

    @rule(first=whims(*ACTS), second=whims(*ACTS), at=st.integers(1, 2))
    def two_at_once(self, first: Whim, second: Whim, at: int) -> None:
        """The second comes when the first has read, before its ``at``-th write."""
        acts = [getattr(self, one.what)(one) for one in (first, second)]
        if None in acts:
            return
        told: list[Told] = []
        with meanwhile(at, lambda: told.append((acts[1], self._answer(acts[1])))):
            answer = self._answer(acts[0])
        told = [(acts[0], answer), *(told or [(acts[1], self._answer(acts[1]))])]
        now = _told(table.client())
        for turn in (told, told[::-1]):
            paper = copy.deepcopy(self.paper)
            if self._fits(paper, *turn) and paper.told() == now:
                self.paper = paper
                return
        raise AssertionError(f"neither way round: {first} {second} {told} {now} {self.paper.told()}")

    @invariant()
    def both_say_the_same(self) -> None:
        """The table is as the paper, and the books add up."""
        if hasattr(self, "worn"):
            assert _told(table.client()) == self.paper.told()
            assert broken(table.client(), self.template, stock=STOCK) == []

    # --- getting one ---

    def claims(self, whim: Whim) -> Act:
        """A member claims."""
        member_id, key, now = self._one(whim), self._new("tap-"), self.paper.now
        return Act(
            call=lambda: claim(self.template, member_id, key=key, now=now),
            may=lambda paper: paper.may_claim(member_id),
            then=lambda paper, got: paper.claimed(member_id, got.coupon_id),
        )

    def uses_a_code(self, whim: Whim) -> Act:
        """A member types what is printed."""
        member_id, code, now = self._one(whim), self.printed[whim.at % CODES], self.paper.now
        return Act(
            call=lambda: codes.use(code, member_id, now=now).coupon,
            may=lambda paper: paper.may_use_code(code, member_id),
            then=lambda paper, got: paper.used_code(code, member_id, got.coupon_id),
        )

    def opens_a_pack(self, whim: Whim) -> Act:
        """A member gets pieces to share."""
        plan_id, sharer, now = self.plan.plan_id, self._one(whim), self.paper.now
        return Act(
            call=lambda: packs.open_pack(plan_id, sharer, order_id=None, now=now).pack,
            may=lambda paper: paper.may_open(sharer),
            then=lambda paper, got: paper.opened(sharer, got.pack_id, got.sharer_coupon_id),
        )

    def takes_a_piece(self, whim: Whim) -> Act | None:
        """A friend takes one; the sharer's own coupon may be good by it."""
        pack, friend, now = _nth(self.paper.packs, whim.at), self._one(whim), self.paper.now
        if pack is None:
            return None
        return Act(
            call=lambda: packs.take(pack, friend, now=now).coupon,
            may=lambda paper: paper.may_take(pack, friend),
            then=lambda paper, got: paper.took(pack, friend, got.coupon_id),
        )

    # --- orders, the counter, operators ---

    def holds(self, whim: Whim) -> Act | None:
        """A new order wants a coupon, for a minute or for two days."""
        return self._holds(self._new("M-"), whim, (60, 2 * DAY)[whim.more % 2])

    def holds_anew(self, whim: Whim) -> Act | None:
        """An order that is there already wants one."""
        order = _nth(self.paper.orders, whim.more)
        return None if order is None else self._holds(order, whim, 60)

    def _holds(self, order: str, whim: Whim, lock_s: int) -> Act | None:
        coupon, now = self._coupon(whim), self.paper.now
        if coupon is None:
            return None
        ask = wanted(coupon, order=order, lock_s=lock_s)
        return Act(
            call=lambda: using.lock(ask, now=now),
            may=lambda paper: paper.may_hold(order, coupon.coupon_id),
            then=lambda paper, _: paper.held(order, coupon.coupon_id, until=now + lock_s),
        )

    def redeems(self, whim: Whim) -> Act | None:
        """The order is paid."""
        return self._steps(whim, using.redeem, "locked", "redeemed", coupon="redeemed")

    def lets_go(self, whim: Whim) -> Act | None:
        """The order is off before it was paid."""
        return self._steps(whim, using.release, "locked", "released")

    def brings_back(self, whim: Whim) -> Act | None:
        """The order is off after it was paid."""
        return self._steps(whim, using.bring_back, "redeemed", "returned")

    def _steps(self, whim: Whim, step: Callable[..., Any], before: str, after: str, **to: str) -> Act | None:
        order, now = _nth(self.paper.orders, whim.at), self.paper.now
        if order is None:
            return None
        return Act(
            call=lambda: step(order, now=now),
            may=lambda paper: paper.may_step(order, before, after),
            then=lambda paper, _: paper.stepped(order, before, after, **to),
        )

    def shows_in_the_shop(self, whim: Whim) -> Act | None:
        """The shop takes it over the counter, by a code that was shown while it was good."""
        coupon, now = self._coupon(whim), self.paper.now
        if coupon is None:
            return None
        who = (coupon.member_id, coupon.coupon_id)
        if not self.paper.good(coupon.coupon_id):
            return Act(
                call=lambda: using.shop_code(*who, now=now),
                may=lambda paper: paper.good(coupon.coupon_id),
                then=lambda paper, _: None,
            )
        code, _ = using.shop_code(*who, now=now)
        return Act(
            call=lambda: using.verify(code, by=OWNER, now=now),
            may=lambda paper: paper.good(coupon.coupon_id),
            then=lambda paper, _: paper.becomes(coupon.coupon_id, "redeemed"),
        )

    def takes_away(self, whim: Whim) -> Act | None:
        """An operator does it."""
        coupon, now = self._coupon(whim), self.paper.now
        if coupon is None:
            return None
        who = (coupon.member_id, coupon.coupon_id)
        return Act(
            call=lambda: using.void(*who, reason="x", by=OWNER, now=now),
            may=lambda paper: paper.coupons[coupon.coupon_id].state in ("unused", "void"),
            then=lambda paper, _: paper.becomes(coupon.coupon_id, "void"),
        )

    # --- gifts ---

    def gives(self, whim: Whim) -> Act | None:
        """It is put on its way to a friend."""
        coupon, now = self._coupon(whim), self.paper.now
        if coupon is None:
            return None
        return Act(
            call=lambda: gifts.give(coupon.member_id, coupon.coupon_id, now=now)[0],
            may=lambda paper: paper.may_give(coupon.coupon_id),
            then=lambda paper, got: paper.gave(coupon.coupon_id, got.code),
        )

    def accepts(self, whim: Whim) -> Act | None:
        """Somebody takes it who has the code."""
        code, friend, now = _nth(self.paper.gifts, whim.at), self._one(whim), self.paper.now
        if code is None:
            return None
        return Act(
            call=lambda: gifts.accept(code, friend, now=now).coupon,
            may=lambda paper: paper.may_accept(code, friend),
            then=lambda paper, got: paper.accepted(code, friend, got.coupon_id),
        )

    def keeps(self, whim: Whim) -> Act | None:
        """Its giver takes it back."""
        coupon, now = self._coupon(whim), self.paper.now
        if coupon is None:
            return None
        return Act(
            call=lambda: gifts.take_back(coupon.member_id, coupon.coupon_id, now=now),
            may=lambda paper: paper.coupons[coupon.coupon_id].state != "gifted",
            then=lambda paper, _: paper.kept(coupon.coupon_id),
        )

    # --- turns that things take ---

    def comes_by_a_batch(self, whim: Whim) -> None:
        """Operators give each of several one, while there are any."""
        batch, template_id = self._new("b"), self.template.template_id
        who = (list(self.paper.people) * 2)[whim.who : whim.who + 1 + whim.more % 3]
        part = GrantPart(batch=batch, member_ids=who)
        self._insists(lambda: grants.begin(template_id, part, MAKING))
        self._jobs_run()
        refused = []
        for member_id in dict.fromkeys(who):
            why = self.paper.why_not_granted()
            if why is None:
                cause = f"batch#{batch}"
                self.paper.given(member_id, service.id_for_cause(template_id, member_id, cause))
            else:
                refused.append([member_id, why])
        [chunk] = grants.progress(template_id, batch)
        assert (chunk.state, chunk.refused) == ("done", refused)

    def switches(self, whim: Whim) -> None:
        """The template, and the codes in print, go off, or on."""
        on = (True, True) if whim.more > 1 else (whim.more == 1, whim.more == 0)
        self.paper.on, self.paper.printed_on = on
        template_id, words = self.template.template_id, ["on" if one else "off" for one in on]
        self._insists(lambda: templates.switch(template_id, to=words[0], making=MAKING))
        self._insists(lambda: codes.switch(template_id, "b", to=words[1], making=MAKING))

    def registers(self, whim: Whim) -> None:
        """A member who is new to whatever pack is open."""
        if len(self.paper.people) < len(PEOPLE) + NEWCOMERS:
            [member_id] = registered([self._new("mbr_new")], now=self.paper.now)
            self.paper.people[member_id] = self.paper.now

    def waits(self, whim: Whim) -> None:
        """Time goes by, and then the jobs run."""
        self.paper.now += (60, 60, DAY, DAY, 2 * DAY, 4 * DAY)[whim.more]
        self._jobs_run()
        self.paper.jobs_ran()

    # --- how ---

    def _one(self, whim: Whim) -> str:
        people = list(self.paper.people)
        return people[whim.who % len(people)]

    def _coupon(self, whim: Whim) -> Coupon | None:
        """One of the coupons, mostly one that is good, the newest first."""
        good = [one for one in self.paper.coupons if self.paper.good(one)]
        coupon_id = _nth(good if good and whim.at < 5 else self.paper.coupons, whim.at)
        return None if coupon_id is None else service.own(self.paper.coupons[coupon_id].who, coupon_id)

    def _new(self, prefix: str) -> str:
        self.said += 1
        return f"{prefix}{self.said}"

    def _answer(self, act: Act) -> Any:
        """What the act brought; None: it was refused."""
        try:
            return self._insists(act.call)
        except AppError:
            return None

    def _insists(self, call: Callable[[], T]) -> T:
        """What becomes of a call by somebody who asks again when it is busy, whichever process answers."""
        with self._mood(**ODDS):
            for _ in range(30):
                cache.clear_all()
                with suppress(Busy):
                    return call()
        raise AssertionError("busy for ever")

    def _fits(self, paper: Wallet, *told: Told) -> bool:
        """Whether the paper allows what was done, and nothing else, one after the other; then it says so too."""
        for act, got in told:
            if act.may(paper) != (got is not None):
                return False
            if got is not None:
                act.then(paper, got)
        return True

    def _jobs_run(self) -> None:
        """All that is due is done; nothing may fail."""
        cache.clear_all()
        with self._mood(lost_reply=ODDS["lost_reply"], throttle=ODDS["throttle"]):
            while sum(self._worked(job) for job in JOBS):
                assert self.passed < 10**5, "the jobs never come to an end"

    def _worked(self, job: str) -> int:
        self.passed += LATE_S + 1
        ran = due.run(job=job, worker=f"w{self.passed}", now=self.paper.now, seconds=60)
        assert not ran.failed
        return ran.handled

    @contextmanager
    def _mood(self, **odds: float) -> Iterator[None]:
        before = {name: getattr(self.hostile, name) for name in ODDS}
        vars(self.hostile).update(odds)
        try:
            yield
        finally:
            vars(self.hostile).update(before)


def _nth(those: Iterable[str], n: int) -> str | None:
    """One of them, counted round from the newest."""
    newest = list(those)[::-1]
    return newest[n % len(newest)] if newest else None


def _template() -> Template:
    """What everything here is about."""
    return a_template(
        stock=STOCK,
        stock_shards=2,
        per_member=LIMIT,
        giftable=True,
        claim={"starts_at": NOW, "ends_at": CLAIM_END},
        validity={"kind": "fixed", "starts_at": NOW, "ends_at": END},
        remind_before_s=DAY,
    )


def _told(client: Any) -> dict[str, Any]:
    """What the paper tells as well."""
    there = rows(client, config.settings().truth_table)

    def of(kind: str) -> list[dict[str, Any]]:
        return [row for row in there if row["kind"] == kind]

    return {
        "left": sum(row["left"] for row in of("coupon_stock")),
        "coupons": {row["coupon_id"]: (row["member_id"], row["state"]) for row in of("coupon")},
        "orders": {row["order_ref"]: row["state"] for row in of("coupon_lock")},
        "gifts": {row["code"]: row["state"] for row in of("coupon_gift")},
        "packs": {row["pack_id"]: (row["state"], row["left"], row["new_missing"]) for row in of("pack")},
        "codes": {row["code"]: row["left"] for row in of("coupon_code")},
    }


def test_whatever_becomes_of_coupons_the_wallet_says_the_same(store: Store) -> None:
    with at_first_hand():
        played(examples=EXAMPLES, dice=SEED, steps=STEPS, of=Coupons)


@pytest.fixture
def course(store: Store) -> Iterator[Coupons]:
    """A machine that is led through a course by hand."""
    with at_first_hand():
        machine = Coupons()
        machine.begins(dice=1)
        yield machine
        machine.teardown()


def test_the_model_sees_a_limit_that_is_not_kept(course: Coupons, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_within_limit", lambda template, *, n, today: None)
    for _ in range(LIMIT):
        course.somebody(whim=Whim(what="claims"))

    with pytest.raises(AssertionError):
        course.somebody(whim=Whim(what="claims"))


def test_the_model_sees_units_that_do_not_come_back(course: Coupons, monkeypatch: pytest.MonkeyPatch) -> None:
    course.somebody(whim=Whim(what="opens_a_pack"))
    course.both_say_the_same()
    monkeypatch.setattr(packs, "_stock", lambda parts, *, taking, now: [])
    course.somebody(whim=Whim(what="waits", more=2))

    with pytest.raises(AssertionError):
        course.both_say_the_same()


def test_the_model_sees_a_coupon_that_is_back_while_its_order_has_it(course: Coupons) -> None:
    for what in ("claims", "holds", "redeems"):
        course.somebody(whim=Whim(what=what))
    course.both_say_the_same()
    [coupon] = service.all_of(PEOPLE[0])
    back = Coupon.state.set("unused")
    table.apply(table.update(Coupon, (coupon.pk, coupon.sk), back, refuse=Busy))

    with pytest.raises(AssertionError):
        course.both_say_the_same()


def test_the_model_sees_one_coupon_in_two_orders_when_the_rule_is_a_read(
    course: Coupons, monkeypatch: pytest.MonkeyPatch
) -> None:
    course.somebody(whim=Whim(what="claims"))
    course.two_at_once(first=Whim(what="claims", who=1), second=Whim(what="claims", who=1), at=1)
    naively(monkeypatch)

    with pytest.raises(AssertionError, match="neither way round"):
        course.two_at_once(first=Whim(what="holds"), second=Whim(what="holds"), at=1)
