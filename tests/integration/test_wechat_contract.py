"""Our calls to WeChat, each against the simulator and against what WeChat's documentation shows.

What we send is held to the page of the call, whoever answers; what the page's example says is understood, and the
codes that it lists become errors of ours.
"""

import itertools
import json
import queue
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.core import config, due, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import AppError, Invalid, SignatureInvalid
from chalicelib.members import service as members
from chalicelib.notifications import activities, sending
from chalicelib.notifications.models import Activity
from chalicelib.operators import stuck
from chalicelib.orders import shipping
from chalicelib.orders.schemas import Shipped
from chalicelib.safety import risk
from chalicelib.safety import service as safety
from chalicelib.safety.models import Check
from chalicelib.sessions import proving
from chalicelib.wechat import codes, opendata, pushes, tokens
from chalicelib.wechat import service as login
from chalicelib.wechat.client import App
from infra.local.wechat import DEMO_PROGRAMS, Platform
from infra.local.wechat import pushes as sent
from infra.local.wechat.frame import Answer, Request
from infra.local.wechat.login import Logins
from infra.local.wechat.messages import Messages
from infra.local.wechat.pay import Trades
from infra.local.wechat.shipping import Shipments
from tests import notifications as told
from tests.factories import NOW, PROGRAM, a_member, reacted
from tests.groupbuys import a_campaign, open_paid_group
from tests.harness.merchant import APPID
from tests.paying import Desk, at_the_desk
from tests.wechat_recorded import PAGES, PATHS, VECTORS, Recorded, wrong

pytestmark = pytest.mark.alone("groupbuys", "orders", "safety")
SECRET = "SECRET_WECHAT_WECHAT_DEMO"
CARD = "966_NGiqxxxxxxxxxx...xxxxxxxxE33BlwX"


@dataclass
class There:
    """A WeChat, what it was asked and said, and what the next call is about."""

    desk: Desk
    patch: pytest.MonkeyPatch
    recorded: Recorded | None
    asked: list[tuple[Request, Answer | None]] = field(default_factory=list)
    given: dict[str, Any] = field(default_factory=dict)

    def part(self, kind: type[Any]) -> Any:
        """What the simulator knows."""
        return self.desk.platform.of(kind)

    def trade(self) -> Any:
        """The newest payment."""
        return list(self.part(Trades).by_number.values())[-1]

    def before(self) -> None:
        """What happens before WeChat is asked."""
        BEFORE.get(self.given.get("before", ""), str)(self)

    def keep(self, server: Any) -> None:
        """Keep all that this server is asked from now on."""
        answer = server.answer

        def kept(request: Request) -> Answer | None:
            said: Answer | None = answer(request)
            if not request.path.startswith(("/v3/", "/_simulator")):
                self.asked.append((request, said))
            return said

        self.patch.setattr(server, "answer", kept)


Call = Callable[[There], object]


@pytest.fixture
def there(request: pytest.FixtureRequest, direct: object, monkeypatch: pytest.MonkeyPatch) -> Iterator[There]:
    with at_the_desk(monkeypatch) as desk:
        monkeypatch.setenv(SECRET, DEMO_PROGRAMS[APPID])
        recorded = Recorded() if request.param == "recorded" else None
        found = There(desk=desk, patch=monkeypatch, recorded=recorded)
        found.keep(recorded or desk.simulator)
        config.override(wechat_url=(recorded or desk.simulator).url, content_safety="wechat")
        yield found
        if recorded is not None:
            recorded.stop()


# --- what is called -----------------------------------------------------------------------------------------


def app(**other: str) -> App:
    known = members.app(PROGRAM, now=NOW)
    return App(**{"appid": known.appid, "secret_name": known.secret_name, **other})


def log_in(there: There) -> object:
    who = login.code_to_session(app(), code=there.given.get("code", "alice"), now=NOW)
    return f"{who.openid} {who.session_key} {who.unionid}"


