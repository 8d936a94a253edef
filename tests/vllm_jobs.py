"""Jobs with real vLLM engines that fail on marked prompts."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
from engine_faults.engine_faults import CALL_LOG
from engine_process import FAULTS
from tiny_model import terse

from vitw_ray.evaluation.planted import PlantedConfig, plant

ROOT = Path(__file__).resolve().parents[1]
Row = dict[str, Any]


def planted_rows(rows: int) -> list[Row]:
    return [row for row, _ in plant(PlantedConfig(conversations=rows))]


class Job:
    """`jobs/extract.py` on these rows, with a separate Ray instance."""

    def __init__(self, folder: Path, model: Path, scratch: Path, rows: Sequence[Row]) -> None:
        """Write the input. `scratch` needs a short path, because Ray puts sockets below it."""
        folder.mkdir(parents=True)
        self.output, self.calls, self.scratch = folder / "out", folder / "calls", scratch
        self.calls.mkdir()
        (folder / "secret").write_text("a secret that all runs of the tests share")
        with (folder / "chats.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        self._arguments = [
            *("--input", str(folder / "chats.jsonl"), "--output", str(self.output)),
            *("--secret-file", str(folder / "secret"), "--extractor", "vllm"),
            *("--model", str(model), "--transcript-tokens", "512", "--actors", "1"),
            *("--request-timeout-s", "30", "--max-output-tokens", "128"),
            *("--sampling-kwargs", terse(model)),
            *("--questions", "one_pass"),  # whose requests the tests count
            *("--reader-check", "off"),  # random weights read nothing
        ]

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen]:
        """Start the job, or resume it; processes that still run at the end are killed."""
        process = self._start(arguments)
        try:
            yield process
        finally:
            if process.poll() is None:
                below = psutil.Process(process.pid).children(recursive=True)
                for one in (psutil.Process(process.pid), *below):
                    with suppress(psutil.NoSuchProcess):
                        one.kill()
                process.communicate()

    def _start(self, arguments: Sequence[str]) -> subprocess.Popen:
        environment = {
            **os.environ,
            "RAY_AUTH_MODE": "disabled",
            "PYTHONPATH": f"{ROOT}:{FAULTS}",
            "HF_HUB_OFFLINE": "1",
            "TMPDIR": str(self.scratch),
            CALL_LOG: str(self.calls),
        }
        environment.pop("RAY_ADDRESS", None)
        return subprocess.Popen(
            [sys.executable, str(ROOT / "jobs" / "extract.py"), *self._arguments, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def manifest(self) -> Row:
        return json.loads((self.output / "run.json").read_text())

    def stage(self, name: str) -> Row:
        return {stage["name"]: stage for stage in self.manifest()["stages"]}[name]

    def table(self, name: str) -> list[Row]:
        files = self.manifest()["tables"][name]["files"]
        return [row for file in files for row in pq.read_table(self.output / file).to_pylist()]

    def segments(self) -> int:
        return len(list(self.output.glob("private/answers-*/**/*.parquet")))

    def repeated_calls(self) -> int:
        """Number of repeated requests, without the two test requests at each engine start."""
        engines = list(self.calls.iterdir())
        calls = Counter(line for log in engines for line in log.read_text().split())
        return sum(calls.values()) - len(calls) - 2 * (len(engines) - 1)

    def checked(self) -> str:
        """Output of the independent checker; empty if there are no problems."""
        check = subprocess.run(
            [sys.executable, str(ROOT / "jobs" / "check.py"), str(self.output)],
            capture_output=True,
            text=True,
            check=False,
        )
        return check.stdout if check.returncode else ""


def files_with(text: str, folder: Path) -> list[Path]:
    """Files below a folder that contain this text."""
    regular = (file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    return [file for file in regular if text.encode() in file.read_bytes()]
