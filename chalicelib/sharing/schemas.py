"""What sharing's routes take and answer."""

from typing import Annotated, Literal

import msgspec

from chalicelib.core.http import Listing
from chalicelib.members.schemas import HandOver, HttpsUrl, Id, PagePath, Reason
from chalicelib.sharing.rules import Channel, Mode

TargetId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-][A-Za-z0-9_./-]{0,127}$(?!\n)")]
KindName = Annotated[str, msgspec.Meta(pattern=r"^[a-z_]{1,32}$(?!\n)")]
Placement = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{0,32}$(?!\n)")]
CardKey = Annotated[str, msgspec.Meta(pattern=r"^(\*|[A-Za-z0-9_-]{1,32})$(?!\n)")]
CardText = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
LinkCode = Annotated[str, msgspec.Meta(pattern=r"^[2-9A-HJKMNP-Z]{10}$(?!\n)")]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
VisitorKey = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{8,64}$(?!\n)")]
Scene = Annotated[int, msgspec.Meta(ge=0, le=99_999)]
Epoch = Annotated[int, msgspec.Meta(ge=0, le=99_999_999_999)]


class TargetRef(msgspec.Struct, frozen=True, kw_only=True):
    """What is shared; a page's id is its path without the leading slash."""

    kind: KindName
    id: TargetId


class MintLink(msgspec.Struct, frozen=True, kw_only=True):
    """A share button about to be pressed."""

    target: TargetRef
    channel: Channel
    placement: Placement = ""
    expires_at: Epoch | None = None


class MintLinks(msgspec.Struct, frozen=True, kw_only=True):
    """All the share buttons of a screen, ahead of the tap."""

    links: Annotated[list[MintLink], msgspec.Meta(min_length=1, max_length=50)]


class CardAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What `onShareAppMessage` returns: title, picture, path; the tag tells contents apart in reports."""

    title: str
    image_url: str | None
    path: str
    tag: str | None


class LinkAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A link; ``scene`` goes into a mini-program code, ``path`` into a card, ``url`` everywhere else."""

    code: str
    url: str
    path: str
    scene: str
    target: TargetRef
    channel: str
    placement: str
    state: str
    expires_at: int | None
    card: CardAnswer
    now: int


class LinkList(msgspec.Struct, frozen=True, kw_only=True):
    """The links in the order asked for; one that was switched off says so in its state."""

    items: list[LinkAnswer]
    now: int


class OpenLink(msgspec.Struct, frozen=True, kw_only=True):
    """An opening: how the mini-program was started, and a key that the phone keeps for itself."""

    wx_scene: Scene | None = None
    visitor: VisitorKey | None = None
    program_id: Id | None = None


class Sharer(msgspec.Struct, frozen=True, kw_only=True):
    """Who shares; the name is masked for strangers."""

    nickname: str
    avatar_url: str | None


class VisitAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What the link leads to, and a token of two days that tells POST /v1/sessions of this visit.

    ``counted`` is false for robots. ``bound`` says whether the signed-in member is bound to somebody now.
    """

    code: str
    target: TargetRef
    sharer: Sharer
    card: CardAnswer
    visit_token: str
    counted: bool
    arrived_by: str
    bound: bool | None
    hand_overs: list[HandOver]
    now: int


class FunnelQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How many days back, today included."""

    days: Annotated[int, msgspec.Meta(ge=1, le=90)] = 7


class FunnelDay(msgspec.Struct, frozen=True, kw_only=True):
    """One day of a link: opened → became new members → bound to the sharer → ordered → paid → settled.

    ``settled`` are orders that earned the sharer something which is theirs by now, of members whom this link bound:
    counted on the day on which it became theirs, and no more when the order goes back whole.
    """

    day: str
    opened: int
    opened_by: dict[str, int]
    new_members: int
    bound: int
    joined: int
    paid: int
    settled: int


class FunnelTotal(msgspec.Struct, frozen=True, kw_only=True):
    """All the days of the answer."""

    opened: int
    new_members: int
    bound: int
    joined: int
    paid: int
    settled: int


