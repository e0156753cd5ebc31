"""A store for very many rows, at the place of the client: what was never written is made when it is asked for.

It stands on `tests.harness.direct.Direct` and keeps its way of updating rows, but holds what was written as text
and not as the embedded store's objects, of which 200,000 would take gigabytes. Conditions are judged by a small
evaluator of its own, transactions are all or nothing, and the one index it serves is the due index. Of a partition
it knows the sort keys that it is told of.
"""

import functools
import json
import re
from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.harness.direct import Direct, updated
from tests.harness.wire import Item, Params, key_of

Made = Callable[[str, str], Item | None]
Beside = Callable[[str], Sequence[str]]
Slot = tuple[str, int]
"""The due shard of a row and when it is due."""


class Entry(NamedTuple):
    """What the due index has of a row, in its order."""

    at: int
    pk: str
    sk: str
    ref: str
    kind: str


_WORDS = (
    (r"contains \((#\w+), (:\w+)\)", r"within('\1', '\2')"),
    (r"begins_with \((#\w+), (:\w+)\)", r"begins('\1', '\2')"),
    (r"(#\w+) BETWEEN (:\w+) AND (:\w+)", r"(compare('\1', '>=', '\2') and compare('\1', '<=', '\3'))"),
    (r"(#\w+) IN \(([^)]*)\)", r"among('\1', '\2')"),
    (r"attribute_exists \((#\w+)\)", r"has('\1')"),
    (r"attribute_not_exists \((#\w+)\)", r"not has('\1')"),
    (r"(#\w+) (=|<>|<|<=|>|>=) (:\w+)", r"compare('\1', '\2', '\3')"),
    (r"\bAND\b", "and"),
    (r"\bOR\b", "or"),
    (r"\bNOT\b", "not"),
)
_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    "<>": lambda one, other: one != other,
    "<": lambda one, other: one < other,
    "<=": lambda one, other: one <= other,
    ">": lambda one, other: one > other,
    ">=": lambda one, other: one >= other,
}


class Large(Direct):
    """``made`` gives the row of a key that was not written yet, ``due`` what is due in each shard at first, and
    ``beside`` the sort keys of a partition."""

    def __init__(
        self, real: Any, *, made: Made, due: dict[str, list[Entry]], beside: Beside = lambda pk: ()
    ) -> None:
        super().__init__(real)
        self.made, self.beside = made, beside
        self.written = dict[tuple[str, str, str], str | None]()
        self.due = {shard: sorted(entries) for shard, entries in due.items()}
        self.slots: dict[tuple[str, str], Slot | None] = {
            (entry.pk, entry.sk): (shard, entry.at) for shard, entries in due.items() for entry in entries
        }

    def _image(self, table: str, key: Item) -> Item | None:
        pk, sk = key["pk"]["S"], key["sk"]["S"]
        if (table, pk, sk) not in self.written:
            return self.made(pk, sk)
        kept = self.written[table, pk, sk]
        return json.loads(kept) if kept is not None else None

    def _query(self, params: Params) -> Params:
        if "IndexName" not in params:
            return self._partition(params)
        assert params["IndexName"] == "due"
        (shard,) = (one["S"] for one in params["ExpressionAttributeValues"].values() if "S" in one)
        (until,) = (int(one["N"]) for one in params["ExpressionAttributeValues"].values() if "N" in one)
        entries, after = self.due.get(shard, []), params.get("ExclusiveStartKey")
        at = _after(entries, after) if after else 0
        found: list[Item] = []
        while at < len(entries) and entries[at].at <= until and len(found) < params["Limit"]:
            if self._is_due(shard, entries[at]):
                found.append(_shown(shard, entries[at]))
            at += 1
        over = at >= len(entries) or entries[at].at > until
        return {"Items": found, "Count": len(found)} | ({} if over else {"LastEvaluatedKey": found[-1]})

    def _partition(self, params: Params) -> Params:
        (pk,) = (one["S"] for one in params["ExpressionAttributeValues"].values())
        keys = [{"pk": {"S": pk}, "sk": {"S": sk}} for sk in sorted(self.beside(pk))]
        found = [image for key in keys if (image := self._image(params["TableName"], key)) is not None]
        return {"Items": found, "Count": len(found)}

    def _is_due(self, shard: str, entry: Entry) -> bool:
        return self.slots[entry.pk, entry.sk] == (shard, entry.at)

    def _carried_out(self, asked: list[Params]) -> list[tuple[Any, ...]]:
        actions = [next(iter(one.items())) for one in asked]
        keys = [key_of(given) for _, given in actions]
        images = [self._image(table, {"pk": {"S": pk}, "sk": {"S": sk}}) for table, pk, sk in keys]
        reasons = [
            (None, None, None) if holds(given, image) else ("ConditionalCheckFailed", "no", image)
            for (_, given), image in zip(actions, images, strict=True)
        ]
        if any(code for code, _, _ in reasons):
            return reasons
        for (name, given), key, image in zip(actions, keys, images, strict=True):
            self._write_down(key, as_left(name, given, image))
        return []

    def _write_down(self, key: tuple[str, str, str], item: Item | None) -> None:
        """Keep the row, and let the index follow."""
        self.written[key] = json.dumps(item) if item is not None else None
        slot = (item["due_shard"]["S"], int(item["due_at"]["N"])) if item and "due_shard" in item else None
        if item and slot and self.slots.get(key[1:]) != slot:
            entry = Entry(slot[1], key[1], key[2], item.get("due_ref", {"S": ""})["S"], item["kind"]["S"])
            insort(self.due.setdefault(slot[0], []), entry)
        self.slots[key[1], key[2]] = slot


