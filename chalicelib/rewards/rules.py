"""Pure rules of rewards: what a rule may say, when it holds, what it gives, and how it is told to people."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from chalicelib.core.errors import Invalid
from chalicelib.core.money import BPS, yuan
from chalicelib.core.shards import evenly

Role = Literal["actor", "sharer"]
To = Literal["actor", "sharer", "both"]
Lang = Literal["zh", "en"] | str
LEVELS_AT_MOST = 2
UNLIMITED = 10**12
"""What the purse of a rule without a total holds: nobody gets to its bottom."""

Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$(?!\n)")]
Ids = Annotated[list[Id], msgspec.Meta(min_length=1, max_length=50)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,32}(\.[a-z_]{1,32})?$(?!\n)")]
Amount = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Epoch = Annotated[int, msgspec.Meta(ge=0, le=99_999_999_999)]


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of a rule's terms."""


class Chance(_Part, frozen=True, kw_only=True):
    """One outcome of a draw, and how often it comes in ten thousand."""

    amount: Amount
    bps: Annotated[int, msgspec.Meta(ge=1, le=BPS)]


class Range(_Part, frozen=True, kw_only=True):
    """Anything from … to …: understood, so that it can be refused by name."""

    least: Amount
    most: Amount


class RewardGift(_Part, frozen=True, kw_only=True):
    """Something that is given: a fixed amount, so much for a yuan, or a draw with published odds."""

    kind: Name
    id: Id | None = None
    amount: Amount | None = None
    per_yuan: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | None = None
    at_most: Amount | None = None
    odds: Annotated[list[Chance], msgspec.Meta(min_length=1, max_length=20)] | None = None
    between: Range | None = None


Gifts = Annotated[list[RewardGift], msgspec.Meta(max_length=5)]


class Where(_Part, frozen=True, kw_only=True):
    """What must hold of the occurrence; what is left out may be anything."""

    new_member: bool = False
    first_order: bool = False
    invited: bool = False
    head: bool | None = None
    min_amount_fen: Annotated[int, msgspec.Meta(ge=1, le=10**11)] | None = None
    campaigns: Ids | None = None
    products: Ids | None = None
    categories: Ids | None = None
    programs: Ids | None = None
    channels: Ids | None = None
    min_level: Annotated[int, msgspec.Meta(ge=1, le=100)] | None = None


class Limits(_Part, frozen=True, kw_only=True):
    """How often a rule gives: to one member, to one member on one day, in all; ``shards`` for many a second."""

    per_member: Count | None = None
    per_day: Count | None = None
    total: Count | None = None
    shards: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1


class Tier(_Part, frozen=True, kw_only=True):
    """What is given when the rule has counted ``at`` times for a member."""

    at: Annotated[int, msgspec.Meta(ge=1, le=10_000)]
    give: Gifts


class RewardTerms(_Part, frozen=True, kw_only=True):
    """All that one version of a rule says."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
    on: Name
    where: Where = Where()
    give: Gifts = []
    to: To
    level: Annotated[int, msgspec.Meta(ge=1, le=99)] = 1
    limits: Limits = Limits()
    tiers: Annotated[list[Tier], msgspec.Meta(max_length=10)] = []
    counting: Literal["direct", "team"] = "direct"
    starts_at: Epoch | None = None
    ends_at: Epoch | None = None


class FactWords(msgspec.Struct, frozen=True, kw_only=True):
    """A fact as a rule tells it, of oneself and of a friend."""

    self_zh: str
    self_en: str
    friend_zh: str
    friend_en: str


class FactSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What rules may know of a fact; ``paid``: money was taken, so that a second level may earn by it."""

    words: FactWords
    values: frozenset[str]
    paid: bool = False


class GiftSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind of gift is told with: an id or none, an amount or always one."""

    needs_id: bool
    counted: bool


# --- what a rule may say ------------------------------------------------------------------------------------


class AgainstPlatformRules(Invalid):
    """The platform forbids this; ``details.rule`` names its rule, ``details.source`` where it says so."""

    code = "against_platform_rules"
    en = "The platform forbids this kind of reward."
    zh = "该奖励违反平台规则。"
    advice = "Show details.rule and details.source to the operator; reward what friends do, in fixed amounts."

    def message(self, lang: str) -> str:
        """Which rule, in words."""
        zh, en, _ = PLATFORM_RULES[self.details["rule"]]
        return zh if lang == "zh" else en


_SHARING = "WeChat Mini Program Operation Rules 5.1 (abuse of sharing)"
PLATFORM_RULES: dict[str, tuple[str, str, str]] = {
    "no_reward_for_sharing": (
        "不得因分享行为本身发放奖励。",
        "The act of sharing must not be rewarded.",
        _SHARING,
    ),
    "no_reward_for_visits": (
        "好友仅点击访问不得发放奖励，须有实际行为。",
        "A mere visit of a friend must not be rewarded: the friend must act.",
        _SHARING,
    ),
    "no_undisclosed_chance": (
        "随机数额须公示概率，且概率之和为 100%。",
        "A random amount needs published odds that add up to 100 %.",
        "SAMR order 32 (2020), lucky draws: prizes, quantity or odds are published",
    ),
    "no_chance_for_sharing": (
        "不得以抽奖或不确定利益诱导分享。",
        "Chances and uncertain benefits must not make people share.",
        "WeChat notice of December 2020 on inducing shares",
    ),
    "no_head_count": (
        "不得按团队人头计酬。",
        "Nobody is paid for the head count of a team.",
        "Regulation on the Prohibition of Pyramid Selling, article 7; WeChat on distribution",
    ),
    "two_levels_at_most": (
        "奖励层级不得超过两级。",
        "Rewards reach two levels at most.",
        "WeChat on multi-level distribution",
    ),
}
_SHARE_ACTS = frozenset({"share", "shares", "shared", "sharing", "link", "links"})
_VISIT_ACTS = frozenset(
    {"visit", "visits", "visited", "opened", "open", "click", "clicked", "view", "viewed", "page"}
)


def _forbidden(rule: str, place: str) -> AgainstPlatformRules:
    zh, en, source = PLATFORM_RULES[rule]
    return AgainstPlatformRules(field=place, rule=rule, reason=en, reason_zh=zh, source=source)


def valid(terms: RewardTerms, *, facts: Mapping[str, FactSpec], gifts: Mapping[str, GiftSpec]) -> None:
    """A rule that may be made.

    Raises:
        AgainstPlatformRules: it asks for what the platform forbids. Invalid: something else about it is wrong.
    """
    _not_for_sharing(terms.on)
    if terms.level > LEVELS_AT_MOST:
        raise _forbidden("two_levels_at_most", "level")
    fact = facts.get(terms.on)
    if fact is None:
        raise Invalid(field="on", reason="no such fact", known=sorted(facts))
    _no_head_count(terms, fact)
    _known_conditions(terms.where, fact)
    _consistent(terms)
    for place, gift in all_gifts(terms):
        _valid_gift(gift, place, terms, fact, gifts)


def _not_for_sharing(on: str) -> None:
    words = set(on.replace(".", "_").split("_"))
    if words & _VISIT_ACTS:
        raise _forbidden("no_reward_for_visits", "on")
    if words & _SHARE_ACTS:
        raise _forbidden("no_reward_for_sharing", "on")


def _no_head_count(terms: RewardTerms, fact: FactSpec) -> None:
    if terms.counting == "team":
        raise _forbidden("no_head_count", "counting")
    if terms.level == 2 and (terms.tiers or not fact.paid):
        raise _forbidden("no_head_count", "level")


def _known_conditions(where: Where, fact: FactSpec) -> None:
    for name in conditions(where):
        if NEEDS[name] not in fact.values:
            raise Invalid(field=f"where.{name}", reason="this fact does not tell it")


def _consistent(terms: RewardTerms) -> None:
    wrong = {
        "give": bool(terms.give) == bool(terms.tiers),
        "level": terms.level == 2 and terms.to != "sharer",
        "tiers": _disordered(terms.tiers) or (bool(terms.tiers) and terms.to == "both"),
        "ends_at": terms.ends_at is not None and terms.ends_at <= (terms.starts_at or 0),
        "limits.shards": (terms.limits.total or UNLIMITED) < terms.limits.shards,
    }
    why = {
        "give": "either give or tiers",
        "level": "a second level is the sharer's own sharer: to is sharer",
        "tiers": "counts that grow, each with a gift, to the sharer or to the actor",
        "ends_at": "it ends before it starts",
        "limits.shards": "more shards than there is to give",
    }
    for field_name, is_wrong in wrong.items():
        if is_wrong:
            raise Invalid(field=field_name, reason=why[field_name])


def _disordered(tiers: Sequence[Tier]) -> bool:
    counts = [tier.at for tier in tiers]
    return counts != sorted(set(counts)) or not all(tier.give for tier in tiers)


def all_gifts(terms: RewardTerms) -> list[tuple[str, RewardGift]]:
    """Every gift that a rule names, and where.

    Raises:
        Invalid: the same gift twice in one place.
    """
    found: list[tuple[str, RewardGift]] = []
    for place, gifts in [
        ("give", terms.give),
        *((f"tiers[{n}].give", t.give) for n, t in enumerate(terms.tiers)),
    ]:
        if len({(gift.kind, gift.id) for gift in gifts}) != len(gifts):
            raise Invalid(field=place, reason="the same gift twice")
        found += [(f"{place}[{n}]", gift) for n, gift in enumerate(gifts)]
    return found


def _valid_gift(
    gift: RewardGift, field_name: str, terms: RewardTerms, fact: FactSpec, kinds: Mapping[str, GiftSpec]
) -> None:
    kind = kinds.get(gift.kind)
    if kind is None:
        raise Invalid(field=f"{field_name}.kind", reason="no such gift", known=sorted(kinds))
    _fair(gift, field_name, terms)
    if kind.needs_id != (gift.id is not None):
        raise Invalid(field=f"{field_name}.id", reason="needed" if kind.needs_id else "not for this gift")
    told = [gift.amount, gift.per_yuan, gift.odds]
    ways = sum(way is not None for way in told)
    if ways != 1 if kind.counted else ways:
        raise Invalid(
            field=f"{field_name}.amount",
            reason="one of amount, per_yuan and odds" if kind.counted else "this gift is always one",
        )
    if gift.per_yuan is not None and "amount_fen" not in fact.values:
        raise Invalid(field=f"{field_name}.per_yuan", reason="this fact has no amount of money")


def _fair(gift: RewardGift, field_name: str, terms: RewardTerms) -> None:
    if gift.between is not None or (gift.odds and sum(chance.bps for chance in gift.odds) != BPS):
        raise _forbidden("no_undisclosed_chance", f"{field_name}.{'between' if gift.between else 'odds'}")
    if gift.odds and (terms.to != "actor" or terms.where.invited):
        raise _forbidden("no_chance_for_sharing", f"{field_name}.odds")


# --- when it holds ------------------------------------------------------------------------------------------

Get = Callable[[str], Any]
"""What is known of an occurrence, by name; None: it is not so; KeyError: it cannot be told any more."""

NEEDS = {
    "head": "head",
    "min_amount_fen": "amount_fen",
    "campaigns": "campaign",
    "products": "product",
    "categories": "category",
    "channels": "channel",
    "invited": "sharer",
    "programs": "program",
    "new_member": "registered_at",
    "min_level": "level",
    "first_order": "first_order",
}
"""By condition, the value it looks at; in the order of what they cost to know."""


def conditions(where: Where) -> list[str]:
    """The conditions that are set, cheapest first."""
    return [
        name
        for name in NEEDS
        if getattr(where, name) not in (None, False) or (name == "head" and where.head is False)
    ]


def holds(terms: RewardTerms, get: Get) -> bool:
    """Whether all conditions of a rule hold, asking for no more than it takes."""
    return all(_holds(name, terms, get(NEEDS[name])) for name in conditions(terms.where))


def _holds(name: str, terms: RewardTerms, value: Any) -> bool:
    if name == "head":
        return bool(value) == terms.where.head
    if value is None:
        return False
    least = {
        "min_amount_fen": terms.where.min_amount_fen,
        "min_level": terms.where.min_level,
        "new_member": terms.starts_at,
    }
    if name in least:
        return bool(value >= (least[name] or 0))
    if name in ("invited", "first_order"):
        return bool(value)
    named = getattr(terms.where, name)
    return any(one in named for one in value) if isinstance(value, list) else value in named


def within(terms: RewardTerms, at: int) -> bool:
    """Whether the rule's own time covers ``at``."""
    return (terms.starts_at or 0) <= at < (terms.ends_at or at + 1)


