"""What is packaged starts within its budget, held against a bare handler of botocore in the same run."""

import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from bench.cold import functions, rounds, telling
from bench.cold.rounds import LEAN, Starts
from tests import needs
from tests.packaging.conftest import Package

ROUNDS = 3
ROOM = 1.3
"""Two runs of a busy machine differ by as much."""


@pytest.fixture(scope="module")
def starts(packages: dict[str, Package], tmp_path_factory: pytest.TempPathFactory) -> Starts:
    if not Path("/proc/self/status").exists():
        needs.go_without("what a process uses is read as Linux tells it")
    task = tmp_path_factory.mktemp("task")
    package = packages["us-east-1"].folder
    with ZipFile(package / "deployment.zip") as given:
        given.extractall(task)
    deployed = functions.deployed(json.loads((package / "sam.json").read_text(encoding="utf-8")))
    played = [functions.bare(), *(one for one in deployed if one.name in ("react", "run_jobs") or one.status)]
    return rounds.of([(LEAN, one) for one in played], {LEAN: task}, ROUNDS)


def test_a_cold_start_is_within_its_budget(starts: Starts) -> None:
    assert telling.over(starts, of=telling.cpu, room=ROOM) == {}


def test_what_takes_longer_is_named(starts: Starts) -> None:
    assert set(telling.over(starts, of=telling.cpu, room=0)) == {kind.function for kind in starts} - {"bare"}
