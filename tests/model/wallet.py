"""Coupons as one would keep them on paper: who has which, and what may happen to each.

The paper is told what the app did and says what it must have looked like; whether something is allowed it says
beforehand. One template, one plan of packs that gives friends and their sharer coupons of it, one batch of codes.
"""

from dataclasses import dataclass, field
from typing import Any

from chalicelib.core.clock import DAY
from chalicelib.coupons.gifts import OPEN_FOR_S
from tests.factories import NOW

STOCK = 9
LIMIT = 2
PIECES = 2
CODES, USES = 2, 2
CLAIM_END = NOW + 5 * DAY
CODES_END = NOW + 6 * DAY
PACKS_END = NOW + 5 * DAY
END = NOW + 10 * DAY
PACK_OPEN_FOR_S = DAY


@dataclass
class Ticket:
    """One coupon."""

    who: str
    state: str = "unused"
    giftable: bool = True


@dataclass
class Order:
    """A coupon that an order holds until then, or has used."""

    coupon: str
    who: str
    until: int
    state: str = "locked"


@dataclass
class Present:
    """A coupon on its way to a friend until then."""

    coupon: str
    until: int
    state: str = "open"
    taker: str = ""


@dataclass
class Share:
    """A pack: pieces that are left, who has taken which, and the sharer's own coupon."""

    sharer: str
    own: str
    opened_at: int
    state: str = "open"
    left: int = PIECES
    new_missing: int = 1
    taken: dict[str, str] = field(default_factory=dict)

    @property
    def until(self) -> int:
        """When its time is over."""
        return self.opened_at + PACK_OPEN_FOR_S


