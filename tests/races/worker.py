"""One of several processes that race for the same things, as several Lambdas would: `python -m tests.races.worker`.

It is told an endpoint, and then of one race after another, a line of JSON each with the ``case`` and what is
``given``; says ``ready`` when its caches are cold, and waits for a line; then all its calls go at once, on threads
of its own, and it says what became of each. A call that is told "busy" is made again, as a phone would.
"""

import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import tests.conftest  # noqa: F401 - the environment that the app wants
from chalicelib.checkins.service import check_in
from chalicelib.core import cache, config, due, facts, limits, structs, table, webhooks
from chalicelib.core.errors import Conflict
from chalicelib.core.facts import Fact
from chalicelib.coupons import codes, gifts, packs, templates
from chalicelib.groupbuys import reading
from chalicelib.members import service as members
from chalicelib.notifications import sending
from chalicelib.operators import stuck
from chalicelib.points import exchanges
from chalicelib.sharing import attribution
from chalicelib.sharing import service as sharing
from chalicelib.uploads import service as uploaded
from chalicelib.wechat import budgets, client, tokens
from chalicelib.wechat.client import App
from tests import coupons, groupbuys, notifications, points, uploads, withdrawals
from tests.factories import NOW, OWNER, PROGRAM, a_program, a_share, a_visit, a_word
from tests.harness.races import race
from tests.races.arena import TRAFFIC, TRUTH, insisting, unconditionally

THREADS = 16
GATEWAYS = "sandbox manual mall"
Calls = Sequence[Callable[[], Any]]


class SoldOut(Conflict):
    """What the careless shop says."""

    code = "sold_out"


def careless_claims(given: Any) -> Calls:
    """Claims by a rule that is a read: it is made before anybody takes anything."""
    [shard] = templates.stock_of(templates.find(given["template_id"], now=NOW)).values()
    left = shard.left

    def claim() -> None:
        if left < 1:
            raise SoldOut
        shard.left = left - 1
        unconditionally(shard)

    return [claim] * THREADS


def seats(given: Any) -> Calls:
    """Members who each want a seat in one group."""
    group = reading.find(given["group_id"])
    return [groupbuys.joining(group, groupbuys.buying(one)) for one in given["each"]]


def claims(given: Any) -> Calls:
    """Members who each claim a coupon of one template."""
    template = templates.find(given["template_id"], now=NOW)
    return [coupons.claiming(template, one) for one in given["each"]]


def printed(given: Any) -> Calls:
    """Members who have all found one printed code."""
    return [partial(codes.use, given["code"], one, now=NOW) for one in given["each"]]


def pieces(given: Any) -> Calls:
    """Friends who each take a piece of one pack."""
    return [partial(packs.take, given["pack_id"], one, now=NOW) for one in given["each"]]


def presents(given: Any) -> Calls:
    """Friends who were all sent one gift."""
    return [partial(gifts.accept, given["code"], one, now=NOW) for one in given["each"]]


def days(given: Any) -> Calls:
    """One member who checks in on one day, many times."""
    ask: Any = {"campaign_id": given["campaign_id"], "member_id": given["member_id"]}
    return [partial(check_in, **ask, said=None, now=NOW) for _ in given["each"]]


def wares(given: Any) -> Calls:
    """Members who each buy one thing with points."""
    ask: Any = {"idempotency_key": None, "now": NOW}
    return [partial(exchanges.exchange, given["exchange_id"], member_id=one, **ask) for one in given["each"]]


def sign_ins(given: Any) -> Calls:
    """One person who signs in for the first time, many times."""
    return [partial(_member_of, given["proof"]) for _ in given["each"]]


def _member_of(proof: str) -> str:
    return members.find_or_register(proofs=[proof], program_id=PROGRAM, now=NOW)[0].member_id


def programs(given: Any) -> Calls:
    """Operators who each add a mini-program."""
    return [partial(members.add_program, a_program(one), by=OWNER, now=NOW) for one in given["each"]]


def mints(given: Any) -> Calls:
    """One member who shares one thing, many times; which link it is."""
    asked = a_share(target=given["target"])
    return [partial(_code_of, given["sharer_id"], asked) for _ in given["each"]]


def _code_of(sharer_id: str, asked: Any) -> str:
    return sharing.mint(sharer_id=sharer_id, wanted=asked, now=NOW)[0].code


def bindings(given: Any) -> Calls:
    """One member who comes by many links, each of another promoter."""
    visits = [a_visit(link=sharing.find(code, now=NOW)) for code in given["each"]]
    return [partial(_bound, given["member_id"], visit) for visit in visits]


