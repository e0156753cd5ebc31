"""What a merged member takes out is in another's list, to be confirmed and watched there.

It goes on under the account it was taken from, as the hold and the tax are of that; what comes back of it is handed
over with the account. What was taken out on the day of the merge counts against the other's limit of that day. Who
the merged member was to the tax office, and the months they were paid in, stay with them: the other says who they
are when they take something out.
"""

from chalicelib.core import clock, config, estates, table
from chalicelib.core.errors import Busy
from chalicelib.withdrawals.models import Purse, Withdrawal

AT_ONCE = 50


@estates.hands_over("withdrawals")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """Some withdrawals are in the other's list, and the day counts there; whether there was anything."""
    rows = table.owned(f"{member_id}#withdrawals", limit=AT_ONCE).rows
    for row in rows:
        key, same = (row.pk, row.sk), Withdrawal.rev == row.rev
        listed = Withdrawal.owner.set(f"{into}#withdrawals")
        table.apply(table.update(Withdrawal, key, listed, when=same, refuse=Busy))
    return _day(member_id, into, now=now) or bool(rows)


def _day(member_id: str, into: str, *, now: int) -> bool:
    today = clock.local_day(now, zone=config.settings().zone)
    mine, theirs = table.get_many([(Purse, Purse.key(one)) for one in (member_id, into)])
    if mine is None or mine.day != today or not mine.day_fen:
        return False
    had = theirs.day_fen if theirs is not None and theirs.day == today else 0
    there = {"n": 0, "open_ids": [], "recent": []}
    fresh = [getattr(Purse, name).set(getattr(Purse, name) | value) for name, value in there.items()]
    told = (*fresh, Purse.day.set(today), Purse.day_fen.set(had + mine.day_fen))
    seen = Purse.pk.does_not_exist() if theirs is None else Purse.rev == theirs.rev
    gone = table.update(
        Purse, Purse.key(member_id), Purse.day_fen.set(0), when=Purse.rev == mine.rev, refuse=Busy
    )
    table.transact([gone, table.upsert(Purse, Purse.key(into), *told, when=seen, refuse=Busy)])
    return True
