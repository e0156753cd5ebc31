"""Whether a whole table is as it should be, whatever was done in it: every rule of every room, and every row.

    there = rows(client, "truth")
    assert wrong(there) == []                   # at any time when nothing is under way
    assert wrong(there, rest_at=now) == []      # and nothing is due by then that a job has not done
    assert drifts(now=now) == []                # the reconciler's own proofs, by reading as it does

What rooms hold of their own rows is beside their tests; here they come together.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from chalicelib.checkins import campaigns as checkin_campaigns
from chalicelib.core import due, table
from chalicelib.core.books import Unsure
from chalicelib.orders import service as orders
from chalicelib.reconciling.service import SUMS, TALLIES
from tests.checkins import broken_days
from tests.commissions import wrong_in
from tests.coupons import uses_broken
from tests.groupbuys import books_in, broken_in
from tests.harness.rows import Plain
from tests.orders import broken as order_broken
from tests.rewards import broken_in as rewards_broken
from tests.withdrawals import broken as withdrawals_broken

Rule = Callable[[Sequence[Plain]], Iterator[str]]
MONEY = ("account", "entry", "hold", "withdrawal", "withdrawal_purse", "payee_month")
GOES_ON = {
    ("coupon", "locked"),
    ("coupon_gift", "open"),
    ("pack", "open"),
    ("delivery", "due"),
    ("refund", "due"),
    ("refund", "sent"),
    ("commission", "due"),
    ("merge", "moving"),
    ("member_leaving", "waiting"),
    ("content_check", "pending"),
}
"""Rows that nobody but a job brings on from such a state, so that they are due in it."""


def wrong(there: Sequence[Plain], *, rest_at: int | None = None) -> list[str]:
    """Every way in which the rows of the truth table break a rule; the app looks at the same table.

    ``rest_at``: all jobs have run by then, so that nothing may be left for them.
    """
    found = [f"{rule.__name__[1:]}: {line}" for rule in _RULES for line in rule(there)]
    if rest_at is not None:
        found += [f"rest: {line}" for line in _unrest(there, rest_at)]
    return found


def drifts(*, now: int) -> list[str]:
    """Every number that the reconciler would tell, or that it could not prove."""
    seen = [(item["kind"]["S"], table.decode(item)) for item in _items()]
    return [*_sums(seen, now), *_tallies(seen)]


# --- what rooms hold ----------------------------------------------------------------------------------------


def _whole(there: Sequence[Plain]) -> Iterator[str]:
    """Nothing was written to a row that was not there, and what has no revision told no fact."""
    for row in there:
        if not {"kind", "rev", "v"} <= set(row):
            yield f"{row['pk']} {row['sk']} has nothing but {sorted(row)}"


def _accounts(there: Sequence[Plain]) -> Iterator[str]:
    """L1: an account is what its entries add up to, and holds what its holds do."""
    posted: Counter[str] = Counter()
    held: Counter[str] = Counter()
    for row in there:
        if row.get("kind") in ("entry", "hold"):
            posted[row["pk"]] += row["amount"]
            held[row["pk"]] -= row["amount"] if row.get("state") == "frozen" else 0
    told = {row["pk"]: row for row in there if row.get("kind") == "account"}
    for pk in sorted({*posted, *told}):
        says = told.get(pk, {})
        if (says.get("balance", 0), says.get("frozen", 0)) != (posted[pk], held[pk]):
            yield f"{pk} has {says.get('balance')}, {says.get('frozen')} frozen, not {posted[pk]}, {held[pk]}"


def _group_buys(there: Sequence[Plain]) -> Iterator[str]:
    for row in there:
        if row.get("kind") == "groupbuy":
            yield from broken_in(books_in(there, row["campaign_id"]))


def _orders(there: Sequence[Plain]) -> Iterator[str]:
    for row in there:
        if row.get("kind") == "order":
            yield from (f"{row['order_id']}: {line}" for line in order_broken(orders.show(row["order_id"])))


def _withdrawals(there: Sequence[Plain]) -> Iterator[str]:
    yield from withdrawals_broken([row for row in there if row.get("kind") in MONEY])


def _commissions(there: Sequence[Plain]) -> Iterator[str]:
    yield from (line for row in there if row.get("kind") == "commission" for line in wrong_in(row))


def _coupons(there: Sequence[Plain]) -> Iterator[str]:
    yield from uses_broken(there)


def _rewards(there: Sequence[Plain]) -> Iterator[str]:
    yield from rewards_broken(there)


def _checkins(there: Sequence[Plain]) -> Iterator[str]:
    for campaign in checkin_campaigns.everything():
        yield from broken_days(list(there), campaign)


# --- what is due --------------------------------------------------------------------------------------------


def _due(there: Sequence[Plain]) -> Iterator[str]:
    """What is due, a job takes, from where it looks; what waits for one is due."""
    known = due.jobs()
    for row in there:
        told, name = row.get("due_shard"), f"{row.get('kind')} {row['pk']} {row['sk']}"
        if told is None:
            if (row.get("kind"), row.get("state")) in GOES_ON:
                yield f"{name} is {row['state']}, and due for nobody"
            continue
        job = told.rpartition("#")[0]
        if "due_at" not in row or (
            job != "stuck" and (job not in known or told != due.shard_of(job, row["pk"]))
        ):
            yield f"{name} is due at {told}, where nobody looks"


def _unrest(there: Sequence[Plain], at: int) -> Iterator[str]:
    for row in there:
        if row.get("due_at", at + 1) <= at and not row["due_shard"].startswith("stuck#"):
            yield f"{row['kind']} {row['pk']} {row['sk']} is still due at {row['due_shard']}"


_RULES: tuple[Rule, ...] = (
    _whole,
    _accounts,
    _group_buys,
    _orders,
    _withdrawals,
    _commissions,
    _coupons,
    _rewards,
    _checkins,
    _due,
)


# --- the reconciler's proofs --------------------------------------------------------------------------------


def _items() -> Iterator[table.Raw]:
    page, after = table.scan()
    yield from page
    while after is not None:
        page, after = table.scan(after=after)
        yield from page


Seen = Sequence[tuple[str, table.Row]]


def _sums(seen: Seen, now: int) -> Iterator[str]:
    for one in SUMS:
        mine = {row.pk for kind, row in seen if kind in one.kinds and row.pk.endswith(one.ends)}
        for pk in sorted(mine):
            try:
                differs = one.prove(pk, now)
            except Unsure as unsure:
                yield f"{one.name} {pk}: {type(unsure).__name__}"
                continue
            if differs is not None:
                yield f"{one.name} {pk} says {differs.says}, not {differs.adds_up}"


def _tallies(seen: Seen) -> Iterator[str]:
    for one in TALLIES:
        used: dict[str, int] = defaultdict(int)
        for _, row in (each for each in seen if each[0] in one.kinds):
            for key, units in one.uses(row):
                used[key] += units
        for counter in one.counters():
            if dict(counter.says) != dict.fromkeys(counter.says, used[counter.key]):
                yield f"{one.name} {counter.key} says {dict(counter.says)}, not {used[counter.key]}"
