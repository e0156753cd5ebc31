"""What races did, as pages: `make races` has each process note it, and this makes the pages of what all have noted.

RACE_REPORT=folder pytest tests/races       notes a line for every race, for what was expected of it, and for every
                                            test, whether it held
python -m tests.races.report folder         makes docs/proof-races.md and two sections of docs/proof.md
"""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import proof
from tests.races.published import ATTACKS, Attack

PAGE = proof.DOCS / "proof-races.md"
ROOMS: Mapping[str, tuple[str, ...]] = {
    "group-buys": ("groupbuy_campaigns", "groupbuys_ends", "groupbuys_payments", "groupbuys_seats"),
    "orders and payments": ("aftersales", "ordinary_orders", "stuck", "wechat_pay"),
    "coupons": ("coupon_claims", "coupon_jobs", "coupon_uses", "invites"),
    "check-ins": ("checkins_once",),
    "points": ("ledger", "points_exchanges"),
    "rewards": ("rewards",),
    "links, visits and bindings": ("circles", "minting", "one_visit", "switching_off", "visit_counts"),
    "commissions and promoters": ("commissions", "promoters"),
    "withdrawals": ("transfers", "withdrawals"),
    "members": ("first_login", "leaving", "merging", "merging_more", "merging_rooms", "programs"),
    "messages, pictures and WeChat": ("notifications", "pictures", "wechat"),
    "due work, facts, limits, webhooks, reconciling": (
        "due_work",
        "facts_once",
        "limits",
        "reconciling",
        "webhook_ids",
    ),
    "every room, by several processes": ("processes",),
}
"""Which files of tests/races race for what a room has."""
NO_RACES = ("engine",)
SIGHT = re.compile(r"test_the_harness_sees_|_noticed$")
"""What a test is called that must break its rule."""
_HEAD = """# Races

Made by `make races` on DynamoDB Local, which is not DynamoDB: it serves one request after the other, and refuses
what meets a transaction under way. Every row is a case of `tests/races`: how often it was played, each time with
other dice; how many calls were made at once in all; how many were expected to win, and did; how the others ended;
and how many rounds broke what the case says, or an invariant of the table.

A call wins if it comes back with what it asked for. The same call made again is answered like the first, so that
sixty-four taps for one coupon are sixty-four winners who have the same coupon. Where chance decides who comes
first, a range is expected, and "any" where each of the calls may win or lose.
"""
_CASES = """
| case | rounds | attempts | winners expected | winners seen | the others | violations |
|---|---|---|---|---|---|---|
"""
_SIGHTS = """
## What the harness sees

The same rules without what holds them: a version that reads and then writes, or a write without its condition. Each
must break the rule, or the case above it proves nothing; seen is in how many rounds it did.

| sight | rounds | attempts | seen |
|---|---|---|---|
"""
_ROOMS = """Case by case in [proof-races.md](proof-races.md). A sight is a version without the rule: it breaks.

| room | cases | rounds | attempts | violations | sights | seen |
|---|---|---|---|---|---|---|
"""
_PUBLISHED = """Bugs of other systems, published with how to bring them about, and the same moves played here.

| published | what happened there | what happens here | played by | outcome |
|---|---|---|---|---|
"""
Line = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Case:
    """What one test did in all its rounds."""

    test: str
    lines: Sequence[Line]

    @property
    def stem(self) -> str:
        """The file that it is in."""
        return Path(self.test.partition("::")[0]).stem.removeprefix("test_")

    @property
    def name(self) -> str:
        """As the page calls it."""
        told = self.test.partition("::")[2].removeprefix("test_")
        return f"{self.stem}: {told}".replace("_", " ")

    @property
    def sight(self) -> bool:
        """It is of a version that must break the rule."""
        return SIGHT.search(self.test) is not None

    @property
    def rounds(self) -> int:
        """How often it was played."""
        return len({line["test"] for line in self.lines})

    @property
    def broken(self) -> int:
        """In how many rounds something did not hold."""
        return len({line["test"] for line in self.lines if line.get("came") == "failed"})

    @property
    def ended(self) -> Counter[str]:
        """How all calls ended."""
        return sum((Counter(line["ended"]) for line in self.lines if "ended" in line), Counter[str]())

    @property
    def expected(self) -> str:
        """How many were to win."""
        said = [line for line in self.lines if "expected" in line]
        calls = self.ended.total()
        least = sum(line["expected"][0] for line in said)
        most = sum(line["expected"][1] for line in said) + calls - sum(line["of"] for line in said)
        if least == most:
            return str(least)
        return "any" if (least, most) == (0, calls) else f"{least} to {most}"


def cases(lines: Iterable[Line]) -> list[Case]:
    """Everything that raced, in the order of its names."""
    by_test: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        by_test[line["test"].partition("[")[0]].append(line)
    found = [Case(test=test, lines=some) for test, some in sorted(by_test.items())]
    return [case for case in found if case.stem not in NO_RACES]


def written(found: Sequence[Case]) -> str:
    """The page of all cases."""
    rows = "".join(_row(case) for case in found if not case.sight)
    sights = "".join(_sight(case) for case in found if case.sight)
    return _HEAD + _CASES + rows + _SIGHTS + sights


def _row(case: Case) -> str:
    ended = case.ended
    others = ", ".join(f"{count} {name}" for name, count in ended.most_common() if name != "won")
    told = (case.rounds, ended.total(), case.expected, ended["won"], others, case.broken)
    return proof.line(case.name, *told)


def _sight(case: Case) -> str:
    return proof.line(case.name, case.rounds, case.ended.total(), case.rounds - case.broken)


def rooms(found: Sequence[Case]) -> str:
    """What the races of each room came to."""
    rows = [_room(room, [case for case in found if case.stem in stems]) for room, stems in ROOMS.items()]
    return _ROOMS + "".join(rows) + _room("all", found)


def _room(room: str, found: Sequence[Case]) -> str:
    real, sights = [one for one in found if not one.sight], [one for one in found if one.sight]
    played = sum(one.rounds for one in sights)
    told = (
        len(real),
        sum(one.rounds for one in real),
        sum(one.ended.total() for one in real),
        sum(one.broken for one in real),
        len(sights),
        f"{played - sum(one.broken for one in sights)} of {played}",
    )
    return proof.line(room, *told)


def published(found: Sequence[Case]) -> str:
    """The attacks of the field, and how they ended here."""
    played = {case.test.removeprefix("tests/races/"): case for case in found}
    return _PUBLISHED + "".join(_attack(one, played) for one in ATTACKS)


def _attack(attack: Attack, played: Mapping[str, Case]) -> str:
    tests = ", ".join(f"`{test}`" for test in attack.tests)
    outcome = ", ".join(dict.fromkeys(_outcomes(attack, played)))
    return f"| [{attack.name}]({attack.link}) | {attack.there} | {attack.here} | {tests} | {outcome} |\n"


def _outcomes(attack: Attack, played: Mapping[str, Case]) -> Iterator[str]:
    for test in attack.tests:
        case = played.get(test)
        yield (
            "not played"
            if case is None
            else f"broken in {case.broken} of {case.rounds} rounds"
            if case.broken
            else "held"
        )


def main(folder: Path) -> None:
    """Make the pages of what was noted in a folder."""
    found = cases(proof.noted(folder))
    PAGE.write_text(written(found), encoding="utf-8")
    proof.tell("Races", rooms(found))
    proof.tell("Attacks that were published", published(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
