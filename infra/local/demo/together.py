"""Chapter two: groups that fill, run out, and take in who pays late."""

from typing import Any

from infra.local.demo.telling import Phone, named, operator, say, title, wait_for, yuan


def play(url: str, *, night: str) -> None:
    """Groups: one fills, one runs out and is refunded, and a late payer finds another seat."""
    title("2. Buying together")
    people = {
        name: named(url, name, night=night) for name in ("Alice", "Carol", "Dave", "Erin", "Frank", "Grace")
    }
    long, brief, short = (
        campaign(url, night=night),
        campaign(url, night=night, group_lifetime_s=2),
        campaign(url, night=night, hold_s=6),
    )
    _fills(url, people["Alice"], long, night=night)
    pay_url, order_id = _does_not_pay(people, short)
    _runs_out(people["Carol"], brief)
    _late(people, short, pay_url=pay_url, order_id=order_id)
    close(url, long, brief, short)


def campaign(url: str, *, night: str, **told: int) -> str:
    """The id of a group-buy of an operator's."""
    now = Phone(url=url).call("GET", "/v1/programs")["now"]
    sku = {
        "sku_id": "250g",
        "title": "250 g",
        "list_price_fen": 12000,
        "stock": 100,
        "prices": [{"size": 2, "price_fen": 8900}],
    }
    made = operator(url).call(
        "POST",
        "/v1/admin/groupbuys",
        title=f"Spring tea, two together {night}",
        product={"id": "tea", "title": "Spring jasmine tea", "skus": [sku]},
        starts_at=now - 1,
        ends_at=now + 3600,
        open_hold_s=60,
        **told,
    )
    return str(made["campaign_id"])


def close(url: str, *campaigns: str) -> None:
    """They are over, so that others who try the stack see their own."""
    for one in campaigns:
        operator(url).call("POST", f"/v1/admin/groupbuys/{one}/close", reason="The chapter is over.")


def _pay(phone: Phone, order: dict[str, Any]) -> dict[str, Any]:
    begun = phone.call("POST", f"/v1/orders/{order['order_id']}/payments")
    return Phone(url=begun["pay_url"]).call("POST", "")


def _fills(url: str, alice: Phone, campaign: str, *, night: str) -> None:
    offer = alice.call("GET", f"/v1/groupbuys/{campaign}")
    sku = offer["skus"][0]
    say(
        f"Alice looks at {offer['product_title']}: {yuan(sku['list_price_fen'])} alone,"
        f" {yuan(sku['prices'][0]['price_fen'])} for two together."
    )
    opened = alice.call("POST", f"/v1/groupbuys/{campaign}/groups")
    group_id = opened["group"]["group_id"]
    _pay(alice, opened["order"])
    say("She opens a group from there and pays; from now on it can be joined, for 24 hours.")
    link = alice.call("POST", "/v1/links", target={"kind": "group", "id": group_id}, channel="wechat")
    say(f"She shares it: “{link['card']['title']}”.")
    bob = _comes_by(url, link["code"], night=night)
    page = bob.call("GET", f"/v1/groups/{group_id}")
    shown = {"campaign_id": campaign, "size": page["size"], "price_fen": page["prices_fen"][sku["sku_id"]]}
    joined = bob.call("POST", f"/v1/groups/{group_id}/seats", link=link["code"], shown=shown)
    asked = yuan(joined["order"]["amount_fen"])
    say(f"Bob joins by her link, at the price that its page shows; his seat is held while he pays {asked}.")
    _pay(bob, joined["order"])
    say(f"He pays: the group is {bob.call('GET', f'/v1/groups/{group_id}')['state']}.")
    _funnel(alice, link["code"])


def _comes_by(url: str, code: str, *, night: str) -> Phone:
    """Bob, who taps the link and signs in by it."""
    visit = Phone(url=url).call("POST", f"/v1/links/{code}/visits", wx_scene=1007, visitor=f"bobs-{night}")
    bob = named(url, "Bob", night=night, visit_token=visit["visit_token"])
    say("Bob taps it in their chat and signs in: he is new, and Alice's customer from now on.")
    return bob


def _funnel(alice: Phone, code: str) -> None:
    path = f"/v1/links/{code}/funnel"
    total = wait_for(
        lambda: alice.call("GET", path)["total"], lambda found: bool(found["paid"] and found["bound"])
    )
    steps = ("opened", "new_members", "bound", "joined", "paid")
    told = ", ".join(f"{step.replace('_', ' ')} {total[step]}" for step in steps)
    say(f"Alice looks at her link: {told}.")


def _runs_out(carol: Phone, campaign: str) -> None:
    opened = carol.call("POST", f"/v1/groupbuys/{campaign}/groups")
    _pay(carol, opened["order"])
    say("Carol opens a group too, and pays. Nobody joins. Its time (here two seconds) runs out …")
    order = wait_for(
        lambda: carol.call("GET", f"/v1/orders/{opened['order']['order_id']}"),
        lambda found: bool(found["state"] == "refunded"),
    )
    say(f"… and her {yuan(order['refunded_fen'])} are back, by themselves.")


def _does_not_pay(people: dict[str, Phone], campaign: str) -> tuple[str, str]:
    """Where Dave will pay too late, and his order."""
    first = people["Erin"].call("POST", f"/v1/groupbuys/{campaign}/groups")
    _pay(people["Erin"], first["order"])
    joined = people["Dave"].call("POST", f"/v1/groups/{first['group']['group_id']}/seats")["order"]
    begun = people["Dave"].call("POST", f"/v1/orders/{joined['order_id']}/payments")
    say("Dave joins Erin's group, begins to pay, and his phone rings. He talks longer than his seat is held.")
    return begun["pay_url"], joined["order_id"]


def _late(people: dict[str, Phone], campaign: str, *, pay_url: str, order_id: str) -> None:
    dave, path = people["Dave"], f"/v1/orders/{order_id}"
    lost = wait_for(lambda: dave.call("GET", path), lambda found: bool(found["state"] == "cancelled"))
    taken = people["Frank"].call("POST", f"/v1/groups/{lost['group_id']}/seats")
    _pay(people["Frank"], taken["order"])
    say("Dave still talks; Frank takes the seat, and pays: Erin's group is full. Grace opens another group.")
    second = people["Grace"].call("POST", f"/v1/groupbuys/{campaign}/groups")
    _pay(people["Grace"], second["order"])
    # What he had begun was closed with his hold; a transfer of his bank's is under way all the same.
    Phone(url=f"{pay_url}-by-bank").call("POST", "")
    order = dave.call("GET", path)
    where = "Grace's" if order["group_id"] == second["group"]["group_id"] else "nobody's"
    state = dave.call("GET", f"/v1/groups/{order['group_id']}")["state"]
    say(f"Now Dave's payment comes, too late for his seat: he is in {where} group, which is {state} by it.")
