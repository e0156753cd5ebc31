"""What the operators of the town set up before its first day, over the routes that operators have."""

import json
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.core import ledger, table
from chalicelib.core.clock import DAY
from infra.local.postbox import Message
from infra.local.wechat import openid
from infra.local.wechat.frame import Request
from infra.local.wechat.messages import subscribe
from tests.factories import NOW
from tests.harness.merchant import APPID
from tests.samples import PROGRAM
from tests.soak.town import Town

ZONE = ZoneInfo("Asia/Shanghai")
FOR_EVER = NOW + 3000 * DAY
FIRST, SHARERS = 9, 3
"""Who is there before the first day, and who of them share."""
BEFORE, BROUGHT_FEN = "before", 20_000
ALWAYS = {"starts_at": NOW - 1, "ends_at": FOR_EVER}
TELLS = ("group_filled", "group_failed", "refund_done", "withdrawal_paid", "commission_settled")
WORDS = {"keywords": {"thing1": "title"}}
TIERS = [{"name": "Sprout"}, {"name": "Grove", "orders": 5, "settled_fen": 20_000}]
STEPS = [{"from_fen": 20_000, "bonus_bps": 100}, {"from_fen": 60_000, "bonus_bps": 200}]
RATES: list[dict[str, Any]] = [
    {"level": "level1", "bps": 1000},
    {"level": "level2", "bps": 300},
    {"level": "head", "bps": 200},
    {"level": "level1", "product_id": "tin", "unit_fen": 150},
]
METHODS: list[dict[str, Any]] = [
    {"method": "phone", "gateway": "sandbox", "account": False},
    {"method": "wechat", "gateway": "wechat", "account": False},
    {"method": "mall", "gateway": "mall", "account": False},
    {"method": "bank", "gateway": "manual"},
]
BY_HAND = ("approved", "transferring")
"""States of a withdrawal that an operator may pay by the bank."""
WITHDRAWALS = {"methods": METHODS, "auto_up_to_fen": 2_000, "fee_bps": 60, "open_at_once": 3}
TERMS = {"auto_approval": True, "hold_days": 3, "tiers": TIERS, "steps": STEPS}
POINTS = {"lasts_months": 2, "rate_points": 100, "rate_fen": 100, "max_share_bps": 5000}
LEVELS = [
    {"name": "Leaf", "growth": 0},
    {"name": "Bud", "growth": 60, "perks": {"points_bps": 12_000}},
    {"name": "Blossom", "growth": 300, "yearly_growth": 200},
]
FILLED = {
    "title": "Tea with a friend",
    "on": "group.filled",
    "to": "both",
    "limits": {"per_member": 6, "total": 60},
}
BOUGHT = {"title": "Points for shopping", "on": "order.completed", "to": "actor", "limits": {"per_day": 3}}
BROUGHT = {"title": "Bring a friend", "on": "member.registered", "to": "sharer", "limits": {"per_member": 9}}


def opens(town: Town) -> None:
    """Nothing goes wrong yet; a minute later all processes know all of it."""
    town.calm()
    town.desk.asks("POST", "/v1/admin/programs", **PROGRAM, program_id="demo")
    template_ids = [coupons(town, value) for value in (500, 1000)]
    _shop(town)
    _returning(town, template_ids[0])
    _giving(town, template_ids[0])
    _earning(town)
    _packs(town, template_ids)
    _messages(town)
    for mode, size in (("fixed", 2), ("fixed", 3), ("ladder", 4)):
        group_buy(town, mode=mode, size=size, reserve="seat" if size == 3 else "group")
    town.passes(120)
    _people(town)
    town.unkind()


def _people(town: Town) -> None:
    """Some who share and earn, and some whom they brought, each with a few points to begin with."""
    links: list[str] = []
    for n in range(FIRST):
        phone = town.phone(f"p{n}")
        phone.came_by = {"link": links[n % len(links)]} if len(links) == SHARERS else {}
        phone.sign_in()
        gift = {"amount": 60, "reason": "welcome", "book": "points"}
        town.desk.asks("POST", f"/v1/admin/members/{phone.member_id}/points", **gift)
        if n < SHARERS:
            phone.asks("POST", "/v1/promoters", terms_version=1)
            _has(town, phone.member_id)
            target = {"kind": "product", "id": "tea"}
            links.append(phone.asks("POST", "/v1/links", target=target, channel="wechat")["code"])
        external = {"external_id": f"x-{phone.name}", "openid": openid(appid=APPID, name=phone.name)}
        tells(town, "member.linked", member={**external, "program_id": "demo"})
    town.post()


def _has(town: Town, member_id: str) -> None:
    """Money of theirs from before there was a town, so that they withdraw from the first day on."""
    money: dict[str, Any] = {"book": "money", "reason": BEFORE, "cause": BEFORE}
    table.transact(ledger.posted(owner=member_id, amount=BROUGHT_FEN, now=town.time, **money))


def tells(town: Town, what: str, **told: Any) -> Message:
    """Something that the mall will tell sooner or later."""
    event = {"id": f"evt-{town.fates.getrandbits(64):x}", "type": what, **told}
    about = {"message_id": event["id"], "method": "POST", "path": "/v1/mall/events"}
    message = Message(**about, body=event, number="", what=what)
    town.mailbag.append(message)
    return message


