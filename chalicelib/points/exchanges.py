"""The rules of exchanges: what points buy, once for a cause, within a limit a member and a stock in shards.

An exchange is one transaction: the points and their entry, which is the receipt, the member's limit, a unit of a
shard, and what is given. What is given has its own conditions and refusals, by its own room.
"""

import hashlib
from contextlib import suppress
from typing import Any

import msgspec

from chalicelib.core import ids, ledger, shards, table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import AppError, Busy, Conflict, Gone, IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.table import Write
from chalicelib.operators import service as operators
from chalicelib.points import goods, service
from chalicelib.points.models import Exchange, Exchanged, ExchangeStock
from chalicelib.points.schemas import AddExchange, EditExchange

ROUNDS = 12


class ExchangeNotStarted(Conflict):
    """The exchange's time has not come; ``details.starts_at`` says when it does."""

    code = "exchange_not_started"
    en = "This exchange has not started yet."
    zh = "兑换尚未开始。"
    advice = "Count down to `details.starts_at`."


class ExchangeOver(Gone):
    """The exchange's time is over, or it was closed."""

    code = "exchange_over"
    en = "This exchange is over."
    zh = "兑换已结束。"
    advice = "Show what else points buy."


class ExchangePaused(Conflict):
    """The shop paused the exchange."""

    code = "exchange_paused"
    en = "This exchange is paused."
    zh = "兑换已暂停。"
    advice = "Try again later."


class ExchangeSoldOut(Conflict):
    """Nothing is left."""

    code = "exchange_sold_out"
    en = "Everything has been exchanged."
    zh = "已兑完。"
    advice = "Show what else points buy."


class ExchangeLimit(Conflict):
    """The member has exchanged as often as one may; ``details.per_member`` says how often that is."""

    code = "exchange_limit"
    en = "You have reached the limit of this exchange."
    zh = "已达到兑换上限。"
    advice = "Show the limit, and what else points buy."


class StockShort(Exception):
    """A shard has too few units."""


_exchanges: Cache[Exchange] = Cache()
_sold_out: Cache[bool] = Cache(for_s=shards.SOLD_OUT_FOR_S)


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """An exchange, the receipt's cause, and whether this call made it."""

    exchange: Exchange
    cause: str
    new: bool


# --- reading ------------------------------------------------------------------------------------------------


def find(exchange_id: str, *, now: int) -> Exchange:
    """The exchange, at most 30 seconds old.

    Raises:
        NotFound: there is none.
    """

    def load() -> Exchange:
        found = table.get(Exchange, Exchange.key(exchange_id))
        if found is None:
            raise NotFound
        return found

    return _exchanges.get(exchange_id, now=now, load=load)


def everything() -> list[Exchange]:
    """All exchanges, newest first."""
    rows = table.query_all(Exchange, "EXCHANGES")
    return sorted(rows, key=lambda row: (row.created_at, row.sk), reverse=True)


def offered(*, now: int) -> list[Exchange]:
    """What points buy now or soon, newest first."""
    return [row for row in everything() if row.state != "closed" and row.ends_at > now]


def taken_by(member_id: str, exchanges: list[Exchange]) -> list[int]:
    """How often a member has made each of these exchanges."""
    counts: list[int] = []
    for at in range(0, len(exchanges), 100):
        keys = [(Exchanged, Exchanged.key(row.exchange_id, member_id)) for row in exchanges[at : at + 100]]
        counts += [row.n if row is not None else 0 for row in table.get_many(keys)]
    return counts


def stock_left(exchange: Exchange) -> dict[int, int]:
    """Units left in each shard, read consistently."""
    keys = [ExchangeStock.key(exchange.exchange_id, k) for k in range(exchange.stock_shards)]
    left: dict[int, int] = {}
    for at in range(0, len(keys), 100):
        rows = table.get_many([(ExchangeStock, key) for key in keys[at : at + 100]])
        left |= {at + n: row.left for n, row in enumerate(rows) if row is not None}
    return left


