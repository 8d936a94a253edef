"""Whether stage 5 recovers the published tables from planted truth, and finds nothing else.

Each seed draws 700,000 conversations from the published rates, and the three assistants of B.5 at
their sizes, and runs the statistics of stage 5 over them, with support threshold 1. Frequencies are
read from the released `reference/values_frequencies.csv` under VITW_RAY_DATA.
"""

import csv
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from harness import ROOT, Result
from scipy.stats import binom

from vitw_ray.evaluation.published import (
    MIRRORED,
    SAME_VALUE,
    SUBJECTIVE,
    TASKS,
    TIED_TO_TASKS,
    TOP_HUMAN_VALUES,
    Drawn,
    Rates,
    draw,
)
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.intervals import wilson
from vitw_ray.side_by_side import pairs
from vitw_ray.statistics.account_groups import ACCOUNT_GROUPS
from vitw_ray.statistics.assistants import compare
from vitw_ray.statistics.compared_groups import groups_of_assistants
from vitw_ray.statistics.contingency import Axis, CodedFacet, Counts, GroupCounts, deduplicate
from vitw_ray.statistics.mirroring import count_mirroring, mirroring
from vitw_ray.statistics.residuals import adjusted_residual, associations

CONVERSATIONS, SUBJECTIVE_SHARE = 700_000, 0.44  # paper, 1.1
SEEDS, QUICK_SEEDS = 20, 2
CONFIDENCE = 0.999
MODELS = {  # paper, B.5 (3.5): subjective conversations, strong support, strong resistance, none
    "3.5 Sonnet": (SUBJECTIVE, 0.278, 0.030, 0.357),
    "3.7 Sonnet": (301_753, 0.284, 0.021, 0.372),
    "3 Opus": (9_218, 0.438, 0.095, 0.191),
}
PUBLISHED_TYPES = (0, 5, 6)  # indices of these three among the response types
OF_OPUS = ("academic rigor", "emotional authenticity", "harm prevention", "ethical boundaries")
TWICE = 2.0  # ours: factor by which Opus shows these more often
SHARED_BY_SONNETS = 8  # paper, B.5: of the ten most frequent values
TASK_STRATA = 1  # no stratification by task


def measure(quick: bool) -> Result:
    """Run all seeds."""
    rates = Rates(frequencies())
    found: Counter[str] = Counter()
    residuals = []
    seeds = QUICK_SEEDS if quick else SEEDS
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        subjective = int(rng.binomial(CONVERSATIONS, SUBJECTIVE_SHARE))
        drawn = draw(replace(rates, conversations=subjective), rng)
        found.update(shares(drawn, rates, subjective))
        found.update(planted(drawn, rates, residuals))
        found.update(nothing_planted(drawn, rates, rng))
        found.update(three_models(rates, rng))
        print(f"seed {seed}: {dict(found)}", flush=True)
    expected = found["shares"] * (1 - CONFIDENCE)
    outside_bound = int(binom.ppf(CONFIDENCE, found["shares"], 1 - CONFIDENCE))
    false_bound = int(binom.ppf(CONFIDENCE, seeds * TASKS, 0.05))
    result = Result("statistics_paper", quick)
    result.work = {
        "seeds": seeds,
        "conversations": CONVERSATIONS,
        **found,
        "shares_outside_expected": round(expected, 1),
        "shares_outside_bound": outside_bound,
        "null_significant_bound": false_bound,
        "residual_efficiency": [round(residual, 1) for residual in residuals],
    }
    result.ratios = {
        "shares_outside_over_bound": found["shares_outside"] / outside_bound,
        "null_significant_over_bound": found["null_significant"] / false_bound,
        "planted_found": found["planted_found"] / found["planted"],
        "worst_residual_error": max(abs(r / SAME_VALUE[1] - 1) for r in residuals),
    }
    result.rows = [(name, f"{number:,}") for name, number in found.items()]
    return result


