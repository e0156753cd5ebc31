"""Facts: committed changes of state as the truth table's stream reports them, and the reactions to them.

A row class names its facts (`Row.FACTS`), rooms subscribe with `reaction`. A fact is (name, key, rev), no more:
the reaction is given the row as it is now and answers with writes, which are sent together with a check that
the row is still the one it saw and with a marker under (fact, reaction); so records may come late, repeated and
in any order. A fact that owes somebody something is also a due row (`owed`), in case the stream forgets it; any
other whose reaction fails becomes a dead letter, which the same job tries again and operators see when it is stuck.

    entity  pk             sk                               written by   read by
    Marker  DONE#<pk>      <sk>#<fact>#<rev>#<reaction>     dispatch     dispatch (once per fact and reaction)
    Letter  LETTER#<pk>    <sk>#<fact>#<rev>                the stream   run_owed, operators
    due: Letter: react#k a minute after its reaction failed, gone with the row once it happened
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from pynamodb.attributes import UnicodeAttribute
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from chalicelib.core import due, table, telemetry
from chalicelib.core.clock import DAY, MINUTE
from chalicelib.core.table import IntAttribute, Row, Write
from chalicelib.core.telemetry import about, count, logger

JOB = "react"
OWED_AFTER_S = 600
MARKERS_STAY_S = 90 * DAY
REREADS = 20
ANY_CHANGE = ("*", "*")
"""The key of `Row.FACTS` for rows whose state is a value that moves on, such as a date, and not one of a few."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """``name`` happened to the row ``pk``, ``sk`` in its revision ``rev``; ``owed`` if its row says so too."""

    name: str
    pk: str
    sk: str
    rev: int
    owed: bool


class Marker(Row, discriminator="marker"):
    """This reaction to this fact has happened; markers of money have no ttl."""

    @staticmethod
    def key(fact: Fact, reaction: str) -> table.Key:
        """One marker for a fact and a reaction."""
        return f"DONE#{fact.pk}", f"{fact.sk}#{fact.name}#{fact.rev}#{reaction}"


class Letter(Row, discriminator="dead_letter"):
    """A fact that its own row does not owe, and that some reaction failed to react to."""

    fact = UnicodeAttribute()
    fact_pk = UnicodeAttribute()
    fact_sk = UnicodeAttribute()
    fact_rev = IntAttribute()

    @staticmethod
    def key(fact: Fact) -> table.Key:
        """One letter for a fact, whichever of its reactions failed."""
        return f"LETTER#{fact.pk}", f"{fact.sk}#{fact.name}#{fact.rev}"


Effect = Callable[[Any, int], Sequence[Write]]
Errand = Callable[[Any, int], None]


class _Reaction(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    effect: Effect
    money: bool
    errand: Errand | None = None


_reactions: dict[str, list[_Reaction]] = {}


class _Stale(Exception):
    """The row has changed since it was read."""


class _Ran(Exception):
    """The marker is there already."""


def reaction(fact: str, *, name: str, money: bool = False) -> Callable[[Effect], Effect]:
    """Subscribe an effect, ``(row, now) -> writes``, to a fact; ``name`` is for ever.

    The effect computes from the row as it is now; no writes means that nothing is owed.
    """

    def declare(effect: Effect) -> Effect:
        _subscribe(fact, _Reaction(name=name, effect=effect, money=money))
        return effect

    return declare


def errand(fact: str, *, name: str) -> Callable[[Errand], Errand]:
    """Subscribe what sends its own transactions, ``(row, now)``, each once under a natural key of its own.

    For a fact with many effects, of which one may be refused and the others not: no marker is kept of it, and
    what broke off or is told again begins from the start. A write that depends on the row carries `unchanged`.
    """

    def declare(run: Errand) -> Errand:
        _subscribe(fact, _Reaction(name=name, effect=lambda row, now: (), money=False, errand=run))
        return run

    return declare


def unchanged(row: Row) -> Write:
    """The check, for an errand's transaction, that a row is still as it was read; if not, the errand runs again."""
    return table.check(type(row), (row.pk, row.sk), when=Row.rev == row.rev, refuse=lambda _: _Stale())


def _subscribe(fact: str, subscribed: _Reaction) -> None:
    others = _reactions.setdefault(fact, [])
    if any(other.name == subscribed.name for other in others):
        raise ValueError(f"{fact} already has a reaction called {subscribed.name}")
    others.append(subscribed)


def wanted(fact: str) -> bool:
    """Whether anybody reacts to it, so that it is worth being owed."""
    return bool(_reactions.get(fact))


