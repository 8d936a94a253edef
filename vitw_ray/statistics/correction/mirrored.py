"""Rows of the table `corrected` about mirroring."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from vitw_ray.facets import RESPONSE_TYPES
from vitw_ray.gate import Mask
from vitw_ray.statistics.block import ConversationBlock
from vitw_ray.statistics.contingency import CodedFacet, Integers, to_ancestors
from vitw_ray.statistics.correction import corrected
from vitw_ray.statistics.correction.measures import share_states
from vitw_ray.statistics.correction.rows import Correction, Row, numbers_of


def mirroring(correction: Correction, raw: pa.Table) -> Iterator[Row]:
    """The share of mirrored conversations of each response type, at each level."""
    answers, types = correction.answers, correction.types
    of_people, of_reader = answers.base
    for row in raw.to_pylist():
        code = RESPONSE_TYPES.index(row["response_type"])
        sample = correction.sample(
            _states(answers.people, of_people & types.people[:, code], row["level"]),
            _states(answers.reader, of_reader & types.reader[:, code], row["level"]),
        )
        n, k = row["conversations"], row["mirrored"]
        found = corrected.share(sample, [[0, n - k, k]], least=correction.least)
        if found.reason is None:
            names = {"measure": "share", "facet": "mirroring", "label": "mirrored"}
            over = {"over_facet": "response_types", "over": row["response_type"]}
            yield {**names, **over, "level": row["level"], "raw": k / n, **numbers_of(found)}


def _states(block: ConversationBlock, base: Mask, level: int) -> Integers:
    """Outside the base or without a human value; with one; with one that the assistant shows."""
    twins = block.vocabulary.ai_twins_of_human(level)
    ai = block.ai_at(level)
    shown = _pairs(to_ancestors(block.human, twins, ai.size)) & _pairs(ai)
    mirrored = np.zeros(base.size, bool)
    mirrored[[row for row, _ in shown]] = True
    stated = np.zeros(base.size, bool)
    stated[block.human.rows] = True
    return share_states(base & stated, mirrored)


def _pairs(facet: CodedFacet) -> set[tuple[int, int]]:
    return set(zip(facet.rows.tolist(), facet.codes.tolist(), strict=True))
