"""Safety storage.

    entity    pk                              sk      written by         read by
    Check     CHECK#<chk_>                    META    ask, the job       the job, the room whose thing it is
    Trace     CHECKTRACE#<program>#<trace>    META    the job            the reaction to what WeChat pushes
    Risk *    RISK#<mbr_>                     META    rank               rank (once a day and member)

    * on the traffic table
    owner: Check: <mbr_>#checks, what a member wrote or uploaded
    due: Check: check_content from when it is pending; handed to a person when WeChat does not decide.

Facts: content.approved, content.rejected. A check's id is derived from the thing and what it says, so that asking
again is the same check. A text is kept with its check for as long as the check is.
"""

from typing import ClassVar

from pynamodb.attributes import UnicodeAttribute

from chalicelib.core.table import IntAttribute, Key, Row


class Check(Row, discriminator="content_check"):
    """Something that waits to be judged: ``pending`` → ``approved`` | ``rejected``.

    ``room`` and ``ref`` name the thing; ``trace_id`` is WeChat's, once it has taken a picture on.
    """

    FACTS: ClassVar = {
        ("pending", "approved"): "content.approved",
        ("pending", "rejected"): "content.rejected",
    }

    check_id = UnicodeAttribute()
    what = UnicodeAttribute()
    room = UnicodeAttribute()
    ref = UnicodeAttribute()
    content = UnicodeAttribute()
    scene = IntAttribute()
    member_id = UnicodeAttribute()
    program_id = UnicodeAttribute()
    trace_id = UnicodeAttribute(null=True)
    asked_at = IntAttribute()

    @staticmethod
    def key(check_id: str) -> Key:
        """Where the check of this id is."""
        return f"CHECK#{check_id}", "META"


class Trace(Row, discriminator="content_trace"):
    """Which check WeChat's ``trace_id`` is of."""

    check_id = UnicodeAttribute()

    @staticmethod
    def key(program_id: str, trace_id: str) -> Key:
        """One row for what WeChat took on."""
        return f"CHECKTRACE#{program_id}#{trace_id}", "META"


class Risk(Row, discriminator="risk_rank"):
    """How risky WeChat held a member to be, as of ``asked_at``."""

    TRAFFIC = True
    rank = IntAttribute()
    asked_at = IntAttribute()

    @staticmethod
    def key(member_id: str) -> Key:
        """One row for a member."""
        return f"RISK#{member_id}", "META"
