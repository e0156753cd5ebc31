"""Member storage.

    entity    pk                        sk            written by            read by
    Member    MEMBER#<mbr_>             META          register, edit        sign-in, profile (remembered 30 s)
    Identity  IDENTITY#<kind>#<value>   META          register, attach      sign-in, look-ups
    Blocked   BLOCKED                   <mbr_>        block, unblock, merge the member door (all, each 20 s)
    Merge     MERGE#<mbr_>              META          merge (once a member) its job
    Program   PROGRAMS                  <id>          operators             everybody (all, each 30 s)
    Count     PROGRAMS                  #COUNT        add, remove program   add program (at most ten)

Kinds of identity: ``openid#<program>``, ``unionid``, ``external``. An identity row is the uniqueness of its
proof: two first sign-ins at once make one member. Facts: member.registered, member.blocked, member.unblocked,
member.merged. A blocked row, also of a member who was merged, is swept when every session from before it is over.

    due    Merge: merge#k from the first moment until its last look, a year later
    owner  Merge: <mbr_>#merges of the member who stays

    Member: active ↔ blocked, active | blocked → merged, which is the end. Merge: moving → done.
"""

from pynamodb.attributes import JSONAttribute, UnicodeAttribute, UnicodeSetAttribute

from chalicelib.core.table import IntAttribute, Key, Row


class Member(Row, discriminator="member"):
    """A person; ``active`` or ``blocked``; or ``merged`` into another, and then without anything personal.

    ``formerly``: the ids of those who were merged into them.
    """

    FACTS = {
        (None, "active"): "member.registered",
        ("active", "blocked"): "member.blocked",
        ("blocked", "active"): "member.unblocked",
    }

    member_id = UnicodeAttribute()
    nickname = UnicodeAttribute(null=True)
    avatar_url = UnicodeAttribute(null=True)
    identities = UnicodeSetAttribute(null=True)
    program_id = UnicodeAttribute()
    registered_at = IntAttribute()
    came_link = UnicodeAttribute(null=True)
    came_visit = UnicodeAttribute(null=True)
    blocked_because = UnicodeAttribute(null=True)
    tags = UnicodeSetAttribute(null=True)
    merged_into = UnicodeAttribute(null=True)
    merged_at = IntAttribute(null=True)
    formerly = UnicodeSetAttribute(null=True)

    @staticmethod
    def key(member_id: str) -> Key:
        """Where the member of this id is."""
        return f"MEMBER#{member_id}", "META"


class Identity(Row, discriminator="identity"):
    """A proof of who somebody is, and the member it proves."""

    member_id = UnicodeAttribute()

    @staticmethod
    def key(proof: str) -> Key:
        """One row for a proof such as ``openid#demo#oAbc``."""
        return f"IDENTITY#{proof}", "META"


class Blocked(Row, discriminator="blocked"):
    """A member who is refused; or, ``merged_into`` another, whose sessions are that one's."""

    merged_into = UnicodeAttribute(null=True)

    @staticmethod
    def key(member_id: str) -> Key:
        """One row for a member, all in one partition that is read as a whole."""
        return "BLOCKED", member_id


class Merge(Row, discriminator="merge"):
    """A member became another; ``moving`` until the last ``look`` for what is still theirs, then ``done``."""

    FACTS = {(None, "moving"): "member.merged"}

    member_id = UnicodeAttribute()
    into = UnicodeAttribute()
    merged_at = IntAttribute()
    look = IntAttribute()

    @staticmethod
    def key(member_id: str) -> Key:
        """A member is merged once."""
        return f"MERGE#{member_id}", "META"


class Program(Row, discriminator="program"):
    """One mini-program of the brand. ``secret_name`` names its secret, which is kept elsewhere."""

    program_id = UnicodeAttribute()
    appid = UnicodeAttribute()
    secret_name = UnicodeAttribute()
    name = UnicodeAttribute()
    platform = UnicodeAttribute()
    program_kind = UnicodeAttribute()
    landing_page = UnicodeAttribute()
    hand_overs = JSONAttribute()

    @staticmethod
    def key(program_id: str) -> Key:
        """All programs are in one partition."""
        return "PROGRAMS", program_id


class ProgramCount(Row, discriminator="program_count"):
    """How many programs there are: what the limit of ten compares."""

    n = IntAttribute()

    @staticmethod
    def key() -> Key:
        """Beside the programs; an id never begins with #."""
        return "PROGRAMS", "#COUNT"
