"""Member storage.

    entity    pk                        sk            written by            read by
    Member    MEMBER#<mbr_>             META          register, edit        sign-in, profile (remembered 30 s)
    Identity  IDENTITY#<kind>#<value>   META          register, attach      sign-in, look-ups
    Blocked   BLOCKED                   <mbr_>        block, unblock        the member door (all, each 20 s)
    Program   PROGRAMS                  <id>          operators             everybody (all, each 30 s)
    Count     PROGRAMS                  #COUNT        add, remove program   add program (at most ten)
    Leaving   MEMBER#<mbr_>             LEAVING       ask, take back, job   the same, deletion's page
    Erased    ERASED#<hash>             META          the job               sign-in of somebody not known

    due    Leaving: leave#k when the member is to be erased, until they are. Member: react#k for what is owed of it.

Kinds of identity: ``openid#<program>``, ``unionid``, ``external``, ``phone``. An identity row is the uniqueness of
its proof: two first sign-ins at once make one member. Facts: member.registered, member.blocked, member.unblocked,
member.erased. A blocked row is swept when every session from before the block is over.

Member: active ↔ blocked, either → leaving → erased, or back. Leaving: waiting → closing → erasing → erased, and
closing → waiting.
"""

from pynamodb.attributes import BooleanAttribute, JSONAttribute, UnicodeAttribute, UnicodeSetAttribute

from chalicelib.core.table import IntAttribute, Key, Row


class Member(Row, discriminator="member"):
    """A person; ``active`` or ``blocked``, ``leaving`` while they are erased, and then a name that means nobody.

    ``leaving_at``: when they are to be erased, while they may still change their mind. ``returned``: they had been
    a member before and were erased. ``avatar`` is an upload of theirs; ``avatar_url`` an address that another
    system brought, until there is one.
    """

    FACTS = {
        (None, "active"): "member.registered",
        ("active", "blocked"): "member.blocked",
        ("blocked", "active"): "member.unblocked",
        ("leaving", "erased"): "member.erased",
    }

    member_id = UnicodeAttribute()
    nickname = UnicodeAttribute(null=True)
    avatar = UnicodeAttribute(null=True)
    nickname_pending = UnicodeAttribute(null=True)
    avatar_url = UnicodeAttribute(null=True)
    identities = UnicodeSetAttribute(null=True)
    program_id = UnicodeAttribute()
    registered_at = IntAttribute()
    came_link = UnicodeAttribute(null=True)
    came_visit = UnicodeAttribute(null=True)
    blocked_because = UnicodeAttribute(null=True)
    tags = UnicodeSetAttribute(null=True)
    leaving_at = IntAttribute(null=True)
    returned = BooleanAttribute(null=True)

    @staticmethod
    def key(member_id: str) -> Key:
        """Where the member of this id is."""
        return f"MEMBER#{member_id}", "META"


class Identity(Row, discriminator="identity"):
    """A proof of who somebody is, and the member it proves.

    ``session_key`` (of an openid only) is what WeChat encrypts and signs this person's data with; it never leaves.
    """

    member_id = UnicodeAttribute()
    session_key = UnicodeAttribute(null=True)

    @staticmethod
    def key(proof: str) -> Key:
        """One row for a proof such as ``openid#demo#oAbc``."""
        return f"IDENTITY#{proof}", "META"


class Blocked(Row, discriminator="blocked"):
    """A member who is refused; in state ``leaving``, as they are erased."""

    @staticmethod
    def key(member_id: str) -> Key:
        """One row for a member, all in one partition that is read as a whole."""
        return "BLOCKED", member_id


class Leaving(Row, discriminator="leaving"):
    """A member who is to be erased at ``erase_at``; ``was`` is the state that they had until then.

    ``forfeit``: they gave up the money that is left. ``obstacles`` are what postponed it, the last time.
    """

    member_id = UnicodeAttribute()
    asked_at = IntAttribute()
    erase_at = IntAttribute()
    forfeit = BooleanAttribute()
    was = UnicodeAttribute(null=True)
    obstacles = JSONAttribute(null=True)
    erased_at = IntAttribute(null=True)

    @staticmethod
    def key(member_id: str) -> Key:
        """Beside the member."""
        return f"MEMBER#{member_id}", "LEAVING"


class Erased(Row, discriminator="erased"):
    """That somebody with a proof was a member, from ``registered_at`` on; told only by the proof itself."""

    registered_at = IntAttribute()
    erased_at = IntAttribute()
    blocked = BooleanAttribute(null=True)

    @staticmethod
    def key(hashed: str) -> Key:
        """One row for a keyed hash of a proof."""
        return f"ERASED#{hashed}", "META"


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
