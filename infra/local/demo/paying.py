"""In place of chapter two, where WeChat Pay takes the money: a group-buy that is paid by WeChat, and given back."""

from typing import Any

from infra.local.demo import together
from infra.local.demo.telling import Phone, named, operator, say, title, wait_for, yuan


def by_wechat(url: str, *, night: str) -> bool:
    """Whether this stack was started with PAYMENT_GATEWAY=wechat: an order says so, and is let go again."""
    campaign = together.campaign(url, night=night)
    phone = named(url, "Probe", night=night)
    order = phone.call("POST", f"/v1/groupbuys/{campaign}/groups")["order"]
    phone.call("POST", f"/v1/orders/{order['order_id']}/cancel")
    together.close(url, campaign)
    return bool(order["gateway"] == "wechat")


def play(url: str, wechat_url: str, *, night: str) -> None:
    """Two pay by WeChat and their group is filled; one of them gets the money back."""
    title("2. Paying by WeChat")
    alice, bob = (named(url, name, night=night) for name in ("Alice", "Bob"))
    campaign = together.campaign(url, night=night)
    opened = alice.call("POST", f"/v1/groupbuys/{campaign}/groups")
    pays(alice, opened["order"], wechat_url)
    say(f"Alice opens a group; her phone pays {yuan(opened['order']['amount_fen'])} to WeChat, which tells.")
    group_id = opened["group"]["group_id"]
    joined = bob.call("POST", f"/v1/groups/{group_id}/seats")["order"]
    pays(bob, joined, wechat_url)
    state = bob.call("GET", f"/v1/groups/{group_id}")["state"]
    say(f"Bob joins and pays by WeChat, too: the group is {state}.")
    back = f"/v1/admin/orders/{joined['order_id']}/refund"
    operator(url).call("POST", back, reason="The tin came open.")
    order = _until(bob, joined, "refunded")
    say(f"His tin came open: an operator gives {yuan(order['refunded_fen'])} back, and WeChat confirms it.")
    together.close(url, campaign)


def pays(phone: Phone, order: dict[str, Any], wechat_url: str) -> None:
    """What wx.requestPayment does with what it is given; WeChat tells the shop by itself.

    Raises:
        AssertionError: the phone would not pay this.
    """
    begun = phone.call("POST", f"/v1/orders/{order['order_id']}/payments")
    said = Phone(url=wechat_url).call("POST", "/_simulator/pay", **begun["details"])
    assert said == {"errMsg": "requestPayment:ok"}, said
    _until(phone, order, "paid")


def _until(phone: Phone, order: dict[str, Any], state: str) -> dict[str, Any]:
    path = f"/v1/orders/{order['order_id']}"
    return wait_for(lambda: phone.call("GET", path), lambda found: bool(found["state"] == state))
