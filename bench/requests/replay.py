"""A botocore client whose answers were recorded: everything that a call of DynamoDB costs here, and no network.

It builds, signs and sends requests and reads answers as it always does; what lies below, the socket, answers with
the bytes that the same calls were answered with before, in the same order, again and again.
"""

import base64
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from moto.core.models import botocore_stubber

from bench.requests.shop import Asked
from chalicelib.core import table

HEADERS = {"content-type": "application/x-amz-json-1.0", "x-amzn-requestid": "recorded"}


class _Body:
    """What a socket would give."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self) -> Iterator[bytes]:
        """All of it."""
        yield self._content


class Wire:
    """In the place of botocore's HTTP session."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self._bodies = [_encoded(one.answer) for one in asked]
        self._left = itertools.cycle(self._bodies)
        self.sent = 0

    def begin(self) -> None:
        """What is asked next is the first call of a request."""
        self._left, self.sent = itertools.cycle(self._bodies), 0

    def send(self, request: Any) -> AWSResponse:
        """The next answer."""
        self.sent += 1
        return AWSResponse(request.url, 200, HEADERS, _Body(next(self._left)))


def _encoded(answer: Any) -> bytes:
    told = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    if "Items" in told:
        # DynamoDB says both of every page; of pages without a filter they are the same.
        told |= {"Count": len(told["Items"]), "ScannedCount": len(told["Items"])}
    return json.dumps(told, default=lambda value: base64.b64encode(value).decode()).encode()


def ours(asked: Sequence[Asked]) -> tuple[Any, Wire]:
    """The client that the app makes, on a wire with these answers."""
    wire = Wire(asked)
    return on_wire(table._new_client(), wire), wire


def plain(asked: Sequence[Asked]) -> tuple[Any, Wire]:
    """The client that `create_client` makes, with nothing set but where it is."""
    made = botocore.session.get_session().create_client("dynamodb", region_name="us-east-1", config=Config())
    wire = Wire(asked)
    return on_wire(made, wire), wire


def on_wire(client: Any, wire: Wire) -> Any:
    """The same client, which nothing but the wire answers: the embedded store would, before anything is sent."""
    client.meta.events.unregister("before-send", botocore_stubber)
    client._endpoint.http_session = wire
    return client
