"""Bindings as stretches of time: what holds when, and what another policy would have made of the same comings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.clock import DAY
from chalicelib.sharing.history import Coming, Span, Terms, held_at, renewed, replayed

WEEK = Terms(mode="first_window", window_days=7)
RENEWED = replace(WEEK, renew_by_purchase=True)
times = st.integers(0, 60 * DAY)
ways = st.sampled_from(["registered", "visit", "invite_code", "operator"])
policies = st.builds(
    Terms,
    mode=st.sampled_from(["first", "first_window", "last", "new_members"]),
    window_days=st.none() | st.integers(1, 20),
    renew_by_purchase=st.booleans(),
    protect_days=st.integers(0, 10),
)
comings = st.lists(
    st.builds(Coming, at=times, promoter_id=st.sampled_from(["a", "b", "c"]), how=ways), max_size=8
)


def came(at: int, promoter: str | None, how: str = "visit") -> Coming:
    return Coming(at=at * DAY, promoter_id=promoter, how=how)  # type: ignore[arg-type]


def whose(terms: Terms, *there: Coming, at: int, bought: tuple[int, ...] = ()) -> str | None:
    span = replayed(there, [day * DAY for day in bought], terms=terms, at=at * DAY)
    return span.promoter_id if span else None


@pytest.mark.parametrize(
    ("terms", "at", "promoter"),
    [
        (Terms(mode="first"), 9, "a"),
        (WEEK, 6, "a"),
        (WEEK, 7, None),
        (WEEK, 8, "b"),
        (Terms(mode="last"), 6, "b"),
        (Terms(mode="last", protect_days=5), 4, "a"),
        (Terms(mode="last", protect_days=6), 6, "a"),
        (Terms(mode="new_members"), 9, None),
    ],
)
def test_each_mode_has_its_promoter(terms: Terms, at: int, promoter: str | None) -> None:
    assert whose(terms, came(0, "a"), came(5, "b"), came(8, "b"), at=at) == promoter


def test_what_an_operator_says_stands_under_every_policy() -> None:
    for terms in (Terms(mode="new_members"), Terms(mode="first"), Terms(mode="last", protect_days=99)):
        assert whose(terms, came(0, "a", "registered"), came(1, "b", "operator"), at=2) == "b"
        assert whose(terms, came(0, "a", "registered"), came(1, None, "operator"), at=2) is None


def test_purchases_within_the_window_begin_it_anew_and_later_ones_do_not() -> None:
    assert whose(RENEWED, came(0, "a"), at=12, bought=(6,)) == "a"
    assert whose(RENEWED, came(0, "a"), at=13, bought=(6,)) is None
    assert whose(RENEWED, came(0, "a"), at=14, bought=(8,)) is None
    assert whose(WEEK, came(0, "a"), at=12, bought=(6,)) is None
    assert renewed(7 * DAY, [12 * DAY, 6 * DAY], terms=RENEWED) == 19 * DAY


@given(there=comings, bought=st.lists(times, max_size=6), terms=policies, at=times, later=times)
def test_what_comes_later_changes_nothing_of_an_earlier_second(
    there: list[Coming], bought: list[int], terms: Terms, at: int, later: int
) -> None:
    """Asked late or early, an order is the same promoter's."""
    early = [one for one in there if one.at <= at]
    known = [one for one in bought if one <= at]

    assert replayed(there, bought, terms=terms, at=at) == replayed(early, known, terms=terms, at=at)


@given(bought=st.lists(times, max_size=8), at=times)
def test_a_window_that_was_lengthened_later_held_already(bought: list[int], at: int) -> None:
    """So one ``expires_at`` on the binding answers for every second of the past."""
    known = [one for one in bought if one <= at]
    in_the_end = renewed(7 * DAY, bought, terms=RENEWED)
    then = renewed(7 * DAY, known, terms=RENEWED)

    assert (at < in_the_end) == (at < then)


@given(there=comings, terms=policies, at=times)
def test_first_is_the_first_last_is_the_last_and_nobody_is_bound_without_coming(
    there: list[Coming], terms: Terms, at: int
) -> None:
    span = replayed(there, [], terms=terms, at=at)

    assert span is None or any((one.at, one.promoter_id) == (span.at, span.promoter_id) for one in there)
    if span is not None and terms.window_days is not None:
        assert span.at <= at < span.at + terms.window_days * DAY


@given(cuts=st.lists(times, min_size=1, max_size=6, unique=True), at=times)
def test_of_stretches_one_after_the_other_one_holds_at_most(cuts: list[int], at: int) -> None:
    ends = [*sorted(cuts)[1:], None]
    spans = [
        Span(promoter_id=str(n), at=begin, cause="visit", until=end)
        for n, (begin, end) in enumerate(zip(sorted(cuts), ends, strict=True))
    ]

    holding = [span for span in spans if span.holds(at)]

    assert len(holding) == (at >= min(cuts))
    assert held_at(spans, at) == (holding[0] if holding else None)
