"""The rules that operators write, as data: made, edited, switched; each change is a version, none is ever changed.

An occurrence is judged by the version that was in force when it happened, however late it is reported, so that an
edit neither takes what was promised nor gives what was not. What a rule may give in all lies in its purse, which an
edit of the total changes by the difference.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from chalicelib.core import config, ids, table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Conflict, IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.shards import evenly
from chalicelib.core.table import Write
from chalicelib.operators import service as operators
from chalicelib.rewards import gifts, rules, sources
from chalicelib.rewards.models import Purse, Rule, Version
from chalicelib.rewards.rules import UNLIMITED, RewardTerms

State = Literal["on", "off"]


class BudgetSpent(Conflict):
    """More was given already than the new total."""

    code = "budget_spent"
    en = "More has been given already than this total."
    zh = "已发放数量超过该总量。"
    advice = "Show details.given and details.left; ask for a larger total, or switch the rule off."


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a rule, when, and the key under which a repeat is recognised."""

    by: Operator
    now: int
    idempotency_key: str | None = None


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a rule."""

    rule_id: str
    n: int
    since: int
    on: bool
    terms: RewardTerms


BEGINS_AFTER_S = 5
"""How long after it is said a version begins: until then some process may not have heard of it."""

_rules: Cache[list[InForce]] = Cache(for_s=BEGINS_AFTER_S)
_older: Cache[list[InForce]] = Cache()
_left: Cache[int] = Cache()


# --- reading ------------------------------------------------------------------------------------------------


def everything() -> list[Rule]:
    """All rules as they are, newest first."""
    rows = table.query_all(Rule, "REWARDS")
    return sorted(rows, key=lambda row: (row.made_at, row.sk), reverse=True)


def show(rule_id: str) -> Rule:
    """One rule as it is.

    Raises:
        NotFound: there is none.
    """
    rule = table.get(Rule, Rule.key(rule_id))
    if rule is None:
        raise NotFound
    return rule


def terms_of(row: Rule | Version) -> RewardTerms:
    """What a version says."""
    return msgspec.convert(row.terms, RewardTerms)


def versions(rule_id: str) -> list[InForce]:
    """The versions of a rule, newest first.

    Raises:
        NotFound: there is no such rule.
    """
    found = [_in_force(row) for row in table.query_all(Version, Version.key(rule_id, 0)[0])]
    if not found:
        raise NotFound
    return list(reversed(found))


def version(rule_id: str, n: int) -> RewardTerms:
    """What a version of a rule says.

    Raises:
        NotFound: there is no such version.
    """
    found = table.get(Version, Version.key(rule_id, n))
    if found is None:
        raise NotFound
    return terms_of(found)


def current(*, now: int) -> list[InForce]:
    """The newest version of every rule, on or off; none begins before every process has read it."""
    return _rules.get("all", now=now, load=lambda: [_in_force(row) for row in everything()])


def in_force(on: str, *, at: int, now: int) -> list[InForce]:
    """The rules on a fact as they were ``at``, those that were on and within their own time."""
    found = [_as_it_was(rule, at=at, now=now) for rule in current(now=now) if rule.terms.on == on]
    return [rule for rule in found if rule is not None and rule.on and rules.within(rule.terms, at)]


def asked(on: str, *, now: int) -> set[str] | None:
    """The values that any rule on a fact looks at; None: nobody asks for this fact."""
    terms = [rule.terms for rule in current(now=now) if rule.terms.on == on]
    if not terms and on not in config.settings().reward_facts.split():
        return None
    return set().union(*(rules.asked(one) for one in terms))


def _as_it_was(rule: InForce, *, at: int, now: int) -> InForce | None:
    if rule.since <= at:
        return rule
    older = _older.get(rule.rule_id, now=now, load=lambda: versions(rule.rule_id))
    return next((version for version in older if version.since <= at), None)


def _in_force(row: Rule | Version) -> InForce:
    on = row.state == "on"
    return InForce(rule_id=row.rule_id, n=row.n, since=row.since, on=on, terms=terms_of(row))


# --- making -------------------------------------------------------------------------------------------------


def make(terms: RewardTerms, *, state: State, making: Making) -> Rule:
    """A new rule with its purse; the same key and body again answers with the first.

    Raises:
        AgainstPlatformRules, Invalid: something about it is wrong.
        IdempotencyMismatch: the key came with another body.
    """
    _valid(terms, now=making.now)
    fingerprint = hashlib.sha256(msgspec.json.encode([terms, state], order="sorted")).hexdigest()
    terms = _begun(terms, making.now)
    rule = _row(_id_for(making), terms, n=1, state=state, fingerprint=fingerprint, now=making.now)
    purse = evenly(terms.limits.total or UNLIMITED, terms.limits.shards)
    shards = [_purse(rule.rule_id, k, left) for k, left in enumerate(purse)]
    audit = _audit("reward.made", None, rule, making)
    try:
        table.transact([table.create(rule), table.create(_version(rule)), *shards, audit])
    except table.Taken as first:
        rule = show(rule.rule_id)
        if rule.fingerprint != fingerprint:
            raise IdempotencyMismatch(field="Idempotency-Key", reason="used for another body") from first
    _rules.clear()
    return rule


def edit(rule_id: str, terms: RewardTerms, *, making: Making) -> Rule:
    """The next version of a rule; what it says already makes no new version.

    Raises:
        NotFound: there is no such rule. AgainstPlatformRules, Invalid: something is wrong, or cannot be changed.
        BudgetSpent: the new total is below what was given. Busy: somebody else changed it at the same moment.
    """
    _valid(terms, now=making.now)
    before = show(rule_id)
    old = terms_of(before)
    if terms.starts_at is None:
        terms = msgspec.structs.replace(terms, starts_at=old.starts_at)
    _still_the_same_rule(old, terms)
    if terms == old:
        return before
    by = (terms.limits.total or UNLIMITED) - (old.limits.total or UNLIMITED)
    return _next(before, terms, state=before.state or "", action="reward.edited", making=making, purse_by=by)


def switch(rule_id: str, *, to: State, making: Making) -> Rule:
    """A rule on or off from now on; so already, nothing changes. What happened before is still rewarded.

    Raises:
        NotFound: there is no such rule. Busy: somebody else changed it at the same moment.
    """
    before = show(rule_id)
    if before.state == to:
        return before
    return _next(before, terms_of(before), state=to, action=f"reward.{to}", making=making)


def _next(
    before: Rule, terms: RewardTerms, *, state: str, action: str, making: Making, purse_by: int = 0
) -> Rule:
    rule = _row(
        before.rule_id, terms, n=before.n + 1, state=state, fingerprint=before.fingerprint, now=making.now
    )
    rule.rev, rule.made_at = before.rev + 1, before.made_at
    replaced = Write(operation="Put", row=rule, when=Rule.rev == before.rev, refuse=Busy)
    purse = _purse_changed(before, terms, by=purse_by) if purse_by else []
    audit = _audit(action, before, rule, making)
    table.transact([replaced, table.create(_version(rule), refuse=Busy), *purse, audit])
    for cache in (_rules, _older, _left):
        cache.clear()
    return rule


def _valid(terms: RewardTerms, *, now: int) -> None:
    rules.valid(terms, facts=sources.specs(), gifts=gifts.specs())
    for field, gift in rules.all_gifts(terms):
        gifts.find(gift.kind).check(gift.id, now, field)


def _begun(terms: RewardTerms, now: int) -> RewardTerms:
    return terms if terms.starts_at is not None else msgspec.structs.replace(terms, starts_at=now)


def _still_the_same_rule(old: RewardTerms, new: RewardTerms) -> None:
    kept = {
        "on": old.on == new.on,
        "limits.shards": old.limits.shards == new.limits.shards,
        "tiers": bool(old.tiers) == bool(new.tiers),
    }
    for field, same in kept.items():
        if not same:
            raise Invalid(field=field, reason="this stays as it is; make another rule")


def _id_for(making: Making) -> str:
    if making.idempotency_key:
        return ids.derived("rwd", making.by.key_id, making.idempotency_key)
    return ids.ulid("rwd", now=making.now, entropy=ids.entropy(now=making.now))


def _row(rule_id: str, terms: RewardTerms, *, n: int, state: str, fingerprint: str, now: int) -> Rule:
    return Rule(
        *Rule.key(rule_id),
        rule_id=rule_id,
        n=n,
        state=state,
        terms=msgspec.to_builtins(terms),
        since=now + BEGINS_AFTER_S,
        made_at=now,
        fingerprint=fingerprint,
    )


def _version(rule: Rule) -> Version:
    key = Version.key(rule.rule_id, rule.n)
    return Version(*key, rule_id=rule.rule_id, n=rule.n, state=rule.state, terms=rule.terms, since=rule.since)


def _audit(action: str, before: Rule | None, after: Rule, making: Making) -> Write:
    def told(rule: Rule) -> dict[str, Any]:
        return {"version": rule.n, "state": rule.state, "terms": rule.terms}

    return operators.recorded(
        by=making.by,
        action=action,
        subject=after.rule_id,
        before=before and told(before),
        after=told(after),
        now=making.now,
    )


# --- the purse ----------------------------------------------------------------------------------------------


def purse(rule_id: str, *, shards: int) -> list[Purse]:
    """The shards of a rule's purse as they are, in one consistent read."""
    keys = [(Purse, Purse.key(rule_id, k)) for k in range(shards)]
    return [row for row in table.get_many(keys) if row is not None]


