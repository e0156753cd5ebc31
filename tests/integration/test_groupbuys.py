"""Group-buys: a seat once, a group filled or ended, and every payment seated or given back, however late.

The ten bugs of the field (research/malls.md 3, 1-10), and the tests that they are not here:

    1   yudao: members recounted in the joiner's own transaction
        test_two_who_pay_at_once_for_the_last_two_seats_fill_the_group
        test_two_who_join_at_once_for_one_seat_never_share_it
    2   yudao: "full" thrown in the payment's callback
        test_a_payment_for_a_group_that_is_full_is_taken_and_finds_a_place_or_its_way_back
    3   yudao: expiry overwrites what happened meanwhile; one bad order holds up all
        test_a_payment_that_comes_while_the_group_is_ended_is_not_overwritten
        test_one_group_that_cannot_be_ended_holds_up_no_other
    4   CRMEB: no look at "full" when the payment lands
        test_who_pays_after_the_group_was_filled_is_refunded_without_a_person
    5   CRMEB: three expirers at once
        test_a_group_that_is_ended_by_two_at_once_is_refunded_once
    6   CRMEB: a page view ends groups and sends refunds
        test_looking_at_a_group_changes_nothing_even_when_its_time_is_over
    7   likeshop: a counter that is compared with ==
        test_a_group_is_filled_however_many_pay_between_two_looks
    8   likeshop: all refunds in one transaction
        test_a_refund_that_is_not_taken_holds_up_no_other_and_keeps_its_number
    9   lilishop: failed refunds dropped; no capacity; the wrong clock
        test_a_refund_that_is_never_taken_is_listed_for_a_person_and_goes_out_when_retried
        test_a_group_has_no_more_seats_than_its_size_and_nobody_sits_twice
        test_a_group_ends_by_its_own_clock_even_after_the_campaign
    10  litemall: "paid while cancelled" refused; refunds by hand, timers in memory
        test_a_payment_of_an_order_that_its_hold_has_cancelled_is_not_refused
        test_the_refunds_of_an_ended_group_go_out_by_themselves_and_its_timer_is_a_row
"""

import json
import math
import random
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec
import pytest

from chalicelib.core import cache, config, doors, due, table
from chalicelib.core.clock import DAY, HOUR, MINUTE
from chalicelib.core.errors import AppError, IdempotencyMismatch, Invalid, NotFound
from chalicelib.groupbuys import admin as groupbuys_admin
from chalicelib.groupbuys import campaigns, ending, reading, routes, rules, service
from chalicelib.groupbuys import mall as seats_mall
from chalicelib.groupbuys.admin import AddStock, CloseCampaign
from chalicelib.groupbuys.campaigns import (
    CampaignNotStarted,
    CampaignOver,
    CampaignPaused,
)
from chalicelib.groupbuys.models import Campaign, Group, Part, Seat, Stock
from chalicelib.groupbuys.refusals import (
    GroupExpired,
    GroupFull,
    GroupNotOpen,
    LimitReached,
    NotNewMember,
    OnlyJoining,
    OrderInTheWay,
    SkuSoldOut,
)
from chalicelib.groupbuys.schemas import (
    EditCampaign,
    JoinGroup,
    MyGroupsQuery,
    OpenGroup,
    Price,
    Product,
    Sku,
)
from chalicelib.members import service as members
from chalicelib.members.schemas import MemberRef
from chalicelib.orders import gateways, giving
from chalicelib.orders import mall as orders_mall
from chalicelib.orders import routes as orders_routes
from chalicelib.orders import service as orders
from chalicelib.orders.schemas import Difference, MallEvent, MallLine, Reconcile
from chalicelib.orders.service import Back, Order, OrderOver
from chalicelib.sharing import service as sharing
from infra.local.clients import Store
from tests.factories import NOW, OWNER, TODAY, a_call, a_word, caught_up, reacted
from tests.groupbuys import (
    a_buyer,
    a_campaign,
    broken,
    buying,
    open_paid_group,
    opened,
    orders_of,
    pay,
    run_jobs,
    take,
)
from tests.harness.counter import counting
from tests.harness.hostile import Hostile
from tests.harness.rows import rows
from tests.harness.wire import Call, Params, wrapped

pytestmark = [pytest.mark.alone("groupbuys", "orders"), pytest.mark.usefixtures("direct")]

PRICE = 8900
LADDER = {2: 8900, 3: 8500, 5: 7900}
BACK = Back(reason="operator")
LIFETIME = DAY


@pytest.fixture(autouse=True)
def the_books(store: Store) -> Iterator[None]:
    """Whatever a test does, no rule is broken at its end."""
    config.override(payment_gateway="sandbox")
    yield
    names = [row["campaign_id"] for row in rows(store.client, "truth", kind="groupbuy")]
    found = [broken(store, name) for name in names]
    assert found == [[]] * len(names)


# --- how things stand ---------------------------------------------------------------------------------------


def seated(group: Group) -> dict[str, tuple[str, str | None]]:
    """Who has a seat in the group, by which order, in which state."""
    return {row.member_id: (row.order_id, row.state) for row in reading.with_seats(group.group_id)[1]}


def paid_by(group: Group) -> list[Order]:
    """The orders of those who have a seat, the head's first."""
    return sorted(orders_of(group), key=lambda order: order.member_id != reading.find(group.group_id).head_id)


def room(group: Group) -> tuple[str | None, int, int]:
    """State, free seats and missing payers, as they are now."""
    now = reading.find(group.group_id)
    return now.state, now.free, now.missing


def state(*its: Order) -> list[str | None]:
    """The states of orders as they are now."""
    return [orders.show(order.order_id).state for order in its]


def left(campaign: Campaign, sku_id: str = "sku") -> int:
    """Units that nobody holds."""
    return sum(campaigns.stock_left(campaign, sku_id).values())


def part(order: Order) -> tuple[int, int]:
    """Units and groups that count for the order's member in its campaign."""
    row = table.get(Part, Part.key(order.campaign_id, order.member_id))
    assert row is not None
    return row.units, row.groups


def refunds(order: Order) -> list[tuple[str, int, str]]:
    """What is owed back or went back for an order: of which payment, how much, why."""
    return sorted((row.payment_id, row.amount_fen, row.reason) for row in orders.money_of(order.order_id)[1])


def works(job: str, *, now: int) -> int:
    """What a run of a job has handled; nothing may fail."""
    ran = due.run(job=job, worker=a_word("w"), now=now, seconds=30)
    assert not ran.failed
    return ran.handled


def making(*, key: str | None = None, now: int = NOW) -> campaigns.Making:
    """An owner at work."""
    return campaigns.Making(by=OWNER, now=now, idempotency_key=key)


def as_member(member_id: str, *, now: int = NOW) -> Any:
    """A request of a signed-in member."""
    return a_call(session=doors.Session(member_id=member_id, program_id="demo", visitor=member_id), now=now)


def once_before(operation: str, do: Callable[[], object]) -> Any:
    """While it is worn, ``do`` is done just before the first call of this kind."""
    done: list[bool] = []

    def layer(below: Call, asked: str, params: Params) -> Params:
        if asked == operation and not done:
            done.append(True)
            do()
        return below(asked, params)

    return wrapped(table.client(), layer)


# --- the ten bugs of the field (research/malls.md 3, 1-10) --------------------------------------------------


def test_two_who_pay_at_once_for_the_last_two_seats_fill_the_group() -> None:
    """3.1 yudao: joiners at once each counted head and self, so that a full group expired and was refunded."""
    group = open_paid_group(a_campaign())
    bob, carol = take(group), take(group)

    with once_before("TransactWriteItems", lambda: pay(carol)):
        pay(bob)

    assert room(group) == ("filled", 0, 0)
    assert state(*paid_by(group)) == ["paid"] * 3


def test_two_who_join_at_once_for_one_seat_never_share_it() -> None:
    """3.1 yudao: with one seat left both passed the check, and three people shared a group of two."""
    group = open_paid_group(a_campaign(sizes={2: PRICE}))
    bob, carol = a_buyer(), a_buyer()

    with once_before("TransactWriteItems", lambda: take(group, buying(carol))), pytest.raises(GroupFull):
        take(group, buying(bob))

    assert set(seated(group)) == {group.head_id, carol}


def test_a_payment_for_a_group_that_is_full_is_taken_and_finds_a_place_or_its_way_back() -> None:
    """3.2 yudao: USER_FULL in the callback; the order stayed unpaid, the money gone, and nobody was told."""
    group = open_paid_group(a_campaign(sizes={2: PRICE}))
    bob = take(group)
    works("release", now=bob.held_until)
    pay(take(group, now=bob.held_until))

    paid = pay(bob, "pay_bob", now=bob.held_until + 1)

    assert room(group)[0] == "filled"
    assert (paid.state, refunds(bob)) == ("refunding", [("pay_bob", PRICE, "late_payment")])


def test_a_payment_that_comes_while_the_group_is_ended_is_not_overwritten() -> None:
    """3.3 yudao: expiry wrote FAILED by id, whatever had happened meanwhile."""
    group = open_paid_group(a_campaign(), payers=2)
    third = take(group)

    with once_before("TransactWriteItems", lambda: pay(third)):
        ending.end(group.group_id, back=ending.EXPIRED, now=NOW + LIFETIME)

    assert room(group)[0] == "filled"
    assert state(*paid_by(group)) == ["paid"] * 3


def test_one_group_that_cannot_be_ended_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """3.3 yudao: one bad order rolled back its group's whole transaction, in every run anew."""
    campaign = a_campaign()
    bad, *good = [open_paid_group(campaign) for _ in range(3)]
    end = ending.end

    def failing(group_id: str, **how: Any) -> None:
        if group_id == bad.group_id:
            raise ValueError("no luck")
        end(group_id, **how)

    with monkeypatch.context() as patch:
        patch.setattr(ending, "end", failing)
        ran = due.run(job="expire", worker="w", now=NOW + LIFETIME, seconds=30)

    assert (ran.handled, ran.failed) == (2, 1)
    assert [room(group)[0] for group in (bad, *good)] == ["open", "expired", "expired"]
    works("expire", now=NOW + LIFETIME + MINUTE)
    assert room(bad)[0] == "expired"


def test_who_pays_after_the_group_was_filled_is_refunded_without_a_person() -> None:
    """3.4 CRMEB: no check when the payment lands; the late payer was in no group and never refunded."""
    group = open_paid_group(a_campaign())
    late = take(group)
    ending.leave(group_id=group.group_id, member_id=late.member_id, now=NOW)
    for _ in range(2):
        pay(take(group))

    pay(late)
    works("refund", now=NOW)

    assert (state(late), orders.show(late.order_id).refunded_fen) == (["refunded"], PRICE)


def test_a_group_that_is_ended_by_two_at_once_is_refunded_once() -> None:
    """3.5 CRMEB: three expirers at once, of which one failed the whole group after its first refund."""
    campaign = a_campaign()
    group = open_paid_group(campaign, payers=2)
    payers = paid_by(group)

    def end() -> None:
        ending.end(group.group_id, back=ending.EXPIRED, now=NOW + LIFETIME)

    with once_before("TransactWriteItems", end):
        end()

    assert [len(refunds(order)) for order in payers] == [1, 1]
    assert (room(group)[0], left(campaign)) == ("expired", 100)


def test_looking_at_a_group_changes_nothing_even_when_its_time_is_over(store: Store) -> None:
    """3.6 CRMEB: the status page completed and failed groups and sent refunds."""
    group = open_paid_group(a_campaign())

    def there() -> list[str]:
        # The page hands the member a link to share, which is there from then on.
        return sorted(str(row) for row in rows(store.client, "truth") if row["kind"] != "link")

    before = there()
    page = routes.show_group(as_member(group.head_id, now=NOW + 2 * LIFETIME), group.group_id)

    assert (page.state, page.can_join) == ("open", False)
    assert there() == before


def test_a_group_is_filled_however_many_pay_between_two_looks() -> None:
    """3.7 likeshop: a counter was compared with ==, so two at once jumped over the goal."""
    group = open_paid_group(a_campaign(sizes={4: PRICE}))
    bob, *others = [take(group) for _ in range(3)]

    with once_before("TransactWriteItems", lambda: [pay(order) for order in others]):
        pay(bob)

    assert room(group) == ("filled", 0, 0)


