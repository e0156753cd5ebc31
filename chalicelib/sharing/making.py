"""What is made of a link by asking WeChat, once for all who want it: codes, and links that open the program.

Whoever finds it missing claims its row; the others have what there is, or are told to ask again. A maker who died
is followed by another after ten seconds. That two make it after all, each having waited the other out, does no
harm: both are good. A failure is not remembered, but its claim stands, so that many who look at a page that cannot
be made ask WeChat once in ten seconds.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from chalicelib.core import clock, objects, pictures, table
from chalicelib.core.cache import FRESH_FOR_S, Cache
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.config import settings
from chalicelib.core.errors import Busy, Invalid, NotFound, TooMany
from chalicelib.core.telemetry import logger
from chalicelib.members import service as members
from chalicelib.sharing.models import Link, Made, Openings
from chalicelib.wechat import codes
from chalicelib.wechat.client import App
from chalicelib.wechat.codes import Kind, Page

MAKING_S = 10
PICTURE_LIVES_S = 30 * DAY
WIDTHS = (280, 430, 860, 1280)
"""What is drawn, in pixels: WeChat takes any between the ends, and each is kept."""
ROW_HOLDS_BYTES = 350 * 1024
RENEWED_BEFORE_S = DAY
A_DAY = 200


_ready: Cache[list[Made]] = Cache(size=2000, for_s=FRESH_FOR_S)


class TooManyOpenings(TooMany):
    """A member may have two hundred links of WeChat's made a day: all members share what WeChat allows."""

    code = "too_many_openings"
    en = "That is enough links for today."
    zh = "今日生成的链接次数已达上限。"
    advice = "Use the link's own url or QR code; try again tomorrow."
    retry_after_s = HOUR


class _Held(Exception):
    """Somebody else makes it, or has just made it."""

    def __init__(self, row: Made | None) -> None:
        super().__init__("held")
        self.row = row


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A program that a link is to open, and where."""

    app: App
    page: Page
    program_id: str

    @property
    def name(self) -> str:
        """What tells apart what is made for it: a page that is moved, or another version, is made anew."""
        where = "|".join((self.app.appid, self.page.path, self.page.query))
        digest = hashlib.blake2b(where.encode(), digest_size=6).hexdigest()
        return f"{self.program_id}#{settings().wechat_env}#{digest}"


def place(program_id: str, *, link: Link, now: int) -> Place:
    """Where a program is opened by a link: its landing page, with the link in the query.

    Raises:
        Invalid: the brand has no such program.
    """
    try:
        program = members.program(program_id, now=now)
    except NotFound as unknown:
        raise Invalid(field="program_id", reason="no such program") from unknown
    path, _, query = program.landing_page.replace("{link}", link.code).partition("?")
    page = Page(path=path.lstrip("/"), query="&".join(part for part in (query, f"link={link.code}") if part))
    return Place(app=members.app(program_id, now=now), page=page, program_id=program_id)


def code(link: Link, at: Place, *, width: int, by: str, now: int) -> bytes:
    """The picture of the mini-program code whose scene is the link's code, at least this wide; ``by`` tells callers
    apart.

    Raises:
        Busy: another is making it. PageNotPublished, and as `client.call`.
    """
    width = next(one for one in WIDTHS if one >= width)
    what = f"wxacode#{at.name}#{width}"
    stored = f"pictures/{link.code}/{what.replace('#', '-')}" if objects.available() else None

    def draw() -> bytes:
        drawn = codes.unlimited(at.app, scene=link.code, page=at.page, width=width, now=now)
        if stored:
            objects.put(stored, drawn, content_type=pictures.type_of(drawn) or "application/octet-stream")
        return drawn

    def make() -> dict[str, Any]:
        drawn = draw()
        return {"until": now + PICTURE_LIVES_S, **({"stored": stored} if stored else {"content": drawn})}

    row = _once(Made.key(link.code, what), _Wanted(make=make, by=by), now=now)
    return row.content or _fetched(row) or draw()


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Which link of WeChat's somebody wants, and what a short link shows; ``by`` as in `code`."""

    kind: Kind
    title: str
    member_id: str
    by: str


