"""The rules of members: registering once, profiles, blocking, programs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from msgspec.structs import replace
from pynamodb.expressions.update import Action

from chalicelib.core import deliveries, doors, facts, ids, session, table
from chalicelib.core.cache import Cache
from chalicelib.core.clock import DAY
from chalicelib.core.config import settings
from chalicelib.core.errors import AppError, Busy, Conflict, Invalid, NotFound, Unauthorized
from chalicelib.core.table import Row, Write
from chalicelib.core.telemetry import count, logger
from chalicelib.members import merging, returning, rules
from chalicelib.members.models import Blocked, Erased, Identity, Program, ProgramCount
from chalicelib.members.models import Member as Member  # noqa: PLC0414 - other rooms name what they are given
from chalicelib.members.schemas import AddProgram, EditProgram, HandOver, MemberRef
from chalicelib.operators import service as operators
from chalicelib.safety import service as safety
from chalicelib.uploads import service as uploads
from chalicelib.wechat.client import App

PROGRAMS_AT_MOST = 10
BLOCKED_FRESH_FOR_S = 20
ROUNDS = 8
HERE = ("active", "blocked")
"""The states of a member who is not being erased."""


class MemberBlocked(AppError):
    """This member was blocked by the shop."""

    status = 403
    code = "member_blocked"
    en = "This account is blocked. Please contact the shop."
    zh = "该账号已被停用，请联系商家。"
    advice = "Show the message and how to reach the service desk; drop the session."


class MemberLeaving(AppError):
    """This member is being erased, or has just been."""

    status = 403
    code = "member_leaving"
    en = "This account is being erased. Please come back in some minutes."
    zh = "该账号正在注销，请稍后再试。"
    advice = "Drop the session; signing in some minutes later makes a new account."


class TooManyPrograms(Conflict):
    """A brand has ten programs at most."""

    code = "too_many_programs"
    en = "There are ten programs already."
    zh = "小程序数量已达上限（10 个）。"
    advice = "Remove a program first."


class PhoneTaken(Conflict):
    """The phone number is another member's; two people may share a phone, so that nobody is merged for it."""

    code = "phone_taken"
    en = "This phone number belongs to another account."
    zh = "该手机号已绑定其他账号。"
    advice = "Show the message and how to reach the service desk."


