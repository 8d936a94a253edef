"""One driver per run folder.

A folder is locked with `flock`, which the kernel frees when its holder dies, however it dies. A
bucket has no such lock: there the lease is an object that its holder rewrites every few seconds,
each time under the condition that nobody else did. A holder that stops is replaced once its object
has not changed for as long as it promised, measured on the waiting driver's own clock: no two
machines need agree on the time.

Each acquisition has an epoch, larger than any before. It stands in the names of answer segments,
so that what a replaced driver still writes can be told from the work of its successor.
"""

import fcntl
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from vitw_ray.errors import OutputError, RunLocked
from vitw_ray.storage import PRIVATE, Storage

LOCK = f"{PRIVATE}/driver.lock"  # local only, always empty
RECORD = f"{PRIVATE}/driver.json"
EXPIRY_S = 20.0  # ours: outlasts one put that s3fs gives up on (15 s) and sends again
_RENEWALS_PER_EXPIRY = 4  # ours: three may fail in a row
_POLLS_PER_EXPIRY = 20  # ours: a waiting driver sends two small requests a second
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # runs on while a laptop sleeps
_LOG = logging.getLogger(__name__)


class Lease(Protocol):
    """What a driver holds while it works."""

    @property
    def epoch(self) -> int:
        """Larger than that of any earlier driver of this run folder; 1 for the first."""
        ...

    def check(self) -> None:
        """Raise RunLocked when another driver has, or may have, taken over."""
        ...


@dataclass(frozen=True, slots=True)
class Holder:
    """The driver of a run folder, as `private/driver.json` has it."""

    epoch: int
    host: str
    pid: int
    since: str
    """UTC, for people: no decision depends on it."""
    expiry_s: float
    renewals: int = 0
    released: bool = False

    def to_json(self) -> bytes:
        """One line."""
        return json.dumps(asdict(self)).encode() + b"\n"


@contextmanager
def acquire(storage: Storage, expiry_s: float = EXPIRY_S) -> Iterator[Lease]:
    """Be the one driver of a run folder, or fail.

    A driver that was killed is replaced: at once in a folder, after its expiry in a bucket.

    Raises:
        RunLocked: another driver is alive; the message has its host, process and start.
        OutputError: the store cannot be written, or cannot keep two drivers apart.
    """
    storage.probe_conditional_writes()
    with _hold_folder(storage) if storage.local else _hold_bucket(storage, expiry_s) as lease:
        yield lease


@contextmanager
def _hold_folder(storage: Storage) -> Iterator["_FolderLease"]:
    storage.create(LOCK, b"")
    path = Path(storage.address(LOCK))
    # Python opens files close-on-exec: a Ray process that outlives this one does not keep the lock.
    with path.open("r+b") as locked:
        try:
            fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _refusal(storage, _last_holder(storage)) from None
        except OSError as error:
            raise OutputError(
                f"{storage.root} is on a file system without locks: {error.strerror}",
                "choose an --output on another file system, or an s3:// address",
            ) from error
        last = _last_holder(storage)
        me = _holder(epoch=last.epoch + 1 if last else 1, expiry_s=0.0)
        storage.write(RECORD, me.to_json())
        yield _FolderLease(me.epoch, path, locked)


@dataclass(frozen=True)
class _FolderLease:
    epoch: int
    path: Path
    locked: BinaryIO

    def check(self) -> None:
        """See `Lease`. A folder can only be lost by removing its lock file."""
        with suppress(FileNotFoundError):
            if os.path.samestat(self.path.stat(), os.fstat(self.locked.fileno())):
                return
        raise RunLocked(
            f"{self.path} was removed while this run held it",
            "make sure that nothing else works on this run folder, and run again",
        )


@contextmanager
def _hold_bucket(storage: Storage, expiry_s: float) -> Iterator["_BucketLease"]:
    lease = _BucketLease(storage, *_take(storage, expiry_s))
    heartbeat = threading.Thread(target=lease.renew_until_stopped, name="lease", daemon=True)
    heartbeat.start()
    try:
        yield lease
    finally:
        lease.stopped.set()
        heartbeat.join(expiry_s)
        lease.release()


