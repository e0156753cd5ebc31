"""What is left of each line of an order, whatever went back and however it was told."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.money import share_within_fen
from chalicelib.orders import lines
from chalicelib.orders.models import Order, Refund

fen = st.integers(min_value=0, max_value=10**7)
sold = st.lists(fen, min_size=1, max_size=8)


def an_order(paid: list[int], *, left: int | None = None, came: int | None = None) -> Order:
    key = Order.key("ord_1")
    return Order(*key, amount_fen=sum(paid), paid_fen=came, refundable_fen=left, payment_id="p1")


def as_sold(paid: list[int]) -> list[dict[str, Any]]:
    return [
        {"line_id": str(n), "product_id": f"p{n}", "quantity": 1, "paid_fen": fen}
        for n, fen in enumerate(paid)
    ]


def a_refund(parts: dict[str, int], *, of: str = "p1", shared: bool = False) -> Refund:
    return Refund("ORDER#ord_1", "REFUND#x", payment_id=of, lines=parts, shared=shared or None)


@given(st.data(), st.lists(fen, min_size=1, max_size=30))
def test_what_is_shared_adds_up_and_is_above_nobody_s_most(data: st.DataObject, most: list[int]) -> None:
    amount = data.draw(st.integers(min_value=0, max_value=sum(most)))

    shares = share_within_fen(amount, most=most)

    assert sum(shares) == amount
    assert all(0 <= share <= limit for share, limit in zip(shares, most, strict=True))


@given(st.data(), sold)
def test_the_lines_say_what_the_order_says_however_it_went_back(data: st.DataObject, paid: list[int]) -> None:
    named = {str(n): data.draw(st.integers(0, fen)) for n, fen in enumerate(paid)}
    left = data.draw(st.integers(0, sum(paid) - sum(named.values())))

    found = lines.computed(an_order(paid, left=left), as_sold(paid), [a_refund(named)])

    assert sum(line.net_fen for line in found) == left
    assert all(named[line.line_id] <= line.refunded_fen <= line.paid_fen for line in found)


def test_a_part_of_one_line_leaves_the_others_whole() -> None:
    found = lines.computed(an_order([6000, 2900], left=7900), as_sold([6000, 2900]), [a_refund({"0": 1000})])

    assert [line.net_fen for line in found] == [5000, 2900]


def test_what_nobody_named_is_in_proportion_to_what_is_left_of_each() -> None:
    found = lines.computed(an_order([6000, 3000], left=4000), as_sold([6000, 3000]), [a_refund({"0": 3000})])

    # 3,000 are left of each line, and 2,000 are of neither.
    assert [line.refunded_fen for line in found] == [4000, 1000]


def test_another_payment_that_went_back_is_of_no_line() -> None:
    twice = a_refund({"0": 6000}, of="p2")

    assert [
        line.net_fen for line in lines.computed(an_order([6000], left=6000), as_sold([6000]), [twice])
    ] == [6000]


def test_an_amount_that_a_person_accepted_is_what_was_paid_for_the_lines() -> None:
    found = lines.computed(an_order([6000, 3000], left=900, came=900), as_sold([6000, 3000]), [])

    assert [(line.paid_fen, line.net_fen) for line in found] == [(600, 600), (300, 300)]


def test_an_order_that_is_not_paid_is_of_what_it_owes() -> None:
    assert [line.net_fen for line in lines.computed(an_order([6000, 3000]), as_sold([6000, 3000]), [])] == [
        6000,
        3000,
    ]
