"""Both ends of a run: the release and the report that people get, and the input files."""

import csv
import io
import math
import re

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from .expected import PCT_TOLERANCE, PLAIN
from .problems import Note, Problems, off
from .raw_rows import packing
from .reading import Row
from .recounting import CheckedRun

LOADS = re.compile(  # whatever makes a page fetch from elsewhere; a plain link does not
    r"""\b(?:src|srcset|poster|data|action)\s*=\s*["']?\s*(?:https?:)?//"""
    r"""|<link\b[^>]*\bhref\s*=\s*["']?\s*(?:https?:)?//"""
    r"""|(?:url\(|@import)\s*["']?\s*(?:https?:)?//""",
    re.IGNORECASE,
)


def check_release_frequencies(run: CheckedRun) -> Problems:
    """values_frequencies.csv holds the kept AI values and their shares, in three decimals."""
    shares = {r["label"]: 100 * r["share"] for r in run.labels if r["facet"] == "ai_values"}
    rows = list(csv.DictReader(io.StringIO(run.text("values_frequencies.csv"))))
    if sorted(row["value"] for row in rows) != sorted(run.kept["ai_values"]):
        yield f"{len(rows)} labels, {len(run.kept['ai_values'])} kept, or others"
    for number, row in enumerate(rows):
        if not abs(float(row["pct_convos"]) - shares.get(row["value"], math.inf)) < PCT_TOLERANCE:
            yield f"row {number}: pct_convos {row['pct_convos']}"


def check_release_tree(run: CheckedRun) -> Problems:
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


def check_report(run: CheckedRun) -> Problems:
    """The page is there, and loads nothing from elsewhere."""
    page = run.text("report.html")
    if "<html" not in page.lower():
        yield "report.html is no page"
    if loads := len(LOADS.findall(page)):
        yield f"report.html loads {loads} things over the network"


def input_rows(source: Row) -> int | None:
    """Rows of an input file, or None when it is gone, changed, damaged, or of another kind."""
    codec, layout = packing(source)
    if layout is None or source.get("member") or "::" in source["url"]:
        return None
    fs, path = fsspec.core.url_to_fs(source["url"])
    if not fs.exists(path) or fs.size(path) != source["size_bytes"]:
        return None
    with fs.open(path, "rb") as handle:
        if layout == "parquet":
            return pq.ParquetFile(handle).metadata.num_rows
        file = pa.PythonFile(handle, "r")
        lines = io.BufferedReader(pa.CompressedInputStream(file, codec)) if codec else handle
        rows = 0
        try:
            for line in lines:
                text = line.strip(b" \t\r\n\xef\xbb\xbf\x1e,")
                if b"}{" in text or text.startswith(b"["):  # not one row a line
                    return None
                rows += bool(text)
        except (OSError, pa.ArrowException):
            return None
    return rows


def check_inputs(run: CheckedRun) -> Problems:
    """The input files that are still there have as many rows as were read."""
    read, sources = run.rows_by_file, run.inputs
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
