"""Uploads: begun within a limit, sent in either way, looked at, judged; and what takes an upload's id."""

import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from chalicelib.core import config, pictures
from chalicelib.core.errors import Busy, IdempotencyMismatch, Invalid, NotFound
from chalicelib.members import routes as members_routes
from chalicelib.members import service as members
from chalicelib.members.schemas import EditMe
from chalicelib.uploads import routes
from chalicelib.uploads import service as uploads
from chalicelib.uploads.schemas import IN_A_ROW_BYTES, SeeUpload, StartedUpload, StartUpload
from infra.local.uploads import BUCKET, Bucket, start
from tests.factories import NOW, a_call, a_member, books, called, reacted
from tests.harness.direct import Direct
from tests.uploads import GIF, JPEG, PNG, WEBP, begun, sent

DAY = 86400


@pytest.fixture(autouse=True)
def _stands(direct: Direct) -> None:
    """Every test here stands on the embedded store."""


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    """A bucket that the application uses."""
    there = start()
    config.override(pictures_bucket=BUCKET, s3_endpoint=there.url)
    yield there
    there.stop()


def posted(started: StartedUpload, content: bytes, **more: str) -> int:
    """What wx.uploadFile does; the status."""
    fields = {**started.form, **more}
    sections = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in fields.items()
    ]
    head = "".join(f"--b0undary\r\n{one}\r\n" for one in sections).encode()
    file = b'--b0undary\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + content
    url = urlsplit(started.url)
    connection = http.client.HTTPConnection(url.netloc)
    kind = {"Content-Type": "multipart/form-data; boundary=b0undary"}
    connection.request("POST", url.path, head + file + b"\r\n--b0undary--\r\n", kind)
    return connection.getresponse().status


def began(member_id: str, *, size: int = len(PNG), **given: Any) -> StartedUpload:
    asked = {"kind": "avatar", "content_type": "image/png", **given}
    return routes.start(called(member_id), StartUpload(size=size, **asked))


def shown(upload_id: str, token: str | None = None, *, now: int = NOW) -> tuple[int, Any]:
    answer = routes.see(a_call(now=now), upload_id, SeeUpload(token=token))
    return answer.status, answer.body


# --- in a row -----------------------------------------------------------------------------------------------


def test_a_small_picture_is_put_and_shown(direct: Direct) -> None:
    alice = a_member()
    started = began(alice)
    assert (started.method, started.form) == ("PUT", {})
    assert started.url == f"https://shop.example/v1/uploads/{started.upload_id}"
    with pytest.raises(NotFound):
        shown(started.upload_id)

    uploads.take(started.upload_id, member_id=alice, content=PNG, now=NOW)

    status, document = shown(started.upload_id)
    assert (status, document.content, document.content_type) == (200, PNG, "image/png")
    assert ("X-Content-Type-Options", "nosniff") in document.headers
    row = books(direct).only("upload")
    assert row["state"] == "approved" and "ttl" not in row


@pytest.mark.parametrize(
    ("content", "kind"),
    [(PNG, "image/png"), (JPEG, "image/jpeg"), (GIF, "image/gif"), (WEBP, "image/webp")],
)
def test_a_picture_is_known_by_how_it_begins(content: bytes, kind: str) -> None:
    assert pictures.type_of(content) == pictures.type_of(content[: pictures.BEGINNING]) == kind


@pytest.mark.parametrize("content", [b"", b"<svg/>", b"\x89PNG", b"RIFF\0\0\0\0WAVEfmt ", PNG[1:]])
def test_what_is_no_picture_is_none(content: bytes) -> None:
    assert pictures.type_of(content) is None and pictures.data_uri(content) == ""


@pytest.mark.parametrize(("content", "field"), [(JPEG, "content_type"), (PNG + b"x", "size")])
def test_another_picture_than_was_announced_is_refused(content: bytes, field: str) -> None:
    alice = a_member()
    upload = begun(alice)

    with pytest.raises(uploads.NotThePicture) as refused:
        uploads.take(upload.upload_id, member_id=alice, content=content, now=NOW)
    assert refused.value.details["field"] == field
    assert uploads.show(upload.upload_id).state == "pending"


def test_what_does_not_fit_into_a_row_is_refused_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        began(a_member(), size=IN_A_ROW_BYTES + 1)
    assert refused.value.details["max_size"] == IN_A_ROW_BYTES


