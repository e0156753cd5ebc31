"""The shape of a kind of rows changes while old code and new code write them: none is lost, and none is a fact."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.core import facts, table
from chalicelib.core.errors import Conflict, NotFound
from chalicelib.core.table import IntAttribute, Raw
from chalicelib.orders.models import Order
from infra import migrate
from infra.local.clients import Store
from tests.factories import dying_at
from tests.harness.rows import rows, stream_records

MANY = 10
PAID = 8900


class Copied(Order, discriminator="test_copied_order"):
    """Orders whose second shape says what was paid less what went back, which the first leaves to the reader."""

    v = IntAttribute(default_for_new=2)
    net_fen = IntAttribute(null=True)

    @staticmethod
    def key(order_id: str) -> table.Key:
        return f"TESTORDER#{order_id}", "META"


def upgrade(item: Raw) -> Raw:
    fen = int(item["paid_fen"]["N"]) - int(item.get("refunded_fen", {"N": "0"})["N"])
    return {**item, "net_fen": {"N": str(fen)}}


@pytest.fixture(autouse=True)
def reshaped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_reshaped", {})
    monkeypatch.setattr(migrate, "PAGE", 4)
    table.reshape(Copied, upgrade)


@contextlib.contextmanager
def old_code() -> Iterator[None]:
    """As the release before has it: one shape, and nothing known of another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "_reshaped", {})
        patch.setattr(Copied.get_attributes()["v"], "default_for_new", 1)
        yield


def an_order(number: int, **more: Any) -> Copied:
    pk, sk = Copied.key(f"{number:03d}")
    told = {
        "order_id": f"{number:03d}",
        "member_id": "mbr_1",
        "purpose": "p",
        "gateway": "mall",
        "title": "Tea",
    }
    numbers = {"quantity": 1, "amount_fen": PAID, "created_at": 1, "paid_fen": PAID}
    return Copied(pk, sk, state="paid", **{**told, **numbers, **more})


def planted() -> None:
    with old_code():
        for number in range(MANY):
            table.apply(table.create(an_order(number)))


def gives_back(number: int, fen: int) -> None:
    """The release before: it knows of no net."""
    with old_code():
        key = Copied.key(f"{number:03d}")
        more = (Copied.refunded_fen.set(fen), Copied.state.set("refunding"))
        table.apply(table.update(Copied, key, *more, when=Copied.state == "paid", refuse=Conflict))


def gives_back_now(number: int, fen: int) -> None:
    """The release of now: a write that asks for the net, and moves it."""
    less = (Copied.net_fen.add(-fen), Copied.refunded_fen.set(fen), Copied.state.set("refunding"))
    enough = Copied.net_fen >= fen
    table.apply(table.update(Copied, Copied.key(f"{number:03d}"), *less, when=enough, refuse=Conflict))


def walked() -> migrate.Walked:
    return migrate.walk(apply=True, pause=lambda _: None)


def there(store: Store) -> list[dict[str, Any]]:
    return sorted(rows(store.client, "truth", kind="test_copied_order"), key=lambda row: str(row["pk"]))


def told(store: Store) -> list[str]:
    found = [facts.read(record) for record in stream_records(store.client, "truth")]
    return [fact.name for fact in found if fact is not None]


def whole(store: Store) -> bool:
    """Whether every row is in the second shape, and its net is what it should be."""
    return all(
        (row["v"], row["net_fen"]) == (2, row["paid_fen"] - row.get("refunded_fen", 0))
        for row in there(store)
    )


def test_readers_take_both_shapes_and_no_older_one() -> None:
    planted()
    found = table.get(Copied, Copied.key("001"))
    assert found is not None and (found.v, found.net_fen) == (2, PAID)

    ancient = {"kind": {"S": "test_copied_order"}, "pk": {"S": "x"}, "v": {"N": "0"}}
    with pytest.raises(ValueError, match="2 shapes behind"):
        table.in_shape(ancient)


def test_the_release_before_reads_the_rows_of_now() -> None:
    table.apply(table.create(an_order(1, net_fen=PAID)))

    with old_code():
        found = table.get(Copied, Copied.key("001"))
        assert found is not None and (found.paid_fen, found.state) == (PAID, "paid")


def test_a_write_of_now_meets_a_row_of_before_and_brings_it_along(store: Store) -> None:
    planted()

    gives_back_now(3, 900)
    with pytest.raises(Conflict):
        gives_back_now(3, PAID)

    row = there(store)[3]
    assert (row["v"], row["net_fen"], row["refunded_fen"], row["rev"]) == (2, PAID - 900, 900, 2)


def test_so_does_a_transaction(store: Store) -> None:
    planted()
    more = [
        table.update(
            Copied, Copied.key(f"{n:03d}"), Copied.net_fen.add(-1), when=Copied.net_fen >= 1, refuse=NotFound
        )
        for n in (1, 2)
    ]

    table.transact(more)

    assert [row.get("net_fen") for row in there(store)[:4]] == [None, PAID - 1, PAID - 1, None]


def test_a_write_of_before_on_a_row_of_now_is_not_lost(store: Store) -> None:
    planted()
    walked()

    gives_back(3, 900)

    assert (there(store)[3]["v"], there(store)[3]["net_fen"]) == (1, PAID)
    found = table.get(Copied, Copied.key("003"))
    assert found is not None and found.net_fen == PAID - 900
    assert walked().rewritten == 1 and whole(store)


@pytest.mark.parametrize("dies_at", [1, 7])
def test_killed_half_way_it_goes_on_while_both_write_and_nobody_takes_it_for_a_fact(
    store: Store, dies_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted()
    before = told(store)
    with dying_at(dies_at, among={"PutItem"}), pytest.raises(KeyboardInterrupt):
        walked()
    written = iter(
        [*((gives_back, n) for n in range(0, MANY, 5)), *((gives_back_now, n) for n in range(1, MANY, 5))]
    )
    genuine = table.scan

    def meanwhile(**given: Any) -> Any:
        page = genuine(**given)
        for write, number in (next(written, (None, 0)), next(written, (None, 0))):
            if write is not None:
                write(number, 100 + number)
        return page

    monkeypatch.setattr(table, "scan", meanwhile)
    while walked().before:
        pass

    assert whole(store)
    assert sum(row.get("refunded_fen", 0) for row in there(store)) == sum(
        100 + n for n in range(MANY) if n % 5 < 2
    )
    assert told(store)[len(before) :] == ["order.refunding"] * 4
    assert [row["rev"] for row in there(store)] == [2 if n % 5 < 2 else 1 for n in range(MANY)]


def test_it_only_counts_unless_it_is_told_to_write(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    planted()

    assert migrate.main([]) == 1
    assert not any("net_fen" in row for row in there(store))
    assert migrate.main(["--apply", "--a-second", "10000"]) == 0
    assert whole(store)
    assert f"{MANY} of the shape before, {MANY} rewritten" in capsys.readouterr().out
