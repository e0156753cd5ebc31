"""Two members who prove to be one person become one (A3): the openid's becomes the unionid's, once, for good.

WeChat's word alone merges: an openid and a unionid that one sign-in brings are of one account. Members stay two,
as it cannot be undone, where that is not the whole truth: the openid's member proves another unionid (two people,
one phone), or each has an id of the mall, which vouched for two accounts and keeps them apart.

Whoever is merged has no unionid, and whom they become has one: so no two become each other, and none who stays is
merged later; what follows ``merged_into`` relies on neither.

What the rooms have goes over in a job, since it can be much: soon, and again until nothing of before can arrive.
"""

import bisect
from collections.abc import Mapping

import msgspec
from pynamodb.expressions.update import Action

from chalicelib.core import deliveries, due, estates, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.config import settings
from chalicelib.core.errors import Busy
from chalicelib.core.table import Write
from chalicelib.core.telemetry import count, logger
from chalicelib.members import rules
from chalicelib.members.models import Blocked, Identity, Member, Merge
from chalicelib.operators import stuck

JOB = "merge"
LOOKS_S = (30, HOUR, DAY, 8 * DAY, 40 * DAY, 120 * DAY, 365 * DAY)
"""When it is looked for what is still the merged member's, after the merge. Their sessions act as them for 20
seconds more: what counts against a limit goes over when nobody can take anything more under the old name. Later, as
indexes lag, and older orders may still give them something, or take it back, until the end of any guarantee."""
STEPS_A_ROOM = 25
FOLLOWED = 8


class Changed(Exception):
    """One of the two was changed by another meanwhile: look again."""


