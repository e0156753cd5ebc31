"""Leaving (注销): a member asks to be erased, may change their mind for fifteen days, and is then nobody.

GB/T 35273-2020, 8.5, has a request to close an account dealt with within fifteen working days, and the personal
information erased or made anonymous; the Personal Information Protection Law (个人信息保护法, art. 47, 50) has it
erased on request, unless a period that a law sets is not over. Fifteen days are always within fifteen working days.

    waiting → closing → erasing → erased          closing → waiting, when something stands in the way after all

What a member must end first is asked of every room, when they ask and again when the time has come. No join of a
group asks whether its member is leaving: that would be a row more. So the job closes the doors first, ``closing``,
and asks for the last time when whatever came through them is over: a session is refused after twenty seconds, and
no function runs for longer than a minute. Only then nothing is taken back any more. Each room erases its own, as
often as it is asked; then the identities go, so that the same person is another member from then on; at last what
the member's row says of them. The id stays, as a name that means nobody, in ledgers, orders and commissions.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pynamodb.expressions.update import Action

from chalicelib.core import deliveries, due, estates, facts, table
from chalicelib.core.clock import DAY, MINUTE
from chalicelib.core.config import settings
from chalicelib.core.errors import Conflict, NotFound
from chalicelib.core.estates import Obstacle
from chalicelib.core.table import Write
from chalicelib.core.telemetry import count, logger
from chalicelib.members import returning, service
from chalicelib.members.models import Blocked, Identity, Leaving, Member
from chalicelib.members.service import HERE
from chalicelib.operators import stuck

JOB = "leave"
CHANGE_OF_MIND_S = 15 * DAY
CLOSING_S = 2 * MINUTE
POSTPONED_S = DAY
AGAIN_S = 10 * MINUTE
ROUNDS = 50
DELETED = "deleted"
"""Why the mall's word blocks a member: it keeps nobody from coming back."""


class DeletionObstructed(Conflict):
    """Something must end first: ``details.obstacles``, each with its ``code`` and what it is about."""

    code = "deletion_obstructed"
    en = "Some things must be finished before the account can be closed."
    zh = "账号存在未完成的事项，暂时无法注销。"
    advice = "List `details.obstacles`, each with a way to it; ask again when they are gone."


class DeletionBegun(Conflict):
    """The time to change one's mind is over."""

    code = "deletion_begun"
    en = "This account is being erased already."
    zh = "账号已开始注销，无法撤回。"
    advice = "Drop the session; signing in later makes a new account."


class _Moved(Exception):
    """Somebody else was first."""


def _moved(_: Any) -> Exception:
    return _Moved()


# --- asking and taking back ---------------------------------------------------------------------------------


def find(member_id: str) -> Leaving | None:
    """Whether a member is to be erased, and how far that is."""
    return table.get(Leaving, Leaving.key(member_id))


def in_the_way(member_id: str, *, forfeit: bool, now: int) -> list[Obstacle]:
    """What a member must end first; money that they gave up does not stand in the way.

    Raises:
        NotFound: there is no such member.
    """
    found = [one for name in service.names_of(member_id) for one in estates.obstacles(name, now=now)]
    return [one for one in found if not (forfeit and one.details.get("forfeit"))]


def told(obstacles: Sequence[Obstacle]) -> list[dict[str, Any]]:
    """Obstacles as JSON."""
    return [{"code": one.code, "details": dict(one.details)} for one in obstacles]


def ask(member_id: str, *, forfeit: bool, now: int) -> tuple[Leaving, bool]:
    """Be erased in fifteen days, and whether this call said so; asked already, it is as it was.

    Raises:
        DeletionObstructed: something must end first. NotFound: there is no such member.
    """
    row = find(member_id)
    if row is None:
        obstacles = in_the_way(member_id, forfeit=forfeit, now=now)
        if obstacles:
            raise DeletionObstructed(obstacles=told(obstacles))
        return _begun(member_id, forfeit=forfeit, at=now + CHANGE_OF_MIND_S, now=now)
    if forfeit and not row.forfeit:
        given_up = table.update(
            Leaving,
            (row.pk, row.sk),
            Leaving.forfeit.set(True),
            when=Leaving.state == "waiting",
            refuse=_moved,
        )
        with suppress(_Moved):
            return _as_written(given_up), False
        row = find(member_id) or row
    return row, False