def purses() -> Iterator[Purse]:
    """The shards of every rule's purse as they are."""
    for rule in map(_in_force, everything()):
        yield from purse(rule.rule_id, shards=rule.terms.limits.shards)


def left(rule: InForce, *, now: int) -> int:
    """What a rule may still give in all, at most 30 seconds old."""
    shards = rule.terms.limits.shards
    return _left.get(
        rule.rule_id, now=now, load=lambda: sum(row.left for row in purse(rule.rule_id, shards=shards))
    )


def _purse(rule_id: str, k: int, left: int) -> Write:
    return table.create(Purse(*Purse.key(rule_id, k), left=left, given=0, missed=0, taken_back=0))


def _purse_changed(rule: Rule, terms: RewardTerms, *, by: int) -> Sequence[Write]:
    """The writes that change what is left by ``by``, no shard below nothing."""
    shards = purse(rule.rule_id, shards=terms.limits.shards)
    lefts = [row.left for row in shards]
    parts = rules.changed(by, left=lefts)
    if parts is None:
        raise BudgetSpent(given=sum(row.given - row.taken_back for row in shards), left=sum(lefts))
    return [
        table.update(
            Purse,
            Purse.key(rule.rule_id, k),
            Purse.left.add(part),
            when=Purse.left >= -part if part < 0 else None,
            refuse=Busy,
        )
        for k, part in enumerate(parts)
        if part
    ]
