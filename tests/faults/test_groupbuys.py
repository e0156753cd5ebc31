"""Group-buys when any call fails or the process is killed: after the retry and the jobs, one effect, no litter."""

import itertools
import json
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import urllib3
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from msgspec.structs import replace

from chalicelib.core import config, deliveries, due, facts, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import NotFound
from chalicelib.groupbuys import campaigns, closing, editing, ending, holding, reading, rules, service
from chalicelib.groupbuys import mall as seats_mall
from chalicelib.groupbuys.models import SCORE, Group
from chalicelib.groupbuys.schemas import EditCampaign, Price, Product, Sku
from chalicelib.members.schemas import MemberRef
from chalicelib.orders import gateways
from chalicelib.orders import mall as orders_mall
from chalicelib.orders import service as orders
from chalicelib.orders.schemas import MallEvent
from chalicelib.orders.service import Back, Paid
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_call, emptied
from tests.groupbuys import (
    PHONE,
    Books,
    a_buyer,
    a_campaign,
    books_of,
    broken,
    buying,
    open_paid_group,
    opened,
    orders_of,
    pay,
    react,
    run_jobs,
    shown_of,
    take,
)
from tests.harness.faults import Fault, Killed, each_fault, fault_cases
from tests.harness.rows import rows
from tests.harness.wire import Item, plain

pytestmark = [pytest.mark.alone("groupbuys", "orders"), pytest.mark.usefixtures("direct")]

PRICE = 8900
LATER = NOW + DAY
BACK = Back(reason="operator")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a case begins from, by its ids."""

    campaign_id: str
    group_id: str = ""
    order_id: str = ""
    member_id: str = ""


Effect = Callable[[Books], object]


@dataclass
class Stage:
    """A scene made once and set up again for every case; each outcome is looked at once, and what it comes to."""

    client: Any
    make: Callable[[], Scene]
    effect: Effect
    rests: bool = True
    gateway: str = "sandbox"
    scene: Scene | None = None
    props: list[Item] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def set(self) -> Scene:
        """The scene as it was made."""
        if self.scene is None:
            emptied()
            self.scene = self.make()
            if self.rests:
                react(self.client, now=NOW)
            self.told()
            self.props = self.dumped()
        self.put_back(self.props)
        config.override(payment_gateway=self.gateway)
        return self.scene

    def told(self) -> None:
        """What orders owed so far was told: it is no part of any play."""
        for item in self.dumped():
            if item["kind"]["S"] == "order":
                orders.caught_up(orders.show(item["order_id"]["S"]), now=NOW)

    def dumped(self) -> list[Item]:
        """All rows that mean anything, out of the embedded store's own hands: a scan of it takes 50 ms."""
        items = [row.to_json()["Attributes"] for row in self.backend().tables["truth"].all_items()]
        return [item for item in items if item["kind"]["S"] != "lease"]

    def put_back(self, items: list[Item]) -> None:
        """These rows, and nothing remembered of others."""
        emptied()
        for item in items:
            self.backend().put_item("truth", item, overwrite=True)

    def backend(self) -> DynamoDBBackend:
        """The embedded store's own hands."""
        (there,) = (one for regions in dynamodb_backends.values() for one in regions.values() if one.tables)
        return there

    def check(self, scene: Scene) -> None:
        """The effect is there, no rule is broken; when the jobs have done all they can, nothing is left behind."""
        state = str(sorted(json.dumps(item, sort_keys=True) for item in self.dumped()))
        if state in self.seen:
            return
        self.effect(books_of(self.client, scene.campaign_id))
        assert broken(self.client, scene.campaign_id) == []
        if self.rests:
            react(self.client, now=NOW)
            now = self.dumped()
            run_jobs(self.client)
            assert broken(self.client, scene.campaign_id, at_rest=True) == []
            self.put_back(now)
        self.seen.add(state)


Play = Callable[[Scene], object]


@dataclass
class Theatre:
    """Where each case is played."""

    store: Store
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def proves(
        self,
        play: Play,
        *,
        scene: Callable[[], Scene],
        effect: Effect,
        may_refuse: tuple[type[Exception], ...] = (),
        rests: bool = True,
        gateway: str = "sandbox",
    ) -> None:
        """Every fault at every call of the play: its effect is there once, and nothing is left behind."""
        stage = Stage(client=self.store.client, make=scene, effect=effect, rests=rests, gateway=gateway)

        def setup() -> Scene:
            self.numbers = itertools.count(0 if stage.scene is None else 10**6)
            return stage.set()

        each_fault(play, client=table.client(), setup=setup, check=stage.check, may_refuse=may_refuse)

    def bytes(self, count: int | None = None) -> bytes:
        """Stands in for chance, so that the same case makes the same ids."""
        return next(self.numbers).to_bytes(count or 32, "big")


