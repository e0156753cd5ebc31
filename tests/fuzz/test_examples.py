"""The examples of the contract are calls that were made, and what was answered.

make examples                      makes them all again and writes them down
"""

import json
import os
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema_rs
import pytest

from chalicelib.core import cache, contract
from chalicelib.core.clock import DAY
from tests.doors import DOORS
from tests.fuzz.conftest import NOON
from tests.samples import BEHIND_THE_DOOR
from tests.world import Answer, Beginning, World

_ALWAYS_OTHERS = {
    r"(eyJ|\.eJ)[\w-]+\.[\w-]{43}": "a-token",
    r"wxaurl\.cn/\w+": "wxaurl.cn/kAeQOr2FbLC",
    r'"activity_id":"\w+"': f'"activity_id":"{"cd" * 20}"',
    r'"activity_expires_at":\d+': f'"activity_expires_at":{NOON + DAY}',
}
"""What opens a door is no example, and WeChat's clock does not stand."""
_SIGNED: dict[str, Any] = {"signature": "f" * 40, "timestamp": str(NOON), "nonce": "1320562132"}
_NOTICE: dict[str, Any] = {
    "id": "EV-2018022511223320873",
    "event_type": "TRANSACTION.SUCCESS",
    "resource": {"ciphertext": "base64 of what only the merchant can open", "nonce": "fdasflkja484"},
}
_WECHATS: dict[str, dict[str, Any]] = {
    "GET messages": {"query": {**_SIGNED, "echostr": "7215364513"}, "answer": "7215364513"},
    "POST messages": {"query": _SIGNED, "body": {"Event": "user_info_modified"}, "answer": "success"},
    **{
        f"POST {what}": {"body": {**_NOTICE, "event_type": event}, "answer": {"code": "SUCCESS"}}
        for what, event in (
            ("payments", "TRANSACTION.SUCCESS"),
            ("refunds", "REFUND.SUCCESS"),
            ("transfers", "MCHTRANSFER.BILL.FINISHED"),
        )
    },
}
"""What WeChat sends, as its documentation shows it: nobody else can call these."""
_PICTURES = {"GET /v1/links/{code}/qr", "GET /v1/uploads/{upload_id}", "GET /v1/links/{code}/poster.svg"}
_LONGEST = 20_000
"""So many characters of an answer show how it looks; a larger one is a picture or this document itself."""


def recorded(route: str, world: World) -> dict[str, Any]:
    """The route's sample call as whoever may, and what was answered if it succeeded."""
    answer = world.call(route, DOORS[route][0])
    _, target, content = world.asked(route)
    asked = urlsplit(target)
    given = dict(zip(route.split()[1].split("/"), asked.path.split("/"), strict=True))
    told = {
        "path": {name[1:-1]: part for name, part in given.items() if name.startswith("{")},
        "query": dict(parse_qsl(asked.query)),
        "body": json.loads(content) if content else None,
        "answer": readable(answer),
    }
    return {name: value for name, value in told.items() if value not in (None, {})}


def readable(answer: Answer) -> Any:
    """The body of a success, the same in every run."""
    kind = answer.headers.get_content_type()
    if answer.status >= 300 or kind.startswith("image/") or len(answer.content) > _LONGEST:
        return None
    text = answer.content.decode()
    for pattern, instead in _ALWAYS_OTHERS.items():
        text = re.sub(pattern, instead, text)
    return json.loads(text) if kind == "application/json" else text


def test_the_examples_are_what_is_asked_and_answered(world: World, beginning: Beginning) -> None:
    made: dict[str, Any] = {}
    for route in DOORS:
        beginning.restore()
        cache.clear_all()
        made[route] = recorded(route, world)
    for called, example in _WECHATS.items():
        method, what = called.split()
        made[f"{method} /v1/wechat/{{program_id}}/{what}"] = {"path": {"program_id": "demo"}, **example}
    text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"

    if os.environ.get("EXAMPLES") == "write":
        contract.EXAMPLES.write_text(text, encoding="utf-8")
    assert json.loads(contract.EXAMPLES.read_text(encoding="utf-8")) == made


DOCUMENT = contract.document()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}


def fits(example: Any, schema: dict[str, Any]) -> None:
    """Say what is wrong with an example."""
    jsonschema_rs.validate({**schema, "components": DOCUMENT["components"]}, example)


@pytest.mark.parametrize("route", OPERATIONS)
def test_an_operation_has_examples_that_fit(route: str) -> None:
    operation = OPERATIONS[route]

    for one in operation["parameters"]:
        if one["required"] or "example" in one:
            fits(one["example"], one["schema"])
    asked = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if asked:
        fits(asked["example"], asked["schema"])
    answers = next(told for status, told in operation["responses"].items() if status < "300")["content"]
    if route not in WITHOUT_AN_ANSWER:
        ((_, answered),) = answers.items()
        fits(answered["example"], answered.get("schema", {"type": "string"}))


WITHOUT_AN_ANSWER = {*_PICTURES, *BEHIND_THE_DOOR, "GET /v1/openapi.json"}
