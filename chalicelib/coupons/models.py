"""Coupon storage.

    entity    pk                         sk                 written by                  read by
    Template  COUPON_TEMPLATES           <ctp_>             operators                   everybody (30 s)
    Terms     TERMS#<ctp_>               V#<n>              operators, never again      quote, lists (for ever)
    Stock     STOCK#<ctp_>#<k>           META               claim, grant, packs, oper.  claim (once, when refused)
    Coupon    COUPONS#<mbr_>             <cpn_>             everything below            lists, quote, lock
    Tally     TALLY#<ctp_>#<mbr_>        META               claim                       claim (the refusal has it)
    Lock      LOCK#<mall order>          META               lock, redeem, release …     redeem, release, return
    Reminder  REMINDER#<cpn_>            META               job                         reaction
    Gift      GIFT#<code>                META               give, accept, job           accept, show
    Plan      PACK_PLANS                 <cpp_>             operators                   everybody (30 s)
    Pack      PACK#<cpk_>                META               open, take, job             show, take
    Piece     PACK#<cpk_>                PIECE#<mbr_>       take                        show
    Invite    INVITE_PLANS               <cvp_>             operators                   reaction (30 s)
    Brought   BROUGHT#<cvp_>#<mbr_>      META               reaction                    show
    Code      CODE#<code>                META               operators, redeem code      redeem code
    Codes     CODES#<ctp_>               <batch>            operators                   operators, use (30 s)
    Sharing   PACKS#<mbr_>               <time>#<cpk_>      open                        a member's packs
    Chunk     GRANTS#<ctp_>#<batch>      <part>#<n>         operators, job              job, progress

    due    Coupon: coupons#k, ref says for what: remind, expire (while unused), unlock (while locked).
           Lock: react#k until its return is told ·
           coupon_gifts#k while a gift is open · coupon_packs#k while a pack is · coupon_grants#k until a
           chunk is done

    Coupon: unused → locked → redeemed → unused | expired (returned) · unused → redeemed (in the shop) ·
    unused → expired | void · unused → gifting → gifted | unused | expired · waiting → unused | lapsed (a
    sharer's own) · all → moved (into the partition of whom its member was merged into)
    Lock: locked → redeemed → returned · locked → released → locked.   Gift: open → taken | back.
    Pack: open → empty, open | empty → over.

A member's coupons are their own partition: a list is one consistent query, so what was just won is in it, and no
index is paid for. A coupon's id follows from member, template and the number of the claim, or its cause; the row is
the once-only. Its terms are a version that never changes. A tally is kept only where a member may claim more than
one. A unit that a pack or a waiting coupon holds goes back to the shard it came from. Facts: coupon.claimed,
coupon.redeemed, coupon.returned, coupon.expired, coupon.voided, coupon.gifted, coupon.unlocked, coupon.expiring,
pack.opened, pack.emptied, pack.ended.
"""

from pynamodb.attributes import BooleanAttribute, JSONAttribute, UnicodeAttribute

from chalicelib.core.table import IntAttribute, Key, Row


class Template(Row, discriminator="coupon_template"):
    """What can be claimed, by whom, when, how often; ``on``, ``pausing`` or ``off``."""

    template_id = UnicodeAttribute()
    title = UnicodeAttribute()
    version = IntAttribute()
    terms = JSONAttribute()
    limited = BooleanAttribute()
    per_member = IntAttribute()
    per_member_daily = IntAttribute(null=True)
    claim_from = IntAttribute()
    claim_until = IntAttribute()
    validity = JSONAttribute()
    audience = JSONAttribute()
    giftable = BooleanAttribute()
    remind_before_s = IntAttribute()
    stock_shards = IntAttribute()
    created_at = IntAttribute()
    fingerprint = UnicodeAttribute()

    @staticmethod
    def key(template_id: str) -> Key:
        """Templates are few, and listed together."""
        return "COUPON_TEMPLATES", template_id


class Terms(Row, discriminator="coupon_terms"):
    """One version of what a template's coupons are worth; versions are never changed."""

    template_id = UnicodeAttribute()
    version = IntAttribute()
    title = UnicodeAttribute()
    terms = JSONAttribute()

    @staticmethod
    def key(template_id: str, version: int) -> Key:
        """Versions in order."""
        return f"TERMS#{template_id}", f"V#{version:06d}"


class Stock(Row, discriminator="coupon_stock"):
    """One shard of a template's units; it carries all that its own condition needs.

    ``left`` is not there when the stock is unlimited; ``issued`` is what was taken and not given back, ``put`` what
    was ever put in.
    """

    template_id = UnicodeAttribute()
    left = IntAttribute(null=True)
    put = IntAttribute(null=True)
    issued = IntAttribute()
    on = BooleanAttribute()
    claim_from = IntAttribute()
    claim_until = IntAttribute()

    @staticmethod
    def key(template_id: str, k: int) -> Key:
        """Every shard is a partition of its own."""
        return f"STOCK#{template_id}#{k}", "META"


