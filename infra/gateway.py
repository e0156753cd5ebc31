"""What API Gateway answers by itself, in the words and with the codes of the app.

A call that never reaches a function (too much at once, too large, a function that does not answer) gets the same
envelope, and the CORS headers without which a page cannot read it. Every path reaches the function, which answers
itself that there is none, and so does every method that ANY stands for. Of another method, such as TRACE, the
gateway complains that a token is missing or, with a session in the header, that a signature is invalid: routes need
neither, so that it means only that there is nothing of the kind. The gateway cannot read Accept-Language, so its
messages are in both languages.
"""

import json
from typing import Any

from chalicelib.core.errors import (
    AppError,
    BadRequest,
    Busy,
    Forbidden,
    InternalError,
    NotFound,
    TooLarge,
    TooMany,
    Unauthorized,
    UnsupportedMediaType,
)

REFUSALS: dict[str, type[AppError]] = {
    "ACCESS_DENIED": Forbidden,
    "BAD_REQUEST_BODY": BadRequest,
    "BAD_REQUEST_PARAMETERS": BadRequest,
    "EXPIRED_TOKEN": NotFound,
    "INTEGRATION_FAILURE": Busy,
    "INTEGRATION_TIMEOUT": Busy,
    "INVALID_API_KEY": Forbidden,
    "INVALID_SIGNATURE": NotFound,
    "MISSING_AUTHENTICATION_TOKEN": NotFound,
    "QUOTA_EXCEEDED": TooMany,
    "REQUEST_TOO_LARGE": TooLarge,
    "RESOURCE_NOT_FOUND": NotFound,
    "THROTTLED": TooMany,
    "UNAUTHORIZED": Unauthorized,
    "UNSUPPORTED_MEDIA_TYPE": UnsupportedMediaType,
    "WAF_FILTERED": Forbidden,
}
# These two stand for all the others, each of which keeps the status it has.
DEFAULTS: dict[str, type[AppError]] = {"DEFAULT_4XX": BadRequest, "DEFAULT_5XX": InternalError}


def responses() -> dict[str, Any]:
    """The GatewayResponses of the API."""
    named = {name: {"StatusCode": str(kind.status), **_response(kind)} for name, kind in REFUSALS.items()}
    return {**named, **{name: _response(kind) for name, kind in DEFAULTS.items()}}


def _response(kind: type[AppError]) -> dict[str, Any]:
    headers = {
        "Access-Control-Allow-Origin": "'*'",
        "Access-Control-Expose-Headers": "'Retry-After,X-Request-Id'",
        "Cache-Control": "'no-store'",
    }
    if kind.retry_after_s is not None:
        headers["Retry-After"] = f"'{kind.retry_after_s}'"
    envelope = {
        "code": kind.code,
        "message": f"{kind.zh} {kind.en}",
        "details": {},
        "request_id": "$context.requestId",
    }
    return {
        "ResponseParameters": {"Headers": headers},
        "ResponseTemplates": {"application/json": json.dumps({"error": envelope})},
    }
