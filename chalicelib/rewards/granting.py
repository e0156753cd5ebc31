"""How occurrences become grants, and how grants are taken back: each one transaction, under its natural key.

A grant, its limits, its part of the purse and its gifts stand or fall together. What a limit or a gift refuses is
dropped, and the rest is sent again; what then is left of nothing is a ``missed`` grant, so that it is neither tried
for ever nor kept from the member. So one rule at its end holds up no other.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace
from pynamodb.expressions.condition import Condition

from chalicelib.core import clock, config, facts, ids, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import AppError, Busy
from chalicelib.core.shards import shard_for
from chalicelib.core.table import Row, Write
from chalicelib.core.telemetry import logger
from chalicelib.members import service as members
from chalicelib.rewards import gifts, rules, service, sources
from chalicelib.rewards.gifts import Giving
from chalicelib.rewards.models import SEEN_SHARDS, Grant, Listed, Progress, Purse, Seen
from chalicelib.rewards.models import Day as DayRow
from chalicelib.rewards.rules import Piece, Role
from chalicelib.rewards.service import InForce
from chalicelib.rewards.sources import Occurrence, Occurrences

ROUNDS = 20
R = TypeVar("R", bound=Row)
MISSED_STAY_S = 90 * DAY
DAYS_STAY_S = 40 * DAY
SEEN_STAYS_S = 35 * DAY


class _Granted(Exception):
    """This grant is there already."""


class _Limited(Exception):
    """A limit of the rule is reached; the argument is its name."""


class _Counted(Exception):
    """The member's progress has moved since it was read."""


class _Moved(Exception):
    """The grant is not what it was."""


class _PurseEmpty(Exception):
    """This shard of the purse has nothing left."""


class _GiftRefused(Exception):
    """A gift's own condition said no: (account, code)."""


class _GiftMoved(Exception):
    """A gift met another write and is built anew."""


# --- what is listened to ------------------------------------------------------------------------------------


def source(fact: str, *, on: str, occurrences: Occurrences) -> None:
    """Let rows of ``fact`` bring occurrences for rules ``on``; see `sources.describe` for what rules may know."""
    if sources.add(fact, on, occurrences):
        facts.errand(fact, name="rewards")(partial(_react, fact))


def undone(fact: str, occurrences: Callable[[Any], Sequence[str]]) -> None:
    """Let ``fact`` take back what the occurrences of its row had earned."""

    def run(row: Row, now: int) -> None:
        for occurrence in occurrences(row):
            take_back(occurrence, now=now)

    facts.errand(fact, name="rewards.take_back")(run)


def lessened(fact: str, occurrence: Callable[[Any], tuple[str, int] | None]) -> None:
    """Let ``fact`` shrink what the occurrence of its row had earned by the yuan, to what is left of its amount."""

    def run(row: Row, now: int) -> None:
        found = occurrence(row)
        if found is not None:
            shrink(found[0], amount_fen=found[1], now=now)

    facts.errand(fact, name="rewards.shrink")(run)


def _react(fact: str, row: Row, now: int) -> None:
    for on, occurrences in sources.of(fact):
        asked = service.asked(on, now=now)
        if asked is not None:
            _reward_all(on, occurrences(row, now), asked, now=now)


def _reward_all(on: str, found: Sequence[Occurrence], asked: set[str], *, now: int) -> None:
    """A row of many occurrences, such as a month of days, has brought most of them before."""
    fresh = [one for one in found if one.at > now - SEEN_STAYS_S]
    known: list[Seen | None] = [None] * len(fresh)
    if len(fresh) > 1:
        known = table.get_many([(Seen, _seen_key(on, one)) for one in fresh])
    for occurrence, seen in zip(fresh, known, strict=True):
        if seen is None:
            reward(on, occurrence, now=now)
            table.apply(_noted(on, occurrence, asked, now=now))


