"""Two who meet over what all functions share of WeChat: its token, its budgets, what it pushes.

Each course is known, so that it fails whenever its condition is gone; tests/mutations does just that.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.core import cache, table
from chalicelib.sessions.schemas import PushedWith
from chalicelib.sessions.wechat import take_push
from chalicelib.wechat import budgets, client, pushes, tokens
from chalicelib.wechat.budgets import Budget, WeChatBudgetSpent
from chalicelib.wechat.models import Token
from tests.factories import NOW, a_call, books
from tests.harness.direct import Direct
from tests.harness.meetings import before_write
from tests.wechat import APP, add_program

SOON = NOW + tokens.RENEWED_BEFORE_S
LIVES_S = 7200


class WeChat:
    """It gives the same token to whoever asks, unless it is ``silent``."""

    def __init__(self) -> None:
        self.asked, self.silent = 0, False

    def send(self, *_: Any, **__: Any) -> bytes:
        self.asked += 1
        if self.silent:
            raise client.Unanswered
        return json.dumps({"access_token": "new", "expires_in": LIVES_S}).encode()


@pytest.fixture
def there(direct: Direct, monkeypatch: pytest.MonkeyPatch) -> WeChat:
    """Nobody remembers a token yet."""
    cache.clear_all()
    found = WeChat()
    monkeypatch.setattr(client, "send", found.send)
    return found


def silently(there: WeChat) -> None:
    """Another renews it and hears nothing, so that it is theirs for some seconds."""
    there.silent = True
    with pytest.raises(client.Unanswered):
        tokens.current(APP, now=NOW)
    there.silent = False


@pytest.mark.parametrize("another", [silently, lambda _: tokens.current(APP, now=NOW)], ids=["begun", "done"])
def test_a_token_that_another_renews_meanwhile_is_not_renewed_again(
    there: WeChat, another: Callable[[WeChat], object]
) -> None:
    table.apply(table.create(Token(*Token.key(APP.appid), token="old", until=SOON, ttl=SOON)))

    with before_write(1, lambda: another(there)):
        assert tokens.current(APP, now=NOW) == "old"

    assert there.asked == 1


def test_of_two_who_are_told_one_token_it_lives_as_long_as_the_later_was_told(
    there: WeChat, direct: Direct
) -> None:
    with before_write(3, lambda: tokens.current(APP, now=NOW + 5)):
        tokens.current(APP, now=NOW)

    assert books(direct, "traffic").only("wechat_token")["until"] == NOW + 5 + LIVES_S


def test_a_token_is_not_asked_for_more_often_than_wechat_allows(
    there: WeChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(budgets.BUDGETS, "token", Budget(a_minute=1))
    tokens.current(APP, now=NOW)

    with pytest.raises(WeChatBudgetSpent):
        tokens.renewed(APP, instead_of="new", now=NOW)

    assert there.asked == 1


TOLD = {"FromUserName": "oAlice", "Event": "e", "CreateTime": 1}


def pushed(now: int) -> None:
    """WeChat's server tells it."""
    given = PushedWith(timestamp=str(now), nonce="n", signature="past the door")
    take_push(a_call(now=now), "demo", given, json.dumps(TOLD).encode())


def noted(now: int) -> None:
    """Somebody hands on what it told."""
    pushes.note(TOLD, program_id="demo", now=now)


@pytest.mark.parametrize("tell", [pushed, noted])
def test_what_wechat_tells_twice_arrived_when_it_was_told_first(
    direct: Direct, tell: Callable[[int], None]
) -> None:
    add_program()

    for now in (NOW, NOW + 9):
        tell(now)

    assert books(direct).only("wechat_push")["arrived_at"] == NOW
