"""A group-buy as it should be, in plain Python: what may become of each wish, with no store and nobody else about.

    shop = Shop(rules=Rules(...))
    after = [*after(shop, Wish(kind="join", who="ann", team=...), answer)]     # every state that the answer allows
    assert any(state.told() == what_the_table_says for state in after)

It names nothing by itself: ids of groups and orders come with the answer. Where the rules leave a choice, such as
where a late payment sits, there is more than one state; a wrong answer allows none.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

SEEN_AFTER_S = 2
"""What is younger may be missing in an index."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the campaign says."""

    sizes: Mapping[int, int]
    stock: int
    mode: str = "fixed"
    reserve: str = "group"
    skus: tuple[str, ...] = ("sku",)
    shards: int = 1
    per_member_units: int = 10
    per_member_groups: int = 3
    max_units_per_seat: int = 1
    late_payment: str = "elsewhere"
    fill_at_expiry_from: int | None = None
    hold_s: int = 900
    group_lifetime_s: int = 3600
    payers_at_once: int = 30
    ends_at: int = 0

    def price(self, size: int) -> int:
        """What a unit is promised for; a ladder promises its first step."""
        return self.sizes[min(self.sizes)] if self.mode == "ladder" else self.sizes[size]

    def difference(self, people: int) -> int:
        """What a unit finally costs less than promised."""
        if self.mode != "ladder":
            return 0
        reached = [fen for size, fen in sorted(self.sizes.items()) if size <= people]
        return self.price(0) - reached[-1] if reached else 0

    def fills(self, people: int) -> bool:
        """Whether so many payers are enough when the time is over."""
        if self.mode == "ladder" and people >= min(self.sizes):
            return True
        return self.fill_at_expiry_from is not None and people >= self.fill_at_expiry_from


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What somebody wants, or a job is given to do."""

    kind: str
    who: str = ""
    team: str = ""
    order: str = ""
    sku: str = "sku"
    quantity: int = 1
    size: int = 0
    payment: str = ""
    fen: int = 0
    done: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of it: ``done``, ``seated`` (by which order, in which group) or the code of a refusal."""

    what: str
    order: str = ""
    team: str = ""


@dataclass
class Team:
    """A group."""

    size: int
    head: str
    state: str
    units: int
    expires_at: int = 0
    moved_at: int = 0
    real: int = 0
    owes: bool = False


@dataclass
class Place:
    """A seat; ``since``: when it was paid, and before that when it was taken."""

    order: str
    held: bool
    head: bool
    joined: int
    paid: int = 0


@dataclass
class Bill:
    """An order; ``left`` is what is paid and not given back."""

    who: str
    team: str
    sku: str
    quantity: int
    fen: int
    head: bool
    held_until: int
    state: str = "pending"
    payment: str = ""
    left: int = 0


