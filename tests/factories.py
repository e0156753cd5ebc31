"""Plain things for tests, each new and under an id of its own, made by the services that make the real ones."""

import uuid
from collections import Counter
from collections.abc import Collection
from typing import Any

import pytest

from chalicelib.core import cache, doors, due, facts, ids, table
from chalicelib.core.doors import Operator
from chalicelib.core.http import Call
from chalicelib.members import rules as member_rules
from chalicelib.members import service as members
from chalicelib.members.schemas import AddProgram
from chalicelib.sessions.service import CameBy
from chalicelib.sharing import service as sharing
from chalicelib.sharing import visits
from chalicelib.sharing.models import Link
from chalicelib.sharing.schemas import MintLink, TargetRef
from chalicelib.sharing.visits import Visit
from tests.harness.rows import rows, stream_records
from tests.harness.streams import event
from tests.harness.wire import READS, WRITES, Params, wrapped
from tests.harness.wire import Call as StoreCall

NOW = 1_767_232_800
"""10:00 on 1 January 2026 in Shanghai; nothing in the tests reads the clock."""
TODAY = "2026-01-01"
PROGRAM = "demo"
OWNER = Operator(key_id="opk_owner", name="Olivia", role="owner")


def alone(patch: pytest.MonkeyPatch, *rooms: str) -> None:
    """Nobody but these rooms reacts, so that what is counted, or waited for, is theirs."""
    theirs = {
        fact: [one for one in reactions if one.name.split(".")[0] in rooms]
        for fact, reactions in facts._reactions.items()
    }
    patch.setattr(facts, "_reactions", {fact: reactions for fact, reactions in theirs.items() if reactions})


def a_word(prefix: str = "x") -> str:
    """Something that no other test has used."""
    return f"{prefix}{uuid.uuid4().hex[:12]}"


def an_openid() -> str:
    """A proof that nobody has brought yet."""
    return f"openid#{PROGRAM}#{a_word('o')}"


def a_member(*, proof: str | None = None, now: int = NOW) -> str:
    """The id of a member who has signed in once."""
    return members.find_or_register(proofs=[proof or an_openid()], program_id=PROGRAM, now=now)[0].member_id


def a_share(
    *,
    kind: str = "product",
    target: str | None = None,
    channel: str = "wechat",
    placement: str = "",
    expires_at: int | None = None,
) -> MintLink:
    """What a share button asks for."""
    wanted = TargetRef(kind=kind, id=target or a_word("p"))
    return MintLink(target=wanted, channel=channel, placement=placement, expires_at=expires_at)  # type: ignore[arg-type]


def a_link(
    *, sharer_id: str, wanted: MintLink | None = None, expires_at: int | None = None, now: int = NOW
) -> Link:
    """A link of this member to a product that nobody else shares, unless ``wanted`` says to what."""
    share = wanted or a_share(expires_at=expires_at)
    return sharing.mint(sharer_id=sharer_id, wanted=share, now=now)[0]


def a_visit(*, link: Link, now: int = NOW) -> Visit:
    """An opening of the link by somebody of whom nothing else is known; it is not counted."""
    return Visit(visit_id=ids.derived("vis", link.code, a_word()), link=link, at=now)


def an_operator(*, name: str = "olga") -> Operator:
    """An owner, past the door."""
    return Operator(key_id=a_word("opk_"), name=name, role="owner")


def a_program(program_id: str | None = None, *, name: str = "Tea", **changes: Any) -> AddProgram:
    """What an operator says of a new mini-program."""
    told: dict[str, Any] = {
        "program_id": program_id or a_word("p"),
        "appid": "wx1",
        "secret_name": "wechat/demo",
        "name": name,
        "kind": "functional",
        "landing_page": "pages/index",
    }
    return AddProgram(**{**told, **changes})


def a_proof(name: str, *, program_id: str = PROGRAM) -> str:
    """Who ``name`` is in a program."""
    return member_rules.openid_proof(program_id=program_id, openid=f"o-{name}")


def a_unionid(name: str) -> str:
    """Who ``name`` is in all programs."""
    return member_rules.unionid_proof(f"u-{name}")


def an_opening(*, link: Link, visitor: str = "key:a-phone", now: int = NOW) -> Visit:
    """An opening of the link that is counted."""
    return visits.record(link=link, visitor=visitor, wx_scene=None, now=now)


def came_by(
    *, link: str | None = None, visit_token: str | None = None, wx_scene: int | None = None
) -> CameBy:
    """What somebody signs in by; nothing, unless said."""
    return CameBy(link=link, visit_token=visit_token, wx_scene=wx_scene)


def a_call(
    *,
    session: doors.Session | None = None,
    operator: Operator | None = None,
    user_agent: str = "MicroMessenger",
    lang: str = "en",
    now: int = NOW,
) -> Call:
    """A request as the edge hands it to a route."""
    return Call(
        now=now,
        lang=lang,
        caller=doors.Caller(session=session, operator=operator),
        base_url="https://shop.example",
        ip="203.0.113.7",
        user_agent=user_agent,
        request_id="req_test",
    )


def called(member_id: str, *, now: int = NOW) -> Call:
    """A request of a signed-in member."""
    return a_call(
        session=doors.Session(member_id=member_id, program_id=PROGRAM, visitor="a-visitor"), now=now
    )


# --- what lies in the embedded store, and what the readers and jobs make of it -------------------------------


class Books(Counter[str]):
    """How many rows of each kind there were in a table, leases apart, and the rows themselves."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        super().__init__(row["kind"] for row in rows)
        self.rows = rows

    def of(self, kind: str, **wanted: Any) -> list[dict[str, Any]]:
        """The rows of a kind whose attributes are as ``wanted``."""
        asked = {"kind": kind, **wanted}
        return [row for row in self.rows if all(row.get(name) == value for name, value in asked.items())]

    def only(self, kind: str) -> dict[str, Any]:
        """The one row of this kind."""
        (row,) = self.of(kind)
        return row


def books(client: Any, table: str = "truth") -> Books:
    """What there is, in one scan; nothing that was left behind escapes this, leases apart."""
    return Books([row for row in rows(client, table) if row["kind"] != "lease"])


def only(client: Any, kind: str, *, table: str = "truth") -> dict[str, Any]:
    """The one row of this kind."""
    return Books(rows(client, table)).only(kind)


def emptied() -> None:
    """The embedded store has nothing in it, and nothing of it is remembered."""
    from infra.local import embedded

    embedded.empty()
    cache.clear_all()


def reacted(client: Any, *, now: int) -> None:
    """All that the stream brings was reacted to, and then what it forgot; nothing may fail."""
    failed = facts.handle_stream(event(stream_records(client, "truth")), now=now)
    assert failed == {"batchItemFailures": []}, failed
    caught_up(now=now)


def caught_up(*, now: int) -> None:
    """What is owed was reacted to by its job, as if there were no stream; nothing may fail."""
    ran = due.run(job=facts.JOB, worker="caught-up", now=now + facts.OWED_AFTER_S, seconds=30)
    assert not ran.failed


def dying_at(call: int, *, among: Collection[str] = READS | WRITES) -> Any:
    """While it is worn, the process dies at the store's ``call``-th call ``among`` these operations."""
    made = 0

    def layer(below: StoreCall, asked: str, params: Params) -> Params:
        nonlocal made
        made += asked in among
        if made >= call:  # and whatever else was under way in it
            raise KeyboardInterrupt
        return below(asked, params)

    return wrapped(table.client(), layer)
