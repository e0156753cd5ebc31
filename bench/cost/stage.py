"""The demo shop on the embedded store, called as API Gateway, the stream and the clock of EventBridge call it.

Time stands unless it is moved, so that what a process remembers is remembered: what is counted is a warm process.
The mall beside it takes every delivery at once; what its network costs is its own.
"""

import contextlib
import io
import json
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

from bench.cost.operations import KEPT_BESIDE, Sizes, Work
from infra.local import environment
from infra.local.pump import Context
from infra.local.stack import JOBS, scheduled_event
from tests.harness.counter import Spent, counting, item_size
from tests.harness.direct import Direct
from tests.harness.wire import indexes

Json = dict[str, Any]
NOW = 1_767_405_660
"""10:01 on 3 January 2026 in Shanghai: no tenth minute, at which a job looks for money that is stuck; and far from
the end of a month, whose first day has rows of its own."""
DAY = 86400
YEAR = 365 * DAY
ROUNDS = 20
SETTINGS: Mapping[str, Any] = {
    "payment_gateway": "sandbox",
    "payout_gateways": "sandbox manual mall wechat",
    "mall_webhook_url": "https://mall.example/webhooks",
    "content_safety": "off",
    "wechatpay_mchid": "",
}
BATCHES = {"react": 100, "deliver": 10}
"""How many records a reader is handed at most, as app.py has it."""


# An id as long as Lambda's: it is in every line of the log.
CONTEXT = Context(function_name="liebian", aws_request_id=str(uuid.UUID(int=2**127)))


class Stage:
    """The shop, entered once; whoever plays on it asks it for everything."""

    def __init__(self, store: Direct, *, wechat_url: str) -> None:
        self.store, self.wechat_url = store, wechat_url
        self.now, self.words, self.requests, self.answered = NOW - 2 * DAY, 0, 0, 0
        self.link: str | None = None
        self.worn = contextlib.ExitStack()

    def __enter__(self) -> "Stage":
        import app
        from chalicelib.core import cache, clock, config, deliveries, table
        from infra.local import seed

        self.app = app
        wear = self.worn.enter_context
        wear(said())
        wear(mock.patch.object(clock, "now", lambda: self.now))
        wear(mock.patch.object(deliveries, "post", lambda *_, **__: None))
        wear(mock.patch.object(table, "_client", self.store))
        config.override(wechat_url=self.wechat_url, **SETTINGS)
        cache.clear_all()
        seed.plant()
        # So that somebody can have been here yesterday.
        self.now = NOW
        self.rest()
        return self

    def __exit__(self, *_: object) -> None:
        from chalicelib.core import cache

        cache.clear_all()
        self.worn.close()

    # --- who calls -----------------------------------------------------------------------------------------

    def word(self, kind: str) -> str:
        """A name that nobody has yet, as long as those of phones."""
        self.words += 1
        return f"{kind}-{self.words:020d}"

    def ask(self, method: str, path: str, *, token: str = "", mall: bool = False, **body: Any) -> Json:
        """The answer to a request.

        Raises:
            AssertionError: it was refused.
        """
        status, answer = self.asked(method, path, token=token, mall=mall, **body)
        assert status < 400, answer
        return answer

    def asked(
        self, method: str, path: str, *, token: str = "", mall: bool = False, **body: Any
    ) -> tuple[int, Json]:
        """Status and body of an answer."""
        from tests.harness.gateway import Ask

        there, content = urlsplit(path), json.dumps(body) if method != "GET" else ""
        shown = {"User-Agent": "MicroMessenger", "Accept-Language": "zh-CN"}
        shown |= {"Authorization": f"Bearer {token}"} if token else {}
        shown |= self._signed(content) if mall else {}
        ask = Ask(
            method=method, path=there.path, query=there.query, body=content.encode(), headers=shown, before=""
        )
        event = ask.proxied
        event["requestContext"]["requestId"] = str(uuid.UUID(int=2**127 + self.words))
        # One address for all of them looks like one person with many names, whose orders earn nobody anything.
        event["requestContext"]["identity"]["sourceIp"] = f"10.0.{self.words // 250}.{self.words % 250}"
        answer = self.app.app(event, CONTEXT)
        self.requests, self.answered = self.requests + 1, self.answered + _size(answer)
        return int(answer["statusCode"]), json.loads(answer["body"])

    def _signed(self, content: str) -> dict[str, str]:
        from chalicelib.core import webhooks

        return webhooks.sign(content, webhook_id=self.word("msg"), now=self.now)

    def operator(self, method: str, path: str, **body: Any) -> Json:
        """The answer to the owner."""
        return self.ask(method, path, token=environment.OWNER_KEY, **body)

    # --- what happens by itself ----------------------------------------------------------------------------

    def stream(self) -> int:
        """Hand all records to the readers until there are none; how often functions were run."""
        runs = 0
        while records := self.store.news():
            runs += self._handed("react", [one for one in records if _is_read(one)])
            runs += self._handed("deliver", [one for one in records if _is_delivery(one)])
        return runs

    def _handed(self, reader: str, records: Sequence[Json]) -> int:
        size, runs = BATCHES[reader], 0
        for begin in range(0, len(records), size):
            failed = getattr(self.app, reader)({"Records": list(records[begin : begin + size])}, CONTEXT)
            assert not (failed or {}).get("batchItemFailures"), failed
            runs += 1
        return runs

    def job(self, name: str) -> None:
        """The scheduled function of this name, once."""
        getattr(self.app, name)(scheduled_event(), CONTEXT)

    def rest(self) -> None:
        """Let everything that is under way end."""
        self.stream()
        for _ in range(ROUNDS):
            for name in JOBS:
                self.job(name)
            if not self.stream():
                return
        raise AssertionError("something is still under way")

    # --- looking -------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def counted(self) -> Iterator[Spent]:
        """What is asked of the store inside."""
        with counting(self.store) as spent:
            yield spent

    def kept(self) -> Sizes:
        """The bytes of all rows and entries there are, each by the part of a year that it lives."""
        rows, entries, temporary = 0.0, 0.0, 0.0
        for item in self.store.items("truth"):
            part = self._part(item)
            rows += part * (item_size(item) + KEPT_BESIDE)
            found = (index.entry(item) for index in indexes(self.store, "truth").values())
            entries += sum(part * (item_size(entry) + KEPT_BESIDE) for entry in found if entry)
        for item in self.store.items("traffic"):
            temporary += self._part(item) * (item_size(item) + KEPT_BESIDE)
        return Sizes(rows=round(rows), entries=round(entries), temporary=round(temporary))

    def _part(self, item: Json) -> float:
        ends = int(item["ttl"]["N"]) if "ttl" in item else self.now + YEAR
        return min(1.0, max(0.0, (ends - self.now) / YEAR))


