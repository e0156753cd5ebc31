"""What the routes of points have in common to say."""

import msgspec

from chalicelib.core.errors import NotFound
from chalicelib.points import badges, exchanges, levels
from chalicelib.points.models import Exchange
from chalicelib.points.schemas import AdminExchange, ExchangeAnswer, LevelAnswer, NextLevel, Perks
from chalicelib.sharing import rules as sharing


def level_answer(number: int, level: levels.Level | None) -> LevelAnswer | None:
    """A level as everybody may see it."""
    if level is None:
        return None
    perks = msgspec.convert(level["perks"], Perks)
    return LevelAnswer(level=number, name=level["name"], growth=level["growth"], perks=perks)


def next_level(standing: levels.Standing) -> NextLevel | None:
    """The level after this one, and what is missing."""
    shown = level_answer(standing.number + 1, standing.next)
    if shown is None:
        return None
    missing = max(0, shown.growth - standing.growth)
    return NextLevel(**msgspec.structs.asdict(shown), missing=missing)


def exchange_answer(row: Exchange, *, mine: int | None) -> ExchangeAnswer:
    """An exchange as everybody may see it."""
    return ExchangeAnswer(
        exchange_id=row.exchange_id,
        title=row.title,
        image_url=row.image_url,
        points=row.points,
        goods=row.goods,
        what=row.what,
        per_member=row.per_member,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        state=row.state or "",
        mine=mine,
    )


def admin_exchange(row: Exchange, *, now: int) -> AdminExchange:
    """An exchange as operators see it."""
    shown = msgspec.structs.asdict(exchange_answer(row, mine=None))
    left = sum(exchanges.stock_left(row).values())
    return AdminExchange(**shown, left=left, stock_shards=row.stock_shards, now=now)


# --- what can be shared -------------------------------------------------------------------------------------


def describe_badge(badge_id: str, now: int) -> dict[str, str]:
    """What a shared badge's card may show."""
    row = next((one for one in badges.everything(now=now) if one.badge_id == badge_id), None)
    if row is None:
        raise NotFound
    return {"title": row.title, "name": row.title, "count": str(row.threshold)}


sharing.target_kind(
    "badge",
    variables={"name", "count"},
    path="/pages/badge/badge?id={id}&link={link}",
    describe=describe_badge,
)
