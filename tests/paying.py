"""Group-buy orders that are paid by the simulated WeChat Pay, for tests.

    with at_the_desk(monkeypatch) as desk:
        order = desk.a_seat()
        desk.pays(order)                       # the phone pays, and WeChat tells
        assert desk.broken(store, order) == []

WeChat's clock is the time at which it was last called, so that jobs run when they are told to. What WeChat tells
goes past the door to the route, as over HTTP; ``desk.answers`` are the statuses.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from chalicelib.core import doors, due
from chalicelib.core.errors import AppError
from chalicelib.groupbuys import reading
from chalicelib.groupbuys.models import Campaign, Group
from chalicelib.members import service as members
from chalicelib.orders import routes, wechat, wechatpay
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.wechat import pay
from chalicelib.wechat.schemas import SealedNotice
from chalicelib.withdrawals import wechat as transferred
from infra.local.wechat import Simulator, login, notices, refunds
from infra.local.wechat.notices import Told
from infra.local.wechat.pay import Trade, Trades, transaction
from tests.factories import NOW, OWNER, PROGRAM, a_call, a_program, a_word
from tests.groupbuys import a_campaign, begun, broken, opened, take
from tests.harness.merchant import APPID, merchant_of_wechat_pay, phone_pays

VIEWS = {"payments": wechat.payment, "refunds": wechat.refund, "transfers": transferred.transfer}


@dataclass
class Desk:
    """Where WeChat's money comes in and goes out."""

    simulator: Simulator
    now: int = NOW
    answers: list[int] = field(default_factory=list)

    @property
    def platform(self) -> Any:
        """What WeChat knows."""
        return self.simulator.platform

    def a_campaign(self, **told: Any) -> Campaign:
        """A campaign whose orders WeChat takes the money of."""
        return a_campaign(gateway="wechat", **told)

    def a_group(self, campaign: Campaign | None = None, **told: Any) -> Group:
        """An open group whose head has paid."""
        head = opened(campaign or self.a_campaign(**told)).order
        self.took(head)
        return reading.find(head.group_id or "")

    def a_seat(self, campaign: Campaign | None = None, *, group: Group | None = None) -> Order:
        """An unpaid order in an open group."""
        order = take(group or self.a_group(campaign))
        self.knows(order)
        return order

    def knows(self, order: Order) -> None:
        """WeChat knows who this member is."""
        with self.platform.lock:
            self.platform.of(login.Logins).people[order.member_id] = (APPID, order.member_id)

    def begin(self, order: Order, *, now: int = NOW, program_id: str = PROGRAM) -> dict[str, str]:
        """What the phone is given."""
        self.knows(order)
        session = doors.Session(member_id=order.member_id, program_id=program_id, visitor="v")
        details = routes.begin_payment(a_call(session=session, now=now), order.order_id).details
        return {name: value for name, value in details.items() if name != "gateway"}

    def pays(self, order: Order, *, now: int = NOW) -> Order:
        """The phone begins and pays; the order when WeChat has told, or given up."""
        said = phone_pays(self.simulator, self.begin(order, now=now))
        assert said == {"errMsg": "requestPayment:ok"}, said
        assert notices.wait(self.platform)
        return orders.show(order.order_id)

    def took(self, order: Order) -> Order:
        """The order as when it was paid and told of, without the way there."""
        begun(order)
        asked = {
            "out_trade_no": order.order_id,
            "appid": APPID,
            "description": order.title,
            "amount": {"total": order.amount_fen},
            "payer": {"openid": order.member_id},
        }
        trade = Trade(asked=asked, expires_at=0.0, state="SUCCESS", paid_at=NOW, transaction_id=a_word("42"))
        with self.platform.lock:
            self.platform.of(Trades).by_number[order.order_id] = trade
        orders.pay(order.order_id, wechatpay.paid_of(transaction(trade)), now=NOW)
        return orders.show(order.order_id)

    def check(self, order: Order, *, now: int = NOW) -> Order:
        """The page comes back from paying."""
        session = doors.Session(member_id=order.member_id, program_id=PROGRAM, visitor="v")
        routes.check_payment(a_call(session=session, now=now), order.order_id)
        return orders.show(order.order_id)

    def trade(self, order: Order) -> Trade:
        """The order as WeChat has it."""
        found: Trade = self.platform.of(Trades).by_number[order.order_id]
        return found

    def given_back(self, order: Order) -> int:
        """What WeChat gave back of it, in fen."""
        known = self.platform.of(refunds.Refunds).by_number.values()
        return sum(one.fen for one in known if one.trade.number == order.order_id and one.status == "SUCCESS")

    def take(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        """What WeChat tells, past the door to the route."""
        _, _, path = url.removeprefix("https://").partition("/")
        lower = {name.lower(): value for name, value in headers.items()}
        approach = doors.Approach(method="POST", target=f"/{path}", headers=lower, body=body)
        now, what = int(self.platform.clock()), path.rsplit("/", 1)[1]
        try:
            doors.admit(doors.WECHAT, approach, now=now)
            told = msgspec.json.decode(body, type=SealedNotice)
            VIEWS[what](a_call(now=now), path.split("/")[2], told)
            status = 200
        except AppError as refused:
            status = refused.status
        self.answers.append(status)
        return status

    def broken(self, store: Any, order: Order, *, at_rest: bool = False) -> list[str]:
        """What breaks G1-G7, and where WeChat's books differ from ours."""
        return [
            *broken(store, order.campaign_id or "", at_rest=at_rest),
            *self.differs(orders.show(order.order_id)),
        ]

    def differs(self, order: Order) -> list[str]:
        """Where WeChat's books of a settled order differ from ours."""
        payments, owed = orders.money_of(order.order_id)
        trade = self.platform.of(Trades).by_number.get(order.order_id)
        came = trade.total if trade is not None and trade.paid_at else 0
        ours, back = sum(one.amount_fen for one in payments), self.given_back(order)
        done = sum(one.amount_fen for one in owed if one.state == "done")
        wrong = [f"{came} fen came, {ours} are known"] if came != ours else []
        return wrong + ([f"{back} fen went back, {done} are known"] if back != done else [])


@contextlib.contextmanager
def at_the_desk(monkeypatch: pytest.MonkeyPatch, **told: Any) -> Iterator[Desk]:
    """A WeChat Pay beside the store that is looked at, and the demo program in it."""
    with merchant_of_wechat_pay(monkeypatch, **told) as simulator:
        members.add_program(a_program(PROGRAM, appid=APPID), by=OWNER, now=NOW)
        desk = Desk(simulator=simulator)
        simulator.platform.of(notices.Notices).transport = desk.take
        genuine = pay._send

        def send(*arguments: Any, now: int, **named: Any) -> Any:
            simulator.platform.clock = lambda: float(now)
            return genuine(*arguments, now=now, **named)

        monkeypatch.setattr(pay, "_send", send)
        simulator.platform.clock = lambda: float(NOW)
        yield desk


def seat_of(order: Order) -> str | None:
    """The state of the seat that the order's member has in its group."""
    order = orders.show(order.order_id)
    seats = {one.member_id: one for one in reading.with_seats(order.group_id)[1]}
    return seats[order.member_id].state if order.member_id in seats else None


def entry_of(order: Order) -> due.Entry:
    """What the index says of the order's refund."""
    [refund] = orders.money_of(order.order_id)[1]
    return due.Entry(
        pk=refund.pk,
        sk=refund.sk,
        kind="",
        due_shard=refund.due_shard or "",
        due_at=refund.due_at or 0,
        due_ref="",
    )


def refund_told(desk: Desk, order: Order) -> Told:
    """What WeChat tells of the order's refund."""
    [refund] = orders.money_of(order.order_id)[1]
    with desk.platform.lock:
        known = desk.platform.of(refunds.Refunds).by_number[refund.refund_id]
        told = refunds._become(desk.platform, known, "SUCCESS")
    assert told is not None
    return told
