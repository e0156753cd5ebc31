"""People and programs of the simulated WeChat: ids are derived, so that they are the same in every run."""

import base64
import hashlib

DEMO_PROGRAMS = {"wx00000000000demo1": "demo-secret"}


def openid(*, appid: str, name: str) -> str:
    """Who ``name`` is in this program."""
    return _id("openid", appid, name)


def unionid(*, name: str) -> str:
    """Who ``name`` is in all programs."""
    return _id("unionid", name)


def session_key(*, appid: str, name: str) -> str:
    """The key that this person's data from this program is signed and encrypted with."""
    return base64.b64encode(digest("session_key", appid, name)[:16]).decode()


def digest(*parts: str) -> bytes:
    """32 bytes that stand for these words."""
    return hashlib.sha256("\0".join(parts).encode()).digest()


def _id(*parts: str) -> str:
    return "o" + base64.urlsafe_b64encode(digest(*parts)).decode()[:27]
