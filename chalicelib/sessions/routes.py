"""HTTP for the mini-program's cold start."""

from msgspec.structs import replace

from chalicelib.core import doors, limits, telemetry
from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.members import rules
from chalicelib.members import service as members
from chalicelib.members.answers import me
from chalicelib.members.schemas import MeAnswer
from chalicelib.safety import risk
from chalicelib.sessions import proving, service
from chalicelib.sessions.schemas import (
    CameFromChat,
    ChatGroup,
    PrivateMessage,
    SharePhone,
    SignedIn,
    SignedInMember,
    SignIn,
    VerifyPrivateMessage,
)
from chalicelib.sharing import policies, signals
from chalicelib.sharing.answers import visit_answer
from chalicelib.uploads import service as uploads
from chalicelib.wechat import service as wechat
from chalicelib.wechat.budgets import WeChatBudgetSpent
from chalicelib.wechat.client import (
    Unanswered,
    WeChatMisconfigured,
    WeChatRefused,
    WeChatTooOften,
    WeChatUnavailable,
)
from chalicelib.wechat.opendata import SessionKeyStale

api = Api(__name__)
_WECHAT = [
    WeChatUnavailable,
    Unanswered,
    WeChatMisconfigured,
    WeChatTooOften,
    WeChatRefused,
    WeChatBudgetSpent,
]
_OPENED = [NotFound, Invalid, SessionKeyStale]


@api.post(
    "/v1/sessions",
    door=doors.PUBLIC,
    status=201,
    refuses=[
        Invalid,
        NotFound,
        members.MemberBlocked,
        members.MemberLeaving,
        wechat.LoginCodeInvalid,
        wechat.LoginRefused,
        wechat.LoginTooOften,
        *_WECHAT,
    ],
)
def sign_in(call: Call, body: SignIn) -> Reply[SignedIn]:
    """Sign in with a login code, and by the link or visit that led here: one call for a cold start."""
    program = members.program(body.program_id, now=call.now)
    app = members.app(program.program_id, now=call.now)
    login = wechat.code_to_session(app, code=body.code, now=call.now)
    proofs = _proofs(login, program.program_id)
    visitor = members.visitor_key(proofs)
    limits.admit(visitor, "POST /v1/sessions", a_minute=limits.A_MINUTE, now=call.now)
    came_by = service.CameBy(
        link=body.link,
        visit_token=body.visit_token,
        wx_scene=body.wx_scene,
        places=signals.places(device=body.device, address=call.ip, now=call.now),
        session_key=login.session_key,
    )
    signed_in = service.sign_in(proofs=proofs, program_id=program.program_id, came_by=came_by, now=call.now)
    _ask_how_risky(signed_in, call, program_id=program.program_id)
    return signed_in_answer(
        signed_in, call, visitor=visitor, program_id=program.program_id, wx_scene=body.wx_scene
    )


def _proofs(login: wechat.Login, program_id: str) -> list[str]:
    proofs = [rules.openid_proof(program_id=program_id, openid=login.openid)]
    return [*proofs, rules.unionid_proof(login.unionid)] if login.unionid else proofs


def _ask_how_risky(signed_in: service.SignedIn, call: Call, *, program_id: str) -> None:
    """Whoever comes by somebody's link may earn them something: WeChat's rank is a signal for that, once a day."""
    if signed_in.visit is not None and policies.limits(policies.current(now=call.now)).risk_rank:
        writer = members.writer(signed_in.member.member_id, program_id, call.now)
        risk.rank(writer, ip=call.ip, scene=risk.REGISTERING, now=call.now)


@api.post(
    "/v1/me/phone",
    door=doors.MEMBER,
    refuses=[NotFound, proving.PhoneCodeInvalid, members.PhoneTaken, *_WECHAT],
)
def share_phone(call: Call, body: SharePhone) -> MeAnswer:
    """The phone number that the person let WeChat tell is theirs from now on."""
    app = members.app(call.program_id, now=call.now)
    return me(proving.phone(body.code, member_id=call.member_id, app=app, now=call.now), call)


@api.post("/v1/me/chat-groups", door=doors.MEMBER, refuses=_OPENED)
def come_from_chat(call: Call, body: CameFromChat) -> ChatGroup:
    """The group chat that the program was opened from: a scope for boards and challenges among those in it."""
    group_id = proving.chat_group(
        body.encrypted_data,
        body.iv,
        member_id=call.member_id,
        program_id=call.program_id,
        app=members.app(call.program_id, now=call.now),
        now=call.now,
    )
    return ChatGroup(chat_group_id=group_id, now=call.now)


@api.post("/v1/me/private-messages", door=doors.MEMBER, refuses=_OPENED)
def verify_private_message(call: Call, body: VerifyPrivateMessage) -> PrivateMessage:
    """Whether a private message was sent to this member, which the phone cannot forge."""
    valid = proving.private_message(
        body.encrypted_data,
        body.iv,
        activity_id=body.activity_id,
        member_id=call.member_id,
        program_id=call.program_id,
        app=members.app(call.program_id, now=call.now),
    )
    return PrivateMessage(valid=valid, now=call.now)


def signed_in_answer(
    signed_in: service.SignedIn, call: Call, *, visitor: str, program_id: str, wx_scene: int | None
) -> Reply[SignedIn]:
    """The session; 201 for a new member, 200 for one who is known."""
    member = signed_in.member
    telemetry.note(member_id=member.member_id)
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
        leaving_at=member.leaving_at,
        now=call.now,
    )
    return Reply(answer, 201 if signed_in.new else 200)