@dataclass
class Shop:
    """Everything there is."""

    rules: Rules
    now: int
    left: dict[str, int]
    teams: dict[str, Team] = field(default_factory=dict)
    places: dict[tuple[str, str], Place] = field(default_factory=dict)
    bills: dict[str, Bill] = field(default_factory=dict)
    parts: dict[str, list[int]] = field(default_factory=dict)
    payments: dict[tuple[str, str], str] = field(default_factory=dict)
    refunds: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    steps: int = 0
    blurred: bool = False
    """Somebody else came in between: who looked before may have seen less, or more, than there is."""

    # --- reading ---

    def unpaid(self, who: str) -> str | None:
        """The member's unpaid order."""
        return next(
            (one for one, bill in self.bills.items() if (bill.who, bill.state) == (who, "pending")), None
        )

    def of(self, team: str, *, held: bool) -> list[Place]:
        """Its seats, held or paid, in the order in which they were taken."""
        mine = [place for (where, _), place in self.places.items() if where == team and place.held == held]
        return sorted(mine, key=lambda place: place.joined)

    def missing(self, team: str) -> int:
        """Seats that nobody paid for."""
        return self.teams[team].size - len(self.of(team, held=False))

    def free(self, team: str) -> int:
        """Seats that nobody holds."""
        return self.missing(team) - len(self.of(team, held=True))

    def why_not(self, team: str) -> str | None:
        """Why nobody can join now."""
        there = self.teams[team]
        known = {"lapsed": "not_found", "opening": "group_not_open", "filled": "group_full"}
        if there.state in known:
            return known[there.state]
        if there.state != "open" or there.expires_at <= self.now:
            return "group_expired"
        return None if self.free(team) else "group_full"

    def full_up(self, who: str, quantity: int, *, head: bool) -> bool:
        """Whether the limits leave no room."""
        units, groups = self.parts.get(who, (0, 0))
        return units + quantity > self.rules.per_member_units or (
            head and groups >= self.rules.per_member_groups
        )

    def own_units(self, bill: Bill) -> int:
        """What an order took for itself, and not its group."""
        return bill.quantity if self.rules.reserve == "seat" else 0

    # --- what the table should say ---

    def told(self) -> dict[str, Any]:
        """All that can be compared."""
        return {
            "left": dict(self.left),
            "teams": {one: self._team(one) for one in self.teams},
            "places": {key: (place.order, place.held, place.head) for key, place in self.places.items()},
            "bills": {one: (b.who, b.team, b.state, b.fen, b.left) for one, b in self.bills.items()},
            "parts": {who: tuple(part) for who, part in self.parts.items()},
            "payments": dict(self.payments),
            "refunds": dict(self.refunds),
        }

    def _team(self, one: str) -> tuple[Any, ...]:
        team = self.teams[one]
        counts = (self.missing(one), self.free(one)) if team.state != "lapsed" else (0, 0)
        return (team.state, team.size, *counts, team.head, team.units, team.expires_at)


Play = Callable[[Shop, Wish, Answer], Iterator[Shop]]


def after(shop: Shop, wish: Wish, answer: Answer) -> Iterator[Shop]:
    """Every state in which the shop may be when this wish got this answer."""
    there = copy.deepcopy(shop)
    there.steps += 1
    yield from PLAYS[wish.kind](there, wish, answer)


def _if(shop: Shop, answer: Answer, *allowed: Answer) -> Iterator[Shop]:
    """Nothing changes, and these are the answers."""
    if answer in allowed:
        yield shop


def _no(*codes: str) -> tuple[Answer, ...]:
    return tuple(Answer(what=code) for code in codes)


def _new(shop: Shop, answer: Answer) -> bool:
    return answer.what == "seated" and answer.order not in shop.bills


def _seated(shop: Shop, order: str) -> Answer:
    return Answer(what="seated", order=order, team=shop.bills[order].team)


# --- opening and joining ------------------------------------------------------------------------------------


def opens(shop: Shop, wish: Wish, answer: Answer) -> Iterator[Shop]:
    """A group, the member's unpaid order, or why not."""
    rules = shop.rules
    units = wish.size if rules.reserve == "group" else wish.quantity
    unpaid = shop.unpaid(wish.who)
    if unpaid:
        yield from _if(shop, answer, _seated(shop, unpaid))
    elif shop.now >= rules.ends_at:
        yield from _if(shop, answer, *_no("campaign_over"))
    elif shop.full_up(wish.who, wish.quantity, head=True):
        yield from _if(shop, answer, *_no("limit_reached"))
    elif shop.left[wish.sku] < units:
        # What can be joined is read off an index.
        yield from _if(shop, answer, *_no("sku_sold_out", *["only_joining"] * _any_joinable(shop)))
    elif _new(shop, answer):
        team = Team(
            size=wish.size,
            head=wish.who,
            state="opening",
            units=units if rules.reserve == "group" else 0,
        )
        shop.teams[answer.team] = team
        shop.left[wish.sku] -= units if rules.reserve == "group" else 0
        yield _sat(shop, wish, answer, head=True)


def _any_joinable(shop: Shop) -> bool:
    return any(shop.why_not(team) is None for team in shop.teams)


