"""Two who meet over one place in a group chat, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

import pytest

from chalicelib.core import table
from chalicelib.members import rules
from chalicelib.members import service as members
from chalicelib.sessions import leaving, merging, proving
from chalicelib.sessions.proving import ChatMember
from infra.local import wechat
from infra.local.wechat import phones
from tests.factories import NOW, PROGRAM
from tests.harness.meetings import before_write
from tests.wechat import APP, APPID

pytestmark = pytest.mark.usefixtures("direct")


def a_person(name: str) -> str:
    """A member who has signed in with WeChat."""
    proof = rules.openid_proof(program_id=PROGRAM, openid=wechat.openid(appid=APPID, name=name))
    key = wechat.session_key(appid=APPID, name=name)
    found = members.find_or_register(proofs=[proof], program_id=PROGRAM, session_key=key, now=NOW)
    return found[0].member_id


def comes_from_the_chat(member_id: str, name: str, *, now: int = NOW) -> str:
    """Somebody opens the program from the one chat that there is; its id."""
    told = phones.encrypted({"openGId": "G1"}, appid=APPID, name=name)
    given = {"member_id": member_id, "program_id": PROGRAM}
    return proving.chat_group(told["encryptedData"], told["iv"], app=APP, now=now, **given)


def seen_at(chat: str, member_id: str) -> int | None:
    """When somebody was last seen in it."""
    row = table.get(ChatMember, ChatMember.key(chat, member_id))
    return None if row is None else row.seen_at


def test_of_two_openings_at_once_the_later_counts() -> None:
    alice = a_person("alice")

    with before_write(1, lambda: comes_from_the_chat(alice, "alice", now=NOW + 5)):
        chat = comes_from_the_chat(alice, "alice")

    assert seen_at(chat, alice) == NOW + 5


def test_a_chat_that_both_are_in_stays_the_others_own() -> None:
    alice, bob = a_person("alice"), a_person("bob")
    comes_from_the_chat(bob, "bob", now=NOW + 5)
    chat = comes_from_the_chat(alice, "alice")

    while merging.hand_over(alice, bob, NOW):
        pass

    assert (seen_at(chat, alice), seen_at(chat, bob)) == (None, NOW + 5)


def test_a_chat_that_goes_over_twice_at_once_goes_over_once() -> None:
    alice, bob = a_person("alice"), a_person("bob")
    chat = comes_from_the_chat(alice, "alice")

    with before_write(1, lambda: merging.hand_over(alice, bob, NOW)):
        assert merging.hand_over(alice, bob, NOW)

    assert (seen_at(chat, alice), seen_at(chat, bob)) == (None, NOW)


def test_what_went_over_meanwhile_and_was_erased_there_does_not_come_back() -> None:
    alice, bob = a_person("alice"), a_person("bob")
    chat = comes_from_the_chat(alice, "alice")

    def over_and_erased() -> None:
        merging.hand_over(alice, bob, NOW)
        leaving.erase(bob, NOW)

    with before_write(1, over_and_erased):
        merging.hand_over(alice, bob, NOW)

    assert (seen_at(chat, alice), seen_at(chat, bob)) == (None, None)
