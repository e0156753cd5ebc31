"""Why a member was not bound: each with its code, which promoters and pages are told."""

from typing import Any

from chalicelib.core.errors import Conflict
from chalicelib.sharing.models import Binding


class NotBound(Conflict):
    """Why a visit did not bind; a sign-in goes on without it, and says the code."""


class SelfReferral(NotBound):
    """Nobody brings themselves."""

    code = "self_referral"
    en = "You cannot bring yourself."
    zh = "不能绑定自己。"
    advice = "Do not offer it on the member's own links."


class WouldCircle(NotBound):
    """The promoter was brought, directly or not, by this very member."""

    code = "would_circle"
    en = "You brought this person yourself."
    zh = "对方是你邀请来的，不能互相绑定。"
    advice = "Say so; nothing else to do."


class ChainTooLong(NotBound):
    """More than eight members stand above the promoter, too many to rule out a circle for an old member."""

    code = "chain_too_long"
    en = "This is not possible for this link."
    zh = "该链接暂不支持绑定。"
    advice = "Nothing to do; new members are bound all the same."


class NotNew(NotBound):
    """The policy binds new members only."""

    code = "not_a_new_member"
    en = "This is for new members only."
    zh = "仅限新会员。"
    advice = "Show the target without the promise for newcomers."


class BoundToAnother(NotBound):
    """The member is another promoter's customer, and the policy lets nobody take them; ``details.since``, and
    ``details.until`` if there is an end to it."""

    code = "bound_to_another"
    en = "You are somebody else's customer already."
    zh = "您已绑定其他推广员。"
    advice = "Say since when, and until when if there is an end to it."

    def __init__(self, held: Binding, **details: Any) -> None:
        super().__init__(**details)
        self.held = held


class BindingProtected(BoundToAnother):
    """The newest visit takes a binding, but this one is protected until ``details.protected_until``."""

    code = "binding_protected"
    en = "You cannot change your promoter yet."
    zh = "保护期内不能更换推广员。"
    advice = "Say until when, and offer it again then."


class VisitUsed(NotBound):
    """This visit has bound another member already."""

    code = "visit_used"
    en = "This visit was used by somebody else."
    zh = "该访问记录已被使用。"
    advice = "Open the link again for a visit of one's own."


class PromoterGone(NotBound):
    """The sharer is blocked, or not there any more."""

    code = "promoter_gone"
    en = "The person who shared this is not here any more."
    zh = "分享人已不可用。"
    advice = "Nothing to do."