class Funnel(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a link, newest day first; days on which nothing happened are left out."""

    code: str
    items: list[FunnelDay]
    total: FunnelTotal
    now: int


class QrQuery(msgspec.Struct, frozen=True, kw_only=True):
    """``base64`` is JSON for a canvas; ``wxacode``: a mini-program code of the program, at least ``width`` px wide.

    As WeChat draws those as it likes, ``png`` may be a JPEG then, which the answer's type says.
    """

    format: Literal["svg", "png", "base64"] = "svg"
    kind: Literal["link", "wxacode"] = "link"
    program_id: Id | None = None
    width: Annotated[int, msgspec.Meta(ge=280, le=1280)] = 430


class MakeOpening(msgspec.Struct, frozen=True, kw_only=True):
    """What opens the program from outside: a URL Link (text messages, pages), a scheme, or a short link (chats)."""

    kind: Literal["url_link", "scheme", "short_link"]
    program_id: Id


class OpeningAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """WeChat's address for a link of ours, good until then."""

    code: str
    kind: str
    url: str
    expires_at: int
    now: int


class Base64Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture inside JSON."""

    content_type: str
    base64: str


class PosterQuery(msgspec.Struct, frozen=True, kw_only=True):
    """With a program its mini-program code, else the link's QR code."""

    program_id: Id | None = None


class PosterBox(msgspec.Struct, frozen=True, kw_only=True):
    """Where something stands, in px of the poster; of a text, its letters' height and how many lines it has."""

    x: int
    y: int
    width: int
    height: int
    radius: int
    font_size: int
    line_height: int
    lines: int


class PosterAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a mini-program's canvas paints; ``words`` has what stands there besides, by box.

    Pictures by address are downloaded first, from domains that the program lists; one that is missing is null.
    """

    code: str
    nickname: str
    avatar_url: str | None
    title: str
    price_fen: int | None
    list_price_fen: int | None
    image_url: str | None
    qr: Base64Picture
    words: dict[str, str]
    width: int
    height: int
    boxes: dict[str, PosterBox]
    now: int


class SwitchedOff(msgspec.Struct, frozen=True, kw_only=True):
    """The link opens nothing any more."""

    code: str
    state: str
    now: int


class SwitchOff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an operator switches a link off; it stays off."""

    reason: Reason


class EditCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template: which shares it serves (``*``: any), and what they show, with ``{placeholders}``."""

    target_kind: KindName
    channel: CardKey = "*"
    placement: CardKey = "*"
    title: CardText
    image_url: HttpsUrl | None = None
    path: PagePath | None = None
    tag: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,32}$(?!\n)")] | None = None


class CardTemplate(EditCard, frozen=True, kw_only=True):
    """A template as it is kept."""

    id: str


class CardList(msgspec.Struct, frozen=True, kw_only=True):
    """All templates, and the variables that each kind of target has."""

    items: list[CardTemplate]
    variables: dict[str, list[str]]
    now: int


class EditTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page or product that can be shared."""

    kind: KindName
    id: TargetId
    title: CardText
    description: Annotated[str, msgspec.Meta(max_length=500)] | None = None
    image_url: HttpsUrl | None = None
    price_fen: Annotated[int, msgspec.Meta(ge=0, le=10_000_000_00)] | None = None
    path: PagePath | None = None


class TargetQuery(Listing, frozen=True, kw_only=True):
    """Which kind of target."""

    kind: KindName


class SignalLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From how many on something looks like fraud, so that a commission is held until an operator has looked.

    Members seen on one device in 30 days; members bound from one address on a day; members bound to one promoter
    within an hour; orders of a promoter's new customers that were refunded in 30 days; the rank, 1 to 4, at which
    WeChat holds a new customer to be risky (0: WeChat is not asked).
    """

    device_members: Annotated[int, msgspec.Meta(ge=2, le=60)] = 3
    address_members: Annotated[int, msgspec.Meta(ge=2, le=60)] = 20
    bindings_per_hour: Annotated[int, msgspec.Meta(ge=2, le=100)] = 30
    refunded_orders: Annotated[int, msgspec.Meta(ge=1, le=60)] = 3
    risk_rank: Annotated[int, msgspec.Meta(ge=0, le=4)] = 0


class EditPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new version of the policy: who is bound and for how long, how many levels earn (two at most).

    ``first``: the first who brings a member keeps them; ``first_window``: for ``window_days``, from the last
    purchase on with ``renew_by_purchase``; ``last``: the newest visit takes the binding, after its
    ``protect_days``; ``new_members``: only who registers by a link is bound. The last two may have a window as
    well.
    """

    mode: Mode
    window_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] | None = None
    renew_by_purchase: bool = False
    protect_days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 0
    depth: Annotated[int, msgspec.Meta(ge=1, le=2)] = 1
    self_purchase: bool = False
    signals: SignalLimits = SignalLimits()


