"""Notifications: the inbox, settings, consents, and what becomes of a message when WeChat says this or that."""

import pytest

from chalicelib.core.clock import HOUR, MINUTE
from chalicelib.core.errors import Invalid
from chalicelib.core.http import Call, Listing
from chalicelib.coupons import routes as coupon_routes
from chalicelib.coupons.schemas import OffersQuery
from chalicelib.notifications import admin, consents, leaving, merging, preferences, routes, sending, service
from chalicelib.notifications.rules import Kind
from chalicelib.notifications.schemas import (
    AfterTap,
    EditTemplates,
    MessageTemplate,
    NotificationSettings,
    QuietHours,
    Seen,
    Tapped,
)
from chalicelib.operators import stuck
from chalicelib.wechat import budgets
from chalicelib.withdrawals import routes as withdrawal_routes
from infra.local.wechat import Simulator
from tests.factories import NOW, OWNER, PROGRAM, a_call, called
from tests.harness.direct import Direct
from tests.harness.rows import rows
from tests.notifications import (
    TEMPLATE,
    a_person,
    allowed,
    left,
    news,
    on_phone,
    program,
    row_of,
    run,
    shown,
    state,
    tapped,
    tell,
    templates_of,
)

NIGHT = NOW + 13 * HOUR
MORNING = NOW + 22 * HOUR


@pytest.fixture
def alice(weixin: Simulator, direct: Direct) -> str:
    """A member whose program tells of refunds, on a phone that the simulator knows."""
    program()
    templates_of()
    on_phone(weixin, taps=0)
    return a_person(weixin=weixin)


# --- the inbox ----------------------------------------------------------------------------------------------


def test_a_fact_that_is_told_twice_is_one_line(alice: str) -> None:
    twice = [tell(alice, news(cause="rfd_1"), now=NOW + n) for n in range(2)]

    inbox = routes.list_notifications(called(alice), Listing())
    assert [line.id for line in inbox.items] == twice[:1] and inbox.unread == 1
    (line,) = inbox.items
    assert (line.title, line.text) == ("Your money is back", "¥89.00 of “龙井茶” was refunded.")
    assert (line.target.kind, line.target.id, line.at, line.seen) == ("order", "ord_1", NOW, False)


def test_the_inbox_is_read_in_pages_newest_first_and_in_chinese(alice: str) -> None:
    told = [tell(alice, now=NOW + n) for n in range(3)]
    session = called(alice).caller.session
    call = a_call(session=session, lang="zh")

    first = routes.list_notifications(call, Listing(limit=2))
    rest = routes.list_notifications(call, Listing(limit=2, after=first.next))

    assert [line.id for line in (*first.items, *rest.items)] == told[::-1] and rest.next is None
    assert first.items[0].text == "「龙井茶」已退款 ¥89.00。"


def test_seen_is_by_id_or_before_a_time_and_once(alice: str) -> None:
    one, two, three = (tell(alice, now=NOW + n) for n in range(3))

    assert routes.see(called(alice), Seen(ids=[two])).unread == 2
    assert routes.see(called(alice), Seen(ids=[two])).unread == 2
    at = row_of(alice, two).seen_at
    assert routes.see(called(alice, now=NOW + 9), Seen(before=NOW + 2)).unread == 1
    assert row_of(alice, two).seen_at == at and row_of(alice, three).seen_at is None
    inbox = routes.list_notifications(called(alice), Listing())
    assert [(line.id, line.seen) for line in inbox.items] == [(three, False), (two, True), (one, True)]


def test_somebody_elses_is_not_seen_by_me(alice: str) -> None:
    told = tell(alice)
    routes.see(called("mbr_other"), Seen(ids=[told]))

    assert row_of(alice, told).seen_at is None


def test_more_than_a_hundred_unread_are_told_as_a_hundred(alice: str) -> None:
    for _ in range(103):
        tell(alice)

    assert routes.list_notifications(called(alice), Listing()).unread == 100


