"""Child processes that do not outlive this one, however it ends.

A process that is killed cannot clean up, and what it had started goes on: an engine would keep its
GPU's memory, and the actor that Ray starts instead would find none.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from multiprocessing.util import Finalize

LOOK_S = 0.05  # between looks for new children (ours: they load for seconds)

# Reading ends when the writing end is gone, which the kernel sees to.
_COLLECT_AND_KILL = 'while read -r pid; do set -- "$@" "$pid"; done; kill -KILL "$@" 2>/dev/null'


class KillWithParent:
    """Kills processes when this one ends, unless it is cancelled before."""

    def __init__(self) -> None:
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _COLLECT_AND_KILL, "kill-with-parent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends this process's group must not end it
        )
        assert self._watcher.stdin is not None
        self._pids = self._watcher.stdin
        os.register_at_fork(after_in_child=self._pids.close)  # else a child would hold it open
        # Before `multiprocessing` waits for children at the end of a process, for as long as it
        # takes: an engine that nobody has closed does not heed the signal that they get.
        self._at_exit = Finalize(None, self._pids.close, exitpriority=0)

    def include(self, pid: int) -> None:
        """Have this process killed too."""
        self._pids.write(f"{pid}\n".encode())
        self._pids.flush()

    @contextmanager
    def including_children(self) -> Iterator[None]:
        """Include what `multiprocessing` starts meanwhile, within `LOOK_S` of its start."""
        known, done = {child.pid for child in active_children()}, threading.Event()

        def look() -> None:
            last = False
            while not last:
                last = done.wait(LOOK_S)
                for pid in {child.pid for child in active_children()} - known:
                    known.add(pid)
                    if pid is not None:
                        self.include(pid)

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield
        finally:
            done.set()
            looking.join()

    def cancel(self) -> None:
        """Stand down: the processes are ended in another way."""
        self._at_exit.cancel()
        self._watcher.kill()
        self._watcher.communicate()
