"""Ways to decide which tests over a tree are discoveries, for the comparison of their power.

All take p-values by level of the tree, from the labels up, and its parents; all give a mask of the
discoveries by level. `tree` is TreeBH at one level, from the top down, with a choice of how the
p-values of a family are put together. Its own test of a cluster is `own`; `inside` says that some
test in the cluster, or its own, is not null, which is what planting a value in it makes true.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from vitw_ray.intervals import Floats
from vitw_ray.statistics.tree_discovery import adjusted_by_column

Levels = list[NDArray[np.bool_]]
Parents = Sequence[NDArray[np.integer]]
Combine = Callable[[Floats], Floats]
_LEAST_P = 1e-300  # below, the tangent overflows


def simes(family: Floats) -> Floats:
    """Simes' combination of each column of [tests, columns]."""
    return np.fmin.reduce(adjusted_by_column(family), axis=0, initial=np.nan)


def cauchy(family: Floats) -> Floats:
    """The Cauchy combination (ACAT; Liu and Xie, 2020) of each column of [tests, columns]."""
    p = np.clip(family, _LEAST_P, 1 - 1e-12)
    terms = np.where(p < 1e-12, 1 / (p * np.pi), np.tan((0.5 - p) * np.pi))
    tests = np.sum(~np.isnan(p), axis=0)
    mean = np.nansum(terms, axis=0) / np.maximum(tests, 1)
    found = np.where(mean > 1e12, 1 / (np.maximum(mean, 1) * np.pi), 0.5 - np.arctan(mean) / np.pi)
    return np.where(tests > 0, np.minimum(found, 1.0), np.nan)


def tree(
    p: Sequence[Floats], parents: Parents, alpha: float, combine: Combine = simes
) -> tuple[Levels, Levels]:
    """What is rejected at one level: own tests, and nodes for something inside."""
    families = [
        [np.flatnonzero(parent == node) for node in range(len(above))]
        for parent, above in zip(parents, p[1:], strict=True)
    ]
    inside_p = [p[0]]
    for level, above in enumerate(p[1:]):
        inside_p.append(
            np.stack(
                [
                    combine(np.vstack([inside_p[level][members], above[node]]))
                    for node, members in enumerate(families[level])
                ]
            )
        )
    own = [np.zeros(level.shape, bool) for level in p]
    inside = [np.zeros(level.shape, bool) for level in p]

    def descend(level: int, node: int, column: int, q: float) -> None:
        members = families[level - 1][node]
        tests = np.append(inside_p[level - 1][members, column], p[level][node, column])
        rejected = _rejected(tests, q)
        own[level][node, column] = rejected[-1]
        share = rejected.sum() / np.sum(~np.isnan(tests))
        for member in members[rejected[:-1]].tolist():
            inside[level - 1][member, column] = True
            if level == 1:
                own[0][member, column] = True
            else:
                descend(level - 1, member, column, q * share)

    columns = _rejected(combine(inside_p[-1]), alpha)
    for column in np.flatnonzero(columns).tolist():
        q = alpha * columns.sum() / columns.size
        tops = _rejected(inside_p[-1][:, column], q)
        for node in np.flatnonzero(tops).tolist():
            inside[-1][node, column] = True
            descend(len(p) - 1, node, column, q * tops.sum() / tops.size)
    return own, inside


def _rejected(p: Floats, q: float) -> NDArray[np.bool_]:
    return adjusted_by_column(p[:, None])[:, 0] <= q


def by_level(p: Sequence[Floats], alpha: float) -> Levels:
    """Benjamini-Hochberg over the matrix of each level."""
    found = []
    for level in p:
        tested = ~np.isnan(level)
        mask = np.zeros(level.shape, bool)
        mask[tested] = false_discovery_control(level[tested]) <= alpha
        found.append(mask)
    return found


def bonferroni(p: Sequence[Floats], alpha: float, *, over_columns: bool) -> Levels:
    """Bonferroni with the labels of a level as the family, or all pairs of the level."""
    return [level * (level.size if over_columns else len(level)) < alpha for level in p]


def planted_within(
    scores: Floats, there: NDArray[np.bool_], nowhere: NDArray[np.bool_], limit: float
) -> int:
    """Most planted pairs among the lowest scores of which at most a share `limit` is false."""
    judged = ~np.isnan(scores) & (there | nowhere)
    order = np.argsort(scores[judged], kind="stable")
    planted = np.cumsum(there[judged][order])
    false = np.cumsum(nowhere[judged][order])
    within = false <= limit * (planted + false)
    return int(planted[within].max(initial=0))
