"""The README's tour: its commands run as a newcomer would paste them, and print what the README says they print.

Ids, codes, tokens and times differ from run to run; everything else has to be the same, in both languages.
"""

import re
import subprocess
from pathlib import Path

from tests.e2e.stack import Running

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = re.compile(r"\b[2-9A-HJKMNP-Z]{10}\b|\b\d{10}\b|mbr_\w{26}")


def blocks(name: str) -> list[tuple[str, str]]:
    """The commands of a README and what they print, in order."""
    return [(match[1], match[2]) for match in _BLOCK.finditer((ROOT / name).read_text())]


def printed(running: Running, commands: list[str], folder: Path) -> list[str]:
    """What each block prints, all of them in one shell."""
    script = "\n".join(f"{block}\necho ---end-of-block---" for block in commands)
    script = script.replace("http://127.0.0.1:8000", running.url)
    script = script.replace("http://127.0.0.1:8001", running.mall_url)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("---end-of-block---\n")[:-1]


def test_the_tour_prints_what_the_readme_says(running: Running, tmp_path: Path) -> None:
    found = blocks("README.md")
    commands = [text for kind, text in found if kind == "sh"]
    expected = ["".join(text for kind, text in after if kind == "text") for after in _followed(found)]

    actual = printed(running, commands, tmp_path)

    assert len(commands) >= 9
    assert [_VARYING.sub("…", text) for text in actual] == [_VARYING.sub("…", text) for text in expected]


def test_both_languages_have_the_same_tour() -> None:
    assert blocks("README.md") == blocks("README.zh-CN.md")


def _followed(found: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """For every command block, the text block that follows it, if one does."""
    starts = [at for at, (kind, _) in enumerate(found) if kind == "sh"]
    return [[block for block in found[at + 1 : at + 2] if block[0] == "text"] for at in starts]
