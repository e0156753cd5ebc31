"""Time: integer epoch seconds everywhere; only the edge reads the clock, rooms are given ``now``."""

import time
from datetime import datetime
from zoneinfo import ZoneInfo

MINUTE = 60
HOUR = 3600
DAY = 86400


def now() -> int:
    """Seconds since the epoch, read at the edge of a request or a job."""
    return int(time.time())


def local_hour(at: int, *, zone: ZoneInfo) -> str:
    """The hour of ``at`` on the clocks of ``zone`` as ``YYYYMMDDHH``; the doubled hour of autumn is one."""
    return f"{datetime.fromtimestamp(at, zone):%Y%m%d%H}"


def local_day(at: int, *, zone: ZoneInfo) -> str:
    """The calendar day of ``at`` in ``zone`` as ``YYYY-MM-DD``."""
    return f"{datetime.fromtimestamp(at, zone):%Y-%m-%d}"


def month_of(at: int, *, zone: ZoneInfo) -> int:
    """The calendar month of ``at`` in ``zone``, counted from the year 0, so that months subtract."""
    local = datetime.fromtimestamp(at, zone)
    return local.year * 12 + local.month - 1


def month_starts_at(month: int, *, zone: ZoneInfo) -> int:
    """When the month of this number begins in ``zone``."""
    return int(datetime(month // 12, month % 12 + 1, 1, tzinfo=zone).timestamp())


def month_name(month: int) -> str:
    """The month of this number as ``YYYY-MM``."""
    return f"{month // 12:04d}-{month % 12 + 1:02d}"
