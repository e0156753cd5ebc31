"""`make demo`: plays the story against a running stack and prints it as a person would like to read it."""

import argparse
import json
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3

WAIT_S = 30.0


class Refused(Exception):
    """The stack answered with an error."""


@dataclass(frozen=True, kw_only=True)
class Phone:
    """One person's phone: calls the API, signed in or not."""

    url: str
    token: str = ""

    def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """One call of the API.

        Raises:
            Refused: with the error's code and message.
        """
        headers = {"Content-Type": "application/json", "Accept-Language": "en"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        content = json.dumps(body) if method != "GET" else None
        answer = urllib3.request(
            method, self.url + path, body=content, headers=headers, timeout=WAIT_S, retries=False
        )
        found: dict[str, Any] = json.loads(answer.data)
        if "error" in found:
            raise Refused(f"{method} {path}: {found['error']['code']}: {found['error']['message']}")
        return found


def chapter_one(url: str, *, night: str) -> None:
    """Alice shares a product, Bob comes by her link, and she sees what came of it."""
    _title("1. Alice shares, Bob comes")
    alice = _sign_in(url, f"alice-{night}")
    alice.call("PUT", "/v1/me", nickname="Alice")
    _say("Alice signs in with WeChat and calls herself Alice.")
    link = alice.call("POST", "/v1/links", target={"kind": "product", "id": "tea"}, channel="wechat")
    code = link["code"]
    _say(f"She shares a product. Her link is {code}; the card says: “{link['card']['title']}”.")
    same = alice.call("POST", "/v1/links", target={"kind": "product", "id": "tea"}, channel="wechat")
    _say(f"She taps share again: the same link, {same['code']}.")
    token = _bob_opens(url, code, night=night)
    _bob_signs_in(url, token, night=night)
    _alice_looks(alice, code)


def _bob_opens(url: str, code: str, *, night: str) -> str:
    stranger = Phone(url=url)
    visit = stranger.call("POST", f"/v1/links/{code}/visits", wx_scene=1008, visitor=f"bob-phone-{night}")
    name = visit["sharer"]["nickname"]
    _say(
        f"Bob taps the card in a group chat. Not signed in, he sees that {name} shared {visit['target']['id']}."
    )
    stranger.call("POST", f"/v1/links/{code}/visits", wx_scene=1008, visitor=f"bob-phone-{night}")
    _say("He opens it again a minute later; within the hour that is one visit.")
    return str(visit["visit_token"])


def _bob_signs_in(url: str, visit_token: str, *, night: str) -> None:
    signed_in = Phone(url=url).call(
        "POST", "/v1/sessions", program_id="demo", code=f"bob-{night}", visit_token=visit_token
    )
    bob = Phone(url=url, token=signed_in["token"])
    binding = bob.call("GET", "/v1/me/binding")
    new = "is new" if signed_in["member"]["new"] else "is known"
    _say(f"He signs in: he {new}, and is {binding['promoter']['nickname']}'s customer from now on.")
    once_more = Phone(url=url).call(
        "POST", "/v1/sessions", program_id="demo", code=f"carol-{night}", visit_token=visit_token
    )
    _say(
        f"Carol got hold of Bob's visit token; she signs in, but is not bound: {once_more['visit_refused']}."
    )


def _alice_looks(alice: Phone, code: str) -> None:
    total = _wait_for(
        lambda: alice.call("GET", f"/v1/links/{code}/funnel")["total"], lambda found: bool(found["bound"])
    )
    _say(
        f"Alice looks at her link: opened {total['opened']}, new members {total['new_members']},"
        f" bound to her {total['bound']}."
    )


def chapter_two(url: str, *, night: str) -> None:
    """Groups: one fills, one runs out and is refunded, and a late payer finds another seat."""
    _title("2. Buying together")
    people = {
        name: _named(url, name, night=night) for name in ("Alice", "Carol", "Dave", "Erin", "Frank", "Grace")
    }
    _fills(url, people["Alice"], _campaign(url, night=night), night=night)
    short = _campaign(url, night=night, hold_s=6)
    pay_url, order_id = _does_not_pay(people, short)
    _runs_out(people["Carol"], _campaign(url, night=night, group_lifetime_s=2))
    _late(people, short, pay_url=pay_url, order_id=order_id)


def _campaign(url: str, *, night: str, **told: int) -> str:
    now = Phone(url=url).call("GET", "/v1/programs")["now"]
    sku = {
        "sku_id": "250g",
        "title": "250 g",
        "list_price_fen": 12000,
        "stock": 100,
        "prices": [{"size": 2, "price_fen": 8900}],
    }
    made = Phone(url=url, token="demo-owner-key").call(
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


def _pay(phone: Phone, order: dict[str, Any]) -> dict[str, Any]:
    begun = phone.call("POST", f"/v1/orders/{order['order_id']}/payments")
    return Phone(url=begun["pay_url"]).call("POST", "")


def _fills(url: str, alice: Phone, campaign: str, *, night: str) -> None:
    offer = alice.call("GET", f"/v1/groupbuys/{campaign}")
    sku = offer["skus"][0]
    _say(
        f"Alice looks at {offer['product_title']}: {_yuan(sku['list_price_fen'])} alone,"
        f" {_yuan(sku['prices'][0]['price_fen'])} for two together."
    )
    opened = alice.call("POST", f"/v1/groupbuys/{campaign}/groups")
    group_id = opened["group"]["group_id"]
    _pay(alice, opened["order"])
    _say("She opens a group from there and pays; from now on it can be joined, for 24 hours.")
    link = alice.call("POST", "/v1/links", target={"kind": "group", "id": group_id}, channel="wechat")
    _say(f"She shares it: “{link['card']['title']}”.")
    bob = _comes_by(url, link["code"], night=night)
    joined = bob.call("POST", f"/v1/groups/{group_id}/seats", link=link["code"])
    _say(f"Bob joins by her link; his seat is held while he pays {_yuan(joined['order']['amount_fen'])}.")
    _pay(bob, joined["order"])
    _say(f"He pays: the group is {bob.call('GET', f'/v1/groups/{group_id}')['state']}.")
    _funnel(alice, link["code"])


def _comes_by(url: str, code: str, *, night: str) -> Phone:
    """Bob, who taps the link and signs in by it."""
    visit = Phone(url=url).call("POST", f"/v1/links/{code}/visits", wx_scene=1007, visitor=f"bobs-{night}")
    bob = _named(url, "Bob", night=night, visit_token=visit["visit_token"])
    _say("Bob taps it in their chat and signs in: he is new, and Alice's customer from now on.")
    return bob


def _funnel(alice: Phone, code: str) -> None:
    path = f"/v1/links/{code}/funnel"
    total = _wait_for(
        lambda: alice.call("GET", path)["total"], lambda found: bool(found["paid"] and found["bound"])
    )
    steps = ("opened", "new_members", "bound", "joined", "paid")
    told = ", ".join(f"{step.replace('_', ' ')} {total[step]}" for step in steps)
    _say(f"Alice looks at her link: {told}.")


def _runs_out(carol: Phone, campaign: str) -> None:
    opened = carol.call("POST", f"/v1/groupbuys/{campaign}/groups")
    _pay(carol, opened["order"])
    _say("Carol opens a group too, and pays. Nobody joins. Its time (here two seconds) runs out …")
    order = _wait_for(
        lambda: carol.call("GET", f"/v1/orders/{opened['order']['order_id']}"),
        lambda found: bool(found["state"] == "refunded"),
    )
    _say(f"… and her {_yuan(order['refunded_fen'])} are back, by themselves.")


def _does_not_pay(people: dict[str, Phone], campaign: str) -> tuple[str, str]:
    """Where Dave will pay too late, and his order."""
    first = people["Erin"].call("POST", f"/v1/groupbuys/{campaign}/groups")
    _pay(people["Erin"], first["order"])
    joined = people["Dave"].call("POST", f"/v1/groups/{first['group']['group_id']}/seats")["order"]
    begun = people["Dave"].call("POST", f"/v1/orders/{joined['order_id']}/payments")
    _say(
        "Dave joins Erin's group, begins to pay, and his phone rings. He talks longer than his seat is held."
    )
    return begun["pay_url"], joined["order_id"]


def _late(people: dict[str, Phone], campaign: str, *, pay_url: str, order_id: str) -> None:
    dave, path = people["Dave"], f"/v1/orders/{order_id}"
    lost = _wait_for(lambda: dave.call("GET", path), lambda found: bool(found["state"] == "cancelled"))
    taken = people["Frank"].call("POST", f"/v1/groups/{lost['group_id']}/seats")
    _pay(people["Frank"], taken["order"])
    _say("Dave still talks; Frank takes the seat, and pays: Erin's group is full. Grace opens another group.")
    second = people["Grace"].call("POST", f"/v1/groupbuys/{campaign}/groups")
    _pay(people["Grace"], second["order"])
    # What he had begun was closed with his hold; a transfer of his bank's is under way all the same.
    Phone(url=f"{pay_url}-by-bank").call("POST", "")
    order = dave.call("GET", path)
    where = "Grace's" if order["group_id"] == second["group"]["group_id"] else "nobody's"
    state = dave.call("GET", f"/v1/groups/{order['group_id']}")["state"]
    _say(f"Now Dave's payment comes, too late for his seat: he is in {where} group, which is {state} by it.")


def chapter_three(url: str, mall_url: str, *, night: str) -> None:
    """Beside a mall that takes the money: both orders of play, and a refund that it is asked for."""
    _title("3. Beside a mall")
    mall = Phone(url=mall_url)
    try:
        mall.call("GET", "/orders")
    except urllib3.exceptions.NewConnectionError:
        _say(f"No mall answers at {mall_url}, so this chapter is left out. Say where it is with --mall.")
        return
    _both_plays(url, mall, _campaign(url, night=night), night=night)
    _mall_refunds(mall, _campaign(url, night=night, group_lifetime_s=2), night=night)
    books = mall.call("POST", "/reconciliations")
    differ = len(books["differences"]) or "no"
    _say(f"The mall compares its books with Liebian's: {books['compared']} orders, {differ} differences.")


def _both_plays(url: str, mall: Phone, campaign: str, *, night: str) -> None:
    hana = mall.call("POST", "/checkouts", campaign_id=campaign, buyer=f"hana-{night}")
    number, group_id = hana["number"], hana["group_id"]
    _say(f"Mall first: Hana checks out there. The mall makes order {number} and asks for a seat,")
    _say(f"which costs {_yuan(hana['amount_fen'])}. She pays; the mall says so by a signed event.")
    mall.call("POST", f"/orders/{number}/pay")
    ivan = _named(url, "Ivan", night=night)
    _wait_for(lambda: ivan.call("GET", f"/v1/groups/{group_id}"), lambda found: bool(found["can_join"]))
    joined = ivan.call("POST", f"/v1/groups/{group_id}/seats")
    _say("Phone first: Ivan joins her group in the mini-program. The mall asks Liebian what to charge,")
    theirs = mall.call("POST", "/checkouts", order_id=joined["order"]["order_id"])
    mall.call("POST", f"/orders/{theirs['number']}/pay")
    _say(
        f"and he pays {_yuan(theirs['amount_fen'])} there. The mall may not ship before the group is filled …"
    )
    for one in (number, theirs["number"]):
        _ship(mall, one)
    _say("… hears by webhook that it is, and ships both.")


def _ship(mall: Phone, number: str) -> None:
    path = f"/orders/{number}"
    _wait_for(lambda: mall.call("GET", path), lambda found: bool(found["group"] == "filled"))
    mall.call("POST", f"{path}/ship")


def _mall_refunds(mall: Phone, campaign: str, *, night: str) -> None:
    kim = mall.call("POST", "/checkouts", campaign_id=campaign, buyer=f"kim-{night}")
    path = f"/orders/{kim['number']}"
    mall.call("POST", f"{path}/pay")
    _say("Kim opens a group in the mall and pays, and nobody joins …")
    found = _wait_for(lambda: mall.call("GET", path), lambda found: bool(found["state"] == "refunded"))
    (refund,) = found["refunds"].values()
    _say(f"… so Liebian asks the mall to give {_yuan(refund['amount_fen'])} back ({refund['reason']}),")
    _wait_for(lambda: mall.call("GET", "/orders"), lambda found: not found["waiting"])
    _say(f"under number {refund['refund_id']}, which stays the same however often it asks. It is done.")


def _wait_for(look: Callable[[], dict[str, Any]], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What ``look`` sees once it is as wanted.

    Raises:
        Refused: it was not within half a minute.
    """
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = look()
        if wanted(found):
            return found
        time.sleep(0.1)
    raise Refused("the stack did not get there in half a minute")


def _sign_in(url: str, name: str, **came_by: str) -> Phone:
    answer = Phone(url=url).call("POST", "/v1/sessions", program_id="demo", code=name, **came_by)
    return Phone(url=url, token=answer["token"])


def _named(url: str, name: str, *, night: str, **came_by: str) -> Phone:
    phone = _sign_in(url, f"{name.lower()}-{night}", **came_by)
    phone.call("PUT", "/v1/me", nickname=name)
    return phone


def _yuan(fen: int) -> str:
    return f"¥{fen // 100}.{fen % 100:02d}"


def _beside(url: str) -> str:
    """Where `make run` puts the demo mall: on the next port."""
    parts = urlsplit(url)
    return f"http://{parts.hostname}:{(parts.port or 80) + 1}"


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _say(text: str) -> None:
    print(f"  {text}")


def main(arguments: list[str]) -> int:
    """Play all chapters."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.demo", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--mall", help="where the demo mall is; otherwise on the next port")
    given = parser.parse_args(arguments)
    url: str = given.url
    try:
        # A night of its own, so that the story is the same however often it is played.
        night = secrets.token_hex(3)
        chapter_one(url, night=night)
        # Another evening, on which nobody knows anybody yet.
        chapter_two(url, night=f"{night}-2")
        chapter_three(url, given.mall or _beside(url), night=f"{night}-3")
    except urllib3.exceptions.NewConnectionError:
        print(f"Nothing answers at {url}. Start it with `make run` in another terminal.", file=sys.stderr)
        return 1
    except (Refused, urllib3.exceptions.HTTPError) as refused:
        print(f"The story broke off: {refused}", file=sys.stderr)
        return 1
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