def opening(link: Link, at: Place, asked: Asking, *, now: int) -> codes.Opening:
    """A link of WeChat's that opens the program with this link, good for a day at least.

    Raises:
        TooManyOpenings: it would have to be made. As `code`.
    """

    def make() -> dict[str, Any]:
        _count(asked.member_id, now=now)
        made = codes.opening(at.app, asked.kind, page=at.page, title=asked.title, now=now)
        return {"url": made.url, "until": made.until}

    wanted = _Wanted(make=make, by=asked.by, spare_s=RENEWED_BEFORE_S)
    row = _once(Made.key(link.code, f"{asked.kind}#{at.name}"), wanted, now=now)
    return codes.Opening(url=row.url or "", until=row.until or 0)


def _count(member_id: str, *, now: int) -> None:
    """One more of a member's; counted twice for a lost reply, it is only a little less that they may have."""
    key = Openings.key(member_id, clock.local_day(now, zone=settings().zone))
    table.apply(table.counted(Openings, key, at_most=A_DAY, ttl=now + 2 * DAY, refuse=TooManyOpenings))


def ready(code: str, *, now: int) -> str | None:
    """The URL Link that somebody had made of a link, as of the last 30 seconds; WeChat is not asked for any."""
    rows = _ready.get(code, now=now, load=lambda: _url_links(code))
    good = [row for row in rows if row.url and (row.until or 0) > now]
    return max(good, key=lambda row: row.until or 0).url if good else None


def _url_links(code: str) -> list[Made]:
    return table.query_all(Made, f"MADE#{code}", Made.sk.startswith("url_link#"))


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """How something is made, by whom, and how many seconds before its end it is made anew."""

    make: Callable[[], Mapping[str, Any]]
    by: str
    spare_s: int = 0


def _once(key: table.Key, wanted: _Wanted, *, now: int) -> Made:
    row = table.get(Made, key, consistent=False)
    if _left(row, now=now) > wanted.spare_s:
        assert row is not None
        return row
    try:
        _claim(key, row, by=wanted.by, now=now)
    except _Held as held:
        other = held.row
        if other is not None and _left(other, now=now) > 0:
            return other
        if other is None or other.making_by != wanted.by:
            raise Busy from held
    return _keep(key, wanted.make(), by=wanted.by)


def _left(row: Made | None, *, now: int) -> int:
    return (row.until or 0) - now if row is not None else 0


def _claim(key: table.Key, row: Made | None, *, by: str, now: int) -> None:
    free = Made.making_until.does_not_exist() | (Made.making_until <= now)
    same = Made.until.does_not_exist() if row is None or row.until is None else Made.until == row.until
    claimed = (
        Made.making_by.set(by),
        Made.making_until.set(now + MAKING_S),
        Made.ttl.set(Made.ttl | now + DAY),
    )
    table.apply(table.upsert(Made, key, *claimed, when=free & same, refuse=_Held))


def _keep(key: table.Key, made: Mapping[str, Any], *, by: str) -> Made:
    row = Made(*key, **made)
    if len(row.content or b"") > ROW_HOLDS_BYTES:
        return row
    told = [getattr(Made, name).set(value) for name, value in made.items()]
    freed = (Made.making_by.remove(), Made.making_until.remove(), Made.ttl.set(made["until"] + DAY))
    try:
        table.apply(table.update(Made, key, *told, *freed, when=Made.making_by == by, refuse=_Held))
    except _Held:
        logger.info("another has made it as well", key=key[1])
    return row


def _fetched(row: Made) -> bytes | None:
    found = objects.get(row.stored) if row.stored and objects.available() else None
    return found.content if found else None
