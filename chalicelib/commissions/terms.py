"""The distribution terms that operators write: versions, of which promoters agree to one."""

from typing import Any

import msgspec

from chalicelib.commissions.models import Terms
from chalicelib.commissions.rules import CONDITIONS, DistributionTerms
from chalicelib.core import table
from chalicelib.core.cache import FRESH_FOR_S, Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Invalid
from chalicelib.operators import service as operators

BEGINS_AFTER_S = FRESH_FOR_S
"""How long after it is made orders are judged by a version: until then some process may not have heard of it."""
_terms: Cache[Terms] = Cache()
_all: Cache[list[Terms]] = Cache(size=2)


def current(*, now: int) -> Terms:
    """The version in force, at most 30 seconds old: version 0, nobody is a promoter yet, until operators say."""

    def load() -> Terms:
        rows = versions(limit=1)
        first = msgspec.to_builtins(DistributionTerms(open=False))
        return rows[0] if rows else Terms(*Terms.key(0), n=0, terms=first, made_at=0)

    return _terms.get("current", now=now, load=load)


def in_force(*, now: int) -> DistributionTerms:
    """What the version in force says."""
    return said(current(now=now))


def as_of(*, at: int, now: int) -> DistributionTerms:
    """What was in force ``at``, which is what an order of then is judged by, however late it is told of.

    What is older than the first version is judged by that.
    """
    newest = current(now=now)
    if newest.made_at + BEGINS_AFTER_S <= at:
        return said(newest)
    all_ = _all.get(newest.n, now=now, load=lambda: table.query_all(Terms, "DISTRIBUTION"))
    begun = [one for one in all_ if one.made_at + BEGINS_AFTER_S <= at] or all_[:1]
    return said(begun[-1] if begun else newest)


def said(row: Terms) -> DistributionTerms:
    """What a version says."""
    return msgspec.convert(row.terms, DistributionTerms)


def versions(*, limit: int) -> list[Terms]:
    """The versions, newest first."""
    return table.query(Terms, "DISTRIBUTION", limit=limit, newest_first=True).rows


def make(given: DistributionTerms, *, by: Operator, now: int) -> Terms:
    """The next version; what is in force already makes no new one.

    Raises:
        Invalid: tiers or steps that do not rise. Busy: somebody else made a version at the same moment.
    """
    _valid(given)
    newest = next(iter(versions(limit=1)), None)
    told: dict[str, Any] = msgspec.to_builtins(given)
    if newest is not None and said(newest) == given:
        return newest
    n = newest.n + 1 if newest else 1
    row = Terms(*Terms.key(n), n=n, terms=told, made_at=now)
    audit = operators.recorded(
        by=by,
        action="distribution.terms",
        subject=str(n),
        before=newest and newest.terms,
        after=told,
        now=now,
    )
    table.transact([table.create(row, refuse=Busy), audit])
    _terms.clear()
    return row


def _valid(given: DistributionTerms) -> None:
    for name in CONDITIONS:
        asked = [getattr(tier, name) or 0 for tier in given.tiers]
        if asked != sorted(asked) or asked[:1] not in ([], [0]):
            raise Invalid(
                field="tiers", reason=f"{name} rises from tier to tier, and the first needs nothing"
            )
    steps = [step.from_fen for step in given.steps]
    if steps != sorted(set(steps)):
        raise Invalid(field="steps", reason="from_fen rises from step to step")
