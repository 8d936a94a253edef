"""Correction for the reader's errors: coverage, false differences, and labels that it saves.

Conversations with known truth at the rates of the paper, read by a reader whose sensitivity
(0.7-0.95) and specificity (0.95-0.999) differ between two assistants and three languages, and which
also errs about what is subjective. People review a stratified sample. In each run: do the intervals
contain the truth, naive (Wilson, Newcombe and Woolf over the reader's counts) and corrected? Is a
difference found where there is none, or with the wrong sign? How many more labels do people need
without the reader? No Ray, one process.

    python benchmarks/bench_correction.py [--quick]
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from harness import Result, arguments, with_one_thread
from numpy.typing import NDArray

from vitw_ray.intervals import odds_ratio, wilson
from vitw_ray.statistics.correction import corrected
from vitw_ray.statistics.correction.bounds import of_share
from vitw_ray.statistics.correction.measures import (
    CELLS,
    HOLDING,
    STATES,
    Share,
    share_states,
    table_states,
)
from vitw_ray.statistics.correction.sample import Reviewed, estimate

RUNS, QUICK_RUNS = 1_000, 120
CONVERSATIONS, REVIEWED = 100_000, 2_000
SUBJECTIVE = 0.44  # paper, 1.3: 308,210 of 700,000
FROM_SUBJECTIVE = 0.8  # ours: share of the review that goes to what the reader calls subjective
SHARES = (0.234, 0.229, 0.174, 0.166, 0.115, 0.1)  # paper, figure 2: the commonest AI values; ours
GROUPS = 6  # assistant x language
TYPE_SHARE = 0.28  # paper, 2: strong support
GATE = (0.85, 0.97)  # ours: sensitivity and specificity of the gate, by group
ODDS = (1.0, 2.0, 4.0)  # ours: of a value and a response type
DIFFERENCE = 0.05  # ours: between two assistants, or two languages, in every second run
READ_AS = ("corrected", "naive")


@dataclass(frozen=True)
class Population:
    """Conversations of one run: true and read states; `shares` are true, by group."""

    group: NDArray[np.int64]
    subjective: NDArray[np.bool_]
    read_subjective: NDArray[np.bool_]
    value: NDArray[np.bool_]
    read_value: NDArray[np.bool_]
    kind: NDArray[np.bool_]
    read_kind: NDArray[np.bool_]
    shares: NDArray[np.float64]
    odds: float


def draw(rng: np.random.Generator, *, differs: bool) -> Population:
    """A population and a reader of its own; with `differs`, assistants and languages differ."""
    n = CONVERSATIONS
    shares = np.full(GROUPS, rng.choice(SHARES))
    if differs:
        shares[:3] -= DIFFERENCE / 2  # the first assistant
        shares[3:] += DIFFERENCE / 2
        shares[::3] += DIFFERENCE / 2  # the first language
    group = rng.integers(0, GROUPS, n)
    subjective = rng.random(n) < SUBJECTIVE
    value = rng.random(n) < shares[group]
    odds = float(rng.choice(ODDS))
    without = _share_without(TYPE_SHARE, float(shares.mean()), odds)
    with_value = odds * without / (1 - without + odds * without)
    kind = rng.random(n) < np.where(value, with_value, without)
    read_subjective = _read(rng, subjective, group, GATE, GATE)
    return Population(
        group,
        subjective,
        read_subjective,
        value,
        _read(rng, value, group),
        kind,
        _read(rng, kind, group),
        shares,
        odds,
    )


def _share_without(kind: float, value: float, odds: float) -> float:
    """Share of the response type without the value, so that it is `kind` over all."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        held = odds * middle / (1 - middle + odds * middle)
        low, high = (middle, high) if (1 - value) * middle + value * held < kind else (low, middle)
    return low


def _read(
    rng: np.random.Generator,
    truth: NDArray[np.bool_],
    group: NDArray[np.int64],
    sensitivity: tuple[float, float] = (0.7, 0.95),
    specificity: tuple[float, float] = (0.95, 0.999),
) -> NDArray[np.bool_]:
    """What a reader says whose error differs between groups."""
    found, rejected = rng.uniform(*sensitivity, GROUPS), rng.uniform(*specificity, GROUPS)
    chance = np.where(truth, found[group], 1 - rejected[group])
    return rng.random(truth.size) < chance


