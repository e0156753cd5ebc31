"""What the mall sells no more: the campaigns of that product are paused, until an operator resumes them."""

from contextlib import suppress

from chalicelib.core.errors import Invalid
from chalicelib.groupbuys import campaigns
from chalicelib.operators import service as operators
from chalicelib.orders import news
from chalicelib.orders.schemas import MallEvent

OFF_SHELF = "product.off_shelf"


def off_shelf(event: MallEvent, now: int) -> bool:
    """Pause every running campaign of the product, and whether there is any campaign of it that is not over.

    Raises:
        Invalid: it names no product. Busy: somebody else changes a campaign right now.
    """
    if event.product_id is None:
        raise Invalid(field="product_id", reason="product.off_shelf needs product_id")
    rows = [row for row in campaigns.everything() if row.product["id"] == event.product_id]
    known = [row.campaign_id for row in rows if row.state != "closed" and now < row.ends_at]
    making = campaigns.Making(by=operators.MALL, now=now, idempotency_key=None)
    for campaign_id in known:
        with suppress(campaigns.CampaignOver):  # closed meanwhile
            campaigns.switch(campaign_id, to="paused", making=making, told={"because": OFF_SHELF})
    return bool(known)


news.takes(OFF_SHELF, off_shelf)
