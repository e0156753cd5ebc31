"""What the operator of chapter four sets up, and ends."""

from dataclasses import dataclass

from infra.local.demo.telling import Phone, operator, refusal, say

DAY = 86400


@dataclass(frozen=True, kw_only=True)
class Shop:
    """What the operator has set up, by its ids."""

    week: str
    exchange: str
    pack: str
    reward: str


def set_up(url: str, *, night: str) -> Shop:
    """What the chapter needs, made as an operator would."""
    desk = operator(url)
    now = Phone(url=url).call("GET", "/v1/programs")["now"]
    big, small = (_template(desk, yuan_off, now=now, night=night) for yuan_off in (20, 5))
    window = {"starts_at": now - 1, "ends_at": now + 30 * DAY}
    shop = Shop(
        week=_challenge(desk, big, now=now, night=night),
        exchange=_exchange(desk, small, window=window, night=night),
        pack=_pack(desk, small, own=big, window=window, night=night),
        reward=_reward(desk, on="member.registered", night=night),
    )
    say("An operator sets things up over /v1/admin: coupons, a week's challenge, what points buy, packs,")
    say("and a reward for bringing new members. One for mere visits is refused:")
    no = refusal(lambda: _reward(desk, on="link.opened", night=night))
    say(f"“{no.message}”")
    return shop


def close(desk: Phone, shop: Shop) -> None:
    """Nothing of it goes on, so that others who try the stack see their own."""
    desk.call("POST", f"/v1/admin/checkins/{shop.week}/close")
    desk.call("DELETE", f"/v1/admin/points/exchanges/{shop.exchange}")
    desk.call("POST", f"/v1/admin/packs/{shop.pack}/off")
    desk.call("POST", f"/v1/admin/rewards/{shop.reward}/off")
    say("The operator ends all of it. What was earned stays.")


def _template(desk: Phone, yuan_off: int, *, now: int, night: str) -> str:
    made = desk.call(
        "POST",
        "/v1/admin/coupons",
        title=f"¥{yuan_off} off tea {night}",
        kind="amount_off",
        value_fen=yuan_off * 100,
        threshold_fen=3000,
        stock=100,
        claim={"starts_at": now - 1, "ends_at": now + 30 * DAY},
        validity={"kind": "days", "days": 7},
        giftable=True,
        **{"for": {"kind": "none"}},
    )
    return str(made["template_id"])


def _challenge(desk: Phone, template_id: str, *, now: int, night: str) -> str:
    made = desk.call(
        "POST",
        "/v1/admin/checkins",
        title=f"A week of tea {night}",
        kind="challenge",
        timezone="Asia/Shanghai",
        target=7,
        starts_at=now - 6 * DAY,
        ends_at=now + DAY,
        rewards=[
            {"by": "each", "give": [{"kind": "points", "amount": 10}]},
            {"by": "completion", "give": [{"kind": "coupon", "template_id": template_id}]},
        ],
        makeups={"cards": True, "per_month": 6},
    )
    return str(made["campaign_id"])


def _exchange(desk: Phone, template_id: str, *, window: dict[str, int], night: str) -> str:
    made = desk.call(
        "POST",
        "/v1/admin/points/exchanges",
        title=f"¥5 off for 60 points {night}",
        points=60,
        goods="coupon",
        what={"template_id": template_id},
        stock=100,
        **window,
    )
    return str(made["exchange_id"])


def _pack(desk: Phone, template_id: str, *, own: str, window: dict[str, int], night: str) -> str:
    made = desk.call(
        "POST",
        "/v1/admin/packs",
        title=f"Tea for friends {night}",
        after="campaign",
        template_id=template_id,
        pieces=3,
        amounts=[800, 500, 300],
        sharer={"template_id": own, "after_new": 2},
        **window,
    )
    return str(made["plan_id"])


def _reward(desk: Phone, *, on: str, night: str) -> str:
    made = desk.call(
        "POST",
        "/v1/admin/rewards",
        title=f"Bring a friend {night}",
        on=on,
        to="sharer",
        give=[{"kind": "points", "amount": 50}],
        limits={"per_member": 10},
    )
    return str(made["id"])
