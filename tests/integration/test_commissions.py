"""Commissions on the embedded store: made, reduced, cancelled, held, settled and clawed back by what happens."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from chalicelib.commissions import explaining, months, promoters, rates, routes, runs, service, settling
from chalicelib.commissions.rules import Change
from chalicelib.commissions.schemas import Estimate
from chalicelib.core import due, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.core.doors import Session
from chalicelib.core.errors import NotFound
from chalicelib.core.http import Listing
from chalicelib.groupbuys import ending
from chalicelib.groupbuys import reading as groupbuys
from chalicelib.members import service as members
from chalicelib.operators import stuck
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.sharing import admin as sharing_admin
from chalicelib.sharing import attribution, policies
from chalicelib.sharing import orders as attributions
from chalicelib.sharing import routes as sharing_routes
from chalicelib.sharing.models import Binding, LinkDay
from chalicelib.sharing.refusals import NotBound
from chalicelib.sharing.schemas import DryRun, DryRunPage, EditPolicy, FunnelQuery
from chalicelib.support import service as support
from tests.commissions import (
    HOLD_DAYS,
    LATER,
    LONG_AGO,
    a_friend_of,
    a_promoter,
    a_rate,
    alone,
    balance,
    bought,
    broken,
    commission,
    completed,
    earned,
    happens,
    line,
    paid,
    partly_refunded,
    refunded,
    settled,
    some_terms,
    told_again,
)
from tests.factories import NOW, OWNER, PROGRAM, a_call, a_link, a_member, a_visit, emptied
from tests.groupbuys import a_campaign, buying, open_paid_group, orders_of, pay, take
from tests.harness.direct import Direct
from tests.harness.rows import rows


@pytest.fixture(autouse=True)
def books(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The usual terms; in the end every commission is the sum of its lines, and the money what is settled."""
    alone(monkeypatch)
    emptied()
    some_terms()
    yield
    assert broken(direct) == []


@pytest.fixture
def alice(books: None) -> str:
    """A promoter who earns a tenth."""
    a_rate(bps=1000)
    return a_promoter()


# --- made ---------------------------------------------------------------------------------------------------


def test_a_paid_order_of_a_customer_earns_by_line(alice: str) -> None:
    a_rate(bps=500, product_id="coffee")
    lines = [line("1", paid_fen=9900), line("2", product_id="coffee", paid_fen=2000, quantity=2)]

    order = paid(bought(a_friend_of(alice), lines))

    assert earned(order) == [("L1", "pending", 990 + 100)]
    assert [(one.line_id, one.amount_fen, one.source) for one in service.lines_of(commission(order))] == [
        ("1", 990, "default"),
        ("2", 100, "product"),
    ]


def test_a_fixed_commission_counts_every_unit(alice: str) -> None:
    """YunaiV/ruoyi-vue-pro d1fc18a409, 5c4fedb69d: the fixed commission was paid once for a line of three."""
    a_rate(unit_fen=150, product_id="tin")

    order = paid(bought(a_friend_of(alice), [line(product_id="tin", paid_fen=9000, quantity=3)]))

    assert earned(order) == [("L1", "pending", 450)]


def test_what_the_lines_earn_is_added_up_once(alice: str) -> None:
    """lilishop DistributionOrderServiceImpl.java:96-108 adds the running sum: of 10 and 20 it makes 40."""
    order = paid(bought(a_friend_of(alice), [line("1", paid_fen=100), line("2", paid_fen=200)]))

    assert earned(order) == [("L1", "pending", 10 + 20)]


def test_nobody_earns_without_a_promoter_a_rate_or_a_payment(alice: str) -> None:
    stranger = paid(bought(a_member()))
    bound_to_nobody_special = paid(bought(a_friend_of(a_member())))
    unpaid = bought(a_friend_of(alice))

    assert earned(stranger) == earned(bound_to_nobody_special) == earned(unpaid) == []


def test_the_same_facts_again_and_in_any_order_change_nothing(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice)), told=False), told=False)

    for _ in range(3):
        told_again(order)

    assert earned(order) == [("L1", "due", 990)]
    assert [change.what for change in service.changes_of(commission(order))] == ["made", "due"]


def test_an_order_is_judged_by_the_rates_and_the_promoter_of_when_it_was_made(alice: str) -> None:
    friend = a_friend_of(alice)
    order = paid(bought(friend), told=False)
    a_rate(bps=2000, now=NOW + 1)
    promoters.move(alice, step="suspend", reason="why", by=OWNER, now=NOW + 1)

    told_again(order, now=NOW + DAY)
    newer = paid(bought(friend, now=NOW + DAY), now=NOW + DAY)

    assert (earned(order), earned(newer)) == ([("L1", "pending", 990)], [])


def test_who_was_suspended_for_a_while_keeps_what_was_ordered_before_and_after(alice: str) -> None:
    friend = a_friend_of(alice)
    before = paid(bought(friend), told=False)
    promoters.move(alice, step="suspend", reason="why", by=OWNER, now=NOW + 10)
    during = paid(bought(friend, now=NOW + 20), now=NOW + 20, told=False)
    promoters.move(alice, step="resume", reason="fine", by=OWNER, now=NOW + 30)
    after = paid(bought(friend, now=NOW + 40), now=NOW + 40, told=False)

    for order in (before, during, after):
        told_again(order, now=NOW + DAY)

    assert [len(earned(order)) for order in (before, during, after)] == [1, 0, 1]


