"""Group-buy storage.

    entity    pk                        sk             written by                       read by
    Campaign  CAMPAIGNS                 <cmp_>         operators                        everybody (30 s)
    Stock     STOCK#<cmp_>#<sku>#<k>    META           open, join, give back, operators open, join
    Group     GROUP#<grp_>              META           open, pay, leave, jobs           page, join, jobs
    Seat      GROUP#<grp_>              SEAT#<mbr_>    open, join, pay, leave, jobs     page, expire
    Part      PART#<cmp_>#<mbr_>        META           open, join, leave, jobs          open, join, leave

    due    Group: release#k at held_until while opening · expire#k at expires_at while open or expiring ·
           react#k when filled. Seat of a joiner: release#k at held_until while held.
           Campaign: close#k from its window's end, or once closed, until nothing of it is open any more and
           the mall was told.
    owner  Seat: <mbr_>#groups, newest first
    rank   Group while open: OPEN#<cmp_>, score = missing · 10¹⁰ + expires_at: nearest to full first;
           ENDING#<cmp_> from when its campaign was closed with refunds until it has ended

    Group: opening → open → filled | expiring → expired, opening → lapsed.  Seat: held → confirmed, gone = deleted.

Conditions compare and do not add, so a group keeps differences: ``free`` seats nobody holds and ``missing`` seats
nobody paid for; 0 <= free <= missing <= size at every instant, as nothing writes them but with that condition.
``reserve: group`` takes the units of all seats when the group opens, ``seat`` those of each seat with it.
Part is a member's unpaid order and what they have used of the campaign's limits. Facts: group.opened, group.filled,
group.expired.
"""

from pynamodb.attributes import BooleanAttribute, JSONAttribute, UnicodeAttribute

from chalicelib.core.table import IntAttribute, Key, Row

SCORE = 10**10
"""What one missing seat weighs in the order of open groups: more than any time of expiry."""


class Campaign(Row, discriminator="groupbuy"):
    """What is sold, for how much, to whom, when; ``running``, ``pausing``, ``paused`` or ``closed``.

    Its window and whether it is ``on`` are numbered: a shard of an older ``edition`` is brought to this one.
    """

    campaign_id = UnicodeAttribute()
    title = UnicodeAttribute()
    product = JSONAttribute()
    mode = UnicodeAttribute()
    reserve = UnicodeAttribute()
    sizes = JSONAttribute()
    new_members_only = BooleanAttribute()
    max_units_per_seat = IntAttribute()
    per_member_units = IntAttribute()
    per_member_groups = IntAttribute()
    visible_from = IntAttribute()
    starts_at = IntAttribute()
    ends_at = IntAttribute()
    group_lifetime_s = IntAttribute()
    hold_s = IntAttribute()
    open_hold_s = IntAttribute()
    late_payment = UnicodeAttribute()
    fill_at_expiry_from = IntAttribute(null=True)
    stock_shards = IntAttribute()
    on = BooleanAttribute()
    edition = IntAttribute()
    created_at = IntAttribute()
    closed_at = IntAttribute(null=True)
    open_groups = UnicodeAttribute(null=True)
    told_at = IntAttribute(null=True)
    copied_from = UnicodeAttribute(null=True)
    fingerprint = UnicodeAttribute()

    @staticmethod
    def key(campaign_id: str) -> Key:
        """Campaigns are few, and listed together."""
        return "CAMPAIGNS", campaign_id


class Stock(Row, discriminator="groupbuy_stock"):
    """One shard of one SKU's units, with all that its own condition needs; ``put`` is what was ever put in."""

    campaign_id = UnicodeAttribute()
    sku_id = UnicodeAttribute()
    left = IntAttribute()
    put = IntAttribute(null=True)
    on = BooleanAttribute()
    edition = IntAttribute()
    starts_at = IntAttribute()
    ends_at = IntAttribute()

    @staticmethod
    def key(campaign_id: str, sku_id: str, k: int) -> Key:
        """Every shard is a partition of its own."""
        return f"STOCK#{campaign_id}#{sku_id}#{k}", "META"


class Group(Row, discriminator="group"):
    """One team. Prices are promised when it opens, and no edit of the campaign changes them."""

    FACTS = {
        ("opening", "open"): "group.opened",
        ("open", "filled"): "group.filled",
        ("open", "expired"): "group.expired",
        ("expiring", "expired"): "group.expired",
    }

    group_id = UnicodeAttribute()
    campaign_id = UnicodeAttribute()
    head_id = UnicodeAttribute()
    size = IntAttribute()
    free = IntAttribute()
    missing = IntAttribute()
    prices = JSONAttribute()
    steps = JSONAttribute(null=True)
    reserve = UnicodeAttribute()
    taken = JSONAttribute()
    new_members_only = BooleanAttribute()
    late_payment = UnicodeAttribute()
    fill_at_expiry_from = IntAttribute(null=True)
    opened_at = IntAttribute()
    held_until = IntAttribute()
    lifetime_s = IntAttribute()
    began_at = IntAttribute(null=True)
    expires_at = IntAttribute(null=True)
    ended_at = IntAttribute(null=True)
    real_members = IntAttribute(null=True)

    @staticmethod
    def key(group_id: str) -> Key:
        """Where the group of this id is; its seats are beside it."""
        return f"GROUP#{group_id}", "META"


class Seat(Row, discriminator="seat"):
    """One member's place in a group, and the order that pays for it."""

    group_id = UnicodeAttribute()
    campaign_id = UnicodeAttribute()
    member_id = UnicodeAttribute()
    order_id = UnicodeAttribute()
    head = BooleanAttribute()
    sku_id = UnicodeAttribute()
    quantity = IntAttribute()
    amount_fen = IntAttribute()
    taken = JSONAttribute()
    joined_at = IntAttribute()
    held_until = IntAttribute(null=True)
    payment_id = UnicodeAttribute(null=True)
    paid_at = IntAttribute(null=True)

    @staticmethod
    def key(group_id: str, member_id: str) -> Key:
        """One seat for a member in a group."""
        return f"GROUP#{group_id}", f"SEAT#{member_id}"


class Part(Row, discriminator="groupbuy_part"):
    """A member's part in a campaign: the newest order, units bought or held, groups opened that did not fail.

    ``let_go`` is the order that was last let go unpaid, by which a repeat of leaving is answered.
    """

    order_id = UnicodeAttribute(null=True)
    let_go = UnicodeAttribute(null=True)
    units = IntAttribute()
    groups = IntAttribute()

    @staticmethod
    def key(campaign_id: str, member_id: str) -> Key:
        """One row for a member and a campaign."""
        return f"PART#{campaign_id}#{member_id}", "META"
