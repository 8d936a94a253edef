"""File operations of a run folder, the same for a local folder and an s3:// address.

Writes are atomic. Three operations resolve races: `create` (only if absent), `replace` (only if
unchanged) and `list`, which is never cached. Files below `private/` are readable by their owner
only. The endpoint and the credentials come from the environment (AWS_ENDPOINT_URL, AWS_*, or an
instance profile), never from the config.
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
"""The only folder with conversation text and text derived from single conversations."""
_TEMPORARY = ".partial~"  # ours: suffix of incomplete files, which a kill may leave behind
_CONFLICT_ATTEMPTS = 5  # S3 returns 409 during another conditional put of the same key
_FIXES = {
    errno.EACCES: "give this account write access, or choose another --output",
    errno.EPERM: "give this account write access, or choose another --output",
    errno.EROFS: "choose an --output that is not read-only",
    errno.ENOSPC: "free some space there, or choose another --output",
    errno.ENOTDIR: "a file is in the place of a folder: move it, or choose another --output",
    errno.EISDIR: "a folder is in the place of a file: move it, or choose another --output",
    errno.ENOENT: "create the bucket, or correct --output",
    errno.ENOSYS: "use a store with conditional writes (AWS S3, MinIO), or a local folder",
    errno.EOPNOTSUPP: "use a file system with hard links, or an s3:// address",
}
_FIX = "check the address, and for s3:// the endpoint and credentials (AWS_ENDPOINT_URL, AWS_*)"


@dataclass(frozen=True, slots=True)
class FileStat:
    """One file: its path below the root, size and version."""

    path: str
    size: int
    version: str
    """ETag on S3, modification time in a local folder; changes with the content."""


@dataclass(frozen=True)
class Storage:
    """A folder or an s3:// address; paths are relative to it. Small, and can be sent to actors.

    Reading a missing file raises FileNotFoundError. Any other failure raises an OutputError with
    the address and the fix.
    """

    root: str

    def __post_init__(self) -> None:
        """Make the root absolute, as actors have another working directory than the driver."""
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
        """Whether the root is a local folder."""
        return not self.root.startswith("s3://")

    @property
    def fs(self) -> Any:
        """The fsspec file system, one per process."""
        return _filesystem("file" if self.local else "s3", os.getpid())

    def address(self, path: str) -> str:
        """Full address of a path, for the file system and messages."""
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise ValueError(f"{path} is not below the root")
        return f"{self.root}/{path}" if path else self.root

    def read(self, path: str, start: int | None = None, stop: int | None = None) -> bytes:
        """Content of a file, or its bytes from `start` to before `stop` (one request)."""
        with self._explained("read", path):
            return cast(bytes, self.fs.cat_file(self.address(path), start=start, end=stop))

    def open(self, path: str) -> BinaryIO:
        """A seekable file that fetches only the bytes that are read."""
        # Parquet reads exact ranges: read-ahead would fetch most bytes twice.
        with self._explained("read", path):
            options = {} if self.local else {"cache_type": "none"}
            return cast(BinaryIO, self.fs.open(self.address(path), "rb", **options))

    def exists(self, path: str) -> bool:
        """Whether a file or a non-empty folder has this path."""
        with self._explained("read", path):
            return bool(self.fs.exists(self.address(path)))

    def list(self, prefix: str = "") -> "list[FileStat]":
        """All files below a folder, sorted by path; empty if there is no such folder."""
        with self._explained("list", prefix, reading=False):
            found = self.fs.find(self.address(prefix), detail=True)
        start = len(self.root if self.local else self.root.removeprefix("s3://")) + 1
        # s3fs returns the prefix itself if a file appears during an empty listing.
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

    def children(self, prefix: str) -> "list[str]":
        """Names of the files and folders directly in a folder; empty if there is no such folder."""
        with self._explained("list", prefix, reading=False):
            try:
                found = self.fs.ls(self.address(prefix), detail=False)
            except FileNotFoundError:
                return []
        names = (path.rstrip("/").rsplit("/", 1)[-1] for path in found)
        return sorted(name for name in names if not name.endswith(_TEMPORARY))

    def write(self, path: str, data: bytes) -> None:
        """Write a file atomically: on failure, the previous content stays."""
        with self._explained("write", path, reading=False):
            if self.local:
                self._place(path, data, lambda new, name: new.replace(name))
            else:
                self.fs.pipe_file(self.address(path), data)

    def create(self, path: str, data: bytes) -> bool:
        """Write a file only if it does not exist; True if this call wrote it (up to 5 GB)."""
        with self._explained("create", path, reading=False):
            if not self.local:
                return self._put_if(path, data, IfNoneMatch="*") is not None
            try:
                self._place(path, data, lambda new, name: name.hardlink_to(new))
            except FileExistsError:
                return False
            return True

    def read_with_etag(self, path: str) -> tuple[bytes, str]:
        """Content of an object, and its ETag for `replace` (s3:// only)."""
        with self._explained("read", path):
            # ETag first: if the object changes before the read, the later replace must fail.
            etag = self.fs.info(self.address(path))["ETag"]
            return self.fs.cat_file(self.address(path)), etag

    def replace(self, path: str, data: bytes, etag: str) -> str | None:
        """Write an object only if it still has `etag`; the new ETag, else None (s3:// only)."""
        with self._explained("replace", path, reading=False):
            return self._put_if(path, data, IfMatch=etag)

    def delete(self, path: str) -> None:
        """Remove a file; a missing file is no error."""
        with self._explained("delete", path, reading=False):
            if self.local:
                Path(self.address(path)).unlink(missing_ok=True)
            else:
                self.fs.rm_file(self.address(path))

    def delete_prefix(self, prefix: str) -> None:
        """Remove a folder and all files below it; raises OutputError if any file is left."""
        if not prefix.strip("/."):
            raise ValueError("refuses to delete the whole root")
        with self._explained("delete", prefix, reading=False):
            if self.local:
                if self.exists(prefix):
                    shutil.rmtree(self.address(prefix))
            elif found := self.fs.find(self.address(prefix)):
                self.fs.rm(found)
        # A bulk delete reports refused keys in its response, which s3fs ignores.
        if left := self.list(prefix):
            raise OutputError(
                f"{len(left)} files under {self.address(prefix)} could not be deleted",
                "give this account permission to delete, and run again",
            )

    def probe_conditional_writes(self) -> None:
        """Check that the store honours conditional writes, which keep two drivers apart.

        Raises:
            OutputError: the store is not writable, or does not support conditional writes.
        """
        path = f"{PRIVATE}/probe-{secrets.token_hex(8)}"
        try:
            honest = self.create(path, b"first") and not self.create(path, b"second")
            if honest and not self.local:
                honest = self.replace(path, b"third", '"00000000000000000000000000000000"') is None
        finally:
            with suppress(OutputError):  # a failed clean-up must not hide the first error
                self.delete(path)
        if not honest:
            raise OutputError(
                f"{self.root} ignores conditional writes, so that two drivers could overwrite each "
                "other's work",
                _FIXES[errno.ENOSYS],
            )

    def _place(self, path: str, data: bytes, publish: Callable[[Path, Path], object]) -> None:
        """Write and sync a temporary file, then rename or link it to its final name."""
        name = Path(self.address(path))
        private = PurePosixPath(path).parts[0] == PRIVATE
        if private:
            Path(self.root).mkdir(parents=True, exist_ok=True)
            for folder in [*PurePosixPath(path).parents][-2::-1]:  # from private/ down
                Path(self.address(str(folder))).mkdir(mode=0o700, exist_ok=True)
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
            os.fsync(folder)  # makes the name durable, not only the content
        finally:
            os.close(folder)

    def _put_if(self, path: str, data: bytes, **condition: str) -> str | None:
        """Put an object under a condition: its ETag, or None if the condition does not hold."""
        bucket, key, _ = self.fs.split_path(self.address(path))
        # After a lost reply, the client repeats the put and then finds its own object. The token in
        # the metadata distinguishes that object from one of another client.
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
    """Exceptions that a failing file system raises, as opposed to errors in our code."""
    if local:
        return (OSError,)
    from botocore.exceptions import BotoCoreError

    return (OSError, BotoCoreError)


def _s3_code(error: OSError) -> str | None:
    """The S3 error code of an exception that s3fs has translated."""
    response = getattr(error.__cause__, "response", None) or {}
    return response.get("Error", {}).get("Code")
