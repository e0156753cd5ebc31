"""A cursor brings back the key it hides, to the list and reader it was made for, and to nobody else."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import cursors
from chalicelib.core.cursors import CursorInvalid, seal, unseal
from chalicelib.core.errors import BadRequest

NOW = 1_750_000_000
text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
keys = st.dictionaries(text, st.fixed_dictionaries({"S": text}) | st.just({"N": "7"}), min_size=1, max_size=4)
KEY = {"pk": {"S": "AUDIT#2026-11"}, "sk": {"S": "aud_1"}}


def sealed(where: str = "audit#2026-11") -> str:
    """A cursor of a list."""
    cursor = seal(KEY, where=where, now=NOW)
    assert cursor is not None
    return cursor


@given(keys, text)
def test_a_cursor_brings_its_key_back(key: dict[str, dict[str, str]], where: str) -> None:
    cursor = seal(key, where=where, now=NOW)

    assert cursor is not None and cursor.isascii() and not set(cursor) & set("+/=&?# ")
    assert unseal(cursor, where=where, now=NOW + 10**6) == key


def test_the_end_of_a_list_has_no_cursor_and_no_cursor_is_its_beginning() -> None:
    assert seal(None, where="x", now=NOW) is None
    assert unseal(None, where="x", now=NOW) is None
    assert unseal("", where="x", now=NOW) is None


def test_the_same_place_has_the_same_cursor() -> None:
    assert sealed() == sealed()


@given(text, text)
def test_a_cursor_of_another_list_or_reader_is_refused(mine: str, theirs: str) -> None:
    if mine != theirs:
        with pytest.raises(CursorInvalid):
            unseal(sealed(mine), where=theirs, now=NOW)


def test_a_cursor_cannot_be_guessed() -> None:
    signed = len(base64.urlsafe_b64decode(sealed() + "==")) - len(json.dumps(KEY, separators=(",", ":")))

    assert signed * 8 >= 96


@given(st.text(max_size=200))
def test_what_we_never_made_is_refused(forged: str) -> None:
    if forged:
        with pytest.raises(CursorInvalid):
            unseal(forged, where="audit#2026-11", now=NOW)


@given(st.integers(min_value=1, max_value=len(sealed()) - 1))
def test_a_truncated_cursor_is_refused(length: int) -> None:
    with pytest.raises(CursorInvalid):
        unseal(sealed()[:length], where="audit#2026-11", now=NOW)


@given(st.integers(min_value=0, max_value=500), st.integers(min_value=0, max_value=7))
def test_every_bit_of_a_cursor_counts(byte: int, bit: int) -> None:
    content = bytearray(base64.urlsafe_b64decode(sealed() + "=="))
    content[byte % len(content)] ^= 1 << bit

    with pytest.raises(CursorInvalid):
        unseal(base64.urlsafe_b64encode(content).decode().rstrip("="), where="audit#2026-11", now=NOW)


def test_a_cursor_of_another_deployment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = sealed()
    monkeypatch.setenv("SECRET_LINK_KEY", "22" * 32)

    with pytest.raises(CursorInvalid):
        unseal(foreign, where="audit#2026-11", now=NOW)


def test_the_refusal_is_a_bad_request_with_a_code_of_its_own() -> None:
    assert issubclass(cursors.CursorInvalid, BadRequest)
    assert (CursorInvalid.status, CursorInvalid.code) == (400, "cursor_invalid")
