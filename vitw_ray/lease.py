"""One driver per run folder.

A local folder is locked with `flock`, which the kernel releases when its holder dies. A bucket has
no such lock: the lease is an object that its holder rewrites every few seconds, on the condition
that nobody else changed it. If the object does not change for its expiry time, another driver may
take over. The waiting driver measures that on its own clock, so clocks need not agree.

Each acquisition has an epoch, larger than all before. It is part of the names of answer segments,
so that segments of a replaced driver can be told from those of its successor.
"""

import fcntl
import json
import logging
import os
import re
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
from vitw_ray.storage import PRIVATE, Storage, guarded_deletes

LOCK = f"{PRIVATE}/driver.lock"  # local only, always empty
RECORD = f"{PRIVATE}/driver.json"
PROGRESS = f"{PRIVATE}/progress.json"  # what the driver says of itself
EXPIRY_S = 20.0  # ours: longer than one put that s3fs times out (15 s) and repeats
_RENEWALS_PER_EXPIRY = 4  # ours: three may fail in a row
_POLLS_PER_EXPIRY = 20  # ours: a waiting driver sends two small requests per second
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # also counts while a laptop sleeps
_EPOCH = re.compile(r"e(\d{8})-")
_LOG = logging.getLogger(__name__)


class Lease(Protocol):
    """The right to write to a run folder, which a driver holds while it works."""

    @property
    def epoch(self) -> int:
        """Larger than that of any earlier driver of this run folder; 1 for the first."""
        ...

    def check(self) -> None:
        """Raise RunLocked if another driver has taken over, or may have."""
        ...

    def ask(self) -> None:
        """As `check`, but asks the storage, for when something went wrong."""
        ...


@dataclass(frozen=True, slots=True)
class Holder:
    """The driver of a run folder: the content of `private/driver.json`."""

    epoch: int
    host: str
    pid: int
    since: str
    """UTC, for messages only."""
    expiry_s: float
    renewals: int = 0
    released: bool = False

    def to_json(self) -> bytes:
        """One line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"


@contextmanager
def acquire(storage: Storage, expiry_s: float = EXPIRY_S) -> Iterator[Lease]:
    """Become the only driver of a run folder, or fail.

    Replaces a killed driver: at once in a folder, after its expiry in a bucket.

    Raises:
        RunLocked: another driver is alive; the message has its host, process and start.
        OutputError: the store is not writable, or does not support exclusive access.
    """
    storage.probe_conditional_writes()
    held = _hold_folder(storage) if storage.local else _hold_bucket(storage, expiry_s)
    with held as lease, guarded_deletes(storage, lease.check):
        yield lease


@contextmanager
def _hold_folder(storage: Storage) -> Iterator["_FolderLease"]:
    storage.create(LOCK, b"")
    path = Path(storage.address(LOCK))
    # Python opens files close-on-exec, so a Ray process that outlives this one has no lock.
    with path.open("r+b") as locked:
        try:
            fcntl.flock(locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _refusal(storage, _last_holder(storage)) from None
        except OSError as error:
            raise OutputError(
                f"{storage.root} is on a file system that does not support locks: {error.strerror}",
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
        """See `Lease`. The lease is lost only if the lock file is removed."""
        with suppress(FileNotFoundError):
            if os.path.samestat(self.path.stat(), os.fstat(self.locked.fileno())):
                return
        raise RunLocked(
            f"{self.path} was removed during this run",
            "make sure that no other process uses this run folder, and run again",
        )

    def ask(self) -> None:
        """See `Lease`."""
        self.check()


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
    """Wait until the lease is free and take it: the new holder, its ETag, and when it was sent."""
    storage.create(RECORD, replace(_holder(0, expiry_s), released=True).to_json())
    first_seen: str | None = None
    unchanged_since = 0.0
    while True:
        content, etag = storage.read_with_etag(RECORD)
        last = _parse(storage, content)
        if first_seen is None:
            first_seen, unchanged_since = etag, _now()  # after the read: the write was earlier
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
        # Counted from before the put: other drivers count from after they read it.
        self._mine_until = sent_at + me.expiry_s
        self._taken = False
        self._rewriting = threading.Lock()

    def ask(self) -> None:
        """See `Lease`."""
        if not self._taken:
            with suppress(OutputError):
                self._rewrite(released=False)
        self.check()

    def check(self) -> None:
        """See `Lease`. Also raises if no renewal succeeded for the expiry time."""
        if self._taken or _now() >= self._mine_until:
            how = (
                "was taken over by another" if self._taken else "could not renew its lease in time"
            )
            raise RunLocked(
                f"the driver of {self._storage.root} {how}",
                "run again: finished work is kept",
            )

    def renew_until_stopped(self) -> None:
        """Rewrite the record until `stopped`, or until another driver has it."""
        while not self._taken and not self.stopped.wait(self._me.expiry_s / _RENEWALS_PER_EXPIRY):
            # The next renewal may succeed; if none does, `check` raises after the expiry.
            with suppress(OutputError):
                self._rewrite(released=False)

    def release(self) -> None:
        """Let the next driver start at once. The record stays, as it holds the epoch."""
        if not self._taken:
            with suppress(OutputError):
                self._rewrite(released=True)

    def _rewrite(self, *, released: bool) -> None:
        with self._rewriting:
            sent_at = _now()
            me = replace(self._me, renewals=self._me.renewals + (not released), released=released)
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
    except (ValueError, TypeError):
        # No later epoch has answered anything, and a bucket's record is waited for in any case.
        epoch = _last_epoch(storage)
        _LOG.warning("%s is damaged; %d is the last epoch", storage.address(RECORD), epoch)
        return Holder(epoch, "an unknown host", 0, "an unknown time", EXPIRY_S)


def _last_epoch(storage: Storage) -> int:
    """The last epoch in the names of answers: no driver has written under a later one."""
    names = (stat.path.rsplit("/", 1)[-1] for stat in storage.list(PRIVATE))
    return max((int(found[1]) for name in names if (found := _EPOCH.match(name))), default=0)


def _refusal(storage: Storage, holder: Holder | None) -> RunLocked:
    who = f"process {holder.pid} on {holder.host}, since {holder.since}" if holder else "a driver"
    return RunLocked(
        f"{storage.root} is in use by {who}",
        "wait for that run, stop it, or choose another --output",
    )
