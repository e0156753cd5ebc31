"""Rules, friends who come, orders, and whether what was granted is what the rules say.

    rule = a_rule(on="member.registered", to="sharer", limits={"per_member": 3})
    alice = a_member()
    comes(a_link(sharer_id=alice))                          # a friend registers by her link
    reacted(client, now=NOW)                                # what the stream brings
    assert got(alice) == [("given", 10)]
    assert broken(client) == []

`broken` reads the whole table past every layer: limits and purses against the grants, the ledger against both.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from chalicelib.core import facts, ledger, table
from chalicelib.core.errors import Conflict
from chalicelib.core.table import IntAttribute, Row, Write
from chalicelib.members import service as members
from chalicelib.orders import service as orders
from chalicelib.orders.models import Order
from chalicelib.rewards import gifts, kinds, lists, occurrences, service
from chalicelib.rewards.gifts import Giving, Kind
from chalicelib.rewards.rules import GiftSpec, RewardTerms
from chalicelib.rewards.service import InForce, Making
from chalicelib.sharing import attribution
from chalicelib.sharing.models import Link
from tests.factories import NOW, OWNER, PROGRAM, a_visit, a_word, an_openid
from tests.harness.rows import Plain, rows, stream_records
from tests.harness.streams import event

ROOM = (kinds, occurrences)
"""Importing them tells the facts who reacts, and rules what can be given."""
POINTS: list[dict[str, Any]] = [{"kind": "points", "amount": 10}]
VOUCHER: list[dict[str, Any]] = [{"kind": "voucher", "id": "v1"}]

# --- a gift of which there are only so many -----------------------------------------------------------------


class Vouchers(Row, discriminator="test_vouchers"):
    """How many vouchers are left."""

    left = IntAttribute()


class NoVouchers(Conflict):
    """All vouchers are gone."""

    code = "no_vouchers"


class VoucherUsed(Conflict):
    """A voucher that was used does not come back."""

    code = "voucher_used"


def a_few_vouchers(left: int, *, voucher_id: str = "v1") -> None:
    """So many of them, and no more."""
    table.apply(table.create(Vouchers("VOUCHERS", voucher_id, left=left)))


def _voucher_given(giving: Giving) -> list[Write]:
    key = ("VOUCHERS", giving.pieces[0].id or "")
    some = Vouchers.left >= 1
    return [table.update(Vouchers, key, Vouchers.left.add(-1), when=some, refuse=NoVouchers)]


def _voucher_back(giving: Giving) -> list[Write]:
    raise VoucherUsed


def _voucher_words(gift_id: str | None, amount: int, lang: str, now: int) -> str:
    return "一张卡" if lang == "zh" else "a voucher"


gifts.kind(
    "voucher",
    Kind(
        spec=GiftSpec(needs_id=True, counted=False),
        given=_voucher_given,
        taken_back=_voucher_back,
        words=_voucher_words,
    ),
)


# --- the stream, as far as this room reads it ----------------------------------------------------------------


class Reader:
    """Brings the room what the stream has told since it last did."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._told = 0

    def __call__(self, *, now: int = NOW) -> None:
        """Nothing may fail."""
        records = stream_records(self._client, "truth")
        fresh, self._told = records[self._told :], len(records)
        assert facts.handle_stream(event(fresh), now=now) == {"batchItemFailures": []}


# --- things -------------------------------------------------------------------------------------------------


def terms(**told: Any) -> RewardTerms:
    """What a rule says: ten points to the sharer of whoever registers, unless told otherwise."""
    given: dict[str, Any] = {"title": "Bring a friend", "on": "member.registered", "to": "sharer"}
    if "tiers" not in told:
        given["give"] = POINTS
    return msgspec.convert({**given, **told}, RewardTerms)


def making(*, now: int = NOW, key: str | None = None) -> Making:
    """An owner who makes something."""
    return Making(by=OWNER, now=now, idempotency_key=key)


def a_rule(*, state: Any = "on", now: int = NOW, **told: Any) -> InForce:
    """A rule that is in force from ``now`` on."""
    made = service.make(terms(**told), state=state, making=making(now=now - service.BEGINS_AFTER_S))
    return next(rule for rule in service.current(now=now) if rule.rule_id == made.rule_id)


def comes(link: Link, *, now: int = NOW) -> str:
    """The id of a friend who registers by this link."""
    visit = a_visit(link=link, now=now)
    member, _ = members.find_or_register(
        proofs=[an_openid()],
        program_id=PROGRAM,
        now=now,
        came=members.Came(link=link.code, visit_id=visit.visit_id),
        also=partial(attribution.first_binding, visit=visit, now=now),
    )
    return member.member_id


def an_order(
    member_id: str, *, link: str | None = None, fen: int = 8900, now: int = NOW, purpose: str = "mall"
) -> Order:
    """An order that was just paid, of no group-buy."""
    order_id = a_word("ord_")
    pending = Order(
        *Order.key(order_id),
        order_id=order_id,
        member_id=member_id,
        state="pending",
        purpose=purpose,
        gateway="mall",
        link=link,
        campaign_id="cmp_none",
        group_id="",
        sku_id="sku",
        quantity=1,
        size=1,
        lifetime_s=0,
        head=False,
        taken=[],
        title="Tea",
        amount_fen=fen,
        created_at=now,
        held_until=now,
    )
    table.apply(table.create(pending))
    paid = orders.taken(
        pending,
        orders.Paid(payment_id="pay_1", amount_fen=fen),
        before="pending",
        refuse=AssertionError,
        now=now,
    )
    table.transact(paid)
    return orders.show(order_id)


