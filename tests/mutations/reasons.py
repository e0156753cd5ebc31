"""Why a term may stay although nobody notices when it is gone.

Two kinds of reason are checked by the run itself: that a missing row has none of the attributes that another term
compares (`implied`), and that another term asks the same (`PAIRS`: with both of them gone somebody must notice).
The others are an argument, made here.
"""

from collections.abc import Iterable, Sequence

from tests.mutations.terms import Term

PAIRS: dict[str, tuple[str, str]] = {}
REASONS: dict[str, str] = {}


def implied(term: Term, known: Iterable[Term]) -> bool:
    """Whether the row exists if another term of the same write holds: it compares what a missing row has not."""
    beside = [one for one in known if (one.site, one.kind) == (term.site, term.kind)]
    return term.text == "exists" and any(" " in one.text and not one.text.startswith("no ") for one in beside)


def pairs(known: Sequence[Term]) -> list[frozenset[Term]]:
    """Those that stay for each other's sake, together."""
    there = {str(term) for term in known}
    return sorted(
        {
            frozenset({Term.parsed(one), Term.parsed(other)})
            for one, (other, _) in PAIRS.items()
            if {one, other} <= there
        },
        key=lambda off: sorted(map(str, off)),
    )


def why(term: str) -> str | None:
    """Why it may stay."""
    if term in PAIRS:
        other, told = PAIRS[term]
        return f"{told} (with `{other}` gone as well it is noticed)"
    return REASONS.get(term)
