"""Two who meet over the card of one group in chats, between one's look and one's write.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

import time
from typing import Any

import pytest

from chalicelib.core import due, table
from chalicelib.core.clock import DAY
from chalicelib.core.table import Row
from chalicelib.notifications import activities
from chalicelib.notifications.models import Activity
from chalicelib.wechat import client, tokens
from infra.local.wechat import Simulator
from infra.local.wechat.messages import Messages
from tests.factories import PROGRAM, reacted
from tests.groupbuys import a_campaign, open_paid_group, orders_of, pay, take
from tests.harness.direct import Direct
from tests.harness.meetings import before_write
from tests.notifications import program
from tests.wechat import APP

pytestmark = pytest.mark.alone("notifications")


@pytest.fixture
def now(weixin: Simulator, direct: Direct) -> int:
    """The simulator's own clock says when a card ends."""
    program()
    at = int(time.time())
    tokens.current(APP, now=at)
    return at


def a_group(now: int) -> Any:
    """A group of three whose head has paid."""
    return open_paid_group(a_campaign(sizes={3: 8900}, starts_at=now - DAY, ends_at=now + 9 * DAY), now=now)


def shared(group: Any, now: int) -> Activity:
    """The card of the group."""
    return activities.share(group.group_id, program_id=PROGRAM, now=now)[0]


def one_more(direct: Direct, group: Any, now: int) -> None:
    """Somebody else pays, and the card is due."""
    pay(take(group, now=now), now=now)
    reacted(direct, now=now)


def there(row: Row) -> Any:
    """A row as it is now."""
    return table.get(type(row), (row.pk, row.sk))


def entry_of(row: Row) -> due.Entry:
    """What the index says of a row that is due."""
    told = {name: getattr(there(row), name) for name in due.Entry.__annotations__}
    return due.Entry(**told)


def told_cards(weixin: Simulator, row: Activity) -> list[int]:
    """The states that a card was told."""
    return [state for state, _ in weixin.platform.of(Messages).cards[row.activity_id]["told"]]


def test_of_two_cards_that_are_made_at_once_all_share_the_first(now: int) -> None:
    group, made = a_group(now), list[str]()

    with before_write(1, lambda: made.append(shared(group, now).activity_id)):
        made.append(shared(group, now).activity_id)

    assert {*made, shared(group, now).activity_id} == {made[0]}


@pytest.mark.parametrize("of", ["a group", "an order"])
@pytest.mark.parametrize("over", ["told so", "a day old"])
def test_a_card_that_is_over_is_not_due_again(now: int, of: str, over: str) -> None:
    group = a_group(now)
    row = shared(group, now)
    at = row.expires_at if over == "a day old" else now
    if over == "told so":
        table.apply(
            table.update(Activity, (row.pk, row.sk), Activity.shown.set(activities.OVER), refuse=KeyError)
        )

    if of == "a group":
        activities.follow_group(group, at)
    else:
        activities.follow_order(orders_of(group)[0], at)

    assert there(row).due_at is None


def test_what_another_run_has_told_is_begun_no_more(direct: Direct, now: int) -> None:
    group = a_group(now)
    row = shared(group, now)
    one_more(direct, group, now)
    entry = entry_of(row)
    activities.tell(entry, now)
    before = there(row).rev

    activities.tell(entry, now)

    assert there(row).rev == before


def test_a_run_that_took_too_long_does_not_say_that_a_card_shows_less(
    weixin: Simulator, direct: Direct, now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = a_group(now)
    row = shared(group, now)
    one_more(direct, group, now)
    real, later = client.call, now + activities.BUSY_S

    def slowly(*given: Any, **more: Any) -> Any:
        answer = real(*given, **more)
        monkeypatch.setattr(client, "call", real)
        one_more(direct, group, now)
        activities.tell(entry_of(row), later)
        return answer

    monkeypatch.setattr(client, "call", slowly)
    activities.tell(entry_of(row), now)

    assert (told_cards(weixin, row), there(row).shown) == ([0, 1], activities.FULL)
