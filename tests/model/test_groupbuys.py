"""Group-buys against a plain model: whatever is wished, in whatever order, by two at once, on an unkind store.

Each example is a shop with rules of its own. After every step the table says what the model says, and G1-G7 hold;
at its end the jobs run, every fact has come, and they hold at rest and held at every instant.

    make soak                          more examples, other ones each time: SOAK_EXAMPLES=5000 SOAK_SEED=7
"""

import functools
import json
import os
import random
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chalicelib.core import due, facts, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.errors import AppError, Busy
from chalicelib.groupbuys import campaigns, ending, holding, service
from chalicelib.groupbuys.service import Buying, Seated
from chalicelib.orders import service as orders
from chalicelib.orders.service import Back, Paid
from infra.local.clients import Store
from tests.factories import NOW, emptied
from tests.groupbuys import (
    Books,
    a_campaign,
    books_of,
    broken,
    broken_images,
    broken_in,
    registered,
    run_jobs,
)
from tests.harness.direct import Direct
from tests.harness.hostile import Hostile
from tests.harness.streams import deliveries, event
from tests.harness.wire import WRITES, Call, Params, wrapped
from tests.model.shop import SEEN_AFTER_S, Answer, Rules, Shop, Wish, after, both

EXAMPLES = int(os.environ.get("SOAK_EXAMPLES", "60"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
STEPS = int(os.environ.get("SOAK_STEPS", "14"))
PEOPLE = ("ann", "bob", "cid", "dee", "eve", "fay")
ODDS = {"lost_reply": 0.03, "throttle": 0.02, "timeout_before": 0.01, "timeout_after": 0.02}
AT_REST = NOW + 3 * DAY
TOLD = (
    "mode",
    "reserve",
    "per_member_units",
    "per_member_groups",
    "max_units_per_seat",
    "late_payment",
    "fill_at_expiry_from",
    "hold_s",
    "group_lifetime_s",
    "ends_at",
)


# --- the app ------------------------------------------------------------------------------------------------


def open_(wish: Wish, campaign_id: str, now: int) -> Seated:
    return service.open_group(campaign_id=campaign_id, buying=_buying(wish), size=wish.size, now=now)


def join(wish: Wish, campaign_id: str, now: int) -> Seated:
    return service.join(group_id=wish.team, buying=_buying(wish), now=now)


def pay(wish: Wish, campaign_id: str, now: int) -> None:
    orders.pay(wish.order, Paid(payment_id=wish.payment, amount_fen=wish.fen), now=now)


def leave(wish: Wish, campaign_id: str, now: int) -> None:
    orders.cancel(orders.show(wish.order), now=now)


def release(wish: Wish, campaign_id: str, now: int) -> None:
    ending.release(orders.show(wish.order), now)


def refund(wish: Wish, campaign_id: str, now: int) -> None:
    orders.refund(wish.order, back=Back(reason="shop", done=wish.done), now=now)


def end(wish: Wish, campaign_id: str, now: int) -> None:
    ending.end(wish.team, back=ending.EXPIRED, now=now)


def _buying(wish: Wish) -> Buying:
    return Buying(member_id=wish.who, sku_id=wish.sku, quantity=wish.quantity)


APP: dict[str, Callable[[Wish, str, int], Seated | None]] = {
    "open": open_,
    "join": join,
    "pay": pay,
    "leave": leave,
    "release": release,
    "refund": refund,
    "end": end,
}


def told_by(books: Books) -> dict[str, Any]:
    """What the model tells as well."""
    left: dict[str, int] = {}
    for row in books.stock:
        left[row["sku_id"]] = left.get(row["sku_id"], 0) + row["left"]
    return {
        "left": left,
        "teams": {one: _team(row) for one, row in books.groups.items()},
        "places": {
            (row["group_id"], row["member_id"]): (row["order_id"], row["state"] == "held", row["head"])
            for row in books.seats
        },
        "bills": {one: _bill(row) for one, row in books.orders.items()},
        "parts": {who: (row["units"], row["groups"]) for who, row in books.parts.items()},
        "payments": {(row["order_id"], row["payment_id"]): row["state"] for row in books.payments},
        "refunds": {
            (row["order_id"], row["sk"].removeprefix("REFUND#")): (row["amount_fen"], row["state"])
            for row in books.refunds
        },
    }


def _team(row: dict[str, Any]) -> tuple[Any, ...]:
    counts = (row["missing"], row["free"]) if row["state"] != "lapsed" else (0, 0)
    units = sum(units for _, _, units in json.loads(row["taken"]))
    return (row["state"], row["size"], *counts, row["head_id"], units, row.get("expires_at", 0))


def _bill(row: dict[str, Any]) -> tuple[Any, ...]:
    left = row.get("refundable_fen", 0)
    return (row["member_id"], row["group_id"], row["state"], row["amount_fen"], left)


# --- what may be wished -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Whim:
    """A wish before it is known what there is to wish for: numbers that are counted round."""

    kind: str
    who: str
    at: int
    more: int
    payment: str

    def of(self, shop: Shop, *, beside: Wish | None = None) -> Wish | None:
        """The wish, if there is anything that it can be about; of the same group as another wish, if it can be."""
        near = beside and (beside.team or getattr(shop.bills.get(beside.order), "team", ""))
        if self.kind == "open":
            return self._bought(shop, size=self._size(shop))
        if self.kind in ("join", "end"):
            teams = [one for one in shop.teams if self.more or shop.teams[one].state == "open"]
            team = near or _nth(teams or list(shop.teams), self.at)
            return team and self._bought(shop, team=team)
        bills = [one for one, bill in shop.bills.items() if near in (None, "", bill.team)]
        return self._about_an_order(shop, bills)

    def _size(self, shop: Shop) -> int:
        sizes = sorted(shop.rules.sizes)
        return sizes[-1] if shop.rules.mode == "ladder" else sizes[self.at % len(sizes)]

    def _bought(self, shop: Shop, **about: Any) -> Wish:
        sku = shop.rules.skus[self.more % len(shop.rules.skus)]
        quantity = 1 + self.at % shop.rules.max_units_per_seat
        return Wish(kind=self.kind, who=self.who, sku=sku, quantity=quantity, **about)

    def _about_an_order(self, shop: Shop, bills: list[str]) -> Wish | None:
        """Mostly about one that this is for, the newest first."""
        wanted = {"pay": ("pending", "cancelled"), "refund": ("paid",)}.get(self.kind, ("pending",))
        likely = [one for one in bills if shop.bills[one].state in wanted]
        order = _nth(list(reversed(likely if likely and self.more < 3 else bills)), self.at)
        if order is None:
            return None
        fen = shop.bills[order].fen - (self.more == 4)
        payment = f"{order}-{self.payment}"
        # Piece by piece, who is refunded first by whom is a third order of two; those done have a mark of it.
        done = self.more == 1 and shop.rules.payers_at_once > 1
        return Wish(kind=self.kind, order=order, payment=payment, fen=fen, done=done)


def _nth(those: list[str], n: int) -> Any:
    return those[n % len(those)] if those else None


WHIMS = st.builds(
    Whim,
    kind=st.sampled_from(["open", "join", "join", "pay", "pay", "pay", "leave", "release", "refund", "end"]),
    who=st.sampled_from(PEOPLE),
    at=st.integers(0, 5),
    more=st.integers(0, 4),
    payment=st.sampled_from(["p1", "p2"]),
)


@st.composite
def rules(draw: st.DrawFn) -> Rules:
    """What a campaign may say."""
    mode = draw(st.sampled_from(["fixed", "fixed", "ladder"]))
    reserve = draw(st.sampled_from(["group", "seat"]))
    sizes = (
        {2: 8900, 4: 7900}
        if mode == "ladder"
        else draw(st.sampled_from([{2: 8900}, {3: 8900}, {2: 90, 3: 80}]))
    )
    seat = reserve == "seat"
    return Rules(
        sizes=sizes,
        mode=mode,
        reserve=reserve,
        skus=("red", "tea") if seat and draw(st.booleans()) else ("tea",),
        stock=draw(st.sampled_from([4, 7, 100])),
        shards=draw(st.sampled_from([1, 3])),
        per_member_units=draw(st.sampled_from([2, 10])),
        per_member_groups=draw(st.sampled_from([1, 3])),
        max_units_per_seat=2 if seat else 1,
        late_payment=draw(st.sampled_from(["elsewhere", "elsewhere", "refund"])),
        fill_at_expiry_from=draw(st.sampled_from([None, None, 2])) if mode == "fixed" else None,
        payers_at_once=draw(st.sampled_from([30, 30, 1])),
        ends_at=NOW + 2 * HOUR,
    )


# --- the machine --------------------------------------------------------------------------------------------


@dataclass
class Chance:
    """Stands in for chance, so that an example is the same when it is played again."""

    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))

    def __call__(self, count: int | None = None) -> bytes:
        return next(self.numbers).to_bytes(count or 32, "big")