class ProgramExists(Conflict):
    """There is a program under this id already."""

    code = "program_exists"
    en = "There is a program with this id already."
    zh = "该小程序编号已存在。"
    advice = "Edit it with PUT instead."


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """The link and the visit that a new member came by."""

    link: str
    visit_id: str


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """What another system knew of a member, or we before they were erased: they are no new member, and nothing is
    given for it, or told.
    """

    registered_at: int
    nickname: str | None = None
    avatar_url: str | None = None
    tags: frozenset[str] = frozenset()
    returned: bool = False


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What other rooms may show of a member; ``avatar`` by `uploads.service.url_of`."""

    member_id: str
    nickname: str | None
    avatar: str | None
    active: bool


_profiles: Cache[Profile | None] = Cache(size=5000)
_blocked: Cache[dict[str, Blocked]] = Cache(for_s=BLOCKED_FRESH_FOR_S)
_programs: Cache[dict[str, Program]] = Cache()


# --- signing in ---------------------------------------------------------------------------------------------


def find_or_register(
    *,
    proofs: Sequence[str],
    program_id: str,
    now: int,
    came: Came | None = None,
    also: Callable[[str], Sequence[Write]] = lambda _: (),
    brought: Brought | None = None,
    session_key: str | None = None,
) -> tuple[Member, bool]:
    """The member whom ``proofs`` prove, and whether they are new, or ``brought`` from another system now.

    A new member is registered in one transaction over the identity rows, so that two first sign-ins at once make
    one member; ``also`` gives the writes that must happen with it, by member id. Proofs not seen before are
    attached to the member whom the first known proof names. Two members who prove to be one become one first. Who
    was erased before is registered as somebody known. ``session_key`` is the one that WeChat has now with the
    openid that is the first proof.

    Raises:
        MemberBlocked: the shop blocked them, or had when they were erased. MemberLeaving. What the writes of
        ``also`` refuse.
    """
    unknown_at_first = None
    for _ in range(ROUNDS):
        known, former = _looked_up(proofs, now=now)
        found = next((row for row in known if row is not None), None)
        unknown_at_first = found is None and former is None if unknown_at_first is None else unknown_at_first
        try:
            if found is None:
                told = _came_back(former) or brought
                member = _new(proofs, program_id=program_id, now=now, came=came, brought=told)
                with_it = () if former else also(member.member_id)
                return _register(member, proofs, with_it, session_key), former is None
            missing = [proof for proof, row in zip(proofs, known, strict=True) if row is None]
            if _became_one(proofs, known, now=now):
                continue
            member = _welcome(_attach(found.member_id, missing))
            _keep_session_key(proofs[0], known[0], session_key)
            return member, unknown_at_first
        except (table.Taken, merging.Changed):
            continue  # somebody else registered, attached or merged the same person meanwhile: look again
    raise Busy


def _looked_up(proofs: Sequence[str], *, now: int) -> tuple[list[Identity | None], Erased | None]:
    """Whom these proofs prove now, and whom they once did, in one read."""
    traces = [(Erased, returning.key_of(proof, now=now)) for proof in proofs]
    rows = table.get_many([*((Identity, Identity.key(proof)) for proof in proofs), *traces])
    return rows[: len(proofs)], returning.former(rows[len(proofs) :], now=now)


def _came_back(former: Erased | None) -> Brought | None:
    if former is None:
        return None
    if former.blocked:
        raise MemberBlocked
    return Brought(registered_at=former.registered_at, returned=True)


def _new(
    proofs: Sequence[str], *, program_id: str, now: int, came: Came | None, brought: Brought | None
) -> Member:
    member_id = ids.ulid("mbr", now=now, entropy=ids.entropy(now=now))
    pk, sk = Member.key(member_id)
    return Member(
        pk,
        sk,
        member_id=member_id,
        state="active",
        identities=set(proofs),
        program_id=program_id,
        came_link=came.link if came else None,
        came_visit=came.visit_id if came else None,
        **(_as_brought(brought) if brought else _as_registered(pk, now=now)),
    )


def _as_registered(pk: str, *, now: int) -> dict[str, Any]:
    return {"registered_at": now, **facts.owed("member.registered", pk=pk, rev=1, now=now)}


def _as_brought(brought: Brought) -> dict[str, Any]:
    """A row that does not begin at its first revision is no fact (`facts.read`)."""
    told = {"nickname": brought.nickname, "avatar_url": brought.avatar_url, "tags": set(brought.tags) or None}
    back = {"returned": brought.returned or None}
    return {"registered_at": brought.registered_at, "rev": 2, **told, **back}


def _register(
    member: Member, proofs: Sequence[str], also: Sequence[Write], session_key: str | None
) -> Member:
    identities = [Identity(*Identity.key(proof), member_id=member.member_id) for proof in proofs]
    identities[0].session_key = session_key
    table.transact([*(table.create(row) for row in identities), table.create(member), *also])
    return member


def _keep_session_key(proof: str, known: Identity | None, session_key: str | None) -> None:
    """The newest is the one that the phone's data is encrypted with; most sign-ins bring the one that is there."""
    if session_key is not None and (known is None or known.session_key != session_key):
        change = Identity.session_key.set(session_key)
        table.apply(table.update(Identity, Identity.key(proof), change, refuse=NotFound))


def _attach(member_id: str, missing: Sequence[str]) -> Member:
    if not missing:
        return _unmerged(show(member_id))
    identities = [table.create(Identity(*Identity.key(proof), member_id=member_id)) for proof in missing]
    key, more = Member.key(member_id), Member.identities.add(set(missing))
    here = Member.state.is_in(*HERE)
    table.transact([*identities, table.update(Member, key, more, when=here, refuse=_not_here)])
    return _unmerged(show(member_id))


def _not_here(member: Member | None) -> Exception:
    return merging.Changed() if member is not None and member.state == "merged" else MemberLeaving()


