"""The screen: how many conversations skip the model, and whether the certified loss holds.

A reader of known error is simulated: its answer is the planted truth (or the label that a person
gave), flipped with a given probability. In each resample a threshold is certified on conversations
that the head was not trained on, and used on traffic of 100,000 conversations of which 44 % are
subjective. `calls` is the share of conversations that the model reads, sample and audit included.
`held` is the share of resamples whose loss is at most 2 %. `rare` is the share of labels with five
occurrences or fewer in a pool of which the reader still sees one.

Conversations of the calibration are drawn with replacement, from planted conversations or from
labelled real ones. The loss in the traffic is computed exactly, as traffic is the same draw without
end. Answers to one prompt train the head, or test it, but not both.

    python benchmarks/bench_screen.py [--quick] [--cache FOLDER]
"""

import gzip
import json
import os
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from harness import ROOT, Result, parser_of, with_one_thread

from vitw_ray.config import ExtractionConfig
from vitw_ray.evaluation.planted import PlantedConfig, plant
from vitw_ray.extraction.screen.audit import AUDIT_SHARE
from vitw_ray.extraction.screen.certify import certify
from vitw_ray.extraction.screen.features import features_of
from vitw_ray.extraction.screen.head import fit_binary
from vitw_ray.extraction.screen.training import TRAINS_EVERY
from vitw_ray.inference.embedder import load_embedder
from vitw_ray.records import Conversation, Message

DATA = Path(os.environ.get("VITW_RAY_DATA", ROOT.parent / "shared" / "data"))
ALPHA = 0.02
TRAFFIC = 100_000
SAMPLE = ExtractionConfig().screen_sample
TRAIN = SAMPLE // TRAINS_EVERY
SUBJECTIVE = 0.44  # paper, 1.1
ERRORS = (0.0, 0.005, 0.01, 0.02, 0.05)
RARE = 5  # ours: occurrences of a rare label among the conversations of a pool
HEAD_EVERY = 20  # resamples with one head, then another is trained
TIMED = 30  # conversations whose features are timed


@dataclass
class Pool:
    """Conversations to draw from: features, whether they are subjective, and their labels."""

    features: np.ndarray
    subjective: np.ndarray
    labels: list[list[str]]
    prompts: np.ndarray  # conversations of one prompt are drawn together


def talk_of(row: dict[str, Any]) -> Conversation:
    messages = tuple(Message(m["role"], m["content"]) for m in row["messages"])
    return Conversation(row["conversation_id"], messages)


def pool_of(pairs: list[tuple[dict, dict]], cache: Path | None, name: str, embedder: str) -> Pool:
    path = None if cache is None else cache / f"{name}-{embedder}.npz"
    if path is not None and path.exists():
        features = np.load(path)["X"]
    else:
        features = features_of(load_embedder(embedder), [talk_of(talk) for talk, _ in pairs])
        if path is not None:
            np.savez(path, X=features)
    labels = [
        [value["label"] for facet in ("ai_values", "human_values") for value in truth[facet]]
        for _, truth in pairs
    ]
    subjective = np.array([truth["subjectivity"] >= 3 for _, truth in pairs])
    prompts = [str(talk.get("prompt_id") or talk["conversation_id"]) for talk, _ in pairs]
    return Pool(features, subjective, labels, np.unique(prompts, return_inverse=True)[1])


