"""Signing in when any of its calls fails: the retry is the same member, bound once, and nothing is left behind."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.core import cache, table
from chalicelib.sessions import service as sessions
from chalicelib.sessions.service import CameBy, SignedIn
from chalicelib.sharing import visits
from infra.local.clients import Store
from tests.factories import (
    NOW,
    TODAY,
    a_link,
    a_member,
    a_proof,
    a_unionid,
    an_opening,
    books,
    came_by,
    caught_up,
    emptied,
    only,
)
from tests.harness.faults import each_fault
from tests.harness.hostile import Hostile
from tests.harness.rows import rows

pytestmark = pytest.mark.usefixtures("direct")

LATER = NOW + 60
BOB = [a_proof("bob"), a_unionid("bob")]


@dataclass
class World:
    """Somebody about to sign in, and the answers they got."""

    proofs: list[str]
    came_by: CameBy
    answers: list[SignedIn] = field(default_factory=list)


def sign_in(world: World) -> None:
    answer = sessions.sign_in(
        proofs=world.proofs, program_id="demo", came_by=world.came_by, now=LATER + len(world.answers)
    )
    world.answers.append(answer)


def the_same_to(world: World) -> set[tuple[Any, ...]]:
    """What every answer must say alike; ``new`` is for the first one only."""
    return {
        (one.member.member_id, one.bound, one.visit_refused, one.visit and one.visit.visit_id)
        for one in world.answers
    }


def alone() -> World:
    emptied()
    return World(proofs=BOB, came_by=came_by())


def by_a_link() -> World:
    emptied()
    link = a_link(sharer_id=a_member())
    cache.clear_all()
    return World(proofs=BOB, came_by=came_by(link=link.code))


def by_a_visit() -> World:
    emptied()
    visit = an_opening(link=a_link(sharer_id=a_member()))
    cache.clear_all()
    return World(proofs=BOB, came_by=came_by(visit_token=visits.token_for(visit, now=NOW)))


def known_and_by_a_link() -> World:
    emptied()
    a_member(proof=BOB[0])
    link = a_link(sharer_id=a_member())
    cache.clear_all()
    return World(proofs=BOB[:1], came_by=came_by(link=link.code))


def by_a_link_of_ones_own() -> World:
    emptied()
    link = a_link(sharer_id=a_member(proof=BOB[0]))
    cache.clear_all()
    return World(proofs=BOB[:1], came_by=came_by(link=link.code))


def known_by_openid_alone() -> World:
    emptied()
    a_member(proof=BOB[0])
    cache.clear_all()
    return World(proofs=BOB, came_by=came_by())


def test_a_first_sign_in_makes_one_member(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        assert there == Counter(member=1, identity=2)
        member = there.only("member")
        assert the_same_to(world) == {(member["member_id"], False, None, None)}
        assert {row["member_id"] for row in there.of("identity")} == {member["member_id"]}
        caught_up(now=LATER + 1)
        assert "due_at" not in only(store.client, "member")

    each_fault(sign_in, client=table.client(), setup=alone, check=check)


@pytest.mark.parametrize("setup", [by_a_link, by_a_visit])
def test_a_first_sign_in_by_a_share_makes_one_member_and_one_binding(
    store: Store, setup: Callable[[], World]
) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        assert there == Counter(member=2, identity=3, link=1, binding=1, visit_use=1)
        assert books(store.client, "traffic") == Counter(visit_hour=1)
        assert only(store.client, "visit_hour", table="traffic")["n"] == 1
        binding, use = there.only("binding"), there.only("visit_use")
        (member,) = there.of("member", member_id=use["member_id"])
        assert the_same_to(world) == {(member["member_id"], True, None, binding["visit_id"])}
        assert (binding["member_id"], member["came_visit"]) == (member["member_id"], binding["visit_id"])
        assert (binding["due_ref"], member["due_ref"]) == ("binding.made", "member.registered")

    each_fault(sign_in, client=table.client(), setup=setup, check=check)
    caught_up(now=LATER + 1)
    day = only(store.client, "link_day")
    assert (day["sk"].rpartition("#")[0], day["new_members"], day["bound"]) == (f"DAY#{TODAY}", 1, 1)
    assert not [row for row in rows(store.client, "truth") if "due_at" in row]


def test_replies_that_botocore_lost_and_sent_for_again_register_and_bind_once(store: Store) -> None:
    world = by_a_link()

    with Hostile(table.client(), dice=random.Random(1), lost_reply=1.0):
        sign_in(world)
        caught_up(now=LATER)

    assert books(store.client) == Counter(
        member=2, identity=3, link=1, binding=1, visit_use=1, link_day=1, marker=2
    )
    assert [one.new for one in world.answers] == [True]
    assert only(store.client, "link_day")["bound"] == 1


def test_a_member_of_long_standing_is_bound_once(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        binding = there.only("binding")
        assert the_same_to(world) == {(binding["member_id"], True, None, binding["visit_id"])}
        assert only(store.client, "visit_hour", table="traffic")["n"] == 1
        assert there == Counter(member=2, identity=2, link=1, binding=1, visit_use=1)

    each_fault(sign_in, client=table.client(), setup=known_and_by_a_link, check=check)
    caught_up(now=LATER + 1)
    day = only(store.client, "link_day")
    assert (day.get("new_members"), day["bound"]) == (None, 1)


def test_a_refusal_to_bind_is_the_same_in_the_retry(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        ((member_id, bound, refused, _),) = the_same_to(world)
        assert (member_id, bound, refused) == (
            there.only("member")["member_id"],
            False,
            "self_referral",
        )
        assert there == Counter(member=1, identity=1, link=1)

    each_fault(sign_in, client=table.client(), setup=by_a_link_of_ones_own, check=check)


def test_a_unionid_that_comes_later_is_attached_once(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        member = there.only("member")
        assert there == Counter(member=1, identity=2)
        assert member["identities"] == set(BOB)
        assert the_same_to(world) == {(member["member_id"], False, None, None)}

    each_fault(sign_in, client=table.client(), setup=known_by_openid_alone, check=check)