class Market(RuleBasedStateMachine):
    """One campaign, six people, the jobs, the stream, and the store in some mood."""

    shop: Shop

    @initialize(rules=rules(), dice=st.integers(0, 2**16))
    def begins(self, rules: Rules, dice: int) -> None:
        """A campaign, on an empty store."""
        note(f"SOAK_SEED={SEED}")
        emptied()
        self.dice, self.heard = random.Random(dice), 0
        self.worn = ExitStack()
        self.worn.enter_context(replaced(secrets, "token_bytes", Chance()))
        self.worn.enter_context(replaced(ending, "PAYERS_AT_ONCE", rules.payers_at_once))
        self.worn.enter_context(replaced(ending, "PAYERS_A_BATCH", rules.payers_at_once))
        self.campaign_id = _made(rules)
        registered(PEOPLE)
        self.shop = Shop(rules=rules, now=NOW, left=dict.fromkeys(rules.skus, rules.stock))
        self.passed = 0
        self.hostile = Hostile(
            table.client(),
            dice=self.dice,
            index_delay=SEEN_AFTER_S,
            clock=lambda: self.shop.now + self.passed,
        )
        self.worn.enter_context(self.hostile)

    # --- rules ---

    @rule(whim=WHIMS)
    def somebody(self, whim: Whim) -> None:
        """One wish."""
        self._does(whim.of(self.shop))

    @rule(whim=WHIMS, n=st.integers(0, 2))
    def somebody_buys(self, whim: Whim, n: int) -> None:
        """A team is opened, or joined, and paid; by several, one after the other."""
        for more in range(n + 1):
            who = PEOPLE[(PEOPLE.index(whim.who) + more) % len(PEOPLE)]
            kind = "open" if not more and whim.kind != "join" else "join"
            self._does(Whim(kind=kind, who=who, at=whim.at, more=0, payment="").of(self.shop))
            unpaid = self.shop.unpaid(who)
            if unpaid:
                fen = self.shop.bills[unpaid].fen
                self._does(Wish(kind="pay", order=unpaid, payment=f"{unpaid}-{whim.payment}", fen=fen))

    @rule(first=WHIMS, second=WHIMS, at=st.integers(1, 3))
    def two_at_once(self, first: Whim, second: Whim, at: int) -> None:
        """The second comes when the first has read, before its ``at``-th write."""
        self._meet(first.of(self.shop), second.of(self.shop), at)

    @precondition(lambda self: any(team.state == "open" for team in self.shop.teams.values()))
    @rule(first=WHIMS, second=WHIMS, at=st.integers(1, 3))
    def two_of_a_group_at_once(self, first: Whim, second: Whim, at: int) -> None:
        """The same about one group."""
        one = first.of(self.shop)
        self._meet(one, second.of(self.shop, beside=one), at)

    def _meet(self, one: Wish | None, other: Wish | None, at: int) -> None:
        if one is None or other is None:
            return
        self.shop.now += 1
        answers: list[Answer] = []
        with meanwhile(at, lambda: answers.append(self._answer(other))):
            answer = self._answer(one)
        if not answers:
            answers.append(self._answer(other))
        self._is_one_of(both(self.shop, (one, answer), (other, answers[0])), one, answer, other, answers[0])

    @rule(seconds=st.sampled_from([1, 5, 900, 1800, 3600]))
    def time_goes_by(self, seconds: int) -> None:
        """So much of it."""
        self.shop.now += seconds

    @rule()
    def jobs_run(self) -> None:
        """Holds, ends, refunds."""
        with self._mood(lost_reply=ODDS["lost_reply"], throttle=ODDS["throttle"]):
            for job in (holding.RELEASE_JOB, holding.EXPIRE_JOB, orders.REFUND_JOB):
                self.passed += SEEN_AFTER_S + 1
                ran = due.run(job=job, worker=f"w{self.shop.now}", now=self.shop.now, seconds=60)
                assert not ran.failed
        wish, answer = Wish(kind="jobs"), Answer(what="done")
        self._is_one_of(after(self.shop, wish, answer), wish, answer)

    @precondition(lambda self: any(team.state == "filled" for team in self.shop.teams.values()))
    @rule(dice=st.integers(0, 2**16), share=st.floats(0, 1))
    def the_stream_tells(self, dice: int, share: float) -> None:
        """Some of what happened is told, in any order, some of it twice; the rest is late."""
        records = table.client().records()
        of = random.Random(dice)
        told = [one for one in records if of.random() < share]
        for batch in deliveries(told, dice=of, ordered=False, largest=30):
            assert facts.handle_stream(event(batch), now=self.shop.now) == {"batchItemFailures": []}
        wish, answer = Wish(kind="tell"), Answer(what="done")
        self._is_one_of(after(self.shop, wish, answer), wish, answer)

    def teardown(self) -> None:
        """Everything comes to its end."""
        if not hasattr(self, "worn"):
            return
        self.worn.close()
        if not hasattr(self, "failed"):
            run_jobs(table.client(), now=AT_REST)
            found = broken(table.client(), self.campaign_id, at_rest=True)
            found += broken_images(table.client(), self.campaign_id)
            assert not found, found

    # --- how ---

    def _does(self, wish: Wish | None) -> None:
        if wish is None:
            return
        self.shop.now += 1
        answer = self._answer(wish)
        self._is_one_of(after(self.shop, wish, answer), wish, answer)

    def _answer(self, wish: Wish) -> Answer:
        """What the app says, to somebody who asks again when it is busy."""
        with self._mood(**ODDS):
            for _ in range(30):
                try:
                    seated = APP[wish.kind](wish, self.campaign_id, self.shop.now)
                except Busy:
                    continue
                except AppError as refusal:
                    return Answer(what=refusal.code)
                if seated is None:
                    return Answer(what="done")
                return Answer(what="seated", order=seated.order.order_id, team=seated.order.group_id)
        raise AssertionError(f"busy for ever: {wish}")

    @contextmanager
    def _mood(self, **odds: float) -> Iterator[None]:
        before = {name: getattr(self.hostile, name) for name in ODDS}
        vars(self.hostile).update(odds)
        try:
            yield
        finally:
            vars(self.hostile).update(before)

    def _is_one_of(self, states: Iterator[Shop], *told: object) -> None:
        """The table is as one of these, and no rule is broken."""
        self.failed = True
        books = books_of(table.client(), self.campaign_id)
        now, found = told_by(books), []
        for state in states:
            if state.told() == now:
                self.shop = state
                break
            found.append(state.told())
        else:
            raise AssertionError("\n".join(["not as the model says:", *map(str, told), *_apart(now, found)]))
        assert broken_in(books) == []
        del self.failed


