"""Who comes back after they were erased: no new member, for whom nothing new members get is given a second time.

What is kept to know it by is a keyed hash of each proof, for a year: without the secret ``erased_key``, which never
rotates, nobody can tell whose it is, and with it only whether a proof that is brought again is the same. The secret
is no other room's, so that destroying it forgets everybody at once.
"""

import hashlib
from collections.abc import Iterable

from chalicelib.core import config
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy
from chalicelib.core.table import Key, Write
from chalicelib.members.models import Erased, Member

KEPT_S = 365 * DAY


def key_of(proof: str, *, now: int) -> Key:
    """Where it is noted that somebody with this proof was erased."""
    seed = config.secret("erased_key", now=now).encode()
    return Erased.key(
        hashlib.blake2b(proof.encode(), digest_size=16, key=seed[:64], person=b"erased").hexdigest()
    )


def noted(member: Member, proof: str, *, blocked: bool, now: int) -> Write:
    """The write that notes it, for a transaction in which another condition says that it is the first time."""
    row = Erased(
        *key_of(proof, now=now),
        registered_at=member.registered_at,
        erased_at=now,
        blocked=blocked or None,
        ttl=now + KEPT_S,
    )
    return Write(operation="Put", row=row, when=None, refuse=Busy)


def former(rows: Iterable[Erased | None], *, now: int) -> Erased | None:
    """The first time that somebody was a member, of what is noted of their proofs; what is swept late is not."""
    kept = [row for row in rows if row is not None and row.ttl is not None and row.ttl > now]
    return min(kept, key=lambda row: (not row.blocked, row.registered_at), default=None)
