"""What people see of promoters, rates and commissions: composed here for all three doors."""

from typing import Any, cast

import msgspec

from chalicelib.commissions import explaining, invitees, promoters, rates, rules, service, terms
from chalicelib.commissions.models import Commission, Earned, Promoter, Rate, Terms
from chalicelib.commissions.rules import LEVELS, DistributionTerms
from chalicelib.commissions.schemas import (
    ChangeAnswer,
    CommissionAnswer,
    CommissionLine,
    CommissionRow,
    Explanation,
    InviteeAnswer,
    InviteeStep,
    InviteeTimeline,
    MonthAnswer,
    NextTier,
    PolicyShown,
    PromoterAnswer,
    PromoterRow,
    RateAnswer,
    RateShown,
    RulesAnswer,
    StepShown,
    TermsAnswer,
    TierShown,
)
from chalicelib.core import clock, config, ledger
from chalicelib.core.http import Call
from chalicelib.members import service as members
from chalicelib.members.rules import masked
from chalicelib.sharing import invites, policies
from chalicelib.sharing import service as sharing
from chalicelib.sharing.invitees import Step
from chalicelib.withdrawals import terms as withdrawal_terms
from chalicelib.withdrawals import words as withdrawal_words

SHOWN_RATES = 100


# --- promoters ----------------------------------------------------------------------------------------------


def promoter(row: Promoter, call: Call) -> PromoterAnswer:
    """A promoter as they see themselves."""
    said, counts = terms.in_force(now=call.now), promoters.counts_of(row.member_id)
    standing = ledger.standing(owner=row.member_id, book=service.MONEY, now=call.now)
    active = row.state == "active"
    link = promoters.own_link(row.member_id, now=call.now) if active else None
    poster = _poster(link, call) if link is not None else {}
    return PromoterAnswer(
        state=row.state,  # type: ignore[arg-type]
        tier=row.tier,
        tier_name=_tier_name(said, row.tier),
        terms_version=row.terms_version,
        agreed_at=row.agreed_at,
        reason=row.reason,
        invite_code=invites.code_of(row.member_id, now=call.now) if active else None,
        **poster,
        invitees=counts["invitees"],
        orders=counts["orders"],
        settled_fen=counts["settled_fen"],
        balance_fen=standing.balance,
        debt_fen=standing.debt,
        next_tier=_next_tier(said, row.tier, counts),
        now=call.now,
    )


def _poster(link: sharing.Link, call: Call) -> dict[str, Any]:
    """What a promoter's poster is drawn of."""
    return {
        "link": link.code,
        "link_url": f"{call.base_url}/s/{link.code}",
        "qr_path": f"/v1/links/{link.code}/qr",
        "card": sharing.card(link, now=call.now, lang=call.lang, open_names=True),
    }


def _tier_name(said: DistributionTerms, tier: int) -> str | None:
    return said.tiers[tier - 1].name if tier <= len(said.tiers) else None


def _next_tier(said: DistributionTerms, tier: int, counts: dict[str, int]) -> NextTier | None:
    if tier >= len(said.tiers):
        return None
    following = said.tiers[tier]
    missing = {name: max(0, (getattr(following, name) or 0) - counts[name]) for name in rules.CONDITIONS}
    return NextTier(
        tier=tier + 1,
        name=following.name,
        missing_settled_fen=missing["settled_fen"],
        missing_orders=missing["orders"],
        missing_invitees=missing["invitees"],
    )


def promoter_row(row: Promoter) -> PromoterRow:
    """A promoter as operators see them."""
    return PromoterRow(
        member_id=row.member_id,
        state=row.state or "",
        tier=row.tier,
        terms_version=row.terms_version,
        agreed_at=row.agreed_at,
        applied_at=row.applied_at,
        active_at=row.active_at,
        made_by=row.made_by,
        reason=row.reason,
    )


# --- the rules in force -------------------------------------------------------------------------------------


