"""The rules of notifications: what WeChat takes for a keyword, and when it is quiet."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from chalicelib.notifications import rules
from chalicelib.notifications.rules import KINDS
from infra.local.wechat import messages

ZONE = ZoneInfo("Asia/Shanghai")


def at(day: int, hour: int, minute: int = 0) -> int:
    return int(datetime(2026, 1, day, hour, minute, tzinfo=ZONE).timestamp())


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_fits_every_keyword_that_takes_it(kind: rules.Kind) -> None:
    long = {
        "text": "很长的名字" * 9,
        "phrase": KINDS[kind].status,
        "number": 12,
        "money": 123456,
        "time": at(1, 9),
    }
    for keyword in ("thing", "phrase", "number", "character_string", "amount", "time", "date"):
        for name, form in rules.fields_of(kind).items():
            if rules.why_not(kind, f"{keyword}1", name) is None:
                value = rules.filled(
                    keyword, form, long.get(form, "ord_0123456789ABCDEFGHJKMNPQRS"), zone=ZONE
                )
                assert rules.fits(keyword, value), (keyword, name, value)
                # The simulator has its own rules, from the same page.
                assert messages._wrong_value({f"{keyword}1": {"value": value}}) is None, (
                    keyword,
                    name,
                    value,
                )


def test_nothing_is_said_as_nothing_and_what_is_long_is_cut() -> None:
    assert rules.filled("thing", "text", None, zone=ZONE) == "无"
    assert rules.filled("thing", "text", "a\nb", zone=ZONE) == "a b"
    assert rules.filled("thing", "text", "字" * 21, zone=ZONE) == "字" * 19 + "…"
    assert rules.filled("amount", "money", 5, zone=ZONE) == "0.05元"


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        ("phone_number", "+86-0766-66888866", "call me"),
        ("car_number", "粤A8Z888挂", "粤A8Z888888"),
        ("name", "王小明", "王" * 11),
        ("letter", "abc", "ab1"),
        ("symbol", "!?", "a!"),
        ("time", "15:01", "3 pm"),
        ("date", "2019年10月1日~2019年10月2日", "tomorrow"),
        ("number", "12.5", "1" * 33),
    ],
)
def test_a_fixed_text_is_held_against_what_wechat_says(form: str, good: str, bad: str) -> None:
    assert rules.fits(form, good) and not rules.fits(form, bad)


@pytest.mark.parametrize(
    ("now", "begins", "ends", "until"),
    [
        (at(5, 23), "22:00", "08:00", at(6, 8)),
        (at(6, 7, 59), "22:00", "08:00", at(6, 8)),
        (at(6, 8), "22:00", "08:00", None),
        (at(6, 21, 59), "22:00", "08:00", None),
        (at(6, 13), "12:00", "14:00", at(6, 14)),
        (at(6, 14), "12:00", "14:00", None),
        (at(6, 14), "14:00", "14:00", None),
    ],
)
def test_quiet_hours_may_go_over_midnight(now: int, begins: str, ends: str, until: int | None) -> None:
    assert rules.quiet_until(now, begins=begins, ends=ends, zone=ZONE) == until


def test_every_kind_has_words_that_its_fields_fill() -> None:
    for kind, words in KINDS.items():
        for lang in ("zh", "en"):
            title, text = rules.said(kind, {}, lang=lang, zone=ZONE)
            assert title and text and len(words.status) <= 5 and rules.fits("phrase", words.status)
