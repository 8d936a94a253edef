"""What the tests over the tree of values find, and find wrongly, where the truth is known.

Each seed draws 308,210 subjective conversations (paper, 1.1) with the released frequencies of 3,307
values, in a tree of 266, 26 and 5 clusters (paper, 1.5), over 300 tasks. Values of one cluster mean
nearly the same, so they are planted together: a cluster goes with a task, and four in five of its
values occur there more often. Two of the five top clusters hold no planted value. Five further
values occur nearly only in a few tasks.

    python benchmarks/bench_discovery.py [--quick]

A pair counts as false if nothing is planted in any task for the value, or for the cluster. Planting
a value in one task makes it rarer in the others by comparison; such pairs count as neither.
Accounts hold three conversations on average, and are split into halves at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from harness import Result, arguments, with_one_thread
from numpy.typing import NDArray
from paper_truth import frequencies

from vitw_ray.report import sections
from vitw_ray.statistics.contingency import Axis, CodedFacet, Counts, deduplicate, to_ancestors
from vitw_ray.statistics.replication import TOP, count_half, replicated
from vitw_ray.statistics.residuals import p_values
from vitw_ray.statistics.tree_discovery import q_tree
from vitw_ray.statistics.variation import variation

CONVERSATIONS, TASKS, CLUSTERS = 308_210, 300, (266, 26, 5)
SEEDS, QUICK_SEEDS = 20, 2
ALPHA = 0.05
PLANTED_PER_TASK = 10  # ours: clusters that go with each task, on average
TOGETHER = 0.8  # ours: share of the values of a cluster that go with its task
TIMES = (1.5, 6.0)  # ours: how much more often they occur there
PLANTED_TOPS = 3  # ours: top clusters with planted values; there are five
BOUND, BOUND_TASKS, BOUND_TIMES = 5, 12, 15.0  # ours: values tied to few tasks
BOUND_RANKS = range(60, 85, 5)  # ours: common enough to be known well


@dataclass(frozen=True)
class Planted:
    """How much more often each value occurs in each task, [values, tasks], and the tree above."""

    times: NDArray[np.float64]
    parents: list[NDArray[np.int64]]
    bound: list[int]

    def at(self, level: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Pairs with a planted value, and pairs of nodes without any: [nodes, tasks] each."""
        there = self.times > 1
        for parent in self.parents[:level]:
            above = np.zeros((int(parent.max()) + 1, there.shape[1]), bool)
            np.logical_or.at(above, parent, there)
            there = above
        return there, np.broadcast_to(~there.any(axis=1)[:, None], there.shape)


def plant(rng: np.random.Generator, values: int, tasks: int, clusters: Sequence[int]) -> Planted:
    """Draw a tree and what goes with what."""
    sizes = (values, *clusters)
    parents = [
        np.arange(sizes[level]) % sizes[level + 1] if level else rng.permutation(values) % sizes[1]
        for level in range(len(clusters))
    ]
    top = np.arange(sizes[1])
    for parent in parents[1:]:
        top = parent[top]
    candidates = np.flatnonzero(top < PLANTED_TOPS)
    times = np.ones((values, tasks))
    for task in np.repeat(np.arange(tasks), PLANTED_PER_TASK):
        inside = np.flatnonzero(parents[0] == rng.choice(candidates))
        times[inside[rng.random(inside.size) < TOGETHER], task] = rng.uniform(*TIMES)
    ranks = np.array(BOUND_RANKS)
    bound = [int(value) for value in ranks[np.argsort(top[parents[0][ranks]], kind="stable")]]
    for value in bound:
        parents[0][value] = candidates[0]
        times[value] = 1.0
        times[value, rng.choice(tasks, BOUND_TASKS, replace=False)] = BOUND_TIMES
    return Planted(times, parents, bound)


def draw(
    rng: np.random.Generator, planted: Planted, shares: NDArray[np.float64], n: int
) -> tuple[CodedFacet, CodedFacet]:
    """Values and tasks of n conversations."""
    tasks = planted.times.shape[1]
    weights = 1 / np.arange(10, 10 + tasks)
    task = rng.choice(tasks, n, p=weights / weights.sum())
    order, size = np.argsort(task, kind="stable"), np.bincount(task, minlength=tasks)
    start = np.cumsum(size) - size
    rows, codes = [], []
    for value, share in enumerate(shares.tolist()):
        held = [rng.choice(n, rng.binomial(n, share), replace=False, shuffle=False)]
        for home in np.flatnonzero(planted.times[value] > 1).tolist():
            there = order[start[home] : start[home] + size[home]]
            more = (min(share * planted.times[value, home], 0.9) - share) / (1 - share)
            held.append(there[rng.random(there.size) < more])
        rows.append(np.concatenate(held))
        codes.append(np.full(rows[-1].size, value))
    pairs = deduplicate(np.concatenate(rows), np.concatenate(codes))
    ai = CodedFacet(*pairs, shares.size)
    return ai, CodedFacet(np.arange(n), task.astype(np.int32), tasks)