def test_two_levels_earn_where_the_policy_says_so(alice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    a_rate(bps=200, level="level2")
    real, above = attributions.of_order, a_promoter()

    def with_two(order: Any, *, now: int) -> Any:
        row = real(order, now=now)
        row.level_two_id = above
        return row

    monkeypatch.setattr(attributions, "of_order", with_two)

    order = paid(bought(a_friend_of(alice)))

    assert earned(order) == [("L1", "pending", 990), ("L2", "pending", 198)]


@pytest.mark.parametrize("switched", ["the buyer", "their promoter", "both"])
def test_a_binding_that_is_switched_between_order_and_payment_changes_nothing_on_either_level(
    switched: str, books: None
) -> None:
    """YunaiV/ruoyi-vue-pro looks the bindings up again when it is paid, and pays somebody else (Y17)."""
    policies.make(EditPolicy(mode="first", depth=2), by=OWNER, now=LONG_AGO)
    a_rate(bps=1000)
    a_rate(bps=200, level="level2")
    alice, top, bob = a_promoter(), a_promoter(), a_promoter()
    attribution.move(alice, promoter_id=top, reason="test", by=OWNER, now=LONG_AGO)
    attribution.move(bob, promoter_id=a_promoter(), reason="test", by=OWNER, now=LONG_AGO)
    friend = a_friend_of(alice)
    order = bought(friend)
    for member_id in {"the buyer": [friend], "their promoter": [alice], "both": [friend, alice]}[switched]:
        attribution.move(member_id, promoter_id=bob, reason="asked", by=OWNER, now=NOW + 60)

    order = paid(order, now=NOW + 120)

    assert earned(order) == [("L1", "pending", 990), ("L2", "pending", 198)]
    assert [commission(order, level).promoter_id for level in ("L1", "L2")] == [alice, top]


def dry_run(order: Order, mode: Any, **more: Any) -> DryRunPage:
    """One order under another policy."""
    asked = DryRun(mode=mode, order_ids=[order.order_id], **more)
    return sharing_admin.dry_run(a_call(operator=OWNER, now=LATER), asked)


def test_a_dry_run_says_what_each_would_have_earned_by_the_rates_of_the_order_s_time(alice: str) -> None:
    a_rate(bps=300, level="level2")
    a_rate(bps=2000, tier=2)
    top, friend = a_promoter(), a_friend_of(alice)
    attribution.move(alice, promoter_id=top, reason="test", by=OWNER, now=LONG_AGO)
    promoters.set_tier(alice, tier=2, reason="good", by=OWNER, now=LONG_AGO + 1)
    order = paid(bought(friend, [line(paid_fen=9900), line("2", paid_fen=100)]))
    partly_refunded(order, l2=100)
    a_rate(bps=9000, now=NOW + 1)
    a_rate(bps=9000, level="level2", now=NOW + 1)
    promoters.set_tier(alice, tier=1, reason="bad", by=OWNER, now=NOW + 1)

    page = dry_run(order, "first", depth=2)

    (told,) = page.items
    assert (told.was.promoter_id, told.was.promoter_fen, told.was.level_two_fen) == (alice, 1980, 0)
    assert (told.would.level_two_id, told.would.promoter_fen, told.would.level_two_fen) == (top, 1980, 297)
    assert [(one.promoter_id, one.was_fen, one.would_fen) for one in page.promoters] == [
        (top, 0, 297),
        (alice, 1980, 1980),
    ]
    assert (page.was_fen, page.would_fen, page.changed) == (1980, 2277, 1)
    assert earned(order) == [("L1", "pending", 1980)], "as it is in truth, and nothing is changed"


def test_a_dry_run_moves_what_is_earned_from_one_promoter_to_another(alice: str) -> None:
    bob, nobody, friend = a_promoter(), a_member(), a_friend_of(alice)
    for n, to in enumerate((bob, nobody)):
        with suppress(NotBound):
            attribution.bind_by_code(friend, promoter_id=to, now=NOW - 2 * DAY + n * DAY)
    early, late = (paid(bought(friend, now=NOW - at), now=NOW) for at in (DAY + 1, 0))
    unpaid = bought(friend, now=NOW - DAY - 1)

    pages = [dry_run(order, "last") for order in (early, late, unpaid)]

    assert [(one.was_fen, one.would_fen) for one in pages] == [(990, 990), (990, 0), (0, 0)]
    assert [(one.promoter_id, one.was_fen, one.would_fen) for one in pages[0].promoters] == [
        (bob, 0, 990),
        (alice, 990, 0),
    ]
    assert [one.would_fen for one in pages[1].promoters] == [0, 0], "who is no promoter earns nothing"


def test_a_dry_run_over_orders_of_new_buyers_changes_no_row_and_decides_nothing(
    alice: str, direct: Direct
) -> None:
    a_rate(bps=2000, new_buyers_only=True)
    friend = a_friend_of(alice)
    second = paid(bought(friend, now=NOW + 1), now=NOW + 1, told=False)
    before = everything(direct)

    assert dry_run(second, "first").was_fen == 1980, "as far as is known, it is the first"
    assert everything(direct) == before

    first = paid(bought(friend), told=False)
    assert [dry_run(order, "first").was_fen for order in (first, second)] == [1980, 990]
    for order in (first, second):
        happens("order.paid", orders.show(order.order_id))
    assert (earned(first), earned(second)) == ([("L1", "pending", 1980)], [("L1", "pending", 990)])
    assert [dry_run(order, "first").was_fen for order in (first, second)] == [1980, 990], "as it is noted"


def everything(client: Direct) -> list[dict[str, Any]]:
    """Every row of both tables."""
    found = [row for name in ("truth", "traffic") for row in rows(client, name)]
    return sorted(found, key=lambda row: (row["pk"], row["sk"]))


# --- completed and settled ----------------------------------------------------------------------------------


def test_it_settles_when_the_days_are_over_and_not_before(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))), now=NOW + DAY)
    over = NOW + DAY + HOLD_DAYS * DAY

    assert settled(now=over - 1).handled == 0
    assert (balance(alice), earned(order)) == (0, [("L1", "due", 990)])
    settled(now=over)

    assert (balance(alice), earned(order)) == (990, [("L1", "settled", 990)])
    assert settled(now=over + DAY).handled == 0


