"""The H5 page of a share link, for people who open it outside WeChat: Safari, QQ, Weibo, a text message.

A pure function from what is known of the link to the page and its Content-Security-Policy. Everything
works without scripts. The one script counts the visit, so that a previewer that only fetches the page is
not counted; it never changes, and neither does the style, so the policy names both by their hash.
"""

import base64
import hashlib
import html
import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

Lang = Literal["zh", "en"]
State = Literal["on", "off", "expired"]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows. Texts are escaped here; ``qr_svg`` goes in as ``codes.qr_svg`` made it."""

    code: str
    title: str
    url: str
    qr_svg: str
    beacon_path: str
    beacon_body: str = '{"wx_scene":null}'
    description: str = ""
    site_name: str | None = None
    image_url: str | None = None
    price: str | None = None
    tag: str | None = None
    sharer: str | None = None
    avatar_url: str | None = None
    open_url: str | None = None
    state: State = "on"
    lang: Lang = "zh"


class Html(msgspec.Struct, frozen=True, kw_only=True):
    """A page and the Content-Security-Policy header it must be sent with."""

    text: str
    csp: str


class _Words(msgspec.Struct, frozen=True, kw_only=True):
    tag: str
    locale: str
    program: str
    shared_by: str
    qr: str
    scan: str
    same_phone: str
    open: str
    closed: dict[State, tuple[str, str]]


_WORDS: dict[Lang, _Words] = {
    "zh": _Words(
        tag="zh-CN",
        locale="zh_CN",
        program="微信小程序",
        shared_by="{} 分享给你",
        qr="二维码：用微信扫一扫打开",
        scan="用微信扫一扫打开",
        same_phone="就在这部手机上？先截屏，再到微信“扫一扫”的相册里选这张截图。",
        open="在微信中打开",
        closed={
            "off": ("这个分享已关闭", "抱歉，分享的人关闭了它，或者活动已经结束。可以请对方再分享一次。"),
            "expired": ("这个分享已过期", "抱歉，它只在一段时间内有效。可以请分享的人再发一次。"),
        },
    ),
    "en": _Words(
        tag="en",
        locale="en_US",
        program="WeChat mini-program",
        shared_by="Shared by {}",
        qr="QR code: scan with WeChat to open",
        scan="Scan with WeChat to open",
        same_phone="On this phone? Take a screenshot, then pick it from the album in WeChat Scan.",
        open="Open in WeChat",
        closed={
            "off": (
                "This link has been closed",
                "Sorry: whoever shared it closed it, or the offer is over. You can ask them for a new one.",
            ),
            "expired": (
                "This link has expired",
                "Sorry: it was good for a while only. You can ask whoever shared it for a new one.",
            ),
        },
    ),
}

_STYLE = """
:root{color-scheme:light dark;--ground:#f3f2ef;--card:#fff;--ink:#1a1a19;--soft:#5c5b57;--line:#dcdad4;
--price:#c2152c;--tint:#fdebec;--go:#06743b;--on-go:#fff;--quiet:-12px}
@media(prefers-color-scheme:dark){:root{--ground:#101010;--card:#1c1c1d;--ink:#f3f2ef;--soft:#aaa8a3;
--line:#3a3a3b;--price:#ff858d;--tint:#3d1d21;--go:#35cf80;--on-go:#04170c;--quiet:0}}
*{box-sizing:border-box;margin:0}
body{min-height:100vh;display:flex;flex-direction:column;justify-content:center;padding:16px;
background:var(--ground);color:var(--ink);overflow-wrap:anywhere;-webkit-text-size-adjust:100%;
font:16px/1.5 -apple-system,"PingFang SC","Noto Sans CJK SC","Noto Sans SC","Microsoft YaHei",sans-serif}
main{width:100%;max-width:420px;margin:0 auto}
.from{display:flex;align-items:center;gap:10px;margin:0 4px 12px;color:var(--soft);font-size:15px}
.from img{flex:none;width:32px;height:32px;border-radius:50%;object-fit:cover;background:var(--line)}
.from bdi{color:var(--ink);font-weight:600}
.card{border-radius:16px;overflow:hidden;background:var(--card);
box-shadow:0 1px 2px #0000000f,0 8px 24px #0000000d}
.card>img{display:block;width:100%;aspect-ratio:5/4;max-height:38vh;object-fit:cover;
background:var(--line);color:var(--soft)}
.what{padding:16px 20px 18px}
h1{font-size:20px;line-height:1.4;font-weight:600}
h1,.more{display:-webkit-box;-webkit-box-orient:vertical;-webkit-line-clamp:3;overflow:hidden}
.deal{display:flex;flex-wrap:wrap;align-items:center;gap:4px 10px;margin-bottom:6px}
.price{color:var(--price);font-size:26px;line-height:1.2;font-weight:700;font-variant-numeric:tabular-nums}
.tag{padding:1px 8px;border-radius:6px;background:var(--tint);color:var(--price);
font-size:13px;font-weight:600}
.more{margin-top:6px;-webkit-line-clamp:2;color:var(--soft);font-size:15px}
.go{display:block;margin-top:16px;padding:12px;border-radius:12px;background:var(--go);color:var(--on-go);
font-weight:600;text-align:center;text-decoration:none}
.go:focus-visible{outline:3px solid var(--ink);outline-offset:2px}
.scan{display:flex;align-items:center;gap:16px;padding:16px 20px 20px;border-top:1px dashed var(--line);
text-wrap:balance}
.qr{flex:none;width:136px;margin:var(--quiet) 0 var(--quiet) var(--quiet);
border-radius:8px;overflow:hidden;background:#fff}
.qr svg{display:block;width:100%}
.scan b{display:block;font-size:17px;line-height:1.4;font-weight:600}
.scan p{margin-top:6px;color:var(--soft);font-size:13px}
.sorry{padding:40px 24px;text-align:center;text-wrap:balance}
.sorry svg{width:56px;color:var(--soft)}
.sorry h1{margin-top:12px}.sorry .more{-webkit-line-clamp:6}
footer{padding:14px 0 2px;color:var(--soft);font-size:13px;text-align:center}
@media(min-width:760px){.wide{max-width:840px}.wide h1{font-size:24px}
.pair{display:grid;grid-template-columns:1fr 1fr;grid-template-rows:1fr auto}
.pair>img{grid-row:1/3;height:100%;aspect-ratio:1;max-height:none}
.pair .what{padding:28px 28px 18px}.pair .scan{margin:0 28px;padding:24px 0 28px}
.pair .qr{width:168px}.scan p{display:none}}
"""

# The page may lie under a stage ("/api/s/CODE"); and one that is prerendered and never looked at is no visit.
_SCRIPT = """
(function(d,l){var s=d.currentScript.dataset,
u=l.origin+l.pathname.replace(/\\/s\\/[^/]*\\/?$/,"")+s.path;
function go(){if(d.visibilityState!=="visible")return;d.removeEventListener("visibilitychange",go);
self.fetch&&fetch(u,{method:"POST",keepalive:true,headers:{"content-type":"application/json"},body:s.body})
.catch(function(){})}
d.addEventListener("visibilitychange",go);go()})(document,location)
"""

_BROKEN_LINK = (
    '<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round"'
    ' aria-hidden="true"><path d="M10 14a4 4 0 0 0 5.7 0l3-3a4 4 0 0 0-5.7-5.7l-1 1M14 10'
    'a4 4 0 0 0-5.7 0l-3 3a4 4 0 0 0 5.7 5.7l1-1M4 4l16 16"/></svg>'
)

_UNPRINTABLE = "[\x00-\x1f\x7f-\x9f\ud800-\udfff]"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_CLOSED_CSP = (
    f"default-src 'none'; img-src https: data:; style-src {_hash(_STYLE)}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_OPEN_CSP = f"{_CLOSED_CSP}; script-src {_hash(_SCRIPT)}; connect-src 'self'"


def render(page: Page) -> Html:
    """The page of a link. One that is off or expired says so, shows no target and counts nothing."""
    words = _WORDS[page.lang]
    if page.state == "on":
        main = _offer(page=page, words=words) + _beacon(page)
        return Html(text=_document(page=page, words=words, main=main), csp=_OPEN_CSP)
    title, why = words.closed[page.state]
    shown = msgspec.structs.replace(page, title=title, description=why, image_url=None)
    main = _sorry(page=shown, words=words)
    return Html(text=_document(page=shown, words=words, main=main), csp=_CLOSED_CSP)


def _document(*, page: Page, words: _Words, main: str) -> str:
    site = _text(page.site_name) or words.program
    footer = f"<footer>{site} · {_text(page.code)}</footer>"
    return (
        f'<!doctype html>\n<html lang="{words.tag}">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{_text(page.title) or site}</title>\n"
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"{_metas(page=page, words=words, site=site)}"
        # An empty icon keeps browsers from asking for /favicon.ico, which would be a paid request.
        '<link rel="icon" href="data:,">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{main}{footer}\n</body>\n</html>\n"
    )


def _metas(*, page: Page, words: _Words, site: str) -> str:
    """What previewers read: Open Graph, a Twitter card, and the itemprops that QQ looks for."""
    title, about, image = _text(page.title) or site, _text(page.description), _link(page.image_url)
    wanted = [
        ('name="robots"', "noindex"),
        ('name="format-detection"', "telephone=no"),
        ('name="description" itemprop="description"', about),
        ('itemprop="name"', title),
        ('property="og:title"', title),
        ('property="og:description"', about),
        ('property="og:image" itemprop="image"', image),
        ('property="og:url"', _link(page.url, schemes=("https", "http"))),
        ('property="og:type"', "website"),
        ('property="og:site_name"', site),
        ('property="og:locale"', words.locale),
        ('name="twitter:card"', "summary_large_image" if image else "summary"),
    ]
    return "".join(f'<meta {key} content="{value}">\n' for key, value in wanted if value)


def _offer(*, page: Page, words: _Words) -> str:
    title = _text(page.title) or words.program
    picture = _image(page.image_url, alt=title)
    wide, pair = (' class="wide"', " pair") if picture else ("", "")
    return (
        f"<main{wide}>\n{_from(page=page, words=words)}"
        f'<article class="card{pair}">\n{picture}<div class="what">\n{_deal(page)}<h1>{title}</h1>\n'
        f"{_wrap('p', css='more', inner=_text(page.description))}{_button(page=page, words=words)}</div>\n"
        f'<div class="scan"><div class="qr" role="img" aria-label="{words.qr}">{page.qr_svg}</div>\n'
        f"<div><b>{words.scan}</b><p>{words.same_phone}</p></div></div>\n</article>\n</main>\n"
    )


def _sorry(*, page: Page, words: _Words) -> str:
    return (
        f'<main>\n<article class="card sorry">{_BROKEN_LINK}\n<h1>{_text(page.title)}</h1>\n'
        f"{_wrap('p', css='more', inner=_text(page.description))}{_button(page=page, words=words)}"
        "</article>\n</main>\n"
    )


def _from(*, page: Page, words: _Words) -> str:
    if not (name := _text(page.sharer)):
        return ""
    # The name is isolated: one written right to left must not reorder the sentence round it.
    sentence = words.shared_by.format(f"<bdi>{name}</bdi>")
    return _wrap("p", css="from", inner=f"{_image(page.avatar_url, alt='')}<span>{sentence}</span>")


def _deal(page: Page) -> str:
    price = _wrap("span", css="price", inner=_text(page.price))
    tag = _wrap("span", css="tag", inner=_text(page.tag))
    return _wrap("p", css="deal", inner=price + tag)


def _button(*, page: Page, words: _Words) -> str:
    # An https address is a WeChat URL Link, a weixin one a URL Scheme.
    url = _link(page.open_url, schemes=("https", "weixin"))
    return f'<a class="go" href="{url}" rel="nofollow">{words.open}</a>\n' if url else ""


def _beacon(page: Page) -> str:
    path, body = _text(page.beacon_path), _text(page.beacon_body)
    return f'<script data-path="{path}" data-body="{body}">{_SCRIPT}</script>\n'


def _image(url: str | None, *, alt: str) -> str:
    # WeChat's picture servers refuse requests that come from other sites, so these do not say where from.
    src = _link(url)
    return f'<img src="{src}" alt="{alt}" referrerpolicy="no-referrer">\n' if src else ""


def _wrap(tag: str, *, css: str, inner: str) -> str:
    return f'<{tag} class="{css}">{inner}</{tag}>\n' if inner else ""


def _text(value: str | None) -> str:
    """The value, safe between tags and in quotes; control characters and lone surrogates become spaces."""
    return html.escape(re.sub(_UNPRINTABLE, " ", value or "").strip())


def _link(value: str | None, *, schemes: tuple[str, ...] = ("https",)) -> str:
    """The address, safe in quotes, or nothing when it is not an absolute one of these schemes."""
    url = (value or "").strip()
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return _text(url) if parts.scheme in schemes and parts.netloc else ""