def _unmerged(member: Member) -> Member:
    if member.state == "merged":
        raise merging.Changed
    return member


def _welcome(member: Member) -> Member:
    if member.state == "blocked":
        raise MemberBlocked
    if member.state not in HERE:
        raise MemberLeaving
    return member


def _became_one(proofs: Sequence[str], known: Sequence[Identity | None], *, now: int) -> bool:
    """Whether two of the members whom these proofs name are one now; those who stay two are logged."""
    named = {proof: row.member_id for proof, row in zip(proofs, known, strict=True) if row is not None}
    if len(set(named.values())) == 1:
        return False
    pair = merging.pair(named)
    if pair is None:
        count("IdentitiesDiffer")
        logger.warning("proofs of one sign-in name several members", members=sorted(set(named.values())))
        return False
    if pair.into.state == "blocked":
        raise MemberBlocked
    merging.merge(pair, now=now)
    for member in (pair.member, pair.into):
        _profiles.forget(member.member_id)
    _blocked.clear()
    return True


# --- sessions -----------------------------------------------------------------------------------------------


def visitor_key(proofs: Sequence[str]) -> str:
    """What tells a person apart when visits are counted: the same at signing in and afterwards."""
    return ids.derived("vis", proofs[-1])


def token_for(member: Member, *, program_id: str, visitor: str, now: int) -> tuple[str, int]:
    """A session token and when it ends."""
    for_s = settings().session_days * DAY
    claims = {"sub": member.member_id, "prg": program_id, "vst": visitor}
    return session.sign(claims, purpose="session", now=now, for_s=for_s), now + for_s


def admit(token: str, now: int) -> doors.Session:
    """The guard of the member door.

    Raises:
        Unauthorized: not a session of ours, or one of who is erased. MemberBlocked: within 30 seconds of the block.

    A session of a member who was merged is, within 30 seconds, one of whom they were merged into.
    """
    claims = session.verify(token, purpose="session", now=now)
    try:
        admitted = doors.Session(member_id=claims["sub"], program_id=claims["prg"], visitor=claims["vst"])
    except KeyError as incomplete:
        raise Unauthorized from incomplete
    blocked = _blocked.get("all", now=now, load=_read_blocked)
    while (member_id := admitted.member_id) in blocked:
        admitted = replace(admitted, member_id=_who_is_there(blocked[member_id]))
    return admitted


def _read_blocked() -> dict[str, Blocked]:
    return {row.sk: row for row in table.query_all(Blocked, "BLOCKED")}


def _who_is_there(row: Blocked) -> str:
    if row.state == "leaving":
        raise Unauthorized
    if row.merged_into is None:
        raise MemberBlocked
    return str(row.merged_into)


def forget(member_id: str) -> None:
    """Read a member anew, and who is refused, after this process changed them."""
    _profiles.forget(member_id)
    _blocked.clear()


# --- profiles -----------------------------------------------------------------------------------------------


def show(member_id: str) -> Member:
    """The member as they are now.

    Raises:
        NotFound: there is none of this id.
    """
    member = table.get(Member, Member.key(member_id))
    if member is None:
        raise NotFound
    return member


def survivor(member_id: str) -> Member:
    """The member as they are now, or whom they were merged into.

    Raises:
        NotFound: there is none of this id.
    """
    member = merging.survivor(member_id)
    if member is None:
        raise NotFound
    return member


def is_active(member_id: str, *, now: int) -> bool:
    """Whether there is such a member and they are not blocked, as of the last 30 seconds."""
    found = profile(member_id, now=now)
    return found is not None and found.active


def names_of(member_id: str) -> list[str]:
    """The ids by which a member may have taken something: their own first, then of those who became them.

    Raises:
        NotFound: there is none of this id.
    """
    return [member_id, *sorted(show(member_id).formerly or ())]


def since_then(member_id: str) -> Iterator[str]:
    """Where to look for what was a member's: under their own id, then under that of whom they became meanwhile.

    The second is read when it is asked for: what went over is not there before it is no longer here.
    """
    yield member_id
    became = merging.survivor(member_id)
    if became is not None and became.member_id != member_id:
        yield became.member_id


