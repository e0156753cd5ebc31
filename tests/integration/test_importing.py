"""Data from another system: looked at by line, written once, and the same again changes nothing."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chalicelib.commissions import promoters
from chalicelib.core import facts, ledger, table
from chalicelib.core.clock import DAY
from chalicelib.coupons import grants
from chalicelib.coupons import service as coupons
from chalicelib.coupons.schemas import GrantPart
from chalicelib.coupons.templates import Making, RequestDiffers
from chalicelib.members import rules
from chalicelib.members import service as members
from chalicelib.points import service as points
from chalicelib.sharing import attribution, policies
from chalicelib.sharing.schemas import EditPolicy
from infra.imports import kinds
from infra.imports.__main__ import main
from infra.imports.sheets import Line
from infra.local.clients import Store
from tests.coupons import a_template, run_jobs
from tests.factories import NOW, OWNER, PROGRAM, a_member, a_program, books, dying_at
from tests.harness.rows import rows, stream_records
from tests.harness.wire import WRITES

Import = Callable[..., tuple[int, str, str]]
PEOPLE = """external_id,program_id,registered_at,nickname,tags,openid
u-1,demo,2024-05-01,小明,vip old,
u-2,demo,2023-01-31,,,o-2
"""


@pytest.fixture(autouse=True)
def shop(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program, and clocks that stand."""
    monkeypatch.setattr("chalicelib.core.clock.now", lambda: NOW)
    members.add_program(a_program(PROGRAM), by=OWNER, now=NOW)


@pytest.fixture
def bring(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Import:
    """Runs the command on a file with this text; its exit code, and what it says."""

    def run(kind: str, text: str | bytes, *arguments: str) -> tuple[int, str, str]:
        file = tmp_path / f"{kind}.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        code = main([kind, str(file), *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def whole(store: Store) -> list[Any]:
    """Every row, as it is."""
    return sorted(map(str, rows(store.client, "truth")))


def who(external_id: str) -> str:
    return members.find(proof=rules.external_proof(external_id)).member_id


def test_a_look_writes_nothing_and_says_what_would_be(bring: Import, store: Store) -> None:
    before = whole(store)

    code, said, wrong = bring("members", PEOPLE)

    assert (code, wrong, whole(store)) == (0, "", before)
    assert "2 lines, 2 new, 0 there already, 0 wrong" in said and "--apply" in said


def test_members_come_with_their_past_and_the_same_again_changes_nothing(bring: Import, store: Store) -> None:
    assert bring("members", PEOPLE, "--apply")[0] == 0
    after = whole(store)

    code, said, _ = bring("members", PEOPLE, "--apply")

    assert (code, whole(store)) == (0, after)
    assert "0 new, 2 there already" in said
    first = members.show(who("u-1"))
    assert (first.nickname, first.tags, first.registered_at) == ("小明", {"vip", "old"}, 1_714_492_800)
    assert members.find(proof=rules.openid_proof(program_id=PROGRAM, openid="o-2")).member_id == who("u-2")
    (audit,) = [row for row in books(store.client).of("audit") if row["action"] == "imported.members"]
    assert (audit["subject"], '"written": 2' in str(audit["after"])) == ("members", True)


def test_who_was_brought_over_is_no_new_member_to_anybody(bring: Import, store: Store) -> None:
    bring("members", PEOPLE, "--apply")

    told = [fact for record in stream_records(store.client, "truth") if (fact := facts.read(record))]
    assert [fact.name for fact in told] == []
    assert [row.get("due_shard") for row in books(store.client).of("member")] == [None, None]


def test_who_is_there_gets_the_identity_that_is_new(bring: Import) -> None:
    bring("members", PEOPLE, "--apply")

    text = "external_id,program_id,registered_at,unionid\nu-1,demo,2024-05-01,w-1\n"
    assert "1 new" in bring("members", text, "--apply")[1]

    assert members.find(proof=rules.unionid_proof("w-1")).member_id == who("u-1")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("external_id\nu-1\n", "the header must name program_id, registered_at"),
        ("external_id,program_id,registered_at,color\n", "the header must name"),
        ("external_id,program_id,registered_at\nu-1,demo,soon\n", "line 2: Invalid RFC3339 encoded date"),
        ("external_id,program_id,registered_at\n,demo,2024-05-01\n", "line 2: one of external_id"),
        ("external_id,program_id,registered_at\nu-1,toys,2024-05-01\n", "line 2: there is no program toys"),
        ("external_id,program_id,registered_at\nu-1,demo,2044-05-01\n", "line 2: registered_at is in the"),
        ("external_id,program_id,registered_at\nu-1,demo,2024-05-01,x\n", "line 2: 4 cells under 3"),
        (PEOPLE + "u-1,demo,2024-05-01,,,\n", "line 4: external#u-1 is in the file more than once"),
        (PEOPLE + "u-3,demo,2024-05-01,,a&b,\n", "line 4: no tags: a&b"),
    ],
)
def test_what_is_wrong_is_said_by_line_and_then_nothing_is_written(
    text: str, wrong: str, bring: Import, store: Store
) -> None:
    before = whole(store)

    code, _, said = bring("members", text, "--apply")

    assert (code, whole(store)) == (1, before)
    assert wrong in said


