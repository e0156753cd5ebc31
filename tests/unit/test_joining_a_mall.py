"""The page for those who join their mall: its vector is ours, and its code makes it where the language is there."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from chalicelib.core import config, webhooks

PAGE = (Path(__file__).parents[2] / "docs" / "joining-a-mall.md").read_text(encoding="utf-8")
SECRET = "whsec_bGllYmlhbi1zaWduYXR1cmUtdmVjdG9ycw=="
CALL = ("msg_1", "1795300000", '{"id":"evt_1","type":"order.paid"}')


def block(language: str) -> str:
    """The page's code in this language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_vector_is_what_we_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    config.reset()
    monkeypatch.setenv("SECRET_MALL_SECRETS", SECRET)

    headers = webhooks.sign(CALL[2], webhook_id=CALL[0], now=int(CALL[1]))

    assert headers["webhook-signature"] == block("vector").strip()
    for part in (SECRET, *CALL):
        assert f"`{part}`" in PAGE


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node here")
def test_the_node_code_makes_the_vector(tmp_path: Path) -> None:
    (tmp_path / "sign.js").write_text(block("javascript"), encoding="utf-8")
    script = "console.log(require('./sign.js').sign(...process.argv.slice(1)))"

    assert _printed(["node", "-e", script, SECRET, *CALL], tmp_path) == block("vector").strip()


@pytest.mark.skipif(shutil.which("java") is None, reason="there is no java here")
def test_the_java_code_makes_the_vector(tmp_path: Path) -> None:
    (tmp_path / "Sign.java").write_text(block("java"), encoding="utf-8")
    compiles = shutil.which("javac") is not None
    if not compiles:
        pytest.skip("this java cannot compile")

    assert _printed(["java", "Sign.java", SECRET, *CALL], tmp_path) == block("vector").strip()


@pytest.mark.skipif(shutil.which("php") is None, reason="there is no php here")
def test_the_php_code_makes_the_vector(tmp_path: Path) -> None:
    script = block("php") + "echo liebian_sign(...array_slice($argv, 1));"
    (tmp_path / "sign.php").write_text(script, encoding="utf-8")

    assert _printed(["php", "sign.php", SECRET, *CALL], tmp_path) == block("vector").strip()


def _printed(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()
