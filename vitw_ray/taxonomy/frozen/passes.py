"""What is done with known clusters where a share of the tasks is; see `taxonomy.task_passes`."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vitw_ray.taxonomy.frozen.placing import Reach, add_members, distances_to_others, place
from vitw_ray.taxonomy.frozen.state import TASK_HASH_BYTES, task_hashes
from vitw_ray.taxonomy.hierarchy import Parents
from vitw_ray.taxonomy.vectors.vector_files import (
    COLUMNS,
    Share,
    TextBlock,
    read_texts,
    read_vectors,
)

Places = NDArray[np.int64]
"""Places of tasks in a share, sorted."""


def hash_tasks(share: Share, key: bytes) -> np.ndarray:
    """(n,) hash of each task, by which later runs know it."""
    found = np.empty(sum(share.sizes()), f"S{TASK_HASH_BYTES}")
    for place_of, table in share.texts():
        found[place_of] = task_hashes(key, table["text"].to_pylist())
    return found


def sum_members(share: Share, clusters: Parents, size: int) -> NDArray[np.float64]:
    """(k, d) sums of the rows of each cluster, on the grid, so that sums of shares are exact."""
    sums = np.empty((0, 0))
    for start, block in _blocks(share):
        vectors = read_vectors(share.storage, block)
        sums = sums if sums.size else np.zeros((size, vectors.shape[1]))
        add_members(sums, vectors, clusters[start : start + block.texts])
    return sums


def measure_members(
    share: Share, clusters: Parents, sums: NDArray[np.float64], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(n,) distance of each task to the centre of the others of its cluster."""
    found = [
        distances_to_others(
            read_vectors(share.storage, block), clusters[start : start + block.texts], sums, counts
        )
        for start, block in _blocks(share)
    ]
    return np.concatenate(found)


def place_rows(share: Share, rows: Places, reach: Reach) -> NDArray[np.int32]:
    """Level-1 node of some tasks, or `UNPLACED`."""
    found = [np.empty(0, np.int32)]
    for block, inside in _blocks_with(share, rows):
        found.append(place(read_vectors(share.storage, block)[inside], reach)[0])
    return np.concatenate(found)


def vectors_of(share: Share, rows: Places) -> list[NDArray[np.float32]]:
    """Vectors of some tasks, block by block."""
    return [read_vectors(share.storage, block)[at] for block, at in _blocks_with(share, rows)]


def texts_of(share: Share, rows: Places) -> list[pa.Table]:
    """Texts, conversations and accounts of some tasks, block by block."""
    return [
        read_texts(share.storage, block, COLUMNS).take(pa.array(at))
        for block, at in _blocks_with(share, rows)
    ]


def _blocks(share: Share) -> Iterator[tuple[int, TextBlock]]:
    """Each block, and the place of its first task."""
    end = 0
    for block in share.blocks:
        start, end = end, end + block.texts
        yield start, block


def _blocks_with(share: Share, rows: Places) -> Iterator[tuple[TextBlock, Places]]:
    """The blocks that have some of these tasks, and their places in it."""
    for start, block in _blocks(share):
        low, high = np.searchsorted(rows, [start, start + block.texts]).tolist()
        if low < high:
            yield block, rows[low:high] - start
