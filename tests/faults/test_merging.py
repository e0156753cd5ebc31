"""Becoming one when any call fails: the retry leaves one merge, and each thing is moved once."""

from collections.abc import Callable

import pytest

from chalicelib.checkins import merging as checkins_merging
from chalicelib.commissions import merging as commissions_merging
from chalicelib.commissions import promoters
from chalicelib.core import cache, due, estates, ledger, table
from chalicelib.core.estates import HandOver
from chalicelib.coupons import merging as coupons_merging
from chalicelib.groupbuys import merging as groupbuys_merging
from chalicelib.groupbuys.models import Campaign
from chalicelib.members import merging
from chalicelib.points import badges
from chalicelib.points import merging as points_merging
from chalicelib.points.models import Counted
from chalicelib.sharing import merging as sharing_merging
from infra.local.clients import Store
from tests.checkins import a_checkin, coming
from tests.commissions import LONG_AGO, a_friend_of, a_rate, bought, paid, some_terms
from tests.coupons import a_template, claim, lock
from tests.factories import NOW, OWNER, a_link, books, caught_up, emptied
from tests.groupbuys import a_campaign, broken, buying, open_paid_group, opened, pay, take
from tests.harness.faults import Fault, each_fault, fault_cases
from tests.harness.wire import WRITES
from tests.merging import HOME, UNION, Two, looked, sign_in, two_members
from tests.points import earn

pytestmark = pytest.mark.usefixtures("direct")


def two_who_are_one() -> Two:
    emptied()
    two = two_members()
    cache.clear_all()
    return two


def test_a_sign_in_merges_once(store: Store) -> None:
    def check(two: Two) -> None:
        there = books(store.client)
        assert {row["member_id"] for row in there.of("identity")} == {two.other}
        assert {row["member_id"]: row["state"] for row in there.of("member")} == {
            two.one: "merged",
            two.other: "active",
        }
        assert (there.only("merge")["into"], there.only("blocked")["merged_into"]) == (two.other, two.other)

    each_fault(lambda two: sign_in(HOME, UNION), client=table.client(), setup=two_who_are_one, check=check)


def test_a_look_of_the_job_that_breaks_off_is_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estates, "_hand_overs", {"points": points_merging.hand_over})

    def merged() -> Two:
        two = two_who_are_one()
        sign_in(HOME, UNION)
        cache.clear_all()
        return two

    def look(two: Two) -> None:
        row = books(store.client).only("merge")
        if row["due_at"] <= NOW + 30:
            names = {name: row[name] for name in due.Entry.__annotations__ if name in row}
            merging.hand_over(due.Entry(**{"due_ref": "", **names}), NOW + 30)

    def check(two: Two) -> None:
        row = books(store.client).only("merge")
        assert (row["look"], row["due_at"]) == (1, NOW + merging.LOOKS_S[1])

    each_fault(look, client=table.client(), setup=merged, check=check)
    assert looked(now=NOW + 366 * 86_400).handled == 1


# --- what the rooms have, each when any of its calls fails ----------------------------------------------------


def went_over(move: HandOver) -> Callable[[Two], None]:
    """A room's hand-over, asked until nothing is left."""

    def run(two: Two) -> None:
        while move(two.one, two.other, NOW + 60):
            pass

    return run


def each_loss(run: Callable[[Two], None], setup: Callable[[], Two], check: Callable[[Two], None]) -> None:
    """The job dies after each of its writes, or loses its reply: fewer cases, where the setup is a long way."""
    lost = (Fault.AFTER, Fault.CRASH)
    cases = fault_cases(run, client=table.client(), setup=setup, check=check)
    mine = [case for case in cases if case.calls[case.call - 1] in WRITES and case.fault in lost]
    assert len(mine) >= 4
    for case in mine:
        case.run()


def proved_sums(two: Two, book: str) -> tuple[int, int]:
    for owner in (two.one, two.other):
        assert ledger.drift(owner=owner, book=book).none
    return ledger.balance(owner=two.one, book=book), ledger.balance(owner=two.other, book=book)


def test_points_and_badges_go_over_once(store: Store) -> None:
    def setup() -> Two:
        two = two_who_are_one()
        for owner, amount in ((two.one, 70), (two.other, 5)):
            earn(amount, owner=owner, cause="a")
            table.apply(badges.awarded(owner, f"b{amount}", now=NOW))
        table.apply(table.create(Counted(*Counted.key(two.one, "order.paid"), n=2)))
        return two

    def check(two: Two) -> None:
        assert proved_sums(two, "points") == (0, 75)
        assert badges.of(two.other) == ({"order.paid": 2}, {"b70": NOW, "b5": NOW})

    each_fault(went_over(points_merging.hand_over), client=table.client(), setup=setup, check=check)


