"""Mini-program codes, and the links with which other apps, text messages and pages open a mini-program.

Pages of developers.weixin.qq.com/miniprogram/dev/server/API/qrcode-link: qr-code/api_getunlimitedqrcode,
url-link/api_generateurllink, url-scheme/api_generatescheme, short-link/api_generateshortlink. All of them are for
programs of companies; short links, besides, for shops only (43104). A code is good for ever and leads to one page;
what it is about stands in its scene: 32 characters at most, of digits, letters and !#$&'()*+,/:;=?@-._~. A link
lives 30 days at most, and since 2023-12-19 any number of people may open it. More than 100 links a second are
refused (44990, of api-backend/open-api/url-scheme/urlscheme.generate).
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from chalicelib.core import config
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Conflict
from chalicelib.wechat import client
from chalicelib.wechat.client import App

Kind = Literal["url_link", "scheme", "short_link"]
LIVES_DAYS = 30
TITLE_HOLDS = 20
_NO_PAGE = (40066, 40165, 41030, 85079)
_PATHS: dict[Kind, str] = {
    "url_link": "/wxa/generate_urllink",
    "scheme": "/wxa/generatescheme",
    "short_link": "/wxa/genwxashortlink",
}
_NAMES: dict[Kind, str] = {"url_link": "url_link", "scheme": "openlink", "short_link": "link"}


class PageNotPublished(Conflict):
    """WeChat knows no such page in the published version of the program (41030, 40165), or none was published."""

    code = "page_not_published"
    en = "This page of the mini-program is not published yet."
    zh = "小程序页面尚未发布。"
    advice = "Show the plain QR code instead; publish the page, or correct the program's landing_page."


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Where in a program something leads: its path without a leading slash, and the query behind it."""

    path: str
    query: str = ""


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """A link that opens the program, good until then."""

    url: str
    until: int


def unlimited(app: App, *, scene: str, page: Page, width: int, now: int) -> bytes:
    """The picture of a code, a JPEG or PNG as WeChat likes, that opens the page with this scene; 280 to 1280 px.

    Raises:
        PageNotPublished. As `client.call`.
    """
    env = config.settings().wechat_env
    body = {
        "scene": scene,
        "page": page.path,
        "check_path": env == "release",
        "env_version": env,
        "width": width,
    }
    try:
        return client.picture(app, "/wxa/getwxacodeunlimit", body=body, budget="code", now=now)
    except client.WeChatRefused as refused:
        raise _told(refused, page) from refused


def opening(app: App, kind: Kind, *, page: Page, title: str, now: int) -> Opening:
    """A link of 30 days to the page; ``title`` is what WeChat shows of a short link.

    To ask twice only makes another link of the same, so it is asked again where no answer came.

    Raises:
        PageNotPublished. As `client.call`.
    """
    budget = "short_link" if kind == "short_link" else "link"
    body = _body(kind, page=page, title=title)
    try:
        told = client.call(app, "POST", _PATHS[kind], body=body, budget=budget, safe=True, now=now)
    except client.WeChatRefused as refused:
        raise _told(refused, page) from refused
    return Opening(url=str(told[_NAMES[kind]]), until=now + LIVES_DAYS * DAY)


def _body(kind: Kind, *, page: Page, title: str) -> Mapping[str, Any]:
    if kind == "short_link":
        url = f"{page.path}?{page.query}" if page.query else page.path
        return {"page_url": url, "page_title": title[:TITLE_HOLDS], "is_permanent": False}
    to = {"path": page.path, "query": page.query, "env_version": config.settings().wechat_env}
    lasting = {"expire_type": 1, "expire_interval": LIVES_DAYS}
    return {**to, **lasting} if kind == "url_link" else {"jump_wxa": to, **lasting}


def _told(refused: client.WeChatRefused, page: Page) -> Exception:
    if refused.errcode in _NO_PAGE:
        return PageNotPublished(page=page.path, errcode=refused.errcode)
    return refused
