"""Two who meet over one check, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that. WeChat
answers at once here, and nobody but this room reacts.
"""

from collections.abc import Callable

import pytest

from chalicelib.core import config, due, table
from chalicelib.core.errors import Busy, NotFound
from chalicelib.operators import stuck
from chalicelib.safety import service as safety
from chalicelib.safety.models import Check
from chalicelib.wechat import client, pushes
from tests.factories import NOW, OWNER, PROGRAM, a_member, books, reacted
from tests.harness.direct import Direct
from tests.harness.meetings import before_write
from tests.uploads import sent
from tests.wechat import APP

pytestmark = pytest.mark.alone("safety")
ALICE = safety.Writer(member_id="mbr_a", program_id=PROGRAM, app=APP, openid="o-alice")
THING = safety.Thing(room="tests", ref="a thing", field="text")
TRACE = {"trace_id": "t-1"}


@pytest.fixture(autouse=True)
def _answers(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    """WeChat answers that a person should look."""
    config.override(content_safety="wechat")
    monkeypatch.setattr(client, "call", lambda *_, **__: {"result": {"suggest": "review"}, **TRACE})
    monkeypatch.setattr(safety, "_person", lambda *_: ALICE)
    monkeypatch.setattr(safety, "_address", lambda *_: "https://pictures.test/1")


def a_text() -> None:
    """Somebody says something that is to be checked."""
    (write,) = safety.text("hello", THING, lambda: ALICE, now=NOW).writes
    table.apply(write)


def a_picture() -> None:
    """Somebody shows something that is to be checked."""
    table.apply(safety.asked("upl_1", "media", THING, ALICE, now=NOW))


def the_check() -> Check:
    """The one that there is."""
    told = books(table.client()).only("content_check")
    row = table.get(Check, (told["pk"], told["sk"]))
    assert row is not None
    return row


def checked() -> None:
    """The job asks WeChat about it."""
    row = the_check()
    at = {"due_shard": row.due_shard or "", "due_at": row.due_at or 0, "due_ref": ""}
    safety.check(due.Entry(pk=row.pk, sk=row.sk, kind="", **at), NOW)  # type: ignore[arg-type]


def pushed() -> None:
    """WeChat says of the picture that it could not look at it."""
    told = {"Event": safety.MEDIA_EVENT, "errcode": -1, **TRACE}
    pushes.note(told, program_id=PROGRAM, now=NOW)
    push = pushes.result_of(TRACE["trace_id"], event=safety.MEDIA_EVENT, program_id=PROGRAM)
    assert push is not None
    safety._told(push, NOW)


def decided(state: safety.State) -> None:
    """Somebody else decides about it."""
    safety.decide(the_check(), state, now=NOW)


def waiting() -> list[stuck.Stuck]:
    """What waits for a person."""
    return stuck.listed(limit=9)[0]


@pytest.mark.parametrize("ask", [a_text, a_picture])
def test_what_waits_for_a_person_is_not_asked_about_anew(ask: Callable[[], None]) -> None:
    ask()
    checked()
    checked()

    with pytest.raises(Busy):
        ask()

    assert [one.trouble.job for one in waiting()] == [safety.JOB]


def test_a_picture_that_arrives_is_checked_once_however_often_it_is_told(direct: Direct) -> None:
    sent(a_member())
    for _ in range(2):
        reacted(direct, now=NOW)

    assert (the_check().state, the_check().rev) == ("pending", 1)


def test_a_picture_that_is_decided_about_while_it_is_sent_is_asked_about_no_more() -> None:
    a_picture()

    with before_write(1, lambda: decided("approved")):
        checked()

    assert the_check().due_ref == "content.approved"


def test_what_is_decided_otherwise_meanwhile_stays_as_it_was_decided() -> None:
    a_text()

    with before_write(1, lambda: decided("rejected")):
        decided("approved")

    assert the_check().state == "rejected"


def test_what_is_decided_while_it_is_handed_over_waits_for_nobody() -> None:
    a_text()

    with before_write(1, lambda: decided("approved")):
        checked()

    assert (the_check().state, waiting()) == ("approved", [])


def test_a_picture_that_is_decided_about_while_wechat_gives_it_up_waits_for_nobody() -> None:
    a_picture()
    checked()

    with before_write(2, lambda: decided("approved")):
        pushed()

    assert (the_check().state, waiting()) == ("approved", [])


def test_what_is_decided_while_a_person_decides_is_as_it_was_decided_first() -> None:
    a_text()
    checked()
    (found,) = waiting()

    with before_write(1, lambda: decided("rejected")), pytest.raises(NotFound):
        stuck.settle(stuck_id=found.id, how="approved", reason="fine", by=OWNER, now=NOW)

    assert the_check().state == "rejected"
