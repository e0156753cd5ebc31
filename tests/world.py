"""A served application with a little of everything in it, and everybody who may come to its doors.

Its fixtures are everywhere: ``world`` is what tests ask for, planted once for each file and given back untouched.
"""

import base64
import copy
import hashlib
import hmac
import http.client
import json
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from itsdangerous import Signer

from chalicelib.checkins import campaigns as checkins
from chalicelib.checkins import teams
from chalicelib.checkins.models import Note
from chalicelib.checkins.schemas import EditCampaign as EditCheckin
from chalicelib.commissions import promoters, rates, runs
from chalicelib.commissions import service as commissions
from chalicelib.commissions import terms as distribution
from chalicelib.commissions.rules import DistributionTerms, Scope
from chalicelib.core import cache, clock, config, due, ledger, session, table, webhooks
from chalicelib.core.deliveries import Delivery
from chalicelib.core.doors import Operator
from chalicelib.core.ledger import Account
from chalicelib.coupons import codes, gifts, grants, invites, packs, plans, rules, templates, using
from chalicelib.coupons import service as coupons
from chalicelib.coupons.schemas import EditInvite, EditPlan, GrantPart, MakeCodes, MakeTemplate
from chalicelib.groupbuys import campaigns, reporting
from chalicelib.groupbuys import service as groupbuys
from chalicelib.groupbuys.schemas import EditCampaign
from chalicelib.members import rules as member_rules
from chalicelib.members import service as members
from chalicelib.members.schemas import AddProgram
from chalicelib.notifications import templates as message_templates
from chalicelib.notifications.schemas import MessageTemplate
from chalicelib.operators import service as operators
from chalicelib.operators import stuck as operators_stuck
from chalicelib.orders import ordinary
from chalicelib.orders import service as orders
from chalicelib.orders.models import Bill, Difference
from chalicelib.orders.service import Paid
from chalicelib.points import badges, checkout, exchanges
from chalicelib.points import service as points
from chalicelib.points.schemas import AddBadge, AddExchange, FreezePoints
from chalicelib.reconciling import service as reconciling
from chalicelib.rewards import service as rewards
from chalicelib.rewards.rules import RewardTerms
from chalicelib.sessions.proving import ChatMember
from chalicelib.sharing import attribution, visits
from chalicelib.sharing import invites as invite_codes
from chalicelib.sharing import orders as attributions
from chalicelib.sharing import service as sharing
from chalicelib.sharing.schemas import EditCard, EditTarget, MintLink, TargetRef
from chalicelib.withdrawals import applying as withdrawal_applying
from chalicelib.withdrawals import payees, sending
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals import terms as withdrawal_terms
from chalicelib.withdrawals.applying import Applying
from chalicelib.withdrawals.schemas import EditWithdrawalTerms, TellPayee, Withdraw
from infra import docs
from infra.local import embedded, wechat
from infra.local.clients import Store
from tests.doors import ROLES
from tests.harness.serving import served
from tests.samples import (
    ACCOUNT,
    APPID,
    BADGE,
    BOUGHT,
    CAMPAIGN,
    CHECKIN,
    COUPON,
    FROZEN,
    MESSAGE,
    PATHS,
    PAYEE,
    PLAN,
    PROGRAM,
    QUERIES,
    REWARD,
    SAMPLES,
    SHOWN,
    TERMS,
    WECHAT_SECRET,
    WITHDRAWAL,
    Body,
)
from tests.uploads import begun, sent

MALL_SECRET = "test-mall-secret"
NOWHERE = "2222222222"
"""An id of nothing."""


# --- asking -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.content)

    @property
    def code(self) -> str | None:
        """The code of the error, if it is one."""
        return str(self.json["error"]["code"]) if self.status >= 400 else None


