"""What a deployment package loses and gains on the way from chalice to Lambda.

It loses what no function reads: the descriptions of the 400 services that nobody calls, the documentation inside
those of the few that are, type stubs, metadata of distributions, parts of libraries that are never imported. It
gains bytecode: Lambda's task folder is read-only, so that without it every cold start compiles every module again.
AWS advises against shipping bytecode, as what another interpreter made is of no use; here the interpreter that
packages is of the minor version that chalice names as the runtime, and any other would pass the files over. They
are marked as not to be held against their sources, whose dates in the zip say nothing.
"""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

SERVICES = ("dynamodb", "s3", "ssm")
"""The services of which the application makes a client."""
POWERTOOLS = ("event_handler", r"utilities/(?!batch|data_classes|jmespath_utils|typing)\w+")
"""Parts of powertools that nothing here imports."""
DATA = "botocore/data"
"""Where botocore keeps what it knows of services."""
_DEAD = re.compile(
    "|".join(
        [
            r"(^|/)(__pycache__|tests)/",
            r"\.(pyc|pyi|pyx|h|c)$",
            r"^bin/",
            r"^[^/]+\.(data|dist-info)/",
            rf"^aws_lambda_powertools/({'|'.join(POWERTOOLS)})/",
            rf"^{DATA}/(?!({'|'.join(SERVICES)})/)[^/]+/",
            rf"^{DATA}/.*/examples-1\.json$",
        ]
    )
)


def is_dead(name: str) -> bool:
    """Whether the file of this name in a package is read by nobody."""
    return bool(_DEAD.search(name))


def make(source: Path, target: Path, *, work: Path) -> None:
    """Copy a zip without what Lambda does not need and with bytecode, in a fixed order and with fixed dates.

    ``work`` is an empty folder, where the package is left unpacked.
    """
    with ZipFile(source) as given:
        given.extractall(work, [name for name in given.namelist() if not is_dead(name)])
    thin(work)
    compile_all(work)
    files = sorted(path for path in work.rglob("*") if path.is_file())
    with ZipFile(target, "w", ZIP_DEFLATED, compresslevel=9) as kept:
        for path in files:
            entry = ZipInfo(path.relative_to(work).as_posix())
            entry.external_attr = 0o644 << 16
            entry.compress_type = ZIP_DEFLATED
            kept.writestr(entry, path.read_bytes())


def thin(task: Path) -> None:
    """Leave of botocore's data what a client is made of, ready to be read."""
    data = task / DATA
    for packed in sorted(data.glob("*/*/*.json.gz")):
        _rewrite(packed, packed.with_suffix(""), without_documentation)
    _rewrite(data / "endpoints.json", data / "endpoints.json", of_our_services)


def _rewrite(source: Path, target: Path, change: Callable[[Any], Any]) -> None:
    content = source.read_bytes()
    told = change(json.loads(gzip.decompress(content) if source.suffix == ".gz" else content))
    source.unlink()
    target.write_text(json.dumps(told, separators=(",", ":")), encoding="utf-8")


def without_documentation(told: Any) -> Any:
    """A description of a service without its prose; a member of that name stays."""
    if isinstance(told, list):
        return [without_documentation(one) for one in told]
    if not isinstance(told, dict):
        return told
    return {
        name: without_documentation(value)
        for name, value in told.items()
        if not (name == "documentation" and isinstance(value, str))
    }


def of_our_services(endpoints: dict[str, Any]) -> dict[str, Any]:
    """Where the services are that are called, in every partition and region."""
    partitions = []
    for partition in endpoints["partitions"]:
        ours = {name: told for name, told in partition["services"].items() if name in SERVICES}
        partitions.append({**partition, "services": ours})
    return {**endpoints, "partitions": partitions}


def compile_all(task: Path) -> None:
    """Bytecode beside every source, made by an interpreter of its own: what this one has seen would show in it."""
    options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", str(task)]
    command = [sys.executable, "-P", "-S", "-m", "compileall", *options, str(task)]
    subprocess.run(command, env={"PYTHONHASHSEED": "0"}, check=True)  # noqa: S603 - Python, by us
