"""Withdrawals when any storage call fails: frozen once, one number, ended once, given back once."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from moto.dynamodb.models import dynamodb_backends

from chalicelib.core import cache, clock, config, deliveries, due, table
from chalicelib.operators import stuck
from chalicelib.withdrawals import payees, sending
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals import statements as withdrawal_statements
from chalicelib.withdrawals import terms as withdrawal_terms
from chalicelib.withdrawals.models import Withdrawal
from chalicelib.withdrawals.schemas import EditWithdrawalTerms, TellPayee, TransferOutcome
from chalicelib.withdrawals.service import Stale
from infra.local.clients import Store
from tests.factories import NOW, OWNER, books, emptied
from tests.harness.direct import Direct
from tests.harness.faults import each_fault
from tests.withdrawals import (
    ALICE,
    METHODS,
    Bank,
    a_promoter,
    again,
    approve,
    asked,
    balance,
    broken,
    claw_back,
    earn,
    entry_of,
    sent,
    terms,
    withdraw,
)

FEBRUARY = clock.month_starts_at(2026 * 12 + 1, zone=config.settings().zone)


@dataclass
class World:
    """One withdrawal, and the bank that it is sent to."""

    row: Withdrawal | None = None
    bank: Bank = field(default_factory=Bank)

    @property
    def made(self) -> Withdrawal:
        assert self.row is not None
        return self.row


@pytest.fixture(autouse=True)
def here(store: Store, direct: Direct, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The store, and a bank for each case."""
    config.override(payout_gateways="sandbox manual mall")
    yield monkeypatch


@pytest.fixture
def planted(here: pytest.MonkeyPatch) -> Callable[[Callable[[], Withdrawal | None]], Callable[[], World]]:
    """The world as ``plant`` makes it, made once and laid down anew for every case."""

    def setup_of(plant: Callable[[], Withdrawal | None]) -> Callable[[], World]:
        kept: list[tuple[Withdrawal | None, dict[str, Any]]] = []

        def setup() -> World:
            world = World()
            here.setattr(deliveries, "post", world.bank.post)
            if not kept:
                emptied()
                a_promoter()
                row = plant()
                kept.append((row, {one.name: copy.deepcopy(one.items) for one in _tables()}))
            world.row, items = kept[0]
            world.bank = Bank()
            here.setattr(deliveries, "post", world.bank.post)
            emptied()
            for one in _tables():
                one.items.update(copy.deepcopy(items[one.name]))
            cache.clear_all()
            return world

        return setup

    return setup_of


def _tables() -> list[Any]:
    return [
        table for by in dynamodb_backends.values() for one in by.values() for table in one.tables.values()
    ]


Plant = Callable[[Callable[[], Withdrawal | None]], Callable[[], World]]


def with_money() -> Withdrawal | None:
    terms(fee_fixed_fen=100, tax={"rule": "monthly"})
    payees.tell(
        TellPayee(real_name="王小明", id_number="11010519491231002X"),
        member_id=ALICE,
        nonce=b"n" * 12,
        now=NOW,
    )
    earn(3_000_00)
    return None


def applied() -> Withdrawal:
    with_money()
    return withdraw(2_000_00)


def approved() -> Withdrawal:
    return approve(applied())


def under_way() -> Withdrawal:
    return sent(applied())


def waiting() -> Withdrawal:
    with_money()
    return sent(withdraw(2_000_00, method="sandbox"))


def run(row: Withdrawal, *, now: int = NOW) -> None:
    """The job's handler, told that the withdrawal is due, as often as it is asked."""
    sending.pay_out(entry_of(row), now)


def outcome(kind: str) -> Callable[[World], None]:
    told = TransferOutcome(id="e-1", type=f"withdrawal.{kind}", reference="B-1")  # type: ignore[arg-type]
    return lambda world: void(sending.told_by_mall(world.made.withdrawal_id, told, now=NOW))


def void(_: object) -> None:
    """An operation answers nothing."""


def is_(
    state: str, *, spendable: int, frozen: int = 0, asks: tuple[int, ...] = (0,), audits: int = 0
) -> Callable[[World], None]:
    """The one withdrawal is in this state, the money where it belongs, one number asked for so often."""

    def check(world: World) -> None:
        there = books(table.client())
        assert broken(there.rows) == []
        row = there.only("withdrawal")
        assert (row["state"], balance()) == (state, (spendable, frozen))
        assert set(world.bank.transfers) <= {row["withdrawal_id"]}
        assert len(world.bank.asked) in asks
        paid = [month["n"] for month in there.of("withdrawal_month")]
        assert paid == ([1] if state == "paid" else [])
        assert len([one for one in there.of("audit") if one["subject"] == row["withdrawal_id"]]) == audits

    return check