def test_a_pending_order_never_settles(alice: str) -> None:
    order = paid(bought(a_friend_of(alice)))

    settled(now=NOW + 365 * DAY)

    assert earned(order) == [("L1", "pending", 990)]


def test_all_that_is_due_of_one_promoter_is_one_entry(alice: str) -> None:
    friend, bob = a_friend_of(alice), a_promoter()
    mine = [completed(paid(bought(friend))) for _ in range(3)]
    completed(paid(bought(a_friend_of(bob))))

    settled()

    causes = {commission(order).settled_cause for order in mine}
    assert len(causes) == 1
    [entry] = ledger.entries(owner=alice, book="money", limit=10).rows
    assert (entry.amount, entry.cause, entry.about) == (
        2970,
        causes.pop(),
        {"commissions": 3, "orders": 3, "base_fen": 29700},
    )
    assert balance(bob) == 990


def test_an_open_aftersale_moves_it_to_another_day(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    orders.aftersale(order.order_id, is_open=True, at=NOW)

    settled()
    settled(now=LATER + DAY)

    assert (balance(alice), earned(order)) == (0, [("L1", "due", 990)])
    assert [change.what for change in service.changes_of(commission(order))] == ["made", "due", "waits"]
    orders.aftersale(order.order_id, is_open=False, at=NOW + 1)
    settled(now=LATER + 2 * DAY)
    assert balance(alice) == 990


def test_one_open_aftersale_of_two_moves_it_to_another_day(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    for number in ("A", "B"):
        orders.aftersale(order.order_id, is_open=True, at=None, aftersale_id=number)
    orders.aftersale(order.order_id, is_open=False, at=None, aftersale_id="B")

    settled()
    assert (balance(alice), earned(order)) == (0, [("L1", "due", 990)])
    orders.aftersale(order.order_id, is_open=False, at=None, aftersale_id="A")
    settled(now=LATER + DAY)

    assert balance(alice) == 990


def test_one_that_cannot_be_settled_holds_up_none_of_the_others(
    alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """likeshop settles all in one transaction, so that one bad row blocks everybody (K4)."""
    friend = a_friend_of(alice)
    good, bad = (completed(paid(bought(friend))) for _ in range(2))
    real = settling._settled

    def sick(row: Any, cause: str, *, now: int) -> Any:
        if row.order_id == bad.order_id:
            raise RuntimeError("sick")
        return real(row, cause, now=now)

    monkeypatch.setattr(settling, "_settled", sick)
    ran = settled()
    record = runs.record(runs.day_of(LATER))

    for n in range(1, due.FAILURES):
        settled(now=LATER + n * DAY)
    (waits,) = stuck.listed(limit=5, after=None)[0]
    assert (waits.trouble.en, waits.row.pk) == ("A commission that could not be settled", commission(bad).pk)
    assert (ran.handled, ran.failed) == (1, 1)
    assert (earned(good)[0][1], earned(bad)[0][1]) == ("settled", "due")
    assert (record.counted, record.settled, record.failed, record.amount_fen) == (2, 1, 1, 990)
    monkeypatch.setattr(settling, "_settled", real)
    stuck.retry(stuck_id=waits.id, by=OWNER, now=LATER)
    settled(now=LATER + 30 * DAY)
    assert (earned(bad)[0][1], balance(alice)) == ("settled", 1980)


def test_a_refund_nobody_told_of_yet_is_seen_before_settling(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice), [line("1"), line("2", paid_fen=1000)])))
    partly_refunded(order, l2=1000, told=False)
    other = refunded(completed(paid(bought(a_friend_of(alice)))), told=False)

    settled()

    assert (balance(alice), earned(order)) == (990, [("L1", "settled", 990)])
    assert earned(other) == [("L1", "cancelled", 0)]


# --- given back ---------------------------------------------------------------------------------------------


def test_a_refund_of_one_line_in_part_reduces_that_line_alone(alice: str) -> None:
    """ruoyi-vue-pro and dub void the whole line's or order's commission for any refund (Y17, D8)."""
    order = paid(bought(a_friend_of(alice), [line("1", paid_fen=9900), line("2", paid_fen=3333)]))
    assert earned(order) == [("L1", "pending", 990 + 333)]

    partly_refunded(order, l2=1111)

    assert earned(order) == [("L1", "pending", 990 + 222)]
    assert [(change.what, change.fen) for change in service.changes_of(commission(order))] == [
        ("made", 1323),
        ("reduced", 1212),
    ]


