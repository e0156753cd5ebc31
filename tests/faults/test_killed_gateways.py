"""The jobs that talk to WeChat Pay, as processes killed between their calls: said once, and both books agree.

The shop of `test_killed_jobs` has no WeChat Pay. Here a worker is killed before and after each of its writes, which
is after and before whatever it says to WeChat between two of them; then the next worker comes, when its lease is
over. `make test` kills at one write in the middle and at the last; ``FAULTS=all`` at each.
"""

import functools
from collections.abc import Callable, Iterator

import pytest

from chalicelib.core import cache, config, due, table
from chalicelib.core.clock import DAY
from chalicelib.members import service as members
from chalicelib.orders import bills, shipping
from chalicelib.orders import service as orders
from chalicelib.orders.models import Bill
from chalicelib.orders.service import REFUND_JOB, Back
from chalicelib.wechat import bills as files
from chalicelib.wechat import pay
from chalicelib.withdrawals import transfers
from chalicelib.withdrawals.models import Withdrawal
from chalicelib.withdrawals.service import TRANSFER_JOB
from infra.local.wechat import DEMO_PROGRAMS, notices
from infra.local.wechat.transfers import Transfers
from tests.factories import NOW, OWNER, PROGRAM, TODAY, a_program, a_word, emptied
from tests.faults.test_transfers import FEN, OVER, applied, begun, shop, taken, to_the_end, waiting
from tests.harness.direct import Direct
from tests.harness.faults import EVERY, PROCESS, note, recording
from tests.harness.killing import killed
from tests.harness.merchant import APPID
from tests.harness.wire import WRITES
from tests.integration.test_shipping import PARCEL, a_filled, told
from tests.paying import Desk, at_the_desk
from tests.transfers import Shop

__all__ = ["shop"]

pytestmark = [pytest.mark.alone("groupbuys", "orders"), pytest.mark.usefixtures("direct")]


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, direct: Direct) -> Iterator[Desk]:
    with at_the_desk(monkeypatch) as there:
        monkeypatch.setenv("SECRET_WECHAT_WECHAT_DEMO", DEMO_PROGRAMS[APPID])
        config.override(wechat_url=there.simulator.url)
        there.simulator.platform.faults |= {"/notices/refunds": "withheld"}
        yield there


Scene = Callable[[], tuple[str, int, Callable[[], None]]]
"""Lays it out; the job, when it runs, and what must hold after the next run."""


def work(job: str, *, now: int) -> due.Ran:
    """The job, by a worker who speaks to WeChat over connections of its own."""
    pay._pool.cache_clear()
    return due.run(job=job, worker=a_word("w"), now=now, seconds=30)


def every_kill(direct: Direct, scene: Scene) -> int:
    """The scene laid anew and its job killed at a write, each in turn; how many writes there are."""
    job, now, check = scene()
    with recording(direct) as calls:
        work(job, now=now)
    check()
    writes = sum(call in WRITES for call in calls)
    for number in range(1, writes + 1) if EVERY else sorted({(writes + 1) // 2, writes}):
        for moment in ("before", "after"):
            job, now, check = scene()
            assert killed(direct, functools.partial(work, job, now=now), **{moment: number})
            note(fault=PROCESS, call=number, came_through=False)
            cache.clear_all()
            check()
    return writes


@pytest.mark.parametrize(
    ("plant", "now", "state"),
    [
        (applied, NOW, "expired"),
        (begun, NOW, "expired"),
        (waiting, OVER, "expired"),
        (taken, OVER, "paid"),
    ],
    ids=["send", "send again", "close", "close what was taken"],
)
def test_a_killed_transfer_is_sent_once_and_ends_once(
    shop: Shop, direct: Direct, plant: Callable[[Shop], Withdrawal], now: int, state: str
) -> None:
    shop.deaf = True

    def scene() -> tuple[str, int, Callable[[], None]]:
        emptied()
        cache.clear_all()
        vars(shop.bank).update(vars(Transfers()))
        row = plant(shop)

        def check() -> None:
            shop.at(now + due.LEASE_S)
            found = to_the_end(shop, row)
            assert found["state"] == state
            assert set(shop.bank.by_number) == {transfers.number_of(row.withdrawal_id)}
            assert shop.bank.paid_fen == (FEN if state == "paid" else 0)

        return TRANSFER_JOB, shop.at(now), check

    assert every_kill(direct, scene) >= 2


def opened(desk: Desk) -> None:
    """A shop and a WeChat in which nothing has happened."""
    emptied()
    cache.clear_all()
    desk.platform._parts.clear()
    desk.platform.of(notices.Notices).transport = desk.take
    members.add_program(a_program(PROGRAM, appid=APPID), by=OWNER, now=NOW)


def test_a_killed_word_of_a_parcel_is_told_once(desk: Desk, direct: Direct) -> None:
    def scene() -> tuple[str, int, Callable[[], None]]:
        opened(desk)
        order = a_filled(desk)
        shipping.note(order, PARCEL, now=NOW)

        def check() -> None:
            assert work(shipping.JOB, now=NOW + due.LEASE_S).failed == 0
            assert len(told(desk, order)) == 1
            shipment = shipping.of(order.order_id)
            assert shipment is not None
            assert shipment.state == "told" and shipment.due_shard is None

        return shipping.JOB, NOW, check

    assert every_kill(direct, scene) >= 2


def test_a_killed_comparison_of_a_bill_takes_what_nobody_told_once(desk: Desk, direct: Direct) -> None:
    """One payment was told; of another, and of a refund that is done, the bill is the first to tell."""
    morning = files.there_at(TODAY, hour=10, minute=30)

    def scene() -> tuple[str, int, Callable[[], None]]:
        opened(desk)
        group = desk.a_group(sizes={9: 8900})
        given, untold = desk.took(desk.a_seat(group=group)), desk.a_seat(group=group)
        orders.refund(given.order_id, back=Back(reason="operator"), now=NOW)
        assert work(REFUND_JOB, now=NOW).failed == 0
        desk.platform.faults["/notices/payments"] = "withheld"
        desk.pays(untold)
        bills.plan(now=NOW + DAY)
        # What the child says of the time, it says to itself.
        desk.platform.clock = lambda: float(morning)

        def check() -> None:
            for again in range(3):
                assert work(bills.JOB, now=morning + (again + 1) * 3600 + due.LEASE_S).failed == 0
            bill = table.get(Bill, Bill.key(TODAY))
            assert bill is not None
            assert (bill.state, bill.payments, bill.refunds, bill.differences) == ("agrees", 3, 1, 0)
            assert (
                desk.differs(orders.show(given.order_id)) == desk.differs(orders.show(untold.order_id)) == []
            )

        return bills.JOB, morning, check

    assert every_kill(direct, scene) >= 4
