"""Commission storage; the accounts and their entries are the ledger's, in the book ``money``.

    entity      pk                  sk                      written by                  read by
    Terms       DISTRIBUTION        V#<n>                   operators                   everything here (30 s)
    Rate        RATES               <rte_>                  operators                   everything here (5 s)
    RateSaid    RATE#<rte_>         V#<n>                   operators                   orders older than the rate
    Promoter    PROMOTER#<mbr_>     META                    apply, operators, tiers     everything here
    Counted     PROMOTER#<mbr_>     COUNT#<k>               reactions                   tiers, me
    Invited     INVITED#<mbr_>      <mbr_> of a friend      when they are first bound   before they are counted
    Spent       SPENT#<mbr_>        <ord_>                  order's facts               the same
    Brought     BROUGHT#<mbr_>      <mbr_> of a buyer       with a first commission     the promoter's people
    Commission  COMMISSION#<ord_>   L1 | L2 | H             order's facts, settle       the same, people
    Earned      EARNED#<mbr_>       <YYYY-MM>               reactions, its close        its close, ranking, people
    RunLine     RUN#<day>#<k>       <what>#<id>             reactions, settle           operators

    due    Commission: settle#k, k by its promoter, when its order is past all objections
           Earned: volume#k after its month is over
    owner  Commission: <mbr_>#commissions of its promoter · Promoter: promoters#<state>
    rank   Commission: HELD while it is held, by when it was · Earned: EARNED#<YYYY-MM>#<k> by what was settled

    Commission: pending → due → settled → clawed_back · pending | due → held → as before | cancelled · → cancelled
    Promoter: applied → active | refused → applied · active ↔ suspended. Facts: commission.settled.

What a promoter has settled in one batch is one entry of the ledger, whose fact (settlement.posted) makes the
counts, the month, the run's line and what its links count; so settling itself writes nothing but commissions, entry
and account.
"""

from pynamodb.attributes import BooleanAttribute, JSONAttribute, UnicodeAttribute

from chalicelib.core.table import IntAttribute, Key, Row

COUNT_ROWS = 8
"""Rows over which a promoter's counts are spread: one would be shared by every friend of a busy promoter."""
RUN_ROWS = 8


class Terms(Row, discriminator="distribution_terms"):
    """One version of the distribution terms; versions are never changed."""

    n = IntAttribute()
    terms = JSONAttribute()
    made_at = IntAttribute()

    @staticmethod
    def key(n: int) -> Key:
        """Versions in order, in one partition."""
        return "DISTRIBUTION", f"V#{n:06d}"


class Rate(Row, discriminator="commission_rate"):
    """The newest version of a rate, ``on`` or ``off``; its scope is its natural key, and never changes."""

    rate_id = UnicodeAttribute()
    n = IntAttribute()
    scope = JSONAttribute()
    basis = UnicodeAttribute()
    value = IntAttribute()
    since = IntAttribute()

    @staticmethod
    def key(rate_id: str) -> Key:
        """Rates are read together."""
        return "RATES", rate_id


class RateSaid(Row, discriminator="commission_rate_version"):
    """What a rate said from ``since`` on, until its next version; never changed."""

    rate_id = UnicodeAttribute()
    n = IntAttribute()
    scope = JSONAttribute()
    basis = UnicodeAttribute()
    value = IntAttribute()
    since = IntAttribute()

    @staticmethod
    def key(rate_id: str, n: int) -> Key:
        """Versions in order."""
        return f"RATE#{rate_id}", f"V#{n:06d}"


class Promoter(Row, discriminator="promoter"):
    """Whether a member may earn; ``terms_version`` is what they agreed to, ``active_at`` since when they may.

    ``pauses`` are the times, from and until, in which they were suspended; ``tiers`` what their tier was before,
    and until when. ``handed_to``: who is it since the member was merged; they are in no list then, and what they
    had settled before counts here.
    """

    FACTS = {
        (None, "active"): "promoter.active",
        ("applied", "active"): "promoter.active",
        ("refused", "active"): "promoter.active",
        ("applied", "refused"): "promoter.refused",
    }

    member_id = UnicodeAttribute()
    tier = IntAttribute()
    terms_version = IntAttribute()
    agreed_at = IntAttribute(null=True)
    applied_at = IntAttribute()
    active_at = IntAttribute(null=True)
    suspended_at = IntAttribute(null=True)
    pauses = JSONAttribute(null=True)
    tiers = JSONAttribute(null=True)
    made_by = UnicodeAttribute()
    reason = UnicodeAttribute(null=True)
    handed_to = UnicodeAttribute(null=True)

    @staticmethod
    def key(member_id: str) -> Key:
        """One row for a member."""
        return f"PROMOTER#{member_id}", "META"


