"""A visit binds one member, and a member has one binding, however many use the visit, or bring visits, at once."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from chalicelib.core.table import Row, Write, get
from chalicelib.members import service as members
from chalicelib.sessions import service as sessions
from chalicelib.sharing import attribution, policies, visits
from chalicelib.sharing.models import Binding, VisitUse
from chalicelib.sharing.schemas import EditPolicy
from chalicelib.sharing.visits import Visit
from tests.factories import NOW, PROGRAM, a_link, a_member, a_visit, an_openid, an_operator
from tests.harness.races import Outcomes, race, read_then_write
from tests.races.arena import CROWD, ROUGH, STORM, Arena, careless, overtaken, rounds, unconditionally

pytestmark = pytest.mark.engine


def signing_in(proof: str, visit: Visit) -> Callable[[], sessions.SignedIn]:
    """A sign-in by this visit."""
    token = visits.token_for(visit, now=NOW)
    came_by = sessions.CameBy(link=None, visit_token=token, wx_scene=None)
    return functools.partial(sessions.sign_in, proofs=[proof], program_id=PROGRAM, came_by=came_by, now=NOW)


def new_and_old(count: int) -> list[str]:
    """Proofs of people of whom every second is a member already."""
    proofs = [an_openid() for _ in range(count)]
    for proof in proofs[::2]:
        a_member(proof=proof)
    return proofs


def check_bound_once(arena: Arena, *, told: set[str], visits_used: int = 1) -> None:
    """One binding a visit, never changed, and exactly those were told of it who have it."""
    bindings, uses = arena.rows("binding"), arena.rows("visit_use")
    made = {row["visit_id"]: row["member_id"] for row in bindings}
    assert {row["member_id"] for row in bindings} == told
    assert len(made) == len(bindings) == visits_used, f"{len(bindings)} were bound by {len(made)} visits"
    used = {row["pk"].removeprefix("VISIT#"): row["member_id"] for row in uses}
    assert used == made, "a visit was used up for nothing"
    # A repeated use by the same member leaves the row as it was, and no image.
    assert len(arena.images("visit_use")) == visits_used, "a visit passed from hand to hand"
    assert len(arena.images("binding")) == visits_used, "a binding was made twice"


def bound(outcomes: Outcomes) -> set[str]:
    """The members who were told that they are bound."""
    return {signed.member.member_id for signed in outcomes.winners if signed.bound}


def refused(outcomes: Outcomes) -> list[str | None]:
    """Why the others are not."""
    return [signed.visit_refused for signed in outcomes.winners if not signed.bound]


def test_the_harness_sees_two_bound_by_one_visit_when_the_rule_is_a_read(arena: Arena) -> None:
    visit, proofs = a_visit(link=a_link(sharer_id=a_member())), [a_member() for _ in range(8)]
    turns = iter(proofs)

    def read() -> tuple[str, Row | None]:
        return next(turns), get(VisitUse, VisitUse.key(visit.visit_id))

    def write(seen: tuple[str, Row | None]) -> str | None:
        if seen[1] is not None:
            return None
        unconditionally(VisitUse(*VisitUse.key(visit.visit_id), member_id=seen[0]))
        unconditionally(
            attribution._row(seen[0], by=attribution.by_visit(visit), rev=1, cause="visit", now=NOW)
        )
        return seen[0]

    naive = read_then_write(read, write, parties=8)
    outcomes = race(*[naive] * 8)

    with pytest.raises(AssertionError, match="8 were bound by 1 visits"):
        check_bound_once(arena, told=set(outcomes.winners))


@rounds(STORM)
def test_of_many_who_sign_in_by_one_visit_one_is_bound(arena: Arena) -> None:
    proofs, visit = new_and_old(CROWD), a_visit(link=a_link(sharer_id=a_member()))

    outcomes = arena.race(*[signing_in(proof, visit) for proof in proofs])

    outcomes.expect(won=CROWD)
    assert len(bound(outcomes)) == 1
    assert refused(outcomes) == ["visit_used"] * (CROWD - 1)
    assert len({signed.member.member_id for signed in outcomes.winners}) == CROWD
    assert len(arena.rows("member")) == CROWD + 1
    check_bound_once(arena, told=bound(outcomes))


@rounds(ROUGH)
def test_under_the_policy_of_new_members_the_one_who_is_bound_is_new(arena: Arena) -> None:
    policies.make(EditPolicy(mode="new_members", depth=1), by=an_operator(), now=NOW)
    proofs, visit = new_and_old(CROWD), a_visit(link=a_link(sharer_id=a_member()))

    outcomes = arena.race(*[signing_in(proof, visit) for proof in proofs])

    outcomes.expect(won=CROWD)
    [winner] = bound(outcomes)
    assert members.show(winner).identities & set(proofs[1::2])
    assert set(refused(outcomes)) <= {"visit_used", "not_a_new_member"}
    check_bound_once(arena, told={winner})


@rounds(STORM)
def test_a_member_who_signs_in_many_times_by_one_visit_has_one_binding(arena: Arena) -> None:
    """A newcomer who does is in `test_first_login`."""
    [proof], visit = new_and_old(1), a_visit(link=a_link(sharer_id=a_member()))

    outcomes = arena.race(*[signing_in(proof, visit)] * CROWD)

    outcomes.expect(won=CROWD)
    assert all(signed.bound and signed.visit_refused is None for signed in outcomes.winners)
    check_bound_once(arena, told=bound(outcomes))


@rounds(ROUGH)
def test_a_member_who_comes_by_many_visits_at_once_uses_one(arena: Arena) -> None:
    proof = new_and_old(1)[0]
    links = [a_link(sharer_id=a_member()) for _ in range(8)]
    by = [a_visit(link=links[n % 8]) for n in range(CROWD)]

    outcomes = arena.race(*[signing_in(proof, visit) for visit in by])

    outcomes.expect(won=CROWD)
    assert all(signed.bound for signed in outcomes.winners)
    check_bound_once(arena, told=bound(outcomes))


def without(*kinds: type[Row]) -> Callable[[Write], Write]:
    """Rows of these kinds are put whatever is there."""
    return lambda write: replace(write, when=None) if isinstance(write.row, kinds) else write


def collided(arena: Arena, calls: Sequence[Callable[[], sessions.SignedIn]]) -> set[str]:
    """Who is told to be bound after a race in which nobody writes before all have read."""
    outcomes = arena.collide(*calls)
    outcomes.expect(won=len(calls))
    return bound(outcomes)


@pytest.mark.parametrize("known", [True, False], ids=["members", "newcomers"])
def test_a_visit_without_its_condition_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    proofs, visit = new_and_old(16)[0 if known else 1 :: 2], a_visit(link=a_link(sharer_id=a_member()))
    careless(monkeypatch, without(VisitUse))

    told = collided(arena, [signing_in(proof, visit) for proof in proofs])

    with pytest.raises(AssertionError, match="8 were bound by 1 visits"):
        check_bound_once(arena, told=told)


def test_a_binding_without_its_condition_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    member_id = a_member()
    first, second = (a_visit(link=a_link(sharer_id=a_member())) for _ in range(2))
    binding = functools.partial(attribution.bind, member_id, now=NOW)
    careless(monkeypatch, lambda write: without(Binding)(write) if write.natural else write)

    with overtaken(arena.client, "TransactWriteItems", by=lambda: binding(visit=first)):
        binding(visit=second)

    with pytest.raises(AssertionError, match="used up for nothing"):
        check_bound_once(arena, told={member_id})
