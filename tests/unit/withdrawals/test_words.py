"""The terms of withdrawals as the rules page tells them."""

from typing import Any

import msgspec
import pytest

from chalicelib.withdrawals import words as withdrawal_words
from chalicelib.withdrawals.schemas import EditWithdrawalTerms
from chalicelib.withdrawals.terms import Version

METHODS = [{"method": "bank", "gateway": "manual"}, {"method": "phone", "gateway": "sandbox"}]


def version(**changes: Any) -> Version:
    """Terms with these changes; the sandbox pays nobody here."""
    told = {"methods": METHODS, "min_fen": 1_00, "max_fen": 200_00, "day_max_fen": 500_00, **changes}
    return Version(n=3, made_at=0, told=msgspec.convert(told, EditWithdrawalTerms))


def test_numbers_are_of_what_is_offered_here() -> None:
    shown = withdrawal_words.shown(version(tax={"rule": "monthly"}))

    assert (shown.version, shown.methods, shown.identity_needed) == (3, ["bank"], True)


@pytest.mark.parametrize(
    ("changes", "lang", "said"),
    [
        ({}, "en", "Each withdrawal is of ¥1.00 to ¥200.00, ¥500.00 a day at most."),
        ({}, "zh", "每次可提现 ¥1.00 至 ¥200.00，每日累计不超过 ¥500.00。"),
        ({}, "en", "There is no fee."),
        ({}, "zh", "提现不收手续费。"),
        ({"fee_bps": 60, "fee_fixed_fen": 10}, "en", "The fee is ¥0.10 + 0.6%, taken out of the amount."),
        ({"fee_bps": 60}, "zh", "手续费 0.6%，从提现金额中扣除。"),
        ({"tax": {"rule": "fixed", "bps": 2000}}, "en", "20% are withheld for tax, out of the amount."),
        (
            {"tax": {"rule": "monthly"}},
            "zh",
            "按劳务报酬所得预扣预缴个人所得税，同一自然月内的提现合并计算。",
        ),
        ({"tax": {"rule": "mall"}}, "en", "Tax is worked out by who pays, out of the amount."),
        ({}, "en", "Nothing is withheld for tax."),
        ({"methods": METHODS[1:]}, "en", "Nothing can be withdrawn at the moment."),
        ({"methods": []}, "zh", "暂不支持提现。"),
    ],
)
def test_sentences_say_what_is_taken_off(changes: dict[str, Any], lang: str, said: str) -> None:
    assert said in withdrawal_words.told(version(**changes), lang=lang)