class DryRun(EditPolicy, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another policy over past orders: those of these ids, or those that were made from a time until another."""

    order_ids: Annotated[list[Id], msgspec.Meta(max_length=50)] | None = None
    from_: Epoch | None = msgspec.field(default=None, name="from")
    until: Epoch | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=50)] = 20
    after: Annotated[str, msgspec.Meta(max_length=2000)] | None = None


class Promoters(msgspec.Struct, frozen=True, kw_only=True):
    """Who earns by an order, and how much by the rates of when it was made; null: nobody.

    It is worked out from what is left of the order now, so that what is and what would be compare. Left out are
    holds, what operators refused, and what a group's head has of it.
    """

    promoter_id: str | None
    level_two_id: str | None
    promoter_fen: int
    level_two_fen: int


class DryRunLine(msgspec.Struct, frozen=True, kw_only=True):
    """An order, whose it was, and whose it would have been; ``by``: how they would have come to that promoter."""

    order_id: str
    created_at: int
    member_id: str
    was: Promoters
    would: Promoters
    by: str | None
    changed: bool


class DryRunPromoter(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody earns by the orders of a page, and what they would have earned."""

    promoter_id: str
    was_fen: int
    would_fen: int


class DryRunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the orders, the newest day first, and how many of them would have been somebody else's.

    ``promoters`` are all who earn by these orders, or would have, who would have gained most first.
    """

    items: list[DryRunLine]
    promoters: list[DryRunPromoter]
    changed: int
    was_fen: int
    would_fen: int
    next: str | None
    now: int


class CandidateAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whose order it might have been: how they came to it, and by which rule it is or is not theirs.

    Promoters see of others only that there were some: ``yours`` says which is theirs.
    """

    kind: str
    promoter_id: str | None
    yours: bool
    at: int
    outcome: str
    rule: str
    link: str | None


class AttributionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whose order it is, for one of its promoters: their level, and how it came to be theirs."""

    order_id: str
    created_at: int
    level: int
    policy: int
    binding_policy: int | None
    bound_at: int | None
    self_purchase: bool
    candidates: list[CandidateAnswer]
    now: int


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """Something that looks like fraud, in numbers."""

    kind: str
    evidence: dict[str, int]


class AdminAttribution(msgspec.Struct, frozen=True, kw_only=True):
    """Whose order it is and who else it might have been, for operators; made when ``made_at`` says."""

    order_id: str
    created_at: int
    member_id: str
    promoter_id: str | None
    level_two_id: str | None
    policy: int
    binding_policy: int | None
    bound_at: int | None
    link: str | None
    visit_id: str | None
    self_purchase: bool
    candidates: list[CandidateAnswer]
    signals: list[Signal]
    made_at: int
    now: int


class PolicyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One version of the policy; version 0 is built in."""

    version: int
    mode: str
    window_days: int | None
    renew_by_purchase: bool
    protect_days: int
    depth: int
    self_purchase: bool
    signals: SignalLimits
    made_at: int | None
    now: int


class PolicyList(msgspec.Struct, frozen=True, kw_only=True):
    """The versions, newest first."""

    items: list[PolicyAnswer]
    now: int


class BindingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whose customer the member is, and until when if there is an end to it; null: nobody's."""

    bound: bool
    promoter: Sharer | None
    bound_at: int | None
    expires_at: int | None
    now: int


class BindByCode(msgspec.Struct, frozen=True, kw_only=True):
    """The invite code that a member typed in."""

    invite_code: Annotated[str, msgspec.Meta(pattern=r"^[2-9A-HJKMNP-Za-hjkmnp-z]{8}$(?!\n)")]


class MoveBinding(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an operator moves a customer; null: to nobody."""

    promoter_id: Id | None
    reason: Reason


class BindingState(msgspec.Struct, frozen=True, kw_only=True):
    """A binding as it is or was."""

    state: str
    promoter_id: str
    link: str | None
    visit_id: str | None
    policy: int
    bound_at: int
    cause: str
    expires_at: int | None = None
    until: int | None


class BindingHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A member's bindings, newest first; the first is the one that holds."""

    member_id: str
    items: list[BindingState]
    now: int
