"""What a file holds, by its first bytes. Its name only helps where the bytes allow both."""

import bz2
import codecs
import csv
import io
import re
from dataclasses import dataclass
from typing import Any

from vitw_ray.conversations.rows import DECODER, FileBroken, is_message
from vitw_ray.conversations.splitting import BLANK, open_at_the_end
from vitw_ray.conversations.tabular import SEPARATOR_LINE
from vitw_ray.conversations.unpacking import DAMAGE, unwrapped

HEAD_BYTES = 64 << 10  # ours: holds the first rows of most logs, and costs one small read
MOST_LAYERS = 3  # ours: a file packed twice, in another encoding
ARCHIVE = "zip"

_PACKED = {
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x50\x2a\x4d\x18": "zstd",  # a skippable frame, which parallel compressors write first
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"]\x00\x00": "xz",  # the older .lzma
}
_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_WITHOUT_BOM = {
    rb"[{\[\x1e]\0\0\0": "utf-32-le",
    rb"\0\0\0[{\[\x1e]": "utf-32-be",
    rb"[{\[\x1e]\0[^\0]": "utf-16-le",
    rb"\0[{\[\x1e]\0": "utf-16-be",
}
_OTHER = {
    b"PAR1": "parquet",
    b"PARE": "an encrypted Parquet file",
    b"PK\x03\x04": ARCHIVE,
    b"PK\x05\x06": ARCHIVE,
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
    b"RIFF": "an image, audio or video",
    b"ID3": "audio",
    b"OggS": "audio",
    b"fLaC": "audio",
    b"%PDF": "a PDF",
    b"ARROW1": "an Arrow file (write it as Parquet)",
    b"ORC": "an ORC file (write it as Parquet)",
    b"Obj\x01": "an Avro file (write it as Parquet)",
    b"SQLite format 3": "a database (export it as JSON Lines)",
    b"7z\xbc\xaf": "a 7z archive (unpack it)",
    b"Rar!": "a RAR archive (unpack it)",
}
_READABLE = ("lines", "pages", "values", "spans", "array", "parquet", "csv", ARCHIVE)
_JSON_NAME = re.compile(r"\.(jsonl?|ndjson)\b", re.IGNORECASE)
_CSV_NAME = re.compile(r"\.[ct]sv\b", re.IGNORECASE)
_HEADER_CELL = re.compile(r"\w[\w .:/-]{0,63}")
_DELIMITERS = ",\t;|"
_WRAPPERS = {"data", "rows", "conversations", "items", "records", "results", "chats", "dialogs"}
_WRAPPERS |= {"dialogues", "threads", "sessions", "samples", "examples", "logs", "entries"}
_WRAPPERS |= {"traces", "objects", "documents", "hits"}
_PAGED = ("data", "rows", "records", "results")
_OF_A_MESSAGE = {"role", "from", "sender", "author", "speaker", "human"}
_OF_ITS_CONVERSATION = {"thread_id", "conversation_id", "conversationId", "chat_id", "session_id"}
_OF_ITS_CONVERSATION |= {"message_tree_id"}
_OF_A_ROW = {"id", "uuid", "conversation_id", "model", "title", "messages"}
_TRACES = re.compile(rb'\{\s*"resource(?:S|_s)pans"\s*:\s*\[')
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Content:
    """How to read a file: layers to undo, from the outside, and the layout of what is below."""

    layers: tuple[str, ...]
    layout: str
    """A layout of `read_json`, `parquet`, `csv` and its delimiter, `zip`, or why it holds no
    rows."""

    @property
    def readable(self) -> bool:
        """Whether it may hold rows."""
        return self.layout.startswith(_READABLE)

    def __str__(self) -> str:
        """The form in which it travels with the file."""
        return " ".join((*self.layers, self.layout))

    @classmethod
    def parse(cls, text: str) -> "Content":
        """The reverse of `str`, for what is readable."""
        *layers, layout = text.split(" ")
        return cls(tuple(layers), layout)


def needs_more(head: bytes) -> bool:
    """Whether these first bytes hold no whole block of a bzip2 file."""
    if not head.startswith(b"BZh"):
        return False
    try:
        return not bz2.BZ2Decompressor().decompress(head, 1)
    except (OSError, ValueError):
        return False


def content_of(head: bytes, name: str, whole: bool) -> Content:
    """Detect the content of a file.

    Args:
        head: its first bytes.
        name: of the file; tells which kind of text it is, where the text does not.
        whole: whether `head` is all of the file.
    """
    layers: list[str] = []
    while (layer := _layer(head)) is not None:
        if len(layers) == MOST_LAYERS:
            return Content((), f"packed more than {MOST_LAYERS} times (unpack it)")
        layers.append(layer)
        head, whole = _below(head, layer, whole)
    return Content(tuple(layers), _layout(head, name, whole))


def _layer(head: bytes) -> str | None:
    for marks in (_PACKED, _BOMS):
        for mark, layer in marks.items():
            if head.startswith(mark):
                return layer
    for pattern, encoding in _WITHOUT_BOM.items():
        if re.match(pattern, head, re.DOTALL):
            return encoding
    return None


def _below(head: bytes, layer: str, whole: bool) -> tuple[bytes, bool]:
    """The first bytes below a layer, and whether they are all; damage ends them."""
    stream = unwrapped(io.BytesIO(head), layer)  # type: ignore[arg-type]
    found = bytearray()
    try:
        while len(found) < HEAD_BYTES and (data := stream.read1(HEAD_BYTES - len(found))):
            found += data
        whole = whole and len(found) < HEAD_BYTES
    except (*DAMAGE, FileBroken):
        whole = False
    return bytes(found), whole


