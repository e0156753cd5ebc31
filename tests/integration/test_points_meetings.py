"""Two who meet over one member's points, levels and badges, or over one exchange, between one's look and one's
write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from chalicelib.core import cache, due, ledger, table
from chalicelib.core.errors import AppError, Busy
from chalicelib.core.table import Row, Write
from chalicelib.members.schemas import MemberRef
from chalicelib.points import badges, checkout, exchanges, levels, merging, rules, service
from chalicelib.points.models import Exchange, LevelGift, MemberLevel
from chalicelib.points.schemas import (
    AddBadge,
    AddExchange,
    EditBadge,
    EditExchange,
    EditLevels,
    EditPointsRule,
    FreezePoints,
)
from chalicelib.rewards import gifts
from chalicelib.rewards.kinds import BadgeHeld
from chalicelib.rewards.rules import Piece
from chalicelib.sharing.models import Binding
from tests.commissions import happens
from tests.factories import NOW, OWNER, a_member, a_word
from tests.harness.meetings import before_write
from tests.points import an_exchange, earn

pytestmark = [pytest.mark.usefixtures("direct"), pytest.mark.alone("points")]


def taken(row: Exchange, by: str = "") -> None:
    """Somebody exchanges."""
    member_id = by or a_member()
    earn(100, owner=member_id)
    exchanges.exchange(row.exchange_id, member_id=member_id, idempotency_key=a_word(), now=NOW)


def switched(row: Exchange, to: str) -> None:
    """An operator pauses, resumes or closes it."""
    exchanges.switch(row.exchange_id, to=to, by=OWNER, now=NOW)


def left(row: Exchange) -> int:
    """Units that are there to be taken."""
    return sum(exchanges.stock_left(row).values())


def made() -> Exchange:
    """An operator makes one, under the same key each time."""
    given = AddExchange(
        title="A card",
        points=10,
        goods="makeup_card",
        what={"count": 1},
        stock=5,
        per_member=1,
        starts_at=NOW - 100,
        ends_at=NOW + 100,
    )
    return exchanges.add(given, by=OWNER, idempotency_key="made", now=NOW)


@pytest.mark.parametrize("write", [1, 2])
def test_an_exchange_is_made_by_two_at_once_and_bought_from_by_then(write: int) -> None:
    with before_write(write, lambda: taken(made())):
        row = made()

    assert left(row) == 4


def test_an_exchange_that_is_made_by_two_at_once_and_closed_by_then_is_closed() -> None:
    with before_write(3, lambda: switched(made(), "closed")):
        row = made()
    cache.clear_all()

    assert exchanges.find(row.exchange_id, now=NOW).state == "closed"


def test_units_are_taken_out_while_somebody_takes_one() -> None:
    row = an_exchange(stock=3)

    with before_write(1, lambda: taken(row)), pytest.raises(AppError):
        exchanges.add_units(row.exchange_id, units=-3, by=OWNER, idempotency_key="out", now=NOW)

    assert left(row) == 2


def test_what_is_closed_while_another_switches_it_stays_closed() -> None:
    row = an_exchange()

    with before_write(1, lambda: switched(row, "closed")), pytest.raises(exchanges.ExchangeOver):
        switched(row, "paused")
    cache.clear_all()

    assert exchanges.find(row.exchange_id, now=NOW).state == "closed"
    with pytest.raises(exchanges.ExchangeOver):
        taken(row)


def test_what_is_closed_while_another_resumes_it_is_exchanged_no_more() -> None:
    row = an_exchange()
    switched(row, "paused")

    with before_write(1, lambda: switched(row, "closed")), pytest.raises(exchanges.ExchangeOver):
        switched(row, "running")

    with pytest.raises(exchanges.ExchangeOver):
        taken(row)


def test_what_is_closed_while_it_is_edited_is_not_edited() -> None:
    row = an_exchange()
    told = {name: getattr(row, name) for name in EditExchange.__struct_fields__}
    given = msgspec.convert({**told, "title": "Another"}, EditExchange)

    with before_write(1, lambda: switched(row, "closed")), pytest.raises(exchanges.ExchangeOver):
        exchanges.edit(row.exchange_id, given, by=OWNER, now=NOW)
    cache.clear_all()

    assert exchanges.find(row.exchange_id, now=NOW).title == row.title


# --- the mall's checkout ------------------------------------------------------------------------------------


def test_an_order_of_the_mall_has_the_points_of_one_member() -> None:
    one, other = a_member(), a_member()
    given = FreezePoints(
        member=MemberRef(external_id="x"), mall_order_id="M-1", points=100, goods_fen=10_000, hold_s=600
    )
    for member_id in (one, other):
        earn(100, owner=member_id)
    checkout.freeze(given, member_id=one, now=NOW)

    with pytest.raises(checkout.CheckoutDiffers):
        checkout.freeze(given, member_id=other, now=NOW)

    assert [ledger.balance(owner=member_id, book=service.POINTS) for member_id in (one, other)] == [0, 100]


# --- levels -------------------------------------------------------------------------------------------------

GIFT = {"gift": {"goods": "makeup_card", "what": {"count": 2}}}


def four_levels(*, gift_at: int = 0) -> None:
    """Reached with 0, 100, 500 and 1,000 of growth."""
    told: list[dict[str, Any]] = [{"name": str(growth), "growth": growth} for growth in (0, 100, 500, 1000)]
    if gift_at:
        told[gift_at - 1]["perks"] = GIFT
    levels.edit(msgspec.convert({"levels": told}, EditLevels), by=OWNER, now=NOW)


def grown(member_id: str, growth: int) -> Row:
    """So much growth, of which nobody has heard yet."""
    cause = a_word()
    table.transact(
        ledger.posted(owner=member_id, book=levels.GROWTH, amount=growth, cause=cause, reason="t", now=NOW)
    )
    entry = ledger.find(owner=member_id, book=levels.GROWTH, cause=cause)
    assert entry is not None
    return entry


def grows(member_id: str, growth: int) -> None:
    """So much growth, and the level that it brings."""
    happens("growth.posted", grown(member_id, growth))


def level_of(member_id: str) -> int:
    """The level they have, as it is kept."""
    row = table.get(MemberLevel, MemberLevel.key(member_id))
    return row.level if row is not None else 1


def entry_of(row: Row | None) -> due.Entry:
    """What the index says of a row that is due."""
    assert row is not None and row.due_shard is not None and row.due_at is not None
    told = {"pk": row.pk, "sk": row.sk, "kind": "", "due_ref": row.due_ref or ""}
    return due.Entry(due_shard=row.due_shard, due_at=row.due_at, **told)


def given(member_id: str, level: int) -> None:
    """The gift of a level is given."""
    levels.give_level_gift(entry_of(table.get(LevelGift, LevelGift.key(member_id, level))), NOW)


def of_so_many_levels(n: int) -> None:
    """An operator says the levels."""
    told = [{"name": str(growth), "growth": growth} for growth in range(n)]
    levels.edit(msgspec.convert({"levels": told}, EditLevels), by=OWNER, now=NOW)


def of_so_many_fen(n: int) -> None:
    """An operator says what ten points are worth."""
    service.edit_rule(EditPointsRule(rate_fen=n), by=OWNER, now=NOW)


@pytest.mark.parametrize(
    ("says", "told"),
    [
        (of_so_many_levels, lambda: len(levels.everything(now=NOW))),
        (of_so_many_fen, lambda: service.rule(now=NOW).rate_fen),
    ],
    ids=["levels", "the rule"],
)
@pytest.mark.parametrize("before", [0, 5], ids=["the first", "not the first"])
def test_of_two_who_say_it_at_once_one_does(
    says: Callable[[int], None], told: Callable[[], int], before: int
) -> None:
    if before:
        says(before)

    with before_write(1, lambda: says(2)), pytest.raises(Busy):
        says(3)
    cache.clear_all()

    assert told() == 2


@pytest.mark.parametrize("before", [0, 150], ids=["from the first", "from another"])
def test_who_rises_further_while_they_rise_stays_there(before: int) -> None:
    four_levels()
    alice = a_member()
    if before:
        grows(alice, before)
    entry = grown(alice, 500)

    with before_write(1, lambda: grows(alice, 1000)), pytest.raises(Busy):
        happens("growth.posted", entry)
    happens("growth.posted", entry)

    assert level_of(alice) == 4


def test_who_rises_while_their_year_ends_stays_there() -> None:
    four_levels()
    alice = a_member()
    grows(alice, 150)
    entry = entry_of(table.get(MemberLevel, MemberLevel.key(alice)))

    with before_write(1, lambda: grows(alice, 1000)), pytest.raises(Busy):
        levels.end_year(entry, NOW + rules.YEAR_S)

    assert level_of(alice) == 4


def test_a_gift_of_a_level_that_is_reached_by_two_facts_at_once_and_given_by_then_is_given() -> None:
    four_levels(gift_at=2)
    alice = a_member()
    entry = grown(alice, 100)

    def rises() -> None:
        grows(alice, 100)
        given(alice, 2)

    with before_write(1, rises), pytest.raises(Busy):
        happens("growth.posted", entry)

    gift = table.get(LevelGift, LevelGift.key(alice, 2))
    assert gift is not None and gift.state == "given"


def test_a_gift_is_given_once_by_two_at_once() -> None:
    four_levels(gift_at=2)
    alice = a_member()
    grows(alice, 100)

    with before_write(1, lambda: given(alice, 2)):
        given(alice, 2)

    assert ledger.balance(owner=alice, book="makeup_card") == 2


# --- badges -------------------------------------------------------------------------------------------------


def a_badge(threshold: int) -> None:
    """For so many friends."""
    given = AddBadge(badge_id="host", title="Host", fact="binding.made", threshold=threshold)
    badges.add(given, by=OWNER, now=NOW)


def a_friend_of(member_id: str) -> Row:
    """Somebody who registered by them, of whom nobody has heard yet."""
    key = Binding.key(a_word("mbr_"))
    row = Binding(*key, state="bound", member_id=key[0], promoter_id=member_id, policy=1, bound_at=NOW)
    row.cause = "registered"
    return table.apply(table.create(row))


@pytest.mark.parametrize("before", [0, 1], ids=["the first", "not the first"])
def test_two_friends_who_come_at_once_count_as_two(before: int) -> None:
    a_badge(9)
    alice = a_member()
    for _ in range(before):
        happens("binding.made", a_friend_of(alice))
    friend = a_friend_of(alice)

    with before_write(1, lambda: happens("binding.made", a_friend_of(alice))), pytest.raises(Busy):
        happens("binding.made", friend)
    happens("binding.made", friend)

    assert badges.of(alice)[0] == {"binding.made": before + 2}


def by_a_reward(member_id: str, badge_id: str, *, now: int) -> Write:
    """The write by which it is somebody's reward."""
    badge = Piece("badge", 1, badge_id)
    (award,) = gifts.given(gifts.Giving(member_id=member_id, pieces=[badge], cause="c", reason="r", now=now))
    return award