def asked(terms: RewardTerms) -> set[str]:
    """The values that a rule looks at, whoever it gives to included."""
    names = {NEEDS[name] for name in conditions(terms.where)}
    if terms.to != "actor":
        names.add("sharer" if terms.level == 1 else "upper")
    if any(gift.per_yuan for gift in [*terms.give, *(gift for tier in terms.tiers for gift in tier.give)]):
        names.add("amount_fen")
    return names


def beneficiaries(terms: RewardTerms, actor: str, get: Get) -> list[tuple[Role, str]]:
    """Who earns by an occurrence; nobody earns by bringing themselves."""
    found: list[tuple[Role, str]] = [("actor", actor)] if terms.to != "sharer" else []
    if terms.to != "actor":
        sharer = get("sharer" if terms.level == 1 else "upper")
        if sharer and sharer != actor:
            found.append(("sharer", sharer))
    return found


# --- what it gives ------------------------------------------------------------------------------------------


class Piece(NamedTuple):
    """A gift as it is given: its kind, how much of it, of which."""

    kind: str
    amount: int
    id: str | None


def pieces(gifts: Sequence[RewardGift], *, amount_fen: int, draw: int) -> list[Piece]:
    """The gifts with their amounts; what comes to nothing is left out. ``draw`` is chance, from 0 to 9,999."""
    made = [Piece(gift.kind, _amount(gift, amount_fen=amount_fen, draw=draw), gift.id) for gift in gifts]
    return [piece for piece in made if piece.amount > 0]


