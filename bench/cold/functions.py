"""The functions that are deployed, each with an event for which it asks little of the store, and the bare one."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.cold import store
from chalicelib.core import session

BARE = Path(__file__).with_name("bare.py")
BARE_HANDLER = "bare.handle"
_SCHEDULED = {
    "version": "0",
    "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "account": "123456789012",
    "time": "2026-01-01T00:00:00Z",
    "region": "us-east-1",
    "resources": [],
    "detail": {},
}


@dataclass(frozen=True, kw_only=True)
class Function:
    """``handler`` as Lambda is told it; ``status``: what the answer to a request must say."""

    name: str
    handler: str
    variables: Mapping[str, str]
    event: bytes
    status: int | None = None

    def is_right(self, answer: bytes) -> bool:
        """Whether it did what it was asked."""
        return self.status is None or json.loads(answer)["statusCode"] == self.status


def deployed(template: Mapping[str, Any]) -> list[Function]:
    """Every function of the template; the API twice: for anybody, and for a member, which takes a secret."""
    found = []
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            found += _with_events(resource["Properties"])
    return sorted(found, key=lambda one: (one.status is None, one.name))


def bare() -> Function:
    """A handler of botocore alone."""
    return Function(
        name="bare", handler=BARE_HANDLER, variables={"TRUTH_TABLE": "truth"}, event=b"{}", status=200
    )


def _with_events(properties: Mapping[str, Any]) -> list[Function]:
    handler = properties["Handler"]
    given = {name: _plain(value) for name, value in properties["Environment"]["Variables"].items()}
    name, variables = handler.removeprefix("app."), {**given, "SECRETS": f"ssm:{store.SECRETS}"}
    if handler == "app.app":
        events = {
            "API, anybody": _request("/v1/programs"),
            "API, a member": _request("/v1/me/coupons", **_signed_in()),
        }
        return [
            Function(name=name, handler=handler, variables=variables, event=_json(event), status=200)
            for name, event in events.items()
        ]
    event = {"react": _records(_MEMBER), "deliver": _records(_DELIVERY)}.get(name, _SCHEDULED)
    return [Function(name=name, handler=handler, variables=variables, event=_json(event))]


def _plain(value: Any) -> str:
    """A variable as CloudFormation fills it in, of a stack without a bucket."""
    if isinstance(value, str):
        return value
    return str(value["Fn::If"][2] if "Fn::If" in value else value["Ref"])


def _json(event: Any) -> bytes:
    return json.dumps(event).encode()


def _request(path: str, **headers: str) -> dict[str, Any]:
    """As API Gateway sends it to a function behind one greedy resource."""
    context = {"httpMethod": "GET", "resourcePath": "/{proxy+}", "path": f"/api{path}", "stage": "api"}
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": "GET",
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "multiValueQueryStringParameters": None,
        "stageVariables": None,
        "pathParameters": {"proxy": path.removeprefix("/")},
        "requestContext": {**context, "requestId": "r1", "identity": {"sourceIp": "192.0.2.1"}},
        "body": None,
        "isBase64Encoded": False,
    }


def _signed_in() -> dict[str, str]:
    now = int(time.time())
    claims = {"sub": "mbr_1", "prg": "demo", "vst": "v1"}
    with patch.dict(os.environ, SECRET_SESSION_KEYS=json.dumps(store.SESSION_KEYS)):
        token = session.sign(claims, purpose="session", now=now, for_s=3600)
    return {"authorization": f"Bearer {token}"}


_MEMBER = {"pk": "MEMBER#mbr_1", "sk": "META", "kind": "member", "state": "active", "member_id": "mbr_1"}
_DELIVERY = {
    "pk": "DELIVERY#dlv_1",
    "sk": "META",
    "kind": "delivery",
    "state": "due",
    "due_shard": "deliver#0",
    "due_ref": "",
}


def _records(image: Mapping[str, str]) -> dict[str, Any]:
    """As Lambda hands over what DynamoDB's stream has of a new row."""
    numbers = {"rev": "1", "v": "1", "due_at": "1767225600"}
    new = {name: {"S": value} for name, value in image.items()} | {
        name: {"N": n} for name, n in numbers.items()
    }
    told = {"Keys": {name: new[name] for name in ("pk", "sk")}, "NewImage": new, "SequenceNumber": "1"}
    record = {
        "eventID": "1",
        "eventName": "INSERT",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {**told, "SizeBytes": 200, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/truth/stream/2026-01-01T00:00:00.000",
    }
    return {"Records": [record]}
