"""Two who meet over one picture, between one's look and one's write: what only the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from chalicelib.core import config, estates, objects
from chalicelib.core.errors import NotFound
from chalicelib.safety import pictures
from chalicelib.uploads import service as uploads
from chalicelib.uploads.service import Upload
from infra.local.uploads import BUCKET, Bucket, Object, start
from tests.factories import NOW, a_member, books
from tests.harness.direct import Direct
from tests.harness.meetings import before_write
from tests.uploads import PNG, begun, sent

pytestmark = pytest.mark.usefixtures("direct")


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """A bucket that the application uses."""
    there = start()
    config.override(pictures_bucket=BUCKET, s3_endpoint=there.url)
    yield there
    there.stop()


def rejected(upload: Upload) -> None:
    """An operator does not want it to be seen."""
    uploads.judge(upload.upload_id, "rejected", NOW)


def erased(upload: Upload) -> None:
    """Its member leaves for good."""
    estates.erasures()["uploads"](upload.member_id, NOW)


def test_a_picture_that_is_rejected_while_it_comes_once_more_stays_rejected(direct: Direct) -> None:
    upload = begun(a_member())

    def taken() -> Upload:
        return uploads.take(upload.upload_id, member_id=upload.member_id, content=PNG, now=NOW)

    def taken_and_rejected() -> None:
        taken()
        rejected(upload)

    with before_write(1, taken_and_rejected):
        again = taken()

    assert (again.state, books(direct)["upload_content"]) == ("rejected", 0)


@pytest.mark.parametrize("told", ["approved", "rejected"])
def test_a_check_that_is_told_late_changes_nothing_of_what_was_rejected(told: str) -> None:
    config.override(content_safety="wechat")
    upload_id = sent(a_member())
    before = uploads.judge(upload_id, "rejected", NOW)

    pictures.judge(SimpleNamespace(room="uploads", ref=upload_id, state=told), NOW)

    after = uploads.show(upload_id)
    assert (after.state, after.rev) == ("rejected", before.rev)


@pytest.mark.parametrize("ends", [rejected, erased])
def test_a_picture_that_goes_while_it_is_finished_once_more_is_nowhere(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, ends: Callable[[Upload], None]
) -> None:
    upload, real = begun(a_member()), objects.copy
    bucket.objects[f"incoming/{upload.upload_id}"] = Object(content=PNG, content_type="image/png")

    def finished() -> Upload:
        return uploads.finish(upload.upload_id, member_id=upload.member_id, now=NOW)

    def copied_late(*given: Any, **named: Any) -> bool:
        monkeypatch.setattr(objects, "copy", real)
        finished()
        ends(upload)
        return real(*given, **named)

    monkeypatch.setattr(objects, "copy", copied_late)
    if ends is erased:
        with pytest.raises(NotFound):
            finished()
    else:
        assert finished().state == "rejected"

    assert list(bucket.objects) == [f"incoming/{upload.upload_id}"]


def test_what_is_finished_too_late_is_kept_nowhere(bucket: Bucket) -> None:
    upload = begun(a_member())
    bucket.objects[f"incoming/{upload.upload_id}"] = Object(content=PNG, content_type="image/png")

    with pytest.raises(uploads.UploadExpired):
        uploads.finish(upload.upload_id, member_id=upload.member_id, now=upload.ends_at)

    assert list(bucket.objects) == [f"incoming/{upload.upload_id}"]
