"""HTTP for the mall's servers: sessions for members whom the mall has signed in itself."""

from chalicelib.core import doors
from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.members import rules
from chalicelib.members import service as members
from chalicelib.sessions import service
from chalicelib.sessions.routes import signed_in_answer
from chalicelib.sessions.schemas import SignedIn, VouchFor
from chalicelib.sharing import signals

api = Api(__name__)


@api.post(
    "/v1/mall/sessions",
    door=doors.MALL,
    status=201,
    refuses=[Invalid, NotFound, members.MemberBlocked, members.MemberLeaving],
)
def vouch(call: Call, body: VouchFor) -> Reply[SignedIn]:
    """A session on the mall's word: a second wx.login would break the mall's own session_key."""
    program = members.program(body.program_id, now=call.now)
    proofs = [rules.external_proof(body.external_id)]
    if body.openid:
        proofs.append(rules.openid_proof(program_id=program.program_id, openid=body.openid))
    if body.unionid:
        proofs.append(rules.unionid_proof(body.unionid))
    came_by = service.CameBy(
        link=body.link,
        visit_token=body.visit_token,
        wx_scene=body.wx_scene,
        places=signals.places(device=body.device, address=body.address, now=call.now),
    )
    signed_in = service.sign_in(proofs=proofs, program_id=program.program_id, came_by=came_by, now=call.now)
    visitor = members.visitor_key(proofs)
    return signed_in_answer(
        signed_in, call, visitor=visitor, program_id=program.program_id, wx_scene=body.wx_scene
    )
