"""Pure rules of check-ins: which turn it is, how long a run is, and what it has earned."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from chalicelib.core.errors import Invalid

DAY = timedelta(days=1)
Gifts = Counter[tuple[str, str]]
"""How much of what: (kind, template or nothing) -> amount."""
Reward = Mapping[str, Any]


# --- time ---------------------------------------------------------------------------------------------------


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """The turns of one campaign: its clocks, the minute at which its days begin, and whether a turn is a week.

    A day begins at one instant, the first at which the clocks show its cut-off, and lasts until the next one
    begins; so the hour that autumn doubles never brings yesterday back. Weeks begin on Monday and have its date.
    """

    zone: ZoneInfo
    day_starts_at_minute: int = 0
    weekly: bool = False

    def begins(self, day: date) -> int:
        """The instant at which ``day`` begins; two days begin at once where a zone skips the first."""
        return _begins(self.zone, self.day_starts_at_minute, day)

    def turn_at(self, now: int) -> date:
        """The turn that ``now`` is in."""
        wall = datetime.fromtimestamp(now, self.zone) - timedelta(minutes=self.day_starts_at_minute)
        day = wall.date()
        while self.begins(day) > now:
            day -= DAY
        while self.begins(day + DAY) <= now:
            day += DAY
        return self.turn_of(day)

    def turn_of(self, day: date) -> date:
        """The turn that a date is in."""
        return day - timedelta(days=day.weekday()) if self.weekly else day

    def before(self, turn: date) -> date:
        """The turn before, past days that the zone skips."""
        return self._beside(turn, -1)

    def after(self, turn: date) -> date:
        """The turn after, past days that the zone skips."""
        return self._beside(turn, 1)

    def last_of_month_before(self, first: date) -> date:
        """The last turn before the month that begins with ``first``."""
        day = self.turn_of(first - DAY)
        return day if self._exists(day) else self.before(day)

    def at_minute(self, minute: int, *, after: int) -> int:
        """The first instant later than ``after`` at which a turn's first date shows this minute on its clocks."""
        day = datetime.fromtimestamp(after, self.zone).date()
        while True:
            at = _at(self.zone, minute, day)
            if at > after and self.turn_of(day) == day:
                return at
            day += DAY

    def _beside(self, turn: date, step: int) -> date:
        beside = turn + step * (7 * DAY if self.weekly else DAY)
        return beside if self._exists(beside) else self._beside(beside, step)

    def _exists(self, turn: date) -> bool:
        return self.weekly or self.begins(turn) < self.begins(turn + DAY)


@lru_cache(maxsize=4096)
def _begins(zone: ZoneInfo, minute: int, day: date) -> int:
    """Asked for every day of a run, and of every member for the same days."""
    return _at(zone, minute, day)


def _at(zone: ZoneInfo, minute: int, day: date) -> int:
    wall = datetime.combine(day, time()) + timedelta(minutes=minute)
    return int(wall.replace(tzinfo=zone).timestamp())


def month_of(turn: date) -> str:
    """The month whose row holds a turn."""
    return turn.isoformat()[:7]


def first_of(month: str) -> date:
    """The date that a month begins with."""
    return date.fromisoformat(f"{month}-01")


# --- runs ---------------------------------------------------------------------------------------------------


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What a member has done, as far as it is looked at: from ``since`` on.

    ``carried`` is the run that had not broken when ``since`` began, ``before`` counts all turns until then.
    """

    calendar: Calendar
    since: date = date.min
    days: frozenset[date] = frozenset()
    frozen: frozenset[date] = frozenset()
    carried: int = 0
    before: int = 0

    @property
    def total(self) -> int:
        """All turns so far."""
        return self.before + len(self.days)

    def until(self, turn: date) -> int:
        """How long the run is that ends with ``turn``; 0 if that was missed."""
        length = 0
        while turn >= self.since:
            if turn not in self.days and turn not in self.frozen:
                return length
            length += turn in self.days
            turn = self.calendar.before(turn)
        return length + self.carried

    def onwards(self, turn: date) -> int:
        """How long the run is that begins with ``turn``."""
        length = 0
        while turn in self.days or turn in self.frozen:
            length += turn in self.days
            turn = self.calendar.after(turn)
        return length

    def streak(self, today: date) -> int:
        """The run that is alive today: with today's turn, or still without it."""
        return self.until(today) or self.until(self.calendar.before(today))

    def missed(self, today: date, *, at_most: int) -> list[date]:
        """The turns just before ``today`` that would have to be frozen for the run before them to go on.

        Empty when nothing was missed, or too much, or there is no run to save.
        """
        gap: list[date] = []
        turn = self.calendar.before(today)
        while turn >= self.since and not self.until(turn):
            gap.append(turn)
            if len(gap) > at_most:
                return []
            turn = self.calendar.before(turn)
        return gap if self.until(turn) else []

    def marked(self, turn: date, *, bridged: Iterable[date] = ()) -> "History":
        """The same with one more turn, and with missed ones frozen."""
        return replace(self, days=self.days | {turn}, frozen=self.frozen.union(bridged))


