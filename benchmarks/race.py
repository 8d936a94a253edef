"""Beside what else could send conversations to a server: CPU, rows kept, work done twice.

The same conversations, prompts and server for all, in one run:

- ours: the extraction stage with the server reader, questions in one pass;
- `ray.data.llm`: Ray's HTTP processor; datatrove: `InferenceRunner`; Bespoke Curator.

Each of the others has an environment of its own with its published package (`races/`). What is
measured: CPU of all processes of a client for each call, without its start (a run of 64 rows);
valid answers with 5 % of the answers broken (`races/server.py` says how); calls that the server saw
in all, of a run whose driver is killed (SIGKILL) at half of the calls and started again.

    python benchmarks/race.py --environments FOLDER [--quick] [--only NAME ...]

FOLDER gets the environments that it does not have yet, from the package index.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "races"))

import measured
from extract_inputs import conversations_in
from harness import ROOT, Result, parser_of, plant, spread

from vitw_ray.config import Execution, ExtractionConfig, RunConfig
from vitw_ray.evaluation.planted import PlantedConfig
from vitw_ray.evaluation.planted import plant as planted
from vitw_ray.extraction.questions import questions_for
from vitw_ray.facets import FACETS
from vitw_ray.inference.openai_server import OpenAIServer
from vitw_ray.inference.parsing import InvalidAnswer, parse
from vitw_ray.inference.question import closing, opening
from vitw_ray.records import Conversation
from vitw_ray.run_folder import FileEntry, StageFolder, read_part, tables_of
from vitw_ray.storage import Storage

RACES = ROOT / "benchmarks" / "races"
IN_FLIGHT = 63  # ours sends 1.5 times 42
DELAY_MS = 20.0
START_ROWS = 64
ROUNDS = 2
PACKAGES = {
    "ray_data_llm": ("ray", ["ray[data]==2.60.0", "aiohttp", "pydantic>=2"]),
    "datatrove": (
        "datatrove",  # its extra "inference" would bring engines that are not used here
        ["datatrove[io]==0.10.1", "aiofiles", "httpx", "aiosqlite", "typer", "pyyaml", "pandas"],
    ),
    "curator": ("bespokelabs-curator", ["bespokelabs-curator==0.1.31"]),
}
CONFIG = ExtractionConfig(extractor="openai", model="mock", questions="one_pass")
(QUESTION,) = questions_for(CONFIG).all


@dataclass(frozen=True)
class Data:
    """Conversations: our run folder in which they are read, and the same as prompts."""

    input: str
    run_folder: Path
    rows: Path
    count: int


@dataclass(frozen=True)
class Contestant:
    """How one of them is run; `kept` counts the valid answers in its output."""

    name: str
    command: Callable[[Data, str, Path], Sequence[str]]
    kept: Callable[[Path], int]
    environment: dict[str, str] = field(default_factory=dict)


def ours_command(data: Data, url: str, output: Path) -> list[str]:
    """The command of our run; its first stage is finished where `output` is a prepared folder."""
    flags = ["--extractor", "openai", "--model", "mock", "--questions", "one_pass"]
    flags += ["--server-url", f"{url}/v1", "--reader-check", "off"]
    flags += ["--actors", "1", "--max-num-seqs", str(int(IN_FLIGHT / 1.5))]
    return [*reading(data.input, output), *flags]


def reading(pattern: str, output: Path) -> list[str]:
    """The first two stages; which reader is left open."""
    run = [sys.executable, "-m", "vitw_ray", "run", "--until", "extractions"]
    return [*run, "--input", pattern, "--output", str(output)]


def ours_kept(output: Path) -> int:
    """Rows of `extractions` without an error, by the server's model."""
    storage = Storage(str(output))
    parts = [read_part(storage, part).to_pylist() for part in files_of(output, "extractions")]
    rows = [row for part in parts for row in part]
    return sum(row["error"] is None and row["extractor"].startswith("openai@") for row in rows)


def files_of(output: Path, table: str) -> Sequence[FileEntry]:
    """The files of a table of our run folder."""
    tables = json.loads((output / "run.json").read_text())["tables"]
    manifest = StageFolder(Storage(str(output)), tables[table]["stage"]).manifest()
    assert manifest is not None
    return tables_of(manifest)[table].files


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
            if answers and _is_valid(answers[0]):
                kept.add(number)
    return len(kept)


def _is_valid(text: Any) -> bool:
    try:
        parse(text, QUESTION)
    except (InvalidAnswer, TypeError):
        return False
    return True


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


