"""A town: members with phones, a desk of operators, a mall, one WeChat, and the application between them all.

    with Town(dice=random.Random(7), patch=monkeypatch) as town:
        alice = town.phone("alice")
        alice.call("POST", f"/v1/groups/{group_id}/seats")     # {} where that was refused
        town.stream(), town.jobs(), town.post()                # some of what is under way arrives

Everything is done in one thread and by one set of dice, so that a seed is the same town again. Time is the town's
own, for the application, WeChat and the mall alike, but no two callers' clocks agree to the second. What goes wrong
goes wrong as it does outside: the store throttles, conflicts and loses replies, WeChat is busy, refuses or does not
answer, replies to phones and to the mall are lost, and whatever is told is told twice, late and in another order.
"""

import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import pytest
import urllib3
from chalice.test import Client

import app
from chalicelib.core import cache, clock, config, table
from chalicelib.core.errors import Busy
from chalicelib.wechat import client as wechat_client
from chalicelib.wechat import pay
from infra.local import pump, stack
from infra.local.postbox import Faults, Message, NoReply, Refused
from infra.local.shop import Shop
from infra.local.wechat import notices
from infra.local.wechat.frame import Request
from tests.factories import NOW
from tests.harness import streams
from tests.harness.direct import Direct
from tests.harness.hostile import Hostile
from tests.harness.merchant import merchant_of_wechat_pay
from tests.harness.rows import Plain, decoded
from tests.harness.wire import WRITES, Call, Params, conflicting, wrapped, written
from tests.world import keys, signed

Json = dict[str, Any]
STORE = {"throttle": 0.01, "timeout_before": 0.005, "timeout_after": 0.005, "lost_reply": 0.01}
CONFLICT, REPLY_LOST, TWICE = 0.01, 0.03, 0.05
WEIXIN = {"busy": 0.04, "lost": 0.04, "token_expired": 0.01}
SEEN_AFTER_S = 3
PATIENCE = 60
"""How often a caller asks again who is told to; no fault lasts so long."""

CONTEXT = pump.Context(function_name="town")


@dataclass
class Told:
    """What the town did, for its page and for playing it again."""

    steps: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    disorder: Counter[str] = field(default_factory=Counter)
    last: list[str] = field(default_factory=list)


