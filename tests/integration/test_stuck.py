"""What waits for a person: its story, what can be done about it, and that each decision happens once."""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core import config, deliveries, due, facts, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.http import Listing
from chalicelib.core.table import Row
from chalicelib.groupbuys import ending, holding, reading
from chalicelib.members.models import Member
from chalicelib.operators import admin, stuck
from chalicelib.operators.schemas import StuckRow
from chalicelib.operators.stuck import NotApplicable
from chalicelib.orders import byhand, gateways
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from infra.local.clients import Store
from tests.factories import NOW, OWNER, Books, a_call, a_member, books
from tests.groupbuys import (
    AFTERWARDS,
    a_campaign,
    broken,
    open_paid_group,
    opened,
    orders_of,
    pay,
    react,
    run_jobs,
    take,
)

pytestmark = pytest.mark.usefixtures("direct")
PRICE = 8900
LATER = NOW + 30 * DAY
CALL = a_call(operator=OWNER, now=NOW + 60)


def waiting(*, lang: str = "en") -> list[StuckRow]:
    """The list as operators see it."""
    return admin.list_stuck(a_call(operator=OWNER, lang=lang), Listing()).items


def only() -> StuckRow:
    """The one thing that waits."""
    (found,) = waiting()
    return found


def settle(stuck_id: str, how: str | None = None, *, now: int = NOW + 60) -> str:
    return stuck.settle(stuck_id=stuck_id, how=how, reason="by phone", by=OWNER, now=now)


def cancel(stuck_id: str, *, now: int = NOW + 60) -> None:
    stuck.cancel(stuck_id=stuck_id, reason="of no use", by=OWNER, now=now)


def decisions(store: Store) -> list[dict[str, Any]]:
    """What the trail has about stuck rows."""
    return [row for row in books(store.client).of("audit") if row["action"].startswith("stuck.")]


def a_mismatch(fen: int = PRICE - 1, **told: Any) -> Order:
    """The second of an open group, who paid a wrong amount."""
    order = take(open_paid_group(a_campaign(**told)))
    return pay(order, "pay_wrong", amount_fen=fen)


def a_given_up_refund(monkeypatch: pytest.MonkeyPatch) -> Order:
    """An order whose refund the gateway refused ten times."""
    (order,) = orders_of(open_paid_group(a_campaign(gateway="mall")))
    orders.refund(order.order_id, back=orders.Back(reason="shop"), now=NOW)
    fails(monkeypatch)
    now = NOW
    for _ in range(10):
        due.run(job="refund", worker="w", now=now, seconds=30)
        now += 3600
    monkeypatch.undo()
    return orders.show(order.order_id)


def fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> bool:
        raise gateways.NotRefunded("the mall answered 500")

    monkeypatch.setattr(gateways.Mall, "refund", refuse)


def an_unfinished_order() -> Order:
    """An order that was paid a month ago, and found to be no more than that."""
    (order,) = orders_of(open_paid_group(a_campaign()))
    due.run(job="unfinished", worker="w", now=LATER, seconds=30)
    return order


# --- wrong amounts ------------------------------------------------------------------------------------------


def test_a_wrong_amount_says_whose_it_is_what_came_and_what_can_be_done() -> None:
    order = a_mismatch()

    found = only()

    assert (found.job, found.what, found.kind) == ("mismatch", "A payment of a wrong amount", "payment")
    assert (found.member_id, found.order_id, found.group_id) == (
        order.member_id,
        order.order_id,
        order.group_id,
    )
    assert (found.campaign_id, found.amount_fen, found.since) == (order.campaign_id, PRICE - 1, NOW)
    assert found.details["owed_fen"] == PRICE
    assert (found.details["payment_id"], found.details["order_state"]) == ("pay_wrong", "pending")
    assert found.last_error == f"{PRICE - 1} fen came, {PRICE} fen are owed"
    assert (found.actions, found.settle_as) == (["settle"], ["accepted", "refund", "returned"])
    assert waiting(lang="zh")[0].what == "支付金额与应付不符"


