"""Check-in campaigns and people who come to them for tests, and whether K1 holds.

    campaign = a_checkin(rewards=[each(5), streak(7, 50)], cycle=7)
    come(campaign, member_id, day=0)                       # day 0 is NOW's date, noon
    assert broken(client, campaign) == []

`broken` reads the whole table past every layer: what each member was given must be what their days earn, day by day
and in all, however they were made; each row's ``carried`` and ``before`` must be what the months before it say.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import msgspec

from chalicelib.checkins import campaigns, rules, service
from chalicelib.checkins.marking import Marked, Said
from chalicelib.checkins.models import Campaign
from chalicelib.checkins.rules import History
from chalicelib.checkins.schemas import EditCampaign
from chalicelib.core import ledger, table
from chalicelib.core.clock import DAY
from tests.factories import NOW, OWNER, a_word
from tests.harness.rows import Plain, rows

Reward = dict[str, Any]
FIRST = date(2026, 1, 1)


def gift(amount: int, kind: str = "points") -> dict[str, Any]:
    """So much of a kind."""
    return {"kind": kind, "amount": amount}


def each(amount: int, kind: str = "points") -> Reward:
    """So many points for each turn."""
    return {"by": "each", "give": [gift(amount, kind)]}


def streak(turns: int, amount: int, kind: str = "points") -> Reward:
    """So many points at this turn of a run."""
    return {"by": "streak", "turns": turns, "give": [gift(amount, kind)]}


def total(turns: int, amount: int, kind: str = "points") -> Reward:
    """So many points for so many turns in all."""
    return {"by": "total", "turns": turns, "give": [gift(amount, kind)]}


def told(**changes: Any) -> dict[str, Any]:
    """A campaign's body: every day brings 5 points, the seventh in a row 50 more."""
    given: dict[str, Any] = {
        "title": "Every day",
        "timezone": "Asia/Shanghai",
        "starts_at": NOW - 90 * DAY,
        "cycle": 7,
        "rewards": [each(5), streak(7, 50)],
    }
    return {**given, **changes}


def a_checkin(**changes: Any) -> Campaign:
    """A running campaign."""
    given = msgspec.convert(told(**changes), EditCampaign)
    return campaigns.make(given, campaigns.Making(by=OWNER, now=NOW))


def a_challenge(**changes: Any) -> Campaign:
    """A running challenge of three days with teams of four."""
    given = {"kind": "challenge", "target": 3, "ends_at": NOW + 30 * DAY, "team_size": 4, "cycle": None}
    return a_checkin(**{**given, "rewards": [each(5)], **changes})


def noon(day: int) -> int:
    """Ten in the morning so many days after New Year in Shanghai."""
    return NOW + day * DAY


def come(
    campaign: Campaign, member_id: str, day: int = 0, *, said: Said | None = None, at: int = 0
) -> Marked:
    """Somebody checks in on a day."""
    now = at or noon(day)
    return service.check_in(campaign_id=campaign.campaign_id, member_id=member_id, said=said, now=now)


def mend(campaign: Campaign, member_id: str, missed: int, *, day: int, pay: str | None = None) -> Marked:
    """Somebody makes a day up on another."""
    return service.make_up(
        campaign_id=campaign.campaign_id,
        member_id=member_id,
        day=FIRST + timedelta(days=missed),
        pay=pay,
        now=noon(day),
    )


def coming(campaign: Campaign, member_id: str, *days: int) -> None:
    """Somebody checks in on all these days."""
    for day in days:
        come(campaign, member_id, day)


def provided(member_id: str, **books: int) -> str:
    """The member, who has so many points or cards."""
    for book, amount in books.items():
        table.transact(
            ledger.posted(
                owner=member_id, book=book, amount=amount, cause=a_word("given#"), reason="test", now=NOW
            )
        )
    return member_id


def someone(**books: int) -> str:
    """Somebody of whom nothing is known, with so many points or cards."""
    return provided(a_word("mbr_"), **books)


def balance(member_id: str, book: str = "points") -> int:
    """What somebody has."""
    return ledger.balance(owner=member_id, book=book)