class Rows:
    """The truth table as its stream tells it, at hand without a read: any row of a kind, mostly a late one."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.items: dict[tuple[str, str], Any] = {}
        self.kinds: dict[str, dict[tuple[str, str], None]] = {}

    def heard(self, record: Json) -> None:
        """A row is so from now on."""
        change = record["dynamodb"]
        key = (change["Keys"]["pk"]["S"], change["Keys"]["sk"]["S"])
        image = change.get("NewImage")
        kind = (image or change["OldImage"])["kind"]["S"]
        if image is None:
            del self.items[key], self.kinds[kind][key]
        else:
            self.items[key] = image
            self.kinds.setdefault(kind, {})[key] = None

    def some(self, kind: str, **wanted: Any) -> Plain | None:
        """One that is as wanted; None where a few looks find none."""
        there = list(self.kinds.get(kind, ()))
        for looks in range(min(len(there), 24)):
            late = there[-40:] if looks % 4 else there
            row = decoded(self.items[self.dice.choice(late)])
            if all(
                row.get(name) in (value if isinstance(value, tuple) else (value,))
                for name, value in wanted.items()
            ):
                return row
        return None


class Town:
    """All of it; entered once."""

    def __init__(self, *, dice: random.Random, patch: pytest.MonkeyPatch, store: Direct) -> None:
        self.dice, self.patch, self.store = dice, patch, store
        self.time, self.skew, self.lasted = NOW, 0, 0
        self.told, self.rows = Told(), Rows(dice)
        self.fates, self.worn = random.Random(dice.random()), ExitStack()
        self.waiting: dict[str, list[Json]] = {"react": [], "deliver": []}
        self.notices: list[notices.Told] = []
        self.mailbag: list[Message] = []
        self.refused: dict[str, str] = {}
        """Why what the mall told was not taken, when it was last told."""
        self.begun: list[Json] = []
        """What phones were given to pay with."""
        self.by_hand: dict[str, int] = {}
        """What operators paid at their bank."""
        self.phones: dict[str, Phone] = {}
        self.kind = False

    def __enter__(self) -> Self:
        self._one_clock()
        self._no_wires()
        cache.clear_all()
        self._open()
        return self

    def _one_clock(self) -> None:
        """Time, and chance, are the town's own."""
        patch = self.patch
        patch.setattr(time, "time", lambda: float(self.time))
        patch.setattr(clock, "now", lambda: self.time + self.skew)
        patch.setattr(secrets, "token_bytes", lambda count=32: self.fates.randbytes(count or 32))
        patch.setattr(secrets, "randbelow", self.fates.randrange)
        patch.setattr(table, "FIRST_WAIT_S", 0.0)

    def _no_wires(self) -> None:
        """Whom the application calls is called here."""
        patch = self.patch
        self.weixin = self.worn.enter_context(merchant_of_wechat_pay(patch))
        self.weixin.platform.clock = time.time
        patch.setattr(notices, "_start", lambda platform, told, fault: self.notices.append(told))
        patch.setattr(wechat_client, "_pool", lambda: _Weixin(self))
        patch.setattr(pay, "_pool", lambda: _Weixin(self))
        patch.setattr(urllib3, "request", _Outside(self).request)
        config.override(
            wechat_url=self.weixin.url,
            payment_gateway="wechat",
            payout_gateways="sandbox manual mall wechat",
            mall_webhook_url="https://mall.example/webhooks",
        )

    def _open(self) -> None:
        self.http = Client(app.app).http
        self.desk = Phone(self, "desk", token="key-of-owner")  # noqa: S106 - what `keys` gives the owner
        self.owner = keys(self.time)
        calls: Any = _MallsCalls(self)
        self.mall = Shop(liebian=calls, faults=Faults())
        self.mall.outbox.stop()
        post: Any = _Mailbag(self)
        self.mall.outbox = post
        self.hostile = Hostile(self.store, dice=self.fates, index_delay=SEEN_AFTER_S, clock=lambda: self.time)
        self.worn.enter_context(self.hostile)
        self.worn.enter_context(wrapped(self.store, self._conflicts))
        self.unkind()

    def __exit__(self, *error: Any) -> None:
        self.worn.close()

    # --- moods and time -------------------------------------------------------------------------------------

    def unkind(self) -> None:
        """Things go wrong from now on."""
        self.kind = False
        vars(self.hostile).update(STORE)

    def calm(self) -> None:
        """Nothing goes wrong from now on."""
        self.kind = True
        vars(self.hostile).update(dict.fromkeys(STORE, 0.0))

    def strikes(self, odds: float) -> bool:
        """Whether something goes wrong."""
        return not self.kind and self.fates.random() < odds

    def passes(self, seconds: int) -> None:
        """Time goes by."""
        self.time += seconds
        if seconds > SEEN_AFTER_S:
            self.hostile._late._history.clear()  # all of it is seen by now

    def forgets(self) -> None:
        """Another process takes over, which remembers nothing."""
        cache.clear_all()

    def _conflicts(self, below: Call, operation: str, params: Params) -> Params:
        if operation in WRITES and self.strikes(CONFLICT):
            self.told.faults["store: conflict"] += 1
            hit = [True, *[False] * (len(written(operation, params)) - 1)]
            raise conflicting(self.store, operation, hit)
        return below(operation, params)

    # --- calls ----------------------------------------------------------------------------------------------

    def phone(self, name: str) -> "Phone":
        """Somebody's phone."""
        return self.phones.setdefault(name, Phone(self, name))

    def sent(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Json]:
        """One request as the edge has it, whose clock is its own."""
        self.skew = self.fates.choice((0, 0, 0, 1, 2, -1, -2))
        answer = self.http.request(method, path, headers=dict(headers), body=body)
        self.hear()
        if answer.status_code == 500 or answer.status_code == 503 and self.kind:
            raise AssertionError(f"{method} {path} {body.decode()}: {answer.status_code} {answer.body!r}")
        return answer.status_code, answer.json_body

    def hear(self) -> None:
        """What the stream has told by now, which its readers will hear."""
        for record in self.store.news():
            self.rows.heard(record)
            change = record["dynamodb"]
            if record["eventName"] != "REMOVE":
                self.waiting["react"].append(record)
            if record["eventName"] == "INSERT" and change["NewImage"]["kind"] == {"S": "delivery"}:
                self.waiting["deliver"].append(record)

    # --- what arrives ---------------------------------------------------------------------------------------

    def stream(self, *, share: float = 1.0) -> None:
        """Both readers hear some of what waits: rows in any order, changes of one row in theirs, some twice."""
        for name, reader in (("react", app.react), ("deliver", app.deliver)):
            waits = streams.interleaved(self.waiting[name], dice=self.dice)
            count = round(len(waits) * share)
            self.waiting[name] = waits[count:]
            batches = [*streams.deliveries(waits[:count], dice=self.dice, largest=30)]
            self.told.disorder["stream records again"] += sum(map(len, batches)) - count
            for batch in batches:
                self._reads(reader, batch)

    def _reads(self, reader: Any, batch: list[Json]) -> None:
        for _ in range(11):
            self.skew = self.fates.choice((0, 0, 1, -2))
            try:
                answer = reader(streams.event(batch), CONTEXT) or {"batchItemFailures": []}
            except Busy:
                assert not self.kind, "the store was kind"
                continue
            finally:
                self.hear()
            failed = {one["itemIdentifier"] for one in answer["batchItemFailures"]}
            if not failed:
                return
            at = next(n for n, one in enumerate(batch) if one["dynamodb"]["SequenceNumber"] in failed)
            batch = batch[at:]

    def jobs(self, *names: str) -> None:
        """Jobs run, all unless named; one that dies of the store runs again in its next minute."""
        for name in names or stack.JOBS:
            self.skew = self.fates.choice((0, 0, 1, -2))
            try:
                getattr(app, name)(stack.scheduled_event(), CONTEXT)
            except Busy:
                assert not self.kind, "the store was kind"
                self.told.faults["job cut short"] += 1
            self.hear()

    def post(self, *, share: float = 1.0) -> None:
        """Some of what WeChat and the mall have to tell arrives, in any order; what is not taken is told again."""
        for waiting, tell in ((self.notices, self._weixin_tells), (self.mailbag, self._mall_tells)):
            some: list[Any] = waiting.copy()
            self.dice.shuffle(some)
            for one in some[: round(len(some) * share)]:
                if tell(one) and not self.strikes(REPLY_LOST):
                    waiting.remove(one)
                else:
                    self.told.disorder["told again"] += 1

    def _weixin_tells(self, told: notices.Told) -> bool:
        headers, body = notices.message(self.weixin.platform, told)
        status, _ = self.sent("POST", urlsplit(told.url).path, body, headers)
        return status in (200, 204)

    def _mall_tells(self, message: Message) -> bool:
        message.tries += 1
        try:
            answer = self.mall._liebian.call(
                message.method, message.path, message.body, call_id=message.message_id
            )
        except NoReply:
            return False
        except Refused as refused:
            self.told.refused[f"mall: {message.what} {refused.code}"] += 1
            self.refused[message.message_id] = refused.code
            return False
        if message.number:
            self.mall._answered(message, answer, "taken")
        return True


