"""HTTP for the mini-program's cold start."""

from dataclasses import replace

from chalicelib.core import doors
from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.members import rules
from chalicelib.members import service as members
from chalicelib.sessions import service
from chalicelib.sessions.schemas import SignedIn, SignedInMember, SignIn
from chalicelib.sharing import signals
from chalicelib.sharing.answers import visit_answer
from chalicelib.uploads import service as uploads
from chalicelib.wechat import service as wechat
from chalicelib.wechat.client import App, Unanswered, WeChatMisconfigured, WeChatTooOften, WeChatUnavailable

api = Api(__name__)


@api.post(
    "/v1/sessions",
    door=doors.PUBLIC,
    status=201,
    refuses=[
        Invalid,
        NotFound,
        members.MemberBlocked,
        wechat.LoginCodeInvalid,
        wechat.LoginRefused,
        wechat.LoginTooOften,
        WeChatUnavailable,
        Unanswered,
        WeChatMisconfigured,
        WeChatTooOften,
    ],
)
def sign_in(call: Call, body: SignIn) -> Reply[SignedIn]:
    """Sign in with a login code, and by the link or visit that led here: one call for a cold start."""
    program = members.program(body.program_id, now=call.now)
    app = App(appid=program.appid, secret_name=program.secret_name)
    login = wechat.code_to_session(app, code=body.code, now=call.now)
    proofs = [rules.openid_proof(program_id=program.program_id, openid=login.openid)]
    if login.unionid:
        proofs.append(rules.unionid_proof(login.unionid))
    came_by = service.CameBy(
        link=body.link,
        visit_token=body.visit_token,
        wx_scene=body.wx_scene,
        places=signals.places(device=body.device, address=call.ip, now=call.now),
    )
    signed_in = service.sign_in(proofs=proofs, program_id=program.program_id, came_by=came_by, now=call.now)
    visitor = members.visitor_key(proofs)
    return signed_in_answer(
        signed_in, call, visitor=visitor, program_id=program.program_id, wx_scene=body.wx_scene
    )


def signed_in_answer(
    signed_in: service.SignedIn, call: Call, *, visitor: str, program_id: str, wx_scene: int | None
) -> Reply[SignedIn]:
    """The session; 201 for a new member, 200 for one who is known."""
    member = signed_in.member
    token, expires_at = members.token_for(member, program_id=program_id, visitor=visitor, now=call.now)
    session = doors.Session(member_id=member.member_id, program_id=program_id, visitor=visitor)
    known = replace(call, caller=doors.Caller(session=session))
    visit = None
    if signed_in.visit is not None:
        visit = visit_answer(
            signed_in.visit,
            known,
            wx_scene=wx_scene,
            counted=True,
            program_id=program_id,
            bound=signed_in.bound,
        )
    answer = SignedIn(
        token=token,
        expires_at=expires_at,
        member=SignedInMember(
            member_id=member.member_id,
            nickname=member.nickname,
            avatar_url=uploads.url_of(members.avatar_of(member), base_url=call.base_url),
            registered_at=member.registered_at,
            state=member.state or "",
            new=signed_in.new,
        ),
        visit=visit,
        bound=signed_in.bound,
        visit_refused=signed_in.visit_refused,
        now=call.now,
    )
    return Reply(answer, 201 if signed_in.new else 200)
