"""Which hidden counts of a tree's levels the public numbers keep narrow.

The sum of each line is public, and a parent's cell lies between the largest and the sum of its
children's. A hidden count is wide if other tables with the same public numbers give it enough
conversations, or none. Most counts are shown to be wide by a move: a node takes conversations in
one column and gives them in another, and a sibling does the opposite, or its parent follows. For
the others a solver looks for a table in the counts around them, while all further ones stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from vitw_ray.gate import Mask
from vitw_ray.statistics.contingency import Integers

Shift = NDArray[np.integer]
Cell = tuple[int, int, int]
"""Level, node and column."""
Line = tuple[int, int]
_MOST = 10_000  # ours: a move of more is not needed
_MOST_AROUND = 2000  # ours: counts that the solver may move


@dataclass(frozen=True)
class Tree:
    """Counts of a tree's levels, and which a reader does not know: hidden ones and zeros."""

    levels: Sequence[Integers]
    parents: Sequence[NDArray[np.integer]]
    unknown: Sequence[Mask]

    @cached_property
    def _families(self) -> list[list[NDArray[np.intp]]]:
        """Children of each node of each level but the lowest."""
        found = []
        for above, parent in zip(self.levels[1:], self.parents, strict=True):
            order = np.argsort(parent, kind="stable")
            ends = np.searchsorted(parent[order], np.arange(1, len(above)))
            found.append(np.split(order, ends))
        return found

    def children(self, level: int, node: int) -> NDArray[np.intp]:
        """Children of a node, on the level below."""
        if not level:
            return np.zeros(0, np.intp)
        return self._families[level - 1][node]

    def narrow(self, targets: Sequence[Mask], least: int) -> list[Cell]:
        """Targets that no table was found for in which they have `least` conversations or none."""
        left = _without_move(self, targets, least) if self.levels[0].size else []
        return [cell for cell in left if not self.is_wide(cell, least)]

    def is_wide(self, cell: Cell, least: int) -> bool:
        """Whether some table has enough conversations in a cell, or none."""
        near = self.near(cell)
        return _is_wide(self, cell, near, least) or _is_wide(self, cell, self.around(near), least)

    def near(self, cell: Cell) -> set[Line]:
        """The line of a cell, those of its children, its parent and its siblings."""
        level, node, _ = cell
        lines = {(level, node)} | {(level - 1, n) for n in self.children(level, node).tolist()}
        if level < len(self.levels) - 1:
            parent = int(self.parents[level][node])
            siblings = self.children(level + 1, parent).tolist()
            lines |= {(level + 1, parent), *((level, n) for n in siblings)}
        return lines

    def around(self, lines: set[Line]) -> set[Line]:
        """Lines, their parents and their children, up to some hundred."""
        while True:
            more = set(lines)
            for level, node in lines:
                more |= {(level - 1, n) for n in self.children(level, node).tolist()}
                if level < len(self.levels) - 1:
                    more.add((level + 1, int(self.parents[level][node])))
            if more == lines or len(more) * self.levels[0].shape[1] > _MOST_AROUND:
                return lines
            lines = more


def _without_move(tree: Tree, targets: Sequence[Mask], least: int) -> list[Cell]:
    """Targets for which no simple move is found."""
    shifts, sums = _shifts(tree)
    left: list[Cell] = []
    follow: dict[int, Shift] = {}
    for level in range(len(tree.levels) - 1, -1, -1):
        n, further = tree.levels[level], {}
        for node, here in enumerate(targets[level]):
            own = shifts[level].get(node)
            counts, xs = n[node], np.flatnonzero(here)
            if own is None and not xs.size:
                continue
            rows = np.arange(counts.size) if own is not None else xs
            takes, gives = (own, own.T) if own is not None else _leaf(tree, node, rows)
            if level == len(tree.levels) - 1:
                rise = fall = np.full((rows.size, counts.size), 1 << 20)
            else:
                parent = int(tree.parents[level][node])
                above = tree.levels[level + 1][parent]
                family = tree.children(level + 1, parent)
                spare, room = n[family].sum(axis=0) - above, above - counts
                left_over = above - n[family[family != node]].max(axis=0, initial=0)
                siblings = sums[level + 1][parent]
                # siblings give column x and take y, or the sum over children may fall in y
                rise = np.minimum(siblings.T[rows] - gives, left_over) + spare
                fall = np.minimum(siblings[rows] - takes, left_over[rows, None])
                fall += spare[rows, None]
                # or the parent takes and gives the same
                up, down = follow[parent][rows], follow[parent].T[rows]
                rise = np.maximum(np.minimum(rise, room[rows, None]), np.minimum(up, left_over))
                fall = np.maximum(np.minimum(fall, room), np.minimum(down, left_over[rows, None]))
            up, down = np.minimum(takes, rise), np.minimum(gives, fall)
            if own is not None:
                unknown = tree.unknown[level][node]
                both = np.logical_and.outer(unknown, unknown)
                most = np.minimum(counts, _MOST)
                further[node] = np.where(both, np.minimum(rise, most), 0).astype(np.int16)
            at = np.searchsorted(rows, xs)
            up[at, xs] = down[at, xs] = 0
            need = np.maximum(least, counts[xs] + 1) - counts[xs]
            wide = (up[at].max(axis=1) >= need) | (down[at].max(axis=1) >= counts[xs])
            left += [(level, node, x) for x in xs[~wide].tolist()]
        follow = further
    return left


