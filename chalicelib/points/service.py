"""The rules of points: how other rooms give and take them, and what becomes due.

What is given here is writes for the caller's transaction: each posting is one entry under the caller's cause, so a
replay is `ledger.Posted`, and each is in the member's list at once.
"""

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from chalicelib.core import due, ids, ledger, table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Conflict, IdempotencyMismatch, Invalid
from chalicelib.core.ledger import Account, Hold, HoldOver, Line
from chalicelib.core.money import BPS
from chalicelib.core.table import Write
from chalicelib.members import service as members
from chalicelib.operators import service as operators
from chalicelib.points import levels, rules
from chalicelib.points.models import PointsRule
from chalicelib.points.schemas import Adjust, EditPointsRule

POINTS = "points"
OPENING = "opening"
HOLD_OVER = "hold_over"
_rules: Cache[PointsRule] = Cache()


class NotEnoughPoints(Conflict):
    """The member has fewer points than this takes: ``details.balance`` of ``details.needed``."""

    code = "not_enough_points"
    en = "You do not have enough points."
    zh = "积分不足。"
    advice = "Show `details.balance` and what earns points."


# --- the rule -----------------------------------------------------------------------------------------------


def rule(*, now: int) -> PointsRule:
    """How long points last and what they are worth, at most 30 seconds old."""
    return _rules.get("rule", now=now, load=lambda: table.get(PointsRule, PointsRule.key()) or _first_rule())


