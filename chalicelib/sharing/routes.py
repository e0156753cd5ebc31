"""HTTP for the mini-program and for the world: links, visits, codes, pages, funnels."""

import base64
from typing import Literal

import msgspec

from chalicelib.core import doors, limits, pictures
from chalicelib.core.errors import Busy, Gone, Invalid, NotFound
from chalicelib.core.http import Api, Call, Document, Reply
from chalicelib.sharing import (
    answers,
    attribution,
    invites,
    making,
    orders,
    posters,
    refusals,
    rules,
    service,
    signals,
    visits,
)
from chalicelib.sharing.models import Binding, Link
from chalicelib.sharing.schemas import (
    AttributionAnswer,
    Base64Picture,
    BindByCode,
    BindingAnswer,
    Funnel,
    FunnelQuery,
    FunnelTotal,
    LinkAnswer,
    LinkList,
    MakeOpening,
    MintLink,
    MintLinks,
    OpeningAnswer,
    OpenLink,
    PosterAnswer,
    PosterBox,
    PosterQuery,
    QrQuery,
    SwitchedOff,
    TargetRef,
    VisitAnswer,
)
from chalicelib.wechat.budgets import WeChatBudgetSpent
from chalicelib.wechat.client import (
    Unanswered,
    WeChatMisconfigured,
    WeChatRefused,
    WeChatTooOften,
    WeChatUnavailable,
)
from chalicelib.wechat.codes import PageNotPublished

api = Api(__name__)
_UNKNOWN = "application/octet-stream"
_OPENING = [NotFound, service.LinkOff, service.LinkExpired]
_WECHAT = [
    PageNotPublished,
    Unanswered,
    WeChatBudgetSpent,
    WeChatMisconfigured,
    WeChatRefused,
    WeChatTooOften,
    WeChatUnavailable,
]


@api.post("/v1/links", door=doors.MEMBER, status=201, refuses=[Invalid, service.LinkOff])
def mint(call: Call, body: MintLink) -> Reply[LinkAnswer]:
    """The link for a share button; the same input always has the same code."""
    link, new = service.mint(sharer_id=call.member_id, wanted=body, now=call.now)
    return Reply(_link(link, call), 201 if new else 200)


@api.post("/v1/links/batch", door=doors.MEMBER, refuses=[Invalid])
def mint_all(call: Call, body: MintLinks) -> LinkList:
    """The links of all share buttons of a screen, ahead of the tap: the share sheet waits three seconds."""
    found = service.mint_all(sharer_id=call.member_id, wanted=body.links, now=call.now)
    return LinkList(items=[_link(link, call) for link in found], now=call.now)


@api.delete("/v1/links/{code}", door=doors.MEMBER, refuses=[NotFound])
def switch_off(call: Call, code: str) -> SwitchedOff:
    """Take one's own link back; it stays off."""
    link = service.switch_off(code=code, sharer_id=call.member_id)
    return SwitchedOff(code=link.code, state=link.state or "", now=call.now)


@api.post("/v1/links/{code}/visits", door=doors.PUBLIC, refuses=_OPENING)
def open_link(call: Call, code: str, body: OpenLink) -> VisitAnswer:
    """Open a link, signed in or not; one visitor counts once an hour."""
    link = service.find_open(code, now=call.now)
    visitor = visitor_of(call, body.visitor)
    robot = rules.is_robot(call.user_agent)
    if robot:
        visit = visits.uncounted(link=link, visitor=visitor, now=call.now)
    else:
        visit = visits.record(link=link, visitor=visitor, wx_scene=body.wx_scene, now=call.now)
    session = call.caller.session
    program_id = session.program_id if session else body.program_id
    bound = None
    if session and not robot:
        places = signals.places(device=body.visitor, address=call.ip, now=call.now)
        bound = attribution.come(session.member_id, visit=visit, places=places, now=call.now)
    return answers.visit_answer(
        visit, call, wx_scene=body.wx_scene, counted=not robot, program_id=program_id, bound=bound
    )


@api.get("/v1/links/{code}/funnel", door=doors.MEMBER, refuses=[NotFound])
def show_funnel(call: Call, code: str, query: FunnelQuery) -> Funnel:
    """What came of one's own link, day by day."""
    days = visits.funnel(code=code, sharer_id=call.member_id, days=query.days, now=call.now)
    total = FunnelTotal(
        opened=sum(day.opened for day in days),
        new_members=sum(day.new_members for day in days),
        bound=sum(day.bound for day in days),
        joined=sum(day.joined for day in days),
        paid=sum(day.paid for day in days),
        settled=sum(day.settled for day in days),
    )
    return Funnel(code=code, items=days, total=total, now=call.now)


