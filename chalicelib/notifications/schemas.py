"""What the routes of notifications take and answer."""

from typing import Annotated, Literal

import msgspec

from chalicelib.core.http import Items
from chalicelib.members.schemas import PagePath
from chalicelib.notifications.rules import Kind, Tap

NotificationId = Annotated[str, msgspec.Meta(pattern=r"^ntf_[A-Z0-9]{26}$(?!\n)")]
TemplateId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)")]
TapId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{8,64}$(?!\n)")]
Clock = Annotated[str, msgspec.Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)")]
Source = Annotated[str, msgspec.Meta(min_length=1, max_length=33)]
Said = Literal["accept", "reject", "ban", "filter"]


# --- the inbox ----------------------------------------------------------------------------------------------


class NotificationTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a tap on a notification leads."""

    kind: str
    id: str


class NotificationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the inbox, in the language of the request."""

    id: str
    kind: Kind
    title: str
    text: str
    target: NotificationTarget
    at: int
    seen: bool


class Inbox(Items[NotificationAnswer], kw_only=True, frozen=True):
    """A page of the inbox, newest first; ``unread`` is of all pages, and 100 means 100 or more."""

    unread: int


class Seen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What I have seen: these, or the newest hundred unseen ones of those told ``before`` this time; or both."""

    ids: Annotated[list[NotificationId], msgspec.Meta(max_length=100)] = []
    before: Annotated[int, msgspec.Meta(ge=0, le=99_999_999_999)] | None = None


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """How many are unread now; 100 means 100 or more."""

    unread: int
    now: int


# --- settings -----------------------------------------------------------------------------------------------


class QuietHours(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}
):
    """When WeChat sends me nothing, on the brand's clocks; over midnight if ``from`` is later than ``to``."""

    from_: Clock = "22:00"
    to: Clock = "08:00"


class NotificationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What WeChat sends me: not the kinds that are ``off``, not in quiet hours (null: none), so many a day."""

    off: Annotated[list[Kind], msgspec.Meta(max_length=50)] = []
    quiet: QuietHours | None = QuietHours()
    a_day: Annotated[int, msgspec.Meta(ge=0, le=50)] = 5
    lang: Literal["zh", "en"] = "zh"


class SettingsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """My settings, and all kinds that there are."""

    settings: NotificationSettings
    kinds: list[Kind]
    now: int


# --- consents -----------------------------------------------------------------------------------------------


class AfterTap(msgspec.Struct, frozen=True, kw_only=True):
    """What the member has just done."""

    after: Tap


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """The templates to hand to wx.requestSubscribeMessage in the tap, three at most; none: do not ask."""

    template_ids: list[str]
    now: int


class Tapped(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What wx.requestSubscribeMessage gave, by template; ``tap_id`` is new with every tap, and counts once."""

    tap_id: TapId
    results: Annotated[dict[TemplateId, Said], msgspec.Meta(min_length=1, max_length=3)]


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages of each template can be sent to me now."""

    left: dict[str, int]
    now: int


# --- templates ----------------------------------------------------------------------------------------------


class MessageTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which template tells of a kind: its keywords, such as thing1, and of each the field that fills it.

    ``=`` before a text makes it the keyword's fixed text. ``page`` may have ``{id}`` and ``{kind}`` of the target;
    without it, the program's landing page is opened with both.
    """

    kind: Kind
    template_id: TemplateId
    page: PagePath | None = None
    keywords: Annotated[dict[str, Source], msgspec.Meta(min_length=1, max_length=10)]


class EditTemplates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a program tells by WeChat, one template for a kind."""

    items: Annotated[list[MessageTemplate], msgspec.Meta(max_length=50)]


class TemplatesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a program tells by WeChat, and the fields that each kind has, by their type."""

    program_id: str
    items: list[MessageTemplate]
    fields: dict[str, dict[str, str]]
    now: int


# --- activities ---------------------------------------------------------------------------------------------


class ActivityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What wx.updateShareMenu wants for a card that shows how many have joined.

    From ``activity_expires_at`` on WeChat shows it as over, and it is told nothing any more: then ``activity_id``
    is null, and the card is shared as any other. ``target_state`` is what it shows: 0 gathering, 1 full, 2 over.
    """

    activity_id: str | None
    activity_expires_at: int
    template_id: str
    target_state: int
    member_count: int
    room_limit: int
    now: int
