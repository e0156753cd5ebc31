"""Pictures under a crowd: WeChat is asked once for what many want, and nobody begins more than a day has."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.sharing import making
from chalicelib.sharing.models import Link
from chalicelib.uploads import service as uploads
from chalicelib.wechat import codes
from chalicelib.wechat.client import App
from tests.factories import NOW
from tests.harness.rows import rows
from tests.races.arena import ROUGH, STORM, TRAFFIC, Arena, careless, rounds
from tests.uploads import PNG, begun

pytestmark = pytest.mark.engine
CROWD = 16
LINK = Link(
    "LINK#AAAAAAAAAA", "META", code="AAAAAAAAAA", sharer_id="mbr_a", target_kind="product", target_id="t"
)
PLACE = making.Place(
    app=App(appid="wx1", secret_name="demo"), page=codes.Page(path="pages/home"), program_id="p"
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What WeChat was asked to draw."""
    asked: list[Any] = []
    lock = threading.Lock()

    def draw(app: App, **given: Any) -> bytes:
        with lock:
            asked.append(given)
        return PNG

    monkeypatch.setattr(codes, "unlimited", draw)
    return asked


def asking(n: int) -> Callable[[], bytes]:
    """One phone that wants the code."""
    return lambda: making.code(LINK, PLACE, width=430, by=f"req_{n}", now=NOW)


def beginning(n: int) -> Callable[[], str]:
    """One tap."""
    return lambda: begun("mbr_a", key=f"tap-{n}").upload_id


def test_the_harness_sees_sixteen_pictures_drawn_when_no_condition_holds(
    arena: Arena, drawn: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    careless(monkeypatch, lambda write: replace(write, when=None))

    arena.collide(*[asking(n) for n in range(CROWD)]).expect(won=CROWD)

    assert len(drawn) > 1


@rounds(ROUGH)
def test_a_code_that_many_want_is_drawn_once(arena: Arena, drawn: list[Any]) -> None:
    outcomes = arena.race(*[asking(n) for n in range(CROWD)], threads=CROWD, meet=True)

    outcomes.expect_won_or("busy", least=1)
    assert set(outcomes.winners) == {PNG} and len(drawn) == 1
    (row,) = rows(arena.client, TRAFFIC, kind="made_of_link")
    assert "making_by" not in row and asking(99)() == PNG and len(drawn) == 1


def test_the_harness_sees_more_begun_than_a_day_has_when_no_condition_holds(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "A_DAY", 5)
    careless(monkeypatch, lambda write: replace(write, when=None))

    arena.collide(*[beginning(n) for n in range(8)]).expect(won=8)

    assert [row["n"] for row in rows(arena.client, TRAFFIC, kind="upload_day")] == [8]


@rounds(STORM)
def test_nobody_begins_more_than_a_day_has(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "A_DAY", 5)

    outcomes = arena.race(*[beginning(n) for n in range(CROWD)], threads=CROWD)

    outcomes.expect(won=5, too_many_uploads=CROWD - 5)
    assert {row["upload_id"] for row in arena.rows("upload")} == set(outcomes.winners)
    assert [row["n"] for row in rows(arena.client, TRAFFIC, kind="upload_day")] == [5]


@rounds(STORM)
def test_a_picture_that_comes_many_times_at_once_arrives_once(arena: Arena) -> None:
    upload_id = begun("mbr_a").upload_id

    def put() -> int | None:
        return uploads.take(upload_id, member_id="mbr_a", content=PNG, now=NOW).arrived_at

    arena.race(*[put] * 8, threads=8).expect(won=8)

    assert len(arena.images("upload")) == 2 and len(arena.images("upload_content")) == 1
