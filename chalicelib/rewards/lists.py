"""What people may know of rewards: what can be earned, how far a member is, what they got and what they missed."""

import msgspec

from chalicelib.core import table
from chalicelib.rewards import gifts, rules, service, sources
from chalicelib.rewards.granting import day_of
from chalicelib.rewards.models import Day, Listed, Progress
from chalicelib.rewards.rules import RewardTerms
from chalicelib.rewards.service import InForce


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How often a rule has counted for a member, in all and today; None: the rule does not count it."""

    counted: int | None
    today: int | None


def offered(*, now: int) -> list[InForce]:
    """The rules by which something can be earned now, newest first, at most 30 seconds old."""
    return [rule for rule in service.current(now=now) if rule.on and rules.within(rule.terms, now)]


def standings(member_id: str, offers: list[InForce], *, now: int) -> dict[str, Standing]:
    """How far a member is with each of the rules, as it is now, in one read."""
    today = day_of(now)
    wanted: list[tuple[type[table.Row], table.Key]] = []
    for rule in offers:
        if _counts(rule.terms):
            wanted.append((Progress, Progress.key(member_id, rule.rule_id)))
        if rule.terms.limits.per_day:
            wanted.append((Day, Day.key(member_id, rule.rule_id, today)))
    found: dict[tuple[str, str], int] = {}
    for at in range(0, len(wanted), 100):
        rows = table.get_many(wanted[at : at + 100])
        found.update({(row.pk, row.sk): row.n for row in rows if row is not None})
    return {rule.rule_id: _standing(member_id, rule, found, today) for rule in offers}


def _counts(terms: RewardTerms) -> bool:
    return bool(terms.tiers or terms.limits.per_member)


def _standing(member_id: str, rule: InForce, found: dict[tuple[str, str], int], today: str) -> Standing:
    counted = found.get(Progress.key(member_id, rule.rule_id), 0) if _counts(rule.terms) else None
    daily = rule.terms.limits.per_day is not None
    return Standing(
        counted=counted, today=found.get(Day.key(member_id, rule.rule_id, today), 0) if daily else None
    )


def told(terms: RewardTerms, *, lang: str, now: int) -> str:
    """The whole rule in words."""
    words = sources.specs()[terms.on].words
    return rules.sentence(terms, words, gift=lambda *of: gift_told(*of, now=now), lang=lang)


def gift_told(kind: str, gift_id: str | None, amount: int, lang: str, *, now: int) -> str:
    """A gift in words."""
    return gifts.find(kind).words(gift_id, amount, lang, now)


def between(member_id: str, *, since: int, until: int) -> list[Listed]:
    """What a member got and missed after ``since`` and until ``until``."""
    pk, first, last = Listed.key(member_id, since + 1, "")[0], f"G#{since + 1:011d}", f"G#{until:011d}#~"
    return table.query_all(Listed, pk, Listed.sk.between(first, last))


def mine(member_id: str, *, limit: int, after: table.Raw | None) -> table.Page:
    """What a member got and missed, by when it was earned, newest first; what was just written is there."""
    pk = Listed.key(member_id, 0, "")[0]
    return table.query(Listed, pk, Listed.sk.startswith("G#"), limit=limit, newest_first=True, after=after)
