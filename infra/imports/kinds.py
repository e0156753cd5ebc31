"""What can be brought over, and how: each kind looks at all lines first, and then writes each by itself.

    members    external_id, openid, unionid (one of them), program_id, registered_at, nickname, avatar_url, tags
    points     member, points, growth, makeup_card, freeze_card: opening balances, once for a member and book
    coupons    member, template_id, ref: a coupon of a template that is on, once for member, template and ref
    grants     member, template_id, batch: one coupon for each member of a batch, given by its job while there are
               units; GET /v1/admin/coupons/{template_id}/grants/{batch} says how far it is, and who got none
    bindings   member, promoter, bound_at: whose customer a member is, who is nobody's yet, and since when
    promoters  member, tier: who earns from now on

``member`` is the mall's external_id, or our own id (mbr_…). Members who are brought over are not new: nothing is
given for it, and nobody is told. Points last as if earned now; a level that is reached brings what it brings.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cache, partial
from typing import Annotated, Any, Generic

import msgspec

from chalicelib.commissions import promoters, terms
from chalicelib.core import config, ledger, table
from chalicelib.core.doors import Operator
from chalicelib.core.errors import NotFound
from chalicelib.coupons import grants, templates
from chalicelib.coupons import service as coupons
from chalicelib.coupons.schemas import PART, Batch, GrantPart
from chalicelib.coupons.service import AlreadyGranted
from chalicelib.members import rules
from chalicelib.members import service as members
from chalicelib.members.schemas import HttpsUrl, Id, Proof, Tag
from chalicelib.members.service import Brought
from chalicelib.points import service as points
from chalicelib.sharing import attribution, policies
from infra.imports.sheets import L, Line

Amount = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Lines = Sequence[Line[L]]
BOOKS = ("points", "growth", "makeup_card", "freeze_card")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who asks, and when."""

    by: Operator
    now: int


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found of a line: it is ``wrong``, or ``there`` already, or ``write`` writes it."""

    number: int
    wrong: str | None = None
    write: Callable[[], object] | None = None

    @property
    def there(self) -> bool:
        """Whether nothing is to be done."""
        return self.wrong is None and self.write is None


@dataclass(frozen=True, kw_only=True)
class Kind(Generic[L]):
    """One kind of file: the values of its lines, and what looks at them."""

    line: type[L]
    look: Callable[[Lines[L], Asked], Iterable[Found]]


# --- members ------------------------------------------------------------------------------------------------


class MemberLine(msgspec.Struct, frozen=True, kw_only=True):
    """A member of another system; ``tags`` are parted by blanks."""

    program_id: Id
    registered_at: date
    external_id: Proof | None = None
    openid: Proof | None = None
    unionid: Proof | None = None
    nickname: Annotated[str, msgspec.Meta(max_length=32)] | None = None
    avatar_url: HttpsUrl | None = None
    tags: str = ""


def _proofs(line: MemberLine) -> list[str]:
    found = []
    if line.external_id is not None:
        found.append(rules.external_proof(line.external_id))
    if line.unionid is not None:
        found.append(rules.unionid_proof(line.unionid))
    if line.openid is not None:
        found.append(rules.openid_proof(program_id=line.program_id, openid=line.openid))
    return found


def look_at_members(lines: Lines[MemberLine], asked: Asked) -> Iterable[Found]:
    """Members are known by any of their identities; who is there already gets those that are new."""
    proofs = {line.number: _proofs(line.values) for line in lines if line.values}
    whose = members.whose([proof for some in proofs.values() for proof in some])
    times = Counter(proof for some in proofs.values() for proof in some)
    programs = members.programs(now=asked.now)
    for line, values in _good(lines):
        own = proofs[line.number]
        wrong = _wrong_member(values, own, whose, times, programs, asked)
        there = bool(own) and all(proof in whose for proof in own)
        yield _found(line, wrong=wrong, there=there, write=_bring(values, own, asked))


def _wrong_member(
    values: MemberLine,
    proofs: Sequence[str],
    whose: dict[str, str],
    times: Counter[str],
    programs: Any,
    asked: Asked,
) -> str | None:
    twice = [proof for proof in proofs if times[proof] > 1]
    bad_tags = [tag for tag in values.tags.split() if not _is(tag, Tag)]
    reasons = {
        "one of external_id, openid, unionid is needed": not proofs,
        f"there is no program {values.program_id}": values.program_id not in programs,
        "registered_at is in the future": _began(values.registered_at) > asked.now,
        f"{', '.join(twice)} is in the file more than once": bool(twice),
        "its identities are of several members": len({whose[one] for one in proofs if one in whose}) > 1,
        f"no tags: {' '.join(bad_tags)}": bool(bad_tags),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _is(value: str, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _began(day: date) -> int:
    return int(datetime.combine(day, time(), config.settings().zone).timestamp())


def _bring(values: MemberLine, proofs: Sequence[str], asked: Asked) -> Callable[[], object]:
    brought = Brought(
        registered_at=_began(values.registered_at),
        nickname=values.nickname,
        avatar_url=values.avatar_url,
        tags=frozenset(values.tags.split()),
    )
    return lambda: members.find_or_register(
        proofs=proofs, program_id=values.program_id, now=asked.now, brought=brought
    )


# --- who a line is about ------------------------------------------------------------------------------------


def _people(names: Iterable[str]) -> dict[str, str]:
    """The member ids behind these names, of those that are known."""
    ours = sorted({name for name in names if name.startswith("mbr_")})
    theirs = {rules.external_proof(name): name for name in names if not name.startswith("mbr_")}
    found = {name: name for some in _by_hundred(ours) for name in members.known(some)}
    return found | {theirs[proof]: member_id for proof, member_id in members.whose(list(theirs)).items()}


def _by_hundred(names: Sequence[str]) -> Iterable[Sequence[str]]:
    return (names[at : at + 100] for at in range(0, len(names), 100))


def _good(lines: Lines[L]) -> Iterable[tuple[Line[L], L]]:
    return ((line, line.values) for line in lines if line.values is not None)


def _found(line: Line[Any], *, wrong: str | None, there: bool, write: Callable[[], object]) -> Found:
    return Found(number=line.number, wrong=wrong, write=None if wrong or there else write)


# --- points -------------------------------------------------------------------------------------------------


class PointsLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a member had."""

    member: Proof
    points: Amount | None = None
    growth: Amount | None = None
    makeup_card: Amount | None = None
    freeze_card: Amount | None = None


