"""The attribution policy: data, in versions that are never changed.

A binding keeps the version it was made under, for its window and its protection. How many levels an order
earns, whether one earns by one's own orders, and what looks like fraud go by the version in force when the
order was made.
"""

from typing import Any

import msgspec

from chalicelib.core import table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Invalid
from chalicelib.operators import service as operators
from chalicelib.sharing.history import Terms
from chalicelib.sharing.models import Policy
from chalicelib.sharing.schemas import EditPolicy, SignalLimits

_policy: Cache[Policy] = Cache()
_versions: Cache[Policy | None] = Cache()


def current(*, now: int) -> Policy:
    """The policy in force, at most 30 seconds old: version 0, first touch for ever, until operators say."""

    def load() -> Policy:
        rows = newest(limit=1)
        return rows[0] if rows else _built_in()

    return _policy.get("current", now=now, load=load)


def newest(*, limit: int) -> list[Policy]:
    """The versions, newest first."""
    return table.query(Policy, "POLICY", limit=limit, newest_first=True).rows


def in_force_at(at: int) -> Policy:
    """The version that was in force in that second, whenever it is asked for."""
    made = [row for row in table.query_all(Policy, "POLICY") if row.made_at <= at]
    return made[-1] if made else _built_in()


def version(n: int, *, now: int) -> Policy:
    """The version of this number; it never changes."""
    found = _versions.get(n, now=now, load=lambda: table.get(Policy, Policy.key(n))) if n else None
    return found or _built_in()


def _built_in() -> Policy:
    return Policy(*Policy.key(0), n=0, mode="first", depth=1, made_at=0)


def terms(row: Policy) -> Terms:
    """What a version says of bindings and levels."""
    return Terms(
        mode=row.mode,  # type: ignore[arg-type]
        window_days=row.window_days,
        renew_by_purchase=bool(row.renew_by_purchase),
        protect_days=row.protect_days or 0,
        depth=row.depth,
        self_purchase=bool(row.self_purchase),
    )


def limits(row: Policy) -> SignalLimits:
    """From when on a version holds a commission; the defaults where it does not say."""
    return msgspec.convert(row.signals or {}, SignalLimits)


def proposed(given: EditPolicy) -> Terms:
    """What a version that is not made yet would say.

    Raises:
        Invalid: its fields do not go together.
    """
    return terms(_row(0, given, now=0))


def make(given: EditPolicy, *, by: Operator, now: int) -> Policy:
    """The next version of the policy; bindings keep the version they were made under.

    What is in force already makes no new version.

    Raises:
        Invalid: its fields do not go together. Busy: somebody else made a version at the same moment.
    """
    before = next(iter(newest(limit=1)), None)
    row = _row(before.n + 1 if before else 1, given, now=now)
    if before is not None and told(before) == told(row):
        return before
    audit = operators.recorded(
        by=by,
        action="policy.made",
        subject=str(row.n),
        before=before and {"version": before.n, **told(before)},
        after={"version": row.n, **told(row)},
        now=now,
    )
    table.transact([table.create(row, refuse=Busy), audit])
    _policy.clear()
    _versions.clear()
    return row


def told(row: Policy) -> dict[str, Any]:
    """A version's fields as operators gave them, whatever was left out."""
    of_bindings = terms(row)
    names = ("mode", "window_days", "renew_by_purchase", "protect_days", "depth", "self_purchase")
    fields = {name: getattr(of_bindings, name) for name in names}
    return {**fields, "signals": msgspec.to_builtins(limits(row))}


def _row(n: int, given: EditPolicy, *, now: int) -> Policy:
    _valid(given)
    return Policy(
        *Policy.key(n),
        n=n,
        mode=given.mode,
        depth=given.depth,
        window_days=given.window_days,
        renew_by_purchase=given.renew_by_purchase,
        protect_days=given.protect_days,
        self_purchase=given.self_purchase,
        signals=msgspec.to_builtins(given.signals),
        made_at=now,
    )


def _valid(given: EditPolicy) -> None:
    if given.mode == "first_window" and given.window_days is None:
        raise Invalid(field="window_days", reason="first_window needs how long a binding lasts")
    if given.mode == "first" and given.window_days is not None:
        raise Invalid(field="window_days", reason="first is for ever; first_window has a window")
    if given.renew_by_purchase and given.window_days is None:
        raise Invalid(field="renew_by_purchase", reason="there is no window to renew")
    if given.protect_days and given.mode != "last":
        raise Invalid(field="protect_days", reason="only last takes bindings")
