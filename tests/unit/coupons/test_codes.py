"""A redeem code is read however it is typed, and a slip of the finger is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import ids
from chalicelib.core.errors import Invalid
from chalicelib.coupons import codes

bodies = st.text(ids.READABLE, min_size=codes.LETTERS, max_size=codes.LETTERS)


def mistyped(text: str) -> bool:
    """Whether it is told that this cannot be a code."""
    try:
        codes.read(text)
    except Invalid:
        return True
    return False


@given(bodies, st.lists(st.sampled_from(["", "-", " ", "\u3000"]), min_size=12, max_size=12))
def test_a_code_is_read_with_its_gaps_and_in_small_letters(body: str, gaps: list[str]) -> None:
    code = body + codes.check_letter(body)
    typed = "".join(letter + gap for letter, gap in zip(code, gaps, strict=True))

    assert codes.read(typed) == codes.read(typed.lower()) == code


@given(bodies, st.integers(0, codes.LETTERS), st.sampled_from(ids.READABLE))
def test_one_wrong_letter_is_told(body: str, at: int, letter: str) -> None:
    code = body + codes.check_letter(body)
    wrong = code[:at] + letter + code[at + 1 :]

    assert mistyped(wrong) == (wrong != code)


@given(bodies, st.data())
def test_two_letters_that_were_swapped_are_told(body: str, data: st.DataObject) -> None:
    first, second = sorted(data.draw(st.lists(st.integers(0, codes.LETTERS - 1), min_size=2, max_size=2)))
    letters = list(body)
    letters[first], letters[second] = letters[second], letters[first]
    swapped = "".join(letters) + codes.check_letter(body)

    assert mistyped(swapped) == ("".join(letters) != body)


@given(st.text(st.characters(codec=None, exclude_categories=[]), max_size=40))
def test_whatever_is_typed_is_a_code_or_mistyped(text: str) -> None:
    if not mistyped(text):
        assert len(codes.read(text)) == codes.LETTERS + 1


@pytest.mark.parametrize("text", ["", "----", "0" * 12, "é" * 12])
def test_what_has_other_letters_is_mistyped(text: str) -> None:
    assert mistyped(text)
