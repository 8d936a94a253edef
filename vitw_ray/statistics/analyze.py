"""Stage 5: `extractions`, labels, taxonomy -> associations and the other tables of statistics.

Statistics are monoids: each part of `extractions` becomes integer counts, the counts add up to the
same bits in any order, and floats are computed once, from the sums. Two statistics need a second
pass: answers of several assistants to one prompt are joined through storage, and significant cells
are counted again per group of accounts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from vitw_ray import cluster
from vitw_ray.records import CORRECTED, EXTRACTIONS
from vitw_ray.run_folder import FileEntry, StageReport, read_part
from vitw_ray.stages import StageContext
from vitw_ray.statistics.answered_prompts import AnswerRuns, count_prompts
from vitw_ray.statistics.block import COLUMNS, ConversationBlock
from vitw_ray.statistics.clustered import ClusteredCounts, residuals_by_account
from vitw_ray.statistics.codebook import Codebook, read_codebook
from vitw_ray.statistics.contingency import Integers
from vitw_ray.statistics.correction.answers import REVIEWED_COLUMNS, Answers, put_together
from vitw_ray.statistics.correction.confidence import confidence_bins
from vitw_ray.statistics.correction.correct import correct, languages_of, reviewed_rows
from vitw_ray.statistics.correction.corrected import Evidence
from vitw_ray.statistics.correction.reviewed_file import read_reviewed
from vitw_ray.statistics.details import details_of
from vitw_ray.statistics.paired import answers_of
from vitw_ray.statistics.partials import Partial, add_to, count_block, pack, unpack
from vitw_ray.statistics.tables import COLUMN_NAMES, column_axis, compute
from vitw_ray.storage import PRIVATE, Storage

GROUPS = 32  # units at most (ours: each unit sends one matrix of counts over the network)
BLOCK_ROWS = 1 << 17  # ours: filling and adding the matrices costs more than 50,000 rows do
Cells = dict[str, Integers]  # name of a matrix -> chosen cells, as ClusteredCounts takes them


def analyze(context: StageContext) -> StageReport:
    """Count each part, add the counts and compute the tables once."""
    models = context.manifests["labels"]["details"]["models"]
    vocabulary = read_codebook(context.storage, context.tables, context.config, models)
    if not context.manifests["labels"]["details"]["with_account"]:
        vocabulary = replace(vocabulary, thresholds=replace(vocabulary.thresholds, min_accounts=1))
    answers = _reviewed(context, vocabulary)
    if answers is not None:
        languages = languages_of(answers, Evidence.of(vocabulary.thresholds))
        vocabulary = replace(vocabulary, languages=languages)
    shared = [cluster.put_shared(vocabulary)]
    parts = context.tables["extractions"].files
    blocks = Blocks(context.storage, parts, context.tables["task_assignments"].files, shared)
    answered = AnswerRuns(context.storage, f"{PRIVATE}/{context.folder.name}/prompts")
    context.storage.delete_prefix(answered.folder)
    merged: Partial = {}
    for packed, written in cluster.stream(blocks.units(), _Counter(blocks, answered.folder)):
        add_to(merged, unpack(packed))
        answered.add(written)
    paired = count_prompts(answered, vocabulary)
    tables = compute(merged, paired, vocabulary, context.config.statistics.alpha)
    if context.manifests["labels"]["details"]["with_account"]:
        tables["associations"] = _by_account(tables["associations"], blocks, vocabulary)
    rows = context.tables["extractions"].rows
    tables["corrected"] = (
        CORRECTED.empty_table()
        if answers is None
        else correct(answers, merged, tables, rows, vocabulary)
    )
    return StageReport(
        files=[context.folder.write_table(name, table) for name, table in tables.items()],
        rows_in=context.tables["extractions"].rows,
        rows_out=sum(table.num_rows for table in tables.values()),
        details=details_of(merged, vocabulary) | _details(answers, vocabulary),
    )


def _reviewed(context: StageContext, vocabulary: Codebook) -> Answers | None:
    """What people and the reader said of the reviewed conversations; None without a sample."""
    config, storage = context.config, context.storage
    if config.statistics.reviewed is None:
        return None
    file = read_reviewed(config.statistics.reviewed)
    ids = [row.conversation_id for row in file.rows]
    parts = context.tables["extractions"].files

    def collect(unit: cluster.Unit) -> list[dict[str, Any]]:
        part = read_part(storage, parts[unit["part"]], REVIEWED_COLUMNS)
        return reviewed_rows(part, ids).to_pylist()

    units = [{"part": number} for number in range(len(parts))]
    found = [row for rows in cluster.stream(units, collect) for row in rows]
    schema = pa.schema([EXTRACTIONS.field(name) for name in REVIEWED_COLUMNS])
    table = pa.Table.from_pylist(found, schema=schema)
    rows = context.tables["extractions"].rows
    return put_together(file, table, rows, config.extraction.subjective_from, vocabulary)


def _details(answers: Answers | None, vocabulary: Codebook) -> dict[str, Any]:
    """What the manifest says of the reviewed conversations."""
    if answers is None:
        return {}
    bins = confidence_bins(answers, Evidence.of(vocabulary.thresholds))
    return {**answers.details, "confidence": bins}


@dataclass(frozen=True)
class Blocks:
    """Locations of the parts of `extractions`, for workers to read."""

    storage: Storage
    parts: Sequence[FileEntry]
    assignments: Sequence[FileEntry]
    vocabulary: list[Any]  # a reference into shared memory

    def units(self) -> list[cluster.Unit]:
        """Units of a few parts each."""
        groups = np.array_split(np.arange(len(self.parts)), min(GROUPS, len(self.parts)))
        return [{"first": int(g[0]), "last": int(g[-1])} for g in groups]

    def read(self, unit: cluster.Unit) -> Iterator[ConversationBlock]:
        """The blocks of one unit: parts in their order, some at a time."""
        vocabulary: Codebook = cluster.get_shared(self.vocabulary[0])
        for first, stop in self._blocks(unit):
            extractions, assigned = (
                pa.concat_tables([read_part(self.storage, file, columns) for file in files])
                for files, columns in (
                    (self.parts[first:stop], COLUMNS),
                    (self.assignments[first:stop], None),
                )
            )
            yield ConversationBlock.of(extractions, assigned, vocabulary)

    def _blocks(self, unit: cluster.Unit) -> Iterator[tuple[int, int]]:
        """First part and the one after the last, of each block; about `BLOCK_ROWS` each."""
        first, rows, stop = unit["first"], 0, unit["last"] + 1
        for part in range(first, stop):
            rows += self.parts[part].rows
            if rows >= BLOCK_ROWS or part == stop - 1:
                yield first, part + 1
                first, rows = part + 1, 0


@dataclass(frozen=True)
class _Counter:
    """Counts the parts of a unit and writes their answers to prompts as sorted runs."""

    blocks: Blocks
    prompts: str

    def __call__(self, unit: cluster.Unit) -> tuple[bytes, AnswerRuns]:
        merged: Partial = {}
        written = AnswerRuns(self.blocks.storage, self.prompts)
        for block in self.blocks.read(unit):
            add_to(merged, count_block(block, merged))
            written.write(answers_of(block))
        return pack(merged), written.flush()


def _by_account(associations: pa.Table, blocks: Blocks, vocabulary: Codebook) -> pa.Table:
    """Fill `residual_by_account` of the significant cells."""
    chosen = [cell for cell in _significant(associations, vocabulary) if cell[2].size]
    cells = {name: found for name, _, found in chosen}

    def count_unit(unit: cluster.Unit) -> bytes:
        merged: Partial = {}
        for block in blocks.read(unit):
            add_to(merged, count_cells(block, cells))
        return pack(merged)

    merged: Partial = {}
    for packed in cluster.stream(blocks.units() if cells else [], count_unit):
        add_to(merged, unpack(packed))
    found = np.full(associations.num_rows, np.nan)
    for name, rows, keys in chosen:
        found[rows] = residuals_by_account(merged[name], keys)
    column = associations.schema.get_field_index("residual_by_account")
    field = associations.schema.field(column)
    return associations.set_column(column, field, pa.array(found, from_pandas=True))


def count_cells(block: ConversationBlock, cells: Cells) -> Partial:
    """Chosen cells of each matrix `ai_<level> x <name>`, in each group of accounts."""
    columns = {"tasks": block.task, "human": block.human, "types": block.response_type}
    counts: Partial = {}
    for matrix, keys in cells.items():
        row, column = matrix.split(" x ")
        values = block.ai_at(int(row.removeprefix("ai_")))
        counts[matrix] = ClusteredCounts.of(values, columns[column], keys, block.group)
    return counts


def _significant(
    associations: pa.Table, vocabulary: Codebook
) -> Iterator[tuple[str, Integers, Integers]]:
    """Per matrix: its name, the indices of significant table rows, and their cell keys."""
    facet, level, row, column, significant = (
        associations[name].to_numpy()
        for name in ("column_facet", "level", "row", "column", "significant")
    )
    for at, names in enumerate(vocabulary.ai_levels):
        row_codes = {name: code for code, name in enumerate(names)}
        for name in COLUMN_NAMES:
            axis = column_axis(name, vocabulary)
            codes = {name: code for code, name in enumerate(axis.names)}
            (rows,) = np.nonzero((facet == axis.facet) & (level == at) & significant)
            keys = [row_codes[row[i]] * len(codes) + codes[column[i]] for i in rows]
            # table rows follow the order of the matrix, so the keys are sorted
            yield f"ai_{at} x {name}", rows, np.array(keys, dtype=np.int64)
