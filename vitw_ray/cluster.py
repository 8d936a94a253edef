"""The interface to Ray: join a cluster or start a local one, and stream units of work through it.

A unit is a small dict with the location of rows, never text: a worker reads its own rows and
returns counts. If a function fails on a worker, the run fails with the unit's location and the type
of the error, never with the content of a row. A unit that fails by storage is tried again when the
others are done, where Ray can on another node.
"""

import logging
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from vitw_ray.config import Execution
from vitw_ray.errors import (
    ConfigError,
    MayPass,
    RayFailed,
    StageFailed,
    StorageFailed,
    VitwRayError,
)
from vitw_ray.progress import log
from vitw_ray.retries import may_pass

Unit = dict[str, Any]
LOCAL_CPUS = (
    4  # minimum of logical CPUs (ours: actors and tasks never wait for each other's last CPU)
)

START_ATTEMPTS = 2  # ours: on a starved machine the files are in memory the second time
_LONGEST_FAILURE = 200  # ours: characters of what Ray says
_NODE_GROUP = "ray.io/node-group"  # label of nodes that `ray up` or KubeRay has started
ROUND_WAITS_S = (2.0, 10.0, 30.0)  # ours: before units that failed by storage are tried again

# Read by Ray at start-up: no re-installation in each worker by `uv run`; workers with the driver's
# priority; no usage statistics sent to a third party.
_ENVIRONMENT = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
# A Ray of one machine listens on loopback, as it does on Windows and macOS; read at its import.
_ON_LOOPBACK = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
# One thread per worker for arithmetic, as one worker runs on each core.
_WORKER_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

_connection: Literal["joined", "started"] | None = None  # what `connect` did; None: nothing
_temporary: tempfile.TemporaryDirectory[str] | None = None  # of the Ray that was started
# Ray appends /session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store to a folder in it.
_LONGEST_TEMPORARY = 24
_SHORT_TEMPORARY = "/tmp"
_unfinished: list[Generator[Unit, None, None]] = []  # rows of executions that somebody still reads


def connect(execution: Execution) -> None:
    """Join the cluster that the job was submitted to, or start Ray on this machine.

    Raises:
        RayFailed: there is no cluster to join, or Ray does not start, also not the second time.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "RAY_ADDRESS" not in os.environ:
        os.environ.setdefault(*_ON_LOOPBACK)
    import ray

    if ray.is_initialized():
        return
    with _own_sigterm():
        _init(execution)
    log.info("%s", which_ray())
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # our own lines say how far we are
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def _init(execution: Execution) -> None:
    import ray

    global _connection
    given: dict[str, Any] = {
        "runtime_env": {"env_vars": _WORKER_ENVIRONMENT},
        "log_to_driver": False,
        "logging_level": logging.WARNING,
    }
    if "RAY_ADDRESS" in os.environ:
        failure = _attempt(lambda: ray.init(**given))
        if failure:
            address = os.environ["RAY_ADDRESS"]
            raise RayFailed(
                f"Ray cannot join the cluster at RAY_ADDRESS={address}: {failure}",
                "see that its head runs there, with the Ray and Python of this environment, or"
                " unset RAY_ADDRESS to work on this machine",
            )
        _connection = "joined"
    else:
        _start(execution, given)
        _connection = "started"


def _start(execution: Execution, given: Mapping[str, Any]) -> None:
    """Start Ray on this machine."""
    import ray

    # The actors of Ray Data cause a warning of Ray that users cannot act on.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    needed = int(execution.actors * execution.cpus_per_actor) + 1
    failure = ""
    for left in reversed(range(START_ATTEMPTS)):
        folder = _private_temp_dir()
        failure = _attempt(
            lambda folder=folder: ray.init(
                address="local",  # never a Ray that somebody else has started on this machine
                num_cpus=max(LOCAL_CPUS, os.cpu_count() or 1, needed),
                object_store_memory=execution.object_store_mb * 2**20,
                include_dashboard=False,
                _temp_dir=folder,
                **given,
            )
        )
        if not failure:
            return
        ray.shutdown()
        if left:
            log.warning("Ray did not start, again: %s", failure)
    raise RayFailed(
        f"Ray does not start on this machine: {failure}",
        "see that other programs leave it processor time, memory and space in /dev/shm and TMPDIR,"
        " and run the same command again; or set RAY_ADDRESS to join a cluster",
    )


def _attempt(start: Callable[[], object]) -> str:
    """Have Ray start or join; what it says where that fails, else nothing."""
    try:
        start()
    except Exception as error:  # Ray raises plain `Exception`, without a class of its own
        said = " ".join(str(error).split())[:_LONGEST_FAILURE]
        return f"{type(error).__name__}: {said}"
    return ""


def which_ray() -> str:
    """The Ray that the run works on, for a log line."""
    nodes = node_resources()
    held = {name: sum(node.get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
    has = ", ".join(f"{count:,.0f} {name}s" for name, count in held.items() if count)
    if is_local():
        return f"ray: started on this machine, with {has}; set RAY_ADDRESS to join a cluster"
    return f"ray: joined {os.environ.get('RAY_ADDRESS', 'the cluster')}, {len(nodes)} nodes, {has}"


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Let SIGTERM do what it did: Ray has it end the process, whatever is to be released first."""
    handler = signal.getsignal(signal.SIGTERM) or signal.SIG_DFL
    try:
        yield
    except SystemExit:  # Ray's handler, while Ray starts
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


