"""Money is whole fen: parts are rounded down, and shares always add up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import money

fen = st.integers(min_value=0, max_value=10**13)
weights = st.lists(st.integers(min_value=0, max_value=10**9), min_size=1, max_size=30)


@given(fen, weights)
def test_shares_add_up_to_the_fen(amount: int, given_weights: list[int]) -> None:
    shares = money.share_fen(amount, weights=given_weights)

    assert len(shares) == len(given_weights)
    assert sum(shares) == amount and min(shares) >= 0


@given(fen, weights)
def test_only_the_last_share_is_more_than_its_part(amount: int, given_weights: list[int]) -> None:
    *shares, last = money.share_fen(amount, weights=given_weights)
    total = sum(given_weights) or 1

    assert all(
        share == amount * weight // total for share, weight in zip(shares, given_weights, strict=False)
    )
    assert last * total >= amount * given_weights[-1]


@given(fen)
def test_weights_that_are_all_nothing_put_it_on_the_last(amount: int) -> None:
    assert money.share_fen(amount, weights=[0, 0, 0]) == [0, 0, amount]


@given(fen, st.integers(min_value=0, max_value=money.BPS))
def test_a_part_and_the_rest_are_the_whole(amount: int, rate: int) -> None:
    part = money.part_fen(amount, rate_bps=rate)

    assert 0 <= part <= amount
    assert part * money.BPS <= amount * rate < (part + 1) * money.BPS


@pytest.mark.parametrize(
    ("amount", "rate", "part"), [(9999, 1, 0), (10_000, 1, 1), (8900, 333, 296), (1, 9999, 0)]
)
def test_a_part_is_rounded_down(amount: int, rate: int, part: int) -> None:
    assert money.part_fen(amount, rate_bps=rate) == part


@pytest.mark.parametrize(("amount", "rate"), [(-1, 1), (1, -1)])
def test_there_is_no_part_of_less_than_nothing(amount: int, rate: int) -> None:
    with pytest.raises(ValueError, match="never negative"):
        money.part_fen(amount, rate_bps=rate)


@pytest.mark.parametrize(("amount", "shares"), [(-1, [1]), (1, []), (1, [1, -1])])
def test_there_is_nothing_to_share_out_of_nothing(amount: int, shares: list[int]) -> None:
    with pytest.raises(ValueError, match="never negative"):
        money.share_fen(amount, weights=shares)


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "¥0.00"), (5, "¥0.05"), (8900, "¥89.00"), (10**9 + 1, "¥10000000.01")]
)
def test_yuan_are_for_people(amount: int, text: str) -> None:
    assert money.yuan(amount) == text
