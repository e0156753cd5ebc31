"""Campaigns, buyers and teams for tests, the jobs run to the end, and whether G1-G7 hold.

    campaign = a_campaign(sizes={3: 8900}, stock=20)
    group = open_paid_group(campaign, payers=2)
    order = take(group)                                    # a third buyer joins,
    pay(order)                                             # and fills it
    run_jobs(client)
    assert broken(client, campaign.campaign_id, at_rest=True) == []
    assert broken_images(client, campaign.campaign_id) == []

`broken` reads the whole truth table past every layer, so it also sees what no index and no service would show.
Of a group that ends, ``reserve: group`` gives the units of all seats back as it ends, ``seat`` those of each seat
with its refund or, unpaid, with its hold.
"""

import functools
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from chalicelib.core import config, due, facts, table
from chalicelib.core.clock import DAY
from chalicelib.core.table import Write
from chalicelib.groupbuys import (
    campaigns,
    closing,
    ending,
    holding,
    reading,
    reporting,
    rules,
    service,
    settling,
    telling,
)
from chalicelib.groupbuys.models import SCORE, Campaign, Group
from chalicelib.groupbuys.schemas import EditCampaign, Price, Product, Sku
from chalicelib.groupbuys.service import Buying, Seated, Shown
from chalicelib.members.models import Member
from chalicelib.orders import byhand
from chalicelib.orders import service as orders
from chalicelib.orders.service import Back, Order, Paid
from tests.factories import NOW, OWNER, PROGRAM, a_word
from tests.harness.rows import Change, Plain, decoded, rows, stream_records
from tests.harness.streams import event

AFTERWARDS = NOW + 3 * DAY
"""When every hold and every group of a campaign made here has run out."""
JOBS = (closing.CLOSE_JOB, holding.RELEASE_JOB, holding.EXPIRE_JOB, orders.REFUND_JOB, facts.JOB)
PHONE = orders.Phone(program_id=PROGRAM, base_url="https://shop.example")
"""Where somebody begins to pay."""
_WAIT = (facts.JOB, orders.REFUND_JOB)
"""What is owed is left to the stream for a while; what that makes due is due then, and owes something in turn."""
ROOM = (settling, ending, closing, reporting, telling, byhand)
"""Importing them tells orders where payments go, the jobs what to do, the facts who reacts, people what to do."""

# --- things -------------------------------------------------------------------------------------------------


def a_campaign(
    *,
    sizes: Mapping[int, int] | None = None,
    stock: int = 100,
    skus: Sequence[str] = ("sku",),
    shards: int = 1,
    head_price_fen: int | None = None,
    gateway: str = "sandbox",
    **told: Any,
) -> Campaign:
    """A running campaign; ``sizes``: the price of each size, the same for every SKU, each with ``stock`` units."""
    config.override(payment_gateway=gateway)
    prices = [Price(size=size, price_fen=fen) for size, fen in (sizes or {3: 8900}).items()]
    ware = [
        Sku(
            sku_id=one,
            title=one,
            list_price_fen=9900,
            stock=stock,
            head_price_fen=head_price_fen,
            prices=prices,
        )
        for one in skus
    ]
    given = {"title": "Tea", "starts_at": NOW - DAY, "ends_at": NOW + DAY, "stock_shards": shards, **told}
    edit = EditCampaign(product=Product(id=a_word("p"), title="Tea", skus=ware), **given)
    return campaigns.make(edit, campaigns.Making(by=OWNER, now=NOW, idempotency_key=None))


def a_buyer(*, now: int = NOW) -> str:
    """The id of a member who has signed in; nothing else is known of them."""
    return buyers(1, now=now)[0]


def buyers(count: int, *, now: int = NOW) -> list[str]:
    """So many of them."""
    return registered([a_word("mbr_") for _ in range(count)], now=now)


def registered(ids: Sequence[str], *, now: int = NOW) -> list[str]:
    """Members of these ids."""
    for at in range(0, len(ids), 50):
        table.transact([table.create(_member(one, now=now)) for one in ids[at : at + 50]])
    return list(ids)


def _member(member_id: str, *, now: int) -> Member:
    key, identities = Member.key(member_id), {f"openid#{PROGRAM}#{member_id}"}
    told: dict[str, Any] = {"program_id": PROGRAM, "registered_at": now, "identities": identities}
    return Member(*key, state="active", member_id=member_id, **told)