def as_left(name: str, given: Params, image: Item | None) -> Item | None:
    """The row as the action leaves it."""
    if name in ("Delete", "ConditionCheck"):
        return None if name == "Delete" else image
    item: Item = given["Item"] if name == "Put" else updated(image or given["Key"], given)
    return item


def _after(entries: Sequence[Entry], key: Item) -> int:
    last = Entry(int(key["due_at"]["N"]), key["pk"]["S"], key["sk"]["S"], "~", "")
    return bisect_right(entries, last)


def _shown(shard: str, entry: Entry) -> Item:
    told = {"pk": entry.pk, "sk": entry.sk, "due_shard": shard, "due_ref": entry.ref, "kind": entry.kind}
    return {**{name: {"S": text} for name, text in told.items()}, "due_at": {"N": str(entry.at)}}


def holds(given: Params, image: Item | None) -> bool:
    """Whether the action's condition is true of the row."""
    expression = given.get("ConditionExpression")
    if expression is None:
        return True
    about = _About(
        image or {}, given.get("ExpressionAttributeNames", {}), given.get("ExpressionAttributeValues", {})
    )
    words = {word: getattr(about, word) for word in ("has", "compare", "among", "within", "begins")}
    return bool(eval(_compiled(expression), words))  # noqa: S307 - of our own expression


class _About(NamedTuple):
    """What conditions ask of a row, by the placeholders of an action."""

    image: Item
    names: Params
    values: Params

    def has(self, name: str) -> bool:
        return self.names[name] in self.image

    def compare(self, name: str, how: str, value: str) -> bool:
        return self.has(name) and _COMPARED[how](self._told(name), _plain(self.values[value]))

    def among(self, name: str, some: str) -> bool:
        return any(self.compare(name, "=", value) for value in some.split(", "))

    def within(self, name: str, value: str) -> bool:
        return self.has(name) and _plain(self.values[value]) in self._told(name)

    def begins(self, name: str, value: str) -> bool:
        return self.has(name) and bool(self._told(name).startswith(_plain(self.values[value])))

    def _told(self, name: str) -> Any:
        return _plain(self.image[self.names[name]])


@functools.cache
def _compiled(expression: str) -> Any:
    for word, python in _WORDS:
        expression = re.sub(word, python, expression)
    return compile(expression, "condition", "eval")


def _plain(value: Params) -> Any:
    kind, content = next(iter(value.items()))
    return int(content) if kind == "N" else content
