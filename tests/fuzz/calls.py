"""What schemathesis makes of an operation of the contract, sent as a kind of caller, and what the answer breaks.

A call goes to the application in the form in which API Gateway hands it over. Who may pass a door is another test's
question (`tests.integration.test_http`): here everybody shows what they have, and the contract without its security
says what may come back.
"""

import base64
import copy
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.transport import Response
from schemathesis.generation import GenerationMode
from schemathesis.generation import case as generated
from schemathesis.generation.drivers import CoverageGenerator
from schemathesis.generation.feedback import NO_FEEDBACK
from schemathesis.generation.overrides import Override
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import checks

from chalicelib.core import contract
from tests.harness.gateway import Ask, answered
from tests.world import Beginning

BASE = "https://api.example.com"
Case = generated.Case[Any]
Operation = APIOperation[Any, Any, Any, Any]
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]
REJECTS, TOO_LARGE = checks.negative_data_rejection, 413
"""To schemathesis a call that is too large to be read is not rejected."""
BOTH = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
UNREAD = ("Expected `", "Object ", "Invalid ")
"""How msgspec begins when it says that a body or query is not as its struct has it."""
NOT_SCHEMA = re.compile(r"Expected `int.*got `float`|a NUL character")
"""What JSON Schema takes, and the contract says in words that nobody sends: 3.0 for a whole number, and U+0000."""


@lru_cache(maxsize=1)
def operations() -> dict[str, Operation]:
    """Every operation by its route."""
    document = copy.deepcopy(contract.document())
    for paths in document["paths"].values():
        for operation in paths.values():
            del operation["security"]
    schema = schemathesis.openapi.from_dict(document)
    schema.config.phases.coverage.unexpected_methods = {"patch"}
    found: list[Any] = list(schema.get_all_operations())
    return {route_of(one.ok()): one.ok() for one in found}


@lru_cache(maxsize=1)
def shown() -> dict[str, Any]:
    """The examples of the contract."""
    examples: dict[str, Any] = json.loads(contract.EXAMPLES.read_text(encoding="utf-8"))
    return examples


def route_of(operation: Operation) -> str:
    """The name of a route in the tables of the tests."""
    return f"{operation.method.upper()} {operation.path}"


# --- what is asked ------------------------------------------------------------------------------------------


def example(operation: Operation) -> Case:
    """The call that the contract shows."""
    given = shown()[route_of(operation)]
    asked = {"path_parameters": given.get("path", {}), "query": given.get("query", {})}
    if "body" in given:
        asked |= {"body": given["body"], "media_type": "application/json"}
    return operation.Case(**asked)


def covering(operation: Operation) -> Iterator[Case]:
    """Every field at and beyond its bounds, missing, of another type; every format and choice."""
    yield from CoverageGenerator(
        operation=operation,
        generation_modes=BOTH,
        generation_config=operation.schema.config.generation_for(operation=operation, phase="coverage"),
        auth_storage=None,
        override=Override(),
        feedback=NO_FEEDBACK,
        hooks=None,
    )


def drawn(operation: Operation, *, count: int, seed: int | None) -> Iterator[Case]:
    """So many calls that are as the contract says, and so many that are not; the same ones without a seed."""
    for mode in BOTH if negatable(operation) else BOTH[:1]:
        yield from of_mode(operation, mode, count=count, seed=seed)


def of_mode(operation: Operation, mode: GenerationMode, *, count: int, seed: int | None) -> list[Case]:
    """So many calls of one mode."""
    cases: list[Case] = []

    @hypothesis.settings(
        max_examples=count,
        derandomize=seed is None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def draw(case: Case) -> None:
        cases.append(case)

    try:
        (draw if seed is None else hypothesis.seed(seed)(draw))()
    except Unsatisfiable:
        assert mode == GenerationMode.NEGATIVE, "the contract lets nothing in"
    return cases


def negatable(operation: Operation) -> bool:
    """Whether anything is said of a call, so that it can be another."""
    return bool(operation.body or operation.query or operation.path_parameters)


# --- how it is asked ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Calling:
    """One kind of caller at one operation; what they were answered, and what was wrong with it."""

    beginning: Beginning
    operation: Operation
    caller: str
    phases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)

    def all(self, cases: Iterator[Case]) -> None:
        """Make these calls, each in the world as it was planted."""
        for case in cases:
            self.one(case)

    def one(self, case: Case) -> None:
        """Make a call and look at its answer; what it changed is undone."""
        if not negative(case, "PATH"):
            case.path_parameters = dict(shown()[route_of(self.operation)].get("path", {}))
        response = self.send(case)
        phase = case.meta.phase.name.value if case.meta else "examples"
        self.phases[phase] += 1
        self.statuses[response.status_code] += 1
        for reason in reasons(case, response):
            request = response.request
            sent = f"{self.caller} {phase}: {request.method} {request.url} {request.body!r:.500}"
            self.wrong.setdefault(reason.partition("\n")[0], f"{reason}\n{sent}\n{response.content!r:.500}")
        if case.method != "GET" and response.status_code < 300:
            self.beginning.restore()

    def send(self, case: Case) -> Response:
        """The application's answer."""
        request = requests.Request(**case.as_transport_kwargs(base_url=BASE)).prepare()
        body: Any = request.body or b""
        content: bytes = body.encode() if isinstance(body, str) else body
        shown = self.beginning.world.headers(self.caller, content)
        del shown["content_type"]
        request.headers.update({name.replace("_", "-"): text for name, text in shown.items()})
        target = urlsplit(str(request.url))
        ask = Ask(
            method=str(request.method),
            path=target.path,
            query=target.query,
            body=content,
            before="",
            headers={
                name: text if isinstance(text, str) else text.decode()
                for name, text in request.headers.items()
            },
        )
        return response_of(answered(ask.proxied), request)


def response_of(answer: dict[str, Any], request: requests.PreparedRequest) -> Response:
    """What the function gave back, as schemathesis looks at it."""
    body = answer["body"]
    return Response(
        status_code=answer["statusCode"],
        headers={name: [str(text)] for name, text in answer["headers"].items()},
        content=base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode(),
        request=request,
        elapsed=0.0,
        verify=False,
    )


def negative(case: Case, where: str) -> bool:
    """Whether this part of a call is not as the contract says."""
    parts = case.meta.components if case.meta else {}
    return any(part.name == where and told.mode.is_negative for part, told in parts.items())


# --- what was answered --------------------------------------------------------------------------------------


def reasons(case: Case, response: Response) -> Iterator[str]:
    """What the answer breaks of the contract."""
    large = response.status_code == TOO_LARGE
    try:
        case.validate_response(response, checks=[one for one in CHECKS if not (one is REJECTS and large)])
    except FailureGroup as group:
        yield from map(str, group.exceptions)
    except Failure as failure:
        yield str(failure)
    if case.meta and case.meta.generation.mode.is_positive and unread(response):
        yield f"What is as the contract says was not read\n{case.meta.phase.data}"


def unread(response: Response) -> bool:
    """Whether this is a refusal of the form of a call, and not of what it asks."""
    if response.status_code not in (400, 422):
        return False
    error: dict[str, Any] = response.json()["error"]
    reason = str(error["details"].get("reason", ""))
    if NOT_SCHEMA.match(reason):
        return False
    return error["code"] == "bad_request" or (error["code"] == "invalid" and reason.startswith(UNREAD))
