"""Content checks against the simulated WeChat: nothing unsafe is shown, what cannot be checked yet is pending."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.checkins import noting, routes
from chalicelib.checkins.schemas import CheckIn, FoundTeam
from chalicelib.core import config, due, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import AppError
from chalicelib.members import merging
from chalicelib.members import service as members
from chalicelib.operators import stuck
from chalicelib.safety import risk
from chalicelib.safety import service as safety
from chalicelib.safety.models import Check
from chalicelib.wechat import client
from chalicelib.wechat import service as login
from infra.local import wechat
from infra.local.wechat import Simulator, pushes
from infra.local.wechat.login import Logins
from tests.checkins import a_challenge
from tests.factories import OWNER, a_member, a_word, called, reacted
from tests.merging import FAIR, Two, looked, sign_in
from tests.wechat import APP, add_program

pytestmark = pytest.mark.usefixtures("direct")


@pytest.fixture(autouse=True)
def _on(direct: object, weixin: Simulator) -> None:
    config.override(content_safety="wechat")
    add_program()


@pytest.fixture
def alice(weixin: Simulator) -> str:
    """Somebody who has just signed in with WeChat."""
    return signed_in("alice")


def signed_in(name: str) -> str:
    told = login.code_to_session(APP, code=name, now=now())
    proofs = [f"openid#demo#{told.openid}", f"unionid#{told.unionid}"]
    return members.find_or_register(proofs=proofs, program_id="demo", now=now())[0].member_id


def now() -> int:
    return int(time.time())


def name(member_id: str, nickname: str) -> members.Member:
    return members.present(member_id=member_id, program_id="demo", nickname=nickname, now=now())


def checks() -> list[Check]:
    entries, _ = table.index("due", Check.due_shard == f"{safety.JOB}#0", limit=50)
    return [row for row in table.get_all([(Check, (one["pk"], one["sk"])) for one in entries]) if row]


def react() -> None:
    """All that the stream has ever brought is reacted to, once more."""
    reacted(table.client(), now=now())


def run(at: int | None = None) -> due.Ran:
    return due.run(job=safety.JOB, worker=a_word(), now=at or now(), seconds=5)


def handed_over() -> list[stuck.Stuck]:
    return [one for one in stuck.listed(limit=50)[0] if one.trouble.job == safety.JOB]


# --- texts --------------------------------------------------------------------------------------------------


def test_a_name_that_wechat_passes_is_shown_at_once_and_an_unsafe_one_never(alice: str) -> None:
    assert name(alice, "小红").nickname == "小红"
    with pytest.raises(safety.ContentRefused) as refused:
        name(alice, "违规的名字")

    assert refused.value.details == {"field": "nickname"}
    assert members.show(alice).nickname == "小红" and checks() == []


def test_switched_off_nothing_is_asked(alice: str, weixin: Simulator) -> None:
    config.override(content_safety="off")
    calls = weixin.calls

    assert name(alice, "违规的名字").nickname == "违规的名字"
    assert weixin.calls == calls


@pytest.mark.parametrize("fault", ["busy", "lost"])
def test_what_cannot_be_checked_now_is_pending_and_shown_once_it_was(
    alice: str, weixin: Simulator, fault: wechat.Fault
) -> None:
    name(alice, "小红")
    weixin.platform.faults["/wxa/msg_sec_check"] = fault
    pending = name(alice, "小明")
    assert (pending.nickname, pending.nickname_pending) == ("小红", "小明")
    assert name(alice, "小明").nickname_pending == "小明" and len(checks()) == 1
    assert run().failed == 1

    weixin.platform.faults.clear()
    assert run(now() + due.FIRST_PAUSE_S + 1).handled == 1
    react()
    shown = members.show(alice)
    assert [shown.nickname, shown.nickname_pending] == ["小明", None]
    react()
    assert members.show(alice).nickname == "小明"


def test_a_pending_name_that_turns_out_unsafe_is_never_shown(alice: str, weixin: Simulator) -> None:
    weixin.platform.faults["/wxa/msg_sec_check"] = "busy"
    name(alice, "违规的名字")
    weixin.platform.faults.clear()
    run()
    react()

    shown = members.show(alice)
    assert [shown.nickname, shown.nickname_pending] == [None, None]
    with pytest.raises(safety.ContentRefused):
        name(alice, "违规的名字")


def test_a_name_that_was_pending_does_not_take_the_place_of_a_later_one(
    alice: str, weixin: Simulator
) -> None:
    weixin.platform.faults["/wxa/msg_sec_check"] = "busy"
    name(alice, "小明")
    weixin.platform.faults.clear()
    name(alice, "小红")
    run()
    react()

    assert members.show(alice).nickname == "小红"


def test_what_wechat_leaves_open_waits_for_a_person_who_decides_once(alice: str) -> None:
    assert name(alice, "存疑的名字").nickname_pending == "存疑的名字"
    run()
    [waiting] = handed_over()
    assert waiting.story.member_id == alice and waiting.story.details["content"] == "存疑的名字"

    for _ in range(2):
        said = stuck.settle(stuck_id=waiting.id, how="approved", reason="fine", by=OWNER, now=now())
        assert said == "approved"
    react()
    assert members.show(alice).nickname == "存疑的名字" and handed_over() == []
    with pytest.raises(AppError):
        stuck.settle(stuck_id=waiting.id, how="rejected", reason="not fine", by=OWNER, now=now())


def test_somebody_who_was_not_here_for_two_hours_is_judged_by_a_person(alice: str, weixin: Simulator) -> None:
    weixin.platform.of(Logins).at.clear()
    assert name(alice, "小明").nickname_pending == "小明"
    run()

    [waiting] = handed_over()
    assert "61010" in str(waiting.row.last_error) or waiting.row.last_error == "wechat_refused"


def test_the_same_text_is_judged_again_after_it_was_decided(alice: str, weixin: Simulator) -> None:
    for _ in range(2):
        weixin.platform.faults["/wxa/msg_sec_check"] = "busy"
        members.edit(member_id=alice, nickname="小红")
        name(alice, "小明")
        weixin.platform.faults.clear()
        assert run().handled == 1
        react()
        assert members.show(alice).nickname == "小明"


def settled(how: str) -> None:
    """A person decides about the one thing that waits, and what follows happens."""
    run()
    [waiting] = handed_over()
    stuck.settle(stuck_id=waiting.id, how=how, reason="looked at", by=OWNER, now=now())
    react()


@pytest.mark.parametrize(("how", "title"), [("approved", "存疑的队"), ("rejected", "Early birds")])
def test_a_team_has_the_title_of_its_campaign_until_its_own_is_checked(
    alice: str, how: str, title: str
) -> None:
    bob = signed_in("bob")
    challenge = a_challenge(title="Early birds", team_size=5, starts_at=now() - DAY, ends_at=now() + DAY)
    with pytest.raises(safety.ContentRefused) as refused:
        routes.found_team(called(alice, now=now()), challenge.campaign_id, FoundTeam(title="违规的队"))
    assert refused.value.details == {"field": "title"}

    made = routes.found_team(
        called(alice, now=now()), challenge.campaign_id, FoundTeam(title="存疑的队")
    ).body
    shown = routes.show_team(called(bob, now=now()), challenge.campaign_id, made.team_id)
    assert [made.title, made.title_pending] == ["Early birds", "存疑的队"]
    assert [shown.title, shown.title_pending] == ["Early birds", None]

    settled(how)
    shown = routes.show_team(called(alice, now=now()), challenge.campaign_id, made.team_id)
    assert [shown.title, shown.title_pending] == [title, None]


@pytest.fixture
def two(weixin: Simulator) -> Two:
    """Two members who have signed in with WeChat and are one person, which nobody knows yet."""
    told = login.code_to_session(APP, code="carol", now=now())
    one = a_member(proof=f"openid#demo#{told.openid}")
    other = a_member(proof=FAIR)
    sign_in(FAIR, f"unionid#{told.unionid}")
    return Two(one, other)


def become_one(two: Two) -> None:
    """They have proved to be one, and all that they have has gone over."""
    told = login.code_to_session(APP, code="carol", now=now())
    assert sign_in(f"openid#demo#{told.openid}", f"unionid#{told.unionid}", now=now()).member_id == two.other
    looked(now=now() + merging.LOOKS_S[0])


def test_a_name_that_was_pending_is_that_of_whom_its_member_became(two: Two) -> None:
    assert name(two.one, "存疑的名字").nickname_pending == "存疑的名字"
    become_one(two)
    assert members.show(two.other).nickname_pending == "存疑的名字"

    settled("approved")
    assert members.show(two.other).nickname == "存疑的名字"
    assert members.show(two.other).nickname_pending is None


def test_a_name_of_their_own_stays_whatever_becomes_of_the_other_s(two: Two) -> None:
    members.edit(member_id=two.other, nickname="小红")
    name(two.one, "存疑的名字")
    become_one(two)

    settled("approved")
    shown = members.show(two.other)
    assert [shown.nickname, shown.nickname_pending] == ["小红", None]


@pytest.mark.parametrize(("how", "state"), [("approved", "visible"), ("rejected", "hidden")])
def test_a_note_that_went_over_while_it_was_pending_is_decided_about(two: Two, how: str, state: str) -> None:
    challenge = a_challenge(notes=True, starts_at=now() - DAY, ends_at=now() + DAY)
    routes.check_in(called(two.one, now=now()), challenge.campaign_id, CheckIn(text="存疑的话"))
    become_one(two)

    settled(how)
    [note] = noting.page(challenge.campaign_id, two.other, limit=9, after=None).rows
    assert (note.text, note.state) == ("存疑的话", state)


# --- pictures -----------------------------------------------------------------------------------------------


@pytest.fixture
def picture(alice: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Check]:
    """Have a picture of alice's checked that holds these bytes."""

    def ask(content: bytes) -> Check:
        monkeypatch.setattr("infra.local.wechat.safety._fetched", lambda url: content or None)
        monkeypatch.setattr(safety, "_address", lambda upload_id, at: f"https://pictures.test/{upload_id}")
        thing = safety.Thing(room="tests", ref=a_word(), field="avatar")
        write = safety.asked("upl_1", "media", thing, members.writer(alice, "demo", now()), now=now())
        table.apply(write)
        found = table.get(Check, (write.row.pk, write.row.sk))
        assert found is not None
        return found

    return ask


