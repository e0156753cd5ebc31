"""Templates, claims and baskets for tests, the jobs run to the end, and whether C1 and C2 hold.

template = a_template(stock=3)
coupon = claim(template, a_buyer())
lock(coupon); using.redeem("M-1", now=NOW)
assert broken(client, template) == []
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from chalicelib.core import config, due, facts
from chalicelib.core.clock import DAY
from chalicelib.core.facts import Fact
from chalicelib.core.table import Row
from chalicelib.coupons import (
    expiring,
    gifts,
    grants,
    invites,
    packs,
    plans,
    rules,
    service,
    templates,
    using,
)
from chalicelib.coupons.models import Coupon, Invite, Lock, Pack, Plan, Template
from chalicelib.coupons.schemas import EditInvite, EditPlan, EditTemplate, MakeTemplate
from chalicelib.coupons.templates import Making
from chalicelib.members import service as members
from chalicelib.sharing import attribution
from chalicelib.sharing.attribution import Binding
from tests.factories import NOW, OWNER, PROGRAM, a_link, a_visit, a_word, an_openid
from tests.groupbuys import a_buyer
from tests.harness.rows import Plain, rows

JOBS = (service.JOB, gifts.JOB, packs.JOB, grants.JOB)
ROOM = (expiring, invites)
"""Importing them tells the jobs what to do, and the facts who reacts."""
MAKING = Making(by=OWNER, now=NOW)
LAST_DAY = NOW + 30 * DAY
AFTERWARDS = NOW + 40 * DAY
LASTING = {"kind": "fixed", "starts_at": NOW - DAY, "ends_at": LAST_DAY}


def told(**changes: Any) -> dict[str, Any]:
    """A template as operators say it: 10 yuan off from 50 on, one for each, claimed for a day, good for 30."""
    return {
        "title": "Ten off",
        "kind": "amount_off",
        "value_fen": 1000,
        "threshold_fen": 5000,
        "stock": 10,
        "claim": {"starts_at": NOW - DAY, "ends_at": NOW + DAY},
        "validity": LASTING,
        "remind_before_s": 0,
        **changes,
    }


def edited(**changes: Any) -> EditTemplate:
    """A template told anew."""
    plain = {name: value for name, value in told(**changes).items() if name not in ("stock", "stock_shards")}
    return msgspec.convert(plain, EditTemplate)


def a_template(**changes: Any) -> Template:
    """A template that is on; ``stock`` null is unlimited, ``for`` is given as ``audience``."""
    if "audience" in changes:
        changes["for"] = changes.pop("audience")
    return templates.make(msgspec.convert(told(**changes), MakeTemplate), MAKING)


def claim(template: Template, member_id: str, *, key: str | None = None, now: int = NOW) -> Coupon:
    """A member's coupon, claimed now or before."""
    return service.claim(template_id=template.template_id, member_id=member_id, key=key, now=now).coupon


def claiming(template: Template, member_id: str, *, key: str | None = None) -> Callable[[], Coupon]:
    """A claim for a race."""
    return lambda: claim(template, member_id, key=key)


def a_coupon(*, now: int = NOW, **changes: Any) -> Coupon:
    """Somebody's coupon of a template of its own."""
    return claim(a_template(**changes), a_buyer(), now=now)


def again(coupon: Coupon) -> Coupon:
    """The coupon as it is now."""
    return service.own(coupon.member_id, coupon.coupon_id)


def a_basket(*prices: int, freight_fen: int = 0, product: str = "tea") -> rules.Basket:
    """One line for each price; 60 yuan, unless said."""
    lines = [rules.Line(product_id=product, price_fen=price) for price in prices or (6000,)]
    return rules.Basket(lines=tuple(lines), freight_fen=freight_fen)


def wanted(
    *coupons: Coupon, order: str | None = None, basket: rules.Basket | None = None, lock_s: int = 1800
) -> using.Locking:
    """What an order wants held."""
    return using.Locking(
        order_ref=order or a_word("M-"),
        member_id=coupons[0].member_id,
        coupon_ids=tuple(one.coupon_id for one in coupons),
        basket=basket or a_basket(),
        lock_s=lock_s,
    )


def lock(*coupons: Coupon, now: int = NOW, **more: Any) -> Lock:
    """Coupons held for an order."""
    return using.lock(wanted(*coupons, **more), now=now)[0]


def a_plan(
    template: Template,
    *,
    own: Template | None = None,
    after_new: int = 2,
    making: Making = MAKING,
    **more: Any,
) -> Plan:
    """A plan of packs with three pieces, for a day; ``own``: of what the sharer's own coupon is."""
    plan = {
        "title": "Share",
        "after": "campaign",
        "template_id": template.template_id,
        "pieces": 3,
        "sharer": {"template_id": own.template_id, "after_new": after_new} if own else None,
        "starts_at": NOW - DAY,
        "ends_at": NOW + DAY,
        **more,
    }
    return plans.make(msgspec.convert(plan, EditPlan), making)


