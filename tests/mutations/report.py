"""What the run found, as docs/proof-groupbuys.md."""

from collections.abc import Iterator, Mapping, Sequence

from tests.mutations import reasons
from tests.mutations.terms import Term

Verdicts = Mapping[str, str | None]
NO_REASON, NOBODY = "NO REASON", "NOBODY"
HEAD = """# What holds up the group-buys

Each comparison in the condition of each write was switched off alone: of opening, joining, paying, leaving, ending
and refunding, of making, changing and closing a campaign, of what a person decides, and of the due work and the
facts that all of it goes by. Meetings and other tests of a known course, the model, and the races were run until
one of them noticed. Made by `make mutations`; the last column says who noticed, or why nobody has to.

Of several of which one is enough, each may stay for the others' sake: all of them were switched off together, and
that was noticed. What has an argument instead was tried with everything but the races.

A term names the function that builds the write, and the one it builds it for. Those of `core/` and of what is stuck
stand alone: they ask the same of any row, for whoever calls.
"""


def written(terms: Sequence[str], verdicts: Verdicts) -> str:
    """The page."""
    lines = [*_table(terms, verdicts), "", *_together(verdicts)]
    return HEAD + "\n" + "\n".join(lines) + "\n"


def _table(terms: Sequence[str], verdicts: Verdicts) -> Iterator[str]:
    known = [Term.parsed(term) for term in terms]
    yield "| write | condition | noticed by, or why it may stay |"
    yield "|---|---|---|"
    for term in known:
        yield f"| {term.site} | {term.kind} {term.text} | {_verdict(term, known, verdicts)} |"


def _verdict(term: Term, known: Sequence[Term], verdicts: Verdicts) -> str:
    if reasons.implied(term, known):
        return "implied: a row that is not there has nothing of what is compared beside it"
    noticed = verdicts.get(str(term))
    return f"**{noticed}**" if noticed else f"nobody: {reasons.why(str(term)) or NO_REASON}"


def _together(verdicts: Verdicts) -> Iterator[str]:
    yield "Several of which one is enough, all of them switched off:"
    yield ""
    for name, noticed in sorted(verdicts.items()):
        if " + " in name:
            yield f"- {name}: {noticed or NOBODY}"


def without_reason(terms: Sequence[str], verdicts: Verdicts) -> list[str]:
    """What nobody notices and may not stay: terms without a reason, and pairs of which one asks for nothing."""
    known = [Term.parsed(term) for term in terms]
    alone = [str(term) for term in known if not reasons.implied(term, known)]
    open_ = [name for name in alone if not verdicts.get(name) and not reasons.why(name)]
    return open_ + [name for name, noticed in verdicts.items() if " + " in name and not noticed]
