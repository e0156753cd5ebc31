"""What a deployment's environment would say, for a stack on this machine; what is set already stays.

The secrets are no secrets: they are the same on every machine, and exist in the local run only.
"""

import base64
import os

from infra.local import wechat

OWNER_KEY = "demo-owner-key"
MALL_SECRET = "demo-mall-secret"
MESSAGE_TOKEN = "demo-message-token"
MESSAGE_KEY = "demo0message0key0of0no0worth0at0all00000000"
"""What WeChat signs and encrypts its pushes with; a key (EncodingAESKey) has 43 letters and digits."""


def mall_secrets() -> str:
    """The demo secret as it stands, and as the specification's libraries read one: as lax base64."""
    lax = "".join(letter for letter in MALL_SECRET if letter.isalnum())
    as_libraries_read_it = base64.b64decode(lax + "=" * (-len(lax) % 4))
    return f"{MALL_SECRET} whsec_{base64.b64encode(as_libraries_read_it).decode()}"


def prepare(*, wechat_url: str, endpoint: str, mall_webhook_url: str, outbound_proxy: str = "") -> None:
    """Set the environment, before anything of the application is imported."""
    (_, secret), *_ = wechat.DEMO_PROGRAMS.items()
    given = {
        "STAGE": "local",
        "TRUTH_TABLE": "truth",
        "TRAFFIC_TABLE": "traffic",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "DYNAMODB_ENDPOINT": endpoint,
        "WECHAT_URL": wechat_url,
        "MALL_WEBHOOK_URL": mall_webhook_url,
        "SECRETS": "env",
        "PAYMENT_GATEWAY": "sandbox",
        "PAYOUT_GATEWAYS": "sandbox manual mall wechat",
        "OUTBOUND_PROXY": outbound_proxy,
        **wechat.merchant.environment(wechat_url),
        "SECRET_SESSION_KEYS": '{"local-1": "local-session-key-of-no-worth-at-all"}',
        "SECRET_PAYEE_KEYS": f'{{"local-1": "{"10ca1" * 12}beef"}}',
        "SECRET_LINK_KEY": "local-link-key-of-no-worth-at-all",
        "SECRET_ERASED_KEY": "local-erased-key-of-no-worth-at-all",
        "SECRET_MALL_SECRETS": mall_secrets(),
        "SECRET_WECHAT_DEMO": secret,
        "SECRET_WECHAT_DEMO_MESSAGE_TOKEN": MESSAGE_TOKEN,
        "SECRET_WECHAT_DEMO_MESSAGE_KEY": MESSAGE_KEY,
        "CONTENT_SAFETY": "wechat",
        "POWERTOOLS_METRICS_DISABLED": "true",
        "POWERTOOLS_METRICS_NAMESPACE": "Liebian",
        "POWERTOOLS_SERVICE_NAME": "liebian",
        "POWERTOOLS_LOG_LEVEL": "WARNING",
    }
    for name, value in given.items():
        os.environ.setdefault(name, value)
