"""HTTP for the mini-program: the member themselves, and the brand's programs."""

from chalicelib.core import doors
from chalicelib.core.errors import NotFound
from chalicelib.core.http import Api, Call
from chalicelib.members import answers, service
from chalicelib.members.models import Member, Program
from chalicelib.members.schemas import EditMe, HandOver, MeAnswer, MemberAnswer, ProgramAnswer, ProgramList
from chalicelib.safety.service import ContentRefused

api = Api(__name__)


@api.get("/v1/me", door=doors.MEMBER, refuses=[NotFound])
def show_me(call: Call) -> MeAnswer:
    """The signed-in member."""
    return answers.me(service.show(call.member_id), call)


@api.put("/v1/me", door=doors.MEMBER, refuses=[NotFound, ContentRefused])
def edit_me(call: Call, body: EditMe) -> MeAnswer:
    """Change nickname or avatar; what is left out stays. A nickname that is still to be checked is pending."""
    who = call.member_id
    if body.nickname is not None:
        service.name(body.nickname, member_id=who, program_id=call.program_id, now=call.now)
    return answers.me(service.edit(member_id=who, nickname=None, avatar_url=body.avatar_url), call)


@api.get("/v1/programs", door=doors.PUBLIC)
def list_programs(call: Call) -> ProgramList:
    """The brand's mini-programs: its own app store."""
    items = [program_answer(row) for row in service.programs(now=call.now).values()]
    return ProgramList(items=items, now=call.now)


def member_answer(member: Member) -> MemberAnswer:
    """A member as they see themselves."""
    return MemberAnswer(
        member_id=member.member_id,
        nickname=member.nickname,
        avatar_url=member.avatar_url,
        registered_at=member.registered_at,
        state=member.state or "",
    )


def program_answer(row: Program) -> ProgramAnswer:
    """A program as everybody may know it."""
    return ProgramAnswer(
        program_id=row.program_id,
        appid=row.appid,
        name=row.name,
        platform=row.platform,
        kind=row.program_kind,
        landing_page=row.landing_page,
        hand_overs=[HandOver(**one) for one in row.hand_overs],
    )
