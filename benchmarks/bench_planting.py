"""What fifty planted chats with a hostile reader tell of one more person.

The game of `vitw_ray/evaluation/planting.py` against both kinds of release, and against outputs of
the same conversations in the shape of other programs, which must fail for the attack to mean
anything: OpenClio writes each cluster with its exact count, Kura the clusters above a size.
Releases are made by the code of `vitw publish` from counted conversations, without Ray and without
a server: the labels are what the hostile reader answers.

    python benchmarks/bench_planting.py [--quick]
"""

from secrets import token_bytes

import numpy as np
import pyarrow as pa
from harness import Result, parser_of

from vitw_ray.config import LabelsConfig
from vitw_ray.evaluation.planting import ATTACKERS, Planting, Release, Seen, points_above_guessing
from vitw_ray.keys import Keyed
from vitw_ray.publishing.bounded import bounded_counts, keyed_noise
from vitw_ray.records import LABELS
from vitw_ray.release.settings import StrictSettings, ThresholdSettings
from vitw_ray.release.strict.bounds import Bounds
from vitw_ray.release.strict.measure import measure
from vitw_ray.release.strict.noise import ExactNoise
from vitw_ray.release.strict.population import Population
from vitw_ray.release.strict.sharing import budget_of
from vitw_ray.release.threshold import rounded_labels

GAMES, QUICK_GAMES = 200, 100
EPSILON, DELTA = 1.0, 1e-6
KURA_LEAST = 10  # ours: the clusters that a page of Kura is cut to
PLANTINGS = {
    "50 accounts, 50 chats a label": Planting(50, 50),
    "50 accounts, 14 chats a label": Planting(50, 14),
    "4 accounts, 14 chats a label": Planting(4, 14),
}


def threshold_release(people: Population, game: int) -> Seen:
    """As `vitw publish --kind threshold` counts."""
    settings, thresholds = ThresholdSettings(), LabelsConfig()
    rows = [
        {"facet": f, "label": x, "conversations": 1, "accounts": 1, "share": 0.0, "kept": True}
        for f in ATTACKERS
        for x in people.facets[f].names
    ]
    every = pa.Table.from_pylist(rows, LABELS)
    named = np.ones(int(people.accounts.max()) + 1, bool)
    found = bounded_counts(people, named, every, settings.account_conversations)
    noise = keyed_noise(Keyed(token_bytes(32)), str(game))
    shown = rounded_labels(found, settings.round_to, thresholds, noise).to_pylist()
    return {(row["facet"], row["label"]): float(row["conversations"]) for row in shown}


def strict_release() -> Release:
    """As `vitw publish --kind strict` measures."""
    asked = StrictSettings()
    bounds = Bounds(asked.account_conversations, asked.conversation_pairs, DELTA / 2)

    def release(people: Population, game: int) -> Seen:
        budget = budget_of(people, bounds, EPSILON, DELTA / 2, ExactNoise())
        found = measure(people, bounds, budget)
        return {
            (facet, name): float(count)
            for facet in ATTACKERS
            for name, count in zip(
                found.facets[facet].names, found.facets[facet].counts.tolist(), strict=True
            )
        }

    return release


def exact(least: int) -> Release:
    """Names with exact counts, from some size on."""

    def release(people: Population, game: int) -> Seen:
        return {
            (facet, name): float(count)
            for facet in ATTACKERS
            for name, count in zip(
                people.facets[facet].names, people.facets[facet].counts().tolist(), strict=True
            )
            if count >= least
        }

    return release


def main() -> None:
    given = parser_of(__doc__).parse_args()
    games = QUICK_GAMES if given.quick else GAMES
    result = Result("planting", given.quick)
    releases: dict[str, Release] = {
        "strict": strict_release(),
        "threshold": threshold_release,
        "openclio_shaped": exact(0),
        "kura_shaped": exact(KURA_LEAST),
    }
    for name, release in releases.items():
        for words, planting in PLANTINGS.items():
            points = points_above_guessing(release, planting, games)
            result.rows.append((name, words, f"{points:+.1f}"))
            key = f"{name}_points"
            result.ratios[key] = max(points, result.ratios.get(key, -50.0))
    result.work = {"games": games, "epsilon": EPSILON, "delta": DELTA}
    result.report(("release", "planted", "points above guessing"))


if __name__ == "__main__":
    main()
