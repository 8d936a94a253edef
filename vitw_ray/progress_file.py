"""What the driver of a run says of itself, for `vitw status` on another machine.

`private/progress.json` is rewritten every ten seconds: the stages and their folders, what is under
way and how far, and how the run ended. It holds counts, file names and codes, never text. The
thread that writes it also ends a run that does nothing for a stated time.
"""

import json
import os
import socket
import threading
import time
from _thread import interrupt_main
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from vitw_ray import cluster, progress
from vitw_ray.errors import OutputError, Stopped, VitwRayError
from vitw_ray.lease import PROGRESS
from vitw_ray.progress import log
from vitw_ray.storage import Storage

EVERY_S = 10.0  # ours: as often as a log line
READING = "extractions"
"""The stage that a forecast is of."""
WINDOW_S = 300.0  # ours: rates are over the last five minutes


class ProgressFile:
    """Writes `private/progress.json` while a run works."""

    def __init__(self, storage: Storage, stall_s: float) -> None:
        """Write for a run that is ended when nothing happens for so long."""
        self._storage, self._stall_s = storage, stall_s
        self._samples: deque[tuple[float, int]] = deque()
        self._part: str | None = None
        self._since = self._moved = time.time()
        self._stages: dict[str, dict[str, Any]] = {}
        self._stage: str | None = None
        self._ended = threading.Event()
        self._main = threading.current_thread() is threading.main_thread()
        self.forecast: dict[str, Any] | None = None
        """What the run will take, as it said when it started."""
        self._compared = _earlier(storage)
        self.stalled: str | None = None  # what stood still, once the run was ended for it
        progress.spent.clear()

    def plan(self, stages: list[tuple[int, str, str]]) -> None:
        """Say which stages there are: number, name and folder of each."""
        for number, name, folder in stages:
            self._stages[name] = {"number": number, "name": name, "folder": folder}

    def at(self, stage: str, folder: str) -> None:
        """Say which stage is looked at now, and its folder."""
        self._stage = self._part = stage
        self._stages[stage]["folder"] = folder
        if stage == READING and self.forecast is not None:
            self._compared = {**self.forecast, "folder": folder}
        self._moved = time.time()

    def write(self, state: str, error: str | None = None) -> None:
        """Write how far the run is. What cannot be written now is written the next time."""
        now = time.time()
        part = progress.current()
        self._sample(now, part)
        content = {
            "state": state,
            "error": error,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": self._since,
            "updated": now,
            "stage": self._stage,
            "part": part,
            "samples": [[round(at, 1), done] for at, done in self._samples],
            "tokens": dict(progress.spent),
            "stages": list(self._stages.values()),
            "forecast": self._compared,
        }
        with suppress(OutputError):
            self._storage.write(PROGRESS, json.dumps(content).encode() + b"\n")

    def _sample(self, now: float, part: dict[str, Any] | None) -> None:
        name, done = (part["part"], part["done"]) if part else (self._stage, 0)
        if name != self._part:
            self._part, self._moved = name, now
            self._samples.clear()
        if self._samples and done != self._samples[-1][1]:
            self._moved = now
        self._samples.append((now, done))
        while self._samples[0][0] < now - WINDOW_S:
            self._samples.popleft()

    def _write_until_ended(self) -> None:
        while not self._ended.wait(EVERY_S):
            self.write("running")
            idle = time.time() - self._moved
            if self._main and idle >= self._stall_s:
                self.stalled = _waiting(self._stage, idle)
                interrupt_main()
                return

    @contextmanager
    def writing(self) -> Iterator["ProgressFile"]:
        """Write until the block ends, and then how it ended."""
        thread = threading.Thread(target=self._write_until_ended, name="status", daemon=True)
        self.write("running")
        thread.start()
        state, error = "finished", None
        try:
            yield self
        except (KeyboardInterrupt, Stopped):
            state, error = ("failed", self.stalled) if self.stalled else ("stopped", None)
            raise
        except VitwRayError as failure:
            state, error = "failed", failure.problem
            raise
        except BaseException as failure:
            state, error = "failed", type(failure).__name__  # the message may quote a row
            raise
        finally:
            self._ended.set()
            thread.join(EVERY_S)
            self.write(state, error)


def _earlier(storage: Storage) -> dict[str, Any] | None:
    """The forecast of an earlier run, which holds as long as its stage stands."""
    with suppress(FileNotFoundError, OutputError, ValueError, AttributeError):
        return json.loads(storage.read(PROGRESS)).get("forecast")
    return None


def _waiting(stage: str | None, idle: float) -> str:
    """What a run waits for that does nothing."""
    part = progress.current()
    line = f"; its last line: {part['line']}" if part else ""
    has: Callable[[], str] = cluster.which_ray
    ray = ""
    with suppress(Exception):  # a cluster that does not answer is what the run waits for
        ray = f"; {has()}"
    log.warning("%s: nothing has come back for %.0f s", stage, idle)
    return f"the stage {stage} has done nothing for {idle / 60:,.0f} minutes{line}{ray}"