def _bound(member_id: str, visit: Any) -> str | None:
    made = attribution.bind(member_id, visit=visit, now=NOW)
    return None if made is None else made.promoter_id


def told(given: Any) -> Calls:
    """Facts that the stream brings; ``each``: name, key and revision."""
    some = [Fact(name=name, pk=pk, sk=sk, rev=rev, owed=False) for name, pk, sk, rev in given["each"]]
    return [partial(facts.dispatch, one, now=NOW) for one in some]


def spends(given: Any) -> Calls:
    """One account from which much is spent, each time for another cause."""
    return [partial(points.spend, given["amount"], owner=given["owner"], cause=one) for one in given["each"]]


def payouts(given: Any) -> Calls:
    """One member who takes their money out, many times."""
    return [partial(withdrawals.asked, given["fen"], owner=given["owner"], key=one) for one in given["each"]]


def decisions(given: Any) -> Calls:
    """Operators who each settle one thing in their own way."""
    ask: Any = {"reason": "x", "by": OWNER, "now": NOW}
    return [partial(stuck.settle, stuck_id=given["stuck_id"], how=one, **ask) for one in given["each"]]


def signed(given: Any) -> Calls:
    """Calls of the mall that say different things under one id."""
    bodies = [(one, webhooks.sign(one, webhook_id=given["webhook_id"], now=NOW)) for one in given["each"]]
    ask: Any = {"method": "POST", "target": "/v1/mall/events", "now": NOW}
    return [partial(webhooks.verify, headers=head, body=body.encode(), **ask) for body, head in bodies]


def messages(given: Any) -> Calls:
    """Workers who each send a message; ``each``: where it is due. Whether WeChat was asked to show it."""
    here = threading.local()

    def call(*_: Any, **__: Any) -> dict[str, Any]:
        here.shown = "shown"
        return {"errcode": 0}

    def send(entry: due.Entry) -> str | None:
        here.shown = None
        sending.send(entry, by=a_word(), now=NOW)
        shown: str | None = here.shown
        return shown

    client.call, tokens.current = call, _a_token
    return [partial(send, due.Entry(**one)) for one in given["each"]]


def _a_token(app: App, *, now: int) -> str:
    return "token"


def taps(given: Any) -> Calls:
    """One member who allows messages; ``each``: the tap."""
    return [partial(notifications.tapped, given["member_id"], tap_id=one) for one in given["each"]]


def pictures(given: Any) -> Calls:
    """One member who begins uploads, each for another tap."""
    uploaded.A_DAY = given["a_day"]
    return [partial(_begun, given["member_id"], one) for one in given["each"]]


def _begun(member_id: str, key: str) -> str:
    return uploads.begun(member_id, key=key).upload_id


def admissions(given: Any) -> Calls:
    """One member who calls one route, from processes that have counted their own share already."""

    def counted(*_: Any, **__: Any) -> int:
        return int(given["a_minute"])

    limits._counted.peek = counted  # type: ignore[method-assign]
    ask: Any = {"a_minute": given["a_minute"], "now": NOW}
    return [partial(limits.admit, given["member_id"], "POST /v1/links", **ask) for _ in given["each"]]


def takes(given: Any) -> Calls:
    """Calls of WeChat, each of which is of one budget."""
    budgets.BUDGETS["code"] = budgets.Budget(a_minute=given["a_minute"])
    return [partial(budgets.take, given["appid"], "code", now=NOW) for _ in given["each"]]


CASES: Mapping[str, Callable[[Any], Calls]] = {
    one.__name__: one
    for one in (
        careless_claims,
        seats,
        claims,
        printed,
        pieces,
        presents,
        days,
        wares,
        sign_ins,
        programs,
        mints,
        bindings,
        told,
        spends,
        payouts,
        decisions,
        signed,
        messages,
        taps,
        pictures,
        admissions,
        takes,
    )
}


def main() -> None:
    """Race as often as it is told to."""
    endpoint = sys.stdin.readline().strip()
    config.override(dynamodb_endpoint=endpoint, payout_gateways=GATEWAYS, payment_gateway="sandbox")
    config.override(truth_table=TRUTH, traffic_table=TRAFFIC)
    client: Any = table._new_client()
    table._client = client
    client.list_tables()
    structs.make_known()
    while asked := sys.stdin.readline():
        _race(json.loads(asked))


def _race(asked: Mapping[str, Any]) -> None:
    calls = CASES[asked["case"]](asked["given"])
    cache.clear_all()
    _say("ready")
    sys.stdin.readline()
    outcomes = race(*map(insisting, calls), threads=THREADS)
    _say([[one.name, one.value if isinstance(one.value, str) else None] for one in outcomes])


def _say(told: Any) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
