"""What each operation costs in calls and write units (design 9); `Counter` of units by table and by index."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import urllib3

from chalicelib.core import cache, config, deliveries, due, facts, table
from chalicelib.core.facts import Fact
from chalicelib.core.table import IntAttribute, Row, Write
from chalicelib.members import service as members
from chalicelib.sessions import service as sessions
from chalicelib.sessions.service import CameBy, SignedIn
from chalicelib.sharing import attribution, orders, policies, routes, visits
from chalicelib.sharing import service as sharing
from chalicelib.sharing.models import Link
from chalicelib.sharing.schemas import EditPolicy, MintLink, OpenLink
from infra.local.clients import Store
from tests.factories import (
    NOW,
    OWNER,
    a_call,
    a_link,
    a_member,
    a_program,
    a_proof,
    a_share,
    a_unionid,
    a_visit,
    an_opening,
    came_by,
    only,
)
from tests.harness.counter import Spent, counting, of_the_design
from tests.integration.test_attribution import an_order

FREE: Counter[str] = Counter()
BOB = [a_proof("bob"), a_unionid("bob")]


def costs(do: Callable[[], object]) -> Spent:
    """What ``do`` asked of the store."""
    with counting(table.client()) as spent:
        do()
    return spent


@pytest.fixture
def alice(store: Store) -> str:
    """Somebody who shares."""
    return a_member()


@pytest.fixture
def link(alice: str) -> Link:
    """A link that this process remembers, as its sharer's profile and the policy."""
    shared = a_link(sharer_id=alice)
    members.profile(alice, now=NOW)
    policies.current(now=NOW)
    return shared


# --- visits -------------------------------------------------------------------------------------------------


def visit(link: Link, visitor: str = "key:a-phone") -> visits.Visit:
    found = sharing.find_open(link.code, now=NOW)
    return visits.record(link=found, visitor=visitor, wx_scene=1008, now=NOW)


def test_a_visit_of_a_link_is_one_call_and_one_unit(link: Link) -> None:
    spent = costs(lambda: visit(link))
    of_the_design(spent)

    assert (spent.operations, spent.writes) == (Counter(UpdateItem=1), Counter(traffic=1))


def test_a_visit_of_a_link_that_is_not_remembered_is_two_calls_and_one_unit(link: Link) -> None:
    cache.clear_all()

    spent = costs(lambda: visit(link))
    of_the_design(spent)

    assert (spent.operations, spent.writes) == (Counter(GetItem=1, UpdateItem=1), Counter(traffic=1))


def test_a_visit_again_within_the_hour_costs_the_same(link: Link) -> None:
    visit(link)

    assert costs(lambda: visit(link)).writes == Counter(traffic=1)


def test_a_visit_past_a_row_known_to_be_full_is_one_call(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "ROW_HOLDS", 2)
    visit(link, "key:the-first")
    visit(link, "key:the-second")

    first, second = (costs(lambda: visit(link, "key:a")), costs(lambda: visit(link, "key:b")))

    assert (first.calls, first.writes) == (2, Counter(traffic=2))
    assert (second.calls, second.writes) == (1, Counter(traffic=1))


def test_the_whole_opening_of_a_link_is_one_call_with_all_remembered_and_five_with_nothing(
    link: Link,
) -> None:
    cache.clear_all()

    def open_it() -> None:
        routes.open_link(a_call(), link.code, OpenLink(visitor="a-phone-s-key"))

    cold, warm = costs(open_it), costs(open_it)

    assert (warm.operations, warm.writes) == (Counter(UpdateItem=1), Counter(traffic=1))
    # Link, sharer and target; the templates; the visit. Design 9 says 2, which is the link's own share.
    assert cold.operations == Counter(GetItem=3, Query=1, UpdateItem=1)
    assert cold.writes == Counter(traffic=1)


# --- signing in ---------------------------------------------------------------------------------------------


def sign_in(by: CameBy | None = None, *, proofs: Sequence[str] = BOB) -> SignedIn:
    return sessions.sign_in(proofs=proofs, program_id="demo", came_by=by or came_by(), now=NOW)


FIRST = Counter(BatchGetItem=1, TransactWriteItems=1)


