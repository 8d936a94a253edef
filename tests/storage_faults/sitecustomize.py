"""Makes the storage of a run fail at random places; loaded by every Python process of a test's job.

VITW_FAULTS names a file to which each fault is written, and VITW_FAULT_SHARE the share of the
operations that fail, some of them more often in a row than one process tries.
"""

import errno
import importlib.abc
import importlib.machinery
import os
import random
import sys
from pathlib import Path

IN_A_ROW = (1, 1, 2, 3)
OF_A_WORKER = (1, 2, 5)  # its unit is then done again


class _Patching(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "vitw_ray.retries":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def run_and_patch(module):
            run(module)
            _patch(module)

        spec.loader.exec_module = run_and_patch
        return spec


def _patch(retries):
    as_it_is, chance = retries.patiently, random.Random(os.getpid())
    in_a_row = OF_A_WORKER if any("default_worker" in word for word in sys.argv) else IN_A_ROW
    share, log = float(os.environ["VITW_FAULT_SHARE"]), os.environ["VITW_FAULTS"]

    def faulty(operation):
        left = chance.choice(in_a_row) if chance.random() < share else 0

        def once():
            nonlocal left
            if left:
                left -= 1
                with Path(log).open("a") as file:
                    file.write(f"{os.getpid()}\n")
                raise OSError(errno.EIO, "Input/output error")
            return operation()

        return as_it_is(once)

    retries.patiently = faulty


if "VITW_FAULTS" in os.environ:
    sys.meta_path.insert(0, _Patching())