def test_the_second_time_changes_nothing_and_too_late_is_too_late(direct: Direct) -> None:
    alice = a_member()
    upload = begun(alice)
    for at in (NOW, NOW + 2 * DAY):
        assert uploads.take(upload.upload_id, member_id=alice, content=PNG, now=at).arrived_at == NOW
    late = begun(alice)
    with pytest.raises(uploads.UploadExpired):
        uploads.take(late.upload_id, member_id=alice, content=PNG, now=NOW + DAY)
    assert len(books(direct).of("upload_content")) == 1


def test_fifty_a_day_may_be_begun_and_the_next_day_again() -> None:
    alice = a_member()
    for _ in range(uploads.A_DAY):
        begun(alice)
    with pytest.raises(uploads.TooManyUploads):
        begun(alice)

    begun(a_member())
    begun(alice, now=NOW + DAY)


def test_a_key_begins_one_upload(direct: Direct) -> None:
    alice, bob = a_member(), a_member()
    first = begun(alice, key="tap")

    assert begun(alice, key="tap").upload_id == first.upload_id != begun(bob, key="tap").upload_id
    with pytest.raises(IdempotencyMismatch):
        begun(alice, key="tap", kind="feed")
    assert [row["n"] for row in books(direct, "traffic").of("upload_day")] == [1, 1]


# --- by a form ----------------------------------------------------------------------------------------------


def test_a_picture_is_posted_and_then_never_changes(bucket: Bucket) -> None:
    alice = a_member()
    started = began(alice)
    assert (started.method, started.file_field) == ("POST", "file")
    with pytest.raises(uploads.UploadMissing):
        uploads.finish(started.upload_id, member_id=alice, now=NOW)

    assert posted(started, PNG) == 204
    done = uploads.finish(started.upload_id, member_id=alice, now=NOW)
    # The form is still good, and what it brings now stands nowhere.
    assert posted(started, PNG[:-1]) == 204
    again = uploads.finish(started.upload_id, member_id=alice, now=NOW + 1)

    assert (done.state, done.size, done.rev) == ("approved", len(PNG), again.rev)
    assert uploads.content(started.upload_id) == PNG
    status, way = shown(started.upload_id)
    url = urlsplit(dict(way.headers)["Location"])
    assert status == 302 and url.path == f"/{BUCKET}/uploads/{started.upload_id}"
    assert parse_qs(url.query)["X-Amz-Expires"] == ["3600"]


def test_a_form_takes_its_file_and_nothing_else(bucket: Bucket) -> None:
    started = began(a_member(), size=100)

    assert posted(started, b"x" * 101) == 400 == posted(started, b"")
    assert posted(started, PNG, key="uploads/upl_1") == 403
    assert posted(started, PNG, **{"Content-Type": "text/html"}) == 403
    assert posted(started, PNG, tagging="<Tagging/>") == 403
    assert posted(started, PNG, **{"x-amz-signature": "0" * 64}) == 403
    assert bucket.objects == {}


def test_what_was_posted_is_looked_at(bucket: Bucket) -> None:
    alice = a_member()
    started = began(alice, size=100)
    posted(started, JPEG)

    with pytest.raises(uploads.NotThePicture):
        uploads.finish(started.upload_id, member_id=alice, now=NOW)
    assert uploads.show(started.upload_id).state == "pending"
    assert list(bucket.objects) == [f"incoming/{started.upload_id}"]


def test_a_bucket_out_of_reach_is_busy_and_done_again_later(bucket: Bucket) -> None:
    alice = a_member()
    started = began(alice)
    posted(started, PNG)
    bucket.down = True
    with pytest.raises(Busy):
        uploads.finish(started.upload_id, member_id=alice, now=NOW)
    bucket.down = False

    assert uploads.finish(started.upload_id, member_id=alice, now=NOW).state == "approved"


# --- judged -------------------------------------------------------------------------------------------------


def test_with_a_checker_a_picture_is_seen_by_nobody_else_before_it_is_approved(direct: Direct) -> None:
    config.override(content_safety="wechat")
    upload_id = sent(a_member())
    assert uploads.show(upload_id).state == "uploaded"
    with pytest.raises(NotFound):
        shown(upload_id)
    url = urlsplit(uploads.address_for_checker(upload_id, base_url="https://shop.example", now=NOW))
    token = parse_qs(url.query)["token"][0]
    assert shown(upload_id, token)[1].content == PNG
    for wrong, at in (("forged", NOW), (token, NOW + 3600)):
        with pytest.raises(NotFound):
            shown(upload_id, wrong, now=at)
    with pytest.raises(NotFound):
        shown(sent(a_member()), token)

    assert uploads.judge(upload_id, "approved", NOW).state == "approved"
    assert shown(upload_id)[0] == 200


