"""Batch grants: each of many members gets one coupon, in chunks that a job works off and can take up again.

A coupon's id follows from member, template and batch, so a chunk that broke off, or is worked by two at once, gives
nobody two; each coupon takes its unit in the same transaction, so a batch never gives more than there is.
"""

import hashlib
from collections.abc import Sequence

from chalicelib.core import due, table
from chalicelib.core.errors import AppError, NotFound
from chalicelib.core.telemetry import logger
from chalicelib.coupons import service, templates
from chalicelib.coupons.models import Chunk
from chalicelib.coupons.schemas import GrantPart
from chalicelib.coupons.service import AlreadyGranted
from chalicelib.coupons.templates import CouponOff, CouponSoldOut, Making, RequestDiffers
from chalicelib.members import service as members

JOB = "coupon_grants"
CHUNK = 20


def begin(template_id: str, given: GrantPart, making: Making) -> None:
    """Take a part of a batch on, all of it or nothing; the same again changes nothing.

    Raises:
        NotFound: no such template. RequestDiffers: this part named other members.
    """
    templates.find(template_id, now=making.now)
    wanted = list(dict.fromkeys(given.member_ids))
    mark = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:16]
    rows = [
        _chunk(template_id, given, n, wanted[at : at + CHUNK], mark=mark, now=making.now)
        for n, at in enumerate(range(0, len(wanted), CHUNK))
    ]
    told = {"batch": given.batch, "part": given.part, "members": len(wanted)}
    audit = making.recorded("coupon.granted", template_id, after=told)
    try:
        table.transact([*[table.create(row) for row in rows], audit])
    except table.Taken as first:
        if first.row.mark != mark:
            raise RequestDiffers(field="part", reason="this part named other members") from first


def _chunk(
    template_id: str, given: GrantPart, n: int, member_ids: Sequence[str], *, mark: str, now: int
) -> Chunk:
    pk, sk = Chunk.key(template_id, given.batch, given.part, n)
    return Chunk(
        pk,
        sk,
        state="due",
        template_id=template_id,
        batch=given.batch,
        member_ids=list(member_ids),
        mark=mark,
        **due.slot(job=JOB, pk=pk, at=now),
    )


class _Done(Exception):
    """Another worker has finished it."""


@due.handles(JOB)
def grant(entry: due.Entry, now: int) -> None:
    """Give the members of a chunk what they do not have yet, then note what became of them.

    Raises:
        Busy: the store is; it is taken up again where it broke off.
    """
    chunk = table.get(Chunk, (entry.pk, entry.sk))
    if chunk is None or chunk.state != "due":
        return
    known = members.known(chunk.member_ids)
    refused = []
    for member_id in chunk.member_ids:
        code = _give(chunk, member_id, now=now) if member_id in known else NotFound.code
        if code is not None:
            refused.append([member_id, code])
    done = (
        Chunk.state.set("done"),
        Chunk.given.set(len(chunk.member_ids) - len(refused)),
        Chunk.refused.set(refused),
        *due.emptied(),
    )
    finished = table.update(
        Chunk, (entry.pk, entry.sk), *done, when=Chunk.state == "due", refuse=lambda _: _Done()
    )
    try:
        table.apply(finished)
    except _Done:
        logger.info("the chunk was finished by another", key=f"{entry.pk} {entry.sk}")


def _give(chunk: Chunk, member_id: str, *, now: int) -> str | None:
    """One coupon for one member; why not, as a code."""
    try:
        cause = f"batch#{chunk.batch}"
        table.transact(service.giving(chunk.template_id, member_id, cause=cause, source="batch", now=now))
    except AlreadyGranted:
        return None
    except (CouponSoldOut, CouponOff) as refused:
        return _unless_given(chunk, member_id, refused)
    return None


def _unless_given(chunk: Chunk, member_id: str, refused: AppError) -> str | None:
    """A run that broke off may have given the last unit to this very member."""
    coupon_id = service.id_for_cause(chunk.template_id, member_id, f"batch#{chunk.batch}")
    return None if service.has(member_id, coupon_id) else refused.code


def progress(template_id: str, batch: str) -> list[Chunk]:
    """The chunks of a batch.

    Raises:
        NotFound: there is no such batch.
    """
    rows = _chunks(template_id, batch)
    if not rows:
        raise NotFound
    return rows


def named(template_id: str, batch: str) -> tuple[set[str], int]:
    """Whom the parts of a batch name so far, and the number of its last part: nobody and 0 before it is begun."""
    rows = _chunks(template_id, batch)
    who = {member_id for row in rows for member_id in row.member_ids}
    return who, max((int(row.sk.partition("#")[0]) for row in rows), default=0)


def _chunks(template_id: str, batch: str) -> list[Chunk]:
    return table.query_all(Chunk, Chunk.key(template_id, batch, 0, 0)[0])
