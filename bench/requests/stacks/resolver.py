"""powertools' resolver and boto3's resource."""

import hashlib
import time
import uuid
from typing import Any

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.event_handler.exceptions import BadRequestError
from boto3.dynamodb.conditions import Attr, Key

from bench.requests.stacks.session import member_of

logger = Logger(service="shop")
app = APIGatewayRestResolver(strip_prefixes=["/api"])
dynamodb = boto3.resource("dynamodb", region_name="us-east-1")
truth, traffic = dynamodb.Table("truth"), dynamodb.Table("traffic")
transact = dynamodb.meta.client.transact_write_items
MEMBER = "attribute_not_exists(pk)"


@app.post("/v1/links/<code>/visits")
def visit(code: str) -> tuple[dict[str, Any], int]:
    """Count a visit, each visitor once an hour."""
    body = app.current_event.json_body
    if not isinstance(body.get("visitor"), str) or not isinstance(body.get("wx_scene"), int):
        raise BadRequestError("visitor, wx_scene")
    now = int(time.time())
    who = hashlib.blake2b(f"{code}|{body['visitor']}".encode(), digest_size=8).digest()
    traffic.update_item(
        Key={"pk": f"VISITS#{code}#{now // 3600}", "sk": "HOUR#0"},
        UpdateExpression="SET #ttl = :ttl, #kind = :kind ADD #n :one, #seen :who, #chat :one, #rev :one",
        ConditionExpression=Attr("pk").not_exists() | (Attr("n").lt(600) & ~Attr("seen").contains(who)),
        ExpressionAttributeNames={
            "#ttl": "ttl",
            "#kind": "kind",
            "#n": "n",
            "#seen": "seen",
            "#chat": "chat",
            "#rev": "rev",
        },
        ExpressionAttributeValues={":ttl": now + 86400, ":kind": "visit_hour", ":one": 1, ":who": {who}},
    )
    logger.info("visit", extra={"code": code})
    return {"visit_id": uuid.uuid4().hex, "now": now}, 201


@app.post("/v1/coupons/<template_id>/claims")
def claim(template_id: str) -> tuple[dict[str, Any], int]:
    """A coupon, while there are any and the member has none."""
    member_id = member_of(app.current_event.headers)
    now = int(time.time())
    coupon = {
        "pk": f"COUPONS#{member_id}",
        "sk": f"cpn_{template_id}",
        "kind": "coupon",
        "state": "unused",
        "coupon_id": f"cpn_{template_id}",
        "member_id": member_id,
        "template_id": template_id,
        "version": 1,
        "source": "claim",
        "shard": 0,
        "claimed_at": now,
        "starts_at": now,
        "ends_at": now + 86400,
        "giftable": True,
        "due_shard": "coupons#0",
        "due_at": now + 86400,
        "rev": 1,
        "v": 1,
    }
    unit = {
        "TableName": "truth",
        "Key": {"pk": f"TEMPLATE#{template_id}", "sk": "STOCK#0"},
        "UpdateExpression": "SET #v = :one ADD #left :less, #issued :one, #rev :one",
        "ConditionExpression": "#on = :on AND #left >= :one AND #from <= :now AND #until > :now",
        "ExpressionAttributeNames": {
            "#v": "v",
            "#left": "left",
            "#issued": "issued",
            "#rev": "rev",
            "#on": "on",
            "#from": "claim_from",
            "#until": "claim_until",
        },
        "ExpressionAttributeValues": {":one": 1, ":less": -1, ":on": True, ":now": now},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    put = {"TableName": "truth", "Item": coupon, "ConditionExpression": MEMBER}
    transact(TransactItems=[{"Put": put}, {"Update": unit}])
    logger.info("claim", extra={"member_id": member_id})
    return {"coupon": coupon, "now": now}, 201


@app.post("/v1/checkins/<campaign_id>")
def check_in(campaign_id: str) -> tuple[dict[str, Any], int]:
    """Today, and its points."""
    member_id = member_of(app.current_event.headers)
    now = int(time.time())
    pk, today = f"CHECKIN#{campaign_id}#{member_id}", time.gmtime(now).tm_mday
    truth.query(KeyConditionExpression=Key("pk").eq(pk), ConsistentRead=True, Limit=3)
    month = {
        "TableName": "truth",
        "Key": {"pk": pk, "sk": "MONTH#2026-01"},
        "UpdateExpression": "SET #kind = :kind, #told = :told ADD #days :days, #rev :one",
        "ConditionExpression": "attribute_not_exists(pk) OR NOT contains(#days, :today)",
        "ExpressionAttributeNames": {"#kind": "kind", "#told": "told", "#days": "days", "#rev": "rev"},
        "ExpressionAttributeValues": {
            ":kind": "checkin_month",
            ":told": {str(today): {"points": 5}},
            ":days": {today},
            ":today": today,
            ":one": 1,
        },
    }
    entry = {
        "pk": f"ACCOUNT#{member_id}#points",
        "sk": f"ENTRY#checkin#{campaign_id}#{today}",
        "kind": "entry",
        "amount": 5,
        "cause": f"checkin#{campaign_id}#{today}",
        "reason": "checkin",
        "at": now,
        "left": 5,
        "owner": f"{member_id}#points",
        "listed_at": f"{now:011d}",
        "rev": 1,
    }
    account = {
        "TableName": "truth",
        "Key": {"pk": entry["pk"], "sk": "ACCOUNT"},
        "UpdateExpression": "SET #kind = :kind ADD #balance :five, #lasting :five, #rev :one",
        "ExpressionAttributeNames": {
            "#kind": "kind",
            "#balance": "balance",
            "#lasting": "lasting",
            "#rev": "rev",
        },
        "ExpressionAttributeValues": {":kind": "account", ":five": 5, ":one": 1},
    }
    put = {"TableName": "truth", "Item": entry, "ConditionExpression": MEMBER}
    transact(TransactItems=[{"Update": month}, {"Put": put}, {"Update": account}])
    logger.info("check-in", extra={"member_id": member_id})
    return {"day": today, "points": 5, "now": now}, 201


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """What Lambda calls."""
    return app.resolve(event, context)
