"""Gifts (转赠): a coupon on its way to a friend, under a code that one friend takes once, or back with its giver.

While a gift is open the giver's coupon is ``gifting`` and of no use; the gift's row carries its end. The friend's
coupon is a row of their own under the terms and the time of the giver's, and cannot be given on.
"""

from collections.abc import Sequence
from typing import Any

from chalicelib.core import config, due, ids, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import Busy, Conflict, Gone, NotFound
from chalicelib.core.table import Write
from chalicelib.coupons import service
from chalicelib.coupons.models import Coupon, Gift
from chalicelib.coupons.service import ROUNDS, Claim

JOB = "coupon_gifts"
OPEN_FOR_S = 3 * DAY
CODE_LETTERS = 12
LAST_OF_A_COUPON = 10


class NotGiftable(Conflict):
    """The coupon cannot be given away: its template does not allow it, or it is not unused; ``details`` say."""

    code = "coupon_not_giftable"
    en = "This coupon cannot be given away."
    zh = "该优惠券不可转赠。"
    advice = "Offer the gift button only where `giftable` is true and `state` is `unused`."


class OwnGift(Conflict):
    """Nobody takes their own gift; they can take it back."""

    code = "gift_is_own"
    en = "This is your own gift."
    zh = "不能领取自己转赠的优惠券。"
    advice = "Offer to share it again, or to take it back."


class GiftTaken(Conflict):
    """Another friend was first."""

    code = "gift_taken"
    en = "Somebody else has taken this gift."
    zh = "该优惠券已被他人领取。"
    advice = "Say so; offer what else can be claimed."


class GiftOver(Gone):
    """It was not taken in time, or the giver took it back."""

    code = "gift_over"
    en = "This gift is over."
    zh = "转赠已失效。"
    advice = "Say so; offer what else can be claimed."


class _Moved(Exception):
    """Something is not what it was; read again."""


def _moved(_: Any) -> Exception:
    return _Moved()


def give(member_id: str, coupon_id: str, *, now: int) -> tuple[Gift, bool]:
    """Put a coupon on its way to a friend, and whether this call did; on its way already, the same gift.

    Raises:
        NotFound: there is no such coupon. NotGiftable.
    """
    for _ in range(ROUNDS):
        coupon = service.own(member_id, coupon_id)
        if coupon.state == "gifting" and coupon.gift_code:
            return find(coupon.gift_code), False
        if not coupon.giftable or coupon.state != "unused" or coupon.ends_at <= now:
            raise NotGiftable(state=service.state_of(coupon, now=now), giftable=coupon.giftable)
        gift = _gift(coupon, now=now)
        try:
            table.transact([_sent(coupon, gift, now=now), table.create(gift, refuse=_moved)])
            return gift, True
        except _Moved:
            continue
    raise Busy


def _gift(coupon: Coupon, *, now: int) -> Gift:
    """The next gift of a coupon; its code cannot be guessed from anything."""
    code = _code(coupon, (coupon.gifts or 0) + 1, now=now)
    pk, sk = Gift.key(code)
    ends_at = min(now + OPEN_FOR_S, coupon.ends_at)
    return Gift(
        pk,
        sk,
        state="open",
        code=code,
        giver_id=coupon.member_id,
        coupon_id=coupon.coupon_id,
        given_at=now,
        ends_at=ends_at,
        **due.slot(job=JOB, pk=pk, at=ends_at),
    )


def _code(coupon: Coupon, n: int, *, now: int) -> str:
    key = config.secret("link_key", now=now).encode()
    return ids.keyed_code("gift", coupon.member_id, coupon.coupon_id, str(n), key=key, length=CODE_LETTERS)


def _sent(coupon: Coupon, gift: Gift, *, now: int) -> Write:
    actions = (
        Coupon.state.set("gifting"),
        Coupon.gift_code.set(gift.code),
        Coupon.gifts.set((coupon.gifts or 0) + 1),
        *due.emptied(),
    )
    as_seen = (Coupon.state == "unused") & (Coupon.rev == coupon.rev) & (Coupon.ends_at > now)
    return table.update(Coupon, (coupon.pk, coupon.sk), *actions, when=as_seen, refuse=_moved)


def find(code: str) -> Gift:
    """The gift with this code.

    Raises:
        NotFound: there is none.
    """
    gift = table.get(Gift, Gift.key(code))
    if gift is None:
        raise NotFound
    return gift


def of(coupons: Sequence[Coupon], *, now: int) -> list[Gift]:
    """The last gifts that were made of each of a giver's coupons, also those that came back."""
    codes = [
        _code(row, n, now=now)
        for row in coupons
        for n in range(max(1, (row.gifts or 0) - LAST_OF_A_COUPON + 1), (row.gifts or 0) + 1)
    ]
    rows = table.get_all([(Gift, Gift.key(code)) for code in codes])
    return [row for row in rows if row is not None]


