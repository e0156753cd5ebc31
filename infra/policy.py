"""What the functions may do: the one source of `.chalice/policy-*.json`.

    python -m infra.policy STAGE                                   print it as `make package` wants it
    python -m infra.policy STAGE --region R --account A            with literal ARNs, for plain `chalice deploy`
    ... --streams                                                  the one of the two stream handlers
    ... --write                                                    into .chalice/ instead of the screen

Packaged, the ARNs are CloudFormation's own (Fn::Sub), so one file serves every region and partition. Plain
`chalice deploy` hands the file to IAM as it is, so there the ARNs must be literal. KMS is not here: tables and
secrets use AWS's own keys, whose key policies let the account in through the service.
"""

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / ".chalice"
HERE = "${AWS::Region}:${AWS::AccountId}"
LOGS = f"arn:${{AWS::Partition}}:logs:{HERE}:log-group:"
SECRETS = f"arn:${{AWS::Partition}}:ssm:{HERE}:parameter/liebian/"
ROWS = (
    "BatchGetItem",
    "ConditionCheckItem",
    "DeleteItem",
    "GetItem",
    "PutItem",
    "Query",
    "UpdateItem",
)
# By its name, since not every stack has the bucket.
PICTURES = "arn:${AWS::Partition}:s3:::${Stack}-pictures-${AWS::AccountId}"
PREFIXES = ("incoming", "checking", "uploads", "pictures")
STREAM = ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
INDEXES = ("due", "owner", "rank")


def statements(*, stage: str, streams: bool) -> list[dict[str, Any]]:
    """The statements with ``${...}`` where CloudFormation or `literal` puts what is known later."""
    found = [
        _allow("Rows", [f"dynamodb:{name}" for name in ROWS], ["${TruthTable.Arn}", "${TrafficTable.Arn}"]),
        _allow("Indexes", ["dynamodb:Query"], [f"${{TruthTable.Arn}}/index/{name}" for name in INDEXES]),
        _allow("Books", ["dynamodb:Scan"], ["${TruthTable.Arn}", "${TruthTable.Arn}/index/owner"]),
        _allow("Secrets", ["ssm:GetParameter", "ssm:GetParametersByPath"], _secrets(stage)),
        _allow("Pictures", ["s3:GetObject", "s3:PutObject"], [f"{PICTURES}/{name}/*" for name in PREFIXES]),
        # Who leaves takes their pictures with them.
        _allow("Erasure", ["s3:DeleteObject"], [f"{PICTURES}/checking/*", f"{PICTURES}/uploads/*"]),
        _allow("Logs", ["logs:CreateLogStream", "logs:PutLogEvents"], [f"{LOGS}${{LogGroups}}*"]),
    ]
    if streams:
        found.append(
            _allow("Stream", [f"dynamodb:{name}" for name in STREAM], ["${TruthTable.Arn}/stream/*"])
        )
        found.append(_allow("Failures", ["sqs:SendMessage"], ["${StreamFailures.Arn}"]))
    return found


def packaged(*, stage: str, streams: bool) -> dict[str, Any]:
    """The policy as `chalice package` inlines it into the template."""

    def later(text: str) -> dict[str, str]:
        named = text.replace("${LogGroups}", "/aws/lambda/${AWS::StackName}/")
        return {"Fn::Sub": named.replace("${Stack}", "${AWS::StackName}")}

    return _document(statements(stage=stage, streams=streams), later)


def literal(*, stage: str, streams: bool, region: str, account: str) -> dict[str, Any]:
    """The policy as IAM takes it, for the names that `infra.tables` and plain `chalice deploy` use."""
    partition = partition_of(region)
    table = f"arn:{partition}:dynamodb:{region}:{account}:table/liebian-{stage}"
    known = {
        "AWS::Partition": partition,
        "AWS::Region": region,
        "AWS::AccountId": account,
        "Stack": f"liebian-{stage}",
        "LogGroups": f"/aws/lambda/liebian-{stage}-",
        "TruthTable.Arn": f"{table}-truth",
        "TrafficTable.Arn": f"{table}-traffic",
        "StreamFailures.Arn": f"arn:{partition}:sqs:{region}:{account}:liebian-{stage}-stream-failures",
    }

    def now(text: str) -> str:
        return re.sub(r"\$\{([^}]+)\}", lambda found: known[found[1]], text)

    return _document(statements(stage=stage, streams=streams), now)


def partition_of(region: str) -> str:
    """The AWS partition that ``region`` belongs to."""
    starts = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((name for start, name in starts.items() if region.startswith(start)), "aws")


def file_of(*, stage: str, streams: bool) -> str:
    """The name of the policy in `.chalice/`; without streams it is the one chalice looks for by itself."""
    return f"policy-{stage}-streams.json" if streams else f"policy-{stage}.json"


def text_of(document: dict[str, Any]) -> str:
    """The file's content."""
    return json.dumps(document, indent=2) + "\n"


def _allow(sid: str, actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources}


def _secrets(stage: str) -> list[str]:
    # Reading by path is asked of the path itself, not only of what is below it.
    return [f"{SECRETS}{stage}", f"{SECRETS}{stage}/*"]


def _document(found: list[dict[str, Any]], arn: Callable[[str], Any]) -> dict[str, Any]:
    for statement in found:
        statement["Resource"] = [arn(text) for text in statement["Resource"]]
    return {"Version": "2012-10-17", "Statement": found}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m infra.policy", description="What the functions may do.")
    parser.add_argument("stage")
    parser.add_argument("--region")
    parser.add_argument("--account")
    parser.add_argument("--streams", action="store_true", help="the policy of the two stream handlers")
    parser.add_argument("--write", action="store_true", help="write both into .chalice/")
    arguments = parser.parse_args()
    if bool(arguments.region) != bool(arguments.account):
        parser.error("literal ARNs need both --region and --account")
    return arguments


def _one(arguments: argparse.Namespace, *, streams: bool) -> str:
    if arguments.region:
        where = {"region": arguments.region, "account": arguments.account}
        return text_of(literal(stage=arguments.stage, streams=streams, **where))
    return text_of(packaged(stage=arguments.stage, streams=streams))


def main() -> None:
    """Print one policy, or write both of a stage."""
    arguments = _arguments()
    if not arguments.write:
        print(_one(arguments, streams=arguments.streams), end="")
        return
    for streams in (False, True):
        path = FOLDER / file_of(stage=arguments.stage, streams=streams)
        path.write_text(_one(arguments, streams=streams), encoding="utf-8")
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
