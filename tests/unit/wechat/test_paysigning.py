"""What is signed, verified and decrypted for WeChat Pay, against what WeChat publishes.

``CERTIFICATE`` and what was signed under it: wechatpay-go, core/auth/verifiers/sha256withrsa_verifier_test.go.
``AEAD``: wechatpay-java, AeadAesCipherTest and TestConfig. The lines to sign: pay.weixin.qq.com, wiki/doc/apiv3/
wechatpay/wechatpay4_0.shtml (request), wechatpay4_1.shtml (answer), apis/chapter7_2_9.shtml (phone).
"""

import base64
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.wechat import paysigning
from chalicelib.wechat.paysigning import NotGenuine
from chalicelib.wechat.schemas import Sealed

CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIDVzCCAj+gAwIBAgIJAPV2V1YAL913MA0GCSqGSIb3DQEBCwUAMEIxCzAJBgNV
BAYTAlhYMRUwEwYDVQQHDAxEZWZhdWx0IENpdHkxHDAaBgNVBAoME0RlZmF1bHQg
Q29tcGFueSBMdGQwHhcNMjEwNDI3MDg0MDMyWhcNMzEwNDI1MDg0MDMyWjBCMQsw
CQYDVQQGEwJYWDEVMBMGA1UEBwwMRGVmYXVsdCBDaXR5MRwwGgYDVQQKDBNEZWZh
dWx0IENvbXBhbnkgTHRkMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA
2VCTd91fnUn73Xy9DLvt/V62TVxRTEEstVdeRaZ3B3leO0pldE806mXO4RwdHXag
HQ4vGeZN0yqm++rDsGK+U3AH7kejyD2pXshNP9Cq5YwbptiLGtjcquw4HNxJQUOm
DeJf2vg6byms9RUipiq4SzbJKqJFlUpbuIPDpSpWz10PYmyCNeDGUUK65E5h2B83
4uxl1zNLYQCrkdBzb8oUxwYeP5a2DNxmjL5lsJML7DGr5znsevnoqGRwTm9fxCGf
y8wus7hwKz6clt3Whmmda7UAdb1c08hEQFVRbF14AR73xbnd8N0obCWJPCbzMCtk
aSef4FdEEgEXJiw0VAJT8wIDAQABo1AwTjAdBgNVHQ4EFgQUT1c7nd/SUO76HSoZ
umNUJv1R5PwwHwYDVR0jBBgwFoAUT1c7nd/SUO76HSoZumNUJv1R5PwwDAYDVR0T
BAUwAwEB/zANBgkqhkiG9w0BAQsFAAOCAQEAM+tslqBxYwqL9fdvGG6hfy69sjfX
UhBtBLWYugKKQCOWWLeq5dDWm3i5Cx2Rgiy9uc7RfmJNxQfIKlcoCNP85BjDoG1B
YnVc6znlcrT9uHgseha3987WwZsFAQbcy8TLUYHzVB8gmDgq8O08xdIe0eczatI8
t3Rg8WXO6Gs66JJ4JR+rD01o3FiSOQCRWhn19NSyDydsgPlOR2t9B9L+MkJwlsMG
Krn85TnwL3qcInzRnU8X86faXXJrI0IJi44tECKw8ftngCl6vyNwNNKPDwdkcuuV
8y3iBixO5IuKxEKEp2wGPV/4W1AXO73Z3Gb7z/1oxdgeO0hVqz1hBasTCQ==
-----END CERTIFICATE-----"""
SIGNED, SIGNATURE = (
    "source",
    "BKyAfU4iMCuvXMXS0Wzam3V/cnxZ+JaqigPM5OhljS2iOT95OO6Fsuml2JkFANJU9K6q9bLlDhPXuoVz+pp4hAm6pHU4ld815U4j"
    "sKu1RkyaII+1CYBUYC8TK0XtJ8FwUXXz8vZHh58rrAVN1XwNyvD1vfpxrMT4SL536GLwvpUHlCqIMzoZUguLli/K8V29QiOhuH6I"
    "EqLNJn8e9b3nwNcQ7be3CzYGpDAKBfDGPCqCv8Rw5zndhlffk2FEA70G4hvMwe51qMN/RAJbknXG23bSlObuTCN7Ndj1aJGH6/L+"
    "hdwfLpUtJm4QYVazzW7DFD27EpSQEqA8bX9+8m1rLg==",
)
AEAD_KEY = "a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb"
AEAD = Sealed(
    associated_data="associatedData", nonce="uluk4a9R25RW", ciphertext="ulwSiIajGClcvcOYvOQ7+l+0PAbzzwI="
)
NOW = 1_554_208_460


@pytest.fixture(scope="module")
def key() -> Any:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    return generate_private_key(public_exponent=65537, key_size=2048)


def headers_of(body: bytes, *, key: Any, at: int = NOW) -> dict[str, str]:
    signature = paysigning.sign(paysigning.lines(str(at), "n0nce", body.decode()), private_key=key)
    return {
        "wechatpay-timestamp": str(at),
        "wechatpay-nonce": "n0nce",
        "wechatpay-signature": signature,
    }


def test_a_signature_that_wechat_published_is_genuine_and_of_nothing_else() -> None:
    public_key = paysigning.public_key_of(CERTIFICATE)

    assert paysigning.is_signed(SIGNED, SIGNATURE, public_key=public_key)
    assert not paysigning.is_signed("wrong source", SIGNATURE, public_key=public_key)
    assert not paysigning.is_signed(SIGNED, "not base64", public_key=public_key)


def test_what_is_signed_for_a_request_is_what_the_documentation_shows(key: Any) -> None:
    shown = "GET\n/v3/certificates\n1554208460\n593BEC0C930BF1AFEB40B4A08C8FB242\n\n"
    header = paysigning.authorization(
        method="GET",
        target="/v3/certificates",
        body="",
        mchid="1900009191",
        serial="1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C",
        private_key=key,
        nonce="593BEC0C930BF1AFEB40B4A08C8FB242",
        now=NOW,
    )

    scheme, _, said = header.partition(" ")
    fields = dict(one.split("=", 1) for one in said.split(","))
    assert scheme == "WECHATPAY2-SHA256-RSA2048"
    assert fields["mchid"] == '"1900009191"' and fields["timestamp"] == '"1554208460"'
    assert paysigning.is_signed(shown, fields["signature"].strip('"'), public_key=key.public_key())


def test_what_a_phone_is_given_is_signed_as_the_documentation_shows(key: Any) -> None:
    prepay_id = "wx201410272009395522657a690389285100"
    nonce = "5K8264ILTKCH16CQ2502SI8ZNMTM67VS"
    shown = f"wx8888888888888888\n1414561699\n{nonce}\nprepay_id={prepay_id}\n"

    given = paysigning.request_payment(
        appid="wx8888888888888888", prepay_id=prepay_id, private_key=key, nonce=nonce, now=1414561699
    )

    signature = given.pop("paySign")
    assert given == {
        "appId": "wx8888888888888888",
        "timeStamp": "1414561699",
        "nonceStr": nonce,
        "package": f"prepay_id={prepay_id}",
        "signType": "RSA",
    }
    assert paysigning.is_signed(shown, signature, public_key=key.public_key())


def test_what_wechat_encrypted_opens_with_the_merchants_key() -> None:
    assert paysigning.opened(AEAD, key=AEAD_KEY) == b"message"


@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": "uluk4a9R25RX"},
        {"associated_data": "transaction"},
        {"ciphertext": "ulwSiIajGClcvcOYvOQ7+l+0PAbzzwM="},
        {"ciphertext": "not base64"},
        {"ciphertext": "AAAA"},
        {"nonce": ""},
    ],
)
def test_what_was_changed_does_not_open(changed: dict[str, Any]) -> None:
    with pytest.raises(NotGenuine):
        paysigning.opened(replace(AEAD, **changed), key=AEAD_KEY)


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(NotGenuine):
        paysigning.opened(AEAD, key="0" * 32)


@pytest.mark.parametrize("off", [0, 300, -300])
def test_what_wechat_signed_in_the_last_five_minutes_passes(key: Any, off: int) -> None:
    body = '{"id":"EV-1","summary":"支付成功"}'.encode()

    paysigning.verify(headers_of(body, key=key), body, public_key=key.public_key(), now=NOW + off)


@pytest.mark.parametrize(
    ("changed", "off", "body"),
    [
        ({}, 301, b"{}"),
        ({}, -301, b"{}"),
        ({}, 0, b'{"a":1}'),
        ({}, 0, b"\xff"),
        ({"wechatpay-nonce": "another"}, 0, b"{}"),
        ({"wechatpay-timestamp": str(NOW + 1)}, 0, b"{}"),
        ({"wechatpay-timestamp": ""}, 0, b"{}"),
        ({"wechatpay-timestamp": "1" * 13}, 0, b"{}"),
        ({"wechatpay-timestamp": "१२"}, 0, b"{}"),
        ({"wechatpay-signature": ""}, 0, b"{}"),
        # With it WeChat tests whether a merchant verifies at all.
        ({"wechatpay-signature": "WECHATPAY/SIGNTEST/" + "A" * 40}, 0, b"{}"),
    ],
)
def test_nothing_else_does(key: Any, changed: dict[str, str], off: int, body: bytes) -> None:
    headers = headers_of(b"{}", key=key) | changed

    with pytest.raises(NotGenuine):
        paysigning.verify(headers, body, public_key=key.public_key(), now=NOW + off)


def test_a_name_is_readable_for_wechat_alone(key: Any) -> None:
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
    from cryptography.hazmat.primitives.hashes import SHA1

    sealed = paysigning.encrypted("张三", public_key=key.public_key())

    padding = OAEP(mgf=MGF1(SHA1()), algorithm=SHA1(), label=None)
    assert key.decrypt(base64.b64decode(sealed), padding).decode() == "张三"


def test_what_is_no_key_is_said_without_showing_it() -> None:
    with pytest.raises(ValueError, match="not a private key in PEM") as wrong:
        paysigning.private_key_of("very-secret")

    assert "very-secret" not in str(wrong.value) and wrong.value.__cause__ is None
