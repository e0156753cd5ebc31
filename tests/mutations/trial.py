"""One trial: the app without some terms, and which test notices.

The tests of a room are collected once, and played once with every term in its place, to see which of them ask for
which terms and how long they take. A trial is a forked child that plays those that ask for what is switched off,
the quickest first: a mutant that never ends or spoils the process is a mutant noticed.
"""

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.groupbuys import broken as broken_groupbuys
from tests.harness.meetings import each_call_meeting_itself
from tests.harness.rows import rows
from tests.mutations.terms import Term, recording, refusing, without
from tests.rewards import broken as broken_rewards
from tests.withdrawals import broken as broken_withdrawals

HERE = Path(__file__).parents[1]
DOUBLED = " doubled"
"""What a test is called that is played while each call meets itself."""
KINDS = ("integration", "doubled", "faults", "model", "races")
"""Of tests, mostly by their folders, in the order in which they are tried: what has a known course comes first."""
PHASES = (("integration", "faults", "model"), ("doubled",), ("races",))
"""What takes longer is for what nobody noticed before."""
_MERGED = "races/test_merging faults/test_merging"
ROOMS = {
    "withdrawals": "withdrawal transfers",
    "commissions": f"commission promoters aftersales {_MERGED}",
    "points": f"points {_MERGED}",
    "coupons": f"coupon {_MERGED}",
    "rewards": f"reward {_MERGED}",
    "checkins": f"checkin merging_days {_MERGED}",
    "groupbuys": "groupbuy merging_rooms stuck",
    "orders": "groupbuy orders shipping bills gateway_events wechat_pay merging_rooms stuck",
    "core": "core_meetings ledger test_points.py due facts deliveries limits webhook going_live leaving",
    "sharing": f"sharing attribution binding visit links circles policy_cards invites minting {_MERGED}",
    "members": "members merging leaving first_login importing programs sign_in",
    "notifications": f"notif {_MERGED}",
    "sessions": f"session sign_in first_login circles {_MERGED}",
    "uploads": "uploads pictures",
    "wechat": "wechat",
    "safety": "safety pictures",
    "operators": "operators stuck policy_cards",
    "reconciling": "reconciling",
}
"""Each room, in the order of money, and parts of the paths of the files whose tests are tried for its terms."""
CARELESS = "harness_sees"
"""In the names of tests that want a rule to be missing."""
MEASURES = "_budgets.py"
"""In the names of files whose tests count calls, and have no use for more of them."""
CPU_S, WALL_S = 120, 900


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How long a test takes, whether the books add up after it, and the terms that its writes ask for.

    ``refused``: those of writes that are refused in it; nobody else can notice that a term is not there.
    """

    s: float = 0.0
    adds_up: bool = False
    terms: Set[Term] = frozenset()
    refused: Set[Term] = frozenset()

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Asked":
        """As it was told."""
        terms = {name: frozenset(map(Term.parsed, told[name])) for name in ("terms", "refused")}
        return cls(s=told["s"], adds_up=told["adds_up"], **terms)

    @property
    def told(self) -> dict[str, Any]:
        """In words."""
        terms = {"terms": sorted(map(str, self.terms)), "refused": sorted(map(str, self.refused))}
        return {"s": round(self.s, 2), "adds_up": self.adds_up, **terms}


def files(room: str) -> list[str]:
    """The files of a room's tests, in the order of `KINDS`."""
    words = ROOMS[room].split()
    there = [path for kind in KINDS for path in sorted((HERE / kind).glob("test_*.py"))]
    return [str(path) for path in there if any(word in path.as_posix() for word in words)]


def broken(store: Any) -> list[str]:
    """What does not add up in the embedded store, whatever room it is of."""
    there = rows(store.client, "truth")
    groupbuys = [row["campaign_id"] for row in there if row["kind"] == "groupbuy"]
    return [
        *broken_withdrawals(there),
        *broken_rewards(store.client),
        *(line for one in groupbuys for line in broken_groupbuys(store, one)),
    ]


Say = Callable[..., None]
OVER = "over"


