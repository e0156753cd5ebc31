"""Settling very many commissions: `python -m bench.settlement`; 100,000 of 5,000 promoters, unless told otherwise.

It runs the job as it is deployed on a store that stands in for DynamoDB at the client (`bench.store`): conditions
are judged, transactions are all or nothing, and the due index loses what was done; the network, and DynamoDB's own
time and limits, are not there. So calls and write units are what counts; seconds say only that it ended. It fails
when a figure differs from the budget:

    transactions = sum over promoters of ceil(k / 98)      table units = 2k + 4 a transaction

for commissions of one line, whose row stays under 1 KB. Reads are two a batch: the commissions, and their orders.
"""

import argparse
import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from bench.store import Entry, Large, Made
from infra.local import environment

NOW = 1_767_232_800


def _order(order_id: str) -> Any:
    from chalicelib.orders.service import Order

    told: dict[str, Any] = {"member_id": "mbr_buyer", "purpose": "mall", "gateway": "mall", "quantity": 1}
    told |= {"amount_fen": 9900, "paid_fen": 9900, "refundable_fen": 9900}
    pk, sk = Order.key(order_id)
    return Order(
        pk,
        sk,
        state="completed",
        order_id=order_id,
        title="tea",
        created_at=NOW - 10,
        completed_at=NOW - 5,
        **told,
    )


def _commission(order_id: str, promoter_id: str, *, at: int) -> Any:
    from chalicelib.commissions import service
    from chalicelib.commissions.models import Commission
    from chalicelib.core import due, table

    commission_id = service.id_of(order_id, "L1")
    line = ["1", "tea", 1, 9900, 9900, "rte_00000000000000000000000000", 1, "bps", 1000, "default", 990]
    pk, sk = Commission.key(order_id, "L1")
    return Commission(
        pk,
        sk,
        state="due",
        commission_id=commission_id,
        order_id=order_id,
        level="L1",
        promoter_id=promoter_id,
        member_id="mbr_buyer",
        lines=[line],
        changes=[[NOW - 9, "made", "order.paid", 990], [NOW - 5, "due", "order.completed", 990]],
        amount_fen=990,
        order_left_fen=9900,
        policy=1,
        hold_days=7,
        made_at=NOW - 9,
        settles_at=at,
        **due.slot(job=service.JOB, pk=promoter_id, at=at, ref=promoter_id),
        **table.listed(f"{promoter_id}#commissions", at=NOW - 9, as_=commission_id),
    )


def a_shop(*, commissions: int, promoters: int) -> tuple[Made, dict[str, list[Entry]], Counter[str]]:
    """Orders that are done and commissions that are due, what is due of them, and how many of each promoter."""
    from chalicelib.commissions.settling import JOB
    from chalicelib.core import due

    of: Counter[str] = Counter()
    entries: dict[str, list[Entry]] = defaultdict(list)
    for n in range(commissions):
        promoter_id = _promoter(n, promoters)
        of[promoter_id] += 1
        pk = f"COMMISSION#ord_{n:026d}"
        entry = Entry(NOW - n % 997, pk, "L1", promoter_id, "commission")
        entries[due.shard_of(JOB, promoter_id)].append(entry)

    order, commission = _order("ord_x").serialize(), _commission("ord_x", "mbr_x", at=NOW).serialize()

    def made(pk: str, sk: str) -> Any:
        kind, _, order_id = pk.partition("#")
        if kind == "ORDER" and sk == "META":
            return {**order, "pk": {"S": pk}, "order_id": {"S": order_id}}
        if kind != "COMMISSION":
            return None
        return {**commission, **_own(order_id, _promoter(int(order_id[4:]), promoters))}

    return made, entries, of


