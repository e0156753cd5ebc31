"""Pictures in the deployment's own S3 bucket (`PICTURES_BUCKET`), which nobody reads but through addresses we sign.

    incoming/<id>    what a phone has posted by a form of ours; gone after two days
    checking/<id>    the same once it was looked at, until it is checked: no form writes here, so it never changes
    uploads/<id>     what may be shown; a CDN may read here
    pictures/...     codes that WeChat drew; they can be had again

The client is botocore's, made where it is first used: most requests touch no object.
"""

import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.core import aws, config
from chalicelib.core.errors import Busy

# Who may not list a bucket is told "forbidden" of what is not there.
_MISSING = ("NoSuchKey", "AccessDenied", "InvalidRange", "PreconditionFailed", "403", "404", "412", "416")


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """Where to post a file, and the fields that must go before it."""

    url: str
    fields: Mapping[str, str]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An object, or how it begins: ``size`` is of the whole."""

    content: bytes
    size: int
    etag: str


def available() -> bool:
    """Whether this deployment keeps pictures in a bucket."""
    return bool(config.settings().pictures_bucket)


def form(key: str, *, content_type: str, max_size: int, for_s: int) -> Form:
    """A form that takes one file of this type, of 1 to ``max_size`` bytes, to this key and no other.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html: a field without a condition
    is refused, so that no tags, no redirect and no access rule can be added. It says ``for_s`` by the clock.
    """
    posted = client().generate_presigned_post(
        Bucket=config.settings().pictures_bucket,
        Key=key,
        Fields={"Content-Type": content_type},
        Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, max_size]],
        ExpiresIn=for_s,
    )
    return Form(url=posted["url"], fields=posted["fields"])


def put(key: str, content: bytes, *, content_type: str) -> None:
    """Keep an object; the same again is the same.

    Raises:
        Busy: the bucket cannot be reached.
    """
    _call("put_object", Key=key, Body=content, ContentType=content_type)


def get(key: str, *, first: int | None = None) -> Found | None:
    """The object, or its ``first`` bytes; None when there is none, or nothing in it.

    Raises:
        Busy: the bucket cannot be reached.
    """
    asked = {"Range": f"bytes=0-{first - 1}"} if first else {}
    try:
        there = _call("get_object", Key=key, **asked)
    except KeyError:
        return None
    content = there["Body"].read()
    size = int(there.get("ContentRange", f"/{len(content)}").rpartition("/")[2])
    return Found(content=content, size=size, etag=there["ETag"])


def copy(source: str, target: str, *, etag: str, content_type: str) -> bool:
    """Keep what is at ``source`` as it was when it had this ``etag``; False when it has changed since, or is gone.

    Raises:
        Busy: the bucket cannot be reached.
    """
    given = {
        "CopySource": {"Bucket": config.settings().pictures_bucket, "Key": source},
        "CopySourceIfMatch": etag,
        "MetadataDirective": "REPLACE",
        "ContentType": content_type,
    }
    try:
        _call("copy_object", Key=target, **given)
    except KeyError:
        return False
    return True


def delete(key: str) -> None:
    """Keep an object no longer; gone already, nothing changes.

    Raises:
        Busy: the bucket cannot be reached.
    """
    with suppress(KeyError):
        _call("delete_object", Key=key)


def address(key: str, *, for_s: int) -> str:
    """An address that anybody can read the object at for a while; less, where the role's keys end sooner."""
    given = {"Bucket": config.settings().pictures_bucket, "Key": key}
    return str(client().generate_presigned_url("get_object", Params=given, ExpiresIn=for_s))


def _call(operation: str, **given: Any) -> Any:
    try:
        return getattr(client(), operation)(Bucket=config.settings().pictures_bucket, **given)
    except ClientError as refused:
        if refused.response["Error"]["Code"] in _MISSING:
            raise KeyError(given["Key"]) from refused
        if refused.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
            raise
        raise Busy from refused
    except BotoCoreError as unreachable:
        raise Busy from unreachable


_client: Any = None
_client_of: tuple[str, str] = ("", "")
_lock = threading.Lock()


def client() -> Any:
    """The one S3 client of the process."""
    global _client, _client_of  # noqa: PLW0603 - as `table.client`
    settings = config.settings()
    where = (settings.region, settings.s3_endpoint)
    with _lock:
        if _client is None or _client_of != where:
            _client, _client_of = _new_client(*where), where
    return _client


def _new_client(region: str, endpoint: str) -> Any:
    return aws.create_client(
        "s3",
        region=region,
        endpoint=endpoint,
        read_timeout=5,
        signature_version="s3v4",
        # The global address answers for new buckets elsewhere with a redirect, which breaks a form.
        s3={"us_east_1_regional_endpoint": "regional"},
    )
