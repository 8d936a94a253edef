"""A small, correct run folder of invented conversations, made without the pipeline.

`invent()` gives the rows of every table and the texts; a test changes what it likes, and `write()`
seals the result: hashes, sizes, digests and `run.json` fit whatever is there, so that a wrong
number shows only to somebody who counts again. Only the Arrow schemas come from the package.
"""

import copy
import gzip
import hashlib
import io
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from invented_comparisons import (
    cooccurrence_rows,
    explicitness_rows,
    model_comparison_rows,
    task_value_rows,
)
from invented_conversations import CONVERSATIONS, Row, conversation, extraction
from invented_gate import compared, split, with_enough
from invented_tables import MIN_ACCOUNTS, MIN_CONVERSATIONS, MIN_SALIENCE, Facts, texts

from vitw_ray.records import TABLES

PARTS = 2
STAGE_OF = {
    "conversations": ("conversations", "rejects"),
    "extractions": ("extractions",),
    "labels": ("labels", "merges"),
    "taxonomy": ("taxonomy", "task_assignments"),
    "statistics": (
        *("response_types", "associations", "cooccurrence", "variation", "mirroring"),
        *("explicitness", "task_values", "model_comparison", "corrected"),
    ),
    "report": ("report.html",),
    "release": ("values_frequencies.csv", "values_tree.csv", "README.md"),
}
READS = {
    "extractions": ("conversations",),
    "labels": ("extractions",),
    "taxonomy": ("extractions", "labels", "merges"),
    "statistics": ("extractions", "labels", "merges", "taxonomy", "task_assignments"),
    "report": ("labels", "taxonomy"),
    "release": ("labels", "taxonomy"),
}
PRIVATE = {"conversations", "rejects", "extractions", "merges", "task_assignments"}
CONFIG = {
    "conversations": {"sample": None},
    "extraction": {"subjective_from": 3, "max_error_share": 0.05},
    "labels": {
        "min_conversations": MIN_CONVERSATIONS,
        "min_accounts": MIN_ACCOUNTS,
        "min_salience": MIN_SALIENCE,
    },
    "statistics": {"alpha": 0.05, "period": "week"},
}


def place(row: Row) -> tuple[int, str]:
    """Sort key of a table with a row per conversation."""
    name = row["conversation_id"]
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big"), name


def in_parts(rows: list[Row]) -> list[list[Row]]:
    """Rows of conversations as sorted hash ranges."""
    parts: list[list[Row]] = [[] for _ in range(PARTS)]
    for row in sorted(rows, key=place):
        parts[place(row)[0] * PARTS >> 64].append(row)
    return parts


@dataclass
class RunFolder:
    """Everything a run folder says, before it is written."""

    tables: dict[str, list[list[Row]]]  # name -> parts
    texts: dict[str, str]
    input_rows: dict[str, int]  # what lies on the disk
    rows_by_file: dict[str, int]  # what is said to have been read
    rows_in: int
    rejected: dict[str, int]
    failed: dict[str, int]
    schemas: dict[str, pa.Schema] = field(default_factory=lambda: dict(TABLES))
    public: set[str] = field(default_factory=set)  # parts that a test puts in the wrong place
    vectors: list[list[float]] = field(default_factory=lambda: [[1.0, 0.0], [0.6, -0.8]])
    vectors_of: str = "private/vectors-0/0.parquet"
    texts_embedded: int = 2
    same_messages: int = 0
    further_answers: int = 0
    raw: list[Row] = field(default_factory=list)  # what the lines of the input hold

    def all(self, table: str) -> list[Row]:
        """The rows of a table; the same objects as in its parts."""
        return [row for part in self.tables[table] for row in part]

    def write(self, root: Path) -> Path:
        """Seal: write every file, manifest and `run.json` to fit each other."""
        inputs = write_inputs(root.parent / "input", self.input_rows, self.raw)
        stages, tables = [], {}
        for number, stage in enumerate(STAGE_OF, start=1):
            key = hashlib.sha256(stage.encode()).hexdigest()[:16]
            folder = f"{number}_{stage}-{key}"
            files = [entry for name in STAGE_OF[stage] for entry in self._files(root, folder, name)]
            rows_in, rows_out = self._rows(stage)
            shown = {
                "number": number,
                "key": key,
                "rows_in": rows_in,
                "rows_out": rows_out,
                "rejected": self.rejected if number == 1 else {},
                "failed": self.failed if number == 2 else {},
                "seconds": 1.5,
                "rows_per_s": 60.0,
                "details": self._details(root, stage),
            }
            manifest = {
                **shown,
                "stage": stage,
                "inputs": {name: tables[name]["digest"] for name in READS.get(stage, ())},
                "config": CONFIG,
                "versions": {"python": "3"},
                "files": files,
            }
            write_json(root / folder / "_SUCCESS.json", manifest)
            stages.append({"name": stage, "folder": folder, **shown})
            for name in [name for name in STAGE_OF[stage] if name in TABLES]:
                mine = [file for file in files if file["table"] == name]
                tables[name] = {
                    "stage": folder,
                    "rows": sum(file["rows"] for file in mine),
                    "digest": digest_of(mine),
                    "files": [file["path"] for file in mine],
                }
        write_json(root / "run.json", self._run(stages, tables, inputs))
        return root

    def _details(self, root: Path, stage: str) -> Row:
        if stage == "taxonomy":
            table = pa.table({"vector": pa.array(self.vectors, pa.list_(pa.float32(), 2))})
            (root / self.vectors_of).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, root / self.vectors_of)
            return {"vector_files": [self.vectors_of], "texts_embedded": self.texts_embedded}
        if stage == "conversations":
            counts = {"same_messages": self.same_messages, "identical": 0}
            counts["further_answers"] = self.further_answers
            return {"rows_by_file": self.rows_by_file, **counts}
        return {}

    def _rows(self, stage: str) -> tuple[int, int]:
        conversations = len(self.all("conversations"))
        if stage == "conversations":
            return self.rows_in, conversations
        return conversations, len(self.all("extractions"))

    def _files(self, root: Path, folder: str, name: str) -> list[Row]:
        if name in self.texts:
            data = self.texts[name].encode()
            rows = data.count(b"\n") - 1 if name.endswith("csv") else 1
            return [write_file(root, f"{folder}/{name}", name, rows, data)]
        entries = []
        for number, rows in enumerate(self.tables[name]):
            file = f"{name}/part-{number:05d}.parquet"
            private = name in PRIVATE or (name == "labels" and number == 1)
            hidden = private and file not in self.public
            data = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows, self.schemas[name]), data)
            path = f"{'private/' * hidden}{folder}/{file}"
            entries.append(write_file(root, path, name, len(rows), data.getvalue()))
        return entries

    def _run(self, stages: list[Row], tables: Row, inputs: list[Row]) -> Row:
        return {
            "vitw_ray": "0",
            "secret_fingerprint": "00" * 8,
            "config": CONFIG,
            "inputs": inputs,
            "stages": stages,
            "tables": tables,
            "totals": {
                "rows_read": stages[0]["rows_in"],
                "conversations": stages[0]["rows_out"],
                "rejected": sum(self.rejected.values()),
                "extractions": stages[1]["rows_out"],
                "failed": sum(self.failed.values()),
            },
            "versions": {"python": "3"},
        }


