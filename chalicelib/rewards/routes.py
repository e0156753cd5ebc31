"""HTTP for the mini-program: what can be earned, and what a member has earned."""

from chalicelib.core import cursors, doors
from chalicelib.core.http import Api, Call, Items, Listing
from chalicelib.rewards import lists, rules, service
from chalicelib.rewards.lists import Standing
from chalicelib.rewards.models import Listed
from chalicelib.rewards.schemas import (
    MyReward,
    NotGiven,
    RewardAnswer,
    RewardGiftAnswer,
    RewardList,
    RewardProgress,
    TierProgress,
)
from chalicelib.rewards.service import InForce

api = Api(__name__)


@api.get("/v1/rewards", door=doors.PUBLIC)
def list_rewards(call: Call) -> RewardList:
    """What can be earned, in words, and how far the signed-in member is."""
    offers = lists.offered(now=call.now)
    session = call.caller.session
    far = lists.standings(session.member_id, offers, now=call.now) if session else {}
    return RewardList(
        items=[_reward(rule, far.get(rule.rule_id), call) for rule in offers],
        now=call.now,
    )


@api.get("/v1/me/rewards", door=doors.MEMBER, refuses=[cursors.CursorInvalid])
def list_my_rewards(call: Call, query: Listing) -> Items[MyReward]:
    """What the member got and for what, and what they missed and why, newest first."""
    where = f"rewards#{call.member_id}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = lists.mine(call.member_id, limit=query.limit, after=after)
    next_page = cursors.seal(page.next_key, where=where, now=call.now)
    return Items(items=[_mine(row, call) for row in page.rows], next=next_page, now=call.now)


def _reward(rule: InForce, far: Standing | None, call: Call) -> RewardAnswer:
    terms = rule.terms
    progress = _progress(rule, far) if far else None
    spent = terms.limits.total is not None and service.left(rule, now=call.now) < 1
    full = progress is not None and 0 in (progress.left, progress.left_today)
    return RewardAnswer(
        id=rule.rule_id,
        title=terms.title,
        text=lists.told(terms, lang=call.lang, now=call.now),
        on=terms.on,
        to=terms.to,
        starts_at=terms.starts_at or 0,
        ends_at=terms.ends_at,
        available=not (spent or full),
        why_not="budget" if spent else "limit" if full else None,
        progress=progress,
    )


def _progress(rule: InForce, far: Standing) -> RewardProgress | None:
    if far.counted is None and far.today is None:
        return None
    limits, tiers, counted = rule.terms.limits, rule.terms.tiers, far.counted or 0
    upcoming = [tier.at for tier in tiers if tier.at > counted]
    return RewardProgress(
        counted=counted,
        counted_today=far.today,
        left=max(0, limits.per_member - counted) if limits.per_member else None,
        left_today=max(0, limits.per_day - (far.today or 0)) if limits.per_day else None,
        tiers=[TierProgress(at=tier.at, reached=tier.at <= counted) for tier in tiers],
        to_next_tier=upcoming[0] - counted if upcoming else None,
    )


def _mine(row: Listed, call: Call) -> MyReward:
    return MyReward(
        id=row.grant_id,
        reward_id=row.rule_id,
        title=row.title,
        on=row.fact,
        role=row.role,
        occurrence=row.occurrence,
        at=row.at,
        state=row.state or "",
        gifts=[_gift(*gift, call=call) for gift in row.gifts],
        not_given=[NotGiven(gift=gift, reason=reason) for gift, reason in row.short.items()],
        reason=row.reason,
        reason_text=rules.reason_told(row.reason, lang=call.lang) if row.reason else None,
    )


def _gift(kind: str, amount: int, gift_id: str | None, *, call: Call) -> RewardGiftAnswer:
    text = lists.gift_told(kind, gift_id, amount, call.lang, now=call.now)
    return RewardGiftAnswer(kind=kind, id=gift_id, amount=amount, text=text)
