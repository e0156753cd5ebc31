"""What WeChat Pay sends by itself, as it comes."""

import msgspec


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """What only the merchant can open."""

    ciphertext: str
    nonce: str
    associated_data: str | None = None


class SealedNotice(msgspec.Struct, frozen=True, kw_only=True):
    """A notification; fields beyond these are taken and not looked at.

    pay.weixin.qq.com, docs/merchant/products/notification/introduction.html
    """

    id: str
    event_type: str
    resource: Sealed


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """It is taken, and need not be told again."""

    code: str = "SUCCESS"
