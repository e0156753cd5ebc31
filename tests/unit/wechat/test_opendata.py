"""What WeChat encrypted opens with its key and for its program; whatever else is sent is refused."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.errors import Invalid
from chalicelib.wechat import opendata
from chalicelib.wechat.opendata import SessionKeyStale
from infra.local.wechat import people, phones

APPID = "wx00000000000demo1"
KEY = people.session_key(appid=APPID, name="alice")
told = st.dictionaries(
    st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")), max_size=4
)


def opened(*, encrypted_data: str, iv: str, appid: str = APPID) -> dict[str, Any]:
    """What there was inside."""
    return opendata.opened(session_key=KEY, encrypted_data=encrypted_data, iv=iv, appid=appid)


def sealed(content: Any) -> dict[str, str]:
    """Something as a phone hands it on."""
    given = phones.encrypted(content, appid=APPID, name="alice")
    return {"encrypted_data": given["encryptedData"], "iv": given["iv"]}


@given(told)
def test_what_was_encrypted_comes_back(content: dict[str, str]) -> None:
    found = opened(**sealed(content))

    assert found.pop("watermark")["appid"] == APPID
    assert found == {name: text for name, text in content.items() if name != "watermark"}


def test_it_is_of_no_use_to_another_program() -> None:
    with pytest.raises(Invalid):
        opened(**sealed({"opengid": "g"}), appid="wx-another")


@given(st.text(max_size=60), st.text(max_size=30) | st.just("AAAAAAAAAAAAAAAAAAAAAA=="))
def test_what_was_never_encrypted_is_refused(content: str, iv: str) -> None:
    with pytest.raises((Invalid, SessionKeyStale)):
        opened(encrypted_data=content, iv=iv)


@given(st.data())
def test_what_was_changed_says_nothing_of_another_program(data: st.DataObject) -> None:
    given = sealed({"opengid": "g"})
    content = bytearray(base64.b64decode(given["encrypted_data"]))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))

    try:
        found = opened(encrypted_data=base64.b64encode(content).decode(), iv=given["iv"])
    except (Invalid, SessionKeyStale):
        return
    assert found["watermark"]["appid"] == APPID  # WeChat signs nothing: a byte of another field may differ


@pytest.mark.parametrize("mark", [None, "wx", [], {}])
def test_a_mark_of_another_form_is_no_mark(mark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opendata, "decrypted", lambda *_, **__: json.dumps({"watermark": mark}).encode())

    with pytest.raises(Invalid):
        opened(**sealed({}))