def frequencies() -> dict[str, float]:
    """The released frequencies, most frequent first."""
    folder = Path(os.environ.get("VITW_RAY_DATA", ROOT.parent / "shared" / "data"))
    file = folder / "reference" / "values_frequencies.csv"
    if not file.exists():
        raise SystemExit(f"no released frequencies at {file}; set VITW_RAY_DATA to their folder")
    with file.open(encoding="utf-8", newline="") as lines:
        return {row["value"]: float(row["pct_convos"]) / 100 for row in csv.DictReader(lines)}


def outside(hits: np.ndarray, n: np.ndarray | int, truth: np.ndarray) -> Counter[str]:
    """Number of shares, and of true shares outside their interval."""
    low, high = wilson(hits, n, CONFIDENCE)
    return Counter(shares=truth.size, shares_outside=int(np.sum((truth < low) | (truth > high))))


def shares(drawn: Drawn, rates: Rates, subjective: int) -> Counter[str]:
    """Check for every published share of one population that the true one is in its interval."""
    n = drawn.conversations
    ai = np.bincount(drawn.ai.codes, minlength=drawn.ai.size)
    human = np.bincount(drawn.human.codes, minlength=drawn.human.size)[: len(TOP_HUMAN_VALUES)]
    kinds = np.bincount(drawn.response_type.codes, minlength=len(RESPONSE_TYPES))
    found = outside(np.array([subjective]), CONVERSATIONS, np.array([SUBJECTIVE_SHARE]))
    found += outside(ai, n, np.array(list(rates.ai_values.values())))
    found += outside(human, n, np.array(list(TOP_HUMAN_VALUES.values())))
    found += outside(kinds, n, np.array(rates.response_types))
    names = list(rates.ai_values)
    to_ai = [names.index(name) if name in rates.ai_values else -1 for name in rates.human_values]
    group = CodedFacet(
        np.arange(n), (np.arange(n) % ACCOUNT_GROUPS).astype(np.int32), ACCOUNT_GROUPS
    )
    counts = count_mirroring(drawn.human, drawn.ai, to_ai, drawn.response_type, drawn.task, group)
    table = mirroring(counts, Axis("response_types", RESPONSE_TYPES), drawn.ai.size)
    n_of, mirrored = table["conversations"].to_numpy(), table["mirrored"].to_numpy()
    support = np.array([n_of[:2].sum()]), np.array([mirrored[:2].sum()])
    for size, hits, truth in [(*support, MIRRORED[0])] + [
        (n_of[[code]], mirrored[[code]], MIRRORED[code])
        for code in (RESPONSE_TYPES.index("reframing"), RESPONSE_TYPES.index("strong_resistance"))
    ]:
        found += outside(hits, size, np.array([truth]))
    return found


def planted(drawn: Drawn, rates: Rates, residuals: list[float]) -> Counter[str]:
    """Check that the three associations with published residuals are found."""
    n, names, humans = drawn.conversations, list(rates.ai_values), list(rates.human_values)
    found: Counter[str] = Counter()
    tied = [(name, f"task {home}") for home, name in enumerate(TIED_TO_TASKS)]
    for facet, axis, cells in (
        (drawn.human, Axis("human_values", humans), [(SAME_VALUE[0], SAME_VALUE[0])]),
        (drawn.task, Axis("tasks", [f"task {code}" for code in range(TASKS)]), tied),
    ):
        counts = Counts.of(drawn.ai, facet, n)
        table = associations(
            counts, Axis("ai_values", names), axis, comparisons=len(names), alpha=0.05,
            least_observed=n,  # only significant cells
        )  # fmt: skip
        significant = {
            (row["row"], row["column"]): row["residual"]
            for row in table.select(["row", "column", "residual"]).to_pylist()
        }
        found["planted"] += len(cells)
        found["planted_found"] += sum(cell in significant for cell in cells)
        if facet is drawn.human:
            residuals.append(significant[cells[0]])
    return found