def _apart(now: dict[str, Any], states: list[dict[str, Any]]) -> Iterator[str]:
    """In what the table differs from each of the states."""
    for n, state in enumerate(states):
        for part, is_ in now.items():
            if is_ != state[part]:
                yield f"{n}: {part} is {is_}"
                yield f"{n}: {part} was to be {state[part]}"


def _made(rules: Rules) -> str:
    given = {name: getattr(rules, name) for name in TOLD}
    campaign = a_campaign(sizes=rules.sizes, stock=rules.stock, skus=rules.skus, shards=rules.shards, **given)
    campaigns.find(campaign.campaign_id, now=NOW)
    return campaign.campaign_id


@contextmanager
def meanwhile(at: int, do: Callable[[], object]) -> Iterator[None]:
    """Before the ``at``-th write, ``do`` is done."""
    made: list[str] = []

    def layer(below: Call, operation: str, params: Params) -> Params:
        if operation in WRITES and len(made) < at:
            made.append(operation)
            if len(made) == at:
                do()
        return below(operation, params)

    with wrapped(table.client(), layer):
        yield


@contextmanager
def replaced(owner: Any, name: str, ours: Any) -> Iterator[None]:
    """Something of a module's is ours meanwhile."""
    theirs = getattr(owner, name)
    setattr(owner, name, ours)
    try:
        yield
    finally:
        setattr(owner, name, theirs)


def played(
    *,
    examples: int,
    dice: int,
    steps: int = STEPS,
    phases: Collection[Phase] = (Phase.generate, Phase.shrink),
    of: type[RuleBasedStateMachine] = Market,
) -> None:
    """So many examples, of group-buys unless said.

    Raises:
        AssertionError: the table is not as the model says, or a rule is broken.
    """
    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=phases,
    )
    run_state_machine_as_test(seed(dice)(of), settings=how)


@contextmanager
def at_first_hand() -> Iterator[None]:
    """The app looks at the embedded store without HTTP in between, and does not wait between two tries."""
    with replaced(table, "FIRST_WAIT_S", 0.0), replaced(table, "_client", _direct()):
        yield


@functools.cache
def _direct() -> Direct:
    """One for all: making a client takes longer than most tests."""
    return Direct(table.client())


def test_whatever_is_wished_the_rules_hold(store: Store) -> None:
    with at_first_hand():
        played(examples=EXAMPLES, dice=SEED)
