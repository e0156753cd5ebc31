"""The simulated WeChat's messages: what it refuses, and with which code."""

import json
from typing import Any

import pytest

from infra.local.wechat import messages, openid
from infra.local.wechat.frame import Answer, Platform, Request
from infra.local.wechat.login import Logins

APPID = "wx1"
ALICE = openid(appid=APPID, name="alice")
GOOD = {"touser": ALICE, "template_id": "tpl", "page": "pages/a?id=1", "data": {"thing1": {"value": "茶"}}}


@pytest.fixture
def platform() -> Platform:
    """A WeChat that knows Alice, who allows one message."""
    there = Platform({APPID: "secret"})
    there.of(Logins).people[ALICE] = (APPID, "alice")
    messages.subscribe(there, asked({"openid": ALICE, "template_id": "tpl", "n": 1}))
    return there


def asked(body: dict[str, Any]) -> Request:
    return Request(method="POST", path="/", query={}, headers={}, body=json.dumps(body).encode(), appid=APPID)


def code(answer: Any) -> int:
    told = json.loads(answer.body) if isinstance(answer, Answer) else answer
    return int(told["errcode"])


def test_one_consent_is_one_message(platform: Platform) -> None:
    assert [code(messages.send(platform, asked(GOOD))) for _ in range(2)] == [0, 43101]
    assert platform.of(messages.Messages).shown == [GOOD]
    assert [one["what"] for one in platform.happened] == ["subscribed", "message"]


@pytest.mark.parametrize(
    ("wrong", "errcode"),
    [
        ({"touser": "nobody"}, 40003),
        ({"template_id": "other"}, 40037),
        ({"page": "not a page"}, 41030),
        ({"data": {}}, 47003),
        ({"data": {"thing1": {"value": ""}}}, 47003),
        ({"data": {"thing1": {"value": "长" * 21}}}, 47003),
        ({"data": {"phrase1": {"value": "abc"}}}, 47003),
    ],
)
def test_what_is_wrong_is_refused_and_uses_nothing(
    platform: Platform, wrong: dict[str, Any], errcode: int
) -> None:
    assert code(messages.send(platform, asked({**GOOD, **wrong}))) == errcode
    assert code(messages.send(platform, asked(GOOD))) == 0


def test_a_card_goes_forward_alone_and_for_a_day(platform: Platform) -> None:
    card: Any = messages.create_activity(platform, asked({}))
    assert card["expiration_time"] > 0

    def change(state: int, **parameters: str) -> int:
        listed = [{"name": name, "value": value} for name, value in parameters.items()]
        told = {"target_state": state, "template_info": {"parameter_list": listed}}
        return code(messages.change_card(platform, asked({"activity_id": card["activity_id"], **told})))

    joined, full = {"member_count": "1", "room_limit": "3"}, {"path": "p", "version_type": "trial"}
    assert [change(0, **joined), change(0), change(1, **full)] == [0, 47502, 0]
    assert [change(0, **joined), change(1, **full), change(2), change(2)] == [47502, 47502, 0, 47502]
    platform.of(messages.Messages).cards[card["activity_id"]]["until"] = 0
    assert change(2) == 47504
    del platform.of(messages.Messages).cards[card["activity_id"]]
    assert change(2) == 47501
