"""Redeem codes (兑换码): claims in print, made in batches, good once or for so many members.

A code is eleven letters that only our key derives from its batch and number, and one that checks them, so that a
slip of the finger is told from a code that is nobody's. Codes hold no units: using one takes a unit of stock.
"""

from chalicelib.core import config, ids, table
from chalicelib.core.cache import Cache
from chalicelib.core.errors import Busy, Conflict, Gone, Invalid, NotFound
from chalicelib.core.table import Write
from chalicelib.coupons import service, templates
from chalicelib.coupons.models import Code, Codes
from chalicelib.coupons.schemas import MakeCodes
from chalicelib.coupons.service import Claim
from chalicelib.coupons.templates import Making, RequestDiffers
from chalicelib.members import service as members

LETTERS = 11
_off: Cache[bool] = Cache()
AT_ONCE = 100


class CodeUsed(Conflict):
    """The code was used as often as it may be."""

    code = "coupon_code_used"
    en = "This code has been used."
    zh = "该兑换码已被使用。"
    advice = "Say so."


class CodeOver(Gone):
    """The code's time is over."""

    code = "coupon_code_over"
    en = "This code has expired."
    zh = "该兑换码已过期。"
    advice = "Say so."


class CodeOff(Conflict):
    """The shop has switched the code's batch off."""

    code = "coupon_code_off"
    en = "This code is not valid at the moment."
    zh = "该兑换码已停用。"
    advice = "Say so."


# --- letters ------------------------------------------------------------------------------------------------


def check_letter(body: str) -> str:
    """The letter that any one wrong letter, and any two that were swapped, would change: 31 letters are prime."""
    total = sum((at + 1) * ids.READABLE.index(letter) for at, letter in enumerate(body))
    return ids.READABLE[total % len(ids.READABLE)]


def read(text: str) -> str:
    """The code that somebody typed.

    Raises:
        Invalid: it cannot be one of ours, so something was mistyped.
    """
    code = "".join(text.split()).replace("-", "").upper()
    ours = len(code) == LETTERS + 1 and all(letter in ids.READABLE for letter in code)
    if not ours or check_letter(code[:-1]) != code[-1]:
        raise Invalid(field="code", reason="mistyped")
    return code


def _letters(template_id: str, batch: str, n: int, *, now: int) -> str:
    key = config.secret("link_key", now=now).encode()
    body = ids.keyed_code("coupon-code", template_id, batch, str(n), key=key, length=LETTERS)
    return body + check_letter(body)


# --- making -------------------------------------------------------------------------------------------------


def make(template_id: str, given: MakeCodes, making: Making) -> Codes:
    """A batch of codes; broken off, it is done by saying it again; done, it answers the same.

    Raises:
        NotFound: no such template. RequestDiffers: the batch is another. Invalid: it is over already.
    """
    templates.find(template_id, now=making.now)
    if given.ends_at <= making.now:
        raise Invalid(field="ends_at", reason="it is in the past")
    row = Codes(
        *Codes.key(template_id, given.batch),
        state="on",
        batch=given.batch,
        made=given.count,
        uses=given.uses,
        ends_at=given.ends_at,
        made_at=making.now,
    )
    there = table.get(Codes, Codes.key(template_id, given.batch))
    if there is not None:
        return _same(there, row)
    codes = letters(template_id, row, now=making.now)
    for at in range(0, len(codes), AT_ONCE):
        _make_some([_code(one, template_id, row) for one in codes[at : at + AT_ONCE]])
    told = {"batch": given.batch, "count": given.count, "uses": given.uses}
    audit = making.recorded("coupon.codes", template_id, after=told)
    try:
        table.transact([table.create(row), audit])
    except table.Taken as first:
        return _same(first.row, row)
    return row


def _same(there: Codes, row: Codes) -> Codes:
    if (there.made, there.uses, there.ends_at) != (row.made, row.uses, row.ends_at):
        raise RequestDiffers(field="batch", reason="used for another body")
    return there


def _code(code: str, template_id: str, row: Codes) -> Code:
    return Code(
        *Code.key(code),
        state="on",
        code=code,
        template_id=template_id,
        batch=row.batch,
        left=row.uses,
        ends_at=row.ends_at,
    )