def prepare(folder: Path, count: int, environment: dict[str, str]) -> Data:
    """Plant conversations, read them with our first stage, and write the prompts of all."""
    data = Data(plant(folder / "in", count), folder / "run", folder / "rows.jsonl", count)
    # Another reader, of whose answers nothing is used: what counts is that stage 1 is finished.
    command = [*reading(data.input, data.run_folder), "--extractor", "simulated"]
    usage = measured.run(command, environment, folder / "log")
    if usage.code:
        raise SystemExit(f"reading failed: {(folder / 'log').read_text()[-2000:]}")
    config = RunConfig(extraction=CONFIG, execution=Execution(output=str(data.run_folder)))
    found = conversations_in(config, files_of(data.run_folder, "conversations"))
    reader = OpenAIServer(CONFIG, config.execution)
    with data.rows.open("w") as file:
        for number, conversation in enumerate(found):
            prompt = {"row": number, "system": QUESTION.before, "user": user(reader, conversation)}
            file.write(json.dumps(prompt) + "\n")
    return data


def user(reader: OpenAIServer, conversation: Conversation) -> str:
    """What our reader sends about a conversation, below the instructions."""
    fence = opening(QUESTION).removeprefix(QUESTION.before).lstrip()
    return fence + reader.read(conversation.messages).text + closing(QUESTION)


def write_answers(path: Path, count: int) -> None:
    """A valid answer for each prompt: planted truths that the prompt allows, in turn."""
    names = ("subjectivity", *(facet.field for facet in FACETS))
    valid = []
    for _, truth in planted(PlantedConfig(conversations=1_000)):
        whole = truth["subjectivity"] >= CONFIG.subjective_from
        text = json.dumps({name: truth[name] for name in (names if whole else names[:1])})
        if _is_valid(text):
            valid.append(text)
    path.write_text("".join(f"{valid[number % len(valid)]}\n" for number in range(count)))


