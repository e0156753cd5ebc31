"""What operators make is listed newest first, also what has a key of its own, whose id tells no time."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from chalicelib.checkins import campaigns as checkins
from chalicelib.checkins import schemas as checkin
from chalicelib.coupons import templates
from chalicelib.coupons.schemas import MakeTemplate
from chalicelib.groupbuys import campaigns as groupbuys
from chalicelib.groupbuys.schemas import EditCampaign, Price, Product, Sku
from chalicelib.points import exchanges
from chalicelib.points.schemas import AddExchange
from chalicelib.rewards import service as rewards
from infra.local.clients import Store
from tests import checkins as a_checkin
from tests import coupons as a_coupon
from tests import rewards as a_reward
from tests.factories import NOW, OWNER

Make = Callable[[str | None, int], Any]
"""Makes one thing under an Idempotency-Key, at a time."""
A_DAY: dict[str, Any] = {"starts_at": NOW - 100, "ends_at": NOW + 86400}


def a_group_buy(key: str | None, now: int) -> Any:
    """Tea for two."""
    sku = Sku(sku_id="a", title="a", list_price_fen=9900, stock=5, prices=[Price(size=2, price_fen=8900)])
    given = EditCampaign(title="Tea", product=Product(id="tea", title="Tea", skus=[sku]), **A_DAY)
    return groupbuys.make(given, groupbuys.Making(by=OWNER, now=now, idempotency_key=key))


def a_check_in(key: str | None, now: int) -> Any:
    """A campaign."""
    given = msgspec.convert(a_checkin.told(), checkin.EditCampaign)
    return checkins.make(given, checkins.Making(by=OWNER, now=now, idempotency_key=key))


def a_template(key: str | None, now: int) -> Any:
    """A coupon's."""
    given = msgspec.convert(a_coupon.told(), MakeTemplate)
    return templates.make(given, templates.Making(by=OWNER, now=now, idempotency_key=key))


def an_exchange(key: str | None, now: int) -> Any:
    """A card for points."""
    given = AddExchange(title="Card", points=10, goods="makeup_card", what={"count": 1}, stock=5, **A_DAY)
    return exchanges.add(given, by=OWNER, idempotency_key=key, now=now)


def a_rule(key: str | None, now: int) -> Any:
    """A reward's."""
    return rewards.make(a_reward.terms(), state="on", making=a_reward.making(now=now, key=key))


@pytest.mark.parametrize(
    ("make", "everything"),
    [
        (a_group_buy, groupbuys.everything),
        (a_check_in, checkins.everything),
        (a_template, templates.everything),
        (an_exchange, exchanges.everything),
        (a_rule, rewards.everything),
    ],
)
def test_newest_first(make: Make, everything: Callable[[], Sequence[Any]], store: Store) -> None:
    made = [make(key, NOW + n) for n, key in enumerate(["a", None, "b", "c", None, "d", "e"])]

    assert [row.sk for row in everything()] == [row.sk for row in reversed(made)]
