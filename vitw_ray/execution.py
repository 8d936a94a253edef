"""Where a run works, and how fast: settings that decide no table."""

import math
from dataclasses import dataclass
from typing import Literal

from vitw_ray.errors import ConfigError
from vitw_ray.setting_checks import at_least

IN_FLIGHT = 1.5  # of the requests that an engine works on: the rest waits for it (ours)


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Where and how fast. Only `device` can change a byte, and is part of the keys it concerns."""

    output: str = "runs/sample"
    """The run folder: a path or an s3:// address."""
    secret_file: str | None = None
    """Key of all keyed hashes; default: made once in the run folder's private part."""
    device: Literal["cpu", "gpu"] = "cpu"
    """Where extractors and embedders run. Never guessed."""
    actors: int = 2
    """Extractor actors; and as many embedders, where there are texts enough."""
    cpus_per_actor: float = 1.0
    """Logical CPUs that Ray reserves for an extractor actor; an embedder takes one."""
    gpus_per_actor: float = 0.0
    """GPUs that Ray reserves for an extractor actor, or the share of one; an embedder takes one at
    most."""
    unit_rows: int = 256
    """Most conversations in one unit of work (ours: under 10 s of one GPU). Units are smaller where
    rows are few, and at the end."""
    segment_rows: int = 256
    """An actor commits its answers at least this often ..."""
    segment_seconds: float = 5.0
    """... and at least this often in time."""
    max_num_seqs: int | None = None
    """Requests that an engine works on at once, or a server is sent; default: 512 on a GPU, 64 on
    a CPU (vLLM's asynchronous engine would fall back to 128)."""
    max_num_batched_tokens: int | None = None
    """Tokens in one step of vLLM's engine; default: 16384 on a GPU, 4096 on a CPU (it would fall
    back to 2048 and read the weights eight times as often)."""
    request_timeout_s: float = 600.0
    """A request has failed once neither it nor a request sent before it has made progress for so
    long (ours). The time in the queue of a slow engine or server is thus not counted."""
    server_url: str = "http://localhost:8000/v1"
    """Base address of the OpenAI-compatible server; its key comes from OPENAI_API_KEY."""
    reader_check: Literal["stop", "warn", "off"] = "stop"
    """What to do when a model reads the calibration set like a reader that does not read: stop the
    run, or warn and go on. off: the calibration set is not read."""
    labelled: str | None = None
    """JSON lines with labelled conversations of your own, read beside the calibration set."""
    stall_minutes: float = 360.0
    """End a run in which nothing has come back for so long, with what it waits for (ours)."""
    keep_scratch: bool = False
    """Keep what killed runs with other settings have left unfinished, so that they can go on."""
    object_store_mb: int = 256
    """Ray's shared memory on a laptop; only ids and counters pass through it."""

    @property
    def requests_at_once(self) -> int:
        """`max_num_seqs`, or what the device can do."""
        return self.max_num_seqs or (512 if self.device == "gpu" else 64)

    @property
    def requests_in_flight(self) -> int:
        """Conversations that a model is given at once, those that wait for it included."""
        return math.ceil(IN_FLIGHT * self.requests_at_once)

    @property
    def tokens_at_once(self) -> int:
        """`max_num_batched_tokens`, or what the device can do."""
        return self.max_num_batched_tokens or (16_384 if self.device == "gpu" else 4096)

    def __post_init__(self) -> None:
        """Refuse values that cannot work, by the name of the field."""
        for name in (
            "actors",
            "unit_rows",
            "segment_rows",
            "max_num_seqs",
            "max_num_batched_tokens",
        ):
            at_least(name, getattr(self, name), 1)
        at_least("object_store_mb", self.object_store_mb, 80)
        at_least("stall_minutes", self.stall_minutes, 0.1)
        at_least("request_timeout_s", self.request_timeout_s, 0.001)
        if self.device == "gpu" and self.gpus_per_actor <= 0:
            raise ConfigError(
                "--device gpu, but --gpus-per-actor is 0", "set --gpus-per-actor 1, or --device cpu"
            )
