"""The vectors that the taxonomy was made from, as far as they are still there."""

import numpy as np
import pyarrow.parquet as pq

from .problems import Note, Problems, off
from .reading import NotRun
from .recounting import CheckedRun

BATCH_ROWS = 8192  # ours: 32 MB of 1,024 dimensions
UNIT = 1e-3  # ours: rounding of half precision stays below


def check_vectors(run: CheckedRun) -> Problems:
    """Vector files are private and hold one unit row for each embedded text, and no text."""
    if "taxonomy" not in run.manifests:
        raise NotRun("taxonomy")
    details = run.manifests["taxonomy"]["details"]
    paths, rows, gone = details["vector_files"], 0, 0
    for path in paths:
        if not path.startswith("private/"):
            yield f"{path}: belongs under private/"
        if not run.fs.exists(f"{run.root}/{path}"):
            gone += 1  # they are a cache: a run can be read without them
            continue
        with run.open(path) as handle:
            file = pq.ParquetFile(handle)
            if file.schema_arrow.names != ["vector"]:
                yield f"{path}: has the columns {file.schema_arrow.names}"
                continue
            for batch in file.iter_batches(BATCH_ROWS):
                rows += batch.num_rows
                vectors = batch["vector"].flatten().to_numpy().reshape(batch.num_rows, -1)
                lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
                if off_unit := int(np.count_nonzero(~(np.abs(lengths - 1) < UNIT))):
                    yield f"{path}: {off_unit} rows are not of length 1"
    if gone:
        yield Note(f"{gone} of {len(paths)} vector files are gone")
    else:
        yield from off("texts_embedded", details["texts_embedded"], rows)
