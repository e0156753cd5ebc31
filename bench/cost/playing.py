"""Every operation of the table played on the stage, and counted.

Each is played by others before, uncounted, so that what a process remembers is remembered; then all that readers
and jobs do because of it is done, and counted apart. What a job does in a minute in which nothing is due is not
counted as the operation's.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.cost.operations import Operation, Table, Work
from bench.cost.stage import Json, Stage, said, work
from infra.local.stack import JOBS

MINUTE, TEN_MINUTES, DAY = 60, 600, 86400
Prepare = Callable[[Stage], Json]
Act = Callable[[Stage, Json], object]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """``act`` is played on what ``prepare`` made; the ``jobs`` run so many seconds later. Where nobody acts, time
    does."""

    act: Act | None = None
    prepare: Prepare = lambda stage: {}
    jobs: Sequence[str] = ()
    after_s: int = 0


# --- who is there, and what there is ------------------------------------------------------------------------


def _link(stage: Stage) -> str:
    """The code of a promoter's link to tea; each scene has its own, as a crowd of new customers is a fraud's."""
    if stage.link is None:
        stage.link = _shared(stage)
    return stage.link


def _shared(stage: Stage) -> str:
    token = _signed_in(stage)["token"]
    rules = stage.ask("GET", "/v1/promoters/rules", token=token)
    stage.ask("POST", "/v1/promoters", token=token, terms_version=rules["version"])
    link = stage.ask("POST", "/v1/links", token=token, target=_TEA, channel="wechat")
    return str(link["code"])


_TEA = {"kind": "product", "id": "tea"}


def _signed_in(stage: Stage) -> Json:
    code = stage.word("code")
    found = stage.ask("POST", "/v1/sessions", program_id="demo", code=code)
    return {"token": found["token"], "code": code}


def _visit(stage: Stage) -> Json:
    visitor = stage.word("phone")
    return stage.ask("POST", f"/v1/links/{_link(stage)}/visits", wx_scene=1008, visitor=visitor)


def _visit_anew(stage: Stage) -> Json:
    """By a process that has just begun."""
    from chalicelib.core import cache

    _link(stage)
    cache.clear_all()
    return _visit(stage)


def _customer(stage: Stage) -> Json:
    """Somebody who came by the sharer's link."""
    body = {"program_id": "demo", "code": stage.word("code"), "visit_token": _visit(stage)["visit_token"]}
    return stage.ask("POST", "/v1/sessions", **body)


@functools.cache
def _groupbuy(stage: Stage) -> str:
    return str(stage.ask("GET", "/v1/groupbuys")["items"][0]["campaign_id"])


@functools.cache
def _checkin(stage: Stage) -> str:
    return str(stage.ask("GET", "/v1/checkins")["items"][0]["campaign"]["campaign_id"])


@functools.cache
def _template(stage: Stage) -> str:
    return str(stage.ask("GET", "/v1/coupons")["items"][0]["template_id"])


def _opens(stage: Stage, who: Json) -> Json:
    made = stage.ask("POST", f"/v1/groupbuys/{_groupbuy(stage)}/groups", token=who["token"])
    return {"token": who["token"], "group": made["group"]["group_id"], "order": made["order"]["order_id"]}


def _pays(stage: Stage, held: Json) -> None:
    begun = stage.ask("POST", f"/v1/orders/{held['order']}/payments", token=held["token"])
    stage.ask("POST", begun["pay_url"])


def _joins(stage: Stage, group: Json) -> Json:
    body = {"shown": group["shown"]}
    made = stage.ask("POST", f"/v1/groups/{group['group']}/seats", token=group["token"], **body)
    return {"token": group["token"], "order": made["order"]["order_id"], "group": group["group"]}


def _opened(stage: Stage) -> Json:
    return _opens(stage, _customer(stage))


def _begun(stage: Stage) -> Json:
    held = _opened(stage)
    _pays(stage, held)
    return held


