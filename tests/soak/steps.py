"""What people, the shop, its operators and its mall do in the town: every kind of step, and how often it is taken.

A step looks at the rows that there are, picks one by the dice, and calls a route as a phone would; whether that is
allowed is the application's to say. It answers None where there was nothing to do it to, and an empty answer where
it was refused.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib.core import clock
from chalicelib.core.clock import DAY, HOUR, MINUTE
from infra.local.postbox import NoReply, Refused
from infra.local.wechat import openid, refunds, transfers, unionid
from infra.local.wechat.frame import Request
from tests.harness.merchant import APPID
from tests.harness.rows import Plain
from tests.soak import opening
from tests.soak.opening import tells
from tests.soak.town import Phone, Town

PEOPLE = 40
PRODUCTS = {"tea": 9900, "tin": 3333}
Does = Callable[[Town], object]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One kind of step; of all of them, it is taken ``often`` times as often as one of weight 1."""

    name: str
    does: Does
    often: int


STEPS: list[Step] = []


def step(often: int = 2) -> Callable[[Does], Does]:
    """Declare a kind of step."""

    def declare(does: Does) -> Does:
        STEPS.append(Step(name=does.__name__.replace("_", " "), does=does, often=often))
        return does

    return declare


def taken(town: Town) -> None:
    """One step, whichever the dice say."""
    done = None
    while done is None:
        [one] = town.dice.choices(STEPS, weights=[step.often for step in STEPS])
        town.told.last.append(f"{len(town.told.last)} at {town.time}: {one.name}")
        done = one.does(town)
    town.told.steps[one.name] += 1
    town.told.done[one.name] += bool(done)
    town.passes(town.dice.choice((0, 1, 5, 20)))


def anybody(town: Town) -> Phone:
    """One of those who have been here."""
    return town.dice.choice(list(town.phones.values()))


def of(town: Town, row: Plain | None, name: str = "member_id") -> Phone | None:
    """The phone of whom a row is about, if they still have one."""
    member_id = row and row.get(name)
    there = [phone for phone in town.phones.values() if phone.member_id == member_id]
    return town.dice.choice(there) if member_id and there else None


def about(
    town: Town, kind: str, method: str, path: str, *, by: str = "member_id", body: Any = None, **wanted: Any
) -> Any:
    """Whose row of a kind it is calls a path with its values."""
    row = town.rows.some(kind, **wanted)
    phone = of(town, row, by)
    return row and phone and phone.call(method, path.format(**row), **(body or {}))


def desk(town: Town, kind: str, path: str, *, body: Any = None, **wanted: Any) -> Any:
    """The desk calls a path with the values of a row of a kind."""
    row = town.rows.some(kind, **wanted)
    return row and town.desk.call("POST", path.format(**row), **(body or {}))


# --- coming and going ---------------------------------------------------------------------------------------


@step(8)
def somebody_arrives(town: Town) -> Any:
    if len(town.phones) >= PEOPLE:
        return None
    name = f"p{len(town.phones)}"
    phone = town.phone(name)
    phone.code = town.dice.choice((name, name, f"nounion:{name}"))
    return comes_by_a_link(town, phone) or phone.sign_in()


@step(6)
def somebody_comes_back(town: Town) -> Any:
    phone = anybody(town)
    phone.token, phone.code = "", phone.name
    return comes_by_a_link(town, phone) or phone.sign_in()


def comes_by_a_link(town: Town, phone: Phone) -> Any:
    """The person opens somebody's link, and signs in by that visit."""
    link = town.rows.some("link", state="on")
    if link is None:
        return None
    _, seen = town.sent(
        "POST", f"/v1/links/{link['code']}/visits", b'{"visitor":"%s"}' % phone.name.encode(), JSON
    )
    phone.came_by = {"visit_token": seen["visit_token"]} if "visit_token" in seen else {}
    return phone.sign_in()


JSON = {"Content-Type": "application/json"}


