"""Plans of share packs: what a pack is made of, in an order that is published before anybody shares."""

import msgspec

from chalicelib.core import table
from chalicelib.core.cache import Cache
from chalicelib.core.errors import Busy, Conflict, Invalid, NotFound
from chalicelib.coupons import templates
from chalicelib.coupons.models import Plan
from chalicelib.coupons.schemas import EditPlan
from chalicelib.coupons.templates import Making


class PlanNotOpen(Conflict):
    """Packs of this plan are not given at the moment."""

    code = "pack_plan_not_open"
    en = "These packs are not given at the moment."
    zh = "该活动暂未开放。"
    advice = "Hide it, or count down to `details.starts_at`."


_plans: Cache[dict[str, Plan]] = Cache()


def everything(*, now: int) -> dict[str, Plan]:
    """All plans by id, at most 30 seconds old."""
    return _plans.get(
        "all", now=now, load=lambda: {row.plan_id: row for row in table.query_all(Plan, "PACK_PLANS")}
    )


def find(plan_id: str, *, now: int) -> Plan:
    """One plan.

    Raises:
        NotFound: there is none.
    """
    found = everything(now=now).get(plan_id)
    if found is None:
        raise NotFound
    return found


def running(*, now: int) -> list[Plan]:
    """The plans whose packs are given now, newest first."""
    rows = [row for row in everything(now=now).values() if why_closed(row, now=now) is None]
    return sorted(rows, key=lambda row: row.created_at, reverse=True)


def why_closed(row: Plan, *, now: int) -> PlanNotOpen | None:
    """Why no packs of a plan are given now; None when they are."""
    is_open = row.state == "on" and row.starts_at <= now < row.ends_at
    return None if is_open else PlanNotOpen(starts_at=row.starts_at, ends_at=row.ends_at)


def make(given: EditPlan, making: Making) -> Plan:
    """A new plan; the same key and body again answers with the first.

    Raises:
        Invalid: something about it is wrong. RequestDiffers: the key came with another body.
    """
    _valid(given, now=making.now)
    plan_id, told = making.new_id("cpp"), msgspec.structs.asdict(given)
    sharer = told.pop("sharer")
    row = Plan(
        *Plan.key(plan_id),
        state="on",
        plan_id=plan_id,
        sharer_template_id=sharer.template_id if sharer else None,
        sharer_after_new=sharer.after_new if sharer else 0,
        created_at=making.now,
        fingerprint=templates.fingerprint_of(given),
        **told,
    )
    audit = making.recorded("pack_plan.made", plan_id, after=msgspec.to_builtins(given))
    made = templates.made_once(row, audit)
    _plans.clear()
    return made


def _valid(given: EditPlan, *, now: int) -> None:
    if given.ends_at <= given.starts_at:
        raise Invalid(field="ends_at", reason="it must be after starts_at")
    if given.amounts is not None and len(given.amounts) != given.pieces:
        raise Invalid(field="amounts", reason="one for each piece, in the order in which they are taken")
    if given.sharer is not None and given.sharer.after_new > given.pieces:
        raise Invalid(field="sharer.after_new", reason="more friends than there are pieces")
    wanted = {"template_id": given.template_id}
    if given.sharer is not None:
        wanted["sharer.template_id"] = given.sharer.template_id
    for field, template_id in wanted.items():
        _valid_template(field, template_id, lasts_until=given.ends_at + given.open_for_s, now=now)
    kind = templates.find(given.template_id, now=now).terms["kind"]
    if given.amounts is not None and kind != "amount_off":
        raise Invalid(field="amounts", reason="they need a template of kind amount_off")


def _valid_template(field: str, template_id: str, *, lasts_until: int, now: int) -> None:
    try:
        validity = templates.find(template_id, now=now).validity
    except NotFound as unknown:
        raise Invalid(field=field, reason="there is no such template") from unknown
    if validity["kind"] == "fixed" and validity["ends_at"] < lasts_until:
        raise Invalid(field=field, reason="its coupons would end before the packs do")


def switch(plan_id: str, *, to: str, making: Making) -> Plan:
    """Give packs of a plan, or give no more; packs that are open go on. So already, nothing changes.

    Raises:
        NotFound: there is none.
    """
    _plans.clear()
    row = find(plan_id, now=making.now)
    if row.state != to:
        change = table.update(
            Plan, Plan.key(plan_id), Plan.state.set(to), when=Plan.state == row.state, refuse=Busy
        )
        table.transact([change, making.recorded(f"pack_plan.{to}", plan_id, after={"state": to})])
        _plans.clear()
    return find(plan_id, now=making.now)
