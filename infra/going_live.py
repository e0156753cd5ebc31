"""What `infra.doctor` says of a stage's side of WeChat: settings, secrets, programs; and what WeChat itself says.

Pure but for `ask`, which reads the secrets it needs and calls WeChat with them, as the functions would.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.core.config import ConfigError, Settings
from chalicelib.wechat import client, pay, tokens
from infra import checks
from infra.checks import Finding

PAY = {
    "wechatpay/private_key": "the merchant's API private key (apiclient_key.pem), whole, from BEGIN to END",
    "wechatpay/serial": "the serial number of the merchant's API certificate",
    "wechatpay/api_v3_key": "the APIv3 key, 32 characters",
}
PUBLIC_KEY = "wechatpay/public_key"
ERRCODES = {
    40013: "the appid of the program is wrong: PUT /v1/admin/programs/<id>",
    40125: "the AppSecret is not the program's any more: reset it under 开发管理 → 开发设置, and put the new one",
    40164: "the program lets only listed addresses in (IP白名单): take the list away, Lambda's addresses change",
    41002: "the program has no appid",
    50007: "the account is frozen: see the program's backend",
}


def examined(
    settings: Settings,
    *,
    secrets: Mapping[str, str],
    programs: Sequence[Mapping[str, str]],
    outputs: Mapping[str, str],
) -> list[Finding]:
    """All that can be said without asking WeChat; ``secrets``: their types by name, ``outputs``: the stack's."""
    return [
        *_programs(settings, programs, secrets),
        *_payments(settings, secrets),
        *_transfers(settings, outputs),
        _base_url(settings),
    ]


def _programs(
    settings: Settings, programs: Sequence[Mapping[str, str]], secrets: Mapping[str, str]
) -> list[Finding]:
    if not programs:
        return [
            Finding(
                ok=False,
                what="There is no program, and so nobody can sign in",
                do="POST /v1/admin/programs with its appid and the name of its secret",
            )
        ]
    return [finding for one in programs for finding in _program(settings, one, secrets)]


def _program(settings: Settings, one: Mapping[str, str], secrets: Mapping[str, str]) -> list[Finding]:
    name, stage = one["secret_name"], settings.stage
    wanted = {f"wechat/{name}": f"the AppSecret of {one['appid']}"}
    pushed = {
        f"wechat/{name}/message_token": "the Token of 消息推送, 3 to 32 letters and digits",
        f"wechat/{name}/message_key": "its EncodingAESKey, 43 letters and digits, for the encrypted mode",
    }
    if settings.content_safety == "wechat":
        wanted |= pushed
    of = f" of program {one['program_id']}"
    found = [_secret(stage, secret, holds, secrets, of=of) for secret, holds in wanted.items()]
    if settings.content_safety != "wechat":
        what = f"What people write in {one['program_id']} is not checked by WeChat"
        do = "Set CONTENT_SAFETY=wechat before names, notes or pictures are shown to others: WeChat's rules want it"
        found.append(Finding(ok=True, what=what, do=do))
    return found


def _payments(settings: Settings, secrets: Mapping[str, str]) -> list[Finding]:
    by_wechat = settings.payment_gateway == "wechat" or "wechat" in settings.payout_gateways.split()
    if not by_wechat:
        return [Finding(ok=True, what="No money comes or goes by WeChat Pay")]
    wanted = dict(PAY)
    if settings.wechatpay_public_key_id:
        wanted[PUBLIC_KEY] = "WeChat Pay's public key (pub_key.pem), whole, from BEGIN to END"
    return [_secret(settings.stage, name, holds, secrets) for name, holds in wanted.items()]


def _transfers(settings: Settings, outputs: Mapping[str, str]) -> list[Finding]:
    address = outputs.get("TransfersAddress", "")
    if "wechat" not in settings.payout_gateways.split() and not address:
        return []
    if settings.outbound_proxy or address:
        leaves = f"from {address}" if address else "by OUTBOUND_PROXY"
        do = (
            "It is entered under 商家转账 → 安全能力 → 接口IP"
            if address
            else "The proxy's address is entered there"
        )
        return [Finding(ok=True, what=f"Transfers leave {leaves}", do=do)]
    do = (
        "make deploy … EGRESS=1, or set OUTBOUND_PROXY: WeChat Pay takes transfers from listed addresses only"
    )
    return [Finding(ok=False, what="Transfers have no address of their own", do=do)]


def _base_url(settings: Settings) -> Finding:
    if settings.base_url:
        return Finding(ok=True, what=f"WeChat is told to call {settings.base_url}")
    do = "Set BASE_URL: without it WeChat Pay cannot tell of refunds and transfers, and is asked about each"
    return Finding(ok=settings.payment_gateway != "wechat", what="BASE_URL is not set", do=do)


def _secret(stage: str, name: str, holds: str, secrets: Mapping[str, str], *, of: str = "") -> Finding:
    return checks.secret(f"/liebian/{stage}/{name}", holds, secrets.get(name), of=of)


def ask(settings: Settings, *, programs: Sequence[Mapping[str, str]], now: int) -> list[Finding]:
    """What WeChat says to each program's secret, and WeChat Pay to the merchant's, in the stage's environment."""
    found = [_asked(one, now=now) for one in programs]
    if settings.wechatpay_mchid:
        found.append(_asked_pay(now=now))
    return found


def _asked(one: Mapping[str, str], *, now: int) -> Finding:
    app = client.App(appid=one["appid"], secret_name=one["secret_name"])
    what = f"WeChat and the program {one['program_id']}"
    try:
        asked = {"grant_type": "client_credential", "appid": app.appid, "secret": app.secret(now=now)}
        errcode = client.errcode_of(client.send("POST", tokens.PATH, body=asked, safe=True))
    except ConfigError as missing:
        return Finding(ok=False, what=f"{what}: not asked", do=str(missing))
    except client.WeChatUnavailable:
        return Finding(ok=False, what=f"{what}: no answer", do="Try again; is there a way out from here?")
    if errcode == 0:
        return Finding(ok=True, what=f"{what} know each other")
    do = ERRCODES.get(errcode, f"see errcode {errcode} in WeChat's documentation")
    return Finding(ok=False, what=f"{what}: {errcode}", do=do)


def _asked_pay(*, now: int) -> Finding:
    what = "WeChat Pay and the merchant"
    try:
        pay.call("GET", "/v3/certificates", now=now)
    except pay.PayRefused as refused:
        if refused.status == 404:
            # A merchant in the public key's mode may have no certificate to be given.
            return Finding(ok=True, what=f"{what} know each other")
        return Finding(ok=False, what=f"{what}: {refused.code}", do=_why_not(refused.code))
    except (pay.PayUnknown, ConfigError) as failure:
        return Finding(ok=False, what=f"{what}: {type(failure).__name__}", do=str(failure))
    return Finding(ok=True, what=f"{what} know each other")


def _why_not(code: str) -> str:
    if code == "SIGN_ERROR":
        return "wechatpay/private_key, wechatpay/serial and WECHATPAY_MCHID are not of one merchant"
    return f"see {code} in WeChat Pay's documentation"


def read_programs(items: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Programs as DynamoDB gives their rows."""
    names = ("program_id", "appid", "secret_name")
    return [
        {name: str(item[name]["S"]) for name in names}
        for item in items
        if all(name in item for name in names)
    ]
