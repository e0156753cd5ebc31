"""What each room's facts tell, to whom, and the cards of groups in chats."""

import time
from typing import Any

import pytest

from chalicelib.core import config, due, facts, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.coupons import service as coupons
from chalicelib.notifications import activities, reacting, service, watching
from chalicelib.notifications.models import Activity
from chalicelib.wechat import client
from infra.local.wechat import Simulator
from infra.local.wechat.messages import Messages
from tests import checkins as checkin_things
from tests import coupons as coupon_things
from tests import withdrawals as withdrawal_things
from tests.factories import NOW, PROGRAM, a_member, reacted
from tests.groupbuys import a_campaign, buying, open_paid_group, pay, take
from tests.harness.direct import Direct
from tests.notifications import program

pytestmark = pytest.mark.alone("notifications")


def told(member_id: str) -> list[tuple[str, dict[str, Any]]]:
    """What a member's inbox has, oldest first."""
    rows, _ = service.listed(member_id, limit=100, before=None)
    return [(row.about, row.data) for row in reversed(rows)]


class Row:
    """A row as a fact brings it."""

    def __init__(self, **told: Any) -> None:
        self.__dict__.update(told)


# --- groups -------------------------------------------------------------------------------------------------


def test_who_has_paid_is_told_that_the_group_is_full_and_who_has_not_is_not(direct: Direct) -> None:
    head, other, third = a_member(), a_member(), a_member()
    campaign = a_campaign(sizes={3: 8900})
    group = open_paid_group(campaign, buying(head))
    pay(take(group, buying(other)))
    waits = take(group, buying(third))
    reacted(direct, now=NOW)
    assert told(head) == told(other) == told(third) == []

    pay(waits)
    for _ in range(2):
        reacted(direct, now=NOW)
    assert [told(one) for one in (head, other, third)] == [
        [("group_filled", {"about": "Tea", "size": 3, "ended_at": NOW})]
    ] * 3


def test_a_group_that_lacks_people_is_told_of_once_before_it_ends_and_then_that_it_failed(
    direct: Direct,
) -> None:
    head = a_member()
    group = open_paid_group(a_campaign(sizes={3: 8900}, group_lifetime_s=DAY), buying(head))
    reacted(direct, now=NOW)
    due.run(job=watching.JOB, worker="w", now=NOW + 22 * HOUR - 1, seconds=5)
    assert told(head) == []

    for _ in range(2):
        due.run(job=watching.JOB, worker="w", now=NOW + 22 * HOUR, seconds=5)
    ends = NOW + DAY
    assert told(head) == [("group_expiring", {"about": "Tea", "missing": 2, "expires_at": ends})]
    reacting.tell_expiring(group.group_id, now=NOW + 22 * HOUR)
    assert len(told(head)) == 1

    reacting.tell_failed(Row(**vars_of(group), state="expired", ended_at=ends), ends)
    assert [kind for kind, _ in told(head)] == ["group_expiring", "group_failed"]


def vars_of(group: Any) -> dict[str, Any]:
    return {name: getattr(group, name) for name in ("group_id", "campaign_id")}


def test_a_group_that_is_full_is_not_told_to_end_soon(direct: Direct) -> None:
    head = a_member()
    group = open_paid_group(a_campaign(sizes={2: 8900}, group_lifetime_s=DAY), buying(head))
    reacted(direct, now=NOW)
    pay(take(group))
    due.run(job=watching.JOB, worker="w", now=NOW + 22 * HOUR, seconds=5)

    assert told(head) == []


# --- the others ---------------------------------------------------------------------------------------------


def test_a_coupon_that_ends_soon_is_told_of_while_it_can_be_used(direct: Direct) -> None:
    coupon = coupon_things.a_coupon()
    row = Row(coupon_id=coupon.coupon_id, member_id=coupon.member_id, template_id=coupon.template_id)
    reacting.tell_coupon(row, coupon.ends_at)
    reacting.tell_coupon(Row(coupon_id=coupon.coupon_id, member_id="mbr_other", template_id=""), NOW)
    assert told(coupon.member_id) == told("mbr_other") == []

    reacting.tell_coupon(row, NOW)
    reacting.tell_coupon(row, NOW)
    [(kind, data)] = told(coupon.member_id)
    assert (kind, data["ends_at"]) == ("coupon_expiring", coupon.ends_at)
    assert coupons.usable(coupon, now=NOW)


