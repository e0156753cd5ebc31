"""Rules of group-buys: what a seat costs, which step a ladder reaches, whence units come, what makes no sense."""

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import Invalid
from chalicelib.groupbuys import rules
from chalicelib.groupbuys.schemas import EditCampaign, Price, Product, Sku

SIZES = {3: 8900, 5: 7900}


def a_sku(sku_id: str = "red", *, prices: dict[int, int] | None = None, head_fen: int | None = None) -> Sku:
    """A variant at these prices by size."""
    by_size = [Price(size=size, price_fen=fen) for size, fen in (prices or SIZES).items()]
    return Sku(
        sku_id=sku_id, title=sku_id, list_price_fen=9900, stock=10, head_price_fen=head_fen, prices=by_size
    )


def a_product(*skus: Sku) -> dict[str, Any]:
    """A snapshot as the campaign's row keeps it."""
    product = Product(id="tea", title="Tea", skus=list(skus) or [a_sku()])
    made: dict[str, Any] = msgspec.to_builtins(product)
    return made


def a_campaign(*skus: Sku, **told: Any) -> EditCampaign:
    """What an operator says of a campaign."""
    product = Product(id="tea", title="Tea", skus=list(skus) or [a_sku()])
    return EditCampaign(**{"title": "Tea", "product": product, "starts_at": 100, "ends_at": 200, **told})


def refused_field(given: EditCampaign) -> str:
    """Which field is at fault."""
    with pytest.raises(Invalid) as refused:
        rules.valid_campaign(given)
    return str(refused.value.details["field"])


# --- which variant, which size ------------------------------------------------------------------------------


def test_the_only_variant_need_not_be_named() -> None:
    assert rules.sku_of(a_product(), None)["sku_id"] == "red"


@pytest.mark.parametrize("named", [None, "green"])
def test_one_of_several_variants_must_be_named_and_known(named: str | None) -> None:
    product = a_product(a_sku("red"), a_sku("blue"))

    assert rules.sku_of(product, "blue")["sku_id"] == "blue"
    with pytest.raises(Invalid) as refused:
        rules.sku_of(product, named)
    assert refused.value.details == {"field": "sku_id", "reason": "one of these", "known": ["red", "blue"]}


def test_the_only_size_need_not_be_named() -> None:
    assert rules.size_of([3], None, mode="fixed") == 3


@pytest.mark.parametrize("wanted", [None, 4])
def test_one_of_several_sizes_must_be_named_and_known(wanted: int | None) -> None:
    assert rules.size_of([3, 5], 5, mode="fixed") == 5
    with pytest.raises(Invalid) as refused:
        rules.size_of([3, 5], wanted, mode="fixed")
    assert refused.value.details == {"field": "size", "reason": "one of these", "known": [3, 5]}


@pytest.mark.parametrize("wanted", [None, 2, 5])
def test_a_ladder_has_room_for_its_highest_step_whatever_was_asked(wanted: int | None) -> None:
    assert rules.size_of([2, 3, 5], wanted, mode="ladder") == 5


# --- prices -------------------------------------------------------------------------------------------------


def test_a_unit_costs_what_its_group_s_size_promises() -> None:
    product = a_product(a_sku("red"), a_sku("blue", prices={3: 9000, 5: 8000}))

    assert rules.promised(product, size=3, mode="fixed") == {"red": 8900, "blue": 9000}
    assert rules.promised(product, size=5, mode="fixed") == {"red": 7900, "blue": 8000}


def test_the_head_price_is_the_head_s_alone() -> None:
    product = a_product(a_sku(head_fen=5900))

    assert rules.promised(product, size=3, mode="fixed") == {"red": 8900}


def test_everybody_pays_the_first_step_of_a_ladder_at_first() -> None:
    product = a_product(a_sku(prices={5: 7900, 2: 8900, 3: 8500}))

    assert rules.promised(product, size=5, mode="ladder") == {"red": 8900}


LADDER = rules.steps(
    a_product(a_sku(prices={5: 7900, 2: 8900, 3: 8500}), a_sku("b", prices={2: 9, 3: 8, 5: 7}))
)


def test_the_steps_of_a_ladder_are_in_order_with_all_variants() -> None:
    assert LADDER == [[2, {"red": 8900, "b": 9}], [3, {"red": 8500, "b": 8}], [5, {"red": 7900, "b": 7}]]


@pytest.mark.parametrize(
    ("people", "price_fen"), [(0, None), (1, None), (2, 8900), (3, 8500), (4, 8500), (5, 7900), (99, 7900)]
)
def test_the_highest_step_that_enough_people_reach_counts(people: int, price_fen: int | None) -> None:
    reached = rules.step_reached(LADDER, people)

    assert (reached and reached["red"]) == price_fen


def test_the_final_price_is_that_of_the_step_or_else_the_one_promised() -> None:
    promised = {"red": 8900, "b": 9}

    assert rules.final_prices(LADDER, promised, 4) == {"red": 8500, "b": 8}
    assert rules.final_prices(LADDER, promised, 1) == promised
    assert rules.final_prices(None, promised, 5) == promised


@given(people=st.integers(0, 50), more=st.integers(0, 50))
def test_more_people_never_pay_more(people: int, more: int) -> None:
    promised = {"red": 8900, "b": 9}

    fewer, crowd = (rules.final_prices(LADDER, promised, n) for n in (people, people + more))

    assert all(crowd[sku] <= fewer[sku] <= promised[sku] for sku in promised)


