"""Which rate serves a line, what it earns, and which tier and step are reached."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.commissions import rules
from chalicelib.commissions.rules import Line, Rate, Scope, Sold, Step, TierTerms

AMOUNTS = st.integers(0, 10_000_000)


def rate(name: str = "r", *, value: int = 100, basis: rules.Basis = "bps", **scope: Any) -> Rate:
    given = msgspec.convert({"level": "level1", **scope}, Scope)
    return Rate(rate_id=name, n=1, since=0, on=True, scope=given, basis=basis, value=value)


def sold(**more: Any) -> Sold:
    given: dict[str, Any] = {
        "level": "level1",
        "product_id": "tea",
        "quantity": 1,
        "paid_fen": 10_000,
        "category_ids": ("drinks", "green"),
        "campaign_id": "cmp_1",
        "tier": 2,
        "order_fen": 10_000,
        "new_buyer": lambda: True,
    }
    return Sold(**{**given, **more})


def a_line(**more: Any) -> Line:
    given: dict[str, Any] = {
        "line_id": "1",
        "product_id": "tea",
        "quantity": 3,
        "paid_fen": 9900,
        "base_fen": 9900,
        "rate_id": "r",
        "rate_n": 1,
        "basis": "bps",
        "value": 500,
        "source": "default",
        "amount_fen": 495,
    }
    return Line(**{**given, **more})


ORDER = [
    rate("default"),
    rate("least", min_order_fen=500),
    rate("new", new_buyers_only=True),
    rate("tier", tier=2),
    rate("category", category_id="green"),
    rate("category and tier", category_id="green", tier=2),
    rate("campaign", campaign_id="cmp_1"),
    rate("product", product_id="tea"),
    rate("product and campaign", product_id="tea", campaign_id="cmp_1"),
]


@pytest.mark.parametrize("at", range(len(ORDER)))
def test_the_most_particular_rate_wins_by_the_stated_order(at: int) -> None:
    upto = ORDER[: at + 1]

    assert rules.best(upto, sold()) == rules.best(list(reversed(upto)), sold()) == ORDER[at]


@pytest.mark.parametrize(
    "scope",
    [
        {"level": "level2"},
        {"product_id": "coffee"},
        {"category_id": "food"},
        {"campaign_id": "cmp_2"},
        {"tier": 1},
        {"min_order_fen": 10_001},
    ],
)
def test_a_rate_serves_only_what_it_names(scope: dict[str, Any]) -> None:
    assert rules.best([rate(**scope)], sold()) is None


def test_whether_the_buyer_is_new_is_asked_only_by_a_rate_that_fits() -> None:
    def nobody_asks() -> bool:
        raise AssertionError

    rates = [rate("new", new_buyers_only=True, product_id="coffee"), rate("default")]

    assert rules.best(rates, sold(new_buyer=nobody_asks)) == rates[1]
    for_new = rate("for new", new_buyers_only=True)
    assert rules.best([for_new, rate("default")], sold(new_buyer=lambda: False)) == rates[1]


def test_of_two_categories_of_one_product_the_one_that_gives_more_wins() -> None:
    less, more = rate("a", category_id="drinks", value=100), rate("b", category_id="green", value=200)

    assert rules.best([less, more], sold()) == rules.best([more, less], sold()) == more


@pytest.mark.parametrize(("quantity", "fen", "wins"), [(1, 1, "share"), (3, 400, "sum"), (1, 400, "share")])
def test_a_share_and_a_sum_a_piece_are_compared_by_what_they_give(quantity: int, fen: int, wins: str) -> None:
    share = rate("share", category_id="drinks", value=1000)
    a_piece = rate("sum", category_id="green", basis="fen", value=fen)

    found = rules.best([share, a_piece], sold(quantity=quantity, paid_fen=10_000))

    assert found is not None
    assert found.rate_id == wins


def test_a_rate_of_nothing_is_a_rate_and_keeps_the_general_one_off_a_product() -> None:
    nothing = rate("none", product_id="tea", value=0)

    assert rules.best([rate("default"), nothing], sold()) == nothing


def test_a_fixed_commission_is_for_each_unit() -> None:
    """The quantity bug: YunaiV/ruoyi-vue-pro d1fc18a409 and 5c4fedb69d paid it once a line."""
    assert rules.earned_fen(basis="fen", value=100, quantity=3, paid_fen=9900, base_fen=9900) == 300


@pytest.mark.parametrize(
    ("base_fen", "bps", "fen"),
    [(9900, 500, 495), (9999, 500, 499), (1, 9999, 0), (333, 1000, 33), (0, 10_000, 0)],
)
def test_a_share_is_of_what_is_left_and_rounded_down_to_the_fen(base_fen: int, bps: int, fen: int) -> None:
    assert (
        rules.earned_fen(basis="bps", value=bps, quantity=1, paid_fen=max(base_fen, 1), base_fen=base_fen)
        == fen
    )


def test_a_refund_in_part_takes_a_fixed_commission_in_proportion() -> None:
    line = a_line(basis="fen", value=100, amount_fen=300)

    assert rules.with_left(line, 6600).amount_fen == 200
    assert rules.with_left(line, 3301).amount_fen == 100
    assert rules.with_left(line, 0).amount_fen == 0


@given(
    basis=st.sampled_from(["bps", "fen"]),
    value=st.integers(0, 10_000),
    quantity=st.integers(1, 99),
    paid_fen=AMOUNTS,
    parts=st.lists(AMOUNTS, max_size=5),
)
def test_however_it_goes_back_a_line_never_earns_more_than_is_left_and_ends_at_nothing(
    basis: rules.Basis, value: int, quantity: int, paid_fen: int, parts: list[int]
) -> None:
    line = a_line(basis=basis, value=value, quantity=quantity, paid_fen=paid_fen, base_fen=paid_fen)
    line, left = rules.with_left(line, paid_fen), paid_fen
    for part in parts:
        left -= min(left, part)
        less = rules.with_left(line, left)
        assert 0 <= less.amount_fen <= min(line.amount_fen, left)
        assert less == rules.with_left(a_line(**{**msgspec.structs.asdict(line), "base_fen": paid_fen}), left)
        line = less
    assert rules.with_left(line, 0).amount_fen == 0


def test_a_tier_takes_all_that_it_names() -> None:
    tiers = [
        TierTerms(name="a"),
        TierTerms(name="b", settled_fen=1000),
        TierTerms(name="c", settled_fen=5000, invitees=3),
    ]

    assert rules.tier_for([], {"settled_fen": 9999}) == 1
    assert rules.tier_for(tiers, {"settled_fen": 999}) == 1
    assert rules.tier_for(tiers, {"settled_fen": 9999, "invitees": 2}) == 2
    assert rules.tier_for(tiers, {"settled_fen": 5000, "invitees": 3}) == 3


def test_the_highest_step_that_is_reached_serves() -> None:
    steps = [Step(from_fen=100, bonus_bps=1), Step(from_fen=200, bonus_bps=2)]

    assert [rules.step_for(steps, fen) for fen in (99, 100, 199, 200)] == [None, steps[0], steps[0], steps[1]]
