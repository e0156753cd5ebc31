"""What this room keeps. What is on the traffic table can be had again, and decides nothing.

entity    pk                       sk                    written by     read by
Token     WXTOKEN#<appid>          META                  current        current (each process, when its own is old)
Spent     WXBUDGET#<appid>         <name>#<window>       take, spent    take (in its condition)
"""

from typing import ClassVar

from pynamodb.attributes import UnicodeAttribute

from chalicelib.core.table import IntAttribute, Key, Row


class Token(Row, discriminator="wechat_token"):
    """The access token of a program, good until ``until``; somebody renews it until ``renewing_until``."""

    TRAFFIC = True
    token = UnicodeAttribute(null=True)
    until = IntAttribute(null=True)
    renewing_until = IntAttribute(null=True)

    @staticmethod
    def key(appid: str) -> Key:
        """One row for a program."""
        return f"WXTOKEN#{appid}", "META"


class Push(Row, discriminator="wechat_push"):
    """Something that WeChat told a program: an event, or what a person wrote to it. ``content`` is all of it."""

    FACTS: ClassVar = {(None, "arrived"): "wechat.pushed"}

    program_id = UnicodeAttribute()
    event = UnicodeAttribute()
    content = UnicodeAttribute()
    arrived_at = IntAttribute()

    @staticmethod
    def key(program_id: str, told: str) -> Key:
        """One row for what WeChat told, however often it does."""
        return f"WXPUSH#{program_id}#{told}", "META"


class Spent(Row, discriminator="wechat_budget"):
    """How much of a budget a program has used in one minute or one day."""

    TRAFFIC = True
    n = IntAttribute()

    @staticmethod
    def key(appid: str, name: str, window: str) -> Key:
        """One row for a program, a budget and a window."""
        return f"WXBUDGET#{appid}", f"{name}#{window}"
