"""What is taken off a withdrawal, pure: the fee, and tax by the rule of the settings; both are inside the amount.

The fee is inside, so ``amount = fee + tax + net``, always: yudao transferred the amount without taking its fee off
until commit 3aa9ea997b. Tax is of the whole amount, for a fee lessens no income.

``monthly`` is what a payer in China withholds of remuneration for services (劳务报酬所得, 预扣预缴). What is earned
by one kind of work without a break is one payment a month (个人所得税法实施条例, art. 14), so all payments of one
person in a month, as whichever member they are paid, are added up and what was withheld already is taken off. By
the administrative measures for withholding (个人所得税扣缴申报管理办法（试行）, art. 8, State Taxation
Administration, announcement no. 61 of 2018, table 2) the taxable part is the income less ¥800 up to ¥4,000, less
20 % above, and of it are withheld:

    up to ¥20,000    20 %, less ¥0
    up to ¥50,000    30 %, less ¥2,000
    above            40 %, less ¥7,000
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from chalicelib.core.money import BPS, part_fen

EXEMPT_FEN = 800_00
LUMP_UP_TO_FEN = 4_000_00
LUMP_BPS = 2_000
BRACKETS = ((20_000_00, 2_000, 0), (50_000_00, 3_000, 2_000_00))
HIGHEST = (4_000, 7_000_00)


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What one person was paid, or applied for, in a month, and had withheld of it; given back, it is less."""

    base_fen: int = 0
    tax_fen: int = 0

    def with_taxed(self, *, base_fen: int, tax_fen: int) -> "Tally":
        """With one more payment."""
        return Tally(base_fen=self.base_fen + base_fen, tax_fen=self.tax_fen + tax_fen)

    def less_taxed(self, *, base_fen: int, tax_fen: int) -> "Tally":
        """Without a payment that was none."""
        return self.with_taxed(base_fen=-base_fen, tax_fen=-tax_fen)


class DayTally(msgspec.Struct, frozen=True, kw_only=True):
    """What a member has applied for on one day; given back, it is less."""

    day: str = ""
    day_fen: int = 0

    def on(self, day: str) -> "DayTally":
        """The tally as of a day: what was of another counts no more."""
        return self if day == self.day else DayTally(day=day)

    def with_day(self, fen: int) -> "DayTally":
        """With one more amount of the day."""
        return replace(self, day_fen=self.day_fen + fen)

    def less_day(self, *, day: str, fen: int) -> "DayTally":
        """Without what came back of a day, if it is still that day."""
        return self.with_day(-fen) if day == self.day else self


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """Where an amount goes: ``fee_fen + tax_fen + net_fen == amount_fen``."""

    amount_fen: int
    fee_fen: int
    tax_fen: int

    @property
    def net_fen(self) -> int:
        """What arrives."""
        return self.amount_fen - self.fee_fen - self.tax_fen


def fee_fen(amount_fen: int, *, fixed_fen: int, bps: int) -> int:
    """The fee of a withdrawal, never more than the amount."""
    return min(amount_fen, fixed_fen + part_fen(amount_fen, rate_bps=bps))


def withheld_fen(income_fen: int) -> int:
    """What is withheld of a month's income from services, rounded down to the fen."""
    if income_fen <= LUMP_UP_TO_FEN:
        taxable_bps = max(0, income_fen - EXEMPT_FEN) * BPS
    else:
        taxable_bps = income_fen * (BPS - LUMP_BPS)
    for up_to_fen, bps, less_fen in BRACKETS:
        if taxable_bps <= up_to_fen * BPS:
            return taxable_bps * bps // BPS**2 - less_fen
    bps, less_fen = HIGHEST
    return taxable_bps * bps // BPS**2 - less_fen


def tax_fen(rule: Mapping[str, Any], amount_fen: int, tally: Tally) -> int:
    """Tax of one more payment by a rule; ``tally`` is of the payment's month.

    Nothing for ``mall``: who pays works it out, and tells it with the outcome.
    """
    if rule["rule"] == "fixed":
        return part_fen(amount_fen, rate_bps=rule["bps"])
    if rule["rule"] == "monthly":
        return max(0, withheld_fen(tally.base_fen + amount_fen) - tally.tax_fen)
    return 0


def split(amount_fen: int, *, fixed_fen: int, bps: int, rule: Mapping[str, Any], tally: Tally) -> Split:
    """Where an amount goes; tax takes no more than the fee leaves."""
    fee = fee_fen(amount_fen, fixed_fen=fixed_fen, bps=bps)
    tax = min(amount_fen - fee, tax_fen(rule, amount_fen, tally))
    return Split(amount_fen=amount_fen, fee_fen=fee, tax_fen=tax)


def adds_up(rule: Mapping[str, Any]) -> bool:
    """Whether tax by this rule depends on the month's other payments."""
    return bool(rule["rule"] == "monthly")


def needs_identity(rule: Mapping[str, Any]) -> bool:
    """Whether the payee must be known by name and id number."""
    return adds_up(rule) or bool(rule["identity"])
