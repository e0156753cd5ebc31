"""What WeChat tells is read in every form that it has, and what is none of them is refused and breaks nothing."""

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import BadRequest, SignatureInvalid
from chalicelib.wechat import pushes
from chalicelib.wechat.client import App
from infra.local.wechat import pushes as theirs

NOW = 1_750_000_000
APP = App(appid="wx00000000000demo1", secret_name="demo")
KEY, TOKEN = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG", "message-token"
letters = st.text(st.characters(codec="utf-8"), max_size=40)
told = st.dictionaries(letters.filter(lambda name: name != "Encrypt"), letters, max_size=4)


def read(body: bytes, **query: str) -> dict[str, Any]:
    """What is told."""
    return pushes.read(APP, body, query, now=NOW)


def encrypted(content: bytes) -> tuple[bytes, dict[str, str]]:
    """The same for this program alone: the body and its query."""
    inside = theirs.seal(content, key=KEY, appid=APP.appid)
    signed = pushes.signature(TOKEN, str(NOW), "nonce", inside)
    query = {"timestamp": str(NOW), "nonce": "nonce", "msg_signature": signed}
    return json.dumps({"Encrypt": inside}).encode(), query


@given(told)
def test_what_is_told_is_read_in_both_modes(content: dict[str, str]) -> None:
    plain = json.dumps(content).encode()
    body, query = encrypted(plain)

    assert read(plain) == content == read(body, **query)


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda some: b"<xml>" + some + b"</xml>"))
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert isinstance(read(body), dict)


@pytest.mark.parametrize(
    "body",
    [
        b'{"Content":"\\ud83d"}',
        b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b"<a>" * 20_000 + b"</a>" * 20_000,
        b'<?xml version="1.0" encoding="nowhere"?><xml><a>1</a></xml>',
        b'<!DOCTYPE x [<!ENTITY a "b">]><xml><a>&a;</a></xml>',
        b'{"n":' + b"9" * 5000 + b"}",
        b"[]",
        b"",
    ],
    ids=lambda body: body[:24],
)
def test_what_cannot_be_kept_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read(body)


@given(st.data())
def test_every_letter_of_what_is_encrypted_counts(data: st.DataObject) -> None:
    body, query = encrypted(b'{"Event":"x"}')
    inside = json.loads(body)["Encrypt"]
    at = data.draw(st.integers(0, len(inside) - 1))
    letter = data.draw(st.characters(codec="ascii").filter(lambda other: other != inside[at]))
    changed = {"Encrypt": inside[:at] + letter + inside[at + 1 :]}

    with pytest.raises(SignatureInvalid):
        read(json.dumps(changed).encode(), **query)


@given(st.binary(max_size=70).map(lambda some: base64.b64encode(some).decode()) | letters)
def test_what_is_signed_and_not_encrypted_is_refused(inside: str) -> None:
    signed = pushes.signature(TOKEN, str(NOW), "nonce", inside)

    with pytest.raises(SignatureInvalid):
        read(
            json.dumps({"Encrypt": inside}).encode(), timestamp=str(NOW), nonce="nonce", msg_signature=signed
        )
