"""What members' pages show of a member."""

from chalicelib.core.http import Call
from chalicelib.members import rules, service
from chalicelib.members.models import Member
from chalicelib.members.schemas import MeAnswer
from chalicelib.uploads import service as uploads


def me(member: Member, call: Call) -> MeAnswer:
    """A member as they see themselves, whole."""
    return MeAnswer(
        member_id=member.member_id,
        nickname=member.nickname,
        avatar_url=uploads.url_of(service.avatar_of(member), base_url=call.base_url),
        registered_at=member.registered_at,
        state=member.state or "",
        nickname_pending=member.nickname_pending,
        phone=next(map(rules.masked_phone, rules.phones(member.identities or ())), None),
        now=call.now,
    )