def test_a_verdict_may_come_twice_and_late_and_a_rejected_picture_stays_so(direct: Direct) -> None:
    config.override(content_safety="wechat")
    upload_id = sent(a_member())
    for verdict, state in (("approved", "approved"), ("rejected", "rejected"), ("approved", "rejected")):
        found = [uploads.judge(upload_id, verdict, NOW) for _ in range(2)]  # type: ignore[arg-type]
        assert {(one.state, one.rev) for one in found} == {(state, found[0].rev)}
    with pytest.raises(NotFound):
        shown(upload_id)
    with pytest.raises(NotFound):
        uploads.judge(begun(a_member()).upload_id, "approved", NOW)


def test_where_a_cdn_may_read_there_is_only_what_is_approved(bucket: Bucket) -> None:
    config.override(content_safety="wechat")
    alice = a_member()
    begun = [began(alice) for _ in range(2)]
    for started in begun:
        posted(started, PNG)
        uploads.finish(started.upload_id, member_id=alice, now=NOW)
    good, bad = (started.upload_id for started in begun)
    places = {name for name in bucket.objects if not name.startswith("incoming/")}
    assert places == {f"checking/{good}", f"checking/{bad}"}
    seen = urlsplit(uploads.address_for_checker(good, base_url="https://shop.example", now=NOW))
    assert seen.path == f"/{BUCKET}/checking/{good}"

    for _ in range(2):
        uploads.judge(good, "approved", NOW)
        uploads.judge(bad, "rejected", NOW)
    assert {name for name in bucket.objects if not name.startswith("incoming/")} == {f"uploads/{good}"}
    assert uploads.content(good) == PNG

    uploads.judge(good, "rejected", NOW)
    assert not [name for name in bucket.objects if not name.startswith("incoming/")]


def test_a_bucket_out_of_reach_leaves_a_verdict_to_be_carried_out_again(bucket: Bucket) -> None:
    config.override(content_safety="wechat")
    alice = a_member()
    started = began(alice)
    posted(started, PNG)
    uploads.finish(started.upload_id, member_id=alice, now=NOW)
    for verdict, state in (("approved", "uploaded"), ("rejected", "rejected")):
        bucket.down = True
        with pytest.raises(Busy):
            uploads.judge(started.upload_id, verdict, NOW)  # type: ignore[arg-type]
        assert uploads.show(started.upload_id).state == state
        bucket.down = False
    uploads.judge(started.upload_id, "rejected", NOW)

    assert list(bucket.objects) == [f"incoming/{started.upload_id}"]


def test_its_arrival_is_a_fact_either_way(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    from chalicelib.core import facts

    seen: list[str] = []

    def check(upload: uploads.Upload, now: int) -> list[Any]:
        seen.append(upload.upload_id)
        return []

    monkeypatch.setattr(facts, "_reactions", {})
    facts.reaction("upload.arrived", name="test.check")(check)
    approved = sent(a_member())
    config.override(content_safety="wechat")
    checked = sent(a_member())

    assert uploads.show(checked).due_ref == "upload.arrived"
    reacted(direct, now=NOW)
    assert seen == [approved, checked] and uploads.show(checked).due_ref is None


# --- used ---------------------------------------------------------------------------------------------------


def test_an_avatar_is_an_upload_of_ones_own_for_that() -> None:
    alice, bob = a_member(), a_member()
    avatar = sent(alice)
    for wrong in (sent(bob), sent(alice, kind="feed"), begun(alice).upload_id, "upl_" + "0" * 26):
        with pytest.raises(Invalid) as refused:
            members.edit(member_id=alice, avatar=wrong)
        assert refused.value.details["field"] == "avatar"

    told = members_routes.edit_me(called(alice), EditMe(avatar=avatar))

    assert told.avatar_url == f"https://shop.example/v1/uploads/{avatar}"
    config.override(pictures_url="https://cdn.example")
    assert members_routes.show_me(called(alice)).avatar_url == f"https://cdn.example/uploads/{avatar}"


def test_an_address_that_was_brought_stays_until_there_is_an_avatar() -> None:
    brought = members.Brought(registered_at=1, avatar_url="https://old.example/a.png")
    found, _ = members.find_or_register(proofs=["external#9"], program_id="demo", now=NOW, brought=brought)
    alice = found.member_id
    assert members_routes.show_me(called(alice)).avatar_url == "https://old.example/a.png"

    members.edit(member_id=alice, avatar=sent(alice))
    assert "old.example" not in str(members_routes.show_me(called(alice)).avatar_url)
