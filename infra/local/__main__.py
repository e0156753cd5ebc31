"""`make run`, or `python -m infra.local`: serve everything on this machine and say what to try."""

import argparse
import sys
import threading
from typing import get_args

from infra.local import stack

_TRY = """
Liebian is serving on {url}  (store: {store}; {memory})

Try, from another terminal:
  curl {url}/v1/programs
  curl -X POST {url}/v1/sessions -H 'content-type: application/json' \\
       -d '{{"program_id": "demo", "code": "alice"}}'        # any name is a login code here
  make demo{demo}    # people share, buy together and come back, in half a minute
  open {url}/v1/openapi.json    docs/: README.md, README.zh-CN.md
The demo mall is at {mall_url} : open it in a browser to buy, pay, ship, refund.
WeChat, simulated, is at {wechat_url} : what phones would show, codes, money, and faults to switch on.
Operators: Authorization: Bearer demo-owner-key    The mall's secret: demo-mall-secret
Ctrl-C stops it.
"""


def main(arguments: list[str]) -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m infra.local", description=__doc__)
    parser.add_argument("--store", choices=get_args(stack.StoreName), default="embedded")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets a phone in the same network in")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument(
        "--mall-port", type=int, help="the demo mall's; otherwise the next one, or a free one"
    )
    given = parser.parse_args(arguments)
    try:
        with stack.running(
            store=given.store,
            host=given.host,
            port=given.port,
            mall_port=given.mall_port or _beside(given.port),
            wechat_port=_beside(_beside(given.port)),
        ) as running:
            _say(running)
            threading.Event().wait()
    except KeyboardInterrupt:
        print("Stopped.")
    except OSError as failure:
        print(f"Cannot serve on {given.host}:{given.port}: {failure}. Try PORT=8001.", file=sys.stderr)
        return 1
    return 0


def _beside(port: int) -> int:
    return port + 1 if 0 < port < 65535 else 0


def _say(running: stack.Stack) -> None:
    memory = (
        "it forgets when it stops"
        if running.store == "embedded"
        else f"it remembers in {stack.REMEMBERS_IN}, but the demo mall forgets"
    )
    print(
        _TRY.format(
            url=running.url,
            mall_url=running.mall_url,
            wechat_url=running.wechat_url,
            demo=_demo(running),
            store=running.store,
            memory=memory,
        ),
        flush=True,
    )
    if running.host == "0.0.0.0":
        print(f"For a phone in this network: http://{stack.lan_address()}:{running.port}\n", flush=True)


def _demo(running: stack.Stack) -> str:
    """What `make demo` must be told to find this stack and its mall."""
    told = "" if running.port == 8000 else f" PORT={running.port}"
    beside = running.mall_url.endswith(f":{_beside(running.port)}")
    return told if beside else f"{told} MALL={running.mall_url}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
