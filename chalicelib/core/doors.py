"""Who may pass: every route declares one door, and nothing passes without one.

``PUBLIC`` (a session is optional), ``MEMBER``, ``MALL`` (signed calls of the mall's servers), ``WECHAT`` (what
WeChat pushes, and notifications of WeChat Pay, both signed) and ``operators(*roles)``, through which an owner
always passes. Rooms provide the guards that know members, operators and WeChat; `app.py` posts them here.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from chalicelib.core import webhooks
from chalicelib.core.errors import AppError, Forbidden, SignatureInvalid, Unauthorized

Role = Literal["owner", "marketing", "support", "finance", "store"]


class Door(msgspec.Struct, frozen=True):
    """One kind of caller; for operators, the roles besides owner."""

    kind: Literal["public", "member", "operator", "mall", "wechat"]
    roles: frozenset[Role] = frozenset()


PUBLIC = Door("public")
MEMBER = Door("member")
MALL = Door("mall")
WECHAT = Door("wechat")


def operators(*roles: Role) -> Door:
    """Operators with one of ``roles``, and owners."""
    return Door("operator", frozenset(roles) | {"owner"})


ANY_OPERATOR = operators("marketing", "support", "finance", "store")


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A signed-in member, the program they signed in through, and what tells them apart among visitors."""

    member_id: str
    program_id: str
    visitor: str


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """A person or machine of the merchant."""

    key_id: str
    name: str
    role: Role


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever passed a door: at most one of a member, an operator, the mall; none of them is a stranger, or WeChat
    Pay at its own."""

    session: Session | None = None
    operator: Operator | None = None
    mall: bool = False


class Approach(msgspec.Struct, frozen=True, kw_only=True):
    """What a door judges by; ``target`` is the path with its query, sorted."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


MemberGuard = Callable[[str, int], Session]
OperatorGuard = Callable[[str, int], Operator]
WechatGuard = Callable[[Approach, int], None]
_member_guard: MemberGuard | None = None
_operator_guard: OperatorGuard | None = None
_wechat_guard: WechatGuard | None = None


def post(*, member: MemberGuard, operator: OperatorGuard, wechat: WechatGuard) -> None:
    """Post the guards: of a bearer token, or of headers and raw body, and ``now``; each raises what refuses."""
    global _member_guard, _operator_guard, _wechat_guard  # noqa: PLW0603 - wired once, in app.py
    _member_guard, _operator_guard, _wechat_guard = member, operator, wechat


def admit(door: Door, approach: Approach, *, now: int) -> Caller:
    """Who is calling, if ``door`` lets them pass.

    Raises:
        Unauthorized, SignatureInvalid: it is not known who they are. Forbidden: it is, and they may not.
    """
    if door.kind == "mall":
        webhooks.verify(
            headers=approach.headers,
            method=approach.method,
            target=approach.target,
            body=approach.body,
            now=now,
        )
        return Caller(mall=True)
    if door.kind == "wechat":
        return _wechat(approach, now=now)
    token = _bearer(approach.headers)
    if door.kind == "operator":
        return Caller(operator=_operator(token, door, now=now))
    if door.kind == "public":
        return _perhaps_member(token, now=now)
    if not token or _member_guard is None:
        raise Unauthorized
    return Caller(session=_member_guard(token, now))


def _wechat(approach: Approach, *, now: int) -> Caller:
    if _wechat_guard is None:
        raise SignatureInvalid
    _wechat_guard(approach, now)
    return Caller()


def _perhaps_member(token: str, *, now: int) -> Caller:
    """A session that is no good any more is nobody's: with it one could not even sign in again."""
    try:
        return Caller(session=_member_guard(token, now)) if token and _member_guard else Caller()
    except AppError:
        return Caller()


def _operator(token: str, door: Door, *, now: int) -> Operator:
    if not token or _operator_guard is None:
        raise Unauthorized
    operator = _operator_guard(token, now)
    if operator.role not in door.roles:
        raise Forbidden(role=operator.role)
    return operator


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""