@step(3)
def the_mall_vouches(town: Town) -> Any:
    phone = anybody(town)
    proofs = {"openid": openid(appid=APPID, name=phone.name), "unionid": unionid(name=phone.name)}
    some = {name: proof for name, proof in proofs.items() if town.dice.random() < 0.4}
    answer = malls(
        town, "POST", "/v1/mall/sessions", external_id=f"x-{phone.name}", program_id="demo", **some
    )
    if answer:
        phone.token, phone.member_id = answer["token"], answer["member"]["member_id"]
    return answer


@step(2)
def the_mall_links(town: Town) -> Any:
    phone = anybody(town)
    who = {
        "external_id": f"x-{phone.name}",
        "program_id": "demo",
        "openid": openid(appid=APPID, name=phone.name),
    }
    return tells(town, "member.linked", member=who)


@step(2)
def somebody_shares_a_phone_number(town: Town) -> Any:
    number = town.dice.randrange(10)
    return anybody(town).call(
        "POST", "/v1/me/phone", code=f"phone:1380013800{number}:{town.fates.getrandbits(40)}"
    )


@step(1)
def somebody_leaves(town: Town) -> Any:
    return anybody(town).call("POST", "/v1/me/deletion", forfeit=True) if town.dice.random() < 0.4 else None


@step(1)
def somebody_stays(town: Town) -> Any:
    return about(town, "leaving", "DELETE", "/v1/me/deletion")


@step(1)
def an_operator_blocks_somebody(town: Town) -> Any:
    path = "/v1/admin/members/{member_id}/" + town.dice.choice(("block", "unblock", "unblock"))
    return desk(town, "member", path, body={"reason": "a look"})


# --- sharing ------------------------------------------------------------------------------------------------


@step(5)
def somebody_shares(town: Town) -> Any:
    target = {"kind": "product", "id": town.dice.choice(list(PRODUCTS))}
    return anybody(town).call(
        "POST", "/v1/links", target=target, channel=town.dice.choice(("wechat", "moments"))
    )


@step(2)
def somebody_types_an_invite_code(town: Town) -> Any:
    promoter = of(town, town.rows.some("promoter", state="active"))
    told = promoter and promoter.call("GET", "/v1/me/promoter")
    return told and anybody(town).call("POST", "/v1/me/binding", invite_code=told["invite_code"])


@step(1)
def an_operator_moves_a_binding(town: Town) -> Any:
    member, promoter = town.rows.some("member"), town.rows.some("promoter", state="active")
    if not member:
        return None
    body = {"promoter_id": promoter and promoter["member_id"], "reason": "asked"}
    return town.desk.call("PUT", f"/v1/admin/members/{member['member_id']}/binding", **body)


# --- check-ins ----------------------------------------------------------------------------------------------


@step(8)
def somebody_checks_in(town: Town) -> Any:
    campaign = town.rows.some("checkin_campaign")
    return campaign and anybody(town).call("POST", f"/v1/checkins/{campaign['campaign_id']}")


@step(4)
def somebody_makes_a_day_up(town: Town) -> Any:
    row = town.rows.some("checkin_month")
    date = clock.local_day(town.time - town.dice.randint(1, 4) * DAY, zone=opening.ZONE)
    body = {"date": date, "pay": town.dice.choice(("points", "card"))}
    return (
        row
        and (phone := of(town, row))
        and phone.call("POST", f"/v1/checkins/{row['campaign_id']}/makeups", **body)
    )


@step(1)
def somebody_founds_a_team(town: Town) -> Any:
    campaign = town.rows.some("checkin_campaign", team_size=3)
    path = campaign and f"/v1/checkins/{campaign['campaign_id']}/teams"
    return path and anybody(town).call("POST", path, title="Larks")


@step(2)
def somebody_joins_a_team(town: Town) -> Any:
    team = town.rows.some("checkin_team")
    path = team and f"/v1/checkins/{team['campaign_id']}/teams/{team['team_id']}/members"
    return path and anybody(town).call("POST", path)


