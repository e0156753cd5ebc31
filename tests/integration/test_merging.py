"""Two members who prove to be one person become one (A3): whom, when not, and what acts as whom afterwards."""

import json
from collections.abc import Iterator

import pytest

from chalicelib.core import config, due, estates
from chalicelib.core.clock import DAY, HOUR
from chalicelib.members import admin, merging
from chalicelib.members import service as members
from chalicelib.members.service import MemberBlocked
from chalicelib.support import service as support
from infra.local.clients import Store
from tests.factories import NOW, OWNER, a_call, a_member, a_proof, a_unionid, only
from tests.harness.rows import rows
from tests.merging import FAIR, HOME, UNION, become_one, looked, sign_in, two_members
from tests.uploads import sent

pytestmark = pytest.mark.usefixtures("direct")


def token_of(member_id: str) -> str:
    return members.token_for(members.show(member_id), program_id="demo", visitor="a-visitor", now=NOW)[0]


def test_the_openids_member_becomes_the_unionids_and_all_their_proofs_prove_one() -> None:
    two = two_members()

    assert sign_in(HOME, UNION).member_id == two.other

    assert {sign_in(HOME).member_id, sign_in(FAIR).member_id, sign_in(UNION).member_id} == {two.other}
    assert members.show(two.other).identities == {HOME, FAIR, UNION}
    before = members.show(two.one)
    assert (before.state, before.merged_into, before.merged_at) == ("merged", two.other, NOW)
    assert not before.identities


def test_it_happens_once_however_often_they_sign_in(store: Store) -> None:
    two = two_members()
    become_one(two)
    before = rows(store.client, "truth")

    assert [sign_in(HOME, UNION).member_id for _ in range(2)] == [two.other] * 2

    assert rows(store.client, "truth") == before


def test_the_one_who_stays_takes_over_what_they_had_not_told_of_themselves() -> None:
    two = two_members()
    picture = sent(two.one)
    members.edit(member_id=two.one, nickname="Bobby", avatar=picture)
    members.edit(member_id=two.other, nickname="Bob")
    members.tag(two.one, tags={"vip"}, by=OWNER, now=NOW)

    sign_in(HOME, UNION)

    told = members.show(two.other)
    assert (told.nickname, told.avatar, told.tags) == ("Bob", picture, {"vip"})
    shown = members.profile(two.one, now=NOW)
    assert shown is not None
    assert (shown.nickname, shown.active) == ("Bob", True)


@pytest.mark.parametrize("order", [(HOME, UNION), (UNION, HOME)])
def test_two_people_on_one_phone_stay_two(store: Store, order: tuple[str, str]) -> None:
    alice = sign_in(HOME, a_unionid("alice")).member_id
    bob = sign_in(FAIR, UNION).member_id
    before = rows(store.client, "truth")

    first = alice if order[0] == HOME else bob
    assert sign_in(*order).member_id == first
    assert rows(store.client, "truth") == before


def test_two_accounts_of_the_mall_stay_two_and_one_goes_over(store: Store) -> None:
    one = sign_in("external#m-1", HOME).member_id
    sign_in("external#m-2", FAIR, UNION)
    before = rows(store.client, "truth")
    assert sign_in(HOME, UNION).member_id == one
    assert rows(store.client, "truth") == before


def test_an_id_of_the_mall_goes_over_with_the_member_it_names() -> None:
    one = sign_in("external#m-1", HOME).member_id
    other = sign_in(FAIR, UNION).member_id

    assert sign_in(HOME, UNION).member_id == other

    assert members.external_ids(one) == members.external_ids(other) == ["m-1"]
    assert sign_in("external#m-1").member_id == other


def test_the_malls_word_for_an_openid_alone_merges_nobody() -> None:
    mall, phone = sign_in("external#m-1").member_id, sign_in(HOME).member_id

    assert sign_in("external#m-1", HOME).member_id == mall
    assert sign_in(HOME).member_id == phone


def test_nobody_becomes_who_is_blocked_and_they_are_refused() -> None:
    two = two_members()
    members.block(member_id=two.other, reason="fraud", by=OWNER, now=NOW)

    with pytest.raises(MemberBlocked):
        sign_in(HOME, UNION)

    assert members.show(two.one).state == "active"


def test_who_is_blocked_stays_so_as_another() -> None:
    two = two_members()
    members.block(member_id=two.one, reason="fraud", by=OWNER, now=NOW)

    with pytest.raises(MemberBlocked):
        sign_in(HOME, UNION)
    with pytest.raises(MemberBlocked):
        sign_in(FAIR)

    there = members.show(two.other)
    assert (there.state, there.blocked_because) == ("blocked", "fraud")
    for member_id in (two.one, two.other):
        with pytest.raises(MemberBlocked):
            members.admit(token_of(member_id), NOW)
    members.unblock(member_id=two.one, reason="a mistake", by=OWNER, now=NOW)
    assert members.admit(token_of(two.one), NOW).member_id == two.other


def test_a_session_from_before_is_the_other_members_within_twenty_seconds() -> None:
    two = two_members()
    token = token_of(two.one)
    assert members.admit(token, NOW).member_id == two.one

    merging.merge(merging.Pair(member=members.show(two.one), into=members.show(two.other)), now=NOW)

    assert members.admit(token, NOW + members.BLOCKED_FRESH_FOR_S).member_id == two.other


