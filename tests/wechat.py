"""The program that the simulated WeChat of the tests knows, and what its people look like."""

from chalicelib.wechat.client import App
from infra.local import wechat

APPID = next(iter(wechat.DEMO_PROGRAMS))
APP = App(appid=APPID, secret_name="demo")
NOW = 1_790_000_000
