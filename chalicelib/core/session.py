"""Signed tokens: sessions and visits, as JWT whose key ids let keys rotate.

The secret ``session_keys`` is JSON ``{key id: key}``; the first signs, all of them verify.
"""

import json
from functools import lru_cache
from typing import Any, Literal

from chalicelib.core import config
from chalicelib.core.errors import Unauthorized

Purpose = Literal["session", "visit", "upload"]


def sign(claims: dict[str, Any], *, purpose: Purpose, now: int, for_s: int) -> str:
    """A token that says ``claims`` for ``for_s`` seconds, good for ``purpose`` only."""
    import jwt

    key_id, key = next(iter(_keys(config.secret("session_keys", now=now)).items()))
    content = {**claims, "aud": purpose, "iat": now, "exp": now + for_s}
    return jwt.encode(content, key, algorithm="HS256", headers={"kid": key_id})


def verify(token: str, *, purpose: Purpose, now: int) -> dict[str, Any]:
    """The claims of a token that is ours, of this purpose and not over.

    Raises:
        Unauthorized: it is not.
    """
    import jwt
    from jwt.types import Options

    keys = _keys(config.secret("session_keys", now=now))
    try:
        key = keys.get(jwt.get_unverified_header(token).get("kid", ""), "")
        # Time is judged by `now` below: PyJWT would read the clock itself.
        options: Options = {"verify_exp": False, "verify_iat": False, "require": ["exp", "aud"]}
        claims = (
            jwt.decode(token, key, algorithms=["HS256"], audience=purpose, options=options) if key else None
        )
    except (jwt.PyJWTError, ValueError) as forged:
        raise Unauthorized from forged
    if claims is None or claims["exp"] <= now:
        raise Unauthorized
    return claims


@lru_cache(maxsize=4)
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
