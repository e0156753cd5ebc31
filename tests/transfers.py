"""Withdrawals that the simulated WeChat Pay pays: a shop that it knows, a member in its program, their phone."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import urllib3

from chalicelib.core import config, table
from chalicelib.core.errors import AppError
from chalicelib.members import rules as member_rules
from chalicelib.members import service as members
from chalicelib.members.models import Identity, Member
from chalicelib.wechat import pay
from chalicelib.wechat.schemas import SealedNotice
from chalicelib.withdrawals import terms as withdrawal_terms
from chalicelib.withdrawals import transfers, wechat
from chalicelib.withdrawals.models import Withdrawal
from chalicelib.withdrawals.schemas import EditWithdrawalTerms
from infra.local.wechat import Simulator, notices
from infra.local.wechat.transfers import Transfer, Transfers
from tests.factories import NOW, OWNER, PROGRAM, a_call, a_program
from tests.harness.merchant import APPID, known_person, merchant_of_wechat_pay
from tests.withdrawals import ALICE, again

METHODS = [{"method": "wechat", "gateway": "wechat", "account": False}]
NAME = "王小明"


@dataclass
class Shop:
    """The simulator with its clock, and what it has told."""

    simulator: Simulator
    now: int = NOW
    told: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    deaf: bool = False

    @property
    def bank(self) -> Transfers:
        """WeChat's own books of transfers."""
        return self.simulator.platform.of(Transfers)

    @property
    def bill(self) -> Transfer:
        """The one transfer."""
        (one,) = self.bank.by_number.values()
        return one

    def fault(self, path: str, fault: Any) -> None:
        """Switch a fault on, or, None, off."""
        faults = self.simulator.platform.faults
        faults.pop(path, None)
        if fault is not None:
            faults[path] = fault

    def at(self, now: int) -> int:
        """It is so late now."""
        self.now = now
        return now

    def take(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """What the edge does with a notification; the status that it answers."""
        self.told.append((headers, body))
        if self.deaf:
            return 500
        try:
            hear(headers, body, now=self.now)
        except AppError as refused:
            return refused.status
        return 200

    def heard(self) -> None:
        """Everything that was told was taken."""
        assert notices.wait(self.simulator.platform)

    def confirms(self, row: Withdrawal, **more: Any) -> str:
        """The member takes the money with what their page was given; what wx.requestMerchantTransfer says."""
        page = transfers.page(again(row), now=self.now)
        return self.phone("confirm", row, **(msgspec.to_builtins(page) if page else {}), **more)

    def phone(self, does: str, row: Withdrawal, **given: Any) -> str:
        """WeChat's page; what it says. Whoever is told of it has heard it."""
        url = f"{self.simulator.url}/_simulator/transfers/{transfers.number_of(row.withdrawal_id)}/{does}"
        answer = urllib3.request("POST", url, body=json.dumps(given), timeout=10, retries=False)
        self.heard()
        return str(json.loads(answer.data)["errMsg"])


def hear(headers: Mapping[str, str], body: bytes, *, now: int) -> None:
    """Take a notification in, past the door and by its route."""
    pay.admit({name.lower(): value for name, value in headers.items()}, body, now)
    wechat.transfer(a_call(now=now), PROGRAM, msgspec.json.decode(body, type=SealedNotice))


@contextlib.contextmanager
def paid_by_wechat(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """A shop whose withdrawals WeChat Pay pays."""
    with merchant_of_wechat_pay(monkeypatch, now=NOW) as simulator:
        shop = Shop(simulator)
        simulator.slow_s = 0.0
        simulator.platform.clock = lambda: float(shop.now)
        simulator.platform.of(notices.Notices).transport = shop.take
        config.override(
            payout_gateways="sandbox manual mall wechat",
            base_url="https://shop.example.com",
            outbound_proxy="",
        )
        yield shop


def opened_program(shop: Shop, *, member_id: str = ALICE, name: str = "alice") -> str:
    """A member whom WeChat knows in the program."""
    if PROGRAM not in members.programs(now=NOW):
        members.add_program(a_program(PROGRAM, appid=APPID), by=OWNER, now=NOW)
    proof = member_rules.openid_proof(program_id=PROGRAM, openid=known_person(shop.simulator, name))
    member = Member(
        *Member.key(member_id),
        state="active",
        member_id=member_id,
        identities={proof},
        program_id=PROGRAM,
        registered_at=NOW,
    )
    identity = Identity(*Identity.key(proof), member_id=member_id)
    table.transact([table.create(member), table.create(identity)])
    return member_id


def terms(**changes: Any) -> None:
    """By WeChat alone, and nothing taken off."""
    told = {
        "methods": METHODS,
        "min_fen": 1,
        "max_fen": 100_000_00,
        "day_max_fen": 100_000_00,
        "auto_up_to_fen": 100_000_00,
        **changes,
    }
    withdrawal_terms.make(msgspec.convert(told, EditWithdrawalTerms), by=OWNER, now=NOW)
