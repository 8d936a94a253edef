"""What people and the reader said of the reviewed conversations, side by side, as codes.

Rows of `extractions` and a reviewed file -> two blocks with the same rows and the same vocabulary.
Labels of people are matched to the vocabulary by their spelling, without regard to case, hyphens
and spaces.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vitw_ray.errors import InputError
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.gate import Mask
from vitw_ray.records import EXTRACTIONS
from vitw_ray.statistics.block import COLUMNS, ConversationBlock
from vitw_ray.statistics.codebook import Codebook
from vitw_ray.statistics.contingency import CodedFacet
from vitw_ray.statistics.correction.reviewed_file import ReviewedFile, ReviewedRow
from vitw_ray.statistics.correction.sample import Reviewed

TOLERANCE = 0.1  # ours: by which a sample may miss the size of its run, as when a few rows failed

REVIEWED_COLUMNS = (*COLUMNS, "confidence")

_SEPARATORS = re.compile(r"[\s\-]+")


@dataclass(frozen=True, eq=False)
class Answers:
    """The reviewed conversations of a run; masks and matrices have a row for each."""

    design: Reviewed  # without states
    people: ConversationBlock
    reader: ConversationBlock
    details: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Number of reviewed conversations."""
        return self.design.rows

    @cached_property
    def base(self) -> tuple[Mask, Mask]:
        """Which are subjective, by people and by the reader."""
        return _subjective(self.people), _subjective(self.reader)

    def both(self, facet_of: Callable[[ConversationBlock], CodedFacet]) -> tuple[Mask, Mask]:
        """Which hold each code of a facet, by people and by the reader: [rows, codes]."""
        of_people, of_reader = (
            _dense(facet_of(block), self.rows) & base[:, None]
            for block, base in zip((self.people, self.reader), self.base, strict=True)
        )
        return of_people, of_reader


def put_together(
    file: ReviewedFile, reader: pa.Table, conversations: int, from_level: int, codes: Codebook
) -> Answers:
    """Put both sides together.

    Args:
        file: what people said.
        reader: rows of `extractions` of the reviewed conversations.
        conversations: of the run.
        from_level: lowest subjectivity that counts as subjective.
        codes: the vocabulary.

    Raises:
        InputError: the sample is of another run.
    """
    place = {name: n for n, name in enumerate(reader["conversation_id"].to_pylist())}
    known = [row for row in file.rows if row.conversation_id in place]
    told = [row for row in known if row.subjectivity is not None]
    if not told:
        raise InputError(
            f"--reviewed {file.address} names no conversation of this run that people have judged",
            "give the file that was drawn from this run",
        )
    reader = reader.take(pa.array([place[row.conversation_id] for row in told]))
    said, lost = _as_the_reader(told, reader, from_level, codes)
    details = {
        "reviewed": len(told),
        "reviewed_not_in_run": len(file.rows) - len(known),
        "reviewed_without_judgement": len(known) - len(told),
        "reviewed_values": sum(len(row.ai_values) + len(row.human_values) for row in told),
        "reviewed_values_not_in_vocabulary": lost,
    }
    design = _design(file, known, told, reader, conversations)
    nothing = pa.chunked_array([pa.nulls(len(told), pa.string())])  # tasks of people: not coded
    return Answers(
        design,
        ConversationBlock(said, nothing, codes),
        ConversationBlock(reader, nothing, codes),
        details,
    )


def _as_the_reader(
    rows: Sequence[ReviewedRow], reader: pa.Table, from_level: int, codes: Codebook
) -> tuple[pa.Table, int]:
    """The answers of people in the columns of the reader, and how many labels are unknown."""
    columns = {name: reader[name] for name in COLUMNS}
    schema = pa.schema([EXTRACTIONS.field(name) for name in COLUMNS])
    lost = 0
    for facet in VALUE_FACETS:
        labels = codes.labels[facet]
        label_of = {_folded(name): labels[code] for name, code in codes.codes[facet].items()}
        named = [[label_of.get(_folded(label)) for label in getattr(row, facet)] for row in rows]
        lost += sum(one is None for labels in named for one in labels)
        values = [
            [{"label": one, "explicit": False} for one in dict.fromkeys(labels) if one is not None]
            for labels in named
        ]
        columns[facet] = pa.chunked_array([pa.array(values, schema.field(facet).type)])
    subjective = [(row.subjectivity or 0) >= from_level for row in rows]
    columns["is_subjective"] = pa.chunked_array([pa.array(subjective)])
    types = pa.array([row.response_type for row in rows], pa.string())
    columns["response_type"] = pa.chunked_array([types])
    return pa.table(columns, schema=schema), lost


def _folded(label: str) -> str:
    return _SEPARATORS.sub(" ", label).strip().casefold()


def _design(
    file: ReviewedFile,
    known: Sequence[ReviewedRow],
    told: Sequence[ReviewedRow],
    reader: pa.Table,
    conversations: int,
) -> Reviewed:
    """The design of the sample. Rows that people did not judge count as not drawn."""
    drawn, judged = (Counter(row.stratum for row in rows) for rows in (known, told))
    if file.even:
        probability = np.full(len(told), min(len(told) / conversations, 1.0))
    else:
        stated = [row.probability or 1.0 for row in told]
        kept = [judged[row.stratum] / drawn[row.stratum] for row in told]
        probability = np.array(stated) * np.array(kept)
        described = float(np.sum(1 / probability))
        if abs(described / conversations - 1) > TOLERANCE:
            raise InputError(
                f"--reviewed {file.address} describes a sample of {described:,.0f} conversations,"
                f" and the run has {conversations:,}",
                "give the file that was drawn from this run, whole",
            )
        probability = np.minimum(probability * described / conversations, 1.0)
    accounts = zip(reader["account_id"].to_pylist(), told, strict=True)
    nothing = np.zeros(len(told), np.int64)
    return Reviewed(
        probability,
        _coded([row.stratum for row in told]),
        _coded([f"row {row.conversation_id}" if a is None else a for a, row in accounts]),
        nothing,
        nothing,
        nothing,
    )


def _coded(names: Sequence[str | None]) -> NDArray[np.int64]:
    code_of = {name: code for code, name in enumerate(sorted({name or "" for name in names}))}
    return np.array([code_of[name or ""] for name in names], np.int64)


def _subjective(block: ConversationBlock) -> Mask:
    """A conversation that could not be read counts as one that is not subjective."""
    return block.table["is_subjective"].fill_null(False).to_numpy().astype(bool)


def _dense(facet: CodedFacet, rows: int) -> Mask:
    held = np.zeros((rows, facet.size), bool)
    held[facet.rows, facet.codes] = True
    return held
