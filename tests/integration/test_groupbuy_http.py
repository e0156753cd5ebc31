"""Group-buys as a phone, an operator and the mall meet them: the first reason of a refusal, what it offers instead,
and the same answer to whoever says the same again because the first reply was lost."""

import http.client
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.core import cache, clock, config, webhooks
from chalicelib.core.clock import DAY
from chalicelib.core.errors import NotFound
from chalicelib.groupbuys import campaigns
from chalicelib.groupbuys.models import Campaign
from chalicelib.members import service as members
from chalicelib.operators import service as operators
from chalicelib.orders import service as orders
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_word, books
from tests.groupbuys import (
    a_buyer,
    a_campaign,
    broken,
    buying,
    open_paid_group,
    opened,
    orders_of,
    pay,
    take,
)
from tests.harness.rows import rows
from tests.harness.serving import served
from tests.orders import CUP, TEA

PRICE = 8900
KEY = "owner-of-these-tests"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where the application is served."""
    with served() as there:
        yield there


@dataclass
class Shop:
    """The served application and its clock."""

    port: int
    now: int = NOW

    def ask(self, route: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """One request: its status and what came."""
        method, path = route.split()
        content = b"" if body is None else json.dumps(body).encode()
        given = {"content-type": "application/json"} | headers
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body=content, headers=given)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def member(self, member_id: str, route: str, body: Any = None) -> tuple[int, Any]:
        """A signed-in member asks."""
        member = members.show(member_id)
        token = members.token_for(member, program_id="demo", visitor=member_id, now=self.now)[0]
        return self.ask(route, body, authorization=f"Bearer {token}")

    def operator(self, route: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """The owner asks."""
        return self.ask(route, body, authorization=f"Bearer {KEY}", **headers)

    def mall(self, route: str, body: Any = None, *, webhook_id: str = "") -> tuple[int, Any]:
        """The mall's server asks."""
        text = "" if body is None else json.dumps(body)
        return self.ask(
            route, body, **webhooks.sign(text, webhook_id=webhook_id or a_word("w"), now=self.now)
        )