@step(1)
def somebody_leaves_a_team(town: Town) -> Any:
    team = town.rows.some("checkin_team")
    path = team and f"/v1/checkins/{team['campaign_id']}/teams/{team['team_id']}/members/me"
    return path and anybody(town).call("DELETE", path)


# --- group-buys ---------------------------------------------------------------------------------------------


@step(4)
def somebody_opens_a_group(town: Town) -> Any:
    campaign = town.rows.some("groupbuy", on=True)
    return campaign and seated(town, anybody(town), f"/v1/groupbuys/{campaign['campaign_id']}/groups")


def seated(town: Town, phone: Phone, path: str) -> Any:
    """The phone takes a seat, and mostly pays at once."""
    answer = phone.call("POST", path)
    if answer and town.dice.random() < 0.7:
        pays(town, answer["order"] | {"member_id": phone.member_id})
    return answer


@step(10)
def somebody_joins_a_group(town: Town) -> Any:
    group = town.rows.some("group", state="open")
    return group and seated(town, anybody(town), f"/v1/groups/{group['group_id']}/seats")


@step(2)
def somebody_gives_a_seat_back(town: Town) -> Any:
    return about(town, "seat", "DELETE", "/v1/groups/{group_id}/seats/me", state="held")


@step(14)
def somebody_pays(town: Town) -> Any:
    order = town.rows.some("order", state=("pending", "cancelled"), gateway="wechat")
    return order and pays(town, order)


def pays(town: Town, order: Plain) -> Any:
    """The phone of whose order it is begins, and pays at WeChat, now or with what was begun before."""
    phone = of(town, order)
    path = f"/v1/orders/{order['order_id']}/payments"
    begun = phone and phone.call("POST", path)
    if begun:
        town.begun.append(begun["details"])
    if not town.begun or town.dice.random() < 0.1:
        return None
    late = town.dice.random() < 0.1
    return weixin(
        town, "/_simulator/pay", town.dice.choice(town.begun) if late or not begun else begun["details"]
    )


@step(2)
def somebody_has_a_payment_looked_up(town: Town) -> Any:
    return about(town, "order", "POST", "/v1/orders/{order_id}/payments/check", gateway="wechat")


@step(2)
def somebody_cancels_an_order(town: Town) -> Any:
    return about(town, "order", "POST", "/v1/orders/{order_id}/cancel", state="pending")


@step(1)
def an_operator_refunds_an_order(town: Town) -> Any:
    body = {"reason": "a complaint"}
    return desk(
        town, "order", "/v1/admin/orders/{order_id}/refund", body=body, state="paid", purpose="groupbuy"
    )


@step(1)
def an_operator_changes_a_campaign(town: Town) -> Any:
    what = town.dice.choice(("pause", "resume", "resume", "stock", "stock"))
    body = {"sku_id": "tin", "units": 10} if what == "stock" else {}
    return desk(town, "groupbuy", "/v1/admin/groupbuys/{campaign_id}/" + what, body=body)


@step(1)
def a_campaign_begins_or_ends(town: Town) -> Any:
    if town.dice.random() < 0.3:
        body = {"reason": "over", "open_groups": town.dice.choice(("refund", "go_on"))}
        return desk(town, "groupbuy", "/v1/admin/groupbuys/{campaign_id}/close", body=body)
    mode, size = town.dice.choice((("fixed", 2), ("fixed", 3), ("ladder", 3)))
    late = town.dice.choice(("elsewhere", "refund"))
    return opening.group_buy(
        town, mode=mode, size=size, reserve=town.dice.choice(("group", "seat")), late_payment=late
    )


# --- the mall -----------------------------------------------------------------------------------------------


