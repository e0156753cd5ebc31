"""A shop in which a route is called, one storage call of it fails, its caller calls again, and all comes to rest.

    stage.restore()
    answer = stage.call(route)                # through the deployed handler; the same call each time
    stage.rest()                              # the stream's two readers, and what is due
    assert stage.picture() == as_it_should_be

It stands on the embedded store without HTTP between, whose rows are replaced and never changed: to have the shop
back is to have its rows back.
"""

import uuid
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec
import pytest
from chalice import local
from chalice.config import Config

import app
from chalicelib.core import clock, config, deliveries, due, facts, table
from chalicelib.core.clock import MINUTE
from chalicelib.core.facts import OWED_AFTER_S
from chalicelib.withdrawals import terms as withdrawal_terms
from chalicelib.withdrawals.schemas import EditWithdrawalTerms
from infra.local import embedded, wechat
from infra.local.clients import Store
from tests.doors import DOORS
from tests.factories import OWNER
from tests.harness.direct import Direct
from tests.harness.rows import Plain, decoded
from tests.harness.streams import event
from tests.samples import TERMS, WECHAT_SECRET
from tests.world import Answer, World, planted, settle_in, signed, stored

MALL = "http://mall.example"
NOTES = ("lease", "webhook_call", "member_calls", "wechat_budget", "openings_of_day")
"""Kinds of rows that say how often somebody tried."""
COUNTS_ON = ("pk", "sk", "rev", "v", "ttl", "edition")
"""Attributes that say which row it is, or how often it was written."""
NAMED = ("kind", "state", "book", "type", "reason", "why", "about", "action", "fact", "due_shard", "due_ref")
"""Attributes whose words are compared; what others say is of ids and tokens, which are new each time."""
PHONE = "POST /v1/me/phone"
AGES = 10**9
"""From here on a number is a time."""
ROUNDS = 30
Picture = Counter[tuple[tuple[str, str], ...]]


class Near(World):
    """The same world with nothing between the caller and the handler; who calls again calls under the same key."""

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request."""
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        told = _gateway().handle_request(method, path, {"host": "shop.example", **given}, body or b"")
        content = told["body"]
        content = content.encode() if isinstance(content, str) else content
        return Answer(status=told["statusCode"], headers=told["headers"], content=content)

    def headers(self, caller: str, body: bytes) -> dict[str, str]:
        """How this caller shows who they are, and that a call is the same."""
        key = f"the-key-of-{zlib.crc32(body)}"
        shown = {**super().headers(caller, body), "idempotency_key": key}
        return shown | (signed(body, webhook_id=key) if caller == "mall" else {})


@cache
def _gateway() -> local.LocalGateway:
    return local.LocalGateway(app.app, Config.create(chalice_app=app.app, project_dir="."))


@dataclass(kw_only=True)
class Stage:
    """The shop, how it was at first, and how far its stream has been read."""

    world: Near
    store: Direct
    now: int
    clock: int = 0
    ahead: int = OWED_AFTER_S + MINUTE
    read: int = 0
    kept: dict[str, Any] = field(default_factory=dict)
    kept_read: int = 0
    known: dict[int, Plain] = field(default_factory=dict)

    @property
    def later(self) -> int:
        """When also what the stream has not brought is due."""
        return self.now + self.ahead

    def keep(self) -> None:
        """From here on it is restored to how it is now."""
        self.kept = {one.name: {key: dict(rows) for key, rows in one.items.items()} for one in stored()}
        self.kept_read = self.read
        self.known = {
            id(item): decoded(item.to_json()["Attributes"]) for one in stored() for item in _items(one)
        }

    def restore(self) -> None:
        """Everything is as it was kept, and nothing is remembered."""
        self.rewind()
        looks_here(self.world.weixin)

    def rewind(self) -> None:
        """Everything is as it was kept, but for what the app remembers."""
        for one in stored():
            one.items.clear()
            one.items.update({key: dict(rows) for key, rows in self.kept[one.name].items()})
            if one.stream_shard is not None:
                del one.stream_shard.items[self.kept_read :]
        self.read, self.clock = self.kept_read, self.now
        self.world.names.pop("shop_code", None)

    def call(self, route: str) -> Answer:
        """The route's sample call by the first who may."""
        caller = DOORS[route][0]
        if route == PHONE:
            # A code is good for one call, whatever becomes of it: who calls again has tapped again.
            return self.world.call(route, caller, {"code": f"phone:13800138000:{uuid.uuid4().hex}"})
        return self.world.call(route, caller)

    def rest(self) -> None:
        """The stream's two readers and the jobs have done all that there is to do."""
        for _ in range(ROUNDS):
            if not (self.reads() or self.works()):
                return
        raise AssertionError("it does not come to rest")

    def reads(self) -> bool:
        """Whether there was anything new in the stream; both readers have had it."""
        new = self.store.records(after=self.read)
        self.read += len(new)
        if new:
            failed = facts.handle_stream(event(new), now=self.now)
            assert failed == {"batchItemFailures": []}, failed
            deliveries.handle_stream(event(new), now=self.now)
        return bool(new)

    def works(self) -> bool:
        """Whether anything was due by later; its jobs have run."""
        shards = {row["due_shard"] for row in self.rows() if row.get("due_at", self.later + 1) <= self.later}
        jobs = sorted({shard.rpartition("#")[0] for shard in shards} - {"stuck"})
        for job in jobs:
            due.run(job=job, worker="rest", now=self.later, seconds=30)
        return bool(jobs)

    def rows(self, name: str = "truth") -> list[Plain]:
        """Every row of a table; those that are as they were kept have been read before."""
        items = [item for one in stored() if one.name == name for item in _items(one)]
        return [self.known.get(id(item)) or decoded(item.to_json()["Attributes"]) for item in items]

    def picture(self) -> Picture:
        """Every row of both tables by what it is, how it stands and how much it says; ids and times apart."""
        shown = (_shown(row) for one in stored() for row in self.rows(one.name))
        return Counter(row for row in shown if row)


