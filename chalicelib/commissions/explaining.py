"""A commission in words: what it was worked out from, where the rate came from, and all that happened to it."""

from collections.abc import Callable, Sequence
from decimal import Decimal

from chalicelib.commissions.models import Commission
from chalicelib.commissions.rules import Change, DistributionTerms, Line, Rate, came_from
from chalicelib.core.money import BPS, yuan

_SOURCES = {
    "product": ("该商品的佣金设置", "the rate of this product"),
    "campaign": ("该活动的佣金设置", "the rate of this campaign"),
    "category": ("该类目的佣金设置", "the rate of this category"),
    "tier": ("你的分销等级", "the rate of your tier"),
    "default": ("通用佣金设置", "the general rate"),
}
_LEVELS = {
    "L1": ("你直接带来的客户", "a customer whom you brought"),
    "L2": ("你邀请的分销员带来的客户", "a customer of a promoter whom you brought"),
    "H": ("你开的团里的团员", "somebody who joined your group"),
}
_CHANGES = {
    "made": ("订单已支付，产生佣金{fen}", "the order was paid: {fen} were earned"),
    "due": ("订单已完成，进入结算等待期", "the order was completed, and the days until settlement began"),
    "held": ("佣金被暂缓：{cause}", "held back: {cause}"),
    "released": ("暂缓解除：{cause}", "released again: {cause}"),
    "refused": ("佣金被拒绝：{cause}", "refused: {cause}"),
    "waits": ("暂不结算：{cause}", "it is not settled yet: {cause}"),
    "reduced": ("部分退款，佣金变为{fen}（{cause}）", "a part was given back, {fen} are left ({cause})"),
    "cancelled": ("订单已退款，佣金取消（{cause}）", "the order was given back: nothing is left ({cause})"),
    "settled": ("已结算{fen}到你的账户", "{fen} were settled into your account"),
    "clawed_back": (
        "结算后退款，已扣回，佣金变为{fen}（{cause}）",
        "given back after it was settled: taken back from your account, {fen} are left ({cause})",
    ),
}
_CAUSES = {
    "signals": (
        "系统检测到异常信号，等待人工审核",
        "something about the order looked unusual, and a person looks at it",
    ),
    "aftersale": ("售后处理中", "an after-sale is open"),
    "no order": ("订单暂不可读", "its order cannot be read"),
}
_STATES = {
    "pending": ("待结算：订单完成后开始计算等待期。", "Pending: the days begin when the order is completed."),
    "due": ("等待期满后结算。", "It settles when the days are over."),
    "settled": ("已结算。", "It is settled."),
    "held": ("暂缓中，等待运营审核。", "It is held back until an operator has looked at it."),
    "cancelled": ("已取消。", "It is cancelled."),
    "clawed_back": ("已全部扣回。", "All of it was taken back."),
}


def _in(lang: str) -> Callable[[tuple[str, str]], str]:
    return lambda pair: pair[0 if lang == "zh" else 1]


def exact(line: Line) -> str:
    """What the line earns before it is rounded down, in fen."""
    if line.basis == "bps":
        worth = Decimal(line.base_fen) * line.value / BPS
    else:
        whole = min(line.value * line.quantity, line.paid_fen)
        worth = Decimal(whole) * line.base_fen / line.paid_fen if line.paid_fen else Decimal(0)
    return f"{worth.quantize(Decimal('0.0001')).normalize():f}"


def rate_told(basis: str, value: int, *, lang: str) -> str:
    """A rate for people: ``5%``, or so much a piece."""
    if basis == "bps":
        return f"{Decimal(value) / 100:f}%"
    return f"每件{yuan(value)}" if lang == "zh" else f"{yuan(value)} a piece"


def _of_it(line: Line, *, lang: str) -> str:
    """What a rate is of: a share, of what is left; a sum a piece, of as much as is left in proportion."""
    if line.basis == "bps":
        return "" if lang == "zh" else " of it"
    if line.base_fen == line.paid_fen:
        return ""
    return "按剩余比例" if lang == "zh" else ", in proportion to what is left,"


