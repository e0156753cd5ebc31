"""HTTP for operators: which template of a program tells of which kind."""

from chalicelib.core import doors
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import Api, Call
from chalicelib.notifications import rules, templates
from chalicelib.notifications.schemas import EditTemplates, MessageTemplate, TemplatesAnswer

api = Api(__name__)


@api.get("/v1/admin/programs/{program_id}/templates", door=doors.ANY_OPERATOR, refuses=[NotFound])
def show_templates(call: Call, program_id: str) -> TemplatesAnswer:
    """What a program tells by WeChat, and what its keywords can be filled with."""
    return _answer(program_id, templates.show(program_id, now=call.now), call)


@api.put(
    "/v1/admin/programs/{program_id}/templates",
    door=doors.operators("marketing"),
    refuses=[NotFound, Invalid, Busy],
)
def edit_templates(call: Call, program_id: str, body: EditTemplates) -> TemplatesAnswer:
    """Say anew what a program tells by WeChat; what was refused for it can be tried again at /v1/admin/stuck."""
    templates.replace(program_id, body.items, by=call.operator, now=call.now)
    return _answer(program_id, body.items, call)


def _answer(program_id: str, items: list[MessageTemplate], call: Call) -> TemplatesAnswer:
    fields = {str(kind): dict(rules.fields_of(kind)) for kind in rules.KINDS}
    return TemplatesAnswer(
        program_id=program_id,
        items=items,
        fields={kind: {name: str(form) for name, form in told.items()} for kind, told in fields.items()},
        now=call.now,
    )