def now_called(member_id: str, *, now: int) -> str:
    """Whom a member was merged into, as of the last 30 seconds; mostly themselves."""
    found = profile(member_id, now=now)
    return found.member_id if found is not None else member_id


def profile(member_id: str, *, now: int) -> Profile | None:
    """What may be shown of a member, at most 30 seconds old; None when there is none.

    Of one who was merged it is what is shown of whom they became: so are they called in rows that still name them.
    """

    def load() -> Profile | None:
        member = merging.survivor(member_id)
        return _shown(member) if member is not None else None

    return _profiles.get(member_id, now=now, load=load)


def make_ready(member_ids: Sequence[str], *, now: int) -> None:
    """Read in one go what `profile` is going to be asked for."""
    unknown = [one for one in member_ids if _profiles.peek(one, now=now) is None]
    for member in those(unknown):
        if member.merged_into is None:
            _profiles.put(member.member_id, _shown(member), now=now)


def _shown(member: Member) -> Profile:
    return Profile(
        member_id=member.member_id,
        nickname=member.nickname,
        avatar=avatar_of(member),
        active=member.state == "active",
    )


def avatar_of(member: Member) -> str | None:
    """Their picture, for `uploads.service.url_of`."""
    return member.avatar or member.avatar_url


def known(member_ids: Sequence[str]) -> set[str]:
    """Which of these ids, a hundred at most, are of members who are not erased."""
    rows = table.get_many([(Member, Member.key(one)) for one in member_ids])
    return {row.member_id for row in rows if row is not None and row.state in HERE}


def whose(proofs: Sequence[str]) -> dict[str, str]:
    """The ids of the members whom these proofs prove, by proof, of those that are known."""
    rows = table.get_all([(Identity, Identity.key(proof)) for proof in proofs])
    return {proof: row.member_id for proof, row in zip(proofs, rows, strict=True) if row is not None}


def those(member_ids: Sequence[str]) -> list[Member]:
    """The members of these ids as they are now, those that there are."""
    rows = table.get_all([(Member, Member.key(one)) for one in dict.fromkeys(member_ids)])
    return [row for row in rows if row is not None]


def edit(*, member_id: str, nickname: str | None = None, avatar: str | None = None) -> Member:
    """Change what was given; the same again changes nothing. ``avatar`` is an upload of theirs.

    Raises:
        NotFound: there is no such member, or they are being erased. Invalid: no picture of theirs for this.
    """
    named: list[Action] = []
    if nickname is not None:
        named = [Member.nickname.set(nickname), Member.nickname_pending.remove()]
    return _edited(member_id, [*named, *_pictured(member_id, avatar)])


def _pictured(member_id: str, avatar: str | None) -> list[Action]:
    if avatar is None:
        return []
    arrived = uploads.arrived(avatar, member_id=member_id, purpose="avatar", field="avatar")
    return [Member.avatar.set(arrived), Member.avatar_url.remove()]


def _edited(member_id: str, changes: Sequence[Action], others: Sequence[Write] = ()) -> Member:
    if not changes:
        return show(member_id)
    here = Member.state.is_in(*HERE)
    change = table.update(Member, Member.key(member_id), *changes, when=here, refuse=NotFound)
    if others:
        table.transact([change, *others])
        member: Row = show(member_id)
    else:
        member = table.apply(change)
    _profiles.forget(member_id)
    assert isinstance(member, Member)
    return member


def present(
    *, member_id: str, program_id: str, nickname: str | None = None, avatar: str | None = None, now: int
) -> Member:
    """Say who one is to others: all of it, or nothing. A nickname that could not be checked yet is pending, and
    seen by nobody else until it is.

    Raises:
        NotFound: there is no such member. Invalid: no picture of theirs for this. ContentRefused: the nickname must
        not be shown to others.
    """
    named, checks = _named(member_id, program_id, nickname, now=now)
    return _edited(member_id, [*named, *_pictured(member_id, avatar)], checks)


