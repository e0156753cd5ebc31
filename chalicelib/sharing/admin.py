"""HTTP for operators: card templates, shareable targets, policies, links off, customers moved."""

from chalicelib.core import cursors, doors
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import Api, Call, Items
from chalicelib.sharing import answers, attribution, dryruns, orders, policies, refusals, rules, service
from chalicelib.sharing.models import Binding, Card, Policy, Target
from chalicelib.sharing.schemas import (
    AdminAttribution,
    BindingHistory,
    BindingState,
    CardList,
    CardTemplate,
    DryRun,
    DryRunPage,
    EditCard,
    EditPolicy,
    EditTarget,
    MoveBinding,
    PolicyAnswer,
    PolicyList,
    SwitchedOff,
    SwitchOff,
    TargetQuery,
)

api = Api(__name__)
_MARKETING = doors.operators("marketing")
_STATE = ("state", "promoter_id", "link", "visit_id", "policy", "bound_at", "cause", "expires_at")
_ANY = "~"  # `*` in a path would have to be encoded, and Chalice does not decode


@api.get("/v1/admin/cards", door=doors.ANY_OPERATOR, csv=True)
def list_cards(call: Call) -> CardList:
    """All templates, and the variables that each kind of target has."""
    kinds = {name: rules.kind_of(name) for name in rules.kinds()}
    return CardList(
        items=[_card(row) for row in service.cards(now=call.now).values()],
        variables={name: sorted(kind.variables) for name, kind in kinds.items() if kind},
        now=call.now,
    )


@api.put("/v1/admin/cards", door=_MARKETING, refuses=[Invalid, Busy])
def save_card(call: Call, body: EditCard) -> CardTemplate:
    """Keep what shares of a kind show, for a channel and a placement or for any."""
    return _card(service.save_card(body, by=call.operator, now=call.now))


@api.delete("/v1/admin/cards/{card_id}", door=_MARKETING, refuses=[NotFound])
def remove_card(call: Call, card_id: str) -> SwitchedOff:
    """Take a template away."""
    parts = [rules.ANY if part == _ANY else part for part in card_id.split(".")]
    if len(parts) != 3:
        raise NotFound
    service.remove_card((parts[0], parts[1], parts[2]), by=call.operator, now=call.now)
    return SwitchedOff(code=card_id, state="removed", now=call.now)


@api.get("/v1/admin/targets", door=doors.ANY_OPERATOR, refuses=[cursors.CursorInvalid], csv=True)
def list_targets(call: Call, query: TargetQuery) -> Items[EditTarget]:
    """What operators said of pages or products."""
    where = f"targets#{query.kind}"
    after = cursors.unseal(query.after, where=where, now=call.now)
    page = service.targets(query.kind, limit=query.limit, after=after)
    next_page = cursors.seal(page.next_key, where=where, now=call.now)
    return Items(items=[_target(row) for row in page.rows], next=next_page, now=call.now)


@api.put("/v1/admin/targets", door=_MARKETING, refuses=[Invalid, Busy])
def save_target(call: Call, body: EditTarget) -> EditTarget:
    """Say what can be shown of a page or product."""
    return _target(service.save_target(body, by=call.operator, now=call.now))


@api.get("/v1/admin/policies", door=doors.ANY_OPERATOR, csv=True)
def list_policies(call: Call) -> PolicyList:
    """The versions of the attribution policy, newest first; version 0 is built in."""
    found = policies.newest(limit=100)
    return PolicyList(
        items=[_policy(row, call) for row in found or [policies.current(now=call.now)]], now=call.now
    )


@api.post("/v1/admin/policies", door=_MARKETING, status=201, refuses=[Invalid, Busy])
def make_policy(call: Call, body: EditPolicy) -> PolicyAnswer:
    """The next version; bindings keep the version they were made under."""
    return _policy(policies.make(body, by=call.operator, now=call.now), call)


@api.post(
    "/v1/admin/policies/dryrun",
    door=doors.operators("marketing", "finance"),
    refuses=[Invalid, cursors.CursorInvalid],
)
def dry_run(call: Call, body: DryRun) -> DryRunPage:
    """Whose past orders would have been under another policy, and what that earns; nothing is changed by it."""
    after = cursors.unseal(body.after, where="dryrun", now=call.now)
    found, next_key = dryruns.run(body, after=after, now=call.now)
    earned = dryruns.by_promoter(found)
    return DryRunPage(
        items=found,
        promoters=earned,
        changed=sum(one.changed for one in found),
        was_fen=sum(one.was_fen for one in earned),
        would_fen=sum(one.would_fen for one in earned),
        next=cursors.seal(next_key, where="dryrun", now=call.now),
        now=call.now,
    )


@api.get("/v1/admin/attributions/{order_id}", door=doors.ANY_OPERATOR, refuses=[NotFound])
def show_attribution(call: Call, order_id: str) -> AdminAttribution:
    """Whose order it is, who else it might have been, and what looks like fraud in it."""
    return answers.admin_attribution(orders.explained(order_id, now=call.now), now=call.now)


@api.post("/v1/admin/links/{code}/off", door=doors.operators("marketing", "support"), refuses=[NotFound])
def switch_off(call: Call, code: str, body: SwitchOff) -> SwitchedOff:
    """Switch anybody's link off; it stays off."""
    link = service.switch_off_for(code=code, reason=body.reason, by=call.operator, now=call.now)
    return SwitchedOff(code=link.code, state=link.state or "", now=call.now)


@api.get(
    "/v1/admin/members/{member_id}/binding", door=doors.operators("support", "finance"), refuses=[NotFound]
)
def show_binding(call: Call, member_id: str) -> BindingHistory:
    """Whose customer a member is and was."""
    return _history(member_id, call)


@api.put(
    "/v1/admin/members/{member_id}/binding",
    door=doors.operators("support"),
    refuses=[NotFound, refusals.SelfReferral, refusals.WouldCircle, refusals.ChainTooLong, Busy],
)
def move_binding(call: Call, member_id: str, body: MoveBinding) -> BindingHistory:
    """Give a customer to another promoter, or to nobody; the history keeps what was."""
    attribution.move(
        member_id, promoter_id=body.promoter_id, reason=body.reason, by=call.operator, now=call.now
    )
    return _history(member_id, call)


def _history(member_id: str, call: Call) -> BindingHistory:
    held, past = attribution.history(member_id)
    told = [{name: row.was.get(name) for name in _STATE} for row in past]
    states = [BindingState(**was, until=row.changed_at) for was, row in zip(told, past, strict=True)]
    return BindingHistory(
        member_id=member_id, items=[_state(held), *states] if held else states, now=call.now
    )


def _state(row: Binding) -> BindingState:
    return BindingState(**{name: getattr(row, name) for name in _STATE}, until=None)


def _card(row: Card) -> CardTemplate:
    return CardTemplate(
        id=".".join(part.replace(rules.ANY, _ANY) for part in (row.target_kind, row.channel, row.placement)),
        target_kind=row.target_kind,
        channel=row.channel,
        placement=row.placement,
        title=row.title,
        image_url=row.image_url,
        path=row.path,
        tag=row.tag,
    )


def _target(row: Target) -> EditTarget:
    return EditTarget(
        kind=row.target_kind,
        id=row.target_id,
        title=row.title,
        description=row.description,
        image_url=row.image_url,
        price_fen=row.price_fen,
        path=row.path,
    )


def _policy(row: Policy, call: Call) -> PolicyAnswer:
    told = {**policies.told(row), "signals": policies.limits(row)}
    return PolicyAnswer(version=row.n, **told, made_at=row.made_at or None, now=call.now)
