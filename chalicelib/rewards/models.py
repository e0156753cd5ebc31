"""Reward storage.

    entity    pk                       sk                 written by           read by
    Rule      REWARDS                  <rwd_>             operators            reactions, people (all, 30 s)
    Version   REWARD#<rwd_>            V#<n>              operators            reactions to what is older
    Purse     PURSE#<rwd_>#<k>         META               grants, operators    refused grants, report
    Grant     REWARDED#<occurrence>    <rwd_>#<mbr_>      grants, take-backs   take-backs
    Listed    REWARDS#<mbr_>           G#<at>#<gnt_>      with its grant       the member's list
    Progress  REWARDS#<mbr_>           RULE#<rwd_>        grants if limited    grants of tiers, people
    Day       REWARDS#<mbr_>           RULE#<rwd_>#<day>  grants if limited    people
    First     FIRST#<mbr_>             META               a rule that asks     a rule that asks
    Seen *    OCCURRED#<on>#<day>#<k>  <occurrence>       reactions            dry runs, reactions

    * on the traffic table, for 35 days: what happened, in few words.

    Grant: given → taken_back · counted → taken_back · missed · moved, of whom the member was merged into.

The occurrence of an order is ``order#<ord_>`` whatever the fact was, so that all that an order earned lies in one
partition. A tier that was reached is an occurrence as well: ``tier#<rwd_>#<mbr_>#<at>#<which time>``. A member's
rewards are listed in a partition of their own and not by an index, as indexes lag.
"""

from pynamodb.attributes import BooleanAttribute, JSONAttribute, UnicodeAttribute

from chalicelib.core.table import IntAttribute, Key, Row

SEEN_SHARDS = 4


class Rule(Row, discriminator="reward_rule"):
    """The newest version of a rule; ``on`` or ``off``."""

    rule_id = UnicodeAttribute()
    n = IntAttribute()
    terms = JSONAttribute()
    since = IntAttribute()
    made_at = IntAttribute()
    fingerprint = UnicodeAttribute()

    @staticmethod
    def key(rule_id: str) -> Key:
        """Rules are few, and read together."""
        return "REWARDS", rule_id


class Version(Row, discriminator="reward_version"):
    """What a rule said from ``since`` on, until the next version; never changed."""

    rule_id = UnicodeAttribute()
    n = IntAttribute()
    terms = JSONAttribute()
    since = IntAttribute()

    @staticmethod
    def key(rule_id: str, n: int) -> Key:
        """Versions in order."""
        return f"REWARD#{rule_id}", f"V#{n:06d}"


class Purse(Row, discriminator="reward_purse"):
    """One shard of what a rule may still give, and of what came of it."""

    left = IntAttribute()
    given = IntAttribute()
    missed = IntAttribute()
    taken_back = IntAttribute()

    @staticmethod
    def key(rule_id: str, k: int) -> Key:
        """Every shard is a partition of its own."""
        return f"PURSE#{rule_id}#{k}", "META"


class Grant(Row, discriminator="reward_grant"):
    """What one occurrence earned one member by one rule; its key is the once-only.

    ``shard``: of the purse; ``tracked``: it counts in `Progress`; ``day``: and in `Day`. ``holder_id``: in whose
    list and counts it is, since the member it was given to was merged; ``moved``: it only says that there is one.
    """

    grant_id = UnicodeAttribute()
    rule_id = UnicodeAttribute()
    n = IntAttribute()
    member_id = UnicodeAttribute()
    at = IntAttribute()
    gifts = JSONAttribute()
    shard = IntAttribute()
    tracked = BooleanAttribute()
    day = UnicodeAttribute(null=True)
    holder_id = UnicodeAttribute(null=True)

    @property
    def holder(self) -> str:
        """In whose list and counts it is."""
        return self.holder_id or self.member_id

    @staticmethod
    def key(occurrence: str, rule_id: str, member_id: str) -> Key:
        """Rule, occurrence and member."""
        return f"REWARDED#{occurrence}", f"{rule_id}#{member_id}"


class Listed(Row, discriminator="reward_listed"):
    """A grant in its member's list."""

    grant_id = UnicodeAttribute()
    rule_id = UnicodeAttribute()
    occurrence = UnicodeAttribute()
    role = UnicodeAttribute()
    fact = UnicodeAttribute()
    title = UnicodeAttribute()
    at = IntAttribute()
    gifts = JSONAttribute()
    short = JSONAttribute()
    reason = UnicodeAttribute(null=True)

    @staticmethod
    def key(member_id: str, at: int, grant_id: str) -> Key:
        """A member's grants in the order of what earned them."""
        return f"REWARDS#{member_id}", f"G#{at:011d}#{grant_id}"


class Progress(Row, discriminator="reward_progress"):
    """How often a rule has counted for a member; of tiers, which are reached and for the how-manieth time."""

    n = IntAttribute()
    tiers = JSONAttribute(null=True)

    @staticmethod
    def key(member_id: str, rule_id: str) -> Key:
        """One row for a member and a rule."""
        return f"REWARDS#{member_id}", f"RULE#{rule_id}"


class Day(Row, discriminator="reward_day"):
    """How often a rule has counted for a member on one day."""

    n = IntAttribute()

    @staticmethod
    def key(member_id: str, rule_id: str, day: str) -> Key:
        """One row for a member, a rule and a day of the brand's calendar."""
        return f"REWARDS#{member_id}", f"RULE#{rule_id}#{day}"


class First(Row, discriminator="reward_first_order"):
    """A member's first paid order, noted when a rule first asks for it."""

    order_id = UnicodeAttribute()

    @staticmethod
    def key(member_id: str) -> Key:
        """One row for a member."""
        return f"FIRST#{member_id}", "META"


class Seen(Row, discriminator="reward_seen"):
    """An occurrence that was reacted to, with what was known of it."""

    TRAFFIC = True
    actor = UnicodeAttribute()
    at = IntAttribute()
    known = JSONAttribute()

    @staticmethod
    def key(on: str, day: str, k: int, occurrence: str) -> Key:
        """The occurrences of a day lie in a few partitions."""
        return f"OCCURRED#{on}#{day}#{k}", occurrence