def now_as(row: Check) -> Check:
    found = table.get(Check, (row.pk, row.sk))
    assert found is not None
    return found


@pytest.fixture
def told(weixin: Simulator, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What WeChat pushes, to be delivered by the test."""
    caught: list[dict[str, Any]] = []
    monkeypatch.setattr(pushes, "push", lambda platform, appid, told: caught.append(dict(told)))
    return caught


def deliver(told: dict[str, Any]) -> None:
    from chalicelib.wechat import pushes as taken
    from chalicelib.wechat.models import Push

    taken.note({"CreateTime": 1, "MsgType": "event", **told}, program_id="demo", now=now())
    row = taken.result_of(told["trace_id"], event="wxa_media_check", program_id="demo")
    assert isinstance(row, Push)
    react()


@pytest.mark.parametrize(
    ("content", "state"),
    [(b"a cat", "approved"), ("违规".encode(), "rejected"), ("存疑".encode(), "pending")],
)
def test_a_picture_is_judged_by_what_wechat_pushes(
    picture: Callable[[bytes], Check], told: list[dict[str, Any]], content: bytes, state: str
) -> None:
    row = picture(content)
    assert run().handled == 1
    wait_for(lambda: told)
    assert now_as(row).state == "pending" and now_as(row).trace_id == told[0]["trace_id"]
    for _ in range(2):
        deliver(told[0])

    assert now_as(row).state == state
    assert len(handed_over()) == (state == "pending")


def test_a_result_that_comes_before_its_trace_is_known_is_not_lost(
    picture: Callable[[bytes], Check], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = picture(b"a cat")
    monkeypatch.setattr(pushes, "push", lambda platform, appid, told: None)
    real = client.call

    def answered_late(*given: Any, **named: Any) -> dict[str, Any]:
        answer: dict[str, Any] = real(*given, **named)
        early = {"Event": "wxa_media_check", "trace_id": answer["trace_id"], "result": {"suggest": "pass"}}
        deliver(early)
        return answer

    monkeypatch.setattr(client, "call", answered_late)
    run()
    assert now_as(row).state == "approved"


def test_a_picture_of_which_nothing_is_heard_waits_for_a_person(
    picture: Callable[[bytes], Check], told: list[dict[str, Any]]
) -> None:
    row = picture(b"a cat")
    run()
    assert run(now() + safety.RESULT_WITHIN_S - 5).handled == 0
    run(now() + safety.RESULT_WITHIN_S + 5)

    assert [one.row.pk for one in handed_over()] == [row.pk]
    wait_for(lambda: told)
    deliver(told[0])
    assert now_as(row).state == "approved" and handed_over() == []


def test_a_picture_that_wechat_could_not_fetch_waits_for_a_person(
    picture: Callable[[bytes], Check], told: list[dict[str, Any]]
) -> None:
    row = picture(b"")
    run()
    wait_for(lambda: told)
    deliver(told[0])

    assert now_as(row).state == "pending" and [one.row.pk for one in handed_over()] == [row.pk]


def wait_for(there: Callable[[], object]) -> None:
    until = time.monotonic() + 10
    while not there():
        assert time.monotonic() < until, "nothing was told in ten seconds"
        time.sleep(0.005)


# --- risk ---------------------------------------------------------------------------------------------------


def test_who_is_risky_is_refused_where_the_shop_says_so_and_asked_about_once_a_day(weixin: Simulator) -> None:
    risky, fine = signed_in("bob-risky"), signed_in("bob")
    admit(risky)
    config.override(risk_rank_refused=3)
    admit(fine)
    with pytest.raises(risk.TooRisky):
        admit(risky)
    calls = weixin.calls
    with pytest.raises(risk.TooRisky):
        admit(risky)
    assert weixin.calls == calls


def test_where_wechat_does_not_say_nobody_is_refused(weixin: Simulator) -> None:
    risky = signed_in("bob-risky")
    config.override(risk_rank_refused=3)
    weixin.fault = "busy"
    admit(risky)
    weixin.fault = None
    with pytest.raises(risk.TooRisky):
        admit(risky)


def admit(member_id: str) -> None:
    risk.admit(lambda: members.writer(member_id, "demo", now()), ip="198.51.100.7", now=now())