class Coupon(Row, discriminator="coupon"):
    """One member's piece. ``value_fen`` is its own worth where a pack's piece has another than its template.

    ``order_ref`` is what holds or has used it: an order of the mall, or a code shown in the shop. ``unit_back``:
    its unit went back to the stock when it was taken away. ``moved_to`` and ``moved_id``: whose it is since, under
    which id; the row stays, as it is the once-only of what it was given for.
    """

    FACTS = {
        (None, "unused"): "coupon.claimed",
        ("waiting", "unused"): "coupon.unlocked",
        ("locked", "redeemed"): "coupon.redeemed",
        ("unused", "redeemed"): "coupon.redeemed",
        ("unused", "expired"): "coupon.expired",
        ("locked", "expired"): "coupon.expired",
        ("gifting", "expired"): "coupon.expired",
        ("gifting", "gifted"): "coupon.gifted",
        ("unused", "void"): "coupon.voided",
    }

    coupon_id = UnicodeAttribute()
    member_id = UnicodeAttribute()
    template_id = UnicodeAttribute()
    version = IntAttribute()
    value_fen = IntAttribute(null=True)
    source = UnicodeAttribute()
    n = IntAttribute(null=True)
    shard = IntAttribute()
    claimed_at = IntAttribute()
    starts_at = IntAttribute()
    ends_at = IntAttribute()
    remind_at = IntAttribute(null=True)
    giftable = BooleanAttribute()
    order_ref = UnicodeAttribute(null=True)
    locked_until = IntAttribute(null=True)
    used_at = IntAttribute(null=True)
    gift_code = UnicodeAttribute(null=True)
    gifts = IntAttribute(null=True)
    unit_back = BooleanAttribute(null=True)
    moved_to = UnicodeAttribute(null=True)
    moved_id = UnicodeAttribute(null=True)

    @staticmethod
    def key(member_id: str, coupon_id: str) -> Key:
        """Beside the member's other coupons."""
        return f"COUPONS#{member_id}", coupon_id


class Tally(Row, discriminator="coupon_tally"):
    """What one member has claimed of a template: in all, on the last day, and under which last keys."""

    n = IntAttribute()
    day = UnicodeAttribute()
    today = IntAttribute()
    recent = JSONAttribute()

    @staticmethod
    def key(template_id: str, member_id: str) -> Key:
        """One row for a template and a member."""
        return f"TALLY#{template_id}#{member_id}", "META"


class Lock(Row, discriminator="coupon_lock"):
    """The coupons of one order of the mall, and what they save: ``per_coupon`` and ``per_line`` in fen."""

    FACTS = {("redeemed", "returned"): "coupon.returned"}

    order_ref = UnicodeAttribute()
    member_id = UnicodeAttribute()
    coupon_ids = JSONAttribute()
    fingerprint = UnicodeAttribute()
    per_coupon = JSONAttribute()
    per_line = JSONAttribute()
    freight_fen = IntAttribute()
    discount_fen = IntAttribute()
    locked_at = IntAttribute()
    locked_until = IntAttribute()

    @staticmethod
    def key(order_ref: str) -> Key:
        """One row for an order."""
        return f"LOCK#{order_ref}", "META"


class Reminder(Row, discriminator="coupon_reminder"):
    """A coupon that will expire soon was noticed; that it is there is the fact."""

    FACTS = {(None, "noticed"): "coupon.expiring"}

    coupon_id = UnicodeAttribute()
    member_id = UnicodeAttribute()
    template_id = UnicodeAttribute()
    ends_at = IntAttribute()

    @staticmethod
    def key(coupon_id: str) -> Key:
        """Once for a coupon."""
        return f"REMINDER#{coupon_id}", "META"


class Gift(Row, discriminator="coupon_gift"):
    """A coupon on its way to a friend."""

    code = UnicodeAttribute()
    giver_id = UnicodeAttribute()
    coupon_id = UnicodeAttribute()
    taker_id = UnicodeAttribute(null=True)
    given_at = IntAttribute()
    ends_at = IntAttribute()
    ended_at = IntAttribute(null=True)

    @staticmethod
    def key(code: str) -> Key:
        """Where the gift with this code is."""
        return f"GIFT#{code}", "META"


class Plan(Row, discriminator="pack_plan"):
    """What a share pack is made of, in the published order; ``on`` or ``off``."""

    plan_id = UnicodeAttribute()
    title = UnicodeAttribute()
    after = UnicodeAttribute()
    template_id = UnicodeAttribute()
    pieces = IntAttribute()
    amounts = JSONAttribute(null=True)
    new_friends_only = BooleanAttribute()
    sharer_template_id = UnicodeAttribute(null=True)
    sharer_after_new = IntAttribute()
    starts_at = IntAttribute()
    ends_at = IntAttribute()
    open_for_s = IntAttribute()
    created_at = IntAttribute()
    fingerprint = UnicodeAttribute()

    @staticmethod
    def key(plan_id: str) -> Key:
        """Plans are few, and listed together."""
        return "PACK_PLANS", plan_id


