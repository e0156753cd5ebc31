"""Accounts with an append-only ledger: points, growth, cards, and money.

A posting is two writes of some room's transaction: the entry under its cause, so that a cause posts once, and the
account, with ``balance >= amount`` on a debit. What several rooms post to one account in one transaction is one
entry with lines. The sum of an account's entries is its balance, always; below zero it is a stated debt, made by
nothing but a reversal of what was spent already, or by what is known to have left, and netted by what comes next.

    entity   pk                        sk              written by                     read by
    Account  ACCOUNT#<owner>#<book>    META            every posting, month closing   balance, month closing
    Entry    ACCOUNT#<owner>#<book>    ENTRY#<cause>   posted, reversal, closing      entries, reversal, drift
    Hold     ACCOUNT#<owner>#<book>    ENTRY#<cause>   frozen, then once: spent or    release, entries, drift
                                                       released
    due    Account: close_month#k when the oldest month's points expire, in books that expire
           Hold: release_hold#k at ``until``, if it has an end · Entry of growth, of a settlement: react#k
    owner  Entry, Hold: <owner>#<book>, newest first

Points expire by the month in which they were earned, the earliest are spent first, and no spend reads a lot: the
account adds up what each month brought, in a ring of slots, and all else is arithmetic. What was used is what was
earned less the balance, and it was used of the earliest months. Closing a month is a compare-and-set of the
account; a posting stays one blind write.

The index lags, so the account also remembers the causes of its last three postings; each write moves them on.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from pynamodb.attributes import JSONAttribute, UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.core import clock, config, due, facts, table
from chalicelib.core.books import Unsure
from chalicelib.core.errors import Busy, Conflict, NotFound
from chalicelib.core.table import IntAttribute, Key, Page, Refusal, Row, Write

CLOSE_JOB = "close_month"
RELEASE_JOB = "release_hold"
RING = 36
"""Slots for months: of more months than points may last, so that a late job finds its own."""
MONTHS_AT_MOST = 24
ROUNDS = 40
Line = tuple[str, int]


class NotEnough(Conflict):
    """The account has less than is to be taken from it; ``details.balance`` says how much."""

    code = "not_enough"
    en = "There is not enough left."
    zh = "余额不足。"
    advice = "Show `details.balance`."


class HoldOver(Conflict):
    """What was frozen has been spent or released; ``details.state`` says which."""

    code = "hold_over"
    en = "This was spent or released already."
    zh = "该冻结已使用或已释放。"
    advice = "Read the balance again."


class OverReversed(Conflict):
    """More would be reversed than was posted; ``details.left`` says what can still be."""

    code = "over_reversed"
    en = "More cannot be reversed than was posted."
    zh = "冲正数量超过原记录。"
    advice = "Reverse at most `details.left`."


class Posted(table.Taken):
    """This cause was posted before; ``row`` is the entry."""


class Account(Row, discriminator="account"):
    """What one owner has in one book: ``balance`` can be spent, ``frozen`` is in holds and not in the balance.

    ``m<month % 36>`` is what the month brought, ``lasting`` what was earned without an end.
    """

    balance = IntAttribute(null=True)
    frozen = IntAttribute(null=True)
    lasting = IntAttribute(null=True)
    (m0, m1, m2, m3, m4, m5, m6, m7, m8, m9, m10, m11) = (IntAttribute(null=True) for _ in range(12))
    (m12, m13, m14, m15, m16, m17, m18, m19, m20, m21, m22, m23) = (
        IntAttribute(null=True) for _ in range(12)
    )
    (m24, m25, m26, m27, m28, m29, m30, m31, m32, m33, m34, m35) = (
        IntAttribute(null=True) for _ in range(12)
    )
    last = UnicodeAttribute(null=True)
    last_but_one = UnicodeAttribute(null=True)
    last_but_two = UnicodeAttribute(null=True)

    @staticmethod
    def key(owner: str, book: str) -> Key:
        """One account for an owner and a book; its entries are beside it."""
        return f"ACCOUNT#{owner}#{book}", "META"


class Entry(Row, discriminator="entry"):
    """One posting, never changed but for ``left``: how much of it may still be reversed.

    ``about`` is what those who react to it have to know.
    """

    FACTS = {(None, "growth"): "growth.posted", (None, "settlement"): "settlement.posted"}

    amount = IntAttribute()
    cause = UnicodeAttribute()
    reason = UnicodeAttribute()
    at = IntAttribute()
    left = IntAttribute()
    month = IntAttribute(null=True)
    lines = JSONAttribute(null=True)
    about = JSONAttribute(null=True)

    @staticmethod
    def key(owner: str, book: str, cause: str) -> Key:
        """One entry for a cause."""
        return f"ACCOUNT#{owner}#{book}", f"ENTRY#{cause}"


class Hold(Entry, discriminator="hold"):
    """An entry that can be given back: ``frozen`` → ``spent`` | ``released``."""

    FACTS = {}

    until = IntAttribute(null=True)


E = TypeVar("E", bound=Entry)


# --- posting ------------------------------------------------------------------------------------------------


def posted(
    *,
    owner: str,
    book: str,
    amount: int,
    cause: str,
    reason: str,
    now: int,
    lines: Sequence[Line] = (),
    lasts_months: int | None = None,
    settlement: dict[str, Any] | None = None,
    refuse: Refusal = Posted,
    short: Refusal | None = None,
) -> list[Write]:
    """Two writes that post ``amount`` (above zero: earned, below: spent) to an account, once for ``cause``.

    The entry comes first: a replay is told by ``refuse``, whatever the balance is by then. ``lines`` say what the
    amount is made of. What is earned expires ``lasts_months`` after its month is over, or never. ``settlement``:
    it is one, with what is to be known of it, and its fact is owed.

    Raises (when sent):
        Posted: the cause was posted before. NotEnough: on a debit, unless ``short`` says it otherwise.
    """
    if amount == 0 or (lines and sum(part for _, part in lines) != amount):
        raise ValueError(f"{amount} is nothing, or not the sum of its lines")
    month = _month(now) if amount > 0 and lasts_months is not None else None
    entry = _entry(Entry, owner, book, amount=amount, cause=cause, reason=reason, now=now)
    entry.month = month
    entry.lines = [list(line) for line in lines] or None
    entry.about = settlement
    kind = "settlement" if settlement is not None else "growth" if book == "growth" and amount > 0 else None
    if kind is not None:
        owes = facts.owed(f"{kind}.posted", pk=entry.pk, rev=1, now=now)
        for name, value in {"state": kind, **owes}.items():
            setattr(entry, name, value)
    put = table.create(entry, refuse=refuse)
    if amount < 0:
        return [put, _taken(owner, book, -amount, cause, short=short)]
    earned = Account.lasting if month is None else _slot(month)
    actions = (*_moved(amount, cause), earned.add(amount), *_expires(owner, book, lasts_months, now=now))
    return [put, table.upsert(Account, Account.key(owner, book), *actions)]


def _entry(kind: type[E], owner: str, book: str, *, amount: int, cause: str, reason: str, now: int) -> E:
    return kind(
        *Entry.key(owner, book, cause),
        amount=amount,
        cause=cause,
        reason=reason,
        at=now,
        left=abs(amount),
        owner=f"{owner}#{book}",
        listed_at=f"{now:011d}#{cause}",
    )


def _moved(amount: int, cause: str) -> list[Action]:
    """The balance moves by ``amount``, and the last causes by one."""
    return [
        Account.balance.add(amount),
        Account.last_but_two.set(Account.last_but_one | ""),
        Account.last_but_one.set(Account.last | ""),
        Account.last.set(cause),
    ]


def _taken(
    owner: str, book: str, amount: int, cause: str, *actions: Action, short: Refusal | None = None
) -> Write:
    return table.update(
        Account,
        Account.key(owner, book),
        *_moved(-amount, cause),
        *actions,
        when=Account.balance >= amount,
        refuse=short or (lambda row: NotEnough(balance=_balance(row), book=book)),
    )


def charged(*, owner: str, book: str, amount: int, cause: str, reason: str, now: int) -> list[Write]:
    """Two writes that take what has left already, whatever the balance is, once for ``cause``: the rest is a debt.

    Raises (when sent):
        Posted: the cause was posted before.
    """
    entry = _entry(Entry, owner, book, amount=-amount, cause=cause, reason=reason, now=now)
    taken = table.upsert(Account, Account.key(owner, book), *_moved(-amount, cause))
    return [table.create(entry, refuse=Posted), taken]


def _expires(owner: str, book: str, lasts_months: int | None, *, now: int) -> list[Action]:
    """The account is due when this month's points expire, unless it is due earlier: one unit a chain of months."""
    if lasts_months is None:
        return []
    slot = due.slot(
        job=CLOSE_JOB, pk=Account.key(owner, book)[0], at=closes_at(_month(now), lasts_months), ref=book
    )
    return [getattr(Account, name).set(getattr(Account, name) | value) for name, value in slot.items()]


