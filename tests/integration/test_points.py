"""Points: what others give and take, what they buy, levels, badges, and the mall's checkout."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from chalicelib.core import config, doors, due, facts, ledger, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.errors import IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.facts import Fact
from chalicelib.core.http import Call
from chalicelib.core.ledger import HoldOver, OverReversed, Posted
from chalicelib.coupons import service as coupons
from chalicelib.coupons.templates import CouponSoldOut
from chalicelib.members.schemas import MemberRef
from chalicelib.points import (
    admin,
    answers,
    badges,
    checkout,
    exchanges,
    goods,
    levels,
    mall,
    routes,
    rules,
    service,
)
from chalicelib.points.checkout import CheckoutDiffers, PointsOverShare
from chalicelib.points.exchanges import (
    ExchangeLimit,
    ExchangeNotStarted,
    ExchangeOver,
    ExchangePaused,
    ExchangeSoldOut,
)
from chalicelib.points.models import Exchange, LevelGift
from chalicelib.points.schemas import (
    AddBadge,
    AddExchange,
    AddUnits,
    Adjust,
    CheckoutAnswer,
    EditBadge,
    EditExchange,
    EditLevels,
    EditPointsRule,
    EntriesQuery,
    ExchangeDone,
    ExchangePoints,
    FreezePoints,
    ReleasePoints,
    SpendPoints,
)
from chalicelib.points.service import NotEnoughPoints
from chalicelib.sharing.models import Binding
from infra.local.clients import Store
from tests.coupons import a_template, claim
from tests.factories import NOW, OWNER, a_call, a_member, a_word, books, dying_at, only, reacted
from tests.harness.counter import Spent, counting
from tests.points import an_exchange

pytestmark = pytest.mark.usefixtures("direct")
YEAR_ON = NOW + rules.YEAR_S
LEVELS = [
    {"name": "Leaf", "growth": 0},
    {"name": "Branch", "growth": 100, "yearly_growth": 80, "perks": {"points_bps": 15_000}},
    {
        "name": "Tree",
        "growth": 500,
        "yearly_growth": 450,
        "perks": {"points_bps": 20_000, "gift": {"goods": "makeup_card", "what": {"count": 2}}},
    },
]


@pytest.fixture
def alice(store: Store) -> str:
    """Somebody with an account still to come."""
    return a_member()


def costs(do: Callable[[], object]) -> Spent:
    """What ``do`` asked of the store."""
    with counting(table.client()) as spent:
        do()
    return spent


def earn(member_id: str, points: int, *, growth: int = 0, cause: str = "", now: int = NOW) -> str:
    cause = cause or a_word("cause-")
    table.transact(
        service.earned(member_id, points=points, growth=growth, cause=cause, reason="checkin", now=now)
    )
    return cause


def balance(member_id: str, book: str = "points") -> int:
    drift = ledger.drift(owner=member_id, book=book)
    assert drift.none
    return drift.balance


def as_member(member_id: str, *, now: int = NOW, key: str | None = None) -> Call:
    session = doors.Session(member_id=member_id, program_id="demo", visitor=member_id)
    return replace(a_call(session=session, now=now), idempotency_key=key)


def as_operator(*, key: str | None = None) -> Call:
    return replace(a_call(operator=OWNER), idempotency_key=key)


def set_levels(*given: dict[str, Any]) -> None:
    levels.edit(msgspec.convert({"levels": list(given or LEVELS)}, EditLevels), by=OWNER, now=NOW)


def run(job: str, *, now: int) -> None:
    assert not due.run(job=job, worker="test", now=now, seconds=30).failed


# --- earning and spending -----------------------------------------------------------------------------------


def test_a_check_in_with_points_pays_five_units_for_them(alice: str) -> None:
    service.rule(now=NOW)
    levels.everything(now=NOW)

    spent = costs(lambda: earn(alice, 5))

    assert (spent.calls, spent.writes) == (1, Counter({"truth": 4, "truth/owner": 1}))


def test_points_and_growth_of_one_cause_are_two_postings_and_a_replay_is_none(alice: str) -> None:
    earn(alice, 5, growth=7, cause="day-1")

    with pytest.raises(Posted):
        earn(alice, 5, growth=7, cause="day-1")

    assert (balance(alice), balance(alice, "growth")) == (5, 7)
    assert service.earned(alice, cause="nothing", reason="checkin", now=NOW) == []


def test_who_has_too_few_points_is_told_how_many(alice: str) -> None:
    earn(alice, 5)

    with pytest.raises(NotEnoughPoints) as refused:
        table.transact(service.spent(alice, points=6, cause="gift", reason="gift", now=NOW))

    assert refused.value.details == {"balance": 5, "needed": 6}


def test_a_level_adds_points_and_says_so(alice: str) -> None:
    set_levels()
    earn(alice, 1, growth=120)
    reacted(table.client(), now=NOW)

    earn(alice, 15, cause="day-2")

    entry = ledger.find(owner=alice, book="points", cause="day-2")
    assert entry is not None and (entry.amount, entry.lines) == (22, [["checkin", 15], ["level", 7]])


def test_what_was_earned_is_taken_back_and_the_debt_is_shown(alice: str) -> None:
    cause = earn(alice, 50)
    table.transact(service.spent(alice, points=30, cause="gift", reason="gift", now=NOW))
    table.transact(service.reversal(alice, cause=cause, reason="refund", now=NOW))

    shown = routes.show_mine(as_member(alice))

    assert (shown.balance, shown.debt, shown.expiring, shown.level) == (-30, 30, 0, None)


def test_points_expire_by_the_rule_and_the_page_says_when(alice: str) -> None:
    admin.edit_rule(as_operator(), EditPointsRule(lasts_months=12))
    earn(alice, 40)
    shown = routes.show_mine(as_member(alice))
    assert (shown.expiring, shown.expires_at) == (40, 1_801_411_200)

    run(ledger.CLOSE_JOB, now=1_801_411_199)
    assert balance(alice) == 40
    run(ledger.CLOSE_JOB, now=1_801_411_200)

    assert balance(alice) == 0
    listed = routes.list_entries(as_member(alice), EntriesQuery())
    assert [(entry.reason, entry.amount) for entry in listed.items] == [("expired", -40), ("checkin", 40)]


def test_entries_are_listed_by_book_and_page(alice: str) -> None:
    causes = [earn(alice, n, growth=1, now=NOW + n) for n in range(1, 4)]

    first = routes.list_entries(as_member(alice), EntriesQuery(limit=2))
    rest = routes.list_entries(as_member(alice), EntriesQuery(limit=2, after=first.next))

    assert [entry.cause for entry in [*first.items, *rest.items]] == causes[::-1]
    assert rest.next is None
    growth = routes.list_entries(as_member(alice), EntriesQuery(book="growth"))
    assert [entry.amount for entry in growth.items] == [1, 1, 1]


def test_an_operator_adjusts_points_once_for_a_reason(alice: str) -> None:
    given = Adjust(amount=30, reason="sorry")
    for _ in range(2):
        shown = admin.adjust(as_operator(key="k1"), alice, given)
    assert (shown.balance, shown.posted) == (30, 30)

    with pytest.raises(IdempotencyMismatch):
        admin.adjust(as_operator(key="k1"), alice, Adjust(amount=31, reason="sorry"))
    with pytest.raises(NotEnoughPoints):
        admin.adjust(as_operator(), alice, Adjust(amount=-31, reason="a mistake"))
    with pytest.raises(Invalid):
        admin.adjust(as_operator(), alice, Adjust(amount=0, reason="nothing"))
    with pytest.raises(NotFound):
        admin.adjust(as_operator(), "mbr_nobody", given)
    assert only(table.client(), "audit")["action"] == "points.adjusted"


# --- exchanges ----------------------------------------------------------------------------------------------


def buy(member_id: str, row: Exchange, *, key: str | None = None, now: int = NOW) -> tuple[int, ExchangeDone]:
    reply = routes.exchange(
        as_member(member_id, now=now, key=key), ExchangePoints(exchange_id=row.exchange_id)
    )
    return reply.status, reply.body


def test_points_buy_a_card_once_and_a_repeat_answers_the_same(alice: str) -> None:
    earn(alice, 25)
    row = an_exchange()

    (status, done), (again, repeated) = buy(alice, row), buy(alice, row)

    assert (status, again) == (201, 200)
    assert (done.cause, done.balance) == (repeated.cause, repeated.balance) == (done.cause, 15)
    assert balance(alice, "makeup_card") == 1
    assert sum(exchanges.stock_left(row).values()) == 4


def test_an_exchange_is_one_call_and_its_units_are_counted(alice: str) -> None:
    earn(alice, 25)
    row = an_exchange()
    exchanges.find(row.exchange_id, now=NOW)

    spent = costs(lambda: exchanges.exchange(row.exchange_id, member_id=alice, idempotency_key=None, now=NOW))

    # points 4, limit 2, stock 2, the card's own posting 4; both entries are listed
    assert (spent.calls, spent.writes) == (1, Counter({"truth": 12, "truth/owner": 2}))


def test_where_one_may_buy_several_a_key_tells_a_repeat_from_another(alice: str) -> None:
    earn(alice, 100)
    row = an_exchange(per_member=2)
    with pytest.raises(Invalid):
        buy(alice, row)

    assert [buy(alice, row, key=key)[0] for key in ("a", "a", "b", "b")] == [201, 200, 201, 200]
    with pytest.raises(ExchangeLimit) as refused:
        buy(alice, row, key="c")

    assert refused.value.details == {"per_member": 2}
    assert (balance(alice), balance(alice, "makeup_card")) == (80, 2)
    listed = routes.list_exchanges(as_member(alice))
    assert [(one.exchange_id, one.mine) for one in listed.items] == [(row.exchange_id, 2)]
    assert routes.list_exchanges(a_call()).items[0].mine is None


def test_refusals_say_what_is_in_the_way_and_take_nothing(alice: str) -> None:
    earn(alice, 5)
    row = an_exchange()
    with pytest.raises(NotEnoughPoints):
        buy(alice, row)
    earn(alice, 95)

    with pytest.raises(ExchangeNotStarted):
        buy(alice, row, now=NOW - 101)
    with pytest.raises(ExchangeOver):
        buy(alice, row, now=NOW + 100)
    admin.pause_exchange(as_operator(), row.exchange_id)
    with pytest.raises(ExchangePaused):
        buy(alice, row)
    admin.resume_exchange(as_operator(), row.exchange_id)
    admin.add_units(as_operator(), row.exchange_id, AddUnits(units=-5))
    with pytest.raises(ExchangeSoldOut):
        buy(alice, row)
    with pytest.raises(NotFound):
        routes.exchange(as_member(alice), ExchangePoints(exchange_id="exc_none"))

    assert (balance(alice), balance(alice, "makeup_card")) == (100, 0)
    assert books(table.client()).of("points_exchanged") == []


def test_the_last_unit_can_be_taken_wherever_it_is(alice: str) -> None:
    earn(alice, 100)
    row = an_exchange(stock=3, stock_shards=8, per_member=5)

    for key in ("a", "b", "c"):
        buy(alice, row, key=key)
    with pytest.raises(ExchangeSoldOut):
        buy(alice, row, key="d")

    assert set(exchanges.stock_left(row).values()) == {0}
    for _ in range(2):
        admin.add_units(as_operator(key="more"), row.exchange_id, AddUnits(units=1))
    assert sum(exchanges.stock_left(row).values()) == 1
    assert buy(alice, row, key="d")[0] == 201


def test_members_take_from_different_shards_though_each_may_only_once() -> None:
    row = an_exchange(stock=40, stock_shards=4, per_member=1)

    for member_id in (a_member() for _ in range(12)):
        earn(member_id, 100)
        buy(member_id, row)

    left = exchanges.stock_left(row)
    assert sum(left.values()) == 28
    assert max(left.values()) - min(left.values()) < 12


def test_a_repeat_is_answered_after_everything_is_over(alice: str) -> None:
    earn(alice, 10)
    row = an_exchange(stock=1)
    buy(alice, row)
    admin.close_exchange(as_operator(), row.exchange_id)

    assert buy(alice, row, now=NOW + 200)[0] == 200
    assert routes.list_exchanges(a_call()).items == []
    with pytest.raises(ExchangeOver):
        buy(a_member(), row)
    with pytest.raises(ExchangeOver):
        admin.resume_exchange(as_operator(), row.exchange_id)


def test_an_exchange_is_edited_without_its_price(alice: str) -> None:
    earn(alice, 10)
    row = an_exchange()
    edited = admin.edit_exchange(
        as_operator(),
        row.exchange_id,
        EditExchange(title="Two cards", per_member=2, starts_at=NOW + 50, ends_at=NOW + 60),
    )

    assert (edited.title, edited.per_member, edited.points, edited.left) == ("Two cards", 2, 10, 5)
    with pytest.raises(ExchangeNotStarted):
        buy(alice, row, key="k")
    with pytest.raises(Invalid):
        admin.edit_exchange(
            as_operator(), row.exchange_id, EditExchange(title="x", starts_at=NOW, ends_at=NOW)
        )
    with pytest.raises(NotFound):
        admin.edit_exchange(as_operator(), "exc_none", EditExchange(title="x", starts_at=1, ends_at=2))
    assert [one["action"] for one in books(table.client()).of("audit")].count("exchange.edited") == 1


def test_an_exchange_is_made_once_for_a_key() -> None:
    given = {"title": "A card", "points": 10, "goods": "makeup_card", "what": {"count": 1}, "stock": 5}
    body = {**given, "starts_at": NOW, "ends_at": NOW + DAY, "stock_shards": 2}
    made = [
        admin.add_exchange(as_operator(key="k"), msgspec.convert(body, AddExchange)).body for _ in range(2)
    ]

    assert made[0] == made[1] and made[0].left == 5
    with pytest.raises(IdempotencyMismatch):
        admin.add_exchange(as_operator(key="k"), msgspec.convert({**body, "stock": 6}, AddExchange))
    assert books(table.client())["points_stock"] == 2


def test_an_exchange_whose_making_broke_off_is_made_whole_by_its_own_body_only() -> None:
    given = {"title": "A card", "points": 10, "goods": "makeup_card", "what": {"count": 1}, "stock": 5}
    body = {**given, "starts_at": NOW, "ends_at": NOW + DAY, "stock_shards": 2}
    with pytest.raises(KeyboardInterrupt), dying_at(4):
        admin.add_exchange(as_operator(key="k"), msgspec.convert(body, AddExchange))

    with pytest.raises(IdempotencyMismatch):
        admin.add_exchange(as_operator(key="k"), msgspec.convert({**body, "stock": 2}, AddExchange))

    assert admin.add_exchange(as_operator(key="k"), msgspec.convert(body, AddExchange)).body.left == 5


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"goods": "gold"}, "goods"),
        ({"what": {"count": 0}}, "what"),
        ({"what": {"count": True}}, "what"),
        ({"what": {}}, "what"),
        ({"ends_at": NOW - 200}, "ends_at"),
    ],
)
def test_what_cannot_be_given_cannot_be_offered(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        an_exchange(**changes)

    assert refused.value.details["field"] == field
    assert "points_stock" not in books(table.client())


def test_another_rooms_goods_are_given_in_the_same_transaction_or_nothing_is(alice: str) -> None:
    def give(giving: goods.Giving) -> list[table.Write]:
        return [table.create(LevelGift("T", giving.cause, member_id=alice, level=0, goods="t", what={}))]

    goods.goods("test_ticket", give=give, check=lambda what, now: None)
    earn(alice, 30)
    row = an_exchange(goods="test_ticket", what={}, per_member=3)
    status, done = buy(alice, row, key="a")
    assert status == 201 and table.get(LevelGift, ("T", done.cause)) is not None

    cause = exchanges._cause(row, alice, "b")
    table.apply(table.create(LevelGift("T", cause, member_id=alice, level=0, goods="t", what={})))
    with pytest.raises(table.Taken):
        buy(alice, row, key="b")

    assert balance(alice) == 20
    goods._kinds.pop("test_ticket")


def test_points_buy_a_coupon_and_a_repeat_is_answered_when_there_are_no_more(alice: str) -> None:
    earn(alice, 30)
    template = a_template(audience={"kind": "none"}, stock=1)
    row = an_exchange(goods="coupon", what={"template_id": template.template_id}, per_member=2)

    assert buy(alice, row, key="a")[0] == 201
    with pytest.raises(CouponSoldOut):
        buy(alice, row, key="b")

    assert buy(alice, row, key="a")[0] == 200
    assert [one.source for one in coupons.all_of(alice)] == ["grant"]
    assert balance(alice) == 20
    for what in ({"template_id": "tpl_none"}, {"template_id": 1}, {}):
        with pytest.raises(Invalid):
            an_exchange(goods="coupon", what=what)


def test_a_level_opens_a_coupon_and_may_bring_one(alice: str) -> None:
    gift = {"goods": "coupon", "what": {"template_id": a_template().template_id}}
    set_levels({"name": "a", "growth": 0}, {"name": "b", "growth": 9, "perks": {"gift": gift}})
    template = a_template(audience={"kind": "level", "at_least": 2})
    with pytest.raises(coupons.NotEligible):
        claim(template, alice)

    earn(alice, 0, growth=9)
    reacted(table.client(), now=NOW)
    run(levels.GIFT_JOB, now=NOW)

    assert claim(template, alice).n == 1
    assert sorted(one.source for one in coupons.all_of(alice)) == ["claim", "grant"]


# --- levels -------------------------------------------------------------------------------------------------


def test_growth_lifts_a_member_over_several_levels_and_the_mall_is_told_once(alice: str) -> None:
    config.override(mall_webhook_url="http://127.0.0.1:1/hook")
    set_levels()
    earn(alice, 0, growth=520)
    reacted(table.client(), now=NOW)
    reacted(table.client(), now=NOW)

    shown = routes.show_mine(as_member(alice))
    assert shown.level is not None and (shown.level.level, shown.level.name) == (3, "Tree")
    assert shown.next_level is None
    (delivery,) = books(table.client()).of("delivery", type="member.level_changed")
    assert f'"member_id": "{alice}", "level": 3' in delivery["body"]
    run(levels.GIFT_JOB, now=NOW)
    run(levels.GIFT_JOB, now=NOW + HOUR)
    assert balance(alice, "makeup_card") == 2


def test_the_page_says_what_the_next_level_needs(alice: str) -> None:
    set_levels()
    earn(alice, 0, growth=30)
    reacted(table.client(), now=NOW)

    shown = routes.show_mine(as_member(alice))

    assert shown.level is not None and shown.next_level is not None
    assert (shown.level.level, shown.next_level.name, shown.next_level.missing) == (1, "Branch", 70)
    assert "member_level" not in books(table.client())


def test_a_year_costs_growth_and_who_grew_enough_keeps_the_level(alice: str) -> None:
    set_levels()
    earn(alice, 0, growth=190)
    reacted(table.client(), now=NOW)

    run(levels.YEAR_JOB, now=YEAR_ON - 1)
    assert balance(alice, "growth") == 190
    run(levels.YEAR_JOB, now=YEAR_ON)
    assert (levels.standing(alice, now=YEAR_ON).number, balance(alice, "growth")) == (2, 110)
    run(levels.YEAR_JOB, now=YEAR_ON + rules.YEAR_S)
    assert (levels.standing(alice, now=YEAR_ON).number, balance(alice, "growth")) == (1, 30)
    assert only(table.client(), "member_level").get("due_shard") is None


def test_a_gift_is_given_for_the_first_time_only(alice: str) -> None:
    set_levels()
    earn(alice, 0, growth=500)
    reacted(table.client(), now=NOW)
    run(levels.GIFT_JOB, now=NOW)
    run(levels.YEAR_JOB, now=YEAR_ON)
    assert levels.standing(alice, now=YEAR_ON).number == 2

    earn(alice, 0, growth=450, now=YEAR_ON)
    reacted(table.client(), now=YEAR_ON)
    run(levels.GIFT_JOB, now=YEAR_ON)

    assert levels.standing(alice, now=YEAR_ON).number == 3
    assert balance(alice, "makeup_card") == 2


@pytest.mark.parametrize(
    "wrong",
    [
        [{"name": "a", "growth": 1}],
        [{"name": "a", "growth": 0}, {"name": "b", "growth": 0}],
        [{"name": "a", "growth": 0}, {"name": "b", "growth": 9}, {"name": "c", "growth": 5}],
        [{"name": "a", "growth": 0, "perks": {"gift": {"goods": "makeup_card", "what": {"count": 1}}}}],
        [
            {"name": "a", "growth": 0},
            {"name": "b", "growth": 5, "perks": {"gift": {"goods": "gold", "what": {}}}},
        ],
    ],
)
def test_levels_that_make_no_sense_are_refused(wrong: list[dict[str, Any]]) -> None:
    with pytest.raises(Invalid):
        set_levels(*wrong)

    assert "level_table" not in books(table.client())


# --- badges -------------------------------------------------------------------------------------------------


def counted(member_id: str, rev: int, *, cause: str = "registered") -> None:
    """A fact that counts for a member: a binding of somebody whom they brought."""
    key = Binding.key(f"mbr_friend{rev}")
    row = Binding(*key, state="bound", member_id=key[0], promoter_id=member_id, policy=1, bound_at=NOW)
    row.cause = cause
    table.apply(table.create(row))
    for _ in range(2):
        facts.dispatch(Fact(name="binding.made", pk=key[0], sk=key[1], rev=1, owed=False), now=NOW)


def test_a_badge_can_be_shared_and_its_card_says_what_it_is() -> None:
    admin.add_badge(as_operator(), AddBadge(badge_id="host", title="Host", fact="binding.made", threshold=2))

    assert answers.describe_badge("host", NOW) == {"title": "Host", "name": "Host", "count": "2"}
    with pytest.raises(NotFound):
        answers.describe_badge("guest", NOW)


def test_so_many_facts_are_a_badge_once(alice: str) -> None:
    admin.add_badge(as_operator(), AddBadge(badge_id="host", title="Host", fact="binding.made", threshold=2))
    for rev in range(3):
        counted(alice, rev)

    (mine,) = routes.list_badges(as_member(alice)).items
    assert (mine.badge_id, mine.count, mine.awarded_at) == ("host", 2, NOW)
    assert books(table.client())["badge_award"] == 1
    assert only(table.client(), "badge_count")["n"] == 3


def test_who_was_bound_by_a_visit_alone_or_an_operator_counts_for_no_badge(alice: str) -> None:
    admin.add_badge(as_operator(), AddBadge(badge_id="host", title="Host", fact="binding.made", threshold=1))

    counted(alice, 1, cause="visit")
    counted(alice, 2, cause="operator")

    (mine,) = routes.list_badges(as_member(alice)).items
    assert (mine.count, mine.awarded_at) == (0, None)


def test_facts_that_no_badge_asks_for_are_not_counted(alice: str) -> None:
    counted(alice, 1)
    admin.add_badge(
        as_operator(), AddBadge(badge_id="host", title="Host", fact="binding.made", threshold=1, on=False)
    )
    counted(alice, 2)

    assert "badge_count" not in books(table.client())
    assert routes.list_badges(as_member(alice)).items == []


def test_badges_are_added_and_edited_by_operators() -> None:
    given = AddBadge(badge_id="host", title="Host", fact="binding.made", threshold=1)
    assert admin.add_badge(as_operator(), given) == admin.add_badge(as_operator(), given)
    with pytest.raises(badges.BadgeExists):
        admin.add_badge(as_operator(), msgspec.structs.replace(given, threshold=2))
    with pytest.raises(Invalid):
        admin.add_badge(as_operator(), msgspec.structs.replace(given, badge_id="b", fact="link.minted"))

    edit = EditBadge(title="Great host", fact="order.paid", threshold=3)
    assert admin.edit_badge(as_operator(), "host", edit).title == "Great host"
    with pytest.raises(NotFound):
        admin.edit_badge(as_operator(), "none", edit)
    assert [one.title for one in admin.list_badges(as_operator()).items] == ["Great host"]


# --- the mall's checkout ------------------------------------------------------------------------------------


def freeze(
    points: int, *, order: str = "M-1", fen: int = 10_000, now: int = NOW
) -> tuple[int, CheckoutAnswer]:
    body = FreezePoints(
        member=MemberRef(external_id="alice-1"), mall_order_id=order, points=points, goods_fen=fen, hold_s=600
    )
    reply = mall.freeze(a_call(now=now), body)
    return reply.status, reply.body


def spend(order: str = "M-1", *, now: int = NOW) -> CheckoutAnswer:
    return mall.spend(a_call(now=now), SpendPoints(mall_order_id=order))


def release(order: str = "M-1", *, now: int = NOW, **more: Any) -> CheckoutAnswer:
    return mall.release(a_call(now=now), ReleasePoints(mall_order_id=order, **more))


@pytest.fixture
def shopper(store: Store) -> str:
    """Whom the mall calls alice-1, with 300 points."""
    member_id = a_member(proof="external#alice-1")
    earn(member_id, 300)
    return member_id


def test_points_take_something_off_an_order_and_are_spent_once(shopper: str) -> None:
    status, frozen = freeze(200)
    assert (status, frozen.discount_fen, frozen.state, frozen.balance) == (201, 200, "frozen", 100)
    assert freeze(200) == (200, frozen)

    spent = [spend() for _ in range(2)]

    assert spent[0] == spent[1] and (spent[0].state, spent[0].balance) == ("spent", 100)
    assert release(points=50, refund_id="r1").balance == 150
    assert release(points=50, refund_id="r1").balance == 150
    assert release().returned == release().returned == 200
    assert balance(shopper) == 300


def test_points_come_back_from_an_order_that_is_given_up(shopper: str) -> None:
    freeze(200)
    with pytest.raises(Invalid):
        release(points=50, refund_id="r1")
    with pytest.raises(Invalid):
        release(points=50)

    assert release().state == release().state == "released"
    with pytest.raises(HoldOver):
        spend()
    assert balance(shopper) == 300


def test_points_that_came_back_are_not_said_to_be_frozen(shopper: str) -> None:
    freeze(100)
    release()

    with pytest.raises(HoldOver):
        freeze(100)

    assert balance(shopper) == 300
    assert freeze(100, order="M-2")[0] == 201


def test_a_rule_that_says_what_holds_already_changes_nothing_and_leaves_no_line() -> None:
    admin.edit_rule(as_operator(), EditPointsRule())
    told = [admin.edit_rule(as_operator(), EditPointsRule(rate_fen=10)) for _ in range(2)]

    assert told[0] == told[1] == admin.show_rule(as_operator())
    assert len(books(table.client()).of("audit", action="points.rule")) == 1


def test_levels_that_are_told_as_they_are_leave_no_line() -> None:
    for _ in range(2):
        set_levels()

    assert len(books(table.client()).of("audit", action="levels.edited")) == 1


def test_the_order_decides_how_many_points_it_takes(shopper: str) -> None:
    admin.edit_rule(as_operator(), EditPointsRule(rate_points=50, rate_fen=10, max_share_bps=1000))

    with pytest.raises(PointsOverShare) as refused:
        freeze(55, fen=100)
    at_most = refused.value.details["at_most_points"]
    assert at_most == 54 and freeze(at_most, fen=100)[1].discount_fen == 10
    with pytest.raises(Invalid):
        freeze(4, order="M-2")
    with pytest.raises(NotEnoughPoints):
        freeze(247, order="M-3", fen=100_000)


def test_an_order_has_one_members_points_and_a_repeat_outlives_the_rule(shopper: str) -> None:
    _, frozen = freeze(200)
    with pytest.raises(CheckoutDiffers) as refused:
        freeze(100)
    assert refused.value.details == {"member_id": shopper, "points": 200}

    admin.edit_rule(as_operator(), EditPointsRule(max_share_bps=0))
    assert freeze(200) == (200, frozen)
    for call in (spend, release):
        with pytest.raises(NotFound):
            call("M-9")


def test_points_come_back_by_themselves_and_a_late_payment_takes_them_again(shopper: str) -> None:
    freeze(200)
    run(ledger.RELEASE_JOB, now=NOW + 599)
    assert balance(shopper) == 100
    run(ledger.RELEASE_JOB, now=NOW + 600)
    assert balance(shopper) == 300

    late = [spend(now=NOW + 700) for _ in range(2)]

    assert late[0] == late[1] and (late[0].state, late[0].balance) == ("spent", 100)
    assert release(now=NOW + 800).returned == 200
    assert balance(shopper) == 300


def test_a_late_payment_of_points_that_are_gone_is_refused(shopper: str) -> None:
    freeze(200)
    run(ledger.RELEASE_JOB, now=NOW + 600)
    table.transact(service.spent(shopper, points=200, cause="gift", reason="gift", now=NOW))

    with pytest.raises(NotEnoughPoints):
        spend(now=NOW + 700)

    assert checkout.standing_of(checkout.find("M-1")).state == "released"
    assert release(now=NOW + 800).state == "released"


def test_no_more_comes_back_than_was_spent(shopper: str) -> None:
    freeze(200)
    spend()
    release(points=150, refund_id="r1")

    with pytest.raises(OverReversed) as refused:
        release(points=51, refund_id="r2")

    assert refused.value.details == {"left": 50}


def test_the_mall_sees_who_a_member_is(shopper: str) -> None:
    set_levels()
    earn(shopper, 0, growth=150)
    reacted(table.client(), now=NOW)
    by_query = MemberRef(external_id="alice-1")

    shown = [mall.show_member(a_call(), ref, MemberRef()) for ref in ("alice-1", shopper)]
    shown.append(mall.show_member(a_call(), "-", by_query))

    assert shown[0] == shown[1] == shown[2]
    assert shown[0].level is not None and shown[0].level.perks.points_bps == 15_000
    assert (shown[0].balance, shown[0].growth, shown[0].external_ids) == (300, 150, ["alice-1"])
    assert shown[0].binding is None
    for ref in ("nobody", "mbr_nobody", "-"):
        with pytest.raises(NotFound):
            mall.show_member(a_call(), ref, MemberRef())
    with pytest.raises(Invalid):
        mall.show_member(a_call(), "-", MemberRef(openid="o1"))
