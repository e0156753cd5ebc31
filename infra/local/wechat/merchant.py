"""The merchant of the simulated WeChat Pay: real keys and certificates, calls that must be signed, signed answers.

Keys are made once in a process and are worth nothing outside it; `environment` says what a merchant would be given.
A part declares its calls with `pay_endpoint` and refuses with `Refused`. An answer is signed by the WeChat Pay
public key where the call names it (Wechatpay-Serial), and else by the platform's certificate
(pay.weixin.qq.com/doc/v3/merchant/4012365336, wiki/doc/apiv3/wechatpay/wechatpay4_1.shtml); refused signatures are
answered without one.

Which statuses codes have: doc/v3/merchant/4012556398 (orders), 4014959631 (refunds), wiki/doc/apiv3/apis/
chapter7_9_1.shtml (bills). ORDERPAID is what has long been sent for a paid order; no v3 page that was found has it.
"""

import base64
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any

from chalicelib.wechat import paysigning
from infra.local.wechat.frame import Answer, Platform, Request, endpoint, said

MCHID = "1900000109"
API_V3_KEY = "0123456789abcdefghijklmnopqrstuv"
PUBLIC_KEY_ID = "PUB_KEY_ID_0000000000000024101100397200000006"
BEIJING = timezone(timedelta(hours=8))
STATUSES = {
    "ACCOUNT_ERROR": 403,
    "APPID_MCHID_NOT_MATCH": 400,
    "FREQUENCY_LIMITED": 429,
    "INVALID_REQUEST": 400,
    "MCH_NOT_EXISTS": 404,
    "NOT_ENOUGH": 403,
    "NOT_FOUND": 404,
    "NO_AUTH": 403,
    "NO_STATEMENT_EXIST": 400,
    "ORDERPAID": 400,
    "ORDER_CLOSED": 400,
    "ORDER_NOT_EXIST": 404,
    "OUT_TRADE_NO_USED": 403,
    "PARAM_ERROR": 400,
    "RESOURCE_NOT_EXISTS": 404,
    "RULE_LIMIT": 403,
    "SIGN_ERROR": 401,
    "STATEMENT_CREATING": 400,
    "SYSTEM_ERROR": 500,
    "TRADE_ERROR": 403,
    "USER_ACCOUNT_ABNORMAL": 403,
    "USER_PAYING": 202,
}
_SAID = re.compile(r'(\w+)="([^"]*)"')


class Refused(Exception):
    """What a call is refused with."""

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(code)
        self.code, self.message = code, message or code


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The merchant's key, the platform's with its certificate, and the WeChat Pay public key's."""

    merchant: Any
    merchant_serial: str
    platform: Any
    certificate: str
    platform_serial: str
    public: Any


@dataclass
class Merchant:
    """How the one merchant stands: by which key it is told things, and what refuses calls that begin so,
    ``{"POST /v3/refund": "NOT_ENOUGH"}``."""

    told_by_public_key: bool = False
    refusals: dict[str, str] = field(default_factory=dict)


@cache
def keys() -> Keys:
    """The keys of this process."""
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    merchant, platform, public = (
        generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3)
    )
    number = secrets.randbits(158) | 1 << 157
    return Keys(
        merchant=merchant,
        merchant_serial=secrets.token_hex(20).upper(),
        platform=platform,
        certificate=_certificate(platform, number),
        platform_serial=f"{number:040X}",
        public=public,
    )


def environment(url: str, *, by_public_key: bool = False) -> dict[str, str]:
    """The settings and secrets of the merchant whose WeChat Pay is at ``url``."""
    given = {
        "WECHATPAY_URL": url,
        "WECHATPAY_MCHID": MCHID,
        "SECRET_WECHATPAY_PRIVATE_KEY": _pem(keys().merchant),
        "SECRET_WECHATPAY_SERIAL": keys().merchant_serial,
        "SECRET_WECHATPAY_API_V3_KEY": API_V3_KEY,
    }
    if by_public_key:
        given |= {
            "WECHATPAY_PUBLIC_KEY_ID": PUBLIC_KEY_ID,
            "SECRET_WECHATPAY_PUBLIC_KEY": _public_pem(keys().public.public_key()),
        }
    return given


PayHandler = Callable[..., Mapping[str, Any] | Answer | None]


def pay_endpoint(method: str, path: str) -> Callable[[PayHandler], PayHandler]:
    """Declare a call of WeChat Pay: who answers it gets signed requests only, and None is 204."""

    def declare(handler: PayHandler) -> PayHandler:
        @endpoint(method, path)
        def answered(platform: Platform, request: Request, **names: str) -> Answer:
            if (wrong := _unsigned(platform, request)) is not None:
                return _refusal(Refused("SIGN_ERROR", wrong))
            try:
                _told_to_refuse(platform, request)
                answer = handler(platform, request, **names)
            except Refused as refused:
                answer = _refusal(refused)
            return _signed(platform, request, answer)

        return handler

    return declare