def malls(town: Town, method: str, path: str, /, **body: Any) -> Any:
    """A call of the mall's, made again until there is an answer; None where it is refused."""
    call_id = f"ask-{town.fates.getrandbits(64):x}"
    for _ in range(60):
        try:
            return town.mall._liebian.call(method, path, body, call_id=call_id)
        except NoReply:
            continue
        except Refused as refused:
            town.told.refused[f"{method} {path.split('/')[3]} {refused.code}"] += 1
            return {}
    raise AssertionError(f"the mall asked in vain: {method} {path}")


def shops(town: Town, does: Callable[[], object]) -> Any:
    """Something in the shop, if it can be done there."""
    try:
        return does()
    except Refused as refused:
        town.told.refused[f"shop {refused.code}"] += 1
        return {}


@step(8)
def somebody_buys_in_the_mall(town: Town) -> Any:
    lines = [
        {"line_id": f"{n}", "product_id": one, "quantity": n, "paid_fen": n * PRODUCTS[one]}
        for n, one in enumerate(town.dice.sample(list(PRODUCTS), town.dice.randint(1, 2)), 1)
    ]
    number = f"M{town.fates.getrandbits(40):X}"
    return town.mall.sell(number=number, buyer=f"x-{anybody(town).name}", lines=lines)


@step(3)
def somebody_asks_for_a_seat_in_the_mall(town: Town) -> Any:
    campaign = town.rows.some("groupbuy", on=True)
    group = town.rows.some("group", state="open", campaign_id=campaign["campaign_id"]) if campaign else None
    where = {"group_id": group["group_id"]} if group else {}
    buyer = f"x-{anybody(town).name}"
    return campaign and shops(
        town, lambda: town.mall.ask_for_seat(campaign_id=campaign["campaign_id"], buyer=buyer, **where)
    )


@step(24)
def an_order_of_the_mall_goes_on(town: Town) -> Any:
    orders = list(town.mall._orders.values())[-40:]
    if not orders:
        return None
    order = town.dice.choice(orders)
    what = town.dice.choice(
        {"unpaid": ("pay", "pay", "pay", "cancel")}.get(
            order.state, ("ship", "complete", "ship", "complete", "again", "part", "refund")
        )
    )
    return shops(town, lambda: goes_on(town, order.number, what))


def goes_on(town: Town, number: str, what: str) -> Any:
    """One thing that may happen to an order of the mall's."""
    mall, order = town.mall, town.mall.order(number)
    if what == "again":
        return mall.pay(number, again=True) if town.dice.random() < 0.1 else None
    if what == "part":
        part = {"line_id": "1"} if order.ordinary else {}
        return (
            mall.refund(number, amount_fen=1000, **part)
            if order.ordinary and town.dice.random() < 0.3
            else None
        )
    if what == "refund":
        return mall.refund(number) if town.dice.random() < 0.2 else None
    return getattr(mall, what)(number)


# --- coupons ------------------------------------------------------------------------------------------------


@step(6)
def somebody_claims_a_coupon(town: Town) -> Any:
    template = town.rows.some("coupon_template")
    return template and anybody(town).call("POST", f"/v1/coupons/{template['template_id']}/claims")


@step(2)
def somebody_types_a_coupon_code(town: Town) -> Any:
    code = town.rows.some("coupon_code")
    return code and anybody(town).call("POST", "/v1/coupons/codes", code=code["code"])


@step(4)
def an_order_of_the_mall_takes_a_coupon(town: Town) -> Any:
    coupon = town.rows.some("coupon", state="unused")
    phone = of(town, coupon)
    if not coupon or not phone:
        return None
    member = {"program_id": "demo", "openid": openid(appid=APPID, name=phone.name)}
    lines = [{"product_id": "tea", "price_fen": 9900}]
    told = {
        "member": member,
        "coupon_ids": [coupon["coupon_id"]],
        "lines": lines,
        "lock_s": town.dice.choice((60, DAY)),
    }
    return malls(
        town, "POST", "/v1/mall/coupons/lock", mall_order_id=f"C{town.fates.getrandbits(40):X}", **told
    )


