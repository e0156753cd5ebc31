"""Leaving when any storage call fails: asked once, and erased in the end, whoever was killed between any steps."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from moto.dynamodb.models import dynamodb_backends

from chalicelib.core import cache, config, estates, facts
from chalicelib.members import leaving
from chalicelib.members import service as members
from chalicelib.withdrawals import leaving as payouts
from tests import checkins
from tests.factories import NOW, a_member, a_proof, a_unionid, books, caught_up, dying_at, emptied
from tests.harness.direct import Direct
from tests.harness.faults import Fault, each_fault, fault_cases
from tests.harness.wire import WRITES
from tests.leaving import CLOSED, ERASE_AT, Person, a_person, asked, entry_of, run, the_row

ERASING_AT = ERASE_AT + CLOSED


@dataclass(frozen=True, kw_only=True)
class World:
    """Alice who leaves, and Bobby, of whom nothing may change."""

    alice: Person
    bob: Person
    of_bob: list[str]


def _tables() -> list[Any]:
    return [
        there for by in dynamodb_backends.values() for one in by.values() for there in one.tables.values()
    ]


def laid_down(plant: Callable[[], World]) -> Callable[[], World]:
    """The world as it was planted, made once and laid down anew for every case."""
    emptied()
    world = plant()
    kept = {one.name: copy.deepcopy(one.items) for one in _tables()}

    def setup() -> World:
        emptied()
        for one in _tables():
            one.items.update(copy.deepcopy(kept[one.name]))
        cache.clear_all()
        return world

    return setup


def _of(member_id: str, client: Direct) -> list[str]:
    return sorted(str(row) for row in books(client).rows if member_id in str(row))


@pytest.fixture
def plant(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> Callable[[], World]:
    """Two of whom as much is known; the one has asked to leave, and the doors are closed."""
    config.override(payout_gateways="sandbox manual mall", mall_webhook_url="https://mall.example/hook")
    monkeypatch.setattr(facts, "_reactions", {"member.erased": facts._reactions["member.erased"]})

    def planted() -> World:
        challenge = checkins.a_challenge(notes=True)
        alice = a_person("alice", id_number="11010519491231002X", challenge=challenge)
        bob = a_person("bobby", id_number="440524188001010014", challenge=challenge)
        caught_up(now=NOW)
        asked(alice.member_id)
        run(now=ERASE_AT)
        return World(alice=alice, bob=bob, of_bob=_of(bob.member_id, direct))

    return planted


def test_an_erasure_killed_between_any_steps_is_whole_in_the_end(
    direct: Direct, plant: Callable[[], World]
) -> None:
    def step(world: World) -> None:
        row = the_row(world.alice.member_id)
        if row.state != "erased":
            leaving.go_on(entry_of(world.alice.member_id), ERASING_AT)

    def check(world: World) -> None:
        alice = world.alice.member_id
        there = books(direct)
        text = str(there.rows)
        assert the_row(alice).state == "erased"
        assert members.show(alice).state == "erased"
        assert [word for word in world.alice.words if word in text] == []
        assert there["erased"] == len(world.alice.proofs)
        assert there.of("identity", member_id=alice) == []
        assert there["payee_forgetting"] == 1
        assert _of(world.bob.member_id, direct) == world.of_bob

    # A read that fails is a process that dies before its next write.
    cases = [
        case
        for case in fault_cases(step, client=direct, setup=laid_down(plant), check=check)
        if case.fault in (Fault.CRASH, Fault.AFTER) and case.calls[case.call - 1] in WRITES
    ]
    for case in cases:
        case.run()
    assert len(cases) > 20


@pytest.fixture
def one(direct: Direct) -> Callable[[], str]:
    """Somebody with two identities, alone in the world."""

    def made() -> str:
        emptied()
        cache.clear_all()
        proofs = [a_proof("alice"), a_unionid("alice")]
        return members.find_or_register(proofs=proofs, program_id="demo", now=NOW)[0].member_id

    return made


def test_asking_is_once_and_taken_back_whole(direct: Direct, one: Callable[[], str]) -> None:
    def check_asked(alice: str) -> None:
        assert (the_row(alice).erase_at, members.show(alice).leaving_at) == (ERASE_AT, ERASE_AT)

    def has_asked() -> str:
        alice = one()
        asked(alice)
        return alice

    def check_back(alice: str) -> None:
        assert leaving.find(alice) is None
        assert members.show(alice).leaving_at is None

    each_fault(asked, client=direct, setup=one, check=check_asked)
    each_fault(
        lambda alice: leaving.take_back(alice, now=NOW), client=direct, setup=has_asked, check=check_back
    )


def test_closing_and_opening_the_doors_again_are_whole(direct: Direct, one: Callable[[], str]) -> None:
    def waits() -> str:
        alice = one()
        asked(alice)
        return alice

    def closed() -> str:
        alice = waits()
        run(now=ERASE_AT)
        table_money(alice)
        return alice

    def step(at: int) -> Callable[[str], None]:
        return lambda alice: leaving.go_on(entry_of(alice), at)

    def check_closed(alice: str) -> None:
        assert (the_row(alice).state, members.show(alice).state) == ("closing", "leaving")
        assert books(direct).only("blocked")["state"] == "leaving"

    def check_open(alice: str) -> None:
        assert (the_row(alice).state, members.show(alice).state) == ("waiting", "active")
        assert books(direct)["blocked"] == 0

    each_fault(step(ERASE_AT), client=direct, setup=waits, check=check_closed)
    each_fault(step(ERASING_AT), client=direct, setup=closed, check=check_open)


def table_money(member_id: str) -> None:
    """Money that came in before the doors were closed."""
    from tests.withdrawals import earn

    earn(1_00, owner=member_id)


def test_the_job_of_forgetting_is_whole(direct: Direct, plant: Callable[[], World]) -> None:
    def gone() -> World:
        world = plant()
        leaving.go_on(entry_of(world.alice.member_id), ERASING_AT)
        return world

    def check(world: World) -> None:
        (row,) = books(direct).of("withdrawal", member_id=world.alice.member_id)
        assert not {"account", "payee", "shown"} & set(row)
        assert books(direct)["payee_forgetting"] == 0
        assert _of(world.bob.member_id, direct) == world.of_bob

    def forgets(world: World) -> None:
        from chalicelib.core import due

        now = ERASING_AT + payouts.ACCOUNTS_STAY_S
        for row in books(direct).of("payee_forgetting"):
            told = {name: row[name] for name in ("pk", "sk", "kind", "due_shard", "due_at", "due_ref")}
            payouts.forget(due.Entry(**told), now)

    each_fault(forgets, client=direct, setup=laid_down(gone), check=check)


def test_nobody_signs_in_as_somebody_half_erased(
    direct: Direct, one: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The openid is gone and the unionid is not: who brings both waits, and nothing is attached."""
    alice = one()
    asked(alice)
    run(now=ERASE_AT)
    with monkeypatch.context() as rooms, dying_at(3, among=WRITES), pytest.raises(KeyboardInterrupt):
        rooms.setattr(estates, "_erasures", {})
        leaving.go_on(entry_of(alice), ERASING_AT)

    with pytest.raises(members.MemberLeaving):
        members.find_or_register(
            proofs=[a_proof("alice"), a_unionid("alice")], program_id="demo", now=ERASING_AT
        )

    assert len(books(direct).of("identity")) == 1
    run(now=ERASING_AT)
    assert the_row(alice).state == "erased"
    assert books(direct)["identity"] == 0
    assert a_member(proof=a_proof("alice"), now=ERASING_AT) != alice
