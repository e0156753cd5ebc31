"""The mall's ordinary orders: told by either event, in any order, repeated; paid, given back in parts, and owed."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations
from typing import Any

import msgspec
import pytest

from chalicelib.core import due, facts, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import AppError
from chalicelib.groupbuys import ending
from chalicelib.groupbuys import service as groupbuys
from chalicelib.orders import giving, mall
from chalicelib.orders import service as orders
from chalicelib.orders.models import Lines, Order
from chalicelib.orders.schemas import Reconcile
from infra.local.clients import Store
from tests.factories import NOW, TODAY, a_call, a_link, a_member, books, caught_up, reacted
from tests.groupbuys import a_campaign, open_paid_group, orders_of
from tests.harness.rows import rows
from tests.orders import CUP, TEA, a_number, back, bought, broken, net, paid, tell, the_order

pytestmark = pytest.mark.usefixtures("direct")


@pytest.fixture(autouse=True)
def the_books(store: Store) -> Iterator[None]:
    """Whatever a test does, every ordinary order adds up at its end."""
    yield
    for row in rows(store.client, "truth", kind="order"):
        if row["purpose"] == "mall":
            assert broken(orders.show(row["order_id"])) == []


def refusal(do: Callable[[], Any]) -> tuple[str, Any]:
    """The code of a refusal, and the field that it names."""
    with pytest.raises(AppError) as refused:
        do()
    return refused.value.code, refused.value.details.get("field")


# --- told ---------------------------------------------------------------------------------------------------


def test_an_order_that_is_created_and_paid_is_one_order_of_its_lines(store: Store) -> None:
    number, link = a_number(), a_link(sharer_id=a_member()).code

    tell("order.created", number, **bought(link=link, created_at=NOW - 60))
    taken = tell("order.paid", number, payment_id="wx_1", **bought(created_at=NOW - 30))

    order = the_order(number)
    assert (order.state, order.purpose, order.gateway, order.link) == ("paid", "mall", "mall", link)
    assert (order.amount_fen, order.created_at, order.paid_at) == (8900, NOW - 60, NOW)
    assert (order.title, order.quantity) == ("Tea +1", 3)
    assert taken.order and (taken.order.order_id, taken.order.group_id) == (orders.id_for_mall(number), None)
    assert [
        (line.product_id, line.sku_id, line.category_ids, line.quantity, line.paid_fen)
        for line in orders.lines_of(order)
    ] == [
        ("tea", None, ("drinks",), 2, 6000),
        ("cup", "blue", (), 1, 2900),
    ]
    assert books(store.client)["order"] == 1


@pytest.mark.parametrize("course", list(permutations(["created", "paid", "refunded"])), ids="-".join)
def test_in_whatever_order_it_is_told_and_twice_it_comes_to_the_same(
    store: Store, course: tuple[str, ...]
) -> None:
    number = a_number()
    say: dict[str, Callable[[], Any]] = {
        "created": lambda: tell("order.created", number, id="e1", **bought()),
        "paid": lambda: tell("order.paid", number, id="e2", payment_id="wx_1", **bought()),
        "refunded": lambda: tell("order.refunded", number, id="e3", refund_id="R1", amount_fen=900),
    }

    waiting = [name for name in course for _ in range(2)]
    while waiting:  # a 409 is sent again later
        name = waiting.pop(0)
        try:
            say[name]()
        except AppError as refused:
            assert (name, refused.status) == ("refunded", 409)
            waiting.append(name)

    found = books(store.client)
    assert (found["order"], found["payment"], found["refund"]) == (1, 1, 1)
    order = the_order(number)
    assert (order.state, order.refundable_fen, order.refunded_fen) == ("paid", 8000, 900)


def test_what_says_nothing_of_lines_and_member_is_as_it_was() -> None:
    number = a_number()

    assert not tell("order.created", number).handled
    assert not tell("order.cancelled", number).handled
    for kind in ("order.paid", "order.refunded", "order.completed", "aftersale.opened"):
        assert refusal(partial(tell, kind, number, payment_id="wx_1", goods_fen=8900)) == (
            "order_not_known",
            None,
        )
    assert refusal(lambda: tell("order.paid", number, payment_id="p", **{**bought(), "member": None})) == (
        "invalid",
        "member",
    )
    assert refusal(lambda: tell("order.paid", number, order_id="ord_none", payment_id="p", **bought())) == (
        "order_not_known",
        None,
    )


@pytest.mark.parametrize(
    ("what", "field"),
    [
        ({"goods_fen": 8901}, "goods_fen"),
        ({"lines": [TEA, {**CUP, "line_id": "1"}]}, "lines[1].line_id"),
        ({"lines": [{**TEA, "product_id": None}, CUP]}, "lines[0].product_id"),
        ({"lines": [TEA, {**CUP, "quantity": None}]}, "lines[1].quantity"),
        ({"lines": [TEA, {**CUP, "paid_fen": None}]}, "lines[1].paid_fen"),
        ({"payment_id": None}, "payment_id"),
        ({"member": {"program_id": "demo"}}, "member"),
    ],
)
def test_what_does_not_add_up_is_named_and_makes_no_order(
    store: Store, what: dict[str, Any], field: str
) -> None:
    told = {"payment_id": "wx_1", **bought(), **what}

    assert refusal(lambda: tell("order.paid", a_number(), **told)) == ("invalid", field)
    assert books(store.client)["order"] == 0


def test_a_price_that_changed_before_it_was_paid_is_what_was_paid() -> None:
    number = a_number()
    tell("order.created", number, **bought())

    tell("order.paid", number, payment_id="wx_1", **bought({**TEA, "paid_fen": 5000}, CUP))
    tell("order.created", number, **bought())

    order = the_order(number)
    assert (order.state, order.amount_fen, net(order)) == ("paid", 7900, {"1": 5000, "2": 2900})


def test_a_payment_without_lines_of_another_amount_waits_for_a_person() -> None:
    number = a_number()
    tell("order.created", number, **bought())

    tell("order.paid", number, payment_id="wx_1", goods_fen=7900)

    assert the_order(number).state == "pending"
    [payment] = orders.money_of(the_order(number).order_id)[0]
    assert payment.state == "mismatch"


def test_an_order_that_was_cancelled_and_is_paid_after_all_is_paid() -> None:
    number = a_number()
    tell("order.created", number, **bought())
    tell("order.cancelled", number)
    assert the_order(number).state == "cancelled"

    tell("order.paid", number, payment_id="wx_1", **bought())

    assert the_order(number).state == "paid"


def test_a_second_payment_is_asked_back_and_the_order_stays() -> None:
    order = paid()

    tell("order.paid", order.mall_order_id or "", payment_id="wx_2", **bought())

    [refund] = orders.money_of(order.order_id)[1]
    assert (refund.payment_id, refund.reason, refund.state) == ("wx_2", "paid_twice", "due")
    assert net(order) == {"1": 6000, "2": 2900}


def test_an_order_of_a_group_stays_one_whatever_lines_are_told_of_it() -> None:
    group = open_paid_group(a_campaign(gateway="mall"))
    [order] = orders_of(group)
    tell("order.created", "M-of-a-group", order_id=order.order_id)

    tell("order.created", "M-of-a-group", **bought())

    assert the_order("M-of-a-group").purpose == "group"
    [line] = orders.lines_of(orders.show(order.order_id))
    assert (line.line_id, line.sku_id, line.paid_fen, line.net_fen) == ("1", "sku", 8900, 8900)
    orders.told_partly_refunded(order, amount_fen=900, cause="mall#1", now=NOW)
    assert net(order) == {"1": 8000}


def test_a_number_of_an_ordinary_order_has_no_seat() -> None:
    order = paid()
    campaign = a_campaign()
    wants = groupbuys.Buying(
        member_id=order.member_id, sku_id=None, quantity=1, mall_order_id=order.mall_order_id
    )

    assert refusal(
        lambda: groupbuys.open_group(campaign_id=campaign.campaign_id, buying=wants, size=None, now=NOW)
    ) == (
        "order_in_the_way",
        None,
    )


# --- given back ---------------------------------------------------------------------------------------------


def test_a_part_of_one_line_of_several_is_of_that_line() -> None:
    order = back(paid(), lines=[{"line_id": "1", "amount_fen": 2000}])

    assert (order.state, order.refundable_fen, order.refunded_fen) == ("paid", 6900, 2000)
    assert net(order) == {"1": 4000, "2": 2900}


def test_a_part_of_no_line_is_in_proportion_to_what_is_left_of_each() -> None:
    order = back(paid(), "R1", lines=[{"line_id": "1", "amount_fen": 3100}])

    back(order, "R2", amount_fen=580)

    assert net(order) == {"1": 2900 - 290, "2": 2900 - 290}


def test_what_is_named_counts_before_what_was_only_shared() -> None:
    order = back(paid(), "R1", amount_fen=890)
    assert net(order) == {"1": 5400, "2": 2610}

    back(order, "R2", lines=[{"line_id": "1", "amount_fen": 6000}])

    # 600 of the first line were only a guess: the second bears them.
    assert net(order) == {"1": 0, "2": 2010}


@pytest.mark.parametrize(
    ("what", "field"),
    [
        ({"lines": [{"line_id": "9", "amount_fen": 1}]}, "lines[0].line_id"),
        (
            {"lines": [{"line_id": "1", "amount_fen": 1000}, {"line_id": "2", "amount_fen": 2901}]},
            "lines[1].amount_fen",
        ),
        ({"lines": [{"line_id": "1", "amount_fen": 5001}]}, "lines[0].amount_fen"),
        ({"lines": [{"line_id": "1"}]}, "lines[0].amount_fen"),
        ({"lines": [{"line_id": "1", "amount_fen": 1}] * 2}, "lines[1].line_id"),
        ({"lines": [{"line_id": "1", "amount_fen": 1}], "amount_fen": 2}, "amount_fen"),
        ({"amount_fen": 7901}, "amount_fen"),
    ],
)
def test_a_part_that_cannot_be_is_named_and_changes_nothing(what: dict[str, Any], field: str) -> None:
    order = back(paid(), "R1", lines=[{"line_id": "1", "amount_fen": 1000}])

    assert refusal(lambda: back(order, "R2", **what)) == ("invalid", field)
    assert net(order) == {"1": 5000, "2": 2900}


def test_all_of_it_ends_the_order_by_lines_or_not() -> None:
    lines = [{"line_id": "1", "amount_fen": 6000}, {"line_id": "2", "amount_fen": 2900}]
    ways: list[dict[str, Any]] = [{}, {"amount_fen": 8900}, {"lines": lines}]

    ends = [back(paid(), **way) for way in ways]

    assert {(order.state, order.refunded_fen) for order in ends} == {("refunded", 8900)}
    assert [net(order) for order in ends] == [{"1": 0, "2": 0}] * 3


def test_a_part_that_is_told_after_the_rest_was_is_contained_in_it() -> None:
    order = back(paid(), "N2")

    for _ in range(2):
        back(order, "N1", amount_fen=4000)

    assert (orders.show(order.order_id).refunded_fen, broken(order)) == (8900, [])
    assert refusal(lambda: back(order, "N3", amount_fen=8901)) == ("invalid", "amount_fen")


def test_what_an_operator_gives_back_is_asked_of_the_mall_and_confirmed_by_it() -> None:
    order = back(paid(), lines=[{"line_id": "2", "amount_fen": 900}])
    orders.refund(order.order_id, back=orders.Back(reason="operator"), now=NOW)
    [refund] = [one for one in orders.money_of(order.order_id)[1] if one.state == "due"]
    assert (refund.amount_fen, orders.show(order.order_id).state, net(order)) == (
        8000,
        "refunding",
        {"1": 0, "2": 0},
    )

    back(order, refund.refund_id)

    assert orders.show(order.order_id).state == "refunded"


def test_what_is_completed_can_still_go_back() -> None:
    order = paid()
    for _ in range(2):
        tell("order.completed", order.mall_order_id or "", now=NOW + DAY)

    assert orders.show(order.order_id).completed_at == NOW + DAY
    assert back(order, now=NOW + 2 * DAY).state == "refunded"


def test_a_completion_before_the_payment_is_told_again_later() -> None:
    number = a_number()
    tell("order.created", number, **bought())

    assert refusal(lambda: tell("order.completed", number)) == ("order_over", None)


# --- owed ---------------------------------------------------------------------------------------------------


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What somebody who reacts to all that happens to orders has heard: the fact, and the state it found."""
    found: list[tuple[str, str]] = []

    def listens(name: str) -> facts._Reaction:
        def hear(row: Any, now: int) -> None:
            found.append((name, f"{row.kind}" and (row.state or "")))

        return facts._Reaction(name="test.hears", effect=lambda row, now: (), money=False, errand=hear)

    for name in ("created", "paid", "completed", "refunding", "refunded", "reduced"):
        others = facts._reactions.get(f"order.{name}", [])
        monkeypatch.setitem(facts._reactions, f"order.{name}", [*others, listens(f"order.{name}")])
    return found