def test_a_whole_refund_cancels_it_for_good(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))

    refunded(order)
    told_again(order)
    settled()

    assert (balance(alice), earned(order)) == (0, [("L1", "cancelled", 0)])


def test_what_goes_back_after_settling_is_a_debt_that_later_earnings_net(alice: str) -> None:
    """CRMEB caps it at the balance, and the platform pays the rest (C10)."""
    friend = a_friend_of(alice)
    order = completed(paid(bought(friend, [line("1", paid_fen=10_000), line("2", paid_fen=5_000)])))
    settled()
    assert balance(alice) == 1500
    out = ledger.posted(owner=alice, book="money", amount=-1500, cause="out", reason="withdrawn", now=LATER)
    table.transact(out)

    partly_refunded(order, l1=10_000, now=LATER)
    assert (balance(alice), earned(order)) == (-1000, [("L1", "settled", 500)])
    completed(paid(bought(friend, [line(paid_fen=20_000)], now=LATER), now=LATER), now=LATER)
    settled(now=LATER + 30 * DAY)

    assert balance(alice) == 1000
    # The model sums settled commissions; what was taken out by hand goes back in, so that the books compare.
    table.transact(
        ledger.posted(owner=alice, book="money", amount=1500, cause="in", reason="test", now=LATER)
    )


def test_parts_that_go_back_one_after_the_other_end_as_clawed_back(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice), [line(paid_fen=999)])))
    settled()

    for part in (333, 333, 333):
        partly_refunded(order, l1=part, now=LATER)
    told_again(order, now=LATER)

    assert (balance(alice), earned(order)) == (0, [("L1", "clawed_back", 0)])
    assert [change.fen for change in service.changes_of(commission(order))] == [99, 99, 99, 66, 33, 0]


# --- held ---------------------------------------------------------------------------------------------------


def test_what_a_blocked_promoter_would_earn_is_held(alice: str) -> None:
    friend = a_friend_of(alice)
    members.block(member_id=alice, reason="spam", by=OWNER, now=NOW)

    order = paid(bought(friend))

    assert earned(order) == [("L1", "held", 990)]
    assert commission(order).evidence == [{"kind": "blocked"}]


