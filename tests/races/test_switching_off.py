"""A link that was switched off stays off: no re-mint and no renewal brings it back, or changes it at all.

Not tried here: that a sharer switches off their own link only. Whose it is never changes: there is no race in it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chalicelib.core.table import Row, Write, get
from chalicelib.sharing import service as sharing
from chalicelib.sharing.models import Link
from chalicelib.sharing.schemas import MintLink
from tests.factories import NOW, a_share, an_operator
from tests.harness.races import race, read_then_write
from tests.races.arena import CROWD, FAIR, STORM, Arena, careless, overtaken, rounds, unconditionally

pytestmark = pytest.mark.engine

SHARER = "mbr_a"
LATER = NOW + 100


def an_expired_link(asked: MintLink) -> Link:
    """A link whose time was over a while ago."""
    before = MintLink(target=asked.target, channel=asked.channel, expires_at=LATER - 1)
    return sharing.mint(sharer_id=SHARER, wanted=before, now=NOW)[0]


def minting(asked: MintLink, *, until: int | None) -> Callable[[], Link]:
    """A re-mint, which renews what has expired."""
    wanted = MintLink(target=asked.target, channel=asked.channel, expires_at=until)
    return lambda: sharing.mint(sharer_id=SHARER, wanted=wanted, now=LATER)[0]


def batching(asked: MintLink) -> Callable[[], list[Link]]:
    """A re-mint within a batch."""
    return lambda: sharing.mint_all(sharer_id=SHARER, wanted=[asked], now=LATER)


def taking_back(code: str) -> Callable[[], Link]:
    """The sharer switches it off."""
    return lambda: sharing.switch_off(code=code, sharer_id=SHARER)


def shutting(code: str) -> Callable[[], Link]:
    """An operator switches it off."""
    by = an_operator()
    return lambda: sharing.switch_off_for(code=code, reason="spam", by=by, now=LATER)


def check_off_for_good(arena: Arena, code: str) -> None:
    """The link is off, and there is no image of it after that."""
    seen = [one.new for one in arena.images("link") if one.new and one.new["code"] == code]
    off = [n for n, image in enumerate(seen) if image["state"] == "off"]
    assert off == [len(seen) - 1], f"off in images {off} of {len(seen)}"
    assert [row["state"] for row in arena.rows("link", code=code)] == ["off"]


def check_renewed_once(arena: Arena, code: str) -> None:
    """An expired link gets one new expiry, whoever asks for others at the same moment."""
    told = [one for one in arena.images("link") if one.new and one.new["code"] == code and one.old]
    renewals = [one for one in told if one.old and one.new and _expiry(one.old) != _expiry(one.new)]
    assert len(renewals) <= 1, f"renewed {len(renewals)} times"


def _expiry(image: dict[str, Any]) -> Any:
    return image.get("expires_at")


def check_one_audit(arena: Arena) -> None:
    """The operators' book tells of one switch."""
    assert len(arena.rows("audit", action="link.off")) == 1


def test_the_harness_sees_a_link_on_again_when_the_rule_is_a_read(arena: Arena) -> None:
    asked = a_share()
    link = an_expired_link(asked)

    def read() -> Link:
        found = get(Link, Link.key(link.code))
        assert found is not None
        return found

    def renew(seen: Link) -> Row:
        taking_back(link.code)()
        seen.expires_at = LATER + 1
        return unconditionally(seen)

    naive = read_then_write(read, renew, parties=2)
    race(naive, naive)

    with pytest.raises(AssertionError, match="off in images"):
        check_off_for_good(arena, link.code)


