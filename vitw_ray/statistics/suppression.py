"""Which cells of a table are not written, so that none rests on fewer conversations than a label.

Cells with 1 to `least` - 1 conversations are hidden. Where cells add up to a number that is public,
a hidden cell could be found by subtraction. Such a line also hides its smaller cells, zeros
included, and the smallest of the others, until at least two cells that are not 0 are hidden and
they have `least` conversations together. A hidden cell then may be 0, and may be larger than it is.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from vitw_ray.gate import Mask
from vitw_ray.statistics.contingency import Integers
from vitw_ray.statistics.level_bounds import Cell, Tree

_TRIED = 20  # ours: cells that are tried, one at a time, to widen another
_WIDE = 512  # ours: more columns are looked at in groups; all pairs of 512 take 0.5 GB
_FREQUENT, _OTHERS = 64, 192  # ours: columns of a group


def is_small(counts: ArrayLike, least: int) -> Mask:
    """Whether a cell rests on some conversations, and on too few."""
    counts = np.asarray(counts)
    return (counts > 0) & (counts < least)


def hide_lines(counts: Integers, least: int, hidden: Mask | None = None) -> Mask:
    """Cells to hide if each line of the last axis adds up to a public number.

    Args:
        counts: [lines, cells].
        least: conversations that a cell needs.
        hidden: cells that are hidden for another reason.
    """
    small = is_small(counts, least)
    mask = small if hidden is None else small | hidden
    mask = mask | (small.any(axis=1, keepdims=True) & (counts < least))
    while True:
        held = np.where(mask, counts, 0)
        exposed = held.any(axis=1) & (
            (held.sum(axis=1) < least) | (np.count_nonzero(held, axis=1) < 2)
        )
        open_cells = np.where(mask | (counts == 0), np.iinfo(np.int64).max, counts)
        (lines,) = np.nonzero(exposed & ~mask.all(axis=1))
        if not lines.size:
            return mask
        smallest = open_cells[lines].argmin(axis=1)
        has_other = open_cells[lines, smallest] < np.iinfo(np.int64).max
        mask[lines[has_other], smallest[has_other]] = True
        mask[lines[~has_other]] = True


def hide_table(
    counts: Integers, least: int, hidden: Mask | None = None, most: Integers | None = None
) -> Mask:
    """As `hide_lines`, if the columns add up to public numbers as well.

    `most` is what each cell holds at most, where this is public too.
    """
    given = np.zeros(counts.shape, bool) if hidden is None else hidden & (counts > 0)
    mask = hide_lines(counts, least, hidden)
    while True:
        across = hide_lines(counts.T, least, mask.T).T
        wider = hide_lines(counts, least, across)
        if not np.array_equal(wider, mask):
            mask = wider
        elif not _hide_beside_narrow(counts, least, mask, given, most):
            return mask


def _hide_beside_narrow(
    counts: Integers, least: int, mask: Mask, given: Mask, most: Integers | None
) -> bool:
    """Hide more if the sums keep a small cell below `least`, or give away a cell of `given`.

    Returns whether anything was added to the mask.
    """
    for row, column in np.argwhere(given | (mask & is_small(counts, least))).tolist():
        enough = max(least, int(counts[row, column]) + 1)
        if counts[row].sum() < enough or counts[:, column].sum() < enough:
            continue  # the sum itself says it, whatever is hidden
        if counts[row, column] + _room(counts, mask, row, column, enough, most) >= enough:
            continue
        for line, cells in ((mask[row], counts[row]), (mask[:, column], counts[:, column])):
            if (~line & (cells > 0)).any():
                line[np.where(line | (cells == 0), np.iinfo(np.int64).max, cells).argmin()] = True
                return True
        if not mask.all():
            mask[:] = True
            return True
    return False


def _room(
    counts: Integers, mask: Mask, row: int, column: int, enough: int, most: Integers | None
) -> int:
    """By how much a hidden cell can grow while the sums and the open cells stay.

    What it takes from its line and column, other hidden cells give to each other: the most is a
    flow from the line to the column. Cycles over four cells come first: they mostly do.
    """
    down, across = (n.copy() for n in (mask[:, column], mask[row]))
    down[row] = across[column] = False
    (rows,), (columns,) = np.nonzero(down), np.nonzero(across)
    taken = np.minimum.outer(counts[rows, column], counts[row, columns])
    if most is not None:
        taken = np.minimum(taken, (most - counts)[np.ix_(rows, columns)])
    cycles = int(np.where(mask[np.ix_(rows, columns)], taken, 0).max(initial=0))
    if counts[row, column] + cycles >= enough:
        return cycles
    hidden = mask.copy()
    hidden[row, column] = False
    r, c = np.nonzero(hidden)
    size, ends = sum(counts.shape), c + counts.shape[0]
    more = (
        np.full(r.size, enough) if most is None else np.minimum(most[r, c] - counts[r, c], enough)
    )
    limits = np.concatenate([np.minimum(counts[r, c], enough), more])
    graph = csr_array(
        (limits.astype(np.int32), (np.append(r, ends), np.append(ends, r))), shape=(size, size)
    )
    return int(maximum_flow(graph, row, counts.shape[0] + column).flow_value)


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


def hide_parts(
    whole: Integers,
    parts: Integers,
    least: int,
    hidden_whole: Mask | None = None,
    hidden_parts: Mask | None = None,
) -> Mask:
    """Cells to hide in `parts` [cells, groups], whose groups add up to `whole` [cells].

    The cells of each group, and those of `whole`, also add up to public numbers. `hidden_whole` and
    `hidden_parts` are hidden for another reason.

    What is in no group, such as conversations of an unknown assistant, is one more group, which is
    found by subtraction. If it is too small to be shown, the smallest group is not shown either.
    """
    rest = whole - parts.sum(axis=1)
    if rest.any():
        return _hide_beside_rest(whole, parts, least, (hidden_whole, hidden_parts), rest)
    hidden = np.zeros(parts.shape, bool) if hidden_parts is None else hidden_parts.copy()
    of_whole = None if hidden_whole is None else hidden_whole[None, :]
    (rows,) = np.nonzero(hide_lines(whole[None, :], least, of_whole)[0])
    if parts.shape[1] == 1:
        hidden[rows] = True
        return hide_lines(parts.T, least, hidden.T).T
    for row in rows.tolist():
        (some,) = np.nonzero(parts[row])
        if some.size:
            hidden[row, some[parts[row, some].argmin()]] = True
    return hide_table(parts, least, hidden)


def _hide_beside_rest(
    whole: Integers,
    parts: Integers,
    least: int,
    hidden: tuple[Mask | None, Mask | None],
    rest: Integers,
) -> Mask:
    """As `hide_parts`, where the conversations of `rest` are in no group.

    Only a group that is large enough stands beside the others as it is. The sum of its cells is
    public as well: that of all groups is.
    """
    of_whole, of_parts = hidden
    of_parts = np.zeros(parts.shape, bool) if of_parts is None else of_parts.copy()
    sizes = parts.sum(axis=0)
    open_sizes = np.where(sizes > 0, sizes, np.iinfo(np.int64).max)
    while rest.sum() < least and (open_sizes < np.iinfo(np.int64).max).any():
        smallest = int(open_sizes.argmin())
        rest = rest + parts[:, smallest]
        open_sizes[smallest] = np.iinfo(np.int64).max
        of_parts[:, smallest] = True
    merged = open_sizes == np.iinfo(np.int64).max
    both = np.column_stack([np.where(merged & (sizes > 0), 0, parts), rest])
    given = np.column_stack([of_parts & ~merged, np.zeros(rest.size, bool)])
    found = hide_parts(whole, both, least, of_whole, given)[:, :-1]
    return found | of_parts | (merged & (sizes > 0))


def hide_splits(one: Integers, other: Integers, least: int, hidden: Mask) -> Mask:
    """Cells to hide where each is split in two numbers, and so is the sum of each line.

    Args:
        one: [lines, 1 + cells], the first column the sum of the line.
        other: the same for the second number.
        least: conversations that each number needs, unless it is 0.
        hidden: cells that are hidden for another reason.
    """
    mask = hidden | is_small(one, least) | is_small(other, least)
    cells, sums = mask[:, 1:], mask[:, 0]
    both = one + other
    while cells.size:
        held = [np.where(cells, n[:, 1:], 0) for n in (one, other)]
        exposed = np.any([is_small(n.sum(axis=1), least) for n in held], axis=0)
        exposed |= np.count_nonzero(held[0] + held[1], axis=1) == 1
        open_cells = np.where(cells | (both[:, 1:] == 0), np.iinfo(np.int64).max, both[:, 1:])
        (lines,) = np.nonzero(exposed & ~sums & (open_cells.min(axis=1) < np.iinfo(np.int64).max))
        if not lines.size:
            return mask
        cells[lines, open_cells[lines].argmin(axis=1)] = True
    return mask


def numbers(mask: Mask) -> NDArray[np.intp]:
    """Indices of the rows of a table that are written, from a mask in the order of the table."""
    return np.flatnonzero(~mask.ravel())