def joins(shop: Shop, wish: Wish, answer: Answer) -> Iterator[Shop]:
    """A seat, the seat or the unpaid order that was there, or why not."""
    why, mine, unpaid = shop.why_not(wish.team), shop.places.get((wish.team, wish.who)), shop.unpaid(wish.who)
    if mine:
        yield from _if(shop, answer, _seated(shop, mine.order))
    elif why:
        yield from _if(shop, answer, *_no(why))
    elif unpaid:
        yield from _if(shop, answer, _seated(shop, unpaid))
    elif shop.full_up(wish.who, wish.quantity, head=False):
        yield from _if(shop, answer, *_no("limit_reached"))
    elif shop.rules.reserve == "seat" and shop.left[wish.sku] < wish.quantity:
        yield from _if(shop, answer, *_no("sku_sold_out"))
    elif _new(shop, answer) and answer.team == wish.team:
        yield _sat(shop, wish, answer, head=False)


def _sat(shop: Shop, wish: Wish, answer: Answer, *, head: bool) -> Shop:
    team = shop.teams[answer.team]
    bill = Bill(
        who=wish.who,
        team=answer.team,
        sku=wish.sku,
        quantity=wish.quantity,
        fen=shop.rules.price(team.size) * wish.quantity,
        head=head,
        held_until=shop.now + shop.rules.hold_s,
    )
    shop.bills[answer.order] = bill
    shop.places[answer.team, wish.who] = Place(order=answer.order, held=True, head=head, joined=shop.steps)
    shop.left[wish.sku] -= shop.own_units(bill)
    return _counted(shop, bill, 1)


def _counted(shop: Shop, bill: Bill, sign: int, *, head: bool | None = None) -> Shop:
    part = shop.parts.setdefault(bill.who, [0, 0])
    part[0] += sign * bill.quantity
    part[1] += sign * int(bill.head if head is None else head)
    return shop


# --- letting go ---------------------------------------------------------------------------------------------


def let_go(shop: Shop, order: str) -> Shop:
    """An unpaid order goes with all that it holds; the group of an unpaid head goes with it."""
    bill = shop.bills[order]
    if bill.state != "pending":
        return shop
    bill.state = "cancelled"
    del shop.places[bill.team, bill.who]
    shop.left[bill.sku] += shop.own_units(bill)
    if bill.head:
        team = shop.teams[bill.team]
        team.state = "lapsed"
        shop.left[bill.sku] += team.units
    return _counted(shop, bill, -1)


def leaves(shop: Shop, wish: Wish, answer: Answer) -> Iterator[Shop]:
    """An unpaid seat is given back."""
    allowed = "done" if shop.bills[wish.order].state in ("pending", "cancelled") else "order_over"
    if answer.what == allowed:
        yield let_go(shop, wish.order)


def lets_go(shop: Shop, wish: Wish, answer: Answer) -> Iterator[Shop]:
    """The job lets it go, if it is still unpaid."""
    if answer.what == "done":
        yield let_go(shop, wish.order)


# --- paying -------------------------------------------------------------------------------------------------


def pays(shop: Shop, wish: Wish, answer: Answer) -> Iterator[Shop]:
    """Every payment finds its place, once."""
    bill, key = shop.bills[wish.order], (wish.order, wish.payment)
    if answer.what != "done":
        return
    if key in shop.payments:
        yield shop
    elif wish.fen != bill.fen:
        shop.payments[key] = "mismatch"
        yield shop
    elif bill.state not in ("pending", "cancelled"):
        yield _returned(shop, wish, whole=False)
    elif bill.state == "pending" and _can_confirm(shop, bill):
        yield _confirmed(shop, wish)
    else:
        yield from _late(let_go(shop, wish.order), wish)


def _can_confirm(shop: Shop, bill: Bill) -> bool:
    return shop.teams[bill.team].state == ("opening" if bill.head else "open")


def _returned(shop: Shop, wish: Wish, *, whole: bool) -> Shop:
    shop.payments[wish.order, wish.payment] = "returned"
    shop.refunds[wish.order, wish.payment] = (wish.fen, "due")
    if whole:
        bill = shop.bills[wish.order]
        bill.state, bill.payment = "refunding", wish.payment
    return shop


