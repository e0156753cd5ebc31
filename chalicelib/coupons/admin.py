"""HTTP for operators: templates and their stock, members' coupons, the shop's counter."""

from typing import Any

from chalicelib.core import doors
from chalicelib.core.errors import Busy, Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.coupons import answers, codes, grants, invites, plans, service, templates, using
from chalicelib.coupons.models import Codes, Template
from chalicelib.coupons.schemas import (
    AddUnits,
    AdminInvite,
    AdminInvites,
    AdminTemplate,
    AdminTemplates,
    Claimed,
    CodesAnswer,
    CodesToPrint,
    CodeToPrint,
    CouponAnswer,
    EditInvite,
    EditPlan,
    EditTemplate,
    GrantPart,
    GrantProgress,
    GrantRefused,
    MakeCodes,
    MakeTemplate,
    MemberCoupons,
    PlanAnswer,
    Plans,
    Verify,
    Void,
)

api = Api(__name__)
_MARKETING = doors.operators("marketing")


@api.get("/v1/admin/coupons", door=doors.ANY_OPERATOR)
def list_templates(call: Call) -> AdminTemplates:
    """All templates with what is left of their stock."""
    return AdminTemplates(items=[_template(row, call) for row in templates.everything()], now=call.now)


@api.post("/v1/admin/coupons", door=_MARKETING, status=201, refuses=[Invalid, templates.RequestDiffers])
def make(call: Call, body: MakeTemplate) -> Reply[AdminTemplate]:
    """A new template; with an Idempotency-Key a repeat answers with the first."""
    return Reply(_template(templates.make(body, making(call)), call), 201)


@api.put("/v1/admin/coupons/{template_id}", door=_MARKETING, refuses=[NotFound, Invalid, Busy])
def edit(call: Call, template_id: str, body: EditTemplate) -> AdminTemplate:
    """A template told anew; what is claimed already keeps the terms it was claimed under."""
    return _template(templates.edit(template_id, body, making(call)), call)


@api.post("/v1/admin/coupons/{template_id}/on", door=_MARKETING, refuses=[NotFound])
def switch_on(call: Call, template_id: str) -> AdminTemplate:
    """It can be claimed and given again."""
    return _template(templates.switch(template_id, to="on", making=making(call)), call)


@api.post("/v1/admin/coupons/{template_id}/off", door=_MARKETING, refuses=[NotFound])
def switch_off(call: Call, template_id: str) -> AdminTemplate:
    """Nobody gets it any more; what was claimed stays good."""
    return _template(templates.switch(template_id, to="off", making=making(call)), call)


@api.post("/v1/admin/coupons/{template_id}/stock", door=_MARKETING, refuses=[NotFound, Invalid])
def add_stock(call: Call, template_id: str, body: AddUnits) -> AdminTemplate:
    """More units, or fewer."""
    return _template(templates.add_units(template_id, units=body.units, making=making(call)), call)


@api.post(
    "/v1/admin/coupons/verify",
    door=doors.operators("store"),
    refuses=[NotFound, using.ShopCodeInvalid, using.CouponInUse, using.CouponNotApplicable],
)
def verify(call: Call, body: Verify) -> Claimed:
    """The shop takes a coupon by the code that is shown; it is used."""
    coupon = using.verify(body.code, by=call.operator, now=call.now)
    return Claimed(coupon=answers.coupon_answer(coupon, now=call.now), now=call.now)


@api.get(
    "/v1/admin/members/{member_id}/coupons",
    door=doors.operators("marketing", "support"),
    refuses=[NotFound],
    csv=True,
)
def list_coupons(call: Call, member_id: str) -> MemberCoupons:
    """A member's coupons, newest first."""
    rows = service.of_member(member_id)
    return MemberCoupons(items=answers.coupon_answers(rows[:200], now=call.now), now=call.now)


@api.post(
    "/v1/admin/members/{member_id}/coupons/{coupon_id}/void",
    door=doors.operators("marketing", "support"),
    refuses=[NotFound, using.CouponInUse],
)
def void(call: Call, member_id: str, coupon_id: str, body: Void) -> CouponAnswer:
    """Take an unused coupon away."""
    row = using.void(member_id, coupon_id, reason=body.reason, by=call.operator, now=call.now)
    return answers.coupon_answer(row, now=call.now)


def making(call: Call) -> templates.Making:
    """Who asks, and under which key."""
    return templates.Making(by=call.operator, now=call.now, idempotency_key=call.idempotency_key)


def _template(row: Template, call: Call) -> AdminTemplate:
    shards = templates.stock_of(row).values()
    return AdminTemplate(
        **answers.offer_fields(row),
        state=row.state or "",
        version=row.version,
        audience=row.audience,
        remind_before_s=row.remind_before_s,
        stock_shards=row.stock_shards,
        left=sum(one.left or 0 for one in shards) if row.limited else None,
        issued=sum(one.issued for one in shards),
        created_at=row.created_at,
        now=call.now,
    )


# --- batches, codes -----------------------------------------------------------------------------------------


@api.post(
    "/v1/admin/coupons/{template_id}/grants",
    door=_MARKETING,
    status=201,
    refuses=[NotFound, templates.RequestDiffers],
)
def grant(call: Call, template_id: str, body: GrantPart) -> Reply[GrantProgress]:
    """Give each of these members a coupon, in the background; a long list comes in parts of one batch."""
    grants.begin(template_id, body, making(call))
    return Reply(_progress(template_id, body.batch, call), 201)


@api.get("/v1/admin/coupons/{template_id}/grants/{batch}", door=doors.ANY_OPERATOR, refuses=[NotFound])
def show_grants(call: Call, template_id: str, batch: str) -> GrantProgress:
    """How far a batch is, and who got none, and why."""
    return _progress(template_id, batch, call)


