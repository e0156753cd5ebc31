"""HTTP for WeChat Pay: how a transfer ended, told twice and out of order, until the answer is 200."""

from chalicelib.core import doors
from chalicelib.core.errors import Busy, Invalid, NotFound, SignatureInvalid
from chalicelib.core.http import Api, Call
from chalicelib.wechat import pay, transfers
from chalicelib.wechat.pay import PayUnknown
from chalicelib.wechat.schemas import SealedNotice, Taken
from chalicelib.withdrawals import sending

api = Api(__name__)


@api.post(
    "/v1/wechat/{program_id}/transfers",
    door=doors.WECHAT,
    refuses=[SignatureInvalid, NotFound, Invalid, Busy],
)
def transfer(call: Call, program_id: str, body: SealedNotice) -> Taken:
    """A transfer was paid, has failed or was cancelled; told again, nothing changes."""
    notice = pay.notice(body, now=call.now)
    try:
        bill = transfers.told(notice)
    except PayUnknown as unreadable:
        raise Invalid(field="resource", reason=str(unreadable)) from unreadable
    if bill is not None:
        sending.told_by_wechat(bill, now=call.now)
    return Taken()
