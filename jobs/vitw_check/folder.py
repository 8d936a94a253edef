"""Manifests, run.json and files: the folder is sealed, and the seals fit each other."""

import hashlib
import re

import pyarrow as pa
import pyarrow.parquet as pq

from .expected import FILE_FIELDS, MANIFEST_FIELDS, SCHEMAS, STAGES
from .problems import Note, Problems, off, purged
from .reading import Row, base_name
from .recounting import CheckedRun


def check_manifests(run: CheckedRun) -> Problems:
    """Every stage has a well-formed manifest, and the stages stand in order."""
    names = [stage["name"] for stage in run.run["stages"]]
    certified = names[-1:] if names[-1:] == ["certificate"] else []
    own = len(names) - len(certified)  # a run may end early
    yield from off("stages", names, [*list(STAGES)[:own], *certified])
    for name, manifest in run.manifests.items():
        number = list(STAGES).index(name) + 1
        files = [FILE_FIELDS - set(file) for file in manifest["files"]]
        if lacking := (MANIFEST_FIELDS - set(manifest)).union(*files):
            yield f"{name}: lacks {sorted(lacking)}"
        if (manifest["stage"], manifest["number"]) != (name, number):
            yield f"{name}: the manifest is of {manifest['number']}_{manifest['stage']}"
        if not re.fullmatch(r"[0-9a-f]{16}", manifest["key"]):
            yield f"{name}: the key is not 16 hex digits"
        for table in {*STAGES[name][1]} - {file["table"] for file in manifest["files"]}:
            yield f"{name}: wrote no {table}"


def check_run(run: CheckedRun) -> Problems:
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


def check_files(run: CheckedRun) -> Problems:
    """Every file exists with the bytes, rows and SHA-256 that its manifest states."""
    gone = 0
    for entry in run.entries():
        if run.is_gone(entry):
            gone += 1
            continue
        if not run.fs.exists(f"{run.root}/{entry['path']}"):
            yield f"{entry['path']}: is not there"
            continue
        digest, size = run.digest_of(entry), 0
        with run.open(entry["path"]) as handle:
            while chunk := handle.read(1 << 20):
                digest.update(chunk)
                size += len(chunk)
        yield from off(f"{entry['path']}: bytes", entry["bytes"], size)
        yield from off(f"{entry['path']}: sha256", entry["sha256"][:12], digest.hexdigest()[:12])
        yield from off(f"{entry['path']}: rows", entry["rows"], rows_in(run, entry))
    yield from purged(gone)


def rows_in(run: CheckedRun, entry: Row) -> int | None:
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


def plain_name(path: str) -> str:
    """Name of a part without the mark of the attempt that wrote it."""
    return re.sub(r"^(part-\d{5})-[0-9a-f]{8}(?=\.parquet$)", r"\1", base_name(path))


def check_strays(run: CheckedRun) -> Problems:
    """A finished stage folder holds no file that its manifest does not name.

    A task that outlived its driver may write a part once more, under a name of its own, or leave it
    half written: the next run sweeps it.
    """
    late = 0
    named = {entry["path"] for entry in run.entries()}
    for folder in (stage["folder"] for stage in run.run["stages"]):
        for place in (folder, f"private/{folder}"):
            for path in run.fs.find(f"{run.root}/{place}"):
                inside = place + path.rsplit(place, 1)[1]
                if inside in named or inside == f"{folder}/_SUCCESS.json":
                    continue
                if inside.endswith(".partial~") or plain_name(inside) != base_name(inside):
                    late += 1
                else:
                    yield inside
    if late:
        yield Note(f"{late} files that a late task has left; the next run sweeps them")


def check_digests(run: CheckedRun) -> Problems:
    """The digest of every table follows from the names and hashes of its files."""
    for table, named in run.run["tables"].items():
        names = sorted((plain_name(e["path"]), e["sha256"]) for e in run.entries(table))
        lines = "".join(f"{name} {sha}\n" for name, sha in names)
        yield from off(table, named["digest"], hashlib.sha256(lines.encode()).hexdigest())


def check_lineage(run: CheckedRun) -> Problems:
    """Every stage was made from the tables that run.json names."""
    for name, manifest in run.manifests.items():
        for table in {*STAGES[name][0]} - set(manifest["inputs"]):
            yield f"{name}: does not say which {table} it read"
        for table, digest in manifest["inputs"].items():
            if run.run["tables"].get(table, {}).get("digest") != digest:
                yield f"{name}: was made from another {table}"