def _first_rule() -> PointsRule:
    """Until operators say otherwise: points last, a hundred are worth a yuan, for half of an order at most."""
    return PointsRule(*PointsRule.key(), rate_points=100, rate_fen=100, max_share_bps=BPS // 2)


def edit_rule(given: EditPointsRule, *, by: Operator, now: int) -> PointsRule:
    """The rule told anew; what is earned keeps its month, and a shorter life waits until the longer one is due.

    As it was, nothing changes, and no line is left in the trail.

    Raises:
        Busy: somebody else changed it meanwhile.
    """
    before = table.get(PointsRule, PointsRule.key())
    there, told = before or _first_rule(), msgspec.to_builtins(given)
    if all(getattr(there, name) == value for name, value in told.items()):
        _rules.forget("rule")
        return there
    row = PointsRule(*PointsRule.key(), rev=before.rev + 1 if before is not None else 1, **told)
    unchanged = PointsRule.pk.does_not_exist() if before is None else PointsRule.rev == before.rev
    audit = operators.recorded(
        by=by,
        action="points.rule",
        subject=POINTS,
        before=before and {name: getattr(before, name) for name in told},
        after=told,
        now=now,
    )
    table.transact([Write(operation="Put", row=row, when=unchanged, refuse=Busy), audit])
    _rules.forget("rule")
    return row


# --- for other rooms ----------------------------------------------------------------------------------------


def earned(
    member_id: str,
    *,
    points: int = 0,
    growth: int = 0,
    cause: str,
    reason: str,
    now: int,
    lines: Sequence[Line] = (),
) -> list[Write]:
    """The writes that give a member points, with what their level adds, and growth; none for nothing.

    ``lines`` say what the points are made of, before the level.

    Raises (when sent):
        Posted: the cause was posted before.
    """
    writes: list[Write] = []
    if points:
        bps = levels.points_bps(member_id, now=now)
        extra = rules.multiplied(points, points_bps=bps) - points
        told = [*(lines or [(reason, points)]), ("level", extra)] if extra else lines
        writes += _posted(member_id, points + extra, cause=cause, reason=reason, lines=told, now=now)
    if growth:
        writes += ledger.posted(
            owner=member_id, book=levels.GROWTH, amount=growth, cause=cause, reason=reason, now=now
        )
    return writes


def spent(member_id: str, *, points: int, cause: str, reason: str, now: int) -> list[Write]:
    """The two writes that take points from a member.

    Raises (when sent):
        Posted: the cause was posted before. NotEnoughPoints: there are fewer.
    """
    return _posted(member_id, -points, cause=cause, reason=reason, lines=(), now=now)


def _posted(
    member_id: str, amount: int, *, cause: str, reason: str, lines: Sequence[Line], now: int
) -> list[Write]:
    return ledger.posted(
        owner=member_id,
        book=POINTS,
        amount=amount,
        cause=cause,
        reason=reason,
        lines=lines,
        now=now,
        lasts_months=rule(now=now).lasts_months,
        short=lambda account: short(account, needed=-amount),
    )


def opening(member_id: str, *, book: str, amount: int, now: int) -> list[Write]:
    """The writes of what a member had in another system: one entry a book, and points last as if earned now.

    Raises (when sent):
        Posted: the account was opened before.
    """
    return ledger.posted(
        owner=member_id,
        book=book,
        amount=amount,
        cause=OPENING,
        reason=OPENING,
        now=now,
        lasts_months=rule(now=now).lasts_months if book == POINTS else None,
    )


def short(account: Account | None, *, needed: int) -> NotEnoughPoints:
    """The refusal of an account that has fewer points than are needed."""
    return NotEnoughPoints(balance=(account.balance or 0) if account is not None else 0, needed=needed)


def reversal(
    member_id: str,
    *,
    cause: str,
    reason: str,
    now: int,
    book: str = POINTS,
    amount: int | None = None,
    part: str = "",
) -> list[Write]:
    """The writes that reverse what a cause posted, all that is left of it or ``amount``, once for each ``part``.

    Raises:
        NotFound: the cause posted nothing. OverReversed: less is left. Posted: this part was reversed before.
    """
    lasts_months = rule(now=now).lasts_months if book == POINTS else None
    return ledger.reversal(
        owner=member_id,
        book=book,
        cause=cause,
        reason=reason,
        now=now,
        amount=amount,
        part=part,
        lasts_months=lasts_months,
    )


# --- for members and operators ------------------------------------------------------------------------------


def standing(member_id: str, *, now: int) -> ledger.Standing:
    """A member's points, and what of them expires next."""
    lasts_months = rule(now=now).lasts_months
    return ledger.standing(owner=member_id, book=POINTS, lasts_months=lasts_months, now=now)


def entries(member_id: str, *, book: str = POINTS, limit: int, after: table.Raw | None) -> table.Page:
    """What was posted to a member, newest first."""
    return ledger.entries(owner=member_id, book=book, limit=limit, after=after)


def adjust(
    member_id: str, given: Adjust, *, by: Operator, idempotency_key: str | None, now: int
) -> ledger.Standing:
    """Give or take points or growth for a reason, once for an Idempotency-Key.

    Raises:
        NotFound: there is no such member. NotEnoughPoints: more would be taken than there is.
        IdempotencyMismatch: the key came with another body.
    """
    member_id = members.survivor(member_id).member_id
    if not given.amount:
        raise Invalid(field="amount", reason="nothing would change")
    name = idempotency_key or ids.ulid("req", now=now, entropy=ids.entropy(now=now))
    cause = f"adjusted#{ids.derived('req', by.key_id, name)}"
    posting = ledger.posted(
        owner=member_id,
        book=given.book,
        amount=given.amount,
        cause=cause,
        reason=given.reason,
        now=now,
        lasts_months=rule(now=now).lasts_months if given.book == POINTS else None,
        short=lambda account: short(account, needed=-given.amount),
    )
    audit = operators.recorded(
        by=by,
        action="points.adjusted",
        subject=member_id,
        before=None,
        after=msgspec.to_builtins(given),
        now=now,
    )
    try:
        table.transact([*posting, audit])
    except ledger.Posted as first:
        if (first.row.amount, first.row.reason) != (given.amount, given.reason):
            raise IdempotencyMismatch(field="Idempotency-Key", reason="used for another body") from first
    return standing(member_id, now=now)


# --- due work -----------------------------------------------------------------------------------------------


@due.handles(ledger.CLOSE_JOB)
def close_month(entry: due.Entry, now: int) -> None:
    """What is left of a month whose points are over expires."""
    owner, book = entry.pk.split("#")[1:]
    lasts_months = rule(now=now).lasts_months if book == POINTS else None
    ledger.close(owner=owner, book=book, lasts_months=lasts_months, now=now)


@due.handles(ledger.RELEASE_JOB)
def release_hold(entry: due.Entry, now: int) -> None:
    """What was frozen and neither spent nor released in time can be spent again."""
    hold: Any = table.get(Hold, (entry.pk, entry.sk))
    if hold is None or hold.state != "frozen":
        return
    try:
        release(cast(Hold, hold), reason=HOLD_OVER, now=now)
    except HoldOver:
        return


def release(hold: Hold, *, reason: str, now: int) -> None:
    """Let what is frozen be spent again.

    Raises:
        HoldOver: it was spent or released.
    """
    _, book = ledger.owner_of(hold)
    lasts_months = rule(now=now).lasts_months if book == POINTS else None
    table.transact(ledger.hold_released(hold, reason=reason, now=now, lasts_months=lasts_months))