def owed(fact: str, *, pk: str, rev: int, now: int) -> dict[str, Any]:
    """The attributes of a new row whose fact must be reacted to even if the stream forgets it."""
    return {**due.slot(job=JOB, pk=pk, at=now + OWED_AFTER_S, ref=fact), "owed_rev": rev}


def owing(fact: str, *, pk: str, now: int) -> list[Action]:
    """The actions that do the same in the update that makes the fact, whatever the row's revision is."""
    return [*due.moved(job=JOB, pk=pk, at=now + OWED_AFTER_S, ref=fact), Row.owed_rev.set(Row.rev + 1)]


def owed_if_wanted(fact: str, *, pk: str, rev: int, now: int) -> dict[str, Any]:
    """`owed`, where anybody reacts to it."""
    return owed(fact, pk=pk, rev=rev, now=now) if wanted(fact) else {}


def owing_if_wanted(fact: str, *, pk: str, now: int) -> list[Action]:
    """`owing`, where anybody reacts to it; else the slot stays as it is."""
    return owing(fact, pk=pk, now=now) if wanted(fact) else []


def owed_or_emptied(fact: str, *, pk: str, now: int) -> list[Action]:
    """The actions that owe a fact where somebody reacts to it; else nothing is due on the row any more."""
    return owing(fact, pk=pk, now=now) if wanted(fact) else due.emptied()


def moves_money(fact: str) -> bool:
    """Whether a reaction to this fact owes somebody money."""
    return any(one.money for one in _reactions.get(fact, ()))


def read(record: dict[str, Any]) -> Fact | None:
    """The fact in a stream record, if it is one: deletes and changes without a new state are not."""
    images = record["dynamodb"]
    new, old = images.get("NewImage"), images.get("OldImage")
    kind = table.kind_named(new["kind"]["S"]) if new and "kind" in new else None
    if new is None or kind is None or not _one_step(new, old):
        return None
    name = _named(kind, _state(old), _state(new))
    if name is None:
        return None
    rev = int(new["rev"]["N"])
    owed = new.get("due_ref") == {"S": name} and new.get("owed_rev") == new["rev"]
    return Fact(name=name, pk=new["pk"]["S"], sk=new["sk"]["S"], rev=rev, owed=owed)


def _named(kind: type[Row], before: str | None, after: str | None) -> str | None:
    """What the room calls this change; `ANY_CHANGE` stands for every change that it does not name itself."""
    named = kind.FACTS.get((before, after or ""))
    if named is None and after is not None and after != before:
        named = kind.FACTS.get(ANY_CHANGE)
    return named


def _one_step(new: table.Raw, old: table.Raw | None) -> bool:
    # A migration rewrites rows without counting `rev` on, so it never looks like a fact.
    return int(new["rev"]["N"]) == (int(old["rev"]["N"]) if old and "rev" in old else 0) + 1


def _state(image: table.Raw | None) -> str | None:
    return image["state"]["S"] if image and "state" in image else None


def handle_stream(event: dict[str, Any], *, now: int) -> dict[str, Any]:
    """The fast path: react to a batch of records; answers which of them failed, for Lambda to send again."""
    from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response

    processor = BatchProcessor(event_type=EventType.DynamoDBStreams, raise_on_entire_batch_failure=False)
    return dict(
        process_partial_response(
            event=event,
            record_handler=lambda record: _take(record.raw_event, now=now),
            processor=processor,
            context=None,
        )
    )


def _take(record: dict[str, Any], *, now: int) -> None:
    fact = read(record)
    if fact is None:
        return
    try:
        dispatch(fact, now=now)
    except Exception:
        # It waits for its job, with pauses, and holds up nobody else's records meanwhile, contended or not. A store
        # out of reach takes no letter either, and then the record comes again.
        if not fact.owed:
            _keep(fact, now=now)


def _keep(fact: Fact, *, now: int) -> None:
    """Let a fact that nothing owes be due all the same, as a letter."""
    pk, sk = Letter.key(fact)
    slot = due.slot(job=JOB, pk=pk, at=now + MINUTE, ref=fact.name)
    letter = Letter(pk, sk, fact=fact.name, fact_pk=fact.pk, fact_sk=fact.sk, fact_rev=fact.rev, **slot)
    try:
        table.apply(table.create(letter))
    except table.Taken:
        logger.info("the letter is there already", fact=fact.name, key=fact.pk)
        return
    count(telemetry.DEAD_LETTERS)