def test_a_wrong_amount_is_refunded_whole_under_its_payments_number_once(store: Store) -> None:
    order = a_mismatch()
    found = only()

    assert [settle(found.id, "refund") for _ in range(2)] == ["refund", "refund"]
    run_jobs(store)

    assert waiting() == []
    ((payment,), (refund,)) = orders.money_of(order.order_id)
    assert (payment.state, refund.state, refund.payment_id) == ("returned", "done", "pay_wrong")
    assert (refund.amount_fen, refund.whole, refund.reason) == (PRICE - 1, False, "mismatch")
    assert orders.show(order.order_id).refunded_fen == PRICE - 1
    assert broken(store, order.campaign_id, at_rest=True) == []
    (audit,) = decisions(store)
    assert (audit["action"], audit["owner"]) == ("stuck.settled", f"{order.member_id}#audit")


def test_a_wrong_amount_that_somebody_gave_back_is_noted_and_sent_nowhere(store: Store) -> None:
    order = a_mismatch()

    settle(only().id, "returned")

    ((payment,), (refund,)) = orders.money_of(order.order_id)
    assert (payment.state, refund.state) == ("returned", "done")
    assert refund.due_shard is None
    assert (waiting(), orders.show(order.order_id).refunded_fen) == ([], PRICE - 1)
    assert broken(store, order.campaign_id) == []


def test_a_wrong_amount_that_is_accepted_confirms_the_seat_as_a_right_one_would(store: Store) -> None:
    order = a_mismatch(sizes={2: PRICE})

    for _ in range(2):
        settle(only_id(order), "accepted")

    found = orders.show(order.order_id)
    assert (found.state, found.payment_id, found.refundable_fen) == ("paid", "pay_wrong", PRICE - 1)
    assert reading.find(order.group_id).state == "filled"
    assert [row.state for row in orders.money_of(order.order_id)[0]] == ["taken"]
    assert (waiting(), broken(store, order.campaign_id), len(decisions(store))) == ([], [], 1)


def only_id(order: Order) -> str:
    """The id under which the order's wrong payment is, or was, stuck."""
    return stuck.id_of("mismatch", Row(f"ORDER#{order.order_id}", "PAYMENT#pay_wrong"))


def test_an_accepted_amount_goes_back_whole_when_its_group_fails(store: Store) -> None:
    order = a_mismatch()
    settle(only().id, "accepted")

    run_jobs(store)

    ((_,), (refund,)) = orders.money_of(order.order_id)
    assert (refund.amount_fen, refund.state) == (PRICE - 1, "done")
    assert broken(store, order.campaign_id, at_rest=True) == []


def test_an_accepted_amount_that_comes_late_finds_a_seat_or_goes_back(store: Store) -> None:
    seated, homeless = a_mismatch(), a_mismatch(late_payment="refund")
    for order in (seated, homeless):
        orders.cancel(orders.show(order.order_id), now=NOW)

    for order in (seated, homeless):
        settle(only_id(order), "accepted")

    assert orders.show(seated.order_id).state == "paid"
    assert orders.show(homeless.order_id).state == "refunding"
    assert [row.amount_fen for row in orders.money_of(homeless.order_id)[1]] == [PRICE - 1]
    assert [broken(store, one.campaign_id) for one in (seated, homeless)] == [[], []]


def test_an_accepted_amount_of_an_order_that_another_payment_paid_goes_back(store: Store) -> None:
    order = a_mismatch()
    pay(order, "pay_right")

    settle(only_id(order), "accepted")

    payments, (refund,) = orders.money_of(order.order_id)
    assert sorted(row.state for row in payments) == ["returned", "taken"]
    assert (refund.payment_id, refund.reason) == ("pay_wrong", "paid_twice")
    assert broken(store, order.campaign_id) == []


@pytest.mark.parametrize(
    ("fen", "back"),
    [(500, []), (PRICE - 1000, []), (PRICE - 999, [1]), (PRICE - 1, [999]), (PRICE + 1, [1001])],
)
def test_who_paid_a_ladder_by_an_accepted_amount_has_paid_no_more_than_its_final_price(
    store: Store, fen: int, back: list[int]
) -> None:
    order = a_mismatch(fen, sizes={2: PRICE, 3: PRICE - 1000}, mode="ladder")
    settle(only_id(order), "accepted")
    head = orders_of(reading.find(order.group_id))[0]
    third = pay(take(reading.find(order.group_id)))

    run_jobs(store)

    given = [[row.amount_fen for row in orders.money_of(one.order_id)[1]] for one in (head, order, third)]
    assert given == [[1000], back, [1000]]
    assert broken(store, order.campaign_id, at_rest=True) == []


