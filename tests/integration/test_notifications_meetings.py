"""Two who meet over one message, its consent or one inbox, between one's look and one's write.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core import due, table
from chalicelib.core.clock import HOUR
from chalicelib.core.errors import AppError, Busy, NotFound
from chalicelib.notifications import merging, preferences, reacting, sending, service
from chalicelib.notifications.models import Notification
from chalicelib.notifications.schemas import NotificationSettings
from chalicelib.operators import stuck
from chalicelib.wechat import client, tokens
from infra.local.wechat import Simulator
from infra.local.wechat.login import Logins
from tests import checkins as checkin_things
from tests import coupons as coupon_things
from tests.factories import NOW, OWNER
from tests.groupbuys import a_buyer, a_campaign, buying, open_paid_group, orders_of
from tests.harness.direct import Direct
from tests.harness.meetings import before_write
from tests.notifications import (
    a_person,
    allowed,
    entry_of,
    left,
    news,
    on_phone,
    program,
    row_of,
    shown,
    state,
    tapped,
    tell,
    templates_of,
)
from tests.wechat import APP

NIGHT = NOW + 13 * HOUR
UNTOLD = {"thing1": {"value": ""}}
"""A field that WeChat refuses, so that the message waits for a person."""


@pytest.fixture
def alice(weixin: Simulator, direct: Direct) -> str:
    """A member whose program tells of refunds and has its token, on a phone that the simulator knows."""
    program()
    templates_of()
    on_phone(weixin, taps=0)
    tokens.current(APP, now=NOW)
    return a_person(weixin=weixin)


def sends(entry: due.Entry, *, by: str = "one", now: int = NOW) -> None:
    """A run sends a message: it begins, counts the call, and notes how it ended, each by a write."""
    sending.send(entry, by=by, now=now)


def a_run(entry: due.Entry, *, by: str) -> sending._Sending:
    """A run that has read a message."""
    row = table.get(Notification, (entry.pk, entry.sk))
    assert row is not None
    return sending._Sending(row=row, by=by, now=NOW)


def ready(entry: due.Entry, *, by: str = "another") -> Callable[[], None]:
    """Another run that has found its way, and begins when it is told to."""
    one = a_run(entry, by=by)
    way, consent = sending._way(one)
    assert way is not None
    return lambda: sending._begin(one, way, consent)


def waits_for_wechat(weixin: Simulator, entry: due.Entry) -> None:
    """WeChat is busy: the message keeps its consent."""
    weixin.platform.faults[sending.PATH] = "busy"
    with pytest.raises(client.WeChatUnavailable):
        sends(entry, by="before")
    weixin.platform.faults.clear()


def waits_for_a_person(member_id: str, told: str) -> None:
    """It failed ten times."""
    for _ in range(due.FAILURES):
        due.postpone(entry_of(member_id, told), Busy(), now=NOW)


# --- a message ----------------------------------------------------------------------------------------------

TURNS: dict[str, tuple[Callable[[str], object], int]] = {
    "sent": (lambda _: None, NOW),
    "put off": (lambda _: None, NIGHT),
    "unwanted": (lambda who: preferences.say(who, NotificationSettings(off=["refund_done"])), NOW),
    "without a template": (lambda _: templates_of(template_id="tpl-other"), NOW),
}


@pytest.mark.parametrize("meanwhile", ["another begins", "a person has it"])
@pytest.mark.parametrize(
    ("turn", "taken"),
    [(turn, taken) for turn in TURNS for taken in (False, True) if taken or turn != "without a template"],
)
def test_what_another_has_done_about_a_message_meanwhile_stands(
    weixin: Simulator, alice: str, turn: str, meanwhile: str, *, taken: bool
) -> None:
    allowed(weixin, alice, taps=2)
    told = tell(alice)
    entry = entry_of(alice, told)
    if taken:
        waits_for_wechat(weixin, entry)
    begins = ready(entry)
    before, now = TURNS[turn]
    before(alice)
    there: list[Any] = []

    def other() -> None:
        begins() if meanwhile == "another begins" else waits_for_a_person(alice, told)
        there.append(row_of(alice, told).serialize())

    with before_write(1, other):
        sends(entry, now=now)

    assert [row_of(alice, told).serialize()] == there
    assert (shown(weixin), left(alice)) == ([], 1 if taken or meanwhile == "another begins" else 2)


@pytest.mark.parametrize("meanwhile", ["another begins", "a person has it"])
def test_a_message_for_which_there_is_a_consent_by_now_is_not_left_to_the_inbox(
    weixin: Simulator, alice: str, meanwhile: str
) -> None:
    told = tell(alice)
    entry = entry_of(alice, told)
    there: list[Any] = []

    def other() -> None:
        if meanwhile == "another begins":
            allowed(weixin, alice)
            ready(entry)()
        else:
            waits_for_a_person(alice, told)
        there.append(row_of(alice, told).serialize())

    with before_write(1, other):
        sends(entry)

    assert [row_of(alice, told).serialize()] == there


def test_of_two_messages_that_find_one_consent_one_is_sent(weixin: Simulator, alice: str) -> None:
    allowed(weixin, alice)
    one, other = tell(alice), tell(alice)

    with before_write(1, lambda: sends(entry_of(alice, other))):
        sends(entry_of(alice, one))

    assert (state(alice, one), state(alice, other)) == (("inbox", "no_consent"), ("sent", None))
    assert (len(shown(weixin)), left(alice)) == (1, 0)


def test_what_wechat_says_is_about_a_tap_that_came_before_it_was_asked(alice: str) -> None:
    tapped(alice)
    told = tell(alice)

    with before_write(1, lambda: tapped(alice)):
        sends(entry_of(alice, told))

    assert (state(alice, told), left(alice)) == (("due", None), 0)


def forgets(weixin: Simulator) -> None:
    """WeChat knows none of its people any more, and says so when it is asked to send to them."""
    weixin.platform.of(Logins).people.clear()


@pytest.mark.parametrize("said", ["they allow none", "busy", "nobody"])
def test_a_run_that_was_given_up_while_it_asked_wechat_changes_nothing_any_more(
    weixin: Simulator, alice: str, said: str
) -> None:
    tapped(alice)
    told = tell(alice)
    entry = entry_of(alice, told)
    if said == "busy":
        weixin.platform.faults[sending.PATH] = "busy"
    if said == "nobody":
        forgets(weixin)
    later = NOW + sending.GIVEN_UP_AFTER_S

    with before_write(3, lambda: sends(entry, by="late", now=later)):
        try:
            sends(entry)
        except AppError as unavailable:
            assert (said, type(unavailable)) == ("busy", client.WeChatUnavailable)

    assert state(alice, told) == ("sent", "unknown")
    assert row_of(alice, told).due_at is None


def test_a_message_that_is_begun_anew_while_its_first_run_is_given_up_is_not_given_up(
    weixin: Simulator, alice: str
) -> None:
    allowed(weixin, alice)
    told = tell(alice)
    entry = entry_of(alice, told)
    first = a_run(entry, by="first")
    ready(entry, by="first")()

    def begun_anew() -> None:
        sending._kept(first)
        ready(entry, by="second")()

    with before_write(1, begun_anew):
        sends(entry, by="late", now=NOW + sending.GIVEN_UP_AFTER_S)

    assert (state(alice, told), row_of(alice, told).sender) == (("sending", None), "second")


# --- what a person decides ----------------------------------------------------------------------------------


def cancelled(stuck_id: str) -> None:
    stuck.cancel(stuck_id=stuck_id, reason="old", by=OWNER, now=NOW)


def tried_again(member_id: str, told: str, stuck_id: str) -> None:
    """A person has it tried once more."""
    stuck.retry(stuck_id=stuck_id, by=OWNER, now=NOW)
    sends(entry_of(member_id, told), by="again")


def test_a_message_that_took_a_consent_while_it_is_cancelled_gives_it_back(
    weixin: Simulator, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "_data", lambda *given, **more: UNTOLD)
    allowed(weixin, alice)
    told = tell(alice)
    waits_for_a_person(alice, told)
    ((found,), _) = stuck.listed(limit=9)

    with before_write(1, lambda: tried_again(alice, told, found.id)), pytest.raises(NotFound):
        cancelled(found.id)
    assert (state(alice, told), left(alice)) == (("taken", None), 0)

    cancelled(found.id)
    assert (state(alice, told), left(alice)) == (("inbox", "cancelled"), 1)


def test_a_message_that_lost_its_consent_while_it_is_cancelled_gives_none_back(
    weixin: Simulator, alice: str
) -> None:
    tapped(alice)
    told = tell(alice)
    waits_for_wechat(weixin, entry_of(alice, told))
    waits_for_a_person(alice, told)
    ((found,), _) = stuck.listed(limit=9)

    def refused_by_wechat() -> None:
        tried_again(alice, told, found.id)
        waits_for_a_person(alice, told)

    with before_write(1, refused_by_wechat), pytest.raises(NotFound):
        cancelled(found.id)
    cancelled(found.id)

    assert (state(alice, told), left(alice)) == (("inbox", "cancelled"), 0)


@pytest.mark.parametrize("before", [0, 1], ids=["the first", "not the first"])
def test_of_two_who_say_at_once_what_a_program_tells_one_is_heard(alice: str, before: int) -> None:
    if not before:
        table.client().delete_item(
            TableName="truth", Key={"pk": {"S": "MESSAGETEMPLATES"}, "sk": {"S": "demo"}}
        )

    with before_write(1, lambda: templates_of(template_id="tpl-one")), pytest.raises(Busy):
        templates_of(template_id="tpl-another")


# --- the inbox ----------------------------------------------------------------------------------------------


class Told:
    """A row as a fact brings it."""

    def __init__(self, **told: Any) -> None:
        self.__dict__.update(told)


def a_group_fails() -> tuple[str, Callable[[], object]]:
    """Somebody's group was not filled."""
    head = a_buyer()
    group = open_paid_group(a_campaign(), buying(head))
    told = {name: getattr(group, name) for name in ("group_id", "campaign_id")}
    return head, lambda: reacting.tell_failed(Told(**told, state="expired", ended_at=NOW), NOW)


