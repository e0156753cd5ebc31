"""Signatures as the Standard Webhooks library makes and reads them; one id serves one call."""

import base64
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from chalicelib.core import clock, webhooks
from chalicelib.core.config import ConfigError
from chalicelib.core.errors import SignatureInvalid
from infra.local.clients import Store
from tests.harness.rows import rows

NOW = 1_750_000_000
PLAIN = "a plain secret that is no base64"
OLD, NEW = (f"whsec_{base64.b64encode(bytes([n]) * 24).decode()}" for n in (1, 2))
PATH, BODY = "/v1/mall/sessions", '{"external_id":"会员-7"}'

# The store and the secrets are as they were for every example: no example leaves what another would look at.
unshared = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, OLD)


def live(monkeypatch: pytest.MonkeyPatch, *secrets: str) -> None:
    """Make these the mall's secrets, newest first."""
    monkeypatch.setenv("SECRET_MALL_SECRETS", " ".join(secrets))


def by_the_mall(
    body: str = BODY, *, secret: str | bytes = OLD, webhook_id: str = "msg_1", at: int = NOW
) -> dict[str, str]:
    """Headers as the mall's own library makes them."""
    signature = Webhook(secret).sign(webhook_id, datetime.fromtimestamp(at, UTC), body)
    return {"webhook-id": webhook_id, "webhook-timestamp": str(at), "webhook-signature": signature}


def passes(
    headers: dict[str, str],
    *,
    method: str = "POST",
    target: str = PATH,
    body: bytes | str = BODY,
    now: int = NOW,
) -> bool:
    """Whether the call is let in."""
    content = body if isinstance(body, bytes) else body.encode()
    try:
        webhooks.verify(headers=headers, method=method, target=target, body=content, now=now)
    except SignatureInvalid:
        return False
    return True


# --- ours to the mall ---------------------------------------------------------------------------------------


def test_the_specifications_own_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    # https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/python/tests/test_webhooks.py
    live(monkeypatch, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    headers = webhooks.sign('{"test": 2432232314}', webhook_id="msg_p5jXN8AQM9LWM0D4loKWxJek", now=1614265330)

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("body", ["{}", '{"a": 1}', '{"name": "茉莉花茶 ¥89"}'])
def test_the_mall_reads_ours_with_its_library(body: str) -> None:
    headers = webhooks.sign(body, webhook_id="dlv_1", now=clock.now())

    assert Webhook(OLD).verify(body, headers) is not None


def test_ours_are_signed_with_the_newest_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, NEW, OLD)

    assert webhooks.sign(BODY, webhook_id="msg_1", now=NOW) == by_the_mall(secret=NEW)


# --- the mall's to us ---------------------------------------------------------------------------------------


def test_a_signed_call_passes_and_the_same_again(store: Store) -> None:
    assert passes(by_the_mall())
    assert passes(by_the_mall(), now=NOW + 10)
    assert len(rows(store.client, "traffic", kind="webhook_call")) == 1


@unshared
@given(st.text(st.characters(codec="utf-8"), max_size=60), st.from_regex(r"[ -~]{1,40}", fullmatch=True))
def test_whatever_the_mall_signed_passes(store: Store, body: str, webhook_id: str) -> None:
    headers = by_the_mall(body, webhook_id=f"{uuid.uuid4()}{webhook_id}")

    assert passes(headers, body=body)


@unshared
@given(st.data())
def test_every_letter_of_a_signed_call_counts(store: Store, data: st.DataObject) -> None:
    whole = {**by_the_mall(), "body": BODY}
    part = data.draw(st.sampled_from(sorted(whole)))
    at = data.draw(st.integers(0, len(whole[part]) - 1))
    letter = data.draw(st.characters(codec="latin-1").filter(lambda other: other != whole[part][at]))
    changed = whole | {part: whole[part][:at] + letter + whole[part][at + 1 :]}

    assert not passes(changed, body=changed["body"])


@unshared
@given(
    st.dictionaries(st.sampled_from(sorted(by_the_mall())), st.text(st.characters(codec="utf-8"))),
    st.binary(),
)
def test_what_nobody_signed_does_not_pass(store: Store, headers: dict[str, str], body: bytes) -> None:
    assert not passes({**by_the_mall(), **headers}, body=body)


