"""The environment that the app wants, set before anything imports it, and the two stores that tests stand on.

``store`` is the embedded one, emptied for every test. ``engine`` is DynamoDB Local: one for the session, its
tables never emptied (tests use `fresh` ids), its tests marked ``engine`` and skipped aloud where it cannot run;
with REQUIRE_ENGINE=1 they fail there instead.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest

from infra.local.clients import Store
from infra.local.wechat import Simulator
from tests import needs

os.environ.update(
    {
        "STAGE": "test",
        "TRUTH_TABLE": "truth",
        "TRAFFIC_TABLE": "traffic",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "BASE_URL": "http://127.0.0.1:8000",
        "SECRETS": "env",
        "SECRET_SESSION_KEYS": '{"test-1":"' + "5e" * 32 + '"}',
        "SECRET_LINK_KEY": "11" * 32,
        "SECRET_WECHAT_DEMO": "demo-secret",
        "SECRET_WECHAT_DEMO_MESSAGE_TOKEN": "message-token",
        "SECRET_WECHAT_DEMO_MESSAGE_KEY": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
        "SECRET_ERASED_KEY": "22" * 32,
        "SECRET_MALL_SECRETS": "test-mall-secret",
        "SECRET_PAYEE_KEYS": '{"test-1":"' + "5e" * 32 + '"}',
        "TIMEZONE": "Asia/Shanghai",
        "POWERTOOLS_METRICS_DISABLED": "true",
        "POWERTOOLS_LOG_LEVEL": "WARNING",
        "WECHAT_URL": "http://127.0.0.1:1",
    }
)

pytest.register_assert_rewrite("tests.store_contract", "tests.pump_contract", "tests.world")

import app  # noqa: E402, F401 - every test stands in the whole house: who reacts does not hang on what ran before
from tests.factories import alone  # noqa: E402 - it wants the environment, too
from tests.harness.direct import Direct  # noqa: E402
from tests.world import beginning, world, world_port, world_wechat  # noqa: E402

__all__ = ["beginning", "world", "world_port", "world_wechat"]

# How long an example takes says what else the machine does.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_NO_ENGINE = "no engine: "

TOGETHER = ("e2e", "packaging")
"""Folders whose files share what takes long to make: a running stack, the packages."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Of the processes that `make test` runs, each takes whole files, or a whole folder that stands together.

    Said by a scheduler, since with pytest 9.2 the marks of ``--dist loadgroup`` group nothing
    (github.com/pytest-dev/pytest-xdist/issues/1386). In the order of the folders, so that the quick files of
    ``unit`` are the last and no process waits long for another.
    """
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    def stands_with(test: str) -> str:
        path = test.partition("::")[0]
        return next((folder for folder in TOGETHER if f"/{folder}/" in path), path)

    config.option.loadscopereorder = False
    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = stands_with
    return scheduler


@pytest.fixture
def fresh() -> str:
    """A part for keys that no other test has used."""
    return uuid.uuid4().hex[:12]


@pytest.fixture(scope="session")
def embedded_store() -> Iterator[Store]:
    """The embedded store for the session; tests ask for ``store``."""
    from infra.local import embedded, tables

    embedded.start()
    there = Store()
    tables.create(there.client)
    yield there
    embedded.stop()


@pytest.fixture
def store(embedded_store: Store) -> Iterator[Store]:
    """The embedded store, empty, with the app looking at it."""
    from infra.local import embedded

    embedded.empty()
    with _app_at(""):
        yield embedded_store


@pytest.fixture
def direct(store: Store, monkeypatch: pytest.MonkeyPatch) -> Direct:
    """The embedded store without HTTP between, for tests that make very many calls."""
    from chalicelib.core import table

    there = Direct(store.client)
    monkeypatch.setattr(table, "_client", there)
    return there


@pytest.fixture
def weixin(store: Store) -> Iterator[Simulator]:
    """A simulated WeChat that knows the program `tests.wechat.APP`, with the app speaking to it."""
    from chalicelib.core import config
    from infra.local import wechat

    simulator = wechat.start(dict(wechat.DEMO_PROGRAMS))
    config.override(wechat_url=simulator.url)
    yield simulator
    simulator.stop()


@pytest.fixture(autouse=True)
def _alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a test or its file is marked ``alone("a", "b")``, nobody but these rooms reacts to facts."""
    marker = request.node.get_closest_marker("alone")
    if marker is not None:
        alone(monkeypatch, *marker.args)


@pytest.fixture(scope="session")
def engine_store() -> Iterator[Store]:
    """DynamoDB Local for the session; tests ask for ``engine``."""
    from infra.local import engine, tables

    able = engine.available()
    if not able:
        needs.go_without(f"{_NO_ENGINE}{able.reason}")
    with contextlib.ExitStack() as running:
        try:
            endpoint = running.enter_context(engine.running())
        except engine.Unavailable as missing:
            needs.go_without(f"{_NO_ENGINE}{missing}")
        there = Store(endpoint=endpoint)
        tables.create(there.client)
        yield there


@pytest.fixture
def engine(engine_store: Store) -> Iterator[Store]:
    """DynamoDB Local, holding what earlier tests wrote, with the app looking at it."""
    with _app_at(engine_store.endpoint):
        yield engine_store


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it once and loudly when the real engine was not there."""
    told = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())]
    reason = next((one.partition(_NO_ENGINE)[2].rstrip("')") for one in told if _NO_ENGINE in one), "")
    if reason:
        line = f"ENGINE TESTS SKIPPED: {reason} The races ran on the embedded store alone."
        terminalreporter.write_line(line, red=True, bold=True)


@contextlib.contextmanager
def _app_at(endpoint: str) -> Iterator[None]:
    from chalicelib.core import config, table

    config.reset()
    config.override(dynamodb_endpoint=endpoint)
    table.reset()
    yield
    config.reset()
    table.reset()
