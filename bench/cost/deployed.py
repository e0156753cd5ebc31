"""What of a deployment is billed whether anybody calls or not, read off what is deployed."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
READERS = ("react", "deliver")
ONE_PROCESSOR_MB = 1769
"""With which a function has one whole processor."""
DASHBOARDS = 1
SHARDS = 1
"""Of the stream: one for so small a table; Lambda reads each of them `POLLS` times a second for each reader, as its
developer guide says, and DynamoDB charges nothing for it."""
POLLS = 4


@cache
def settings() -> Mapping[str, Any]:
    """What .chalice/config.json says of memory and of how long logs stay."""
    found: Mapping[str, Any] = json.loads((ROOT / ".chalice" / "config.json").read_text(encoding="utf-8"))
    return found


def memory_gb(*, api: bool) -> float:
    """The memory of the API's function, or of a job or reader."""
    one = settings()["lambda_functions"]["api_handler"] if api else settings()
    return float(one["lambda_memory_size"]) / 1024


def share_of_a_processor(memory_mb: float) -> float:
    """How much of one a function has, by AWS's "Configure Lambda function memory"; a request uses one at most."""
    return min(1.0, memory_mb / ONE_PROCESSOR_MB)


def logs_stay_days() -> int:
    """How long logs are kept."""
    return int(settings()["log_retention_in_days"])


@cache
def alarms(*, jobs: int) -> int:
    """How many alarms a stack with so many scheduled functions has, by the rules that `make package` has."""
    from infra.alarms import alarms as made

    return len(made(_resources(jobs)))


def _resources(jobs: int) -> dict[str, Any]:
    """The resources of the packaged template, as far as the rules look at them."""
    of_template = json.loads((ROOT / "infra" / "template.json").read_text(encoding="utf-8"))["Resources"]
    told = {name: one for name, one in of_template.items() if "Type" in one}
    events: dict[str, dict[str, Any]] = {"APIHandler": {}}
    events |= {f"job{n}": {"each minute": {"Type": "Schedule"}} for n in range(jobs)}
    events |= {reader: {"records": {"Type": "DynamoDB"}} for reader in READERS}
    api = {"DefinitionBody": {"info": {"title": "liebian"}}, "StageName": "api"}
    told["RestAPI"] = {"Type": "AWS::Serverless::Api", "Properties": api}
    return told | {name: _function(its) for name, its in events.items()}


def _function(events: dict[str, Any]) -> dict[str, Any]:
    properties = {"Events": events, "Environment": {"Variables": {"STAGE": "prod"}}}
    return {"Type": "AWS::Serverless::Function", "Properties": properties}
