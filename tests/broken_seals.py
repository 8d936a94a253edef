"""Files changed after they were sealed: what was done, the check that must find it, and how."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from invented_conversations import Row


def edit_json(path: Path, change: Callable[[Row], Any]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def one(run: Path, pattern: str) -> Path:
    return sorted(run.glob(pattern))[0]


def in_run_json(change: Callable[[Row], Any]) -> Callable[[Path], None]:
    """A change of `run.json`."""
    return lambda run: edit_json(run / "run.json", change)


def in_manifest(stage: int, change: Callable[[Row], Any]) -> Callable[[Path], None]:
    """A change of a stage's `_SUCCESS.json`."""
    return lambda run: edit_json(one(run, f"{stage}_*/_SUCCESS.json"), change)


def in_both(stage: int, **changes: Any) -> Callable[[Path], None]:
    """The same change in a manifest and in `run.json`."""

    def damage(run: Path) -> None:
        in_manifest(stage, lambda manifest: manifest.update(changes))(run)
        in_run_json(lambda value: value["stages"][stage - 1].update(changes))(run)

    return damage


def truncate(run: Path) -> None:
    part = one(run, "private/2_*/extractions/part-00001.parquet")
    part.write_bytes(part.read_bytes()[:-40])


def flip_a_byte(run: Path) -> None:
    page = one(run, "6_*/report.html")
    page.write_bytes(page.read_bytes()[:-1] + b"~")


def add_a_file(run: Path) -> None:
    (one(run, "private/3_*") / "labels" / "part-00002.parquet").write_bytes(b"")


def use_the_manifest_of_another(run: Path) -> None:
    one(run, "7_*/_SUCCESS.json").write_text(one(run, "6_*/_SUCCESS.json").read_text())


def move_the_page(run: Path) -> None:
    one(run, "6_*/report.html").rename(run / "report.html")
    in_manifest(6, lambda manifest: manifest["files"][0].update(path="report.html"))(run)


def put_a_text_beside_the_vectors(run: Path) -> None:
    table = pq.read_table(run / "private" / "vectors-0" / "0.parquet")
    texts = pa.array(["a", "b"])
    pq.write_table(table.append_column("text", texts), run / "private" / "vectors-0" / "0.parquet")


def without_merges(manifest: Row) -> None:
    manifest["files"] = [file for file in manifest["files"] if file["table"] != "merges"]


CHANGED: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a part is truncated": ("files", truncate),
    "a byte is flipped": ("files", flip_a_byte),
    "a part is gone": (
        "files",
        lambda run: one(run, "private/1_*/conversations/part-00000.parquet").unlink(),
    ),
    "the bytes are misstated": ("files", in_manifest(7, lambda m: m["files"][0].update(bytes=1))),
    "the rows are misstated": ("files", in_manifest(4, lambda m: m["files"][0].update(rows=1))),
    "the rows of a CSV are misstated": (
        "files",
        in_manifest(7, lambda m: m["files"][0].update(rows=1)),
    ),
    "a file that no manifest names": ("strays", add_a_file),
    "a manifest is gone": ("manifests", lambda run: one(run, "5_*/_SUCCESS.json").unlink()),
    "a manifest lacks a field": ("manifests", in_manifest(2, lambda m: m.pop("versions"))),
    "a file entry lacks a field": (
        "manifests",
        in_manifest(2, lambda m: m["files"][0].pop("rows")),
    ),
    "a manifest of another stage": ("manifests", use_the_manifest_of_another),
    "a key is no hash": ("manifests", in_both(3, key="new")),
    "a table is not written": ("manifests", in_manifest(3, without_merges)),
    "stages in another order": ("manifests", in_run_json(lambda r: r["stages"].reverse())),
    "a stale digest": ("digests", in_run_json(lambda r: r["tables"]["labels"].update(digest="0"))),
    "made from another table": (
        "lineage",
        in_manifest(5, lambda m: m["inputs"].update(labels="0" * 64)),
    ),
    "made from nothing": ("lineage", in_manifest(3, lambda m: m["inputs"].clear())),
    "run.json names another file": (
        "run",
        in_run_json(lambda r: r["tables"]["taxonomy"].update(files=["other.parquet"])),
    ),
    "run.json names another folder": ("run", in_manifest(4, lambda m: m.update(key="0" * 16))),
    "run.json names one table more": ("run", in_run_json(lambda r: r["tables"].update(moods={}))),
    "run.json has other rows": ("run", in_run_json(lambda r: r["tables"]["labels"].update(rows=3))),
    "run.json has other counts": ("run", in_run_json(lambda r: r["stages"][0].update(rows_out=3))),
    "run.json has other totals": ("run", in_run_json(lambda r: r["totals"].update(failed=0))),
    "a file of no stage": ("run", move_the_page),
    "conversations are misstated": ("conservation", in_both(1, rows_out=91)),
    "conversations to extract are misstated": ("conservation", in_both(2, rows_in=91)),
    "extractions are misstated": ("conservation", in_both(2, rows_out=91)),
    "vectors beside a text": ("vectors", put_a_text_beside_the_vectors),
    "an input is not named": ("inputs", in_run_json(lambda r: r["inputs"].pop())),
}
