"""A campaign among the people of one WeChat group chat, who came to the program from it: who of them is ahead."""

from chalicelib.checkins import standings
from chalicelib.checkins.models import Campaign, Part
from chalicelib.checkins.standings import Standing
from chalicelib.core import table
from chalicelib.core.errors import NotFound
from chalicelib.sessions import proving


def board(campaign: Campaign, group_id: str, member_id: str, *, now: int) -> list[Standing]:
    """Those of the chat who are in the campaign, whoever has most days first, of these the longest run.

    Raises:
        NotFound: WeChat has not shown in the last 90 days that the member is in this chat.
    """
    if not proving.in_chat_group(member_id, group_id, now=now):
        raise NotFound
    people = proving.people_of(group_id, now=now)
    parts = table.get_all([(Part, Part.key(campaign.campaign_id, one)) for one in people])
    there = [(campaign, one) for one, part in zip(people, parts, strict=True) if part is not None]
    return sorted(standings.of_many(there, now=now), key=lambda one: _place(one, now))


def _place(one: Standing, now: int) -> tuple[int, int, str]:
    history = one.history
    return -history.total, -history.streak(history.calendar.turn_at(now)), one.member_id
