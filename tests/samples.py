"""A call of every route that would succeed in the `tests.world`, so that what is refused has no other reason.

A name in braces is one of the world's names.
"""

import base64
from typing import Any

from infra.local import wechat
from tests.doors import DOORS
from tests.uploads import PNG

Body = dict[str, Any]
APPID, WECHAT_SECRET = next(iter(wechat.DEMO_PROGRAMS.items()))

PROGRAM: Body = {
    "appid": APPID,
    "secret_name": "demo",
    "name": "Tea shop",
    "kind": "functional",
    "landing_page": "pages/home/home",
}
CAMPAIGN: Body = {
    "title": "Tea for three",
    "product": {
        "id": "tea",
        "title": "Jasmine tea",
        "skus": [
            {
                "sku_id": "tin",
                "title": "A tin",
                "list_price_fen": 9900,
                "stock": 20,
                "prices": [{"size": 3, "price_fen": 8900}],
            }
        ],
    },
    "starts_at": 1_700_000_000,
    "ends_at": 9_000_000_000,
}
COUPON: Body = {
    "title": "Ten off",
    "kind": "amount_off",
    "value_fen": 1000,
    "threshold_fen": 0,
    "claim": {"starts_at": 1_700_000_000, "ends_at": 9_000_000_000},
    "validity": {"kind": "days", "days": 30},
}
PLAN: Body = {
    "title": "A pack",
    "after": "campaign",
    "pieces": 2,
    "starts_at": 1_700_000_000,
    "ends_at": 9_000_000_000,
}
BASKET: Body = {"lines": [{"product_id": "tea", "price_fen": 9900}]}
CHECKIN: Body = {
    "title": "Every day",
    "kind": "challenge",
    "timezone": "Asia/Shanghai",
    "starts_at": 1_700_000_000,
    "ends_at": 9_000_000_000,
    "target": 7,
    "rewards": [{"by": "each", "give": [{"kind": "points", "amount": 5}]}],
    "makeups": {"points": 1},
    "notes": True,
    "team_size": 4,
}
SHARE: Body = {"target": {"kind": "product", "id": "tea"}, "channel": "moments", "placement": "footer"}
EXCHANGE: Body = {"title": "A card", "starts_at": 1_700_000_000, "ends_at": 9_000_000_000}
BOUGHT: Body = {**EXCHANGE, "points": 10, "goods": "makeup_card", "what": {"count": 1}, "stock": 20}
BADGE: Body = {"title": "Host", "fact": "binding.made", "threshold": 3}
FROZEN: Body = {
    "member": {"external_id": "carol-1"},
    "mall_order_id": "M-7",
    "points": 100,
    "goods_fen": 10_000,
}
REWARD: Body = {
    "title": "Bring a friend",
    "on": "member.registered",
    "to": "both",
    "give": [{"kind": "points", "amount": 10}],
}
TERMS: Body = {
    "methods": [
        {"method": "phone", "gateway": "sandbox", "account": False},
        {"method": "bank", "gateway": "manual"},
        {"method": "mall", "gateway": "mall", "account": False},
    ],
}
ACCOUNT: Body = {"name": "王小明", "number": "6222020200112230", "bank": "ICBC"}
PAYEE: Body = {"real_name": "王小明", "id_number": "11010519491231002X"}
WITHDRAWAL: Body = {"amount_fen": 500, "method": "phone"}
MESSAGE: Body = {"kind": "refund_done", "template_id": "tpl", "keywords": {"thing1": "about"}}
SAMPLES: dict[str, Body] = {
    "POST /v1/me/notifications/seen": {"before": 1},
    "PUT /v1/me/notification-settings": {"off": ["refund_done"]},
    "POST /v1/me/subscriptions": {"tap_id": "tap-00001", "results": {"tpl": "accept"}},
    "PUT /v1/admin/programs/{program_id}/templates": {"items": [MESSAGE]},
    "POST /v1/me/withdrawals/quote": WITHDRAWAL,
    "POST /v1/me/withdrawals": WITHDRAWAL,
    "PUT /v1/me/payee": PAYEE,
    "POST /v1/mall/withdrawals/{withdrawal_id}/outcome": {"id": "e-2", "type": "withdrawal.paid"},
    "POST /v1/admin/withdrawals/settings": {**TERMS, "open_at_once": 2},
    "POST /v1/admin/withdrawals/statements/export": {"month": "2026-01"},
    "POST /v1/admin/withdrawals/{withdrawal_id}/reject": {"reason": "no such account"},
    "POST /v1/admin/withdrawals/{withdrawal_id}/paid": {"reference": "ICBC-1"},
    "POST /v1/admin/withdrawals/{withdrawal_id}/failed": {"reason": "bounced"},
    "POST /v1/points/exchanges": {"exchange_id": "{exchange_id}"},
    "POST /v1/mall/points/freeze": {**FROZEN, "mall_order_id": "M-8"},
    "POST /v1/mall/points/spend": {"mall_order_id": "M-7"},
    "POST /v1/mall/points/release": {"mall_order_id": "M-7"},
    "PUT /v1/admin/points/settings": {"lasts_months": 12},
    "POST /v1/admin/points/exchanges": BOUGHT,
    "PUT /v1/admin/points/exchanges/{exchange_id}": EXCHANGE,
    "POST /v1/admin/points/exchanges/{exchange_id}/stock": {"units": 5},
    "PUT /v1/admin/levels": {"levels": [{"name": "Leaf", "growth": 0}]},
    "POST /v1/admin/badges": {**BADGE, "badge_id": "extra"},
    "PUT /v1/admin/badges/{badge_id}": BADGE,
    "POST /v1/admin/members/{member_id}/points": {"amount": 5, "reason": "sorry"},
    "POST /v1/sessions": {"program_id": "demo", "code": "dave"},
    "POST /v1/links/{code}/visits": {"wx_scene": 1007, "visitor": "a-phones-key"},
    "PUT /v1/me": {"nickname": "阿丽"},
    "POST /v1/me/phone": {"code": "phone:13800138000:1"},
    "POST /v1/me/chat-groups": {"encrypted_data": "AAAA", "iv": "AAAA"},
    "POST /v1/me/private-messages": {"encrypted_data": "AAAA", "iv": "AAAA", "activity_id": "a"},
    "POST /v1/admin/orders/{order_id}/shipment": {"how": "pickup"},
    "POST /v1/me/deletion": {"forfeit": True},
    "POST /v1/uploads": {"kind": "avatar", "size": 68, "content_type": "image/png"},
    "PUT /v1/uploads/{upload_id}": {"content": base64.b64encode(PNG).decode()},
    "POST /v1/links/{code}/openings": {"kind": "url_link", "program_id": "demo"},
    "POST /v1/links": SHARE,
    "POST /v1/links/batch": {"links": [SHARE]},
    "POST /v1/mall/sessions": {"program_id": "demo", "external_id": "m-1"},
    "POST /v1/admin/programs": {**PROGRAM, "program_id": "extra"},
    "PUT /v1/admin/programs/{program_id}": PROGRAM,
    "PUT /v1/admin/cards": {"target_kind": "product", "title": "{nickname} likes {title}"},
    "PUT /v1/admin/targets": {"kind": "product", "id": "tea", "title": "Tea"},
    "POST /v1/admin/policies": {"mode": "new_members"},
    "POST /v1/admin/policies/dryrun": {"mode": "last", "order_ids": ["{order_id}"]},
    "POST /v1/me/binding": {"invite_code": "{invite_code}"},
    "POST /v1/admin/links/{code}/off": {"reason": "spam"},
    "POST /v1/admin/members/{member_id}/block": {"reason": "spam"},
    "POST /v1/admin/members/{member_id}/unblock": {"reason": "a mistake"},
    "PUT /v1/admin/members/{member_id}/binding": {"promoter_id": None, "reason": "asked for"},
    "POST /v1/groupbuys/{campaign_id}/groups": {"sku_id": "tin"},
    "POST /v1/groups/{group_id}/seats": {"quantity": 1},
    "POST /v1/mall/groupbuys/{campaign_id}/seats": {
        "member": {"external_id": "carol-1"},
        "mall_order_id": "M-2",
    },
    "POST /v1/mall/events": {"id": "e-1", "type": "order.cancelled", "order_id": "{order_id}"},
    "POST /v1/mall/reconciliations": {"day": "2026-11-22", "orders": []},
    "POST /v1/admin/groupbuys": CAMPAIGN,
    "PUT /v1/admin/groupbuys/{campaign_id}": {**CAMPAIGN, "title": "Tea for you"},
    "POST /v1/admin/groupbuys/{campaign_id}/copy": {"starts_at": 1_800_000_000, "ends_at": 9_000_000_000},
    "POST /v1/admin/groupbuys/{campaign_id}/close": {"reason": "it is over"},
    "POST /v1/admin/groupbuys/{campaign_id}/stock": {"sku_id": "tin", "units": 5},
    "POST /v1/admin/orders/{order_id}/refund": {"reason": "a complaint"},
    "POST /v1/checkins/{campaign_id}": {"text": "ran 5 km"},
    "POST /v1/checkins/{campaign_id}/makeups": {"date": "{yesterday}"},
    "PUT /v1/checkins/{campaign_id}/reminder": {"at_minute": 1200},
    "POST /v1/checkins/{campaign_id}/teams": {"title": "Early birds"},
    "POST /v1/admin/checkins": CHECKIN,
    "PUT /v1/admin/checkins/{campaign_id}": {**CHECKIN, "title": "Each day"},
    "PUT /v1/admin/checkins/{campaign_id}/members/{member_id}/notes/{date}": {
        "state": "hidden",
        "reason": "spam",
    },
    "POST /v1/promoters": {"terms_version": 1},
    "POST /v1/commissions/estimate": {"lines": [{"product_id": "tea", "paid_fen": 9900}]},
    "POST /v1/admin/distribution": {"hold_days": 9},
    "POST /v1/admin/rates": {"level": "level1", "product_id": "tea", "unit_fen": 100},
    "POST /v1/admin/promoters": {"member_id": "{dora_id}"},
    "POST /v1/admin/promoters/{member_id}/approve": {"reason": "known"},
    "POST /v1/admin/promoters/{member_id}/refuse": {"reason": "unknown"},
    "POST /v1/admin/promoters/{member_id}/suspend": {"reason": "spam"},
    "POST /v1/admin/promoters/{member_id}/resume": {"reason": "a mistake"},
    "POST /v1/admin/promoters/{member_id}/tier": {"tier": 2, "reason": "a friend"},
    "POST /v1/admin/commissions/{commission_id}/hold": {"reason": "a look"},
    "POST /v1/admin/commissions/{commission_id}/release": {"reason": "fine"},
    "POST /v1/admin/commissions/{commission_id}/refuse": {"reason": "one phone"},
    "POST /v1/admin/rewards": REWARD,
    "PUT /v1/admin/rewards/{reward_id}": {**REWARD, "title": "Bring two"},
    "POST /v1/admin/rewards/{reward_id}/dryrun": {"days": 3},
    "PUT /v1/admin/members/{member_id}/tags": {"tags": ["vip"]},
    "POST /v1/coupons/claims": {"template_ids": ["{template_id}"]},
    "POST /v1/coupons/quote": BASKET,
    "POST /v1/mall/coupons/quote": {"member": {"external_id": "carol-1"}, **BASKET},
    "POST /v1/mall/coupons/lock": {
        "member": {"external_id": "carol-1"},
        "mall_order_id": "M-9",
        "coupon_ids": ["{spare_coupon_id}"],
        **BASKET,
    },
    "POST /v1/mall/coupons/redeem": {"mall_order_id": "M-5"},
    "POST /v1/mall/coupons/release": {"mall_order_id": "M-6"},
    "POST /v1/mall/coupons/return": {"mall_order_id": "M-7"},
    "POST /v1/admin/coupons": {**COUPON, "stock": 20},
    "PUT /v1/admin/coupons/{template_id}": COUPON,
    "POST /v1/admin/coupons/{template_id}/stock": {"units": 5},
    "POST /v1/admin/coupons/verify": {"code": "{shop_code}"},
    "POST /v1/coupons/codes": {"code": "{redeem_code}"},
    "POST /v1/packs": {"plan_id": "{plan_id}"},
    "POST /v1/mall/packs": {
        "member": {"external_id": "dora-1"},
        "plan_id": "{order_plan_id}",
        "mall_order_id": "M-8",
    },
    "POST /v1/admin/coupons/{template_id}/grants": {"batch": "autumn", "member_ids": ["mbr_1"]},
    "POST /v1/admin/coupons/{template_id}/codes": {"batch": "autumn", "count": 2, "ends_at": 9_000_000_000},
    "POST /v1/admin/packs": {**PLAN, "template_id": "{template_id}"},
    "POST /v1/admin/invites": {
        "title": "Bring a friend",
        "every": 3,
        "sharer_template_id": "{template_id}",
        "starts_at": 1_700_000_000,
        "ends_at": 9_000_000_000,
    },
    "POST /v1/admin/members/{member_id}/coupons/{coupon_id}/void": {"reason": "a mistake"},
    "POST /v1/admin/stuck/{stuck_id}/settle": {"reason": "told by phone", "how": "told"},
    "POST /v1/admin/stuck/{stuck_id}/cancel": {"reason": "of no use any more"},
}
PATHS = {
    "GET /v1/uploads/{upload_id}": "/v1/uploads/{seen_id}",
    "POST /v1/uploads/{upload_id}/done": "/v1/uploads/{seen_id}/done",
    "GET /v1/attributions/{order_id}": "/v1/attributions/{brought_order_id}",
    "POST /v1/admin/orders/{order_id}/refund": "/v1/admin/orders/{paid_order_id}/refund",
    "POST /v1/admin/members/{member_id}/coupons/{coupon_id}/void": (
        "/v1/admin/members/{member_id}/coupons/{carols_coupon_id}/void"
    ),
    "GET /v1/me/invitees/{member_id}": "/v1/me/invitees/{dora_id}",
    "POST /v1/admin/promoters/{member_id}/suspend": "/v1/admin/promoters/{alice_id}/suspend",
    "POST /v1/admin/promoters/{member_id}/resume": "/v1/admin/promoters/{suspended_id}/resume",
    "POST /v1/admin/commissions/{commission_id}/release": "/v1/admin/commissions/{held_id}/release",
    "POST /v1/admin/commissions/{commission_id}/refuse": "/v1/admin/commissions/{held_id}/refuse",
    "GET /v1/gifts/{code}": "/v1/gifts/{gift_code}",
    "POST /v1/gifts/{code}/claims": "/v1/gifts/{gift_code}/claims",
    "POST /v1/admin/invites/{plan_id}/off": "/v1/admin/invites/{invite_id}/off",
    **{
        f"POST /v1/{path}": f"/v1/{path.replace('withdrawal_id', name)}"
        for path, name in (
            ("me/withdrawals/{withdrawal_id}/cancel", "waiting_id"),
            ("sandbox/withdrawals/{withdrawal_id}/confirm", "awaiting_id"),
            ("mall/withdrawals/{withdrawal_id}/outcome", "asked_id"),
            ("admin/withdrawals/{withdrawal_id}/paid", "approved_id"),
            ("admin/withdrawals/{withdrawal_id}/failed", "approved_id"),
        )
    },
    **{
        route: route.split()[1].replace("campaign_id", "checkin_id")
        for route in DOORS
        if "/checkins/" in route
    },
}
BEHIND_THE_DOOR = {
    "POST /v1/me/deletion": "deletion_obstructed",
    "POST /v1/me/chat-groups": "wechat_session_stale",
    "POST /v1/me/private-messages": "wechat_session_stale",
    "POST /v1/admin/orders/{order_id}/shipment": "order_not_shippable",
}
"""What whoever passes is told of these: alice has an order and money, no key of WeChat's, and paid nothing so."""
SHOWN = {"GET /v1/uploads/{upload_id}": {"accept": "image/*;q=0.8"}}
QUERIES = {
    "GET /v1/subscriptions/ask": "after=checkin",
    "GET /v1/admin/members": "external_id=carol-1",
    "GET /v1/admin/targets": "kind=product",
    "GET /v1/admin/targets.csv": "kind=product",
    "GET /v1/admin/commissions": "promoter_id=mbr_1",
    "GET /v1/admin/commissions.csv": "promoter_id=mbr_1",
    "GET /v1/admin/bills/differences": "day=2026-11-22",
    "GET /v1/admin/bills/differences.csv": "day=2026-11-22",
    "GET /v1/admin/orders": "mall_order_id=M-1",
    "GET /v1/admin/orders.csv": "mall_order_id=M-1",
    "GET /v1/admin/withdrawals": "state=applied",
    "GET /v1/admin/withdrawals.csv": "state=applied",
}
WITH_BODY = sorted(SAMPLES)
# What products there are the mall knows: of one that nobody has heard of there is nothing to offer, and no 404.
WITH_ID = sorted(route for route in DOORS if "{" in route and "{product_id}" not in route)
