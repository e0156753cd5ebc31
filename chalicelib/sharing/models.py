"""Sharing storage.

    entity    pk                          sk               written by            read by
    Link      LINK#<code>                 META             mint, switch off      everything (remembered 30 s)
    LinkDay   LINK#<code>                 DAY#<day>[#<k>]  reactions, fold       funnel
    Hour *    VISITS#<code>#<level>.<k>   H#<hour>#<b>     visit                 funnel, fold
    VisitUse  VISIT#<vis_>                META             bind                  bind (a visit binds one member)
    Binding   MEMBER#<mbr_>               BINDING          bind, move, renew     bind (walk), of_order, door answers
    Past      MEMBER#<mbr_>               BINDING#<rev>    move, take            of_order, operators (history)
    Touch     MEMBER#<mbr_>               BINDING#TOUCH#<promoter>  bind, move   of_order, invitees, dry runs
    OrderAttribution  ATTRIBUTION#<ord_>  META             of_order (once)       of_order, its promoters, dry runs
    Invite    INVITE#<code>               META             code_of               bind by a code
    Policy    POLICY                      V#<n>            operators             bind (the newest, 30 s), of_order
    Card      CARDS                       <kind>#<ch>#<pl> operators             card (all, 30 s)
    Target    TARGETS#<kind>              <id>             operators             card, page (30 s)
    Made *    MADE#<code>                 <what>           once                  codes, openings, page (30 s)
    Openings *  OPENINGS#<mbr_>           <day>            opening (200 a day)   opening (in its condition)

    owner  Link: <mbr_>#links of its sharer, newest first
           Binding: <mbr_>#customers of its promoter, by when it was made; Touch, of who was not bound to the
           promoter or is so no more: <mbr_>#missed, by the first
    rank   OrderAttribution: ATTRIBUTIONS#<day>#<k> by when its order was made

    * on the traffic table; for an Hour, in place of a code also the id of what targets are part of. Facts:
    binding.made.

Hour rows count visits: one conditional update, ``ADD n 1, seen {hash}`` if the row has not seen the visitor and
is not full. A full row never changes again, so a visitor who is not in it belongs to the next level, which has
more rows: 1, 64, 4,096 and 262,144 of them over 1, 4, 16 and 64 partitions. So a link heats up within the hour
without a decision and without counting anybody twice; a process remembers full rows and goes past them.
"""

from pynamodb.attributes import (
    BinaryAttribute,
    BinarySetAttribute,
    BooleanAttribute,
    JSONAttribute,
    NumberSetAttribute,
    UnicodeAttribute,
)

from chalicelib.core.table import IntAttribute, Key, Row

LEVELS = ((1, 1), (4, 16), (16, 256), (64, 4096))
"""(partitions, rows a partition and hour) of each level."""
ROW_HOLDS = 96
"""Visitors a row takes before it is full: with 9 bytes each it stays under 1 KB."""


class Link(Row, discriminator="link"):
    """Who shares what, where; ``on`` or ``off``."""

    code = UnicodeAttribute()
    natural_key = UnicodeAttribute()
    sharer_id = UnicodeAttribute()
    target_kind = UnicodeAttribute()
    target_id = UnicodeAttribute()
    channel = UnicodeAttribute()
    placement = UnicodeAttribute()
    created_at = IntAttribute()
    expires_at = IntAttribute(null=True)

    @staticmethod
    def key(code: str) -> Key:
        """Where the link with this code is."""
        return f"LINK#{code}", "META"


class LinkDay(Row, discriminator="link_day"):
    """Some of what came of a link on one day, spread by the row that a fact is of, and added up when it is read;
    ``opened`` is set once, on the day's own row, when the day is closed."""

    opened = IntAttribute(null=True)
    opened_by = JSONAttribute(null=True)
    new_members = IntAttribute(null=True)
    bound = IntAttribute(null=True)
    joined = IntAttribute(null=True)
    paid = IntAttribute(null=True)
    settled = IntAttribute(null=True)

    @staticmethod
    def key(code: str, day: str) -> Key:
        """The own row of a link and a day of the brand's calendar; its shards stand behind it."""
        return f"LINK#{code}", f"DAY#{day}"