def _take(storage: Storage, expiry_s: float) -> tuple[Holder, str, float]:
    """Wait until nobody holds the bucket: the new holder, its ETag, and when it was sent."""
    storage.create(RECORD, replace(_holder(0, expiry_s), released=True).to_json())
    first_seen: str | None = None
    unchanged_since = 0.0
    while True:
        content, etag = storage.read_with_etag(RECORD)
        last = _parse(storage, content)
        if first_seen is None:
            first_seen, unchanged_since = etag, _now()  # read first: its holder wrote before that
            if not last.released:
                _LOG.info("waiting to see whether process %d on %s is alive", last.pid, last.host)
        elif etag != first_seen and not last.released:
            raise _refusal(storage, last)
        if last.released or _now() - unchanged_since >= last.expiry_s:
            me, sent_at = _holder(last.epoch + 1, expiry_s), _now()
            mine = storage.replace(RECORD, me.to_json(), etag)
            if mine is not None:
                return me, mine, sent_at
        else:
            time.sleep(last.expiry_s / _POLLS_PER_EXPIRY)


class _BucketLease:
    def __init__(self, storage: Storage, me: Holder, etag: str, sent_at: float) -> None:
        self.epoch = me.epoch
        self.stopped = threading.Event()
        self._storage, self._me, self._etag = storage, me, etag
        # Counted from before the put was sent: others count from after they saw it.
        self._mine_until = sent_at + me.expiry_s
        self._taken = False

    def check(self) -> None:
        """See `Lease`. Also raises when the store could not be reached for an expiry."""
        if self._taken or _now() >= self._mine_until:
            how = (
                "was taken over by another" if self._taken else "could not renew its lease in time"
            )
            raise RunLocked(
                f"the driver of {self._storage.root} {how}",
                "run again: finished work is kept",
            )

    def renew_until_stopped(self) -> None:
        """Rewrite the record until `stopped`, or until it is somebody else's."""
        while not self._taken and not self.stopped.wait(self._me.expiry_s / _RENEWALS_PER_EXPIRY):
            # The next renewal may get through; if none does, `check` tells by the clock.
            with suppress(OutputError):
                self._rewrite(replace(self._me, renewals=self._me.renewals + 1))

    def release(self) -> None:
        """Let the next driver start at once. The record stays, for its epoch."""
        if not self._taken:
            with suppress(OutputError):
                self._rewrite(replace(self._me, released=True))

    def _rewrite(self, me: Holder) -> None:
        sent_at = _now()
        etag = self._storage.replace(RECORD, me.to_json(), self._etag)
        if etag is None:
            self._taken = True
        else:
            self._me, self._etag, self._mine_until = me, etag, sent_at + me.expiry_s


def _now() -> float:
    return time.clock_gettime(_CLOCK)


def _holder(epoch: int, expiry_s: float) -> Holder:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return Holder(epoch, socket.gethostname(), os.getpid(), since, expiry_s)


def _last_holder(storage: Storage) -> Holder | None:
    try:
        return _parse(storage, storage.read(RECORD))
    except FileNotFoundError:
        return None


def _parse(storage: Storage, content: bytes) -> Holder:
    try:
        return Holder(**json.loads(content))
    except (ValueError, TypeError) as error:
        raise OutputError(
            f"{storage.address(RECORD)} is damaged, and with it the number of the last driver",
            "make sure that no driver works there, then remove that file and private/answers-*",
        ) from error


def _refusal(storage: Storage, holder: Holder | None) -> RunLocked:
    who = f"process {holder.pid} on {holder.host}, since {holder.since}" if holder else "a driver"
    return RunLocked(
        f"{storage.root} is in use by {who}",
        "wait for that run, stop it, or choose another --output",
    )
