"""The books of what points buy: the units that an exchange has not any more are those that members took."""

from collections.abc import Iterable, Iterator

from chalicelib.core import table
from chalicelib.core.books import Counter, Tally
from chalicelib.points import exchanges
from chalicelib.points.models import Exchanged, ExchangeStock


def _uses(row: Exchanged) -> Iterable[tuple[str, int]]:
    return [(row.pk.split("#")[1], row.n)]


def _counters() -> Iterator[Counter]:
    for exchange in exchanges.everything():
        keys = [ExchangeStock.key(exchange.exchange_id, k) for k in range(exchange.stock_shards)]
        shards = [row for row in table.get_all([(ExchangeStock, key) for key in keys]) if row is not None]
        if all(row.put is not None for row in shards):
            says = {"taken": sum(row.put - row.left for row in shards)}
            yield Counter(key=exchange.exchange_id, rev=sum(row.rev for row in shards), says=says)


EXCHANGES = Tally(
    name="exchange_stock", kinds=frozenset({"points_exchanged"}), uses=_uses, counters=_counters
)
