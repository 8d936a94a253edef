"""Embed all texts of a run, in blocks, with actors that hold the embedder.

An actor reads the texts of a block, embeds them unless their vector file exists already, and
returns the paths. So a kill loses only the blocks in flight, a rerun embeds only what is missing,
and the embedder is not loaded if there is nothing to embed.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock

import pyarrow.parquet as pq

from vitw_ray import cluster
from vitw_ray.execution import Execution
from vitw_ray.inference.embedder import Embedder, load_embedder
from vitw_ray.inference.embedder_files import describe_embedder
from vitw_ray.keys import Keyed
from vitw_ray.progress import Progress
from vitw_ray.stages import StageContext
from vitw_ray.storage import PRIVATE, Storage
from vitw_ray.taxonomy.vectors.texts import Texts, merge_texts, read_block, scratch
from vitw_ray.taxonomy.vectors.vector_files import TextBlock, are_there, write_vectors

# Ours: enough texts of each length to need little padding; seconds of work on either device.
BLOCK_TEXTS = {"cpu": 4096, "gpu": 65_536}
UNITS_AT_ONCE = {"cpu": 1, "gpu": 2}  # a GPU computes one block while the next is tokenised

MakeEmbedder = Callable[[], Embedder]


@dataclass(frozen=True)
class Embedded:
    """Blocks of each kind of text, in order, and the number of blocks that existed before."""

    blocks: Mapping[str, tuple[TextBlock, ...]]
    reused: int


def embed_texts(
    context: StageContext, kinds: Sequence[Texts], make: MakeEmbedder | None = None
) -> Embedded:
    """Embed all texts of these kinds, each once.

    Args:
        context: the stage that needs the vectors.
        kinds: its texts; their blocks go through one pool of actors.
        make: called inside an actor that has work; default: the embedder of the run.

    Raises:
        ConfigError: the embedder cannot be loaded.
        StageFailed: some texts get no vector.
    """
    execution, name = context.config.execution, context.config.taxonomy.embedder
    described = describe_embedder(context.config)
    # Pass the revision: an actor that resolved it again could get a newer one from the hub.
    of_run = partial(load_embedder, name, execution.device, described.get("revision"))
    size = BLOCK_TEXTS[execution.device]
    total = sum(texts.rows for texts in kinds)
    kinds = [
        merge_texts(context.storage, scratch(context), texts, texts.blocks(size)) for texts in kinds
    ]
    units = [
        {"kind": n, "block": block, "blocks": texts.blocks(size)}
        for n, texts in enumerate(kinds)
        for block in range(texts.blocks(size) if texts.rows else 0)
    ]
    found: list[TextBlock] = []
    reused = 0
    results = cluster.stream_through_actors(
        units,
        BlockEmbedder,
        arguments={
            "storage": context.storage,
            "keyed": context.keyed,
            "kinds": tuple(kinds),
            "folder": scratch(context),
            "vectors": f"{PRIVATE}/vectors-{described['key']}",
            "make": make or of_run,
        },
        execution=_for_embedders(execution, total),
        concurrent_units=UNITS_AT_ONCE[execution.device],
    )
    waiting = "waiting for the first vectors"
    with Progress("taxonomy: embed", total, unit="texts", waiting=waiting) as progress:
        for block, made in results:
            progress.add(block.texts, reused=0 if made else block.texts)
            if block.texts:
                found.append(block)
                reused += not made
    found.sort(key=lambda block: block.number)
    return Embedded({t.kind: tuple(b for b in found if b.kind == t.kind) for t in kinds}, reused)


def _for_embedders(execution: Execution, texts: int) -> Execution:
    """An embedder uses one core and at most one GPU, and loading it takes as long as a block."""
    worth_loading = max(1, -(-texts // BLOCK_TEXTS[execution.device]))
    return replace(
        execution,
        actors=min(execution.actors, worth_loading),
        cpus_per_actor=1.0,
        gpus_per_actor=min(execution.gpus_per_actor, 1.0),
    )


class BlockEmbedder:
    """Writes the vector files of blocks; loads the embedder when the first one is missing."""

    def __init__(
        self,
        *,
        storage: Storage,
        keyed: Keyed,
        kinds: Sequence[Texts],
        folder: str,
        vectors: str,
        make: MakeEmbedder,
    ) -> None:
        self._storage, self._keyed, self._kinds = storage, keyed, kinds
        self._folder, self._vectors, self._make = folder, vectors, make
        self._embedder: Embedder | None = None
        self._loading = Lock()

    def __call__(self, unit: cluster.Unit) -> tuple[TextBlock, bool]:
        """The block, and whether it was embedded now; its files exist when this returns."""
        kind = self._kinds[unit["kind"]]
        table = read_block(self._storage, kind, unit["block"], unit["blocks"])
        texts = table["text"].to_pylist()
        name = f"{kind.kind}-{unit['block']:06d}"
        digest = self._keyed.hex("vectors", json.dumps(texts).encode())
        block = TextBlock(
            kind.kind,
            unit["block"],
            len(texts),
            f"{self._folder}/{name}.parquet",
            f"{self._vectors}/{digest}.parquet",
        )
        if not texts:
            return block, False
        missing = not are_there(self._storage, block.vector_path)
        if missing:
            rows = self._loaded().encode(texts)
            write_vectors(self._storage, block.vector_path, rows)
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        self._storage.write(block.text_path, buffer.getvalue())
        return block, missing

    def _loaded(self) -> Embedder:
        with self._loading:
            if self._embedder is None:
                self._embedder = self._make()
            return self._embedder