def _amount(gift: RewardGift, *, amount_fen: int, draw: int) -> int:
    if gift.odds:
        return drawn(gift.odds, draw)
    amount = amount_fen * gift.per_yuan // 100 if gift.per_yuan else gift.amount or 1
    return min(amount, gift.at_most or amount)


def shrunk(given: Sequence[Piece], gifts: Sequence[RewardGift], *, amount_fen: int) -> list[Piece]:
    """What is left of what was given, when so much is left of the amount: less of what goes by the yuan."""
    by_yuan = {(gift.kind, gift.id): gift for gift in gifts if gift.per_yuan}
    most = {key: _amount(gift, amount_fen=amount_fen, draw=0) for key, gift in by_yuan.items()}
    kept = [
        piece._replace(amount=min(piece.amount, most.get((piece.kind, piece.id), piece.amount)))
        for piece in given
    ]
    return [piece for piece in kept if piece.amount > 0]


def drawn(odds: Sequence[Chance], draw: int) -> int:
    """The outcome that a draw from 0 to 9,999 falls on."""
    for chance in odds:
        if draw < chance.bps:
            return chance.amount
        draw -= chance.bps
    raise ValueError("odds add up to ten thousand")


def reached(tiers: Sequence[Tier], n: int) -> Tier | None:
    """The tier that the ``n``-th count reaches."""
    return next((tier for tier in tiers if tier.at == n), None)


