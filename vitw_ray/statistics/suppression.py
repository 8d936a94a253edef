"""Which cells of a table are not written, so that none rests on fewer conversations than a label.

Cells with 1 to `least` - 1 conversations are hidden. Where cells add up to a number that is public,
a hidden cell could be found by subtraction. Such a line also hides its smaller cells, zeros
included, and the smallest of the others, until at least two cells that are not 0 are hidden and
they have `least` conversations together. A hidden cell then may be 0, and may be larger than it is.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from vitw_ray.gate import Mask
from vitw_ray.statistics.contingency import Integers


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
