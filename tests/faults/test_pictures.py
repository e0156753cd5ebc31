"""Pictures and openings when any storage call fails: made again if need be, kept once, never half there."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.core import table
from chalicelib.sharing import making
from chalicelib.uploads import service as uploads
from chalicelib.wechat import codes
from chalicelib.wechat.codes import Opening
from tests.factories import NOW, books, emptied
from tests.harness.direct import Direct
from tests.harness.faults import each_fault
from tests.races.test_pictures import LINK, PLACE
from tests.uploads import PNG, begun


@dataclass
class World:
    """An upload, and how often something was tried."""

    upload_id: str = ""
    tries: Any = field(default_factory=lambda: itertools.count(1))
    asked: int = 0


def a_world() -> World:
    emptied()
    return World()


def test_an_opening_that_was_made_and_lost_is_made_again_and_kept(
    direct: Direct, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(world: World) -> Opening:
        def made(*_: Any, **__: Any) -> Opening:
            world.asked += 1
            return Opening(url=f"https://wxaurl.cn/{world.asked}", until=NOW + 30 * 86400)

        monkeypatch.setattr(codes, "opening", made)
        n = next(world.tries)
        at = NOW + n * making.MAKING_S  # the claim of one who died is over by then
        asked = making.Asking(kind="url_link", title="t", member_id="mbr_a", by=f"req_{n}")
        return making.opening(LINK, PLACE, asked, now=at)

    def check(world: World) -> None:
        (row,) = books(direct, "traffic").of("made_of_link")
        assert row["url"] == f"https://wxaurl.cn/{world.asked}" and "making_by" not in row
        asked = world.asked
        assert ask(world).url == row["url"] and world.asked == asked <= 2

    each_fault(ask, client=table.client(), setup=a_world, check=check)


def test_an_upload_is_begun_once_for_its_key(direct: Direct) -> None:
    def check(_: World) -> None:
        assert [row["n"] for row in books(direct, "traffic").of("upload_day")] == [1]
        assert books(direct) == {"upload": 1}

    each_fault(lambda _: begun("mbr_a", key="tap"), client=table.client(), setup=a_world, check=check)


def test_a_picture_arrives_once_with_its_content(direct: Direct) -> None:
    def setup() -> World:
        emptied()
        return World(upload_id=begun("mbr_a").upload_id)

    def put(world: World) -> None:
        uploads.take(world.upload_id, member_id="mbr_a", content=PNG, now=NOW)

    def check(world: World) -> None:
        assert books(direct) == {"upload": 1, "upload_content": 1}
        assert uploads.content(world.upload_id) == PNG and uploads.show(world.upload_id).rev == 2

    each_fault(put, client=table.client(), setup=setup, check=check)


def test_a_verdict_is_given_once(direct: Direct) -> None:
    def setup() -> World:
        emptied()
        upload_id = begun("mbr_a").upload_id
        uploads.take(upload_id, member_id="mbr_a", content=PNG, now=NOW)
        return World(upload_id=upload_id)

    def judge(world: World) -> None:
        uploads.judge(world.upload_id, "rejected", NOW)

    def check(world: World) -> None:
        found = uploads.show(world.upload_id)
        assert (found.state, found.rev) == ("rejected", 3)

    each_fault(judge, client=table.client(), setup=setup, check=check)
