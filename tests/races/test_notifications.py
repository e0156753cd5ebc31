"""Messages under a crowd: one consent is one message, one tap one consent, and nothing new is seen by chance."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core import cache, due
from chalicelib.notifications import sending, service
from chalicelib.wechat import client, tokens
from tests.factories import NOW, a_word
from tests.notifications import a_person, entry_of, left, program, tapped, tell, templates_of
from tests.races.arena import ROUGH, STORM, Arena, careless, rounds

pytestmark = pytest.mark.engine


class Phone:
    """What WeChat was asked to show."""

    def __init__(self) -> None:
        self.shown: list[Any] = []
        self.lock = threading.Lock()

    def call(self, *_: Any, body: Any, **__: Any) -> dict[str, Any]:
        with self.lock:
            self.shown.append(body)
        return {"errcode": 0}


@pytest.fixture
def phone(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> Iterator[Phone]:
    """Alice's, and whatever WeChat is asked for goes to it."""
    there = Phone()
    monkeypatch.setattr(client, "call", there.call)
    monkeypatch.setattr(tokens, "current", lambda app, now: "token")
    cache.clear_all()
    program()
    templates_of()
    yield there
    cache.clear_all()


def a_run(entry: due.Entry) -> Callable[[], None]:
    """A worker that was told that it is due."""
    return lambda: sending.send(entry, by=a_word(), now=NOW)


def test_the_harness_sees_one_consent_used_eight_times_when_no_condition_holds(
    arena: Arena, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = a_person()
    tapped(alice)
    entries = [entry_of(alice, tell(alice)) for _ in range(8)]
    careless(monkeypatch, lambda write: replace(write, when=None))

    arena.collide(*[a_run(entry) for entry in entries]).expect(won=8)

    assert len(phone.shown) == 8


@rounds(ROUGH, STORM)
def test_one_consent_is_one_message_however_many_send(arena: Arena, phone: Phone) -> None:
    alice = a_person()
    tapped(alice)
    told = [tell(alice) for _ in range(4)]

    runs = [a_run(entry_of(alice, one)) for one in told for _ in range(4)]
    arena.race(*runs, threads=16).expect(won=16)

    states = sorted(row["state"] for row in arena.rows("notification"))
    (consent,) = arena.rows("message_consent")
    assert len(phone.shown) <= 1 and consent["left"] == 0
    if not arena.weather.stormy:
        assert len(phone.shown) == 1 and states == ["inbox", "inbox", "inbox", "sent"]
    assert all((change.new or {"left": 0})["left"] >= 0 for change in arena.images("message_consent"))


@rounds(ROUGH)
def test_one_message_is_sent_once_however_many_send_it(arena: Arena, phone: Phone) -> None:
    alice = a_person()
    for _ in range(5):
        tapped(alice)
    entry = entry_of(alice, tell(alice))

    arena.race(*[a_run(entry)] * 12, threads=12).expect(won=12)

    assert len(phone.shown) == 1 and left(alice) == 4


def test_the_harness_sees_one_message_sent_eight_times_when_no_condition_holds(
    arena: Arena, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = a_person()
    for _ in range(8):
        tapped(alice)
    entry = entry_of(alice, tell(alice))
    careless(monkeypatch, lambda write: replace(write, when=None))

    arena.collide(*[a_run(entry)] * 8).expect(won=8)

    assert len(phone.shown) == 8


def test_the_harness_sees_one_tap_counted_eight_times_when_no_condition_holds(
    arena: Arena, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = a_person()
    careless(monkeypatch, lambda write: replace(write, when=None))

    arena.collide(*[lambda: tapped(alice, tap_id="the-same-tap")] * 8).expect(won=8)

    assert left(alice) == 8


@rounds(STORM)
def test_a_tap_counts_once_however_often_it_is_sent(arena: Arena, phone: Phone) -> None:
    alice = a_person()

    def tap(tap_id: str) -> Callable[[], int]:
        return lambda: tapped(alice, tap_id=tap_id)

    arena.race(*[tap("the-same-tap")] * 8, *[tap(f"another-{n}") for n in range(4)], threads=12).expect(
        won=12
    )

    assert left(alice) == 5


@rounds(ROUGH)
def test_what_is_told_while_the_inbox_is_seen_stays_unseen(arena: Arena, phone: Phone) -> None:
    alice = a_person()
    before = [tell(alice) for _ in range(4)]

    def see() -> None:
        service.see(alice, before, now=NOW)

    arena.race(*[see] * 4, *[lambda: tell(alice)] * 6, threads=10).expect(won=10)

    rows = arena.rows("notification")
    seen = {row["notification_id"] for row in rows if row.get("seen_at")}
    assert seen == set(before) and len(rows) == 10
    assert service.unread(alice) == 6
