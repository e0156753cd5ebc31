"""The H5 page: it says what previewers and people need, lets nothing break out, and counts only by its beacon."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.sharing.codes import qr_svg
from chalicelib.sharing.page import Lang, Page, State, render

URL = "https://go.example.cn/api/s/7KQ2MXW9ND"
PICTURE = "https://img.example.cn/coffee.jpg?w=750&h=600"
BAD_PICTURES = [
    "http://img.example.cn/a.jpg",
    "//img.example.cn/a.jpg",
    "/a.jpg",
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    "https:",
    "https:a.jpg",
    "https://[",
    "ftp://img.example.cn/a.jpg",
    "",
]


def a_page(
    *,
    title: str = "云南小粒咖啡 挂耳组合",
    state: State = "on",
    lang: Lang = "zh",
    image_url: str | None = PICTURE,
) -> Page:
    return Page(
        code="7KQ2MXW9ND",
        title=title,
        description="两人成团，24 小时内拼成即发货",
        site_name="山野咖啡",
        image_url=image_url,
        price="¥89.00",
        tag="2人团",
        sharer="小*明",
        avatar_url="https://img.example.cn/xm.jpg",
        url=URL,
        qr_svg=qr_svg(URL),
        open_url="https://wxaurl.cn/abc",
        beacon_path="/v1/links/7KQ2MXW9ND/visits",
        state=state,
        lang=lang,
    )


class Parsed(HTMLParser):
    """The page as a browser sees it: its tags in order, and the text inside each kind of tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._open = [""]
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts[self._open[-1]] = self.texts.get(self._open[-1], "") + data

    def handle_endtag(self, tag: str) -> None:
        while self._open.pop() != tag:
            pass

    @property
    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        return [(tag, tuple(attrs)) for tag, attrs in self.tags]

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    def meta(self, key: str) -> str | None:
        return next(
            (m["content"] for m in self.all("meta") if key in (m.get("property"), m.get("name"))), None
        )


def read(page: Page) -> Parsed:
    return Parsed(render(page).text)


