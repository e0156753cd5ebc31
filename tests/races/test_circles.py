"""Nobody brings themselves, directly or in a circle (A2), however binds, takes and moves by operators meet.

Every binding is a step from a member to a promoter, so the table is walked, and so is every state it was ever in:
the stream is played back change by change. Not noticed here: the condition under which a binding's past is
kept, whose key carries the revision that the binding's own condition asks for already.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from chalicelib.core.clock import DAY
from chalicelib.core.table import Row, Write, get
from chalicelib.sharing import attribution, orders, policies
from chalicelib.sharing.models import Binding, Link, Past
from chalicelib.sharing.schemas import EditPolicy
from tests.factories import NOW, a_link, a_member, a_visit, a_word, an_operator
from tests.harness.races import race, read_then_write
from tests.harness.rows import Plain
from tests.integration.test_attribution import an_order
from tests.races.arena import (
    CROWD,
    ROUGH,
    STORM,
    Arena,
    careless,
    overtaken,
    rounds,
    unconditionally,
)

pytestmark = pytest.mark.engine

Bind = Callable[[], Binding | None]


@pytest.fixture
def shop(arena: Arena) -> Iterator["Shop"]:
    """Members, each with a link, made as they are asked for."""
    yield Shop()


class Shop:
    """Members by number."""

    def __init__(self) -> None:
        self.links: list[Link] = []

    def members(self, count: int) -> list[int]:
        """New members, each with a link."""
        self.links += [a_link(sharer_id=a_member()) for _ in range(count)]
        return list(range(len(self.links) - count, len(self.links)))

    def bind(self, member: int, *, to: int) -> Bind:
        """The member comes by a visit of the other's link."""
        visit = a_visit(link=self.links[to])
        return lambda: attribution.bind(self.name(member), visit=visit, now=NOW)

    def move(self, member: int, *, to: int | None) -> Bind:
        """An operator gives the member to the other, or to nobody."""
        by, promoter_id = an_operator(), None if to is None else self.name(to)
        return lambda: attribution.move(
            self.name(member), promoter_id=promoter_id, reason=a_word(), by=by, now=NOW
        )

    def take(self, member: int, *, to: int, now: int = NOW) -> Bind:
        """The member types the other's code in."""
        return lambda: attribution.bind_by_code(self.name(member), promoter_id=self.name(to), now=now)[0]

    def name(self, member: int) -> str:
        """The member's id."""
        return self.links[member].sharer_id


def check_no_circle(arena: Arena) -> None:
    """Up from everybody there is an end, now and after every change there ever was."""
    above: dict[str, str] = {}
    for change in arena.images("binding"):
        assert change.new, "bindings are never deleted"
        _apply(above, change.new)
        _check_end(above, change.new["member_id"])
    now: dict[str, str] = {}
    for row in arena.rows("binding"):
        _apply(now, row)
    assert now == above
    for member_id in now:
        _check_end(now, member_id)


def _apply(above: dict[str, str], row: Plain) -> None:
    above.pop(row["member_id"], None)
    if row["state"] == "bound":
        above[row["member_id"]] = row["promoter_id"]


def _check_end(above: dict[str, str], member_id: str) -> None:
    walked = [member_id]
    while walked[-1] in above:
        walked.append(above[walked[-1]])
        assert walked[-1] not in walked[:-1], f"a circle of {len(walked) - 1}"


def check_all_is_told(arena: Arena) -> None:
    """No binding was lost from the history, and the operators' book has every move."""
    kept = {(row["pk"], row["sk"]) for row in arena.rows("past_binding")}
    changes = [(one.old, one.new) for one in arena.images("binding") if one.new]
    for old, new in changes:
        # What is owed of a binding is settled on its row, and that is no other binding.
        if old and old["state"] == "bound" and _told(old) != _told(new):
            assert (old["pk"], f"BINDING#{old['rev']:09d}") in kept, "a binding was lost from the history"
    moves = [new for _, new in changes if new["cause"] == "operator"]
    assert len(arena.rows("audit", action="binding.moved")) == len(moves)


def _told(row: Plain) -> Plain:
    return {name: row.get(name) for name in ("state", "promoter_id", "bound_at", "cause", "visit_id")}


def rings(shop: Shop, sizes: Sequence[int]) -> list[list[Bind]]:
    """Members in rings, each about to be bound to the next."""
    made = [shop.members(size) for size in sizes]
    return [[shop.bind(one, to=ring[(at + 1) % len(ring)]) for at, one in enumerate(ring)] for ring in made]


