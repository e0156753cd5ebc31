"""What check-ins' routes take and answer."""

from typing import Annotated, Literal

import msgspec

from chalicelib.members.schemas import Id, Reason
from chalicelib.sharing.schemas import CardText, Epoch, Sharer
from chalicelib.uploads.schemas import UploadId

Turns = Annotated[int, msgspec.Meta(ge=1, le=1000)]
Amount = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Day = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$(?!\n)")]
Minute = Annotated[int, msgspec.Meta(ge=0, le=1439)]
NoteText = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


# --- campaigns, as operators give them ----------------------------------------------------------------------


class Gift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """So much of one kind; a coupon names its template."""

    kind: Literal["points", "growth", "makeup_card", "freeze_card", "coupon"]
    amount: Amount = 1
    template_id: Id | None = None


class Reward(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is given for each turn, at this turn of a streak, for so many turns in all, or at completion."""

    by: Literal["each", "streak", "total", "completion"]
    turns: Turns | None = None
    give: Annotated[list[Gift], msgspec.Meta(min_length=1, max_length=5)]


class Makeups(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a make-up costs, and how many days of each month can be made up, how long afterwards."""

    points: Amount | None = None
    cards: bool = False
    per_month: Annotated[int, msgspec.Meta(ge=1, le=31)] = 3
    within_days: Annotated[int, msgspec.Meta(ge=1, le=31)] = 31


class EditCampaign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A check-in campaign; what its days are (kind, timezone, cut-off, every, starts_at) never changes again."""

    title: CardText
    kind: Literal["daily", "challenge"] = "daily"
    timezone: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    day_starts_at_minute: Minute = 0
    every: Literal["day", "week"] = "day"
    target: Turns | None = None
    starts_at: Epoch
    ends_at: Epoch | None = None
    rewards: Annotated[list[Reward], msgspec.Meta(max_length=40)] = []
    cycle: Turns | None = None
    makeups: Makeups | None = None
    freeze_at_most: Annotated[int, msgspec.Meta(ge=0, le=7)] = 0
    notes: bool = False
    team_size: Annotated[int, msgspec.Meta(ge=2, le=20)] | None = None


# --- what people see ----------------------------------------------------------------------------------------


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """So much of one kind was given, or would be; ``missed``: why a coupon could not be given."""

    kind: str
    amount: int
    template_id: str | None = None
    missed: str | None = None


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign as everybody may see it."""

    campaign_id: str
    title: str
    kind: str
    state: str
    timezone: str
    day_starts_at_minute: int
    every: str
    target: int | None
    starts_at: int
    ends_at: int | None
    rewards: list[Reward]
    cycle: int | None
    makeups: Makeups | None
    freeze_at_most: int
    notes: bool
    team_size: int | None


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """How far a member is."""

    done_today: bool
    streak: int
    total: int


class Coming(msgspec.Struct, frozen=True, kw_only=True):
    """A turn to come: how long the streak would be, and what it would bring."""

    date: str
    streak: int
    gifts: list[Given]


class MakeupOffer(msgspec.Struct, frozen=True, kw_only=True):
    """What can be made up now, for how much; ``left`` is what is left of this month's."""

    points: int | None
    cards: bool
    left: int
    dates: list[str]


class NoteAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody said or showed with a check-in."""

    date: str
    text: str | None
    image_url: str | None
    state: str


class TurnNote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a note is shown, and why that changes."""

    state: Literal["visible", "hidden"]
    reason: Reason


class MateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How far a member of the team is, with their note of today."""

    member: Sharer
    mine: bool
    founder: bool
    done_today: bool
    streak: int
    total: int
    note: NoteAnswer | None


class TeamAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A team and its progress together; ``title_pending``, told to its founder alone, is to be checked first."""

    team_id: str
    campaign_id: str
    title: str
    title_pending: str | None
    size: int
    free: int
    done_today: int
    total: int
    completed: int
    mates: list[MateAnswer]
    in_it: bool
    now: int


class ChatPlace(Brief, frozen=True, kw_only=True):
    """One of a group chat, and how far they are; ``rank`` 1 is ahead of all."""

    rank: int
    member: Sharer
    mine: bool


class ChatBoard(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign among the people of a group chat: how many of them are in it, the first hundred, and oneself."""

    campaign_id: str
    chat_group_id: str
    people: int
    places: list[ChatPlace]
    mine: ChatPlace | None
    now: int


class Mine(Brief, frozen=True, kw_only=True):
    """The whole of what a member sees of themselves."""

    today: str
    next_turn_at: int
    days: list[str]
    made_up: list[str]
    frozen: list[str]
    completed: bool
    coming: list[Coming]
    makeups: MakeupOffer | None
    remind_at_minute: int | None
    team_id: str | None


class CampaignAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign's page in one call; nothing in it changes by itself, so it is not polled."""

    campaign: Terms
    mine: Mine | None
    team: TeamAnswer | None
    note: NoteAnswer | None
    can_check_in: bool
    cannot_check_in_because: str | None
    poll_after_s: int | None
    ask_subscriptions: list[str] = []
    now: int


class ListedCampaign(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign in the list, with how far I am."""

    campaign: Terms
    mine: Brief | None


class CampaignList(msgspec.Struct, frozen=True, kw_only=True):
    """Campaigns that can be seen, newest first."""

    items: list[ListedCampaign]
    now: int


class CheckIn(msgspec.Struct, frozen=True, kw_only=True):
    """A check-in, with a note where the campaign takes them. ``image``: an upload of kind checkin."""

    text: NoteText | None = None
    image: UploadId | None = None


class MakeUp(msgspec.Struct, frozen=True, kw_only=True):
    """The missed date, and how it is paid; unless said, in points where they are taken, else with a card."""

    date: Day
    pay: Literal["points", "card"] | None = None


class CheckedIn(msgspec.Struct, frozen=True, kw_only=True):
    """What a check-in or make-up brought, and the page after it."""

    date: str
    streak: int
    total: int
    given: list[Given]
    frozen: list[str]
    mine: Mine
    now: int


class SetReminder(msgspec.Struct, frozen=True, kw_only=True):
    """The minute of the campaign's day at which to be reminded; null: not any more."""

    at_minute: Minute | None


class Reminder(msgspec.Struct, frozen=True, kw_only=True):
    """When a member is reminded next."""

    campaign_id: str
    at_minute: int | None
    next_at: int | None
    now: int


class FoundTeam(msgspec.Struct, frozen=True, kw_only=True):
    """What a new team is called."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=32)]


class TeamLeft(msgspec.Struct, frozen=True, kw_only=True):
    """The member is in no team of the campaign any more."""

    campaign_id: str
    team_id: str
    now: int


# --- what operators see -------------------------------------------------------------------------------------


class AdminCampaign(Terms, frozen=True, kw_only=True):
    """A campaign as operators see it."""

    created_at: int
    now: int


class AdminCampaigns(msgspec.Struct, frozen=True, kw_only=True):
    """All campaigns, newest first."""

    items: list[AdminCampaign]
    now: int


class ReportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which month, and from where."""

    month: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$(?!\n)")] | None = None
    after: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class ReportDay(msgspec.Struct, frozen=True, kw_only=True):
    """How many checked in on a date, and how many of these later."""

    date: str
    checked_in: int
    made_up: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A month of a campaign, summed over up to a thousand members; add up the pages until ``next`` is null."""

    campaign_id: str
    month: str
    members: int
    items: list[ReportDay]
    next: str | None
    now: int
