"""What a page may ask its member to allow in their next tap: WeChat lets it ask in a tap only, so that the page's
answer has it beforehand. Rooms say which tap may follow; who keeps the consents says what to ask, and is posted
here by `app.py`, as it stands above them.
"""

from collections.abc import Callable
from typing import Literal

from chalicelib.core.http import Call

Tap = Literal["group_join", "checkin", "coupon_claim", "withdrawal"]
Asks = Callable[[Tap, Call], list[str]]
_asks: Asks | None = None


def post(asks: Asks) -> None:
    """Post who says which templates to ask for, three at most."""
    global _asks  # noqa: PLW0603 - wired once, in app.py
    _asks = asks


def before(tap: Tap, call: Call) -> list[str]:
    """The templates to hand to wx.requestSubscribeMessage in this tap; none for strangers."""
    return _asks(tap, call) if _asks is not None and call.caller.session is not None else []