# --- exchanging ---------------------------------------------------------------------------------------------


def exchange(exchange_id: str, *, member_id: str, idempotency_key: str | None, now: int) -> Done:
    """Give a member what their points buy; made before under this key, or where once is the limit, the first.

    Raises:
        NotFound, Invalid (a key is needed), ExchangeNotStarted, ExchangeOver, ExchangePaused, ExchangeLimit,
        NotEnoughPoints, ExchangeSoldOut. What the room of the goods refuses.
    """
    found = find(exchange_id, now=now)
    cause = _cause(found, member_id, idempotency_key)
    k = shards.shard_for(f"{member_id}#{cause}", found.stock_shards)
    try:
        for _ in range(ROUNDS):
            try:
                table.transact(_exchanging(found, member_id, cause, k, now=now))
                return Done(exchange=found, cause=cause, new=True)
            except StockShort:
                k = _elsewhere(found, now=now)
    except ledger.Posted:
        return Done(exchange=found, cause=cause, new=False)
    except AppError:
        # A repeat is answered as the first time, though the last unit is gone or the goods' room refuses by now.
        if ledger.find(owner=member_id, book=service.POINTS, cause=cause) is None:
            raise
        return Done(exchange=found, cause=cause, new=False)
    raise Busy


def _cause(found: Exchange, member_id: str, idempotency_key: str | None) -> str:
    if found.per_member == 1:
        return f"exchange#{found.exchange_id}"
    if not idempotency_key:
        raise Invalid(field="Idempotency-Key", reason="needed where one may exchange more than once")
    return f"exchange#{found.exchange_id}#{ids.derived('req', member_id, idempotency_key)}"


def _exchanging(found: Exchange, member_id: str, cause: str, k: int, *, now: int) -> list[Write]:
    limit = ExchangeLimit(per_member=found.per_member)
    once_more = table.upsert(
        Exchanged,
        Exchanged.key(found.exchange_id, member_id),
        Exchanged.n.add(1),
        when=Exchanged.pk.does_not_exist() | (Exchanged.n < found.per_member),
        refuse=lambda _: limit,
    )
    running = ExchangeStock.on == True  # noqa: E712 - pynamodb's comparison
    taken = table.update(
        ExchangeStock,
        ExchangeStock.key(found.exchange_id, k),
        ExchangeStock.left.add(-1),
        when=(ExchangeStock.left >= 1)
        & running
        & (ExchangeStock.starts_at <= now)
        & (ExchangeStock.ends_at > now),
        refuse=lambda row: _closed_because(row, found, now=now) or StockShort(),
    )
    receipt, paid = service.spent(member_id, points=found.points, cause=cause, reason="exchange", now=now)
    giving = goods.Giving(member_id=member_id, what=found.what, cause=cause, now=now)
    return [receipt, once_more, taken, paid, *goods.given(found.goods, giving)]


def _closed_because(row: ExchangeStock | None, found: Exchange, *, now: int) -> Exception | None:
    if row is None:
        return NotFound()
    if now < row.starts_at:
        return ExchangeNotStarted(starts_at=row.starts_at)
    if row.ends_at <= now or (not row.on and found.state == "closed"):
        return ExchangeOver(ends_at=row.ends_at)
    return None if row.on else ExchangePaused()


def _elsewhere(found: Exchange, *, now: int) -> int:
    """Where else a unit is, by one consistent look at all shards; sold out is remembered for two seconds.

    Raises:
        ExchangeSoldOut: nowhere.
    """
    if _sold_out.peek(found.exchange_id, now=now):
        raise ExchangeSoldOut
    left = stock_left(found)
    most = max(left, key=lambda k: left[k], default=0)
    if left.get(most, 0) < 1:
        _sold_out.put(found.exchange_id, True, now=now)
        raise ExchangeSoldOut
    return most