@pytest.fixture
def shop(store: Store, port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """An empty shop at a time that stands still; whatever a test does, no rule is broken at its end."""
    there = Shop(port)
    monkeypatch.setattr(clock, "now", lambda: there.now)
    config.override(payment_gateway="sandbox")
    operators.add(name="Olivia", role="owner", secret=KEY, now=NOW)
    yield there
    for row in rows(store.client, "truth", kind="groupbuy"):
        assert broken(store, row["campaign_id"]) == []


Answered = tuple[int, Any]


def refused(answer: Answered, status: int, code: str, **told: Any) -> dict[str, Any]:
    """The details of a refusal, which is this one and says at least what is ``told``."""
    got, body = answer
    error = body["error"]
    assert (got, error["code"]) == (status, code), body
    assert set(error) == {"code", "message", "details", "request_id"}
    assert {name: error["details"].get(name) for name in told} == told
    details: dict[str, Any] = error["details"]
    return details


def groups_in(offer: list[dict[str, Any]]) -> list[str]:
    return [one["group_id"] for one in offer]


def over(campaign: Campaign, state: str) -> None:
    making = campaigns.Making(by=OWNER, now=NOW, idempotency_key=None)
    campaigns.switch(campaign.campaign_id, to=state, making=making)


# --- the first reason of a refusal, and what there is instead -----------------------------------------------


WRONG = {"sku_id": "x", "size": 9, "quantity": 9}


def test_opening_is_refused_for_who_asks_and_when_before_what_is_asked(shop: Shop) -> None:
    campaign = a_campaign(starts_at=NOW)
    group, new = open_paid_group(campaign), a_buyer()
    path = f"POST /v1/groupbuys/{campaign.campaign_id}/groups"

    refused(shop.ask(path, WRONG), 401, "unauthorized")
    refused(shop.member(new, path, {"quantity": 0}), 422, "invalid", field="quantity")
    refused(shop.member(new, "POST /v1/groupbuys/cmp_none/groups", WRONG), 404, "not_found")
    shop.now = NOW - 1
    early = refused(shop.member(new, path, WRONG), 409, "campaign_not_started", starts_at=NOW)
    shop.now = campaign.ends_at
    cache.clear_all()
    late = refused(shop.member(new, path, WRONG), 410, "campaign_over")
    shop.now = NOW
    over(campaign, "paused")
    pause = refused(shop.member(new, path, WRONG), 409, "campaign_paused")
    over(campaign, "closed")
    closed = refused(shop.member(new, path, WRONG), 410, "campaign_over")

    offers = [groups_in(one["joinable"]) for one in (early, late, pause, closed)]
    assert offers == [[group.group_id], [], [group.group_id], [group.group_id]]


def test_opening_is_refused_for_the_first_of_its_reasons_with_what_there_is_instead(shop: Shop) -> None:
    campaign = a_campaign(sizes={3: PRICE, 5: 7900}, stock=8, per_member_groups=1, per_member_units=2)
    ann, new = a_buyer(), a_buyer()
    own = open_paid_group(campaign, buying(ann), size=3)
    other = open_paid_group(campaign, size=3, now=NOW + 1)
    path = f"POST /v1/groupbuys/{campaign.campaign_id}/groups"

    refused(shop.member(ann, path, WRONG), 422, "invalid", field="sku_id", known=["sku"])
    refused(shop.member(ann, path, {"size": 9, "quantity": 9}), 422, "invalid", field="size", known=[3, 5])
    refused(shop.member(ann, path, {"size": 3, "quantity": 9}), 422, "invalid", field="quantity", at_most=1)
    limit = refused(shop.member(ann, path, {"size": 3}), 409, "limit_reached", limit="groups", used=1)
    assert groups_in(limit["joinable"]) == [other.group_id]
    assert [(one["group_id"], one["state"]) for one in limit["mine"]] == [(own.group_id, "confirmed")]
    only = refused(shop.member(new, path, {"size": 5}), 409, "only_joining", sizes=[])
    assert groups_in(only["joinable"]) == [own.group_id, other.group_id]


def test_opening_with_units_of_one_s_own_is_refused_for_the_limit_and_then_for_the_stock(shop: Shop) -> None:
    campaign = a_campaign(
        skus=["red", "blue"], reserve="seat", stock=2, max_units_per_seat=5, per_member_units=4
    )
    path = f"POST /v1/groupbuys/{campaign.campaign_id}/groups"

    much = shop.member(a_buyer(), path, {"sku_id": "red", "quantity": 5})
    refused(much, 409, "limit_reached", limit="units", at_most=4, mine=[])
    short = shop.member(a_buyer(), path, {"sku_id": "red", "quantity": 3})
    others = [{"sku_id": "blue", "left": 2}]
    refused(short, 409, "sku_sold_out", sku_id="red", left=2, sizes=[], other_skus=others)


def test_when_a_large_group_does_not_fit_any_more_the_sizes_that_do_are_offered(shop: Shop) -> None:
    campaign = a_campaign(sizes={2: PRICE, 5: 7900}, stock=4)

    told = shop.member(a_buyer(), f"POST /v1/groupbuys/{campaign.campaign_id}/groups", {"size": 5})

    refused(told, 409, "sku_sold_out", left=4, sizes=[2], other_skus=[])


def test_joining_is_refused_for_the_first_of_its_reasons_with_what_there_is_instead(shop: Shop) -> None:
    campaign = a_campaign(
        sizes={2: PRICE},
        skus=["red", "blue"],
        reserve="seat",
        stock=3,
        max_units_per_seat=5,
        per_member_units=3,
        new_members_only=True,
    )
    group = open_paid_group(campaign, buying(sku_id="red", quantity=2))
    unpaid = opened(campaign, buying(sku_id="blue")).group
    old, new = a_buyer(now=campaign.starts_at - 1), a_buyer()
    path = f"POST /v1/groups/{group.group_id}/seats"
    wrong = {"sku_id": "x", "quantity": 9}

    refused(shop.ask(path, wrong), 401, "unauthorized")
    refused(shop.member(old, "POST /v1/groups/grp_none/seats", wrong), 404, "not_found")
    refused(shop.member(old, path, wrong), 422, "invalid", field="sku_id", known=["red", "blue"])
    refused(shop.member(old, path, {"sku_id": "red", "quantity": 9}), 422, "invalid", field="quantity")
    refused(shop.member(old, path, {"sku_id": "red", "quantity": 4}), 409, "limit_reached", limit="units")
    stranger = refused(shop.member(old, path, {"sku_id": "red", "quantity": 2}), 409, "not_new")
    assert (stranger["joinable"], stranger["can_open"]) == ([], True), (
        "what only newcomers may join is no offer"
    )
    early = shop.member(new, f"POST /v1/groups/{unpaid.group_id}/seats", {"sku_id": "blue"})
    assert groups_in(refused(early, 409, "group_not_open", can_open=True)["joinable"]) == [group.group_id]
    refused(
        shop.member(new, path, {"sku_id": "red", "quantity": 2}),
        409,
        "sku_sold_out",
        left=1,
        other_skus=[{"sku_id": "blue", "left": 2}],
    )


def test_a_full_group_and_one_that_is_over_offer_others_and_opening_one_s_own(shop: Shop) -> None:
    campaign = a_campaign(sizes={2: PRICE}, per_member_units=1)
    full, held, other = (open_paid_group(campaign) for _ in range(3))
    pay(take(full))
    take(held)
    someone = a_buyer()

    for group in (full, held):
        told = shop.member(someone, f"POST /v1/groups/{group.group_id}/seats", {})
        assert groups_in(refused(told, 409, "group_full", can_open=True)["joinable"]) == [other.group_id]
    shop.now = NOW + DAY
    cache.clear_all()
    told = shop.member(someone, f"POST /v1/groups/{other.group_id}/seats", {})
    refused(told, 410, "group_expired", can_open=False, joinable=[])


def test_who_bought_enough_is_shown_what_they_have(shop: Shop) -> None:
    campaign = a_campaign(per_member_units=1)
    ann = a_buyer()
    mine, other = open_paid_group(campaign), open_paid_group(campaign)
    order = pay(take(mine, buying(ann)))

    told = shop.member(ann, f"POST /v1/groups/{other.group_id}/seats", {})

    limit = refused(told, 409, "limit_reached", limit="units", at_most=1, used=1)
    assert limit["mine"] == [{"group_id": mine.group_id, "order_id": order.order_id, "state": "confirmed"}]


def test_what_is_no_more_or_is_somebody_else_s_is_refused_in_one_order(shop: Shop) -> None:
    group = open_paid_group(a_campaign())
    (paid,) = orders_of(group)
    order = take(group)
    ann = order.member_id
    seat = f"DELETE /v1/groups/{group.group_id}/seats/me"

    refused(shop.member(ann, "DELETE /v1/groups/grp_none/seats/me"), 404, "not_found")
    refused(shop.member(a_buyer(), seat), 404, "not_found")
    refused(shop.member(paid.member_id, seat), 409, "order_over", state="paid")
    for last in ("", "/payments", "/payments/check", "/cancel"):
        method = "POST" if last else "GET"
        refused(shop.member(ann, f"{method} /v1/orders/{paid.order_id}{last}"), 404, "not_found")
    for last in ("/payments", "/cancel"):
        told = shop.member(paid.member_id, f"POST /v1/orders/{paid.order_id}{last}")
        refused(told, 409, "order_over", state="paid")
    reason = {"reason": "asked for"}
    refused(shop.operator(f"POST /v1/admin/orders/{order.order_id}/refund", reason), 409, "order_over")
    refused(shop.operator("POST /v1/admin/orders/ord_none/refund", reason), 404, "not_found")


def test_an_operator_is_refused_for_the_first_reason_by_the_field_s_name(shop: Shop) -> None:
    campaign = a_campaign()
    path = f"/v1/admin/groupbuys/{campaign.campaign_id}"
    terms = shop.operator(f"POST {path}/pause")[1]["terms"]
    wrong = {**terms, "ends_at": terms["starts_at"], "mode": "ladder"}

    refused(shop.operator(f"PUT {path}", {**wrong, "hold_s": 0}), 422, "invalid", field="hold_s")
    refused(shop.operator("PUT /v1/admin/groupbuys/cmp_none", wrong), 404, "not_found")
    refused(shop.operator(f"PUT {path}", wrong), 422, "invalid", field="ends_at")
    refused(
        shop.operator(f"PUT {path}", {**terms, "reserve": "seat"}),
        422,
        "invalid",
        field="reserve",
        was="group",
    )
    copy = {"starts_at": NOW, "ends_at": NOW + 5, "stock": {"x": 1}}
    refused(shop.operator("POST /v1/admin/groupbuys/cmp_none/copy", copy), 404, "not_found")
    refused(shop.operator(f"POST {path}/copy", copy), 422, "invalid", field="stock", unknown=["x"])
    refused(shop.operator(f"POST {path}/stock", {"sku_id": "x", "units": 1}), 422, "invalid", field="sku_id")
    refused(
        shop.operator(f"POST {path}/stock", {"sku_id": "sku", "units": -101}), 422, "invalid", field="units"
    )
    assert shop.operator(f"POST {path}/close", {"reason": "over"})[1]["state"] == "closed"
    for route, body in ((f"PUT {path}", wrong), (f"POST {path}/resume", None), (f"POST {path}/pause", None)):
        refused(shop.operator(route, body), 410, "campaign_over")


def test_the_mall_is_refused_for_the_first_reason_and_told_what_is_in_the_way(shop: Shop) -> None:
    campaign = a_campaign(sizes={2: PRICE})
    path = f"POST /v1/mall/groupbuys/{campaign.campaign_id}/seats"
    hers = {"member": {"external_id": "hana"}, "mall_order_id": "M1"}
    order = shop.mall(path, hers)[1]["order"]

    refused(shop.ask(path, hers), 401, "signature_invalid")
    refused(shop.mall(path, {**hers, "mall_order_id": "no good"}), 422, "invalid", field="mall_order_id")
    refused(
        shop.mall("POST /v1/mall/groupbuys/cmp_none/seats", {**hers, "mall_order_id": "M2"}), 404, "not_found"
    )
    refused(shop.mall(path, {**hers, "group_id": "grp_none"}), 404, "not_found")
    way = refused(shop.mall(path, {**hers, "mall_order_id": "M2"}), 409, "order_in_the_way")
    assert way == {"order_id": order["order_id"], "group_id": order["group_id"]}
    refused(shop.mall("DELETE /v1/mall/seats/M9"), 404, "not_found")
    paid = {"id": "e1", "type": "order.paid", "mall_order_id": "M1"}
    refused(shop.mall("POST /v1/mall/events", paid), 422, "invalid", field="payment_id")
    shop.mall("POST /v1/mall/events", {**paid, "payment_id": "wx1", "goods_fen": PRICE})
    refused(shop.mall("DELETE /v1/mall/seats/M1"), 409, "order_over", state="paid")


# --- said again, because the first reply was lost -----------------------------------------------------------


def without_the_time(answer: Any) -> Any:
    """An answer but for when it was given."""
    if isinstance(answer, dict):
        return {name: without_the_time(value) for name, value in answer.items() if name != "now"}
    return [without_the_time(one) for one in answer] if isinstance(answer, list) else answer


def says_the_same(first: Answered, again: Answered, *, new: bool = False) -> Any:
    """Both succeeded and answered the same; ``new``: the first time with 201."""
    assert (first[0], again[0]) == (201 if new else 200, 200), (first, again)
    assert without_the_time(again[1]) == without_the_time(first[1])
    return first[1]


def twice(do: Callable[[], Answered]) -> tuple[Answered, Answered]:
    """What somebody does whose first reply was lost."""
    return do(), do()


def test_what_a_phone_does_again_is_answered_as_the_first_time(shop: Shop) -> None:
    campaign = a_campaign(sizes={2: PRICE})
    ann, ben, eve = a_buyer(), a_buyer(), a_buyer()

    first, again = twice(lambda: shop.member(ann, f"POST /v1/groupbuys/{campaign.campaign_id}/groups", {}))
    seat = says_the_same(first, again, new=True)
    group, order = seat["group"]["group_id"], seat["order"]["order_id"]
    begun = says_the_same(*twice(lambda: shop.member(ann, f"POST /v1/orders/{order}/payments")))
    page = begun["pay_url"].removeprefix(config.settings().base_url)
    assert says_the_same(*twice(lambda: shop.ask(f"POST {page}")))["state"] == "paid"
    check = twice(lambda: shop.member(ann, f"POST /v1/orders/{order}/payments/check"))
    assert says_the_same(*check)["state"] == "paid"

    join = f"POST /v1/groups/{group}/seats"
    theirs = says_the_same(*twice(lambda: shop.member(ben, join, {})), new=True)["order"]["order_id"]
    left = says_the_same(*twice(lambda: shop.member(ben, f"DELETE /v1/groups/{group}/seats/me")))
    assert left == {"group_id": group, "order_id": theirs, "state": "cancelled", "now": NOW}
    hers = says_the_same(*twice(lambda: shop.member(eve, join, {})), new=True)["order"]["order_id"]
    cancel = twice(lambda: shop.member(eve, f"POST /v1/orders/{hers}/cancel"))
    assert says_the_same(*cancel)["state"] == "cancelled"


@pytest.mark.parametrize("mode", ["fixed", "ladder"])
def test_whoever_takes_a_seat_is_shown_the_page_that_they_would_ask_for_without_other_groups(
    shop: Shop, mode: str
) -> None:
    campaign = a_campaign(mode=mode, sizes={2: PRICE + 100, 3: PRICE} if mode == "ladder" else {3: PRICE})
    other = open_paid_group(campaign)
    alice = a_buyer()
    _, first = shop.member(alice, f"POST /v1/groupbuys/{campaign.campaign_id}/groups", {"quantity": 1})
    _, second = shop.member(a_buyer(), f"POST /v1/groups/{other.group_id}/seats", {"quantity": 1})

    _, page = shop.member(alice, f"GET /v1/groups/{first['group']['group_id']}")

    assert first["group"] == {
        **page,
        "joinable": [],
        "ask_subscriptions": first["group"]["ask_subscriptions"],
    }
    assert [one["group_id"] for one in page["joinable"]] == [other.group_id]
    assert second["group"]["joinable"] == []


def test_opening_and_joining_again_are_answered_the_same_when_nobody_can_any_more(shop: Shop) -> None:
    campaign = a_campaign(sizes={2: PRICE}, stock=2, per_member_units=1)
    ann, ben = a_buyer(), a_buyer()
    opens = f"POST /v1/groupbuys/{campaign.campaign_id}/groups"
    first = shop.member(ann, opens, {})
    over(campaign, "paused")
    assert shop.member(ann, opens, {})[0] == 200
    pay(opened_order(first))
    group = first[1]["group"]["group_id"]
    joined = shop.member(ben, f"POST /v1/groups/{group}/seats", {})
    pay(opened_order(joined))

    again = shop.member(ben, f"POST /v1/groups/{group}/seats", {})

    assert (joined[0], again[0], again[1]["group"]["state"]) == (201, 200, "filled")
    assert again[1]["order"]["order_id"] == joined[1]["order"]["order_id"]


def test_a_limit_that_was_lowered_since_refuses_no_repeat(shop: Shop) -> None:
    campaign = a_campaign(reserve="seat", max_units_per_seat=5, per_member_units=5)
    ann, ben = a_buyer(), a_buyer()
    opens, two = f"POST /v1/groupbuys/{campaign.campaign_id}/groups", {"quantity": 2}
    first = shop.member(ann, opens, two)
    pay(opened_order(first))
    join = f"POST /v1/groups/{first[1]['group']['group_id']}/seats"
    joined = shop.member(ben, join, two)
    unpaid = shop.member(ben, opens, two)
    path = f"/v1/admin/groupbuys/{campaign.campaign_id}"
    terms = shop.operator(f"POST {path}/pause")[1]["terms"]

    shop.operator(f"PUT {path}", {**terms, "per_member_units": 1})

    assert unpaid[1]["order"] == joined[1]["order"], "the unpaid order is answered, wherever they turn"
    for again in (shop.member(ben, join, two), shop.member(ben, opens, two)):
        assert (again[0], again[1]["order"]) == (200, joined[1]["order"])


def opened_order(answer: Answered) -> Any:
    """The order that an answer tells of, as it is now."""
    return orders.show(answer[1]["order"]["order_id"])


def test_what_the_mall_does_again_is_answered_as_the_first_time(shop: Shop) -> None:
    campaign = a_campaign(sizes={2: PRICE})
    path = f"POST /v1/mall/groupbuys/{campaign.campaign_id}/seats"

    def asks(route: str, body: Any = None) -> tuple[Answered, Answered]:
        webhook_id = a_word("w")
        return twice(lambda: shop.mall(route, body, webhook_id=webhook_id))

    hana = {"member": {"external_id": "hana"}, "mall_order_id": "M1"}
    seat = says_the_same(*asks(path, hana), new=True)
    group, order = seat["group"]["group_id"], seat["order"]["order_id"]
    paid = {"id": "e1", "type": "order.paid", "mall_order_id": "M1", "payment_id": "wx1", "goods_fen": PRICE}
    assert says_the_same(*asks("POST /v1/mall/events", paid))["order"]["state"] == "paid"
    ivo = {"member": {"external_id": "ivo"}, "mall_order_id": "M2", "group_id": group}
    says_the_same(*asks(path, ivo), new=True)
    assert says_the_same(*asks("DELETE /v1/mall/seats/M2"))["state"] == "cancelled"
    part = {"id": "e2", "type": "order.refunded", "order_id": order, "refund_id": "R1", "amount_fen": 900}
    assert says_the_same(*asks("POST /v1/mall/events", part))["order"]["refunded_fen"] == 900
    done = {"id": "e3", "type": "order.completed", "order_id": order}
    assert says_the_same(*asks("POST /v1/mall/events", done))["order"]["state"] == "completed"
    books_of_day = {
        "day": "2026-01-01",
        "orders": [{"order_id": order, "paid_fen": PRICE, "refunded_fen": 900}],
    }
    assert says_the_same(*asks("POST /v1/mall/reconciliations", books_of_day))["differences"] == []


def test_what_an_operator_does_again_is_answered_as_the_first_time_and_noted_once(
    shop: Shop, store: Store
) -> None:
    made = a_campaign(sizes={2: PRICE})
    group = open_paid_group(made)
    path = f"/v1/admin/groupbuys/{made.campaign_id}"
    terms = shop.operator(f"POST {path}/resume")[1]["terms"]

    def says(route: str, body: Any = None, *, key: bool = False) -> tuple[Answered, Answered]:
        with_key = {"idempotency-key": a_word("k")} if key else {}
        return twice(lambda: shop.operator(route, body, **with_key))

    for route, body in (
        ("POST /v1/admin/groupbuys", terms),
        (f"POST {path}/copy", {"starts_at": NOW, "ends_at": NOW + DAY}),
    ):
        first, again = says(route, body, key=True)
        assert (first[0], again[0], again[1]) == (201, 201, first[1]), "the first answer, under its key"
    says_the_same(*says(f"PUT {path}", {**terms, "title": "Spring"}))
    stock = says_the_same(*says(f"POST {path}/stock", {"sku_id": "sku", "units": 5}, key=True))
    assert stock["left"] == 100 - 2 + 5
    for last, state in (("pause", "paused"), ("resume", "running")):
        assert says_the_same(*says(f"POST {path}/{last}"))["state"] == state
    (order,) = orders_of(group)
    give = says(f"POST /v1/admin/orders/{order.order_id}/refund", {"reason": "a complaint"})
    assert says_the_same(*give)["state"] == "refunding"
    close = says(f"POST {path}/close", {"open_groups": "refund", "reason": "recall"})
    assert says_the_same(*close)["open_groups"] == "refund"

    actions = [row["action"] for row in books(store.client).of("audit", subject=made.campaign_id)]
    assert sorted(actions) == [
        "groupbuy.closed",
        "groupbuy.edited",
        "groupbuy.made",
        "groupbuy.paused",
        "groupbuy.running",
        "groupbuy.stock",
    ]


def test_a_key_that_changed_the_stock_once_changes_nothing_else(shop: Shop) -> None:
    campaign = a_campaign()
    path = f"POST /v1/admin/groupbuys/{campaign.campaign_id}/stock"
    key = {"idempotency-key": "monday"}
    shop.operator(path, {"sku_id": "sku", "units": 5}, **key)

    told = shop.operator(path, {"sku_id": "sku", "units": 6}, **key)

    refused(told, 422, "idempotency_mismatch", field="Idempotency-Key")
    assert shop.operator(path, {"sku_id": "sku", "units": 1})[1]["left"] == 106


# --- a product's page ---------------------------------------------------------------------------------------


def test_a_product_s_page_offers_its_campaigns_of_now_with_groups_to_join(shop: Shop) -> None:
    tea, other = a_campaign(), a_campaign()
    product = tea.product["id"]
    hidden = a_campaign(visible_from=NOW + 5)
    groups = [open_paid_group(tea, payers=payers) for payers in (1, 2)]

    status, page = shop.ask(f"GET /v1/products/{product}/offers")

    assert (status, page["product_id"], page["now"]) == (200, product, NOW)
    (offer,) = page["groupbuys"]
    assert (offer["campaign"]["campaign_id"], offer["can_open"]) == (tea.campaign_id, True)
    assert groups_in(offer["joinable"]) == [groups[1].group_id, groups[0].group_id]
    assert all(one["head"]["nickname"] for one in offer["joinable"]), "masked, for a stranger"
    assert shop.ask("GET /v1/products/nobodys/offers")[1]["groupbuys"] == []
    assert shop.ask(f"GET /v1/products/{hidden.product['id']}/offers")[1]["groupbuys"] == []
    assert ids_of(shop, f"?product_id={product}") == {tea.campaign_id}
    assert ids_of(shop, "") == {tea.campaign_id, other.campaign_id}
    over(tea, "closed")
    assert shop.ask(f"GET /v1/products/{product}/offers")[1]["groupbuys"] == []


def ids_of(shop: Shop, query: str) -> set[str]:
    """The campaigns that are listed."""
    return {one["campaign_id"] for one in shop.ask(f"GET /v1/groupbuys{query}")[1]["items"]}


# --- the mall's ordinary orders -----------------------------------------------------------------------------

EVENTS = "POST /v1/mall/events"
HANA = {"external_id": "hana", "program_id": "demo", "openid": "o-hana"}


def test_an_ordinary_order_of_the_mall_is_told_repeated_and_found_again(shop: Shop) -> None:
    events, lines = EVENTS, [TEA, CUP]
    paid = {"id": "e1", "type": "order.paid", "mall_order_id": "M1", "payment_id": "wx1", "member": HANA}
    refused(shop.mall(events, {**paid, "goods_fen": 8900}), 409, "order_not_known", mall_order_id="M1")
    told = {**paid, "goods_fen": 8900, "lines": lines}
    refused(shop.mall(events, {**told, "goods_fen": 8901}), 422, "invalid", field="goods_fen", sum=8900)
    refused(shop.mall(events, {**told, "lines": []}), 422, "invalid", field="lines")
    refused(shop.mall(events, {**told, "lines": [TEA] * 101}), 422, "invalid", field="lines")
    refused(shop.mall(events, {**told, "link": "not-a-link"}), 422, "invalid", field="link")

    first, again = (shop.mall(events, told, webhook_id="w1") for _ in range(2))
    late = shop.mall(events, {**told, "id": "e0", "type": "order.created", "created_at": NOW - 60})

    assert first == again and (first[0], late[0]) == (200, 200)
    order = late[1]["order"]
    assert (order["state"], order["amount_fen"], order["group_id"], order["sku_id"]) == (
        "paid",
        8900,
        None,
        None,
    )


@pytest.fixture
def hana_s(shop: Shop) -> dict[str, Any]:
    """An ordinary order of the mall, paid, with a part of its first line given back."""
    told = {"mall_order_id": "M1", "member": HANA, "lines": [TEA, CUP], "goods_fen": 8900}
    shop.mall(EVENTS, {"id": "e1", "type": "order.paid", "payment_id": "wx1", **told})
    part = {"id": "e2", "type": "order.refunded", "mall_order_id": "M1", "refund_id": "R1"}
    status, body = shop.mall(EVENTS, {**part, "lines": [{"line_id": "1", "amount_fen": 1000}]})
    assert (status, body["order"]["refunded_fen"]) == (200, 1000)
    order: dict[str, Any] = body["order"]
    return order


def test_an_ordinary_order_is_found_by_whatever_names_its_member(shop: Shop, hana_s: dict[str, Any]) -> None:
    for asked in ("external_id=hana", "program_id=demo&openid=o-hana", "mall_order_id=M1"):
        [found] = shop.operator(f"GET /v1/admin/orders?{asked}")[1]["items"]
        assert (found["order_id"], found["head"], found["refundable_fen"]) == (
            hana_s["order_id"],
            False,
            7900,
        )
    refused(shop.operator("GET /v1/admin/orders?external_id=nobody"), 404, "not_found")
    refused(shop.operator("GET /v1/admin/orders?openid=o-hana"), 422, "invalid")
    refused(shop.operator("GET /v1/admin/orders?external_id=hana&mall_order_id=M1"), 422, "invalid")


def test_an_ordinary_order_is_shown_to_all_whom_it_concerns(shop: Shop, hana_s: dict[str, Any]) -> None:
    shown = shop.operator(f"GET /v1/admin/orders/{hana_s['order_id']}")[1]
    assert [(line["line_id"], line["refunded_fen"]) for line in shown["lines"]] == [("1", 1000), ("2", 0)]
    assert shop.mall("GET /v1/mall/orders/" + hana_s["order_id"])[1]["external_ids"] == ["hana"]
    mine = shop.member(shown["member_id"], "GET /v1/orders/" + hana_s["order_id"])[1]
    assert (mine["campaign_id"], mine["amount_fen"]) == (None, 8900)
    refused(shop.member(a_buyer(), "GET /v1/orders/" + hana_s["order_id"]), 404, "not_found")
    timeline = shop.operator(f"GET /v1/admin/members/{shown['member_id']}/timeline")[1]["items"]
    assert [one["what"] for one in timeline] == ["refund_done", "payment_taken", "ordered", "registered"]


def test_what_the_mall_sells_no_more_is_paused_once_and_an_operators_resuming_stands(shop: Shop) -> None:
    campaign, other, over = a_campaign(), a_campaign(), a_campaign(ends_at=NOW - 1)
    gone = {"id": "e1", "type": "product.off_shelf", "product_id": campaign.product["id"]}
    refused(shop.mall(EVENTS, {"id": "e0", "type": "product.off_shelf"}), 422, "invalid", field="product_id")

    answers = [shop.mall(EVENTS, gone) for _ in range(2)]
    unknown = [
        shop.mall(EVENTS, {**gone, "id": "e2", "product_id": one}) for one in ("tea", over.product["id"])
    ]

    assert [(status, body["handled"], body["order"]) for status, body in answers] == [(200, True, None)] * 2
    assert [(status, body["handled"]) for status, body in unknown] == [(200, False)] * 2
    states = [campaigns.as_it_is(one.campaign_id).state for one in (campaign, other, over)]
    assert states == ["paused", "running", "running"]
    (paused,) = said_by_the_mall(shop)
    assert (paused["action"], paused["subject"]) == ("groupbuy.paused", campaign.campaign_id)
    assert shop.operator(f"POST /v1/admin/groupbuys/{campaign.campaign_id}/resume")[0] == 200
    assert shop.mall(EVENTS, gone)[1]["handled"]
    assert campaigns.as_it_is(campaign.campaign_id).state == "running"
    assert shop.mall(EVENTS, {**gone, "id": "e3"})[1]["handled"]
    assert campaigns.as_it_is(campaign.campaign_id).state == "paused"


def test_whom_the_mall_deleted_is_blocked_and_to_be_erased_and_nobody_is_registered_for_it(
    shop: Shop,
) -> None:
    deleted = {"id": "e1", "type": "member.deleted", "member": {"external_id": "hana"}}
    refused(shop.mall(EVENTS, {"id": "e0", "type": "member.deleted"}), 422, "invalid", field="member")
    assert shop.mall(EVENTS, deleted)[1]["handled"] is False
    with pytest.raises(NotFound):
        members.find(proof="external#hana")
    shop.mall(EVENTS, {"id": "e2", "type": "member.linked", "member": HANA})
    hana = members.find(proof="external#hana").member_id
    assert shop.member(hana, "GET /v1/me")[0] == 200

    # By whichever name the mall still has.
    answers = [shop.mall(EVENTS, {**deleted, "member": {"unionid": "never-told", **HANA}}) for _ in range(2)]

    assert [(status, body["handled"]) for status, body in answers] == [(200, True)] * 2
    refused(shop.member(hana, "GET /v1/me"), 403, "member_blocked")
    assert members.show(hana).blocked_because == "deleted"
    assert members.show(hana).leaving_at == NOW
    (blocked,) = said_by_the_mall(shop)
    assert (blocked["action"], blocked["subject"]) == ("member.blocked", hana)
    members.unblock(member_id=hana, reason="a mistake", by=OWNER, now=NOW)
    assert shop.mall(EVENTS, {**deleted, "member": HANA})[1]["handled"]
    assert members.show(hana).state == "active"


def test_leaving_is_refused_with_what_is_open_and_asked_once_and_taken_back(shop: Shop) -> None:
    ann, new = a_buyer(), a_buyer()
    group = open_paid_group(a_campaign(), buying(ann))
    path = "POST /v1/me/deletion"

    details = refused(shop.member(ann, path, {}), 409, "deletion_obstructed")
    assert details["obstacles"][0] == {
        "code": "groups_open",
        "details": {"n": 1, "group_ids": [group.group_id]},
    }
    answers = [shop.member(new, path, {}) for _ in range(2)]
    assert [(status, body["state"]) for status, body in answers] == [(201, "leaving"), (200, "leaving")]
    assert answers[0][1]["erase_at"] == NOW + 15 * DAY
    assert shop.operator(f"GET /v1/admin/members/{new}")[1]["leaving_at"] == NOW + 15 * DAY
    assert shop.member(new, "DELETE /v1/me/deletion")[1]["state"] == "active"
    assert shop.member(new, "GET /v1/me/deletion")[1]["erase_at"] is None
    told = shop.member(ann, "GET /v1/me/export")[1]
    assert told["rooms"]["groupbuys"]["seats"]["items"][0]["group_id"] == group.group_id
    refused(shop.ask("GET /v1/me/export"), 401, "unauthorized")


def said_by_the_mall(shop: Shop) -> list[dict[str, Any]]:
    """What the audit trail has the mall change."""
    items = shop.operator("GET /v1/admin/audit?limit=100")[1]["items"]
    return [one for one in items if (one["by"], one["by_name"]) == ("mall", "mall")]