def test_a_spreadsheets_chinese_is_read(bring: Import) -> None:
    bring("members", PEOPLE.encode("gb18030"), "--apply")

    assert members.show(who("u-1")).nickname == "小明"


def test_a_file_that_is_no_text_is_not_read(bring: Import, store: Store) -> None:
    before = whole(store)

    code, _, said = bring(
        "members", PEOPLE.encode("gb18030").replace("小".encode("gb18030"), b"\x81"), "--apply"
    )

    assert (code, whole(store)) == (1, before)
    assert "neither UTF-8 nor GB 18030: see line 2" in said


def test_a_book_that_another_opened_meanwhile_keeps_no_other_from_being_opened(bring: Import) -> None:
    bring("members", PEOPLE, "--apply")
    asked = kinds.Asked(by=OWNER, now=NOW)
    lines = [Line(number=2, values=kinds.PointsLine(member="u-1", points=500, growth=7))]
    (found,) = kinds.look_at_points(lines, asked)
    table.transact(points.opening(who("u-1"), book="points", amount=500, now=NOW))

    assert found.write is not None
    found.write()

    assert [ledger.balance(owner=who("u-1"), book=book) for book in ("points", "growth")] == [500, 7]


def test_opening_balances_are_entries_and_another_amount_is_wrong(bring: Import, store: Store) -> None:
    bring("members", PEOPLE, "--apply")
    text = "member,points,growth\nu-1,500,\nu-2,20,30\n"

    for _ in range(2):
        assert bring("points", text, "--apply")[0] == 0

    for name, book, amount in (("u-1", "points", 500), ("u-2", "points", 20), ("u-2", "growth", 30)):
        drift = ledger.drift(owner=who(name), book=book)
        assert (drift.balance, drift.none) == (amount, True)
    assert len(books(store.client).of("entry")) == 3
    code, _, said = bring("points", "member,points\nu-1,501\nu-9,1\nu-2,\n", "--apply")
    assert code == 1
    assert "line 2: points was opened with 500" in said and "line 3: there is no member u-9" in said
    assert "line 4: there is nothing to open" in said


def test_coupons_take_their_units_and_what_there_is_none_for_is_said_before(bring: Import) -> None:
    bring("members", PEOPLE, "--apply")
    template = a_template(stock=3)
    lines = [
        f"u-1,{template.template_id},a",
        f"u-1,{template.template_id},b",
        f"u-2,{template.template_id},a",
    ]
    text = "\n".join(["member,template_id,ref", *lines])

    for _ in range(2):
        assert bring("coupons", text, "--apply")[0] == 0

    assert [len(coupons.all_of(who(name))) for name in ("u-1", "u-2")] == [2, 1]
    code, _, said = bring("coupons", f"{text}\nu-2,{template.template_id},b\nu-2,ctp_x,c\n", "--apply")
    assert code == 1
    assert (
        f"line 5: {template.template_id} has no unit left" in said and "line 6: there is no template" in said
    )
    code, _, said = bring("coupons", f"{text}\n{lines[0]}\n")
    assert (code, said.count("more than once")) == (1, 2)


def test_a_batch_is_begun_from_a_file_and_its_job_gives_what_there_is(
    bring: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "PART", 2)
    template, crowd = a_template(stock=4), [a_member() for _ in range(5)]
    batch = f"{template.template_id},spring"
    text = "\n".join(["member,template_id,batch", *[f"{one},{batch}" for one in crowd[:3]]])

    for _ in range(2):
        assert bring("grants", text, "--apply")[0] == 0
    assert "0 new, 3 there already" in bring("grants", text)[1]
    run_jobs(now=NOW)

    assert [len(coupons.all_of(one)) for one in crowd] == [1, 1, 1, 0, 0]
    chunks = grants.progress(template.template_id, "spring")
    assert [(row.sk, row.given) for row in chunks] == [("00001#000", 2), ("00002#000", 1)]
    code, _, said = bring("grants", f"{text}\n{crowd[3]},{batch}\n{crowd[4]},{batch}\n", "--apply")
    assert (code, f"line 6: {template.template_id} has no unit left" in said) == (1, True)
    assert bring("grants", f"{text}\n{crowd[3]},{batch}\n", "--apply")[0] == 0
    assert [row.sk for row in grants.progress(template.template_id, "spring")][2:] == ["00003#000"]


def test_a_line_of_a_batch_that_is_wrong_is_said_before_anything_is_begun(
    bring: Import, store: Store
) -> None:
    template, one = a_template(), a_member()
    lines = [
        f"{one},{template.template_id},b",
        f"{one},{template.template_id},b",
        f"mbr_x,{template.template_id},b",
    ]
    before = whole(store)

    text = "\n".join(["member,template_id,batch", *lines, f"{one},ctp_x,b"])
    code, _, said = bring("grants", text, "--apply")

    assert (code, whole(store), said.count("more than once")) == (1, before, 2)
    assert "line 4: there is no member mbr_x" in said and "line 5: there is no template ctp_x" in said


