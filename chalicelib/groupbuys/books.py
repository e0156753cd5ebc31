"""The books of group-buys: a group counts its seats, a shard of stock what groups and seats took of it."""

from collections import Counter as Added
from collections.abc import Iterable, Iterator

from chalicelib.core import table
from chalicelib.core.books import Counter, Differs, Sum, Tally, Unsure, read
from chalicelib.core.table import Row
from chalicelib.groupbuys import campaigns, rules
from chalicelib.groupbuys.models import Group, Seat, Stock

_HAS_ITS_UNITS = ("opening", "open", "filled")
ROUNDS = 8


def prove_group(pk: str, now: int) -> Differs | None:
    """Whether a group's seats are those that it counts; read until none of them moved meanwhile.

    Raises:
        Unsure: they kept moving. TooLarge: there are too many.
    """
    for _ in range(ROUNDS):
        rows = read(Row, pk)
        group = next((row for row in rows if isinstance(row, Group)), None)
        if group is None or group.state == "lapsed":
            return None
        says = {"paid": group.size - group.missing, "held": group.missing - group.free}
        seats = [row for row in rows if isinstance(row, Seat)]
        held = sum(seat.state == "held" for seat in seats)
        adds_up = {"paid": len(seats) - held, "held": held}
        if says == adds_up:
            return None
        again = table.get(Group, (group.pk, group.sk))
        if again is not None and again.rev == group.rev:
            return Differs(says=says, adds_up=adds_up)
    raise Unsure(pk)


def _uses(group: Group) -> Iterable[tuple[str, int]]:
    takings: list[rules.Taken] = [group.taken] if group.state in _HAS_ITS_UNITS else []
    if group.reserve == "seat":
        seats = [row for row in table.query_all(Row, group.pk) if isinstance(row, Seat)]
        takings = [seat.taken for seat in seats if _counts(seat, group)]
    added: Added[str] = Added()
    for sku_id, k, units in (part for taken in takings for part in taken):
        added[_key(group.campaign_id, sku_id, k)] += units
    return added.items()


def _counts(seat: Seat, group: Group) -> bool:
    return seat.state == "held" or (seat.state == "confirmed" and group.state != "expired")


def _key(campaign_id: str, sku_id: str, k: int) -> str:
    return f"{campaign_id}#{sku_id}#{k}"


def _counters() -> Iterator[Counter]:
    for campaign in campaigns.everything():
        for sku in campaign.product["skus"]:
            named = [(k, sku["sku_id"]) for k in range(campaign.stock_shards)]
            keys = [(Stock, Stock.key(campaign.campaign_id, sku_id, k)) for k, sku_id in named]
            for (k, sku_id), row in zip(named, table.get_all(keys), strict=True):
                if row is not None and row.put is not None:
                    key = _key(campaign.campaign_id, sku_id, k)
                    yield Counter(key=key, rev=row.rev, says={"taken": row.put - row.left})


GROUPS = Sum(name="groups", kinds=frozenset({"group", "seat"}), prove=prove_group)
STOCK = Tally(name="groupbuy_stock", kinds=frozenset({"group"}), uses=_uses, counters=_counters)