@api.get(
    "/v1/links/{code}/qr",
    door=doors.PUBLIC,
    refuses=[*_OPENING, Invalid, Busy, *_WECHAT],
    types=["image/svg+xml", *pictures.TYPES, _UNKNOWN, "application/json"],
)
def show_qr(call: Call, code: str, query: QrQuery) -> Document:
    """The link as a code: a QR code or, of a program, a mini-program code; svg, png, or base64 inside JSON."""
    from chalicelib.sharing import codes

    link = service.find_open(code, now=call.now)
    if query.kind == "wxacode":
        drawn = making.code(
            link, _place(link, query, call), width=query.width, by=call.request_id, now=call.now
        )
        return _picture(drawn, codes.framed_svg(drawn) if query.format == "svg" else None, query)
    url = _url(code, call)
    if query.format == "svg":
        return _picture(b"", codes.qr_svg(url), query)
    return _picture(codes.qr_png(url), None, query)


def _place(link: Link, query: QrQuery, call: Call) -> making.Place:
    if query.program_id is None:
        raise Invalid(field="program_id", reason="a mini-program code is of a program")
    return making.place(query.program_id, link=link, now=call.now)


def _picture(content: bytes, svg: str | None, query: QrQuery) -> Document:
    if svg is not None:
        return Document(svg, "image/svg+xml; charset=utf-8")
    if query.format == "png":
        return Document(content, pictures.type_of(content) or _UNKNOWN)
    return Document(msgspec.json.encode(_base64(content)).decode(), "application/json; charset=utf-8")


def _base64(content: bytes) -> Base64Picture:
    inside = base64.b64encode(content).decode()
    return Base64Picture(content_type=pictures.type_of(content) or _UNKNOWN, base64=inside)


@api.get("/v1/links/{code}/poster", door=doors.PUBLIC, refuses=[*_OPENING, Invalid, Busy, *_WECHAT])
def show_poster(call: Call, code: str, query: PosterQuery) -> PosterAnswer:
    """What a canvas paints of a link: who, what, for how much, the code, and where each of them stands."""
    link = service.find_open(code, now=call.now)
    poster, drawn = _poster(link, query, call)
    sharer = answers.person(link.sharer_id, call, open_names=call.caller.session is not None)
    return PosterAnswer(
        code=code,
        nickname=poster.nickname,
        avatar_url=sharer.avatar_url,
        title=poster.title,
        price_fen=poster.price_fen,
        list_price_fen=poster.list_price_fen,
        image_url=poster.image,
        qr=_base64(drawn),
        words=dict(posters.words(call.lang)),
        width=posters.WIDTH,
        height=posters.HEIGHT,
        boxes={name: PosterBox(**msgspec.structs.asdict(box)) for name, box in posters.BOXES.items()},
        now=call.now,
    )


@api.get(
    "/v1/links/{code}/poster.svg",
    door=doors.PUBLIC,
    refuses=[*_OPENING, Invalid, Busy, *_WECHAT],
    types=["image/svg+xml"],
)
def paint_poster(call: Call, code: str, query: PosterQuery) -> Document:
    """The same poster, painted; a picture of the shop's is named in it, and the member's own is inside."""
    link = service.find_open(code, now=call.now)
    poster, _ = _poster(link, query, call)
    return Document(posters.render(poster), "image/svg+xml; charset=utf-8")


def _poster(link: Link, query: PosterQuery, call: Call) -> tuple[posters.Poster, bytes]:
    card = service.card(link, now=call.now, lang=call.lang, open_names=call.caller.session is not None)
    about = service.describe(link.target_kind, link.target_id, now=call.now)
    drawn = _drawn(link, query, call)
    poster = posters.Poster(
        nickname=answers.person(link.sharer_id, call, open_names=call.caller.session is not None).nickname,
        avatar=answers.avatar_inside(link.sharer_id, call),
        title=about.title or card.title,
        image=card.image_url or about.image_url,
        price_fen=about.price_fen,
        list_price_fen=about.list_price_fen,
        qr=pictures.data_uri(drawn),
        lang=call.lang,
    )
    return poster, drawn


def _drawn(link: Link, query: PosterQuery, call: Call) -> bytes:
    from chalicelib.sharing import codes

    if query.program_id is None:
        return codes.qr_png(_url(link.code, call))
    at = making.place(query.program_id, link=link, now=call.now)
    return making.code(link, at, width=making.WIDTHS[1], by=call.request_id, now=call.now)


@api.post(
    "/v1/links/{code}/openings",
    door=doors.MEMBER,
    refuses=[*_OPENING, Invalid, Busy, making.TooManyOpenings, *_WECHAT],
)
def make_opening(call: Call, code: str, body: MakeOpening) -> OpeningAnswer:
    """What opens the program with this link from outside WeChat; kept, so that asking again costs nothing."""
    link = service.find_open(code, now=call.now)
    title = service.card(link, now=call.now, lang=call.lang, open_names=False).title
    at = making.place(body.program_id, link=link, now=call.now)
    asked = making.Asking(kind=body.kind, title=title, member_id=call.member_id, by=call.request_id)
    made = making.opening(link, at, asked, now=call.now)
    return OpeningAnswer(code=code, kind=body.kind, url=made.url, expires_at=made.until, now=call.now)


