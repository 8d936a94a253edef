"""CPU seconds, wall seconds and memory of a command with all its processes, from /proc.

CPU is what each process had used when it was last seen, so up to `EVERY_S` of a process's last work
is missed; memory is the highest sum of PSS (`memory.py`).
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from memory import family, pss_bytes

EVERY_S = 0.2  # ours: a look at all processes takes about 10 ms
MEMORY_EVERY = 4  # ours: PSS costs more than CPU seconds, and moves less
GONE_S = 15.0  # ours: what outlives its killed driver for longer is killed
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What a command used, and its exit code; negative: the signal that ended it."""

    code: int
    cpu_s: float
    wall_s: float
    peak_bytes: int


def run(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    kill_when: Callable[[], bool] | None = None,
) -> Usage:
    """Run a command to its end, or until `kill_when`: then SIGKILL ends it, not its children."""
    spent: dict[tuple[int, int], float] = {}
    peak, looks, start = 0, 0, time.monotonic()
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    while process.poll() is None:
        if kill_when and kill_when():
            process.kill()
            break
        members = family(process.pid)
        spent.update(used for pid in members if (used := _cpu(pid)))
        if looks % MEMORY_EVERY == 0:
            peak = max(peak, sum(map(pss_bytes, members)))
        looks += 1
        time.sleep(EVERY_S)
    code, wall_s = process.wait(), time.monotonic() - start
    _end(spent)
    return Usage(code, sum(spent.values()), wall_s, peak)


def _cpu(pid: int) -> tuple[tuple[int, int], float] | None:
    """A process, by id and time of its start, and the CPU seconds it has used; None: it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name in parentheses can have any characters; the state follows the last ")".
    fields = stat.rpartition(b")")[2].split()
    if fields[0] == b"Z":
        return None
    return (pid, int(fields[19])), (int(fields[11]) + int(fields[12])) / TICKS


def _end(processes: Mapping[tuple[int, int], float]) -> None:
    """Wait until these processes are gone; kill those that stay."""
    until = time.monotonic() + GONE_S
    while alive := [process for process in processes if _is_alive(process)]:
        if time.monotonic() > until:
            for pid, _ in alive:
                os.kill(pid, signal.SIGKILL)
            until += GONE_S
        time.sleep(EVERY_S)


def _is_alive(process: tuple[int, int]) -> bool:
    used = _cpu(process[0])
    return used is not None and used[0] == process
