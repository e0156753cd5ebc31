"""The rules of the inbox: a fact tells a member once, and what was seen stays seen.

A notification is one row under a key made of its fact and its member, so it is one write, and a second telling
meets the first. It is listed as unseen until it is seen: how many are unread is how long that list is, of which a
hundred entries of the index are read at most, and no row.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import msgspec

from chalicelib.core import due, ids, table
from chalicelib.core.clock import DAY
from chalicelib.core.table import Row
from chalicelib.core.telemetry import logger
from chalicelib.notifications import templates
from chalicelib.notifications.models import Notification
from chalicelib.notifications.rules import Kind

JOB = "notify"
STAYS_S = 90 * DAY
COUNTED = 100


class _Seen(Exception):
    """It was seen before, or there is none."""


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What a fact tells: ``cause`` is the fact's own key, ``until`` is when its message is of no use any more."""

    kind: Kind
    cause: Sequence[str]
    target_id: str
    data: Mapping[str, Any]
    until: int | None = None


def tell(news: News, member_id: str, *, now: int) -> str:
    """Tell a member, once for the cause; the notification's id. A message is due if a program has a template."""
    row = _row(news, member_id, sends=bool(templates.of_kind(news.kind, now=now)), now=now)
    try:
        table.apply(table.create(row))
    except table.Taken:
        logger.info("it was told before", notification=row.notification_id)
    return row.notification_id


def _row(news: News, member_id: str, *, sends: bool, now: int) -> Notification:
    notification_id = ids.derived("ntf", news.kind, member_id, *news.cause)
    pk, sk = Notification.key(member_id, notification_id)
    return Notification(
        pk,
        sk,
        notification_id=notification_id,
        member_id=member_id,
        state="due" if sends else "inbox",
        why=None if sends else "no_template",
        about=news.kind,
        target_id=news.target_id,
        data=dict(news.data),
        told_at=now,
        until=news.until,
        ttl=now + STAYS_S,
        **table.listed(unseen(member_id), at=now, as_=notification_id),
        **(due.slot(job=JOB, pk=pk, at=now) if sends else {}),
    )


def kind_of(row: Notification) -> Kind:
    """What kind of notification it is."""
    return cast(Kind, row.about)


def unseen(member_id: str) -> str:
    """The list of what a member has not seen."""
    return f"{member_id}#unseen"


def seen(member_id: str) -> str:
    """The list of what they have."""
    return f"{member_id}#seen"


def listed(member_id: str, *, limit: int, before: str | None) -> tuple[list[Notification], str | None]:
    """A page of a member's notifications, newest first, and what the next is ``before``."""
    owners = (unseen(member_id), seen(member_id))
    rows, following = table.merged(owners, limit=limit, before=before)
    # For a moment after it is seen, the index may have it in both lists.
    return list({row.sk: row for row in rows}.values()), following


def unread(member_id: str, *, but: Collection[str] = ()) -> int:
    """How many are unread, not counting those ``but`` which are known to be seen; 100: that many or more."""
    entries, _ = table.index("owner", Row.owner == unseen(member_id), limit=COUNTED)
    return len([entry for entry in entries if entry["sk"] not in but])


def see(member_id: str, notification_ids: Collection[str], *, now: int) -> None:
    """These are seen; those that were, or that there are not, stay as they are."""
    for notification_id in notification_ids:
        key = Notification.key(member_id, notification_id)
        actions = (Notification.owner.set(seen(member_id)), Notification.seen_at.set(now))
        first = Notification.owner == unseen(member_id)
        try:
            table.apply(table.update(Notification, key, *actions, when=first, refuse=lambda _: _Seen()))
        except _Seen:
            continue


def unseen_before(member_id: str, before: int) -> list[str]:
    """The newest hundred that are unseen of those told before this time."""
    earlier = (Row.owner == unseen(member_id)) & (Row.listed_at < f"{before:011d}")
    entries, _ = table.index("owner", earlier, limit=COUNTED, newest_first=True)
    return [entry["sk"].removeprefix("NTF#") for entry in entries]


def sort_keys(notification_ids: Collection[str]) -> set[str]:
    """How the index names these."""
    return {f"NTF#{notification_id}" for notification_id in notification_ids}