def test_what_looks_like_fraud_is_held_until_somebody_looks(
    alice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = attributions.of_order
    signal = {"kind": "device", "evidence": {"members": 5}}

    def suspicious(order: Any, *, now: int) -> Any:
        row = real(order, now=now)
        row.signals = [signal]
        return row

    monkeypatch.setattr(attributions, "of_order", suspicious)
    friend = a_friend_of(alice)
    orders_ = [completed(paid(bought(friend))) for _ in range(2)]
    settled()
    assert [earned(order) for order in orders_] == [[("L1", "held", 990)]] * 2
    assert [row.evidence for row in service.held(limit=10, after=None).rows] == [[signal], [signal]]

    first, second = (commission(order).commission_id for order in orders_)
    for _ in range(2):
        service.release(first, reason="a family", by=OWNER, now=LATER)
        service.refuse(second, reason="one phone", by=OWNER, now=LATER)
    settled()

    assert [earned(order) for order in orders_] == [[("L1", "settled", 990)], [("L1", "cancelled", 0)]]
    assert (balance(alice), service.held(limit=10, after=None).rows) == (990, [])


def test_an_operator_may_hold_one_that_is_due_but_not_one_that_is_settled(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    held = commission(order).commission_id
    service.hold(held, reason="a look", by=OWNER, now=NOW)
    settled()
    partly_refunded(order, l1=4900, now=LATER)
    assert earned(order) == [("L1", "held", 500)]

    service.release(held, reason="fine", by=OWNER, now=LATER)
    settled()

    assert balance(alice) == 500
    with pytest.raises(service.CommissionMoved):
        service.hold(held, reason="late", by=OWNER, now=LATER)
    with pytest.raises(NotFound):
        service.show("com_L1nothing")


# --- tiers, months, runs ------------------------------------------------------------------------------------


def test_a_tier_rises_with_what_is_settled_and_its_rate_serves_from_then_on(alice: str) -> None:
    tiers = [{"name": "bronze"}, {"name": "silver", "settled_fen": 900, "orders": 1}]
    some_terms(tiers=tiers, now=LONG_AGO + 1)
    a_rate(bps=2000, tier=2)
    friend = a_friend_of(alice)
    completed(paid(bought(friend)))
    settled()

    late, then = paid(bought(friend, now=LATER), now=LATER + DAY), LATER + DAY
    order = paid(bought(friend, now=then), now=then)

    assert promoters.show(alice).tier == 2
    assert earned(late) == [("L1", "pending", 990)]
    assert earned(order) == [("L1", "pending", 1980)]


def test_an_order_is_judged_by_the_tier_and_the_terms_of_when_it_was_made(alice: str) -> None:
    a_rate(bps=2000, tier=2)
    a_rate(bps=3000, tier=3)
    friend = a_friend_of(alice)
    made = [bought(friend, now=NOW + n * DAY) for n in range(3)]
    for n, tier in ((1, 2), (2, 3)):
        promoters.set_tier(alice, tier=tier, reason="good", by=OWNER, now=NOW + n * DAY - 60)
    some_terms(hold_days=30, now=NOW + 2 * DAY - 60)

    found = [commission(paid(order, now=LATER)) for order in made]

    assert [(row.amount_fen, row.hold_days) for row in found] == [(990, 7), (1980, 7), (2970, 30)]


def test_a_month_s_sales_reach_a_step_and_the_bonus_is_paid_once(alice: str) -> None:
    some_terms(
        steps=[{"from_fen": 9_000, "bonus_bps": 100}, {"from_fen": 19_800, "bonus_bps": 333}],
        now=LONG_AGO + 1,
    )
    friend = a_friend_of(alice)
    for order in [completed(paid(bought(friend))) for _ in range(2)]:
        assert earned(order)
    settled()
    after = NOW + 40 * DAY

    for _ in range(2):
        due.run(job=months.JOB, worker="closer", now=after, seconds=5)

    month = months.find(alice, "2026-01")
    assert month is not None
    assert (month.state, month.base_fen, month.bonus_fen) == ("closed", 19_800, 659)
    assert balance(alice) == 1980 + 659


def test_what_goes_back_in_an_open_month_counts_against_its_step(alice: str) -> None:
    some_terms(steps=[{"from_fen": 9_900, "bonus_bps": 100}], now=LONG_AGO + 1)
    order = completed(paid(bought(a_friend_of(alice))))
    settled()
    partly_refunded(order, l1=100, now=LATER)

    due.run(job=months.JOB, worker="closer", now=NOW + 40 * DAY, seconds=5)

    month = months.find(alice, "2026-01")
    assert month is not None
    assert (month.base_fen, month.bonus_fen, balance(alice)) == (9_800, 0, 980)


def test_the_run_s_record_adds_up(alice: str) -> None:
    friend, bob = a_friend_of(alice), a_promoter()
    for who in (friend, friend, a_friend_of(bob)):
        completed(paid(bought(who)))
    order = completed(paid(bought(friend)))
    orders.aftersale(order.order_id, is_open=True, at=NOW)

    settled()

    record = runs.record(runs.day_of(LATER))
    assert (record.counted, record.settled, record.held, record.failed) == (4, 3, 1, 0)
    assert (record.promoters, record.amount_fen) == (2, 2970)
    assert {(row.what, row.amount_fen) for row in runs.lines(runs.day_of(LATER))} == {
        ("settled", 1980),
        ("settled", 990),
        ("waits", 990),
    }


def test_the_ranking_is_by_what_was_settled(alice: str) -> None:
    bob = a_promoter()
    completed(paid(bought(a_friend_of(alice))))
    completed(paid(bought(a_friend_of(bob), [line(paid_fen=20_000)])))
    settled()

    assert [(row.member_id, row.score) for row in months.ranking("2026-01", limit=5)] == [
        (bob, 2000),
        (alice, 990),
    ]


# --- rates and promoters ------------------------------------------------------------------------------------


def test_a_rate_said_again_is_the_next_version_and_one_that_is_off_serves_no_more(alice: str) -> None:
    first, second = a_rate(bps=100, product_id="x"), a_rate(bps=200, product_id="x", now=NOW)
    assert first == second
    rates.switch_off(first, by=OWNER, now=NOW + 60)

    def in_force(at: int) -> list[int]:
        return [one.value for one in rates.in_force(at=at, now=NOW + 100) if one.scope.product_id == "x"]

    assert [in_force(at) for at in (LONG_AGO, NOW, NOW + 10, NOW + 70)] == [[], [100], [200], []]
    assert [(one.n, one.on, one.value) for one in rates.versions(first)] == [
        (3, False, 200),
        (2, True, 200),
        (1, True, 100),
    ]


def test_who_applies_agrees_to_a_version_of_the_terms(books: None) -> None:
    member = a_member()
    with pytest.raises(promoters.TermsChanged) as changed:
        promoters.apply(member, version=0, now=NOW)
    version = changed.value.details["version"]

    row, new = promoters.apply(member, version=version, now=NOW)
    again, anew = promoters.apply(member, version=version, now=NOW + 5)

    assert (row.state, row.terms_version, row.agreed_at, new) == ("active", 1, NOW, True)
    assert (again.agreed_at, anew) == (NOW, False)


def test_an_audited_applicant_waits_may_be_refused_and_may_apply_again(books: None) -> None:
    some_terms(auto_approval=False, now=LONG_AGO + 1)
    member = a_member()
    promoters.apply(member, version=2, now=NOW)
    assert [row.member_id for row in promoters.listed("applied", limit=5, after=None).rows] == [member]
    promoters.move(member, step="refuse", reason="no", by=OWNER, now=NOW)
    assert promoters.apply(member, version=2, now=NOW + 1)[0].state == "applied"

    promoters.move(member, step="approve", reason="yes", by=OWNER, now=NOW + 2)

    assert promoters.active(member, at=NOW + 1) is None
    assert promoters.active(member, at=NOW + 2) is not None
    with pytest.raises(promoters.PromoterMoved):
        promoters.move(member, step="refuse", reason="late", by=OWNER, now=NOW + 3)


def test_who_bought_enough_is_a_promoter(books: None) -> None:
    some_terms(earned_by_spend_fen=15_000, now=LONG_AGO + 1)
    member = a_member()

    completed(paid(bought(member)))
    assert promoters.find(member) is None
    order = completed(paid(bought(member)), told=False)
    for _ in range(2):
        happens("order.completed", order)

    assert (promoters.show(member).made_by, promoters.counts_of(member)["spend_fen"]) == ("spend", 19_800)


@pytest.mark.parametrize("in_order", [True, False])
def test_what_went_back_was_not_spent(books: None, in_order: bool) -> None:
    some_terms(earned_by_spend_fen=15_000, now=LONG_AGO + 1)
    member = a_member()
    order = completed(paid(bought(member)), told=in_order)
    partly_refunded(order, l1=900)
    happens("order.completed", orders.show(order.order_id))
    assert promoters.counts_of(member)["spend_fen"] == 9_000

    refunded(order)
    told_again(order)
    completed(paid(bought(member)))

    assert (promoters.counts_of(member)["spend_fen"], promoters.find(member)) == (9_900, None)


def test_a_link_counts_the_settled_orders_of_whom_it_bound(alice: str) -> None:
    link, friend = a_link(sharer_id=alice, now=LONG_AGO), a_member(now=LONG_AGO)
    attribution.bind(friend, visit=a_visit(link=link, now=LONG_AGO), now=LONG_AGO)
    for order in [completed(paid(bought(friend))) for _ in range(2)]:
        assert commission(order).link == link.code
    completed(paid(bought(a_friend_of(alice))))
    bought(friend)

    settled()
    settled(now=LATER + DAY)

    told = sharing_routes.show_funnel(as_member(alice), link.code, FunnelQuery(days=30))
    assert [(day.day, day.settled) for day in told.items] == [(runs.day_of(LATER), 2)]
    assert told.total.settled == 2


def test_an_order_of_a_link_that_went_back_whole_after_it_settled_is_taken_down_where_it_was_counted(
    alice: str,
) -> None:
    link, friend = a_link(sharer_id=alice, now=LONG_AGO), a_member(now=LONG_AGO)
    attribution.bind(friend, visit=a_visit(link=link, now=LONG_AGO), now=LONG_AGO)
    whole, part, other = (completed(paid(bought(who))) for who in (friend, friend, a_friend_of(alice)))
    settled()

    partly_refunded(part, l1=100, now=LATER + DAY)
    for order in (whole, other):
        refunded(order, now=LATER + DAY)
    told_again(whole, now=LATER + 2 * DAY)

    told = sharing_routes.show_funnel(as_member(alice), link.code, FunnelQuery(days=30))
    assert [(day.day, day.settled) for day in told.items] == [(runs.day_of(LATER), 1)]


def test_a_batch_whose_every_order_came_by_another_link_is_counted_in_one_transaction(alice: str) -> None:
    links = {f"link{n}": 1 for n in range(settling.MOST)}
    about = {"commissions": len(links), "orders": len(links), "base_fen": 1, "links": links}
    cause = "settle#full"
    posting = ledger.posted(
        owner=alice, book="money", amount=1, cause=cause, reason="settled", now=NOW, settlement=about
    )
    table.transact(posting)
    entry = ledger.find(owner=alice, book="money", cause=cause)
    assert entry is not None

    for _ in range(2):
        happens("settlement.posted", entry)

    day = runs.day_of(NOW)
    counted = [table.query_all(LinkDay, LinkDay.key(link, day)[0]) for link in links]
    assert [[row.settled for row in rows] for rows in counted] == [[1]] * settling.MOST
    table.transact(ledger.reversal(owner=alice, book="money", cause=cause, reason="test", now=NOW))


def test_one_s_own_order_counts_for_nobody_s_link(alice: str) -> None:
    policies.make(EditPolicy(mode="first", self_purchase=True), by=OWNER, now=LONG_AGO)
    link = a_link(sharer_id=a_promoter(), now=LONG_AGO)
    attribution.bind(alice, visit=a_visit(link=link, now=LONG_AGO), now=LONG_AGO)
    order = completed(paid(bought(alice)))

    settled()

    assert (commission(order).promoter_id, commission(order).link) == (alice, link.code)
    [entry] = ledger.entries(owner=alice, book="money", limit=10).rows
    assert "links" not in entry.about
    refunded(order, now=LATER + DAY)
    assert earned(order) == [("L1", "clawed_back", 0)]
    days = table.query_all(LinkDay, LinkDay.key(link.code, "")[0], LinkDay.sk.startswith("DAY#"))
    assert not any(row.settled for row in days)


def test_what_is_clawed_back_counts_for_no_tier(alice: str) -> None:
    some_terms(tiers=[{"name": "a"}, {"name": "b", "settled_fen": 1_500, "orders": 2}], now=LONG_AGO + 1)
    friend = a_friend_of(alice)
    order = completed(paid(bought(friend)))
    settled()
    partly_refunded(order, l1=900, now=LATER)
    counts = promoters.counts_of(alice)
    assert (counts["settled_fen"], counts["orders"]) == (900, 1)

    refunded(order, now=LATER)
    completed(paid(bought(friend)))
    settled(now=LATER + DAY)

    counts = promoters.counts_of(alice)
    assert (counts["settled_fen"], counts["orders"], promoters.show(alice).tier) == (990, 1, 1)


def test_what_goes_back_after_its_month_was_closed_counts_against_the_running_one(alice: str) -> None:
    friend = a_friend_of(alice)
    order, next_month = completed(paid(bought(friend))), NOW + 40 * DAY
    settled()
    due.run(job=months.JOB, worker="closer", now=next_month, seconds=5)

    partly_refunded(order, l1=900, now=next_month)

    january, february = months.find(alice, "2026-01"), months.find(alice, "2026-02")
    assert january is not None
    assert february is not None
    assert (january.state, january.base_fen, february.base_fen) == ("closed", 9_900, -900)


def test_friends_who_are_brought_count_for_the_tier_and_earn_nothing(alice: str) -> None:
    some_terms(tiers=[{"name": "a"}, {"name": "b", "invitees": 2}], now=LONG_AGO + 1)

    for _ in range(2):
        friend = a_friend_of(alice)
        row = table.get(Binding, Binding.key(friend))
        assert row is not None
        for _ in range(2):
            happens("binding.made", row)

    assert (promoters.show(alice).tier, promoters.counts_of(alice)["invitees"], balance(alice)) == (2, 2, 0)


def test_a_friend_who_goes_and_comes_back_counts_once(alice: str) -> None:
    bob, friend = a_promoter(), a_friend_of(alice)
    for n, promoter_id in enumerate([alice, bob, alice, bob, alice]):
        attribution.move(friend, promoter_id=promoter_id, reason="test", by=OWNER, now=NOW + n)
        row = table.get(Binding, Binding.key(friend))
        assert row is not None
        happens("binding.made", row)

    assert [promoters.counts_of(one)["invitees"] for one in (alice, bob)] == [1, 1]


# --- people, explanations, estimates ------------------------------------------------------------------------


def as_member(member_id: str, *, lang: str = "en", now: int = LATER) -> Any:
    """A request of a promoter."""
    return a_call(session=Session(member_id=member_id, program_id=PROGRAM, visitor="v"), lang=lang, now=now)


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        (
            "en",
            [
                "is of a customer whom you brought, and is worth ¥12.33 to you.",
                "tea × 1: ¥99.00 were paid; 10% of it (the general rate, version 1) is 990 fen, "
                "rounded down to ¥9.90.",
                "cup × 2: ¥33.33 were paid, ¥9.00 of it given back, ¥24.33 count; 10% of it (the general rate, "
                "version 1) is 243.3 fen, rounded down to ¥2.43.",
                "2026-01-01 the order was paid: ¥13.23 were earned",
                "2026-01-01 a part was given back, ¥12.33 are left",
                "2026-01-01 the order was completed, and the days until settlement began",
                "It settles on 2026-01-08, 7 days after it was completed.",
            ],
        ),
        (
            "zh",
            [
                "来自你直接带来的客户，佣金为¥12.33。",
                "商品tea × 1：实付¥99.00；按10%（通用佣金设置，第1版）得990分，向下取整为¥9.90。",
                "退款¥9.00，计佣¥24.33",
                "订单已支付，产生佣金¥13.23",
                "部分退款，佣金变为¥12.33",
                "订单已完成，进入结算等待期",
                "预计2026-01-08结算（等待7天）。",
            ],
        ),
    ],
)
def test_a_commission_explains_itself_to_a_person(alice: str, lang: str, words: list[str]) -> None:
    order = paid(bought(a_friend_of(alice), [line(), line("2", product_id="cup", paid_fen=3333, quantity=2)]))
    partly_refunded(order, l2=900)
    completed(order)
    row = commission(order)

    told = routes.explain(as_member(alice, lang=lang), row.commission_id)

    assert all(part in told_ for part, told_ in zip(words, told.words, strict=True)), told.words
    assert [(one.base_fen, one.value, one.exact, one.amount_fen) for one in told.lines] == [
        (9900, 1000, "990", 990),
        (2433, 1000, "243.3", 243),
    ]
    with pytest.raises(NotFound):
        routes.explain(as_member(a_member()), row.commission_id)


