"""Withdrawal storage.

entity      pk                    sk                  written by                    read by
Terms       WITHDRAWALTERMS       V#<n>               operators                     everybody (30 s)
Withdrawal  WITHDRAWAL#<wdr_>     META                apply, operators, pay_out,    me, operators, pay_out
                                                      the mall
Purse       PAYOUTS#<mbr_>        META                whatever begins or ends one   apply, whatever ends one
Taxed       PAYEEID#<person>      MONTH#<YYYY-MM>     whatever begins or ends one   apply, pay_out
Month       PAYOUTS#<mbr_>        MONTH#<YYYY-MM>     paid                          statements
                                  [#<person>]
Payee       PAYOUTS#<mbr_>        PAYEE               the member                    apply, gateways, finance
Forgetting  PAYOUTS#<mbr_>        FORGET              with the member's erasure     forget

due    Withdrawal: from approved on pay_out#k, or transfers#k where WeChat Pay pays, but for transfers by hand; gone
       at the end, or react#k for what its end owes; stuck#<job> after ten failures; stuck#pay_out_differs when what
       is told differs from how it ended. Forgetting: forget_payee#k some weeks after its member was erased, and
       gone then
owner  Withdrawal: <mbr_>#withdrawals, newest first; of who was merged in the list of whom they became
rank   Withdrawal: WITHDRAWALS#<state>#<k> by the time it was applied for. Month: PAYSHEET#<YYYY-MM>#<k>

applied → approved → transferring → awaiting_confirmation → paid | failed | expired
applied | approved → rejected

A person is a keyed hash of the number that they have at the tax office, which several members may have told: what
is added up for the tax is theirs, and no member's.

A withdrawal's id is the number of its transfer, whatever becomes of it: derived from the member and their key, or
from which one it is. The money is in a hold of the member's account under ``withdrawal#<wdr_>``.
"""

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from chalicelib.core.table import IntAttribute, Key, Row

UNDER_WAY = ("transferring", "awaiting_confirmation")
OPEN = ("applied", "approved", *UNDER_WAY)
ENDS = {
    "paid": UNDER_WAY,
    "failed": UNDER_WAY,
    "expired": UNDER_WAY,
    "rejected": ("applied", "approved"),
}
"""From which states each end is come to."""
STATES = (*OPEN, *ENDS)


class Terms(Row, discriminator="withdrawal_terms"):
    """One version of what can be withdrawn how, and what is taken off; versions are never changed."""

    n = IntAttribute()
    told = JSONAttribute()
    made_at = IntAttribute()

    @staticmethod
    def key(n: int) -> Key:
        """Versions in order, in one partition."""
        return "WITHDRAWALTERMS", f"V#{n:06d}"


class Withdrawal(Row, discriminator="withdrawal"):
    """Money that a member takes out; ``month`` is the one it is taxed in, ``account`` is sealed, ``shown`` masked.

    ``payee`` is who the member was to the tax office when they applied, sealed, ``person`` their hash. ``told`` is
    what was told of it once it had ended otherwise, ``paid_as`` the cause of its last payment, where a person had
    it paid after all. Where WeChat Pay pays, ``program_id`` is where the member is known to it, and ``package``
    opens its page.
    """

    FACTS = {
        (None, "applied"): "withdrawal.applied",
        (None, "approved"): "withdrawal.approved",
        ("applied", "approved"): "withdrawal.approved",
        ("transferring", "awaiting_confirmation"): "withdrawal.awaiting",
        **{(state, end): f"withdrawal.{end}" for end, states in ENDS.items() for state in states},
        ("applied", "paid"): "withdrawal.paid",
        ("approved", "paid"): "withdrawal.paid",
        ("approved", "failed"): "withdrawal.failed",
        ("paid", "failed"): "withdrawal.failed",
        ("failed", "paid"): "withdrawal.paid",
        ("expired", "paid"): "withdrawal.paid",
    }

    withdrawal_id = UnicodeAttribute()
    member_id = UnicodeAttribute()
    amount_fen = IntAttribute()
    fee_fen = IntAttribute()
    tax_fen = IntAttribute()
    net_fen = IntAttribute()
    method = UnicodeAttribute()
    gateway = UnicodeAttribute()
    account = UnicodeAttribute(null=True)
    payee = UnicodeAttribute(null=True)
    person = UnicodeAttribute(null=True)
    id_kind = UnicodeAttribute(null=True)
    shown = UnicodeAttribute(null=True)
    terms = IntAttribute()
    tax_rule = UnicodeAttribute()
    month = UnicodeAttribute()
    day = UnicodeAttribute()
    applied_at = IntAttribute()
    sent_at = IntAttribute(null=True)
    confirm_by = IntAttribute(null=True)
    ended_at = IntAttribute(null=True)
    reference = UnicodeAttribute(null=True)
    reason = UnicodeAttribute(null=True)
    told = UnicodeAttribute(null=True)
    paid_as = UnicodeAttribute(null=True)
    program_id = UnicodeAttribute(null=True)
    package = UnicodeAttribute(null=True)

    @staticmethod
    def key(withdrawal_id: str) -> Key:
        """Where the withdrawal of this id is."""
        return f"WITHDRAWAL#{withdrawal_id}", "META"