def page(there: There) -> codes.Page:
    path, query = there.given.get("page", "pages/index/index"), there.given.get("query", "a=1")
    return codes.Page(path=path, query=query)


def draw(there: There) -> object:
    config.override(wechat_env=there.given.get("env", "release"))
    scene = there.given.get("scene", "a=1")
    return codes.unlimited(app(), scene=scene, page=page(there), width=430, now=NOW)[:4].hex()


def link(kind: codes.Kind) -> Call:
    def made(there: There) -> object:
        title = there.given.get("title", "Homework title")
        return codes.opening(app(), kind, page=page(there), title=title, now=NOW).url

    return made


def phone(there: There) -> object:
    code = there.given.get("code", "phone:13800138000:1")
    member = proving.phone(code, member_id=a_member(), app=app(), now=NOW)
    return next(proof for proof in member.identities or () if proof.startswith("phone#"))


def send(there: There) -> object:
    alice = told.a_person(weixin=there.desk.simulator)
    told.templates_of()
    told.tapped(alice)
    told.on_phone(there.desk.simulator, taps=there.given.get("taps", 1))
    there.before()
    notification = told.tell(alice)
    told.run()
    return by_hand(sending.JOB) or " ".join(part for part in told.state(alice, notification) if part)


def by_hand(job: str) -> str:
    return "by hand" if any(one.trouble.job == job for one in stuck.listed(limit=50)[0]) else ""


def make_card(there: There) -> object:
    group = open_paid_group(a_campaign())
    return activities.share(group.group_id, program_id=PROGRAM, now=NOW)[0].activity_id


def change_card(there: There) -> object:
    group, until = open_paid_group(a_campaign()), time.time() + there.given.get("lasts", DAY)
    there.part(Messages).cards[CARD] = {"appid": APPID, "until": until, "state": 0, "told": []}
    known: dict[str, Any] = {"group_id": group.group_id, "program_id": PROGRAM, "activity_id": CARD}
    known |= {"asked": 0, "shown": 0, "members": 0, "told_rev": -1, "expires_at": NOW + DAY}
    table.apply(table.create(Activity(*Activity.key(group.group_id, PROGRAM), **known)))
    activities.follow_group(group, NOW)
    return due.run(job=activities.JOB, worker="w", now=NOW, seconds=5).handled


def writer(there: There) -> safety.Writer:
    """Somebody who is in the program, as far as the simulator knows."""
    alice, openid = told.a_person(weixin=there.desk.simulator), told.openid_of("alice")
    there.part(Logins).at[openid] = there.given.get("seen", time.time())
    known_as = there.given.get("openid", openid)
    return safety.Writer(member_id=alice, program_id=PROGRAM, app=app(), openid=known_as)


def check_text(there: There) -> object:
    thing = safety.Thing(room="tests", ref="1", field="text", scene=there.given.get("scene", safety.COMMENT))
    return safety.text("hello world! 违规", thing, lambda: writer(there), now=NOW).state


def check_later(what: Any, then: Call = str) -> Call:
    """The job asks; then something happens."""

    def checked(there: There) -> object:
        there.patch.setattr(safety, "_address", lambda upload_id, at: "https://pictures.test/1.png")
        thing = safety.Thing(room="tests", ref="1", field="f")
        write = safety.asked("hello world!", what, thing, writer(there), now=NOW)
        table.apply(write)
        ran = due.run(job=safety.JOB, worker="w", now=NOW, seconds=5)
        then(there)
        row = table.get(Check, (write.row.pk, write.row.sk))
        return by_hand(safety.JOB) or ("again" if ran.failed else row and row.state)

    return checked


def check_picture(there: There) -> object:
    """What is told of the picture is the documentation's example, or what the simulator sends."""
    caught, example = queue.Queue[dict[str, Any]](), json.loads(VECTORS["wxa_media_check"]["body"])
    there.patch.setattr("infra.local.wechat.safety._fetched", lambda url: b"a picture")
    there.patch.setattr(sent, "push", lambda platform, appid, result: caught.put(result))

    def pushed(there: There) -> None:
        frame = {name: example[name] for name in ("ToUserName", "CreateTime", "MsgType")}
        result = example if there.recorded else frame | caught.get(timeout=10)
        assert set(result) == set(example)
        pushes.note(result, program_id=PROGRAM, now=NOW)
        reacted(table.client(), now=NOW)

    return check_later("media", pushed)(there)


