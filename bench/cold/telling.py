"""The section of docs/performance.md."""

import importlib.metadata
import os
import platform
import statistics
import textwrap
from collections.abc import Callable, Iterator, Sequence

from bench.cold.imports import TRIES, Imports, Module
from bench.cold.packages import Package, Packages
from bench.cold.rounds import CHALICE, LEAN, Kind, Spread, Starts, ratios, spread
from bench.cold.starting import Start
from bench.cost import deployed

BUDGET = 2.0
"""How many times the bare handler a cold start may take."""
_WHY = """
The design had 1.6. Every function imports all rooms, which is most of what it takes above the bare one; a function
for each room would have a cold start for each, and the floor is thinned and compiled like the rest: as chalice
packages it, the bare handler alone takes about twice as long.
"""
FLOOR = Kind(function="bare", package=LEAN)
SHOWN_MS = 4.0
"""A module of the tree that takes less is not shown."""
DEEP = 3
MEMORIES_MB = (512, 1024, deployed.ONE_PROCESSOR_MB)
_MEMORY = """
By memory, reckoned: a function imports with a whole processor whatever its memory (serverlessland.com, "Utilize
initialization phase"), and has 1/1769 of one for each MB from its first event on (AWS Lambda, "Configure Lambda
function memory"). With processors of Lambda like these, the first answer would take, without what comes before the
process:
"""
_VERSIONS = ("awslambdaric", "botocore", "chalice", "msgspec", "pynamodb", "aws-lambda-powertools")

_HEAD = """
From the moment a process is begun to the moment its first answer is there, with the real runtime client
(awslambdaric) against a Runtime API of our own, out of the unpacked zip of `make package`; nothing that is compiled
stays, as in Lambda, whose folder cannot be written. The store and Parameter Store answer from a local server that
looks nothing up. The floor, *bare*, is a handler that imports botocore, makes one client and one call, out of the
same package, so with the same bytecode and the same thinned data. All were started in turn, {rounds} times, after
once for nothing; figures are medians, between what the middle half of them is, and a ratio is to the floor of the
same round.

Made on {cores} cores ({machine}) with Python {python}, {versions}. What Lambda does before the process (placing and
unpacking the package, which grows with its size) and the share of a core that a memory setting gives are not in it:
trust the ratios.
"""


def section(packages: Packages, starts: Starts, imports: Imports) -> str:
    """The text below the heading."""
    return "\n\n".join([*_cold(starts), *_sizes(packages), *_imports(imports)])


def _cold(starts: Starts) -> Iterator[str]:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _VERSIONS)
    yield from _paragraphs(
        _HEAD.format(
            rounds=len(starts[FLOOR]),
            cores=os.cpu_count(),
            machine=platform.machine(),
            python=platform.python_version(),
            versions=versions,
        )
    )
    names = [
        "function",
        "imported, ms",
        "first answer, ms",
        "CPU, ms",
        "memory, MB",
        "calls",
        "× bare",
        "× bare, CPU",
    ]
    yield _table(names, [_line(starts, kind) for kind in starts if kind.package == LEAN])
    yield _verdict(starts)
    yield from _by_memory(starts)
    before = [kind for kind in starts if kind.package == CHALICE]
    yield _filled(
        "Before: the same code as chalice packages it, nothing pruned and nothing compiled; the floor is the same."
    )
    yield _table(names, [_line(starts, kind) for kind in before])


def _line(starts: Starts, kind: Kind) -> list[object]:
    some = starts[kind]
    calls = sum(some[-1].calls.values())
    wall, of_cpu = (ratios(starts, kind, FLOOR, of=of) for of in (_answered, cpu))
    return [
        kind.function,
        f"{statistics.median(one.asked_ms for one in some):.0f}",
        _shown(spread([_answered(one) for one in some]), digits=0),
        f"{statistics.median(map(cpu, some)):.0f}",
        f"{statistics.median(one.memory_mb for one in some):.0f}",
        calls,
        _shown(spread(wall), digits=2),
        f"{statistics.median(of_cpu):.2f}",
    ]


def _answered(one: Start) -> float:
    return one.answered_ms


def cpu(one: Start) -> float:
    return one.cpu_ms


def over(starts: Starts, *, of: Callable[[Start], float] = _answered, room: float = 1.0) -> dict[str, float]:
    """The functions that take more than the budget and as much ``room``: how many times the floor, the median."""
    kinds = [kind for kind in starts if kind.package == LEAN and kind != FLOOR]
    medians = {kind.function: statistics.median(ratios(starts, kind, FLOOR, of=of)) for kind in kinds}
    return {name: ratio for name, ratio in medians.items() if ratio > BUDGET * room}


