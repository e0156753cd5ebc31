"""What is owed to the outside, kept as rows until confirmed: for now the signed webhooks to the mall.

A reaction writes the row (DynamoDB only), the second reader of the stream sends it at once, and a job sends what
is still due. The mall may get a delivery twice and recognises it by its ``webhook-id``, which never changes.

    entity     pk           sk     written by   read by
    Delivery   <dlv_ id>    META   owe          send, operators
    due: deliver#k from the first moment, gone once confirmed; stuck after ten failures
    owner: <mbr_>#deliveries, of those that are about a member
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pynamodb.attributes import UnicodeAttribute

from chalicelib.core import config, due, ids, table, telemetry, webhooks
from chalicelib.core.clock import MINUTE
from chalicelib.core.errors import NotFound
from chalicelib.core.table import IntAttribute, Row, Write
from chalicelib.core.telemetry import about, logger

JOB = "deliver"
TIMEOUT_S = 5.0


class Delivery(Row, discriminator="delivery"):
    """One message owed to the mall: ``due`` until the mall answered 2xx, then ``done``; or ``cancelled``."""

    to = UnicodeAttribute()
    type = UnicodeAttribute()
    body = UnicodeAttribute()
    created_at = IntAttribute()

    @staticmethod
    def key(delivery_id: str) -> table.Key:
        """Where the delivery of this id is."""
        return delivery_id, "META"


class NotDelivered(Exception):
    """The mall did not answer with a 2xx status in time."""


def owe(event_type: str, *, cause: Sequence[str], data: dict[str, Any], now: int) -> list[Write]:
    """The write that owes the mall a webhook, once for its cause; none when it is owed already, or to nobody."""
    if not config.settings().mall_webhook_url:
        return []
    delivery_id = ids.derived("dlv", "mall", event_type, *cause)
    if table.get(Delivery, Delivery.key(delivery_id)) is not None:
        return []
    at = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}"
    body = json.dumps({"type": event_type, "timestamp": at, "data": data}, ensure_ascii=False)
    # The stream's reader has the first minute, so that job and reader seldom both send.
    slot = due.slot(job=JOB, pk=delivery_id, at=now + MINUTE)
    about = data.get("member_id")
    listed = table.listed(f"{about}#deliveries", at=now, as_=delivery_id) if about else {}
    pk, sk = Delivery.key(delivery_id)
    row = Delivery(
        pk,
        sk,
        state="due",
        to="mall",
        type=event_type,
        body=body,
        created_at=now,
        **slot,
        **listed,
    )
    return [table.create(row)]


def owed(*, limit: int, after: table.Raw | None = None) -> table.Page:
    """Messages that nobody has confirmed: shard by shard those to be tried next first, then those given up."""
    shards = [f"{JOB}#{number}" for number in range(config.settings().due_shards)]
    entries, next_key = table.chained("due", [*shards, due.stuck_shard(JOB)], limit=limit, after=after)
    rows = table.get_many([(Delivery, (entry["pk"], entry["sk"])) for entry in entries]) if entries else []
    return table.Page([row for row in rows if row is not None and row.state == "due"], next_key)


def handle_stream(event: dict[str, Any], *, now: int) -> None:
    """The fast path: send what was just owed; what fails is due and tried again by the job."""
    for record in event["Records"]:
        image = record["dynamodb"].get("NewImage", {})
        if record["eventName"] == "INSERT" and image.get("kind") == {"S": "delivery"}:
            row = table.decode(image)
            _try(due.Entry(**{name: getattr(row, name) for name in due.Entry.__annotations__}), now=now)


def _try(entry: due.Entry, *, now: int) -> None:
    with about(job=JOB, key=f"{entry.pk} {entry.sk}", room=telemetry.room_of(send)):
        try:
            send(entry, now)
        except Exception as failure:
            logger.warning("delivery failed", failure=type(failure).__name__)
            due.postpone(entry, failure, now=now)


@due.handles(JOB)
def send(entry: due.Entry, now: int) -> None:
    """Send a delivery that is due and note that it arrived.

    Raises:
        NotDelivered: the mall gave no 2xx answer in five seconds.
    """
    row = table.get(Delivery, (entry.pk, entry.sk))
    if row is None or row.state != "due":
        return
    post(row.body, delivery_id=row.pk, now=now)
    done = (Delivery.state.set("done"), *due.emptied())
    try:
        table.apply(
            table.update(Delivery, (row.pk, row.sk), *done, when=Delivery.state == "due", refuse=NotFound)
        )
    except NotFound:
        logger.info("delivery was confirmed by another")


def post(body: str, *, delivery_id: str, now: int) -> None:
    """Send the mall a signed message.

    Raises:
        NotDelivered: no mall is configured, or it gave no 2xx answer in five seconds.
    """
    import urllib3

    if not config.settings().mall_webhook_url:
        raise NotDelivered("MALL_WEBHOOK_URL is not set")
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        **webhooks.sign(body, webhook_id=delivery_id, now=now),
    }
    try:
        answer = urllib3.request(
            "POST",
            config.settings().mall_webhook_url,
            body=body.encode(),
            headers=headers,
            timeout=TIMEOUT_S,
            retries=False,
            redirect=False,
        )
    except urllib3.exceptions.HTTPError as failure:
        raise NotDelivered(type(failure).__name__) from failure
    if not 200 <= answer.status < 300:
        raise NotDelivered(f"the mall answered {answer.status}")