def _items(table: Any) -> Iterator[Any]:
    """The rows of a table where the embedded store keeps them."""
    return (item for rows in table.items.values() for item in rows.values())


def _shown(row: Plain) -> tuple[tuple[str, str], ...]:
    """What can be compared of a row; nothing, where it only says how often somebody tried."""
    if row["kind"] in NOTES:
        return ()
    named = {name: value for name, value in row.items() if name not in COUNTS_ON}
    return tuple(sorted((name, _told(name, value)) for name, value in named.items()))


def _told(name: str, value: Any) -> str:
    if isinstance(value, int) and abs(value) < AGES:
        return str(value)
    if isinstance(value, str) and name in NAMED:
        return value
    return f"{len(value)} of them" if isinstance(value, set | list | dict) else type(value).__name__


def looks_here(weixin: wechat.Simulator) -> None:
    """The application looks at this WeChat and at a mall, and remembers nothing."""
    settle_in(weixin)
    config.override(mall_webhook_url=MALL)


def settled(stage: Stage) -> None:
    """What was planted has been reacted to, but for a message that is stuck and would be sent.

    Alice may apply for one more withdrawal, as here every call has a key of its own.
    """
    allowed = msgspec.convert({**TERMS, "open_at_once": 9}, EditWithdrawalTerms)
    withdrawal_terms.make(allowed, by=OWNER, now=stage.now)
    new = stage.store.records()
    stage.read = len(new)
    facts.handle_stream(event(new), now=stage.now)
    stage.rest()
    stage.keep()


@pytest.fixture(scope="module")
def stage(embedded_store: Store, world_wechat: wechat.Simulator) -> Iterator[Stage]:
    """The shop, planted once for all routes and brought to rest."""
    with staged(embedded_store, world_wechat) as there:
        yield there


@contextmanager
def staged(real: Store, weixin: wechat.Simulator, *, now: int | None = None) -> Iterator[Stage]:
    """The shop at rest, in the emptied embedded store, with a clock of its own; ``now``: when it is there."""
    with pytest.MonkeyPatch.context() as patch:
        now, store = now or clock.now(), Direct(real.client)
        patch.setenv("SECRET_WECHAT_DEMO", WECHAT_SECRET)
        patch.setattr(table, "_client", store)
        patch.setattr(clock, "now", lambda: now)
        patch.setattr(deliveries, "post", lambda body, *, delivery_id, now: None)
        looks_here(weixin)
        embedded.empty()
        world = planted(port=0, weixin=weixin)
        there = Stage(world=Near(**vars(world)), store=store, now=now)
        settled(there)
        patch.setattr(clock, "now", lambda: there.clock)
        yield there
    config.reset()
    table.reset()
