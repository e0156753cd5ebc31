"""HTTP for operators: programs, looking a member up, blocking and unblocking."""

from chalicelib.core import doors
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import Api, Call
from chalicelib.members import rules, service
from chalicelib.members.models import Member, Program
from chalicelib.members.schemas import (
    AddProgram,
    AdminMember,
    AdminProgram,
    AdminProgramList,
    Because,
    Done,
    EditProgram,
    EditTags,
    FindMember,
    HandOver,
)
from chalicelib.uploads import service as uploads

api = Api(__name__)


@api.get("/v1/admin/programs", door=doors.ANY_OPERATOR, csv=True)
def list_programs(call: Call) -> AdminProgramList:
    """The programs with the names of their secrets."""
    items = [_program(row) for row in service.programs(now=call.now).values()]
    return AdminProgramList(items=items, now=call.now)


@api.post(
    "/v1/admin/programs",
    door=doors.operators(),
    status=201,
    refuses=[service.ProgramExists, service.TooManyPrograms],
)
def add_program(call: Call, body: AddProgram) -> AdminProgram:
    """A new program of the brand."""
    return _program(service.add_program(body, by=call.operator, now=call.now))


@api.put("/v1/admin/programs/{program_id}", door=doors.operators(), refuses=[NotFound])
def edit_program(call: Call, program_id: str, body: EditProgram) -> AdminProgram:
    """Tell a program anew."""
    return _program(service.edit_program(program_id, body, by=call.operator, now=call.now))


@api.delete("/v1/admin/programs/{program_id}", door=doors.operators(), refuses=[NotFound])
def remove_program(call: Call, program_id: str) -> Done:
    """Take a program away."""
    service.remove_program(program_id, by=call.operator, now=call.now)
    return Done(id=program_id, state="removed", now=call.now)


@api.get("/v1/admin/members", door=doors.operators("support", "finance"), refuses=[NotFound, Invalid])
def find_member(call: Call, query: FindMember) -> AdminMember:
    """The member with this member_id, external_id, unionid, or openid in a program; one of them is given."""
    if query.member_id:
        return _member(service.show(query.member_id), call)
    return _member(service.find(proof=service.proofs_of(query)[0]), call)


@api.get("/v1/admin/members/{member_id}", door=doors.operators("support", "finance"), refuses=[NotFound])
def show_member(call: Call, member_id: str) -> AdminMember:
    """One member."""
    return _member(service.show(member_id), call)


@api.post("/v1/admin/members/{member_id}/block", door=doors.operators("support"), refuses=[NotFound])
def block_member(call: Call, member_id: str, body: Because) -> Done:
    """Refuse a member everywhere, within 30 seconds."""
    service.block(member_id=member_id, reason=body.reason, by=call.operator, now=call.now)
    return Done(id=member_id, state="blocked", now=call.now)


@api.post("/v1/admin/members/{member_id}/unblock", door=doors.operators("support"), refuses=[NotFound])
def unblock_member(call: Call, member_id: str, body: Because) -> Done:
    """Let a blocked member in again."""
    service.unblock(member_id=member_id, reason=body.reason, by=call.operator, now=call.now)
    return Done(id=member_id, state="active", now=call.now)


@api.put(
    "/v1/admin/members/{member_id}/tags",
    door=doors.operators("marketing", "support"),
    refuses=[NotFound, Busy],
)
def tag_member(call: Call, member_id: str, body: EditTags) -> AdminMember:
    """Say a member's tags anew."""
    return _member(service.tag(member_id, tags=set(body.tags), by=call.operator, now=call.now), call)


def _program(row: Program) -> AdminProgram:
    return AdminProgram(
        program_id=row.program_id,
        appid=row.appid,
        name=row.name,
        platform=row.platform,
        kind=row.program_kind,
        landing_page=row.landing_page,
        hand_overs=[HandOver(**one) for one in row.hand_overs],
        secret_name=row.secret_name,
    )


def _member(member: Member, call: Call) -> AdminMember:
    return AdminMember(
        member_id=member.member_id,
        nickname=member.nickname,
        avatar_url=uploads.url_of(service.avatar_of(member), base_url=call.base_url),
        registered_at=member.registered_at,
        state=member.state or "",
        program_id=member.program_id,
        identities=sorted(rules.masked_proof(proof) for proof in member.identities or ()),
        came_link=member.came_link,
        blocked_because=member.blocked_because,
        leaving_at=member.leaving_at,
        tags=sorted(member.tags or ()),
        now=call.now,
    )
