"""What people or the mall paid after the time of the table, told line by line in a CSV file.

number       the withdrawal's (wdr_...) or the refund's (rfd_...)
amount_fen   what was paid
paid_on      the day, YYYY-MM-DD
reference    its number in the books of who paid
order_id     of a refund
member_id, external_id   whose a withdrawal is, if it may be that the table does not have it
gateway      manual, unless it is mall
"""

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from chalicelib.core import config
from chalicelib.core.errors import NotFound
from chalicelib.members import rules as member_rules
from chalicelib.members import service as members
from chalicelib.orders import service as orders
from chalicelib.withdrawals import untold
from chalicelib.withdrawals.untold import Payout
from infra.imports import sheets
from infra.restore.steps import FOR_PEOPLE, Step, restored


class PayoutLine(msgspec.Struct, frozen=True, kw_only=True):
    """One payment that has left."""

    number: Annotated[str, msgspec.Meta(pattern="^(wdr|rfd)_[0-9A-Z]{26}$")]
    amount_fen: Annotated[int, msgspec.Meta(ge=1)]
    paid_on: Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\d$")]
    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    order_id: str = ""
    member_id: str = ""
    external_id: str = ""
    gateway: Literal["manual", "mall"] = "manual"


def take_in(file: Path, step: Step) -> bool:
    """Every line is in the books, once; false if some are left to people.

    Raises:
        sheets.Unreadable: the file as a whole cannot be used.
    """
    restored()
    became: Counter[str] = Counter()
    for line in sheets.read(file, PayoutLine):
        word = "wrong" if line.values is None else _taken_in(line.values, step)
        became[word] += 1
        if word in (*FOR_PEOPLE, "wrong"):
            print(f"line {line.number}: {line.wrong or word}")
    print(", ".join(f"{n} {word}" for word, n in sorted(became.items())) or "no lines")
    return not any(became[word] for word in (*FOR_PEOPLE, "wrong"))


def _taken_in(line: PayoutLine, step: Step) -> str:
    if line.number.startswith("rfd_"):
        return _refund(line, step)
    at = int(datetime.fromisoformat(line.paid_on).replace(tzinfo=config.settings().zone).timestamp())
    payout = Payout(
        withdrawal_id=line.number,
        reference=line.reference,
        net_fen=line.amount_fen,
        at=at,
        gateway=line.gateway,
        member_id=_member(line),
    )
    return untold.take_in(payout, by=step.by, now=step.now)


def _member(line: PayoutLine) -> str | None:
    if line.member_id:
        return line.member_id
    proof = member_rules.external_proof(line.external_id)
    return members.whose([proof]).get(proof) if line.external_id else None


def _refund(line: PayoutLine, step: Step) -> str:
    try:
        refund = orders.find_refund(line.order_id, line.number)
    except NotFound:
        return "nobody"
    if refund.amount_fen != line.amount_fen:
        return "differs"
    if refund.state == "done":
        return "known"
    orders.confirm_refund(refund, now=step.now)
    return "noted"