def _confirmed(shop: Shop, wish: Wish) -> Shop:
    bill = shop.bills[wish.order]
    bill.state, bill.payment, bill.left = "paid", wish.payment, wish.fen
    shop.payments[wish.order, wish.payment] = "taken"
    place, team = shop.places[bill.team, bill.who], shop.teams[bill.team]
    place.held, place.paid, team.moved_at = False, shop.steps, shop.now
    if team.state == "opening":
        team.state, team.expires_at = "open", shop.now + shop.rules.group_lifetime_s
    if shop.missing(bill.team) == 0:
        _filled(shop, bill.team)
    return shop


def _filled(shop: Shop, one: str) -> None:
    team = shop.teams[one]
    team.state, team.real = "filled", len(shop.of(one, held=False))
    team.owes = shop.rules.difference(team.real) > 0


def _late(shop: Shop, wish: Wish) -> Iterator[Shop]:
    """Their own newer seat, a seat of their group, another group's, or back."""
    bill = shop.bills[wish.order]
    elsewhere = shop.rules.late_payment == "elsewhere"
    newer = _newer(shop, bill)
    if newer:
        yield _taken_over(copy.deepcopy(shop), wish, newer)
    if newer and not shop.blurred:
        return
    fits = [one for one in shop.teams if elsewhere and _fits(shop, bill, one)]
    if bill.team in fits and not shop.blurred:
        fits = [bill.team]
    for one in fits:
        yield _seated_late(copy.deepcopy(shop), wish, one)
    sure = bill.team in fits or any(_seen(shop, one) for one in fits)
    if shop.blurred or not sure:
        yield _returned(shop, wish, whole=True)


def _newer(shop: Shop, bill: Bill) -> str | None:
    order = shop.unpaid(bill.who)
    if order is None:
        return None
    other = shop.bills[order]
    same = (other.sku, other.quantity, other.fen) == (bill.sku, bill.quantity, bill.fen)
    return order if same and _can_confirm(shop, other) else None


def _taken_over(shop: Shop, wish: Wish, newer: str) -> Shop:
    bill, other = shop.bills[wish.order], shop.bills[newer]
    bill.team, bill.head, bill.state, other.state = other.team, other.head, "pending", "cancelled"
    shop.places[other.team, other.who].order = wish.order
    return _confirmed(shop, wish)


def _fits(shop: Shop, bill: Bill, one: str) -> bool:
    price = shop.rules.price(shop.teams[one].size) * bill.quantity
    units = shop.left[bill.sku] >= shop.own_units(bill)
    room = not shop.full_up(bill.who, bill.quantity, head=False)
    return (
        shop.why_not(one) is None
        and price == bill.fen
        and units
        and room
        and (one, bill.who) not in shop.places
    )


def _seen(shop: Shop, one: str) -> bool:
    return shop.teams[one].moved_at + SEEN_AFTER_S < shop.now


def _seated_late(shop: Shop, wish: Wish, one: str) -> Shop:
    bill = shop.bills[wish.order]
    bill.team, bill.head, bill.state = one, False, "pending"
    shop.places[one, bill.who] = Place(order=wish.order, held=True, head=False, joined=shop.steps)
    shop.left[bill.sku] -= shop.own_units(bill)
    _counted(shop, bill, 1)
    return _confirmed(shop, wish)


# --- refunds, and the end of a group ------------------------------------------------------------------------


def refunds(shop: Shop, wish: Wish, answer: Answer) -> Iterator[Shop]:
    """A paid order is given back; a seat of an open group is free again."""
    bill = shop.bills[wish.order]
    unpaid = bill.state in ("pending", "cancelled")
    if answer.what != ("order_over" if unpaid else "done"):
        return
    if bill.state == "paid":
        team = shop.teams[bill.team]
        _given_back(shop, wish.order, done=wish.done)
        if team.state == "open" and len(shop.of(bill.team, held=False)) == 1:
            _over(shop, bill.team)
        elif team.state == "open":
            _stepped_out(shop, bill)
    yield shop


def _given_back(shop: Shop, order: str, *, done: bool = False) -> None:
    bill = shop.bills[order]
    shop.refunds[order, bill.payment] = (bill.left, "done" if done else "due")
    bill.state, bill.left = "refunded" if done else "refunding", 0


