"""HTTP for the mini-program: the member themselves, and the brand's programs."""

from typing import Any

from chalicelib.core import doors, estates
from chalicelib.core.errors import Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.members import answers, leaving, service
from chalicelib.members.models import Leaving, Program
from chalicelib.members.schemas import (
    AskDeletion,
    DeletionAnswer,
    EditMe,
    ExportAnswer,
    HandOver,
    MeAnswer,
    ObstacleAnswer,
    ProgramAnswer,
    ProgramList,
)
from chalicelib.safety.service import ContentRefused

api = Api(__name__)


@api.get("/v1/me", door=doors.MEMBER, refuses=[NotFound])
def show_me(call: Call) -> MeAnswer:
    """The signed-in member."""
    return answers.me(service.show(call.member_id), call)


@api.put("/v1/me", door=doors.MEMBER, refuses=[NotFound, Invalid, ContentRefused])
def edit_me(call: Call, body: EditMe) -> MeAnswer:
    """Change nickname or avatar; what is left out stays. A nickname that is still to be checked is pending."""
    member = service.present(
        member_id=call.member_id,
        program_id=call.program_id,
        nickname=body.nickname,
        avatar=body.avatar,
        now=call.now,
    )
    return answers.me(member, call)


@api.get("/v1/me/deletion", door=doors.MEMBER)
def show_deletion(call: Call) -> DeletionAnswer:
    """Whether the member is leaving, and what they must end first."""
    return _deletion(leaving.find(call.member_id), call)


@api.post("/v1/me/deletion", door=doors.MEMBER, status=201, refuses=[NotFound, leaving.DeletionObstructed])
def ask_deletion(call: Call, body: AskDeletion) -> Reply[DeletionAnswer]:
    """Ask to be erased in fifteen days; asked already, 200 with the same time. Points and coupons end with it."""
    row, made = leaving.ask(call.member_id, forfeit=body.forfeit, now=call.now)
    return Reply(_deletion(row, call), 201 if made else 200)


@api.delete("/v1/me/deletion", door=doors.MEMBER, refuses=[leaving.DeletionBegun])
def take_deletion_back(call: Call) -> DeletionAnswer:
    """Stay; who did not ask to leave does anyway."""
    leaving.take_back(call.member_id, now=call.now)
    return _deletion(None, call)


@api.get("/v1/me/export", door=doors.MEMBER, refuses=[NotFound])
def export_me(call: Call) -> ExportAnswer:
    """All that is kept of the member, by room."""
    told = {name: _export(name, now=call.now) for name in service.names_of(call.member_id)}
    rooms = told.pop(call.member_id)
    return ExportAnswer(member_id=call.member_id, rooms=rooms, formerly=told, now=call.now)


def _export(member_id: str, *, now: int) -> dict[str, dict[str, Any]]:
    return {room: dict(told) for room, told in estates.exported(member_id, now=now).items()}


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


def _deletion(row: Leaving | None, call: Call) -> DeletionAnswer:
    forfeit = row is not None and row.forfeit
    obstacles = leaving.told(leaving.in_the_way(call.member_id, forfeit=forfeit, now=call.now))
    postponed_by = (row.obstacles if row is not None else None) or []
    return DeletionAnswer(
        state="active" if row is None else "leaving",
        erase_at=row.erase_at if row is not None else None,
        forfeit=forfeit,
        obstacles=[ObstacleAnswer(**one) for one in obstacles],
        postponed_by=[ObstacleAnswer(**one) for one in postponed_by],
        now=call.now,
    )