def ship(there: There, *, between: Callable[[], object] | None = None) -> object:
    campaign = there.desk.a_campaign(sizes={2: 8900})
    order = there.desk.pays(there.desk.a_seat(campaign, group=open_paid_group(campaign)))
    parcel = Shipped(how="express", express_company="SF", tracking_no="SF123", contact="138****8000")
    shipping.note(order, parcel, now=NOW)
    there.before()
    due.run(job=shipping.JOB, worker="w", now=NOW, seconds=5)
    if between is not None:
        between()
        due.run(job=shipping.JOB, worker="w", now=NOW + DAY, seconds=5)
    row = shipping.of(order.order_id)
    return row and row.state


def ship_again(there: There) -> object:
    """The first try got no answer, so that WeChat is asked what it knows."""
    upload, refusals = PATHS["uploadShippingInfo"], there.recorded.refusals if there.recorded else {}
    there.desk.platform.faults[upload] = "lost"
    refusals[upload] = b"nothing that can be read"
    return ship(there, between=lambda: (there.desk.platform.faults.clear(), refusals.pop(upload)))


CALLS: Mapping[str, Call] = {
    "code2Session": log_in,
    "getStableAccessToken": lambda there: tokens.current(app(appid=there.given.get("appid", APPID)), now=NOW),
    "getUnlimitedQRCode": draw,
    "generateUrlLink": link("url_link"),
    "generateScheme": link("scheme"),
    "generateShortLink": link("short_link"),
    "getPhoneNumber": phone,
    "sendMessage": send,
    "createActivityId": make_card,
    "setUpdatableMsg": change_card,
    "msgSecCheck": check_text,
    "mediaCheckAsync": check_picture,
    "getUserRiskRank": lambda there: risk.rank(writer(there), ip="198.51.100.7", scene=1, now=NOW),
    "uploadShippingInfo": ship,
    "getOrder": ship_again,
}
LATER: Mapping[str, Call] = {"msgSecCheck": check_later("text"), "mediaCheckAsync": check_later("media")}
BEFORE: Mapping[str, Call] = {
    "a stranger": lambda there: there.part(Logins).people.clear(),
    "no templates": lambda there: there.part(Messages).allowed.clear(),
    "unpaid": lambda there: there.part(Trades).by_number.clear(),
    "of another": lambda there: there.trade().asked["payer"].update(openid="x"),
    "corrected": lambda there: there.part(Shipments).by_transaction.update(
        {there.trade().transaction_id: [{}, {}]}
    ),
}


def made_to_refuse(there: There, name: str, code: int) -> None:
    """WeChat says no to this call with this code, the simulator for a reason that it has."""
    if there.recorded is not None:
        there.recorded.refuse(name, code)
        return
    there.given |= PAGES[name]["errors"][str(code)]["simulator"]
    there.part(Logins).used.add(there.given.get("used"))
    if "fault" in there.given:
        there.desk.platform.faults[PATHS[name]] = there.given["fault"]
    if "none_left" in there.given:
        there.patch.setattr(f"infra.local.wechat.{there.given['none_left']}", 0)
    there.patch.setenv(SECRET, there.given.get("secret", DEMO_PROGRAMS[APPID]))


# --- what is answered ---------------------------------------------------------------------------------------


def cases() -> Iterator[Any]:
    """Each call, and each code that its page lists, of both where the simulator can be made to say it."""
    for name, page in PAGES.items():
        for code, row in (("", page), *page["errors"].items()):
            backends = ("recorded", "simulator") if not code or "simulator" in row else ("recorded",)
            keys = [key for key in ("ours", "ours_later") if key in row]
            for backend, key in itertools.product(backends, keys):
                yield pytest.param(backend, name, code, key, id=f"{name}-{code}-{key}-{backend}")