# --- rewards ------------------------------------------------------------------------------------------------


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign gives: ``cycle`` is the turns after which the rewards of a run begin again."""

    rewards: Sequence[Reward]
    cycle: int | None = None
    target: int | None = None

    def of_run(self, length: int) -> Gifts:
        """What so many turns in a row have earned in all."""
        gifts: Gifts = Counter()
        for reward in self.rewards:
            _add(gifts, reward, times=self._times(reward, length))
        return gifts

    def _times(self, reward: Reward, length: int) -> int:
        if reward["by"] == "each":
            return length
        first = reward["turns"]
        if reward["by"] != "streak" or length < first:
            return 0
        return 1 + ((length - first) // self.cycle if self.cycle else 0)

    def of_total(self, total: int) -> Gifts:
        """What so many turns in all have earned, whether in a row or not."""
        gifts: Gifts = Counter()
        for reward in self.rewards:
            needed = self.target if reward["by"] == "completion" else reward.get("turns")
            counts = reward["by"] in ("total", "completion") and needed is not None and total >= needed
            _add(gifts, reward, times=int(counts))
        return gifts


def _add(gifts: Gifts, reward: Reward, *, times: int) -> None:
    for gift in reward["give"]:
        gifts[gift["kind"], gift.get("template_id") or ""] += gift["amount"] * times


def gained(terms: Terms, seen: History, turn: date, *, bridged: Sequence[date] = ()) -> Gifts:
    """What a turn brings: what the run now has earned, less what its parts have earned before.

    So a make-up brings what missing the turn had cost, and the order in which turns are marked does not matter.
    """
    now = seen.marked(turn, bridged=bridged)
    calendar = seen.calendar
    left = seen.until(calendar.before(min([turn, *bridged])))
    right = seen.onwards(calendar.after(turn))
    # A turn that was frozen had joined both sides already.
    parts = [left + right] if turn in seen.frozen else [left, right]
    run = now.until(turn) + right
    earned = terms.of_run(run)
    for part in parts:
        earned -= terms.of_run(part)
    # Apart: a run that joined two which were worth more takes nothing from what the total brings.
    return earned + (terms.of_total(now.total) - terms.of_total(seen.total))


def ahead(terms: Terms, seen: History, today: date, *, turns: int) -> list[tuple[date, int, Gifts]]:
    """The next turns: when, how long the run would be, and what each would bring."""
    turn = seen.calendar.after(today) if today in seen.days else today
    run, coming = seen.until(seen.calendar.before(turn)), []
    for total in range(seen.total, seen.total + turns):
        earned = terms.of_run(run) + terms.of_total(total)
        run += 1
        coming.append((turn, run, terms.of_run(run) + terms.of_total(total + 1) - earned))
        turn = seen.calendar.after(turn)
    return coming


# --- campaigns ----------------------------------------------------------------------------------------------


def valid_campaign(given: Any) -> None:
    """What a struct cannot say of a campaign.

    Raises:
        Invalid: the first thing that is wrong, by its field.
    """
    if given.ends_at is not None and given.ends_at <= given.starts_at:
        raise Invalid(field="ends_at", reason="it must be after starts_at")
    try:
        ZoneInfo(given.timezone)
    except (KeyError, OSError, ValueError) as unknown:
        raise Invalid(field="timezone", reason="an IANA time zone such as Asia/Shanghai") from unknown
    if given.kind == "daily" and (given.every != "day" or given.target is not None or given.team_size):
        raise Invalid(field="kind", reason="every, target and team_size are for a challenge")
    if given.kind == "challenge" and (given.target is None or given.ends_at is None):
        raise Invalid(field="target", reason="a challenge has a target and an end")
    if given.makeups is not None and given.makeups.points is None and not given.makeups.cards:
        raise Invalid(field="makeups", reason="they are paid in points, with cards, or either")
    for reward in given.rewards:
        _valid_reward(given, reward)
    _valid_coupons([gift for reward in given.rewards for gift in reward.give if gift.kind == "coupon"])


def _valid_reward(given: Any, reward: Any) -> None:
    counted = reward.by in ("streak", "total")
    if counted != (reward.turns is not None):
        raise Invalid(field="rewards", reason="turns are for the rewards of a streak or a total")
    if reward.by == "streak" and given.cycle is not None and reward.turns > given.cycle:
        raise Invalid(field="rewards", reason="no streak is longer than the cycle", at_most=given.cycle)
    if reward.by == "completion" and given.target is None:
        raise Invalid(field="rewards", reason="completion is for a campaign with a target")
    for gift in reward.give:
        if (gift.kind == "coupon") != (gift.template_id is not None):
            raise Invalid(field="rewards", reason="template_id is for coupons, and names one")


COUPONS_AT_MOST = 10
"""Templates that one turn may bring at once; each is two writes of its transaction."""


def _valid_coupons(gifts: Sequence[Any]) -> None:
    templates = [gift.template_id for gift in gifts]
    if len(set(templates)) != len(templates) or any(gift.amount != 1 for gift in gifts):
        raise Invalid(field="rewards", reason="a template stands in one reward, which gives one coupon of it")
    if len(templates) > COUPONS_AT_MOST:
        raise Invalid(field="rewards", reason="too many coupons", at_most=COUPONS_AT_MOST)