CASES: list[tuple[str, Callable[[], Withdrawal | None], Callable[[World], None], Callable[[World], None]]] = [
    (
        "apply",
        with_money,
        lambda world: void(asked(2_000_00)),
        is_("applied", spendable=1_000_00, frozen=2_000_00),
    ),
    (
        "apply under a key",
        with_money,
        lambda world: void(asked(2_000_00, key="tap")),
        is_("applied", spendable=1_000_00, frozen=2_000_00),
    ),
    (
        "approve",
        applied,
        lambda world: void(approve(world.made)),
        is_("approved", spendable=1_000_00, frozen=2_000_00, audits=1),
    ),
    (
        "reject",
        applied,
        lambda world: void(withdrawals.reject(world.made.withdrawal_id, reason="no", by=OWNER, now=NOW)),
        is_("rejected", spendable=3_000_00, audits=1),
    ),
    (
        "send",
        approved,
        lambda world: run(world.made),
        is_("transferring", spendable=1_000_00, frozen=2_000_00, asks=(1, 2), audits=1),
    ),
    (
        "send in another month",
        approved,
        lambda world: run(world.made, now=FEBRUARY),
        is_("transferring", spendable=1_000_00, frozen=2_000_00, asks=(1, 2), audits=1),
    ),
    ("paid", under_way, outcome("paid"), is_("paid", spendable=1_000_00, audits=1)),
    ("failed", under_way, outcome("failed"), is_("failed", spendable=3_000_00, audits=1)),
    (
        "expire",
        waiting,
        lambda world: run(world.made, now=NOW + 86_400),
        is_("expired", spendable=3_000_00, audits=1),
    ),
    (
        "confirm",
        waiting,
        lambda world: void(sending.confirm_in_sandbox(world.made.withdrawal_id, now=NOW)),
        is_("paid", spendable=1_000_00, audits=1),
    ),
]


@pytest.mark.parametrize(
    ("plant", "operation", "check"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_one_effect_whatever_fails(
    plant: Callable[[], Withdrawal | None],
    operation: Callable[[World], None],
    check: Callable[[World], None],
    planted: Plant,
) -> None:
    each_fault(operation, client=table.client(), setup=planted(plant), check=check)


def test_who_is_in_debt_is_rejected_once(planted: Plant) -> None:
    def plant() -> Withdrawal:
        terms()
        cause = earn(3_000_00)
        row = approve(withdraw(2_000_00))
        claw_back(cause, 1_500_00)
        return row

    check = is_("rejected", spendable=1_500_00, audits=1)
    each_fault(lambda world: run(world.made), client=table.client(), setup=planted(plant), check=check)


def test_by_hand_it_is_paid_once_under_the_banks_number(planted: Plant) -> None:
    def plant() -> Withdrawal:
        with_money()
        account = {"name": "王小明", "number": "6222020200112230"}
        return sent(withdraw(2_000_00, method="bank", account=account))

    def paid(world: World) -> None:
        withdrawals.paid_by_hand(world.made.withdrawal_id, reference="B-1", tax_fen=None, by=OWNER, now=NOW)

    check = is_("paid", spendable=1_000_00, audits=2)
    each_fault(paid, client=table.client(), setup=planted(plant), check=check)


@pytest.mark.parametrize(("told", "spendable"), [("paid", 1_000_00), ("failed", 3_000_00)])
def test_a_person_settles_what_is_not_known_once(told: str, spendable: int, planted: Plant) -> None:
    def plant() -> Withdrawal:
        row = under_way()
        handed = due.handed_over(withdrawals.JOB, at=NOW, why="no answer")
        table.apply(table.update(Withdrawal, (row.pk, row.sk), *handed, refuse=Stale()))  # type: ignore[arg-type]
        return again(row)

    def settle(world: World) -> None:
        stuck_id = stuck.id_of(withdrawals.JOB, world.made)
        stuck.settle(stuck_id=stuck_id, how=told, reason="looked up", by=OWNER, now=NOW)

    check = is_(told, spendable=spendable, audits=1)
    each_fault(settle, client=table.client(), setup=planted(plant), check=check)


def test_what_is_told_otherwise_is_noted_and_followed_once(planted: Plant) -> None:
    def plant() -> Withdrawal:
        row = under_way()
        outcome("paid")(World(row=row))
        with pytest.raises(withdrawals.WithdrawalOver):
            outcome("failed")(World(row=row))
        return again(row)

    def follow(world: World) -> None:
        stuck_id = stuck.id_of(sending.DIFFERS_JOB, world.made)
        stuck.settle(stuck_id=stuck_id, how="followed", reason="it bounced", by=OWNER, now=NOW)

    def check(world: World) -> None:
        there = books(table.client())
        assert broken(there.rows) == []
        assert (there.only("withdrawal")["state"], balance()) == ("failed", (3_000_00, 0))
        assert there.only("withdrawal_month")["n"] == 0

    each_fault(follow, client=table.client(), setup=planted(plant), check=check)


def test_terms_are_told_once_with_one_audit_row(planted: Plant) -> None:
    given = msgspec.convert({"methods": METHODS}, EditWithdrawalTerms)

    def check(world: World) -> None:
        assert [one.n for one in withdrawal_terms.versions(limit=9)] == [1]
        assert books(table.client())["audit"] == 1

    each_fault(
        lambda world: void(withdrawal_terms.make(given, by=OWNER, now=NOW)),
        client=table.client(),
        setup=planted(lambda: None),
        check=check,
    )


def test_nothing_personal_is_shown_before_it_is_in_the_trail(planted: Plant) -> None:
    def plant() -> Withdrawal:
        row = under_way()
        outcome("paid")(World(row=row))
        return row

    def export(world: World) -> None:
        page = withdrawal_statements.of_month("2026-01", limit=10, after=None)
        (row,) = withdrawal_statements.exported(page, month="2026-01", by=OWNER, now=NOW)
        assert row.real_name == "王小明"

    def check(world: World) -> None:
        assert books(table.client()).of("audit", action="withdrawals.exported")

    each_fault(export, client=table.client(), setup=planted(plant), check=check)
