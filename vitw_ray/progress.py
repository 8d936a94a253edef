"""What a person sees while a run works: log lines with counts and rates, never rows."""

import logging
import sys
import time

log = logging.getLogger("vitw_ray")
LINE_EVERY_S = 10.0  # ours: alive, but a night's log stays readable


def set_up_logging() -> None:
    """Send log lines to standard error; standard output is for the plan and the last line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


class Progress:
    """Counts rows of one stage and logs a line now and then."""

    def __init__(self, stage: str, total: int | None = None) -> None:
        self.stage = stage
        self.total = total
        self.done = 0
        self.failed = 0
        self._start = self._last = time.monotonic()
        self._last_done = 0

    def add(self, rows: int, failed: int = 0) -> None:
        """Count rows, and say so when the last line is old enough."""
        self.done += rows
        self.failed += failed
        now = time.monotonic()
        if now - self._last >= LINE_EVERY_S:
            log.info(self._line(now))
            self._last, self._last_done = now, self.done

    def _line(self, now: float) -> str:
        rate = self.done / (now - self._start)
        recent = (self.done - self._last_done) / (now - self._last)
        line = f"{self.stage}: {self.done:,}"
        if self.total:
            line += f" of {self.total:,} rows, {rate:,.1f} rows/s (now {recent:,.1f})"
            line += f", {(self.total - self.done) / rate:,.0f} s to go" if rate else ""
        else:
            line += f" rows, {rate:,.1f} rows/s (now {recent:,.1f})"
        return line + (f", {self.failed:,} failed" if self.failed else "")
