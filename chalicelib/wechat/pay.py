"""A thin client of WeChat Pay v3: what is called is signed, what is answered is verified, what fails has a type.

    answer = pay.call("POST", "/v3/pay/transactions/jsapi", body={...}, now=now)

`PayRefused` is WeChat's decided no, with its code. `PayUnknown` is everything after which the thing may have
happened: no answer, 5xx, 429, or an answer that WeChat did not sign. Nothing is sent twice from here: whoever calls
has a number that never changes, and asks again under it. A refusal may come without a signature, as those of
WeChat's gateway do (its own libraries verify 2xx alone); one that is there must be right whatever the status.

WeChat signs with the merchant's WeChat Pay public key (``PUB_KEY_ID_…``) where WECHATPAY_PUBLIC_KEY_ID is set, and
else with platform certificates, which are fetched from /v3/certificates when first needed, again after eleven
hours (WeChat asks for less than twelve), and when an unknown serial is met, once a minute at most, or ten seconds
after that failed; those that are known serve on while it fails. While a merchant
changes from the one to the other both are met, so each answer's own Wechatpay-Serial decides.

Why not wechatpayv3, the one library that is kept (2.0.4, read in November 2026): it raises bare Exception, so a
refusal cannot be told from a lost answer; it takes notifications of any age; it calls WeChat in its constructor and
writes bodies to the log at DEBUG; it signs a body that requests then serialises by itself; it has no tests, and
pulls in requests. What is left of it is `paysigning`, on `cryptography`, which is here already.

Secrets: ``wechatpay/private_key`` (PEM), ``wechatpay/serial`` (of the merchant's certificate), ``wechatpay/
api_v3_key``, and with a public key ``wechatpay/public_key`` (PEM).
"""

import json
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from chalicelib.core import config
from chalicelib.core.clock import HOUR, MINUTE
from chalicelib.core.errors import SignatureInvalid
from chalicelib.core.telemetry import logger
from chalicelib.wechat import paysigning
from chalicelib.wechat.paysigning import NotGenuine
from chalicelib.wechat.schemas import Sealed, SealedNotice

CONNECT_S, READ_S = 2.0, 5.0
CERTIFICATES_FRESH_FOR_S = 11 * HOUR
FETCHED_AGAIN_AFTER_S = 10
BY_PUBLIC_KEY = "PUB_KEY_ID_"


class PayRefused(Exception):
    """WeChat Pay said no: its ``code``, its words, and the status of HTTP."""

    def __init__(self, code: str, message: str, status: int) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


class PayUnknown(Exception):
    """WeChat Pay did not say what became of it: it may have happened."""


class Sealer(msgspec.Struct, frozen=True, kw_only=True):
    """What encrypts sensitive fields, and the ``serial`` that a call which holds such fields names."""

    serial: str
    seal: Callable[[str], str]


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What WeChat Pay tells by itself, opened: ``TRANSACTION.SUCCESS`` and the like, and about what."""

    notice_id: str
    event_type: str
    resource: dict[str, Any]


class _Certificates(msgspec.Struct):
    """The platform's certificates, as this process last fetched them: serial -> (PEM, expires at)."""

    known: dict[str, tuple[str, int]] = msgspec.field(default_factory=dict)
    fetched_at: int = 0
    failed_at: int = 0
    lock: threading.Lock = msgspec.field(default_factory=threading.Lock)


_certificates = _Certificates()


def reset() -> None:
    """Forget the certificates, as a new process would have to fetch them."""
    _certificates.known, _certificates.fetched_at, _certificates.failed_at = {}, 0, 0


def mchid() -> str:
    """The merchant's number.

    Raises:
        ConfigError: it is not set.
    """
    found = config.settings().wechatpay_mchid
    if not found:
        raise config.ConfigError("WECHATPAY_MCHID is not set. See docs/deploying.md.")
    return found


def call(
    method: str,
    path: str,
    *,
    now: int,
    query: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    serial: str | None = None,
    pool: Any = None,
) -> dict[str, Any]:
    """WeChat Pay's answer, empty where it has none (204); ``serial``: whose key sealed what is in the body.

    ``pool`` is what the call leaves by, instead of this process's own connections.

    Raises:
        PayRefused: it said no. PayUnknown: it may have happened.
    """
    target = f"{path}?{urlencode(query)}" if query else path
    status, headers, content = _send(method, target, body=_text(body), serial=serial, now=now, pool=pool)
    refused = status not in (200, 204)
    if not refused or headers.get("wechatpay-signature"):
        _verify_answer(headers, content, now=now)
    said = _json(content)
    if refused:
        raise _refusal(said, status=status)
    return said