class Counted(Row, discriminator="promoter_counts"):
    """Some of what a promoter has done, added up when it is read."""

    invitees = IntAttribute(null=True)
    orders = IntAttribute(null=True)
    settled_fen = IntAttribute(null=True)
    spend_fen = IntAttribute(null=True)

    @staticmethod
    def key(member_id: str, k: int) -> Key:
        """A few rows beside the promoter's own."""
        return f"PROMOTER#{member_id}", f"COUNT#{k}"


class Invited(Row, discriminator="promoter_invitee"):
    """That somebody was counted for a promoter who brought them; however often they come back, once."""

    @staticmethod
    def key(promoter_id: str, member_id: str) -> Key:
        """One row for a promoter and a friend."""
        return f"INVITED#{promoter_id}", member_id


class Spent(Row, discriminator="promoter_spend"):
    """What of an order is counted as what its buyer spent; it falls with what goes back."""

    fen = IntAttribute()

    @staticmethod
    def key(member_id: str, order_id: str) -> Key:
        """One row for a buyer and an order."""
        return f"SPENT#{member_id}", order_id


class Brought(Row, discriminator="promoter_buyer"):
    """The orders by which a customer earned a promoter something: the first, the last, and how many.

    ``gone`` says of how many of them nothing is left.
    """

    first_id = UnicodeAttribute()
    last_id = UnicodeAttribute()
    ordered_at = IntAttribute()
    orders = IntAttribute(null=True)
    gone = IntAttribute(null=True)

    @staticmethod
    def key(promoter_id: str, member_id: str) -> Key:
        """One row for a promoter and a buyer."""
        return f"BROUGHT#{promoter_id}", member_id


class Commission(Row, discriminator="commission"):
    """What one order earns one promoter on one level; its lines and all that happened to it are inside.

    ``order_left_fen`` is what was left of the order when it was last looked at; ``settled_cause`` is the entry it
    was settled under, ``clawbacks`` how often a part of it was taken back.
    """

    FACTS = {("due", "settled"): "commission.settled"}

    commission_id = UnicodeAttribute()
    order_id = UnicodeAttribute()
    level = UnicodeAttribute()
    promoter_id = UnicodeAttribute()
    member_id = UnicodeAttribute()
    lines = JSONAttribute()
    changes = JSONAttribute()
    amount_fen = IntAttribute()
    order_left_fen = IntAttribute()
    policy = IntAttribute()
    hold_days = IntAttribute()
    link = UnicodeAttribute(null=True)
    made_at = IntAttribute()
    settles_at = IntAttribute(null=True)
    settled_at = IntAttribute(null=True)
    settled_cause = UnicodeAttribute(null=True)
    settled_fen = IntAttribute(null=True)
    clawbacks = IntAttribute(null=True)
    evidence = JSONAttribute(null=True)

    @staticmethod
    def key(order_id: str, level: str) -> Key:
        """One row for an order and a level."""
        return f"COMMISSION#{order_id}", level


class Earned(Row, discriminator="promoter_month"):
    """What a promoter had settled in one month: ``open``, then ``closed`` with its bonus.

    ``base_fen`` is what was paid for the goods of it on the first level, less what went back while it was open.
    """

    member_id = UnicodeAttribute()
    orders = IntAttribute(null=True)
    base_fen = IntAttribute(null=True)
    bonus_fen = IntAttribute(null=True)
    step = JSONAttribute(null=True)
    closed_at = IntAttribute(null=True)

    @staticmethod
    def key(member_id: str, month: str) -> Key:
        """A promoter's months in order."""
        return f"EARNED#{member_id}", month


class RunLine(Row, discriminator="settlement_line"):
    """What one day's settling did: a batch that was settled, a commission that waits, one that failed."""

    what = UnicodeAttribute()
    promoter_id = UnicodeAttribute()
    commissions = IntAttribute()
    amount_fen = IntAttribute()
    cause = UnicodeAttribute()
    at = IntAttribute()
    failed = BooleanAttribute(null=True)

    @staticmethod
    def partition(day: str, k: int) -> str:
        """One of the partitions of a day."""
        return f"RUN#{day}#{k}"