def _named(
    member_id: str, program_id: str, nickname: str | None, *, now: int
) -> tuple[list[Action], Sequence[Write]]:
    if nickname is None or (safety.on() and nickname in _names(member_id)):
        return [], ()
    thing = safety.Thing(room="members", ref=member_id, field="nickname", scene=safety.PROFILE)
    judged = safety.text(nickname, thing, lambda: writer(member_id, program_id, now), now=now)
    if judged.state == "pending":
        return [Member.nickname_pending.set(nickname)], judged.writes
    return [Member.nickname.set(nickname), Member.nickname_pending.remove()], ()


def _names(member_id: str) -> tuple[str | None, str | None]:
    """What is checked already, or is being checked."""
    member = show(member_id)
    return member.nickname, member.nickname_pending


@facts.errand("content.approved", name="members.name")
@facts.errand("content.rejected", name="members.do_not_name")
def _name(check: Any, now: int) -> None:
    """A nickname that was pending is the member's, or is not; unless they have said another since."""
    if check.room != "members" or check.state == "pending":
        return
    actions: list[Action] = [Member.nickname_pending.remove()]
    if check.state == "approved":
        actions.append(Member.nickname.set(check.content))
    waits = Member.nickname_pending == check.content
    for member_id in since_then(check.ref):
        with suppress(_Switched):
            table.apply(
                table.update(
                    Member, Member.key(member_id), *actions, when=waits, refuse=lambda _: _Switched()
                )
            )
            _profiles.forget(member_id)
            return
    logger.info("they have said another name since", member=check.ref)


def writer(member_id: str, program_id: str, now: int) -> safety.Writer:
    """A member as WeChat's checks want to know who wrote something."""
    try:
        as_known = app(program_id, now=now)
    except NotFound:
        return safety.Writer(member_id=member_id, program_id=program_id, app=None, openid=None)
    there = openid(member_id, program_id=program_id)
    return safety.Writer(member_id=member_id, program_id=program_id, app=as_known, openid=there)


def tag(member_id: str, *, tags: set[str], by: doors.Operator, now: int) -> Member:
    """Give a member these tags and no others; the same again changes nothing.

    Raises:
        NotFound: there is no such member, or they are being erased. Busy: somebody else changed them meanwhile.
    """
    before = show(member_id)
    if before.state not in HERE:
        raise NotFound
    if set(before.tags or ()) == tags:
        return before
    change = Member.tags.set(tags) if tags else Member.tags.remove()
    unchanged = Member.rev == before.rev
    audit = operators.recorded(
        by=by,
        action="member.tagged",
        subject=member_id,
        before=sorted(before.tags or ()),
        after=sorted(tags),
        now=now,
    )
    table.transact([table.update(Member, Member.key(member_id), change, when=unchanged, refuse=Busy), audit])
    return show(member_id)


def proofs_of(ref: MemberRef) -> list[str]:
    """The proofs in a reference of the mall, the mall's own id first.

    Raises:
        Invalid: it names nobody.
    """
    proofs = [rules.external_proof(ref.external_id)] if ref.external_id else []
    if ref.openid and ref.program_id:
        proofs.append(rules.openid_proof(program_id=ref.program_id, openid=ref.openid))
    if ref.unionid:
        proofs.append(rules.unionid_proof(ref.unionid))
    if not proofs:
        raise Invalid(field="member", reason="external_id, unionid, or program_id with openid is needed")
    return proofs


def referred(ref: MemberRef, *, now: int) -> Member:
    """The member whom the mall means; one who is not known yet is registered on the mall's word.

    Raises:
        Invalid: it names nobody. MemberBlocked: the shop blocked them.
    """
    program_id = ref.program_id or ""
    return find_or_register(proofs=proofs_of(ref), program_id=program_id, now=now)[0]


def external_ids(member_id: str) -> list[str]:
    """The mall's own ids of a member; none when the mall has not named them yet."""
    prefix = rules.external_proof("")
    return sorted(
        proof.removeprefix(prefix)
        for proof in survivor(member_id).identities or ()
        if proof.startswith(prefix)
    )


def openid(member_id: str, *, program_id: str) -> str | None:
    """Who WeChat says a member is in a program; None where they never signed in there."""
    return rules.openid_in(program_id, survivor(member_id).identities or ())


