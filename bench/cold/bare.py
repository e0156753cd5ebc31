"""The floor: a handler that makes one client of botocore as it is imported, and one call of it. It runs alone."""

import os
from typing import Any

import botocore.session

client = botocore.session.get_session().create_client("dynamodb", region_name=os.environ["AWS_REGION"])


def handle(event: Any, context: Any) -> dict[str, Any]:
    """An answer in the form that API Gateway wants."""
    client.get_item(TableName=os.environ["TRUTH_TABLE"], Key={"pk": {"S": "PROGRAMS"}, "sk": {"S": "demo"}})
    return {"statusCode": 200, "headers": {"content-type": "application/json"}, "body": "{}"}
