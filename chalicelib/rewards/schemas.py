"""What the routes of rewards take and answer."""

from typing import Annotated, Literal

import msgspec

from chalicelib.rewards.rules import RewardTerms


class MakeReward(RewardTerms, frozen=True, kw_only=True):
    """A new rule; made ``off`` it can be tried on what happens before it gives anything."""

    state: Literal["on", "off"] = "on"


class RewardGiftAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is or was given, and the same in words."""

    kind: str
    id: str | None
    amount: int
    text: str


class TierProgress(msgspec.Struct, frozen=True, kw_only=True):
    """One tier of a rule, and whether the member has reached it."""

    at: int
    reached: bool


class RewardProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a member is: counted in all and today, what the limits leave, what the next tier still needs."""

    counted: int
    counted_today: int | None
    left: int | None
    left_today: int | None
    tiers: list[TierProgress]
    to_next_tier: int | None


class RewardAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What can be earned; ``text`` is the whole rule in words, odds and limits included.

    ``progress`` is null for strangers and for rules that count nothing; ``why_not``: ``budget`` or ``limit``.
    """

    id: str
    title: str
    text: str
    on: str
    to: str
    starts_at: int
    ends_at: int | None
    available: bool
    why_not: str | None
    progress: RewardProgress | None


class RewardList(msgspec.Struct, frozen=True, kw_only=True):
    """All that can be earned now."""

    items: list[RewardAnswer]
    now: int


class NotGiven(msgspec.Struct, frozen=True, kw_only=True):
    """A gift that could not be given, or not be taken back, and why, as the code of the room that refused."""

    gift: str
    reason: str


class MyReward(msgspec.Struct, frozen=True, kw_only=True):
    """What a member got or missed: ``given``, ``missed`` or ``taken_back``; ``as``: the actor or the sharer.

    ``occurrence`` says for what: ``order#…``, ``member#…``, ``tier#…``.
    """

    id: str
    reward_id: str
    title: str
    on: str
    role: str = msgspec.field(name="as")
    occurrence: str
    at: int
    state: str
    gifts: list[RewardGiftAnswer]
    not_given: list[NotGiven]
    reason: str | None
    reason_text: str | None


class AdminReward(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as operators see it: its newest version, and the words that people read."""

    id: str
    state: str
    version: int
    since: int
    made_at: int
    terms: RewardTerms
    text_zh: str
    text_en: str
    now: int


class FactAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that rules may be on, and the conditions it can be asked for."""

    on: str
    conditions: list[str]
    text_zh: str
    text_en: str


class AdminRewards(msgspec.Struct, frozen=True, kw_only=True):
    """All rules, newest first, and what rules can be made of."""

    items: list[AdminReward]
    facts: list[FactAnswer]
    gifts: list[str]
    now: int


class RewardVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule said from ``since`` on."""

    version: int
    state: str
    since: int
    terms: RewardTerms


class RewardVersions(msgspec.Struct, frozen=True, kw_only=True):
    """The versions of a rule, newest first."""

    items: list[RewardVersion]
    now: int


class RewardReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a rule; ``budget_left`` is null without a limit in all."""

    id: str
    granted: int
    missed: int
    taken_back: int
    budget_left: int | None
    now: int


class DryRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many days to look back, today included."""

    days: Annotated[int, msgspec.Meta(ge=1, le=30)] = 7


class DryRunAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the rule would have done, had it been on.

    ``undecided``: occurrences of which a value that the rule looks at was not noted at the time. ``complete`` is
    false when there were more occurrences than are looked at in one call.
    """

    id: str
    days: int
    looked_at: int
    complete: bool
    matched: int
    granted: int
    undecided: int
    missed: dict[str, int]
    given: dict[str, int]
    members: int
    now: int
