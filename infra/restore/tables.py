"""The table of an earlier time: made by point-in-time recovery, and set up as the template has it.

What recovery leaves out is set here: the stream, TTL, recovery of its own, protection from deletion, and tags, as
RestoreTableToPointInTime is documented; indexes come with it. Money out is off in it before anything reads it.
"""

from datetime import UTC, datetime
from typing import Any

from chalicelib.core import config, moneyout, table
from infra.local.tables import arguments
from infra.restore.steps import NotYet, Step


def restore(*, name: str, at: int, step: Step) -> bool:
    """The table of this name is as the truth table was ``at``, and set up; false while that is being made.

    Raises:
        NotYet: money out is not switched off.
    """
    switch = moneyout.show()
    if switch is None or not moneyout.says_off(switch):
        raise NotYet("switch money out off first: what leaves meanwhile would be found only afterwards")
    source, client = config.settings().truth_table, table.client()
    if _described(client, name) is None:
        client.restore_table_to_point_in_time(
            SourceTableName=source, TargetTableName=name, RestoreDateTime=datetime.fromtimestamp(at, UTC)
        )
    there = _described(client, name)
    if there is None or there["TableStatus"] != "ACTIVE":
        print(f"{name} is being made, which may take hours. Say this again to go on.")
        return False
    _set_up(client, there, like=_described(client, source) or {})
    config.override(truth_table=name)
    moneyout.switch_off(why=switch.why, by=step.by.name, at=switch.at, restored_to=at)
    print(f"{name} is there as of {at}, and pays nothing. Go on with: export TRUTH_TABLE={name}")
    return True


def _described(client: Any, name: str) -> dict[str, Any] | None:
    try:
        return dict(client.describe_table(TableName=name)["Table"])
    except client.exceptions.ResourceNotFoundException:
        return None


def _set_up(client: Any, there: dict[str, Any], *, like: dict[str, Any]) -> None:
    name, arn = there["TableName"], there["TableArn"]
    wanted = next(one for one in arguments(truth=name, traffic="") if one["TableName"] == name)
    changes: dict[str, Any] = {}
    if not there.get("StreamSpecification", {}).get("StreamEnabled"):
        changes["StreamSpecification"] = wanted["StreamSpecification"]
    if not there.get("DeletionProtectionEnabled"):
        changes["DeletionProtectionEnabled"] = True
    if changes:
        client.update_table(TableName=name, **changes)
    expiry = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"]
    if expiry not in ("ENABLED", "ENABLING"):
        told = {"Enabled": True, "AttributeName": "ttl"}
        client.update_time_to_live(TableName=name, TimeToLiveSpecification=told)
    recovery = {"PointInTimeRecoveryEnabled": True}
    client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=recovery)
    tags = client.list_tags_of_resource(ResourceArn=like["TableArn"]).get("Tags", [])
    own = [tag for tag in tags if not tag["Key"].startswith("aws:")]
    if own:
        client.tag_resource(ResourceArn=arn, Tags=own)
