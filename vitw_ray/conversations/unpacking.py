"""Streams that undo what a file is wrapped in: compression, or an encoding other than UTF-8.

Each reads in small chunks, so that a decompression bomb is never in memory as a whole.
"""

import bz2
import codecs
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, Protocol, cast

import pyarrow as pa

from vitw_ray.conversations.rows import CHUNK_BYTES, FileBroken

_XZ_MEMORY_BYTES = 256 << 20  # ours: xz -9 needs 65 MB; a header may ask for 4 GB
_MAGIC_BYTES = 3
_PACKED_BYTES = 16 << 10  # ours: what does not fit the output is copied, so less is faster
DAMAGE = (
    *(OSError, EOFError, pa.ArrowException),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)
"""What the streams raise for a damaged file. A storage failure is an `InputError` instead."""
_TRUNCATED = "Truncated compressed stream"  # Arrow's message; other damage has other messages


def damage_code(error: Exception) -> str:
    """The reject code of an exception of `DAMAGE`."""
    truncated = isinstance(error, EOFError) or str(error).startswith(_TRUNCATED)
    return "file_truncated" if truncated else "file_unreadable"


class _Decoder(Protocol):
    """The interface that the decompressors of `bz2` and `lzma` share."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the interface of the others."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)  # 31: with the header and checksum of gzip
        self._tail = b""

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        out = self._zlib.decompress(data or self._tail, max_length)
        self._tail = self._zlib.unconsumed_tail
        return out


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    "gzip": _Gzip,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: cast(_Decoder, lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)),
}


class _Decompressed(io.RawIOBase):
    """The members of a compressed file, one after another; zero padding is skipped.

    Unlike the file classes of the standard library it limits the memory that xz may take, and says
    when bytes follow that belong to no member.
    """

    def __init__(self, packed: io.BufferedIOBase, make: Callable[[], _Decoder]) -> None:
        self._packed, self._make = packed, make
        self._decoder = make()
        self._magic = b""
        self._unread = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._some(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _some(self, size: int) -> bytes:
        while not self._decoder.eof or self._another_member():
            data = b""
            if self._decoder.needs_input:
                data = self._unread or self._packed.read(_PACKED_BYTES)
                self._unread = b""
                self._magic = self._magic or data[:_MAGIC_BYTES]
            out = self._decoder.decompress(data, size)
            if out:
                return out
            if not data and self._decoder.needs_input and not self._decoder.eof:
                raise EOFError
        return b""

    def _another_member(self) -> bool:
        rest = self._decoder.unused_data.lstrip(b"\0")
        while len(rest) < _MAGIC_BYTES and (more := self._packed.read(CHUNK_BYTES)):
            rest = (rest + more).lstrip(b"\0")
        if rest and not rest.startswith(self._magic):
            raise FileBroken("trailing_bytes")
        if rest:
            self._decoder, self._unread = self._make(), rest
        return bool(rest)


class _Recoded(io.RawIOBase):
    """Text of another encoding, as UTF-8."""

    def __init__(self, stream: io.BufferedIOBase, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            data = self._stream.read(CHUNK_BYTES)
            self._ready = self._decoder.decode(data, final=not data).encode()
            if not data:
                break
        out, self._ready = self._ready[: len(buffer)], self._ready[len(buffer) :]
        buffer[: len(out)] = out
        return len(out)


def unwrapped(stream: io.BufferedIOBase, layer: str) -> io.BufferedIOBase:
    """The content of a stream below one layer: a kind of compression, or an encoding."""
    if layer == "zstd":  # unlike zstandard's stream, Arrow's detects a truncated file
        opened = cast(Any, pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd"))
    elif layer in _DECODERS:
        opened = _Decompressed(stream, _DECODERS[layer])
    else:
        opened = _Recoded(stream, layer)
    return io.BufferedReader(opened, CHUNK_BYTES)
