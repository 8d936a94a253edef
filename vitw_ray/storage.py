"""The verbs of a run folder, the same for a local folder and for an s3:// address.

A name appears whole or not at all, and three verbs decide races: `create` (only if absent),
`replace` (only if unchanged) and a `list` that is always fresh. Everything below `private/` is
readable by its owner alone. The endpoint and the credentials come from the environment
(AWS_ENDPOINT_URL, AWS_*, or an instance profile), never from the config.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from vitw_ray.errors import OutputError

PRIVATE = "private"
"""The one folder that holds conversation text, and text made from one conversation."""
_TEMPORARY = ".partial~"  # ours: a file under its final name is whole; a kill leaves only these
_CONFLICT_ATTEMPTS = 5  # S3 answers 409 while another conditional put of the key is under way
_FIXES = {
    errno.EACCES: "give this account write access, or choose another --output",
    errno.EPERM: "give this account write access, or choose another --output",
    errno.EROFS: "choose an --output that is not read-only",
    errno.ENOSPC: "free some space there, or choose another --output",
    errno.ENOTDIR: "a file stands where a folder is needed: move it, or choose another --output",
    errno.EISDIR: "a folder stands where a file is needed: move it, or choose another --output",
    errno.ENOENT: "create the bucket, or correct --output",
    errno.ENOSYS: "use a store with conditional writes (AWS S3, MinIO), or a local folder",
    errno.EOPNOTSUPP: "use a file system with hard links, or an s3:// address",
}
_FIX = "check the address, and for s3:// the endpoint and credentials (AWS_ENDPOINT_URL, AWS_*)"


@dataclass(frozen=True, slots=True)
class FileStat:
    """One file: its path below the root, and what changes when its content does."""

    path: str
    size: int
    version: str
    """ETag, or the local time of the last change."""


@dataclass(frozen=True)
class Storage:
    """A folder or an s3:// address; paths are relative to it. Small, and safe to send to actors.

    A missing file is a FileNotFoundError; whatever else fails is an OutputError that names the
    address and the fix.
    """

    root: str

    def __post_init__(self) -> None:
        """Make the root absolute: actors work in other folders than the driver."""
        scheme, separator, rest = self.root.partition("://")
        if separator and scheme not in ("s3", "file"):
            raise OutputError(
                f"{self.root} is neither a folder nor an s3:// address", "correct the address"
            )
        root = rest if scheme == "file" and separator else self.root
        if scheme != "s3" or not separator:
            root = str(Path(root).absolute())
        elif not rest.strip("/"):
            raise OutputError(
                f"{self.root} names no bucket", "give s3://bucket or s3://bucket/prefix"
            )
        object.__setattr__(self, "root", root.rstrip("/"))

    @property
    def local(self) -> bool:
        """Whether the root is a folder."""
        return not self.root.startswith("s3://")

    @property
    def fs(self) -> Any:
        """The fsspec file system, one per process."""
        return _filesystem("file" if self.local else "s3", os.getpid())

    def address(self, path: str) -> str:
        """Full address of a path, for the file system and for messages."""
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise ValueError(f"{path} is not below the root")
        return f"{self.root}/{path}" if path else self.root

    def read(self, path: str) -> bytes:
        """Whole content of a file."""
        with self._explained("read", path):
            return cast(bytes, self.fs.cat_file(self.address(path)))

    def open(self, path: str) -> BinaryIO:
        """A seekable file that fetches only what is read from it."""
        # Parquet asks for exact ranges: reading ahead would fetch most bytes twice.
        with self._explained("read", path):
            options = {} if self.local else {"cache_type": "none"}
            return cast(BinaryIO, self.fs.open(self.address(path), "rb", **options))

    def exists(self, path: str) -> bool:
        """Whether a file, or a folder with something in it, has this path."""
        with self._explained("read", path):
            return bool(self.fs.exists(self.address(path)))

    def list(self, prefix: str = "") -> "list[FileStat]":
        """Every file below a folder, sorted by path; none when there is no such folder."""
        with self._explained("list", prefix, reading=False):
            found = self.fs.find(self.address(prefix), detail=True)
        start = len(self.root if self.local else self.root.removeprefix("s3://")) + 1
        # s3fs answers an empty listing with the prefix itself when a file appears meanwhile.
        return sorted(
            (
                FileStat(
                    name[start:], info["size"], str(info.get("ETag") or info["mtime"]).strip('"')
                )
                for name, info in found.items()
                if info["type"] != "directory" and not name.endswith(_TEMPORARY)
            ),
            key=lambda stat: stat.path,
        )

    def write(self, path: str, data: bytes) -> None:
        """Put a whole file under its name, or leave what was there."""
        with self._explained("write", path, reading=False):
            if self.local:
                self._place(path, data, lambda new, name: new.replace(name))
            else:
                self.fs.pipe_file(self.address(path), data)

    def create(self, path: str, data: bytes) -> bool:
        """Write a file only if nothing has its name; True when this call wrote it (up to 5 GB)."""
        with self._explained("create", path, reading=False):
            if not self.local:
                return self._put_if(path, data, IfNoneMatch="*") is not None
            try:
                self._place(path, data, lambda new, name: name.hardlink_to(new))
            except FileExistsError:
                return False
            return True

    def read_with_etag(self, path: str) -> tuple[bytes, str]:
        """Content of an object and the ETag that `replace` wants (s3:// only)."""
        with self._explained("read", path):
            # The ETag first: if the object changes in between, a later swap fails, as it should.
            etag = self.fs.info(self.address(path))["ETag"]
            return self.fs.cat_file(self.address(path)), etag

    def replace(self, path: str, data: bytes, etag: str) -> str | None:
        """Write an object only if it still has `etag`: the new ETag, or None (s3:// only)."""
        with self._explained("replace", path, reading=False):
            return self._put_if(path, data, IfMatch=etag)

    def delete(self, path: str) -> None:
        """Remove a file; one that is not there is no error."""
        with self._explained("delete", path, reading=False):
            if self.local:
                Path(self.address(path)).unlink(missing_ok=True)
            else:
                self.fs.rm_file(self.address(path))

    def delete_prefix(self, prefix: str) -> None:
        """Remove a folder and all below it, and be sure that nothing is left."""
        if not prefix.strip("/."):
            raise ValueError("the whole root is not to be deleted")
        with self._explained("delete", prefix, reading=False):
            if self.local:
                if self.exists(prefix):
                    shutil.rmtree(self.address(prefix))
            elif found := self.fs.find(self.address(prefix)):
                self.fs.rm(found)
        # A bulk delete reports refused keys in its answer, and s3fs does not look at them.
        if left := self.list(prefix):
            raise OutputError(
                f"{len(left)} files under {self.address(prefix)} could not be deleted",
                "give this account the right to delete, and run again",
            )

    def probe_conditional_writes(self) -> None:
        """Refuse a store on which two drivers could both win: one that ignores conditions.

        Raises:
            OutputError: the store cannot be written, or lacks or ignores conditional writes.
        """
        path = f"{PRIVATE}/probe-{secrets.token_hex(8)}"
        try:
            honest = self.create(path, b"first") and not self.create(path, b"second")
            if honest and not self.local:
                honest = self.replace(path, b"third", '"00000000000000000000000000000000"') is None
        finally:
            with suppress(OutputError):  # a broom that fails must not hide why the put did
                self.delete(path)
        if not honest:
            raise OutputError(
                f"{self.root} ignores conditional writes, so that two drivers could overwrite each "
                "other's work",
                _FIXES[errno.ENOSYS],
            )

    def _place(self, path: str, data: bytes, publish: Callable[[Path, Path], object]) -> None:
        """Write and sync a temporary file, then publish it under its name."""
        name = Path(self.address(path))
        private = PurePosixPath(path).parts[0] == PRIVATE
        if private:
            Path(self.address(PRIVATE)).mkdir(mode=0o700, parents=True, exist_ok=True)
        name.parent.mkdir(parents=True, exist_ok=True)
        new = name.with_name(f".{name.name}.{secrets.token_hex(8)}{_TEMPORARY}")
        try:
            handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            publish(new, name)
        finally:
            new.unlink(missing_ok=True)
        folder = os.open(name.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the name survives a power cut, not only the content
        finally:
            os.close(folder)

    def _put_if(self, path: str, data: bytes, **condition: str) -> str | None:
        """Put an object under a condition: its ETag, or None when the condition does not hold."""
        bucket, key, _ = self.fs.split_path(self.address(path))
        # A put whose reply was lost is sent again and then meets its own object: the attempt's
        # token, kept as metadata, tells that from somebody else's.
        token = secrets.token_hex(16)
        for attempt in range(_CONFLICT_ATTEMPTS):
            try:
                reply = self.fs.call_s3(
                    "put_object",
                    Bucket=bucket,
                    Key=key,
                    Body=data,
                    Metadata={"attempt": token},
                    **condition,
                )
                return str(reply["ETag"])
            except OSError as error:
                code = _s3_code(error)
                if code == "ConditionalRequestConflict" and attempt + 1 < _CONFLICT_ATTEMPTS:
                    continue
                if code == "NoSuchKey":  # IfMatch, and the object is gone
                    return None
                if code != "PreconditionFailed":
                    raise
            try:
                found = self.fs.call_s3("head_object", Bucket=bucket, Key=key)
            except FileNotFoundError:
                return None
            return str(found["ETag"]) if found["Metadata"].get("attempt") == token else None
        raise AssertionError("unreachable")

    @contextmanager
    def _explained(self, verb: str, path: str, reading: bool = True) -> Iterator[None]:
        try:
            yield
        except _failures(self.local) as error:
            if reading and isinstance(error, FileNotFoundError):
                raise
            number = getattr(error, "errno", None)
            if isinstance(error, PermissionError):
                number = errno.EACCES
            elif isinstance(error, FileNotFoundError):
                number = errno.ENOENT
            raise OutputError(
                f"cannot {verb} {self.address(path)}: {getattr(error, 'strerror', None) or error}",
                _FIXES.get(number or 0, _FIX),
            ) from error


@cache
def _filesystem(scheme: str, pid: int) -> Any:
    """One client for all threads of a process (`pid`: an s3 client does not survive a fork)."""
    import fsspec

    return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)


def _failures(local: bool) -> tuple[type[Exception], ...]:
    """What a file system raises when it fails, as opposed to when our code is wrong."""
    if local:
        return (OSError,)
    from botocore.exceptions import BotoCoreError

    return (OSError, BotoCoreError)


def _s3_code(error: OSError) -> str | None:
    """S3's own name of an error that s3fs has translated."""
    response = getattr(error.__cause__, "response", None) or {}
    return response.get("Error", {}).get("Code")