def test_a_day_without_a_check_in_is_told_of_once(direct: Direct) -> None:
    campaign = checkin_things.a_checkin()
    for turn in ("2026-01-01", "2026-01-01", "2026-01-02"):
        reacting.tell_checkin(Row(campaign_id=campaign.campaign_id, member_id="mbr_1", state=turn), NOW)

    assert [kind for kind, _ in told("mbr_1")] == ["checkin_reminder"] * 2


def test_a_withdrawal_is_told_of_when_it_waits_and_how_it_ended(direct: Direct) -> None:
    config.override(payout_gateways="sandbox manual mall")
    withdrawal_things.a_promoter()
    withdrawal_things.terms()
    withdrawal_things.earn(100_00)
    row = withdrawal_things.sent(
        withdrawal_things.approve(withdrawal_things.withdraw(50_00, method="sandbox"))
    )
    reacted(direct, now=NOW)
    alice = withdrawal_things.ALICE
    assert row.state == "awaiting_confirmation"
    assert [kind for kind, _ in told(alice)] == ["withdrawal_awaiting"]

    # A fact that comes late, when it is not so any more, tells nothing.
    reacting.tell_awaiting(Row(state="paid"), NOW)
    facts.dispatch(facts.Fact(name="withdrawal.paid", pk=row.pk, sk=row.sk, rev=1, owed=False), now=NOW)
    assert len(told(alice)) == 1
    row.state, row.ended_at = "expired", NOW + DAY
    reacting._tell_end("withdrawal.expired", row, NOW + DAY)
    assert told(alice)[1] == ("withdrawal_failed", {"amount_fen": 50_00, "ended_at": NOW + DAY})


def test_a_commission_that_is_settled_is_told_to_its_promoter(direct: Direct) -> None:
    given = {"commission_id": "com_1", "order_id": "ord_1", "promoter_id": "mbr_p", "settled_at": NOW}
    reacting.tell_settled(Row(state="due", **given), NOW)
    reacting.tell_settled(Row(state="settled", settled_fen=120, **given), NOW)

    assert told("mbr_p") == [
        ("commission_settled", {"amount_fen": 120, "order_id": "ord_1", "settled_at": NOW})
    ]


def test_money_that_is_back_is_told_to_its_buyer(direct: Direct) -> None:
    buyer = a_member()
    group = open_paid_group(a_campaign(sizes={2: 8900}), buying(buyer))
    order = take(group, buying(buyer))
    reacting.tell_refund(Row(refund_id="rfd_1", order_id=order.order_id, amount_fen=8900, done_at=NOW), NOW)

    assert told(buyer) == [("refund_done", {"about": order.title, "amount_fen": 8900, "done_at": NOW})]


# --- cards in chats -----------------------------------------------------------------------------------------


@pytest.fixture
def now(weixin: Simulator, direct: Direct) -> int:
    """The simulator's own clock says when a card ends."""
    program()
    return int(time.time())


def a_group(now: int, **more: Any) -> Any:
    """A group of three whose head has paid."""
    given = {"sizes": {3: 8900}, "starts_at": now - DAY, "ends_at": now + 9 * DAY, **more}
    return open_paid_group(a_campaign(**given), now=now)


def told_cards(weixin: Simulator, row: Activity) -> list[tuple[int, str | None]]:
    """What a card was told: its state, and how many have paid."""
    card = weixin.platform.of(Messages).cards[row.activity_id]
    return [(state, parameters.get("member_count")) for state, parameters in card["told"]]


def tell_cards(now: int) -> due.Ran:
    return due.run(job=activities.JOB, worker="w", now=now, seconds=10)


