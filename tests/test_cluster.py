"""How the package meets Ray: whose it is, who ends it, what an error may say."""

import pickle
import signal
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from vitw_ray import cluster
from vitw_ray.config import Execution
from vitw_ray.errors import ConfigError, RayFailed, StageFailed


@pytest.fixture
def nobody_connected(monkeypatch):
    monkeypatch.setattr(cluster, "_connection", None)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_a_run_is_local_unless_it_joins_a_cluster_or_finds_one(nobody_connected, monkeypatch):
    assert cluster.is_local()
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    assert not cluster.is_local()
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))
    assert not cluster.is_local()  # the caller's own: who knows how many nodes it has
    for connection, local in (("started", True), ("joined", False)):
        monkeypatch.setattr(cluster, "_connection", connection)
        assert cluster.is_local() == local


def test_what_the_caller_connected_to_is_not_ended(nobody_connected, monkeypatch):
    ended = []
    ray = SimpleNamespace(shutdown=lambda: ended.append(1))
    monkeypatch.setitem(sys.modules, "ray", ray)
    cluster.disconnect()
    assert not ended
    monkeypatch.setattr(cluster, "_connection", "joined")
    cluster.disconnect()
    cluster.disconnect()
    assert len(ended) == 1


def test_the_handler_of_sigterm_survives_the_start_of_ray():
    before = signal.getsignal(signal.SIGTERM)
    with cluster._own_sigterm():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) == before


def test_sigterm_while_ray_starts_is_an_interrupt_and_no_exit():
    with pytest.raises(KeyboardInterrupt), cluster._own_sigterm():
        sys.exit(15)  # as Ray's own handler does


class Starving:
    """A Ray whose start fails some times."""

    def __init__(self, failures: int) -> None:
        self.failures, self.given, self.ended = failures, [], 0

    def is_initialized(self) -> bool:
        return False

    def init(self, **given: object) -> None:
        self.given.append(given)
        if len(self.given) <= self.failures:
            raise Exception("The current node timed out during startup. This\n  could happen")

    def shutdown(self) -> None:
        self.ended += 1


@pytest.fixture
def starving(nobody_connected, monkeypatch):
    def make(failures: int) -> Starving:
        ray = Starving(failures)
        monkeypatch.setitem(sys.modules, "ray", ray)
        monkeypatch.setattr(cluster, "_temporary", None)
        return ray

    return make


def test_a_ray_that_does_not_start_in_time_is_started_once_more(starving, log_lines):
    ray = starving(1)
    cluster._init(Execution())
    assert cluster._connection == "started"
    first, second = (given["_temp_dir"] for given in ray.given)
    assert first != second  # what is left of the first try is in nobody's way
    assert log_lines == [
        "Ray did not start, again: Exception: The current node timed out during startup."
        " This could happen"
    ]


def test_a_ray_that_does_not_start_twice_is_an_error_with_a_fix(starving):
    ray = starving(2)
    with pytest.raises(RayFailed, match="does not start on this machine") as failed:
        cluster.connect(Execution())
    assert (len(ray.given), ray.ended) == (2, 2)
    assert "timed out" in failed.value.problem
    assert "/dev/shm" in failed.value.fix
    assert failed.value.__cause__ is failed.value.__context__ is None  # no traceback of Ray's
    assert cluster._connection is None


def test_a_cluster_that_cannot_be_joined_is_an_error_that_names_the_variable(starving, monkeypatch):
    ray = starving(1)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.9:6379")
    with pytest.raises(RayFailed, match=r"RAY_ADDRESS=10\.0\.0\.9:6379") as failed:
        cluster.connect(Execution())
    assert len(ray.given) == 1
    assert "unset RAY_ADDRESS" in failed.value.fix


@pytest.mark.parametrize("name", ["", "a-long-name-" * 12])
def test_rays_sockets_have_a_short_path_wherever_temporary_files_lie(monkeypatch, tmp_path, name):
    folder = tmp_path / name if name else Path("/tmp")
    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(cluster, "_temporary", None)
    made = cluster._private_temp_dir()
    session = "/session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store"
    assert len(made + session) <= 107
    assert Path(made).parent.stat().st_mode & 0o077 == 0
    cluster._temporary.cleanup()


def test_without_any_short_folder_the_error_names_the_setting(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(cluster, "_SHORT_TEMPORARY", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="TMPDIR"):
        cluster._private_temp_dir()


def test_a_package_that_a_node_lacks_is_named_with_the_command():
    def work(unit):
        import no_such_package  # noqa: F401  # pyright: ignore[reportMissingImports]

    failed = pickle.loads(cluster._Guarded(work)({"part": 3})["result"])
    assert isinstance(failed, StageFailed)
    assert "no_such_package is not installed on a node" in failed.problem
    assert "part=3" in failed.problem
    assert "pip install" in failed.fix


@pytest.mark.ray
def test_a_tally_counts_units_under_way_until_their_result_is_there(local_ray, monkeypatch):
    monkeypatch.setattr(cluster, "REPORT_EVERY_S", 0.0)
    tally = cluster.Tally()
    monkeypatch.setattr(cluster, "_TALLY_TIMEOUT_S", 60.0)  # its process starts
    tally.report("actor-1", "0-0", 5)
    tally.report("actor-1", "0-0", 9)  # the same unit, further on
    tally.report("actor-2", "0-16", 2)
    assert tally.rows() == 11
    tally.finish("0-0")
    assert tally.rows() == 2
    tally.report("actor-1", "0-32", 3)
    assert tally.rows() == 5


def test_a_thread_reports_every_few_seconds_and_not_every_row(monkeypatch):
    sent = []
    put = SimpleNamespace(remote=lambda *report: sent.append(report))
    tally = object.__new__(cluster.Tally)
    tally._reports, tally._finished, tally._last = SimpleNamespace(put=put), set(), {}
    clock = iter(range(100))
    monkeypatch.setattr(cluster.time, "monotonic", lambda: next(clock) / 10)  # ten rows a second
    for rows in range(100):
        tally.report("actor-1", "0-0", rows)
    assert len(sent) == 9.9 // cluster.REPORT_EVERY_S


GB = 10**9
TWO_NODES = [{"CPU": 8.0, "memory": 32.0 * GB}, {"CPU": 4.0, "memory": 16.0 * GB}]


@pytest.mark.parametrize(
    ("needed", "workers", "beside", "asked"),
    [
        (4 * GB, 12, 0, 0),  # no more than the memory of a CPU
        (6 * GB, 7, 0, 6 * GB),  # five on one node and two on the other
        (6 * GB, 8, 0, 0),  # they would wait for ever
        (6 * GB, 7, 5 * GB, 0),  # what others have asked for is taken
        (40 * GB, 1, 0, 0),
    ],
)
def test_memory_is_asked_where_a_share_is_too_little_and_the_cluster_has_it(
    monkeypatch, needed, workers, beside, asked
):
    monkeypatch.setattr(cluster, "node_resources", lambda: [*TWO_NODES, {"memory": 99.0 * GB}])
    assert cluster.memory_to_ask(needed, workers=workers, beside=beside) == asked
