"""`make package`: what is deployed, made without touching AWS: build/<stage>-<region>/{sam.json,deployment.zip}.

Chalice packages a clean copy of the project (from a working tree it would ship caches too); then the template
gets, for whatever functions it has, what chalice leaves out or gets wrong, and the zip loses what Lambda does not
need, gets bytecode (`infra.lean`) and fixed dates, so that the same code is the same file and deploying it again
changes nothing.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from infra import gateway, lean
from infra.alarms import FUNCTION, alarms
from infra.dashboard import dashboard
from infra.restore import template as restored

ROOT = Path(__file__).resolve().parent.parent
EGRESS = ROOT / "infra" / "egress.json"
SOURCES = ("app.py", "requirements.txt", "chalicelib", ".chalice", "vendor")
CACHES = ("__pycache__", "*.pyc", "deployments", "deployed")
TABLES = {"TRUTH_TABLE": "TruthTable", "TRAFFIC_TABLE": "TrafficTable"}
EGRESS_HELP = "give transfers a fixed address: a network with a NAT gateway, billed by the hour"
_ANY, _INTEGRATION = "x-amazon-apigateway-any-method", "x-amazon-apigateway-integration"
BUCKET = {"Fn::If": ["PicturesInBucket", {"Ref": "PicturesBucket"}, ""]}
ARCHITECTURES = ("x86_64", "arm64")
ARCHITECTURE_HELP = "the processors that the functions run on; x86_64, if not told"


def build(
    *, stage: str, region: str, out: Path, egress: bool = False, architecture: str = ARCHITECTURES[0]
) -> None:
    """Package the working tree into ``out``; ``egress``: transfers leave from an address of the stack's own."""
    with tempfile.TemporaryDirectory() as clean:
        copy(Path(clean))
        package(Path(clean), stage=stage, region=region, out=out, egress=egress, architecture=architecture)


def copy(clean: Path) -> None:
    """Put into ``clean`` what a package is made of."""
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, clean / name, ignore=shutil.ignore_patterns(*CACHES))
        elif source.exists():
            shutil.copy2(source, clean / name)


