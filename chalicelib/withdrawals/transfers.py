"""The gateway WeChat Pay: a withdrawal is one number there, and what becomes of it is what WeChat says.

It is asked first and told second: a transfer is sent when a query knows none of its number, or one that may be sent
again, so a request that was lost, or whose answer was, is only ever repeated under the number that it had. The end
is one that a query or a signed notification says. A payee whose time is over, or who does not want it any more, has
the transfer cancelled, which is not yet its end. Whatever else is said leaves it as it is, and waits for a person
after ten times with WeChat's words, such as NOT_ENOUGH, beside it.
"""

from chalicelib.core import config
from chalicelib.core.clock import HOUR, MINUTE
from chalicelib.core.errors import Invalid
from chalicelib.core.telemetry import logger
from chalicelib.members import service as members
from chalicelib.wechat import pay
from chalicelib.wechat import transfers as wechat
from chalicelib.wechat.pay import PayRefused, PayUnknown
from chalicelib.wechat.transfers import Bill, Order
from chalicelib.withdrawals import payees, terms
from chalicelib.withdrawals.models import Withdrawal
from chalicelib.withdrawals.payouts import NotKnown, Standing
from chalicelib.withdrawals.schemas import TransferPage

GATEWAY = "wechat"
ENDS_BADLY = ("FAIL", "CANCELLED")
TO_SEND_AGAIN = ("ACCEPTED", "PROCESSING")
STALLED_AFTER_S = HOUR
HINTS = {"NOT_ENOUGH": "put money into the account that transfers are paid from, then try again"}


def number_of(withdrawal_id: str) -> str:
    """WeChat's ``out_bill_no``: 29 digits and letters, of 32 that may be."""
    return withdrawal_id.replace("_", "")


def id_of(number: str) -> str:
    """The withdrawal that has this number."""
    return f"{number[:3]}_{number[3:]}"


def judge(net_fen: int, *, named: bool) -> None:
    """Refuse what WeChat Pay would not transfer.

    Raises:
        Invalid: so little. payees.PayeeNeeded: so much without the payee's name.
    """
    if net_fen < wechat.LEAST_FEN:
        raise Invalid(field="amount_fen", reason="too little would be left", least_fen=wechat.LEAST_FEN)
    if net_fen >= wechat.NAME_NEEDED_FROM_FEN and not named:
        raise payees.PayeeNeeded


def known(member_id: str, *, program_id: str) -> None:
    """Refuse whom WeChat Pay cannot find.

    Raises:
        Invalid: they never signed in through this program.
    """
    if members.openid(member_id, program_id=program_id) is None:
        raise Invalid(field="method", reason="sign in through the mini-program first")


def page(row: Withdrawal, *, now: int) -> TransferPage | None:
    """What opens WeChat's page, while the money can be taken there."""
    waits = row.gateway == GATEWAY and row.state == "awaiting_confirmation"
    if not waits or row.package is None or now >= (row.confirm_by or 0):
        return None
    appid = members.program(row.program_id or "", now=now).appid
    return TransferPage(mch_id=pay.mchid(), app_id=appid, package=row.package)


class WeChat:
    """WeChat Pay transfers, and the payee takes the money on a page of its own, within a day at most."""

    def transfer(self, row: Withdrawal, *, now: int) -> Standing:
        """Ask, and send or cancel where that is due."""
        try:
            return standing(row, _asked(row, now=now), now=now)
        except (PayRefused, PayUnknown) as failure:
            hint = HINTS.get(getattr(failure, "code", ""))
            raise NotKnown(f"{failure}; {hint}" if hint else str(failure)) from failure


