"""Every term switched off in turn, and who noticed: `make mutations`, into docs/proof-conditions.md.

    python -m tests.mutations --kept folder                    all rooms; goes on where a run was broken off
    python -m tests.mutations --kept folder --room coupons     one of them; several may be tried beside each other

What is known of a room is kept in a file of its own; without it, the room is tried from the beginning. Who adds a
test for a term that nobody noticed runs it again: only new tests are tried then. It ends with 1 when a term is
noticed by nobody and has no reason to stay, and when a reason is of no term.
"""

import argparse
import functools
import itertools
import json
import sys
from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import proof
from tests.mutations import reasons, report, trial
from tests.mutations.terms import Term


@dataclass
class Kept:
    """What is known of a room by now, kept in a file after every trial."""

    path: Path
    asked: dict[str, trial.Asked] = field(default_factory=dict)
    verdicts: report.Verdicts = field(default_factory=dict)
    in_vain: dict[str, list[str]] = field(default_factory=dict)
    """Of what nobody noticed, the tests that it was tried with."""

    @classmethod
    def of(cls, path: Path, *others: Path) -> "Kept":
        """As it was kept, or nothing yet; with what other rooms have of tests that are theirs as well."""
        known = [_read(path), *map(_read, others)]
        asked = {test: told for each in reversed(known) for test, told in each["asked"].items()}
        theirs = {name: value for name, value in known[0].items() if name != "asked"}
        return cls(path=path, asked={test: trial.Asked.of(told) for test, told in asked.items()}, **theirs)

    def keep(self) -> None:
        """Write it down, at once for who reads it meanwhile."""
        asked = {test: one.told for test, one in self.asked.items()}
        told = {"asked": asked, "verdicts": self.verdicts, "in_vain": self.in_vain}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(told, ensure_ascii=False, indent=0))
        new.replace(self.path)

    def asking(self, off: Set[Term], tests: Sequence[str]) -> list[str]:
        """Those of these tests that may notice and were not tried; without who notices one of several alone."""
        alone = {said for term in off if len(off) > 1 and (said := self.verdicts.get(str(term)))}
        but = alone.union(self.in_vain.get(report.name_of(off), ()))
        return [test for test in tests if test not in but and off & self.refused_in(test)]

    def refused_in(self, test: str) -> Set[Term]:
        """What is refused in it; nothing, where it is not played."""
        return self.asked[test].refused if test in self.asked else frozenset()

    def terms(self, room: str) -> list[Term]:
        """Those of the room that any of its tests asks for."""
        return sorted({term for one in self.asked.values() for term in one.terms if term.room == room})


def _read(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"asked": {}}
    return told


def main() -> int:
    """Try all terms and write the report."""
    given = _asked()
    given.kept.mkdir(parents=True, exist_ok=True)
    for room in given.room:
        kept = Kept.of(given.kept / f"{room}.json", *given.kept.glob("*.json"))
        trial.collected(room, functools.partial(_tried, room, kept))
    rooms = {room: Kept.of(path) for room in trial.ROOMS if (path := given.kept / f"{room}.json").exists()}
    return _told({room: (kept.terms(room), kept.verdicts) for room, kept in rooms.items()})


def _tried(room: str, kept: Kept, trials: trial.Trials) -> None:
    """All terms; with what takes longer only what nobody noticed by then and nothing argues for."""
    kept.asked = {test: one for test, one in kept.asked.items() if test in trials.items}
    for number, kinds in enumerate(trial.PHASES):
        if number and not _left(room, kept):
            return
        tests = [test for test in trials.items if trial.kind_of(test) in kinds]
        _learn(kept, trials, tests)
        for some in (_left, _fellows) if number else (_trials, _fellows):
            for off in some(room, kept):
                _try(off, kept, trials, tests)


def _learn(kept: Kept, trials: trial.Trials, tests: Sequence[str]) -> None:
    fresh = [test for test in tests if test not in kept.asked]
    for _, some in itertools.groupby(fresh, key=lambda test: test.partition("::")[0]):
        kept.asked |= trials.asked(list(some))
        kept.keep()


def _try(off: frozenset[Term], kept: Kept, trials: trial.Trials, tests: Sequence[str]) -> None:
    name = report.name_of(off)
    if kept.verdicts.get(name) in kept.asked:
        return
    asking = kept.asking(off, tests)
    kept.verdicts[name] = trials.noticed(off, {test: kept.asked[test] for test in asking})
    if not kept.verdicts[name]:
        kept.in_vain.setdefault(name, []).extend(asking)
    print(f"{name}: {kept.verdicts[name]}", flush=True)  # noqa: T201
    kept.keep()


def _trials(room: str, kept: Kept) -> list[frozenset[Term]]:
    """Each alone; and with its fellows each that may stay because another asks the same."""
    known = kept.terms(room)
    alone = [frozenset({term}) for term in known if not reasons.never_tried(term, known)]
    asked_for = {term for one in kept.asked.values() for term in one.terms}
    return alone + [off for off in reasons.together(asked_for) if _first_room(off) == room]


def _first_room(off: Set[Term]) -> str:
    """Several are tried in one room only."""
    theirs = {term.room for term in off}
    return next(room for room in trial.ROOMS if room in theirs)


def _left(room: str, kept: Kept) -> list[frozenset[Term]]:
    """What nobody noticed by now, and nothing argues for."""
    return [off for off in _trials(room, kept) if report.is_open(off, kept.verdicts)]


def _fellows(room: str, kept: Kept) -> list[frozenset[Term]]:
    """What one write asks of a row and nobody notices, all of it: each may be there for the others."""
    writes: dict[tuple[str, str], set[Term]] = defaultdict(set)
    for off in _left(room, kept):
        for term in off if len(off) == 1 else ():
            writes[term.site, term.kind].add(term)
    return [frozenset(terms) for terms in writes.values() if len(terms) > 1]


def _told(rooms: report.Rooms) -> int:
    report.PAGE.write_text(report.written(rooms), encoding="utf-8")
    proof.tell("Conditions that are not there", report.in_short(rooms))
    wrong = {
        "noticed by nobody, and without a reason:": report.without_reason(rooms),
        "reasons of no term:": reasons.stale((term for terms, _ in rooms.values() for term in terms), rooms),
    }
    lines = [line for told, names in wrong.items() if names for line in (told, *names)]
    print("\n".join(lines or ["all is well"]))  # noqa: T201
    return 1 if lines else 0


def _asked() -> argparse.Namespace:
    given = argparse.ArgumentParser(prog="python -m tests.mutations")
    given.add_argument("--kept", type=Path, required=True)
    given.add_argument("--room", choices=list(trial.ROOMS), nargs="*", default=list(trial.ROOMS))
    return given.parse_args()


if __name__ == "__main__":
    sys.exit(main())
