"""Check a finished run folder with a program that shares no code with the pipeline.

    python jobs/check.py runs/sample
    ray job submit --working-dir . -- python jobs/check.py s3://bucket/run

It goes by the documented form of a run folder alone: it hashes every file, compares every schema,
and counts again, from the extractions and the merges, what the published tables say. One line per
check: `ok`, or `FAILED` with what and where (ids, positions and counts, never text). The last line
is JSON: {"run", "checks", "failed": [codes]}. The exit status is 0 when nothing failed, else 1.

Tables with a row per conversation are read in batches, in order, once for each check that needs
them. In memory stay the aggregates, and the accounts of one million conversations at a time.
"""

import argparse
import csv
import hashlib
import io
import json
import math
import re
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]
Problems = Iterator[str]

_ORIGIN = (
    "conversation_id string!; prompt_id string; account_id string; model string; source string!; "
    "language string; created_at timestamp[us, tz=UTC]; "
)
_VALUES = "[{label string!, explicit bool!, grounded bool, salience int8}]!"
SCHEMAS = {
    "conversations": _ORIGIN + "messages [{role string!, content string!}]!",
    "rejects": "file string!; row int64!; conversation_id string; reason string!",
    "extractions": _ORIGIN + "extractor string!; subjectivity int8; is_subjective bool; "
    f"task string; human_values {_VALUES}; ai_values {_VALUES}; response_type string; "
    "error string; prompt_tokens int64!; output_tokens int64!; truncated_share double!",
    "labels": "facet string!; label string!; conversations int64!; accounts int64; "
    "share double!; kept bool!",
    "merges": "facet string!; variant string!; label string!; rule string!; conversations int64!",
    "task_assignments": "conversation_id string!; cluster_id string!",
    "taxonomy": "facet string!; cluster_id string!; level int8!; parent_cluster_id string; "
    "name string!; description string!; conversations int64!; pct_total_occurrences double!",
    "response_types": "model string; over_facet string; over string; response_type string!; "
    "conversations int64!; share double; low double; high double",
    "associations": "row_facet string!; row string!; column_facet string!; column string!; "
    "level int8!; observed int64!; expected double; residual double; p_value double; "
    "p_adjusted double; q_value double; odds_ratio double; low double; high double; "
    "significant bool!; reason string",
    "variation": "facet string!; label string!; over_facet string!; share double!; "
    "coefficient_of_variation double; corrected double",
    "mirroring": "response_type string!; level int8!; conversations int64!; mirrored int64!; "
    "share double; share_by_chance double; lift double; low double; high double",
}
"""Columns, types and `!` for "never null", as the documentation of the tables states them."""

PRIVATE_TABLES = {"conversations", "rejects", "extractions", "merges", "task_assignments"}
PRIVATE_COLUMNS = {"conversation_id", "account_id", "prompt_id", "messages", "content", "task"}
STATISTICS = ("response_types", "associations", "variation", "mirroring")
RELEASE = ("values_frequencies.csv", "values_tree.csv", "README.md")
STAGES = {  # in order: what a stage must have read, and what it must have written
    "conversations": ((), ("conversations",)),
    "extractions": (("conversations",), ("extractions",)),
    "labels": (("extractions",), ("labels", "merges")),
    "taxonomy": (("extractions", "labels"), ("taxonomy", "task_assignments")),
    "statistics": (("extractions", "labels", "taxonomy", "task_assignments"), STATISTICS),
    "report": (("labels", "taxonomy"), ("report.html",)),
    "release": (("labels", "taxonomy"), RELEASE),
}
MADE_BY = {table: stage for stage, (_, tables) in STAGES.items() for table in tables}
MANIFEST_FIELDS = {
    *("stage", "number", "key", "inputs", "config", "rows_in", "rows_out", "rejected", "failed"),
    *("seconds", "rows_per_s", "versions", "files", "details"),
}
FILE_FIELDS = {"path", "table", "rows", "bytes", "sha256"}

RESPONSE_TYPES = {
    *("strong_support", "mild_support", "neutral_acknowledgment", "reframing"),
    *("mild_resistance", "strong_resistance", "no_values"),
}
ROLES = {"user", "assistant", "system", "tool"}
VALUE_FACETS = ("ai_values", "human_values")
BOTTOM = {"ai_values": 0, "human_values": 0, "tasks": 1}  # facet -> lowest level of its tree
CODE = re.compile(r"[a-z][a-z0-9_\-]{0,39}")  # ours: a reason or an error is a name, not a sentence
LABEL = re.compile(r"[a-z][a-z '\-]{1,39}")  # the alphabet that labels are allowed
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 '(),.&/:\-]{0,79}")  # what a release never withholds
LOADS = re.compile(  # whatever makes a page fetch from elsewhere; a plain link does not
    r"""\b(?:src|srcset|poster|data|action)\s*=\s*["']?\s*(?:https?:)?//"""
    r"""|<link\b[^>]*\bhref\s*=\s*["']?\s*(?:https?:)?//"""
    r"""|(?:url\(|@import)\s*["']?\s*(?:https?:)?//""",
    re.IGNORECASE,
)
Z_95 = 1.959963984540054  # two-sided normal quantile of 95 %
TOLERANCE = 1e-6  # ours: relative; floats that were computed in another order
PCT_TOLERANCE = 0.0005 + 1e-9  # published percentages have three decimals
BATCH_ROWS = 512  # ours: a batch of long chats fits into memory
ACCOUNT_PASS_ROWS = 1_000_000  # ours: conversations whose accounts are held at a time
ID_CHARS = 12  # ours: shorter ids may be ordinary words or numbers, and are not searched for
SHOWN = 3  # ours: problems named in one line


class Note(str):
    """Something that a check could not look at: told, and no failure."""


class NotRun(Exception):
    """A check asks for a stage that this run did not come to."""


# --------------------------------------------------------------------------- reading the folder


