"""95 % intervals, by their textbook formulas."""

import math

Z_95 = 1.959963984540054  # two-sided normal quantile of 95 %


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share."""
    share, z2 = hits / total, Z_95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == total else middle + half)


def share_of(hits: int, total: int) -> dict[str, float | None]:
    """What the columns of a share must say."""
    if total == 0:
        return dict.fromkeys(("share", "low", "high"))
    return dict(zip(("share", "low", "high"), (hits / total, *wilson(hits, total)), strict=True))


def newcombe(hits_a: int, a: int, hits_b: int, b: int) -> tuple[float, float]:
    """The 95 % interval of the difference of two shares, out of their Wilson intervals."""
    (low_a, high_a), (low_b, high_b) = wilson(hits_a, a), wilson(hits_b, b)
    p, q = hits_a / a, hits_b / b
    below = math.hypot(p - low_a, high_b - q)
    return p - q - below, p - q + math.hypot(high_a - p, q - low_b)


def woolf(both: int, row: int, column: int, total: int) -> tuple[float, float, float]:
    """Odds ratio of a 2 x 2 table and its 95 % interval, half a conversation added to each cell."""
    cells = (both, row - both, column - both, total - row - column + both)
    a, b, c, d = (cell + 0.5 for cell in cells)
    half = Z_95 * math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    ratio = math.log(a * d / (b * c))
    return math.exp(ratio), math.exp(ratio - half), math.exp(ratio + half)