@rounds(FAIR, STORM)
@pytest.mark.parametrize("switch", [taking_back, shutting], ids=["by the sharer", "by an operator"])
def test_a_link_switched_off_among_re_mints_and_renewals_is_off_for_good(
    arena: Arena, switch: Callable[[str], Callable[[], Link]]
) -> None:
    asked = a_share()
    link = an_expired_link(asked)
    mints = [minting(asked, until=LATER + 1 + n) for n in range(40)]
    others = [batching(asked)] * 12 + [minting(asked, until=None)] * 11

    outcomes = arena.race(*mints, switch(link.code), *others)

    outcomes.expect_won_or("link_off")
    assert outcomes[len(mints)].won
    race(minting(asked, until=None)).expect(link_off=1)
    assert [one.state for one in batching(asked)()] == ["off"]
    check_off_for_good(arena, link.code)
    check_renewed_once(arena, link.code)


@rounds(STORM)
def test_renewals_at_once_agree_on_one_expiry(arena: Arena) -> None:
    asked = a_share()
    link = an_expired_link(asked)

    outcomes = arena.race(*[minting(asked, until=LATER + 1 + n) for n in range(CROWD)])

    outcomes.expect(won=CROWD)
    [row] = arena.rows("link", code=link.code)
    assert {one.expires_at for one in outcomes.winners} == {row["expires_at"]}
    check_renewed_once(arena, link.code)


@rounds(STORM)
def test_many_switch_offs_are_one_switch_and_one_audit(arena: Arena) -> None:
    link = an_expired_link(a_share())

    arena.race(*[shutting(link.code) for _ in range(CROWD)]).expect(won=CROWD)

    check_off_for_good(arena, link.code)
    check_one_audit(arena)


def test_a_switch_off_that_comes_second_is_answered_like_the_first(arena: Arena) -> None:
    link = an_expired_link(a_share())

    with overtaken(arena.client, "TransactWriteItems", by=taking_back(link.code)):
        assert taking_back(link.code)().state == "off"


def test_a_renewal_overtaken_by_a_switch_off_says_so(arena: Arena) -> None:
    asked = a_share()
    link = an_expired_link(asked)

    with overtaken(arena.client, "UpdateItem", by=taking_back(link.code)), pytest.raises(sharing.LinkOff):
        minting(asked, until=None)()


def test_a_new_link_without_its_condition_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = a_share()
    link = an_expired_link(asked)
    careless(monkeypatch, lambda write: replace(write, when=None) if write.natural else write)

    with overtaken(arena.client, "PutItem", by=taking_back(link.code)):
        minting(asked, until=None)()

    with pytest.raises(AssertionError, match="off in images"):
        check_off_for_good(arena, link.code)


def only_if_expired(write: Write) -> Write:
    """A renewal that does not ask whether the link is on."""
    return replace(write, when=Link.expires_at == LATER - 1) if write.operation == "Update" else write


def only_if_on(write: Write) -> Write:
    """A renewal that does not ask whether the link was renewed already."""
    return replace(write, when=Link.state == "on") if write.operation == "Update" else write


def test_a_renewal_that_does_not_ask_for_on_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = a_share()
    link = an_expired_link(asked)
    switch = taking_back(link.code)
    careless(monkeypatch, only_if_expired)

    with overtaken(arena.client, "UpdateItem", by=switch), pytest.raises(sharing.LinkOff):
        minting(asked, until=None)()

    with pytest.raises(AssertionError, match="off in images"):
        check_off_for_good(arena, link.code)


def test_a_renewal_that_does_not_ask_for_the_old_expiry_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = a_share()
    link = an_expired_link(asked)
    careless(monkeypatch, only_if_on)

    with overtaken(arena.client, "UpdateItem", by=minting(asked, until=LATER + 1)):
        minting(asked, until=LATER + 2)()

    with pytest.raises(AssertionError, match="renewed 2 times"):
        check_renewed_once(arena, link.code)


def test_a_switch_off_that_does_not_ask_for_on_is_noticed(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = an_expired_link(a_share())
    careless(monkeypatch, lambda write: replace(write, when=None) if write.operation == "Update" else write)

    with overtaken(arena.client, "TransactWriteItems", by=shutting(link.code)):
        shutting(link.code)()

    with pytest.raises(AssertionError):
        check_one_audit(arena)
    with pytest.raises(AssertionError, match="off in images"):
        check_off_for_good(arena, link.code)