def refunded(order: Order, *, now: int = NOW) -> Order:
    """The order after the mall gave it back."""
    back = orders.Back(reason="mall", done=True)
    row = orders.show(order.order_id)
    table.transact(orders.refunding(row, back=back, refuse=AssertionError, now=now))
    return orders.show(order.order_id)


# --- what came of it ----------------------------------------------------------------------------------------


def got(member_id: str) -> list[tuple[str, int]]:
    """A member's rewards, newest first: what became of each, and its points."""
    page = lists.mine(member_id, limit=100, after=None).rows
    return [(row.state, sum(amount for kind, amount, _ in row.gifts if kind == "points")) for row in page]


def missed(member_id: str) -> list[str]:
    """Why a member's missed rewards were missed, newest first."""
    return [row.reason for row in lists.mine(member_id, limit=100, after=None).rows if row.reason]


def points(member_id: str) -> int:
    """What the member has."""
    return ledger.balance(owner=member_id, book="points")


def broken(client: Any, name: str = "truth") -> list[str]:
    """What does not hold, in words; empty when all does. Nothing may be in flight."""
    there = rows(client, name)
    return [*broken_in(there), *_ledger(_by_kind(there))]


def broken_in(there: Sequence[Plain]) -> list[str]:
    """The same of rows that were read already, wherever else points may come from."""
    found = _by_kind(there)
    return [*_purses(found), *_progress(found), *_listed(found)]


def _by_kind(there: Sequence[Plain]) -> dict[str, list[Plain]]:
    found = defaultdict(list)
    for row in there:
        found[row["kind"]].append(row)
    return found


def _purses(found: dict[str, list[Plain]]) -> list[str]:
    wrong = []
    live = Counter(row["rule_id"] for row in found["reward_grant"] if row["state"] == "given")
    for rule in found["reward_rule"]:
        shards = [row for row in found["reward_purse"] if row["pk"].split("#")[1] == rule["rule_id"]]
        had = terms_in(rule).limits.total or 10**12
        left, given = sum(row["left"] for row in shards), live[rule["rule_id"]]
        net = sum(row["given"] - row["taken_back"] for row in shards)
        if any(row["left"] < 0 for row in shards) or left + given != had or net != given:
            wrong.append(f"{rule['rule_id']}: {given} given and {left} left of {had}, {net} by its purse")
    return wrong


def terms_in(rule: Plain) -> RewardTerms:
    """What a rule's row says."""
    return msgspec.convert(msgspec.json.decode(rule["terms"]), RewardTerms)


def _progress(found: dict[str, list[Plain]]) -> list[str]:
    wrong, by_rule = [], {row["rule_id"]: terms_in(row) for row in found["reward_rule"]}
    live = [row for row in found["reward_grant"] if row["state"] in ("given", "counted")]
    counted = Counter((row["member_id"], row["rule_id"]) for row in live if row["tracked"])
    daily = Counter((row["member_id"], row["rule_id"], row["day"]) for row in live if "day" in row)
    for row in found["reward_progress"]:
        key = (row["pk"].split("#")[1], row["sk"].split("#")[1])
        most = by_rule[key[1]].limits.per_member or 10**9
        if row["n"] != counted[key] or row["n"] > most:
            wrong.append(f"{key} counted {row['n']}, {counted[key]} by its grants, {most} allowed")
    for (member_id, rule_id, day), n in daily.items():
        most = by_rule[rule_id].limits.per_day or 10**9
        if n > most:
            wrong.append(f"{member_id} got {n} of {rule_id} on {day}, {most} allowed")
    return wrong


def _listed(found: dict[str, list[Plain]]) -> list[str]:
    grants = Counter((row["grant_id"], row["state"]) for row in found["reward_grant"] if _shown(row))
    listed = Counter((row["grant_id"], row["state"]) for row in found["reward_listed"])
    return [f"{key} is listed {listed[key]} times" for key in grants | listed if grants[key] != listed[key]]


def _shown(row: Plain) -> bool:
    return row["state"] in ("given", "missed") or (row["state"] == "taken_back" and row["gifts"] != "[]")


def _ledger(found: dict[str, list[Plain]]) -> list[str]:
    owed: Counter[str] = Counter()
    for row in found["reward_grant"]:
        if row["state"] == "given":
            pieces: Sequence[Any] = msgspec.json.decode(row["gifts"])
            owed[row["member_id"]] += sum(amount for kind, amount, _ in pieces if kind == "points")
    have = {
        row["pk"].split("#")[1]: row.get("balance", 0)
        for row in found["account"]
        if row["pk"].endswith("#points")
    }
    return [
        f"{who} has {have.get(who, 0)} points, {n} by their grants"
        for who, n in owed.items()
        if have.get(who, 0) != n
    ]
