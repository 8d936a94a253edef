"""Heads from the answers of a finished run, kept for the next one: `vitw distill`.

The heads are trained before the run's private part is purged. What is written holds weights,
counts and measures, and nothing of a conversation.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from vitw_ray.agreement.measures import kappa
from vitw_ray.config import RunConfig
from vitw_ray.errors import OutputError
from vitw_ray.extraction.assemble import as_conversations
from vitw_ray.extraction.screen.features import features_of
from vitw_ray.extraction.screen.head import Head, fit_head
from vitw_ray.extraction.screen.stored import (
    FORMAT,
    HEADS,
    features_digest,
    heads_digest,
    screen_embedder_key,
)
from vitw_ray.inference.embedder import load_embedder
from vitw_ray.run_folder import TableRef, read_part
from vitw_ray.storage import Storage
from vitw_ray.versions import versions

FOLDS = 5  # ours: of the cross-validation
LEAST = 50  # ours: conversations of each class of a head, for folds that say something
_ANSWER = ("is_subjective", "response_type", "error", "extractor")


def distill(
    storage: Storage,
    conversations: TableRef,
    extractions: TableRef,
    config: RunConfig,
    rows: int,
) -> dict[str, Any]:
    """Train heads on a run's answers; returns the record that `write_heads` writes.

    Args:
        storage: of the run folder.
        conversations: its table; part for part the same rows as `extractions`.
        extractions: its table.
        config: of the run; the embedder of the screen is used.
        rows: most conversations to train on; the first ones are a random sample, as the tables are
            sorted by a hash of the id.

    Raises:
        OutputError: too few answers, or all are alike.
    """
    features, answers = _gather(storage, conversations, extractions, config, rows)
    kinds = ("subjective", "objective")
    subjective = [kinds[not is_subjective] for is_subjective in answers["is_subjective"]]
    typed = np.flatnonzero(answers["is_subjective"] & (answers["response_type"] != ""))
    heads: dict[str, Head] = {}
    metrics: dict[str, Any] = {}
    for name, of, labels in (
        ("subjective", features, subjective),
        ("response_type", features[typed], answers["response_type"][typed].tolist()),
    ):
        usable = _common(labels)
        if len({labels[n] for n in usable}) < 2:
            continue
        chosen, wanted = of[usable], [labels[n] for n in usable]
        heads[name] = fit_head(chosen, wanted)
        metrics[name] = cross_validated(chosen, wanted)
    if "subjective" not in heads:
        raise OutputError(
            f"{len(subjective)} answers of the run do not have {LEAST} subjective and {LEAST}"
            " objective conversations to train on",
            "distill a larger run",
        )
    record: dict[str, Any] = {
        "format": FORMAT,
        "embedder": config.extraction.screen_embedder,
        "embedder_key": screen_embedder_key(config),
        "features": features_digest(),
        "reader": answers["extractor"],
        "rows": len(subjective),
        "metrics": metrics,
        "versions": versions(),
        "heads": {name: head.as_json() for name, head in heads.items()},
    }
    return record | {"digest": heads_digest(record)}


def write_heads(output: str, record: dict[str, Any]) -> str:
    """Write the heads to a folder; returns the address of the file."""
    storage = Storage(output)
    storage.write(HEADS, (json.dumps(record, sort_keys=True, indent=1) + "\n").encode())
    return storage.address(HEADS)


def cross_validated(features: np.ndarray, labels: list[str]) -> dict[str, float]:
    """Agreement with the reader on conversations that the head was not trained on."""
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    wanted = np.array(labels)
    predicted = np.empty(len(labels), dtype=object)
    scores = np.zeros(len(labels))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for train, test in folds.split(features, wanted):
        head = fit_head(features[train], wanted[train].tolist())
        predicted[test] = head.predict(features[test])
        scores[test] = head.scores(features[test])[:, 0]
    found = {
        "conversations": len(labels),
        "accuracy": float(np.mean(predicted == wanted)),
        "kappa": kappa(labels, predicted.tolist()),
    }
    if len(set(labels)) == 2:
        found["auc"] = float(roc_auc_score(wanted == max(labels), scores))
    return {name: round(value, 4) for name, value in found.items()}


def _gather(
    storage: Storage,
    conversations: TableRef,
    extractions: TableRef,
    config: RunConfig,
    rows: int,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Features of answered conversations, and what the reader says of them."""
    embedder = load_embedder(config.extraction.screen_embedder)
    found: list[np.ndarray] = []
    subjective: list[bool] = []
    types: list[str] = []
    reader = ""
    for talks, answers in _parts(storage, conversations, extractions):
        taken = [
            n
            for n, row in enumerate(answers)
            if row["error"] is None and not row["extractor"].startswith("screen@")
        ][: rows - len(subjective)]
        read = as_conversations(talks.take(pa.array(taken, pa.int64())))
        found.append(features_of(embedder, read))
        subjective += [answers[n]["is_subjective"] for n in taken]
        types += [answers[n]["response_type"] or "" for n in taken]
        reader = answers[taken[0]]["extractor"] if taken else reader
        if len(subjective) >= rows:
            break
    return np.concatenate(found), {
        "is_subjective": np.array(subjective, dtype=bool),
        "response_type": np.array(types, dtype=object),
        "extractor": reader,
    }


def _parts(
    storage: Storage, conversations: TableRef, extractions: TableRef
) -> Iterator[tuple[pa.Table, list[dict[str, Any]]]]:
    for talk, answer in zip(conversations.files, extractions.files, strict=True):
        talks = read_part(storage, talk, ("conversation_id", "messages"))
        yield talks, read_part(storage, answer, _ANSWER).to_pylist()


def _common(labels: list[str]) -> list[int]:
    """Positions of labels that occur often enough to train on and to test."""
    counts = Counter(labels)
    return [n for n, label in enumerate(labels) if counts[label] >= LEAST]
