"""Every refusal is complete: a code of its own, a status, words in two languages, what the page should do."""

import inspect
import re

import pytest

import app  # noqa: F401 - every room's refusals are known once it is imported
from chalicelib.core import errors, http
from chalicelib.core.errors import AppError
from infra import docs

ALL = docs.errors()
STATUSES = {400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 429, 500, 503}
TO_BE_TRIED_AGAIN = {429, 503}


def below(kind: type[AppError]) -> list[type[AppError]]:
    """All of the application's errors of this kind."""
    found = [one for child in kind.__subclasses__() for one in (child, *below(child))]
    return [one for one in found if one.__module__.startswith("chalicelib.")]


def test_a_code_is_of_one_class() -> None:
    codes = [kind.code for kind in ALL]

    assert len(codes) > 20
    assert sorted(codes) == sorted(set(codes))


def test_a_class_without_a_code_of_its_own_is_a_family_or_stays_in_its_module() -> None:
    others = set(below(AppError)) - set(ALL)
    refused = {kind for route in http.routes for kind in route.refuses}

    assert all(kind.__subclasses__() or kind.__name__.startswith("_") for kind in others)
    assert not others & refused


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.code)
def test_a_refusal_is_complete(kind: type[AppError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z0-9]+)*", kind.code)
    assert kind.status in STATUSES
    assert re.search(r"[\u4e00-\u9fff]", kind.zh) and kind.zh.endswith("。")
    assert kind.en.isascii() and kind.en[0].isupper() and kind.en.endswith(".")
    assert kind.advice.endswith(".") and inspect.cleandoc(kind.__doc__ or "").endswith(".")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.code)
def test_what_may_be_tried_again_says_when(kind: type[AppError]) -> None:
    assert (kind.retry_after_s is not None) == (kind.status in TO_BE_TRIED_AGAIN)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.code)
def test_a_family_keeps_its_status(kind: type[AppError]) -> None:
    parents = [parent for parent in kind.__mro__[1:] if parent in ALL and parent is not errors.InternalError]

    assert all(parent.status == kind.status for parent in parents if issubclass(parent, AppError))


def test_an_unknown_language_is_english() -> None:
    assert errors.NotFound().message("zh") == errors.NotFound.zh
    assert errors.NotFound().message("fr") == errors.NotFound.en


def test_details_go_with_the_answer_and_not_into_the_text() -> None:
    refused = errors.Invalid(field="code", reason="too long")

    assert refused.details == {"field": "code", "reason": "too long"}
    assert str(refused) == "invalid"


def test_nothing_is_told_of_a_failure_of_ours() -> None:
    assert (errors.InternalError.status, errors.InternalError.code) == (500, "internal_error")
    assert errors.InternalError().details == {}
