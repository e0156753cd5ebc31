"""One of several processes that race for the same thing, as several Lambdas would: `python -m tests.races.worker`.

It is told on its standard input, as JSON, what to do: ``case``, ``given`` and the ``endpoint``; says ``ready`` when
its caches are cold and its connections open, and waits for a line; then all its calls go at once, on threads of its
own, and it says what became of each. A call that is told "busy" is made again, as a phone would.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import tests.conftest  # noqa: F401 - the environment that the app wants
from chalicelib.core import cache, config, table
from chalicelib.coupons import templates
from chalicelib.groupbuys import reading
from chalicelib.members import service as members
from chalicelib.wechat import budgets
from tests import coupons, groupbuys, points, withdrawals
from tests.factories import NOW, PROGRAM
from tests.harness.races import race
from tests.races.arena import TRAFFIC, TRUTH, insisting

THREADS = 16
GATEWAYS = "sandbox manual mall"
Calls = Sequence[Callable[[], Any]]


def seats(given: Any) -> Calls:
    """Members who each want a seat in one group."""
    group = reading.find(given["group_id"])
    return [groupbuys.joining(group, groupbuys.buying(one)) for one in given["members"]]


def stock(given: Any) -> Calls:
    """Members who each claim a coupon of one template."""
    template = templates.find(given["template_id"], now=NOW)
    return [coupons.claiming(template, one) for one in given["members"]]


def sign_ins(given: Any) -> Calls:
    """One person who signs in for the first time, many times."""
    return [partial(_member_of, given["proof"])] * int(given["times"])


def _member_of(proof: str) -> str:
    return members.find_or_register(proofs=[proof], program_id=PROGRAM, now=NOW)[0].member_id


def spends(given: Any) -> Calls:
    """One account from which much is spent, each time for another cause."""
    return [
        partial(points.spend, given["amount"], owner=given["owner"], cause=one) for one in given["causes"]
    ]


def payouts(given: Any) -> Calls:
    """One member who takes their money out, many times."""
    return [partial(withdrawals.asked, given["fen"], owner=given["owner"], key=one) for one in given["keys"]]


def takes(given: Any) -> Calls:
    """Calls of WeChat, each of which is of one budget."""
    budgets.BUDGETS["code"] = budgets.Budget(a_minute=given["a_minute"])
    return [partial(budgets.take, given["appid"], "code", now=NOW)] * int(given["times"])


CASES: Mapping[str, Callable[[Any], Calls]] = {
    one.__name__: one for one in (seats, stock, sign_ins, spends, payouts, takes)
}


def main() -> None:
    """Do what is told once it is said to begin."""
    told = json.loads(sys.stdin.readline())
    config.override(dynamodb_endpoint=told["endpoint"], payout_gateways=GATEWAYS)
    config.override(truth_table=TRUTH, traffic_table=TRAFFIC)
    client: Any = table._new_client()
    table._client = client
    client.list_tables()
    calls = CASES[told["case"]](told["given"])
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
