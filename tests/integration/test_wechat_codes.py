"""Mini-program codes and links that open the program: asked for once, kept, and what WeChat refuses of them."""

import base64
import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core import cache, config, ids, pictures
from chalicelib.core.doors import Session
from chalicelib.core.errors import Busy, Invalid
from chalicelib.core.http import Document
from chalicelib.members import service as members
from chalicelib.sharing import making, routes
from chalicelib.sharing import service as sharing
from chalicelib.sharing.models import Link
from chalicelib.sharing.schemas import EditTarget, MakeOpening, PosterQuery, QrQuery
from chalicelib.wechat import budgets, client
from chalicelib.wechat.codes import PageNotPublished
from infra.local import uploads
from infra.local.wechat import Simulator
from infra.local.wechat.codes import Codes
from tests.factories import OWNER, a_call, a_link, a_member, a_program, a_word, called
from tests.harness.direct import Direct
from tests.uploads import PNG, sent
from tests.wechat import APPID

SCENE = re.compile(r"[0-9A-Za-z!#$&'()*+,/:;=?@\-._~]{1,32}")
"""What qr-code/api_getunlimitedqrcode allows."""
NOW = int(time.time())


@pytest.fixture
def link(direct: Direct, weixin: Simulator) -> Link:
    """A link of somebody's, and a program that WeChat knows."""
    told = {"appid": APPID, "secret_name": "demo", "landing_page": "/pages/home/home?tab=1"}
    members.add_program(a_program("demo", **told), by=OWNER, now=NOW)
    return a_link(sharer_id=a_member(now=NOW), now=NOW)


def made(weixin: Simulator) -> list[dict[str, Any]]:
    return weixin.platform.of(Codes).made


def drawn(link: Link, *, now: int = NOW, **asked: Any) -> Document:
    query = QrQuery(kind="wxacode", **{"program_id": "demo", "format": "png", **asked})
    return routes.show_qr(replace(a_call(now=now), request_id=a_word("req_")), link.code, query)


def opened(link: Link, kind: Any = "url_link", *, now: int = NOW) -> str:
    session = Session(member_id=link.sharer_id, program_id="demo", visitor="v")
    asked = MakeOpening(kind=kind, program_id="demo")
    call = replace(a_call(session=session, now=now), request_id=a_word("req_"))
    return routes.make_opening(call, link.code, asked).url


@given(st.binary(min_size=1), st.text(), st.integers(0, 9))
def test_every_code_of_a_link_is_a_scene_that_wechat_takes(key: bytes, natural: str, attempt: int) -> None:
    assert SCENE.fullmatch(ids.keyed_code(natural, str(attempt), key=key))


def test_a_code_is_drawn_once_and_leads_to_the_landing_page_with_the_link(
    link: Link, weixin: Simulator
) -> None:
    first = drawn(link)
    cache.clear_all()
    again = drawn(link, width=300)

    assert first.content == again.content and first.content_type == "image/png"
    assert made(weixin) == [{"what": "code", "scene": link.code, "page": "pages/home/home", "width": 430}]


def test_a_code_comes_in_every_form(link: Link) -> None:
    png = drawn(link).content
    assert isinstance(png, bytes)
    inside = json.loads(drawn(link, format="base64").content)
    svg = drawn(link, format="svg")

    assert inside == {"content_type": "image/png", "base64": base64.b64encode(png).decode()}
    assert pictures.data_uri(png) in str(svg.content) and svg.content_type.startswith("image/svg+xml")


def test_another_width_version_or_landing_page_is_another_picture(link: Link, weixin: Simulator) -> None:
    drawn(link)
    drawn(link, width=431)
    config.override(wechat_env="trial")
    drawn(link)
    config.override(wechat_env="release")
    moved = a_program("demo", appid=APPID, secret_name="demo", landing_page="pages/new/new")
    members.edit_program("demo", moved, by=OWNER, now=NOW)
    drawn(link)

    assert [(one["page"], one["width"]) for one in made(weixin)] == [
        ("pages/home/home", 430),
        ("pages/home/home", 860),
        ("pages/home/home", 430),
        ("pages/new/new", 430),
    ]


def test_a_page_that_is_not_published_is_told_and_then_left_alone_for_a_while(
    link: Link, weixin: Simulator
) -> None:
    weixin.platform.of(Codes).unpublished.add("pages/home/home")
    with pytest.raises(PageNotPublished) as refused:
        drawn(link)
    assert refused.value.details == {"page": "pages/home/home", "errcode": 41030}
    before = weixin.calls
    with pytest.raises(Busy):
        drawn(link)
    assert weixin.calls == before

    weixin.platform.of(Codes).unpublished.clear()
    assert drawn(link, now=NOW + making.MAKING_S).content


def test_only_the_published_version_is_asked_whether_it_has_the_page(link: Link, weixin: Simulator) -> None:
    weixin.platform.of(Codes).unpublished.add("pages/home/home")
    config.override(wechat_env="develop")

    assert drawn(link).content


