"""Sharing: one input has one code, a visitor counts once an hour, and a member is bound once, by the policy."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core import cache, config, doors, ids, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.cursors import CursorInvalid
from chalicelib.core.errors import AppError, Busy, Invalid, NotFound
from chalicelib.members import service as members
from chalicelib.members.schemas import HandOver
from chalicelib.sharing import admin, attribution, models, policies, routes, rules, visits
from chalicelib.sharing import service as sharing
from chalicelib.sharing.models import Link
from chalicelib.sharing.schemas import EditCard, EditPolicy, EditTarget, OpenLink, TargetQuery
from infra.local.clients import Store
from tests.factories import (
    NOW,
    OWNER,
    TODAY,
    a_call,
    a_link,
    a_member,
    a_program,
    a_share,
    a_visit,
    an_opening,
    books,
    caught_up,
    only,
    reacted,
)
from tests.harness.rows import rows
from tests.harness.wire import Call, Params, wrapped
from tests.uploads import sent

pytestmark = pytest.mark.usefixtures("direct")

MIDNIGHT = NOW + 14 * HOUR
"""When 2 January begins in Shanghai."""
TOMORROW = "2026-01-02"


@pytest.fixture(autouse=True)
def emptied_store(store: Store) -> None:
    """Every test here stands on the embedded store."""


@pytest.fixture
def alice() -> str:
    """Somebody with a name who shares."""
    alice = a_member()
    members.edit(member_id=alice, nickname="Alice", avatar=sent(alice))
    return alice


def trail(store: Store, action: str) -> list[tuple[Any, Any]]:
    """Before and after of every such change, oldest first."""
    found = sorted(rows(store.client, "truth", kind="audit", action=action), key=lambda row: row["at"])
    return [
        (json.loads(row.get("before") or "null"), json.loads(row.get("after") or "null")) for row in found
    ]


def once_before(operation: str, do: Callable[[], object]) -> Any:
    """While it is worn, ``do`` is done just before the first call of this kind."""
    done: list[bool] = []

    def layer(below: Call, asked: str, params: Params) -> Params:
        if asked == operation and not done:
            done.append(True)
            do()
        return below(asked, params)

    return wrapped(table.client(), layer)


# --- links --------------------------------------------------------------------------------------------------


def test_the_same_input_has_the_same_code_and_any_other_input_another(alice: str) -> None:
    wanted = [
        a_share(target="tea"),
        a_share(target="cup"),
        a_share(target="tea", kind="page"),
        a_share(target="tea", channel="qr"),
        a_share(target="tea", placement="cart"),
    ]
    codes = [a_link(sharer_id=alice, wanted=one).code for one in wanted]
    bob = a_link(sharer_id=a_member(), wanted=wanted[0])

    assert len({*codes, bob.code}) == 6
    assert [a_link(sharer_id=alice, wanted=one).code for one in wanted] == codes
    assert [sharing.mint(sharer_id=alice, wanted=one, now=NOW)[1] for one in wanted] == [False] * 5


def test_a_batch_has_the_codes_that_single_links_have(alice: str) -> None:
    single = a_link(sharer_id=alice, wanted=a_share(target="tea"))
    wanted = [a_share(target=name) for name in ("cup", "tea", "pot", "cup")]

    batch = sharing.mint_all(sharer_id=alice, wanted=wanted, now=NOW)

    assert [link.target_id for link in batch] == ["cup", "tea", "pot", "cup"]
    assert (batch[1].code, batch[0].code) == (single.code, batch[3].code)
    assert a_link(sharer_id=alice, wanted=wanted[2]).code == batch[2].code


def test_what_cannot_be_shared_is_refused_and_names_the_field(store: Store, alice: str) -> None:
    for wanted, field in (
        (a_share(kind="rocket"), "target.kind"),
        (a_share(expires_at=NOW), "expires_at"),
    ):
        with pytest.raises(Invalid) as single:
            sharing.mint(sharer_id=alice, wanted=wanted, now=NOW)
        with pytest.raises(Invalid) as batch:
            sharing.mint_all(sharer_id=alice, wanted=[a_share(), wanted], now=NOW)
        assert single.value.details["field"] == batch.value.details["field"] == field
    assert books(store.client)["link"] == 0


def test_a_link_expires_and_minting_it_again_renews_it_under_its_code(alice: str) -> None:
    link = a_link(sharer_id=alice, wanted=a_share(target="tea", expires_at=NOW + 60))
    assert sharing.find_open(link.code, now=NOW + 59).code == link.code
    with pytest.raises(sharing.LinkExpired) as expired:
        sharing.find_open(link.code, now=NOW + 60)
    assert expired.value.details["expired_at"] == NOW + 60

    renewed = a_link(sharer_id=alice, wanted=a_share(target="tea"), now=NOW + 60)

    assert renewed.code == link.code and renewed.expires_at is None
    assert sharing.find_open(link.code, now=NOW + 60).code == link.code


def test_a_link_that_is_still_good_keeps_its_end(alice: str) -> None:
    a_link(sharer_id=alice, wanted=a_share(target="tea", expires_at=NOW + 60))

    again = a_link(sharer_id=alice, wanted=a_share(target="tea", expires_at=NOW + 999), now=NOW + 59)

    assert again.expires_at == NOW + 60


def test_a_link_switched_off_by_its_sharer_stays_off(alice: str) -> None:
    link = a_link(sharer_id=alice, wanted=a_share(target="tea"))
    sharing.find_open(link.code, now=NOW)

    for _ in range(2):
        assert sharing.switch_off(code=link.code, sharer_id=alice).state == "off"

    with pytest.raises(sharing.LinkOff):
        sharing.find_open(link.code, now=NOW)
    with pytest.raises(sharing.LinkOff):
        a_link(sharer_id=alice, wanted=a_share(target="tea"))
    (told,) = sharing.mint_all(sharer_id=alice, wanted=[a_share(target="tea")], now=NOW)
    assert told.state == "off"


def test_an_expired_link_that_is_off_is_not_renewed(alice: str) -> None:
    link = a_link(sharer_id=alice, wanted=a_share(target="tea", expires_at=NOW + 60))
    sharing.switch_off(code=link.code, sharer_id=alice)

    with pytest.raises(sharing.LinkOff):
        a_link(sharer_id=alice, wanted=a_share(target="tea"), now=NOW + 61)


def test_a_link_of_somebody_else_cannot_be_switched_off(alice: str) -> None:
    link = a_link(sharer_id=alice)

    for code in (link.code, "2222222222"):
        with pytest.raises(NotFound):
            sharing.switch_off(code=code, sharer_id=a_member())
    assert sharing.find_open(link.code, now=NOW).state == "on"


def test_a_link_of_somebody_else_that_is_off_answers_as_if_it_did_not_exist(alice: str) -> None:
    link = a_link(sharer_id=alice)
    sharing.switch_off(code=link.code, sharer_id=alice)

    with pytest.raises(NotFound):
        sharing.switch_off(code=link.code, sharer_id=a_member())


def test_a_link_switched_off_by_two_at_once_is_off_for_both(alice: str) -> None:
    link = a_link(sharer_id=alice)

    def off() -> Link:
        return sharing.switch_off(code=link.code, sharer_id=alice)

    with once_before("TransactWriteItems", off):
        assert off().state == "off"


def test_a_link_that_is_switched_off_while_it_is_renewed_is_refused(alice: str) -> None:
    link = a_link(sharer_id=alice, wanted=a_share(target="tea", expires_at=NOW + 60))

    def off() -> Link:
        return sharing.switch_off(code=link.code, sharer_id=alice)

    with once_before("UpdateItem", off), pytest.raises(sharing.LinkOff):
        a_link(sharer_id=alice, wanted=a_share(target="tea"), now=NOW + 61)


def test_an_operator_switches_anybodys_link_off_once_with_the_reason_in_the_trail(
    store: Store, alice: str
) -> None:
    link = a_link(sharer_id=alice)

    for reason in ("spam", "again"):
        sharing.switch_off_for(code=link.code, reason=reason, by=OWNER, now=NOW)

    assert trail(store, "link.off") == [({"state": "on"}, {"reason": "spam"})]
    with pytest.raises(NotFound):
        sharing.switch_off_for(code="2222222222", reason="spam", by=OWNER, now=NOW)


# --- codes that collide -------------------------------------------------------------------------------------


@pytest.fixture
def short_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt of every input gives the same code."""
    real = ids.keyed_code

    def keyed(*parts: str, key: bytes, length: int = 10) -> str:
        return "2222222222" if parts[-1] == "0" else real(*parts, key=key, length=length)

    monkeypatch.setattr(ids, "keyed_code", keyed)