def write_file(root: Path, path: str, table: str, rows: int, data: bytes) -> Row:
    """One file, and what a manifest says of it."""
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    return {"path": path, "table": table, "rows": rows, "bytes": len(data), "sha256": sha256}


def write_json(path: Path, value: Row) -> None:
    """A manifest or `run.json`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, sort_keys=True))


def digest_of(files: list[Row]) -> str:
    """Digest of a table."""
    pairs = sorted((file["path"].split("/")[-1], file["sha256"]) for file in files)
    text = "".join(f"{name} {sha}\n" for name, sha in pairs)
    return hashlib.sha256(text.encode()).hexdigest()


def write_inputs(folder: Path, rows_by_file: dict[str, int], raw: list[Row]) -> list[Row]:
    """Input files of every kind with that many rows, and what `run.json` says of them."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = []
    left = iter(raw)
    for name, rows in rows_by_file.items():
        path = folder / name
        values = [next(left, {"n": n}) for n in range(rows)]
        lines = "".join(json.dumps(value, default=str) + "\n" for value in values).encode()
        if name.endswith(".parquet"):
            pq.write_table(pa.table({"n": range(rows)}), path)
        elif name.endswith(".gz"):
            path.write_bytes(gzip.compress(lines))
        elif name.endswith(".zst"):
            path.write_bytes(pa.compress(lines, codec="zstd", asbytes=True))
        else:
            path.write_bytes(lines)
        size = path.stat().st_size
        inputs.append(
            {
                "name": name,
                "url": str(path),
                "size_bytes": size,
                "version": "1",
                "shape": "openai",
            }
        )
    return inputs


def invent() -> RunFolder:
    """Rows of every table, right in every respect."""
    dice = random.Random(20250218)
    conversations = [conversation(n) for n in range(CONVERSATIONS)]
    extractions = [extraction(n, row, dice) for n, row in enumerate(conversations)]
    rows_by_file = {"a.jsonl.gz": 40, "b.jsonl": 30, "c.parquet": 15, "d.jsonl.zst": 10}
    rejects = [
        {"file": file, "row": row, "conversation_id": name, "reason": reason}
        for file, row, name, reason in (
            ("a.jsonl.gz", 3, None, "not_json"),
            ("a.jsonl.gz", 17, "invented-chat-0004", "identical"),
            ("b.jsonl", 0, None, "no_messages"),
            ("d.jsonl.zst", 9, "invented-chat-0031", "identical"),
        )
    ]
    rejects.append({"file": "c.parquet", "row": 14, "conversation_id": None, "reason": "not_json"})
    rejects.sort(key=lambda row: (row["file"], row["row"]))
    facts = Facts(extractions)
    labels, taxonomy = facts.labels, facts.taxonomy()
    facts.climb(taxonomy)
    return RunFolder(
        tables={
            "conversations": in_parts(conversations),
            "rejects": [rejects],
            "extractions": in_parts(extractions),
            "labels": [[r for r in labels if r["kept"]], [r for r in labels if not r["kept"]]],
            "merges": [facts.merge_rows()],
            "task_assignments": in_parts(facts.assignments),
            "taxonomy": [taxonomy],
            "response_types": [with_enough(facts.response_type_rows(), "conversations")],
            "associations": [with_enough(facts.association_rows(), "observed")],
            "variation": [facts.variation_rows()],
            "mirroring": [with_enough(facts.mirroring_rows(), "conversations", "mirrored")],
            "cooccurrence": [with_enough(cooccurrence_rows(facts), "conversations")],
            "explicitness": [split(explicitness_rows(facts))],
            "task_values": [with_enough(task_value_rows(facts), "conversations")],
            "model_comparison": [compared(model_comparison_rows(facts))],
            "corrected": [facts.corrected_rows()],
        },
        texts=texts(labels, taxonomy),
        input_rows=rows_by_file,
        rows_by_file=dict(rows_by_file),
        rows_in=sum(rows_by_file.values()),
        raw=copy.deepcopy(conversations),
        rejected=dict(Counter(row["reason"] for row in rejects)),
        failed=dict(Counter(row["error"] for row in extractions if row["error"])),
    )
