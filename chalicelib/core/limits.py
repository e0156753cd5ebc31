"""How often a member may call what changes something, in a minute: held by a row of theirs once they do it a lot.

    entity    pk              sk                    written by                         read by
    Calls *   CALLS#<mbr_>    <route>#<minute>      calls beyond a third of a limit    the same, in its condition
    * on the traffic table, for two minutes

The first third of a limit each process counts in its memory, so that a person's tap costs no call more than it did;
beyond it every call is counted in the row that all processes share. So a script is held to a limit, and to a third
of it more for each process that it meets. Who signs in is counted once WeChat has told who they are. An address is
no key here: a whole school shares one, and its row would be hot. Addresses, and whom nobody knows, are held back
before the function, by API Gateway's own limits and a firewall (docs/deploying.md).
"""

from chalicelib.core import table
from chalicelib.core.cache import Cache
from chalicelib.core.clock import MINUTE
from chalicelib.core.errors import TooMany
from chalicelib.core.table import IntAttribute, Key, Row

A_MINUTE = 60
"""What nobody does by hand to one route."""
TYPED_A_MINUTE = 9
"""Of routes that take a code which people type, so that it could be guessed."""
FREE = 3
_counted: Cache[int] = Cache(for_s=MINUTE, size=10_000)


class Calls(Row, discriminator="member_calls"):
    """Calls of a member to one route in one minute, beyond those that processes counted for themselves."""

    TRAFFIC = True
    n = IntAttribute()

    @staticmethod
    def key(member_id: str, route: str, minute: int) -> Key:
        """One row for a member, a route and a minute."""
        return f"CALLS#{member_id}", f"{route}#{minute}"


class TooManyCalls(TooMany):
    """This member has called this route as often as they may in a minute; nothing was done."""

    code = "too_many_calls"
    en = "You are doing this too often. Please wait a minute."
    zh = "操作过于频繁，请一分钟后再试。"
    advice = "Wait for Retry-After; details.until says when the minute is over."
    retry_after_s = MINUTE


def admit(member_id: str, route: str, *, a_minute: int, now: int) -> None:
    """Count a call.

    Raises:
        TooManyCalls: it is one too many.
    """
    minute, free = now // MINUTE, a_minute // FREE
    key = (member_id, route, minute)
    n = (_counted.peek(key, now=now) or 0) + 1
    _counted.put(key, n, now=now)
    if n <= free:
        return
    until = (minute + 1) * MINUTE
    refused = TooManyCalls(until=until)
    room, ttl = a_minute - free, until + MINUTE
    table.apply(table.counted(Calls, Calls.key(*key), at_most=room, ttl=ttl, refuse=lambda _: refused))
