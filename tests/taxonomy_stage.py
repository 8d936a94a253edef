"""A taxonomy stage over invented labels and tasks, and an embedder that logs calls and can die."""

import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from vitw_ray.config import Execution, LabelsConfig, RunConfig, TaxonomyConfig
from vitw_ray.facets import VALUE_FACETS
from vitw_ray.keys import Keyed
from vitw_ray.records import EXTRACTIONS, LABELS
from vitw_ray.run_folder import StageFolder, TableRef
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage

PART_ROWS = 20


def chats_about(tasks: Sequence[str]) -> list[dict[str, object]]:
    """Rows of `extractions`: one subjective conversation per task, without values."""
    return [
        {
            **{name: None for name in EXTRACTIONS.names},
            **{"conversation_id": f"c{n:05d}", "source": "test", "extractor": "test"},
            **{"is_subjective": True, "task": task, "human_values": [], "ai_values": []},
            **{"prompt_tokens": 0, "output_tokens": 0, "truncated_share": 0.0},
        }
        for n, task in enumerate(tasks)
    ]


def stage_context(
    folder: Path,
    labels: Sequence[str],
    tasks: Sequence[str],
    *,
    actors: int = 2,
    taxonomy: Mapping[str, object] | None = None,
) -> StageContext:
    """The stage over these labels (of both facets) and one conversation per task."""
    config = RunConfig(
        labels=LabelsConfig(min_conversations=2, min_accounts=1),
        taxonomy=TaxonomyConfig(**{"embedder": "hashing", **(taxonomy or {})}),
        execution=Execution(actors=actors),
    )
    storage = Storage(str(folder))
    before = StageFolder(storage, "before")
    rows = [
        {"facet": facet, "label": label, "conversations": 4, "share": 0.1, "kept": True}
        for facet in VALUE_FACETS
        for label in labels
    ]
    chats = chats_about(tasks)
    parts = [
        before.write_table(
            "extractions", pa.Table.from_pylist(chats[start : start + PART_ROWS], EXTRACTIONS), n
        )
        for n, start in enumerate(range(0, len(chats), PART_ROWS))
    ]
    kept = before.write_table("labels", pa.Table.from_pylist(rows, LABELS))
    return StageContext(
        config=config,
        storage=storage,
        folder=StageFolder(storage, "after"),
        keyed=Keyed(b"a secret of sixteen bytes"),
        epoch=0,
        inputs=(),
        shapes={},
        tables={
            "labels": TableRef("labels", (kept,)),
            "merges": TableRef("merges", ()),
            "extractions": TableRef("extractions", tuple(parts)),
        },
        manifests={"labels": {"details": {"with_account": 0}}},
    )


class CountingEmbedder:
    """Word hashes whose last bits depend on the block, as with a transformer.

    Each call adds a line to a file of its process in `log`. A call that finds the file `kill`
    removes it and kills its process.
    """

    name = "counting"
    dim = 16

    def __init__(self, log: str, seconds: float = 0.0) -> None:
        self._log, self._seconds = Path(log), seconds

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        from vitw_ray.inference.embedder import Hashing

        with (self._log / f"{os.getpid()}.txt").open("a") as file:
            file.write(f"{len(texts)}\n")
        time.sleep(self._seconds)
        try:
            (self._log / "kill").unlink()
        except FileNotFoundError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
        rows = Hashing().encode(texts)[:, : self.dim] + np.float32(1e-6 * len(texts)) + 1e-3
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def embedded(log: Path) -> list[int]:
    """The number of texts of each call that was started."""
    return [int(line) for file in log.glob("*.txt") for line in file.read_text().split()]
