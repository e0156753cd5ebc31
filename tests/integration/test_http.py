"""The edge, over real connections to the local server: who passes which door, and what bad input gets.

Whoever adds a route adds a line to `MAY_PASS` and, where it takes a body or something in its path, to `SAMPLES`:
a call that would succeed, so that what is refused here is refused for the reason given and changes nothing.
WeChat Pay's doors answer it in its own words: test_wechat_pay walks them.
"""

import base64
import copy
import csv
import hashlib
import hmac
import http.client
import io
import json
import logging
import re
import socket
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.dynamodb.models import dynamodb_backends

from chalicelib.checkins import campaigns as checkins
from chalicelib.checkins import teams
from chalicelib.checkins.models import Note
from chalicelib.checkins.schemas import EditCampaign as EditCheckin
from chalicelib.commissions import promoters, rates, runs
from chalicelib.commissions import service as commissions
from chalicelib.commissions import terms as distribution
from chalicelib.commissions.rules import DistributionTerms, Scope
from chalicelib.core import cache, clock, config, contract, cursors, due, ledger, session, table
from chalicelib.core import http as edge
from chalicelib.core.deliveries import Delivery
from chalicelib.core.doors import Operator, Role
from chalicelib.core.errors import Busy
from chalicelib.core.ledger import Account
from chalicelib.coupons import codes, gifts, grants, invites, packs, plans, rules, templates, using
from chalicelib.coupons import service as coupons
from chalicelib.coupons.schemas import EditInvite, EditPlan, GrantPart, MakeCodes, MakeTemplate
from chalicelib.groupbuys import campaigns, reporting
from chalicelib.groupbuys import service as groupbuys
from chalicelib.groupbuys.schemas import EditCampaign
from chalicelib.members import rules as member_rules
from chalicelib.members import service as members
from chalicelib.members.schemas import AddProgram
from chalicelib.notifications import templates as message_templates
from chalicelib.notifications.schemas import MessageTemplate
from chalicelib.operators import service as operators
from chalicelib.operators import stuck as operators_stuck
from chalicelib.orders import ordinary
from chalicelib.orders import service as orders
from chalicelib.orders.models import Bill, Difference
from chalicelib.orders.service import Paid
from chalicelib.points import badges, checkout, exchanges
from chalicelib.points import service as points
from chalicelib.points.schemas import AddBadge, AddExchange, FreezePoints
from chalicelib.reconciling import service as reconciling
from chalicelib.rewards import service as rewards
from chalicelib.rewards.rules import RewardTerms
from chalicelib.sessions.proving import ChatMember
from chalicelib.sharing import attribution, visits
from chalicelib.sharing import invites as invite_codes
from chalicelib.sharing import orders as attributions
from chalicelib.sharing import service as sharing
from chalicelib.sharing.schemas import EditCard, EditTarget, MintLink, TargetRef
from chalicelib.withdrawals import applying as withdrawal_applying
from chalicelib.withdrawals import payees, sending
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals import terms as withdrawal_terms
from chalicelib.withdrawals.applying import Applying
from chalicelib.withdrawals.schemas import EditWithdrawalTerms, TellPayee, Withdraw
from infra import docs
from infra.local import embedded, server, wechat
from infra.local.clients import Store
from tests.harness.serving import served
from tests.uploads import PNG, begun, sent

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics to publish")
Body = dict[str, Any]
APPID, WECHAT_SECRET = next(iter(wechat.DEMO_PROGRAMS.items()))
MALL_SECRET = "test-mall-secret"
MALL = "POST /v1/mall/sessions"
NOWHERE = "2222222222"
YESTERDAY = clock.local_day(clock.now() - clock.DAY, zone=ZoneInfo("Asia/Shanghai"))
ROLES: tuple[Role, ...] = get_args(Role)

# --- the doors ----------------------------------------------------------------------------------------------

CALLERS = (
    "stranger",
    "forged",  # a session signed with another key
    "expired",
    "visit",  # the token of a visit in place of a session
    "member",
    "blocked",
    *ROLES,
    "off",  # an operator's key that was switched off
    "mall",
    "badly",  # the mall with a signature that is not of this call
)
ANYBODY = CALLERS  # a public door looks at a session, and takes one that is no good for nobody's