def test_every_change_and_state_has_its_words() -> None:
    for what in ("made", "due", "held", "released", "refused", "waits", "reduced", "cancelled", "settled"):
        for lang in ("zh", "en"):
            assert explaining.change_told(Change(at=NOW, what=what, cause="x", fen=5), lang=lang)
    assert set(explaining._STATES) == set(explaining._STATE_WORDS)


def test_promoters_see_their_people_and_why_one_earned_them_nothing(alice: str) -> None:
    friend, quiet = a_friend_of(alice), a_friend_of(alice, now=LONG_AGO + 1)
    order = completed(paid(bought(friend)))
    settled()
    unpaid = bought(friend, now=NOW + 1)
    attributions.of_order(unpaid, now=NOW)
    call = as_member(alice)

    listed = routes.list_invitees(call, Listing())
    told = routes.show_invitee(call, friend)

    assert {(one.member_id, one.stage, one.orders) for one in listed.items} == {
        (friend, "settled", 1),
        (quiet, "bound", 0),
    }
    assert [(step.what, step.order_id, step.reason) for step in told.steps if step.order_id] == [
        ("earned", order.order_id, None),
        ("not_earned", unpaid.order_id, "not_paid"),
    ]
    assert told.steps[-1].text == "ordered, and you earn nothing by it: the order was not paid"
    with pytest.raises(NotFound):
        routes.show_invitee(call, a_member())