@dataclass(frozen=True, kw_only=True)
class World:
    """A served application with a little in it, and everybody who may come to its doors."""

    port: int
    weixin: wechat.Simulator
    alice: str
    bob: str
    carol: str
    code: str
    bearers: Mapping[str, str]
    names: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request on a connection of its own; header names with dashes for underscores."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        try:
            connection.request(method, path, body=body, headers=given)
            answer = connection.getresponse()
            return Answer(status=answer.status, headers=answer.headers, content=answer.read())
        finally:
            connection.close()

    def call(self, route: str, caller: str, body: Any = ..., *, path: str = "", **headers: str) -> Answer:
        """A route's sample call, or one with another body or path, by this caller."""
        method, target, content = self.asked(route, body, path=path)
        shown = {**self.headers(caller, content or b""), **SHOWN.get(route, {})}
        return self.send(method, target, content, **{**shown, **headers})

    def asked(self, route: str, body: Any = ..., *, path: str = "") -> tuple[str, str, bytes | None]:
        """Method, target and content of a route's sample call, or of one with another body or path."""
        method, template = route.split()
        query = QUERIES.get(route, "")
        target = path or PATHS.get(route, template).format(**self.names) + (f"?{query}" if query else "")
        content = encoded(SAMPLES.get(route) if body is ... else body)
        if content is not None:
            if b"{shop_code}" in content and "shop_code" not in self.names:
                # It changes each minute, and these tests take several.
                shown_now = using.shop_code(self.carol, self.names["shown_coupon_id"], now=clock.now())
                self.names["shop_code"] = shown_now[0]
            for name, value in self.names.items():
                content = content.replace(f"{{{name}}}".encode(), value.encode())
        return method, target, content

    def headers(self, caller: str, body: bytes) -> dict[str, str]:
        """How this caller shows who they are."""
        shown = {"content_type": "application/json"}
        if caller in self.bearers:
            shown["authorization"] = f"Bearer {self.bearers[caller]}"
        if caller in _SIGNING:
            shown |= _SIGNING[caller](body)
        return shown

    def books(self) -> dict[tuple[str, ...], Any]:
        """Every row of both tables, save what is noted of calls whatever becomes of them.

        Read where the embedded store keeps them: this is done a thousand times, and a scan takes 20 ms.
        """
        found = [
            (table.name, {name: attribute.value for name, attribute in item.attrs.items()})
            for table in stored()
            for rows in table.items.values()
            for item in rows.values()
        ]
        return {
            (name, row["pk"], row["sk"]): row
            for name, row in found
            if row["kind"] not in ("webhook_call", "member_calls")
        }

    def raw(self, request: bytes) -> bytes:
        """All that is answered to bytes on the wire until the server closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as wire:
            wire.sendall(request)
            return b"".join(iter(lambda: wire.recv(65536), b""))


def assert_refused(answer: Answer, status: int, *codes: str) -> dict[str, Any]:
    """It is our envelope, complete, with one of these codes; answers its details."""
    told = answer.json
    assert (answer.status, set(told), set(told["error"])) == (
        status,
        {"error"},
        {"code", "message", "details", "request_id"},
    ), told
    error = told["error"]
    assert error["code"] in codes, error
    kind = next(kind for kind in docs.errors() if kind.code == error["code"])
    assert kind.status == status
    assert error["message"] in (kind.en, kind.zh)
    assert error["request_id"] and error["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["retry-after"] == (str(kind.retry_after_s) if kind.retry_after_s else None)
    assert isinstance(error["details"], dict)
    return dict(error["details"])


def encoded(body: Any) -> bytes | None:
    """A body as it goes over the wire; bytes as they are."""
    if body is None or isinstance(body, bytes):
        return body
    return json.dumps(body, ensure_ascii=False).encode()


def signed(
    body: bytes, *, webhook_id: str = "", at: int | None = None, secret: str = MALL_SECRET
) -> dict[str, str]:
    """Headers of a call of the mall."""
    webhook_id, at = webhook_id or uuid.uuid4().hex, clock.now() if at is None else at
    mac = hmac.new(secret.encode(), f"{webhook_id}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook_id": webhook_id,
        "webhook_timestamp": str(at),
        "webhook_signature": f"v1,{base64.b64encode(mac).decode()}",
    }


REPLAYED = "whk_served_another"
_SIGNING: dict[str, Callable[[bytes], dict[str, str]]] = {
    "mall": signed,
    "badly": lambda body: signed(body + b" "),
    "late": lambda body: signed(body, at=clock.now() - 301),
    "replayed": lambda body: signed(body, webhook_id=REPLAYED),
    "foreign": lambda body: signed(body, secret="another"),
}


# --- the world ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world_wechat() -> Iterator[wechat.Simulator]:
    """A WeChat."""
    simulator = wechat.start(wechat.DEMO_PROGRAMS)
    yield simulator
    simulator.stop()


@pytest.fixture(scope="module")
def world_port() -> Iterator[int]:
    """Where the application is served."""
    with served() as there:
        yield there


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The world as every test finds it, and how to have it back without planting it anew."""

    world: World
    books: dict[tuple[str, ...], Any]
    items: dict[str, Any]

    def restore(self) -> None:
        """Forget what was changed since."""
        if self.world.books() != self.books:
            embedded.empty()
            for table in stored():
                table.items.update(copy.deepcopy(self.items[table.name]))


