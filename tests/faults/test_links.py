"""Minting, renewing and switching off when any call fails: one link for one input, and off stays off."""

import random
from collections import Counter
from dataclasses import dataclass, field

from chalicelib.core import cache, table
from chalicelib.sharing import service as sharing
from chalicelib.sharing.models import Link
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_link, a_member, a_share, books, emptied, only
from tests.harness.faults import each_fault
from tests.harness.hostile import Hostile
from tests.harness.rows import rows

LATER = NOW + 100
RENEWED_UNTIL = LATER + 500
WANTED = [
    a_share(target="tea"),
    a_share(target="cup"),
    a_share(target="old", expires_at=RENEWED_UNTIL),
    a_share(target="pot"),
    a_share(target="cup"),
]


@dataclass
class World:
    """A sharer, and what they were told."""

    sharer_id: str
    answers: list[list[Link]] = field(default_factory=list)
    code: str = ""

    @property
    def told(self) -> set[tuple[tuple[str, str | None, int | None], ...]]:
        """Every answer as the links it names; one, if all say the same."""
        return {tuple((link.code, link.state, link.expires_at) for link in answer) for answer in self.answers}


def a_sharer() -> World:
    emptied()
    return World(sharer_id=a_member())


def with_links_already() -> World:
    emptied()
    alice = a_member()
    a_link(sharer_id=alice, wanted=a_share(target="tea"))
    old = a_link(sharer_id=alice, wanted=a_share(target="old", expires_at=NOW + 50))
    cache.clear_all()
    return World(sharer_id=alice, code=old.code)


def with_a_link() -> World:
    emptied()
    alice = a_member()
    link = a_link(sharer_id=alice)
    cache.clear_all()
    return World(sharer_id=alice, code=link.code)


def mint(world: World) -> None:
    world.answers.append(
        [sharing.mint(sharer_id=world.sharer_id, wanted=a_share(target="tea"), now=LATER)[0]]
    )


def renew(world: World) -> None:
    wanted = a_share(target="old", expires_at=RENEWED_UNTIL)
    world.answers.append([sharing.mint(sharer_id=world.sharer_id, wanted=wanted, now=LATER)[0]])


def mint_all(world: World) -> None:
    world.answers.append(sharing.mint_all(sharer_id=world.sharer_id, wanted=WANTED, now=LATER))


def switch_off(world: World) -> None:
    world.answers.append([sharing.switch_off(code=world.code, sharer_id=world.sharer_id)])


def switch_off_for(world: World) -> None:
    world.answers.append([sharing.switch_off_for(code=world.code, reason="spam", by=OWNER, now=LATER)])


def test_minting_gives_one_link_with_one_code(store: Store) -> None:
    def check(world: World) -> None:
        link = only(store.client, "link")
        assert (link["state"], link["rev"]) == ("on", 1)
        assert world.told == {((link["code"], "on", None),)}

    each_fault(mint, client=table.client(), setup=a_sharer, check=check)


def test_renewing_an_expired_link_happens_once(store: Store) -> None:
    def check(world: World) -> None:
        assert world.told == {((world.code, "on", RENEWED_UNTIL),)}
        (row,) = rows(store.client, "truth", kind="link", code=world.code)
        assert (row["expires_at"], row["rev"]) == (RENEWED_UNTIL, 2)

    each_fault(renew, client=table.client(), setup=with_links_already, check=check)


def test_a_batch_gives_every_link_once_in_the_order_asked_for(store: Store) -> None:
    def check(world: World) -> None:
        (told,) = world.told
        assert (
            len(told) == len(WANTED) and told[1] == told[4] and told[2] == (world.code, "on", RENEWED_UNTIL)
        )
        kept = {row["code"]: row for row in rows(store.client, "truth", kind="link")}
        assert kept.keys() == {code for code, _, _ in told}
        assert [kept[code]["target_id"] for code, _, _ in told] == [one.target.id for one in WANTED]
        assert Counter(row["rev"] for row in kept.values()) == Counter({1: 3, 2: 1})

    each_fault(mint_all, client=table.client(), setup=with_links_already, check=check)


def test_a_sharer_switches_off_once(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        assert world.told == {((world.code, "off", None),)}
        row = there.only("link")
        assert (row["state"], row["rev"]) == ("off", 2)
        assert "audit" not in there

    each_fault(switch_off, client=table.client(), setup=with_a_link, check=check)


def test_an_operator_switches_off_once_with_one_audit_row(store: Store) -> None:
    def check(world: World) -> None:
        there = books(store.client)
        assert world.told == {((world.code, "off", None),)}
        assert there.only("link")["rev"] == 2
        assert there.only("audit")["subject"] == world.code

    each_fault(switch_off_for, client=table.client(), setup=with_a_link, check=check)


def test_replies_that_botocore_lost_and_sent_for_again_change_nothing_twice(store: Store) -> None:
    world = with_links_already()

    with Hostile(table.client(), dice=random.Random(1), lost_reply=1.0):
        mint_all(world)
        renew(world)
        switch_off_for(world)

    (row,) = rows(store.client, "truth", kind="link", code=world.code)
    assert (row["state"], row["expires_at"], row["rev"]) == ("off", RENEWED_UNTIL, 3)
    assert books(store.client) == Counter(member=1, identity=1, link=4, audit=1)
