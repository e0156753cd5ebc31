"""The demo data of a local run: two programs, an owner's key, things to share, a group-buy, and why to come back.

Planting it again changes nothing.
"""

from chalicelib.checkins import campaigns as checkins
from chalicelib.checkins import schemas as checkin
from chalicelib.commissions import rates
from chalicelib.commissions import terms as distribution
from chalicelib.commissions.rules import DistributionTerms, Step, TierTerms
from chalicelib.commissions.rules import Scope as Earns
from chalicelib.core import clock
from chalicelib.core.clock import DAY
from chalicelib.core.doors import Operator
from chalicelib.coupons import templates
from chalicelib.coupons.schemas import MakeTemplate, Scope, Validity, Window
from chalicelib.groupbuys import campaigns
from chalicelib.groupbuys.schemas import EditCampaign, Price, Product, Sku
from chalicelib.members import service as members
from chalicelib.members.schemas import AddProgram, HandOver
from chalicelib.operators import service as operators
from chalicelib.points import exchanges, levels
from chalicelib.points.schemas import AddExchange, EditLevel, EditLevels, Perks
from chalicelib.rewards import service as rewards
from chalicelib.rewards.rules import Limits, RewardGift, RewardTerms
from chalicelib.sharing import service as sharing
from chalicelib.sharing.schemas import EditCard, EditTarget
from chalicelib.withdrawals import terms as withdrawal_terms
from chalicelib.withdrawals.schemas import EditWithdrawalTerms, Method
from infra.local import environment, wechat


def plant() -> None:
    """Put the demo data into the store that the settings name."""
    now = clock.now()
    owner = operators.add(name="Demo owner", role="owner", secret=environment.OWNER_KEY, now=now)
    if members.programs(now=now):
        return
    for program in _programs():
        members.add_program(program, by=owner, now=now)
    _things(owner, now=now)
    _group_buy(owner, now=now)
    _levels(owner, now=now)
    _check_in(owner, _coupon(owner, now=now), now=now)
    _exchange(owner, now=now)
    _reward(owner, now=now)
    _distribution(owner, now=now)
    _withdrawals(owner, now=now)


def _withdrawals(owner: Operator, *, now: int) -> None:
    """Small ones at once, by a page on the phone, WeChat Pay or the mall; others once an operator has looked."""
    phone = Method(method="phone", gateway="sandbox", account=False)
    mall, bank = Method(method="mall", gateway="mall", account=False), Method(method="bank", gateway="manual")
    by_wechat = Method(method="wechat", gateway="wechat", account=False)
    terms = EditWithdrawalTerms(methods=[phone, by_wechat, mall, bank], auto_up_to_fen=200_00, fee_bps=60)
    withdrawal_terms.make(terms, by=owner, now=now)


def _programs() -> list[AddProgram]:
    (appid, _), *_ = wechat.DEMO_PROGRAMS.items()
    shop = AddProgram(
        program_id="demo",
        appid=appid,
        secret_name="demo",
        name="Demo tea shop",
        kind="functional",
        landing_page="pages/home/home",
    )
    carnival = AddProgram(
        program_id="carnival",
        appid=appid,
        secret_name="demo",
        name="Tea carnival",
        kind="campaign",
        landing_page="pages/carnival/carnival",
        hand_overs=[HandOver(program_id="demo", path="pages/home/home?link={link}")],
    )
    return [shop, carnival]


def _things(owner: Operator, *, now: int) -> None:
    home = EditTarget(kind="page", id="pages/home/home", title="Demo tea shop")
    tea = EditTarget(
        kind="product",
        id="tea",
        title="Spring jasmine tea",
        description="Picked before the rains, 250 g.",
        price_fen=8900,
    )
    for thing in (home, tea):
        sharing.save_target(thing, by=owner, now=now)
    cards = {
        "product": "{nickname} found this for you: {title}, {price}",
        "group": "{seats_left} more, and each of us pays {price}: {title}",
    }
    for kind, title in cards.items():
        sharing.save_card(EditCard(target_kind=kind, title=title, tag=f"{kind}-a"), by=owner, now=now)


