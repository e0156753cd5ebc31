"""HTTP for operators: rules made, edited, switched and tried, and what came of them."""

from chalicelib.core import doors
from chalicelib.core.errors import Busy, IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.rewards import kinds, lists, occurrences, rules, service, sources, trying
from chalicelib.rewards.models import Rule
from chalicelib.rewards.rules import AgainstPlatformRules, RewardTerms
from chalicelib.rewards.schemas import (
    AdminReward,
    AdminRewards,
    DryRun,
    DryRunAnswer,
    FactAnswer,
    MakeReward,
    RewardReport,
    RewardVersion,
    RewardVersions,
)

api = Api(__name__)
_MARKETING = doors.operators("marketing")
_READERS = doors.operators("marketing", "finance", "support")


@api.get("/v1/admin/rewards", door=doors.ANY_OPERATOR, csv=True)
def list_rules(call: Call) -> AdminRewards:
    """All rules, newest first, and what rules can be made of: facts with their conditions, kinds of gifts."""
    return AdminRewards(
        items=[_rule(row, call) for row in service.everything()],
        facts=[_fact(on) for on in occurrences.facts()],
        gifts=kinds.names(),
        now=call.now,
    )


@api.post(
    "/v1/admin/rewards",
    door=_MARKETING,
    status=201,
    refuses=[Invalid, AgainstPlatformRules, IdempotencyMismatch],
)
def make(call: Call, body: MakeReward) -> Reply[AdminReward]:
    """A new rule, on or off; with an Idempotency-Key a repeat answers with the first."""
    told = {name: getattr(body, name) for name in RewardTerms.__struct_fields__}
    return Reply(_rule(service.make(RewardTerms(**told), state=body.state, making=_making(call)), call), 201)


@api.get("/v1/admin/rewards/{reward_id}", door=_READERS, refuses=[NotFound])
def show(call: Call, reward_id: str) -> AdminReward:
    """One rule as it is."""
    return _rule(service.show(reward_id), call)


@api.put(
    "/v1/admin/rewards/{reward_id}",
    door=_MARKETING,
    refuses=[Invalid, AgainstPlatformRules, NotFound, service.BudgetSpent, Busy],
)
def edit(call: Call, reward_id: str, body: RewardTerms) -> AdminReward:
    """The next version; what happened before is still judged by the version of its time."""
    return _rule(service.edit(reward_id, body, making=_making(call)), call)


@api.post("/v1/admin/rewards/{reward_id}/on", door=_MARKETING, refuses=[NotFound, Busy])
def switch_on(call: Call, reward_id: str) -> AdminReward:
    """The rule gives from now on."""
    return _rule(service.switch(reward_id, to="on", making=_making(call)), call)


@api.post("/v1/admin/rewards/{reward_id}/off", door=_MARKETING, refuses=[NotFound, Busy])
def switch_off(call: Call, reward_id: str) -> AdminReward:
    """The rule gives for nothing that happens from now on."""
    return _rule(service.switch(reward_id, to="off", making=_making(call)), call)


@api.get("/v1/admin/rewards/{reward_id}/versions", door=_READERS, refuses=[NotFound])
def list_versions(call: Call, reward_id: str) -> RewardVersions:
    """What the rule said, and from when on."""
    items = [
        RewardVersion(version=one.n, state="on" if one.on else "off", since=one.since, terms=one.terms)
        for one in service.versions(reward_id)
    ]
    return RewardVersions(items=items, now=call.now)


@api.post("/v1/admin/rewards/{reward_id}/dryrun", door=_MARKETING, refuses=[NotFound])
def try_out(call: Call, reward_id: str, body: DryRun) -> DryRunAnswer:
    """What the rule would have given in the last days; nothing is given."""
    tried = trying.dry_run(reward_id, days=body.days, now=call.now)
    tally = tried.tally
    return DryRunAnswer(
        id=reward_id,
        days=body.days,
        looked_at=tally.looked_at,
        complete=tried.complete,
        matched=tally.matched,
        granted=tally.granted,
        undecided=tally.undecided,
        missed=dict(tally.missed),
        given=dict(tally.given),
        members=len(tally.members),
        now=call.now,
    )


@api.get("/v1/admin/rewards/{reward_id}/report", door=_READERS, refuses=[NotFound])
def show_report(call: Call, reward_id: str) -> RewardReport:
    """What came of a rule so far."""
    limits = service.terms_of(service.show(reward_id)).limits
    shards = service.purse(reward_id, shards=limits.shards)
    return RewardReport(
        id=reward_id,
        granted=sum(row.given for row in shards),
        missed=sum(row.missed for row in shards),
        taken_back=sum(row.taken_back for row in shards),
        budget_left=sum(row.left for row in shards) if limits.total else None,
        now=call.now,
    )


def _making(call: Call) -> service.Making:
    return service.Making(by=call.operator, now=call.now, idempotency_key=call.idempotency_key)


def _rule(row: Rule, call: Call) -> AdminReward:
    terms = service.terms_of(row)
    return AdminReward(
        id=row.rule_id,
        state=row.state or "",
        version=row.n,
        since=row.since,
        made_at=row.made_at,
        terms=terms,
        text_zh=lists.told(terms, lang="zh", now=call.now),
        text_en=lists.told(terms, lang="en", now=call.now),
        now=call.now,
    )


def _fact(on: str) -> FactAnswer:
    spec = sources.specs()[on]
    asked = [name for name, needs in rules.NEEDS.items() if needs in spec.values]
    return FactAnswer(on=on, conditions=sorted(asked), text_zh=spec.words.self_zh, text_en=spec.words.self_en)
