"""Notifications storage.

    entity        pk                  sk                          written by               read by
    Notification  NOTIFY#<mbr_>       NTF#<ntf_>                  facts, seen, the job     inbox, the job, operators
    Settings      NOTIFY#<mbr_>       SETTINGS                    the member               the job
    Consent       NOTIFY#<mbr_>       CONSENT#<program>#<tpl>     a tap, the job           the job, ask
    Tap           NOTIFY#<mbr_>       TAP#<program>#<tap>         a tap                    a tap (once)
    Day           NOTIFY#<mbr_>       DAY#<YYYY-MM-DD>            the job                  the job
    Templates     MESSAGETEMPLATES    <program>                   operators                everybody (30 s)
    Watch         GROUPWATCH#<grp_>   META                        a group's opening        the job
    Activity      ACTIVITY#<grp_>     <program>                   who shares, facts, job   the job

    due    Notification: notify#k while a message is to be sent, stuck#notify when WeChat does not take it.
           Watch: group_ending#k some time before the group's end, then gone. Activity: activity#k while the card in
           the chat is behind the group
    owner  Notification: <mbr_>#unseen, then <mbr_>#seen, newest first

A notification's id is derived from its fact and its member: a fact that is told twice tells once. Of its message:
``inbox`` (none is sent, ``why`` says for what reason), or due → sending → sent | refused; ``taken`` is one that has
its consent and waits, since WeChat could not be asked, or did not take what operators had set up. Who finds it
``sending`` does not know whether WeChat was asked: after two minutes it counts as sent. All stay for 90 days.
"""

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from chalicelib.core.table import IntAttribute, Key, Row


def member_key(member_id: str) -> str:
    """The partition that has all of a member's."""
    return f"NOTIFY#{member_id}"


class Notification(Row, discriminator="notification"):
    """What a member is told, and what became of its message, which holds the consent of a program's template.

    ``about`` is the kind of notification, ``until``: later its message is of no use. ``sender``: the run that sends
    it; ``accepts``: how often its member had allowed the template when its consent was taken.
    """

    notification_id = UnicodeAttribute()
    member_id = UnicodeAttribute()
    about = UnicodeAttribute()
    target_id = UnicodeAttribute()
    data = JSONAttribute()
    told_at = IntAttribute()
    until = IntAttribute(null=True)
    seen_at = IntAttribute(null=True)
    why = UnicodeAttribute(null=True)
    program_id = UnicodeAttribute(null=True)
    template_id = UnicodeAttribute(null=True)
    accepts = IntAttribute(null=True)
    sender = UnicodeAttribute(null=True)
    sending_at = IntAttribute(null=True)

    @staticmethod
    def key(member_id: str, notification_id: str) -> Key:
        """One row for a fact and a member."""
        return member_key(member_id), f"NTF#{notification_id}"


class Settings(Row, discriminator="notification_settings"):
    """What a member wants to be sent by WeChat, and when not; without it, all, and not at night."""

    told = JSONAttribute()

    @staticmethod
    def key(member_id: str) -> Key:
        """One row for a member."""
        return member_key(member_id), "SETTINGS"


class Consent(Row, discriminator="message_consent"):
    """How many messages of a template a member allows: ``left``, of ``accepts`` taps; or until when not to ask."""

    left = IntAttribute()
    accepts = IntAttribute()
    not_before = IntAttribute(null=True)

    @staticmethod
    def key(member_id: str, program_id: str, template_id: str) -> Key:
        """One row for a member, a program and a template."""
        return member_key(member_id), f"CONSENT#{program_id}#{template_id}"


class Tap(Row, discriminator="consent_tap"):
    """A tap that was counted."""

    @staticmethod
    def key(member_id: str, program_id: str, tap_id: str) -> Key:
        """Once for a tap."""
        return member_key(member_id), f"TAP#{program_id}#{tap_id}"


class Day(Row, discriminator="message_day"):
    """How many messages a member was sent on a day."""

    n = IntAttribute()

    @staticmethod
    def key(member_id: str, day: str) -> Key:
        """One row for a member and a day of the brand."""
        return member_key(member_id), f"DAY#{day}"


class Templates(Row, discriminator="message_templates"):
    """Which template of a program tells of which kind, and how its keywords are filled."""

    program_id = UnicodeAttribute()
    items = JSONAttribute()

    @staticmethod
    def key(program_id: str) -> Key:
        """All programs are in one partition."""
        return "MESSAGETEMPLATES", program_id


class Watch(Row, discriminator="group_watch"):
    """A group whose members are told some time before it ends."""

    group_id = UnicodeAttribute()

    @staticmethod
    def key(group_id: str) -> Key:
        """One row for a group."""
        return f"GROUPWATCH#{group_id}", "META"


class Activity(Row, discriminator="activity"):
    """The card of a group in chats of one program, and what was told of it last; ``asked`` grows with each news.

    ``shown`` is WeChat's target_state: 0 gathering, 1 full, 2 over. ``busy_until``: somebody tells it now.
    """

    group_id = UnicodeAttribute()
    program_id = UnicodeAttribute()
    activity_id = UnicodeAttribute()
    expires_at = IntAttribute()
    asked = IntAttribute()
    shown = IntAttribute()
    members = IntAttribute()
    told_rev = IntAttribute()
    busy_until = IntAttribute(null=True)

    @staticmethod
    def key(group_id: str, program_id: str) -> Key:
        """One row for a group and a program."""
        return f"ACTIVITY#{group_id}", program_id
