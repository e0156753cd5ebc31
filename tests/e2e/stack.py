"""A stack of its own in a process of its own, as `make run` starts it, on a free port."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
STARTS_WITHIN_S = 60.0
_SERVING = re.compile(
    r"serving on (http://\S+).*demo mall is at (http://\S+).*WeChat, simulated, is at (http://\S+)", re.DOTALL
)
# What the tests of this process set for the application would not be a newcomer's environment.
_NOT_OURS = ("STAGE", "TABLE", "BASE_URL", "SECRET", "WECHAT", "MALL", "DYNAMODB_ENDPOINT", "POWERTOOLS")


@dataclass(frozen=True, kw_only=True)
class Running:
    """Where it answers, where the mall and the WeChat beside it do, and its process."""

    url: str
    mall_url: str
    wechat_url: str
    process: "subprocess.Popen[str]"


@contextlib.contextmanager
def started(*arguments: str, **settings: str) -> Iterator[Running]:
    """A stack that serves, stopped as a person stops it; ``settings`` are variables of its environment.

    Raises:
        AssertionError: it did not say that it serves within a minute.
    """
    environment = {
        name: value for name, value in os.environ.items() if not any(part in name for part in _NOT_OURS)
    }
    command = [sys.executable, "-u", "-m", "infra.local", "--port", "0", *arguments]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment | settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        alarm = threading.Timer(STARTS_WITHIN_S, process.kill)
        alarm.start()
        url, mall_url, wechat_url = _urls(process)
        alarm.cancel()
        # Nobody reads on: without this a full pipe would stop the server.
        threading.Thread(target=_read_on, args=(process,), daemon=True).start()
        try:
            yield Running(url=url, mall_url=mall_url, wechat_url=wechat_url, process=process)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                # Begun where interrupts are ignored, it ignores them as well; nobody waits for it for ever.
                process.kill()
                raise


def _urls(process: "subprocess.Popen[str]") -> tuple[str, str, str]:
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        found = _SERVING.search(said)
        if found:
            return found[1], found[2], found[3]
    raise AssertionError(f"the stack did not serve:\n{said}")


def _read_on(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    with contextlib.suppress(ValueError):
        for _ in process.stdout:
            pass
