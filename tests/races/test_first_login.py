"""First logins of one person at once make one member (A3): an identity row is the uniqueness of its proof.

Two conditions may go unnoticed here. A new member's own row and binding are created under an id drawn a moment
before, which nobody else can have; and the member whom a proof is attached to always exists, as members stay.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core.table import Row, Write, get
from chalicelib.members import service as members
from chalicelib.members.models import Identity, Member
from chalicelib.sessions import service as sessions
from chalicelib.sharing import visits
from tests.factories import NOW, PROGRAM, a_link, a_member, a_word, an_openid
from tests.harness.races import race, read_then_write
from tests.harness.rows import Plain
from tests.races.arena import CROWD, STORM, Arena, careless, rounds, unconditionally

pytestmark = pytest.mark.engine

Ways = Sequence[Sequence[str]]


def all_ways() -> Ways:
    """The proofs that one person may come with: through WeChat, through the mall, with a unionid or without."""
    openid, unionid, external = an_openid(), f"unionid#{a_word('u')}", f"external#{a_word('e')}"
    return [[openid], [openid, unionid], [external, openid], [external, openid, unionid]]


def crowd_of(ways: Ways, act: Callable[[Sequence[str]], Any], *, size: int) -> list[Callable[[], Any]]:
    """``size`` calls that come in these ways in turn."""
    return [functools.partial(act, ways[n % len(ways)]) for n in range(size)]


def log_in(proofs: Sequence[str]) -> Member:
    """A sign-in that nobody brought."""
    return members.find_or_register(proofs=proofs, program_id=PROGRAM, now=NOW)[0]


def check_one_member(arena: Arena, *, proofs: set[str], told: set[str]) -> Plain:
    """One member with all the proofs, now and at every instant, and all callers were told so."""
    born = [one.new for one in arena.images("member") if one.old is None and one.new]
    of_them = [row["member_id"] for row in born if row["identities"] & proofs]
    assert len(of_them) == 1, f"{len(of_them)} members were made of one person"
    assert told == set(of_them)
    [member] = arena.rows("member", member_id=of_them[0])
    assert member["identities"] == proofs
    check_books(arena)
    return member


def check_books(arena: Arena) -> None:
    """Every proof names one member, and every member knows exactly the proofs that name them."""
    named: dict[str, set[str]] = {row["member_id"]: set() for row in arena.rows("member")}
    for row in arena.rows("identity"):
        named[row["member_id"]].add(row["pk"].removeprefix("IDENTITY#"))
    assert named == {row["member_id"]: row.get("identities", set()) for row in arena.rows("member")}


def check_one_binding(arena: Arena, *, member: Plain) -> Plain:
    """One binding and one visit used up, now and at every instant."""
    assert len(arena.images("binding")) == len(arena.images("visit_use")) == 1
    [binding], [use] = arena.rows("binding"), arena.rows("visit_use")
    assert binding["member_id"] == use["member_id"] == member["member_id"]
    assert binding["visit_id"] == member["came_visit"] == use["pk"].removeprefix("VISIT#")
    return binding


def register_naively(proof: str) -> str:
    """The write of a version that looked first and saw nobody."""
    member_id = a_word("mbr_")
    pk, sk = Member.key(member_id)
    unconditionally(Identity(*Identity.key(proof), member_id=member_id))
    unconditionally(Member(pk, sk, member_id=member_id, identities={proof}, program_id="", registered_at=NOW))
    return member_id


def test_the_harness_sees_two_members_when_the_rule_is_a_read(arena: Arena) -> None:
    proof = an_openid()

    def read() -> Row | None:
        return get(Identity, Identity.key(proof))

    naive = read_then_write(read, lambda seen: seen or register_naively(proof), parties=8)
    outcomes = race(*[naive] * 8)

    assert len(set(outcomes.winners)) > 1, "the harness cannot see the race"
    with pytest.raises(AssertionError, match="8 members were made of one person"):
        check_one_member(arena, proofs={proof}, told=set(outcomes.winners))


@rounds(STORM)
def test_many_first_logins_of_one_person_make_one_member(arena: Arena) -> None:
    ways = all_ways()

    outcomes = arena.race(*crowd_of(ways, log_in, size=CROWD), meet=True)

    outcomes.expect(won=CROWD)
    told = {member.member_id for member in outcomes.winners}
    check_one_member(arena, proofs=set().union(*ways), told=told)


@rounds(STORM)
@pytest.mark.parametrize("both", [(0, 0), (0, 1), (0, 2)], ids=["openid", "unionid", "the mall"])
def test_two_first_logins_of_one_person_make_one_member(arena: Arena, both: tuple[int, int]) -> None:
    people = [[ways[way] for way in both] for ways in (all_ways() for _ in range(8))]
    calls = [functools.partial(log_in, proofs) for person in people for proofs in person]

    outcomes = arena.race(*calls, meet=True)

    outcomes.expect(won=len(calls))
    for n, person in enumerate(people):
        told = {member.member_id for member in outcomes.winners[2 * n : 2 * n + 2]}
        check_one_member(arena, proofs=set().union(*person), told=told)


@rounds(STORM)
def test_first_logins_by_one_visit_make_one_binding_too(arena: Arena) -> None:
    ways, link = all_ways(), a_link(sharer_id=a_member())
    visit = visits.record(link=link, visitor="a-phone", wx_scene=None, now=NOW)
    came_by = sessions.CameBy(link=None, visit_token=visits.token_for(visit, now=NOW), wx_scene=None)

    def sign_in(proofs: Sequence[str]) -> sessions.SignedIn:
        return sessions.sign_in(proofs=proofs, program_id=PROGRAM, came_by=came_by, now=NOW)

    outcomes = arena.race(*crowd_of(ways, sign_in, size=CROWD))

    outcomes.expect(won=CROWD)
    told = {signed.member.member_id for signed in outcomes.winners}
    member = check_one_member(arena, proofs=set().union(*ways), told=told)
    assert check_one_binding(arena, member=member)["promoter_id"] == link.sharer_id
    assert all(signed.bound and signed.visit_refused is None for signed in outcomes.winners)


def test_first_logins_that_open_two_links_are_bound_by_one_of_them(arena: Arena) -> None:
    proof, links = an_openid(), [a_link(sharer_id=a_member()) for _ in range(2)]

    def sign_in(code: str) -> sessions.SignedIn:
        came_by = sessions.CameBy(link=code, visit_token=None, wx_scene=1007)
        return sessions.sign_in(proofs=[proof], program_id=PROGRAM, came_by=came_by, now=NOW)

    outcomes = arena.race(*[functools.partial(sign_in, links[n % 2].code) for n in range(CROWD)])

    outcomes.expect(won=CROWD)
    assert all(signed.bound for signed in outcomes.winners)
    told = {signed.member.member_id for signed in outcomes.winners}
    member = check_one_member(arena, proofs={proof}, told=told)
    assert check_one_binding(arena, member=member)["link"] in {link.code for link in links}
    assert [row["n"] for row in arena.rows("visit_hour")] == [1, 1]


def test_a_known_member_and_a_newcomer_who_bring_one_unionid_are_one(arena: Arena) -> None:
    """Whoever of them the unionid is attached to first, the other becomes that one."""
    people = [(an_openid(), an_openid(), f"unionid#{a_word('u')}") for _ in range(CROWD // 4)]
    for known, _, _ in people:
        a_member(proof=known)
    calls = [
        functools.partial(log_in, [openid, unionid])
        for known, newcomer, unionid in people
        for openid in (known, newcomer) * 2
    ]

    arena.race(*calls).expect(won=len(calls))

    check_books(arena)
    for person in people:
        assert len({row["member_id"] for proof in person for row in proving(arena, proof)}) == 1


def proving(arena: Arena, proof: str) -> list[Plain]:
    """The one row of a proof."""
    [row] = arena.rows("identity", pk=f"IDENTITY#{proof}")
    return [row]


def test_an_identity_without_its_condition_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    careless(monkeypatch, without_identity_condition)
    proof = an_openid()

    outcomes = arena.collide(*crowd_of([[proof]], log_in, size=8))

    with pytest.raises(AssertionError, match="8 members were made of one person"):
        check_one_member(arena, proofs={proof}, told={member.member_id for member in outcomes.winners})
    with pytest.raises(AssertionError):
        check_books(arena)


def without_identity_condition(write: Write) -> Write:
    """An identity that is put whether it is there or not."""
    return replace(write, when=None) if isinstance(write.row, Identity) else write