class NotHandedOver(Exception):
    """Some rooms could not hand over what they have; the message names them."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """``member`` becomes ``into``, both as they were read."""

    member: Member
    into: Member


def pair(named: Mapping[str, str]) -> Pair | None:
    """Who of the members whom the proofs of one sign-in name, by proof, becomes whom; None when they stay apart."""
    unionid, openid = (_of_kind(named, kind) for kind in ("unionid#", "openid#"))
    if unionid is None or openid is None or unionid == openid:
        return None
    member, into = table.get_many([(Member, Member.key(one)) for one in (openid, unionid)])
    if member is None or into is None or "merged" in (member.state, into.state):
        raise Changed
    found = Pair(member=member, into=into)
    there = {member.state, into.state} <= {"active", "blocked"}
    return found if there and not _two_people(found) else None


def _of_kind(named: Mapping[str, str], kind: str) -> str | None:
    return next((member_id for proof, member_id in named.items() if proof.startswith(kind)), None)


def _two_people(pair: Pair) -> bool:
    external = rules.external_proof("")
    return _proves(pair.member, rules.unionid_proof("")) or (
        _proves(pair.member, external) and _proves(pair.into, external)
    )


def _proves(member: Member, kind: str) -> bool:
    return any(proof.startswith(kind) for proof in member.identities or ())


def survivor(member_id: str) -> Member | None:
    """The member of this id, or whom they were merged into in the end; None when there is none."""
    for _ in range(FOLLOWED):
        member = table.get(Member, Member.key(member_id))
        if member is None or member.merged_into is None:
            return member
        member_id = member.merged_into
    raise Busy


# --- the merge ----------------------------------------------------------------------------------------------


def merge(pair: Pair, *, now: int) -> None:
    """Let one member become another, in one transaction: what proved the one proves the other from now on.

    Who is blocked stays so: then the other is blocked as well.

    Raises:
        Changed: one of the two is not as they were read; also when they were merged already.
    """
    member, into = pair.member, pair.into
    proofs = sorted(member.identities or ())
    pk, sk = Merge.key(member.member_id)
    slot = due.slot(job=JOB, pk=pk, at=now + LOOKS_S[0])
    told = table.listed(f"{into.member_id}#merges", at=now, as_=member.member_id)
    row = Merge(
        pk,
        sk,
        state="moving",
        member_id=member.member_id,
        into=into.member_id,
        merged_at=now,
        look=0,
        **slot,
        **told,
    )
    table.transact(
        [
            table.create(row, refuse=lambda _: Changed()),
            _ended(pair, now=now),
            _grown(pair),
            *(_proof_moved(proof, pair) for proof in proofs),
            *_at_the_door(pair, now=now),
        ]
    )
    count("MembersMerged")
    logger.info("a member became another", member=member.member_id, into=into.member_id)


def _ended(pair: Pair, *, now: int) -> Write:
    personal = (
        Member.identities,
        Member.nickname,
        Member.nickname_pending,
        Member.avatar,
        Member.avatar_url,
        Member.tags,
        Member.blocked_because,
    )
    return _changed(
        pair.member,
        Member.state.set("merged"),
        Member.merged_into.set(pair.into.member_id),
        Member.merged_at.set(now),
        *(attribute.remove() for attribute in personal),
    )


def _grown(pair: Pair) -> Write:
    """The one who stays, with all that proves the other, and with what they had not told of themselves.

    They are a member since either was: nobody is new for having been two.
    """
    member = pair.member
    since = min(member.registered_at, pair.into.registered_at)
    actions: list[Action] = [
        Member.identities.add(set(member.identities or ())),
        Member.registered_at.set(since),
        Member.formerly.add({member.member_id, *(member.formerly or ())}),
    ]
    for attribute, value in ((Member.nickname, member.nickname), (Member.avatar_url, member.avatar_url)):
        if value is not None:
            actions.append(attribute.set(attribute | value))
    if member.nickname_pending is not None and pair.into.nickname is None:
        actions.append(Member.nickname_pending.set(Member.nickname_pending | member.nickname_pending))
    if member.avatar is not None and pair.into.avatar_url is None:
        actions.append(Member.avatar.set(Member.avatar | member.avatar))
    if member.tags:
        actions.append(Member.tags.add(set(member.tags)))
    if member.state == "blocked":
        actions += [Member.state.set("blocked"), Member.blocked_because.set(member.blocked_because or "")]
    return _changed(pair.into, *actions)


def _changed(member: Member, *actions: Action) -> Write:
    unchanged = Member.rev == member.rev
    key = Member.key(member.member_id)
    return table.update(Member, key, *actions, when=unchanged, refuse=lambda _: Changed())


def _proof_moved(proof: str, pair: Pair) -> Write:
    return table.update(
        Identity,
        Identity.key(proof),
        Identity.member_id.set(pair.into.member_id),
        when=Identity.member_id == pair.member.member_id,
        refuse=lambda _: Changed(),
    )


def _at_the_door(pair: Pair, *, now: int) -> list[Write]:
    """Sessions from before act as whom the member became, or are refused as they are."""
    ttl = now + (settings().session_days + 1) * DAY
    rows = [Blocked(*Blocked.key(pair.member.member_id), merged_into=pair.into.member_id, ttl=ttl)]
    if pair.member.state == "blocked":
        rows.append(Blocked(*Blocked.key(pair.into.member_id), ttl=ttl))
    return [Write(operation="Put", row=row, when=None, refuse=Busy) for row in rows]


# --- what the rooms have ------------------------------------------------------------------------------------


@due.handles(JOB)
def hand_over(entry: due.Entry, now: int) -> None:
    """Tell the mall, let every room hand over what it has of the member, and look again later.

    Raises:
        NotHandedOver: some rooms failed; all of them were asked.
    """
    row = table.get(Merge, (entry.pk, entry.sk))
    if row is None or row.state != "moving" or row.due_at != entry.due_at:
        return
    if owed := _told(row, now=now):
        table.transact(owed)
    more, failures = _handed_over(row, now=now)
    if failures:
        told = [f"{room}: {type(why).__name__}: {why}"[:200] for room, why in failures.items()]
        raise NotHandedOver("; ".join(told)) from next(iter(failures.values()))
    if not more:
        _look_again(row, now=now)


def _told(row: Merge, *, now: int) -> list[Write]:
    data = {"member_id": row.member_id, "into": row.into, "merged_at": row.merged_at}
    return deliveries.owe("member.merged", cause=[row.member_id], data=data, now=now)


def _handed_over(row: Merge, *, now: int) -> tuple[bool, dict[str, Exception]]:
    """Whether some room has more than it handed over now, and how rooms failed."""
    more, failures = False, dict[str, Exception]()
    for room, move in estates.hand_overs().items():
        try:
            more |= _emptied(move, row, now=now)
        except Exception as failure:
            logger.exception("hand-over failed", room=room, member=row.member_id)
            failures[room] = failure
    return more, failures


def _emptied(move: estates.HandOver, row: Merge, *, now: int) -> bool:
    """Ask a room until nothing is left, or it had its share of this run; answers whether there is more."""
    into = survivor(row.into)
    to = into.member_id if into is not None else row.into
    return all(move(row.member_id, to, now) for _ in range(STEPS_A_ROOM))


def _look_again(row: Merge, *, now: int) -> None:
    """Let the job look at the next of `LOOKS_S` that is still to come; after the last it ends."""
    look = bisect.bisect_right(LOOKS_S, now - row.merged_at)
    if look < len(LOOKS_S):
        then = due.moved(job=JOB, pk=row.pk, at=row.merged_at + LOOKS_S[look])
    else:
        then = [Merge.state.set("done"), *due.emptied()]
    again = table.update(
        Merge,
        (row.pk, row.sk),
        Merge.look.set(look),
        *then,
        when=Merge.look == row.look,
        refuse=lambda _: Changed(),
    )
    try:
        table.apply(again)
    except Changed:
        logger.info("another run looked", member=row.member_id)


stuck.trouble(
    stuck.Trouble(
        job=JOB, en="A merged member whose things did not all go over", zh="会员合并后未能完成转移", urgency=0
    )
)
