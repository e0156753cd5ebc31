"""Withdrawals for tests: earned money, terms, a bank that counts what leaves it, and the books that must add up."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import msgspec

from chalicelib.core import deliveries, due, ledger, table
from chalicelib.members import rules as member_rules
from chalicelib.members.models import Member
from chalicelib.withdrawals import applying
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals import terms as withdrawal_terms
from chalicelib.withdrawals.models import OPEN, Withdrawal
from chalicelib.withdrawals.schemas import EditWithdrawalTerms, Withdraw
from chalicelib.withdrawals.terms import Version
from tests.factories import NOW, OWNER, PROGRAM, a_word

ALICE = "mbr_" + "A" * 26
ACCOUNT = {"name": "王小明", "number": "6222020200112230", "bank": "ICBC"}
METHODS = [
    {"method": "sandbox", "gateway": "sandbox", "account": False},
    {"method": "bank", "gateway": "manual"},
    {"method": "mall", "gateway": "mall", "account": False},
]


def terms(**changes: Any) -> Version:
    """All methods, nothing taken off, one open at a time, everything looked at by an operator."""
    told = {"methods": METHODS, "min_fen": 101, "max_fen": 100_000_00, "day_max_fen": 100_000_00, **changes}
    return withdrawal_terms.make(msgspec.convert(told, EditWithdrawalTerms), by=OWNER, now=NOW)


def a_promoter(member_id: str = ALICE) -> str:
    """Somebody whom the mall knows."""
    proof = member_rules.external_proof(f"m-{member_id[-3:]}")
    row = Member(
        *Member.key(member_id),
        state="active",
        member_id=member_id,
        identities={proof},
        program_id="demo",
        registered_at=NOW,
    )
    table.apply(table.create(row))
    return member_id


def earn(fen: int, *, owner: str = ALICE, cause: str = "", now: int = NOW) -> str:
    """Settle so much of a promoter's money."""
    cause = cause or a_word("settle-")
    table.transact(
        ledger.posted(owner=owner, book="money", amount=fen, cause=cause, reason="commission", now=now)
    )
    return cause


def claw_back(cause: str, fen: int | None = None, *, owner: str = ALICE, part: str = "") -> None:
    """Take back what was settled."""
    given = {"owner": owner, "book": "money", "cause": cause, "reason": "refund", "now": NOW}
    table.transact(ledger.reversal(amount=fen, part=part, **given))  # type: ignore[arg-type]


def withdraw(
    fen: int, *, method: str = "mall", key: str | None = None, owner: str = ALICE, now: int = NOW, **more: Any
) -> Withdrawal:
    """Apply; the withdrawal."""
    return asked(fen, method=method, key=key, owner=owner, now=now, **more)[0]


def asked(
    fen: int,
    *,
    method: str = "mall",
    key: str | None = None,
    owner: str = ALICE,
    now: int = NOW,
    program_id: str = PROGRAM,
    **more: Any,
) -> tuple[Withdrawal, bool]:
    """Apply; the withdrawal, and whether it is new."""
    given = {
        "amount_fen": fen,
        "method": method,
        **({"account": ACCOUNT} if method == "bank" else {}),
        **more,
    }
    who = applying.Applying(
        member_id=owner, now=now, idempotency_key=key, nonce=b"n" * 12, program_id=program_id
    )
    return applying.apply(msgspec.convert(given, Withdraw), who)


def approve(row: Withdrawal, *, now: int = NOW) -> Withdrawal:
    """An operator lets it be paid."""
    return withdrawals.approve(row.withdrawal_id, by=OWNER, now=now)


def sent(row: Withdrawal, *, now: int = NOW) -> Withdrawal:
    """Approved, and its transfer begun by the job."""
    approve(row, now=now)
    run(now=now)
    return again(row)


def again(row: Withdrawal) -> Withdrawal:
    """The withdrawal as it is now."""
    return withdrawals.show(row.withdrawal_id)


def entry_of(row: Withdrawal) -> due.Entry:
    """What the index says of it."""
    here = {"pk": row.pk, "sk": row.sk, "kind": "withdrawal", "due_ref": ""}
    return due.Entry(due_shard=row.due_shard or "", due_at=row.due_at or NOW, **here)


def run(*, now: int = NOW) -> due.Ran:
    """The job."""
    return due.run(job=withdrawals.JOB, worker=a_word("w"), now=now, seconds=30)


def balance(owner: str = ALICE) -> tuple[int, int]:
    """What can be spent and what is frozen, proven by the entries."""
    drift = ledger.drift(owner=owner, book="money")
    assert drift.none, drift
    return drift.balance, drift.frozen


