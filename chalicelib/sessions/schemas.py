"""What signing in takes and answers."""

from typing import Annotated

import msgspec

from chalicelib.members.schemas import Id, MemberAnswer, Proof
from chalicelib.sharing.schemas import LinkCode, Scene, Token, VisitAnswer, VisitorKey

LoginCode = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """A login code of wx.login, and what the member came by: a link, or the token of a visit before.

    ``device`` is the key that the phone keeps for itself; it is kept as a keyed hash only.
    """

    program_id: Id
    code: LoginCode
    link: LinkCode | None = None
    visit_token: Token | None = None
    wx_scene: Scene | None = None
    device: VisitorKey | None = None


class VouchFor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the mall's server knows of somebody who signed in with it; WeChat is not asked.

    ``device`` and ``address`` are the phone's, as the mall saw them; they are kept as keyed hashes only.
    """

    external_id: Proof
    program_id: Id
    openid: Proof | None = None
    unionid: Proof | None = None
    link: LinkCode | None = None
    visit_token: Token | None = None
    wx_scene: Scene | None = None
    device: VisitorKey | None = None
    address: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Fa-f.:]{2,45}$(?!\n)")] | None = None


class SignedInMember(MemberAnswer, frozen=True, kw_only=True):
    """The member, and whether this sign-in made them one."""

    new: bool


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """A session, and what the link said. ``leaving_at``: the member asked to be erased then, and can take it back.

    ``bound``: the member is somebody's customer now. When a link or visit did not bind them, or opens nothing,
    ``visit_refused`` has the code of the reason.
    """

    token: str
    expires_at: int
    member: SignedInMember
    visit: VisitAnswer | None
    bound: bool
    visit_refused: str | None
    leaving_at: int | None
    now: int


Encrypted = Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]
Iv = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Signed = Annotated[str, msgspec.Meta(max_length=256)]


class SharePhone(msgspec.Struct, frozen=True, kw_only=True):
    """The code that the getPhoneNumber button gave; it serves once, for five minutes."""

    code: LoginCode


class CameFromChat(msgspec.Struct, frozen=True, kw_only=True):
    """What wx.getGroupEnterInfo gave, as it is."""

    encrypted_data: Encrypted
    iv: Iv


class ChatGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The group chat that the member came from, by an id of ours."""

    chat_group_id: str
    now: int


class VerifyPrivateMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What wx.authPrivateMessage gave, as it is, and the activity that the message was sent under."""

    encrypted_data: Encrypted
    iv: Iv
    activity_id: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class PrivateMessage(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the message was sent to this member."""

    valid: bool
    now: int


class Echo(msgspec.Struct, frozen=True, kw_only=True):
    """What WeChat asks when the address is entered."""

    echostr: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    signature: Signed = ""
    timestamp: Signed = ""
    nonce: Signed = ""


class PushedWith(msgspec.Struct, frozen=True, kw_only=True):
    """What WeChat signs a push with; in the encrypted mode also ``msg_signature``."""

    signature: Signed = ""
    timestamp: Signed = ""
    nonce: Signed = ""
    openid: Signed = ""
    encrypt_type: Signed = ""
    msg_signature: Signed = ""
