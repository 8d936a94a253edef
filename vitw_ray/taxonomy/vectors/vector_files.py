"""Vectors in storage: one file per block of texts, reused between runs.

A file has vectors and no text. Beside it lies its checksum: a damaged file is written again. Its
folder is named by the embedder's key and its name is a keyed hash of the block's texts. All files
are below `private/`, because a vector of a private text reveals much of it.
"""

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from vitw_ray.errors import StageFailed
from vitw_ray.storage import Storage

COLUMNS = ("text", "conversations", "accounts")  # of a block's texts


@dataclass(frozen=True)
class TextBlock:
    """A block of texts of one kind, and the paths of its texts and vectors.

    Attributes:
        kind: kind of the texts.
        number: index of the block among those of its kind.
        texts: number of texts.
        text_path: parquet of text (sorted), conversations and hashes of accounts; removed at the
            end of the stage.
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

    Raises:
        StageFailed: the number of vectors does not match the texts.
    """
    texts: list[str] = []
    conversations, vectors = [np.empty(0, np.int64)], []
    for block in blocks:
        table = read_texts(storage, block, ["text", "conversations"])
        vectors.append(read_vectors(storage, block))
        texts += table["text"].to_pylist()
        conversations.append(table["conversations"].to_numpy())
    return EmbeddedTexts(
        texts,
        np.concatenate(conversations),
        np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32),
    )


def read_texts(storage: Storage, block: TextBlock, columns: Sequence[str]) -> pa.Table:
    """Some columns of a block's texts."""
    with storage.open(block.text_path) as handle:
        return pq.read_table(handle, columns=list(columns))


def read_vectors(storage: Storage, block: TextBlock) -> NDArray[np.float32]:
    """(n, d) unit rows of a block.

    Raises:
        StageFailed: the number of vectors does not match the texts.
    """
    with storage.open(block.vector_path) as handle:
        column = pq.read_table(handle)["vector"].combine_chunks()
    if len(column) != block.texts:
        raise StageFailed(
            f"{block.vector_path} has {len(column)} vectors for {block.texts} texts",
            "delete that file and run again",
        )
    return column.flatten().to_numpy().reshape(len(column), column.type.list_size)


@dataclass(frozen=True)
class Share:
    """The rows of some blocks, for a shard: small to pickle, read where they are needed."""

    storage: Storage
    blocks: tuple[TextBlock, ...]

    def __call__(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """(n, d) unit rows, and (n,) number of conversations of each text."""
        return self.vectors(range(len(self.blocks))), self.conversations()

    def sizes(self) -> list[int]:
        """Number of rows of each block."""
        return [block.texts for block in self.blocks]

    def vectors(self, numbers: Sequence[int]) -> NDArray[np.float32]:
        """Rows of the blocks at these places; no more than they take is in memory."""
        first = read_vectors(self.storage, self.blocks[numbers[0]])
        if len(numbers) == 1:
            return first
        rows = sum(self.blocks[number].texts for number in numbers)
        found, end = np.empty((rows, first.shape[1]), np.float32), 0
        for number in numbers:
            block = first if number == numbers[0] else self.vectors([number])
            found[end : end + len(block)] = block
            end += len(block)
        return found

    def conversations(self) -> NDArray[np.int64]:
        """(n,) number of conversations of each text."""
        columns = [read_texts(self.storage, one, ["conversations"]) for one in self.blocks]
        return np.concatenate([table["conversations"].to_numpy() for table in columns])

    def texts(self) -> Iterator[tuple[slice, pa.Table]]:
        """Texts, conversations and accounts of each block, and the places of its rows."""
        end = 0
        for block in self.blocks:
            start, end = end, end + block.texts
            yield slice(start, end), read_texts(self.storage, block, COLUMNS)


def shares(storage: Storage, blocks: Sequence[TextBlock], rows: int) -> list[Share]:
    """Divide blocks, in order, into shares of at least `rows` rows; the last may have fewer."""
    divided: list[list[TextBlock]] = [[]]
    held = 0
    for block in blocks:
        if held >= rows:
            divided.append([])
            held = 0
        divided[-1].append(block)
        held += block.texts
    return [Share(storage, tuple(of_share)) for of_share in divided if of_share]
