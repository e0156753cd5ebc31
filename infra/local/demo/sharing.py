"""Chapter one: a link, a visit, a new member."""

from infra.local.demo.telling import Phone, say, sign_in, title, wait_for


def play(url: str, *, night: str) -> None:
    """Alice shares a product, Bob comes by her link, and she sees what came of it."""
    title("1. Alice shares, Bob comes")
    alice = sign_in(url, f"alice-{night}")
    alice.call("PUT", "/v1/me", nickname="Alice")
    say("Alice signs in with WeChat and calls herself Alice.")
    link = alice.call("POST", "/v1/links", target={"kind": "product", "id": "tea"}, channel="wechat")
    code = link["code"]
    say(f"She shares a product. Her link is {code}; the card says: “{link['card']['title']}”.")
    same = alice.call("POST", "/v1/links", target={"kind": "product", "id": "tea"}, channel="wechat")
    say(f"She taps share again: the same link, {same['code']}.")
    token = _bob_opens(url, code, night=night)
    _bob_signs_in(url, token, night=night)
    _alice_looks(alice, code)


def _bob_opens(url: str, code: str, *, night: str) -> str:
    stranger = Phone(url=url)
    visit = stranger.call("POST", f"/v1/links/{code}/visits", wx_scene=1008, visitor=f"bob-phone-{night}")
    name = visit["sharer"]["nickname"]
    say(
        f"Bob taps the card in a group chat. Not signed in, he sees that {name} shared {visit['target']['id']}."
    )
    stranger.call("POST", f"/v1/links/{code}/visits", wx_scene=1008, visitor=f"bob-phone-{night}")
    say("He opens it again a minute later; within the hour that is one visit.")
    return str(visit["visit_token"])


def _bob_signs_in(url: str, visit_token: str, *, night: str) -> None:
    signed_in = Phone(url=url).call(
        "POST", "/v1/sessions", program_id="demo", code=f"bob-{night}", visit_token=visit_token
    )
    bob = Phone(url=url, token=signed_in["token"])
    binding = bob.call("GET", "/v1/me/binding")
    new = "is new" if signed_in["member"]["new"] else "is known"
    say(f"He signs in: he {new}, and is {binding['promoter']['nickname']}'s customer from now on.")
    once_more = Phone(url=url).call(
        "POST", "/v1/sessions", program_id="demo", code=f"carol-{night}", visit_token=visit_token
    )
    say(f"Carol got hold of Bob's visit token; she signs in, but is not bound: {once_more['visit_refused']}.")


def _alice_looks(alice: Phone, code: str) -> None:
    total = wait_for(
        lambda: alice.call("GET", f"/v1/links/{code}/funnel")["total"], lambda found: bool(found["bound"])
    )
    say(
        f"Alice looks at her link: opened {total['opened']}, new members {total['new_members']},"
        f" bound to her {total['bound']}."
    )