def came_to(call: Call, there: There) -> str:
    try:
        return str(call(there))
    except AppError as refusal:
        return type(refusal).__name__


@pytest.mark.parametrize(("there", "name", "code", "key"), list(cases()), indirect=["there"])
def test_a_call_is_as_documented_and_what_wechat_says_is_understood(
    there: There, name: str, code: str, key: str
) -> None:
    if code:
        made_to_refuse(there, name, int(code))
    result = came_to((CALLS if key == "ours" else LATER)[name], there)

    assert {request.path: wrong(request) for request, _ in there.asked if wrong(request)} == {}
    [*_, answer] = [said for request, said in there.asked if request.path == PATHS[name]]
    if code:
        assert answer is not None and answer.status == 200
        said = json.loads(answer.body)
        assert set(said) == {"errcode", "errmsg"} and said["errcode"] == int(code)
        assert result == PAGES[name]["errors"][code][key]
    else:
        like = None if there.recorded else PAGES[name].get("ours_of_simulator")
        assert re.fullmatch(like, result) if like else result == PAGES[name]["ours"]


# --- what is pushed and encrypted ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["verifying", "plain", "encrypted", "encrypted XML"])
def test_what_wechat_published_of_its_pushes_is_admitted_and_read(
    name: str, direct: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    vector = VECTORS[name]
    monkeypatch.setenv("SECRET_WECHAT_PUBLISHED_MESSAGE_TOKEN", vector["token"])
    monkeypatch.setenv("SECRET_WECHAT_PUBLISHED_MESSAGE_KEY", vector.get("key", ""))
    whose, query = App(appid=vector.get("appid", APPID), secret_name="published"), vector["query"]
    now, forged = int(query["timestamp"]), {**query, "nonce": "1"}
    if "signature" in query:
        pushes.admit(whose, query, now=now)
        with pytest.raises(SignatureInvalid):
            pushes.admit(whose, forged, now=now)
    if "body" in vector:
        assert pushes.read(whose, vector["body"].encode(), query, now=now) == vector["told"]
    if "msg_signature" in query:
        with pytest.raises(SignatureInvalid):
            pushes.read(whose, vector["body"].encode(), forged, now=now)


@pytest.mark.parametrize("there", ["recorded"], indirect=True)
@pytest.mark.parametrize("name", ["plain", "encrypted"])
def test_what_the_simulator_pushes_has_the_published_form(there: There, name: str) -> None:
    platform, vector = Platform(DEMO_PROGRAMS), VECTORS[name]
    assert there.recorded is not None
    server = sent.Server(url=f"{there.recorded.url}/pushes", token="AAAAA", key=vector.get("key", ""))
    platform.of(sent.Pushes).servers[APPID] = server
    sent.push(platform, APPID, {"FromUserName": "o", "Event": "debug_demo", "debug_str": "hello world"})

    [(request, _)] = there.asked
    assert (request.method, set(request.query)) == ("POST", set(vector["query"]))
    assert set(request.json) == set(json.loads(vector["body"]))


def test_the_simulator_seals_and_signs_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    vector = VECTORS["sealed"]
    monkeypatch.setattr("secrets.token_bytes", lambda n: vector["random"].encode())

    sealed = sent.seal(vector["told"].encode(), key=vector["key"], appid=vector["appid"])
    assert sealed == vector["encrypted"]
    assert pushes.signature(*vector["signed"], sealed) == vector["signature"]


def test_what_a_phone_hands_on_is_opened_as_published() -> None:
    vector = VECTORS["open data"]
    handed = {name: vector[name] for name in ("session_key", "encrypted_data", "iv")}

    assert opendata.opened(**handed, appid=vector["appid"]) == vector["told"]
    with pytest.raises(Invalid):
        opendata.opened(**handed, appid=APPID)
