"""Why a term may stay although nobody notices when it alone is gone.

Two kinds of reason are checked by the run itself: that a missing row has none of the attributes that another term
compares (`implied`), and that any one of several is enough (`ENOUGH`: with all of them gone somebody must notice).
The others (`REASONS`) are an argument, made here.
"""

from collections.abc import Container, Iterable

from tests.mutations.terms import Term

Several = frozenset[str]

_OWN_SEAT = "the order and its seat change in one transaction, so each says what the other does"
_ONE_REFUND = "the order's state, what is left of it and the refund's key change together"


def _because(why: str, terms: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(terms, why)


def _of(where: str, *texts: str) -> set[str]:
    return {f"{where}: {text}" for text in texts}


_LET_GO = {
    *_of("groupbuys.ending._letting_go → orders.service.cancelled", "Order state = pending"),
    *_of(
        "groupbuys.ending.if_unpayable → groupbuys.ending._letting_go",
        "Seat exists",
        "Seat state = held",
        "Seat order_id = ?",
    ),
    *_of("groupbuys.ending._letting_go → groupbuys.holding.part_back", "Part order_id = ?"),
}
_CONFIRMED = {
    *_of("groupbuys.settling._confirming → orders.service.taken", "Order state = pending"),
    *_of(
        "groupbuys.settling._confirmed → groupbuys.settling._confirming",
        "Seat exists",
        "Seat state = held",
        "Seat order_id = ?",
    ),
}
_REFUND_KEY = _of("orders.service.refunding → orders.service.owed_back", "Refund is new")


def _refunding(where: str) -> set[str]:
    told = ("exists", "no owed_rev", "state in paid or completed", "refundable_fen = ?")
    return _of(f"{where} → orders.service.refunding", *(f"Order {text}" for text in told))


_STEPPED_OUT = _of(
    "groupbuys.ending._give_back → groupbuys.ending._stepping_out",
    "Seat exists",
    "Seat state = confirmed",
    "Seat order_id = ?",
)

ENOUGH: dict[Several, str] = {
    frozenset(_LET_GO): _OWN_SEAT,
    frozenset(
        _LET_GO | _of("groupbuys.ending._letting_go → groupbuys.ending._lapsed", "Group state = opening")
    ): ("an opening group is as unpaid as its head's order"),
    frozenset(_CONFIRMED): _OWN_SEAT,
    frozenset(
        _CONFIRMED
        | _of("groupbuys.settling._confirming → groupbuys.settling._opened", "Group state = opening")
        | _of("orders.service.taken → orders.service._payment", "Payment is new")
    ): "a payment is new, its order pending and its seat held, all at once",
    frozenset(
        _refunding("groupbuys.ending._stepping_out") | _STEPPED_OUT | _REFUND_KEY
    ): f"{_ONE_REFUND}, and the seat with them",
    frozenset(_refunding("groupbuys.ending._give_back") | _REFUND_KEY): _ONE_REFUND,
    frozenset(
        _refunding("groupbuys.ending._refunds")
        | _REFUND_KEY
        | _of("groupbuys.ending._over → groupbuys.ending._closed", "Group state = open", "Group exists")
    ): f"{_ONE_REFUND}, and a group that is over has no payer who is not",
    frozenset(
        _of(
            "groupbuys.ending._stepping_out → groupbuys.ending._promoted",
            "Seat exists",
            "Seat state = confirmed",
            "Seat order_id = ?",
        )
    ): "a seat that another order has is not a confirmed one of this order",
    frozenset(
        _of(
            "orders.service.confirm_refund → orders.service.confirmed",
            "Refund exists",
            "Refund state in due or sent",
        )
        | _of(
            "orders.service.confirmed → orders.service._refunded", "Order exists", "Order state = refunding"
        )
    ): "a whole refund and its order are done in one write",
    frozenset(
        _of("orders.service._give_back → orders.service._payment", "Payment is new")
        | _of("orders.service._give_back → orders.service.owed_back", "Refund is new")
    ): "both rows have the payment's number as their key, and are written together",
    frozenset(
        _of(
            "groupbuys.settling._placed_late → orders.service.returned",
            "Order exists",
            "Order state = cancelled",
        )
        | _of("orders.service.returned → orders.service._payment", "Payment is new")
        | _of("orders.service.returned → orders.service.owed_back", "Refund is new")
    ): "a payment that goes back is new, and so is its refund, and its order is cancelled until then",
}

_TAKEN_OVER = {
    *_of("groupbuys.settling._taking_over → orders.service.taken", "Order exists", "Order state = cancelled"),
    *_of("groupbuys.settling._taking_over → orders.service.cancelled", "Order state = pending"),
    *_of(
        "groupbuys.settling._taken_over → groupbuys.settling._taking_over",
        "Seat exists",
        "Seat state = held",
        "Seat order_id = ?",
    ),
}
ENOUGH |= {
    frozenset(_TAKEN_OVER): "the late order, the newer one and the seat change in one transaction",
    frozenset(
        _TAKEN_OVER
        | _of("groupbuys.settling._taking_over → groupbuys.settling._opened", "Group state = opening")
    ): ("an opening group is as unpaid as its head's order"),
    frozenset(
        _of(
            "orders.service.told_partly_refunded → orders.service.reduced",
            "Order exists",
            "Order state in paid or completed",
        )
        | _of("orders.service.told_partly_refunded → orders.service.reduced", "Order refundable_fen >= ?")
    ): "nothing is left of an order that is over, and nothing is there before it is paid",
    frozenset(
        _refunding("groupbuys.ending._refunds")
        | _REFUND_KEY
        | _of(
            "groupbuys.ending._refunding → groupbuys.ending._refunded",
            "Seat exists",
            "Seat state = confirmed",
            "Seat order_id = ?",
        )
    ): f"{_ONE_REFUND}, and the seat with them",
}

_WHICH_EDITION = "a closed campaign has another edition than it had before, and only closing makes it so"
ENOUGH |= {
    frozenset(
        _of(
            "groupbuys.campaigns.edition → groupbuys.campaigns.next_edition",
            "Campaign edition = ?",
            "Campaign state <> closed",
        )
    ): _WHICH_EDITION,
    frozenset(
        _of(
            "groupbuys.editing._changed → groupbuys.campaigns.next_edition",
            "Campaign edition = ?",
            "Campaign state <> closed",
        )
    ): _WHICH_EDITION,
    frozenset(_of("orders.byhand.look_at", "Payment due_at = ?", "Payment due_shard = ?")): (
        "what was looked at, or decided, is due no more, or not there and then"
    ),
    frozenset(
        {
            *_of(
                "orders.byhand.note_paid_back → orders.service.confirmed",
                "Refund exists",
                "Refund state in due or sent",
            ),
            *_of("orders.byhand.note_paid_back", "Refund due_shard = ?"),
        }
    ): "a refund that is done is stuck no more",
}

ENOUGH |= {
    frozenset(
        _of(
            "groupbuys.ending.give_differences_back → orders.service.reduced",
            "Order exists",
            "Order state in paid or completed",
            "Order refundable_fen >= ?",
        )
    ): "nothing is left of an order that is over, and nothing is there before it is paid",
    frozenset(
        _of("orders.service._give_back → orders.service._payment", "Payment due_shard = ?")
        | _of("orders.service._give_back → orders.service.owed_back", "Refund is new")
    ): "what a person decides about a payment is written with its refund, which is new",
    frozenset(
        _of("orders.service.returned → orders.service._payment", "Payment due_shard = ?")
        | _of("orders.service.returned → orders.service.owed_back", "Refund is new")
        | _of(
            "groupbuys.settling._placed_late → orders.service.returned",
            "Order exists",
            "Order state = cancelled",
        )
    ): "what a person decides about a payment is written with its refund, which is new, and its order is cancelled",
}

# --- withdrawals --------------------------------------------------------------------------------------------

_ENDED = {
    *_of("withdrawals.service.purse_ended → withdrawals.service.purse_write", "Purse rev = ?"),
    *_of("core.ledger.hold_spent", "Hold state = frozen"),
    *_of("core.ledger.hold_released", "Hold state = frozen", "Entry is new"),
}
_MOVED = "withdrawals.service.ending_writes → withdrawals.service.moved"
_FOLLOWED = "withdrawals.sending._followed"
ENOUGH |= {
    frozenset(
        _of("withdrawals.applying.apply → withdrawals.applying._applying", "Withdrawal is new")
        | _of(
            "withdrawals.applying._applying → withdrawals.service.purse_write",
            "Purse is new",
            "Purse rev = ?",
        )
        | _of("core.ledger.frozen", "Hold is new")
    ): "who applies writes the purse as it was read, and what is frozen is frozen under the withdrawal's number",
    frozenset(
        _ENDED
        | _of(_MOVED, *(f"Withdrawal state = {state}" for state in ("transferring", "awaiting_confirmation")))
        | _of("withdrawals.sending.settle", "Withdrawal due_shard = ?")
    ): "whoever ends a withdrawal writes its state, its purse and its hold in one transaction",
    frozenset(
        _of(f"{_FOLLOWED} → withdrawals.service.moved", "Withdrawal state = paid")
        | _of(_FOLLOWED, "Withdrawal due_shard = ?")
        | _of("core.ledger.reversal", "Entry is new", "Entry left >= ?", "Hold left >= ?")
        | _of("withdrawals.service.purse_ended → withdrawals.service.purse_write", "Purse rev = ?")
    ): "what a person follows takes it off the list, moves its state and posts under a cause of its own",
    frozenset(
        _of(
            f"{_FOLLOWED} → withdrawals.service.moved",
            "Withdrawal state = failed",
            "Withdrawal state = expired",
        )
        | _of(_FOLLOWED, "Withdrawal due_shard = ?")
        | _of("core.ledger.posted", "Entry is new")
        | _of("withdrawals.service.purse_ended → withdrawals.service.purse_write", "Purse rev = ?")
    ): "what a person follows takes it off the list, moves its state and posts under a cause of its own",
}

# --- coupons ------------------------------------------------------------------------------------------------

_ITS_GIFT = "a gift is open while its coupon is on its way under its code; they change in one transaction"


def _ends_gift(site: str) -> set[str]:
    return _of(site, "Gift state = open", "Coupon state = gifting", "Coupon gift_code = ?")


ENOUGH |= {
    frozenset(
        _ends_gift("coupons.gifts.accept → coupons.gifts._accepting")
        | _of("coupons.gifts.accept → coupons.gifts._accepting", "Coupon is new")
    ): f"{_ITS_GIFT}, with the one that it brings",
    frozenset(_ends_gift("coupons.gifts.end → coupons.gifts._ending")): _ITS_GIFT,
    frozenset(
        _of("coupons.gifts.give", "Gift is new")
        | _of("coupons.gifts.give → coupons.gifts._sent", "Coupon rev = ?")
    ): "a coupon counts its gifts, and the next one's code follows from their number",
    frozenset(
        _of("coupons.using.bring_back → coupons.using._step", "Lock rev = ?", "Lock state = redeemed")
        | _of("coupons.using._step → coupons.using._stepped", "Coupon order_ref = ?")
    ): "an order's lock and its coupons change in one transaction, so each says what the other does",
    frozenset(
        _of("coupons.merging._coupons → coupons.merging._moved", "Coupon rev = ?", "Coupon is new")
    ): "what is with the other already has changed the row that it left",
    frozenset(
        _of("coupons.merging.hand_over → coupons.merging._packs", "Pack sharer_id = ?", "Sharing exists")
    ): "a pack and its place in its sharer's list go over in one transaction",
}

# --- commissions --------------------------------------------------------------------------------------------

_TOLD_ONCE = (
    "the marker of a fact stands in one transaction with what the fact makes, and the row is made by no other"
)
_NEXT_VERSION = "a rate and its version of that number are written together, and no number is said twice"
_SAY, _OFF = (f"commissions.rates.{how} → commissions.rates._next" for how in ("say", "switch_off"))
ENOUGH |= {
    frozenset(
        _of("commissions.months.count_settlement → commissions.runs.settled", "RunLine is new")
        | _of("core.facts._marker", "Marker is new")
    ): _TOLD_ONCE,
    frozenset(_of(_SAY, "Rate is new", "RateSaid is new")): _NEXT_VERSION,
    frozenset(_of(_SAY, "Rate rev = ?", "RateSaid is new")): _NEXT_VERSION,
    frozenset(_of(_OFF, "Rate rev = ?", "RateSaid is new")): _NEXT_VERSION,
    frozenset(
        _of("commissions.service._clawed_back → commissions.service.updated", "Commission rev = ?")
        | _of("core.ledger.reversal", "Entry is new")
    ): "what is clawed back is posted under the number of the clawback, which the commission counts",
    frozenset(
        _of("commissions.merging._handed → commissions.service.updated", "Commission rev = ?")
        | _of("commissions.merging._commissions → sharing.orders.renamed", "OrderAttribution rev = ?")
    ): "a commission goes over in one transaction with whose order it is",
}

# --- points -------------------------------------------------------------------------------------------------

_RISES = "points.levels.level_up → points.levels"
ENOUGH |= {
    frozenset(
        _of(f"{_RISES}._moved", "MemberLevel is new", "MemberLevel rev = ?")
        | _of(f"{_RISES}._gifts", "LevelGift is new")
    ): "who rises writes the level as it was read, and what each level owes is owed under its number",
    frozenset(
        _of("points.levels.give_level_gift", "LevelGift state = due")
        | _of("core.ledger.posted", "Entry is new")
    ): "a gift is given in one transaction with its entry, whose cause is the level",
}

# --- sharing ------------------------------------------------------------------------------------------------

_PAST = "a binding changes in one transaction with its past, whose key carries the revision that it had"
ENOUGH |= {
    frozenset(
        _of("sharing.attribution.bring → sharing.attribution._put", "Binding rev = ?")
        | _of("sharing.attribution.left → sharing.attribution._past", "Past is new")
    ): _PAST,
    frozenset(
        _of("sharing.attribution.move → sharing.attribution._put", "Binding rev = ?")
        | _of("sharing.attribution.move → sharing.attribution._past", "Past is new")
    ): _PAST,
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
    "groupbuys.settling._taking_over → orders.service.cancelled: Order prepay_id = ?": _BEGUN,
    "groupbuys.ending._letting_go → orders.service.cancelled: Order prepay_id = ?": _BEGUN,
    "orders.service._asked_in_vain → orders.service.seen_twice: Refund state = done": (
        "nothing leaves this state, so what was read is what is there"
    ),
    "orders.service.confirm_given → orders.service.confirmed: Refund state in due or sent": (
        "the same write asks for `state = due` besides"
    ),
    "orders.giving._returned → orders.service.owed_back: Refund is new": (
        "the payment stops being a wrong amount in the same transaction, which happens once"
    ),
    "orders.byhand._given_back → orders.service.owed_back: Refund is new": (
        "a person gives a wrong amount back: in the same transaction it stops being stuck, which happens once"
    ),
    "groupbuys.service._opening → groupbuys.holding.stock_taken: Stock starts_at <= ?": _OF_THE_WINDOW,
    "groupbuys.service._opening → groupbuys.holding.stock_taken: Stock ends_at > ?": _OF_THE_WINDOW,
    "groupbuys.service._join → groupbuys.service._joining: Group expires_at > ?": (
        "a rule of business: a group's end never moves, so the look before the write asks the same of one clock"
    ),
    "groupbuys.service._join → groupbuys.service._joining: Group state = open": (
        "a rule of business: who holds a seat in a group that is over has it until the hold ends, and pays late"
    ),
    "groupbuys.closing._again → groupbuys.closing._unless_moved: Campaign due_shard = ?": _STUCK_NOW,
    "groupbuys.closing._told → groupbuys.closing._unless_moved: Campaign due_shard = ?": _STUCK_NOW,
    "orders.byhand.unlist: Payment due_shard = ?": (
        "an order that is over waits for nobody, wherever a person has put it meanwhile"
    ),
    "orders.service.send_refund: Refund due_shard = ?": (
        "a refund that was handed to a person meanwhile is due at another time besides, or in that second"
    ),
    "groupbuys.settling._confirming → orders.service.taken: Order member_id = ?": _MERGED,
    "groupbuys.settling._late → orders.service.taken: Order member_id = ?": _MERGED,
    "groupbuys.settling._taking_over → orders.service.taken: Order member_id = ?": _MERGED,
    "groupbuys.ending._refunds: Order member_id = ?": _MERGED,
    "groupbuys.ending._refunding → groupbuys.ending._refunds: Order member_id = ?": (
        "a seat goes over in one transaction with its order, and the same write asks for this member's seat"
    ),
    "groupbuys.merging._moving → orders.service.handed_over: Order rev = ?": (
        "one meeting alone knows a merge, and overtakes with it; races/test_merging_rooms.py has it overtaken"
    ),
    "core.facts._answer: Letter exists": "a letter that another has answered and taken away is to be away",
    "groupbuys.service._open → groupbuys.service._opening: Group is new": _FRESH,
    "groupbuys.service._open → groupbuys.service._opening: Seat is new": _FRESH,
}

# --- orders and group-buys ----------------------------------------------------------------------------------

_PARTS = "groupbuys.merging._moving → groupbuys.merging._parts"
ENOUGH |= {
    frozenset(_refunding("orders.ordinary.refund") | _REFUND_KEY): _ONE_REFUND,
    frozenset(
        _of(_PARTS, "Part is new", "Part rev = ?")
        | _of("groupbuys.merging._moving → groupbuys.merging._seat_moved", "Seat is new")
    ): "who takes a seat has more in their part of the campaign's limits, written with it",
}
REASONS |= {
    f"{_PARTS}: Part order_id = ?": (
        "an unpaid order is the newest of its member's part as long as it is unpaid, and the same transaction asks "
        "that nothing of the order has changed"
    ),
    "orders.ordinary.made: Lines is new": (
        "an order and its lines are made in one transaction, which asks that the order is new, and both stay"
    ),
    "orders.ordinary.retold: Lines rev = ?": (
        "the lines and what the order says of them are written in one transaction, so both are what was told last"
    ),
    "orders.ordinary.release → orders.service.cancelled: Order no prepay_id": (
        "the mall begins its payments itself, so nothing is begun here of an ordinary order"
    ),
    "orders.ordinary.settle → orders.service.taken: Order member_id = ?": (
        "nothing else of the member's is taken with an ordinary order: paid, it is whose it is by then"
    ),
}

# --- core ---------------------------------------------------------------------------------------------------

_AS_READ = "its cause names the revision of the account, and the same transaction asks for that"
REASONS |= {
    "core.ledger.handed_over: Entry is new": _AS_READ,
    "core.ledger._closing: Entry is new": (
        "it is looked for under this cause; who posts it meanwhile closes the month, and the same transaction asks "
        "that the account is as it was read"
    ),
}

_ALL_OF_IT = "the same write asks besides that nothing of the row has changed"
_TOLD = "one function notes what is told by whoever pays, and it is noticed where the mall does"
_UNDER_WAY = "withdrawals.sending._under_way → withdrawals.service.moved"
_DIFFERS = "withdrawals.sending.told_by_wechat → withdrawals.sending._differs"
_WITH_ITS_ORDER = "the same transaction asks that nothing of the order has changed, and this changes with it"
_SEAT_MOVED = "groupbuys.merging._moving → groupbuys.merging._seat_moved"
_HEADED = "groupbuys.merging._moving → groupbuys.merging._headed"
REASONS |= {
    **_because(
        _WITH_ITS_ORDER,
        _of(_SEAT_MOVED, "Seat rev = ?")
        | _of(_HEADED, "Group head_id = ?", "Group state = open", "Group state = opening"),
    ),
    **_because(
        _ALL_OF_IT,
        _of(_UNDER_WAY, "Withdrawal state = transferring", "Withdrawal state = awaiting_confirmation"),
    ),
    **_because(
        _TOLD, _of(_DIFFERS, "Withdrawal no told", "Withdrawal told <> ?", "Withdrawal state = failed")
    ),
    "withdrawals.service.cancel: Withdrawal confirm_by > ?": "two who cancel at one moment write the same",
    "points.merging.hand_over → points.merging._badges: Award rev = ?": (
        "nothing of an award ever changes, and one that is taken away twice is away"
    ),
    **_because(
        "who is bound is registered in the same transaction, under a fresh id",
        _of("members.service.find_or_register → sharing.attribution.first_binding", "Binding is new")
        | _of("sharing.attribution.first_binding", "Binding is new"),
    ),
    "sharing.service.switch_off → sharing.service._off: Link state = on": (
        "a link that its sharer switches off twice is off; an operator's second line in the trail is noticed"
    ),
}

_ITS_TIME = "its time never moves, so the look before the write asks the same of one clock"
_ITS_PACK = "the same transaction asks that nothing of the pack has changed, and this changes with it"
_BEGINS_WITH_IT = (
    "the same transaction asks that {} is new, which stays for good, and nothing else begins this"
)
REASONS |= {
    **_because(
        _ITS_TIME,
        _of("coupons.codes.use → coupons.codes._used", "Code ends_at > ?")
        | _of("coupons.gifts.accept → coupons.gifts._accepting", "Gift ends_at > ?"),
    ),
    **_because(
        "the time of an unused coupon never moves, so the look before the write asks the same of one clock",
        _of("coupons.using.lock → coupons.using._locked", "Coupon starts_at <= ?", "Coupon ends_at > ?"),
    ),
    **_because(
        _ALL_OF_IT,
        _of("coupons.gifts.give → coupons.gifts._sent", "Coupon state = unused", "Coupon ends_at > ?")
        | _of("coupons.packs._taking → coupons.packs._one_less", "Pack state = open", "Pack ends_at > ?")
        | _of("coupons.using.redeem → coupons.using._step", "Lock state = locked")
        | _of("coupons.using.release → coupons.using._step", "Lock state = locked"),
    ),
    **_because(
        _ITS_PACK,
        _of("coupons.packs._taking → coupons.packs._unlocked", "Coupon state = waiting")
        | _of("coupons.packs.end_pack → coupons.packs._ending", "Coupon state = waiting"),
    ),
    **_because(
        _BEGINS_WITH_IT.format("the pack"),
        _of("coupons.packs._open → coupons.packs._opening", "Coupon is new", "Sharing is new"),
    ),
    **_because(
        _BEGINS_WITH_IT.format("the piece"),
        _of("coupons.packs._take → coupons.packs._taking", "Coupon is new"),
    ),
    **_because(
        "the same transaction asks that nothing of its coupon has changed, and a gift changes with it",
        _of("coupons.merging._coupons → coupons.merging._gift", "Gift state = open", "Gift giver_id = ?"),
    ),
    "coupons.merging._waiting → coupons.merging._moved: Coupon is new": (
        "what is with the other already has changed the row that it left, and the same write asks that it has not"
    ),
    "coupons.merging.hand_over → coupons.merging._packs: Sharing is new": (
        "a pack is in one list, and the same transaction asks that it is still in the one that it leaves"
    ),
    "coupons.templates.make: Terms is new": (
        "the first terms follow from the body, which stays that of its key: made twice, they are the same"
    ),
}

# --- rewards ------------------------------------------------------------------------------------------------

_RULE_AND_VERSION = "a rule and its version are written together, of the same number"
_LISTED = "rewards.merging.hand_over → rewards.merging._listed"
ENOUGH |= {
    frozenset(
        _of("rewards.service.make", "Rule is new", "Version is new")
        | _of("rewards.service.make → rewards.service._purse", "Purse is new")
    ): "a rule, its first version and its purse are written together",
    **{
        frozenset(
            _of(f"{change} → rewards.service._next", "Rule rev = ?", "Version is new")
        ): _RULE_AND_VERSION
        for change in ("rewards.service.edit", "rewards.service.switch")
    },
    frozenset(
        _of("rewards.merging._listed → rewards.merging._gone", "Listed rev = ?")
        | _of(_LISTED, "Grant rev = ?")
    ): "an entry of a list changes with its grant, and never alone",
}
_WITH_ITS_GRANT = (
    "an entry of a list is written with its grant, which the same transaction finds new, or as it was"
)
_WITH_ITS_COUNT = (
    "which tier stands on a count, and for the how-manieth time, the count says, which the same transaction finds "
    "as it was read"
)
REASONS |= {
    "rewards.granting._awarding → rewards.granting._payout: Listed is new": _WITH_ITS_GRANT,
    "rewards.granting._tier → rewards.granting._payout: Listed is new": _WITH_ITS_COUNT,
    "rewards.granting._tier → rewards.granting._payout: Grant is new": _WITH_ITS_COUNT,
    "rewards.granting._uncounted → rewards.granting._ended: Grant state = given": _WITH_ITS_COUNT,
    "rewards.granting._taking_back → rewards.granting._ended: Grant state = counted": (
        "what only counted goes back with one count less, which the same transaction finds as it was read"
    ),
    "rewards.granting._shrink → rewards.granting._shrinking: Listed exists": _WITH_ITS_GRANT,
    f"{_LISTED}: Listed is new": "whoever has put it there has taken it away here, where it is asked for",
    "rewards.merging._first → rewards.merging._gone: First rev = ?": "a first order that is noted never changes",
    "rewards.merging.hand_over → rewards.merging._counted: Day rev = ?": (
        "counts are added to whatever is there; it is of a count's tiers that nobody may reach one meanwhile"
    ),
}

# --- check-ins ----------------------------------------------------------------------------------------------

for _leaving in ("checkins.teams.leave", "checkins.leaving.erase → checkins.teams.leave"):
    ENOUGH[frozenset(_of(_leaving, "Part team_id = ?", "Mate exists"))] = (
        "a part and its place in a team change together"
    )
_NEWEST_TOO = (
    "who writes a month that was not there writes the newest that was as well, as it was read, or says in their "
    "part that it is the first of all"
)
_WITH_THE_PART = (
    "the same transaction asks for the part as it was read, and a place in a team changes with it"
)
REASONS |= {
    "checkins.marking.sent → checkins.marking._write: Month is new": _NEWEST_TOO,
    "checkins.merging._days → checkins.merging._month: Month is new": _NEWEST_TOO,
    "checkins.teams.found: Team is new": _FRESH,
    "checkins.teams.found → checkins.teams._mate: Mate is new": _FRESH,
    "checkins.teams.join → checkins.teams._mate: Mate is new": (
        "the same transaction asks that the member's part is in no team, and a place in one changes with it"
    ),
    "checkins.merging._part → checkins.merging._place: Mate exists": _WITH_THE_PART,
    "checkins.merging._part → checkins.merging._place: Mate is new": _WITH_THE_PART,
    "checkins.reminders.remind: Part due_shard = ?": _STUCK_NOW,
    "checkins.leaving.erase → checkins.reminders.choose: Part remind_at_minute exists": (
        "of a part without a reminder this takes nothing away; that it is no change is asked where a member says it"
    ),
}

# --- safety and uploads -------------------------------------------------------------------------------------

ENOUGH[
    frozenset(
        _of("safety.service.settle → safety.service._decision", "Check state = pending")
        | _of("safety.service.settle", "Check due_shard = ?")
    )
] = "what is decided is stuck no more"
_ARRIVES_ONCE = "an upload arrives once, and that this reaction to it has happened is written with it"
REASONS |= {
    **_because(
        _ARRIVES_ONCE,
        _of("safety.pictures.check → safety.service.asked", "Check is new", "Check state <> pending"),
    ),
    "safety.service._check → safety.service._send_picture: Trace is new": (
        "WeChat gives whatever it takes on a number of its own"
    ),
    "uploads.service.take: Content is new": (
        "a picture comes with its upload's arrival, which the same transaction asks not to have happened"
    ),
}
# --- members, notifications, sessions, wechat, operators, reconciling ---------------------------------------

ENOUGH |= {
    frozenset(
        _of("reconciling.service._work → reconciling.service._as_read", "Pass slices = ?")
        | _of("reconciling.service._work → reconciling.service._kept", "Slice is new")
    ): "what a slice has seen is written with its pass's step, which is made once",
    frozenset(
        _of(
            "members.leaving._nobody → members.leaving._turned",
            "Leaving state = erasing",
            "Leaving due_at = ?",
        )
        | _of(
            "members.leaving._nobody → members.leaving._member",
            "Member state = leaving",
            "Member no owed_rev",
            "Member owed_rev = ?",
        )
    ): "a member and their request are erased in one transaction, after which the mall is owed the news",
}
_MERGING = {
    *_of("members.merging._ended → members.merging._changed", "Member rev = ?"),
    *_of("members.merging._grown → members.merging._changed", "Member rev = ?"),
    *_of("members.merging.merge → members.merging._proof_moved", "Identity member_id = ?"),
}
_ONE_MERGE = "two members, what proves the one and the merge change in one transaction, each as it was read"
ENOUGH |= {
    frozenset(_MERGING | _of("members.merging.merge", "Merge is new")): _ONE_MERGE,
    frozenset(
        _MERGING | _of("members.service._became_one → members.merging.merge", "Merge is new")
    ): _ONE_MERGE,
}

_TIME_MOVES = "the write asks for the time besides, which every step from there moves"
_OWN_TURN = (
    "nobody else begins a message that a run is sending: given up, it counts as sent for good; who does so asks "
    "whose it is, and that is noticed"
)
REASONS |= {
    "members.service.find_or_register → members.service._register: Member is new": _FRESH,
    "members.leaving._close → members.leaving._turned: Leaving state = waiting": _TIME_MOVES,
    "members.leaving._waiting_on → members.leaving._turned: Leaving state = waiting": _TIME_MOVES,
    "members.leaving._waiting_on → members.leaving._member: Member leaving_at exists": (
        "it is there as long as the request waits: both come and go in one transaction"
    ),
    "members.leaving._waiting_on → members.leaving._member: Member state = leaving": (
        "a member is leaving as long as the request is closing, for which the same transaction asks"
    ),
    "members.leaving._erase → members.leaving._member: Member state = merged": (
        "nothing leaves this state, and only who is in it is somebody's former name"
    ),
    "members.leaving.hand_over: Leaving state = waiting": (
        "who has become another closes no door any more, so that their request goes on waiting, or is taken back"
    ),
    "notifications.merging.hand_over: Tap rev = ?": (
        "such a row goes over to nobody; whoever takes it away, it is away"
    ),
    "notifications.merging.hand_over → notifications.merging._handed: Notification is new": (
        "the line that it is a copy of goes in the same transaction, as it was read, so that it comes once"
    ),
    "notifications.sending._closed → notifications.sending._mine: Notification sender = ?": _OWN_TURN,
    "notifications.sending._kept → notifications.sending._mine: Notification sender = ?": _OWN_TURN,
    "notifications.watching.watch: Watch is new": (
        "the reaction's own marker is new in the same transaction, and outlives the group"
    ),
    "notifications.watching.look: Watch exists": "a watch that another has taken away is to be away",
}


NEVER_DELETED = {
    "groupbuys": ("Campaign", "Group", "Part", "Stock"),
    "orders": ("Order", "Difference"),
    "core": ("Account",),
    "points": ("Exchange", "ExchangeStock"),
    "coupons": ("Template", "Stock", "Plan", "Codes"),
    "rewards": ("Purse",),
    "checkins": ("Team",),
    "commissions": ("Brought", "Promoter"),
    "sharing": ("Binding", "Past"),
    "members": ("Member", "ProgramCount"),
    "operators": ("Audit",),
}
"""Of each room the kinds of rows that stay for good."""


_HOLDS_OF_NOTHING = ("no ", "not ", "is new")
"""How what is asked begins, where a row that is not there would do."""


def implied(term: Term, known: Iterable[Term]) -> bool:
    """Whether the row exists if another term of the same write holds: it compares what a missing row has not."""
    beside = [one for one in known if (one.site, one.kind) == (term.site, term.kind)]
    compared = (one.text for one in beside if " " in one.text and not one.text.startswith(_HOLDS_OF_NOTHING))
    # A row that is not there is another than anything.
    return term.text == "exists" and any(" <> " not in told for told in compared)


def _stays(term: Term) -> bool:
    return term.text == "exists" and term.kind in NEVER_DELETED.get(term.room, ())


def never_tried(term: Term, known: Iterable[Term]) -> bool:
    """Whether its reason needs no trial: it is implied, or about a row that is never deleted."""
    return implied(term, known) or _stays(term)


def together(known: Iterable[Term]) -> list[frozenset[Term]]:
    """Those of which one is enough, all of them."""
    there = set(known)
    return [several for several in together_of_all() if several <= there]


def together_of_all() -> list[frozenset[Term]]:
    """All the sets of which one term is enough."""
    return [frozenset(map(Term.parsed, several)) for several in ENOUGH]


def stale(known: Iterable[Term], rooms: Container[str]) -> list[str]:
    """Terms of these rooms of which there is a reason, and which nothing asks for any more."""
    left = set(REASONS).union(*ENOUGH) - set(map(str, known))
    return sorted(name for name in left if Term.parsed(name).room in rooms)


def why(term: Term) -> str | None:
    """Why it may stay."""
    for several, told in ENOUGH.items():
        if str(term) in several:
            return f"{told}: one of {len(several)} is enough (see below)"
    if _stays(term):
        return _NEVER_DELETED
    return REASONS.get(str(term))
