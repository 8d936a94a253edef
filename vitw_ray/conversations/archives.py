"""The files inside a zip archive, each read as a file of its own."""

import zipfile
import zlib
from dataclasses import replace
from typing import Any, cast

from vitw_ray.conversations.file_content import ARCHIVE, HEAD_BYTES, Content, content_of
from vitw_ray.conversations.opening import shown, stored
from vitw_ray.errors import InputError
from vitw_ray.stages import SourceFile

_MOST_MEMBERS = 100_000  # ours: their list is held in memory
_ENCRYPTED = 0x1  # bit of a member's flags
_LISTING_BLOCK_BYTES = 256 << 10
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


def members_of(archive: SourceFile) -> tuple[list[SourceFile], dict[str, str]]:
    """The members that may hold rows, and why others are passed over, by name in the archive.

    Raises:
        InputError: the archive is damaged, or has too many members.
    """
    read: list[SourceFile] = []
    passed_over: dict[str, str] = {}
    with stored(archive.url, _LISTING_BLOCK_BYTES) as stream:
        try:
            opened = zipfile.ZipFile(cast(Any, stream))
        except _DAMAGE:
            raise InputError(
                f"{shown(archive.url)} is a damaged zip archive", "unpack it, or write it again"
            ) from None
        infos = [info for info in opened.infolist() if not info.is_dir()]
        if len(infos) > _MOST_MEMBERS:
            raise InputError(
                f"{shown(archive.url)} holds {len(infos)} files",
                f"unpack it: archives are read with up to {_MOST_MEMBERS}",
            )
        for info in infos:
            content = _content(opened, info)
            if content.readable:
                size = info.compress_size
                name, packing = info.filename, str(content)
                read.append(replace(archive, size_bytes=size, content=packing, member=name))
            else:
                passed_over[info.filename] = content.layout
    return read, passed_over


def _content(opened: zipfile.ZipFile, info: zipfile.ZipInfo) -> Content:
    if any(part.startswith((".", "_")) for part in info.filename.split("/")):
        return Content((), "hidden")
    if info.flag_bits & _ENCRYPTED:
        return Content((), "encrypted (unpack it)")
    try:
        with opened.open(info) as member:
            head = member.read(HEAD_BYTES)
    except _DAMAGE:
        return Content((), "damaged")
    content = content_of(head, info.filename, whole=len(head) == info.file_size)
    if content.layout == ARCHIVE:
        return Content((), "an archive inside an archive (unpack it)")
    return content