@pytest.fixture
def theatre(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Theatre]:
    """An empty stage."""
    there = Theatre(store)
    monkeypatch.setattr(secrets, "token_bytes", there.bytes)
    yield there


# --- scenes -------------------------------------------------------------------------------------------------


def a_shop(**told: Any) -> Scene:
    """A campaign and somebody who wants something."""
    return Scene(campaign_id=a_campaign(**told).campaign_id, member_id=a_buyer())


def an_unpaid_head(**told: Any) -> Scene:
    campaign = a_campaign(**told)
    seat = opened(campaign)
    return Scene(
        campaign_id=campaign.campaign_id,
        group_id=seat.group.group_id,
        order_id=seat.order.order_id,
        member_id=seat.order.member_id,
    )


def an_open_group(*, payers: int = 1, **told: Any) -> Scene:
    """A group that somebody wants to join; ``order_id`` is the last payer's."""
    campaign = a_campaign(**told)
    group = open_paid_group(campaign, payers=payers)
    paid = sorted(orders_of(group), key=lambda order: order.member_id == group.head_id)
    return Scene(
        campaign_id=campaign.campaign_id,
        group_id=group.group_id,
        order_id=paid[0].order_id,
        member_id=a_buyer(),
    )


def a_joiner(*, payers: int = 1, **told: Any) -> Scene:
    """A group with somebody in it who has not paid."""
    there = an_open_group(payers=payers, **told)
    order = take(reading.find(there.group_id), buying(there.member_id))
    return Scene(
        campaign_id=there.campaign_id,
        group_id=there.group_id,
        order_id=order.order_id,
        member_id=order.member_id,
    )


def a_late_payer(**told: Any) -> Scene:
    """A group out of which an unpaid seat was let go."""
    there = a_joiner(**told)
    ending.leave(group_id=there.group_id, member_id=there.member_id, now=NOW)
    return there


# --- plays --------------------------------------------------------------------------------------------------


def opens(scene: Scene) -> None:
    opened(campaigns.find(scene.campaign_id, now=NOW), buying(scene.member_id))


def joins(scene: Scene) -> None:
    service.join(group_id=scene.group_id, buying=buying(scene.member_id), now=NOW)


def joins_as_shown(scene: Scene) -> None:
    shown = shown_of(reading.find(scene.group_id))
    service.join(group_id=scene.group_id, buying=buying(scene.member_id), shown=shown, now=NOW)


def pays(scene: Scene) -> None:
    orders.pay(scene.order_id, Paid(payment_id="pay_x", amount_fen=PRICE), now=NOW)


def leaves(scene: Scene) -> None:
    ending.leave(group_id=scene.group_id, member_id=scene.member_id, now=NOW)


def refunds(scene: Scene) -> None:
    orders.refund(scene.order_id, back=BACK, now=NOW)


def due_now(job: str) -> due.Entry | None:
    """What is due next under a job."""
    return next(due._due(f"{job}#0", now=NOW + 9 * DAY), None)


def works(job: str) -> Play:
    """What the job does with what is due next; how it finds it is in test_due."""

    def play(scene: Scene) -> None:
        entry = due_now(job)
        if entry is not None:
            due._handlers[job](entry, LATER)

    return play


# --- what there is afterwards -------------------------------------------------------------------------------


def there_is(**wanted: Any) -> Callable[[Books], None]:
    """How many orders, seats and groups of each state there are; ``left``: units that nobody holds."""

    def check(books: Books) -> None:
        found = {
            "orders": Counter(row["state"] for row in books.orders.values()),
            "seats": Counter(row["state"] for row in books.seats),
            "groups": Counter(row["state"] for row in books.groups.values()),
            "refunds": Counter(row["state"] for row in books.refunds),
            "payments": Counter(row["state"] for row in books.payments),
            "left": sum(row["left"] for row in books.stock),
        }
        assert {name: found[name] for name in wanted} == wanted

    return check


# --- opening, joining, leaving ------------------------------------------------------------------------------


def test_a_group_is_opened_once(theatre: Theatre) -> None:
    theatre.proves(
        opens, scene=a_shop, effect=there_is(orders={"pending": 1}, groups={"opening": 1}, left=97)
    )


def test_a_group_is_opened_once_from_another_shard(theatre: Theatre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "shard_for", lambda key, shards: 0)

    def two_shards_of_which_the_first_is_empty() -> Scene:
        there = an_unpaid_head(stock=6, shards=2)
        return Scene(campaign_id=there.campaign_id, member_id=a_buyer())

    theatre.proves(
        opens,
        scene=two_shards_of_which_the_first_is_empty,
        effect=there_is(orders={"pending": 2}, groups={"opening": 2}, left=0),
    )


