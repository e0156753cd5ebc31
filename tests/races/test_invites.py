"""Inviting: whoever brings k new members gets one coupon for it, however many come, and are told of, at once.

The stream brings a fact twice and in any order, and many of one sharer's friends at the same moment.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from chalicelib.coupons import invites, service, templates
from chalicelib.coupons.models import Brought, Template
from tests.coupons import a_template, an_invite, bound, broken, registers
from tests.factories import alone
from tests.groupbuys import a_buyer, naively
from tests.races.arena import STORM, Arena, rounds

pytestmark = pytest.mark.engine


@pytest.fixture(autouse=True)
def only_coupons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else reacts to who is bound: their own races are run elsewhere."""
    alone(monkeypatch, "coupons")


def told(*friends: str, times: int) -> Sequence[Callable[[], Any]]:
    """The stream brings of each that they are bound, so many times."""
    return [partial(bound, one) for one in friends] * times


def check(arena: Arena, template: Template, alice: str, *, n: int, won: int, missed: int = 0) -> None:
    """So many came, and each coupon that the row tells of is there, once."""
    [plan] = arena.rows("invite_plan")
    row: Brought = invites.brought(plan["plan_id"], alice)
    assert (row.n, row.won, row.missed) == (n, won, missed)
    assert len(service.all_of(alice)) == won
    put = sum(shard.put or 0 for shard in templates.stock_of(template).values())
    assert broken(arena, template, stock=put) == []


def test_the_harness_sees_friends_who_are_not_counted_when_the_rule_is_a_read(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    template, alice = a_template(), a_buyer()
    plan = an_invite(template, every=1, times=9)
    friends = [registers(alice) for _ in range(8)]
    naively(monkeypatch)

    arena.collide(*told(*friends, times=1)).expect(won=8)

    assert invites.brought(plan.plan_id, alice).n == 1
    assert "1 units are used, 8 were issued" in broken(arena, template, stock=10)


@rounds(STORM)
def test_twelve_friends_told_of_three_times_bring_one_coupon_for_every_third(arena: Arena) -> None:
    template, newcomers, alice = a_template(), a_template(stock=20), a_buyer()
    an_invite(template, newcomers, every=3, times=3)
    friends = [registers(alice) for _ in range(12)]

    arena.race(*told(*friends, times=3)).expect(won=36)

    check(arena, template, alice, n=12, won=3)
    assert [len(service.all_of(one)) for one in friends] == [1] * 12
    assert broken(arena, newcomers, stock=20) == []


@rounds(STORM)
def test_of_eight_friends_at_once_the_last_unit_is_won_and_the_others_are_counted_as_missed(
    arena: Arena,
) -> None:
    template, alice = a_template(stock=3, stock_shards=2), a_buyer()
    an_invite(template, every=1, times=9)
    friends = [registers(alice) for _ in range(8)]

    arena.race(*told(*friends, times=2)).expect(won=16)

    check(arena, template, alice, n=8, won=3, missed=5)
