"""Both tables: rows, reads, and writes that each name the refusal their own condition means.

A room describes rows (`Row`), builds writes (`create`, `update`, `upsert`, `delete`, `check`) and sends one
with `apply` or several with `transact`. The rule is always the condition in the write; what was read before may
refuse, never grant. Refusals are read off the row as it was at the moment of refusal.

pynamodb gives rows, attributes and expressions; requests are built here, because its transactions regroup the
writes and cannot say which row refused a delete. Storage exceptions never leave this module: what cannot be
reached, or is too contended, is `Busy`.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar, cast

import msgspec
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from pynamodb.attributes import Attribute, DiscriminatorAttribute, UnicodeAttribute
from pynamodb.constants import NUMBER
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action, Update
from pynamodb.models import MetaModel, Model

from chalicelib.core import aws, cache, config
from chalicelib.core.errors import AppError, Busy
from chalicelib.core.shards import shard_for

TRIES = 14
FIRST_WAIT_S = 0.02
LONGEST_WAIT_S = 1.0
BUDGET_S = 5.0
MAX_ACTIONS = 100

Raw = dict[str, Any]
Key = tuple[str, str]


class IntAttribute(Attribute[int]):
    """A whole number; pynamodb's own would store a float as well."""

    attr_type = NUMBER

    def serialize(self, value: int) -> str:
        """Raises TypeError for anything but a whole number."""
        if type(value) is not int:
            raise TypeError(f"{self.attr_name} is a whole number, not {value!r}")
        return str(value)

    def deserialize(self, value: str) -> int:
        """The number as Python has it."""
        return int(value)


class Kind(MetaModel):
    """How a kind of row comes to be: as pynamodb would have it, from what its bases know and what it says itself.

    pynamodb looks twice at each thing that a class has or inherits, most of it of no interest: for 130 kinds a
    fifth of all that a cold start imports. What it would find beside attributes, a kind does not have: keys of its
    own, versions, indexes of pynamodb's, a `DoesNotExist` that somebody catches.
    """

    def __init__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], discriminator: str | None = None
    ) -> None:
        if Model in bases:
            super().__init__(name, bases, namespace, discriminator)
            return
        type.__init__(cls, name, bases, namespace)
        inherited = {name for base in bases for name in getattr(base, "_attributes", ())}
        found = {name: getattr(cls, name) for name in sorted({*inherited, *vars(cls)})}
        cls._attributes = {name: one for name, one in found.items() if isinstance(one, Attribute)}
        renamed = {one.attr_name: name for name, one in cls._attributes.items() if one.attr_name != name}
        cls._dynamo_to_python_attrs = renamed
        cls._indexes = dict[str, Any]()
        if discriminator is not None:
            cast(DiscriminatorAttribute, cls._attributes["kind"]).register_class(cls, discriminator)


class Row(Model, metaclass=Kind):
    """A row of the truth table; `traffic` rows set ``TRAFFIC``. Kinds and key prefixes never change.

    ``v`` is the shape in which it was last written; a kind in its second shape says so by its own default, and
    `reshape` how a row comes to it.
    """

    TRAFFIC: ClassVar[bool] = False
    FACTS: ClassVar[dict[tuple[str | None, str], str]] = {}
    """(state before, state after) -> name of the fact; None: the row is new; ("*", "*"): any other change."""

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    kind = DiscriminatorAttribute()
    rev = IntAttribute(default_for_new=1)
    v = IntAttribute(default_for_new=1)
    state = UnicodeAttribute(null=True)
    due_shard = UnicodeAttribute(null=True)
    due_at = IntAttribute(null=True)
    due_ref = UnicodeAttribute(null=True)
    owed_rev = IntAttribute(null=True)
    attempts = IntAttribute(null=True)
    last_error = UnicodeAttribute(null=True)
    by_hand = UnicodeAttribute(null=True)
    owner = UnicodeAttribute(null=True)
    listed_at = UnicodeAttribute(null=True)
    board = UnicodeAttribute(null=True)
    score = IntAttribute(null=True)
    ttl = IntAttribute(null=True)


R = TypeVar("R", bound=Row)
Upgrade = Callable[[Raw], Raw]
Refusal = Callable[[Any], Exception] | type[AppError]


