"""Becoming one when any call fails: the retry leaves one merge, and each thing is moved once."""

import pytest

from chalicelib.core import cache, due, table
from chalicelib.members import merging
from infra.local.clients import Store
from tests.factories import NOW, books, emptied
from tests.harness.faults import each_fault
from tests.merging import HOME, UNION, Two, looked, sign_in, two_members

pytestmark = pytest.mark.usefixtures("direct")


def two_who_are_one() -> Two:
    emptied()
    two = two_members()
    cache.clear_all()
    return two


def test_a_sign_in_merges_once(store: Store) -> None:
    def check(two: Two) -> None:
        there = books(store.client)
        assert {row["member_id"] for row in there.of("identity")} == {two.other}
        assert {row["member_id"]: row["state"] for row in there.of("member")} == {
            two.one: "merged",
            two.other: "active",
        }
        assert (there.only("merge")["into"], there.only("blocked")["merged_into"]) == (two.other, two.other)

    each_fault(lambda two: sign_in(HOME, UNION), client=table.client(), setup=two_who_are_one, check=check)


def test_a_look_of_the_job_that_breaks_off_is_made_again(store: Store) -> None:
    def merged() -> Two:
        two = two_who_are_one()
        sign_in(HOME, UNION)
        cache.clear_all()
        return two

    def look(two: Two) -> None:
        row = books(store.client).only("merge")
        if row["due_at"] <= NOW + 30:
            names = {name: row[name] for name in due.Entry.__annotations__ if name in row}
            merging.hand_over(due.Entry(**{"due_ref": "", **names}), NOW + 30)

    def check(two: Two) -> None:
        row = books(store.client).only("merge")
        assert (row["look"], row["due_at"]) == (1, NOW + merging.LOOKS_S[1])

    each_fault(look, client=table.client(), setup=merged, check=check)
    assert looked(now=NOW + 366 * 86_400).handled == 1