def test_every_step_is_told_though_the_stream_never_says_it(heard: list[tuple[str, str]]) -> None:
    number = a_number()
    tell("order.created", number, **bought())
    caught_up(now=NOW)
    tell("order.paid", number, payment_id="wx_1", **bought())
    caught_up(now=NOW)
    back(the_order(number), amount_fen=900)
    tell("order.completed", number)
    caught_up(now=NOW)
    back(the_order(number), "R2")
    caught_up(now=NOW)

    assert [name.partition(".")[2] for name, _ in heard] == [
        "created",
        "paid",
        "reduced",
        "completed",
        "refunded",
    ] or [name.partition(".")[2] for name, _ in heard] == [
        "created",
        "paid",
        "completed",
        "reduced",
        "refunded",
    ]
    assert the_order(number).due_shard is None


def test_a_step_that_replaces_another_lets_it_be_told_first(heard: list[tuple[str, str]]) -> None:
    number = a_number()
    tell("order.created", number, **bought())
    tell("order.paid", number, payment_id="wx_1", **bought())
    tell("order.completed", number)
    orders.refund(the_order(number).order_id, back=orders.Back(reason="operator"), now=NOW)
    [refund] = orders.money_of(the_order(number).order_id)[1]
    back(the_order(number), refund.refund_id)

    # Each in the state that it made: nothing was told of the row that replaced it.
    assert heard == [
        ("order.created", "pending"),
        ("order.paid", "paid"),
        ("order.completed", "completed"),
        ("order.refunding", "refunding"),
    ]
    caught_up(now=NOW)
    assert heard[4:] == [("order.refunded", "refunded")]


