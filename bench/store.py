"""A store for very many rows, at the place of the client: what was never written is made when it is asked for.

It stands on `tests.harness.direct.Direct` and keeps its way of updating rows, but holds what was written as text
and not as the embedded store's objects, of which 200,000 would take gigabytes. Conditions are judged by a small
evaluator of its own, transactions are all or nothing, and the one index it serves is the due index of one job.
"""

import functools
import json
import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

from tests.harness.direct import Direct, updated
from tests.harness.wire import Item, Params, key_of

Made = Callable[[str, str], Item | None]
Entry = tuple[int, str, str, str]
"""When it is due, pk, sk and due_ref."""
_WORDS = (
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
    """``made`` gives the row of a key that was not written yet, ``due`` what is due in each shard at first."""

    def __init__(self, real: Any, *, made: Made, due: dict[str, list[Entry]]) -> None:
        super().__init__(real)
        self.made, self.written = made, dict[tuple[str, str, str], str]()
        self.due = {shard: sorted(entries) for shard, entries in due.items()}
        self.done: set[str] = set()

    def _image(self, table: str, key: Item) -> Item | None:
        pk, sk = key["pk"]["S"], key["sk"]["S"]
        kept = self.written.get((table, pk, sk))
        return json.loads(kept) if kept is not None else self.made(pk, sk)

    def _query(self, params: Params) -> Params:
        (shard,) = (one["S"] for one in params["ExpressionAttributeValues"].values() if "S" in one)
        (until,) = (int(one["N"]) for one in params["ExpressionAttributeValues"].values() if "N" in one)
        entries, after = self.due.get(shard, []), params.get("ExclusiveStartKey")
        at = bisect_right(entries, (int(after["due_at"]["N"]), after["pk"]["S"], "~", "")) if after else 0
        found: list[Item] = []
        while at < len(entries) and entries[at][0] <= until and len(found) < params["Limit"]:
            if entries[at][1] not in self.done:
                found.append(_entry(shard, entries[at]))
            at += 1
        over = at >= len(entries) or entries[at][0] > until
        return {"Items": found, "Count": len(found)} | ({} if over else {"LastEvaluatedKey": found[-1]})

    def _carried_out(self, asked: list[Params]) -> list[tuple[Any, ...]]:
        actions = [next(iter(one.items())) for one in asked]
        keys = [key_of(given) for _, given in actions]
        images = [self._image(table, {"pk": {"S": pk}, "sk": {"S": sk}}) for table, pk, sk in keys]
        reasons = [
            (None, None, None) if _holds(given, image) else ("ConditionalCheckFailed", "no", image)
            for (_, given), image in zip(actions, images, strict=True)
        ]
        if any(code for code, _, _ in reasons):
            return reasons
        for (name, given), key, image in zip(actions, keys, images, strict=True):
            item = given["Item"] if name == "Put" else updated(image or given["Key"], given)
            self.written[key] = json.dumps(item)
            if "due_shard" not in item:
                self.done.add(key[1])
        return []


def _entry(shard: str, entry: Entry) -> Item:
    at, pk, sk, ref = entry
    told = {"pk": pk, "sk": sk, "due_shard": shard, "due_ref": ref, "kind": "commission"}
    return {**{name: {"S": text} for name, text in told.items()}, "due_at": {"N": str(at)}}


def _holds(given: Params, image: Item | None) -> bool:
    expression = given.get("ConditionExpression")
    if expression is None:
        return True
    names, values = given.get("ExpressionAttributeNames", {}), given.get("ExpressionAttributeValues", {})

    def has(name: str) -> bool:
        return image is not None and names[name] in image

    def compare(name: str, how: str, value: str) -> bool:
        return has(name) and _COMPARED[how](_plain((image or {})[names[name]]), _plain(values[value]))

    return bool(eval(_compiled(expression), {"has": has, "compare": compare}))


@functools.cache
def _compiled(expression: str) -> Any:
    for word, python in _WORDS:
        expression = re.sub(word, python, expression)
    return compile(expression, "condition", "eval")


def _plain(value: Params) -> Any:
    kind, content = next(iter(value.items()))
    return int(content) if kind == "N" else content