def at_once(member_id: str, *, now: int) -> Leaving:
    """Be erased as soon as nothing stands in the way, on the mall's word; nobody gave up any money by it.

    Raises:
        NotFound: there is no such member, or they are being erased.
    """
    row, made = _begun(member_id, forfeit=False, at=now, now=now)
    if made or row.state != "waiting" or row.erase_at <= now:
        return row
    earlier = (Leaving.erase_at.set(now), *due.moved(job=JOB, pk=row.pk, at=now))
    still = Leaving.state == "waiting"
    with suppress(_Moved):
        table.transact(
            [
                table.update(Leaving, (row.pk, row.sk), *earlier, when=still, refuse=_moved),
                table.update(Member, Member.key(member_id), Member.leaving_at.set(now), refuse=NotFound),
            ]
        )
    return find(member_id) or row


def take_back(member_id: str, *, now: int) -> None:
    """Stay a member; who has not asked to leave does anyway.

    Raises:
        DeletionBegun: the fifteen days are over.
    """
    gone = table.delete(
        Leaving,
        Leaving.key(member_id),
        when=Leaving.state == "waiting",
        refuse=lambda row: _Moved() if row is None else DeletionBegun(),
    )
    stays = table.update(Member, Member.key(member_id), Member.leaving_at.remove(), refuse=NotFound)
    with suppress(_Moved):
        table.transact([gone, stays])


def _begun(member_id: str, *, forfeit: bool, at: int, now: int) -> tuple[Leaving, bool]:
    pk, sk = Leaving.key(member_id)
    told = {"member_id": member_id, "asked_at": now, "erase_at": at, **due.slot(job=JOB, pk=pk, at=at)}
    row = Leaving(pk, sk, state="waiting", forfeit=forfeit, **told)
    here = Member.state.is_in(*HERE)
    marked = table.update(
        Member, Member.key(member_id), Member.leaving_at.set(at), when=here, refuse=NotFound
    )
    try:
        table.transact([table.create(row), marked])
    except table.Taken as first:
        return first.row, False
    return row, True


def _as_written(write: Write) -> Leaving:
    row = table.apply(write)
    assert isinstance(row, Leaving)
    return row


# --- the job ------------------------------------------------------------------------------------------------


@due.handles(JOB)
def go_on(entry: due.Entry, now: int) -> None:
    """The next step of a member's leaving, if it is due; done by another meanwhile, nothing."""
    row = table.get(Leaving, (entry.pk, entry.sk))
    if row is None or row.due_at is None or row.due_at > now:
        return
    with suppress(_Moved):
        {"waiting": _close, "closing": _decide, "erasing": _erase}[row.state or ""](row, now)


def _close(row: Leaving, now: int) -> None:
    """Close the doors to a member whose time has come, or let them wait a day for what stands in the way."""
    obstacles = in_the_way(row.member_id, forfeit=row.forfeit, now=now)
    if obstacles:
        table.transact(_waiting_on(row, obstacles, Member.leaving_at.exists(), now=now))
        return
    member = service.show(row.member_id)
    if member.state not in HERE:
        raise NotFound(state=member.state)
    slot = due.moved(job=JOB, pk=row.pk, at=now + CLOSING_S)
    closing = _turned(row, Leaving.was.set(member.state), *slot, to="closing")
    leaves = _member(member.member_id, Member.state.set("leaving"), when=Member.state == member.state)
    table.transact([closing, leaves, _refused(row.member_id, "leaving", now=now)])
    service.forget(row.member_id)


def _decide(row: Leaving, now: int) -> None:
    """Nothing comes in any more: open the doors again for what came in before, or go on for good."""
    obstacles = in_the_way(row.member_id, forfeit=row.forfeit, now=now)
    if not obstacles:
        erasing = _as_written(_turned(row, *due.moved(job=JOB, pk=row.pk, at=now), to="erasing"))
        return _erase(erasing, now)
    back = Member.state == "leaving"
    reopened = _refused(row.member_id, None, now=now)
    if row.was == "active":
        reopened = Write(operation="Delete", row=reopened.row, when=None, refuse=NotFound)
    table.transact([*_waiting_on(row, obstacles, back, now=now, to=row.was), reopened])
    service.forget(row.member_id)
    return None


def _waiting_on(
    row: Leaving, obstacles: Sequence[Obstacle], when: Any, *, now: int, to: str | None = None
) -> list[Write]:
    """The writes after which a member waits a day more, and is told why."""
    logger.info("leaving is postponed", member=row.member_id, codes=[one.code for one in obstacles])
    count("LeavingPostponed")
    at = now + POSTPONED_S
    later = (Leaving.erase_at.set(at), Leaving.obstacles.set(told(obstacles)), Leaving.was.remove())
    waiting = _turned(row, *later, *due.moved(job=JOB, pk=row.pk, at=at), to="waiting")
    state = [] if to is None else [Member.state.set(to)]
    return [waiting, _member(row.member_id, Member.leaving_at.set(at), *state, when=when)]


