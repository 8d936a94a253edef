"""Child processes end with their parent, even when it is killed."""

import subprocess
import sys

import psutil

from vitw_ray.inference.child_processes import KillWithParent

# Starts a child that sleeps, says its number, and waits to be killed.
PARENT = """
import subprocess, sys, time
from vitw_ray.inference.child_processes import KillWithParent
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
{will}
print(child.pid, flush=True)
time.sleep(60)
"""
# Is killed while it still waits for the child that it started.
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
# Comes to its end while a child that heeds no signal goes on.
ENDING_PARENT = """
import multiprocessing, signal, time
from vitw_ray.inference.child_processes import KillWithParent
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with KillWithParent().including_children():
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,), daemon=True).start()
"""


def killed_parent(program: str) -> psutil.Process:
    """The child of a parent that was killed."""
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
    will = "will = KillWithParent(); will.include(child.pid)"
    assert ends(killed_parent(PARENT.format(will=will)))


def test_a_child_ends_when_its_parent_is_killed_before_it_has_come_up():
    assert ends(killed_parent(STARTING_PARENT))


def test_a_parent_that_comes_to_its_end_does_not_wait_for_its_child():
    parent = subprocess.Popen([sys.executable, "-c", ENDING_PARENT])
    assert parent.wait(timeout=30) == 0


def test_a_will_that_was_revoked_kills_nobody():
    will = "will = KillWithParent(); will.include(child.pid); will.cancel()"
    child = killed_parent(PARENT.format(will=will))
    assert not ends(child, timeout_s=1)
    child.kill()


def test_a_child_that_is_gone_already_troubles_nobody():
    child = subprocess.Popen([sys.executable, "-c", ""])
    will = KillWithParent()
    will.include(child.pid)
    child.wait()
    will.cancel()
    assert will._watcher.returncode is not None  # nobody is left to wait