def test_the_label_says_what_would_be_earned(alice: str) -> None:
    a_rate(bps=2000, new_buyers_only=True)
    a_rate(unit_fen=100, product_id="tin")
    lines = [{"product_id": "tea", "paid_fen": 9900}, {"product_id": "tin", "paid_fen": 500, "quantity": 3}]

    found = routes.estimate(as_member(alice), msgspec.convert({"lines": lines}, Estimate))

    assert [(one.amount_fen, one.if_new_buyer_fen, one.rate_from) for one in found.lines] == [
        (990, 1980, "default"),
        (300, 300, "product"),
    ]
    assert (found.amount_fen, found.lines[0].label) == (1290, "赚¥9.90")


def test_only_the_first_order_of_a_new_buyer_earns_by_the_rate_for_new_buyers(alice: str) -> None:
    a_rate(bps=2000, new_buyers_only=True)
    friend = a_friend_of(alice)

    first, second = paid(bought(friend)), paid(bought(friend, now=NOW + 1), now=NOW + 1)

    assert (earned(first), earned(second)) == ([("L1", "pending", 1980)], [("L1", "pending", 990)])


def test_the_rules_in_force_say_what_binds_what_is_earned_and_when_it_settles(alice: str) -> None:
    rules = routes.show_rules(a_call(now=LATER))
    in_chinese = routes.show_rules(a_call(now=LATER, lang="zh"))

    assert (rules.version, rules.approval, rules.hold_days, rules.policy.mode) == (1, "automatic", 7, "first")
    assert "your own customers, the general rate: 10%" in rules.words
    assert "直接推广，通用佣金设置：10%" in in_chinese.words


