"""The mall simulator, over real HTTP: whom it believes, what it does once, and how it fails when told to."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import urllib3
from standardwebhooks.webhooks import Webhook

from infra.local.mall import Mall, start
from infra.local.postbox import Message
from infra.local.shop import ShopOrder

NEW, OLD = "whsec_bmV3LXNlY3JldC1vZi10aGUtbWFsbA==", "old-secret"
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def mall() -> Iterator[Mall]:
    mall = start(secrets=[NEW, OLD], liebian_url=NOBODY)
    yield mall
    mall.stop()


@pytest.fixture
def paid(mall: Mall) -> ShopOrder:
    """An order of the shop's that was paid, and of which Liebian will never hear."""
    order = ShopOrder(
        number="M1", play="mall first", buyer="c", title="Tea", amount_fen=8900, order_id="ord_1"
    )
    mall.shop._kept(order)
    return mall.shop.pay("M1")


def hook(
    mall: Mall,
    kind: str,
    secret: str | bytes = NEW,
    *,
    ago: timedelta = timedelta(),
    **data: Any,
) -> urllib3.BaseHTTPResponse:
    """A webhook as Liebian sends it."""
    body = json.dumps({"type": kind, "timestamp": "2026-11-26T00:00:00Z", "data": data})
    at = datetime.now(UTC) - ago
    headers = {
        "webhook-id": "dlv_1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(secret).sign("dlv_1", at, body),
    }
    return urllib3.request("POST", mall.webhook_url, body=body, headers=headers, retries=False, timeout=5)


def refund(mall: Mall, amount_fen: int = 8900, refund_id: str = "rfd_1") -> int:
    """Liebian asks for money back."""
    asked: dict[str, Any] = {
        "refund_id": refund_id,
        "order_id": "ord_1",
        "amount_fen": amount_fen,
        "reason": "operator",
    }
    return hook(mall, "refund.requested", **asked).status


@pytest.mark.parametrize("secret", [NEW, OLD.encode()], ids=["the new one", "the old one"])
def test_while_a_secret_is_replaced_either_is_believed(mall: Mall, secret: str | bytes) -> None:
    assert hook(mall, "group.filled", secret, group_id="grp_1").status == 200
    assert mall.shop.groups == {"grp_1": "filled"}


@pytest.mark.parametrize(
    ("secret", "ago"),
    [(b"another-secret", timedelta()), (NEW, timedelta(minutes=6)), (NEW, -timedelta(minutes=6))],
    ids=["another's", "too old", "of the future"],
)
def test_nobody_else_is_believed(mall: Mall, secret: str | bytes, ago: timedelta) -> None:
    assert hook(mall, "group.filled", secret, ago=ago, group_id="grp_1").status == 401
    assert mall.shop.groups == {}


def test_what_is_over_is_not_open_again_whatever_comes_last(mall: Mall) -> None:
    for kind in ("group.filled", "group.opened", "group.filled"):
        hook(mall, kind, group_id="grp_1")

    assert mall.shop.groups == {"grp_1": "filled"}


def test_a_refund_that_is_asked_for_again_is_given_once(mall: Mall, paid: ShopOrder) -> None:
    assert [refund(mall) for _ in range(3)] == [200] * 3

    assert (paid.state, paid.refunded_fen, list(paid.refunds)) == ("refunded", 8900, ["rfd_1"])


def test_what_the_shop_gave_back_by_itself_is_not_given_again_when_it_is_asked(
    mall: Mall, paid: ShopOrder
) -> None:
    mall.shop.refund("M1", amount_fen=5000)

    refund(mall)

    assert [one.amount_fen for one in paid.refunds.values()] == [5000, 3900]


def test_a_refund_for_an_order_of_somebody_else_is_not_taken(mall: Mall) -> None:
    assert refund(mall) == 404


def test_a_withdrawal_that_is_asked_for_again_is_paid_once_and_told_each_time(mall: Mall) -> None:
    mall.faults.set({"down": 0, "disorder": 9})

    asked: dict[str, Any] = {"withdrawal_id": "wdr_1", "net_fen": 19900}
    assert [hook(mall, "withdrawal.requested", **asked).status for _ in range(3)] == [200] * 3

    assert mall.shop.payouts == {"wdr_1": 19900}
    assert mall.shop.outbox.waiting() == 3


