"""Several processes race for what is scarce, each with a client, caches and threads of its own, as Lambdas do."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from msgspec.structs import asdict

from chalicelib.commissions import promoters
from chalicelib.core import config, ledger, limits
from chalicelib.coupons import codes, gifts
from chalicelib.coupons.schemas import MakeCodes
from chalicelib.rewards import service as rewards
from infra.local.clients import Store
from tests import checkins, commissions, coupons, groupbuys, notifications, points, withdrawals
from tests.factories import NOW, a_link, a_member, a_word, an_openid
from tests.harness.races import REPORT, Outcome, Outcomes
from tests.races import test_points_exchanges, test_promoters, test_rewards, test_stuck
from tests.races.arena import FAIR, TRUTH, Arena, rounds
from tests.races.test_programs import AT_MOST, check_audits, check_count
from tests.races.worker import CASES, GATEWAYS, THREADS
from tests.rewards import a_rule
from tests.rewards import broken as rewards_broken

pytestmark = [pytest.mark.engine, pytest.mark.alone("coupons", "groupbuys", "orders", "points"), rounds(FAIR)]
PROCESSES = 3
ALL = PROCESSES * THREADS


class Refused(Exception):
    """What a call of another process ended in."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Crew:
    """Processes that race when they are told to, one race after the other."""

    def __init__(self, endpoint: str) -> None:
        command = [sys.executable, "-m", "tests.races.worker"]
        # What they do is noted here, once for all of them.
        piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": _env()}
        self._all: list[Any] = [subprocess.Popen(command, **piped) for _ in range(PROCESSES)]  # type: ignore[call-overload]
        for one in self._all:
            _tell(one, endpoint)

    def race(self, case: str, each: Sequence[Any] = range(ALL), **given: Any) -> Outcomes:
        """Each process has its share of ``each``; all begin when all are ready."""
        assert case in CASES
        for n, one in enumerate(self._all):
            _tell(one, json.dumps({"case": case, "given": {**given, "each": list(each[n::PROCESSES])}}))
        for one in self._all:
            assert _line(one) == "ready"
        for one in self._all:
            _tell(one, "go")
        return Outcomes([_outcome(*pair) for one in self._all for pair in _line(one)]).told()

    def go_home(self) -> None:
        """They end, and say that they did."""
        for one in self._all:
            one.stdin.close()
        assert [one.wait(timeout=30) for one in self._all] == [0] * PROCESSES


def _env() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != REPORT}


def _outcome(name: str, value: str | None) -> Outcome:
    return Outcome(value=value) if name == "won" else Outcome(error=Refused(name))


def _tell(process: Any, line: str) -> None:
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def _line(process: Any) -> Any:
    """What it says next, other than in its log."""
    for line in process.stdout:
        if not line.startswith("{"):
            return json.loads(line)
    raise AssertionError(f"it ended with {process.wait()}")


@pytest.fixture(scope="module")
def crew(race_tables: None, engine_store: Store) -> Iterator[Crew]:
    """The processes that all tests here race."""
    there = Crew(engine_store.endpoint)
    yield there
    there.go_home()


def words(prefix: str) -> list[str]:
    """A word for every call."""
    return [f"{prefix}{n}" for n in range(ALL)]


def test_the_harness_sees_more_coupons_than_stock_when_the_rule_is_a_read(arena: Arena, crew: Crew) -> None:
    template = coupons.a_template(stock=1)

    crew.race("careless_claims", template_id=template.template_id).expect(won=ALL)

    assert [row["left"] for row in arena.rows("coupon_stock")] == [0]


# --- group-buys and what people decide about their money ----------------------------------------------------


def test_seats_of_a_group(arena: Arena, crew: Crew) -> None:
    campaign = groupbuys.a_campaign(sizes={5: 8900})
    group = groupbuys.open_paid_group(campaign)

    outcomes = crew.race("seats", groupbuys.buyers(ALL), group_id=group.group_id)

    outcomes.expect(won=4, group_full=ALL - 4)
    groupbuys.check(arena, campaign)


def test_one_decision_of_many_operators(arena: Arena, crew: Crew) -> None:
    campaign = groupbuys.a_campaign()
    stuck_id = test_stuck.wrong(test_stuck.a_mismatch(campaign))
    ways = ["refund", "returned", "accepted"] * THREADS

    outcomes = crew.race("decisions", ways, stuck_id=stuck_id)

    outcomes.expect_won_or("not_found", least=1, most=THREADS)
    assert test_stuck.decisions(arena) == 1
    assert groupbuys.broken(arena, campaign.campaign_id) == []


