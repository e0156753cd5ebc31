"""WeChat as its documentation has it (``recorded/wechat.json``): whether a request is as a page wants it, and a
server that answers each with the page's example.

recorded = Recorded()
recorded.refuse("code2Session", 40029)
assert wrong(request) == []
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra.local.wechat.frame import Answer, Request
from infra.local.wechat.server import Simulator
from tests.uploads import JPEG

_TOLD = json.loads((Path(__file__).parent / "recorded" / "wechat.json").read_text(encoding="utf-8"))
PAGES: Mapping[str, dict[str, Any]] = {page["name"]: page for page in _TOLD["endpoints"]}
PATHS: Mapping[str, str] = {name: page["calls"].split()[1] for name, page in PAGES.items()}
VECTORS: Mapping[str, dict[str, Any]] = _TOLD["vectors"]
"""What WeChat publishes of what it signs and encrypts."""
_BY_PATH = {path: PAGES[name] for name, path in PATHS.items()}
_KINDS = {str: "string", int: "number", bool: "boolean", dict: "object", list: "array"}


def wrong(request: Request) -> list[str]:
    """Where a request differs from what is documented; nothing that is not documented may be in it."""
    page = _BY_PATH.get(request.path)
    if page is None:
        return [f"{request.path} is not documented"]
    wanted = {field.partition(":")[0]: field.partition(":")[2] for field in page["fields"]}
    wanted |= {"method": page["calls"].split()[0], **{f"?{name}": "string" for name in page["query"]}}
    told = {"method": request.method, **{f"?{name}": "string" for name in request.query}}
    body = json.loads(request.body or b"{}")
    told |= {re.sub(r"^data\.[^.]+", "data.*", at): kind for at, kind in _fields(body)}
    needed = {at for at in wanted if not at.endswith("?") and _part_of(at) in (*told, "")}
    allowed = {at.rstrip("?"): kind for at, kind in wanted.items()}
    return [f"{at}: {told.get(at)}" for at in sorted({*needed, *told}) if told.get(at) != allowed.get(at)]


def _part_of(field: str) -> str:
    return field.rpartition(".")[0].removesuffix("[]")


def _fields(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Each field of a body, with its kind."""
    for inner in value if isinstance(value, list) else ():
        yield from _fields(inner, f"{at}[]")
    for name, inner in value.items() if isinstance(value, dict) else ():
        where = f"{at}.{name}" if at else name
        yield where, _KINDS[type(inner)]
        yield from _fields(inner, where)


class Recorded(Simulator):
    """A WeChat that says what is documented, and refuses what it is told to; ``success`` to what is no call."""

    def __init__(self) -> None:
        self.refusals: dict[str, bytes] = {}
        super().__init__(programs={}, host="127.0.0.1", port=0)

    def refuse(self, name: str, errcode: int) -> None:
        """Say no to a call from now on, as there with HTTP 200 and a request id."""
        said = f"{PAGES[name]['errors'][str(errcode)]} rid: 652d44d0-1d0af18b-5b069232"
        self.refusals[PATHS[name]] = json.dumps({"errcode": errcode, "errmsg": said}).encode()

    def answer(self, request: Request) -> Answer:
        """The page's example, whatever was asked; where that is a picture, one of ours."""
        page = _BY_PATH.get(request.path)
        example = page["answer"].encode() or JPEG if page else b"success"
        return Answer(body=self.refusals.get(request.path, example))
