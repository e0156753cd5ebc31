"""What points are worth, and what levels make of growth."""

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.points import rules

RATES = st.fixed_dictionaries({"rate_points": st.integers(1, 5000), "rate_fen": st.integers(1, 5000)})
LEVELS = [{"growth": 0, "yearly_growth": 0}, {"growth": 100, "yearly_growth": 80}]


@given(fen=st.integers(0, 10**7), rate=RATES)
def test_the_most_points_for_a_price_are_worth_no_more_than_it_and_one_more_would_be(
    fen: int, rate: dict[str, int]
) -> None:
    points = rules.points_for(fen, **rate)

    assert rules.worth_fen(points, **rate) <= fen < rules.worth_fen(points + 1, **rate)


@given(fen=st.integers(1, 10**7), bps=st.integers(0, 10_000), rate=RATES)
def test_points_never_take_more_than_their_share_off_an_order(
    fen: int, bps: int, rate: dict[str, int]
) -> None:
    at_most = rules.at_most_points(fen, max_share_bps=bps, **rate)

    assert rules.worth_fen(at_most, **rate) * 10_000 <= fen * bps


def test_a_level_multiplies_and_rounds_down() -> None:
    assert rules.multiplied(15, points_bps=15_000) == 22


def test_a_level_is_what_the_growth_reaches() -> None:
    reached = [rules.level_for(growth, [0, 100, 500]) for growth in (-5, 0, 99, 100, 499, 500, 9999)]

    assert reached == [1, 1, 1, 2, 2, 3, 3]


def test_a_year_costs_growth_and_never_more_than_one_level() -> None:
    levels = [*LEVELS, {"growth": 500, "yearly_growth": 450}]

    assert rules.year_costs(30, 1, levels) == 0
    assert rules.year_costs(190, 2, levels) == 80  # 110 are left: it is kept
    assert rules.year_costs(120, 2, levels) == 80  # 40 are left: down to the first
    assert rules.year_costs(520, 3, levels) == 420  # 100 are left: the second, and not the first
    assert rules.year_costs(60, 3, levels) == 0  # reversed below it already