class Trials:
    """A plugin for pytest: what is collected is not played, but given to who tries terms."""

    def __init__(self, then: Callable[["Trials"], None]) -> None:
        self.then = then
        self.items: dict[str, pytest.Item] = {}
        self.doubled = False
        self.checked = True
        self.failed = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """All are collected."""
        self.items = {item.nodeid: item for item in session.items if CARELESS not in item.nodeid}
        known = [test for test in self.items if kind_of(test) == "integration" and MEASURES not in test]
        self.items |= {test + DOUBLED: self.items[test] for test in known}
        self.then(self)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """One of them is played; on the embedded store at first hand, and with the books looked at afterwards."""
        from tests.model.test_groupbuys import at_first_hand

        store = getattr(item, "funcargs", {}).get("store")
        with ExitStack() as worn:
            if store and "direct" not in getattr(item, "fixturenames", ()):
                worn.enter_context(at_first_hand())
            if self.doubled:
                worn.enter_context(each_call_meeting_itself())
            yield
            if store and self.checked:
                wrong = broken(store)
                assert not wrong, wrong

    def pytest_runtest_logreport(self, report: Any) -> None:
        """One of its parts is over."""
        self.failed = self.failed or report.failed

    def asked(self, tests: Sequence[str]) -> dict[str, Asked]:
        """What each test asks for; nothing, where it fails in any case when it is played like this."""
        told = _told_by_a_child(lambda say: self._note(tests, say), wall_s=0)
        return {test: Asked.of(json.loads(words)) for test, words in told}

    def noticed(self, off: Set[Term], asking: Mapping[str, Asked]) -> str | None:
        """The first of these tests that fails without these terms."""
        tests = sorted(asking, key=lambda test: (KINDS.index(kind_of(test)), asking[test].s))
        told = _told_by_a_child(lambda say: self._fail(off, tests, asking, say)) if tests else [[OVER]]
        return None if told[-1] == [OVER] else told[-1][0]

    def _note(self, tests: Sequence[str], say: Say) -> None:
        for test, then in _with_next(tests):
            for self.checked in (True, False):
                began = time.monotonic()
                with recording() as terms, refusing() as refused:
                    passed = self._passes(test, then)
                if passed:
                    s = time.monotonic() - began
                    told = Asked(s=s, adds_up=self.checked, terms=terms, refused=refused)
                    break
            else:
                told = Asked()
            say(test, json.dumps(told.told))

    def _fail(self, off: Set[Term], tests: Sequence[str], asked: Mapping[str, Asked], say: Say) -> None:
        with without(off):
            for test, then in _with_next(tests):
                say(test)
                self.checked = asked[test].adds_up
                if not self._passes(test, then):
                    return
        say(OVER)

    def _passes(self, test: str, then: str | None) -> bool:
        self.failed, self.doubled = False, test.endswith(DOUBLED)
        item, following = self.items[test], self.items.get(then or "")
        try:
            # A test that is its own next would never be taken down.
            then_item = None if following is item else following
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=then_item)
        except BaseException:  # whatever it is, it did not pass
            return False
        return not self.failed


def _with_next(tests: Sequence[str]) -> Iterable[tuple[str, str | None]]:
    return zip(tests, [*tests[1:], None], strict=True)


def kind_of(test: str) -> str:
    """Of which kind a test is."""
    if test.endswith(DOUBLED):
        return "doubled"
    return "model" if "_model.py" in test else test.split("/")[1]


def _told_by_a_child(play: Callable[[Say], None], *, wall_s: int = WALL_S) -> list[list[str]]:
    """What it said, line by line, until it came to its end or was stopped."""
    with tempfile.NamedTemporaryFile("w+") as said:
        child = os.fork()
        if child == 0:
            try:
                _play(play, Path(said.name), wall_s)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        return [line.split("\t") for line in Path(said.name).read_text().splitlines()]


def _play(play: Callable[[Say], None], said: Path, wall_s: int) -> None:
    if wall_s:
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        signal.alarm(wall_s)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    with said.open("a", buffering=1, encoding="utf-8") as file:
        play(lambda *words: print(*words, sep="\t", file=file))  # noqa: T201


def collected(room: str, then: Callable[[Trials], None]) -> None:
    """The tests of a room are collected, and what is to be done with them is done."""
    import infra.local.embedded  # noqa: F401 - slow to import, for which each child would wait
    from infra.local import engine

    quietly = ("-q", "-s", "--tb=no", "-p", "no:cacheprovider", "--rootdir", str(HERE.parent))
    with engine.running() as os.environ["DYNAMODB_ENDPOINT"]:
        pytest.main([*quietly, *files(room)], plugins=[Trials(then)])