# --- holds --------------------------------------------------------------------------------------------------


def frozen(
    *,
    owner: str,
    book: str,
    amount: int,
    cause: str,
    reason: str,
    now: int,
    until: int | None = None,
    refuse: Refusal = Posted,
    short: Refusal | None = None,
) -> list[Write]:
    """Two writes that take ``amount`` out of the balance into a hold, once for ``cause``.

    Raises (when sent):
        Posted: the cause was posted before. NotEnough: the balance is smaller, unless ``short`` says it otherwise.
    """
    if amount <= 0:
        raise ValueError("a hold is of something")
    hold = _entry(Hold, owner, book, amount=-amount, cause=cause, reason=reason, now=now)
    hold.state, hold.left = "frozen", 0
    if until is not None:
        for name, value in due.slot(job=RELEASE_JOB, pk=hold.pk, at=until, ref=book).items():
            setattr(hold, name, value)
        hold.until = until
    put = table.create(hold, refuse=refuse)
    return [put, _taken(owner, book, amount, cause, Account.frozen.add(amount), short=short)]


def hold_spent(hold: Hold) -> list[Write]:
    """Two writes after which what is frozen is spent; it may be reversed like anything spent.

    Raises (when sent):
        HoldOver: it was spent or released.
    """
    actions = (Hold.state.set("spent"), Hold.left.set(-hold.amount), *due.emptied())
    ended = table.update(Hold, (hold.pk, hold.sk), *actions, when=Hold.state == "frozen", refuse=_over)
    thawed = table.update(Account, (hold.pk, "META"), Account.frozen.add(hold.amount), refuse=NotFound)
    return [ended, thawed]


