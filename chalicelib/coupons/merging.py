"""What a merged member has here becomes another's: coupons in whatever state, packs, and what was counted for them.

A coupon goes into the other's partition under its own id. The row that it leaves says where it is: an order that
holds it, a gift or a take-back finds it through that, and what it was given for gives nothing a second time. A
claim counts for the other as if it had been theirs: it takes the place of their first, if they have none, and adds
to their tally; so nobody claims more for having been two. A pack or a printed code that gave one of them something
asks by what names the other is known.
"""

from chalicelib.core import clock, config, due, estates, facts, table
from chalicelib.core.errors import Busy
from chalicelib.core.table import Write
from chalicelib.coupons import service
from chalicelib.coupons.models import Brought, Coupon, Gift, Invite, Pack, Sharing, Tally

AT_ONCE = 20


@estates.hands_over("coupons")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """Some things of a merged member go over, each once; whether there were any."""
    return any([_packs(member_id, into), _coupons(member_id, into, now=now), _brought(member_id, into)])


# --- coupons ------------------------------------------------------------------------------------------------


def _coupons(member_id: str, into: str, *, now: int) -> bool:
    # What waits for a pack goes over with it.
    rows = [row for row in service.all_of(member_id) if row.state != "waiting"]
    for row in rows[:AT_ONCE]:
        if row.owed_rev is not None and facts.wanted(row.due_ref or ""):
            facts.catch_up(row, now=now)  # it could not be told any more from the row that stays
        else:
            table.transact([*_moved(row, into), *_gift(row, into), *_claimed(row, into)])
    return bool(rows)


def _moved(row: Coupon, into: str) -> list[Write]:
    key = Coupon.key(into, row.coupon_id)
    copy = table.copied(row, key, member_id=into, **due.slot_of(row, pk=key[0]))
    gone = (Coupon.state.set("moved"), Coupon.moved_to.set(into), Coupon.moved_id.set(row.coupon_id))
    unchanged = Coupon.rev == row.rev
    left = table.update(Coupon, (row.pk, row.sk), *gone, *due.emptied(), when=unchanged, refuse=Busy)
    return [left, table.create(copy, refuse=Busy)]


def _gift(row: Coupon, into: str) -> list[Write]:
    if row.state != "gifting" or row.gift_code is None:
        return []
    still = (Gift.state == "open") & (Gift.giver_id == row.member_id)
    given = Gift.giver_id.set(into)
    return [table.update(Gift, Gift.key(row.gift_code), given, when=still, refuse=Busy)]


def _claimed(row: Coupon, into: str) -> list[Write]:
    """A claim takes the place of the other's first one, if they have none, and is counted with theirs."""
    if row.n is None:
        return []
    first_id = service.id_for_claim(row.template_id, into, 1)
    keys = [(Tally, Tally.key(row.template_id, into)), (Coupon, Coupon.key(into, first_id))]
    tally, first = table.get_many(keys)
    place = table.copied(
        row,
        Coupon.key(into, first_id),
        coupon_id=first_id,
        member_id=into,
        n=1,
        state="moved",
        moved_to=into,
        moved_id=row.coupon_id,
        due_shard=None,
        due_at=None,
        due_ref=None,
    )
    return [
        _counted(row, into, tally, n=tally.n if tally is not None else 1 if first is not None else 0),
        *([table.create(place, refuse=Busy)] if first is None else []),
    ]


def _counted(row: Coupon, into: str, tally: Tally | None, *, n: int) -> Write:
    day = clock.local_day(row.claimed_at, zone=config.settings().zone)
    last, today = (tally.day, tally.today) if tally is not None else ("", 0)
    actions = (
        Tally.n.set(n + 1),
        Tally.day.set(max(last, day)),
        Tally.today.set(today + 1 if day == last else 1 if day > last else today),
        Tally.recent.set(tally.recent if tally is not None else []),
    )
    as_seen = Tally.pk.does_not_exist() if tally is None else Tally.rev == tally.rev
    return table.upsert(Tally, Tally.key(row.template_id, into), *actions, when=as_seen, refuse=Busy)


# --- packs, and who brought how many ------------------------------------------------------------------------


def _packs(member_id: str, into: str) -> bool:
    rows = table.query(Sharing, Sharing.key(member_id, 0, "")[0], limit=AT_ONCE).rows
    for row in rows:
        theirs = Sharing(Sharing.key(into, 0, "")[0], row.sk, pack_id=row.pack_id)
        listed = [table.delete(Sharing, (row.pk, row.sk), refuse=Busy), table.create(theirs, refuse=Busy)]
        shared = table.update(
            Pack,
            Pack.key(row.pack_id),
            Pack.sharer_id.set(into),
            when=Pack.sharer_id == member_id,
            refuse=Busy,
        )
        table.transact([shared, *listed, *_waiting(row.pack_id, member_id, into)])
    return bool(rows)


def _waiting(pack_id: str, member_id: str, into: str) -> list[Write]:
    """The sharer's own coupon, if it still waits: the pack names it by its sharer."""
    pack = table.get(Pack, Pack.key(pack_id))
    own = service.find(member_id, pack.sharer_coupon_id) if pack and pack.sharer_coupon_id else None
    return _moved(own, into) if own is not None and own.state == "waiting" else []


def _brought(member_id: str, into: str) -> bool:
    plans = table.query_all(Invite, Invite.key("")[0])
    rows = table.get_all([(Brought, Brought.key(plan.plan_id, member_id)) for plan in plans])
    found = [(plan.plan_id, row) for plan, row in zip(plans, rows, strict=True) if row is not None]
    for plan_id, row in found:
        added = [getattr(Brought, name).add(getattr(row, name)) for name in ("n", "won", "missed")]
        gone = table.delete(Brought, (row.pk, row.sk), when=Brought.rev == row.rev, refuse=Busy)
        table.transact([gone, table.upsert(Brought, Brought.key(plan_id, into), *added)])
    return bool(found)