class Stubborn(gateways.Sandbox):
    """A gateway that takes no refund of one order, until it is told to."""

    def __init__(self, order_id: str) -> None:
        self.order_id: str | None = order_id
        self.asked: list[str] = []

    def refund(self, order: Order, refund: Any, *, now: int) -> bool:
        """Back at once, but for one."""
        self.asked.append(refund.refund_id)
        if order.order_id == self.order_id:
            raise gateways.NotRefunded("no luck")
        return True


def test_a_refund_that_is_not_taken_holds_up_no_other_and_keeps_its_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """3.8 likeshop: one error rolled back the rows of refunds that had already left, and nobody came back."""
    group = open_paid_group(a_campaign(), payers=2)
    unlucky, lucky = paid_by(group)
    gateway = Stubborn(unlucky.order_id)
    monkeypatch.setitem(gateways._GATEWAYS, "sandbox", gateway)
    works("expire", now=NOW + LIFETIME)

    ran = due.run(job="refund", worker="w", now=NOW + LIFETIME, seconds=30)
    gateway.order_id = None
    works("refund", now=NOW + LIFETIME + MINUTE)

    assert (ran.handled, ran.failed) == (1, 1)
    assert state(lucky, unlucky) == ["refunded"] * 2
    (number,) = (row.refund_id for row in orders.money_of(unlucky.order_id)[1])
    assert (gateway.asked.count(number), len(gateway.asked)) == (2, 3)


def test_a_refund_that_is_never_taken_is_listed_for_a_person_and_goes_out_when_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """3.9 lilishop: refund failures were logged and dropped."""
    group = open_paid_group(a_campaign())
    (head,) = paid_by(group)
    gateway = Stubborn(head.order_id)
    monkeypatch.setitem(gateways._GATEWAYS, "sandbox", gateway)
    works("expire", now=NOW + LIFETIME)
    for attempt in range(due.FAILURES):
        due.run(job="refund", worker="w", now=NOW + LIFETIME + attempt * HOUR, seconds=30)

    (stuck,) = due.stuck("refund", limit=10).rows
    assert (stuck.order_id, stuck.last_error) == (head.order_id, "NotRefunded: no luck")

    gateway.order_id = None
    later = NOW + 2 * DAY
    table.apply(due.retried((stuck.pk, stuck.sk), job="refund", now=later))
    works("refund", now=later)
    assert (state(head), len(set(gateway.asked))) == (["refunded"], 1)


def test_a_group_has_no_more_seats_than_its_size_and_nobody_sits_twice() -> None:
    """3.9 lilishop: only joining one's own group was forbidden, and overfull groups succeeded."""
    group = open_paid_group(a_campaign(), payers=2)
    take(group)
    before = seated(group)

    again = {order.member_id: take(group, buying(order.member_id)) for order in orders_of(group)}

    assert {who: order.order_id for who, order in again.items()} == {
        who: of for who, (of, _) in before.items()
    }
    assert seated(group) == before
    with pytest.raises(GroupFull):
        take(group)


def test_a_group_ends_by_its_own_clock_even_after_the_campaign() -> None:
    """3.9 lilishop: the timer compared the activity's start, so groups outlived it unseen."""
    campaign = a_campaign()
    almost_over = campaign.ends_at - MINUTE
    group = open_paid_group(campaign, now=almost_over)

    assert works("expire", now=almost_over + LIFETIME - 1) == 0
    works("expire", now=almost_over + LIFETIME)

    assert room(group)[0] == "expired"


def test_a_payment_of_an_order_that_its_hold_has_cancelled_is_not_refused() -> None:
    """3.10 litemall: "paid while auto-cancelled" was deleted, and the callback answers FAIL."""
    group = open_paid_group(a_campaign())
    bob = take(group)
    works("release", now=bob.held_until)
    assert state(bob) == ["cancelled"]

    paid = pay(bob, now=bob.held_until + 1)

    assert (paid.state, seated(group)[bob.member_id]) == ("paid", (bob.order_id, "confirmed"))


def test_the_refunds_of_an_ended_group_go_out_by_themselves_and_its_timer_is_a_row() -> None:
    """3.10 litemall: a person had to refund, and timers lived in memory."""
    group = open_paid_group(a_campaign())
    (head,) = paid_by(group)
    table.reset()

    works("expire", now=NOW + LIFETIME)
    works("refund", now=NOW + LIFETIME)

    assert (state(head), refunds(head)) == (["refunded"], [(head.payment_id, PRICE, "group_expired")])


# --- opening, and what happens unless the head pays ---------------------------------------------------------


def test_opening_takes_the_units_of_the_whole_group_and_holds_the_head_s_seat(store: Store) -> None:
    campaign = a_campaign(open_hold_s=600)

    seat = opened(campaign)

    order = seat.order
    assert (seat.new, room(seat.group), left(campaign)) == (True, ("opening", 2, 3), 97)
    assert (order.state, order.amount_fen, order.held_until, order.head) == (
        "pending",
        PRICE,
        NOW + 600,
        True,
    )
    assert seated(seat.group) == {order.member_id: (order.order_id, "held")}
    assert part(order) == (1, 1)


def test_a_group_cannot_be_joined_or_found_before_its_head_has_paid() -> None:
    campaign = a_campaign()
    seat = opened(campaign)

    with pytest.raises(GroupNotOpen) as refused:
        take(seat.group)

    assert refused.value.details == {"joinable": [], "can_open": True}
    assert reading.joinable(campaign.campaign_id, limit=10, now=NOW) == []
    pay(seat.order)
    assert [row.group_id for row in reading.joinable(campaign.campaign_id, limit=10, now=NOW)] == [
        seat.group.group_id
    ]


def test_the_clock_of_a_group_starts_when_its_head_pays() -> None:
    campaign = a_campaign(group_lifetime_s=7200)
    seat = opened(campaign)
    assert reading.find(seat.group.group_id).expires_at is None

    pay(seat.order, now=NOW + 500)

    assert reading.find(seat.group.group_id).expires_at == NOW + 500 + 7200


def test_an_unpaid_head_s_group_goes_with_its_hold_and_the_stock_comes_back() -> None:
    campaign = a_campaign()
    seat = opened(campaign)

    assert works("release", now=seat.order.held_until - 1) == 0
    works("release", now=seat.order.held_until)

    assert (room(seat.group)[0], seated(seat.group), left(campaign)) == ("lapsed", {}, 100)
    assert (state(seat.order), part(seat.order)) == (["cancelled"], (0, 0))
    with pytest.raises(NotFound):
        take(seat.group)


def test_an_unpaid_head_who_leaves_takes_the_group_along() -> None:
    campaign = a_campaign()
    seat = opened(campaign)

    ending.leave(group_id=seat.group.group_id, member_id=seat.order.member_id, now=NOW)

    assert (room(seat.group)[0], left(campaign), state(seat.order)) == ("lapsed", 100, ["cancelled"])


def test_opening_again_while_unpaid_answers_with_the_same_order() -> None:
    campaign = a_campaign()
    wants = buying()

    first, again = opened(campaign, wants), opened(campaign, wants, now=NOW + 5)

    assert (first.new, again.new) == (True, False)
    assert (again.order.order_id, again.group.group_id) == (first.order.order_id, first.group.group_id)
    assert left(campaign) == 97


def test_somebody_with_an_unpaid_order_is_answered_with_it_wherever_they_turn() -> None:
    campaign = a_campaign()
    group, other = open_paid_group(campaign), open_paid_group(campaign)
    bob = take(group)

    assert take(other, buying(bob.member_id)).order_id == bob.order_id
    assert opened(campaign, buying(bob.member_id)).order.order_id == bob.order_id
    assert bob.member_id not in seated(other)


@pytest.mark.parametrize("why", ["paused", "over"])
def test_opening_again_is_answered_the_same_even_when_nobody_can_open_any_more(why: str) -> None:
    campaign = a_campaign(open_hold_s=2 * DAY)
    first = opened(campaign)
    if why == "paused":
        campaigns.switch(campaign.campaign_id, to="paused", making=making())
    now = NOW if why == "paused" else campaign.ends_at

    again = opened(campaign, buying(first.order.member_id), now=now)

    assert (again.order.order_id, again.new) == (first.order.order_id, False)


# --- joining ------------------------------------------------------------------------------------------------


def test_joining_holds_a_seat_at_the_price_that_the_group_promised() -> None:
    campaign = a_campaign(sizes={3: PRICE, 5: 7900}, head_price_fen=5900, hold_s=300)
    group = open_paid_group(campaign, size=5)

    bob = take(group, now=NOW + 60)

    assert (bob.amount_fen, bob.held_until, bob.head) == (7900, NOW + 60 + 300, False)
    assert paid_by(group)[0].amount_fen == 5900
    assert room(group) == ("open", 3, 4)
    assert (left(campaign), part(bob)) == (95, (1, 0))


def test_joining_again_answers_with_the_same_seat_paid_or_not() -> None:
    group = open_paid_group(a_campaign(per_member_units=1))
    wants = buying()
    bob = take(group, wants)

    assert take(group, wants).order_id == bob.order_id
    pay(bob)
    assert take(group, wants).order_id == bob.order_id
    assert room(group) == ("open", 1, 1)


def test_joining_again_is_answered_the_same_when_the_group_is_full_or_over() -> None:
    group = open_paid_group(a_campaign(sizes={2: PRICE}))
    wants = buying()
    bob = take(group, wants)

    assert take(group, wants, now=NOW + LIFETIME).order_id == bob.order_id
    pay(bob)
    assert take(group, wants).order_id == bob.order_id


def test_the_last_payment_fills_the_group_and_its_price_is_what_was_promised() -> None:
    campaign = a_campaign()
    group = open_paid_group(campaign, payers=3)

    row = reading.find(group.group_id)
    assert (row.state, row.free, row.missing, row.real_members, row.ended_at) == ("filled", 0, 0, 3, NOW)
    assert [order.amount_fen for order in orders_of(group)] == [PRICE] * 3
    assert reading.joinable(campaign.campaign_id, limit=10, now=NOW) == []


def test_a_group_of_two_is_filled_by_its_first_joiner() -> None:
    assert room(open_paid_group(a_campaign(sizes={2: PRICE}), payers=2)) == ("filled", 0, 0)


def test_joinable_groups_are_nearest_to_full_first_and_then_the_soonest_over() -> None:
    campaign = a_campaign(sizes={4: PRICE})
    first = open_paid_group(campaign)
    nearest = open_paid_group(campaign, payers=3, now=NOW + 2)
    later = open_paid_group(campaign, now=NOW + 1)

    found = reading.joinable(campaign.campaign_id, limit=10, now=NOW + 3)

    assert [row.group_id for row in found] == [one.group_id for one in (nearest, first, later)]


# --- leaving and holds --------------------------------------------------------------------------------------


def test_leaving_frees_the_seat_at_once() -> None:
    group = open_paid_group(a_campaign(sizes={2: PRICE}))
    bob = take(group)

    left = [ending.leave(group_id=group.group_id, member_id=bob.member_id, now=NOW) for _ in range(2)]

    assert left == [bob.order_id] * 2
    assert (state(bob)[0], room(group), part(bob)) == ("cancelled", ("open", 1, 1), (0, 0))
    assert take(group).state == "pending"


def test_who_has_paid_cannot_leave_and_who_is_not_in_cannot_either() -> None:
    group = open_paid_group(a_campaign(), payers=2)

    with pytest.raises(OrderOver) as refused:
        ending.leave(group_id=group.group_id, member_id=group.head_id, now=NOW)
    with pytest.raises(NotFound):
        ending.leave(group_id=group.group_id, member_id=a_buyer(), now=NOW)

    assert refused.value.details == {"state": "paid"}


def test_a_hold_that_runs_out_frees_the_seat_and_the_member_may_come_again() -> None:
    group = open_paid_group(a_campaign())
    bob = take(group)

    assert works("release", now=bob.held_until - 1) == 0
    works("release", now=bob.held_until)

    assert (state(bob), room(group)) == (["cancelled"], ("open", 2, 2))
    assert take(group, buying(bob.member_id), now=bob.held_until).order_id != bob.order_id