def _verdict(starts: Starts) -> str:
    among, dear = len({kind for kind in starts if kind.package == LEAN} - {FLOOR}), over(starts)
    held = f"{among - len(dear)} of {among} are within the budget of {BUDGET} times the floor"
    return _filled(f"{held}; over it: {', '.join(dear)}. {_WHY}" if dear else f"{held}. {_WHY}")


def _by_memory(starts: Starts) -> Iterator[str]:
    yield _filled(_MEMORY)
    names = ["function", *(f"{mb} MB" for mb in MEMORIES_MB)]
    lines = [
        [kind.function, *(f"{statistics.median(_at(one, mb) for one in some):.0f} ms" for mb in MEMORIES_MB)]
        for kind, some in starts.items()
        if kind.package == LEAN
    ]
    yield _table(names, lines)


def _at(one: Start, memory_mb: int) -> float:
    """Milliseconds with the first event at the share of a processor that this memory is worth."""
    return one.asked_ms + (one.answered_ms - one.asked_ms) / deployed.share_of_a_processor(memory_mb)


def _sizes(packages: Packages) -> Iterator[str]:
    made = {
        "as chalice packages it": packages.chalice,
        "as deployed, x86_64": packages.lean,
        "as deployed, arm64": packages.arm64,
    }
    yield "### What is unpacked"
    yield _table(
        ["package", "zip, MB", "unpacked, MB", "files"], [_size(name, one) for name, one in made.items()]
    )
    yield _filled("Its parts, in MB of the zip, and unpacked:")
    before, after = packages.chalice.parts(), packages.lean.parts()
    lines = []
    for name in dict.fromkeys([*after, *before]):
        sizes = [one.get(name) for one in (before, after)]
        if any(size and size.zipped > 20_000 for size in sizes):
            lines.append([name, *(f"{_mb(s.zipped)} ({_mb(s.unpacked)})" if s else "none" for s in sizes)])
    yield _table(["part", "as chalice packages it", "as deployed"], lines)


def _size(name: str, package: Package) -> list[object]:
    size = package.size
    return [name, _mb(size.zipped), _mb(size.unpacked), size.files]


def _mb(size: int) -> str:
    return f"{size / 1e6:.2f}"


def _imports(imports: Imports) -> Iterator[str]:
    yield "### Where the time of importing goes"
    yield _filled(
        f"`python -X importtime -c 'import app'` out of the package, medians of {TRIES} runs; what it writes down "
        "makes it slower. Each package by itself, without those that it imports:"
    )
    yield _table(["package", "ms", "modules"], _parts(imports))
    yield _filled(f"As a tree, each with what it was the first to import, from {SHOWN_MS:.0f} ms on:")
    app = next(module for module in imports.tree if module.name == "app")
    yield "\n".join(["```text", *_branches(app, depth=0), "```"])
    yield _filled("Imported inside the functions that need it, and what it would add to every cold start:")
    later = sorted(imports.later.items(), key=lambda item: -item[1])
    yield _table(["library", "ms"], [[name, f"{ms:.1f}"] for name, ms in later])


def _parts(imports: Imports) -> list[list[object]]:
    """The rooms in one line; what takes less than a millisecond is left out."""
    rooms = {name: part for name, part in imports.parts.items() if _is_room(name)}
    together = (sum(ms for ms, _ in rooms.values()), sum(n for _, n in rooms.values()))
    others = {name: part for name, part in imports.parts.items() if name not in rooms and part[0] >= 1}
    shown = {**others, f"the {len(rooms)} rooms": together}
    return [[name, f"{ms:.1f}", n] for name, (ms, n) in sorted(shown.items(), key=lambda item: -item[1][0])]


def _is_room(name: str) -> bool:
    return name.startswith("chalicelib.") and name != "chalicelib.core"


def _branches(module: Module, *, depth: int) -> Iterator[str]:
    yield f"{module.total_us / 1000:7.1f} ms {'  ' * depth}{module.name}"
    if depth < DEEP:
        for below in module.below:
            if below.total_us / 1000 >= SHOWN_MS:
                yield from _branches(below, depth=depth + 1)


def _shown(one: Spread, *, digits: int) -> str:
    return f"{one.median:.{digits}f} ({one.low:.{digits}f} to {one.high:.{digits}f})"


def _paragraphs(text: str) -> list[str]:
    return [_filled(one) for one in text.strip().split("\n\n")]


def _filled(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 116, break_on_hyphens=False)


def _table(names: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    rows = [names, ["---"] * len(names), *lines]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)
