"""A small, correct run folder of invented conversations, made without the pipeline.

`invent()` gives the rows of every table and the texts; a test changes what it likes, and `write()`
seals the result: hashes, sizes, digests and `run.json` fit whatever is there, so that a wrong
number shows only to somebody who counts again. Only the Arrow schemas come from the package.
"""

import gzip
import hashlib
import io
import json
import math
import random
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vitw_ray.records import RESPONSE_TYPES, TABLES

Row = dict[str, Any]

SPOKEN = "a secret that nobody may print"
CONVERSATIONS, PARTS = 90, 2
MIN_CONVERSATIONS, MIN_ACCOUNTS = 4, 3
AI = ["honesty", "clarity", "careful limits", "warmth", "patience", "clear words"]
HUMAN = ["honesty", "clarity", "freedom", "thrift", "daring"]
RARE = "collecting buttons"
VARIANTS = {"careful limit": ("careful limits", "plural"), "clear-words": ("clear words", "hyphen")}
TASKS = ["write a letter", "plan a trip", "mend a quarrel", "choose a school", "cook a meal"]
STAGE_OF = {
    "conversations": ("conversations", "rejects"),
    "extractions": ("extractions",),
    "labels": ("labels", "merges"),
    "taxonomy": ("taxonomy", "task_assignments"),
    "statistics": ("response_types", "associations", "variation", "mirroring"),
    "report": ("report.html",),
    "release": ("values_frequencies.csv", "values_tree.csv", "README.md"),
}
READS = {
    "extractions": ("conversations",),
    "labels": ("extractions",),
    "taxonomy": ("extractions", "labels"),
    "statistics": ("extractions", "labels", "merges", "taxonomy", "task_assignments"),
    "report": ("labels", "taxonomy"),
    "release": ("labels", "taxonomy"),
}
PRIVATE = {"conversations", "rejects", "extractions", "merges", "task_assignments"}
CONFIG = {
    "conversations": {"sample": None},
    "extraction": {"subjective_from": 3, "max_error_share": 0.05},
    "labels": {"min_conversations": MIN_CONVERSATIONS, "min_accounts": MIN_ACCOUNTS},
    "statistics": {"alpha": 0.05},
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

    def all(self, table: str) -> list[Row]:
        """The rows of a table; the same objects as in its parts."""
        return [row for part in self.tables[table] for row in part]

    def write(self, root: Path) -> Path:
        """Seal: write every file, manifest and `run.json` to fit each other."""
        inputs = write_inputs(root.parent / "input", self.input_rows)
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
                "details": {"rows_by_file": self.rows_by_file} if number == 1 else {},
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


def write_inputs(folder: Path, rows_by_file: dict[str, int]) -> list[Row]:
    """Input files of every kind with that many rows, and what `run.json` says of them."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = []
    for name, rows in rows_by_file.items():
        path = folder / name
        lines = "".join(f'{{"n": {n}}}\n' for n in range(rows)).encode()
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


# ------------------------------------------------------------------------------ the invented rows


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
            ("a.jsonl.gz", 17, "invented-chat-0004", "duplicate_id"),
            ("b.jsonl", 0, None, "no_messages"),
            ("d.jsonl.zst", 9, "invented-chat-0031", "duplicate_id"),
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
            "response_types": [facts.response_type_rows()],
            "associations": [facts.association_rows()],
            "variation": [facts.variation_rows()],
            "mirroring": [facts.mirroring_rows()],
        },
        texts=texts(labels, taxonomy),
        input_rows=rows_by_file,
        rows_by_file=dict(rows_by_file),
        rows_in=sum(rows_by_file.values()),
        rejected=dict(Counter(row["reason"] for row in rejects)),
        failed=dict(Counter(row["error"] for row in extractions if row["error"])),
    )


def conversation(n: int) -> Row:
    """One invented conversation."""
    return {
        "conversation_id": f"invented-chat-{n:04d}",
        "prompt_id": f"prompt-{n // 2:04d}" if n % 3 else None,
        "account_id": f"account-{n % 12:02d}-{n % 12:08x}" if n % 10 else None,
        "model": ("model-a", "model-b", None)[n % 7 % 3],
        "source": "invented",
        "language": "en" if n % 4 else None,
        "created_at": datetime(2025, 2, 18, tzinfo=UTC) + timedelta(hours=n) if n % 5 else None,
        "messages": [
            {"role": "user", "content": f"{SPOKEN}, {n}"},
            {"role": "assistant", "content": f"{SPOKEN}, answered, {n}"},
        ],
    }


def extraction(n: int, row: Row, dice: random.Random) -> Row:
    """An invented answer: tasks, human and AI values go together, loosely."""
    origin = {name: value for name, value in row.items() if name != "messages"}
    empty = {
        "extractor": "invented@0",
        "subjectivity": None,
        "is_subjective": None,
        "task": None,
        "human_values": [],
        "ai_values": [],
        "response_type": None,
        "error": None,
        "prompt_tokens": 100 + n,
        "output_tokens": n,
        "truncated_share": n % 4 / 4,
    }
    if n in (7, 29):
        return {**origin, **empty, "error": "no_json"}
    level = (3, 4, 3, 1, 4, 2)[n % 6]
    human = dice.sample(HUMAN, n % 3)
    ai = {*dice.sample(AI, 1 + n % 3), *(label for label in human[:1] if label in AI)}
    spelled = [next((v for v, (to, _) in VARIANTS.items() if to == label), label) for label in ai]
    response_type = RESPONSE_TYPES[dice.randrange(6)] if human else "no_values"
    written = sorted(spelled if n % 2 else ai)
    return {
        **origin,
        **empty,
        "subjectivity": level,
        "is_subjective": level >= 3,
        "task": TASKS[dice.randrange(5)] if n % 17 else None,
        "human_values": [value(label, True) for label in human],
        "ai_values": [value(label, False) for label in written + [RARE] * (n in (10, 22))],
        "response_type": response_type if n % 23 else None,
    }


def value(label: str, explicit: bool) -> Row:
    """One value of an answer."""
    return {"label": label, "explicit": explicit, "grounded": None, "salience": 3}


class Facts:
    """Which subjective conversations are in which category: sets of ids, nothing streamed."""

    def __init__(self, extractions: list[Row]) -> None:
        self.rows = {r["conversation_id"]: r for r in extractions if r["is_subjective"]}
        self.total = len(self.rows)
        self.sets: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.written: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.assignments: list[Row] = []
        for name, row in self.rows.items():
            for facet in ("ai_values", "human_values"):
                for spelling in (item["label"] for item in row[facet]):
                    self.written[facet, spelling].add(name)
                    self.sets[facet][VARIANTS.get(spelling, (spelling,))[0]].add(name)
            if row["response_type"] is not None:
                self.sets["response_types"][row["response_type"]].add(name)
            self.sets["models"][row["model"]].add(name)
            if row["task"] is not None:
                cluster = f"tasks:l1:{TASKS.index(row['task']) % 3}"
                self.assignments.append({"conversation_id": name, "cluster_id": cluster})
                self.sets["tasks"][cluster].add(name)

    @cached_property
    def labels(self) -> list[Row]:
        """The rows of `labels`."""
        rows = []
        for facet in ("ai_values", "human_values"):
            for label, ids in sorted(self.sets[facet].items()):
                accounts = {self.rows[name]["account_id"] for name in ids} - {None}
                enough = len(ids) >= MIN_CONVERSATIONS and len(accounts) >= MIN_ACCOUNTS
                row = {"facet": facet, "label": label, "conversations": len(ids)}
                row |= {"accounts": len(accounts), "share": len(ids) / self.total, "kept": enough}
                rows.append(row)
        return rows

    def merge_rows(self) -> list[Row]:
        return [
            {
                "facet": "ai_values",
                "variant": variant,
                "label": label,
                "rule": rule,
                "conversations": len(self.written["ai_values", variant]),
            }
            for variant, (label, rule) in VARIANTS.items()
        ]

    def taxonomy(self) -> list[Row]:
        """Three levels of values, two of tasks."""
        rows = []
        for facet in ("ai_values", "human_values"):
            kept = [r for r in self.labels if r["facet"] == facet and r["kept"]]
            for n, row in enumerate(kept):
                parent, size = f"{facet}:l1:{n % 2}", row["conversations"]
                rows.append(node(facet, row["label"], 0, parent, row["label"], size))
            for n in range(2):
                size = sum(row["conversations"] for row in kept[n::2])
                rows.append(node(facet, f"{facet}:l1:{n}", 1, f"{facet}:l2:0", f"group {n}", size))
            size = sum(row["conversations"] for row in kept)
            rows.append(node(facet, f"{facet}:l2:0", 2, None, "everything", size))
        sizes = [len(self.sets["tasks"][f"tasks:l1:{n}"]) for n in range(3)]
        for n, size in enumerate(sizes):
            rows.append(node("tasks", f"tasks:l1:{n}", 1, f"tasks:l2:{n % 2}", f"jobs {n}", size))
        for n in range(2):
            rows.append(node("tasks", f"tasks:l2:{n}", 2, None, f"work {n}", sum(sizes[n::2])))
        totals: Counter[tuple[str, int]] = Counter()
        for row in rows:
            totals[row["facet"], row["level"]] += row["conversations"]
        for row in rows:
            total = totals[row["facet"], row["level"]]
            row["pct_total_occurrences"] = 100 * row["conversations"] / total
        return rows

    def climb(self, taxonomy: list[Row]) -> None:
        """Give every cluster the conversations of its members."""
        for row in sorted(taxonomy, key=lambda row: row["level"]):
            facet, parent = row["facet"], row["parent_cluster_id"]
            if parent is not None:
                self.sets[facet][parent] |= self.sets[facet][row["cluster_id"]]

    def names(self, facet: str, level: int = 0) -> list[str]:
        """Kept labels, or the clusters of a level; for tasks, level 0 is the lowest they have."""
        if facet == "response_types":
            return list(RESPONSE_TYPES)
        if level == 0 and facet != "tasks":
            return [r["label"] for r in self.labels if r["facet"] == facet and r["kept"]]
        return sorted(name for name in self.sets[facet] if f":l{level or 1}:" in name)

    def association_rows(self) -> list[Row]:
        """AI values and their clusters, against human values, tasks and response types."""
        return [
            self.cell(level, name, facet, column, len(self.names("ai_values", level)))
            for level in range(3)
            for facet in ("human_values", "tasks", "response_types")
            for name in self.names("ai_values", level)
            for column in self.names(facet)
        ]

    def cell(self, level: int, name: str, facet: str, column: str, comparisons: int) -> Row:
        """One row of `associations`, by the chi-square of its 2 x 2 table."""
        left, right = self.sets["ai_values"][name], self.sets[facet][column]
        a, b, c = len(left & right), len(left - right), len(right - left)
        d = self.total - a - b - c
        row = {"row_facet": "ai_values", "row": name, "column_facet": facet, "column": column}
        row |= {"level": level, "observed": a, "significant": False}
        margins = (a + b) * (c + d) * (a + c) * (b + d)
        if not margins:
            return row | {"reason": "column_never"}
        excess = a * d - b * c
        residual = math.copysign(math.sqrt(self.total * excess**2 / margins), excess)
        p = math.erfc(abs(residual) / math.sqrt(2))
        log = math.log((a + 0.5) * (d + 0.5) / ((b + 0.5) * (c + 0.5)))
        half = 1.959963984540054 * math.sqrt(sum(1 / (x + 0.5) for x in (a, b, c, d)))
        adjusted = min(1.0, p * comparisons)
        return row | {
            "expected": (a + b) * (a + c) / self.total,
            "residual": residual,
            "p_value": p,
            "p_adjusted": adjusted,
            "q_value": adjusted,
            "odds_ratio": math.exp(log),
            "low": math.exp(log - half),
            "high": math.exp(log + half),
            "significant": adjusted < 0.05,
            "reason": None,
        }

    def response_type_rows(self) -> list[Row]:
        """Over all, for one model, and for the tasks' clusters."""
        tasks, models, types = (self.sets[f] for f in ("tasks", "models", "response_types"))
        everybody = set().union(*types.values())
        groups = [(None, None, None, everybody), ("model-a", None, None, models["model-a"])]
        groups += [(None, "tasks", name, tasks[name]) for name in self.names("tasks")]
        return [
            {"model": model, "over_facet": facet, "over": over, "response_type": kind}
            | shares("conversations", len(ids & types[kind]), len(ids & everybody))
            for model, facet, over, ids in groups
            for kind in RESPONSE_TYPES
        ]

    def mirroring_rows(self) -> list[Row]:
        """The same label on both sides, or the cluster that the AI's label of that name is in."""
        ai, human = self.sets["ai_values"], self.sets["human_values"]
        stated, shown = self.names("human_values"), self.names("ai_values")
        speakers = set().union(*(human[label] for label in stated))
        rows = []
        for level in range(3):
            ids = ["", "ai_values:l1:{}", "ai_values:l2:0"]
            twin = {label: ids[level].format(n % 2) or label for n, label in enumerate(shown)}
            same = set().union(*(human[x] & ai[twin[x]] for x in stated if x in twin))
            for kind in RESPONSE_TYPES:
                all_ = speakers & self.sets["response_types"][kind]
                row = {"response_type": kind, "level": level, "conversations": len(all_)}
                row |= shares("mirrored", len(all_ & same), len(all_))
                row |= {"share_by_chance": 0.25, "lift": row["share"] and row["share"] / 0.25}
                rows.append(row)
        return rows

    def variation_rows(self) -> list[Row]:
        """How kept labels vary over tasks, and AI values over human values."""
        pairs = [("ai_values", "tasks"), ("human_values", "tasks"), ("ai_values", "human_values")]
        rows = []
        for facet, over in pairs:
            columns = [self.sets[over][name] for name in self.names(over)]
            for label in self.names(facet):
                mine = self.sets[facet][label]
                parts = [len(mine & column) / len(column) for column in columns if column]
                cv = statistics.pstdev(parts) / statistics.fmean(parts) if any(parts) else None
                row = {"facet": facet, "label": label, "over_facet": over, "corrected": None}
                row |= {"share": len(mine) / self.total, "coefficient_of_variation": cv}
                rows.append(row)
        return rows


def node(facet: str, name: str, level: int, parent: str | None, title: str, size: int) -> Row:
    """One row of `taxonomy`, its percentage to come."""
    row = {"facet": facet, "cluster_id": name, "level": level, "parent_cluster_id": parent}
    text = f"What {title} is about" if level else ""
    return row | {"name": title, "description": text, "conversations": size}


def shares(column: str, hits: int, total: int) -> Row:
    """A count, its share and the Wilson interval, as the roots of its quadratic equation."""
    if total == 0:
        return {column: 0, "share": None, "low": None, "high": None}
    p, z2 = hits / total, 1.959963984540054**2
    a, b, c = 1 + z2 / total, -(2 * p + z2 / total), p * p
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    low = 0.0 if hits == 0 else (-b - root) / (2 * a)
    high = 1.0 if hits == total else (-b + root) / (2 * a)
    return {column: hits, "share": p, "low": low, "high": high}


def texts(labels: list[Row], taxonomy: list[Row]) -> dict[str, str]:
    """The page and the release."""
    values = [row for row in labels if row["facet"] == "ai_values" and row["kept"]]
    nodes = [row for row in taxonomy if row["facet"] == "ai_values"]
    columns = ("cluster_id", "description", "name", "level", "parent_cluster_id")
    tree = [
        ",".join("" if row[name] is None else str(row[name]) for name in columns)
        + f",{row['pct_total_occurrences']:.3f}\n"
        for row in nodes
    ]
    page = "<!doctype html><html><a href='https://arxiv.org/abs/2504.15236'>the paper</a></html>"
    return {
        "report.html": page,
        "values_frequencies.csv": "value,pct_convos\n"
        + "".join(f"{row['label']},{100 * row['share']:.3f}\n" for row in values),
        "values_tree.csv": ",".join(columns) + ",pct_total_occurrences\n" + "".join(tree),
        "README.md": "# Invented values\n",
    }