def accept(code: str, member_id: str, *, now: int) -> Claim:
    """A friend takes a gift: once, and the same friend again gets the same answer.

    Raises:
        NotFound, OwnGift, GiftTaken, GiftOver.
    """
    for _ in range(ROUNDS):
        gift = find(code)
        coupon_id = ids.derived("cpn", member_id, "gift", code)
        if gift.taker_id == member_id:
            return Claim(coupon=service.own(member_id, coupon_id), new=False)
        _may_take(gift, member_id, now=now)
        taken = _for_friend(service.own(gift.giver_id, gift.coupon_id), member_id, coupon_id, now=now)
        try:
            table.transact(_accepting(gift, taken, now=now))
            return Claim(coupon=taken, new=True)
        except table.Taken as first:
            return Claim(coupon=first.row, new=False)
        except _Moved:
            continue
    raise Busy


def _may_take(gift: Gift, member_id: str, *, now: int) -> None:
    if gift.giver_id == member_id:
        raise OwnGift
    if gift.state == "taken":
        raise GiftTaken
    if gift.state != "open" or gift.ends_at <= now:
        raise GiftOver(ended_at=gift.ends_at)


def _for_friend(coupon: Coupon, member_id: str, coupon_id: str, *, now: int) -> Coupon:
    """The friend's own row: the same terms, worth and time; not to be given on."""
    names = ("template_id", "version", "value_fen", "shard", "starts_at", "ends_at", "remind_at")
    pk, sk = Coupon.key(member_id, coupon_id)
    taken = Coupon(
        pk,
        sk,
        state="unused",
        coupon_id=coupon_id,
        member_id=member_id,
        source="gift",
        claimed_at=now,
        giftable=False,
        **{name: getattr(coupon, name) for name in names},
    )
    service.make_due(taken, now=now)
    return taken


def _accepting(gift: Gift, taken: Coupon, *, now: int) -> list[Write]:
    given = (
        Gift.state.set("taken"),
        Gift.taker_id.set(taken.member_id),
        Gift.ended_at.set(now),
        *due.emptied(),
    )
    is_open = (Gift.state == "open") & (Gift.ends_at > now)
    gone = (Coupon.state == "gifting") & (Coupon.gift_code == gift.code)
    return [
        table.create(taken),
        table.update(Gift, (gift.pk, gift.sk), *given, when=is_open, refuse=_moved),
        table.update(
            Coupon,
            Coupon.key(gift.giver_id, gift.coupon_id),
            Coupon.state.set("gifted"),
            *due.emptied(),
            when=gone,
            refuse=_moved,
        ),
    ]


def take_back(member_id: str, coupon_id: str, *, now: int) -> Coupon:
    """The giver keeps a coupon after all; not on its way, nothing changes.

    Raises:
        NotFound: there is no such coupon. GiftTaken: a friend was first.
    """
    coupon = service.own(member_id, coupon_id)
    if coupon.state == "gifting" and coupon.gift_code:
        end(coupon.gift_code, now=now)
        coupon = service.own(member_id, coupon_id)
    if coupon.state == "gifted":
        raise GiftTaken
    return coupon


@due.handles(JOB)
def end_gift(entry: due.Entry, now: int) -> None:
    """A gift was not taken in time: it is back with its giver."""
    end(entry.pk.removeprefix("GIFT#"), now=now)


def end(code: str, *, now: int) -> None:
    """A gift that is open goes back: the coupon is unused again, or expired by its window; once.

    Raises:
        Busy: its coupon kept changing.
    """
    for _ in range(ROUNDS):
        gift = find(code)
        if gift.state != "open":
            return
        try:
            table.transact(_ending(gift, now=now))
            return
        except _Moved:
            continue  # taken meanwhile, or another's, since its giver was merged
    raise Busy


def _ending(gift: Gift, *, now: int) -> list[Write]:
    coupon = service.own(gift.giver_id, gift.coupon_id)
    back = (Gift.state.set("back"), Gift.ended_at.set(now), *due.emptied())
    kept = (*service.at_rest(coupon, now=now), Coupon.gift_code.remove())
    its = (Coupon.state == "gifting") & (Coupon.gift_code == gift.code)
    return [
        table.update(Gift, (gift.pk, gift.sk), *back, when=Gift.state == "open", refuse=_moved),
        table.update(Coupon, (coupon.pk, coupon.sk), *kept, when=its, refuse=_moved),
    ]
