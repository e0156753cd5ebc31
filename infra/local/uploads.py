"""An S3 to post pictures to: a real HTTP server with one bucket in memory, which keeps to what it was told to sign.

    POST /<bucket>            a form; its policy's signature, end and conditions are checked as S3 checks them
                              (docs.aws.amazon.com/AmazonS3/latest/API/sigv4-authentication-HTTPPOST.html)
    PUT, GET, DELETE          what the application puts, copies (`x-amz-copy-source`), reads and deletes at
    /<bucket>/<key>           a key, and addresses that it signed; that they are signed is looked at, the signature
                              of these is not

Fields that no condition names are refused, as there; so is a file that is not the last field.
"""

import base64
import hashlib
import hmac
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from infra.local import quiet

BUCKET = "local-pictures"
_FREE = ("policy", "x-amz-signature", "file")


@dataclass(frozen=True, kw_only=True)
class Object:
    """What lies under a key."""

    content: bytes
    content_type: str

    @property
    def etag(self) -> str:
        """S3's name of this content."""
        return f'"{hashlib.md5(self.content, usedforsecurity=False).hexdigest()}"'


class Refused(Exception):
    """S3 says no: its status and its code."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass
class Bucket:
    """Objects by key; ``url`` is where they are served."""

    url: str = ""
    objects: dict[str, Object] = field(default_factory=dict)
    down: bool = False
    server: "_Server | None" = None

    def stop(self) -> None:
        """Serve nobody any more."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()

    def post(self, fields: Mapping[str, str], content: bytes) -> None:
        """Take what a form brings.

        Raises:
            Refused: as S3 refuses it.
        """
        policy = fields.get("policy", "")
        if not hmac.compare_digest(_signature(policy, fields), fields.get("x-amz-signature", "")):
            raise Refused(403, "SignatureDoesNotMatch")
        told = json.loads(base64.b64decode(policy))
        if datetime.now(UTC) >= datetime.fromisoformat(told["expiration"].replace("Z", "+00:00")):
            raise Refused(403, "AccessDenied")
        _kept_to(told["conditions"], fields, size=len(content))
        self.objects[fields["key"]] = Object(content=content, content_type=fields.get("Content-Type", ""))

    def read(self, key: str) -> Object:
        """The object under a key, as who may not list the bucket is told.

        Raises:
            Refused: there is none.
        """
        if key not in self.objects:
            raise Refused(403, "AccessDenied")
        return self.objects[key]


def _signature(policy: str, fields: Mapping[str, str]) -> str:
    key = f"AWS4{os.environ.get('AWS_SECRET_ACCESS_KEY', '')}".encode()
    for part in fields.get("x-amz-credential", "").split("/")[1:]:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, policy.encode(), hashlib.sha256).hexdigest()


def _kept_to(conditions: list[Any], fields: Mapping[str, str], *, size: int) -> None:
    named = {"bucket"}
    for condition in conditions:
        if isinstance(condition, list) and condition[0] == "content-length-range":
            if size < condition[1]:
                raise Refused(400, "EntityTooSmall")
            if size > condition[2]:
                raise Refused(400, "EntityTooLarge")
            continue
        (name, value), *_ = condition.items()
        named.add(name.lower())
        if value != {**fields, "bucket": BUCKET}.get(name):
            raise Refused(403, "AccessDenied")
    if any(name.lower() not in (*named, *_FREE) for name in fields):
        raise Refused(403, "AccessDenied")


def parts_of(content_type: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """The fields of a form, and its file, which comes last.

    Raises:
        Refused: it is no such form.
    """
    _, _, boundary = content_type.partition("boundary=")
    fields: dict[str, str] = {}
    for part in body.split(b"--" + boundary.strip('"').encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = head.partition(b'name="')[2].partition(b'"')[0].decode()
        if name == "file":
            return fields, content[:-2]
        fields[name] = content[:-2].decode()
    raise Refused(400, "InvalidArgument")


def start(*, host: str = "127.0.0.1") -> Bucket:
    """A bucket that is served at this address of this machine, with nothing in it."""
    bucket = Bucket()
    bucket.server = _Server((host, 0), _Handler)
    bucket.server.bucket = bucket
    bucket.url = f"http://{host}:{bucket.server.server_port}"
    threading.Thread(target=bucket.server.serve_forever, args=(0.05,), daemon=True).start()
    return bucket


class _Server(quiet.Server):
    bucket: Bucket


class _Handler(quiet.Handler):
    server: _Server

    def do_POST(self) -> None:
        """Take a form."""
        body = self._body()
        self._answering(lambda: self._post(body))

    def do_PUT(self) -> None:
        """Keep an object, or a copy of another."""
        body = self._body()
        self._answering(lambda: self._put(body))

    def do_GET(self) -> None:
        """Give an object, or how it begins."""
        self._answering(self._get)

    def do_DELETE(self) -> None:
        """Keep an object no longer; S3 answers the same whether there was one."""
        self._answering(self._delete)

    def _delete(self) -> None:
        self.server.bucket.objects.pop(self._key(), None)
        self._send(204, b"")

    def _post(self, body: bytes) -> None:
        self.server.bucket.post(*parts_of(self.headers.get("content-type", ""), body))
        self._send(204, b"")

    def _put(self, body: bytes) -> None:
        key, objects = self._key(), self.server.bucket.objects
        kind = self.headers.get("content-type", "")
        source = unquote(self.headers.get("x-amz-copy-source", "")).lstrip("/").partition("/")[2]
        if not source:
            objects[key] = Object(content=body, content_type=kind)
            return self._send(200, b"")
        there = self.server.bucket.read(source)
        if self.headers.get("x-amz-copy-source-if-match", there.etag) != there.etag:
            raise Refused(412, "PreconditionFailed")
        objects[key] = Object(content=there.content, content_type=kind)
        return self._send(200, f"<CopyObjectResult><ETag>{there.etag}</ETag></CopyObjectResult>".encode())

    def _get(self) -> None:
        there = self.server.bucket.read(self._key())
        told = {"content-type": there.content_type, "etag": there.etag}
        asked = self.headers.get("range", "").removeprefix("bytes=0-")
        if not asked.isdigit():
            return self._send(200, there.content, told)
        content = there.content[: int(asked) + 1]
        told["content-range"] = f"bytes 0-{len(content) - 1}/{len(there.content)}"
        return self._send(206, content, told)

    def _key(self) -> str:
        target = urlsplit(self.path)
        if "authorization" not in self.headers and "X-Amz-Signature" not in parse_qs(target.query):
            raise Refused(403, "AccessDenied")
        return unquote(target.path).removeprefix(f"/{BUCKET}/")

    def _answering(self, do: Any) -> None:
        try:
            if self.server.bucket.down:
                raise Refused(503, "SlowDown")
            do()
        except Refused as refused:
            self._send(refused.status, f"<Error><Code>{refused.code}</Code></Error>".encode())

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
