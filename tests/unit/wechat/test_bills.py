"""A bill is read to the fen whatever products are called, and what is none is told as such."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chalicelib.wechat import bills
from chalicelib.wechat.bills import BillUnreadable

HEAD = "微信订单号,商户订单号,交易状态,订单金额,商户退款单号,申请退款金额,退款状态,商品名称"
names = st.text(st.characters(codec="utf-8", exclude_characters="\r\n`"), max_size=20)


def bill(*lines: str, counted: int | str | None = None) -> bytes:
    """A file of these lines, as WeChat writes it."""
    end = f"`{len(lines) if counted is None else counted},`0.00"
    return "\r\n".join(["\ufeff" + HEAD, *lines, "总交易单数,应结订单总金额", end, ""]).encode()


def line(amount: str, name: str = "Tea") -> str:
    """A payment of so many yuan."""
    return ",".join(f"`{value}" for value in ("4200", "ord_1", "SUCCESS", amount, "0", "0.00", "", name))


@given(st.integers(0, 10**10), names)
@example(8900, "Jasmine\u2028tea\x1c茉莉\x85花茶")
def test_an_amount_is_read_to_the_fen(fen: int, name: str) -> None:
    (found,) = bills.read(bill(line(f"{fen // 100}.{fen % 100:02d}", name)))

    assert (found.amount_fen, found.order_id, found.kind) == (fen, "ord_1", "payment")


@given(st.binary(max_size=200) | st.text(max_size=20).map(lambda some: bill(line(some))))
@example(bill(line("1.00"), counted="many"))
@example(bill(line("Infinity")))
@example(bill(line("1.001")))
def test_what_is_no_bill_is_told(content: bytes) -> None:
    try:
        read = bills.read(content)
    except BillUnreadable:
        return
    assert len(read) == 1 and f"{read[0].amount_fen / 100:.2f}" == f"{read[0].amount_fen / 100:.2f}"


def test_a_bill_with_fewer_lines_than_it_says_is_not_whole() -> None:
    with pytest.raises(BillUnreadable):
        bills.read(bill(line("1.00"), counted=2))