def rules_in_force(call: Call) -> RulesAnswer:
    """What a promoter agrees to, in numbers and in words."""
    current = terms.current(now=call.now)
    said = terms.said(current)
    policy = policies.current(now=call.now)
    in_force = rates.in_force(at=call.now, now=call.now)[:SHOWN_RATES]
    binds = policies.terms(policy)
    words = explaining.rules_told(
        said, mode=binds.mode, window_days=binds.window_days, depth=binds.depth, lang=call.lang
    )
    out = withdrawal_terms.in_force(now=call.now)
    return RulesAnswer(
        version=current.n,
        open=said.open,
        approval="automatic" if said.auto_approval else "audited",
        earned_by_spend_fen=said.earned_by_spend_fen,
        hold_days=said.hold_days,
        policy=PolicyShown(
            version=policy.n,
            mode=binds.mode,
            depth=binds.depth,
            window_days=binds.window_days,
            protect_days=binds.protect_days,
            renew_by_purchase=binds.renew_by_purchase,
            self_purchase=binds.self_purchase,
        ),
        rates=[rate_shown(rate, lang=call.lang) for rate in in_force],
        tiers=[_tier(number, tier) for number, tier in enumerate(said.tiers, start=1)],
        steps=[StepShown(from_fen=step.from_fen, bonus_bps=step.bonus_bps) for step in said.steps],
        withdrawals=withdrawal_words.shown(out),
        text=said.text_zh if call.lang == "zh" else said.text_en,
        words=[
            *words,
            *(explaining.rate_sentence(rate, lang=call.lang) for rate in in_force),
            *withdrawal_words.told(out, lang=call.lang),
        ],
        now=call.now,
    )


def _tier(number: int, tier: rules.TierTerms) -> TierShown:
    return TierShown(
        tier=number,
        name=tier.name,
        settled_fen=tier.settled_fen,
        orders=tier.orders,
        invitees=tier.invitees,
    )


def rate_shown(rate: rules.Rate, *, lang: str) -> RateShown:
    """A rate in force, as everybody may know it."""
    return RateShown(
        **msgspec.structs.asdict(rate.scope),
        source=rules.came_from(rate.scope),
        basis=rate.basis,
        value=rate.value,
        text=explaining.rate_sentence(rate, lang=lang),
    )


def rate_row(row: Rate) -> RateAnswer:
    """A rate as operators see it."""
    return RateAnswer(
        rate_id=row.rate_id,
        version=row.n,
        state=row.state or "",
        scope=msgspec.convert(row.scope, rules.Scope),
        basis=cast(rules.Basis, row.basis),
        value=row.value,
        since=row.since,
    )


def rate_version(rate: rules.Rate) -> RateAnswer:
    """What a rate said."""
    return RateAnswer(
        rate_id=rate.rate_id,
        version=rate.n,
        state="on" if rate.on else "off",
        scope=rate.scope,
        basis=rate.basis,
        value=rate.value,
        since=rate.since,
    )


def terms_answer(row: Terms) -> TermsAnswer:
    """A version of the terms."""
    return TermsAnswer(version=row.n, made_at=row.made_at, terms=terms.said(row))


# --- invitees -----------------------------------------------------------------------------------------------


def invitee(one: invitees.Person, *, lang: str) -> InviteeAnswer:
    """Somebody who came to a promoter, and how far it went."""
    known = one.known
    since = _day(known.since) if known.since is not None else None
    return InviteeAnswer(
        member_id=known.member_id,
        name=known.name,
        stage=one.stage,  # type: ignore[arg-type]
        link=known.link,
        opened_at=known.opened_at,
        registered_at=known.registered_at,
        bound_at=known.bound_at,
        ordered_at=one.ordered_at,
        orders=one.orders,
        reason=known.reason,
        text=explaining.reason_told(known.reason, since=since, lang=lang),
    )


def invitee_timeline(
    one: invitees.Person, steps: list[Step], orders: list[invitees.OrderStep], call: Call
) -> InviteeTimeline:
    """Somebody who came to a promoter, and all that happened, the oldest first."""
    told = [*(_step(step, lang=call.lang) for step in steps), *(_order(step, call.lang) for step in orders)]
    shown = msgspec.structs.asdict(invitee(one, lang=call.lang))
    return InviteeTimeline(**shown, steps=sorted(told, key=lambda step: step.at), now=call.now)