def test_the_harness_sees_a_circle_when_the_rule_is_a_read(arena: Arena, shop: Shop) -> None:
    first, second = shop.members(2)
    turns = iter([(first, second), (second, first)])

    def read() -> tuple[int, int]:
        member, to = next(turns)
        assert get(Binding, Binding.key(shop.name(to))) is None
        return member, to

    def write(seen: tuple[int, int]) -> Row:
        visit = a_visit(link=shop.links[seen[1]])
        by = attribution.by_visit(visit)
        row = attribution._row(shop.name(seen[0]), by=by, rev=1, cause="visit", now=NOW)
        return unconditionally(row)

    naive = read_then_write(read, write, parties=2)
    race(naive, naive).expect(won=2)

    with pytest.raises(AssertionError, match="a circle of 2"):
        check_no_circle(arena)


@rounds(STORM)
def test_of_two_who_bind_each_other_at_once_one_is_refused(arena: Arena, shop: Shop) -> None:
    pairs = rings(shop, [2] * (CROWD // 2))

    outcomes = arena.race(*[bind for pair in pairs for bind in pair], meet=True)

    outcomes.expect(won=len(pairs), would_circle=len(pairs))
    for one, other in zip(outcomes[::2], outcomes[1::2], strict=True):
        assert one.won != other.won
    check_no_circle(arena)


@rounds(STORM)
def test_of_a_ring_that_closes_at_once_one_is_refused(arena: Arena, shop: Shop) -> None:
    around = rings(shop, [3, 4, 5, 6, 7, 8] * 2)

    outcomes = arena.race(*[bind for ring in around for bind in ring], meet=True)

    outcomes.expect(won=len(outcomes) - len(around), would_circle=len(around))
    left = iter(outcomes)
    for ring in around:
        names = [next(left).name for _ in ring]
        assert sorted(names) == ["won"] * (len(ring) - 1) + ["would_circle"], names
    check_no_circle(arena)


def test_rings_longer_than_the_walk_do_not_close_either(arena: Arena, shop: Shop) -> None:
    around = rings(shop, [9, 10, 12])

    outcomes = arena.race(*[bind for ring in around for bind in ring])

    may_win = sum(len(ring) - 1 for ring in around)
    outcomes.expect_won_or("would_circle", "chain_too_long", most=may_win)
    check_no_circle(arena)


@rounds(STORM)
def test_moves_by_operators_among_binds_never_close_a_circle(arena: Arena, shop: Shop) -> None:
    few, dice = shop.members(12), random.Random(arena.weather.seed)
    calls: list[Bind] = []
    for n in range(CROWD):
        member, to = dice.sample(few, 2)
        calls += [shop.bind(member, to=to) if n % 2 else shop.move(member, to=None if n % 8 == 0 else to)]

    outcomes = arena.race(*calls)

    outcomes.expect_won_or("would_circle", "chain_too_long")
    check_no_circle(arena)
    check_all_is_told(arena)


def test_two_operators_who_move_a_member_to_one_promoter_move_them_once(arena: Arena, shop: Shop) -> None:
    member, first, second = shop.members(3)
    shop.bind(member, to=first)()

    with overtaken(arena.client, "TransactWriteItems", by=shop.move(member, to=second)):
        shop.move(member, to=second)()

    assert len(arena.rows("audit", action="binding.moved")) == 1
    check_all_is_told(arena)


def last_takes(protect_days: int = 0) -> None:
    """The newest takes a binding."""
    given = EditPolicy(mode="last", protect_days=protect_days)
    policies.make(given, by=an_operator(), now=NOW - 1)


@rounds(STORM)
def test_of_a_ring_that_closes_by_taking_at_once_one_is_refused(arena: Arena, shop: Shop) -> None:
    last_takes()
    (outsider,) = shop.members(1)
    around = [shop.members(size) for size in (2, 3, 5, 2)]
    for one in (one for ring in around for one in ring):
        shop.move(one, to=outsider)()

    takes = [shop.bind(one, to=ring[(at + 1) % len(ring)]) for ring in around for at, one in enumerate(ring)]
    outcomes = arena.race(*takes, meet=True)

    outcomes.expect(won=len(outcomes) - len(around), would_circle=len(around))
    left = iter(outcomes)
    for ring in around:
        names = [next(left).name for _ in ring]
        assert sorted(names) == ["won"] * (len(ring) - 1) + ["would_circle"], names
    check_no_circle(arena)
    check_all_is_told(arena)


@rounds(ROUGH)
def test_of_many_who_take_a_member_at_once_the_first_is_protected(arena: Arena, shop: Shop) -> None:
    last_takes(protect_days=3)
    member, holder, *others = shop.members(26)
    shop.bind(member, to=holder)()

    outcomes = arena.race(*[shop.take(member, to=one, now=NOW + 3 * DAY) for one in others], meet=True)

    outcomes.expect(won=1, binding_protected=len(others) - 1)
    assert len(arena.rows("past_binding")) == 1
    check_all_is_told(arena)


@rounds(ROUGH)
def test_takes_and_moves_among_few_lose_no_binding_and_close_no_circle(arena: Arena, shop: Shop) -> None:
    last_takes()
    few, dice = shop.members(8), random.Random(arena.weather.seed)
    pairs = [dice.sample(few, 2) for _ in range(CROWD // 2)]
    calls = [
        shop.move(one, to=to) if n % 4 == 0 else shop.take(one, to=to) for n, (one, to) in enumerate(pairs)
    ]

    outcomes = arena.race(*calls)

    outcomes.expect_won_or("would_circle", "chain_too_long")
    check_no_circle(arena)
    check_all_is_told(arena)


def test_an_order_is_one_promoters_whoever_asks_while_the_customer_is_moved(arena: Arena, shop: Shop) -> None:
    member, first, second = shop.members(3)
    shop.bind(member, to=first)()
    order = an_order(shop.name(member), at=NOW)
    asked = [lambda: orders.of_order(order, now=NOW + 1).promoter_id for _ in range(24)]

    outcomes = arena.race(*asked, shop.move(member, to=second))

    assert {one.value for one in outcomes[: len(asked)]} == {shop.name(first)}
    assert [row["promoter_id"] for row in arena.rows("attribution")] == [shop.name(first)]


@rounds(STORM)
def test_nobody_ever_brings_themselves(arena: Arena, shop: Shop) -> None:
    few = shop.members(8)
    selves = [shop.bind(one, to=one) for one in few] + [shop.move(one, to=one) for one in few]
    others = [shop.bind(one, to=(one + 1) % 8) for one in few] + [shop.move(one, to=None) for one in few]

    outcomes = arena.race(*selves, *others)

    # Who comes by their own link when they are another's customer already stays that.
    kept = [one.value for one in outcomes[: len(few)] if one.won]
    assert all(row.promoter_id != row.member_id for row in kept)
    assert {one.name for one in outcomes[: len(selves)] if not one.won} == {"self_referral"}
    assert not [one for one in outcomes[len(few) : len(selves)] if one.won]
    check_no_circle(arena)
    assert all(one.new and one.new["promoter_id"] != one.new["member_id"] for one in arena.images("binding"))


def always(condition: str) -> Callable[[Write], Write]:
    """The walk's checks, those with this operator, that let everything pass."""

    def change(write: Write) -> Write:
        if write.operation != "ConditionCheck" or write.when is None or write.when.operator != condition:
            return write
        return replace(write, when=Binding.pk.exists() | Binding.pk.does_not_exist())

    return change


@pytest.mark.parametrize("by_an_operator", [False, True], ids=["bind", "move"])
def test_a_walk_that_does_not_hold_who_is_free_is_noticed(
    arena: Arena, shop: Shop, monkeypatch: pytest.MonkeyPatch, by_an_operator: bool
) -> None:
    first, second = shop.members(2)
    slow = shop.move(first, to=second) if by_an_operator else shop.bind(first, to=second)
    careless(monkeypatch, always("attribute_not_exists"))

    with overtaken(arena.client, "TransactWriteItems", by=shop.bind(second, to=first)):
        slow()

    with pytest.raises(AssertionError, match="a circle of 2"):
        check_no_circle(arena)


def test_a_walk_that_does_not_hold_the_bindings_on_its_way_is_noticed(
    arena: Arena, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    newcomer, middle, top, other = shop.members(4)
    shop.bind(middle, to=top)()
    shop.bind(other, to=newcomer)()
    careless(monkeypatch, always("="))

    with overtaken(arena.client, "TransactWriteItems", by=shop.move(middle, to=other)):
        shop.bind(newcomer, to=middle)()

    with pytest.raises(AssertionError, match="a circle of 3"):
        check_no_circle(arena)


def test_a_binding_put_over_another_is_noticed(
    arena: Arena, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, first, second = shop.members(3)
    shop.move(member, to=first)()
    shop.move(member, to=None)()
    careless(monkeypatch, lambda write: replace(write, when=None) if _puts_binding(write) else write)

    with overtaken(arena.client, "TransactWriteItems", by=shop.bind(member, to=first)):
        shop.bind(member, to=second)()

    with pytest.raises(AssertionError, match="lost from the history"):
        check_all_is_told(arena)


def test_a_take_that_does_not_hold_what_it_takes_is_noticed(
    arena: Arena, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    last_takes()
    member, first, second, third = shop.members(4)
    shop.move(member, to=first)()
    careless(monkeypatch, lambda write: replace(write, when=None) if _is_of_a_take(write) else write)

    with overtaken(arena.client, "TransactWriteItems", by=shop.move(member, to=second)):
        shop.take(member, to=third)()

    with pytest.raises(AssertionError, match="lost from the history"):
        check_all_is_told(arena)


def _is_of_a_take(write: Write) -> bool:
    return write.operation == "Put" and isinstance(write.row, Binding | Past)


def _puts_binding(write: Write) -> bool:
    return write.operation == "Put" and isinstance(write.row, Binding)