class Server:
    """The server, from the outside."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def weather(self, bad: bool) -> None:
        """Reset the counters; break answers or not."""
        self._ask("/weather", json.dumps({"bad": bad}).encode())

    def counts(self) -> dict[str, int]:
        """Calls, different rows, requests about none of them, most calls at once."""
        return self._ask("/counts", None)

    def _ask(self, path: str, data: bytes | None) -> dict[str, int]:
        with urllib.request.urlopen(self.url + path, data=data, timeout=30) as response:
            return json.load(response)


@contextmanager
def served(rows: Path, answers: Path) -> Iterator[Server]:
    """A server in a process of its own."""
    command = [sys.executable, str(RACES / "server.py"), str(rows), str(answers)]
    with subprocess.Popen(
        [*command, "--delay-ms", str(DELAY_MS)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield Server(int(process.stdout.readline()))
        finally:
            process.kill()


@dataclass
class Race:
    """Runs the contestants and keeps what was measured."""

    folder: Path
    server: Server
    environment: dict[str, str]
    found: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: int = 0

    def run(
        self, who: Contestant, data: Data, output: Path, kill_at: int | None = None
    ) -> measured.Usage:
        """One run of a contestant, in a folder that may be there already."""
        if who.name == "ours" and not output.exists():
            subprocess.run(["cp", "-r", str(data.run_folder), str(output)], check=True)
        output.mkdir(parents=True, exist_ok=True)
        environment = {**self.environment, "HOME": str(self.folder), **who.environment}
        kill = None if kill_at is None else lambda: self.server.counts()["calls"] >= kill_at
        command = who.command(data, self.server.url, output)
        return measured.run(command, environment, self.folder / f"{who.name}.log", kill)

    def fresh(self, who: Contestant) -> Path:
        """A new folder for an output."""
        self.runs += 1
        return self.folder / f"{self.runs:03d}-{who.name.replace(' ', '-')}"

    def fine_weather(self, who: Contestant, data: Data, small: Data) -> None:
        """A run of all rows, and one of a few, which is the start."""
        note = self.found.setdefault(who.name, {"rounds": []})
        used = {}
        for name, part in (("start", small), ("all", data)):
            self.server.weather(bad=False)
            output = self.fresh(who)
            usage = self.run(who, part, output)
            kept = who.kept(output) if usage.code == 0 else 0
            used[name] = usage
            counts = self.server.counts()
            print(who.name, name, usage, kept, counts, file=sys.stderr, flush=True)
            if kept != part.count:
                note["problem"] = f"exit code {usage.code}, {kept} of {part.count} rows"
        rows = data.count - small.count
        note["rounds"].append(
            {
                "cpu_ms_per_call": (used["all"].cpu_s - used["start"].cpu_s) / rows * 1e3,
                "wall_s": used["all"].wall_s,
                "start_wall_s": used["start"].wall_s,
                "start_cpu_s": used["start"].cpu_s,
                "rows_per_s": rows / max(used["all"].wall_s - used["start"].wall_s, 1e-3),
                "peak_bytes": used["all"].peak_bytes,
                "most_at_once": counts["most_at_once"],
            }
        )

    def bad_weather(self, who: Contestant, data: Data) -> None:
        """A run in which 5 % of the answers are broken."""
        self.server.weather(bad=True)
        output = self.fresh(who)
        usage = self.run(who, data, output)
        kept, counts = who.kept(output), self.server.counts()
        print(who.name, "bad weather", usage, kept, counts, file=sys.stderr, flush=True)
        self.found.setdefault(who.name, {"rounds": []})["bad_weather"] = {
            "code": usage.code,
            "kept": kept / data.count,
            "calls_per_row": counts["calls"] / data.count,
            "wall_s": usage.wall_s,
        }

    def killed(self, who: Contestant, data: Data) -> None:
        """A run whose driver is killed at half of the calls, and the same command again."""
        self.server.weather(bad=False)
        output = self.fresh(who)
        first = self.run(who, data, output, kill_at=data.count // 2)
        at = self.server.counts()["calls"]
        again = self.run(who, data, output)
        kept, calls = who.kept(output), self.server.counts()["calls"]
        print(who.name, "killed", first, again, at, calls, kept, file=sys.stderr, flush=True)
        self.found.setdefault(who.name, {"rounds": []})["killed"] = {
            "calls_at_the_kill": at,
            "codes": [first.code, again.code],
            "calls_over_rows": calls / data.count,
            "kept": kept / data.count,
        }


def contestants(pythons: dict[str, Path]) -> list[Contestant]:
    """Ours, and those of which there is an environment."""
    return [
        Contestant("ours", ours_command, ours_kept),
        *(others(name, f"with_{name}.py", python) for name, python in pythons.items()),
    ]


def table_of(found: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """Rows of the printed table."""
    rows = []
    for name, note in found.items():
        rounds, weather, killed = note["rounds"], note.get("bad_weather"), note.get("killed")
        shown = [
            f"{statistics.median(one[key] for one in rounds) * scale:,.2f}" if rounds else "-"
            for key, scale in (
                ("cpu_ms_per_call", 1),
                ("rows_per_s", 1),
                ("start_wall_s", 1),
                ("peak_bytes", 1e-6),
            )
        ]
        shown.append(f"{weather['kept']:.4f}" if weather else "-")
        shown.append(f"{weather['calls_per_row']:.3f}" if weather else "-")
        shown.append(f"{killed['calls_over_rows']:.3f}" if killed else "-")
        rows.append((name, *shown))
    return rows


HEADER = ("", "CPU ms/call", "rows/s", "start s", "peak MB", "kept", "calls/row", "after a kill")


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--environments", type=Path, required=True, help="folder, filled if empty")
    parser.add_argument("--only", nargs="*", choices=list(PACKAGES), default=list(PACKAGES))
    given = parser.parse_args()
    pythons = make_environments(given.environments.resolve(), given.only)
    rows, rounds = (600, 1) if given.quick else (3_000, ROUNDS)
    result = Result("race", given.quick)
    environment = {
        **os.environ,
        "OPENAI_API_KEY": "none",
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "TELEMETRY_ENABLED": "false",
        "CURATOR_DISABLE_RICH_DISPLAY": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "true",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = prepare(folder / "all", rows, environment)
        small = prepare(folder / "few", START_ROWS, environment)
        known, answers = folder / "rows.jsonl", folder / "answers.jsonl"
        known.write_text(data.rows.read_text() + small.rows.read_text())
        write_answers(answers, rows + START_ROWS)
        with served(known, answers) as server:
            race = Race(folder, server, environment)
            run_all(race, contestants(pythons), data, small, rounds)
            if "datatrove" in pythons:
                python = pythons["datatrove"]
                asks_again = others(
                    "datatrove, asks again", "with_datatrove.py", python, "--again", "3"
                )
                race.bad_weather(asks_again, data)
    result.work = {
        "rows": rows,
        "in_flight": IN_FLIGHT,
        "delay_ms": DELAY_MS,
        "contestants": race.found,
        "packages": {
            PACKAGES[name][0]: version_of(python, PACKAGES[name][0])
            for name, python in pythons.items()
        },
    }
    report(result, race.found)


def run_all(race: Race, who: Sequence[Contestant], data: Data, small: Data, rounds: int) -> None:
    """All rounds, forwards and backwards, then bad weather, then the kill."""
    for number in range(rounds):
        for one in who if number % 2 == 0 else who[::-1]:
            race.fine_weather(one, data, small)
    for one in who:
        race.bad_weather(one, data)
    for one in who:
        race.killed(one, data)


def report(result: Result, found: dict[str, dict[str, Any]]) -> None:
    """Print the table and the line of JSON."""

    def cpu(name: str) -> list[float]:
        return [one["cpu_ms_per_call"] for one in found[name]["rounds"]]

    for name, note in found.items():
        if name != "ours" and note["rounds"]:
            result.ratios[f"{name}_cpu_over_ours"] = statistics.median(
                theirs / ours for theirs, ours in zip(cpu(name), cpu("ours"), strict=True)
            )
    if len(cpu("ours")) > 1:
        result.aa_spread = spread(cpu("ours")[:1], cpu("ours")[1:2])
    result.rows = table_of(found)
    result.report(HEADER)


if __name__ == "__main__":
    main()
