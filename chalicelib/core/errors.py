"""The refusals of the system: what went wrong, its status, its code, and words for people in two languages.

``code`` is API and never changes. A room adds its own refusals as subclasses beside the rule that raises
them; ``advice`` is what the page should do, and `docs/errors.md` is made from all of them.
"""

from typing import Any, ClassVar


class AppError(Exception):
    """Something that was refused or failed, with all that its answer needs; ``details`` are JSON values."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    en: ClassVar[str] = "Something went wrong. Please try again."
    zh: ClassVar[str] = "出了点问题，请稍后再试。"
    advice: ClassVar[str] = "Show the message; try again later with the same input."
    retry_after_s: ClassVar[int | None] = None

    def __init__(self, **details: Any) -> None:
        super().__init__(self.code)
        self.details = details

    def message(self, lang: str) -> str:
        """The words for people: ``zh`` or ``en``."""
        return self.zh if lang == "zh" else self.en


class InternalError(AppError):
    """An unknown failure; nothing about it is told to the caller."""


class BadRequest(AppError):
    """The request cannot be read: not JSON, not an object, a forged cursor."""

    status = 400
    code = "bad_request"
    en = "The request could not be read."
    zh = "请求无法读取。"
    advice = "A bug in the caller: fix the request."


class Unauthorized(AppError):
    """No session, an expired or forged one, or an unknown operator key."""

    status = 401
    code = "unauthorized"
    en = "Please sign in."
    zh = "请先登录。"
    advice = "Call wx.login and POST /v1/sessions again, then repeat the call once."


class SignatureInvalid(AppError):
    """A call of the mall's servers, or of WeChat Pay, whose signature is missing, wrong, stale, or was used for
    another call."""

    status = 401
    code = "signature_invalid"
    en = "The signature of this call is not valid."
    zh = "请求签名无效。"
    advice = "Sign `id.timestamp.body` with the current secret and a clock that is right to five minutes."


class Forbidden(AppError):
    """Signed in, but this is not for this role."""

    status = 403
    code = "forbidden"
    en = "This is not allowed for you."
    zh = "你没有权限这样做。"
    advice = "Hide the button for this role."


class NotFound(AppError):
    """There is no such thing, or it belongs to somebody else."""

    status = 404
    code = "not_found"
    en = "This does not exist."
    zh = "内容不存在。"
    advice = "Show an empty page with a way back."


class MethodNotAllowed(AppError):
    """The path exists, but not with this method."""

    status = 405
    code = "method_not_allowed"
    en = "This method is not allowed here."
    zh = "不支持该请求方法。"
    advice = "A bug in the caller: see /v1/openapi.json."


class Conflict(AppError):
    """The rule said no; the subclasses say which rule."""

    status = 409
    code = "conflict"
    en = "This is not possible right now."
    zh = "当前无法这样操作。"
    advice = "Read the thing again and show its state."


class Gone(AppError):
    """It is over."""

    status = 410
    code = "gone"
    en = "This is over."
    zh = "已结束。"
    advice = "Show that it is over and what else there is."


class TooLarge(AppError):
    """The body is larger than 64 KB."""

    status = 413
    code = "too_large"
    en = "The request is too large."
    zh = "请求内容过大。"
    advice = "A bug in the caller: send less."


class UnsupportedMediaType(AppError):
    """The body is not JSON."""

    status = 415
    code = "unsupported_media_type"
    en = "The body must be application/json."
    zh = "请求体必须是 application/json。"
    advice = "A bug in the caller: set the content type."


class Invalid(AppError):
    """A field has a value that is not allowed; ``details.field`` names it, ``details.reason`` says why."""

    status = 422
    code = "invalid"
    en = "A field is not valid."
    zh = "字段内容不正确。"
    advice = "Mark the field that `details.field` names."


class IdempotencyMismatch(Invalid):
    """The same Idempotency-Key came with another body."""

    code = "idempotency_mismatch"
    en = "This key was used for another request."
    zh = "该幂等键已用于其他请求。"
    advice = "A bug in the caller: one key for one request."


class TooMany(AppError):
    """Too many calls in a short time."""

    status = 429
    code = "too_many_requests"
    en = "Too many requests. Please wait a moment."
    zh = "操作太频繁，请稍候。"
    advice = "Wait for Retry-After, then try again."
    retry_after_s = 5


class Busy(AppError):
    """Too many people at once; nothing was changed, or it is safe to send the same again."""

    status = 503
    code = "busy"
    en = "Too many people at once. Please try again."
    zh = "当前人数太多，请重试。"
    advice = "Send the same call again after Retry-After; a write that already happened answers the same."
    retry_after_s = 1