class Taken(Exception):
    """A row with this natural key is already there; ``row`` is the first answer."""

    def __init__(self, row: Any) -> None:
        super().__init__(f"{row.pk} {row.sk}" if row is not None else "taken")
        self.row = row


# No Struct, as other values are: the mutations watch each write as it is made, and a Struct has no place for that.
@dataclass(frozen=True, kw_only=True)
class Write:
    """One conditional write and the refusal that its failed condition means."""

    operation: Literal["Put", "Update", "Delete", "ConditionCheck"]
    row: Row
    when: Condition | None
    refuse: Refusal
    actions: tuple[Action, ...] = ()
    natural: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """Table, pk and sk: what may stand in a transaction once."""
        return table_name(type(self.row)), self.row.pk, self.row.sk

    def but(self, **changes: Any) -> "Write":
        """The same write with these changed."""
        return replace(self, **changes)

    def also(self, when: Condition) -> "Write":
        """The same write under one more condition."""
        return self.but(when=when if self.when is None else self.when & when)


def create(row: Row, *, refuse: Refusal = Taken) -> Write:
    """Put a row whose key is its uniqueness; already there, it is refused before all else."""
    return Write(operation="Put", row=row, when=type(row).pk.does_not_exist(), refuse=refuse, natural=True)


def update(
    kind: type[Row], key: Key, *actions: Action, refuse: Refusal, when: Condition | None = None
) -> Write:
    """Change a row that exists, if ``when`` holds."""
    exists = kind.pk.exists()
    # Of which kind it is, a write of what all rows have does not know, nor in which shape it leaves the rest.
    shaped = () if kind is Row else (kind.v.set(shape(kind)),)
    return Write(
        operation="Update",
        row=kind(*key),
        actions=(*actions, *shaped, kind.rev.add(1)),
        when=exists if when is None else exists & when,
        refuse=refuse,
    )


def upsert(
    kind: type[Row], key: Key, *actions: Action, refuse: Refusal = Busy, when: Condition | None = None
) -> Write:
    """Change a row or begin it; ``when`` must become false by this write's own success.

    Without ``when`` it belongs in a transaction where another condition says that it is the first time.
    """
    new = kind(*key)
    marks = (kind.kind.set(kind), kind.v.set(new.v), kind.rev.add(1))
    return Write(operation="Update", row=new, actions=(*actions, *marks), when=when, refuse=refuse)


def counted(kind: Any, key: Key, *, at_most: int, ttl: int, refuse: Refusal) -> Write:
    """One more in ``n``, while there are fewer than ``at_most``; the row goes at ``ttl``."""
    room = kind.n.does_not_exist() | (kind.n < at_most)
    return upsert(kind, key, kind.n.add(1), kind.ttl.set(ttl), when=room, refuse=refuse)


def delete(kind: type[Row], key: Key, *, refuse: Refusal, when: Condition | None = None) -> Write:
    """Delete a row that exists, if ``when`` holds."""
    exists = kind.pk.exists()
    condition = exists if when is None else exists & when
    return Write(operation="Delete", row=kind(*key), when=condition, refuse=refuse)


def check(kind: type[Row], key: Key, *, when: Condition, refuse: Refusal) -> Write:
    """Only ask; in a transaction it conflicts like a write, so never on a row that many share."""
    return Write(operation="ConditionCheck", row=kind(*key), when=when, refuse=refuse)


def apply(write: Write) -> Row:
    """Send one write; answers the row as it is now (for a delete: as it was).

    Raises:
        what ``write.refuse`` makes of the row that refused. Busy: the store could not be reached in time.
    """
    raw = _patiently(lambda: _send_one(write), lambda error: _judge_one(write, error))
    return write.row if raw is None else _decode(raw)


def transact(writes: Sequence[Write], *, peek: Callable[[], None] | None = None) -> None:
    """Send all writes, given in order of importance, as one transaction.

    Judging a refusal: the own natural key is there already -> its refusal; a conflict before the first failed
    condition -> again; else that condition's refusal. ``peek`` may refuse before the call is sent again.

    Raises:
        what the judged write's ``refuse`` says. Busy: contended for five seconds, or out of reach.
        ValueError: a key stands twice, or more than 100 writes: an error of design.
    """
    items = [{write.operation: _parameters(write)} for write in writes]
    if len({write.key for write in writes}) != len(writes):
        raise ValueError("a key stands twice in a transaction")
    if not 1 <= len(writes) <= MAX_ACTIONS:
        raise ValueError(f"a transaction takes 1 to {MAX_ACTIONS} writes, not {len(writes)}")
    _patiently(
        lambda: client().transact_write_items(TransactItems=items) and None,
        lambda error: _judge_all(writes, error),
        peek,
    )


