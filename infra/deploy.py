"""`make deploy STAGE=… REGION=… BUCKET=…`: package, upload, and bring the stack liebian-<stage> up to date.

The AWS CLI does it, with whatever account and role it is set up for; every command is printed before it runs.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from typing import Any

from infra import package

NO_CLI = (
    "The AWS CLI is not installed, and deploying goes through it. Install it (https://aws.amazon.com/cli/, or\n"
    "`pip install awscli` into an environment of its own), then `aws configure`. `make package` works without it."
)


def commands(*, stage: str, region: str, bucket: str, settings: list[str]) -> list[list[str]]:
    """The calls of the CLI that deploy the package of ``stage`` and ``region``; the last shows the outputs."""
    out = package.folder(stage=stage, region=region)
    sam, ready = str(out / "sam.json"), str(out / "deploy.json")
    where = ["--region", region, "--s3-bucket", bucket, "--s3-prefix", f"liebian-{stage}"]
    stack = ["--stack-name", f"liebian-{stage}"]
    upload = ["package", *where, "--template-file", sam, "--output-template-file", ready, "--use-json"]
    update = ["deploy", *where, *stack, "--template-file", ready, "--capabilities", "CAPABILITY_IAM"]
    update += ["--no-fail-on-empty-changeset"]
    update += ["--parameter-overrides", *settings] if settings else []
    show = ["describe-stacks", "--region", region, *stack, "--output", "json"]
    return [["aws", "cloudformation", *command] for command in (upload, update, show)]


def next_steps(*, stage: str, region: str, outputs: dict[str, str]) -> str:
    """What a person does after a deployment, ready to paste."""
    where = {
        "STAGE": stage,
        "AWS_REGION": region,
        "TRUTH_TABLE": outputs["TruthTableName"],
        "TRAFFIC_TABLE": outputs["TrafficTableName"],
        "SECRETS": f"ssm:/liebian/{stage}",
    }
    address = outputs.get("TransfersAddress")
    leaves = [f"Transfers leave from {address}: name it to WeChat Pay (docs/payouts.md)."] if address else []
    return "\n".join(
        [
            f"Deployed: {outputs['EndpointURL']}",
            *leaves,
            "For python -m infra.operators and the other commands that work on its tables:",
            "  export " + " ".join(f"{name}={shlex.quote(value)}" for name, value in where.items()),
            "What is still missing:",
            f"  {sys.executable} -m infra.doctor {stage} --region {region}",
        ]
    )


def _run(command: list[str], *, keep: bool = False) -> str:
    print("+", shlex.join(command), flush=True)
    done = subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE if keep else None)  # noqa: S603 - our own command
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout or ""


def _outputs(said: str) -> dict[str, str]:
    stack: dict[str, Any] = json.loads(said)["Stacks"][0]
    return {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.deploy", description="Package and deploy.")
    parser.add_argument("stage", choices=package.stages())
    parser.add_argument("--region", required=True)
    parser.add_argument("--bucket", required=True, help="an S3 bucket of yours in the same region")
    parser.add_argument("--egress", action="store_true", help=package.EGRESS_HELP)
    architectures = package.ARCHITECTURES
    parser.add_argument(
        "--architecture", choices=architectures, default=architectures[0], help=package.ARCHITECTURE_HELP
    )
    parser.add_argument(
        "settings", nargs="*", metavar="Name=value", help="parameters, such as AlarmTopicArn=…"
    )
    return parser.parse_intermixed_args()


def main() -> None:
    """Package and deploy one stage."""
    given = _arguments()
    if shutil.which("aws") is None:
        sys.exit(NO_CLI)
    stage, region = given.stage, given.region
    out = package.folder(stage=stage, region=region)
    chosen = {"egress": given.egress, "architecture": given.architecture}
    package.build(stage=stage, region=region, out=out, **chosen)
    upload, update, show = commands(stage=stage, region=region, bucket=given.bucket, settings=given.settings)
    _run(upload)
    _run(update)
    print(next_steps(stage=stage, region=region, outputs=_outputs(_run(show, keep=True))))


if __name__ == "__main__":
    main()