def _leaf(tree: Tree, node: int, rows: NDArray[np.intp]) -> tuple[Shift, Shift]:
    """What a node of the lowest level can take in some columns, and give in them."""
    unknown = tree.unknown[0][node]
    held = np.where(unknown, tree.levels[0][node], 0)
    return np.outer(unknown[rows], held), np.outer(held[rows], unknown)


def _shifts(tree: Tree) -> tuple[list[dict[int, Shift]], list[dict[int, Shift]]]:
    """What each node above the lowest level can take in one column and give in another.

    The nodes below it follow. Also the sums over each node's children.
    """
    shifts: list[dict[int, Shift]] = [{} for _ in tree.levels]
    sums: list[dict[int, Shift]] = [{} for _ in tree.levels]
    for level in range(1, len(tree.levels)):
        for node, counts in enumerate(tree.levels[level]):
            own = tree.children(level, node)
            parts, known = tree.levels[level - 1][own], ~tree.unknown[level - 1][own]
            if level == 1:
                held = np.where(known, 0, parts).astype(np.float32)
                total = ((~known).T.astype(np.float32) @ held).astype(np.int32)
            else:
                total = np.zeros((counts.size, counts.size), np.int32)
                for child in own.tolist():
                    total += shifts[level - 1][child]
            sums[level][node] = total
            free = np.minimum.outer(
                parts.sum(axis=0) - counts, counts - parts.max(axis=0, initial=0)
            )
            fixed = np.where(known, parts, 0).max(axis=0, initial=0)
            able = np.minimum(np.maximum(total, free), counts - fixed)
            unknown = tree.unknown[level][node]
            both = np.logical_and.outer(unknown, unknown)
            shifts[level][node] = np.where(both, np.minimum(able, _MOST), 0).astype(np.int16)
    return shifts, sums


def _is_wide(tree: Tree, cell: Cell, lines: set[Line], least: int) -> bool:
    """Whether a table has enough conversations in a cell, or none; what is far from it stays."""
    level, node, column = cell
    top = len(tree.levels) - 1
    places: dict[Cell, int] = {}
    for k, line in sorted(lines):
        for c in np.flatnonzero(tree.unknown[k][line]).tolist():
            places[k, line, c] = len(places)
    rows, ats, factors = [], [], []
    low, high = [], []

    def add(terms: list[tuple[Cell, int]], least_sum: float, most_sum: float) -> None:
        rest = sum(
            f * int(tree.levels[k][r, c]) for (k, r, c), f in terms if (k, r, c) not in places
        )
        some = [(places[one], f) for one, f in terms if one in places]
        if some:
            rows.extend([len(low)] * len(some))
            ats.extend(place for place, _ in some)
            factors.extend(float(f) for _, f in some)
            low.append(least_sum - rest)
            high.append(most_sum - rest)

    columns = range(tree.levels[0].shape[1])
    for k, line in lines:
        total = int(tree.levels[k][line].sum())
        add([((k, line, c), 1) for c in columns], total, total)
    families = {(k, line) for k, line in lines if k}
    families |= {(k + 1, int(tree.parents[k][line])) for k, line in lines if k < top}
    for k, line in families:
        parts = tree.children(k, line).tolist()
        for c in columns:
            whole = (k, line, c)
            add([(whole, -1), *(((k - 1, part, c), 1) for part in parts)], 0, np.inf)
            for part in parts:
                if whole in places or (k - 1, part, c) in places:
                    add([(whole, 1), ((k - 1, part, c), -1)], 0, np.inf)
    matrix = csr_array((factors, (rows, ats)), shape=(len(low), len(places)))
    sums = LinearConstraint(matrix, np.array(low), np.array(high))  # type: ignore[arg-type]
    aim = np.zeros(len(places))
    enough = max(least, int(tree.levels[level][node, column]) + 1)
    for sign in (-1.0, 1.0):
        aim[places[cell]] = sign
        found = milp(
            aim,
            integrality=np.ones(len(places)),
            bounds=Bounds(0, 1e9),
            constraints=sums,
            options={"presolve": False},  # with it, HiGHS returns worse counts
        )
        value = None if found.x is None else round(abs(found.fun))
        if value is not None and (value >= enough if sign < 0 else value == 0):
            return True
    return False
