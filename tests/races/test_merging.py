"""Sign-ins at once that prove two members to be one (A3): one becomes the other, once, and no proof is lost."""

import functools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from chalicelib.core.table import Write
from chalicelib.members import merging
from chalicelib.members import service as members
from chalicelib.members.models import Identity, Member
from tests.factories import NOW, PROGRAM, a_member, a_word, an_openid
from tests.harness.rows import Plain
from tests.races.arena import ROUGH, STORM, Arena, careless, rounds

pytestmark = pytest.mark.engine

THREADS = 16


def log_in(proofs: Sequence[str]) -> str:
    return members.find_or_register(proofs=proofs, program_id=PROGRAM, now=NOW)[0].member_id


def a_unionid() -> str:
    return f"unionid#{a_word('u')}"


def end_of(there: dict[str, Plain], member_id: str) -> str:
    """Whom a member became in the end; walking in a circle is an error."""
    for _ in range(len(there)):
        if "merged_into" not in there[member_id]:
            return member_id
        member_id = there[member_id]["merged_into"]
    raise AssertionError("members became each other")


def check_merges(arena: Arena) -> None:
    """A proof names a member who is there and knows it; who was merged has none, and leads to who is."""
    there = {row["member_id"]: row for row in arena.rows("member")}
    named: dict[str, set[str]] = {member_id: set() for member_id in there}
    for row in arena.rows("identity"):
        assert there[row["member_id"]]["state"] != "merged", "a proof names who was merged"
        named[row["member_id"]].add(row["pk"].removeprefix("IDENTITY#"))
    assert named == {member_id: row.get("identities", set()) for member_id, row in there.items()}
    merged = {member_id for member_id, row in there.items() if row["state"] == "merged"}
    assert merged == {row["member_id"] for row in arena.rows("merge")}
    for member_id in merged:
        assert there[end_of(there, member_id)]["state"] != "merged"
    again = [one for one in arena.images("member") if one.old and one.old["state"] == "merged"]
    assert not [one for one in again if one.new and one.new["merged_into"] != (one.old or {})["merged_into"]]


def whose(arena: Arena, *proofs: str) -> set[str]:
    return {row["member_id"] for proof in proofs for row in arena.rows("identity", pk=f"IDENTITY#{proof}")}


@rounds(ROUGH, STORM)
def test_two_members_who_bring_a_unionid_nobody_has_yet_are_one(arena: Arena) -> None:
    home, fair, union = an_openid(), an_openid(), a_unionid()
    ids = {a_member(proof=home), a_member(proof=fair)}
    calls = [functools.partial(log_in, [openid, union]) for openid in (home, fair)] * (THREADS // 2)

    outcomes = arena.race(*calls, threads=THREADS, meet=True)

    outcomes.expect(won=THREADS)
    check_merges(arena)
    [survivor] = whose(arena, home, fair, union)
    assert survivor in ids
    assert {log_in([home]), log_in([fair]), log_in([union])} == {survivor}
    assert [(row["member_id"], row["into"]) for row in arena.rows("merge")] == [
        (next(iter(ids - {survivor})), survivor)
    ]


@rounds(ROUGH)
def test_two_members_and_whoever_is_being_registered_with_their_unionid_are_one(arena: Arena) -> None:
    home, fair, new, union = an_openid(), an_openid(), an_openid(), a_unionid()
    a_member(proof=home), a_member(proof=fair)
    ways = ([home, union], [fair, union], [new, union], [union])

    outcomes = arena.race(*[functools.partial(log_in, way) for way in ways * (THREADS // 4)], meet=True)

    outcomes.expect(won=THREADS)
    check_merges(arena)
    assert len(whose(arena, home, fair, new, union)) == 1


@rounds(ROUGH)
def test_members_of_many_programs_become_one_while_they_get_more_proofs(arena: Arena) -> None:
    union, openids = a_unionid(), [an_openid() for _ in range(4)]
    for openid in openids:
        a_member(proof=openid)
    mall = [f"external#{a_word('e')}" for _ in openids]
    ways = [[openid, union] for openid in openids] * 2
    ways += [[openids[0], mall[0]]] * 4 + [[openids[1], f"openid#fair#{a_word('o')}"]] * 4

    arena.race(*[functools.partial(log_in, way) for way in ways], threads=THREADS).expect(won=len(ways))

    check_merges(arena)
    assert len(whose(arena, union, *openids, *(proof for way in ways for proof in way))) == 1


@rounds(ROUGH)
def test_crossing_proofs_of_two_people_merge_nobody(arena: Arena) -> None:
    home, fair, ann, bob = an_openid(), an_openid(), a_unionid(), a_unionid()
    log_in([home, ann]), log_in([fair, bob])
    calls = [functools.partial(log_in, way) for way in ([home, bob], [fair, ann])] * (THREADS // 2)

    arena.race(*calls, threads=THREADS).expect(won=THREADS)

    check_merges(arena)
    assert not arena.rows("merge")


def test_merges_in_a_ring_never_close_it(arena: Arena) -> None:
    """The writes alone, without the rule that makes a ring impossible: of three that go round, two may happen."""
    ring = [a_member() for _ in range(3)]
    pairs = list(zip(ring, [*ring[1:], ring[0]], strict=True))

    def merge(one: str, into: str) -> None:
        read = merging.pair({f"openid#{one}": one, f"unionid#{into}": into})
        assert read is not None
        merging.merge(read, now=NOW)

    outcomes = arena.race(*[functools.partial(merge, *pair) for pair in pairs * 5], threads=THREADS)

    outcomes.expect_won_or("Changed", least=1, most=2)
    check_merges(arena)


def test_a_merge_without_its_condition_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(write: Write) -> Write:
        mine = isinstance(write.row, Member | Identity) and write.operation == "Update"
        return replace(write, when=None) if mine else write

    careless(monkeypatch, forgetful)
    ring = [a_member() for _ in range(4)]
    read = [
        merging.pair({"openid#": one, "unionid#": into})
        for one, into in zip(ring, [*ring[1:], ring[0]], strict=True)
    ]

    arena.collide(*[functools.partial(merging.merge, pair, now=NOW) for pair in read if pair is not None])

    with pytest.raises(AssertionError):
        check_merges(arena)