def _noted(on: str, occurrence: Occurrence, asked: set[str], *, now: int) -> Write:
    row = Seen(
        *_seen_key(on, occurrence),
        actor=occurrence.actor,
        at=occurrence.at,
        known=occurrence.told(asked),
        ttl=now + SEEN_STAYS_S,
    )
    return Write(operation="Put", row=row, when=None, refuse=Busy)


def _seen_key(on: str, occurrence: Occurrence) -> table.Key:
    k = shard_for(occurrence.key, SEEN_SHARDS)
    return Seen.key(on, day_of(occurrence.at), k, occurrence.key)


def day_of(at: int) -> str:
    """The day of the brand's calendar."""
    return clock.local_day(at, zone=config.settings().zone)


def reward(on: str, occurrence: Occurrence, *, now: int) -> None:
    """Give what the rules that were in force give for this occurrence, each once; done already, nothing changes.

    Raises:
        the first failure, after everything was tried.
    """
    failures = []
    for rule in service.in_force(on, at=occurrence.at, now=now):
        if not rules.holds(rule.terms, occurrence.get):
            continue
        for role, member_id in rules.beneficiaries(rule.terms, occurrence.actor, occurrence.get):
            try:
                _award(_Award(rule=rule, occurrence=occurrence, role=role, member_id=member_id), now=now)
            except Exception as failure:
                logger.exception("reward failed", rule=rule.rule_id, occurrence=occurrence.key)
                failures.append(failure)
    if failures:
        raise failures[0]


# --- giving -------------------------------------------------------------------------------------------------


