"""The demo data of a local run: two programs, an owner's key, things to share, a group-buy.

Planting it again changes nothing.
"""

from chalicelib.core import clock
from chalicelib.core.clock import DAY
from chalicelib.core.doors import Operator
from chalicelib.groupbuys import campaigns
from chalicelib.groupbuys.schemas import EditCampaign, Price, Product, Sku
from chalicelib.members import service as members
from chalicelib.members.schemas import AddProgram, HandOver
from chalicelib.operators import service as operators
from chalicelib.sharing import service as sharing
from chalicelib.sharing.schemas import EditCard, EditTarget
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
