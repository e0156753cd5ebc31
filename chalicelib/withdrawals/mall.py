"""HTTP for the mall's servers: how a transfer that the mall was asked for ended."""

from chalicelib.core import doors
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import Api, Call
from chalicelib.withdrawals import sending, service
from chalicelib.withdrawals.schemas import OutcomeTaken, TransferOutcome

api = Api(__name__)


@api.post(
    "/v1/mall/withdrawals/{withdrawal_id}/outcome",
    door=doors.MALL,
    refuses=[NotFound, Invalid, service.WithdrawalOver, Busy],
)
def tell(call: Call, withdrawal_id: str, body: TransferOutcome) -> OutcomeTaken:
    """A transfer was paid, has failed or expired; told again, nothing changes."""
    row = sending.told_by_mall(withdrawal_id, body, now=call.now)
    return OutcomeTaken(
        withdrawal_id=row.withdrawal_id,
        state=row.state or "",
        amount_fen=row.amount_fen,
        fee_fen=row.fee_fen,
        tax_fen=row.tax_fen,
        net_fen=row.net_fen,
        now=call.now,
    )
