"""Answers of several assistants to the same prompt, counted for each pair of assistants.

All answers to a prompt are joined before they are counted; the counts are integers that add up in
any order. If an assistant answered a prompt more than once, the answer with the smallest
conversation id counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vitw_ray.keys import id_hash
from vitw_ray.statistics.block import ConversationBlock
from vitw_ray.statistics.contingency import (
    CodedFacet,
    Integers,
    SparseCounts,
    cross,
    cross_tally,
    deduplicate,
)
from vitw_ray.stored_tables import one_array

ANSWERS = pa.schema(
    [
        ("hash", pa.int64()),  # of the prompt
        ("prompt_id", pa.string()),
        ("conversation_id", pa.string()),
        ("model", pa.int32()),
        ("codes", pa.list_(pa.int32())),  # of AI values at level 0
        ("response_type", pa.int32()),  # -1 if none
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class PairedCounts:
    """Prompts that two assistants both answered; a monoid under `add`.

    Keys of the sparse counts are `(assistant * values + code) * assistants + other assistant`:
    prompts that both answered and where the first shows the code (`shown`), or both do (`both`).
    """

    answered: Integers  # [assistants, assistants]
    shown: SparseCounts
    both: SparseCounts

    @classmethod
    def of(cls, prompts: Integers, models: CodedFacet, values: CodedFacet) -> Self:
        """Count answers; `prompts` is the index of each answer's prompt, int64[answers], from 0.

        Must get all answers to these prompts, one per assistant.
        """
        n_prompts = int(prompts.max(initial=-1)) + 1
        answered = CodedFacet(*deduplicate(prompts[models.rows], models.codes), models.size)
        model = models.codes.astype(np.int64)[values.rows]
        size = models.size * values.size
        mine = CodedFacet(
            *deduplicate(prompts[values.rows], model * values.size + values.codes), size
        )
        # a row for each prompt and code that any assistant shows there
        label_of, label = np.unique(
            mine.rows * values.size + mine.codes % values.size, return_inverse=True
        )
        shows = CodedFacet(*deduplicate(label, mine.codes // values.size), models.size)
        named = CodedFacet(*deduplicate(label, mine.codes), size)
        return cls(
            cross(answered, answered, n_prompts),
            cross_tally(mine, answered, n_prompts),
            cross_tally(named, shows, label_of.size),
        )

    def add(self, other: Self) -> Self:
        """The counts of both sets of prompts."""
        return type(self)(
            self.answered + other.answered,
            self.shown.add(other.shown),
            self.both.add(other.both),
        )


def answers_of(block: ConversationBlock) -> pa.Table:
    """The rows of a block that have a prompt id and an assistant, in the schema `ANSWERS`."""
    prompts = block.table["prompt_id"].to_pylist()
    ids = block.table["conversation_id"].to_pylist()
    model, kind = (np.full(block.conversations, -1, np.int32) for _ in range(2))
    model[block.model.rows] = block.model.codes
    kind[block.response_type.rows] = block.response_type.codes
    held = np.bincount(block.ai.rows, minlength=block.conversations)
    codes = np.split(block.ai.codes, np.cumsum(held)[:-1]) if held.size else []
    rows = [r for r, prompt in enumerate(prompts) if prompt is not None and model[r] >= 0]
    return pa.Table.from_pylist(
        [
            {
                "hash": id_hash(prompts[r]),
                "prompt_id": prompts[r],
                "conversation_id": ids[r],
                "model": model[r],
                "codes": codes[r],
                "response_type": kind[r],
            }
            for r in rows
        ],
        ANSWERS,
    )


def count_paired(
    answers: pa.Table, models: int, types: int, levels: Mapping[int, tuple[NDArray[np.int32], int]]
) -> dict[str, PairedCounts]:
    """Counts of AI values at each level and of response types, from all answers to some prompts.

    `levels` maps a level to (ancestor of each code, number of ancestors).
    """
    order = [("prompt_id", "ascending"), ("model", "ascending"), ("conversation_id", "ascending")]
    answers = answers.sort_by(order)
    prompts = _numbered(answers["prompt_id"])
    model = answers["model"].to_numpy().astype(np.int64)
    first = np.ones(answers.num_rows, bool)
    first[1:] = (prompts[1:] != prompts[:-1]) | (model[1:] != model[:-1])
    answers, prompts, model = answers.filter(pa.array(first)), prompts[first], model[first]
    asked = CodedFacet(np.arange(model.size), model.astype(np.int32), models)
    kind = answers["response_type"].to_numpy().astype(np.int64)
    known = np.flatnonzero(kind >= 0)
    lists = one_array(answers["codes"])
    rows, codes = lists.value_parent_indices().to_numpy(), lists.flatten().to_numpy()
    found = {"types": CodedFacet(*deduplicate(known, kind[known]), types)}
    for level, (ancestor, size) in levels.items():
        found[f"ai_{level}"] = CodedFacet(*deduplicate(rows, ancestor[codes]), size)
    return {name: PairedCounts.of(prompts, asked, values) for name, values in found.items()}


def _numbered(column: pa.ChunkedArray) -> Integers:
    """The index of each distinct value, from 0 in the order of appearance."""
    values = column.dictionary_encode().combine_chunks()
    if not len(column):
        return np.zeros(0, np.int64)
    return values.indices.to_numpy().astype(np.int64)
