"""What is said of an audit: a weakness ends it badly, and who could not be asked about is never taken for good."""

from typing import Any

import pytest

from infra import audit

GOOD: dict[str, Any] = {"name": "good", "version": "1", "vulns": []}
WEAK: dict[str, Any] = {"name": "weak", "version": "2", "vulns": [{"id": "PYSEC-1"}, {"id": "PYSEC-2"}]}
UNKNOWN: dict[str, Any] = {"name": "unknown", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "required", "code", "said"),
    [
        ([GOOD, GOOD], True, 0, "2 packages, none"),
        ([GOOD, WEAK], False, 1, "WEAK: weak 2: PYSEC-1, PYSEC-2"),
        ([UNKNOWN, WEAK], True, 1, "WEAK"),
        ([UNKNOWN, GOOD], False, 0, "NOT AUDITED: nobody could be asked about 1 of 2 packages"),
        ([UNKNOWN, GOOD], True, 2, "NOT AUDITED"),
        (None, False, 0, "NOT AUDITED: nobody could be asked about anything"),
        (None, True, 2, "NOT AUDITED"),
    ],
)
def test_how_an_audit_ends(
    packages: list[dict[str, Any]] | None, required: bool, code: int, said: str
) -> None:
    found = None if packages is None else {"dependencies": packages}

    ended, told = audit.judged(found, required=required)

    assert (ended, said in "\n".join(told)) == (code, True)


def test_all_that_is_deployed_has_its_version() -> None:
    lines = [line for line in audit.REQUIREMENTS.read_text().splitlines() if line and line[0] != "#"]

    assert [line for line in lines if "==" not in line] == []
