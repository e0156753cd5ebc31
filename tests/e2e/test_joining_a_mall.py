"""The code of docs/joining-a-mall.md calls a Liebian that serves, and is let in."""

from pathlib import Path

import pytest

from tests.e2e.stack import Running
from tests.factories import a_word
from tests.joining import LANGUAGES, printed


@pytest.mark.parametrize("language", LANGUAGES)
def test_its_calls_are_let_in(language: str, beside_a_mall: Running, tmp_path: Path) -> None:
    url, secret = beside_a_mall.url, "demo-mall-secret"
    name = a_word("c-")
    vouch = (
        "POST",
        f"{url}/v1/mall/sessions",
        secret,
        name,
        f'{{"external_id": "{name}", "program_id": "demo"}}',
    )
    reads = ("GET", f"{url}/v1/mall/orders/ord_none", secret, a_word("msg_"), "")
    lets_go = ("DELETE", f"{url}/v1/mall/seats/none", secret, a_word("msg_"), "")
    stranger = (*vouch[:2], "another-secret", a_word("msg_"), vouch[4])

    said = printed(language, tmp_path, "call", *vouch, *vouch, *reads, *lets_go, *stranger)

    assert said == ["201", "200", "404", "404", "401"]
