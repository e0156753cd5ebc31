"""The store without HTTP says and does what the store behind moto's front does."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pynamodb.expressions.condition import Condition

from chalicelib.checkins.models import Month
from chalicelib.core import table
from chalicelib.core.errors import Busy
from chalicelib.groupbuys.models import Part, Seat
from infra.local.clients import Store
from tests.factories import emptied
from tests.harness.direct import Direct
from tests.harness.rows import Plain, rows, stream_records

KEY = ("P", "META")
Both = Callable[[Callable[[Any], Any]], Any]

UPDATES: dict[str, Callable[[], tuple[Any, ...]]] = {
    "set": lambda: (Part.order_id.set("ord_2"),),
    "add and remove": lambda: (Part.units.add(3), Part.order_id.remove()),
    "add to nothing": lambda: (Part.let_go.set("x"), Part.groups.add(-1)),
    "a sum": lambda: (Part.units.set(Part.units + 2),),
    "a sum with what is not there": lambda: (Part.groups.set((Part.groups | 0) + 2),),
}
CONDITIONS: dict[str, Callable[[], Condition | None]] = {
    "none": lambda: None,
    "holds": lambda: (Part.units >= 1) & Part.order_id.exists(),
    "fails": lambda: Part.units > 1,
    "one of two": lambda: Part.pk.does_not_exist() | (Part.order_id == "ord_1"),
}


@pytest.fixture
def both(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    """What a play comes to on either, which is the same."""

    def played(play: Callable[[Any], Any]) -> Any:
        said = []
        for client in (store.client, Direct(store.client)):
            emptied()
            monkeypatch.setattr(table, "_client", client)
            said.append((play(client), all_rows(client)))
        assert said[0] == said[1]
        return said[0][0]

    yield played


def all_rows(client: Any) -> list[Plain]:
    return sorted(rows(client, "truth"), key=lambda row: (row["pk"], row["sk"]))


def a_part(pk: str = "P") -> table.Write:
    return table.upsert(Part, (pk, "META"), Part.order_id.set("ord_1"), Part.units.add(1))


def told(do: Callable[[], Any]) -> Any:
    """Why it was refused, with the row that the refusal shows; None if it was done."""
    try:
        do()
    except Shown as shown:
        return shown.args
    return None


class Shown(Exception):
    """A condition did not hold."""


def shown(row: Any) -> Shown:
    return Shown(None if row is None else (row.order_id, row.units, row.rev))


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("update", UPDATES)
def test_an_update_alone_and_in_a_transaction(
    both: Both, update: str, condition: str, together: bool
) -> None:
    def play(client: Any) -> Any:
        table.apply(a_part())
        write = table.update(Part, KEY, *UPDATES[update](), when=CONDITIONS[condition](), refuse=shown)
        return told(lambda: table.transact([write, a_part("Q")]) if together else table.apply(write))

    assert (both(play) is None) == (condition != "fails")


@pytest.mark.parametrize("together", [False, True])
def test_what_is_not_there_is_not_changed(both: Both, together: bool) -> None:
    def play(client: Any) -> Any:
        write = table.update(Part, KEY, Part.units.add(1), refuse=shown)
        return told(lambda: table.transact([write, a_part("Q")]) if together else table.apply(write))

    assert both(play) == (None,)


def test_what_is_put_in_a_set_and_taken_out(both: Both) -> None:
    key = Month.key("chk_1", "mbr_1", "2026-01")
    steps = [
        (Month.days.add({1, 2}),),
        (Month.days.add({3}), Month.frozen.add({5})),
        (Month.days.delete({1, 2}),),
        (Month.days.delete({3}), Month.frozen.delete({7})),
    ]

    def play(client: Any) -> Any:
        said = []
        for actions in steps:
            table.apply(table.upsert(Month, key, *actions))
            said.append(all_rows(client))
        return said

    assert [row.get("days") for [row] in both(play)] == [{1, 2}, {1, 2, 3}, {3}, None]


def test_pages_of_a_partition_and_of_an_index(both: Both) -> None:
    def play(client: Any) -> Any:
        for n in range(5):
            told = (Seat.order_id.set(f"o{n}"), Seat.owner.set("me"), Seat.listed_at.set(f"{n:011d}#s{n}"))
            table.apply(table.upsert(Seat, ("P", f"S{n}"), *told))
        first, owned = table.query(Seat, "P", limit=2), table.owned("me", limit=2)
        rest = table.owned("me", limit=9, after=owned.next_key)
        return [([row.order_id for row in page.rows], page.next_key) for page in (first, owned, rest)]

    assert [ids for ids, _ in both(play)] == [["o0", "o1"], ["o4", "o3"], ["o2", "o1", "o0"]]


def test_the_stream_tells_the_same(both: Both) -> None:
    def play(client: Any) -> Any:
        table.apply(a_part())
        table.apply(table.update(Part, KEY, *UPDATES["add and remove"](), refuse=Busy))
        table.apply(table.delete(Part, KEY, refuse=Busy))
        changes = [(one["eventName"], one["dynamodb"]) for one in stream_records(client, "truth")]
        return [
            (name, change["Keys"], change.get("OldImage"), change.get("NewImage")) for name, change in changes
        ]

    assert [name for name, *_ in both(play)] == ["INSERT", "MODIFY", "REMOVE"]
