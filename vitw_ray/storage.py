"""File operations of a run folder, the same for a local folder and an s3:// address.

Writes are atomic. A failure that may pass is tried again (`retries`). Three operations resolve
races: `create` (only if absent), `replace` (only if unchanged) and `list`, which is never cached.
Files below `private/` are readable by their owner only. The endpoint and the credentials come from
the environment (AWS_ENDPOINT_URL, AWS_*, or an instance profile), never from the config.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar, cast

from vitw_ray.errors import OutputError, StorageFailed
from vitw_ray.retries import PatientFile, may_pass, patiently

PRIVATE = "private"
"""The only folder with conversation text and text derived from single conversations."""
TEMPORARY = ".partial~"  # ours: suffix of incomplete files, which a kill may leave behind
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
_GUARDS: dict[str, Callable[[], None]] = {}  # by root: asked before this process deletes anything
Result = TypeVar("Result")
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
        address = self.address(path)
        found = self._try("read", path, lambda: self.fs.cat_file(address, start=start, end=stop))
        return cast(bytes, found)

    def open(self, path: str) -> BinaryIO:
        """A seekable file that fetches only the bytes that are read."""
        # Parquet reads exact ranges: read-ahead would fetch most bytes twice.
        options = {} if self.local else {"cache_type": "none"}
        file = self._try("read", path, lambda: self.fs.open(self.address(path), "rb", **options))
        attempt = partial(self._try, "read", path)
        return cast(BinaryIO, PatientFile(file, attempt))

    def exists(self, path: str) -> bool:
        """Whether a file or a non-empty folder has this path."""
        address = self.address(path)
        if not self.local:
            return bool(self._try("read", path, lambda: self.fs.exists(address)))
        try:  # fsspec takes any failure of a local file system for "no"
            self._try("read", path, Path(address).stat)
        except FileNotFoundError:
            return False
        return True

    def list(self, prefix: str = "") -> "list[FileStat]":
        """All files below a folder, sorted by path; empty if there is no such folder."""
        found = self._found(prefix)
        start = len(self.root if self.local else self.root.removeprefix("s3://")) + 1
        # s3fs returns the prefix itself if a file appears during an empty listing.
        return sorted(
            (
                FileStat(
                    name[start:], info["size"], str(info.get("ETag") or info["mtime"]).strip('"')
                )
                for name, info in found.items()
                if info["type"] != "directory" and not name.endswith(TEMPORARY)
            ),
            key=lambda stat: stat.path,
        )

    def children(self, prefix: str) -> "list[str]":
        """Names of the files and folders directly in a folder; empty if there is no such folder."""
        address = self.address(prefix)
        try:
            found = self._try("list", prefix, lambda: self.fs.ls(address, detail=False))
        except FileNotFoundError:
            return []
        names = (path.rstrip("/").rsplit("/", 1)[-1] for path in found)
        return sorted(name for name in names if not name.endswith(TEMPORARY))

    def incomplete(self) -> "list[str]":
        """Paths of the files that a kill has left half written; a bucket has none."""
        if not self.local:
            return []
        start = len(self.root) + 1
        return sorted(name[start:] for name in self._found("") if name.endswith(TEMPORARY))

    def write(self, path: str, data: bytes) -> None:
        """Write a file atomically: on failure, the previous content stays."""
        if self.local:
            self._try(
                *("write", path),
                lambda: self._place(path, data, lambda new, name: new.replace(name)),
                reading=False,
            )
        else:
            address = self.address(path)
            self._try("write", path, lambda: self.fs.pipe_file(address, data), reading=False)

    def create(self, path: str, data: bytes) -> bool:
        """Write a file only if it does not exist; True if this call wrote it (up to 5 GB)."""
        if not self.local:
            put = self._conditional_put(path, data, IfNoneMatch="*")
            return self._try("create", path, put, reading=False) is not None
        linked: list[Path] = []

        def link(new: Path, name: Path) -> None:
            if not (linked and name.exists()):  # else done by an attempt that failed afterwards
                name.hardlink_to(new)
                linked.append(name)

        try:
            self._try("create", path, lambda: self._place(path, data, link), reading=False)
        except FileExistsError:
            return False
        return True

    def copy(self, path: str, to: str) -> None:
        """Give a file a second name: a hard link, or a copy that the store makes by itself.

        What stands under that name already is left. Files are replaced and never changed in place,
        so the two names do not affect each other.
        """
        if not self.local:
            source, target = self.address(path), self.address(to)
            self._try("create", path, lambda: self.fs.cp_file(source, target))
            return
        name = Path(self.address(to))
        if PurePosixPath(to).parts[0] == PRIVATE:
            self._make_private(to)
        name.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._try("create", path, lambda: name.hardlink_to(self.address(path)))
        except FileExistsError:
            return
        except OutputError:  # a file system without links
            self.create(to, self.read(path))

    def read_with_etag(self, path: str) -> tuple[bytes, str]:
        """Content of an object, and its ETag for `replace` (s3:// only)."""
        # ETag first: if the object changes before the read, the later replace must fail.
        address = self.address(path)
        etag = self._try("read", path, lambda: self.fs.info(address)["ETag"])
        return self.read(path), etag

    def replace(self, path: str, data: bytes, etag: str) -> str | None:
        """Write an object only if it still has `etag`; the new ETag, else None (s3:// only)."""
        put = self._conditional_put(path, data, IfMatch=etag)
        return self._try("replace", path, put, reading=False)

    def delete(self, path: str) -> None:
        """Remove a file; a missing file is no error."""
        self._check_guard()
        self._remove(path)

    def delete_prefix(self, prefix: str) -> None:
        """Remove a folder and all files below it; raises OutputError if any file is left."""
        if not prefix.strip("/."):
            raise ValueError("refuses to delete the whole root")
        address = self.address(prefix)
        self._check_guard()
        if self.local:
            if self.exists(prefix):
                self._try("delete", prefix, lambda: shutil.rmtree(address), reading=False)
        elif found := list(self._found(prefix)):
            self._try("delete", prefix, lambda: self.fs.rm(found), reading=False)
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
                self._remove(path)
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
            self._make_private(path)
        name.parent.mkdir(parents=True, exist_ok=True)
        new = name.with_name(f".{name.name}.{secrets.token_hex(8)}{TEMPORARY}")
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

    def _make_private(self, path: str) -> None:
        """Make the folders of a file below `private/`."""
        Path(self.root).mkdir(parents=True, exist_ok=True)
        for folder in [*PurePosixPath(path).parents][-2::-1]:  # from private/ down
            Path(self.address(str(folder))).mkdir(mode=0o700, exist_ok=True)

    def _conditional_put(
        self, path: str, data: bytes, **condition: str
    ) -> Callable[[], str | None]:
        """A put under a condition, which can be tried again."""
        # After a lost reply, the put is repeated and then finds its own object. The token in the
        # metadata distinguishes that object from one of another client.
        token = secrets.token_hex(16)
        return lambda: self._put_if(path, data, token, **condition)

    def _put_if(self, path: str, data: bytes, token: str, **condition: str) -> str | None:
        """Put an object under a condition: its ETag, or None if the condition does not hold."""
        bucket, key, _ = self.fs.split_path(self.address(path))
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

    def _found(self, prefix: str) -> dict[str, Any]:
        """What lies below a folder, incomplete files included: address -> size, version, type."""
        address = self.address(prefix)
        # fsspec takes a folder that cannot be listed for an empty one.
        options = {"on_error": _unless_missing} if self.local else {}
        return self._try(
            "list", prefix, lambda: self.fs.find(address, detail=True, **options), reading=False
        )

    def _remove(self, path: str) -> None:
        address = self.address(path)
        if self.local:
            unlink = partial(Path(address).unlink, missing_ok=True)
            self._try("delete", path, unlink, reading=False)
        else:
            self._try("delete", path, lambda: self.fs.rm_file(address), reading=False)

    def _check_guard(self) -> None:
        if guard := _GUARDS.get(self.root):
            guard()

    def _try(
        self, verb: str, path: str, operation: Callable[[], Result], *, reading: bool = True
    ) -> Result:
        """Do one operation, again where its failure may pass; explain what fails."""
        with self._explained(verb, path, reading):
            return patiently(operation)

    @contextmanager
    def _explained(self, verb: str, path: str, reading: bool = True) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            known = isinstance(error, _failures(self.local)) or may_pass(error)
            absent = isinstance(error, FileNotFoundError) and reading
            if not known or absent or (verb == "create" and isinstance(error, FileExistsError)):
                raise
            number = getattr(error, "errno", None)
            if isinstance(error, PermissionError):
                number = errno.EACCES
            elif isinstance(error, FileNotFoundError):
                number = errno.ENOENT
            kind = StorageFailed if may_pass(error) else OutputError
            raise kind(
                f"cannot {verb} {self.address(path)}: {getattr(error, 'strerror', None) or error}",
                _FIXES.get(number or 0, _FIX),
            ) from error


@contextmanager
def guarded_deletes(storage: Storage, check: Callable[[], None]) -> Iterator[None]:
    """Have `check` asked before this process deletes anything of a run folder."""
    _GUARDS[storage.root] = check
    try:
        yield
    finally:
        _GUARDS.pop(storage.root, None)


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


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