def look_at_points(lines: Lines[PointsLine], asked: Asked) -> Iterable[Found]:
    """An opening balance is one entry of a member's account; another amount than was opened with is wrong."""
    people = _people([values.member for _, values in _good(lines)])
    entries = _opened([people[values.member] for _, values in _good(lines) if values.member in people])
    times = Counter(people.get(values.member) for _, values in _good(lines))
    for line, values in _good(lines):
        member_id = people.get(values.member)
        wanted = {book: getattr(values, book) for book in BOOKS if getattr(values, book) is not None}
        was = {book: entries.get((member_id or "", book)) for book in wanted}
        other = [f"{book} was opened with {n}" for book, n in was.items() if n not in (None, wanted[book])]
        wrong = _wrong_person(values.member, people, times) or next(iter(other), None)
        if not wanted:
            wrong = wrong or "there is nothing to open an account with"
        left = {book: amount for book, amount in wanted.items() if was[book] is None}
        yield _found(line, wrong=wrong, there=not left, write=_open(member_id or "", left, asked))


def _wrong_person(name: str, people: dict[str, str], times: Counter[Any] | None = None) -> str | None:
    if name not in people:
        return f"there is no member {name}"
    return f"{name} is in the file more than once" if times and times[people[name]] > 1 else None


def _opened(member_ids: Sequence[str]) -> dict[tuple[str, str], int]:
    wanted = [(member_id, book) for member_id in member_ids for book in BOOKS]
    keys = [(ledger.Entry, ledger.Entry.key(*one, points.OPENING)) for one in wanted]
    rows = table.get_all(keys)
    return {one: row.amount for one, row in zip(wanted, rows, strict=True) if row is not None}


def _open(member_id: str, left: dict[str, int], asked: Asked) -> Callable[[], object]:
    def write() -> None:
        for book, amount in left.items():
            with suppress(ledger.Posted):  # another run was first; the other books are still to be opened
                table.transact(points.opening(member_id, book=book, amount=amount, now=asked.now))

    return write


# --- coupons ------------------------------------------------------------------------------------------------


class CouponLine(msgspec.Struct, frozen=True, kw_only=True):
    """A coupon that a member had; ``ref`` tells several of one template apart."""

    member: Proof
    template_id: Id
    ref: Proof = "1"


