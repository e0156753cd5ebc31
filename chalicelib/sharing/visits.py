"""The rules of visits: counted once a visitor and hour, exactly, by one write; and what came of a link.

A visit alone never earns anything, and no money, limit or reward reads a count of visits.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

import msgspec

from chalicelib.core import clock, config, facts, ids, session, table
from chalicelib.core.cache import Cache
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.errors import NotFound, Unauthorized
from chalicelib.core.shards import by_day, day_of, day_row
from chalicelib.core.table import IntAttribute, Row, Write
from chalicelib.sharing import rules, service
from chalicelib.sharing.models import LEVELS, ROW_HOLDS, Hour, Link, LinkDay
from chalicelib.sharing.schemas import FunnelDay

TOKEN_LASTS_S = 2 * DAY
ROWS_STAY_S = 400 * DAY
_STAGES = ("new_members", "bound", "joined", "paid", "settled")
_ARRIVALS = ("chat", "group", "moments", "code", "link", "other")

_full: Cache[bytes] = Cache(for_s=2 * HOUR, size=5000)


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One opening of a link by one visitor in one hour."""

    visit_id: str
    link: Link
    at: int


def record(*, link: Link, visitor: str, wx_scene: int | None, now: int) -> Visit:
    """Count an opening; the same visitor in the same hour is the same visit.

    ``visitor`` is whatever tells visitors apart: a member id, a key that the phone keeps, an address. What the
    link's target is part of counts its visitors too, whichever of its links they open.
    """
    hour = clock.local_hour(now, zone=config.settings().zone)
    for name in (link.code, _part_of(link, now=now)):
        if name is not None:
            who = _hash(name, visitor, now=now)
            _count(name, hour=hour, visitor=who, arrived=rules.arrived(wx_scene), now=now)
    visit_id = ids.derived("vis", link.code, hour, _hash(link.code, visitor, now=now).hex())
    return Visit(visit_id=visit_id, link=link, at=now)


def _hash(name: str, visitor: str, *, now: int) -> bytes:
    seed = config.secret("link_key", now=now).encode()
    return hashlib.blake2b(f"{name}|{visitor}".encode(), digest_size=8, key=seed[:64]).digest()


def _part_of(link: Link, *, now: int) -> str | None:
    kind = rules.kind_of(link.target_kind)
    return kind.part_of(link.target_id, now) if kind is not None and kind.part_of is not None else None


def uncounted(*, link: Link, visitor: str, now: int) -> Visit:
    """An opening by a robot: it is answered and not counted."""
    return Visit(visit_id=ids.derived("vis", link.code, "robot", visitor), link=link, at=now)


def _count(code: str, *, hour: str, visitor: bytes, arrived: rules.Arrived, now: int) -> None:
    for level in range(len(LEVELS)):
        key = Hour.key(code, hour=hour, level=level, visitor=visitor)
        seen = _full.peek(key, now=now)
        if seen is None:
            seen = _count_in(key, visitor=visitor, arrived=arrived, now=now, last=level == len(LEVELS) - 1)
        if seen is None or _holds(seen, visitor):
            return


def _count_in(
    key: table.Key, *, visitor: bytes, arrived: rules.Arrived, now: int, last: bool
) -> bytes | None:
    """Count in this row: None when that is done, the hashes that the row has seen when it is full."""
    unseen = ~Hour.seen.contains(visitor)
    room = unseen if last else (Hour.n < ROW_HOLDS) & unseen
    actions = (
        Hour.n.add(1),
        Hour.seen.add({visitor}),
        getattr(Hour, arrived).add(1),
        Hour.ttl.set(now + ROWS_STAY_S),
    )
    try:
        table.apply(
            table.upsert(Hour, key, *actions, when=Hour.pk.does_not_exist() | room, refuse=table.Taken)
        )
    except table.Taken as refused:
        seen = b"".join(sorted(refused.row.seen or ()))
        if _holds(seen, visitor):
            return None
        _full.put(key, seen, now=now)
        return seen
    return None


def _holds(seen: bytes, visitor: bytes) -> bool:
    # Joined bytes, not a set: a process may remember thousands of full rows.
    return any(seen[at : at + len(visitor)] == visitor for at in range(0, len(seen), len(visitor)))


# --- tokens -------------------------------------------------------------------------------------------------


def token_for(visit: Visit, *, now: int) -> str:
    """A token of two days that tells a sign-in of this visit."""
    claims = {"vis": visit.visit_id, "lnk": visit.link.code, "at": visit.at}
    return session.sign(claims, purpose="visit", now=now, for_s=TOKEN_LASTS_S)


def from_token(token: str, *, now: int) -> Visit | None:
    """The visit that a token tells of; None when its two days are over.

    Raises:
        Unauthorized: forged. NotFound: its link does not exist.
    """
    claims = session.verify(token, purpose="visit", now=now - 400 * DAY)
    try:
        visit_id, code, at, over_at = claims["vis"], claims["lnk"], claims["at"], claims["exp"]
    except KeyError as incomplete:
        raise Unauthorized from incomplete
    if over_at <= now:
        return None
    return Visit(visit_id=visit_id, link=service.find(code, now=now), at=at)


# --- what came of a link ------------------------------------------------------------------------------------


