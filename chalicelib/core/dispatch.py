"""Which route a path leads to, for an API whose gateway does not know.

API Gateway allows a REST API 300 resources unless an account asks for more, and counts every segment of every path
(its developer guide, "Quotas for configuring and running a REST API"). The packaged API therefore has one greedy
resource, and each request comes to the function with its path still to be found. It is found as the gateway itself
would: a literal segment goes before a parameter, one slash at the end is overlooked, and nothing is decoded.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Segment:
    literals: dict[str, "_Segment"] = field(default_factory=dict)
    parameter: "_Segment | None" = None
    path: str | None = None
    """The route that ends here."""


class Paths:
    """The paths of all routes, segment by segment: to find one costs what it is long, not how many there are."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._root = _Segment()
        for path in paths:
            _at(self._root, path).path = path

    def find(self, path: str) -> tuple[str, dict[str, str]] | None:
        """The route's path that ``path`` is one of, with its parameters as they stand there; None: of no route."""
        parts = path.removesuffix("/").split("/")
        found = _find(self._root, parts, 0)
        if found is None:
            return None
        named = zip(found.split("/"), parts, strict=True)
        return found, {name[1:-1]: part for name, part in named if name.startswith("{")}


def _at(segment: _Segment, path: str) -> _Segment:
    for part in path.split("/"):
        if part.startswith("{"):
            segment.parameter = segment.parameter or _Segment()
            segment = segment.parameter
        else:
            segment = segment.literals.setdefault(part, _Segment())
    return segment


def _find(segment: _Segment, parts: list[str], depth: int) -> str | None:
    if depth == len(parts):
        return segment.path
    part = parts[depth]
    literal = segment.literals.get(part)
    found = _find(literal, parts, depth + 1) if literal else None
    if found is None and segment.parameter and part:
        found = _find(segment.parameter, parts, depth + 1)
    return found
