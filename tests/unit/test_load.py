"""The day under load: what is called when, by an open loop, and the figures and the section that come of it."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from itsdangerous import URLSafeSerializer

from bench.load import calling, day, telling
from bench.load.auditing import Checked, visits_are_counted
from bench.load.day import Call, Kind, Story
from bench.load.figures import NO_ANSWER, NOT_REACHED, Answer, Stretch, percentile
from bench.load.setting import Member, Place
from bench.load.telling import Told
from bench.load.watching import Look, Owed, Used
from infra.local import quiet

KINDS: tuple[Kind, ...] = ("open", "begin", "pay", "join", "begin", "pay")
BUYING = tuple(Call(at=0.01 * k, kind=kind, who=k // 3) for k, kind in enumerate(KINDS))


def a_day(*, rate: float = 200, seconds: float = 30, members: int = 100, seed: int = 1) -> list[Story]:
    return day.stories(rate=rate, seconds=seconds, members=members, dice=Random(seed))


def a_place() -> Place:
    members = [Member(member_id=f"mbr_{n}", token=f"token-{n}") for n in range(2)]
    return Place(name="d", members=members, links=["L"], checkins=["c"], templates=["t"], groupbuy="g")


def an_answer(*, at: float = 0.0, took: float = 0.01, status: int = 201, **told: Any) -> Answer:
    return Answer(call=Call(at=at, kind="visit", who=0), sent=at, done=at + took, status=status, **told)


def a_stretch(*answers: Answer, seconds: float = 10.0) -> Stretch:
    return Stretch(rate=len(answers) / seconds, seconds=seconds, answers=answers)


# --- the day ------------------------------------------------------------------------------------------------


def test_the_same_dice_make_the_same_day_and_others_another() -> None:
    assert a_day(seed=1) == a_day(seed=1) != a_day(seed=2)


def test_a_day_is_mixed_as_it_is_told() -> None:
    kinds = Counter(call.kind for story in a_day() for call in story)

    assert sum(kinds.values()) == pytest.approx(6_000, rel=0.05)
    shares = {kind: count / sum(kinds.values()) for kind, count in kinds.items()}
    assert shares["visit"] == pytest.approx(0.70, abs=0.02)
    assert shares["check-in"] == pytest.approx(0.15, abs=0.015)
    assert shares["claim"] == pytest.approx(0.06, abs=0.01)
    assert shares["open"] + shares["join"] + shares["begin"] + shares["pay"] == pytest.approx(0.09, abs=0.02)


def test_arrivals_are_as_uneven_as_a_poisson_process() -> None:
    starts = [story[0].at for story in a_day() if story[0].kind == "visit"]
    gaps = [later - earlier for earlier, later in zip(starts, starts[1:], strict=False)]

    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread / mean == pytest.approx(1.0, abs=0.1)
    assert starts == sorted(starts)


def test_nobody_checks_in_twice_but_by_a_second_tap() -> None:
    calls = [story[0] for story in a_day() if story[0].kind == "check-in"]
    taps = Counter((call.who, call.what) for call in calls)

    assert max(taps.values()) > 1
    assert len(taps) / len(calls) == pytest.approx(1 - day.TAPS_TWICE, abs=0.02)
    assert day.wanted(a_day(), "check-in") == max(call.what for call in calls) + 1


def test_who_buys_together_does_so_in_order_and_before_the_day_is_over() -> None:
    groups = [story for story in a_day() if story[0].kind == "open"]
    whole = [story for story in groups if len(story) == 6]

    assert 50 < len(whole) < len(groups)
    for story in groups:
        head, friend = {call.who for call in story[:3]}, {call.who for call in story[3:]}
        assert len(head) == 1 and not head & friend
        assert [call.at for call in story] == sorted(call.at for call in story) and story[-1].at < 30


# --- the loop -----------------------------------------------------------------------------------------------


class Stub:
    """Answers every call as it is told to, and remembers the paths."""

    def __init__(self, *, status: int = 201, together: int = 1, first_takes_s: float = 0) -> None:
        self.status, self.paths, self.first_takes_s = status, list[str](), first_takes_s
        self.together = threading.Barrier(together)
        self.over = threading.Event()

    def answer(self, path: str) -> tuple[int, dict[str, Any]]:
        self.paths.append(path)
        self.together.wait(timeout=20)
        if len(self.paths) == 1:
            self.over.wait(self.first_takes_s)
        if self.status != 201:
            return self.status, {"error": {"code": "sku_sold_out"}}
        seat = {"group": {"group_id": "grp_1"}, "order": {"order_id": f"ord_{len(self.paths)}"}}
        visit = {"code": "L", "visit_token": URLSafeSerializer("a key").dumps({"vis": "vis_1"})}
        return 201, {**seat, **visit, "pay_url": "http://elsewhere/v1/sandbox/1"}


@contextmanager
def served(stub: Stub) -> Iterator[str]:
    """Where it answers."""

    class Handler(quiet.Handler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            status, found = stub.answer(self.path)
            body = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = quiet.Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    stub.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


def called(stub: Stub, *stories: Story) -> list[Answer]:
    with served(stub) as url:
        return calling.made(stories, place=a_place(), url=url)


def visits(count: int) -> list[Story]:
    return [(Call(at=0.01 * n, kind="visit", who=n),) for n in range(count)]


def test_nobody_waits_for_the_answer_of_another() -> None:
    # None is answered before all are there: who sent one after the other would never see the second.
    answers = called(Stub(together=8), *visits(8))

    assert [answer.status for answer in answers] == [201] * 8
    assert {answer.told for answer in answers} == {"L vis_1"}


def test_time_is_counted_from_when_a_call_was_to_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "CONNECTIONS", 1)

    answers = called(Stub(first_takes_s=0.5), *visits(4))

    # Three of them waited for the only connection, and that counts.
    assert all(answer.took_ms > 400 for answer in answers)
    assert all(answer.late_ms < answer.took_ms for answer in answers)


def test_a_story_is_told_with_what_its_answers_told() -> None:
    stub = Stub()

    answers = called(stub, BUYING)

    assert all(answer.right for answer in answers)
    assert stub.paths == [
        "/v1/groupbuys/g/groups",
        "/v1/orders/ord_1/payments",
        "/v1/sandbox/1",
        "/v1/groups/grp_1/seats",
        "/v1/orders/ord_4/payments",
        "/v1/sandbox/1",
    ]
    assert [answers[k].told for k in (0, 2, 3, 5)] == ["ord_1", "ord_1", "ord_4", "ord_4"]


def test_what_was_refused_has_its_code_and_what_follows_is_not_reached() -> None:
    stub = Stub(status=409)

    stretch = a_stretch(*called(stub, BUYING))

    assert stretch.errors == {"409 sku_sold_out": 1, f"- {NOT_REACHED}": 5}
    assert len(stub.paths) == 1 and stretch.bends


def test_who_gets_no_answer_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calling, "GIVES_UP_S", 0.1)

    answers = called(Stub(first_takes_s=20), *visits(1))

    assert [(answer.status, answer.code) for answer in answers] == [(0, NO_ANSWER)]


def test_a_broken_connection_is_an_error_of_its_own() -> None:
    with served(Stub()) as gone:
        pass

    [answer] = calling.made(visits(1), place=a_place(), url=gone)

    assert (answer.status, answer.code) == (0, "ConnectionRefusedError")


# --- the figures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "is_"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentiles_are_values_that_were_measured(share: float, is_: int) -> None:
    values = [*range(1, 101)]
    Random(1).shuffle(values)

    assert percentile(values, share) == is_


def test_a_percentile_of_one_value_is_that_and_of_none_nothing() -> None:
    assert (percentile([7.0], 0.99), percentile([], 0.99)) == (7.0, 0.0)


def test_it_bends_where_the_slowest_are_too_slow() -> None:
    quick, slow = an_answer(), an_answer(took=0.6)

    assert not a_stretch(*[quick] * 99, slow).bends
    assert a_stretch(*[quick] * 98, slow, slow).bends


def test_it_bends_where_too_little_is_served() -> None:
    right, wrong = an_answer(), an_answer(status=503, code="busy")

    assert not a_stretch(*[right] * 98, *[wrong] * 2).bends
    assert a_stretch(*[right] * 97, *[wrong] * 3).bends


def test_what_is_answered_after_the_end_was_not_served_in_time() -> None:
    late = a_stretch(*[an_answer() for _ in range(99)], an_answer(at=9.9, took=0.4), seconds=10)

    assert late.served == pytest.approx(9.71, abs=0.01)
    assert late.offered == 10.0 and late.bends


# --- what is told -------------------------------------------------------------------------------------------


def a_look(rss_mb: float, *, letters: int = 0, stuck: int = 0) -> Look:
    owed = Owed(facts=3, letters=letters, oldest_due_s=1, stuck=stuck)
    return Look(at_s=60, used=Used(rss_mb=rss_mb, threads=20), owed=owed)


def a_run(*looks: Look, threads_after: int = 15) -> Told:
    held, bent = a_stretch(an_answer(), seconds=0.05), a_stretch(an_answer(took=0.6), seconds=0.02)
    return Told(steps=[held, bent], soak=held, looks=looks, threads_before=15, threads_after=threads_after)


def test_what_leaks_or_is_left_is_wrong() -> None:
    flat = [a_look(100) for _ in range(9)]

    assert a_run(*flat, a_look(109)).wrong == []
    assert a_run(*flat, a_look(111)).wrong == ["the memory grows"]
    assert a_run(*flat, threads_after=16).wrong == ["threads are left"]
    assert a_run(*flat, a_look(100, letters=1)).wrong == ["something is stuck"]
    assert a_run(a_look(100, stuck=1), *flat).wrong == ["something is stuck"]
    behind = replace(a_stretch(an_answer()), behind_s=None)
    assert replace(a_run(*flat), soak=behind).wrong == ["work is left"]


def test_the_section_says_what_was_measured_and_what_it_does_not_say() -> None:
    found = Checked(rule="A1: visits", looked_at=1234, violations=["L counts 2"])

    told = telling.section(a_run(a_look(100)), [found])

    assert "which is not DynamoDB" in told
    assert "here at 50 calls a second; 20 were held" in told.replace("\n", " ")
    assert "| 20.0 | 20.0 | 10 | 10 | 10 | 0 | 0 | none |" in told
    assert "| 1.0 | 100 | 20 | 1 | 3 | 0 | 0 |" in told
    assert "| A1: visits | 1,234 | 1 |" in told
    assert max(len(line) for line in told.splitlines() if not line.startswith("|")) <= 116


# --- visits, whose answers may be lost ----------------------------------------------------------------------


@pytest.mark.parametrize(("counted", "violations"), [(1, 1), (2, 0), (3, 0), (4, 1)])
def test_a_visit_whose_answer_was_lost_may_be_counted_and_no_other(counted: int, violations: int) -> None:
    row = {"kind": "visit_hour", "pk": "VISITS#L#0.0", "sk": "H#2026010110#0000", "n": counted}
    answers = [an_answer(told=told) for told in ("L vis_1", "L vis_2", "L vis_2")]
    lost = an_answer(status=0, code=NO_ANSWER)

    found = visits_are_counted([row], [(a_place(), [*answers, lost])])

    assert (found.looked_at, len(found.violations)) == (2, violations)
