"""The hot operations of every room, each by the route that does it."""

from dataclasses import dataclass

from bench.requests.shop import NEWCOMER


@dataclass(frozen=True, kw_only=True)
class Hot:
    """One of them; ``by``: who calls, if not the first who may; ``stacks``: it is served in other ways as well."""

    room: str
    name: str
    route: str
    by: str = ""
    stacks: bool = False
    asks_wechat: bool = False


def _of(room: str, *, by: str = "", **routes: str) -> list[Hot]:
    return [Hot(room=room, name=name.replace("_", " "), route=route, by=by) for name, route in routes.items()]


HOT = (
    Hot(room="sharing", name="a visit of a link", route="POST /v1/links/{code}/visits", stacks=True),
    *_of("sharing", a_link_is_minted="POST /v1/links"),
    Hot(
        room="sharing",
        name="a link to open from outside",
        route="POST /v1/links/{code}/openings",
        asks_wechat=True,
    ),
    Hot(room="sessions", name="signing in", route="POST /v1/sessions", asks_wechat=True),
    *_of("members", ones_own_page="GET /v1/me"),
    Hot(
        room="checkins",
        name="a check-in with points",
        route="POST /v1/checkins/{campaign_id}",
        by=NEWCOMER,
        stacks=True,
    ),
    *_of("checkins", the_calendar="GET /v1/checkins/{campaign_id}"),
    *_of(
        "groupbuys",
        the_campaign_page="GET /v1/groupbuys/{campaign_id}",
        the_group_page="GET /v1/groups/{group_id}",
        leaving_a_group="DELETE /v1/groups/{group_id}/seats/me",
    ),
    *_of(
        "groupbuys",
        by=NEWCOMER,
        opening_a_group="POST /v1/groupbuys/{campaign_id}/groups",
        joining_a_group="POST /v1/groups/{group_id}/seats",
    ),
    *_of(
        "orders",
        beginning_to_pay="POST /v1/orders/{order_id}/payments",
        a_payment_is_told="POST /v1/sandbox/orders/{order_id}/payments/{payment_id}",
        an_event_of_the_mall="POST /v1/mall/events",
    ),
    Hot(
        room="coupons",
        name="a coupon is claimed",
        route="POST /v1/coupons/{template_id}/claims",
        by=NEWCOMER,
        stacks=True,
    ),
    *_of(
        "coupons",
        what_there_is_to_claim="GET /v1/coupons",
        ones_own_coupons="GET /v1/me/coupons",
        a_quote_of_the_mall="POST /v1/mall/coupons/quote",
        coupons_are_locked="POST /v1/mall/coupons/lock",
        coupons_are_redeemed="POST /v1/mall/coupons/redeem",
        a_gift_is_taken="POST /v1/gifts/{code}/claims",
        a_piece_of_a_pack="POST /v1/packs/{pack_id}/pieces",
    ),
    *_of(
        "points",
        ones_own_points="GET /v1/me/points",
        points_are_exchanged="POST /v1/points/exchanges",
        points_are_frozen="POST /v1/mall/points/freeze",
        frozen_points_are_spent="POST /v1/mall/points/spend",
    ),
    *_of("rewards", ones_own_rewards="GET /v1/me/rewards"),
    *_of(
        "commissions",
        ones_own_commissions="GET /v1/me/commissions",
        an_explanation="GET /v1/commissions/{commission_id}/explanation",
        an_estimate="POST /v1/commissions/estimate",
    ),
    *_of(
        "withdrawals",
        applying="POST /v1/me/withdrawals",
        how_one_stands="GET /v1/me/withdrawals/{withdrawal_id}",
    ),
    *_of(
        "notifications",
        the_inbox="GET /v1/me/notifications",
        a_consent="POST /v1/me/subscriptions",
    ),
)