def _step(step: Step, *, lang: str) -> InviteeStep:
    text = explaining.step_told(step.what, reason=step.reason, lang=lang)
    return InviteeStep(at=step.at, what=step.what, link=step.link, reason=step.reason, text=text)


def _order(step: invitees.OrderStep, lang: str) -> InviteeStep:
    row = step.commission
    fen, state = (row.amount_fen, row.state) if row is not None else (None, None)
    return InviteeStep(
        at=step.at,
        what=step.what,
        reason=step.reason,
        order_id=step.order_id,
        commission_id=row.commission_id if row is not None else None,
        state=state,
        amount_fen=fen,
        text=explaining.step_told(step.what, reason=step.reason, fen=fen or 0, state=state, lang=lang),
    )


def _day(at: int) -> str:
    return clock.local_day(at, zone=config.settings().zone)


# --- commissions --------------------------------------------------------------------------------------------


def commission(row: Commission, call: Call) -> CommissionAnswer:
    """A commission as its promoter sees it in the list; the buyer's name is masked."""
    return CommissionAnswer(**_told(row, call))


def _told(row: Commission, call: Call) -> dict[str, Any]:
    profile = members.profile(row.member_id, now=call.now)
    return {
        "commission_id": row.commission_id,
        "order_id": row.order_id,
        "level": LEVELS[row.level],
        "state": row.state,
        "amount_fen": row.amount_fen,
        "buyer": masked(profile.nickname if profile else None, lang=call.lang),
        "made_at": row.made_at,
        "settles_at": row.settles_at if row.state == "due" else None,
        "settled_at": row.settled_at,
    }


def explanation(row: Commission, call: Call) -> Explanation:
    """A commission in words and numbers."""
    lines, changes = service.lines_of(row), service.changes_of(row)
    words = explaining.told(row, lines, changes, day=_day, lang=call.lang)
    return Explanation(
        **_told(row, call),
        policy_version=row.policy,
        hold_days=row.hold_days,
        lines=[_line(line) for line in lines],
        changes=[
            ChangeAnswer(
                at=change.at,
                what=change.what,
                cause=change.cause,
                amount_fen=change.fen,
                text=explaining.change_told(change, lang=call.lang),
            )
            for change in changes
        ],
        words=words,
        now=call.now,
    )


def _line(line: rules.Line) -> CommissionLine:
    return CommissionLine(
        line_id=line.line_id,
        product_id=line.product_id,
        quantity=line.quantity,
        paid_fen=line.paid_fen,
        base_fen=line.base_fen,
        rate_id=line.rate_id,
        rate_version=line.rate_n,
        rate_from=line.source,
        basis=line.basis,
        value=line.value,
        amount_fen=line.amount_fen,
        exact=explaining.exact(line),
    )


def commission_row(row: Commission) -> CommissionRow:
    """A commission as operators see it."""
    names = CommissionRow.__struct_fields__
    told = {name: getattr(row, name) for name in names if name not in ("evidence", "state")}
    evidence = msgspec.json.encode(row.evidence).decode() if row.evidence else ""
    return CommissionRow(**told, state=row.state or "", evidence=evidence)


def month(row: Earned, *, lang: str) -> MonthAnswer:
    """A promoter's month, and how its bonus was worked out."""
    step = msgspec.convert(row.step, StepShown) if row.step else None
    text = explaining.bonus_told(
        month=row.sk,
        sales_fen=row.base_fen or 0,
        bonus_bps=step.bonus_bps if step is not None else None,
        bonus_fen=row.bonus_fen,
        lang=lang,
    )
    return MonthAnswer(
        month=row.sk,
        state=row.state or "",
        settled_fen=row.score or 0,
        orders=row.orders or 0,
        sales_fen=row.base_fen or 0,
        bonus_fen=row.bonus_fen,
        step=step,
        text=text,
    )
