"""Kill child processes when this process ends, even if it is killed itself.

A killed process cannot clean up. An engine process that survives it would keep the GPU memory, and
the actor that Ray starts as a replacement would find none.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from multiprocessing.util import Finalize

LOOK_S = 0.05  # ours: interval between checks for new children, which take seconds to load

# `read` ends when the write end of the pipe is closed; the kernel closes it if this process dies.
_COLLECT_AND_KILL = 'while read -r pid; do set -- "$@" "$pid"; done; kill -KILL "$@" 2>/dev/null'


class KillWithParent:
    """Kills the included processes when this process ends, unless cancelled."""

    def __init__(self) -> None:
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _COLLECT_AND_KILL, "kill-with-parent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a signal to this process group must not reach the watcher
        )
        assert self._watcher.stdin is not None
        self._pids = self._watcher.stdin
        os.register_at_fork(after_in_child=self._pids.close)  # a child would keep the pipe open
        # At exit `multiprocessing` terminates its children and waits for them without a limit, and
        # an engine that was not closed ignores the signal. Close the pipe before that.
        self._at_exit = Finalize(None, self._pids.close, exitpriority=0)

    def include(self, pid: int) -> None:
        """Add a process to kill."""
        self._pids.write(f"{pid}\n".encode())
        self._pids.flush()

    @contextmanager
    def including_children(self) -> Iterator[None]:
        """Include the processes that `multiprocessing` starts in this context, within `LOOK_S`."""
        known, done = {child.pid for child in active_children()}, threading.Event()

        def watch() -> None:
            last = False
            while not last:
                last = done.wait(LOOK_S)
                for pid in {child.pid for child in active_children()} - known:
                    known.add(pid)
                    if pid is not None:
                        self.include(pid)

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            done.set()
            watching.join()

    def cancel(self) -> None:
        """Stop the watcher; the caller ends the processes itself."""
        self._at_exit.cancel()
        self._watcher.kill()
        self._watcher.communicate()
