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
from tree_procedures import bonferroni, by_level, cauchy, planted_within, tree

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

Hits = dict[str, list[tuple[int, int]]]


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

    hits: dict[str, list[tuple[int, int]]]  # by way and level: planted, false
    equal: list[tuple[int, int, int]]  # by level: planted pairs at an equal share of false ones
    overlap: float  # of the strongest pairs in both halves
    bound_first: int  # planted context-bound values among the first five of their list


def ways(p: list[NDArray[np.float64]], q: list[NDArray[np.float64]], planted: Planted) -> Hits:
    """What each way to decide finds."""
    own, inside = tree(p, planted.parents, ALPHA)
    of_q = [level <= ALPHA for level in q]
    if not all(np.array_equal(a, b) for a, b in zip(own, of_q, strict=True)):
        raise SystemExit("the tree rejects other tests from the top down: nothing was measured")
    by_cauchy = tree(p, planted.parents, ALPHA, cauchy)
    decided = {
        "tree": own,
        "tree_inside": inside,
        "tree_cauchy": by_cauchy[0],
        "tree_cauchy_inside": by_cauchy[1],
        "bh_by_level": by_level(p, ALPHA),
        "bonferroni": bonferroni(p, ALPHA, over_columns=False),
        "bonferroni_over_columns": bonferroni(p, ALPHA, over_columns=True),
    }
    return {name: found(planted, levels) for name, levels in decided.items()}


def at_equal_shares(
    p: list[NDArray[np.float64]], q: list[NDArray[np.float64]], planted: Planted
) -> list[tuple[int, int, int]]:
    """By level: pairs by `q` and by `p` with at most 5 % false, and by `p` with as many as by `q`.

    The truth sets the threshold here, so that neither way profits from letting more in.
    """
    rows = []
    for level, (by_q, by_p) in enumerate(zip(q, p, strict=True)):
        there, nowhere = planted.at(level)
        mine = by_q <= ALPHA
        hits, false = int(np.sum(mine & there)), int(np.sum(mine & nowhere))
        rows.append(
            (
                planted_within(by_q, there, nowhere, ALPHA),
                planted_within(by_p, there, nowhere, ALPHA),
                planted_within(by_p, there, nowhere, false / max(hits + false, 1)),
            )
        )
    return rows


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
        ways(p, q, planted),
        at_equal_shares(p, q, planted),
        split["in_both"] / TOP,
        len(leading & {names[value] for value in planted.bound}),
    )


def summary(seeds: Sequence[Seed], quick: bool) -> Result:
    """Ratios over all seeds."""
    result = Result("discovery", quick)
    result.work = {"seeds": len(seeds), "conversations": CONVERSATIONS}
    planted: dict[str, NDArray[np.int64]] = {}
    for name in seeds[0].hits:
        hits = np.array([seed.hits[name] for seed in seeds])  # [seeds, levels, planted or false]
        false = hits[:, :, 1] / np.maximum(hits.sum(axis=2), 1)
        planted[name] = hits[:, :, 0].sum(axis=0)
        result.work[f"{name}_planted_found"] = planted[name].tolist()
        result.work[f"{name}_false_found"] = hits[:, :, 1].sum(axis=0).tolist()
        result.work[f"{name}_false_share"] = [float(f"{x:.3g}") for x in false.mean(axis=0)]
    result.work |= powers(planted, np.array([seed.equal for seed in seeds]).sum(axis=0))
    result.ratios = {
        "false_share_worst_level": max(result.work["tree_false_share"]),
        "power_over_bonferroni": result.work["tree_over_bonferroni"][0],
        "power_over_bonferroni_over_columns": result.work["tree_over_bonferroni_over_columns"][0],
        "top_20_in_both_halves": float(np.mean([seed.overlap for seed in seeds])),
        "bound_values_first": float(np.mean([seed.bound_first for seed in seeds])) / BOUND,
    }
    for name in planted:
        numbers = zip(planted[name], result.work[f"{name}_false_share"], strict=True)
        result.rows.append((name, *(f"{n:,} / {false:.2%}" for n, false in numbers)))
    return result


def powers(
    planted: dict[str, NDArray[np.int64]], equal: NDArray[np.int64]
) -> dict[str, list[float]]:
    """Planted pairs found by one way over those found by another, by level."""
    found = {
        f"{way}_over_{other}": planted[way] / np.maximum(planted[other], 1)
        for other in ("bonferroni", "bonferroni_over_columns")
        for way in planted
        if not way.startswith("bonferroni")
    }
    found["tree_over_bonferroni_at_5_percent_false"] = equal[:, 0] / np.maximum(equal[:, 1], 1)
    at_own = planted["tree"] / np.maximum(equal[:, 2], 1)
    found["tree_over_bonferroni_at_the_false_share_of_the_tree"] = at_own
    return {name: [round(float(x), 3) for x in ratios] for name, ratios in found.items()}


def main() -> None:
    """Run all seeds."""
    quick = arguments(__doc__).quick
    shares = np.array([share for share in frequencies().values() if share > 0])
    seeds = []
    for number in range(QUICK_SEEDS if quick else SEEDS):
        seeds.append(one_seed(number, shares, CONVERSATIONS, TASKS, CLUSTERS))
        print(f"seed {number}: {seeds[-1]}", flush=True)
    summary(seeds, quick).report(
        ("found planted / false share", *(f"level {level}" for level in range(len(CLUSTERS) + 1)))
    )


if __name__ == "__main__":
    with_one_thread()
    main()
