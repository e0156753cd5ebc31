"""Two who meet over whose customer somebody is, or over one link, between one's look and one's write: what only
the write can know.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

from collections.abc import Callable
from functools import partial

import pytest

from chalicelib.commissions import service as commissions
from chalicelib.core import cache, facts, table
from chalicelib.core.clock import DAY, HOUR
from chalicelib.core.errors import Busy, NotFound
from chalicelib.members import service as members
from chalicelib.orders.service import Order
from chalicelib.sharing import attribution, invites, leaving, making, merging, policies, signals, windows
from chalicelib.sharing import orders as attributed
from chalicelib.sharing import service as sharing
from chalicelib.sharing.models import Binding, Link, OrderAttribution, Touch
from chalicelib.sharing.refusals import VisitUsed, WouldCircle
from chalicelib.sharing.schemas import EditCard, EditPolicy, EditTarget
from chalicelib.sharing.visits import Visit
from chalicelib.wechat import codes
from tests.factories import NOW, OWNER, PROGRAM, a_link, a_member, a_share, a_visit, an_openid, books
from tests.harness.meetings import before_write
from tests.harness.rows import rows
from tests.integration.test_attribution import an_order
from tests.races.test_pictures import LINK, PLACE

pytestmark = [pytest.mark.usefixtures("direct"), pytest.mark.alone("sharing")]


def a_visit_to(promoter_id: str, *, now: int = NOW) -> Visit:
    """An opening of a link of theirs."""
    return a_visit(link=a_link(sharer_id=promoter_id, now=now), now=now)


def came(member_id: str, promoter_id: str) -> None:
    """They have come by a link of the promoter's, and everybody knows."""
    facts.catch_up(attribution.bind(member_id, visit=a_visit_to(promoter_id), now=NOW), now=NOW)


def moved(member_id: str, promoter_id: str | None, *, now: int = NOW, **more: int) -> None:
    """An operator gives them to somebody, or to nobody."""
    attribution.move(member_id, promoter_id=promoter_id, reason="asked", by=OWNER, now=now, **more)


def held(member_id: str) -> Binding:
    """Their binding, whatever its state."""
    row = table.get(Binding, Binding.key(member_id))
    assert row is not None
    return row


def whose(member_id: str) -> str | None:
    """Whose customer they are."""
    row = table.get(Binding, Binding.key(member_id))
    return row.promoter_id if row is not None and row.state == "bound" else None


def were(member_id: str) -> list[str]:
    """Whose customer they were, the last first."""
    return [
        row.was["promoter_id"] for row in attribution.history(member_id)[1] if row.was["state"] == "bound"
    ]


def never(member_id: str) -> None:
    """They never were anybody's customer."""


def not_any_more(member_id: str) -> None:
    """They were somebody's customer once."""
    came(member_id, a_member())
    moved(member_id, None)


Before = Callable[[str], None]
once_or_never = pytest.mark.parametrize("before", [never, not_any_more])


# --- whose customer somebody becomes ------------------------------------------------------------------------


@once_or_never
def test_who_is_brought_by_two_at_once_is_whose_customer_who_was_first(before: Before) -> None:
    bob, alice, carol = a_member(), a_member(), a_member()
    before(bob)
    one, other = a_visit_to(alice), a_visit_to(carol)

    with before_write(1, lambda: attribution.bind(bob, visit=other, now=NOW)):
        found = attribution.bind(bob, visit=one, now=NOW)

    assert found.promoter_id == whose(bob) == carol


def test_who_is_taken_by_two_at_once_was_the_first_ones_meanwhile() -> None:
    policies.make(EditPolicy(mode="last"), by=OWNER, now=NOW)
    bob, alice, carol, dave = (a_member() for _ in range(4))
    came(bob, alice)
    one, other = (a_visit_to(who, now=NOW + 60) for who in (dave, carol))

    with before_write(1, lambda: attribution.bind(bob, visit=other, now=NOW + 60)):
        attribution.bind(bob, visit=one, now=NOW + 60)

    assert (whose(bob), were(bob)) == (dave, [carol, alice])


