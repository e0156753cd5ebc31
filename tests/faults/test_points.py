"""Points when any storage call fails: each is posted, exchanged, frozen, closed or counted once."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from chalicelib.core import cache, due, facts, ledger, table
from chalicelib.core.facts import Fact
from chalicelib.core.ledger import HoldOver, Posted
from chalicelib.members.schemas import MemberRef
from chalicelib.points import badges, checkout, exchanges, levels, rules, service
from chalicelib.points.schemas import AddBadge, Adjust, EditLevels, EditPointsRule, FreezePoints
from chalicelib.sharing.models import Binding
from tests.factories import NOW, OWNER, a_member, books, emptied
from tests.harness.faults import each_fault
from tests.points import ALICE, YEAR, an_exchange, earn, freeze

pytestmark = pytest.mark.usefixtures("direct")
OVER = ledger.closes_at(2026 * 12, YEAR)
FREEZE = FreezePoints(member=MemberRef(external_id="a"), mall_order_id="M-1", points=60, goods_fen=10_000)
LEVELS = [
    {"name": "a", "growth": 0},
    {
        "name": "b",
        "growth": 10,
        "yearly_growth": 8,
        "perks": {"gift": {"goods": "makeup_card", "what": {"count": 2}}},
    },
]


@dataclass
class World:
    """What the operation is about."""

    subject: str = ""


def with_points() -> World:
    emptied()
    earn(100, cause="gift")
    cache.clear_all()
    return World()


def posted(world: World) -> None:
    with suppress(Posted):
        table.transact(service.earned(ALICE, points=5, growth=5, cause="day-1", reason="checkin", now=NOW))


def reversed_(world: World) -> None:
    with suppress(Posted):
        table.transact(service.reversal(ALICE, cause="gift", amount=30, part="r1", reason="refund", now=NOW))


def closed(world: World) -> None:
    ledger.close(owner=ALICE, book="points", lasts_months=YEAR, now=OVER)


def frozen(world: World) -> None:
    checkout.freeze(FREEZE, member_id=ALICE, now=NOW)


def spent(world: World) -> None:
    checkout.spend("M-1", now=NOW)


def released(world: World) -> None:
    checkout.release("M-1", now=NOW)


def with_frozen() -> World:
    world = with_points()
    frozen(world)
    cache.clear_all()
    return world


def with_spent() -> World:
    world = with_frozen()
    spent(world)
    cache.clear_all()
    return world


def has(points: int, **more: int) -> Callable[[World], None]:
    """The balance is this, proven by the entries, and there are so many rows of these kinds."""

    def check(world: World) -> None:
        there = books(table.client())
        (account,) = there.of("account", pk=f"ACCOUNT#{ALICE}#points")
        own = [row for row in there.rows if row["pk"] == account["pk"] and row["sk"] != "META"]
        assert account["balance"] == sum(row["amount"] for row in own) == points
        assert {kind: there[kind] for kind in more} == more

    return check


@pytest.mark.parametrize(
    ("operation", "setup", "check"),
    [
        (posted, with_points, has(105, entry=3)),
        (reversed_, with_points, has(70, entry=2)),
        (closed, with_points, has(0, entry=2)),
        (frozen, with_points, has(40, hold=1, points_checkout=1)),
        (spent, with_frozen, has(40, hold=1, entry=1)),
        (released, with_frozen, has(100, hold=1, entry=2)),
        (released, with_spent, has(100, hold=1, entry=2)),
    ],
)
def test_the_ledger_and_the_checkout_post_once(
    operation: Callable[[World], None], setup: Callable[[], World], check: Callable[[World], None]
) -> None:
    each_fault(operation, client=table.client(), setup=setup, check=check)


def test_a_hold_whose_time_is_over_comes_back_once() -> None:
    def setup() -> World:
        with_points()
        return World(subject=freeze(60, until=NOW + 60).pk)

    def run(world: World) -> None:
        hold = next(row for row in table.query_all(table.Row, world.subject) if row.kind is ledger.Hold)
        entry = due.Entry(pk=hold.pk, sk=hold.sk, kind="hold", due_shard="", due_at=NOW + 60, due_ref="")
        service.release_hold(entry, NOW + 60)

    each_fault(
        run, client=table.client(), setup=setup, check=has(100, hold=1, entry=2), may_refuse=(HoldOver,)
    )


def test_an_exchange_is_paid_and_given_once() -> None:
    def setup() -> World:
        with_points()
        row = an_exchange(stock=3)
        cache.clear_all()
        return World(subject=row.exchange_id)

    def run(world: World) -> None:
        exchanges.exchange(world.subject, member_id=ALICE, idempotency_key=None, now=NOW)

    def check(world: World) -> None:
        has(90, entry=3, points_exchanged=1)(world)
        assert sum(exchanges.stock_left(exchanges.find(world.subject, now=NOW)).values()) == 2
        assert ledger.balance(owner=ALICE, book="makeup_card") == 1

    each_fault(run, client=table.client(), setup=setup, check=check)


def test_an_exchange_is_switched_with_one_audit_row() -> None:
    def setup() -> World:
        emptied()
        return World(subject=an_exchange(stock_shards=2).exchange_id)

    def run(world: World) -> None:
        exchanges.switch(world.subject, to="paused", by=OWNER, now=NOW)

    def check(world: World) -> None:
        there = books(table.client())
        assert [row["on"] for row in there.of("points_stock")] == [False, False]
        assert there.only("points_exchange")["state"] == "paused"
        assert len(there.of("audit", action="exchange.paused")) == 1

    each_fault(run, client=table.client(), setup=setup, check=check)


def test_the_rule_is_told_anew_with_one_audit_row_and_told_again_with_none() -> None:
    def setup() -> World:
        emptied()
        return World()

    def run(_: World) -> None:
        service.edit_rule(EditPointsRule(lasts_months=12), by=OWNER, now=NOW)

    def check(_: World) -> None:
        there = books(table.client())
        assert (there.only("points_rule")["lasts_months"], there.only("points_rule")["rev"]) == (12, 1)
        assert len(there.of("audit", action="points.rule")) == 1

    each_fault(run, client=table.client(), setup=setup, check=check)


def test_an_operator_adjusts_once_for_a_key() -> None:
    def setup() -> World:
        emptied()
        world = World(subject=a_member())
        cache.clear_all()
        return world

    def run(world: World) -> None:
        given = Adjust(amount=9, reason="sorry")
        service.adjust(world.subject, given, by=OWNER, idempotency_key="k", now=NOW)

    def check(world: World) -> None:
        assert ledger.balance(owner=world.subject, book="points") == 9
        assert books(table.client())["audit"] == 1

    each_fault(run, client=table.client(), setup=setup, check=check)


# --- levels and badges --------------------------------------------------------------------------------------


def with_levels() -> World:
    emptied()
    levels.edit(msgspec.convert({"levels": LEVELS}, EditLevels), by=OWNER, now=NOW)
    earn(15, owner=ALICE, book="growth", cause="g", lasts_months=None)
    cache.clear_all()
    return World()


def grown(world: World) -> None:
    key = ledger.Entry.key(ALICE, "growth", "g")
    facts.dispatch(Fact(name="growth.posted", pk=key[0], sk=key[1], rev=1, owed=True), now=NOW)


def due_now(job: str, kind: str, handle: Callable[[due.Entry, int], None], now: int) -> None:
    for row in books(table.client()).of(kind):
        if row.get("due_shard", "").startswith(job):
            handle(due.Entry(**{name: row[name] for name in due.Entry.__annotations__}), now)


def test_a_level_is_reached_once_and_its_gift_given_once() -> None:
    def run(world: World) -> None:
        grown(world)
        due_now(levels.GIFT_JOB, "level_gift", levels.give_level_gift, NOW)

    def check(world: World) -> None:
        there = books(table.client())
        assert (there.only("member_level")["level"], there.only("level_gift")["state"]) == (2, "given")
        assert ledger.balance(owner=ALICE, book="makeup_card") == 2

    each_fault(run, client=table.client(), setup=with_levels, check=check)


def test_a_year_costs_growth_once() -> None:
    def setup() -> World:
        world = with_levels()
        grown(world)
        cache.clear_all()
        return world

    def run(world: World) -> None:
        due_now(levels.YEAR_JOB, "member_level", levels.end_year, NOW + rules.YEAR_S)

    def check(world: World) -> None:
        assert ledger.balance(owner=ALICE, book="growth") == 7
        row = books(table.client()).only("member_level")
        assert (row["level"], row.get("due_at")) == (1, None)

    each_fault(run, client=table.client(), setup=setup, check=check)


def test_a_fact_is_counted_once_and_a_badge_awarded_once() -> None:
    key = Binding.key("mbr_friend")

    def setup() -> World:
        emptied()
        given: dict[str, Any] = {"badge_id": "host", "title": "Host", "fact": "binding.made", "threshold": 1}
        badges.add(AddBadge(**given), by=OWNER, now=NOW)
        told: dict[str, Any] = {
            "member_id": "mbr_friend",
            "promoter_id": ALICE,
            "policy": 1,
            "bound_at": NOW,
            "cause": "registered",
        }
        table.apply(table.create(Binding(*key, state="bound", **told)))
        cache.clear_all()
        return World()

    def run(world: World) -> None:
        facts.dispatch(Fact(name="binding.made", pk=key[0], sk=key[1], rev=1, owed=False), now=NOW)

    def check(world: World) -> None:
        counts, awards = badges.of(ALICE)
        assert (counts, awards) == ({"binding.made": 1}, {"host": NOW})

    each_fault(run, client=table.client(), setup=setup, check=check)