# --- templates and consents ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keyword", "source"),
    [
        ("thing1", "nothing"),
        ("picture1", "about"),
        ("amount2", "about"),
        ("phrase4", "about"),
        ("phrase4", "=abc"),
        ("thing1", "=" + "长" * 21),
        ("number1", "=12a"),
        ("car_number1", "=粤A8Z888888"),
    ],
)
def test_a_keyword_that_wechat_would_not_take_is_refused(alice: str, keyword: str, source: str) -> None:
    item = MessageTemplate(kind="refund_done", template_id=TEMPLATE, keywords={keyword: source})

    with pytest.raises(Invalid) as refused:
        admin.edit_templates(a_call(operator=OWNER), PROGRAM, EditTemplates(items=[item]))
    assert refused.value.details["field"] == f"items.0.keywords.{keyword}"


def test_what_a_tap_may_be_asked_for_leaves_out_what_was_refused_or_switched_off(alice: str) -> None:
    kinds: tuple[Kind, ...] = ("withdrawal_awaiting", "withdrawal_paid", "withdrawal_failed")
    items = [
        MessageTemplate(kind=kind, template_id=f"t-{kind}", keywords={"thing1": "title"}) for kind in kinds
    ]
    admin.edit_templates(a_call(operator=OWNER), PROGRAM, EditTemplates(items=items))

    def ask(now: int = NOW) -> list[str]:
        return routes.ask(called(alice, now=now), AfterTap(after="withdrawal")).template_ids

    assert ask() == ["t-withdrawal_awaiting", "t-withdrawal_paid", "t-withdrawal_failed"]
    tapped(alice, said="reject", template_id="t-withdrawal_paid")
    routes.edit_settings(called(alice), NotificationSettings(off=["withdrawal_failed"]))
    assert ask() == ["t-withdrawal_awaiting"]
    assert "t-withdrawal_paid" in ask(NOW + consents.LEFT_ALONE_S["reject"])


def test_the_page_that_a_tap_follows_says_what_to_ask_in_it(alice: str) -> None:
    def asked(by: Call) -> list[str]:
        return coupon_routes.list_offers(by, OffersQuery()).ask_subscriptions

    assert asked(called(alice)) == []
    item = MessageTemplate(kind="coupon_expiring", template_id="t-coupon", keywords={"thing1": "title"})
    admin.edit_templates(a_call(operator=OWNER), PROGRAM, EditTemplates(items=[item]))

    assert asked(called(alice)) == ["t-coupon"] == routes.before("coupon_claim", called(alice))
    assert withdrawal_routes.show_rules(called(alice)).ask_subscriptions == []
    assert asked(a_call()) == []
    tapped(alice, said="reject", template_id="t-coupon")
    assert asked(called(alice)) == []


def test_a_tap_counts_once_and_each_accept_is_one_message(alice: str) -> None:
    body = Tapped(tap_id="tap-00001", results={TEMPLATE: "accept"})

    assert routes.tap(called(alice), body).left == {TEMPLATE: 1}
    assert routes.tap(called(alice), body).left == {TEMPLATE: 1}
    assert tapped(alice) == 2
    assert tapped(alice, said="reject") == 2
    with pytest.raises(Invalid):
        routes.tap(called(alice), Tapped(tap_id="tap-00002", results={"strange": "accept"}))


# --- sending ------------------------------------------------------------------------------------------------


def test_a_message_goes_out_once_with_its_fields_and_takes_its_consent(weixin: Simulator, alice: str) -> None:
    allowed(weixin, alice)
    told = tell(alice)
    assert not run().failed
    run()

    (message,) = shown(weixin)
    assert state(alice, told) == ("sent", None) and left(alice) == 0
    assert {name: one["value"] for name, one in message["data"].items()} == {
        "thing1": "龙井茶",
        "amount2": "89.00元",
        "time3": "2026年1月1日 10:00",
        "phrase4": "已退款",
    }
    assert message["page"] == "pages/home?target=order&id=ord_1"
    assert (message["miniprogram_state"], message["lang"]) == ("trial", "zh_CN")
    assert row_of(alice, told).due_at is None


