"""The books of promoters: what is counted for them, and their months, is what was brought, bought and settled.

What was settled is counted by the fact of its entry, a moment later: while one is owed, nobody can say. Which
commissions somebody has the owner index says, and an index lags: of what differs while something is young, neither.
"""

from collections.abc import Mapping, Sequence

from chalicelib.commissions import rules, service
from chalicelib.commissions.models import Commission, Counted, Earned, Invited, Promoter, Spent
from chalicelib.core.books import Differs, Numbers, Sum, Unsure, read, read_pages
from chalicelib.core.clock import HOUR
from chalicelib.core.ledger import Account, Entry
from chalicelib.core.table import Row

ROUNDS = 4
PAGE = 100
YOUNG_S = HOUR
"""How long an index may lag, and far more than any was seen to."""
COUNTS_OF = ("invitees", "orders", "settled_fen", "spend_fen")


def prove_months(pk: str, now: int) -> Differs | None:
    """Whether a promoter's months in all are what the entries of their account say was settled.

    Raises:
        Unsure: they kept moving, or something that was settled is not counted yet. TooLarge: there are too many.
    """
    owner = pk.split("#")[1]
    for _ in range(ROUNDS):
        before = _months(owner)
        adds_up = {**_settled(_entries(owner)), "bonus_fen": _bonuses(owner)}
        months = _months(owner)
        if _revs(before) == _revs(months):
            says = {name: _sum(months, name) for name in ("orders", "bonus_fen")}
            return _compared({**says, "settled_fen": _sum(months, "score")}, adds_up)
    raise Unsure(pk)


def prove_counts(pk: str, now: int) -> Differs | None:
    """Whether what is counted for somebody is the friends, the purchases and the commissions that there are.

    Raises:
        Unsure: the same, or they differ and something is so young that the index may not know it. TooLarge.
    """
    who = pk.partition("#")[2]
    for _ in range(ROUNDS):
        before = [*_counts(who), *_months(who)]
        found = _commissions(who)
        adds_up = {**_brought_and_bought(who), **_left_of(found)}
        entries = _entries(who)  # what is settled is counted, or nobody can say
        counts, months = _counts(who), _months(who)
        if _revs(before) == _revs([*counts, *months]):
            says = {name: _sum(counts, name) for name in COUNTS_OF}
            differs = _compared({**says, "base_fen": _sum(months, "base_fen")}, adds_up)
            if differs is not None and _young(entries, found, now=now):
                break
            return differs
    raise Unsure(pk)


def _young(entries: Sequence[Entry], found: Sequence[Commission], *, now: int) -> bool:
    """Whether there may be a commission that the index does not know yet."""
    return any(at > now - YOUNG_S for at in (*(one.at for one in entries), *(one.made_at for one in found)))


def _compared(says: Numbers, adds_up: Numbers) -> Differs | None:
    return None if says == adds_up else Differs(says=says, adds_up=adds_up)


# --- what is said -------------------------------------------------------------------------------------------


def _months(who: str) -> list[Row]:
    return read(Earned, Earned.key(who, "")[0])


def _counts(who: str) -> list[Row]:
    return read(Counted, Promoter.key(who)[0], Row.sk.startswith("COUNT#"))


def _revs(rows: Sequence[Row]) -> Mapping[str, int]:
    return {row.sk: row.rev for row in rows}


def _sum(rows: Sequence[Row], name: str) -> int:
    return sum(getattr(row, name) or 0 for row in rows)


# --- what it adds up to -------------------------------------------------------------------------------------


def _entries(who: str) -> list[Entry]:
    """What was settled, and taken back of it, all of which is counted.

    Raises:
        Unsure: not all of it.
    """
    pk = Account.key(who, service.MONEY)[0]
    found: list[Entry] = read(Row, pk, Row.sk.startswith("ENTRY#settle#"))
    if any(entry.owed_rev is not None for entry in found):
        raise Unsure(pk)
    return found


def _settled(entries: Sequence[Entry]) -> dict[str, int]:
    orders = sum(entry.about["orders"] for entry in entries if entry.about is not None)
    return {"settled_fen": sum(entry.amount for entry in entries), "orders": orders}


def _bonuses(who: str) -> int:
    pk = Account.key(who, service.MONEY)[0]
    return sum(entry.amount for entry in read(Row, pk, Row.sk.startswith("ENTRY#bonus#")))


def _brought_and_bought(who: str) -> dict[str, int]:
    friends = read(Invited, Invited.key(who, "")[0])
    orders = read(Spent, Spent.key(who, "")[0])
    return {"invitees": len(friends), "spend_fen": sum(row.fen for row in orders)}


def _commissions(who: str) -> list[Commission]:
    return read_pages(lambda after: service.of_promoter(who, limit=PAGE, after=after), of=who)


def _left_of(commissions: Sequence[Commission]) -> dict[str, int]:
    """What is left of all that was settled; what was clawed back whole is no order any more."""
    rows = [row for row in commissions if row.state in ("settled", "clawed_back")]
    first_level = [row for row in rows if row.level == "L1"]
    return {
        "orders": sum(row.state == "settled" for row in first_level),
        "settled_fen": sum(row.amount_fen for row in rows),
        "base_fen": sum(rules.base_fen(service.lines_of(row)) for row in first_level),
    }


MONTHS = Sum(name="promoter_months", kinds=frozenset({"entry"}), ends=f"#{service.MONEY}", prove=prove_months)
COUNTS = Sum(name="promoter_counts", kinds=frozenset({"promoter_counts"}), prove=prove_counts)