def test_who_fails_to_react_holds_up_no_money_and_hears_of_it_later(
    heard: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    number, broke = a_number(), [True]

    def fails(row: Any, now: int) -> None:
        if broke[0]:
            raise RuntimeError("broken")
        heard.append(("late", row.state))

    failing = facts._Reaction(name="test.fails", effect=lambda row, now: (), money=False, errand=fails)
    monkeypatch.setitem(facts._reactions, "order.created", [*facts._reactions["order.created"], failing])
    tell("order.created", number, **bought())

    tell("order.paid", number, payment_id="wx_1", **bought())
    assert the_order(number).state == "paid"
    assert books(store.client).only("dead_letter")["fact"] == "order.created"
    broke[0] = False
    reacted(store.client, now=NOW)

    assert ("late", "paid") in heard
    assert books(store.client)["dead_letter"] == 0


def test_a_group_that_ends_at_once_lets_its_payments_be_told_first(heard: list[tuple[str, str]]) -> None:
    group = open_paid_group(a_campaign(), payers=2)

    ending.end(group.group_id, back=ending.EXPIRED, now=NOW)
    assert heard == [("order.paid", "paid")] * 2
    due.run(job=orders.REFUND_JOB, worker="w", now=NOW, seconds=30)
    caught_up(now=NOW)

    assert heard[2:] == [("order.refunding", "refunding")] * 2 + [("order.refunded", "refunded")] * 2


def owed_a_part() -> Order:
    """An order of a group of which 900 are owed back, and nobody was asked for it yet."""
    [order] = orders_of(open_paid_group(a_campaign(gateway="mall")))
    back = orders.Back(reason="ladder")
    orders.told_partly_refunded(order, amount_fen=900, cause="x#difference", back=back, now=NOW)
    return orders.show(order.order_id)


def test_a_part_that_the_house_gives_back_is_told_before_the_gateway_is_asked(
    heard: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = owed_a_part()
    monkeypatch.setattr("chalicelib.core.deliveries.post", lambda body, **_: None)

    due.run(job=orders.REFUND_JOB, worker="w", now=NOW, seconds=30)

    assert heard == [("order.reduced", "due")]
    assert net(order) == {"1": 8000}


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("over", [False, True])
def test_a_part_that_is_owed_and_that_the_mall_gives_by_itself_goes_back_once(
    heard: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, asked: bool, over: bool
) -> None:
    order, posted = owed_a_part(), []
    monkeypatch.setattr("chalicelib.core.deliveries.post", lambda body, **_: posted.append(body))
    if asked:
        due.run(job=orders.REFUND_JOB, worker="w", now=NOW, seconds=30)
    if over:
        orders.refund(order.order_id, back=orders.Back(reason="operator"), now=NOW)

    for _ in range(2):
        given = giving.Given(number="R1", amount_fen=900, payment_id=None)
        giving.follow(orders.show(order.order_id), given, now=NOW)

    order = orders.show(order.order_id)
    [part] = [one for one in orders.money_of(order.order_id)[1] if not one.whole]
    assert (part.state, part.number, order.refunded_fen) == ("done", "R1", 900)
    assert (order.refundable_fen, order.state) == ((0, "refunding") if over else (8000, "paid"))
    assert part.due_shard == (due.stuck_shard(orders.TWICE_JOB) if asked else None)
    assert [one for one in heard if one[0] == "order.reduced"] == [("order.reduced", "due")]
    assert len(posted) == asked


# --- for people ---------------------------------------------------------------------------------------------


def test_the_rows_of_an_order_stay_small_however_many_lines_it_has() -> None:
    many = [{**TEA, "line_id": str(n), "paid_fen": 100} for n in range(100)]

    order = paid(*many)

    kept = table.get(Lines, Lines.key(order.order_id))
    assert kept is not None and len(kept.lines) == 100
    assert len(orders.lines_of(back(order, amount_fen=50))) == 100
    assert sum(net(order).values()) == 9950


def test_the_mall_s_books_are_compared_by_state_too() -> None:
    order = paid()
    line = {"mall_order_id": order.mall_order_id, "paid_fen": 8900}

    def differences(**more: Any) -> list[tuple[str, Any, Any]]:
        body = msgspec.convert({"day": TODAY, "orders": [{**line, **more}]}, Reconcile)
        return [(one.what, one.theirs, one.ours) for one in mall.reconcile(a_call(), body).differences]

    assert differences() == []
    assert differences(state="paid") == []
    assert differences(state="completed") == [("state", "completed", "paid")]
    assert differences(state="refunded", refunded_fen=8900) == [
        ("refunded_fen", 8900, 0),
        ("state", "refunded", "paid"),
    ]
