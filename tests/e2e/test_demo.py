"""`make demo` plays its chapters to the end, and what it tells is what happened."""

import subprocess
import sys
from pathlib import Path

from tests.e2e.stack import Running

ROOT = Path(__file__).parents[2]


def played(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """The demo, as `make demo` starts it."""
    command = [sys.executable, "-m", "infra.local.demo", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_the_story_is_played_to_its_end(beside_a_mall: Running) -> None:
    done = played("--url", beside_a_mall.url, "--mall", beside_a_mall.mall_url)

    assert (done.returncode, done.stderr) == (0, "")
    for line in (
        "Alice looks at her link: opened 1, new members 1, bound to her 1.",
        "He pays: the group is filled.",
        "Alice looks at her link: opened 1, new members 1, bound 1, joined 1, paid 1.",
        "… and her ¥89.00 are back, by themselves.",
        "too late for his seat: he is in Grace's group, which is filled by it.",
        "… hears by webhook that it is, and ships both.",
        "… so Liebian asks the mall to give ¥89.00 back (group_expired),",
        "orders, no differences.",
        "“A mere visit of a friend must not be rewarded: the friend must act.”",
        "Today he checks in himself: 7 in a row. That brings a coupon and 10 points.",
        "He taps once more: still 7 in a row, and 70 points.",
        "60 points buy him a coupon of ¥5.00; 10 are left.",
        "Carol takes it. Dave has the code too, but comes second: “Somebody else has taken this gift.”",
        "Tea is ¥89.00; with it, she reads, ¥69.00.",
        "The till scans it: redeemed.",
        "Frank comes by her link, is new, and takes ¥5.00: 0 to go.",
        "Alice's own ¥20.00 are hers; her link brought 2 new members.",
        "So she got 50 points for each of them, and has 100.",
        "Beside each product stands what it would bring her: tea ¥8.90, three tins ¥4.50.",
        "the mall gives a third of that line back: ¥11.90 are left.",
        "and how: opened, registered, bound, earned.",
        "tea × 1: ¥89.00 were paid; 10% of it (the general rate, version 1) is 890 fen, rounded down to ¥8.90.",
        "¥11.90 were settled into your account",
    ):
        assert line in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120


def test_where_nothing_answers_it_says_what_to_start() -> None:
    done = played("--url", "http://127.0.0.1:9")

    assert done.returncode == 1 and "make run" in done.stderr