def test_blocking_who_was_merged_blocks_whom_they_became() -> None:
    two = two_members()
    become_one(two)

    members.block(member_id=two.one, reason="fraud", by=OWNER, now=NOW)

    assert (members.show(two.one).state, members.show(two.other).state) == ("merged", "blocked")


def test_who_became_one_who_became_another_is_that_one() -> None:
    ann, bob, cid = (a_member(proof=a_proof(name)) for name in ("ann", "ben", "cid"))
    for one, into in ((ann, bob), (bob, cid)):
        merging.merge(merging.Pair(member=members.show(one), into=members.show(into)), now=NOW)

    assert members.survivor(ann).member_id == cid
    assert members.admit(token_of(ann), NOW).member_id == cid
    with pytest.raises(merging.Changed):
        merging.pair({a_proof("cid"): cid, UNION: ann})


# --- what the rooms have ------------------------------------------------------------------------------------


@pytest.fixture
def rooms(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[tuple[str, str, int]]]]:
    """Two rooms, of which the first has three things, and what they were asked."""
    asked: dict[str, list[tuple[str, str, int]]] = {"shelf": [], "cellar": []}

    def shelf(member_id: str, into: str, now: int) -> bool:
        asked["shelf"].append((member_id, into, now))
        return len(asked["shelf"]) <= 3

    def cellar(member_id: str, into: str, now: int) -> bool:
        asked["cellar"].append((member_id, into, now))
        return False

    monkeypatch.setattr(estates, "_hand_overs", {"shelf": shelf, "cellar": cellar})
    yield asked


Asked = dict[str, list[tuple[str, str, int]]]


def test_every_room_is_asked_until_it_has_nothing_and_again_later(rooms: Asked, store: Store) -> None:
    two = two_members()
    become_one(two)
    assert (len(rooms["shelf"]), rooms["cellar"]) == (4, [(two.one, two.other, NOW + 30)])

    looks = (HOUR, DAY, 8 * DAY, 40 * DAY, 120 * DAY, 365 * DAY)
    for at in looks:
        assert looked(now=NOW + at - 1).handled == 0
        assert looked(now=NOW + at).handled == 1

    assert [asked[2] - NOW for asked in rooms["cellar"]] == [30, *looks]
    row = only(store.client, "merge")
    assert (row["state"], "due_at" in row) == ("done", False)


def test_a_room_that_fails_holds_up_no_other_and_is_asked_again(
    rooms: Asked, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    def broken(member_id: str, into: str, now: int) -> bool:
        raise ValueError("no luck")

    monkeypatch.setattr(estates, "_hand_overs", {"broken": broken, **estates.hand_overs()})
    two_members()
    sign_in(HOME, UNION)

    assert due.run(job=merging.JOB, worker="looking", now=NOW + 30, seconds=30).failed == 1

    row = only(store.client, "merge")
    assert (row["state"], row["look"], row["attempts"]) == ("moving", 0, 1)
    assert row["last_error"] == "NotHandedOver: broken: ValueError: no luck"
    assert len(rooms["cellar"]) == 1
    monkeypatch.setattr(estates, "_hand_overs", {"cellar": estates.hand_overs()["cellar"]})
    assert looked(now=NOW + HOUR).handled == 1


def test_a_room_with_very_much_goes_on_in_the_next_run(monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
    left = list(range(merging.STEPS_A_ROOM + 5))

    def much(member_id: str, into: str, now: int) -> bool:
        return bool(left and [left.pop()])

    monkeypatch.setattr(estates, "_hand_overs", {"much": much})
    become_one(two_members())
    assert (len(left), only(store.client, "merge")["look"]) == (5, 0)

    looked(now=NOW + 30)
    assert (len(left), only(store.client, "merge")["look"]) == (0, 1)


def test_the_mall_is_told_once(rooms: Asked, store: Store) -> None:
    config.override(mall_webhook_url="https://mall.example/hooks")
    two = two_members()
    become_one(two)
    looked(now=NOW + HOUR)

    told = [row for row in rows(store.client, "truth") if row.get("type") == "member.merged"]
    assert [json.loads(row["body"])["data"] for row in told] == [
        {"member_id": two.one, "into": two.other, "merged_at": NOW}
    ]


def test_operators_see_whom_a_member_became() -> None:
    two = two_members()
    become_one(two)

    shown = admin.show_member(a_call(operator=OWNER), two.one)

    assert (shown.state, shown.merged_into, shown.identities) == ("merged", two.other, [])
    found = admin.show_member(a_call(operator=OWNER), two.other)
    assert (found.merged_into, len(found.identities)) == (None, 3)


def test_two_merges_at_once_of_one_member_are_one(store: Store) -> None:
    two = two_members()
    pair = merging.Pair(member=members.show(two.one), into=members.show(two.other))
    merging.merge(pair, now=NOW)

    with pytest.raises(merging.Changed):
        merging.merge(pair, now=NOW + 1)

    assert only(store.client, "merge")["merged_at"] == NOW


def test_the_story_of_each_says_what_happened() -> None:
    two = two_members()
    become_one(two, now=NOW + HOUR)

    stories = [support.timeline(one, limit=9, before=None, now=NOW + DAY)[0] for one in (two.one, two.other)]

    told = [[(line.what, line.subject) for line in story if line.at == NOW + HOUR] for story in stories]
    assert told == [[("merged_into", two.other)], [("merged", two.one)]]
