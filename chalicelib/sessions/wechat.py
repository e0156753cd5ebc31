"""HTTP for WeChat's own servers: what it pushes to a program."""

import re
from urllib.parse import parse_qsl

from chalicelib.core import doors
from chalicelib.core.doors import Approach
from chalicelib.core.errors import BadRequest, NotFound, SignatureInvalid
from chalicelib.core.http import Api, Call, Document
from chalicelib.members import service as members
from chalicelib.sessions.schemas import Echo, PushedWith
from chalicelib.wechat import pay, pushes

api = Api(__name__)
_MESSAGES = re.compile(r"/v1/wechat/([^/]+)/messages")


def admit(approach: Approach, now: int) -> None:
    """The guard of WeChat's door: what is pushed is signed in its query, what WeChat Pay tells in its headers.

    Raises:
        SignatureInvalid: it is not WeChat, or not now.
    """
    path, _, query = approach.target.partition("?")
    pushed = _MESSAGES.fullmatch(path)
    if pushed is None:
        pay.admit(approach.headers, approach.body, now)
        return
    try:
        app = members.app(pushed[1], now=now)
    except NotFound as unknown:
        raise SignatureInvalid from unknown
    pushes.admit(app, dict(parse_qsl(query)), now=now)


@api.get("/v1/wechat/{program_id}/messages", door=doors.WECHAT, types=["text/plain"])
def echo(call: Call, program_id: str, query: Echo) -> Document:
    """What WeChat asks once, when the address is entered in the program's settings: its own word back."""
    return Document(query.echostr, "text/plain; charset=utf-8")


@api.post(
    "/v1/wechat/{program_id}/messages",
    door=doors.WECHAT,
    refuses=[BadRequest, SignatureInvalid],
    types=["text/plain"],
)
def take_push(call: Call, program_id: str, query: PushedWith, body: bytes) -> Document:
    """Something that WeChat tells, noted and answered at once; rooms work from the fact."""
    app = members.app(program_id, now=call.now)
    given = {name: getattr(query, name) for name in query.__struct_fields__}
    pushes.note(pushes.read(app, body, given, now=call.now), program_id=program_id, now=call.now)
    return Document("success", "text/plain; charset=utf-8")
