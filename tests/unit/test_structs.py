"""Threads that meet a struct for the first time do not end the process."""

import subprocess
import sys

ALL_AT_ONCE = """
import sys, threading
from typing import Annotated, Optional

import msgspec

from chalicelib.core import due

FIELDS = [(f"field_{n}", "Optional[Annotated[int, msgspec.Meta(ge=0)]]", None) for n in range(40)]
KINDS = []
for n in range(40):
    inner = msgspec.defstruct(f"Inner{n}", FIELDS)
    globals()[f"Inner{n}"] = inner
    KINDS.append(msgspec.defstruct(f"Kind{n}", [*FIELDS, ("inner", f"Optional[Inner{n}]", None)]))

TOGETHER = threading.Barrier(due.WORKERS)
sys.setswitchinterval(1e-6)

def work(shard):
    for kind in KINDS:
        TOGETHER.wait(30)
        msgspec.convert({"field_1": 1, "inner": {"field_2": 3}}, kind)
    return due.Ran()

due._at_once(work, [f"job#{n}" for n in range(due.WORKERS)])
"""


def test_a_job_of_many_shards_meets_structs_on_all_its_threads() -> None:
    ended = subprocess.run([sys.executable, "-c", ALL_AT_ONCE], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")
