"""The calls, each at its time: the loop is open, and who waits for an answer keeps nobody else from calling.

Only a story waits for itself: nobody pays for what was not answered. Its later calls are counted from their own
times all the same, and those that cannot be made any more are errors.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from itsdangerous import URLSafeSerializer

from bench.load.day import Call, Story
from bench.load.figures import NO_ANSWER, NOT_REACHED, RIGHT, Answer
from bench.load.setting import Place

GIVES_UP_S = 10.0
CONNECTIONS = 128
"""At once at most, as many as the stack's own client keeps to the store; who finds none free waits for one."""
_BEGINS_IN_S = 0.2
_END = b"\r\n\r\n"


class Connections:
    """Kept connections to one server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        self._there = parts.hostname, parts.port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._room = asyncio.Semaphore(CONNECTIONS)

    async def post(self, path: str, body: dict[str, Any], *, token: str) -> tuple[int, dict[str, Any]]:
        """Status and body of an answer.

        Raises:
            OSError, EOFError: the connection broke.
        """
        async with self._room:
            reader, writer = self._free.pop() if self._free else await asyncio.open_connection(*self._there)
            try:
                writer.write(self._request(path, json.dumps(body).encode(), token))
                status, answer = await _answer(reader)
            except BaseException:
                writer.close()
                raise
            self._free.append((reader, writer))
            return status, json.loads(answer)

    def _request(self, path: str, body: bytes, token: str) -> bytes:
        host = f"{self._there[0]}:{self._there[1]}"
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        head += f"Authorization: Bearer {token}\r\n" if token else ""
        return f"{head}Content-Length: {len(body)}".encode() + _END + body

    def close(self) -> None:
        """All of them."""
        for _, writer in self._free:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(_END)).decode("latin-1").lower()
    length = head.partition("content-length:")[2].partition("\r\n")[0]
    return int(head.split(maxsplit=2)[1]), await reader.readexactly(int(length))


@dataclass(kw_only=True)
class _Telling:
    """One story: what its answers have told so far."""

    place: Place
    group: str = ""
    order: str = ""
    pay_url: str = ""

    def asked(self, call: Call) -> tuple[str, dict[str, Any]]:
        """Path and body of a call."""
        body = {"wx_scene": 1007, "visitor": f"{self.place.name}-{call.who}"} if call.kind == "visit" else {}
        there = self.place
        paths = {
            "visit": lambda: f"/v1/links/{there.links[call.what]}/visits",
            "check-in": lambda: f"/v1/checkins/{there.checkins[call.what]}",
            "claim": lambda: f"/v1/coupons/{there.templates[call.what]}/claims",
            "open": lambda: f"/v1/groupbuys/{there.groupbuy}/groups",
            "join": lambda: f"/v1/groups/{self.group}/seats",
            "begin": lambda: f"/v1/orders/{self.order}/payments",
            "pay": lambda: urlsplit(self.pay_url).path,
        }
        return paths[call.kind](), body

    def token(self, call: Call) -> str:
        """Who calls; visitors and the page that pays have not signed in."""
        return "" if call.kind in ("visit", "pay") else self.place.members[call.who].token

    def learned(self, call: Call, found: dict[str, Any]) -> str:
        """What the answer says is so, and what the next call wants of it."""
        if call.kind in ("open", "join"):
            self.group, self.order = found["group"]["group_id"], found["order"]["order_id"]
        if call.kind == "begin":
            self.pay_url = found["pay_url"]
        if call.kind == "visit":
            return f"{found['code']} {_visit_of(found['visit_token'])}"
        if call.kind == "check-in":
            return f"{self.place.checkins[call.what]} {self.place.members[call.who].member_id}"
        return str(found["coupon"]["coupon_id"]) if call.kind == "claim" else self.order


def _visit_of(token: str) -> str:
    _, claims = URLSafeSerializer("").loads_unsafe(token)
    return str(claims["vis"])


def made(stories: Sequence[Story], *, place: Place, url: str) -> list[Answer]:
    """Make all calls of these stories; the answers in no order."""
    return asyncio.run(_made(stories, place=place, url=url))


async def _made(stories: Iterable[Story], *, place: Place, url: str) -> list[Answer]:
    there, begun = Connections(url), time.monotonic() + _BEGINS_IN_S
    going = []
    for story in stories:
        await _until(begun + story[0].at)
        going.append(asyncio.create_task(_played(story, _Telling(place=place), there=there, begun=begun)))
    answers = [answer for story in await asyncio.gather(*going) for answer in story]
    there.close()
    return answers


async def _until(then: float) -> None:
    await asyncio.sleep(max(0.0, then - time.monotonic()))


async def _played(story: Story, telling: _Telling, *, there: Connections, begun: float) -> list[Answer]:
    answers: list[Answer] = []
    for call in story:
        if answers and not answers[-1].right:
            answers.append(Answer(call=call, sent=call.at, done=call.at, status=0, code=NOT_REACHED))
            continue
        await _until(begun + call.at)
        answers.append(await _called(call, telling, there=there, begun=begun))
    return answers


async def _called(call: Call, telling: _Telling, *, there: Connections, begun: float) -> Answer:
    sent = time.monotonic()
    path, body = telling.asked(call)
    try:
        async with asyncio.timeout(GIVES_UP_S):
            status, found = await there.post(path, body, token=telling.token(call))
    except TimeoutError:
        status, found = 0, {"error": {"code": NO_ANSWER}}
    except (OSError, EOFError) as broken:
        status, found = 0, {"error": {"code": type(broken).__name__}}
    done = time.monotonic()
    right = status in RIGHT
    return Answer(
        call=call,
        sent=sent - begun,
        done=done - begun,
        status=status,
        code="" if right else str(found["error"]["code"]),
        told=telling.learned(call, found) if right else "",
    )
