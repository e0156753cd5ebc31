"""Why a term may stay although nobody notices when it alone is gone.

Two kinds of reason are checked by the run itself: that a missing row has none of the attributes that another term
compares (`implied`), and that any one of several is enough (`ENOUGH`: with all of them gone somebody must notice).
The others (`REASONS`) are an argument, made here.
"""

from collections.abc import Iterable, Sequence, Set

from tests.mutations.terms import Term

Several = frozenset[str]

_OWN_SEAT = "the order and its seat change in one transaction, so each says what the other does"
_ONE_REFUND = "the order's state, what is left of it and the refund's key change together"


def _of(where: str, *texts: str) -> set[str]:
    return {f"{where}: {text}" for text in texts}


_LET_GO = {
    *_of("ending._letting_go → orders.cancelled", "Order state = pending"),
    *_of("ending.if_unpayable → ending._letting_go", "Seat exists", "Seat state = held", "Seat order_id = ?"),
    *_of("ending._letting_go → holding.part_back", "Part order_id = ?"),
}
_CONFIRMED = {
    *_of("settling._confirming → orders.taken", "Order state = pending"),
    *_of(
        "settling._confirmed → settling._confirming", "Seat exists", "Seat state = held", "Seat order_id = ?"
    ),
}
_REFUND_KEY = _of("orders.refunding → orders.owed_back", "Refund is new")


def _refunding(where: str) -> set[str]:
    told = ("exists", "no owed_rev", "state in paid or completed", "refundable_fen = ?")
    return _of(f"{where} → orders.refunding", *(f"Order {text}" for text in told))


_STEPPED_OUT = _of(
    "ending._give_back → ending._stepping_out", "Seat exists", "Seat state = confirmed", "Seat order_id = ?"
)

ENOUGH: dict[Several, str] = {
    frozenset(_LET_GO): _OWN_SEAT,
    frozenset(_LET_GO | _of("ending._letting_go → ending._lapsed", "Group state = opening")): (
        "an opening group is as unpaid as its head's order"
    ),
    frozenset(_CONFIRMED): _OWN_SEAT,
    frozenset(
        _CONFIRMED
        | _of("settling._confirming → settling._opened", "Group state = opening")
        | _of("orders.taken → orders._payment", "Payment is new")
    ): "a payment is new, its order pending and its seat held, all at once",
    frozenset(
        _refunding("ending._stepping_out") | _STEPPED_OUT | _REFUND_KEY
    ): f"{_ONE_REFUND}, and the seat with them",
    frozenset(_refunding("ending._give_back") | _REFUND_KEY): _ONE_REFUND,
    frozenset(
        _refunding("ending._refunds")
        | _REFUND_KEY
        | _of("ending._over → ending._closed", "Group state = open", "Group exists")
    ): f"{_ONE_REFUND}, and a group that is over has no payer who is not",
    frozenset(
        _of(
            "ending._stepping_out → ending._promoted",
            "Seat exists",
            "Seat state = confirmed",
            "Seat order_id = ?",
        )
    ): "a seat that another order has is not a confirmed one of this order",
    frozenset(
        _of("orders.confirm_refund → orders.confirmed", "Refund exists", "Refund state in due or sent")
        | _of("orders.confirmed → orders._refunded", "Order exists", "Order state = refunding")
    ): "a whole refund and its order are done in one write",
    frozenset(
        _of("orders._give_back → orders._payment", "Payment is new")
        | _of("orders._give_back → orders.owed_back", "Refund is new")
    ): "both rows have the payment's number as their key, and are written together",
    frozenset(
        _of("settling._placed_late → orders.returned", "Order exists", "Order state = cancelled")
        | _of("orders.returned → orders._payment", "Payment is new")
        | _of("orders.returned → orders.owed_back", "Refund is new")
    ): "a payment that goes back is new, and so is its refund, and its order is cancelled until then",
}

