"""The house's walls: who may import whom, held over the syntax tree, so that an import in a function counts too.

The first test says that the house stands; the others plant one violation each and see it caught.
"""

import ast
import graphlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EDGE = ("routes", "admin", "mall", "wechat")
LIBRARIES_THAT_COST_A_COLD_START = (
    "aws_lambda_powertools.utilities",
    "boto3",
    "cryptography",
    "qrcode",
    "standardwebhooks",
    "urllib3",
    "wechatpayv3",
)
NOT_IN_THE_PACKAGE = ("infra", "tests", "moto", "PIL", "chalice.local", "chalice.test", "chalice.config")

Sources = Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Import:
    """One name that one file imports; ``at_top``: as soon as the file itself is."""

    path: str
    line: int
    name: str
    at_top: bool

    @property
    def room(self) -> str:
        """The folder in chalicelib that the importing file is in."""
        return Path(self.path).parts[1]

    @property
    def file(self) -> str:
        """The importing file's own name."""
        return Path(self.path).stem

    @property
    def target_room(self) -> str:
        """The folder in chalicelib that is imported from; empty for libraries."""
        parts = self.name.split(".")
        return parts[1] if parts[0] == "chalicelib" and len(parts) > 1 else ""

    @property
    def target_file(self) -> str:
        """The file in that folder."""
        parts = self.name.split(".")
        return parts[2] if self.target_room and len(parts) > 2 else ""

    def is_of(self, *libraries: str) -> bool:
        """Whether the name is one of these modules, or in one of them."""
        return any(f"{self.name}.".startswith(f"{library}.") for library in libraries)


Wall = Callable[[Import], bool]


def knows_chalice(one: Import) -> bool:
    """Only core/http.py and app.py know Chalice, so that leaving it costs two files."""
    return one.is_of("chalice") and one.path != "chalicelib/core/http.py"


def is_not_deployed(one: Import) -> bool:
    """What is not in the package is not there in Lambda."""
    return one.is_of(*NOT_IN_THE_PACKAGE)


def costs_a_cold_start(one: Import) -> bool:
    """Heavy libraries are imported by the function that needs them."""
    return one.at_top and one.is_of(*LIBRARIES_THAT_COST_A_COLD_START)


def core_knows_a_room(one: Import) -> bool:
    """Everything stands on core; core stands on nothing."""
    return one.room == "core" and one.target_room not in ("", "core")


def reads_foreign_rows(one: Import) -> bool:
    """A room's rows are its own: others ask its service."""
    return one.target_file == "models" and one.target_room != one.room


def models_know_more_than_core(one: Import) -> bool:
    """Rows are described without rules and without a way out."""
    return one.file == "models" and one.target_room not in ("", "core")


def rules_do_more_than_think(one: Import) -> bool:
    """Rules are pure: they touch no rows, no settings and no service."""
    thinks_with = tuple(
        f"chalicelib.core.{name}" for name in ("clock", "errors", "money", "shards", "values")
    )
    pure = one.target_file == "rules" or one.is_of(*thinks_with)
    return one.file == "rules" and bool(one.target_room) and not pure


def schemas_do_something(one: Import) -> bool:
    """Schemas are shapes: they stand on other shapes and on rules' words."""
    shapes = one.target_file in ("schemas", "rules") or one.is_of("chalicelib.core.http")
    return one.file == "schemas" and bool(one.target_room) and not shapes


def calls_a_route(one: Import) -> bool:
    """Routes call; they are not called, save by the routes of their own room."""
    own_edge = one.file in EDGE and one.target_room == one.room
    return one.target_file in EDGE and not own_edge


WALLS: list[Wall] = [
    knows_chalice,
    is_not_deployed,
    costs_a_cold_start,
    core_knows_a_room,
    reads_foreign_rows,
    models_know_more_than_core,
    rules_do_more_than_think,
    schemas_do_something,
    calls_a_route,
]


def imports(path: str, source: str) -> Iterator[Import]:
    """Every name that a file imports, wherever in it."""
    tree = ast.parse(source)
    inside = {
        id(below)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for below in ast.walk(function)
    }
    for node in ast.walk(tree):
        for name in _names(node):
            yield Import(path=path, line=getattr(node, "lineno", 0), name=name, at_top=id(node) not in inside)


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports say in full where from"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def breaches(sources: Sources) -> list[str]:
    """Which imports go through a wall, and through which."""
    found = [one for path, source in sources.items() for one in imports(path, source)]
    return [
        f"{one.path}:{one.line} imports {one.name}: {wall.__doc__}"
        for one in found
        for wall in WALLS
        if wall(one)
    ]