def sha256(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


hostile = st.lists(
    st.sampled_from(
        [
            "</script>",
            "</style>",
            "</title>",
            "<script>alert(1)</script>",
            '"',
            "'",
            ">",
            "<",
            "&",
            "&lt;",
            "&#x3c;",
        ]
        + [
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "' onload='alert(1)",
            '" autofocus onfocus="alert(1)',
            "`",
            "{}",
            "{0}",
        ]
        + [
            "javascript:",
            "\\",
            "\0",
            "\r\n",
            "\u202e",
            "\u2028",
            "\ud800",
            "咖啡",
            "👩‍👩‍👧",
            "<img src=x onerror=alert(1)>",
        ]
    )
    | st.text(max_size=8),
    max_size=6,
).map(lambda parts: "".join(parts) + "x")


@given(hostile, hostile, hostile, hostile, hostile, hostile)
def test_hostile_texts_never_break_out(
    title: str, description: str, site: str, price: str, tag: str, sharer: str
) -> None:
    page = replace(
        a_page(), title=title, description=description, site_name=site, price=price, tag=tag, sharer=sharer
    )

    parsed = read(page)

    seen = re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", " ", title).strip()
    assert parsed.shape == read(a_page()).shape
    assert parsed.texts["h1"] == parsed.texts["title"] == parsed.meta("og:title") == seen
    assert render(page).csp == render(a_page()).csp
    render(page).text.encode()


@given(hostile, hostile, hostile, hostile)
def test_hostile_addresses_never_break_out(picture: str, link: str, path: str, body: str) -> None:
    page = replace(
        a_page(),
        image_url="https://img.example.cn/" + picture,
        avatar_url="https://" + picture,
        open_url="weixin://dl/business/?t=" + link,
        url=URL + link,
        beacon_path=path,
        beacon_body=body,
    )

    parsed = read(page)

    assert {tag for tag, _ in parsed.tags} <= {tag for tag, _ in read(a_page()).tags}
    assert all(str(image["src"]).startswith("https://") for image in parsed.all("img"))
    assert not {
        name for _, attrs in parsed.tags for name in attrs if name.startswith("on") or name == "style"
    }


@pytest.mark.parametrize("bad", BAD_PICTURES)
def test_only_absolute_https_pictures_are_put_in(bad: str) -> None:
    parsed = read(replace(a_page(image_url=bad), avatar_url=bad))

    assert parsed.all("img") == []
    assert parsed.meta("og:image") is None
    assert parsed.meta("twitter:card") == "summary"


@given(st.text(max_size=40) | st.from_regex(r"(?i)\s?(https?|javascript|data|//)[:/\\]{0,4}.{0,12}"))
def test_no_address_brings_in_anything_but_https(address: str) -> None:
    parsed = read(replace(a_page(image_url=address), avatar_url=address, open_url=address))

    assert all(str(image["src"]).lower().startswith("https://") for image in parsed.all("img"))
    assert all(re.match("(?i)(https|weixin)://", str(link["href"])) for link in parsed.all("a"))


def test_previewers_find_open_graph_and_a_card() -> None:
    parsed = read(a_page())

    assert parsed.meta("og:title") == "云南小粒咖啡 挂耳组合"
    assert parsed.meta("og:description") == parsed.meta("description") == "两人成团，24 小时内拼成即发货"
    assert parsed.meta("og:image") == PICTURE
    assert parsed.meta("og:url") == URL
    assert parsed.meta("og:type") == "website"
    assert parsed.meta("og:site_name") == "山野咖啡"
    assert parsed.meta("twitter:card") == "summary_large_image"


@pytest.mark.parametrize(
    ("lang", "tag", "scan", "shared"),
    [("zh", "zh-CN", "用微信扫一扫打开", "分享给你"), ("en", "en", "Scan with WeChat to open", "Shared by")],
)
def test_page_speaks_its_language_and_shows_the_offer(lang: Lang, tag: str, scan: str, shared: str) -> None:
    page = a_page(lang=lang)
    parsed = read(page)
    without_script = re.sub(r"(?s)<script.*?</script>", "", render(page).text)

    assert parsed.all("html") == [{"lang": tag}]
    for shown in (scan, shared, "小*明", "¥89.00", "2人团", "24 小时", page.qr_svg, "https://wxaurl.cn/abc"):
        assert shown in without_script


def test_pictures_and_the_code_have_words_for_those_who_cannot_see_them() -> None:
    parsed = read(a_page())
    code = next(attrs for attrs in parsed.all("div") if attrs.get("role") == "img")

    assert [image["alt"] for image in parsed.all("img")] == ["", "云南小粒咖啡 挂耳组合"]
    assert code["aria-label"] == "二维码：用微信扫一扫打开"
    assert "user-scalable" not in render(a_page()).text


def test_what_is_missing_leaves_no_empty_place() -> None:
    bare = Page(code="C", title="", url=URL, qr_svg=qr_svg(URL), beacon_path="/v1/links/C/visits")

    parsed = read(bare)

    assert parsed.all("img") == parsed.all("bdi") == parsed.all("a") == []
    assert {attrs.get("class") for attrs in parsed.all("p") + parsed.all("span")} == {None}
    assert parsed.texts["h1"] == parsed.texts["title"] == parsed.meta("og:site_name") == "微信小程序"


def test_policy_allows_this_style_and_this_script_and_nothing_else() -> None:
    page, parsed = render(a_page()), read(a_page())

    assert page.csp.split("; ") == [
        "default-src 'none'",
        "img-src https: data:",
        f"style-src {sha256(parsed.texts['style'])}",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        f"script-src {sha256(parsed.texts['script'])}",
        "connect-src 'self'",
    ]
    assert len(parsed.all("style")) == len(parsed.all("script")) == 1
    assert "src" not in parsed.all("script")[0]


def test_beacon_posts_the_given_body_to_the_given_path() -> None:
    parsed = read(replace(a_page(), beacon_body='{"wx_scene":1011}'))

    assert parsed.all("script") == [
        {"data-path": "/v1/links/7KQ2MXW9ND/visits", "data-body": '{"wx_scene":1011}'}
    ]
    assert read(a_page()).all("script")[0]["data-body"] == '{"wx_scene":null}'
    assert (
        'method:"POST",keepalive:true,headers:{"content-type":"application/json"}' in parsed.texts["script"]
    )


@pytest.mark.parametrize(
    ("served_at", "prefix"),
    [
        ("/s/7KQ2MXW9ND", ""),
        ("/api/s/7KQ2MXW9ND", "/api"),
        ("/api/s/7KQ2MXW9ND/", "/api"),
        ("/s/api/s/7KQ2MXW9ND", "/s/api"),
    ],
)
def test_beacon_keeps_the_stage_that_the_page_is_served_under(served_at: str, prefix: str) -> None:
    tail = re.search(r'l\.origin\+l\.pathname\.replace\(/(.+)/,""\)\+s\.path', read(a_page()).texts["script"])

    assert tail is not None
    assert re.sub(tail[1], "", served_at) == prefix


@pytest.mark.parametrize(("state", "lang"), list(product(["off", "expired"], ["zh", "en"])))
def test_closed_link_says_so_politely_shows_nothing_and_counts_nothing(state: State, lang: Lang) -> None:
    page = a_page(state=state, lang=lang)

    closed, parsed = render(page), read(page)

    assert ("抱歉" if lang == "zh" else "Sorry") in closed.text
    assert parsed.texts["footer"] == f"{page.site_name} · {page.code}"
    assert parsed.all("script") == parsed.all("img") == []
    assert "script-src" not in closed.csp and "connect-src" not in closed.csp
    for hidden in (page.title, "小*明", "¥89.00", "2人团", PICTURE, page.qr_svg, page.beacon_path):
        assert hidden not in closed.text
    assert parsed.texts["h1"] == parsed.meta("og:title")


def test_page_is_small() -> None:
    long = replace(
        a_page(title="云南保山小粒咖啡豆深度烘焙意式拼配" * 4),
        description="产地直发，两人成团立减三十元。" * 8,
    )

    assert len(render(long).text.replace(long.qr_svg, "").encode()) < 8192


def luminance(colour: str) -> float:
    digits = colour if len(colour) == 6 else "".join(c * 2 for c in colour)
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [
        ("ink", "card"),
        ("soft", "card"),
        ("soft", "ground"),
        ("price", "card"),
        ("price", "tint"),
        ("on-go", "go"),
    ],
)
def test_colours_have_the_contrast_that_wcag_aa_asks_for(dark: bool, ink: str, ground: str) -> None:
    light_rules, dark_rules = read(a_page()).texts["style"].split("@media(prefers-color-scheme:dark)")
    colours = dict(re.findall(r"--([\w-]+):#([0-9a-f]{3,6})\b", dark_rules if dark else light_rules))

    darker, lighter = sorted([luminance(colours[ink]), luminance(colours[ground])])

    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
