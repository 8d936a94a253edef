"""What a finished run keeps of its trees, in files below `private/`.

Three tables: the clusters of all levels, the centres of level 1 with their reach, and the leaves.
A task is known by a keyed hash; its key lies beside it, as all this is private.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vitw_ray.errors import ConfigError
from vitw_ray.facets import TREE_FACETS
from vitw_ray.keys import Keyed
from vitw_ray.run_folder import FileEntry, StageFolder
from vitw_ray.storage import Storage
from vitw_ray.taxonomy.frozen.nodes import Nodes
from vitw_ray.taxonomy.frozen.placing import NO_LEAVES, Leaves, Reach, leaves_of

KIND = "frozen"
TASK_HASH_BYTES = 16
NODES = pa.schema(
    [
        pa.field("facet", pa.string(), nullable=False),
        pa.field("level", pa.int8(), nullable=False),
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("parent", pa.int32()),  # place among the nodes of the next level
        pa.field("name", pa.string(), nullable=False),
        pa.field("description", pa.string(), nullable=False),
    ]
)
LEAVES = pa.schema(
    [
        pa.field("facet", pa.string(), nullable=False),
        pa.field("leaf", pa.binary(), nullable=False),
        pa.field("node", pa.int32(), nullable=False),
    ]
)


@dataclass(frozen=True, eq=False)
class KnownClusters:
    """One facet of a finished run: its clusters, their reach, and the level-1 node of each leaf."""

    nodes: Nodes
    reach: Reach | None = None
    leaves: Leaves = NO_LEAVES


@dataclass(frozen=True, eq=False)
class FrozenTree:
    """All facets of a finished run; `task_key` hashes its tasks."""

    facets: Mapping[str, KnownClusters]
    task_key: bytes
    reference: Mapping[str, Any] = field(default_factory=dict)

    @property
    def of_tasks(self) -> KnownClusters | None:
        """The clusters of tasks, if there are any."""
        return self.facets.get("tasks")

    @property
    def tasks(self) -> int:
        """Number of tasks that are known."""
        return 0 if self.of_tasks is None else len(self.of_tasks.leaves.keys)

    def task_hashes(self, texts: Sequence[str]) -> np.ndarray:
        """What known tasks are looked up by."""
        return task_hashes(self.task_key, texts)


def task_key(keyed: Keyed) -> bytes:
    """Key of the hashes by which later runs know the tasks of this one."""
    return keyed.digest("known tasks", b"", 32)


def task_hashes(key: bytes, texts: Sequence[str]) -> np.ndarray:
    """(n,) hash of each task."""
    keyed = Keyed(key)
    hashes = [keyed.digest("known task", text.encode(), TASK_HASH_BYTES) for text in texts]
    return np.array(hashes, f"S{TASK_HASH_BYTES}")


def write_state(folder: StageFolder, tree: FrozenTree) -> list[FileEntry]:
    """Write the files of the finished trees, for later runs."""
    nodes, leaves = [NODES.empty_table()], [LEAVES.empty_table()]
    files = []
    for facet, found in tree.facets.items():
        nodes.append(_node_rows(facet, found.nodes))
        known = found.leaves
        facets = pa.repeat(facet, len(known.keys))
        keys = _as_column(known.keys)
        leaves.append(pa.table([facets, keys, known.nodes], schema=LEAVES))
        if found.reach is not None:
            files.append(_written(folder, f"centres-{facet}", _reach_rows(found.reach)))
    files.append(_written(folder, "nodes", pa.concat_tables(nodes)))
    files.append(_written(folder, "leaves", pa.concat_tables(leaves)))
    about = {"task_key": tree.task_key.hex(), "reference": tree.reference}
    data = (json.dumps(about, sort_keys=True, indent=1) + "\n").encode()
    files.append(folder.write_private(KIND, "about.json", data))
    return files


def read_state(storage: Storage, files: Mapping[str, FileEntry]) -> FrozenTree:
    """Read what `write_state` has written; `files` by name."""
    nodes, leaves = (_read(storage, files, name) for name in ("nodes", "leaves"))
    about = json.loads(_bytes(storage, files, "about"))
    facets = {}
    for facet in TREE_FACETS:
        of_facet = nodes.filter(pc.field("facet") == facet)
        if not of_facet.num_rows:
            continue
        known = leaves.filter(pc.field("facet") == facet)
        reach = None
        if f"centres-{facet}" in files:
            reach = _reach(_read(storage, files, f"centres-{facet}"))
        facets[facet] = KnownClusters(
            _nodes(of_facet),
            reach,
            leaves_of(_as_keys(known["leaf"]), known["node"].to_numpy()),
        )
    return FrozenTree(facets, bytes.fromhex(about["task_key"]), about["reference"])


def _written(folder: StageFolder, name: str, table: pa.Table) -> FileEntry:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return folder.write_private(KIND, f"{name}.parquet", buffer.getvalue())


def _bytes(storage: Storage, files: Mapping[str, FileEntry], name: str) -> bytes:
    try:
        return storage.read(files[name].path)
    except FileNotFoundError:
        raise ConfigError(
            f"--taxonomy-from {storage.root}: {files[name].path} is gone",
            "a frozen tree needs private/ of its run: restore it, or make that run again",
        ) from None


def _read(storage: Storage, files: Mapping[str, FileEntry], name: str) -> pa.Table:
    return pq.read_table(io.BytesIO(_bytes(storage, files, name)))


def _as_column(keys: np.ndarray) -> pa.Array:
    """Byte strings as a column, without an object for each."""
    lengths = np.char.str_len(keys)
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    letters = np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), keys.itemsize)
    inside = np.arange(keys.itemsize) < lengths[:, None]
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(letters[inside])]
    return pa.Array.from_buffers(pa.binary(), len(keys), buffers)


def _as_keys(column: pa.ChunkedArray) -> np.ndarray:
    """The byte strings of a column, without an object for each."""
    lengths = pc.call_function("binary_length", [column]).to_numpy()
    width = max(1, int(lengths.max(initial=1)))
    letters = np.zeros((len(lengths), width), np.uint8)
    flat = column.cast(pa.large_binary()).combine_chunks()
    if len(flat):
        start = np.frombuffer(flat.buffers()[1], np.int64)[flat.offset]
        data = np.frombuffer(flat.buffers()[2], np.uint8)[start : start + lengths.sum()]
        letters[np.arange(width) < lengths[:, None]] = data
    return letters.view(f"S{width}").reshape(-1)


def _node_rows(facet: str, nodes: Nodes) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for level, ids in enumerate(nodes.ids):
        parents = nodes.parents[level].tolist() if level < len(nodes.parents) else [None] * len(ids)
        for identity, (name, text), parent in zip(ids, nodes.names[level], parents, strict=True):
            rows.append(
                {"facet": facet, "level": level + 1, "cluster_id": identity, "parent": parent}
                | {"name": name, "description": text}
            )
    return pa.Table.from_pylist(rows, schema=NODES)


def _nodes(table: pa.Table) -> Nodes:
    height = max(table["level"].to_pylist())
    levels = [table.filter(pc.field("level") == level + 1) for level in range(height)]
    return Nodes(
        [level["cluster_id"].to_pylist() for level in levels],
        [
            [*zip(level["name"].to_pylist(), level["description"].to_pylist(), strict=True)]
            for level in levels
        ],
        [level["parent"].to_numpy().astype(np.int32) for level in levels[:-1]],
    )


def _reach_rows(reach: Reach) -> pa.Table:
    flat = pa.array(np.ascontiguousarray(reach.centres, np.float32).reshape(-1))
    vectors = pa.FixedSizeListArray.from_arrays(flat, reach.centres.shape[1])
    return pa.table({"node": reach.nodes, "radius": reach.radii, "centre": vectors})


def _reach(table: pa.Table) -> Reach:
    column = table["centre"].combine_chunks()
    centres = column.flatten().to_numpy().reshape(len(column), column.type.list_size)
    return Reach(centres, table["radius"].to_numpy(), table["node"].to_numpy())
