"""Every route that changes something, with each of its storage calls failed in each way: told or done, once.

The clean call, with the stream's readers and the jobs behind it, shows how the table is to look. Then each storage
call of the request fails in each way; who was not answered, or told that it failed, calls again as before; and
when all has come to rest the table must look the same and hold every rule, and the last answer be the same or say
that it was done.
`make test` plays one case of a write of every route, another one of each; ``FAULTS=all`` plays all of them.
"""

import zlib
from collections.abc import Sequence

import pytest

from tests.doors import DOORS
from tests.faults.sweep import Near, Picture, Stage, stage
from tests.harness.books import drifts, wrong
from tests.harness.faults import EVERY, Fault, Killed, failing, faults_of, note, recording
from tests.harness.wire import WRITES
from tests.world import Answer, World, world_wechat

__all__ = ["stage", "world_wechat"]
CHANGING = [route for route in DOORS if not route.startswith("GET ")]
REFUSED = {
    "POST /v1/me/deletion",
    "POST /v1/me/chat-groups",
    "POST /v1/me/private-messages",
    "POST /v1/admin/orders/{order_id}/shipment",
}
"""What the sample is refused, for a reason that the shop has; see `test_http`."""
TRIES = 3
ALREADY = {
    "DELETE /v1/admin/cards/{card_id}": "not_found",
    "DELETE /v1/admin/programs/{program_id}": "not_found",
    "POST /v1/admin/stuck/{stuck_id}/retry": "not_found",
}
"""What who calls again is told of what was done: it is not there any more."""
NOTED_AGAIN = {
    "PUT /v1/admin/badges/{badge_id}",
    "POST /v1/admin/orders/{order_id}/refund",
    "POST /v1/admin/withdrawals/statements/export",
    "POST /v1/admin/withdrawals/{withdrawal_id}/payee",
}
"""Where the trail says how often an operator asked, or saw something, and not what came of it."""
Case = tuple[int, str, Fault]


@pytest.mark.parametrize("route", CHANGING)
def test_a_fault_leaves_nothing_undone_and_nothing_done_twice(route: str, stage: Stage) -> None:
    assert broken_by(stage, route) == {}


def test_who_calls_again_under_no_key_is_seen_to_do_it_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Near, "headers", World.headers)
    monkeypatch.setitem(globals(), "played", lambda _, calls: [(len(calls), calls[-1], Fault.CRASH)])

    assert list(broken_by(stage, "POST /v1/admin/groupbuys")) == ["call 5 of 5 (BatchGetItem): crash"]


def broken_by(stage: Stage, route: str) -> dict[str, list[str]]:
    """What is wrong after which of the route's cases."""
    _begins(stage, route)
    with recording(stage.store) as calls:
        told = stage.call(route)
    assert told.status < 300 or route in REFUSED, told.content
    stage.rest()
    clean = stage.picture()

    broken = {}
    for case in played(route, calls):
        wrongs = [*met(stage, route, case, told), *differences(clean, stage.picture(), route=route)]
        # A read has no effect: where it failed, nothing can be left but what the picture shows.
        wrongs += holds(stage) if case[1] in WRITES else []
        if wrongs:
            broken[f"call {case[0]} of {len(calls)} ({case[1]}): {case[2]}"] = wrongs
    return broken


def played(route: str, calls: Sequence[str]) -> list[Case]:
    """The cases of a route; but for ``FAULTS=all`` one, at a write if it has any."""
    every = [(n, name, fault) for n, name in enumerate(calls, start=1) for fault in faults_of(name)]
    if EVERY:
        return every
    writes = [case for case in every if case[1] in WRITES] or every
    return [writes[zlib.crc32(route.encode()) % len(writes)]]


def met(stage: Stage, route: str, case: Case, clean: Answer) -> list[str]:
    """The call with its fault, again if it was not answered well, and all that follows; what answer was wrong."""
    call, _, fault = case
    _begins(stage, route)
    with failing(stage.store, call=call, fault=fault) as blow:
        answer = _answer(stage, route)
    assert blow.fell, "the call was never made"
    came_through = not _again(answer)
    note(fault=fault, call=call, came_through=came_through)
    found = [] if answer is None or answer.status != 500 else ["a bare storage error escaped"]
    for _ in range(TRIES):
        if _again(answer):
            # Whoever holds something for a call that is gone lets go of it soon.
            stage.clock += 15
            answer = stage.call(route)
    assert answer is not None
    same = (answer.status < 300, answer.code) == (clean.status < 300, clean.code)
    if not same and answer.code != ALREADY.get(route):
        found.append(f"{'at once' if came_through else 'again'}: {answer.status} {answer.code}")
    stage.rest()
    return found


def _begins(stage: Stage, route: str) -> None:
    """All is as it was kept, and the code that a phone shows is there before the call that it is shown for."""
    stage.restore()
    stage.world.asked(route)


def _again(answer: Answer | None) -> bool:
    """Whether the caller has to call again: nothing was answered, or that it, or a part of it, failed."""
    return answer is None or answer.status >= 500 or b'"busy"' in answer.content


def _answer(stage: Stage, route: str) -> Answer | None:
    """What the caller is told; nothing, where the process is gone."""
    try:
        return stage.call(route)
    except Killed:
        return None


def differences(clean: Picture, found: Picture, *, route: str = "") -> list[str]:
    """Rows that a table without a fault has, and this has not; and those that it has not."""
    more = (found - clean).elements()
    if route in NOTED_AGAIN:
        more = (row for row in more if row not in clean or ("kind", "audit") not in row)
    missing = [f"missing: {dict(row)}" for row in (clean - found).elements()]
    return missing + [f"too much: {dict(row)}" for row in more]


def holds(stage: Stage) -> list[str]:
    """Which rules are broken, and which numbers the reconciler would tell."""
    return [*wrong(stage.rows(), rest_at=stage.later), *drifts(now=stage.later)]
