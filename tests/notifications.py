"""Members on the simulated WeChat, templates, consents, and messages that are due, for tests.

alice = a_person("alice")                          # a member whose phone the simulator knows
templates_of(kind="refund_done")                   # the program tells of it by TEMPLATE
allowed(weixin, alice, taps=1)                     # here and on the phone
told = tell(alice)                                 # a notification, whose message is due
run()                                              # and sent
assert state(alice, told) == "sent"
"""

from typing import Any

from chalicelib.core import due, table
from chalicelib.members import service as members
from chalicelib.members.schemas import AddProgram
from chalicelib.notifications import consents, sending, service, templates
from chalicelib.notifications.models import Consent, Notification
from chalicelib.notifications.rules import Kind
from chalicelib.notifications.schemas import MessageTemplate
from chalicelib.notifications.service import News
from infra.local import wechat
from infra.local.wechat import Simulator
from infra.local.wechat.login import Logins
from infra.local.wechat.messages import Messages
from tests.factories import NOW, OWNER, PROGRAM, a_word
from tests.wechat import APPID

TEMPLATE = "tpl-refund"
KEYWORDS = {"thing1": "about", "amount2": "amount_fen", "time3": "done_at", "phrase4": "status"}


def program(program_id: str = PROGRAM) -> None:
    """The brand's program that the simulator knows."""
    told = AddProgram(
        program_id=program_id,
        appid=APPID,
        secret_name="demo",
        name="Tea",
        kind="functional",
        landing_page="pages/home",
    )
    members.add_program(told, by=OWNER, now=NOW)


def templates_of(kind: Kind = "refund_done", template_id: str = TEMPLATE, **changes: Any) -> None:
    """The program tells of one kind by one template."""
    given: dict[str, Any] = {"keywords": KEYWORDS, **changes}
    item = MessageTemplate(kind=kind, template_id=template_id, **given)
    templates.replace(PROGRAM, [item], by=OWNER, now=NOW)


def openid_of(name: str) -> str:
    """Who somebody is to WeChat."""
    return wechat.openid(appid=APPID, name=name)


def a_person(name: str = "alice", *, weixin: Simulator | None = None) -> str:
    """A member who has signed in with WeChat."""
    openid = openid_of(name)
    if weixin is not None:
        weixin.platform.of(Logins).people[openid] = (APPID, name)
    proofs = [f"openid#{PROGRAM}#{openid}"]
    return members.find_or_register(proofs=proofs, program_id=PROGRAM, now=NOW)[0].member_id


def tapped(
    member_id: str, *, said: str = "accept", tap_id: str | None = None, template_id: str = TEMPLATE
) -> int:
    """A tap; how many messages can be sent then."""
    told = {template_id: said}
    return consents.tapped(
        told, tap_id=tap_id or a_word("tap-"), member_id=member_id, program_id=PROGRAM, now=NOW
    )[template_id]


def allowed(weixin: Simulator, member_id: str, *, name: str = "alice", taps: int = 1) -> None:
    """So many taps, here and on the phone."""
    for _ in range(taps):
        tapped(member_id)
    on_phone(weixin, name=name, taps=taps)


def on_phone(weixin: Simulator, *, name: str = "alice", taps: int = 1, template_id: str = TEMPLATE) -> None:
    """The phone allows it so often more."""
    there = weixin.platform.of(Messages).allowed
    key = (openid_of(name), template_id)
    there[key] = there.get(key, 0) + taps


def news(kind: Kind = "refund_done", *, cause: str | None = None, until: int | None = None) -> News:
    """That some money is back."""
    told = {"about": "龙井茶", "amount_fen": 8900, "done_at": NOW}
    return News(kind=kind, cause=[cause or a_word("rfd_")], target_id="ord_1", data=told, until=until)


def tell(member_id: str, told: News | None = None, *, now: int = NOW) -> str:
    """A notification; its id."""
    return service.tell(told or news(), member_id, now=now)


def row_of(member_id: str, notification_id: str) -> Notification:
    """As it is now."""
    row = table.get(Notification, Notification.key(member_id, notification_id))
    assert row is not None
    return row


def entry_of(member_id: str, notification_id: str) -> due.Entry:
    """What the index says of its message."""
    row = row_of(member_id, notification_id)
    told: dict[str, Any] = {name: getattr(row, name) for name in due.Entry.__annotations__}
    return due.Entry(**told)


def state(member_id: str, notification_id: str) -> tuple[str | None, str | None]:
    """What became of its message, and why."""
    row = row_of(member_id, notification_id)
    return row.state, row.why


def left(member_id: str) -> int:
    """How many messages are allowed."""
    row = table.get(Consent, Consent.key(member_id, PROGRAM, TEMPLATE))
    return row.left if row is not None else 0


def run(*, now: int = NOW) -> due.Ran:
    """The job sends what is due."""
    return due.run(job=sending.JOB, worker="sender", now=now, seconds=20)


def shown(weixin: Simulator) -> list[dict[str, Any]]:
    """What phones have got."""
    return weixin.platform.of(Messages).shown