# --- for operators ------------------------------------------------------------------------------------------


def add(given: AddExchange, *, by: Operator, idempotency_key: str | None, now: int) -> Exchange:
    """A new exchange with its stock; the same key and body again answers with the first.

    Raises:
        Invalid: something about it is wrong. IdempotencyMismatch: the key came with another body.
    """
    _valid(given)
    goods.check(given.goods, given.what, now=now)
    fingerprint = hashlib.sha256(msgspec.json.encode(given, order="sorted")).hexdigest()
    exchange_id = ids.ulid("exc", now=now, entropy=ids.entropy(now=now))
    if idempotency_key:
        exchange_id = ids.derived("exc", by.key_id, idempotency_key)
    told = {name: value for name, value in msgspec.to_builtins(given).items() if name != "stock"}
    row = Exchange(
        *Exchange.key(exchange_id),
        state="running",
        exchange_id=exchange_id,
        created_at=now,
        fingerprint=fingerprint,
        **told,
    )
    try:
        _made(row, given.stock, by=by, idempotency_key=idempotency_key, now=now)
    except table.Taken as first:
        if first.row.fingerprint != fingerprint:
            raise IdempotencyMismatch(field="Idempotency-Key", reason="used for another body") from first
        return first.row  # type: ignore[no-any-return]
    return row


def _made(row: Exchange, stock: int, *, by: Operator, idempotency_key: str | None, now: int) -> None:
    """Its stock first, each shard once, so that a making that broke off is made whole by the repeat."""
    there = table.get(Exchange, Exchange.key(row.exchange_id))
    if there is not None:
        raise table.Taken(there)
    operators.begun(row.exchange_id, row.fingerprint, by=by, idempotency_key=idempotency_key)
    for k, left in enumerate(shards.evenly(stock, row.stock_shards)):
        shard = ExchangeStock(
            *ExchangeStock.key(row.exchange_id, k),
            left=left,
            put=left,
            on=True,
            starts_at=row.starts_at,
            ends_at=row.ends_at,
        )
        _once(table.create(shard))
    table.transact([table.create(row), _audit("exchange.added", None, row, by=by, now=now)])


def _once(write: Write) -> None:
    try:
        table.apply(write)
    except table.Taken:
        return


def _valid(given: EditExchange) -> None:
    if given.ends_at <= given.starts_at:
        raise Invalid(field="ends_at", reason="not after starts_at")


def edit(exchange_id: str, given: EditExchange, *, by: Operator, now: int) -> Exchange:
    """The exchange told anew, its price and goods apart; every shard by its own write.

    Raises:
        NotFound: there is none. Invalid: the end is not after the start. ExchangeOver: it was closed.
    """
    _valid(given)
    before = _there(exchange_id)
    told = msgspec.to_builtins(given)
    if _told(before) != {**_told(before), **told}:
        _retold(before, told, by=by, now=now)
    window = (ExchangeStock.starts_at.set(given.starts_at), ExchangeStock.ends_at.set(given.ends_at))
    for k in range(before.stock_shards):
        table.apply(table.update(ExchangeStock, ExchangeStock.key(exchange_id, k), *window, refuse=NotFound))
    _exchanges.forget(exchange_id)
    return find(exchange_id, now=now)


def _retold(before: Exchange, told: dict[str, Any], *, by: Operator, now: int) -> None:
    key = (before.pk, before.sk)
    actions = [getattr(Exchange, name).set(value) for name, value in told.items()]
    unclosed = Exchange.state != "closed"
    change = table.update(Exchange, key, *actions, when=unclosed, refuse=lambda _: ExchangeOver())
    after = Exchange(*key, **{**_told(before), **told})
    table.transact([change, _audit("exchange.edited", before, after, by=by, now=now)])