class Phone:
    """Somebody's phone, which asks again when it is told to, and signs in again when its session is over."""

    def __init__(self, town: Town, name: str, *, token: str = "") -> None:
        self.town, self.name, self.token, self.code = town, name, token, name
        self.came_by: Json = {}
        self.member_id = ""

    def call(self, method: str, path: str, /, **body: Any) -> Json:
        """What is answered in the end; nothing where it is refused."""
        town = self.town
        key, again = f"key-{town.fates.getrandbits(64):x}", town.strikes(TWICE)
        town.told.disorder["tapped twice"] += again
        for _ in range(1 + again):
            status, answer = self._patiently(method, path, body, key)
        code = answer["error"]["code"] if status >= 400 else "done"
        town.told.refused[f"{method} {path.split('/')[2]} {code}"] += status >= 400
        return answer if status < 400 else {}

    def asks(self, method: str, path: str, /, **body: Any) -> Json:
        """The same, where nothing refuses it."""
        answer = self.call(method, path, **body)
        assert answer, (method, path, body, self.town.told.refused)
        return answer

    def _patiently(self, method: str, path: str, body: Json, key: str) -> tuple[int, Json]:
        for _ in range(PATIENCE):
            if not self.token and not self.sign_in():
                return 403, {"error": {"code": "blocked"}}
            headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": key}
            status, answer = self._asked(method, path, body, headers)
            if status == 401:
                self.token = ""
            elif status == 429:
                self.town.passes(60)
            elif status != 503 and not self.town.strikes(REPLY_LOST):
                return status, answer
        raise AssertionError(f"{self.name} asked in vain: {method} {path} {status} {answer}")

    def sign_in(self) -> Json:
        """A new session, by whatever the person came by; none for who is blocked."""
        body = {"program_id": "demo", "code": self.code, **self.came_by}
        for _ in range(PATIENCE):
            status, answer = self._asked("POST", "/v1/sessions", body, {})
            if status < 300:
                self.token, self.came_by = answer["token"], {}
                self.member_id = answer["member"]["member_id"]
                return answer["member"]  # type: ignore[no-any-return]
            if status == 403:
                return {}
            assert status in (429, 503), answer
            self.town.passes(60 if status == 429 else 1)
        raise AssertionError(f"{self.name} could not sign in: {answer}")

    def _asked(self, method: str, path: str, body: Json, headers: Mapping[str, str]) -> tuple[int, Json]:
        content = b"" if method == "GET" else json.dumps(body, ensure_ascii=False).encode()
        return self.town.sent(method, path, content, {"Content-Type": "application/json", **headers})