def funnel(*, code: str, sharer_id: str, days: int, now: int) -> list[FunnelDay]:
    """The days of a link, newest first, without those on which nothing happened.

    Visits of open days are added up as they stand; a closed day is added up once and kept.

    Raises:
        NotFound: there is no such link, or it is somebody else's.
    """
    link = service.find(code, now=now)
    if link.sharer_id != sharer_id:
        raise NotFound
    wanted = _days_back(days, now=now)
    sk = LinkDay.sk.between(f"DAY#{wanted[-1]}", f"DAY#{wanted[0]}#~")
    rows = table.query_all(LinkDay, f"LINK#{code}", sk)
    folded = {day_of(row): row.opened_by or {} for row in rows if row.opened is not None}
    unfolded = [day for day in wanted if day not in folded]
    counted = _counted(code, unfolded) if unfolded else {}
    _fold(code, counted, now=now)
    came, opened_by = by_day(rows, _STAGES), folded | counted
    found = [_day(day, came.get(day), opened_by.get(day)) for day in wanted]
    return [day for day in found if _happened(day)]


def of_the_whole(name: str, *, days: Sequence[str]) -> dict[str, int]:
    """Visitors on each of these days of all links to what is part of ``name``, as they stand."""
    return {day: sum(by.values()) for day, by in _counted(name, days).items()} if days else {}


def _days_back(days: int, *, now: int) -> list[str]:
    today = date.fromisoformat(clock.local_day(now, zone=config.settings().zone))
    return [(today - timedelta(days=n)).isoformat() for n in range(days)]


def _counted(code: str, days: Sequence[str]) -> dict[str, dict[str, int]]:
    """Visits by arrival of each of these days; a level is read only when the one before has a full row."""
    first, last = min(days).replace("-", ""), max(days).replace("-", "")
    sk = Hour.sk.between(f"H#{first}00", f"H#{last}24")
    by_day: dict[str, list[dict[str, int]]] = {day.replace("-", ""): [] for day in days}
    for level, (partitions, _) in enumerate(LEVELS):
        rows: list[Hour] = []
        for k in range(partitions):
            rows += table.query_all(Hour, Hour.partition(code, level=level, k=k), sk)
        for row in rows:
            by_day.get(row.sk[2:10], []).append({name: getattr(row, name) or 0 for name in _ARRIVALS})
        if not any((row.n or 0) >= ROW_HOLDS for row in rows):
            break
    return {day: rules.sum_by(by_day[day.replace("-", "")]) for day in days}


def _fold(code: str, counted: dict[str, dict[str, int]], *, now: int) -> None:
    # An hour's grace: a visit is written with the time at which its request began.
    open_day = clock.local_day(now - HOUR, zone=config.settings().zone)
    for day, by in counted.items():
        if by and day < open_day:
            actions = (LinkDay.opened.set(sum(by.values())), LinkDay.opened_by.set(by))
            unfolded = LinkDay.opened.does_not_exist()
            _try(table.upsert(LinkDay, LinkDay.key(code, day), *actions, when=unfolded, refuse=table.Taken))


def _try(write: Write) -> Row | None:
    try:
        return table.apply(write)
    except table.Taken:
        return None


def _day(day: str, came: dict[str, int] | None, opened_by: dict[str, int] | None) -> FunnelDay:
    by = opened_by or {}
    return FunnelDay(day=day, opened=sum(by.values()), opened_by=by, **(came or dict.fromkeys(_STAGES, 0)))


def _happened(day: FunnelDay) -> bool:
    return any((day.opened, *(getattr(day, stage) for stage in _STAGES)))


@facts.reaction("member.registered", name="sharing.count_new_member")
def count_new_member(member: Row, now: int) -> Sequence[Write]:
    """The link that a new member came by counts them on the day they registered."""
    link, at = getattr(member, "came_link", None), getattr(member, "registered_at", now)
    return [_counted_up(member, link, LinkDay.new_members, at)] if link else []


@facts.reaction("binding.made", name="sharing.count_bound")
def count_bound(binding: Row, now: int) -> Sequence[Write]:
    """The link that bound a member counts them on the day of the binding."""
    link, at = getattr(binding, "link", None), getattr(binding, "bound_at", now)
    return [_counted_up(binding, link, LinkDay.bound, at)] if link else []


@facts.reaction("order.created", name="sharing.count_joined")
def count_joined(order: Row, now: int) -> Sequence[Write]:
    """The link that led to an order counts it on the day it was made."""
    link, at = getattr(order, "link", None), getattr(order, "created_at", now)
    return [_counted_up(order, link, LinkDay.joined, at)] if link else []


@facts.reaction("order.paid", name="sharing.count_paid")
def count_paid(order: Row, now: int) -> Sequence[Write]:
    """The link that led to an order counts its payment on the day it came."""
    link, at = getattr(order, "link", None), getattr(order, "paid_at", now)
    return [_counted_up(order, link, LinkDay.paid, at)] if link else []


def settled(links: Mapping[str, int], *, cause: str, at: int) -> list[Write]:
    """The writes that count settled orders for the links that bound their buyers, once for their cause.

    That link is not always the one that led to an order: who was brought once may come back by themselves. Of one
    that went back whole it is taken down on the day on which it was counted.
    """
    day = clock.local_day(at, zone=config.settings().zone)
    return [
        table.upsert(LinkDay, (LinkDay.key(link, day)[0], day_row(day, cause=cause)), LinkDay.settled.add(n))
        for link, n in links.items()
    ]


def _counted_up(row: Row, link: str, stage: IntAttribute, at: int) -> Write:
    day = clock.local_day(at, zone=config.settings().zone)
    pk, _ = LinkDay.key(link, day)
    return table.upsert(LinkDay, (pk, day_row(day, cause=row.pk)), stage.add(1))