@due.handles(JOB)
def run_owed(entry: due.Entry, now: int) -> None:
    """React to a fact that the stream did not bring in time, or whose reaction failed there."""
    row = table.get(Row, (entry.pk, entry.sk))
    if isinstance(row, Letter):
        _answer(row, now=now)
    elif row is not None and row.due_ref == entry.due_ref and row.owed_rev is not None:
        dispatch(Fact(name=entry.due_ref, pk=entry.pk, sk=entry.sk, rev=row.owed_rev, owed=True), now=now)


def _answer(letter: Letter, *, now: int) -> None:
    fact = Fact(name=letter.fact, pk=letter.fact_pk, sk=letter.fact_sk, rev=letter.fact_rev, owed=False)
    dispatch(fact, now=now)
    try:
        table.apply(table.delete(Letter, (letter.pk, letter.sk), refuse=lambda _: _Settled()))
    except _Settled:
        return


def catch_up(row: Row, *, now: int) -> None:
    """Let what is owed of this row happen now, before it is replaced."""
    if row.due_ref in _reactions and row.owed_rev is not None:
        dispatch(Fact(name=row.due_ref, pk=row.pk, sk=row.sk, rev=row.owed_rev, owed=True), now=now)


def hand_on(row: Row, *, now: int) -> None:
    """Let what is owed of this row happen now, before it is replaced; what fails of it waits as a letter."""
    if row.due_ref in _reactions and row.owed_rev is not None:
        tell(Fact(name=row.due_ref, pk=row.pk, sk=row.sk, rev=row.owed_rev, owed=True), now=now)


def tell(fact: Fact, *, now: int) -> None:
    """Let every reaction happen now; if one fails, its job goes on with the fact, whatever the row owes."""
    try:
        dispatch(fact, now=now)
    except Exception:
        _keep(fact, now=now)


def unowed(row: Row) -> Condition:
    """That nothing came to be owed of a row since it was read and handed on."""
    unowed: Condition = Row.owed_rev.does_not_exist()
    if row.owed_rev is not None:
        unowed |= Row.owed_rev == row.owed_rev
    return unowed


def dispatch(fact: Fact, *, now: int) -> None:
    """Let every reaction to ``fact`` happen, each exactly once, then owe it no more.

    Raises:
        the first failure of a reaction, after all of them were tried.
    """
    failures = []
    for subscribed in _reactions.get(fact.name, ()):
        room = telemetry.room_of(subscribed.errand or subscribed.effect)
        with about(fact=fact.name, key=f"{fact.pk} {fact.sk}", reaction=subscribed.name, room=room):
            try:
                _react(subscribed, fact, now=now)
            except Exception as failure:
                logger.exception("reaction failed")
                failures.append(failure)
    if failures:
        raise failures[0]
    if fact.owed:
        _settle(fact)


def _react(subscribed: _Reaction, fact: Fact, *, now: int) -> None:
    for _ in range(REREADS):
        row = table.get(Row, (fact.pk, fact.sk))
        if row is None:
            return
        try:
            if subscribed.errand is not None:
                subscribed.errand(row, now)
            elif effects := subscribed.effect(row, now):
                table.transact([_marker(subscribed, fact, now=now), *_guarded(row, effects)])
        except _Stale:
            continue
        except _Ran:
            logger.info("reaction had happened")
        return
    raise _Stale(f"{fact.pk} {fact.sk} kept changing")


def _marker(subscribed: _Reaction, fact: Fact, *, now: int) -> Write:
    ttl = None if subscribed.money else now + MARKERS_STAY_S
    return table.create(Marker(*Marker.key(fact, subscribed.name), ttl=ttl), refuse=lambda _: _Ran())


def _guarded(row: Row, effects: Sequence[Write]) -> list[Write]:
    """The effects under the condition that ``row`` has not changed; a key may stand only once."""
    own = [write for write in effects if (write.row.pk, write.row.sk) == (row.pk, row.sk)]
    if own:
        return [_if_unchanged(write, row) if write in own else write for write in effects]
    return [unchanged(row), *effects]


def _if_unchanged(write: Write, row: Row) -> Write:
    def refuse(found: Row | None) -> Exception:
        if found is None or found.rev != row.rev:
            return _Stale()
        return table.refusal(write, found)

    return write.also(Row.rev == row.rev).but(refuse=refuse)


class _Settled(Exception):
    """Nothing is owed here any more."""


def _settle(fact: Fact) -> None:
    still_owed = (Row.due_ref == fact.name) & (Row.owed_rev == fact.rev)
    try:
        table.apply(
            table.update(
                Row, (fact.pk, fact.sk), *due.emptied(), when=still_owed, refuse=lambda _: _Settled()
            )
        )
    except _Settled:
        return
