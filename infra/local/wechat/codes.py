"""Codes and links of a program (developers.weixin.qq.com/miniprogram/dev/server/API/qrcode-link).

    POST /wxa/getwxacodeunlimit   qr-code/api_getunlimitedqrcode: a picture, or JSON with HTTP 200. 40129 "invalid
                                  scene" for its letters, 40169 for its length, 41030 "invalid page" for a page that
                                  is not published while check_path stands, or begins with a slash
                                  (segmentfault.com/a/1190000022760108), 45009 beyond 5,000 a minute
    POST /wxa/generate_urllink    url-link/api_generateurllink, and
    POST /wxa/generatescheme      url-scheme/api_generatescheme: 40165 for the path, which has no query, 40212 for
                                  the query (1,024 of its 85401 for an end beyond 30 days, 44993 beyond
                                  500,000 a day of both together
    POST /wxa/genwxashortlink     short-link/api_generateshortlink: 40066 for a page that is not published, 40225
                                  for a title of nothing, 45009 beyond 10,000,000 a day

Not known, and chosen here: that a width beyond 280 to 1280 is 40097, that 85401 says "30days", and which fault is
told first. Every page passes for published that has no "unpublished" in it, which is a convenience;
`Codes.unpublished` names more. The picture is a square QR code of what a phone would be told, and not the round one
that only WeChat draws, as wide as was asked or a little less.
"""

import io
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.local.wechat.frame import MESSAGES, Answer, Platform, Request, endpoint, refusal

MESSAGES |= {
    40129: "invalid scene",
    40165: "invalid weapp pagepath",
    40169: "invalid length for scene, or the data is not json string",
    40212: "invalid query",
    40225: "invalid page title",
    41030: "invalid page",
    85401: "time limit between 1min and 30days",
}
CODES_A_MINUTE = 5_000
LINKS_A_DAY = 500_000
SHORT_LINKS_A_DAY = 10_000_000
_SCENE = re.compile(r"[0-9A-Za-z!#$&'()*+,/:;=?@\-._~]+")
_QUERY = re.compile(r"[0-9A-Za-z!#$&'()*+,/:;=?@\-._~%]{0,1024}")
_PATH = re.compile(r"/?[^?/][^?]*")


@dataclass
class Codes:
    """What was made, and what of the programs is not published."""

    unpublished: set[str] = field(default_factory=set)
    made: list[dict[str, Any]] = field(default_factory=list)
    counted: dict[tuple[str, str, int], int] = field(default_factory=dict)

    def spend(self, appid: str, name: str, *, window_s: int, limit: int) -> bool:
        """Whether one more is allowed now; Beijing's midnight begins a day."""
        window = int(time.time() + 8 * 3600) // window_s
        key = (appid, name, window)
        self.counted[key] = self.counted.get(key, 0) + 1
        return self.counted[key] <= limit

    def has(self, page: str) -> bool:
        """Whether the page is in the published version."""
        return bool(page) and "unpublished" not in page and page.strip("/") not in self.unpublished


@endpoint("POST", "/wxa/getwxacodeunlimit", token=True)
def draw_code(platform: Platform, request: Request) -> Answer:
    """A picture that leads to the page with the scene."""
    body = request.json
    scene, page, width = body.get("scene"), body.get("page", "pages/index/index"), body.get("width", 430)
    with platform.lock:
        codes = platform.of(Codes)
        if not codes.spend(request.appid, "code", window_s=60, limit=CODES_A_MINUTE):
            return refusal(45009)
        wrong = _wrong_code(codes, body, scene=scene, page=page, width=width)
        if wrong:
            return refusal(wrong)
        codes.made.append({"what": "code", "scene": scene, "page": page, "width": width})
    platform.tell("code", appid=request.appid, scene=scene, page=page, width=width)
    told = json.dumps({"appid": request.appid, "page": page, "scene": scene})
    return Answer(body=picture(told, width=width), content_type="image/png")


