"""Pure rules of points: what they are worth, what a level gives, when its year is over."""

from collections.abc import Sequence
from typing import Any

from chalicelib.core.clock import DAY
from chalicelib.core.money import BPS

YEAR_S = 365 * DAY


def worth_fen(points: int, *, rate_points: int, rate_fen: int) -> int:
    """What points take off a price: ``rate_fen`` for each ``rate_points``, rounded down to the fen."""
    return points * rate_fen // rate_points


def points_for(fen: int, *, rate_points: int, rate_fen: int) -> int:
    """The most points that are worth no more than ``fen``."""
    return ((fen + 1) * rate_points - 1) // rate_fen


def at_most_points(goods_fen: int, *, rate_points: int, rate_fen: int, max_share_bps: int) -> int:
    """The most points that may be used on an order of this price."""
    share_fen = goods_fen * max_share_bps // BPS
    return points_for(share_fen, rate_points=rate_points, rate_fen=rate_fen) if share_fen else 0


def multiplied(points: int, *, points_bps: int) -> int:
    """What a level makes of earned points, rounded down."""
    return points * points_bps // BPS


def level_for(growth: int, thresholds: Sequence[int]) -> int:
    """The level that this much growth reaches, the lowest being 1; a debt of growth reaches the lowest."""
    return max(1, sum(growth >= threshold for threshold in thresholds))


def year_costs(growth: int, level: int, levels: Sequence[dict[str, Any]]) -> int:
    """The growth that a year of ``level`` costs: never so much that more than one level is lost."""
    if level < 2:
        return 0
    below = int(levels[level - 2]["growth"])
    return max(0, min(int(levels[level - 1]["yearly_growth"]), growth - below))
