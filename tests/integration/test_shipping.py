"""Goods of orders that WeChat Pay took the money of: WeChat is told once, after the group is filled."""

from collections.abc import Iterator

import msgspec
import pytest

from chalicelib.core import config, due, table
from chalicelib.core.errors import Invalid
from chalicelib.operators import stuck
from chalicelib.orders import service as orders
from chalicelib.orders import shipping
from chalicelib.orders.schemas import Shipped
from chalicelib.orders.service import Order
from chalicelib.orders.shipping import Shipment
from infra.local.wechat import DEMO_PROGRAMS, Fault
from infra.local.wechat.shipping import Shipments
from tests.factories import NOW, OWNER, a_word
from tests.groupbuys import open_paid_group
from tests.harness.merchant import APPID
from tests.paying import Desk, at_the_desk

pytestmark = [pytest.mark.usefixtures("direct"), pytest.mark.alone("groupbuys", "orders")]
PARCEL = Shipped(how="express", express_company="SF", tracking_no="SF1234567890", contact="138****8000")


@pytest.fixture
def desk(direct: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_the_desk(monkeypatch) as there:
        monkeypatch.setenv("SECRET_WECHAT_WECHAT_DEMO", DEMO_PROGRAMS[APPID])
        config.override(wechat_url=there.simulator.url)
        yield there


def a_filled(desk: Desk) -> Order:
    """A paid order of a group of two that it filled."""
    campaign = desk.a_campaign(sizes={2: 8900})
    order = desk.a_seat(campaign, group=open_paid_group(campaign))
    return desk.pays(order)


def told(desk: Desk, order: Order) -> list[dict[str, object]]:
    there: Shipments = desk.platform.of(Shipments)
    return there.by_transaction.get(order.payment_id, [])


def run(at: int = NOW) -> due.Ran:
    return due.run(job=shipping.JOB, worker=a_word(), now=at, seconds=5)


def state(order: Order) -> str | None:
    row = shipping.of(order.order_id)
    return row.state if row else None


def test_what_was_sent_is_told_to_wechat_once(desk: Desk) -> None:
    order = a_filled(desk)
    for _ in range(2):
        shipping.note(order, PARCEL, now=NOW)
    assert state(order) == "due" and run().handled == 1
    assert run().handled == 0

    [sent] = told(desk, order)
    assert sent["logistics_type"] == 1
    assert sent["shipping_list"] == [
        {
            "item_desc": order.title,
            "tracking_no": "SF1234567890",
            "express_company": "SF",
            "contact": {"receiver_contact": "138****8000"},
        }
    ]
    assert state(order) == "told" and orders.show(order.order_id).shipped_at == NOW


def test_nothing_is_sent_before_the_group_is_filled_and_nothing_unpaid(desk: Desk) -> None:
    campaign = desk.a_campaign()
    waiting = desk.pays(desk.a_seat(campaign, group=open_paid_group(campaign)))
    unpaid = desk.a_seat()
    for order in (waiting, unpaid):
        with pytest.raises(shipping.NotShippable):
            shipping.note(order, PARCEL, now=NOW)
        assert state(order) is None and orders.show(order.order_id).shipped_at is None


def test_a_parcel_has_a_company_and_a_number_and_another_word_is_not_taken(desk: Desk) -> None:
    order = a_filled(desk)
    for less in ({"express_company": None}, {"tracking_no": None}, {"contact": None}):
        with pytest.raises(Invalid):
            shipping.note(order, msgspec.structs.replace(PARCEL, **less), now=NOW)
    shipping.note(order, Shipped(how="pickup"), now=NOW)
    with pytest.raises(shipping.ShipmentDiffers):
        shipping.note(order, PARCEL, now=NOW)


@pytest.mark.parametrize("fault", ["busy", "lost"])
def test_a_try_that_seemed_to_fail_uses_up_no_correction(desk: Desk, fault: Fault) -> None:
    order = a_filled(desk)
    shipping.note(order, PARCEL, now=NOW)
    desk.platform.faults["/wxa/sec/order/upload_shipping_info"] = fault
    assert run().failed == 1
    assert len(told(desk, order)) == (fault == "lost")
    desk.platform.faults.clear()

    assert run(NOW + due.FIRST_PAUSE_S).handled == 1
    assert len(told(desk, order)) == 1 and state(order) == "told"


def test_what_wechat_does_not_take_waits_for_a_person_who_enters_it(desk: Desk) -> None:
    order = a_filled(desk)
    shipping.note(order, PARCEL, now=NOW)
    desk.platform.faults["/wxa/sec/order"] = "busy"
    at = NOW
    for _ in range(due.FAILURES):
        assert run(at).failed == 1
        at += 3601
    [waiting] = [one for one in stuck.listed(limit=50)[0] if one.trouble.job == shipping.JOB]
    assert waiting.story.order_id == order.order_id

    stuck.settle(stuck_id=waiting.id, how=None, reason="entered in the backend", by=OWNER, now=at)
    assert state(order) == "by_hand"
    row = table.get(Shipment, Shipment.key(order.order_id))
    assert row is not None and row.due_shard is None
