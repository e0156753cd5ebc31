"""What this room keeps, all of it on the traffic table: it can be had again, and none of it decides anything.

entity    pk                       sk                    written by     read by
Token     WXTOKEN#<appid>          META                  current        current (each process, when its own is old)
Spent     WXBUDGET#<appid>         <name>#<window>       take, spent    take (in its condition)
"""

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


class Spent(Row, discriminator="wechat_budget"):
    """How much of a budget a program has used in one minute or one day."""

    TRAFFIC = True
    n = IntAttribute()

    @staticmethod
    def key(appid: str, name: str, window: str) -> Key:
        """One row for a program, a budget and a window."""
        return f"WXBUDGET#{appid}", f"{name}#{window}"