@pytest.mark.usefixtures("short_codes")
def test_a_code_that_is_taken_is_passed_over_and_the_next_one_is_found_again(alice: str) -> None:
    tea = a_link(sharer_id=alice, wanted=a_share(target="tea"))
    cup = a_link(sharer_id=alice, wanted=a_share(target="cup"))

    assert [tea.code, tea.target_id, cup.target_id] == ["2222222222", "tea", "cup"]
    assert a_link(sharer_id=alice, wanted=a_share(target="cup")).code == cup.code != tea.code
    (batch,) = sharing.mint_all(sharer_id=alice, wanted=[a_share(target="cup")], now=NOW)
    assert batch.code == cup.code


@pytest.mark.usefixtures("short_codes")
def test_codes_that_collide_within_a_batch_are_two_links(alice: str) -> None:
    wanted = [a_share(target="tea"), a_share(target="cup")]

    tea, cup = sharing.mint_all(sharer_id=alice, wanted=wanted, now=NOW)

    assert (tea.target_id, cup.target_id) == ("tea", "cup")


# --- cards --------------------------------------------------------------------------------------------------


def save_card(title: str, **where: Any) -> None:
    sharing.save_card(EditCard(target_kind="product", title=title, **where), by=OWNER, now=NOW)


def card_of(link: Link, *, open_names: bool = True, lang: str = "en") -> Any:
    return sharing.card(link, now=NOW, lang=lang, open_names=open_names)


