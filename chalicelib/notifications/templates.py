"""The rules of templates: which of a program's tells of a kind, and what fills its keywords."""

from collections.abc import Mapping
from typing import Any

import msgspec

from chalicelib.core import table
from chalicelib.core.cache import Cache
from chalicelib.core.doors import Operator
from chalicelib.core.errors import Busy, Invalid
from chalicelib.core.table import Write
from chalicelib.members import service as members
from chalicelib.notifications import rules
from chalicelib.notifications.models import Templates
from chalicelib.notifications.rules import Kind
from chalicelib.notifications.schemas import MessageTemplate
from chalicelib.operators import service as operators

_all: Cache[dict[str, dict[str, MessageTemplate]]] = Cache()


def _everything(*, now: int) -> Mapping[str, Mapping[str, MessageTemplate]]:
    """By program and kind, at most 30 seconds old."""

    def load() -> dict[str, dict[str, MessageTemplate]]:
        return {row.program_id: _by_kind(row) for row in table.query_all(Templates, "MESSAGETEMPLATES")}

    return _all.get("all", now=now, load=load)


def _by_kind(row: Templates) -> dict[str, MessageTemplate]:
    items = [msgspec.convert(item, type=MessageTemplate) for item in row.items]
    return {item.kind: item for item in items}


def of_kind(kind: str, *, now: int) -> dict[str, MessageTemplate]:
    """The template that tells of a kind, by program, of those that have one."""
    found = _everything(now=now)
    return {program_id: items[kind] for program_id, items in found.items() if kind in items}


def of_program(program_id: str, *, now: int) -> Mapping[str, MessageTemplate]:
    """What a program tells by WeChat, by kind, at most 30 seconds old."""
    return _everything(now=now).get(program_id, {})


def show(program_id: str, *, now: int) -> list[MessageTemplate]:
    """What a program tells by WeChat, as it is now.

    Raises:
        NotFound: there is no such program.
    """
    members.program(program_id, now=now)
    row = table.get(Templates, Templates.key(program_id))
    return list(_by_kind(row).values()) if row is not None else []


def replace(program_id: str, items: list[MessageTemplate], *, by: Operator, now: int) -> None:
    """Say anew what a program tells by WeChat; the same again changes nothing.

    Raises:
        NotFound: there is no such program. Invalid: WeChat would not take it so. Busy: somebody else edits it.
    """
    members.program(program_id, now=now)
    _valid(items)
    before = table.get(Templates, Templates.key(program_id))
    told = [msgspec.to_builtins(item) for item in items]
    if before is not None and before.items == told:
        return
    row = Templates(*Templates.key(program_id), program_id=program_id, items=told)
    table.transact([_put(row, before), _audit(row, before, by=by, now=now)])
    _all.clear()


def _put(row: Templates, before: Templates | None) -> Write:
    row.rev = 1 if before is None else before.rev + 1
    as_read = Templates.pk.does_not_exist() if before is None else Templates.rev == before.rev
    return Write(operation="Put", row=row, when=as_read, refuse=Busy)


def _audit(row: Templates, before: Templates | None, *, by: Operator, now: int) -> Write:
    was: Any = before.items if before is not None else None
    return operators.recorded(
        by=by, action="message_templates.edited", subject=row.program_id, before=was, after=row.items, now=now
    )


def _valid(items: list[MessageTemplate]) -> None:
    kinds: set[Kind] = set()
    for n, item in enumerate(items):
        if item.kind in kinds:
            raise Invalid(field=f"items.{n}.kind", reason="a kind has one template")
        kinds.add(item.kind)
        for keyword, source in item.keywords.items():
            if refused := rules.why_not(item.kind, keyword, source):
                fields = rules.fields_of(item.kind)
                raise Invalid(field=f"items.{n}.keywords.{keyword}", reason=refused, fields=fields)