_TAKEN_OVER = {
    *_of("settling._taking_over → orders.taken", "Order exists", "Order state = cancelled"),
    *_of("settling._taking_over → orders.cancelled", "Order state = pending"),
    *_of(
        "settling._taken_over → settling._taking_over",
        "Seat exists",
        "Seat state = held",
        "Seat order_id = ?",
    ),
}
ENOUGH |= {
    frozenset(_TAKEN_OVER): "the late order, the newer one and the seat change in one transaction",
    frozenset(_TAKEN_OVER | _of("settling._taking_over → settling._opened", "Group state = opening")): (
        "an opening group is as unpaid as its head's order"
    ),
    frozenset(
        _of(
            "orders.told_partly_refunded → orders.reduced", "Order exists", "Order state in paid or completed"
        )
        | _of("orders.told_partly_refunded → orders.reduced", "Order refundable_fen >= ?")
    ): "nothing is left of an order that is over, and nothing is there before it is paid",
    frozenset(
        _refunding("ending._refunds")
        | _REFUND_KEY
        | _of(
            "ending._refunding → ending._refunded",
            "Seat exists",
            "Seat state = confirmed",
            "Seat order_id = ?",
        )
    ): f"{_ONE_REFUND}, and the seat with them",
}

_WHICH_EDITION = "a closed campaign has another edition than it had before, and only closing makes it so"
ENOUGH |= {
    frozenset(
        _of("campaigns.edition → campaigns.next_edition", "Campaign edition = ?", "Campaign state <> closed")
    ): _WHICH_EDITION,
    frozenset(
        _of("editing._changed → campaigns.next_edition", "Campaign edition = ?", "Campaign state <> closed")
    ): _WHICH_EDITION,
    frozenset(_of("byhand.look_at", "Payment due_at = ?", "Payment due_shard = ?")): (
        "what was looked at, or decided, is due no more, or not there and then"
    ),
    frozenset(
        {
            *_of("byhand.note_paid_back → orders.confirmed", "Refund exists", "Refund state in due or sent"),
            *_of("byhand.note_paid_back", "Refund due_shard = ?"),
        }
    ): "a refund that is done is stuck no more",
}

ENOUGH |= {
    frozenset(
        _of(
            "ending.give_differences_back → orders.reduced",
            "Order exists",
            "Order state in paid or completed",
            "Order refundable_fen >= ?",
        )
    ): "nothing is left of an order that is over, and nothing is there before it is paid",
    frozenset(
        _of("orders._give_back → orders._payment", "Payment due_shard = ?")
        | _of("orders._give_back → orders.owed_back", "Refund is new")
    ): "what a person decides about a payment is written with its refund, which is new",
    frozenset(
        _of("orders.returned → orders._payment", "Payment due_shard = ?")
        | _of("orders.returned → orders.owed_back", "Refund is new")
        | _of("settling._placed_late → orders.returned", "Order exists", "Order state = cancelled")
    ): "what a person decides about a payment is written with its refund, which is new, and its order is cancelled",
}

_FRESH = "its id is fresh; the condition makes a repeat of the same write harmless after a lost reply"
_NEVER_DELETED = "such a row is never deleted; the condition keeps a mistake from beginning a torn one"

_OF_THE_WINDOW = (
    "only an edit of the campaign moves its window, and the campaign's own is asked before; it is for processes "
    "that remember the campaign as it was"
)

_BEGUN = "what was begun of an order never changes, so what was read of it is what is there"

_STUCK_NOW = (
    "a row that is due at the same second and in another shard was handed to a person at that second; a look that "
    "went well may take it back"
)

