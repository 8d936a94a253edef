"""Child processes that do not outlive this one, however it ends.

A process that is killed cannot clean up, and what it had started goes on: an engine would keep its
GPU's memory, and the actor that Ray starts instead would find none.
"""

import subprocess
from collections.abc import Iterable

# Reading ends when the writing end is gone, which the kernel sees to.
_WAIT_AND_KILL = 'read -r _; kill -KILL "$@" 2>/dev/null'


class LastWill:
    """Kills processes when this one ends, unless it is revoked before."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._executor = subprocess.Popen(
            ["/bin/sh", "-c", _WAIT_AND_KILL, "last-will", *map(str, pids)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends this process's group must not end it
        )

    def revoke(self) -> None:
        """Forget it: the processes are ended in another way."""
        self._executor.kill()
        self._executor.communicate()
