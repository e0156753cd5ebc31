"""What Lambda is given: all of the runtime, nothing else, and it starts by itself."""

import base64
import json
import subprocess
import sys
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import botocore.session
import pytest

from infra import lean
from tests.packaging.conftest import Package
from tests.packaging.test_policy import _used
from tests.unit.test_imports import house, imports

MOST_BYTES = 13_000_000
NOT_RUNTIME = {
    "cfnlint",
    "hypothesis",
    "infra",
    "moto",
    "mypy",
    "pip",
    "pytest",
    "ruff",
    "setuptools",
    "tests",
}

only_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="the wheels in the zip are Lambda's, for Linux"
)

# Only what Lambda has: the interpreter with its library, and the unpacked zip.
_START = """
import gc, importlib, json, socket, sys
def refuse(*_, **__): raise OSError("a handler must start without the network")
socket.socket.connect = socket.getaddrinfo = refuse
sys.path.insert(0, sys.argv[1])
module, name = sys.argv[2].rsplit(".", 1)
handler = getattr(importlib.import_module(module), name)
assert callable(handler)
assert gc.isenabled() and gc.get_freeze_count() > 10_000
files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
foreign = [file for file in files if "site-packages" in file]
assert not foreign, foreign
if len(sys.argv) > 3:
    class Context: aws_request_id = "r"
    print(json.dumps(handler(json.loads(sys.argv[3]), Context())))
"""


# Each name is a module, or something in one.
_IMPORT = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    module, _, last = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        getattr(importlib.import_module(module), last)
print(*sys.modules)
"""

# A region, and services.
_ASK = """
import sys
sys.path.insert(0, sys.argv[1])
import botocore.session
for name in sys.argv[3:]:
    print(botocore.session.get_session().create_client(name, sys.argv[2]).meta.endpoint_url)
"""


def _start(unpacked: Path, function: dict[str, Any], *event: str) -> str:
    variables = {key: _plain(value) for key, value in function["Environment"]["Variables"].items()}
    variables |= {
        "AWS_REGION": "cn-northwest-1",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "LAMBDA_TASK_ROOT": str(unpacked),
    }
    command = [sys.executable, "-I", "-S", "-c", _START, str(unpacked), function["Handler"], *event]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _plain(value: Any) -> str:
    """A variable as CloudFormation would fill it in, of a stack without a bucket."""
    if isinstance(value, str):
        return value
    return str(value["Fn::If"][2] if "Fn::If" in value else value["Ref"])


def test_the_zip_is_small(zipped: Path) -> None:
    assert zipped.stat().st_size < MOST_BYTES


def test_the_zip_holds_only_runtime(zipped: Path) -> None:
    names = ZipFile(zipped).namelist()
    tops = {name.split("/")[0].removesuffix(".py") for name in names}

    assert not tops & NOT_RUNTIME
    assert {name for name in names if name.startswith("chalice/") and name.endswith(".py")} == {
        "chalice/__init__.py",
        "chalice/app.py",
    }
    assert not [name for name in names if "/tests/" in name or ".dist-info/" in name]
    assert {"app.py", "chalicelib/core/table.py"} <= set(names)


def test_every_module_comes_with_its_bytecode(zipped: Path) -> None:
    names = ZipFile(zipped).namelist()
    sources = [name for name in names if name.endswith(".py")]

    assert sorted(cache_from_source(name) for name in sources) == [n for n in names if n.endswith(".pyc")]


def test_the_services_that_are_called_are_described(unpacked: Path) -> None:
    called = {action.partition(":")[0] for action in _used()}

    assert called == set(lean.SERVICES)
    assert {path.name for path in (unpacked / lean.DATA).iterdir() if path.is_dir()} == called


@pytest.mark.parametrize("region", ["us-east-1", "cn-northwest-1"])
def test_the_clients_of_the_zip_ask_where_others_ask(unpacked: Path, region: str) -> None:
    session = botocore.session.get_session()
    whole = [session.create_client(name, region).meta.endpoint_url for name in lean.SERVICES]

    command = [sys.executable, "-S", "-c", _ASK, str(unpacked), region, *lean.SERVICES]
    asked = subprocess.run(command, env={}, capture_output=True, text=True, check=True).stdout

    assert asked.split() == whole


def test_both_regions_get_the_same_bytes(packages: dict[str, Package]) -> None:
    first, second = ((package.folder / "deployment.zip").read_bytes() for package in packages.values())

    assert first == second


def test_lambda_may_read_every_file(zipped: Path) -> None:
    assert {entry.external_attr >> 16 for entry in ZipFile(zipped).infolist()} == {0o644}


def test_every_handler_is_in_app(package: Package) -> None:
    # A handler on a blueprint would start without app.py and its middleware.
    assert [name for name, one in package.functions.items() if not one["Handler"].startswith("app.")] == []
    assert {one["CodeUri"] for one in package.functions.values()} == {"./deployment.zip"}


@only_linux
def test_every_handler_starts_from_the_zip_alone(packages: dict[str, Package], unpacked: Path) -> None:
    for function in packages["cn-northwest-1"].functions.values():
        _start(unpacked, function)


@only_linux
def test_what_is_imported_later_is_in_the_zip_too(unpacked: Path) -> None:
    named = [one.name for path, source in house().items() for one in imports(path, source)]
    libraries = sorted({name for name in named if not name.startswith("chalicelib")})
    command = [sys.executable, "-I", "-S", "-c", _IMPORT, str(unpacked), *libraries]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    assert "cryptography" in done.stdout.split()


@only_linux
def test_the_api_reads_a_body_as_the_gateway_sends_it(packages: dict[str, Package], unpacked: Path) -> None:
    api = packages["cn-northwest-1"].functions["APIHandler"]

    status, answer = _call(unpacked, api, "POST", "/v1/sessions", b'{"code": 7}')

    assert (status, answer["error"]["code"]) == (422, "invalid"), answer


@only_linux
def test_the_contract_is_served_from_the_zip_alone(packages: dict[str, Package], unpacked: Path) -> None:
    api = packages["cn-northwest-1"].functions["APIHandler"]

    status, answer = _call(unpacked, api, "GET", "/v1/openapi.json")

    assert status == 200, answer
    assert "/v1/sessions" in answer["paths"]


def _call(unpacked: Path, api: dict[str, Any], method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    said = _start(unpacked, api, json.dumps(_event(method, path, body)))
    answer = json.loads(said.splitlines()[-1])  # after the log lines
    return answer["statusCode"], json.loads(answer["body"])


def _event(method: str, path: str, body: bytes) -> dict[str, Any]:
    context = {
        "httpMethod": method,
        "resourcePath": "/{proxy+}",
        "path": f"/api{path}",
        "stage": "api",
        "requestId": "r1",
    }
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {"content-type": "application/json"},
        "multiValueHeaders": {"content-type": ["application/json"]},
        **dict.fromkeys(("multiValueQueryStringParameters", "stageVariables")),
        "pathParameters": {"proxy": path.removeprefix("/")},
        "requestContext": {**context, "identity": {"sourceIp": "1.2.3.4"}},
        # With */* as binary type every body arrives in base64.
        "body": base64.b64encode(body).decode() or None,
        "isBase64Encoded": bool(body),
    }