def test_without_a_consent_or_a_template_it_stays_in_the_inbox(weixin: Simulator, alice: str) -> None:
    told, other = tell(alice), tell(alice, news("group_failed"))
    run()

    assert state(alice, told) == ("inbox", "no_consent") and state(alice, other) == ("inbox", "no_template")
    assert shown(weixin) == []


def test_one_consent_is_one_message(weixin: Simulator, alice: str) -> None:
    allowed(weixin, alice, taps=2)
    told = [tell(alice) for _ in range(3)]
    run()

    assert sorted(str(state(alice, one)[0]) for one in told) == ["inbox", "sent", "sent"]
    assert len(shown(weixin)) == 2 and left(alice) == 0


def test_a_reply_that_is_lost_counts_as_sent(weixin: Simulator, alice: str) -> None:
    allowed(weixin, alice, taps=2)
    told = tell(alice)
    weixin.platform.faults[sending.PATH] = "lost"
    run()
    weixin.platform.faults.clear()
    run(now=NOW + HOUR)

    assert state(alice, told) == ("sent", "unknown") and len(shown(weixin)) == 1 and left(alice) == 1


def test_wechat_being_busy_keeps_the_consent_and_sends_later(weixin: Simulator, alice: str) -> None:
    allowed(weixin, alice)
    told = tell(alice)
    weixin.platform.faults[sending.PATH] = "busy"
    assert run().failed == 1
    assert state(alice, told) == ("taken", None) and left(alice) == 0 and shown(weixin) == []

    weixin.platform.faults.clear()
    run(now=NOW + MINUTE)
    assert state(alice, told) == ("sent", None) and len(shown(weixin)) == 1 and left(alice) == 0


def test_no_token_takes_no_consent(weixin: Simulator, alice: str) -> None:
    allowed(weixin, alice)
    told = tell(alice)
    weixin.platform.faults["/cgi-bin/stable_token"] = "lost"
    assert run().failed == 1

    assert state(alice, told) == ("due", None) and left(alice) == 1


def test_what_the_member_allows_no_more_at_wechat_is_closed_here(weixin: Simulator, alice: str) -> None:
    for _ in range(3):
        tapped(alice)
    told = tell(alice)
    run()
    assert left(alice) == 0 and state(alice, told) == ("due", None)

    run(now=NOW + MINUTE)
    assert state(alice, told) == ("inbox", "no_consent") and shown(weixin) == []


