"""Coupons when any call fails: after the caller's retry there is one effect, and the books add up."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest
from moto.dynamodb.models import dynamodb_backends

from chalicelib.core import cache, due, facts, table
from chalicelib.core.clock import DAY
from chalicelib.coupons import codes, gifts, grants, packs, service, templates, using
from chalicelib.coupons.models import Code, Coupon, Template
from chalicelib.coupons.schemas import GrantPart, MakeCodes, MakeTemplate
from chalicelib.coupons.templates import Making
from infra.local.clients import Store
from tests.coupons import (
    LAST_DAY,
    MAKING,
    a_pack,
    a_plan,
    a_template,
    again,
    broken,
    claim,
    lock,
    told,
    wanted,
)
from tests.factories import NOW, OWNER, emptied
from tests.groupbuys import buyers
from tests.harness.faults import each_fault

pytestmark = pytest.mark.usefixtures("direct")

STOCK = 10


def planted_once(plant: Callable[[], "World"]) -> Callable[[], "World"]:
    """The world as ``plant`` makes it, made once and laid down anew for every case: a setup takes ten calls."""
    kept: list[tuple[World, dict[str, Any]]] = []

    def setup() -> World:
        if not kept:
            kept.append((plant(), {one.name: copy.deepcopy(one.items) for one in _tables()}))
        world, items = kept[0]
        emptied()
        for one in _tables():
            one.items.update(copy.deepcopy(items[one.name]))
        return replace(world, told=[])

    return setup


def _tables() -> list[Any]:
    return [
        table for by in dynamodb_backends.values() for one in by.values() for table in one.tables.values()
    ]


@dataclass
class World:
    """A template, somebody's coupon of it, a friend, and what they were told."""

    template: Template
    alice: str
    bob: str
    coupon: Coupon
    code: str = ""
    told: list[object] = field(default_factory=list)


def with_a_coupon(**changes: object) -> World:
    """Nothing but that, and nothing of it remembered."""
    emptied()
    template = a_template(giftable=True, **changes)
    alice, bob = buyers(2)
    world = World(template=template, alice=alice, bob=bob, coupon=claim(template, alice))
    cache.clear_all()
    return world


def check_books(store: Store, world: World) -> None:
    """Units, limits and orders say the same."""
    assert broken(store, world.template, stock=STOCK) == []


def test_a_claim_takes_one_unit(store: Store) -> None:
    def operation(world: World) -> None:
        world.told.append(claim(world.template, world.bob).coupon_id)

    def check(world: World) -> None:
        assert {one.coupon_id for one in service.all_of(world.bob)} == set(world.told)
        check_books(store, world)

    each_fault(operation, client=table.client(), setup=planted_once(with_a_coupon), check=check)


def test_a_counted_claim_under_a_key_counts_once(store: Store) -> None:
    def operation(world: World) -> None:
        world.told.append(claim(world.template, world.alice, key="a tap").coupon_id)

    def check(world: World) -> None:
        assert len(set(world.told)) == 1
        assert len(service.all_of(world.alice)) == 2
        check_books(store, world)

    each_fault(
        operation, client=table.client(), setup=planted_once(lambda: with_a_coupon(per_member=3)), check=check
    )


def test_a_lock_holds_once(store: Store) -> None:
    def operation(world: World) -> None:
        row = using.lock(wanted(world.coupon, order="M-1"), now=NOW)[0]
        world.told.append((row.discount_fen, tuple(row.per_line)))

    def check(world: World) -> None:
        assert set(world.told) == {(1000, (1000,))}
        assert (again(world.coupon).state, again(world.coupon).rev) == ("locked", 2)
        check_books(store, world)

    each_fault(operation, client=table.client(), setup=planted_once(with_a_coupon), check=check)


def with_a_lock() -> World:
    world = with_a_coupon()
    lock(world.coupon, order="M-1")
    cache.clear_all()
    return world


def with_a_redeemed_order() -> World:
    world = with_a_lock()
    using.redeem("M-1", now=NOW)
    cache.clear_all()
    return world


def test_a_redemption_happens_once(store: Store) -> None:
    def check(world: World) -> None:
        assert (again(world.coupon).state, again(world.coupon).rev) == ("redeemed", 3)
        check_books(store, world)

    each_fault(
        lambda world: using.redeem("M-1", now=NOW),
        client=table.client(),
        setup=planted_once(with_a_lock),
        check=check,
    )


def test_a_return_happens_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # The room by itself: what rooms that react are owed would be settled in between.
    monkeypatch.setattr(facts, "_reactions", {})

    def check(world: World) -> None:
        assert (again(world.coupon).state, again(world.coupon).rev) == ("unused", 4)
        check_books(store, world)

    each_fault(
        lambda world: using.bring_back("M-1", now=NOW),
        client=table.client(),
        setup=planted_once(with_a_redeemed_order),
        check=check,
    )


def test_the_shop_takes_a_coupon_once_with_one_line_in_the_trail(store: Store) -> None:
    def shown() -> World:
        world = with_a_coupon()
        world.code = using.shop_code(world.alice, world.coupon.coupon_id, now=NOW)[0]
        return world

    def check(world: World) -> None:
        assert (again(world.coupon).state, again(world.coupon).rev) == ("redeemed", 2)

    each_fault(
        lambda world: using.verify(world.code, by=OWNER, now=NOW),
        client=table.client(),
        setup=planted_once(shown),
        check=check,
    )


