"""The rows of a simulation answer as the embedded store does: pages, orders, conditions, indexes that follow."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.scale.store import Memory
from chalicelib.core import table
from chalicelib.core.table import Row
from chalicelib.coupons.models import Stock
from infra.local.clients import Store
from tests.harness.direct import Direct


def stock(n: int, **more: Any) -> Stock:
    """A row among others, owned by somebody."""
    told: dict[str, Any] = {"template_id": "t", "issued": n, "on": True, "claim_from": 0, "claim_until": 1}
    return Stock("S", f"{n:02d}", **told, **table.listed("me", at=n % 3, as_=f"{n:02d}"), **more)


def pages(ask: Callable[[Any], table.Page]) -> Iterator[list[str]]:
    """What is on each page, until there is no other."""
    page = ask(None)
    yield [row.sk for row in page.rows]
    while page.next_key is not None:
        page = ask(page.next_key)
        yield [row.sk for row in page.rows]


def seen() -> list[Any]:
    """All that is asked here, of whichever store the app stands on."""
    for n in range(7):
        table.apply(table.create(stock(n)))
    table.apply(table.update(Stock, ("S", "03"), *[Row.owner.remove()], refuse=ValueError))
    table.apply(table.update(Stock, ("S", "04"), Row.listed_at.set("9"), refuse=ValueError))
    table.apply(table.delete(Stock, ("S", "05"), when=Stock.issued == 5, refuse=ValueError))
    with pytest.raises(ValueError):
        table.apply(
            table.delete(Stock, ("S", "06"), when=Stock.issued == 5, refuse=lambda row: ValueError(row.sk))
        )
    return [
        list(pages(lambda after: table.query(Stock, "S", limit=2, after=after))),
        list(pages(lambda after: table.query(Stock, "S", limit=4, newest_first=True, after=after))),
        list(pages(lambda after: table.query(Stock, "S", Stock.sk.between("01", "04"), after=after))),
        list(pages(lambda after: table.query(Stock, "S", Stock.sk.startswith("0"), limit=3, after=after))),
        list(pages(lambda after: table.owned("me", limit=2, after=after))),
        [row and row.issued for row in table.get_many([(Stock, ("S", "01")), (Stock, ("S", "05"))])],
    ]


def test_it_answers_as_the_embedded_store_does(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_client", Direct(store.client))
    expected = seen()
    monkeypatch.setattr(table, "_client", Memory(store.client))

    assert seen() == expected
    assert [len(page) for page in expected[0][:2]] == [2, 2]


def test_a_transaction_is_done_whole_or_not_at_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Memory(store.client)
    monkeypatch.setattr(table, "_client", memory)
    table.apply(table.create(stock(1)))

    with pytest.raises(table.Taken):
        table.transact([table.create(stock(2)), table.create(stock(1))])

    assert [row["sk"]["S"] for row in memory.items()] == ["01"]
