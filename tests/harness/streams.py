"""A table's stream records, delivered as unkindly as a stream may, and worse on request.

    for batch in deliveries(stream_records(client, TRUTH), dice=random.Random(7)):
        handler(event(batch), None)                                # see rows.stream_records

Every record comes at least once: in batches of any size, interleaved across rows, single records again later,
whole batches or the rest of one replayed (a failed or bisected batch, a checkpoint set back). The first delivery
of one row's records is in their order, as AWS keeps it; ``ordered=False`` breaks that too, as records of one
transaction and reactions that wait for each other may see it. Each batch is a copy: a handler may spoil it.
"""

import copy
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

Record = dict[str, Any]


def deliveries(
    records: list[Record],
    *,
    dice: random.Random,
    ordered: bool = True,
    repeats: float = 0.3,
    largest: int = 10,
) -> Iterator[list[Record]]:
    """Batches for a handler; ``repeats`` are the odds that something comes again after each batch."""
    queue = interleaved(records, dice=dice) if ordered else dice.sample(records, len(records))
    delivered: list[Record] = []
    while queue:
        size = dice.randint(1, largest)
        fresh, queue = queue[:size], queue[size:]
        batch = _with_repeat(fresh, delivered, dice) if dice.random() < repeats else fresh
        delivered += fresh
        yield _copied(batch)
        if dice.random() < repeats:
            yield _copied(batch[dice.randrange(len(batch)) :])
        if dice.random() < repeats:
            back = dice.randrange(len(delivered))
            yield _copied(delivered[back : back + largest])


def interleaved(records: list[Record], *, dice: random.Random) -> list[Record]:
    """Rows shuffled among each other; the records of one row keep their order."""
    rows = defaultdict(list)
    for record in records:
        rows[json.dumps(record["dynamodb"]["Keys"], sort_keys=True)].append(record)
    turns = [row for row, its in rows.items() for _ in its]
    dice.shuffle(turns)
    left = {row: iter(its) for row, its in rows.items()}
    return [next(left[row]) for row in turns]


def _with_repeat(fresh: list[Record], delivered: list[Record], dice: random.Random) -> list[Record]:
    """The batch with one record a second time, somewhere after its first."""
    at = dice.randint(1, len(fresh))
    return [*fresh[:at], dice.choice(delivered + fresh[:at]), *fresh[at:]]


def _copied(batch: list[Record]) -> list[Record]:
    # Copied one by one: in one copy of the list a record that stands in it twice would still be one.
    return [copy.deepcopy(record) for record in batch]


def event(batch: list[Record]) -> dict[str, Any]:
    """The batch as Lambda hands it over."""
    return {"Records": batch}