def found(planted: Planted, rejected: list[NDArray[np.bool_]]) -> list[tuple[int, int]]:
    """By level: how many pairs are found that are planted, and that are not."""
    hits = []
    for level, mine in enumerate(rejected):
        there, nowhere = planted.at(level)
        hits.append((int(np.sum(mine & there)), int(np.sum(mine & nowhere))))
    return hits


@dataclass(frozen=True)
class Seed:
    """What one draw gives."""

    by_tree: list[tuple[int, int]]  # by level: planted, false
    by_bonferroni: list[tuple[int, int]]
    overlap: float  # of the strongest pairs in both halves
    bound_first: int  # planted context-bound values among the first five of their list


def one_seed(
    seed: int, shares: NDArray[np.float64], n: int, tasks: int, clusters: Sequence[int]
) -> Seed:
    """Draw, test, and compare with the truth."""
    rng = np.random.default_rng(seed)
    planted = plant(rng, shares.size, tasks, clusters)
    ai, task = draw(rng, planted, shares, n)
    counts, ancestor = [], np.arange(shares.size)
    for level, size in enumerate((shares.size, *clusters)):
        ancestor = planted.parents[level - 1][ancestor] if level else ancestor
        counts.append(Counts.of(to_ancestors(ai, ancestor, size), task, n))
    p = [p_values(level) for level in counts]
    q = q_tree(p, planted.parents)
    accounts = rng.integers(0, n // 3, n)
    split = replicated(counts[0], count_half(ai, task, (rng.random(n // 3) < 0.5)[accounts]))
    names = [f"{value}" for value in range(shares.size)]
    over = Axis("tasks", [f"{code}" for code in range(tasks)])
    spread = sections.variation(
        variation(counts[0], Axis("ai_values", names), over).to_pylist(), BOUND
    )
    leading = {row["label"] for row in spread[0].dependent}
    return Seed(
        found(planted, [level <= ALPHA for level in q]),
        found(planted, [level * len(level) < ALPHA for level in p]),
        split["in_both"] / TOP,
        len(leading & {names[value] for value in planted.bound}),
    )


def summary(seeds: Sequence[Seed], quick: bool) -> Result:
    """Ratios over all seeds."""
    tree = np.array([seed.by_tree for seed in seeds])  # [seeds, levels, planted or false]
    plain = np.array([seed.by_bonferroni for seed in seeds])
    result = Result("discovery", quick)
    result.work = {"seeds": len(seeds), "conversations": CONVERSATIONS}
    for name, hits in (("tree", tree), ("bonferroni", plain)):
        false = hits[:, :, 1] / np.maximum(hits.sum(axis=2), 1)
        result.work[f"{name}_planted_found"] = hits[:, :, 0].sum(axis=0).tolist()
        result.work[f"{name}_false_found"] = hits[:, :, 1].sum(axis=0).tolist()
        result.work[f"{name}_false_share"] = [float(f"{x:.3g}") for x in false.mean(axis=0)]
    power = tree[:, :, 0].sum(axis=0) / np.maximum(plain[:, :, 0].sum(axis=0), 1)
    result.ratios = {
        "false_share_worst_level": max(result.work["tree_false_share"]),
        "power_over_bonferroni": float(power[0]),
        "top_20_in_both_halves": float(np.mean([seed.overlap for seed in seeds])),
        "bound_values_first": float(np.mean([seed.bound_first for seed in seeds])) / BOUND,
    }
    for level in range(tree.shape[1]):
        row = [tree[:, level].sum(axis=0), plain[:, level].sum(axis=0)]
        result.rows.append((str(level), *(f"{int(x):,}" for pair in row for x in pair)))
    return result


def main() -> None:
    """Run all seeds."""
    quick = arguments(__doc__).quick
    shares = np.array([share for share in frequencies().values() if share > 0])
    seeds = []
    for number in range(QUICK_SEEDS if quick else SEEDS):
        seeds.append(one_seed(number, shares, CONVERSATIONS, TASKS, CLUSTERS))
        print(f"seed {number}: {seeds[-1]}", flush=True)
    summary(seeds, quick).report(
        ("level", "tree: planted", "false", "Bonferroni: planted", "false")
    )


if __name__ == "__main__":
    with_one_thread()
    main()