@pytest.mark.parametrize("play", [joins, joins_as_shown])
def test_a_seat_is_taken_once(theatre: Theatre, play: Callable[[Scene], None]) -> None:
    theatre.proves(play, scene=an_open_group, effect=there_is(seats={"confirmed": 1, "held": 1}, left=97))


def test_a_seat_with_its_own_units_is_taken_once(theatre: Theatre) -> None:
    theatre.proves(
        joins,
        scene=lambda: an_open_group(reserve="seat"),
        effect=there_is(seats={"confirmed": 1, "held": 1}, left=98),
    )


def test_a_seat_is_given_back_once(theatre: Theatre) -> None:
    theatre.proves(
        leaves,
        scene=lambda: a_joiner(reserve="seat"),
        effect=there_is(seats={"confirmed": 1}, orders={"paid": 1, "cancelled": 1}, left=99),
    )


def test_a_hold_that_runs_out_is_released_once(theatre: Theatre) -> None:
    theatre.proves(
        works("release"),
        scene=lambda: a_joiner(reserve="seat"),
        effect=there_is(seats={"confirmed": 1}, orders={"paid": 1, "cancelled": 1}, left=99),
    )


def test_an_unpaid_head_s_group_goes_once(theatre: Theatre) -> None:
    theatre.proves(
        works("release"),
        scene=an_unpaid_head,
        effect=there_is(orders={"cancelled": 1}, groups={"lapsed": 1}, seats={}, left=100),
    )


# --- paying -------------------------------------------------------------------------------------------------


def test_a_head_s_payment_opens_the_group_once(theatre: Theatre) -> None:
    theatre.proves(
        pays,
        scene=an_unpaid_head,
        effect=there_is(orders={"paid": 1}, groups={"open": 1}, payments={"taken": 1}, refunds={}),
    )


def test_another_s_payment_counts_once(theatre: Theatre) -> None:
    theatre.proves(
        pays,
        scene=a_joiner,
        effect=there_is(orders={"paid": 2}, groups={"open": 1}, seats={"confirmed": 2}, refunds={}),
    )


def test_the_last_payment_fills_the_group_once(theatre: Theatre) -> None:
    theatre.proves(
        pays,
        scene=lambda: a_joiner(payers=2),
        effect=there_is(orders={"paid": 3}, groups={"filled": 1}, payments={"taken": 3}, refunds={}),
    )


def test_a_second_payment_goes_back_once(theatre: Theatre) -> None:
    theatre.proves(
        pays,
        scene=an_open_group,
        effect=there_is(orders={"paid": 1}, payments={"taken": 1, "returned": 1}, refunds={"due": 1}),
    )


def test_a_wrong_amount_is_listed_once(theatre: Theatre) -> None:
    def pays_too_little(scene: Scene) -> None:
        orders.pay(scene.order_id, Paid(payment_id="pay_x", amount_fen=1), now=NOW)

    def listed_once(books: Books) -> None:
        there_is(orders={"paid": 1, "pending": 1}, payments={"taken": 1, "mismatch": 1}, refunds={})(books)
        assert len(due.stuck("mismatch", limit=10).rows) == 1

    # A person gives it back: it is never at rest by itself.
    theatre.proves(pays_too_little, scene=a_joiner, effect=listed_once, rests=False)


# --- late payments ------------------------------------------------------------------------------------------


def test_a_late_payment_takes_a_seat_of_its_group_once(theatre: Theatre) -> None:
    theatre.proves(
        pays,
        scene=lambda: a_late_payer(reserve="seat"),
        effect=there_is(orders={"paid": 2}, seats={"confirmed": 2}, refunds={}, left=98),
    )


def test_a_late_payment_fills_another_group_once(theatre: Theatre) -> None:
    def of_a_group_that_is_full() -> Scene:
        there = a_late_payer(sizes={2: PRICE})
        pay(take(reading.find(there.group_id)))
        open_paid_group(campaigns.find(there.campaign_id, now=NOW))
        return there

    theatre.proves(
        pays,
        scene=of_a_group_that_is_full,
        effect=there_is(orders={"paid": 4}, groups={"filled": 2}, refunds={}),
    )


def test_a_late_payment_goes_back_once(theatre: Theatre) -> None:
    theatre.proves(
        pays,
        scene=lambda: a_late_payer(late_payment="refund"),
        effect=there_is(orders={"paid": 1, "refunding": 1}, seats={"confirmed": 1}, refunds={"due": 1}),
    )


