"""Days and hours are those of the brand's own clocks, also where clocks are put forward and back."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import clock

SHANGHAI, NEW_YORK, KATHMANDU, APIA = (
    ZoneInfo(name) for name in ("Asia/Shanghai", "America/New_York", "Asia/Kathmandu", "Pacific/Apia")
)
moments = st.integers(min_value=0, max_value=4_102_444_800)
zones = st.sampled_from(sorted(available_timezones() - {"localtime", "Factory"})).map(ZoneInfo)


def at(text: str) -> int:
    """The moment of an ISO time in UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_now_is_whole_seconds() -> None:
    before = datetime.now(UTC).timestamp()

    assert isinstance(clock.now(), int)
    assert before - 1 <= clock.now() <= before + 5


@pytest.mark.parametrize(
    ("moment", "zone", "day", "hour"),
    [
        ("2026-02-28T15:59:59", SHANGHAI, "2026-02-28", "2026022823"),
        ("2026-02-28T16:00:00", SHANGHAI, "2026-03-01", "2026030100"),
        ("2028-02-28T16:00:00", SHANGHAI, "2028-02-29", "2028022900"),
        ("2025-12-31T16:00:00", SHANGHAI, "2026-01-01", "2026010100"),
        ("2026-06-15T18:14:59", KATHMANDU, "2026-06-15", "2026061523"),
        ("2026-06-15T18:15:00", KATHMANDU, "2026-06-16", "2026061600"),
        ("1986-05-03T18:00:00", SHANGHAI, "1986-05-04", "1986050403"),
    ],
)
def test_a_day_begins_when_the_zones_clocks_say(moment: str, zone: ZoneInfo, day: str, hour: str) -> None:
    assert clock.local_day(at(moment), zone=zone) == day
    assert clock.local_hour(at(moment), zone=zone) == hour


def test_a_day_may_have_23_hours_or_25() -> None:
    short = {clock.local_hour(at("2026-03-08T05:00:00") + n * 3600, zone=NEW_YORK) for n in range(23)}
    long = [clock.local_hour(at("2026-11-01T04:00:00") + n * 3600, zone=NEW_YORK) for n in range(25)]

    assert len(short) == 23 and "2026030802" not in short
    assert {hour[:8] for hour in short} == {"20260308"}
    assert long.count("2026110101") == 2 and len(set(long)) == 24
    assert {hour[:8] for hour in long} == {"20261101"}


def test_a_zone_may_skip_a_day() -> None:
    # Samoa went over the date line: there was no 30 December 2011.
    days = {clock.local_day(at("2011-12-29T12:00:00") + n * 3600, zone=APIA) for n in range(48)}

    assert days == {"2011-12-29", "2011-12-31", "2012-01-01"}


@given(moments, zones)
def test_hours_are_those_of_their_day(moment: int, zone: ZoneInfo) -> None:
    assert clock.local_hour(moment, zone=zone)[:8] == clock.local_day(moment, zone=zone).replace("-", "")


@given(moments, zones)
def test_the_next_day_comes_within_two_days_and_never_an_earlier_one(moment: int, zone: ZoneInfo) -> None:
    today = clock.local_day(moment, zone=zone)
    later = clock.local_day(moment + 2 * clock.DAY, zone=zone)

    assert later > today
    assert datetime.fromisoformat(later) - datetime.fromisoformat(today) <= timedelta(days=3)
