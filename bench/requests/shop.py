"""A shop whose every route is called as Lambda calls it: an event in, an answer out, with all that is cached warm.

with opened() as shop:
    made = shop.made("POST /v1/coupons/{template_id}/claims")
    made.spent.calls, made.spent.table_units      # of the second call of a process, on the same rows

It is the shop of the fault suite, in which each route has a sample call that succeeds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from chalicelib.checkins.service import check_in
from chalicelib.core import clock
from chalicelib.coupons import templates
from chalicelib.coupons.schemas import MakeTemplate
from chalicelib.members import service as members
from infra.local import embedded, tables, wechat
from infra.local.clients import Store
from tests.doors import DOORS
from tests.factories import OWNER
from tests.faults.sweep import Near, Stage, staged
from tests.harness.counter import Spent, counting
from tests.harness.gateway import Ask, Event, answered
from tests.harness.wire import READS, WRITES, Call, Params, wrapped
from tests.samples import COUPON
from tests.world import Answer, World, person

NEWCOMER = "newcomer"
NOON = 1_768_449_600
"""2026-01-15 12:00 in Shanghai: no first of a month, on which a check-in reads and writes one row more."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One call of the store, and what it answered."""

    operation: str
    params: Params
    answer: Params


@dataclass(frozen=True, kw_only=True)
class Made:
    """One request: what Lambda is given, what it gives back, and what was asked of the store meanwhile."""

    route: str
    event: Event
    answer: Event
    spent: Spent
    asked: tuple[Asked, ...]

    @property
    def status(self) -> int:
        """Of the answer."""
        return int(self.answer["statusCode"])

    @property
    def bytes_out(self) -> int:
        """Of the answer's body."""
        return len(self.answer["body"].encode())


class Doorstep(Near):
    """The same world, where a request is only noted: what Lambda would be given of it."""

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Raises Noted with the event."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        bare, _, query = path.partition("?")
        raise Noted(Ask(method=method, path=bare, query=query, body=body or b"", headers=named).proxied)


class Noted(Exception):
    """A request that was not sent."""

    def __init__(self, event: Event) -> None:
        super().__init__(event["path"])
        self.event = event


class Shop:
    """The shop, and how it is called."""

    def __init__(self, stage: Stage) -> None:
        names, bearers = newcomer(stage.world, now=stage.now)
        there = stage.world
        more: Any = {"names": {**there.names, **names}, "bearers": {**there.bearers, **bearers}}
        stage.world = Doorstep(**{**vars(there), **more})
        stage.rest()
        stage.keep()
        self._stage = stage

    def event(self, route: str, *, by: str = "") -> Event:
        """What Lambda is given of a route's sample call, which nobody has made yet."""
        try:
            self._stage.world.call(route, by or DOORS[route][0])
        except Noted as noted:
            return noted.event
        raise AssertionError("it was sent")

    def made(self, route: str, *, by: str = "") -> Made:
        """The second call of a process, which finds the rows as the first found them."""
        self._stage.restore()
        answered(self.event(route, by=by))
        self._stage.rewind()
        event, asked = self.event(route, by=by), list[Asked]()
        with counting(self._stage.store) as spent, _noting(self._stage.store, asked):
            answer = answered(event)
        return Made(route=route, event=event, answer=answer, spent=spent, asked=tuple(asked))


def newcomer(world: World, *, now: int) -> tuple[dict[str, str], dict[str, str]]:
    """Somebody who has checked in once, yesterday, and a template of which everybody may have one."""
    gina = person("gina", now=now)
    check_in(campaign_id=world.names["checkin_id"], member_id=gina.member_id, said=None, now=now - clock.DAY)
    given = msgspec.convert({**COUPON, "per_member": 1, "stock": 20}, MakeTemplate)
    template = templates.make(given, templates.Making(by=OWNER, now=now))
    token = members.token_for(gina, program_id="demo", visitor="a-visitor", now=now)[0]
    return {"template_id": template.template_id}, {NEWCOMER: token}


@contextmanager
def opened() -> Iterator[Shop]:
    """The shop on the embedded store, for as long as it is looked at."""
    embedded.start()
    weixin = wechat.start(wechat.DEMO_PROGRAMS)
    try:
        there = Store()
        tables.create(there.client)
        with opened_in(there, weixin) as shop:
            yield shop
    finally:
        weixin.stop()
        embedded.stop()


@contextmanager
def opened_in(store: Store, weixin: wechat.Simulator) -> Iterator[Shop]:
    """The same in a store that is there already, and is emptied."""
    with staged(store, weixin, now=NOON) as stage:
        yield Shop(stage)


@contextmanager
def _noting(client: Any, asked: list[Asked]) -> Iterator[None]:
    def layer(below: Call, operation: str, params: Params) -> Params:
        answer = below(operation, params)
        if operation in READS | WRITES:
            asked.append(Asked(operation=operation, params=params, answer=answer))
        return answer

    with wrapped(client, layer):
        yield