def test_a_card_is_made_once_and_follows_its_group(weixin: Simulator, direct: Direct, now: int) -> None:
    group = a_group(now)
    row, _ = activities.share(group.group_id, program_id=PROGRAM, now=now)
    again, _ = activities.share(group.group_id, program_id=PROGRAM, now=now)
    assert row.activity_id == again.activity_id and len(weixin.platform.of(Messages).cards) == 1

    pay(take(group, now=now), now=now)
    reacted(direct, now=now)
    tell_cards(now)
    tell_cards(now)
    pay(take(group, now=now), now=now)
    reacted(direct, now=now)
    tell_cards(now)

    assert told_cards(weixin, row) == [(0, "2"), (1, None)]


def test_what_happens_before_a_card_is_told_is_told_together(
    weixin: Simulator, direct: Direct, now: int
) -> None:
    group = a_group(now)
    row, _ = activities.share(group.group_id, program_id=PROGRAM, now=now)
    for _ in range(2):
        pay(take(group, now=now), now=now)
    reacted(direct, now=now)
    tell_cards(now)

    assert told_cards(weixin, row) == [(1, None)]


def test_a_card_that_wechat_did_not_hear_of_is_told_later(
    weixin: Simulator, direct: Direct, now: int
) -> None:
    group = a_group(now)
    row, _ = activities.share(group.group_id, program_id=PROGRAM, now=now)
    pay(take(group, now=now), now=now)
    reacted(direct, now=now)
    weixin.platform.faults[activities.SEND] = "busy"
    assert tell_cards(now).failed == 1
    weixin.platform.faults.clear()
    tell_cards(now + due.FIRST_PAUSE_S)

    assert told_cards(weixin, row) == [(0, "2")]


def test_a_day_later_a_card_is_told_nothing_and_says_so(weixin: Simulator, direct: Direct, now: int) -> None:
    group = a_group(now, group_lifetime_s=3 * DAY)
    row, _ = activities.share(group.group_id, program_id=PROGRAM, now=now)
    pay(take(group, now=now), now=now)
    reacted(direct, now=now)
    tell_cards(row.expires_at)
    assert told_cards(weixin, row) == []

    after = table.get(Activity, (row.pk, row.sk))
    assert after is not None and after.due_at is None and after.shown == activities.OVER


def test_a_run_beside_another_leaves_the_card_to_it(
    weixin: Simulator, direct: Direct, now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = a_group(now)
    row, _ = activities.share(group.group_id, program_id=PROGRAM, now=now)
    pay(take(group, now=now), now=now)
    reacted(direct, now=now)
    found = table.get(Activity, (row.pk, row.sk))
    assert found is not None and found.due_shard and found.due_at
    entry = due.Entry(
        pk=row.pk, sk=row.sk, kind="activity", due_shard=found.due_shard, due_at=now, due_ref=""
    )

    def dies(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as asking, pytest.raises(KeyboardInterrupt):
        asking.setattr(client, "call", dies)
        activities.tell(entry, now)

    activities.tell(entry, now)
    assert told_cards(weixin, row) == []
    activities.tell(entry, now + activities.BUSY_S)
    assert told_cards(weixin, row) == [(0, "2")]


def test_a_run_that_is_overtaken_while_it_tells_does_not_turn_a_card_back(
    weixin: Simulator, direct: Direct, now: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = a_group(now)
    row, _ = activities.share(group.group_id, program_id=PROGRAM, now=now)
    pay(take(group, now=now), now=now)
    reacted(direct, now=now)
    real = client.call
    calls: list[Any] = []

    def slowly(*given: Any, **more: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            pay(take(group, now=now), now=now)
            reacted(direct, now=now)
            tell_cards(now)
        return real(*given, **more)

    monkeypatch.setattr(client, "call", slowly)
    tell_cards(now)
    assert told_cards(weixin, row) == [(0, "2")]
    tell_cards(now + activities.BUSY_S)
    assert told_cards(weixin, row) == [(0, "2"), (1, None)]
