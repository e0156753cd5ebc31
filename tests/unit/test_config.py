"""Settings are read once and say clearly what is wrong with them; secrets come by name and are never shown."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from chalicelib.core import config

NEEDED = {"STAGE": "dev", "TRUTH_TABLE": "t", "TRAFFIC_TABLE": "v", "AWS_REGION": "cn-northwest-1"}


@pytest.fixture(autouse=True)
def _read_anew() -> Iterator[None]:
    config.reset()
    yield
    config.reset()


def test_four_variables_are_enough() -> None:
    settings = config.read(NEEDED)

    assert (settings.stage, settings.region) == ("dev", "cn-northwest-1")
    assert settings.base_url == "" and settings.wechat_url == "https://api.weixin.qq.com"
    assert settings.zone.key == "Asia/Shanghai"


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("value", [None, "", "   "])
def test_one_that_is_missing_is_named(name: str, value: str | None) -> None:
    environment = {key: text for key, text in {**NEEDED, name: value}.items() if text is not None}

    with pytest.raises(config.ConfigError, match=rf"^{name} is not set. See docs/deploying.md"):
        config.read(environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, "ftp://x") for name in ("BASE_URL", "WECHAT_URL", "MALL_WEBHOOK_URL", "DYNAMODB_ENDPOINT")],
        ("PICTURES_URL", "cdn.example"),
        ("S3_ENDPOINT", "localhost:9000"),
        ("WECHAT_ENV", "production"),
        ("CONTENT_SAFETY", "yes"),
        ("BASE_URL", "shop.example.com"),
        ("BASE_URL", "https://"),
        ("BASE_URL", "https:///s"),
        ("TIMEZONE", "Shanghai"),
        ("TIMEZONE", "Asia"),
        ("TIMEZONE", "../../etc/passwd"),
        ("DUE_SHARDS", "0"),
        ("DUE_SHARDS", "1001"),
        ("DUE_SHARDS", "-1"),
        ("DUE_SHARDS", "1.5"),
        ("DUE_SHARDS", "٣"),
        ("SESSION_DAYS", "week"),
        ("PAYOUT_GATEWAYS", "manual alipay"),
        ("TRANSFER_REPORTS", "岗位类型"),
        ("TRANSFER_REPORTS", f"岗位类型={'长' * 33}"),
        ("TRANSFER_REMARK", "长" * 33),
        ("PAYOUT_GATEWAYS", "manual,mall"),
        ("SECRETS", "file:/etc/secrets"),
        ("SECRETS", "ssm:liebian"),
        ("SECRETS", "ssm:/"),
    ],
)
def test_one_that_is_wrong_is_named_with_what_it_should_hold(name: str, value: str) -> None:
    with pytest.raises(config.ConfigError) as wrong:
        config.read({**NEEDED, name: value})

    assert str(wrong.value).startswith(f"{name} must be ") and value in str(wrong.value)


@pytest.mark.parametrize("name", ["PAYMENT_GATEWAY", "PAYOUT_GATEWAYS"])
def test_there_is_no_sandbox_in_a_prod_stage(name: str) -> None:
    assert config.read({**NEEDED, name: "sandbox"})
    with pytest.raises(config.ConfigError, match=rf"^{name} must not"):
        config.read({**NEEDED, name: "sandbox", "STAGE": "prod-2"})


@pytest.mark.parametrize("name", ["PAYMENT_GATEWAY", "PAYOUT_GATEWAYS"])
def test_who_uses_wechat_pay_says_whose_merchant_they_are(name: str) -> None:
    assert config.read({**NEEDED, name: "wechat", "WECHATPAY_MCHID": "1900000109"})
    with pytest.raises(config.ConfigError, match=rf"^WECHATPAY_MCHID must be set where {name} has"):
        config.read({**NEEDED, name: "wechat"})


@pytest.mark.parametrize("value", ["http://me:s3cret@proxy:3128", "proxy:3128", "http://proxy/s3cret"])
def test_a_password_in_the_proxys_address_is_refused_and_not_told(value: str) -> None:
    assert config.read({**NEEDED, "OUTBOUND_PROXY": "http://me@proxy.example.com:3128"})
    with pytest.raises(config.ConfigError, match="^OUTBOUND_PROXY must be ") as wrong:
        config.read({**NEEDED, "OUTBOUND_PROXY": value})
    assert value not in str(wrong.value) and "s3cret" not in str(wrong.value)


def test_what_is_reported_of_transfers_is_read_in_pairs() -> None:
    settings = config.read({**NEEDED, "TRANSFER_REPORTS": "活动名称=新会员有礼;奖励说明=注册奖励"})

    assert settings.transfer_reports == (("活动名称", "新会员有礼"), ("奖励说明", "注册奖励"))


def test_a_slash_at_the_end_does_not_matter() -> None:
    settings = config.read({**NEEDED, "BASE_URL": "https://a.example/api/", "SECRETS": "ssm:/liebian/dev/"})

    assert settings.base_url == "https://a.example/api"
    assert settings.secrets == "ssm:/liebian/dev"


def test_a_variable_of_nobody_is_overlooked() -> None:
    assert config.read({**NEEDED, "COLOUR": "red"}) == config.read(NEEDED)


def test_the_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = config.settings()
    monkeypatch.setenv("STAGE", "another")

    assert config.settings() is before
    config.reset()
    assert config.settings().stage == "another"


def test_an_override_lasts_until_reset() -> None:
    config.override(session_days=30)

    assert config.settings().session_days == 30
    config.reset()
    assert config.settings().session_days == 7


def test_settings_cannot_be_changed_by_accident() -> None:
    with pytest.raises(AttributeError):
        config.settings().stage = "prod"  # type: ignore[misc]


# --- secrets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variable"), [("link_key", "SECRET_LINK_KEY"), ("wechat/demo-2", "SECRET_WECHAT_DEMO_2")]
)
def test_a_secret_comes_from_the_environment_by_name(
    name: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, " s3cret\n")

    assert config.secret(name, now=0) == "s3cret"


def test_a_missing_secret_is_named_and_no_other_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_LINK_KEY", "do-not-tell")

    with pytest.raises(config.ConfigError, match=r"secret wechat/nowhere is not set in env") as missing:
        config.secret("wechat/nowhere", now=0)
    assert "do-not-tell" not in str(missing.value)


class ParameterStore:
    """A client that has two pages of parameters."""

    def __init__(self) -> None:
        self.values = {"link_key": "first", "wechat/demo": "w"}
        self.asked: list[dict[str, Any]] = []
        self.throttles = False

    def get_paginator(self, operation: str) -> "ParameterStore":
        """The pages of one operation."""
        assert operation == "get_parameters_by_path"
        return self

    def paginate(self, **asked: Any) -> Iterator[dict[str, Any]]:
        """A page for each parameter."""
        self.asked.append(asked)
        if self.throttles:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "GetParametersByPath")
        for name, value in self.values.items():
            yield {"Parameters": [{"Name": f"{asked['Path']}/{name}", "Value": value}]}


@pytest.fixture
def parameters(monkeypatch: pytest.MonkeyPatch) -> ParameterStore:
    store = ParameterStore()
    monkeypatch.setattr(config, "_parameter_store", lambda region: store)
    config.override(secrets="ssm:/liebian/dev")
    return store


def test_all_secrets_of_a_stage_are_read_in_one_call(parameters: ParameterStore) -> None:
    read = [config.secret(name, now=1000) for name in ("link_key", "wechat/demo", "link_key")]

    assert read == ["first", "w", "first"]
    assert parameters.asked == [{"Path": "/liebian/dev", "Recursive": True, "WithDecryption": True}]


def test_a_rotated_secret_is_seen_after_five_minutes(parameters: ParameterStore) -> None:
    config.secret("link_key", now=1000)
    parameters.values["link_key"] = "second"

    assert config.secret("link_key", now=1299) == "first"
    assert config.secret("link_key", now=1300) == "second"


def test_a_new_secret_is_seen_at_once(parameters: ParameterStore) -> None:
    config.secret("link_key", now=1000)
    parameters.values["wechat/carnival"] = "c"

    assert config.secret("wechat/carnival", now=1001) == "c"


def test_a_throttled_read_leaves_what_was_known_and_is_tried_again_soon(parameters: ParameterStore) -> None:
    config.secret("link_key", now=1000)
    parameters.throttles = True

    assert [config.secret("link_key", now=now) for now in (1300, 1301, 1329, 1330)] == ["first"] * 4
    assert len(parameters.asked) == 3
    parameters.throttles = False
    parameters.values["link_key"] = "second"
    assert config.secret("link_key", now=1360) == "second"


def test_what_was_never_read_cannot_be_replaced_by_patience(parameters: ParameterStore) -> None:
    parameters.throttles = True

    with pytest.raises(ClientError):
        config.secret("link_key", now=1000)


@pytest.mark.parametrize("read", [config.settings, config.reset])
def test_reading_touches_no_network(read: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("connected"))

    read()
