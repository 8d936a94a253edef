"""Which hidden counts of a tree's levels the public numbers keep narrow.

The sum of each line is public, and a parent's cell lies between the largest and the sum of its
children's. A hidden count is wide if other tables with the same public numbers give it enough
conversations, or none. Most counts are shown to be wide by a move: a node takes conversations in
one column and gives them in another, and a sibling does the opposite, or its parent follows. For
the others a solver looks for a table in the counts around them, while all further ones stay.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
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
_NO_BOUND = 1e9
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
            rise, fall = _support(tree, (level, node), rows, (takes, gives), (sums, follow))
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


def _support(
    tree: Tree,
    line: Line,
    rows: NDArray[np.intp],
    own: tuple[Shift, Shift],
    others: tuple[list[dict[int, Shift]], dict[int, Shift]],
) -> tuple[Shift, Shift]:
    """By how much column x of a node can rise and y fall beside its siblings, and the reverse.

    `own` is what the node takes and gives, `others` the sums over children, and what the nodes of
    the level above can take and give.
    """
    (level, node), (takes, gives), (sums, follow) = line, own, others
    n = tree.levels[level]
    if level == len(tree.levels) - 1:
        free = np.full((rows.size, n.shape[1]), np.iinfo(np.int64).max)
        return free, free
    parent = int(tree.parents[level][node])
    above, family = tree.levels[level + 1][parent], tree.children(level + 1, parent)
    spare, room = n[family].sum(axis=0) - above, above - n[node]
    largest = above - n[family[family != node]].max(axis=0, initial=0)
    siblings = sums[level + 1][parent]
    # siblings do the opposite, or the sum over children falls
    rise = np.minimum(siblings.T[rows] - gives, largest) + spare
    fall = np.minimum(siblings[rows] - takes, largest[rows, None]) + spare[rows, None]
    # or the parent does the same
    up, down = follow[parent][rows], follow[parent].T[rows]
    rise = np.maximum(np.minimum(rise, room[rows, None]), np.minimum(up, largest))
    fall = np.maximum(np.minimum(fall, room), np.minimum(down, largest[rows, None]))
    return rise, fall


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


@dataclass
class _Sums:
    """Sums over unknown counts, with their bounds."""

    tree: Tree
    places: dict[Cell, int]
    terms: list[tuple[int, int, float]] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def add(self, factors: dict[Cell, int], low: float, high: float) -> None:
        """State the bounds of a sum. Counts that are not among the places stay as they are."""
        some = {cell: factor for cell, factor in factors.items() if cell in self.places}
        if not some:
            return
        rest = sum(
            factor * int(self.tree.levels[level][node, column])
            for (level, node, column), factor in factors.items()
            if (level, node, column) not in some
        )
        self.terms += [(len(self.low), self.places[cell], float(f)) for cell, f in some.items()]
        self.low.append(low - rest)
        self.high.append(high - rest)

    def constraint(self) -> LinearConstraint:
        """All sums."""
        rows, places, factors = zip(*self.terms, strict=True)
        matrix = csr_array((factors, (rows, places)), shape=(len(self.low), len(self.places)))
        return LinearConstraint(matrix, np.array(self.low), np.array(self.high))  # type: ignore[arg-type]


def _sums(tree: Tree, lines: set[Line]) -> _Sums:
    """What the public numbers say of the unknown counts of some lines."""
    unknown = [
        (level, node, column)
        for level, node in sorted(lines)
        for column in np.flatnonzero(tree.unknown[level][node]).tolist()
    ]
    sums = _Sums(tree, {cell: place for place, cell in enumerate(unknown)})
    columns = range(tree.levels[0].shape[1])
    for level, node in sorted(lines):
        total = int(tree.levels[level][node].sum())
        sums.add({(level, node, column): 1 for column in columns}, total, total)
    top = len(tree.levels) - 1
    families = {line for line in lines if line[0]}
    families |= {(at + 1, int(tree.parents[at][node])) for at, node in lines if at < top}
    for level, node in sorted(families):
        for column in columns:
            whole = (level, node, column)
            parts = [(level - 1, n, column) for n in tree.children(level, node).tolist()]
            sums.add({**dict.fromkeys(parts, 1), whole: -1}, 0, np.inf)
            for part in parts:
                sums.add({whole: 1, part: -1}, 0, np.inf)
    return sums


def _is_wide(tree: Tree, cell: Cell, lines: set[Line], least: int) -> bool:
    """Whether a table has enough conversations in a cell, or none; further lines stay."""
    sums = _sums(tree, lines)
    constraint, places = sums.constraint(), sums.places
    enough = max(least, int(tree.levels[cell[0]][cell[1:]]) + 1)
    aim = np.zeros(len(places))
    for sign in (-1.0, 1.0):
        aim[places[cell]] = sign
        found = milp(
            aim,
            integrality=np.ones(len(places)),
            bounds=Bounds(0, _NO_BOUND),
            constraints=constraint,
            options={"presolve": False},  # with it, HiGHS calls worse counts the most or the least
        )
        if found.x is not None:
            count = round(abs(found.fun))
            if count == 0 or (sign < 0 and count >= enough):
                return True
    return False
