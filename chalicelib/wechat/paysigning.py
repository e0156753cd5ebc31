"""The pure parts of WeChat Pay v3: what is signed, verified, encrypted and decrypted, with nothing of this process.

Where each form is documented (pages of pay.weixin.qq.com, wiki/doc/apiv3):

    the five lines of a request, its Authorization     wechatpay/wechatpay4_0.shtml
    the three lines of an answer or a notification     wechatpay/wechatpay4_1.shtml
    AEAD_AES_256_GCM of notifications, certificates    wechatpay/wechatpay4_2.shtml
    RSA-OAEP with SHA-1 of sensitive fields            wechatpay/wechatpay4_3.shtml
    what a phone is given, and its four lines          apis/chapter7_2_9.shtml
"""

import base64
import binascii
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from chalicelib.wechat.schemas import Sealed

SCHEME = "WECHATPAY2-SHA256-RSA2048"
TOLERANCE_S = 300
"""How far the time of an answer or a notification may be from ours: WeChat's own libraries allow five minutes."""


class NotGenuine(Exception):
    """What was said to come from WeChat Pay is unsigned, wrongly signed, too old, or cannot be decrypted."""


def lines(*parts: str) -> str:
    """What is signed: each part on a line of its own, the last one too."""
    return "".join(f"{part}\n" for part in parts)


def sign(message: str, *, private_key: Any) -> str:
    """SHA256 with RSA (PKCS #1 v1.5), in base64."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    return base64.b64encode(private_key.sign(message.encode(), PKCS1v15(), SHA256())).decode()


def is_signed(message: str, signature: str, *, public_key: Any) -> bool:
    """Whether the holder of the key signed this."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        public_key.verify(base64.b64decode(signature, validate=True), message.encode(), PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def authorization(
    *, method: str, target: str, body: str, mchid: str, serial: str, private_key: Any, nonce: str, now: int
) -> str:
    """The header that says who calls: ``target`` is the path with its query, ``body`` what is sent, to the byte."""
    signature = sign(lines(method, target, str(now), nonce, body), private_key=private_key)
    said = {
        "mchid": mchid,
        "nonce_str": nonce,
        "signature": signature,
        "timestamp": str(now),
        "serial_no": serial,
    }
    return f"{SCHEME} " + ",".join(f'{name}="{value}"' for name, value in said.items())


def verify(headers: Mapping[str, str], body: bytes, *, public_key: Any, now: int) -> None:
    """Let pass what WeChat Pay signed less than five minutes ago; names of headers are in lower case.

    Raises:
        NotGenuine: it did not.
    """
    timestamp, nonce = headers.get("wechatpay-timestamp", ""), headers.get("wechatpay-nonce", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise NotGenuine("no time")
    if abs(int(timestamp) - now) > TOLERANCE_S:
        raise NotGenuine("too old")
    try:
        message = lines(timestamp, nonce, body.decode())
    except UnicodeDecodeError as unreadable:
        raise NotGenuine("no text") from unreadable
    if not is_signed(message, headers.get("wechatpay-signature", ""), public_key=public_key):
        raise NotGenuine("the signature is wrong")


def opened(sealed: Sealed, *, key: str) -> bytes:
    """What a notification or a certificate's envelope holds; ``key`` is the merchant's APIv3 key.

    Raises:
        NotGenuine: it was not encrypted with this key, or was changed.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        content, about = base64.b64decode(sealed.ciphertext, validate=True), sealed.associated_data or ""
        return AESGCM(key.encode()).decrypt(sealed.nonce.encode(), content, about.encode())
    except (InvalidTag, ValueError) as changed:
        raise NotGenuine("it cannot be decrypted") from changed


def encrypted(text: str, *, public_key: Any) -> str:
    """A sensitive field, such as a real name, for WeChat Pay alone; in base64."""
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
    from cryptography.hazmat.primitives.hashes import SHA1

    padding = OAEP(mgf=MGF1(algorithm=SHA1()), algorithm=SHA1(), label=None)  # noqa: S303 - the padding that WeChat Pay asks for
    return base64.b64encode(public_key.encrypt(text.encode(), padding)).decode()


def request_payment(*, appid: str, prepay_id: str, private_key: Any, nonce: str, now: int) -> dict[str, str]:
    """What the phone gives to wx.requestPayment, to the letter."""
    package = f"prepay_id={prepay_id}"
    signature = sign(lines(appid, str(now), nonce, package), private_key=private_key)
    return {
        "appId": appid,
        "timeStamp": str(now),
        "nonceStr": nonce,
        "package": package,
        "signType": "RSA",
        "paySign": signature,
    }


@lru_cache(maxsize=4)
def private_key_of(pem: str) -> Any:
    """The merchant's key: what ``apiclient_key.pem`` holds.

    Raises:
        ValueError: it is no RSA key in PEM; the text is not told.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError):
        raise ValueError("not a private key in PEM") from None


@lru_cache(maxsize=16)
def public_key_of(pem: str) -> Any:
    """The key in ``pub_key.pem``, or of a certificate, in PEM.

    Raises:
        ValueError: it is neither.
    """
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from cryptography.x509 import load_pem_x509_certificate

    if "BEGIN CERTIFICATE" in pem:
        return load_pem_x509_certificate(pem.encode()).public_key()
    return load_pem_public_key(pem.encode())