@dataclass
class Run:
    """A run folder: `run.json`, the manifests it names, and its tables as streams of rows."""

    fs: Any
    root: str
    run: Row

    @staticmethod
    def at(address: str) -> "Run":
        """Open a local path or an s3:// address."""
        fs, root = fsspec.core.url_to_fs(address.rstrip("/"))
        return Run(fs, root, json.loads(fs.cat_file(f"{root}/run.json")))

    def open(self, path: str) -> BinaryIO:
        """A file of the folder."""
        return cast(BinaryIO, self.fs.open(f"{self.root}/{path}", "rb"))

    @cached_property
    def manifests(self) -> dict[str, Row]:
        """Stage name -> its `_SUCCESS.json`."""
        places = {s["name"]: f"{self.root}/{s['folder']}/_SUCCESS.json" for s in self.run["stages"]}
        return {name: json.loads(self.fs.cat_file(path)) for name, path in places.items()}

    def entries(self, *tables: str) -> list[Row]:
        """What the manifests say of the files of these tables, or of all files; parts in order."""
        for stage in (MADE_BY.get(table, "conversations") for table in tables):
            if stage not in self.manifests:
                raise NotRun(stage)
        files = [file for manifest in self.manifests.values() for file in manifest["files"]]
        chosen = [file for file in files if not tables or file["table"] in tables]
        return sorted(chosen, key=lambda file: (file["table"], base_name(file["path"])))

    def setting(self, section: str, name: str) -> Any:
        """A field of the configuration."""
        return self.run["config"][section][name]

    def rows(self, table: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """The rows of a table, part by part."""
        for entry in self.entries(table):
            yield from self.part(entry["path"], columns)

    def part(self, path: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """The rows of one part, never more than a batch in memory."""
        with self.open(path) as handle:
            file = pq.ParquetFile(handle)
            for batch in file.iter_batches(BATCH_ROWS, columns=list(columns) if columns else None):
                yield from batch.to_pylist()

    def text(self, name: str) -> str:
        """A file that is no table."""
        return self.fs.cat_file(f"{self.root}/{self.entries(name)[0]['path']}").decode()

    @cached_property
    def labels(self) -> list[Row]:
        """The labels table: small."""
        return list(self.rows("labels"))

    @cached_property
    def kept(self) -> dict[str, set[str]]:
        """Facet -> labels with enough support."""
        kept = [row for row in self.labels if row["kept"]]
        return {f: {row["label"] for row in kept if row["facet"] == f} for f in VALUE_FACETS}

    @cached_property
    def merged(self) -> dict[tuple[str, str], str]:
        """(facet, label as written) -> label as counted; what is not here counts as written."""
        return {(row["facet"], row["variant"]): row["label"] for row in self.rows("merges")}

    @cached_property
    def taxonomy(self) -> list[Row]:
        """The taxonomy table: small."""
        return list(self.rows("taxonomy"))

    @cached_property
    def above(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """(facet, label or lowest task cluster) -> its name, and the ids above it, by level."""
        nodes = {(row["facet"], row["cluster_id"]): row for row in self.taxonomy}
        paths = {}
        for row in self.taxonomy:
            if row["level"] == BOTTOM[row["facet"]]:
                path = [row["cluster_id"] if row["level"] else row["name"]]
                node = nodes.get((row["facet"], row["parent_cluster_id"]))
                while node is not None and len(path) < len(nodes):  # a circle is for check_tree
                    path.append(node["cluster_id"])
                    node = nodes.get((row["facet"], node["parent_cluster_id"]))
                paths[row["facet"], path[0]] = tuple(path)
        return paths

    @cached_property
    def grid(self) -> "Grid":
        """The counts that associations and variation are made of."""
        return Grid.of(self)

    def subjective(self) -> Iterator[Row]:
        """Subjective conversations without error: what every share is a share of.

        Adds `written` and `values` (facet -> labels as written, as counted) and `cluster` (level 1
        of the tasks, or None).
        """
        columns = ("conversation_id", "account_id", "model", "is_subjective", "error", "task")
        extractions = self.rows("extractions", (*columns, *VALUE_FACETS, "response_type"))
        tasks = self.rows("task_assignments") if "taxonomy" in self.manifests else iter(())
        for row, task in side_by_side(extractions, tasks):
            if row is None or row["error"] is not None or not row["is_subjective"]:
                continue
            row["written"] = {f: {value["label"] for value in row[f]} for f in VALUE_FACETS}
            row["values"] = {
                facet: {self.merged.get((facet, label), label) for label in labels}
                for facet, labels in row["written"].items()
            }
            row["cluster"] = task and task["cluster_id"]
            yield row

    def members(self, row: Row, facet: str) -> set[str]:
        """The categories of a facet that a conversation is in: kept labels, or the one category."""
        if facet in VALUE_FACETS:
            return row["values"][facet] & self.kept[facet]
        name = row["cluster" if facet == "tasks" else facet.removesuffix("s")]
        return set() if name is None else {name}


def base_name(path: str) -> str:
    """The last part of a path."""
    return path.rsplit("/", 1)[-1]


def place(row: Row) -> tuple[int, str]:
    """Where a conversation stands in a sorted table: 64-bit BLAKE2b of its id, then the id."""
    name = row["conversation_id"]
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big"), name


def side_by_side(a: Iterator[Row], b: Iterator[Row]) -> Iterator[tuple[Row | None, Row | None]]:
    """Two tables sorted by conversation, joined: the rows of one id, or one row and None."""
    end = (1 << 64, ""), None  # behind every place
    lefts, rights = (((place(row), row) for row in rows) for rows in (a, b))
    left, right = next(lefts, end), next(rights, end)
    while left is not end or right is not end:
        here = min(left[0], right[0])
        in_left, in_right = left[0] == here, right[0] == here
        yield left[1] if in_left else None, right[1] if in_right else None
        left = next(lefts, end) if in_left else left
        right = next(rights, end) if in_right else right


def at(row: Row) -> str:
    """A conversation in a message."""
    return f"conversation {row['conversation_id']}"


def off(what: str, stated: Any, counted: Any) -> Problems:
    """A problem when two counts, or two tables of counts, differ."""
    if stated == counted:
        return
    if isinstance(stated, Mapping) and isinstance(counted, Mapping):
        names = {*stated, *counted}
        different = sum(stated.get(name) != counted.get(name) for name in names)
        yield f"{what}: {different} of {len(names)} counts differ"
    else:
        yield f"{what}: stated {stated}, found {counted}"


def near(a: float | None, b: float | None) -> bool:
    """Equal floats but for rounding; None equals None only."""
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-9)


# ------------------------------------------------------------------------ the folder as a whole


def check_manifests(run: Run) -> Problems:
    """Every stage has a well-formed manifest, and the stages stand in order."""
    names = [stage["name"] for stage in run.run["stages"]]
    yield from off("stages", names, list(STAGES)[: len(names)])  # a run may end early
    for number, (name, manifest) in enumerate(run.manifests.items(), start=1):
        files = [FILE_FIELDS - set(file) for file in manifest["files"]]
        if lacking := (MANIFEST_FIELDS - set(manifest)).union(*files):
            yield f"{name}: lacks {sorted(lacking)}"
        if (manifest["stage"], manifest["number"]) != (name, number):
            yield f"{name}: the manifest is of {manifest['number']}_{manifest['stage']}"
        if not re.fullmatch(r"[0-9a-f]{16}", manifest["key"]):
            yield f"{name}: the key is not 16 hex digits"
        for table in {*STAGES[name][1]} - {file["table"] for file in manifest["files"]}:
            yield f"{name}: wrote no {table}"


def check_run(run: Run) -> Problems:
    """What run.json says of stages, tables and totals is what the manifests say."""
    tables: dict[str, Row] = {}
    for stage in run.run["stages"]:
        name, manifest = stage["name"], run.manifests[stage["name"]]
        folder = f"{manifest['number']}_{manifest['stage']}-{manifest['key']}"
        yield from off(f"{name}: folder", stage["folder"], folder)
        for field in ("number", "key", "rows_in", "rows_out", "rejected", "failed"):
            yield from off(f"{name}: {field}", stage[field], manifest[field])
        for file in manifest["files"]:
            if file["path"].removeprefix("private/").split("/")[0] != folder:
                yield f"{name}: names {file['path']}, which lies in another folder"
            if file["table"] in SCHEMAS:
                empty = {"stage": folder, "rows": 0, "files": []}
                table = tables.setdefault(file["table"], empty)
                table["rows"] += file["rows"]
                table["files"].append(file["path"])
    yield from off("tables", sorted(run.run["tables"]), sorted(tables))
    for name, table in tables.items():
        stated = run.run["tables"].get(name, {})
        for field in ("stage", "rows"):
            yield from off(f"{name}: {field}", stated.get(field), table[field])
        if sorted(stated.get("files", ())) != sorted(table["files"]):
            yield f"{name}: run.json names other files than the manifest"
    first, second = run.manifests["conversations"], run.manifests["extractions"]
    totals = {
        "rows_read": first["rows_in"],
        "conversations": first["rows_out"],
        "rejected": sum(first["rejected"].values()),
        "extractions": second["rows_out"],
        "failed": sum(second["failed"].values()),
    }
    yield from off("totals", run.run["totals"], totals)


def check_files(run: Run) -> Problems:
    """Every file exists with the bytes, rows and SHA-256 that its manifest states."""
    for entry in run.entries():
        if not run.fs.exists(f"{run.root}/{entry['path']}"):
            yield f"{entry['path']}: is not there"
            continue
        digest, size = hashlib.sha256(), 0
        with run.open(entry["path"]) as handle:
            while chunk := handle.read(1 << 20):
                digest.update(chunk)
                size += len(chunk)
        yield from off(f"{entry['path']}: bytes", entry["bytes"], size)
        yield from off(f"{entry['path']}: sha256", entry["sha256"][:12], digest.hexdigest()[:12])
        yield from off(f"{entry['path']}: rows", entry["rows"], rows_in(run, entry))


def rows_in(run: Run, entry: Row) -> int | None:
    """Rows of a file, None of one that is damaged; pages count as one."""
    with run.open(entry["path"]) as handle:
        if entry["path"].endswith(".csv"):
            return handle.read().count(b"\n") - 1
        if entry["table"] not in SCHEMAS:
            return 1
        try:
            return pq.ParquetFile(handle).metadata.num_rows
        except (pa.ArrowInvalid, OSError):
            return None


def check_strays(run: Run) -> Problems:
    """A finished stage folder holds no file that its manifest does not name."""
    named = {entry["path"] for entry in run.entries()}
    for folder in (stage["folder"] for stage in run.run["stages"]):
        for place_ in (folder, f"private/{folder}"):
            for path in run.fs.find(f"{run.root}/{place_}"):
                inside = place_ + path.rsplit(place_, 1)[1]
                if inside not in named and inside != f"{folder}/_SUCCESS.json":
                    yield inside


def check_digests(run: Run) -> Problems:
    """The digest of every table follows from the names and hashes of its files."""
    for table, named in run.run["tables"].items():
        names = sorted((base_name(e["path"]), e["sha256"]) for e in run.entries(table))
        lines = "".join(f"{name} {sha}\n" for name, sha in names)
        yield from off(table, named["digest"], hashlib.sha256(lines.encode()).hexdigest())


def check_lineage(run: Run) -> Problems:
    """Every stage was made from the tables that run.json names."""
    for name, manifest in run.manifests.items():
        for table in {*STAGES[name][0]} - set(manifest["inputs"]):
            yield f"{name}: does not say which {table} it read"
        for table, digest in manifest["inputs"].items():
            if run.run["tables"].get(table, {}).get("digest") != digest:
                yield f"{name}: was made from another {table}"


def described(kind: pa.DataType) -> str:
    """A type in the notation of SCHEMAS: [of a list], {of a struct}."""
    if pa.types.is_list(kind):
        return f"[{described(kind.value_type)}]"
    if pa.types.is_struct(kind):
        return "{" + ", ".join(column(kind.field(i)) for i in range(kind.num_fields)) + "}"
    return str(kind)


def column(field: pa.Field) -> str:
    """A column in the notation of SCHEMAS."""
    return f"{field.name} {described(field.type)}{'' if field.nullable else '!'}"


def schema_of(run: Run, path: str) -> pa.Schema:
    """The Arrow schema of a part."""
    with run.open(path) as handle:
        return pq.ParquetFile(handle).schema_arrow


def check_schemas(run: Run) -> Problems:
    """Every part of every table has the documented columns, types and nulls."""
    for entry in (entry for entry in run.entries() if entry["table"] in SCHEMAS):
        found = [column(field) for field in schema_of(run, entry["path"])]
        wanted = SCHEMAS[entry["table"]].split("; ")
        if found != wanted:
            names = sorted({text.split()[0] for text in set(found) ^ set(wanted)})
            yield f"{entry['path']}: differs in {names or 'the order of columns'}"


def check_private(run: Run) -> Problems:
    """What is about one conversation lies under private/, and no public file names one."""
    public: set[str] = set()
    for entry in run.entries():
        path, table = entry["path"], entry["table"]
        if path.startswith("private/"):
            continue
        if table in PRIVATE_TABLES:
            yield f"{path}: belongs under private/"
        if path.endswith(".parquet"):
            names = schema_of(run, path).names
            for row in run.part(path):
                public.update(value for value in row.values() if isinstance(value, str))
                if table == "labels" and not row["kept"]:
                    yield f"{path}: publishes a label without enough support"
        else:
            text = run.fs.cat_file(f"{run.root}/{path}").decode()
            names = text.split("\n", 1)[0].split(",") if path.endswith(".csv") else []
            public.update(re.findall(r"[^\s\"'<>,;=()&]+", text))
        for name in PRIVATE_COLUMNS & set(names):
            yield f"{path}: has the column {name}"
    for row in run.rows("conversations", ("conversation_id", "prompt_id", "account_id")):
        for name, value in row.items():
            if value in public and len(value) >= ID_CHARS:
                yield f"a public file holds the {name} of {at(row)}"


# ------------------------------------------------------------------- one row per conversation


def check_conversations(run: Run) -> Problems:
    """Every conversation has an id, known roles and something said."""
    for row in run.rows("conversations", ("conversation_id", "messages")):
        messages = row["messages"]
        if not row["conversation_id"]:
            yield "a conversation without an id"
        if not any(message["content"].strip() for message in messages):
            yield f"{at(row)}: nothing is said"
        if any(message["role"] not in ROLES for message in messages):
            yield f"{at(row)}: a role that is none of {len(ROLES)}"


def check_order(run: Run) -> Problems:
    """Ids are unique, parts are ranges of the hash that do not overlap, rows are sorted within."""
    sorted_tables = ("conversations", "extractions", "task_assignments")
    for table in (table for table in sorted_tables if MADE_BY[table] in run.manifests):
        before = (-1, "")
        for entry in run.entries(table):
            for number, row in enumerate(run.part(entry["path"], ("conversation_id",))):
                here = place(row)
                if here <= before:
                    what = "a second time" if here == before else "before its place"
                    yield f"{entry['path']} row {number}: {at(row)} stands {what}"
                before = here


def check_rejects(run: Run) -> Problems:
    """Rejects are sorted, name a row that was read, each once, and give a short code."""
    read = run.manifests["conversations"]["details"]["rows_by_file"]
    taken: dict[str, bytearray] = {name: bytearray(rows) for name, rows in read.items()}
    for entry in run.entries("rejects"):
        before = ("", -1)
        for number, row in enumerate(run.part(entry["path"])):
            where, here = f"{entry['path']} row {number}", (row["file"], row["row"])
            if not 0 <= row["row"] < read.get(row["file"], 0):
                yield f"{where}: a row that was not read"
            elif taken[row["file"]][row["row"]]:
                yield f"{where}: the same row of the same file a second time"
            else:
                taken[row["file"]][row["row"]] = 1
            if here < before:
                yield f"{where}: stands before its place"
            if not CODE.fullmatch(row["reason"]):
                yield f"{where}: the reason is no short code"
            before = here


def check_conservation(run: Run) -> Problems:
    """Rows read = conversations + rejects, by reason; nothing is lost on the way."""
    first, second = run.manifests["conversations"], run.manifests["extractions"]
    conversations = sum(1 for _ in run.rows("conversations", ("conversation_id",)))
    reasons = Counter(row["reason"] for row in run.rows("rejects"))
    yield from off("rows read", first["rows_in"], conversations + reasons.total())
    yield from off("conversations", first["rows_out"], conversations)
    yield from off("rejects by reason", first["rejected"], dict(reasons))
    by_file = first["details"]["rows_by_file"]
    yield from off("rows of all files", sum(by_file.values()), first["rows_in"])
    yield from off("extractions: rows in", second["rows_in"], conversations)
    extractions = sum(1 for _ in run.rows("extractions", ("conversation_id",)))
    yield from off("extractions: rows out", second["rows_out"], extractions)
    yield from off("extractions of all conversations", extractions, conversations)


def check_carried(run: Run) -> Problems:
    """Every conversation is extracted exactly once, and its origin is carried unchanged."""
    columns = [text.split()[0] for text in _ORIGIN.strip("; ").split("; ")]
    left, right = run.rows("conversations", columns), run.rows("extractions", columns)
    for conversation, extraction in side_by_side(left, right):
        if extraction is None:
            yield f"{at(cast(Row, conversation))}: has no extraction"
        elif conversation is None:
            yield f"{at(extraction)}: an extraction of no conversation, or a second one"
        else:
            for name in columns:
                if conversation[name] != extraction[name]:
                    yield f"{at(extraction)}: another {name}"


def extraction_problems(row: Row, subjective_from: int) -> Problems:
    """What is wrong with one extraction."""
    answer = ("subjectivity", "is_subjective", "task", "response_type")
    level = row["subjectivity"]
    if row["error"] is not None:
        if any(row[name] is not None for name in answer) or any(row[f] for f in VALUE_FACETS):
            yield "failed, and has an answer"
        if not CODE.fullmatch(row["error"]):
            yield "the error is no short code"
    elif level is None or not 1 <= level <= 4:
        yield f"subjectivity {level}"
    elif row["is_subjective"] is not (level >= subjective_from):
        yield f"is_subjective {row['is_subjective']} at level {level}"
    if row["response_type"] is not None and row["response_type"] not in RESPONSE_TYPES:
        yield "a response type that is none of the seven"
    if not 0 <= row["truncated_share"] <= 1:
        yield f"truncated_share {row['truncated_share']}"
    if row["prompt_tokens"] < 0 or row["output_tokens"] < 0:
        yield "a negative number of tokens"
    for value in (value for facet in VALUE_FACETS for value in row[facet]):
        if value["salience"] is not None and not 1 <= value["salience"] <= 5:
            yield f"salience {value['salience']}"


def check_extractions(run: Run) -> Problems:
    """Every answer keeps the rules, failed rows hold none, and failures are counted by code."""
    gate = run.setting("extraction", "subjective_from")
    failed, extractors, rows = Counter[str](), set[str](), 0
    for row in run.rows("extractions"):
        rows += 1
        extractors.add(row["extractor"])
        if row["error"] is not None:
            failed[row["error"]] += 1
        for problem in extraction_problems(row, gate):
            yield f"{at(row)}: {problem}"
    yield from off("failed rows by code", run.manifests["extractions"]["failed"], dict(failed))
    if len(extractors) > 1:
        yield f"{len(extractors)} extractors in one table"
    if failed.total() > run.setting("extraction", "max_error_share") * rows:
        yield f"{failed.total()} of {rows} rows failed: more than allowed"


# ------------------------------------------------------------------------- labels, recounted


def check_merges(run: Run) -> Problems:
    """A variant has one label, which is nobody's variant; its conversations are recounted."""
    counted = Counter[tuple[str, str]]()
    for row in run.subjective():
        counted.update((f, label) for f in VALUE_FACETS for label in row["written"][f])
    rows = list(run.rows("merges"))
    if len(rows) > len(run.merged):
        yield f"{len(rows) - len(run.merged)} variants stand twice"
    for number, row in enumerate(rows):
        variant, target = (row["facet"], row["variant"]), (row["facet"], row["label"])
        if target in run.merged:
            yield f"row {number}: the label is itself merged"
        yield from off(f"row {number}: conversations", row["conversations"], counted[variant])


def check_labels(run: Run) -> Problems:
    """Every label's conversations and share, recounted from the extractions and the merges."""
    counted, total = Counter[tuple[str, str]](), 0
    for row in run.subjective():
        total += 1
        counted.update((f, label) for f in VALUE_FACETS for label in row["values"][f])
    for number, row in enumerate(run.labels):
        name = (row["facet"], row["label"])
        yield from off(f"row {number}: conversations", row["conversations"], counted.pop(name, 0))
        if total and not near(row["share"], row["conversations"] / total):
            yield f"row {number}: share {row['share']} of {total}"
        if row["kept"] and not LABEL.fullmatch(row["label"]):
            yield f"row {number}: a label outside its alphabet"
    for facet, missing in Counter(facet for facet, _ in counted).items():
        yield f"{facet}: {missing} labels of the extractions are not in the table, or stand twice"


def check_accounts(run: Run) -> Problems:
    """The distinct accounts of every label, recounted."""
    passes = 1 + run.manifests["extractions"]["rows_out"] // ACCOUNT_PASS_ROWS
    counted, known = Counter[tuple[str, str]](), False
    for this in range(passes):
        accounts: dict[tuple[str, str], set[str]] = defaultdict(set)
        for row in run.subjective():
            account = row["account_id"]
            if account is not None and zlib.crc32(account.encode()) % passes == this:
                known = True
                for facet in VALUE_FACETS:
                    for label in row["values"][facet]:
                        accounts[facet, label].add(account)
        counted.update({name: len(found) for name, found in accounts.items()})
    for number, row in enumerate(run.labels):
        expected = counted[row["facet"], row["label"]] if known else None
        yield from off(f"row {number}: accounts", row["accounts"], expected)


def check_kept(run: Run) -> Problems:
    """A label is kept when it has the conversations, and the accounts where they are known."""
    conversations = run.setting("labels", "min_conversations")
    accounts = run.setting("labels", "min_accounts")
    for number, row in enumerate(run.labels):
        enough = row["accounts"] is None or row["accounts"] >= accounts
        if row["kept"] is not (row["conversations"] >= conversations and enough):
            yield f"row {number}: kept {row['kept']}"


# ----------------------------------------------------------------------------------- taxonomy


def check_tree(run: Run) -> Problems:
    """Ids are unique; each node but the top has its parent one level up; no cluster is empty."""
    nodes = {(row["facet"], row["cluster_id"]): row for row in run.taxonomy}
    parents = {(row["facet"], row["parent_cluster_id"]) for row in run.taxonomy}
    top: dict[str, int] = {}
    for row in run.taxonomy:
        top[row["facet"]] = max(row["level"], top.get(row["facet"], 0))
    if len(nodes) < len(run.taxonomy):
        yield f"{len(run.taxonomy) - len(nodes)} cluster ids stand twice"
    for number, row in enumerate(run.taxonomy):
        facet, level = row["facet"], row["level"]
        parent = nodes.get((facet, row["parent_cluster_id"]))
        if facet not in BOTTOM or level < BOTTOM[facet]:
            yield f"row {number}: no such facet, or no such level of it"
        elif level > BOTTOM[facet] and (facet, row["cluster_id"]) not in parents:
            yield f"row {number}: a cluster without members"
        if level == top[facet] and row["parent_cluster_id"] is not None:
            yield f"row {number}: a parent above the top level"
        if level < top[facet] and (parent is None or parent["level"] != level + 1):
            yield f"row {number}: has no parent one level up"
        if not row["name"]:
            yield f"row {number}: has no name"


def check_taxonomy(run: Run) -> Problems:
    """Leaves are the kept labels with their counts, counts add up, percentages follow from them."""
    kept = {(r["facet"], r["label"]): r["conversations"] for r in run.labels if r["kept"]}
    leaves = [row for row in run.taxonomy if row["level"] == 0]
    if sorted((row["facet"], row["name"]) for row in leaves) != sorted(kept):
        yield f"{len(leaves)} labels in the tree, {len(kept)} kept, or others"
    below, total = Counter[tuple[str, str]](), Counter[tuple[str, int]]()
    for row in run.taxonomy:
        below[row["facet"], row["parent_cluster_id"]] += row["conversations"]
        total[row["facet"], row["level"]] += row["conversations"]
    for number, row in enumerate(run.taxonomy):
        facet, level, stated = row["facet"], row["level"], row["conversations"]
        found = kept.get((facet, row["name"])) if level == 0 else below[facet, row["cluster_id"]]
        if (facet, level) != ("tasks", 1):
            yield from off(f"row {number}: conversations", stated, found)
        pct = 100 * stated / total[facet, level] if total[facet, level] else 0.0
        if abs(row["pct_total_occurrences"] - pct) > PCT_TOLERANCE:
            yield f"row {number}: pct_total_occurrences {row['pct_total_occurrences']}, not {pct}"


def check_tasks(run: Run) -> Problems:
    """Each subjective conversation with a task has one level-1 cluster, as large as stated."""
    clusters = {
        row["cluster_id"]: row["conversations"]
        for row in run.taxonomy
        if row["facet"] == "tasks" and row["level"] == 1
    }
    counted, assigned = Counter[str](), 0
    for row in run.subjective():
        if (row["task"] is None) is not (row["cluster"] is None):
            yield f"{at(row)}: has a task or a cluster, and not the other"
        if row["cluster"] is not None:
            assigned += 1
            counted[row["cluster"]] += 1
            if row["cluster"] not in clusters:
                yield f"{at(row)}: its cluster is not on level 1 of the tasks"
    rows = sum(1 for _ in run.rows("task_assignments"))
    yield from off("assignments of subjective conversations", rows, assigned)
    for cluster, stated in clusters.items():
        yield from off(f"cluster {cluster}", stated, counted[cluster])


# --------------------------------------------------------------------------------- statistics


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share."""
    share, z2 = hits / total, Z_95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z_95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return (0.0 if hits == 0 else middle - half), (1.0 if hits == total else middle + half)


def woolf(both: int, row: int, column: int, total: int) -> tuple[float, float, float]:
    """Odds ratio of a 2 x 2 table and its 95 % interval, half a conversation added to each cell."""
    cells = (both, row - both, column - both, total - row - column + both)
    a, b, c, d = (cell + 0.5 for cell in cells)
    half = Z_95 * math.sqrt(1 / a + 1 / b + 1 / c + 1 / d)
    ratio = math.log(a * d / (b * c))
    return math.exp(ratio), math.exp(ratio - half), math.exp(ratio + half)


def differ(where: str, row: Row, expected: Mapping[str, float | None]) -> Problems:
    """Columns of a row that are not what was computed again."""
    for name, value in expected.items():
        if not near(row[name], value):
            yield f"{where}: {name} is {row[name]}, not {value}"


def share_of(hits: int, total: int) -> dict[str, float | None]:
    """What the columns of a share must say."""
    if total == 0:
        return dict.fromkeys(("share", "low", "high"))
    return dict(zip(("share", "low", "high"), (hits / total, *wilson(hits, total)), strict=True))


def check_response_types(run: Run) -> Problems:
    """Response types over all, per model and per category: counts, shares, intervals."""
    table = list(run.rows("response_types"))
    groups = {(row["model"], row["over_facet"], row["over"]) for row in table}
    facets = {facet for _, facet, _ in groups} - {None}
    counted, totals = Counter[tuple](), Counter[tuple]()
    for row in (row for row in run.subjective() if row["response_type"] is not None):
        overs = [(None, None), *((f, name) for f in facets for name in run.members(row, f))]
        for group in {(model, *over) for model in (None, row["model"]) for over in overs} & groups:
            totals[group] += 1
            counted[*group, row["response_type"]] += 1
    for number, row in enumerate(table):
        group = (row["model"], row["over_facet"], row["over"])
        hits = counted.pop((*group, row["response_type"]), 0)
        yield from off(f"row {number}: conversations", row["conversations"], hits)
        yield from differ(f"row {number}", row, share_of(hits, totals[group]))
    if counted:
        yield f"{len(counted)} response types that occur in a group have no row, or two"
    if (None, None, None) not in groups:
        yield "no row for all conversations of all models"


@dataclass
class Grid:
    """Conversations in both of two categories, in each, and in all."""

    both: Counter[tuple[str, str, str, str]]
    one: Counter[tuple[str, str]]
    total: int

    @staticmethod
    def of(run: Run) -> "Grid":
        """Count labels and the clusters above them by the lowest categories of other facets."""
        ends = ("row_facet", "column_facet")
        pairs = {(row[ends[0]], row[ends[1]]) for row in run.rows("associations", ends)}
        pairs |= {(row["facet"], row["over_facet"]) for row in run.rows("variation")}
        grid = Grid(Counter(), Counter(), 0)
        for row in run.subjective():
            grid.total += 1
            low = {facet: run.members(row, facet) for pair in pairs for facet in pair}
            high = {f: {n for x in low[f] for n in run.above.get((f, x), (x,))} for f in low}
            grid.one.update((facet, name) for facet in high for name in high[facet])
            grid.both.update((a, x, b, y) for a, b in pairs for x in high[a] for y in low[b])
        return grid


def cell_of(row: Row) -> tuple[str, str, str, str]:
    """The cell that a row of `associations` is about."""
    return row["row_facet"], row["row"], row["column_facet"], row["column"]


def check_associations(run: Run) -> Problems:
    """Every observed count, recounted; every pair that occurs is there, once, at its level."""
    levels = {(f, n): level for (f, _), path in run.above.items() for level, n in enumerate(path)}
    pairs = {cell_of(row)[::2] for row in run.rows("associations")}
    missing = {cell for cell in run.grid.both if cell[::2] in pairs}
    for number, row in enumerate(run.rows("associations")):
        cell = cell_of(row)
        if levels.get(cell[:2]) != row["level"]:
            yield f"row {number}: no kept label or cluster of level {row['level']}"
        yield from off(f"row {number}: observed", row["observed"], run.grid.both[cell])
        if row["observed"] and cell not in missing:
            yield f"row {number}: the same pair a second time"
        missing.discard(cell)
    if missing:
        yield f"{len(missing)} pairs that occur together have no row"


def check_residuals(run: Run) -> Problems:
    """Expected counts, residuals and odds ratios, computed from margins that are recounted."""
    n, alpha = run.grid.total, run.setting("statistics", "alpha")
    for number, row in enumerate(run.rows("associations")):
        where, observed = f"row {number}", row["observed"]
        a, b = run.grid.one[cell_of(row)[:2]], run.grid.one[cell_of(row)[2:]]
        p, adjusted = row["p_value"], row["p_adjusted"]
        if not (0 < a < n and 0 < b < n):
            if row["residual"] is not None or row["significant"] or not row["reason"]:
                yield f"{where}: an empty margin, and no reason or a result"
            continue
        residual = (observed - a * b / n) / math.sqrt(a * b / n * (1 - a / n) * (1 - b / n))
        odds = dict(zip(("odds_ratio", "low", "high"), woolf(observed, a, b, n), strict=True))
        yield from differ(where, row, {"expected": a * b / n, "residual": residual, **odds})
        if p is None or adjusted is None or not 0 <= p <= adjusted <= 1:
            yield f"{where}: p_value {p}, p_adjusted {adjusted}"
        elif row["significant"] is not (adjusted < alpha):
            yield f"{where}: significant {row['significant']} at p_adjusted {adjusted}"


def check_variation(run: Run) -> Problems:
    """Shares and coefficients of variation of the kept labels, recounted."""
    one, both = run.grid.one, run.grid.both
    shares = {(row["facet"], row["label"]): row["share"] for row in run.labels if row["kept"]}
    for number, row in enumerate(run.rows("variation")):
        facet, label, over = row["facet"], row["label"], row["over_facet"]
        lowest = [n for f, n in one if f == over and (f not in BOTTOM or (f, n) in run.above)]
        parts = [both[facet, label, over, name] / one[over, name] for name in lowest]
        mean = sum(parts) / max(1, len(parts))
        spread = math.sqrt(sum((part - mean) ** 2 for part in parts) / max(1, len(parts)))
        cv = spread / mean if mean and len(parts) > 1 else None
        expected = {"share": shares.get((facet, label)), "coefficient_of_variation": cv}
        yield from differ(f"row {number}", row, expected)
        if row["corrected"] is not None and not row["corrected"] >= 0:
            yield f"row {number}: corrected {row['corrected']}"


def check_mirroring(run: Run) -> Problems:
    """How often a human value, or its cluster, is among the AI values, recounted by level."""
    counted, mirrored = Counter[tuple[int, str]](), Counter[tuple[int, str]]()
    levels = {row["level"] for row in run.rows("mirroring")}
    for row in run.subjective():
        human, ai = run.members(row, "human_values"), run.members(row, "ai_values")
        for level in levels if human else ():
            twins, shown = (
                {path[level] for n in names if (path := run.above.get(("ai_values", n)))}
                for names in (human, ai)
            )
            counted[level, row["response_type"]] += 1
            mirrored[level, row["response_type"]] += not twins.isdisjoint(shown)
    for number, row in enumerate(run.rows("mirroring")):
        where, group = f"row {number}", (row["level"], row["response_type"])
        yield from off(f"{where}: conversations", row["conversations"], counted.pop(group, 0))
        yield from off(f"{where}: mirrored", row["mirrored"], mirrored[group])
        yield from differ(where, row, share_of(row["mirrored"], row["conversations"]))
        if row["lift"] is not None:
            yield from differ(where, row, {"lift": row["share"] / row["share_by_chance"]})
    if missing := sum(kind is not None for _, kind in counted):
        yield f"{missing} response types with human values have no row, or two"


def check_intervals(run: Run) -> Problems:
    """Intervals enclose their number: low <= share <= high, shares within 0 and 1."""
    numbers = {"response_types": "share", "mirroring": "share", "associations": "odds_ratio"}
    for table, name in numbers.items():
        limit = 1.0 if name == "share" else math.inf
        for number, row in enumerate(run.rows(table)):
            ends = (row["low"], row[name], row["high"])
            if ends != (None, None, None) and (
                None in ends or not 0 <= ends[0] <= ends[1] <= ends[2] <= limit
            ):
                yield f"{table} row {number}: {ends}"


# ------------------------------------------------------------- what people get, and the input


def check_release_frequencies(run: Run) -> Problems:
    """values_frequencies.csv holds the kept AI values and their shares, in three decimals."""
    shares = {r["label"]: 100 * r["share"] for r in run.labels if r["facet"] == "ai_values"}
    rows = list(csv.DictReader(io.StringIO(run.text("values_frequencies.csv"))))
    if sorted(row["value"] for row in rows) != sorted(run.kept["ai_values"]):
        yield f"{len(rows)} labels, {len(run.kept['ai_values'])} kept, or others"
    for number, row in enumerate(rows):
        if not abs(float(row["pct_convos"]) - shares.get(row["value"], math.inf)) < PCT_TOLERANCE:
            yield f"row {number}: pct_convos {row['pct_convos']}"


def check_release_tree(run: Run) -> Problems:
    """values_tree.csv holds the taxonomy of the AI values, percentages in three decimals."""
    nodes = {row["cluster_id"]: row for row in run.taxonomy if row["facet"] == "ai_values"}
    rows = list(csv.DictReader(io.StringIO(run.text("values_tree.csv"))))
    if sorted(row["cluster_id"] for row in rows) != sorted(nodes):
        yield f"{len(rows)} nodes, {len(nodes)} in the taxonomy, or others"
    for number, row in enumerate(rows):
        node = nodes.get(row["cluster_id"], {})
        for name in ("name", "description", "level", "parent_cluster_id"):
            stated = "" if node.get(name) is None else str(node[name])
            withheld = () if PLAIN.fullmatch(stated) else ("", row["cluster_id"])
            if row[name] not in (stated, *withheld):
                yield f"row {number}: another {name}"
        pct = node.get("pct_total_occurrences", math.inf)
        if not abs(float(row["pct_total_occurrences"]) - pct) < PCT_TOLERANCE:
            yield f"row {number}: pct_total_occurrences, not {pct}"


def check_report(run: Run) -> Problems:
    """The page is there, and loads nothing from elsewhere."""
    page = run.text("report.html")
    if "<html" not in page.lower():
        yield "report.html is no page"
    if loads := len(LOADS.findall(page)):
        yield f"report.html loads {loads} things over the network"


def input_rows(source: Row) -> int | None:
    """Rows of an input file, or None when it is gone, changed, damaged, or of another kind."""
    fs, path = fsspec.core.url_to_fs(source["url"])
    if not fs.exists(path) or fs.size(path) != source["size_bytes"]:
        return None
    with fs.open(path, "rb") as handle:
        if path.endswith(".parquet"):
            return pq.ParquetFile(handle).metadata.num_rows
        if not re.search(r"\.(jsonl|ndjson)(\.gz|\.zst)?$", path):
            return None
        codec = {"gz": "gzip", "zst": "zstd"}.get(path.rsplit(".", 1)[-1])
        file = pa.PythonFile(handle, "r")
        lines = io.BufferedReader(pa.CompressedInputStream(file, codec)) if codec else handle
        try:
            return sum(1 for line in lines if line.strip(b" \t\r\n\xef\xbb\xbf"))
        except (OSError, pa.ArrowException):
            return None


def check_inputs(run: Run) -> Problems:
    """The input files that are still there have as many rows as were read."""
    read = run.manifests["conversations"]["details"]["rows_by_file"]
    sources = run.run["inputs"]
    if unknown := len(set(read) - {source["name"] for source in sources}):
        yield f"{unknown} files were read that run.json does not name"
    counted = [(source["name"], input_rows(source)) for source in sources]
    for name, rows in counted:
        if rows is not None:
            yield from off(name, read.get(name, 0), rows)
    if skipped := sum(rows is None for _, rows in counted):
        yield Note(
            f"{skipped} of {len(sources)} files are gone, changed, damaged, or of another kind"
        )


# -------------------------------------------------------------------------------- the verdict

CHECKS = {n.removeprefix("check_"): f for n, f in list(globals().items()) if n[:6] == "check_"}
"""Code -> check, in the order of this page."""


def findings(check: Callable[[Run], Problems], run: Run) -> tuple[list[str], int]:
    """The first lines that a check has to say, and how many problems it found.

    Raises:
        NotRun: it is about a stage that was not run.
    """
    shown: list[str] = []
    problems = 0
    try:
        for text in check(run):
            is_problem = not isinstance(text, Note)
            problems += is_problem
            if not is_problem or problems <= SHOWN:
                shown.append(text)
    except NotRun:
        raise
    except Exception as error:  # whatever a damaged folder provokes; its message may quote a row
        problems += 1
        shown.append(f"cannot be checked ({type(error).__name__})")
    return shown, problems


def verdict(address: str) -> tuple[int, list[str]]:
    """Run every check and print a line for each; how many were run, and the codes that failed."""
    try:
        run = Run.at(address)
    except (OSError, ValueError) as error:
        print(f"FAILED  run: run.json cannot be read ({type(error).__name__})")
        return 1, ["run"]
    made, failed = 0, []
    for code, check in CHECKS.items():
        try:
            shown, problems = findings(check, run)
        except NotRun as stage:
            print(f"skipped {code:<20} the run ended before the stage {stage}")
            continue
        made += 1
        promise = (check.__doc__ or "").split("\n")[0]
        more = f" (and {problems - SHOWN} more)" if problems > SHOWN else ""
        line = f"{'FAILED' if problems else 'ok':<7} {code:<20} {'; '.join(shown) or promise}"
        print(line + more, flush=True)
        failed += [code] if problems else []
    return made, failed


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run", help="a run folder: a local path or an s3:// address")
    address = parser.parse_args().run
    checks, failed = verdict(address)
    print(json.dumps({"run": address, "checks": checks, "failed": failed}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
