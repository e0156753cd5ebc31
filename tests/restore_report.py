"""What the rehearsals of a restore did: `make restore-rehearsal` has them note it, and this tells docs/proof.md.

python -m tests.restore_report folder
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests import proof

_TEXT = """Made by `make restore-rehearsal`: a shop on the embedded store, beside a WeChat Pay, a bank and a mall
that remember. People buy, get money back and withdraw before and after a time; then the truth table is as of that
time, and the drill of [restore.md](restore.md) is played.

| the table put back | rehearsals | members paid | left for them | paid more than they earned |
|---|---|---|---|---|
| and nothing else done | {without} | {members} | {left_without} | {twice_without} of them, {too_much} too much |
| and brought up by the steps | {with_} | {members} | {left_with} | {twice_with} |

In {died} of the rehearsals with the steps the taking in of bills was killed, each time at another of its writes,
and said again twice. Each time, at the end, what left for each member, and came and went back for each order, in
WeChat Pay's, the bank's and the mall's own books was what the truth table says, all sums of which were proved; a
payment of an order that was lost ({stranded}) and a transfer to somebody who was lost were listed, and money out
was not switched on before somebody said that they need not be waited for.

The change of a shape is rehearsed by `tests/integration/test_migrating.py`: killed half-way, and begun again while
a release before and one of now write the same rows; none is lost, and the stream tells of those writes alone.
"""


def written(lines: Iterable[Mapping[str, Any]]) -> str:
    """The section."""
    told = list(lines)
    without = [line for line in told if "too_much_fen" in line]
    with_ = [line for line in told if "died" in line]
    return _TEXT.format(
        without=len(without),
        with_=len(with_),
        members=with_[0]["members"],
        left_without=_yuan(without[0]["left_fen"]),
        left_with=_yuan(with_[0]["left_fen"]),
        twice_without=without[0]["twice"],
        twice_with=sum(line["twice"] for line in with_) or "nobody",
        too_much=_yuan(without[0]["too_much_fen"]),
        stranded=_yuan(with_[0]["stranded_fen"]),
        died=sum(line["died"] for line in with_),
    )


def _yuan(fen: int) -> str:
    return f"¥{fen // 100:,}"


def main(folder: Path) -> None:
    """Tell the page what was noted in a folder."""
    proof.tell("A table of yesterday", written(proof.noted(folder)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
