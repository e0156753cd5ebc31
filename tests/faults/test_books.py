"""What looks at a whole table sees what is wrong: a violation of each rule, planted in a shop that is well."""

from typing import Any

import pytest

from chalicelib.core.clock import DAY
from tests.faults.sweep import Stage, stage
from tests.harness.books import drifts, wrong
from tests.harness.wire import Item
from tests.world import world_wechat

__all__ = ["stage", "world_wechat"]
CHECKS_IN = "POST /v1/checkins/{campaign_id}"
Change = dict[str, Any]


def bent(stage: Stage, kind: str, **changes: Any) -> None:
    """A row of this kind that has all of these is changed as no code changes it: by so much, to this word, away."""
    item = next(
        item for item in stage.store.items() if item["kind"]["S"] == kind and set(changes) <= set(item)
    )
    new = {**item, **{name: _bent(item[name], to) for name, to in changes.items() if to is not None}}
    kept = {name: value for name, value in new.items() if changes.get(name, "") is not None}
    stage.store.put_item(TableName="truth", Item=kept)


def _bent(value: Item, to: Any) -> Item:
    return {"N": str(int(value["N"]) + to)} if isinstance(to, int) else {"S": to}


@pytest.mark.parametrize(
    ("rule", "kind", "changes"),
    [
        ("whole", "link", {"rev": None}),
        ("accounts", "account", {"balance": 1}),
        ("accounts", "hold", {"state": "released"}),
        ("group_buys: seats_add_up", "group", {"free": -1}),
        ("group_buys: stock_adds_up", "groupbuy_stock", {"left": 1}),
        ("group_buys: parts_add_up", "groupbuy_part", {"units": 1}),
        ("orders", "order_lines", {"lines": "[]"}),
        ("withdrawals", "withdrawal", {"amount_fen": 1}),
        ("withdrawals", "withdrawal_purse", {"open_ids": "[]"}),
        ("commissions", "commission", {"amount_fen": 1}),
        ("coupons", "coupon_lock", {"state": "released"}),
        ("rewards", "reward_purse", {"given": 1}),
        ("checkins", "checkin_month", {"carried": 1}),
        ("due", "coupon_gift", {"due_shard": "nobody#0"}),
        ("due", "coupon_gift", {"due_shard": None, "due_at": None}),
    ],
)
def test_a_row_that_is_bent_is_seen(rule: str, kind: str, changes: Change, stage: Stage) -> None:
    stage.restore()
    assert stage.call(CHECKS_IN).status < 300
    stage.rest()
    assert wrong(stage.rows(), rest_at=stage.later) == []

    bent(stage, kind, **changes)

    assert [line for line in wrong(stage.rows()) if line.startswith(rule)]


def test_what_is_left_for_a_job_is_seen(stage: Stage) -> None:
    stage.restore()

    assert wrong(stage.rows()) == []
    assert {line[:4] for line in wrong(stage.rows(), rest_at=stage.now + 30 * DAY)} == {"rest"}


@pytest.mark.parametrize(
    ("book", "kind", "changes"),
    [
        ("accounts", "entry", {"amount": 1}),
        ("groups", "group", {"free": -1}),
        ("groupbuy_stock", "groupbuy_stock", {"left": 1}),
        ("coupon_stock", "coupon_stock", {"issued": 1}),
        ("exchange_stock", "points_stock", {"left": -1}),
        ("reward_purses", "reward_purse", {"given": 1}),
    ],
)
def test_a_number_that_is_bent_is_proved_wrong(book: str, kind: str, changes: Change, stage: Stage) -> None:
    stage.restore()
    assert drifts(now=stage.later) == []

    bent(stage, kind, **changes)

    assert [line for line in drifts(now=stage.later) if line.startswith(book)]