def stored() -> list[Any]:
    """Both tables, where the embedded store keeps them."""
    from moto.dynamodb.models import dynamodb_backends

    return [
        table for by in dynamodb_backends.values() for one in by.values() for table in one.tables.values()
    ]


def settle_in(weixin: wechat.Simulator) -> None:
    """The application looks at the embedded store and at this WeChat, and remembers nothing."""
    config.reset()
    gateways = {"payment_gateway": "sandbox", "payout_gateways": "sandbox manual mall"}
    config.override(dynamodb_endpoint="", wechat_url=weixin.url, **gateways)
    cache.clear_all()


@pytest.fixture(scope="module")
def beginning(embedded_store: Store, world_port: int, world_wechat: wechat.Simulator) -> Iterator[Beginning]:
    """What is planted once; the client, too, is made once for all of these tests."""
    table.reset()
    settle_in(world_wechat)
    embedded.empty()
    world = planted(port=world_port, weixin=world_wechat)
    items = {table.name: copy.deepcopy(table.items) for table in stored()}
    yield Beginning(world=world, books=world.books(), items=items)
    config.reset()
    table.reset()


@pytest.fixture
def world(beginning: Beginning, monkeypatch: pytest.MonkeyPatch) -> World:
    """Four members, one of them blocked, every kind of operator, and something of everything to ask for."""
    monkeypatch.setenv("SECRET_WECHAT_DEMO", WECHAT_SECRET)
    beginning.world.weixin.fault = None
    settle_in(beginning.world.weixin)
    beginning.restore()
    beginning.world.names.pop("shop_code", None)
    return beginning.world


BILL_DAY = "2026-01-01"


def billing(*, now: int) -> None:
    """A day of which WeChat Pay's bill has a payment that we do not."""
    counts: dict[str, Any] = {"payments": 1, "refunds": 0, "others": 0, "differences": 1}
    bill = Bill(*Bill.key(BILL_DAY), state="differs", looks=1, compared_at=now, **counts)
    found: dict[str, Any] = {
        "day": BILL_DAY,
        "what": "unknown_here",
        "number": "4200",
        "order_id": "ord_none",
        "theirs_fen": 100,
    }
    difference = Difference(*Difference.key(BILL_DAY, "unknown_here", "4200"), seen_at=now, **found)
    for row in (bill, difference):
        table.apply(table.create(row))


