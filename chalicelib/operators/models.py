"""Operator storage.

    entity   pk                    sk             written by         read by
    Key      OPKEY#<sha256>        META           add, switch_off    authenticate (remembered 30 s)
    Said     SAID#<opk_>           <req_>         said_once          said_once, was_said (a change once for a key)
    Audit    AUDIT#<YYYY-MM>       <aud_ ulid>    every admin write  trail (newest first)
    owner    Audit about a member: <mbr_>#audit, newest first

A key has 256 random bits, so its plain hash cannot be guessed back.
"""

import hashlib

from pynamodb.attributes import JSONAttribute, UnicodeAttribute

from chalicelib.core import ids
from chalicelib.core.table import IntAttribute, Key, Row


class OperatorKey(Row, discriminator="operator_key"):
    """One key of one operator; ``active`` or ``off``."""

    key_id = UnicodeAttribute()
    name = UnicodeAttribute()
    role = UnicodeAttribute()
    created_at = IntAttribute()

    @staticmethod
    def key(secret: str) -> Key:
        """Where the key with this secret is."""
        return f"OPKEY#{hashlib.sha256(secret.encode()).hexdigest()}", "META"


class Said(Row, discriminator="said"):
    """A change that an operator asked for under an Idempotency-Key."""

    what = JSONAttribute()

    @staticmethod
    def key(key_id: str, idempotency_key: str) -> Key:
        """One row for an operator's key; what people write is hashed, for a key may hold anything."""
        return f"SAID#{key_id}", ids.derived("req", idempotency_key)


class Audit(Row, discriminator="audit"):
    """Who changed what, when, from what, to what."""

    by = UnicodeAttribute()
    by_name = UnicodeAttribute()
    role = UnicodeAttribute()
    action = UnicodeAttribute()
    subject = UnicodeAttribute()
    at = IntAttribute()
    before = JSONAttribute(null=True)
    after = JSONAttribute(null=True)

    @staticmethod
    def key(audit_id: str, month: str) -> Key:
        """One row for an entry, in the partition of its month."""
        return f"AUDIT#{month}", audit_id
