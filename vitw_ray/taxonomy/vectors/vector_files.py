"""Vectors in storage: one file per block of texts, reused between runs.

A file has vectors and no text. Beside it lies its checksum: a damaged file is written again. Its
folder is named by the embedder's key and its name is a keyed hash of the block's texts. All files
are below `private/`, because a vector of a private text reveals much of it.
"""

import io
import zlib
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
    """A block of texts of one kind, and the paths of its texts and vectors.

    Attributes:
        kind: kind of the texts.
        number: index of the block among those of its kind.
        texts: number of texts.
        text_path: parquet of text (sorted) and conversations; removed at the end of the stage.
        vector_path: parquet of the vectors, in the same order.
    """

    kind: str
    number: int
    texts: int
    text_path: str
    vector_path: str


@dataclass(frozen=True)
class EmbeddedTexts:
    """Texts of some blocks: n texts, (n,) number of conversations of each, (n, d) unit rows."""

    texts: list[str]
    conversations: NDArray[np.int64]
    vectors: NDArray[np.float32]


def are_there(storage: Storage, path: str) -> bool:
    """Whether a file of vectors exists and is as it was written; a damaged one is deleted."""
    try:
        data = storage.read(path)
    except FileNotFoundError:
        return False
    try:
        if storage.read(_checksum_path(path)) == _checksum(data):
            return True
    except FileNotFoundError:  # written by a version without checksums
        return True
    storage.delete(_checksum_path(path))
    storage.delete(path)
    return False


def _checksum_path(path: str) -> str:
    return f"{path.removesuffix('.parquet')}.crc32"


def _checksum(data: bytes) -> bytes:
    return f"{zlib.crc32(data):08x}\n".encode()


def write_vectors(storage: Storage, path: str, rows: NDArray[np.float32]) -> bool:
    """Write (n, d) rows as a column of fixed-size lists; False if the file exists already."""
    values = pa.array(np.ascontiguousarray(rows, np.float32).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(values, rows.shape[1])
    buffer = io.BytesIO()
    # Float mantissas hardly compress, and a dictionary would have almost only distinct values.
    pq.write_table(
        pa.table({"vector": column}), buffer, compression="none", use_dictionary=False,
        write_statistics=False,
    )  # fmt: skip
    is_new = storage.create(path, buffer.getvalue())
    if is_new:
        storage.write(_checksum_path(path), _checksum(buffer.getvalue()))
    return is_new


def read_blocks(storage: Storage, blocks: Sequence[TextBlock]) -> EmbeddedTexts:
    """Read texts and vectors of blocks, in order; without blocks the vectors have shape (0, 0).

    A worker needs only the blocks, a few strings, to load its share of the rows.

    Raises:
        StageFailed: the number of vectors does not match the texts.
    """
    texts: list[str] = []
    conversations, vectors = [np.empty(0, np.int64)], []
    for block in blocks:
        with storage.open(block.text_path) as handle:
            table = pq.read_table(handle)
        rows = _read_vectors(storage, block.vector_path)
        if len(rows) != table.num_rows:
            raise StageFailed(
                f"{block.vector_path} has {len(rows)} vectors for {table.num_rows} texts",
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
    """Loads the rows of some blocks for a shard: small to pickle, read where it is called."""

    storage: Storage
    blocks: tuple[TextBlock, ...]

    def __call__(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(n, d) unit rows, and (n,) number of conversations of each text."""
        found = read_blocks(self.storage, self.blocks)
        return found.vectors, found.conversations


def shares(storage: Storage, blocks: Sequence[TextBlock], rows: int) -> list[Share]:
    """Divide blocks, in order, into shares of at least `rows` rows; the last may have fewer."""
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
