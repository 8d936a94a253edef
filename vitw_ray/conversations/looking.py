"""Recognise the shape of a file from rows spread through it.

One row is in memory at a time, so that rows as long as the limit cost no more than reading them.
"""

from collections import Counter
from collections.abc import Generator, Iterator
from itertools import islice

from vitw_ray.conversations.opening import shown, stored
from vitw_ray.conversations.parquet import read_parquet
from vitw_ray.conversations.rows import MAX_ROW_BYTES, FileBroken, Raw, Reject, read_json
from vitw_ray.conversations.shapes import SHAPES, Recognised, recognise_rows
from vitw_ray.conversations.sources import codes, iter_rows
from vitw_ray.conversations.unpacking import DAMAGE
from vitw_ray.errors import InputError
from vitw_ray.stages import SourceFile

_ROWS_AT_A_PLACE = 20  # ours: good rows of each of three places: start, middle and end
_ROWS_TRIED = 1000  # ours: rows, good or bad, that are read to find them at the start
_LATER_ROWS_TRIED = 40
_SMALL_BYTES = 64 << 10  # ours: all rows of such a file are read, to choose from
_BLOCK_BYTES = 512 << 10


def recognise(file: SourceFile, source_format: str = "auto") -> str | None:
    """Detect the shape of a file; None for a file without rows.

    Raises:
        InputError: none of the first rows can be read as an object, or no known shape fits.
    """
    found, rejects = look_at(file)
    if found is None and rejects:
        raise unreadable(file, rejects)
    if found is None:
        return None
    if source_format != "auto":
        return source_format
    if found.shape is None:
        raise unknown_shape(file, found)
    return found.shape


def look_at(file: SourceFile) -> tuple[Recognised | None, Counter[str]]:
    """What the rows of a file look like, None if none can be read; and codes of bad rows."""
    rejects: Counter[str] = Counter()
    good = 0

    def good_rows() -> Iterator[Raw]:
        nonlocal good
        for row in _spread(file):
            if isinstance(row, Reject):
                rejects[row.reason] += 1
            else:
                good += 1
                yield row

    found = recognise_rows(good_rows())
    return (found if good else None), rejects


def _spread(file: SourceFile) -> Iterator[Raw | Reject]:
    """Rows of the start, the middle and the end, as far as they can be reached cheaply."""
    small = file.size_bytes <= _SMALL_BYTES
    good = yield from _chosen(file) if small else _first(file)
    all_seen = good < (_ROWS_TRIED if small else _ROWS_AT_A_PLACE)
    if file.member or all_seen:
        return
    try:
        if file.content == "lines":
            yield from _later_lines(file)
        elif file.content == "parquet":
            yield from _later_groups(file)
    except (FileBroken, *DAMAGE):
        return  # the stage rejects the row


def _first(file: SourceFile) -> Generator[Raw | Reject, None, int]:
    """The first rows of a file, until enough are good; returns how many are."""
    good = 0
    for _, row in islice(iter_rows(file), _ROWS_TRIED):
        yield row
        good += isinstance(row, dict)
        if good == _ROWS_AT_A_PLACE:
            break
    return good


def _chosen(file: SourceFile) -> Generator[Raw | Reject, None, int]:
    """The first, middle and last good rows of a small file; returns how many there are."""
    total = sum(isinstance(row, dict) for _, row in islice(iter_rows(file), _ROWS_TRIED))
    middle = (total - _ROWS_AT_A_PLACE) // 2
    good = 0
    for _, row in islice(iter_rows(file), _ROWS_TRIED):
        if isinstance(row, Reject):
            yield row
            continue
        if (
            good < _ROWS_AT_A_PLACE
            or 0 <= good - middle < _ROWS_AT_A_PLACE
            or good >= total - _ROWS_AT_A_PLACE
        ):
            yield row
        good += 1
    return total


def _later_lines(file: SourceFile) -> Iterator[Raw]:
    with stored(file.url, _BLOCK_BYTES) as stream:
        for offset in (file.size_bytes // 2, file.size_bytes - _SMALL_BYTES // 2):
            stream.seek(offset)
            stream.readline(MAX_ROW_BYTES)  # the rest of a line
            rows = islice(read_json(stream, "lines"), _LATER_ROWS_TRIED)
            yield from islice((row for row in rows if isinstance(row, dict)), _ROWS_AT_A_PLACE)


def _later_groups(file: SourceFile) -> Iterator[Raw]:
    with stored(file.url, _BLOCK_BYTES) as stream:
        for place in (0.5, 1.0):
            rows = islice(read_parquet(stream, None, place), _LATER_ROWS_TRIED)
            yield from islice((row for _, row in rows if isinstance(row, dict)), _ROWS_AT_A_PLACE)


def unreadable(file: SourceFile, rejects: Counter[str]) -> InputError:
    """The error for a file of which no first row is an object."""
    return InputError(
        f"{shown(file.url)}: none of its first {rejects.total()} rows can be read"
        f" ({codes(rejects)})",
        "check that the file is complete, and that it holds JSON, CSV or Parquet",
    )


def unknown_shape(file: SourceFile, found: Recognised) -> InputError:
    """The error for a file with rows of no known shape."""
    names = found.named()
    more = len(names) < len(found.columns) or len(names) > 12
    columns = ", ".join([*names[:12], *(["..."] if more else [])])
    if more and not names:
        columns = "not shown, as they may be ids or names"
    if found.nearest is not None:
        why = codes(Counter({k: n for k, n in found.reasons.items() if k != "read"}))
        problem = f"looks like {found.nearest}, but "
        problem += f"no row can be read ({why})" if why else "not all of its columns are there"
        problem += f"; its columns are {columns}"
    else:
        problem = f"has none of the known shapes; its columns are {columns}"
    start = found.map_line
    by_map = f", or say where its fields are: --map '{start}'" if start else ""
    return InputError(
        f"{shown(file.url)} {problem}",
        f"convert it to one of {' '.join(SHAPES)}, or name its shape with --source-format{by_map}",
    )