def an_invite(
    sharer: Template, friend: Template | None = None, *, making: Making = MAKING, **more: Any
) -> Invite:
    """A plan that counts now: every second new member, twice at most."""
    plan = {
        "title": "Invite",
        "every": 2,
        "times": 2,
        "sharer_template_id": sharer.template_id,
        "friend_template_id": friend.template_id if friend else None,
        "starts_at": NOW - DAY,
        "ends_at": NOW + DAY,
        **more,
    }
    return invites.make(msgspec.convert(plan, EditInvite), making)


def registers(sharer_id: str) -> str:
    """Somebody registers by the sharer's link."""
    visit = a_visit(link=a_link(sharer_id=sharer_id))
    came = members.Came(link=visit.link.code, visit_id=visit.visit_id)
    return members.find_or_register(
        proofs=[an_openid()],
        program_id=PROGRAM,
        now=NOW,
        came=came,
        also=lambda member_id: attribution.first_binding(member_id, visit=visit, now=NOW),
    )[0].member_id


def a_pack(plan: Plan, member_id: str | None = None, *, now: int = NOW) -> Pack:
    """A member's pack."""
    return packs.open_pack(plan.plan_id, member_id or a_buyer(), order_id=None, now=now).pack


def taking(pack: Pack, member_id: str, *, now: int = NOW) -> Callable[[], Coupon]:
    """A friend takes a piece."""
    return lambda: packs.take(pack.pack_id, member_id, now=now).coupon


def bound(friend_id: str) -> None:
    """The stream brings that a friend is bound."""
    pk, sk = Binding.key(friend_id)
    facts.dispatch(Fact(name="binding.made", pk=pk, sk=sk, rev=1, owed=False), now=NOW)


def entry_of(row: Row) -> due.Entry:
    """What the index says of a row that is due."""
    told = {name: getattr(row, name) for name in due.Entry.__annotations__ if name not in ("kind", "due_ref")}
    return due.Entry(**told, kind="", due_ref=row.due_ref or "")


def run_jobs(*, now: int = AFTERWARDS) -> None:
    """Everything that is due by ``now`` is done; nothing may fail."""
    for _ in range(20):
        ran = [due.run(job=job, worker=a_word("w"), now=now, seconds=60) for job in JOBS]
        assert not any(one.failed for one in ran), "a job failed"
        if not any(one.handled for one in ran):
            return
    raise AssertionError("the jobs never come to an end")


# --- the books ----------------------------------------------------------------------------------------------


def broken(store: Any, template: Template, *, stock: int | None) -> list[str]:
    """What of C1 and C2 does not hold for a template that was made with ``stock``."""
    client = getattr(store, "client", store)
    return broken_in(rows(client, config.settings().truth_table), template, stock=stock)


def broken_in(there: list[Plain], template: Template, *, stock: int | None) -> list[str]:
    """The same of rows that were read already."""
    mine = [row for row in there if row.get("template_id") == template.template_id]
    coupons = [row for row in mine if row["kind"] == "coupon"]
    shards = [row for row in mine if row["kind"] == "coupon_stock"]
    return [
        *_stock_broken(coupons, shards, stock=stock, held=_held(mine)),
        *_limit_broken(coupons, template),
        *uses_broken(there),
    ]


def _held(mine: list[Plain]) -> int:
    """Units that packs hold for pieces nobody has taken."""
    return sum(row["left"] for row in mine if row["kind"] == "pack" and row["state"] == "open")


def _stock_broken(coupons: list[Plain], shards: list[Plain], *, stock: int | None, held: int) -> list[str]:
    units = sum(row["state"] != "lapsed" and row["source"] != "gift" for row in coupons) + held
    issued = sum(row["issued"] for row in shards)
    found = [f"{units} units are used, {issued} were issued"] if units != issued else []
    if stock is not None:
        left = sum(row["left"] for row in shards)
        found += [f"{left} left and {units} used of {stock}"] if left + units != stock else []
        found += [f"a shard has {row['left']}" for row in shards if row["left"] < 0]
    return found


def _limit_broken(coupons: list[Plain], template: Template) -> list[str]:
    claims = Counter(row["member_id"] for row in coupons if row.get("n") is not None)
    return [f"{who} has claimed {n}" for who, n in claims.items() if n > template.per_member]


def uses_broken(there: Sequence[Plain]) -> list[str]:
    """What coupons and the orders that hold them say of each other that does not fit."""
    coupons = [row for row in there if row["kind"] == "coupon"]
    locks = {row["order_ref"]: row for row in there if row["kind"] == "coupon_lock"}
    found = []
    for row in coupons:
        held = locks.get(row.get("order_ref", ""))
        if row["state"] in ("locked", "redeemed") and not row["order_ref"].startswith("shop#"):
            fits = held is not None and held["state"] == row["state"]
            found += [] if fits else [f"{row['sk']} is {row['state']}, its order {held and held['state']}"]
    return found
