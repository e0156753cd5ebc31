"""What is sealed comes back to where it was sealed for, under keys that rotate; what was changed does not."""

import json

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.withdrawals import sealing

NOW = 1_750_000_000
text = st.text(st.characters(codec="utf-8"), max_size=60)
nonces = st.binary(min_size=sealing.NONCE_BYTES, max_size=sealing.NONCE_BYTES)
SEALED = sealing.seal("6222020200112230", about="mbr_1", nonce=b"n" * 12, now=NOW)


@given(text, text, nonces)
def test_what_was_sealed_comes_back(content: str, about: str, nonce: bytes) -> None:
    sealed = sealing.seal(content, about=about, nonce=nonce, now=NOW)

    assert sealing.opened(sealed, about=about, now=NOW) == content
    assert not content or len(content) < 3 or content not in sealed


@given(text)
def test_it_opens_for_nobody_else(about: str) -> None:
    if about != "mbr_1":
        with pytest.raises(InvalidTag):
            sealing.opened(SEALED, about=about, now=NOW)


@given(st.data())
def test_every_letter_counts(data: st.DataObject) -> None:
    key_id, _, inside = SEALED.rpartition(".")
    at = data.draw(st.integers(0, len(inside) - 1))
    letter = data.draw(st.characters().filter(lambda other: other not in (inside[at], ".")))

    with pytest.raises(InvalidTag):
        sealing.opened(f"{key_id}.{inside[:at]}{letter}{inside[at + 1 :]}", about="mbr_1", now=NOW)


def test_the_other_alphabet_of_base64_is_no_way_to_write_it() -> None:
    sealed = sealing.seal("6222", about="mbr_1", nonce=b"\xff" * 12, now=NOW)
    assert "_" in sealed

    with pytest.raises(InvalidTag):
        sealing.opened(sealed.replace("_", "/"), about="mbr_1", now=NOW)


@given(st.text(max_size=80))
def test_what_was_never_sealed_does_not_open(forged: str) -> None:
    with pytest.raises((InvalidTag, KeyError)):
        sealing.opened(forged, about="mbr_1", now=NOW)


def test_keys_rotate(monkeypatch: pytest.MonkeyPatch) -> None:
    before = json.loads('{"test-1":"' + "5e" * 32 + '"}')
    monkeypatch.setenv("SECRET_PAYEE_KEYS", json.dumps({"new": "1f" * 32, **before}))

    assert sealing.seal("x", about="y", nonce=b"m" * 12, now=NOW).startswith("new.")
    assert sealing.opened(SEALED, about="mbr_1", now=NOW) == "6222020200112230"