@step(6)
def an_order_ends_with_its_coupon(town: Town) -> Any:
    lock = town.rows.some("coupon_lock")
    what = town.dice.choice(("redeem", "redeem", "release", "return"))
    return lock and malls(town, "POST", f"/v1/mall/coupons/{what}", mall_order_id=lock["order_ref"])


@step(3)
def somebody_gives_a_coupon_away(town: Town) -> Any:
    return about(town, "coupon", "POST", "/v1/me/coupons/{coupon_id}/gifts", state="unused")


@step(3)
def somebody_takes_a_gift(town: Town) -> Any:
    gift = town.rows.some("coupon_gift")
    return gift and anybody(town).call("POST", f"/v1/gifts/{gift['code']}/claims")


@step(1)
def somebody_keeps_a_gift(town: Town) -> Any:
    return about(town, "coupon", "DELETE", "/v1/me/coupons/{coupon_id}/gifts", state="gifting")


@step(2)
def somebody_uses_a_coupon_in_the_shop(town: Town) -> Any:
    shown = about(town, "coupon", "GET", "/v1/me/coupons/{coupon_id}/code", state="unused")
    return shown and town.desk.call("POST", "/v1/admin/coupons/verify", code=shown["code"])


@step(1)
def an_operator_voids_a_coupon(town: Town) -> Any:
    path = "/v1/admin/members/{member_id}/coupons/{coupon_id}/void"
    return desk(town, "coupon", path, body={"reason": "a mistake"}, state="unused")


@step(1)
def an_operator_gives_many_a_coupon(town: Town) -> Any:
    many = list(town.rows.kinds.get("member", ()))
    rows = [town.rows.some("member") for _ in many[:5]]
    template = town.rows.some("coupon_template")
    told = {
        "batch": f"b{town.fates.getrandbits(24)}",
        "member_ids": [row["member_id"] for row in rows if row],
    }
    return template and town.desk.call("POST", f"/v1/admin/coupons/{template['template_id']}/grants", **told)


@step(1)
def an_operator_changes_a_coupon(town: Town) -> Any:
    what = town.dice.choice(("off", "on", "on", "stock"))
    path = "/v1/admin/coupons/{template_id}/" + what
    return desk(town, "coupon_template", path, body={"units": 5} if what == "stock" else {})


@step(2)
def somebody_opens_a_pack(town: Town) -> Any:
    plan = town.rows.some("pack_plan", after="campaign")
    return plan and anybody(town).call("POST", "/v1/packs", plan_id=plan["plan_id"])


@step(2)
def the_mall_opens_a_pack(town: Town) -> Any:
    plan, order = (
        town.rows.some("pack_plan", after="order"),
        town.rows.some("order", state=("paid", "completed")),
    )
    if not plan or not order or not order.get("mall_order_id"):
        return None
    buyer = town.mall.order(order["mall_order_id"]).buyer
    told = {"member": {"external_id": buyer}, "plan_id": plan["plan_id"]}
    return malls(town, "POST", "/v1/mall/packs", mall_order_id=order["mall_order_id"], **told)


@step(6)
def somebody_takes_a_piece(town: Town) -> Any:
    pack = town.rows.some("pack", state="open")
    return pack and anybody(town).call("POST", f"/v1/packs/{pack['pack_id']}/pieces")


# --- points -------------------------------------------------------------------------------------------------


@step(3)
def somebody_exchanges_points(town: Town) -> Any:
    goods = town.rows.some("points_exchange")
    return goods and anybody(town).call("POST", "/v1/points/exchanges", exchange_id=goods["exchange_id"])


@step(3)
def an_order_of_the_mall_freezes_points(town: Town) -> Any:
    told = {"points": 10, "goods_fen": 9900, "hold_s": town.dice.choice((600, 2 * DAY))}
    member = {"program_id": "demo", "openid": openid(appid=APPID, name=anybody(town).name)}
    number = f"P{town.fates.getrandbits(40):X}"
    return malls(town, "POST", "/v1/mall/points/freeze", mall_order_id=number, member=member, **told)


