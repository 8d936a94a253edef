"""The clusters of a facet as arrays: ids, names and parents of each level, and parts of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitw_ray.taxonomy.hierarchy import LEVELS, Parents, nodes_of_leaves
from vitw_ray.taxonomy.naming.member_naming import Named, Noun, describe, spare_names
from vitw_ray.taxonomy.task_support import Gated
from vitw_ray.taxonomy.tree import cluster_id


@dataclass(frozen=True)
class Nodes:
    """Clusters from level 1 up. `parents` is of all levels but the top one."""

    ids: Sequence[Sequence[str]]
    names: Sequence[Sequence[Named]]
    parents: Sequence[Parents]

    @property
    def height(self) -> int:
        """Number of levels."""
        return len(self.ids)

    @property
    def tops(self) -> NDArray[np.int32]:
        """For each node of level 1, its ancestor on the top level."""
        at = np.arange(len(self.ids[0]), dtype=np.int32)
        for parents in self.parents:
            at = parents[at]
        return at

    def with_others(self, other: "Nodes") -> "Nodes":
        """These nodes, and after them those of another forest of the same height."""
        return Nodes(
            [[*a, *b] for a, b in zip(self.ids, other.ids, strict=True)],
            [[*a, *b] for a, b in zip(self.names, other.names, strict=True)],
            [
                np.concatenate([a, b + np.int32(len(above))]).astype(np.int32)
                for a, b, above in zip(self.parents, other.parents, self.ids[1:], strict=True)
            ],
        )


def no_nodes(height: int = LEVELS) -> Nodes:
    """A forest without trees."""
    return Nodes([[]] * height, [[]] * height, [np.empty(0, np.int32)] * (height - 1))


def unplaced_branch(facet: str, noun: str, height: int) -> Nodes:
    """One cluster on each level, for what is in no known cluster; its ids never change."""
    ids = [[cluster_id(facet, level, ["unplaced"])] for level in range(1, height + 1)]
    text = f"{noun.capitalize()} that are in no known cluster."
    names: list[list[Named]] = [[(f"Unplaced {noun}", text)] for _ in ids]
    return Nodes(ids, names, [np.zeros(1, np.int32) for _ in ids[1:]])


@dataclass(frozen=True)
class Used:
    """Levels over some leaves, without the clusters that hold none of them."""

    levels: list[Parents]
    ids: list[list[str]]
    names: list[list[Named]]


def used_by(nodes: Nodes, at: NDArray[np.int32]) -> Used:
    """The nodes above leaves; `at` is the level-1 node of each leaf."""
    levels: list[Parents] = []
    ids: list[list[str]] = []
    names: list[list[Named]] = []
    for level in range(nodes.height):
        used, parents = np.unique(at, return_inverse=True)
        levels.append(parents.astype(np.int32))
        ids.append([nodes.ids[level][int(n)] for n in used])
        names.append([nodes.names[level][int(n)] for n in used])
        at = nodes.parents[level][used] if level < len(nodes.parents) else used
    return Used(levels, ids, names)


def after_gate(used: Used, gated: Gated, noun: Noun, key: bytes) -> Used:
    """The levels that the gate leaves: merged clusters lose id and name, and no other one does."""
    ids: list[list[str]] = []
    names: list[list[Named]] = []
    lowest = np.arange(len(used.ids[0]), dtype=np.int32)
    levels = zip(
        nodes_of_leaves([lowest, *used.levels[1:]]),
        nodes_of_leaves([gated.lowest, *gated.upper]),
        strict=True,
    )
    for level, (before, after) in enumerate(levels):
        ids.append([])
        names.append([])
        taken = {name.casefold() for name, _ in used.names[level]}
        spare = (name for name in spare_names(noun) if name.casefold() not in taken)
        for inside in _united(before, after):
            if len(inside) == 1:
                ids[-1].append(used.ids[level][inside[0]])
                names[-1].append(used.names[level][inside[0]])
                continue
            members = [used.ids[level][n] for n in inside]
            ids[-1].append(cluster_id(noun, level + 1, members, key))
            names[-1].append((next(spare), describe([], noun)))
    return Used([gated.lowest[used.levels[0]], *gated.upper], ids, names)


def _united(before: Parents, after: Parents) -> list[list[int]]:
    """For each number of `after`, the numbers of `before` that it stands for."""
    width = int(before.max(initial=0)) + 1
    pairs = np.unique(after.astype(np.int64) * width + before)
    starts = np.searchsorted(pairs // width, np.arange(1, int(after.max(initial=-1)) + 1))
    return [found.tolist() for found in np.split(pairs % width, starts)] if len(pairs) else []