# --- coupons ------------------------------------------------------------------------------------------------


def test_the_stock_of_a_coupon(arena: Arena, crew: Crew) -> None:
    template = coupons.a_template(stock=20, stock_shards=2)

    outcomes = crew.race("claims", groupbuys.buyers(ALL), template_id=template.template_id)

    outcomes.expect(won=20, coupon_sold_out=ALL - 20)
    assert coupons.broken(arena, template, stock=20) == []


def test_a_printed_code(arena: Arena, crew: Crew) -> None:
    template = coupons.a_template()
    given = MakeCodes(batch="b", count=1, ends_at=NOW + 99)
    batch = codes.make(template.template_id, given, coupons.MAKING)
    [code] = codes.letters(template.template_id, batch, now=NOW)

    outcomes = crew.race("printed", groupbuys.buyers(ALL), code=code)

    outcomes.expect(won=1, coupon_code_used=ALL - 1)
    assert coupons.broken(arena, template, stock=10) == []


def test_the_pieces_of_a_pack(arena: Arena, crew: Crew) -> None:
    template = coupons.a_template()
    pack = coupons.a_pack(coupons.a_plan(template, pieces=6))

    outcomes = crew.race("pieces", groupbuys.buyers(ALL), pack_id=pack.pack_id)

    outcomes.expect(won=6, pack_empty=ALL - 6)
    assert coupons.broken(arena, template, stock=10) == []


def test_a_gift(arena: Arena, crew: Crew) -> None:
    coupon = coupons.a_coupon(giftable=True)
    code = gifts.give(coupon.member_id, coupon.coupon_id, now=NOW)[0].code

    outcomes = crew.race("presents", groupbuys.buyers(ALL), code=code)

    outcomes.expect(won=1, gift_taken=ALL - 1)
    assert len(arena.rows("coupon", source="gift")) == 1


# --- check-ins, points and rewards --------------------------------------------------------------------------


def test_a_day(arena: Arena, crew: Crew) -> None:
    campaign, bob = checkins.a_checkin(), checkins.someone()

    crew.race("days", campaign_id=campaign.campaign_id, member_id=bob).expect(won=ALL)

    assert checkins.balance(bob) == 5
    assert checkins.broken(arena.client, campaign, TRUTH) == []


def test_what_points_buy(arena: Arena, crew: Crew) -> None:
    row = points.an_exchange(stock=20, stock_shards=2)
    owners = test_points_exchanges.buyers(ALL)

    outcomes = crew.race("wares", owners, exchange_id=row.exchange_id)

    outcomes.expect(won=20, exchange_sold_out=ALL - 20)
    assert test_points_exchanges.check_exchange(arena, row, stock=20) == 20


def test_an_account_that_is_spent_from_everywhere(arena: Arena, crew: Crew) -> None:
    owner = a_member()
    points.earn(100, owner=owner, cause="first")

    outcomes = crew.race("spends", words("c"), owner=owner, amount=7)

    outcomes.expect(won=14, not_enough=ALL - 14)
    assert ledger.balance(owner=owner, book="points") == 2
    assert ledger.drift(owner=owner, book="points").none


def test_the_purse_of_a_reward(arena: Arena, crew: Crew) -> None:
    rule = a_rule(limits={"total": 20, "shards": 2})
    friends = test_rewards.registered(a_member(), ALL)

    facts = [("member.registered", one.pk, one.sk, one.rev) for one in friends]
    crew.race("told", facts).expect(won=ALL)

    assert [row.left for row in rewards.purse(rule.rule_id, shards=2)] == [0, 0]
    assert len(arena.rows("reward_grant", state="given")) == 20
    assert rewards_broken(arena.client, TRUTH) == []


# --- members, links and promoters ---------------------------------------------------------------------------


def test_one_person_who_signs_in_everywhere_at_once(arena: Arena, crew: Crew) -> None:
    outcomes = crew.race("sign_ins", proof=an_openid())

    outcomes.expect(won=ALL)
    [row] = arena.rows("member")
    assert set(outcomes.winners) == {row["member_id"]}


