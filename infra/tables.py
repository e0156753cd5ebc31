"""`python -m infra.tables STAGE`: a template of the tables and the failure queue alone, for plain `chalice deploy`.

    python -m infra.tables dev > build/tables.json
    aws cloudformation deploy --stack-name liebian-dev-tables --template-file build/tables.json

`make deploy` needs none of this: there tables and functions are one stack. Chalice cannot make tables, and its
settings and policies must know their names beforehand, so here the names are given: liebian-<stage>-truth ….
"""

import argparse
import json
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("template.json")
NAMES = {
    "TruthTable": ("TableName", "truth"),
    "TrafficTable": ("TableName", "traffic"),
    "StreamFailures": ("QueueName", "stream-failures"),
}


def template(*, stage: str) -> dict[str, Any]:
    """The template; its outputs are the stream that `chalice deploy` asks for and the failure queue."""
    given = json.loads(TEMPLATE.read_text(encoding="utf-8"))["Resources"]
    resources = {name: given[name] for name in NAMES}
    for name, (kind, short) in NAMES.items():
        resources[name]["Properties"][kind] = f"liebian-{stage}-{short}"
    outputs = {
        "TruthStreamArn": {"Value": {"Fn::GetAtt": ["TruthTable", "StreamArn"]}},
        "StreamFailuresArn": {"Value": {"Fn::GetAtt": ["StreamFailures", "Arn"]}},
    }
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources, "Outputs": outputs}


def main() -> None:
    """Print the template."""
    parser = argparse.ArgumentParser(prog="python -m infra.tables", description="The tables alone.")
    parser.add_argument("stage")
    print(json.dumps(template(stage=parser.parse_args().stage), indent=2))


if __name__ == "__main__":
    main()
