"""Look at parts of the input, spread over all of it: how many rows there are, and how long.

The input is divided into pieces: ranges of lines, Parquet files, other files as a whole. Some are
read, at equal distances in bytes. What they hold for each byte is what the input holds for each
byte, and how much they differ says how sure that is.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from vitw_ray.config import ConversationsConfig
from vitw_ray.conversations.fields import RowRejected
from vitw_ray.conversations.file_content import Content
from vitw_ray.conversations.grouping import grouped
from vitw_ray.conversations.intake import RowMaker
from vitw_ray.conversations.opening import opened, stored
from vitw_ray.conversations.parquet import row_groups
from vitw_ray.conversations.reading_units import Span, joined_files
from vitw_ray.conversations.rows import FileBroken, read_json
from vitw_ray.conversations.shapes import SHAPES, parse
from vitw_ray.conversations.sources import Reject, iter_rows
from vitw_ray.conversations.survey import Survey
from vitw_ray.conversations.tabular import read_table
from vitw_ray.conversations.unpacking import DAMAGE, damage_code, unwrapped
from vitw_ray.keys import Keyed
from vitw_ray.records import Message
from vitw_ray.stages import SourceFile

PIECES = 64  # ours: each is a request or two to storage
RANGE_BYTES = 128 << 10  # ours: some dozen conversations
ROWS_OF_A_PIECE = 2_000  # ours: of a file that cannot be entered in the middle
WHOLE_BYTES = 8 << 20  # ours: so much is read to its end; some seconds where it is compressed
_LINES = ("lines", "pages", "spans")
Row = dict[str, Any] | Reject


@dataclass(frozen=True)
class Piece:
    """A part of the input: files that are read together, or a range of one; its stored bytes."""

    files: tuple[SourceFile, ...]
    size: int
    span: Span | None = None


@dataclass
class Seen:
    """What a piece holds.

    Attributes:
        size: its bytes in storage.
        rows: that it holds; of a piece that was not read to its end, an estimate.
        read: rows that were read.
        whole: whether that is all of them.
        error: of `rows`, standard error over value; 0 where they are known.
        columns: of each conversation, as stage 1 would write them.
        rejects: reason -> rows.
    """

    size: int
    rows: float = 0.0
    read: int = 0
    whole: bool = True
    error: float = 0.0
    columns: list[dict[str, Any]] = field(default_factory=list)
    rejects: Counter[str] = field(default_factory=Counter)

    @property
    def conversations(self) -> float:
        """Conversations of the piece."""
        return self.rows * len(self.columns) / self.read if self.read else 0.0


@dataclass(frozen=True)
class Looked:
    """What was seen of the input.

    Attributes:
        files: of the input.
        size: their bytes in storage.
        seen: the pieces that were read.
        complete: whether they are all there is.
    """

    files: int
    size: int
    seen: tuple[Seen, ...]
    complete: bool

    @property
    def columns(self) -> list[dict[str, Any]]:
        """Of all conversations that were read."""
        return [columns for piece in self.seen for columns in piece.columns]

    def examples(self, most: int) -> list[tuple[Message, ...]]:
        """Conversations at equal distances among those that were read."""
        found = self.columns
        places = range(len(found)) if len(found) <= most else _spread(len(found), most)
        return [as_messages(found[place]) for place in places]


def as_messages(columns: dict[str, Any]) -> tuple[Message, ...]:
    """The turns of a conversation."""
    return tuple(Message(turn["role"], turn["content"]) for turn in columns["messages"])


def look(survey: Survey, config: ConversationsConfig, pieces: int = PIECES) -> Looked:
    """Read some pieces of the input.

    Raises:
        InputError: the storage fails.
    """
    maker = RowMaker(config, Keyed(b"of no run"))  # hashes only meet each other
    bodies = list(_bodies(survey))
    chosen = _chosen(bodies, pieces)
    limit = math.inf if sum(piece.size for piece in chosen) <= WHOLE_BYTES else ROWS_OF_A_PIECE
    seen = [_read(piece, survey.shapes[piece.files[0].name], maker, limit) for piece in chosen]
    complete = len(chosen) == sum(body.pieces for body in bodies)
    complete = complete and all(piece.whole for piece in seen)
    size = sum(file.size_bytes for file in survey.files)
    return Looked(len(survey.files), size, tuple(seen), complete)


@dataclass(frozen=True)
class _Body:
    """Files that are read together, or one file; into how many pieces it is divided."""

    files: tuple[SourceFile, ...]
    size: int
    pieces: int = 1

    def piece(self, number: int) -> Piece:
        """One of its pieces."""
        if self.pieces == 1:
            return Piece(self.files, self.size)
        start, stop = (self.size * at // self.pieces for at in (number, number + 1))
        last = number == self.pieces - 1
        return Piece(self.files, stop - start, Span(0, start, None if last else stop))


def _bodies(survey: Survey) -> Iterator[_Body]:
    joined, alone = joined_files(survey.files, survey.shapes)
    for several in joined:
        files = tuple(survey.files[n] for n in several)
        yield _Body(files, sum(file.size_bytes for file in files))
    for n in alone:
        file = survey.files[n]
        divided = _has_lines(file, survey.shapes[file.name])
        count = max(1, round(file.size_bytes / RANGE_BYTES)) if divided else 1
        yield _Body((file,), file.size_bytes, count)


def _has_lines(file: SourceFile, shape: str) -> bool:
    content = Content.parse(file.content)
    plain = not content.layers and not file.member and not SHAPES[shape].grouped_by
    return plain and content.layout in _LINES


def _chosen(bodies: Sequence[_Body], most: int) -> list[Piece]:
    """Pieces at equal distances in bytes: a large one is as likely as its share of the input."""
    if sum(body.pieces for body in bodies) <= most:
        return [body.piece(number) for body in bodies for number in range(body.pieces)]
    ends = list(accumulate(body.size for body in bodies))
    found: dict[tuple[int, int], Piece] = {}
    for n in range(most):
        at = ends[-1] * (2 * n + 1) // (2 * most)
        place = bisect_right(ends, at)
        body, within = bodies[place], at - ends[place] + bodies[place].size
        number = min(within * body.pieces // body.size, body.pieces - 1)
        found[place, number] = body.piece(number)
    return list(found.values())


def _spread(count: int, most: int) -> list[int]:
    return [count * (2 * n + 1) // (2 * most) for n in range(most)]


def _read(piece: Piece, shape: str, maker: RowMaker, limit: float) -> Seen:
    seen = Seen(piece.size)
    rows = _rows(piece, shape, seen, math.inf if SHAPES[shape].grouped_by else limit)
    for _, raw in grouped(SHAPES[shape], ((None, row) for row in rows)):
        if isinstance(raw, Reject):
            seen.rejects[raw.reason] += 1
            continue
        try:
            seen.columns.append(maker.columns(parse(shape, raw), SHAPES[shape].name))
        except RowRejected as rejected:
            seen.rejects[rejected.reason] += 1
    return seen


def _rows(piece: Piece, shape: str, seen: Seen, limit: float) -> Iterator[Row]:
    """Rows up to a limit; says in `seen` how many there are.

    A file without places to enter is unpacked in blocks. Rows are counted where one ends: they are
    those of all blocks before.
    """
    file, content = piece.files[0], Content.parse(piece.files[0].content)
    alone = len(piece.files) == 1 and not file.member and piece.span is None
    known = None
    if alone and content.layout == "parquet" and not content.layers:
        rows, known = _of_parquet(file, shape, limit)
    elif alone and content.layout != "parquet":
        rows = _of_blocks(file, content)
    else:
        several = (iter_rows(one, shape, piece.span) for one in piece.files)
        rows = ((row, 0.0) for of_one in several for _, row in of_one)
    before, counted = 0.0, 0.0  # share of the file unpacked; rows, if all of it were like that
    blocks: list[tuple[float, int]] = []  # that share and the rows so far, at the end of each
    for row, place in rows:
        if place != before:
            blocks += [(before, seen.read)]
            counted, before = seen.read / before if before else 0.0, place
        if seen.read >= limit and (known or counted):
            seen.whole = False
            break
        seen.read += 1
        yield row
    seen.rows = float(seen.read)
    if known is not None and known > seen.read:
        seen.rows, seen.whole = float(known), False
    elif not seen.whole:
        seen.rows, seen.error = counted, _error(blocks)


def _error(blocks: Sequence[tuple[float, int]]) -> float:
    """How far the rows of a file are known by its first blocks: standard error over value."""
    parts = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(blocks)]
    if len(parts) < 2:
        return 1.0
    share, rows = blocks[-1]
    each = rows / share
    spread = sum((n - each * of) ** 2 for of, n in parts) * len(parts) / (len(parts) - 1)
    return math.sqrt(spread) / rows


def _of_parquet(
    file: SourceFile, shape: str, limit: float
) -> tuple[Iterator[tuple[Row, float]], int | None]:
    """Rows from the middle of a long file on, and how many the file has."""
    try:
        with opened(file) as stream:
            groups = row_groups(stream)
    except (FileBroken, *DAMAGE):
        return iter([(Reject("file_unreadable"), 1.0)]), None
    known = sum(rows for rows, _ in groups)
    middle = len(groups) // 2 if known > limit else 0
    rows = iter_rows(file, shape, Span(0, middle))
    return ((row, 1.0) for _, row in rows), known


def _of_blocks(file: SourceFile, content: Content) -> Iterator[tuple[Row, float]]:
    """Rows, and how much of the stored file has been read for them."""
    try:
        with stored(file.url) as raw:
            stream: Any = raw
            for layer in content.layers:
                stream = unwrapped(stream, layer)
            rows: Iterator[Row]
            if content.layout.startswith("csv"):
                rows = read_table(stream, chr(int(content.layout.removeprefix("csv"))))
            else:
                rows = read_json(stream, content.layout)
            for row in rows:
                yield row, raw.tell() / max(file.size_bytes, 1)
    except FileBroken as broken:
        yield Reject(broken.reason), 1.0
    except DAMAGE as error:
        yield Reject(damage_code(error)), 1.0