def _to_join(stage: Stage) -> Json:
    """A group whose head has paid, as its page shows it to somebody."""
    group, who = _begun(stage)["group"], _customer(stage)
    page = stage.ask("GET", f"/v1/groups/{group}", token=who["token"])
    sku, price = next(iter(page["prices_fen"].items()))
    shown = {"campaign_id": _groupbuy(stage), "size": page["size"], "price_fen": price}
    return {"token": who["token"], "group": group, "shown": shown, "sku": sku}


def _joined(stage: Stage) -> Json:
    return _joins(stage, _to_join(stage))


def _filled(stage: Stage) -> Json:
    held = _joined(stage)
    _pays(stage, held)
    return held


def _full(stage: Stage) -> Json:
    """A full group, and somebody who would join it."""
    return {"group": _filled(stage)["group"], "token": _customer(stage)["token"]}


def _shopper(stage: Stage) -> Json:
    """Somebody whom the mall vouches for, and their coupon."""
    who = stage.word("customer")
    body = {"external_id": who, "program_id": "demo"}
    found = stage.ask("POST", "/v1/mall/sessions", mall=True, **body)
    claimed = _claims(stage, found)
    return {"member": {"external_id": who}, "coupon": claimed["coupon"]["coupon_id"]}


def _claims(stage: Stage, who: Json) -> Json:
    return stage.ask("POST", f"/v1/coupons/{_template(stage)}/claims", token=who["token"])


def _checked_in(stage: Stage) -> Json:
    """Somebody who checked in yesterday, and then once more before, today."""
    who = _signed_in(stage)
    stage.now -= DAY
    _checks_in(stage, who)
    stage.now += DAY
    stage.ask("GET", f"/v1/checkins/{_checkin(stage)}", token=who["token"])
    return who


def _checks_in(stage: Stage, who: Json) -> Json:
    return stage.ask("POST", f"/v1/checkins/{_checkin(stage)}", token=who["token"])


def _shares(stage: Stage, who: Json) -> Json:
    target = {"kind": "group", "id": who["group"]}
    return stage.ask("POST", "/v1/links", token=who["token"], target=target, channel="wechat")


def _uses(stage: Stage, held: Json) -> None:
    order = stage.word("M")
    body = {"member": held["member"], "mall_order_id": order, "coupon_ids": [held["coupon"]]}
    line = {"product_id": "tea", "price_fen": 9900}
    stage.ask("POST", "/v1/mall/coupons/lock", mall=True, **body, lines=[line])
    stage.ask("POST", "/v1/mall/coupons/redeem", mall=True, mall_order_id=order)


def _completes(stage: Stage, held: Json) -> None:
    told = {"id": stage.word("e"), "type": "order.completed", "order_id": held["order"]}
    stage.ask("POST", "/v1/mall/events", mall=True, **told)


def _is_refused(stage: Stage, who: Json) -> None:
    status, _ = stage.asked("POST", f"/v1/groups/{who['group']}/seats", token=who["token"])
    assert status == 409, status


def _read(path: str) -> Act:
    return lambda stage, who: stage.ask("GET", path.format(**who), token=who["token"])


def _with_pages(stage: Stage) -> Json:
    """Somebody with a coupon, in a group."""
    held = _begun(stage)
    _claims(stage, held)
    # To show a group to somebody for the first time makes a link of theirs, too.
    stage.ask("GET", f"/v1/groups/{held['group']}", token=held["token"])
    return {**held, "checkin": _checkin(stage)}