def test_a_batch_whose_file_broke_off_goes_on_with_those_who_are_not_in_it(
    bring: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "PART", 1)
    monkeypatch.setattr("infra.imports.__main__.AT_ONCE", 1)
    template, crowd = a_template(), [a_member() for _ in range(3)]
    text = "\n".join(["member,template_id,batch", *[f"{one},{template.template_id},b" for one in crowd]])

    with dying_at(3, among=WRITES), pytest.raises(KeyboardInterrupt):
        bring("grants", text, "--apply")
    assert grants.named(template.template_id, "b") == ({crowd[0]}, 1)
    assert "2 new, 1 there already" in bring("grants", text, "--apply")[1]
    run_jobs(now=NOW)

    assert [len(coupons.all_of(one)) for one in crowd] == [1, 1, 1]
    assert len(grants.progress(template.template_id, "b")) == 3


def test_who_was_begun_with_others_meanwhile_is_refused_by_line(bring: Import) -> None:
    template, one, other = a_template(), a_member(), a_member()
    asked = kinds.Asked(by=OWNER, now=NOW)
    row = kinds.GrantLine(member=one, template_id=template.template_id, batch="b")
    (found,) = kinds.look_at_grants([Line(number=2, values=row)], asked)
    grants.begin(template.template_id, GrantPart(batch="b", member_ids=[other]), Making(by=OWNER, now=NOW))

    assert found.write is not None
    with pytest.raises(RequestDiffers):
        found.write()


def test_bindings_are_of_who_is_nobodys_and_a_circle_is_refused_by_line(bring: Import) -> None:
    bring("members", PEOPLE, "--apply")
    text = "member,promoter\nu-1,u-2\n"

    for _ in range(2):
        assert bring("bindings", text, "--apply")[0] == 0

    held = attribution.binding(who("u-1"), now=NOW)
    assert held is not None and held.promoter_id == who("u-2")
    code, _, said = bring("bindings", "member,promoter\nu-2,u-1\n", "--apply")
    assert (code, "line 2: " in said) == (1, True)
    code, _, said = bring("bindings", f"member,promoter\nu-1,{who('u-1')}\n")
    assert (code, "nobody is their own promoter" in said) == (1, True)


def test_a_binding_keeps_its_day_and_one_whose_window_is_over_is_wrong(bring: Import) -> None:
    bring("members", PEOPLE, "--apply")
    policies.make(EditPolicy(mode="first_window", window_days=30), by=OWNER, now=NOW - DAY)

    assert bring("bindings", "member,promoter,bound_at\nu-1,u-2,2025-12-20\n", "--apply")[0] == 0
    code, _, said = bring("bindings", "member,promoter,bound_at\nu-2,u-1,2025-11-01\n")

    held = attribution.binding(who("u-1"), now=NOW)
    assert held is not None and held.bound_at == 1_766_160_000
    assert held.expires_at == held.bound_at + 30 * DAY
    assert (code, "line 2: the window of such a binding is over" in said) == (1, True)


def test_promoters_earn_from_now_on_and_keep_their_tier(bring: Import, store: Store) -> None:
    bring("members", PEOPLE, "--apply")
    text = "member,tier\nu-1,1\nu-2,\n"

    for _ in range(2):
        assert bring("promoters", text, "--apply")[0] == 0

    assert [promoters.show(who(one)).state for one in ("u-1", "u-2")] == ["active", "active"]
    assert len([row for row in books(store.client).of("audit") if row["action"] == "promoter.assigned"]) == 2
    promoters.move(who("u-2"), step="suspend", reason="spam", by=OWNER, now=NOW)
    code, _, said = bring("promoters", text, "--apply")
    assert (code, "line 3: they are suspended" in said) == (1, True)
    code, _, said = bring("promoters", "member,tier\nu-1,9\n", "--apply")
    assert (code, "line 2: there is no tier 9" in said) == (1, True)


def test_what_broke_off_is_done_by_saying_it_again(
    bring: Import, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    monkeypatch.setattr("infra.imports.__main__.AT_ONCE", 1)
    bring("members", PEOPLE, "--apply")
    text = "member,points,growth\nu-1,500,7\nu-2,20,30\n"

    for _ in range(3):
        with dying_at(3, among=WRITES), pytest.raises(KeyboardInterrupt):
            bring("points", text, "--apply")
    noted = books(store.client).of("audit", action="importing.points")
    told = [json.loads(row["after"]) for row in noted]
    assert sorted((one["file"], one["lines"], one["to_write"]) for one in told) == [
        ("points.csv", 2, 1),
        ("points.csv", 2, 2),
        ("points.csv", 2, 2),
    ]
    assert {one["sha256"] for one in told} == {hashlib.sha256(text.encode()).hexdigest()}
    assert bring("points", text, "--apply")[0] == 0

    assert len(books(store.client).of("entry")) == 4
    assert all(ledger.drift(owner=who(one), book="points").none for one in ("u-1", "u-2"))


def test_a_file_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["members", "none.csv"]) == 1

    assert "none.csv cannot be read" in capsys.readouterr().err
    assert set(kinds.KINDS) == {"members", "points", "coupons", "grants", "promoters", "bindings"}