@once_or_never
def test_who_is_moved_by_two_at_once_was_the_first_ones_meanwhile(before: Before) -> None:
    bob, alice, carol = a_member(), a_member(), a_member()
    before(bob)
    earlier = were(bob)

    with before_write(1, lambda: moved(bob, carol)):
        moved(bob, alice)

    assert (whose(bob), were(bob)) == (alice, [carol, *earlier])


@once_or_never
@pytest.mark.parametrize(("brings", "write"), [(came, 2), (moved, 1)], ids=["a visit", "an operator"])
def test_two_who_bring_each_other_at_once_make_no_circle(
    before: Before, brings: Callable[[str, str], None], write: int
) -> None:
    bob, alice = a_member(), a_member()
    before(alice)

    with before_write(write, lambda: moved(alice, bob)), pytest.raises(WouldCircle):
        brings(bob, alice)

    assert (whose(bob), whose(alice)) == (None, bob)


def test_of_two_who_register_by_one_visit_one_is_bound_by_it() -> None:
    visit = a_visit_to(a_member())

    def registered() -> str:
        bound = partial(attribution.first_binding, visit=visit, now=NOW)
        return members.find_or_register(proofs=[an_openid()], program_id=PROGRAM, now=NOW, also=bound)[
            0
        ].member_id

    first = registered()
    with pytest.raises(VisitUsed):
        registered()

    assert whose(first) == visit.link.sharer_id
    assert books(table.client())["binding"] == 1


# --- windows ------------------------------------------------------------------------------------------------

BOUGHT, OVER = NOW + 6 * DAY, NOW + 12 * DAY
RENEWED: dict[str, Callable[[Order, Order], object]] = {
    "what was bought is told": lambda bought, _: windows.renew(bought, OVER),
    "a later order is attributed": lambda _, later: attributed.as_if(later, now=OVER),
    "somebody else wants to bind them": lambda bought, _: attribution._held(bought.member_id, now=OVER),
}


