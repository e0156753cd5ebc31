"""What somebody would earn by lines that are not sold yet, the label beside a product; and by past orders, if they
had been theirs."""

from collections.abc import Sequence

from chalicelib.commissions import promoters, rates, rules, service
from chalicelib.commissions.rules import Rate, Sold
from chalicelib.commissions.schemas import Estimate, Estimated, EstimatedLine, EstimateLine
from chalicelib.core.money import yuan
from chalicelib.orders.service import Order
from chalicelib.rewards import occurrences
from chalicelib.sharing import dryruns

_LEVELS = ("L1", "L2")


def estimate(given: Estimate, *, member_id: str, now: int) -> Estimated:
    """By the rates of now, on the first level, on the member's own tier; of who is no promoter on the first."""
    promoter = promoters.find(member_id)
    tier = promoter.tier if promoter is not None else 1
    in_force = rates.in_force(at=now, now=now)
    order_fen = sum(line.paid_fen for line in given.lines)
    lines = [_line(line, in_force, tier=tier, order_fen=order_fen) for line in given.lines]
    return Estimated(lines=lines, amount_fen=sum(line.amount_fen for line in lines), tier=tier, now=now)


def _line(line: EstimateLine, in_force: list[Rate], *, tier: int, order_fen: int) -> EstimatedLine:
    def rate(*, new_buyer: bool) -> Rate | None:
        sold = Sold(
            level="level1",
            product_id=line.product_id,
            quantity=line.quantity,
            paid_fen=line.paid_fen,
            category_ids=line.category_ids,
            campaign_id=line.campaign_id,
            tier=tier,
            order_fen=order_fen,
            new_buyer=lambda: new_buyer,
        )
        return rules.best(in_force, sold)

    usual = rate(new_buyer=False)
    amount_fen = _earned(line, usual)
    return EstimatedLine(
        product_id=line.product_id,
        amount_fen=amount_fen,
        if_new_buyer_fen=_earned(line, rate(new_buyer=True)),
        rate_from=rules.came_from(usual.scope) if usual is not None else None,
        label=f"赚{yuan(amount_fen)}",
    )


def _earned(line: EstimateLine, rate: Rate | None) -> int:
    if rate is None:
        return 0
    return rules.earned_fen(
        basis=rate.basis,
        value=rate.value,
        quantity=line.quantity,
        paid_fen=line.paid_fen,
        base_fen=line.paid_fen,
    )


def of_order(order: Order, whose: Sequence[str | None], now: int) -> list[int]:
    """What an order as it is now earns those whose it is, on the first level and the second.

    By the rates, the tiers and the promoters of when it was made, as its commissions are; what its group's head has
    of it depends on no policy.
    """
    if not service.earns(order):
        return [0] * len(whose)
    levels = zip(_LEVELS, whose, strict=True)
    return [_would_earn(who, order, level, now=now) if who else 0 for level, who in levels]


def _would_earn(promoter_id: str, order: Order, level: str, *, now: int) -> int:
    lines = service.lines_for(promoter_id, order, level, new_buyer=occurrences.would_be_first, now=now)
    return rules.total_fen(lines)


dryruns.earning(of_order)
