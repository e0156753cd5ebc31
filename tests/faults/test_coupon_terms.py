"""What operators say of coupons, and what inviting brings, when any call fails: each is said, and paid, once."""

from collections.abc import Callable

import msgspec
import pytest

from chalicelib.core import cache, table
from chalicelib.core.clock import DAY
from chalicelib.coupons import codes, grants, invites, plans, service, templates
from chalicelib.coupons.models import Terms
from chalicelib.coupons.schemas import EditTemplate, GrantPart, MakeCodes
from chalicelib.coupons.templates import Making
from chalicelib.sharing.models import Binding
from infra.local.clients import Store
from tests.coupons import LAST_DAY, MAKING, a_plan, an_invite, bound, told
from tests.factories import NOW, OWNER, a_member, alone, books
from tests.faults.test_coupons import World, check_books, planted_once, with_a_coupon
from tests.harness.faults import each_fault

pytestmark = pytest.mark.usefixtures("direct")

KEYED = Making(by=OWNER, now=NOW, idempotency_key="k")
PRINTED = MakeCodes(batch="b", count=3, uses=5, ends_at=LAST_DAY)


def in_the_trail(action: str) -> int:
    """How often the trail says so."""
    return len(books(table.client()).of("audit", action=action))


def in_two_shards() -> World:
    """A template whose stock lies in two places, and a coupon of it."""
    return with_a_coupon(stock_shards=2)


# --- templates ----------------------------------------------------------------------------------------------


def test_a_template_is_edited_once_with_all_of_its_shards(store: Store) -> None:
    window = {"starts_at": NOW - DAY, "ends_at": NOW + 9 * DAY}
    plain = {name: value for name, value in told(value_fen=2000, claim=window).items() if name != "stock"}

    def operation(world: World) -> None:
        templates.edit(world.template.template_id, msgspec.convert(plain, EditTemplate), MAKING)

    def check(world: World) -> None:
        row = templates.find(world.template.template_id, now=NOW)
        assert (row.version, row.rev, row.terms["value_fen"], row.claim_until) == (2, 2, 2000, NOW + 9 * DAY)
        assert [one.claim_until for one in templates.stock_of(row).values()] == [row.claim_until] * 2
        worth = [one.terms["value_fen"] for one in table.query_all(Terms, Terms.key(row.template_id, 0)[0])]
        assert (worth, in_the_trail("coupon.edited")) == ([1000, 2000], 1)
        check_books(store, world)

    each_fault(operation, client=table.client(), setup=planted_once(in_two_shards), check=check)


@pytest.mark.parametrize("to", ["off", "on"])
def test_a_template_is_switched_once_with_all_of_its_shards(to: str, store: Store) -> None:
    def other() -> World:
        world = in_two_shards()
        if to == "on":
            templates.switch(world.template.template_id, to="off", making=MAKING)
        cache.clear_all()
        return world

    def operation(world: World) -> None:
        templates.find(world.template.template_id, now=NOW)  # as a process that gives coupons remembers it
        templates.switch(world.template.template_id, to=to, making=MAKING)

    def check(world: World) -> None:
        row = templates.find(world.template.template_id, now=NOW)
        assert row.state == to
        assert [one.on for one in templates.stock_of(row).values()] == [to == "on"] * 2
        assert in_the_trail(f"coupon.{to}") == 1
        check_books(store, world)

    each_fault(operation, client=table.client(), setup=planted_once(other), check=check)


@pytest.mark.parametrize("units", [7, -3])
def test_units_are_added_once_for_a_key(units: int, store: Store) -> None:
    def check(world: World) -> None:
        shards = templates.stock_of(world.template).values()
        assert sum(one.left or 0 for one in shards) == 9 + units
        assert sum(one.put or 0 for one in shards) == 10 + units
        assert in_the_trail("coupon.stock") == 1

    each_fault(
        lambda world: templates.add_units(world.template.template_id, units=units, making=KEYED),
        client=table.client(),
        setup=planted_once(in_two_shards),
        check=check,
    )


# --- codes and batches --------------------------------------------------------------------------------------


def test_codes_are_made_once_all_of_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codes, "AT_ONCE", 2)

    def check(world: World) -> None:
        there = books(store.client)
        row = codes.find(world.template.template_id, "b")
        printed = codes.letters(world.template.template_id, row, now=NOW)
        assert sorted(one["code"] for one in there.of("coupon_code", left=5)) == sorted(printed)
        assert (len(printed), in_the_trail("coupon.codes")) == (3, 1)

    each_fault(
        lambda world: codes.make(world.template.template_id, PRINTED, MAKING),
        client=table.client(),
        setup=planted_once(with_a_coupon),
        check=check,
    )