def _group_buy(owner: Operator, *, now: int) -> None:
    price = Price(size=2, price_fen=6900)
    pack = Sku(sku_id="250g", title="250 g", list_price_fen=8900, stock=500, prices=[price])
    together = EditCampaign(
        title="Tea for two",
        product=Product(id="tea", title="Spring jasmine tea", skus=[pack]),
        starts_at=now,
        ends_at=now + 30 * DAY,
    )
    campaigns.make(together, campaigns.Making(by=owner, now=now, idempotency_key="demo-tea-for-two"))


def _levels(owner: Operator, *, now: int) -> None:
    names = [EditLevel(name="Leaf", growth=0), EditLevel(name="Bud", growth=100)]
    blossom = EditLevel(name="Blossom", growth=500, perks=Perks(points_bps=12_000))
    levels.edit(EditLevels(levels=[*names, blossom]), by=owner, now=now)


def _coupon(owner: Operator, *, now: int) -> str:
    """The id of its template."""
    ten_off = MakeTemplate(
        title="¥10 off tea",
        kind="amount_off",
        value_fen=1000,
        threshold_fen=5000,
        scope=Scope(kind="products", ids=["tea"]),
        claim=Window(starts_at=now, ends_at=now + 30 * DAY),
        validity=Validity(kind="days", days=7),
        giftable=True,
        stock=500,
    )
    making = templates.Making(by=owner, now=now, idempotency_key="demo-ten-off")
    return templates.make(ten_off, making).template_id


def _check_in(owner: Operator, template_id: str, *, now: int) -> None:
    points = checkin.Gift(kind="points", amount=10)
    growth = checkin.Gift(kind="growth", amount=10)
    coupon = checkin.Gift(kind="coupon", template_id=template_id)
    daily = checkin.EditCampaign(
        title="A cup a day",
        timezone="Asia/Shanghai",
        starts_at=now,
        rewards=[
            checkin.Reward(by="each", give=[points, growth]),
            checkin.Reward(by="streak", turns=7, give=[coupon]),
        ],
        cycle=7,
        makeups=checkin.Makeups(points=20, cards=True),
    )
    checkins.make(daily, checkins.Making(by=owner, now=now, idempotency_key="demo-a-cup-a-day"))


def _exchange(owner: Operator, *, now: int) -> None:
    card = AddExchange(
        title="A make-up card",
        points=10,
        goods="makeup_card",
        what={"count": 1},
        stock=500,
        starts_at=now,
        ends_at=now + 30 * DAY,
    )
    exchanges.add(card, by=owner, idempotency_key="demo-make-up-card", now=now)


def _reward(owner: Operator, *, now: int) -> None:
    filled = RewardTerms(
        title="Tea with a friend",
        on="group.filled",
        give=[RewardGift(kind="points", amount=50)],
        to="sharer",
        limits=Limits(per_member=20),
    )
    # In force at once: nobody is here yet who could not have heard of it.
    making = rewards.Making(
        by=owner, now=now - rewards.BEGINS_AFTER_S, idempotency_key="demo-tea-with-a-friend"
    )
    rewards.make(filled, state="on", making=making)


def _distribution(owner: Operator, *, now: int) -> None:
    """Nothing is held for days: no day can be made to pass in a local run."""
    tiers = [TierTerms(name="Sprout"), TierTerms(name="Grove", orders=10, settled_fen=50_000)]
    steps = [Step(from_fen=100_000, bonus_bps=100), Step(from_fen=1_000_000, bonus_bps=200)]
    said = DistributionTerms(
        auto_approval=True, hold_days=0, tiers=tiers, steps=steps, landing_page="pages/home/home"
    )
    distribution.make(said, by=owner, now=now)
    # In force at once: nobody is here yet who could not have heard of it.
    since = now - rates.BEGINS_AFTER_S
    rates.say(Earns(level="level1"), basis="bps", value=1000, by=owner, now=since)
    rates.say(Earns(level="level1", product_id="tin"), basis="fen", value=150, by=owner, now=since)
    rates.say(Earns(level="head"), basis="bps", value=200, by=owner, now=since)
