"""What WeChat proves and pushes, over real HTTP from simulated phones and the simulated WeChat to the app."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from chalicelib.checkins import service as checkin
from chalicelib.core import cache, facts, table
from chalicelib.core.clock import DAY
from chalicelib.members import rules as member_rules
from chalicelib.members import service as members
from chalicelib.members.models import Identity
from chalicelib.safety import risk
from chalicelib.sessions import proving
from chalicelib.sharing import policies
from chalicelib.sharing.schemas import EditPolicy, SignalLimits
from chalicelib.wechat import pushes
from chalicelib.wechat.models import Push
from infra.local import wechat
from infra.local.clients import Store
from infra.local.wechat import Simulator, phones
from infra.local.wechat import pushes as sent
from tests import checkins
from tests.factories import OWNER
from tests.harness.rows import rows
from tests.harness.serving import served
from tests.wechat import APPID, Phones, add_program

KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"


@pytest.fixture
def people(weixin: Simulator) -> Iterator[Phones]:
    add_program()
    with served() as port:
        yield Phones(f"http://127.0.0.1:{port}")


def session_key_of(name: str) -> str | None:
    openid = wechat.openid(appid=APPID, name=name)
    row = table.get(Identity, Identity.key(member_rules.openid_proof(program_id="demo", openid=openid)))
    return row.session_key if row else None


# --- the session_key ----------------------------------------------------------------------------------------


def test_the_session_key_is_kept_and_told_to_nobody(people: Phones) -> None:
    answer = people.sign_in("alice")
    key = wechat.session_key(appid=APPID, name="alice")

    assert session_key_of("alice") == key
    assert key not in json.dumps(answer) + json.dumps(people.call("alice", "GET", "/v1/me")[1])


def test_a_new_session_key_takes_the_old_ones_place(people: Phones, monkeypatch: pytest.MonkeyPatch) -> None:
    people.sign_in("alice")
    monkeypatch.setattr("infra.local.wechat.login.session_key", lambda **_: "bmV3IHNlc3Npb24ga2V5IQ==")
    people.sign_in("alice")

    assert session_key_of("alice") == "bmV3IHNlc3Npb24ga2V5IQ=="


# --- phone, group chat, private message ---------------------------------------------------------------------


def test_a_phone_number_is_a_members_once_and_shown_masked(people: Phones) -> None:
    alice = people.sign_in("alice")["member"]["member_id"]
    people.sign_in("bob")
    status, me = people.call("alice", "POST", "/v1/me/phone", {"code": "phone:13800138000:1"})
    assert (status, me["phone"]) == (200, "+86138****8000")

    again = people.call("alice", "POST", "/v1/me/phone", {"code": "phone:13800138000:1"})
    assert (again[0], again[1]["error"]["code"]) == (409, "phone_code_invalid")
    assert people.call("alice", "POST", "/v1/me/phone", {"code": "phone:13800138000:2"})[0] == 200
    taken = people.call("bob", "POST", "/v1/me/phone", {"code": "phone:13800138000:3"})
    assert (taken[0], taken[1]["error"]["code"]) == (409, "phone_taken")
    assert members.find(proof=member_rules.phone_proof("+8613800138000")).member_id == alice
    for number in range(4, 7):
        status, answer = people.call("alice", "POST", "/v1/me/phone", {"code": f"phone:1:{number}"})
    assert (status, answer["error"]["code"]) == (429, "wechat_budget_spent")


def given(told: dict[str, Any], *, name: str = "alice") -> dict[str, str]:
    sealed = phones.encrypted(told, appid=APPID, name=name)
    return {"encrypted_data": sealed["encryptedData"], "iv": sealed["iv"]}


def test_a_group_chat_is_proven_by_what_wechat_encrypted_for_this_member(people: Phones) -> None:
    alice = people.sign_in("alice")["member"]["member_id"]
    bob = people.sign_in("bob")["member"]["member_id"]
    group = {"openGId": "GtzQ0Tm0XfZ"}
    body = given(group)
    status, answer = people.call("alice", "POST", "/v1/me/chat-groups", body)
    again = people.call("alice", "POST", "/v1/me/chat-groups", body)

    assert status == 200 and again[1]["chat_group_id"] == answer["chat_group_id"]
    now = int(time.time())
    assert proving.in_chat_group(alice, answer["chat_group_id"], now=now)
    assert not proving.in_chat_group(bob, answer["chat_group_id"], now=now)
    assert not proving.in_chat_group(alice, answer["chat_group_id"], now=now + 91 * 86400)

    stolen = people.call("bob", "POST", "/v1/me/chat-groups", body)
    assert (stolen[0], stolen[1]["error"]["code"]) == (409, "wechat_session_stale")
    foreign = phones.encrypted(group, appid=APPID, name="alice")
    broken = {"encrypted_data": foreign["encryptedData"][:-8], "iv": foreign["iv"]}
    assert people.call("alice", "POST", "/v1/me/chat-groups", broken)[0] in (409, 422)


def test_a_challenge_has_a_board_for_each_group_chat_that_people_came_from(people: Phones) -> None:
    now = int(time.time())
    challenge = checkins.a_challenge(starts_at=now - 9 * DAY, ends_at=now + 9 * DAY).campaign_id
    ids = {name: people.sign_in(name)["member"]["member_id"] for name in ("alice", "bob", "carol", "dave")}
    checkin.check_in(campaign_id=challenge, member_id=ids["bob"], said=None, now=now - 2 * DAY)
    for name, chat in (("dave", "another"), ("bob", "GtzQ0Tm0XfZ"), ("alice", "GtzQ0Tm0XfZ")):
        answer = people.call(name, "POST", "/v1/me/chat-groups", given({"openGId": chat}, name=name))[1]
        assert people.call(name, "POST", f"/v1/checkins/{challenge}", {})[0] == 201
    path = f"/v1/checkins/{challenge}/chat-groups/{answer['chat_group_id']}"

    status, board = people.call("alice", "GET", path)
    assert (status, board["people"]) == (200, 2)
    assert [(one["rank"], one["total"], one["mine"]) for one in board["places"]] == [
        (1, 2, False),
        (2, 1, True),
    ]
    assert board["mine"] == board["places"][1]
    for name in ("carol", "dave"):
        foreign = people.call(name, "GET", path)
        assert (foreign[0], foreign[1]["error"]["code"]) == (404, "not_found")


def test_data_that_was_made_for_another_program_proves_nothing(
    people: Phones, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.sign_in("alice")
    key = wechat.session_key(appid=APPID, name="alice")
    monkeypatch.setattr(phones, "session_key", lambda **_: key)
    sealed = phones.encrypted({"openGId": "G1"}, appid="wx-another", name="alice")
    body = {"encrypted_data": sealed["encryptedData"], "iv": sealed["iv"]}

    status, answer = people.call("alice", "POST", "/v1/me/chat-groups", body)
    assert (status, answer["error"]["details"]["field"]) == (422, "encrypted_data")


def test_a_private_message_is_valid_for_whom_it_was_sent_under_its_activity(people: Phones) -> None:
    people.sign_in("alice")
    body = given({"activityId": "activity-1", "valid": True})

    for activity, valid in (("activity-1", True), ("activity-2", False)):
        sent_under = {**body, "activity_id": activity}
        assert people.call("alice", "POST", "/v1/me/private-messages", sent_under)[1]["valid"] is valid


# --- what WeChat pushes -------------------------------------------------------------------------------------


def messages(people: Phones) -> str:
    return f"{people.url}/v1/wechat/demo/messages"


def listening(weixin: Simulator, people: Phones, **changed: Any) -> sent.Pushes:
    server = sent.Server(**{"url": messages(people), "token": "message-token", **changed})
    weixin.platform.of(sent.Pushes).servers[APPID] = server
    return weixin.platform.of(sent.Pushes)


def pushed(store: Store) -> list[dict[str, Any]]:
    return rows(store.client, store.truth, kind="wechat_push")


def test_the_address_is_proven_by_giving_wechats_word_back(people: Phones) -> None:
    stamp = str(int(time.time()))
    query = {
        "echostr": "12345",
        "timestamp": stamp,
        "nonce": "n",
        "signature": pushes.signature("message-token", stamp, "n"),
    }
    answer = urllib3.request("GET", messages(people), fields=query)
    assert (answer.status, answer.data) == (200, b"12345")

    forged = urllib3.request("GET", messages(people), fields={**query, "signature": "0" * 40})
    old = {**query, "timestamp": "1", "signature": pushes.signature("message-token", "1", "n")}
    assert (forged.status, urllib3.request("GET", messages(people), fields=old).status) == (401, 401)
    elsewhere = messages(people).replace("demo", "other")
    assert urllib3.request("GET", elsewhere, fields=query).status == 401


@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize("key", ["", KEY])
def test_a_push_is_noted_once_in_every_form(
    people: Phones, weixin: Simulator, store: Store, form: str, key: str
) -> None:
    there = listening(weixin, people, format=form, key=key)
    weixin.platform.faults["/pushes"] = "lost"
    event = {"FromUserName": "oAlice", "Event": "subscribe_msg_popup_event", "Text": "<你好 & 再见>"}
    sent.push(weixin.platform, APPID, event)

    assert there.answers == [200, 200]
    [row] = pushed(store)
    assert (row["event"], row["program_id"]) == ("subscribe_msg_popup_event", "demo")
    assert json.loads(row["content"])["Text"] == "<你好 & 再见>"


def test_a_push_sealed_with_another_key_or_for_another_program_is_refused(
    people: Phones, weixin: Simulator, store: Store
) -> None:
    there = listening(weixin, people, key="Z" + KEY[1:])
    sent.push(weixin.platform, APPID, {"FromUserName": "oAlice", "Event": "e"})
    weixin.platform.of(sent.Pushes).servers["wx-another"] = there.servers[APPID].__class__(
        url=messages(people), token="message-token", key=KEY
    )
    sent.push(weixin.platform, "wx-another", {"FromUserName": "oAlice", "Event": "e"})

    assert there.answers == [401] * 6
    assert pushed(store) == []


def test_what_is_no_message_is_refused_and_entities_are_not_read(people: Phones, store: Store) -> None:
    stamp = str(int(time.time()))
    query = f"timestamp={stamp}&nonce=n&signature={pushes.signature('message-token', stamp, 'n')}"
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><xml><Event>&a;</Event></xml>'
    for body in (bomb, b"<xml><open>", b"[1]", b"nothing", b"\xff\xfe"):
        answer = urllib3.request(
            "POST", f"{messages(people)}?{query}", body=body, headers={"Content-Type": "text/xml"}
        )
        assert answer.status == 400, body
    assert pushed(store) == []


def test_a_push_comes_out_as_a_fact(people: Phones, weixin: Simulator, store: Store) -> None:
    listening(weixin, people)
    sent.push(weixin.platform, APPID, {"FromUserName": "oAlice", "Event": "e"})
    [row] = pushed(store)

    assert Push.FACTS[(None, row["state"])] == "wechat.pushed" and facts.wanted("wechat.pushed")
    assert row["ttl"] > time.time()


def test_who_comes_by_a_link_is_asked_about_where_the_policy_wants_to_know(people: Phones) -> None:
    people.sign_in("alice")
    wanted = {"target": {"kind": "product", "id": "tea"}, "channel": "wechat"}
    code = people.call("alice", "POST", "/v1/links", wanted)[1]["code"]
    before = people.sign_in("early-risky", link=code)["member"]["member_id"]
    now = int(time.time())
    policies.make(EditPolicy(mode="first", signals=SignalLimits(risk_rank=3)), by=OWNER, now=now)
    cache.clear_all()
    after = people.sign_in("late-risky", link=code)["member"]["member_id"]
    alone = people.sign_in("alone-risky")["member"]["member_id"]

    assert [risk.known(one) for one in (before, after, alone)] == [None, 4, None]
