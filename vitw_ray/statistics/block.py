"""A block of `extractions` as codes: the input of every count of stage 5.

In all statistics, a conversation is subjective and has no error. Other rows are dropped here, and
only here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from vitw_ray.config import Period
from vitw_ray.facets import RESPONSE_TYPES, VALUE_FACETS, ValueFacet
from vitw_ray.gate import OTHER, Mask
from vitw_ray.statistics.account_groups import account_groups
from vitw_ray.statistics.cell_accounts import People, hashes_of
from vitw_ray.statistics.codebook import Codebook
from vitw_ray.statistics.contingency import CodedFacet, Integers, deduplicate, to_ancestors
from vitw_ray.stored_tables import one_array

COLUMNS = (
    "conversation_id",
    "prompt_id",
    "account_id",
    "model",
    "language",
    "created_at",
    "is_subjective",
    *VALUE_FACETS,
    "response_type",
)
STATED = ("stated", "none")  # whether a conversation has any human value, kept or not
PERIODS = 1 << 15  # ours: days since 1970, up to 2059


@dataclass(frozen=True)
class ConversationBlock:
    """The conversations of one block, with each facet as codes."""

    table: pa.Table  # of `extractions`, subjective rows
    clusters: pa.ChunkedArray  # of the task of each, or null
    vocabulary: Codebook

    @staticmethod
    def of(extractions: pa.Table, tasks: pa.Table, vocabulary: Codebook) -> "ConversationBlock":
        """A block of `extractions` and its `task_assignments`."""
        table = extractions.filter(pc.field("is_subjective"))
        known = pc.SetLookupOptions(one_array(tasks["conversation_id"]))
        place = pc.call_function("index_in", [table["conversation_id"]], known)
        return ConversationBlock(table, tasks["cluster_id"].take(place), vocabulary)

    @property
    def conversations(self) -> int:
        """Number of conversations."""
        return self.table.num_rows

    @cached_property
    def values(self) -> dict[ValueFacet, CodedFacet]:
        """The labels of each value facet, level 0."""
        known = self.vocabulary
        return {
            facet: values_of(self.table[facet], known.codes[facet], len(labels), known.min_salience)
            for facet, labels in known.labels.items()
        }

    @property
    def ai(self) -> CodedFacet:
        """AI values, level 0."""
        return self.values["ai_values"]

    @cached_property
    def ai_explicit(self) -> CodedFacet:
        """AI values that are explicit."""
        known = self.vocabulary
        codes, size = known.codes["ai_values"], len(known.labels["ai_values"])
        return values_of(self.table["ai_values"], codes, size, known.min_salience, explicit=True)

    def ai_at(self, level: int) -> CodedFacet:
        """AI values, or their clusters, at a level of the taxonomy."""
        return self._ai_levels[level]

    @cached_property
    def _ai_levels(self) -> list[CodedFacet]:
        known = self.vocabulary
        return [
            to_ancestors(self.ai, ancestors, len(names))
            for ancestors, names in zip(known.ai_ancestors, known.ai_levels, strict=True)
        ]

    @property
    def human(self) -> CodedFacet:
        """Human values."""
        return self.values["human_values"]

    @cached_property
    def stated(self) -> CodedFacet:
        """Whether the person stated any value, kept or not: codes of `STATED`."""
        lists = one_array(self.table["human_values"])
        rows = lists.value_parent_indices().to_numpy()
        codes = np.full(self.conversations, STATED.index("none"), np.int32)
        codes[rows[counted(lists, self.vocabulary.min_salience)]] = STATED.index("stated")
        return CodedFacet(np.arange(codes.size), codes, len(STATED))

    @cached_property
    def task(self) -> CodedFacet:
        """Clusters of the tasks, level 1."""
        return coded(self.clusters, self.vocabulary.tasks)

    @cached_property
    def response_type(self) -> CodedFacet:
        """Response types."""
        return coded(self.table["response_type"], RESPONSE_TYPES)

    @cached_property
    def model(self) -> CodedFacet:
        """Assistants; those that may not be shown are one, if the codebook has it."""
        known = set(self.vocabulary.models)
        return coded(self.table["model"], self.vocabulary.models, OTHER if OTHER in known else None)

    @cached_property
    def language(self) -> CodedFacet:
        """Languages that are compared."""
        return coded(self.table["language"], self.vocabulary.languages)

    @cached_property
    def period(self) -> CodedFacet:
        """Days, weeks or months since 1970."""
        codes = period_codes(self.table["created_at"], self.vocabulary.period)
        rows = np.flatnonzero((codes >= 0) & (codes < PERIODS))
        return CodedFacet(*deduplicate(rows, codes[rows]), PERIODS)

    @cached_property
    def ai_implicit(self) -> CodedFacet:
        """AI values that are not explicit."""
        keys, explicit = (f.rows * f.size + f.codes for f in (self.ai, self.ai_explicit))
        kept = ~np.isin(keys, explicit)
        return CodedFacet(self.ai.rows[kept], self.ai.codes[kept], self.ai.size)

    @cached_property
    def accounts(self) -> Integers:
        """A hash of the account of each conversation, `UNKNOWN` if there is none."""
        return hashes_of(self.table["account_id"])

    @cached_property
    def people(self) -> People:
        """The account of each conversation."""
        return People.of(self.accounts)

    @cached_property
    def group(self) -> CodedFacet:
        """Groups of accounts."""
        return account_groups(self.accounts, self.table["conversation_id"])

    @property
    def first_half(self) -> Mask:
        """Whether each conversation is of the first half of the accounts."""
        return self.group.codes % 2 == 0

    def by_task(self, facet: CodedFacet) -> CodedFacet:
        """A facet with one code per conversation x the task, where the last task is "none"."""
        strata = len(self.vocabulary.tasks) + 1
        task = np.full(self.conversations, strata - 1, np.int64)
        task[self.task.rows] = self.task.codes
        codes = facet.codes.astype(np.int64) * strata + task[facet.rows]
        return CodedFacet(facet.rows, codes.astype(np.int32), facet.size * strata)


def values_of(
    column: pa.ChunkedArray,
    codes: Mapping[str, int],
    size: int,
    min_salience: int = 1,
    *,
    explicit: bool = False,
) -> CodedFacet:
    """A list<value> column as codes.

    Leaves out labels that are not in the vocabulary, values below `min_salience` and, with
    `explicit`, implicit values.
    """
    lists = one_array(column)
    kept = counted(lists, min_salience)
    if explicit:
        kept &= lists.flatten().field("explicit").to_numpy(zero_copy_only=False)
    encoded = lists.flatten().field("label").dictionary_encode()
    lookup = np.array([codes.get(v, -1) for v in encoded.dictionary.to_pylist()], dtype=np.int64)
    found = lookup[encoded.indices.to_numpy()] if len(lookup) else np.zeros(0, np.int64)
    rows = lists.value_parent_indices().to_numpy()
    kept &= found >= 0
    return CodedFacet(*deduplicate(rows[kept], found[kept]), size)


def counted(lists: pa.ListArray, min_salience: int) -> NDArray[np.bool_]:
    """Mask of the values that are salient enough to count; null salience always is."""
    salience = lists.flatten().field("salience").fill_null(min_salience)
    return salience.to_numpy(zero_copy_only=False) >= min_salience


def coded(column: pa.ChunkedArray, names: Sequence[str], others: str | None = None) -> CodedFacet:
    """A column with at most one name per row, as codes; all further names count as `others`."""
    code_of = {name: code for code, name in enumerate(names)}
    rest = -1 if others is None else code_of[others]
    encoded = one_array(column).dictionary_encode()
    found = [code_of.get(name, rest) for name in encoded.dictionary.to_pylist()]
    places = encoded.indices.fill_null(len(found)).to_numpy()
    codes = np.array([*found, -1], np.int64)[places]
    rows = np.flatnonzero(codes >= 0)
    return CodedFacet(*deduplicate(rows, codes[rows]), len(names))


def period_codes(created_at: pa.ChunkedArray, period: Period) -> NDArray[np.int64]:
    """Days, weeks (from Monday) or months since 1970; -1 if there is no date."""
    microseconds = created_at.cast(pa.timestamp("us")).cast(pa.int64())
    known = microseconds.is_valid().to_numpy()
    moments = microseconds.fill_null(0).to_numpy().astype("datetime64[us]")
    if period == "month":
        codes = moments.astype("datetime64[M]").astype(np.int64)
    else:
        days = moments.astype("datetime64[D]").astype(np.int64)
        codes = days if period == "day" else (days + 3) // 7  # 1970 began on a Thursday
    return np.where(known, codes, -1)


def period_name(code: int, period: Period) -> str:
    """`2025-02-18`, `2025-W08` or `2025-02`."""
    if period == "month":
        return str(np.datetime64(code, "M"))
    first = datetime.fromtimestamp(86_400 * (code if period == "day" else 7 * code - 3), UTC)
    if period == "day":
        return first.date().isoformat()
    year, week, _ = first.isocalendar()
    return f"{year}-W{week:02d}"