@pytest.mark.parametrize("awarded", [badges.awarded, by_a_reward])
def test_a_badge_is_awarded_once(awarded: Callable[..., Write]) -> None:
    alice = a_member()
    table.apply(awarded(alice, "host", now=NOW))

    with pytest.raises((table.Taken, BadgeHeld)):
        table.apply(awarded(alice, "host", now=NOW + 60))

    assert badges.of(alice)[1] == {"host": NOW}


def test_of_two_who_edit_a_badge_at_once_one_does() -> None:
    a_badge(9)

    def edited(threshold: int) -> None:
        given = EditBadge(title="Host", fact="binding.made", threshold=threshold)
        badges.edit("host", given, by=OWNER, now=NOW)

    with before_write(1, lambda: edited(2)), pytest.raises(Busy):
        edited(3)

    assert [row.threshold for row in badges.everything(now=NOW)] == [2]


# --- who becomes another ------------------------------------------------------------------------------------


def handed(one: str, other: str) -> None:
    """What one has becomes the other's."""
    while merging.hand_over(one, other, NOW):
        pass


@pytest.mark.parametrize(
    ("before", "whose"), [(0, 1), (150, 1), (0, 0)], ids=["the other's first", "the other's", "their own"]
)
def test_a_level_that_rises_while_it_goes_over_stays(before: int, whose: int) -> None:
    four_levels()
    two = a_member(), a_member()
    for member_id, growth in zip(two, (500, before), strict=True):
        if growth:
            grows(member_id, growth)

    with before_write(1, lambda: grows(two[whose], 1000)), pytest.raises(Busy):
        handed(*two)
    handed(*two)

    assert level_of(two[1]) == 4


