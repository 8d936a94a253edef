"""Stage 5: `extractions`, labels, taxonomy -> associations, response types, variation, mirroring.

Statistics are monoids: each part of the table becomes integer counts, the counts of parts add up in
any order to the same bits, and floats are computed once, from the sums. Over all of it, a
conversation is one that is subjective and has no error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vitw_ray import cluster
from vitw_ray.records import (
    ASSOCIATIONS,
    MIRRORING,
    RESPONSE_TYPE_SHARES,
    RESPONSE_TYPES,
    VARIATION,
)
from vitw_ray.run_folder import FileEntry, StageReport, read_part
from vitw_ray.stages import StageContext
from vitw_ray.statistics.contingency import Axis, Counts, Facet, deduplicate, to_ancestors
from vitw_ray.statistics.mirroring import MirroringCounts, count_mirroring, mirroring
from vitw_ray.statistics.residuals import associations
from vitw_ray.statistics.response_types import by_category, by_model
from vitw_ray.statistics.variation import variation
from vitw_ray.statistics.vocabulary import Vocabulary, read_vocabulary
from vitw_ray.storage import Storage

GROUPS = 32  # units at most (ours: a matrix of counts crosses the network once a unit)
COLUMNS = (
    "conversation_id",
    "model",
    "is_subjective",
    "human_values",
    "ai_values",
    "response_type",
)

Partial = dict[str, Counts | MirroringCounts]


def analyze(context: StageContext) -> StageReport:
    """Count part by part, add up, and compute the tables once."""
    vocabulary = read_vocabulary(context)
    parts = context.tables["extractions"].files
    assignments = context.tables["task_assignments"].files
    counter = _Counter(context.storage, parts, assignments, [cluster.share(vocabulary)])
    groups = np.array_split(np.arange(len(parts)), min(GROUPS, len(parts)))
    units = [{"first": int(g[0]), "last": int(g[-1])} for g in groups]
    merged: Partial = {}
    for partial in cluster.stream(units, counter):
        merged = add(merged, partial)
    tables = compute(merged, vocabulary, context.config.statistics.alpha)
    files = [context.folder.write_table(name, table) for name, table in tables.items()]
    return StageReport(
        files=files,
        rows_in=context.tables["extractions"].rows,
        rows_out=sum(table.num_rows for table in tables.values()),
        details={
            "comparisons_per_column": {
                f"level_{level}": len(names) for level, names in enumerate(vocabulary.ai_levels)
            },
            "subjective_conversations": _of(merged, "ai_0 x tasks").conversations,
        },
    )


@dataclass(frozen=True)
class _Counter:
    """Counts a few parts of `extractions`."""

    storage: Storage
    parts: Sequence[FileEntry]
    assignments: Sequence[FileEntry]
    vocabulary: list[Any]  # a reference into shared memory

    def __call__(self, unit: cluster.Unit) -> Partial:
        vocabulary: Vocabulary = cluster.shared(self.vocabulary[0])
        merged: Partial = {}
        for part in range(unit["first"], unit["last"] + 1):
            extractions = read_part(self.storage, self.parts[part], COLUMNS)
            tasks = read_part(self.storage, self.assignments[part])
            merged = add(merged, count_block(extractions, tasks, vocabulary))
        return merged


def add(a: Partial, b: Partial) -> Partial:
    """Both sets of counts; an empty one is the zero of any other."""
    if not a or not b:
        return a or b
    return {name: counts.add(b[name]) for name, counts in a.items()}  # type: ignore[arg-type]


def count_block(extractions: pa.Table, tasks: pa.Table, vocabulary: Vocabulary) -> Partial:
    """All counts of one block of `extractions` and its `task_assignments`."""
    block = extractions.filter(pc.field("is_subjective"))
    n = block.num_rows
    ai = values_of(block["ai_values"], vocabulary.ai_codes, len(vocabulary.ai_levels[0]))
    human = values_of(block["human_values"], vocabulary.human_codes, len(vocabulary.human))
    cluster_of = dict(
        zip(tasks["conversation_id"].to_pylist(), tasks["cluster_id"].to_pylist(), strict=True)
    )
    task = single(
        [cluster_of.get(i) for i in block["conversation_id"].to_pylist()], vocabulary.tasks
    )
    kind = single(block["response_type"].to_pylist(), RESPONSE_TYPES)
    model = single(block["model"].to_pylist(), vocabulary.models)
    partial: Partial = {
        "types x models": Counts.of(kind, model, n),
        "types x tasks": Counts.of(kind, task, n),
        "types x human": Counts.of(kind, human, n),
        "human x tasks": Counts.of(human, task, n),
    }
    for level, names in enumerate(vocabulary.ai_levels):
        values = to_ancestors(ai, vocabulary.ai_ancestors[level], len(names))
        partial[f"ai_{level} x tasks"] = Counts.of(values, task, n)
        partial[f"ai_{level} x human"] = Counts.of(values, human, n)
        partial[f"ai_{level} x types"] = Counts.of(values, kind, n)
        twins = vocabulary.ai_twins_of_human(level)
        partial[f"mirroring_{level}"] = count_mirroring(human, values, twins, kind, task, n)
    return partial


def values_of(column: pa.ChunkedArray, codes: dict[str, int], size: int) -> Facet:
    """A list<value> column as codes; labels outside the vocabulary are left out."""
    lists = column.combine_chunks()
    if isinstance(lists, pa.ChunkedArray):  # a table without rows has no chunk
        lists = pa.concat_arrays(lists.chunks) if lists.chunks else column.type.wrap_array([])
    encoded = lists.flatten().field("label").dictionary_encode()
    lookup = np.array([codes.get(v, -1) for v in encoded.dictionary.to_pylist()], dtype=np.int64)
    found = lookup[encoded.indices.to_numpy()] if len(lookup) else np.zeros(0, np.int64)
    rows = lists.value_parent_indices().to_numpy()
    return Facet(*deduplicate(rows[found >= 0], found[found >= 0]), size)


def single(values: Sequence[str | None], names: Sequence[str]) -> Facet:
    """A column with at most one name a row as codes."""
    code_of = {name: code for code, name in enumerate(names)}
    codes = np.array([code_of.get(v, -1) if v is not None else -1 for v in values], dtype=np.int64)
    rows = np.flatnonzero(codes >= 0)
    return Facet(*deduplicate(rows, codes[rows]), len(names))


def compute(merged: Partial, vocabulary: Vocabulary, alpha: float) -> dict[str, pa.Table]:
    """The four tables, from the counts of all parts."""
    task = Axis("tasks", vocabulary.tasks)
    human = Axis("human_values", vocabulary.human)
    kind = Axis("response_types", RESPONSE_TYPES)
    label = Axis("ai_values", vocabulary.ai_levels[0])
    found, mirrored = [ASSOCIATIONS.empty_table()], [MIRRORING.empty_table()]
    for level, names in enumerate(vocabulary.ai_levels):
        row = Axis("ai_values", names, level)
        for name, column in (("tasks", task), ("human", human), ("types", kind)):
            counts = _of(merged, f"ai_{level} x {name}")
            found.append(
                associations(
                    counts,
                    row,
                    column,
                    comparisons=max(len(names), 1),  # paper, 2: one family per column
                    alpha=alpha,
                    least_observed=1,
                )
            )
        counts_of_level = merged[f"mirroring_{level}"]
        assert isinstance(counts_of_level, MirroringCounts)
        axis = Axis("response_types", RESPONSE_TYPES, level)
        mirrored.append(mirroring(counts_of_level, axis, len(names)))
    return {
        "response_types": pa.concat_tables(
            [
                RESPONSE_TYPE_SHARES.empty_table(),
                by_model(_of(merged, "types x models"), kind, Axis("models", vocabulary.models)),
                by_category(_of(merged, "types x tasks"), kind, task),
                by_category(_of(merged, "types x human"), kind, human),
            ]
        ),
        "associations": pa.concat_tables(found),
        "variation": pa.concat_tables(
            [
                VARIATION.empty_table(),
                variation(_of(merged, "ai_0 x tasks"), label, task),
                variation(_of(merged, "ai_0 x human"), label, human),
                variation(_of(merged, "human x tasks"), human, task),
            ]
        ),
        "mirroring": pa.concat_tables(mirrored),
    }


def _of(merged: Partial, name: str) -> Counts:
    counts = merged[name]
    assert isinstance(counts, Counts)
    return counts
