"""A table of yesterday: money went on after it, at WeChat Pay, the bank and the mall; nothing is paid twice."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends

from chalicelib.core import cache, deliveries, table
from chalicelib.core.errors import AppError
from chalicelib.core.moneyout import MoneyOutOff
from chalicelib.orders import service as orders
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals.applying import NotEnoughMoney
from infra.local.clients import Store
from infra.restore import payouts, steps, tables
from infra.restore.steps import NotYet, Step
from tests import proof
from tests.factories import OWNER, dying_at
from tests.harness.direct import Direct
from tests.harness.wire import WRITES
from tests.paying import at_the_desk
from tests.restoring import BILLS_AT, EARNED, OFF_AT, WHO, Story, T, everything_runs, put_back
from tests.withdrawals import Bank

RESTORED = "truth-as-it-was"
BREAKS = range(1, 26) if os.environ.get("RESTORE_REPORT") else (12,)
"""At which of its writes the taking in of bills dies, before it is said again."""
AFTER = BILLS_AT + 600


@pytest.fixture
def story(store: Store, direct: Direct, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    bank = Bank()
    monkeypatch.setattr(deliveries, "post", bank.post)
    monkeypatch.setattr(Direct, "scan", lambda self, **given: self.real.scan(**given), raising=False)
    with at_the_desk(monkeypatch) as desk:
        yield Story(desk, store, bank=bank)
    for regions in dynamodb_backends.values():
        for backend in regions.values():
            backend.tables.pop(RESTORED, None)


def note(story: Story, **told: int) -> None:
    """What came of it, if somebody wants a report."""
    left = {"members": len(story.left()), "left_fen": sum(story.left().values()), "twice": len(story.twice())}
    proof.note("RESTORE_REPORT", **left, **told)


def step(now: int) -> Step:
    return Step(by=OWNER, now=now)


def asks_again(story: Story) -> list[type[AppError]]:
    """Who were paid find their money in the balance, or not, and ask for it once more; what refuses them.

    Finance pays what still waits for it.
    """
    for row in withdrawals.of_state("approved", limit=99, after=None).rows:
        if row.gateway == "manual":
            story.pays_by_hand(row, now=AFTER)
    refused: list[type[AppError]] = []
    for name, fen in (("alice", 300_00), ("hana", 450_00)):
        try:
            row = story.applies(name, fen, key="again", now=AFTER)
            withdrawals.approve(row.withdrawal_id, by=OWNER, now=AFTER)
            story.takes(story.sent(row, now=AFTER), now=AFTER)
        except AppError as no:
            refused.append(type(no))
    return refused


def restored(story: Story, kept: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Money out is off, and the table of then is there in place of the one of now."""
    genuine = DynamoDBBackend.restore_table_to_point_in_time

    def as_then(self: DynamoDBBackend, target: str, source: str) -> Any:
        made = genuine(self, target, source)
        put_back(kept, into=target)
        return made

    # The embedded store's recovery knows no time: it gives what is there now.
    monkeypatch.setattr(DynamoDBBackend, "restore_table_to_point_in_time", as_then)
    with pytest.raises(NotYet, match="switch money out off first"):
        tables.restore(name=RESTORED, at=T, step=step(OFF_AT))
    steps.off("a table of yesterday", step(OFF_AT))
    with monkeypatch.context() as here:
        here.setattr(table, "_client", story.store.client)  # it alone makes tables
        assert tables.restore(name=RESTORED, at=T, step=step(OFF_AT))
    cache.clear_all()


def by_hand(story: Story, folder: Path) -> Path:
    """What the bank and the mall say that they paid."""
    lines = ["number,amount_fen,paid_on,reference,member_id,gateway"]
    lines += [f"{number},{fen},2026-01-01,bank-1,{who},manual" for number, who, fen in story.by_hand]
    for body in story.bank.bodies:
        told = body["data"]
        lines.append(f"{told['withdrawal_id']},{told['net_fen']},2026-01-01,mall-1,{told['member_id']},mall")
    file = folder / "paid.csv"
    file.write_text("\n".join(lines))
    return file


def test_without_the_steps_it_is_paid_twice(story: Story) -> None:
    kept = story.until_then()
    story.afterwards()
    assert story.twice() == []
    put_back(kept)
    cache.clear_all()

    assert asks_again(story) == []

    assert sorted(story.twice()) == sorted(WHO[name] for name in ("alice", "dan", "hana"))
    assert story.differs()
    note(story, too_much_fen=sum(story.left()[who] - EARNED for who in story.twice()))


def taken_in(story: Story, dies_at: int, file: Path) -> bool:
    """The steps up to where money may go out, broken off in the middle and said again; whether they were."""
    with pytest.raises(NotYet, match="2026-01-01, 2026-01-02 are not taken in"):
        steps.on(step(OFF_AT + 60), although="")
    with pytest.raises(MoneyOutOff):
        story.applies("alice", 300_00, key="meanwhile", now=OFF_AT + 60)
    assert not steps.bills(step(OFF_AT + 60)), "the bill of a day comes the next morning"
    assert {orders.show(one.order_id).state for one in story.begun.values()} == {"paid"}
    died = True
    with contextlib.suppress(KeyboardInterrupt), dying_at(dies_at, among=WRITES):
        died = not steps.bills(step(BILLS_AT))
    assert steps.bills(step(BILLS_AT)) and steps.bills(step(BILLS_AT)), "said again, nothing changes"
    assert payouts.take_in(file, step(BILLS_AT)) and payouts.take_in(file, step(BILLS_AT))
    return died


@pytest.mark.parametrize("dies_at", BREAKS)
def test_with_them_nothing_is_and_both_books_agree(
    story: Story,
    dies_at: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = story.until_then()
    story.afterwards()
    restored(story, kept, monkeypatch)
    died = taken_in(story, dies_at, by_hand(story, tmp_path))
    assert died, "it was not broken off"
    assert steps.reconcile(step(BILLS_AT))
    assert story.differs() == []
    told = capsys.readouterr().out
    assert set(story.stranded()) == {word.strip(":") for word in told.split() if word.startswith("ord_")}

    with pytest.raises(NotYet, match="left to people"):
        steps.on(step(AFTER), although="")
    steps.on(step(AFTER), although="the shop gives it back itself")
    everything_runs(now=AFTER)

    assert asks_again(story) == [NotEnoughMoney, NotEnoughMoney]
    # What was rejected after the time of the table is open again, and what was paid in its place is known.
    rejected = withdrawals.approve(story.rows["gina"].withdrawal_id, by=OWNER, now=AFTER)
    assert (last := story.sent(rejected, now=AFTER)).state == "rejected" and last.reason == "debt"
    assert story.twice() == [] and story.differs() == []
    note(story, died=died, stranded_fen=sum(story.stranded().values()))