def buying(member_id: str | None = None, *, sku_id: str | None = None, **more: Any) -> Buying:
    """What somebody wants: one unit, unless said."""
    return Buying(member_id=member_id or a_buyer(), sku_id=sku_id, quantity=more.pop("quantity", 1), **more)


def opened(
    campaign: Campaign, wants: Buying | None = None, *, size: int | None = None, now: int = NOW
) -> Seated:
    """A group that its head has not paid for."""
    wants = wants or buying()
    return service.open_group(campaign_id=campaign.campaign_id, buying=wants, size=size, now=now)


def take(group: Group, wants: Buying | None = None, *, shown: Shown | None = None, now: int = NOW) -> Order:
    """The order of somebody who takes a seat."""
    return service.join(group_id=group.group_id, buying=wants or buying(), shown=shown, now=now).order


def shown_of(group: Group) -> Shown:
    """What a page shows of a group whose SKUs cost the same."""
    [price_fen] = set(group.prices.values())
    return Shown(campaign_id=group.campaign_id, size=group.size, price_fen=price_fen)


def pay(
    order: Order, payment_id: str | None = None, *, amount_fen: int | None = None, now: int = NOW
) -> Order:
    """A payment of the order is reported, under a new number unless it is given; the order as it is then."""
    fen = order.amount_fen if amount_fen is None else amount_fen
    orders.pay(order.order_id, Paid(payment_id=payment_id or a_word("pay_"), amount_fen=fen), now=now)
    return orders.show(order.order_id)


def begun(order: Order) -> Order:
    """The order as when a phone has begun to pay it, without the way to the gateway."""
    noted = (Order.prepay_id.set(a_word("pay_")), Order.prepay_program.set(PHONE.program_id))
    table.apply(table.update(Order, Order.key(order.order_id), *noted, refuse=AssertionError))
    return orders.show(order.order_id)


def open_paid_group(
    campaign: Campaign,
    wants: Buying | None = None,
    *,
    payers: int = 1,
    size: int | None = None,
    now: int = NOW,
) -> Group:
    """An open group in which so many have paid, its head among them."""
    first = opened(campaign, wants, size=size, now=now)
    pay(first.order, now=now)
    for member_id in buyers(payers - 1) if payers > 1 else ():
        pay(take(first.group, buying(member_id), now=now), now=now)
    return reading.find(first.group.group_id)


def orders_of(group: Group) -> list[Order]:
    """The orders of everybody who has a seat, the head's first."""
    seats = sorted(reading.with_seats(group.group_id)[1], key=lambda seat: not seat.head)
    return [orders.show(seat.order_id) for seat in seats]


# --- calls for races ----------------------------------------------------------------------------------------


def joining(group: Group, wants: Buying, *, as_shown: bool = False) -> Callable[[], Order]:
    """Somebody takes a seat; ``as_shown``: in one call, from a page that was right."""
    return lambda: take(group, wants, shown=shown_of(group) if as_shown else None)


def joining_to_pay(group: Group, wants: Buying) -> Callable[[], Order]:
    """Somebody takes a seat and pays at once, under a number that a repeat has again."""
    payment_id = a_word("pay_")
    return lambda: pay(take(group, wants), payment_id)


def paying(order: Order, payment_id: str | None = None) -> Callable[[], Order]:
    """A payment of the order is reported, and under the same number if it is reported again."""
    return functools.partial(pay, order, payment_id or a_word("pay_"))


def leaving(order: Order) -> Callable[[], Order]:
    """The member gives an unpaid seat back."""
    return lambda: orders.cancel(orders.show(order.order_id), now=NOW)


def releasing(store: Any, order: Order) -> Callable[[], None]:
    """The job finds that the order's hold has run out."""
    [entry] = [one for one in proposed(store, holding.RELEASE_JOB) if order.order_id in one.due_ref]
    return lambda: ending.release_hold(entry, AFTERWARDS)


def ending_it(group: Group) -> Callable[[], None]:
    """The job finds that the group's time is over."""
    return lambda: ending.end(group.group_id, back=ending.EXPIRED, now=AFTERWARDS)


def refunding(order: Order, *, done: bool = False) -> Callable[[], None]:
    """The shop gives a paid order back; ``done``: by itself, and says so."""
    return lambda: orders.refund(order.order_id, back=Back(reason="shop", done=done), now=NOW)