_MERGED = (
    "nobody becomes another member in these meetings; races/test_merging_rooms.py has payments meet a merge"
)
REASONS: dict[str, str] = {
    "settling._taking_over → orders.cancelled: Order prepay_id = ?": _BEGUN,
    "ending._letting_go → orders.cancelled: Order prepay_id = ?": _BEGUN,
    "orders._asked_in_vain → orders.seen_twice: Refund state = done": (
        "nothing leaves this state, so what was read is what is there"
    ),
    "orders.confirm_given → orders.confirmed: Refund state in due or sent": (
        "the same write asks for `state = due` besides"
    ),
    "orders._returned → orders.owed_back: Refund is new": (
        "the payment stops being a wrong amount in the same transaction, which happens once"
    ),
    "byhand._given_back → orders.owed_back: Refund is new": (
        "a person gives a wrong amount back: in the same transaction it stops being stuck, which happens once"
    ),
    "service._opening → holding.stock_taken: Stock starts_at <= ?": _OF_THE_WINDOW,
    "service._opening → holding.stock_taken: Stock ends_at > ?": _OF_THE_WINDOW,
    "service._join → service._joining: Group expires_at > ?": (
        "a rule of business: a group's end never moves, so the look before the write asks the same of one clock"
    ),
    "service._join → service._joining: Group state = open": (
        "a rule of business: who holds a seat in a group that is over has it until the hold ends, and pays late"
    ),
    "closing._again → closing._unless_moved: Campaign due_shard = ?": _STUCK_NOW,
    "closing._told → closing._unless_moved: Campaign due_shard = ?": _STUCK_NOW,
    "byhand.unlist: Payment due_shard = ?": (
        "an order that is over waits for nobody, wherever a person has put it meanwhile"
    ),
    "orders.send_refund: Refund due_shard = ?": (
        "a refund that was handed to a person meanwhile is due at another time besides, or in that second"
    ),
    "settling._confirming → orders.taken: Order member_id = ?": _MERGED,
    "settling._late → orders.taken: Order member_id = ?": _MERGED,
    "settling._taking_over → orders.taken: Order member_id = ?": _MERGED,
    "ending._refunds: Order member_id = ?": _MERGED,
    "ending._refunding → ending._refunds: Order member_id = ?": (
        "a seat goes over in one transaction with its order, and the same write asks for this member's seat"
    ),
    "orders.handed_over: Order rev = ?": (
        "one meeting alone knows a merge, and overtakes with it; races/test_merging_rooms.py has it overtaken"
    ),
    "facts._answer: Letter exists": "a letter that another has answered and taken away is to be away",
    "service._open → service._opening: Group is new": _FRESH,
    "service._open → service._opening: Seat is new": _FRESH,
}
NEVER_DELETED = ("Campaign", "Group", "Part", "Stock", "Order")


def implied(term: Term, known: Iterable[Term]) -> bool:
    """Whether the row exists if another term of the same write holds: it compares what a missing row has not."""
    beside = [one for one in known if (one.site, one.kind) == (term.site, term.kind)]
    compared = (one.text for one in beside if " " in one.text and not one.text.startswith("no "))
    # A row that is not there is another than anything.
    return term.text == "exists" and any(" <> " not in told for told in compared)


def never_tried(term: Term, known: Iterable[Term]) -> bool:
    """Whether its reason needs no trial: it is implied, or about a row that is never deleted."""
    return implied(term, known) or (term.text == "exists" and term.kind in NEVER_DELETED)


def together(known: Sequence[Term]) -> list[frozenset[Term]]:
    """Those of which one is enough, all of them."""
    there = {str(term) for term in known}
    return [frozenset(map(Term.parsed, sorted(several))) for several in ENOUGH if several <= there]


def stale(known: Iterable[str]) -> list[str]:
    """Terms of which there is a reason, and which nothing asks for any more."""
    return sorted(set(REASONS).union(*ENOUGH) - set(known))


def one_of_several(off: Set[Term]) -> bool:
    """Whether it is tried in other trials, with the others of which one is enough, and needs no more of its own."""
    return len(off) == 1 and any(str(term) in several for term in off for several in ENOUGH)


def argued(off: Set[Term]) -> bool:
    """Whether there is an argument for it, so that the races, which are slow, need not be run."""
    return any(str(term) in REASONS for term in off)


def why(term: str) -> str | None:
    """Why it may stay."""
    for several, told in ENOUGH.items():
        if term in several:
            return f"{told}: one of {len(several)} is enough (see below)"
    parsed = Term.parsed(term)
    if parsed.text == "exists" and parsed.kind in NEVER_DELETED:
        return _NEVER_DELETED
    return REASONS.get(term)
