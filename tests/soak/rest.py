"""How the town comes to rest, and whether its books are right then: every row, every fen, nothing left, no drift.

come_to_rest(town)
assert wrong(town) == []
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from chalicelib.core import clock
from chalicelib.core.clock import DAY, HOUR, MINUTE
from chalicelib.operators import stuck
from chalicelib.withdrawals.transfers import id_of
from infra.local.wechat import pay, refunds, transfers
from tests.groupbuys import books_in, broken_in
from tests.harness import books
from tests.harness.rows import Plain, rows
from tests.soak import opening
from tests.soak.opening import tells
from tests.soak.steps import weixin
from tests.soak.town import Town

PAUSES = (11 * MINUTE, HOUR)
DAYS = (1, 1, 2, 8, 20, 31, 31, 1)
"""Long enough for holds, groups, gifts, packs, leavings, months of points and passes over the books."""
EXPLAINED = {
    "twice": "the mall gave back by itself what it was asked for",
    "unfinished": "nobody completed it in time",
    "mismatch": "another amount was paid",
}
"""What may be stuck in the end, by its job, and which fault of the run made it so."""
REFUSED_FOR_EVER = {"member_blocked": "who was blocked as they left does not come back by an order"}
"""What the mall may be refused however often it tells it, and why; so is what else it tells of the same order."""
UNDER_WAY = {
    "order": ("pending", "refunding"),
    "group": ("opening", "open", "expiring"),
    "refund": ("due", "sent"),
    "withdrawal": ("applied", "approved", "transferring", "awaiting_confirmation"),
    "coupon": ("locked", "gifting"),
    "coupon_gift": ("open",),
    "coupon_lock": ("locked",),
    "pack": ("open",),
    "points_checkout": ("frozen",),
    "hold": ("frozen",),
    "delivery": ("due",),
}
"""What nothing may be any more once all time is over."""


def come_to_rest(town: Town, *, days: Sequence[int] = DAYS) -> None:
    """Nothing goes wrong any more and nobody does anything new; all that is under way comes to its end."""
    town.calm()
    town.weixin.platform.of(transfers.Transfers).outcome = ""
    town.weixin.platform.of(refunds.Refunds).outcome = "SUCCESS"
    for some in days:
        for pause in PAUSES:
            _settles(town)
            town.passes(pause)
        _shop_shuts(town)
        _people_decide(town)
        _settles(town)
        town.passes(some * DAY)
    _proved(town)


def _shop_shuts(town: Town) -> None:
    """What was paid is received and kept, what was not is cancelled."""
    for row in _now(town, "order"):
        mine = town.mall._orders.get(row.get("mall_order_id", ""))
        if mine and mine.state == "unpaid":
            town.mall.cancel(mine.number)
        elif row["state"] == "paid" and _filled(town, row):
            tells(town, "order.completed", order_id=row["order_id"])


def _filled(town: Town, order: Plain) -> bool:
    group = [row for row in _now(town, "group") if row["group_id"] == order.get("group_id")]
    return all(row["state"] == "filled" for row in group)


def _settles(town: Town) -> None:
    """All that waits arrives, and what it brings about as well."""
    town.jobs()
    for _ in range(30):
        if not (town.waiting["react"] or town.waiting["deliver"] or town.notices):
            break
        town.stream()
        town.post()
    else:
        raise AssertionError("the town never comes to rest")


def _people_decide(town: Town) -> None:
    """What waits for an operator, or for somebody at WeChat; whoever is blocked is let in again."""
    for row in _now(town, "member"):
        if row["state"] == "blocked":
            town.desk.call("POST", f"/v1/admin/members/{row['member_id']}/unblock", reason="at rest")
    for row in _now(town, "withdrawal"):
        path = f"/v1/admin/withdrawals/{row['withdrawal_id']}"
        if row["state"] == "applied":
            town.desk.call("POST", f"{path}/approve")
        elif row["state"] in opening.BY_HAND and row["gateway"] == "manual":
            town.desk.asks("POST", f"{path}/paid", reference="ICBC-2")
            town.by_hand[row["withdrawal_id"]] = row["net_fen"]
    for one in [*town.weixin.platform.of(refunds.Refunds).by_number.values()]:
        if one.status == "PROCESSING":
            weixin(town, f"/_simulator/refunds/{one.asked['out_refund_no']}/SUCCESS", {})


def _proved(town: Town) -> None:
    """A month begins, and with it a pass over the whole table, that nobody disturbs."""
    while clock.local_day(town.time, zone=opening.ZONE)[8:] != "02":
        town.passes(DAY - HOUR)
    for _ in range(6):
        town.passes(2 * HOUR)
        _settles(town)


def _now(town: Town, kind: str) -> list[Plain]:
    return rows(town.store.real, "truth", kind=kind)


# --- whether it is right ------------------------------------------------------------------------------------


def wrong(town: Town) -> list[str]:
    """Everything that is not as it should be."""
    there = rows(town.store.real, "truth")
    kinds: dict[str, list[Plain]] = defaultdict(list)
    for row in there:
        kinds[row.get("kind", "")].append(row)
    return [
        *books.wrong(there, rest_at=town.time),
        *books.drifts(now=town.time),
        *(line for rule in RULES for line in rule(town, kinds)),
    ]


Kinds = dict[str, list[Plain]]


def _nothing_is_under_way(town: Town, there: Kinds) -> Iterator[str]:
    for kind, states in UNDER_WAY.items():
        for row in there[kind]:
            if row.get("state") in states:
                yield f"{kind} {row['pk']} {row['sk']} is still {row['state']}"
    barred = {
        message.number or message.message_id
        for message in town.mailbag
        if town.refused.get(message.message_id) in REFUSED_FOR_EVER
    }
    for message in town.mailbag:
        if (message.number or message.message_id) not in barred:
            why = town.refused.get(message.message_id)
            yield f"the mall still has to tell {message.what} of {message.number}: {why} {message.body}"


def _group_buys_are_over(town: Town, there: Kinds) -> Iterator[str]:
    """G1 to G7 when all their time is over; what happened was counted once."""
    every = [row for rows_of_kind in there.values() for row in rows_of_kind]
    for row in there["groupbuy"]:
        yield from broken_in(books_in(every, row["campaign_id"]), at_rest=True)


def _nothing_is_stuck(town: Town, there: Kinds) -> Iterator[str]:
    """Nothing waits for a person, or it is explained."""
    found, after = stuck.listed(limit=100)
    for one in found:
        if one.trouble.job not in EXPLAINED:
            yield f"stuck: {one.trouble.job} {one.row.pk} {one.row.sk} {one.row.last_error}"
    if after is not None:
        yield "stuck: more than a hundred"


def _the_reconciler_is_content(town: Town, there: Kinds) -> Iterator[str]:
    """No pass, of all days of the run, found a number that does not add up; the last in full proved all of them."""
    for row in there["drift"]:
        yield f"drift: {row['book']} {row['subject']} says {row['says']}, adds up to {row['adds_up']}"
    full = max((row for row in there["reconciling_pass"] if row["full"]), key=lambda row: str(row["sk"]))
    if full["state"] != "done" or full["unjudged"] or full["too_large"]:
        yield f"the last pass: {full}"
    for row in there["bill_difference"]:
        if "gone_at" not in row:
            yield f"the bill: {row}"


def _wechat_has_what_the_books_say(town: Town, there: Kinds) -> Iterator[str]:
    """Money in and out of WeChat Pay, order by order."""
    platform = town.weixin.platform
    theirs, ours = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for trade in platform.of(pay.Trades).by_number.values():
        theirs[trade.number, "in"] += trade.total if trade.paid_at else 0
    for refund in platform.of(refunds.Refunds).by_number.values():
        theirs[refund.trade.number, "out"] += refund.fen if refund.status == "SUCCESS" else 0
    mine = {row["order_id"] for row in there["order"] if row["gateway"] == "wechat"}
    for kind, way in (("payment", "in"), ("refund", "out")):
        for row in there[kind]:
            if row["order_id"] in mine:
                ours[row["order_id"], way] += row["amount_fen"]
    yield from _apart("WeChat", theirs, ours)


def _the_mall_has_what_the_books_say(town: Town, there: Kinds) -> Iterator[str]:
    """Money in and out of the mall, order by order: by its own comparison, and by ours."""
    for difference in town.mall.reconcile()["differences"]:
        yield f"the mall: {difference}"
    theirs, ours = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for order in town.mall._orders.values():
        if order.order_id:
            theirs[order.order_id, "in"] += order.paid_fen
            theirs[order.order_id, "out"] += order.refunded_fen
    mine = {row["order_id"] for row in there["order"] if row["gateway"] == "mall"}
    for kind, way in (("payment", "in"), ("refund", "out")):
        for row in there[kind]:
            if row["order_id"] in mine:
                ours[row["order_id"], way] += row["amount_fen"]
    yield from _apart("the mall", theirs, ours)


def _withdrawals_were_paid_once(town: Town, there: Kinds) -> Iterator[str]:
    """What gateways paid out for each withdrawal, and what the books say was paid."""
    theirs = Counter[tuple[str, str]]()
    for transfer in town.weixin.platform.of(transfers.Transfers).by_number.values():
        theirs[id_of(transfer.number), "wechat"] += transfer.fen if transfer.state == "SUCCESS" else 0
    for gateway, paid in (("mall", town.mall.payouts), ("manual", town.by_hand)):
        for about, fen in paid.items():
            theirs[about, gateway] += fen
    ours = Counter[tuple[str, str]]()
    for row in there["withdrawal"]:
        if row["gateway"] != "sandbox":
            ours[row["withdrawal_id"], row["gateway"]] += row["net_fen"] if row["state"] == "paid" else 0
    yield from _apart("payouts", theirs, ours)


def _members_have_what_they_earned(town: Town, there: Kinds) -> Iterator[str]:
    """M2: what a member's commissions brought, less what they withdrew, is what they have."""
    owed: Counter[str] = Counter()
    for member_id, fen in _owed(there):
        owed[_now_of(there, member_id)] += fen
    has: Counter[str] = Counter()
    for row in there["account"]:
        if row["pk"].endswith("#money"):
            has[_now_of(there, row["pk"].split("#")[1])] += row["balance"]
    for one in sorted({*owed, *has}):
        if owed[one] != has[one]:
            yield f"{one} has {has[one]} fen, and earned {owed[one]}"