@api.get("/s/{code}", door=doors.PUBLIC, refuses=_OPENING, types=["text/html"], also=[Gone.status])
def show_page(call: Call, code: str) -> Reply[Document]:
    """The page of a link for people outside WeChat; fetching it counts nothing, its beacon does."""
    from chalicelib.sharing import codes, page

    link = service.find(code, now=call.now)
    state = _state(link, call.now)
    card = service.card(link, now=call.now, lang=call.lang, open_names=False)
    about = service.describe(link.target_kind, link.target_id, now=call.now)
    sharer = answers.person(link.sharer_id, call, open_names=False)
    shown = page.Page(
        code=code,
        title=card.title,
        description=about.description or "",
        image_url=card.image_url,
        price=about.price,
        sharer=sharer.nickname,
        avatar_url=sharer.avatar_url,
        url=_url(code, call),
        qr_svg=codes.qr_svg(_url(code, call)),
        open_url=making.ready(code, now=call.now) if state == "on" else None,
        beacon_path=f"/v1/links/{code}/visits",
        state=state,
        lang="zh" if call.lang == "zh" else "en",
    )
    html = page.render(shown)
    headers = (
        ("Content-Security-Policy", html.csp),
        ("Cache-Control", "public, max-age=60"),
        ("Vary", "Accept-Language"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
    )
    status = 200 if state == "on" else Gone.status
    return Reply(Document(html.text, "text/html; charset=utf-8", headers), status)


@api.get("/v1/me/binding", door=doors.MEMBER)
def show_binding(call: Call) -> BindingAnswer:
    """Whose customer the signed-in member is."""
    return _binding(attribution.binding(call.member_id, now=call.now), call)


@api.post(
    "/v1/me/binding",
    door=doors.MEMBER,
    status=201,
    a_minute=limits.TYPED_A_MINUTE,
    refuses=[
        invites.InviteUnknown,
        refusals.BoundToAnother,
        refusals.BindingProtected,
        refusals.SelfReferral,
        refusals.WouldCircle,
        refusals.ChainTooLong,
        refusals.NotNew,
        refusals.PromoterGone,
        Busy,
    ],
)
def bind_by_code(call: Call, body: BindByCode) -> Reply[BindingAnswer]:
    """Become the customer of whoever's invite code it is, if the policy does that."""
    promoter_id = invites.whose(body.invite_code)
    held, new = attribution.bind_by_code(call.member_id, promoter_id=promoter_id, now=call.now)
    return Reply(_binding(held, call), 201 if new else 200)


@api.get("/v1/attributions/{order_id}", door=doors.MEMBER, refuses=[NotFound])
def show_attribution(call: Call, order_id: str) -> AttributionAnswer:
    """Why an order earns its promoter, or the one above, something; to anybody else there is none.

    A group's head earns by the group: GET /v1/commissions/{commission_id}/explanation tells them why.
    """
    return answers.attribution(orders.show(order_id, promoter_id=call.member_id), call)


def _binding(held: Binding | None, call: Call) -> BindingAnswer:
    promoter = answers.person(held.promoter_id, call, open_names=True) if held else None
    return BindingAnswer(
        bound=held is not None,
        promoter=promoter,
        bound_at=held.bound_at if held else None,
        expires_at=held.expires_at if held else None,
        now=call.now,
    )


def visitor_of(call: Call, key: str | None) -> str:
    """What tells this visitor apart: the member, else the phone's own key, else address and user agent."""
    session = call.caller.session
    if session is not None:
        return session.visitor
    return f"key:{key}" if key else f"at:{call.ip}|{call.user_agent}"


def _state(link: Link, now: int) -> Literal["on", "off", "expired"]:
    if link.state == "off":
        return "off"
    return "expired" if link.expires_at is not None and link.expires_at <= now else "on"


def _link(link: Link, call: Call) -> LinkAnswer:
    card = service.card(link, now=call.now, lang=call.lang, open_names=True)
    return LinkAnswer(
        code=link.code,
        url=_url(link.code, call),
        path=card.path,
        scene=link.code,
        target=TargetRef(kind=link.target_kind, id=link.target_id),
        channel=link.channel,
        placement=link.placement,
        state=link.state or "",
        expires_at=link.expires_at,
        card=card,
        now=call.now,
    )


def _url(code: str, call: Call) -> str:
    return f"{call.base_url}/s/{code}"