def get(kind: type[R], key: Key, *, consistent: bool = True) -> R | None:
    """The row, or None."""
    answer = _patiently(
        lambda: client().get_item(TableName=table_name(kind), Key=_key(key), ConsistentRead=consistent),
        _judge_read,
    )
    return _decode(answer["Item"]) if "Item" in answer else None


def get_many(wanted: Sequence[tuple[type[Row], Key]]) -> list[Any]:
    """The rows in the order asked for, None for those that are not there; at most 100, one call."""
    asked: dict[str, Any] = {}
    for kind, key in dict.fromkeys(wanted):
        asked.setdefault(table_name(kind), {"ConsistentRead": True, "Keys": []})["Keys"].append(_key(key))
    found: dict[tuple[str, str, str], Row] = {}
    while asked:
        answer = _patiently(lambda: client().batch_get_item(RequestItems=asked), _judge_read)  # noqa: B023
        for name, items in answer["Responses"].items():
            found.update({(name, item["pk"]["S"], item["sk"]["S"]): _decode(item) for item in items})
        asked = answer.get("UnprocessedKeys") or {}
    return [found.get((table_name(kind), *key)) for kind, key in wanted]


def get_all(wanted: Sequence[tuple[type[Row], Key]]) -> list[Any]:
    """`get_many` of any number of rows, a hundred a call."""
    return [row for at in range(0, len(wanted), 100) for row in get_many(wanted[at : at + 100])]


class Page(msgspec.Struct, frozen=True):
    """Rows of one query and where the next page begins; ``next_key`` is None at the end."""

    rows: list[Any]
    next_key: Raw | None


def query(
    kind: type[Row],
    pk: str,
    sk: Condition | None = None,
    *,
    limit: int | None = None,
    newest_first: bool = False,
    consistent: bool = True,
    after: Raw | None = None,
) -> Page:
    """One page of a partition in the order of sk, which may be a condition (``Row.sk.startswith("A#")``)."""
    condition = kind.pk == pk if sk is None else (kind.pk == pk) & sk
    answer = _query(table_name(kind), condition, limit, newest_first, after, {"ConsistentRead": consistent})
    return Page([_decode(item) for item in answer["Items"]], answer.get("LastEvaluatedKey"))


def query_all(kind: type[Row], pk: str, sk: Condition | None = None) -> list[Any]:
    """The whole of a partition's range, page by page."""
    rows: list[Any] = []
    page = query(kind, pk, sk)
    while True:
        rows += page.rows
        if page.next_key is None:
            return rows
        page = query(kind, pk, sk, after=page.next_key)


def index(
    name: Literal["due", "owner", "rank"],
    condition: Condition,
    *,
    limit: int,
    newest_first: bool = False,
    after: Raw | None = None,
) -> tuple[list[dict[str, Any]], Raw | None]:
    """Index entries (keys and projected attributes as plain values) and where the next page begins.

    Indexes lag: never decide anything by what they say.
    """
    extra = {"IndexName": name}
    answer = _query(config.settings().truth_table, condition, limit, newest_first, after, extra)
    entries = [{field: _plain(value) for field, value in item.items()} for item in answer["Items"]]
    return entries, answer.get("LastEvaluatedKey")


def scan(
    *,
    index: Literal["owner"] | None = None,
    when: Condition | None = None,
    limit: int | None = None,
    after: Raw | None = None,
) -> tuple[list[Raw], Raw | None]:
    """A page of the whole truth table, or of an index, in DynamoDB's own form and no order, and what is next.

    For who proves the books and nobody else, as its cost follows what exists. An index is not read consistently.
    """
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    given: Raw = {"TableName": config.settings().truth_table}
    given |= {"IndexName": index} if index else {"ConsistentRead": True}
    if when is not None:
        given["FilterExpression"] = when.serialize(names, values)
    given |= {"Limit": limit} if limit else {}
    given |= {"ExclusiveStartKey": after} if after else {}
    _with_placeholders(given, names, values)
    answer = _patiently(lambda: client().scan(**given), _judge_read)
    return answer["Items"], answer.get("LastEvaluatedKey")