def test_a_payment_in_a_group_that_is_over_lets_its_seat_go_and_goes_back_once(theatre: Theatre) -> None:
    def ended() -> Scene:
        there = a_joiner(reserve="seat")
        ending.end(there.group_id, back=ending.EXPIRED, now=LATER)
        return there

    theatre.proves(
        pays,
        scene=ended,
        effect=there_is(orders={"refunding": 2}, groups={"expired": 1}, refunds={"due": 2}, left=100),
    )


def test_a_late_payment_takes_over_the_newer_seat_once(theatre: Theatre) -> None:
    def who_has_come_again() -> Scene:
        there = a_late_payer()
        take(reading.find(there.group_id), buying(there.member_id))
        return there

    theatre.proves(
        pays,
        scene=who_has_come_again,
        effect=there_is(orders={"paid": 2, "cancelled": 1}, seats={"confirmed": 2}, refunds={}),
    )


# --- ending -------------------------------------------------------------------------------------------------


def test_a_group_is_ended_once_and_owes_every_payer_one_refund(theatre: Theatre) -> None:
    theatre.proves(
        works("expire"),
        scene=lambda: a_joiner(payers=2, reserve="seat"),
        effect=there_is(
            groups={"expired": 1}, orders={"refunding": 2, "pending": 1}, refunds={"due": 2}, left=99
        ),
    )


def test_a_group_of_many_is_ended_once_and_owes_every_payer_one_refund(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "PAYERS_AT_ONCE", 1)
    monkeypatch.setattr(ending, "PAYERS_A_BATCH", 2)

    theatre.proves(
        works("expire"),
        scene=lambda: an_open_group(payers=3, sizes={5: PRICE}, reserve="seat"),
        effect=there_is(groups={"expired": 1}, orders={"refunding": 3}, refunds={"due": 3}, left=100),
    )


def a_crowd(count: int) -> Scene:
    """A group of so many payers; all but two are copies, as paying one by one takes long."""
    there = an_open_group(payers=2, sizes={count + 1: PRICE}, stock=1000)
    client, copied = table.client(), orders.show(there.order_id)
    items = [
        item
        for item in plain(client, "Scan", {"TableName": "truth"})["Items"]
        if copied.order_id in str(item) or item["pk"]["S"].endswith(f"#{copied.member_id}")
    ]
    for number in range(count - 2):
        text = json.dumps(items).replace(copied.order_id, f"ord_{number}")
        text = text.replace(copied.member_id, f"mbr_{number}").replace(
            str(copied.payment_id), f"pay_{number}"
        )
        puts = [{"PutRequest": {"Item": item}} for item in json.loads(text)]
        plain(client, "BatchWriteItem", {"RequestItems": {"truth": puts}})
    more = 2 - count
    fewer = (Group.missing.add(more), Group.free.add(more), Group.score.add(SCORE * more))
    table.apply(table.update(Group, Group.key(there.group_id), *fewer, refuse=NotFound))
    return there


def test_a_worker_that_is_killed_while_it_ends_a_group_of_more_than_thirty_is_followed_by_another(
    theatre: Theatre,
) -> None:
    effect = there_is(groups={"expired": 1}, orders={"refunding": 33}, refunds={"due": 33}, left=1000)
    stage = Stage(client=theatre.store.client, make=lambda: a_crowd(33), effect=effect, rests=False)

    cases = fault_cases(works("expire"), client=table.client(), setup=stage.set, check=stage.check)
    killed = [case for case in cases if case.fault is Fault.CRASH and case.calls[case.call - 1] != "Query"]
    for case in killed:
        case.run()

    assert len(killed) == 4


def test_a_group_with_enough_real_payers_is_filled_once(theatre: Theatre) -> None:
    theatre.proves(
        works("expire"),
        scene=lambda: an_open_group(payers=2, sizes={5: PRICE}, fill_at_expiry_from=2),
        effect=there_is(groups={"filled": 1}, orders={"paid": 2}, refunds={}, left=98),
    )


def test_the_differences_of_a_ladder_go_back_once(theatre: Theatre) -> None:
    def filled() -> Scene:
        return an_open_group(payers=3, sizes={2: PRICE, 3: 7900}, mode="ladder")

    def reacts(scene: Scene) -> None:
        row = reading.find(scene.group_id)
        if row.owed_rev is not None:
            fact = facts.Fact(name="group.filled", pk=row.pk, sk=row.sk, rev=row.owed_rev, owed=True)
            facts.dispatch(fact, now=NOW)

    def effect(books: Books) -> None:
        there_is(groups={"filled": 1}, orders={"paid": 3})(books)
        assert [row["amount_fen"] for row in books.refunds] == [1000] * 3
        assert sum(day["filled"] for day in books.days if "filled" in day) == 1

    theatre.proves(reacts, scene=filled, effect=effect, rests=False)


