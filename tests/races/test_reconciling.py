"""Reconcilers at once, and killed at every turn, on the engine: each slice counts once, and a drift is one row."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest

from chalicelib.commissions import books, settling
from chalicelib.commissions import service as commissions
from chalicelib.commissions.models import Commission, Promoter
from chalicelib.core import cache, due, table
from chalicelib.core.books import Differs, Unsure
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.errors import Busy
from chalicelib.core.ledger import Account
from chalicelib.core.table import Row
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.reconciling import service
from chalicelib.reconciling.models import Drift, Pass
from tests.commissions import (
    LATER,
    a_friend_of,
    a_promoter,
    a_rate,
    alone,
    bought,
    commission,
    completed,
    happens,
    paid,
    refunded,
    some_terms,
)
from tests.factories import NOW, dying_at
from tests.harness.rows import Plain
from tests.points import ALICE, earn
from tests.races.arena import STORM, Arena, careless, rounds

pytestmark = pytest.mark.engine
AT = NOW + HOUR
PEOPLE = 6


@pytest.fixture
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


@pytest.mark.usefixtures("a_wrong_account")
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


@pytest.mark.usefixtures("a_wrong_account")
@rounds(STORM)
def test_many_reconcilers_at_once_make_each_pass_once_and_one_drift(arena: Arena) -> None:
    arena.race(*[reconciler] * 4).expect(won=4)
    reconciler()

    check(arena)


@pytest.mark.usefixtures("a_wrong_account")
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


@pytest.mark.usefixtures("a_wrong_account")
def test_many_who_find_the_drift_gone_mark_it_once(arena: Arena) -> None:
    reconciler()
    (drift,) = table.query_all(Drift, "DRIFTS")

    def finds_it_gone() -> None:
        service._gone(drift, seen_in="2026-01-02#day", now=AT + 1)

    arena.race(*[finds_it_gone] * 6).expect(won=6)

    marked = [one.new for one in arena.images("drift") if one.new is not None and "gone_at" in one.new]
    assert [(row["gone_at"], row["gone_in"]) for row in marked] == [(AT + 1, "2026-01-02#day")]


# --- the books of promoters ---------------------------------------------------------------------------------


@pytest.fixture
def promoter(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> str:
    """A promoter who earns a tenth, whose friends and commissions are counted by this room alone."""
    alone(monkeypatch)
    some_terms()
    a_rate(bps=1000)
    return a_promoter()


def counted(promoter_id: str) -> None:
    """Whatever was settled and is not counted yet is; told busy, it stays owed."""
    pk = Account.key(promoter_id, "money")[0]
    for entry in table.query_all(Row, pk, Row.sk.startswith("ENTRY#settle#")):
        if entry.owed_rev is not None:
            with suppress(Busy):
                happens("settlement.posted", entry, now=LATER)


def proofs_of(promoter_id: str) -> Iterator[Differs | None]:
    """What each of the two books says, once nothing of it is young; nothing, where nobody can say now."""
    for prove, pk in (
        (books.prove_counts, Promoter.key(promoter_id)[0]),
        (books.prove_months, Account.key(promoter_id, "money")[0]),
    ):
        with suppress(Unsure, Busy):
            yield prove(pk, LATER + DAY)


def prover(promoter_id: str) -> Callable[[], list[Differs | None]]:
    """One who proves both again and again; what did not add up."""
    return lambda: [one for _ in range(6) for one in proofs_of(promoter_id) if one is not None]


def settler() -> Callable[[], None]:
    """A worker who has found what is due, whoever has the lease."""
    entries = list(due._due(f"{settling.JOB}#0", now=LATER))
    return lambda: settling.settle(entries, LATER)


def clawback(order: Order) -> Callable[[], None]:
    """What went back of an order is followed."""
    return lambda: commissions.follow(orders.show(order.order_id), cause="order.refunded", now=LATER)


def test_the_harness_sees_a_proof_that_reads_only_once(
    arena: Arena, promoter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    completed(paid(bought(a_friend_of(promoter))))
    real, work = books._commissions, settler()

    def settled_meanwhile(who: str) -> list[Commission]:
        found = real(who)
        work()
        counted(promoter)
        return found

    monkeypatch.setattr(books, "_commissions", settled_meanwhile)
    with monkeypatch.context() as careless_one:
        careless_one.setattr(books, "_revs", lambda _: {})
        assert list(proofs_of(promoter))[0] is not None

    assert list(proofs_of(promoter)) == [None, None]


@rounds(STORM)
def test_proofs_against_settling_and_clawbacks_never_say_that_a_promoter_s_books_are_wrong(
    arena: Arena, promoter: str
) -> None:
    friend = a_friend_of(promoter)
    first = [completed(paid(bought(friend))) for _ in range(3)]
    settler()()
    counted(promoter)
    second = [completed(paid(bought(friend))) for _ in range(3)]
    for order in first:
        refunded(order, now=LATER, told=False)

    clawbacks = [clawback(order) for order in first]
    counting = [lambda: counted(promoter)] * 3
    provers = [prover(promoter) for _ in range(2)]
    outcomes = arena.race(settler(), *clawbacks, *counting, *provers)

    told = [one.value for one in outcomes if isinstance(one.value, list)]
    assert told == [[]] * len(provers)
    for call in (settler(), *clawbacks):
        call()
    counted(promoter)
    assert [commission(order).state for order in (*first, *second)] == ["clawed_back"] * 3 + ["settled"] * 3
    assert list(proofs_of(promoter)) == [None, None]