def test_a_field_that_wechat_refuses_waits_for_a_person_and_goes_out_when_it_is_set_right(
    weixin: Simulator, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed(weixin, alice)
    told = tell(alice)
    real = sending._data
    monkeypatch.setattr(sending, "_data", lambda *given, **more: {"thing1": {"value": ""}})
    run()
    (waits,) = stuck.listed(limit=10)[0]
    assert waits.story.member_id == alice and "47003" in (waits.row.last_error or "")
    assert left(alice) == 0

    monkeypatch.setattr(sending, "_data", real)
    stuck.retry(stuck_id=waits.id, by=OWNER, now=NOW)
    run()
    assert state(alice, told) == ("sent", None) and len(shown(weixin)) == 1


def test_a_stuck_message_that_is_cancelled_gives_its_consent_back_once(
    weixin: Simulator, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed(weixin, alice)
    told = tell(alice)
    monkeypatch.setattr(sending, "_data", lambda *given, **more: {"thing1": {"value": ""}})
    run()
    (waits,) = stuck.listed(limit=10)[0]
    for _ in range(2):
        stuck.cancel(stuck_id=waits.id, reason="old", by=OWNER, now=NOW)

    assert state(alice, told) == ("inbox", "cancelled") and left(alice) == 1


def test_a_spent_budget_waits_with_its_consent(
    weixin: Simulator, alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(budgets.BUDGETS, "message", budgets.Budget(a_minute=1))
    allowed(weixin, alice, taps=2)
    one, two = tell(alice), tell(alice)
    run()
    assert sorted(str(state(alice, each)[0]) for each in (one, two)) == ["sent", "taken"]
    assert left(alice) == 0 and not stuck.listed(limit=10)[0]

    run(now=NOW + MINUTE)
    assert state(alice, one)[0] == state(alice, two)[0] == "sent" and len(shown(weixin)) == 2


def test_a_run_that_died_while_sending_counts_as_sent_after_a_while(weixin: Simulator, alice: str) -> None:
    allowed(weixin, alice)
    told = tell(alice)
    one = sending._Sending(row=row_of(alice, told), by="dead", now=NOW)
    sending._begin(one, *sending._way(one))  # type: ignore[arg-type]

    run(now=NOW + MINUTE)
    assert state(alice, told) == ("sending", None)
    run(now=NOW + sending.GIVEN_UP_AFTER_S)
    assert state(alice, told) == ("sent", "unknown") and shown(weixin) == []


# --- when not -----------------------------------------------------------------------------------------------


def test_quiet_hours_put_a_message_off_until_they_end(weixin: Simulator, alice: str) -> None:
    allowed(weixin, alice)
    told = tell(alice, now=NIGHT)
    run(now=NIGHT)
    assert row_of(alice, told).due_at == MORNING and left(alice) == 1

    run(now=MORNING)
    assert state(alice, told) == ("sent", None) and len(shown(weixin)) == 1


def test_what_is_of_no_use_any_more_is_not_sent(weixin: Simulator, alice: str) -> None:
    allowed(weixin, alice)
    told = tell(alice, news(until=MORNING), now=NIGHT)
    run(now=NIGHT)
    run(now=MORNING)

    assert state(alice, told) == ("inbox", "too_late") and left(alice) == 1


def test_a_day_has_so_many_messages_and_the_rest_is_for_the_inbox(weixin: Simulator, alice: str) -> None:
    preferences.say(alice, NotificationSettings(a_day=2, quiet=None))
    allowed(weixin, alice, taps=4)
    told = [tell(alice) for _ in range(3)]
    run()

    assert sorted(str(state(alice, one)) for one in told)[0] == "('inbox', 'day_full')"
    assert len(shown(weixin)) == 2 and left(alice) == 2
    tomorrow = tell(alice)
    run(now=NOW + 24 * HOUR)
    assert state(alice, tomorrow)[0] == "sent"


def test_a_kind_that_is_off_is_not_sent_and_still_in_the_inbox(weixin: Simulator, alice: str) -> None:
    routes.edit_settings(called(alice), NotificationSettings(off=["refund_done"], quiet=QuietHours()))
    assert routes.show_settings(called(alice)).settings.off == ["refund_done"]
    allowed(weixin, alice)
    told = tell(alice)
    run()

    assert state(alice, told) == ("inbox", "off") and left(alice) == 1
    assert service.unread(alice) == 1


# --- who becomes another, or leaves -------------------------------------------------------------------------


def test_who_becomes_another_takes_lines_and_consents_along_and_the_message_still_goes(
    weixin: Simulator, alice: str
) -> None:
    bob = a_person("bob", weixin=weixin)
    one, two = tell(alice), tell(alice)
    service.see(alice, [one], now=NOW)
    for who in (alice, bob):
        tapped(who)
    on_phone(weixin, name="bob", taps=2)
    while merging.hand_over(alice, bob, NOW):
        pass
    run()

    assert left(bob) == 0 and left(alice) == 0 and len(shown(weixin)) == 2
    inbox = routes.list_notifications(called(bob), Listing())
    assert {(line.id, line.seen) for line in inbox.items} == {(one, True), (two, False)}
    assert routes.list_notifications(called(alice), Listing()).items == []


def test_who_leaves_leaves_nothing(alice: str, direct: Direct) -> None:
    told = tell(alice)
    tapped(alice)
    routes.edit_settings(called(alice), NotificationSettings(a_day=1))
    exported = leaving.export(alice, NOW)
    assert [line["notification_id"] for line in exported["notifications"]] == [told]
    assert exported["consents"] == [{"of": f"{PROGRAM}#{TEMPLATE}", "left": 1}]

    while leaving.erase(alice, NOW):
        pass
    run()
    assert [row for row in rows(direct, "truth") if row["pk"] == f"NOTIFY#{alice}"] == []
