"""TreeBH: false discoveries controlled over the tree of values.

The procedure is that of Bogomolov, Peterson, Benjamini and Sabatti (Biometrika, 2021). Every row of
`associations`, on every level, is one test. Tests form families along the hierarchy: the columns of
a matrix; within a column, the clusters of the top level; within a cluster, its children and the
test of the cluster as a whole. A cluster, and a column, stands for "some test inside": its p-value
is Simes' combination of its family. Families are tested from the top, each by Benjamini-Hochberg,
and only inside what was rejected. The level of a family is that of the whole, times the shares
rejected in the families above it.

A value therefore has few competitors where its cluster goes with the column. The smallest level at
which a test is rejected is its `q_tree`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.intervals import Floats

MOST = 0.2  # ours: above, q is not computed, as nobody would take such a pair for a discovery


@dataclass(frozen=True)
class _Steps:
    """A level q -> the product of the shares rejected in some families; a step function."""

    starts: Floats
    shares: Floats

    def least_level(self, bounds: Floats) -> Floats:
        """The smallest q at which q times the share reaches each bound."""
        ends = np.append(self.starts[1:], np.inf)
        segment = np.searchsorted(ends * self.shares, bounds, side="right")
        segment = np.minimum(segment, self.starts.size - 1)
        return np.maximum(self.starts[segment], bounds / self.shares[segment])

    def times(self, levels: Floats, size: int) -> "_Steps":
        """Times the share of `size` members, of which `levels` are rejected at these."""
        levels = np.sort(levels)
        starts = np.unique(np.concatenate([levels, self.starts[self.starts > levels[0]]]))
        rejected = np.searchsorted(levels, starts, side="right") / size
        above = self.shares[np.searchsorted(self.starts, starts, side="right") - 1]
        return _Steps(starts, above * rejected)


_EVERYTHING = _Steps(np.zeros(1), np.ones(1))


def q_tree(p: Sequence[Floats], parents: Sequence[NDArray[np.integer]]) -> list[Floats]:
    """The level at which TreeBH rejects each test, in the shapes of `p`; NaN above `MOST`.

    Args:
        p: by level of the tree, from the labels up: p-values [nodes, columns], NaN if untested.
        parents: by level but the top one: the parent of each node, a row of the next level.
    """
    forest = _Forest.of(p, parents)
    found = [np.full(level.shape, np.nan) for level in p]
    levels = _EVERYTHING.least_level(forest.columns)
    tested = int(np.sum(~np.isnan(forest.columns)))
    for column in np.flatnonzero(levels <= MOST).tolist():
        above = _EVERYTHING.times(levels[levels <= MOST], tested)
        forest.descend(len(p), 0, column, levels[column], above, found)
    return found


@dataclass(frozen=True)
class _Forest:
    """Adjusted p-values of all families.

    `members[level][node]` are the nodes of the level below in the family of a node; one level above
    the top, node 0 is a whole column. `children[level]` and `whole[level]` are the adjusted p-value
    of each node, within the family it is in, and of its own test within its own family.
    """

    members: list[list[NDArray[np.intp]]]
    children: list[Floats]
    whole: list[Floats]
    columns: Floats

    @staticmethod
    def of(p: Sequence[Floats], parents: Sequence[NDArray[np.integer]]) -> "_Forest":
        """Adjust every family, from the bottom up."""
        members: list[list[NDArray[np.intp]]] = [[]]
        children, whole = [], [np.zeros((0, 0))]
        combined = p[0]
        for level in range(1, len(p) + 1):
            is_top = level == len(p)
            parent = np.zeros(len(combined), np.intp) if is_top else np.asarray(parents[level - 1])
            nodes = 1 if is_top else len(p[level])
            order = np.argsort(parent, kind="stable")
            members.append(np.split(order, np.searchsorted(parent[order], np.arange(1, nodes))))
            adjusted = np.empty(combined.shape)
            own = np.empty((nodes, combined.shape[1]))
            above = np.empty((nodes, combined.shape[1]))
            for node, inside in enumerate(members[level]):
                tests = combined[inside]
                family = tests if is_top else np.vstack([tests, p[level][node]])
                q = adjusted_by_column(family)
                adjusted[inside] = q[: inside.size]
                if not is_top:
                    own[node] = q[-1]
                above[node] = np.fmin.reduce(q, axis=0, initial=np.nan)
            children.append(adjusted)
            whole.append(own)
            combined = above
        return _Forest(members, children, whole, adjusted_by_column(combined[0][:, None])[:, 0])

    def descend(
        self, level: int, node: int, column: int, q: float, above: _Steps, found: list[Floats]
    ) -> None:
        """Test the family of a node that is rejected at `q`, and those of what is rejected in it.

        `above` are the shares rejected in the families of the node and of all above it.
        """
        is_top = level == len(found)
        inside = self.members[level][node]
        bounds = self.children[level - 1][inside, column]
        if not is_top:
            bounds = np.append(bounds, self.whole[level][node, column])
        levels = np.maximum(above.least_level(bounds), q)
        levels[np.isnan(bounds)] = np.nan
        rejected = levels <= MOST
        if not is_top and rejected[-1]:
            found[level][node, column] = levels[-1]
        taken = inside[rejected[: inside.size]]
        if level == 1:
            found[0][taken, column] = levels[: inside.size][rejected[: inside.size]]
            return
        size = int(np.sum(~np.isnan(bounds)))
        steps = above.times(levels[rejected], size) if taken.size else above
        for child in taken.tolist():
            own = float(levels[: inside.size][inside == child][0])
            self.descend(level - 1, child, column, own, steps, found)


def adjusted_by_column(p: Floats) -> Floats:
    """Benjamini-Hochberg within each column of [tests, columns]; NaN stays, and is no test."""
    order = np.argsort(p, axis=0, kind="stable")  # NaN comes last
    ranked = np.take_along_axis(p, order, axis=0)
    tests = np.sum(~np.isnan(p), axis=0)
    q = ranked * tests / np.arange(1, len(p) + 1)[:, None]
    q = np.fmin.accumulate(q[::-1], axis=0)[::-1]
    q[np.isnan(ranked)] = np.nan
    found = np.empty(p.shape)
    np.put_along_axis(found, order, q, axis=0)
    return found
