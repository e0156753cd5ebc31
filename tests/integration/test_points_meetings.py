"""Two who meet over one exchange, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

import msgspec
import pytest

from chalicelib.core import cache
from chalicelib.core.errors import AppError
from chalicelib.points import exchanges
from chalicelib.points.models import Exchange
from chalicelib.points.schemas import AddExchange, EditExchange
from tests.factories import NOW, OWNER, a_member, a_word
from tests.harness.meetings import before_write
from tests.points import an_exchange, earn

pytestmark = pytest.mark.usefixtures("direct")


def taken(row: Exchange) -> None:
    """Somebody exchanges."""
    member_id = a_member()
    earn(100, owner=member_id)
    exchanges.exchange(row.exchange_id, member_id=member_id, idempotency_key=a_word(), now=NOW)


def switched(row: Exchange, to: str) -> None:
    """An operator pauses, resumes or closes it."""
    exchanges.switch(row.exchange_id, to=to, by=OWNER, now=NOW)


def left(row: Exchange) -> int:
    """Units that are there to be taken."""
    return sum(exchanges.stock_left(row).values())


@pytest.mark.parametrize("write", [1, 2])
def test_an_exchange_is_made_by_two_at_once_and_bought_from_by_then(write: int) -> None:
    given = AddExchange(
        title="A card",
        points=10,
        goods="makeup_card",
        what={"count": 1},
        stock=5,
        per_member=1,
        starts_at=NOW - 100,
        ends_at=NOW + 100,
    )

    def made() -> Exchange:
        return exchanges.add(given, by=OWNER, idempotency_key="made", now=NOW)

    with before_write(write, lambda: taken(made())):
        row = made()

    assert left(row) == 4


def test_units_are_taken_out_while_somebody_takes_one() -> None:
    row = an_exchange(stock=3)

    with before_write(1, lambda: taken(row)), pytest.raises(AppError):
        exchanges.add_units(row.exchange_id, units=-3, by=OWNER, idempotency_key="out", now=NOW)

    assert left(row) == 2


def test_what_is_closed_while_another_switches_it_stays_closed() -> None:
    row = an_exchange()

    with before_write(1, lambda: switched(row, "closed")), pytest.raises(exchanges.ExchangeOver):
        switched(row, "paused")
    cache.clear_all()

    assert exchanges.find(row.exchange_id, now=NOW).state == "closed"
    with pytest.raises(exchanges.ExchangeOver):
        taken(row)


def test_what_is_closed_while_another_resumes_it_is_exchanged_no_more() -> None:
    row = an_exchange()
    switched(row, "paused")

    with before_write(1, lambda: switched(row, "closed")), pytest.raises(exchanges.ExchangeOver):
        switched(row, "running")

    with pytest.raises(exchanges.ExchangeOver):
        taken(row)


def test_what_is_closed_while_it_is_edited_is_not_edited() -> None:
    row = an_exchange()
    told = {name: getattr(row, name) for name in EditExchange.__struct_fields__}
    given = msgspec.convert({**told, "title": "Another"}, EditExchange)

    with before_write(1, lambda: switched(row, "closed")), pytest.raises(exchanges.ExchangeOver):
        exchanges.edit(row.exchange_id, given, by=OWNER, now=NOW)
    cache.clear_all()

    assert exchanges.find(row.exchange_id, now=NOW).title == row.title