def test_the_ten_programs_of_a_brand(arena: Arena, crew: Crew) -> None:
    outcomes = crew.race("programs", words("p"))

    outcomes.expect(won=AT_MOST, too_many_programs=ALL - AT_MOST)
    assert check_count(arena) == AT_MOST
    check_audits(arena)


def test_one_link_of_one_thing(arena: Arena, crew: Crew) -> None:
    outcomes = crew.race("mints", sharer_id=a_member(), target=a_word())

    outcomes.expect(won=ALL)
    [row] = arena.rows("link")
    assert set(outcomes.winners) == {row["code"]} and len(arena.images("link")) == 1


def test_one_promoter_of_one_member(arena: Arena, crew: Crew) -> None:
    member_id = a_member()
    links = [a_link(sharer_id=a_member()).code for _ in range(PROCESSES * 4)]

    outcomes = crew.race("bindings", links, member_id=member_id)

    outcomes.expect(won=len(links))
    [row] = arena.rows("binding")
    assert set(outcomes.winners) - {None} == {row["promoter_id"]}
    assert [one.old for one in arena.images("binding")] == [None]


def test_who_has_bought_enough_is_a_promoter_once(arena: Arena, crew: Crew) -> None:
    commissions.some_terms(earned_by_spend_fen=test_promoters.ENOUGH)
    buyer = a_member(now=commissions.LONG_AGO)
    orders = [test_promoters.an_order(buyer) for _ in range(2)]

    facts = [("order.completed", one.pk, one.sk, rev) for one in orders for rev in (5, 6, 7)] * 4
    crew.race("told", facts).expect(won=len(facts))

    assert test_promoters.spent(buyer) == 20_000
    assert promoters.show(buyer).made_by == "spend"
    assert [one.old for one in arena.images("promoter")] == [None]


# --- money, WeChat and the mall -----------------------------------------------------------------------------


def test_money_that_is_taken_out_everywhere(arena: Arena, crew: Crew) -> None:
    config.override(payout_gateways=GATEWAYS)
    withdrawals.terms(open_at_once=10)
    withdrawals.earn(1000)

    outcomes = crew.race("payouts", words("k"), owner=withdrawals.ALICE, fen=300)

    outcomes.expect(won=3, not_enough_money=ALL - 3)
    kinds = ("account", "entry", "hold", "withdrawal", "withdrawal_purse", "withdrawal_month")
    assert withdrawals.broken([row for kind in kinds for row in arena.rows(kind)]) == []


def test_a_budget_of_wechat_s(arena: Arena, crew: Crew) -> None:
    outcomes = crew.race("takes", appid="wx1", a_minute=30)

    outcomes.expect(won=30, wechat_budget_spent=ALL - 30)
    assert [row["n"] for row in arena.rows("wechat_budget")] == [30]


def test_one_consent_is_one_message(arena: Arena, crew: Crew) -> None:
    notifications.program()
    notifications.templates_of()
    alice = notifications.a_person()
    crew.race("taps", ["one tap"] * ALL, member_id=alice).expect(won=ALL)
    entries = [notifications.entry_of(alice, notifications.tell(alice)) for _ in range(4)]

    outcomes = crew.race(
        "messages", [{**asdict(one), "kind": "notification"} for one in entries] * (ALL // 4)
    )

    outcomes.expect(won=ALL)
    assert outcomes.winners.count("shown") == 1
    assert [row["left"] for row in arena.rows("message_consent")] == [0]
    states = sorted(row["state"] for row in arena.rows("notification"))
    assert states == ["inbox", "inbox", "inbox", "sent"]


def test_the_pictures_of_a_day(arena: Arena, crew: Crew) -> None:
    outcomes = crew.race("pictures", words("tap"), member_id=a_member(), a_day=5)

    outcomes.expect(won=5, too_many_uploads=ALL - 5)
    assert {row["upload_id"] for row in arena.rows("upload")} == set(outcomes.winners)


def test_how_often_a_member_may_call(arena: Arena, crew: Crew) -> None:
    shared = 30 - 30 // limits.FREE

    outcomes = crew.race("admissions", member_id=a_member(), a_minute=30)

    outcomes.expect(won=shared, too_many_calls=ALL - shared)
    assert [row["n"] for row in arena.rows("member_calls")] == [shared]


def test_an_id_of_the_mall_s_calls(arena: Arena, crew: Crew) -> None:
    outcomes = crew.race("signed", words("body "), webhook_id=a_word("msg_"))

    outcomes.expect(won=1, signature_invalid=ALL - 1)