def test_a_first_login_is_two_calls_and_six_units(store: Store) -> None:
    spent = costs(sign_in)
    of_the_design(spent)

    # Two identities and the member; the index unit is the member's entry in `due`: member.registered is owed.
    assert (spent.operations, spent.writes) == (FIRST, Counter({"truth": 6, "truth/due": 1}))


def test_a_first_login_without_a_unionid_is_two_calls_and_four_units(store: Store) -> None:
    spent = costs(lambda: sign_in(proofs=BOB[:1]))

    assert (spent.operations, spent.writes) == (FIRST, Counter({"truth": 4, "truth/due": 1}))


def test_a_first_login_by_a_visit_adds_four_units_and_no_call(link: Link) -> None:
    token = visits.token_for(a_visit(link=link), now=NOW)

    spent = costs(lambda: sign_in(came_by(visit_token=token)))

    # The binding and the visit's use; of the index units one is the binding's in its promoter's list, and one its
    # entry in `due`: binding.made is owed.
    writes = Counter({"truth": 6 + 4, "truth/due": 2, "truth/owner": 1})
    assert (spent.operations, spent.writes) == (FIRST, writes)


def test_a_first_login_by_a_link_adds_the_visit_itself(link: Link) -> None:
    spent = costs(lambda: sign_in(came_by(link=link.code)))

    assert spent.operations == FIRST + Counter(UpdateItem=1)
    assert spent.writes == Counter({"truth": 6 + 4, "truth/due": 2, "truth/owner": 1, "traffic": 1})


def test_a_known_login_writes_nothing(store: Store) -> None:
    sign_in()

    spent = costs(sign_in)

    assert (spent.operations, spent.writes) == (Counter(BatchGetItem=1, GetItem=2), FREE)


def test_a_known_login_of_a_bound_member_reads_the_binding_once_in_thirty_seconds(link: Link) -> None:
    sign_in(came_by(visit_token=visits.token_for(a_visit(link=link), now=NOW)))

    assert (costs(sign_in).calls, costs(sign_in).operations) == (3, Counter(BatchGetItem=1, GetItem=1))


def test_a_unionid_that_comes_later_is_four_units(store: Store) -> None:
    sign_in(proofs=BOB[:1])

    spent = costs(sign_in)

    assert (spent.operations["TransactWriteItems"], spent.writes) == (1, Counter(truth=4))


# --- links --------------------------------------------------------------------------------------------------


def mint(sharer_id: str) -> tuple[Link, bool]:
    return sharing.mint(sharer_id=sharer_id, wanted=a_share(target="tea"), now=NOW)


def test_minting_is_one_call_and_minting_again_is_one_call(alice: str) -> None:
    first, again = costs(lambda: mint(alice)), costs(lambda: mint(alice))

    assert (first.operations, first.writes) == (Counter(PutItem=1), Counter({"truth": 1, "truth/owner": 1}))
    assert (again.operations, again.writes) == (Counter(PutItem=1), Counter(truth=1))


def test_a_batch_of_fifty_is_two_calls_and_one_when_all_are_there(alice: str) -> None:
    wanted: list[MintLink] = [a_share() for _ in range(50)]

    def mint_all() -> None:
        sharing.mint_all(sharer_id=alice, wanted=wanted, now=NOW)

    first, again = costs(mint_all), costs(mint_all)

    assert (first.operations, first.writes) == (FIRST, Counter({"truth": 100, "truth/owner": 50}))
    assert (again.operations, again.writes) == (Counter(BatchGetItem=1), FREE)


def test_switching_off_is_two_calls_and_two_units(link: Link) -> None:
    spent = costs(lambda: sharing.switch_off(code=link.code, sharer_id=link.sharer_id))

    assert (spent.operations, spent.writes) == (Counter(GetItem=1, TransactWriteItems=1), Counter(truth=2))


# --- binding ------------------------------------------------------------------------------------------------


def test_binding_a_member_of_long_standing_is_three_calls_and_six_units(link: Link) -> None:
    bob, by = a_member(), a_visit(link=link)

    spent = costs(lambda: attribution.bind(bob, visit=by, now=NOW))

    # The binding, the visit's use, and the check that nobody brought the promoter meanwhile.
    assert (spent.operations, spent.writes) == (
        Counter(GetItem=2, TransactWriteItems=1),
        Counter({"truth": 6, "truth/due": 1, "truth/owner": 1}),
    )


