"""Several processes race for what is scarce, each with a client, caches and threads of its own, as Lambdas do."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from chalicelib.core import config, ledger
from tests import coupons, groupbuys, points, withdrawals
from tests.factories import a_member, an_openid
from tests.races.arena import Arena
from tests.races.worker import CASES, GATEWAYS, THREADS

pytestmark = [pytest.mark.engine, pytest.mark.alone("coupons", "groupbuys", "orders", "points")]
PROCESSES = 3
EACH = THREADS
ALL = PROCESSES * EACH


@dataclass(frozen=True, kw_only=True)
class Told:
    """What became of all calls of all processes."""

    names: Counter[str]
    values: set[str]


def raced(arena: Arena, case: str, *shares: Any) -> Told:
    """Each process has its share; all begin when all are ready."""
    assert case in CASES
    endpoint = arena.client.meta.endpoint_url
    command = [sys.executable, "-m", "tests.races.worker"]
    running = [_started(command, case, share, endpoint) for share in shares]
    for one in running:
        assert _line(one) == "ready"
    for one in running:
        _tell(one, "go")
    outcomes = [pair for one in running for pair in _line(one)]
    assert [one.wait(timeout=30) for one in running] == [0] * len(running)
    names = Counter(name for name, _ in outcomes)
    return Told(names=names, values={said for _, said in outcomes if said})


def _started(command: list[str], case: str, given: Any, endpoint: str) -> "subprocess.Popen[str]":
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, **piped)  # type: ignore[call-overload]
    _tell(process, json.dumps({"case": case, "given": given, "endpoint": endpoint}))
    return process  # type: ignore[no-any-return]


def _tell(process: "subprocess.Popen[str]", line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def _line(process: "subprocess.Popen[str]") -> Any:
    """What it says next, other than in its log."""
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith("{"):
            return json.loads(line)
    raise AssertionError(f"it ended with {process.wait()}")


def shared(people: list[str]) -> list[list[str]]:
    """So many for each process."""
    return [people[n::PROCESSES] for n in range(PROCESSES)]


def test_seats_of_a_group(arena: Arena) -> None:
    campaign = groupbuys.a_campaign(sizes={5: 8900})
    group = groupbuys.open_paid_group(campaign)
    shares = [{"group_id": group.group_id, "members": some} for some in shared(groupbuys.buyers(ALL))]

    told = raced(arena, "seats", *shares)

    assert told.names == Counter(won=4, group_full=ALL - 4)
    groupbuys.check(arena, campaign)


def test_the_stock_of_a_coupon(arena: Arena) -> None:
    template = coupons.a_template(stock=20, stock_shards=2)
    shares = [
        {"template_id": template.template_id, "members": some} for some in shared(groupbuys.buyers(ALL))
    ]

    told = raced(arena, "stock", *shares)

    assert told.names == Counter(won=20, coupon_sold_out=ALL - 20)
    assert coupons.broken(arena, template, stock=20) == []


def test_one_person_who_signs_in_everywhere_at_once(arena: Arena) -> None:
    proof = an_openid()

    told = raced(arena, "sign_ins", *[{"proof": proof, "times": EACH}] * PROCESSES)

    assert told.names == Counter(won=ALL) and len(told.values) == 1
    assert [row["member_id"] for row in arena.rows("member")] == list(told.values)


def test_an_account_that_is_spent_from_everywhere(arena: Arena) -> None:
    owner = a_member()
    points.earn(100, owner=owner, cause="first")
    causes = shared([f"c{n}" for n in range(ALL)])

    told = raced(arena, "spends", *[{"owner": owner, "amount": 7, "causes": some} for some in causes])

    assert told.names["won"] == 14 and len(told.names) == 2
    assert ledger.balance(owner=owner, book="points") == 2
    assert ledger.drift(owner=owner, book="points").none


def test_money_that_is_taken_out_everywhere(arena: Arena) -> None:
    config.override(payout_gateways=GATEWAYS)
    withdrawals.terms(open_at_once=10)
    withdrawals.earn(1000)
    keys = shared([f"k{n}" for n in range(ALL)])

    told = raced(arena, "payouts", *[{"owner": withdrawals.ALICE, "fen": 300, "keys": some} for some in keys])

    assert told.names["won"] == 3 and len(told.names) == 2
    kinds = ("account", "entry", "hold", "withdrawal", "withdrawal_purse", "withdrawal_month")
    assert withdrawals.broken([row for kind in kinds for row in arena.rows(kind)]) == []


def test_a_budget_of_wechat_s(arena: Arena) -> None:
    share = {"appid": "wx1", "a_minute": 30, "times": EACH}

    told = raced(arena, "takes", *[share] * PROCESSES)

    assert told.names == Counter(won=30, wechat_budget_spent=ALL - 30)
    assert [row["n"] for row in arena.rows("wechat_budget")] == [30]
