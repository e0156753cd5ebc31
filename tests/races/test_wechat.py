"""What is shared of WeChat under a crowd: budgets, tokens, phone numbers, verdicts about content, shipments."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
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
from chalicelib.wechat.client import App
from chalicelib.wechat.models import Token
from tests.factories import NOW, a_member, a_word
from tests.groupbuys import a_campaign, begun, opened, pay, take
from tests.races.arena import FAIR, ROUGH, STORM, Arena, careless, rounds
from tests.wechat import APP, add_program

pytestmark = [pytest.mark.engine, pytest.mark.alone("groupbuys", "orders", "safety")]
THREADS = 16
LEFT = 20
PATH = "/wxa/sec/order/upload_shipping_info"


class Platform:
    """A WeChat that counts what it was asked, and has each token, phone number and parcel once."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.parcels: list[Any] = []
        self.lock = threading.Lock()

    def send(self, method: str, path: str, **_: Any) -> bytes:
        with self.lock:
            self.asked.append(path)
        return b'{"access_token": "new", "expires_in": 7200}'

    def call(self, app: App, method: str, path: str, *, body: Any, **_: Any) -> dict[str, Any]:
        with self.lock:
            self.asked.append(path)
            if path == PATH and self.parcels:
                raise client.WeChatRefused(10060002)
            if path == PATH:
                self.parcels.append(body["shipping_list"])
        return {"phone_info": {"countryCode": "86", "purePhoneNumber": "13800138000"}, "order": {}}


