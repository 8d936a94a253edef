"""Stage 1: files -> `conversations` (sorted hash-range parts) and `rejects`.

There are three passes: read files into sorted runs (`intake`), compute the cutoffs of the sample
(`parts.draw`), and merge hash ranges of the runs into parts (`parts.merge`). Every row that was
read ends up in one of the two tables; a reject has a reason.
"""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from vitw_ray import cluster
from vitw_ray.config import SourceFormat
from vitw_ray.conversations.intake import FileReader
from vitw_ray.conversations.parts import draw, merge
from vitw_ray.conversations.sources import recognise
from vitw_ray.errors import InputError, StageFailed
from vitw_ray.progress import Progress
from vitw_ray.run_folder import StageReport
from vitw_ray.stages import SourceFile, StageContext
from vitw_ray.storage import PRIVATE

LISTING_THREADS = 16  # ours: reading the first rows of a file mostly waits for storage


def shapes_of(files: Iterable[SourceFile], source_format: SourceFormat) -> dict[str, str]:
    """The shape of each file that has rows, by file name.

    Raises:
        InputError: a file cannot be read or has no known shape, or no file has a row.
    """
    files = list(files)
    with ThreadPoolExecutor(LISTING_THREADS) as pool:
        found = list(pool.map(lambda file: recognise(file, source_format), files))
    shapes = {file.name: shape for file, shape in zip(files, found, strict=True) if shape}
    if not shapes:
        raise InputError(
            f"--input names {len(files)} files, and none of them has a row",
            "give files with conversations",
        )
    return shapes


def read_conversations(context: StageContext) -> StageReport:
    """Run the stage: read, validate, sample and sort."""
    runs = f"{PRIVATE}/{context.folder.name}/runs"
    context.storage.delete_prefix(runs)  # left by an attempt that was killed
    paths, read = _read_files(context, runs)
    rows_in = sum(read.values())
    rows_per_part = context.config.conversations.rows_per_part
    cutoffs = draw(context, paths, max(1, -(-rows_in // rows_per_part)))
    merged = merge(context, paths, rows_in, cutoffs)
    files, rejected = merged.files, merged.rejected
    context.storage.delete_prefix(runs)
    rows_out = sum(file.rows for file in files if file.table == "conversations")
    if rows_in != rows_out + sum(rejected.values()):
        raise StageFailed(
            f"{rows_in} rows were read, {rows_out} kept, {sum(rejected.values())} rejected",
            "make sure that no other program writes to the run folder, and run again",
        )
    if rows_out == 0:
        reasons = ", ".join(f"{code} {n}" for code, n in rejected.most_common())
        raise InputError(
            f"no row of the input can be used ({reasons})",
            "check --source-format, the date range and the sample",
        )
    return StageReport(
        files=files,
        rows_in=rows_in,
        rows_out=rows_out,
        rejected=dict(sorted(rejected.items())),
        details={
            "rows_by_file": dict(sorted(read.items())),
        },
    )


def _read_files(context: StageContext, runs: str) -> tuple[list[str], Counter[str]]:
    units = [
        {"file": n, "name": file.name}
        for n, file in enumerate(context.inputs)
        if file.name in context.shapes
    ]
    reader = FileReader(context, runs)
    paths, read = [], Counter[str]()
    with Progress("conversations: read") as progress:
        for result in cluster.stream(units, reader):
            paths += result["runs"]
            read[result["name"]] = result["rows"]
            progress.add(result["rows"])
    return sorted(paths), read
