"""Where the time of importing the application goes, and what its libraries would add that are imported later."""

import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.unit.test_imports import house, imports

TRIES = 3
STANDARD = "standard library"
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")
_LATER = """
import importlib, sys, time
import app
began = time.perf_counter()
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:  # the name of something in a module
        importlib.import_module(name.rpartition(".")[0])
print((time.perf_counter() - began) * 1000)
"""


@dataclass(kw_only=True)
class Module:
    """What `-X importtime` says of one module, in microseconds: alone, and with what it was the first to import."""

    name: str
    own_us: int
    total_us: int
    below: list["Module"] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Imports:
    """``parts``: milliseconds of each package by itself, and of how many modules; ``tree``: of one of the runs;
    ``later``: milliseconds that each library would add to every cold start."""

    parts: Mapping[str, tuple[float, int]]
    tree: Sequence[Module]
    later: Mapping[str, float]


def measure(task: Path) -> Imports:
    """Of the unpacked package, each figure the median of some runs."""
    runs = [list(roots(_importtime(task))) for _ in range(TRIES)]
    by_run = [parts(run) for run in runs]
    middle = {
        name: (statistics.median(one[name][0] for one in by_run), by_run[0][name][1]) for name in by_run[0]
    }
    later = {
        name: statistics.median(_later(task, names) for _ in range(TRIES))
        for name, names in libraries().items()
    }
    return Imports(parts=middle, tree=runs[0], later=later)


def roots(told: str) -> Iterator[Module]:
    """The modules that were imported by none other, as Python reports them: each after those below it."""
    waiting: list[tuple[int, Module]] = []
    for own, total, indent, name in _LINE.findall(told):
        depth = len(indent) // 2
        module = Module(name=name, own_us=int(own), total_us=int(total))
        while waiting and waiting[-1][0] > depth:
            module.below.insert(0, waiting.pop()[1])
        waiting.append((depth, module))
    yield from (module for _, module in waiting)


def walk(modules: Sequence[Module]) -> Iterator[Module]:
    """Every module of a tree."""
    for module in modules:
        yield module
        yield from walk(module.below)


def parts(modules: Sequence[Module]) -> dict[str, tuple[float, int]]:
    """Milliseconds and modules by package: rooms of the application apart, the standard library together."""
    found: dict[str, tuple[float, int]] = {}
    for module in walk(modules):
        name = part_of(module.name)
        ms, n = found.get(name, (0.0, 0))
        found[name] = (ms + module.own_us / 1000, n + 1)
    return found


def part_of(name: str) -> str:
    """The package that a module is counted under."""
    top, _, rest = name.partition(".")
    if top in sys.stdlib_module_names:
        return STANDARD
    return f"{top}.{rest.split('.')[0]}" if top == "chalicelib" and rest else top


def libraries() -> dict[str, list[str]]:
    """What is imported only inside functions, by library: the names."""
    found: dict[str, set[str]] = {}
    for path, source in house().items():
        for one in imports(path, source):
            if not one.at_top and not one.target_room and part_of(one.name) != STANDARD:
                found.setdefault(_library(one.name), set()).add(one.name)
    return {name: sorted(modules) for name, modules in sorted(found.items())}


def _library(name: str) -> str:
    first, *rest = name.split(".")
    return ".".join([first, *rest[:2]]) if first == "aws_lambda_powertools" else first


def _importtime(task: Path) -> str:
    done = _python(task, "-X", "importtime", "-c", "import app")
    return done.stderr


def _later(task: Path, names: Sequence[str]) -> float:
    return float(_python(task, "-c", _LATER, *names).stdout)


def _python(task: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    variables = {"PYTHONPATH": str(task), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath, "STAGE": "dev"}
    command = [sys.executable, "-S", *arguments]
    return subprocess.run(  # noqa: S603 - Python, by us
        command, cwd=task, env=variables, capture_output=True, text=True, check=True
    )
