"""The code that docs/joining-a-mall.md gives to those who join their mall, made to run.

A driver for each language speaks for the tests: its arguments come in fives.

    check   secrets (joined by commas), id, timestamp, signature, body    prints what it signs, whether it believes
    call    method, url, secret, id, body                                 prints the status
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests import needs

PAGE = (Path(__file__).parents[1] / "docs" / "joining-a-mall.md").read_text(encoding="utf-8")
LANGUAGES = ("javascript", "java", "php")

_JAVA = """
class Joined {
    public static void main(String[] all) throws Exception {
        for (int at = 1; at < all.length; at += 5) {
            String[] given = java.util.Arrays.copyOfRange(all, at, at + 5);
            if (all[0].equals("call")) {
                System.out.println(Liebian.call(given[0], given[1], given[2], given[3], given[4]).statusCode());
                continue;
            }
            List<String> secrets = List.of(given[0].split(","));
            System.out.println(Liebian.sign(secrets.get(0), given[1], given[2], given[4]) + " "
                + Liebian.isFromLiebian(secrets, given[1], given[2], given[3], given[4]));
        }
    }
}
"""
_NODE = """
(async () => {
  const [what, ...all] = process.argv.slice(2);
  for (let at = 0; at < all.length; at += 5) {
    const given = all.slice(at, at + 5);
    if (what === "call") { console.log((await call(...given)).status); continue; }
    const [secrets, id, timestamp, signature, body] = [given[0].split(","), ...given.slice(1)];
    const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
    console.log(sign(secrets[0], id, timestamp, body), isFromLiebian(secrets, headers, body));
  }
})();
"""
_PHP = """
foreach (array_chunk(array_slice($argv, 2), 5) as $given) {
    if ($argv[1] === 'call') { echo liebian_call(...$given)[0], "\\n"; continue; }
    [$secrets, $id, $at, $signature, $body] = [explode(',', $given[0]), ...array_slice($given, 1)];
    $believed = is_from_liebian($secrets, $id, $at, $signature, $body) ? 'true' : 'false';
    echo liebian_sign($secrets[0], $id, $at, $body), " $believed\\n";
}
"""


def block(language: str) -> str:
    """The page's code in this language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def printed(language: str, folder: Path, what: str, *given: str) -> list[str]:
    """What the page's code says, a line for every five arguments; `needs` says where it may lack."""
    needed, name, text = {
        "javascript": ("node", "joined.js", block(language) + _NODE),
        "java": ("javac", "Joined.java", _java(block(language))),
        "php": ("php", "joined.php", block(language) + _PHP),
    }[language]
    if shutil.which(needed) is None:
        needs.go_without(f"there is no {needed} here")
    (folder / name).write_text(text, encoding="utf-8")
    # Two seconds of Java, not three; and whatever the machine speaks, arguments are UTF-8.
    run = {"javascript": ["node"], "java": ["java", "-XX:TieredStopAtLevel=1"], "php": ["php"]}[language]
    command, speaks = [*run, name, what, *given], {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, cwd=folder, env=speaks, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _java(page: str) -> str:
    """Java starts the first class of a file."""
    return page.replace("class Liebian {", f"{_JAVA}\nclass Liebian {{", 1)
