"""Whether all that was done under load is right: every row of both tables against the rules of the rooms, what each
answer promised against the rows, and the books by the app's own reconciler.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.load.figures import Answer
from bench.load.setting import STOCK, Place
from chalicelib.checkins import campaigns
from chalicelib.core import due
from chalicelib.core.clock import DAY
from chalicelib.coupons import templates
from chalicelib.reconciling import service as reconciling
from tests import checkins, coupons, groupbuys
from tests.harness import books
from tests.harness.rows import Plain, rows

Played = Sequence[tuple[Place, Sequence[Answer]]]
"""What was called, and where."""
_COUNTED = re.compile(r"VISITS#([^#]+)#")


@dataclass(frozen=True, kw_only=True)
class Checked:
    """One rule: what of how many it was held against, and where it did not hold."""

    rule: str
    looked_at: int
    violations: Sequence[str] = ()


def audited(client: Any, played: Played, *, now: int) -> list[Checked]:
    """All rules; nothing may write meanwhile."""
    traffic, truth = rows(client, "traffic"), rows(client, "truth")
    places = [place for place, _ in played]
    return [
        visits_are_counted(traffic, played),
        check_ins_are_once_a_day(truth, places, now=now),
        coupons_are_within_stock(truth, places, now=now),
        groups_add_up(truth, places),
        Checked(
            rule="L1: an account is what its entries add up to, and never below zero",
            looked_at=sum(row["kind"] == "account" for row in truth),
            violations=list(checkins.broken_accounts(truth)),
        ),
        rows_keep_every_rule(truth),
        answers_are_rows(truth, played),
        nothing_is_stuck(truth),
        books_are_proved(now=now),
    ]


def visits_are_counted(traffic: Iterable[Plain], played: Played) -> Checked:
    """A1: a link's count is its visits that were answered; one whose answer was lost may be in it or not."""
    counted, lost = _counted(traffic), _lost(played)
    told = Counter(one.partition(" ")[0] for one in _told(played, "visit"))
    wrong = [
        f"{code} counts {counted[code]} visits, {told[code]} were answered and {lost[code]} not"
        for place, _ in played
        for code in place.links
        if not told[code] <= counted[code] <= told[code] + lost[code]
    ]
    rule = "A1: the visits of a link are those that were answered, each visitor once an hour"
    return Checked(rule=rule, looked_at=told.total(), violations=wrong)


def _counted(traffic: Iterable[Plain]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for row in traffic:
        if row["kind"] == "visit_hour" and (code := _COUNTED.match(row["pk"])):
            counted[code[1]] += row["n"]
    return counted


def _lost(played: Played) -> Counter[str]:
    """Visits without a right answer, by their link."""
    return Counter(
        place.links[one.call.what]
        for place, answers in played
        for one in answers
        if one.call.kind == "visit" and not one.right
    )


def _told(played: Played, *kinds: str) -> set[str]:
    """What right answers to calls of these kinds told."""
    return {one.told for _, answers in played for one in answers if one.right and one.call.kind in kinds}


def check_ins_are_once_a_day(truth: Sequence[Plain], places: Iterable[Place], *, now: int) -> Checked:
    """K1 in every campaign, each over its own rows."""
    wrong: list[str] = []
    looked_at = 0
    for name in (one for place in places for one in place.checkins):
        cause = f"ENTRY#checkin#{name}#"
        months = [row for row in truth if row["kind"] == "checkin_month" and row["campaign_id"] == name]
        entries = [row for row in truth if row["sk"].startswith(cause)]
        wrong += checkins.broken_in([*months, *entries], campaigns.find(name, now=now))
        looked_at += len(months)
    return Checked(rule="K1: one check-in a day, with one credit", looked_at=looked_at, violations=wrong)


def coupons_are_within_stock(truth: list[Plain], places: Iterable[Place], *, now: int) -> Checked:
    """C1 of every template."""
    names = [name for place in places for name in place.templates]
    found = [
        f"{name}: {line}"
        for name in names
        for line in coupons.broken_in(truth, templates.find(name, now=now), stock=STOCK)
    ]
    mine = sum(row["kind"] == "coupon" and row["template_id"] in names for row in truth)
    rule = "C1: coupons and what is left are the stock, and each member has one"
    return Checked(rule=rule, looked_at=mine, violations=found)


def groups_add_up(truth: Sequence[Plain], places: Iterable[Place]) -> Checked:
    """G1-G7 of every campaign."""
    names = [place.groupbuy for place in places]
    found = [line for name in names for line in groupbuys.broken_in(groupbuys.books_in(truth, name)) if line]
    mine = sum(row["kind"] == "group" and row["campaign_id"] in names for row in truth)
    rule = "G1-G7: seats, stock, orders, payments and limits of groups agree"
    return Checked(rule=rule, looked_at=mine, violations=found)


def rows_keep_every_rule(truth: Sequence[Plain]) -> Checked:
    """What rooms hold of their own rows, whoever wrote them."""
    rule = "every rule of a room about its own rows: accounts, orders, uses, days, grants, commissions, money out"
    return Checked(rule=rule, looked_at=len(truth), violations=books.wrong(truth))


def answers_are_rows(truth: Sequence[Plain], played: Played) -> Checked:
    """What people were told is so is so."""
    orders = {row["order_id"]: row for row in truth if row["kind"] == "order"}
    there = {
        "check-in": {
            f"{row['campaign_id']} {row['member_id']}" for row in truth if row["kind"] == "checkin_month"
        },
        "claim": {row["coupon_id"] for row in truth if row["kind"] == "coupon"},
        "open": set(orders),
        "join": set(orders),
        "pay": {name for name, row in orders.items() if row["state"] in ("paid", "completed")},
    }
    missing = [f"{kind}: {one}" for kind, its in there.items() for one in _told(played, kind) - its]
    promised = sum(len(_told(played, kind)) for kind in there)
    rule = "what an answer said is done is a row: check-ins, coupons, orders, payments"
    return Checked(rule=rule, looked_at=promised, violations=missing)


def nothing_is_stuck(truth: Sequence[Plain]) -> Checked:
    """No row waits for a person, and no reaction failed for good."""
    found = [
        f"{row['kind']} {row['pk']} {row['sk']}"
        for row in truth
        if row["kind"] == "dead_letter" or row.get("due_shard", "").startswith("stuck#")
    ]
    return Checked(rule="nothing is stuck, no dead letter", looked_at=len(truth), violations=found)


def books_are_proved(*, now: int) -> Checked:
    """A full pass of the reconciler, as it will be made in a month."""
    later = now + 40 * DAY
    reconciling.plan(now=later)
    while due.run(job=reconciling.JOB, worker="load", now=later + DAY, seconds=60).handled:
        continue
    last = next(one for one in reconciling.passes(limit=10, after=None).rows if one.full)
    found = list(_drifts(reconciling.drifts(limit=100, after=None).rows))
    found += [] if last.state == "done" else [f"the pass {last.sk} is {last.state}"]
    rule = "the reconciler's full pass: accounts, groups, stock of coupons and of group-buys"
    return Checked(rule=rule, looked_at=last.proved, violations=found)


def _drifts(found: Iterable[Any]) -> Iterator[str]:
    for one in found:
        if one.gone_at is None:
            yield f"{one.book} {one.subject} says {one.says}, and it is {one.adds_up}"
