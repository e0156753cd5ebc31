"""What a package loses and gains: nothing that is read, and bytecode that is taken without a look at its source."""

import gzip
import importlib.util
import json
import struct
from pathlib import Path
from zipfile import ZipFile

import pytest

from infra import lean


@pytest.mark.parametrize(
    "name",
    [
        "botocore/data/ec2/2016-11-15/service-2.json.gz",
        "botocore/data/s3/2006-03-01/examples-1.json",
        "aws_lambda_powertools/event_handler/api_gateway.py",
        "aws_lambda_powertools/utilities/parser/parser.py",
        "cryptography-50.0.2.dist-info/METADATA",
        "qrcode/tests/test_qrcode.py",
        "msgspec/__init__.pyi",
        "chalicelib/__pycache__/__init__.cpython-311.pyc",
    ],
)
def test_what_nobody_reads_goes(name: str) -> None:
    assert lean.is_dead(name)


@pytest.mark.parametrize(
    "name",
    [
        "app.py",
        "chalicelib/core/examples.json",
        "botocore/data/partitions.json",
        "botocore/data/dynamodb/2012-08-10/service-2.json.gz",
        "botocore/cacert.pem",
        "aws_lambda_powertools/utilities/batch/base.py",
        "aws_lambda_powertools/utilities/__init__.py",
        "tzdata/zoneinfo/Asia/Shanghai",
    ],
)
def test_what_is_read_stays(name: str) -> None:
    assert not lean.is_dead(name)


def test_a_member_called_documentation_is_none() -> None:
    told = {"documentation": "prose", "members": {"documentation": {"shape": "S", "documentation": "prose"}}}

    assert lean.without_documentation([told]) == [{"members": {"documentation": {"shape": "S"}}}]


def test_every_region_of_our_services_is_known() -> None:
    endpoints = {
        "version": 3,
        "partitions": [{"partition": "aws", "services": {"s3": {"endpoints": {}}, "ec2": {}}}],
    }

    kept = lean.of_our_services(endpoints)

    assert kept == {"version": 3, "partitions": [{"partition": "aws", "services": {"s3": {"endpoints": {}}}}]}


def a_package(folder: Path) -> Path:
    """As chalice leaves one, in no order."""
    with ZipFile(folder / "given.zip", "w") as given:
        given.writestr("b.py", "NAMES = {'a', 'b'}\n\n\ndef f(x):\n    return x in {1, 2, 'y'}\n")
        given.writestr("botocore/data/endpoints.json", '{"partitions": []}')
        given.writestr(
            "botocore/data/s3/1/service-2.json.gz", gzip.compress(b'{"documentation": "x", "a": 1}')
        )
        given.writestr("a.py", "import b\n")
        given.writestr("x.dist-info/METADATA", "")
    return folder / "given.zip"


def made(folder: Path, name: str) -> Path:
    (folder / f"work-{name}").mkdir()
    lean.make(a_package(folder), folder / name, work=folder / f"work-{name}")
    return folder / name


def test_a_package_has_its_modules_as_bytecode_and_its_data_ready(tmp_path: Path) -> None:
    with ZipFile(made(tmp_path, "lean.zip")) as zipped:
        content = {name: zipped.read(name) for name in zipped.namelist()}

    cached = Path(importlib.util.cache_from_source("a.py")).as_posix()
    assert list(content) == [
        cached,
        cached.replace("a.", "b."),
        "a.py",
        "b.py",
        "botocore/data/endpoints.json",
        "botocore/data/s3/1/service-2.json",
    ]
    assert json.loads(content["botocore/data/s3/1/service-2.json"]) == {"a": 1}
    magic, flags = content[cached][:4], struct.unpack("<I", content[cached][4:8])[0]
    # By its hash, so by no date, and without reading the source for it.
    assert (magic, flags) == (importlib.util.MAGIC_NUMBER, 1)


def test_the_same_code_is_the_same_file(tmp_path: Path) -> None:
    assert made(tmp_path, "one.zip").read_bytes() == made(tmp_path, "other.zip").read_bytes()
