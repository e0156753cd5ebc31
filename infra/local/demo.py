"""`make demo`: plays the story against a running stack and prints it as a person would like to read it."""

import argparse
import json
import secrets
import sys
import time
from dataclasses import dataclass
from typing import Any

import urllib3

WAIT_S = 10.0


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
    deadline = time.monotonic() + WAIT_S
    total: dict[str, int] = {}
    while time.monotonic() < deadline and not total.get("bound"):
        total = alice.call("GET", f"/v1/links/{code}/funnel")["total"]
        time.sleep(0.1)
    _say(
        f"Alice looks at her link: opened {total['opened']}, new members {total['new_members']},"
        f" bound to her {total['bound']}."
    )


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
        chapter_one(url, night=secrets.token_hex(3))
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