@step(4)
def an_order_ends_with_its_points(town: Town) -> Any:
    hold = town.rows.some("points_checkout")
    what = town.dice.choice(("spend", "spend", "release"))
    return hold and malls(town, "POST", f"/v1/mall/points/{what}", mall_order_id=hold["mall_order_id"])


@step(1)
def an_operator_gives_points(town: Town) -> Any:
    book = town.dice.choice(("points", "growth", "makeup_card", "points"))
    amount = town.dice.choice((40, 40, -5)) if book == "points" else 3
    return desk(
        town,
        "member",
        "/v1/admin/members/{member_id}/points",
        body={"amount": amount, "reason": "sorry", "book": book},
    )


# --- earning ------------------------------------------------------------------------------------------------


@step(3)
def somebody_becomes_a_promoter(town: Town) -> Any:
    phone = anybody(town)
    rules = phone.call("GET", "/v1/promoters/rules")
    return rules and phone.call("POST", "/v1/promoters", terms_version=rules["version"])


@step(1)
def an_operator_looks_at_a_promoter(town: Town) -> Any:
    path = "/v1/admin/promoters/{member_id}/" + town.dice.choice(("approve", "suspend", "resume", "resume"))
    return desk(town, "promoter", path, body={"reason": "a look"})


@step(2)
def an_operator_looks_at_a_commission(town: Town) -> Any:
    what = town.dice.choice(("hold", "release", "release", "refuse"))
    return desk(
        town, "commission", "/v1/admin/commissions/{commission_id}/" + what, body={"reason": "a look"}
    )


@step(1)
def an_operator_changes_the_policy(town: Town) -> Any:
    modes = (
        {"mode": "first"},
        {"mode": "last", "protect_days": 1},
        {"mode": "new_members"},
        {"mode": "first_window", "window_days": 20},
    )
    depth, own = town.dice.choice((1, 2)), town.dice.choice((True, False))
    return town.desk.call(
        "POST", "/v1/admin/policies", **town.dice.choice(modes), depth=depth, self_purchase=own
    )


@step(1)
def an_operator_changes_the_terms(town: Town) -> Any:
    if town.dice.random() < 0.5:
        return town.desk.call(
            "POST", "/v1/admin/rates", level="level1", bps=town.dice.choice((500, 1000, 1500))
        )
    terms = {
        **opening.TERMS,
        "hold_days": town.dice.choice((0, 3, 7)),
        "auto_approval": town.dice.random() < 0.7,
    }
    return town.desk.call("POST", "/v1/admin/distribution", **terms)


# --- withdrawals --------------------------------------------------------------------------------------------


@step(6)
def somebody_withdraws(town: Town) -> Any:
    phone = of(town, town.rows.some("promoter"))
    method = town.dice.choice(opening.METHODS)["method"]
    more = (
        {"account": {"name": "王小明", "number": "6222020200112230", "bank": "ICBC"}}
        if method == "bank"
        else {}
    )
    fen = town.dice.choice((100, 100, 300, 1000, 3000))
    return phone and phone.call("POST", "/v1/me/withdrawals", amount_fen=fen, method=method, **more)


@step(1)
def somebody_takes_a_withdrawal_back(town: Town) -> Any:
    return about(
        town,
        "withdrawal",
        "POST",
        "/v1/me/withdrawals/{withdrawal_id}/cancel",
        state=("applied", "awaiting_confirmation"),
    )


@step(4)
def an_operator_looks_at_a_withdrawal(town: Town) -> Any:
    what = town.dice.choice(("approve", "approve", "approve", "reject"))
    body = {"reason": "no"} if what == "reject" else {}
    return desk(
        town, "withdrawal", "/v1/admin/withdrawals/{withdrawal_id}/" + what, body=body, state="applied"
    )


