"""What members' routes take and answer."""

from typing import Annotated, Any, Literal

import msgspec

from chalicelib.uploads.schemas import UploadId

Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$(?!\n)")]
Proof = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_@.:+=/-]{1,128}$(?!\n)")]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
PagePath = Annotated[str, msgspec.Meta(pattern=r"^/?[A-Za-z0-9_./{}?=&%-]{1,512}$(?!\n)")]
HttpsUrl = Annotated[
    str, msgspec.Meta(pattern=r"^https://[^\s\x00-\x20\x7f-\xa0\ufeff\"'<>\\]{1,500}$(?!\n)")
]
Tag = Annotated[str, msgspec.Meta(pattern=r"^[\w.-]{1,32}$(?!\n)")]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class MemberAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A member as they see themselves."""

    member_id: str
    nickname: str | None
    avatar_url: str | None
    registered_at: int
    state: str


class MeAnswer(MemberAnswer, frozen=True, kw_only=True):
    """The signed-in member: also the nickname that is being checked, which others do not see, and the phone number,
    its middle hidden."""

    nickname_pending: str | None
    phone: str | None
    now: int


class EditMe(msgspec.Struct, frozen=True, kw_only=True):
    """What a member may change of themselves; what is left out stays. ``avatar``: an upload of kind avatar."""

    nickname: Annotated[str, msgspec.Meta(min_length=1, max_length=32)] | None = None
    avatar: UploadId | None = None


class AskDeletion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To be erased; ``forfeit``: the money that is left, and what is still to come, is given up."""

    forfeit: bool = False


class ObstacleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a member must end first; ``details.forfeit``: they may give it up instead."""

    code: str
    details: dict[str, Any]


class DeletionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a member is ``leaving``, or ``active``; ``erase_at``: until when they may change their mind.

    ``obstacles``: what they must end first. ``postponed_by``: what stood in the way when the time had come, so that
    it is tried again at ``erase_at``.
    """

    state: Literal["active", "leaving"]
    erase_at: int | None
    forfeit: bool
    obstacles: list[ObstacleAnswer]
    postponed_by: list[ObstacleAnswer]
    now: int


class ExportAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """All that is kept of a member, by room: the newest thousand of each kind, times in seconds, money in fen.

    ``truncated`` beside ``items``: there are more. Bank accounts and id numbers are masked. ``formerly``: what is
    kept under the id of a member who was merged into this one, and did not go over.
    """

    member_id: str
    rooms: dict[str, dict[str, Any]]
    formerly: dict[str, dict[str, dict[str, Any]]]
    now: int


class HandOver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where another program of the brand takes over; ``{link}`` in the path is the link's code."""

    program_id: Id
    path: PagePath


class ProgramAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A mini-program of the brand, as everybody may know it."""

    program_id: str
    appid: str
    name: str
    platform: str
    kind: str
    landing_page: str
    hand_overs: list[HandOver]


class ProgramList(msgspec.Struct, frozen=True, kw_only=True):
    """The brand's mini-programs, ten at most."""

    items: list[ProgramAnswer]
    now: int


class EditProgram(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What operators say of a program."""

    appid: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)")]
    secret_name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$(?!\n)")]
    name: Name
    platform: Literal["wechat"] = "wechat"
    kind: Literal["functional", "campaign"]
    landing_page: PagePath
    hand_overs: Annotated[list[HandOver], msgspec.Meta(max_length=10)] = []


class AddProgram(EditProgram, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new program under an id of the operator's choice."""

    program_id: Id


class AdminProgram(ProgramAnswer, frozen=True, kw_only=True):
    """A program with the name of its secret; the secret itself is never shown."""

    secret_name: str


class AdminMember(MemberAnswer, frozen=True, kw_only=True):
    """A member as operators see them; identities are shown masked. ``leaving_at``: when they are to be erased;
    ``merged_into``: who they are since."""

    program_id: str
    identities: list[str]
    came_link: str | None
    blocked_because: str | None
    leaving_at: int | None
    tags: list[str]
    merged_into: str | None = None
    now: int


class EditTags(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All tags (标签) of a member; those that are not named are taken away."""

    tags: Annotated[list[Tag], msgspec.Meta(max_length=50)]


class Because(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why an operator does it; kept in the audit trail."""

    reason: Reason


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """It is so now."""

    id: str
    state: str
    now: int


class AdminProgramList(msgspec.Struct, frozen=True, kw_only=True):
    """The programs as operators see them."""

    items: list[AdminProgram]
    now: int


class MemberRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member as the mall names them: by its own id, by an openid in a program, or by unionid."""

    external_id: Proof | None = None
    program_id: Id | None = None
    openid: Proof | None = None
    unionid: Proof | None = None


class FindMember(MemberRef, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member as operators look them up: as the mall names them, or by our own id."""

    member_id: Id | None = None