def test_a_badge_that_the_other_reaches_while_it_goes_over_is_theirs() -> None:
    a_badge(1)
    one, other = a_member(), a_member()
    table.apply(badges.awarded(one, "host", now=NOW))
    friend = a_friend_of(other)

    with before_write(1, lambda: happens("binding.made", friend, now=NOW + 60)), pytest.raises(Busy):
        handed(one, other)
    handed(one, other)

    assert [badges.of(member_id)[1] for member_id in (one, other)] == [{}, {"host": NOW + 60}]


def test_a_badge_that_goes_over_while_the_other_reaches_it_is_had_since_it_was_awarded() -> None:
    a_badge(1)
    one, other = a_member(), a_member()
    table.apply(badges.awarded(one, "host", now=NOW))
    friend = a_friend_of(other)

    with before_write(1, lambda: handed(one, other)), pytest.raises(table.Taken):
        happens("binding.made", friend, now=NOW + 60)
    happens("binding.made", friend, now=NOW + 60)

    assert badges.of(other) == ({"binding.made": 1}, {"host": NOW})


def test_who_counts_for_one_while_their_count_goes_over_counts_for_the_other() -> None:
    a_badge(9)
    one, other = a_member(), a_member()
    happens("binding.made", a_friend_of(one))

    with before_write(1, lambda: happens("binding.made", a_friend_of(one))), pytest.raises(Busy):
        handed(one, other)
    handed(one, other)

    assert badges.of(other)[0] == {"binding.made": 2}


def test_what_one_exchanges_while_it_goes_over_counts_for_the_other() -> None:
    one, other = a_member(), a_member()
    row = an_exchange(per_member=2)
    taken(row, one)

    with before_write(1, lambda: taken(row, one)), pytest.raises(Busy):
        handed(one, other)
    handed(one, other)

    assert exchanges.taken_by(other, [row]) == [2]
