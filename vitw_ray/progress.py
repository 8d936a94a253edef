"""What a person sees while a run works: log lines with counts and rates, never rows."""

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Self

from vitw_ray.inert import on_terminal

log = logging.getLogger("vitw_ray")
LINE_EVERY_S = 10.0  # ours: alive, but a night's log stays readable
_TICK_S = 1.0  # ours: a line is late by this at most
spent: Counter[str] = Counter()
"""Tokens that models have read and written in this run."""
_active: "list[Progress]" = []  # the innermost is last, and the only one that logs


class _OnTerminal(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return on_terminal(super().format(record))


def set_up_logging() -> None:
    """Send log lines to standard error; standard output is for the plan and the last line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OnTerminal("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def current() -> dict[str, Any] | None:
    """What the innermost part counts now, and its line; None between parts."""
    for active in _active[-1:]:
        return active.snapshot()
    return None


class Progress:
    """Counts what one part of a run has done and logs a line every ten seconds.

    In a `with` block it logs while nothing comes back, too. Blocks may be nested: the inner one
    logs.

    A rate, and the time left, are given once they are known. They count new work alone, from the
    arrival of the first of it on: loading a model takes minutes and says nothing about its speed,
    and neither does what an earlier run has left.
    """

    def __init__(
        self,
        part: str,
        total: int | None = None,
        *,
        unit: str = "rows",
        waiting: str = "at work",
        left_before: int = 0,
        under_way: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the count.

        Args:
            part: the stage, or a part of it; heads every line.
            total: units to do, where that is known.
            unit: what is counted, in the plural.
            waiting: what a line says as long as nothing has come back.
            left_before: units, at most, that an earlier run has left; they cost no time.
            under_way: new units that are done and have not come back; asked once per line.
            clock: seconds, from any start.
        """
        self.done = self.failed = self.reused = 0
        self._part, self._total, self._unit = part, total, unit
        self._waiting, self._left_before, self._clock = waiting, left_before, clock
        self._under_way = under_way
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._start = self._last_line = clock()
        self._first_new: tuple[float, int] | None = None  # when it came, and how much it was
        self._new_at_last_line = 0

    def __enter__(self) -> Self:
        """Log from now on, whether something comes back or not."""
        _active.append(self)
        threading.Thread(target=self._tick_until_ended, name="progress", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Say no more; an outer block that logs again waits its ten seconds."""
        self._ended.set()
        _active.remove(self)
        for outer in _active:
            outer._last_line = max(outer._last_line, self._last_line)

    def add(self, done: int, failed: int = 0, reused: int = 0) -> None:
        """Count what came back; `reused` of it was left by an earlier run."""
        with self._lock:
            self.done += done
            self.failed += failed
            self.reused += reused
            self._note_first(self._clock(), self.done - self.reused)
            self.tick()

    def tick(self) -> None:
        """Log a line when the last one is old enough."""
        with self._lock:
            now = self._clock()
            innermost = _active[-1:] in ([], [self])
            if innermost and now - self._last_line >= LINE_EVERY_S:
                under_way = self._under_way() if self._under_way else 0
                new = self.done - self.reused + under_way
                self._note_first(now, new)
                log.info(self._line(now, new))
                self._last_line, self._new_at_last_line = now, new

    def snapshot(self) -> dict[str, Any]:
        """Counts, as they are now, and the line that would be logged."""
        with self._lock:
            under_way = self._under_way() if self._under_way else 0
            return {
                "part": self._part,
                "done": self.done + under_way,
                "total": self._total,
                "failed": self.failed,
                "reused": self.reused,
                "unit": self._unit,
                "line": self._line(self._clock(), self.done - self.reused + under_way),
            }

    def _note_first(self, now: float, new: int) -> None:
        if new and self._first_new is None:
            self._first_new = now, new

    def _tick_until_ended(self) -> None:
        while not self._ended.wait(_TICK_S):
            self.tick()

    def _line(self, now: float, new: int) -> str:
        elapsed = f" ({now - self._start:,.0f} s)"
        done = new + self.reused
        if not done:
            return f"{self._part}: {self._waiting}{elapsed}"
        line = f"{self._part}: {done:,}"
        line += f" of {self._total:,} {self._unit}" if self._total else f" {self._unit}"
        line += f", {self.reused:,} of them reused" if self.reused else ""
        line += self._speed(now, new) or elapsed
        return line + (f", {self.failed:,} failed" if self.failed else "")

    def _speed(self, now: float, new: int) -> str:
        since, first = self._first_new or (now, new)
        if new <= first or now <= since:
            return ""
        rate = (new - first) / (now - since)
        recent = rate
        if since < self._last_line:
            recent = max(0, new - self._new_at_last_line) / (now - self._last_line)
        line = f", {rate:,.1f} {self._unit}/s (now {recent:,.1f})"
        if self._total:
            left = self._total - new - self.reused - max(0, self._left_before - self.reused)
            line += f", {max(0, left) / rate:,.0f} s to go"
        return line
