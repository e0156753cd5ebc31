"""No call breaks a route: no 5xx, no status, header, media type or body that the contract does not tell of; what is
as the contract says is read, and what is not is refused.

    make fuzz                          more calls, other ones each time: FUZZ_EXAMPLES=200 FUZZ_SEED=7
"""

import os

import pytest

from tests import proof
from tests.doors import DOORS
from tests.fuzz.calls import Calling, covering, drawn, example, operations
from tests.world import Beginning, World

COUNT = int(os.environ.get("FUZZ_EXAMPLES", "0"))
SEED = int(os.environ["FUZZ_SEED"]) if "FUZZ_SEED" in os.environ else None
CALLERS = ("stranger", "member", "another", "owner", "finance", "mall")
SOME = sorted(DOORS)[::24]
"""Whose calls are made up in `make test`, where every operation is sent its example by everybody."""


@pytest.mark.parametrize("route", DOORS)
def test_no_call_breaks_a_route(route: str, world: World, beginning: Beginning) -> None:
    operation = operations()[route]
    callings = [Calling(beginning=beginning, operation=operation, caller=caller) for caller in CALLERS]

    for calling in callings:
        calling.one(example(operation))
    passing = [calling for calling in callings if may_pass(calling.caller, route)]
    for calling in passing if COUNT else passing[-1:] if route in SOME else []:
        calling.all(covering(operation))
        calling.all(drawn(operation, count=COUNT or 1, seed=SEED))

    for calling in callings:
        note(route, calling)
    wrong = [told for calling in callings for told in calling.wrong.values()]
    assert not wrong, "\n\n".join(wrong)


def may_pass(caller: str, route: str) -> bool:
    """Whether the door is theirs; another member's is a member's."""
    return (caller if caller != "another" else "member") in DOORS[route]


def note(route: str, calling: Calling) -> None:
    """Keep what came of it, for the report of `make fuzz`."""
    told = {"phases": calling.phases, "statuses": calling.statuses, "wrong": len(calling.wrong)}
    proof.note("FUZZ_REPORT", route=route, caller=calling.caller, **told)