def session_key(member_id: str, *, program_id: str) -> str | None:
    """The key of a member's newest session with WeChat in a program, for decrypting; it is told to nobody."""
    there = openid(member_id, program_id=program_id)
    if there is None:
        return None
    row = table.get(Identity, Identity.key(rules.openid_proof(program_id=program_id, openid=there)))
    return row.session_key if row is not None else None


def add_phone(member_id: str, number: str) -> Member:
    """Note that a phone number, such as +8613800138000, is a member's; again, nothing changes.

    Raises:
        PhoneTaken: it proves who somebody else is. NotFound: there is no such member. MemberLeaving. Busy: they
        have just become another.
    """
    proof = rules.phone_proof(number)
    try:
        return _attach(member_id, [proof])
    except merging.Changed as merged:
        raise Busy from merged
    except table.Taken as first:
        if first.row.member_id != member_id:
            raise PhoneTaken from first
        return show(member_id)


def find(*, proof: str) -> Member:
    """The member whom this proof names.

    Raises:
        NotFound: nobody brought it yet.
    """
    identity = table.get(Identity, Identity.key(proof))
    if identity is None:
        raise NotFound
    return show(identity.member_id)


# --- blocking -----------------------------------------------------------------------------------------------


def block(*, member_id: str, reason: str, by: doors.Operator, now: int) -> None:
    """Refuse a member, or whom they became, from now on, everywhere within 30 seconds; blocked already, nothing
    changes.

    Raises:
        NotFound: there is no such member.
    """
    member = survivor(member_id)
    if member.state == "blocked":
        return
    member_id = member.member_id
    ttl = now + (settings().session_days + 1) * DAY
    _switch(
        member_id,
        Write(operation="Put", row=Blocked(*Blocked.key(member_id), ttl=ttl), when=None, refuse=Busy),
        Member.blocked_because.set(reason),
        before="active",
        after="blocked",
        audit=operators.recorded(
            by=by, action="member.blocked", subject=member_id, before=None, after={"reason": reason}, now=now
        ),
    )


def unblock(*, member_id: str, reason: str, by: doors.Operator, now: int) -> None:
    """Let a blocked member in again, within 30 seconds; not blocked, nothing changes.

    Raises:
        NotFound: there is no such member.
    """
    member = survivor(member_id)
    if member.state != "blocked":
        return
    member_id = member.member_id
    # The row may have been swept: deleting what is not there is as good.
    _switch(
        member_id,
        Write(operation="Delete", row=Blocked(*Blocked.key(member_id)), when=None, refuse=Busy),
        Member.blocked_because.remove(),
        before="blocked",
        after="active",
        audit=operators.recorded(
            by=by,
            action="member.unblocked",
            subject=member_id,
            before=None,
            after={"reason": reason},
            now=now,
        ),
    )


class _Switched(Exception):
    """Somebody else was first."""


def _switch(member_id: str, listed: Write, change: Action, *, before: str, after: str, audit: Write) -> None:
    key = Member.key(member_id)
    switched = table.update(
        Member,
        key,
        Member.state.set(after),
        change,
        when=Member.state == before,
        # Who was merged a moment ago is another by now: asked again, that one is switched.
        refuse=lambda row: Busy() if row is not None and row.state == "merged" else _Switched(),
    )
    try:
        table.transact([switched, listed, audit])
    except _Switched:
        logger.info("the member was switched by another", member=member_id)
    forget(member_id)


# --- programs -----------------------------------------------------------------------------------------------


def programs(*, now: int) -> dict[str, Program]:
    """The brand's programs by id, at most 30 seconds old."""

    def load() -> dict[str, Program]:
        rows = table.query_all(Program, "PROGRAMS")
        return {row.program_id: row for row in rows if isinstance(row, Program)}

    return _programs.get("all", now=now, load=load)


def program(program_id: str, *, now: int) -> Program:
    """One program.

    Raises:
        NotFound: the brand has none of this id.
    """
    found = programs(now=now).get(program_id)
    if found is None:
        raise NotFound(program_id=program_id)
    return found


