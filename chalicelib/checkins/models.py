"""Check-in storage.

    entity    pk                        sk               written by                    read by
    Campaign  CHECKINS                  <cmp_>           operators                     everybody (30 s)
    Month     CHECKIN#<cmp_>#<mbr_>     MONTH#<YYYY-MM>  check in, make up             page, check in, team, report
    Part      CHECKIN#<cmp_>#<mbr_>     PART             reminder, team, 1st check-in  page, check in, reminders
    Note      NOTES#<cmp_>#<mbr_>       <YYYY-MM-DD>     check in, operators           page, team, operators
    Team      CREW#<ctm_>               META             create, join, leave           team
    Mate      CREW#<ctm_>               MATE#<mbr_>      create, join, leave           team

    due    Month: react#k when somebody checked in. Part: checkin_remind#k at the member's reminder time.
    owner  Month: <cmp_>#<YYYY-MM>#<k> (16 of them), so that a report finds a month's rows; written once a month

The newest month of a member says all that the next check-in needs: its days, the run that was ``carried`` into it,
the turns there were ``before`` it. Whatever is written of a member's days also writes that row, under its ``rev``
as it was read, so that two at once cannot both be right about what they give: the second reads again. The very
first check-in has no such row, and sets ``begun`` instead. PART sorts after the months: one query, newest first,
reads a member's part and their two newest months.

``state`` of a month is the date checked in last, of a part the date reminded of last: each change of it is a fact,
checkin.done and checkin.reminder. A make-up changes no state.
"""

from pynamodb.attributes import BooleanAttribute, JSONAttribute, NumberSetAttribute, UnicodeAttribute

from chalicelib.core.facts import ANY_CHANGE
from chalicelib.core.table import IntAttribute, Key, Row


class Campaign(Row, discriminator="checkin_campaign"):
    """When people check in, and what for; ``running``, ``paused`` or ``closed``."""

    campaign_id = UnicodeAttribute()
    title = UnicodeAttribute()
    type = UnicodeAttribute()
    timezone = UnicodeAttribute()
    day_starts_at_minute = IntAttribute()
    every = UnicodeAttribute()
    target = IntAttribute(null=True)
    starts_at = IntAttribute()
    ends_at = IntAttribute(null=True)
    rewards = JSONAttribute()
    cycle = IntAttribute(null=True)
    makeups = JSONAttribute(null=True)
    freeze_at_most = IntAttribute()
    notes = BooleanAttribute()
    team_size = IntAttribute(null=True)
    created_at = IntAttribute()
    fingerprint = UnicodeAttribute()

    @staticmethod
    def key(campaign_id: str) -> Key:
        """Campaigns are few, and listed together."""
        return "CHECKINS", campaign_id


class Month(Row, discriminator="checkin_month"):
    """A member's turns of one month, by day of the month; ``made_up`` are among ``days``, ``frozen`` are not."""

    FACTS = {ANY_CHANGE: "checkin.done"}

    campaign_id = UnicodeAttribute()
    member_id = UnicodeAttribute()
    days = NumberSetAttribute(null=True)
    made_up = NumberSetAttribute(null=True)
    frozen = NumberSetAttribute(null=True)
    carried = IntAttribute()
    before = IntAttribute()
    told = JSONAttribute(null=True)

    @staticmethod
    def key(campaign_id: str, member_id: str, month: str) -> Key:
        """One row for a member, a campaign and a month."""
        return member_key(campaign_id, member_id), f"MONTH#{month}"

    @property
    def month(self) -> str:
        """Which month it is."""
        return self.sk.removeprefix("MONTH#")


class Part(Row, discriminator="checkin_part"):
    """A member's part in a campaign: since when, in which team, and when they want to be reminded."""

    FACTS = {ANY_CHANGE: "checkin.reminder"}

    campaign_id = UnicodeAttribute(null=True)
    member_id = UnicodeAttribute(null=True)
    begun = UnicodeAttribute(null=True)
    team_id = UnicodeAttribute(null=True)
    remind_at_minute = IntAttribute(null=True)

    @staticmethod
    def key(campaign_id: str, member_id: str) -> Key:
        """One row for a member and a campaign, after the months."""
        return member_key(campaign_id, member_id), "PART"


class Note(Row, discriminator="checkin_note"):
    """What a member said or showed with a check-in; ``visible`` to them and their team, ``pending`` (only to them,
    until it is checked), or ``hidden`` from all. ``image`` is an upload of theirs.
    """

    text = UnicodeAttribute(null=True)
    image = UnicodeAttribute(null=True)
    created_at = IntAttribute()

    @staticmethod
    def key(campaign_id: str, member_id: str, turn: str) -> Key:
        """One note for a check-in."""
        return f"NOTES#{campaign_id}#{member_id}", turn


class Team(Row, discriminator="checkin_team"):
    """Friends in a challenge; ``free`` places are left. ``title_pending`` is to be checked first."""

    team_id = UnicodeAttribute()
    campaign_id = UnicodeAttribute()
    title = UnicodeAttribute()
    title_pending = UnicodeAttribute(null=True)
    founder_id = UnicodeAttribute()
    size = IntAttribute()
    free = IntAttribute()
    created_at = IntAttribute()

    @staticmethod
    def key(team_id: str) -> Key:
        """Where the team of this id is; its mates are beside it."""
        return f"CREW#{team_id}", "META"


class Mate(Row, discriminator="checkin_mate"):
    """One member of a team."""

    member_id = UnicodeAttribute()
    joined_at = IntAttribute()

    @staticmethod
    def key(team_id: str, member_id: str) -> Key:
        """One place for a member in a team."""
        return f"CREW#{team_id}", f"MATE#{member_id}"


def member_key(campaign_id: str, member_id: str) -> str:
    """The partition of a member's days in a campaign."""
    return f"CHECKIN#{campaign_id}#{member_id}"