def test_the_head_of_a_filled_group_earns_by_its_members_and_its_own_order_does_not(books: None) -> None:
    head = a_promoter()
    campaign = a_campaign()
    a_rate(level="head", bps=500, campaign_id=campaign.campaign_id)
    group = open_paid_group(campaign, buying(head), payers=2)
    own, joined = orders_of(group)
    service.follow(joined, cause="order.paid", now=NOW)
    assert earned(joined) == []

    pay(take(group))
    for _ in range(2):
        happens("group.filled", groupbuys.find(group.group_id))

    everybody = orders_of(group)
    assert [earned(order) for order in everybody] == [[], *[[("H", "pending", 445)]] * 2]
    assert {commission(order, "H").promoter_id for order in everybody[1:]} == {head}


@pytest.mark.parametrize("made_first", [False, True])
def test_so_much_a_unit_is_not_less_by_the_difference_of_a_ladder(books: None, made_first: bool) -> None:
    head = a_promoter()
    campaign = a_campaign(sizes={2: 10000, 3: 8000}, mode="ladder")
    a_rate(level="head", unit_fen=500, campaign_id=campaign.campaign_id)
    group = open_paid_group(campaign, buying(head), payers=3)
    joined = orders_of(group)[1]
    if made_first:
        service.follow(joined, cause="group.filled", now=NOW)
        assert earned(joined) == [("H", "pending", 500)]

    table.transact(ending.give_differences_back(groupbuys.find(group.group_id), NOW))
    service.follow(orders.show(joined.order_id), cause="order.reduced", now=NOW)

    assert earned(joined) == [("H", "pending", 500)]
    [line] = orders.lines_of(orders.show(joined.order_id))
    assert (line.paid_fen, line.refunded_fen) == (8000, 0)
    orders.told_partly_refunded(orders.show(joined.order_id), amount_fen=4000, cause="a", now=NOW)
    service.follow(orders.show(joined.order_id), cause="order.reduced", now=NOW)
    assert earned(joined) == [("H", "pending", 250)]


def test_a_promoter_s_story_tells_what_they_earned(alice: str) -> None:
    order = completed(paid(bought(a_friend_of(alice))))
    settled()

    happened, _ = support.timeline(alice, limit=50, before=None, now=NOW)

    (one,) = [one for one in happened if one.what == "earned"]
    assert (one.subject, one.details["state"], one.details["settled_fen"]) == (
        service.id_of(order.order_id, "L1"),
        "settled",
        990,
    )
    assert [one.details["amount"] for one in happened if one.what == "money_posted"] == [990]


def test_an_invitee_s_stage_is_what_stands(alice: str) -> None:
    friend = a_friend_of(alice)

    def stage() -> tuple[str, int]:
        people = routes.list_invitees(as_member(alice), Listing()).items
        return next((one.stage, one.orders) for one in people if one.member_id == friend)

    first = paid(bought(friend))
    assert stage() == ("ordered", 1)
    refunded(first)
    assert stage() == ("bound", 0)

    completed(paid(bought(friend, now=NOW + 1), now=NOW + 1))
    paid(bought(friend, now=NOW + 2), now=NOW + 2)
    settled()
    assert stage() == ("settled", 2)


def test_a_promoter_who_is_the_head_as_well_sees_both_that_an_order_earns(books: None) -> None:
    head = a_promoter()
    campaign = a_campaign()
    a_rate(bps=1000)
    a_rate(level="head", bps=500, campaign_id=campaign.campaign_id)
    group = open_paid_group(campaign, buying(head), payers=2)
    friend = orders_of(group)[1].member_id
    attribution.move(friend, promoter_id=head, reason="test", by=OWNER, now=LONG_AGO)
    pay(take(group))
    happens("group.filled", groupbuys.find(group.group_id))

    told = routes.show_invitee(as_member(head), friend)

    assert [step.amount_fen for step in told.steps if step.what == "earned"] == [445, 890]


def test_there_is_a_limit_to_rates(alice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST", 2)
    a_rate(bps=1, product_id="x")

    with pytest.raises(rates.TooManyRates) as refused:
        a_rate(bps=1, product_id="y")

    assert refused.value.details == {"most": 2}
    a_rate(bps=2, product_id="x", now=NOW)


def test_promoters_get_what_their_poster_is_drawn_of(alice: str) -> None:
    mine = routes.show_mine(as_member(alice))

    assert mine.card is not None
    assert mine.link is not None
    assert (mine.qr_path, mine.link in mine.card.path) == (f"/v1/links/{mine.link}/qr", True)