def _stepped_out(shop: Shop, bill: Bill) -> None:
    team = shop.teams[bill.team]
    place = shop.places.pop((bill.team, bill.who))
    team.moved_at = shop.now
    shop.left[bill.sku] += shop.own_units(bill)
    _counted(shop, bill, -1, head=place.head)
    if team.head == bill.who:
        heir = min(shop.of(bill.team, held=False), key=lambda other: other.paid)
        heir.head, team.head = True, shop.bills[heir.order].who
        shop.parts[team.head][1] += 1


def _over(shop: Shop, one: str) -> None:
    """An open group is over: everybody who paid gets it back, and all units return."""
    team = shop.teams[one]
    team.state = "expired"
    for place in shop.of(one, held=False):
        bill = shop.bills[place.order]
        if bill.state == "paid":
            _given_back(shop, place.order)
        shop.left[bill.sku] += shop.own_units(bill)
        _counted(shop, bill, -1, head=place.head)
    shop.left[shop.rules.skus[0]] += team.units


def ends(shop: Shop, wish: Wish, answer: Answer) -> Iterator[Shop]:
    """The time of an open group is over."""
    if answer.what != "done":
        return
    if shop.teams[wish.team].state == "open":
        _ended(shop, wish.team)
    yield shop


def _ended(shop: Shop, one: str) -> None:
    team, people = shop.teams[one], len(shop.of(one, held=False))
    if not shop.rules.fills(people):
        _over(shop, one)
        return
    _filled(shop, one)
    if team.units:
        shop.left[shop.rules.skus[0]] += team.size - people
        team.units = people


# --- jobs and facts -----------------------------------------------------------------------------------------


def jobs(shop: Shop, wish: Wish, answer: Answer) -> Iterator[Shop]:
    """Holds and groups whose time is over end, and what is owed back goes out."""
    for order, bill in shop.bills.items():
        if bill.held_until <= shop.now:
            let_go(shop, order)
    for one, team in shop.teams.items():
        if team.state == "open" and team.expires_at <= shop.now:
            _ended(shop, one)
    for key, (fen, _) in shop.refunds.items():
        shop.refunds[key] = (fen, "done")
        bill = shop.bills[key[0]]
        if bill.payment == key[1] and bill.state == "refunding":
            bill.state = "refunded"
    yield shop


def tells(shop: Shop, wish: Wish, answer: Answer) -> Iterator[Shop]:
    """Some of what the stream owes has come: the differences of any of the ladders that are filled."""
    owing = [one for one, team in shop.teams.items() if team.owes]
    for n in range(2 ** len(owing)):
        there = copy.deepcopy(shop)
        for bit, one in enumerate(owing):
            if n >> bit & 1:
                _differences(there, one)
        yield there


def _differences(shop: Shop, one: str) -> None:
    team = shop.teams[one]
    team.owes = False
    for place in shop.of(one, held=False):
        bill = shop.bills[place.order]
        if bill.state == "paid":
            fen = shop.rules.difference(team.real) * bill.quantity
            shop.refunds[place.order, f"{bill.payment}#difference"] = (fen, "due")
            bill.left -= fen


PLAYS: dict[str, Play] = {
    "open": opens,
    "join": joins,
    "pay": pays,
    "leave": leaves,
    "release": lets_go,
    "refund": refunds,
    "end": ends,
    "jobs": jobs,
    "tell": tells,
}


# --- two at once --------------------------------------------------------------------------------------------


def both(shop: Shop, first: tuple[Wish, Answer], second: tuple[Wish, Answer]) -> Iterator[Shop]:
    """Every state when the second came while the first was under way: one after the other, either way round, or
    after the first found its seat gone and had let it go."""
    there = replace(copy.deepcopy(shop), blurred=True)
    for one, other in ((first, second), (second, first)):
        yield from _in_turn(there, one, other)
    if first[0].kind == "pay" and there.bills[first[0].order].state == "pending":
        yield from _in_turn(let_go(copy.deepcopy(there), first[0].order), second, first)


def _in_turn(shop: Shop, *told: tuple[Wish, Answer]) -> Iterator[Shop]:
    states = [shop]
    for wish, answer in told:
        states = [later for state in states for later in after(state, wish, answer)]
    yield from (replace(state, blurred=False) for state in states)