def owned(owner: str, *, limit: int, after: Raw | None = None) -> Page:
    """A member's list, newest first: the index says which, the table says what they are now."""
    entries, next_key = index("owner", Row.owner == owner, limit=limit, newest_first=True, after=after)
    rows = get_many([(Row, (entry["pk"], entry["sk"])) for entry in entries]) if entries else []
    return Page([row for row in rows if row is not None and row.owner == owner], next_key)


def owned_pages(owner: str) -> Iterator[Page]:
    """A member's list, page by page."""
    page = owned(owner, limit=100)
    yield page
    while page.next_key is not None:
        page = owned(owner, limit=100, after=page.next_key)
        yield page


def chained(
    name: Literal["due", "owner", "rank"],
    partitions: Sequence[str],
    *,
    limit: int,
    newest_first: bool = False,
    after: Raw | None = None,
) -> tuple[list[dict[str, Any]], Raw | None]:
    """Index entries of several partitions, one after the other, and where the next page begins.

    ``after`` is what this gave for the same partitions.
    """
    by = {"due": Row.due_shard, "owner": Row.owner, "rank": Row.board}[name]
    first = partitions.index(after[by.attr_name]["S"]) if after else 0
    key = after if after and "pk" in after else None
    found: list[dict[str, Any]] = []
    for partition in partitions[first:]:
        if len(found) == limit:
            return found, {by.attr_name: {"S": partition}}
        room = limit - len(found)
        some, key = index(name, by == partition, limit=room, newest_first=newest_first, after=key)
        found += some
        if key is not None:
            return found, key
    return found, None


def merged(owners: Sequence[str], *, limit: int, before: str | None) -> tuple[list[Any], str | None]:
    """Several lists of a member as one, newest first, and what the next page is ``before``."""
    entries: list[dict[str, Any]] = []
    for owner in owners:
        whose = Row.owner == owner
        condition = whose if before is None else whose & (Row.listed_at < before)
        entries += index("owner", condition, limit=limit + 1, newest_first=True)[0]
    entries.sort(key=lambda entry: str(entry["listed_at"]), reverse=True)
    page = entries[:limit]
    rows = get_many([(Row, (entry["pk"], entry["sk"])) for entry in page]) if page else []
    more = page[-1]["listed_at"] if len(entries) > limit else None
    return [row for row in rows if row is not None and row.owner in owners], more


def boards(name: str) -> list[str]:
    """The partitions of the rank index that hold the list of this name: as many as a job has."""
    return [f"{name}#{k}" for k in range(config.settings().due_shards)]


def board_for(key: str, boards: Sequence[str]) -> str:
    """Which of its partitions holds the entry of this key."""
    return boards[shard_for(key, len(boards))]


def listed(owner: str, *, at: int, as_: str) -> dict[str, Any]:
    """The attributes that put a row in a list of the owner index: ``Row(..., **listed(...))``."""
    return {"owner": owner, "listed_at": f"{at:011d}#{as_}"}


def copied(row: R, key: Key, **changes: Any) -> R:
    """The same under another key, with these changes; as it does not begin at its first revision, it is no fact."""
    given = {
        name: getattr(row, name) for name in type(row).get_attributes() if name not in ("pk", "sk", "kind")
    }
    pk, sk = key
    return type(row)(pk, sk, **{**given, "rev": row.rev + 1, **changes})


def decode(item: Raw) -> Any:
    """A row from DynamoDB's own form, as the stream brings it; an unknown kind raises ValueError."""
    return _decode(item)


def kind_named(name: str) -> type[Row] | None:
    """The class of rows of this kind, None when no room of this process has it."""
    try:
        return cast(type[Row], Row.get_attributes()["kind"].deserialize(name))
    except ValueError:
        return None


# --- shapes -------------------------------------------------------------------------------------------------

_reshaped: dict[str, Upgrade] = {}


def shape(kind: type[Row]) -> int:
    """The shape in which rows of this kind are written."""
    return cast(int, kind.get_attributes()["v"].default_for_new)


