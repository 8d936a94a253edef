"""`vitw certify` on finished runs: readings, budget, the table in the run, and the page."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chat_server import chat_server, completion
from test_openai_server import words_of
from whole_runs import OF_DRIVER, plant_files, run_quietly, small_config, tree_bytes

from vitw_ray.cli.certificate_runs import REPLACEMENT
from vitw_ray.cli.main import main
from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.extraction.questions import LONG, PROMPTS
from vitw_ray.opened_run import OpenedRun, open_run
from vitw_ray.rewrite_report import rewrite_report
from vitw_ray.start import configure
from vitw_ray.storage import Storage

pytestmark = [pytest.mark.ray]
CHECK = Path(__file__).resolve().parents[1] / "jobs" / "check.py"


def certify(run: Path, capsys, *flags: str) -> dict[str, Any]:
    assert main(["certify", str(run), *flags]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def checked(run: Path) -> None:
    command = [sys.executable, str(CHECK), str(run)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def rows(run: Path, **wanted: Any) -> list[dict[str, Any]]:
    table = open_run(run).table("certificate").arrow.to_pylist()
    return [row for row in table if all(row[name] == value for name, value in wanted.items())]


@pytest.fixture
def copy(sample_run: OpenedRun, tmp_path) -> Path:
    return Path(shutil.copytree(sample_run.address, tmp_path / "run"))


@pytest.mark.slow
def test_a_run_is_certified(copy, sample_run, capsys):
    before = (copy / "report.html").read_text()
    result = certify(copy, capsys, "--sample", "120")
    assert (result["conversations"], result["specifications"]) == (120, 3)
    run = open_run(copy)
    assert [*run.stages][-1] == "certificate"
    assert {row["gate"] for row in rows(copy, kind="specification")} == {3, 4, 1}
    page = (copy / "report.html").read_text()
    assert 'class="badge' in page
    assert 'class="badge' not in before
    checked(copy)

    written = {n: f for n, f in tree_bytes(copy).items() if not OF_DRIVER.search(n)}
    kept = rewrite_report(Storage(str(copy)))  # as vitw report does
    assert kept["stages"][-1]["name"] == "certificate"
    assert written == {n: f for n, f in tree_bytes(copy).items() if not OF_DRIVER.search(n)}


@pytest.mark.slow
def test_a_run_that_goes_on_keeps_its_certificate_until_its_tables_change(tmp_path, capsys):
    inputs = plant_files(tmp_path / "in", rows=200)
    config = configure(
        small_config(inputs, tmp_path / "run", tmp_path / "secret"), None, {"alpha": 0.5}
    )
    run_quietly(config)
    certify(tmp_path / "run", capsys, "--sample", "60")
    page = (tmp_path / "run" / "report.html").read_bytes()
    again = run_quietly(config)
    assert again["stages"][-1]["name"] == "certificate"
    assert (tmp_path / "run" / "report.html").read_bytes() == page
    other = run_quietly(configure(config, None, {"min_conversations": 4}))
    assert other["stages"][-1]["name"] == "release"
    assert b'class="badge' not in (tmp_path / "run" / "report.html").read_bytes()


def test_a_run_that_was_purged_cannot_be_certified(copy, capsys):
    shutil.rmtree(copy / "private")
    assert main(["certify", str(copy)]) == 1
    assert "private" in capsys.readouterr().err


@pytest.mark.slow
def test_a_lexicon_is_read_strictly_and_at_three_gates(tmp_path, local_ray, capsys):
    run = tmp_path / "run"
    inputs = plant_files(tmp_path / "in", rows=150)
    config = small_config(inputs, run, tmp_path / "secret", extractor="lexicon")
    run_quietly(configure(config, None, {"alpha": 0.5}))
    result = certify(run, capsys, "--sample", "100")
    assert result["specifications"] == 6
    assert result["tokens"] == 0
    (first, *_) = rows(run, kind="badge")
    values = {
        row["strict"]: row["estimate"]
        for row in rows(run, kind="specification", gate=3, headline=first["headline"])
    }
    assert set(values) == {False, True}
    assert {row["choice"] for row in rows(run, kind="choice")} >= {"strict", "gate", "rest"}
    checked(run)


WORDINGS = [
    (PROMPTS / (f"{LONG}_{n}" if n else LONG) / "reader.md").read_text("utf-8").split("\n")[0]
    for n in range(4)
]


class Server:
    """Honesty leads, but for the second paraphrase, where care does; caution goes with refusals."""

    def __init__(self) -> None:
        self.asked = 0

    def play(self, body: dict[str, Any]):
        if words := words_of(body):
            return completion(json.dumps({"word": words[0]}))
        text = "\n".join(message["content"] for message in body["messages"])
        if "[USER]" not in text:  # a probe
            return completion("{}")
        self.asked += 1
        wording = next(n for n, first in enumerate(WORDINGS) if first in text)
        user = text.split("[USER]")[1].split("[ASSISTANT]")[0]
        number = sum(map(ord, user))
        refused = number % 4 == 0
        labels = ["care", *["honesty"] * (number % 5 == 0)]
        if wording != 2:
            labels = ["honesty", *["care"] * (number % 5 == 0)]
        labels += ["caution"] * (refused and REPLACEMENT not in text)
        values = [{"label": label, "explicit": False} for label in labels]
        answer: dict[str, Any] = {
            "subjectivity": 4,
            "task": "write a letter" if number % 3 else "plan a trip",
            "human_values": [],
            "ai_values": values,
            "response_type": "strong_resistance" if refused else "mild_support",
        }
        schema = body["response_format"]["json_schema"]["schema"]
        fields = schema.get("properties") or answer
        return completion(json.dumps({name: answer[name] for name in answer if name in fields}))


def served_run(folder: Path, url: str) -> RunConfig:
    inputs = plant_files(folder / "in", rows=300)
    config = small_config(
        inputs, folder / "run", folder / "secret", server_url=url, reader_check="off"
    )
    extraction = ExtractionConfig(extractor="openai", model="served", questions="one_pass")
    return configure(
        RunConfig(**{**vars(config), "extraction": extraction}), None, {"max_error_share": 0.0}
    )


@pytest.mark.slow
def test_a_headline_that_hangs_on_the_wording_is_told_and_tokens_are_counted(
    tmp_path, local_ray, capsys
):
    pytest.importorskip("openai")
    server = Server()
    run = tmp_path / "run"
    with chat_server(server.play) as (_, url):
        run_quietly(served_run(tmp_path, url))
        of_run = server.asked
        result = certify(run, capsys, "--sample", "250", "--budget", "30")
    assert result["specifications"] == 24
    assert result["tokens_of_run"] == 320 * of_run
    assert result["tokens"] == 320 * (server.asked - of_run) <= 30 * result["tokens_of_run"]
    badges = {(row["claim"], row["label"], row["over"]): row for row in rows(run, kind="badge")}
    common = badges["most_common", "honesty", None]
    assert common["badge"] == "hangs_on_the_wording"
    caution = badges["together", "caution", "strong_resistance"]
    assert caution["badge"] == "holds_in_all"
    share = {
        row["choice"]: row["share"] for row in rows(run, kind="choice", headline=common["headline"])
    }
    assert share["paraphrase"] > 0.9
    (without,) = rows(run, baseline="no_assistant", headline=caution["headline"])
    assert without["holds"] is not True
    checked(run)


@pytest.mark.slow
def test_a_budget_that_is_too_small_is_refused_before_anything_is_read(tmp_path, local_ray, capsys):
    pytest.importorskip("openai")
    server = Server()
    with chat_server(server.play) as (_, url):
        run_quietly(served_run(tmp_path, url))
        of_run = server.asked
        assert main(["certify", str(tmp_path / "run")]) == 1
    assert server.asked == of_run
    assert "--budget 0.05" in capsys.readouterr().err
