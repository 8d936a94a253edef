"""Bytes in storage and requests to it, for each row."""

import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.run_folder import ROW_GROUP_ROWS

BYTES_PER_ROW = {"extractions": 70.0, "answers": 107.0, "task_assignments": 13.0}
"""Of runs of 7,000 to 10,000 conversations with the lexicon; answers as they are committed."""
AGGREGATES = 8 << 20  # ours: all tables of counts, page and release; they hardly grow with the rows
VECTOR_BYTES = {"minilm": 1_536, "mpnet": 3_072}  # 384 and 768 numbers of 4 bytes
MOST_VECTOR_BYTES = 4_096  # ours: of another embedder
OPENS_PER_ROW = 0.002068 + 0.003906 + 0.004689 + 0.004445
"""Stage 1; answering, looking again, assembling of stage 2: at ten million rows, units of 256
(`benchmarks/results/sort_growth.json` and `growth.json`)."""
WRITES_PER_ROW = 0.0042 + 0.000244
LISTS_PER_ROW = 0.0042 + 0.001108 + 0.000554
GETS_PER_OPEN = 2  # and one HEAD
_MOST_ROWS = 2_000  # ours: rows that are written to see how small they get


def storage_bytes(
    columns: Sequence[dict[str, Any]], kept: float, subjective: float, embedder: str
) -> dict[str, float]:
    """Bytes of each table of a run.

    Args:
        columns: conversations that were looked at.
        kept: conversations of the run.
        subjective: share of them with a task, whose text gets a vector unless another is the same.
        embedder: of the run.
    """
    found = {"conversations": kept * _stored_bytes(columns)}
    found |= {name: kept * each for name, each in BYTES_PER_ROW.items()}
    found["task_assignments"] *= subjective
    found["vectors, at most"] = kept * subjective * VECTOR_BYTES.get(embedder, MOST_VECTOR_BYTES)
    found["counts, page and release"] = float(AGGREGATES)
    return found


def _stored_bytes(columns: Sequence[dict[str, Any]]) -> float:
    """Of a conversation, written as the run writes it."""
    if not columns:
        return 0.0
    rows = columns[:: max(1, len(columns) // _MOST_ROWS)]
    names = ("conversation_id", "account_id", "model", "language", "source", "messages")
    table = pa.table({name: [row[name] for row in rows] for name in names})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=ROW_GROUP_ROWS)
    return buffer.tell() / len(rows)


def requests(kept: float) -> dict[str, float]:
    """Requests to S3, by kind."""
    opens = kept * OPENS_PER_ROW
    return {
        "HEAD": opens,
        "GET": GETS_PER_OPEN * opens,
        "PUT": kept * WRITES_PER_ROW,
        "LIST": kept * LISTS_PER_ROW,
    }
