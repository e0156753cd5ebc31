"""Blocking, unblocking and editing members when any call fails: switched once, audited once."""

from collections import Counter
from dataclasses import dataclass

from chalicelib.core import cache, table
from chalicelib.members import service as members
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_member, books, caught_up, emptied, only
from tests.harness.faults import each_fault
from tests.uploads import sent


@dataclass
class World:
    """A member."""

    member_id: str
    avatar: str | None = None


def a_world() -> World:
    emptied()
    return World(member_id=a_member())


def a_pictured_world() -> World:
    world = a_world()
    world.avatar = sent(world.member_id)
    return world


def a_blocked_world() -> World:
    world = a_world()
    block(world)
    cache.clear_all()
    return world


def block(world: World) -> None:
    members.block(member_id=world.member_id, reason="fraud", by=OWNER, now=NOW + 1)


def unblock(world: World) -> None:
    members.unblock(member_id=world.member_id, reason="a mistake", by=OWNER, now=NOW + 2)


def edit(world: World) -> None:
    members.edit(member_id=world.member_id, nickname="Alicia", avatar=world.avatar)


def test_blocking_happens_once_with_one_audit_row(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        member = there.only("member")
        assert (member["state"], member["blocked_because"]) == ("blocked", "fraud")
        assert there.only("blocked")["sk"] == world.member_id
        assert there == Counter(member=1, identity=1, blocked=1, audit=1)

    each_fault(block, client=table.client(), setup=a_world, check=check)


def test_unblocking_happens_once_with_one_audit_row(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        member = there.only("member")
        assert member["state"] == "active" and "blocked_because" not in member
        assert there == Counter(member=1, identity=1, audit=2)
        assert len(there.of("audit", action="member.unblocked")) == 1

    each_fault(unblock, client=table.client(), setup=a_blocked_world, check=check)


def test_a_block_does_not_lose_what_is_still_owed_for_the_registration(store: Store) -> None:
    def check(world: World) -> None:
        assert "due_at" in only(store.client, "member")

    each_fault(block, client=table.client(), setup=a_world, check=check)
    caught_up(now=NOW + 1)
    assert "due_at" not in only(store.client, "member")


def test_editing_takes_effect_and_the_profile_shows_it(store: Store) -> None:
    def check(world: World) -> None:
        profile = members.profile(world.member_id, now=NOW + 1)
        assert profile == members.Profile(
            member_id=world.member_id, nickname="Alicia", avatar=world.avatar, active=True
        )
        assert books(store.client) == Counter(member=1, identity=1, upload=1, upload_content=1)

    each_fault(edit, client=table.client(), setup=a_pictured_world, check=check)
