"""Signed tokens: sessions and visits, by keys that rotate.

The secret ``session_keys`` is JSON ``{key id: key}``; the first signs, all of them verify. The ids are for people.
"""

import hashlib
import json
from functools import lru_cache
from typing import Any, Literal

from itsdangerous import BadData, URLSafeSerializer

from chalicelib.core import config
from chalicelib.core.errors import Unauthorized

Purpose = Literal["session", "visit", "upload"]


def sign(claims: dict[str, Any], *, purpose: Purpose, now: int, for_s: int) -> str:
    """A token that says ``claims`` for ``for_s`` seconds, good for ``purpose`` only."""
    content = {**claims, "iat": now, "exp": now + for_s}
    token: str = _signer(config.secret("session_keys", now=now), purpose).dumps(content)
    return token


def verify(token: str, *, purpose: Purpose, now: int) -> dict[str, Any]:
    """The claims of a token that is ours, of this purpose and not over.

    Raises:
        Unauthorized: it is not.
    """
    signer = _signer(config.secret("session_keys", now=now), purpose)
    try:
        claims: dict[str, Any] = signer.loads(token)
    except (BadData, UnicodeError) as forged:
        raise Unauthorized from forged
    if claims["exp"] <= now:
        raise Unauthorized
    return claims


@lru_cache(maxsize=12)
def _signer(secret: str, purpose: Purpose) -> URLSafeSerializer:
    # itsdangerous signs with the last of its keys, and derives one of each for every purpose, which it calls salt.
    keys = list(reversed(_keys(secret).values()))
    how = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
    return URLSafeSerializer(keys, salt=purpose, signer_kwargs=how)


def _keys(secret: str) -> dict[str, str]:
    try:
        keys = json.loads(secret)
    except ValueError as unreadable:
        raise config.ConfigError("The secret session_keys must be JSON: {key id: key}.") from unreadable
    if (
        not isinstance(keys, dict)
        or not keys
        or not all(isinstance(k, str) and len(k) >= 32 for k in keys.values())
    ):
        raise config.ConfigError(
            "The secret session_keys must be JSON: {key id: key of 32 characters or more}."
        )
    return keys
