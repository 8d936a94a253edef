"""Whole stages behind a server that fails some conversations: they are asked again at the end."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import Reply, chat_server, completion
from in_this_process import run_here
from test_openai_server import words_of
from whole_runs import run_quietly, small_config

from vitw_ray.config import ExtractionConfig, RunConfig
from vitw_ray.evaluation.planted import PlantedConfig, plant
from vitw_ray.inference import server_retries
from vitw_ray.inference.attempts import ATTEMPTS
from vitw_ray.inference.server_retries import TRIES_ALONE
from vitw_ray.opened_run import open_run

pytest.importorskip("openai")
ROWS, BAD_EVERY = 60, 20
ODD = range(2, BAD_EVERY, 5)  # rows of which the answer is none, where there are such


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    """Without Ray, and with waits that are a fiftieth of what they are."""
    run_here(monkeypatch)
    for name in ("FIRST_WAIT_S", "LONGEST_WAIT_S", "LONGEST_WAIT_ALONE_S"):
        monkeypatch.setattr(server_retries, name, getattr(server_retries, name) / 50)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.02)


class Served:
    """A server that fails some conversations in its first sessions, and all afterwards if told."""

    def __init__(self, *, bad_sessions: int, sessions: int = 100, odd: bool = False) -> None:
        self.bad_sessions, self.sessions, self.odd = bad_sessions, sessions, odd
        self.session = 0  # clients that have opened
        self.asked = Counter[str]()

    def __call__(self, body: dict[str, Any]) -> Reply:
        words = words_of(body)
        self.session += bool(words)
        if self.session > self.sessions:
            return Reply(503)
        if words:
            return completion(json.dumps({"word": words[0]}))
        text = body["messages"][-1]["content"]
        if "row-" in text:
            name = "row-" + text.split("row-")[1][:3]
            self.asked[name] += 1
            if self.session <= self.bad_sessions and int(name[4:]) % BAD_EVERY == 0:
                return Reply(500)
            if self.odd and int(name[4:]) % BAD_EVERY in ODD:
                return completion("I would rather not say.")
        return completion(json.dumps({"subjectivity": 2}))

    @property
    def of_good(self) -> set[int]:
        """How often each conversation was asked about that never fails."""
        return {n for name, n in self.asked.items() if int(name[4:]) % BAD_EVERY not in (0, *ODD)}


def settings(folder: Path, url: str, **extraction: Any) -> RunConfig:
    file = folder / "chats.jsonl"
    chats = [row for row, _ in plant(PlantedConfig(), 0, ROWS)]
    for number, row in enumerate(chats):
        row["messages"][0]["content"] += f" row-{number:03d}"
    file.write_text("".join(json.dumps(row) + "\n" for row in chats), encoding="utf-8")
    config = small_config(
        [str(file)],
        folder / "run",
        folder / "secret",
        **{"server_url": url, "unit_rows": 20, "actors": 1, "reader_check": "off"},
    )
    reader = ExtractionConfig(extractor="openai", model="served", questions="one_pass")
    return replace(config, extraction=replace(reader, max_error_share=0.5, **extraction))


def stage(result: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one for one in result["stages"]}["extractions"]


def errors(folder: Path) -> list[str | None]:
    return open_run(folder / "run").table("extractions").arrow["error"].to_pylist()


def test_what_a_server_failed_is_asked_again_at_the_end_and_answered(tmp_path, log_lines):
    served = Served(bad_sessions=1)
    with chat_server(served) as (_, url):
        result = stage(run_quietly(settings(tmp_path, url), until="extractions"))
    assert errors(tmp_path) == [None] * ROWS
    assert (result["rows_out"], result["failed"]) == (ROWS, {})
    assert (result["details"]["answers_new"], result["details"]["answers_reused"]) == (ROWS, 0)
    assert served.session == 2
    assert served.of_good == {1}
    assert any("asks 3 conversations again" in line for line in log_lines)


def test_what_always_fails_is_a_row_with_an_error_after_a_few_calls(tmp_path):
    served = Served(bad_sessions=100, odd=True)
    with chat_server(served) as (_, url):
        config = settings(tmp_path, url)
        result = stage(run_quietly(config, until="extractions"))
        assert Counter(errors(tmp_path)) == {
            None: ROWS - 15,
            "server_error": 3,
            "invalid_answer": 12,
        }
        assert result["failed"] == {"server_error": 3, "invalid_answer": 12}
        odd = {n for name, n in served.asked.items() if int(name[4:]) % BAD_EVERY in ODD}
        assert odd == {ATTEMPTS}  # the pass at the end is not about these
        assert served.of_good == {1}
        bad = [n for name, n in served.asked.items() if int(name[4:]) % BAD_EVERY == 0]
        assert all(TRIES_ALONE < n <= 20 for n in bad)  # both passes
        stage_again = stage(run_quietly(config, until="extractions"))
    assert stage_again == result


def test_a_server_that_is_gone_at_the_end_leaves_the_rows_failed(tmp_path, log_lines):
    served = Served(bad_sessions=1, sessions=1)
    with chat_server(served) as (_, url):
        result = stage(run_quietly(settings(tmp_path, url), until="extractions"))
    assert result["failed"] == {"server_error": 3}
    assert result["rows_out"] == ROWS
    assert any("these stay failed: the server at" in line for line in log_lines)
