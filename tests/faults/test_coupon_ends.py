"""How coupons end when any call fails: let go, taken away, kept by their giver, reminded of, expired; each once."""

from collections.abc import Callable

import pytest

from chalicelib.core import cache, config, due, facts, table
from chalicelib.core.clock import DAY
from chalicelib.core.facts import Fact
from chalicelib.coupons import expiring, gifts, service, templates, using
from chalicelib.coupons.models import Reminder
from chalicelib.coupons.using import CouponInUse
from infra.local.clients import Store
from tests.coupons import LAST_DAY, again
from tests.factories import NOW, OWNER, books
from tests.faults.test_coupons import (
    World,
    check_books,
    planted_once,
    with_a_coupon,
    with_a_gift,
    with_a_lock,
)
from tests.harness.faults import each_fault

pytestmark = pytest.mark.usefixtures("direct")

LOCK_OVER = NOW + 1800
GIFT_OVER = NOW + gifts.OPEN_FOR_S


def working(job: str, handle: Callable[[due.Entry, int], None], *, now: int) -> Callable[[World], None]:
    """What a run of the job does: all that is due by now, whatever that still is."""

    def operation(world: World) -> None:
        for entry in list(due._due(f"{job}#0", now=now)):
            handle(entry, now)

    return operation


def is_now(state: str, *, rev: int) -> Callable[[World], None]:
    """The coupon came to this state in so many steps, and all that belongs to it says so."""

    def check(world: World) -> None:
        coupon = again(world.coupon)
        assert (coupon.state, coupon.rev) == (state, rev)
        check_books(table.client(), world)

    return check


@pytest.mark.parametrize(
    "operation",
    [
        lambda world: using.release("M-1", now=NOW),
        working(service.JOB, expiring.do_due, now=LOCK_OVER),
    ],
    ids=["by the mall", "by the job"],
)
def test_a_lock_is_let_go_once(operation: Callable[[World], object], store: Store) -> None:
    def check(world: World) -> None:
        is_now("unused", rev=3)(world)
        coupon = again(world.coupon)
        assert coupon.order_ref is None
        assert (coupon.due_ref, coupon.due_at) == ("expire", LAST_DAY)
        assert using.show("M-1").state == "released"

    each_fault(operation, client=table.client(), setup=planted_once(with_a_lock), check=check)


def test_a_coupon_is_taken_away_once_with_one_line_in_the_trail(store: Store) -> None:
    def operation(world: World) -> None:
        using.void(world.alice, world.coupon.coupon_id, reason="a mistake", by=OWNER, now=NOW)

    def check(world: World) -> None:
        is_now("void", rev=2)(world)
        assert len(books(store.client).of("audit", action="coupon.voided")) == 1

    each_fault(operation, client=table.client(), setup=planted_once(with_a_coupon), check=check)


def test_what_a_cause_gave_is_taken_back_once_with_its_unit(store: Store) -> None:
    def granted() -> World:
        world = with_a_coupon()
        table.transact(service.granted(world.template.template_id, world.bob, cause="a cause", now=NOW))
        cache.clear_all()
        return world

    def operation(world: World) -> None:
        back = using.taken_back(world.template.template_id, world.bob, cause="a cause", now=NOW)
        table.transact(back)

    def check(world: World) -> None:
        [coupon] = service.all_of(world.bob)
        assert (coupon.state, coupon.rev, coupon.unit_back) == ("void", 2, True)
        [shard] = templates.stock_of(world.template).values()
        assert (shard.left, shard.issued) == (9, 1)

    # Told again, it is void; who takes back knows by its own marker that it was this very call.
    each_fault(
        operation,
        client=table.client(),
        setup=planted_once(granted),
        check=check,
        may_refuse=(CouponInUse,),
    )


@pytest.mark.parametrize(
    "operation",
    [
        lambda world: gifts.take_back(world.alice, world.coupon.coupon_id, now=NOW),
        working(gifts.JOB, gifts.end_gift, now=GIFT_OVER),
    ],
    ids=["by its giver", "by the job"],
)
def test_a_gift_that_nobody_took_comes_back_once(operation: Callable[[World], object], store: Store) -> None:
    def check(world: World) -> None:
        is_now("unused", rev=3)(world)
        gift, coupon = gifts.find(world.code), again(world.coupon)
        assert (gift.state, gift.rev, coupon.due_ref) == ("back", 2, "expire")
        assert gift.due_at is None and coupon.gift_code is None

    each_fault(operation, client=table.client(), setup=planted_once(with_a_gift), check=check)


def reminding() -> World:
    """A coupon that is to be reminded of a day before it ends."""
    return with_a_coupon(remind_before_s=DAY)


def test_a_coupon_is_noticed_once_before_it_ends(store: Store) -> None:
    def check(world: World) -> None:
        is_now("unused", rev=2)(world)
        coupon, noticed = again(world.coupon), books(store.client).only("coupon_reminder")
        assert (coupon.due_ref, coupon.due_at) == ("expire", LAST_DAY)
        assert (noticed["coupon_id"], noticed["due_ref"]) == (coupon.coupon_id, "coupon.expiring")

    each_fault(
        working(service.JOB, expiring.do_due, now=LAST_DAY - DAY),
        client=table.client(),
        setup=planted_once(reminding),
        check=check,
    )


def test_the_mall_is_told_once_that_a_coupon_ends(store: Store) -> None:
    config.override(mall_webhook_url="http://127.0.0.1:1/hook")

    def noticed() -> World:
        world = reminding()
        working(service.JOB, expiring.do_due, now=LAST_DAY - DAY)(world)
        cache.clear_all()
        return world

    def operation(world: World) -> None:
        pk, sk = Reminder.key(world.coupon.coupon_id)
        fact = Fact(name="coupon.expiring", pk=pk, sk=sk, rev=1, owed=True)
        facts.dispatch(fact, now=LAST_DAY - DAY)

    def check(world: World) -> None:
        [letter] = books(store.client).of("delivery", type="coupon.expiring")
        assert world.coupon.coupon_id in str(letter)
        assert books(store.client).only("coupon_reminder").get("due_at") is None

    each_fault(operation, client=table.client(), setup=planted_once(noticed), check=check)


def test_a_coupon_expires_once(store: Store) -> None:
    each_fault(
        working(service.JOB, expiring.do_due, now=LAST_DAY),
        client=table.client(),
        setup=planted_once(with_a_coupon),
        check=is_now("expired", rev=2),
    )