def line_told(line: Line, *, lang: str) -> str:
    """How one line was worked out."""
    say = _in(lang)
    back = line.paid_fen - line.base_fen
    told = {
        "product": line.product_id,
        "n": line.quantity,
        "paid": yuan(line.paid_fen),
        "base": yuan(line.base_fen),
        "back": yuan(back),
        "rate": rate_told(line.basis, line.value, lang=lang),
        "of": _of_it(line, lang=lang),
        "source": say(_SOURCES[line.source]),
        "version": line.rate_n,
        "exact": exact(line),
        "fen": yuan(line.amount_fen),
    }
    less = say(("，退款{back}，计佣{base}", ", {back} of it given back, {base} count")) if back else ""
    text = say(
        (
            "商品{product} × {n}：实付{paid}"
            + less
            + "；按{rate}{of}（{source}，第{version}版）得{exact}分，"
            "向下取整为{fen}。",
            "{product} × {n}: {paid} were paid" + less + "; {rate}{of} ({source}, version {version}) is "
            "{exact} fen, rounded down to {fen}.",
        )
    )
    return text.format(**told)


def change_told(change: Change, *, lang: str) -> str:
    """What happened, in a sentence."""
    say = _in(lang)
    cause = say(_CAUSES[change.cause]) if change.cause in _CAUSES else change.cause
    return say(_CHANGES[change.what]).format(fen=yuan(change.fen), cause=cause)


def told(
    row: Commission, lines: Sequence[Line], changes: Sequence[Change], *, day: Callable[[int], str], lang: str
) -> list[str]:
    """The whole commission in sentences, for a person."""
    say = _in(lang)
    who = say(_LEVELS[row.level])
    head = say(
        ("订单{order}来自{who}，佣金为{fen}。", "Order {order} is of {who}, and is worth {fen} to you.")
    )
    text = [head.format(order=row.order_id, who=who, fen=yuan(row.amount_fen))]
    text += [line_told(line, lang=lang) for line in lines]
    text += [f"{day(change.at)} {change_told(change, lang=lang)}" for change in changes]
    text.append(_standing(row, day=day, lang=lang))
    return text


def _standing(row: Commission, *, day: Callable[[int], str], lang: str) -> str:
    state = _in(lang)(_STATES[row.state or ""])
    if row.state == "due" and row.settles_at is not None:
        when = _in(lang)(
            ("预计{day}结算（等待{n}天）。", "It settles on {day}, {n} days after it was completed.")
        )
        return when.format(day=day(row.settles_at), n=row.hold_days)
    return state


# --- invitees -----------------------------------------------------------------------------------------------

_REASONS = {
    "self_referral": ("不能绑定自己", "it was you yourself"),
    "self_purchase": ("本人购买", "own purchase"),
    "own_link": ("通过自己的链接购买", "bought by a link of their own"),
    "would_circle": ("对方是你的上级", "they brought you"),
    "chain_too_long": ("层级过长，无法绑定", "too many levels to bind"),
    "not_a_new_member": ("不是新会员", "not a new member"),
    "bound_to_another": ("已绑定其他分销员", "already bound to another promoter"),
    "bound_to_you": ("已绑定你", "bound to you"),
    "binding_protected": ("在其他分销员的保护期内", "another promoter's binding is protected"),
    "taken": ("之后被其他分销员绑定", "bound by another promoter afterwards"),
    "moved": ("由运营调整归属", "moved by the shop"),
    "operator": ("由运营调整归属", "moved by the shop"),
    "window_over": ("绑定已过期", "the binding was over"),
    "visit_used": ("该访问已被使用", "the visit was used by somebody else"),
    "promoter_gone": ("分享人不可用", "the promoter was not there"),
    "link_alone": ("仅通过链接下单，未绑定", "a link alone binds nobody"),
    "not_paid": ("订单未支付", "the order was not paid"),
    "refunded": ("订单已退款", "refunded"),
    "no_rate": ("该订单没有适用的佣金", "no rate was for this order, or you were no promoter yet"),
}
_STEPS = {
    "opened": ("打开了你的分享", "opened what you shared"),
    "registered": ("注册成为会员", "became a member"),
    "bound": ("成为你的客户", "became your customer"),
    "not_bound": ("未能绑定：{reason}", "was not bound: {reason}"),
    "lost": ("不再是你的客户：{reason}", "is not your customer any more: {reason}"),
    "earned": ("下单，佣金{fen}（{state}）", "ordered: {fen} ({state})"),
    "not_earned": ("下单，没有佣金：{reason}", "ordered, and you earn nothing by it: {reason}"),
}
_STATE_WORDS = {
    "pending": ("待完成", "pending"),
    "due": ("待结算", "due"),
    "settled": ("已结算", "settled"),
    "held": ("暂缓", "held"),
    "cancelled": ("已取消", "cancelled"),
    "clawed_back": ("已扣回", "clawed back"),
}


