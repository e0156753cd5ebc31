"""What looks like fraud, and holds a commission until an operator has looked; nothing is refused for it.

Seen are: devices and addresses as keyed hashes, which say only that two are the same; members as the first
bytes of one. A row of a day counts everybody once and holds 64: more than any limit asks for. All of it is
judged when an order is attributed, by the limits of the policy in force when it was made, from what is known
then.

    entity  pk                  sk        written by                   read by
    Seen *  SEEN#<what>#<of>    D#<day>   sign-in, reactions           of_order

    * on the traffic table. <what>: device, address (members seen there), refunded (orders, of a promoter)
"""

import hashlib
from collections.abc import Mapping, Sequence, Set
from datetime import date, timedelta
from typing import Any

from pynamodb.attributes import BinarySetAttribute

from chalicelib.core import clock, config, facts, table
from chalicelib.core.cache import Cache
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.errors import Busy
from chalicelib.core.table import IntAttribute, Row
from chalicelib.core.telemetry import logger
from chalicelib.safety import risk
from chalicelib.sharing import stories
from chalicelib.sharing.history import Span
from chalicelib.sharing.models import Binding, OrderAttribution
from chalicelib.sharing.schemas import SignalLimits
from chalicelib.sharing.stories import Story

ROW_HOLDS = 64
WALKED_AT_MOST = 8
"""Members whose bindings are looked at, up from a buyer's promoter."""
CLUSTER = 3
"""From how many members on who brought one another and share a device are a cluster."""
LOOKS_BACK_DAYS = 30
NEW_CUSTOMER_S = 7 * DAY

_seen: Cache[bool] = Cache(for_s=HOUR, size=5000)


class Seen(Row, discriminator="signal_seen"):
    """Who or what was seen somewhere on one day."""

    TRAFFIC = True
    n = IntAttribute(null=True)
    seen = BinarySetAttribute(legacy_encoding=False, null=True)

    @staticmethod
    def key(what: str, of: str, day: str) -> table.Key:
        """One row for a place and a day of the brand's calendar."""
        return f"SEEN#{what}#{of}", f"D#{day}"


def places(*, device: str | None, address: str | None, now: int) -> dict[str, str]:
    """Where somebody is, as hashes: the phone's own key, and the address; of IPv6 the network."""
    given = {"device": device, "address": _network(address or "")}
    return {what: _hash(what, value, now=now).hex() for what, value in given.items() if value}


def _network(address: str) -> str:
    return ":".join(address.split(":")[:4]) if ":" in address else address


def _hash(what: str, value: str, *, now: int) -> bytes:
    seed = config.secret("link_key", now=now).encode()
    return hashlib.blake2b(
        f"{what}|{value}".encode(), digest_size=8, key=seed[:64], person=b"signals"
    ).digest()


def note(what: str, of: str, who: str, *, now: int) -> None:
    """``who`` was seen there today; again, nothing changes. It is a note: where it cannot be written, it is not."""
    key, one = Seen.key(what, of, _day(now)), _hash("who", who, now=now)
    if _seen.peek((*key, one), now=now):
        return
    room = Seen.pk.does_not_exist() | ((Seen.n < ROW_HOLDS) & ~Seen.seen.contains(one))
    ttl = now + 2 * LOOKS_BACK_DAYS * DAY
    actions = (Seen.n.add(1), Seen.seen.add({one}), Seen.ttl.set(ttl))
    try:
        table.apply(table.upsert(Seen, key, *actions, when=room, refuse=table.Taken))
    except table.Taken:
        logger.info("seen already, or enough were", what=what)
    except Busy:
        logger.warning("what was seen was not noted", what=what)
        return
    _seen.put((*key, one), True, now=now)


def _day(at: int) -> str:
    return clock.local_day(at, zone=config.settings().zone)


# --- what is noted ------------------------------------------------------------------------------------------


@facts.errand("binding.made", name="sharing.note_places")
def note_places(row: Binding, now: int) -> None:
    """Where a member was who was bound."""
    for what, of in (row.places or {}).items():
        note(what, of, row.member_id, now=row.bound_at)


@facts.errand("order.refunded", name="sharing.note_refunded")
def note_refunded(order: Any, now: int) -> None:
    """An order of a promoter's new customer went back."""
    row = table.get(OrderAttribution, OrderAttribution.key(order.order_id))
    if row is None or row.promoter_id is None or row.bound_at is None or row.self_purchase:
        return
    if row.created_at - row.bound_at <= NEW_CUSTOMER_S:
        note("refunded", row.promoter_id, row.order_id, now=now)


# --- what is judged -----------------------------------------------------------------------------------------


