"""What is taken off a withdrawal: it always adds up, and a month in parts is taxed as the month in one."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import config
from chalicelib.withdrawals import payees, sealing, tax
from chalicelib.withdrawals.tax import DayTally, Tally

NOW = 1_767_232_800
NONE = {"rule": "none", "bps": 0, "identity": False}
MONTHLY = {**NONE, "rule": "monthly"}
FEN = st.integers(1, 200_000_00)
RULES = st.one_of(
    st.sampled_from([NONE, MONTHLY, {**NONE, "rule": "mall"}]),
    st.integers(1, 10_000).map(lambda bps: {**NONE, "rule": "fixed", "bps": bps}),
)


@pytest.mark.parametrize(
    ("income_fen", "withheld_fen"),
    [
        (800_00, 0),
        (800_01, 0),  # a fifth of a fen
        (800_05, 1),
        (1_000_00, 40_00),
        (4_000_00, 640_00),  # less ¥800
        (4_000_01, 640_00),  # less 20 %
        (5_000_00, 800_00),
        (25_000_00, 4_000_00),  # ¥20,000 are taxable
        (30_000_00, 5_200_00),  # 24,000 × 30 % − 2,000
        (62_500_00, 13_000_00),  # ¥50,000 are taxable
        (100_000_00, 25_000_00),  # 80,000 × 40 % − 7,000
    ],
)
def test_a_month_is_withheld_by_the_table(income_fen: int, withheld_fen: int) -> None:
    assert tax.withheld_fen(income_fen) == withheld_fen


@given(
    amount=FEN,
    fixed=st.integers(0, 50_00),
    bps=st.integers(0, 10_000),
    rule=RULES,
    base=st.integers(0, 10**7),
)
def test_fee_and_tax_are_inside_the_amount(
    amount: int, fixed: int, bps: int, rule: dict[str, object], base: int
) -> None:
    tally = Tally(base_fen=base, tax_fen=tax.withheld_fen(base))

    split = tax.split(amount, fixed_fen=fixed, bps=bps, rule=rule, tally=tally)

    assert split.fee_fen + split.tax_fen + split.net_fen == split.amount_fen == amount
    assert min(split.fee_fen, split.tax_fen, split.net_fen) >= 0


def test_the_fee_is_not_paid_out_beside_the_amount() -> None:
    # yudao transferred the whole price and took the fee off nothing until commit 3aa9ea997b.
    split = tax.split(100_00, fixed_fen=0, bps=500, rule=NONE, tally=Tally())

    assert (split.fee_fen, split.net_fen) == (5_00, 95_00)


def paid_in_turn(amounts: Sequence[int], failing: Sequence[bool] = ()) -> Tally:
    """The month after these payments, some of which came back at once."""
    tally = Tally()
    fails = [*failing, *[False] * len(amounts)]
    for amount, came_back in zip(amounts, fails, strict=False):
        taken = tax.tax_fen(MONTHLY, amount, tally)
        tally = tally.with_taxed(base_fen=amount, tax_fen=taken)
        if came_back:
            tally = tally.less_taxed(base_fen=amount, tax_fen=taken)
    return tally


@given(amounts=st.lists(FEN, min_size=1, max_size=8), failing=st.lists(st.booleans(), max_size=8))
def test_a_month_in_parts_is_taxed_as_the_month_in_one(amounts: list[int], failing: list[bool]) -> None:
    tally = paid_in_turn(amounts, failing)

    assert tally.tax_fen == tax.withheld_fen(tally.base_fen)


@given(first=FEN, then=FEN)
def test_what_comes_back_of_an_earlier_payment_leaves_nothing_owed_to_the_tax_office(
    first: int, then: int
) -> None:
    """Its tax was worked out before the other's: what is left was withheld in full, or more, never less."""
    both = paid_in_turn([first, then])
    came_back = both.less_taxed(base_fen=first, tax_fen=tax.withheld_fen(first))

    # Each payment's own rounding down may take a fen.
    assert came_back.tax_fen >= tax.withheld_fen(then) - 1
    assert tax.tax_fen(MONTHLY, 100_00, came_back) >= 0


def test_another_day_begins_at_nothing() -> None:
    tally = DayTally(day="2026-01-31", day_fen=500)

    assert tally.on("2026-01-31") == tally
    assert tally.on("2026-02-01").with_day(7) == DayTally(day="2026-02-01", day_fen=7)
    assert tally.less_day(day="2026-01-30", fen=500) == tally
    assert tally.less_day(day="2026-01-31", fen=200) == DayTally(day="2026-01-31", day_fen=300)


def test_a_person_is_one_by_kind_and_number_and_cannot_be_read_off_their_hash() -> None:
    who = [("id_card", "11010519491231002X"), ("passport", "11010519491231002X"), ("passport", "E12345678")]

    persons = [payees.person_of(id_kind=kind, id_number=number, now=NOW) for kind, number in who]

    assert len(set(persons)) == 3 and persons[0] == payees.person_of(
        id_kind="id_card", id_number="11010519491231002X", now=NOW + 1
    )
    assert not any(number in person for (_, number), person in zip(who, persons, strict=True))


def test_a_month_needs_to_know_whom_it_pays() -> None:
    assert tax.needs_identity(MONTHLY)
    assert not tax.needs_identity(NONE)
    assert tax.needs_identity({**NONE, "rule": "fixed", "identity": True})


# --- what is personal ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "about"), [("王小明", "payee#mbr_1"), ("", ""), ("a.b", "wdr_1")])
def test_what_is_sealed_opens_for_what_it_is_about_alone(text: str, about: str) -> None:
    from cryptography.exceptions import InvalidTag

    sealed = sealing.seal(text, about=about, nonce=b"n" * 12, now=NOW)

    assert sealing.opened(sealed, about=about, now=NOW) == text
    with pytest.raises(InvalidTag):
        sealing.opened(sealed, about=f"{about}x", now=NOW)


def test_keys_rotate(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = "aa" * 32, "bb" * 32
    monkeypatch.setenv("SECRET_PAYEE_KEYS", json.dumps({"k.1": old}))
    sealed = sealing.seal("王小明", about="x", nonce=b"n" * 12, now=NOW)

    monkeypatch.setenv("SECRET_PAYEE_KEYS", json.dumps({"k2": new, "k.1": old}))

    assert sealing.opened(sealed, about="x", now=NOW) == "王小明"
    assert sealing.seal("a", about="x", nonce=b"n" * 12, now=NOW).startswith("k2.")


@pytest.mark.parametrize("secret", ["", "x", "[]", "{}", '{"k": "aa"}', '{"k": 1}'])
def test_keys_that_are_none_are_not_ready(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_PAYEE_KEYS", secret)

    assert not sealing.ready(now=NOW)
    with pytest.raises(config.ConfigError, match="payee_keys"):
        sealing.seal("a", about="x", nonce=b"n" * 12, now=NOW)


def test_numbers_and_names_are_shown_masked() -> None:
    assert [sealing.masked(number) for number in ("6222020200112230", "1234567", "12345678")] == [
        "****2230",
        "****",
        "****5678",
    ]
    assert sealing.masked_name("王小明") == "王*"


@pytest.mark.parametrize(
    ("number", "right"),
    [
        ("11010519491231002X", True),  # the standard's own example, GB 11643
        ("11010519491231002x", True),
        ("440524188001010014", True),
        ("110105194912310021", False),
        ("11010519491231002", False),
        ("1101051949123100２X", False),
        ("", False),
    ],
)
def test_an_id_card_has_its_check_digit(number: str, right: bool) -> None:
    assert payees.is_id_card(number) is right
