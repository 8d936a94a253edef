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

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "races"))

import measured
from contestants import (
    IN_FLIGHT,
    PACKAGES,
    Contestant,
    contestants,
    make_environments,
    others,
    version_of,
)
from harness import Result, parser_of, spread
from same_rows import Data, prepare, write_answers
from served import DELAY_MS, Server, served

START_ROWS = 64
ROUNDS = 2


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