def test_a_gift_is_put_on_its_way_once_under_one_code(store: Store) -> None:
    def operation(world: World) -> None:
        world.told.append(gifts.give(world.alice, world.coupon.coupon_id, now=NOW)[0].code)

    def check(world: World) -> None:
        assert set(world.told) == {again(world.coupon).gift_code}

    each_fault(operation, client=table.client(), setup=planted_once(with_a_coupon), check=check)


def with_a_gift() -> World:
    world = with_a_coupon()
    world.code = gifts.give(world.alice, world.coupon.coupon_id, now=NOW)[0].code
    cache.clear_all()
    return world


def test_a_gift_is_taken_once(store: Store) -> None:
    def operation(world: World) -> None:
        world.told.append(gifts.accept(world.code, world.bob, now=NOW).coupon.coupon_id)

    def check(world: World) -> None:
        assert {one.coupon_id for one in service.all_of(world.bob)} == set(world.told)
        assert (len(set(world.told)), again(world.coupon).state) == (1, "gifted")
        check_books(store, world)

    each_fault(operation, client=table.client(), setup=planted_once(with_a_gift), check=check)


def with_a_pack() -> World:
    world = with_a_coupon()
    world.code = a_pack(a_plan(world.template, own=world.template, after_new=1), world.alice).pack_id
    cache.clear_all()
    return world


def test_a_pack_opens_once(store: Store) -> None:
    def with_a_plan() -> World:
        world = with_a_coupon()
        world.code = a_plan(world.template, own=world.template).plan_id
        cache.clear_all()
        return world

    def operation(world: World) -> None:
        world.told.append(packs.open_pack(world.code, world.bob, order_id=None, now=NOW).pack.pack_id)

    def check(world: World) -> None:
        assert len(set(world.told)) == 1
        check_books(store, world)

    each_fault(operation, client=table.client(), setup=planted_once(with_a_plan), check=check)


def test_a_piece_is_taken_once_and_unlocks_once(store: Store) -> None:
    def check(world: World) -> None:
        pack, pieces = packs.show(world.code)
        assert (pack.left, pack.new_missing, len(pieces)) == (2, 0, 1)
        assert service.own(world.alice, pack.sharer_coupon_id or "").rev == 2
        check_books(store, world)

    each_fault(
        lambda world: packs.take(world.code, world.bob, now=NOW),
        client=table.client(),
        setup=planted_once(with_a_pack),
        check=check,
    )


def test_a_pack_ends_once(store: Store) -> None:
    def operation(world: World) -> None:
        [entry] = due._due(f"{packs.JOB}#0", now=NOW + DAY)
        packs.end_pack(entry, NOW + DAY)

    def check(world: World) -> None:
        assert packs.show(world.code)[0].state == "over"
        check_books(store, world)

    def again_or_over(world: World) -> None:
        if list(due._due(f"{packs.JOB}#0", now=NOW + DAY)):
            operation(world)

    each_fault(again_or_over, client=table.client(), setup=planted_once(with_a_pack), check=check)


def test_a_code_is_used_once(store: Store) -> None:
    def printed() -> World:
        world = with_a_coupon()
        row = codes.make(
            world.template.template_id, MakeCodes(batch="b", count=1, uses=5, ends_at=LAST_DAY), MAKING
        )
        [world.code] = codes.letters(world.template.template_id, row, now=NOW)
        cache.clear_all()
        return world

    def check(world: World) -> None:
        assert len(service.all_of(world.bob)) == 1
        row = table.get(Code, Code.key(world.code))
        assert row is not None and row.left == 4
        check_books(store, world)

    each_fault(
        lambda world: codes.use(world.code, world.bob, now=NOW),
        client=table.client(),
        setup=planted_once(printed),
        check=check,
    )


def test_a_chunk_of_a_batch_is_taken_up_where_it_broke_off(store: Store) -> None:
    def begun() -> World:
        world = with_a_coupon()
        part = GrantPart(batch="b", member_ids=[world.bob])
        grants.begin(world.template.template_id, part, MAKING)
        cache.clear_all()
        return world

    def operation(world: World) -> None:
        for entry in list(due._due(f"{grants.JOB}#0", now=NOW)):
            grants.grant(entry, NOW)

    def check(world: World) -> None:
        [row] = grants.progress(world.template.template_id, "b")
        assert (row.state, row.given, row.refused) == ("done", 1, [])
        assert len(service.all_of(world.bob)) == 1
        check_books(store, world)

    each_fault(operation, client=table.client(), setup=planted_once(begun), check=check)


def test_a_template_is_made_once_with_all_of_its_stock(store: Store) -> None:
    given = msgspec.convert(told(stock_shards=2), MakeTemplate)

    def operation(template_ids: list[str]) -> None:
        keyed = Making(by=OWNER, now=NOW, idempotency_key="k")
        template_ids.append(templates.make(given, keyed).template_id)

    def check(template_ids: list[str]) -> None:
        [row] = templates.everything()
        assert {row.template_id} == set(template_ids)
        assert [one.left for one in templates.stock_of(row).values()] == [5, 5]

    def nothing() -> list[str]:
        emptied()
        return []

    each_fault(operation, client=table.client(), setup=nothing, check=check)