def reason_told(reason: str | None, *, since: str | None = None, lang: str) -> str | None:
    """Why not, for people; with since when, where that is known."""
    if reason is None:
        return None
    say = _in(lang)
    text = say(_REASONS.get(reason, (reason, reason)))
    return (
        text
        if since is None
        else say(("{text}（自{since}起）", "{text} since {since}")).format(text=text, since=since)
    )


def step_told(
    what: str, *, reason: str | None = None, fen: int = 0, state: str | None = None, lang: str
) -> str:
    """Something that happened between a promoter and an invitee, in words."""
    say = _in(lang)
    told = {
        "reason": reason_told(reason, lang=lang) or "",
        "fen": yuan(fen),
        "state": say(_STATE_WORDS.get(state or "", ("", ""))),
    }
    return say(_STEPS.get(what, (what, what))).format(**told)


# --- the rules in force -------------------------------------------------------------------------------------

_MODES = {
    "first": ("首次带来的分销员，长期有效", "whoever brought them first, for good"),
    "first_window": (
        "首次带来的分销员，有效期内有效",
        "whoever brought them first, for the time of the window",
    ),
    "last": ("最近一次带来的分销员", "whoever brought them last"),
    "new_members": ("仅绑定新会员", "only new members are bound"),
}


def rate_sentence(rate: Rate, *, lang: str) -> str:
    """What a rate in force says."""
    scope, say = rate.scope, _in(lang)
    level = {
        "level1": ("直接推广", "your own customers"),
        "level2": ("二级推广", "customers of promoters you brought"),
        "head": ("团长", "the group you opened"),
    }[scope.level]
    parts = [say(level), say(_SOURCES[came_from(scope)])]
    if scope.new_buyers_only:
        parts.append(say(("仅首单", "first orders only")))
    if scope.min_order_fen:
        parts.append(say(("订单满", "orders from ")) + yuan(scope.min_order_fen))
    comma = "，" if lang == "zh" else ", "
    colon = "：" if lang == "zh" else ": "
    return comma.join(parts) + colon + rate_told(rate.basis, rate.value, lang=lang)


def rules_told(
    terms: DistributionTerms, *, mode: str, window_days: int | None, depth: int, lang: str
) -> list[str]:
    """Who binds, how long, when it settles, what a refund does, in sentences."""
    say = _in(lang)
    days = (
        say(("绑定有效期{n}天。", "A binding lasts {n} days.")).format(n=window_days) if window_days else ""
    )
    told = [
        say(("客户归属：{who}。", "A customer belongs to {who}.")).format(
            who=say(_MODES.get(mode, (mode, mode)))
        ),
        days,
        say(
            ("仅一级佣金。", "One level earns.")
            if depth == 1
            else ("最多两级佣金。", "Two levels earn, never more.")
        ),
        say(
            (
                "佣金按每个商品的实付金额计算，向下取整到分；订单完成{n}天且无售后后结算。",
                "Each line earns by what was really paid for it, rounded down to the fen. It settles {n} days "
                "after the order was completed, if no after-sale is open.",
            )
            if terms.hold_days
            else (
                "佣金按每个商品的实付金额计算，向下取整到分；订单完成且无售后即结算。",
                "Each line earns by what was really paid for it, rounded down to the fen. It settles as soon as "
                "the order is completed, if no after-sale is open.",
            )
        ).format(n=terms.hold_days),
        say(
            (
                "部分退款按比例减少佣金；结算后退款将从账户扣回，不足部分从以后的佣金中抵扣。",
                "What goes back in part reduces it in proportion. What goes back after it was settled is taken out "
                "of your account, and of what you earn later if there is not enough.",
            )
        ),
    ]
    return [line for line in told if line]


def bonus_told(*, month: str, sales_fen: int, bonus_bps: int | None, bonus_fen: int | None, lang: str) -> str:
    """How a month's bonus was worked out."""
    say = _in(lang)
    if bonus_fen is None:
        return say(("{month}尚未结束。", "{month} is not over yet.")).format(month=month)
    if not bonus_bps:
        text = say(
            (
                "{month}结算销售额{sales}，未达到阶梯。",
                "{sales} were settled in {month}, which reaches no step.",
            )
        )
        return text.format(month=month, sales=yuan(sales_fen))
    rate = rate_told("bps", bonus_bps, lang=lang)
    text = say(
        (
            "{month}结算销售额{sales}，达到的阶梯为{rate}，奖励{fen}（向下取整到分）。",
            "{sales} were settled in {month}; the step it reached is {rate}: {fen}, rounded down to the fen.",
        )
    )
    return text.format(month=month, sales=yuan(sales_fen), rate=rate, fen=yuan(bonus_fen))
