"""Personal data at rest: AES-256-GCM under keys with ids, so that they rotate; and how it is shown.

The secret ``payee_keys`` is JSON ``{key id: 64 hex digits}``; the first seals, all of them open. What is sealed
says what it is about, so that nobody's account can be put in another's place.
"""

import base64
import json
from functools import lru_cache

from chalicelib.core import config

NONCE_BYTES = 12


def seal(text: str, *, about: str, nonce: bytes, now: int) -> str:
    """``text`` sealed; ``nonce`` is twelve random bytes of which no two are the same."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key_id, key = next(iter(_keys(config.secret("payee_keys", now=now)).items()))
    sealed = AESGCM(key).encrypt(nonce, text.encode(), about.encode())
    return f"{key_id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"


def opened(sealed: str, *, about: str, now: int) -> str:
    """The text that was sealed about this.

    Raises:
        cryptography.exceptions.InvalidTag: it was about something else, or was changed.
        KeyError: its key is not among ``payee_keys`` any more.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    key_id, _, text = sealed.rpartition(".")
    key = _keys(config.secret("payee_keys", now=now))[key_id]
    try:
        raw = base64.urlsafe_b64decode(text)
        if base64.urlsafe_b64encode(raw).decode() != text:
            raise ValueError("written otherwise than it was sealed")
        return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], about.encode()).decode()
    except ValueError as changed:
        raise InvalidTag from changed


def ready(*, now: int) -> bool:
    """Whether there are keys to seal with."""
    try:
        return bool(_keys(config.secret("payee_keys", now=now)))
    except config.ConfigError:
        return False


def masked(number: str) -> str:
    """The last four of a number, where that is not most of it: ``****1234``."""
    return f"****{number[-4:]}" if len(number) >= 8 else "****"


def masked_name(name: str) -> str:
    """The first letter of a name: ``王*``."""
    return f"{name[:1]}*"


@lru_cache(maxsize=4)
def _keys(secret: str) -> dict[str, bytes]:
    wrong = config.ConfigError("The secret payee_keys must be JSON: {key id: key of 64 hex digits}.")
    try:
        keys = {key_id: bytes.fromhex(key) for key_id, key in json.loads(secret).items()}
    except (ValueError, AttributeError, TypeError) as unreadable:
        raise wrong from unreadable
    if not keys or not all(len(key) == 32 for key in keys.values()):
        raise wrong
    return keys