class Hour(Row, discriminator="visit_hour"):
    """Some of the visitors of one link in one hour, and how they arrived."""

    TRAFFIC = True
    n = IntAttribute(null=True)
    seen = BinarySetAttribute(legacy_encoding=False, null=True)
    chat = IntAttribute(null=True)
    group = IntAttribute(null=True)
    moments = IntAttribute(null=True)
    code = IntAttribute(null=True)
    link = IntAttribute(null=True)
    other = IntAttribute(null=True)

    @staticmethod
    def partition(code: str, *, level: int, k: int) -> str:
        """One of the partitions of a level."""
        return f"VISITS#{code}#{level}.{k}"

    @staticmethod
    def key(code: str, *, hour: str, level: int, visitor: bytes) -> Key:
        """The row of this level that this visitor falls into."""
        partitions, rows = LEVELS[level]
        number = int.from_bytes(visitor, "big")
        k, b = number % partitions, number // partitions % rows
        return Hour.partition(code, level=level, k=k), f"H#{hour}#{b:04d}"


class VisitUse(Row, discriminator="visit_use"):
    """The one member whom a visit bound."""

    member_id = UnicodeAttribute()

    @staticmethod
    def key(visit_id: str) -> Key:
        """One row for a visit."""
        return f"VISIT#{visit_id}", "META"


class Binding(Row, discriminator="binding"):
    """Whose customer a member is; ``bound`` or ``unbound``. Older states are `Past` rows."""

    FACTS = {(None, "bound"): "binding.made", ("unbound", "bound"): "binding.made"}

    member_id = UnicodeAttribute()
    promoter_id = UnicodeAttribute()
    link = UnicodeAttribute(null=True)
    visit_id = UnicodeAttribute(null=True)
    policy = IntAttribute()
    bound_at = IntAttribute()
    cause = UnicodeAttribute()
    opened_at = IntAttribute(null=True)
    expires_at = IntAttribute(null=True)
    places = JSONAttribute(null=True)

    @staticmethod
    def key(member_id: str) -> Key:
        """Beside the member's own rows."""
        return f"MEMBER#{member_id}", "BINDING"


class Past(Row, discriminator="past_binding"):
    """A binding as it was before it was changed; ``ended_by``: taken, window_over or operator (for ``cause``)."""

    was = JSONAttribute()
    changed_at = IntAttribute()
    cause = UnicodeAttribute()
    ended_by = UnicodeAttribute(null=True)

    @staticmethod
    def key(member_id: str, rev: int) -> Key:
        """One row for a state of the binding."""
        return f"MEMBER#{member_id}", f"BINDING#{rev:09d}"


class Touch(Row, discriminator="binding_touch"):
    """A member came to a promoter, signed in, and was not bound by it; ``reason``: why not, the last time.

    ``hours`` are those in which they came, as the seconds at which each began; the oldest go when there are many.
    """

    member_id = UnicodeAttribute()
    promoter_id = UnicodeAttribute()
    link = UnicodeAttribute(null=True)
    visit_id = UnicodeAttribute(null=True)
    reason = UnicodeAttribute()
    first_at = IntAttribute()
    last_at = IntAttribute()
    hours = NumberSetAttribute(null=True)
    n = IntAttribute(null=True)

    @staticmethod
    def key(member_id: str, promoter_id: str) -> Key:
        """One row for a member and a promoter, beside the member's bindings."""
        return f"MEMBER#{member_id}", f"BINDING#TOUCH#{promoter_id}"