def reshape(kind: type[Row], upgrade: Upgrade) -> None:
    """Say what makes a row of the shape before this kind's own one of it: a pure function of DynamoDB's own form.

    Code of the shape before must be able to read what comes of it, so that it adds or, once nobody reads it, takes
    away; and it must do no harm to what has come to it before.
    """
    _reshaped[kind.kind.get_discriminator(kind) or ""] = upgrade


def is_of_before(item: Raw) -> bool:
    """Whether a row was last written in the shape before its kind's own."""
    name = item.get("kind", {}).get("S", "")
    if name not in _reshaped:
        return False
    behind = shape(cast(type[Row], kind_named(name))) - int(item["v"]["N"])
    if behind > 1:
        raise ValueError(f"{item['pk']['S']} is {behind} shapes behind; see docs/deploying.md")
    return behind == 1


def in_shape(item: Raw) -> Raw:
    """A row as its kind has it now, whichever of two shapes it was written in."""
    if not is_of_before(item):
        return item
    v = {"v": {"N": str(int(item["v"]["N"]) + 1)}}
    return {**_reshaped[item["kind"]["S"]](item), **v}


def rewrite(item: Raw) -> bool:
    """Write a row in its kind's own shape, in place of what was read; false: somebody has written it since.

    Its revision stays, by which nobody takes this for a fact, and nobody who read it before is refused.
    """
    given = {
        "TableName": table_name(cast(type[Row], kind_named(item["kind"]["S"]))),
        "Item": in_shape(item),
        "ConditionExpression": "rev = :rev AND v = :v",
        "ExpressionAttributeValues": {":rev": item["rev"], ":v": item["v"]},
    }
    try:
        _patiently(lambda: client().put_item(**given), _judge_rewriting)
    except _Written:
        return False
    return True


class _Written(Exception):
    """The row is not as it was read."""


def _judge_rewriting(error: ClientError) -> None:
    if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
        raise _Written from error
    _judge_read(error)


def _rewritten(item: Raw | None) -> bool:
    """Whether a row refused for its shape alone, perhaps, and is in its kind's own now: the write is sent again."""
    if not item or not is_of_before(item):
        return False
    rewrite(item)
    return True


# --- calls --------------------------------------------------------------------------------------------------


def table_name(kind: type[Row]) -> str:
    """The table that holds this kind."""
    settings = config.settings()
    return settings.traffic_table if kind.TRAFFIC else settings.truth_table


_client: Any = None
_client_lock = threading.Lock()


def client() -> Any:
    """The one DynamoDB client of the process."""
    global _client  # noqa: PLW0603 - making one costs 70 ms and its own connections
    if _client is None:
        with _client_lock:
            _client = _client or _new_client()
    return _client


def _new_client() -> Any:
    settings = config.settings()
    made = aws.create_client(
        "dynamodb",
        region=settings.region,
        endpoint=settings.dynamodb_endpoint,
        max_pool_connections=128,
        account_id_endpoint_mode="disabled",
        parameter_validation=False,
        # botocore otherwise composes its own anew twice for every call: a third of what a call costs.
        user_agent="liebian",
    )
    # Where DynamoDB is, it knows since it was made; botocore would follow its rules anew for every call. The name
    # is botocore's own and may change: a test holds that requests go where they went.
    made._ruleset_resolver = None
    return made


def reset() -> None:
    """Forget the client and everything remembered of the store; for tests and another store."""
    global _client  # noqa: PLW0603
    _client = None
    cache.clear_all()


def _key(key: Key) -> Raw:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def _plain(value: Raw) -> Any:
    kind, content = next(iter(value.items()))
    return int(content) if kind == "N" else content


def _decode(item: Raw) -> Any:
    return Row.from_raw_data(dict(in_shape(item)))


