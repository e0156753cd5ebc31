"""Reconcilers at once, and killed at every turn, on the engine: each slice counts once, and a drift is one row."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from chalicelib.core import cache, due, table
from chalicelib.core.clock import HOUR
from chalicelib.core.ledger import Account
from chalicelib.reconciling import service
from chalicelib.reconciling.models import Drift, Pass
from tests.factories import NOW, dying_at
from tests.harness.rows import Plain
from tests.points import ALICE, earn
from tests.races.arena import ROUGH, STORM, Arena, careless, rounds

pytestmark = pytest.mark.engine
AT = NOW + HOUR
PEOPLE = 6


@pytest.fixture(autouse=True)
def a_wrong_account(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some accounts, of which one does not add up; a day's and a month's pass, of many slices, are due."""
    monkeypatch.setattr(service, "PAGE", 4)
    monkeypatch.setattr(service, "PAGES", 1)
    earn(10)
    for n in range(PEOPLE - 1):
        earn(n + 1, owner=f"mbr_{n}")
    table.apply(table.update(Account, Account.key(ALICE, "points"), Account.balance.add(7), refuse=KeyError))
    cache.clear_all()
    service.plan(now=AT)


def due_now() -> list[due.Entry]:
    """What a reconciler finds, whoever has the lease."""
    return list(due._due(f"{service.JOB}#0", now=AT))


def reconciler() -> None:
    """One who goes on until nothing is due."""
    for _ in range(200):
        entries = due_now()
        if not entries:
            return
        for entry in entries:
            service.go_on(entry, AT)
    raise AssertionError("the passes do not come to their end")


def once(entry: due.Entry) -> Callable[[], None]:
    """A reconciler who has found this slice."""
    return lambda: service.go_on(entry, AT)


def check(arena: Arena) -> Plain:
    """Both passes are done, every row was looked at once, and the one drift was told once in each."""
    passes = arena.rows("reconciling_pass")
    assert [row["state"] for row in passes] == ["done", "done"]
    accounts = [row for kind in ("account", "entry") for row in arena.rows(kind)]
    day = next(row for row in passes if not row["full"])
    assert day["looked"] == PEOPLE, "an entry for each in the owner's index"
    month = next(row for row in passes if row["full"])
    assert len(accounts) <= month["looked"] <= len(accounts) + 2 + month["slices"] * 3 + 4
    (drift,) = arena.rows("drift")
    assert (drift["times"], drift["subject"]) == (2, f"{ALICE}#points")
    assert "gone_at" not in drift
    balance = next(row for row in arena.rows("account") if row["pk"].startswith(f"ACCOUNT#{ALICE}"))
    assert balance["balance"] == 17, "nothing is mended"
    return drift


def test_the_harness_sees_a_slice_counted_twice_when_no_condition_holds(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    day = next(entry for entry in due_now() if entry.sk.endswith("#day"))
    careless(
        monkeypatch, lambda write: replace(write, when=None) if isinstance(write.row, Pass | Drift) else write
    )

    arena.collide(once(day), once(day)).expect(won=2)

    (looked,) = [row["looked"] for row in arena.rows("reconciling_pass") if not row["full"]]
    assert looked == 2 * service.PAGE  # type: ignore[operator]


@rounds(ROUGH, STORM)
def test_many_reconcilers_at_once_make_each_pass_once_and_one_drift(arena: Arena) -> None:
    arena.race(*[reconciler] * 4)
    reconciler()

    check(arena)


def test_a_reconciler_who_is_killed_again_and_again_is_followed_by_another(arena: Arena) -> None:
    for call in range(2, 60):
        try:
            with dying_at(call):
                reconciler()
        except KeyboardInterrupt:
            continue
        break
    else:
        raise AssertionError("nobody came through")

    check(arena)


def test_many_who_find_the_drift_gone_mark_it_once(arena: Arena) -> None:
    reconciler()
    (drift,) = table.query_all(Drift, "DRIFTS")

    def finds_it_gone() -> None:
        service._gone(drift, seen_in="2026-01-02#day", now=AT + 1)

    arena.race(*[finds_it_gone] * 6).expect(won=6)

    marked = [one.new for one in arena.images("drift") if one.new is not None and "gone_at" in one.new]
    assert [(row["gone_at"], row["gone_in"]) for row in marked] == [(AT + 1, "2026-01-02#day")]
