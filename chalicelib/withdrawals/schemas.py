"""What the routes of withdrawals take and answer."""

from typing import Annotated, Literal

import msgspec

from chalicelib.core.http import Listing
from chalicelib.members.schemas import Id, Reason

Fen = Annotated[int, msgspec.Meta(ge=1, le=10_000_000_00)]
NoneOrFen = Annotated[int, msgspec.Meta(ge=0, le=10_000_000_00)]
Bps = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
MethodName = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,32}$(?!\n)")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
AccountNumber = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_@.+ -]{1,64}$(?!\n)")]
Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
MonthName = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$(?!\n)")]
State = Literal[
    "applied",
    "approved",
    "transferring",
    "awaiting_confirmation",
    "paid",
    "failed",
    "expired",
    "rejected",
]


# --- the terms ----------------------------------------------------------------------------------------------


class Method(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A way to be paid and the gateway that pays it; ``account``: one must be named."""

    method: MethodName
    gateway: Literal["sandbox", "manual", "mall", "wechat"]
    account: bool = True


class TaxRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How tax is worked out: not at all, ``bps`` of each, by China's table for a month's sum, or by who pays.

    ``identity``: name and id number are asked for; for ``monthly`` they always are.
    """

    rule: Literal["none", "fixed", "monthly", "mall"] = "none"
    bps: Bps = 0
    identity: bool = False


class EditWithdrawalTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new version of the terms; without methods nothing can be withdrawn.

    The fee is inside the amount. What is not above ``auto_up_to_fen`` needs no approval. A transfer that its payee
    has to confirm, and does not within ``confirm_s``, expires.
    """

    methods: Annotated[list[Method], msgspec.Meta(max_length=10)]
    min_fen: Fen = 100
    max_fen: Fen = 20_000_00
    day_max_fen: Fen = 20_000_00
    fee_fixed_fen: NoneOrFen = 0
    fee_bps: Bps = 0
    open_at_once: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    auto_up_to_fen: NoneOrFen = 0
    tax: TaxRule = msgspec.field(default_factory=TaxRule)
    confirm_s: Annotated[int, msgspec.Meta(ge=600, le=7 * 86_400)] = 86_400


class WithdrawalTermsAnswer(EditWithdrawalTerms, frozen=True, kw_only=True):
    """One version of the terms; version 0 is built in."""

    version: int
    made_at: int


class WithdrawalTermsMade(WithdrawalTermsAnswer, frozen=True, kw_only=True):
    """The version that was made."""

    now: int


class WithdrawalTermsList(msgspec.Struct, frozen=True, kw_only=True):
    """The versions, newest first."""

    items: list[WithdrawalTermsAnswer]
    now: int


class WithdrawalShown(msgspec.Struct, frozen=True, kw_only=True):
    """What can be withdrawn how, and what is taken off; both are inside the amount."""

    version: int
    methods: list[str]
    min_fen: int
    max_fen: int
    day_max_fen: int
    fee_fixed_fen: int
    fee_bps: int
    tax_rule: str
    tax_bps: int
    identity_needed: bool
    auto_up_to_fen: int


# --- members ------------------------------------------------------------------------------------------------


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where money is to go: whose account, its number, and at which bank, if it is at one."""

    name: Text
    number: AccountNumber
    bank: Text | None = None


class AskWithdrawal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody would withdraw."""

    amount_fen: Fen
    method: MethodName


class Withdraw(AskWithdrawal, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody withdraws."""

    account: Account | None = None


class WithdrawalQuote(msgspec.Struct, frozen=True, kw_only=True):
    """What would arrive, and ``why_not``, a code of an error, when it cannot be withdrawn now."""

    amount_fen: int
    fee_fen: int
    tax_fen: int
    net_fen: int
    tax_rule: str
    method: str
    balance_fen: int
    why_not: str | None
    now: int


class TransferPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What wx.requestMerchantTransfer is given, to open the page on which the money is taken."""

    mch_id: str
    app_id: str
    package: str


class WithdrawalAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A withdrawal as its member sees it; ``account`` is masked, ``confirm_url`` is the sandbox's page.

    ``transfer_page`` is there while the member may take the money from WeChat Pay, until ``confirm_by``.
    """

    withdrawal_id: str
    state: str
    amount_fen: int
    fee_fen: int
    tax_fen: int
    net_fen: int
    method: str
    account: str | None
    applied_at: int
    confirm_by: int | None
    ended_at: int | None
    reason: str | None
    confirm_url: str | None
    transfer_page: TransferPage | None
    now: int


class MyRules(msgspec.Struct, frozen=True, kw_only=True):
    """What I can withdraw, how, and what is taken off."""

    methods: list[str]
    min_fen: int
    max_fen: int
    day_max_fen: int
    day_left_fen: int
    fee_fixed_fen: int
    fee_bps: int
    open_at_once: int
    open_ids: list[str]
    tax_rule: str
    identity_needed: bool
    identity_known: bool
    balance_fen: int
    frozen_fen: int
    ask_subscriptions: list[str] = []
    now: int


class TellPayee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who I am to the tax office."""

    real_name: Text
    id_number: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z()-]{5,32}$(?!\n)")]
    id_kind: Literal["id_card", "passport", "other"] = "id_card"


class PayeeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Who I am to the tax office, masked."""

    real_name: str
    id_number: str
    id_kind: str
    told_at: int
    now: int


class MonthStatement(msgspec.Struct, frozen=True, kw_only=True):
    """What was paid out to one member, as one payee, in one month."""

    month: str
    member_id: str
    withdrawals: int
    amount_fen: int
    fee_fen: int
    tax_fen: int
    net_fen: int


# --- operators and the mall ---------------------------------------------------------------------------------


class FindWithdrawals(Listing, frozen=True, kw_only=True):
    """Those of a state, or those of a member; exactly one of them."""

    state: State | None = None
    member_id: Id | None = None


class AdminWithdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """A withdrawal as operators see it; ``told`` is what came about it that does not fit how it ended."""

    withdrawal_id: str
    state: str
    member_id: str
    amount_fen: int
    fee_fen: int
    tax_fen: int
    net_fen: int
    method: str
    gateway: str
    account: str | None
    month: str
    terms: int
    applied_at: int
    sent_at: int | None
    confirm_by: int | None
    ended_at: int | None
    reference: str | None
    reason: str | None
    told: str | None
    attempts: int
    last_error: str | None


class WithdrawalNow(AdminWithdrawal, frozen=True, kw_only=True):
    """A withdrawal as it is now."""

    now: int


class Rejected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why it is not paid."""

    reason: Reason


class PaidByHand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bank's own number of the transfer; tax only where who pays works it out."""

    reference: Reference
    tax_fen: NoneOrFen | None = None


class FullPayee(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to pay, unmasked; that it was looked at is in the audit trail."""

    withdrawal_id: str
    member_id: str
    net_fen: int
    account: Account | None
    real_name: str | None
    id_number: str | None
    id_kind: str | None
    now: int


class StatementQuery(Listing, frozen=True, kw_only=True):
    """Of which month; the running one, if none is said."""

    month: MonthName | None = None


class ExportStatement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which month, and from where: what ``X-Next`` said."""

    month: MonthName
    after: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class PayeeMonth(MonthStatement, frozen=True, kw_only=True):
    """A month's payments with whom they went to, for the tax office."""

    real_name: str | None
    id_kind: str | None
    id_number: str | None


class TransferOutcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a transfer ended, told by the mall; ``tax_fen`` only where the mall works tax out."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    type: Literal["withdrawal.paid", "withdrawal.failed", "withdrawal.expired"]
    reference: Reference | None = None
    reason: Reason | None = None
    tax_fen: NoneOrFen | None = None


class OutcomeTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The withdrawal as it is now."""

    withdrawal_id: str
    state: str
    amount_fen: int
    fee_fen: int
    tax_fen: int
    net_fen: int
    now: int