def hold_released(hold: Hold, *, reason: str, now: int, lasts_months: int | None = None) -> list[Write]:
    """Three writes after which what is frozen can be spent again.

    What expired meanwhile comes back too, and expires with the oldest month that is not over.

    Raises (when sent):
        HoldOver: it was spent or released.
    """
    owner, book = owner_of(hold)
    cause = f"{hold.cause}#released"
    actions = (Hold.state.set("released"), *due.emptied())
    ended = table.update(Hold, (hold.pk, hold.sk), *actions, when=Hold.state == "frozen", refuse=_over)
    entry = _entry(Entry, owner, book, amount=-hold.amount, cause=cause, reason=reason, now=now)
    entry.left = 0
    back = (
        *_moved(-hold.amount, cause),
        Account.frozen.add(hold.amount),
        *_expires(owner, book, lasts_months, now=now),
    )
    thawed = table.update(Account, (hold.pk, "META"), *back, refuse=NotFound)
    return [ended, table.create(entry, refuse=lambda _: HoldOver(state="released")), thawed]


def _over(row: Hold | None) -> Exception:
    return NotFound() if row is None else HoldOver(state=row.state)


# --- reversing ----------------------------------------------------------------------------------------------


def reversal(
    *,
    owner: str,
    book: str,
    cause: str,
    reason: str,
    now: int,
    amount: int | None = None,
    part: str = "",
    lasts_months: int | None = None,
    refuse: Callable[[Entry], Exception] = Posted,
) -> list[Write]:
    """The writes that reverse what ``cause`` posted: all that is left of it, or ``amount``, once for each ``part``.

    What was earned is taken out of its own month; had that expired, out of what expired first. What was spent
    already becomes a debt. What was spent comes back.

    Raises:
        NotFound: nothing was posted. OverReversed: less than ``amount`` is left. What ``refuse`` makes of the
        reversal that is there already, here or when sent. Busy (when sent): the month was closed meanwhile.
    """
    back = f"{cause}#reversed#{part}" if part else f"{cause}#reversed"
    keys = [(Row, Account.key(owner, book)), *((Row, Entry.key(owner, book, each)) for each in (cause, back))]
    account, original, already = table.get_many(keys)
    if already is not None:
        raise refuse(already)
    if account is None or original is None:
        raise NotFound
    parts = original.left if amount is None else amount
    if not 0 < parts <= original.left:
        raise OverReversed(left=original.left)
    if original.amount < 0:
        moved, delta = [_given_back(account, parts, back, lasts_months, now=now)], parts
    else:
        moved, delta = _taken_back(account, original, parts, back, now=now)
    entry = _entry(Entry, owner, book, amount=delta, cause=back, reason=reason, now=now)
    entry.left = 0
    less = table.update(
        type(original),
        (original.pk, original.sk),
        Entry.left.add(-parts),
        when=Entry.left >= parts,
        refuse=lambda row: OverReversed(left=row.left if row else 0),
    )
    return [table.create(entry, refuse=refuse), less, *moved]


