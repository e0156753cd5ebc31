"""Beside a mall, over real HTTP both ways: both orders of play, and each way in which they can miss each other.

Whatever goes wrong, at the end the mall's books and ours agree, and every refund happened once.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import urllib3
from standardwebhooks.webhooks import Webhook

from tests.e2e.stack import Running
from tests.factories import a_word

PRICE = 8900
SOON_S = 30.0

Json = dict[str, Any]


@dataclass(frozen=True)
class Both:
    """Liebian and the mall beside it."""

    http: urllib3.PoolManager
    url: str
    mall_url: str

    def ask(self, method: str, url: str, body: Any = None, *, status: int = 200, token: str = "") -> Any:
        """What a request answers, which has this status."""
        given = {
            "content-type": "application/json",
            **({"authorization": f"Bearer {token}"} if token else {}),
        }
        answer = self.http.request(method, url, json=body, headers=given)
        assert answer.status == status, answer.data
        return answer.json()

    def mall(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """The mall's own HTTP."""
        return self.ask(method, self.mall_url + path, body, status=status)

    def phone(self, name: str) -> Callable[..., Any]:
        """Liebian, as somebody's phone calls it."""
        said = self.ask("POST", f"{self.url}/v1/sessions", {"program_id": "demo", "code": name}, status=201)
        return lambda method, path, body=None, **more: self.ask(
            method, self.url + path, body, token=said["token"], **more
        )

    def operator(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """Liebian, as the shop's operator calls it."""
        return self.ask(method, self.url + path, body, token="demo-owner-key", **more)

    def campaign(self, **told: int) -> str:
        """A campaign for two."""
        now = self.ask("GET", f"{self.url}/v1/programs")["now"]
        prices = [{"size": 2, "price_fen": PRICE}]
        sku = {"sku_id": "s", "title": "S", "list_price_fen": 9900, "stock": 100, "prices": prices}
        product = {"id": "tea", "title": "Tea", "skus": [sku]}
        body = {"title": a_word("c"), "product": product, "starts_at": now - 1, "ends_at": now + 900, **told}
        return str(self.operator("POST", "/v1/admin/groupbuys", body, status=201)["campaign_id"])

    def seated(self, campaign: str, group_id: str | None = None) -> Json:
        """Mall first: the mall's order of somebody new, with its seat."""
        body = {"campaign_id": campaign, "buyer": a_word("c-"), "group_id": group_id}
        return dict(self.mall("POST", "/checkouts", body, status=201))

    def phoned(self, campaign: str, group_id: str | None = None) -> Json:
        """Phone first: the mall's order for what somebody's phone opened or joined."""
        phone = self.phone(a_word("p"))
        path = f"/v1/groups/{group_id}/seats" if group_id else f"/v1/groupbuys/{campaign}/groups"
        order = phone("POST", path, {}, status=201)["order"]
        return dict(self.mall("POST", "/checkouts", {"order_id": order["order_id"]}, status=201))

    def pay(self, order: Json) -> None:
        """Its buyer pays in the mall."""
        self.mall("POST", f"/orders/{order['number']}/pay")

    def books(self, order: Json) -> Json:
        """What the mall's books say of it now."""
        return dict(self.mall("GET", f"/orders/{order['number']}"))

    def ours(self, order: Json) -> Json:
        """What Liebian's say."""
        return dict(self.operator("GET", f"/v1/admin/orders/{order['order_id']}"))

    def becomes(self, order: Json, **wanted: Any) -> None:
        """Liebian's order is so soon."""
        eventually(lambda: {name: self.ours(order)[name] for name in wanted}, wanted)

    def opened(self, order: Json) -> Json:
        """Its buyer pays, and its group can be joined."""
        self.pay(order)
        self.becomes(order, state="paid")
        return order

    def fault(self, **faults: int) -> None:
        """Something goes wrong from now on, or does not any more."""
        self.mall("POST", "/faults", faults)


def eventually(look: Callable[[], Any], wanted: Any) -> None:
    """It is so soon: the stream, the jobs and the mall's outbox follow."""
    give_up_at = time.monotonic() + SOON_S
    while (seen := look()) != wanted:
        assert time.monotonic() < give_up_at, f"{seen} is not {wanted}"
        time.sleep(0.1)


def money(both: Both, order: Json) -> list[tuple[str, str, int]]:
    """An order's payments and refunds, as Liebian has them."""
    return [(row["kind"], row["state"], row["amount_fen"]) for row in both.ours(order)["money"]]


def refunds(both: Both, order: Json) -> list[tuple[bool, int]]:
    """An order's refunds, as the mall has them: whether Liebian asked for it, and how much."""
    return [(one["asked"], one["amount_fen"]) for one in both.books(order)["refunds"].values()]


@pytest.fixture
def both(beside_a_mall: Running) -> Iterator[Both]:
    with urllib3.PoolManager(retries=False, timeout=20) as pool:
        both = Both(pool, beside_a_mall.url, beside_a_mall.mall_url)
        yield both
        both.fault(slow=0, lost=0, down=0, lost_replies=0, duplicates=0, disorder=0)
        eventually(lambda: both.mall("GET", "/orders")["waiting"], 0)
        # At the end of every story, whatever went wrong in it.
        assert both.mall("POST", "/reconciliations")["differences"] == []
        assert both.mall("GET", "/orders")["given_up"] == []


def test_mall_first_from_the_seat_to_the_goods_and_an_after_sale(both: Both) -> None:
    campaign = both.campaign()
    head = both.opened(both.seated(campaign))
    joiner = both.seated(campaign, head["group_id"])
    assert (joiner["amount_fen"], joiner["play"]) == (PRICE, "mall first")

    refused = both.mall("POST", f"/orders/{head['number']}/ship", status=409)
    both.pay(joiner)
    eventually(lambda: both.books(head)["group"], "filled")
    for action in ("ship", "complete", "complete"):
        both.mall("POST", f"/orders/{head['number']}/{action}")
    both.mall("POST", f"/orders/{joiner['number']}/refund", {"amount_fen": 900})

    assert refused["error"]["code"] == "group_not_filled"
    both.becomes(head, state="completed", mall_order_id=head["number"])
    both.becomes(joiner, state="paid", refunded_fen=900, refundable_fen=PRICE - 900)
    assert refunds(both, joiner) == [(False, 900)]


def test_phone_first_the_mall_charges_what_our_server_says_and_gives_back_when_asked(both: Both) -> None:
    campaign = both.campaign(group_lifetime_s=2)
    phone = both.phone(a_word("p"))
    order = phone("POST", f"/v1/groupbuys/{campaign}/groups", {}, status=201)["order"]

    checked_out = [
        both.mall("POST", "/checkouts", {"order_id": order["order_id"]}, status=201) for _ in range(2)
    ]
    begun = phone("POST", f"/v1/orders/{order['order_id']}/payments", {})
    both.opened(checked_out[0])

    # Once the mall has taken it on, it is paid there and nowhere else.
    assert {one["number"] for one in checked_out} == {checked_out[0]["number"]}
    assert checked_out[0]["amount_fen"] == PRICE
    assert (begun["gateway"], begun["pay_url"]) == ("mall", None)
    both.becomes(checked_out[0], state="refunded", gateway="mall", refunded_fen=PRICE)
    assert refunds(both, checked_out[0]) == [(True, PRICE)]
    assert both.books(checked_out[0])["group"] == "expired"


def test_what_a_phone_began_to_pay_elsewhere_the_mall_does_not_charge(both: Both) -> None:
    phone = both.phone(a_word("p"))
    order = phone("POST", f"/v1/groupbuys/{both.campaign()}/groups", {}, status=201)["order"]
    phone("POST", f"/v1/orders/{order['order_id']}/payments", {})

    refused = both.mall("POST", "/checkouts", {"order_id": order["order_id"]}, status=409)

    assert refused["error"]["code"] == "paid_elsewhere"


def test_who_cancels_and_who_pays_twice(both: Both) -> None:
    campaign = both.campaign()
    unpaid = [both.seated(campaign), both.phoned(campaign)]
    twice = both.opened(both.seated(campaign))

    for order in unpaid:
        both.mall("POST", f"/orders/{order['number']}/cancel")
        assert both.mall("POST", f"/orders/{order['number']}/pay", status=409)["error"]["code"]
    both.mall("POST", f"/orders/{twice['number']}/pay", {"again": True})

    for order in unpaid:
        both.becomes(order, state="cancelled")
    eventually(lambda: refunds(both, twice), [(True, PRICE)])
    both.becomes(twice, state="paid", refundable_fen=PRICE)


def test_the_mall_is_refused_what_liebian_refuses(both: Both) -> None:
    campaign = both.campaign()
    head = both.seated(campaign)

    body = {"campaign_id": campaign, "buyer": a_word("c-"), "group_id": head["group_id"]}
    refused = both.mall("POST", "/checkouts", body, status=409)

    assert refused["error"]["code"] == "group_not_open"
    assert (
        both.mall("POST", "/checkouts", {"order_id": "ord_none"}, status=404)["error"]["code"] == "not_found"
    )


@pytest.mark.parametrize(
    "fault",
    [
        {"lost": 2},
        {"slow": 1},
        {"down": -1},
        {"lost_replies": 4, "duplicates": -1},
        {"disorder": 5},
        {"disorder": 4, "lost_replies": 6, "duplicates": 6, "lost": 2, "down": 2},
    ],
    ids="+".join,
)
def test_whatever_is_lost_late_double_or_out_of_order_the_books_agree(
    both: Both, fault: dict[str, int]
) -> None:
    campaign = both.campaign()
    head, loner = both.opened(both.seated(campaign)), both.opened(both.phoned(campaign))
    joiner = both.phoned(campaign, head["group_id"])

    both.fault(**fault)
    both.pay(joiner)
    both.mall("POST", f"/orders/{head['number']}/refund", {"amount_fen": PRICE // 2})
    both.operator("POST", f"/v1/admin/orders/{loner['order_id']}/refund", {"reason": "changed their mind"})
    while_down(both, fault, loner)
    both.fault(disorder=0, down=0, duplicates=0)

    both.becomes(loner, state="refunded", refunded_fen=PRICE)
    both.becomes(head, state="paid", refunded_fen=PRICE // 2)
    eventually(lambda: both.books(joiner)["group"], "filled")
    both.mall("POST", f"/orders/{joiner['number']}/ship")
    eventually(lambda: both.mall("GET", "/orders")["waiting"], 0)
    assert money(both, loner) == [("payment", "taken", PRICE), ("refund", "done", PRICE)]
    assert money(both, head) == [("payment", "taken", PRICE), ("refund", "done", PRICE // 2)]
    assert money(both, joiner) == [("payment", "taken", PRICE)]
    assert [refunds(both, one) for one in (loner, head, joiner)] == [
        [(True, PRICE)],
        [(False, PRICE // 2)],
        [],
    ]


def while_down(both: Both, fault: dict[str, int], loner: Json) -> None:
    """A mall that is down hears nothing and says nothing, until it is up again."""
    if fault != {"down": -1}:
        return
    eventually(lambda: both.ours(loner)["state"], "refunding")
    said = both.mall("GET", "/orders")
    assert said["waiting"] == 4 and refunds(both, loner) == []


def test_a_webhook_that_is_not_ours_is_refused_by_the_mall(both: Both) -> None:
    body = '{"type": "refund.requested", "timestamp": "", "data": {}}'
    headers = {
        "webhook-id": "dlv_x",
        "webhook-timestamp": str(int(time.time())),
        "webhook-signature": Webhook(b"another-secret").sign("dlv_x", datetime.now(UTC), body),
    }

    answer = both.http.request("POST", f"{both.mall_url}/webhooks", body=body, headers=headers)

    assert answer.status == 401


def test_a_person_buys_on_the_page_and_sees_the_order_there(both: Both) -> None:
    campaign, buyer = both.campaign(), a_word("c-")

    refused = _sent(both, "/checkouts", campaign_id=campaign, group_id="none", buyer=buyer)
    bought = _sent(both, "/checkouts", campaign_id=campaign, group_id="", buyer=buyer)
    number = both.mall("GET", "/orders")["items"][0]["number"]
    paid = _sent(both, f"/orders/{number}/pay", back="pay")

    assert 'role="status"' in refused and "does not exist" in refused
    assert "Pay now" in bought and "¥89.00" in bought and number in bought
    assert "Pay now" not in paid and ">paid<" in paid
    page = both.http.request("GET", f"{both.mall_url}/?said=%3Ci%3E").data.decode()
    assert "<i>" not in page and "&lt;i&gt;" in page
    assert f'action="/orders/{number}/ship"><button disabled' in page and buyer in page


def _sent(both: Both, path: str, **fields: str) -> str:
    """The page that a person sees after sending a form."""
    answer = both.http.request("POST", both.mall_url + path, fields=fields, encode_multipart=False)
    assert answer.status == 303
    page = both.http.request("GET", both.mall_url + answer.headers["location"])
    assert page.status == 200
    return page.data.decode()