def of_order(
    buyer: str, span: Span, above: Story, at: int, *, limits: SignalLimits, now: int
) -> list[dict[str, Any]]:
    """What looks like fraud in an order of this buyer, bound by ``span``; ``above``: the promoter's own story."""
    ring, walked = _up(buyer, above)
    found = [
        *_device(span, walked, at, limits=limits, now=now),
        *_address(span, limits=limits),
        *_velocity(span, limits=limits),
        *_refunds(span.promoter_id, at, limits=limits),
        *_risk(buyer, limits=limits),
    ]
    return [*found, _signal("ring", members=ring)] if ring else found


def _up(buyer: str, above: Story) -> tuple[int, list[Story]]:
    """How many are in the smallest ring of members who brought one another back to the buyer, and all looked at.

    No circle of bindings ever stands at once, so what they were before counts as well. The newest bindings
    are looked at first; beyond `WALKED_AT_MOST` members nobody is, and then there is no ring.
    """
    walked, level, members = [above], [above], 2
    while level:
        brought_by = _newest_first([span for story in level for span in story.spans])
        if buyer in brought_by:
            return members, walked
        known = {story.member_id for story in walked}
        fresh = [one for one in brought_by if one not in known]
        level = [stories.of(one) for one in fresh[: WALKED_AT_MOST - len(walked)]]
        walked, members = [*walked, *level], members + 1
    return 0, walked


def _newest_first(spans: Sequence[Span]) -> list[str]:
    """Who brought somebody, each once."""
    by_time = sorted(spans, key=lambda span: (-span.at, span.promoter_id))
    return list(dict.fromkeys(span.promoter_id for span in by_time))


def _signal(kind: str, **evidence: int) -> dict[str, Any]:
    return {"kind": kind, "evidence": evidence}


def _device(
    span: Span, walked: Sequence[Story], at: int, *, limits: SignalLimits, now: int
) -> list[dict[str, Any]]:
    device = (span.places or {}).get("device")
    if device is None:
        return []
    who = set().union(*(row.seen or () for row in _rows("device", device, at)))
    shared = _hash("who", span.promoter_id, now=now) in who
    found = [_signal("promoter_device", members=len(who))] if shared else []
    if len(who) >= limits.device_members:
        found.append(_signal("device_burst", members=len(who), limit=limits.device_members))
    cluster = 1 + sum(_was_there(story, device, who, now=now) for story in walked)
    return [*found, _signal("device_cluster", members=cluster)] if cluster >= CLUSTER else found


def _was_there(story: Story, device: str, who: Set[bytes], *, now: int) -> bool:
    """Whether somebody was seen on a device, lately or when they were bound."""
    bound_there = any((span.places or {}).get("device") == device for span in story.spans)
    return bound_there or _hash("who", story.member_id, now=now) in who


def _address(span: Span, *, limits: SignalLimits) -> list[dict[str, Any]]:
    address = (span.places or {}).get("address")
    row = table.get(Seen, Seen.key("address", address, _day(span.at))) if address else None
    if row is None or (row.n or 0) < limits.address_members:
        return []
    return [_signal("address_burst", members=row.n or 0, limit=limits.address_members)]


def _velocity(span: Span, *, limits: SignalLimits) -> list[dict[str, Any]]:
    within = Row.listed_at.between(f"{span.at - HOUR:011d}", f"{span.at:011d}$")
    condition = (Row.owner == f"{span.promoter_id}#customers") & within
    bound = len(table.index("owner", condition, limit=limits.bindings_per_hour)[0])
    if bound < limits.bindings_per_hour:
        return []
    return [_signal("velocity", bindings=bound, limit=limits.bindings_per_hour)]


def _refunds(promoter_id: str, at: int, *, limits: SignalLimits) -> list[dict[str, Any]]:
    orders = sum(row.n or 0 for row in _rows("refunded", promoter_id, at))
    if orders < limits.refunded_orders:
        return []
    return [_signal("refunded_customers", orders=orders, limit=limits.refunded_orders)]


def _risk(buyer: str, *, limits: SignalLimits) -> list[dict[str, Any]]:
    rank = risk.known(buyer) if limits.risk_rank else None
    if rank is None or rank < limits.risk_rank:
        return []
    return [_signal("wechat_risk", rank=rank, limit=limits.risk_rank)]


def _rows(what: str, of: str, at: int) -> list[Seen]:
    """What was seen there in the thirty days before."""
    last = date.fromisoformat(_day(at))
    first = (last - timedelta(days=LOOKS_BACK_DAYS)).isoformat()
    pk, newest = Seen.key(what, of, last.isoformat())
    return table.query_all(Seen, pk, Seen.sk.between(f"D#{first}", newest))


def seen_on_device(found: Mapping[str, str], member_id: str, *, now: int) -> None:
    """A member signed in on this device: a promoter's own is told by it from their customers'."""
    if "device" in found:
        note("device", found["device"], member_id, now=now)
