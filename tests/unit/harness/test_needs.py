"""What a machine lacks is skipped by whoever runs the tests, and never by CI."""

from pathlib import Path

import pytest

from tests import joining, needs


def test_who_runs_the_tests_skips_what_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE_ENGINE", raising=False)

    with pytest.raises(pytest.skip.Exception, match="there is no node here"):
        needs.go_without("there is no node here")


@pytest.mark.parametrize("language", joining.LANGUAGES)
def test_where_all_are_required_a_language_that_is_not_there_is_a_failure(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUIRE_ENGINE", "1")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(pytest.fail.Exception, match=r"REQUIRE_ENGINE=1, but there is no \w+ here"):
        joining.printed(language, tmp_path, "check")
