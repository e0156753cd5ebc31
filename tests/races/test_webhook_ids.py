"""A webhook id serves one call: whoever comes first with it, and whoever says exactly the same again."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from chalicelib.core import webhooks
from chalicelib.core.table import Row, get
from chalicelib.core.webhooks import Used
from tests.factories import NOW, a_word
from tests.harness.races import Outcomes, race, read_then_write
from tests.races.arena import CROWD, STORM, Arena, careless, rounds, unconditionally

pytestmark = pytest.mark.engine


def calling(webhook_id: str, body: str, *, target: str = "/v1/mall/events") -> Callable[[], str]:
    """A signed call of the mall's servers; answers what passed."""
    headers = webhooks.sign(body, webhook_id=webhook_id, now=NOW)

    def call() -> str:
        webhooks.verify(headers=headers, method="POST", target=target, body=body.encode(), now=NOW)
        return f"{target} {body}"

    return call


def check_one_passed(outcomes: Outcomes) -> None:
    """One call passed, perhaps several times, and all its repeats did; the others were refused."""
    assert len(set(outcomes.winners)) == 1, f"{len(set(outcomes.winners))} calls passed under one id"
    outcomes.expect_won_or("signature_invalid")


def test_the_harness_sees_two_calls_pass_when_the_rule_is_a_read(arena: Arena) -> None:
    webhook_id, bodies = a_word("msg_"), iter(f"body {n}" for n in range(8))

    def read() -> Row | None:
        return get(Used, Used.key(webhook_id))

    def write(seen: Row | None) -> str:
        assert seen is None
        body = next(bodies)
        unconditionally(Used(*Used.key(webhook_id), call=body))
        return body

    naive = read_then_write(read, write, parties=8)
    outcomes = race(*[naive] * 8)

    with pytest.raises(AssertionError, match="8 calls passed"):
        check_one_passed(outcomes)


@rounds(STORM)
def test_of_two_calls_under_one_id_one_passes_each_time(arena: Arena) -> None:
    webhook_id = a_word("msg_")
    both = [calling(webhook_id, "paid"), calling(webhook_id, "refunded")]

    outcomes = arena.race(*both * (CROWD // 2))

    outcomes.expect(won=CROWD // 2, signature_invalid=CROWD // 2)
    check_one_passed(outcomes)


@rounds(STORM)
@pytest.mark.parametrize("other", ["body", "path"])
def test_of_many_different_calls_under_one_id_one_passes(arena: Arena, other: str) -> None:
    webhook_id = a_word("msg_")
    calls = [
        calling(webhook_id, f"body {n}")
        if other == "body"
        else calling(webhook_id, "", target=f"/v1/mall/{n}")
        for n in range(CROWD)
    ]

    outcomes = arena.race(*calls)

    outcomes.expect(won=1, signature_invalid=CROWD - 1)
    check_one_passed(outcomes)


def test_an_id_without_its_condition_is_noticed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    careless(monkeypatch, lambda write: replace(write, when=None))
    webhook_id = a_word("msg_")

    outcomes = race(*[calling(webhook_id, f"body {n}") for n in range(8)])

    with pytest.raises(AssertionError, match="8 calls passed"):
        check_one_passed(outcomes)
