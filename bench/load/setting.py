"""What the people of a stretch find: made over HTTP as operators and phones would."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.load import day
from bench.load.day import Story
from infra.local.demo.telling import Phone, operator

DAY = 86400
POINTS = 5
STOCK = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Member:
    """Somebody who has signed in."""

    member_id: str
    token: str


@dataclass(frozen=True, kw_only=True)
class Place:
    """Ids of what there is; ``name`` tells its visitors from those of others."""

    name: str
    members: Sequence[Member]
    links: Sequence[str]
    checkins: Sequence[str]
    templates: Sequence[str]
    groupbuy: str


def sign_in(url: str, count: int) -> list[Member]:
    """So many new members."""
    answers = [
        Phone(url=url).call("POST", "/v1/sessions", program_id="demo", code=f"load-{n}") for n in range(count)
    ]
    return [Member(member_id=one["member"]["member_id"], token=one["token"]) for one in answers]


def set_up(url: str, stories: Sequence[Story], *, name: str, members: Sequence[Member]) -> Place:
    """All that these stories want, of its own."""
    desk = operator(url)
    now = int(desk.call("GET", "/v1/programs")["now"])
    return Place(
        name=name,
        members=members,
        links=[_link(url, members[n % len(members)], placement=f"{name}-{n}") for n in range(day.LINKS)],
        checkins=[_checkin(desk, name, now=now) for _ in range(day.wanted(stories, "check-in"))],
        templates=[_template(desk, name, now=now) for _ in range(day.wanted(stories, "claim"))],
        groupbuy=_groupbuy(desk, name, now=now),
    )


def _link(url: str, member: Member, *, placement: str) -> str:
    target = {"kind": "product", "id": "tea"}
    phone = Phone(url=url, token=member.token)
    return str(phone.call("POST", "/v1/links", target=target, channel="wechat", placement=placement)["code"])


def _checkin(desk: Phone, name: str, *, now: int) -> str:
    each = {"by": "each", "give": [{"kind": "points", "amount": POINTS}]}
    told = {"title": name, "timezone": "Asia/Shanghai", "starts_at": now - 1, "rewards": [each]}
    return str(desk.call("POST", "/v1/admin/checkins", **told)["campaign_id"])


def _template(desk: Phone, name: str, *, now: int) -> str:
    told: dict[str, Any] = {"title": name, "kind": "amount_off", "value_fen": 1000, "threshold_fen": 5000}
    told |= {"claim": {"starts_at": now - 1, "ends_at": now + DAY}, "validity": {"kind": "days", "days": 7}}
    return str(desk.call("POST", "/v1/admin/coupons", stock=STOCK, **told)["template_id"])


def _groupbuy(desk: Phone, name: str, *, now: int) -> str:
    sku = {"sku_id": "250g", "title": "250 g", "list_price_fen": 12000, "stock": STOCK}
    sku["prices"] = [{"size": 2, "price_fen": 8900}]
    told = {"title": name, "product": {"id": "tea", "title": "Tea", "skus": [sku]}}
    limits = {"per_member_units": 1000, "per_member_groups": 100}
    made = desk.call("POST", "/v1/admin/groupbuys", starts_at=now - 1, ends_at=now + DAY, **told, **limits)
    return str(made["campaign_id"])