def naively(patch: pytest.MonkeyPatch) -> None:
    """No write asks for anything any more: only what was read before says no."""
    real = table._parameters

    def unasked(write: Write) -> Any:
        asks = write.operation == "ConditionCheck"  # it is nothing else
        return real(replace(write, when=type(write.row).v >= 0 if asks else None))

    patch.setattr(table, "_parameters", unasked)


# --- the jobs -----------------------------------------------------------------------------------------------


def run_jobs(store: Any, *, now: int = AFTERWARDS, kinds: Sequence[str] = ("group",)) -> None:
    """Everything that is due by ``now`` is done, and what the stream says of rows of these kinds is reacted to.

    Raises:
        AssertionError: something failed, or it never ends.
    """
    told = 0
    for passed in range(20):
        later = now + facts.OWED_AFTER_S * (passed + 1)
        at = {job: later if job in _WAIT else now for job in JOBS}
        ran = [due.run(job=job, worker=a_word("w"), now=at[job], seconds=60) for job in JOBS]
        assert not any(one.failed for one in ran), "a job failed"
        if passed and not any(one.handled for one in ran):
            return
        told = react(store, now=now, kinds=kinds, after=told)
    raise AssertionError("the jobs never come to an end")


def react(store: Any, *, now: int = AFTERWARDS, kinds: Sequence[str] = ("group",), after: int = 0) -> int:
    """What the stream says of rows of these kinds is reacted to, but for the first ``after`` records; how many
    there were in all."""
    mine = [
        one
        for one in _records(store)
        if one["dynamodb"].get("NewImage", {}).get("kind", {}).get("S") in kinds
    ]
    for at in range(after, len(mine), 100):
        answer = facts.handle_stream(event(mine[at : at + 100]), now=now)
        assert answer == {"batchItemFailures": []}, answer
    return len(mine)


def proposed(store: Any, job: str, **wanted: Any) -> list[due.Entry]:
    """What a job is given to do, whatever the time: rows that are due under it and are as ``wanted``."""
    there = rows(_client(store), config.settings().truth_table, **wanted)
    mine = [row for row in there if row.get("due_shard", "").startswith(f"{job}#")]
    return [due.Entry(**{name: row.get(name, "") for name in due.Entry.__annotations__}) for row in mine]


def _client(store: Any) -> Any:
    return getattr(store, "client", store)


def _records(store: Any) -> list[dict[str, Any]]:
    """What the stream has told: of the round when ``store`` is an arena, else of all time."""
    if hasattr(store, "records"):
        return list(store.records())
    return stream_records(_client(store), config.settings().truth_table)


def check(
    store: Any, campaign: Campaign, *, now: int = AFTERWARDS, kinds: Sequence[str] = ("group",)
) -> None:
    """The rules hold, the jobs run to the end, and they hold then, and held at every instant.

    Raises:
        AssertionError: one of them is broken, or the jobs do not come to an end.
    """
    found = broken(store, campaign.campaign_id)
    assert not found, found
    run_jobs(store, now=now, kinds=kinds)
    found = broken(store, campaign.campaign_id, at_rest=True)
    found += broken_images(store, campaign.campaign_id)
    assert not found, found


# --- the books ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Books:
    """All rows of one campaign, as plain values."""

    campaign: Plain
    stock: list[Plain]
    groups: dict[str, Plain]
    seats: list[Plain]
    parts: dict[str, Plain]
    orders: dict[str, Plain]
    payments: list[Plain]
    refunds: list[Plain]
    days: list[Plain]
    added: Counter[str]
    torn: list[Plain]

    def group_of(self, row: Plain) -> str:
        """The state of the group that a seat or an order is in."""
        return str(self.groups[row["group_id"]]["state"])

    def seats_in(self, group: Plain, *states: str) -> list[Plain]:
        """Its seats in these states."""
        return [one for one in self.seats if one["group_id"] == group["group_id"] and one["state"] in states]


def books_of(store: Any, campaign_id: str) -> Books:
    """The books as they are now."""
    return books_in(rows(_client(store), config.settings().truth_table), campaign_id)