def _given_back(account: Account, parts: int, cause: str, lasts_months: int | None, *, now: int) -> Write:
    owner, book = owner_of(account)
    actions = (*_moved(parts, cause), *_expires(owner, book, lasts_months, now=now))
    return table.update(Account, (account.pk, account.sk), *actions, refuse=NotFound)


def _taken_back(
    account: Account, original: Entry, parts: int, cause: str, *, now: int
) -> tuple[list[Write], int]:
    """What was earned is taken back; in a month that is closed, what expired of it is void first."""
    key = (account.pk, account.sk)
    if original.month is None:
        actions = (*_moved(-parts, cause), Account.lasting.add(-parts))
        return [table.update(Account, key, *actions, refuse=NotFound)], -parts
    if original.month in _months(account, now=now):
        slot = _slot(original.month)
        actions = (*_moved(-parts, cause), slot.add(-parts))
        return [table.update(Account, key, *actions, when=slot.exists(), refuse=Busy)], -parts
    expired = table.get(Entry, (account.pk, f"ENTRY#{_expiry_of(original.month)}"))
    void = min(parts, expired.left) if expired is not None else 0
    moved = table.update(Account, key, *_moved(void - parts, cause), refuse=NotFound)
    if expired is None or not void:
        return [moved], -parts
    voided = table.update(
        Entry, (expired.pk, expired.sk), Entry.left.add(-void), when=Entry.left >= void, refuse=Busy
    )
    return [moved, voided], void - parts


# --- handing over -------------------------------------------------------------------------------------------


def handed_over(*, owner: str, to: str, book: str, now: int) -> list[Write]:
    """The writes after which all of an account's balance, or its debt, is another's; none when it has neither.

    To the one it is as if spent, to the other as if earned in the months that it is of. As the earliest are spent
    first whoever earned them, what the other had spent is then spent of the earliest of both: so nothing expires
    sooner than it would have. What is in holds stays until it comes back, and is handed over then.

    Raises (when sent):
        Busy: the account was posted to meanwhile.
    """
    account = table.get(Account, Account.key(owner, book))
    amount = _balance(account)
    if account is None or not amount:
        return []
    given, got = (f"merged#{other}#{account.rev}" for other in (to, owner))
    brought = (*_moved(amount, got), *_brought(account, to, book, now=now))
    same = Account.rev == account.rev
    return [
        table.create(_handing(owner, book, -amount, given, now=now), refuse=Busy),
        table.create(_handing(to, book, amount, got, now=now), refuse=Busy),
        table.update(Account, Account.key(owner, book), *_moved(-amount, given), when=same, refuse=Busy),
        table.upsert(Account, Account.key(to, book), *brought),
    ]


def _brought(account: Account, to: str, book: str, *, now: int) -> list[Action]:
    """What else becomes of the other's account: with a month it is due at once, to find out when that is over; what
    came back of months that are over lasts as long as it would have, or as the other's oldest month."""
    months = {month: left for month, left in lots(account, now=now).items() if left}
    rest = _balance(account) - sum(months.values())
    actions: list[Action] = [Account.lasting.add(max(0, min(account.lasting or 0, rest)))]
    actions += [_slot(month).add(left) for month, left in months.items()]
    if account.due_at is None:
        return actions
    at = now if months else account.due_at
    slot = due.slot(job=CLOSE_JOB, pk=Account.key(to, book)[0], at=at, ref=book)
    for name, value in slot.items():
        attribute = getattr(Account, name)
        actions.append(attribute.set(value if months else attribute | value))
    return actions


