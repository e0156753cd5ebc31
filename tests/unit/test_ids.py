"""Ids sort by time or follow from what they name; codes can be read out aloud and not be guessed."""

import time
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import ids

moments = st.integers(min_value=0, max_value=2**48 // 1000 - 1)
entropy = st.binary(min_size=10, max_size=10)
parts = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x1f")), min_size=1, max_size=4)


def milliseconds(ulid: str) -> int:
    """When a ULID was made, by the specification's alphabet."""
    number = 0
    for letter in ulid[:10]:
        number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(letter)
    return number


def test_a_ulid_is_as_the_specification_has_it() -> None:
    made = ids.ulid("mbr", now=1469918176, entropy=b"\xff" * 10)

    # 01ARYZ6S41 is the time of the specification's own example.
    assert milliseconds("01ARYZ6S41") == 1469918176385
    assert milliseconds(made.removeprefix("mbr_")) == 1469918176000
    assert made.endswith("Z" * 16) and len(made) == len("mbr_") + 26


@given(moments, moments, entropy, entropy)
def test_ulids_sort_by_time(one: int, other: int, chance: bytes, another: bytes) -> None:
    earlier, later = sorted((one, other))
    first, second = ids.ulid("aud", now=earlier, entropy=chance), ids.ulid("aud", now=later, entropy=another)

    assert first < second or earlier == later


@given(moments, entropy, entropy)
def test_ulids_of_one_moment_differ_by_chance(now: int, chance: bytes, another: bytes) -> None:
    made, other = (ids.ulid("mbr", now=now, entropy=given) for given in (chance, another))

    assert (made == other) == (chance == another)


def test_ids_of_one_second_sort_as_they_were_made() -> None:
    now = int(time.time())

    made = [ids.ulid("aud", now=now, entropy=ids.entropy(now=now)) for _ in range(200)]

    assert made == sorted(made) and len(set(made)) == 200


@pytest.mark.parametrize("now", [0, 2**40])
def test_a_moment_that_is_not_now_leaves_chance_alone(now: int) -> None:
    made = {ids.entropy(now=now) for _ in range(100)}

    assert len(made) == 100 and len({chance[:4] for chance in made}) == 1


@pytest.mark.parametrize("chance", [b"", b"123456789", b"12345678901"])
def test_a_ulid_takes_ten_random_bytes(chance: bytes) -> None:
    with pytest.raises(ValueError, match="ten random bytes"):
        ids.ulid("mbr", now=1, entropy=chance)


@given(parts, parts)
def test_a_derived_id_follows_from_its_natural_key(key: list[str], other: list[str]) -> None:
    made = ids.derived("vis", *key)

    assert made.startswith("vis_") and len(made) == 30
    assert (made == ids.derived("vis", *other)) == (key == other)


def test_parts_of_a_natural_key_do_not_run_together() -> None:
    assert ids.derived("dlv", "ab", "c") != ids.derived("dlv", "a", "bc")
    assert ids.keyed_code("ab", "c", key=b"k") != ids.keyed_code("a", "bc", key=b"k")


@given(parts, st.binary(min_size=1, max_size=32))
def test_a_code_has_no_letter_that_is_misread(key: list[str], secret: bytes) -> None:
    code = ids.keyed_code(*key, key=secret)

    assert len(code) == 10 and set(code) <= set(ids.READABLE)
    assert not set(ids.READABLE) & set("01OIL")


def test_a_code_needs_its_key() -> None:
    assert ids.keyed_code("a", key=b"one") == ids.keyed_code("a", key=b"one")
    assert ids.keyed_code("a", key=b"one") != ids.keyed_code("a", key=b"two")


def test_codes_are_spread_over_the_alphabet() -> None:
    letters = [ids.keyed_code(str(n), key=b"k")[at] for n in range(3000) for at in (0, 9)]

    assert all(100 < letters.count(letter) < 300 for letter in ids.READABLE)


def test_prefixes_are_three_letters_and_listed_once() -> None:
    prefixes = get_args(ids.Prefix)

    assert len(set(prefixes)) == len(prefixes)
    assert all(len(prefix) == 3 and prefix.isalpha() and prefix.islower() for prefix in prefixes)