def books_in(there: Sequence[Plain], campaign_id: str) -> Books:
    """The same of rows that were read already."""
    kinds: dict[str, list[Plain]] = defaultdict(list)
    for row in there:
        kinds[row.get("kind", "")].append(row)
    mine = {
        kind: [row for row in its if row.get("campaign_id") == campaign_id] for kind, its in kinds.items()
    }
    placed = {row["order_id"]: row for row in mine.get("order", ())}
    part = f"PART#{campaign_id}#"
    return Books(
        campaign=mine["groupbuy"][0],
        stock=mine["groupbuy_stock"],
        groups={row["group_id"]: row for row in mine.get("group", ())},
        seats=mine.get("seat", []),
        parts={
            row["pk"].removeprefix(part): row for row in kinds["groupbuy_part"] if row["pk"].startswith(part)
        },
        orders=placed,
        payments=[row for row in kinds["payment"] if row["order_id"] in placed],
        refunds=[row for row in kinds["refund"] if row["order_id"] in placed],
        days=[row for row in kinds["groupbuy_day"] if row["pk"] == f"REPORT#{campaign_id}"],
        added=_added(kinds["audit"], campaign_id),
        torn=kinds[""],
    )


def _added(trail: Sequence[Plain], campaign_id: str) -> Counter[str]:
    """Units that operators added to each SKU, by their trail."""
    more: Counter[str] = Counter()
    for row in trail:
        if row["action"] == "groupbuy.stock" and row["subject"] == campaign_id:
            more[_json(row["before"])["sku_id"]] += _json(row["after"])["units"]
    return more


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


# --- the rules ----------------------------------------------------------------------------------------------


def broken(store: Any, campaign_id: str, *, at_rest: bool = False) -> list[str]:
    """Every way in which the rows of a campaign break G1-G7.

    ``at_rest``: after `run_jobs` when all its time is over, so that nothing may be under way any more.
    """
    return broken_in(books_of(store, campaign_id), at_rest=at_rest)


def broken_in(books: Books, *, at_rest: bool = False) -> list[str]:
    """The same of books that have been read."""
    found = [f"{rule.__name__[1:]}: {line}" for rule in _ALWAYS for line in rule(books)]
    if at_rest:
        found += [f"{rule.__name__[1:]}: {line}" for rule in _AT_REST for line in rule(books)]
    return found


def _rows_are_whole(books: Books) -> Iterator[str]:
    """Nothing was written to a row that was not there."""
    for row in books.torn:
        yield f"{row['pk']} {row['sk']} has nothing but {sorted(row)}"


def _seats_add_up(books: Books) -> Iterator[str]:
    """G1, and that the seats are those that the group counts."""
    for group in books.groups.values():
        free, missing, size = group["free"], group["missing"], group["size"]
        wanted = (0, 0) if group["state"] == "lapsed" else (size - missing, missing - free)
        paid = len(books.seats_in(group, "confirmed", "refunded"))
        held = len(books.seats_in(group, "held"))
        if (paid, held) != wanted or not 0 <= free <= missing <= size:
            told = f"(free, missing, size) = {(free, missing, size)} with {paid} paid and {held} held"
            yield f"{group['state']}: {told}"


def _groups_are_one_thing(books: Books) -> Iterator[str]:
    """G3: open, filled or ended, each with what belongs to it; one head, who has a seat."""
    for group in books.groups.values():
        state, people = group["state"], group["size"] - group["missing"]
        heads = [
            one["member_id"] for one in books.seats_in(group, "held", "confirmed", "refunded") if one["head"]
        ]
        if heads != ([] if state == "lapsed" else [group["head_id"]]):
            yield f"{state} with the heads {heads}, and not {group['head_id']}"
        score = group["missing"] * SCORE + group["expires_at"] if state == "open" else None
        if group.get("score") != score or ("board" in group) != (state == "open"):
            yield f"{state} with the score {group.get('score')}"
        if ("ended_at" in group) != (state in ("filled", "expiring", "expired", "lapsed")):
            yield f"{state} with the end {group.get('ended_at')}"
        if state == "open" and not 1 <= group["missing"] < group["size"]:
            yield f"open with {group['missing']} missing of {group['size']}"
        if state == "filled" and (people != group["real_members"] or not _enough(group, people)):
            yield f"filled by {people} of {group['size']}, as if {group['real_members']}"


def _enough(group: Plain, people: int) -> bool:
    steps = _json(group.get("steps"))
    least = [group["size"], *(size for size, _ in steps or ())]
    return bool(people >= min(*least, group.get("fill_at_expiry_from") or group["size"]))


_SEATED = {
    "held": ({"pending"}, {"opening", "open", "filled", "expiring", "expired"}),
    "confirmed": ({"paid", "completed"}, {"open", "filled", "expiring"}),
    "refunded": ({"refunding", "refunded"}, {"expiring", "expired"}),
}


