"""HTTP for members: my points, what they buy, my badges; and for everybody, what points buy and the levels."""

from chalicelib.core import cursors, doors, ledger
from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.http import Api, Call, Items, Reply
from chalicelib.points import badges, exchanges, levels, service
from chalicelib.points.answers import exchange_answer, level_answer, next_level
from chalicelib.points.schemas import (
    EntriesQuery,
    EntryAnswer,
    EntryLine,
    ExchangeAnswer,
    ExchangeDone,
    ExchangePoints,
    MyBadge,
    MyBadges,
    MyPoints,
)

api = Api(__name__)


@api.get("/v1/me/points", door=doors.MEMBER)
def show_mine(call: Call) -> MyPoints:
    """My points, what of them expires next, my level and the next one."""
    points = service.standing(call.member_id, now=call.now)
    level = levels.standing(call.member_id, now=call.now)
    return MyPoints(
        balance=points.balance,
        frozen=points.frozen,
        debt=points.debt,
        expiring=points.expiring,
        expires_at=points.expires_at,
        growth=level.growth,
        level=level_answer(level.number, level.level),
        next_level=next_level(level),
        now=call.now,
    )


@api.get("/v1/me/points/entries", door=doors.MEMBER, refuses=[cursors.CursorInvalid])
def list_entries(call: Call, query: EntriesQuery) -> Items[EntryAnswer]:
    """What was posted to my points, growth or cards, newest first; what was just posted is there."""
    where = f"points#{query.book}#{call.member_id}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = service.entries(call.member_id, book=query.book, limit=query.limit, after=after)
    following = cursors.seal(page.next_key, where=where, now=call.now)
    return Items(items=[_entry(row) for row in page.rows], next=following, now=call.now)


def _entry(row: ledger.Entry) -> EntryAnswer:
    lines = [EntryLine(reason=reason, amount=amount) for reason, amount in row.lines or ()]
    state = row.state if isinstance(row, ledger.Hold) else None
    return EntryAnswer(
        cause=row.cause, amount=row.amount, reason=row.reason, at=row.at, lines=lines, state=state
    )


@api.get("/v1/points/exchanges", door=doors.PUBLIC)
def list_exchanges(call: Call) -> Items[ExchangeAnswer]:
    """What points buy, newest first; signed in, with how often I did."""
    rows = exchanges.offered(now=call.now)
    mine: list[int] | list[None] = [None] * len(rows)
    if call.caller.session is not None:
        mine = exchanges.taken_by(call.member_id, rows)
    items = [exchange_answer(row, mine=n) for row, n in zip(rows, mine, strict=True)]
    return Items(items=items, now=call.now)


@api.post(
    "/v1/points/exchanges",
    door=doors.MEMBER,
    status=201,
    refuses=[
        NotFound,
        Invalid,
        service.NotEnoughPoints,
        exchanges.ExchangeNotStarted,
        exchanges.ExchangeOver,
        exchanges.ExchangePaused,
        exchanges.ExchangeLimit,
        exchanges.ExchangeSoldOut,
    ],
)
def exchange(call: Call, body: ExchangePoints) -> Reply[ExchangeDone]:
    """Buy something with my points."""
    done = exchanges.exchange(
        body.exchange_id, member_id=call.member_id, idempotency_key=call.idempotency_key, now=call.now
    )
    row = done.exchange
    answer = ExchangeDone(
        exchange_id=row.exchange_id,
        cause=done.cause,
        points=row.points,
        goods=row.goods,
        what=row.what,
        balance=ledger.balance(owner=call.member_id, book=service.POINTS),
        now=call.now,
    )
    return Reply(answer, 201 if done.new else 200)


@api.get("/v1/me/badges", door=doors.MEMBER)
def list_badges(call: Call) -> MyBadges:
    """Every badge, which of them I have, and how far I am."""
    counts, awards = badges.of(call.member_id)
    items = [
        MyBadge(
            badge_id=row.badge_id,
            title=row.title,
            image_url=row.image_url,
            fact=row.fact,
            threshold=row.threshold,
            count=min(counts.get(row.fact, 0), row.threshold),
            awarded_at=awards.get(row.badge_id),
        )
        for row in badges.everything(now=call.now)
        if row.state == "on" or row.badge_id in awards
    ]
    return MyBadges(items=items, now=call.now)
