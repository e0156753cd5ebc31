"""Pure rules of sharing: cards from templates, arrivals, who is a robot."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec

Channel = Literal["wechat", "moments", "qr", "poster", "link", "qq", "weibo", "sms"]
Arrived = Literal["chat", "group", "moments", "code", "link", "other"]
Mode = Literal["first", "first_window", "last", "new_members"]

ANY = "*"
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
COMMON = frozenset({"nickname", "avatar", "title", "image", "id", "link"})
Describe = Callable[[str, int], Mapping[str, str] | None]
PartOf = Callable[[str, int], str | None]


class TargetKind(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be shared: the variables its cards may use, and the path of its page.

    ``part_of`` says what a target belongs to, such as a group to its campaign: visits are counted for that as well.
    """

    name: str
    variables: frozenset[str]
    path: str
    describe: Describe | None = None
    part_of: PartOf | None = None


_kinds: dict[str, TargetKind] = {}


def target_kind(
    name: str,
    *,
    variables: set[str],
    path: str,
    describe: Describe | None = None,
    part_of: PartOf | None = None,
) -> None:
    """Add a kind of target; rooms whose things can be shared call this once, with their own ``describe``.

    It tells a card's variables, and for posters also ``price_fen`` and ``list_price_fen``, where there are any.
    """
    _kinds[name] = TargetKind(
        name=name, variables=COMMON | variables, path=path, describe=describe, part_of=part_of
    )


target_kind("page", variables=set(), path="/{id}?link={link}")
target_kind("product", variables={"price"}, path="/pages/product/product?id={id}&link={link}")
target_kind("group", variables={"price", "seats_left", "size"}, path="/pages/group/group?id={id}&link={link}")
target_kind("coupon", variables={"value", "threshold"}, path="/pages/coupon/coupon?id={id}&link={link}")
target_kind("checkin", variables={"days", "streak"}, path="/pages/checkin/checkin?id={id}&link={link}")
target_kind(
    "achievement", variables={"name", "count"}, path="/pages/achievement/achievement?id={id}&link={link}"
)
target_kind("badge", variables={"name", "count"}, path="/pages/badge/badge?id={id}&link={link}")


def kind_of(name: str) -> TargetKind | None:
    """The kind of this name."""
    return _kinds.get(name)


def kinds() -> list[str]:
    """The names of all kinds."""
    return sorted(_kinds)


def placeholders(text: str) -> set[str]:
    """The variables that a template asks for."""
    return set(PLACEHOLDER.findall(text))


def unknown_placeholders(text: str, *, kind: TargetKind) -> set[str]:
    """Variables that this kind of target never has."""
    return placeholders(text) - kind.variables


def filled(template: str, variables: Mapping[str, str]) -> str | None:
    """The text with its variables put in; None when one of them is not known."""
    if any(not variables.get(name) for name in placeholders(template)):
        return None
    return PLACEHOLDER.sub(lambda match: variables[match.group(1)], template)


def preference(target: str, channel: str, placement: str) -> list[tuple[str, str, str]]:
    """Which templates serve, the most particular first."""
    return [
        (target, channel, placement),
        (target, channel, ANY),
        (target, ANY, placement),
        (target, ANY, ANY),
    ]


# Scene values: https://developers.weixin.qq.com/miniprogram/dev/reference/scene-list.html
_ARRIVALS: dict[int, Arrived] = {
    1007: "chat",
    1008: "group",
    1036: "chat",
    1044: "group",
    1154: "moments",
    1155: "moments",
    1011: "code",
    1012: "code",
    1013: "code",
    1025: "code",
    1031: "code",
    1032: "code",
    1047: "code",
    1048: "code",
    1049: "code",
    1065: "link",  # URL Scheme
    1194: "link",  # URL Link
}


def arrived(wx_scene: int | None) -> Arrived:
    """How a visitor arrived, from the scene value that the mini-program was started with."""
    return _ARRIVALS.get(wx_scene or 0, "other")


_ROBOTS = re.compile(
    r"bot\b|bots/|spider|crawl|slurp|preview|facebookexternalhit|whatsapp/|embedly|skypeuripreview|"
    r"headlesschrome|lighthouse|pingdom|uptime",
    re.IGNORECASE,
)


def is_robot(user_agent: str) -> bool:
    """Obvious robots and link previewers, by what they call themselves."""
    return bool(_ROBOTS.search(user_agent))


def sum_by(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Counts added up by name, without those that are nothing."""
    total: dict[str, int] = {}
    for row in rows:
        for name, n in row.items():
            total[name] = total.get(name, 0) + n
    return {name: n for name, n in total.items() if n}