def _turned(row: Leaving, *actions: Any, to: str) -> Write:
    as_read = (Leaving.state == row.state) & (Leaving.due_at == row.due_at)
    return table.update(
        Leaving, (row.pk, row.sk), Leaving.state.set(to), *actions, when=as_read, refuse=_moved
    )


def _member(member_id: str, *actions: Any, when: Any) -> Write:
    return table.update(Member, Member.key(member_id), *actions, when=when, refuse=_moved)


def _refused(member_id: str, state: str | None, *, now: int) -> Write:
    """The write that refuses a member's sessions; it stays until each of them is over."""
    ttl = now + (settings().session_days + 1) * DAY
    row = Blocked(*Blocked.key(member_id), state=state, ttl=ttl)
    return Write(operation="Put", row=row, when=None, refuse=NotFound)


# --- erasing ------------------------------------------------------------------------------------------------


def _erase(row: Leaving, now: int) -> None:
    """Let every room erase its own, then the identities go, then what the member's own row says."""
    names = service.names_of(row.member_id)
    for room, erase in estates.erasures().items():
        if not all(_all_gone(erase, name, now) for name in names):
            logger.info("a room has more to erase", member=row.member_id, room=room)
            table.apply(_turned(row, *due.moved(job=JOB, pk=row.pk, at=now + AGAIN_S), to="erasing"))
            return
    member = service.show(row.member_id)
    for proof in sorted(member.identities or ()):
        _forget_proof(member, proof, was=row.was or "", now=now)
    # What is owed of the member, to the mall that they are one, happens before it is replaced.
    facts.hand_on(member, now=now)
    for name in names[1:]:
        table.apply(_member(name, *_how_they_came(), when=Member.state == "merged"))
    table.transact(_nobody(row, service.show(row.member_id), now=now))
    service.forget(row.member_id)


def _all_gone(erase: estates.Erase, member_id: str, now: int) -> bool:
    return any(not erase(member_id, now) for _ in range(ROUNDS))


def _forget_proof(member: Member, proof: str, *, was: str, now: int) -> None:
    """From now on who brings this proof is somebody else; gone already, nothing changes."""
    blocked = was == "blocked" and member.blocked_because != DELETED
    gone = table.delete(
        Identity, Identity.key(proof), when=Identity.member_id == member.member_id, refuse=_moved
    )
    with suppress(_Moved):
        table.transact([gone, returning.noted(member, proof, blocked=blocked, now=now)])


def _nobody(row: Leaving, member: Member, *, now: int) -> list[Write]:
    """The last writes: the member's row says nothing of them any more, and that is owed as a fact."""
    personal = (
        Member.nickname,
        Member.nickname_pending,
        Member.avatar,
        Member.avatar_url,
        Member.identities,
        Member.tags,
        Member.blocked_because,
        Member.leaving_at,
    )
    fields = [*(attribute.remove() for attribute in personal), *_how_they_came()]
    owed = facts.owing("member.erased", pk=member.pk, now=now)
    nothing_else = (Member.state == "leaving") & facts.unowed(member)
    nobody = _member(member.member_id, Member.state.set("erased"), *fields, *owed, when=nothing_else)
    erased = (Leaving.erased_at.set(now), Leaving.obstacles.remove(), *due.emptied())
    return [nobody, _turned(row, *erased, to="erased")]


def _how_they_came() -> list[Action]:
    return [Member.came_link.remove(), Member.came_visit.remove()]


stuck.trouble(stuck.Trouble(job=JOB, en="A member who could not be erased", zh="未能完成的账号注销"))


@facts.reaction("member.erased", name="members.tell_mall_erased")
def tell_mall(member: Member, now: int) -> Sequence[Write]:
    """The mall learns that this member is nobody any more."""
    data = {"member_id": member.member_id}
    return deliveries.owe("member.deleted", cause=[member.member_id], data=data, now=now)


# --- what members keep --------------------------------------------------------------------------------------


@estates.exports("members")
def export(member_id: str, now: int) -> dict[str, Any]:
    """The member's own rows, and which messages the mall had about them."""
    row = find(member_id)
    return {
        "member": estates.told(service.show(member_id)),
        "deletion": None if row is None else estates.told(row),
        "told_to_the_mall": estates.listed(f"{member_id}#deliveries", without=("to",)),
    }


@estates.hands_over("members")
def hand_over(member_id: str, into: str, now: int) -> bool:
    """Who asked to be erased and became another has changed their mind: it is the other who would have to ask."""
    row = find(member_id)
    if row is None or row.state != "waiting":
        return False
    waits = Leaving.state == "waiting"
    with suppress(_Moved):
        table.apply(table.delete(Leaving, (row.pk, row.sk), when=waits, refuse=_moved))
    return True