def switch(exchange_id: str, *, to: str, by: Operator, now: int) -> Exchange:
    """Pause, resume or close an exchange: every shard by its own write, the state between is ``pausing``.

    Broken off, it is done by saying it again.

    Raises:
        NotFound: there is none. ExchangeOver: it was closed.
    """
    before = _there(exchange_id)
    if before.state == to:
        return before
    if before.state == "closed":
        raise ExchangeOver(ends_at=before.ends_at)
    if to != "running":
        _unless_so(_state(exchange_id, "pausing"))
    for k in range(before.stock_shards):
        _unless_so(_turned(exchange_id, k, to=to))
    after = Exchange(*Exchange.key(exchange_id), **{**_told(before), "state": to})
    _unless_so(_state(exchange_id, to), _audit(f"exchange.{to}", before, after, by=by, now=now))
    _exchanges.forget(exchange_id)
    return find(exchange_id, now=now)


def _turned(exchange_id: str, k: int, *, to: str) -> Write:
    """The write by which a shard is on or off as the exchange is to be; once closed, it stays so."""
    actions = [ExchangeStock.on.set(to == "running")]
    if to == "closed":
        actions.append(ExchangeStock.closed.set(True))
    key, unclosed = ExchangeStock.key(exchange_id, k), ExchangeStock.closed.does_not_exist()
    return table.update(ExchangeStock, key, *actions, when=unclosed, refuse=lambda _: _AsItWas())


class _AsItWas(Exception):
    """It is so already."""


def _unless_so(*writes: Write) -> None:
    with suppress(_AsItWas):
        table.transact(writes)


def _state(exchange_id: str, state: str) -> Write:
    return table.update(
        Exchange,
        Exchange.key(exchange_id),
        Exchange.state.set(state),
        when=(Exchange.state != "closed") & (Exchange.state != state),
        refuse=lambda row: _AsItWas() if row is not None and row.state == state else ExchangeOver(),
    )


def add_units(
    exchange_id: str, *, units: int, by: Operator, idempotency_key: str | None, now: int
) -> Exchange:
    """More units in the emptiest shard, or fewer in the fullest; never below what is left of it.

    With an Idempotency-Key, once, however often it is said.

    Raises:
        NotFound: there is no such exchange. Invalid: not so many are left in one shard. IdempotencyMismatch: the
        key came with another change.
    """
    found = find(exchange_id, now=now)
    left = stock_left(found)
    k = min(left, key=lambda shard: left[shard]) if units > 0 else max(left, key=lambda shard: left[shard])
    change = table.update(
        ExchangeStock,
        ExchangeStock.key(exchange_id, k),
        ExchangeStock.left.add(units),
        ExchangeStock.put.add(units),
        when=ExchangeStock.left >= -units if units < 0 else None,
        refuse=lambda _: Invalid(field="units", reason="fewer are left in any one shard", left=left[k]),
    )
    audit = operators.recorded(
        by=by,
        action="exchange.stock",
        subject=exchange_id,
        before={"left": sum(left.values())},
        after={"units": units},
        now=now,
    )
    once = operators.said_once("exchange.stock", exchange_id, units, by=by, idempotency_key=idempotency_key)
    with suppress(operators.Repeated):
        table.transact([*once, change, audit])
    _sold_out.forget(exchange_id)
    return found


def _there(exchange_id: str) -> Exchange:
    found = table.get(Exchange, Exchange.key(exchange_id))
    if found is None:
        raise NotFound
    return found


def _told(row: Exchange) -> dict[str, Any]:
    names = ("title", "image_url", "state", "points", "goods", "what", "per_member", "starts_at", "ends_at")
    return {name: getattr(row, name) for name in names}


def _audit(action: str, before: Exchange | None, after: Exchange, *, by: Operator, now: int) -> Write:
    return operators.recorded(
        by=by,
        action=action,
        subject=str(after.sk),
        before=before and _told(before),
        after=_told(after),
        now=now,
    )