def test_a_plain_secret_is_taken_as_it_stands(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, "demo-mall-secret")

    assert passes(by_the_mall(secret=b"demo-mall-secret"))


def test_two_secrets_live_while_one_replaces_the_other(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    live(monkeypatch, NEW, OLD)
    assert passes(by_the_mall(secret=OLD, webhook_id="a")) and passes(by_the_mall(secret=NEW, webhook_id="b"))

    live(monkeypatch, NEW)
    assert not passes(by_the_mall(secret=OLD, webhook_id="c")) and passes(
        by_the_mall(secret=NEW, webhook_id="d")
    )


def test_one_good_signature_among_others_is_enough(store: Store) -> None:
    headers = by_the_mall()
    headers["webhook-signature"] = f"v1a,{'A' * 86}== v1,{'A' * 43}= {headers['webhook-signature']} v2,x"

    assert passes(headers)


@pytest.mark.parametrize(("at", "fresh"), [(-301, False), (-300, True), (300, True), (301, False)])
def test_five_minutes_either_way_and_no_more(at: int, fresh: bool, store: Store) -> None:
    assert passes(by_the_mall(at=NOW + at)) is fresh


@pytest.mark.parametrize(
    "moved",
    [
        {"method": "DELETE"},
        {"target": "/v1/mall/events"},
        {"target": f"{PATH}?a=1"},
        {"target": "/v1/mall/sessions/"},
    ],
)
def test_an_id_serves_one_method_and_path(moved: dict[str, str], store: Store) -> None:
    assert passes(by_the_mall())
    assert not passes(by_the_mall(), **moved)  # type: ignore[arg-type]


def test_an_id_serves_one_body(store: Store) -> None:
    assert passes(by_the_mall())
    assert not passes(by_the_mall("{}"), body="{}")
    assert passes(by_the_mall())


def test_a_line_of_the_body_is_no_part_of_the_path(store: Store) -> None:
    assert passes(by_the_mall("b"), target="/a", body="b")
    assert not passes(by_the_mall("/a\nb"), target="", body="/a\nb")


def test_a_signature_is_of_this_body_and_id_and_time(store: Store) -> None:
    assert not passes(by_the_mall(), body="{}")
    assert not passes({**by_the_mall(), "webhook-id": "msg_2"})
    assert not passes({**by_the_mall(), "webhook-timestamp": str(NOW + 1)})
    assert not passes(by_the_mall(secret=NEW))
    assert rows(store.client, "traffic") == []


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize(
    "value", [None, "", " ", "x", "-1", "1e9", "²", "1750000000.0", "v1,", "v1", "é", "\x00"]
)
def test_a_header_that_is_missing_or_nonsense_is_refused(name: str, value: str | None, store: Store) -> None:
    headers = {key: text for key, text in {**by_the_mall(), name: value}.items() if text is not None}

    assert not passes(headers)
    assert rows(store.client, "traffic") == []


def test_an_id_of_any_length_is_refused_as_such(store: Store) -> None:
    assert passes(by_the_mall(webhook_id="m" * 200))
    assert not passes(by_the_mall(webhook_id="m" * 201))


def test_a_timestamp_of_any_length_is_refused_as_such(store: Store) -> None:
    assert not passes({**by_the_mall(), "webhook-timestamp": "9" * 5000})


def test_a_body_that_is_no_text_is_refused(store: Store) -> None:
    assert not passes(by_the_mall(), body=b"\xff\xfe")


def test_a_secret_that_is_no_base64_is_an_error_that_does_not_show_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(monkeypatch, "whsec_not*base64")

    with pytest.raises(ConfigError, match="whsec_") as wrong:
        webhooks.sign(BODY, webhook_id="msg_1", now=NOW)
    assert "not*base64" not in str(wrong.value)


def test_an_id_is_remembered_for_longer_than_its_time_is_good(store: Store) -> None:
    passes(by_the_mall())
    (used,) = rows(store.client, "traffic", kind="webhook_call")

    assert used["ttl"] > NOW + 2 * webhooks.TOLERANCE_S