@pytest.mark.parametrize(
    ("channel", "placement", "title"),
    [
        ("wechat", "", "any"),
        ("wechat", "cart", "placed"),
        ("wechat", "home", "any"),
        ("qr", "", "by qr"),
        ("qr", "cart", "both"),
        ("qr", "home", "by qr"),
    ],
)
def test_the_most_particular_template_wins(alice: str, channel: str, placement: str, title: str) -> None:
    save_card("any")
    save_card("placed", placement="cart")
    save_card("by qr", channel="qr")
    save_card("both", channel="qr", placement="cart")

    link = a_link(sharer_id=alice, wanted=a_share(channel=channel, placement=placement))

    assert card_of(link).title == title


def test_a_template_whose_variable_is_unknown_is_skipped_for_the_next(alice: str) -> None:
    save_card("{title} at {price}", channel="wechat", tag="priced")
    save_card("{nickname} found this", tag="plain")
    link = a_link(sharer_id=alice, wanted=a_share(target="tea"))
    before = card_of(link)

    tea = EditTarget(kind="product", id="tea", title="Jasmine tea", price_fen=8905)
    sharing.save_target(tea, by=OWNER, now=NOW)

    assert (before.title, before.tag) == ("Alice found this", "plain")
    after = card_of(link)
    assert (after.title, after.tag) == ("Jasmine tea at ¥89.05", "priced")


def test_without_a_template_a_card_says_who_shares_what(alice: str) -> None:
    known, unknown = (
        a_link(sharer_id=alice, wanted=a_share(target=name)) for name in ("tea", "nobody-knows")
    )
    tea = EditTarget(kind="product", id="tea", title="Jasmine tea", image_url="https://img.example/tea.png")
    sharing.save_target(tea, by=OWNER, now=NOW)

    assert card_of(known).title == "Alice shares Jasmine tea"
    assert card_of(known, lang="zh").title == "Alice邀请你来看看Jasmine tea"
    assert card_of(known).image_url == "https://img.example/tea.png"
    assert (card_of(unknown).title, card_of(unknown).image_url) == ("Have a look", None)


def test_every_path_of_a_card_carries_the_link(alice: str) -> None:
    link = a_link(sharer_id=alice, wanted=a_share(target="tea"))
    assert card_of(link).path == f"/pages/product/product?id=tea&link={link.code}"

    for path, expected in (
        ("/pages/x", f"/pages/x?link={link.code}"),
        ("/pages/x?a=1", f"/pages/x?a=1&link={link.code}"),
        ("/pages/{id}?s={link}", f"/pages/tea?s={link.code}"),
    ):
        save_card("x", path=path)
        assert card_of(link).path == expected


def test_strangers_see_a_masked_name(alice: str) -> None:
    save_card("{nickname} found this")
    link = a_link(sharer_id=alice)

    assert card_of(link, open_names=False).title == "A** found this"
    assert card_of(a_link(sharer_id=a_member()), open_names=False).title == "A friend found this"
    assert card_of(a_link(sharer_id=a_member()), lang="zh").title == "好友 found this"


