"""What botocore itself takes of a CPU for a call: writing it down, signing it, reading the answer."""

import io
import json
import time
from statistics import median
from typing import Any
from unittest import mock

from botocore.awsrequest import AWSResponse
from moto.core.models import botocore_stubber

from tests.harness.wire import Params

TIMES = 7


class _Raw(io.BytesIO):
    """An answer's body as urllib3 would hand it over."""

    def stream(self, **how: Any) -> Any:
        """All of it at once."""
        yield self.read()


def of_botocore(client: Any, operation: str, params: Params, answer: Params) -> float:
    """Seconds of CPU of a call that is answered at once, the middle of several; then the client is of no use."""
    body = json.dumps(answer).encode()

    class Line:
        """In place of the connections."""

        def send(self, request: Any) -> AWSResponse:
            return AWSResponse(request.url, 200, {}, _Raw(body))

    client._endpoint.http_session = Line()
    with mock.patch.object(botocore_stubber, "enabled", new=False):
        return median(_seconds(client, operation, params) for _ in range(TIMES))


def _seconds(client: Any, operation: str, params: Params) -> float:
    begun = time.thread_time()
    type(client)._make_api_call(client, operation, params)
    return time.thread_time() - begun
