"""What points buy, under a crowd: as many as there are, as often as one may, and paid for each time."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from chalicelib.core import cache, ledger
from chalicelib.members.schemas import MemberRef
from chalicelib.points import checkout, exchanges, service
from chalicelib.points.models import Exchange, Exchanged
from chalicelib.points.schemas import FreezePoints
from tests.factories import NOW, OWNER
from tests.points import ALICE, an_exchange, check, earn
from tests.races.arena import CROWD, ROUGH, STORM, Arena, careless, rounds

pytestmark = pytest.mark.engine


def buyers(count: int, *, points: int = 10) -> list[str]:
    """So many members with points enough for one."""
    owners = [f"mbr_{n:026d}" for n in range(count)]
    for owner in owners:
        earn(points, owner=owner)
    return owners


def buying(row: Exchange, member_id: str, *, key: str | None = None) -> Callable[[], bool]:
    """One who exchanges; whether this call did it."""
    return lambda: exchanges.exchange(row.exchange_id, member_id=member_id, idempotency_key=key, now=NOW).new


def check_exchange(arena: Arena, row: Exchange, *, stock: int) -> int:
    """Units, receipts, limits and cards say the same; how many there are."""
    check(arena)
    left = [shard["left"] for shard in arena.rows("points_stock")]
    assert min(left) >= 0
    receipts = arena.rows("entry", reason="exchange")
    cards = sum(entry["amount"] for entry in arena.rows("entry", reason="points"))
    limits = sum(one["n"] for one in arena.rows("points_exchanged"))
    assert stock - sum(left) == len(receipts) == cards == limits
    assert all(one["n"] <= row.per_member for one in arena.rows("points_exchanged"))
    return len(receipts)


def test_the_harness_sees_more_given_than_there_are_when_no_condition_holds(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = an_exchange(stock=3)
    owners = buyers(8)
    careless(monkeypatch, lambda write: replace(write, when=None))

    arena.collide(*[buying(row, owner) for owner in owners]).expect(won=8)

    with pytest.raises(AssertionError):
        check_exchange(arena, row, stock=3)


@pytest.mark.parametrize("shards", [1, 8])
@rounds(ROUGH)
def test_the_last_units_go_to_as_many_as_there_are(arena: Arena, shards: int) -> None:
    row = an_exchange(stock=20, stock_shards=shards)
    owners = buyers(CROWD)

    outcomes = arena.race(*[buying(row, owner) for owner in owners])

    outcomes.expect(won=20, exchange_sold_out=CROWD - 20)
    assert check_exchange(arena, row, stock=20) == 20


@rounds(STORM)
def test_one_member_who_taps_many_times_gets_one(arena: Arena) -> None:
    row = an_exchange(stock=20, stock_shards=2)
    (owner,) = buyers(1, points=100)

    outcomes = arena.race(*[buying(row, owner)] * CROWD)

    outcomes.expect(won=CROWD)
    assert sum(outcomes.winners) <= 1
    assert check_exchange(arena, row, stock=20) == 1


@rounds(STORM)
def test_fuint_71_all_points_are_spent_twenty_times(arena: Arena) -> None:
    """There on gifts to twenty people; nobody gives points away here, so on twenty things."""
    (owner,) = buyers(1, points=100)
    wares = [an_exchange(points=100) for _ in range(20)]

    arena.race(*[buying(row, owner) for row in wares]).expect(won=1, not_enough_points=19)

    check(arena)
    assert len(arena.rows("entry", reason="exchange")) == 1
    assert ledger.balance(owner=owner, book=service.POINTS) == 0


def test_the_harness_sees_more_than_a_members_limit_when_no_condition_holds(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = an_exchange(stock=60, per_member=3)
    (owner,) = buyers(1, points=1000)
    careless(
        monkeypatch, lambda write: replace(write, when=None) if isinstance(write.row, Exchanged) else write
    )

    arena.collide(*[buying(row, owner, key=f"k{n}") for n in range(8)]).expect(won=8)

    assert [one["n"] for one in arena.rows("points_exchanged")] == [8]


@rounds(ROUGH)
def test_the_limit_of_a_member_holds_under_parallel_taps(arena: Arena) -> None:
    row = an_exchange(stock=60, per_member=3)
    (owner,) = buyers(1, points=1000)

    outcomes = arena.race(*[buying(row, owner, key=f"k{n % 16}") for n in range(CROWD)])

    outcomes.expect_won_or("exchange_limit", least=3, most=3 * -(-CROWD // 16))
    assert check_exchange(arena, row, stock=60) == 3


@rounds(ROUGH)
def test_what_is_switched_off_gives_nothing_afterwards(arena: Arena) -> None:
    row = an_exchange(stock=60, stock_shards=4)
    owners = buyers(20)

    def switch() -> bool:
        exchanges.switch(row.exchange_id, to="paused", by=OWNER, now=NOW)
        return False

    outcomes = arena.race(*[buying(row, owner) for owner in owners[:16]], switch)
    outcomes.expect_won_or("exchange_paused")
    given = check_exchange(arena, row, stock=60)

    cache.clear_all()
    arena.race(*[buying(row, owner) for owner in owners[16:]]).expect(exchange_paused=4)
    assert check_exchange(arena, row, stock=60) == given


@rounds(STORM)
def test_one_order_freezes_spends_and_releases_once(arena: Arena) -> None:
    earn(300)
    body = FreezePoints(member=MemberRef(external_id="a"), mall_order_id="M-1", points=100, goods_fen=10_000)
    freezes = [lambda: checkout.freeze(body, member_id=ALICE, now=NOW)[0].row.points] * 16
    arena.race(*freezes).expect(won=16)
    assert ledger.balance(owner=ALICE, book=service.POINTS) == 200

    spends = [lambda: checkout.spend("M-1", now=NOW).row.points] * 16
    releases = [lambda: checkout.release("M-1", now=NOW).row.points] * 16
    outcomes = arena.race(*[call for pair in zip(spends, releases, strict=True) for call in pair])

    outcomes.expect_won_or("hold_over")
    check(arena)
    standing = checkout.standing_of(checkout.find("M-1"))
    kept = 100 - standing.returned if standing.state == "spent" else 0
    assert ledger.balance(owner=ALICE, book=service.POINTS) == 300 - kept
