"""One driver per run folder, whatever happened to the previous one, in folders and buckets."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from vitw_ray import lease as lease_module
from vitw_ray.errors import OutputError, RunLocked
from vitw_ray.lease import EXPIRY_S, RECORD, acquire
from vitw_ray.storage import Storage

SHORT_S = 1.0  # ours: for holders that should lose their lease
LIVE_S = 3.0  # ours: for holders that should keep it, on a busy machine


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.s3)])
def storage(request, tmp_path):
    if request.param == "folder":
        return Storage(str(tmp_path / "run"))
    return Storage(request.getfixturevalue("s3_server").new_bucket() + "/run")


@pytest.fixture
def folder(tmp_path):
    return Storage(str(tmp_path / "run"))


@pytest.fixture
def bucket(s3_server):
    return Storage(s3_server.new_bucket() + "/run")


HOLDER = """
import subprocess, sys, time
from vitw_ray.lease import acquire
from vitw_ray.storage import Storage
with acquire(Storage(sys.argv[1]), expiry_s=float(sys.argv[2])) as lease:
    child = subprocess.Popen(["sleep", "60"])  # outlives the driver, as processes of Ray may
    print(lease.epoch, child.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def killed_holder(storage):
    """The epoch of a driver that was killed with SIGKILL, while its child is alive."""
    command = [sys.executable, "-c", HOLDER, storage.root, str(SHORT_S)]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    epoch, child = map(int, driver.stdout.readline().split())
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    yield epoch
    os.kill(child, signal.SIGKILL)


def test_every_driver_has_a_larger_epoch_than_the_one_before(storage):
    epochs = []
    for _ in range(3):
        with acquire(storage) as lease:
            epochs.append(lease.epoch)
    assert epochs == [1, 2, 3]


def test_a_second_driver_gets_the_name_of_the_first(storage):
    with acquire(storage, LIVE_S) as lease:
        who = f"process {os.getpid()} on {socket.gethostname()}, since 20"
        with pytest.raises(RunLocked, match=who), acquire(storage, LIVE_S):
            pass
        lease.check()
    with acquire(storage) as lease:
        assert lease.epoch == 2


def test_a_driver_that_fails_releases_the_run(storage):
    with suppress(ZeroDivisionError), acquire(storage):
        _ = 1 / 0
    started = time.monotonic()
    with acquire(storage) as lease:
        assert lease.epoch == 2
    assert time.monotonic() - started < EXPIRY_S / 2


def test_a_killed_driver_does_not_block_the_next(storage, killed_holder):
    started = time.monotonic()
    with acquire(storage) as lease:
        waited_s = time.monotonic() - started
        assert lease.epoch == killed_holder + 1
        lease.check()
    assert waited_s < (EXPIRY_S / 2 if storage.local else SHORT_S + EXPIRY_S / 4)


def test_exactly_one_of_several_drivers_replaces_a_killed_one(storage, killed_holder):
    done = threading.Barrier(4, timeout=30)

    def drive(_):
        try:
            with acquire(storage, SHORT_S) as lease:
                done.wait()
                return lease.epoch
        except RunLocked:
            done.wait()
            return None

    with ThreadPoolExecutor(4) as pool:
        epochs = list(pool.map(drive, range(4)))
    assert sorted(epochs, key=bool) == [None, None, None, killed_holder + 1]


def test_a_damaged_record_does_not_restart_the_epochs_of_committed_answers(folder):
    folder.write("private/answers-0/of-00001/00000/e00000007-1-a.parquet", b"")
    folder.write(RECORD, b'{"epoch": 7')
    with acquire(folder) as lease:
        assert lease.epoch == 8


@pytest.mark.s3
def test_a_store_that_cannot_keep_drivers_apart_is_refused(s3_server):
    storage = Storage(s3_server.new_bucket("ignored") + "/run")
    with pytest.raises(OutputError, match="ignores conditional writes"), acquire(storage):
        pass


def test_removing_the_lock_file_stops_the_holder(folder):
    with acquire(folder) as lease:
        lease.check()
        folder.delete_prefix("private")
        with acquire(folder), pytest.raises(RunLocked, match="was removed"):
            lease.check()


@pytest.mark.s3
def test_a_working_driver_keeps_its_lease_beyond_its_expiry(bucket):
    with acquire(bucket, LIVE_S) as lease:
        _check_for(lease, 1.2 * LIVE_S)


@pytest.mark.s3
def test_a_driver_that_stops_renewing_is_replaced_and_notices(bucket):
    with acquire(bucket, SHORT_S) as lease:
        lease.stopped.set()  # no more renewals, as in a stopped process
        with acquire(bucket, SHORT_S) as successor:
            assert successor.epoch == lease.epoch + 1
            with pytest.raises(RunLocked, match="could not renew"):
                lease.check()
    with acquire(bucket, SHORT_S) as third:  # the late release did not affect the successor
        assert third.epoch == successor.epoch + 1


@pytest.mark.s3
def test_a_driver_cut_off_from_the_store_stops_itself_before_it_can_be_replaced(
    bucket, monkeypatch
):
    with acquire(bucket, SHORT_S) as lease:

        def cut_off(self, path, data, etag):
            raise OutputError("no route", "wait")

        monkeypatch.setattr(Storage, "replace", cut_off)
        cut_at = time.monotonic()
        with pytest.raises(RunLocked, match="could not renew"):
            _check_for(lease, 3 * SHORT_S)
        assert time.monotonic() - cut_at < 2 * SHORT_S
        monkeypatch.undo()


@pytest.mark.s3
def test_a_driver_whose_record_was_rewritten_stops_at_its_next_renewal(bucket):
    with acquire(bucket, SHORT_S) as lease:
        taken = lease_module.Holder(9, "elsewhere", 1, "", SHORT_S)
        bucket.write(RECORD, taken.to_json())
        time.sleep(SHORT_S / 2)
        with pytest.raises(RunLocked, match="taken over"):
            lease.check()
    with acquire(bucket, SHORT_S) as next_lease:
        assert next_lease.epoch == 10


@pytest.mark.s3
def test_the_clocks_of_two_machines_need_not_agree(bucket, monkeypatch):
    with acquire(bucket, LIVE_S) as lease:
        here = lease_module._now
        monkeypatch.setattr(lease_module, "_now", lambda: here() + 1e6 * (_is_contender()))
        with ThreadPoolExecutor(1, thread_name_prefix="contender") as pool:
            refusal = pool.submit(_try, bucket).result()
        assert isinstance(refusal, RunLocked)
        lease.check()


def _check_for(lease, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        lease.check()
        time.sleep(0.01)


def _is_contender():
    return threading.current_thread().name.startswith("contender")


def _try(storage):
    try:
        with acquire(storage, LIVE_S):
            return None
    except RunLocked as refusal:
        return refusal