def seal(content: Mapping[str, Any] | str, *, about: str) -> dict[str, str]:
    """The envelope that only the merchant can open."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    nonce = secrets.token_hex(6)
    sealed = AESGCM(API_V3_KEY.encode()).encrypt(nonce.encode(), text.encode(), about.encode())
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "ciphertext": base64.b64encode(sealed).decode(),
        "associated_data": about,
        "nonce": nonce,
    }


def signature(platform: Platform, body: bytes, *, by_public_key: bool) -> dict[str, str]:
    """The headers that say that WeChat Pay says this, now."""
    at, nonce = str(int(platform.clock())), secrets.token_hex(16)
    key = keys().public if by_public_key else keys().platform
    return {
        "Wechatpay-Timestamp": at,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": paysigning.sign(paysigning.lines(at, nonce, body.decode()), private_key=key),
        "Wechatpay-Serial": PUBLIC_KEY_ID if by_public_key else keys().platform_serial,
        "Wechatpay-Signature-Type": paysigning.SCHEME,
    }


def opened(sealed: str, *, by_public_key: bool) -> str:
    """A sensitive field that a merchant encrypted."""
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
    from cryptography.hazmat.primitives.hashes import SHA1

    key = keys().public if by_public_key else keys().platform
    padding = OAEP(mgf=MGF1(SHA1()), algorithm=SHA1(), label=None)
    return str(key.decrypt(base64.b64decode(sealed), padding).decode())


def time_of(at: float) -> str:
    """A time as WeChat Pay writes it: RFC 3339, in Beijing."""
    return datetime.fromtimestamp(int(at), BEIJING).isoformat()


@pay_endpoint("GET", "/v3/certificates")
def certificates(platform: Platform, request: Request) -> Mapping[str, Any]:
    """The platform's certificates (wiki/doc/apiv3/open/pay/wechatpay5_0.shtml)."""
    now = platform.clock()
    one = {
        "serial_no": keys().platform_serial,
        "effective_time": time_of(now - 86400),
        "expire_time": time_of(now + 5 * 365 * 86400),
        "encrypt_certificate": seal(keys().certificate, about="certificate"),
    }
    return {"data": [one]}


def _unsigned(platform: Platform, request: Request) -> str | None:
    """Why it is not this merchant's call."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    by = dict(_SAID.findall(rest))
    if scheme != paysigning.SCHEME or by.get("mchid") != MCHID:
        return "Authorization不合法"
    if by.get("serial_no") != keys().merchant_serial:
        return "商户证书序列号有误"
    at = by.get("timestamp", "")
    if not at.isdigit() or abs(int(at) - platform.clock()) > paysigning.TOLERANCE_S:
        return "请求时间不合法"
    target = request.target or request.path
    message = paysigning.lines(request.method, target, at, by.get("nonce_str", ""), request.body.decode())
    genuine = paysigning.is_signed(message, by.get("signature", ""), public_key=keys().merchant.public_key())
    return None if genuine else "签名错误"


def _told_to_refuse(platform: Platform, request: Request) -> None:
    with platform.lock:
        refusals = dict(platform.of(Merchant).refusals)
    for path, code in refusals.items():
        if f"{request.method} {request.path}".startswith(path):
            raise Refused(code)


def _refusal(refused: Refused) -> Answer:
    body = {"code": refused.code, "message": refused.message}
    return said(body, status=STATUSES[refused.code], content_type="application/json")


def _signed(platform: Platform, request: Request, answer: Mapping[str, Any] | Answer | None) -> Answer:
    if answer is None:
        answer = Answer(body=b"", status=204, content_type="application/json")
    elif not isinstance(answer, Answer):
        answer = said(answer, content_type="application/json")
    elif answer.content_type != "application/json":
        return answer
    by_public_key = request.headers.get("wechatpay-serial") == PUBLIC_KEY_ID
    return replace(answer, headers=signature(platform, answer.body, by_public_key=by_public_key))


def _certificate(key: Any, number: int) -> str:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509 import CertificateBuilder, Name, NameAttribute
    from cryptography.x509.oid import NameOID

    name = Name([NameAttribute(NameOID.COMMON_NAME, "Simulated WeChat Pay platform")])
    begins = datetime.now(UTC) - timedelta(days=1)
    made = CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(number).not_valid_before(begins).not_valid_after(begins + timedelta(days=1826))
    return made.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


def _pem(key: Any) -> str:
    from cryptography.hazmat.primitives import serialization

    form = serialization.PrivateFormat.PKCS8
    return str(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode().strip()
    )


def _public_pem(key: Any) -> str:
    from cryptography.hazmat.primitives import serialization

    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_bytes(serialization.Encoding.PEM, form).decode().strip())
