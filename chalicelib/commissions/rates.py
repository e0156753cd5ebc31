"""Rates as operators write them: one for a scope, in versions, none of which is ever changed.

An order is judged by the versions that were in force when it was made, however late it is told of. Every process
reads all of them every few seconds, so there is a limit to their number.
"""

from typing import Any, cast

import msgspec

from chalicelib.commissions import rules
from chalicelib.commissions.models import Rate, RateSaid
from chalicelib.commissions.rules import Basis, Scope
from chalicelib.core import ids, table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Conflict, NotFound
from chalicelib.core.table import Write
from chalicelib.operators import service as operators

BEGINS_AFTER_S = 5
"""How long after it is said a version begins: until then some process may not have heard of it."""
MOST = 1000
"""Rates of a shop, on and off. Those said at the same moment may be a few more."""
_rates: Cache[list[rules.Rate]] = Cache(for_s=BEGINS_AFTER_S)
_older: Cache[list[rules.Rate]] = Cache()


class TooManyRates(Conflict):
    """The shop has as many rates as it may; ``details.most`` is the number."""

    code = "too_many_rates"
    en = "There are too many rates. Use one for a category instead."
    zh = "佣金规则数量已达上限，请改用类目规则。"
    advice = "Say a rate for a category or a tier, or say one again that is off; details.most is the limit."


# --- reading ------------------------------------------------------------------------------------------------


def everything() -> list[Rate]:
    """All rates as they are, on or off."""
    return table.query_all(Rate, "RATES")


def versions(rate_id: str) -> list[rules.Rate]:
    """The versions of a rate, newest first.

    Raises:
        NotFound: there is no such rate.
    """
    found = [_rate(row) for row in table.query_all(RateSaid, RateSaid.key(rate_id, 0)[0])]
    if not found:
        raise NotFound
    return list(reversed(found))


def in_force(*, at: int, now: int) -> list[rules.Rate]:
    """The rates as they were ``at``."""
    newest = _rates.get("all", now=now, load=lambda: [_rate(row) for row in everything()])
    found = [_as_it_was(rate, at=at, now=now) for rate in newest]
    return [rate for rate in found if rate is not None and rate.on]


def _as_it_was(rate: rules.Rate, *, at: int, now: int) -> rules.Rate | None:
    if rate.since <= at:
        return rate
    if rate.n == 1:
        return None
    older = _older.get((rate.rate_id, rate.n), now=now, load=lambda: versions(rate.rate_id))
    return next((version for version in older if version.since <= at), None)


def _rate(row: Rate | RateSaid) -> rules.Rate:
    return rules.Rate(
        rate_id=row.rate_id,
        n=row.n,
        since=row.since,
        on=row.state == "on",
        scope=msgspec.convert(row.scope, Scope),
        basis=cast(Basis, row.basis),
        value=row.value,
    )


# --- making -------------------------------------------------------------------------------------------------


def id_for(scope: Scope) -> str:
    """The id of the rate with this scope: said again, it is the next version of the same."""
    return ids.derived("rte", msgspec.json.encode(scope, order="sorted").decode())


def say(scope: Scope, *, basis: Basis, value: int, by: Operator, now: int) -> tuple[Rate, bool]:
    """The next version of the rate with this scope, and whether it is the first; said so already, nothing changes.

    Raises:
        TooManyRates: it would be one more than there may be. Busy: somebody else said it at the same moment.
    """
    before = table.get(Rate, Rate.key(id_for(scope)))
    if before is not None and (before.state, before.basis, before.value) == ("on", basis, value):
        return before, False
    if before is None and len(everything()) >= MOST:
        raise TooManyRates(most=MOST)
    return _next(before, scope, basis=basis, value=value, state="on", by=by, now=now), before is None


def switch_off(rate_id: str, *, by: Operator, now: int) -> Rate:
    """The rate serves no order that is made from now on; off already, nothing changes.

    Raises:
        NotFound: there is none. Busy: somebody else changed it at the same moment.
    """
    before = table.get(Rate, Rate.key(rate_id))
    if before is None:
        raise NotFound
    if before.state == "off":
        return before
    scope = msgspec.convert(before.scope, Scope)
    basis = cast(Basis, before.basis)
    return _next(before, scope, basis=basis, value=before.value, state="off", by=by, now=now)


def _next(
    before: Rate | None, scope: Scope, *, basis: Basis, value: int, state: str, by: Operator, now: int
) -> Rate:
    rate_id, n = id_for(scope), before.n + 1 if before is not None else 1
    told: dict[str, Any] = {
        "rate_id": rate_id,
        "n": n,
        "state": state,
        "scope": msgspec.to_builtins(scope),
        "basis": basis,
        "value": value,
        "since": now + BEGINS_AFTER_S,
    }
    row = Rate(*Rate.key(rate_id), rev=n, **told)
    unchanged = Rate.pk.does_not_exist() if before is None else Rate.rev == before.rev
    audit = operators.recorded(
        by=by,
        action="rate.said" if state == "on" else "rate.off",
        subject=rate_id,
        before=before and _told(before),
        after=_told(row),
        now=now,
    )
    replaced = Write(operation="Put", row=row, when=unchanged, refuse=Busy)
    version = table.create(RateSaid(*RateSaid.key(rate_id, n), **told), refuse=Busy)
    table.transact([replaced, version, audit])
    _rates.clear()
    return row


def _told(row: Rate) -> dict[str, Any]:
    return {"state": row.state, "scope": row.scope, "basis": row.basis, "value": row.value}