# --- whether it holds ---------------------------------------------------------------------------------------


def broken(client: Any, campaign: Campaign, table_name: str = "truth") -> list[str]:
    """What of K1 and L1 does not hold in this campaign."""
    return broken_in(rows(client, table_name), campaign)


def broken_in(there: list[Plain], campaign: Campaign) -> list[str]:
    """The same of rows that were read already."""
    return [*broken_days(there, campaign), *_broken_accounts(there)]


def broken_days(there: list[Plain], campaign: Campaign) -> Iterator[str]:
    """What does not hold in its days, and in what they earned."""
    months: dict[str, list[Plain]] = defaultdict(list)
    for row in there:
        if row["kind"] == "checkin_month" and row["campaign_id"] == campaign.campaign_id:
            months[row["member_id"]].append(row)
    for member_id, found in months.items():
        yield from _broken_carries(campaign, sorted(found, key=lambda row: str(row["sk"])))
        yield from _broken_credits(campaign, member_id, found, there)


def _dates(row: Mapping[str, Any], name: str = "days") -> set[date]:
    first = rules.first_of(row["sk"].removeprefix("MONTH#"))
    return {first.replace(day=day) for day in row.get(name, ())}


def _broken_carries(campaign: Campaign, found: list[Plain]) -> Iterator[str]:
    calendar = campaigns.calendar(campaign)
    seen = History(calendar=calendar)
    for row in found:
        first = rules.first_of(row["sk"].removeprefix("MONTH#"))
        wanted = (seen.until(calendar.last_of_month_before(first)), seen.total)
        if (row["carried"], row["before"]) != wanted:
            yield f"{row['sk']} carries {(row['carried'], row['before'])}, not {wanted}"
        days, frozen = seen.days | _dates(row), seen.frozen | _dates(row, "frozen")
        seen = History(calendar=calendar, days=days, frozen=frozen)


def _broken_credits(
    campaign: Campaign, member_id: str, found: list[Plain], there: list[Plain]
) -> Iterator[str]:
    """One entry for each day, and in all what the days earn; more only where a make-up fell between two runs."""
    days = set().union(*(_dates(row) for row in found))
    cause = f"ENTRY#checkin#{campaign.campaign_id}#"
    entries = [
        row for row in there if row["pk"] == f"ACCOUNT#{member_id}#points" and row["sk"].startswith(cause)
    ]
    credited = Counter(date.fromisoformat(row["sk"].removeprefix(cause)) for row in entries)
    if set(credited) - days:
        yield f"{member_id} was credited for days without a check-in: {set(credited) - days}"
    price = campaign.makeups["points"] or 0 if campaign.makeups else 0
    paid = price * sum(len(row.get("made_up", ())) for row in found)
    got = sum(row["amount"] for row in entries) + paid
    wanted = _earned(campaign, found)
    if got != wanted:
        yield f"{member_id} was given {got}, and {sorted(days)} earn {wanted}"


def _earned(campaign: Campaign, found: list[Plain]) -> int:
    """The points of all runs and of the total."""
    calendar, terms = campaigns.calendar(campaign), campaigns.terms(campaign)
    days = frozenset().union(*(_dates(row) for row in found))
    frozen = frozenset().union(*(_dates(row, "frozen") for row in found))
    history = History(calendar=calendar, days=days, frozen=frozen)
    held = days | frozen
    ends = [day for day in held if calendar.after(day) not in held]
    return sum(
        (terms.of_run(history.until(end))["points", ""] for end in ends),
        terms.of_total(len(days))["points", ""],
    )


def _broken_accounts(there: list[Plain]) -> Iterator[str]:
    posted: Counter[str] = Counter()
    for row in there:
        if row["kind"] == "entry":
            posted[row["pk"]] += row["amount"]
    for row in there:
        if row["kind"] == "account" and row["balance"] != posted[row["pk"]]:
            yield f"{row['pk']} has {row['balance']}, its entries {posted[row['pk']]}"
        if row["kind"] == "account" and row["balance"] < 0:
            yield f"{row['pk']} is below zero"


Calls = list[Callable[[], Any]]