# --- refunds ------------------------------------------------------------------------------------------------


def test_a_member_of_an_open_group_is_refunded_once(theatre: Theatre) -> None:
    theatre.proves(
        refunds,
        scene=lambda: an_open_group(payers=2, reserve="seat"),
        effect=there_is(
            orders={"paid": 1, "refunding": 1}, seats={"confirmed": 1}, refunds={"due": 1}, left=99
        ),
    )


def test_a_head_is_refunded_once_and_another_is_head(theatre: Theatre) -> None:
    def of_the_head() -> Scene:
        there = an_open_group(payers=2)
        head_id = reading.find(there.group_id).head_id
        (order,) = [one for one in orders_of(reading.find(there.group_id)) if one.member_id == head_id]
        return Scene(
            campaign_id=there.campaign_id, group_id=there.group_id, order_id=order.order_id, member_id=head_id
        )

    def effect(books: Books) -> None:
        there_is(orders={"paid": 1, "refunding": 1}, groups={"open": 1}, refunds={"due": 1})(books)
        ((head,), (group,)) = [one["member_id"] for one in books.seats], books.groups.values()
        assert group["head_id"] == head

    theatre.proves(refunds, scene=of_the_head, effect=effect)


def test_the_last_payer_is_refunded_once_and_the_group_is_over(theatre: Theatre) -> None:
    theatre.proves(
        refunds,
        scene=an_open_group,
        effect=there_is(orders={"refunding": 1}, groups={"expired": 1}, refunds={"due": 1}, left=100),
    )


def test_a_member_of_a_group_that_is_being_ended_is_refunded_once(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "PAYERS_AT_ONCE", 1)

    def ended_in_part() -> Scene:
        there = an_open_group(payers=2, reserve="seat")
        group, seats = reading.with_seats(there.group_id)
        assert not ending._end_open(group, seats, {}, back=ending.EXPIRED, now=NOW)
        return there

    theatre.proves(
        refunds,
        scene=ended_in_part,
        effect=there_is(
            orders={"paid": 1, "refunding": 1}, groups={"expiring": 1}, refunds={"due": 1}, left=99
        ),
    )


def test_a_refund_is_sent_and_confirmed_once(theatre: Theatre) -> None:
    def owed() -> Scene:
        there = an_open_group()
        ending.end(there.group_id, back=ending.EXPIRED, now=NOW)
        return there

    theatre.proves(
        works("refund"),
        scene=owed,
        effect=there_is(orders={"refunded": 1}, refunds={"done": 1}, left=100),
    )


# --- the mall ----------------------------------------------------------------------------------------------


class Desk(BaseHTTPRequestHandler):
    """The mall's server: notes what it is asked, and answers as it is told to."""

    protocol_version = "HTTP/1.1"
    mall: "Mall"

    def do_POST(self) -> None:  # noqa: N802 - its name in http.server
        """Take a message in, or fail before or after."""
        body = self.rfile.read(int(self.headers["content-length"]))
        mood = self.mall.mood
        if mood != "hangs-up":
            self.mall.asked.append((self.headers["webhook-id"], body))
        if mood in ("hangs-up", "loses-its-answer"):
            self.close_connection = True
            return
        if mood == "answers-too-late":
            self.mall.awake.wait(5)
        status = {"breaks": 500, "is-down": 503, "moved": 302, "denies": 404}.get(mood, 200)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.send_header("Location", self.mall.url)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@dataclass
class Mall:
    """A shop on this machine, in some mood."""

    url: str = ""
    mood: str = "fine"
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    awake: threading.Event = field(default_factory=threading.Event)


@contextmanager
def a_mall_that_listens() -> Iterator[Mall]:
    mall = Mall()
    desk = type("TheDesk", (Desk,), {"mall": mall})
    with ThreadingHTTPServer(("127.0.0.1", 0), desk) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        mall.url = f"http://127.0.0.1:{server.server_port}/hooks"
        try:
            yield mall
        finally:
            mall.awake.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def mall(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mall]:
    """A mall that listens, and patience for a quarter of a second."""
    monkeypatch.setattr(deliveries, "TIMEOUT_S", 0.25)
    with a_mall_that_listens() as there:
        config.override(mall_webhook_url=there.url, payment_gateway="mall")
        yield there


def owed_by_the_mall() -> Scene:
    """A refund that the mall has to give."""
    campaign = a_campaign(gateway="mall")
    body = seats_mall.TakeSeat(member=MemberRef(external_id="c-1"), mall_order_id="M1")
    order_id = seats_mall.take_seat(a_call(), campaign.campaign_id, body).body.order.order_id
    orders.pay(order_id, Paid(payment_id="wx_1", amount_fen=PRICE), now=NOW)
    group_id = orders.show(order_id).group_id
    ending.end(group_id, back=ending.EXPIRED, now=NOW)
    return Scene(campaign_id=campaign.campaign_id, group_id=group_id, order_id=order_id)