def _seats_are_paid_by_their_orders(books: Books) -> Iterator[str]:
    """G4 and G5: a seat and its order agree on everything, and a seat's state follows from its order's."""
    for seat in books.seats:
        order, group = books.orders[seat["order_id"]], books.group_of(seat)
        told = f"{seat['state']} seat of {order['order_id']}, {order['state']}, in a group that is {group}"
        states, there = _SEATED[seat["state"]]
        given_back = order["state"] in ("refunding", "refunded") and group in ("filled", "expired")
        if not (order["state"] in states and group in there) and not (
            seat["state"] == "confirmed" and given_back
        ):
            yield told
        names = ["group_id", "member_id", "campaign_id", "sku_id", "quantity", "amount_fen", "taken", "head"]
        if seat["state"] == "confirmed":
            names.append("payment_id")
        # Who is promoted becomes the head of the group; the order remembers what was bought.
        different = [name for name in names if seat[name] != order[name] and name != "head"]
        if different:
            yield f"{told}: they differ in {different}"


def _orders_are_seated(books: Books) -> Iterator[str]:
    """G2 and G5: an unpaid order holds one seat, a paid one has one, one that is over none where it matters."""
    for order in books.orders.values():
        mine = [one for one in books.seats if one["order_id"] == order["order_id"]]
        seated = Counter(seat["state"] for seat in mine)
        wanted = {
            "pending": {"held": 1},
            "cancelled": {},
            "paid": {"confirmed": 1},
            "completed": {"confirmed": 1},
        }
        told = f"{order['order_id']} is {order['state']} in a group that is {books.group_of(order)}: {dict(seated)}"
        if order["state"] in wanted and seated != Counter(wanted[order["state"]]):
            yield told
        if order["state"] not in wanted and any(books.group_of(seat) == "open" for seat in mine):
            yield told


def _payments_are_used_once(books: Books) -> Iterator[str]:
    """G2: every payment is in an order that it paid, or goes back, once and whole."""
    for order in books.orders.values():
        its = [one for one in books.payments if one["order_id"] == order["order_id"]]
        for payment in its:
            back = [one for one in books.refunds if _of(one, payment)]
            yield from _misused(order, payment, back)
        unknown = [
            one for one in books.refunds if _of(one, order) and not any(_of(one, payment) for payment in its)
        ]
        if unknown:
            yield f"{order['order_id']}: refunds of no payment: {[one['sk'] for one in unknown]}"
        used = [one["payment_id"] for one in its if one["state"] == "taken"]
        if len(used) > 1 or used != [order.get("payment_id")] * len(used):
            yield f"{order['order_id']} took {used}"
        if order["state"] in ("paid", "completed") and not used:
            yield f"{order['order_id']} is {order['state']} by no payment"


def _of(refund: Plain, paid: Plain) -> bool:
    """Whether a refund is of this order or, given a payment, of this payment."""
    if refund["order_id"] != paid["order_id"]:
        return False
    return bool(paid["kind"] == "order" or refund["payment_id"] == paid["payment_id"])


def _misused(order: Plain, payment: Plain, back: Sequence[Plain]) -> Iterator[str]:
    fen = sum(one["amount_fen"] for one in back)
    told = f"{payment['state']} {payment['payment_id']} of {payment['amount_fen']} fen, {fen} back"
    left = {"mismatch": payment["amount_fen"], "returned": 0}.get(
        payment["state"], order.get("refundable_fen")
    )
    if payment["amount_fen"] - fen != left:
        yield f"{told}, for an order that is {order['state']} with {left} left"
    if payment["state"] == "returned" and len(back) != 1:
        yield f"{told} in {len(back)} parts"
    accepted = payment.get("by_hand") == "settled:accepted"
    if payment["state"] == "taken" and payment["amount_fen"] != order["amount_fen"] and not accepted:
        yield f"{told}, for an order of {order['amount_fen']}"
    if payment["state"] == "taken" and order["state"] in ("refunding", "refunded") and left != 0:
        yield f"{told}, for an order that is {order['state']}"


def _refunds_say_how_the_order_is(books: Books) -> Iterator[str]:
    """G2: an order is over by one whole refund, and counts what came back."""
    for order in books.orders.values():
        its = [one for one in books.refunds if one["order_id"] == order["order_id"]]
        whole = [one["state"] for one in its if one["whole"]]
        known = {"refunding": [["due"], ["sent"]], "refunded": [["done"]]}.get(order["state"], [[]])
        if whole not in known:
            yield f"{order['order_id']} is {order['state']} with whole refunds {whole}"
        done = sum(one["amount_fen"] for one in its if one["state"] == "done")
        if order.get("refunded_fen", 0) != done:
            yield f"{order['order_id']} says {order.get('refunded_fen')} of {done} fen refunded"