def package(
    project: Path,
    *,
    stage: str,
    region: str,
    out: Path,
    egress: bool = False,
    architecture: str = ARCHITECTURES[0],
) -> None:
    """Package ``project`` into ``out``; a second package of one project takes the wheels of the first."""
    _choose(project, architecture)
    made = raw(project, stage=stage, region=region, architecture=architecture)
    _run_chalice(project, stage=stage, region=region, out=made)
    template = finish(json.loads((made / "sam.json").read_text(encoding="utf-8")), egress=egress)
    out.mkdir(parents=True, exist_ok=True)
    (out / "sam.json").write_text(json.dumps(template, indent=1) + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory() as task:
        lean.make(made / "deployment.zip", out / "deployment.zip", work=Path(task))


def raw(project: Path, *, stage: str, region: str, architecture: str = ARCHITECTURES[0]) -> Path:
    """Where chalice's own package is that `package` began with."""
    return project / "packaged" / f"{stage}-{region}-{architecture}"


def _choose(project: Path, architecture: str) -> None:
    """For which processors chalice fetches wheels and declares the functions."""
    file = project / ".chalice" / "config.json"
    chosen = {**json.loads(file.read_text(encoding="utf-8")), "lambda_architecture": architecture}
    file.write_text(json.dumps(chosen), encoding="utf-8")


def _run_chalice(project: Path, *, stage: str, region: str, out: Path) -> None:
    chalice = [sys.executable, "-c", "import sys; from chalice.cli import main; sys.exit(main())", "package"]
    merged = ["--merge-template", str(ROOT / "infra" / "template.json")]
    command = [*chalice, "--stage", stage, *merged, str(out)]
    # Chalice asks botocore for the region of service names; no call leaves the machine but pip's.
    environment = {"AWS_DEFAULT_REGION": region, "AWS_REGION": region, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run(command, cwd=project, env={**os.environ, **environment}, check=True)  # noqa: S603 - chalice, by us


def finish(template: dict[str, Any], *, egress: bool = False) -> dict[str, Any]:
    """The template with all that chalice cannot say, for each function it holds."""
    if egress:
        template = merged(template, json.loads(EGRESS.read_text(encoding="utf-8")))
    resources = template["Resources"]
    gone = [name for name, resource in resources.items() if "Type" not in resource]
    if gone:
        raise ValueError(f"infra/template.json adds to {', '.join(gone)}, which app.py does not have")
    for name, resource in list(resources.items()):
        if resource["Type"] == "AWS::Logs::LogGroup":
            _own_log_group(resources, name)
        elif resource["Type"] == FUNCTION:
            _wire(resource["Properties"])
    api = resources["RestAPI"]["Properties"]
    api["GatewayResponses"] = gateway.responses()
    api["DefinitionBody"]["paths"] = _any_path(api["DefinitionBody"]["paths"])
    resources |= alarms(resources)
    resources |= dashboard(resources)
    return restored.finish(template)


def merged(template: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """``template`` with what ``more`` adds, whose objects are merged and whose other values win."""
    deeper = {
        name: merged(template[name], value)
        for name, value in more.items()
        if isinstance(value, dict) and isinstance(template.get(name), dict)
    }
    return {**template, **more, **deeper}


def _any_path(paths: dict[str, Any]) -> dict[str, Any]:
    """One greedy resource, and the root that it does not cover, in place of one for every segment of every path.

    The function finds the route itself and answers preflights (core/http.App): an API may have 300 resources.
    """
    views = [view for methods in paths.values() for name, view in methods.items() if name != "options"]
    # All routes are of one function, so that any one's integration is that of all.
    called = {"responses": {}, _INTEGRATION: views[0][_INTEGRATION]}
    proxy = {"name": "proxy", "in": "path", "required": True, "type": "string"}
    return {"/": {_ANY: called}, "/{proxy+}": {_ANY: {**called, "parameters": [proxy]}}}


def _own_log_group(resources: dict[str, Any], name: str) -> None:
    group = resources[name]["Properties"]
    function = group["LogGroupName"]["Fn::Sub"].removeprefix("/aws/lambda/${").removesuffix("}")
    # Chalice renames the API's function afterwards and leaves its log group pointing at nothing (its issue 2079).
    function = {"ApiHandler": "APIHandler"}.get(function, function)
    # The function is told its group, and not the group its function: so it is there before the first line.
    group["LogGroupName"] = {"Fn::Sub": f"/aws/lambda/${{AWS::StackName}}/{function}"}
    resources[function]["Properties"]["LoggingConfig"] = {"LogGroup": {"Ref": name}}


def _wire(function: dict[str, Any]) -> None:
    function.pop("Tracing")  # X-Ray is not available to Lambda in the China regions
    function["Environment"]["Variables"] |= {name: {"Ref": table} for name, table in TABLES.items()}
    function["Environment"]["Variables"]["PICTURES_BUCKET"] = BUCKET


def folder(*, stage: str, region: str) -> Path:
    """Where the package of a stage and region is."""
    return ROOT / "build" / f"{stage}-{region}"


def stages() -> list[str]:
    """The stages that .chalice/config.json describes."""
    return list(json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))["stages"])


def main() -> None:
    """Package one stage for one region."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.package", description="Package for CloudFormation."
    )
    parser.add_argument("stage", choices=stages())
    parser.add_argument("--region", required=True)
    parser.add_argument("--egress", action="store_true", help=EGRESS_HELP)
    parser.add_argument(
        "--architecture", choices=ARCHITECTURES, default=ARCHITECTURES[0], help=ARCHITECTURE_HELP
    )
    given = parser.parse_args()
    out = folder(stage=given.stage, region=given.region)
    chosen = {"egress": given.egress, "architecture": given.architecture}
    build(stage=given.stage, region=given.region, out=out, **chosen)
    size = (out / "deployment.zip").stat().st_size / 1e6
    print(f"{out}: sam.json and deployment.zip ({size:.1f} MB)")


if __name__ == "__main__":
    main()
