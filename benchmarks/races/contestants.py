"""Ours and the others: the environment of each, its command, and how many rows it has kept."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from same_rows import Data, files_of, is_valid, reading

from vitw_ray.run_folder import read_part
from vitw_ray.storage import Storage

RACES = Path(__file__).parent
IN_FLIGHT = 63  # ours sends 1.5 times 42
PACKAGES = {
    "ray_data_llm": ("ray", ["ray[data]==2.60.0", "aiohttp", "pydantic>=2"]),
    "datatrove": (
        "datatrove",  # its extra "inference" would bring engines that are not used here
        ["datatrove[io]==0.10.1", "aiofiles", "httpx", "aiosqlite", "typer", "pyyaml", "pandas"],
    ),
    "curator": ("bespokelabs-curator", ["bespokelabs-curator==0.1.31"]),
}


@dataclass(frozen=True)
class Contestant:
    """How one of them is run; `kept` counts the valid answers in its output."""

    name: str
    command: Callable[[Data, str, Path], Sequence[str]]
    kept: Callable[[Path], int]
    environment: dict[str, str] = field(default_factory=dict)


def contestants(pythons: dict[str, Path]) -> list[Contestant]:
    """Ours, and those of which there is an environment."""
    return [
        Contestant("ours", ours_command, ours_kept),
        *(others(name, f"with_{name}.py", python) for name, python in pythons.items()),
    ]


def ours_command(data: Data, url: str, output: Path) -> list[str]:
    """The command of our run; its first stage is finished where `output` is a prepared folder."""
    flags = ["--extractor", "openai", "--model", "mock", "--questions", "one_pass"]
    flags += ["--server-url", f"{url}/v1", "--reader-check", "off"]
    flags += ["--actors", "1", "--max-num-seqs", str(int(IN_FLIGHT / 1.5))]
    return [*reading(data.input, output), *flags]


def ours_kept(output: Path) -> int:
    """Rows of `extractions` without an error, by the server's model."""
    storage = Storage(str(output))
    parts = [read_part(storage, part).to_pylist() for part in files_of(output, "extractions")]
    rows = [row for part in parts for row in part]
    return sum(row["error"] is None and row["extractor"].startswith("openai@") for row in rows)


def others(name: str, script: str, python: Path, *more: str) -> Contestant:
    """A contestant with an adapter in `races/`."""

    def command(data: Data, url: str, output: Path) -> list[str]:
        flags = ["--rows", str(data.rows), "--url", url, "--output", str(output)]
        return [str(python), str(RACES / script), *flags, "--in-flight", str(IN_FLIGHT), *more]

    own = {"PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": ""}
    return Contestant(name, command, others_kept, own)


def others_kept(output: Path) -> int:
    """Different rows with an answer that our own parser takes."""
    kept = set()
    for file in sorted((output / "answers").glob("**/*.json*")):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            number = int(row["row"] if "row" in row else row["id"])
            answers = [row["text"]] if "row" in row else row["metadata"]["rollout_results"]
            if answers and is_valid(answers[0]):
                kept.add(number)
    return len(kept)


def make_environments(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The interpreter of each environment; those that are missing are made."""
    pythons = {}
    for name in names:
        python = folder / name / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
            install = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES[name][1]]
            subprocess.run(install, check=True)
        pythons[name] = python
    return pythons


def version_of(python: Path, package: str) -> str:
    """Version of a package in an environment."""
    code = f"from importlib.metadata import version; print(version('{package}'))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()
