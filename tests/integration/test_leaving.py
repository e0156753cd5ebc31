"""Leaving: fifteen days to change one's mind, nothing open left behind, and then nothing says who a member was."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from chalicelib.checkins import service as marking
from chalicelib.checkins.marking import Said
from chalicelib.core import config, due, estates, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.core.errors import NotFound, Unauthorized
from chalicelib.coupons import gifts
from chalicelib.groupbuys import service as groupbuys
from chalicelib.members import leaving, merging, returning, routes
from chalicelib.members import service as members
from chalicelib.members.schemas import AskDeletion
from chalicelib.orders import service as orders
from chalicelib.points import service as points
from chalicelib.rewards import occurrences
from chalicelib.sessions import service as sessions
from chalicelib.sessions.routes import signed_in_answer
from chalicelib.withdrawals import leaving as payouts
from chalicelib.withdrawals import payees
from chalicelib.withdrawals import service as withdrawals
from chalicelib.withdrawals.schemas import TellPayee
from tests import checkins, coupons
from tests.factories import (
    NOW,
    OWNER,
    PROGRAM,
    a_call,
    a_link,
    a_member,
    a_proof,
    a_unionid,
    books,
    called,
    caught_up,
)
from tests.groupbuys import a_campaign, buying, open_paid_group, opened, pay, take
from tests.harness.direct import Direct
from tests.leaving import (
    CLOSED,
    ERASE_AT,
    Person,
    a_person,
    asked,
    erased,
    member_row,
    run,
    texts,
    the_row,
)
from tests.merging import FAIR, UNION, become_one, looked, sign_in, two_members
from tests.orders import paid
from tests.withdrawals import balance, earn, terms, withdraw

pytestmark = pytest.mark.usefixtures("direct")


def ask(member_id: str, *, now: int = NOW, **more: Any) -> tuple[int, dict[str, Any]]:
    reply = routes.ask_deletion(called(member_id, now=now), AskDeletion(**more))
    return reply.status, msgspec.to_builtins(reply.body)


def token_of(member_id: str, *, now: int = NOW) -> str:
    return members.token_for(members.show(member_id), program_id=PROGRAM, visitor="v", now=now)[0]


# --- asking -------------------------------------------------------------------------------------------------


def test_who_asks_has_fifteen_days_and_asking_again_changes_nothing() -> None:
    alice = a_member()

    first, again = ask(alice), ask(alice, now=NOW + DAY)

    assert first[0] == 201
    assert (first[1]["state"], first[1]["erase_at"], first[1]["obstacles"]) == ("leaving", ERASE_AT, [])
    assert (again[0], again[1]["erase_at"]) == (200, ERASE_AT)
    assert routes.show_deletion(called(alice)).erase_at == ERASE_AT


def test_a_sign_in_says_it_and_does_not_take_it_back() -> None:
    alice = a_member(proof=a_proof("alice"))
    asked(alice)

    member, new = members.find_or_register(proofs=[a_proof("alice")], program_id=PROGRAM, now=NOW + DAY)

    assert (member.member_id, member.leaving_at, new) == (alice, ERASE_AT, False)
    signed_in = sessions.SignedIn(member=member, new=new, visit=None, bound=False, visit_refused=None)
    answer = signed_in_answer(signed_in, a_call(), visitor="v", program_id=PROGRAM, wx_scene=None)
    assert answer.body.leaving_at == ERASE_AT
    assert the_row(alice).state == "waiting"


def test_who_takes_it_back_stays_however_often_they_say_it() -> None:
    alice = a_member()
    asked(alice)

    answers = [routes.take_deletion_back(called(alice)) for _ in range(2)]
    run(now=ERASE_AT)

    assert {answer.state for answer in answers} == {"active"}
    assert leaving.find(alice) is None
    assert members.show(alice).leaving_at is None
    assert members.show(alice).state == "active"


def an_open_group() -> str:
    alice = a_member()
    open_paid_group(a_campaign(), buying(alice))
    return alice


def an_unpaid_seat() -> str:
    alice = a_member()
    take(open_paid_group(a_campaign()), buying(alice))
    return alice


def a_paid_order() -> str:
    return paid().member_id


def a_withdrawal() -> str:
    alice = a_member(proof="external#alice")
    config.override(payout_gateways="sandbox manual mall")
    terms()
    earn(200_00, owner=alice)
    withdraw(200_00, owner=alice)
    return alice


def some_money() -> str:
    alice = a_member()
    earn(200_00, owner=alice)
    return alice


def frozen_points() -> str:
    alice = a_member()
    given = {"owner": alice, "book": points.POINTS, "now": NOW}
    table.transact(ledger.posted(amount=9, cause="c", reason="checkin", **given))  # type: ignore[arg-type]
    table.transact(ledger.frozen(amount=9, cause="o", reason="order", **given))  # type: ignore[arg-type]
    return alice


def owed_points() -> str:
    alice = a_member()
    given = {"owner": alice, "book": points.POINTS, "now": NOW}
    table.transact(ledger.posted(amount=9, cause="c", reason="checkin", **given))  # type: ignore[arg-type]
    table.transact(ledger.posted(amount=-9, cause="s", reason="spent", **given))  # type: ignore[arg-type]
    table.transact(ledger.reversal(cause="c", reason="refund", **given))  # type: ignore[arg-type]
    return alice


def a_locked_coupon() -> str:
    coupon = coupons.a_coupon()
    coupons.lock(coupon)
    return coupon.member_id


def an_open_gift() -> str:
    coupon = coupons.a_coupon(giftable=True)
    gifts.give(coupon.member_id, coupon.coupon_id, now=NOW)
    return coupon.member_id


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        (an_open_group, ["groups_open", "orders_open"]),
        (an_unpaid_seat, ["groups_open", "orders_open"]),
        (a_paid_order, ["orders_open"]),
        (a_withdrawal, ["withdrawals_open"]),
        (some_money, ["balance_left"]),
        (frozen_points, ["points_frozen"]),
        (owed_points, ["points_owed"]),
        (a_locked_coupon, ["coupons_locked"]),
        (an_open_gift, ["gifts_open"]),
    ],
)
def test_what_is_open_stands_in_the_way_and_is_named(given: Callable[[], str], codes: list[str]) -> None:
    alice = given()

    with pytest.raises(leaving.DeletionObstructed) as refused:
        asked(alice)

    assert [one["code"] for one in refused.value.details["obstacles"]] == codes
    assert [one.code for one in routes.show_deletion(called(alice)).obstacles] == codes
    assert leaving.find(alice) is None
    assert members.show(alice).leaving_at is None


def test_money_is_given_up_by_a_word_and_the_ledger_says_so() -> None:
    alice = some_money()

    status, body = ask(alice, forfeit=True)
    erased(alice)

    assert (status, body["obstacles"]) == (201, [])
    assert balance(alice) == (0, 0)
    entry = ledger.find(owner=alice, book="money", cause=payouts.FORFEITED)
    assert entry is not None
    assert (entry.amount, entry.reason) == (-200_00, payouts.FORFEITED)


def test_money_that_came_after_asking_is_not_taken_silently() -> None:
    alice = a_member()
    asked(alice)
    earn(200_00, owner=alice)

    run(now=ERASE_AT)

    answer = routes.show_deletion(called(alice, now=ERASE_AT))
    assert (the_row(alice).state, answer.erase_at) == ("waiting", ERASE_AT + DAY)
    assert [one.code for one in answer.postponed_by] == ["balance_left"]
    ask(alice, forfeit=True, now=ERASE_AT)
    erased(alice, now=ERASE_AT + DAY)
    assert balance(alice) == (0, 0)


# --- the doors close ----------------------------------------------------------------------------------------


def test_sessions_die_and_nobody_signs_in_while_a_member_is_erased() -> None:
    alice, token = a_member(proof=a_proof("alice")), ""
    asked(alice)
    token = token_of(alice, now=ERASE_AT - DAY)
    assert members.admit(token, ERASE_AT - 1).member_id == alice

    run(now=ERASE_AT)

    for proofs in ([a_proof("alice")], [a_proof("alice"), a_unionid("alice")]):
        with pytest.raises(members.MemberLeaving):
            members.find_or_register(proofs=proofs, program_id=PROGRAM, now=ERASE_AT + 1)
    with pytest.raises(Unauthorized):
        members.admit(token, ERASE_AT + 1)
    with pytest.raises(leaving.DeletionBegun):
        leaving.take_back(alice, now=ERASE_AT + 1)
    with pytest.raises(NotFound):
        members.edit(member_id=alice, nickname="late")
    with pytest.raises(NotFound):
        members.tag(alice, tags={"late"}, by=OWNER, now=ERASE_AT + 1)
    assert members.show(alice).identities == {a_proof("alice")}


def test_what_came_through_the_doors_just_before_opens_them_again() -> None:
    alice, group = a_member(proof=a_proof("alice")), open_paid_group(a_campaign(ends_at=NOW + 90 * DAY))
    asked(alice)
    token = token_of(alice, now=ERASE_AT - 1)
    run(now=ERASE_AT)

    order = groupbuys.join(group_id=group.group_id, buying=buying(alice), now=NOW).order
    run(now=ERASE_AT + CLOSED)

    row, now = the_row(alice), ERASE_AT + CLOSED + 1
    assert (row.state, row.erase_at) == ("waiting", ERASE_AT + CLOSED + DAY)
    assert [one["code"] for one in row.obstacles] == ["orders_open", "groups_open"][::-1]
    assert (members.show(alice).state, members.show(alice).leaving_at) == ("active", row.erase_at)
    assert members.admit(token, now).member_id == alice
    assert (
        members.find_or_register(proofs=[a_proof("alice")], program_id=PROGRAM, now=now)[0].state == "active"
    )
    orders.cancel(order, now=now)
    erased(alice, now=row.erase_at)


def test_the_last_question_is_not_asked_before_the_doors_are_closed_for_a_while() -> None:
    alice = a_member()
    asked(alice)

    for at in (ERASE_AT - 1, ERASE_AT, ERASE_AT + CLOSED - 1):
        run(now=at)

    assert the_row(alice).state == "closing"
    assert members.show(alice).state == "leaving"


def test_a_blocked_member_who_waits_again_is_still_blocked() -> None:
    alice = a_member(proof=a_proof("alice"))
    asked(alice)
    members.block(member_id=alice, reason="rude", by=OWNER, now=NOW)
    run(now=ERASE_AT)
    earn(1_00, owner=alice)
    run(now=ERASE_AT + CLOSED)

    assert (the_row(alice).state, members.show(alice).state) == ("waiting", "blocked")
    with pytest.raises(members.MemberBlocked):
        members.admit(token_of(alice, now=ERASE_AT), ERASE_AT + CLOSED + 1)


# --- erased -------------------------------------------------------------------------------------------------


@pytest.fixture
def people(direct: Direct) -> tuple[Person, Person]:
    """Two of whom as much is known, in one challenge."""
    config.override(payout_gateways="sandbox manual mall")
    challenge = checkins.a_challenge(notes=True, ends_at=NOW + 90 * DAY)
    alice = a_person("alice", id_number="11010519491231002X", challenge=challenge)
    return alice, a_person("bobby", id_number="440524188001010014", challenge=challenge)


def test_after_erasure_nothing_anywhere_says_who_a_member_was(
    direct: Direct, people: tuple[Person, Person]
) -> None:
    alice, bob = people
    caught_up(now=NOW + DAY)
    before = texts(direct)
    told_in_full = [word for word in alice.words if word in before]
    assert len(told_in_full) == 10  # what is sealed or hashed was never there: name, number, account, device
    of_bob = sorted(str(row) for row in books(direct).rows if bob.member_id in str(row))

    asked(alice.member_id)
    erased(alice.member_id)
    caught_up(now=ERASE_AT)

    after = texts(direct)
    assert [word for word in alice.words if word in after] == []
    assert table.owned(f"{alice.member_id}#uploads", limit=10).rows == []
    assert "came_" not in str(books(direct).of("member", member_id=alice.member_id))
    assert sorted(str(row) for row in books(direct).rows if bob.member_id in str(row)) == of_bob
    assert [word for word in bob.words if word in before] == [word for word in bob.words if word in after]
    assert books(direct).of("identity", member_id=alice.member_id) == []
    assert books(direct).of("binding", member_id=alice.member_id)[0].get("places") is None
    assert {row["state"] for row in books(direct).of("link", sharer_id=alice.member_id)} == {"off"}


def test_erasure_covers_who_was_merged_into_the_member(direct: Direct) -> None:
    config.override(payout_gateways="sandbox manual mall")
    challenge = checkins.a_challenge(notes=True, ends_at=NOW + 90 * DAY)
    alice = a_person("alice", id_number="11010519491231002X", challenge=challenge, unionid=False)
    other = a_member(proof=FAIR)
    marking.check_in(
        campaign_id=challenge.campaign_id, member_id=other, said=Said(text="another-word"), now=NOW
    )
    sign_in(FAIR, UNION)
    assert sign_in(alice.proofs[0], UNION).member_id == other
    looked(now=NOW + merging.LOOKS_S[0])
    caught_up(now=NOW + DAY)
    assert "alice-says" in texts(direct)  # a note of a day on which both said something is under the old id

    told = msgspec.to_builtins(routes.export_me(called(other)))["formerly"][alice.member_id]
    assert told["checkins"]["notes"]["items"][0]["text"] == "alice-says"
    assert told["withdrawals"]["payee"]["number_shown"] == "****002X"

    asked(other)
    erased(other)
    caught_up(now=ERASE_AT)

    after = texts(direct)
    assert [word for word in [*alice.words, "another-word"] if word in after] == []
    assert "came_" not in str(books(direct).of("member"))
    assert books(direct).of("payee") == []
    assert not any(row.get("places") for row in books(direct).of("binding"))


def test_a_seat_that_waits_under_a_former_id_stands_in_the_way() -> None:
    two, campaign = two_members(), a_campaign(sizes={3: 8900})
    group = open_paid_group(campaign, buying(two.other))
    pay(take(group, buying(two.one)))
    become_one(two)

    with pytest.raises(leaving.DeletionObstructed) as refused:
        asked(two.other)

    named = [one["details"] for one in refused.value.details["obstacles"] if one["code"] == "orders_open"]
    assert [one["n"] for one in named] == [1, 1]


def test_the_id_stays_as_a_name_that_means_nobody(direct: Direct, people: tuple[Person, Person]) -> None:
    alice = people[0].member_id
    asked(alice)
    erased(alice)

    assert member_row(alice).state == "erased"
    assert member_row(alice).nickname is None
    shown = members.profile(alice, now=ERASE_AT + DAY)
    assert shown is not None
    assert (shown.nickname, shown.active) == (None, False)
    assert members.known([alice]) == set()
    assert members.external_ids(alice) == []
    assert [entry.amount for entry in ledger.entries(owner=alice, book="money", limit=9).rows] != []


def test_whom_money_went_to_is_forgotten_in_a_month_and_the_tax_book_in_ten_years(
    direct: Direct, people: tuple[Person, Person]
) -> None:
    alice, bob = (one.member_id for one in people)
    asked(alice)
    now = erased(alice).erased_at or 0

    assert payees.find(alice) is None
    (row,) = withdrawals.of_member(alice, limit=9, after=None).rows
    assert row.account is not None
    due.run(job=payouts.JOB, worker="w", now=now + payouts.ACCOUNTS_STAY_S, seconds=30)
    (row,) = withdrawals.of_member(alice, limit=9, after=None).rows
    assert (row.account, row.payee, row.shown) == (None, None, None)
    assert row.amount_fen == 500_00
    (month,) = books(direct).of("withdrawal_month", member_id=alice)
    assert month["ttl"] == now + payouts.TAX_BOOK_STAYS_S
    assert month["payee"]
    assert books(direct)["payee_forgetting"] == 0
    (of_bob,) = withdrawals.of_member(bob, limit=9, after=None).rows
    assert of_bob.account is not None


def test_a_withdrawal_that_is_open_again_keeps_its_account_until_it_ends(
    direct: Direct, people: tuple[Person, Person]
) -> None:
    alice = people[0].member_id
    asked(alice)
    at = (erased(alice).erased_at or 0) + payouts.ACCOUNTS_STAY_S
    earn(200_00, owner=alice)
    told = TellPayee(real_name="N", id_number="11010519491231002X")
    payees.tell(told, member_id=alice, nonce=b"n" * 12, now=at)
    row = withdraw(200_00, method="bank", owner=alice, now=at)

    due.run(job=payouts.JOB, worker="w", now=at, seconds=30)

    kept = {one.withdrawal_id: one.account for one in withdrawals.of_member(alice, limit=9, after=None).rows}
    assert [wid for wid, account in kept.items() if account] == [row.withdrawal_id]
    withdrawals.reject(row.withdrawal_id, reason="nobody", by=OWNER, now=at)
    due.run(job=payouts.JOB, worker="w", now=at + payouts.AGAIN_S, seconds=30)
    assert [one.account for one in withdrawals.of_member(alice, limit=9, after=None).rows] == [None, None]
    assert books(direct)["payee_forgetting"] == 0


def test_the_mall_is_told_once(direct: Direct) -> None:
    config.override(mall_webhook_url="https://mall.example/hook")
    alice = a_member()
    asked(alice)
    erased(alice)
    caught_up(now=ERASE_AT)
    caught_up(now=ERASE_AT + DAY)

    (told,) = [row for row in books(direct).of("delivery") if row["type"] == "member.deleted"]
    assert f'"data": {{"member_id": "{alice}"}}' in told["body"]


# --- coming back --------------------------------------------------------------------------------------------


def test_who_comes_back_is_another_member_and_no_new_one(direct: Direct) -> None:
    alice = a_member(proof=a_proof("alice"))
    asked(alice)
    now = (erased(alice).erased_at or 0) + 1

    member, new = members.find_or_register(
        proofs=[a_unionid("alice"), a_proof("alice")],
        program_id=PROGRAM,
        now=now,
        also=lambda _: pytest.fail("nobody is bound as a new member"),
    )

    assert member.member_id != alice
    assert (new, member.registered_at, member.returned) == (False, NOW, True)
    assert "due_ref" not in str(books(direct).of("member", member_id=member.member_id))


def test_whose_first_order_was_before_they_left_has_no_first_one_again() -> None:
    proof = "external#alice"
    alice = a_member(proof=proof)
    asked(alice)
    now = (erased(alice).erased_at or 0) + 1
    first = paid(who="bob")

    back = paid(who="alice")

    assert members.show(back.member_id).returned
    assert now > back.created_at
    assert (occurrences.is_first(first), occurrences.is_first(back)) == (True, False)
    assert not occurrences.would_be_first(back)


def test_after_a_year_nobody_is_known_by_it_any_more() -> None:
    alice = a_member(proof=a_proof("alice"))
    asked(alice)
    at = (erased(alice).erased_at or 0) + returning.KEPT_S

    member, new = members.find_or_register(proofs=[a_proof("alice")], program_id=PROGRAM, now=at)

    assert (new, member.registered_at) == (True, at)
    assert not member.returned


@pytest.mark.parametrize(("reason", "comes_back"), [("rude", False), (leaving.DELETED, True)])
def test_who_was_blocked_is_not_let_in_by_leaving_first(reason: str, *, comes_back: bool) -> None:
    alice = a_member(proof=a_proof("alice"))
    members.block(member_id=alice, reason=reason, by=OWNER, now=NOW)
    leaving.at_once(alice, now=NOW)
    now = erased(alice, now=NOW).erased_at or 0

    try:
        back = members.find_or_register(proofs=[a_proof("alice")], program_id=PROGRAM, now=now)[0]
    except members.MemberBlocked:
        assert not comes_back
    else:
        assert (comes_back, back.state) == (True, "active")


# --- the mall's word ----------------------------------------------------------------------------------------


def test_the_malls_word_is_carried_out_at_once_also_for_who_had_asked_before(direct: Direct) -> None:
    early, late = a_member(), a_member()
    asked(early)
    for member_id in (early, late, late):
        leaving.at_once(member_id, now=NOW + DAY)

    assert members.show(early).leaving_at == NOW + DAY
    run(now=NOW + DAY)
    run(now=NOW + DAY + CLOSED)

    assert {the_row(one).state for one in (early, late)} == {"erased"}
    with pytest.raises(NotFound):
        leaving.at_once("mbr_nobody", now=NOW)


def test_the_malls_word_gives_up_nobodys_money() -> None:
    alice = some_money()
    leaving.at_once(alice, now=NOW)

    run(now=NOW)

    assert (the_row(alice).state, balance(alice)) == ("waiting", (200_00, 0))


# --- what is told -------------------------------------------------------------------------------------------


def test_all_that_is_kept_is_told_by_room_and_secrets_are_masked(people: tuple[Person, Person]) -> None:
    alice, bob = people
    seated = opened(a_campaign(), buying(alice.member_id))
    pay(seated.order)

    answer = msgspec.to_builtins(routes.export_me(called(alice.member_id)))

    rooms, text = answer["rooms"], str(answer)
    assert {"members", "sharing", "orders", "groupbuys", "coupons", "checkins", "points", "rewards"} < set(
        rooms
    )
    assert {"commissions", "withdrawals", "operators"} < set(rooms)
    assert set(rooms["members"]["member"]["identities"]) == set(alice.proofs)
    assert rooms["orders"]["orders"]["items"][0]["order_id"] == seated.order.order_id
    assert rooms["checkins"]["notes"]["items"][0]["text"] == "alice-says"
    assert rooms["withdrawals"]["withdrawals"]["items"][0]["shown"] == "****0099"
    assert rooms["withdrawals"]["payee"]["number_shown"] == "****002X"
    assert rooms["commissions"]["money"]["balance"] == 0
    assert not [word for word in ("alice-real-name", "11010519491231002X", "6222-alice") if word in text]
    assert "sealed" not in text
    assert not [word for word in bob.words if word in text]
    assert not {"rev", "due_shard", "pk"} & set(rooms["members"]["member"])
    assert answer["now"] == NOW


def test_a_long_list_is_cut_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    alice = a_member()
    for _ in range(3):
        a_link(sharer_id=alice)
    monkeypatch.setattr(estates, "TOLD_AT_MOST", 2)

    links = estates.exported(alice, now=NOW)["sharing"]["links"]

    assert (len(links["items"]), links["truncated"]) == (2, True)


def test_nothing_is_kept_in_mind_of_somebody_erased() -> None:
    alice = a_member()
    asked(alice)
    members.edit(member_id=alice, nickname="Alice")
    assert members.profile(alice, now=ERASE_AT) is not None
    erased(alice)

    nobody = members.Profile(member_id=alice, nickname=None, avatar=None, active=False)
    assert members.profile(alice, now=ERASE_AT + CLOSED) == nobody
