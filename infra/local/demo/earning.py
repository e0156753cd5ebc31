"""Chapter five: a promoter's month, to the explanation of one commission."""

import base64
import hashlib
import hmac
import json
import secrets
import textwrap
import time
from typing import Any

import urllib3

from infra.local.demo.telling import WAIT_S, Phone, Refused, mall_at, named, say, title, wait_for, yuan

MALL_SECRET = b"demo-mall-secret"
TEA_FEN, TIN_FEN = 8900, 3333


def play(url: str, mall_url: str, *, night: str) -> None:
    """Alice becomes a promoter; Bob buys, gives a part back, and keeps the rest; it settles, and says why."""
    title("5. A promoter's month")
    mall = mall_at(mall_url)
    if mall is None:
        return
    alice = named(url, "Alice", night=night)
    link = _agrees(alice)
    visit = Phone(url=url).call("POST", f"/v1/links/{link}/visits", wx_scene=1007, visitor=f"bobs-{night}")
    came_by = {"external_id": f"bob-{night}", "program_id": "demo", "visit_token": visit["visit_token"]}
    _vouched(url, **came_by)
    earned = _buys(mall, alice, buyer=f"bob-{night}", number=f"D-{night}")
    _keeps(mall, alice, earned, number=f"D-{night}")
    _sees(alice)
    _asks_why(alice, earned)


def _agrees(alice: Phone) -> str:
    rules = alice.call("GET", "/v1/promoters/rules")
    say(f"Alice reads the rules, version {rules['version']}, made from what is in force:")
    for line in rules["words"][:3]:
        _quote(f"· {line}")
    me = alice.call("POST", "/v1/promoters", terms_version=rules["version"])
    say(f"She agrees to them and is a promoter: {me['state']}, invite code {me['invite_code']}.")
    lines = [
        {"product_id": "tea", "paid_fen": TEA_FEN},
        {"product_id": "tin", "paid_fen": TIN_FEN, "quantity": 3},
    ]
    shown = alice.call("POST", "/v1/commissions/estimate", lines=lines)
    tea, tins = (yuan(line["amount_fen"]) for line in shown["lines"])
    say(f"Beside each product stands what it would bring her: tea {tea}, three tins {tins}.")
    return str(me["link"])


def _buys(mall: Phone, alice: Phone, *, buyer: str, number: str) -> str:
    """The commission of what Bob buys."""
    lines = [
        {"line_id": "1", "product_id": "tea", "quantity": 1, "paid_fen": TEA_FEN},
        {"line_id": "2", "product_id": "tin", "quantity": 3, "paid_fen": TIN_FEN},
    ]
    mall.call("POST", "/checkouts", number=number, buyer=buyer, lines=lines)
    mall.call("POST", f"/orders/{number}/pay")
    found = wait_for(lambda: alice.call("GET", "/v1/me/commissions"), lambda found: bool(found["items"]))
    (one,) = found["items"]
    say("Bob comes by her link, signs in with the mall, and buys both there by signed events.")
    say(f"She sees it at once: {_shown(one)}.")
    return str(one["commission_id"])


def _keeps(mall: Phone, alice: Phone, commission_id: str, *, number: str) -> None:
    mall.call("POST", f"/orders/{number}/refund", amount_fen=1111, line_id="2")
    one = _when(alice, commission_id, "reduced")
    say(
        f"One tin was dented, and the mall gives a third of that line back: {yuan(one['amount_fen'])} are left."
    )
    mall.call("POST", f"/orders/{number}/ship")
    mall.call("POST", f"/orders/{number}/complete")
    one = _when(alice, commission_id, "settled")
    say(f"The order is completed. No days can pass here, so it settles at once: {_shown(one)}.")


def _when(alice: Phone, commission_id: str, what: str) -> dict[str, Any]:
    return wait_for(
        lambda: alice.call("GET", f"/v1/commissions/{commission_id}/explanation"),
        lambda found: any(change["what"] == what for change in found["changes"]),
    )


def _shown(one: dict[str, Any]) -> str:
    return f"{yuan(one['amount_fen'])}, {one['state']}"


def _sees(alice: Phone) -> None:
    (one,) = alice.call("GET", "/v1/me/invitees")["items"]
    steps = alice.call("GET", f"/v1/me/invitees/{one['member_id']}")["steps"]
    told = ", ".join(step["what"] for step in steps)
    say(f"Of who came by her link she sees how far it went ({one['stage']}), and how: {told}.")
    me = wait_for(lambda: alice.call("GET", "/v1/me/promoter"), lambda found: bool(found["orders"]))
    say(f"Her balance is {yuan(me['balance_fen'])}, of {me['orders']} order.")


def _asks_why(alice: Phone, commission_id: str) -> None:
    say("She asks why it is what it is:")
    for line in alice.call("GET", f"/v1/commissions/{commission_id}/explanation")["words"]:
        _quote(line)


def _quote(text: str) -> None:
    """What the stack itself says, in lines that fit."""
    for line in textwrap.wrap(text, 110):
        say(f"  {line}")


def _vouched(url: str, **who: str) -> None:
    """The mall's server says who somebody is, signed as the Standard Webhooks specification has it.

    Raises:
        Refused: with the error's code and message.
    """
    name, at = f"msg_{secrets.token_hex(8)}", str(int(time.time()))
    body = json.dumps(who)
    digest = hmac.new(MALL_SECRET, f"{name}.{at}.{body}".encode(), hashlib.sha256).digest()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": name,
        "webhook-timestamp": at,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
    path = "/v1/mall/sessions"
    answer = urllib3.request("POST", url + path, body=body, headers=headers, timeout=WAIT_S, retries=False)
    found: dict[str, Any] = json.loads(answer.data)
    if "error" in found:
        raise Refused(f"POST {path}: {found['error']['code']} {found['error']['details']}")
