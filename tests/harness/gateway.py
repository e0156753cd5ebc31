"""What API Gateway sends of one greedy resource, and what the function answers it: the served application without a
server in between.

The events have the form of "Input format of a Lambda function for proxy integration" in API Gateway's developer
guide: a parameter of the query comes with all its values, what is absent is null, and, as `*/*` is binary, every
body is in base64.
"""

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import app

Event = dict[str, Any]


@dataclass(frozen=True)
class Context:
    """What Lambda tells of the invocation."""

    aws_request_id: str = "lambda-1"
    function_name: str = "api"
    memory_limit_in_mb: int = 1024
    invoked_function_arn: str = "arn"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request; ``before``: what stands before its path, the stage or the base path of a custom domain."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    before: str = "/api"
    headers: dict[str, str] = field(default_factory=dict)

    def of(self, resource: str, parameters: dict[str, str] | None) -> Event:
        """The event of the request at an API that has this resource for it."""
        shown = {
            "Accept": "*/*",
            "Content-Type": "application/json",
            "Host": "api.example.com",
            **self.headers,
        }
        query = parse_qs(self.query, keep_blank_values=True)
        context = {
            "accountId": "123456789012",
            "apiId": "1234567890",
            "httpMethod": self.method,
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "wechat"},
            "path": f"{self.before}{self.path}",
            "protocol": "HTTP/1.1",
            "requestId": "request-1",
            "resourceId": "abc123",
            "resourcePath": resource,
            "stage": "api",
        }
        return {
            "resource": resource,
            "path": self.path if self.before == "/api" else f"{self.before}{self.path}",
            "httpMethod": self.method,
            "headers": shown,
            "multiValueHeaders": {name: [value] for name, value in shown.items()},
            "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
            "multiValueQueryStringParameters": query or None,
            "pathParameters": parameters,
            "stageVariables": None,
            "requestContext": context,
            "body": base64.b64encode(self.body).decode() or None,
            "isBase64Encoded": bool(self.body),
        }

    @property
    def proxied(self) -> Event:
        """As the packaged API sends it."""
        rest = self.path.strip("/")
        return self.of("/{proxy+}", {"proxy": rest}) if rest else self.of("/", None)


def answered(event: Event) -> Event:
    """What the function gives back to API Gateway, which must be able to make JSON of it."""
    given = json.dumps(event)
    answer: Event = app.app(event, Context())
    assert json.dumps(event) == given
    return json.loads(json.dumps(answer))  # type: ignore[no-any-return]
