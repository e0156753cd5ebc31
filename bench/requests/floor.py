"""What a request costs without us: a bare Lambda handler that makes the same calls with botocore, and no more.

It reads the event's body, sends what the app sent, and writes the app's answer. It checks nobody's session, no
input, and builds no expression. Its client is the one that `create_client` makes, or the app's own, which neither
validates parameters nor composes its user agent anew for every call.
"""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

from bench.requests import replay
from bench.requests.shop import Made
from tests.harness.gateway import Event

_WORD = re.compile(r"(?<!^)(?=[A-Z])")


def handler(made: Made, client: Any) -> Callable[[], Event]:
    """The request as a bare handler serves it."""
    calls = [(getattr(client, _WORD.sub("_", one.operation).lower()), one.params) for one in made.asked]
    told = json.loads(made.answer["body"])

    def handle() -> Event:
        content = made.event["body"]
        if content:
            json.loads(base64.b64decode(content))
        for call, params in calls:
            call(**params)
        return {
            "statusCode": made.status,
            "headers": {"content-type": "application/json"},
            "body": json.dumps(told),
        }

    return handle


def bare(made: Made) -> Callable[[], Event]:
    """With a client as it comes."""
    return handler(made, replay.plain(made.asked)[0])


def tuned(made: Made) -> Callable[[], Event]:
    """With the app's own client."""
    return handler(made, replay.ours(made.asked)[0])