def download(url: str, *, now: int) -> bytes:
    """The file that an answer named, such as a bill; WeChat does not sign it, but the answer has its hash.

    Raises:
        PayRefused, PayUnknown: it did not come.
    """
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    status, _, content = _send("GET", target, body="", serial=None, now=now)
    if status != 200:
        raise _refusal(_json(content), status=status)
    return content


def request_payment(prepay_id: str, *, appid: str, now: int) -> dict[str, str]:
    """What the phone gives to wx.requestPayment."""
    key = _private_key(now=now)
    return paysigning.request_payment(
        appid=appid, prepay_id=prepay_id, private_key=key, nonce=secrets.token_hex(16), now=now
    )


def sealer(*, now: int) -> Sealer:
    """What encrypts names and numbers of people for WeChat Pay alone.

    Raises:
        PayUnknown: the platform's certificates could not be fetched.
    """
    serial = config.settings().wechatpay_public_key_id
    if not serial:
        _renew(now=now)
        serial = max(_certificates.known, key=lambda one: _certificates.known[one][1])
    key = _key_of(serial, now=now)
    return Sealer(serial=serial, seal=lambda text: paysigning.encrypted(text, public_key=key))


def admit(headers: Mapping[str, str], body: bytes, now: int) -> None:
    """Let a notification pass that WeChat Pay signed.

    Raises:
        SignatureInvalid: it is unsigned, wrongly signed, more than five minutes old, or by an unknown key; or the
        certificate that could tell cannot be fetched now, and WeChat sends it again.
    """
    try:
        _verify(headers, body, now=now)
    except (NotGenuine, PayUnknown) as forged:
        logger.warning("a notification was not let in", failure=str(forged))
        raise SignatureInvalid from forged


def notice(told: SealedNotice, *, now: int) -> Notice:
    """What a notification that was let in says.

    Raises:
        SignatureInvalid: it was not sealed for this merchant.
    """
    try:
        content = json.loads(paysigning.opened(told.resource, key=_api_v3_key(now=now)))
    except (NotGenuine, ValueError) as unreadable:
        raise SignatureInvalid from unreadable
    return Notice(notice_id=told.id, event_type=told.event_type, resource=dict(content))


# --- the wire -----------------------------------------------------------------------------------------------


def _text(body: Mapping[str, Any] | None) -> str:
    return "" if body is None else json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _send(
    method: str, target: str, *, body: str, serial: str | None, now: int, pool: Any = None
) -> tuple[int, dict[str, str], bytes]:
    import urllib3

    headers = _headers(method, target, body=body, serial=serial, now=now)
    try:
        answer = (pool or _pool()).request(
            method,
            f"{config.settings().wechatpay_url}{target}",
            body=body.encode() or None,
            headers=headers,
            redirect=False,
        )
    except urllib3.exceptions.HTTPError as unanswered:
        failure = type(unanswered).__name__
        logger.warning("wechat pay did not answer", path=urlsplit(target).path, failure=failure)
        raise PayUnknown(failure) from None
    return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.data


@lru_cache(maxsize=1)
def _pool() -> Any:
    import urllib3

    timeout = urllib3.Timeout(connect=CONNECT_S, read=READ_S)
    return urllib3.PoolManager(timeout=timeout, retries=False, maxsize=16)


def _headers(method: str, target: str, *, body: str, serial: str | None, now: int) -> dict[str, str]:
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": "liebian",
        "Authorization": paysigning.authorization(
            method=method,
            target=target,
            body=body,
            mchid=mchid(),
            serial=config.secret("wechatpay/serial", now=now),
            private_key=_private_key(now=now),
            nonce=secrets.token_hex(16),
            now=now,
        ),
    }
    named = serial or config.settings().wechatpay_public_key_id
    return headers | ({"Wechatpay-Serial": named} if named else {})


