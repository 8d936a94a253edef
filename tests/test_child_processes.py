"""Child processes end with their parent, even if it is killed."""

import subprocess
import sys

import psutil

from vitw_ray.inference.child_processes import KillWithParent

# Starts a child that sleeps, prints its pid, and waits to be killed.
PARENT = """
import subprocess, sys, time
from vitw_ray.inference.child_processes import KillWithParent
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
{watcher}
print(child.pid, flush=True)
time.sleep(60)
"""
# Is killed while it waits for the child that it started.
STARTING_PARENT = """
import multiprocessing, time
from vitw_ray.inference.child_processes import KillWithParent, LOOK_S
with KillWithParent().including_children():
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    time.sleep(10 * LOOK_S)
    print(child.pid, flush=True)
    time.sleep(60)
"""
# Exits while a child that ignores signals is still running.
ENDING_PARENT = """
import multiprocessing, signal, time
from vitw_ray.inference.child_processes import KillWithParent
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with KillWithParent().including_children():
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True).start()
"""


def killed_parent(program: str) -> psutil.Process:
    """Run a program, kill it, and return its child."""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    parent.stdout.close()
    return child


def ends(process: psutil.Process, timeout_s: float = 30) -> bool:
    ended, _ = psutil.wait_procs([process], timeout=timeout_s)
    return bool(ended)


def test_a_child_ends_when_its_parent_is_killed():
    watcher = "watcher = KillWithParent(); watcher.include(child.pid)"
    assert ends(killed_parent(PARENT.format(watcher=watcher)))


def test_a_child_ends_when_its_parent_is_killed_during_the_childs_start():
    assert ends(killed_parent(STARTING_PARENT))


def test_a_parent_that_exits_does_not_wait_for_its_child():
    parent = subprocess.Popen([sys.executable, "-c", ENDING_PARENT])
    assert parent.wait(timeout=30) == 0


def test_a_cancelled_watcher_kills_no_process():
    watcher = "watcher = KillWithParent(); watcher.include(child.pid); watcher.cancel()"
    child = killed_parent(PARENT.format(watcher=watcher))
    assert not ends(child, timeout_s=1)
    child.kill()


def test_a_child_that_has_ended_already_is_no_problem():
    child = subprocess.Popen([sys.executable, "-c", ""])
    watcher = KillWithParent()
    watcher.include(child.pid)
    child.wait()
    watcher.cancel()
    assert watcher._watcher.returncode is not None  # no zombie process remains