def labelled(folder: Path) -> list[tuple[dict, dict]]:
    """Labelled real conversations, if they are at hand."""

    def rows(name: str) -> list[dict]:
        with gzip.open(folder / name, "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    gold = {row["conversation_id"]: row for row in rows("labels/gold_open.jsonl.gz")}
    return [
        (row, gold[row["conversation_id"]])
        for name in ("conversations.jsonl.gz", "models.jsonl.gz")
        for row in rows(name)
        if row["conversation_id"] in gold
    ]


def weights_of(pool: Pool, rows: np.ndarray) -> np.ndarray:
    """Probability of each row of a pool in traffic of which 44 % are subjective."""
    of = pool.subjective[rows]
    return np.where(of, SUBJECTIVE / of.sum(), (1 - SUBJECTIVE) / (~of).sum())


def rare_recall(pool: Pool, rows: np.ndarray, kept: np.ndarray, said: np.ndarray) -> float:
    """Share of the rare labels of the reader's subjective rows that survive the screen."""
    counts, seen = Counter[str](), set[str]()
    for row, is_kept, is_subjective in zip(rows, kept, said, strict=True):
        if is_subjective:
            counts.update(set(pool.labels[row]))
            if is_kept:
                seen.update(pool.labels[row])
    rare = [label for label, n in counts.items() if n <= RARE]
    return sum(label in seen for label in rare) / len(rare) if rare else 1.0


def halves(pool: Pool, train: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows that train the head, about `train` of them, and the others."""
    order = rng.permutation(pool.prompts.max() + 1)
    place = np.argsort(order)[pool.prompts]
    cut = np.sort(place)[train]
    return np.flatnonzero(place < cut), np.flatnonzero(place >= cut)


def study(pool: Pool, error: float, resamples: int, train: int) -> dict[str, float]:
    """Resample, certify, and count what the screen costs and saves in endless traffic."""
    rng = np.random.default_rng(0)

    def answers(rows: np.ndarray) -> np.ndarray:
        return pool.subjective[rows] ^ (rng.random(len(rows)) < error)

    calls, losses, rares, certified = [], [], [], 0
    for number in range(resamples):
        if number % HEAD_EVERY == 0:
            learnt, rows = halves(pool, train, rng)
            head = fit_binary(pool.features[learnt], answers(learnt))
            scores = head.scores(pool.features[rows])[:, 0]
            weights = weights_of(pool, rows)
            said = weights * np.where(pool.subjective[rows], 1 - error, error)
        drawn = rng.choice(len(rows), SAMPLE - TRAIN, p=weights)
        found = certify(scores[drawn], answers(rows[drawn]), ALPHA)
        certified += found.threshold is not None
        out = scores < (-np.inf if found.threshold is None else found.threshold)
        read = 1 - (1 - AUDIT_SHARE) * weights[out].sum()
        calls.append((SAMPLE + (TRAFFIC - SAMPLE) * read) / TRAFFIC)
        losses.append(said[out].sum() / said.sum())
        rares.append(rare_recall(pool, rows, ~out, answers(rows)))
    return {
        "calls": statistics.mean(calls),
        "loss": statistics.mean(losses),
        "held": sum(loss <= ALPHA for loss in losses) / resamples,
        "certified": certified / resamples,
        "rare": statistics.mean(rares),
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--cache", type=Path, help="folder that keeps features between runs")
    given = parser.parse_args()
    with_one_thread()
    embedder = "hashing" if given.quick else "minilm"
    resamples, planted_rows = (40, 2000) if given.quick else (200, 3000)
    pairs = list(plant(PlantedConfig(conversations=planted_rows), 0, planted_rows))
    result = Result("screen", given.quick)
    timed = load_embedder("minilm")
    started = time.process_time()
    features_of(timed, [talk_of(talk) for talk, _ in pairs[:TIMED]])
    per_s = TIMED / (time.process_time() - started)
    result.rates["planted_conversations_per_cpu_s"] = per_s
    studies = {
        f"planted, error {error:.1%}": (pool_of(pairs, given.cache, "planted", embedder), error)
        for error in ERRORS
    }
    if (DATA / "labels" / "gold_open.jsonl.gz").exists():
        gold = pool_of(labelled(DATA), given.cache, "gold", embedder)
        studies["labelled, as labelled"] = (gold, 0.0)
    for name, (pool, error) in studies.items():
        train = min(TRAIN, len(pool.subjective) // 2)
        found = study(pool, error, resamples, train)
        short = name.replace(", ", "_").replace(" ", "_").replace("%", "").replace(".", "_")
        result.ratios |= {f"{short}_{key}": value for key, value in found.items()}
        result.rows.append((name, *(f"{value:.3f}" for value in found.values())))
    result.work = {
        "resamples": resamples,
        "traffic": TRAFFIC,
        "sample": SAMPLE,
        "embedder": embedder,
        "planted": planted_rows,
        "cpu_ms_per_conversation_minilm": round(1000 / per_s, 1),
    }
    result.report(("reader", "calls", "loss", "held", "certified", "rare"))


if __name__ == "__main__":
    main()
