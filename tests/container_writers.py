"""Rows written in every layout of JSON and every packing that stage 1 reads."""

import bz2
import gzip
import io
import json
import lzma
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq


def as_lines(values):
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def zstd(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def zipped(data, name="conversations.jsonl", method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


def parquet(values):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(values)), buffer)
    return buffer.getvalue()


PACKINGS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstd,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zip": zipped,
    "twice": lambda data: zstd(gzip.compress(data)),
    "gzip in zip": lambda data: zipped(gzip.compress(data)),
    "utf-16": lambda data: data.decode().encode("utf-16"),
    "utf-32": lambda data: data.decode().encode("utf-32"),
    "utf-16 without a mark": lambda data: data.decode().encode("utf-16-le"),
    "padded": lambda data: gzip.compress(data) + bytes(512),
    "two members": lambda data: gzip.compress(data[:70]) + gzip.compress(data[70:]),
}
LAYOUTS = {
    "lines": as_lines,
    "carriage returns and a mark": lambda v: b"\xef\xbb\xbf" + as_lines(v).replace(b"\n", b"\r\n"),
    "carriage returns alone": lambda v: as_lines(v).replace(b"\n", b"\r"),
    "array": lambda v: json.dumps(v).encode(),
    "indented array": lambda v: json.dumps(v, indent=2).encode(),
    "lines of arrays": lambda v: as_lines([v[:7], v[7:8], v[8:]]),
    "indented objects": lambda v: b"\n".join(json.dumps(x, indent=1).encode() for x in v),
    "two on a line": lambda v: as_lines(v[:20]).replace(b"\n", b"") + b"\n" + as_lines(v[20:]),
    "one long line": lambda v: as_lines(v).replace(b"\n", b""),
    "commas": lambda v: as_lines(v).replace(b"\n", b",\n"),
    "JSON text sequence": lambda v: b"".join(b"\x1e" + as_lines([x]) for x in v),
    "under a key": lambda v: json.dumps({"version": 1, "data": v, "next": None}).encode(),
    "indented under a key": lambda v: json.dumps({"conversations": v}, indent=1).encode(),
    "pages": lambda v: as_lines([{"data": v[:9], "more": True}, {"data": v[9:], "more": False}]),
}
