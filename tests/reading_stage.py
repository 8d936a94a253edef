"""Stage 1 in this process, without Ray: for tests that read the same rows in many layouts."""

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from vitw_ray import cluster
from vitw_ray.config import ConversationsConfig, RunConfig
from vitw_ray.conversations.listing import list_input
from vitw_ray.conversations.read import read_conversations
from vitw_ray.conversations.survey import survey
from vitw_ray.keys import Keyed
from vitw_ray.run_folder import StageFolder, StageReport, read_part
from vitw_ray.stages import StageContext
from vitw_ray.storage import Storage

Row = dict[str, Any]


def read_stage(
    monkeypatch: Any, folder: Path, files: Mapping[str, Iterable[Row]], **settings: Any
) -> "ReadStage":
    """Write the rows as files below a new folder, and run the stage over them."""
    for name, rows in files.items():
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
        place = folder / "in" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    monkeypatch.setattr(cluster, "stream", lambda units, function: map(function, units))
    return ReadStage(folder, [str(folder / "in")], settings)


class ReadStage:
    """A finished stage 1."""

    def __init__(self, folder: Path, inputs: list[str], settings: Mapping[str, Any]) -> None:
        storage = Storage(str(folder / "out"))
        settings = {"source_format": "vitw", **settings}
        found = survey(list_input(inputs), settings["source_format"])
        context = StageContext(
            config=RunConfig(conversations=ConversationsConfig(**settings)),
            storage=storage,
            folder=StageFolder(storage, "1_conversations-test"),
            keyed=Keyed(b"a key for tests"),
            epoch=1,
            inputs=found.files,
            shapes=found.shapes,
            tables={},
            manifests={},
        )
        self.report: StageReport = read_conversations(context)
        self._storage, self._folder = storage, folder / "out"

    def table(self, name: str) -> pa.Table:
        """All rows of a table."""
        files = [file for file in self.report.files if file.table == name]
        return pa.concat_tables(read_part(self._storage, file) for file in files)

    @property
    def bytes(self) -> list[str]:
        """Hashes of the files of `conversations`."""
        return [file.sha256 for file in self.report.files if file.table == "conversations"]

    @property
    def texts(self) -> list[str]:
        """What is said in each conversation, turns joined by a bar; sorted."""
        rows = self.table("conversations")["messages"].to_pylist()
        return sorted("|".join(message["content"] for message in row) for row in rows)

    @property
    def rejects(self) -> dict[tuple[str, int], str]:
        """Reason of each reject, by its place."""
        rows = self.table("rejects").to_pylist()
        return {(row["file"], row["row"]): row["reason"] for row in rows}
