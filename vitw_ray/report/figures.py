"""The figures of the page: plain data -> one SVG string, without a plotting library.

Colours come from the classes of `templates/page.css`, so they follow the dark scheme and print
styles. `aria-label` and `<title>` hold the text for screen readers. Every text passes `inert` and
`Markup.format`, which escapes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import NamedTuple

from markupsafe import Markup

from vitw_ray.inert import inert
from vitw_ray.wording import percent, signed

RESIDUAL_STEPS = (2.0, 4.0, 8.0, 16.0)  # ours: 2 is the usual threshold of one test, then doubled
NAME_LETTERS = 28  # ours: of a name in the first column of an icicle
MIN_TEXT_PX = 15  # ours: line height of the page's small type


def _svg(kind: str, size: str, label: str, parts: Sequence[str]) -> Markup:
    return Markup('<svg class="{}"{} role="img" aria-label="{}">{}</svg>').format(
        kind, Markup(size and " " + size), inert(label), Markup("").join(parts)
    )


def bar(
    share: float,
    scale: float,
    *,
    label: str,
    tone: str = "ai",
    low: float | None = None,
    high: float | None = None,
    mark: float | None = None,
) -> Markup:
    """One horizontal bar of `share` out of `scale` (both 0-1), as wide as its container.

    Args:
        share: Length of the bar.
        scale: Value at full width, the same for all rows of a table.
        label: Text for screen readers.
        tone: CSS class of the colour.
        low: Lower end of the interval, drawn as a whisker if both ends are given.
        high: Upper end of the interval.
        mark: A reference value, drawn as a vertical line (the share by chance).
    """

    def x(value: float) -> str:
        return f"{100 * min(max(value / scale, 0.0), 1.0) if scale > 0 else 0.0:.2f}%"

    parts = [
        Markup('<rect class="track"/>'),  # the style sheet has its size, to save space
        Markup('<rect class="fill {}" width="{}"/>').format(tone, x(share)),
    ]
    if low is not None and high is not None:  # below the bar, as it is invisible on a dark bar
        parts.append(
            Markup(
                '<g class="whisker"><line x1="{0}" x2="{1}" y1="12" y2="12"/>'
                '<line x1="{0}" x2="{0}" y1="10" y2="14"/>'
                '<line x1="{1}" x2="{1}" y1="10" y2="14"/></g>'
            ).format(x(low), x(high))
        )
    if mark is not None:
        parts.append(
            Markup('<line class="mark" x1="{0}" x2="{0}" y1="0" y2="16"/>').format(x(mark))
        )
    return _svg("bar" if low is not None else "bar alone", "", label, parts)


class Part(NamedTuple):
    """One part of a stacked bar: `share` is 0-1, `tone` its CSS class."""

    name: str
    share: float
    tone: str


def stacked(parts: Sequence[Part], *, label: str) -> Markup:
    """A stacked bar of total length 1, left to right; wide parts are labelled with their share."""
    drawn, start = [], 0.0
    for part in parts:
        place = f"{100 * start:.2f}%", f"{100 * part.share:.2f}%"
        text = (
            Markup('<text x="50%" y="17">{:.0f}</text>').format(100 * part.share)
            if part.share >= 0.06  # ours: two digits fit on a phone screen
            else ""
        )
        drawn.append(
            Markup(
                '<svg x="{}" width="{}" class="part {}"><title>{} {}</title><rect/>{}</svg>'
            ).format(*place, part.tone, inert(part.name), percent(part.share), text)
        )
        start += part.share
    return _svg("stacked", "", label, drawn)


class Cell(NamedTuple):
    """One cell of a heat map; `residual` is None if undefined."""

    residual: float | None
    significant: bool
    title: str


def residual_tone(residual: float | None) -> str:
    """CSS class of a residual: `n4` .. `n1`, `z`, `p1` .. `p4`, by `RESIDUAL_STEPS`."""
    if residual is None:
        return "void"
    step = sum(abs(residual) >= bound for bound in RESIDUAL_STEPS)
    return "z" if step == 0 else f"{'p' if residual > 0 else 'n'}{step}"


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[int, int], Cell],
    *,
    label: str,
    kinds: tuple[str, str] = ("", ""),
) -> Markup:
    """Residuals as coloured cells, `cells[row, column]`; absent cells are empty.

    `kinds` say what rows and columns are names of, for links. Significant cells are bold. The size
    in pixels is fixed: the figure scrolls on a narrow screen.
    """
    cell_w, cell_h = 58, 28  # as in the style sheet
    heads, sides = [_short(name, 34) for name in columns], [_short(name, 34) for name in rows]
    # 13 px type: a letter is about 7 px wide; of a rotated letter, 4.4 px high and 5.6 px wide
    left = round(14 + 7.1 * max(map(len, sides), default=0))
    top = round(28 + 4.4 * max(map(len, heads), default=0))
    right = max((round(5.6 * len(h)) - cell_w * j for j, h in enumerate(heads[::-1])), default=0)
    width, height = left + cell_w * len(columns) + max(right, 0), top + cell_h * len(rows) + 2
    parts = []
    for j, name in enumerate(columns):
        x = left + cell_w * j + cell_w / 2
        parts.append(
            Markup(
                '<text class="head" data-f="{}" transform="translate({:.0f} {}) rotate(-38)">{}'
                "<title>{}</title></text>"
            ).format(kinds[1], x, top - 10, heads[j], inert(name))
        )
    for i, name in enumerate(rows):
        y = top + cell_h * i
        parts.append(
            Markup(
                '<text class="side" data-f="{}" x="{}" y="{}" text-anchor="end">{}'
                "<title>{}</title></text>"
            ).format(kinds[0], left - 10, y + 18, sides[i], inert(name))
        )
        shown = [(j, cell) for j in range(len(columns)) if (cell := cells.get((i, j))) is not None]
        drawn = Markup("").join(_heat_cell(cell, left + cell_w * j) for j, cell in shown)
        parts.append(Markup('<g class="row" transform="translate(0 {})">{}</g>').format(y, drawn))
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return _svg("heat", size, label, parts)


def _heat_cell(cell: Cell, x: int) -> Markup:
    """The style sheet has the size of the rectangle and the place of the number, to save space."""
    return Markup(
        '<g class="{}{}" transform="translate({})"><title>{}</title><rect/><text>{}</text></g>'
    ).format(
        residual_tone(cell.residual),
        " sure" if cell.significant else "",
        x,
        inert(cell.title),
        signed(cell.residual, 0 if abs(cell.residual or 0) >= 100 else 1),
    )


@dataclass(frozen=True, slots=True)
class Slab:
    """A node of an icicle: `start` and `share` are fractions (0-1) of the total, depth 0 = top."""

    name: str
    depth: int
    start: float
    share: float
    tone: int
    kind: str = ""  # what its name is of, for links


def icicle(slabs: Sequence[Slab], *, label: str) -> Markup:
    """A tree as columns, top level on the left; the height of a node is its share.

    Names are clipped at the edge of the column, and omitted if the node is lower than a line.
    """
    if not slabs:
        return Markup("")
    depths = 1 + max(slab.depth for slab in slabs)
    rows = max(sum(slab.depth == depth for slab in slabs) for depth in range(depths))
    height = min(max(22 * rows, 320), 760)
    column = 100 / (depths - 0.35)  # the first column has few, short names, so it is narrower
    parts = []
    for slab in slabs:
        left = column * (slab.depth - 0.35) if slab.depth else 0.0
        parts.append(
            Markup(
                '<svg class="slab hue{} deep{}" data-f="{}" x="{:.3f}%" y="{:.2f}" width="{:.3f}%" '
                'height="{:.2f}"><title>{} {}</title><rect width="100%" height="100%"/>{}</svg>'
            ).format(
                slab.tone % 6,
                min(slab.depth, 3),
                slab.kind,
                left,
                slab.start * height,
                column if slab.depth else 0.65 * column,
                slab.share * height,
                inert(slab.name),
                percent(slab.share),
                _slab_text(slab, slab.share * height),
            )
        )
    return _svg("icicle", f'width="100%" height="{height}"', label, parts)


def _slab_text(slab: Slab, tall: float) -> Markup:
    """The name, in two lines where it is long and there is room, and the share."""
    if tall < MIN_TEXT_PX:
        return Markup("")
    name, number = inert(slab.name), percent(slab.share)
    if tall < 2.5 * MIN_TEXT_PX:
        line = '<text class="name" x="10" y="{:.1f}">{}<tspan class="num" dx="8">{}</tspan></text>'
        return Markup(line).format(tall / 2 + 4.5, name, number)
    lines = wrap(name, NAME_LETTERS)[:2] if tall >= 4 * MIN_TEXT_PX and not slab.depth else [name]
    drawn = [
        Markup('<text class="name" x="10" y="{}">{}</text>').format(18 + 16 * place, line)
        for place, line in enumerate(lines)
    ]
    end = Markup('<text class="num" x="10" y="{}">{}</text>').format(18 + 16 * len(lines), number)
    return Markup("").join([*drawn, end])


def _short(name: str, limit: int) -> str:
    name = inert(name)
    return name if len(name) <= limit else name[: limit - 1].rstrip() + "…"
