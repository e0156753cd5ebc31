"""What promoters, sharers, visitors of every day and payees have goes over while it changes: each thing once."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from chalicelib.checkins import merging as checkins_merging
from chalicelib.checkins import standings, teams
from chalicelib.checkins.marking import Said
from chalicelib.checkins.models import Campaign, Month
from chalicelib.commissions import books, promoters, service
from chalicelib.commissions import merging as commissions_merging
from chalicelib.commissions.models import Commission, Invited, Spent
from chalicelib.core import cache, config, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy
from chalicelib.core.table import Row, Write
from chalicelib.orders import service as orders
from chalicelib.orders.service import Order
from chalicelib.rewards import granting
from chalicelib.rewards import merging as rewards_merging
from chalicelib.sharing import attribution, invites
from chalicelib.sharing import merging as sharing_merging
from chalicelib.sharing import service as sharing
from chalicelib.sharing.models import Link
from chalicelib.withdrawals import merging as withdrawals_merging
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals.applying import WithdrawalDayLimit
from chalicelib.withdrawals.models import OPEN
from chalicelib.withdrawals.service import Ending
from tests import checkins, commissions, rewards
from tests import withdrawals as payouts
from tests.checkins import a_challenge, a_checkin, come, coming, each, mend
from tests.commissions import LATER, a_friend_of, a_promoter, a_rate, bought, completed, paid, some_terms
from tests.factories import NOW, OWNER, a_link, a_member, a_visit
from tests.races.arena import ROUGH, STORM, TRUTH, Arena, careless, overtaken, rounds
from tests.races.test_checkins_once import check_team
from tests.races.test_circles import check_no_circle
from tests.races.test_commissions import due_orders, following, settler
from tests.races.test_merging_rooms import THREADS, emptied, over
from tests.races.test_rewards import happening

pytestmark = [pytest.mark.engine, pytest.mark.alone("checkins", "commissions", "rewards", "sharing")]

Calls = list[Callable[[], Any]]
MET = ("Moved", "_Moved", "Taken")
"""A hand-over that meets another write of the same thing ends; the job's next look goes on from there."""


def whatever_is_there(kind: type[Row]) -> Callable[[Write], Write]:
    """Rows of this kind are changed, and deleted, without a look at them."""
    return lambda write: replace(write, when=None) if isinstance(write.row, kind) else write


# --- commissions --------------------------------------------------------------------------------------------


def two_promoters() -> tuple[str, str]:
    """Both earn a tenth."""
    some_terms()
    a_rate(bps=1000)
    return a_promoter(), a_promoter()


def holding(order: Order, then: Callable[..., object]) -> Callable[[], None]:
    """An operator holds a commission back, and then decides."""
    commission_id = service.id_of(order.order_id, "L1")

    def decide() -> None:
        for step in (service.hold, then):
            step(commission_id, reason="r", by=OWNER, now=LATER)

    return decide


def counting(owner: str, *names: str) -> Calls:
    """A friend, and an order, of each of these names is counted as its reaction does."""
    found: list[tuple[Row, dict[str, int]]] = []
    for name in names:
        found.append((Invited(*Invited.key(owner, name)), {"invitees": 1}))
        found.append((Spent(*Spent.key(owner, name), fen=100), {"spend_fen": 100}))
    counted = [(table.create(row), promoters.counted(owner, cause=row.sk, **more)) for row, more in found]
    return [partial(table.transact, writes) for writes in counted]


def check_money(arena: Arena, one: str, other: str) -> None:
    """Nothing to come is the old promoter's; each commission is settled to the account of whose it is, once."""
    rows, posted, settled = arena.rows("commission"), Counter[str](), Counter[str]()
    assert [line for row in rows for line in commissions.wrong_in(row)] == []
    assert not [row for row in rows if row["promoter_id"] == one and row["state"] in commissions_merging.OPEN]
    assert all(row["owner"] == f"{row['promoter_id']}#commissions" for row in rows)
    for row in arena.rows("entry"):
        posted[row["pk"].split("#")[1]] += row["amount"] if row["reason"] != "merged" else 0
    for row in rows:
        settled[row["promoter_id"]] += row["amount_fen"] if row["state"] in commissions.SETTLED else 0
    assert +posted == +settled, "it was settled to another's account, or twice"
    assert (commissions.balance(one), commissions.balance(other)) == (0, settled.total())


