"""`make load`: raise the rate until the stack bends, soak it at half of what it held, and audit what it wrote."""

import argparse
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from bench.load import auditing, calling, day, setting, telling, watching
from bench.load.figures import Answer, Stretch
from bench.load.setting import Member, Place
from bench.load.telling import Told
from bench.load.watching import Look
from infra.local import engine, environment
from infra.local.clients import Store
from tests import proof
from tests.e2e.stack import Running, started

LOOKS = 10
CATCHES_UP_WITHIN_S = 60.0
AT_LAST_WITHIN_S = 900.0
"""What the stream's reader gave up under load is done by a job ten minutes later."""


class Load:
    """One run: a stack, its members, and all that was called so far."""

    def __init__(self, running: Running, *, members: Sequence[Member], seed: int) -> None:
        self.running = running
        self.played: list[tuple[Place, Sequence[Answer]]] = []
        self._members = members
        self._seed = seed

    def stretch(self, rate: float, seconds: float, *, patience_s: float = CATCHES_UP_WITHIN_S) -> Stretch:
        """So many seconds at this rate, with things of their own, until nothing is owed any more."""
        name = f"stretch-{len(self.played)}"
        dice = Random(f"{self._seed}-{name}")  # noqa: S311 - the same dice again must fall the same
        stories = day.stories(rate=rate, seconds=seconds, members=len(self._members), dice=dice)
        place = setting.set_up(self.running.url, stories, name=name, members=self._members)
        answers = calling.made(stories, place=place, url=self.running.url)
        self.played.append((place, answers))
        behind_s = watching.caught_up(within_s=patience_s)
        made = Stretch(rate=rate, seconds=seconds, answers=answers, behind_s=behind_s)
        _say(f"{rate:.0f} calls a second for {seconds:.0f} s: {telling.in_short(made)}")
        return made


def main(argv: Sequence[str]) -> int:
    """Print what is done, write the section; 1 when something is wrong."""
    given = _given(argv)
    # A stack that inherits that interrupts are ignored, as what runs in the background does, could not be stopped.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with engine.running() as endpoint:
        with started("--store", "dynamodb-local", DYNAMODB_ENDPOINT=endpoint) as running:
            _look_at(endpoint)
            _say(f"{given.members} members sign in")
            members = setting.sign_in(running.url, given.members)
            load = Load(running, members=members, seed=given.seed)
            told = _played(load, given)
        _say("every row is read")
        audit = auditing.audited(Store(endpoint=endpoint).client, load.played, now=int(time.time()))
    return _written(told, audit, page=given.page)


def _given(argv: Sequence[str]) -> argparse.Namespace:
    asked = argparse.ArgumentParser(prog="bench.load", description=__doc__)
    asked.add_argument("--seconds", type=float, default=30, help="of every step")
    asked.add_argument("--first", type=float, default=20, help="calls a second of the first step")
    asked.add_argument("--last", type=float, default=1000, help="at most so many")
    asked.add_argument("--grow", type=float, default=1.25, help="each step has so many times as many")
    asked.add_argument("--soak", type=float, default=600, help="seconds")
    asked.add_argument("--members", type=int, default=500)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--page", type=Path, default=proof.DOCS / "proof.md")
    return asked.parse_args(argv)


def _look_at(endpoint: str) -> None:
    """This process reads the rows by the app's own code, whose settings are read when they are first asked for."""
    environment.prepare(wechat_url="http://127.0.0.1:1", endpoint=endpoint, mall_webhook_url="")
    import app

    assert app.ROOM_JOBS, "importing it declares the jobs"


def _played(load: Load, given: argparse.Namespace) -> Told:
    process_id = load.running.process.pid
    making = _steps(load, given)
    first = next(making)
    # By now the stack's own clients have the connections that they keep, and each of these has a thread.
    before = watching.used(process_id).threads
    steps = [first, *making]
    held = max((step.rate for step in steps if not step.bends), default=given.first)
    with _looking(process_id, every=given.soak / LOOKS) as looks:
        soak = load.stretch(held / 2, given.soak, patience_s=AT_LAST_WITHIN_S)
    after = watching.rested(process_id, threads=before)
    return Told(steps=steps, soak=soak, looks=looks, threads_before=before, threads_after=after)


def _steps(load: Load, given: argparse.Namespace) -> Iterator[Stretch]:
    """Each of a higher rate, until one bends twice: once may be the machine's fault."""
    rate = given.first
    while rate <= given.last:
        for _ in range(2):
            step = load.stretch(rate, given.seconds)
            yield step
            if not step.bends:
                break
        if step.bends:
            return
        rate *= given.grow


@contextmanager
def _looking(process_id: int, *, every: float) -> Iterator[list[Look]]:
    """What is seen from time to time, for as long as the block lasts."""
    looks: list[Look] = []
    stop, begun = threading.Event(), time.monotonic()

    def run() -> None:
        for at_s in (every * (k + 1) for k in range(LOOKS)):
            if stop.wait(max(0.0, begun + at_s - time.monotonic())):
                return
            looks.append(watching.look(process_id, at_s=at_s))
            _say(f"look {len(looks)} of {LOOKS}: {looks[-1].used}, {looks[-1].owed}")

    watcher = threading.Thread(target=run)
    watcher.start()
    try:
        yield looks
    finally:
        stop.set()
        watcher.join()


def _written(told: Told, audit: Sequence[auditing.Checked], *, page: Path) -> int:
    proof.tell("A day under load", telling.section(told, audit), page=page)
    wrong = [*told.wrong, *(line for one in audit for line in one.violations)]
    for line in wrong[:20]:
        _say(f"WRONG: {line}")
    _say(f"{len(wrong)} things are wrong; the section is in {page}")
    return 1 if wrong else 0


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