def test_a_wrong_amount_is_not_tried_again_nor_cancelled_nor_settled_without_saying_how() -> None:
    a_mismatch()
    found = only()

    for refused in (stuck.retry, stuck.cancel):
        given = {} if refused is stuck.retry else {"reason": "x"}
        with pytest.raises(NotApplicable) as said:
            refused(stuck_id=found.id, by=OWNER, now=NOW, **given)
        assert said.value.details == {"actions": ["settle"]}
    for how in (None, "paid", "told"):
        with pytest.raises(Invalid) as wrong:
            settle(found.id, how)
        assert wrong.value.details["known"] == ["accepted", "refund", "returned"]
    assert only() == found


def test_what_one_operator_decided_another_cannot_decide_otherwise(store: Store) -> None:
    order = a_mismatch()
    found = only()
    settle(found.id, "returned")

    for how in ("refund", "accepted"):
        with pytest.raises(NotFound):
            settle(found.id, how)
    assert (len(orders.money_of(order.order_id)[1]), len(decisions(store))) == (1, 1)


# --- refunds ------------------------------------------------------------------------------------------------


def test_a_refund_that_was_given_up_is_confirmed_by_hand_as_the_mall_would(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = a_given_up_refund(monkeypatch)
    found = only()
    assert (found.job, found.amount_fen, found.attempts) == ("refund", PRICE, 10)
    assert found.last_error == "NotRefunded: the mall answered 500"
    assert (found.details["reason"], found.details["order_state"]) == ("shop", "refunding")
    assert (found.actions, found.settle_as) == (["retry", "settle"], ["paid"])

    assert [settle(found.id), settle(found.id, "paid")] == ["paid", "paid"]

    done = orders.show(order.order_id)
    assert (done.state, done.refunded_fen, waiting()) == ("refunded", PRICE, [])
    assert [row.state for row in orders.money_of(order.order_id)[1]] == ["done"]
    assert len(decisions(store)) == 1
    with pytest.raises(NotApplicable):
        stuck.cancel(stuck_id=a_second(monkeypatch), reason="x", by=OWNER, now=NOW)


def a_second(monkeypatch: pytest.MonkeyPatch) -> str:
    a_given_up_refund(monkeypatch)
    return only().id


def test_a_refund_that_the_mall_confirms_after_all_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    order = a_given_up_refund(monkeypatch)
    found = only()

    ((refund),) = orders.money_of(order.order_id)[1]
    orders.confirm_refund(refund, now=NOW)

    assert waiting() == []
    with pytest.raises(NotFound):
        settle(found.id)
    assert orders.show(order.order_id).refunded_fen == PRICE


def test_a_refund_that_is_taken_on_but_never_confirmed_waits_for_a_person_after_a_week(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (order,) = orders_of(open_paid_group(a_campaign(gateway="mall")))
    orders.refund(order.order_id, back=orders.Back(reason="shop"), now=NOW)
    monkeypatch.setattr(gateways.Mall, "refund", lambda *_, **__: False)

    for hour in (*range(0, 24 * 7, 24), *range(24 * 7, 24 * 8)):
        due.run(job="refund", worker="w", now=NOW + hour * 3600, seconds=30)

    found = only()
    assert (found.order_id, found.attempts) == (order.order_id, 10)
    assert found.last_error == "NotRefunded: it was taken on, and never confirmed"
    assert 7 * DAY <= found.since - NOW < 8 * DAY


# --- paid orders that were never completed ------------------------------------------------------------------


def test_an_order_that_is_only_paid_after_a_month_waits_for_a_person(store: Store) -> None:
    group = open_paid_group(a_campaign(sizes={2: PRICE}), payers=2)
    done, order = orders_of(group)
    orders.complete(done.order_id, now=NOW + DAY)

    for now in (LATER - 1, LATER):
        due.run(job="unfinished", worker="w", now=now, seconds=30)
        assert len(waiting()) == int(now == LATER)

    found = only()
    assert (found.job, found.order_id, found.member_id) == ("unfinished", order.order_id, order.member_id)
    assert (found.amount_fen, found.last_error) == (PRICE, f"paid at {NOW}, never completed")
    assert found.actions == ["retry", "settle", "cancel"]
    assert len([row for row in books(store.client).of("payment") if "due_shard" in row]) == 1


def test_it_is_completed_by_hand_as_the_mall_would_complete_it(store: Store) -> None:
    order = an_unfinished_order()
    found = only()

    assert [settle(found.id, now=LATER) for _ in range(2)] == ["completed", "completed"]

    done = orders.show(order.order_id)
    assert (done.state, done.completed_at, waiting()) == ("completed", LATER, [])
    assert len(decisions(store)) == 1


def test_it_may_stay_as_it_is_and_is_listed_no_more(store: Store) -> None:
    order = an_unfinished_order()
    found = only()

    for _ in range(2):
        cancel(found.id)

    assert (orders.show(order.order_id).state, waiting(), len(decisions(store))) == ("paid", [], 1)


def test_looked_at_again_it_is_listed_again_or_not_at_all() -> None:
    order = an_unfinished_order()
    stuck.retry(stuck_id=only().id, by=OWNER, now=LATER)
    due.run(job="unfinished", worker="w", now=LATER, seconds=30)
    found = only()

    orders.complete(order.order_id, now=LATER)
    stuck.retry(stuck_id=found.id, by=OWNER, now=LATER + 1)
    due.run(job="unfinished", worker="w", now=LATER + 1, seconds=30)

    assert waiting() == []


@pytest.mark.parametrize("end", ["completed", "refunded"])
def test_an_order_that_goes_on_after_all_waits_for_nobody(store: Store, end: str) -> None:
    order = an_unfinished_order()

    if end == "completed":
        orders.complete(order.order_id, now=LATER)
    else:
        orders.refund(order.order_id, back=orders.Back(reason="shop"), now=LATER)
    react(store, now=LATER, kinds=("order",))

    assert waiting() == []


def test_an_order_that_is_completed_while_the_job_looks_is_not_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_paid_group(a_campaign())
    (entry,) = due._due("unfinished#0", now=LATER)
    show = orders.show

    def overtaken(order_id: str, **given: Any) -> Order:
        found = show(order_id, **given)
        monkeypatch.setattr(orders, "show", show)
        orders.complete(order_id, now=LATER)
        return found

    monkeypatch.setattr(orders, "show", overtaken)
    byhand.look_at(entry, LATER)
    assert waiting() == []
    byhand.look_at(entry, LATER)

    assert (waiting(), list(due._due("unfinished#0", now=LATER))) == ([], [])


def test_where_the_mall_never_completes_orders_nothing_is_looked_at(store: Store) -> None:
    config.override(unfinished_days=0)
    open_paid_group(a_campaign(), payers=2)

    assert [row for row in books(store.client).of("payment") if "due_shard" in row] == []


# --- messages, facts, jobs ----------------------------------------------------------------------------------


def a_message(event_type: str, **data: Any) -> str:
    """A message that was tried ten times; its id."""
    config.override(mall_webhook_url="http://mall.example/hooks")
    (write,) = deliveries.owe(event_type, cause=["1"], data=data, now=NOW)
    table.apply(write)
    for _ in range(10):
        row: Any = table.get(deliveries.Delivery, (write.row.pk, "META"))
        named = {name: getattr(row, name) for name in due.Entry.__annotations__ if name != "kind"}
        due.postpone(due.Entry(kind="delivery", **named), deliveries.NotDelivered("500"), now=row.due_at)
    return str(write.row.pk)


@pytest.mark.parametrize(
    ("do", "state"), [(lambda found: settle(found.id), "done"), (lambda found: cancel(found.id), "cancelled")]
)
def test_a_message_was_told_by_other_means_or_need_not_be_told(
    store: Store, do: Callable[[StuckRow], object], state: str
) -> None:
    pk = a_message("group.filled", group_id="grp_1", member_id="mbr_1")
    found = only()
    assert (found.group_id, found.member_id, found.details["type"]) == ("grp_1", "mbr_1", "group.filled")
    assert found.actions == ["retry", "settle", "cancel"]

    for _ in range(2):
        do(found)

    row = books(store.client).only("delivery")
    assert (row["pk"], row["state"], "due_shard" in row) == (pk, state, False)
    assert (waiting(), len(decisions(store))) == ([], 1)


def test_a_message_that_asks_the_mall_for_something_stays_owed() -> None:
    a_message("withdrawal.requested", amount_fen=500)
    found = only()

    assert (found.actions, found.amount_fen) == (["retry", "settle"], 500)
    with pytest.raises(NotApplicable):
        cancel(found.id)
    assert only() == found


@pytest.mark.parametrize(("fact", "may"), [("member.registered", True), ("group.filled", False)])
def test_a_dead_letter_is_cancelled_unless_its_reactions_move_money(fact: str, may: bool) -> None:
    key = Member.key(a_member())
    waits = (Row.due_shard.set("stuck#react"), Row.due_at.set(NOW), Row.due_ref.set(fact))
    table.apply(table.update(Row, key, *waits, refuse=NotFound))
    found = only()
    assert (found.job, found.ref, found.details["row"]) == ("react", fact, key[0])
    assert facts.moves_money(fact) is not may

    if may:
        cancel(found.id)
    else:
        with pytest.raises(NotApplicable):
            cancel(found.id)

    assert [one.id for one in waiting()] == ([] if may else [found.id])
    assert found.actions == ["retry", *(["cancel"] if may else [])]


def test_a_job_that_failed_can_only_be_tried_again() -> None:
    group = open_paid_group(a_campaign())
    key = (f"GROUP#{group.group_id}", "META")
    table.apply(table.update(Row, key, Row.due_shard.set("stuck#expire"), refuse=NotFound))
    found = only()
    assert (found.job, found.group_id, found.actions) == ("expire", group.group_id, ["retry"])

    for refused in (lambda: settle(found.id), lambda: cancel(found.id)):
        with pytest.raises(NotApplicable):
            refused()
    stuck.retry(stuck_id=found.id, by=OWNER, now=AFTERWARDS)
    due.run(job=holding.EXPIRE_JOB, worker="w", now=AFTERWARDS, seconds=30)

    assert (reading.find(group.group_id).state, waiting()) == ("expired", [])
    assert ending.EXPIRED.reason == "group_expired"


def test_an_id_of_another_kind_of_row_is_not_stuck() -> None:
    member = Row(*Member.key(a_member()))

    for job in ("deliver", "refund", "mismatch", "unfinished", "react", "nothing"):
        stuck_id = stuck.id_of(job, member)
        for do in (lambda: settle(stuck_id), lambda: cancel(stuck_id)):  # noqa: B023
            with pytest.raises(NotFound):
                do()
        with pytest.raises(NotFound):
            stuck.retry(stuck_id=stuck_id, by=OWNER, now=NOW)


def test_money_stands_first_and_every_page_goes_on_where_the_one_before_ended() -> None:
    an_unfinished_order()
    a_message("group.filled")
    for _ in range(3):
        a_mismatch()
    opened(a_campaign())

    found, after = [], None
    while True:
        page = admin.list_stuck(CALL, Listing(limit=2, after=after))
        found += [one.job for one in page.items]
        after = page.next
        if after is None:
            break

    assert found == ["mismatch"] * 3 + ["deliver", "unfinished"]


def test_a_person_can_be_told_what_was_decided_by_the_trail(store: Store) -> None:
    a_mismatch()
    settle(only().id, "refund")

    (told,) = decisions(store)
    there: Books = books(store.client)

    assert there["refund"] == 1
    assert (told["by"], told["at"]) == (OWNER.key_id, NOW + 60)
    assert '"reason": "by phone"' in told["after"] and "settled:refund" in told["after"]
    assert f"{PRICE - 1} fen came" in told["before"]