@pytest.mark.parametrize(
    ("card", "field"),
    [
        (EditCard(target_kind="rocket", title="x"), "target_kind"),
        (EditCard(target_kind="product", title="{seats_left} left"), "title"),
        (EditCard(target_kind="product", title="x", path="/pages/{price}"), "path"),
    ],
)
def test_a_template_that_could_never_be_filled_is_refused(store: Store, card: EditCard, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        sharing.save_card(card, by=OWNER, now=NOW)

    assert refused.value.details["field"] == field
    assert books(store.client) == {}


def test_a_kind_may_describe_its_own_targets(alice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_kinds", dict(rules._kinds))
    rules.target_kind(
        "race", variables={"laps"}, path="/r?id={id}", describe=lambda race, now: {"laps": race, "title": "R"}
    )
    card = EditCard(target_kind="race", title="{title}: {laps} laps")
    sharing.save_card(card, by=OWNER, now=NOW)

    assert card_of(a_link(sharer_id=alice, wanted=a_share(kind="race", target="7"))).title == "R: 7 laps"
    with pytest.raises(Invalid):
        sharing.save_target(EditTarget(kind="race", id="7", title="x"), by=OWNER, now=NOW)


def test_what_a_room_says_of_a_target_is_remembered_for_thirty_seconds_and_that_there_is_none_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    laps: list[str] = []

    def describe(_: str, now: int) -> dict[str, str]:
        if not laps:
            raise NotFound
        return {"title": laps[0]}

    monkeypatch.setattr(rules, "_kinds", dict(rules._kinds))
    rules.target_kind("race", variables=set(), path="/r?id={id}", describe=describe)

    def title(now: int) -> str | None:
        return sharing.describe("race", "7", now=now).title

    with pytest.raises(NotFound):
        title(NOW)
    laps.append("one")
    assert title(NOW) == "one"
    laps[0] = "two"
    assert [title(NOW + 29), title(NOW + 30)] == ["one", "two"]


def test_cards_are_remembered_for_thirty_seconds_and_a_change_of_ones_own_is_seen_at_once(alice: str) -> None:
    link = a_link(sharer_id=alice)
    save_card("one")
    assert card_of(link).title == "one"
    table.apply(
        table.update(
            models.Card, models.Card.key("product", "*", "*"), models.Card.title.set("two"), refuse=NotFound
        )
    )

    assert sharing.card(link, now=NOW + 29, lang="en", open_names=True).title == "one"
    assert sharing.card(link, now=NOW + 30, lang="en", open_names=True).title == "two"
    save_card("three")
    assert sharing.card(link, now=NOW + 30, lang="en", open_names=True).title == "three"


def test_every_change_of_cards_and_targets_is_in_the_trail_before_and_after(store: Store) -> None:
    save_card("one", tag="a")
    save_card("two")
    sharing.remove_card(("product", "*", "*"), by=OWNER, now=NOW)
    for price in (100, 200):
        told = EditTarget(kind="product", id="tea", title="Tea", price_fen=price)
        sharing.save_target(told, by=OWNER, now=NOW + price)

    (first, second) = sorted(trail(store, "card.saved"), key=lambda change: change[0] is not None)
    assert first[0] is None and (first[1]["title"], first[1]["tag"]) == ("one", "a")
    assert (second[0]["title"], second[1]["title"], second[1]["tag"]) == ("one", "two", None)
    prices = [
        (before and before["price_fen"], after["price_fen"]) for before, after in trail(store, "target.saved")
    ]
    assert prices == [(None, 100), (100, 200)]
    assert len(trail(store, "card.removed")) == 1
    with pytest.raises(NotFound):
        sharing.remove_card(("product", "*", "*"), by=OWNER, now=NOW)


def test_the_trail_has_what_a_removed_template_was(store: Store) -> None:
    save_card("one", tag="a")
    sharing.remove_card(("product", "*", "*"), by=OWNER, now=NOW)

    ((before, after),) = trail(store, "card.removed")
    assert after is None and (before["title"], before["tag"]) == ("one", "a")


def test_a_template_saved_by_two_at_once_is_not_overwritten_unseen(store: Store) -> None:
    with once_before("TransactWriteItems", lambda: save_card("theirs")), pytest.raises(Busy):
        save_card("ours")

    assert only(store.client, "card")["title"] == "theirs"


def test_a_template_for_a_placement_called_any_is_removed_by_its_own_id(store: Store) -> None:
    everywhere = EditCard(target_kind="product", title="everywhere")
    any_place = EditCard(target_kind="product", title="at any", placement="any")
    call = a_call(operator=OWNER)
    admin.save_card(call, everywhere)

    admin.remove_card(call, admin.save_card(call, any_place).id)

    assert only(store.client, "card")["title"] == "everywhere"


def test_targets_are_listed_page_by_page_and_a_foreign_cursor_is_refused() -> None:
    for name in ("a", "b", "c"):
        sharing.save_target(EditTarget(kind="product", id=name, title=name), by=OWNER, now=NOW)
    call = a_call(operator=OWNER)

    first = admin.list_targets(call, TargetQuery(kind="product", limit=2))
    second = admin.list_targets(call, TargetQuery(kind="product", limit=2, after=first.next))

    assert [one.id for one in (*first.items, *second.items)] == ["a", "b", "c"]
    assert second.next is None
    with pytest.raises(CursorInvalid):
        admin.list_targets(call, TargetQuery(kind="page", limit=2, after=first.next))


# --- visits -------------------------------------------------------------------------------------------------


def visit(link: Link, visitor: str, *, wx_scene: int | None = None, now: int = NOW) -> str:
    return visits.record(link=link, visitor=visitor, wx_scene=wx_scene, now=now).visit_id


def opened(link: Link, *, days: int = 7, now: int = NOW) -> dict[str, int]:
    found = visits.funnel(code=link.code, sharer_id=link.sharer_id, days=days, now=now)
    return {day.day: day.opened for day in found}


def test_a_visitor_counts_once_an_hour_for_a_link_and_is_the_same_visit(alice: str) -> None:
    link, other = a_link(sharer_id=alice), a_link(sharer_id=alice)

    first = [visit(link, "key:one", now=NOW + minutes * 60) for minutes in (0, 20, 59)]
    next_hour = visit(link, "key:one", now=NOW + HOUR)
    elsewhere = visit(other, "key:one")

    assert len(set(first)) == 1 and len({first[0], next_hour, elsewhere, visit(link, "key:two")}) == 4
    assert (opened(link, now=NOW + HOUR), opened(other)) == ({TODAY: 3}, {TODAY: 1})


@pytest.mark.parametrize(
    ("wx_scene", "arrived"),
    [
        (1007, "chat"),
        (1008, "group"),
        (1155, "moments"),
        (1047, "code"),
        (1194, "link"),
        (1001, "other"),
        (None, "other"),
    ],
)
def test_the_scene_says_how_a_visitor_arrived(alice: str, wx_scene: int | None, arrived: str) -> None:
    link = a_link(sharer_id=alice)
    visit(link, "key:one", wx_scene=wx_scene)

    (day,) = visits.funnel(code=link.code, sharer_id=alice, days=1, now=NOW)

    assert day.opened_by == {arrived: 1}
    answer = routes.open_link(a_call(), link.code, OpenLink(wx_scene=wx_scene, visitor="another-phone"))
    assert answer.arrived_by == arrived


def open_by(link: Link, member_id: str | None = None, **call: Any) -> Any:
    session = (
        doors.Session(member_id=member_id, program_id="fair", visitor="a-visitor") if member_id else None
    )
    asked = OpenLink(visitor="a-phone-s-key", program_id=None if member_id else "fair")
    return routes.open_link(a_call(session=session, **call), link.code, asked)


def test_a_robot_is_answered_neither_counted_nor_bound(store: Store, alice: str) -> None:
    link, bob = a_link(sharer_id=alice), a_member()
    agents = ("Googlebot/2.1", "WhatsApp/2.2", "Sogou web spider/4.0", "HeadlessChrome/120")

    for agent in agents:
        answer = open_by(link, bob, user_agent=agent)
        assert (answer.counted, answer.bound, answer.target.kind) == (False, None, "product")

    assert opened(link) == {}
    assert books(store.client)["binding"] == 0
    assert open_by(link, user_agent="Mozilla/5.0 (iPhone) MicroMessenger/8.0").counted
    assert opened(link) == {TODAY: 1}


def test_a_stranger_sees_a_masked_name_and_a_member_the_whole(alice: str) -> None:
    link = a_link(sharer_id=alice)

    assert open_by(link).sharer.nickname == "A**"
    assert open_by(link, a_member()).sharer.nickname == "Alice"
    assert open_by(a_link(sharer_id=a_member()), lang="zh").sharer.nickname == "好友"


def test_an_opening_says_where_other_programs_take_over_with_the_link(alice: str) -> None:
    over = HandOver(program_id="shop", path="pages/home/home?from={link}")
    members.add_program(a_program("fair", hand_overs=[over]), by=OWNER, now=NOW)
    link = a_link(sharer_id=alice)

    for answer in (open_by(link), open_by(link, a_member())):
        (given,) = answer.hand_overs
        assert (given.program_id, given.path) == ("shop", f"pages/home/home?from={link.code}")


def test_opening_while_signed_in_binds_by_the_policy_and_never_to_oneself(store: Store, alice: str) -> None:
    link, bob = a_link(sharer_id=alice), a_member()

    assert (open_by(link).bound, open_by(link, alice).bound) == (None, False)
    assert (open_by(link, bob).bound, open_by(link, bob).bound) == (True, True)
    assert only(store.client, "binding")["promoter_id"] == alice


def test_what_is_over_does_not_open(alice: str) -> None:
    link = a_link(sharer_id=alice)
    sharing.switch_off(code=link.code, sharer_id=alice)

    with pytest.raises(sharing.LinkOff):
        open_by(link)
    with pytest.raises(NotFound):
        routes.open_link(a_call(), "2222222222", OpenLink())


@pytest.fixture
def small_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of two visitors: 1 row, then 2, then 4 which take whoever comes."""
    levels = ((1, 1), (1, 2), (2, 2))
    monkeypatch.setattr(models, "LEVELS", levels)
    monkeypatch.setattr(visits, "LEVELS", levels)
    monkeypatch.setattr(visits, "ROW_HOLDS", 2)


@pytest.mark.usefixtures("small_levels")
@pytest.mark.parametrize("forgetful", [False, True])
def test_a_link_that_heats_up_within_the_hour_counts_everybody_once(
    store: Store, alice: str, forgetful: bool
) -> None:
    link = a_link(sharer_id=alice)
    visitors = [f"key:{number}" for number in range(30)]

    for visitor in [*visitors, *reversed(visitors)]:
        visit(link, visitor)
        if forgetful:
            cache.clear_all()

    hours = rows(store.client, "traffic", kind="visit_hour")
    by_level = [
        sum(row["n"] for row in hours if row["pk"].split("#")[2][0] == level) for level in ("0", "1", "2")
    ]
    assert by_level == [2, 4, 24] and sum(len(row["seen"]) for row in hours) == 30
    assert opened(link) == {TODAY: 30}


# --- what came of a link ------------------------------------------------------------------------------------


def test_a_day_begins_at_midnight_in_the_brands_zone(alice: str) -> None:
    link = a_link(sharer_id=alice)
    visit(link, "key:one", now=MIDNIGHT - 1)
    visit(link, "key:one", now=MIDNIGHT)
    visit(link, "key:two", now=MIDNIGHT)

    assert opened(link, now=MIDNIGHT) == {TOMORROW: 2, TODAY: 1}
    assert opened(link, days=1, now=MIDNIGHT) == {TOMORROW: 2}
    assert list(opened(link, now=MIDNIGHT)) == [TOMORROW, TODAY]


def test_another_zone_has_other_days(alice: str) -> None:
    config.override(timezone="UTC")
    link = a_link(sharer_id=alice)
    visit(link, "key:one", now=MIDNIGHT - 1)
    visit(link, "key:two", now=MIDNIGHT)

    assert opened(link, now=MIDNIGHT) == {TODAY: 2}


def test_a_closed_day_is_folded_once_and_no_later_write_changes_it(store: Store, alice: str) -> None:
    link = a_link(sharer_id=alice)
    visit(link, "key:one", wx_scene=1008, now=MIDNIGHT - 1)
    opened(link, now=MIDNIGHT + HOUR - 1)
    assert books(store.client)["link_day"] == 0, "the hour of grace is not over"

    assert opened(link, now=MIDNIGHT + HOUR) == {TODAY: 1}
    folded = only(store.client, "link_day")
    visit(link, "key:late", now=MIDNIGHT - 1)

    assert opened(link, now=MIDNIGHT + HOUR) == {TODAY: 1}
    assert only(store.client, "link_day") == folded
    assert (folded["sk"], folded["opened"], json.loads(folded["opened_by"])) == (
        f"DAY#{TODAY}",
        1,
        {"group": 1},
    )


def test_two_who_fold_a_day_at_once_fold_it_once(store: Store, alice: str) -> None:
    link = a_link(sharer_id=alice)
    visit(link, "key:one", now=NOW)

    def another_first() -> None:
        visit(link, "key:late", now=NOW)
        opened(link, now=NOW + DAY)

    with once_before("UpdateItem", another_first):
        opened(link, now=NOW + DAY)

    assert (only(store.client, "link_day")["rev"], opened(link, now=NOW + DAY)) == (1, {TODAY: 2})


def test_a_folded_day_is_told_the_same_when_its_rows_are_swept(store: Store, alice: str) -> None:
    link = a_link(sharer_id=alice)
    visit(link, "key:one", now=NOW)
    opened(link, now=NOW + DAY)
    (hour,) = rows(store.client, "traffic", kind="visit_hour")
    table.apply(table.delete(models.Hour, (hour["pk"], hour["sk"]), refuse=NotFound))

    assert opened(link, now=NOW + DAY) == {TODAY: 1}
    assert hour["ttl"] == NOW + visits.ROWS_STAY_S


def test_counts_of_members_and_folding_share_a_row_in_either_order(store: Store, alice: str) -> None:
    link = a_link(sharer_id=alice)
    attribution.bind(a_member(), visit=an_opening(link=link), now=NOW)
    opened(link, now=NOW + DAY)

    reacted(store.client, now=NOW)
    attribution.bind(a_member(), visit=an_opening(link=link, visitor="key:two", now=NOW + 60), now=NOW + 60)
    reacted(store.client, now=NOW + DAY)

    (day,) = visits.funnel(code=link.code, sharer_id=alice, days=2, now=NOW + DAY)
    assert (day.day, day.opened, day.bound, day.new_members) == (TODAY, 1, 2, 0)


def test_only_its_sharer_sees_what_came_of_a_link(alice: str) -> None:
    link = a_link(sharer_id=alice)

    for code, member_id in ((link.code, a_member()), ("2222222222", alice)):
        with pytest.raises(NotFound):
            visits.funnel(code=code, sharer_id=member_id, days=7, now=NOW)


# --- attribution --------------------------------------------------------------------------------------------


def bind(member_id: str, sharer_id: str, *, now: int = NOW) -> models.Binding:
    return attribution.bind(member_id, visit=a_visit(link=a_link(sharer_id=sharer_id)), now=now)


def make_policy(mode: Any, *, depth: int = 1, now: int = NOW) -> None:
    policies.make(EditPolicy(mode=mode, depth=depth), by=OWNER, now=now)


def refusal(do: Callable[[], object]) -> str:
    with pytest.raises(AppError) as refused:
        do()
    return refused.value.code


def test_the_first_who_brought_a_member_keeps_them(alice: str) -> None:
    bob, carol = a_member(), a_member()

    first, again = bind(bob, alice), bind(bob, carol)

    assert (first.promoter_id, again.promoter_id, again.bound_at) == (alice, alice, NOW)


def test_nobody_is_bound_to_themselves_or_in_a_circle(alice: str) -> None:
    bob, carol = a_member(), a_member()
    bind(bob, alice)
    bind(carol, bob)

    assert refusal(lambda: bind(alice, alice)) == "self_referral"
    assert refusal(lambda: bind(alice, bob)) == refusal(lambda: bind(alice, carol)) == "would_circle"
    assert attribution.binding(alice, now=NOW) is None


def test_a_chain_too_long_to_walk_binds_no_old_member() -> None:
    chain = [a_member() for _ in range(attribution.WALK_AT_MOST + 1)]
    for below, above in zip(chain[1:], chain, strict=False):
        bind(below, above)

    assert bind(a_member(), chain[-2]).promoter_id == chain[-2]
    assert refusal(lambda: bind(a_member(), chain[-1])) == "chain_too_long"


def test_a_visit_binds_one_member_only(store: Store, alice: str) -> None:
    bob, carol = a_member(), a_member()
    by = a_visit(link=a_link(sharer_id=alice))

    attribution.bind(bob, visit=by, now=NOW)

    assert refusal(lambda: attribution.bind(carol, visit=by, now=NOW)) == "visit_used"
    assert attribution.bind(bob, visit=by, now=NOW).promoter_id == alice
    assert books(store.client)["binding"] == 1


def test_a_blocked_or_missing_sharer_brings_nobody(alice: str) -> None:
    link = a_link(sharer_id=alice)
    members.block(member_id=alice, reason="fraud", by=OWNER, now=NOW)
    nobody = a_link(sharer_id="mbr_nobody")

    for shared in (link, nobody):
        by = a_visit(link=shared)
        assert refusal(lambda by=by: attribution.bind(a_member(), visit=by, now=NOW)) == "promoter_gone"  # type: ignore[misc]


def test_the_policy_new_members_refuses_old_ones(alice: str) -> None:
    make_policy("new_members")

    assert refusal(lambda: bind(a_member(), alice)) == "not_a_new_member"


def test_a_binding_keeps_the_version_of_the_policy_it_was_made_under(alice: str) -> None:
    bob, carol = a_member(), a_member()
    assert bind(bob, alice).policy == 0
    make_policy("first", depth=2)
    assert bind(carol, alice).policy == 1
    make_policy("new_members")

    held, dave = attribution.binding(bob, now=NOW), attribution.binding(carol, now=NOW)

    assert held is not None and dave is not None and (held.policy, dave.policy) == (0, 1)
    assert [(row.n, row.mode, row.depth) for row in policies.newest(limit=9)] == [
        (2, "new_members", 1),
        (1, "first", 2),
    ]


def test_versions_of_the_policy_are_never_changed_and_the_trail_has_each(store: Store) -> None:
    make_policy("first", depth=2)
    before = only(store.client, "policy")
    make_policy("new_members", now=NOW + 1)

    assert rows(store.client, "truth", kind="policy", n=1) == [before]
    first, second = trail(store, "policy.made")
    made = {
        "version": 1,
        "mode": "first",
        "window_days": None,
        "renew_by_purchase": False,
        "protect_days": 0,
        "depth": 2,
        "self_purchase": False,
        "signals": {
            "device_members": 3,
            "address_members": 20,
            "bindings_per_hour": 30,
            "refunded_orders": 3,
            "risk_rank": 0,
        },
    }
    assert first == (None, made)
    assert second == (made, {**made, "version": 2, "mode": "new_members", "depth": 1})


def test_two_operators_who_make_a_version_at_once_do_not_make_the_same(store: Store) -> None:
    with once_before("TransactWriteItems", lambda: make_policy("new_members")), pytest.raises(Busy):
        make_policy("first")

    assert only(store.client, "policy")["mode"] == "new_members"


# --- moving customers ---------------------------------------------------------------------------------------


def move(member_id: str, promoter_id: str | None, *, now: int = NOW) -> Any:
    return attribution.move(member_id, promoter_id=promoter_id, reason="asked", by=OWNER, now=now)


def test_a_move_keeps_what_was_and_is_in_the_trail_before_and_after(store: Store, alice: str) -> None:
    bob, carol = a_member(), a_member()
    bind(bob, alice)

    move(bob, carol, now=NOW + 10)
    move(bob, None, now=NOW + 20)

    held, past = attribution.history(bob)
    assert held is not None and (held.state, held.cause) == ("unbound", "operator")
    assert [(row.was["promoter_id"], row.was["state"], row.changed_at) for row in past] == [
        (carol, "bound", NOW + 20),
        (alice, "bound", NOW + 10),
    ]
    assert trail(store, "binding.moved") == [
        ({"promoter_id": alice}, {"promoter_id": carol, "reason": "asked"}),
        ({"promoter_id": carol}, {"promoter_id": None, "reason": "asked"}),
    ]
    assert attribution.binding(bob, now=NOW + 20) is None


def test_a_move_obeys_the_same_rules_and_the_same_again_changes_nothing(store: Store, alice: str) -> None:
    bob = a_member()
    move(bob, alice)

    assert refusal(lambda: move(bob, bob)) == "self_referral"
    assert refusal(lambda: move(alice, bob)) == "would_circle"
    assert refusal(lambda: move(bob, "mbr_nobody")) == refusal(lambda: move("mbr_nobody", bob)) == "not_found"
    assert move(bob, alice).promoter_id == alice
    assert len(trail(store, "binding.moved")) == 1
    assert move(alice, None) is None


def test_whoever_an_operator_unbound_may_be_bound_again_by_the_same_visit(alice: str) -> None:
    bob, by = a_member(), a_visit(link=a_link(sharer_id=alice))
    attribution.bind(bob, visit=by, now=NOW)
    move(bob, None)

    assert attribution.bind(bob, visit=by, now=NOW + 5).bound_at == NOW + 5


def undone_in_another_process(bob: str) -> None:
    """This process goes on remembering the binding that it had read."""
    remembered = attribution.binding(bob, now=NOW)
    assert remembered is not None
    move(bob, None)
    attribution._bindings.put(bob, remembered, now=NOW)


def test_a_binding_undone_in_another_process_is_forgotten_after_thirty_seconds(alice: str) -> None:
    bob = a_member()
    bind(bob, alice)

    undone_in_another_process(bob)

    assert attribution.binding(bob, now=NOW + 30) is None


def test_a_binding_that_is_asked_for_often_is_forgotten_as_soon(alice: str) -> None:
    bob = a_member()
    bind(bob, alice)

    undone_in_another_process(bob)

    assert attribution.binding(bob, now=NOW + 29) is not None
    assert attribution.binding(bob, now=NOW + 30) is None


# --- what the mall and the funnel are told of a binding -----------------------------------------------------


@pytest.fixture
def mall() -> None:
    """A mall that is owed messages; nobody sends them here."""
    config.override(mall_webhook_url="http://mall.example/hooks")


def owed_bindings(store: Store) -> list[tuple[str, str]]:
    """Whose customer the mall is told who is."""
    found = rows(store.client, "truth", kind="delivery", type="member.bound")
    told = [json.loads(row["body"])["data"] for row in found]
    return [(one["member_id"], one["promoter_id"]) for one in told]


@pytest.mark.usefixtures("mall")
def test_the_mall_is_told_of_a_binding_and_of_a_move_from_nobody(store: Store, alice: str) -> None:
    bob, carol = a_member(), a_member()
    bind(bob, alice)
    move(carol, alice)

    reacted(store.client, now=NOW)

    assert sorted(owed_bindings(store)) == sorted([(bob, alice), (carol, alice)])


@pytest.mark.usefixtures("mall")
def test_the_mall_is_told_of_a_binding_before_it_is_told_that_it_was_undone(store: Store, alice: str) -> None:
    bob = a_member()
    bind(bob, alice)
    move(bob, None)

    reacted(store.client, now=NOW)

    assert owed_bindings(store) == [(bob, alice)]
    assert len(rows(store.client, "truth", kind="delivery", type="member.unbound")) == 1


@pytest.mark.usefixtures("mall")
def test_a_move_from_nobody_is_told_even_if_the_stream_forgets_it(store: Store, alice: str) -> None:
    carol = a_member()
    move(carol, alice)

    caught_up(now=NOW)

    assert owed_bindings(store) == [(carol, alice)]


@pytest.mark.usefixtures("mall")
def test_a_binding_made_twice_before_it_was_told_fails_no_reaction(store: Store, alice: str) -> None:
    bob, carol = a_member(), a_member()
    bind(bob, alice)
    move(bob, None, now=NOW + 1)
    move(bob, carol, now=NOW + 2)

    reacted(store.client, now=NOW + 3)

    assert sorted(owed_bindings(store)) == sorted([(bob, alice), (bob, carol)])


def test_a_link_counts_whom_it_bound_even_if_they_were_moved_before_the_reaction(
    store: Store, alice: str
) -> None:
    bob, carol = a_member(), a_member()
    link = a_link(sharer_id=alice)
    attribution.bind(bob, visit=an_opening(link=link), now=NOW)
    move(bob, carol, now=NOW + 1)

    reacted(store.client, now=NOW + 2)

    (day,) = visits.funnel(code=link.code, sharer_id=alice, days=1, now=NOW + 2)
    assert (day.opened, day.bound) == (1, 1)