def test_a_payment_that_comes_before_the_job_wins_however_late_it_is() -> None:
    group = open_paid_group(a_campaign())
    bob = take(group)

    paid = pay(bob, now=bob.held_until + HOUR)
    works("release", now=bob.held_until + HOUR)

    assert (paid.state, seated(group)[bob.member_id][1]) == ("paid", "confirmed")


def test_a_hold_that_is_released_while_the_payment_comes_is_paid_or_released_and_not_both() -> None:
    group = open_paid_group(a_campaign())
    bob = take(group)

    with once_before("TransactWriteItems", lambda: works("release", now=bob.held_until)):
        pay(bob, now=bob.held_until)

    assert (state(bob), seated(group)[bob.member_id][1]) == (["paid"], "confirmed")
    assert room(group) == ("open", 1, 1)


# --- the end of the window, a pause, a close ----------------------------------------------------------------


def test_the_end_of_the_window_stops_opening_and_not_joining_or_paying() -> None:
    campaign = a_campaign()
    group = open_paid_group(campaign, now=campaign.ends_at - 1)
    unpaid = opened(campaign, now=campaign.ends_at - 1)
    now = campaign.ends_at + HOUR

    with pytest.raises(CampaignOver) as refused:
        opened(campaign, now=now)

    assert [one["group_id"] for one in refused.value.details["joinable"]] == [group.group_id]
    assert pay(take(group, now=now), now=now).state == "paid"
    assert pay(unpaid.order, now=now).state == "paid"


def test_a_campaign_that_has_not_started_says_when_it_does() -> None:
    campaign = a_campaign(starts_at=NOW + 100)

    with pytest.raises(CampaignNotStarted) as refused:
        opened(campaign)

    assert refused.value.details["starts_at"] == NOW + 100


def test_a_pause_stops_opening_and_not_joining_or_paying_until_it_is_resumed() -> None:
    campaign = a_campaign()
    group, unpaid = open_paid_group(campaign), opened(campaign)
    campaigns.switch(campaign.campaign_id, to="paused", making=making())

    with pytest.raises(CampaignPaused) as refused:
        opened(campaign)

    assert [one["group_id"] for one in refused.value.details["joinable"]] == [group.group_id]
    assert pay(take(group)).state == "paid"
    assert pay(unpaid.order).state == "paid"
    campaigns.switch(campaign.campaign_id, to="running", making=making())
    assert opened(campaign).new


def test_a_pause_holds_in_processes_that_still_remember_the_campaign_as_running() -> None:
    campaign = a_campaign(shards=3)
    group = open_paid_group(campaign)
    remembered = campaigns.find(campaign.campaign_id, now=NOW)
    campaigns.switch(campaign.campaign_id, to="paused", making=making())
    campaigns._campaigns.put(campaign.campaign_id, remembered, now=NOW)

    with pytest.raises(CampaignPaused) as refused:
        opened(campaign)

    assert [one["group_id"] for one in refused.value.details["joinable"]] == [group.group_id]
    assert campaigns.can_open(campaigns.find(campaign.campaign_id, now=NOW), now=NOW)


@pytest.mark.parametrize("call", range(1, 6))
def test_a_switch_that_broke_off_is_done_by_saying_it_again(call: int) -> None:
    campaign = a_campaign(shards=2)
    made = 0

    def dies(below: Call, asked: str, params: Params) -> Params:
        nonlocal made
        made += 1
        if made == call:
            raise KeyboardInterrupt
        return below(asked, params)

    with wrapped(table.client(), dies), pytest.raises(KeyboardInterrupt):
        campaigns.switch(campaign.campaign_id, to="paused", making=making())
    cache.clear_all()

    assert campaigns.switch(campaign.campaign_id, to="paused", making=making()).state == "paused"
    assert {table.get(Stock, Stock.key(campaign.campaign_id, "sku", k)).on for k in (0, 1)} == {False}  # type: ignore[union-attr]


def test_a_closed_campaign_lets_its_open_groups_go_on_and_is_never_resumed() -> None:
    campaign = a_campaign()
    group = open_paid_group(campaign, payers=2)

    groupbuys_admin.close(a_call(operator=OWNER), campaign.campaign_id, CloseCampaign(reason="over"))

    with pytest.raises(CampaignOver):
        opened(campaign)
    with pytest.raises(CampaignOver):
        campaigns.switch(campaign.campaign_id, to="running", making=making())
    pay(take(group))
    assert room(group)[0] == "filled"


def test_closing_with_refunds_ends_every_open_group_also_those_that_nobody_can_join() -> None:
    campaign = a_campaign(sizes={2: PRICE})
    group, held = open_paid_group(campaign), open_paid_group(campaign)
    unpaid = take(held)
    body = CloseCampaign(open_groups="refund", reason="recall")

    groupbuys_admin.close(a_call(operator=OWNER), campaign.campaign_id, body)
    works("close", now=NOW)
    works("expire", now=NOW)

    assert [room(one)[0] for one in (group, held)] == ["expired", "expired"]
    assert refunds(paid_by(group)[0])[0][2] == "campaign_closed"
    assert pay(unpaid).state == "refunding"


# --- refunds of members who have paid, and who is head then -------------------------------------------------


def test_a_refunded_member_of_an_open_group_frees_the_seat_in_the_same_write() -> None:
    group = open_paid_group(a_campaign(), payers=2)
    head, bob = paid_by(group)

    orders.refund(bob.order_id, back=BACK, now=NOW)

    assert (room(group), set(seated(group))) == (("open", 2, 2), {head.member_id})
    assert (refunds(bob), part(bob)) == ([(bob.payment_id, PRICE, "operator")], (0, 0))
    carol = take(group)
    assert carol.state == "pending"


def test_a_refund_told_twice_is_one() -> None:
    group = open_paid_group(a_campaign(), payers=2)
    _, bob = paid_by(group)

    with once_before("TransactWriteItems", lambda: orders.refund(bob.order_id, back=BACK, now=NOW)):
        orders.refund(bob.order_id, back=BACK, now=NOW)
    orders.refund(bob.order_id, back=BACK, now=NOW)

    assert (len(refunds(bob)), room(group)) == (1, ("open", 2, 2))


@pytest.mark.parametrize("at", ["Query", "GetItem"])
def test_a_refund_that_another_gives_between_two_reads_is_one(at: str) -> None:
    group = open_paid_group(a_campaign(), payers=2)
    _, bob = paid_by(group)
    order = orders.show(bob.order_id)

    with once_before(at, lambda: orders.refund(bob.order_id, back=BACK, now=NOW)):
        ending.refund_paid(order, BACK, NOW)

    assert (len(refunds(bob)), room(group)) == (1, ("open", 2, 2))


def test_the_earliest_payer_is_head_after_the_head_and_heads_the_page_and_the_list() -> None:
    campaign = a_campaign(sizes={4: PRICE})
    group = open_paid_group(campaign)
    bob, carol = pay(take(group, now=NOW + 1)), pay(take(group, now=NOW + 2))
    (head, *_) = paid_by(group)

    orders.refund(head.order_id, back=BACK, now=NOW + 3)

    assert reading.find(group.group_id).head_id == bob.member_id
    page = routes.show_group(as_member(bob.member_id), group.group_id)
    assert [(one.head, one.mine) for one in page.seats] == [(True, True), (False, False)]
    orders.refund(bob.order_id, back=BACK, now=NOW + 4)
    assert reading.find(group.group_id).head_id == carol.member_id
    assert room(group) == ("open", 3, 3)


def test_a_head_who_steps_out_while_the_next_in_line_does_leaves_a_head_who_is_there() -> None:
    group = open_paid_group(a_campaign(sizes={4: PRICE}))
    bob, carol = pay(take(group, now=NOW + 1)), pay(take(group, now=NOW + 2))
    (head, *_) = paid_by(group)

    with once_before("TransactWriteItems", lambda: orders.refund(bob.order_id, back=BACK, now=NOW)):
        orders.refund(head.order_id, back=BACK, now=NOW)

    assert (reading.find(group.group_id).head_id, room(group)) == (carol.member_id, ("open", 3, 3))


def test_a_promoted_head_may_open_no_more_groups_than_anybody() -> None:
    campaign = a_campaign(per_member_groups=1)
    group = open_paid_group(campaign, payers=2)
    head, bob = paid_by(group)

    orders.refund(head.order_id, back=BACK, now=NOW)

    assert (part(head), part(bob)) == ((0, 0), (1, 1))
    works("expire", now=NOW + LIFETIME)
    assert part(bob) == (0, 0)


def test_when_the_last_payer_is_refunded_the_group_ends_and_its_units_come_back() -> None:
    campaign = a_campaign()
    group = open_paid_group(campaign)
    unpaid = take(group)
    (head, *_) = paid_by(group)

    orders.refund(head.order_id, back=BACK, now=NOW)

    assert (room(group)[0], left(campaign), refunds(head)[0][2]) == ("expired", 100, "operator")
    assert pay(unpaid).state == "refunding"


def test_a_filled_group_stays_filled_when_a_member_is_refunded() -> None:
    campaign = a_campaign()
    group = open_paid_group(campaign, payers=3)
    _, bob, _ = paid_by(group)

    orders.refund(bob.order_id, back=BACK, now=NOW)

    assert (room(group), left(campaign), len(refunds(bob))) == (("filled", 0, 0), 97, 1)


def test_an_order_that_was_never_paid_cannot_be_refunded() -> None:
    order = opened(a_campaign()).order

    with pytest.raises(OrderOver) as refused:
        orders.refund(order.order_id, back=BACK, now=NOW)
    with pytest.raises(NotFound):
        orders.refund("ord_none", back=BACK, now=NOW)

    assert refused.value.details == {"state": "pending"}


def test_a_group_of_more_payers_than_fit_one_transaction_is_refunded_to_the_last_and_counted_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ending, "PAYERS_AT_ONCE", 3)
    monkeypatch.setattr(ending, "PAYERS_A_BATCH", 2)
    campaign = a_campaign(sizes={9: PRICE})
    group = open_paid_group(campaign, payers=6)
    payers = paid_by(group)
    seats = reading.with_seats(group.group_id)[1]
    ending._end_open(reading.find(group.group_id), seats, {}, back=BACK, now=NOW)
    assert (room(group)[0], left(campaign)) == ("expiring", 100)
    assert broken(store, campaign.campaign_id) == []

    orders.refund(payers[3].order_id, back=BACK, now=NOW)
    run_jobs(store)

    assert state(*payers) == ["refunded"] * 6
    assert (room(group)[0], broken(store, campaign.campaign_id, at_rest=True)) == ("expired", [])


