"""Money is an integer in fen, rates are integers in basis points, and there is one rounding rule.

A part is rounded down to the fen; when an amount is shared out, the last share takes the remainder, so that
the shares always add up.
"""

from collections.abc import Sequence

BPS = 10_000


def part_fen(amount_fen: int, *, rate_bps: int) -> int:
    """``rate_bps`` ten-thousandths of ``amount_fen``, rounded down to the fen; neither may be negative."""
    if amount_fen < 0 or rate_bps < 0:
        raise ValueError("an amount and a rate are never negative")
    return amount_fen * rate_bps // BPS


def share_fen(amount_fen: int, *, weights: Sequence[int]) -> list[int]:
    """``amount_fen`` shared over ``weights`` in proportion; the last share takes the remainder.

    Weights that are all zero put everything on the last share.
    """
    if amount_fen < 0 or not weights or min(weights) < 0:
        raise ValueError("an amount and weights are never negative, and there is at least one weight")
    total = sum(weights)
    shares = [amount_fen * weight // total if total else 0 for weight in weights[:-1]]
    return [*shares, amount_fen - sum(shares)]


def share_within_fen(amount_fen: int, *, most: Sequence[int]) -> list[int]:
    """``amount_fen`` shared in proportion to the ``most`` that each can bear, and none above it.

    The last takes the remainder; what it cannot bear, those before it do. ``amount_fen`` is at most the sum.
    """
    shares, over = share_fen(amount_fen, weights=most), 0
    for at in reversed(range(len(most))):
        wanted = shares[at] + over
        shares[at] = min(wanted, most[at])
        over = wanted - shares[at]
    return shares


def yuan(amount_fen: int) -> str:
    """``8900`` as ``¥89.00``; for people, never for arithmetic."""
    return f"¥{amount_fen // 100}.{amount_fen % 100:02d}"
