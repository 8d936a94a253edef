"""Extractions without text: parts of `extractions`, their tasks and a taxonomy, in a run folder.

Vocabularies and the number of values of a conversation are the paper's; a label's frequency is
1/rank. The tasks come with their cluster, as if stage 4 had run: no task text is made.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.records import EXTRACTIONS, TAXONOMY
from vitw_ray.run_folder import FileEntry, StageFolder

SIZES = {"ai_values": (3307, 266, 26, 5), "human_values": (2483, 266, 26, 5)}  # paper, 1.4 and 1.5
HELD = {"ai_values": (1, 7), "human_values": (0, 3)}  # 4 and 1.5 on average, as in the paper (1.3)
SUBJECTIVE = 0.44  # paper, 1.2
MODELS, WEEKS = 6, 13  # ours
PER_ACCOUNT = 3  # ours: conversations of one account on average
BLOCK_ROWS = 1 << 17
PART_ROWS = 4096  # as stage 1 writes them by default
START = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp() * 1e6)


@dataclass(frozen=True)
class Written:
    """Parts that were written."""

    extractions: list[FileEntry]
    task_assignments: list[FileEntry]
    taxonomy: list[FileEntry]


def write(folder: StageFolder, rows: int, tasks: int) -> Written:
    """Write as many rows, in parts."""
    written, number = Written([], [], []), 0
    held = np.zeros(tasks, np.int64)
    for extractions, codes in blocks(rows, tasks):
        held += np.bincount(codes[codes >= 0], minlength=tasks)
        assigned = assignments(extractions, codes)
        for first in range(0, extractions.num_rows, PART_ROWS):
            part, own = (t.slice(first, PART_ROWS) for t in (extractions, assigned))
            own = own.filter(pc.is_valid(own["cluster_id"]))
            for name, table in (("extractions", part), ("task_assignments", own)):
                entry = folder.write_table(name, table, number, private=True)
                vars(written)[name].append(entry)
            number += 1
    written.taxonomy.append(folder.write_table("taxonomy", taxonomy(held)))
    return written


def blocks(rows: int, tasks: int) -> Iterator[tuple[pa.Table, Any]]:
    """Extractions, and the code of each task, -1 for none."""
    for start in range(0, rows, BLOCK_ROWS):
        yield block(start, min(BLOCK_ROWS, rows - start), rows, tasks)


def block(start: int, n: int, of: int, tasks: int) -> tuple[pa.Table, Any]:
    """Rows of a block; `of` is how many there are in all."""
    rng = np.random.default_rng(start)
    subjective = rng.random(n) < SUBJECTIVE
    accounts = rng.integers(0, max(of // PER_ACCOUNT, 1), n)
    codes = np.where(subjective, rng.choice(tasks, n, p=zipf(tasks)), -1)
    types = rng.integers(0, len(RESPONSE_TYPES), n)
    columns: dict[str, Any] = {
        "conversation_id": pa.array(np.arange(start, start + n)).cast(pa.string()),
        "account_id": pa.array(accounts).cast(pa.string()),
        "model": names("model", MODELS).take(pa.array(rng.integers(0, MODELS, n))),
        "source": pa.repeat("invented", n),
        "created_at": START + (rng.random(n) * WEEKS * 7 * 86_400e6).astype(np.int64),
        "extractor": pa.repeat("invented@0", n),
        "subjectivity": np.where(subjective, 3, 1),
        "is_subjective": subjective,
        "task": pa.nulls(n, pa.string()),
        "response_type": pa.array(RESPONSE_TYPES).take(pa.array(types, mask=~subjective)),
        "prompt_tokens": np.zeros(n),
        "output_tokens": np.zeros(n),
        "truncated_share": np.zeros(n),
    }
    columns |= {facet: values(rng, facet, subjective) for facet in SIZES}
    arrays = [
        pa.nulls(n, f.type) if f.name not in columns else columns[f.name] for f in EXTRACTIONS
    ]
    arrays = [
        a.cast(f.type) if isinstance(a, pa.Array) else pa.array(a).cast(f.type)
        for a, f in zip(arrays, EXTRACTIONS, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=EXTRACTIONS), codes


def values(rng: np.random.Generator, facet: str, subjective: Any) -> pa.Array:
    """A column of values; a label is in a list once."""
    n, size, (least, most) = subjective.size, SIZES[facet][0], HELD[facet]
    held = np.where(subjective, rng.integers(least, most + 1, n), 0)
    rows = np.repeat(np.arange(n), held)
    fused = np.unique(rows * size + rng.choice(size, rows.size, p=zipf(size)))
    offsets = np.searchsorted(fused // size, np.arange(n + 1))
    of_value = EXTRACTIONS.field(facet).type.value_type
    columns = [
        names(facet, size).take(pa.array(fused % size)),
        pa.array(rng.random(fused.size) < 0.5),
    ]
    columns += [pa.nulls(fused.size, of_value.field(i).type) for i in range(2, len(of_value))]
    fields = [of_value.field(i) for i in range(len(of_value))]
    structs = pa.StructArray.from_arrays(columns, fields=fields)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs)


def zipf(size: int) -> Any:
    """Shares that fall with the rank."""
    weights = 1 / np.arange(1, size + 1)
    return weights / weights.sum()


def names(facet: str, size: int) -> pa.Array:
    """Labels in alphabetical order."""
    return pa.array([f"{facet.replace('_', ' ')} {code:05}" for code in range(size)])


def task_id(code: int) -> str:
    """Cluster of a task."""
    return f"tasks:l1:{code:05}"


def assignments(extractions: pa.Table, codes: Any) -> pa.Table:
    """The cluster of each task, null for rows without one."""
    ids = pa.array([task_id(code) for code in range(int(codes.max(initial=0)) + 1)])
    clusters = ids.take(pa.array(codes, mask=codes < 0))
    return pa.table({"conversation_id": extractions["conversation_id"], "cluster_id": clusters})


def taxonomy(held: Any) -> pa.Table:
    """The trees: clusters of neighbouring labels, and tasks on one level."""
    rows = []
    for facet, sizes in SIZES.items():
        ids = names(facet, sizes[0]).to_pylist()
        for level, size in enumerate(sizes):
            above = sizes[level + 1] if level + 1 < len(sizes) else None
            for code in range(size):
                parent = (
                    None if above is None else f"{facet}:l{level + 1}:{code * above // size:03}"
                )
                own = ids[code] if level == 0 else f"{facet}:l{level}:{code:03}"
                rows.append((facet, own, level, parent, 0))
    rows += [("tasks", task_id(code), 1, None, n) for code, n in enumerate(held.tolist())]
    columns = dict(
        zip(
            ("facet", "cluster_id", "level", "parent_cluster_id", "conversations"),
            zip(*rows, strict=True),
            strict=True,
        )
    )
    columns |= {"name": columns["cluster_id"], "description": columns["cluster_id"]}
    columns["pct_total_occurrences"] = [0.0] * len(rows)
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in TAXONOMY}, schema=TAXONOMY)