def disconnect() -> None:
    """Leave the cluster that `connect` joined, or end the Ray that it started."""
    global _connection, _temporary
    for results in tuple(_unfinished):  # Ray Data's own threads must not outlive the connection
        results.close()
    if _connection is not None:
        import ray

        ray.shutdown()
        if _connection == "started" and _temporary is not None:
            _temporary.cleanup()
            _temporary = None
        _connection = None


def is_local() -> bool:
    """Whether a run works on this machine alone: in a Ray of its own, started or yet to start."""
    if _connection is not None:
        return _connection == "started"
    return "RAY_ADDRESS" not in os.environ and not _ray_is_there()


def _ray_is_there() -> bool:
    """Whether the caller has connected to Ray; does not import it to find out."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


def node_resources() -> list[dict[str, float]]:
    """What each node of the cluster has at present, by Ray's names: CPU, GPU and others."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def may_grow() -> bool:
    """Whether something may add nodes: the cluster was made by Ray's autoscaler or KubeRay."""
    import ray

    return any(_NODE_GROUP in node.get("Labels", {}) for node in ray.nodes() if node["Alive"])


def memory_to_ask(needed: int, *, workers: int = 1, beside: int = 0) -> int:
    """Bytes that each of some workers asks of Ray, so that no node gets more than it can hold.

    It is 0 where a worker needs no more than the memory of a CPU of its node, and where the cluster
    cannot hold all of them at once: a request that cannot be met would wait for ever.

    Args:
        needed: bytes of each worker.
        workers: that are there at once.
        beside: bytes that others have asked for.
    """
    nodes = [node for node in node_resources() if node.get("CPU")]
    share = min((node.get("memory", 0) / node["CPU"] for node in nodes), default=0)
    if needed <= share:
        return 0
    places = sum(int(max(0, node.get("memory", 0) - beside) // needed) for node in nodes)
    if places < workers:
        have = sum(node.get("memory", 0) for node in nodes)
        log.warning(
            "%d workers need %.1f GB each, and the cluster has %.1f GB: none is reserved",
            workers,
            needed / 1e9,
            have / 1e9,
        )
        return 0
    return needed


def on_each_node(function: Callable[[], Any], timeout_s: float) -> dict[str, Any]:
    """Results of a function that every node of the cluster runs, by the node's address.

    A node that has not answered in time is not in it.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task: Any = ray.remote(num_cpus=0)(_called)
    asked = {
        task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(function): node["NodeManagerAddress"]
        for node in ray.nodes()
        if node["Alive"]
    }
    answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=timeout_s)
    return {asked[one]: ray.get(one) for one in answered}


def _called(function: Callable[[], Any]) -> Any:
    return function()


def stream(
    units: Sequence[Unit], function: Callable[[Unit], Any], *, memory: int = 0
) -> Iterator[Any]:
    """Run a function once per unit, as tasks of one CPU; yield results as they arrive.

    Each task asks Ray for so many bytes of `memory`; 0: for none (see `memory_to_ask`).
    """
    if not units:
        return
    import ray.data

    asked = {"memory": memory} if memory else {}

    def execute(left: Sequence[Unit], options: Mapping[str, Any]) -> Any:
        dataset = ray.data.from_items(list(left), override_num_blocks=len(left))
        return dataset.map(_Guarded(function), num_cpus=1, **asked, **options)

    yield from _in_rounds(units, execute)


def stream_through_actors(
    units: Sequence[Unit],
    actor: type,
    *,
    arguments: Mapping[str, Any],
    execution: Execution,
    concurrent_units: int = 1,
) -> Iterator[Any]:
    """Run each unit on one of a fixed number of actors that hold a model.

    `actor` is a class whose constructor takes `arguments` and whose `__call__` takes a unit. It is
    called from `concurrent_units` threads concurrently.
    """
    if not units:
        return
    import ray.data

    guarded: Any = _GuardedActor  # Ray's annotation allows functions only

    def execute(left: Sequence[Unit], options: Mapping[str, Any]) -> Any:
        dataset = ray.data.from_items(list(left), override_num_blocks=len(left))
        return dataset.map(
            guarded,
            fn_constructor_kwargs={"actor": actor, "arguments": dict(arguments)},
            compute=ray.data.ActorPoolStrategy(
                size=min(execution.actors, len(left)),
                max_concurrent_calls_per_actor=concurrent_units,
                max_tasks_in_flight_per_actor=concurrent_units + 1,
                enable_true_multi_threading=concurrent_units > 1,
            ),
            num_cpus=execution.cpus_per_actor,
            num_gpus=execution.gpus_per_actor or None,
            **options,
        )

    yield from _in_rounds(units, execute)


REPORT_EVERY_S = 2.0  # ours: several reports per log line, and few messages per unit
_TALLY_TIMEOUT_S = 2.0  # ours: a log line rather goes out without these rows


class Tally:
    """Rows that are done of the units under way: actors report them, the driver adds them up.

    What it says is for log lines alone: a report may be late or lost.
    """

    def __init__(self) -> None:
        import ray

        reports: Any = ray.remote(num_cpus=0, max_restarts=-1)(_Reports)
        self._reports = reports.remote()
        self._finished: set[str] = set()
        self._last: dict[str, float] = {}

    def report(self, thread: str, unit: str, rows: int) -> None:
        """Say how many rows of its unit a thread has done; most calls send nothing."""
        now = time.monotonic()
        if now - self._last.setdefault(thread, now) >= REPORT_EVERY_S:
            self._last[thread] = now
            self._reports.put.remote(thread, unit, rows)  # not waited for

    def finish(self, unit: str) -> None:
        """Count a unit no longer: its result is there."""
        self._finished.add(unit)

    def rows(self) -> int:
        """Rows done, in all units whose results are not there."""
        import ray
        from ray.exceptions import RayError

        try:
            reports = ray.get(self._reports.get.remote(), timeout=_TALLY_TIMEOUT_S)
        except RayError:
            return 0
        return sum(rows for unit, rows in reports if unit not in self._finished)


class _Reports:
    """The last report of each thread."""

    def __init__(self) -> None:
        self._by_thread: dict[str, tuple[str, int]] = {}

    def put(self, thread: str, unit: str, rows: int) -> None:
        self._by_thread[thread] = unit, rows

    def get(self) -> list[tuple[str, int]]:
        return list(self._by_thread.values())


def put_shared(value: Any) -> Any:
    """Put an object that all workers read into shared memory, once."""
    import ray

    return ray.put(value)


def get_shared(reference: Any) -> Any:
    """The object that `put_shared` stored."""
    import ray

    return ray.get(reference)


def _in_rounds(
    units: Sequence[Unit], execute: Callable[[Sequence[Unit], Mapping[str, Any]], Any]
) -> Iterator[Any]:
    """Results of all units; those that fail by storage are tried again after the others."""
    options: Mapping[str, Any] = {}
    for wait in (*ROUND_WAITS_S, None):
        failed: list[_Failed] = []
        for result in _results(execute(units, options)):
            if isinstance(result, _Failed):
                failed.append(result)
            else:
                yield result
        if not failed:
            return
        if wait is None:
            raise failed[0].error
        first = failed[0].error.problem
        log.warning("%d units failed by storage, again in %.0f s: %s", len(failed), wait, first)
        time.sleep(wait)
        units, options = [one.unit for one in failed], {"scheduling_strategy": "SPREAD"}


def _results(dataset: Any) -> Iterator[Any]:
    """Results of the workers; a unit that failed otherwise than by storage ends the run."""
    rows = _rows(dataset)
    _unfinished.append(rows)
    try:
        for row in rows:
            result = pickle.loads(row["result"])  # trusted: pickled by the workers of this run
            if isinstance(result, VitwRayError):
                raise result
            yield result
    finally:
        _unfinished.remove(rows)


def _rows(dataset: Any) -> Generator[Unit, None, None]:
    """Rows as they arrive. Closed early, it lets go of Ray's iterator, which ends the execution."""
    yield from dataset.iter_rows()


def _packed(result: Any) -> Unit:
    return {"result": pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL)}


@dataclass(frozen=True)
class _Failed:
    """A unit that failed by storage."""

    unit: Unit
    error: MayPass


class _Guarded:
    """Returns a unit's result, or an error without content of rows, as a value.

    Ray would write a raised exception to its logs, with its message.
    """

    def __init__(self, function: Callable[[Unit], Any]) -> None:
        self.function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, unit: Unit) -> Unit:
        try:
            return _packed(self.function(unit))
        except MayPass as error:
            return _packed(_Failed(unit, error))
        except VitwRayError as error:
            return _packed(error)
        except Exception as error:
            if may_pass(error):
                return _packed(_Failed(unit, _by_storage(error)))
            return _packed(_without_text(error, unit))


