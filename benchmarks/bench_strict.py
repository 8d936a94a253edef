"""What a strict release keeps, and whether an audit of paired runs finds it out.

Utility: 308,210 subjective conversations drawn from the published rates, released at epsilon 1 and
delta 1e-6; with one conversation per account, and with accounts of up to dozens, that count as one
conversation each or as several. Errors are of what the release states, shares of weighted
conversations, and of shares of traffic. The share of releases whose five most frequent shares are
within 0.01 points comes from many draws of that noise alone.
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
from vitw_ray.evaluation.published import SUBJECTIVE, Drawn, Rates, draw
from vitw_ray.release.settings import StrictSettings
from vitw_ray.release.strict.bounds import AI, Bounds
from vitw_ray.release.strict.measure import measure
from vitw_ray.release.strict.noise import ExactNoise, cube_scale
from vitw_ray.release.strict.population import WEIGHT, Pairs, Population, weigh
from vitw_ray.release.strict.sharing import SIZE_SHARE, budget_of, head_share
from vitw_ray.statistics.contingency import CodedFacet

EPSILON, DELTA = 1.0, 1e-6
POPULATIONS = {  # several conversations of each account?, and as how many they count at most
    "one_each": (False, 1),
    "several_each": (True, 1),
    "several_each_as_five": (True, 5),
}
SEEDS, QUICK_SEEDS = 5, 1
RUNS, QUICK_RUNS, LEAK_RUNS = 20_000, 500, 300
EACH = 3.0  # ours: mean conversations of an account, where accounts have several
TOP, HEAD = 100, 5
WANTED_POINTS, DRAWS, QUICK_DRAWS = 0.01, 2000, 200


def utility(result: Result, seeds: int) -> None:
    """Names kept, errors of the largest shares and overlap of the most frequent names."""
    rates = Rates(frequencies())
    for name, (several, count) in POPULATIONS.items():
        made = [one_release(rates, seed, several, count) for seed in range(seeds)]
        found = np.array(made)
        errors = found[:, 1]
        told = {
            "names": found[:, 0].min(),
            f"top{HEAD}_error_points": errors.max(),
            f"top{HEAD}_error_points_mean": round(errors.mean(), 4),
            f"top{HEAD}_traffic_error_points": found[:, 3].max(),
            f"top{TOP}_overlap": found[:, 2].min(),
        }
        result.ratios |= {f"{name}_{label}": float(value) for label, value in told.items()}
        result.rows.append((name, *(f"{value:g}" for value in told.values())))


def one_release(
    rates: Rates, seed: int, several: bool, count: int
) -> tuple[float, float, float, float]:
    """Names, error, overlap and error of traffic of a release, against the drawn population."""
    rng = np.random.default_rng(seed)
    drawn = draw(rates, rng)
    people = population(drawn, rates, rng, several)
    ai, weights = people.facets[AI], weigh(people, count)
    truth, traffic = ai.weighed(weights) / weights.sum(), ai.counts() / people.conversations
    names = np.array(ai.names)
    top = set(names[np.argsort(-truth, kind="stable")[:TOP]])
    bounds = Bounds(count, StrictSettings().conversation_pairs, DELTA / 2)
    budget = budget_of(people, bounds, EPSILON, DELTA / 2, ExactNoise())
    found = measure(people, bounds, budget)
    released = found.facets[AI]
    shares = released.counts[:HEAD] / found.conversations
    code_of = {name: code for code, name in enumerate(names.tolist())}
    head = [code_of[name] for name in released.names[:HEAD]]
    error, of_traffic = (
        round(100 * float(np.abs(shares - one[head]).max()), 4) for one in (truth, traffic)
    )
    overlap = len(top & set(released.names[:TOP]))
    return len(released.names), error, overlap, of_traffic


def within_wanted(result: Result, draws: int) -> None:
    """How many releases are within the wanted error: the noise of the head, many times."""
    rates = list(Rates(frequencies()).ai_values.values())[:HEAD]
    exact, zero, left = ExactNoise(), np.zeros(HEAD + 1, np.int64), (1 - SIZE_SHARE) * EPSILON
    for accounts in (SUBJECTIVE, round(SUBJECTIVE / EACH)):
        scale = cube_scale(WEIGHT, head_share(accounts, 1, left) * left)
        noise = np.array([exact.add_cube(zero, scale) for _ in range(draws)]) / WEIGHT
        total = accounts + noise[:, -1:]
        sums = accounts * (2 * np.array(rates) - 1) + noise[:, :-1]
        errors = 100 * np.abs((sums / total + 1) / 2 - rates).max(axis=1)
        told = (np.mean(errors <= WANTED_POINTS), np.median(errors), np.quantile(errors, 0.95))
        names = (f"within_{WANTED_POINTS:g}_points", "median_error_points", "error_points_95")
        result.ratios |= {
            f"{accounts}_accounts_{name}": round(float(value), 4)
            for name, value in zip(names, told, strict=True)
        }
        result.rows.append((f"{accounts} accounts", *(f"{value:.4f}" for value in told), "", ""))


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

    right = audit(planted.drawing(), runs, planted.DELTA)
    result.ratios["epsilon_shown"] = right.epsilon
    result.rows.append(("as it is", f"{right.epsilon:.3f}", f"{runs}", "", "", ""))
    for name, leak in planted.LEAKS.items():
        shown = audit(planted.drawing(**leak), LEAK_RUNS, planted.DELTA).epsilon
        result.ratios[f"epsilon_shown_{name.replace(' ', '_')}"] = shown
        result.rows.append((name, f"{shown:.3f}", f"{LEAK_RUNS}", "", "", ""))
    with planted.threshold_too_low():
        hits = planted.name_of_one_account_is_released(LEAK_RUNS)
    low = at_least(hits, LEAK_RUNS, 1 - CONFIDENCE)
    result.ratios["threshold_too_low_over_delta"] = low / planted.DELTA
    result.rows.append(("threshold too low", f"{low:.3f} of {planted.DELTA:g}", "", "", "", ""))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--only", choices=("utility", "audit"))
    given = parser.parse_args()
    result = Result("strict", given.quick)
    seeds, runs = (QUICK_SEEDS, QUICK_RUNS) if given.quick else (SEEDS, RUNS)
    if given.only != "audit":
        utility(result, seeds)
        within_wanted(result, QUICK_DRAWS if given.quick else DRAWS)
    if given.only != "utility":
        audits(result, runs)
    result.work = {"seeds": seeds, "paired_runs": runs, "epsilon": EPSILON, "delta": DELTA}
    head = ("what", "names / epsilon shown", "worst error / runs", "mean", "of traffic", "overlap")
    result.report(head)


if __name__ == "__main__":
    main()