class NotYet(Exception):
    """The mall has not taken it on."""


def asks_the_mall(scene: Scene) -> None:
    (refund,) = orders.money_of(scene.order_id)[1]
    if refund.state == "due":
        works("refund")(scene)


def confirms(scene: Scene) -> None:
    (refund,) = orders.money_of(scene.order_id)[1]
    event = MallEvent(id="evt_1", type="order.refunded", order_id=scene.order_id, refund_id=refund.refund_id)
    orders_mall.take_event(a_call(), event)


def test_the_mall_is_asked_for_a_refund_under_one_number_whatever_storage_call_failed(
    theatre: Theatre, mall: Mall
) -> None:
    effect = there_is(orders={"refunding": 1}, refunds={"sent": 1})

    theatre.proves(asks_the_mall, scene=owed_by_the_mall, effect=effect, rests=False, gateway="mall")

    (refund,) = orders.money_of(orders.id_for_mall("M1"))[1]
    assert len(mall.asked) > 1
    assert {number for number, _ in mall.asked} == {refund.refund_id}
    assert len({body for _, body in mall.asked}) == 1


def test_the_mall_s_confirmation_is_taken_once(theatre: Theatre, mall: Mall) -> None:
    def asked() -> Scene:
        there = owed_by_the_mall()
        works("refund")(there)
        return there

    def effect(books: Books) -> None:
        there_is(orders={"refunded": 1}, refunds={"done": 1})(books)
        assert next(iter(books.orders.values()))["refunded_fen"] == PRICE

    theatre.proves(confirms, scene=asked, effect=effect, rests=False, gateway="mall")


def test_the_mall_s_own_refund_is_followed_once(theatre: Theatre) -> None:
    def told(scene: Scene) -> None:
        event = MallEvent(
            id="evt_1", type="order.refunded", order_id=scene.order_id, refund_id="R1", amount_fen=900
        )
        orders_mall.take_event(a_call(), event)

    def effect(books: Books) -> None:
        there_is(orders={"paid": 1}, refunds={"done": 1})(books)
        (order,) = books.orders.values()
        assert (order["refundable_fen"], order["refunded_fen"]) == (PRICE - 900, 900)

    theatre.proves(told, scene=an_open_group, effect=effect)


def test_what_the_mall_gave_by_itself_confirms_what_it_was_asked_for_once(
    theatre: Theatre, mall: Mall
) -> None:
    def asked() -> Scene:
        there = owed_by_the_mall()
        works("refund")(there)
        return there

    def effect(books: Books) -> None:
        there_is(orders={"refunded": 1}, refunds={"done": 1})(books)
        (refund,) = books.refunds
        assert (refund["number"], refund["due_shard"]) == ("R9", "stuck#twice")
        assert next(iter(books.orders.values()))["refunded_fen"] == PRICE

    theatre.proves(gives_back("R9"), scene=asked, effect=effect, rests=False, gateway="mall")


def gives_back(number: str, payment_id: str | None = None) -> Play:
    """The mall gave a payment back by itself, and says so."""

    def told(scene: Scene) -> None:
        about: dict[str, Any] = {"order_id": scene.order_id, "refund_id": number, "payment_id": payment_id}
        orders_mall.take_event(a_call(), MallEvent(id="evt_1", type="order.refunded", **about))

    return told


def test_a_wrong_amount_that_the_mall_gave_back_is_settled_once(theatre: Theatre) -> None:
    def wrong() -> Scene:
        there = a_joiner()
        orders.pay(there.order_id, Paid(payment_id="wx_wrong", amount_fen=8000), now=NOW)
        return there

    def effect(books: Books) -> None:
        (payment,) = [one for one in books.payments if one["payment_id"] == "wx_wrong"]
        (refund,) = books.refunds
        assert (payment["state"], refund["state"], refund["amount_fen"]) == ("returned", "done", 8000)

    theatre.proves(gives_back("R9", "wx_wrong"), scene=wrong, effect=effect)


def test_the_mall_takes_a_seat_once(theatre: Theatre) -> None:
    def seats(scene: Scene) -> None:
        body = seats_mall.TakeSeat(member=MemberRef(external_id="c-1"), mall_order_id="M1")
        seats_mall.take_seat(a_call(), scene.campaign_id, body)

    theatre.proves(
        seats,
        scene=a_shop,
        effect=there_is(orders={"pending": 1}, groups={"opening": 1}, left=97),
        gateway="mall",
    )


