"""DynamoDB Local, AWS's own engine in a JVM: for races, faults and e2e, and for a local run that remembers.

Maven fetches one release into `.cache/dynamodb-local/` on first use; after that nothing but Java is needed.
`DYNAMODB_ENDPOINT` names another endpoint instead (the official container, say), and then nothing is started.
The engine never reports a conflict between transactions; that is the hostile layer's part.
"""

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from infra.local import clients

RELEASE = "2.6.1"
CACHE = Path(__file__).parents[2] / ".cache" / "dynamodb-local"
JAVA_NEEDED = 17
STARTS_WITHIN_S = 30.0
STOPS_WITHIN_S = 10.0
FETCHED_WITHIN_S = 900.0

_POM = f"""<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>engine</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>com.amazonaws</groupId><artifactId>DynamoDBLocal</artifactId><version>{RELEASE}</version>
    </dependency>
  </dependencies>
</project>
"""

# The engine ends when the pipe to its parent closes, so not even a killed test run leaves a JVM behind.
_UNTIL_PARENT_ENDS = """
exec 3<&0
"$@" </dev/null & engine=$!
(cat <&3; kill $engine) >/dev/null 2>&1 &
wait $engine
"""


class Unavailable(Exception):
    """The engine cannot run here; the message says to a person what is missing."""


@dataclass(frozen=True)
class Availability:
    """Whether the engine can run here; false comes with a reason."""

    reason: str = ""

    def __bool__(self) -> bool:
        return not self.reason


def available() -> Availability:
    """Whether `running` can work here, as far as can be seen without fetching anything."""
    if os.environ.get("DYNAMODB_ENDPOINT"):
        return Availability()
    if _java_release() < JAVA_NEEDED:
        return Availability(f"DynamoDB Local needs Java {JAVA_NEEDED} or newer on the PATH.")
    if not _home().is_dir() and shutil.which("mvn") is None:
        return Availability(f"DynamoDB Local is not in {CACHE} yet, and fetching it needs mvn on the PATH.")
    return Availability()


def fetch() -> Path:
    """The directory with the engine, fetched on first use; several runs may do so at once.

    Raises:
        Unavailable: Maven could not fetch it.
    """
    home = _home()
    if home.is_dir():
        return home
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as working:
        fetched = _copy_with_maven(Path(working))
        try:
            fetched.rename(home)
        except OSError:  # another run was first
            if not home.is_dir():
                raise
    return home


@contextlib.contextmanager
def running(remember: Path | None = None) -> Iterator[str]:
    """A running engine's endpoint URL, in memory unless it is to remember in a directory.

    Raises:
        Unavailable: it could not be fetched or did not start.
    """
    clients.pretend_credentials()
    given = os.environ.get("DYNAMODB_ENDPOINT")
    if given:
        yield given
        return
    port = _free_port()
    with tempfile.TemporaryFile() as log, _launched(port, remember, log) as process:
        _wait_until_it_answers(port, process, log)
        yield f"http://127.0.0.1:{port}"


def _home() -> Path:
    return CACHE / RELEASE


def _java_release() -> int:
    try:
        said = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=30, check=True)  # noqa: S607 - whichever Java there is
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r'version "(\d+)', said.stderr)
    return int(found[1]) if found else 0


def _copy_with_maven(working: Path) -> Path:
    (working / "pom.xml").write_text(_POM)
    lib = working / "lib"
    command = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={lib}"]
    try:
        subprocess.run(  # noqa: S603 - Maven, by us
            command, cwd=working, check=True, capture_output=True, text=True, timeout=FETCHED_WITHIN_S
        )
    except subprocess.CalledProcessError as failed:
        raise Unavailable(f"DynamoDB Local could not be fetched by mvn:\n{failed.stdout[-2000:]}") from failed
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise Unavailable(f"DynamoDB Local could not be fetched: {failed}") from failed
    return lib


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _launched(port: int, remember: Path | None, log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    command = ["sh", "-c", _UNTIL_PARENT_ENDS, "sh", *_java(port, remember)]
    process = subprocess.Popen(  # noqa: S603 - Java, by us
        command,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C is for the parent, which may still want to write
    )
    try:
        yield process
    finally:
        process.communicate(timeout=STOPS_WITHIN_S)


def _java(port: int, remember: Path | None) -> list[str]:
    lib = fetch()
    if remember is not None:
        remember.mkdir(parents=True, exist_ok=True)
    return [
        "java",
        f"-Djava.library.path={lib}",
        f"-Dsqlite4java.library.path={lib}",
        "-XX:TieredStopAtLevel=1",  # starts in two thirds of the time, and lives too short to miss the rest
        "-cp",
        f"{lib}/*",
        "com.amazonaws.services.dynamodbv2.local.main.ServerRunner",
        "-disableTelemetry",
        "-sharedDb",
        *(["-inMemory"] if remember is None else ["-dbPath", str(remember)]),
        "-port",
        str(port),
    ]


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    give_up_at = time.monotonic() + STARTS_WITHIN_S
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > give_up_at:
            log.seek(0)
            said = log.read().decode(errors="replace")
            raise Unavailable(f"DynamoDB Local did not start:\n{said[-2000:]}")
        time.sleep(0.02)


def _answers(port: int) -> bool:
    asking = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        asking.request("GET", "/")
        return asking.getresponse().status > 0
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asking.close()
