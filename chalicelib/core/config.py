"""Settings and secrets of one deployment, read once from the environment.

A missing or wrong variable is one clear error that names it. Secrets are never settings: they come by name
through `secret`, from the environment locally and from SSM Parameter Store in a deployment.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any
from zoneinfo import ZoneInfo

SECRETS_ARE_FRESH_FOR_S = 300
TRY_AGAIN_AFTER_S = 30


class ConfigError(Exception):
    """A variable is missing or wrong; the message names it and says what it should hold."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a deployment decides; see docs/deploying.md for each variable."""

    stage: str
    truth_table: str
    traffic_table: str
    region: str
    base_url: str = ""
    secrets: str = "env"
    wechat_url: str = "https://api.weixin.qq.com"
    wechat_env: str = "release"
    mall_webhook_url: str = ""
    payment_gateway: str = "mall"
    payout_gateways: str = "manual mall"
    timezone: str = "Asia/Shanghai"
    due_shards: int = 1
    session_days: int = 7
    reward_facts: str = ""
    unfinished_days: int = 30
    pictures_bucket: str = ""
    pictures_url: str = ""
    content_safety: str = ""
    dynamodb_endpoint: str = ""
    s3_endpoint: str = ""

    @property
    def zone(self) -> ZoneInfo:
        """The brand's time zone, in which days of reports begin."""
        return ZoneInfo(self.timezone)


_VARIABLES = {"region": "AWS_REGION"}
_settings: Settings | None = None
_secrets: dict[str, str] = {}
_secrets_read_at = 0.0


def _url(value: str) -> str:
    if not re.match(r"https?://[^/\s]", value):
        raise ValueError("an http(s) URL")
    return value.rstrip("/")


def _zone(value: str) -> str:
    try:
        return ZoneInfo(value).key
    except (KeyError, OSError, ValueError) as unknown:
        raise ValueError("an IANA time zone such as Asia/Shanghai") from unknown


def _count(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 1000:
        raise ValueError("a whole number from 1 to 1000")
    return int(value)


def _days(value: str) -> int:
    if not value.isascii() or not value.isdigit() or int(value) > 1000:
        raise ValueError("a whole number of days, or 0 for never")
    return int(value)


def _secrets_place(value: str) -> str:
    place = value.rstrip("/")
    if place != "env" and not place.startswith("ssm:/"):
        raise ValueError("'env' or 'ssm:/path'")
    return place


def _gateway(value: str) -> str:
    if value not in ("mall", "sandbox"):
        raise ValueError("'mall' or 'sandbox'")
    return value


def _gateways(value: str) -> str:
    if not set(value.split()) <= {"manual", "mall", "sandbox"}:
        raise ValueError("some of 'manual mall sandbox', separated by spaces")
    return value


def _version(value: str) -> str:
    if value not in ("release", "trial", "develop"):
        raise ValueError("'release', 'trial' or 'develop'")
    return value


def _checker(value: str) -> str:
    if value != "wechat":
        raise ValueError("'wechat', or empty")
    return value


_READERS: dict[str, Callable[[str], Any]] = {
    "payment_gateway": _gateway,
    "payout_gateways": _gateways,
    "base_url": _url,
    "wechat_url": _url,
    "mall_webhook_url": _url,
    "wechat_env": _version,
    "pictures_url": _url,
    "content_safety": _checker,
    "dynamodb_endpoint": _url,
    "s3_endpoint": _url,
    "timezone": _zone,
    "due_shards": _count,
    "session_days": _count,
    "unfinished_days": _days,
    "secrets": _secrets_place,
}


def read(environment: Mapping[str, str]) -> Settings:
    """The settings that ``environment`` describes.

    Raises:
        ConfigError: a variable is missing or wrong.
    """
    values: dict[str, Any] = {}
    for field in fields(Settings):
        name = _VARIABLES.get(field.name, field.name.upper())
        text = environment.get(name, "").strip()
        if text:
            values[field.name] = _read_one(name, text, _READERS.get(field.name, str))
        elif field.default is MISSING:
            raise ConfigError(f"{name} is not set. See docs/deploying.md.")
    settings = Settings(**values)
    if settings.stage.startswith("prod"):
        _no_sandbox(settings)
    return settings


def _no_sandbox(settings: Settings) -> None:
    if settings.payment_gateway == "sandbox":
        raise ConfigError("PAYMENT_GATEWAY must not be 'sandbox' in a prod stage: anybody could pay with it.")
    if "sandbox" in settings.payout_gateways.split():
        raise ConfigError("PAYOUT_GATEWAYS must not have 'sandbox' in a prod stage: nobody would be paid.")


def _read_one(name: str, text: str, reader: Callable[[str], Any]) -> Any:
    try:
        return reader(text)
    except ValueError as wrong:
        raise ConfigError(f"{name} must be {wrong}, not {text!r}.") from wrong


def settings() -> Settings:
    """The settings of this process."""
    global _settings  # noqa: PLW0603 - read once per process, as the environment is
    if _settings is None:
        _settings = read(os.environ)
    return _settings


def override(**changes: Any) -> None:
    """Replace single settings until `reset`; for tests and the local stack."""
    global _settings  # noqa: PLW0603
    _settings = replace(settings(), **changes)


def reset() -> None:
    """Forget what was read, so that the environment is read again."""
    global _settings, _secrets_read_at  # noqa: PLW0603
    _settings = None
    _secrets.clear()
    _secrets_read_at = 0.0


def secret(name: str, *, now: float) -> str:
    """The secret called ``name``, such as ``link_key`` or ``wechat/demo``; read again every five minutes.

    Raises:
        ConfigError: there is no such secret; its value is never in the message.
    """
    place = settings().secrets
    found = _from_environment(name) if place == "env" else _from_ssm(place.removeprefix("ssm:"), name, now)
    if not found:
        raise ConfigError(f"The secret {name} is not set in {place}. See docs/deploying.md.")
    return found


def _from_environment(name: str) -> str:
    return os.environ.get("SECRET_" + name.upper().replace("/", "_").replace("-", "_"), "").strip()


def _from_ssm(path: str, name: str, now: float) -> str:
    global _secrets_read_at  # noqa: PLW0603
    if now - _secrets_read_at >= SECRETS_ARE_FRESH_FOR_S or name not in _secrets:
        from aws_lambda_powertools.utilities.parameters import get_parameters
        from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

        try:
            _secrets.update(get_parameters(path, decrypt=True, recursive=True, max_age=0) or {})
            _secrets_read_at = now
        except GetParameterError:
            # Parameter Store throttles an account's readers together; what was read before still holds.
            if name not in _secrets:
                raise
            _secrets_read_at = now - SECRETS_ARE_FRESH_FOR_S + TRY_AGAIN_AFTER_S
    return _secrets.get(name, "")
