"""Every route by every kind of caller, against the matrix of `tests.doors`; who is refused changes nothing.

WeChat Pay's doors answer it in its own words: test_wechat_pay walks them.
"""

import re

import pytest

from chalicelib.core import clock
from chalicelib.core import http as edge
from chalicelib.core.doors import Operator
from chalicelib.members import service as members
from tests.doors import CALLERS, DOORS, ROLES
from tests.samples import BEHIND_THE_DOOR, WITH_BODY
from tests.world import NOWHERE, World, assert_refused


def ours() -> list[edge.Route]:
    """Every route but those that only WeChat Pay calls."""
    return [route for route in edge.routes if route.door.kind != "wechat"]


def test_the_table_of_doors_has_a_line_for_every_route() -> None:
    assert sorted(DOORS) == sorted(f"{route.method} {route.path}" for route in ours())


def test_there_is_a_sample_for_every_route_with_a_body() -> None:
    assert sorted(f"{route.method} {route.path}" for route in ours() if "body" in route.hints) == WITH_BODY


def expected(caller: str, door: str) -> tuple[int, str]:
    """How a caller is refused who may not pass."""
    if door == "mall":
        return 401, "signature_invalid"
    if door in ("public", "member") and caller == "blocked":
        return 403, "member_blocked"
    if door == "operator" and caller in ROLES:
        return 403, "forbidden"
    return 401, "unauthorized"


@pytest.mark.parametrize("route", DOORS)
def test_only_those_pass_who_may(route: str, world: World) -> None:
    door = next(one.door.kind for one in edge.routes if f"{one.method} {one.path}" == route)
    before = world.books()

    refusals = {caller: world.call(route, caller) for caller in CALLERS if caller not in DOORS[route]}
    told = {caller: (answer.status, answer.code) for caller, answer in refusals.items()}
    assert told == {caller: expected(caller, door) for caller in refusals}
    assert world.books() == before

    passed = {caller: world.call(route, caller) for caller in DOORS[route]}
    first = passed[DOORS[route][0]]
    assert first.status in (200, 201) or first.code == BEHIND_THE_DOOR.get(route)
    at_the_door = {"unauthorized", "forbidden", "member_blocked", "signature_invalid"}
    assert not {answer.code for answer in passed.values()} & at_the_door
    assert all(answer.status < 500 for answer in passed.values())


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Token {token}",
        "{token}",
        "Bearer {token} extra",
        "Bearer Bearer {token}",
        "Bearer é",
        "Bearer null",
        "Bearer undefined",
    ],
)
def test_a_header_that_is_no_bearer_token_is_nobodys(shown: str, world: World) -> None:
    for route, caller in (("GET /v1/me", "member"), ("GET /v1/admin/me", "owner")):
        given = shown.format(token=world.bearers[caller]).encode("latin-1").decode("latin-1")
        assert_refused(world.call(route, "stranger", authorization=given), 401, "unauthorized")


def test_the_scheme_is_read_in_any_case(world: World) -> None:
    given = f"bEaReR  {world.bearers['member']}"

    assert world.call("GET /v1/me", "stranger", authorization=given).json["member_id"] == world.alice


def test_a_session_ends_for_whom_the_shop_blocks(world: World) -> None:
    by = Operator(key_id="opk_1", name="owner", role="owner")
    assert world.call("GET /v1/me", "member").status == 200

    members.block(member_id=world.alice, reason="spam", by=by, now=clock.now())

    assert_refused(world.call("GET /v1/me", "member"), 403, "member_blocked")


MINE_ALONE = [
    "POST /v1/uploads/{upload_id}/done",
    "PUT /v1/uploads/{upload_id}",
    "DELETE /v1/links/{code}",
    "DELETE /v1/me/coupons/{coupon_id}/gifts",
    "GET /v1/attributions/{order_id}",
    "GET /v1/commissions/{commission_id}/explanation",
    "GET /v1/links/{code}/funnel",
    "GET /v1/me/coupons/{coupon_id}/code",
    "GET /v1/me/invitees/{member_id}",
    "GET /v1/me/withdrawals/{withdrawal_id}",
    "GET /v1/orders/{order_id}",
    "POST /v1/me/coupons/{coupon_id}/gifts",
    "POST /v1/me/withdrawals/{withdrawal_id}/cancel",
    "POST /v1/orders/{order_id}/cancel",
    "POST /v1/orders/{order_id}/payments",
    "POST /v1/orders/{order_id}/payments/check",
]


@pytest.mark.parametrize("route", MINE_ALONE)
def test_somebody_elses_id_answers_as_if_it_did_not_exist(route: str, world: World) -> None:
    before = world.books()

    theirs = world.call(route, "another")
    nowhere = re.sub(r"\{\w+\}", NOWHERE, route.split()[1])
    nobodys = world.call(route, "another", path=nowhere)

    assert assert_refused(theirs, 404, "not_found") == assert_refused(nobodys, 404, "not_found")
    assert theirs.json["error"]["message"] == nobodys.json["error"]["message"]
    assert world.books() == before