def group_buy(town: Town, *, mode: str, size: int, reserve: str, **more: Any) -> str:
    """A campaign of a month, with a few units."""
    prices = [{"size": size, "price_fen": 6900}]
    prices += [{"size": 2, "price_fen": 7900}] if mode == "ladder" else []
    sku = {"sku_id": "tin", "title": "A tin", "list_price_fen": 9900, "stock": 40, "prices": prices}
    made = town.desk.asks(
        "POST",
        "/v1/admin/groupbuys",
        title=f"Tea for {size}",
        product={"id": "tea", "title": "Jasmine tea", "skus": [sku]},
        starts_at=town.time - 1,
        ends_at=town.time + 30 * DAY,
        **{"mode": mode, "reserve": reserve, "hold_s": 900, "stock_shards": 2, "per_member_units": 9, **more},
    )
    return str(made["campaign_id"])


def coupons(town: Town, value_fen: int, *, stock: int | None = 60) -> str:
    """A template whose coupons are good for two weeks."""
    made = town.desk.asks(
        "POST",
        "/v1/admin/coupons",
        title=f"{value_fen} off",
        kind="amount_off",
        value_fen=value_fen,
        threshold_fen=0,
        stock=stock,
        stock_shards=2,
        per_member=4,
        claim=ALWAYS,
        validity={"kind": "days", "days": 14},
        giftable=True,
        **{"for": {"kind": "all"}},
    )
    template_id = str(made["template_id"])
    codes = {"batch": "print", "count": 6, "uses": 3, "ends_at": FOR_EVER}
    town.desk.asks("POST", f"/v1/admin/coupons/{template_id}/codes", **codes)
    return template_id


def _shop(town: Town) -> None:
    desk = town.desk
    for thing in ("tea", "tin"):
        desk.asks("PUT", "/v1/admin/targets", kind="product", id=thing, title=thing, price_fen=9900)
    desk.asks("PUT", "/v1/admin/cards", target_kind="product", title="{nickname}: {title}")
    desk.asks("POST", "/v1/admin/policies", mode="first", depth=2)


def _returning(town: Town, coupon_id: str) -> None:
    points, growth = ({"kind": kind, "amount": n} for kind, n in (("points", 10), ("growth", 5)))
    each = {"by": "each", "give": [points, growth]}
    streak = {"by": "streak", "turns": 3, "give": [{"kind": "coupon", "template_id": coupon_id}]}
    daily = {"title": "A cup a day", "kind": "daily", "timezone": "Asia/Shanghai", "starts_at": NOW - DAY}
    makeups = {"points": 15, "per_month": 4}
    town.desk.asks("POST", "/v1/admin/checkins", **daily, rewards=[each, streak], makeups=makeups)
    week = {**daily, "kind": "challenge", "target": 7, "ends_at": FOR_EVER, "team_size": 3}
    week["makeups"] = {"cards": True}
    town.desk.asks("POST", "/v1/admin/checkins", **week, rewards=[{"by": "each", "give": [points]}])


def _giving(town: Town, coupon_id: str) -> None:
    desk = town.desk
    desk.asks("PUT", "/v1/admin/points/settings", **POINTS)
    desk.asks("PUT", "/v1/admin/levels", levels=LEVELS)
    for goods, what in (("makeup_card", {"count": 1}), ("coupon", {"template_id": coupon_id})):
        sold = {"title": goods, "points": 30, "goods": goods, "what": what, "stock": 20}
        desk.asks("POST", "/v1/admin/points/exchanges", **sold, **ALWAYS, per_member=5)
    desk.asks("POST", "/v1/admin/badges", badge_id="host", title="Host", fact="binding.made", threshold=2)
    for rule in (FILLED, BOUGHT, BROUGHT):
        desk.asks("POST", "/v1/admin/rewards", **rule, give=[{"kind": "points", "amount": 20}])


def _earning(town: Town) -> None:
    desk = town.desk
    desk.asks("POST", "/v1/admin/distribution", **TERMS)
    for rate in RATES:
        desk.asks("POST", "/v1/admin/rates", **rate)
    desk.asks("POST", "/v1/admin/withdrawals/settings", **WITHDRAWALS)


def _packs(town: Town, template_ids: list[str]) -> None:
    few, own = template_ids
    pack = {"title": "Tea for friends", "template_id": few, "pieces": 3, **ALWAYS, "open_for_s": 2 * DAY}
    sharer = {"template_id": own, "after_new": 1}
    for after in ("campaign", "order"):
        town.desk.asks("POST", "/v1/admin/packs", **pack, after=after, sharer=sharer)
    invite = {"title": "Bring two", "every": 2, "sharer_template_id": own, "friend_template_id": few}
    town.desk.asks("POST", "/v1/admin/invites", **invite, **ALWAYS)


def _messages(town: Town) -> None:
    items = [{"kind": kind, "template_id": f"tpl_{kind}", **WORDS} for kind in TELLS]
    town.desk.asks("PUT", "/v1/admin/programs/demo/templates", items=items)
    for item in items:
        allow(town, "nobody", item["template_id"], 0)


def allow(town: Town, openid: str, template_id: Any, times: int = 1) -> None:
    """A phone lets WeChat show a message of this template."""
    body = json.dumps({"openid": openid, "template_id": template_id, "n": times}).encode()
    subscribe(town.weixin.platform, Request(method="POST", path="", query={}, headers={}, body=body))