def test_a_batch_of_codes_is_switched_once(store: Store) -> None:
    def printed() -> World:
        world = with_a_coupon()
        codes.make(world.template.template_id, PRINTED, MAKING)
        cache.clear_all()
        return world

    def check(world: World) -> None:
        row = codes.find(world.template.template_id, "b")
        assert (row.state, row.rev, in_the_trail("coupon.codes_off")) == ("off", 2, 1)

    each_fault(
        lambda world: codes.switch(world.template.template_id, "b", to="off", making=MAKING),
        client=table.client(),
        setup=planted_once(printed),
        check=check,
    )


def test_a_part_of_a_batch_is_begun_once_whole(store: Store) -> None:
    def operation(world: World) -> None:
        part = GrantPart(batch="b", member_ids=[f"mbr_{n}" for n in range(grants.CHUNK + 1)])
        grants.begin(world.template.template_id, part, MAKING)

    def check(world: World) -> None:
        chunks = grants.progress(world.template.template_id, "b")
        assert [(row.rev, len(row.member_ids)) for row in chunks] == [(1, grants.CHUNK), (1, 1)]
        assert in_the_trail("coupon.granted") == 1

    each_fault(operation, client=table.client(), setup=planted_once(with_a_coupon), check=check)


# --- packs and inviting -------------------------------------------------------------------------------------


def test_a_plan_of_packs_is_made_once_for_a_key(store: Store) -> None:
    def check(world: World) -> None:
        [row] = plans.everything(now=NOW).values()
        assert (row.state, row.rev, in_the_trail("pack_plan.made")) == ("on", 1, 1)

    each_fault(
        lambda world: a_plan(world.template, making=KEYED),
        client=table.client(),
        setup=planted_once(with_a_coupon),
        check=check,
    )


def with_plans() -> World:
    """A plan of packs, and one by which every second friend brings a coupon and each of them gets one."""
    world = with_a_coupon()
    world.code = a_plan(world.template).plan_id
    an_invite(world.template, world.template, every=2)
    cache.clear_all()
    return world


def test_a_plan_of_packs_is_switched_once(store: Store) -> None:
    def check(world: World) -> None:
        row = plans.find(world.code, now=NOW)
        assert (row.state, row.rev, in_the_trail("pack_plan.off")) == ("off", 2, 1)

    each_fault(
        lambda world: plans.switch(world.code, to="off", making=MAKING),
        client=table.client(),
        setup=planted_once(with_plans),
        check=check,
    )


def test_a_plan_of_inviting_is_made_once_for_a_key(store: Store) -> None:
    def check(world: World) -> None:
        [row] = invites.plans(now=NOW)
        assert (row.state, row.rev, in_the_trail("invite_plan.made")) == ("on", 1, 1)

    each_fault(
        lambda world: an_invite(world.template, making=KEYED),
        client=table.client(),
        setup=planted_once(with_a_coupon),
        check=check,
    )


def test_a_plan_of_inviting_is_switched_off_once(store: Store) -> None:
    def check(world: World) -> None:
        [row] = invites.plans(now=NOW)
        assert (row.state, row.rev, in_the_trail("invite_plan.off")) == ("off", 2, 1)

    each_fault(
        lambda world: invites.switch_off(invites.plans(now=NOW)[0].plan_id, MAKING),
        client=table.client(),
        setup=planted_once(with_plans),
        check=check,
    )


def registered(friend_id: str, *, by: str) -> None:
    """A friend is bound to who brought them, as sharing writes it when they register."""
    binding = Binding(
        *Binding.key(friend_id),
        state="bound",
        member_id=friend_id,
        promoter_id=by,
        policy=1,
        bound_at=NOW,
        cause="registered",
    )
    table.apply(table.create(binding))


def with_friends(every: int) -> Callable[[], World]:
    """Of two friends of Alice's whom a plan counts, one is counted; Bob is the other."""

    def plant() -> World:
        world = with_a_coupon()
        an_invite(world.template, world.template, every=every)
        first = a_member()
        for friend_id in (first, world.bob):
            registered(friend_id, by=world.alice)
        bound(first)
        cache.clear_all()
        return world

    return plant


@pytest.mark.parametrize(("every", "won"), [(2, 1), (1, 2), (3, 0)])
def test_a_friend_is_counted_once_and_both_sides_get_theirs_once(
    every: int, won: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone(monkeypatch, "coupons")

    def check(world: World) -> None:
        [plan] = invites.plans(now=NOW)
        row = invites.brought(plan.plan_id, world.alice)
        assert (row.n, row.won, row.missed, row.rev) == (2, won, 0, 2)
        assert [one.source for one in service.all_of(world.bob)] == ["invite"]
        assert sum(one.source == "invite" for one in service.all_of(world.alice)) == won
        check_books(store, world)

    each_fault(
        lambda world: bound(world.bob),
        client=table.client(),
        setup=planted_once(with_friends(every)),
        check=check,
    )
