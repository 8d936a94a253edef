"""Formats of numbers and names on the page and on the card."""

import math

from vitw_ray.facets import BY_NAME

UNKNOWN = DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"


def facet_name(facet: str) -> str:
    """`ai_values` as `AI values`."""
    return BY_NAME[facet].plural if facet in BY_NAME else plain(facet)


def facet_noun(facet: str) -> str:
    """`ai_values` as `AI value`."""
    return BY_NAME[facet].noun if facet in BY_NAME else plain(facet)


def plain(code: str) -> str:
    """A short code such as `strong_support` or `too_long` as words."""
    return code.replace("_", " ")


def first_up(text: str) -> str:
    """`human values` as `Human values`; the other letters keep their case."""
    return text[:1].upper() + text[1:]


def _known(number: float | None) -> bool:
    return number is not None and not math.isnan(number)


def count(number: float | None) -> str:
    """`12,345`."""
    return f"{number:,.0f}" if number is not None and _known(number) else UNKNOWN


def percent(share: float | None, digits: int = 1) -> str:
    """A share (0-1) as `23.4%`; a positive one that rounds to 0 as `<0.1%`."""
    if share is None or not _known(share):
        return UNKNOWN
    floor = 10.0 ** -(digits + 2)
    if 0 < share < floor / 2:
        return f"<{100 * floor:.{digits}f}%"
    return f"{100 * share:.{digits}f}%"


def decimal(number: float | None, digits: int = 2) -> str:
    """`1,234.50`, with a typographic minus sign."""
    if number is None or not _known(number):
        return UNKNOWN
    if math.isinf(number):
        return "∞" if number > 0 else f"{MINUS}∞"
    # adding zero after rounding turns -0.0 into 0.0
    return f"{round(number, digits) + 0.0:,.{digits}f}".replace("-", MINUS)


def signed(number: float | None, digits: int = 1) -> str:
    """A residual: `+12.3` or `-4.5`, with a typographic minus sign."""
    text = decimal(number, digits)
    positive = number is not None and _known(number) and round(number, digits) > 0
    return f"+{text}" if positive else text


def ratio(number: float | None) -> str:
    """A ratio, with fewer decimals for larger numbers."""
    if number is None or not _known(number) or math.isinf(number):
        return decimal(number)
    return decimal(number, 2 if number < 10 else 1 if number < 100 else 0)


def interval(low: float | None, high: float | None) -> str:
    """Two shares as `20.1-26.0%`, with an en dash; small ones as `0.27-0.31%`."""
    if low is None or high is None or not (_known(low) and _known(high)):
        return UNKNOWN
    digits = 1 if high >= 0.01 else 2
    return f"{100 * low:.{digits}f}{DASH}{100 * high:.{digits}f}%"
