"""What a member has in each room, when it concerns every room: two members become one, or one leaves.

A room declares how its part is handed over, told, held against leaving, and erased; `members` asks all of them and
knows none. What a room does here is done again after a failure, so that each step is a condition on its own rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """What a member must end first; ``code`` is API, ``details`` name the things."""

    code: str
    details: Mapping[str, Any] = field(default_factory=dict)


HandOver = Callable[[str, str, int], bool]
"""(from, to, now) -> whether anything was still there; asked again until it says no."""
Export = Callable[[str, int], Mapping[str, Any]]
"""(member, now) -> all that the room keeps of them, by a name that says what it is."""
Obstacles = Callable[[str, int], Sequence[Obstacle]]
Erase = Callable[[str, int], bool]
"""(member, now) -> whether there was still something to erase; asked again until it says no."""

_hand_overs: dict[str, HandOver] = {}
_exports: dict[str, Export] = {}
_obstacles: dict[str, Obstacles] = {}
_erasures: dict[str, Erase] = {}


def _declared(found: dict[str, F], room: str) -> Callable[[F], F]:
    def declare(do: F) -> F:
        found[room] = do
        return do

    return declare


def hands_over(room: str) -> Callable[[HandOver], HandOver]:
    """Declare how this room's things of one member become another's."""
    return _declared(_hand_overs, room)


def exports(room: str) -> Callable[[Export], Export]:
    """Declare what this room tells a member of themselves."""
    return _declared(_exports, room)


def obstructs(room: str) -> Callable[[Obstacles], Obstacles]:
    """Declare what in this room must end before a member can leave."""
    return _declared(_obstacles, room)


def erases(room: str) -> Callable[[Erase], Erase]:
    """Declare how this room forgets who a member was; ledgers stay, under a name that means nobody."""
    return _declared(_erasures, room)


def hand_overs() -> Mapping[str, HandOver]:
    """By room, in the order of declaration."""
    return _hand_overs


def exported(member_id: str, *, now: int) -> dict[str, Mapping[str, Any]]:
    """All that is kept of a member, by room."""
    return {room: tell(member_id, now) for room, tell in _exports.items()}


def obstacles(member_id: str, *, now: int) -> list[Obstacle]:
    """All that a member must end first."""
    return [found for ask in _obstacles.values() for found in ask(member_id, now)]


def erasures() -> Mapping[str, Erase]:
    """By room, in the order of declaration."""
    return _erasures
