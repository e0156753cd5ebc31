"""Every function started in turn, several times over: a busy moment is one for its neighbours too."""

import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.cold import functions, store
from bench.cold.functions import BARE_HANDLER, Function
from bench.cold.packages import Packages
from bench.cold.starting import Place, Start, install_bare, install_client, start

ROUNDS = 11
LEAN, CHALICE = "as deployed", "as chalice packages it"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One function out of one package."""

    function: str
    package: str


Starts = Mapping[Kind, Sequence[Start]]
"""Those of a kind in the order of the rounds."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The median, and between what the middle half is."""

    low: float
    median: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Of at least two values."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(low=low, median=median, high=high)


def ratios(starts: Starts, kind: Kind, floor: Kind, *, of: Callable[[Start], float]) -> list[float]:
    """How many times the floor of the same round each start took."""
    return [of(one) / of(least) for one, least in zip(starts[kind], starts[floor], strict=True)]


def play(packages: Packages, *, rounds: int = ROUNDS) -> Starts:
    """All functions as they are deployed, and of what chalice packages the one that somebody waits for."""
    bare, deployed = functions.bare(), functions.deployed(packages.template)
    tasks = {LEAN: packages.lean.task, CHALICE: packages.chalice.task}
    return of(
        [*((LEAN, one) for one in [bare, *deployed]), (CHALICE, bare), (CHALICE, deployed[0])], tasks, rounds
    )


def of(played: Sequence[tuple[str, Function]], tasks: Mapping[str, Path], rounds: int) -> Starts:
    """Start everything once for nothing, so that every file was read before, and then ``rounds`` times; ``tasks``:
    where each package is unpacked."""
    starts: dict[Kind, list[Start]] = {}
    with tempfile.TemporaryDirectory() as folder, store.serving() as answering:
        beside, client = install_bare(Path(folder) / "bare"), install_client(Path(folder) / "client")
        for number in range(rounds + 1):
            for package, function in played:
                place = Place(task=tasks[package], client=client, store=answering)
                one = start(function, place, beside=beside if function.handler == BARE_HANDLER else None)
                if number:
                    starts.setdefault(Kind(function=function.name, package=package), []).append(one)
            print(f"round {number} of {rounds}", file=sys.stderr)
    return starts