def test_a_spent_budget_is_told_and_asks_wechat_no_more_in_that_minute(link: Link, weixin: Simulator) -> None:
    weixin.platform.of(Codes).counted[(APPID, "code", int(time.time() + 8 * 3600) // 60)] = 5000
    weixin.platform.of(Codes).counted[(APPID, "code", int(time.time() + 8 * 3600) // 60 + 1)] = 5000
    with pytest.raises(client.WeChatTooOften):
        drawn(link)
    with pytest.raises(budgets.WeChatBudgetSpent):
        drawn(link, width=1280)


def test_a_link_that_is_over_and_a_program_of_nobody_have_no_code(link: Link, weixin: Simulator) -> None:
    for wrong in (None, "nobody"):
        with pytest.raises(Invalid) as refused:
            drawn(link, program_id=wrong)
        assert refused.value.details["field"] == "program_id"
    sharing.switch_off(code=link.code, sharer_id=link.sharer_id)
    with pytest.raises(sharing.LinkOff):
        drawn(link)
    assert made(weixin) == []


def test_with_a_bucket_a_code_is_kept_there_and_drawn_again_when_it_is_gone(
    link: Link, weixin: Simulator, request: pytest.FixtureRequest
) -> None:
    bucket = uploads.start()
    request.addfinalizer(bucket.stop)
    config.override(pictures_bucket=uploads.BUCKET, s3_endpoint=bucket.url)
    first = drawn(link)
    (key,) = bucket.objects
    assert key.startswith(f"pictures/{link.code}/wxacode-demo-release-") and key.endswith("-430")
    assert drawn(link).content == first.content == bucket.objects[key].content and len(made(weixin)) == 1

    bucket.objects.clear()
    assert [drawn(link).content for _ in range(2)] == [first.content] * 2
    assert list(bucket.objects) == [key] and len(made(weixin)) == 2


def test_a_lost_reply_leaves_nothing_and_is_asked_again(link: Link, weixin: Simulator) -> None:
    drawn(link, width=280)
    weixin.platform.faults["/wxa/getwxacodeunlimit"] = "lost"
    with pytest.raises(client.Unanswered):
        drawn(link)
    weixin.platform.faults.clear()

    assert drawn(link, now=NOW + making.MAKING_S).content


@pytest.mark.parametrize(
    ("kind", "begins"),
    [
        ("url_link", "https://wxaurl.cn/"),
        ("scheme", "weixin://dl/business/?t="),
        ("short_link", "#小程序://"),
    ],
)
def test_an_opening_is_kept_until_a_day_before_its_end(
    kind: str, begins: str, link: Link, weixin: Simulator
) -> None:
    first = opened(link, kind)
    assert first.startswith(begins)
    query = f"tab=1&link={link.code}"
    assert {**made(weixin)[0], "title": ""} == {
        "what": kind,
        "path": "pages/home/home",
        "query": query,
        "title": "",
    }
    assert opened(link, kind, now=NOW + 28 * 86400) == first
    assert opened(link, kind, now=NOW + 29 * 86400) != first
    assert len(made(weixin)) == 2


def test_while_an_opening_is_made_anew_the_old_one_serves(link: Link, weixin: Simulator) -> None:
    first = opened(link)
    weixin.platform.faults["/wxa/generate_urllink"] = "busy"
    with pytest.raises(client.WeChatUnavailable):
        opened(link, now=NOW + 29 * 86400)

    assert opened(link, now=NOW + 29 * 86400 + 1) == first


def test_the_page_offers_the_url_link_that_somebody_had_made_and_asks_for_none(
    link: Link, weixin: Simulator
) -> None:
    def shown(now: int) -> str:
        return str(routes.show_page(a_call(now=now), link.code).body.content)

    assert "wxaurl.cn" not in shown(NOW)
    opened(link, "scheme")
    url = opened(link)
    before = weixin.calls

    assert f'href="{url}"' in shown(NOW + cache.FRESH_FOR_S)
    assert "wxaurl.cn" not in shown(NOW + 30 * 86400 + cache.FRESH_FOR_S)
    assert weixin.calls == before


def test_a_poster_shows_who_what_and_the_code_and_is_painted_as_it_is_told(
    link: Link, weixin: Simulator
) -> None:
    tea = EditTarget(kind="product", id=link.target_id, title="Jasmine <tea>", price_fen=8900)
    sharing.save_target(tea, by=OWNER, now=NOW)
    members.edit(member_id=link.sharer_id, nickname="Alice", avatar=sent(link.sharer_id, now=NOW))
    known, asked = called(link.sharer_id, now=NOW), PosterQuery(program_id="demo")

    told = routes.show_poster(known, link.code, asked)
    painted = str(routes.paint_poster(known, link.code, asked).content)

    assert (told.nickname, told.title, told.price_fen, told.image_url) == (
        "Alice",
        "Jasmine <tea>",
        8900,
        None,
    )
    assert told.avatar_url is not None and told.avatar_url.startswith("https://shop.example/v1/uploads/upl_")
    assert told.qr.base64 in painted and pictures.data_uri(PNG) in painted
    assert "Jasmine &lt;tea&gt;" in painted and ">89</text>" in painted
    assert len(made(weixin)) == 1
    stranger = routes.show_poster(a_call(now=NOW), link.code, PosterQuery())
    assert stranger.nickname == "A**" and stranger.qr.base64 != told.qr.base64


def test_a_member_has_only_so_many_made_in_a_day_and_what_is_there_costs_nothing(
    link: Link, weixin: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "A_DAY", 1)
    first = opened(link)
    with pytest.raises(making.TooManyOpenings):
        opened(link, "scheme")

    assert opened(link) == first and len(made(weixin)) == 1
    assert opened(link, "scheme", now=NOW + 86400)


def test_an_opening_wants_a_session_of_anybody(link: Link) -> None:
    stranger = a_member(now=NOW)

    assert (
        routes.make_opening(
            called(stranger, now=NOW), link.code, MakeOpening(kind="scheme", program_id="demo")
        ).expires_at
        == NOW + 30 * 86400
    )