@step(3)
def an_operator_pays_by_hand(town: Town) -> Any:
    row = town.rows.some("withdrawal", gateway="manual", state=opening.BY_HAND)
    if row is None:
        return None
    path = f"/v1/admin/withdrawals/{row['withdrawal_id']}/"
    if town.dice.random() < 0.3:
        return town.desk.call("POST", path + "failed", reason="bounced")
    answer = town.desk.call("POST", path + "paid", reference="ICBC-1")
    if answer and row["withdrawal_id"] not in town.by_hand:
        town.by_hand[row["withdrawal_id"]] = row["net_fen"]
    return answer


@step(5)
def somebody_takes_the_money(town: Town) -> Any:
    row = town.rows.some(
        "withdrawal", gateway=("sandbox", "wechat"), state=("transferring", "awaiting_confirmation")
    )
    phone = of(town, row)
    if not row or not phone:
        return None
    if row["gateway"] == "sandbox":
        return phone.call("POST", f"/v1/sandbox/withdrawals/{row['withdrawal_id']}/confirm")
    there = town.weixin.platform.of(transfers.Transfers).by_number
    mine = [one for one in there.values() if one.state == "WAIT_USER_CONFIRM"]
    what = town.dice.choice(("confirm", "confirm", "confirm", "refuse"))
    return mine and weixin(town, f"/_simulator/transfers/{town.dice.choice(mine).number}/{what}", {})


def weixin(town: Town, path: str, given: Any) -> Any:
    """Somebody does something on a page of WeChat's."""
    request = Request(method="POST", path=path, query={}, headers={}, body=json.dumps(given).encode())
    answer = town.weixin.answer(request)
    return answer is not None and answer.status == 200


@step(2)
def wechat_is_short_of_money(town: Town) -> Any:
    paid, back = town.weixin.platform.of(transfers.Transfers), town.weixin.platform.of(refunds.Refunds)
    paid.outcome = "NOT_ENOUGH" if not paid.outcome and town.dice.random() < 0.5 else ""
    back.outcome = town.dice.choice(("SUCCESS", "SUCCESS", "PROCESSING"))
    return True


@step(1)
def wechat_ends_a_refund(town: Town) -> Any:
    open_ones = [
        one
        for one in town.weixin.platform.of(refunds.Refunds).by_number.values()
        if one.status == "PROCESSING"
    ]
    return open_ones and weixin(
        town, f"/_simulator/refunds/{town.dice.choice(open_ones).asked['out_refund_no']}/SUCCESS", {}
    )


# --- messages -----------------------------------------------------------------------------------------------


@step(3)
def somebody_allows_messages(town: Town) -> Any:
    phone, template_id = anybody(town), f"tpl_{town.dice.choice(opening.TELLS)}"
    if town.dice.random() < 0.6:
        opening.allow(town, openid(appid=APPID, name=phone.name), template_id)
    tap = {"tap_id": f"tap-{town.fates.getrandbits(40)}", "results": {template_id: "accept"}}
    return phone.call("POST", "/v1/me/subscriptions", **tap)


# --- time, and what is under way ----------------------------------------------------------------------------


@step(14)
def jobs_run(town: Town) -> Any:
    town.jobs()
    return True


@step(24)
def the_stream_is_read(town: Town) -> Any:
    town.stream(share=town.dice.choice((0.5, 1.0, 1.0)))
    return True


@step(16)
def the_post_comes(town: Town) -> Any:
    town.post(share=town.dice.choice((0.3, 0.7, 1.0)))
    return True


@step(6)
def time_goes_by(town: Town) -> Any:
    town.passes(town.dice.choice((MINUTE, 5 * MINUTE, 20 * MINUTE, HOUR)))
    return True


@step(7)
def the_clock_jumps(town: Town) -> Any:
    town.passes(town.dice.choice((6 * HOUR, 6 * HOUR, DAY, DAY, 2 * DAY, 9 * DAY)))
    return True


@step(2)
def another_process_answers(town: Town) -> Any:
    town.forgets()
    return True
