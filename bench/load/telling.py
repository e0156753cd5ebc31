"""The section of docs/proof.md."""

import os
import platform
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from bench.load.auditing import Checked
from bench.load.calling import CONNECTIONS, GIVES_UP_S
from bench.load.figures import P99_MS, SERVED, Stretch
from bench.load.watching import Look
from infra.local import engine
from tests import proof

GROWS = 1.1
"""What the memory at the end of the soak may be of what it was after a third of it."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """All that was measured."""

    steps: Sequence[Stretch]
    soak: Stretch
    looks: Sequence[Look]
    threads_before: int
    threads_after: int

    @property
    def wrong(self) -> list[str]:
        """What leaks, and what is left."""
        rss = [look.used.rss_mb for look in self.looks]
        holds = {
            "the memory grows": rss[-1] <= GROWS * rss[len(rss) // 3],
            "threads are left": self.threads_after <= self.threads_before,
            "work is left": self.soak.behind_s is not None,
            "something is stuck": not any(look.owed.stuck or look.owed.letters for look in self.looks),
        }
        return [name for name, it_holds in holds.items() if not it_holds]


_HEAD = """
Made by `make load` against the local stack on DynamoDB Local, which is not DynamoDB: one Java process that
answers one write after the other, without DynamoDB's limits of a partition, its throttling, its late indexes or
its network. What this proves is that nothing breaks under load; how much a deployment bears, it does not say.

{cores} cores ({machine}), Python {python}. The stack (the API, its jobs, both readers of the stream, the demo
mall, the simulated WeChat) is one Python process with one interpreter lock, where a deployment has a function
for every call under way; DynamoDB Local {release} and the generator are two more processes on the same cores,
and take from the stack what they take.

The loop is open: who calls what when was made from dice before anything was sent, each kind of story a Poisson
process. Of all calls 70 % are visits, 15 % check-ins, 6 % claims, and 9 % of people who open a group, join it
and pay; every twentieth visit, check-in and claim is a second tap. A call's time is counted from when it was to
be sent, so that one that waits behind others is as slow as somebody would find it. At most {connections} calls
are under way at once, and one without an answer after {gives_up:.0f} s is an error.
"""
_FIGURES = ("offered /s", "served /s", "p50 ms", "p95 ms", "p99 ms", "sent late, p99 ms", "caught up after s")


def section(told: Told, audit: Sequence[Checked]) -> str:
    """The text below the heading."""
    head = _HEAD.format(
        cores=os.cpu_count(),
        machine=platform.machine(),
        python=platform.python_version(),
        release=engine.RELEASE,
        connections=CONNECTIONS,
        gives_up=GIVES_UP_S,
    )
    paragraphs = [_filled(one) for one in head.strip().split("\n\n")]
    return "\n\n".join([*paragraphs, *_steps(told), *_soak(told), *_audit(audit)])


def _filled(text: str) -> str:
    return textwrap.fill(text, 116, break_on_hyphens=False)


def _table(names: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    made = [names, ["---"] * len(names), *lines]
    return "".join(proof.line(*cells) for cells in made).rstrip()


def in_short(stretch: Stretch) -> str:
    """The figures of a stretch in a line."""
    return ", ".join(f"{name} {value}" for name, value in zip(_NAMES, _line(stretch), strict=True))


_NAMES = (*_FIGURES, "errors")


def _line(stretch: Stretch) -> list[str]:
    errors = ", ".join(f"{count} × {name}" for name, count in stretch.errors.most_common()) or "none"
    took = [f"{stretch.took_ms(share):.0f}" for share in (0.5, 0.95, 0.99)]
    rates = [f"{stretch.offered:.1f}", f"{stretch.served:.1f}"]
    behind = "not yet" if stretch.behind_s is None else f"{stretch.behind_s:.0f}"
    return [*rates, *took, f"{stretch.late_ms(0.99):.0f}", behind, errors]


def _steps(told: Told) -> list[str]:
    last = told.steps[-1]
    held = max((step.rate for step in told.steps if not step.bends), default=0.0)
    where = f"at {last.rate:.0f} calls a second" if last.bends else "nowhere up to the last step"
    rule = f"p99 is over {P99_MS:.0f} ms or less than {SERVED:.0%} of what is offered is served, twice"
    text = f"Steps of {last.seconds:.0f} s. It bends where {rule}: here {where}; {held:.0f} were held."
    return [_filled(text), _table(_NAMES, [_line(step) for step in told.steps])]


def _soak(told: Told) -> list[str]:
    names = ["minute", "RSS of the stack, MB", "threads", "oldest due, s", "facts owed", "letters", "stuck"]
    lines = [
        [
            f"{look.at_s / 60:.1f}",
            f"{look.used.rss_mb:.0f}",
            look.used.threads,
            look.owed.oldest_due_s,
            look.owed.facts,
            look.owed.letters,
            look.owed.stuck,
        ]
        for look in told.looks
    ]
    soak = told.soak
    text = f"Then {soak.seconds / 60:.1f} minutes at half of that, {soak.rate:.0f} calls a second."
    rest = f"{told.threads_before} after the first step, {told.threads_after} after all"
    return [text, _table(_NAMES, [_line(soak)]), _table(names, lines), f"Threads when nobody calls: {rest}."]


def _audit(audit: Sequence[Checked]) -> list[str]:
    text = "Afterwards every row of both tables was read, and held against the rules and against what was answered:"
    lines = [[one.rule, f"{one.looked_at:,}", len(one.violations)] for one in audit]
    return [text, _table(["rule", "looked at", "violations"], lines)]