def app(program_id: str, *, now: int) -> App:
    """A program as WeChat knows it.

    Raises:
        NotFound: the brand has none of this id.
    """
    found = program(program_id, now=now)
    return App(appid=found.appid, secret_name=found.secret_name)


def add_program(given: AddProgram, *, by: doors.Operator, now: int) -> Program:
    """A new program of the brand; the same again answers with the one that is there.

    Raises:
        ProgramExists: another program has this id. TooManyPrograms: there are ten.
    """
    row = _program_row(given.program_id, given)
    counted = table.upsert(
        ProgramCount,
        ProgramCount.key(),
        ProgramCount.n.add(1),
        when=ProgramCount.pk.does_not_exist() | (ProgramCount.n < PROGRAMS_AT_MOST),
        refuse=TooManyPrograms,
    )
    try:
        table.transact([table.create(row), counted, _audit("program.added", None, row, by=by, now=now)])
    except table.Taken as first:
        if _told(first.row) != _told(row):
            raise ProgramExists(program_id=given.program_id) from first
    _programs.clear()
    return row


def edit_program(program_id: str, given: EditProgram, *, by: doors.Operator, now: int) -> Program:
    """The program with all it is told anew.

    Raises:
        NotFound: there is none of this id.
    """
    before = table.get(Program, Program.key(program_id))
    if before is None:
        raise NotFound
    row = _program_row(program_id, given)
    if _told(row) == _told(before):
        return before
    row.rev = before.rev + 1
    replaced = Write(operation="Put", row=row, when=Program.rev == before.rev, refuse=Busy)
    table.transact([replaced, _audit("program.edited", before, row, by=by, now=now)])
    _programs.clear()
    return row


def remove_program(program_id: str, *, by: doors.Operator, now: int) -> None:
    """Take a program away; members who came through it stay.

    Raises:
        NotFound: there is none of this id.
    """
    before = table.get(Program, Program.key(program_id))
    if before is None:
        raise NotFound
    gone = table.delete(Program, Program.key(program_id), when=Program.rev == before.rev, refuse=Busy)
    fewer = table.update(ProgramCount, ProgramCount.key(), ProgramCount.n.add(-1), refuse=NotFound)
    table.transact([gone, fewer, _audit("program.removed", before, None, by=by, now=now)])
    _programs.clear()


def _program_row(program_id: str, given: EditProgram) -> Program:
    return Program(
        *Program.key(program_id),
        program_id=program_id,
        appid=given.appid,
        secret_name=given.secret_name,
        name=given.name,
        platform=given.platform,
        program_kind=given.kind,
        landing_page=given.landing_page,
        hand_overs=[{"program_id": one.program_id, "path": one.path} for one in given.hand_overs],
    )


def _told(row: Program) -> dict[str, object]:
    names = (
        "program_id",
        "appid",
        "secret_name",
        "name",
        "platform",
        "program_kind",
        "landing_page",
        "hand_overs",
    )
    return {name: getattr(row, name) for name in names}


def _audit(
    action: str, before: Program | None, after: Program | None, *, by: doors.Operator, now: int
) -> Write:
    row = after or before
    return operators.recorded(
        by=by,
        action=action,
        subject=row.program_id if row else "",
        before=before and _told(before),
        after=after and _told(after),
        now=now,
    )


def hand_overs(program_id: str, *, link: str, now: int) -> list[HandOver]:
    """Where the brand's other programs take over from this one, with the link in the path."""
    found = programs(now=now).get(program_id)
    given = found.hand_overs if found else []
    return [HandOver(program_id=one["program_id"], path=one["path"].replace("{link}", link)) for one in given]


# --- reactions ----------------------------------------------------------------------------------------------


@facts.reaction("member.registered", name="members.tell_mall")
def tell_mall(member: Member, now: int) -> Sequence[Write]:
    """The mall learns of a new member, whom it knows by its own id or by none yet."""
    data = {
        "member_id": member.member_id,
        "program_id": member.program_id,
        "registered_at": member.registered_at,
        "link": member.came_link,
    }
    return deliveries.owe("member.registered", cause=[member.member_id], data=data, now=now)
