"""Run folders with thousands of read conversations, made without the pipeline, and their people."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from vitw_ray.evaluation.review.page import FORMAT
from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.opened_run import OpenedRun, open_run
from vitw_ray.records import CONVERSATIONS, EXTRACTIONS, LABELS, TAXONOMY
from vitw_ray.run_folder import StageFolder, entries, pretty_json
from vitw_ray.storage import Storage

Row = dict[str, Any]
KEPT = ("care", "fairness", "honesty", "thrift")
STAGES = {"conversations": 1, "extractions": 2, "labels": 3, "taxonomy": 4}
PRIVATE = ("conversations", "extractions")


def a_population(rows: int, seed: int = 0, text: str = "What should I do?") -> list[Row]:
    """Rows of `extractions` with `messages`: two assistants, three languages, some failures."""
    made = random.Random(seed)
    return [a_row(f"c-{number:05d}", made, text) for number in range(rows)]


def a_row(name: str, made: random.Random, text: str) -> Row:
    """One conversation as a reader found it."""
    level = made.choices((1, 2, 3, 4), (40, 20, 30, 10))[0]
    failed = made.random() < 0.03
    subjective = level >= 3 and not failed

    def values() -> list[Row]:
        found = made.sample(KEPT, made.randint(0, 3)) if subjective else []
        return [{"label": v, "explicit": False, "grounded": None, "salience": None} for v in found]

    reply = "Some advice. " * made.choice((1, 1, 100, 900))
    return {
        "conversation_id": name,
        "prompt_id": None,
        "account_id": f"account-{made.randrange(10**9)}",
        "model": made.choices(("heron", "osprey"), (3, 1))[0],
        "source": "made",
        "language": made.choices(("en", "de", None), (6, 3, 1))[0],
        "created_at": None,
        "extractor": "made",
        "subjectivity": None if failed else level,
        "is_subjective": None if failed else level >= 3,
        "confidence": None if failed else made.uniform(0.5, 1),
        "task": "decide what to do" if subjective else None,
        "human_values": values(),
        "ai_values": values(),
        "response_type": made.choice(RESPONSE_TYPES) if subjective else None,
        "error": "no_json" if failed else None,
        "prompt_tokens": 0,
        "output_tokens": 0,
        "truncated_share": 0.0,
        "messages": [{"role": "user", "content": text}, {"role": "assistant", "content": reply}],
    }


def write_run(root: Path | str, rows: Sequence[Row], parts: int = 2) -> OpenedRun:
    """A run folder whose tables hold these rows."""
    storage = Storage(str(root))
    labels = [
        {"facet": facet, "label": label, "conversations": 9, "accounts": 9, "share": 0.1}
        | {"kept": label in KEPT}
        for facet in ("ai_values", "human_values")
        for label in (*KEPT, "rarely seen value")
    ]
    tree = [_node(facet, *node) for facet in ("ai_values", "human_values") for node in _TREE]
    tables: dict[str, list[pa.Table]] = {
        "conversations": [_table(CONVERSATIONS, rows[n::parts]) for n in range(parts)],
        "extractions": [_table(EXTRACTIONS, rows[n::parts]) for n in range(parts)],
        "labels": [_table(LABELS, labels)],
        "taxonomy": [_table(TAXONOMY, tree)],
    }
    stages = []
    for name, number in STAGES.items():
        folder = StageFolder(storage, f"{number}_{name}-0")
        files = [
            folder.write_table(name, part, place, private=name in PRIVATE)
            for place, part in enumerate(tables[name])
        ]
        folder.publish({"files": entries(files), "versions": {}})
        stages.append({"name": name, "folder": folder.name})
    run = {
        "config": {"extraction": {"subjective_from": 3}},
        "stages": stages,
        "tables": {name: {"rows": sum(map(len, found))} for name, found in tables.items()},
        "totals": {"extractions": len(rows)},
        "vitw_ray": "0",
    }
    storage.write("run.json", pretty_json(run))
    return open_run(str(root))


_TREE = (
    ("care", 0, "warm"),
    ("fairness", 0, "cool"),
    ("honesty", 0, "cool"),
    ("thrift", 0, "cool"),
    ("warm", 1, None),
    ("cool", 1, None),
)


def _node(facet: str, name: str, level: int, parent: str | None) -> Row:
    return {
        "facet": facet,
        "cluster_id": name if level == 0 else f"{facet}-{name}",
        "level": level,
        "parent_cluster_id": None if parent is None else f"{facet}-{parent}",
        "name": name,
        "description": name,
        "conversations": 9,
        "pct_total_occurrences": 1.0,
    }


def _table(schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist([{n: row[n] for n in schema.names} for row in rows], schema)


# --- People


def a_person(name: str, share: int, sample: pa.Table, digest: str, answers: Mapping[str, Row]):
    """The file of somebody who gives these answers to the conversations of a share."""
    mine = [
        row["conversation_id"] for row in sample.to_pylist() if row["labeller"] in (None, share)
    ]
    labels = [{"conversation_id": one, "note": "", "skipped": False} | answers[one] for one in mine]
    return {"format": FORMAT, "sample": digest, "labeller": name, "share": share, "labels": labels}


def with_errors(rows: Sequence[Row], error: float, seed: int) -> dict[str, Row]:
    """What somebody answers who is on the other side of the gate than the reader with `error`."""
    made = random.Random(seed)
    found = {}
    for row in rows:
        level = row["subjectivity"] or 1
        if made.random() < error:
            level = 1 if level >= 3 else 3
        subjective = level >= 3
        response = row["response_type"] or made.choice(RESPONSE_TYPES)
        found[row["conversation_id"]] = {
            "subjectivity": level,
            "response_type": response if subjective else None,
            "ai_values": [v["label"] for v in row["ai_values"]] if subjective else [],
            "human_values": [v["label"] for v in row["human_values"]] if subjective else [],
        }
    return found
