"""How often a member may call what changes something: a person never notices, a script is held back."""

from collections import Counter

import pytest

from chalicelib.core import cache, http, limits
from chalicelib.core.clock import MINUTE
from chalicelib.core.limits import TooManyCalls
from infra.local.clients import Store
from tests.factories import NOW, a_word, books
from tests.harness.direct import Direct
from tests.integration.test_budgets import costs

ROUTE = "POST /v1/links"


def call(member_id: str, *, now: int = NOW, a_minute: int = 9) -> None:
    limits.admit(member_id, ROUTE, a_minute=a_minute, now=now)


def test_the_first_third_of_a_minute_costs_nothing_and_the_rest_one_call(store: Store) -> None:
    alice = a_word("mbr_")

    spent = [costs(lambda: call(alice)).operations for _ in range(4)]

    assert spent == [Counter(), Counter(), Counter(), Counter(UpdateItem=1)]


def test_whoever_does_it_too_often_waits_for_the_next_minute_and_nobody_else_does(direct: Direct) -> None:
    alice, bob = a_word("mbr_"), a_word("mbr_")
    for _ in range(9):
        call(alice)

    with pytest.raises(TooManyCalls) as refused:
        call(alice)
    assert refused.value.details == {"until": (NOW // MINUTE + 1) * MINUTE}
    limits.admit(alice, "POST /v1/groups", a_minute=9, now=NOW)
    call(bob)
    call(alice, now=NOW + MINUTE)
    assert [row["n"] for row in books(direct, "traffic").of("member_calls")] == [6]


def test_processes_share_what_is_beyond_the_first_third(direct: Direct) -> None:
    alice, passed = a_word("mbr_"), 0
    for _ in range(4):
        cache.clear_all()  # another process
        for _ in range(9):
            try:
                call(alice)
                passed += 1
            except TooManyCalls:
                pass

    assert passed == 4 * 3 + 6


def test_every_route_of_members_that_changes_something_has_a_limit_and_none_that_reads() -> None:
    for route in http.routes:
        changes = route.method != "GET" and route.door.kind in ("member", "public")
        assert (route.a_minute is not None) == changes, route.path
    typed = {route.path for route in http.routes if route.a_minute == limits.TYPED_A_MINUTE}
    assert typed == {"/v1/coupons/codes", "/v1/me/binding"}
