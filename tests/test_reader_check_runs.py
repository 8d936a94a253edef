"""Whole runs whose reader, behind a server, reads or does not read."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import chat_server, completion
from readers import constant, noisy
from test_openai_server import words_of
from whole_runs import run_quietly, small_config

from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.errors import ReaderDegenerate
from vitw_ray.evaluation.planted import PlantedConfig, plant
from vitw_ray.extraction.answers import Answer
from vitw_ray.extraction.calibration.labelled import Labelled, calibration_set
from vitw_ray.pipeline import run

pytestmark = [pytest.mark.ray]
pytest.importorskip("openai")
ROWS = 60
CHECK = Path(__file__).resolve().parents[1] / "jobs" / "check.py"


class Served:
    """A model behind a server that answers as `reply` says, and counts what it is asked about."""

    def __init__(self, reply: Callable[[Labelled], Answer]) -> None:
        self.reply, self.of_set, self.of_run = reply, 0, 0

    def play(self, body: dict[str, Any]):
        if words := words_of(body):
            return completion(json.dumps({"word": words[0]}))
        text = body["messages"][-1]["content"]
        known = [one for one in calibration_set() if one.conversation.messages[-1].content in text]
        if known:
            self.of_set += 1
            one = max(known, key=lambda one: len(one.conversation.messages[-1].content))
        else:
            self.of_run += "[USER]" in text
            one = calibration_set()[len(text) % 64]
        answer = self.reply(one).model_dump(exclude_none=True)
        for value in (*answer["human_values"], *answer["ai_values"]):
            value.pop("grounded", None)
        if answer["subjectivity"] < 3:
            answer = {"subjectivity": answer["subjectivity"]}
        return completion(json.dumps(answer))


def settings(folder: Path, url: str, **execution: Any) -> RunConfig:
    file = folder / "chats.jsonl"
    chats = [row for row, _ in plant(PlantedConfig(), 0, ROWS)]
    same = {"model": "one", "language": "en"}  # one group, large enough to be watched
    file.write_text("".join(json.dumps(row | same) + "\n" for row in chats), encoding="utf-8")
    config = small_config(
        [str(file)], folder / "run", folder / "secret", server_url=url, unit_rows=20, **execution
    )
    extraction = ExtractionConfig(extractor="openai", model="served", questions="one_pass")
    return replace(config, extraction=extraction)


def details(result: dict[str, Any]) -> dict[str, Any]:
    return {stage["name"]: stage for stage in result["stages"]}["extractions"]["details"]


def test_a_reader_that_does_not_read_stops_before_the_first_conversation_and_warn_goes_on(
    local_ray, tmp_path, log_lines
):
    served = Served(constant)
    with chat_server(served.play) as (_, url):
        config = settings(tmp_path, url)
        with pytest.raises(ReaderDegenerate, match="same level"):
            run_quietly(config)
        assert served.of_run == 0
        assert served.of_set == 64
        told: list[str] = []
        warned = replace(config, execution=replace(config.execution, reader_check="warn"))
        result = run(warned, announce=told.append)
    assert served.of_set == 64
    assert served.of_run == ROWS
    assert any(line.startswith("check   the calibration set (64): subjective") for line in told)
    assert any("sign of a reader that does not read" in line for line in log_lines)
    assert {sign["name"] for sign in details(result)["reader_watch"]} >= {"one_task", "one_label"}
    output = Path(config.execution.output)
    checker = [sys.executable, str(CHECK), str(output)]
    done = subprocess.run(checker, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    (card,) = output.glob("7_release-*/README.md")
    for text in ((output / "report.html").read_text(), card.read_text()):
        assert "How well the reader reads" in text
        assert "100% of the tasks are the same" in text


def test_two_actors_have_the_set_read_once_and_a_good_reader_passes(local_ray, tmp_path):
    served = Served(noisy(0.1))
    with chat_server(served.play) as (_, url):
        config = settings(tmp_path, url, actors=2)
        result = run_quietly(config, until="extractions")
        again = run_quietly(config, until="extractions")
    assert (served.of_set, served.of_run) == (64, ROWS)
    check = details(result)["reader_check"]
    assert check == details(again)["reader_check"]
    assert check["signs"] == []
    assert check["sets"][0]["scores"][0]["value"] > 0.6


def test_turned_off_the_set_is_not_read_and_the_page_says_so(local_ray, tmp_path):
    served = Served(constant)
    with chat_server(served.play) as (_, url):
        result = run_quietly(settings(tmp_path, url, reader_check="off"))
    assert (served.of_set, served.of_run) == (0, ROWS)
    assert "reader_check" not in details(result)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "The reader was not checked against labelled conversations." in page
