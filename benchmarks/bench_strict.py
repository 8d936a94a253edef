"""What a strict release keeps, and whether an audit of paired runs finds it out.

Utility: 308,210 subjective conversations drawn from the published rates, released at epsilon 1 and
delta 1e-6; with one conversation per account, and with accounts of up to dozens, of
which one counts, or as many as a noisy count chooses.
Frequencies are read from `reference/values_frequencies.csv` under VITW_RAY_DATA.
Audit: 20,000 paired runs (see `vitw_ray/evaluation/privacy_audit.py`), and fewer of each planted
leak in `tests/planted_leaks.py`.

    python benchmarks/bench_strict.py [--quick] [--only utility|audit]
"""

import sys

import numpy as np
from harness import ROOT, Result, parser_of
from paper_truth import frequencies

from vitw_ray.evaluation.audit_population import hashes
from vitw_ray.evaluation.privacy_audit import CONFIDENCE, at_least, audit
from vitw_ray.evaluation.published import Drawn, Rates, draw
from vitw_ray.release.strict.bounds import AI, choose_bounds
from vitw_ray.release.strict.measure import measure
from vitw_ray.release.strict.noise import Budget, ExactNoise, rho_of
from vitw_ray.release.strict.population import Pairs, Population
from vitw_ray.statistics.contingency import CodedFacet

EPSILON, DELTA = 1.0, 1e-6
POPULATIONS = {  # several conversations of each account?, and how many of them count
    "one_each": (False, None),
    "several_each_one_counts": (True, 1),
    "several_each": (True, None),
}
SEEDS, QUICK_SEEDS = 5, 1
RUNS, QUICK_RUNS, LEAK_RUNS = 20_000, 500, 300
EACH = 3.0  # ours: mean conversations of an account, where accounts have several
TOP, HEAD = 100, 5


def utility(result: Result, seeds: int) -> None:
    """Names kept, errors of the largest shares and overlap of the most frequent names."""
    rates = Rates(frequencies())
    budget = rho_of(EPSILON, DELTA / 2)
    for name, (several, count) in POPULATIONS.items():
        made = [one_release(rates, budget, seed, several, count) for seed in range(seeds)]
        found = np.array(made)
        worst = (found[:, 0].min(), found[:, 1].max(), found[:, 2].min())
        labels = ("names", f"top{HEAD}_error_points", f"top{TOP}_overlap")
        result.ratios |= {
            f"{name}_{label}": float(value) for label, value in zip(labels, worst, strict=True)
        }
        result.rows.append((name, *(f"{value:g}" for value in worst)))


def one_release(
    rates: Rates, rho: float, seed: int, several: bool, count: int | None
) -> tuple[float, float, float]:
    """A release of a drawn population, against its own shares."""
    rng = np.random.default_rng(seed)
    drawn = draw(rates, rng)
    people = population(drawn, rates, rng, several)
    truth = people.facets[AI].counts() / people.conversations
    names = np.array(people.facets[AI].names)
    top = set(names[np.argsort(-truth, kind="stable")[:TOP]])
    budget = Budget(rho, ExactNoise())
    found = measure(people, choose_bounds(people, count, None, DELTA / 2, budget), budget)
    released = found.facets[AI]
    share_of = dict(zip(names.tolist(), truth.tolist(), strict=True))
    shares = 100 * released.counts / found.conversations
    errors = [
        abs(share - 100 * share_of[name])
        for name, share in zip(released.names[:HEAD], shares.tolist(), strict=False)
    ]
    return len(released.names), round(max(errors), 4), len(top & set(released.names[:TOP]))


def population(drawn: Drawn, rates: Rates, rng: np.random.Generator, several: bool) -> Population:
    """A draw as the population of a release; accounts differ in how much they chat."""
    n = drawn.conversations
    accounts = np.arange(n)
    if several:
        sizes = rng.geometric(1 / EACH, n)
        accounts = rng.permutation(np.repeat(np.arange(n), sizes)[:n])

    def pairs(facet: CodedFacet, names: list[str]) -> Pairs:
        return Pairs(
            facet.rows.astype(np.int64), facet.codes.astype(np.int64), names, hashes(names)
        )

    return Population(
        accounts,
        rng.integers(0, 1 << 63, n).astype(np.uint64),
        drawn.response_type.codes.astype(np.int64),
        {
            AI: pairs(drawn.ai, list(rates.ai_values)),
            "human_values": pairs(drawn.human, list(rates.human_values)),
            "tasks": pairs(drawn.task, [f"task {n}" for n in range(drawn.task.size)]),
        },
    )


def audits(result: Result, runs: int) -> None:
    """Paired runs of the release as it is, and of each planted leak."""
    sys.path.append(str(ROOT / "tests"))
    import planted_leaks as planted

    right = audit(planted.drawing(chosen=True), runs, planted.DELTA)
    result.ratios["epsilon_shown"] = right.epsilon
    result.rows.append(("as it is", f"{right.epsilon:.3f}", f"{runs}", ""))
    for name, leak in planted.LEAKS.items():
        shown = audit(planted.drawing(**leak), LEAK_RUNS, planted.DELTA).epsilon
        result.ratios[f"epsilon_shown_{name.replace(' ', '_')}"] = shown
        result.rows.append((name, f"{shown:.3f}", f"{LEAK_RUNS}", ""))
    with planted.threshold_too_low():
        hits = planted.name_of_one_account_is_released(LEAK_RUNS)
    low = at_least(hits, LEAK_RUNS, 1 - CONFIDENCE)
    result.ratios["threshold_too_low_over_delta"] = low / planted.DELTA
    result.rows.append(("threshold too low", f"{low:.3f} of {planted.DELTA:g}", "", ""))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--only", choices=("utility", "audit"))
    given = parser.parse_args()
    result = Result("strict", given.quick)
    seeds, runs = (QUICK_SEEDS, QUICK_RUNS) if given.quick else (SEEDS, RUNS)
    if given.only != "audit":
        utility(result, seeds)
    if given.only != "utility":
        audits(result, runs)
    result.work = {"seeds": seeds, "paired_runs": runs, "epsilon": EPSILON, "delta": DELTA}
    result.report(("what", "names / epsilon shown", "error / runs", "overlap"))


if __name__ == "__main__":
    main()
