"""The packages of this working tree: what chalice makes, what `make package` makes of it, and that for arm64."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from infra import lean, package

STAGE, REGION = "dev", "us-east-1"


@dataclass(frozen=True, kw_only=True)
class Size:
    """Bytes in the zip, bytes unpacked, and how many files."""

    zipped: int
    unpacked: int
    files: int


@dataclass(frozen=True, kw_only=True)
class Package:
    """One zip; ``task`` is where it is unpacked, as Lambda does."""

    zip: Path
    task: Path

    @property
    def size(self) -> Size:
        """Of the whole."""
        return Size(zipped=self.zip.stat().st_size, **_unpacked(ZipFile(self.zip).infolist()))

    def parts(self) -> dict[str, Size]:
        """Of each top folder or file, the largest in the zip first; botocore's data apart."""
        by_part: dict[str, list[Any]] = {}
        for entry in ZipFile(self.zip).infolist():
            by_part.setdefault(_part(entry.filename), []).append(entry)
        sizes = {
            part: Size(zipped=sum(one.compress_size for one in entries), **_unpacked(entries))
            for part, entries in by_part.items()
        }
        return dict(sorted(sizes.items(), key=lambda item: -item[1].zipped))


@dataclass(frozen=True, kw_only=True)
class Packages:
    """``lean`` and ``arm64`` are what `make package` makes, ``chalice`` what that is made of."""

    chalice: Package
    lean: Package
    arm64: Package
    template: dict[str, Any]
    """Of the lean one."""


def make(folder: Path) -> Packages:
    """All three, from one clean copy of the working tree."""
    clean = folder / "clean"
    clean.mkdir()
    package.copy(clean)
    outs = {}
    with _no_account():
        for architecture in package.ARCHITECTURES:
            outs[architecture] = folder / architecture
            package.package(
                clean, stage=STAGE, region=REGION, out=outs[architecture], architecture=architecture
            )
    plain, arm64 = (outs[architecture] for architecture in package.ARCHITECTURES)
    raw = package.raw(clean, stage=STAGE, region=REGION, architecture=package.ARCHITECTURES[0])
    return Packages(
        chalice=_unpack(raw / "deployment.zip", folder / "task-chalice"),
        lean=_unpack(plain / "deployment.zip", folder / "task-lean"),
        arm64=_unpack(arm64 / "deployment.zip", folder / "task-arm64"),
        template=json.loads((plain / "sam.json").read_text(encoding="utf-8")),
    )


@contextmanager
def _no_account() -> Iterator[None]:
    """Packaging needs none, and must not meet one."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AWS_")}
    try:
        yield
    finally:
        os.environ.update(kept)


def _unpack(source: Path, task: Path) -> Package:
    with ZipFile(source) as given:
        given.extractall(task)
    return Package(zip=source, task=task)


def _unpacked(entries: Sequence[Any]) -> dict[str, int]:
    return {"unpacked": sum(one.file_size for one in entries), "files": len(entries)}


def _part(name: str) -> str:
    if name.startswith(lean.DATA):
        return lean.DATA
    top = name.split("/", maxsplit=1)[0]
    return "metadata of distributions" if top.endswith(".dist-info") else top
