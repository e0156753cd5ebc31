"""What coupons are worth: to the fen, never below zero, and in the best combination that is allowed."""

import itertools
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.clock import DAY
from chalicelib.coupons import rules
from chalicelib.coupons.rules import Basket, Line, Option, Saving, Terms, WhyNot

SHANGHAI = ZoneInfo("Asia/Shanghai")
PRODUCTS = ("tea", "cup", "pot")
CATEGORIES = ("drinks", "ware")

fen = st.integers(0, 20_000)
lines = st.builds(
    Line,
    product_id=st.sampled_from(PRODUCTS),
    category_ids=st.lists(st.sampled_from(CATEGORIES), max_size=2).map(tuple),
    price_fen=fen,
    quantity=st.integers(1, 5),
)
baskets = st.builds(
    Basket, lines=st.lists(lines, min_size=1, max_size=5).map(tuple), freight_fen=st.integers(0, 2000)
)
scopes = st.one_of(
    st.just({"kind": "all", "exclude_product_ids": ["pot"]}),
    st.just({"kind": "all"}),
    st.fixed_dictionaries({"kind": st.just("products"), "ids": st.lists(st.sampled_from(PRODUCTS))}),
    st.fixed_dictionaries({"kind": st.just("categories"), "ids": st.lists(st.sampled_from(CATEGORIES))}),
)
terms = st.builds(
    Terms,
    kind=st.sampled_from(["amount_off", "percent_off", "fixed_price", "free_shipping", "exchange"]),
    value_fen=fen,
    percent_bps=st.integers(1, 10_000),
    cap_fen=st.none() | fen,
    threshold_fen=st.integers(0, 10_000),
    scope=scopes,
    exclusive=st.booleans(),
)
groups = st.sampled_from("abcd")


def a_basket(*prices: int) -> Basket:
    return Basket(lines=tuple(Line(product_id="tea", price_fen=price) for price in prices), freight_fen=800)


def options_of(wallet: list[tuple[Terms, str, int]], basket: Basket) -> list[Option]:
    """The coupons of a wallet that apply."""
    found = []
    for at, (one, group, ends_at) in enumerate(wallet):
        saving = rules.saving_of(one, basket)
        if isinstance(saving, Saving):
            found.append(Option(coupon_id=f"c{at}", terms=one, group=group, ends_at=ends_at, saving=saving))
    return found


# --- one coupon ---------------------------------------------------------------------------------------------


@given(terms, baskets)
def test_a_saving_is_on_lines_that_are_meant_and_never_more_than_they_have(
    one: Terms, basket: Basket
) -> None:
    saving = rules.saving_of(one, basket)

    if isinstance(saving, WhyNot):
        return
    for line, off in zip(basket.lines, saving.per_line, strict=True):
        assert 0 <= off <= line.amount_fen
        assert not off or rules.in_scope(one.scope, line.product_id, line.category_ids)
    assert 0 <= saving.freight_fen <= basket.freight_fen
    assert saving.fen > 0


@given(st.lists(fen, min_size=1, max_size=8), st.data())
def test_shares_add_up_to_the_fen_and_no_line_gives_more_than_it_has(
    amounts: list[int], data: st.DataObject
) -> None:
    off = data.draw(st.integers(0, sum(amounts)))

    shares = rules.shared(off, amounts)

    assert sum(shares) == off
    assert all(0 <= share <= amount for share, amount in zip(shares, amounts, strict=True))


def test_the_last_line_takes_the_remainder() -> None:
    assert rules.shared(1000, [3333, 3333, 3334]) == (333, 333, 334)


def test_what_the_last_line_cannot_bear_the_one_before_it_does() -> None:
    assert rules.shared(2, [1, 1, 1]) == (0, 1, 1)
    assert rules.shared(100, [60, 60, 0]) == (50, 50, 0)


@pytest.mark.parametrize(
    ("one", "prices", "saves"),
    [
        (Terms(kind="amount_off", value_fen=1000, threshold_fen=5000), (5000,), 1000),
        (Terms(kind="amount_off", value_fen=9000), (5000,), 5000),  # macrozheng/mall#1002: -824 to pay
        (Terms(kind="percent_off", percent_bps=1500), (3333,), 499),
        (Terms(kind="percent_off", percent_bps=5000, cap_fen=2000), (9000,), 2000),
        (Terms(kind="fixed_price", value_fen=990), (3000, 5000), 4010),
        (Terms(kind="exchange"), (3000, 5000), 5000),
        (Terms(kind="free_shipping"), (3000,), 800),
        (Terms(kind="free_shipping", cap_fen=500), (3000,), 500),
    ],
)
def test_what_each_kind_saves(one: Terms, prices: tuple[int, ...], saves: int) -> None:
    saving = rules.saving_of(one, a_basket(*prices))

    assert isinstance(saving, Saving) and saving.fen == saves


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (Terms(kind="amount_off", value_fen=1, scope={"kind": "products", "ids": ["cup"]}), "not_in_scope"),
        (Terms(kind="amount_off", value_fen=1, threshold_fen=5001), "below_threshold"),
        (Terms(kind="fixed_price", value_fen=6000), "saves_nothing"),
    ],
)
def test_why_a_coupon_does_not_apply(one: Terms, why: str) -> None:
    told = rules.saving_of(one, a_basket(5000))

    assert isinstance(told, WhyNot) and told.code == why


