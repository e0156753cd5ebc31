"""`make load` in short: a few seconds of a mixed day against a served stack, and its audit."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local import engine
from tests import needs
from tests.e2e.stack import ROOT

IN_SHORT = (
    "--seconds",
    "3",
    "--first",
    "20",
    "--last",
    "20",
    "--soak",
    "3",
    "--members",
    "20",
    "--seed",
    "4",
)
IN_THE_BACKGROUND = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")
"""Where interrupts are ignored."""
_RULE = re.compile(r"^\| ([^|]+) \| ([\d,]+) \| (\d+) \|$", re.MULTILINE)
RULES = 9


@pytest.mark.engine
def test_a_few_seconds_of_load_leave_nothing_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One of its own: what other tests plant is not right.
    monkeypatch.delenv("DYNAMODB_ENDPOINT", raising=False)
    if not (able := engine.available()):
        needs.go_without(able.reason)
    if not Path("/proc/self/status").exists():
        needs.go_without("what a process uses is read as Linux tells it")
    page = tmp_path / "proof.md"
    page.write_text("# Proof\n")

    command = [*IN_THE_BACKGROUND, sys.executable, "-m", "bench.load", *IN_SHORT, "--page", str(page)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    rules = _RULE.findall(page.read_text())
    assert len(rules) == RULES
    assert all(looked_at != "0" and violations == "0" for _, looked_at, violations in rules), rules