def _wrong_code(codes: Codes, body: Mapping[str, Any], *, scene: Any, page: Any, width: Any) -> int:
    unseen = body.get("check_path", True) and not codes.has(str(page))
    judged = {
        40169: not isinstance(scene, str) or not 1 <= len(scene) <= 32,
        40129: isinstance(scene, str) and not _SCENE.fullmatch(scene),
        41030: not isinstance(page, str) or page.startswith("/") or "?" in page or bool(unseen),
        40097: not isinstance(width, int) or not 280 <= width <= 1280 or not _known_env(body),
    }
    return next((errcode for errcode, holds in judged.items() if holds), 0)


def _known_env(body: Mapping[str, Any]) -> bool:
    return body.get("env_version", "release") in ("release", "trial", "develop")


def picture(text: str, *, width: int) -> bytes:
    """A QR code of the text as a PNG."""
    import png
    import qrcode

    code = qrcode.QRCode(border=2)
    code.add_data(text)
    code.make(fit=True)
    matrix = code.get_matrix()
    scale = max(1, width // len(matrix))
    rows = [[0 if dark else 1 for dark in row for _ in range(scale)] for row in matrix for _ in range(scale)]
    out = io.BytesIO()
    png.Writer(len(rows[0]), len(rows), greyscale=True, bitdepth=1).write(out, rows)
    return out.getvalue()


@endpoint("POST", "/wxa/generate_urllink", token=True)
def make_url_link(platform: Platform, request: Request) -> Answer | Mapping[str, Any]:
    """An https address that opens the program."""
    wrong = _link(platform, request, to=request.json, what="url_link")
    return wrong or {"errcode": 0, "errmsg": "ok", "url_link": f"https://wxaurl.cn/{_letters(11)}"}


@endpoint("POST", "/wxa/generatescheme", token=True)
def make_scheme(platform: Platform, request: Request) -> Answer | Mapping[str, Any]:
    """An address of WeChat's own scheme that opens the program."""
    wrong = _link(platform, request, to=request.json.get("jump_wxa") or {}, what="scheme")
    return wrong or {"errcode": 0, "errmsg": "ok", "openlink": f"weixin://dl/business/?t={_letters(11)}"}


def _link(platform: Platform, request: Request, *, to: Mapping[str, Any], what: str) -> Answer | None:
    body, path, query = request.json, str(to.get("path", "")), str(to.get("query", ""))
    with platform.lock:
        codes = platform.of(Codes)
        judged = {
            47001: not body,
            40165: bool(path) and (not _PATH.fullmatch(path) or not codes.has(path)),
            40212: not _QUERY.fullmatch(query),
            85401: not _ends_in_time(body),
        }
        wrong = next((errcode for errcode, holds in judged.items() if holds), 0)
        if not wrong and not codes.spend(request.appid, "link", window_s=86400, limit=LINKS_A_DAY):
            wrong = 44993
        if not wrong:
            codes.made.append({"what": what, "path": path, "query": query})
    if not wrong:
        platform.tell(what, appid=request.appid, path=path, query=query)
    return refusal(wrong) if wrong else None


def _ends_in_time(body: Mapping[str, Any]) -> bool:
    if body.get("expire_type", 0) == 1:
        days = body.get("expire_interval")
        return isinstance(days, int) and 1 <= days <= 30
    at = body.get("expire_time")
    return isinstance(at, int) and 60 <= at - time.time() <= 30 * 86400


@endpoint("POST", "/wxa/genwxashortlink", token=True)
def make_short_link(platform: Platform, request: Request) -> Answer | Mapping[str, Any]:
    """A text that opens the program when it is tapped in a chat."""
    body = request.json
    url, title = str(body.get("page_url", "")), str(body.get("page_title", ""))
    path, _, query = url.partition("?")
    with platform.lock:
        codes = platform.of(Codes)
        if not codes.has(path) or len(query) > 1024:
            return refusal(40066)
        if not title.strip():
            return refusal(40225)
        if not codes.spend(request.appid, "short_link", window_s=86400, limit=SHORT_LINKS_A_DAY):
            return refusal(45009)
        codes.made.append({"what": "short_link", "path": path, "query": query, "title": title[:20]})
    platform.tell("short_link", appid=request.appid, path=path, query=query)
    return {"errcode": 0, "errmsg": "ok", "link": f"#小程序://{title[:20]}/{_letters(11)}"}


def _letters(n: int) -> str:
    return secrets.token_urlsafe(n)[:n].replace("-", "x").replace("_", "y")
