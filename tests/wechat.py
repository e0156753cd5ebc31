"""The program that the simulated WeChat of the tests knows, and what its people look like."""

import json
from collections.abc import Mapping
from typing import Any

import urllib3

from chalicelib.members import service as members
from chalicelib.members.schemas import AddProgram
from chalicelib.wechat.client import App
from infra.local import wechat
from tests.factories import NOW, OWNER

APPID = next(iter(wechat.DEMO_PROGRAMS))
APP = App(appid=APPID, secret_name="demo")


class Phones:
    """People with phones: they sign in by name and call the API that is served at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._tokens: dict[str, str] = {}

    def sign_in(self, name: str, **came_by: Any) -> dict[str, Any]:
        """Sign in with a login code; answers the session."""
        status, answer = self.call(
            None, "POST", "/v1/sessions", {"program_id": "demo", "code": name, **came_by}
        )
        assert status in (200, 201), answer
        self._tokens[name] = answer["token"]
        return answer

    def call(
        self, name: str | None, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """What the API answers to somebody who has signed in, or to a stranger."""
        headers = {"Content-Type": "application/json"}
        if name is not None:
            headers["Authorization"] = f"Bearer {self._tokens[name]}"
        content = None if body is None else json.dumps(body).encode()
        answer = urllib3.request(method, f"{self.url}{path}", body=content, headers=headers, retries=False)
        return answer.status, json.loads(answer.data)


def add_program() -> None:
    """The brand has the program that the simulated WeChat knows."""
    given = AddProgram(
        program_id="demo",
        appid=APPID,
        secret_name="demo",
        name="Demo",
        kind="functional",
        landing_page="/pages/index/index",
    )
    members.add_program(given, by=OWNER, now=NOW)