def test_a_reply_that_is_lost_was_worked_off_all_the_same(mall: Mall, paid: ShopOrder) -> None:
    mall.faults.set({"lost": 1})

    with pytest.raises(urllib3.exceptions.ProtocolError):
        refund(mall)

    assert paid.state == "refunded" and refund(mall) == 200


def test_a_mall_that_is_down_does_nothing_for_so_many_requests(mall: Mall, paid: ShopOrder) -> None:
    mall.faults.set({"down": 2})

    said = [refund(mall) for _ in range(2)]

    assert (said, paid.state, mall.faults.left["down"]) == ([503, 503], "paid", 0)
    assert refund(mall) == 200


def test_a_fault_without_end_goes_on_until_it_is_switched_off(mall: Mall) -> None:
    ask(mall, "POST", "/faults", {"down": -1})
    said = [hook(mall, "group.filled", group_id="grp_1").status for _ in range(5)]
    ask(mall, "POST", "/faults", {"down": 0})

    assert said == [503] * 5 and hook(mall, "group.filled", group_id="grp_1").status == 200


@pytest.mark.parametrize("faults", [{"none": 1}, {"down": -2}, {"down": "often"}, {"down": None}])
def test_a_fault_that_is_none_is_refused_and_changes_nothing(mall: Mall, faults: dict[str, Any]) -> None:
    assert ask(mall, "POST", "/faults", {"lost": 1, **faults})[0] == 422
    assert set(mall.faults.left.values()) == {0}


def test_what_is_not_answered_waits_and_what_gathers_leaves_last_first(mall: Mall, paid: ShopOrder) -> None:
    mall.faults.set({"disorder": 3})
    mall.shop.refund("M1", amount_fen=100)

    waiting = [message.what for message in mall.shop.outbox._messages]

    assert waiting == ["aftersale.closed", "order.refunded", "aftersale.opened", "order.paid"]


def test_an_event_keeps_its_id_and_events_about_other_things_have_others(mall: Mall, paid: ShopOrder) -> None:
    for step in (
        mall.shop.pay,
        lambda number: mall.shop.refund(number, amount_fen=100),
        lambda _: refund(mall),
    ):
        for _ in range(2):
            step("M1")

    names = [message.message_id for message in mall.shop.outbox._messages]
    assert names.count("evt-M1-P1-paid") == 1 and names.count("evt-rfd_1-refunded") == 2
    assert len(set(names)) == len(names) - 1 == 1 + 2 * 3 + 1


def test_a_refusal_is_tried_again_and_then_given_up(mall: Mall) -> None:
    told = Message(message_id="evt-1", method="GET", path="/", body={}, number="M1", what="x", tries=29)
    mall.liebian.url = mall.url  # which refuses what it does not know, as Liebian would
    told.path = "/orders/none"

    mall.shop.outbox.put(told)

    give_up_at = time.monotonic() + 10
    while not mall.shop.outbox.given_up:
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
    assert mall.shop.outbox.given_up == [told] and mall.shop.outbox.waiting() == 0


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/orders/none", None, 404),
        ("GET", "/nowhere", None, 404),
        ("GET", "/pay", None, 404),
        ("POST", "/orders/M1/eat", {}, 404),
        ("POST", "/orders/M1/ship", {}, 409),
        ("POST", "/orders/M1/complete", {}, 409),
        ("POST", "/orders/M1/cancel", {}, 409),
        ("POST", "/orders/M1/refund", {"amount_fen": 8901}, 409),
        ("POST", "/orders/M1/refund", {"amount_fen": 0}, 409),
        ("POST", "/orders/M1/refund", {"amount_fen": "much"}, 422),
        ("POST", "/checkouts", {}, 422),
        ("POST", "/checkouts", {"order_id": "ord_1"}, 503),
    ],
)
def test_what_cannot_be_done_is_said(
    mall: Mall, paid: ShopOrder, method: str, path: str, body: Any, status: int
) -> None:
    answered, told = ask(mall, method, path, body)

    assert answered == status and told["error"]["message"]
    assert paid.state == "paid"


def ask(mall: Mall, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """A request of a program's."""
    answer = urllib3.request(method, mall.url + path, json=body, retries=False, timeout=5)
    return answer.status, answer.json()