def look_at_coupons(lines: Lines[CouponLine], asked: Asked) -> Iterable[Found]:
    """A coupon takes a unit of its template's stock, and lasts as long as the template says, from now."""
    people = _people([values.member for _, values in _good(lines)])
    wanted = {
        line.number: (people[values.member], _coupon_id(people[values.member], values))
        for line, values in _good(lines)
        if values.member in people
    }
    there, times = coupons.there(sorted(set(wanted.values()))), Counter(wanted.values())
    left: dict[str, int | None] = {}
    for line, values in _good(lines):
        member_id, coupon_id = wanted.get(line.number, ("", ""))
        wrong = _wrong_person(values.member, people)
        if wrong is None and times[(member_id, coupon_id)] > 1:
            wrong = "this coupon is in the file more than once; give each a ref"
        if wrong is None and coupon_id not in there:
            wrong = _no_unit(values.template_id, left, asked)
        write = _grant(member_id, values, asked)
        yield _found(line, wrong=wrong, there=coupon_id in there, write=write)


def _coupon_id(member_id: str, values: CouponLine) -> str:
    return coupons.id_for_cause(values.template_id, member_id, _cause(values))


def _cause(values: CouponLine) -> str:
    return f"import#{values.ref}"


def _no_unit(template_id: str, left: dict[str, int | None], asked: Asked) -> str | None:
    """Why no unit is left for this line, after those before it."""
    try:
        template = templates.find(template_id, now=asked.now)
    except NotFound:
        return f"there is no template {template_id}"
    if template.state != "on":
        return f"{template_id} is off"
    if template_id not in left:
        stock = templates.stock_of(template).values() if template.limited else ()
        left[template_id] = sum(row.left or 0 for row in stock) if template.limited else None
    units = left[template_id]
    if units is not None:
        left[template_id] = units - 1
    return f"{template_id} has no unit left for this line" if units is not None and units < 1 else None


def _grant(member_id: str, values: CouponLine, asked: Asked) -> Callable[[], object]:
    def write() -> None:
        writes = coupons.granted(values.template_id, member_id, cause=_cause(values), now=asked.now)
        try:
            table.transact(writes)
        except AlreadyGranted:
            return

    return write


# --- batches of coupons -------------------------------------------------------------------------------------


Batched = tuple[str, str]
"""A template and the name of a batch of it."""


class GrantLine(msgspec.Struct, frozen=True, kw_only=True):
    """A member whom a batch gives a coupon of a template."""

    member: Proof
    template_id: Id
    batch: Batch

    @property
    def whole(self) -> Batched:
        """The batch that they are in."""
        return self.template_id, self.batch


def look_at_grants(lines: Lines[GrantLine], asked: Asked) -> Iterable[Found]:
    """Whom a batch does not name yet is in a new part of it, by the same service as over HTTP."""
    people = _people([values.member for _, values in _good(lines)])
    begun = {whole: grants.named(*whole) for whole in {values.whole for _, values in _good(lines)}}
    wrong = _wrong_grants(lines, people, begun, asked)
    fresh: dict[Batched, list[str]] = defaultdict(list)
    for line, values in _good(lines):
        member_id = people.get(values.member, "")
        if line.number not in wrong and member_id not in begun[values.whole][0]:
            fresh[values.whole].append(member_id)
    begins = {
        (whole, member_id): begin
        for whole, some in fresh.items()
        for member_id, begin in _parts(whole, some, after=begun[whole][1], asked=asked)
    }
    for line, values in _good(lines):
        write = begins.get((values.whole, people.get(values.member, "")))
        yield Found(number=line.number, wrong=wrong.get(line.number), write=write)


def _wrong_grants(
    lines: Lines[GrantLine],
    people: dict[str, str],
    begun: dict[Batched, tuple[set[str], int]],
    asked: Asked,
) -> dict[int, str]:
    """By line, why nothing can be given."""
    times = Counter((values.whole, people.get(values.member)) for _, values in _good(lines))
    left: dict[str, int | None] = {}
    found = {}
    for line, values in _good(lines):
        wrong, member_id = _wrong_person(values.member, people), people.get(values.member)
        if wrong is None and times[(values.whole, member_id)] > 1:
            wrong = f"{values.member} is in the batch more than once"
        if wrong is None and member_id not in begun[values.whole][0]:
            wrong = _no_unit(values.template_id, left, asked)
        if wrong is not None:
            found[line.number] = wrong
    return found


