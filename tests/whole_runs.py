"""What tests of whole runs share: planted inputs, a run in this process, bytes of its tables."""

import gzip
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitw_ray.config import (
    ConversationsConfig,
    Execution,
    ExtractionConfig,
    LabelsConfig,
    RunConfig,
    TaxonomyConfig,
)
from vitw_ray.evaluation.planted import PlantedConfig, plant
from vitw_ray.pipeline import run
from vitw_ray.storage import Storage

ROOT = Path(__file__).resolve().parents[1]
SECRET = "a secret that all runs of the tests share"
OF_DRIVER = re.compile(r"(^|/)private/(driver|progress)\.")
"""Files in which a driver says of itself; every run writes them anew."""


def plant_files(folder: Path, rows: int, files: int = 2, shuffle: int | None = None) -> list[str]:
    """Write planted conversations over some files; `shuffle` deals them in another order."""
    conversations = [row for row, _ in plant(PlantedConfig(), 0, rows)]
    if shuffle is not None:
        random.Random(shuffle).shuffle(conversations)
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number in range(files):
        name = folder / f"chats-{number}.jsonl.gz"
        with gzip.open(name, "wt", encoding="utf-8") as file:
            for row in conversations[number::files]:
                file.write(json.dumps(row) + "\n")
        names.append(str(name))
    return names


def review_planted(file: Path, rows: int, every: int) -> str:
    """Write what is true of some planted conversations, as people would have said it."""
    with file.open("w", encoding="utf-8") as lines:
        for number, (row, truth) in enumerate(plant(PlantedConfig(), 0, rows)):
            if number % every == 0:
                answer = {"stratum": "all", "probability": 1 / every, "labellers": 2}
                answer |= {"conversation_id": row["conversation_id"]}
                for name in ("subjectivity", "response_type", "human_values", "ai_values"):
                    answer[name] = truth.get(name)
                for name in ("human_values", "ai_values"):
                    answer[name] = [value["label"] for value in answer[name] or ()]
                lines.write(json.dumps(answer) + "\n")
    return str(file)


def small_config(
    inputs: list[str],
    output: Path | str,
    secret: Path,
    *,
    extractor: str = "simulated",
    **execution: Any,
) -> RunConfig:
    """Settings that take every stage through a few hundred rows in seconds."""
    secret.write_text(SECRET)
    rows_per_part = execution.pop("rows_per_part", 100)
    seconds = execution.pop("simulated_seconds_per_row", 0.0)
    return RunConfig(
        conversations=ConversationsConfig(input=tuple(inputs), rows_per_part=rows_per_part),
        extraction=ExtractionConfig(
            extractor=extractor,  # type: ignore[arg-type]
            simulated_seconds_per_row=seconds,
        ),
        labels=LabelsConfig(min_conversations=3, min_accounts=1),
        taxonomy=TaxonomyConfig(embedder="hashing"),
        execution=Execution(output=str(output), secret_file=str(secret), **execution),
    )


def run_quietly(config: RunConfig, until: str = "release") -> dict[str, Any]:
    """Run in this process; the plan goes nowhere."""
    return run(config, announce=lambda line: None, until=until)


def start_job(
    arguments: Sequence[str], output: Any = subprocess.PIPE, **environment: str
) -> subprocess.Popen[str]:
    """Start the main job in a process group of its own; `output` gets what it says."""
    told = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT), **environment}
    told.pop("RAY_ADDRESS", None)
    return subprocess.Popen(
        [sys.executable, "jobs/run.py", *arguments],
        cwd=ROOT,
        env=told,
        stdout=output,
        stderr=output,
        text=True,
        start_new_session=True,
    )


def table_bytes(output: Path | str) -> dict[str, list[str]]:
    """SHA-256 of every file of every table of a run: what must not depend on the layout."""
    storage = Storage(str(output))
    tables = json.loads(storage.read("run.json"))["tables"]
    return {
        name: [hashlib.sha256(storage.read(path)).hexdigest() for path in table["files"]]
        for name, table in tables.items()
    }


def tree_bytes(folder: Path) -> dict[str, tuple[int, str]]:
    """Time of change and SHA-256 of every file below a folder."""
    return {
        str(file.relative_to(folder)): (
            file.stat().st_mtime_ns,
            hashlib.sha256(file.read_bytes()).hexdigest(),
        )
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def wait_for_segments(
    output: Path, wanted: int, job: subprocess.Popen, seconds: float = 120
) -> None:
    """Return once a running job has committed some answers; fail when it ends before."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and job.poll() is None:
        if len(list(output.glob("private/answers-*/**/*.parquet"))) >= wanted:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {wanted} segments were committed; exit status {job.poll()}")