def planted(*, port: int, weixin: wechat.Simulator) -> World:
    """A world like every other."""
    now = clock.now()
    owner = keys(now)
    members.add_program(AddProgram(**{**PROGRAM, "program_id": "demo"}), by=owner, now=now)
    alice, bob, carol, dora = (person(name, now=now) for name in ("alice", "bob", "carol", "dora"))
    members.edit(member_id=alice.member_id, nickname="阿丽")
    members.block(member_id=bob.member_id, reason="spam", by=owner, now=now)
    code = things(alice, owner, now=now)
    names = {
        "code": code,
        "member_id": carol.member_id,
        "program_id": "demo",
        "product_id": "tea",
        "card_id": "product.~.~",
        "reward_id": rewards.make(
            msgspec.convert(REWARD, RewardTerms), state="off", making=rewards.Making(by=owner, now=now)
        ).rule_id,
        "stuck_id": stuck(now=now),
        "upload_id": begun(alice.member_id, now=now).upload_id,
        "seen_id": sent(alice.member_id, now=now),
        **group_buying(alice, carol, dora, owner, now=now),
        **bringing(alice, carol, dora, now=now),
        **couponing(alice, carol, owner, now=now),
        **points_for(alice, carol, owner, now=now),
        **coming_back(alice, carol, owner, now=now),
        **distributing(alice, carol, dora, owner, now=now),
        **withdrawing(alice, carol, owner, now=now),
    }
    proving(alice.member_id, now=now)
    billing(now=now)
    once = {name.replace("_", "-"): text for name, text in _SIGNING["replayed"](b"{}").items()}
    webhooks.verify(headers=once, method="POST", target="/v1/mall/sessions", body=b"{}", now=now)
    message_templates.replace("demo", [msgspec.convert(MESSAGE, MessageTemplate)], by=owner, now=now)
    return World(
        port=port,
        weixin=weixin,
        alice=alice.member_id,
        bob=bob.member_id,
        carol=carol.member_id,
        code=code,
        bearers=bearers(alice, bob, carol, now=now),
        names=names,
    )


def bearers(alice: members.Member, bob: members.Member, carol: members.Member, *, now: int) -> dict[str, str]:
    """What those carry who carry a token or a key."""
    return {
        **{role: f"key-of-{role}" for role in (*ROLES, "off")},
        **{
            name: members.token_for(one, program_id="demo", visitor="a-visitor", now=now)[0]
            for name, one in (("member", alice), ("another", carol), ("blocked", bob))
        },
        "expired": members.token_for(alice, program_id="demo", visitor="a-visitor", now=now - 8 * clock.DAY)[
            0
        ],
        "visit": session.sign({"sub": alice.member_id, "prg": "demo"}, purpose="visit", now=now, for_s=60),
        "forged": forged(alice.member_id, now=now),
    }


def keys(now: int) -> Operator:
    """A key for every role, and one that is off; the owner."""
    made = {role: operators.add(name=role, role=role, secret=f"key-of-{role}", now=now) for role in ROLES}
    operators.add(name="off", role="owner", secret="key-of-off", now=now)
    operators.switch_off(secret="key-of-off")
    return made["owner"]


def person(name: str, *, now: int) -> members.Member:
    """Whom WeChat and the mall know under this name."""
    openid = wechat.openid(appid=APPID, name=name)
    proofs = [
        member_rules.openid_proof(program_id="demo", openid=openid),
        member_rules.unionid_proof(wechat.unionid(name=name)),
        member_rules.external_proof(f"{name}-1"),
    ]
    return members.find_or_register(proofs=proofs, program_id="demo", now=now)[0]


def forged(member_id: str, *, now: int) -> str:
    """A session as somebody without our key would sign it."""
    ours = session.sign({"sub": member_id, "prg": "demo"}, purpose="session", now=now, for_s=999)
    content, _, _ = ours.rpartition(".")
    how: Any = {"salt": "session", "key_derivation": "hmac", "digest_method": hashlib.sha256}
    return Signer("another key, also of 32 characters", **how).sign(content).decode()


def things(alice: members.Member, owner: Operator, *, now: int) -> str:
    """A target, a card, and Alice's link; its code."""
    sharing.save_target(EditTarget(kind="product", id="tea", title="Jasmine tea 茉莉花茶"), by=owner, now=now)
    sharing.save_card(EditCard(target_kind="product", title="{title}"), by=owner, now=now)
    wanted = MintLink(target=TargetRef(kind="product", id="tea"), channel="wechat")
    return sharing.mint(sharer_id=alice.member_id, wanted=wanted, now=now)[0].code