def _parts(
    whole: Batched, member_ids: Sequence[str], *, after: int, asked: Asked
) -> Iterable[tuple[str, Callable[[], object]]]:
    """Each member with what begins the part that they are in, which their neighbours begin as well."""
    template_id, batch = whole
    making = templates.Making(by=asked.by, now=asked.now)
    for n, at in enumerate(range(0, len(member_ids), PART), start=after + 1):
        part = GrantPart(batch=batch, part=n, member_ids=list(member_ids[at : at + PART]))
        begin = cache(partial(grants.begin, template_id, part, making))
        yield from ((member_id, begin) for member_id in part.member_ids)


# --- bindings -----------------------------------------------------------------------------------------------


class BindingLine(msgspec.Struct, frozen=True, kw_only=True):
    """Whose customer a member is, and since when; today, unless said."""

    member: Proof
    promoter: Proof
    bound_at: date | None = None


def look_at_bindings(lines: Lines[BindingLine], asked: Asked) -> Iterable[Found]:
    """Who is somebody's already stays theirs; a circle of promoters is refused when it is written."""
    people = _people([name for _, values in _good(lines) for name in (values.member, values.promoter)])
    times = Counter(people.get(values.member) for _, values in _good(lines))
    policy = policies.terms(policies.current(now=asked.now))
    for line, values in _good(lines):
        wrong = _wrong_person(values.member, people, times) or _wrong_person(values.promoter, people)
        member_id, promoter_id = people.get(values.member, ""), people.get(values.promoter, "")
        at = asked.now if values.bound_at is None else _began(values.bound_at)
        held = None if wrong else attribution.binding(member_id, now=asked.now)
        reasons = {
            "nobody is their own promoter": member_id == promoter_id,
            "bound_at is in the future": at > asked.now,
            "the window of such a binding is over by now": (policy.expires_at(at) or asked.now + 1)
            <= asked.now,
            f"they are the customer of {held.promoter_id if held else ''}; move them by hand": (
                held is not None and held.promoter_id != promoter_id
            ),
        }
        wrong = wrong or next((reason for reason, holds in reasons.items() if holds), None)
        write = _bind(member_id, promoter_id, at, asked)
        yield _found(line, wrong=wrong, there=held is not None, write=write)


def _bind(member_id: str, promoter_id: str, at: int, asked: Asked) -> Callable[[], object]:
    return lambda: attribution.move(
        member_id, promoter_id=promoter_id, reason="imported", by=asked.by, now=asked.now, bound_at=at
    )


# --- promoters ----------------------------------------------------------------------------------------------


class PromoterLine(msgspec.Struct, frozen=True, kw_only=True):
    """A member who earns from now on, on this tier."""

    member: Proof
    tier: Annotated[int, msgspec.Meta(ge=1, le=20)] | None = None


def look_at_promoters(lines: Lines[PromoterLine], asked: Asked) -> Iterable[Found]:
    """Who is a promoter already stays one, and gets the tier that is said; who was suspended stays so."""
    people = _people([values.member for _, values in _good(lines)])
    times = Counter(people.get(values.member) for _, values in _good(lines))
    tiers = len(terms.in_force(now=asked.now).tiers)
    for line, values in _good(lines):
        wrong, member_id = _wrong_person(values.member, people, times), people.get(values.member, "")
        before = None if wrong else promoters.find(member_id)
        if before is not None and before.state == "suspended":
            wrong = "they are suspended"
        if values.tier is not None and values.tier > max(1, tiers):
            wrong = wrong or f"there is no tier {values.tier}"
        active = before is not None and before.state == "active"
        there = active and before is not None and values.tier in (None, before.tier)
        yield _found(line, wrong=wrong, there=there, write=_promote(member_id, values.tier, asked))


def _promote(member_id: str, tier: int | None, asked: Asked) -> Callable[[], object]:
    def write() -> None:
        promoters.assign(member_id, by=asked.by, now=asked.now)
        if tier is not None:
            promoters.set_tier(member_id, tier=tier, reason="imported", by=asked.by, now=asked.now)

    return write


KINDS: dict[str, Kind[Any]] = {
    "members": Kind(line=MemberLine, look=look_at_members),
    "points": Kind(line=PointsLine, look=look_at_points),
    "coupons": Kind(line=CouponLine, look=look_at_coupons),
    "grants": Kind(line=GrantLine, look=look_at_grants),
    "bindings": Kind(line=BindingLine, look=look_at_bindings),
    "promoters": Kind(line=PromoterLine, look=look_at_promoters),
}