def a_refund_is_done() -> tuple[str, Callable[[], object]]:
    """A buyer's money is back."""
    (order,) = orders_of(open_paid_group(a_campaign()))
    refund = Told(refund_id="rfd_1", order_id=order.order_id, amount_fen=8900, done_at=NOW)
    return order.member_id, lambda: reacting.tell_refund(refund, NOW)


def a_coupon_ends() -> tuple[str, Callable[[], object]]:
    """A coupon ends soon."""
    coupon = coupon_things.a_coupon()
    return coupon.member_id, lambda: reacting.tell_coupon(coupon, NOW)


def a_day_is_missed() -> tuple[str, Callable[[], object]]:
    """Somebody has not checked in."""
    campaign = checkin_things.a_checkin()
    part = Told(campaign_id=campaign.campaign_id, member_id="mbr_1", state="2026-01-01")
    return "mbr_1", lambda: reacting.tell_checkin(part, NOW)


def a_commission_is_settled() -> tuple[str, Callable[[], object]]:
    """A promoter has earned."""
    given = {"commission_id": "com_1", "order_id": "ord_1", "settled_at": NOW, "settled_fen": 120}
    row = Told(state="settled", promoter_id="mbr_1", **given)
    return "mbr_1", lambda: reacting.tell_settled(row, NOW)


