"""One cold start: a new process of Python with the real runtime client, until its first answer is there."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.cold import runtime
from bench.cold.functions import BARE, Function
from bench.cold.store import Store

CLIENT = ("awslambdaric", "simplejson", "snapshot-restore-py")
"""The runtime client and what it needs, which Lambda has beside the function."""
PATIENCE_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Start:
    """``asked_ms``: until all was imported and the first event asked for; ``answered_ms``: until it was answered,
    both since the process was begun. ``cpu_ms`` is what it had used by then, ``memory_mb`` the most it held."""

    asked_ms: float
    answered_ms: float
    cpu_ms: float
    memory_mb: float
    calls: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where functions start: the unpacked package, and the runtime client in a folder of its own."""

    task: Path
    client: Path
    store: Store


def install_client(folder: Path) -> Path:
    """The runtime client alone, out of an environment in which there is much more."""
    folder.mkdir()
    for name in CLIENT:
        for file in importlib.metadata.files(name) or []:
            if ".." not in file.parts:
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target)
    return folder


def install_bare(folder: Path) -> Path:
    """The bare handler in a folder of its own."""
    folder.mkdir()
    shutil.copy(BARE, folder / "bare.py")
    return folder


def start(function: Function, place: Place, *, beside: Path | None = None) -> Start:
    """Begin the function, give it its event, and end it; ``beside``: where its handler is, if not in the package.

    Raises:
        Failed: it did not answer as it should.
    """
    place.store.calls.clear()
    deadline_ms = (time.time_ns() // 10**6) + 60_000
    with runtime.serving(function.event, deadline_ms=deadline_ms) as api:
        began = time.perf_counter()
        process = _begun(function, place, api=api.address, folder=beside or place.task)
        cpu_ms, held_mb = _until_answered(process, api)
    if not function.is_right(api.answer):
        raise runtime.Failed(f"{function.name}: {api.answer.decode()[:500]}")
    return Start(
        asked_ms=(api.asked_at - began) * 1000,
        answered_ms=(api.answered_at - began) * 1000,
        cpu_ms=cpu_ms,
        memory_mb=held_mb,
        calls=dict(place.store.calls),
    )


def _begun(function: Function, place: Place, *, api: str, folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603 - Python, by us
        [sys.executable, "-S", "-m", "awslambdaric", function.handler],
        cwd=folder,
        env=_variables(function, place, api=api),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _until_answered(process: "subprocess.Popen[bytes]", api: runtime.Runtime) -> tuple[float, float]:
    """Wait for the answer and end the process: the milliseconds of CPU it used, and the MB it held at most."""
    try:
        api.wait(seconds=PATIENCE_S)
        held_mb = _most_held_mb(process.pid)
    finally:
        process.kill()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return (used.ru_utime + used.ru_stime) * 1000, held_mb


def _most_held_mb(pid: int) -> float:
    """What Linux says; what it tells of a process that has ended includes that of the one that began it."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def _variables(function: Function, place: Place, *, api: str) -> dict[str, str]:
    """What Lambda sets, what the template sets, and where the store is."""
    region = "us-east-1"
    return {
        **function.variables,
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{sys.version_info.major}.{sys.version_info.minor}",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_ENDPOINT_URL": place.store.url,
        "LAMBDA_TASK_ROOT": str(place.task),
        "PYTHONPATH": os.pathsep.join([str(place.client), str(place.task)]),
        # Lambda's task folder is read-only: nothing that is compiled there stays.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": os.defpath,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
    }
