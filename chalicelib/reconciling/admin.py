"""HTTP for operators: what does not add up, and when that was looked at."""

from chalicelib.core import cursors, doors
from chalicelib.core.http import Api, Call, Items, Listing
from chalicelib.reconciling import service
from chalicelib.reconciling.models import Drift, Pass
from chalicelib.reconciling.schemas import DriftAnswer, PassAnswer

api = Api(__name__)
_FINANCE = doors.operators("support", "finance")


@api.get("/v1/admin/drifts", door=_FINANCE, refuses=[cursors.CursorInvalid], csv=True)
def list_drifts(call: Call, query: Listing) -> Items[DriftAnswer]:
    """The numbers that did not add up, with both of their values, and those that do again, with since when."""
    after = cursors.unseal(query.after, where="drifts", now=call.now)
    page = service.drifts(limit=query.limit, after=after)
    items = [_drift(row) for row in page.rows]
    return Items(items=items, next=cursors.seal(page.next_key, where="drifts", now=call.now), now=call.now)


@api.get("/v1/admin/reconciliations", door=_FINANCE, refuses=[cursors.CursorInvalid], csv=True)
def list_passes(call: Call, query: Listing) -> Items[PassAnswer]:
    """When the books were proved, newest first: daily what moved, monthly all of it."""
    after = cursors.unseal(query.after, where="reconciliations", now=call.now)
    page = service.passes(limit=query.limit, after=after)
    next_page = cursors.seal(page.next_key, where="reconciliations", now=call.now)
    return Items(items=[_pass(row) for row in page.rows], next=next_page, now=call.now)


def _drift(row: Drift) -> DriftAnswer:
    return DriftAnswer(**{name: getattr(row, name) for name in DriftAnswer.__struct_fields__})


def _pass(row: Pass) -> PassAnswer:
    names = [name for name in PassAnswer.__struct_fields__ if name != "name"]
    return PassAnswer(name=row.sk, **{name: getattr(row, name) for name in names})
