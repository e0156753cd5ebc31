"""A day under load: the audit finds nothing where all is right, and each violation that is planted; what the stack
still owes, and what its process uses, is seen.
"""

import os
import threading
from typing import Any

import pytest

from bench.load import auditing, setting, watching
from bench.load.day import Call, Kind
from bench.load.figures import Answer
from bench.load.setting import Member, Place
from chalicelib.checkins.models import Campaign as Checkin
from chalicelib.core import due, facts, table
from chalicelib.core.clock import DAY
from chalicelib.coupons import service as coupons
from chalicelib.coupons.models import Coupon, Template
from chalicelib.sharing import visits
from infra.local.clients import Store
from tests.checkins import a_checkin, come, each
from tests.coupons import a_template, claim
from tests.factories import NOW, a_link, a_member
from tests.groupbuys import a_campaign, buying, open_paid_group, orders_of
from tests.harness.rows import rows


def an_answer(kind: Kind, told: str) -> Answer:
    return Answer(call=Call(at=0, kind=kind, who=0), sent=0, done=0, status=201, told=told)


@pytest.fixture
def played(store: Store) -> auditing.Played:
    """One member opened a link, checked in, claimed, and opened a group and paid; all of it answered."""
    member_id = a_member()
    link = a_link(sharer_id=member_id)
    visit = visits.record(link=link, visitor="v", wx_scene=1007, now=NOW)
    checkin: Checkin = a_checkin(rewards=[each(5)], cycle=None)
    come(checkin, member_id)
    template: Template = a_template(stock=setting.STOCK)
    coupon: Coupon = claim(template, member_id)
    campaign = a_campaign(sizes={2: 8900})
    [order] = orders_of(open_paid_group(campaign, buying(member_id)))
    me = Member(member_id=member_id, token="")
    ids: dict[str, Any] = {"links": [link.code], "checkins": [checkin.campaign_id]}
    ids |= {"templates": [template.template_id], "groupbuy": campaign.campaign_id}
    told: dict[Kind, str] = {"visit": f"{link.code} {visit.visit_id}", "claim": coupon.coupon_id}
    told |= {"check-in": f"{checkin.campaign_id} {member_id}", "open": order.order_id, "pay": order.order_id}
    answers = [an_answer(kind, what) for kind, what in told.items()]
    return [(Place(name="d", members=[me], **ids), answers)]


def found(store: Store, played: auditing.Played) -> set[str]:
    """The rules that are broken."""
    checked = auditing.audited(store.client, played, now=NOW)
    assert all(one.looked_at for one in checked), checked
    return {one.rule.partition(":")[0] for one in checked if one.violations}


def plant(store: Store, kind: str, name: str, value: Any, *, table: str = "truth") -> None:
    """Every row of a kind says something else, past all conditions."""
    for row in rows(store.client, table, kind=kind):
        store.client.update_item(
            TableName=table,
            Key={"pk": {"S": row["pk"]}, "sk": {"S": row["sk"]}},
            UpdateExpression="SET #name = :value",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": value},
        )


def test_where_all_is_right_nothing_is_found(store: Store, played: auditing.Played) -> None:
    assert found(store, played) == set()


STUCK = "nothing is stuck, no dead letter"
ANSWERED = "what an answer said is done is a row"
RECONCILED = "the reconciler's full pass"
ROOMS = "every rule of a room about its own rows"


@pytest.mark.parametrize(
    ("kind", "name", "value", "broken"),
    [
        ("entry", "amount", {"N": "6"}, {"K1", "L1", ROOMS, RECONCILED}),
        ("coupon_stock", "left", {"N": str(setting.STOCK)}, {"C1", RECONCILED}),
        ("group", "free", {"N": "0"}, {"G1-G7", ROOMS, RECONCILED}),
        ("order", "state", {"S": "pending"}, {"G1-G7", ROOMS, ANSWERED}),
        ("checkin_month", "days", {"NS": ["2", "1"]}, {"K1", ROOMS}),
        ("coupon", "due_shard", {"S": "stuck#coupons"}, {STUCK}),
    ],
)
def test_a_planted_violation_is_found(
    store: Store, played: auditing.Played, kind: str, name: str, value: Any, broken: set[str]
) -> None:
    plant(store, kind, name, value)

    assert found(store, played) == broken


def test_a_visit_that_is_counted_twice_is_found(store: Store, played: auditing.Played) -> None:
    plant(store, "visit_hour", "n", {"N": "2"}, table="traffic")

    assert found(store, played) == {"A1"}


def test_an_answer_without_its_row_is_found(store: Store, played: auditing.Played) -> None:
    [(place, answers)] = played

    assert found(store, [(place, [*answers, an_answer("pay", "ord_nobodys")])]) == {ANSWERED}


# --- what is owed, and used ---------------------------------------------------------------------------------


def test_what_the_stack_owes_is_seen(store: Store) -> None:
    open_paid_group(a_campaign(sizes={2: 8900}))
    claim(a_template(), a_member())
    fresh = watching.owed(now=NOW)
    plant(store, "coupon", "due_shard", {"S": due.stuck_shard(coupons.JOB)})

    assert (fresh.facts > 0, fresh.letters, fresh.oldest_due_s, fresh.stuck) == (True, 0, 0, 0)
    later = watching.owed(now=NOW + 2 * DAY)
    assert (later.oldest_due_s > DAY, later.stuck) == (True, 1)


def test_a_reaction_that_failed_is_seen(store: Store) -> None:
    fact = facts.Fact(name="coupon.claimed", pk="X", sk="META", rev=1, owed=False)
    named: dict[str, Any] = {"fact": fact.name, "fact_pk": fact.pk, "fact_sk": fact.sk, "fact_rev": 1}
    pk, sk = facts.Letter.key(fact)
    letter = facts.Letter(pk, sk, **named, **due.slot(job=facts.JOB, pk=pk, at=NOW))
    table.apply(table.create(letter))

    seen = watching.owed(now=NOW)

    assert (seen.facts, seen.letters) == (0, 1)


def test_one_waits_until_nothing_is_owed_and_not_for_ever(store: Store) -> None:
    assert watching.caught_up(within_s=60) is not None

    open_paid_group(a_campaign(sizes={2: 8900}))

    assert watching.caught_up(within_s=0.01) is None


def test_a_thread_that_is_left_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "RESTS_WITHIN_S", 0.01)
    over, before = threading.Event(), watching.used(os.getpid())
    left = threading.Thread(target=over.wait)
    left.start()

    assert watching.rested(os.getpid(), threads=before.threads) == before.threads + 1
    over.set()
    left.join()
    assert before.rss_mb > 10
