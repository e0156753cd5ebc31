"""The rules of terms: what can be withdrawn how, in versions of which a withdrawal keeps its own."""

from typing import Any

import msgspec

from chalicelib.core import config, table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Invalid
from chalicelib.operators import service as operators
from chalicelib.withdrawals import sealing, tax
from chalicelib.withdrawals.models import Terms
from chalicelib.withdrawals.schemas import EditWithdrawalTerms, Method

LEAST_NET_FEN = 1


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A version of the terms."""

    n: int
    made_at: int
    told: EditWithdrawalTerms

    @property
    def tax_rule(self) -> dict[str, Any]:
        """How tax is worked out, as `tax` reads it."""
        rule: dict[str, Any] = msgspec.to_builtins(self.told.tax)
        return rule

    @property
    def offered(self) -> list[str]:
        """The methods whose gateway is allowed here."""
        return [one.method for one in self.told.methods if self.method(one.method)]

    def method(self, name: str) -> Method | None:
        """The method of this name, if it is offered and its gateway allowed here."""
        allowed = config.settings().payout_gateways.split()
        found = next((method for method in self.told.methods if method.method == name), None)
        return found if found is not None and found.gateway in allowed else None


_in_force: Cache[Version] = Cache()
_versions: Cache[Version] = Cache()
_BUILT_IN = Version(n=0, made_at=0, told=EditWithdrawalTerms(methods=[]))


def in_force(*, now: int) -> Version:
    """The terms of now, at most 30 seconds old: version 0, which offers nothing, until operators say."""

    def load() -> Version:
        return next(iter(versions(limit=1)), _BUILT_IN)

    return _in_force.get("current", now=now, load=load)


def of(n: int, *, now: int) -> Version:
    """The version that a withdrawal was applied for under."""

    def load() -> Version:
        row = table.get(Terms, Terms.key(n))
        return _version(row) if row is not None else _BUILT_IN

    return _versions.get(n, now=now, load=load)


def versions(*, limit: int) -> list[Version]:
    """The versions, newest first."""
    page = table.query(Terms, Terms.key(0)[0], limit=limit, newest_first=True)
    return [_version(row) for row in page.rows]


def _version(row: Terms) -> Version:
    return Version(n=row.n, made_at=row.made_at, told=msgspec.convert(row.told, EditWithdrawalTerms))


def make(given: EditWithdrawalTerms, *, by: Operator, now: int) -> Version:
    """The next version; what was applied for keeps its own. What is in force already makes no new one.

    Raises:
        Invalid: something about it is wrong. Busy: somebody else made a version at the same moment.
    """
    _check(given, now=now)
    newest = next(iter(versions(limit=1)), _BUILT_IN)
    if newest.n and newest.told == given:
        return newest
    n, told = newest.n + 1, msgspec.to_builtins(given)
    audit = operators.recorded(
        by=by,
        action="withdrawals.terms",
        subject=str(n),
        before=msgspec.to_builtins(newest.told) if newest.n else None,
        after=told,
        now=now,
    )
    row = Terms(*Terms.key(n), n=n, told=told, made_at=now)
    table.transact([table.create(row, refuse=Busy), audit])
    _in_force.clear()
    return Version(n=n, made_at=now, told=given)


def _check(given: EditWithdrawalTerms, *, now: int) -> None:
    names = [method.method for method in given.methods]
    allowed = config.settings().payout_gateways.split()
    least = tax.fee_fen(given.min_fen, fixed_fen=given.fee_fixed_fen, bps=given.fee_bps)
    rules = [
        ("methods", len(set(names)) < len(names), "a method stands twice"),
        ("methods", any(one.gateway not in allowed for one in given.methods), "PAYOUT_GATEWAYS forbids it"),
        ("max_fen", given.max_fen < given.min_fen, "less than min_fen"),
        ("day_max_fen", given.day_max_fen < given.max_fen, "less than max_fen"),
        ("min_fen", given.min_fen - least < LEAST_NET_FEN, "the fee leaves nothing of it"),
        (
            "tax",
            (given.tax.rule == "fixed") != bool(given.tax.bps),
            "bps are of the rule fixed, and it needs them",
        ),
        ("methods", _seals(given) and not sealing.ready(now=now), "the secret payee_keys is not set"),
    ]
    for field, wrong, reason in rules:
        if wrong:
            raise Invalid(field=field, reason=reason)


def _seals(given: EditWithdrawalTerms) -> bool:
    """Whether something personal is kept under these terms."""
    rule = msgspec.to_builtins(given.tax)
    return bool(given.methods) and (any(one.account for one in given.methods) or tax.needs_identity(rule))
