"""Each path leads to its route, as Chalice's local server would find it, and whatever else leads nowhere."""

import string

import pytest
from chalice.local import RouteMatcher
from hypothesis import given
from hypothesis import strategies as st

import app
from chalicelib.core import http
from chalicelib.core.dispatch import Paths

ROUTES = sorted({route.path for route in http.routes})
PATHS, LOCAL = Paths(ROUTES), RouteMatcher(ROUTES)
LITERALS = sorted({part for path in ROUTES for part in path.split("/") if part and not part.startswith("{")})
UNRESERVED = string.ascii_letters + string.digits + "_.~-"

an_id = st.text(UNRESERVED, min_size=1, max_size=20).filter(lambda text: text not in LITERALS)
a_segment = st.sampled_from(LITERALS) | an_id


def filled(path: str, values: list[str]) -> tuple[str, dict[str, str]]:
    """A path of this route, and what stands for each of its parameters."""
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    parameters = dict(zip(names, values, strict=False))
    return path.format(**parameters), parameters


@pytest.mark.parametrize("path", ROUTES)
def test_every_route_is_found_with_its_own_parameters(path: str) -> None:
    built, parameters = filled(path, [f"x{n}" for n in range(9)])

    assert PATHS.find(built) == PATHS.find(f"{built}/") == (path, parameters)
    assert all(tuple(parameters) == tuple(entry.view_args) for entry in app.app.routes[path].values())


@given(st.sampled_from(ROUTES), st.lists(an_id, min_size=9, max_size=9))
def test_whatever_an_id_is_its_path_leads_to_its_route(path: str, values: list[str]) -> None:
    built, parameters = filled(path, values)

    assert PATHS.find(built) == (path, parameters)


@st.composite
def nearly_a_route(draw: st.DrawFn) -> str:
    """A route's path with anything for its parameters, and with anything for one of its segments."""
    parts = draw(st.sampled_from(ROUTES)).split("/")[1:]
    other = draw(st.integers(0, 2 * len(parts)))
    return "".join(
        f"/{draw(a_segment) if part.startswith('{') or n == other else part}" for n, part in enumerate(parts)
    )


@given(nearly_a_route())
def test_a_path_leads_where_the_local_server_would_take_it(path: str) -> None:
    found = PATHS.find(path)

    assert (found and found[0]) == matched(path)


def matched(path: str) -> str | None:
    """The route that Chalice's local server takes the path for."""
    try:
        return str(LOCAL.match_route(path).route)
    except ValueError:
        return None


@given(st.sampled_from(ROUTES), st.lists(an_id, min_size=9, max_size=9), an_id)
def test_what_is_no_route_leads_nowhere(path: str, values: list[str], foreign: str) -> None:
    built, _ = filled(path, values)

    assert PATHS.find(f"/{foreign}{built}") is None
    assert PATHS.find(f"{built}/{foreign}/{foreign}/{foreign}") is None


@pytest.mark.parametrize(
    "path",
    ["", "/", "//", "/v1", "/v1/", "/S/abc", "/V1/programs", "v1/programs", "/v1/programs//", "//v1/programs"]
    + ["/v1//programs", "/v1/groups/", "/v1/groups//seats", "/v1/programs/..", "/v1/../v1/programs"]
    + [
        "/v1%2Fprograms",
        "/v1/programs%2F",
        "/v1/%70rograms",
        "/v1/programs?x=1",
        "/v1/programs/%2e",
        "/v1/ programs",
    ]
    + ["/{proxy+}", "/proxy", "/" * 9000, "/v1/links" + "/x" * 5000],
)
def test_nothing_is_guessed_about_a_path(path: str) -> None:
    assert PATHS.find(path) is None


@pytest.mark.parametrize("value", ["..", ".", "a%2Fb", "%61", "{group_id}", "*", " ", "a b", "groups", "me"])
def test_what_stands_for_a_parameter_is_left_as_it_stands(value: str) -> None:
    assert PATHS.find(f"/v1/groups/{value}/seats") == ("/v1/groups/{group_id}/seats", {"group_id": value})


def test_a_literal_goes_before_a_parameter_and_a_dead_end_is_left_again() -> None:
    paths = Paths(["/a/{x}", "/a/b", "/a/{x}/d", "/a/b/c", "/{y}/b/e"])

    assert paths.find("/a/b") == ("/a/b", {})
    assert paths.find("/a/z") == ("/a/{x}", {"x": "z"})
    assert paths.find("/a/b/c") == ("/a/b/c", {})
    assert paths.find("/a/b/d") == ("/a/{x}/d", {"x": "b"})
    assert paths.find("/a/b/e") == ("/{y}/b/e", {"y": "a"})
    assert paths.find("/a/b/f") is None