ASKED_IN_VAIN = {"hangs-up": 0, "loses-its-answer": 1, "answers-too-late": 1, "breaks": 1, "is-down": 1}
ASKED_IN_VAIN |= {"moved": 1, "denies": 1}


@pytest.mark.parametrize("mood", ASKED_IN_VAIN)
def test_a_mall_that_fails_is_asked_again_under_the_same_number(store: Store, mall: Mall, mood: str) -> None:
    there = owed_by_the_mall()
    mall.mood = mood

    ran = due.run(job="refund", worker="one", now=NOW, seconds=30)
    mall.mood = "fine"
    mall.awake.set()
    again = due.run(job="refund", worker="two", now=NOW + due.FIRST_PAUSE_S, seconds=30)

    assert ((ran.handled, ran.failed), (again.handled, again.failed)) == ((0, 1), (1, 0))
    assert len(mall.asked) == ASKED_IN_VAIN[mood] + 1
    assert len(set(mall.asked)) == 1
    confirms(there)
    there_is(orders={"refunded": 1}, refunds={"done": 1})(books_of(store, there.campaign_id))
    assert broken(store, there.campaign_id) == []


def test_a_mall_that_nobody_answers_at_is_asked_again(store: Store, mall: Mall) -> None:
    there = owed_by_the_mall()
    config.override(mall_webhook_url="http://127.0.0.1:1/hooks")

    ran = due.run(job="refund", worker="one", now=NOW, seconds=30)
    config.override(mall_webhook_url=mall.url)
    due.run(job="refund", worker="two", now=NOW + due.FIRST_PAUSE_S, seconds=30)

    assert (ran.failed, len(mall.asked)) == (1, 1)
    assert orders.money_of(there.order_id)[1][0].state == "sent"


@pytest.mark.parametrize(("when", "asked"), [("before", 1), ("after", 2)])
def test_a_worker_that_is_killed_at_the_mall_s_door_is_followed_by_another(
    store: Store, mall: Mall, monkeypatch: pytest.MonkeyPatch, when: str, asked: int
) -> None:
    there = owed_by_the_mall()
    request = urllib3.request

    def dies(*args: Any, **how: Any) -> Any:
        if when == "after":
            request(*args, **how)
        raise Killed(when)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(urllib3, "request", dies)
        due.run(job="refund", worker="one", now=NOW, seconds=30)
    due.run(job="refund", worker="two", now=NOW + due.LEASE_S, seconds=30)

    assert (len(mall.asked), len(set(mall.asked))) == (asked, 1)
    assert orders.money_of(there.order_id)[1][0].state == "sent"
    assert broken(store, there.campaign_id) == []