class OrderAttribution(Row, discriminator="attribution"):
    """Whose order it is: as of the second it was made, written once and never changed.

    ``policy`` is the version in force in that second; ``binding_policy`` the one that the binding was made under.
    """

    order_id = UnicodeAttribute()
    member_id = UnicodeAttribute()
    created_at = IntAttribute()
    promoter_id = UnicodeAttribute(null=True)
    level_two_id = UnicodeAttribute(null=True)
    policy = IntAttribute()
    binding_policy = IntAttribute(null=True)
    bound_at = IntAttribute(null=True)
    link = UnicodeAttribute(null=True)
    visit_id = UnicodeAttribute(null=True)
    self_purchase = BooleanAttribute()
    candidates = JSONAttribute()
    signals = JSONAttribute()
    made_at = IntAttribute()

    @staticmethod
    def key(order_id: str) -> Key:
        """One row for an order."""
        return f"ATTRIBUTION#{order_id}", "META"


class Invite(Row, discriminator="invite"):
    """Whose invite code this is."""

    member_id = UnicodeAttribute()

    @staticmethod
    def key(code: str) -> Key:
        """Where the code is."""
        return f"INVITE#{code}", "META"


class Policy(Row, discriminator="policy"):
    """One version of the attribution policy; versions are never changed."""

    n = IntAttribute()
    mode = UnicodeAttribute()
    depth = IntAttribute()
    window_days = IntAttribute(null=True)
    renew_by_purchase = BooleanAttribute(null=True)
    protect_days = IntAttribute(null=True)
    self_purchase = BooleanAttribute(null=True)
    signals = JSONAttribute(null=True)
    made_at = IntAttribute()

    @staticmethod
    def key(n: int) -> Key:
        """Versions in order, in one partition."""
        return "POLICY", f"V#{n:06d}"


class Card(Row, discriminator="card"):
    """What a share shows for a kind of target, in a channel, from a placement; ``*`` means any."""

    target_kind = UnicodeAttribute()
    channel = UnicodeAttribute()
    placement = UnicodeAttribute()
    title = UnicodeAttribute()
    image_url = UnicodeAttribute(null=True)
    path = UnicodeAttribute(null=True)
    tag = UnicodeAttribute(null=True)

    @staticmethod
    def key(target_kind: str, channel: str, placement: str) -> Key:
        """All cards are in one partition."""
        return "CARDS", f"{target_kind}#{channel}#{placement}"


class Target(Row, discriminator="target"):
    """What operators say of a page or product that can be shared."""

    target_kind = UnicodeAttribute()
    target_id = UnicodeAttribute()
    title = UnicodeAttribute()
    description = UnicodeAttribute(null=True)
    image_url = UnicodeAttribute(null=True)
    price_fen = IntAttribute(null=True)
    path = UnicodeAttribute(null=True)

    @staticmethod
    def key(target_kind: str, target_id: str) -> Key:
        """Targets of a kind are in one partition."""
        return f"TARGETS#{target_kind}", target_id


class Made(Row, discriminator="made_of_link"):
    """What was made of a link outside, and can be made again: the picture of a code, or an opening; until then.

    Whoever makes it holds it by ``making_by`` until ``making_until``. A picture is in ``content`` or in the bucket
    under ``stored``; a row takes 400 KB, and WeChat's codes of 280 to 1280 px have about 50 to 200.
    """

    TRAFFIC = True
    url = UnicodeAttribute(null=True)
    content = BinaryAttribute(legacy_encoding=False, null=True)
    stored = UnicodeAttribute(null=True)
    until = IntAttribute(null=True)
    making_by = UnicodeAttribute(null=True)
    making_until = IntAttribute(null=True)

    @staticmethod
    def key(code: str, what: str) -> Key:
        """Beside everything else that was made of the link."""
        return f"MADE#{code}", what


class Openings(Row, discriminator="openings_of_day"):
    """How many links of WeChat's a member has had made on a day."""

    TRAFFIC = True
    n = IntAttribute()

    @staticmethod
    def key(member_id: str, day: str) -> Key:
        """One row for a member and a day of the brand's calendar."""
        return f"OPENINGS#{member_id}", day
