"""The gateways that withdrawals are paid by, behind one interface; WeChat Pay's is in `transfers`.

``sandbox``: the payee confirms on a page that anybody may post to; for the local run and stages that are not prod.
``manual``: an operator pays by the bank and notes it. ``mall``: the mall pays when asked by a webhook, and tells
how it ended. All know a transfer by the withdrawal's id alone: sent again, or asked about, it is the same transfer.
"""

import json
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import msgspec

from chalicelib.core import deliveries
from chalicelib.core.clock import DAY
from chalicelib.members import service as members
from chalicelib.withdrawals import payees, service, terms
from chalicelib.withdrawals.models import Withdrawal

TOLD_WITHIN_S = DAY
TOLD_AT_LATEST_S = 7 * DAY


class NotKnown(Exception):
    """The gateway did not say what became of the transfer; it keeps its number and is asked about again."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a transfer stands: taken on and not ended, waiting for its payee until ``confirm_by``, or at an end.

    ``ask_at`` is when to ask again; never, if a person tells. ``package`` opens the page on which it is confirmed.
    """

    state: Literal["transferring", "awaiting_confirmation", "paid", "failed", "expired"]
    reference: str | None = None
    reason: str | None = None
    confirm_by: int | None = None
    ask_at: int | None = None
    package: str | None = None


class Gateway(Protocol):
    """How to pay."""

    def transfer(self, row: Withdrawal, *, now: int) -> Standing:
        """Send the transfer, or, sent already under this number, say how it stands.

        One that waits beyond its ``confirm_by`` is closed, and ``expired`` only if it can never be paid any more.

        Raises:
            NotKnown: it may be alive or not.
        """
        ...


class Sandbox:
    """Pretends: the money arrives when its page is posted to."""

    def transfer(self, row: Withdrawal, *, now: int) -> Standing:
        """It waits for the page, which pays by the row's own state: said to be expired, it never will."""
        if row.state == "awaiting_confirmation" and now >= (row.confirm_by or 0):
            return Standing(state="expired", reason="not confirmed in time")
        by = row.confirm_by or now + terms.of(row.terms, now=now).told.confirm_s
        return Standing(state="awaiting_confirmation", confirm_by=by, ask_at=by)


class Manual:
    """An operator pays, and tells."""

    def transfer(self, row: Withdrawal, *, now: int) -> Standing:
        """It waits for the operator."""
        return Standing(state="transferring")


class Mall:
    """The mall pays, and tells how it ended."""

    def transfer(self, row: Withdrawal, *, now: int) -> Standing:
        """Ask the mall, again after a day without its answer, under the same id for the same sum to the same payee.

        The message has personal data in it, so it is sent from here and never kept as a delivery.
        """
        sent_at = row.sent_at or now
        at = f"{datetime.fromtimestamp(sent_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
        told = {"type": "withdrawal.requested", "timestamp": at, "data": _told(row, now=now)}
        try:
            deliveries.post(json.dumps(told, ensure_ascii=False), delivery_id=row.withdrawal_id, now=now)
        except deliveries.NotDelivered as failure:
            raise NotKnown(str(failure)) from failure
        if now >= sent_at + TOLD_AT_LATEST_S:
            raise NotKnown("it was taken on, and how it ended was never told")
        return Standing(state="transferring", ask_at=now + TOLD_WITHIN_S)


def _told(row: Withdrawal, *, now: int) -> dict[str, Any]:
    names = (
        "withdrawal_id",
        "member_id",
        "method",
        "amount_fen",
        "fee_fen",
        "tax_fen",
        "net_fen",
        "tax_rule",
    )
    account = service.account_of(row, now=now)
    payee = payees.of(row, now=now)
    return {
        **{name: getattr(row, name) for name in names},
        "external_ids": members.external_ids(row.member_id),
        "account": msgspec.to_builtins(account),
        "payee": None if payee is None else {"real_name": payee.real_name, "id_number": payee.id_number},
    }