def group_buying(
    alice: members.Member, carol: members.Member, dora: members.Member, owner: Operator, *, now: int
) -> dict[str, str]:
    """A group that Carol has paid for, a seat in it that Alice has not, and an order of the mall's for Dora."""
    making = campaigns.Making(by=owner, now=now, idempotency_key=None)
    campaign_id = campaigns.make(msgspec.convert(CAMPAIGN, EditCampaign), making).campaign_id
    opened = groupbuys.open_group(campaign_id=campaign_id, buying=one_tin(carol), size=None, now=now)
    paid = Paid(payment_id="pay_0", amount_fen=opened.order.amount_fen)
    orders.pay(opened.order.order_id, paid, now=now)
    joined = groupbuys.join(group_id=opened.group.group_id, buying=one_tin(alice), now=now)
    for count in reporting.count_joined(joined.order, now):
        table.apply(count)
    groupbuys.open_group(campaign_id=campaign_id, buying=one_tin(dora, "M-1"), size=None, now=now)
    return {
        "campaign_id": campaign_id,
        "group_id": opened.group.group_id,
        "order_id": joined.order.order_id,
        "paid_order_id": opened.order.order_id,
        "payment_id": "pay_1",
        "mall_order_id": "M-1",
    }


def bringing(
    alice: members.Member, carol: members.Member, dora: members.Member, *, now: int
) -> dict[str, str]:
    """Dora is Alice's customer, and so is her order; and Carol has an invite code."""
    wanted = MintLink(target=TargetRef(kind="product", id="tea"), channel="wechat")
    link = sharing.mint(sharer_id=alice.member_id, wanted=wanted, now=now)[0]
    attribution.bind(dora.member_id, visit=visits.uncounted(link=link, visitor="dora", now=now), now=now)
    order_id = orders.id_for_mall("M-1")
    attributions.of_order(orders.show(order_id), now=now)
    return {"invite_code": invite_codes.code_of(carol.member_id, now=now), "brought_order_id": order_id}


def couponing(alice: members.Member, carol: members.Member, owner: Operator, *, now: int) -> dict[str, str]:
    """A template, a coupon of Alice's, and Carol's: one to void, one to show, and some in orders of the mall."""
    making = templates.Making(by=owner, now=now)
    given = {**COUPON, "per_member": 9, "stock": 20, "giftable": True}
    template_id = templates.make(msgspec.convert(given, MakeTemplate), making).template_id
    both = [
        plans.make(msgspec.convert({**PLAN, "after": after, "template_id": template_id}, EditPlan), making)
        for after in ("campaign", "order")
    ]
    batch = codes.make(
        template_id,
        MakeCodes(batch="spring", count=1, ends_at=9_000_000_000),
        making,
    )
    grants.begin(template_id, GrantPart(batch="spring", member_ids=["mbr_1"]), making)
    invite = {"title": "x", "every": 2, "sharer_template_id": template_id, "starts_at": 1, "ends_at": 2}

    def claimed(member: members.Member, claim_key: str) -> str:
        claim = coupons.claim(template_id=template_id, member_id=member.member_id, key=claim_key, now=now)
        return claim.coupon.coupon_id

    basket = rules.Basket(lines=(rules.Line(product_id="tea", price_fen=9900),))
    for order in ("M-5", "M-6", "M-7"):
        held = (claimed(carol, order),)
        using.lock(
            using.Locking(
                order_ref=order, member_id=carol.member_id, coupon_ids=held, basket=basket, lock_s=1800
            ),
            now=now,
        )
    using.redeem("M-7", now=now)
    shown = claimed(carol, "shown")
    gift = gifts.give(carol.member_id, claimed(carol, "gift"), now=now)[0]
    pack = packs.open_pack(both[0].plan_id, carol.member_id, order_id=None, now=now).pack
    return {
        "gift_code": gift.code,
        "batch": "spring",
        "redeem_code": codes.letters(template_id, batch, now=now)[0],
        "plan_id": both[0].plan_id,
        "order_plan_id": both[1].plan_id,
        "pack_id": pack.pack_id,
        "invite_id": invites.make(msgspec.convert(invite, EditInvite), making).plan_id,
        "template_id": template_id,
        "coupon_id": claimed(alice, "a"),
        "carols_coupon_id": claimed(carol, "c"),
        "spare_coupon_id": claimed(carol, "spare"),
        "shown_coupon_id": shown,
    }