class Purse(Row, discriminator="withdrawal_purse"):
    """What limits a member's next withdrawal; written as a whole under its ``rev`` as it was read.

    ``open_ids`` are not ended, ``recent`` the last three, which the index may not have yet.
    """

    n = IntAttribute()
    open_ids = JSONAttribute()
    recent = JSONAttribute()
    day = UnicodeAttribute()
    day_fen = IntAttribute()

    @staticmethod
    def key(member_id: str) -> Key:
        """One for a member."""
        return f"PAYOUTS#{member_id}", "META"


class Taxed(Row, discriminator="payee_month"):
    """What one person was paid, or applied for, in a month that is taxed as one, and what was withheld of it."""

    base_fen = IntAttribute()
    tax_fen = IntAttribute()

    @staticmethod
    def key(person: str, month: str) -> Key:
        """One row for a person and a month, whichever members they are."""
        return f"PAYEEID#{person}", f"MONTH#{month}"


class Month(Row, discriminator="withdrawal_month"):
    """What a member was paid in a month as one person, added up as it is paid; ``payee`` is sealed."""

    member_id = UnicodeAttribute()
    month = UnicodeAttribute()
    payee = UnicodeAttribute(null=True)
    id_kind = UnicodeAttribute(null=True)
    n = IntAttribute()
    amount_fen = IntAttribute()
    fee_fen = IntAttribute()
    tax_fen = IntAttribute()
    net_fen = IntAttribute()

    @staticmethod
    def key(member_id: str, month: str, person: str | None = None) -> Key:
        """One row for a member, a month and who they were, beside their purse."""
        who = f"#{person}" if person else ""
        return f"PAYOUTS#{member_id}", f"MONTH#{month}{who}"


class Payee(Row, discriminator="payee"):
    """Who a member is to the tax office: ``sealed`` has name and number, ``person`` is the number's hash.

    The others are masked. ``changed_at``: when the member was last said to be somebody else than before.
    """

    sealed = UnicodeAttribute()
    person = UnicodeAttribute()
    id_kind = UnicodeAttribute()
    name_shown = UnicodeAttribute()
    number_shown = UnicodeAttribute()
    at = IntAttribute()
    changed_at = IntAttribute(null=True)

    @staticmethod
    def key(member_id: str) -> Key:
        """One for a member, beside their purse."""
        return f"PAYOUTS#{member_id}", "PAYEE"


class Forgetting(Row, discriminator="payee_forgetting"):
    """That a member was erased whose withdrawals still say, sealed, whom they went to."""

    member_id = UnicodeAttribute()

    @staticmethod
    def key(member_id: str) -> Key:
        """One for a member, beside their purse."""
        return f"PAYOUTS#{member_id}", "FORGET"