def _layout(head: bytes, name: str, whole: bool) -> str:
    for mark, kind in _OTHER.items():
        if head.startswith(mark):
            return kind
    if head[4:8] == b"ftyp":
        return "video"
    if head[257:262] == b"ustar":
        return "a tar archive (unpack it)"
    text = head.lstrip(BLANK)
    if not text:
        return "empty" if whole else "lines"
    by_name = bool(_JSON_NAME.search(name.rpartition("/")[2]))
    if b"\0" in head and not by_name:
        return "a binary file"
    if text[:1] in b"[{":
        layout = _json_layout(text, whole)
        offset = len(head) - len(text)
        return f"array@{layout[1] + offset}" if isinstance(layout, tuple) else layout
    if text[:1] == b"<" and not by_name:
        return "HTML or XML"
    return _text_layout(text, name, by_name)


def _text_layout(text: bytes, name: str, by_name: bool) -> str:
    if not by_name and (delimiter := _delimiter(text, bool(_CSV_NAME.search(name)))):
        return f"csv{ord(delimiter)}"
    objects = any(_first_value(line) for line in text.split(b"\n") if line[:1] == b"{")
    return "lines" if by_name or objects else "text that is neither JSON nor CSV"


def _delimiter(text: bytes, by_name: bool) -> str | None:
    """The delimiter of a table whose first line names its columns.

    The first name may be missing, as that of the index of a data frame is.
    """
    lines = text.decode(errors="replace").splitlines()[:50]
    told = SEPARATOR_LINE.fullmatch(lines[0])
    if told and len(lines) > 1:
        lines = lines[1:]
    delimiter = told[1] if told else max(_DELIMITERS, key=lines[0].count)
    try:
        records = list(csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return None
    header = records[0]
    names = header[1:] if not header[0].strip() else header
    named = bool(names) and all(_HEADER_CELL.fullmatch(cell.strip()) for cell in names)
    if by_name:
        return delimiter if named else None
    wide = len(header) > 1 and len(set(header)) == len(header) and len(records) > 1
    return delimiter if named and wide and len(records[1]) == len(header) else None


def _first_value(text: bytes) -> tuple[Any, bytes] | None:
    """The first JSON value of a text and what follows it, if the text holds all of it."""
    decoded = text.decode(errors="replace")
    try:
        value, end = DECODER.raw_decode(decoded)
    except (ValueError, RecursionError):
        return None
    return value, decoded[end:].encode()


def _json_layout(text: bytes, whole: bool) -> str | tuple[str, int]:
    """The layout of JSON that begins with a bracket."""
    if text[:1] == b"[":
        first = _first_value(text[1:].lstrip(BLANK))
        return "values" if first and is_message(first[0]) else "array"
    line, newline, after = text.partition(b"\n")
    if _TRACES.match(text):
        return "spans@values" if newline and open_at_the_end(line) else "spans"
    found = _first_value(text)
    if found is None:
        next_line = after.partition(b"\n")[0]
        cut_off = newline and open_at_the_end(line) and not _first_value(next_line)
        if not (cut_off or not newline):
            return "lines"
        if (offset := _wrapped(text)) is not None:
            return "array", offset
        return "values" if cut_off or b"\r" in text else "lines"
    rest = found[1].lstrip(BLANK + b",")
    own_line = len(text) - len(found[1]) <= len(line)
    if _OF_A_ROW.isdisjoint(found[0]) and (offset := _wrapped(text)) is not None:
        if not rest:
            return "array", offset
        if own_line and _is_page(found[0]):
            return "pages"
    return "lines" if own_line and (newline or not rest) else "values"


def _is_page(value: Any) -> bool:
    return any(isinstance(value.get(key), list) for key in _PAGED)


def _wrapped(text: bytes) -> int | None:
    """Where the list of rows starts, if a JSON object holds one under a usual name."""
    decoded = text.decode(errors="replace")
    at = 1
    try:
        while True:
            at = _after_space(decoded, at)
            key, at = DECODER.raw_decode(decoded, at)
            at = _after_space(decoded, _after_space(decoded, at) + 1)
            if not isinstance(key, str) or key in _OF_A_ROW:
                return None
            if key in _WRAPPERS and decoded[at] == "[":
                inside = decoded[_after_space(decoded, at + 1) :]
                return len(decoded[:at].encode()) if _begins_a_row(inside) else None
            _, at = DECODER.raw_decode(decoded, at)
            at = _after_space(decoded, at) + 1
    except (ValueError, IndexError, RecursionError):
        return None


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _begins_a_row(text: str) -> bool:
    """Whether the first element of a list is an object, and no message of one conversation.

    A message that names its conversation is a row: messages of many may stand in the list.
    """
    if not text.startswith("{"):
        return False
    try:
        first = DECODER.raw_decode(text)[0]
        named = not _OF_ITS_CONVERSATION.isdisjoint(first)
        return named or _OF_A_MESSAGE.isdisjoint(first)
    except (ValueError, RecursionError):  # longer than what was read of it
        key = re.match(r'\{\s*"(\w*)"', text)
        return bool(key) and key[1] not in {*_OF_A_MESSAGE, "value", "content", "text"}
