"""Where members stand: what their newest months say, read in one go."""

from collections.abc import Sequence
from datetime import date
from functools import cached_property
from typing import Any

import msgspec

from chalicelib.checkins import campaigns, rules
from chalicelib.checkins.models import Campaign, Month, Part, member_key
from chalicelib.checkins.rules import History
from chalicelib.core import table
from chalicelib.core.table import Row


class Standing(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Where a member stands in a campaign: their part, and their two newest months."""

    campaign: Campaign
    member_id: str
    part: Part | None
    months: Sequence[Month]

    @cached_property
    def history(self) -> History:
        """What they have done, as far as it was read."""
        return history(self.campaign, self.months)

    def beneath(self, turn: date) -> Sequence[Month]:
        """The months that marking a turn builds on, newest first: its own or the one before it, and all later ones.

        What is computed from these alone is right if each is still as it was read.
        """
        name = rules.month_of(turn)
        later = [row for row in self.months if row.month > name]
        return [*later, *[row for row in self.months if row.month <= name][:1]]

    def history_beneath(self, turn: date) -> History:
        """What those say."""
        return history(self.campaign, self.beneath(turn))

    def month(self, name: str) -> Month | None:
        """The row of a month, if it is one of the two."""
        return next((row for row in self.months if row.month == name), None)


def of(campaign: Campaign, member_id: str) -> Standing:
    """Where a member stands now, in one read."""
    page = table.query(Row, member_key(campaign.campaign_id, member_id), limit=3, newest_first=True)
    part = next((row for row in page.rows if isinstance(row, Part)), None)
    months = [row for row in page.rows if isinstance(row, Month)]
    return Standing(campaign=campaign, member_id=member_id, part=part, months=months[:2])


def of_many(wanted: Sequence[tuple[Campaign, str]], *, now: int) -> list[Standing]:
    """Where several stand, in one read for fifty of them: this month and the one before say it all of a streak.

    Who has neither is read on their own, as their total is in an older month.
    """
    found: list[Standing] = []
    for at in range(0, len(wanted), 50):
        some = wanted[at : at + 50]
        rows = table.get_many([(Month, key) for one in some for key in _two_months(*one, now=now)])
        for n, (campaign, member_id) in enumerate(some):
            months = [row for row in rows[2 * n : 2 * n + 2] if row is not None]
            if months:
                found.append(Standing(campaign=campaign, member_id=member_id, part=None, months=months))
            else:
                found.append(of(campaign, member_id))
    return found


def _two_months(campaign: Campaign, member_id: str, *, now: int) -> list[table.Key]:
    turn = campaigns.calendar(campaign).turn_at(now)
    months = (rules.month_of(turn), rules.month_of(rules.first_of(rules.month_of(turn)) - rules.DAY))
    return [Month.key(campaign.campaign_id, member_id, month) for month in months]


def everywhere(member_id: str) -> list[tuple[Campaign, Part, list[Month]]]:
    """A member's part in each campaign that they have one in, and all their months of it."""
    rows = campaigns.everything()
    parts = table.get_all([(Part, Part.key(row.campaign_id, member_id)) for row in rows])
    own = [(row, part) for row, part in zip(rows, parts, strict=True) if part is not None]
    return [(row, part, _months(row, member_id)) for row, part in own]


def _months(campaign: Campaign, member_id: str) -> list[Month]:
    return table.query_all(Month, member_key(campaign.campaign_id, member_id), Month.sk.startswith("MONTH#"))


def last_turn_at(campaign: Campaign, month: Month) -> int:
    """When the last turn of a month that was checked in began."""
    return campaigns.calendar(campaign).begins(
        max(dates(month, month.days), default=rules.first_of(month.month))
    )


def history(campaign: Campaign, months: Sequence[Month]) -> History:
    """What these months say, newest first."""
    calendar = campaigns.calendar(campaign)
    if not months:
        return History(calendar=calendar)
    oldest = months[-1]
    # Nothing is older than a month that no turn came before.
    since = date.min if (oldest.carried, oldest.before) == (0, 0) else rules.first_of(oldest.month)
    return History(
        calendar=calendar,
        since=since,
        days=frozenset(day for row in months for day in dates(row, row.days)),
        frozen=frozenset(day for row in months for day in dates(row, row.frozen)),
        carried=oldest.carried,
        before=oldest.before,
    )


def dates(row: Month, days: Any) -> list[date]:
    """Days of a month row as dates."""
    first = rules.first_of(row.month)
    return [first.replace(day=int(day)) for day in days or ()]
