"""The whole of Liebian on this machine: store, WeChat, a mall, API, scheduled jobs, both readers of the stream.

The handlers are the deployed ones, called with the events that AWS would send; only endpoints differ.
"""

import contextlib
import socket
import threading
import traceback
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from infra.local import (
    embedded,
    engine,
    environment,
    mall,
    proxy,
    pump,
    server,
    tables,
    uploads,
    wechat,
)
from infra.local.clients import Store


class _Part(Protocol):
    def stop(self) -> None: ...


T = TypeVar("T", bound=_Part)
StoreName = Literal["embedded", "dynamodb-local"]
REMEMBERS_IN = Path(".cache/local-store")
JOBS = ("run_owed_facts", "send_deliveries", "release_holds", "expire_groups", "run_room_jobs", "transfers")
JOBS_EVERY_S = 1.0
FIRST_PAUSE_S = 1
"""What fails is tried again sooner than in a deployment, too."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A running stack."""

    host: str
    port: int
    store: StoreName
    mall_url: str
    wechat_url: str

    @property
    def url(self) -> str:
        """Where it answers on this machine."""
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def running(
    *, store: StoreName, host: str, port: int, mall_port: int = 0, wechat_port: int = 0
) -> Iterator[Stack]:
    """A stack with the demo data and a mall beside it, serving until the block ends.

    Raises:
        OSError: the port is taken; that is said before anything else is begun.
    """
    socket.create_server((host, port)).close()
    with contextlib.ExitStack() as parts:
        endpoint = parts.enter_context(_store(store))
        simulator = _stopping(parts, _wechat(host, wechat_port))
        bucket = _stopping(parts, uploads.start(host=lan_address() if host == "0.0.0.0" else "127.0.0.1"))
        shop = _stopping(parts, _mall(host, mall_port))
        environment.prepare(
            wechat_url=simulator.url,
            endpoint=endpoint,
            mall_webhook_url=shop.webhook_url,
            outbound_proxy=_way_out(simulator, parts),
            s3_endpoint=bucket.url,
        )
        there = Store(endpoint=endpoint)
        tables.create(there.client)
        import app
        from chalicelib.core import due
        from infra.local import seed

        due.FIRST_PAUSE_S = FIRST_PAUSE_S
        seed.plant()
        stop = threading.Event()
        parts.callback(stop.set)
        _work(there, app, stop)
        serving = server.make(app.app, host=host, port=port)
        _start(serving.server.serve_forever, name="api")
        parts.callback(serving.shutdown)
        stack = Stack(
            host=host,
            port=serving.server.server_address[1],
            store=store,
            mall_url=shop.url,
            wechat_url=simulator.url,
        )
        _listen(simulator, stack)
        shop.liebian.url = stack.url
        yield stack


def _work(there: Store, app: Any, stop: threading.Event) -> None:
    """The readers of the stream, and the jobs."""
    _start(lambda: _pump(there, app).run(stop), name="stream")
    _start(lambda: _schedule(app, stop), name="jobs")


def _wechat(host: str, port: int) -> wechat.Simulator:
    """A WeChat on this port, or, if somebody else has it, on a free one."""
    try:
        return wechat.start(wechat.DEMO_PROGRAMS, host=host, port=port)
    except OSError:
        return wechat.start(wechat.DEMO_PROGRAMS, host=host)


def _listen(simulator: wechat.Simulator, stack: Stack) -> None:
    """What WeChat pushes to the demo program comes here, encrypted, as its settings page would say.

    Jobs have no request to take our address from, and tell it to WeChat all the same.
    """
    from chalicelib.core import config

    there = f"http://{lan_address()}:{stack.port}" if stack.host == "0.0.0.0" else stack.url
    config.override(base_url=there)
    server_there = wechat.pushes.Server(
        url=f"{stack.url}/v1/wechat/demo/messages",
        token=environment.MESSAGE_TOKEN,
        key=environment.MESSAGE_KEY,
    )
    (appid, _), *_ = wechat.DEMO_PROGRAMS.items()
    simulator.platform.of(wechat.pushes.Pushes).servers[appid] = server_there


def _stopping(parts: contextlib.ExitStack, part: T) -> T:
    """The part, which stops when all of them do."""
    parts.callback(part.stop)
    return part


def lan_address() -> str:
    """The address that other machines of this network see; connecting a UDP socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])


def _mall(host: str, port: int) -> mall.Mall:
    """A mall on this port, or, if somebody else has it, on a free one."""
    secrets = environment.mall_secrets().split()
    try:
        return mall.start(secrets=secrets, host=host, port=port)
    except OSError:
        return mall.start(secrets=secrets, host=host)


def _way_out(simulator: wechat.Simulator, parts: contextlib.ExitStack) -> str:
    """The proxy that transfers leave by, whose address WeChat Pay is told; none where this machine has only one."""
    there = proxy.start()
    if there is None:
        return ""
    parts.callback(there.stop)
    simulator.platform.of(wechat.transfers.Transfers).addresses = frozenset({proxy.ADDRESS})
    return there.url


@contextlib.contextmanager
def _store(name: StoreName) -> Iterator[str]:
    if name == "dynamodb-local":
        REMEMBERS_IN.mkdir(parents=True, exist_ok=True)
        with engine.running(REMEMBERS_IN) as endpoint:
            yield endpoint
        return
    embedded.start()
    try:
        yield ""
    finally:
        embedded.stop()


def _pump(there: Store, app: Any) -> pump.Pump:
    readers = pump.Pump(client=there.client, streams=there.streams, table=there.truth)
    readers.add("react", app.react, wanted=lambda record: record["eventName"] != "REMOVE")
    readers.add("deliver", app.deliver, wanted=_is_delivery)
    return readers


def _is_delivery(record: dict[str, Any]) -> bool:
    return bool(record["dynamodb"].get("NewImage", {}).get("kind") == {"S": "delivery"})


def _schedule(app: Any, stop: threading.Event) -> None:
    """Every job in turn, more often than in a deployment, so that a person sees it happen."""
    while not stop.wait(JOBS_EVERY_S):
        for name in JOBS:
            try:
                getattr(app, name)(scheduled_event(), pump.Context(function_name=name))
            except Exception:
                # As in a deployment: one failed run is logged, and the next comes all the same.
                traceback.print_exc()


def scheduled_event() -> dict[str, Any]:
    """What a schedule hands to a job."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": "1970-01-01T00:00:00Z",
        "region": "local",
        "resources": [],
        "detail": {},
    }


def _start(run: Any, *, name: str) -> None:
    threading.Thread(target=run, name=name, daemon=True).start()