@contextlib.contextmanager
def said() -> Iterator[io.StringIO]:
    """All that the app says in its log inside, metrics that are told in it as well."""
    told, logger = io.StringIO(), logging.getLogger("liebian")
    with contextlib.ExitStack() as worn:
        worn.enter_context(mock.patch.object(logger, "level", logging.INFO))
        worn.enter_context(mock.patch.object(logger, "_cache", {}))
        for handler in logger.handlers:
            worn.enter_context(mock.patch.object(handler, "stream", told))
        worn.enter_context(mock.patch.dict("os.environ", POWERTOOLS_METRICS_DISABLED="false"))
        worn.enter_context(contextlib.redirect_stdout(told))
        yield told


@contextlib.contextmanager
def standing() -> Iterator[Stage]:
    """A stage of its own, for a process that has none."""
    environment.prepare(wechat_url="http://127.0.0.1:1", endpoint="", mall_webhook_url="")
    from chalicelib.core import config, table
    from infra.local import embedded, tables, wechat
    from infra.local.clients import Store

    embedded.start()
    simulator = wechat.start(wechat.DEMO_PROGRAMS)
    try:
        there = Store()
        tables.create(there.client)
        with Stage(Direct(there.client), wechat_url=simulator.url) as stage:
            yield stage
    finally:
        simulator.stop()
        table.reset()
        config.reset()
        embedded.stop()


def work(spent: Spent, *, runs: int = 0) -> Work:
    """What was counted."""
    return Work(
        calls=spent.calls,
        reads=spent.read_units,
        rows=spent.table_units,
        entries=spent.index_units,
        runs=runs,
    )


def _size(answer: Json) -> int:
    told = {**answer.get("headers", {}), **{k: v[0] for k, v in answer.get("multiValueHeaders", {}).items()}}
    head = sum(len(f"{name}: {value}\r\n") for name, value in told.items())
    return head + len(str(answer["body"]).encode())


def _is_read(record: Json) -> bool:
    """The filter of the first reader in infra/template.json."""
    kind = record["dynamodb"].get("NewImage", {}).get("kind", {}).get("S")
    return record["eventName"] != "REMOVE" and kind not in ("lease", "marker")


def _is_delivery(record: Json) -> bool:
    """The filter of the second."""
    kind = record["dynamodb"].get("NewImage", {}).get("kind", {}).get("S")
    return (record["eventName"], kind) == ("INSERT", "delivery")