def check_counts(arena: Arena, *owners: str) -> None:
    """What is counted for both is what there is; and of each buyer, what they brought."""
    for owner in owners:
        assert books.prove_counts(f"PROMOTER#{owner}", LATER + 2 * DAY) is None
        assert books.prove_months(ledger.Account.key(owner, "money")[0], LATER + 2 * DAY) is None
    counted = [*arena.rows("promoter_invitee"), *arena.rows("promoter_spend")]
    assert {row["pk"].partition("#")[2] for row in counted} == {owners[-1]}
    assert sorted(row["sk"] for row in counted) == [*"aabbccdd"]
    for brought in arena.rows("promoter_buyer"):
        whose = {"promoter_id": brought["pk"].partition("#")[2], "member_id": brought["sk"], "level": "L1"}
        rows = arena.rows("commission", **whose)
        gone = [row for row in rows if row["state"] in service.OVER]
        assert (brought["orders"], brought.get("gone", 0)) == (len(rows), len(gone))


@pytest.mark.alone("commissions", "sharing")
@rounds(ROUGH, STORM)
def test_commissions_go_over_while_they_are_made_settled_held_and_clawed_back(arena: Arena) -> None:
    one, other = two_promoters()
    friend, [before] = a_friend_of(one), due_orders(one, 1)
    commissions.settled()
    ripe = [*due_orders(one, 3), *due_orders(other, 1)]
    unripe, fresh = [[paid(bought(friend), told=told) for _ in range(2)] for told in (True, False)]
    backs: Calls = [
        lambda: commissions.refunded(before, now=LATER, told=False),
        lambda: commissions.refunded(ripe[1], now=LATER, told=False),
        lambda: commissions.partly_refunded(ripe[0], l2=1000, now=LATER, told=False),
        lambda: completed(unripe[0], told=False),
        holding(ripe[2], service.release),
        holding(unripe[1], service.refuse),
    ]
    counts = [*counting(one, *"abc"), *counting(other, *"bcd")]
    follows = [following(order) for order in (before, *ripe, *unripe, *fresh)]
    move = over(commissions_merging.hand_over, one, other)

    outcomes = arena.race(
        *[move] * 3, *backs, *counts, settler(), *follows, settler(), *[move] * 3, threads=THREADS
    )
    for call in follows:
        call()
    for day in (1, 2):
        emptied(commissions_merging.hand_over, one, other)
        commissions.settled(now=LATER + day * DAY)
    emptied(commissions_merging.hand_over, one, other)

    outcomes.expect_won_or(*MET, "commission_moved")
    assert len(arena.rows("commission")) == len(follows)
    for row in arena.rows("commission", state="settled"):
        left = orders.lines_of(orders.show(row["order_id"]))
        assert row["amount_fen"] == sum(line.net_fen // 10 for line in left)
    check_money(arena, one, other)
    check_counts(arena, one, other)


def test_a_commission_that_goes_over_without_its_condition_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two_promoters()
    due_orders(one, 1)
    careless(monkeypatch, whatever_is_there(Commission))

    with overtaken(arena.client, "TransactWriteItems", by=settler()):
        commissions_merging._commissions(one, other)
    emptied(commissions_merging.hand_over, one, other)

    with pytest.raises(AssertionError, match="another's account"):
        check_money(arena, one, other)


# --- sharing ------------------------------------------------------------------------------------------------


def moving(member_id: str, promoter_id: str) -> Callable[[], Any]:
    """An operator gives somebody to a promoter."""
    return lambda: attribution.move(member_id, promoter_id=promoter_id, reason="r", by=OWNER, now=NOW)


def coming_by(member_id: str, link: Link) -> Calls:
    """Somebody comes by a link, and types its sharer's code in."""
    visit = a_visit(link=link)
    code = partial(attribution.bind_by_code, member_id, promoter_id=link.sharer_id, now=NOW)
    return [lambda: attribution.bind(member_id, visit=visit, now=NOW), code]


def check_sharing(arena: Arena, one: str, other: str, *, friends: set[str]) -> None:
    """All friends are the other's; nothing is the old one's or in a list of theirs; nobody goes in a circle."""
    bound = {row["member_id"]: row for row in arena.rows("binding", state="bound")}
    assert one not in {*bound, *(row["promoter_id"] for row in bound.values())}
    assert {name for name, row in bound.items() if row["promoter_id"] == other} == friends
    assert all(row["owner"] == f"{row['promoter_id']}#customers" for row in bound.values())
    rows = [row for kind in ("link", "binding", "binding_touch") for row in arena.rows(kind)]
    assert not [row for row in rows if row.get("owner", "").startswith(f"{one}#")]
    assert {row["sharer_id"] for row in arena.rows("link")} == {other}
    assert not arena.rows("invite", member_id=one)
    check_no_circle(arena)


@rounds(ROUGH, STORM)
def test_links_and_customers_go_over_while_people_come_and_links_are_switched_off(arena: Arena) -> None:
    one, other, chief, boss, *friends = (a_member() for _ in range(12))
    mine, off, *links = [a_link(sharer_id=one) for _ in range(5)]
    theirs, code = a_link(sharer_id=other), invites.code_of(one, now=NOW)
    for call in [moving(friend, one) for friend in (*friends[4:], chief)] + [moving(one, boss)]:
        call()
    comings = [call for new in friends[:4] for link in (mine, theirs) for call in coming_by(new, link)]
    offs: Calls = [
        partial(sharing.switch_off, code=links[0].code, sharer_id=one),
        partial(sharing.switch_off_for, code=off.code, reason="r", by=OWNER, now=NOW),
    ]
    move = over(sharing_merging.hand_over, one, other)

    outcomes = arena.race(*[move] * 3, *comings, *offs, moving(other, chief), *[move] * 3, threads=THREADS)
    emptied(sharing_merging.hand_over, one, other)

    refused = {"not_found", "bound_to_another", "would_circle"}
    outcomes.expect_won_or(*MET, *refused)
    assert arena.rows("link", code=off.code, state="off")
    assert invites.whose(code) == other
    [own] = arena.rows("binding", member_id=other)
    assert own["promoter_id"] in (boss, chief)
    # Whoever brings the other is nobody's.
    check_sharing(arena, one, other, friends={*friends, chief} - {own["promoter_id"]})


# --- check-ins ----------------------------------------------------------------------------------------------


def check_days(arena: Arena, campaign: Campaign, one: str, *, days: set[int]) -> None:
    """All days are the other's and carried as days are; each was given for, and nothing twice under one cause."""
    rows, left = arena.rows("checkin_month"), [*arena.rows("checkin_part"), *arena.rows("checkin_note")]
    assert not [row for row in [*rows, *left] if one in row["pk"]], "something was left behind"
    assert [*checkins._broken_carries(campaign, sorted(rows, key=lambda row: str(row["sk"])))] == []
    dates = set().union(*(checkins._dates(row) for row in rows))
    assert {(date - checkins.FIRST).days for date in dates} == days, "a day was lost"
    # What is reacted to of an entry changes no amount.
    changes = [(change.old, change.new) for change in arena.images("entry")]
    assert all(old is None or (new and old["amount"] == new["amount"]) for old, new in changes)
    given = [row["sk"].rpartition("#") for row in arena.rows("entry")]
    assert {turn for what, _, turn in given if "#checkin#" in what} == {date.isoformat() for date in dates}


@rounds(ROUGH)
def test_days_go_over_while_both_check_in_and_make_up(arena: Arena) -> None:
    campaign = a_checkin(rewards=[each(5)], cycle=None, notes=True, makeups={"points": 20, "per_month": 9})
    one, other = (checkins.provided(a_member(), points=100) for _ in range(2))
    coming(campaign, one, -8, -7, -3)
    come(campaign, other, -6)
    days = [partial(come, campaign, one, day, said=Said(text="hello")) for day in (-1, 0, 2)]
    days += [partial(come, campaign, other, day) for day in (-2, 1, 3)]
    makeups = [partial(mend, campaign, who, missed, day=3) for who, missed in ((one, -4), (other, -5))]
    move = over(checkins_merging.hand_over, one, other)

    outcomes = arena.race(*makeups, *[move] * 2, *days, *[move] * 6, threads=THREADS)
    emptied(checkins_merging.hand_over, one, other)

    # Who has no days left has nothing yet to make up before the first of them.
    outcomes.expect_won_or(*MET, "nothing_to_make_up")
    made_up = {day for day, made in zip((-4, -5), outcomes[:2], strict=True) if made.won}
    check_days(arena, campaign, one, days={-8, -7, -6, -3, -2, -1, 0, 1, 2, 3, *made_up})


def days_overtaken(arena: Arena, operation: str, *, by: str) -> None:
    """Before the hand-over's first such call, ``one`` or ``other`` checks in; and then the check."""
    campaign, named = a_checkin(rewards=[each(5)], cycle=None), {"one": a_member(), "other": a_member()}
    coming(campaign, named["one"], -2, -1)
    [(_, part, months)] = standings.everywhere(named["one"])

    with overtaken(arena.client, operation, by=lambda: come(campaign, named[by], 0)), suppress(Busy):
        checkins_merging._campaign(campaign, part, months, named["other"], now=NOW)
    emptied(checkins_merging.hand_over, named["one"], named["other"])

    check_days(arena, campaign, named["one"], days={-2, -1, 0})


def test_the_harness_sees_a_day_lost_when_days_go_over_without_their_condition(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless(monkeypatch, whatever_is_there(Month))

    with pytest.raises(AssertionError, match="left behind|a day was lost"):
        days_overtaken(arena, "TransactWriteItems", by="one")


def test_the_first_check_in_of_the_other_meanwhile_is_carried_right(arena: Arena) -> None:
    days_overtaken(arena, "GetItem", by="other")


@rounds(ROUGH, STORM)
def test_places_in_teams_go_over_while_both_join_and_leave(arena: Arena) -> None:
    campaign, one, other = a_challenge(), a_member(), a_member()
    mine, theirs = [teams.found(campaign, who, title="A", now=NOW)[0].team_id for who in (one, a_member())]
    pairs = [(team_id, who) for team_id in (mine, theirs) for who in (one, other)]
    both: Calls = [partial(teams.leave, campaign, *pair) for pair in pairs]
    both += [partial(teams.join, campaign, *pair, now=NOW) for pair in pairs]
    friend, *friends = [partial(teams.join, campaign, mine, a_member(), now=NOW) for _ in range(4)]
    friend()
    move = over(checkins_merging.hand_over, one, other)

    outcomes = arena.race(*[move] * 3, *both, *friends, *[move] * 3, *both, threads=THREADS)
    emptied(checkins_merging.hand_over, one, other)

    outcomes.expect_won_or("in_another_team", "team_full")
    check_team(arena, 4)
    assert not [row for row in [*arena.rows("checkin_mate"), *arena.rows("checkin_part")] if one in str(row)]


# --- rewards ------------------------------------------------------------------------------------------------


def check_rewards(arena: Arena, other: str) -> None:
    """What stands is in the other's list and counts there, once; purses and accounts say the same."""
    assert [line for line in rewards.broken(arena.client, TRUTH) if " counted " not in line] == []
    listed, progress, days = [arena.rows(f"reward_{kind}") for kind in ("listed", "progress", "day")]
    assert {row["pk"] for row in [*listed, *progress, *days]} == {f"REWARDS#{other}"}
    live = [row for row in arena.rows("reward_grant") if row["state"] in ("given", "counted")]
    tracked = sum(row["tracked"] for row in live)
    assert ([row["n"] for row in progress], {row["n"] for row in days} - {tracked}) == ([tracked], set())


@rounds(ROUGH, STORM)
def test_rewards_go_over_while_they_are_given_and_taken_back(arena: Arena) -> None:
    one, other = a_member(), a_member()
    rewards.a_rule(on="order.paid", to="actor", limits={"per_member": 50, "per_day": 50, "total": 50})
    *had, theirs = made = [rewards.an_order(who) for who in (one, one, one, one, other, one, one, other)]
    for order in made[:4]:
        happening("order.paid", order)()
    gone = [happening("order.refunded", rewards.refunded(order)) for order in had[:2]]
    facts = [happening("order.paid", order) for order in (*had[4:], theirs)]
    move = over(rewards_merging.hand_over, one, other)

    outcomes = arena.race(*[move] * 3, *facts, *gone, *facts, *[move] * 3, *gone, threads=THREADS)
    for call in (*gone, *facts):
        call()
    emptied(rewards_merging.hand_over, one, other)

    outcomes.expect(won=len(outcomes))
    assert Counter(row["state"] for row in arena.rows("reward_listed")) == {"given": 6, "taken_back": 2}
    assert rewards.points(one) + rewards.points(other) == 60
    check_rewards(arena, other)


def test_what_is_taken_back_between_the_list_and_the_count_counts_no_more(arena: Arena) -> None:
    one, other = a_member(), a_member()
    rewards.a_rule(on="order.paid", to="actor", limits={"per_member": 50})
    order = rewards.an_order(one)
    happening("order.paid", order)()
    back = partial(granting.take_back, f"order#{order.order_id}", now=NOW)

    with overtaken(arena.client, "GetItem", by=back), suppress(Busy):
        emptied(rewards_merging.hand_over, one, other)
    emptied(rewards_merging.hand_over, one, other)

    check_rewards(arena, other)


# --- withdrawals --------------------------------------------------------------------------------------------


def check_withdrawals(arena: Arena, one: str, other: str) -> int:
    """The books add up, all is in the other's list, and what counts of the day counts there; how much that is."""
    kinds = ("account", "entry", "hold", "withdrawal", "withdrawal_purse")
    assert payouts.broken([row for kind in kinds for row in arena.rows(kind)]) == []
    rows = arena.rows("withdrawal")
    assert {row["owner"] for row in rows} == {f"{other}#withdrawals"}
    out_fen: int = sum(row["amount_fen"] for row in rows if row["state"] in (*OPEN, "paid"))
    purses = {row["pk"].removeprefix("PAYOUTS#"): row["day_fen"] for row in arena.rows("withdrawal_purse")}
    assert purses == {one: 0, other: out_fen}, "the day counts otherwise"
    return out_fen


@rounds(ROUGH, STORM)
def test_withdrawals_go_over_while_they_are_applied_for_approved_and_ended(arena: Arena) -> None:
    one, other = a_member(), a_member()
    config.override(payout_gateways="sandbox manual mall")
    payouts.terms(open_at_once=10)
    for owner in (one, other):
        payouts.earn(4000, owner=owner)
    had = [payouts.withdraw(200, key=f"had-{n}", owner=one) for n in range(5)]
    asks = [partial(payouts.asked, 200, key=f"n{n}", owner=who) for n in range(3) for who in (one, other)]
    ends: Calls = [
        partial(withdrawals.end, row, Ending(to=to, now=NOW, also_from=("applied", "approved")))
        for row, to in zip(had, ("rejected", "paid", "failed"), strict=False)
    ]
    approvals = [partial(payouts.approve, row) for row in had]
    moves = [over(room.hand_over, one, other) for room in (withdrawals_merging, commissions_merging)]

    outcomes = arena.race(*moves * 2, *asks, *ends, *approvals, *moves * 2, threads=THREADS)
    for room in (withdrawals_merging, commissions_merging):
        emptied(room.hand_over, one, other)

    refused = {"not_enough_money", "withdrawal_over"}
    outcomes.expect_won_or(*MET, *refused)
    out_fen = check_withdrawals(arena, one, other)
    assert (payouts.balance(one)[0], payouts.balance(other)[0]) == (0, 8000 - out_fen)
    payouts.terms(open_at_once=10, max_fen=1000, day_max_fen=out_fen + 150)
    cache.clear_all()
    with pytest.raises(WithdrawalDayLimit) as limit:
        payouts.withdraw(200, key="one more", owner=other)
    assert limit.value.details["left_fen"] == 150
