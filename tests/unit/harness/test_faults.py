"""each_fault() finds every call, does to it what it says, and breaks what deserves to break."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from tests.harness import faults
from tests.harness.faults import Fault, Killed, each_fault, fault_cases

from .store import Store

fresh = itertools.count()


class Unavailable(Exception):
    """What the code under test makes of a storage error."""


def new_id() -> str:
    return f"case-{next(fresh)}"


def told(call: Callable[[], object]) -> None:
    try:
        call()
    except (BotoCoreError, ClientError) as error:
        raise Unavailable from error


@pytest.mark.parametrize("every", [False, True])
def test_an_idempotent_operation_survives_every_fault_of_every_call(
    every: bool, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "EVERY", every)

    def operation(pk: str) -> None:
        if not store.get(pk):
            told(lambda: store.transact({"Put": store.putting(pk)}, {"Update": store.adding(f"{pk}/n")}))

    def reading(pk: str) -> None:
        told(lambda: operation(pk))

    def check(pk: str) -> None:
        assert store.get(f"{pk}/n")["n"] == {"N": "1"}

    ids = each_fault(reading, client=store.client, setup=new_id, check=check)

    read, write = "call 1 of 2 (GetItem)", "call 2 of 2 (TransactWriteItems)"
    at_read = [Fault.UNREACHABLE, Fault.BEFORE, Fault.THROTTLE, Fault.CRASH]
    cases = [(read, fault) for fault in at_read] + [(write, fault) for fault in Fault]
    assert ids == [f"{call}: {fault}" for call, fault in cases if every or fault is not Fault.THROTTLE]


def test_a_bare_add_is_caught_counting_twice_where_its_effect_was_lost_from_sight(store: Store) -> None:
    def check(pk: str) -> None:
        assert store.get(pk)["n"] == {"N": "1"}

    with pytest.raises(ExceptionGroup) as broken:
        each_fault(lambda pk: told(lambda: store.add(pk)), client=store.client, setup=new_id, check=check)

    assert sorted(note for one in broken.value.exceptions for note in one.__notes__) == [
        "fault case: call 1 of 1 (UpdateItem): after",
        "fault case: call 1 of 1 (UpdateItem): crash",
    ]


def broken_by(
    store: Store, operation: Callable[[str], object], setup: Callable[[], str] = new_id
) -> list[Any]:
    def check(pk: str) -> None:
        assert store.get(pk), "nothing was written"

    with pytest.raises(ExceptionGroup) as broken:
        each_fault(operation, client=store.client, setup=setup, check=check)
    return [str(error) for error in broken.value.exceptions]


def test_a_storage_error_that_escapes_and_a_success_told_for_nothing_are_caught(store: Store) -> None:
    def swallows(pk: str) -> None:
        try:
            store.put(pk)
        except (BotoCoreError, ClientError):
            return

    assert broken_by(store, store.put) == ["a bare storage error escaped"] * 4
    assert [text.splitlines()[0] for text in broken_by(store, swallows)] == ["nothing was written"] * 3


def test_a_call_that_is_not_made_again_is_told(store: Store) -> None:
    calls = itertools.count()

    def cached(pk: str) -> None:
        if next(calls) == 0:
            store.get(pk)
        told(lambda: store.put(pk))

    assert "the call was never made; does setup() leave caches warm?" in broken_by(store, cached)


def test_a_kill_passes_every_except_clause_after_the_effect(store: Store) -> None:
    survived: list[str] = []

    def operation(pk: str) -> None:
        try:
            store.put(pk)
        except Killed:
            raise
        except Exception as error:
            survived.append(pk)
            raise Unavailable from error

    cases = fault_cases(operation, client=store.client, setup=new_id, check=store.get)
    (crash,) = [case for case in cases if case.fault is Fault.CRASH]
    crash.run()

    assert survived == []
