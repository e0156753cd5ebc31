"""What is shared of WeChat when any storage call fails: no limit is passed, nothing told twice, nothing stuck."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.core import cache, due, table
from chalicelib.members import service as members
from chalicelib.orders import service as orders
from chalicelib.orders import shipping
from chalicelib.orders.schemas import Shipped
from chalicelib.orders.service import Order
from chalicelib.safety import service as safety
from chalicelib.safety.models import Check
from chalicelib.safety.service import Thing, Writer
from chalicelib.sessions import proving
from chalicelib.wechat import budgets, client, tokens
from chalicelib.wechat.budgets import Budget, WeChatBudgetSpent
from chalicelib.wechat.models import Token
from infra.local.clients import Store
from tests.factories import NOW, a_member, a_word, books, emptied
from tests.groupbuys import a_campaign, begun, opened, pay, take
from tests.harness.direct import Direct
from tests.harness.faults import each_fault
from tests.wechat import APP, add_program

pytestmark = pytest.mark.alone("groupbuys", "orders", "safety")
PARCEL = Shipped(how="express", express_company="YTO", tracking_no="YT1")


@dataclass
class World:
    """Somebody, or something of theirs, and what WeChat was asked since."""

    alice: str = ""
    order: Order | None = None
    check: Check | None = None
    asked: list[str] = field(default_factory=list)
    parcels: list[Any] = field(default_factory=list)
    moments: Iterator[int] = field(default_factory=lambda: itertools.count(NOW, tokens.RENEWING_S))

    def send(self, *_: Any, **__: Any) -> bytes:
        self.asked.append("token")
        return json.dumps({"access_token": f"new-{len(self.asked)}", "expires_in": 7200}).encode()

    def call(self, app: Any, method: str, path: str, *, body: Any, **_: Any) -> dict[str, Any]:
        self.asked.append(path)
        if path.endswith("get_order"):
            return {"order": {"order_state": 2 if self.parcels else 1}}
        if path.endswith("upload_shipping_info"):
            if self.parcels:
                raise client.WeChatRefused(10060002)
            self.parcels.append(body["shipping_list"])
        return {"phone_info": {"countryCode": "86", "purePhoneNumber": "13800138000"}}


@pytest.fixture
def planted(store: Store, direct: Direct, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A new world, whose WeChat is asked from now on."""

    def plant() -> World:
        emptied()
        world = World()
        monkeypatch.setattr(client, "send", world.send)
        monkeypatch.setattr(client, "call", world.call)
        add_program()
        world.alice = a_member()
        cache.clear_all()
        return world

    return plant


def test_a_budget_is_never_passed(planted: Any, direct: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(budgets.BUDGETS, "code", Budget(a_minute=9))

    def take_one(_: World) -> None:
        budgets.take(APP.appid, "code", now=NOW)

    def check(world: World) -> None:
        with pytest.raises(WeChatBudgetSpent):
            for _ in range(9):
                take_one(world)
        assert [row["n"] for row in books(direct, "traffic").of("wechat_budget")] == [9]

    spent = (WeChatBudgetSpent,)
    each_fault(take_one, client=table.client(), setup=planted, check=check, may_refuse=spent)


def test_a_token_is_renewed_whatever_fails_and_all_have_the_same(planted: Any, direct: Direct) -> None:
    def setup() -> World:
        world: World = planted()
        table.apply(table.create(Token(*Token.key(APP.appid), token="old", until=NOW + 200, ttl=NOW + 86400)))
        return world

    def ask(world: World) -> str:
        # Whoever died while renewing has ten seconds; the retry comes after them.
        return tokens.current(APP, now=next(world.moments))

    def check(world: World) -> None:
        (row,) = books(direct, "traffic").of("wechat_token")
        assert row["token"] == f"new-{len(world.asked)}" and "renewing_until" not in row
        cache.clear_all()
        assert tokens.current(APP, now=next(world.moments)) == row["token"]
        assert len(world.asked) <= 2

    each_fault(ask, client=table.client(), setup=setup, check=check)


def test_a_number_is_asked_for_five_times_a_day_and_is_the_members_own(planted: Any, direct: Direct) -> None:
    def ask(world: World) -> members.Member:
        return proving.phone(a_word("c"), member_id=world.alice, app=APP, now=NOW)

    def check(world: World) -> None:
        member = members.show(world.alice)
        assert [one for one in member.identities or () if "+8613800138000" in one]
        with pytest.raises(WeChatBudgetSpent):
            for _ in range(5):
                ask(world)
        assert len(world.asked) <= 5

    spent = (WeChatBudgetSpent,)
    each_fault(ask, client=table.client(), setup=planted, check=check, may_refuse=spent)


def test_a_verdict_that_was_lost_stands(planted: Any, direct: Direct) -> None:
    def setup() -> World:
        world: World = planted()
        writer = Writer(member_id=world.alice, program_id="demo", app=None, openid=None)
        thing = Thing(room="members", ref=world.alice, field="nickname")
        found = table.apply(safety.asked("hello", "text", thing, writer, now=NOW))
        assert isinstance(found, Check)
        world.check = found
        return world

    def decide(world: World) -> None:
        assert world.check is not None
        safety.decide(world.check, "approved", now=NOW)

    def check(world: World) -> None:
        assert world.check is not None
        safety.decide(world.check, "rejected", now=NOW)
        assert [row["state"] for row in books(direct).of("content_check")] == ["approved"]

    each_fault(decide, client=table.client(), setup=setup, check=check)


def a_filled(world: World) -> World:
    """An order that WeChat took the money of, in a group that is full."""
    seated = opened(a_campaign(sizes={2: 8900}, gateway="wechat"))
    begun(seated.order)
    pay(seated.order)
    pay(take(seated.group))
    world.order = orders.show(seated.order.order_id)
    cache.clear_all()
    return world


def run() -> None:
    """The job, until it is told."""
    for n in range(3):
        due.run(job=shipping.JOB, worker=a_word("w"), now=NOW + n * 3600, seconds=5)


def test_what_was_sent_is_noted_and_told_to_wechat_once(planted: Any, direct: Direct) -> None:
    def note(world: World) -> None:
        assert world.order is not None
        shipping.note(world.order, PARCEL, now=NOW)

    def check(world: World) -> None:
        run()
        [row] = books(direct).of("shipment")
        assert (row["state"], row["tracking_no"], len(world.parcels)) == ("told", "YT1", 1)

    each_fault(note, client=table.client(), setup=lambda: a_filled(planted()), check=check)


def test_a_parcel_is_told_once_though_the_job_dies_anywhere(planted: Any, direct: Direct) -> None:
    def setup() -> World:
        world = a_filled(planted())
        assert world.order is not None
        shipping.note(world.order, PARCEL, now=NOW)
        return world

    def tell(world: World) -> None:
        [row] = books(direct).of("shipment")
        shard = {name: row.get(name) or "" for name in ("due_shard", "due_ref")}
        shipping.tell(due.Entry(pk=row["pk"], sk=row["sk"], kind="shipment", due_at=NOW, **shard), NOW)

    def check(world: World) -> None:
        run()
        [row] = books(direct).of("shipment")
        assert (row["state"], len(world.parcels)) == ("told", 1)

    each_fault(tell, client=table.client(), setup=setup, check=check)