def test_the_sandbox_is_asked_again_when_its_answer_was_lost(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Forgetful(gateways.Sandbox):
        def refund(self, order: Any, refund: Any, *, now: int) -> bool:
            asked.append(refund.refund_id)
            if len(asked) == 1:
                raise gateways.NotRefunded("no answer")
            return True

    monkeypatch.setitem(gateways._GATEWAYS, "sandbox", Forgetful())
    there = an_open_group()
    ending.end(there.group_id, back=ending.EXPIRED, now=NOW)

    failed = due.run(job="refund", worker="one", now=NOW, seconds=30).failed
    due.run(job="refund", worker="two", now=NOW + due.FIRST_PAUSE_S, seconds=30)

    assert (failed, len(asked), len(set(asked))) == (1, 2, 1)
    there_is(orders={"refunded": 1}, refunds={"done": 1})(books_of(theatre.store, there.campaign_id))


# --- campaigns ----------------------------------------------------------------------------------------------


def made_twice(store: Store) -> Callable[[Scene], None]:
    """There are two campaigns with all their stock, each told of once in the trail."""

    def check(scene: Scene) -> None:
        stock = Counter(row["campaign_id"] for row in rows(store.client, "truth", kind="groupbuy_stock"))
        assert list(stock.values()) == [3, 3]
        for kind in ("groupbuy", "audit"):
            assert len(rows(store.client, "truth", kind=kind)) == 2

    return check


def test_a_campaign_with_a_key_is_made_once(theatre: Theatre) -> None:
    prices = [Price(size=3, price_fen=PRICE)]
    sku = Sku(sku_id="sku", title="Red", list_price_fen=9900, stock=7, prices=prices)
    product = Product(id="tea", title="Tea", skus=[sku])
    body = EditCampaign(title="Tea", product=product, starts_at=NOW, ends_at=LATER, stock_shards=3)

    def makes(scene: Scene) -> None:
        campaigns.make(body, campaigns.Making(by=OWNER, now=NOW, idempotency_key="k1"))

    stage = Stage(client=theatre.store.client, make=lambda: a_shop(shards=3), effect=there_is())
    each_fault(makes, client=table.client(), setup=stage.set, check=made_twice(theatre.store))


def test_a_campaign_is_paused_once_with_one_audit_row(theatre: Theatre) -> None:
    def pauses(scene: Scene) -> None:
        making = campaigns.Making(by=OWNER, now=NOW, idempotency_key=None)
        assert campaigns.switch(scene.campaign_id, to="paused", making=making).state == "paused"

    def effect(books: Books) -> None:
        assert (books.campaign["state"], [row["on"] for row in books.stock]) == ("paused", [False] * 2)
        audit = rows(theatre.store.client, "truth", kind="audit", action="groupbuy.paused")
        assert len(audit) == 1

    theatre.proves(pauses, scene=lambda: a_shop(shards=2), effect=effect)


def owner(*, key: str | None = None, now: int = NOW) -> campaigns.Making:
    return campaigns.Making(by=OWNER, now=now, idempotency_key=key)


def test_an_edit_reaches_every_shard_and_is_noted_once(theatre: Theatre) -> None:
    def edits(scene: Scene) -> None:
        terms = editing.terms(campaigns.as_it_is(scene.campaign_id))
        given = replace(terms, title="Spring", ends_at=LATER + 5)
        assert editing.edit(scene.campaign_id, given, owner()).title == "Spring"

    def effect(books: Books) -> None:
        assert {(row["ends_at"], row["edition"]) for row in books.stock} == {(LATER + 5, 1)}
        assert (books.campaign["title"], books.campaign["edition"]) == ("Spring", 1)
        assert len(rows(theatre.store.client, "truth", kind="audit", action="groupbuy.edited")) == 1

    theatre.proves(edits, scene=lambda: a_shop(shards=2), effect=effect, rests=False)


def test_units_are_added_once_for_a_key(theatre: Theatre) -> None:
    def adds(scene: Scene) -> None:
        left = campaigns.add_stock(scene.campaign_id, sku_id="sku", units=5, making=owner(key="k1"))
        assert sum(left.values()) == 105

    theatre.proves(adds, scene=a_shop, effect=there_is(left=105))


def test_a_campaign_that_is_closed_ends_its_groups_once(theatre: Theatre) -> None:
    def closes(scene: Scene) -> None:
        closing.close(scene.campaign_id, open_groups="refund", reason="recall", making=owner())
        for job in (closing.CLOSE_JOB, holding.EXPIRE_JOB):
            entry = next(due._due(f"{job}#0", now=NOW), None)
            if entry is not None:
                due._handlers[job](entry, NOW)

    def effect(books: Books) -> None:
        there_is(groups={"expired": 1}, orders={"refunding": 1}, left=100)(books)
        assert books.campaign["state"] == "closed"
        assert {row["reason"] for row in books.refunds} == {"campaign_closed"}
        assert len(rows(theatre.store.client, "truth", kind="audit", action="groupbuy.closed")) == 1

    theatre.proves(closes, scene=an_open_group, effect=effect, rests=False)


# --- what a phone can pay -----------------------------------------------------------------------------------


def a_joiner_who_pays() -> Scene:
    """Somebody in a group whose phone has begun to pay."""
    there = a_joiner()
    begins(there)
    return there


def begins(scene: Scene) -> None:
    order = orders.show(scene.order_id)
    orders.begin_payment(order, phone=PHONE, now=NOW, entropy=secrets.token_bytes(10))


def test_one_thing_to_pay_is_begun(theatre: Theatre) -> None:
    def effect(books: Books) -> None:
        there_is(seats={"confirmed": 1, "held": 1})(books)
        assert sum("prepay_id" in row for row in books.orders.values()) == 1

    theatre.proves(begins, scene=a_joiner, effect=effect)


def test_a_hold_is_closed_at_the_gateway_and_released_once(theatre: Theatre) -> None:
    def effect(books: Books) -> None:
        there_is(seats={"confirmed": 1}, orders={"paid": 1, "cancelled": 1})(books)
        assert {row.get("prepay_closed") for row in books.orders.values()} == {None, True}

    theatre.proves(works("release"), scene=a_joiner_who_pays, effect=effect)


def test_a_payment_that_the_gateway_tells_of_as_it_closes_is_taken_once(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Paying(gateways.Sandbox):
        def close(self, order: Any, *, now: int) -> Paid | None:
            return Paid(payment_id=order.prepay_id, amount_fen=order.amount_fen)

    monkeypatch.setitem(gateways._GATEWAYS, "sandbox", Paying())
    theatre.proves(
        works("release"),
        scene=a_joiner_who_pays,
        effect=there_is(seats={"confirmed": 2}, orders={"paid": 2}, payments={"taken": 2}),
    )