@pytest.mark.parametrize("most", [8, 19, 21])
def test_units_of_many_variants_go_back_even_when_they_do_not_fit_one_transaction(
    store: Store, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    names = [f"sku-{number}" for number in range(5)]
    campaign = a_campaign(sizes={6: PRICE}, stock=3, skus=names, reserve="seat")
    group = open_paid_group(campaign, buying(sku_id=names[0]))
    for name in names[1:]:
        pay(take(group, buying(sku_id=name)))
    take(group, buying(sku_id=names[0]))
    monkeypatch.setattr(table, "MAX_ACTIONS", most)

    run_jobs(store)

    assert [left(campaign, name) for name in names] == [3] * 5
    assert (room(group)[0], broken(store, campaign.campaign_id, at_rest=True)) == ("expired", [])


def test_thirty_payers_fit_one_transaction_with_what_they_hold() -> None:
    group = open_paid_group(a_campaign())
    seats = [
        Seat("GROUP#g", f"SEAT#{n}", order_id=f"o{n}", campaign_id="c", member_id=f"m{n}") for n in range(30)
    ]
    for seat in seats:
        seat.quantity, seat.amount_fen, seat.head = 1, PRICE, False
    writes = ending._refunds(seats, {}, back=BACK, now=NOW)

    assert 1 + len(ending._stock_of(group)) + len(writes) <= table.MAX_ACTIONS


# --- the order of refusals, and what they offer -------------------------------------------------------------


def test_opening_is_refused_for_the_first_reason_in_one_order() -> None:
    campaign = a_campaign(
        sizes={3: PRICE, 5: 7900},
        skus=["red", "blue"],
        reserve="seat",
        stock=3,
        max_units_per_seat=5,
        per_member_units=4,
        per_member_groups=1,
        starts_at=NOW,
    )
    one_group_already = a_buyer()
    pay(opened(campaign, buying(one_group_already, sku_id="red"), size=3).order)
    tries: list[tuple[type[AppError], str, dict[str, Any]]] = [
        (NotFound, "", {"campaign_id": "cmp_none", "now": NOW - 1, "sku_id": "x", "size": 9, "quantity": 9}),
        (CampaignNotStarted, "", {"now": NOW - 1, "sku_id": "x", "size": 9, "quantity": 9}),
        (Invalid, "sku_id", {"sku_id": "x", "size": 9, "quantity": 9}),
        (Invalid, "size", {"size": 9, "quantity": 9}),
        (Invalid, "quantity", {"quantity": 9}),
        (LimitReached, "units", {"quantity": 5}),
        (LimitReached, "units", {"quantity": 4}),
        (LimitReached, "groups", {"quantity": 3}),
    ]

    for kind, which, asked in tries:
        given = {"campaign_id": campaign.campaign_id, "now": NOW, "sku_id": "red", "size": 3, **asked}
        wants = buying(one_group_already, sku_id=given["sku_id"], quantity=given["quantity"])
        with pytest.raises(kind) as refused:
            service.open_group(
                campaign_id=given["campaign_id"], buying=wants, size=given["size"], now=given["now"]
            )
        assert which in (refused.value.details.get("field"), refused.value.details.get("limit"), "")
    with pytest.raises(SkuSoldOut):
        opened(campaign, buying(sku_id="red", quantity=3), size=3)


def test_joining_is_refused_for_the_first_reason_in_one_order() -> None:
    campaign = a_campaign(
        sizes={2: PRICE},
        skus=["red", "blue"],
        reserve="seat",
        stock=2,
        max_units_per_seat=5,
        per_member_units=3,
        new_members_only=True,
    )
    group = open_paid_group(campaign, buying(sku_id="red", quantity=2))
    old, new = a_buyer(now=campaign.starts_at - 1), a_buyer()

    def refused(kind: type[AppError], who: str, *, group_id: str = group.group_id, **what: Any) -> AppError:
        wants = buying(who, **{"sku_id": "red", **what})
        with pytest.raises(kind) as found:
            service.join(group_id=group_id, buying=wants, now=NOW)
        return found.value

    refused(NotFound, old, group_id="grp_none", sku_id="x", quantity=9)
    assert refused(Invalid, old, sku_id="x", quantity=9).details["field"] == "sku_id"
    assert refused(Invalid, old, quantity=9).details["field"] == "quantity"
    assert refused(LimitReached, old, quantity=4).details["limit"] == "units"
    refused(NotNewMember, old)
    assert refused(SkuSoldOut, new).details == {
        "sku_id": "red",
        "left": 0,
        "sizes": [],
        "other_skus": [{"sku_id": "blue", "left": 2}],
    }
    take(group, buying(sku_id="blue"))
    refused(NotNewMember, old)
    refused(GroupFull, new)


def test_a_full_group_offers_the_nearest_to_full_and_opening_one_s_own() -> None:
    campaign = a_campaign(sizes={4: PRICE})
    full, near, far = (open_paid_group(campaign, payers=payers) for payers in (3, 2, 1))
    take(full)

    with pytest.raises(GroupFull) as refused:
        take(full)

    offered = refused.value.details
    assert [one["group_id"] for one in offered["joinable"]] == [near.group_id, far.group_id]
    assert offered["joinable"][0] == {
        "group_id": near.group_id,
        "size": 4,
        "missing": 2,
        "expires_at": NOW + LIFETIME,
    }
    assert offered["can_open"] is True


def test_a_group_that_is_over_says_so_with_what_else_there_is() -> None:
    campaign = a_campaign()
    over, other = open_paid_group(campaign), open_paid_group(campaign, now=NOW + HOUR)
    now = NOW + LIFETIME

    with pytest.raises(GroupExpired) as by_the_clock:
        take(over, now=now)
    works("expire", now=now)
    with pytest.raises(GroupExpired) as by_its_state:
        take(over, now=now)

    for refused in (by_the_clock, by_its_state):
        assert [one["group_id"] for one in refused.value.details["joinable"]] == [other.group_id]
        assert refused.value.details["can_open"] is False


def test_a_group_that_fills_while_somebody_joins_is_refused_with_offers_too() -> None:
    campaign = a_campaign(sizes={2: PRICE})
    group, other = open_paid_group(campaign), open_paid_group(campaign)

    with once_before("TransactWriteItems", lambda: take(group)), pytest.raises(GroupFull) as refused:
        take(group)

    assert [one["group_id"] for one in refused.value.details["joinable"]] == [other.group_id]


def test_when_all_units_are_in_open_groups_one_can_only_join() -> None:
    campaign = a_campaign(stock=5)
    group = open_paid_group(campaign)

    with pytest.raises(OnlyJoining) as refused:
        opened(campaign)

    assert [one["group_id"] for one in refused.value.details["joinable"]] == [group.group_id]
    assert take(group).state == "pending"


def test_nothing_left_and_nothing_to_join_is_sold_out_until_units_come_back() -> None:
    campaign = a_campaign(stock=5)
    unpaid = opened(campaign).order

    with pytest.raises(SkuSoldOut) as refused:
        opened(campaign)
    works("release", now=unpaid.held_until)

    assert refused.value.details == {"sku_id": "sku", "left": 2, "sizes": [], "other_skus": []}
    assert opened(campaign, now=unpaid.held_until).new


def test_the_limit_of_units_counts_what_is_held_and_bought_and_not_what_failed() -> None:
    campaign = a_campaign(per_member_units=2)
    wants = buying()
    first, second, third = (open_paid_group(campaign) for _ in range(3))
    pay(take(first, wants))
    bob = take(second, wants)
    pay(bob)

    with pytest.raises(LimitReached) as refused:
        take(third, wants)
    orders.refund(bob.order_id, back=BACK, now=NOW)

    mine = refused.value.details.pop("mine")
    assert refused.value.details == {"limit": "units", "at_most": 2, "used": 2}
    assert {one["group_id"] for one in mine} == {first.group_id, second.group_id}
    assert take(third, wants).state == "pending"


def test_the_limit_of_groups_counts_own_groups_and_not_those_that_failed() -> None:
    campaign = a_campaign(per_member_groups=1)
    wants = buying()
    open_paid_group(campaign, wants)
    other = open_paid_group(campaign)

    with pytest.raises(LimitReached) as refused:
        opened(campaign, wants)
    pay(take(other, wants))
    works("expire", now=NOW + LIFETIME)

    ((offer,), (mine,)) = (refused.value.details.pop(name) for name in ("joinable", "mine"))
    assert refused.value.details == {"limit": "groups", "at_most": 1, "used": 1}
    assert (offer["group_id"], mine["state"]) == (other.group_id, "confirmed")
    campaigns._campaigns.clear()
    assert part(paid_by(other)[0]) == (0, 0)


def test_old_members_may_head_but_not_join_where_only_newcomers_may() -> None:
    campaign = a_campaign(new_members_only=True)
    old, new = a_buyer(now=campaign.starts_at - 1), a_buyer(now=campaign.starts_at)
    group = open_paid_group(campaign, buying(old))

    with pytest.raises(NotNewMember) as refused:
        take(group, buying(a_buyer(now=campaign.starts_at - 1)))

    assert refused.value.details["can_open"] is True
    pages = [routes.show_group(as_member(one), group.group_id) for one in (new, a_buyer(now=NOW - 9 * DAY))]
    assert [(page.can_join, page.cannot_join_because) for page in pages] == [(True, None), (False, "not_new")]
    assert routes.show_group(a_call(), group.group_id).can_join, "a stranger is asked when they sign in"
    assert take(group, buying(new)).state == "pending"


# --- late payments ------------------------------------------------------------------------------------------


def a_late_order(group: Group) -> Order:
    """An order whose hold in this group has run out."""
    order = take(group)
    works("release", now=order.held_until)
    return order


def test_a_late_payment_takes_a_seat_in_its_own_group_first() -> None:
    campaign = a_campaign(sizes={4: PRICE})
    group = open_paid_group(campaign)
    open_paid_group(campaign, payers=3)
    late = a_late_order(group)

    paid = pay(late, now=late.held_until)

    assert (paid.state, paid.group_id, room(group)) == ("paid", group.group_id, ("open", 2, 2))
    assert seated(group)[late.member_id] == (late.order_id, "confirmed")


def test_a_late_payment_goes_to_the_group_nearest_to_full_at_the_same_price() -> None:
    campaign = a_campaign(sizes={3: PRICE, 4: 7900})
    own = open_paid_group(campaign, size=3)
    late = a_late_order(own)
    for _ in range(2):
        pay(take(own))
    cheaper = [open_paid_group(campaign, payers=3, size=4) for _ in range(5)]
    far = open_paid_group(campaign, size=3)
    near = open_paid_group(campaign, payers=2, size=3)

    paid = pay(late)

    assert (paid.state, paid.group_id, room(near)[0]) == ("paid", near.group_id, "filled")
    assert [room(one) for one in (far, *cheaper)] == [("open", 2, 2)] + [("open", 1, 1)] * 5


def test_a_late_payment_may_be_the_one_that_fills_the_group() -> None:
    group = open_paid_group(a_campaign(sizes={2: PRICE}))
    late = a_late_order(group)

    pay(late)

    assert room(group) == ("filled", 0, 0)


def test_a_late_payment_of_a_head_sits_in_another_s_group() -> None:
    campaign = a_campaign()
    late = opened(campaign)
    works("release", now=late.order.held_until)
    other = open_paid_group(campaign, now=late.order.held_until)

    paid = pay(late.order, now=late.order.held_until)

    assert (paid.group_id, paid.head, room(late.group)[0]) == (other.group_id, False, "lapsed")
    assert (room(other), part(paid)) == (("open", 1, 1), (1, 0))


def test_a_late_payment_at_the_head_s_price_fits_nowhere_and_goes_back() -> None:
    campaign = a_campaign(head_price_fen=5900)
    late = opened(campaign).order
    works("release", now=late.held_until)
    open_paid_group(campaign, now=late.held_until)

    assert pay(late, now=late.held_until).state == "refunding"


def test_a_late_payment_of_an_old_member_joins_no_group_for_newcomers() -> None:
    campaign = a_campaign(new_members_only=True)
    late = opened(campaign, buying(a_buyer(now=campaign.starts_at - 1))).order
    works("release", now=late.held_until)
    other = open_paid_group(campaign, now=late.held_until)

    assert pay(late, now=late.held_until).state == "refunding"
    assert room(other) == ("open", 2, 2)


def test_a_late_payment_takes_over_the_member_s_own_newer_order() -> None:
    campaign = a_campaign()
    group = open_paid_group(campaign)
    late = a_late_order(group)
    newer = take(group, buying(late.member_id))

    paid = pay(late)

    assert (paid.state, state(newer)) == ("paid", ["cancelled"])
    assert seated(group)[late.member_id] == (late.order_id, "confirmed")
    assert (room(group), part(paid)) == (("open", 1, 1), (1, 0))
    assert pay(newer).state == "refunding"


def test_a_late_payment_of_a_head_takes_over_the_group_they_opened_since() -> None:
    campaign = a_campaign()
    first = opened(campaign)
    works("release", now=first.order.held_until)
    second = opened(campaign, buying(first.order.member_id), now=first.order.held_until)

    paid = pay(first.order, now=first.order.held_until + 1)

    assert (paid.group_id, paid.head, room(second.group)) == (second.group.group_id, True, ("open", 2, 2))
    assert (state(second.order), part(paid)) == (["cancelled"], (1, 1))


def test_a_late_payment_that_leaves_no_room_in_the_limit_goes_back() -> None:
    campaign = a_campaign(per_member_units=1)
    group, other = open_paid_group(campaign), open_paid_group(campaign)
    late = a_late_order(group)
    pay(take(other, buying(late.member_id)))

    assert pay(late).state == "refunding"


def test_a_late_payment_goes_back_at_once_where_the_campaign_says_so() -> None:
    group = open_paid_group(a_campaign(late_payment="refund"))
    late = a_late_order(group)

    paid = pay(late, "pay_late")

    assert (paid.state, refunds(late)) == ("refunding", [("pay_late", PRICE, "late_payment")])
    assert room(group) == ("open", 2, 2)


def test_a_late_payment_takes_over_a_newer_order_also_where_late_payments_go_back() -> None:
    group = open_paid_group(a_campaign(late_payment="refund"))
    late = a_late_order(group)
    newer = take(group, buying(late.member_id))

    paid = pay(late)

    assert (paid.state, state(newer)) == ("paid", ["cancelled"])
    assert seated(group)[late.member_id] == (late.order_id, "confirmed")
    assert (room(group), part(paid)) == (("open", 1, 1), (1, 0))


def test_a_late_payment_that_is_reported_again_changes_nothing() -> None:
    group = open_paid_group(a_campaign())
    kept, returned = a_late_order(group), a_late_order(group)
    pay(kept, "pay_kept")
    for _ in range(1):
        pay(take(group))
    pay(returned, "pay_back")

    assert [pay(kept, "pay_kept").state, pay(returned, "pay_back").state] == ["paid", "refunding"]
    assert (refunds(kept), len(refunds(returned))) == ([], 1)


def test_a_payment_of_a_pending_order_in_a_group_that_has_ended_is_late(store: Store) -> None:
    campaign = a_campaign(hold_s=3 * DAY)
    group = open_paid_group(campaign)
    bob = take(group)
    works("expire", now=NOW + LIFETIME)
    other = open_paid_group(campaign, now=NOW + LIFETIME - 1)

    paid = pay(bob, now=NOW + LIFETIME)

    assert (paid.state, paid.group_id) == ("paid", other.group_id)
    assert bob.member_id not in seated(group)


# --- money that is not as it should be ----------------------------------------------------------------------


def test_the_same_payment_reported_again_is_one() -> None:
    order = opened(a_campaign()).order

    for _ in range(3):
        assert pay(order, "pay_1").state == "paid"

    assert ([row.payment_id for row in orders.money_of(order.order_id)[0]], refunds(order)) == (["pay_1"], [])


def test_a_second_payment_of_an_order_goes_back_under_its_own_number_once() -> None:
    group = open_paid_group(a_campaign())
    bob = pay(take(group), "pay_1")

    for _ in range(2):
        assert pay(bob, "pay_2").state == "paid"
    works("refund", now=NOW)

    assert refunds(bob) == [("pay_2", PRICE, "paid_twice")]
    assert (room(group), state(bob)) == (("open", 1, 1), ["paid"])


def test_both_payments_of_an_order_go_back_when_its_group_fails() -> None:
    (head,) = orders_of(open_paid_group(a_campaign()))
    pay(head, "pay_2")

    works("expire", now=NOW + LIFETIME)
    works("refund", now=NOW + LIFETIME)

    assert [(of, fen) for of, fen, _ in refunds(head)] == sorted(
        [(str(head.payment_id), PRICE), ("pay_2", PRICE)]
    )
    assert (state(head), orders.show(head.order_id).refunded_fen) == (["refunded"], 2 * PRICE)


@pytest.mark.parametrize("fen", [1, PRICE - 1, PRICE + 1])
def test_a_wrong_amount_confirms_nothing_and_is_listed_for_a_person(fen: int) -> None:
    group = open_paid_group(a_campaign())
    bob = take(group)

    for _ in range(2):
        assert pay(bob, "pay_wrong", amount_fen=fen).state == "pending"

    (row,) = due.stuck("mismatch", limit=10).rows
    assert (row.order_id, row.payment_id, row.amount_fen) == (bob.order_id, "pay_wrong", fen)
    assert row.last_error == f"{fen} fen came, {PRICE} fen are owed"
    assert (room(group), refunds(bob)) == (("open", 1, 2), [])
    assert pay(bob, "pay_right").state == "paid"


def test_an_order_in_a_group_that_ends_is_refunded_what_is_left_after_a_part_went_back() -> None:
    campaign = a_campaign()
    group = open_paid_group(campaign, payers=2)
    head, bob = paid_by(group)
    orders.told_partly_refunded(head, amount_fen=900, cause="mall#1", now=NOW)

    works("expire", now=NOW + LIFETIME)

    assert room(group)[0] == "expired"
    assert sorted(fen for _, fen, _ in refunds(head)) == [900, PRICE - 900]
    assert refunds(bob) == [(bob.payment_id, PRICE, "group_expired")]


@pytest.mark.parametrize("payers", [1, 2])
def test_a_member_of_an_open_group_is_refunded_what_is_left_after_a_part_went_back(payers: int) -> None:
    group = open_paid_group(a_campaign(), payers=payers)
    (head, *_) = paid_by(group)
    orders.told_partly_refunded(head, amount_fen=900, cause="mall#1", now=NOW)

    orders.refund(head.order_id, back=BACK, now=NOW)

    assert sorted(fen for _, fen, _ in refunds(head)) == [900, PRICE - 900]


# --- ladders, and groups that are filled at their end -------------------------------------------------------


@pytest.mark.parametrize(("payers", "each_fen"), [(2, 0), (3, 400), (4, 400), (5, 1000)])
def test_a_ladder_gives_everybody_the_price_of_the_step_it_reached(
    store: Store, payers: int, each_fen: int
) -> None:
    campaign = a_campaign(sizes=LADDER, mode="ladder", stock=10)
    group = open_paid_group(campaign, payers=payers)
    assert (room(group)[0], group.size) == ("filled" if payers == 5 else "open", 5)

    run_jobs(store)

    its = paid_by(group)
    for order in its:
        back = [(order.payment_id, each_fen, "ladder")] if each_fen else []
        assert (refunds(order), order.state) == (back, "paid")
    assert {order.refundable_fen for order in its} == {PRICE - each_fen}
    assert (room(group)[0], reading.find(group.group_id).real_members) == ("filled", payers)
    assert (left(campaign), broken(store, campaign.campaign_id, at_rest=True)) == (10 - payers, [])


def test_a_ladder_below_its_first_step_gives_everything_back(store: Store) -> None:
    campaign = a_campaign(sizes=LADDER, mode="ladder")
    group = open_paid_group(campaign)

    run_jobs(store)

    assert (room(group)[0], left(campaign), state(*paid_by(group))) == ("expired", 100, ["refunded"])


def test_a_difference_goes_back_once_and_a_refund_after_it_is_of_the_rest(store: Store) -> None:
    group = open_paid_group(a_campaign(sizes=LADDER, mode="ladder"), payers=5)
    run_jobs(store)
    (head, *_) = paid_by(group)

    run_jobs(store)
    orders.refund(head.order_id, back=BACK, now=NOW)

    assert sorted(fen for _, fen, _ in refunds(head)) == [1000, PRICE - 1000]


def test_a_group_with_enough_real_payers_is_filled_at_its_end_and_says_how_many_they_are() -> None:
    campaign = a_campaign(sizes={5: PRICE}, fill_at_expiry_from=2, stock=12)
    group, alone = open_paid_group(campaign, payers=2), open_paid_group(campaign)
    unpaid = take(group)

    works("expire", now=NOW + LIFETIME)

    page = routes.show_group(a_call(now=NOW + LIFETIME), group.group_id)
    assert (page.state, page.size, page.real_members, page.missing) == ("filled", 5, 2, 3)
    assert [refunds(order) for order in paid_by(group)[:2]] == [[], []]
    assert (room(alone)[0], left(campaign)) == ("expired", 12 - 2)
    assert pay(unpaid, now=NOW + LIFETIME).state == "refunding"


# --- several variants and quantities, stock on several shards -----------------------------------------------


def test_each_seat_takes_its_own_units_of_its_own_variant() -> None:
    campaign = a_campaign(
        skus=["red", "blue"], reserve="seat", stock=5, max_units_per_seat=3, per_member_units=5
    )
    head = opened(campaign, buying(sku_id="red", quantity=3))
    assert (head.order.amount_fen, left(campaign, "red"), left(campaign, "blue")) == (3 * PRICE, 2, 5)
    pay(head.order)

    bob = take(head.group, buying(sku_id="blue", quantity=2))

    assert (bob.amount_fen, left(campaign, "red"), left(campaign, "blue")) == (2 * PRICE, 2, 3)
    ending.leave(group_id=bob.group_id, member_id=bob.member_id, now=NOW)
    assert left(campaign, "blue") == 5
    works("expire", now=NOW + LIFETIME)
    assert left(campaign, "red") == 5


def test_a_variant_that_is_sold_out_says_what_is_left_and_the_others_go_on() -> None:
    campaign = a_campaign(skus=["red", "blue"], reserve="seat", stock=2, max_units_per_seat=2)
    group = open_paid_group(campaign, buying(sku_id="red"))

    with pytest.raises(SkuSoldOut) as refused:
        take(group, buying(sku_id="red", quantity=2))

    assert refused.value.details == {
        "sku_id": "red",
        "left": 1,
        "sizes": [],
        "other_skus": [{"sku_id": "blue", "left": 2}],
    }
    assert take(group, buying(sku_id="blue", quantity=2)).state == "pending"


def test_a_refunded_member_s_units_come_back_where_every_seat_has_its_own() -> None:
    campaign = a_campaign(reserve="seat", stock=10, max_units_per_seat=2)
    group = open_paid_group(campaign, payers=2)
    bob = pay(take(group, buying(quantity=2)))
    assert (room(group)[0], left(campaign)) == ("filled", 6)
    other = open_paid_group(campaign, payers=2)
    _, carol = paid_by(other)

    orders.refund(carol.order_id, back=BACK, now=NOW)
    orders.refund(bob.order_id, back=BACK, now=NOW)

    assert left(campaign) == 6 - 1


def test_a_late_payment_takes_units_anew_where_every_seat_has_its_own() -> None:
    campaign = a_campaign(reserve="seat", stock=3)
    group = open_paid_group(campaign)
    late, too_late = a_late_order(group), a_late_order(group)
    open_paid_group(campaign)

    assert (pay(late).state, left(campaign)) == ("paid", 0)
    assert pay(too_late).state == "refunding"


def test_a_late_payment_takes_its_units_from_whatever_shard_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = a_campaign(stock=4, shards=2, reserve="seat")
    monkeypatch.setattr(rules, "shard_for", lambda key, shards: 0)
    group = open_paid_group(campaign)
    late = take(group)
    ending.leave(group_id=group.group_id, member_id=late.member_id, now=NOW)
    take(group)
    assert campaigns.stock_left(campaign, "sku") == {0: 0, 1: 2}

    paid = pay(late)

    assert (paid.state, seated(group)[late.member_id]) == ("paid", (late.order_id, "confirmed"))
    assert campaigns.stock_left(campaign, "sku") == {0: 0, 1: 1}


def test_twenty_units_on_eight_shards_are_six_groups_of_three_and_go_back_to_where_they_were() -> None:
    """research/groupbuy-spike.md: moving on shard by shard stranded two groups' worth."""
    campaign = a_campaign(stock=20, shards=8)
    before = campaigns.stock_left(campaign, "sku")

    heads = [opened(campaign).order for _ in range(6)]

    with pytest.raises(SkuSoldOut) as refused:
        opened(campaign)
    assert (refused.value.details["left"], left(campaign)) == (2, 2)
    assert any(len(order.taken) > 1 for order in heads)
    works("release", now=heads[0].held_until)
    assert campaigns.stock_left(campaign, "sku") == before


def test_a_shard_that_is_emptied_after_the_look_sends_one_to_look_again() -> None:
    campaign = a_campaign(sizes={2: PRICE}, stock=6, shards=3)
    fullest = max(campaigns.stock_left(campaign, "sku"))
    making_ = making()
    campaigns.add_stock(campaign.campaign_id, sku_id="sku", units=4, making=making_)

    with once_before("TransactWriteItems", lambda: [opened(campaign) for _ in range(3)]):
        opened(campaign)

    assert (left(campaign), fullest) == (2, 2)


# --- making and changing campaigns --------------------------------------------------------------------------


def told(**said: Any) -> EditCampaign:
    """What an operator says of a campaign."""
    sku = Sku(
        sku_id="sku", title="Red", list_price_fen=9900, stock=7, prices=[Price(size=3, price_fen=PRICE)]
    )
    product = Product(id="tea", title="Tea", skus=[sku])
    return EditCampaign(
        **{"title": "Tea", "product": product, "starts_at": NOW, "ends_at": NOW + DAY, **said}
    )


def test_a_campaign_made_again_with_its_key_is_the_first(store: Store) -> None:
    first = campaigns.make(told(), making(key="k1"))
    again = campaigns.make(told(), making(key="k1", now=NOW + 5))

    assert (again.campaign_id, again.created_at) == (first.campaign_id, NOW)
    assert (left(first), len(rows(store.client, "truth", kind="audit"))) == (7, 1)
    assert campaigns.make(told(), making(key="k2")).campaign_id != first.campaign_id
    assert campaigns.make(told(), making()).campaign_id != campaigns.make(told(), making()).campaign_id


def test_a_key_that_comes_with_another_body_is_refused_and_changes_nothing(store: Store) -> None:
    campaigns.make(told(), making(key="k1"))
    before = sorted(map(str, rows(store.client, "truth")))
    more = msgspec.structs.replace(told().product.skus[0], sku_id="blue")
    product = Product(id="tea", title="Tea", skus=[*told().product.skus, more])

    for body in (told(title="Coffee"), told(product=product, reserve="seat"), told(stock_shards=4)):
        with pytest.raises(IdempotencyMismatch):
            campaigns.make(body, making(key="k1"))

    assert sorted(map(str, rows(store.client, "truth"))) == before


def test_stock_is_spread_over_its_shards_and_changed_by_the_difference() -> None:
    campaign = campaigns.make(told(stock_shards=3), making())
    call = a_call(operator=OWNER)
    assert campaigns.stock_left(campaign, "sku") == {0: 3, 1: 2, 2: 2}

    more = groupbuys_admin.add_stock(call, campaign.campaign_id, AddStock(sku_id="sku", units=5))
    fewer = groupbuys_admin.add_stock(call, campaign.campaign_id, AddStock(sku_id="sku", units=-6))

    assert (more.left, fewer.left) == (12, 6)
    with pytest.raises(Invalid) as refused:
        groupbuys_admin.add_stock(call, campaign.campaign_id, AddStock(sku_id="sku", units=-6))
    assert refused.value.details["field"] == "units"


# --- the page and the report --------------------------------------------------------------------------------


def test_a_group_s_page_says_all_there_is_to_say_in_one_call() -> None:
    campaign = a_campaign(sizes={4: PRICE})
    group, other = open_paid_group(campaign), open_paid_group(campaign)
    bob = pay(take(group, now=NOW + 1))

    mine = routes.show_group(as_member(bob.member_id), group.group_id)
    stranger = routes.show_group(a_call(), group.group_id)

    assert (mine.can_join, mine.cannot_join_because) == (False, "already_in")
    assert mine.my_order is not None and mine.my_order.order_id == bob.order_id
    assert (stranger.can_join, stranger.my_order, stranger.poll_after_s) == (True, None, 5)
    assert [one.group_id for one in stranger.joinable] == [other.group_id]
    assert [(one.state, one.mine) for one in mine.seats] == [("confirmed", False), ("confirmed", True)]
    assert (mine.free, mine.missing, mine.prices_fen) == (2, 2, {"sku": PRICE})


def test_who_has_a_seat_is_handed_their_link_and_its_card_with_the_page_and_it_is_minted_once(
    store: Store,
) -> None:
    group = open_paid_group(a_campaign(sizes={4: PRICE}))
    bob = take(group)

    share = routes.show_group(as_member(bob.member_id), group.group_id).share
    with counting(table.client()) as spent:
        again = routes.show_group(as_member(bob.member_id), group.group_id).share

    assert share is not None and share == again
    assert f"link={share.code}" in share.card.path and group.group_id in share.card.path
    assert not {"PutItem", "UpdateItem", "TransactWriteItems"} & set(spent.operations)
    (link,) = rows(store.client, "truth", kind="link")
    assert (link["code"], link["sharer_id"]) == (share.code, bob.member_id)
    for reader in (as_member(a_buyer()), a_call()):
        assert routes.show_group(reader, group.group_id).share is None


def test_a_link_that_its_sharer_took_back_is_not_handed_over_again() -> None:
    group = open_paid_group(a_campaign())
    me = as_member(group.head_id)
    share = routes.show_group(me, group.group_id).share
    assert share is not None
    sharing.switch_off(code=share.code, sharer_id=group.head_id)

    assert routes.show_group(me, group.group_id).share is None


def test_what_somebody_just_opened_or_joined_is_in_their_list_though_the_index_lags(store: Store) -> None:
    first, second, other = a_campaign(), a_campaign(), open_paid_group(a_campaign())
    me = a_buyer()
    with Hostile(store.client, dice=random.Random(1), index_delay=math.inf):
        opening = opened(first, buying(me))
        left = opened(second, buying(me))
        orders.cancel(left.order, now=NOW)
        joining = take(other, buying(me), now=NOW + 1)
        late = routes.list_mine(as_member(me, now=NOW + 2), MyGroupsQuery()).items
    caught = routes.list_mine(as_member(me, now=NOW + 2), MyGroupsQuery()).items

    told = [(one.group_id, one.order_id, one.head, one.joined_at) for one in late]
    assert told == [
        (other.group_id, joining.order_id, False, NOW + 1),
        (opening.group.group_id, opening.order.order_id, True, NOW),
    ]
    assert caught == late


def test_a_page_of_my_groups_costs_the_same_however_many_they_are() -> None:
    me, spent = a_buyer(), []
    for campaign in (a_campaign(), a_campaign(), a_campaign()):
        opened(campaign, buying(me))
        routes.list_mine(as_member(me, now=NOW + HOUR), MyGroupsQuery())
        with counting(table.client()) as one:
            routes.list_mine(as_member(me, now=NOW + HOUR), MyGroupsQuery())
        spent.append(dict(one.operations))

    # The list and its seats, the member's part in each campaign and its order, the groups.
    assert spent == [{"Query": 1, "BatchGetItem": 4}] * 3


def test_who_paid_in_a_group_that_was_not_filled_sees_that_they_are_given_back(store: Store) -> None:
    group = open_paid_group(a_campaign(per_member_groups=1), payers=2)
    ending.end(group.group_id, back=ending.EXPIRED, now=NOW)

    page = routes.show_group(a_call(), group.group_id)

    assert [one.state for one in page.seats] == ["refunded", "refunded"]
    mine = reading.in_campaign(group.campaign_id, group.head_id)
    assert [one["state"] for one in mine] == ["refunded"]


def test_a_campaign_is_seen_for_as_long_as_a_group_of_it_may_be_joined() -> None:
    campaign = a_campaign(ends_at=NOW + HOUR)
    last = NOW + HOUR + campaign.open_hold_s + campaign.group_lifetime_s

    def seen(now: int) -> list[str]:
        cache.clear_all()
        return [one.campaign_id for one in campaigns.visible(now=now)]

    assert campaign.campaign_id in seen(NOW + HOUR)
    assert campaign.campaign_id in seen(last - 1)
    assert campaign.campaign_id not in seen(last)


def test_a_campaign_that_would_be_seen_only_when_it_is_over_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        campaigns.make(told(visible_from=NOW + DAY), making())

    assert refused.value.details["field"] == "visible_from"


def test_opening_and_joining_answer_201_the_first_time_and_200_again() -> None:
    campaign = a_campaign()
    alice, bob = a_buyer(), a_buyer()

    first = routes.open_group(as_member(alice), campaign.campaign_id, OpenGroup())
    again = routes.open_group(as_member(alice), campaign.campaign_id, OpenGroup())
    pay(orders.show(first.body.order.order_id))
    group_id = first.body.group.group_id
    joined = [routes.join(as_member(bob), group_id, JoinGroup()) for _ in range(2)]

    assert [one.status for one in (first, again, *joined)] == [201, 200, 201, 200]
    assert again.body.order.order_id == first.body.order.order_id
    assert len({one.body.order.order_id for one in joined}) == 1


def test_the_report_counts_what_came_of_a_campaign_each_once(store: Store) -> None:
    campaign = a_campaign(sizes={4: PRICE})
    filled = open_paid_group(campaign, buying(a_buyer(now=NOW - 3 * DAY)), payers=4)
    failed = open_paid_group(campaign, payers=2)
    opened(campaign)
    late = a_late_order(failed)
    pay(late)
    orders.refund(late.order_id, back=BACK, now=NOW)
    pay(paid_by(filled)[0], "pay_twice")

    run_jobs(store, kinds=("group", "order", "refund"))
    reacted(store.client, now=NOW)

    days = groupbuys_admin.show_report(a_call(operator=OWNER), campaign.campaign_id).items
    total = {
        name: sum(getattr(day, name) for day in days) for name in days[0].__struct_fields__ if name != "day"
    }
    assert total == {
        "visitors": 0,
        "opened": 2,
        "joined": 5,
        "paid": 7,
        "filled": 1,
        "failed": 1,
        "new_members": 6,
        "turnover_fen": 7 * PRICE,
        "refunded_fen": 3 * PRICE,
    }
    assert TODAY in {day.day for day in days}


# --- the mall -----------------------------------------------------------------------------------------------


def mall_seat(campaign: Campaign, number: str, who: str = "c-1", **more: Any) -> Any:
    """What the mall asks when it has made an order of its own."""
    body = seats_mall.TakeSeat(member=MemberRef(external_id=who), mall_order_id=number, **more)
    return seats_mall.take_seat(a_call(), campaign.campaign_id, body)


def tell(kind: str, order_id: str | None = None, *, now: int = NOW, **what: Any) -> Any:
    """What the mall says of an order, under an event id of its own unless it is given."""
    event = MallEvent(**{"id": a_word("evt_"), "type": kind, "order_id": order_id, **what})
    return orders_mall.take_event(a_call(now=now), event)


def a_mall_order(campaign: Campaign, number: str = "M1") -> Order:
    """The paid order of a head whom the mall has seated."""
    order_id = mall_seat(campaign, number).body.order.order_id
    tell("order.paid", order_id, payment_id=f"wx_{number}", goods_fen=PRICE)
    return orders.show(order_id)


def test_the_mall_s_number_is_the_key_of_its_seat_however_often_it_asks() -> None:
    campaign = a_campaign(per_member_units=1)

    first, again = mall_seat(campaign, "M1"), mall_seat(campaign, "M1")
    tell("order.paid", mall_order_id="M1", payment_id="wx_1", goods_fen=PRICE)
    paid = mall_seat(campaign, "M1")

    assert [one.status for one in (first, again, paid)] == [201, 200, 200]
    assert {one.body.order.order_id for one in (first, again, paid)} == {orders.id_for_mall("M1")}
    assert (first.body.price_fen, first.body.held_until, left(campaign)) == (PRICE, NOW + 900, 97)
    assert (paid.body.order.state, first.body.order.gateway) == ("paid", "mall")


def test_another_order_of_the_mall_for_the_same_person_is_told_what_is_in_the_way() -> None:
    campaign = a_campaign()
    first = mall_seat(campaign, "M1")

    with pytest.raises(OrderInTheWay) as refused:
        mall_seat(campaign, "M2")

    assert refused.value.details["order_id"] == first.body.order.order_id
    assert mall_seat(campaign, "M3", who="c-2").status == 201


def test_the_mall_seats_a_second_member_in_the_group_of_the_first() -> None:
    campaign = a_campaign(sizes={2: PRICE})
    head = a_mall_order(campaign)

    joined = mall_seat(campaign, "M2", who="c-2", group_id=head.group_id)
    again = mall_seat(campaign, "M2", who="c-2", group_id=head.group_id)
    tell("order.paid", mall_order_id="M2", payment_id="wx_2", goods_fen=PRICE)

    assert (joined.status, again.status) == (201, 200)
    assert reading.find(head.group_id).state == "filled"
    with pytest.raises(NotFound):
        mall_seat(a_campaign(), "M4", who="c-4", group_id=head.group_id)


def test_the_mall_gives_a_seat_back_once_and_not_when_it_is_paid() -> None:
    campaign = a_campaign()
    mall_seat(campaign, "M1")

    given = [seats_mall.give_seat_back(a_call(), "M1").state for _ in range(2)]

    assert (given, left(campaign)) == (["cancelled", "cancelled"], 100)
    a_mall_order(campaign, "M2")
    with pytest.raises(OrderOver):
        seats_mall.give_seat_back(a_call(), "M2")
    with pytest.raises(NotFound):
        seats_mall.give_seat_back(a_call(), "M9")


def test_the_mall_gives_a_seat_back_by_the_number_that_it_gave_to_an_order_of_the_phone_s() -> None:
    order = opened(a_campaign()).order
    tell("order.created", order.order_id, mall_order_id="M7")

    given = [seats_mall.give_seat_back(a_call(), "M7").state for _ in range(2)]

    assert (given, state(orders.show(order.order_id))) == (["cancelled"] * 2, ["cancelled"])


def test_the_mall_reads_what_to_charge_and_names_an_order_that_the_phone_made_first() -> None:
    config.override(payment_gateway="mall")
    order = opened(a_campaign(gateway="mall")).order

    tell("order.created", order.order_id, mall_order_id="M7")
    with pytest.raises(orders.OrderNamed) as refused:
        tell("order.created", order.order_id, mall_order_id="M8")

    assert refused.value.details == {"mall_order_id": "M7"}
    assert orders.find_for_mall("M8") is None
    shown = orders_mall.show(a_call(), order.order_id)
    assert (shown.amount_fen, shown.mall_order_id, shown.gateway) == (PRICE, "M7", "mall")


def test_an_order_that_the_mall_names_unpaid_is_the_mall_s_to_charge_and_to_give_back() -> None:
    unpaid, paid = (opened(a_campaign()).order for _ in range(2))
    pay(paid)

    ends = [
        tell("order.created", one.order_id, mall_order_id=f"M-{one.group_id}").order for one in (unpaid, paid)
    ]

    # What came by the sandbox goes back by it.
    assert [one.gateway for one in ends] == ["mall", "sandbox"]
    assert orders.show(paid.order_id).mall_order_id == f"M-{paid.group_id}"
    with pytest.raises(NotFound):
        orders_routes.pay_in_sandbox(a_call(), unpaid.order_id, "pay_1")


def test_an_event_about_nothing_known_here_is_taken_and_changes_nothing(store: Store) -> None:
    campaign = a_campaign()
    a_mall_order(campaign)
    before = sorted(map(str, rows(store.client, "truth")))

    taken = [
        tell("order.shipped", "ord_none"),
        tell("product.off_shelf", product_id="nothing_of_ours"),
        tell("member.deleted", member=MemberRef(external_id="nobody")),
    ]

    assert [one.handled for one in taken] == [False] * 3
    assert sorted(map(str, rows(store.client, "truth"))) == before


def test_a_payment_that_the_mall_reports_needs_its_number_and_its_amount() -> None:
    order_id = mall_seat(a_campaign(), "M1").body.order.order_id

    for what in ({"payment_id": "x"}, {"goods_fen": PRICE}):
        with pytest.raises(Invalid):
            tell("order.paid", order_id, **what)


def test_the_mall_s_events_lead_to_the_same_in_any_order_and_repeated() -> None:
    campaign = a_campaign()
    told_of: dict[str, dict[str, Any]] = {
        "order.created": {},
        "order.paid": {"payment_id": "wx_1", "goods_fen": PRICE},
        "order.shipped": {},
        "aftersale.opened": {},
        "aftersale.closed": {},
        "order.completed": {},
    }
    ends = []
    for number, kinds in enumerate(
        (
            list(told_of),
            ["order.shipped", "order.paid", "order.created", "aftersale.closed", "order.completed"],
        )
    ):
        order_id = mall_seat(campaign, f"M{number}", who=f"c-{number}").body.order.order_id
        for kind in (*kinds, *kinds):
            if kind != "aftersale.opened" or not orders.show(order_id).completed_at:
                tell(kind, order_id, **told_of[kind])
        order = orders.show(order_id)
        ends.append((order.state, order.completed_at, order.shipped_at, order.aftersale_open))

    assert ends == [("completed", NOW, NOW, False)] * 2


def test_an_after_sale_is_closed_whichever_end_of_it_is_told_last() -> None:
    order_id = a_mall_order(a_campaign()).order_id
    open_after = []

    for kind, at in (
        ("closed", NOW),
        ("opened", NOW),
        ("opened", NOW - 1),
        ("opened", NOW + 1),
        ("closed", NOW),
        ("closed", NOW + 2),
    ):
        tell(f"aftersale.{kind}", order_id, at=at)
        open_after.append(orders.show(order_id).aftersale_open)

    assert open_after == [False, False, False, True, True, False]


def test_after_sales_of_one_order_are_open_until_the_last_is_closed_told_in_any_order() -> None:
    order_id = a_mall_order(a_campaign()).order_id
    open_after = []

    for kind, number in (
        ("opened", "A"),
        ("closed", "B"),
        ("opened", "B"),
        ("opened", None),
        ("closed", "A"),
        ("opened", "A"),
        ("closed", None),
        ("opened", "C"),
        ("opened", "D"),
        ("closed", "C"),
        ("closed", "D"),
        ("closed", "D"),
    ):
        which: dict[str, Any] = {"aftersale_id": number} if number else {}
        tell(f"aftersale.{kind}", order_id, **which)
        open_after.append(orders.show(order_id).disputed)

    assert open_after == [True] * 6 + [False] + [True] * 3 + [False] * 2


def test_an_end_that_is_told_before_the_payment_is_refused_so_that_it_is_told_again() -> None:
    order_id = mall_seat(a_campaign(), "M1").body.order.order_id

    for kind in ("order.completed", "order.refunded"):
        with pytest.raises(OrderOver):
            tell(kind, order_id)
    tell("order.paid", order_id, payment_id="wx_1", goods_fen=PRICE)

    assert tell("order.completed", order_id).order.state == "completed"


def test_an_order_that_the_mall_cancels_gives_its_seat_back_and_a_later_payment_is_late() -> None:
    campaign = a_campaign()
    order_id = mall_seat(campaign, "M1").body.order.order_id

    assert [tell("order.cancelled", order_id).order.state for _ in range(2)] == ["cancelled"] * 2
    tell("order.paid", order_id, payment_id="wx_1", goods_fen=PRICE)

    assert (state(orders.show(order_id)), left(campaign)) == (["refunding"], 100)


def test_a_refund_is_confirmed_by_its_number_however_often_it_is_told() -> None:
    order = a_mall_order(a_campaign())
    orders.refund(order.order_id, back=BACK, now=NOW)
    (refund,) = orders.money_of(order.order_id)[1]

    ends = [
        tell("order.refunded", order.order_id, refund_id=refund.refund_id, amount_fen=PRICE).order
        for _ in range(2)
    ]

    assert [(one.state, one.refunded_fen) for one in ends] == [("refunded", PRICE)] * 2
    with pytest.raises(NotFound):
        tell("order.refunded", order.order_id, refund_id="rfd_none")


def test_a_refund_of_the_mall_s_own_is_followed_in_full_and_asked_of_nobody() -> None:
    campaign = a_campaign()
    order = a_mall_order(campaign)

    for _ in range(3):
        tell("order.refunded", order.order_id, refund_id="R1", amount_fen=PRICE)

    (refund,) = orders.money_of(order.order_id)[1]
    assert (refund.state, refund.amount_fen, refund.done_at) == ("done", PRICE, NOW)
    assert refund.due_shard is None
    assert (state(order), left(campaign)) == (["refunded"], 100)
    assert reading.find(order.group_id).state == "expired"


def test_refunds_in_part_add_up_each_once_and_the_rest_is_the_whole() -> None:
    campaign = a_campaign()
    order = a_mall_order(campaign)

    for number, fen in (("R1", 900), ("R1", 900), ("R2", 1000), ("R1", 900)):
        tell("order.refunded", order.order_id, refund_id=number, amount_fen=fen)
    row = orders.show(order.order_id)
    assert (row.state, row.refundable_fen, row.refunded_fen) == ("paid", PRICE - 1900, 1900)

    with pytest.raises(Invalid) as refused:
        tell("order.refunded", order.order_id, refund_id="R3", amount_fen=PRICE)
    assert refused.value.details == {
        "field": "amount_fen",
        "reason": "more than is left",
        "left": PRICE - 1900,
    }
    for _ in range(2):
        tell("order.refunded", order.order_id, refund_id="R4", amount_fen=PRICE - 1900)
    row = orders.show(order.order_id)
    assert (row.state, row.refundable_fen, row.refunded_fen) == ("refunded", 0, PRICE)


def test_half_of_an_order_told_twice_does_not_take_the_other_half_with_it() -> None:
    order = a_mall_order(a_campaign())

    for _ in range(3):
        tell("order.refunded", order.order_id, refund_id="R1", amount_fen=PRICE // 2)

    row = orders.show(order.order_id)
    assert (row.state, row.refundable_fen, row.refunded_fen) == ("paid", PRICE // 2, PRICE // 2)


def test_a_part_that_goes_back_before_the_payment_is_told_is_told_again() -> None:
    order_id = mall_seat(a_campaign(), "M1").body.order.order_id

    with pytest.raises(OrderOver):
        tell("order.refunded", order_id, refund_id="R1", amount_fen=900)
    tell("order.paid", order_id, payment_id="wx_1", goods_fen=PRICE)

    assert tell("order.refunded", order_id, refund_id="R1", amount_fen=900).order.refunded_fen == 900


def test_money_for_an_order_that_was_not_named_yet_is_told_again_and_seats_its_buyer() -> None:
    order = opened(a_campaign(gateway="mall")).order
    paid: dict[str, Any] = {"mall_order_id": "M7", "payment_id": "wx_1", "goods_fen": PRICE}

    refunded: dict[str, Any] = {"mall_order_id": "M7", "refund_id": "R1"}
    for kind, what in (("order.paid", paid), ("order.refunded", refunded)):
        with pytest.raises(orders_mall.OrderNotKnown):
            tell(kind, **what)
    tell("order.created", order.order_id, mall_order_id="M7")

    assert tell("order.paid", **paid).order.state == "paid"


def test_what_a_phone_began_to_pay_stays_where_it_is_closed_when_the_mall_names_the_order() -> None:
    order = opened(a_campaign()).order
    begun = orders_routes.begin_payment(as_member(order.member_id), order.order_id)

    named = tell("order.created", order.order_id, mall_order_id="M7").order
    again = orders_routes.begin_payment(as_member(order.member_id), order.order_id)

    assert (named.gateway, again.pay_url) == ("sandbox", begun.pay_url)
    assert tell("order.cancelled", mall_order_id="M7").order.state == "cancelled"
    assert orders.show(order.order_id).prepay_closed


def test_a_payment_that_begins_while_the_mall_names_the_order_is_begun_in_the_mall() -> None:
    order = opened(a_campaign()).order

    with once_before("UpdateItem", lambda: tell("order.created", order.order_id, mall_order_id="M7")):
        orders_routes.begin_payment(as_member(order.member_id), order.order_id)

    row = orders.show(order.order_id)
    assert row.gateway == "mall"
    assert row.prepay_id is None


def test_whom_the_mall_links_is_one_member_by_all_their_names() -> None:
    told = [tell("member.linked", member=MemberRef(external_id="c-9", unionid="u-9")) for _ in range(2)]

    assert [one.handled for one in told] == [True, True]
    names = (MemberRef(external_id="c-9"), MemberRef(unionid="u-9"))
    assert len({members.referred(name, now=NOW).member_id for name in names}) == 1
    with pytest.raises(Invalid):
        tell("member.linked")


# --- what the mall gave back by itself ----------------------------------------------------------------------


def given(order: Order, number: str = "R9", fen: int | None = PRICE, **what: Any) -> Any:
    """The mall gave money back by itself, and says so."""
    return tell("order.refunded", order.order_id, refund_id=number, amount_fen=fen, **what).order


def asked(monkeypatch: pytest.MonkeyPatch, order: Order, do: Callable[[], object] = lambda: None) -> int:
    """The job asks the mall for what is owed, and this happens meanwhile; how often it was asked."""
    bodies: list[str] = []

    def post(body: str, *, delivery_id: str, now: int) -> None:
        bodies.append(body)
        do()

    monkeypatch.setattr("chalicelib.core.deliveries.post", post)
    works("refund", now=NOW)
    return len(bodies)


def waits_twice() -> list[str]:
    """The orders whose refunds the mall may have given twice."""
    there = table.Row.due_shard == due.stuck_shard(orders.TWICE_JOB)
    return [one["pk"].removeprefix("ORDER#") for one in table.index("due", there, limit=10)[0]]


@pytest.mark.parametrize("fen", [PRICE, None])
def test_what_is_owed_is_confirmed_by_the_mall_s_own_refund_and_asked_of_nobody(
    monkeypatch: pytest.MonkeyPatch, fen: int | None
) -> None:
    order = a_mall_order(a_campaign())
    orders.refund(order.order_id, back=BACK, now=NOW)

    ends = [given(order, fen=fen) for _ in range(2)]

    assert [(one.state, one.refunded_fen) for one in ends] == [("refunded", PRICE)] * 2
    assert asked(monkeypatch, order) == 0
    assert waits_twice() == []


def test_another_amount_than_what_is_owed_is_refused_and_confirms_nothing() -> None:
    order = a_mall_order(a_campaign())
    orders.refund(order.order_id, back=BACK, now=NOW)

    with pytest.raises(Invalid):
        given(order, fen=900)

    assert state(order) == ["refunding"]


def test_what_the_mall_gave_by_itself_though_it_was_asked_is_confirmed_and_seen_by_a_person(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = a_mall_order(a_campaign())
    orders.refund(order.order_id, back=BACK, now=NOW)
    assert asked(monkeypatch, order) == 1

    ends = [given(order) for _ in range(2)]
    (refund,) = orders.money_of(order.order_id)[1]
    tell("order.refunded", order.order_id, refund_id=refund.refund_id)

    assert [(one.state, one.refunded_fen) for one in ends] == [("refunded", PRICE)] * 2
    assert waits_twice() == [order.order_id]


@pytest.mark.parametrize("known", ["owed", "asked", "confirmed"])
def test_all_of_a_payment_that_the_mall_gave_by_itself_takes_the_part_that_is_owed_of_it_along(
    monkeypatch: pytest.MonkeyPatch, known: str
) -> None:
    order = a_mall_order(a_campaign())
    orders.told_partly_refunded(order, amount_fen=900, cause="ladder", back=BACK, now=NOW)
    assert known == "owed" or asked(monkeypatch, order) == 1
    if known == "confirmed":
        (part,) = orders.money_of(order.order_id)[1]
        tell("order.refunded", order.order_id, refund_id=part.refund_id)

    ends = [given(order, fen=PRICE) for _ in range(2)]

    assert [(one.state, one.refunded_fen) for one in ends] == [("refunded", PRICE)] * 2
    assert asked(monkeypatch, order) == 0
    assert waits_twice() == ([order.order_id] if known == "asked" else [])


def test_what_the_mall_gave_by_itself_while_it_was_asked_is_seen_by_a_person(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = a_mall_order(a_campaign())
    orders.refund(order.order_id, back=BACK, now=NOW)

    assert asked(monkeypatch, order, lambda: given(order)) == 1

    assert (state(order), waits_twice()) == (["refunded"], [order.order_id])


def test_the_mall_s_own_refund_that_loses_to_the_end_of_the_group_confirms_what_is_owed_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = a_mall_order(a_campaign())

    with once_before(
        "TransactWriteItems", lambda: ending.end(order.group_id, back=ending.EXPIRED, now=NOW + LIFETIME)
    ):
        assert given(order).state == "refunded"

    assert (len(refunds(order)), asked(monkeypatch, order), waits_twice()) == (1, 0, [])


def test_a_payment_too_much_that_the_mall_gives_back_by_itself_leaves_the_good_one_and_its_seat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = a_mall_order(a_campaign())
    tell("order.paid", order.order_id, payment_id="wx_2", goods_fen=PRICE)

    with pytest.raises(Invalid) as unsaid:
        given(order)
    ends = [given(order, payment_id="wx_2") for _ in range(2)]

    assert unsaid.value.details["field"] == "payment_id"
    assert [(one.state, one.refunded_fen) for one in ends] == [("paid", PRICE)] * 2
    assert asked(monkeypatch, order) == 0
    assert given(order, "R10", payment_id="wx_M1").state == "refunded"


@pytest.mark.parametrize("then", ["pending", "cancelled", "paid"])
def test_a_wrong_amount_that_the_mall_gives_back_is_settled_and_no_part_of_the_right_one(then: str) -> None:
    order_id = mall_seat(a_campaign(), "M1").body.order.order_id
    tell("order.paid", order_id, payment_id="wx_wrong", goods_fen=8000)
    if then == "cancelled":
        tell("order.cancelled", order_id)
    if then == "paid":
        tell("order.paid", order_id, payment_id="wx_right", goods_fen=PRICE)
    order = orders.show(order_id)

    with pytest.raises(Invalid):
        given(order, fen=900, payment_id="wx_wrong")
    ends = [given(order, fen=8000, payment_id="wx_wrong") for _ in range(2)]

    assert [(one.state, one.refunded_fen) for one in ends] == [(then, 8000)] * 2
    (wrong,) = [row for row in orders.money_of(order_id)[0] if row.payment_id == "wx_wrong"]
    assert wrong.state == "returned"
    assert wrong.due_shard is None
    assert orders.show(order_id).refundable_fen == (PRICE if then == "paid" else None)


def test_what_goes_back_before_its_payment_is_told_is_told_again() -> None:
    order_id = mall_seat(a_campaign(), "M1").body.order.order_id
    order = orders.show(order_id)
    with pytest.raises(giving.PaymentNotKnown):
        given(order, payment_id="wx_1")
    tell("order.paid", order_id, payment_id="wx_wrong", goods_fen=8000)
    with pytest.raises(giving.PaymentNotKnown):
        given(order)  # of the right one, that is under way
    assert given(order, "R8", 8000).refunded_fen == 8000


def test_the_mall_hears_once_that_a_group_opened_filled_or_ended(store: Store) -> None:
    config.override(mall_webhook_url="http://127.0.0.1:1")
    campaign = a_campaign(sizes={2: PRICE})
    fills, ends = open_paid_group(campaign, payers=1), open_paid_group(campaign, payers=1)
    pay(take(fills))
    works("expire", now=NOW + LIFETIME)

    for _ in range(2):
        reacted(store.client, now=NOW)

    owed = [json.loads(row["body"]) for row in rows(store.client, "truth", kind="delivery")]
    told = [one for one in owed if one["type"].startswith("group.")]
    heard = sorted((one["type"], one["data"]["group_id"]) for one in told)
    assert heard == sorted(
        [
            ("group.opened", fills.group_id),
            ("group.filled", fills.group_id),
            ("group.opened", ends.group_id),
            ("group.expired", ends.group_id),
        ]
    )
    (filled,) = (one["data"] for one in told if one["type"] == "group.filled")
    assert (filled["campaign_id"], filled["size"], filled["members"]) == (campaign.campaign_id, 2, 2)


def test_the_mall_hears_of_a_group_that_opened_while_the_stream_was_down_for_days(store: Store) -> None:
    config.override(mall_webhook_url="http://127.0.0.1:1")
    group = open_paid_group(a_campaign(), payers=2)

    for _ in range(2):
        caught_up(now=NOW + 2 * DAY)

    (told,) = (json.loads(row["body"]) for row in rows(store.client, "truth", kind="delivery"))
    assert (told["type"], told["data"]["group_id"]) == ("group.opened", group.group_id)
    assert told["data"]["expires_at"] == group.expires_at
    assert not [row for row in rows(store.client, "truth", kind="order") if "due_at" in row]


def test_the_mall_is_asked_for_each_refund_under_one_number_until_it_confirms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(
        "chalicelib.core.deliveries.post",
        lambda body, *, delivery_id, now: asked.append((delivery_id, json.loads(body))),
    )
    order = a_mall_order(a_campaign())
    works("expire", now=NOW + LIFETIME)

    for at in (0, HOUR, DAY, DAY + HOUR):
        works("refund", now=NOW + LIFETIME + at)

    (refund,) = orders.money_of(order.order_id)[1]
    assert (refund.state, len(asked), {one for one, _ in asked}) == ("sent", 2, {refund.refund_id})
    assert asked[0] == asked[1]
    assert asked[0][1]["type"] == "refund.requested"
    assert asked[0][1]["data"] == {
        "refund_id": refund.refund_id,
        "order_id": order.order_id,
        "mall_order_id": "M1",
        "payment_id": "wx_M1",
        "amount_fen": PRICE,
        "reason": "group_expired",
    }


def test_the_day_s_books_are_compared_and_every_difference_is_listed() -> None:
    campaign = a_campaign()
    good, short, back = (mall_seat(campaign, f"M{n}", who=f"c-{n}").body.order.order_id for n in range(3))
    for order_id in (good, back):
        tell("order.paid", order_id, payment_id=f"wx_{order_id}", goods_fen=PRICE)
    tell("order.refunded", back, refund_id="R1", amount_fen=900)
    lines = [
        MallLine(order_id=good, paid_fen=PRICE),
        MallLine(mall_order_id="M1", paid_fen=PRICE),
        MallLine(order_id=back, paid_fen=PRICE, refunded_fen=800),
        MallLine(mall_order_id="M9", paid_fen=100),
    ]

    books = orders_mall.reconcile(a_call(), Reconcile(day=TODAY, orders=lines))

    assert short == orders.id_for_mall("M1")
    assert refused_for_no_day() == {"field": "day", "reason": "there is no such day"}
    assert (books.compared, books.differences) == (
        4,
        [
            Difference(order_id=None, mall_order_id="M1", what="paid_fen", theirs=PRICE, ours=0),
            Difference(order_id=back, mall_order_id=None, what="refunded_fen", theirs=800, ours=900),
            Difference(order_id=None, mall_order_id="M9", what="unknown_here", theirs=100, ours=None),
        ],
    )


def refused_for_no_day() -> dict[str, Any]:
    with pytest.raises(Invalid) as refused:
        orders_mall.reconcile(a_call(), Reconcile(day="2026-02-31", orders=[]))
    return refused.value.details


def test_what_came_here_on_the_day_and_is_not_in_the_mall_s_books_is_listed() -> None:
    campaign = a_campaign()
    mine = sorted((a_mall_order(campaign, f"M{n}") for n in range(3)), key=lambda order: order.order_id)
    open_paid_group(campaign)  # its money came by another gateway
    told = [MallLine(order_id=mine[1].order_id, paid_fen=PRICE)]

    def missing(day: str = TODAY, **slice_: str) -> list[str | None]:
        found = orders_mall.reconcile(a_call(), Reconcile(day=day, orders=told, **slice_)).differences
        assert {(one.what, one.theirs, one.ours) for one in found} <= {("missing_there", None, PRICE)}
        return [one.order_id for one in found]

    first, middle, last = (order.order_id for order in mine)
    assert missing() == [first, last]
    assert (missing(until=first), missing(after=first, until=middle), missing(after=middle)) == (
        [first],
        [],
        [last],
    )
    assert missing("2026-01-02") == []
    with counting(table.client()) as spent:
        orders_mall.reconcile(a_call(), Reconcile(day="2026-01-02", orders=[]))
    assert spent.operations == {"Query": config.settings().due_shards}


def test_a_day_begins_and_ends_with_the_brand_s_own() -> None:
    campaign = a_campaign(starts_at=NOW - 9 * DAY, ends_at=NOW + 9 * DAY)
    zone = config.settings().zone
    midnight = int(datetime.fromisoformat("2026-01-02").replace(tzinfo=zone).timestamp())
    for number, at in enumerate((midnight - 1, midnight)):
        order_id = mall_seat(campaign, f"M{number}", who=f"c-{number}").body.order.order_id
        tell("order.paid", order_id, payment_id=f"wx_{number}", goods_fen=PRICE, now=at)

    days = [[order.mall_order_id for order in orders.paid_on(day)] for day in ("2026-01-01", "2026-01-02")]
    assert days == [["M0"], ["M1"]]