def _own(order_id: str, promoter_id: str) -> dict[str, Any]:
    """What tells one commission from the others."""
    from chalicelib.commissions import service
    from chalicelib.core import due

    commission_id = service.id_of(order_id, "L1")
    at = NOW - int(order_id[4:]) % 997
    texts = {
        "pk": f"COMMISSION#{order_id}",
        "commission_id": commission_id,
        "order_id": order_id,
        "promoter_id": promoter_id,
        "owner": f"{promoter_id}#commissions",
        "listed_at": f"{NOW - 9:011d}#{commission_id}",
        "due_ref": promoter_id,
        "due_shard": due.shard_of(service.JOB, promoter_id),
    }
    return {**{name: {"S": text} for name, text in texts.items()}, "due_at": {"N": str(at)}}


def _promoter(n: int, promoters: int) -> str:
    return f"mbr_{n % promoters:026d}"


def measured(client: Any, *, commissions: int, promoters: int) -> dict[str, int]:
    """The figures of one whole settlement, and what they should be; ``client`` is a real one, of nothing."""
    from chalicelib.commissions import settling
    from chalicelib.core import due, ledger, table
    from tests.harness.counter import counting

    made, entries, of = a_shop(commissions=commissions, promoters=promoters)
    table._client = Large(client, made=made, due=entries)
    batches = sum(math.ceil(k / settling.MOST) for k in of.values())
    with counting(table.client()) as spent:
        handled = failed = 0
        while handled < commissions and not failed:
            ran = due.run(job=settling.JOB, worker=f"bench-{handled}", now=NOW + handled, seconds=3600)
            handled, failed = handled + ran.handled, failed + ran.failed
            if not ran.handled:
                break
    money = sum(ledger.balance(owner=promoter_id, book="money") for promoter_id in of)
    return {
        "commissions": commissions,
        "promoters": len(of),
        "settled": handled,
        "failed": failed,
        "fen": money,
        "fen expected": commissions * 990,
        "transactions": spent.operations["TransactWriteItems"],
        "transactions expected": batches,
        "batch reads": spent.operations["BatchGetItem"],
        "batch reads expected": 2 * batches,
        "index queries": spent.operations["Query"],
        "leases": spent.operations["UpdateItem"],
        "table units": spent.table_units - spent.operations["UpdateItem"],
        "table units expected": 2 * commissions + 4 * batches,
        "index units": spent.index_units,
        "index units expected": 2 * commissions + 2 * batches,
    }


def main(argv: Sequence[str]) -> int:
    """Print the figures; 1 when one is not as expected."""
    asked = argparse.ArgumentParser(prog="bench.settlement", description=__doc__)
    asked.add_argument("--commissions", type=int, default=100_000)
    asked.add_argument("--promoters", type=int, default=5_000)
    asked.add_argument("--shards", type=int, default=16, help="DUE_SHARDS of the deployment")
    given = asked.parse_args(argv)
    started = time.monotonic()
    with stood_up(shards=given.shards) as client:
        found = measured(client, commissions=given.commissions, promoters=given.promoters)
    for name, value in found.items():
        print(f"{name:24}{value:>14,}")
    print(f"{'seconds, here':24}{time.monotonic() - started:>14,.0f}")
    wrong = [
        name for name in found if f"{name} expected" in found and found[name] != found[f"{name} expected"]
    ]
    for name in wrong:
        print(f"{name} is not as expected")
    return 1 if wrong or found["failed"] else 0


def stood_up(*, shards: int) -> Any:
    """A client that knows the tables, with the app set up for it, for as long as it is entered."""
    from contextlib import contextmanager

    @contextmanager
    def standing() -> Any:
        environment.prepare(wechat_url="http://127.0.0.1:1", endpoint="", mall_webhook_url="")
        from chalicelib.core import config, table
        from infra.local import embedded, tables
        from infra.local.clients import Store, pretend_credentials

        pretend_credentials()
        embedded.start()
        try:
            store = Store()
            tables.create(store.client)
            config.override(due_shards=shards)
            yield store.client
        finally:
            table.reset()
            config.reset()
            embedded.stop()

    return standing()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