def test_the_threshold_is_of_what_is_meant_and_says_what_is_missing() -> None:
    basket = Basket(lines=(Line(product_id="tea", price_fen=3000), Line(product_id="cup", price_fen=9000)))
    one = Terms(
        kind="amount_off", value_fen=500, threshold_fen=5000, scope={"kind": "products", "ids": ["tea"]}
    )

    told = rules.saving_of(one, basket)

    assert told == WhyNot(code="below_threshold", details={"missing_fen": 2000})


# --- several ------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(terms, groups, st.integers(0, 9)), max_size=6), baskets)
def test_the_best_combination_is_that_of_brute_force(
    wallet: list[tuple[Terms, str, int]], basket: Basket
) -> None:
    options = options_of(wallet, basket)
    allowed = [
        some
        for size in range(len(options) + 1)
        for some in itertools.combinations(options, size)
        if rules.may_combine(some)
    ]

    chosen = rules.best(options, basket)

    most = max(rules.total([one.saving for one in some], basket) for some in allowed)
    assert rules.may_combine(chosen)
    assert rules.total([one.saving for one in chosen], basket) == most


@given(st.lists(terms, max_size=5), baskets)
def test_together_they_save_no_more_than_there_is_in_whatever_order(
    wallet: list[Terms], basket: Basket
) -> None:
    savings = [one for one in (rules.saving_of(one, basket) for one in wallet) if isinstance(one, Saving)]

    real = rules.together(savings, basket)

    for at, line in enumerate(basket.lines):
        assert sum(one.per_line[at] for one in real) <= line.amount_fen
    assert sum(one.freight_fen for one in real) <= basket.freight_fen
    assert rules.total(savings, basket) == rules.total(savings[::-1], basket)
    assert rules.total(savings, basket) <= sum(one.fen for one in savings)


def test_of_equal_combinations_the_smaller_and_the_one_that_ends_first() -> None:
    basket = a_basket(1000)
    whole = Terms(kind="amount_off", value_fen=1000, exclusive=False)
    options = options_of([(whole, "a", 9), (whole, "b", 3), (whole, "c", 5)], basket)

    assert [one.coupon_id for one in rules.best(options, basket)] == ["c1"]


def test_a_wallet_that_nobody_has_does_not_hold_up_the_rest() -> None:
    basket = Basket(lines=tuple(Line(product_id=f"p{at}", price_fen=100) for at in range(40)))
    wallet = [
        Terms(
            kind="amount_off",
            value_fen=150,
            exclusive=False,
            scope={"kind": "products", "ids": [f"p{at % 40}", f"p{at * 7 % 40}", f"p{at * 3 % 40}"]},
        )
        for at in range(60)
    ]
    options = options_of([(one, f"g{at}", at) for at, one in enumerate(wallet)], basket)

    assert rules.may_combine(rules.best(options, basket))


# --- when and for whom --------------------------------------------------------------------------------------


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).timestamp())


def test_days_begin_with_the_claim_or_with_the_brands_next_day() -> None:
    now = at("2026-02-27T22:30:00")

    assert rules.window({"kind": "days", "days": 3}, now=now, zone=SHANGHAI) == (now, now + 3 * DAY)
    whole = rules.window({"kind": "days", "days": 3, "from_next_day": True}, now=now, zone=SHANGHAI)
    assert whole == (at("2026-02-28T00:00:00"), at("2026-03-03T00:00:00"))


def test_whole_days_end_as_days_do_where_clocks_change() -> None:
    zone = ZoneInfo("Europe/Berlin")
    now = int(datetime(2026, 3, 27, 12, tzinfo=zone).timestamp())

    starts_at, ends_at = rules.window({"kind": "days", "days": 2, "from_next_day": True}, now=now, zone=zone)

    assert ends_at - starts_at == 2 * DAY - 3600
    assert datetime.fromtimestamp(ends_at, zone).hour == 0


@pytest.mark.parametrize(
    ("audience", "who", "why"),
    [
        ({"kind": "all"}, {}, None),
        ({"kind": "none"}, {}, "not_for_claiming"),
        ({"kind": "new_members", "within_days": None}, {"registered_at": 100}, None),
        ({"kind": "new_members", "within_days": None}, {"registered_at": 99}, "new_members_only"),
        ({"kind": "new_members", "within_days": 1}, {"registered_at": 4 * DAY}, None),
        ({"kind": "new_members", "within_days": 1}, {"registered_at": 4 * DAY - 1}, "new_members_only"),
        ({"kind": "level", "at_least": 2}, {"level": 2}, None),
        ({"kind": "level", "at_least": 2}, {"level": 1}, "level_too_low"),
        ({"kind": "tag", "any_of": ["vip", "staff"]}, {"tags": {"vip"}}, None),
        ({"kind": "tag", "any_of": ["vip"]}, {"tags": {"other"}}, "tag_missing"),
    ],
)
def test_who_may_claim(audience: dict[str, object], who: dict[str, object], why: str | None) -> None:
    told: dict[str, object] = {
        "registered_at": 0,
        "tags": (),
        "level": 0,
        "new_since": 100,
        "now": 5 * DAY,
        **who,
    }

    assert rules.why_not_for(audience, **told) == why  # type: ignore[arg-type]