def _make_some(rows: list[Code]) -> None:
    try:
        table.transact([table.create(row) for row in rows])
    except table.Taken:
        for row in rows:
            _make_one(row)


def _make_one(row: Code) -> None:
    try:
        table.apply(table.create(row))
    except table.Taken as first:
        if (first.row.template_id, first.row.batch, first.row.ends_at) != (
            row.template_id,
            row.batch,
            row.ends_at,
        ):
            raise RequestDiffers(field="batch", reason="choose another name") from first


def find(template_id: str, batch: str) -> Codes:
    """A batch.

    Raises:
        NotFound: there is none of this name.
    """
    row = table.get(Codes, Codes.key(template_id, batch))
    if row is None:
        raise NotFound
    return row


def letters(template_id: str, row: Codes, *, now: int) -> list[str]:
    """The codes of a batch, which follow from its name."""
    return [_letters(template_id, row.batch, n, now=now) for n in range(row.made)]


def switch(template_id: str, batch: str, *, to: str, making: Making) -> Codes:
    """Switch all codes of a batch ``on`` or ``off``, everywhere within 30 seconds; what they brought stays good.

    Raises:
        NotFound: there is none of this name. Busy: somebody else switches it right now.
    """
    row = find(template_id, batch)
    # Also when it is so already: this process may remember it as it was before a call that broke off.
    _off.forget((template_id, batch))
    if row.state == to:
        return row
    change = table.update(
        Codes,
        (row.pk, row.sk),
        Codes.state.set(to),
        when=Codes.rev == row.rev,
        refuse=_Seen,
    )
    was, is_now = {"batch": batch, "state": row.state}, {"batch": batch, "state": to}
    audit = making.recorded(f"coupon.codes_{to}", template_id, before=was, after=is_now)
    try:
        table.transact([change, audit])
    except _Seen as seen:
        # A lost reply looks like this, and so does somebody who was first.
        if seen.row.state != to:
            raise Busy from seen
    _off.forget((template_id, batch))
    return find(template_id, batch)


class _Seen(Exception):
    """The batch is not what it was; ``row`` says what it is."""

    def __init__(self, row: Codes) -> None:
        super().__init__(row.batch)
        self.row = row


def _is_off(row: Code, *, now: int) -> bool:
    """Whether the batch of a code is off, as of 30 seconds ago at most: all its codes share that row."""

    def load() -> bool:
        batch = table.get(Codes, Codes.key(row.template_id, row.batch))
        return batch is not None and batch.state == "off"

    return _off.get((row.template_id, row.batch), now=now, load=load)


# --- using --------------------------------------------------------------------------------------------------


def use(text: str, member_id: str, *, now: int) -> Claim:
    """A member uses a code: once for each member, and the same member again gets the same answer.

    Raises:
        Invalid: mistyped. NotFound: nobody's. CodeUsed, CodeOver, CodeOff, CouponOff, CouponSoldOut.
    """
    code = read(text)
    row = table.get(Code, Code.key(code))
    if row is None:
        raise NotFound
    cause = f"code#{code}"
    coupon_id = service.id_for_cause(row.template_id, member_id, cause)
    for name in members.names_of(member_id):
        first = service.find(name, service.id_for_cause(row.template_id, name, cause))
        if first is not None:
            return Claim(coupon=first, new=False)
    if row.left < 1 or row.ends_at <= now:
        raise _why_not(row, now=now)
    if _is_off(row, now=now):
        raise CodeOff
    writes = service.giving(
        row.template_id, member_id, cause=cause, source="code", refuse=table.Taken, now=now
    )
    try:
        table.transact([writes[0], _used(row, now=now), *writes[1:]])
    except table.Taken as taken:
        return Claim(coupon=taken.row, new=False)
    return Claim(coupon=service.own(member_id, coupon_id), new=True)


def _used(row: Code, *, now: int) -> Write:
    good = (Code.left >= 1) & (Code.ends_at > now)
    return table.update(
        Code,
        (row.pk, row.sk),
        Code.left.add(-1),
        when=good,
        refuse=lambda found: _why_not(found, now=now),
    )


def _why_not(row: Code, *, now: int) -> Exception:
    return CodeOver(ended_at=row.ends_at) if row.ends_at <= now else CodeUsed()
