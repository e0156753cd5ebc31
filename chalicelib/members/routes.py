"""HTTP for the mini-program: the member themselves, and the brand's programs."""

from chalicelib.core import doors
from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.http import Api, Call
from chalicelib.members import service
from chalicelib.members.models import Member, Program
from chalicelib.members.schemas import EditMe, HandOver, MeAnswer, ProgramAnswer, ProgramList
from chalicelib.uploads import service as uploads

api = Api(__name__)


@api.get("/v1/me", door=doors.MEMBER, refuses=[NotFound])
def show_me(call: Call) -> MeAnswer:
    """The signed-in member."""
    return _me(service.show(call.member_id), call)


@api.put("/v1/me", door=doors.MEMBER, refuses=[NotFound, Invalid])
def edit_me(call: Call, body: EditMe) -> MeAnswer:
    """Change nickname or avatar; what is left out stays."""
    member = service.edit(member_id=call.member_id, nickname=body.nickname, avatar=body.avatar)
    return _me(member, call)


@api.get("/v1/programs", door=doors.PUBLIC)
def list_programs(call: Call) -> ProgramList:
    """The brand's mini-programs: its own app store."""
    items = [program_answer(row) for row in service.programs(now=call.now).values()]
    return ProgramList(items=items, now=call.now)


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


def _me(member: Member, call: Call) -> MeAnswer:
    return MeAnswer(
        member_id=member.member_id,
        nickname=member.nickname,
        avatar_url=uploads.url_of(service.avatar_of(member), base_url=call.base_url),
        registered_at=member.registered_at,
        state=member.state or "",
        now=call.now,
    )