SCENES: Mapping[str, Scene] = {
    "a visit of a link": Scene(act=lambda stage, _: _visit(stage)),
    "the same, with nothing remembered": Scene(act=lambda stage, _: _visit_anew(stage)),
    "a first login, by a visit": Scene(
        prepare=_visit,
        act=lambda stage, by: stage.ask(
            "POST",
            "/v1/sessions",
            program_id="demo",
            code=stage.word("code"),
            visit_token=by["visit_token"],
        ),
    ),
    "a later login": Scene(
        prepare=_signed_in,
        act=lambda stage, who: stage.ask("POST", "/v1/sessions", program_id="demo", code=who["code"]),
    ),
    "the list of group-buys": Scene(prepare=_with_pages, act=_read("/v1/groupbuys")),
    "the page of a group": Scene(prepare=_with_pages, act=_read("/v1/groups/{group}")),
    "the page of the check-in": Scene(prepare=_with_pages, act=_read("/v1/checkins/{checkin}")),
    "one's coupons": Scene(prepare=_with_pages, act=_read("/v1/me/coupons")),
    "a link is made": Scene(prepare=_begun, act=_shares),
    "a check-in": Scene(prepare=_checked_in, act=_checks_in),
    "a coupon is claimed": Scene(prepare=_signed_in, act=_claims),
    "a coupon is used": Scene(prepare=_shopper, act=_uses),
    "a group is opened": Scene(prepare=_customer, act=_opens),
    "its head pays": Scene(prepare=_opened, act=_pays),
    "a seat is taken": Scene(prepare=_to_join, act=_joins),
    "the last one pays": Scene(prepare=_joined, act=_pays),
    "an order is completed": Scene(prepare=_filled, act=_completes, jobs=["run_room_jobs"], after_s=MINUTE),
    "a hold runs out": Scene(prepare=_opened, jobs=["release_holds"], after_s=16 * MINUTE),
    "a group runs out": Scene(
        prepare=_begun,
        jobs=["run_room_jobs", "expire_groups", "send_deliveries"],
        after_s=DAY + MINUTE,
    ),
    "somebody is refused": Scene(prepare=_full, act=_is_refused),
}


def table(stage: Stage) -> Table:
    """All of it, counted now."""
    return Table(operations=played(stage), idle=ten_idle_minutes(stage))


def played(stage: Stage, names: Sequence[str] = tuple(SCENES)) -> dict[str, Operation]:
    """What each of these operations was counted to ask."""
    idle = {job: _idle(stage, job) for job in JOBS}
    return {name: _played(stage, SCENES[name], idle) for name in names}


def ten_idle_minutes(stage: Stage) -> Work:
    """What all jobs ask in ten minutes in which nothing is due."""
    stage.now += -stage.now % TEN_MINUTES + MINUTE
    nine = [_idle(stage, job) for job in JOBS] * 9
    # At every tenth a job looks for money that is stuck as well.
    stage.now += TEN_MINUTES - MINUTE
    return sum([*nine, *(_idle(stage, job) for job in JOBS)], start=Work())


def _idle(stage: Stage, job: str) -> Work:
    stage.rest()
    with stage.counted() as spent:
        stage.job(job)
    return work(spent, runs=1)


def _played(stage: Stage, scene: Scene, idle: Mapping[str, Work]) -> Operation:
    meant = _rehearsed(stage, scene)
    stage.rest()
    before, stage.requests, stage.answered = stage.kept(), 0, 0
    with stage.counted() as spent, said() as told:
        if scene.act:
            scene.act(stage, meant)
    requests, answered, after = stage.requests, stage.answered, _after(stage, scene, idle)
    logged, grown = len(told.getvalue().encode()), stage.kept() - before
    sizes = replace(grown, logged=logged, answered=answered)
    return Operation(requests=requests, at_once=work(spent), after=after, sizes=sizes)


def _rehearsed(stage: Stage, scene: Scene) -> Json:
    """What it will be played on, once others have played it."""
    # By then all groups of scenes before are over, of which a page would show some.
    stage.link, stage.now = None, stage.now + DAY
    stage.rest()
    if scene.act is None:
        return scene.prepare(stage)
    rehearsed, meant = scene.prepare(stage), scene.prepare(stage)
    scene.act(stage, rehearsed)
    return meant


def _after(stage: Stage, scene: Scene, idle: Mapping[str, Work]) -> Work:
    done = Work()
    with stage.counted() as spent:
        runs = stage.stream()
        stage.now += scene.after_s
        for job in scene.jobs:
            stage.job(job)
            runs += stage.stream()
            done -= idle[job]
    return work(spent, runs=runs + len(scene.jobs)) + done


def a_line(stage: Stage) -> str:
    """What the app says in its log of a check-in."""
    who = _checked_in(stage)
    with said() as told:
        _checks_in(stage, who)
    return told.getvalue()