MAY_PASS = """
GET    /v1/openapi.json                          anybody
GET    /v1/programs                              anybody
POST   /v1/sessions                              anybody
GET    /s/{code}                                 anybody
POST   /v1/links/{code}/visits                   anybody
GET    /v1/links/{code}/qr                       anybody
GET    /v1/groupbuys                             anybody
GET    /v1/groupbuys/{campaign_id}               anybody
GET    /v1/groupbuys/{campaign_id}/groups        anybody
GET    /v1/groups/{group_id}                     anybody
GET    /v1/products/{product_id}/offers          anybody
GET    /v1/checkins                              anybody
GET    /v1/checkins/{campaign_id}                anybody
GET    /v1/checkins/{campaign_id}/teams/{team_id}  anybody
POST   /v1/sandbox/orders/{order_id}/payments/{payment_id}  anybody
GET    /v1/coupons                               anybody
GET    /v1/gifts/{code}                          anybody
GET    /v1/packs                                 anybody
GET    /v1/packs/{pack_id}                       anybody
GET    /v1/invites                               anybody

GET    /v1/points/exchanges                      anybody

GET    /v1/me/points                             member
GET    /v1/me/points/entries                     member
GET    /v1/me/badges                             member
POST   /v1/points/exchanges                      member

POST   /v1/mall/points/freeze                    mall
POST   /v1/mall/points/spend                     mall
POST   /v1/mall/points/release                   mall
GET    /v1/mall/members/{ref}                    mall

GET    /v1/admin/points/settings                 owner marketing support finance store
PUT    /v1/admin/points/settings                 owner marketing
GET    /v1/admin/points/exchanges                owner marketing support finance store
GET    /v1/admin/points/exchanges.csv  owner marketing support finance store
POST   /v1/admin/points/exchanges                owner marketing
PUT    /v1/admin/points/exchanges/{exchange_id}  owner marketing
DELETE /v1/admin/points/exchanges/{exchange_id}  owner marketing
POST   /v1/admin/points/exchanges/{exchange_id}/pause   owner marketing
POST   /v1/admin/points/exchanges/{exchange_id}/resume  owner marketing
POST   /v1/admin/points/exchanges/{exchange_id}/stock   owner marketing
GET    /v1/admin/levels                          owner marketing support finance store
PUT    /v1/admin/levels                          owner marketing
GET    /v1/admin/badges                          owner marketing support finance store
GET    /v1/admin/badges.csv  owner marketing support finance store
POST   /v1/admin/badges                          owner marketing
PUT    /v1/admin/badges/{badge_id}               owner marketing
GET    /v1/admin/members/{member_id}/points      owner support finance
POST   /v1/admin/members/{member_id}/points      owner support

POST   /v1/sandbox/withdrawals/{withdrawal_id}/confirm  anybody
GET    /v1/me/withdrawals/rules                  member
POST   /v1/me/withdrawals/quote                  member
POST   /v1/me/withdrawals                        member
GET    /v1/me/withdrawals                        member
GET    /v1/me/withdrawals/statements             member
GET    /v1/me/withdrawals/{withdrawal_id}        member
POST   /v1/me/withdrawals/{withdrawal_id}/cancel  member
GET    /v1/me/payee                              member
PUT    /v1/me/payee                              member
POST   /v1/mall/withdrawals/{withdrawal_id}/outcome  mall
GET    /v1/admin/withdrawals/settings            owner marketing support finance store
POST   /v1/admin/withdrawals/settings            owner finance
GET    /v1/admin/withdrawals                     owner support finance
GET    /v1/admin/withdrawals.csv                 owner support finance
GET    /v1/admin/withdrawals/statements          owner support finance
GET    /v1/admin/withdrawals/statements.csv      owner support finance
POST   /v1/admin/withdrawals/statements/export   owner finance
GET    /v1/admin/withdrawals/{withdrawal_id}     owner support finance
POST   /v1/admin/withdrawals/{withdrawal_id}/approve  owner finance
POST   /v1/admin/withdrawals/{withdrawal_id}/reject   owner finance
POST   /v1/admin/withdrawals/{withdrawal_id}/paid     owner finance
POST   /v1/admin/withdrawals/{withdrawal_id}/failed   owner finance
POST   /v1/admin/withdrawals/{withdrawal_id}/payee    owner finance

GET    /v1/uploads/{upload_id}                   anybody
POST   /v1/uploads                               member
PUT    /v1/uploads/{upload_id}                   member
POST   /v1/uploads/{upload_id}/done              member
POST   /v1/links/{code}/openings                 member
GET    /v1/links/{code}/poster                   anybody
GET    /v1/links/{code}/poster.svg               anybody
POST   /v1/me/phone                              member
POST   /v1/me/chat-groups                        member
POST   /v1/me/private-messages                   member
POST   /v1/admin/orders/{order_id}/shipment      owner support
GET    /v1/me                                    member
PUT    /v1/me                                    member
GET    /v1/me/deletion                           member
POST   /v1/me/deletion                           member
DELETE /v1/me/deletion                           member
GET    /v1/me/export                             member
GET    /v1/me/binding                            member
POST   /v1/me/binding                            member
GET    /v1/attributions/{order_id}               member
POST   /v1/links                                 member
POST   /v1/links/batch                           member
DELETE /v1/links/{code}                          member
GET    /v1/links/{code}/funnel                   member
GET    /v1/me/groups                             member
POST   /v1/groupbuys/{campaign_id}/groups        member
POST   /v1/groups/{group_id}/seats               member
DELETE /v1/groups/{group_id}/seats/me            member
GET    /v1/orders/{order_id}                     member
POST   /v1/orders/{order_id}/payments            member
POST   /v1/orders/{order_id}/payments/check      member
POST   /v1/orders/{order_id}/cancel              member
POST   /v1/coupons/{template_id}/claims          member
POST   /v1/coupons/claims                        member
POST   /v1/coupons/quote                         member
GET    /v1/me/coupons                            member
GET    /v1/me/coupons/{coupon_id}/code           member
POST   /v1/coupons/codes                         member
POST   /v1/me/coupons/{coupon_id}/gifts          member
DELETE /v1/me/coupons/{coupon_id}/gifts          member
POST   /v1/gifts/{code}/claims                   member
GET    /v1/me/packs                              member
POST   /v1/packs                                 member
POST   /v1/packs/{pack_id}/pieces                member
GET    /v1/checkins/{campaign_id}/chat-groups/{chat_group_id}  member
POST   /v1/checkins/{campaign_id}                member
POST   /v1/checkins/{campaign_id}/makeups        member
PUT    /v1/checkins/{campaign_id}/reminder       member
POST   /v1/checkins/{campaign_id}/teams          member
POST   /v1/checkins/{campaign_id}/teams/{team_id}/members  member
DELETE /v1/checkins/{campaign_id}/teams/{team_id}/members/me  member

POST   /v1/mall/sessions                         mall
POST   /v1/mall/groupbuys/{campaign_id}/seats    mall
DELETE /v1/mall/seats/{mall_order_id}            mall
GET    /v1/mall/orders/{order_id}                mall
POST   /v1/mall/events                           mall
POST   /v1/mall/reconciliations                  mall
POST   /v1/mall/coupons/quote                    mall
POST   /v1/mall/coupons/lock                     mall
POST   /v1/mall/coupons/redeem                   mall
POST   /v1/mall/coupons/release                  mall
POST   /v1/mall/coupons/return                   mall
POST   /v1/mall/packs                            mall

GET    /v1/admin/me                              owner marketing support finance store
GET    /v1/admin/programs                        owner marketing support finance store
GET    /v1/admin/programs.csv  owner marketing support finance store
POST   /v1/admin/programs                        owner
PUT    /v1/admin/programs/{program_id}           owner
DELETE /v1/admin/programs/{program_id}           owner
GET    /v1/admin/cards                           owner marketing support finance store
GET    /v1/admin/cards.csv  owner marketing support finance store
PUT    /v1/admin/cards                           owner marketing
DELETE /v1/admin/cards/{card_id}                 owner marketing
GET    /v1/admin/targets                         owner marketing support finance store
GET    /v1/admin/targets.csv  owner marketing support finance store
PUT    /v1/admin/targets                         owner marketing
GET    /v1/admin/policies                        owner marketing support finance store
GET    /v1/admin/policies.csv  owner marketing support finance store
POST   /v1/admin/policies                        owner marketing
POST   /v1/admin/policies/dryrun                 owner marketing finance
GET    /v1/admin/attributions/{order_id}         owner marketing support finance store
POST   /v1/admin/links/{code}/off                owner marketing support
GET    /v1/admin/members                         owner support finance
GET    /v1/admin/members/{member_id}             owner support finance
POST   /v1/admin/members/{member_id}/block       owner support
POST   /v1/admin/members/{member_id}/unblock     owner support
GET    /v1/admin/members/{member_id}/binding     owner support finance
PUT    /v1/admin/members/{member_id}/binding     owner support
GET    /v1/admin/audit                           owner finance
GET    /v1/admin/audit.csv                       owner finance
GET    /v1/admin/stuck                           owner support finance
GET    /v1/admin/stuck.csv                       owner support finance
POST   /v1/admin/stuck/{stuck_id}/retry          owner support finance
POST   /v1/admin/stuck/{stuck_id}/settle         owner support finance
POST   /v1/admin/stuck/{stuck_id}/cancel         owner support finance
GET    /v1/admin/bills                           owner support finance
GET    /v1/admin/bills.csv                       owner support finance
GET    /v1/admin/bills/differences               owner support finance
GET    /v1/admin/bills/differences.csv           owner support finance
GET    /v1/admin/drifts                          owner support finance
GET    /v1/admin/drifts.csv                      owner support finance
GET    /v1/admin/reconciliations                 owner support finance
GET    /v1/admin/reconciliations.csv             owner support finance
GET    /v1/admin/deliveries                      owner support finance
GET    /v1/admin/deliveries.csv                  owner support finance
GET    /v1/admin/members/{member_id}/timeline    owner support finance
GET    /v1/admin/members/{member_id}/timeline.csv  owner support finance
GET    /v1/admin/groupbuys                       owner marketing support finance store
GET    /v1/admin/groupbuys.csv                   owner marketing support finance store
POST   /v1/admin/groupbuys                       owner marketing
PUT    /v1/admin/groupbuys/{campaign_id}         owner marketing
POST   /v1/admin/groupbuys/{campaign_id}/copy    owner marketing
POST   /v1/admin/groupbuys/{campaign_id}/pause   owner marketing
POST   /v1/admin/groupbuys/{campaign_id}/resume  owner marketing
POST   /v1/admin/groupbuys/{campaign_id}/close   owner marketing
POST   /v1/admin/groupbuys/{campaign_id}/stock   owner marketing
GET    /v1/admin/groupbuys/{campaign_id}/report  owner marketing finance
GET    /v1/admin/groupbuys/{campaign_id}/report.csv  owner marketing finance
GET    /v1/admin/orders                          owner support finance
GET    /v1/admin/orders.csv                      owner support finance
GET    /v1/admin/checkins                        owner marketing support finance store
GET    /v1/admin/checkins.csv  owner marketing support finance store
POST   /v1/admin/checkins                        owner marketing
PUT    /v1/admin/checkins/{campaign_id}          owner marketing
POST   /v1/admin/checkins/{campaign_id}/pause    owner marketing
POST   /v1/admin/checkins/{campaign_id}/resume   owner marketing
POST   /v1/admin/checkins/{campaign_id}/close    owner marketing
GET    /v1/admin/checkins/{campaign_id}/report   owner marketing finance
GET    /v1/admin/checkins/{campaign_id}/members/{member_id}/notes  owner marketing support
PUT    /v1/admin/checkins/{campaign_id}/members/{member_id}/notes/{date}  owner marketing support
GET    /v1/admin/orders/{order_id}               owner support finance
POST   /v1/admin/orders/{order_id}/refund        owner support finance
GET    /v1/promoters/rules                       anybody
POST   /v1/promoters                             member
GET    /v1/me/promoter                           member
GET    /v1/me/promoter/months                    member
GET    /v1/promoters/ranking                     member
GET    /v1/me/invitees                           member
GET    /v1/me/invitees/{member_id}               member
GET    /v1/me/commissions                        member
GET    /v1/commissions/{commission_id}/explanation  member
POST   /v1/commissions/estimate                  member
GET    /v1/admin/distribution                    owner marketing support finance store
POST   /v1/admin/distribution                    owner marketing
GET    /v1/admin/rates                           owner marketing support finance store
GET    /v1/admin/rates.csv  owner marketing support finance store
POST   /v1/admin/rates                           owner marketing
GET    /v1/admin/rates/{rate_id}/versions        owner marketing support finance store
GET    /v1/admin/rates/{rate_id}/versions.csv  owner marketing support finance store
DELETE /v1/admin/rates/{rate_id}                 owner marketing
GET    /v1/admin/promoters                       owner marketing support finance
GET    /v1/admin/promoters.csv                   owner marketing support finance
POST   /v1/admin/promoters                       owner marketing
POST   /v1/admin/promoters/{member_id}/approve   owner marketing
POST   /v1/admin/promoters/{member_id}/refuse    owner marketing
POST   /v1/admin/promoters/{member_id}/suspend   owner marketing
POST   /v1/admin/promoters/{member_id}/resume    owner marketing
POST   /v1/admin/promoters/{member_id}/tier      owner marketing
GET    /v1/admin/commissions                     owner marketing support finance
GET    /v1/admin/commissions.csv                 owner marketing support finance
GET    /v1/admin/commissions/held                owner marketing support finance
GET    /v1/admin/commissions/held.csv            owner marketing support finance
GET    /v1/admin/commissions/{commission_id}     owner marketing support finance
POST   /v1/admin/commissions/{commission_id}/hold     owner finance
POST   /v1/admin/commissions/{commission_id}/release  owner finance
POST   /v1/admin/commissions/{commission_id}/refuse   owner finance
GET    /v1/admin/settlements/{day}               owner marketing support finance
GET    /v1/admin/settlements/{day}/lines         owner marketing support finance
GET    /v1/admin/settlements/{day}/lines.csv     owner marketing support finance
GET    /v1/rewards                               anybody
GET    /v1/me/rewards                            member
GET    /v1/admin/rewards                         owner marketing support finance store
GET    /v1/admin/rewards.csv  owner marketing support finance store
POST   /v1/admin/rewards                         owner marketing
GET    /v1/admin/rewards/{reward_id}             owner marketing support finance
PUT    /v1/admin/rewards/{reward_id}             owner marketing
POST   /v1/admin/rewards/{reward_id}/on          owner marketing
POST   /v1/admin/rewards/{reward_id}/off         owner marketing
GET    /v1/admin/rewards/{reward_id}/versions    owner marketing support finance
POST   /v1/admin/rewards/{reward_id}/dryrun     owner marketing
GET    /v1/admin/rewards/{reward_id}/report      owner marketing support finance
PUT    /v1/admin/members/{member_id}/tags        owner marketing support
GET    /v1/admin/coupons                         owner marketing support finance store
POST   /v1/admin/coupons                         owner marketing
PUT    /v1/admin/coupons/{template_id}           owner marketing
POST   /v1/admin/coupons/{template_id}/on        owner marketing
POST   /v1/admin/coupons/{template_id}/off       owner marketing
POST   /v1/admin/coupons/{template_id}/stock     owner marketing
POST   /v1/admin/coupons/verify                  owner store
GET    /v1/admin/members/{member_id}/coupons     owner marketing support
GET    /v1/admin/members/{member_id}/coupons.csv  owner marketing support
POST   /v1/admin/members/{member_id}/coupons/{coupon_id}/void  owner marketing support
POST   /v1/admin/coupons/{template_id}/grants    owner marketing
GET    /v1/admin/coupons/{template_id}/grants/{batch}  owner marketing support finance store
POST   /v1/admin/coupons/{template_id}/codes     owner marketing
GET    /v1/admin/coupons/{template_id}/codes/{batch}  owner marketing
GET    /v1/admin/coupons/{template_id}/codes/{batch}/print  owner marketing
GET    /v1/admin/coupons/{template_id}/codes/{batch}/print.csv  owner marketing
POST   /v1/admin/coupons/{template_id}/codes/{batch}/on   owner marketing
POST   /v1/admin/coupons/{template_id}/codes/{batch}/off  owner marketing
GET    /v1/admin/packs                           owner marketing support finance store
GET    /v1/admin/packs.csv  owner marketing support finance store
POST   /v1/admin/packs                           owner marketing
POST   /v1/admin/packs/{plan_id}/on              owner marketing
POST   /v1/admin/packs/{plan_id}/off             owner marketing
GET    /v1/admin/invites                         owner marketing support finance store
GET    /v1/admin/invites.csv  owner marketing support finance store
POST   /v1/admin/invites                         owner marketing
POST   /v1/admin/invites/{plan_id}/off           owner marketing
GET    /v1/me/notifications                      member
POST   /v1/me/notifications/seen                 member
GET    /v1/me/notification-settings              member
PUT    /v1/me/notification-settings              member
GET    /v1/subscriptions/ask                     member
POST   /v1/me/subscriptions                      member
POST   /v1/groups/{group_id}/activity            member
GET    /v1/admin/programs/{program_id}/templates  owner marketing support finance store
PUT    /v1/admin/programs/{program_id}/templates  owner marketing
"""
DOORS = {
    f"{method} {path}": ANYBODY if who == ["anybody"] else tuple(who)
    for method, path, *who in (line.split() for line in MAY_PASS.splitlines() if line)
}

