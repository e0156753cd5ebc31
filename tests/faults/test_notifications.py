"""Messages when any storage call fails, or WeChat does: no consent is used twice, and what could be sent is."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.core import cache, due, table
from chalicelib.core.clock import HOUR
from chalicelib.notifications import sending, service
from chalicelib.wechat import client, tokens
from infra.local.clients import Store
from tests.factories import NOW, a_word, emptied
from tests.harness.direct import Direct
from tests.harness.faults import Fault, each_fault, fault_cases
from tests.notifications import (
    a_person,
    entry_of,
    left,
    news,
    program,
    row_of,
    run,
    state,
    tapped,
    tell,
    templates_of,
)


@dataclass
class World:
    """Alice, what her phone was shown, and what befalls the next calls to WeChat."""

    alice: str = ""
    told: str = ""
    shown: list[Any] = field(default_factory=list)
    falls: list[str] = field(default_factory=list)

    def call(self, *_: Any, body: Any, **__: Any) -> dict[str, Any]:
        fault = self.falls.pop(0) if self.falls else ""
        if fault == "busy":
            raise client.WeChatUnavailable
        if fault in ("", "lost after", "slow"):
            self.shown.append(body)
        if fault:
            raise client.Unanswered
        return {"errcode": 0}


@pytest.fixture
def world(store: Store, direct: Direct, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    there = World()
    monkeypatch.setattr(client, "call", there.call)
    monkeypatch.setattr(tokens, "current", lambda app, now: "token")
    yield there


def planted(world: World, *, consents: int = 1, tells: bool = True, **changes: Any) -> World:
    emptied()
    program()
    templates_of(**changes)
    world.alice, world.shown, world.falls = a_person(), [], []
    for _ in range(consents):
        tapped(world.alice)
    world.told = tell(world.alice) if tells else ""
    cache.clear_all()
    return world


def test_a_message_meets_any_fault_and_never_uses_a_consent_twice(world: World, direct: Direct) -> None:
    def send(there: World) -> None:
        sending.send(entry_of(there.alice, there.told), by=a_word(), now=NOW)

    def check(there: World) -> None:
        run(now=NOW + HOUR)
        assert len(there.shown) <= 1 and left(there.alice) == 1
        assert state(there.alice, there.told)[0] == "sent"

    def operate(there: World) -> None:
        if row_of(there.alice, there.told).due_shard is not None:
            send(there)

    unsent = []
    for case in fault_cases(operate, client=direct, setup=lambda: planted(world, consents=2), check=check):
        case.run()
        unsent += [] if world.shown else [case.fault]
    # Only who died between the word and the call leaves a message that nobody got.
    assert unsent == [Fault.CRASH]


@pytest.mark.parametrize("fault", ["lost before", "lost after", "slow", "busy"])
@pytest.mark.parametrize("often", [1, 2])
def test_what_wechat_may_have_got_is_not_sent_again_and_what_it_did_not_get_is(
    world: World, fault: str, often: int
) -> None:
    planted(world)
    world.falls = [fault] * often
    for later in range(4):
        run(now=NOW + later * HOUR)

    assert state(world.alice, world.told)[0] == "sent" and left(world.alice) == 0
    assert len(world.shown) == (0 if fault == "lost before" else 1)


def test_a_tap_meets_any_fault_and_counts_once(world: World, direct: Direct) -> None:
    def tap(there: World) -> None:
        tapped(there.alice, tap_id="the-same-tap")

    def check(there: World) -> None:
        assert left(there.alice) <= 1

    def counted(there: World) -> None:
        check(there)
        assert tapped(there.alice, tap_id="the-same-tap") == 1

    each_fault(tap, client=direct, setup=lambda: planted(world, consents=0, tells=False), check=counted)


def test_a_fact_meets_any_fault_and_tells_once(world: World, direct: Direct) -> None:
    def fact(there: World) -> None:
        service.tell(news(cause="rfd_1"), there.alice, now=NOW)

    def check(there: World) -> None:
        rows, _ = service.listed(there.alice, limit=9, before=None)
        assert len(rows) == 1

    each_fault(fact, client=direct, setup=lambda: planted(world, tells=False), check=check)


def test_43101_closes_the_ledger_once_and_a_tap_meanwhile_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(world, consents=3)

    def refuse(*_: Any, **__: Any) -> dict[str, Any]:
        tapped(world.alice)
        raise client.WeChatRefused(43101)

    monkeypatch.setattr(client, "call", refuse)
    due.run(job=sending.JOB, worker="w", now=NOW, seconds=5)

    # Of three one was taken; the fourth came after WeChat's answer was on its way.
    assert left(world.alice) == 3 and state(world.alice, world.told)[0] == "due"
    assert table.get(type(row_of(world.alice, world.told)), entry_key(world)) is not None


def entry_key(world: World) -> table.Key:
    entry = entry_of(world.alice, world.told)
    return entry.pk, entry.sk