class _Award(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One rule, one occurrence, one member."""

    rule: InForce
    occurrence: Occurrence
    role: Role
    member_id: str

    @property
    def own_shard(self) -> int:
        """The shard of the purse that it tries first."""
        return shard_for(f"{self.occurrence.key}#{self.member_id}", self.rule.terms.limits.shards)

    @cached_property
    def draw(self) -> int:
        """Chance that nobody can foresee and that comes out the same however often it is asked."""
        return chance(self.rule.rule_id, self.occurrence.key, self.member_id, now=self.occurrence.at)

    def pieces(self, given: Sequence[rules.RewardGift]) -> list[Piece]:
        """The gifts with their amounts."""
        amount_fen = self.occurrence.get("amount_fen") or 0
        return rules.pieces(given, amount_fen=amount_fen, draw=self.draw)


class _Attempt(msgspec.Struct, kw_only=True):
    """What was learnt from the refusals so far."""

    shard: int
    progress: Progress | None
    limited: str | None = None
    unpaid: str | None = None
    short: dict[str, str] = msgspec.field(default_factory=dict)


def chance(rule_id: str, occurrence: str, member_id: str, *, now: int) -> int:
    """From 0 to 9,999, derived with the key that never changes."""
    key = config.secret("link_key", now=now).encode()
    natural = "\x1f".join(("reward", rule_id, occurrence, member_id)).encode()
    return int.from_bytes(hmac.new(key, natural, hashlib.sha256).digest()[:8], "big") % 10_000


def _award(award: _Award, *, now: int) -> None:
    terms = award.rule.terms
    if not terms.tiers and not award.pieces(terms.give):
        return
    if terms.tiers and _counted_formerly(award):
        return
    attempt = _Attempt(shard=award.own_shard, progress=_progress(award))
    if award.role == "sharer" and not members.is_active(award.member_id, now=now):
        attempt.limited = "blocked"
    for _ in range(ROUNDS):
        try:
            table.transact(_awarding(award, attempt, now=now))
            return
        except _Granted:
            return
        except (_Limited, _PurseEmpty, _GiftRefused, _Counted, _GiftMoved) as refused:
            _learn(award, attempt, refused)
    raise Busy


def _counted_formerly(award: _Award) -> bool:
    """Whether it counted for somebody who became this member: what only counts is in no list, and stays theirs."""
    rows = table.query_all(Grant, Grant.key(award.occurrence.key, "", "")[0])
    others = {row.member_id for row in rows if row.rule_id == award.rule.rule_id} - {award.member_id}
    return bool(others) and not others.isdisjoint(members.names_of(award.member_id))


def _learn(award: _Award, attempt: _Attempt, refused: Exception) -> None:
    if isinstance(refused, _Limited):
        attempt.limited = refused.args[0]
    elif isinstance(refused, _GiftRefused):
        account, attempt.short[account] = refused.args[0], refused.args[1]
    elif isinstance(refused, _Counted):
        attempt.progress = _progress(award)
    elif isinstance(refused, _PurseEmpty):
        some = _shard_with_some(award)
        attempt.shard = award.own_shard if some is None else some
        attempt.unpaid = "budget" if some is None else None


def _progress(award: _Award) -> Progress | None:
    """How far the member is, read only where a tier may be reached."""
    if not award.rule.terms.tiers:
        return None
    return table.get(Progress, Progress.key(award.member_id, award.rule.rule_id))


def _shard_with_some(award: _Award) -> int | None:
    """Another shard that has something left, from the own one on; None: the purse is empty."""
    shards = award.rule.terms.limits.shards
    lefts = [row.left for row in service.purse(award.rule.rule_id, shards=shards)]
    order = [(award.own_shard + step) % shards for step in range(shards)]
    return next((k for k in order if lefts[k] >= 1), None)


def _awarding(award: _Award, attempt: _Attempt, *, now: int) -> list[Write]:
    """All writes of one award, the grant's own key first."""
    terms, key = award.rule.terms, award.occurrence.key
    if attempt.limited:
        return _payout(award, key, [], attempt, now=now)
    row = award.occurrence.depends_on
    unchanged = [facts.unchanged(row)] if row is not None else []
    if not terms.tiers:
        grant, *rest = _payout(award, key, award.pieces(terms.give), attempt, now=now)
        limits = _limits(award, attempt) if grant.row.state == "given" else []
        return [grant, *unchanged, *limits, *rest]
    counted = table.create(_grant(award, key, [], attempt, state="counted"), refuse=lambda _: _Granted())
    return [counted, *unchanged, *_limits(award, attempt), *_tier(award, attempt, now=now)]


def _tier(award: _Award, attempt: _Attempt, *, now: int) -> list[Write]:
    """What the tier gives that this count reaches, under a key of its own: counts go, and come again."""
    n = _counted(attempt) + 1
    tier = rules.reached(award.rule.terms.tiers, n)
    pieces = award.pieces(tier.give) if tier else []
    if not pieces:
        return []
    key = tier_key(award.rule.rule_id, award.member_id, n, _time(attempt, n))
    tier_grant, *rest = _payout(award, key, pieces, attempt, now=now)
    # Somebody else's friend has reached it: this one is not counted yet, and counts for the next.
    return [tier_grant.but(refuse=lambda _: _Counted()), *rest]


def tier_key(rule_id: str, member_id: str, at: int, time: int) -> str:
    """The occurrence of a tier that is reached for the ``time``-th time."""
    return f"tier#{rule_id}#{member_id}#{at}#{time}"


def _counted(attempt: _Attempt) -> int:
    return attempt.progress.n if attempt.progress else 0


def _time(attempt: _Attempt, n: int) -> int:
    times = (attempt.progress.tiers or {}) if attempt.progress else {}
    return int(times.get(str(n), 0)) + 1


def _limits(award: _Award, attempt: _Attempt) -> list[Write]:
    """The member counts, in all and today, where the rule limits it."""
    terms, key = award.rule.terms, (award.member_id, award.rule.rule_id)
    writes: list[Write] = []
    if terms.tiers:
        writes.append(_tier_counted(award, attempt))
    elif terms.limits.per_member:
        room = Progress.pk.does_not_exist() | (Progress.n < terms.limits.per_member)
        writes.append(
            table.upsert(
                Progress, Progress.key(*key), Progress.n.add(1), when=room, refuse=_limit("per_member")
            )
        )
    if terms.limits.per_day:
        room = DayRow.pk.does_not_exist() | (DayRow.n < terms.limits.per_day)
        day = day_of(award.occurrence.at)
        actions = (DayRow.n.add(1), DayRow.ttl.set(award.occurrence.at + DAYS_STAY_S))
        writes.append(
            table.upsert(DayRow, DayRow.key(*key, day), *actions, when=room, refuse=_limit("per_day"))
        )
    return writes


def _tier_counted(award: _Award, attempt: _Attempt) -> Write:
    """One more, if the count is the one that says which tier is reached."""
    limits, n = award.rule.terms.limits, _counted(attempt) + 1
    if limits.per_member and n > limits.per_member:
        raise _Limited("per_member")
    times = dict((attempt.progress.tiers or {}) if attempt.progress else {})
    if rules.reached(award.rule.terms.tiers, n):
        times[str(n)] = _time(attempt, n)
    unmoved: Condition = Progress.pk.does_not_exist()
    if attempt.progress is not None:
        unmoved = Progress.rev == attempt.progress.rev
    key = Progress.key(award.member_id, award.rule.rule_id)
    actions = (Progress.n.add(1), Progress.tiers.set(times))
    return table.upsert(Progress, key, *actions, when=unmoved, refuse=lambda _: _Counted())


def _limit(name: str) -> Callable[[Row | None], Exception]:
    return lambda _: _Limited(name)


def _payout(
    award: _Award, occurrence: str, pieces: Sequence[Piece], attempt: _Attempt, *, now: int
) -> list[Write]:
    """The grant, its entry in the member's list, its part of the purse, and its gifts; or that it was missed."""
    wanted = gifts.accounts(pieces)
    kept = {account: some for account, some in wanted.items() if account not in attempt.short}
    reason = attempt.limited or attempt.unpaid or (None if kept else next(iter(attempt.short.values())))
    given = [piece for some in kept.values() for piece in some] if reason is None else []
    grant = _grant(award, occurrence, given, attempt, state="missed" if reason else "given")
    listed = _listed(award, occurrence, grant, attempt, reason=reason)
    if reason:
        grant.ttl = listed.ttl = now + MISSED_STAY_S
    writes = [table.create(grant, refuse=lambda _: _Granted()), _from_purse(grant), table.create(listed)]
    for account, some in kept.items() if reason is None else ():
        giving = _giving(grant, some, reason=award.rule.terms.title, now=now)
        writes += _may_refuse(account, partial(gifts.given, giving))
    return writes


def _grant(award: _Award, occurrence: str, given: Sequence[Piece], attempt: _Attempt, *, state: str) -> Grant:
    limits, own = award.rule.terms.limits, occurrence == award.occurrence.key
    counts = state == "counted" or (state == "given" and own and not award.rule.terms.tiers)
    return Grant(
        *Grant.key(occurrence, award.rule.rule_id, award.member_id),
        state=state,
        grant_id=ids.derived("gnt", occurrence, award.rule.rule_id, award.member_id),
        rule_id=award.rule.rule_id,
        n=award.rule.n,
        member_id=award.member_id,
        at=award.occurrence.at,
        gifts=[list(piece) for piece in given],
        shard=attempt.shard,
        tracked=counts and bool(award.rule.terms.tiers or limits.per_member),
        day=day_of(award.occurrence.at) if counts and limits.per_day else None,
    )


def _listed(award: _Award, occurrence: str, grant: Grant, attempt: _Attempt, *, reason: str | None) -> Listed:
    return Listed(
        *Listed.key(award.member_id, grant.at, grant.grant_id),
        state=grant.state,
        grant_id=grant.grant_id,
        rule_id=grant.rule_id,
        occurrence=occurrence,
        role=award.role,
        fact=award.rule.terms.on,
        title=award.rule.terms.title,
        at=grant.at,
        gifts=grant.gifts,
        short=attempt.short,
        reason=reason,
    )


def _from_purse(grant: Grant) -> Write:
    key = Purse.key(grant.rule_id, grant.shard)
    if grant.state == "missed":
        return table.update(Purse, key, Purse.missed.add(1), refuse=Busy)
    taken = (Purse.left.add(-1), Purse.given.add(1))
    return table.update(Purse, key, *taken, when=Purse.left >= 1, refuse=lambda _: _PurseEmpty())


def _giving(grant: Grant, pieces: Sequence[Piece], *, reason: str, now: int) -> Giving:
    cause = f"reward#{grant.grant_id}"
    return Giving(member_id=grant.member_id, pieces=pieces, cause=cause, reason=reason, now=now)


def _may_refuse(account: str, build: Callable[[], list[Write]]) -> list[Write]:
    """The writes of a gift, whose refusals say which gift it was."""
    try:
        return [write.but(refuse=partial(_gift_refused, account, write)) for write in build()]
    except Busy:
        raise
    except table.Taken as met:
        raise _GiftMoved from met
    except AppError as refused:
        raise _GiftRefused(account, refused.code) from refused


def _gift_refused(account: str, write: Write, found: Row | None) -> Exception:
    refused = table.refusal(write, found)
    if isinstance(refused, AppError) and not isinstance(refused, Busy):
        return _GiftRefused(account, refused.code)
    return _GiftMoved()


# --- taking back --------------------------------------------------------------------------------------------


def take_back(occurrence: str, *, now: int) -> None:
    """Take back all that an occurrence earned, with its place in limits and purse; done already, nothing."""
    for grant in table.query_all(Grant, Grant.key(occurrence, "", "")[0]):
        _take_back(grant, now=now)


def _take_back(found: Grant, *, now: int) -> None:
    grant: Grant | None = found
    kept: dict[str, str] = {}
    for _ in range(ROUNDS):
        if grant is None or grant.state not in ("given", "counted"):
            return
        try:
            table.transact(_taking_back(grant, kept, now=now))
            return
        except _GiftRefused as refused:
            kept[refused.args[0]] = refused.args[1]
        except (_Moved, _GiftMoved):
            grant = table.get(Grant, (found.pk, found.sk))
    raise Busy


def _taking_back(grant: Grant, kept: dict[str, str], *, now: int) -> list[Write]:
    writes = _ended(grant, kept, now=now)
    if grant.tracked:
        progress = _first(Progress, (Progress.key(name, grant.rule_id) for name in _counted_for(grant)))
        writes += _uncounted(grant, progress, kept, now=now) if progress is not None else []
    if grant.day == day_of(now):
        day = _first(DayRow, (DayRow.key(name, grant.rule_id, grant.day) for name in _counted_for(grant)))
        writes += _one_less_that_day(day) if day is not None else []
    return writes


def _counted_for(grant: Grant) -> Iterator[str]:
    """Under whose name it may count: its holder's; or, as what counts goes over after what is listed, that of whom
    it was given to; or of whom they became, where it is in no list."""
    yield grant.holder
    yield from (name for name in members.since_then(grant.member_id) if name != grant.holder)


def _first(kind: type[R], keys: Iterator[table.Key]) -> R | None:
    return next(filter(None, (table.get(kind, key) for key in keys)), None)


def _one_less_that_day(row: DayRow) -> list[Write]:
    return [table.update(DayRow, (row.pk, row.sk), DayRow.n.add(-1), refuse=lambda _: _Moved())]


def _ended(grant: Grant, kept: dict[str, str], *, now: int) -> list[Write]:
    """The grant is over; what it gave goes back where it came from."""
    still, key = Grant.state == grant.state, (grant.pk, grant.sk)
    over = table.update(Grant, key, Grant.state.set("taken_back"), when=still, refuse=lambda _: _Moved())
    if grant.state == "counted":
        return [over]
    back = (Purse.left.add(1), Purse.taken_back.add(1))
    entry = (Listed.state.set("taken_back"), Listed.short.set(kept))
    writes = [
        over,
        table.update(Purse, Purse.key(grant.rule_id, grant.shard), *back, refuse=Busy),
        table.update(Listed, Listed.key(grant.holder, grant.at, grant.grant_id), *entry, refuse=Busy),
    ]
    for account, some in gifts.accounts([Piece(*piece) for piece in grant.gifts]).items():
        if account not in kept:
            giving = _giving(grant, some, reason="taken_back", now=now)
            writes += _may_refuse(account, partial(gifts.taken_back, giving))
    return writes


def shrink(occurrence: str, *, amount_fen: int, now: int) -> None:
    """Take back what an occurrence had earned by the yuan above ``amount_fen``; taken back already, nothing."""
    for grant in table.query_all(Grant, Grant.key(occurrence, "", "")[0]):
        _shrink(grant, amount_fen, now=now)


def _shrink(found: Grant, amount_fen: int, *, now: int) -> None:
    grant: Grant | None = found
    kept: set[str] = set()
    for _ in range(ROUNDS):
        if grant is None or grant.state != "given":
            return
        had = [Piece(*piece) for piece in grant.gifts]
        terms = service.version(grant.rule_id, grant.n)
        left = rules.shrunk(had, terms.give, amount_fen=amount_fen)
        if left == had:
            return
        try:
            table.transact(_shrinking(grant, had, left, kept, part=str(amount_fen), now=now))
            return
        except _GiftRefused as refused:
            kept.add(refused.args[0])
        except (_Moved, _GiftMoved):
            grant = table.get(Grant, (found.pk, found.sk))
    raise Busy


def _shrinking(
    grant: Grant, had: Sequence[Piece], left: Sequence[Piece], kept: set[str], *, part: str, now: int
) -> list[Write]:
    """The grant is of less from now on, and what it is less goes back; an account that refuses is not asked."""
    now_given = [list(piece) for piece in left]
    as_read = Grant.rev == grant.rev
    listed = Listed.key(grant.holder, grant.at, grant.grant_id)
    writes = [
        table.update(
            Grant, (grant.pk, grant.sk), Grant.gifts.set(now_given), when=as_read, refuse=lambda _: _Moved()
        ),
        table.update(Listed, listed, Listed.gifts.set(now_given), refuse=Busy),
    ]
    still = {(piece.kind, piece.id): piece.amount for piece in left}
    for account, some in gifts.accounts(had).items():
        less = [one._replace(amount=one.amount - still.get((one.kind, one.id), 0)) for one in some]
        less = [one for one in less if one.amount]
        if less and account not in kept:
            giving = replace(_giving(grant, less, reason="taken_back", now=now), part=part, of=some)
            writes += _may_refuse(account, partial(gifts.taken_back, giving))
    return writes


def _uncounted(grant: Grant, progress: Progress, kept: dict[str, str], *, now: int) -> list[Write]:
    """One less; the tier that stood on it falls."""
    key, unmoved = (progress.pk, progress.sk), Progress.rev == progress.rev
    less = table.update(Progress, key, Progress.n.add(-1), when=unmoved, refuse=lambda _: _Moved())
    time = (progress.tiers or {}).get(str(progress.n))
    if time is None:
        return [less]
    tier = _tier_of(progress, grant.rule_id, time)
    return [less, *(_ended(tier, kept, now=now) if tier is not None else [])]


def _tier_of(progress: Progress, rule_id: str, time: int) -> Grant | None:
    """What stands on the count as it is, by whichever name of the member it was reached."""
    for name in members.names_of(progress.pk.partition("#")[2]):
        occurrence = tier_key(rule_id, name, progress.n, time)
        tier = table.get(Grant, Grant.key(occurrence, rule_id, name))
        if tier is not None and tier.state == "given":
            return tier
    return None
