"""Ids: a prefix and a ULID, or a prefix and a hash of the natural key that makes a thing unique.

Every prefix of the system is listed here once, so that an id says in a log what it names.
"""

import hashlib
import hmac
import secrets
import time
from typing import Literal

Prefix = Literal[
    "mbr",  # member
    "aud",  # audit entry
    "dlv",  # delivery
    "vis",  # visit
    "opk",  # operator key
    "cmp",  # campaign
    "grp",  # group of a group-buy
    "ctm",  # team of a check-in challenge
    "ord",  # order
    "pay",  # payment, when the gateway is ours
    "rfd",  # refund: the number that never changes
    "ctp",  # coupon template
    "cpn",  # coupon
    "cpp",  # plan of share packs
    "cpk",  # share pack
    "cvp",  # invitation plan
    "exc",  # exchange of points
    "rwd",  # reward rule
    "gnt",  # grant of a reward
    "rte",  # rate of commissions
    "com",  # commission
    "ntf",  # notification
    "wdr",  # withdrawal: the number of its transfer, which never changes
    "chk",  # check of what somebody wrote or uploaded
    "cgr",  # group chat of WeChat
    "req",  # request, when the gateway gave it no id
]

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
READABLE = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
"""What people read and type: without 0 O 1 I L."""


def entropy(*, now: int) -> bytes:
    """Ten bytes for a ULID: how long ago ``now`` was, then chance; so ids of one second sort as they were made."""
    since_ns = min(max(time.time_ns() - now * 10**9, 0), 2**32 - 1)
    return since_ns.to_bytes(4, "big") + secrets.token_bytes(6)


def ulid(prefix: Prefix, *, now: int, entropy: bytes) -> str:
    """A new id that sorts by time (https://github.com/ulid/spec): 48 bits of milliseconds, 80 random bits."""
    if len(entropy) != 10:
        raise ValueError("a ULID takes ten random bytes")
    number = (now * 1000 << 80) | int.from_bytes(entropy, "big")
    return f"{prefix}_{_digits(number, alphabet=_CROCKFORD, length=26)}"


def derived(prefix: Prefix, *natural_key: str) -> str:
    """The id of the thing with this natural key: the same key always gives the same id."""
    digest = hashlib.blake2b("\x1f".join(natural_key).encode(), digest_size=16).digest()
    return f"{prefix}_{_digits(int.from_bytes(digest, 'big'), alphabet=_CROCKFORD, length=26)}"


def keyed_code(*parts: str, key: bytes, length: int = 10) -> str:
    """A code of ``length`` readable characters that only the holder of ``key`` can derive from ``parts``."""
    digest = hmac.new(key, "\x1f".join(parts).encode(), hashlib.sha256).digest()
    return _digits(int.from_bytes(digest, "big"), alphabet=READABLE, length=length)


def _digits(number: int, *, alphabet: str, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))
