"""The rules of payees: who a member is to the tax office; sealed, shown masked, opened where it must be."""

import hashlib
from contextlib import suppress
from typing import Any

import msgspec

from chalicelib.core import clock, config, table
from chalicelib.core.errors import Busy, Conflict, Invalid
from chalicelib.core.table import Write
from chalicelib.withdrawals import sealing
from chalicelib.withdrawals.models import Month, Payee, Withdrawal
from chalicelib.withdrawals.schemas import TellPayee

ROUNDS = 8
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"


class PayeeNeeded(Conflict):
    """The tax rule asks who is paid, and the member has not said it."""

    code = "payee_needed"
    en = "Please tell your name and id number first."
    zh = "请先填写实名信息。"
    advice = "Ask for them, PUT /v1/me/payee, then apply again."


class PayeeChanged(Conflict):
    """The member became another person in this month already; ``details.again_at`` says when they may again."""

    code = "payee_changed"
    en = "You can name another person once a month only."
    zh = "实名信息每月只能更换一次。"
    advice = (
        "Say that it is possible again from `details.again_at` on; the same number's name can be corrected."
    )


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Name and number, open."""

    real_name: str
    id_number: str
    id_kind: str


def is_id_card(number: str) -> bool:
    """Whether an id card of China can have this number: 17 digits and their check (GB 11643)."""
    digits, check = number[:17], number[17:].upper()
    if len(number) != 18 or not (digits.isascii() and digits.isdigit()):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS, strict=True))
    return _CHECKS[total % 11] == check


def person_of(*, id_kind: str, id_number: str, now: int) -> str:
    """Who has this number, as a hash that says only that two are the same, whichever members have told it.

    Under the key that never changes: under one that rotates, somebody would be two persons within a month.
    """
    seed = config.secret("link_key", now=now).encode()
    told = f"{id_kind}|{id_number}".encode()
    return hashlib.blake2b(told, digest_size=16, key=seed[:64], person=b"payees").hexdigest()


def tell(given: TellPayee, *, member_id: str, nonce: bytes, now: int) -> Payee:
    """Keep who a member is from now on; told the same again, nothing changes.

    Raises:
        Invalid: no id card has this number, or there is no key to seal it with.
        PayeeChanged: they were said to be another person in this month already. Busy.
    """
    number = given.id_number.upper()
    if given.id_kind == "id_card" and not is_id_card(number):
        raise Invalid(field="id_number", reason="no id card has this number")
    if not sealing.ready(now=now):
        raise Invalid(field="id_number", reason="this shop keeps no id numbers")
    for _ in range(ROUNDS):
        before = find(member_id)
        if before is not None and _is(before, given.real_name, number, given.id_kind, now=now):
            return before
        row = _row(given, number, before, member_id=member_id, nonce=nonce, now=now)
        unmoved = Payee.pk.does_not_exist() if before is None else Payee.rev == before.rev
        with suppress(_Moved):
            table.apply(Write(operation="Put", row=row, when=unmoved, refuse=lambda _: _Moved()))
            return row
    raise Busy


class _Moved(Exception):
    """It was told otherwise meanwhile."""


def _row(
    given: TellPayee, number: str, before: Payee | None, *, member_id: str, nonce: bytes, now: int
) -> Payee:
    text = msgspec.json.encode({"real_name": given.real_name, "id_number": number}).decode()
    person = person_of(id_kind=given.id_kind, id_number=number, now=now)
    return Payee(
        *Payee.key(member_id),
        rev=before.rev + 1 if before is not None else 1,
        sealed=sealing.seal(text, about=_about(member_id), nonce=nonce, now=now),
        person=person,
        id_kind=given.id_kind,
        name_shown=sealing.masked_name(given.real_name),
        number_shown=sealing.masked(number),
        at=now,
        changed_at=_changed_at(before, person, now=now),
    )


def _changed_at(before: Payee | None, person: str, *, now: int) -> int | None:
    """When the person was last another; a new one at most once in a calendar month.

    Whoever could be anybody at will would read, in the tax of their quotes, what everybody had.
    """
    if before is None or before.person == person:
        return before.changed_at if before is not None else None
    zone = config.settings().zone
    month = clock.month_of(now, zone=zone)
    if before.changed_at is not None and clock.month_of(before.changed_at, zone=zone) == month:
        raise PayeeChanged(again_at=clock.month_starts_at(month + 1, zone=zone))
    return now


def find(member_id: str) -> Payee | None:
    """Who a member said they are, sealed and masked."""
    return table.get(Payee, Payee.key(member_id))


def of(row: Withdrawal | Month, *, now: int) -> Identity | None:
    """Who was paid, as they were known when they applied, open: for gateways, and for finance with an audit row."""
    if row.payee is None:
        return None
    return _opened(row.payee, row.id_kind or "", member_id=row.member_id, now=now)


def _opened(sealed: str, id_kind: str, *, member_id: str, now: int) -> Identity:
    told: dict[str, Any] = msgspec.json.decode(sealing.opened(sealed, about=_about(member_id), now=now))
    return Identity(id_kind=id_kind, **told)


def _about(member_id: str) -> str:
    return f"payee#{member_id}"


def _is(row: Payee, real_name: str, id_number: str, id_kind: str, *, now: int) -> bool:
    """Whether this is kept already; what no key opens any more is told anew."""
    member_id = row.pk.removeprefix("PAYOUTS#")
    try:
        known = _opened(row.sealed, row.id_kind, member_id=member_id, now=now)
    except KeyError:
        return False
    return known == Identity(real_name=real_name, id_number=id_number, id_kind=id_kind)