def points_for(alice: members.Member, carol: members.Member, owner: Operator, *, now: int) -> dict[str, str]:
    """Points of Alice's that can be spent, points of Carol's frozen for an order, and a badge."""
    for member in (alice, carol):
        table.transact(points.earned(member.member_id, points=500, cause="gift", reason="gift", now=now))
    checkout.freeze(msgspec.convert(FROZEN, FreezePoints), member_id=carol.member_id, now=now)
    badges.add(msgspec.convert({**BADGE, "badge_id": "host"}, AddBadge), by=owner, now=now)
    given = msgspec.convert(BOUGHT, AddExchange)
    made = exchanges.add(given, by=owner, idempotency_key=None, now=now)
    return {"exchange_id": made.exchange_id, "badge_id": "host", "ref": "carol-1"}


def coming_back(alice: members.Member, carol: members.Member, owner: Operator, *, now: int) -> dict[str, str]:
    """A challenge in which Carol has a team, and a group chat that Alice came from."""
    making = checkins.Making(by=owner, now=now, idempotency_key=None)
    challenge = checkins.make(msgspec.convert(CHECKIN, EditCheckin), making)
    team, _ = teams.found(challenge, carol.member_id, title="Larks", now=now)
    note = Note(
        *Note.key(challenge.campaign_id, carol.member_id, "2026-01-01"), state="visible", created_at=now
    )
    table.apply(table.create(note))
    chat = ChatMember(*ChatMember.key("cgr_1", alice.member_id), seen_at=now)
    table.apply(table.create(chat))
    named = {"checkin_id": challenge.campaign_id, "team_id": team.team_id, "date": "2026-01-01"}
    yesterday = clock.local_day(now - clock.DAY, zone=config.settings().zone)
    return {**named, "chat_group_id": "cgr_1", "yesterday": yesterday}


def distributing(
    alice: members.Member, carol: members.Member, dora: members.Member, owner: Operator, *, now: int
) -> dict[str, str]:
    """Alice earns by Dora's orders, one of which is held; Carol has applied, and somebody is suspended."""
    said = DistributionTerms(auto_approval=False)
    distribution.make(said, by=owner, now=now - 60)
    scope = Scope(level="level1")
    rate_id = rates.say(scope, basis="bps", value=500, by=owner, now=now - 60)[0].rate_id
    erin = person("erin", now=now)
    for one in (alice, erin):
        promoters.assign(one.member_id, by=owner, now=now - 60)
    promoters.move(erin.member_id, step="suspend", reason="spam", by=owner, now=now)
    promoters.apply(carol.member_id, version=1, now=now)
    attribution.move(dora.member_id, promoter_id=alice.member_id, reason="asked", by=owner, now=now - 60)
    pending, held = (_earning(dora, number, now=now) for number in ("D-1", "D-2"))
    commissions.hold(held, reason="a look", by=owner, now=now)
    runs.note("waits", commissions.show(pending), why="aftersale", now=now)
    return {
        "alice_id": alice.member_id,
        "dora_id": dora.member_id,
        "suspended_id": erin.member_id,
        "rate_id": rate_id,
        "commission_id": pending,
        "held_id": held,
        "day": runs.day_of(now),
    }