def review(
    rng: np.random.Generator, population: Population, *, stratified: bool = True
) -> tuple[NDArray[np.int64], Reviewed]:
    """Indices of the reviewed conversations and the sample, with no states yet."""
    strata = population.read_subjective.astype(np.int64) + 2 * (population.group // 3)
    if not stratified:
        strata = np.zeros_like(strata)
    sizes = np.bincount(strata)
    part = np.where(np.arange(sizes.size) % 2, FROM_SUBJECTIVE, 1 - FROM_SUBJECTIVE) / 2
    drawn = np.round(REVIEWED * (part if stratified else np.ones(1))).astype(int)
    rows = np.concatenate(
        [
            rng.choice(np.flatnonzero(strata == code), count, replace=False)
            for code, count in enumerate(drawn)
        ]
    )
    stratum, none = strata[rows], np.zeros(rows.size, np.int64)
    probability = (drawn / sizes)[stratum]
    return rows, Reviewed(probability, stratum, np.arange(rows.size), none, none, none)


@dataclass(frozen=True)
class Check:
    """One measure of one run."""

    truth: float
    naive: tuple[float, float]
    found: corrected.Corrected

    @property
    def ends(self) -> tuple[float, float]:
        """The corrected interval; NaN, which contains nothing, where there is none."""
        low, high = self.found.low, self.found.high
        return (np.nan, np.nan) if low is None or high is None else (low, high)


def shares_and_differences(
    population: Population, rows: NDArray[np.int64], sample: Reviewed
) -> Iterator[tuple[str, Check]]:
    """The share over all, differences between assistants, and between languages."""
    people = share_states(population.subjective, population.value)
    reader = share_states(population.read_subjective, population.read_value)
    groupings = {
        "share": np.zeros_like(population.group),
        "assistants": population.group // 3,
        "languages": population.group % 3,
    }
    for name, group in groupings.items():
        count = int(group.max()) + 1
        held = np.bincount(group * STATES + reader, minlength=count * STATES).reshape(-1, STATES)
        mine = sample.of_states(group[rows], people[rows], reader[rows])
        true = [float(population.shares[_members(name, code)].mean()) for code in range(count)]
        for code in range(count):
            low, high = wilson(held[code, HOLDING], held[code, 1:].sum())
            found = corrected.share(mine, held, code)
            yield "shares", Check(true[code], (float(low), float(high)), found)
        for a, b in ((0, 1), (1, 2)) if count == 3 else ((0, 1),) if count == 2 else ():
            ends = _newcombe(held[a], held[b])
            found = corrected.difference(mine, held, a, b)
            yield "differences", Check(true[a] - true[b], ends, found)


def _members(grouping: str, code: int) -> NDArray[np.int64]:
    every = np.arange(GROUPS)
    return {"share": every, "assistants": every[every // 3 == code]}.get(
        grouping, every[every % 3 == code]
    )


def _newcombe(a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[float, float]:
    p, q = (one[HOLDING] / one[1:].sum() for one in (a, b))
    (low_p, high_p), (low_q, high_q) = (wilson(one[HOLDING], one[1:].sum()) for one in (a, b))
    middle = p - q
    return float(middle - np.hypot(p - low_p, high_q - q)), float(
        middle + np.hypot(high_p - p, q - low_q)
    )


def association(population: Population, rows: NDArray[np.int64], sample: Reviewed) -> Check:
    """The odds ratio of the value and the response type."""
    people = table_states(population.subjective, population.value, population.kind)
    reader = table_states(population.read_subjective, population.read_value, population.read_kind)
    held = np.bincount(reader, minlength=CELLS)[None]
    none = np.zeros(rows.size, np.int64)
    found = corrected.odds_ratio(sample.of_states(none, people[rows], reader[rows]), held)
    _, low, high = odds_ratio(*held[0, [4, 2, 3, 1]])
    return Check(population.odds, (float(low), float(high)), found)


def saved(
    rng: np.random.Generator, population: Population, rows: NDArray[np.int64], sample: Reviewed
) -> tuple[float, float, float]:
    """Squared widths: ours, people alone on the same sample, people alone on an even sample."""
    people = share_states(population.subjective, population.value)
    reader = share_states(population.read_subjective, population.read_value)
    held = np.bincount(reader, minlength=STATES)[None]
    even, evenly = review(rng, population, stratified=False)
    widths = []
    for chosen, design, tuning in ((rows, sample, None), (rows, sample, 0.0), (even, evenly, 0.0)):
        mine = design.of_states(design.group, people[chosen], reader[chosen])
        low, high = of_share(estimate(mine, held, Share(), tuning))
        widths.append((high - low) ** 2)
    return widths[0], widths[1], widths[2]


def measure(quick: bool) -> Result:
    """All runs, and what comes of them."""
    runs, rng = QUICK_RUNS if quick else RUNS, np.random.default_rng(0)
    checks: dict[str, list[Check]] = defaultdict(list)
    widths = []
    for number in range(runs):
        population = draw(rng, differs=number % 2 == 1)
        rows, sample = review(rng, population)
        for name, check in shares_and_differences(population, rows, sample):
            checks[name].append(check)
        checks["odds_ratios"].append(association(population, rows, sample))
        widths.append(saved(rng, population, rows, sample))
    ours, same_sample, even_sample = np.mean(widths, axis=0)
    result = Result(
        "correction",
        quick,
        work={"runs": runs, "conversations": CONVERSATIONS, "reviewed": REVIEWED},
        ratios={
            "labels_saved": even_sample / ours,
            "labels_saved_same_sample": same_sample / ours,
        },
    )
    for name, every in checks.items():
        told = [one for one in every if one.found.reason is None]
        covered = _covered((*one.ends, one.truth) for one in told)
        naive = _covered((*one.naive, one.truth) for one in every)
        result.ratios |= {f"{name}_coverage": covered, f"{name}_naive_coverage": naive}
        result.work[f"{name}_told"] = [len(told), len(every)]
        result.rows.append((f"coverage: {name}", f"{covered:.3f}", f"{naive:.3f}"))
    false = {name: _false(checks["differences"], naive=name == "naive") for name in READ_AS}
    result.ratios |= {f"false_differences_{name}": found for name, found in false.items()}
    result.rows.append(
        ("false or wrong-signed differences", *(f"{found:.3f}" for found in false.values()))
    )
    result.rows.append(("labels saved", f"{result.ratios['labels_saved']:.2f}", ""))
    return result


def main() -> None:
    measure(arguments(__doc__).quick).report(("measure", "corrected", "naive"))


def _covered(intervals: Iterable[tuple[float, float, float]]) -> float:
    return float(np.mean([low <= truth <= high for low, high, truth in intervals]))


def _false(checks: Sequence[Check], *, naive: bool) -> float:
    """Share of differences that are called where there is none, or with the wrong sign."""
    wrong = 0
    for check in checks:
        low, high = check.naive if naive else check.ends
        wrong += (low > 0 >= check.truth) or (high < 0 <= check.truth)
    return wrong / len(checks)


if __name__ == "__main__":
    with_one_thread()
    main()
