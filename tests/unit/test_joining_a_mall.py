"""The page for those who join their mall: its vectors are ours, and its code makes and checks them.

In each of its languages that is there; tests/e2e/test_joining_a_mall.py lets the same code call Liebian.
"""

import ast
import re
import time
from pathlib import Path

import pytest

from chalicelib.core import config, webhooks
from tests.joining import LANGUAGES, PAGE, block, printed

NEW, OLD, OTHER = "whsec_bmV3LXNlY3JldC1vZi10aGUtbWFsbA==", "old-secret", "another-secret"
BODY = '{"type":"refund.requested","data":{"reason":"团长已退款","amount_fen":8900}}'

Vector = tuple[str, str, str, str, str]


def vectors() -> list[Vector]:
    """Secret, id, timestamp, body and signature of each."""
    lines = block("vectors").splitlines()
    # Five lines each and an empty one between: an empty body is an empty line, too.
    fives = [lines[at : at + 5] for at in range(0, len(lines), 6)]
    return [(one[0], one[1], one[2], one[3], one[4]) for one in fives]


def signed(monkeypatch: pytest.MonkeyPatch, secret: str, webhook_id: str, at: int, body: str) -> str:
    """What Liebian signs while this is its newest secret."""
    config.reset()
    monkeypatch.setenv("SECRET_MALL_SECRETS", secret)
    return webhooks.sign(body, webhook_id=webhook_id, now=at)["webhook-signature"]


def test_the_vectors_are_what_we_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    found = vectors()

    assert [signed(monkeypatch, one[0], one[1], int(one[2]), one[3]) for one in found] == [
        one[4] for one in found
    ]
    assert len(found) == 3 and {one[3] == "" for one in found} == {True, False}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_code_signs_the_vectors_and_believes_nobody_but_us(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(time.time())
    ours, older = (signed(monkeypatch, secret, "dlv_1", now, BODY) for secret in (NEW, OLD))
    late, early = (signed(monkeypatch, NEW, "dlv_1", at, BODY) for at in (now - 600, now + 600))
    both, at = f"{NEW},{OLD}", str(now)
    believed = [
        (both, "dlv_1", at, ours, BODY),
        (both, "dlv_1", at, older, BODY),
        (NEW, "dlv_1", at, f"v1,AAAA v2,x {ours}", BODY),
    ]
    refused = [
        (OTHER, "dlv_1", at, ours, BODY),
        (both, "dlv_2", at, ours, BODY),
        (both, "dlv_1", str(now + 1), ours, BODY),
        (both, "dlv_1", at, ours, BODY.replace("8900", "8901")),
        (both, "dlv_1", str(now - 600), late, BODY),
        (both, "dlv_1", str(now + 600), early, BODY),
        (both, "dlv_1", "soon", ours, BODY),
        (both, "dlv_1", at, "", BODY),
        (both, "", at, ours, BODY),
    ]
    fives = [(secret, name, when, signature, body) for secret, name, when, body, signature in vectors()]

    said = [
        line.rsplit(" ", 1)
        for line in printed(language, tmp_path, "check", *sum([*fives, *believed, *refused], ()))
    ]

    # The vectors are genuine, and of long ago.
    assert said[: len(fives)] == [[one[3], "false"] for one in fives]
    assert [believes for _, believes in said[len(fives) :]] == ["true"] * len(believed) + ["false"] * len(
        refused
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_code_is_short(language: str) -> None:
    lines = [line for line in block(language).splitlines() if line.strip() and not line.startswith("import")]

    assert 25 <= len(lines) <= 45


def told(source: str) -> set[str]:
    """The types of message that a file gives to the mall: what it owes, or posts by itself."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("owe", "_told")) and node.args:
            found |= _strings(node.args[0])
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            found |= {
                name for key, value in pairs if key and "type" in _strings(key) for name in _strings(value)
            }
    return {name for name in found if re.fullmatch(r"[a-z_]+\.[a-z_]+", name)}


def _strings(node: ast.expr) -> set[str]:
    constants = (one.value for one in ast.walk(node) if isinstance(one, ast.Constant))
    return {value for value in constants if isinstance(value, str)}


def test_the_page_names_every_event_that_is_taken_and_every_one_that_is_told() -> None:
    from chalicelib.orders.mall import _TAKES

    rooms = (Path(__file__).parents[2] / "chalicelib").rglob("*.py")
    names = {name for path in rooms for name in told(path.read_text(encoding="utf-8"))}

    assert {"refund.requested", "campaign.closed", "member.unbound", "member.level_changed"} <= names
    assert [name for name in sorted({*_TAKES, *names}) if f"`{name}`" not in PAGE] == []
