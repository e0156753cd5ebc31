"""Days marked in any order, by check-ins whose clocks differ and by make-ups, against a plain set of days."""

from datetime import date, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.checkins import standings
from infra.local.clients import Store
from tests.checkins import FIRST, a_checkin, broken, come, each, mend, someone, total

TODAY = 9
DAYS = range(-16, TODAY + 1)
marks = st.lists(
    st.tuples(st.sampled_from(DAYS), st.booleans()), min_size=1, max_size=14, unique_by=lambda mark: mark[0]
)


def longest_until(days: set[date], last: date) -> int:
    """How many days in a row end with this one."""
    length = 0
    while last - timedelta(days=length) in days:
        length += 1
    return length


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(marks)
def test_whatever_the_order_the_months_say_what_the_days_say(
    store: Store, order: list[tuple[int, bool]]
) -> None:
    campaign = a_checkin(rewards=[each(5), total(6, 100)], makeups={"points": 7, "per_month": 31})
    bob, days = someone(points=1000), set[date]()

    for day, made_up in order:
        missed = made_up and day < TODAY
        mark = mend(campaign, bob, day, day=TODAY) if missed else come(campaign, bob, day)
        days.add(FIRST + timedelta(days=day))
        assert (mark.new, mark.total) == (True, len(days))

    seen = standings.of(campaign, bob).history
    assert seen.days == days
    assert {one: seen.until(one) for one in days} == {one: longest_until(days, one) for one in days}
    assert broken(store.client, campaign) == []
