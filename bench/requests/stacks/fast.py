"""FastAPI on Mangum, with pydantic and pynamodb."""

import hashlib
import logging
import time
import uuid
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request
from mangum import Mangum
from pydantic import BaseModel, Field
from pynamodb.attributes import (
    BinarySetAttribute,
    BooleanAttribute,
    JSONAttribute,
    NumberAttribute,
    NumberSetAttribute,
    UnicodeAttribute,
)
from pynamodb.connection import Connection
from pynamodb.expressions.update import Action
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from bench.requests.stacks.session import member_of

logger = logging.getLogger("shop")
connection = Connection(region="us-east-1")
app = FastAPI(root_path="/api")


class Hour(Model):
    """The visits of an hour."""

    class Meta:
        table_name = "traffic"
        region = "us-east-1"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    kind = UnicodeAttribute(null=True)
    n = NumberAttribute(null=True)
    chat = NumberAttribute(null=True)
    seen = BinarySetAttribute(legacy_encoding=False, null=True)
    ttl = NumberAttribute(null=True)
    rev = NumberAttribute(null=True)


class Stock(Model):
    """The stock of a template."""

    class Meta:
        table_name = "truth"
        region = "us-east-1"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    left = NumberAttribute(null=True)
    issued = NumberAttribute(null=True)
    on = BooleanAttribute(null=True)
    claim_from = NumberAttribute(null=True)
    claim_until = NumberAttribute(null=True)
    rev = NumberAttribute(null=True)


class Coupon(Model):
    """A member's coupon."""

    class Meta:
        table_name = "truth"
        region = "us-east-1"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    kind = UnicodeAttribute()
    state = UnicodeAttribute()
    coupon_id = UnicodeAttribute()
    member_id = UnicodeAttribute()
    template_id = UnicodeAttribute()
    version = NumberAttribute()
    source = UnicodeAttribute()
    shard = NumberAttribute()
    claimed_at = NumberAttribute()
    starts_at = NumberAttribute()
    ends_at = NumberAttribute()
    giftable = BooleanAttribute()
    due_shard = UnicodeAttribute()
    due_at = NumberAttribute()
    rev = NumberAttribute()


class Month(Model):
    """A member's days of a month."""

    class Meta:
        table_name = "truth"
        region = "us-east-1"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    kind = UnicodeAttribute(null=True)
    days = NumberSetAttribute(null=True)
    told = JSONAttribute(null=True)
    rev = NumberAttribute(null=True)


class Entry(Model):
    """A line of an account."""

    class Meta:
        table_name = "truth"
        region = "us-east-1"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    kind = UnicodeAttribute()
    amount = NumberAttribute()
    cause = UnicodeAttribute()
    reason = UnicodeAttribute()
    at = NumberAttribute()
    left = NumberAttribute()
    owner = UnicodeAttribute()
    listed_at = UnicodeAttribute()
    rev = NumberAttribute()


class Account(Model):
    """A member's account."""

    class Meta:
        table_name = "truth"
        region = "us-east-1"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    kind = UnicodeAttribute(null=True)
    balance = NumberAttribute(null=True)
    lasting = NumberAttribute(null=True)
    rev = NumberAttribute(null=True)


class Opening(BaseModel):
    """What a phone says of a visit."""

    visitor: str = Field(max_length=64)
    wx_scene: int


class Visited(BaseModel):
    """A visit that was counted."""

    visit_id: str
    now: int


class Claimed(BaseModel):
    """A coupon that is the member's now."""

    coupon_id: str
    state: str
    template_id: str
    starts_at: int
    ends_at: int
    now: int


class CheckedIn(BaseModel):
    """A day that is checked in."""

    day: int
    points: int
    now: int


def _signed_in(request: Request) -> str:
    return member_of(request.headers)


Member = Annotated[str, Depends(_signed_in)]


