"""Whether money may go out: one row of the truth table, read before each refund and each transfer.

It is a row and no setting of the functions: it is true for all of them at once, without a deployment, and a table
that was restored has it from the first moment on. What is off is not tried: it stays due as it is, and no failure.

    entity    pk         sk     written by      read by
    MoneyOut  MONEYOUT   META   infra.restore   jobs that send money, who shows payees, infra.doctor, infra.restore
"""

from collections.abc import Sequence

from pynamodb.attributes import JSONAttribute, UnicodeAttribute
from pynamodb.expressions.update import Action

from chalicelib.core import table
from chalicelib.core.errors import Busy, Conflict
from chalicelib.core.table import IntAttribute, Row, Write

KEY = ("MONEYOUT", "META")


class MoneyOutOff(Conflict):
    """Money out is switched off, as after a restore: nobody is to be paid until it is on again."""

    code = "money_out_off"
    en = "Nothing is paid out at the moment."
    zh = "资金支出已暂停。"
    advice = "Say so, and try again once operators have switched it on; see docs/restore.md."


class MoneyOut(Row, discriminator="money_out"):
    """``off`` since ``at``, or ``on`` again; without the row money goes out.

    ``restored_to``: the time of which the table is, where it was restored; what went out between that and ``at`` is
    to be taken in before it is switched on. ``days``: those that are, with how much of each is left to people.
    """

    at = IntAttribute()
    by = UnicodeAttribute()
    why = UnicodeAttribute()
    restored_to = IntAttribute(null=True)
    days = JSONAttribute(null=True)


def show() -> MoneyOut | None:
    """The switch as it is now."""
    return table.get(MoneyOut, KEY)


def is_off() -> bool:
    """Whether nothing may be sent."""
    return says_off(show())


def says_off(row: MoneyOut | None) -> bool:
    """The same of the switch as it was read."""
    return row is not None and row.state == "off"


def switch_off(*, why: str, by: str, at: int, restored_to: int | None = None) -> None:
    """From here on nothing is begun to be sent; off already, it stays as it was first said."""
    told: list[Action] = [
        MoneyOut.state.set("off"),
        MoneyOut.why.set(why),
        MoneyOut.by.set(by),
        MoneyOut.at.set(at),
    ]
    news = MoneyOut.pk.does_not_exist() | (MoneyOut.state == "on")
    if restored_to is not None:
        told.append(MoneyOut.restored_to.set(restored_to))
        news |= MoneyOut.restored_to.does_not_exist() | (MoneyOut.restored_to != restored_to)
    try:
        table.apply(table.upsert(MoneyOut, KEY, *told, when=news, refuse=lambda _: _So()))
    except _So:
        return


def note_day(day: str, *, left: int) -> None:
    """What went out on a day is taken in, but for so many things that are left to people.

    Raises:
        Busy: the switch was moved meanwhile.
    """
    row = show()
    if row is not None and (row.days or {}).get(day) != left:
        days = MoneyOut.days.set({**(row.days or {}), day: left})
        table.apply(table.update(MoneyOut, KEY, days, when=MoneyOut.rev == row.rev, refuse=Busy))


def switch_on(*, by: str, at: int, with_: Sequence[Write] = ()) -> None:
    """What is due goes out again, and ``with_`` is written; on already, nothing changes."""
    told = (MoneyOut.state.set("on"), MoneyOut.by.set(by), MoneyOut.at.set(at))
    over = (*told, MoneyOut.restored_to.remove(), MoneyOut.days.remove())
    on = table.update(MoneyOut, KEY, *over, when=MoneyOut.state == "off", refuse=lambda _: _So())
    try:
        table.transact([on, *with_])
    except _So:
        return


class _So(Exception):
    """It is so already."""
