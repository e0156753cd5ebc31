"""A call that is counted when the store fails: the limit is never passed, and nobody is shut out by a fault."""

import pytest

from chalicelib.core import cache, limits, table
from chalicelib.core.limits import TooManyCalls
from tests.factories import NOW, books, emptied
from tests.harness.direct import Direct
from tests.harness.faults import each_fault

A_MINUTE = 9


def call() -> None:
    limits.admit("mbr_alice", "POST /v1/links", a_minute=A_MINUTE, now=NOW)


def test_the_limit_is_never_passed(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits._counted, "peek", lambda *_, **__: A_MINUTE)

    def setup() -> None:
        emptied()
        cache.clear_all()

    def check(_: None) -> None:
        with pytest.raises(TooManyCalls):
            for _n in range(A_MINUTE):
                call()
        assert [row["n"] for row in books(direct, "traffic").of("member_calls")] == [A_MINUTE - 3]

    refused = (TooManyCalls,)
    each_fault(lambda _: call(), client=table.client(), setup=setup, check=check, may_refuse=refused)
