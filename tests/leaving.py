"""Leaving for tests: somebody of whom much is known in every room, and the job that makes them nobody."""

from dataclasses import dataclass
from typing import Any

from chalicelib.checkins import reminders, teams
from chalicelib.checkins import service as checkins
from chalicelib.checkins.marking import Said
from chalicelib.checkins.models import Campaign
from chalicelib.core import due, table
from chalicelib.core.clock import DAY
from chalicelib.members import leaving, rules
from chalicelib.members import service as members
from chalicelib.members.models import Leaving
from chalicelib.sessions import service as sessions
from chalicelib.sessions.service import CameBy
from chalicelib.sharing import attribution, signals
from chalicelib.withdrawals import payees
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals.schemas import TellPayee
from chalicelib.withdrawals.service import Ending
from tests.factories import NOW, OWNER, PROGRAM, a_link, a_member, a_visit, a_word
from tests.uploads import sent
from tests.withdrawals import approve, earn, terms, withdraw

ERASE_AT = NOW + leaving.CHANGE_OF_MIND_S
CLOSED = leaving.CLOSING_S


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody of whom much is known: all of ``words`` are theirs alone."""

    member_id: str
    proofs: list[str]
    words: list[str]


def entry_of(member_id: str) -> due.Entry:
    """What the index says of somebody's leaving."""
    row = the_row(member_id)
    told = {"pk": row.pk, "sk": row.sk, "kind": "leaving", "due_ref": "", "due_at": row.due_at or 0}
    return due.Entry(due_shard=row.due_shard or "", **told)  # type: ignore[arg-type]


def the_row(member_id: str) -> Leaving:
    """Somebody's leaving."""
    row = leaving.find(member_id)
    assert row is not None
    return row


def run(*, now: int) -> due.Ran:
    """The job; nothing may fail."""
    ran = due.run(job=leaving.JOB, worker=a_word("w"), now=now, seconds=30)
    assert not ran.failed
    return ran


def erased(member_id: str, *, now: int = ERASE_AT) -> Leaving:
    """Somebody who asked to be erased, after the job came by twice."""
    run(now=now)
    run(now=now + CLOSED)
    row = the_row(member_id)
    assert row.state == "erased"
    return row


def asked(member_id: str, *, forfeit: bool = False, now: int = NOW) -> Leaving:
    """Somebody asks to be erased."""
    return leaving.ask(member_id, forfeit=forfeit, now=now)[0]


def a_person(name: str, *, id_number: str, challenge: Campaign, unionid: bool = True) -> Person:
    """Somebody who signed in by a friend's link, shares, checks in, was blocked and tagged, and was paid."""
    words = {
        "openid": f"o-{name}-openid",
        "external": f"13800138{len(name):03d}-{name}",
        "nickname": f"{name}-nickname",
        "tag": f"{name}-tag",
        "note": f"{name}-says",
        "team": f"{name}-team",
        "reason": f"{name}-was-rude",
        "real": f"{name}-real-name",
        "id": id_number,
        "account": f"6222-{name}-0099",
        "device": f"device-of-{name}",
    }
    proofs = [
        rules.openid_proof(program_id=PROGRAM, openid=words["openid"]),
        rules.external_proof(words["external"]),
    ]
    if unionid:
        words["unionid"] = f"u-{name}-unionid"
        proofs.append(rules.unionid_proof(words["unionid"]))
    member_id = _signed_in(proofs, words)
    words |= {"avatar": sent(member_id), "image": sent(member_id, kind="checkin")}
    members.edit(member_id=member_id, nickname=words["nickname"], avatar=words["avatar"])
    members.tag(member_id, tags={words["tag"]}, by=OWNER, now=NOW)
    members.block(member_id=member_id, reason=words["reason"], by=OWNER, now=NOW)
    members.unblock(member_id=member_id, reason=words["reason"], by=OWNER, now=NOW)
    a_link(sharer_id=member_id)
    _checks_in(challenge, member_id, words)
    _is_paid(member_id, words)
    return Person(member_id=member_id, proofs=proofs, words=list(words.values()))


def _signed_in(proofs: list[str], words: dict[str, str]) -> str:
    visit = a_visit(link=a_link(sharer_id=a_member()))
    places = signals.places(device=words["device"], address="203.0.113.77", now=NOW)
    came = CameBy(link=None, visit_token=None, wx_scene=None, places=places)
    member_id = sessions.sign_in(proofs=proofs, program_id=PROGRAM, came_by=came, now=NOW).member.member_id
    attribution.bind(member_id, visit=visit, places=places, now=NOW)
    return member_id


def _checks_in(challenge: Campaign, member_id: str, words: dict[str, str]) -> None:
    teams.found(challenge, member_id, title=words["team"], now=NOW)
    said = Said(text=words["note"], image=words["image"])
    checkins.check_in(campaign_id=challenge.campaign_id, member_id=member_id, said=said, now=NOW)
    reminders.choose(challenge, member_id, at_minute=600, now=NOW)


def _is_paid(member_id: str, words: dict[str, str]) -> None:
    told = TellPayee(real_name=words["real"], id_number=words["id"])
    payees.tell(told, member_id=member_id, nonce=b"n" * 12, now=NOW)
    terms(fee_fixed_fen=0, tax={"rule": "monthly"})
    earn(500_00, owner=member_id)
    account: dict[str, Any] = {"name": words["real"], "number": words["account"], "bank": "ICBC"}
    row = approve(withdraw(500_00, method="bank", owner=member_id, account=account))
    paid = Ending(to="paid", reference="B-1", now=NOW + DAY, also_from=("approved",))
    withdrawals.end(withdrawals.show(row.withdrawal_id), paid)


def texts(client: Any, *names: str) -> str:
    """Both tables as they are, as one text to look through."""
    from tests.harness.rows import rows

    return "\n".join(str(row) for name in names or ("truth", "traffic") for row in rows(client, name))


def member_row(member_id: str) -> Any:
    """The member's own row."""
    return table.get(members.Member, members.Member.key(member_id))