def _handing(owner: str, book: str, amount: int, cause: str, *, now: int) -> Entry:
    entry = _entry(Entry, owner, book, amount=amount, cause=cause, reason="merged", now=now)
    entry.left = 0
    if book == "growth" and amount > 0:
        for name, value in facts.owed("growth.posted", pk=entry.pk, rev=1, now=now).items():
            setattr(entry, name, value)
        entry.state = "growth"
    return entry


# --- closing a month ----------------------------------------------------------------------------------------


class _Changed(Exception):
    """The account was written to since it was read, perhaps by who closes the same month."""


def close(*, owner: str, book: str, lasts_months: int | None, now: int) -> None:
    """Let every month expire whose time is over, and be due again for the next; nothing due, nothing happens.

    ``lasts_months`` is the rule of today: a longer life moves what is due, no end makes all that is there lasting.
    """
    for _ in range(ROUNDS):
        account = table.get(Account, Account.key(owner, book))
        if account is None or account.due_at is None or account.due_at > now:
            return
        with suppress(_Changed):
            table.transact(_closing(account, lasts_months, now=now))
    raise Busy


def _closing(account: Account, lasts_months: int | None, *, now: int) -> list[Write]:
    owner, book = owner_of(account)
    months = _months(account, now=now)
    if lasts_months is None:
        slots = [_slot(month).remove() for month in months]
        lasting = Account.lasting.add(sum(months.values()))
        return [_compared(account, *slots, lasting, *due.emptied())]
    oldest = next(iter(months), None)
    if oldest is not None and closes_at(oldest, lasts_months) > now:
        return [_compared(account, *_due(account, oldest, lasts_months))]
    expired = lots(account, now=now).get(oldest, 0) if oldest is not None else _without_month(account)
    rest = [month for month in months if month != oldest]
    actions = _due(account, rest[0], lasts_months) if rest else due.emptied()
    if oldest is not None:
        actions.append(_slot(oldest).remove())
    if not expired:
        return [_compared(account, *actions)]
    cause = _expiring(account, oldest, now=now)
    entry = _entry(Entry, owner, book, amount=-expired, cause=cause, reason="expired", now=now)
    return [table.create(entry, refuse=_Changed), _compared(account, *actions, *_moved(-expired, cause))]


def _expiring(account: Account, month: int | None, *, now: int) -> str:
    """The cause under which a month expires, or what is left when none is open any more."""
    owner, book = owner_of(account)
    cause = _expiry_of(month) if month is not None else f"{_expiry_of(_month(now))}#rest"
    known = find(owner=owner, book=book, cause=cause)
    # What another member had of a month that is over may come over after it expired here, and expires once more.
    return cause if known is None else f"{cause}#{account.rev}"


def _compared(account: Account, *actions: Action) -> Write:
    unchanged: Condition = Account.rev == account.rev
    return table.update(
        Account, (account.pk, account.sk), *actions, when=unchanged, refuse=lambda _: _Changed()
    )


def _due(account: Account, month: int, lasts_months: int) -> list[Action]:
    at = closes_at(month, lasts_months)
    return due.moved(job=CLOSE_JOB, pk=account.pk, at=at, ref=owner_of(account)[1])


def _expiry_of(month: int) -> str:
    return f"expired#{clock.month_name(month)}"


def closes_at(month: int, lasts_months: int) -> int:
    """When what was earned in ``month`` expires: at the end of the month that is so many months later."""
    return clock.month_starts_at(month + lasts_months + 1, zone=config.settings().zone)


def _month(now: int) -> int:
    return clock.month_of(now, zone=config.settings().zone)


def _slot(month: int) -> IntAttribute:
    slot = getattr(Account, f"m{month % RING}")
    assert isinstance(slot, IntAttribute)
    return slot


def _months(account: Account, *, now: int) -> dict[int, int]:
    """What each month brought that is not closed, the oldest first; clocks may be a month's end apart."""
    first = _month(now) - RING + 2
    earned = {month: getattr(account, f"m{month % RING}") for month in range(first, first + RING)}
    return {month: amount for month, amount in earned.items() if amount is not None}


