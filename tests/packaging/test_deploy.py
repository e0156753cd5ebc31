"""`make deploy` says what it runs and what to do next; that AWS takes it is seen only on AWS."""

import shutil
import sys

import pytest

from infra import deploy, package


def test_it_uploads_then_updates_then_shows() -> None:
    upload, update, show = deploy.commands(
        stage="dev", region="cn-north-1", bucket="mine", settings=["AlarmTopicArn=arn:x"]
    )

    assert [command[2] for command in (upload, update, show)] == ["package", "deploy", "describe-stacks"]
    assert all(command[command.index("--region") + 1] == "cn-north-1" for command in (upload, update, show))
    assert upload[upload.index("--output-template-file") + 1] == update[update.index("--template-file") + 1]
    assert update[-2:] == ["--parameter-overrides", "AlarmTopicArn=arn:x"]
    assert "CAPABILITY_IAM" in update


def test_without_settings_the_stack_keeps_those_it_has() -> None:
    _, update, _ = deploy.commands(stage="dev", region="cn-north-1", bucket="mine", settings=[])

    assert "--parameter-overrides" not in update


def test_the_next_steps_can_be_pasted() -> None:
    outputs = {"EndpointURL": "https://x/api/", "TruthTableName": "t-1", "TrafficTableName": "t-2"}

    said = deploy.next_steps(stage="dev", region="cn-north-1", outputs=outputs)

    assert (
        "export STAGE=dev AWS_REGION=cn-north-1 TRUTH_TABLE=t-1 TRAFFIC_TABLE=t-2 SECRETS=ssm:/liebian/dev"
        in said
    )
    assert "infra.doctor dev --region cn-north-1" in said
    assert "Transfers" not in said


def test_the_address_of_transfers_is_told_where_there_is_one() -> None:
    outputs = {"EndpointURL": "https://x/api/", "TruthTableName": "t", "TrafficTableName": "t"}
    outputs["TransfersAddress"] = "203.0.113.9"

    said = deploy.next_steps(stage="dev", region="cn-north-1", outputs=outputs)

    assert "Transfers leave from 203.0.113.9" in said


def test_without_the_cli_it_says_so_and_packages_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(package, "build", lambda **_: pytest.fail("packaged in vain"))
    monkeypatch.setattr(sys, "argv", ["deploy", "dev", "--region", "cn-north-1", "--bucket", "mine"])

    with pytest.raises(SystemExit, match="AWS CLI is not installed"):
        deploy.main()