_PROGRAM: Body = {
    "appid": APPID,
    "secret_name": "demo",
    "name": "Tea shop",
    "kind": "functional",
    "landing_page": "pages/home/home",
}
_CAMPAIGN: Body = {
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
_COUPON: Body = {
    "title": "Ten off",
    "kind": "amount_off",
    "value_fen": 1000,
    "threshold_fen": 0,
    "claim": {"starts_at": 1_700_000_000, "ends_at": 9_000_000_000},
    "validity": {"kind": "days", "days": 30},
}
_PLAN: Body = {
    "title": "A pack",
    "after": "campaign",
    "pieces": 2,
    "starts_at": 1_700_000_000,
    "ends_at": 9_000_000_000,
}
_BASKET: Body = {"lines": [{"product_id": "tea", "price_fen": 9900}]}
_CHECKIN: Body = {
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
_SHARE: Body = {"target": {"kind": "product", "id": "tea"}, "channel": "moments", "placement": "footer"}
_EXCHANGE: Body = {"title": "A card", "starts_at": 1_700_000_000, "ends_at": 9_000_000_000}
_BOUGHT: Body = {**_EXCHANGE, "points": 10, "goods": "makeup_card", "what": {"count": 1}, "stock": 20}
_BADGE: Body = {"title": "Host", "fact": "binding.made", "threshold": 3}
_FROZEN: Body = {
    "member": {"external_id": "carol-1"},
    "mall_order_id": "M-7",
    "points": 100,
    "goods_fen": 10_000,
}
_REWARD: Body = {
    "title": "Bring a friend",
    "on": "member.registered",
    "to": "both",
    "give": [{"kind": "points", "amount": 10}],
}
_TERMS: Body = {
    "methods": [
        {"method": "phone", "gateway": "sandbox", "account": False},
        {"method": "bank", "gateway": "manual"},
        {"method": "mall", "gateway": "mall", "account": False},
    ],
}
_ACCOUNT: Body = {"name": "王小明", "number": "6222020200112230", "bank": "ICBC"}
_PAYEE: Body = {"real_name": "王小明", "id_number": "11010519491231002X"}
_WITHDRAWAL: Body = {"amount_fen": 500, "method": "phone"}
_MESSAGE: Body = {"kind": "refund_done", "template_id": "tpl", "keywords": {"thing1": "about"}}
SAMPLES: dict[str, Body] = {
    "POST /v1/me/notifications/seen": {"before": 1},
    "PUT /v1/me/notification-settings": {"off": ["refund_done"]},
    "POST /v1/me/subscriptions": {"tap_id": "tap-00001", "results": {"tpl": "accept"}},
    "PUT /v1/admin/programs/{program_id}/templates": {"items": [_MESSAGE]},
    "POST /v1/me/withdrawals/quote": _WITHDRAWAL,
    "POST /v1/me/withdrawals": _WITHDRAWAL,
    "PUT /v1/me/payee": _PAYEE,
    "POST /v1/mall/withdrawals/{withdrawal_id}/outcome": {"id": "e-2", "type": "withdrawal.paid"},
    "POST /v1/admin/withdrawals/settings": {**_TERMS, "open_at_once": 2},
    "POST /v1/admin/withdrawals/statements/export": {"month": "2026-01"},
    "POST /v1/admin/withdrawals/{withdrawal_id}/reject": {"reason": "no such account"},
    "POST /v1/admin/withdrawals/{withdrawal_id}/paid": {"reference": "ICBC-1"},
    "POST /v1/admin/withdrawals/{withdrawal_id}/failed": {"reason": "bounced"},
    "POST /v1/points/exchanges": {"exchange_id": "{exchange_id}"},
    "POST /v1/mall/points/freeze": {**_FROZEN, "mall_order_id": "M-8"},
    "POST /v1/mall/points/spend": {"mall_order_id": "M-7"},
    "POST /v1/mall/points/release": {"mall_order_id": "M-7"},
    "PUT /v1/admin/points/settings": {"lasts_months": 12},
    "POST /v1/admin/points/exchanges": _BOUGHT,
    "PUT /v1/admin/points/exchanges/{exchange_id}": _EXCHANGE,
    "POST /v1/admin/points/exchanges/{exchange_id}/stock": {"units": 5},
    "PUT /v1/admin/levels": {"levels": [{"name": "Leaf", "growth": 0}]},
    "POST /v1/admin/badges": {**_BADGE, "badge_id": "extra"},
    "PUT /v1/admin/badges/{badge_id}": _BADGE,
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
    "POST /v1/links": _SHARE,
    "POST /v1/links/batch": {"links": [_SHARE]},
    "POST /v1/mall/sessions": {"program_id": "demo", "external_id": "m-1"},
    "POST /v1/admin/programs": {**_PROGRAM, "program_id": "extra"},
    "PUT /v1/admin/programs/{program_id}": _PROGRAM,
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
    "POST /v1/admin/groupbuys": _CAMPAIGN,
    "PUT /v1/admin/groupbuys/{campaign_id}": {**_CAMPAIGN, "title": "Tea for you"},
    "POST /v1/admin/groupbuys/{campaign_id}/copy": {"starts_at": 1_800_000_000, "ends_at": 9_000_000_000},
    "POST /v1/admin/groupbuys/{campaign_id}/close": {"reason": "it is over"},
    "POST /v1/admin/groupbuys/{campaign_id}/stock": {"sku_id": "tin", "units": 5},
    "POST /v1/admin/orders/{order_id}/refund": {"reason": "a complaint"},
    "POST /v1/checkins/{campaign_id}": {"text": "ran 5 km"},
    "POST /v1/checkins/{campaign_id}/makeups": {"date": YESTERDAY},
    "PUT /v1/checkins/{campaign_id}/reminder": {"at_minute": 1200},
    "POST /v1/checkins/{campaign_id}/teams": {"title": "Early birds"},
    "POST /v1/admin/checkins": _CHECKIN,
    "PUT /v1/admin/checkins/{campaign_id}": {**_CHECKIN, "title": "Each day"},
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
    "POST /v1/admin/rewards": _REWARD,
    "PUT /v1/admin/rewards/{reward_id}": {**_REWARD, "title": "Bring two"},
    "POST /v1/admin/rewards/{reward_id}/dryrun": {"days": 3},
    "PUT /v1/admin/members/{member_id}/tags": {"tags": ["vip"]},
    "POST /v1/coupons/claims": {"template_ids": ["{template_id}"]},
    "POST /v1/coupons/quote": _BASKET,
    "POST /v1/mall/coupons/quote": {"member": {"external_id": "carol-1"}, **_BASKET},
    "POST /v1/mall/coupons/lock": {
        "member": {"external_id": "carol-1"},
        "mall_order_id": "M-9",
        "coupon_ids": ["{spare_coupon_id}"],
        **_BASKET,
    },
    "POST /v1/mall/coupons/redeem": {"mall_order_id": "M-5"},
    "POST /v1/mall/coupons/release": {"mall_order_id": "M-6"},
    "POST /v1/mall/coupons/return": {"mall_order_id": "M-7"},
    "POST /v1/admin/coupons": {**_COUPON, "stock": 20},
    "PUT /v1/admin/coupons/{template_id}": _COUPON,
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
    "POST /v1/admin/packs": {**_PLAN, "template_id": "{template_id}"},
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


# --- asking -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.content)

    @property
    def code(self) -> str | None:
        """The code of the error, if it is one."""
        return str(self.json["error"]["code"]) if self.status >= 400 else None


@dataclass(frozen=True, kw_only=True)
class World:
    """A served application with a little in it, and everybody who may come to its doors."""

    port: int
    alice: str
    bob: str
    carol: str
    code: str
    bearers: Mapping[str, str]
    names: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request on a connection of its own; header names with dashes for underscores."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        try:
            connection.request(method, path, body=body, headers=given)
            answer = connection.getresponse()
            return Answer(status=answer.status, headers=answer.headers, content=answer.read())
        finally:
            connection.close()

    def call(self, route: str, caller: str, body: Any = ..., *, path: str = "", **headers: str) -> Answer:
        """A route's sample call, or one with another body or path, by this caller."""
        method, template = route.split()
        query = QUERIES.get(route, "")
        target = path or PATHS.get(route, template).format(**self.names) + (f"?{query}" if query else "")
        content = encoded(SAMPLES.get(route) if body is ... else body)
        if content is not None:
            if b"{shop_code}" in content and "shop_code" not in self.names:
                # It changes each minute, and these tests take several.
                shown_now = using.shop_code(self.carol, self.names["shown_coupon_id"], now=clock.now())
                self.names["shop_code"] = shown_now[0]
            for name, value in self.names.items():
                content = content.replace(f"{{{name}}}".encode(), value.encode())
        shown = {**self.headers(caller, content or b""), **SHOWN.get(route, {})}
        return self.send(method, target, content, **{**shown, **headers})

    def headers(self, caller: str, body: bytes) -> dict[str, str]:
        """How this caller shows who they are."""
        shown = {"content_type": "application/json"}
        if caller in self.bearers:
            shown["authorization"] = f"Bearer {self.bearers[caller]}"
        if caller in ("mall", "badly"):
            shown |= signed(body if caller == "mall" else body + b" ")
        return shown

    def books(self) -> dict[tuple[str, ...], Any]:
        """Every row of both tables, save what is noted of calls whatever becomes of them.

        Read where the embedded store keeps them: this is done a thousand times, and a scan takes 20 ms.
        """
        found = [
            (table.name, {name: attribute.value for name, attribute in item.attrs.items()})
            for table in stored()
            for rows in table.items.values()
            for item in rows.values()
        ]
        return {
            (name, row["pk"], row["sk"]): row
            for name, row in found
            if row["kind"] not in ("webhook_call", "member_calls")
        }

    def raw(self, request: bytes) -> bytes:
        """All that is answered to bytes on the wire until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as wire:
            wire.sendall(request)
            return b"".join(iter(lambda: wire.recv(65536), b""))


def encoded(body: Any) -> bytes | None:
    """A body as it goes over the wire; bytes as they are."""
    if body is None or isinstance(body, bytes):
        return body
    return json.dumps(body, ensure_ascii=False).encode()


def signed(
    body: bytes, *, webhook_id: str = "", at: int | None = None, secret: str = MALL_SECRET
) -> dict[str, str]:
    """Headers of a call of the mall."""
    webhook_id, at = webhook_id or uuid.uuid4().hex, clock.now() if at is None else at
    mac = hmac.new(secret.encode(), f"{webhook_id}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook_id": webhook_id,
        "webhook_timestamp": str(at),
        "webhook_signature": f"v1,{base64.b64encode(mac).decode()}",
    }


# --- the world ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weixin() -> Iterator[wechat.Simulator]:
    """A WeChat."""
    simulator = wechat.start(wechat.DEMO_PROGRAMS)
    yield simulator
    simulator.stop()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where the application is served."""
    with served() as there:
        yield there


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The world as every test finds it, and how to have it back without planting it anew."""

    world: World
    books: dict[tuple[str, ...], Any]
    items: dict[str, Any]

    def restore(self) -> None:
        """Forget what was changed since."""
        if self.world.books() != self.books:
            embedded.empty()
            for table in stored():
                table.items.update(copy.deepcopy(self.items[table.name]))


def stored() -> list[Any]:
    """Both tables, where the embedded store keeps them."""
    return [
        table for by in dynamodb_backends.values() for one in by.values() for table in one.tables.values()
    ]


def settle_in(weixin: wechat.Simulator) -> None:
    """The application looks at the embedded store and at this WeChat, and remembers nothing."""
    config.reset()
    gateways = {"payment_gateway": "sandbox", "payout_gateways": "sandbox manual mall"}
    config.override(dynamodb_endpoint="", wechat_url=weixin.url, **gateways)
    cache.clear_all()


@pytest.fixture(scope="module")
def beginning(embedded_store: Store, port: int, weixin: wechat.Simulator) -> Iterator[Beginning]:
    """What is planted once; the client, too, is made once for all of these tests."""
    table.reset()
    settle_in(weixin)
    embedded.empty()
    world = planted(port)
    items = {table.name: copy.deepcopy(table.items) for table in stored()}
    yield Beginning(world=world, books=world.books(), items=items)
    config.reset()
    table.reset()


@pytest.fixture
def world(beginning: Beginning, weixin: wechat.Simulator, monkeypatch: pytest.MonkeyPatch) -> World:
    """Four members, one of them blocked, every kind of operator, and something of everything to ask for."""
    monkeypatch.setenv("SECRET_WECHAT_DEMO", WECHAT_SECRET)
    weixin.fault = None
    settle_in(weixin)
    beginning.restore()
    beginning.world.names.pop("shop_code", None)
    return beginning.world


BILL_DAY = "2026-01-01"


def billing(*, now: int) -> None:
    """A day of which WeChat Pay's bill has a payment that we do not."""
    counts: dict[str, Any] = {"payments": 1, "refunds": 0, "others": 0, "differences": 1}
    bill = Bill(*Bill.key(BILL_DAY), state="differs", looks=1, compared_at=now, **counts)
    found: dict[str, Any] = {
        "day": BILL_DAY,
        "what": "unknown_here",
        "number": "4200",
        "order_id": "ord_none",
        "theirs_fen": 100,
    }
    difference = Difference(*Difference.key(BILL_DAY, "unknown_here", "4200"), seen_at=now, **found)
    for row in (bill, difference):
        table.apply(table.create(row))


def planted(port: int) -> World:
    """A world like every other."""
    now = clock.now()
    owner = keys(now)
    members.add_program(AddProgram(**{**_PROGRAM, "program_id": "demo"}), by=owner, now=now)
    alice, bob, carol, dora = (person(name, now=now) for name in ("alice", "bob", "carol", "dora"))
    members.edit(member_id=alice.member_id, nickname="阿丽")
    members.block(member_id=bob.member_id, reason="spam", by=owner, now=now)
    code = things(alice, owner, now=now)
    names = {
        "code": code,
        "member_id": carol.member_id,
        "program_id": "demo",
        "product_id": "tea",
        "card_id": "product.~.~",
        "reward_id": rewards.make(
            msgspec.convert(_REWARD, RewardTerms), state="off", making=rewards.Making(by=owner, now=now)
        ).rule_id,
        "stuck_id": stuck(now=now),
        "upload_id": begun(alice.member_id, now=now).upload_id,
        "seen_id": sent(alice.member_id, now=now),
        **group_buying(alice, carol, dora, owner, now=now),
        **bringing(alice, carol, dora, now=now),
        **couponing(alice, carol, owner, now=now),
        **points_for(alice, carol, owner, now=now),
        **coming_back(alice, carol, owner, now=now),
        **distributing(alice, carol, dora, owner, now=now),
        **withdrawing(alice, carol, owner, now=now),
    }
    proving(alice.member_id, now=now)
    billing(now=now)
    message_templates.replace("demo", [msgspec.convert(_MESSAGE, MessageTemplate)], by=owner, now=now)
    return World(
        port=port,
        alice=alice.member_id,
        bob=bob.member_id,
        carol=carol.member_id,
        code=code,
        bearers=bearers(alice, bob, now=now),
        names=names,
    )


def bearers(alice: members.Member, bob: members.Member, *, now: int) -> dict[str, str]:
    """What those carry who carry a token or a key."""
    return {
        **{role: f"key-of-{role}" for role in (*ROLES, "off")},
        "member": members.token_for(alice, program_id="demo", visitor="a-visitor", now=now)[0],
        "blocked": members.token_for(bob, program_id="demo", visitor="a-visitor", now=now)[0],
        "expired": members.token_for(alice, program_id="demo", visitor="a-visitor", now=now - 8 * clock.DAY)[
            0
        ],
        "visit": session.sign({"sub": alice.member_id, "prg": "demo"}, purpose="visit", now=now, for_s=60),
        "forged": forged(alice.member_id, now=now),
    }


def keys(now: int) -> Operator:
    """A key for every role, and one that is off; the owner."""
    made = {role: operators.add(name=role, role=role, secret=f"key-of-{role}", now=now) for role in ROLES}
    operators.add(name="off", role="owner", secret="key-of-off", now=now)
    operators.switch_off(secret="key-of-off")
    return made["owner"]


def person(name: str, *, now: int) -> members.Member:
    """Whom WeChat and the mall know under this name."""
    openid = wechat.openid(appid=APPID, name=name)
    proofs = [
        member_rules.openid_proof(program_id="demo", openid=openid),
        member_rules.unionid_proof(wechat.unionid(name=name)),
        member_rules.external_proof(f"{name}-1"),
    ]
    return members.find_or_register(proofs=proofs, program_id="demo", now=now)[0]


def forged(member_id: str, *, now: int) -> str:
    """A session as somebody without our key would sign it, under the id of our key."""
    header, content, _ = session.sign(
        {"sub": member_id, "prg": "demo"}, purpose="session", now=now, for_s=999
    ).split(".")
    mac = hmac.new(b"another key, also of 32 characters", f"{header}.{content}".encode(), hashlib.sha256)
    return f"{header}.{content}.{base64.urlsafe_b64encode(mac.digest()).decode().rstrip('=')}"


def things(alice: members.Member, owner: Operator, *, now: int) -> str:
    """A target, a card, and Alice's link; its code."""
    sharing.save_target(EditTarget(kind="product", id="tea", title="Jasmine tea 茉莉花茶"), by=owner, now=now)
    sharing.save_card(EditCard(target_kind="product", title="{title}"), by=owner, now=now)
    wanted = MintLink(target=TargetRef(kind="product", id="tea"), channel="wechat")
    return sharing.mint(sharer_id=alice.member_id, wanted=wanted, now=now)[0].code


def group_buying(
    alice: members.Member, carol: members.Member, dora: members.Member, owner: Operator, *, now: int
) -> dict[str, str]:
    """A group that Carol has paid for, a seat in it that Alice has not, and an order of the mall's for Dora."""
    making = campaigns.Making(by=owner, now=now, idempotency_key=None)
    campaign_id = campaigns.make(msgspec.convert(_CAMPAIGN, EditCampaign), making).campaign_id
    opened = groupbuys.open_group(campaign_id=campaign_id, buying=one_tin(carol), size=None, now=now)
    paid = Paid(payment_id="pay_0", amount_fen=opened.order.amount_fen)
    orders.pay(opened.order.order_id, paid, now=now)
    joined = groupbuys.join(group_id=opened.group.group_id, buying=one_tin(alice), now=now)
    for count in reporting.count_joined(joined.order, now):
        table.apply(count)
    groupbuys.open_group(campaign_id=campaign_id, buying=one_tin(dora, "M-1"), size=None, now=now)
    return {
        "campaign_id": campaign_id,
        "group_id": opened.group.group_id,
        "order_id": joined.order.order_id,
        "paid_order_id": opened.order.order_id,
        "payment_id": "pay_1",
        "mall_order_id": "M-1",
    }


def bringing(
    alice: members.Member, carol: members.Member, dora: members.Member, *, now: int
) -> dict[str, str]:
    """Dora is Alice's customer, and so is her order; and Carol has an invite code."""
    wanted = MintLink(target=TargetRef(kind="product", id="tea"), channel="wechat")
    link = sharing.mint(sharer_id=alice.member_id, wanted=wanted, now=now)[0]
    attribution.bind(dora.member_id, visit=visits.uncounted(link=link, visitor="dora", now=now), now=now)
    order_id = orders.id_for_mall("M-1")
    attributions.of_order(orders.show(order_id), now=now)
    return {"invite_code": invite_codes.code_of(carol.member_id, now=now), "brought_order_id": order_id}


def couponing(alice: members.Member, carol: members.Member, owner: Operator, *, now: int) -> dict[str, str]:
    """A template, a coupon of Alice's, and Carol's: one to void, one to show, and some in orders of the mall."""
    making = templates.Making(by=owner, now=now)
    given = {**_COUPON, "per_member": 9, "stock": 20, "giftable": True}
    template_id = templates.make(msgspec.convert(given, MakeTemplate), making).template_id
    both = [
        plans.make(msgspec.convert({**_PLAN, "after": after, "template_id": template_id}, EditPlan), making)
        for after in ("campaign", "order")
    ]
    batch = codes.make(
        template_id,
        MakeCodes(batch="spring", count=1, ends_at=9_000_000_000),
        making,
    )
    grants.begin(template_id, GrantPart(batch="spring", member_ids=["mbr_1"]), making)
    invite = {"title": "x", "every": 2, "sharer_template_id": template_id, "starts_at": 1, "ends_at": 2}

    def claimed(member: members.Member, claim_key: str) -> str:
        claim = coupons.claim(template_id=template_id, member_id=member.member_id, key=claim_key, now=now)
        return claim.coupon.coupon_id

    basket = rules.Basket(lines=(rules.Line(product_id="tea", price_fen=9900),))
    for order in ("M-5", "M-6", "M-7"):
        held = (claimed(carol, order),)
        using.lock(
            using.Locking(
                order_ref=order, member_id=carol.member_id, coupon_ids=held, basket=basket, lock_s=1800
            ),
            now=now,
        )
    using.redeem("M-7", now=now)
    shown = claimed(carol, "shown")
    gift = gifts.give(carol.member_id, claimed(carol, "gift"), now=now)[0]
    pack = packs.open_pack(both[0].plan_id, carol.member_id, order_id=None, now=now).pack
    return {
        "gift_code": gift.code,
        "batch": "spring",
        "redeem_code": codes.letters(template_id, batch, now=now)[0],
        "plan_id": both[0].plan_id,
        "order_plan_id": both[1].plan_id,
        "pack_id": pack.pack_id,
        "invite_id": invites.make(msgspec.convert(invite, EditInvite), making).plan_id,
        "template_id": template_id,
        "coupon_id": claimed(alice, "a"),
        "carols_coupon_id": claimed(carol, "c"),
        "spare_coupon_id": claimed(carol, "spare"),
        "shown_coupon_id": shown,
    }


def points_for(alice: members.Member, carol: members.Member, owner: Operator, *, now: int) -> dict[str, str]:
    """Points of Alice's that can be spent, points of Carol's frozen for an order, and a badge."""
    for member in (alice, carol):
        table.transact(points.earned(member.member_id, points=500, cause="gift", reason="gift", now=now))
    checkout.freeze(msgspec.convert(_FROZEN, FreezePoints), member_id=carol.member_id, now=now)
    badges.add(msgspec.convert({**_BADGE, "badge_id": "host"}, AddBadge), by=owner, now=now)
    given = msgspec.convert(_BOUGHT, AddExchange)
    made = exchanges.add(given, by=owner, idempotency_key=None, now=now)
    return {"exchange_id": made.exchange_id, "badge_id": "host", "ref": "carol-1"}


def coming_back(alice: members.Member, carol: members.Member, owner: Operator, *, now: int) -> dict[str, str]:
    """A challenge in which Carol has a team, and a group chat that Alice came from."""
    making = checkins.Making(by=owner, now=now, idempotency_key=None)
    challenge = checkins.make(msgspec.convert(_CHECKIN, EditCheckin), making)
    team, _ = teams.found(challenge, carol.member_id, title="Larks", now=now)
    note = Note(
        *Note.key(challenge.campaign_id, carol.member_id, "2026-01-01"), state="visible", created_at=now
    )
    table.apply(table.create(note))
    chat = ChatMember(*ChatMember.key("cgr_1", alice.member_id), seen_at=now)
    table.apply(table.create(chat))
    named = {"checkin_id": challenge.campaign_id, "team_id": team.team_id, "date": "2026-01-01"}
    return {**named, "chat_group_id": "cgr_1"}


def distributing(
    alice: members.Member, carol: members.Member, dora: members.Member, owner: Operator, *, now: int
) -> dict[str, str]:
    """Alice earns by Dora's orders, one of which is held; Carol has applied, and somebody is suspended."""
    said = DistributionTerms(auto_approval=False)
    distribution.make(said, by=owner, now=now - 60)
    scope = Scope(level="level1")
    rate_id = rates.say(scope, basis="bps", value=500, by=owner, now=now - 60)[0].rate_id
    erin = person("erin", now=now)
    for one in (alice, erin):
        promoters.assign(one.member_id, by=owner, now=now - 60)
    promoters.move(erin.member_id, step="suspend", reason="spam", by=owner, now=now)
    promoters.apply(carol.member_id, version=1, now=now)
    attribution.move(dora.member_id, promoter_id=alice.member_id, reason="asked", by=owner, now=now - 60)
    pending, held = (_earning(dora, number, now=now) for number in ("D-1", "D-2"))
    commissions.hold(held, reason="a look", by=owner, now=now)
    runs.note("waits", commissions.show(pending), why="aftersale", now=now)
    return {
        "alice_id": alice.member_id,
        "dora_id": dora.member_id,
        "suspended_id": erin.member_id,
        "rate_id": rate_id,
        "commission_id": pending,
        "held_id": held,
        "day": runs.day_of(now),
    }


def _earning(buyer: members.Member, number: str, *, now: int) -> str:
    """The commission of an order of the mall that is paid."""
    lines = [{"line_id": "1", "product_id": "tea", "quantity": 1, "paid_fen": 9900}]
    told = ordinary.Told(
        mall_order_id=number,
        member_id=buyer.member_id,
        link=None,
        created_at=now,
        amount_fen=9900,
        lines=lines,
    )
    order = ordinary.made(told, now=now)
    orders.pay(order.order_id, Paid(payment_id=number, amount_fen=9900), now=now)
    commissions.follow(orders.show(order.order_id), cause="order.paid", now=now)
    return commissions.id_of(order.order_id, "L1")


def withdrawing(alice: members.Member, carol: members.Member, owner: Operator, *, now: int) -> dict[str, str]:
    """One withdrawal of Alice's to look at; of Carol's one to pay by hand, one in the sandbox, one in the mall."""
    for member in (alice, carol):
        money: dict[str, Any] = {"owner": member.member_id, "book": "money", "reason": "commission"}
        table.transact(ledger.posted(amount=90_000, cause="settle", now=now, **money))
    withdrawal_terms.make(
        msgspec.convert({**_TERMS, "open_at_once": 9}, EditWithdrawalTerms), by=owner, now=now
    )
    payees.tell(msgspec.convert(_PAYEE, TellPayee), member_id=alice.member_id, nonce=b"p" * 12, now=now)
    made = {
        "approved_id": _applied(carol, {"amount_fen": 700, "method": "bank", "account": _ACCOUNT}, now=now),
        "awaiting_id": _applied(carol, {"amount_fen": 800, "method": "phone"}, now=now),
        "waiting_id": _applied(alice, {"amount_fen": 300, "method": "phone"}, now=now),
        "asked_id": _applied(carol, {"amount_fen": 900, "method": "mall"}, now=now),
        "paid_id": _applied(carol, {"amount_fen": 600, "method": "bank", "account": _ACCOUNT}, now=now),
    }
    for withdrawal_id in made.values():
        withdrawals.approve(withdrawal_id, by=owner, now=now)
    asked, *waiting = (withdrawals.show(made[name]) for name in ("asked_id", "awaiting_id", "waiting_id"))
    sending.begin(asked, now=now)
    withdrawals.paid_by_hand(made["paid_id"], reference="ICBC-0", tax_fen=None, by=owner, now=now)
    for row in waiting:
        sending.pay_out(due.Entry(**{name: getattr(row, name) for name in due.Entry.__annotations__}), now)
    made["withdrawal_id"] = _applied(alice, _WITHDRAWAL, now=now)
    withdrawal_terms.make(msgspec.convert(_TERMS, EditWithdrawalTerms), by=owner, now=now)
    return made


def _applied(member: members.Member, body: Body, *, now: int) -> str:
    who = Applying(member_id=member.member_id, now=now, idempotency_key=json.dumps(body), nonce=b"n" * 12)
    return withdrawal_applying.apply(msgspec.convert(body, Withdraw), who)[0].withdrawal_id


def proving(member_id: str, *, now: int) -> None:
    """The books of a day, and an account that was bent."""
    bent = Account.balance.add(1)
    table.apply(table.update(Account, Account.key(member_id, "points"), bent, refuse=KeyError))
    reconciling.plan(now=now - clock.DAY)
    due.run(job=reconciling.JOB, worker="night", now=now, seconds=30)
    straight = Account.balance.add(-1)
    table.apply(table.update(Account, Account.key(member_id, "points"), straight, refuse=KeyError))


def one_tin(member: members.Member, mall_order_id: str | None = None) -> groupbuys.Buying:
    """What somebody wants."""
    return groupbuys.Buying(member_id=member.member_id, sku_id="tin", quantity=1, mall_order_id=mall_order_id)


def stuck(*, now: int) -> str:
    """A delivery that failed ten times; the id to retry it by."""
    row = Delivery("dlv_1", "META", state="due", to="mall", type="t", body="{}", created_at=now, attempts=10)
    row.due_shard, row.due_at, row.due_ref = "stuck#deliver", now, ""
    table.apply(table.create(row))
    return operators_stuck.listed(limit=1)[0][0].id


# --- who may pass -------------------------------------------------------------------------------------------


def ours() -> list[edge.Route]:
    """Every route but those that only WeChat Pay calls."""
    return [route for route in edge.routes if route.door.kind != "wechat"]


def test_the_table_of_doors_has_a_line_for_every_route() -> None:
    assert sorted(DOORS) == sorted(f"{route.method} {route.path}" for route in ours())


def test_there_is_a_sample_for_every_route_with_a_body() -> None:
    assert sorted(f"{route.method} {route.path}" for route in ours() if "body" in route.hints) == WITH_BODY


def expected(caller: str, door: str) -> tuple[int, str]:
    """How a caller is refused who may not pass."""
    if door == "mall":
        return 401, "signature_invalid"
    if door in ("public", "member") and caller == "blocked":
        return 403, "member_blocked"
    if door == "operator" and caller in ROLES:
        return 403, "forbidden"
    return 401, "unauthorized"


BEHIND_THE_DOOR = {
    "POST /v1/me/deletion": "deletion_obstructed",
    "POST /v1/me/chat-groups": "wechat_session_stale",
    "POST /v1/me/private-messages": "wechat_session_stale",
    "POST /v1/admin/orders/{order_id}/shipment": "order_not_shippable",
}
"""What whoever passes is told of these: alice has an order and money, no key of WeChat's, and paid nothing so."""


@pytest.mark.parametrize("route", DOORS)
def test_only_those_pass_who_may(route: str, world: World) -> None:
    door = next(one.door.kind for one in edge.routes if f"{one.method} {one.path}" == route)
    before = world.books()

    refusals = {caller: world.call(route, caller) for caller in CALLERS if caller not in DOORS[route]}
    told = {caller: (answer.status, answer.code) for caller, answer in refusals.items()}
    assert told == {caller: expected(caller, door) for caller in refusals}
    assert world.books() == before

    passed = {caller: world.call(route, caller) for caller in DOORS[route]}
    first = passed[DOORS[route][0]]
    assert first.status in (200, 201) or first.code == BEHIND_THE_DOOR.get(route)
    at_the_door = {"unauthorized", "forbidden", "member_blocked", "signature_invalid"}
    assert not {answer.code for answer in passed.values()} & at_the_door
    assert all(answer.status < 500 for answer in passed.values())


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Token {token}",
        "{token}",
        "Bearer {token} extra",
        "Bearer Bearer {token}",
        "Bearer é",
        "Bearer null",
        "Bearer undefined",
    ],
)
def test_a_header_that_is_no_bearer_token_is_nobodys(shown: str, world: World) -> None:
    for route, caller in (("GET /v1/me", "member"), ("GET /v1/admin/me", "owner")):
        given = shown.format(token=world.bearers[caller]).encode("latin-1").decode("latin-1")
        assert_refused(world.call(route, "stranger", authorization=given), 401, "unauthorized")


def test_the_scheme_is_read_in_any_case(world: World) -> None:
    given = f"bEaReR  {world.bearers['member']}"

    assert world.call("GET /v1/me", "stranger", authorization=given).json["member_id"] == world.alice


def test_a_session_ends_for_whom_the_shop_blocks(world: World) -> None:
    by = Operator(key_id="opk_1", name="owner", role="owner")
    assert world.call("GET /v1/me", "member").status == 200

    members.block(member_id=world.alice, reason="spam", by=by, now=clock.now())

    assert_refused(world.call("GET /v1/me", "member"), 403, "member_blocked")


# --- the envelope -------------------------------------------------------------------------------------------


def assert_refused(answer: Answer, status: int, *codes: str) -> dict[str, Any]:
    """It is our envelope, complete, with one of these codes; answers its details."""
    told = answer.json
    assert (answer.status, set(told), set(told["error"])) == (
        status,
        {"error"},
        {"code", "message", "details", "request_id"},
    ), told
    error = told["error"]
    assert error["code"] in codes, error
    kind = next(kind for kind in docs.errors() if kind.code == error["code"])
    assert kind.status == status
    assert error["message"] in (kind.en, kind.zh)
    assert error["request_id"] and error["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["retry-after"] == (str(kind.retry_after_s) if kind.retry_after_s else None)
    assert isinstance(error["details"], dict)
    return dict(error["details"])


WRONG: list[tuple[str, str, str, int, str]] = [
    ("GET /v1/me", "stranger", "", 401, "unauthorized"),
    ("GET /v1/me", "blocked", "", 403, "member_blocked"),
    ("GET /v1/admin/programs", "expired", "", 401, "unauthorized"),
    ("POST /v1/admin/programs", "store", "", 403, "forbidden"),
    ("POST /v1/mall/sessions", "badly", "", 401, "signature_invalid"),
    ("GET /v1/links/{code}/qr", "stranger", "/v1/links/2222222222/qr", 404, "not_found"),
    ("GET /v1/me", "member", "/v1/nowhere", 404, "not_found"),
    ("GET /v1/me", "member", "/v1/me/nothing", 404, "not_found"),
    ("GET /v1/me", "member", "/", 404, "not_found"),
    ("GET /v1/links/{code}/qr", "stranger", "/v1/links/{code}/qr?format=gif", 422, "invalid"),
    ("GET /v1/admin/audit", "owner", "/v1/admin/audit?after=forged", 400, "cursor_invalid"),
    ("POST /v1/admin/programs", "owner", "/v1/admin/me", 405, "method_not_allowed"),
]


LANGUAGES = {
    "zh-CN,zh;q=0.9,en;q=0.8": "zh",
    "ZH": "zh",
    "zh-Hant-TW": "zh",
    "en-US": "en",
    "fr": "en",
    "": "en",
}


@pytest.mark.parametrize(("route", "caller", "path", "status", "code"), WRONG)
def test_a_refusal_speaks_the_language_that_was_asked_for(
    route: str, caller: str, path: str, status: int, code: str, world: World
) -> None:
    kind = next(kind for kind in docs.errors() if kind.code == code)

    for accepted, lang in LANGUAGES.items():
        answer = world.call(route, caller, path=path.replace("{code}", world.code), accept_language=accepted)
        assert_refused(answer, status, code)
        assert answer.json["error"]["message"] == getattr(kind, lang)


def test_letters_of_any_language_are_sent_as_they_are(world: World) -> None:
    told = world.call("GET /v1/me", "member")
    refused = world.call("GET /v1/me", "stranger", accept_language="zh")

    assert "阿丽".encode() in told.content and "请先登录。".encode() in refused.content
    assert b"\\u" not in told.content + refused.content


@pytest.mark.parametrize("method", ["PATCH", "POST", "DELETE", "TRACE", "CONNECT", "PROPFIND"])
def test_another_method_is_told_which_are_there(method: str, world: World) -> None:
    before = world.books()

    answer = world.send(method, "/v1/me", b"{}", **world.headers("member", b"{}"))

    assert_refused(answer, 405, "method_not_allowed")
    if method in ("PATCH", "POST", "DELETE"):
        assert set(answer.headers["allow"].split(", ")) == {"GET", "PUT"}
    assert world.books() == before


@pytest.mark.parametrize(("path", "status"), [("/v1/me", 405), ("/v1/nowhere", 404), ("/s/{code}", 405)])
def test_a_head_has_no_body_that_the_next_answer_would_begin_with(
    path: str, status: int, world: World
) -> None:
    head = f"HEAD {path.format(code=world.code)} HTTP/1.1\r\nHost: x\r\n\r\n".encode()

    answer = world.raw(head + b"GET /v1/programs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    first, second, body = answer.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % status) and second.startswith(b"HTTP/1.1 200 ")
    assert json.loads(body)["items"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "x", ""])
def test_a_body_is_json(content_type: str, world: World) -> None:
    before = world.books()

    for route in WITH_BODY:
        answer = world.call(route, DOORS[route][0], content_type=content_type)
        assert_refused(answer, 415, "unsupported_media_type")
    assert world.books() == before


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", None])
def test_json_may_call_itself_so_in_several_ways(content_type: str | None, world: World) -> None:
    shown = {"content_type": content_type} if content_type else {}

    answer = world.send("POST", "/v1/sessions", encoded(SAMPLES["POST /v1/sessions"]), **shown)

    assert answer.status == 201


def test_a_preflight_is_answered_for_every_path(world: World) -> None:
    for route in DOORS:
        method, template = route.split()
        answer = world.send("OPTIONS", template.format(**world.names))
        assert answer.status == 200
        assert method in answer.headers["access-control-allow-methods"]
        assert {"Authorization", "Content-Type"} <= set(
            answer.headers["access-control-allow-headers"].split(",")
        )


def test_an_answer_with_a_time_has_the_time_of_now(world: World) -> None:
    for route in (one for one in DOORS if one.startswith("GET") and "{stuck" not in one):
        answer = world.call(route, DOORS[route][0])
        if answer.headers["content-type"].startswith("application/json") and "openapi" not in route:
            assert abs(answer.json["now"] - clock.now()) <= 5, route


def test_an_answer_is_never_kept_by_a_cache_unless_it_says_so(world: World) -> None:
    assert world.call("GET /v1/me", "member").headers["cache-control"] == "no-store"
    assert world.call("GET /s/{code}", "stranger").headers["cache-control"] == "public, max-age=60"


# --- wrong bodies -------------------------------------------------------------------------------------------

DOCUMENT = contract.document()
VALUES: dict[str, Any] = {
    "null": None,
    "boolean": True,
    "integer": 7,
    "number": 1.5,
    "string": "x",
    "array": [],
    "object": {},
}


def schema_of(route: str) -> dict[str, Any]:
    """The schema of a route's body."""
    method, path = route.split()
    content = DOCUMENT["paths"][path][method.lower()]["requestBody"]["content"]
    return resolved(content["application/json"]["schema"])


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema itself in place of a reference."""
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return found


def types(schema: dict[str, Any]) -> set[str]:
    """The JSON types that a schema lets in."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return {kind for one in schema["anyOf"] for kind in types(one)}
    return {schema.get("type", "string")}  # what is chosen from a list here is a word


@pytest.mark.parametrize("route", WITH_BODY)
def test_a_field_of_the_wrong_type_is_named(route: str, world: World) -> None:
    before = world.books()

    for name, schema in schema_of(route)["properties"].items():
        for kind in VALUES.keys() - types(schema):
            answer = world.call(route, DOORS[route][0], {**SAMPLES[route], name: VALUES[kind]})
            assert assert_refused(answer, 422, "invalid")["field"] == name, kind

    assert world.books() == before


@pytest.mark.parametrize("route", WITH_BODY)
def test_a_field_that_is_missing_is_named(route: str, world: World) -> None:
    before = world.books()
    required = schema_of(route).get("required", [])

    for name in required:
        body = {key: value for key, value in SAMPLES[route].items() if key != name}
        assert assert_refused(world.call(route, DOORS[route][0], body), 422, "invalid")["field"] == name
    if required:
        assert_refused(world.call(route, DOORS[route][0], b""), 422, "invalid")

    assert world.books() == before


LENIENT = {
    "POST /v1/mall/events",
    "POST /v1/mall/reconciliations",
    *(route for route in WITH_BODY if "/admin/" not in route and "/mall/" not in route),
}


@pytest.mark.parametrize("route", sorted({*WITH_BODY} - LENIENT))
def test_a_field_that_nobody_knows_is_named(route: str, world: World) -> None:
    before = world.books()

    answer = world.call(route, DOORS[route][0], {**SAMPLES[route], "surprise": 1})

    assert assert_refused(answer, 422, "invalid")["field"] == "surprise"
    assert world.books() == before


@pytest.mark.parametrize("route", WITH_BODY)
def test_a_number_out_of_all_proportion_is_named(route: str, world: World) -> None:
    before = world.books()
    numbers = [name for name, schema in schema_of(route)["properties"].items() if "integer" in types(schema)]

    for name in numbers:
        for digits in ("9" * 30, "-" + "9" * 30, "9" * 5000, "1e400", "1.5"):
            body = encoded({**SAMPLES[route], name: "digits"}) or b""
            answer = world.call(route, DOORS[route][0], body.replace(b'"digits"', digits.encode()))
            assert assert_refused(answer, 422, "invalid")["field"] == name, digits

    assert world.books() == before


@pytest.mark.parametrize(
    ("route", "inside", "named"),
    [
        ("POST /v1/links", {"target": {"kind": "product"}}, "target.id"),
        ("POST /v1/links", {"target": {"kind": 7, "id": "tea"}}, "target.kind"),
        ("POST /v1/links", {"target": {"kind": "nothing", "id": "tea"}}, "target.kind"),
        ("POST /v1/links", {"channel": "telegram"}, "channel"),
        ("POST /v1/links", {"expires_at": 1}, "expires_at"),
        ("POST /v1/links/batch", {"links": []}, "links"),
        ("POST /v1/links/batch", {"links": [_SHARE] * 51}, "links"),
        ("POST /v1/links/batch", {"links": [_SHARE, {**_SHARE, "channel": 7}]}, "links[1].channel"),
        ("POST /v1/links/batch", {"links": [None]}, "links[0]"),
        ("PUT /v1/me", {"nickname": ""}, "nickname"),
        ("PUT /v1/me", {"nickname": "x" * 33}, "nickname"),
        ("PUT /v1/me", {"avatar": "https://a.example/a.png"}, "avatar"),
        ("PUT /v1/me", {"avatar": "upl_00000000000000000000000000"}, "avatar"),
        ("POST /v1/uploads", {"size": 45 * 1024 + 1}, "size"),
        ("POST /v1/uploads", {"content_type": "image/svg+xml"}, "content_type"),
        ("PUT /v1/uploads/{upload_id}", {"content": "no base64!"}, "content"),
        ("POST /v1/sessions", {"visit_token": "forged"}, "visit_token"),
        ("POST /v1/sessions", {"visit_token": ""}, "visit_token"),
        ("POST /v1/sessions", {"visit_token": "x" * 2001}, "visit_token"),
        ("POST /v1/sessions", {"link": "0123456789"}, "link"),
        ("POST /v1/sessions", {"program_id": "../demo"}, "program_id"),
        ("POST /v1/mall/sessions", {"visit_token": "forged"}, "visit_token"),
        ("POST /v1/mall/sessions", {"external_id": "a#b"}, "external_id"),
        ("PUT /v1/admin/cards", {"title": "{price} {secret}"}, "title"),
        ("PUT /v1/admin/cards", {"path": "pages/a?x={nickname}"}, "path"),
        ("PUT /v1/admin/cards", {"target_kind": "nothing"}, "target_kind"),
        ("PUT /v1/admin/targets", {"price_fen": -1}, "price_fen"),
        ("POST /v1/admin/policies", {"depth": 3}, "depth"),
        ("POST /v1/admin/programs", {"hand_overs": [{"program_id": "a"}]}, "hand_overs[0].path"),
    ],
)
def test_a_value_that_is_not_allowed_is_named(route: str, inside: Body, named: str, world: World) -> None:
    before = world.books()

    answer = world.call(route, DOORS[route][0], {**SAMPLES[route], **inside})

    assert assert_refused(answer, 422, "invalid")["field"] == named
    assert world.books() == before


NO_OBJECTS = {
    "an array": b"[]",
    "null": b"null",
    "a text": b'"x"',
    "a number": b"7",
    "true": b"true",
    "half an object": b"{",
    "an object and more": b"{}{}",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "Python": b"{'a': 1}",
    "a form": b"program_id=demo&code=alice",
    "XML": b"<a/>",
    "white space": b" ",
    "a NUL": b"\x00",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "not a number": b'{"wx_scene":NaN}',
    "a deep array": b"[" * 60_000,
    "a deep object": b'{"links":' * 7_000,
}


@pytest.mark.parametrize("broken", NO_OBJECTS)
def test_what_is_no_object_is_a_bad_request(broken: str, world: World) -> None:
    before = world.books()
    # A field that is missing or unknown is seen before what follows it is read.
    early = {"an object and more", "not a number", "a deep object"}

    for route in WITH_BODY:
        answer = world.call(route, DOORS[route][0], NO_OBJECTS[broken])
        if answer.status == 422 and broken in early:
            assert_refused(answer, 422, "invalid")
        elif answer.status == 401 and broken == "UTF-16":  # what the mall signs is text
            assert_refused(answer, 401, "signature_invalid")
        else:
            assert_refused(answer, 400, "bad_request")
    assert world.books() == before


NO_TEXTS = {
    "a byte of no text": b"\xff",
    "half a letter": b"\xe4\xb8",
    "an overlong NUL": b"\xc0\x80",
    "half a surrogate pair": b"\\ud83d",
    "a surrogate pair the wrong way round": b"\\udc00\\ud83d",
    "a surrogate in UTF-8": b"\xed\xa0\x80",
    "a NUL": b"\x00",
    "an escaped NUL": b"\\u0000",
    "a line feed": b"\n",
    "half an escape": b"\\u12",
    "no escape": b"\\x41",
}


@pytest.mark.parametrize("broken", NO_TEXTS)
def test_what_is_no_text_is_refused(broken: str, world: World) -> None:
    before = world.books()

    for route, key in ((one, key) for one in WITH_BODY for key in SAMPLES[one]):
        body = encoded({**SAMPLES[route], key: "broken"}) or b""
        answer = world.call(route, DOORS[route][0], body.replace(b"broken", b"ab" + NO_TEXTS[broken]))
        if DOORS[route] == ("mall",) and answer.status == 401:  # what the mall signs is text
            assert_refused(answer, 401, "signature_invalid")
        else:
            assert_refused(answer, 422 if answer.status == 422 else 400, "bad_request", "invalid")
    assert world.books() == before


@pytest.mark.parametrize("text", ["back\\\\u0000slash", "a\\u00e9b", "\\\\"])
def test_an_escape_that_is_no_nul_is_text(text: str, world: World) -> None:
    body = f'{{"nickname": "{text}"}}'.encode()

    answer = world.call("PUT /v1/me", "member", body)

    assert answer.status == 200 and answer.json["nickname"] == json.loads(body)["nickname"]


def test_a_body_has_64_kilobytes_and_no_more(world: World) -> None:
    before = world.books()
    body = b"{" + b" " * (edge.BODY_LIMIT_BYTES - 2) + b"}"

    for route in WITH_BODY:
        details = assert_refused(world.call(route, DOORS[route][0], body + b" "), 413, "too_large")
        assert details == {"limit_bytes": 65536}
    assert world.books() == before
    assert world.call("PUT /v1/me", "member", body).status == 200


def test_a_body_beyond_what_the_gateway_takes_is_refused_unread(world: World) -> None:
    head = b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nAccept-Language: zh\r\n\r\n"

    for length in (server.BODY_LIMIT_BYTES + 1, 10**12, 10**5000):
        answer = world.raw(head.replace(b"%d", f"{length:d}".encode() if length < 10**13 else b"9" * 5000))
        assert answer.startswith(b"HTTP/1.1 413 ") and "请求内容过大。".encode() in answer


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(max_size=10), inside, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_body_whatever_makes_it_fail(world: World, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from(WITH_BODY))
    known = st.sampled_from(sorted(schema_of(route)["properties"]))
    changes = data.draw(st.dictionaries(known | st.text(max_size=5), anything, max_size=3))

    answer = world.call(route, DOORS[route][0], json.dumps({**SAMPLES[route], **changes}).encode())

    assert answer.status < 500, (route, changes)


# --- wrong paths and queries --------------------------------------------------------------------------------

NO_IDS = (
    "a%2Fb",
    "%2e%2e%2f",
    "%E8%8C%B6",
    "%00",
    "%0a",
    "a%20b",
    "a+b",
    "a;b",
    "a'b",
    "a%22b",
    "<script>",
    "%7Bcode%7D",
    "{code}",
    "$(id)",
    "a@b",
    "*",
    "",
    "x" * 129,
    "A" * 4000,
)


@pytest.mark.parametrize("route", WITH_ID)
def test_what_cannot_be_an_id_does_not_exist(route: str, world: World) -> None:
    before = world.books()
    _, template = route.split()

    for wrong in NO_IDS:
        path = re.sub(r"\{\w+\}", lambda _, wrong=wrong: wrong, template)  # type: ignore[misc]
        if not path.endswith("/"):  # a path without its last part is another path
            assert_refused(world.call(route, DOORS[route][0], path=path), 404, "not_found")
    assert world.books() == before


@pytest.mark.parametrize("letters", ["茶".encode(), b"\xff", b"\x1b[31m", b"\x7f"])
def test_bytes_that_are_no_path_do_not_exist(letters: bytes, world: World) -> None:
    answer = world.raw(b"GET /v1/links/" + letters + b"/qr HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 404 ") and b'"not_found"' in answer


UNKNOWN = (NOWHERE, "x", "..", ".", "~", "-", "mbr_0", "a.b", "a.b.c", "x" * 128, "YQpiCmM")


@pytest.mark.parametrize("route", WITH_ID)
def test_an_id_of_nobody_does_not_exist(route: str, world: World) -> None:
    before = world.books()
    _, template = route.split()

    for unknown in UNKNOWN:
        answer = world.call(route, DOORS[route][0], path=re.sub(r"\{\w+\}", unknown, template))
        assert_refused(answer, 404, "not_found")
    assert world.books() == before


def test_an_id_of_nothing_stuck_does_not_exist(world: World) -> None:
    empty = base64.urlsafe_b64encode(b"deliver\n\n").decode()

    answer = world.call(
        "POST /v1/admin/stuck/{stuck_id}/retry", "owner", path=f"/v1/admin/stuck/{empty}/retry"
    )

    assert_refused(answer, 404, "not_found")


MINE_ALONE = [
    "POST /v1/uploads/{upload_id}/done",
    "PUT /v1/uploads/{upload_id}",
    "DELETE /v1/links/{code}",
    "DELETE /v1/me/coupons/{coupon_id}/gifts",
    "GET /v1/attributions/{order_id}",
    "GET /v1/commissions/{commission_id}/explanation",
    "GET /v1/links/{code}/funnel",
    "GET /v1/me/coupons/{coupon_id}/code",
    "GET /v1/me/invitees/{member_id}",
    "GET /v1/me/withdrawals/{withdrawal_id}",
    "GET /v1/orders/{order_id}",
    "POST /v1/me/coupons/{coupon_id}/gifts",
    "POST /v1/me/withdrawals/{withdrawal_id}/cancel",
    "POST /v1/orders/{order_id}/cancel",
    "POST /v1/orders/{order_id}/payments",
    "POST /v1/orders/{order_id}/payments/check",
]


@pytest.mark.parametrize("route", MINE_ALONE)
def test_somebody_elses_id_answers_as_if_it_did_not_exist(route: str, world: World) -> None:
    before = world.books()
    carol = members.token_for(
        members.show(world.carol), program_id="demo", visitor="a-visitor", now=clock.now()
    )[0]
    shown = {"authorization": f"Bearer {carol}"}

    theirs = world.call(route, "stranger", **shown)
    nowhere = re.sub(r"\{\w+\}", NOWHERE, route.split()[1])
    nobodys = world.call(route, "stranger", path=nowhere, **shown)

    assert assert_refused(theirs, 404, "not_found") == assert_refused(nobodys, 404, "not_found")
    assert theirs.json["error"]["message"] == nobodys.json["error"]["message"]
    assert world.books() == before


@pytest.mark.parametrize(
    ("path", "named"),
    [
        *[
            (f"/v1/admin/audit?limit={n}", "limit")
            for n in ("0", "-1", "101", "x", "1e9", "9" * 5000, "", "%00")
        ],
        ("/v1/admin/audit?month=2026", "month"),
        ("/v1/admin/audit?month=2026-1", "month"),
        ("/v1/admin/targets", "kind"),
        ("/v1/admin/targets?kind=A", "kind"),
        ("/v1/admin/targets?kind=%E8%8C%B6", "kind"),
        ("/v1/admin/targets?kind=a%00", "kind"),
        ("/v1/admin/members", "member"),
        ("/v1/admin/members?openid=o1", "member"),
        ("/v1/admin/members?external_id=a%23b", "external_id"),
        (f"/v1/admin/audit?after={'x' * 2001}", "after"),
    ],
)
def test_a_query_that_is_not_allowed_is_named(path: str, named: str, world: World) -> None:
    answer = world.call("GET /v1/admin/audit", "owner", path=path)

    assert assert_refused(answer, 422, "invalid")["field"] == named


@pytest.mark.parametrize("days", ["0", "91", "-7", "week", "", "7.5"])
def test_a_funnel_has_one_to_ninety_days(days: str, world: World) -> None:
    answer = world.call(
        "GET /v1/links/{code}/funnel", "member", path=f"/v1/links/{world.code}/funnel?days={days}"
    )

    assert assert_refused(answer, 422, "invalid")["field"] == "days"


def test_of_a_query_the_last_value_counts_and_what_nobody_knows_does_not(world: World) -> None:
    answer = world.call("GET /v1/admin/audit", "owner", path="/v1/admin/audit?limit=5&colour=red&limit=1")

    assert len(answer.json["items"]) == 1


@pytest.mark.parametrize("accept", [None, "text/html", "application/json"])
def test_a_picture_is_only_sent_to_whom_asks_for_one(accept: str | None, world: World) -> None:
    shown = {"accept": accept} if accept else {}

    answer = world.call(
        "GET /v1/links/{code}/qr", "stranger", path=f"/v1/links/{world.code}/qr?format=png", **shown
    )

    assert "image/png" in assert_refused(answer, 400, "bad_request")["reason"]


# --- cursors ------------------------------------------------------------------------------------------------


def test_whoever_calls_too_often_is_told_when_to_come_again(world: World) -> None:
    answers = [world.call("POST /v1/me/binding", "member", {"invite_code": "ABCDEFGH"}) for _ in range(25)]

    refused = [answer for answer in answers if answer.status == 429]
    assert refused and refused[0].code == "too_many_calls"
    assert refused[0].headers["Retry-After"] == "60"
    assert {answer.code for answer in answers} == {"invite_code_unknown", "too_many_calls"}


def test_a_list_goes_on_from_its_cursor(world: World) -> None:
    seen, after = [], ""
    for _ in range(20):
        answer = world.call("GET /v1/admin/audit", "owner", path=f"/v1/admin/audit?limit=2{after}").json
        seen += [one["id"] for one in answer["items"]]
        if answer["next"] is None:
            break
        after = f"&after={answer['next']}"

    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len([row for row in world.books().values() if row["kind"] == "audit"]) >= 4


@pytest.mark.parametrize(
    "path",
    [
        "/v1/admin/audit?after={next}x",
        "/v1/admin/audit?after={short}",
        "/v1/admin/audit?after=forged",
        "/v1/admin/audit?after=%00",
        "/v1/admin/audit?after=%E8%8C%B6",
        "/v1/admin/audit?month=2020-01&after={next}",
        "/v1/admin/targets?kind=product&after={next}",
    ],
)
def test_a_cursor_of_another_list_or_none_is_refused(path: str, world: World) -> None:
    cursor = world.call("GET /v1/admin/audit", "owner", path="/v1/admin/audit?limit=1").json["next"]

    answer = world.call("GET /v1/admin/audit", "owner", path=path.format(next=cursor, short=cursor[:-4]))

    assert_refused(answer, 400, "cursor_invalid")


LISTS = sorted(route.removesuffix(".csv") for route in DOORS if route.endswith(".csv"))


def in_pages(route: str) -> bool:
    """Whether a list takes a cursor."""
    method, path = route.split()
    operation = DOCUMENT["paths"][path][method.lower()]
    return any(one["name"] == "after" for one in operation.get("parameters", ()))


WHOLE = [route for route in LISTS if not in_pages(route)]
"""Lists that come in one page, and take no cursor."""


@pytest.mark.parametrize("route", [route for route in LISTS if route not in WHOLE])
def test_a_list_takes_no_cursor_that_it_did_not_give(route: str, world: World) -> None:
    path = route.split()[1].format(**world.names)
    asked = {"orders": "member_id", "withdrawals": "member_id", "commissions": "promoter_id"}
    query = "?" + "".join(f"{name}={world.carol}&" for word, name in asked.items() if word in path)
    query += "kind=product&" if path.endswith("/targets") else ""
    query += f"day={BILL_DAY}&" if path.endswith("/differences") else ""

    for name in (path, f"{path}.csv"):
        answer = world.call(route, "owner", path=f"{name}{query}after=forged")
        assert_refused(answer, 400, "cursor_invalid")


# --- lists as CSV -------------------------------------------------------------------------------------------


def lines(answer: Answer) -> list[list[str]]:
    """What a spreadsheet makes of it."""
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize("route", LISTS)
def test_a_list_as_csv_has_the_lines_of_the_list(route: str, world: World) -> None:
    path = route.split()[1].format(**world.names)
    about = f"&member_id={world.carol}" if path.endswith(("/orders", "/withdrawals")) else ""
    about = f"&promoter_id={world.alice}" if path.endswith("/commissions") else about
    about = "&kind=product" if path.endswith("/targets") else about
    about = f"&day={BILL_DAY}" if path.endswith("/differences") else about
    query = f"?limit=100{about}" if route not in WHOLE else ""

    items = world.call(route, "owner", path=f"{path}{query}").json["items"]
    answer = world.call(f"{route}.csv", "owner", path=f"{path}.csv{query}")

    columns, *found = lines(answer)
    assert (columns, len(found)) == (list(items[0]), len(items)) and items
    name = path.rsplit("/", 1)[1]
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}.csv"'
    assert (answer.headers["cache-control"], answer.headers["x-next"]) == ("no-store", None)


def test_a_csv_goes_on_from_the_cursor_in_its_header_as_the_list_does(world: World) -> None:
    whole = lines(world.call("GET /v1/admin/audit.csv", "owner", path="/v1/admin/audit.csv?limit=100"))
    first = world.call("GET /v1/admin/audit.csv", "owner", path="/v1/admin/audit.csv?limit=2")

    after = first.headers["x-next"]
    rest = world.call("GET /v1/admin/audit.csv", "owner", path=f"/v1/admin/audit.csv?limit=99&after={after}")

    assert lines(first) + lines(rest)[1:] == whole
    in_json = world.call("GET /v1/admin/audit", "owner", path=f"/v1/admin/audit?limit=99&after={after}").json
    assert [row[0] for row in lines(rest)[1:]] == [item["id"] for item in in_json["items"]]


def test_what_a_member_calls_themselves_is_no_formula_in_a_csv(world: World) -> None:
    formula = '=HYPERLINK("http://x")'
    owner = Operator(key_id="opk_x", name=formula, role="owner")
    members.unblock(member_id=world.bob, reason="-1+1", by=owner, now=clock.now())

    names = [
        row[2] for row in lines(world.call("GET /v1/admin/audit.csv", "owner", path="/v1/admin/audit.csv"))
    ]

    assert f"'{formula}" in names and formula not in names


# --- what is stuck ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["settle", "cancel"])
def test_a_decision_whose_reply_was_lost_answers_the_same_again(action: str, world: World) -> None:
    route = f"POST /v1/admin/stuck/{{stuck_id}}/{action}"
    (before,) = world.call("GET /v1/admin/stuck", "support").json["items"]
    assert (before["id"], before["actions"]) == (world.names["stuck_id"], ["retry", "settle", "cancel"])

    first, again = world.call(route, "support"), world.call(route, "finance")

    assert (first.status, again.status) == (200, 200)
    kept = [{name: answer.json[name] for name in ("id", "action", "how")} for answer in (first, again)]
    assert kept[0] == kept[1] and kept[0]["how"] == {"settle": "told", "cancel": None}[action]
    assert world.call("GET /v1/admin/stuck", "support").json["items"] == []
    other = {"settle": "cancel", "cancel": "settle"}[action]
    assert_refused(world.call(f"POST /v1/admin/stuck/{{stuck_id}}/{other}", "support"), 404, "not_found")


def test_a_decision_is_refused_in_this_order(world: World) -> None:
    route = "POST /v1/admin/stuck/{stuck_id}/settle"
    orders.pay(world.names["order_id"], Paid(payment_id="pay_5", amount_fen=5), now=clock.now())
    wrong, _ = world.call("GET /v1/admin/stuck", "owner").json["items"]
    path = f"/v1/admin/stuck/{wrong['id']}"

    assert_refused(world.call(route, "store", {"reason": "x"}, path=f"{path}/settle"), 403, "forbidden")
    assert_refused(world.call(route, "owner", {"reason": ""}, path=f"{path}/settle"), 422, "invalid")
    nothing = world.call(route, "owner", {"reason": "x"}, path="/v1/admin/stuck/nothing/settle")
    assert_refused(nothing, 404, "not_found")
    refused = world.call(
        "POST /v1/admin/stuck/{stuck_id}/cancel", "owner", {"reason": "x"}, path=f"{path}/cancel"
    )
    assert assert_refused(refused, 409, "action_not_applicable") == {"actions": ["settle"]}
    unsaid = world.call(route, "owner", {"reason": "x"}, path=f"{path}/settle")
    assert assert_refused(unsaid, 422, "invalid")["known"] == ["accepted", "refund", "returned"]

    done = world.call(route, "owner", {"reason": "x", "how": "accepted"}, path=f"{path}/settle")

    assert (done.status, done.json["how"]) == (200, "accepted")
    assert orders.show(world.names["order_id"]).state == "paid"


def test_a_trail_can_be_read_over_the_turn_of_a_month(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    after = world.call("GET /v1/admin/audit", "owner", path="/v1/admin/audit?limit=1").json["next"]
    later, query = clock.now() + 32 * clock.DAY, table.query

    def as_aws_does(kind: type[table.Row], pk: str, **given: Any) -> table.Page:
        assert not given["after"] or given["after"]["pk"]["S"] == pk, "outside query boundaries"
        return query(kind, pk, **given)

    monkeypatch.setattr(clock, "now", lambda: later)
    monkeypatch.setattr(table, "query", as_aws_does)
    answer = world.call("GET /v1/admin/audit", "owner", path=f"/v1/admin/audit?after={after}")

    assert answer.status in (200, 400)


def test_a_cursor_does_not_tell_what_it_hides_from_a_change(world: World) -> None:
    theirs = cursors.seal({"pk": {"S": "AUDIT#2020-01"}, "sk": {"S": "aud_"}}, where="audit#2020-01", now=0)

    answer = world.call("GET /v1/admin/audit", "owner", path=f"/v1/admin/audit?after={theirs}")

    assert_refused(answer, 400, "cursor_invalid")


# --- the mall's signatures ----------------------------------------------------------------------------------


def vouch(
    world: World, headers: Mapping[str, str], body: Body | None = None, path: str = "/v1/mall/sessions"
) -> Answer:
    """A call of the mall with these headers."""
    content = encoded(body or SAMPLES[MALL])
    return world.send("POST", path, content, **{"content_type": "application/json", **headers})


def test_the_same_call_again_succeeds_again(world: World) -> None:
    headers = signed(encoded(SAMPLES[MALL]) or b"")

    first, again = vouch(world, headers), vouch(world, headers)

    assert (first.status, again.status) == (201, 200)
    assert first.json["member"]["member_id"] == again.json["member"]["member_id"]


@pytest.mark.parametrize("late_s", [-301, 302, 86400, -(10**9)])
def test_a_signature_is_good_for_five_minutes(late_s: int, world: World) -> None:
    before = world.books()

    answer = vouch(world, signed(encoded(SAMPLES[MALL]) or b"", at=clock.now() - late_s))

    assert_refused(answer, 401, "signature_invalid")
    assert world.books() == before


def test_an_id_that_served_one_call_serves_no_other(world: World) -> None:
    other = {**SAMPLES[MALL], "external_id": "m-2"}
    vouch(world, signed(encoded(SAMPLES[MALL]) or b"", webhook_id="once"))
    before = world.books()

    replayed = vouch(world, signed(encoded(other) or b"", webhook_id="once"), other)
    moved = vouch(
        world, signed(encoded(SAMPLES[MALL]) or b"", webhook_id="once"), path="/v1/mall/sessions?a=1"
    )

    assert_refused(replayed, 401, "signature_invalid")
    assert_refused(moved, 401, "signature_invalid")
    assert world.books() == before


def test_a_signature_is_of_its_body_and_its_secret(world: World) -> None:
    before = world.books()
    content = encoded(SAMPLES[MALL]) or b""

    assert_refused(vouch(world, signed(b"{}")), 401, "signature_invalid")
    assert_refused(vouch(world, signed(content, secret="another")), 401, "signature_invalid")
    for name in ("webhook_id", "webhook_timestamp", "webhook_signature"):
        part = {key: text for key, text in signed(content).items() if key != name}
        assert_refused(vouch(world, part), 401, "signature_invalid")
    assert world.books() == before


def test_a_timestamp_of_any_length_is_refused_as_such(world: World) -> None:
    headers = {**signed(encoded(SAMPLES[MALL]) or b""), "webhook_timestamp": "9" * 5000}

    assert_refused(vouch(world, headers), 401, "signature_invalid")


# --- what is not our caller's fault -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("error:-1", 503, "wechat_unavailable"),
        ("error:45011", 429, "login_too_often"),
        ("error:40226", 403, "login_refused"),
        ("error:40125", 500, "wechat_misconfigured"),
        ("error:40029", 401, "login_code_invalid"),
        ("??", 401, "login_code_invalid"),
    ],
)
def test_what_wechat_refuses_is_told_in_our_words(code: str, status: int, error: str, world: World) -> None:
    before = world.books()

    answer = world.call("POST /v1/sessions", "stranger", {"program_id": "demo", "code": code})

    assert_refused(answer, status, error)
    assert world.books() == before