@dataclass
class Wallet:
    """Everybody's coupons."""

    now: int = NOW
    left: int = STOCK
    on: bool = True
    printed_on: bool = True
    people: dict[str, int] = field(default_factory=dict)
    claims: dict[str, int] = field(default_factory=dict)
    coupons: dict[str, Ticket] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    gifts: dict[str, Present] = field(default_factory=dict)
    packs: dict[str, Share] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    used: dict[tuple[str, str], str] = field(default_factory=dict)

    def told(self) -> dict[str, Any]:
        """What the table must tell as well."""
        return {
            "left": self.left,
            "coupons": {one: (row.who, row.state) for one, row in self.coupons.items()},
            "orders": {one: row.state for one, row in self.orders.items()},
            "gifts": {one: row.state for one, row in self.gifts.items()},
            "packs": {one: (row.state, row.left, row.new_missing) for one, row in self.packs.items()},
            "codes": dict(self.codes),
        }

    # --- getting one ---

    def may_claim(self, who: str) -> bool:
        """There is a unit, it is time, and they have not claimed as many as they may."""
        return self._gives(1) and self.now < CLAIM_END and self.claims.get(who, 0) < LIMIT

    def claimed(self, who: str, coupon: str) -> None:
        """They have one more."""
        self.claims[who] = self.claims.get(who, 0) + 1
        self.given(who, coupon)

    def may_use_code(self, code: str, who: str) -> bool:
        """It is good, or they have used it before."""
        good = self.codes[code] > 0 and self.now < CODES_END and self.printed_on
        return (code, who) in self.used or (good and self._gives(1))

    def used_code(self, code: str, who: str, coupon: str) -> None:
        """Once for a member."""
        if (code, who) not in self.used:
            self.codes[code] -= 1
            self.given(who, coupon)
            self.used[code, who] = coupon
        assert self.used[code, who] == coupon

    def why_not_granted(self) -> str | None:
        """Why a batch gives nobody anything now, as a code."""
        return "coupon_off" if not self.on else None if self.left else "coupon_sold_out"

    def given(self, who: str, coupon: str) -> None:
        """A unit of stock is theirs; where the time of all coupons is over, so is its own."""
        self.left -= 1
        self.coupons[coupon] = Ticket(who, state=self._at_rest())

    def _gives(self, units: int) -> bool:
        return self.on and self.left >= units

    def _at_rest(self) -> str:
        return "unused" if self.now < END else "expired"

    def good(self, coupon: str) -> bool:
        """It can be used, or given away."""
        return self.coupons[coupon].state == "unused" and self.now < END

    def becomes(self, coupon: str, state: str) -> None:
        """It is so from now on."""
        self.coupons[coupon].state = state

    # --- orders ---

    def may_hold(self, order: str, coupon: str) -> bool:
        """It is good and the order has none; or the order has this very one."""
        there = self.orders.get(order)
        if there is None or there.state == "released":
            return self.good(coupon)
        return there.state != "returned" and there.coupon == coupon

    def held(self, order: str, coupon: str, *, until: int) -> None:
        """The order holds it, if it did not hold or use it before."""
        there = self.orders.get(order)
        if there is None or there.state == "released":
            self.orders[order] = Order(coupon, self.coupons[coupon].who, until)
            self.coupons[coupon].state = "locked"

    def may_step(self, order: str, before: str, after: str) -> bool:
        """It is before this step, or has done it."""
        return self.orders[order].state in (before, after)

    def stepped(self, order: str, before: str, after: str, *, coupon: str | None = None) -> None:
        """The step is done, once; the coupon is at rest, unless it is something else."""
        row = self.orders[order]
        if row.state == before:
            row.state = after
            self.coupons[row.coupon].state = coupon or self._at_rest()

    # --- gifts ---

    def may_give(self, coupon: str) -> bool:
        """It is good and may be given away, or is on its way."""
        row = self.coupons[coupon]
        return row.state == "gifting" or (row.giftable and self.good(coupon))

    def gave(self, coupon: str, code: str) -> None:
        """It is on its way under a code, once."""
        if self.coupons[coupon].state != "gifting":
            self.coupons[coupon].state = "gifting"
            self.gifts[code] = Present(coupon, min(self.now + OPEN_FOR_S, END))

    def may_accept(self, code: str, who: str) -> bool:
        """It is open and somebody else's, or they have taken it."""
        row = self.gifts[code]
        return row.taker == who or (row.state == "open" and self.coupons[row.coupon].who != who)

    def accepted(self, code: str, who: str, coupon: str) -> None:
        """It is theirs, and cannot be given on."""
        row = self.gifts[code]
        if row.state == "open":
            row.state, row.taker = "taken", who
            self.coupons[row.coupon].state = "gifted"
            self.coupons[coupon] = Ticket(who, giftable=False)
        assert self.coupons[coupon].who == who

    def kept(self, coupon: str) -> None:
        """Its giver has it back, if it was on its way."""
        for row in self.gifts.values():
            if (row.coupon, row.state) == (coupon, "open"):
                row.state = "back"
                self.coupons[coupon].state = self._at_rest()

    # --- packs ---

    def pack_of(self, who: str) -> str | None:
        """Their pack; one for each."""
        return next((one for one, row in self.packs.items() if row.sharer == who), None)

    def may_open(self, who: str) -> bool:
        """There are units for all its pieces and for their own coupon; or it is open."""
        return self.pack_of(who) is not None or (self._gives(PIECES + 1) and self.now < PACKS_END)

    def opened(self, who: str, pack: str, own: str) -> None:
        """It holds the units of all pieces, and of the sharer's own coupon, which waits."""
        if self.pack_of(who) is None:
            self.left -= PIECES + 1
            self.packs[pack] = Share(who, own, self.now)
            self.coupons[own] = Ticket(who, state="waiting")

    def may_take(self, pack: str, who: str) -> bool:
        """There is a piece for a friend, or they have theirs."""
        row = self.packs[pack]
        return who in row.taken or (row.sharer != who and row.state == "open")

    def took(self, pack: str, who: str, coupon: str) -> None:
        """One piece less; the first who is new unlocks the sharer's own coupon."""
        row = self.packs[pack]
        if who not in row.taken:
            row.left -= 1
            row.taken[who] = coupon
            self.coupons[coupon] = Ticket(who)
            row.state = "open" if row.left else "empty"
            if row.new_missing and self.people[who] >= row.opened_at:
                row.new_missing -= 1
                self.coupons[row.own].state = "unused"
        assert row.taken[who] == coupon

    # --- time ---

    def jobs_ran(self) -> None:
        """What is over by now has ended."""
        over = [one for one, row in self.orders.items() if row.state == "locked" and row.until <= self.now]
        for order in over:
            self.stepped(order, "locked", "released")
        untaken = [row for row in self.gifts.values() if row.state == "open" and row.until <= self.now]
        for gift in untaken:
            self.kept(gift.coupon)
        for pack in [row for row in self.packs.values() if row.until <= self.now]:
            self._pack_over(pack)
        for row in [row for row in self.coupons.values() if row.state == "unused"]:
            row.state = self._at_rest()

    def _pack_over(self, pack: Share) -> None:
        """What nobody took goes back; one that was emptied, and owes its sharer nothing, stays so."""
        if pack.state == "open" or (pack.state == "empty" and pack.new_missing):
            pack.state = "over"
            self.left += pack.left + pack.new_missing
            if pack.new_missing:
                self.coupons[pack.own].state = "lapsed"
