"""What every chapter needs: phones that call, waiting, and printing."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import urllib3

WAIT_S = 30.0
OWNER_KEY = "demo-owner-key"


class Refused(Exception):
    """The stack answered with an error; ``code`` says which, ``message`` in words for people."""

    def __init__(self, told: str, *, code: str = "", message: str = "") -> None:
        super().__init__(told)
        self.code = code
        self.message = message


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
            raise _refused(f"{method} {path}", found["error"])
        return found


def _refused(asked: str, error: dict[str, Any]) -> Refused:
    code, message = error["code"], error["message"]
    details = f" {error['details']}" if error["details"] else ""
    return Refused(f"{asked}: {code}: {message}{details}", code=code, message=message)


def operator(url: str) -> Phone:
    """The desk of an operator, who calls the same API with a key."""
    return Phone(url=url, token=OWNER_KEY)


def sign_in(url: str, name: str, **came_by: str) -> Phone:
    """The phone of somebody who has signed in."""
    answer = Phone(url=url).call("POST", "/v1/sessions", program_id="demo", code=name, **came_by)
    return Phone(url=url, token=answer["token"])


def mall_at(mall_url: str) -> Phone | None:
    """The demo mall; where none answers, the chapter says that it is left out."""
    mall = Phone(url=mall_url)
    try:
        mall.call("GET", "/orders")
    except urllib3.exceptions.NewConnectionError:
        say(f"No mall answers at {mall_url}, so this chapter is left out. Say where it is with --mall.")
        return None
    return mall


def named(url: str, name: str, *, night: str, **came_by: str) -> Phone:
    """The same, of somebody with a nickname."""
    phone = sign_in(url, f"{name.lower()}-{night}", **came_by)
    phone.call("PUT", "/v1/me", nickname=name)
    return phone


def refusal(ask: Callable[[], Any]) -> Refused:
    """How a call is refused.

    Raises:
        Refused: it was not.
    """
    try:
        ask()
    except Refused as refused:
        return refused
    raise Refused("the stack allowed what it should refuse")


def wait_for(look: Callable[[], dict[str, Any]], wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
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


def yuan(fen: int) -> str:
    """Money for people."""
    return f"¥{fen // 100}.{fen % 100:02d}"


def title(text: str) -> None:
    """Print the head of a chapter."""
    print(f"\n{text}\n{'-' * len(text)}")


def say(text: str) -> None:
    """Print what happens next."""
    print(f"  {text}")
