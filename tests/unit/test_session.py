"""Tokens say what we signed, for their purpose and their time, under keys that rotate; nothing else passes."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import session
from chalicelib.core.config import ConfigError
from chalicelib.core.errors import Unauthorized
from chalicelib.core.session import Purpose

NOW = 1_750_000_000
OLD, NEW = "1" * 32, "2" * 32
CLAIMS = {"sub": "mbr_1", "prg": "demo"}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, {"old": OLD, "long": "1" * 64})


def live(monkeypatch: pytest.MonkeyPatch, keys: Any) -> None:
    """Make these the keys, the first of which signs."""
    monkeypatch.setenv("SECRET_SESSION_KEYS", keys if isinstance(keys, str) else json.dumps(keys))


def signed(purpose: Purpose = "session", *, now: int = NOW, for_s: int = 60) -> str:
    """A token of ours."""
    return session.sign(CLAIMS, purpose=purpose, now=now, for_s=for_s)


def forged(header: dict[str, Any], claims: dict[str, Any] | None = None, *, key: str = OLD) -> str:
    """A token signed by hand with HMAC-SHA256."""
    content = claims if claims is not None else {**CLAIMS, "aud": "session", "iat": NOW, "exp": NOW + 60}
    head = ".".join(_base64(json.dumps(part).encode()) for part in (header, content))
    return f"{head}.{_base64(hmac.new(key.encode(), head.encode(), hashlib.sha256).digest())}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


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

    assert said == {**claims, "aud": "visit", "iat": NOW, "exp": NOW + 60}


def test_the_hand_made_token_of_these_tests_would_pass() -> None:
    assert not refused(forged({"alg": "HS256", "kid": "old"}))


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
    assert jwt.get_unverified_header(after)["kid"] == "new"
    assert not refused(before) and not refused(after)

    live(monkeypatch, {"new": NEW})
    assert refused(before) and not refused(after)


def test_a_key_signs_under_its_own_id_only(monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, {"new": NEW, "old": OLD})

    assert refused(forged({"alg": "HS256", "kid": "new"}, key=OLD))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "HS256"},
        {"alg": "HS256", "kid": ""},
        {"alg": "HS256", "kid": "unknown"},
        {"alg": "HS256", "kid": 7},
        {"alg": "HS256", "kid": None},
        {"alg": "HS256", "kid": ["old"]},
        {"alg": "HS384", "kid": "old"},
        {"alg": "RS256", "kid": "old"},
        {"alg": "none", "kid": "old"},
        {"alg": None, "kid": "old"},
        {"alg": {}, "kid": "old"},
        {"kid": "old"},
        {"alg": "HS256", "kid": "old", "crit": ["exp"]},
        {},
    ],
)
def test_a_header_of_another_kind_is_refused(header: dict[str, Any]) -> None:
    assert refused(forged(header))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_is_refused_even_with_our_key(algorithm: str) -> None:
    claims = {**CLAIMS, "aud": "session", "iat": NOW, "exp": NOW + 60}

    assert refused(jwt.encode(claims, "1" * 64, algorithm=algorithm, headers={"kid": "long"}))


def test_no_signature_is_no_signature() -> None:
    header, content, _ = forged({"alg": "none", "kid": "old"}).split(".")
    unsigned = jwt.encode({**CLAIMS, "aud": "session", "exp": NOW + 60}, "", algorithm="none")

    assert refused(f"{header}.{content}.")
    assert refused(f"{header}.{content}")
    assert refused(unsigned)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "session"},
        {"exp": NOW + 60},
        {"exp": NOW + 60, "aud": ["visit"]},
        {"exp": NOW + 60, "aud": None},
    ],
)
def test_a_token_without_purpose_or_end_is_refused(claims: dict[str, Any]) -> None:
    assert refused(forged({"alg": "HS256", "kid": "old"}, claims))


@given(st.data())
def test_a_changed_token_is_refused(data: st.DataObject) -> None:
    token = signed()
    at = data.draw(st.integers(0, len(token) - 2))  # the last letter has bits that say nothing
    letter = data.draw(st.characters(codec="ascii").filter(lambda other: other != token[at]))

    assert refused(token[:at] + letter + token[at + 1 :])


@given(st.text(st.characters(codec=None, exclude_categories=[]), max_size=200))
def test_what_was_never_a_token_is_refused(text: str) -> None:
    assert refused(text)


@pytest.mark.parametrize("depth", [10, 2000, 100_000])
def test_a_header_of_any_depth_is_refused(depth: int) -> None:
    nested = _base64(b'{"alg":"HS256","kid":"old","x":' + b"[" * depth + b"]" * depth + b"}")

    assert refused(f"{nested}.e30.AAAA")


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