@pytest.mark.parametrize("fault", ["busy", "lost"])
def test_a_wechat_that_does_not_answer_is_waited_for(
    fault: wechat.Fault, world: World, weixin: wechat.Simulator
) -> None:
    weixin.fault = fault

    answer = world.call("POST /v1/sessions", "stranger")

    assert_refused(answer, 503, "wechat_unavailable")
    assert answer.headers["retry-after"] == "2"


def test_a_store_out_of_reach_is_busy_and_says_when_to_come_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any, **__: Any) -> Any:
        raise Busy

    monkeypatch.setattr(table, "_patiently", unreachable)

    for route in ("GET /v1/me", "PUT /v1/me", "POST /v1/links"):
        answer = world.call(route, "member", accept_language="zh")
        assert_refused(answer, 503, "busy")
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["access-control-expose-headers"] == "Retry-After,X-Request-Id,X-Next"


class Unspeakable:
    """What no JSON can say."""


@pytest.mark.parametrize("broken", [RuntimeError("the key is s3cret"), Unspeakable(), KeyError("s3cret")])
def test_a_failure_of_ours_tells_nothing(broken: Any, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        if isinstance(broken, Exception):
            raise broken
        return broken

    monkeypatch.setattr("chalicelib.members.answers.me", fail)

    answer = world.call("GET /v1/me", "member")

    assert assert_refused(answer, 500, "internal_error") == {}
    assert b"s3cret" not in answer.content and b"Traceback" not in answer.content


def test_a_failure_is_in_the_log_with_the_id_that_the_caller_was_told(
    world: World, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    monkeypatch.setattr("chalicelib.members.answers.me", lambda *_: 1 / 0)

    told = world.call("GET /v1/me", "member").json["error"]["request_id"]

    line = next(line for line in log.getvalue().splitlines() if told in line)
    assert json.loads(line)["exception_name"] == "ZeroDivisionError"
    assert json.loads(line)["route"] == "GET /v1/me"


# --- what is said in the log --------------------------------------------------------------------------------


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """All that our logger says, at its most talkative."""
    said = io.StringIO()
    logger = logging.getLogger("liebian")
    monkeypatch.setattr(logger, "level", logging.DEBUG)
    monkeypatch.setattr(logger, "_cache", {})
    for handler in logger.handlers:
        monkeypatch.setattr(handler, "stream", said)
    return said


def test_no_secret_token_or_name_is_ever_in_the_log(
    world: World, log: io.StringIO, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "once:alice:a-login-code"
    signed_in = world.call("POST /v1/sessions", "stranger", {"program_id": "demo", "code": code}).json
    visit = world.call("POST /v1/links/{code}/visits", "stranger").json["visit_token"]
    for route, callers in ((route, who) for route, who in DOORS.items() if not route.startswith("DELETE")):
        for caller in ("forged", "blocked", "off", "badly", callers[0]):
            world.call(route, caller)
    for wrong in (
        {"code": code},
        {"code": "error:40125"},
        {"visit_token": visit},
        {"visit_token": visit[:-9]},
    ):
        world.call("POST /v1/sessions", "stranger", {"program_id": "demo", "code": "alice", **wrong})
    monkeypatch.setattr(members, "find_or_register", lambda **_: 1 / 0)
    failed = world.call("POST /v1/sessions", "stranger", {"program_id": "demo", "code": "erin"})
    assert (failed.status, world.call(MALL, "mall").status) == (500, 500)

    said = log.getvalue() + "".join(capsys.readouterr())
    assert len(log.getvalue().splitlines()) > 100
    assert "ZeroDivisionError" in said and "POST   /v1/sessions" in said
    secrets = [signed_in["token"], visit, code, WECHAT_SECRET, MALL_SECRET, "11" * 32, "5e" * 32]
    names = [of(name) for name in ("alice", "erin", "dave") for of in (person_openid, person_unionid)]
    never = [*secrets, *world.bearers.values(), *names, "阿丽", "m-1", "v1,"]
    assert [secret for secret in never if secret in said] == []


def person_openid(name: str) -> str:
    """Whom WeChat knows in the program."""
    return wechat.openid(appid=APPID, name=name)


def person_unionid(name: str) -> str:
    """Whom WeChat knows in all programs."""
    return wechat.unionid(name=name)


# --- the wire -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"NONSENSE", 400),
        (b"GET", 400),
        (b"GET /v1/programs HTTP/9.9", 400),
        (b"GET /v1/programs HTTP/x", 400),
        (b"GET /%s HTTP/1.1" % (b"a" * 70_000), 400),
        (b"BREW /v1/programs HTTP/1.1", 405),
        (b"GET //[ HTTP/1.1", 404),
        (b"GET /v1/programs/../me HTTP/1.1", 404),
    ],
)
def test_a_request_line_of_no_kind_is_refused_and_answered(
    request_line: bytes, status: int, world: World
) -> None:
    answer = world.raw(request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")

    body = answer.rsplit(b"\r\n\r\n", 1)[-1]
    assert set(json.loads(body)["error"]) == {"code", "message", "details", "request_id"}
    # Of the oldest HTTP, without a version, an answer is a body only.
    assert answer.startswith(b"HTTP/1.1 %d " % status) or answer == body


@pytest.mark.parametrize("length", [b"-1", b"+5", b"x", b"", b"\xb2", b"1, 2", b"0x10"])
def test_a_length_that_is_none_is_refused(length: bytes, world: World) -> None:
    before = world.books()

    answer = world.raw(b"POST /v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Length: " + length + b"\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ") and b'"bad_request"' in answer
    assert world.books() == before


def test_no_request_hides_in_the_body_of_another(world: World) -> None:
    before = world.books()
    hidden = b"DELETE /v1/links/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % (
        world.code.encode(),
        world.bearers["member"].encode(),
    )
    head = b"PUT /v1/me HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

    for framing in (b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\nContent-Length: 0\r\n"):
        answer = world.raw(head + framing + b"\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden))
        assert answer.count(b"HTTP/1.1 ") == 1 and answer.startswith(b"HTTP/1.1 400 ")
    assert world.books() == before


def test_an_unknown_path_is_not_found_whatever_is_shown(world: World) -> None:
    for shown in ("Bearer é", "Bearer x", "AWS4-HMAC-SHA256 Credential=x"):
        given = shown.encode("latin-1").decode("latin-1")
        assert_refused(world.send("GET", "/v1/nowhere", authorization=given), 404, "not_found")


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({}, "http://127.0.0.1:{port}"),
        ({"host": "shop.example"}, "http://shop.example"),
        ({"host": "shop.example:8443", "x_forwarded_proto": "https"}, "https://shop.example:8443"),
        ({"host": "[::1]:8000"}, "http://[::1]:8000"),
        ({"host": "a b"}, "http://localhost"),
        ({"host": '"><script>'}, "http://localhost"),
        ({"host": "x" * 5000}, "http://localhost"),
        ({"host": "shop.example", "x_forwarded_proto": "javascript"}, "https://shop.example"),
    ],
)
@pytest.mark.parametrize("slash", ["", "/"])
def test_links_lead_back_to_where_they_were_asked_for(
    headers: dict[str, str], base: str, slash: str, world: World
) -> None:
    config.override(base_url="")

    minted = world.call("POST /v1/links", "member", path=f"/v1/links{slash}", **headers)
    page = world.call("GET /s/{code}", "stranger", **headers)

    assert minted.json["url"] == f"{base.format(port=world.port)}/s/{minted.json['code']}"
    assert page.status == 200 and b'<script>"' not in page.content


def test_many_at_once_are_each_answered_for_themselves(world: World) -> None:
    names = [f"guest-{n}" for n in range(24)]
    answers: dict[str, str] = {}

    def sign_in(name: str) -> None:
        token = world.call("POST /v1/sessions", "stranger", {"program_id": "demo", "code": name}).json[
            "token"
        ]
        shown = {"authorization": f"Bearer {token}"}
        world.call("PUT /v1/me", "stranger", {"nickname": name}, **shown)
        answers[name] = world.call("GET /v1/me", "stranger", **shown).json["nickname"]

    threads = [threading.Thread(target=sign_in, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == {name: name for name in names}


def test_the_stuck_delivery_of_these_tests_is_stuck(world: World) -> None:
    assert [row.pk for row in due.stuck("deliver", limit=9).rows] == ["dlv_1"]
