"""Compare the assistants of a finished run, with differences adjusted for covariates."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa

from vitw_ray.comparison.controls import (
    MOST_ROWS,
    Adjusted,
    adjusted_difference,
    covariates,
    numbered,
)
from vitw_ray.config import RunConfig
from vitw_ray.run_folder import SUCCESS, TableRef, read_part, read_table, tables_of
from vitw_ray.side_by_side import Pair, pairs
from vitw_ray.statistics.block import COLUMNS, ConversationBlock
from vitw_ray.statistics.codebook import Codebook, read_codebook
from vitw_ray.storage import Storage

CONTROLLED = 5  # ours: number of most significant differences of a pair to adjust


@dataclass(frozen=True)
class Comparison:
    """A pair of assistants, and by AI value the difference adjusted for the covariates."""

    pair: Pair
    adjusted: Mapping[str, Adjusted]


def compare_assistants(config: RunConfig, run: Mapping[str, Any]) -> Iterator[Comparison]:
    """Yield every pair of assistants of a finished run; `run` is the content of `run.json`."""
    storage = Storage(config.execution.output)
    tables: dict[str, TableRef] = {}
    for stage in run["stages"]:
        tables |= tables_of(json.loads(storage.read(f"{stage['folder']}/{SUCCESS}")))
    (models,) = (s["details"]["models"] for s in run["stages"] if s["name"] == "labels")
    codebook = read_codebook(storage, tables, config, models)
    block = _conversations(storage, tables, codebook)
    for pair in pairs(read_table(storage, tables["model_comparison"]), config.statistics.alpha):
        if pair.groups == "models":
            labels = [row["label"] for row in islice(pair.differing, CONTROLLED)]
            yield Comparison(pair, _adjusted(block, pair, labels))


def _conversations(
    storage: Storage, tables: Mapping[str, TableRef], codebook: Codebook
) -> ConversationBlock:
    """About `MOST_ROWS` conversations: parts are hash ranges, so the first parts are a sample."""
    extractions, assignments, rows = [], [], 0
    files = zip(tables["extractions"].files, tables["task_assignments"].files, strict=True)
    for part, tasks in files:
        if rows >= MOST_ROWS:
            break
        extractions.append(read_part(storage, part, COLUMNS))
        assignments.append(read_part(storage, tasks))
        rows += extractions[-1].num_rows
    return ConversationBlock.of(
        pa.concat_tables(extractions), pa.concat_tables(assignments), codebook
    )


def _adjusted(block: ConversationBlock, pair: Pair, labels: list[str]) -> dict[str, Adjusted]:
    if not labels:
        return {}
    model = np.full(block.conversations, -1)
    model[block.model.rows] = block.model.codes
    names = block.vocabulary.models
    in_a, in_b = (model == names.index(name) for name in (pair.model_a, pair.model_b))
    in_pair = in_a | in_b
    adjust_for, accounts = covariates(block)[in_pair], numbered(block.table["account_id"])[in_pair]
    found = {}
    for label in labels:
        shown = np.zeros(block.conversations, bool)
        shown[block.ai.rows[block.ai.codes == block.vocabulary.codes["ai_values"][label]]] = True
        found[label] = adjusted_difference(shown[in_pair], in_a[in_pair], adjust_for, accounts)
    return found
