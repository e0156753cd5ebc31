"""`make demo`: plays the story against a running stack and prints it as a person would like to read it."""

import argparse
import json
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
            method, self.url + path, body=content, headers=headers, timeout=10, retries=False
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
    names = ("Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Grace")
    people = {name: _sign_in(url, f"{name.lower()}-{night}") for name in names}
    for name, phone in people.items():
        phone.call("PUT", "/v1/me", nickname=name)
    campaign = _campaign(url, night=night)
    _fills(people, campaign)
    _runs_out(people, campaign)
    _late(people, campaign)


def _campaign(url: str, *, night: str) -> str:
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
        group_lifetime_s=12,
        hold_s=3,
        open_hold_s=60,
    )
    _say(f"Two together pay ¥89.00 instead of ¥120.00; {made['stock_left']['250g']} packs in all.")
    return str(made["campaign_id"])


def _pay(phone: Phone, order: dict[str, Any]) -> dict[str, Any]:
    begun = phone.call("POST", f"/v1/orders/{order['order_id']}/payments")
    return Phone(url=begun["pay_url"]).call("POST", "")


def _fills(people: dict[str, Phone], campaign: str) -> None:
    alice, bob = people["Alice"], people["Bob"]
    opened = alice.call("POST", f"/v1/groupbuys/{campaign}/groups")
    group_id = opened["group"]["group_id"]
    _pay(alice, opened["order"])
    _say("Alice opens a group and pays; from now on it can be joined.")
    link = alice.call("POST", "/v1/links", target={"kind": "group", "id": group_id}, channel="wechat")
    _say(f"She shares it: “{link['card']['title']}”.")
    bob.call("POST", f"/v1/links/{link['code']}/visits", wx_scene=1007)
    joined = bob.call("POST", f"/v1/groups/{group_id}/seats", link=link["code"])
    _say(f"Bob joins by her link; his seat is held while he pays ¥{joined['order']['amount_fen'] / 100:.2f}.")
    _pay(bob, joined["order"])
    _say(f"He pays: the group is {bob.call('GET', f'/v1/groups/{group_id}')['state']}.")
    path = f"/v1/links/{link['code']}/funnel"
    total = _wait_for(lambda: alice.call("GET", path)["total"], lambda found: bool(found["paid"]))
    _say(f"Alice's link: opened {total['opened']}, ordered {total['joined']}, paid {total['paid']}.")


def _runs_out(people: dict[str, Phone], campaign: str) -> None:
    carol = people["Carol"]
    opened = carol.call("POST", f"/v1/groupbuys/{campaign}/groups")
    _pay(carol, opened["order"])
    _say("Carol opens a group too, and pays. Nobody joins. Its time runs out …")
    order = _wait_for(
        lambda: carol.call("GET", f"/v1/orders/{opened['order']['order_id']}"),
        lambda found: found["state"] == "refunded",
    )
    _say(f"… and her ¥{order['refunded_fen'] / 100:.2f} are back, by themselves.")


def _late(people: dict[str, Phone], campaign: str) -> None:
    dave = people["Dave"]
    first = people["Erin"].call("POST", f"/v1/groupbuys/{campaign}/groups")
    _pay(people["Erin"], first["order"])
    joined = dave.call("POST", f"/v1/groups/{first['group']['group_id']}/seats")
    begun = dave.call("POST", f"/v1/orders/{joined['order']['order_id']}/payments")
    _say("Dave joins Erin's group, and his phone rings. His hold runs out …")
    order_path = f"/v1/orders/{joined['order']['order_id']}"
    _wait_for(lambda: dave.call("GET", order_path), lambda found: found["state"] == "cancelled")
    taken = people["Frank"].call("POST", f"/v1/groups/{first['group']['group_id']}/seats")
    _pay(people["Frank"], taken["order"])
    _say("… and Frank takes the seat, and pays. Grace opens another group.")
    second = people["Grace"].call("POST", f"/v1/groupbuys/{campaign}/groups")
    _pay(people["Grace"], second["order"])
    # What he had begun was closed with his hold; a transfer of his bank's is under way all the same.
    Phone(url=f"{begun['pay_url']}-by-bank").call("POST", "")
    order = dave.call("GET", order_path)
    where = "Grace's" if order["group_id"] == second["group"]["group_id"] else "nobody's"
    _say(
        f"Now Dave's payment comes, too late for his seat. He is in {where} group, which is full: {order['state']}."
    )


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


def _sign_in(url: str, name: str) -> Phone:
    answer = Phone(url=url).call("POST", "/v1/sessions", program_id="demo", code=name)
    return Phone(url=url, token=answer["token"])


def _title(text: str) -> None:
    print(f"\n{text}\n{'-' * len(text)}")


def _say(text: str) -> None:
    print(f"  {text}")


def main(arguments: list[str]) -> int:
    """Play all chapters."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.demo", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    url = parser.parse_args(arguments).url
    try:
        # A night of its own, so that the story is the same however often it is played.
        night = secrets.token_hex(3)
        chapter_one(url, night=night)
        chapter_two(url, night=night)
    except urllib3.exceptions.HTTPError:
        print(f"Nothing answers at {url}. Start it with `make run` in another terminal.", file=sys.stderr)
        return 1
    except Refused as refused:
        print(f"The story broke off: {refused}", file=sys.stderr)
        return 1
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