@dataclass
class Bank:
    """What the mall pays out of: one transfer for a number, another for another; ``down`` or ``mute`` at times."""

    asked: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    down: int = 0
    mute: int = 0

    def post(self, body: str, *, delivery_id: str, now: int) -> None:
        """Take a message as `deliveries.post` sends it: not at all, without a word, or with a 2xx."""
        if self.down:
            self.down -= 1
            raise deliveries.NotDelivered("down")
        self.asked.append(delivery_id)
        self.bodies.append(json.loads(body))
        if self.mute:
            self.mute -= 1
            raise deliveries.NotDelivered("no answer")

    @property
    def transfers(self) -> Counter[str]:
        """How often each number was asked for."""
        return Counter(self.asked)

    @property
    def paid_fen(self) -> int:
        """What leaves the bank: each number once."""
        told = {body["data"]["withdrawal_id"]: body["data"]["net_fen"] for body in self.bodies}
        return sum(told.values())


def broken(rows: list[dict[str, Any]]) -> list[str]:
    """What is wrong with the books of money and withdrawals: M2, L1, one hold a withdrawal, purses, months."""
    accounts = [row for row in rows if row["kind"] == "account" and row["pk"].endswith("#money")]
    made = [row for row in rows if row["kind"] == "withdrawal"]
    purses = [row for row in rows if row["kind"] == "withdrawal_purse"]
    return [
        *(wrong for account in accounts for wrong in _wrong_account(account, rows)),
        *(wrong for row in made for wrong in _wrong_withdrawal(row, rows)),
        *(wrong for purse in purses for wrong in _wrong_purse(purse, made)),
        *_wrong_months([row for row in rows if row["kind"] == "payee_month"], made),
    ]


def _wrong_months(months: list[dict[str, Any]], made: list[dict[str, Any]]) -> list[str]:
    """Each person's month is what they were paid or applied for in it, as whichever member."""
    counted: Counter[tuple[str, str, str]] = Counter()
    for row in made:
        if row["tax_rule"] == "monthly" and row["state"] in (*OPEN, "paid"):
            for name, fen in (("base_fen", row["amount_fen"]), ("tax_fen", row["tax_fen"])):
                counted[row["person"], row["month"], name] += fen
    told = Counter(
        {
            (row["pk"].removeprefix("PAYEEID#"), row["sk"].removeprefix("MONTH#"), name): row[name]
            for row in months
            for name in ("base_fen", "tax_fen")
        }
    )
    keys = sorted({*counted, *told})
    return [f"{key} says {told[key]}, not {counted[key]}" for key in keys if told[key] != counted[key]]


def _wrong_withdrawal(row: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    pk, entry = f"ACCOUNT#{row['member_id']}#money", f"ENTRY#withdrawal#{row['withdrawal_id']}"
    own = {one["sk"]: one for one in rows if one["pk"] == pk and one["sk"].startswith(entry)}
    held = own[entry].get("state") if entry in own else None
    # What a person decided afterwards is in entries of its own.
    taken = -sum(one["amount"] for one in own.values())
    money = held if held == "frozen" else {row["amount_fen"]: "spent", 0: "released"}.get(taken)
    state = row["state"]
    wanted = "frozen" if state in OPEN else "spent" if state == "paid" else "released"
    parts = row["fee_fen"] + row["tax_fen"] + row["net_fen"]
    return [
        *([f"{row['withdrawal_id']} is {state}, its money {money}"] if money != wanted else []),
        *([f"{row['withdrawal_id']} does not add up"] if parts != row["amount_fen"] else []),
    ]


def _wrong_purse(purse: dict[str, Any], made: list[dict[str, Any]]) -> list[str]:
    member_id = purse["pk"].removeprefix("PAYOUTS#")
    own = [row["withdrawal_id"] for row in made if row["member_id"] == member_id and row["state"] in OPEN]
    told = json_of(purse["open_ids"])
    return [] if sorted(told) == sorted(own) else [f"{member_id} has {own} open, their purse {told}"]


def _wrong_account(account: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    own = [row for row in rows if row["pk"] == account["pk"] and row["sk"] != "META"]
    posted = sum(row["amount"] for row in own)
    held = -sum(row["amount"] for row in own if row.get("state") == "frozen")
    told = (account["balance"], account.get("frozen", 0))
    return [] if told == (posted, held) else [f"{account['pk']} has {told}, its entries {(posted, held)}"]


def json_of(value: Any) -> Any:
    """A JSON attribute as the harness shows it: text."""
    return json.loads(value) if isinstance(value, str) else value
