"""Dataclasses that are made late are what the standard library's are, and are made once."""

import dataclasses
import sys
import threading
from collections.abc import Iterator
from dataclasses import field, replace
from typing import Any

import pytest

import app
from chalicelib.core.values import dataclass

NOTHING = compile("", "nothing", "exec")
THE_HOUSE = app
"""All that is in it is imported."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One of a kind."""

    city: str
    tags: tuple[str, ...] = ()
    seen: list[str] = field(default_factory=list, compare=False)


@dataclass()
class Tally:
    """One that changes."""

    n: int = 0


def test_it_is_a_dataclass_from_its_first_instance_on() -> None:
    place = Place(city="Suzhou")

    assert dataclasses.is_dataclass(place)
    assert repr(place).endswith("Place(city='Suzhou', tags=(), seen=[])")
    assert (place, hash(place)) == (Place(city="Suzhou", seen=["x"]), hash(Place(city="Suzhou")))
    assert replace(place, tags=("a",)) == Place(city="Suzhou", tags=("a",))
    assert place.seen is not Place(city="Suzhou").seen


def test_what_is_frozen_stays() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Place(city="Suzhou").city = "Wuxi"  # type: ignore[misc]


def test_what_is_not_frozen_changes() -> None:
    tally = Tally(3)
    tally.n += 1

    assert tally == Tally(n=4)


@pytest.mark.parametrize("given", [{}, {"city": "Suzhou", "colour": "red"}])
def test_wrong_arguments_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Place(**given)


def test_one_may_stand_on_another() -> None:
    @dataclass(frozen=True, kw_only=True)
    class House:
        city: str

    @dataclass(frozen=True, kw_only=True)
    class Shop(House):
        floor: int

    assert Shop(city="Suzhou", floor=2) == Shop(floor=2, city="Suzhou")


def test_of_many_threads_each_gets_a_whole_one() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Fresh:
        a: int
        b: str = "b"

    begin, made = threading.Barrier(16), list[Fresh]()

    def one() -> None:
        begin.wait()
        made.append(Fresh(a=1))

    threads = [threading.Thread(target=one) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({hash(one) for one in made}) == 1
    assert made == [Fresh(a=1)] * 16


def test_every_one_of_the_house_can_be_made() -> None:
    """What is wrong with a declaration would show at the first request that wants one."""
    found: set[Any] = set(declared())

    assert len(found) > 100
    for kind in found:
        kind.__new__(kind)
        assert dataclasses.is_dataclass(kind)


def declared() -> Iterator[type]:
    for module in [module for name, module in sys.modules.items() if name.startswith("chalicelib.")]:
        for kind in vars(module).values():
            if (
                isinstance(kind, type)
                and "values.py" in getattr(kind.__new__, "__code__", NOTHING).co_filename
            ):
                yield kind