def nothing_planted(drawn: Drawn, rates: Rates, rng: np.random.Generator) -> Counter[str]:
    """Significant cells of values by permuted tasks, where no association exists."""
    codes = rng.permutation(drawn.task.codes)
    counts = Counts.of(drawn.ai, CodedFacet(drawn.task.rows, codes, TASKS), drawn.conversations)
    names = list(rates.ai_values)
    table = associations(
        counts,
        Axis("ai_values", names),
        Axis("tasks", [str(code) for code in range(TASKS)]),
        comparisons=len(names),
        alpha=0.05,
    )
    z = adjusted_residual(counts.both, counts.rows[:, None], counts.columns, counts.conversations)
    return Counter(
        null_cells=table.num_rows,
        null_significant=int(np.sum(table["significant"].to_numpy())),
        null_q_below_5_pct=int(np.sum(table["q_value"].to_numpy() < 0.05)),
        null_beyond_the_papers_cut=int(np.nansum(np.abs(z) > 4.33)),
    )


def three_models(rates: Rates, rng: np.random.Generator) -> Counter[str]:
    """The comparison of B.5: response types, top values, and values that Opus shows more often."""
    names = list(rates.ai_values)
    parts = []
    found: Counter[str] = Counter()
    for model, (size, support, resistance, none) in MODELS.items():
        fixed = dict(zip(PUBLISHED_TYPES, (support, resistance, none), strict=True))
        others = 1 - sum(rates.response_types[code] for code in PUBLISHED_TYPES)
        scale = (1 - sum(fixed.values())) / others
        kinds = [fixed.get(c, scale * s) for c, s in enumerate(rates.response_types)]
        values = values_of(model, rates.ai_values)
        rows, codes = _held(rng, size, list(values.values()))
        parts.append((size, rows, codes))
        hits = rng.multinomial(size, kinds)[list(PUBLISHED_TYPES)]
        found += outside(hits, size, np.array(list(fixed.values())))
    starts = np.cumsum([0, *(size for size, _, _ in parts)])
    rows = np.concatenate(
        [rows + start for (_, rows, _), start in zip(parts, starts, strict=False)]
    )
    codes = np.concatenate([codes for _, _, codes in parts])
    model = np.repeat(np.arange(3), [size for size, _, _ in parts]).astype(np.int32)
    facet = CodedFacet(*deduplicate(rows, codes), len(names))
    counts = GroupCounts.of(facet, CodedFacet(np.arange(model.size), model, 3), model.size)
    groups = groups_of_assistants(counts.columns, TASK_STRATA, list(MODELS))
    for pair in pairs(compare(counts, TASK_STRATA, groups, Axis("ai_values", names)), alpha=0.05):
        more = {row["label"] for row in pair.more(-1)}
        if pair.model_b == "3 Opus":
            found["planted"] += len(OF_OPUS)
            found["planted_found"] += len(more & {*OF_OPUS})
        else:
            found["sonnets_share_8_of_10"] += pair.overlap == SHARED_BY_SONNETS
            found["first_value_of_3.5_sonnet_right"] += pair.top_a[0] == names[0]
    return found


def values_of(model: str, published: dict[str, float]) -> dict[str, float]:
    """Frequencies of one assistant: the published ones, with its specific differences."""
    names = list(published)
    shares = dict(published)
    if model == "3.7 Sonnet":  # two of its ten most frequent values differ
        for one, other in ((names[8], names[12]), (names[9], names[13])):
            shares[one], shares[other] = shares[other], shares[one]
    if model == "3 Opus":
        shares[names[0]], shares[names[1]] = shares[names[1]], shares[names[0]]
        shares |= {name: TWICE * published[name] for name in OF_OPUS}
    return shares


def _held(
    rng: np.random.Generator, size: int, shares: list[float]
) -> tuple[np.ndarray, np.ndarray]:
    held = [rng.choice(size, rng.binomial(size, s), replace=False, shuffle=False) for s in shares]
    return np.concatenate(held), np.repeat(np.arange(len(shares)), [rows.size for rows in held])