def _stock_adds_up(books: Books) -> Iterator[str]:
    """G3: what is not left is in groups that are not over, and in holds."""
    taken: Counter[tuple[str, int]] = Counter()
    for one in _takings(books):
        taken.update(rules.added_up([one]))
    for sku in _json(books.campaign["product"])["skus"]:
        name = sku["sku_id"]
        left = sum(row["left"] for row in books.stock if row["sku_id"] == name)
        used = sum(units for (sku_id, _), units in taken.items() if sku_id == name)
        had = sku["stock"] + books.added[name]
        if left + used != had or any(row["left"] < 0 for row in books.stock):
            yield f"{name}: {left} left and {used} taken of {had}"


def _takings(books: Books) -> Iterator[rules.Taken]:
    for group in books.groups.values():
        if group["reserve"] == "group" and group["state"] in ("opening", "open", "filled"):
            yield _json(group["taken"])
    for seat in books.seats:
        if seat["state"] == "held" or (seat["state"] == "confirmed" and books.group_of(seat) != "expired"):
            taken = _json(seat["taken"])
            yield taken if books.groups[seat["group_id"]]["reserve"] == "seat" else []


def _units_are_those_of_the_seats(books: Books) -> Iterator[str]:
    """G3: a group has units for all who may still be in it, a seat has its own."""
    for group in books.groups.values():
        units = sum(units for _, _, units in _json(group["taken"]))
        seats = group["real_members"] if group["state"] == "filled" else group["size"]
        if units != (seats if group["reserve"] == "group" else 0):
            yield f"{group['group_id']} is {group['state']} with {units} units for {seats} seats"
    for seat in books.seats:
        units = sum(units for _, _, units in _json(seat["taken"]))
        own = books.groups[seat["group_id"]]["reserve"] == "seat"
        held = seat["head"] and not own
        if units != (seat["quantity"] if own else 0) and not held:
            yield f"a seat in {seat['group_id']} with {units} units for {seat['quantity']}"


def _parts_add_up(books: Books) -> Iterator[str]:
    """G6: one unpaid order for a member, and the limits count what the member has."""
    for member_id, part in books.parts.items():
        mine = [one for one in books.seats if one["member_id"] == member_id and _counts(books, one)]
        units, groups = sum(one["quantity"] for one in mine), sum(one["head"] for one in mine)
        if (part["units"], part["groups"]) != (units, groups):
            yield f"{member_id} has {units} units in {groups} own groups, not {part['units']} in {part['groups']}"
        unpaid = [one for one in books.orders.values() if one["member_id"] == member_id]
        ids = [one["order_id"] for one in unpaid if one["state"] == "pending"]
        if len(ids) > 1 or ids != [part.get("order_id")] * len(ids):
            yield f"{member_id} has the unpaid orders {ids}, not {part.get('order_id')}"
    missing = {one["member_id"] for one in books.orders.values()} - set(books.parts)
    if missing:
        yield f"no part of {missing}"


def _counts(books: Books, seat: Plain) -> bool:
    """Whether a seat counts towards its member's limits: not in a failed group."""
    return seat["state"] == "held" or (seat["state"] == "confirmed" and books.group_of(seat) != "expired")


def _differences_are_right(books: Books) -> Iterator[str]:
    """G7: what a ladder gives back, once, and in full when the order is paid."""
    for refund in books.refunds:
        if refund["reason"] == "ladder":
            order = books.orders[refund["order_id"]]
            group = books.groups[order["group_id"]]
            if group["state"] != "filled" or refund["amount_fen"] != _difference(group, order):
                yield f"{refund['amount_fen']} fen of a difference in a group that is {group['state']}"
    told = Counter(one["order_id"] for one in books.refunds if one["reason"] == "ladder")
    if any(count > 1 for count in told.values()):
        yield f"differences {told}"


def _difference(group: Plain, order: Plain) -> int:
    """What came above the final price."""
    final = rules.final_prices(_json(group["steps"]), _json(group["prices"]), group["real_members"])
    return max(0, int(order["paid_fen"] - final[order["sku_id"]] * order["quantity"]))


