"""Which cells are not written of a tree's levels, whose tables say something about each other.

A parent's count lies between the largest and the sum of its children's, so that what one level
hides, the next may give away. Within a level the rules are those of `suppression`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vitw_ray.gate import Mask
from vitw_ray.statistics.contingency import Integers
from vitw_ray.statistics.level_bounds import Cell, Tree
from vitw_ray.statistics.suppression import hide_lines, is_small

_TRIED = 20  # ours: cells that are tried, one at a time, to widen another
_WIDE = 512  # ours: more columns are looked at in groups; all pairs of 512 take 0.5 GB
_FREQUENT, _OTHERS = 64, 192  # ours: columns of a group


def hide_levels(
    levels: Sequence[Integers],
    parents: Sequence[NDArray[np.integer]],
    least: int,
    hidden: Sequence[Mask] | None = None,
) -> list[Mask]:
    """Cells to hide in the tables of a tree's levels, whose lines add up to public numbers.

    A parent's cell lies between the largest and the sum of its children's. So none is public whose
    only hidden child it would give away, and none is hidden that its children give away.
    Where several lines together keep a count below `least`, and above 0, further cells are hidden.
    Of many columns, a group is looked at while all others stay: whoever does not know a cell within
    its group does not know it at all.

    Args:
        levels: [nodes, cells] of each level, from the lowest.
        parents: of the nodes of each level but the highest.
        least: conversations that a cell needs.
        hidden: cells that are hidden for another reason, of each level.
    """
    given = hidden if hidden is not None else [np.zeros(n.shape, bool) for n in levels]
    masks = [hide_lines(n, least, mask) for n, mask in zip(levels, given, strict=True)]
    targets = [
        (is_small(n, least) & (n.sum(axis=1, keepdims=True) >= least))
        | (mask & (n > 0) & (n.sum(axis=1, keepdims=True) > np.maximum(n, least - 1)))
        for n, mask in zip(levels, given, strict=True)
    ]
    groups = _column_groups(levels[-1]) if levels else []
    while True:
        _hide_with_children(levels, parents, least, masks)
        if not any([_widen_all(levels, parents, least, masks, targets, g) for g in groups]):
            return masks


def _column_groups(top: Integers) -> list[tuple[Integers, int]]:
    """Groups of columns, each with the number of its own.

    The own ones come first. The others are the most frequent, as they can give and take most.
    """
    columns = top.shape[1]
    if columns <= _WIDE:
        return [(np.arange(columns), columns)]
    order = np.argsort(-top.sum(axis=0), kind="stable")
    frequent, others = np.sort(order[:_FREQUENT]), np.sort(order[_FREQUENT:])
    parts = np.split(others, np.arange(_OTHERS, others.size, _OTHERS))
    own = [(np.append(part, frequent), part.size) for part in parts]
    return [(np.append(frequent, parts[0]), _FREQUENT), *own]


def _widen_all(
    levels: Sequence[Integers],
    parents: Sequence[NDArray[np.integer]],
    least: int,
    masks: list[Mask],
    targets: Sequence[Mask],
    group: tuple[Integers, int],
) -> bool:
    """Hide more for the narrow cells of a group's own columns. Returns whether there were any."""
    columns, own = group
    counts = [np.ascontiguousarray(n[:, columns]) for n in levels]
    some = [np.ascontiguousarray(mask[:, columns]) for mask in masks]
    wanted = [np.ascontiguousarray(target[:, columns]) for target in targets]
    for target in wanted:
        target[:, own:] = False
    unknown = [mask | (n == 0) for mask, n in zip(some, counts, strict=True)]
    tree = Tree(counts, parents, unknown)
    widened = any([_widen(tree, cell, some, least) for cell in tree.narrow(wanted, least)])
    if widened:
        for mask, part in zip(masks, some, strict=True):
            mask[:, columns] |= part
    return widened


def _hide_with_children(
    levels: Sequence[Integers],
    parents: Sequence[NDArray[np.integer]],
    least: int,
    masks: list[Mask],
) -> None:
    """Hide more until no hidden cell is the only one among a parent and its children."""
    while True:
        before = sum(int(mask.sum()) for mask in masks)
        for below, parent in enumerate(parents):
            children, above = levels[below], below + 1
            found = np.zeros(levels[above].shape, np.int64)
            np.add.at(found, parent, masks[below] & (children > 0))
            masks[above] = hide_lines(levels[above], least, masks[above] | (found == 1))
            lone = masks[above] & (levels[above] > 0) & (found == 0)
            for node, cell in np.argwhere(lone).tolist():
                some = np.flatnonzero((parent == node) & (children[:, cell] > 0))
                if some.size:
                    masks[below][some[children[some, cell].argmin()], cell] = True
            masks[below] = hide_lines(children, least, masks[below])
        if sum(int(mask.sum()) for mask in masks) == before:
            return


def _widen(tree: Tree, cell: Cell, masks: list[Mask], least: int) -> bool:
    """Hide a further cell for one that is narrow. Returns whether there was one.

    It is the smallest that helps, in the line of the cell, else in those of its parent and
    siblings, else of its children. If none helps alone, it is the first.
    """
    if tree.is_wide(cell, least):
        return True  # a cell that is hidden since helps it
    lines = sorted(tree.near(cell), key=lambda line: (line != cell[:2], -line[0], line[1]))
    choices = [
        (level, node, column)
        for level, node in lines
        for column in np.argsort(tree.levels[level][node], kind="stable").tolist()
        if not tree.unknown[level][node, column]
    ]
    for level, node, column in choices[:_TRIED]:
        tree.unknown[level][node, column] = True
        if tree.is_wide(cell, least):
            masks[level][node, column] = True
            return True
        tree.unknown[level][node, column] = False
    for level, node, column in choices[:1]:
        tree.unknown[level][node, column] = masks[level][node, column] = True
    return bool(choices)
