"""Pure rules of group-buys: prices, sizes, ladders, and which shards to take units from."""

from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.core.errors import Invalid
from chalicelib.core.shards import shard_for as shard_for  # noqa: PLC0414 - this room's rules, shared with others
from chalicelib.core.shards import spread as spread  # noqa: PLC0414

Taken = list[list[Any]]
"""[[sku_id, shard, units], …]: where units were taken from, so that they go back there."""


def sku_of(product: Mapping[str, Any], sku_id: str | None) -> dict[str, Any]:
    """The SKU that is meant; the only one, when none is named.

    Raises:
        Invalid: it is not in this campaign, or must be named.
    """
    skus: list[dict[str, Any]] = product["skus"]
    if sku_id is None and len(skus) == 1:
        return skus[0]
    for sku in skus:
        if sku["sku_id"] == sku_id:
            return sku
    raise Invalid(field="sku_id", reason="one of these", known=[sku["sku_id"] for sku in skus])


def size_of(sizes: Sequence[int], wanted: int | None, *, mode: str) -> int:
    """How many seats a new group has: the highest step of a ladder, else the size asked for.

    Raises:
        Invalid: the campaign has no such size, or several and none was named.
    """
    if mode == "ladder":
        return max(sizes)
    if wanted is None and len(sizes) == 1:
        return sizes[0]
    if wanted is None or wanted not in sizes:
        raise Invalid(field="size", reason="one of these", known=list(sizes))
    return wanted


def promised(product: Mapping[str, Any], *, size: int, mode: str) -> dict[str, int]:
    """What a unit of each SKU costs in a group of this size; in a ladder, at its first step."""
    prices = {}
    for sku in product["skus"]:
        by_size = {price["size"]: price["price_fen"] for price in sku["prices"]}
        prices[sku["sku_id"]] = by_size[min(by_size)] if mode == "ladder" else by_size[size]
    return prices


def steps(product: Mapping[str, Any]) -> list[list[Any]]:
    """A ladder's steps, lowest first: [[people, {sku_id: price_fen}], …]."""
    found: dict[int, dict[str, int]] = {}
    for sku in product["skus"]:
        for price in sku["prices"]:
            found.setdefault(price["size"], {})[sku["sku_id"]] = price["price_fen"]
    return [[size, found[size]] for size in sorted(found)]


def step_reached(ladder: Sequence[Sequence[Any]], people: int) -> dict[str, int] | None:
    """The prices of the highest step that this many people reach; None below the first."""
    reached = [prices for size, prices in ladder if size <= people]
    return reached[-1] if reached else None


def final_prices(
    group_steps: Sequence[Sequence[Any]] | None, prices: dict[str, int], people: int
) -> dict[str, int]:
    """What a unit finally costs in a filled group of this many real people."""
    return step_reached(group_steps or (), people) or prices


def added_up(taken: Sequence[Taken]) -> dict[tuple[str, int], int]:
    """Units by shard over several takings: a key may stand in a transaction only once."""
    total: dict[tuple[str, int], int] = {}
    for one in taken:
        for sku_id, k, units in one:
            total[(sku_id, k)] = total.get((sku_id, k), 0) + units
    return total


def valid_campaign(given: Any) -> None:
    """What a struct cannot say of a campaign.

    Raises:
        Invalid: the first thing that is wrong, by its field.
    """
    if given.ends_at <= given.starts_at:
        raise Invalid(field="ends_at", reason="it must be after starts_at")
    if given.visible_from is not None and given.visible_from >= given.ends_at:
        raise Invalid(field="visible_from", reason="it must be before ends_at")
    ids = [sku.sku_id for sku in given.product.skus]
    if len(set(ids)) != len(ids):
        raise Invalid(field="product.skus", reason="a sku_id stands twice")
    sizes = [sorted(price.size for price in sku.prices) for sku in given.product.skus]
    if any(one != sizes[0] or len(set(one)) != len(one) for one in sizes):
        raise Invalid(field="product.skus", reason="every SKU has one price for each of the same sizes")
    if given.reserve == "group" and reserve_for(given) != "group":
        raise Invalid(field="reserve", reason="'group' is for one SKU and one unit a seat")
    if given.mode == "ladder":
        _valid_ladder(given)


def reserve_for(given: Any) -> str:
    """What is reserved where nobody says it: whole groups, if their seats are all of one kind and one unit."""
    return "group" if len(given.product.skus) == 1 and given.max_units_per_seat == 1 else "seat"


LADDER_AT_MOST = 45
"""People in a ladder: their differences go back in one transaction."""


def _valid_ladder(given: Any) -> None:
    if max(price.size for price in given.product.skus[0].prices) > LADDER_AT_MOST:
        raise Invalid(field="product.skus", reason="too many people for a ladder", at_most=LADDER_AT_MOST)
    for sku in given.product.skus:
        prices = [price.price_fen for price in sorted(sku.prices, key=lambda price: price.size)]
        if len(prices) < 2 or prices != sorted(prices, reverse=True):
            raise Invalid(
                field="product.skus", reason="a ladder has two steps or more, each cheaper than the last"
            )
        if sku.head_price_fen is not None:
            raise Invalid(field="product.skus", reason="a ladder has no head price")