class _GuardedActor:
    """An actor whose constructor may fail; then the failure is the result of every unit."""

    def __init__(self, actor: type, arguments: Mapping[str, Any]) -> None:
        try:
            self.call = _Guarded(actor(**arguments))
        except VitwRayError as error:
            self.call = _Guarded(_Failing(error))
        except Exception as error:
            if may_pass(error):
                self.call = _Guarded(_Failing(_by_storage(error)))
                return
            self.call = _Guarded(_Failing(_without_text(error, {"actor": actor.__name__})))

    def __call__(self, unit: Unit) -> Unit:
        return self.call(unit)


class _Failing:
    def __init__(self, error: VitwRayError) -> None:
        self.error = error

    def __call__(self, unit: Unit) -> Unit:
        raise self.error


def _by_storage(error: Exception) -> StorageFailed:
    strerror = getattr(error, "strerror", None) or type(error).__name__
    return StorageFailed(
        f"storage failed on a node: {strerror}", "see that node's disk and network"
    )


def _without_text(error: Exception, unit: Unit) -> StageFailed:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "unknown place"
    if trace is not None:
        place = f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"  # noqa: PTH119
    where = ", ".join(f"{k}={v}" for k, v in unit.items() if isinstance(v, str | int))
    if isinstance(error, ModuleNotFoundError) and error.name:
        return StageFailed(
            f"{error.name} is not installed on a node of the cluster ({place}, {where})",
            "install there what the run needs: pip install '.[gpu]', '.[cpu]' or '.[server]'",
        )
    return StageFailed(
        f"{type(error).__name__} at {place} (unit: {where})",
        "look at that place with the unit's rows; the message is left out, as it may quote them",
    )


def _private_temp_dir() -> str:
    """A folder for Ray's logs and sockets, inside one that no other user can enter.

    Its path is short: Ray creates sockets in it, and the path of a socket has at most 107 bytes.

    Raises:
        ConfigError: neither the folder for temporary files nor `/tmp` will do.
    """
    global _temporary
    folder = tempfile.gettempdir()
    if len(os.fsencode(folder)) > _LONGEST_TEMPORARY:
        if not os.access(_SHORT_TEMPORARY, os.W_OK | os.X_OK):
            raise ConfigError(
                f"TMPDIR has more than {_LONGEST_TEMPORARY} bytes: too long for Ray's sockets",
                "set TMPDIR to a folder with a shorter path",
            )
        folder = _SHORT_TEMPORARY
    _temporary = tempfile.TemporaryDirectory(prefix="vitw-", dir=folder, ignore_cleanup_errors=True)
    return os.path.join(_temporary.name, "ray")  # noqa: PTH118  # Ray lets anybody write to this