def _earning(buyer: members.Member, number: str, *, now: int) -> str:
    """The commission of an order of the mall that is paid."""
    lines = [{"line_id": "1", "product_id": "tea", "quantity": 1, "paid_fen": 9900}]
    told = ordinary.Told(
        mall_order_id=number,
        member_id=buyer.member_id,
        link=None,
        created_at=now,
        amount_fen=9900,
        lines=lines,
    )
    order = ordinary.made(told, now=now)
    orders.pay(order.order_id, Paid(payment_id=number, amount_fen=9900), now=now)
    commissions.follow(orders.show(order.order_id), cause="order.paid", now=now)
    return commissions.id_of(order.order_id, "L1")


def withdrawing(alice: members.Member, carol: members.Member, owner: Operator, *, now: int) -> dict[str, str]:
    """One withdrawal of Alice's to look at; of Carol's one to pay by hand, one in the sandbox, one in the mall."""
    for member in (alice, carol):
        money: dict[str, Any] = {"owner": member.member_id, "book": "money", "reason": "commission"}
        table.transact(ledger.posted(amount=90_000, cause="settle", now=now, **money))
    withdrawal_terms.make(
        msgspec.convert({**TERMS, "open_at_once": 9}, EditWithdrawalTerms), by=owner, now=now
    )
    payees.tell(msgspec.convert(PAYEE, TellPayee), member_id=alice.member_id, nonce=b"p" * 12, now=now)
    made = {
        "approved_id": _applied(carol, {"amount_fen": 700, "method": "bank", "account": ACCOUNT}, now=now),
        "awaiting_id": _applied(carol, {"amount_fen": 800, "method": "phone"}, now=now),
        "waiting_id": _applied(alice, {"amount_fen": 300, "method": "phone"}, now=now),
        "asked_id": _applied(carol, {"amount_fen": 900, "method": "mall"}, now=now),
        "paid_id": _applied(carol, {"amount_fen": 600, "method": "bank", "account": ACCOUNT}, now=now),
    }
    for withdrawal_id in made.values():
        withdrawals.approve(withdrawal_id, by=owner, now=now)
    asked, *waiting = (withdrawals.show(made[name]) for name in ("asked_id", "awaiting_id", "waiting_id"))
    sending.begin(asked, now=now)
    withdrawals.paid_by_hand(made["paid_id"], reference="ICBC-0", tax_fen=None, by=owner, now=now)
    for row in waiting:
        sending.pay_out(due.Entry(**{name: getattr(row, name) for name in due.Entry.__annotations__}), now)
    made["withdrawal_id"] = _applied(alice, WITHDRAWAL, now=now)
    withdrawal_terms.make(msgspec.convert(TERMS, EditWithdrawalTerms), by=owner, now=now)
    return made


def _applied(member: members.Member, body: Body, *, now: int) -> str:
    who = Applying(member_id=member.member_id, now=now, idempotency_key=json.dumps(body), nonce=b"n" * 12)
    return withdrawal_applying.apply(msgspec.convert(body, Withdraw), who)[0].withdrawal_id


def proving(member_id: str, *, now: int) -> None:
    """The books of a day, and an account that was bent."""
    bent = Account.balance.add(1)
    table.apply(table.update(Account, Account.key(member_id, "points"), bent, refuse=KeyError))
    reconciling.plan(now=now - clock.DAY)
    due.run(job=reconciling.JOB, worker="night", now=now, seconds=30)
    straight = Account.balance.add(-1)
    table.apply(table.update(Account, Account.key(member_id, "points"), straight, refuse=KeyError))


def one_tin(member: members.Member, mall_order_id: str | None = None) -> groupbuys.Buying:
    """What somebody wants."""
    return groupbuys.Buying(member_id=member.member_id, sku_id="tin", quantity=1, mall_order_id=mall_order_id)


def stuck(*, now: int) -> str:
    """A delivery that failed ten times; the id to retry it by."""
    row = Delivery("dlv_1", "META", state="due", to="mall", type="t", body="{}", created_at=now, attempts=10)
    row.due_shard, row.due_at, row.due_ref = "stuck#deliver", now, ""
    table.apply(table.create(row))
    return operators_stuck.listed(limit=1)[0][0].id
