"""Two members who will prove to be one person, the sign-in that proves it, and the job's looks afterwards."""

from dataclasses import dataclass

from chalicelib.core import cache, due
from chalicelib.members import merging
from chalicelib.members import service as members
from chalicelib.members.models import Member
from tests.factories import NOW, a_member, a_proof, a_unionid

HOME, FAIR = a_proof("bob"), a_proof("bob2", program_id="fair")
UNION = a_unionid("bob")


@dataclass(frozen=True)
class Two:
    """``one`` is known by an openid at home, ``other`` by an openid at the fair and by the unionid."""

    one: str
    other: str


def two_members(*, now: int = NOW) -> Two:
    """Two members who are one person, which nobody knows yet."""
    one, other = a_member(proof=HOME, now=now), a_member(proof=FAIR, now=now)
    sign_in(FAIR, UNION, now=now)
    return Two(one, other)


def sign_in(*proofs: str, now: int = NOW) -> Member:
    """Whom these proofs prove."""
    return members.find_or_register(proofs=proofs, program_id="demo", now=now)[0]


def become_one(two: Two, *, now: int = NOW) -> None:
    """They have proved to be one, and all that they have has gone over."""
    assert sign_in(HOME, UNION, now=now).member_id == two.other
    looked(now=now + merging.LOOKS_S[0])


def looked(*, now: int) -> due.Ran:
    """The job has looked at all that is due by ``now``; nothing may fail."""
    cache.clear_all()
    ran = due.run(job=merging.JOB, worker="looking", now=now, seconds=30)
    assert not ran.failed
    return ran