def changed(by: int, *, left: Sequence[int]) -> list[int] | None:
    """What a change of the total adds to each shard; None: more would be taken than is left."""
    if by >= 0:
        return evenly(by, len(left))
    if sum(left) + by < 0:
        return None
    taken, owed = [], -by
    for have in left:
        part = min(max(have, 0), owed)
        taken.append(-part)
        owed -= part
    return taken if owed == 0 else None


# --- what it would have given -------------------------------------------------------------------------------


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """An occurrence of the past, with what was known of it."""

    key: str
    actor: str
    day: str
    known: Mapping[str, Any]


class Tally(msgspec.Struct):
    """What a rule would have done."""

    looked_at: int = 0
    matched: int = 0
    granted: int = 0
    undecided: int = 0
    missed: Counter[str] = msgspec.field(default_factory=Counter)
    given: Counter[str] = msgspec.field(default_factory=Counter)
    members: set[str] = msgspec.field(default_factory=set)


Draw = Callable[[str, str], int]
"""Chance for an occurrence and a member."""


def tried(terms: RewardTerms, happened: Iterable[Happened], *, draw: Draw) -> Tally:
    """What a rule would have given for these occurrences, in their order, from a full purse."""
    tally, counts = Tally(), _Counts(terms)
    for one in happened:
        tally.looked_at += 1
        try:
            if not holds(terms, one.known.__getitem__):
                continue
            to = beneficiaries(terms, one.actor, one.known.__getitem__)
        except KeyError:
            tally.undecided += 1
            continue
        tally.matched += bool(to)
        for _, member_id in to:
            _try(terms, one, member_id, counts, tally, draw)
    return tally


class _Counts:
    """What limits look at, in memory."""

    def __init__(self, terms: RewardTerms) -> None:
        self.left = terms.limits.total or UNLIMITED
        self.members: defaultdict[str, int] = defaultdict(int)
        self.days: defaultdict[tuple[str, str], int] = defaultdict(int)


def _try(
    terms: RewardTerms, one: Happened, member_id: str, counts: _Counts, tally: Tally, draw: Draw
) -> None:
    limits, day = terms.limits, (member_id, one.day)
    if counts.members[member_id] >= (limits.per_member or UNLIMITED):
        tally.missed["per_member"] += 1
        return
    if counts.days[day] >= (limits.per_day or UNLIMITED):
        tally.missed["per_day"] += 1
        return
    tier = reached(terms.tiers, counts.members[member_id] + 1)
    gifts = terms.give if not terms.tiers else tier.give if tier else []
    made = pieces(gifts, amount_fen=one.known.get("amount_fen") or 0, draw=draw(one.key, member_id))
    paid = bool(made) and counts.left > 0
    if made and not paid:
        tally.missed["budget"] += 1
    if paid:
        counts.left -= 1
        tally.granted += 1
        tally.members.add(member_id)
        tally.given.update({piece.kind: piece.amount for piece in made})
    if terms.tiers or paid:
        counts.members[member_id] += 1
        counts.days[day] += 1


# --- how it is told -----------------------------------------------------------------------------------------

GiftWords = Callable[[str, str | None, int | str, str], str]
"""A gift in words: its kind, of which, how much of it, in which language."""


def sentence(terms: RewardTerms, fact: FactWords, *, gift: GiftWords, lang: Lang) -> str:
    """The whole rule for people: when, what, to whom, how often."""
    zh = lang == "zh"
    when, where = _when(terms, fact, zh=zh), _where(terms.where, zh=zh)
    if where:
        when = f"{when}（{'，'.join(where)}）" if zh else f"{when} ({', '.join(where)})"
    what = _tiers_told(terms, gift=gift, zh=zh) if terms.tiers else _gives_told(terms, gift=gift, zh=zh)
    how_often = _limits_told(terms.limits, zh=zh)
    if zh:
        return f"{when}，{what}。" + (f"{'，'.join(how_often)}。" if how_often else "")
    return " ".join(f"{part[0].upper()}{part[1:]}." for part in (f"{when}: {what}", *how_often))


