"""DynamoDB Local keeps the same contract as the embedded store, and comes and goes without leaving anything."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.local import engine as local_engine
from infra.local import tables
from infra.local.clients import Store
from tests.pump_contract import Listener, PumpContract, pump_over
from tests.store_contract import StoreContract, key, row


@pytest.mark.engine
class TestEngine(StoreContract):
    """The contract, on DynamoDB Local."""

    @pytest.fixture
    def subject(self, engine: Store) -> Store:
        """DynamoDB Local."""
        return engine


@pytest.mark.engine
class TestPumpOverTheEngine(PumpContract):
    """The pump's contract, on DynamoDB Local."""

    @pytest.fixture
    def subject(self, engine: Store) -> Store:
        """DynamoDB Local."""
        return engine


@pytest.mark.engine
def test_an_engine_that_remembers_goes_on_where_it_was(
    engine: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DYNAMODB_ENDPOINT", raising=False)
    with local_engine.running(tmp_path) as endpoint:
        before = Store(endpoint=endpoint)
        tables.create(before.client)
        tables.sweep(before.client)
        before.client.put_item(TableName="truth", Item=key("A", "BEFORE"))
    with local_engine.running(tmp_path) as endpoint:
        after = Store(endpoint=endpoint)
        tables.create(after.client)
        tables.sweep(after.client)
        after.client.put_item(TableName="truth", Item=key("A", "AFTER"))
        listener, fed = Listener(), pump_over(after)
        fed.add("listener", listener)
        fed.drain()

        assert row(after, "A", "BEFORE") == key("A", "BEFORE")
        assert sum(listener.calls, []) == ["BEFORE", "AFTER"]


@pytest.mark.engine
def test_the_engine_ends_with_its_parent_even_when_that_is_killed(engine: Store) -> None:
    code = "from infra.local import engine\nwith engine.running() as at: print(at, flush=True); input()"
    alone = {name: value for name, value in os.environ.items() if name != "DYNAMODB_ENDPOINT"}
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=alone
    )
    assert parent.stdout is not None
    port = int(parent.stdout.readline().rpartition(":")[2])
    assert _is_open(port)

    parent.send_signal(signal.SIGKILL)
    parent.communicate()

    give_up_at = time.monotonic() + 10
    while _is_open(port) and time.monotonic() < give_up_at:
        time.sleep(0.02)
    assert not _is_open(port)


def test_an_endpoint_that_is_given_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMODB_ENDPOINT", "http://127.0.0.1:1")

    assert local_engine.available()
    with local_engine.running() as endpoint:
        assert endpoint == "http://127.0.0.1:1"


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DYNAMODB_ENDPOINT", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Java 17" in local_engine.available().reason

    (tmp_path / "java").write_text("#!/bin/sh\necho 'openjdk version \"21.0.1\" 2023-10-17' >&2\n")
    (tmp_path / "java").chmod(0o755)
    monkeypatch.setattr(local_engine, "CACHE", tmp_path / "cache")
    assert "mvn" in local_engine.available().reason

    (tmp_path / "cache" / local_engine.RELEASE).mkdir(parents=True)
    assert local_engine.available()


def test_what_maven_says_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "mvn").write_text("#!/bin/sh\necho 'no way out'\nexit 1\n")
    (tmp_path / "mvn").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(local_engine, "CACHE", tmp_path / "cache")

    with pytest.raises(local_engine.Unavailable, match="no way out"):
        local_engine.fetch()
    assert list((tmp_path / "cache").iterdir()) == []


def test_two_runs_may_fetch_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    both_have_fetched = threading.Barrier(2)

    def copied(working: Path) -> Path:
        lib = working / "lib"
        lib.mkdir()
        (lib / "engine.jar").touch()
        both_have_fetched.wait(10)
        return lib

    monkeypatch.setattr(local_engine, "CACHE", tmp_path)
    monkeypatch.setattr(local_engine, "_copy_with_maven", copied)

    found = _both(local_engine.fetch)

    assert found == [tmp_path / local_engine.RELEASE] * 2
    assert [path.name for path in tmp_path.iterdir()] == [local_engine.RELEASE]


def _both(fetch: Callable[[], Path]) -> list[Path]:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(fetch())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    return found


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
