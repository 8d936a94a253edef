"""Vectors in storage: one file for each block of texts, kept from run to run.

A file holds rows and no text; which texts they belong to is known to whoever names the file, as its
name is a keyed hash of the embedder and of the block's texts. All of them lie below `private/`,
since a vector of a private text tells a good deal of it.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vitw_ray.errors import StageFailed
from vitw_ray.storage import Storage


@dataclass(frozen=True)
class TextBlock:
    """Texts of one kind that were embedded together, and where they and their rows lie.

    Attributes:
        kind: of the texts.
        number: of the block among those of its kind.
        texts: how many.
        text_path: parquet of text (sorted) and conversations; removed at the end of the stage.
        vector_path: parquet of their vectors, in the same order.
    """

    kind: str
    number: int
    texts: int
    text_path: str
    vector_path: str


@dataclass(frozen=True)
class EmbeddedTexts:
    """Texts of some blocks: n texts, (n,) conversations that have each, (n, d) unit rows."""

    texts: list[str]
    conversations: NDArray[np.int64]
    vectors: NDArray[np.float32]


def write_vectors(storage: Storage, path: str, rows: NDArray[np.float32]) -> bool:
    """Write (n, d) rows as a column of fixed-size lists; False when another was first."""
    values = pa.array(np.ascontiguousarray(rows, np.float32).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(values, rows.shape[1])
    buffer = io.BytesIO()
    # Mantissas of unit rows hardly compress, and each is its own dictionary.
    pq.write_table(
        pa.table({"vector": column}), buffer, compression="none", use_dictionary=False,
        write_statistics=False,
    )  # fmt: skip
    return storage.create(path, buffer.getvalue())


def read_blocks(storage: Storage, blocks: Sequence[TextBlock]) -> EmbeddedTexts:
    """Texts and rows of these blocks, in their order; no blocks have rows of no length.

    This is all that a worker needs to hold a share of the rows: blocks are a few strings.

    Raises:
        StageFailed: vectors that do not fit their texts.
    """
    texts: list[str] = []
    conversations, vectors = [np.empty(0, np.int64)], []
    for block in blocks:
        with storage.open(block.text_path) as handle:
            table = pq.read_table(handle)
        rows = _read_vectors(storage, block.vector_path)
        if len(rows) != table.num_rows:
            raise StageFailed(
                f"{block.vector_path} holds {len(rows)} vectors for {table.num_rows} texts",
                "delete that file and run again",
            )
        texts += table["text"].to_pylist()
        conversations.append(table["conversations"].to_numpy())
        vectors.append(rows)
    return EmbeddedTexts(
        texts,
        np.concatenate(conversations),
        np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32),
    )


@dataclass(frozen=True)
class Share:
    """The rows of some blocks, for whoever holds a shard: small, and read where it is called."""

    storage: Storage
    blocks: tuple[TextBlock, ...]

    def __call__(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(n, d) unit rows, and (n,) conversations that have the text of each."""
        found = read_blocks(self.storage, self.blocks)
        return found.vectors, found.conversations


def shares(storage: Storage, blocks: Sequence[TextBlock], rows: int) -> list[Share]:
    """Divide blocks, in their order, into shares of at least so many rows (the last takes less)."""
    divided: list[list[TextBlock]] = [[]]
    for block in blocks:
        if sum(one.texts for one in divided[-1]) >= rows:
            divided.append([])
        divided[-1].append(block)
    return [Share(storage, tuple(of_share)) for of_share in divided if of_share]


def _read_vectors(storage: Storage, path: str) -> NDArray[np.float32]:
    with storage.open(path) as handle:
        column = pq.read_table(handle)["vector"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), column.type.list_size)