def _json(content: bytes) -> dict[str, Any]:
    try:
        said = json.loads(content or b"{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _refusal(said: Mapping[str, Any], *, status: int) -> Exception:
    """429 is unknown, too: of a refund it says that the first one is being worked on."""
    code = str(said.get("code") or "")
    if status >= 500 or status == 429 or not code:
        return PayUnknown(f"{status} {code}".strip())
    return PayRefused(code, str(said.get("message") or "")[:200], status)


def _verify_answer(headers: Mapping[str, str], content: bytes, *, now: int) -> None:
    try:
        _verify(headers, content, now=now)
    except NotGenuine as forged:
        logger.error("an answer of wechat pay is not genuine", failure=str(forged))
        raise PayUnknown(f"the answer is not genuine: {forged}") from forged


# --- whose signature ----------------------------------------------------------------------------------------


def _verify(headers: Mapping[str, str], content: bytes, *, now: int) -> None:
    key = _key_of(headers.get("wechatpay-serial", ""), now=now)
    paysigning.verify(headers, content, public_key=key, now=now)


def _key_of(serial: str, *, now: int) -> Any:
    """The key that this serial names.

    Raises:
        NotGenuine: it names none. PayUnknown: the certificates could not be fetched.
    """
    if serial.startswith(BY_PUBLIC_KEY):
        if serial != config.settings().wechatpay_public_key_id:
            raise NotGenuine("an unknown public key")
        return paysigning.public_key_of(config.secret("wechatpay/public_key", now=now))
    _renew(now=now, unless_known=serial)
    pem, expires_at = _certificates.known.get(serial, ("", 0))
    if expires_at <= now:
        raise NotGenuine("an unknown certificate")
    return paysigning.public_key_of(pem)


def _renew(*, now: int, unless_known: str | None = None) -> None:
    """Fetch the certificates when they are old, or do not have this serial; old ones serve while that fails.

    Raises:
        PayUnknown: they could not be fetched, now or a moment ago.
    """
    known = unless_known in _certificates.known if unless_known is not None else bool(_certificates.known)
    fresh_for_s = CERTIFICATES_FRESH_FOR_S if known else MINUTE
    with _certificates.lock:
        if now - _certificates.fetched_at < fresh_for_s:
            return
        try:
            _certificates.known, _certificates.fetched_at = _fetch_seldom(now=now), now
        except PayUnknown:
            if not known:
                raise


def _fetch_seldom(*, now: int) -> dict[str, tuple[str, int]]:
    """Whoever sends serials that nobody knows does not have WeChat asked for each of them."""
    if 0 <= now - _certificates.failed_at < FETCHED_AGAIN_AFTER_S:
        raise PayUnknown("the certificates could not be fetched a moment ago")
    try:
        return _fetch(now=now)
    except PayUnknown:
        _certificates.failed_at = now
        raise


def _fetch(*, now: int) -> dict[str, tuple[str, int]]:
    """The platform's certificates, which prove themselves: only WeChat and the merchant have the key to them.

    Raises:
        PayUnknown: they did not come.
    """
    status, headers, content = _send("GET", "/v3/certificates", body="", serial=None, now=now)
    if status != 200:
        raise PayUnknown(f"the certificates did not come: {status} {_json(content).get('code', '')}")
    try:
        found = {one["serial_no"]: _certificate(one, now=now) for one in _json(content)["data"]}
        pem, _ = found[headers["wechatpay-serial"]]
        paysigning.verify(headers, content, public_key=paysigning.public_key_of(pem), now=now)
    except (NotGenuine, KeyError, ValueError, TypeError, msgspec.ValidationError) as wrong:
        raise PayUnknown("the certificates are not genuine") from wrong
    return found


def _certificate(one: Mapping[str, Any], *, now: int) -> tuple[str, int]:
    sealed = msgspec.convert(one["encrypt_certificate"], Sealed)
    pem = paysigning.opened(sealed, key=_api_v3_key(now=now)).decode()
    return pem, int(datetime.fromisoformat(one["expire_time"]).timestamp())


def _private_key(*, now: int) -> Any:
    try:
        return paysigning.private_key_of(config.secret("wechatpay/private_key", now=now))
    except ValueError as wrong:
        raise config.ConfigError(f"The secret wechatpay/private_key is {wrong}.") from None


def _api_v3_key(*, now: int) -> str:
    return config.secret("wechatpay/api_v3_key", now=now)