def _what_is_due_has_something_to_do(books: Books) -> Iterator[str]:
    """A row is due under the job that its state calls for, and not when there is nothing to do."""
    every = [*books.groups.values(), *books.seats, *books.orders.values(), *books.payments, *books.refunds]
    for row in every:
        job = row.get("due_shard", "").rpartition("#")[0] or None
        if row.get("due_shard", "").startswith("stuck#"):
            job = row["due_shard"]
        over = row["kind"] == "payment" and books.orders[row["order_id"]]["state"] in _OVER
        if job not in _jobs_of(row) and not (over and job is None):
            yield f"{row['kind']} {row['pk']} {row['sk']} is {row['state']}, and due for {job}"


def _jobs_of(row: Plain) -> tuple[str | None, ...]:
    kind, state = row["kind"], row["state"]
    if kind == "seat":
        return ("release",) if state == "held" and not row["head"] else (None,)
    if kind == "order" and "payment_id" in row:
        return ("react", None)
    if kind == "refund" and state == "done" and not row["whole"]:
        return (None, "react", "stuck#twice")
    known: dict[tuple[str, str], tuple[str | None, ...]] = {
        ("group", "opening"): ("release",),
        ("group", "open"): ("expire",),
        ("group", "expiring"): ("expire",),
        ("group", "filled"): ("react", None),
        ("group", "expired"): ("react", None),
        ("refund", "due"): ("refund",),
        ("refund", "sent"): ("refund",),
        ("refund", "done"): (None, "stuck#twice"),
        ("payment", "mismatch"): ("stuck#mismatch",),
        ("payment", "taken"): (None,) if row.get("by_hand") in _LEFT else _UNFINISHED,
    }
    return known.get((kind, state), (None,))


_UNFINISHED = ("unfinished", "stuck#unfinished")
_OVER = ("completed", "refunding", "refunded")
"""What was looked at when its order was so is not looked at again."""
_LEFT = ("settled:completed", "cancelled")
"""What a person has decided of an order that was paid and never completed."""


_ALWAYS: tuple[Callable[[Books], Iterator[str]], ...] = (
    _rows_are_whole,
    _seats_add_up,
    _groups_are_one_thing,
    _seats_are_paid_by_their_orders,
    _orders_are_seated,
    _payments_are_used_once,
    _refunds_say_how_the_order_is,
    _stock_adds_up,
    _units_are_those_of_the_seats,
    _parts_add_up,
    _differences_are_right,
    _what_is_due_has_something_to_do,
)


# --- when all is over ---------------------------------------------------------------------------------------


def _nothing_is_under_way(books: Books) -> Iterator[str]:
    """Groups are filled or ended, orders paid or over; the mall alone may keep a refund waiting."""
    for row in [*books.groups.values(), *books.seats, *books.orders.values(), *books.refunds]:
        waits = "refund_id" in row and row["state"] == "sent"
        if row["state"] in ("opening", "open", "expiring", "held", "pending", "due"):
            yield f"{row['kind']} {row['pk']} {row['sk']} is still {row['state']}"
        if "due_shard" in row and not waits:
            yield f"{row['kind']} {row['pk']} {row['sk']} is still due for {row['due_shard']}"


def _differences_are_written(books: Books) -> Iterator[str]:
    """G7: nobody in a filled ladder has paid more than its final price."""
    told = {one["order_id"] for one in books.refunds if one["reason"] == "ladder"}
    for seat in books.seats:
        order, group = books.orders[seat["order_id"]], books.groups[seat["group_id"]]
        paid = order["state"] in ("paid", "completed") and "steps" in group
        if paid and _difference(group, order) and order["order_id"] not in told:
            yield f"{order['order_id']} has paid {_difference(group, order)} fen too much"


def _facts_were_counted_once(books: Books) -> Iterator[str]:
    """The day's report has every group once."""
    states = Counter(group["state"] for group in books.groups.values())
    began = sum("expires_at" in group for group in books.groups.values())
    wanted = {"opened": began, "filled": states["filled"], "failed": states["expired"]}
    told = {name: sum(day.get(name, 0) for day in books.days) for name in wanted}
    if told != wanted:
        yield f"the report says {told}, the groups {wanted}"


_AT_REST: tuple[Callable[[Books], Iterator[str]], ...] = (
    _nothing_is_under_way,
    _differences_are_written,
    _facts_were_counted_once,
)


# --- at every instant ---------------------------------------------------------------------------------------