def _when(terms: RewardTerms, fact: FactWords, *, zh: bool) -> str:
    if terms.to == "actor":
        return fact.self_zh if zh else fact.self_en
    if terms.level == 2:
        return f"好友邀请的{fact.friend_zh}" if zh else f"when your friend's friend {fact.friend_en}"
    return f"你邀请的{fact.friend_zh}" if zh else f"when a friend you brought {fact.friend_en}"


def _where(where: Where, *, zh: bool) -> list[str]:
    told = {
        "new_member": ("新会员", "a new member"),
        "first_order": ("首单", "the first order"),
        "invited": ("由好友邀请", "invited by a friend"),
        "head": ("团长", "the head of the group") if where.head else ("参团者", "not the head"),
        "min_amount_fen": (
            f"满{yuan(where.min_amount_fen or 0)}",
            f"{yuan(where.min_amount_fen or 0)} or more",
        ),
        "campaigns": ("指定活动", "certain campaigns"),
        "products": ("指定商品", "certain products"),
        "categories": ("指定分类", "certain categories"),
        "programs": ("指定小程序", "certain mini-programs"),
        "channels": ("指定渠道", "certain channels"),
        "min_level": (f"{where.min_level}级及以上会员", f"members of level {where.min_level} or higher"),
    }
    return [told[name][0 if zh else 1] for name in conditions(where)]


def _gives_told(terms: RewardTerms, *, gift: GiftWords, zh: bool) -> str:
    gifts = (" + " if zh else " and ").join(_gift_told(one, gift=gift, zh=zh) for one in terms.give)
    if terms.to == "both":
        return f"双方各得{gifts}" if zh else f"both of you get {gifts}"
    return f"你得{gifts}" if zh else f"you get {gifts}"


def _tiers_told(terms: RewardTerms, *, gift: GiftWords, zh: bool) -> str:
    told = []
    for tier in terms.tiers:
        gifts = (" + " if zh else " and ").join(_gift_told(one, gift=gift, zh=zh) for one in tier.give)
        told.append(f"累计{tier.at}次得{gifts}" if zh else f"{tier.at} of them give {gifts}")
    return ("；" if zh else "; ").join(told)


def _gift_told(one: RewardGift, *, gift: GiftWords, zh: bool) -> str:
    lang = "zh" if zh else "en"
    if one.odds:
        chances = [f"{gift(one.kind, one.id, c.amount, lang)} {c.bps / 100:g}%" for c in one.odds]
        return f"抽奖（{'，'.join(chances)}）" if zh else f"a draw ({', '.join(chances)})"
    if one.per_yuan:
        base = gift(one.kind, one.id, one.per_yuan, lang)
        most = f"（最多{one.at_most}）" if zh else f" (at most {one.at_most})"
        return (f"每元{base}" if zh else f"{base} per yuan") + (most if one.at_most else "")
    return gift(one.kind, one.id, one.amount or 1, lang)


def _limits_told(limits: Limits, *, zh: bool) -> list[str]:
    told = [
        (limits.per_member, "每人最多{}次", "{} times each at most"),
        (limits.per_day, "每人每天最多{}次", "{} times a day each at most"),
        (limits.total, "共{}份，发完即止", "{} in all, while they last"),
    ]
    return [(in_zh if zh else in_en).format(n) for n, in_zh, in_en in told if n is not None]


_REASONS = {
    "per_member": ("已达每人上限", "The limit for one member was reached."),
    "per_day": ("已达当日上限", "The limit for one day was reached."),
    "budget": ("奖励已发完", "All rewards of this rule had been given."),
    "blocked": ("账号不可领取奖励", "The account could not take rewards."),
}


def reason_told(reason: str, *, lang: Lang) -> str:
    """Why a grant was missed, in words."""
    zh, en = _REASONS.get(reason, ("奖品当时不可发放", "The gift could not be given at that time."))
    return zh if lang == "zh" else en