def test_each_promoter_above_adds_a_read_and_a_check_of_two_units(alice: str, link: Link) -> None:
    carol, bob, by = a_member(), a_member(), a_visit(link=link)
    attribution.bind(alice, visit=a_visit(link=a_link(sharer_id=carol)), now=NOW)

    spent = costs(lambda: attribution.bind(bob, visit=by, now=NOW))

    assert (spent.operations["GetItem"], spent.table_units, spent.index_units) == (3, 8, 2)


def test_binding_who_is_bound_is_one_read(link: Link) -> None:
    bob, by = a_member(), a_visit(link=link)
    attribution.bind(bob, visit=by, now=NOW)

    spent = costs(lambda: attribution.bind(bob, visit=by, now=NOW))

    assert (spent.operations, spent.writes) == (Counter(GetItem=1), FREE)


# --- reactions ----------------------------------------------------------------------------------------------


class Bell(Row, discriminator="test_bell"):
    """Something that happens."""

    FACTS = {(None, "rung"): "test.rung"}


class Echo(Row, discriminator="test_echo"):
    """What came of it."""

    n = IntAttribute(null=True)


KEY = ("BELL#1", "META")


def resound(bell: Row, now: int) -> Sequence[Write]:
    return [table.upsert(Echo, ("ECHO#1", "META"), Echo.n.add(1))]