def a_withdrawal_waits() -> tuple[str, Callable[[], object]]:
    """A withdrawal waits for its member."""
    given = {"withdrawal_id": "wdr_1", "net_fen": 100, "confirm_by": NOW + HOUR}
    row = Told(state="awaiting_confirmation", member_id="mbr_1", **given)
    return "mbr_1", lambda: reacting.tell_awaiting(row, NOW)


def somebody_is_told() -> tuple[str, Callable[[], object]]:
    """News as such."""
    told = news(cause="rfd_1")
    return "mbr_1", lambda: tell("mbr_1", told)


@pytest.mark.usefixtures("direct")
@pytest.mark.parametrize(
    "of",
    [
        a_group_fails,
        a_refund_is_done,
        a_coupon_ends,
        a_day_is_missed,
        a_commission_is_settled,
        a_withdrawal_waits,
        somebody_is_told,
    ],
)
def test_what_was_seen_is_not_told_again(of: Callable[[], tuple[str, Callable[[], object]]]) -> None:
    member_id, tells = of()
    tells()
    (line,) = service.listed(member_id, limit=9, before=None)[0]
    service.see(member_id, [line.notification_id], now=NOW)

    tells()

    assert (service.unread(member_id), row_of(member_id, line.notification_id).seen_at) == (0, NOW)


@pytest.mark.usefixtures("direct")
def test_what_was_seen_was_seen_when_it_was_first() -> None:
    told = tell("mbr_1")

    for now in (NOW, NOW + 9):
        service.see("mbr_1", [told], now=now)

    assert row_of("mbr_1", told).seen_at == NOW


def a_day(number: int) -> NotificationSettings:
    """So many messages a day are wanted."""
    return NotificationSettings(a_day=number)


def seen(member_id: str) -> None:
    """All of an inbox was looked at."""
    service.see(member_id, service.unseen_before(member_id, NOW + 1), now=NOW)


CHANGES: dict[str, tuple[Callable[[str], object], Callable[[str], object], Callable[[str], object]]] = {
    "a consent": (tapped, tapped, lambda who: left(who) == 2),
    "a line": (tell, seen, lambda who: service.unread(who) == 0),
    "settings": (
        lambda who: preferences.say(who, a_day(1)),
        lambda who: preferences.say(who, a_day(2)),
        lambda who: preferences.of(who).a_day == 2,
    ),
}


@pytest.mark.parametrize("of", CHANGES)
def test_what_changes_while_it_goes_over_goes_over_as_it_is_by_then(alice: str, of: str) -> None:
    begin, change, is_so_of = CHANGES[of]
    begin(alice)

    with before_write(1, lambda: change(alice)), pytest.raises(Busy):
        merging.hand_over(alice, "mbr_b", NOW)
    while merging.hand_over(alice, "mbr_b", NOW):
        pass

    assert is_so_of("mbr_b")


def test_settings_that_the_other_says_meanwhile_stay_theirs(alice: str) -> None:
    preferences.say(alice, a_day(1))

    with before_write(1, lambda: preferences.say("mbr_b", a_day(2))), pytest.raises(Busy):
        merging.hand_over(alice, "mbr_b", NOW)
    while merging.hand_over(alice, "mbr_b", NOW):
        pass

    assert preferences.of("mbr_b") == a_day(2)
