"""Login, ``GET /sns/jscode2session``. A login code is a name here, which is a convenience and not WeChat's way
(there it is random, lives five minutes and is good for one call):

    alice             logs alice in, as often as it is sent; a name is 1-32 of A-Z a-z 0-9 _ - or Chinese characters
    once:alice:N      logs alice in once, and is refused with 40163 from then on; N tells such codes apart
    nounion:alice     logs alice in without a unionid, as when the program is on no Open Platform account
    error:45011       is refused with that errcode
    anything else     40029

What wx.login gives in WeChat's own developer tools passes for a name too: somebody new each time.

The openid is of a person in a program, the unionid of a person in all programs. Both are 28 characters that begin
with "o".

Where the refusals come from (pages of developers.weixin.qq.com unless another site is named):

    -1, 40029, 40226, 45011   the endpoint's own page, miniprogram/dev/server/API/user-login/api_code2session; it
                              names 40029 in Chinese, and "invalid code, rid: ..." is what is sent
                              (community/develop/doc/000a80776f43a856d170f8e4561c00)
    40013, 40066, 41002,      the list of all codes, doc/oplatform/developers/errCode
    43001
    40125, 40163              not on the endpoint's page, but sent by it: community/personal/
                              oCJUsw5oskTdkYm-7wi7qd43MtDI/question, oCJUswxjP9kIcgy6LrleN2ZnahAo/question
    40002, 41004, 41008       not seen from this endpoint; its siblings send them: community/personal/
                              oCJUsw_posAVjEcNL5yBGcDN2LFI/answer (40002), community/develop/doc/
                              000666383a8ef0cebab0ea8006b800 (41004), cnblogs.com/lwming, 2020-12-04 (41008)

Not known, and chosen here: the order in which parameters are judged (grant_type, appid, secret, js_code).
"""

import re
import time
from collections.abc import Mapping
from typing import Any

from infra.local.wechat.frame import Answer, Platform, Request, endpoint, refusal
from infra.local.wechat.people import openid, session_key, unionid

_NAME = "[A-Za-z0-9_\\-\u3400-\u4dbf\u4e00-\u9fff]{1,32}"
_PERSON = re.compile(f"(?P<union>nounion:)?(?P<name>{_NAME})|once:(?P<once>{_NAME}):[A-Za-z0-9_-]{{1,64}}")
_ERROR = re.compile(r"error:(-?[1-9]\d{0,5})")


class Logins:
    """Which codes were used up, who was ever here (openid -> appid, name), and when they last were."""

    def __init__(self) -> None:
        self.used: set[str] = set()
        self.people: dict[str, tuple[str, str]] = {}
        self.at: dict[str, float] = {}


@endpoint("GET", "/sns/jscode2session")
def log_in(platform: Platform, request: Request) -> Answer | Mapping[str, Any]:
    """Whom the code stands for."""
    query = request.query
    if query.get("grant_type") != "authorization_code":
        return refusal(40002)
    stranger = not_known(platform, appid=query.get("appid", ""), secret=query.get("secret", ""))
    return stranger or _person(platform, appid=query["appid"], code=query.get("js_code", ""))


def not_known(platform: Platform, *, appid: str, secret: str) -> Answer | None:
    """Why the caller is not a program that this WeChat knows."""
    if not appid or not secret:
        return refusal(41004 if appid else 41002)
    if appid not in platform.programs:
        return refusal(40013)
    return None if secret == platform.programs[appid] else refusal(40125)


def _person(platform: Platform, *, appid: str, code: str) -> Answer | Mapping[str, Any]:
    if error := _ERROR.fullmatch(code):
        return refusal(int(error[1]))
    known = _PERSON.fullmatch(code)
    if known is None:
        return refusal(40029 if code else 41008)
    if known["once"] and not _use(platform, code):
        return refusal(40163)
    name = known["once"] or known["name"]
    person = {"session_key": session_key(appid=appid, name=name), "openid": openid(appid=appid, name=name)}
    with platform.lock:
        logins = platform.of(Logins)
        logins.people[person["openid"]] = (appid, name)
        logins.at[person["openid"]] = time.time()
    return person if known["union"] else person | {"unionid": unionid(name=name)}


def _use(platform: Platform, code: str) -> bool:
    with platform.lock:
        used = platform.of(Logins).used
        fresh = code not in used
        used.add(code)
    return fresh