def _parameters(write: Write) -> Raw:
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    given: Raw = {"TableName": table_name(type(write.row))}
    if write.operation == "Put":
        given["Item"] = write.row.serialize()
    else:
        given["Key"] = _key((write.row.pk, write.row.sk))
    if write.operation == "Update":
        given["UpdateExpression"] = Update(*write.actions).serialize(names, values)
    when = _in_its_shape(write)
    if when is not None:
        given["ConditionExpression"] = when.serialize(names, values)
    given["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return _with_placeholders(given, names, values)


def _in_its_shape(write: Write) -> Condition | None:
    """What a write asks; also that the row is in the shape it is written for, where its kind has had another."""
    kind = type(write.row)
    if write.operation == "Put" or shape(kind) == 1:
        return write.when
    current: Condition = kind.v.does_not_exist() | (kind.v >= shape(kind))
    return current if write.when is None else write.when & current


def _with_placeholders(given: Raw, names: dict[str, str], values: dict[str, Any]) -> Raw:
    # pynamodb collects name -> placeholder, DynamoDB wants placeholder -> name.
    if names:
        given["ExpressionAttributeNames"] = {placeholder: name for name, placeholder in names.items()}
    if values:
        given["ExpressionAttributeValues"] = values
    return given


def _send_one(write: Write) -> Raw | None:
    given = _parameters(write)
    if write.operation == "Put":
        client().put_item(**given)
        return None
    if write.operation == "Update":
        return cast(Raw, client().update_item(**given, ReturnValues="ALL_NEW")["Attributes"])
    return cast(Raw, client().delete_item(**given, ReturnValues="ALL_OLD")["Attributes"])


def _query(
    table: str, condition: Condition, limit: int | None, newest_first: bool, after: Raw | None, extra: Raw
) -> Raw:
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    given: Raw = {"TableName": table, "KeyConditionExpression": condition.serialize(names, values), **extra}
    given["ScanIndexForward"] = not newest_first
    if limit is not None:
        given["Limit"] = limit
    if after is not None:
        given["ExclusiveStartKey"] = after
    _with_placeholders(given, names, values)
    return cast(Raw, _patiently(lambda: client().query(**given), _judge_read))


_AGAIN = {
    "TransactionConflict",
    "TransactionConflictException",
    "TransactionInProgressException",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingError",
    "ThrottlingException",
    "InternalServerError",
    "ServiceUnavailable",
}


def _patiently(
    send: Callable[[], Any], judge: Callable[[ClientError], None], peek: Callable[[], None] | None = None
) -> Any:
    """``send`` until it is done or refused: full jitter, 14 tries, 5 s; then Busy.

    The figures are measured: with 5 tries 38 of 64 callers were told "busy" though all of them fitted.
    """
    give_up_at = time.monotonic() + BUDGET_S
    for tried in range(TRIES):
        try:
            return send()
        except ClientError as error:
            judge(error)
        except (HTTPClientError, NoConnection) as unreachable:  # botocore has tried three times by now
            raise Busy from unreachable
        wait_s = random.uniform(0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**tried))  # noqa: S311 - how long to wait is no secret
        if time.monotonic() + wait_s > give_up_at:
            break
        time.sleep(wait_s)
        if peek is not None:
            peek()
    raise Busy


def _judge_read(error: ClientError) -> None:
    if error.response["Error"]["Code"] not in _AGAIN:
        raise error


def _judge_one(write: Write, error: ClientError) -> None:
    if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
        if _rewritten(error.response.get("Item")):
            return
        raise _refusal(write, error.response.get("Item")) from error
    _judge_read(error)


def _judge_all(writes: Sequence[Write], error: ClientError) -> None:
    if error.response["Error"]["Code"] != "TransactionCanceledException":
        return _judge_read(error)
    reasons = list(zip(writes, error.response["CancellationReasons"], strict=True))
    natural_first = [pair for pair in reasons if pair[0].natural and _failed(pair[1])]
    for write, reason in natural_first or reasons:
        if _failed(reason):
            if _rewritten(reason.get("Item")):
                return None
            raise _refusal(write, reason.get("Item")) from error
        if reason["Code"] in _AGAIN:
            return None
    raise error


def _failed(reason: Raw) -> bool:
    return bool(reason["Code"] == "ConditionalCheckFailed")


def refusal(write: Write, row: Row | None) -> Exception:
    """What it means that ``write`` met ``row`` and its condition failed."""
    if isinstance(write.refuse, type) and issubclass(write.refuse, AppError):
        return write.refuse()
    return cast(Callable[[Any], Exception], write.refuse)(row)


def _refusal(write: Write, item: Raw | None) -> Exception:
    return refusal(write, _decode(item) if item else None)