def test_a_debt_goes_over_once(store: Store) -> None:
    def setup() -> Two:
        two = two_who_are_one()
        earn(40, owner=two.one, cause="a")
        earn(-40, owner=two.one, cause="b")
        table.transact(ledger.reversal(owner=two.one, book="points", cause="a", reason="refund", now=NOW))
        return two

    def check(two: Two) -> None:
        assert proved_sums(two, "points") == (0, -40)

    each_fault(went_over(points_merging.hand_over), client=table.client(), setup=setup, check=check)


def test_coupons_go_over_once_and_count_once(store: Store) -> None:
    def setup() -> Two:
        two, template = two_who_are_one(), a_template(per_member=5)
        held = claim(template, two.one, key="a")
        claim(template, two.one, key="b"), claim(template, two.other, key="c")
        lock(held, order="M-1")
        cache.clear_all()
        return two

    def check(two: Two) -> None:
        there = books(store.client)
        assert sorted(row["state"] for row in there.of("coupon", member_id=two.other)) == [
            "locked",
            "unused",
            "unused",
        ]
        assert {row["state"] for row in there.of("coupon", member_id=two.one)} == {"moved"}
        [tally] = [row for row in there.of("coupon_tally") if row["pk"].endswith(two.other)]
        assert (tally["n"], sum(row["issued"] for row in there.of("coupon_stock"))) == (3, 3)

    each_fault(went_over(coupons_merging.hand_over), client=table.client(), setup=setup, check=check)


def test_an_unpaid_and_a_paid_seat_go_over_once(store: Store) -> None:
    campaigns: list[Campaign] = []

    def setup() -> Two:
        two, campaign = two_who_are_one(), a_campaign(sizes={3: 8900}, per_member_groups=3)
        campaigns[:] = [campaign]
        pay(opened(campaign, buying(two.one)).order)
        take(open_paid_group(campaign), buying(two.one))
        cache.clear_all()
        return two

    def check(two: Two) -> None:
        assert broken(store, campaigns[0].campaign_id) == []
        there = books(store.client)
        assert not there.of("seat", member_id=two.one) and not there.of("order", member_id=two.one)
        assert len(there.of("seat", member_id=two.other)) == 2

    each_loss(went_over(groupbuys_merging.hand_over), setup, check)


def test_days_and_cards_go_over_once(store: Store) -> None:
    def setup() -> Two:
        two, campaign = two_who_are_one(), a_checkin()
        coming(campaign, two.one, 0, 2)
        coming(campaign, two.other, 1)
        earn(3, owner=two.one, cause="a", book="makeup_card", lasts_months=None)
        caught_up(now=NOW + 3 * 86_400)
        cache.clear_all()
        return two

    def check(two: Two) -> None:
        month = books(store.client).only("checkin_month")
        assert (month["member_id"], month["days"]) == (two.other, {1, 2, 3})
        assert proved_sums(two, "makeup_card") == (0, 3)

    each_loss(went_over(checkins_merging.hand_over), setup, check)


def test_a_customer_a_link_and_a_commission_go_over_once(store: Store) -> None:
    def setup() -> Two:
        two = two_who_are_one()
        some_terms()
        a_rate(bps=1000)
        promoters.assign(two.one, by=OWNER, now=LONG_AGO)
        a_link(sharer_id=two.one)
        paid(bought(a_friend_of(two.one)))
        earn(50, owner=two.one, cause="settle-1", book="money", lasts_months=None)
        cache.clear_all()
        return two

    def run(two: Two) -> None:
        went_over(sharing_merging.hand_over)(two)
        went_over(commissions_merging.hand_over)(two)

    def check(two: Two) -> None:
        there = books(store.client)
        names = ("link", "sharer_id"), ("binding", "promoter_id"), ("commission", "promoter_id")
        assert {there.only(kind)[name] for kind, name in names} == {two.other}
        assert proved_sums(two, "money") == (0, 50)
        orders = [row["orders"] for row in sorted(there.of("promoter_buyer"), key=lambda row: str(row["pk"]))]
        assert sorted(orders) == [0, 1]

    each_loss(run, setup, check)