@pytest.fixture
def weixin(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    there = Platform()
    monkeypatch.setattr(client, "send", there.send)
    monkeypatch.setattr(client, "call", there.call)
    monkeypatch.setitem(budgets.BUDGETS, "code", Budget(a_minute=LEFT))
    cache.clear_all()
    add_program()
    yield there
    cache.clear_all()


def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that reads, and then writes without a condition."""
    careless(monkeypatch, lambda write: replace(write, when=None))


# --- budgets ------------------------------------------------------------------------------------------------


def calls_made(arena: Arena) -> list[int]:
    """What the rows of the budgets say."""
    return [row["n"] for row in arena.rows("wechat_budget")]


def test_the_harness_sees_more_taken_than_a_budget_has_when_no_condition_holds(
    arena: Arena, weixin: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(budgets.BUDGETS, "code", Budget(a_minute=3))
    unasked(monkeypatch)

    arena.collide(*[partial(budgets.take, APP.appid, "code", now=NOW)] * 8).expect(won=8)

    assert calls_made(arena) == [8]


@rounds(FAIR, ROUGH)
def test_a_budget_gives_what_it_has_and_no_more(arena: Arena, weixin: Platform) -> None:
    takes = [partial(budgets.take, APP.appid, "code", now=NOW)] * 48

    outcomes = arena.race(*takes)

    # A count whose reply was lost is counted twice: it protects WeChat's limit, and nobody's right.
    least = 0 if arena.weather.lost_reply else LEFT
    outcomes.expect_won_or(WeChatBudgetSpent.code, least=least, most=LEFT)
    assert calls_made(arena) == [LEFT]


# --- tokens -------------------------------------------------------------------------------------------------


def a_token(*, left_s: int) -> None:
    """There is one, of so many seconds more."""
    row = Token(*Token.key(APP.appid), token="old", until=NOW + left_s, ttl=NOW + 86400)
    table.apply(table.create(row))


def ask() -> str:
    return tokens.current(APP, now=NOW)


def test_the_harness_sees_a_token_asked_for_by_all_when_no_condition_holds(
    arena: Arena, weixin: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_token(left_s=200)
    unasked(monkeypatch)

    arena.collide(*[ask] * 8).expect(won=8)

    assert len(weixin.asked) == 8


@rounds(FAIR, ROUGH, STORM)
def test_a_token_that_ends_soon_is_renewed_by_one_while_the_others_use_it(
    arena: Arena, weixin: Platform
) -> None:
    a_token(left_s=200)

    outcomes = arena.race(*[ask] * 24, threads=24)

    assert set(outcomes.winners) <= {"old", "new"}
    # Who lost the reply to its claim leaves it to whoever comes ten seconds later.
    assert len(weixin.asked) <= 1 and (arena.weather.lost_reply or len(weixin.asked) == 1)
    cache.clear_all()
    assert tokens.current(APP, now=NOW + tokens.RENEWING_S) == "new"


# --- phone numbers ------------------------------------------------------------------------------------------


@rounds(FAIR, STORM)
def test_a_member_asks_for_five_numbers_a_day_and_no_more(arena: Arena, weixin: Platform) -> None:
    alice = a_member()
    asks = [partial(proving.phone, f"c{n}", member_id=alice, app=APP, now=NOW) for n in range(24)]

    outcomes = arena.race(*asks, threads=24)

    outcomes.expect_won_or(WeChatBudgetSpent.code, most=5)
    assert len(weixin.asked) == 5 or arena.weather.stormy and len(weixin.asked) < 5
    [spent] = [row["n"] for row in arena.rows("wechat_budget") if alice in row["pk"]]
    assert spent == 5


def test_the_harness_sees_a_number_be_eight_members_when_no_condition_holds(
    arena: Arena, weixin: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [a_member() for _ in range(8)]
    unasked(monkeypatch)

    arena.collide(*[partial(members.add_phone, who, "+8613800138000") for who in people]).expect(won=8)

    assert all(any("13800138000" in one for one in members.show(who).identities or ()) for who in people)


@rounds(ROUGH, STORM)
def test_a_number_is_one_members_however_many_bring_it(arena: Arena, weixin: Platform) -> None:
    people = [a_member() for _ in range(12)]

    brings = [partial(members.add_phone, who, "+8613800138000") for who in people]
    arena.race(*brings, threads=12).expect(won=1, phone_taken=11)

    [identity] = [row for row in arena.rows("identity") if "13800138000" in row["pk"]]
    owners = [
        who for who in people if any("13800138000" in one for one in members.show(who).identities or ())
    ]
    assert owners == [identity["member_id"]]


# --- verdicts -----------------------------------------------------------------------------------------------


def a_check() -> Check:
    """A text that waits to be judged."""
    writer = Writer(member_id=a_member(), program_id="demo", app=None, openid=None)
    thing = Thing(room="members", ref=writer.member_id, field="nickname")
    write = safety.asked(a_word("text"), "text", thing, writer, now=NOW)
    found = table.apply(write)
    assert isinstance(found, Check)
    return found


def verdicts(arena: Arena) -> int:
    """How often a check was decided."""
    changes = arena.images("content_check")
    return sum(
        change.old is not None and change.old["state"] == "pending" != (change.new or {})["state"]
        for change in changes
    )


def deciding(row: Check) -> list[partial[None]]:
    """WeChat tells, the job asks, and a person looks."""
    return [partial(safety.decide, row, state, now=NOW) for state in ("approved", "rejected")] * 8


def test_the_harness_sees_a_verdict_overruled_when_no_condition_holds(
    arena: Arena, weixin: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = a_check()
    unasked(monkeypatch)

    arena.collide(*deciding(row)[:2])

    assert len([one for one in arena.images("content_check") if one.old is not None]) == 2


@rounds(ROUGH, STORM)
def test_what_was_written_is_judged_once(arena: Arena, weixin: Platform) -> None:
    row = a_check()

    arena.race(*deciding(row), threads=THREADS).expect(won=16)

    assert verdicts(arena) == 1
    [now_is] = arena.rows("content_check")
    changes = [one for one in arena.images("content_check") if one.new and one.new["state"] != "pending"]
    assert {one.new["state"] for one in changes if one.new} == {now_is["state"]}


# --- shipments ----------------------------------------------------------------------------------------------


WAYS = [Shipped(how="express", express_company="YTO", tracking_no=f"YT{n}") for n in range(4)]


def a_filled() -> Order:
    """An order that WeChat took the money of, in a group that is full."""
    seated = opened(a_campaign(sizes={2: 8900}, gateway="wechat"))
    begun(seated.order)
    pay(seated.order)
    pay(take(seated.group))
    return orders.show(seated.order.order_id)


def test_the_harness_sees_an_order_sent_in_four_ways_when_no_condition_holds(
    arena: Arena, weixin: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = a_filled()
    unasked(monkeypatch)

    arena.collide(*[partial(shipping.note, order, way, now=NOW) for way in WAYS]).expect(won=4)

    numbers = [one.new["tracking_no"] for one in arena.images("shipment") if one.new]
    assert sorted(numbers) == [way.tracking_no for way in WAYS]


@rounds(ROUGH, STORM)
def test_an_order_is_sent_in_one_way_and_wechat_is_told_of_it_once(arena: Arena, weixin: Platform) -> None:
    order = a_filled()

    outcomes = arena.race(*[partial(shipping.note, order, way, now=NOW) for way in WAYS] * 4, threads=THREADS)
    outcomes.expect(won=4, shipment_differs=12)
    [row] = arena.rows("shipment")
    entry = due.Entry(
        pk=row["pk"], sk=row["sk"], kind="shipment", due_shard=row["due_shard"], due_at=NOW, due_ref=""
    )
    arena.race(*[partial(shipping.tell, entry, NOW)] * 8, threads=8).expect(won=8)
    shipping.tell(entry, NOW)

    assert [one[0]["tracking_no"] for one in weixin.parcels] == [row["tracking_no"]]
    [told] = arena.rows("shipment")
    assert (told["state"], told.get("due_shard")) == ("told", None)
