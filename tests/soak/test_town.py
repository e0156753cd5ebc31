"""Months of a shop in which everything happens at once, and nothing may be lost, doubled or drift.

    make soak SOAK_TOWNS=20 SOAK_TOWN_STEPS=2000 SOAK_SEED=7    twenty towns, of the seeds from 7 on

A town that is not right tells its seed and its last steps: it is played again by SOAK_SEED.
"""

import itertools
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from chalicelib.core import facts, ledger
from chalicelib.groupbuys import holding
from chalicelib.operators import stuck
from tests.factories import NOW
from tests.harness.direct import Direct
from tests.proof import note
from tests.soak import opening, rest, steps
from tests.soak.town import Town

SEED = int(os.environ.get("SOAK_SEED", "7"))
TOWNS = int(os.environ.get("SOAK_TOWNS", "1"))
STEPS = int(os.environ.get("SOAK_TOWN_STEPS", "150"))
LAST = 40
SEEN_IN, SEEN_BY = 80, 8
"""Steps in which what is planted shows, and the seed of a town in which all of it does."""
KINDS_AT_LEAST = 25
"""Of the kinds of steps, so many are done at least, and not only tried, where there are a few hundred steps."""


@contextmanager
def lived(
    patch: pytest.MonkeyPatch,
    store: Direct,
    *,
    seed: int,
    count: int = STEPS,
    days: Sequence[int] = rest.DAYS,
) -> Iterator[Town]:
    """A town in which so many steps were taken, and that has come to rest."""
    with Town(dice=random.Random(seed), patch=patch, store=store) as town:
        try:
            opening.opens(town)
            for _ in range(count):
                steps.taken(town)
            town.lasted = town.time - NOW
            rest.come_to_rest(town, days=days)
        except Exception as failure:
            failure.add_note("\n".join([f"SOAK_SEED={seed}, the last steps:", *town.told.last[-LAST:]]))
            raise
        yield town


def noted(town: Town, *, seed: int, wrong: list[str]) -> None:
    """What the page tells of it."""
    kinds = {kind: [*rows] for kind, rows in town.rows.kinds.items()}
    faults = Counter({f"store: {name}": n for name, n in town.hostile.counts.items() if name != "calls"})
    note(
        "SOAK_REPORT",
        seed=seed,
        days=town.lasted // 86_400,
        rows=len(town.rows.items),
        passes=len(kinds.get("reconciling_pass", ())),
        drifts=len(kinds.get("drift", ())),
        stuck=Counter(
            rest.EXPLAINED[one.trouble.job]
            for one in stuck.listed(limit=100)[0]
            if one.trouble.job in rest.EXPLAINED
        ),
        fen=rest.paid(town),
        wrong=wrong,
        faults=+(faults + town.told.faults),
        **{name: +getattr(town.told, name) for name in ("steps", "done", "disorder")},
    )


@pytest.mark.parametrize("seed", range(SEED, SEED + TOWNS))
def test_whatever_happens_in_a_town_its_books_are_right(
    direct: Direct, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    with lived(monkeypatch, direct, seed=seed) as town:
        wrong = rest.wrong(town)
        noted(town, seed=seed, wrong=wrong)

        last = "\n".join(town.told.last[-LAST:])
        assert not wrong, f"SOAK_SEED={seed}\n{last}\n" + "\n".join(wrong)
        assert sum(map(bool, town.told.done.values())) >= min(KINDS_AT_LEAST, STEPS // 10)


# --- that it can see ----------------------------------------------------------------------------------------


Plants = Callable[[pytest.MonkeyPatch], None]


def settles_twice(patch: pytest.MonkeyPatch) -> None:
    real = ledger.posted
    double = lambda **told: real(**{**told, "amount": told["amount"] * (1 + (told["reason"] == "settled"))})  # noqa: E731
    patch.setattr(ledger, "posted", double)


def gives_stock_back_twice(patch: pytest.MonkeyPatch) -> None:
    real = holding.stock_back
    patch.setattr(holding, "stock_back", lambda taken, **more: real([*taken, *taken], **more))


def forgets_what_it_reacted_to(patch: pytest.MonkeyPatch) -> None:
    numbers, real = itertools.count(), facts.Marker.key
    patch.setattr(facts.Marker, "key", lambda fact, reaction: real(fact, f"{reaction}-{next(numbers)}"))


@pytest.mark.parametrize(
    ("plants", "seen"),
    [
        (settles_twice, "fen, and earned"),
        (gives_stock_back_twice, "stock_adds_up"),
        (forgets_what_it_reacted_to, "facts_were_counted_once"),
    ],
)
def test_a_town_sees_what_is_planted(
    direct: Direct, monkeypatch: pytest.MonkeyPatch, plants: Plants, seen: str
) -> None:
    plants(monkeypatch)

    with lived(monkeypatch, direct, seed=SEEN_BY, count=SEEN_IN, days=(1, 8)) as town:
        assert [line for line in rest.wrong(town) if seen in line]
