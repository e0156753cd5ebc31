"""Points storage; the accounts and their entries are the ledger's.

    entity         pk                      sk               written by                 read by
    PointsRule     POINTS                  RULE             operators                  everything here (30 s)
    Levels         POINTS                  LEVELS           operators                  everything here (30 s)
    Badge          BADGES                  <badge>          operators                  counting, my badges (30 s)
    Exchange       EXCHANGES               <exc_>           operators                  everybody (30 s)
    ExchangeStock  STOCK#<exc_>#<k>        META             exchange, operators        exchange
    Exchanged      EXCHANGED#<exc_>#<mbr>  META             exchange (the limit)       exchange, list
    Checkout       CHECKOUT#<mall order>   META             freeze (once an order)     spend, release
    MemberLevel    LEVEL#<mbr>             META             growth, the year's end     me, the mall, earned
    LevelGift      LEVEL#<mbr>             GIFT#<level>     growth (once a level)      give_level_gift
    Counted        BADGES#<mbr>            COUNT#<fact>     counting                   counting, my badges
    Award          BADGES#<mbr>            BADGE#<badge>    counting (once)            my badges

    due    MemberLevel: level_year#k at the end of the level's year · LevelGift: level_gift#k until it is given

Facts: member.level_changed, badge.awarded. The receipt of an exchange is its entry in the ledger.
"""

from pynamodb.attributes import BooleanAttribute, JSONAttribute, UnicodeAttribute

from chalicelib.core.table import IntAttribute, Key, Row

LEVELS_AT_MOST = 20


class PointsRule(Row, discriminator="points_rule"):
    """How long points last (months; None: for ever) and what they are worth in the mall's checkout."""

    lasts_months = IntAttribute(null=True)
    rate_points = IntAttribute()
    rate_fen = IntAttribute()
    max_share_bps = IntAttribute()

    @staticmethod
    def key() -> Key:
        """There is one."""
        return "POINTS", "RULE"


class Levels(Row, discriminator="level_table"):
    """The levels from the lowest up, each with its threshold and perks."""

    levels = JSONAttribute()

    @staticmethod
    def key() -> Key:
        """There is one list."""
        return "POINTS", "LEVELS"


class Badge(Row, discriminator="badge"):
    """Who brings ``threshold`` facts of this name gets it; ``state`` is ``on`` or ``off``."""

    badge_id = UnicodeAttribute()
    title = UnicodeAttribute()
    image_url = UnicodeAttribute(null=True)
    fact = UnicodeAttribute()
    threshold = IntAttribute()

    @staticmethod
    def key(badge_id: str) -> Key:
        """Badges are few, and listed together."""
        return "BADGES", badge_id


class Exchange(Row, discriminator="points_exchange"):
    """What points buy; ``running``, ``pausing``, ``paused`` or ``closed``. Price and goods never change."""

    exchange_id = UnicodeAttribute()
    title = UnicodeAttribute()
    image_url = UnicodeAttribute(null=True)
    points = IntAttribute()
    goods = UnicodeAttribute()
    what = JSONAttribute()
    per_member = IntAttribute()
    stock_shards = IntAttribute()
    starts_at = IntAttribute()
    ends_at = IntAttribute()
    created_at = IntAttribute()
    fingerprint = UnicodeAttribute()

    @staticmethod
    def key(exchange_id: str) -> Key:
        """Exchanges are few, and listed together."""
        return "EXCHANGES", exchange_id


class ExchangeStock(Row, discriminator="points_stock"):
    """One shard of an exchange's units, with all that its own condition needs; ``put`` is what was ever put in.

    ``closed`` is there once its exchange was closed: nobody who resumed that a moment before turns it on again.
    """

    left = IntAttribute()
    put = IntAttribute(null=True)
    on = BooleanAttribute()
    closed = BooleanAttribute(null=True)
    starts_at = IntAttribute()
    ends_at = IntAttribute()

    @staticmethod
    def key(exchange_id: str, k: int) -> Key:
        """Every shard is a partition of its own."""
        return f"STOCK#{exchange_id}#{k}", "META"


class Exchanged(Row, discriminator="points_exchanged"):
    """How often a member has exchanged; the limit is its condition."""

    n = IntAttribute()

    @staticmethod
    def key(exchange_id: str, member_id: str) -> Key:
        """One row for a member and an exchange."""
        return f"EXCHANGED#{exchange_id}#{member_id}", "META"


class Checkout(Row, discriminator="points_checkout"):
    """Points in one order of the mall: whose, how many, and what they take off its price."""

    mall_order_id = UnicodeAttribute()
    member_id = UnicodeAttribute()
    points = IntAttribute()
    discount_fen = IntAttribute()
    goods_fen = IntAttribute()
    created_at = IntAttribute()
    held_until = IntAttribute()

    @staticmethod
    def key(mall_order_id: str) -> Key:
        """The mall's own number is the natural key."""
        return f"CHECKOUT#{mall_order_id}", "META"


class MemberLevel(Row, discriminator="member_level"):
    """A member's level; ``highest`` is the highest they ever had. ``state`` is the level, so that it is a fact.

    ``handed_to``: whose it became, when the member was merged.
    """

    FACTS = {
        (None if before == 0 else str(before), str(after)): "member.level_changed"
        for before in range(LEVELS_AT_MOST + 1)
        for after in range(1, LEVELS_AT_MOST + 1)
        if before != after
    }

    member_id = UnicodeAttribute()
    level = IntAttribute()
    highest = IntAttribute()
    since = IntAttribute()
    handed_to = UnicodeAttribute(null=True)

    @staticmethod
    def key(member_id: str) -> Key:
        """One row for a member; who is on the lowest level from the beginning has none."""
        return f"LEVEL#{member_id}", "META"


class LevelGift(Row, discriminator="level_gift"):
    """What a member is owed for reaching a level for the first time: ``due`` → ``given``."""

    member_id = UnicodeAttribute()
    level = IntAttribute()
    goods = UnicodeAttribute()
    what = JSONAttribute()

    @staticmethod
    def key(member_id: str, level: int) -> Key:
        """One gift for a member and a level, however often they reach it."""
        return f"LEVEL#{member_id}", f"GIFT#{level}"


class Counted(Row, discriminator="badge_count"):
    """How many facts of one name a member has brought since a badge asks for them."""

    n = IntAttribute()

    @staticmethod
    def key(member_id: str, fact: str) -> Key:
        """One count for a member and a fact, beside the member's badges."""
        return f"BADGES#{member_id}", f"COUNT#{fact}"


class Award(Row, discriminator="badge_award"):
    """A badge that a member has, once and for good."""

    FACTS = {(None, "awarded"): "badge.awarded"}

    badge_id = UnicodeAttribute()
    member_id = UnicodeAttribute()
    at = IntAttribute()

    @staticmethod
    def key(member_id: str, badge_id: str) -> Key:
        """One award for a member and a badge."""
        return f"BADGES#{member_id}", f"BADGE#{badge_id}"
