"""Memory of a run with all its processes: the sum of PSS, sampled while it runs.

PSS counts a page that n processes share as 1/n of a page in each. So the sum over a process tree
counts libraries and Ray's shared object store (/dev/shm) once, whereas a sum of RSS counts them
once per worker. Linux only: it reads /proc.
"""

import re
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

EVERY_S = 0.5  # ours: a sample of 20 processes takes 20 ms; shorter peaks may be missed
PROC = Path("/proc")
# The session name on the command lines of Ray's daemons has the pid of the starting process.
_RAY_SESSION = re.compile(rb"/session_[0-9_-]+_([0-9]+)/")


@dataclass
class Peak:
    """The highest sum of all samples, and its breakdown by program."""

    bytes: int = 0
    by_name: dict[str, int] = field(default_factory=dict)  # name of the program -> bytes
    at_s: float = 0.0  # since the start of the command
    samples: int = 0

    def take(self, by_name: Mapping[str, int], at_s: float) -> None:
        """Add one sample."""
        self.samples += 1
        if sum(by_name.values()) > self.bytes:
            self.bytes, self.by_name, self.at_s = sum(by_name.values()), dict(by_name), at_s


def run_measured(command: Sequence[str], output: IO[bytes] | None = None) -> tuple[int, Peak]:
    """Run a command, with standard output to a file; return its exit code and peak memory."""
    peak, start = Peak(), time.monotonic()
    with subprocess.Popen(command, stdout=output) as process:
        while process.poll() is None:
            peak.take(sample(process.pid), time.monotonic() - start)
            time.sleep(EVERY_S)
    return process.returncode, peak


def sample(root: int) -> Counter[str]:
    """PSS of a process and its family, in bytes by program name."""
    found = Counter[str]()
    for pid in family(root):
        found[_read(pid, "comm").decode(errors="replace").strip()] += pss_bytes(pid)
    return found


def pss_bytes(pid: int) -> int:
    """PSS of one process; 0 if it has ended or belongs to another user."""
    match = re.search(rb"^Pss:\s+(\d+) kB", _read(pid, "smaps_rollup"), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def family(root: int) -> set[int]:
    """A process, its descendants, and the Ray daemons that one of them started, with descendants.

    The daemons may have left the process tree: the command that starts Ray soon exits.
    """
    parents = {pid: _parent(pid) for pid in _pids()}
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    started_by: dict[int, list[int]] = {}
    for pid in parents:
        for starter in set(_RAY_SESSION.findall(_read(pid, "cmdline"))):
            started_by.setdefault(int(starter), []).append(pid)
    members: set[int] = set()
    todo = [root]
    while todo:
        pid = todo.pop()
        if pid not in members:
            members.add(pid)
            todo += children.get(pid, []) + started_by.get(pid, [])
    return members


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def _parent(pid: int) -> int:
    # The name in parentheses can have any characters; state and parent follow the last ")".
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _read(pid: int, name: str) -> bytes:
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:  # it has ended, or is not readable
        return b""