# --- shards of stock ----------------------------------------------------------------------------------------

SHARDS = st.dictionaries(st.integers(0, 30), st.integers(0, 12), max_size=16)


@given(left=SHARDS, units=st.integers(1, 60))
def test_a_plan_adds_up_and_takes_from_no_shard_more_than_it_has(left: dict[int, int], units: int) -> None:
    plan = rules.spread(left, units)

    if plan is None:
        assert sum(left.values()) < units
        return
    assert sum(part for _, part in plan) == units
    assert all(1 <= part <= left[k] for k, part in plan)
    assert len({k for k, _ in plan}) == len(plan)


@given(left=SHARDS, units=st.integers(1, 12))
def test_one_shard_gives_all_when_one_has_enough(left: dict[int, int], units: int) -> None:
    plan = rules.spread(left, units)

    if any(has >= units for has in left.values()):
        assert plan is not None and len(plan) == 1


def test_groups_of_three_use_up_twenty_units_on_eight_shards() -> None:
    """Moving on from shard to shard stranded two groups' worth here (research/groupbuy-spike.md)."""
    left = dict(enumerate([3, 3, 3, 3, 2, 2, 2, 2]))
    groups = 0
    while plan := rules.spread(left, 3):
        groups += 1
        for k, part in plan:
            left[k] -= part

    assert (groups, sum(left.values())) == (6, 2)


def test_nothing_comes_from_no_shards() -> None:
    assert rules.spread({}, 1) is None


@given(key=st.text(), shards=st.integers(1, 400))
def test_the_first_shard_is_one_that_there_is_and_always_the_same(key: str, shards: int) -> None:
    first = rules.shard_for(key, shards)

    assert 0 <= first < shards
    assert rules.shard_for(key, shards) == first


def test_orders_are_spread_over_all_shards() -> None:
    hit = Counter(rules.shard_for(f"ord_{number}", 8) for number in range(800))

    assert set(hit) == set(range(8)) and max(hit.values()) < 200


TAKINGS = st.lists(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(1, 9)).map(list), max_size=4)
)


@given(takings=TAKINGS)
def test_several_takings_are_one_sum_a_shard_and_nothing_is_lost(takings: list[rules.Taken]) -> None:
    total = rules.added_up(takings)

    assert sum(total.values()) == sum(units for taking in takings for _, _, units in taking)
    assert set(total) == {(sku, k) for taking in takings for sku, k, _ in taking}


# --- campaigns that make no sense ---------------------------------------------------------------------------


def test_a_plain_campaign_is_fine() -> None:
    rules.valid_campaign(a_campaign())


@pytest.mark.parametrize("ends_at", [99, 100])
def test_a_campaign_ends_after_it_starts(ends_at: int) -> None:
    assert refused_field(a_campaign(ends_at=ends_at)) == "ends_at"


def test_a_variant_stands_once() -> None:
    assert refused_field(a_campaign(a_sku("red"), a_sku("red"), reserve="seat")) == "product.skus"


@pytest.mark.parametrize("other", [{3: 8900}, {3: 8900, 5: 7900, 7: 6900}, {3: 8900, 4: 7900}])
def test_all_variants_have_a_price_for_each_of_the_same_sizes(other: dict[int, int]) -> None:
    given = a_campaign(a_sku("red"), a_sku("blue", prices=other), reserve="seat")

    assert refused_field(given) == "product.skus"


def test_a_size_has_one_price() -> None:
    twice = msgspec.structs.replace(a_sku(), prices=[Price(size=3, price_fen=1), Price(size=3, price_fen=2)])

    assert refused_field(a_campaign(twice)) == "product.skus"


def test_a_whole_group_is_reserved_only_where_all_seats_are_alike() -> None:
    assert refused_field(a_campaign(a_sku("red"), a_sku("blue"), reserve="group")) == "reserve"
    assert refused_field(a_campaign(max_units_per_seat=2, reserve="group")) == "reserve"
    rules.valid_campaign(a_campaign(a_sku("red"), a_sku("blue"), reserve="seat", max_units_per_seat=2))
    said_by_nobody = [a_campaign(), a_campaign(a_sku("red"), a_sku("blue")), a_campaign(max_units_per_seat=2)]
    assert [rules.reserve_for(given) for given in said_by_nobody] == ["group", "seat", "seat"]


@pytest.mark.parametrize(
    "prices",
    [{3: 8900}, {2: 7900, 3: 8900}, {2: 8900, 5: 7900, 9: 8000}, {2: 8900, rules.LADDER_AT_MOST + 1: 1}],
)
def test_a_ladder_has_several_steps_of_falling_prices_and_not_too_many_people(prices: dict[int, int]) -> None:
    assert refused_field(a_campaign(a_sku(prices=prices), mode="ladder")) == "product.skus"


def test_a_ladder_has_no_head_price() -> None:
    assert refused_field(a_campaign(a_sku(head_fen=1), mode="ladder")) == "product.skus"


def test_the_largest_ladder_is_fine() -> None:
    rules.valid_campaign(a_campaign(a_sku(prices={2: 8900, rules.LADDER_AT_MOST: 7900}), mode="ladder"))