def _progress(template_id: str, batch: str, call: Call) -> GrantProgress:
    rows = grants.progress(template_id, batch)
    refused = [GrantRefused(member_id=who, code=code) for row in rows for who, code in row.refused or ()]
    return GrantProgress(
        batch=batch,
        members=sum(len(row.member_ids) for row in rows),
        waiting=sum(len(row.member_ids) for row in rows if row.state == "due"),
        given=sum(row.given or 0 for row in rows),
        refused=refused[:100],
        refused_in_all=len(refused),
        now=call.now,
    )


@api.post(
    "/v1/admin/coupons/{template_id}/codes",
    door=_MARKETING,
    status=201,
    refuses=[NotFound, Invalid, templates.RequestDiffers],
)
def make_codes(call: Call, template_id: str, body: MakeCodes) -> Reply[CodesAnswer]:
    """Codes to print; the same batch again answers with the same codes."""
    return Reply(_codes(template_id, codes.make(template_id, body, making(call)), call), 201)


@api.get("/v1/admin/coupons/{template_id}/codes/{batch}", door=_MARKETING, refuses=[NotFound])
def show_codes(call: Call, template_id: str, batch: str) -> CodesAnswer:
    """The codes of a batch."""
    return _codes(template_id, codes.find(template_id, batch), call)


@api.get("/v1/admin/coupons/{template_id}/codes/{batch}/print", door=_MARKETING, refuses=[NotFound], csv=True)
def print_codes(call: Call, template_id: str, batch: str) -> CodesToPrint:
    """The codes of a batch, a line each."""
    template, row = templates.find(template_id, now=call.now), codes.find(template_id, batch)
    told: dict[str, Any] = {
        "title": template.title,
        "uses": row.uses,
        "ends_at": row.ends_at,
        "state": row.state or "on",
    }
    items = [CodeToPrint(code=code, **told) for code in codes.letters(template_id, row, now=call.now)]
    return CodesToPrint(items=items, now=call.now)


@api.post("/v1/admin/coupons/{template_id}/codes/{batch}/on", door=_MARKETING, refuses=[NotFound, Busy])
def switch_codes_on(call: Call, template_id: str, batch: str) -> CodesAnswer:
    """The codes of a batch can be used again."""
    return _codes(template_id, codes.switch(template_id, batch, to="on", making=making(call)), call)


@api.post("/v1/admin/coupons/{template_id}/codes/{batch}/off", door=_MARKETING, refuses=[NotFound, Busy])
def switch_codes_off(call: Call, template_id: str, batch: str) -> CodesAnswer:
    """Nobody uses the codes of a batch any more, half a minute from now at the latest."""
    return _codes(template_id, codes.switch(template_id, batch, to="off", making=making(call)), call)


def _codes(template_id: str, row: Codes, call: Call) -> CodesAnswer:
    return CodesAnswer(
        batch=row.batch,
        state=row.state or "on",
        uses=row.uses,
        ends_at=row.ends_at,
        codes=codes.letters(template_id, row, now=call.now),
        now=call.now,
    )


# --- packs, invitations -------------------------------------------------------------------------------------


@api.get("/v1/admin/packs", door=doors.ANY_OPERATOR, csv=True)
def list_plans(call: Call) -> Plans:
    """All plans of share packs, newest first."""
    rows = sorted(plans.everything(now=call.now).values(), key=lambda row: row.created_at, reverse=True)
    return Plans(items=[answers.plan_answer(row, call) for row in rows], now=call.now)


@api.post("/v1/admin/packs", door=_MARKETING, status=201, refuses=[Invalid, templates.RequestDiffers])
def make_plan(call: Call, body: EditPlan) -> Reply[PlanAnswer]:
    """A new plan of share packs; with an Idempotency-Key a repeat answers with the first."""
    return Reply(answers.plan_answer(plans.make(body, making(call)), call), 201)


@api.post("/v1/admin/packs/{plan_id}/on", door=_MARKETING, refuses=[NotFound, Busy])
def switch_plan_on(call: Call, plan_id: str) -> PlanAnswer:
    """Packs of a plan are given again."""
    return answers.plan_answer(plans.switch(plan_id, to="on", making=making(call)), call)


@api.post("/v1/admin/packs/{plan_id}/off", door=_MARKETING, refuses=[NotFound, Busy])
def switch_plan_off(call: Call, plan_id: str) -> PlanAnswer:
    """No more packs of a plan; those that are open go on."""
    return answers.plan_answer(plans.switch(plan_id, to="off", making=making(call)), call)


@api.get("/v1/admin/invites", door=doors.ANY_OPERATOR, csv=True)
def list_invites(call: Call) -> AdminInvites:
    """All plans of inviting, newest first."""
    rows = sorted(invites.plans(now=call.now), key=invites.order_of, reverse=True)
    return AdminInvites(items=[answers.admin_invite(row, call) for row in rows], now=call.now)


@api.post("/v1/admin/invites", door=_MARKETING, status=201, refuses=[Invalid, templates.RequestDiffers])
def make_invite(call: Call, body: EditInvite) -> Reply[AdminInvite]:
    """What inviting brings from now on, instead of older plans."""
    return Reply(answers.admin_invite(invites.make(body, making(call)), call), 201)


@api.post("/v1/admin/invites/{plan_id}/off", door=_MARKETING, refuses=[NotFound, Busy])
def switch_invite_off(call: Call, plan_id: str) -> AdminInvite:
    """Inviting brings nothing under this plan any more."""
    return answers.admin_invite(invites.switch_off(plan_id, making(call)), call)