def rooms(sources: Sources) -> dict[str, set[str]]:
    """By room, the rooms it stands on."""
    graph: dict[str, set[str]] = {}
    for path, source in sources.items():
        for one in imports(path, source):
            if one.target_room and one.target_room != one.room:
                graph.setdefault(one.room, set()).add(one.target_room)
    return graph


def house() -> dict[str, str]:
    """Every file of the application, by its path."""
    files = sorted((ROOT / "chalicelib").glob("*/*.py"))
    assert len(files) > 40
    return {str(file.relative_to(ROOT)): file.read_text(encoding="utf-8") for file in files}


def test_the_house_stands() -> None:
    assert breaches(house()) == []


def test_no_two_rooms_stand_on_each_other() -> None:
    order = list(graphlib.TopologicalSorter(rooms(house())).static_order())

    assert order[0] == "core"


def test_files_of_a_room_are_where_the_walls_look_for_them() -> None:
    deeper = [path for path in (ROOT / "chalicelib").rglob("*.py") if len(path.relative_to(ROOT).parts) != 3]

    assert deeper == [ROOT / "chalicelib" / "__init__.py"]


@pytest.mark.parametrize(
    ("wall", "path", "source"),
    [
        (knows_chalice, "chalicelib/sharing/service.py", "from chalice.app import Response"),
        (knows_chalice, "chalicelib/sharing/routes.py", "import chalice"),
        (is_not_deployed, "chalicelib/core/table.py", "def f():\n    import moto.core"),
        (is_not_deployed, "chalicelib/members/service.py", "from infra.local import seed"),
        (is_not_deployed, "chalicelib/core/http.py", "from chalice.local import LocalDevServer"),
        (costs_a_cold_start, "chalicelib/core/table.py", "import boto3"),
        (
            costs_a_cold_start,
            "chalicelib/wechat/service.py",
            "try:\n    import urllib3\nexcept OSError: pass",
        ),
        (costs_a_cold_start, "chalicelib/sharing/codes.py", "class A:\n    from qrcode.main import QRCode"),
        (
            costs_a_cold_start,
            "chalicelib/core/facts.py",
            "from aws_lambda_powertools.utilities.batch import BatchProcessor",
        ),
        (
            core_knows_a_room,
            "chalicelib/core/doors.py",
            "def f():\n    from chalicelib.members import service",
        ),
        (reads_foreign_rows, "chalicelib/sharing/service.py", "from chalicelib.members.models import Member"),
        (reads_foreign_rows, "chalicelib/sharing/routes.py", "from chalicelib.members import models as m"),
        (models_know_more_than_core, "chalicelib/sharing/models.py", "import chalicelib.sharing.rules"),
        (
            models_know_more_than_core,
            "chalicelib/sharing/models.py",
            "from chalicelib.members import service",
        ),
        (rules_do_more_than_think, "chalicelib/sharing/rules.py", "from chalicelib.core import table"),
        (schemas_do_something, "chalicelib/sharing/schemas.py", "from chalicelib.sharing import service"),
        (
            calls_a_route,
            "chalicelib/sharing/service.py",
            "from chalicelib.sharing.routes import visit_answer",
        ),
        (calls_a_route, "chalicelib/members/routes.py", "from chalicelib.sharing.routes import visit_answer"),
    ],
)
def test_a_breach_is_seen(wall: Wall, path: str, source: str) -> None:
    seen = breaches({path: source})

    assert any(breach.endswith(str(wall.__doc__)) for breach in seen)


def test_a_library_inside_a_function_is_no_breach() -> None:
    assert breaches({"chalicelib/sharing/codes.py": "def draw():\n    import qrcode"}) == []


def test_a_circle_of_rooms_is_seen() -> None:
    circle = {
        "chalicelib/members/service.py": "def f():\n    from chalicelib.sharing import service",
        "chalicelib/sharing/service.py": "from chalicelib.operators import service",
        "chalicelib/operators/service.py": "import chalicelib.members.schemas",
    }

    with pytest.raises(graphlib.CycleError):
        list(graphlib.TopologicalSorter(rooms(circle)).static_order())
