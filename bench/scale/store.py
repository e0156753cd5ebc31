"""The rows of a simulation: all in this process's memory, with every index, and quick.

It is `tests.harness.direct.Direct` with rows as plain dictionaries in place of moto's objects. A written row is
never changed, only replaced, so that whoever has read it may keep it.
"""

from bisect import bisect_left, insort
from collections import defaultdict
from typing import Any

from bench.store import as_left, holds
from tests.harness.direct import Direct
from tests.harness.wire import Item, Params, indexes, key_of

Place = tuple[Any, str, str]
"""Of an entry within its partition: the sort value, and the key of its row."""


class Memory(Direct):
    """Conditions are judged before anything is written, and a transaction is all or nothing."""

    def __init__(self, real: Any) -> None:
        super().__init__(real)
        self.rows: dict[tuple[str, str, str], Item] = {}
        self.parts: dict[tuple[str, str, Any], list[Place]] = defaultdict(list)
        """By table, index (empty: the table itself) and partition: what is there, in order."""
        self.indexes = {name: indexes(self, name) for name in ("truth", "traffic")}

    def items(self, table: str = "truth") -> list[Item]:
        """All rows of a table, in no order."""
        return [item for (name, _, _), item in self.rows.items() if name == table]

    def _image(self, table: str, key: Item) -> Item | None:
        return self.rows.get((table, key["pk"]["S"], key["sk"]["S"]))

    def _query(self, params: Params) -> Params:
        table, index = params["TableName"], params.get("IndexName", "")
        names, values = params["ExpressionAttributeNames"], params["ExpressionAttributeValues"]
        keys = self.indexes[table][index].keys if index else ("pk", "sk")
        [partition] = [values[held] for name, held in _equals(params) if names[name] == keys[0]]
        places = self.parts[table, index, _value(partition)]
        if not params.get("ScanIndexForward", True):
            places = places[::-1]
        at = self._after(places, keys, params)
        return self._page(table, index, places[at:], params)

    def _after(self, places: list[Place], keys: tuple[str, ...], params: Params) -> int:
        last = params.get("ExclusiveStartKey")
        if last is None:
            return 0
        place = (_value(last[keys[-1]]), last["pk"]["S"], last["sk"]["S"])
        if params.get("ScanIndexForward", True):
            return bisect_left(places, place) + int(place in places[bisect_left(places, place) :][:1])
        return next((n for n, one in enumerate(places) if one < place), len(places))

    def _page(self, table: str, index: str, places: list[Place], params: Params) -> Params:
        asked = {**params, "ConditionExpression": params["KeyConditionExpression"]}
        found: list[Item] = []
        for _, pk, sk in places:
            item = self.rows[table, pk, sk]
            if not holds(asked, item):
                continue
            if len(found) == params.get("Limit"):
                return {"Items": found, "Count": len(found), "LastEvaluatedKey": found[-1]}
            found.append(self.indexes[table][index].entry(item) if index else item)
        return {"Items": found, "Count": len(found)}

    def _carried_out(self, asked: list[Params]) -> list[tuple[Any, ...]]:
        actions = [next(iter(one.items())) for one in asked]
        keys = [key_of(given) for _, given in actions]
        images = [self.rows.get(key) for key in keys]
        fine = [holds(given, image) for (_, given), image in zip(actions, images, strict=True)]
        if not all(fine):
            return [
                (None, None, None) if good else ("ConditionalCheckFailed", "no", image)
                for good, image in zip(fine, images, strict=True)
            ]
        for (name, given), key, image in zip(actions, keys, images, strict=True):
            self._write_down(key, image, as_left(name, given, image))
        return []

    def _write_down(self, key: tuple[str, str, str], old: Item | None, new: Item | None) -> None:
        table, pk, sk = key
        self._move(("pk", "sk"), "", key, old, new)
        for name, index in self.indexes[table].items():
            self._move(index.keys, name, key, old, new)
        if new is None:
            self.rows.pop(key, None)
        else:
            self.rows[table, pk, sk] = new

    def _move(
        self, keys: tuple[str, ...], index: str, key: tuple[str, str, str], old: Item | None, new: Item | None
    ) -> None:
        """Let one index follow the row."""
        table, pk, sk = key
        was, now = _entry(keys, old), _entry(keys, new)
        if was == now:
            return
        if was is not None:
            places = self.parts[table, index, was[0]]
            del places[bisect_left(places, (was[1], pk, sk))]
        if now is not None:
            insort(self.parts[table, index, now[0]], (now[1], pk, sk))


def _entry(keys: tuple[str, ...], item: Item | None) -> tuple[Any, Any] | None:
    if item is None or keys[0] not in item or keys[1] not in item:
        return None
    return _value(item[keys[0]]), _value(item[keys[1]])


def _value(value: Params) -> Any:
    kind, content = next(iter(value.items()))
    return int(content) if kind == "N" else content


def _equals(params: Params) -> list[tuple[str, str]]:
    """Which attribute a query wants to be what, as placeholders."""
    words = params["KeyConditionExpression"].replace("(", " ").replace(")", " ").split()
    return [(words[n - 1], words[n + 1]) for n, word in enumerate(words) if word == "="]
