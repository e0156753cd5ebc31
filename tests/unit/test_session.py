"""Tokens say what we signed, for their purpose and their time, under keys that rotate; nothing else passes."""

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import NoneAlgorithm, Signer

from chalicelib.core import session
from chalicelib.core.config import ConfigError
from chalicelib.core.errors import Unauthorized
from chalicelib.core.session import Purpose

NOW = 1_750_000_000
OLD, NEW = "1" * 32, "2" * 32
CLAIMS = {"sub": "mbr_1", "prg": "demo"}
SPELT = {"+": "-", "/": "_"}
"""Base64 may have these for those: a signature that is spelt so is the same one."""


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, {"old": OLD, "long": "1" * 64})


def live(monkeypatch: pytest.MonkeyPatch, keys: Any) -> None:
    """Make these the keys, the first of which signs."""
    monkeypatch.setenv("SECRET_SESSION_KEYS", keys if isinstance(keys, str) else json.dumps(keys))


def signed(purpose: Purpose = "session", *, now: int = NOW, for_s: int = 60) -> str:
    """A token of ours."""
    return session.sign(CLAIMS, purpose=purpose, now=now, for_s=for_s)


def forged(content: str, *, key: str = OLD, purpose: str = "session", **other: Any) -> str:
    """What somebody else signs, as itsdangerous would."""
    how: Any = {"salt": purpose, "key_derivation": "hmac", "digest_method": hashlib.sha256}
    return Signer(key, **{**how, **other}).sign(content).decode()


def content(**claims: Any) -> str:
    """The part of a token that says something."""
    return base64.urlsafe_b64encode(json.dumps({**CLAIMS, **claims}).encode()).decode().rstrip("=")


def refused(token: str, *, purpose: Purpose = "session", now: int = NOW) -> bool:
    """Whether it is not accepted."""
    try:
        session.verify(token, purpose=purpose, now=now)
    except Unauthorized:
        return True
    return False


@given(st.dictionaries(st.sampled_from(["sub", "prg", "vis", "lnk"]), st.text(max_size=50)))
def test_a_token_says_what_was_signed(claims: dict[str, str]) -> None:
    token = session.sign(claims, purpose="visit", now=NOW, for_s=60)
    said = session.verify(token, purpose="visit", now=NOW + 59)

    assert said == {**claims, "iat": NOW, "exp": NOW + 60}


def test_the_token_that_these_tests_make_passes_with_our_key() -> None:
    assert not refused(forged(content(exp=NOW + 60)))


@pytest.mark.parametrize(("now", "over"), [(NOW - 10**8, False), (NOW + 59, False), (NOW + 60, True)])
def test_a_token_is_over_by_the_time_it_is_told(now: int, over: bool) -> None:
    assert refused(signed(), now=now) is over


def test_the_machines_clock_is_not_asked() -> None:
    long_ago, far_ahead = 1_000_000, 40_000_000_000

    assert not refused(signed(now=long_ago), now=long_ago)
    assert not refused(signed(now=far_ahead), now=far_ahead)


def test_a_token_serves_its_purpose_only() -> None:
    assert refused(signed("visit"), purpose="session")
    assert refused(signed("session"), purpose="visit")


def test_keys_rotate(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signed()

    live(monkeypatch, {"new": NEW, "old": OLD})
    after = signed()
    assert not refused(before) and not refused(after)

    live(monkeypatch, {"new": NEW})
    assert refused(before) and not refused(after)


@pytest.mark.parametrize(
    "other",
    [
        {"key": NEW},
        {"key": ""},
        {"purpose": ""},
        {"key_derivation": "none"},
        {"key_derivation": "concat"},
        {"key_derivation": "django-concat"},
        {"digest_method": hashlib.sha1},
        {"digest_method": hashlib.sha512},
        {"algorithm": NoneAlgorithm()},
    ],
)
def test_what_is_signed_in_another_way_is_refused(other: dict[str, Any]) -> None:
    assert refused(forged(content(exp=NOW + 60), **other))


def test_no_signature_is_no_signature() -> None:
    said, _, _ = signed().rpartition(".")

    assert refused(said)
    assert refused(f"{said}.")
    assert refused(f"{content(exp=NOW + 60)}.")


@given(st.data())
def test_a_changed_token_is_refused(data: st.DataObject) -> None:
    token = signed()
    at = data.draw(st.integers(0, len(token) - 2))  # the last letter has bits that say nothing
    letter = data.draw(
        st.characters(codec="ascii").filter(lambda other: SPELT.get(other, other) != token[at])
    )

    assert refused(token[:at] + letter + token[at + 1 :])


@given(st.text(st.characters(codec=None, exclude_categories=[]), max_size=200))
def test_what_was_never_a_token_is_refused(text: str) -> None:
    assert refused(text)


@pytest.mark.parametrize(
    "keys", ["", "old", "{}", "[]", '["a"]', {"old": "short"}, {"old": 7}, {"old": OLD, "new": "short"}]
)
def test_keys_that_are_no_keys_are_an_error_that_does_not_show_them(
    keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(monkeypatch, keys)

    with pytest.raises(ConfigError, match="session_keys") as wrong:
        signed()
    assert OLD not in str(wrong.value)
