"""The rules of rewards: what may be asked for, when it holds, what it comes to, and how it is told."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import Invalid
from chalicelib.rewards import rules
from chalicelib.rewards.rules import (
    PLATFORM_RULES,
    UNLIMITED,
    AgainstPlatformRules,
    FactSpec,
    FactWords,
    GiftSpec,
    Happened,
    RewardGift,
    RewardTerms,
)
from tests.unit.test_imports import house, imports

WORDS = FactWords(self_zh="下单", self_en="when you order", friend_zh="好友下单", friend_en="places an order")
FACTS = {
    "order.paid": FactSpec(words=WORDS, values=frozenset(rules.NEEDS.values()) - {"head"}, paid=True),
    "member.registered": FactSpec(words=WORDS, values=frozenset({"sharer", "channel", "program"})),
}
GIFTS = {
    "points": GiftSpec(needs_id=False, counted=True),
    "coupon": GiftSpec(needs_id=True, counted=False),
}
POINTS: dict[str, Any] = {"kind": "points", "amount": 10}


def terms(**told: Any) -> RewardTerms:
    """What a rule says: ten points to the sharer for an order, unless told otherwise."""
    given: dict[str, Any] = {"title": "Tea", "on": "order.paid", "to": "sharer"}
    if "tiers" not in told:
        given["give"] = [POINTS]
    return msgspec.convert({**given, **told}, RewardTerms)


def valid(**told: Any) -> None:
    """Whether such a rule may be made."""
    rules.valid(terms(**told), facts=FACTS, gifts=GIFTS)


# --- the platform's rules -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "field", "told"),
    [
        ("no_reward_for_sharing", "on", {"on": "link.shared"}),
        ("no_reward_for_sharing", "on", {"on": "share"}),
        ("no_reward_for_sharing", "on", {"on": "link.minted"}),
        ("no_reward_for_visits", "on", {"on": "link.visited"}),
        ("no_reward_for_visits", "on", {"on": "visit"}),
        ("no_reward_for_visits", "on", {"on": "page_viewed"}),
        (
            "no_undisclosed_chance",
            "give[0].between",
            {"give": [{"kind": "points", "between": {"least": 1, "most": 9}}]},
        ),
        (
            "no_undisclosed_chance",
            "give[0].odds",
            {"give": [{"kind": "points", "odds": [{"amount": 1, "bps": 9999}]}]},
        ),
        (
            "no_chance_for_sharing",
            "give[0].odds",
            {"give": [{"kind": "points", "odds": [{"amount": 1, "bps": 10_000}]}]},
        ),
        (
            "no_chance_for_sharing",
            "give[0].odds",
            {
                "to": "actor",
                "where": {"invited": True},
                "give": [{"kind": "points", "odds": [{"amount": 1, "bps": 10_000}]}],
            },
        ),
        ("no_head_count", "counting", {"counting": "team", "tiers": [{"at": 3, "give": [POINTS]}]}),
        ("no_head_count", "level", {"on": "member.registered", "level": 2}),
        ("no_head_count", "level", {"level": 2, "tiers": [{"at": 3, "give": [POINTS]}]}),
        ("two_levels_at_most", "level", {"level": 3}),
    ],
)
def test_what_the_platform_forbids_is_refused_by_name(rule: str, field: str, told: dict[str, Any]) -> None:
    with pytest.raises(AgainstPlatformRules) as refused:
        valid(**told)

    details = refused.value.details
    assert (details["rule"], details["field"]) == (rule, field)
    zh, en, source = PLATFORM_RULES[rule]
    assert (refused.value.message("zh"), refused.value.message("en")) == (zh, en)
    assert details["source"] == source and source


def test_every_rule_of_the_platform_is_tried_above() -> None:
    tried = {case[0] for case in test_what_the_platform_forbids_is_refused_by_name.pytestmark[0].args[1]}

    assert tried == set(PLATFORM_RULES)


def test_what_friends_do_may_be_rewarded_twice_over_and_chances_that_are_published() -> None:
    valid(to="both")
    valid(level=2)
    valid(on="member.registered", tiers=[{"at": n, "give": [POINTS]} for n in (1, 3, 10)])
    valid(
        to="actor",
        give=[{"kind": "points", "odds": [{"amount": 1, "bps": 9000}, {"amount": 50, "bps": 1000}]}],
    )


def test_the_room_knows_nothing_of_visits() -> None:
    """A1: what counts visits is imported by no file of the room."""
    room = {path: source for path, source in house().items() if "/rewards/" in path}
    names = {one.name for path, source in room.items() for one in imports(path, source)}

    assert len(room) > 8 and not any("visits" in name for name in names)


# --- what else is wrong -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("on", {"on": "comet.seen"}),
        ("where.first_order", {"on": "member.registered", "where": {"first_order": True}}),
        ("where.head", {"where": {"head": False}}),
        ("give", {"give": []}),
        ("give", {"give": [POINTS], "tiers": [{"at": 1, "give": [POINTS]}]}),
        ("give", {"give": [POINTS, POINTS]}),
        ("give[0].kind", {"give": [{"kind": "gold", "amount": 1}]}),
        ("give[0].id", {"give": [{"kind": "coupon"}]}),
        ("give[0].id", {"give": [{**POINTS, "id": "x"}]}),
        ("give[0].amount", {"give": [{"kind": "points"}]}),
        ("give[0].amount", {"give": [{**POINTS, "per_yuan": 1}]}),
        ("give[0].amount", {"give": [{"kind": "coupon", "id": "c", "amount": 2}]}),
        ("give[0].per_yuan", {"on": "member.registered", "give": [{"kind": "points", "per_yuan": 1}]}),
        ("level", {"level": 2, "to": "both"}),
        ("tiers", {"to": "both", "tiers": [{"at": 1, "give": [POINTS]}]}),
        ("tiers", {"tiers": [{"at": 3, "give": [POINTS]}, {"at": 1, "give": [POINTS]}]}),
        ("tiers", {"tiers": [{"at": 3, "give": []}]}),
        ("ends_at", {"starts_at": 5, "ends_at": 5}),
        ("limits.shards", {"limits": {"total": 3, "shards": 4}}),
    ],
)
def test_what_is_wrong_is_named(field: str, told: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        valid(**told)

    assert not isinstance(refused.value, AgainstPlatformRules)
    assert refused.value.details["field"] == field


# --- when it holds ------------------------------------------------------------------------------------------

KNOWN: dict[str, Any] = {
    "head": False,
    "amount_fen": 5000,
    "campaign": "c",
    "product": "p",
    "channel": "wechat",
    "sharer": "mbr_a",
    "program": "demo",
    "registered_at": 100,
    "level": 2,
    "first_order": True,
}


@pytest.mark.parametrize(
    ("holds", "fails"),
    [
        ({"head": False}, {"head": True}),
        ({"min_amount_fen": 5000}, {"min_amount_fen": 5001}),
        ({"campaigns": ["b", "c"]}, {"campaigns": ["d"]}),
        ({"products": ["p"]}, {"products": ["q"]}),
        ({"channels": ["wechat"]}, {"channels": ["qr"]}),
        ({"programs": ["demo"]}, {"programs": ["x"]}),
        ({"min_level": 2}, {"min_level": 3}),
    ],
)
def test_each_condition_holds_and_fails(holds: dict[str, Any], fails: dict[str, Any]) -> None:
    assert rules.holds(terms(where=holds), KNOWN.get)
    assert not rules.holds(terms(where=fails), KNOWN.get)
    nothing: dict[str, Any] = {}
    assert not rules.holds(terms(where={**holds, "invited": True}), nothing.get)


def test_a_member_is_new_when_they_came_after_the_rule_began() -> None:
    assert rules.holds(terms(where={"new_member": True}, starts_at=100), KNOWN.get)
    assert not rules.holds(terms(where={"new_member": True}, starts_at=101), KNOWN.get)


def test_no_more_is_asked_than_it_takes() -> None:
    asked: list[str] = []

    def get(name: str) -> Any:
        asked.append(name)
        return KNOWN[name]

    where = {"min_level": 2, "first_order": True, "min_amount_fen": 5001, "new_member": True}
    assert not rules.holds(terms(where=where), get)
    assert asked == ["amount_fen"]


@pytest.mark.parametrize(
    ("to", "who"),
    [
        ("actor", [("actor", "mbr_b")]),
        ("sharer", [("sharer", "mbr_a")]),
        ("both", [("actor", "mbr_b"), ("sharer", "mbr_a")]),
    ],
)
def test_who_earns(to: str, who: list[tuple[str, str]]) -> None:
    assert rules.beneficiaries(terms(to=to), "mbr_b", KNOWN.get) == who


def test_nobody_earns_by_bringing_themselves() -> None:
    assert rules.beneficiaries(terms(to="sharer"), "mbr_a", KNOWN.get) == []


# --- amounts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gift", "fen", "amount"),
    [
        ({"amount": 7}, 0, 7),
        ({"per_yuan": 2}, 199, 3),
        ({"per_yuan": 1}, 99, None),
        ({"per_yuan": 1, "at_most": 50}, 8900, 50),
    ],
)
def test_an_amount_is_rounded_down_and_nothing_is_left_out(gift: Any, fen: int, amount: int | None) -> None:
    pieces = rules.pieces([RewardGift(kind="points", **gift)], amount_fen=fen, draw=0)

    assert [piece.amount for piece in pieces] == ([] if amount is None else [amount])


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=6))
def test_published_odds_are_the_odds(bps: list[int]) -> None:
    bps[-1] += 10_000 - sum(bps) if sum(bps) <= 10_000 else 0
    if sum(bps) != 10_000:
        return
    odds = [rules.Chance(amount=n + 1, bps=share) for n, share in enumerate(bps)]

    drawn = [rules.drawn(odds, draw) for draw in range(10_000)]

    assert [drawn.count(n + 1) for n in range(len(bps))] == bps


@given(st.lists(st.integers(0, 50), min_size=1, max_size=16), st.integers(-900, 900))
def test_a_total_is_changed_exactly_or_not_at_all(left: list[int], by: int) -> None:
    parts = rules.changed(by, left=left)

    if by < -sum(left):
        assert parts is None
    else:
        assert parts is not None and sum(parts) == by
        assert all(have + part >= 0 for have, part in zip(left, parts, strict=True))


# --- dry runs -----------------------------------------------------------------------------------------------

LIMITS = st.none() | st.integers(1, 4)
PEOPLE = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["xy", None]), st.integers(0, 2)), max_size=30
)


@given(PEOPLE, LIMITS, LIMITS, LIMITS, st.booleans())
def test_a_dry_run_keeps_every_limit_and_accounts_for_everybody(
    people: list[tuple[str, str | None, int]],
    per_member: int | None,
    per_day: int | None,
    total: int | None,
    both: bool,
) -> None:
    told = {"per_member": per_member, "per_day": per_day, "total": total}
    rule = terms(to="both" if both else "actor", limits={k: v for k, v in told.items() if v})
    happened = [
        Happened(key=str(n), actor=actor, day=str(day), known={**KNOWN, "sharer": sharer})
        for n, (actor, sharer, day) in enumerate(people)
    ]

    tally = rules.tried(rule, happened, draw=lambda *_: 0)

    owed = len(people) + sum(bool(sharer) for _, sharer, _ in people) * both
    assert tally.granted + sum(tally.missed.values()) == owed
    assert tally.granted <= (total or UNLIMITED)
    assert tally.granted <= (per_member or UNLIMITED) * len(tally.members)
    assert tally.given["points"] == 10 * tally.granted
    if not told["per_member"] and not told["per_day"]:
        assert tally.granted == min(owed, total or owed)


def test_a_dry_run_counts_tiers() -> None:
    rule = terms(to="actor", tiers=[{"at": n, "give": [{"kind": "points", "amount": n}]} for n in (1, 3)])
    happened = [Happened(key=str(n), actor="a", day="d", known=KNOWN) for n in range(5)]

    tally = rules.tried(rule, happened, draw=lambda *_: 0)

    assert (tally.granted, tally.given["points"]) == (2, 4)


# --- words --------------------------------------------------------------------------------------------------


def gift_words(kind: str, gift_id: str | None, amount: int | str, lang: str) -> str:
    """Points, or a coupon."""
    if kind == "coupon":
        return "一张券" if lang == "zh" else "a coupon"
    return f"{amount}积分" if lang == "zh" else f"{amount} points"


@pytest.mark.parametrize(
    ("told", "zh", "en"),
    [
        (
            {"to": "both", "where": {"first_order": True, "min_amount_fen": 5000}, "limits": {"per_day": 3}},
            "你邀请的好友下单（满¥50.00，首单），双方各得10积分。每人每天最多3次。",
            "When a friend you brought places an order (¥50.00 or more, the first order): both of you get"
            " 10 points. 3 times a day each at most.",
        ),
        (
            {
                "to": "actor",
                "give": [{"kind": "points", "per_yuan": 1, "at_most": 50}, {"kind": "coupon", "id": "c"}],
            },
            "下单，你得每元1积分（最多50） + 一张券。",
            "When you order: you get 1 points per yuan (at most 50) and a coupon.",
        ),
        (
            {"tiers": [{"at": 1, "give": [POINTS]}, {"at": 3, "give": [POINTS]}], "limits": {"total": 100}},
            "你邀请的好友下单，累计1次得10积分；累计3次得10积分。共100份，发完即止。",
            "When a friend you brought places an order: 1 of them give 10 points; 3 of them give 10 points."
            " 100 in all, while they last.",
        ),
        (
            {
                "to": "actor",
                "give": [{"kind": "points", "odds": [{"amount": 1, "bps": 9950}, {"amount": 9, "bps": 50}]}],
            },
            "下单，你得抽奖（1积分 99.5%，9积分 0.5%）。",
            "When you order: you get a draw (1 points 99.5%, 9 points 0.5%).",
        ),
    ],
)
def test_a_rule_is_told_to_people(told: dict[str, Any], zh: str, en: str) -> None:
    assert rules.sentence(terms(**told), WORDS, gift=gift_words, lang="zh") == zh
    assert rules.sentence(terms(**told), WORDS, gift=gift_words, lang="en") == en


def test_every_reason_has_words() -> None:
    for reason in ("per_member", "per_day", "budget", "blocked", "coupon_sold_out"):
        assert rules.reason_told(reason, lang="zh") != rules.reason_told(reason, lang="en")