class Pack(Row, discriminator="pack"):
    """One member's pack: ``left`` pieces, ``new_missing`` new friends until the sharer's own coupon unlocks.

    ``amounts`` are the pieces in order, null: what the template is worth. ``taken`` is where their units came from.
    """

    FACTS = {
        (None, "open"): "pack.opened",
        ("open", "empty"): "pack.emptied",
        ("open", "over"): "pack.ended",
        ("empty", "over"): "pack.ended",
    }

    pack_id = UnicodeAttribute()
    plan_id = UnicodeAttribute()
    sharer_id = UnicodeAttribute()
    title = UnicodeAttribute()
    template_id = UnicodeAttribute()
    version = IntAttribute()
    pieces = IntAttribute()
    amounts = JSONAttribute(null=True)
    left = IntAttribute()
    new_friends_only = BooleanAttribute()
    new_missing = IntAttribute()
    sharer_coupon_id = UnicodeAttribute(null=True)
    sharer_template_id = UnicodeAttribute(null=True)
    sharer_shard = IntAttribute(null=True)
    order_id = UnicodeAttribute(null=True)
    opened_at = IntAttribute()
    ends_at = IntAttribute()
    taken = JSONAttribute()

    @staticmethod
    def key(pack_id: str) -> Key:
        """Where the pack of this id is."""
        return f"PACK#{pack_id}", "META"


class Sharing(Row, discriminator="pack_mine"):
    """A pack in its sharer's list."""

    pack_id = UnicodeAttribute()

    @staticmethod
    def key(member_id: str, opened_at: int, pack_id: str) -> Key:
        """A member's packs in the order in which they were opened."""
        return f"PACKS#{member_id}", f"{opened_at:011d}#{pack_id}"


class Piece(Row, discriminator="pack_piece"):
    """The ``n``-th piece of a pack, and who took it; ``new``: they count towards the sharer's own coupon."""

    n = IntAttribute()
    member_id = UnicodeAttribute()
    coupon_id = UnicodeAttribute()
    value_fen = IntAttribute(null=True)
    new = BooleanAttribute()
    taken_at = IntAttribute()

    @staticmethod
    def key(pack_id: str, member_id: str) -> Key:
        """One piece for a friend."""
        return f"PACK#{pack_id}", f"PIECE#{member_id}"


class Invite(Row, discriminator="invite_plan"):
    """Who brings ``every`` new members gets a coupon, ``times`` times at most, and each of those one too."""

    plan_id = UnicodeAttribute()
    title = UnicodeAttribute()
    every = IntAttribute()
    times = IntAttribute()
    sharer_template_id = UnicodeAttribute()
    friend_template_id = UnicodeAttribute(null=True)
    starts_at = IntAttribute()
    ends_at = IntAttribute()
    created_at = IntAttribute()
    fingerprint = UnicodeAttribute()

    @staticmethod
    def key(plan_id: str) -> Key:
        """Plans are few, and read together."""
        return "INVITE_PLANS", plan_id


class Brought(Row, discriminator="invited"):
    """How many new members somebody has brought under a plan, and the coupons they got for it."""

    n = IntAttribute()
    won = IntAttribute()
    missed = IntAttribute()

    @staticmethod
    def key(plan_id: str, member_id: str) -> Key:
        """One row for a plan and a member."""
        return f"BROUGHT#{plan_id}#{member_id}", "META"


class Code(Row, discriminator="coupon_code"):
    """A claim in print, good for ``left`` members, while its batch is not ``off``."""

    code = UnicodeAttribute()
    template_id = UnicodeAttribute()
    batch = UnicodeAttribute()
    left = IntAttribute()
    ends_at = IntAttribute()

    @staticmethod
    def key(code: str) -> Key:
        """Where this code is."""
        return f"CODE#{code}", "META"


class Codes(Row, discriminator="coupon_codes"):
    """How many codes were made in a batch, ``on`` or ``off``; they follow from its name, so are not listed here."""

    batch = UnicodeAttribute()
    made = IntAttribute()
    uses = IntAttribute()
    ends_at = IntAttribute()
    made_at = IntAttribute()

    @staticmethod
    def key(template_id: str, batch: str) -> Key:
        """One row for a batch."""
        return f"CODES#{template_id}", batch


class Chunk(Row, discriminator="coupon_grant"):
    """Some of the members whom a batch gives a coupon; ``due`` until each has one or it is said why not."""

    template_id = UnicodeAttribute()
    batch = UnicodeAttribute()
    member_ids = JSONAttribute()
    mark = UnicodeAttribute()
    given = IntAttribute(null=True)
    refused = JSONAttribute(null=True)

    @staticmethod
    def key(template_id: str, batch: str, part: int, n: int) -> Key:
        """One row for a chunk of a part of a batch."""
        return f"GRANTS#{template_id}#{batch}", f"{part:05d}#{n:03d}"