def bought_again(bob: str) -> None:
    """Half a day later they bought something else, which is told first."""
    windows.renew(an_order(bob, paid_at=BOUGHT + DAY // 2, state="paid"), NOW + 7 * DAY)


def given_to_another(bob: str) -> None:
    """An operator notes whose they have been for a while."""
    moved(bob, a_member(), now=OVER, bound_at=NOW + DAY)


def undone(bob: str) -> None:
    """They became another, whose promoter is their own."""
    merging.hand_over(bob, a_member(), OVER)


@pytest.mark.parametrize("renewed", RENEWED)
@pytest.mark.parametrize("meanwhile", [bought_again, given_to_another, undone])
def test_a_binding_that_changes_while_its_window_begins_anew_is_what_it_became(
    renewed: str, meanwhile: Callable[[str], None]
) -> None:
    policies.make(EditPolicy(mode="first_window", window_days=7, renew_by_purchase=True), by=OWNER, now=NOW)
    bob = a_member()
    came(bob, a_member())
    bought, later = an_order(bob, paid_at=BOUGHT, state="paid"), an_order(bob, at=OVER)
    became: list[Binding] = []

    def changed() -> None:
        meanwhile(bob)
        became.append(held(bob))

    with before_write(1, changed):
        RENEWED[renewed](bought, later)

    assert held(bob).serialize() == became[0].serialize()


# --- whose order it is --------------------------------------------------------------------------------------


def asked_for(order: Order) -> None:
    """Somebody wants to know."""
    attributed.of_order(order, now=NOW)


def is_made(order: Order) -> None:
    """It is told that it was made."""
    attributed.attribute(order, NOW)


def is_paid(order: Order) -> None:
    """It is told that it was paid, and may earn somebody something."""
    commissions.follow(order, cause="order.paid", now=NOW)


@pytest.mark.parametrize("do", [asked_for, is_made, is_paid])
def test_an_order_that_goes_over_while_it_is_attributed_is_the_others(do: Callable[[Order], None]) -> None:
    bob, other = a_member(), a_member()
    came(bob, a_member())
    order = an_order(bob, paid_at=NOW, state="paid")

    def goes_over() -> None:
        key = OrderAttribution.key(attributed.of_order(order, now=NOW).order_id)
        theirs = OrderAttribution.promoter_id.set(other)
        table.apply(table.update(OrderAttribution, key, theirs, refuse=NotFound))

    with before_write(1, goes_over):
        do(order)

    assert attributed.of_order(order, now=NOW).promoter_id == other


# --- who becomes another ------------------------------------------------------------------------------------


def handed(one: str, other: str) -> None:
    """What one has becomes the other's."""
    while merging.hand_over(one, other, NOW):
        pass


def test_a_customer_who_is_given_to_somebody_while_they_go_over_is_theirs() -> None:
    one, other, friend, carol = (a_member() for _ in range(4))
    came(friend, one)

    with before_write(1, lambda: moved(friend, carol)), pytest.raises(Busy):
        handed(one, other)
    handed(one, other)

    assert whose(friend) == carol


def test_a_customer_who_brought_the_other_and_is_given_to_somebody_meanwhile_is_theirs() -> None:
    one, other, chief, carol = (a_member() for _ in range(4))
    came(chief, one)
    came(other, chief)

    with before_write(1, lambda: moved(chief, carol)), pytest.raises(Busy):
        handed(one, other)
    handed(one, other)

    assert (whose(chief), whose(other)) == (carol, chief)


@once_or_never
def test_a_customer_who_brings_the_other_while_they_go_over_is_nobodys(before: Before) -> None:
    one, other, friend = a_member(), a_member(), a_member()
    came(friend, one)
    before(other)

    with before_write(1, lambda: moved(other, friend)), pytest.raises(Busy):
        handed(one, other)
    handed(one, other)

    assert (whose(friend), whose(other)) == (None, friend)


@once_or_never
def test_who_is_given_to_somebody_while_another_becomes_them_is_theirs(before: Before) -> None:
    one, other, carol = a_member(), a_member(), a_member()
    came(one, a_member())
    before(other)

    with before_write(1, lambda: moved(other, carol)), pytest.raises(Busy):
        handed(one, other)
    handed(one, other)

    assert (whose(one), whose(other)) == (None, carol)


@once_or_never
def test_who_brings_a_promoter_while_one_of_theirs_becomes_them_is_nobodys(before: Before) -> None:
    one, other, alice = a_member(), a_member(), a_member()
    came(one, alice)
    before(alice)

    with before_write(1, lambda: moved(alice, other)), pytest.raises(Busy):
        handed(one, other)
    handed(one, other)

    assert (whose(one), whose(other), whose(alice)) == (None, None, other)


def missed(member_id: str, promoter_id: str) -> tuple[int, str | None]:
    """In how many hours they came to a promoter who did not bring them, and by which link the last time."""
    row = table.get(Touch, Touch.key(member_id, promoter_id))
    assert row is not None
    return row.n or 0, row.link


@pytest.mark.parametrize("to", [0, 1], ids=["to one", "to the other"])
def test_who_comes_once_more_while_it_goes_over_that_they_came_is_told_so(to: int) -> None:
    two, friend = (a_member(), a_member()), a_member()
    came(friend, a_member())
    visits = [a_visit_to(two[0]), a_visit_to(two[to], now=NOW + HOUR)]
    attribution.bind(friend, visit=visits[0], now=NOW)

    def again() -> None:
        attribution.bind(friend, visit=visits[1], now=NOW + HOUR)

    with before_write(3 - to, again), pytest.raises(Busy):
        handed(*two)
    handed(*two)

    assert missed(friend, two[1]) == (2 - to, visits[1].link.code)


@pytest.mark.parametrize("what", ["link", "code"])
def test_what_goes_over_to_a_third_meanwhile_is_the_third_s(what: str) -> None:
    one, other, third = a_member(), a_member(), a_member()
    link = a_link(sharer_id=one) if what == "link" else None
    code = invites.code_of(one, now=NOW)

    with before_write(1, lambda: handed(one, third)), pytest.raises(Busy):
        handed(one, other)

    there = table.get(Link, Link.key(link.code)) if link is not None else None
    assert (there.sharer_id if there is not None else invites.whose(code)) == third


# --- what is noted ------------------------------------------------------------------------------------------


def is_bound(bob: str, order: Order) -> None:
    """They were bound on a device."""
    row = held(bob)
    row.member_id, row.places = order.order_id, {"device": "a phone"}
    signals.note_places(row, NOW)


def signs_in(bob: str, order: Order) -> None:
    """They signed in on a device."""
    signals.seen_on_device({"device": "a phone"}, order.order_id, now=NOW)


def goes_back(bob: str, order: Order) -> None:
    """An order of a promoter's new customer went back."""
    attributed.of_order(order, now=NOW)
    signals.note_refunded(order, NOW)


@pytest.mark.parametrize("noted", [is_bound, signs_in, goes_back])
def test_a_row_of_a_day_has_each_once_and_no_more_than_it_holds(
    noted: Callable[[str, Order], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signals, "ROW_HOLDS", 2)
    bob = a_member()
    came(bob, a_member())
    one, other, third = (an_order(bob) for _ in range(3))
    for each in (one, one, other, third):
        cache.clear_all()
        noted(bob, each)

    (row,) = rows(table.client(), "traffic", kind="signal_seen")
    assert (row["n"], len(row["seen"])) == (2, 2)


def test_who_comes_twice_in_an_hour_to_two_processes_came_once() -> None:
    bob, alice = a_member(), a_member()
    came(bob, a_member())
    visit = a_visit_to(alice)
    for now in (NOW + HOUR, NOW + HOUR + 60, NOW):
        cache.clear_all()
        attribution.bind(bob, visit=visit, now=now)

    row = table.get(Touch, Touch.key(bob, alice))
    assert row is not None
    assert (row.n, row.last_at) == (1, NOW + HOUR)


# --- what is erased -----------------------------------------------------------------------------------------


def test_where_somebody_was_is_erased_though_they_are_given_to_another_meanwhile() -> None:
    bob, carol, visit = a_member(), a_member(), a_visit_to(a_member())
    for _ in range(2):
        moved(bob, None)
        attribution.bind(bob, visit=visit, places={"device": "a phone"}, now=NOW)

    with before_write(1, lambda: moved(bob, carol)):
        leaving.erase(bob, NOW)
    while leaving.erase(bob, NOW):
        pass

    assert whose(bob) == carol
    assert "a phone" not in str(books(table.client()).rows)


# --- what is made of a link ---------------------------------------------------------------------------------


@pytest.fixture
def urls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What WeChat has made, one after the other."""
    made: list[str] = []

    def opening(*_: object, now: int, **__: object) -> codes.Opening:
        made.append(f"https://wxaurl.cn/{len(made)}")
        return codes.Opening(url=made[-1], until=now + 30 * DAY)

    monkeypatch.setattr(codes, "opening", opening)
    return made


def opened(by: str, *, now: int = NOW, kind: codes.Kind = "url_link") -> str:
    """The URL by which one opens the program."""
    asked = making.Asking(kind=kind, title="t", member_id="mbr_a", by=by)
    return making.opening(LINK, PLACE, asked, now=now).url


@pytest.mark.parametrize("before", [0, 1], ids=["the first", "anew"])
def test_what_two_want_of_a_link_at_once_is_made_once(urls: list[str], before: int) -> None:
    for _ in range(before):
        opened("before", now=NOW - 30 * DAY)

    with before_write(1, lambda: opened("one")):
        assert opened("other") == urls[-1]

    assert len(urls) == before + 1


def test_what_is_being_made_is_made_by_nobody_else(urls: list[str]) -> None:
    def other() -> None:
        with pytest.raises(Busy):
            opened("other")

    with before_write(2, other):
        opened("one")

    assert len(urls) == 1


def test_what_another_made_after_the_maker_s_time_was_over_stays(urls: list[str]) -> None:
    with before_write(3, lambda: opened("other", now=NOW + making.MAKING_S)):
        opened("one")

    assert (len(urls), opened("third")) == (2, urls[1])


def test_a_member_has_no_more_made_in_a_day_than_there_may_be(
    urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "A_DAY", 1)
    opened("one")

    with pytest.raises(making.TooManyOpenings):
        opened("one", kind="short_link")

    assert len(urls) == 1


# --- links, templates and targets ---------------------------------------------------------------------------


def test_a_link_that_is_renewed_by_two_at_once_ends_when_the_first_said() -> None:
    alice, later = a_member(), NOW + DAY
    a_link(sharer_id=alice, wanted=a_share(target="tea", expires_at=NOW + 60))

    def renewed(days: int) -> Link:
        wanted = a_share(target="tea", expires_at=later + days * DAY)
        return a_link(sharer_id=alice, wanted=wanted, now=later)

    with before_write(2, lambda: renewed(9)):
        assert renewed(5).expires_at == later + 9 * DAY


def a_card(title: str) -> None:
    """A template is kept."""
    sharing.save_card(EditCard(target_kind="product", title=title), by=OWNER, now=NOW)


def a_target(title: str) -> None:
    """What is said of a product is kept."""
    sharing.save_target(EditTarget(kind="product", id="tea", title=title), by=OWNER, now=NOW)


@pytest.mark.parametrize("saved", [a_card, a_target])
@pytest.mark.parametrize("before", [[], ["before"]], ids=["new", "kept before"])
def test_of_two_who_say_it_at_once_one_does(saved: Callable[[str], None], before: list[str]) -> None:
    for title in before:
        saved(title)

    with before_write(1, lambda: saved("theirs")), pytest.raises(Busy):
        saved("ours")

    there = books(table.client())
    assert [row["title"] for row in there.of("card") + there.of("target")] == ["theirs"]


def test_a_template_is_removed_once_by_two_at_once() -> None:
    a_card("one")

    def removed() -> None:
        sharing.remove_card(("product", "*", "*"), by=OWNER, now=NOW)

    with before_write(1, removed), pytest.raises(NotFound):
        removed()

    assert len(books(table.client()).of("audit", action="card.removed")) == 1


def test_a_link_that_is_switched_off_while_it_is_minted_in_a_batch_is_off() -> None:
    alice, wanted = a_member(), [a_share(target="tea"), a_share(target="cup")]

    def off() -> None:
        sharing.switch_off(code=a_link(sharer_id=alice, wanted=wanted[0]).code, sharer_id=alice)

    with before_write(1, off):
        links = sharing.mint_all(sharer_id=alice, wanted=wanted, now=NOW)

    assert [link.state for link in links] == ["off", "on"]


def test_a_link_that_is_switched_off_while_a_page_asks_for_it_is_off() -> None:
    alice, wanted = a_member(), a_share(target="tea")

    def off() -> None:
        sharing.switch_off(code=a_link(sharer_id=alice, wanted=wanted).code, sharer_id=alice)

    with before_write(1, off):
        assert sharing.link_for(sharer_id=alice, wanted=wanted, now=NOW) is None


def test_a_link_that_two_operators_switch_off_at_once_is_once_in_the_trail() -> None:
    link = a_link(sharer_id=a_member())

    def off() -> Link:
        return sharing.switch_off_for(code=link.code, reason="spam", by=OWNER, now=NOW)

    with before_write(1, off):
        assert off().state == "off"

    assert len(books(table.client()).of("audit", action="link.off")) == 1


def test_a_code_that_goes_over_while_it_is_made_is_the_others() -> None:
    alice, other = a_member(), a_member()
    made: list[str] = []

    def goes_over() -> None:
        made.append(invites.code_of(alice, now=NOW))
        handed(alice, other)

    with before_write(1, goes_over):
        code = invites.code_of(alice, now=NOW)

    assert [invites.whose(one) for one in (*made, code)] == [other, alice]