def _owed(there: Kinds) -> Iterator[tuple[str, int]]:
    """Whom something brought or took money, and how much."""
    for row in there["entry"]:
        if row["reason"] == opening.BEFORE:
            yield row["pk"].split("#")[1], row["amount"]
    for row in there["commission"]:
        yield row["promoter_id"], row.get("settled_fen") or 0
    for row in there["promoter_month"]:
        yield row["member_id"], row.get("bonus_fen") or 0
    for row in there["withdrawal"]:
        yield row["member_id"], -row["amount_fen"] if row["state"] == "paid" else 0


def _now_of(there: Kinds, member_id: str) -> str:
    """Whom somebody was merged into."""
    into = {row["member_id"]: row["merged_into"] for row in there["member"] if "merged_into" in row}
    while member_id in into:
        member_id = into[member_id]
    return member_id


def paid(town: Town) -> dict[str, int]:
    """What went in and out at the gateways, in fen."""
    platform, orders = town.weixin.platform, town.mall._orders.values()
    went = Counter[str]()
    went["to WeChat Pay"] = sum(
        one.total for one in platform.of(pay.Trades).by_number.values() if one.paid_at
    )
    went["back by WeChat Pay"] = sum(one.fen for one in platform.of(refunds.Refunds).by_number.values())
    went["to the mall"] = sum(one.paid_fen for one in orders)
    went["back by the mall"] = sum(one.refunded_fen for one in orders)
    went["out by WeChat Pay"] = platform.of(transfers.Transfers).paid_fen
    went["out by the mall"] = sum(town.mall.payouts.values())
    went["out by hand"] = sum(town.by_hand.values())
    return dict(went)


def _apart(what: str, theirs: Counter[Any], ours: Counter[Any]) -> Iterator[str]:
    for key in sorted({*theirs, *ours}):
        if theirs[key] != ours[key]:
            yield f"{what}: {key} is {theirs[key]} fen there and {ours[key]} in the books"


RULES = (
    _nothing_is_under_way,
    _group_buys_are_over,
    _nothing_is_stuck,
    _the_reconciler_is_content,
    _wechat_has_what_the_books_say,
    _the_mall_has_what_the_books_say,
    _withdrawals_were_paid_once,
    _members_have_what_they_earned,
)