# --- the mall's side, and WeChat's --------------------------------------------------------------------------


class _MallsCalls:
    """How the mall asks, in place of `postbox.Liebian`: signed, without a wire, and some of it in vain."""

    def __init__(self, town: Town) -> None:
        self.town = town

    def call(self, method: str, path: str, body: Json | None, *, call_id: str) -> Json:
        """As there."""
        town, content = self.town, json.dumps(body).encode() if body else b""
        at = town.time + town.fates.choice((0, 0, 3, -3, -100, -200))
        headers = {
            name.replace("_", "-"): text for name, text in signed(content, webhook_id=call_id, at=at).items()
        }
        for _ in range(1 + town.strikes(TWICE)):
            status, answer = town.sent(method, path, content, {"Content-Type": "application/json", **headers})
        if status == 503 or town.strikes(REPLY_LOST):
            raise NoReply("no reply")
        if status >= 400:
            raise Refused(status, answer["error"]["code"], f"{method} {path}")
        return answer

    def look(self, path: str) -> Json:
        """What anybody may see."""
        return self.town.sent("GET", path, b"", {})[1]


class _Mailbag:
    """What the mall owes, in place of `postbox.Outbox`: it leaves when the town says so."""

    def __init__(self, town: Town) -> None:
        self.town = town

    def put(self, message: Message) -> None:
        """As there."""
        self.town.mailbag.append(message)

    def waiting(self) -> int:
        """As there."""
        return len(self.town.mailbag)


@dataclass(frozen=True, kw_only=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    data: bytes


class _Weixin:
    """The way to WeChat, without a wire: asked, it answers, or is busy, or does it and nobody hears."""

    def __init__(self, town: Town) -> None:
        self.town = town

    def request(self, method: str, url: str, *, body: Any = None, headers: Any = None, **_: Any) -> _Reply:
        """As a pool of urllib3 has it."""
        town, target = self.town, urlsplit(url)
        fault = next((name for name, odds in WEIXIN.items() if town.strikes(odds)), None)
        town.weixin.fault = fault  # type: ignore[assignment]
        town.told.faults[f"WeChat: {fault}"] += fault is not None
        request = Request(
            method=method,
            path=target.path,
            query=dict(parse_qsl(target.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in (headers or {}).items()},
            body=body or b"",
            target=f"{target.path}?{target.query}" if target.query else target.path,
            address="127.0.0.1",
        )
        answer = town.weixin.answer(request)
        town.weixin.fault = None
        if answer is None:
            raise urllib3.exceptions.ReadTimeoutError(None, url, "no answer")  # type: ignore[arg-type]
        return _Reply(status=answer.status, headers=answer.headers, data=answer.body)


class _Outside:
    """Whoever else is called: the mall, to which our webhooks go."""

    def __init__(self, town: Town) -> None:
        self.town = town

    def request(self, method: str, url: str, *, body: bytes = b"", headers: Any = None, **_: Any) -> _Reply:
        """As `urllib3.request`."""
        town = self.town
        if town.strikes(REPLY_LOST):
            town.told.faults["mall: down"] += 1
            return _Reply(status=503, headers={}, data=b"")
        town.mall.take(json.loads(body))
        if town.strikes(REPLY_LOST):
            town.told.faults["mall: answer lost"] += 1
            raise urllib3.exceptions.ReadTimeoutError(None, url, "no answer")  # type: ignore[arg-type]
        return _Reply(status=200, headers={}, data=b"{}")