@pytest.fixture
def one_effect(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fact with one reaction, which has one effect."""
    monkeypatch.setattr(facts, "_reactions", {})
    facts.reaction("test.rung", name="resound")(resound)
    yield


def ring(*, owed: bool) -> Fact:
    slot: dict[str, Any] = facts.owed("test.rung", pk=KEY[0], rev=1, now=NOW) if owed else {}
    table.apply(table.create(Bell(*KEY, state="rung", **slot)))
    return Fact(name="test.rung", pk=KEY[0], sk=KEY[1], rev=1, owed=owed)


@pytest.mark.usefixtures("one_effect")
def test_a_reaction_with_one_effect_is_two_calls_and_six_units() -> None:
    fact = ring(owed=False)

    spent = costs(lambda: facts.dispatch(fact, now=NOW))
    of_the_design(spent)

    # The marker, the check that the row is as it was read, and the effect.
    assert (spent.operations, spent.writes) == (Counter(GetItem=1, TransactWriteItems=1), Counter(truth=6))


@pytest.mark.usefixtures("one_effect")
def test_a_fact_that_was_owed_adds_one_write_that_owes_it_no_more() -> None:
    fact = ring(owed=True)

    spent = costs(lambda: facts.dispatch(fact, now=NOW))

    assert spent.operations == Counter(GetItem=1, TransactWriteItems=1, UpdateItem=1)
    assert spent.writes == Counter({"truth": 6 + 1, "truth/due": 1})


@pytest.mark.usefixtures("one_effect")
def test_a_record_that_comes_again_costs_as_much_as_the_first() -> None:
    fact = ring(owed=True)
    facts.dispatch(fact, now=NOW)

    spent = costs(lambda: facts.dispatch(fact, now=NOW))

    # The refused marker bills its whole transaction, and the refused settling itself.
    assert (spent.calls, spent.writes) == (3, Counter(truth=6 + 1))


def test_a_delivery_is_one_read_and_one_write_beside_the_call(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urllib3, "request", lambda *_, **__: urllib3.HTTPResponse(status=200))
    config.override(mall_webhook_url="http://mall.example")
    table.apply(deliveries.owe("member.registered", cause=["1"], data={}, now=NOW)[0])
    row = only(store.client, "delivery")
    entry = due.Entry(
        pk=row["pk"], sk="META", kind="delivery", due_shard=row["due_shard"], due_at=row["due_at"], due_ref=""
    )

    spent = costs(lambda: deliveries.send(entry, NOW))

    assert (spent.operations, spent.writes) == (
        Counter(GetItem=1, UpdateItem=1),
        Counter({"truth": 1, "truth/due": 1}),
    )


def test_a_minute_in_which_nothing_is_due_writes_nothing(store: Store) -> None:
    a_member()

    for job in (facts.JOB, deliveries.JOB):
        spent = costs(lambda job=job: due.run(job=job, worker="w", now=NOW, seconds=30))  # type: ignore[misc]
        assert (spent.operations, spent.writes) == (Counter(Query=1), FREE)


# --- what is remembered -------------------------------------------------------------------------------------


def test_the_door_reads_the_blocked_once_in_twenty_seconds_and_nothing_else(alice: str) -> None:
    token, _ = members.token_for(members.show(alice), program_id="demo", visitor="a-visitor", now=NOW)

    first = costs(lambda: members.admit(token, NOW))
    then = costs(lambda: members.admit(token, NOW + members.BLOCKED_FRESH_FOR_S - 1))
    later = costs(lambda: members.admit(token, NOW + members.BLOCKED_FRESH_FOR_S))

    assert (first.operations, then.calls, later.operations) == (Counter(Query=1), 0, Counter(Query=1))


def test_programs_are_read_once_in_thirty_seconds(store: Store) -> None:
    members.add_program(a_program("demo"), by=OWNER, now=NOW)

    assert costs(lambda: members.programs(now=NOW)).operations == Counter(Query=1)
    assert costs(lambda: members.program("demo", now=NOW + 29)).calls == 0
    assert costs(lambda: members.programs(now=NOW + 30)).operations == Counter(Query=1)


def test_a_funnel_reads_one_partition_of_visits_while_no_row_was_full(link: Link) -> None:
    an_opening(link=link)

    def read() -> None:
        visits.funnel(code=link.code, sharer_id=link.sharer_id, days=7, now=NOW + 10)

    spent = costs(read)

    assert (spent.operations, spent.writes) == (Counter(Query=2), FREE)


# --- attribution --------------------------------------------------------------------------------------------


def test_attributing_an_order_of_nobodys_is_four_calls_and_one_unit(store: Store) -> None:
    order = an_order(a_member())

    spent = costs(lambda: orders.of_order(order, now=NOW))

    # Is it there; the policies; the buyer's bindings; the snapshot, which is in the list of its day.
    assert (spent.operations, spent.writes) == (
        Counter(GetItem=1, Query=2, PutItem=1),
        Counter({"truth": 1, "truth/rank": 1}),
    )


def test_attributing_a_customers_order_reads_the_promoter_and_what_looks_like_fraud(link: Link) -> None:
    bob = a_member()
    attribution.bind(bob, visit=a_visit(link=link), places={"device": "d", "address": "a"}, now=NOW)
    order = an_order(bob)

    spent = costs(lambda: orders.of_order(order, now=NOW))

    # Besides: the promoter's bindings; the device's month, the promoter's hour and refunds; the address's day.
    assert (spent.operations, spent.writes) == (
        Counter(GetItem=2, Query=6, PutItem=1),
        Counter({"truth": 1, "truth/rank": 1}),
    )
    assert costs(lambda: orders.of_order(order, now=NOW)).operations == Counter(GetItem=1)


def test_a_visit_that_does_not_bind_is_noted_by_one_write_an_hour(link: Link) -> None:
    bob, other = a_member(), a_link(sharer_id=a_member())
    attribution.bind(bob, visit=a_visit(link=link), now=NOW)
    attribution.binding(bob, now=NOW)

    spent = costs(lambda: attribution.come(bob, visit=a_visit(link=other), now=NOW))
    again = costs(lambda: attribution.come(bob, visit=a_visit(link=other), now=NOW))

    assert (spent.operations, spent.writes) == (
        Counter(UpdateItem=1),
        Counter({"truth": 1, "truth/owner": 1}),
    )
    assert not again.operations


def test_taking_a_binding_is_one_transaction_of_ten_units(link: Link) -> None:
    policies.make(EditPolicy(mode="last"), by=OWNER, now=NOW)
    bob, by = a_member(), a_visit(link=a_link(sharer_id=a_member()))
    attribution.move(bob, promoter_id=link.sharer_id, reason="x", by=OWNER, now=NOW)

    spent = costs(lambda: attribution.bind(bob, visit=by, now=NOW))

    # The binding, the visit's use, its past, the loser's list, and the check that nobody brought the promoter.
    assert (spent.operations["TransactWriteItems"], spent.table_units) == (1, 10)
