"""Every term switched off in turn, and who noticed: `make mutations`, into docs/proof-groupbuys.md.

    python -m tests.mutations                          from the beginning
    python -m tests.mutations --kept proof.json        goes on where a run with this file was broken off
    python -m tests.mutations --kept proof.json --part 1/3      beside two others, which write files of their own

It ends with 1 when a term is noticed by nobody and has no reason to stay, and when a reason is of no term.
"""

import argparse
import json
import sys
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.mutations import reasons, report, trial
from tests.mutations.terms import Term


@dataclass
class Kept:
    """What is known by now, kept in a file after every trial."""

    path: Path | None
    terms: list[str] = field(default_factory=list)
    by_a_meeting: dict[str, str | None] = field(default_factory=dict)
    by_a_course: dict[str, str | None] = field(default_factory=dict)
    by_the_model: dict[str, str | None] = field(default_factory=dict)
    by_a_race: dict[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path | None) -> "Kept":
        """As it was kept, or nothing yet."""
        known = json.loads(path.read_text()) if path and path.exists() else {}
        return cls(path=path, **known)

    @property
    def verdicts(self) -> dict[str, str | None]:
        """Who noticed what."""
        told = {name: said or self.by_a_course.get(name) for name, said in self.by_a_meeting.items()}
        for name, said in self.by_the_model.items():
            told[name] = told.get(name) or (said and f"the model: {said}")
        for name, said in self.by_a_race.items():
            told[name] = told.get(name) or said
        return told

    def keep(self) -> None:
        """Write it down."""
        if self.path:
            told = {name: value for name, value in asdict(self).items() if name != "path"}
            self.path.write_text(json.dumps(told, ensure_ascii=False, indent=1))


def main() -> int:
    """Try all terms and write the report."""
    asked = _asked()
    kept = Kept.of(asked.kept)
    number, parts = map(int, asked.part.split("/"))
    with trial.ground():
        kept.terms = sorted(map(str, trial.every_term()))
        kept.keep()
        mine = [off for off in _trials(kept.terms) if part_of(off, parts) == number - 1]
        for verdicts, noticed in (
            (kept.by_a_meeting, trial.noticed_by_a_meeting),
            (kept.by_a_course, trial.noticed_by_a_course),
            (kept.by_the_model, trial.noticed_by_the_model),
        ):
            _try(mine, kept, verdicts, noticed)
            left = [off for off in mine if verdicts[name_of(off)] is None]
            mine = [off for off in left if not reasons.one_of_several(off)]
        _try([off for off in mine if not reasons.argued(off)], kept, kept.by_a_race, trial.noticed_by_a_race)
    if parts > 1:
        return 0
    trial.REPORT.write_text(report.written(kept.terms, kept.verdicts))
    open_, stale = report.without_reason(kept.terms, kept.verdicts), reasons.stale(kept.terms)
    wrong = {"noticed by nobody, and without a reason:": open_, "reasons of no term:": stale}
    lines = [line for told, names in wrong.items() if names for line in (told, *names)]
    print("\n".join(lines or ["all is well"]))  # noqa: T201
    return 1 if lines else 0


def _try(
    trials: list[frozenset[Term]], kept: Kept, verdicts: dict[str, str | None], noticed: trial.Noticed
) -> None:
    for off in trials:
        name = name_of(off)
        if name not in verdicts:
            alone = {said for term in off if (said := kept.verdicts.get(str(term)))}
            verdicts[name] = noticed(off, alone)
            print(f"{name}: {verdicts[name]}", flush=True)  # noqa: T201
            kept.keep()


def name_of(off: frozenset[Term]) -> str:
    """What a trial is called."""
    return " + ".join(sorted(map(str, off)))


def part_of(off: frozenset[Term], parts: int) -> int:
    """Whose work this trial is; the same in every process."""
    return zlib.crc32(name_of(off).encode()) % parts


def _trials(terms: list[str]) -> list[frozenset[Term]]:
    """Each alone; and with its fellow each that may stay because another asks the same."""
    known = [Term.parsed(term) for term in terms]
    alone = [frozenset({term}) for term in known if not reasons.never_tried(term, known)]
    return [*alone, *reasons.together(known)]


def _asked() -> argparse.Namespace:
    given = argparse.ArgumentParser(prog="python -m tests.mutations")
    given.add_argument("--kept", type=Path)
    given.add_argument("--part", default="1/1")
    return given.parse_args()


if __name__ == "__main__":
    sys.exit(main())