_STEPS: dict[str, set[tuple[str | None, str | None]]] = {
    "group": {
        (None, "opening"),
        ("opening", "open"),
        ("opening", "lapsed"),
        ("open", "filled"),
        ("open", "expiring"),
        ("open", "expired"),
        ("expiring", "expired"),
    },
    "seat": {
        (None, "held"),
        (None, "confirmed"),
        ("held", "confirmed"),
        ("held", None),
        ("confirmed", "refunded"),
        ("confirmed", None),
    },
    "order": {
        (None, "pending"),
        ("pending", "paid"),
        ("pending", "cancelled"),
        ("cancelled", "paid"),
        ("cancelled", "refunding"),
        ("paid", "completed"),
        ("paid", "refunding"),
        ("paid", "refunded"),
        ("completed", "refunding"),
        ("completed", "refunded"),
        ("refunding", "refunded"),
    },
    "refund": {(None, "due"), (None, "done"), ("due", "sent"), ("due", "done"), ("sent", "done")},
    "payment": {(None, "taken"), (None, "returned"), (None, "mismatch")},
}
_FOR_EVER = {
    "group": ("size", "prices", "campaign_id", "reserve"),
    "order": ("amount_fen", "sku_id", "quantity"),
    "seat": ("amount_fen", "taken", "quantity"),
    "refund": ("refund_id", "amount_fen", "payment_id", "whole"),
    "payment": ("amount_fen", "payment_id", "state"),
}


def broken_images(store: Any, campaign_id: str) -> list[str]:
    """Every way in which a row of the campaign broke the rules at some instant, by the images of the stream."""
    told = [_change(record["dynamodb"]) for record in _records(store)]
    mine = {one.new["order_id"] for one in told if one.new and _is(one.new, "order", campaign_id)}
    found = []
    for change in told:
        row = change.new or change.old or {}
        if "kind" not in row:
            found.append(f"{row['pk']} {row['sk']} has nothing but {sorted(row)}")
            continue
        known = row.get("campaign_id") == campaign_id or row.get("order_id") in mine
        if known or row["pk"].startswith(f"PART#{campaign_id}#"):
            found += [f"{row['kind']} {row['pk']}: {line}" for line in _instant(change, row["kind"])]
    return found


def _change(told: dict[str, Any]) -> Change:
    old, new = (decoded(told[side]) if side in told else None for side in ("OldImage", "NewImage"))
    return Change(old, new)


def _is(row: Plain, kind: str, campaign_id: str) -> bool:
    return row.get("kind") == kind and row["campaign_id"] == campaign_id


def _instant(change: Change, kind: str) -> Iterator[str]:
    old, new = change.old or {}, change.new or {}
    step = (old.get("state"), new.get("state"))
    if kind in _STEPS and step[0] != step[1] and step not in _STEPS[kind]:
        yield f"went from {step[0]} to {step[1]}"
    if old and new:
        changed = [name for name in _FOR_EVER.get(kind, ()) if old.get(name) != new.get(name)]
        if changed:
            yield f"{changed} changed"
        if new["rev"] != old["rev"] + 1:
            yield f"rev {old['rev']} became {new['rev']}"
    if kind in ("order", "seat") and new and not new["owner"].startswith(f"{new['member_id']}#"):
        yield f"it is {new['member_id']}'s, and in the list {new['owner']}"  # it is another's after a merge, wholly
    if new:
        yield from _numbers(kind, new)
    if kind == "group" and old and new:
        yield from _counted(old, new)


def _numbers(kind: str, row: Plain) -> Iterator[str]:
    """No number of which there may be none is ever below it; G1 in every image."""
    if kind == "group" and not 0 <= row["free"] <= row["missing"] <= row["size"]:
        yield f"(free, missing, size) = {(row['free'], row['missing'], row['size'])} while {row['state']}"
    for name in ("left", "units", "groups", "refundable_fen", "refunded_fen"):
        if row.get(name, 0) < 0:
            yield f"{name} = {row[name]}"


def _counted(old: Plain, new: Plain) -> Iterator[str]:
    """One write moves one seat, and none of a group that is over, but for holds that end."""
    free, missing = new["free"] - old["free"], new["missing"] - old["missing"]
    if abs(free) > 1 or abs(missing) > 1:
        yield f"free {free:+} and missing {missing:+} in one write"
    if old["state"] in ("filled", "expiring", "expired", "lapsed") and (free < 0 or missing):
        yield f"free {free:+} and missing {missing:+} after it was {old['state']}"
