"""HTTP for operators: campaigns and their stock."""

from typing import Annotated, Literal

import msgspec

from chalicelib.core import doors
from chalicelib.core.errors import Busy, IdempotencyMismatch, Invalid, NotFound
from chalicelib.core.http import Api, Call, Reply
from chalicelib.groupbuys import answers, campaigns, closing, editing, reporting
from chalicelib.groupbuys.models import Campaign
from chalicelib.groupbuys.schemas import AdminCampaign, CopyCampaign, EditCampaign, Report, ReportDay
from chalicelib.members.schemas import Id, Reason

api = Api(__name__)
_MARKETING = doors.operators("marketing")


class AddStock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """More units of a SKU, or, below zero, fewer."""

    sku_id: Id
    units: Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]


class StockLeft(msgspec.Struct, frozen=True, kw_only=True):
    """Units left in all shards."""

    sku_id: str
    left: int
    now: int


class CloseCampaign(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to close: open groups go on, or everybody in them gets their money back now."""

    open_groups: Literal["go_on", "refund"] = "go_on"
    reason: Reason


class AdminCampaigns(msgspec.Struct, frozen=True, kw_only=True):
    """All campaigns, newest first."""

    items: list[AdminCampaign]
    now: int


@api.get("/v1/admin/groupbuys", door=doors.ANY_OPERATOR, csv=True)
def list_campaigns(call: Call) -> AdminCampaigns:
    """All campaigns with what is left of their stock."""
    return AdminCampaigns(items=[_campaign(row, call) for row in campaigns.everything()], now=call.now)


@api.post("/v1/admin/groupbuys", door=_MARKETING, status=201, refuses=[Invalid, IdempotencyMismatch])
def make(call: Call, body: EditCampaign) -> Reply[AdminCampaign]:
    """A new campaign; with an Idempotency-Key a repeat answers with the first."""
    return Reply(_campaign(campaigns.make(body, _making(call)), call), 201)


@api.put(
    "/v1/admin/groupbuys/{campaign_id}",
    door=_MARKETING,
    refuses=[NotFound, campaigns.CampaignOver, Invalid, Busy],
)
def edit(call: Call, campaign_id: str, body: EditCampaign) -> AdminCampaign:
    """Change a campaign, for groups that open from now on; what open groups stand on is refused by its field."""
    return _campaign(editing.edit(campaign_id, body, _making(call)), call)


@api.post(
    "/v1/admin/groupbuys/{campaign_id}/copy",
    door=_MARKETING,
    status=201,
    refuses=[NotFound, Invalid, IdempotencyMismatch],
)
def copy(call: Call, campaign_id: str, body: CopyCampaign) -> Reply[AdminCampaign]:
    """A campaign like this one at another time; with an Idempotency-Key a repeat answers with the first."""
    return Reply(_campaign(editing.copy(campaign_id, body, _making(call)), call), 201)


@api.post(
    "/v1/admin/groupbuys/{campaign_id}/pause", door=_MARKETING, refuses=[NotFound, campaigns.CampaignOver]
)
def pause(call: Call, campaign_id: str) -> AdminCampaign:
    """No new groups for now; open ones go on."""
    return _campaign(campaigns.switch(campaign_id, to="paused", making=_making(call)), call)


@api.post(
    "/v1/admin/groupbuys/{campaign_id}/resume", door=_MARKETING, refuses=[NotFound, campaigns.CampaignOver]
)
def resume(call: Call, campaign_id: str) -> AdminCampaign:
    """Groups can be opened again."""
    return _campaign(campaigns.switch(campaign_id, to="running", making=_making(call)), call)


@api.post("/v1/admin/groupbuys/{campaign_id}/close", door=_MARKETING, refuses=[NotFound, Busy])
def close(call: Call, campaign_id: str, body: CloseCampaign) -> AdminCampaign:
    """No new groups any more; open ones go on, or are ended one after the other and everybody is refunded.

    When nothing of it is open any more, the mall is told how many units were not used.
    """
    closed = closing.close(
        campaign_id, open_groups=body.open_groups, reason=body.reason, making=_making(call)
    )
    return _campaign(closed, call)


@api.post(
    "/v1/admin/groupbuys/{campaign_id}/stock",
    door=_MARKETING,
    refuses=[NotFound, Invalid, IdempotencyMismatch],
)
def add_stock(call: Call, campaign_id: str, body: AddStock) -> StockLeft:
    """Change what is set aside for a SKU; with an Idempotency-Key, once."""
    left = campaigns.add_stock(campaign_id, sku_id=body.sku_id, units=body.units, making=_making(call))
    return StockLeft(sku_id=body.sku_id, left=sum(left.values()), now=call.now)


@api.get(
    "/v1/admin/groupbuys/{campaign_id}/report",
    door=doors.operators("marketing", "finance"),
    refuses=[NotFound],
    csv=True,
)
def show_report(call: Call, campaign_id: str) -> Report:
    """What came of a campaign, day by day."""
    campaign = campaigns.find(campaign_id, now=call.now)
    days = [ReportDay(day=day, **counts) for day, counts in reporting.report(campaign, now=call.now)]
    return Report(campaign_id=campaign_id, items=days, now=call.now)


def _making(call: Call) -> campaigns.Making:
    return campaigns.Making(by=call.operator, now=call.now, idempotency_key=call.idempotency_key)


def _campaign(row: Campaign, call: Call) -> AdminCampaign:
    shown = msgspec.structs.asdict(answers.campaign_answer(row, call))
    left = {
        sku["sku_id"]: sum(campaigns.stock_left(row, sku["sku_id"]).values()) for sku in row.product["skus"]
    }
    return AdminCampaign(
        **shown,
        reserve=row.reserve,
        late_payment=row.late_payment,
        hold_s=row.hold_s,
        open_hold_s=row.open_hold_s,
        visible_from=row.visible_from,
        stock_left=left,
        terms=editing.terms(row),
        copied_from=row.copied_from,
        closed_at=row.closed_at,
        open_groups=row.open_groups,
    )
