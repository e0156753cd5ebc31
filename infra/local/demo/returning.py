"""Chapter four: a week of check-ins, points and what they buy, a coupon that is given on, a pack to share."""

from typing import Any

from infra.local.demo.configuring import Shop, close, set_up
from infra.local.demo.telling import Phone, named, operator, refusal, say, title, wait_for, yuan

TEA_FEN = 8900


def play(url: str, *, night: str) -> None:
    """Bob checks in, earns, spends and gives; Carol takes; a pack of Alice's spreads."""
    title("4. Coming back")
    people = {name: named(url, name, night=night) for name in ("Alice", "Bob", "Carol", "Dave")}
    shop = set_up(url, night=night)
    coupon_id = _week(url, people["Bob"], shop)
    _spends(people["Bob"], shop)
    _gives(people, coupon_id)
    _at_the_till(url, people["Carol"])
    _spreads(url, people, shop, night=night)
    close(operator(url), shop)


# --- a week, points -----------------------------------------------------------------------------------------


def _week(url: str, bob: Phone, shop: Shop) -> str:
    """The coupon that Bob earns."""
    say("Bob is to check in for a week. No day can be made to pass here, so the challenge began six")
    say("days ago, and the operator gives him a make-up card for each day that he missed.")
    member_id = bob.call("GET", "/v1/me")["member_id"]
    cards = {"amount": 6, "reason": "The demo has no week to wait.", "book": "makeup_card"}
    operator(url).call("POST", f"/v1/admin/members/{member_id}/points", **cards)
    path = f"/v1/checkins/{shop.week}"
    missed = bob.call("GET", path)["mine"]["makeups"]["dates"]
    for day in sorted(missed):
        made_up = bob.call("POST", f"{path}/makeups", date=day, pay="card")
    say(f"He makes {len(missed)} days up: {made_up['streak']} in a row, 10 points each.")
    today = bob.call("POST", path)
    say(f"Today he checks in himself: {today['streak']} in a row. That brings {_told(today['given'])}.")
    again = bob.call("POST", path)
    say(f"He taps once more: still {again['streak']} in a row, and {_points(bob)} points.")
    (earned,) = bob.call("GET", "/v1/me/coupons")["items"]
    return str(earned["coupon_id"])


def _told(given: list[dict[str, Any]]) -> str:
    return " and ".join(
        "a coupon" if one["kind"] == "coupon" else f"{one['amount']} {one['kind']}" for one in given
    )


def _points(phone: Phone) -> int:
    return int(phone.call("GET", "/v1/me/points")["balance"])


def _spends(bob: Phone, shop: Shop) -> None:
    done = bob.call("POST", "/v1/points/exchanges", exchange_id=shop.exchange)
    say(f"{done['points']} points buy him a coupon of ¥5.00; {done['balance']} are left.")
    done = bob.call("POST", "/v1/points/exchanges", exchange_id=shop.exchange)
    counts = bob.call("GET", "/v1/me/coupons")["counts"]
    said = f"{done['balance']} are left, and {counts['unused']} coupons are his"
    say(f"A reply was lost, and his phone asks again: {said}.")


# --- a coupon goes on ---------------------------------------------------------------------------------------


def _gives(people: dict[str, Phone], coupon_id: str) -> None:
    bob, carol, dave = people["Bob"], people["Carol"], people["Dave"]
    gift = bob.call("POST", f"/v1/me/coupons/{coupon_id}/gifts")
    path, worth = f"/v1/gifts/{gift['code']}", yuan(gift["coupon"]["value_fen"])
    say(f"The coupon of his week is {worth} off. He gives it to a friend, by the code {gift['code']}.")
    carol.call("POST", f"{path}/claims")
    no = refusal(lambda: dave.call("POST", f"{path}/claims"))
    say(f"Carol takes it. Dave has the code too, but comes second: “{no.message}”")


def _at_the_till(url: str, carol: Phone) -> None:
    tea = {"product_id": "tea", "price_fen": TEA_FEN}
    best = carol.call("POST", "/v1/coupons/quote", lines=[tea])["best"]
    (coupon_id,) = best["coupon_ids"]
    say(f"Tea is {yuan(TEA_FEN)}; with it, she reads, {yuan(TEA_FEN - best['discount_fen'])}.")
    path = f"/v1/me/coupons/{coupon_id}/code"
    shown = carol.call("GET", path)["code"]
    used = operator(url).call("POST", "/v1/admin/coupons/verify", code=shown)["coupon"]["state"]
    say(f"In the shop she shows a code that changes each minute. The till scans it: {used}.")
    no = refusal(lambda: carol.call("GET", path))
    say(f"She opens it once more: “{no.message}”")


# --- a pack spreads -----------------------------------------------------------------------------------------


def _spreads(url: str, people: dict[str, Phone], shop: Shop, *, night: str) -> None:
    alice, carol = people["Alice"], people["Carol"]
    pack = alice.call("POST", "/v1/packs", plan_id=shop.pack)
    path = f"/v1/packs/{pack['pack_id']}"
    amounts = ", ".join(yuan(fen) for fen in pack["amounts"])
    say(f"Alice opens a pack for friends: {amounts} off, in this order, as everybody can read.")
    say(f"A coupon of her own waits until {pack['new_missing']} friends who are new have taken a piece.")
    target = {"kind": "pack", "id": pack["pack_id"]}
    link = alice.call("POST", "/v1/links", target=target, channel="wechat")["code"]
    # A rule begins some seconds after it is made, when every process knows it.
    rule = f"/v1/admin/rewards/{shop.reward}"
    wait_for(lambda: operator(url).call("GET", rule), lambda found: bool(found["since"] < found["now"]))
    for name in ("Erin", "Frank"):
        friend = _new(url, name, link, night=night)
        got = friend.call("POST", f"{path}/pieces")["coupon"]
        missing = alice.call("GET", path)["new_missing"]
        say(f"{name} comes by her link, is new, and takes {yuan(got['value_fen'])}: {missing} to go.")
    last = carol.call("POST", f"{path}/pieces")["coupon"]
    no = refusal(lambda: people["Dave"].call("POST", f"{path}/pieces"))
    say(f"Carol takes the last, {yuan(last['value_fen'])}. Dave is late again: “{no.message}”")
    _earned(alice, link)


def _earned(alice: Phone, link: str) -> None:
    (own,) = alice.call("GET", "/v1/me/coupons?status=unused")["items"]
    total = _funnel(alice, link)
    brought = total["new_members"]
    say(f"Alice's own {yuan(own['value_fen'])} are hers; her link brought {brought} new members.")
    offered = alice.call("GET", "/v1/rewards")["items"][0]["text"]
    say(f"A rule says to everybody: “{offered}”")
    mine = wait_for(lambda: alice.call("GET", "/v1/me/rewards"), lambda found: len(found["items"]) == brought)
    (gift,) = {gift["text"] for reward in mine["items"] for gift in reward["gifts"]}
    say(f"So she got {gift} for each of them, and has {_points(alice)}.")


def _new(url: str, name: str, link: str, *, night: str) -> Phone:
    visit = Phone(url=url).call("POST", f"/v1/links/{link}/visits", wx_scene=1007, visitor=f"{name}s-{night}")
    return named(url, name, night=night, visit_token=visit["visit_token"])


def _funnel(alice: Phone, link: str) -> dict[str, Any]:
    return wait_for(
        lambda: dict(alice.call("GET", f"/v1/links/{link}/funnel")["total"]),
        lambda found: bool(found["new_members"] == 2),
    )
