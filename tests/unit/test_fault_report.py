"""The tables of faults: one row an operation, whatever process played its cases; what broke is counted."""

from typing import Any

from tests.faults import report

ROUTE = "tests/faults/test_every_route.py::test_a_fault_leaves_nothing_undone[POST /v1/links]"
CLAIM = "tests/faults/test_coupons.py::test_a_claim_happens_once[plain]"
JOB = "tests/faults/test_killed_jobs.py::test_a_killed_job_is_gone_on_with[settle]"


def case(test: str, call: int, fault: str, *, came_through: bool) -> dict[str, Any]:
    return {"test": test, "call": call, "fault": fault, "came_through": came_through}


LINES = [
    case(ROUTE, 1, "before", came_through=False),
    case(ROUTE, 2, "conflict", came_through=True),
    case(ROUTE, 2, "throttle", came_through=True),
    case(CLAIM, 1, "crash", came_through=False),
    case(JOB, 1, "killed process", came_through=False),
    {"test": CLAIM, "failed": "call"},
]


def test_an_operation_has_a_row_with_its_calls_its_faults_and_what_came_of_them() -> None:
    claim, route, job = report.written(LINES).splitlines()[-3:]

    assert claim == "| coupons: a claim happens once | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 1 | 0 | 0 | 1 | 1 |"
    assert route == "| every route: POST /v1/links | 1 | 2 | 0 | 1 | 0 | 1 | 1 | 0 | 0 | 2 | 1 | 0 |"
    assert job == "| killed jobs: settle | 1 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 1 | 0 | 1 | 0 |"


def test_the_section_adds_them_up() -> None:
    rows = report.section(LINES).splitlines()[-4:]

    assert [row.split(" | ")[0] for row in rows] == [
        "| every route that changes something",
        "| jobs and readers of the stream, on the embedded store",
        "| what rooms do, with WeChat and the mall",
        "| all",
    ]
    assert rows[-1] == "| all | 3 | 4 | 0 | 1 | 0 | 1 | 1 | 1 | 1 | 2 | 3 | 1 |"
