"""Settings and secrets of one deployment, read once from the environment.

A missing or wrong variable is one clear error that names it. Secrets are never settings: they come by name
through `secret`, from the environment locally and from SSM Parameter Store in a deployment.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.core import aws

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
    wechatpay_url: str = "https://api.mch.weixin.qq.com"
    wechatpay_mchid: str = ""
    wechatpay_public_key_id: str = ""
    wechat_env: str = "release"
    mall_webhook_url: str = ""
    payment_gateway: str = "mall"
    payout_gateways: str = "manual mall"
    transfer_scene_id: str = "1005"
    transfer_reports: tuple[tuple[str, str], ...] = (("岗位类型", "推广员"), ("报酬说明", "推广佣金"))
    transfer_remark: str = "佣金提现"
    transfer_perception: str = ""
    outbound_proxy: str = ""
    timezone: str = "Asia/Shanghai"
    due_shards: int = 1
    session_days: int = 7
    reward_facts: str = ""
    unfinished_days: int = 30
    pictures_bucket: str = ""
    pictures_url: str = ""
    content_safety: str = "off"
    risk_rank_refused: int = 0
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


def _safety(value: str) -> str:
    if value not in ("off", "wechat"):
        raise ValueError("'off' or 'wechat'")
    return value


def _rank(value: str) -> int:
    if value not in "01234" or len(value) != 1:
        raise ValueError("a rank from 1 to 4, or 0 for never")
    return int(value)


def _gateway(value: str) -> str:
    if value not in ("mall", "sandbox", "wechat"):
        raise ValueError("'mall', 'wechat' or 'sandbox'")
    return value


def _gateways(value: str) -> str:
    if not set(value.split()) <= {"manual", "mall", "wechat", "sandbox"}:
        raise ValueError("some of 'manual mall wechat sandbox', separated by spaces")
    return value


def _reports(value: str) -> tuple[tuple[str, str], ...]:
    pairs = tuple((kind, content) for kind, _, content in (one.partition("=") for one in value.split(";")))
    if not all(1 <= len(kind) <= 15 and 1 <= len(content) <= 32 for kind, content in pairs):
        raise ValueError("'type=content;type=content', of at most 15 and 32 characters")
    return pairs


def _remark(value: str) -> str:
    if len(value) > 32:
        raise ValueError("32 characters at most")
    return value


def _proxy(value: str) -> str:
    if not re.fullmatch(r"https?://([^/@:\s]+@)?[^/@:\s]+(:[0-9]{1,5})?/?", value):
        # Not told what it is: a password may stand in it.
        raise ConfigError(
            "OUTBOUND_PROXY must be http://host:port, or http://user@host:port with the password in the "
            "secret outbound_proxy."
        )
    return value.rstrip("/")


def _version(value: str) -> str:
    if value not in ("release", "trial", "develop"):
        raise ValueError("'release', 'trial' or 'develop'")
    return value


_READERS: dict[str, Callable[[str], Any]] = {
    "payment_gateway": _gateway,
    "payout_gateways": _gateways,
    "transfer_reports": _reports,
    "transfer_remark": _remark,
    "outbound_proxy": _proxy,
    "base_url": _url,
    "wechat_url": _url,
    "wechatpay_url": _url,
    "mall_webhook_url": _url,
    "wechat_env": _version,
    "pictures_url": _url,
    "dynamodb_endpoint": _url,
    "s3_endpoint": _url,
    "timezone": _zone,
    "due_shards": _count,
    "session_days": _count,
    "unfinished_days": _days,
    "secrets": _secrets_place,
    "content_safety": _safety,
    "risk_rank_refused": _rank,
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
    if not settings.wechatpay_mchid:
        _nobody_of_wechat_pay(settings)
    if settings.stage.startswith("prod"):
        _fit_for_prod(settings)
    return settings


def _nobody_of_wechat_pay(settings: Settings) -> None:
    used = {
        "PAYMENT_GATEWAY": settings.payment_gateway == "wechat",
        "PAYOUT_GATEWAYS": "wechat" in settings.payout_gateways.split(),
    }
    for name, by_wechat in used.items():
        if by_wechat:
            raise ConfigError(f"WECHATPAY_MCHID must be set where {name} has 'wechat'.")


def _fit_for_prod(settings: Settings) -> None:
    if settings.payment_gateway == "wechat" and not settings.base_url:
        raise ConfigError("BASE_URL must be set in a prod stage: WeChat Pay tells there what was paid.")
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
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            _secrets.update(_under(path))
            _secrets_read_at = now
        except (BotoCoreError, ClientError):
            # Parameter Store throttles an account's readers together; what was read before still holds.
            if name not in _secrets:
                raise
            _secrets_read_at = now - SECRETS_ARE_FRESH_FOR_S + TRY_AGAIN_AFTER_S
    return _secrets.get(name, "")


def _under(path: str) -> dict[str, str]:
    """All parameters below ``path``, by what comes after it."""
    path = path.rstrip("/")
    asked = {"Path": path, "Recursive": True, "WithDecryption": True}
    pages = _parameter_store(settings().region).get_paginator("get_parameters_by_path").paginate(**asked)
    found = [parameter for page in pages for parameter in page["Parameters"]]
    return {parameter["Name"].removeprefix(f"{path}/"): parameter["Value"] for parameter in found}


@lru_cache(maxsize=1)
def _parameter_store(region: str) -> Any:
    # powertools' own reader of parameters imports boto3 and what it has for three other services: a third of the
    # cold start of whoever is signed in.
    return aws.create_client("ssm", region=region)
