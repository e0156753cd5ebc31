"""Points for tests: earned, spent and frozen by the services that do it, and the books that must add up."""

from collections import defaultdict
from typing import Any

from chalicelib.core import ledger, table
from chalicelib.core.ledger import Hold
from chalicelib.core.table import Write
from chalicelib.points import exchanges
from chalicelib.points.models import Exchange
from chalicelib.points.schemas import AddExchange
from tests.factories import NOW, OWNER, a_word
from tests.races.arena import Arena

ALICE = "mbr_" + "A" * 26
YEAR = 12


def earn(amount: int, *, cause: str = "", now: int = NOW, owner: str = ALICE, **more: Any) -> str:
    """Post to an account; below zero, a spend."""
    cause = cause or a_word("cause-")
    given = {"owner": owner, "book": "points", "reason": "checkin", "lasts_months": YEAR, **more}
    table.transact(ledger.posted(amount=amount, cause=cause, now=now, **given))
    return cause


def spend(amount: int, *, cause: str = "", now: int = NOW, owner: str = ALICE) -> str:
    """Take from an account."""
    return earn(-amount, cause=cause, now=now, owner=owner)


def freeze(amount: int, *, cause: str = "", now: int = NOW, until: int | None = None) -> Hold:
    """Take from an account into a hold."""
    cause = cause or a_word("order-")
    given: dict[str, Any] = {"owner": ALICE, "book": "points", "reason": "order", "until": until}
    table.transact(ledger.frozen(amount=amount, cause=cause, now=now, **given))
    return held(cause)


def held(cause: str) -> Hold:
    """The hold under a cause."""
    hold = ledger.find(owner=ALICE, book="points", cause=cause)
    assert isinstance(hold, Hold)
    return hold


def release(hold: Hold, *, now: int = NOW) -> None:
    """Let what is frozen be spent again."""
    table.transact(ledger.hold_released(hold, reason="released", now=now, lasts_months=YEAR))


def thaw(hold: Hold) -> None:
    """Spend what is frozen."""
    table.transact(ledger.hold_spent(hold))


def reverse(cause: str, amount: int | None = None, *, part: str = "", now: int = NOW) -> None:
    """Reverse what a cause posted."""
    table.transact(reversing(cause, amount, part=part, now=now))


def reversing(
    cause: str,
    amount: int | None = None,
    *,
    part: str = "",
    lasts_months: int = YEAR,
    now: int = NOW,
) -> list[Write]:
    """The writes that do."""
    given: dict[str, Any] = {"owner": ALICE, "book": "points", "reason": "refund"}
    return ledger.reversal(cause=cause, amount=amount, part=part, lasts_months=lasts_months, now=now, **given)


def close(now: int, months: int | None = YEAR) -> None:
    """What is due of the account happens."""
    ledger.close(owner=ALICE, book="points", lasts_months=months, now=now)


def lots(now: int) -> list[int]:
    """What is left of each open month."""
    account = table.get(ledger.Account, ledger.Account.key(ALICE, "points"))
    assert account is not None
    return list(ledger.lots(account, now=now).values())


def balance() -> int:
    """The account's balance, proven by its entries."""
    drift = ledger.drift(owner=ALICE, book="points")
    assert drift.none, drift
    return drift.balance


def an_exchange(**changes: Any) -> Exchange:
    """Ten points for a make-up card, once a member, five of them in one shard."""
    told: dict[str, Any] = {
        "title": "A card",
        "points": 10,
        "goods": "makeup_card",
        "what": {"count": 1},
        "stock": 5,
        "per_member": 1,
        "starts_at": NOW - 100,
        "ends_at": NOW + 100,
    }
    given = AddExchange(**{**told, **changes})
    return exchanges.add(given, by=OWNER, idempotency_key=None, now=NOW)


def check(arena: Arena, *, debts: bool = False) -> None:
    """L1 and L2: at every instant no account is below zero, unless by a debt, and at the end all add up."""
    entries: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in [*arena.rows("entry"), *arena.rows("hold")]:
        entries[row["pk"]].append(row)
    for account in arena.rows("account"):
        own = entries[account["pk"]]
        assert account["balance"] == sum(row["amount"] for row in own), account
        held = -sum(row["amount"] for row in own if row.get("state") == "frozen")
        assert account.get("frozen", 0) == held >= 0, account
    if not debts:
        balances = [change.new["balance"] for change in arena.images("account") if change.new is not None]
        assert min(balances) >= 0, "an account was below zero for a while"
