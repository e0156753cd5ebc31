"""The terms of withdrawals for the rules page: in numbers, and in sentences for people."""

from chalicelib.core.money import yuan
from chalicelib.withdrawals import tax
from chalicelib.withdrawals.schemas import WithdrawalShown
from chalicelib.withdrawals.terms import Version


def shown(terms: Version) -> WithdrawalShown:
    """What can be withdrawn, and what is taken off."""
    told = terms.told
    return WithdrawalShown(
        version=terms.n,
        methods=terms.offered,
        min_fen=told.min_fen,
        max_fen=told.max_fen,
        day_max_fen=told.day_max_fen,
        fee_fixed_fen=told.fee_fixed_fen,
        fee_bps=told.fee_bps,
        tax_rule=told.tax.rule,
        tax_bps=told.tax.bps,
        identity_needed=tax.needs_identity(terms.tax_rule),
        auto_up_to_fen=told.auto_up_to_fen,
    )


def told(terms: Version, *, lang: str) -> list[str]:
    """The same in sentences."""
    here = shown(terms)
    if not here.methods:
        return ["暂不支持提现。" if lang == "zh" else "Nothing can be withdrawn at the moment."]
    return [_bounds(here, lang=lang), _fee(here, lang=lang), _tax(here, lang=lang)]


def _bounds(here: WithdrawalShown, *, lang: str) -> str:
    least, most, day = yuan(here.min_fen), yuan(here.max_fen), yuan(here.day_max_fen)
    if lang == "zh":
        return f"每次可提现 {least} 至 {most}，每日累计不超过 {day}。"
    return f"Each withdrawal is of {least} to {most}, {day} a day at most."


def _fee(here: WithdrawalShown, *, lang: str) -> str:
    parts = [yuan(here.fee_fixed_fen)] if here.fee_fixed_fen else []
    parts += [f"{here.fee_bps / 100:g}%"] if here.fee_bps else []
    if lang == "zh":
        return f"手续费 {' + '.join(parts)}，从提现金额中扣除。" if parts else "提现不收手续费。"
    return f"The fee is {' + '.join(parts)}, taken out of the amount." if parts else "There is no fee."


_TAX = {
    "none": ("Nothing is withheld for tax.", "平台不代扣个人所得税。"),
    "fixed": ("{share} are withheld for tax, out of the amount.", "代扣 {share} 税款，从提现金额中扣除。"),
    "monthly": (
        "Tax is withheld as of remuneration for services, of what is paid in a month together.",
        "按劳务报酬所得预扣预缴个人所得税，同一自然月内的提现合并计算。",
    ),
    "mall": ("Tax is worked out by who pays, out of the amount.", "税款由付款方计算并从提现金额中扣除。"),
}


def _tax(here: WithdrawalShown, *, lang: str) -> str:
    en, zh = _TAX[here.tax_rule]
    return (zh if lang == "zh" else en).format(share=f"{here.tax_bps / 100:g}%")
