"""What the run found, as docs/proof-conditions.md and a section of docs/proof.md."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set

from tests import proof
from tests.mutations import reasons, trial
from tests.mutations.terms import Term

Verdicts = dict[str, str | None]
Rooms = Mapping[str, tuple[Sequence[Term], Mapping[str, str | None]]]
"""Of each room that was tried its terms, and who noticed what."""
PAGE = proof.DOCS / "proof-conditions.md"
NO_REASON, NOBODY, UNTRIED = "NO REASON", "NOBODY", "NOT TRIED"
IMPLIED = "implied: a row that is not there has nothing of what is compared beside it"
COLUMNS = {
    "integration": "a test of a known course",
    "doubled": "a call that meets itself",
    "faults": "a fault",
    "model": "a model",
    "races": "a race",
    "together": "with its fellows",
    "implied": "implied",
    "argued": "argued",
    NO_REASON: "nobody",
    UNTRIED: "not tried yet",
}
HEAD = """# What every condition is for

Each comparison in the condition of each write was switched off alone, as if somebody had forgotten it, and the
tests in which such a write is refused were run until one of them failed: in all others nothing changes without it.
Those of a known course come first; then the same once more while each call of theirs meets itself ("doubled": just
before its first write somebody else makes the same call, from beginning to end); then faults, models and races.
This page is made by `make mutations`; the last column says who noticed, or why nobody has to.

Where nobody notices this of several conditions of one write, they were switched off together, each "with its
fellows": one of them would do, and which of them refuses is no matter. Of several in several writes of which one is
enough, each may stay for the others' sake: they were switched off together as well, and that was noticed.

A term names whom a write is built for and, last, the function that builds it, in whose room it stands. Those of
`core`, of the trail and of what is stuck stand alone: they ask the same of any row, for whoever calls.
"""


def name_of(off: Set[Term]) -> str:
    """What a trial is called."""
    return " + ".join(sorted(map(str, off)))


def written(rooms: Rooms) -> str:
    """The page."""
    sections = [line for room, (terms, verdicts) in rooms.items() for line in _section(room, terms, verdicts)]
    return "\n".join([HEAD, *_missing(rooms), *sections])


def in_short(rooms: Rooms) -> str:
    """How many terms of each room who noticed."""
    counted = {room: Counter(_by(term, *told) for term in told[0]) for room, told in rooms.items()}
    lines = [
        "Each comparison in the condition of each write, switched off alone, and which test noticed; made by",
        "`make mutations`. [Each by its name](proof-conditions.md), with the reason where nobody has to notice.",
        "",
        f"| room | terms | {' | '.join(COLUMNS.values())} |",
        f"|---|{'---|' * (len(COLUMNS) + 1)}",
        *(_row(room, told) for room, told in counted.items()),
        _row("all", sum(counted.values(), Counter())),
        "",
        *_missing(rooms),
    ]
    return "\n".join(lines)


def _row(room: str, told: Counter[str]) -> str:
    return f"| {room} | {told.total()} | {' | '.join(str(told[column]) for column in COLUMNS)} |"


def _missing(rooms: Rooms) -> Iterator[str]:
    left = [room for room in trial.ROOMS if room not in rooms]
    if left:
        yield f"Not tried in this run: {', '.join(left)}."
        yield ""


def _by(term: Term, known: Sequence[Term], verdicts: Mapping[str, str | None]) -> str:
    if reasons.implied(term, known):
        return "implied"
    noticed = verdicts.get(str(term))
    if noticed or reasons.why(term):
        return trial.kind_of(noticed) if noticed else "argued"
    if _with_others(term, verdicts):
        return "together"
    return NO_REASON if str(term) in verdicts else UNTRIED


def _with_others(term: Term, verdicts: Mapping[str, str | None]) -> str | None:
    """Who notices that all of it is gone of which this write asks and nobody notices that it alone is."""
    return next((said for name, said in verdicts.items() if said and _is_write_of(term, name)), None)


def _is_write_of(term: Term, name: str) -> bool:
    terms = list(map(Term.parsed, name.split(" + ")))
    alike = {(one.site, one.kind) for one in terms} == {(term.site, term.kind)}
    return len(terms) > 1 and term in terms and alike


def is_open(off: Set[Term], verdicts: Mapping[str, str | None]) -> bool:
    """Whether nobody notices by now that these are gone, and nothing argues for them."""
    if verdicts.get(name_of(off)):
        return False
    return len(off) > 1 or not any(reasons.why(term) or _with_others(term, verdicts) for term in off)


def _section(room: str, terms: Sequence[Term], verdicts: Mapping[str, str | None]) -> Iterator[str]:
    open_ = len(_open(terms, verdicts))
    yield from (f"## {room}", "")
    if open_:
        yield from (
            f"Not whole yet: {open_} of its terms were not tried, or nobody noticed and no reason is given.",
            "",
        )
    yield from ("| write | condition | noticed by, or why it may stay |", "|---|---|---|")
    for term in terms:
        yield f"| {term.site} | {term.kind} {term.text} | {_verdict(term, terms, verdicts)} |"
    yield ""
    argued = set(map(name_of, reasons.together_of_all()))
    together = [(name, noticed) for name, noticed in sorted(verdicts.items()) if name in argued]
    if together:
        yield from ("Several of which one is enough, all of them switched off:", "")
        yield from (f"- {name}: {_shown(noticed) if noticed else NOBODY}" for name, noticed in together)
        yield ""


def _verdict(term: Term, known: Sequence[Term], verdicts: Mapping[str, str | None]) -> str:
    noticed, with_others = verdicts.get(str(term)), _with_others(term, verdicts)
    if reasons.implied(term, known):
        return IMPLIED
    if noticed or reasons.why(term):
        return f"**{_shown(noticed)}**" if noticed else f"nobody: {reasons.why(term)}"
    if with_others:
        return f"with its fellows: **{_shown(with_others)}**"
    return f"nobody: {NO_REASON}" if str(term) in verdicts else UNTRIED


def _shown(test: str) -> str:
    kind, name = trial.kind_of(test), test.removesuffix(trial.DOUBLED).rpartition("::")[2].partition("[")[0]
    return name if kind == "integration" else f"{name} ({kind})"


def without_reason(rooms: Rooms) -> list[str]:
    """What nobody notices and may not stay: terms without a reason, and sets of which none asks for anything."""
    alone = [name for terms, verdicts in rooms.values() for name in _open(terms, verdicts)]
    argued = set(map(name_of, reasons.together_of_all()))
    sets = [name for _, told in rooms.values() for name, said in told.items() if name in argued and not said]
    return alone + sets


def _open(terms: Sequence[Term], verdicts: Mapping[str, str | None]) -> list[str]:
    return [str(term) for term in terms if _by(term, terms, verdicts) in (NO_REASON, UNTRIED)]
