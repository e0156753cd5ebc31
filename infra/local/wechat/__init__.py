"""A WeChat to run against: a real HTTP server that answers as api.weixin.qq.com is documented to.

As there, success and refusal are both HTTP 200 with JSON in the body, sent as text/plain; a success has no
``errcode`` or 0; a refusal's ``errmsg`` ends in a request id that differs each time, so that only the code can be
relied upon. Each part is a module that says where what it does is documented.
"""

from infra.local.wechat import (
    bills,
    login,
    merchant,
    messages,
    notices,
    page,
    pay,
    phones,
    pushes,
    refunds,
    safety,
    shipping,
    tokens,
    transfers,
)
from infra.local.wechat.frame import MESSAGES, Fault, Platform
from infra.local.wechat.people import DEMO_PROGRAMS, openid, session_key, unionid
from infra.local.wechat.server import Simulator, start

__all__ = [
    "DEMO_PROGRAMS",
    "Fault",
    "MESSAGES",
    "Platform",
    "Simulator",
    "bills",
    "login",
    "merchant",
    "messages",
    "notices",
    "openid",
    "page",
    "pay",
    "phones",
    "pushes",
    "refunds",
    "safety",
    "session_key",
    "shipping",
    "start",
    "tokens",
    "transfers",
    "unionid",
]
