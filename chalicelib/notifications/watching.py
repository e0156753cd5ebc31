"""Groups that end soon: some time before, their members are told, if people are still missing."""

from collections.abc import Sequence
from typing import Any

from chalicelib.core import due, facts, table
from chalicelib.core.clock import HOUR
from chalicelib.core.errors import NotFound
from chalicelib.core.table import Write
from chalicelib.core.telemetry import logger
from chalicelib.notifications import reacting
from chalicelib.notifications.models import Watch

JOB = "group_ending"
TOLD_BEFORE_S = 2 * HOUR
SHARE = 4
"""Of a group that is short, the last quarter."""


@facts.reaction("group.opened", name="notifications.watch")
def watch(group: Any, now: int) -> Sequence[Write]:
    """The group is looked at again before it ends."""
    if group.state != "open" or group.expires_at is None or group.expires_at <= now:
        return []
    ahead = min(TOLD_BEFORE_S, (group.lifetime_s or 0) // SHARE)
    pk, sk = Watch.key(group.group_id)
    slot = due.slot(job=JOB, pk=pk, at=group.expires_at - ahead)
    return [table.create(Watch(pk, sk, group_id=group.group_id, **slot))]


@due.handles(JOB)
def look(entry: due.Entry, now: int) -> None:
    """Tell who is in a group that ends soon, and look at it no more."""
    row = table.get(Watch, (entry.pk, entry.sk))
    if row is None:
        return
    try:
        reacting.tell_expiring(row.group_id, now=now)
    except NotFound:
        logger.info("the group is gone", group=row.group_id)
    try:
        table.apply(table.delete(Watch, (row.pk, row.sk), refuse=NotFound))
    except NotFound:
        logger.info("another has looked at it", group=row.group_id)