def lots(account: Account, *, now: int) -> dict[int, int]:
    """What is left of each month that is not closed, the oldest first: the earliest points are used first."""
    months = _months(account, now=now)
    used = sum(months.values()) + (account.lasting or 0) - (account.balance or 0)
    left: dict[int, int] = {}
    for month, earned in months.items():
        left[month] = max(0, earned - used)
        # Below zero: what came back of months that are closed, which lasts as long as the oldest that is not.
        used = max(0, used - earned)
    return left


def _without_month(account: Account) -> int:
    """What came back when no month was open any more."""
    return max(0, (account.balance or 0) - (account.lasting or 0))


# --- reading ------------------------------------------------------------------------------------------------


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner has: ``expiring`` of the balance goes at ``expires_at``, if anything does."""

    balance: int
    frozen: int
    debt: int
    expiring: int
    expires_at: int | None


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """What an account says and what its entries add up to; the pairs are equal, or something is broken."""

    balance: int
    posted: int
    frozen: int
    held: int

    @property
    def none(self) -> bool:
        """Whether both pairs are equal."""
        return self.balance == self.posted and self.frozen == self.held


def owner_of(row: Row) -> tuple[str, str]:
    """The owner and the book of an account, or of one of its entries."""
    _, owner, book = row.pk.split("#")
    return owner, book


def balance(*, owner: str, book: str) -> int:
    """What can be spent now; below zero, a debt."""
    return _balance(table.get(Account, Account.key(owner, book)))


def _balance(account: Account | None) -> int:
    return (account.balance or 0) if account is not None else 0


def standing(*, owner: str, book: str, lasts_months: int | None = None, now: int) -> Standing:
    """What an owner has, and what of it expires next."""
    account = table.get(Account, Account.key(owner, book)) or Account(*Account.key(owner, book))
    month, amount = next(((m, n) for m, n in lots(account, now=now).items() if n), (None, 0))
    if month is None or lasts_months is None:
        at, amount = None, 0
    else:
        # A rule that became shorter waits until the account is due by the longer one.
        at = max(closes_at(month, lasts_months), account.due_at or 0)
    have = _balance(account)
    return Standing(
        balance=have, frozen=account.frozen or 0, debt=max(0, -have), expiring=amount, expires_at=at
    )


def find(*, owner: str, book: str, cause: str) -> Entry | None:
    """What was posted under a cause, if it was."""
    return table.get(Entry, Entry.key(owner, book, cause))


def entries(*, owner: str, book: str, limit: int, after: table.Raw | None = None) -> Page:
    """An account's postings, newest first; what was just posted is among them, though the index lags."""
    name = f"{owner}#{book}"
    found, next_key = table.index("owner", Row.owner == name, limit=limit, newest_first=True, after=after)
    keys = [(entry["pk"], entry["sk"]) for entry in found]
    if after is None:
        keys += [key for key in _last_keys(owner, book) if key not in keys]
    rows = [row for row in table.get_many([(Row, key) for key in keys]) if row is not None] if keys else []
    newest = sorted(rows, key=lambda row: str(row.listed_at), reverse=True)
    page = newest[:limit]
    if page and (len(newest) > limit or next_key is not None):
        last = page[-1]
        fields = {"pk": last.pk, "sk": last.sk, "owner": last.owner, "listed_at": last.listed_at}
        next_key = {field: {"S": value} for field, value in fields.items()}
    return Page(page, next_key)


def _last_keys(owner: str, book: str) -> list[Key]:
    account = table.get(Account, Account.key(owner, book))
    causes = (account.last, account.last_but_one, account.last_but_two) if account is not None else ()
    return [Entry.key(owner, book, cause) for cause in causes if cause]


def drift(*, owner: str, book: str) -> Drift:
    """What the account says beside what its entries add up to, both read while nothing was posted.

    Raises:
        Unsure: it kept being posted to.
    """
    for _ in range(ROUNDS):
        before = table.get(Account, Account.key(owner, book))
        rows: list[Entry] = table.query_all(Row, Account.key(owner, book)[0], Row.sk.startswith("ENTRY#"))
        after = table.get(Account, Account.key(owner, book))
        if (before and before.rev) == (after and after.rev):
            holds = [row for row in rows if isinstance(row, Hold) and row.state == "frozen"]
            return Drift(
                balance=_balance(after),
                posted=sum(row.amount for row in rows),
                frozen=(after.frozen or 0) if after is not None else 0,
                held=-sum(hold.amount for hold in holds),
            )
    raise Unsure(f"{owner}#{book}")