@app.post("/v1/links/{code}/visits", status_code=201)
def visit(code: str, opening: Opening) -> Visited:
    """Count a visit, each visitor once an hour."""
    now = int(time.time())
    who = hashlib.blake2b(f"{code}|{opening.visitor}".encode(), digest_size=8).digest()
    hour = Hour(f"VISITS#{code}#{now // 3600}", "HOUR#0")
    actions = [Hour.n.add(1), Hour.chat.add(1), Hour.seen.add({who}), Hour.rev.add(1)]
    stays = [Hour.ttl.set(now + 86400), Hour.kind.set("visit_hour")]
    room = Hour.pk.does_not_exist() | ((Hour.n < 600) & ~Hour.seen.contains(who))
    hour.update(actions=[*actions, *stays], condition=room)
    logger.info("visit", extra={"code": code})
    return Visited(visit_id=uuid.uuid4().hex, now=now)


@app.post("/v1/coupons/{template_id}/claims", status_code=201)
def claim(template_id: str, member_id: Member) -> Claimed:
    """A coupon, while there are any and the member has none."""
    now = int(time.time())
    coupon = Coupon(
        f"COUPONS#{member_id}",
        f"cpn_{template_id}",
        kind="coupon",
        state="unused",
        coupon_id=f"cpn_{template_id}",
        member_id=member_id,
        template_id=template_id,
        version=1,
        source="claim",
        shard=0,
        claimed_at=now,
        starts_at=now,
        ends_at=now + 86400,
        giftable=True,
        due_shard="coupons#0",
        due_at=now + 86400,
        rev=1,
    )
    stock = Stock(f"TEMPLATE#{template_id}", "STOCK#0")
    taken: list[Action] = [Stock.left.add(-1), Stock.issued.add(1), Stock.rev.add(1)]
    there = (Stock.on == True) & (Stock.left >= 1)  # noqa: E712 - pynamodb's comparison
    in_time = (Stock.claim_from <= now) & (Stock.claim_until > now)
    with TransactWrite(connection=connection) as transaction:
        transaction.save(coupon, condition=Coupon.pk.does_not_exist())
        transaction.update(stock, actions=taken, condition=there & in_time)
    logger.info("claim", extra={"member_id": member_id})
    shown: Any = {name: getattr(coupon, name) for name in ("coupon_id", "state", "template_id")}
    return Claimed(**shown, starts_at=now, ends_at=now + 86400, now=now)


@app.post("/v1/checkins/{campaign_id}", status_code=201)
def check_in(campaign_id: str, member_id: Member) -> CheckedIn:
    """Today, and its points."""
    now = int(time.time())
    pk, today = f"CHECKIN#{campaign_id}#{member_id}", time.gmtime(now).tm_mday
    list(Month.query(pk, consistent_read=True, limit=3))
    cause = f"checkin#{campaign_id}#{today}"
    entry = Entry(
        f"ACCOUNT#{member_id}#points",
        f"ENTRY#{cause}",
        kind="entry",
        amount=5,
        cause=cause,
        reason="checkin",
        at=now,
        left=5,
        owner=f"{member_id}#points",
        listed_at=f"{now:011d}",
        rev=1,
    )
    days: list[Action] = [
        Month.days.add({today}),
        Month.told.set({str(today): {"points": 5}}),
        Month.rev.add(1),
    ]
    points: list[Action] = [Account.balance.add(5), Account.lasting.add(5), Account.rev.add(1)]
    unseen = Month.pk.does_not_exist() | ~Month.days.contains(today)
    with TransactWrite(connection=connection) as transaction:
        transaction.update(Month(pk, "MONTH#2026-01"), actions=days, condition=unseen)
        transaction.save(entry, condition=Entry.pk.does_not_exist())
        transaction.update(Account(entry.pk, "ACCOUNT"), actions=points)
    logger.info("check-in", extra={"member_id": member_id})
    return CheckedIn(day=today, points=5, now=now)


handler = Mangum(app, lifespan="off")
