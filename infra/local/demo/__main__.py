"""Play all chapters, one after the other."""

import argparse
import secrets
import sys
from urllib.parse import urlsplit

import urllib3

from infra.local import demo
from infra.local.demo import beside, earning, paying, returning, sharing, together
from infra.local.demo.telling import Refused


def main(arguments: list[str]) -> int:
    """Play them, and say what went wrong if something did."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.demo", description=demo.__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--mall", help="where the demo mall is; otherwise on the next port")
    parser.add_argument("--wechat", help="where the simulated WeChat is; otherwise on the port after that")
    given = parser.parse_args(arguments)
    url: str = given.url
    try:
        _play(url, given.mall or _beside(url), given.wechat or _beside(url, by=2))
    except urllib3.exceptions.NewConnectionError:
        print(f"Nothing answers at {url}. Start it with `make run` in another terminal.", file=sys.stderr)
        return 1
    except (Refused, urllib3.exceptions.HTTPError) as refused:
        print(f"The story broke off: {refused}", file=sys.stderr)
        return 1
    print()
    return 0


def _play(url: str, mall_url: str, wechat_url: str) -> None:
    # A night of its own, so that the story is the same however often it is played.
    night = secrets.token_hex(3)
    sharing.play(url, night=night)
    # Other evenings, on each of which nobody knows anybody yet.
    if paying.by_wechat(url, night=f"{night}-0"):
        paying.play(url, wechat_url, night=f"{night}-2")
    else:
        together.play(url, night=f"{night}-2")
    beside.play(url, mall_url, night=f"{night}-3")
    returning.play(url, night=f"{night}-4")
    earning.play(url, mall_url, night=f"{night}-5")


def _beside(url: str, *, by: int = 1) -> str:
    """Where `make run` puts the demo mall, on the next port, and WeChat, on the one after that."""
    parts = urlsplit(url)
    return f"http://{parts.hostname}:{(parts.port or 80) + by}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
