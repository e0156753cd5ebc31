"""The packages that the tests look at: one stage in each partition, from one clean copy, once per session."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from infra import package as packaging

TARGETS = (("dev", "us-east-1"), ("prod", "cn-northwest-1"))


@dataclass(frozen=True, kw_only=True)
class Package:
    """What `make package` made for one stage and region."""

    stage: str
    region: str
    folder: Path

    @property
    def text(self) -> str:
        return (self.folder / "sam.json").read_text(encoding="utf-8")

    @property
    def resources(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.text)["Resources"]
        return found

    def of_type(self, kind: str) -> dict[str, Any]:
        """The properties of all resources of one type, by name."""
        return {name: one["Properties"] for name, one in self.resources.items() if one["Type"] == kind}

    @property
    def functions(self) -> dict[str, Any]:
        return self.of_type("AWS::Serverless::Function")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    if not (packaging.ROOT / "app.py").exists():
        pytest.skip("there is no app.py yet, so there is nothing to package")
    clean = tmp_path_factory.mktemp("clean")
    packaging.copy(clean)
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        # Packaging must not need an account, nor find one.
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for stage, region in TARGETS:
            folder = tmp_path_factory.mktemp(f"{stage}-{region}")
            packaging.package(clean, stage=stage, region=region, out=folder)
            made[region] = Package(stage=stage, region=region, folder=folder)
    return made


@pytest.fixture(params=[region for _, region in TARGETS])
def package(request: pytest.FixtureRequest, packages: dict[str, Package]) -> Package:
    return packages[request.param]


@pytest.fixture(scope="session")
def zipped(packages: dict[str, Package]) -> Path:
    return packages["us-east-1"].folder / "deployment.zip"


@pytest.fixture(scope="session")
def unpacked(zipped: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    with ZipFile(zipped) as package:
        package.extractall(folder)
    return folder
