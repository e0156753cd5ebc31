"""What the mall tells that is of no order, for the rooms that it concerns.

Orders stand below the rooms that sell: who takes news of a type says so here when it is imported.
"""

from collections.abc import Callable

from chalicelib.orders.schemas import MallEvent

Taker = Callable[[MallEvent, int], bool]
_takers: dict[str, Taker] = {}


def takes(event_type: str, taker: Taker) -> None:
    """News of this type goes to ``taker``, which says whether it is about anything known here."""
    _takers[event_type] = taker


def taken(event: MallEvent, now: int) -> bool:
    """Whether the room that takes such news knew what it is about."""
    taker = _takers.get(event.type)
    return taker is not None and taker(event, now)
