"""Run the simulated WeChat alone, until interrupted."""

import argparse
import threading

from infra.local.wechat import DEMO_PROGRAMS, start


def _program(text: str) -> tuple[str, str]:
    appid, secret = text.split("=", 1)
    return appid, secret


def main() -> None:
    """Serve the programs that are named, or the demo's."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.local.wechat", description="A WeChat to run against."
    )
    parser.add_argument("--port", type=int, default=8010)
    parser.add_argument("programs", nargs="*", type=_program, metavar="APPID=SECRET")
    wanted = parser.parse_args()
    programs = dict(wanted.programs) or DEMO_PROGRAMS
    simulator = start(programs, port=wanted.port)
    appid, secret = next(iter(programs.items()))
    query = f"appid={appid}&secret={secret}&js_code=alice&grant_type=authorization_code"
    print(f"WeChat (simulated) at {simulator.url}; login codes are names. Try:")
    print(f"  curl '{simulator.url}/sns/jscode2session?{query}'", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        simulator.stop()


if __name__ == "__main__":
    main()