def standing(row: Withdrawal, bill: Bill, *, now: int) -> Standing:
    """What WeChat's word means for the withdrawal.

    Raises:
        NotKnown: it is about something else, is a word that is not known, or has been the same for too long.
    """
    if bill.amount_fen not in (None, row.net_fen) or bill.mchid not in (None, pay.mchid()):
        raise NotKnown(f"WeChat Pay tells of {bill.amount_fen} fen by {bill.mchid}")
    if bill.state == "SUCCESS":
        return Standing(state="paid", reference=bill.reference)
    if bill.state in ENDS_BADLY:
        state = "expired" if _is_over(row, bill, now=now) else "failed"
        return Standing(state=state, reference=bill.reference, reason=bill.reason or bill.state)  # type: ignore[arg-type]
    if bill.state in wechat.WAITS:
        return _waiting(row, bill, now=now)
    if bill.state not in (*TO_SEND_AGAIN, "CANCELING"):
        raise NotKnown(f"WeChat Pay says {bill.state}")
    since = row.sent_at or now
    if bill.state != "CANCELING" and now >= since + STALLED_AFTER_S:
        raise NotKnown(f"WeChat Pay still says {bill.state}: is there money in the account it is paid from?")
    as_it_is = "awaiting_confirmation" if row.state == "awaiting_confirmation" else "transferring"
    return Standing(state=as_it_is, ask_at=now + _pause(since, now=now))  # type: ignore[arg-type]


def _asked(row: Withdrawal, *, now: int) -> Bill:
    number = number_of(row.withdrawal_id)
    bill = wechat.show(number, now=now)
    if bill is None:
        _may_be_sent(row, now=now)
        return wechat.create(_order(row, now=now), now=now)
    if bill.state in wechat.WAITS and _is_over(row, bill, now=now):
        return _cancelled(bill, now=now)
    # Only the answer to a request has the package that opens WeChat's page; a query does not tell it.
    pageless = bill.state in wechat.WAITS and row.package is None
    if bill.state in TO_SEND_AGAIN or pageless:
        return wechat.create(_order(row, now=now), now=now)
    return bill


def _may_be_sent(row: Withdrawal, *, now: int) -> None:
    """Nothing is sent under a number that WeChat may have forgotten instead of never known."""
    if row.confirm_by is not None or now >= (row.sent_at or now) + wechat.KNOWN_FOR_S:
        raise NotKnown("WeChat Pay does not know it any more: look for its number in the fund bill")


def _cancelled(bill: Bill, *, now: int) -> Bill:
    """The transfer after it was asked to be cancelled, as a query says: somebody may have taken it before."""
    try:
        wechat.cancel(bill.number, now=now)
    except PayRefused as refused:
        logger.info("a transfer was not cancelled", number=bill.number, code=refused.code)
    return wechat.show(bill.number, now=now) or bill


def _order(row: Withdrawal, *, now: int) -> Order:
    program_id = row.program_id or ""
    openid, payee = members.openid(row.member_id, program_id=program_id), payees.of(row, now=now)
    if openid is None:
        raise NotKnown("the member is not known in the program any more")
    base_url = config.settings().base_url
    return Order(
        number=number_of(row.withdrawal_id),
        appid=members.program(program_id, now=now).appid,
        openid=openid,
        amount_fen=row.net_fen,
        real_name=payee.real_name if payee else None,
        notify_url=f"{base_url}/v1/wechat/{program_id}/transfers" if base_url else None,
    )


def _waiting(row: Withdrawal, bill: Bill, *, now: int) -> Standing:
    by = _confirm_by(row, bill, now=now)
    later = now + _pause(bill.created_at, now=now)
    return Standing(
        state="awaiting_confirmation",
        confirm_by=by,
        ask_at=min(later, by) if now < by else now + MINUTE,
        package=bill.package or row.package,
    )


def _is_over(row: Withdrawal, bill: Bill, *, now: int) -> bool:
    return now >= _confirm_by(row, bill, now=now)


def _confirm_by(row: Withdrawal, bill: Bill, *, now: int) -> int:
    """Until when the payee may take it; once it was said it is moved by the member only."""
    confirm_s = terms.of(row.terms, now=now).told.confirm_s
    return row.confirm_by or bill.created_at + min(confirm_s, wechat.TAKEN_WITHIN_S)


def _pause(since: int, *, now: int) -> int:
    """The longer it has taken, the longer until it is asked about again: a minute to an hour."""
    return max(MINUTE, min(HOUR, (now - since) // 2))
